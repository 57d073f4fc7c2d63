//! `ledger rebuild`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::backfill::{Backfill, Progress, Scope};
use crate::cmd::{Context, Exit, Failure, Outcome, complain, grouped, interrupted, moment, plural, print};
use crate::core::finding::{Held, Kind, State};
use crate::core::journal::What;
use crate::env::Env;
use crate::error::Result;
use crate::store::{self, Store, copy, digests, findings, journal, lists, retention, time};
use crate::verify::Sweep;
use crate::wiring::Works;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Days from: a date, a time, or a span back such as 90d; where the present ledger begins if not given
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Days up to and with
    #[arg(long, default_value = "0s", value_name = "TIME")]
    to: String,
    /// Objects at once
    #[arg(long, default_value_t = 64, value_name = "N")]
    concurrency: usize,
}

/// What the ledger before remembered, as far as it could be read.
struct Old {
    findings: Vec<Held>,
    first: Option<Timestamp>,
    held: i64,
    head: String,
    /// Holds, consents and defaults of retention.
    retention: Vec<(String, String)>,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    let env = Env::system();
    let _lock = Store::lock(&config.state)?;
    let old = recall(&config.state).await;
    let from = match (&args.from, old.as_ref().and_then(|old| old.first)) {
        (Some(text), _) => moment(text, &env)?,
        (None, Some(first)) => first,
        (None, None) => {
            return Err(Failure::Usage("--from is needed: there is no ledger that says where to begin".into()));
        }
    };
    let to = moment(&args.to, &env)?;
    if from > to {
        return Err(Failure::Usage("--from must not lie after --to".into()));
    }
    let (state, now) = (config.state.clone(), env.now());
    let aside = env.blocking(move || copy::set_aside(&state, now)).await??;
    let works = Works::open(&config, &env).await?;
    works.deliveries.roster.refresh().await?;
    let scope = Scope { from, to, account: None, region: None, dry_run: false, restart: false };
    let Some(failed) = settle(context, &works, &scope, args.concurrency).await? else {
        if let Some(aside) = &aside {
            complain(&format!(
                "interrupted; `trailwarden ledger restore {}` brings the old ledger back",
                aside.display()
            ));
        }
        return Ok(Exit::Interrupted);
    };
    let lost = carry(&works, old.as_ref(), aside.as_deref()).await?;
    print(&summary(&works, old.as_ref(), lost, aside.as_deref(), from).await?)?;
    Ok(if failed > 0 { Exit::Unsure } else { Exit::Done })
}

/// A ledger that cannot be read is rebuilt without what it remembered: that is why it is rebuilt.
async fn recall(state: &Path) -> Option<Old> {
    if !state.exists() {
        return None;
    }
    let look = |conn: &rusqlite::Connection| {
        let first = "SELECT min(t) FROM (SELECT min(first) AS t FROM chains UNION ALL SELECT min(delivered) FROM objects WHERE state = 0)";
        Ok(Old {
            findings: findings::list(conn, true)?,
            first: conn.query_row(first, [], |row| row.get::<_, Option<i64>>(0))?.map(time),
            held: lists::quarantine_held(conn)?,
            retention: retention::kept(conn)?,
            head: journal::head(conn).map_or_else(|_| "no journal".into(), |head| head.to_string()),
        })
    };
    let old = store::peek(state, look).await;
    if let Err(error) = &old {
        complain(&format!("the present ledger cannot be read, and nothing is carried over from it: {error}"));
    }
    old.ok()
}

/// Everything in the bucket, by the ordinary path; answers how much could not be read, or nothing when interrupted.
async fn settle(context: &Context, works: &Works, scope: &Scope, concurrency: usize) -> Result<Option<u64>, Failure> {
    let mut failed = 0;
    for trail in &works.trails {
        let progress = Arc::new(Progress::default());
        let bar = context.progress.then(|| crate::cmd::backfill::draw(progress.clone()));
        let backfill = Backfill::new(works.deliveries.clone(), trail.clone(), concurrency);
        let outcome = tokio::select! {
            outcome = backfill.run(scope, &progress) => outcome,
            () = interrupted() => return Ok(None),
        };
        if let Some(bar) = bar {
            bar.abort();
        }
        outcome?;
        failed += progress.failed.load(Ordering::Relaxed);
    }
    let sweep = Sweep::new(works.deliveries.clone());
    for trail in &works.trails {
        // What the first sweep repairs may be what another chain waited for.
        sweep.run(trail).await?;
        sweep.run(trail).await?;
    }
    Ok(Some(failed))
}

/// What retention remembers, and acknowledgements and first times of findings that were raised again; answers how many open
/// ones were not, by kind.
async fn carry(works: &Works, old: Option<&Old>, aside: Option<&Path>) -> Result<BTreeMap<Kind, usize>> {
    let known: Vec<Held> = old.into_iter().flat_map(|old| old.findings.iter().cloned()).collect();
    let subject =
        aside.and_then(Path::file_name).map_or_else(|| "nothing".into(), |name| name.to_string_lossy().into_owned());
    let detail =
        old.map_or_else(|| "nothing is known of it".into(), |old| format!("its journal ended with {}", old.head));
    let kept: Vec<(String, String)> = old.into_iter().flat_map(|old| old.retention.iter().cloned()).collect();
    works
        .store
        .write(move |tx| {
            journal::append(tx, What::Rebuilt, &subject, &detail)?;
            retention::carry(tx, &kept)?;
            let mut lost = BTreeMap::new();
            for held in &known {
                let here = findings::carry(tx, held)?;
                if !here && held.state != State::Resolved && held.kind != Kind::Heartbeat {
                    *lost.entry(held.kind).or_default() += 1;
                }
            }
            Ok(lost)
        })
        .await
}

async fn summary(
    works: &Works,
    old: Option<&Old>,
    lost: BTreeMap<Kind, usize>,
    aside: Option<&Path>,
    from: Timestamp,
) -> Result<String> {
    let look =
        |conn: &rusqlite::Connection| Ok((lists::counters(conn)?, digests::tally(conn)?, findings::list(conn, false)?));
    let (counters, tally, open) = works.store.read(look).await?;
    let admitted = counters.get("objects.admitted").copied().unwrap_or(0).unsigned_abs();
    let acknowledged = open.iter().filter(|held| held.state == State::Acknowledged).count() as u64;
    let mut text = format!(
        "{} admitted from {} on; digests: {} good, {} bad, {} not checked\n{} ({} acknowledged before); the others are told again\n",
        plural(admitted, "object"),
        from.strftime("%Y-%m-%d"),
        grouped(tally.good.unsigned_abs()),
        grouped(tally.bad.unsigned_abs()),
        grouped(tally.unchecked.unsigned_abs()),
        plural(open.len() as u64, "finding"),
        acknowledged,
    );
    if !lost.is_empty() {
        let kinds: Vec<String> = lost.iter().map(|(kind, number)| format!("{number} × {kind}")).collect();
        text.push_str(&format!(
            "open in the old ledger and not raised again, as the bucket alone does not show them, or no more: {}\n",
            kinds.join(", ")
        ));
    }
    if let Some(held) = old.map(|old| old.held).filter(|held| *held > 0) {
        text.push_str(&format!("{held} messages in the old ledger's quarantine\n"));
    }
    if let Some(aside) = aside {
        text.push_str(&format!("the old ledger is {}\n", aside.display()));
    }
    Ok(text)
}
