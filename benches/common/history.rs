//! An archive to be asked, and DuckDB to be asked the same.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::civil::date;
use trailwarden::archive::Archive;
use trailwarden::archive::rows::{Origin, Rows};
use trailwarden::config::Config;
use trailwarden::env::Env;
use trailwarden::store::archive::files;
use trailwarden::wiring::Works;

use crate::common::{Beside, time};

pub const DAYS: usize = 30;
pub const ACCOUNTS: u64 = 200;
/// Principals of an account, and sessions of each a day.
const PRINCIPALS: u64 = 40;
const SESSIONS: u64 = 5;
/// Rows that are written together, as a busy day's flush.
const FLUSH: usize = 50_000;
/// How often each question is asked of both; the medians count.
pub const TIMES: usize = 7;

/// `TRAILWARDEN_ROWS`, or a million.
pub fn rows() -> usize {
    std::env::var("TRAILWARDEN_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000)
}

pub fn configure(dir: &Path) -> PathBuf {
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
pub fn record(number: usize, rng: &mut Rng) -> String {
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

pub fn id(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}",
        mixed >> 32,
        mixed >> 16 & 0xffff,
        mixed >> 4 & 0xfff,
        mixed & 0xfff
    )
}

pub async fn fill(config: &Path, rows: usize) -> Arc<Archive> {
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

/// The archive's files as DuckDB is told them: those that the ledger has, and none that were replaced and are there for a while.
pub async fn table(archive: &Archive, config: &Path) -> String {
    let dir = config.parent().expect("a folder").join("archive");
    let files = archive.store.read(|conn| files(conn, None)).await.expect("files");
    let names: Vec<String> = files.iter().map(|file| format!("'{}'", dir.join(&file.name).display())).collect();
    format!("read_parquet([{}], hive_partitioning = true, hive_types = {{'date': VARCHAR}})", names.join(", "))
}

/// DuckDB in a process of its own, which stays warm.
pub struct Duck {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

const DUCK: &str = "
import json, sys, time, duckdb
con = duckdb.connect()
for setting in ['enable_progress_bar=false', 'threads=2'] + sys.argv[1:]:
    try: con.execute('SET ' + setting)
    except Exception as error: print(error, file=sys.stderr)
for line in sys.stdin:
    begin = time.perf_counter()
    rows = con.execute(json.loads(line)).fetchall()
    print(json.dumps([time.perf_counter() - begin, len(rows)]), flush=True)
";

impl Duck {
    pub fn start(python: &Path, settings: &[&str]) -> Self {
        let mut child = Command::new(python)
            .args(["-c", DUCK])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let questions = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, questions, answers }
    }

    /// How long it takes to answer, and with how many rows.
    pub fn ask(&mut self, select: &str) -> (Duration, usize) {
        writeln!(self.questions, "{}", serde_json::json!(select)).expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let (seconds, rows): (f64, usize) = serde_json::from_str(&line).expect("an answer");
        (Duration::from_secs_f64(seconds), rows)
    }

    /// Asks both in turn, DuckDB in the fastest of several ways; after a first time, which does not count.
    pub fn beside(&mut self, what: &str, selects: &[String], mut ours: impl FnMut() -> usize) -> Beside {
        let asked = selects.iter().map(|select| (self.ask(select), select));
        let ((_, rows), select) = asked.min_by_key(|((took, _), _)| *took).expect("a question");
        assert_eq!(ours(), rows, "{what}: not the same answer");
        Beside::rounds(TIMES, || self.ask(select).0, || time(&mut ours))
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
