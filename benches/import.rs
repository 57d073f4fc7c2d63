//! An import of raw logs beside its floor: inflate, hash, typed parse, and the parsed members as Parquet as they come. And what
//! a row costs: as it is written at first, and as it stays. `TRAILWARDEN_FILES` says how many logs (4,000).
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use common::{Beside, Played, RECORDS, Scratch, figure, median, play, time};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::Deserialize;
use trailwarden::archive::Archive;
use trailwarden::archive::import::{Import, Progress};
use trailwarden::config::Config;
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::id::Sha256;
use trailwarden::core::record::Record;
use trailwarden::env::Env;
use trailwarden::local::dir::Dir;
use trailwarden::wiring::Works;
use trailwarden::world::Scale;

const ROUNDS: usize = 5;
/// Rows of the floor that are made into columns together, and those of a row group.
const BATCH: usize = 8_192;
const GROUP: usize = 1 << 17;

const COLUMNS: [&str; 18] = [
    "eventVersion",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "recipientAccountId",
    "eventID",
    "eventType",
    "eventCategory",
    "errorCode",
    "errorMessage",
    "readOnly",
    "userAgent",
    "sourceIPAddress",
    "requestParameters",
    "responseElements",
    "resources",
    "userIdentity",
];

#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

/// The typed members as they stand in the record, with neither order nor check.
fn values<'r>(record: &'r Record<'_>) -> [Option<&'r str>; COLUMNS.len()] {
    [
        record.event_version.as_deref(),
        record.event_time.as_deref(),
        record.event_source.as_deref(),
        record.event_name.as_deref(),
        record.aws_region.as_deref(),
        record.recipient_account_id.as_deref(),
        record.event_id.as_deref(),
        record.event_type.as_deref(),
        record.event_category.as_deref(),
        record.error_code.map(|raw| raw.get()),
        record.error_message.map(|raw| raw.get()),
        record.read_only.map(|raw| raw.get()),
        record.user_agent.map(|raw| raw.get()),
        record.source_address.map(|raw| raw.get()),
        record.request_parameters.map(|raw| raw.get()),
        record.response_elements.map(|raw| raw.get()),
        record.resources.map(|raw| raw.get()),
        record.user_identity.map(|raw| raw.get()),
    ]
}

/// One thread, one file, nothing kept of what was there before.
fn floor(played: &Played, into: &Path) -> u64 {
    let fields: Vec<Field> = COLUMNS.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("a level")))
        .set_max_row_group_row_count(Some(GROUP))
        .set_column_bloom_filter_enabled("eventID".into(), true)
        .build();
    let file = File::create(into).expect("the disk takes it");
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).expect("a writer");
    let mut columns: Vec<StringBuilder> = COLUMNS.iter().map(|_| StringBuilder::new()).collect();
    let mut write = |columns: &mut [StringBuilder]| {
        let arrays: Vec<ArrayRef> = columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        writer.write(&RecordBatch::try_new(schema.clone(), arrays).expect("columns")).expect("the disk takes it");
    };
    let (mut rows, mut pending) = (0, 0);
    for log in &played.logs {
        let stored = fs::read(&log.path).expect("it was just written");
        let inflated = gzip::inflate(&stored, Caps::default()).expect("a made file inflates");
        std::hint::black_box(Sha256::of(&inflated.bytes));
        let text = simdutf8::basic::from_utf8(&inflated.bytes).expect("a made file is UTF-8");
        let bare: Bare<'_> = serde_json::from_str(text).expect("a made file is JSON");
        for record in &bare.records {
            columns.iter_mut().zip(values(record)).for_each(|(column, value)| column.append_option(value));
        }
        (rows, pending) = (rows + bare.records.len() as u64, pending + bare.records.len());
        if pending >= BATCH {
            write(&mut columns);
            pending = 0;
        }
    }
    write(&mut columns);
    writer.into_inner().and_then(|file| Ok(file.sync_all()?)).expect("the disk takes it");
    rows
}

/// A warden of its own, with an archive that is empty.
async fn warden(played: &Played, dir: &Path) -> Arc<Archive> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("the disk takes it");
    let path = played.config(dir);
    let mut text = fs::read_to_string(&path).expect("it was just written");
    text.push_str(&format!("\n[archive]\nlocation = \"file://{}/archive\"\n", dir.display()));
    fs::write(&path, text).expect("the disk takes it");
    let works = Works::open(&Config::load(&path).expect("a configuration"), &Env::system()).await.expect("the works");
    let archive = works.archive.expect("an archive");
    archive.begin().await.expect("it begins");
    archive
}

/// How long an import takes, and what it wrote.
async fn import(played: &Played, archive: &Arc<Archive>, workers: usize) -> (Duration, u64, u64) {
    let bucket = Arc::new(Dir::open(&played.dir.join("bucket")).expect("a directory"));
    let from = Import { bucket, prefix: String::new(), object_limit: 64 << 20, caps: Caps::default(), workers };
    let begun = std::time::Instant::now();
    let imported = archive.import(Arc::new(from), Arc::<Progress>::default()).await.expect("imported");
    assert_eq!((imported.unreadable, imported.flushed.repeats), (0, 0));
    (begun.elapsed(), imported.flushed.rows, imported.flushed.bytes)
}

fn main() {
    if !common::is_bench() {
        return;
    }
    let wanted: usize = std::env::var("TRAILWARDEN_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(4_000);
    let scratch = Scratch::new("import");
    let hours = 24_u32;
    let accounts = (wanted / (hours as usize * 8)).max(1);
    let scale = Scale { accounts, regions: 1, hours, logs_per_hour: (4, 4), records_per_log: RECORDS };
    let played = play(&scratch.0.join("world"), scale);
    let (files, stored) = (played.logs.len(), played.logs.iter().map(|log| log.stored).sum::<u64>());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let dir = scratch.0.join("warden");
    let (mut beside, mut both) = (Beside::default(), Vec::new());
    let (mut rows, mut bytes) = (0, 0);
    for _ in 0..ROUNDS {
        let of_floor = time(|| rows = floor(&played, &scratch.0.join("floor.parquet")));
        let archive = runtime.block_on(warden(&played, &dir));
        let (took, of_ours, written) = runtime.block_on(import(&played, &archive, 1));
        // a handful of Insights lie in the bucket besides
        assert!(of_ours >= rows && of_ours - rows <= rows / 1_000, "not the same work: {of_ours} and {rows}");
        bytes = written;
        beside.push(of_floor, took);
        let archive = runtime.block_on(warden(&played, &dir));
        both.push(runtime.block_on(import(&played, &archive, 2)).0.as_secs_f64());
    }
    let archive = runtime.block_on(warden(&played, &dir));
    runtime.block_on(import(&played, &archive, 1));
    let begun = std::time::Instant::now();
    let merged = runtime.block_on(archive.compact(true, |_| ())).expect("merged");
    let merging = begun.elapsed().as_secs_f64();
    let bare = fs::metadata(scratch.0.join("floor.parquet")).expect("it was just written").len();

    println!("{files} files of {} bytes, {rows} records", stored / files as u64);
    let rate = |seconds: f64| format!("{:.0} files/s", files as f64 / seconds);
    figure("floor: inflate + SHA-256 + typed parse + Parquet, one thread", rate(beside.floor()), "");
    figure("import --threads 1", rate(beside.ours()), "");
    figure("import --threads 1 ÷ floor", format!("{:.2}", beside.ratio()), "wanted: 0.7 or more");
    figure("import --threads 2", rate(median(both)), "");
    let each = |bytes: u64, rows: u64| format!("{:.1} bytes", bytes as f64 / rows as f64);
    let part = |bytes: u64| format!("{:.2} of the stored logs", bytes as f64 / stored as f64);
    figure("a record in the logs, gzipped", each(stored, rows), "");
    figure("a row of the floor's file", each(bare, rows), &part(bare));
    figure("a row as it is written first", each(bytes, rows), &part(bytes));
    if merged.files > 0 {
        let kept = merged.bytes * rows / merged.rows;
        figure("a row as it stays", each(merged.bytes, merged.rows), &format!("{}; wanted: at most 0.6", part(kept)));
        figure("merging", format!("{:.0} rows/s", merged.rows as f64 / merging), "");
    }
}
