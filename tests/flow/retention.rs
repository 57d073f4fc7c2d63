//! Retention on an S3 that really refuses: plans made and applied by the program, as a process, on an emulator; and the same on
//! a directory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::SignedDuration;
use serde_json::Value;
use trailwarden::config::Config;
use trailwarden::core::finding::{Finding, Kind};
use trailwarden::core::lock::{Action, Mode, Plan, Retention, Term, lifecycle};
use trailwarden::core::protection::{Key, Part, Protection};
use trailwarden::daemon;
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::local::vault::LocalVault;
use trailwarden::retain::{Applied, Retain, Scope};
use trailwarden::seam::{Locked, Mark, Vault, Version};
use trailwarden::store::{Store, findings, retention};
use trailwarden::wiring::{self, Works};

use crate::common::emulator::{Emulator, REGION, env_of};
use crate::common::stub::{Answer, Asked, Stub};
use crate::common::warden::{command, pause, run_with, stderr, stdout};

const PROD: &str = "111111111111";
const REST: &str = "222222222222";
/// A rule of somebody else, as no SDK would write it.
const THEIRS: &str = "<Rule><ID>them &amp; us</ID><Filter><And><Prefix>tmp/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>7</ObjectSizeGreaterThan></And></Filter>\
                      <Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule>";

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

    fn key(account: &str, number: usize) -> String {
        Self::key_of(account, number, 0)
    }

    /// Of so many days ago.
    fn key_of(account: &str, number: usize, days: i64) -> String {
        let now = Env::system().now() - SignedDuration::from_hours(24 * days);
        let (day, stamp) = (now.strftime("%Y/%m/%d"), now.strftime("%Y%m%dT%H%MZ"));
        format!(
            "AWSLogs/{account}/CloudTrail/{REGION}/{day}/{account}_CloudTrail_{REGION}_{stamp}_{number:016}.json.gz"
        )
    }

    async fn deliver(&self, account: &str, number: usize) -> String {
        let body = trailwarden::core::gzip::deflate(br#"{"Records":[]}"#);
        let key = Self::key(account, number);
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

const GOVERNANCE: &str = "keep = \"30d\"\n[[retention.override]]\nou = \"ou-prod\"\nkeep = \"90d\"";

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
    ground.ended(&["retention", "apply", "--plan", "/nonexistent"], 1);
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

#[tokio::test]
async fn a_release_ends_no_other_investigation() {
    let yard = Yard::new("keep = \"30d\"");
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2)];
    let retain = yard.retain().await;
    let held = async |key: &str| yard.vault().lock(key, None).await.unwrap().unwrap().held;
    let prefix = |text: &str| Scope::Prefix(text.into());
    let whole = Scope::Account(PROD.parse().unwrap());
    retain.hold(&prefix(&keys[0]), true, "kim", "one").await.unwrap();
    retain.hold(&whole, true, "kim", "another").await.unwrap();
    for wrong in ["", "AWSLogs/", &keys[1]] {
        retain.hold(&prefix(wrong), false, "kim", "nothing of mine").await.unwrap_err();
        assert!(held(&keys[0]).await && held(&keys[1]).await, "{wrong:?}");
    }
    assert!(retain.hold(&prefix(""), true, "kim", "all").await.is_err());
    assert_eq!(retain.hold(&whole, false, "kim", "closed").await.unwrap(), 1);
    assert!(held(&keys[0]).await && !held(&keys[1]).await, "the other one goes on");
    assert!(retain.hold(&whole, false, "kim", "closed").await.is_err(), "it is not on the list any more");
    assert_eq!(retain.hold(&prefix(&keys[0]), false, "kim", "closed").await.unwrap(), 1);
    assert!(!held(&keys[0]).await);
}

/// A directory as the bucket, and the flow itself.
struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    fn new(retention: &str) -> Self {
        let yard = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["spool", "keys", "bucket"] {
            std::fs::create_dir_all(yard.dir.path().join(folder)).unwrap();
        }
        let members = format!("[[account]]\nid = \"{PROD}\"\nou = \"ou-prod\"\n[[account]]\nid = \"{REST}\"\n");
        std::fs::write(yard.dir.path().join("members.toml"), members).unwrap();
        yard.configure(retention);
        yard
    }

    fn configure(&self, retention: &str) {
        let root = self.dir.path().display();
        let text = format!(
            "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file://{root}/bucket\"\n\
             bucket_name = \"yard\"\nqueue = \"file://{root}/spool\"\nkeys = \"keys\"\nlayout = [\"AWSLogs/{{account}}/\"]\n\
             validation = \"none\"\n[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n[retention]\n{retention}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("trailwarden.toml")
    }

    fn deliver(&self, account: &str, number: usize) -> String {
        self.deliver_on(account, number, 0)
    }

    /// So many days late.
    fn deliver_on(&self, account: &str, number: usize, days: i64) -> String {
        let key = Ground::key_of(account, number, days);
        let path = self.dir.path().join("bucket").join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, trailwarden::core::gzip::deflate(br#"{"Records":[]}"#)).unwrap();
        let config = self.config();
        let output = run_with(&[], &["backfill", "--from", "2d", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        key
    }

    async fn retain(&self) -> Retain {
        let config = Config::load(&self.config()).unwrap();
        let works = Works::open(&config, &Env::system()).await.unwrap();
        wiring::retain(&config, &config.trails[0], &works).await.unwrap().unwrap()
    }

    fn vault(&self) -> LocalVault {
        LocalVault::open(&self.dir.path().join("bucket"), Env::system()).unwrap()
    }

    /// Open findings of the kinds of retention.
    async fn told(&self, retain: &Retain) -> Vec<String> {
        let all = retain.store.read(|conn| findings::list(conn, false)).await.unwrap();
        let mut kinds: Vec<String> = all.iter().map(|held| held.kind.name().to_owned()).collect();
        kinds.sort();
        kinds
    }
}

#[tokio::test]
async fn an_observer_tells_and_touches_nothing() {
    let yard = Yard::new("keep = \"30d\"");
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let before = retain.vault.describe(&Part::ALL).await;
    for _ in 0..2 {
        let plan = retain.audit().await.unwrap();
        assert_eq!(plan.steps.len(), 4);
        assert_eq!(yard.told(&retain).await, ["lock_missing", "retention_drift"]);
    }
    assert_eq!(retain.vault.describe(&Part::ALL).await, before);
    assert_eq!(retain.apply(&retain.plan().await.unwrap(), true).await.unwrap(), Applied::Done(4));
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0], "what is mended is resolved");

    // Somebody is about to have the evidence expire.
    let yards = yard.vault();
    let rule = "<Rule><ID>tidy</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>29</Days></Expiration></Rule>";
    let present = yards.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle).unwrap().to_owned();
    let with = present.replace("</LifecycleConfiguration>", &format!("{rule}</LifecycleConfiguration>"));
    let set = |document: &str| Action::SetLifecycle { document: Some(document.into()), minimum: None, made_from: None };
    yards.apply(&set(&with)).await.unwrap();
    let plan = retain.audit().await.unwrap();
    assert!(plan.steps.is_empty() && !plan.is_empty());
    assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous"]);
    // What cannot be read is not well again.
    let file = yard.dir.path().join("bucket/.vault.json");
    let book = std::fs::read(&file).unwrap();
    std::fs::write(&file, "?").unwrap();
    assert!(!retain.audit().await.unwrap().unread.is_empty());
    assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous", "retention_unchecked"]);
    let unread = retain.apply(&plan, true).await.unwrap();
    assert!(matches!(unread, Applied::Unread(_)), "{unread:?}");
    std::fs::write(&file, book).unwrap();
    yards.apply(&set(&present)).await.unwrap();
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

#[tokio::test]
async fn an_enforcer_does_what_can_be_taken_back_and_goes_on_with_what_was_accepted() {
    let strict = "mode = \"compliance\"\nenforce = \"apply\"\n";
    let yard = Yard::new(&format!("{strict}{GOVERNANCE}"));
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let plan = retain.audit().await.unwrap();
    let left: Vec<&str> = plan.steps.iter().map(|step| step.call.as_str()).collect();
    assert_eq!(left, ["s3:PutBucketVersioning", "s3:PutBucketObjectLockConfiguration", "s3:PutObjectRetention"]);
    assert_eq!(yard.told(&retain).await, ["lock_missing", "retention_drift"]);
    assert_eq!(
        retain.apply(&plan, false).await.unwrap(),
        Applied::NotAccepted(plan.steps.iter().map(|step| step.irreversible.clone().unwrap()).collect())
    );
    assert_eq!(retain.apply(&plan, true).await.unwrap(), Applied::Done(3));
    // What comes later is covered by the same consent.
    let key = yard.deliver(PROD, 2);
    assert_eq!(retain.plan().await.unwrap().steps.len(), 1);
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0]);
    let locked = yard.vault().lock(&key, None).await.unwrap().unwrap();
    let promised = Term { mode: Mode::Compliance, days: 90 }.until(locked.created);
    assert_eq!(locked.retention, Some(Retention { mode: Mode::Compliance, until: promised }));
    assert!(yard.vault().remove(&key).await.is_err());
    // Another promise is another consent.
    drop(retain);
    yard.configure(&format!("{strict}{}", GOVERNANCE.replace("90d", "91d")));
    let retain = yard.retain().await;
    assert_eq!(retain.audit().await.unwrap().steps.len(), 1);
    assert_eq!(yard.told(&retain).await, ["retention_drift"]);
    assert_eq!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention, locked.retention);
}

/// The file cannot say of itself that it is harmless.
#[tokio::test]
async fn what_cannot_be_taken_back_is_not_asked_of_the_file() {
    let yard = Yard::new("keep = \"30d\"\nmode = \"compliance\"");
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let before = retain.vault.describe(&Part::ALL).await;
    let mut plan = retain.plan().await.unwrap();
    for step in &mut plan.steps {
        step.irreversible = None;
    }
    let refused = retain.apply(&plan, false).await.unwrap();
    assert!(matches!(&refused, Applied::NotAccepted(steps) if steps.len() == 3), "{refused:?}");
    assert_eq!(retain.vault.describe(&Part::ALL).await, before);
}

#[tokio::test]
async fn a_step_that_is_refused_keeps_nothing_from_being_told_nor_the_others_from_being_taken() {
    let yard = Yard::new(&format!("enforce = \"apply\"\n{GOVERNANCE}"));
    let rule = "<Rule><ID>tidy</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>29</Days></Expiration></Rule>";
    let tidy = lifecycle::write(&[lifecycle::Rule { raw: rule.into(), ..lifecycle::Rule::default() }]);
    yard.vault().alter(Part::Lifecycle, Some(&tidy)).await.unwrap();
    let key = yard.deliver(PROD, 1);
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    *counting.denies.lock().unwrap() = Some("s3:PutLifecycleConfiguration");
    for _ in 0..2 {
        let error = retain.audit().await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("AccessDenied"));
        assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous", "lock_missing", "retention_drift"]);
    }
    assert_eq!(counting.changes.load(Ordering::SeqCst), 2, "once a round");
    assert!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention.is_some(), "the next step is taken");
    let plan = retain.plan().await.unwrap();
    let error = retain.apply(&plan, true).await.unwrap_err();
    assert!(error.text.contains("after 2 of 3 steps"), "{error}");
    *counting.denies.lock().unwrap() = None;
    assert!(retain.audit().await.unwrap().steps.is_empty());
}

/// Nothing left to be done does not make the object that was seen any better.
#[tokio::test]
async fn what_an_object_showed_stays_told_until_the_objects_of_its_account_were_locked() {
    let yard = Yard::new(GOVERNANCE);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let seen = Finding::new(Kind::LockShort, format!("org/{PROD}"), "locked until yesterday");
    retain.store.write(move |tx| findings::hold(tx, &seen)).await.unwrap();
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, ["lock_short"]);
    yard.deliver(PROD, 1);
    let plan = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

/// What is known of one bucket, and what was consented to for it, is not of another under the same trail's name.
#[tokio::test]
async fn another_bucket_is_another_archive() {
    let yard = Yard::new("keep = \"30d\"\nmode = \"compliance\"\nenforce = \"apply\"");
    let mut retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let old = yard.deliver_on(REST, 1, 1);
    assert!(retain.audit().await.unwrap().steps.iter().all(|step| step.irreversible.is_some()));
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    assert!(retain.plan().await.unwrap().is_empty());
    retain.bucket = "meadow".into();
    let left: Vec<String> = retain.audit().await.unwrap().steps.into_iter().map(|step| step.call).collect();
    assert_eq!(
        left,
        ["s3:PutObjectRetention"],
        "{old} may lie there unlocked, and nobody has said that it may be locked"
    );
}

/// A default that was there when the warden came says nothing of what had come before.
#[tokio::test]
async fn what_came_before_the_first_look_is_looked_at() {
    let yard = Yard::new("keep = \"30d\"\nincomplete_uploads = \"keep\"");
    let key = yard.deliver(REST, 1);
    yard.vault().apply(&Action::EnableVersioning).await.unwrap();
    yard.vault().apply(&Action::SetDefault { term: Term { mode: Mode::Governance, days: 30 } }).await.unwrap();
    assert_eq!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention, None);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].effect.objects, 1);
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention.is_some());
    assert!(retain.plan().await.unwrap().is_empty());
}

/// Objects of the time before the default that come when the others were locked already; with a row, and folded unseen.
#[tokio::test]
async fn what_is_found_later_of_the_time_before_the_default_is_locked_too() {
    let yard = Yard::new("keep = \"30d\"");
    yard.deliver_on(REST, 1, 1);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    assert!(retain.plan().await.unwrap().is_empty());
    for folded in [false, true] {
        yard.deliver(REST, 5 + usize::from(folded));
        if folded {
            fold(&retain.store).await;
        }
        let plan = retain.plan().await.unwrap();
        let extended = |plan: &Plan| plan.extension().map_or(0, |step| step.effect.objects);
        let before = extended(&plan);
        yard.deliver_on(REST, 2 + usize::from(folded), 1);
        if folded {
            fold(&retain.store).await;
        }
        let plan = retain.plan().await.unwrap();
        assert!(extended(&plan) > before, "folded: {folded}");
        retain.apply(&plan, true).await.unwrap();
        assert!(retain.plan().await.unwrap().is_empty(), "folded: {folded}");
    }
}

/// As the ledger does with old days.
async fn fold(store: &Store) {
    let fold = |tx: &trailwarden::store::Tx<'_>| {
        tx.conn.execute_batch(
            "INSERT INTO days SELECT place, CAST(substr(name, 1, 8) AS INTEGER), count(*), 0, 0, sum(size) FROM deliveries WHERE true GROUP BY 1, 2
               ON CONFLICT (place, day) DO UPDATE SET objects = objects + excluded.objects, bytes = bytes + excluded.bytes;
             DELETE FROM deliveries;",
        )
    };
    store.write(fold).await.unwrap();
}

/// Days that are folded have no keys in the ledger: they are found in the bucket, and late ones too.
#[tokio::test]
async fn folded_days_are_locked_by_what_lies_in_the_bucket() {
    let yard = Yard::new(GOVERNANCE);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2)];
    fold(&retain.store).await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps[0].effect.objects, 2);
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    let days = |locked: Locked| locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24;
    for key in &keys {
        assert_eq!(days(yard.vault().lock(key, None).await.unwrap().unwrap()), 90);
    }
    // One that comes and is folded before anybody looks.
    let late = yard.deliver(PROD, 3);
    fold(&retain.store).await;
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 1, "it is missed");
    retain.apply(&plan, false).await.unwrap();
    assert_eq!(days(yard.vault().lock(&late, None).await.unwrap().unwrap()), 90);
    assert!(retain.plan().await.unwrap().is_empty());
}

/// Counts what is asked for objects, and what is changed.
struct Counting {
    inner: LocalVault,
    objects: AtomicUsize,
    changes: AtomicUsize,
    /// Somebody else's rules, set right after our first change.
    meddling: Option<Action>,
    /// Objects whose lock is refused: those with this in their keys.
    refuses: std::sync::Mutex<Option<String>>,
    /// A call that is refused.
    denies: std::sync::Mutex<Option<&'static str>>,
}

impl Counting {
    fn over(inner: LocalVault, meddling: Option<Action>) -> Arc<Self> {
        let (objects, changes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner, objects, changes, meddling, refuses: Default::default(), denies: Default::default() })
    }
}

#[async_trait]
impl Vault for Counting {
    async fn describe(&self, parts: &[Part]) -> Protection {
        self.inner.describe(parts).await
    }
    async fn key(&self, name: &str) -> Key {
        self.inner.key(name).await
    }
    async fn apply(&self, action: &Action) -> Result<()> {
        let before = self.changes.fetch_add(1, Ordering::SeqCst);
        if *self.denies.lock().unwrap() == Some(action.call()) {
            return Err(Error::permanent(action.call(), "no").with_code("AccessDenied"));
        }
        self.inner.apply(action).await?;
        match &self.meddling {
            Some(meddling) if before == 0 => self.inner.apply(meddling).await,
            _ => Ok(()),
        }
    }
    async fn lock(&self, key: &str, version: Option<&str>) -> Result<Option<Locked>> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.lock(key, version).await
    }
    async fn retain(&self, key: &str, version: Option<&str>, from: Option<Retention>, to: Retention) -> Result<()> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        if self.refuses.lock().unwrap().as_ref().is_some_and(|part| key.contains(part)) {
            return Err(Error::permanent("s3:PutObjectRetention", "no").with_code("AccessDenied"));
        }
        self.inner.retain(key, version, from, to).await
    }
    async fn hold(&self, key: &str, version: Option<&str>, on: bool) -> Result<()> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.hold(key, version, on).await
    }
    async fn versions(&self, prefix: &str, after: Option<&Mark>) -> Result<(Vec<Version>, Option<Mark>)> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.versions(prefix, after).await
    }
}

/// The archive of docs/retention.md: ten accounts, a hundred days, a thousand objects a day each; the last fourteen days with
/// a row for each object, the others folded.
async fn fill(store: &Store) {
    let build = |tx: &trailwarden::store::Tx<'_>| {
        tx.conn.execute_batch(
            "CREATE TEMP TABLE past AS WITH RECURSIVE ages (age) AS (SELECT 1 UNION ALL SELECT age + 1 FROM ages WHERE age < 100)
               SELECT age, CAST(strftime('%Y%m%d', 'now', '-' || age || ' days') AS INTEGER) AS day FROM ages;
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10)
               INSERT INTO places (source, root, region)
                 SELECT 1, printf('AWSLogs/%012d/', n), 'eu-west-1' FROM numbers;
             INSERT INTO days SELECT id, day, 1000, 0, 0, 1000 * iif(id = 10, 262144, 16384) FROM places CROSS JOIN past WHERE age > 14;
             WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999)
               INSERT INTO deliveries (place, name, version, kind, delivered, state, listed, size, seen)
                 SELECT id, printf('%08de0000%016d', day, n), 'v', 0, unixepoch('now', '-' || age || ' days', 'start of day'),
                        0, 1, iif(id = 10, 262144, 16384), unixepoch('now') FROM places CROSS JOIN past CROSS JOIN numbers WHERE age <= 14;
             DROP TABLE past;",
        )
    };
    store.write(build).await.unwrap();
}

/// What the table of docs/retention.md says in bold, by the beginning of its rows.
fn by_hand(what: &str) -> f64 {
    let text = include_str!("../../docs/retention.md");
    let row = text.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap_or_else(|| panic!("{what}"));
    row.rsplit("**").nth(1).unwrap_or_else(|| panic!("{row}")).parse().unwrap()
}

fn agree(what: &str, program: f64, hand: f64) {
    let told = by_hand(what);
    for number in [program, told] {
        assert!(
            (number - hand).abs() <= hand * 0.01,
            "{what}: {program} by the program, {told} in the table, {hand} by hand"
        );
    }
}

#[tokio::test]
async fn a_million_objects_under_the_default_take_no_call_and_cost_what_the_hand_says() {
    let yard = Yard::new(
        "keep = \"7y\"\ntransitions = [{ after = \"30d\", class = \"GLACIER_IR\" }]\nincomplete_uploads = \"keep\"",
    );
    let mut retain = yard.retain().await;
    retain.vault.apply(&Action::EnableVersioning).await.unwrap();
    retain.vault.apply(&Action::SetDefault { term: Term { mode: Mode::Governance, days: 2557 } }).await.unwrap();
    fill(&retain.store).await;
    let seen = Env::system().now() - SignedDuration::from_hours(24 * 101);
    let mut history = retention::History::default();
    history.note(Some(Term { mode: Mode::Governance, days: 2557 }), seen);
    retain.store.write(move |tx| retention::set_history(tx, "org/yard", &history)).await.unwrap();
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.archive.objects, 1_000_000);
    let [step] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
    assert_eq!((step.call.as_str(), step.effect.calls), ("s3:PutLifecycleConfiguration", 1));
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    assert_eq!(counting.changes.load(Ordering::SeqCst), 1);
    assert_eq!(counting.objects.load(Ordering::SeqCst), 0);
    assert!(by_hand("requests for objects").abs() < f64::EPSILON);

    // Once more by hand, as the table does.
    let gib = |kib: f64| kib / 1024.0 / 1024.0;
    let (small, large) = (gib(9_000.0 * 16.0), gib(1_000.0 * 256.0));
    let month = 100.0 * (small + large) * 0.023;
    let less = 71.0 * large * (0.023 - 0.004);
    let full = 2557.0 * small * 0.023 + 30.0 * large * 0.023 + 2527.0 * large * 0.004;
    agree("a month now, all in STANDARD", plan.archive.month, month);
    agree("objects that move", step.effect.objects as f64, 71_000.0);
    agree("the moves, once", step.effect.once, 71.0 * 0.02);
    agree("a month less", -step.effect.monthly, less);
    agree("a month as planned", plan.archive.month_planned, month - less);
    agree("once full: objects", plan.archive.full_objects as f64, 25_570_000.0);
    agree("a month once full", plan.archive.full_month, full);
}

#[tokio::test]
async fn somebody_who_changes_the_rules_between_two_steps_ends_the_plan() {
    let yard = Yard::new("keep = \"30d\"");
    let mut retain = yard.retain().await;
    let theirs = lifecycle::write(&[lifecycle::Rule { raw: THEIRS.into(), ..lifecycle::Rule::default() }]);
    let meddling = Action::SetLifecycle { document: Some(theirs.clone()), minimum: None, made_from: None };
    let counting = Counting::over(yard.vault(), Some(meddling));
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 3);
    let applied = retain.apply(&plan, true).await.unwrap();
    assert!(matches!(applied, Applied::Stale { taken: 1, .. }), "{applied:?}");
    assert_eq!(counting.changes.load(Ordering::SeqCst), 1);
    let found = retain.vault.describe(&[Part::Lifecycle]).await;
    assert_eq!(found.value(Part::Lifecycle), Some(theirs.as_str()));
    let rest = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&rest, true).await.unwrap(), Applied::Done(2));
    let found = retain.vault.describe(&[Part::Lifecycle]).await;
    assert!(found.value(Part::Lifecycle).is_some_and(|rules| rules.contains(THEIRS) && rules.contains("trailwarden-")));
}

#[tokio::test]
async fn an_object_that_is_refused_keeps_no_other_waiting_and_is_not_forgotten() {
    let yard = Yard::new(GOVERNANCE);
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2), yard.deliver(PROD, 3)];
    *counting.refuses.lock().unwrap() = Some("_0000000000000002.".into());
    for _ in 0..2 {
        let plan = retain.plan().await.unwrap();
        assert_eq!(plan.steps[0].effect.objects, 3, "the place is not done");
        let error = retain.apply(&plan, true).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("AccessDenied"));
    }
    let mut days = Vec::new();
    for key in &keys {
        let locked = yard.vault().lock(key, None).await.unwrap().unwrap();
        days.push(locked.retention.unwrap().until.duration_since(locked.created).as_hours() / 24);
    }
    assert_eq!(days, [90, 30, 90]);
    *counting.refuses.lock().unwrap() = None;
    let plan = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&plan, true).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    assert!(
        yard.vault().lock(&keys[1], None).await.unwrap().unwrap().retention.unwrap().until
            > Env::system().now() + SignedDuration::from_hours(24 * 89)
    );
}

/// The daemon's own loop, in time that flies.
#[tokio::test(start_paused = true)]
async fn the_daemon_audits_tells_and_enforces() {
    let yard = Yard::new("keep = \"30d\"\nenforce = \"apply\"\naudit = \"10m\"");
    let config = Config::load(&yard.config()).unwrap();
    let works = Works::open(&config, &Env::system()).await.unwrap();
    let store = works.store.clone();
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let daemon = tokio::spawn(async move { daemon::watch(config, &yard.config(), works, told).await.map(|()| yard) });
    let open = || async { store.read(|conn| findings::list(conn, false)).await.unwrap() };
    let mut kinds = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        kinds = open()
            .await
            .iter()
            .map(|held| held.kind.name())
            .filter(|name| name.contains("lock_") || name.contains("retention"))
            .collect();
        kinds.sort_unstable();
        if !kinds.is_empty() {
            break;
        }
    }
    assert_eq!(kinds, ["lock_missing", "retention_drift"]);
    tell.send(daemon::Told::Stop).await.unwrap();
    let yard = daemon.await.unwrap().unwrap();
    let found = yard.vault().describe(&Part::RETENTION).await;
    assert!(
        found.value(Part::Lifecycle).is_some_and(|rules| rules.contains("trailwarden-uploads")),
        "that can be taken back"
    );
    assert_eq!(found.value(Part::Versioning), None, "that cannot");
}
