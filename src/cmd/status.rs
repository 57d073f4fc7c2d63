//! `status`: what the warden knows, read from the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use crate::cmd::{Context, Exit, Outcome, grouped, print, print_json, style};
use crate::config::{self, Config};
use crate::core::chain::overdue_hours;
use crate::core::finding::{Kind, Severity};
use crate::core::journal::Head;
use crate::core::posture::Summary;
use crate::core::printable;
use crate::core::shard::Shard;
use crate::env::Env;
use crate::posture;
use crate::store::{self, digests, findings, journal, lease, lists, objects, outbox};
use crate::verify::{Place, last_rounds};
use crate::wiring;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
pub struct Status {
    /// Whose accounts these are; null where one warden has them all.
    pub shard: Option<Shard>,
    pub objects: Objects,
    pub records: i64,
    pub digests: digests::Tally,
    pub chains: Chains,
    /// The last comparison of bucket and ledger, of each trail.
    pub reconcile: Vec<Compared>,
    /// The last audit of what protects the bucket, of each trail.
    pub posture: Vec<Audited>,
    pub alerts: AlertCounts,
    pub findings: FindingCounts,
    /// Seconds between now and the newest moment that is proven; null before the first digest.
    pub lag_seconds: Option<i64>,
    /// The newest moment up to which every chain that is not overdue is proven.
    pub horizon: Option<Timestamp>,
    /// Where the journal stands; null in a ledger from before there was one.
    pub ledger: Option<Head>,
    #[serde(skip)]
    own_epoch: u64,
    /// Which of several wardens works; null without `[lease]`.
    pub lease: Option<Leased>,
}

#[derive(Debug, Serialize)]
pub struct Leased {
    /// The epoch that this host's ledger was last written under; 0 before the first.
    pub own_epoch: u64,
    /// What the lease says; null where nobody has taken it yet, or where it could not be read.
    pub epoch: Option<u64>,
    pub host: Option<String>,
    pub since: Option<Timestamp>,
    /// Its holder has given it back.
    pub released: bool,
    /// Why it could not be read.
    pub trouble: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Objects {
    pub seen: i64,
    pub admitted: i64,
    pub refused: i64,
    /// Listed by a digest and not seen yet.
    pub pending: i64,
    pub quarantined: i64,
    pub absent: i64,
    pub unusable: i64,
    pub rejects: i64,
}

#[derive(Debug, Default, Serialize)]
pub struct Chains {
    pub good: usize,
    pub bad: usize,
    pub overdue: usize,
}

#[derive(Debug, Serialize)]
pub struct Compared {
    pub trail: String,
    /// When the round began, and when it ended: null while it is under way.
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub known: u64,
    pub repaired: u64,
    pub removed: u64,
    pub failed: u64,
    /// When all older days were last compared, too.
    pub history: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub struct Audited {
    pub trail: String,
    #[serde(flatten)]
    pub summary: Summary,
}

#[derive(Debug, Serialize)]
pub struct AlertCounts {
    pub sent: i64,
    pub due: i64,
    pub dead: i64,
}

#[derive(Debug, Serialize)]
pub struct FindingCounts {
    pub open: BTreeMap<String, i64>,
}

pub async fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.load_without_secrets()?;
    let now = Env::system().now();
    let grace = jiff::SignedDuration::try_from(config.verify.grace).unwrap_or(jiff::SignedDuration::ZERO);
    let shard = config.shard;
    if let Some(to) = config.lease.as_ref().filter(|_| !config.state.exists()) {
        let lease = leased(&config, to, 0).await;
        match args.json {
            true => print_json(&serde_json::json!({ "lease": lease }))?,
            false => print(&format!(
                "this host has not worked yet: there is no ledger\nlease  {}\n",
                draw_lease(context, &lease)
            ))?,
        }
        return Ok(Exit::Done);
    }
    let mut status = store::peek(&config.state, move |conn| look(conn, now, grace, shard)).await?;
    if let Some(to) = &config.lease {
        status.lease = Some(leased(&config, to, status.own_epoch).await);
    }
    if args.json {
        print_json(&status)?;
    } else {
        print(&draw(context, &status))?;
    }
    Ok(Exit::Done)
}

/// The lease is asked as whoever waits for it asks; that it does not answer keeps nobody from the rest.
async fn leased(config: &Config, to: &config::Lease, own_epoch: u64) -> Leased {
    let read = async { wiring::bid(config, to, &Env::system()).await?.read().await };
    let (found, trouble) = match read.await {
        Ok(found) => (found.map(|seen| seen.document), None),
        Err(error) => (None, Some(printable(&error.to_string(), 300))),
    };
    Leased {
        own_epoch,
        epoch: found.as_ref().map(|lease| lease.epoch),
        host: found.as_ref().map(|lease| printable(&lease.host, 100)),
        since: found.as_ref().map(|lease| lease.since),
        released: found.is_some_and(|lease| lease.released),
        trouble,
    }
}

/// Everything in one consistent look.
pub fn look(conn: &Connection, now: Timestamp, grace: jiff::SignedDuration, shard: Shard) -> rusqlite::Result<Status> {
    let tx = conn.unchecked_transaction()?;
    let counters = lists::counters(&tx)?;
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let mut open: BTreeMap<String, i64> = Severity::ALL.iter().map(|severity| (severity.to_string(), 0)).collect();
    open.extend(findings::open_by_severity(&tx)?);
    let (chains, horizon) = chains(&tx, now, grace, shard)?;
    let (due, _) = outbox::backlog(&tx, now)?;
    let pending = objects::awaited_count(&tx, shard)?;
    Ok(Status {
        shard: Some(shard).filter(|shard| !shard.is_whole()),
        objects: Objects {
            seen: count("objects.seen"),
            admitted: count("objects.admitted"),
            refused: count("objects.refused"),
            pending,
            quarantined: lists::quarantine_held(&tx)?,
            absent: count("objects.absent"),
            unusable: count("objects.unusable"),
            rejects: count("rejects"),
        },
        records: count("records"),
        digests: digests::tally(&tx)?,
        chains,
        reconcile: compared(&tx)?,
        posture: audited(&tx)?,
        alerts: AlertCounts { sent: count("alerts.sent"), due, dead: count("alerts.dead") },
        findings: FindingCounts { open },
        lag_seconds: horizon.map(|horizon| now.duration_since(horizon).as_secs()),
        horizon,
        ledger: journal::head(&tx).ok(),
        own_epoch: lease::epoch(&tx)?,
        lease: None,
    })
}

fn trails(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare("SELECT name FROM sources")?.query_map([], |row| row.get(0))?.collect()
}

fn audited(conn: &Connection) -> rusqlite::Result<Vec<Audited>> {
    let mut all = Vec::new();
    for trail in trails(conn)? {
        all.extend(posture::last(conn, &trail)?.map(|summary| Audited { trail, summary }));
    }
    Ok(all)
}

fn compared(conn: &Connection) -> rusqlite::Result<Vec<Compared>> {
    let mut all = Vec::new();
    for trail in trails(conn)? {
        let [recent, history] = last_rounds(conn, &trail)?;
        let Some(Place { began, ended, tally, .. }) = recent else { continue };
        all.push(Compared {
            trail,
            began,
            ended,
            known: tally.known,
            repaired: tally.repaired,
            removed: tally.removed,
            failed: tally.failed,
            history: history.and_then(|round| round.ended),
        });
    }
    Ok(all)
}

fn chains(
    conn: &Connection,
    now: Timestamp,
    grace: jiff::SignedDuration,
    shard: Shard,
) -> rusqlite::Result<(Chains, Option<Timestamp>)> {
    let sources: Vec<i64> =
        conn.prepare("SELECT id FROM sources")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let broken = [
        Kind::DigestMissing,
        Kind::ChainBroken,
        Kind::ChainRestarted,
        Kind::DigestSignatureInvalid,
        Kind::DigestMalformed,
        Kind::DigestMisplaced,
    ];
    let mut hurt = Vec::new();
    for held in findings::list(conn, false)? {
        if broken.contains(&held.kind) {
            hurt.push((held.account, held.region, held.trail));
        }
    }
    let (mut counts, mut horizon): (Chains, Option<Timestamp>) = (Chains::default(), None);
    for source in sources {
        for chain in digests::chains(conn, source)? {
            let ours = !chain.chain.backfill && shard.holds(chain.chain.account());
            let Some(head) = chain.head.filter(|_| ours) else { continue };
            let place =
                (Some(chain.chain.account()), Some(chain.chain.region.clone()), Some(chain.chain.trail.clone()));
            if !overdue_hours(head, now, grace).is_empty() {
                counts.overdue += 1;
            } else {
                horizon = Some(horizon.map_or(head, |so_far| so_far.min(head)));
                if hurt.contains(&place) { counts.bad += 1 } else { counts.good += 1 }
            }
        }
    }
    if horizon.is_none() {
        horizon = findings::last_seen(conn)?;
    }
    Ok((counts, horizon))
}

fn draw(context: &Context, status: &Status) -> String {
    let number = |count: i64| grouped(count.unsigned_abs());
    let warn = |count: i64, text: String| if count > 0 { context.paint(style::BAD, text) } else { text };
    let objects = &status.objects;
    let open: Vec<String> = Severity::ALL
        .iter()
        .rev()
        .filter_map(|severity| {
            let count = status.findings.open.get(severity.name()).copied().unwrap_or(0);
            (count > 0).then(|| format!("{count} {severity}"))
        })
        .collect();
    let horizon = status.horizon.map_or_else(|| "nothing proven yet".into(), |horizon| format!("{horizon}"));
    let lag = status.lag_seconds.map_or_else(String::new, |lag| format!(" ({} behind)", span(lag)));
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12}{value}\n"));
    if let Some(shard) = status.shard {
        line("shard", format!("{shard}: accounts that end in {}", shard.digits()));
    }
    line("proven to", format!("{horizon}{lag}"));
    line(
        "objects",
        format!(
            "{} seen: {} admitted, {} refused, {} unusable, {} absent; {} awaited",
            number(objects.seen),
            number(objects.admitted),
            number(objects.refused),
            number(objects.unusable),
            number(objects.absent),
            number(objects.pending)
        ),
    );
    line("records", format!("{} ({} rejected)", number(status.records), number(objects.rejects)));
    line(
        "digests",
        format!(
            "{} good, {}, {} not checked",
            number(status.digests.good),
            warn(status.digests.bad, format!("{} bad", number(status.digests.bad))),
            number(status.digests.unchecked)
        ),
    );
    let (bad, overdue) = (status.chains.bad as i64, status.chains.overdue as i64);
    line(
        "chains",
        format!(
            "{} good, {}, {}",
            status.chains.good,
            warn(bad, format!("{bad} bad")),
            warn(overdue, format!("{overdue} overdue"))
        ),
    );
    for round in &status.reconcile {
        let when = round.ended.map_or_else(|| "under way".to_owned(), |ended| format!("at {ended:.0}"));
        let gone = format!("{} removed", grouped(round.removed));
        let gone = if round.removed > 0 { context.paint(style::BAD, gone) } else { gone };
        let (known, repaired) = (grouped(round.known), grouped(round.repaired));
        line("compared", format!("{} {when}: {known} known, {repaired} repaired, {gone}", round.trail));
    }
    for Audited { trail, summary } in &status.posture {
        let count = |severity: &Severity| summary.open.get(severity.name()).map(|count| format!("{count} {severity}"));
        let open: Vec<String> = Severity::ALL.iter().rev().filter_map(count).collect();
        let open = match &open[..] {
            [] => "nothing weak".to_owned(),
            some => context.paint(style::BAD, some.join(", ")),
        };
        let (accepted, unread) = (summary.accepted, summary.unread);
        line("posture", format!("{trail} at {:.0}: {open}; {accepted} accepted, {unread} not checked", summary.at));
    }
    line("quarantine", warn(objects.quarantined, format!("{} held", number(objects.quarantined))));
    line(
        "alerts",
        format!(
            "{} sent, {} due, {}",
            number(status.alerts.sent),
            number(status.alerts.due),
            warn(status.alerts.dead, format!("{} dead", number(status.alerts.dead)))
        ),
    );
    line(
        "findings",
        if open.is_empty() { context.paint(style::GOOD, "none open") } else { format!("{} open", open.join(", ")) },
    );
    if let Some(lease) = &status.lease {
        line("lease", draw_lease(context, lease));
    }
    line("journal", status.ledger.as_ref().map_or_else(|| "none".into(), |head| format!("ends with {head}")));
    text
}

fn draw_lease(context: &Context, lease: &Leased) -> String {
    let own = format!("; this ledger was last written under epoch {}", lease.own_epoch);
    match (&lease.trouble, lease.epoch, &lease.host, lease.since) {
        (Some(trouble), ..) => context.paint(style::BAD, format!("not read: {trouble}")) + &own,
        (None, Some(epoch), Some(host), Some(since)) => {
            let does = if lease.released { "given back by" } else { "held by" };
            format!("{does} {host}, epoch {epoch} since {since:.0}{own}")
        }
        _ => "nobody has taken it yet".to_owned(),
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}
