//! The program under pressure, as it runs: `run --drain` between stand-ins for S3 and SQS. Its peak memory with bombs, with
//! very large logs and with a long queue, under the default limits; and how much it settles when every answer takes 20 ms.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;
#[path = "common/s3.rs"]
mod s3;
#[path = "common/sqs.rs"]
mod sqs;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::body::Bytes;
use common::{Played, RECORDS, Scratch, figure, median, peak_rss, play};
use rusqlite::{Connection, OpenFlags};
use s3::Server;
use sqs::Sqs;
use trailwarden::core::gzip;
use trailwarden::world::Scale;

/// About ten thousand logs of common size.
const COMMON: Scale = Scale { accounts: 4, regions: 2, hours: 10, logs_per_hour: (64, 64), records_per_log: RECORDS };
/// More than a hundred thousand messages; the logs are small, as the queue is what is looked at.
const MANY: Scale = Scale { accounts: 8, regions: 2, hours: 20, logs_per_hour: (180, 180), records_per_log: (2, 2) };
const LATENCY: Duration = Duration::from_millis(20);
/// What a bomb inflates to, how many of each kind wait, and how much of the larger kind is noise.
const BOMB: usize = 1 << 30;
const BOMBS: usize = 8;
const NOISE: usize = 60_000_000;
/// What CloudTrail's largest files inflate to, and how many of them wait in a row.
const LARGE: usize = 50_000_000;
const LARGE_LOGS: usize = 200;
/// The longest message bodies that SQS carries, in a row; nobody understands them.
const BODY: usize = 1 << 20;
const BODIES: usize = 400;
/// An ordinary queue behind what is not ordinary.
const BEHIND: usize = 1_000;

/// What it is asked for by, and its figures.
type Part = (&'static str, fn(&Played));

fn main() {
    if !common::is_bench() {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |part: &str| parts.is_empty() || parts.iter().any(|asked| asked == part);
    if ["latency", "bombs", "large", "bodies"].into_iter().any(asked) {
        let scratch = Scratch::new("press");
        let played = play(&scratch.0, COMMON);
        let runs: [Part; 4] = [("latency", latency), ("bombs", bombed), ("large", large), ("bodies", talked)];
        runs.iter().filter(|(part, _)| asked(part)).for_each(|(_, run)| run(&played));
    }
    if asked("queue") || asked("spool") {
        let scratch = Scratch::new("press-many");
        let played = play(&scratch.0, MANY);
        let runs: [Part; 2] = [("queue", queued), ("spool", spooled)];
        runs.iter().filter(|(part, _)| asked(part)).for_each(|(_, run)| run(&played));
    }
}

fn memory(what: &str, peak: f64) {
    figure(&format!("peak RSS, {what}"), format!("{peak:.0} MB"), "wanted: under 256 MB");
}

fn latency(played: &Played) {
    let runs: Vec<Run> = (0..3).map(|_| Run::start(played, &[], &played.messages, LATENCY)).collect();
    let rates: Vec<f64> = runs.iter().map(|run| run.objects() as f64 / run.took.as_secs_f64()).collect();
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let wanted = "objects; wanted: 1,500/s or more";
    figure("S3 and SQS 20 ms away, queue to deletion", format!("{:.0}/s", median(rates)), wanted);
    figure("the same, slowest of three", format!("{slowest:.0}/s"), "objects");
    memory("S3 and SQS 20 ms away, worst of three", runs.iter().map(|run| run.peak).fold(0.0, f64::max));
}

fn bombed(played: &Played) {
    let bombs = bombs(played);
    let run = Run::start(played, &bombs, &played.messages[..BEHIND.min(played.messages.len())], Duration::ZERO);
    assert_eq!(run.count("findings WHERE kind = 'object_too_large'"), bombs.len() as u64, "every bomb is told");
    memory(&format!("{} bombs of 1 GiB inflated", bombs.len()), run.peak);
}

fn large(played: &Played) {
    let body = Bytes::from(played.large(LARGE));
    let named = played.more(0..LARGE_LOGS, body.len()).into_iter();
    let large: Vec<Waiting> = named.map(|(key, message)| Waiting { key, message, body: body.clone() }).collect();
    let run = Run::start(played, &large, &played.messages[..BEHIND.min(played.messages.len())], Duration::ZERO);
    assert!(run.objects() > LARGE_LOGS as u64, "they are read, and what waits behind them");
    memory(&format!("{LARGE_LOGS} logs of 50 MB inflated"), run.peak);
}

fn talked(played: &Played) {
    let long = (0..BODIES).map(|number| format!("{number:04}{}", "0".repeat(BODY - 4)).into_bytes());
    let messages: Vec<Vec<u8>> = long.chain(played.messages.iter().take(BEHIND).cloned()).collect();
    let run = Run::start(played, &[], &messages, Duration::ZERO);
    assert_eq!(run.count("quarantine"), BODIES as u64, "every one is kept");
    memory(&format!("{BODIES} messages of 1 MiB"), run.peak);
}

fn queued(played: &Played) {
    let run = Run::start(played, &[], &played.messages, Duration::ZERO);
    memory(&format!("{} messages waiting in SQS", played.messages.len()), run.peak);
}

/// The same long queue in a directory, with a directory for a bucket.
fn spooled(played: &Played) {
    let work = Scratch::new("press-spool");
    Played::fill(&work.0.join("spool"), &played.messages);
    let peak = peak_rss(&mut drain(&played.config(&work.0)));
    memory(&format!("{} messages waiting in a spool", played.messages.len()), peak);
}

/// An object beside those of the played world, and the message that announces it.
struct Waiting {
    key: String,
    message: Vec<u8>,
    body: Bytes,
}

/// Bombs that are small, and bombs that are nearly as large as an object may be: those hold much before they inflate.
fn bombs(played: &Played) -> Vec<Waiting> {
    let mut raw = vec![b' '; BOMB];
    let small = Bytes::from(gzip::deflate(&raw));
    let mut die = fastrand::Rng::with_seed(7);
    die.fill(&mut raw[..NOISE]);
    let large = Bytes::from(gzip::deflate(&raw));
    let of = |body: &Bytes, first: usize| {
        let named = played.more(first..first + BOMBS, body.len());
        let body = body.clone();
        named.into_iter().map(move |(key, message)| Waiting { key, message, body: body.clone() })
    };
    of(&small, 0).chain(of(&large, BOMBS)).collect()
}

/// One life of the program, from an empty ledger to an empty queue.
struct Run {
    peak: f64,
    /// From the first receive to the last deletion.
    took: Duration,
    work: Scratch,
}

impl Run {
    fn start(played: &Played, first: &[Waiting], then: &[Vec<u8>], latency: Duration) -> Self {
        let work = Scratch::new("press-run");
        let objects: Vec<_> = first.iter().map(|waiting| (waiting.key.clone(), waiting.body.clone())).collect();
        let bucket = Server::start(&played.dir.join("bucket"), &objects);
        bucket.delay(latency);
        let messages: Vec<Vec<u8>> = first.iter().map(|waiting| &waiting.message).chain(then).cloned().collect();
        let queue = Sqs::start(&messages, latency);
        let config = played.config_of(&work.0, &format!("bucket = \"{}\"", played.world.bucket), &queue.url());
        let peak = peak_rss(
            drain(&config)
                .env_clear()
                .env("HOME", &work.0)
                .env("AWS_ENDPOINT_URL_S3", &bucket.endpoint)
                .env("AWS_ENDPOINT_URL_SQS", &queue.endpoint)
                .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
                .env("AWS_EC2_METADATA_DISABLED", "true"),
        );
        assert_eq!(queue.left(), 0, "the queue is emptied");
        Self { peak, took: queue.took(), work }
    }

    fn objects(&self) -> u64 {
        self.count("objects WHERE state = 0")
    }

    fn count(&self, what: &str) -> u64 {
        let path = self.work.0.join("state.db");
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("there is a ledger");
        let count: i64 =
            conn.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).expect("it is SQL");
        count.unsigned_abs()
    }
}

fn drain(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.args(["run", "--drain", "--config"]).arg(config);
    command
}
