//! `lookup --raw`: in logs as CloudTrail delivered them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::print::Printer;
use super::told::Told;
use super::{AHEAD, Args, MOST};
use crate::archive::lookup::{Hit, Newest, Taker};
use crate::archive::raw::{Effort, Raw};
use crate::cmd::archive::import::raw_logs;
use crate::cmd::{Context, Failure, Outcome, complain, grouped, interrupted, plural};
use crate::config::Config;
use crate::config::units::show_size;
use crate::core::gzip::Caps;
use crate::core::id::Region;
use crate::core::lookup::Question;
use crate::delivery::Memory;
use crate::env::Env;
use crate::wiring;

/// Where no configuration says otherwise; as its defaults are.
const BYTES: u64 = 64 << 20;
const OBJECT: u64 = 64 << 20;

pub async fn run(context: &Context, args: &Args, place: &str, question: Question) -> Outcome {
    // forensics need no warden
    let config = if context.config.exists() { Some(context.load_without_secrets()?) } else { None };
    let raw = Arc::new(open(config.as_ref(), place, args.raw_region.as_ref(), question).await?);
    let (mut printer, mut told, mut effort) = (Printer::new(context, args.format), Told::default(), Effort::default());
    let mut newest = Newest::new(args.limit as usize, MOST);
    let interrupted = if args.all {
        tokio::select! {
            searched = all(&raw, &mut printer, &mut told, &mut effort) => searched.map(|()| false)?,
            () = interrupted() => true,
        }
    } else {
        tokio::select! {
            searched = raw.run(Taker::Newest(&mut newest), &mut effort) => searched.map(|()| false)?,
            () = interrupted() => true,
        }
    };
    told.cut(&newest);
    print(&mut printer, &mut told, &newest.into_hits())?;
    if interrupted {
        told.interrupted();
    }
    if args.explain {
        complain(&format!(
            "{} of {} looked at, {}",
            plural(effort.records, "record"),
            plural(effort.logs, "log"),
            show_size(effort.bytes)
        ));
    }
    tell(&effort, &mut told);
    printer.end(&told)?;
    Ok(told.exit())
}

/// Raw logs at a place, as the configuration says if there is one.
pub async fn open(
    config: Option<&Config>,
    place: &str,
    region: Option<&Region>,
    question: Question,
) -> Result<Raw, Failure> {
    let (bucket, prefix) = raw_logs(place, region, config).await?;
    let env = Env::system();
    Ok(Raw {
        bucket,
        prefix,
        object_limit: config.map_or(OBJECT, |config| config.limits.object),
        caps: config.map_or_else(Caps::default, wiring::caps),
        memory: Memory::new(config.map_or(BYTES, |config| config.limits.bytes), env.clone()),
        env,
        question,
    })
}

/// Prints what is found as it is found.
async fn all(raw: &Arc<Raw>, printer: &mut Printer<'_>, told: &mut Told, effort: &mut Effort) -> Result<(), Failure> {
    let (send, mut receive) = mpsc::channel::<Vec<Hit>>(AHEAD);
    let printing = async {
        while let Some(hits) = receive.recv().await {
            print(printer, told, &hits)?;
        }
        Ok::<(), Failure>(())
    };
    let searching = async { Ok(raw.run(Taker::All(send), effort).await?) };
    tokio::try_join!(searching, printing).map(|_| ())
}

/// Nothing is known of logs that no ledger was asked about.
fn print(printer: &mut Printer<'_>, told: &mut Told, hits: &[Hit]) -> Result<(), Failure> {
    let integrity = vec!["unchecked"; hits.len()];
    hits.iter().for_each(|_| told.count("unchecked"));
    Ok(printer.print(hits, &integrity)?)
}

pub fn tell(effort: &Effort, told: &mut Told) {
    told.note(format!(
        "raw logs: {} of {} ({} of Insights); nothing was checked against digests",
        plural(effort.records, "record"),
        plural(effort.logs, "log"),
        grouped(effort.insights),
    ));
    let mut left_out = |count: u64, what: &str, why: &str| {
        if count > 0 {
            told.note(format!("{} {why}", plural(count, what)));
        }
    };
    left_out(effort.digests, "digest", "left out");
    left_out(effort.others, "file", "left out: no .json, .jsonl or .ndjson by the name");
    left_out(
        effort.out_of_time,
        "log",
        "left out: delivered more than two days before --from, or more than 45 days after --to. A record with a false time may lie in them",
    );
    left_out(effort.repeats, "record", "left out: the same event was found before");
    left_out(effort.rejected, "element", "left out: no objects");
    left_out(effort.mended, "file", "had bytes that are no UTF-8: they stand as U+FFFD");
    if effort.may_repeat {
        told.note("so many events were found that some may be told twice".into());
    }
    told.unread(effort.unreadable, &effort.faults);
}
