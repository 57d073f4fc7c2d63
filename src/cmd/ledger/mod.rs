//! `ledger`: the file that the warden remembers in. Is it what the warden wrote, where are its copies, how does it come back.

mod check;
mod rebuild;
mod restore;
mod snapshot;

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;

use crate::cmd::{Context, Failure, Outcome};
use crate::core::journal::Noted;
use crate::error::Result;
use crate::store::check::Report;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Is it what the warden wrote: the file, its seals, its journal, its totals; works while the warden runs
    Check {
        /// A ledger, or a copy of one; the configured one if none is given
        path: Option<PathBuf>,
        /// What an alert, a heartbeat or a log line once said of the journal: is it still in there
        #[arg(long, value_name = "SEQ:HASH", value_parser = |text: &str| text.parse::<Noted>())]
        head: Option<Noted>,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Copy it, check the copy, put it in its place
    Snapshot {
        /// A directory, or s3://bucket/prefix; the configured place if none is given
        #[arg(long, value_name = "PLACE")]
        to: Option<String>,
    },
    /// Put a copy in its place; the present one is set aside
    Restore {
        /// A copy that a snapshot made, or a ledger that was set aside
        file: PathBuf,
    },
    /// Make a new one from what lies in the bucket; the present one is set aside
    Rebuild(rebuild::Args),
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    match args.verb {
        Verb::Check { path, head, json } => check::run(context, path, head, json).await,
        Verb::Snapshot { to } => snapshot::run(context, to).await,
        Verb::Restore { file } => restore::run(context, file).await,
        Verb::Rebuild(args) => rebuild::run(context, args).await,
    }
}

/// A copy must be what a warden wrote; whatever else it is had better not become the ledger.
fn must_be_good(report: &Report, what: &str) -> Result<(), Failure> {
    match report.fault() {
        None => Ok(()),
        Some(fault) => {
            Err(crate::error::Error::permanent("ledger:check", format!("{what} is not what the warden wrote: {fault}"))
                .into())
        }
    }
}

/// The day from which a backfill finds what a ledger of that time does not know.
fn day_before(time: Timestamp) -> String {
    (time - jiff::SignedDuration::from_hours(24)).strftime("%Y-%m-%d").to_string()
}
