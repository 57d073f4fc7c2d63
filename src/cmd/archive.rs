//! `archive`: the records of all logs in Parquet. Is it whole, make large files of small ones, bring records from elsewhere,
//! let old ones go, and what to tell other engines of it.

pub mod import;

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use crate::archive::ddl::{self, Engine};
use crate::archive::{Archive, check::Report};
use crate::cmd::{Context, Exit, Failure, Outcome, grouped, interrupted, moment, plural, print, print_json, style};
use crate::config::units::show_size;
use crate::env::Env;
use crate::wiring::Works;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Is it what the ledger says: every file there, none too many, as many rows of each log as were archived
    Check {
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make large files of small ones now; the daemon does so by itself
    Compact {
        /// Whatever can be one file, also of days that may still get records
        #[arg(long)]
        all: bool,
    },
    /// Bring records from elsewhere: a raw bucket or a copy of one, answers of LookupEvents, CloudTrail Lake's, JSON lines
    Import(import::Args),
    /// Let days go that are older than `archive.keep`
    Expire {
        /// Older than this instead: a date, or a span back such as 7y
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        /// Only say which
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the tables that other engines read it by
    Ddl {
        #[arg(value_enum)]
        engine: Name,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Athena,
    Trino,
    Spark,
    Duckdb,
    Glue,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    match args.verb {
        Verb::Check { json } => check(context, json).await,
        Verb::Compact { all } => compact(context, all).await,
        Verb::Import(args) => import::run(context, args).await,
        Verb::Expire { before, dry_run } => expire(context, before, dry_run).await,
        Verb::Ddl { engine } => {
            let config = context.load()?;
            let archive = config.archive.ok_or_else(nowhere)?;
            let engine = match engine {
                Name::Athena => Engine::Athena,
                Name::Trino => Engine::Trino,
                Name::Spark => Engine::Spark,
                Name::Duckdb => Engine::DuckDb,
                Name::Glue => Engine::Glue,
            };
            print(&ddl::ddl(engine, &archive.address()))?;
            Ok(Exit::Done)
        }
    }
}

pub fn nowhere() -> Failure {
    Failure::Usage("there is no archive: the configuration has no [archive] with a `location`".into())
}

async fn open(context: &Context) -> Result<std::sync::Arc<Archive>, Failure> {
    let config = context.load()?;
    if config.archive.is_none() {
        return Err(nowhere());
    }
    Works::open(&config, &Env::system()).await?.archive.ok_or_else(nowhere)
}

pub fn bar(context: &Context, template: &str) -> Option<ProgressBar> {
    context.progress.then(|| {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    })
}

async fn check(context: &Context, json: bool) -> Outcome {
    let archive = open(context).await?;
    let bar = bar(context, "check {spinner} {bytes}");
    let checked = archive.check(|bytes| bar.iter().for_each(|bar| bar.inc(bytes))).await;
    bar.iter().for_each(ProgressBar::finish_and_clear);
    let report = checked?;
    if json {
        print_json(&report)?
    } else {
        print(&draw(context, &report))?
    }
    Ok(if report.fault_count == 0 { Exit::Done } else { Exit::Bad })
}

fn draw(context: &Context, report: &Report) -> String {
    let mut text = format!(
        "{} in {} of {}, {}\n{}; {} wait, {} imported\n",
        plural(report.rows, "row"),
        plural(report.files, "file"),
        plural(report.dates, "day"),
        show_size(report.bytes),
        plural(report.logs, "log"),
        plural(report.waiting, "log"),
        plural(report.imported, "row"),
    );
    for name in &report.orphans {
        text.push_str(&format!("{name} is no part of it: whoever lists the folder sees it\n"));
    }
    for fault in &report.faults {
        text.push_str(&format!("{} {fault}\n", context.paint(style::BAD, "BAD")));
    }
    let unnamed = report.fault_count.saturating_sub(report.faults.len() as u64);
    if unnamed > 0 {
        text.push_str(&format!("and {unnamed} more\n"));
    }
    let verdict = if report.fault_count == 0 {
        context.paint(style::GOOD, "the archive is what the ledger says")
    } else {
        context.paint(style::BAD, "the archive is not what the ledger says")
    };
    text + &verdict + "\n"
}

async fn compact(context: &Context, all: bool) -> Outcome {
    let archive = open(context).await?;
    let bar = bar(context, "compact {spinner} {human_pos} rows");
    let compacted = tokio::select! {
        compacted = archive.compact(all, |done| bar.iter().for_each(|bar| bar.set_position(done.rows))) => compacted,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    bar.iter().for_each(ProgressBar::finish_and_clear);
    let done = compacted?;
    print(&format!(
        "{} became {}: {}, {}; {} removed that had been replaced before\n",
        plural(done.merged as u64, "file"),
        grouped(done.files as u64),
        plural(done.rows, "row"),
        show_size(done.bytes),
        plural(done.removed as u64, "file"),
    ))?;
    Ok(Exit::Done)
}

async fn expire(context: &Context, before: Option<String>, dry_run: bool) -> Outcome {
    let config = context.load()?;
    let env = Env::system();
    let wanted = config.archive.as_ref().ok_or_else(nowhere)?;
    let before = match (&before, wanted.keep) {
        (Some(text), _) => moment(text, &env)?,
        (None, Some(keep)) => moment(&format!("{}s", keep.as_secs()), &env)?,
        (None, None) => {
            print("everything is kept: archive.keep is forever, and no --before was given\n")?;
            return Ok(Exit::Done);
        }
    };
    let archive = open(context).await?;
    let dates = archive.expire(before.to_zoned(TimeZone::UTC).date(), dry_run).await?;
    let mut sum = (0, 0);
    for (date, (rows, bytes)) in &dates {
        print(&format!("{date}  {}, {}\n", plural(*rows, "row"), show_size(*bytes)))?;
        sum = (sum.0 + rows, sum.1 + bytes);
    }
    let did = if dry_run { "would go" } else { "go; their files are removed an hour from now" };
    print(&format!("{}, {}, {} {did}\n", plural(dates.len() as u64, "day"), plural(sum.0, "row"), show_size(sum.1)))?;
    Ok(Exit::Done)
}
