//! Looking things up beside DuckDB, over the same files in the same run: one event, one access key, one principal in a month, and
//! raw logs. `TRAILWARDEN_ROWS` says how many rows (a million). The files are those of the warden's own writer, merged.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;
#[path = "../tests/common/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[path = "common/history.rs"]
mod history;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Scratch, figure, median, peak_rss, time};
use fastrand::Rng;
use history::{ACCOUNTS, DAYS, Duck, TIMES, configure, fill, id, record, table};
use trailwarden::archive::Archive;
use trailwarden::archive::lookup::{Effort, Newest, Search, Taker};
use trailwarden::core::gzip;
use trailwarden::core::lookup::{Attribute, Question};
use trailwarden::store::archive;

/// Records of a raw log, and of all of them.
const OF_LOG: usize = 100;
const RAW: usize = 200_000;

fn main() {
    if !common::is_bench() {
        return;
    }
    let rows = history::rows();
    let Some(python) = emulator::duckdb() else { return };
    let scratch = Scratch::new("lookup");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = configure(&scratch.0);
    let archive = runtime.block_on(fill(&config, rows));
    println!("{rows} rows in {} files, {} MB", files(&runtime, &archive).len(), bytes(&runtime, &archive) >> 20);
    let mut duck = Duck::start(&python, &["parquet_metadata_cache=true"]);
    for (what, args, condition) in questions(rows) {
        beside(&runtime, &archive, &config, &mut duck, what, &args, &condition);
    }
    let bucket = raw(&scratch.0);
    forensic(&bucket, &mut duck);
}

fn files(runtime: &tokio::runtime::Runtime, archive: &Archive) -> Vec<archive::ArchiveFile> {
    runtime.block_on(archive.store.read(|conn| archive::files(conn, None))).expect("files")
}

fn bytes(runtime: &tokio::runtime::Runtime, archive: &Archive) -> u64 {
    files(runtime, archive).iter().map(|file| file.bytes).sum()
}

/// What is asked: of the program, and of DuckDB.
fn questions(rows: usize) -> Vec<(&'static str, Vec<String>, String)> {
    let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let (event, account) = (id(rows / 2), 111_122_220_000 + ACCOUNTS / 2);
    let key = format!("ASIA{}", account * 1_000_000 + 7 * 10_000 + 5 * 100 + 2);
    let role = format!("arn:aws:iam::{account}:role/role-7");
    vec![
        ("one event", args(&["--event-id", &event]), format!("eventid = '{event}'")),
        ("one access key", args(&["--access-key", &key]), format!("useridentity.accesskeyid = '{key}'")),
        (
            "one principal in a month",
            args(&["--user", &role, "--from", "2026-03-01", "--to", "2026-04-01"]),
            format!(
                "(useridentity.arn = '{role}' OR useridentity.sessioncontext.sessionissuer.arn = '{role}') \
                 AND eventtime >= '2026-03-01' AND eventtime < '2026-04-01'"
            ),
        ),
    ]
}

fn question(args: &[String]) -> Question {
    let mut question = Question::default();
    for pair in args.chunks_exact(2) {
        let midnight = || format!("{}T00:00:00Z", pair[1]).parse::<jiff::Timestamp>().expect("a time").as_second();
        match pair[0].as_str() {
            "--event-id" => question.ask(Attribute::EventId, &pair[1..]),
            "--access-key" => question.ask(Attribute::AccessKey, &pair[1..]),
            "--user" => question.ask(Attribute::User, &pair[1..]),
            "--from" => question.from = Some(midnight()),
            _ => question.to = Some(midnight()),
        }
    }
    question
}

fn beside(
    runtime: &tokio::runtime::Runtime,
    archive: &Arc<Archive>,
    config: &Path,
    duck: &mut Duck,
    what: &str,
    args: &[String],
    condition: &str,
) {
    let search = Search { place: archive.place.clone(), question: Arc::new(question(args)) };
    let select = format!(
        "SELECT * FROM {} WHERE {condition} ORDER BY eventtime DESC LIMIT 1000",
        runtime.block_on(table(archive, config))
    );
    let mut found = 0;
    let both = duck.beside(what, &[select], || {
        let (mut newest, mut effort) = (Newest::new(1_000, 64 << 20), Effort::default());
        let files = files(runtime, archive);
        runtime.block_on(search.run(files, Taker::Newest(&mut newest), &mut effort)).expect("searched");
        found = newest.into_hits().len();
        found
    });
    let asked = || time(|| assert!(ask(config, args).status().expect("it starts").success())).as_secs_f64();
    let whole = (0..TIMES).map(|_| asked()).collect();
    let (ours, theirs) = (both.ours(), both.floor());
    let wanted = "wanted of an event or a key: at most 100 ms";
    figure(&format!("{what}: {found} records, in process"), format!("{:.1} ms", ours * 1e3), wanted);
    figure(&format!("{what}: the whole program"), format!("{:.1} ms", median(whole) * 1e3), "");
    figure(&format!("{what}: DuckDB, in process, warm"), format!("{:.1} ms", theirs * 1e3), "");
    figure(&format!("{what}: our time of DuckDB's"), format!("{:.2}", 1.0 / both.ratio()), "wanted: at most 1.0");
    figure(&format!("{what}: peak RSS"), format!("{:.0} MB", peak_rss(&mut ask(config, args))), "");
}

fn ask(config: &Path, args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.arg("lookup").args(args).args(["--format", "json", "--config"]).arg(config);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Raw logs as CloudTrail names them.
fn raw(dir: &Path) -> PathBuf {
    let (bucket, mut rng) = (dir.join("raw"), Rng::with_seed(8));
    for log in 0..RAW / OF_LOG {
        let (day, minute) = (1 + log % DAYS, log / DAYS % 1_440);
        let folder = bucket.join(format!("AWSLogs/111122220000/CloudTrail/eu-west-1/2026/03/{day:02}"));
        fs::create_dir_all(&folder).expect("the disk takes it");
        let records: Vec<String> = (0..OF_LOG).map(|at| record(log * OF_LOG + at, &mut rng)).collect();
        let name = format!(
            "111122220000_CloudTrail_eu-west-1_202603{day:02}T{:02}{:02}Z_{log:016}.json.gz",
            minute / 60,
            minute % 60
        );
        let text = format!("{{\"Records\":[{}]}}", records.join(","));
        fs::write(folder.join(name), gzip::deflate(text.as_bytes())).expect("the disk takes it");
    }
    bucket
}

fn forensic(bucket: &Path, duck: &mut Duck) {
    let key = format!("ASIA{}", 111_122_220_007_u64 * 1_000_000 + 7 * 10_000 + 100 + 2);
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
        command
            .args(["lookup", "--format", "json", "--config", "/nonexistent", "--access-key", &key, "--raw"])
            .arg(bucket);
        command.stderr(Stdio::null());
        command
    };
    let glob = format!("{}/AWSLogs/*/*/*/*/*/*/*.json.gz", bucket.display());
    let selects = [
        format!(
            "SELECT r FROM (SELECT unnest(Records) r FROM read_json('{glob}', columns={{'Records': 'JSON[]'}}, maximum_object_size=100000000)) \
             WHERE (r->'userIdentity'->>'accessKeyId') = '{key}'"
        ),
        format!(
            "SELECT r FROM (SELECT unnest(Records) r FROM read_json('{glob}', columns={{'Records': 'STRUCT(eventTime VARCHAR, eventName VARCHAR, \
             eventID VARCHAR, userIdentity STRUCT(accessKeyId VARCHAR, arn VARCHAR))[]'}}, maximum_object_size=100000000)) \
             WHERE r.userIdentity.accessKeyId = '{key}'"
        ),
    ];
    let found = || ask().output().expect("it starts").stdout.split(|byte| *byte == b'\n').count() - 1;
    let both = duck.beside("raw logs", &selects, found);
    let (ours, theirs) = (both.ours(), both.floor());
    figure("raw logs: records a second, the whole program", format!("{:.0}", RAW as f64 / ours), "");
    figure("raw logs: records a second, DuckDB's read_json", format!("{:.0}", RAW as f64 / theirs), "");
    figure("raw logs: times as fast as DuckDB", format!("{:.1}", both.ratio()), "wanted: at least 6");
    figure("raw logs: peak RSS", format!("{:.0} MB", peak_rss(&mut ask())), "");
}
