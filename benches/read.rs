//! Reading a log file of common size: inflate, hash, parse and check against its key; beside the bare loop without the check.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::hint::black_box;

use common::{Beside, RECORDS, Scratch, figure, play, time};
use criterion::{BenchmarkId, Criterion, Throughput};
use serde::Deserialize;
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::id::Sha256;
use trailwarden::core::key::{self, LogKey, LogKind, ObjectKey};
use trailwarden::core::record::{self, Record};
use trailwarden::world::Scale;

/// The floor's parse: the same fields, borrowed, and nothing asked of them.
#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

struct File {
    key: LogKey,
    stored: Vec<u8>,
}

fn floor(file: &File) -> usize {
    let inflated = gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates");
    black_box(Sha256::of(&inflated.bytes));
    let text = simdutf8::basic::from_utf8(&inflated.bytes).expect("a made file is UTF-8");
    let bare: Bare<'_> = serde_json::from_str(text).expect("a made file is JSON");
    black_box(bare.records).len()
}

fn ours(file: &File) -> u64 {
    let inflated = gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates");
    black_box(Sha256::of(&inflated.bytes));
    record::read(&inflated.bytes, &file.key, |record, raw| {
        black_box((record, raw));
    })
    .expect("a made file is a log")
    .rows
}

fn files() -> Vec<File> {
    let scratch = Scratch::new("read");
    let scale = Scale { accounts: 2, regions: 1, hours: 8, logs_per_hour: (2, 2), records_per_log: RECORDS };
    let played = play(&scratch.0, scale);
    let files = played.logs.iter().filter_map(|log| match key::parse(&log.key) {
        ObjectKey::Log(key) if key.kind == LogKind::Events => {
            Some(File { key, stored: std::fs::read(&log.path).expect("it was just written") })
        }
        _ => None,
    });
    files.collect()
}

fn main() {
    if !common::is_bench() {
        return;
    }
    let files = files();
    let raw: usize = files
        .iter()
        .map(|file| gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates").bytes.len())
        .sum();
    let stored: usize = files.iter().map(|file| file.stored.len()).sum();
    let records: u64 = files.iter().map(ours).sum();
    let count = files.len();
    println!(
        "{count} files; each {} records, {} bytes, {} stored",
        records / count as u64,
        raw / count,
        stored / count
    );

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(raw as u64));
    group.bench_function(BenchmarkId::from_parameter("floor"), |b| {
        b.iter(|| files.iter().map(floor).sum::<usize>());
    });
    group.bench_function(BenchmarkId::from_parameter("parse and fit check"), |b| {
        b.iter(|| files.iter().map(ours).sum::<u64>());
    });
    group.finish();
    criterion.final_summary();

    let beside = Beside::rounds(
        101,
        || time(|| files.iter().map(floor).sum::<usize>()),
        || time(|| files.iter().map(ours).sum::<u64>()),
    );
    let rate = |seconds: f64| format!("{:.0} MB/s", raw as f64 / seconds / 1e6);
    println!();
    figure("floor: inflate + SHA-256 + typed parse, one thread", rate(beside.floor()), "");
    figure("ours: inflate + SHA-256 + parse + fit check, one thread", rate(beside.ours()), "");
    figure("ours ÷ floor", format!("{:.2}", beside.ratio()), "wanted: 0.7 or more");
}
