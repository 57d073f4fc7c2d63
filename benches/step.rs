//! The whole step of a delivery, from the queue to the durable commit and back, on directories; beside the bare work in it.
//! Then the peak memory of `run --drain` with very large logs among the messages.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Beside, Played, RECORDS, Scratch, bare_commits, figure, median, peak_rss, play, time};
use criterion::{Criterion, Throughput};
use serde::Deserialize;
use tokio::runtime::Runtime;
use trailwarden::config::Config;
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::id::Sha256;
use trailwarden::core::record::Record;
use trailwarden::env::Env;
use trailwarden::ingest::Ingest;
use trailwarden::wiring::Works;
use trailwarden::world::Scale;

/// About ten thousand logs: 4 accounts, 2 regions, 2 trails, 10 hours, 64 logs each.
const SCALE: Scale = Scale { accounts: 4, regions: 2, hours: 10, logs_per_hour: (64, 64), records_per_log: RECORDS };
/// Messages of one round.
const ROUND: usize = 3_000;
/// What CloudTrail's largest files inflate to, and how many of them wait in a row.
const LARGE: usize = 50_000_000;
const LARGE_LOGS: usize = 24;

#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

fn main() {
    if !common::is_bench() {
        return;
    }
    let scratch = Scratch::new("step");
    let played = play(&scratch.0, SCALE);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    let round = &played.messages[..ROUND.min(played.messages.len())];
    // how many objects a round settles is what the ledger says after one
    let (first, objects) = step(&runtime, &played, round);
    println!("{} messages settle {objects} objects; the first round took {first:?}", round.len());

    let (mut parsing, mut committing) = (Beside::default(), Beside::default());
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(objects));
    group.bench_function("queue to commit", |b| {
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let bare = parse(&played, objects);
                    let commits = bare_commits(&scratch.0, objects);
                    let (ours, _) = step(&runtime, &played, round);
                    parsing.push(bare, ours);
                    committing.push(commits, ours);
                    ours
                })
                .sum()
        });
    });
    group.finish();
    criterion.final_summary();

    let rate = |seconds: f64| format!("{:.0}/s", objects as f64 / seconds);
    println!();
    figure("floor: read + inflate + SHA-256 + typed parse, two threads", rate(parsing.floor()), "objects");
    figure("floor: bare group commits of 64 rows, fsync on", rate(committing.floor()), "objects");
    figure("ours: queue to commit and back, fsync on", rate(parsing.ours()), "objects; wanted: 1,500/s or more");
    figure("ours ÷ parse floor", format!("{:.2}", parsing.ratio()), "");
    figure("ours ÷ commit floor", format!("{:.2}", committing.ratio()), "");
    let peaks: Vec<f64> = (0..3).map(|_| drain(&scratch.0, &played)).collect();
    let worst = peaks.iter().copied().fold(0.0, f64::max);
    let what = format!("peak RSS of run --drain, {} messages, {LARGE_LOGS} logs of 50 MB", played.messages.len());
    figure(&what, format!("{:.0} MB", median(peaks)), "");
    figure("the same, worst of three", format!("{worst:.0} MB"), "wanted: under 150 MB");
}

/// A fresh ledger and spool, emptied by the real flow. Answers how long that took, and how many objects the ledger then knows.
fn step(runtime: &Runtime, played: &Played, messages: &[Vec<u8>]) -> (Duration, u64) {
    let work = Scratch::new("step-round");
    Played::fill(&work.0.join("spool"), messages);
    let config = Config::load(&played.config(&work.0)).expect("the configuration is good");
    runtime.block_on(async {
        let env = Env::system();
        let works = Works::open(&config, &env).await.expect("the works open");
        works.deliveries.roster.refresh().await.expect("members are there");
        let trail = works.trails.first().expect("one trail").clone();
        let ingest: Arc<Ingest> = Ingest::new(works.deliveries.clone(), trail, config.limits.messages);
        let begun = Instant::now();
        while ingest.receive(Duration::ZERO).await.expect("the spool answers") > 0 || ingest.in_flight() > 0 {}
        let took = begun.elapsed();
        let count = "SELECT count(*) FROM objects WHERE state = 0";
        let objects = works.store.read(|conn| conn.query_row(count, [], |row| row.get::<_, i64>(0))).await;
        (took, objects.expect("the ledger answers").unsigned_abs())
    })
}

/// The work that cannot be left out: each file read, inflated, hashed and parsed, on two threads.
fn parse(played: &Played, objects: u64) -> Duration {
    let count = usize::try_from(objects).expect("it fits").min(played.logs.len());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(log) = played.logs[..count].get(next.fetch_add(1, Ordering::Relaxed)) {
            let stored = fs::read(&log.path).expect("it was written");
            let inflated = gzip::inflate(&stored, Caps::default()).expect("a made file inflates");
            std::hint::black_box(Sha256::of(&inflated.bytes));
            let text = simdutf8::basic::from_utf8(&inflated.bytes).expect("a made file is UTF-8");
            // insight and aggregated files have other shapes
            if let Ok(bare) = serde_json::from_str::<Bare<'_>>(text) {
                std::hint::black_box(bare.records.len());
            }
        }
    };
    time(|| {
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    })
}

/// Runs the program over all messages, large logs first, and watches its memory. In megabytes.
fn drain(dir: &Path, played: &Played) -> f64 {
    let work = Scratch::new("drain");
    let body = played.large(LARGE);
    let mut messages = Vec::new();
    for (key, message) in played.more(0..LARGE_LOGS, body.len()) {
        fs::write(dir.join("bucket").join(&key), &body).expect("the disk takes it");
        messages.push(message);
    }
    messages.extend_from_slice(&played.messages);
    Played::fill(&work.0.join("spool"), &messages);
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    peak_rss(command.args(["run", "--drain", "--config"]).arg(played.config(&work.0)))
}
