//! `archive import`

use std::path::{Path, absolute};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{bar, nowhere};
use crate::archive::import::{Import, Imported, Progress};
use crate::cmd::{Context, Exit, Failure, Outcome, complain, grouped, interrupted, plural, print};
use crate::config::{Config, Place};
use crate::core::id::Region;
use crate::env::Env;
use crate::local::dir::Dir;
use crate::seam::DynBucket;
use crate::wiring::{self, Works};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, a directory, or s3://bucket/prefix
    place: String,
    /// The region of that bucket [default: the first trail's]
    #[arg(long)]
    region: Option<Region>,
    /// Threads that cut records up
    #[arg(long, default_value_t = 2, value_name = "N")]
    threads: usize,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    if config.archive.is_none() {
        return Err(nowhere());
    }
    let (bucket, prefix) = raw_logs(&args.place, args.region.as_ref(), Some(&config)).await?;
    let works = Works::open(&config, &Env::system()).await?;
    let archive = works.archive.ok_or_else(nowhere)?;
    archive.begin().await?;
    let from = Arc::new(Import {
        bucket,
        prefix,
        object_limit: config.limits.object,
        caps: wiring::caps(&config),
        workers: args.threads.clamp(1, 64),
    });
    let progress = Arc::<Progress>::default();
    let bar = bar(context, "import {spinner} {msg}");
    let ticking = bar.clone().map(|bar| {
        let progress = progress.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let count = |number: &std::sync::atomic::AtomicU64| grouped(number.load(Ordering::Relaxed));
                bar.set_message(format!("{} files, {} records", count(&progress.files), count(&progress.records)));
            }
        })
    });
    let outcome = tokio::select! {
        outcome = archive.import(from, progress) => outcome,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    ticking.iter().for_each(tokio::task::JoinHandle::abort);
    bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    let imported = outcome?;
    tell(&imported)?;
    Ok(if imported.unreadable > 0 { Exit::Unsure } else { Exit::Done })
}

fn tell(imported: &Imported) -> Result<(), Failure> {
    for fault in &imported.faults {
        complain(fault);
    }
    let flushed = &imported.flushed;
    print(&format!(
        "{} of {}: {} new, {} known already; {} and {} skipped\n",
        plural(imported.records, "record"),
        plural(imported.files, "file"),
        grouped(flushed.rows),
        grouped(flushed.repeats),
        plural(imported.skipped, "other file"),
        plural(imported.rejected, "element"),
    ))?;
    if imported.mended > 0 {
        let files = plural(imported.mended, "file");
        print(&format!("{files} had bytes that are no UTF-8: they stand as U+FFFD\n"))?;
    }
    if imported.unreadable > 0 {
        print(&format!("{} could not be read\n", plural(imported.unreadable, "file")))?;
    }
    Ok(())
}

/// What holds raw logs, and the prefix under which they lie: a file, a directory, or `s3://bucket/prefix`. A bucket is opened as
/// the configuration says of the trail whose bucket it is, if there is one.
pub async fn raw_logs(
    place: &str,
    region: Option<&Region>,
    config: Option<&Config>,
) -> Result<(DynBucket, String), Failure> {
    if place.starts_with("s3://") {
        let (place, prefix) = Place::prefixed(place, "logs").map_err(Failure::Usage)?;
        let trails = || config.into_iter().flat_map(|config| &config.trails);
        let region = region.cloned().or_else(|| trails().find_map(|trail| trail.region.clone()));
        let Place::Aws(name) = place else { return Err(Failure::Usage("no bucket".into())) };
        let trail = trails().find(|trail| trail.bucket == Place::Aws(name.clone()));
        let aws = wiring::connect(region.as_ref(), trail.and_then(|trail| trail.role.as_ref())).await;
        return Ok((Arc::new(aws.bucket(name, trail.and_then(|trail| trail.owner))), prefix));
    }
    let path = absolute(place.strip_prefix("file://").unwrap_or(place))?;
    if path.is_dir() {
        return Ok((Arc::new(Dir::open(&path)?), String::new()));
    }
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
    let name = name.ok_or_else(|| Failure::Usage(format!("nothing lies at {}", path.display())))?;
    Ok((Arc::new(Dir::open(path.parent().unwrap_or(Path::new("/")))?), name.to_owned()))
}
