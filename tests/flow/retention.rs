//! Retention on an S3 that really refuses: plans made and applied by the program, as a process, on an emulator.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::SignedDuration;
use serde_json::Value;
use trailwarden::core::lock::{Action, Mode, lifecycle};
use trailwarden::core::protection::Part;
use trailwarden::env::Env;
use trailwarden::seam::Vault as _;

use crate::common::emulator::{Emulator, REGION, env_of};
use crate::common::stub::{Answer, Asked, Stub};
use crate::common::warden::{command, pause, run_with, stderr, stdout};

pub const PROD: &str = "111111111111";
pub const REST: &str = "222222222222";
/// A rule of somebody else, as no SDK would write it.
pub const THEIRS: &str = "<Rule><ID>them &amp; us</ID><Filter><And><Prefix>tmp/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>7</ObjectSizeGreaterThan></And></Filter>\
                      <Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule>";

/// A log's key, of so many days ago.
pub fn key_of(account: &str, number: usize, days: i64) -> String {
    let now = Env::system().now() - SignedDuration::from_hours(24 * days);
    let (day, stamp) = (now.strftime("%Y/%m/%d"), now.strftime("%Y%m%dT%H%MZ"));
    format!("AWSLogs/{account}/CloudTrail/{REGION}/{day}/{account}_CloudTrail_{REGION}_{stamp}_{number:016}.json.gz")
}

struct Ground {
    dir: tempfile::TempDir,
    bucket: String,
    s3: aws_sdk_s3::Client,
    vault: trailwarden::aws::S3Vault,
    env: Vec<(&'static str, String)>,
}

impl Ground {
    /// A bucket with Object Lock and nothing else, and three logs of each account that came before any default.
    async fn new(emulator: &Emulator, bucket: &str, retention: &str) -> Self {
        let s3 = emulator.s3().await;
        let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        let made = s3.create_bucket().bucket(bucket).create_bucket_configuration(place);
        made.object_lock_enabled_for_bucket(true).send().await.unwrap();
        let vault = emulator.aws().await.vault(bucket, None);
        let env = env_of(&emulator.endpoint);
        let ground = Self { dir: tempfile::tempdir().unwrap(), bucket: bucket.into(), s3, vault, env };
        ground.configure(retention);
        for account in [PROD, REST] {
            for number in 0..3 {
                ground.deliver(account, number).await;
            }
        }
        ground.backfill();
        ground
    }

    fn configure(&self, retention: &str) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        for folder in ["spool", "keys"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        let members = format!(
            "[[account]]\nid = \"{PROD}\"\nou = \"r-1/ou-prod/ou-leaf\"\n[[account]]\nid = \"{REST}\"\nou = \"r-1/ou-dev\"\n"
        );
        std::fs::write(path("members.toml"), members).unwrap();
        let bucket = &self.bucket;
        let text = format!(
            "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"{bucket}\"\nregion = \"{REGION}\"\n\
             queue = \"file://{}\"\nkeys = \"keys\"\nlayout = [\"AWSLogs/{{account}}/\"]\nvalidation = \"none\"\n\
             [state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n[retention]\n{retention}\n",
            path("spool")
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("trailwarden.toml")
    }

    async fn deliver(&self, account: &str, number: usize) -> String {
        let body = trailwarden::core::gzip::deflate(br#"{"Records":[]}"#);
        let key = key_of(account, number, 0);
        self.s3.put_object().bucket(&self.bucket).key(&key).body(ByteStream::from(body)).send().await.unwrap();
        key
    }

    /// Takes in what lies in the bucket.
    fn backfill(&self) {
        let output = self.run(&["backfill", "--from", "2d"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    fn run(&self, args: &[&str]) -> Output {
        let config = self.config();
        run_with(&self.env, &[args, &["--config", config.to_str().unwrap()]].concat())
    }

    fn ended(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// A plan, written to a file.
    fn plan(&self, code: i32) -> (Value, String) {
        let file = self.dir.path().join("plan.json").display().to_string();
        let text = self.ended(&["retention", "plan", "--json", "--out", &file], code);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(&file).unwrap()).unwrap(), told);
        (told["plans"][0].clone(), file)
    }

    fn apply(&self, file: &str, more: &[&str], code: i32) -> String {
        self.ended(&[&["retention", "apply", "--plan", file], more].concat(), code)
    }

    /// Every version under an account, with its lock.
    async fn locks(&self, account: &str) -> Vec<trailwarden::seam::Locked> {
        let (versions, _) = self.vault.versions(&format!("AWSLogs/{account}/"), None).await.unwrap();
        let mut locks = Vec::new();
        for version in versions {
            locks.push(self.vault.lock(&version.key, version.version.as_deref()).await.unwrap().unwrap());
        }
        locks
    }

    async fn are_locked(&self, account: &str, mode: Mode, days: i64, number: usize) {
        let locks = self.locks(account).await;
        assert_eq!(locks.len(), number);
        for lock in locks {
            let retention = lock.retention.expect("it is locked");
            assert_eq!(retention.mode, mode);
            let off = retention.until.duration_since(lock.created + SignedDuration::from_hours(24 * days)).as_secs();
            assert!((-2..=2).contains(&off), "{lock:?}: {off} s from {days} days");
        }
    }

    async fn set_rules(&self, rules: &str) {
        let document = lifecycle::write(&[lifecycle::Rule { raw: rules.into(), ..lifecycle::Rule::default() }]);
        self.vault
            .apply(&Action::SetLifecycle { document: Some(document), minimum: None, made_from: None })
            .await
            .unwrap();
    }

    async fn lifecycle(&self) -> String {
        self.vault.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle).unwrap_or_default().to_owned()
    }
}

fn done(plan: &Value) -> Vec<&str> {
    plan["steps"].as_array().unwrap().iter().map(|step| step["do"].as_str().unwrap()).collect()
}

pub const GOVERNANCE: &str = "keep = \"30d\"\n[[retention.override]]\nou = \"ou-prod\"\nkeep = \"90d\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_comes_to_be_as_promised_and_stays_so() {
    let Some(emulator) = Emulator::shared() else { return };
    let ground = Ground::new(emulator, "promised", GOVERNANCE).await;
    ground.set_rules(THEIRS).await;
    let theirs = ground.lifecycle().await;
    assert!(theirs.contains(THEIRS), "the emulator keeps rules as they are: {theirs}");

    let (plan, file) = ground.plan(4);
    assert_eq!(done(&plan), ["set_default", "set_lifecycle", "extend"]);
    assert_eq!(plan["steps"][2]["effect"]["objects"], 6, "what came before the default has no lock");
    assert!(ground.locks(PROD).await.iter().all(|lock| lock.retention.is_none()), "to plan changes nothing");
    assert_eq!(ground.lifecycle().await, theirs);
    ground.apply(&file, &[], 0);
    ground.are_locked(PROD, Mode::Governance, 90, 3).await;
    ground.are_locked(REST, Mode::Governance, 30, 3).await;
    let (plan, file) = ground.plan(0);
    assert_eq!(done(&plan), [""; 0]);
    ground.apply(&file, &[], 0);
    let rules = ground.lifecycle().await;
    assert!(rules.contains(THEIRS) && rules.contains("<ID>trailwarden-uploads</ID>"), "{rules}");

    // What comes now has the default; only the override asks for more.
    ground.deliver(PROD, 7).await;
    ground.deliver(REST, 7).await;
    ground.backfill();
    ground.are_locked(REST, Mode::Governance, 30, 4).await;
    let (plan, file) = ground.plan(4);
    assert_eq!(done(&plan), ["extend"]);
    // Keys tell the minute: the other account's may be of the minute in which the default came, and is looked at.
    assert!((1..=2).contains(&plan["steps"][0]["effect"]["objects"].as_u64().unwrap()));
    ground.apply(&file, &[], 0);
    ground.are_locked(REST, Mode::Governance, 30, 4).await;
    ground.are_locked(PROD, Mode::Governance, 90, 4).await;
    ground.plan(0);

    // The promise gets smaller: nothing else does.
    ground.configure("keep = \"10d\"");
    let text = ground.ended(&["retention", "plan"], 0);
    assert!(text.contains("nothing is ever shortened"), "{text}");
    ground.are_locked(PROD, Mode::Governance, 90, 4).await;
    ground.are_locked(REST, Mode::Governance, 30, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_somebody_elses_change_made_stale_is_refused() {
    let Some(emulator) = Emulator::shared() else { return };
    let ground = Ground::new(emulator, "stale", GOVERNANCE).await;
    let (_, file) = ground.plan(4);
    ground.set_rules(THEIRS).await;
    let before = ground.lifecycle().await;
    let said = ground.apply(&file, &[], 4);
    assert!(said.contains("stale after 0 steps"), "{said}");
    assert_eq!(ground.lifecycle().await, before);
    assert!(ground.locks(REST).await.iter().all(|lock| lock.retention.is_none()));

    // The configuration counts as much as the bucket.
    let (_, file) = ground.plan(4);
    ground.configure("keep = \"31d\"");
    assert!(ground.apply(&file, &[], 4).contains("stale"));
    // A plan is made, not written: what somebody put into the file is not done.
    let (_, file) = ground.plan(4);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"days\": 31", "\"days\": 1")).unwrap();
    assert!(ground.apply(&file, &[], 4).contains("stale"));
    let missing = ground.run(&["retention", "apply", "--plan", "/nonexistent"]);
    assert!(missing.status.code() == Some(1) && stderr(&missing).contains("/nonexistent: "), "{}", stderr(&missing));
    std::fs::write(&file, "{}").unwrap();
    ground.apply(&file, &[], 2);
    let (_, file) = ground.plan(4);
    ground.apply(&file, &[], 0);
    assert!(ground.lifecycle().await.contains(THEIRS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_wants_the_buckets_name() {
    let Some(emulator) = Emulator::shared() else { return };
    let strict = format!("mode = \"compliance\"\n{GOVERNANCE}");
    let ground = Ground::new(emulator, "forever", &strict).await;
    let (plan, file) = ground.plan(4);
    assert!(plan["steps"][0]["irreversible"].as_str().unwrap().contains("deleted by nobody for 30 days"));
    assert!(plan["steps"][1]["irreversible"].is_null(), "to give up uploads is no loss");
    for wrong in [&[][..], &["--accept-irreversible", "forevr"]] {
        let said = ground.apply(&file, wrong, 4);
        assert!(said.contains("nothing was done") && said.contains("--accept-irreversible forever"), "{said}");
        assert!(ground.locks(REST).await.iter().all(|lock| lock.retention.is_none()));
        assert_eq!(ground.lifecycle().await, "");
    }
    ground.apply(&file, &["--accept-irreversible", "forever"], 0);
    ground.plan(0);
    ground.are_locked(PROD, Mode::Compliance, 90, 3).await;
    for (account, _) in [(PROD, 90), (REST, 30)] {
        let (versions, _) = ground.vault.versions(&format!("AWSLogs/{account}/"), None).await.unwrap();
        for version in versions {
            let delete = ground.s3.delete_object().bucket("forever").key(&version.key);
            let delete = delete.set_version_id(version.version).bypass_governance_retention(true);
            delete.send().await.expect_err("it is locked for everybody");
        }
    }
    // The journal says what was done.
    let conn = rusqlite::Connection::open(ground.dir.path().join("state.db")).unwrap();
    let mut query =
        conn.prepare("SELECT what FROM journal WHERE what IN ('applied', 'extended') ORDER BY seq").unwrap();
    let what: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(what, ["applied", "applied", "extended", "extended"]);
}

/// Lets requests through to the emulator; the one that changes something for the `at`-th time is the last.
struct Gate {
    stub: Stub,
    changes: Arc<AtomicUsize>,
}

impl Gate {
    /// With `after`, the last change has its effect, and only its answer is lost.
    fn new(upstream: &str, at: usize, after: bool) -> Self {
        let changes = Arc::<AtomicUsize>::default();
        let (upstream, counted) = (upstream.trim_start_matches("http://").to_owned(), changes.clone());
        let stub = Stub::start(move |asked| {
            let last = asked.method == "PUT" && counted.fetch_add(1, Ordering::SeqCst) + 1 >= at;
            let answer = if last && !after { None } else { Some(forward(&upstream, asked)) };
            if last {
                loop {
                    pause(Duration::from_secs(1));
                }
            }
            answer.unwrap()
        });
        Self { stub, changes }
    }
}

fn forward(upstream: &str, asked: &Asked) -> Answer {
    let mut stream = TcpStream::connect(upstream).unwrap();
    let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
    let mut head = format!("{} {}{query} HTTP/1.1\r\nconnection: close\r\n", asked.method, asked.path);
    for (name, value) in asked.headers.iter().filter(|(name, _)| name.as_str() != "connection") {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    stream.write_all((head + "\r\n").as_bytes()).and_then(|()| stream.write_all(&asked.body)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    let mut out = Answer::new(status, body);
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        let name = name.to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "date" | "server")
            && (asked.method == "HEAD" || name != "content-length")
        {
            out = out.header(name.leak(), value);
        }
    }
    out
}

fn start(ground: &Ground, endpoint: &str, file: &str) -> Child {
    let config = ground.config();
    let args = ["retention", "apply", "--plan", file, "--config", config.to_str().unwrap()];
    command(&env_of(endpoint)).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_steps_the_next_plan_is_the_rest() {
    let Some(emulator) = Emulator::shared() else { return };
    let all = ["set_default", "set_lifecycle", "extend"];
    for (at, after, left) in
        [(1, false, &all[..]), (1, true, &all[1..]), (2, false, &all[1..]), (2, true, &all[2..]), (4, true, &all[2..])]
    {
        let ground = Ground::new(emulator, &format!("killed-{at}-{after}"), GOVERNANCE).await;
        ground.set_rules(THEIRS).await;
        let (_, file) = ground.plan(4);
        let gate = Gate::new(&emulator.endpoint, at, after);
        let mut child = start(&ground, &gate.stub.endpoint, &file);
        for _ in 0..600 {
            if gate.changes.load(Ordering::SeqCst) >= at {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended before the {at}th change");
            pause(Duration::from_millis(50));
        }
        pause(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        let (rest, file) = ground.plan(4);
        assert_eq!(done(&rest), left, "killed at {at}, after its effect: {after}");
        ground.apply(&file, &[], 0);
        ground.plan(0);
        ground.are_locked(PROD, Mode::Governance, 90, 3).await;
        ground.are_locked(REST, Mode::Governance, 30, 3).await;
        assert!(ground.lifecycle().await.contains(THEIRS));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_shortens_the_default_is_found_and_what_came_meanwhile_is_locked() {
    let Some(emulator) = Emulator::shared() else { return };
    let ground = Ground::new(emulator, "shortened", "keep = \"30d\"\nenforce = \"apply\"\naudit = \"1m\"").await;
    let (_, file) = ground.plan(4);
    ground.apply(&file, &[], 0);
    ground.are_locked(REST, Mode::Governance, 30, 3).await;
    // By another hand: S3 lets a default be shortened, and so do we not.
    let default = aws_sdk_s3::types::DefaultRetention::builder().mode("GOVERNANCE".into()).days(1).build();
    let rule = aws_sdk_s3::types::ObjectLockRule::builder().default_retention(default).build();
    let lock = aws_sdk_s3::types::ObjectLockConfiguration::builder().object_lock_enabled("Enabled".into()).rule(rule);
    let put = ground.s3.put_object_lock_configuration().bucket("shortened");
    put.object_lock_configuration(lock.build()).send().await.unwrap();
    let key = ground.deliver(REST, 9).await;
    ground.backfill();
    let text = ground.ended(&["findings", "list"], 0);
    assert!(text.contains("lock_short"), "seen when it was read: {text}");
    let (plan, file) = ground.plan(4);
    assert_eq!(done(&plan), ["set_default", "extend"], "what came while it was short is locked one by one");
    ground.apply(&file, &[], 0);
    ground.plan(0);
    let lock = ground.vault.lock(&key, None).await.unwrap().unwrap().retention.unwrap();
    assert!(lock.until > Env::system().now() + SignedDuration::from_hours(24 * 29), "{lock:?}");
    ground.are_locked(REST, Mode::Governance, 30, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_put_listed_and_released_with_who_and_why() {
    let Some(emulator) = Emulator::shared() else { return };
    let ground = Ground::new(emulator, "held", "keep = \"30d\"").await;
    let hold = |verb: &'static str, what: &[&'static str], code| {
        let args = [&["retention", "hold", verb][..], what, &["--reason", "case 7", "--by", "kim"]].concat();
        ground.ended(&args, code)
    };
    assert!(hold("put", &["--account", PROD], 0).contains("3 versions held"));
    assert!(ground.locks(PROD).await.iter().all(|lock| lock.held));
    assert!(ground.locks(REST).await.iter().all(|lock| !lock.held));
    hold("put", &["--account", "999999999999"], 1);
    hold("put", &["--prefix", "AWSLogs/222222222222/"], 0);
    let listed = ground.ended(&["retention", "holds"], 0);
    assert_eq!(listed.lines().count(), 2);
    assert!(listed.contains("AWSLogs/111111111111/ 3 versions by kim") && listed.contains("case 7"), "{listed}");
    hold("release", &["--account", PROD], 0);
    assert!(ground.locks(PROD).await.iter().all(|lock| !lock.held));
    assert_eq!(ground.ended(&["retention", "holds"], 0).lines().count(), 1);
    let conn = rusqlite::Connection::open(ground.dir.path().join("state.db")).unwrap();
    let mut query =
        conn.prepare("SELECT what, detail FROM journal WHERE what IN ('held', 'released') ORDER BY seq").unwrap();
    let told: Vec<(String, String)> =
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert_eq!(told.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(), ["held", "held", "released"]);
    assert!(told.iter().all(|(_, detail)| detail == "3 versions by kim: case 7"), "{told:?}");
}
