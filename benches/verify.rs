//! `verify` of ten thousand logs, from a directory and from S3's stand-in; beside `aws cloudtrail validate-logs` on the same
//! objects from the same stand-in, and beside the bare inflating and hashing.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;
#[path = "../tests/common/keys_stub.rs"]
#[allow(dead_code)]
mod keys_stub;
#[path = "common/s3.rs"]
mod s3;
#[path = "../tests/common/stub.rs"]
#[allow(dead_code)]
mod stub;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Beside, Played, RECORDS, Scratch, figure, median, play, time};
use criterion::{Criterion, Throughput};
use jiff::{SignedDuration, Timestamp};
use keys_stub::StubKey;
use s3::Server;
use serde_json::json;
use stub::{Answer, Stub};
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::id::Sha256;
use trailwarden::world::Scale;

/// One account and region, two trails: more than ten thousand logs.
const SCALE: Scale = Scale { accounts: 1, regions: 1, hours: 24, logs_per_hour: (232, 232), records_per_log: RECORDS };
const PEER: &str = "awscli==1.46.2";
/// How often the AWS CLI and we take turns.
const ROUNDS: usize = 5;
const LATENCY: Duration = Duration::from_millis(20);

fn main() {
    if !common::is_bench() {
        return;
    }
    let scratch = Scratch::new("verify");
    let played = play(&scratch.0, SCALE);
    let server = Server::start(&played.dir.join("bucket"), &[]);
    let cloudtrail = cloudtrail(&played);
    let world = World { played: &played, server: &server, cloudtrail: &cloudtrail };
    println!("{} logs, {} digests", played.logs.len(), played.digests);

    let mut beside = Beside::default();
    let objects = world.offline().1;
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(objects));
    group.bench_function("offline", |b| {
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let floor = floor(&played);
                    let (ours, _) = world.offline();
                    beside.push(floor, ours);
                    ours
                })
                .sum()
        });
    });
    group.finish();
    criterion.final_summary();

    let rate = |objects: u64, seconds: f64| objects as f64 / seconds;
    let offline = rate(objects, beside.ours());
    println!();
    let bare = rate(played.logs.len() as u64, beside.floor());
    figure("floor: read + inflate + SHA-256, two threads", format!("{bare:.0}/s"), "objects");
    figure("verify --offline, start-up included", format!("{offline:.0}/s"), "objects");
    figure("verify --offline ÷ floor", format!("{:.2}", beside.ratio()), "");
    let Some(aws) = install() else { return };
    // in turn, so that whatever else the machine does meets all of them
    let mut rows: Vec<[f64; 5]> = Vec::new();
    for _ in 0..ROUNDS {
        let rate = |(took, objects): (Duration, u64)| rate(objects, took.as_secs_f64());
        server.delay(Duration::ZERO);
        let (near_peer, offline, near) = (world.peer(&aws, 6), rate(world.offline()), rate(world.online()));
        server.delay(LATENCY);
        rows.push([near_peer, offline, near, world.peer(&aws, 1), rate(world.online())]);
    }
    let column = |of: fn(&[f64; 5]) -> f64| median(rows.iter().map(of).collect());
    figure("aws cloudtrail validate-logs, beyond its start-up", format!("{:.0}/s", column(|row| row[0])), "objects");
    figure("verify online, start-up included", format!("{:.0}/s", column(|row| row[2])), "objects");
    figure(
        "aws cloudtrail validate-logs, 20 ms more for each GET",
        format!("{:.1}/s", column(|row| row[3])),
        "objects",
    );
    figure("verify online, 20 ms more for each GET", format!("{:.0}/s", column(|row| row[4])), "objects");
    let ratio = |of: fn(&[f64; 5]) -> f64| format!("{:.1}", column(of));
    figure("verify --offline ÷ aws", ratio(|row| row[1] / row[0]), "wanted: 10 or more");
    figure("verify online ÷ aws", ratio(|row| row[2] / row[0]), "");
    figure("verify online ÷ aws, 20 ms more for each GET", ratio(|row| row[4] / row[3]), "wanted: 50 or more");
}

/// Every log read, inflated and hashed, on two threads.
fn floor(played: &Played) -> Duration {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(log) = played.logs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stored = fs::read(&log.path).expect("it was written");
            let inflated = gzip::inflate(&stored, Caps::default()).expect("a made file inflates");
            std::hint::black_box(Sha256::of(&inflated.bytes));
        }
    };
    time(|| {
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    })
}

/// What of CloudTrail and Organizations the AWS CLI asks.
fn cloudtrail(played: &Played) -> Stub {
    let keys: Vec<StubKey> = played
        .world
        .keys
        .iter()
        .map(|(region, key)| StubKey {
            region: region.to_string(),
            fingerprint: key.fingerprint.clone(),
            value: key.der.clone(),
            valid_from: key.valid_from.unwrap_or(Timestamp::UNIX_EPOCH),
            valid_to: key.valid_to.unwrap_or(Timestamp::MAX),
        })
        .collect();
    let trails = json!({ "trailList": [{
        "TrailARN": arn(played), "S3BucketName": played.world.bucket, "IsOrganizationTrail": true,
    }] });
    let organization = json!({ "Organization": { "Id": played.world.org.as_str() } });
    Stub::start(move |asked| match asked.operation.as_str() {
        "ListPublicKeys" => keys_stub::answer(&keys, 10, asked),
        "DescribeTrails" => Answer::json(&trails),
        "DescribeOrganization" => Answer::json(&organization),
        _ => Answer::json_error(400, "UnknownOperationException", "not known here"),
    })
}

fn arn(played: &Played) -> String {
    let trail = played.world.trails.first().expect("a world has trails");
    let account = played.world.members.first().expect("a world has members").account;
    format!("arn:aws:cloudtrail:{}:{account}:trail/{}", trail.home, trail.name)
}

struct World<'a> {
    played: &'a Played,
    server: &'a Server,
    cloudtrail: &'a Stub,
}

impl World<'_> {
    fn env(&self, command: &mut Command) {
        let region = self.played.world.regions.first().expect("a world has regions").as_str();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.played.dir)
            .env("AWS_ENDPOINT_URL_S3", &self.server.endpoint)
            .env("AWS_ENDPOINT_URL_CLOUDTRAIL", &self.cloudtrail.endpoint)
            .env("AWS_ENDPOINT_URL_ORGANIZATIONS", &self.cloudtrail.endpoint)
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs([("AWS_REGION", region), ("AWS_DEFAULT_REGION", region), ("AWS_EC2_METADATA_DISABLED", "true")]);
    }

    fn offline(&self) -> (Duration, u64) {
        self.verify(&[
            "--offline".as_ref(),
            &self.played.dir.join("bucket"),
            "--keys".as_ref(),
            &self.played.dir.join("keys"),
        ])
    }

    fn online(&self) -> (Duration, u64) {
        let (from, to) = (self.played.world.start.to_string(), self.played.world.end().to_string());
        let bucket = self.played.world.bucket.as_str();
        self.verify(&["--s3-bucket", bucket, "--from", &from, "--to", &to].map(Path::new))
    }

    /// The program from start to end; how long it took, and how many objects it proved.
    fn verify(&self, args: &[&Path]) -> (Duration, u64) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
        self.env(&mut command);
        command.arg("--config").arg(self.played.dir.join("none.toml")).args(["verify", "--json"]).args(args);
        let mut output = None;
        let took = time(|| output = Some(command.output().expect("the program starts")));
        let output = output.expect("it ran");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let good = |of: &str| report[of]["good"].as_u64().unwrap_or(0);
        let bad = report["findings"].as_array().map_or(1, Vec::len);
        assert!(bad == 0 && good("logs") > 9_000, "{report}\n{}", String::from_utf8_lossy(&output.stderr));
        (took, good("digests") + good("logs"))
    }

    /// Objects a second over so many hours of one trail, beyond what one hour takes.
    fn peer(&self, aws: &Path, hours: i64) -> f64 {
        let (short, long) = (self.validate(aws, 1), self.validate(aws, 1 + hours));
        (long.1 - short.1) as f64 / (long.0 - short.0).as_secs_f64()
    }

    fn validate(&self, aws: &Path, hours: i64) -> (Duration, u64) {
        let world = &self.played.world;
        let from = world.start + SignedDuration::from_hours(2);
        let to = from + SignedDuration::from_hours(hours);
        let account = world.members.first().expect("a world has members").account.to_string();
        let mut command = Command::new(aws);
        self.env(&mut command);
        command.args(["cloudtrail", "validate-logs", "--trail-arn", &arn(self.played), "--account-id", &account]);
        command.args(["--start-time", &from.to_string(), "--end-time", &to.to_string()]);
        let mut output = None;
        let took = time(|| output = Some(command.output().expect("the AWS CLI starts")));
        let output = output.expect("it ran");
        let said = String::from_utf8_lossy(&output.stdout);
        // "210/210 log files valid"
        let valid = |what: &str| -> u64 {
            let line = said.lines().find(|line| line.contains(what) && line.contains(" valid"));
            line.and_then(|line| line.split('/').next()?.trim().parse().ok()).unwrap_or(0)
        };
        let objects = valid(" digest files") + valid(" log files");
        assert!(objects > 0, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        (took, objects)
    }
}

/// The AWS CLI in a virtual environment under the build directory, made when it is missing.
fn install() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let venv = target.join("awscli-venv");
    let (aws, marker) = (venv.join("bin/aws"), venv.join("installed"));
    if fs::read_to_string(&marker).is_ok_and(|text| text == PEER) {
        return Some(aws);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    let mut fill = Command::new(venv.join("bin/python"));
    fill.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PEER]);
    for command in [&mut make, &mut fill] {
        if !command.status().is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no AWS CLI to measure beside: {command:?} failed; Python 3 and PyPI are needed");
            return None;
        }
    }
    fs::write(&marker, PEER).ok()?;
    Some(aws)
}
