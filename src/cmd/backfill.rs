//! `backfill`: settle what lies in the bucket and was never announced.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::backfill::{Backfill, Progress, Scope};
use crate::cmd::{Context, Exit, Failure, Outcome, interrupted, moment, plural, print};
use crate::core::id::{AccountId, Region};
use crate::env::Env;
use crate::verify::Sweep;
use crate::wiring::Works;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Days from: a date, a time, or a span back such as 7d
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Days up to and with
    #[arg(long, default_value = "0s", value_name = "TIME")]
    to: String,
    /// Only this account [default: all, with [shard] those of the shard]
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only this region
    #[arg(long)]
    region: Option<Region>,
    /// Only this trail of the configuration
    #[arg(long, value_name = "NAME")]
    trail: Option<String>,
    /// List and count; settle nothing
    #[arg(long)]
    dry_run: bool,
    /// Look at finished days again
    #[arg(long)]
    restart: bool,
    /// Objects at once
    #[arg(long, default_value_t = 64, value_name = "N")]
    concurrency: usize,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    let env = Env::system();
    let (from, to) = (moment(&args.from, &env)?, moment(&args.to, &env)?);
    if from > to {
        return Err(Failure::Usage("--from must not lie after --to".into()));
    }
    let works = Works::open(&config, &env).await?;
    works.deliveries.roster.refresh().await?;
    let scope =
        Scope { from, to, account: args.account, region: args.region, dry_run: args.dry_run, restart: args.restart };
    let mut failed = 0;
    for trail in works.trails.iter().filter(|trail| args.trail.as_ref().is_none_or(|name| *name == trail.name)) {
        let progress = Arc::new(Progress::default());
        let bar = context.progress.then(|| draw(progress.clone()));
        let backfill = Backfill::new(works.deliveries.clone(), trail.clone(), args.concurrency);
        let outcome = tokio::select! {
            outcome = backfill.run(&scope, &progress) => outcome,
            () = interrupted() => return Ok(Exit::Interrupted),
        };
        if let Some(bar) = bar {
            bar.abort();
        }
        outcome?;
        if !args.dry_run {
            let sweep = Sweep::new(works.deliveries.clone());
            sweep.run(trail).await?;
        }
        let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        failed += count(&progress.failed);
        let did = if args.dry_run { "would be settled" } else { "settled" };
        print(&format!(
            "{}: {} listed, {} known, {} {did}, {} could not be read\n",
            trail.name,
            plural(count(&progress.listed), "object"),
            count(&progress.known),
            count(&progress.settled),
            count(&progress.failed)
        ))?;
    }
    Ok(if failed > 0 { Exit::Unsure } else { Exit::Done })
}

pub(super) fn draw(progress: Arc<Progress>) -> tokio::task::JoinHandle<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("backfill {bar:30} {human_pos}/{human_len} folders, {msg}") {
        bar.set_style(style);
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            bar.set_length(progress.folders.load(Ordering::Relaxed));
            bar.set_position(progress.folders_done.load(Ordering::Relaxed));
            bar.set_message(format!("{} settled", progress.settled.load(Ordering::Relaxed)));
        }
    })
}
