//! Looking things up beside DuckDB, over the same files in the same run: one event, one access key, one principal in a month, and
//! raw logs. `TRAILWARDEN_ROWS` says how many rows (a million). The files are those of the warden's own writer, merged.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;
#[path = "../tests/common/emulator.rs"]
#[allow(dead_code)]
mod emulator;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Scratch, figure, median, peak_rss, time};
use fastrand::Rng;
use jiff::civil::date;
use trailwarden::archive::Archive;
use trailwarden::archive::lookup::{Effort, Newest, Search, Taker};
use trailwarden::archive::rows::{Origin, Rows};
use trailwarden::config::Config;
use trailwarden::core::gzip;
use trailwarden::core::lookup::{Attribute, Question};
use trailwarden::env::Env;
use trailwarden::store::archive;
use trailwarden::wiring::Works;

const DAYS: usize = 30;
const ACCOUNTS: u64 = 200;
/// Principals of an account, and sessions of each a day.
const PRINCIPALS: u64 = 40;
const SESSIONS: u64 = 5;
/// Rows that are written together, as a busy day's flush.
const FLUSH: usize = 50_000;
/// Records of a raw log, and of all of them.
const OF_LOG: usize = 100;
const RAW: usize = 200_000;
const TIMES: usize = 7;

fn main() {
    if !common::is_bench() {
        return;
    }
    let rows: usize = std::env::var("TRAILWARDEN_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let Some(python) = emulator::duckdb() else { return };
    let scratch = Scratch::new("lookup");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = configure(&scratch.0);
    let archive = runtime.block_on(fill(&config, rows));
    println!("{rows} rows in {} files, {} MB", files(&runtime, &archive).len(), bytes(&runtime, &archive) >> 20);
    for (what, args, condition) in questions(rows) {
        beside(&runtime, &archive, &config, &python, what, &args, &condition);
    }
    let bucket = raw(&scratch.0);
    forensic(&bucket, &python);
}

fn configure(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("bucket")).expect("the disk takes it");
    fs::create_dir_all(dir.join("keys")).expect("the disk takes it");
    fs::write(dir.join("members.toml"), "").expect("the disk takes it");
    let at = dir.display();
    let text = format!(
        "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file://{at}/bucket\"\n\
         queue = \"file://{at}/spool\"\nkeys = \"keys\"\n[archive]\nlocation = \"file://{at}/archive\"\n\
         [state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n"
    );
    let path = dir.join("trailwarden.toml");
    fs::write(&path, text).expect("the disk takes it");
    path
}

/// A record of common size; `number` decides who did it when.
fn record(number: usize, rng: &mut Rng) -> String {
    const CALLS: [(&str, &str, bool); 6] = [
        ("ec2", "DescribeInstances", true),
        ("sts", "AssumeRole", true),
        ("kms", "Decrypt", true),
        ("s3", "GetBucketAcl", true),
        ("logs", "CreateLogStream", false),
        ("ec2", "RunInstances", false),
    ];
    let (day, account) = (1 + number / FLUSH % DAYS, 111_122_220_000 + rng.u64(..ACCOUNTS));
    let (principal, session) = (rng.u64(..PRINCIPALS), rng.u64(..SESSIONS));
    let key = account * 1_000_000 + principal * 10_000 + day as u64 * 100 + session;
    let (source, name, read_only) = CALLS[rng.usize(..CALLS.len())];
    let (hour, minute, second) = (rng.u8(..24), rng.u8(..60), rng.u8(..60));
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROA{principal:017}:session-{session}","arn":"arn:aws:sts::{account}:assumed-role/role-{principal}/session-{session}","accountId":"{account}","accessKeyId":"ASIA{key}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROA{principal:017}","arn":"arn:aws:iam::{account}:role/role-{principal}","accountId":"{account}","userName":"role-{principal}"}},"attributes":{{"creationDate":"2026-03-{day:02}T{hour:02}:00:00Z","mfaAuthenticated":"false"}}}}}},"eventTime":"2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"eu-west-1","sourceIPAddress":"10.{}.{}.{}","userAgent":"aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOARCH#amd64 api/{source}#1.61.2","requestParameters":{{"id":"i-{:017x}","names":["n-{principal}","{:08x}"],"maxResults":100}},"responseElements":null,"requestID":"{:08x}-1111-4111-8111-{:012x}","eventID":"{}","readOnly":{read_only},"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{account}","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}.eu-west-1.amazonaws.com"}}}}"#,
        rng.u8(..),
        rng.u8(..),
        rng.u8(..),
        rng.u64(..) >> 4,
        rng.u32(..),
        rng.u32(..),
        rng.u64(..) >> 16,
        id(number),
    )
}

fn id(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}",
        mixed >> 32,
        mixed >> 16 & 0xffff,
        mixed >> 4 & 0xfff,
        mixed & 0xfff
    )
}

async fn fill(config: &Path, rows: usize) -> Arc<Archive> {
    let config = Config::load(config).expect("a configuration");
    let works = Works::open(&config, &Env::system()).await.expect("the works");
    let archive = works.archive.expect("an archive");
    archive.begin().await.expect("it begins");
    let mut rng = Rng::with_seed(7);
    for from in (0..rows).step_by(FLUSH) {
        let mut gathered = Rows::new(archive.ids.identity.clone());
        gathered.begin(Origin { object: "made.json".into(), trail: None, delivered: None, day: date(2026, 4, 1) });
        (from..rows.min(from + FLUSH)).for_each(|number| gathered.push(&record(number, &mut rng)));
        archive.commit(gathered, Vec::new()).await.expect("written");
    }
    archive.compact(true, |_| ()).await.expect("merged");
    archive
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
    python: &Path,
    what: &str,
    args: &[String],
    condition: &str,
) {
    let search = Search { place: archive.place.clone(), question: Arc::new(question(args)) };
    let mut found = 0;
    let mut ours = Vec::new();
    for _ in 0..TIMES {
        let took = time(|| {
            let (mut newest, mut effort) = (Newest::new(1_000, 64 << 20), Effort::default());
            let files = files(runtime, archive);
            runtime.block_on(search.run(files, Taker::Newest(&mut newest), &mut effort)).expect("searched");
            found = newest.into_hits().len();
        });
        ours.push(took.as_secs_f64());
    }
    let mut whole = Vec::new();
    for _ in 0..TIMES {
        whole.push(time(|| assert!(ask(config, args).status().expect("it starts").success())).as_secs_f64());
    }
    let select = format!(
        "SELECT * FROM read_parquet('{}/archive/date=*/*.parquet') WHERE {condition} ORDER BY eventtime DESC LIMIT 1000",
        config.parent().expect("a folder").display()
    );
    let (theirs, rows) = duckdb(python, &["SET parquet_metadata_cache=true", "SET threads=2"], &[select]);
    assert_eq!(rows, found, "{what}: not the same answer");
    let ours = median(ours);
    figure(&format!("{what}: {found} records, in process"), format!("{:.1} ms", ours * 1e3), "wanted: at most 100 ms");
    figure(&format!("{what}: the whole program"), format!("{:.1} ms", median(whole) * 1e3), "");
    figure(&format!("{what}: DuckDB, in process, warm"), format!("{:.1} ms", theirs * 1e3), "");
    figure(&format!("{what}: our time of DuckDB's"), format!("{:.2}", ours / theirs), "wanted: at most 1.0");
    figure(&format!("{what}: peak RSS"), format!("{:.0} MB", peak_rss(&mut ask(config, args))), "");
}

fn ask(config: &Path, args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.arg("lookup").args(args).args(["--format", "json", "--config"]).arg(config);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The median of the fastest of several ways to ask DuckDB the same, in seconds, and how many rows it answered.
fn duckdb(python: &Path, settings: &[&str], selects: &[String]) -> (f64, usize) {
    let script = format!(
        "import sys, json, time, duckdb\nsettings, selects = json.load(sys.stdin)\nbest = None\nfor select in selects:\n    \
         con = duckdb.connect()\n    for setting in settings:\n        try: con.execute(setting)\n        except Exception as e: print(e, file=sys.stderr)\n    \
         took = []\n    for _ in range({TIMES}):\n        begin = time.perf_counter()\n        rows = con.execute(select).fetchall()\n        took.append(time.perf_counter() - begin)\n    \
         took = sorted(took)[len(took) // 2]\n    if best is None or took < best[0]: best = (took, len(rows))\nprint(json.dumps(best))"
    );
    let mut child = Command::new(python)
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    serde_json::to_writer(child.stdin.take().expect("a pipe"), &(settings, selects)).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("an answer")
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

fn forensic(bucket: &Path, python: &Path) {
    let key = format!("ASIA{}", 111_122_220_007_u64 * 1_000_000 + 7 * 10_000 + 100 + 2);
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
        command
            .args(["lookup", "--format", "json", "--config", "/nonexistent", "--access-key", &key, "--raw"])
            .arg(bucket);
        command.stderr(Stdio::null());
        command
    };
    let mut ours = Vec::new();
    let mut found = 0;
    for _ in 0..TIMES {
        ours.push(
            time(|| found = ask().output().expect("it starts").stdout.split(|byte| *byte == b'\n').count() - 1)
                .as_secs_f64(),
        );
    }
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
    let (theirs, rows) = duckdb(python, &["SET threads=2"], &selects);
    assert_eq!(rows, found, "raw logs: not the same answer");
    let ours = median(ours);
    figure("raw logs: records a second, the whole program", format!("{:.0}", RAW as f64 / ours), "");
    figure("raw logs: records a second, DuckDB's read_json", format!("{:.0}", RAW as f64 / theirs), "");
    figure("raw logs: times as fast as DuckDB", format!("{:.1}", theirs / ours), "wanted: at least 6");
    figure("raw logs: peak RSS", format!("{:.0} MB", peak_rss(&mut ask())), "");
}
