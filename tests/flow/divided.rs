//! Four wardens on one machine divide an organization: each its accounts, its queue and its ledger, over one bucket. What the four
//! ledgers hold together is what was delivered, and nothing of it is in two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::Instant;
use trailwarden::core::finding::Kind;
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::shard::Shard;
use trailwarden::env::Env;
use trailwarden::world::stage::Stage;
use trailwarden::world::{Scale, Step};

use crate::common::acts::{Acts, world};
use crate::common::warden::{command, json as answer, stderr, stdout, verb};
use crate::reconcile::{dice, name};

const COUNT: u8 = 4;
/// A key of no account: the first warden's to speak of.
const STRANGE: &str = "elsewhere/notes.txt";

/// Two trails in one region. Logs of the first hour have their digest's grace behind them when the day ends.
fn scale(accounts: usize) -> Scale {
    Scale { accounts, regions: 1, hours: 5, logs_per_hour: (5, 5), records_per_log: (1, 2) }
}

/// A bucket that was delivered to, and who is told of what.
struct Site {
    dir: tempfile::TempDir,
    acts: Acts,
    /// Logs and digests that lie in the bucket.
    truth: BTreeSet<String>,
    /// Logs of them that are never announced, and whose digests have come.
    silent: BTreeSet<String>,
}

/// One warden's folder.
struct Seat {
    shard: Shard,
    dir: PathBuf,
    config: PathBuf,
}

impl Site {
    fn new(accounts: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let world = world(41, scale(accounts), &[]);
        let early = world.start + jiff::SignedDuration::from_mins(90);
        let stage = Stage::set(dir.path(), &world, &Env::system()).expect("a stage");
        let acts = Acts::of(world);
        let (mut truth, mut silent) = (BTreeSet::new(), BTreeSet::new());
        let (first, mut without) = (Shard::new(0, COUNT).expect("a shard"), (0..COUNT).collect::<BTreeSet<_>>());
        for happening in &acts.first {
            let Step::Put { key, .. } = &happening.step else { continue };
            stage.play(happening).expect("it is delivered");
            match key::parse(key) {
                // some, and one of each shard at least
                ObjectKey::Log(log)
                    if log.delivered < early
                        && (without.remove(&first.of(log.root.account).index()) || dice(name(key), 20)) =>
                {
                    silent.insert(key.clone())
                }
                ObjectKey::Log(_) | ObjectKey::Digest(_) => false,
                _ => continue,
            };
            truth.insert(key.clone());
        }
        Self { dir, acts, truth, silent }
    }

    /// What is sent, by whose queue it goes to: each object that is announced, some twice, and one that is of no account.
    fn messages(&self, queue: impl Fn(Shard, &str) -> u8) -> BTreeMap<u8, Vec<Vec<u8>>> {
        let first = Shard::new(0, COUNT).expect("a shard");
        let mut messages = BTreeMap::from([(0, vec![self.message(STRANGE)])]);
        for key in self.truth.difference(&self.silent) {
            let parsed = key::parse(key);
            let of = first.of(parsed.root().expect("evidence").account);
            let to: &mut Vec<_> = messages.entry(queue(of, key)).or_default();
            to.extend(std::iter::repeat_n(self.message(key), if dice(name(key), 25) { 2 } else { 1 }));
        }
        messages
    }

    /// As a rule of EventBridge passes it on: one object a message.
    fn message(&self, key: &str) -> Vec<u8> {
        let detail = json!({ "bucket": { "name": self.acts.bucket }, "object": { "key": key }, "reason": "PutObject",
                             "requester": "cloudtrail.amazonaws.com" });
        let event = json!({ "version": "0", "id": name(key), "source": "aws.s3", "detail-type": "Object Created",
                            "account": "999988887777", "time": self.acts.end.to_string(), "detail": detail });
        event.to_string().into_bytes()
    }

    /// Four new wardens, and their queues filled.
    fn seats(&self, round: &str, messages: &BTreeMap<u8, Vec<Vec<u8>>>, more: &str) -> Vec<Seat> {
        (0..COUNT).map(|index| self.seat(round, Shard::new(index, COUNT).expect("a shard"), messages, more)).collect()
    }

    fn seat(&self, round: &str, shard: Shard, messages: &BTreeMap<u8, Vec<Vec<u8>>>, more: &str) -> Seat {
        let (site, index) = (self.dir.path().display(), shard.index());
        let dir = self.dir.path().join(format!("{round}-{index}"));
        for folder in ["tmp", "new", "cur", "done"] {
            fs::create_dir_all(dir.join("spool").join(folder)).expect("a folder");
        }
        for (number, body) in messages[&index].iter().enumerate() {
            let id = format!("{:016}-{number:06}-0123456789abcdef", 1_700_000_000_000_000_u64);
            fs::write(dir.join("spool/new").join(id), body).expect("a message");
        }
        let text = format!(
            "[shard]\nindex = {index}\ncount = {COUNT}\n[organization]\nid = \"{org}\"\nmembers = \"{site}/members.toml\"\n\
             [[trail]]\nname = \"org\"\nbucket = \"file://{site}/bucket\"\nbucket_name = \"{bucket}\"\n\
             queue = \"file://{seat}/spool\"\nlayout = [\"AWSLogs/{{org}}/{{account}}/\"]\nkeys = \"{site}/keys\"\n\
             [state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n{more}",
            org = self.acts.org,
            bucket = self.acts.bucket,
            seat = dir.display()
        );
        let config = dir.join("trailwarden.toml");
        fs::write(&config, text).expect("a configuration");
        Seat { shard, dir, config }
    }

    fn of(&self, shard: Shard) -> BTreeSet<String> {
        let is_its = |key: &&String| key::parse(key).root().is_some_and(|root| shard.holds(root.account));
        self.truth.iter().filter(is_its).cloned().collect()
    }
}

impl Seat {
    fn start(&self) -> Child {
        let mut drain = command(&[]);
        drain.args(["run", "--drain", "--config"]).arg(&self.config).stdout(Stdio::null()).stderr(Stdio::piped());
        drain.spawn().expect("the program starts")
    }

    /// Objects that it has admitted, each once.
    fn admitted(&self) -> BTreeSet<String> {
        let conn = Connection::open(self.dir.join("state.db")).expect("the ledger opens");
        let mut query = conn.prepare("SELECT key FROM objects WHERE state = 0").expect("a query");
        let keys: Vec<String> =
            query.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("keys");
        let once: BTreeSet<String> = keys.iter().cloned().collect();
        assert_eq!(once.len(), keys.len(), "an object has two rows");
        once
    }

    fn findings(&self) -> Vec<Value> {
        answer(&self.config, &["findings", "list"]).as_array().expect("a list").clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.findings().iter().map(|held| held["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// All at once, each a process of its own, until each has nothing left to do.
fn drain(seats: &[Seat]) {
    let running: Vec<Child> = seats.iter().map(Seat::start).collect();
    for child in running {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

fn kinds(wanted: &[Kind]) -> Vec<String> {
    wanted.iter().map(|kind| kind.name().to_owned()).collect()
}

/// Each message was in the right queue: union and intersection of the ledgers, and what was told.
fn divided(site: &Site, seats: &[Seat]) {
    let mut union = BTreeSet::new();
    for seat in seats {
        let admitted = seat.admitted();
        assert_eq!(admitted, site.of(seat.shard), "shard {}", seat.shard);
        assert!(site.silent.iter().any(|key| admitted.contains(key)), "it found what nobody announced");
        assert!(union.is_disjoint(&admitted), "an object is in two ledgers");
        union.extend(admitted);
        let wanted: &[Kind] = if seat.shard.is_first() { &[Kind::KeyUnexpected] } else { &[] };
        assert_eq!(seat.kinds(), kinds(wanted), "shard {}: {:#?}", seat.shard, seat.findings());
        assert_eq!(answer(&seat.config, &["status"])["objects"]["pending"], 0);
    }
    assert_eq!(union, site.truth);
}

/// A fifth of the messages is in the next warden's queue.
fn misrouted(site: &Site) {
    let wrong = |of: Shard, key: &str| if dice(name(key), 5) { (of.index() + 1) % COUNT } else { of.index() };
    let seats = site.seats("misrouted", &site.messages(wrong), "");
    drain(&seats);
    for seat in &seats {
        let wanted: &[Kind] =
            if seat.shard.is_first() { &[Kind::KeyUnexpected, Kind::ShardMismatch] } else { &[Kind::ShardMismatch] };
        let mut found = seat.kinds();
        found.sort();
        assert_eq!(found, kinds(wanted), "shard {}: {:#?}", seat.shard, seat.findings());
        // What it looks for by itself: the comparison brings what went elsewhere, and was delivered long enough ago.
        let output = verb(&seat.config, &["reconcile"]);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}{}", stdout(&output), stderr(&output));
    }
    let mut union = BTreeSet::new();
    let early = site.acts.end - jiff::SignedDuration::from_hours(2);
    for seat in &seats {
        let admitted = seat.admitted();
        let missed: Vec<String> = site.of(seat.shard).difference(&admitted).cloned().collect();
        let old = |key: &&String| match key::parse(key) {
            ObjectKey::Log(log) => log.delivered < early,
            ObjectKey::Digest(digest) => digest.end < early,
            _ => false,
        };
        assert!(!missed.iter().any(|key| old(&key)), "shard {} never found {missed:#?}", seat.shard);
        union.extend(admitted);
        let mut found = seat.kinds();
        found.retain(|kind| *kind != Kind::ShardMismatch.name() && *kind != Kind::KeyUnexpected.name());
        assert_eq!(found, [""; 0], "shard {}: {:#?}", seat.shard, seat.findings());
    }
    assert_eq!(union, site.truth, "nothing is lost");
}

fn own(of: Shard, _: &str) -> u8 {
    of.index()
}

#[test]
fn four_wardens_together_know_everything_and_nothing_twice() {
    let site = Site::new(40);
    let archive = format!("[archive]\nlocation = \"file://{}/archive\"\n", site.dir.path().display());
    let seats = site.seats("right", &site.messages(own), &archive);
    drain(&seats);
    divided(&site, &seats);
    shared_archive(&site, &seats);
    misrouted(&site);
}

/// Four wardens write into one archive: each answers for its own files, after another start too.
fn shared_archive(site: &Site, seats: &[Seat]) {
    drain(seats);
    let folder = site.dir.path().join("archive");
    let names = |of: &str| {
        let found = fs::read_dir(folder.join(of)).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        found.map(|name| name.to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
    };
    let tables: BTreeSet<String> =
        ["objects.parquet", "objects-1.parquet", "objects-2.parquet", "objects-3.parquet"].map(str::to_owned).into();
    assert_eq!(names("integrity"), tables);
    let mut records = 0;
    for seat in seats {
        let report = answer(&seat.config, &["archive", "check"]);
        assert_eq!((&report["fault_count"], &report["orphans"]), (&json!(0), &json!([])), "{report}");
        records += report["rows"].as_u64().expect("a number");
    }
    let told: u64 = seats.iter().map(|seat| answer(&seat.config, &["status"])["records"].as_u64().expect("one")).sum();
    assert!(records > 0 && records <= told, "{records} rows of {told} records");
    let lists = fs::read_dir(folder.join("manifest")).expect("lists").next().expect("a date").expect("an entry");
    assert_eq!(fs::read_dir(lists.path()).expect("lists").count(), usize::from(COUNT), "a list of each");
}

/// `cargo test --release --test flow fifty_thousand -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn fifty_thousand_messages_of_a_thousand_accounts() {
    let site = Site::new(1_000);
    let messages = site.messages(own);
    let sent: usize = messages.values().map(Vec::len).sum();
    let seats = site.seats("right", &messages, "");
    let begun = Instant::now();
    drain(&seats);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{} accounts, {sent} messages, {} objects ({} never announced): four wardens took {took:.1} s, {:.0} messages a second",
        site.acts.members.len(),
        site.truth.len(),
        site.silent.len(),
        sent as f64 / took
    );
    assert!(sent >= 50_000 && site.acts.members.len() == 1_000);
    divided(&site, &seats);
    misrouted(&site);
}
