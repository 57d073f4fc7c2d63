//! Two wardens on two ledgers that want one lease, as processes: killed, stopped and let go on, told to stop, cut off from it.
//! The lease is a file, or an object of the emulator's S3 with its conditional writes.
//!
//! `cargo test --release --test flow lease -- --ignored --nocapture` plays twenty rounds and more of each.

use std::collections::BTreeSet;
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use trailwarden::core::journal::Head;
use trailwarden::core::lease::Document;
use trailwarden::env::Env;
use trailwarden::store::{journal, lease};
use trailwarden::world::stage::Stage;
use trailwarden::world::{Happening, Scale, Step, World};

use crate::common::acts::{Acts, contains};
use crate::common::emulator::{Emulator, REGION, env_of};
use crate::common::warden::{Warden, get, json, stderr, verb};

const TTL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Killed,
    Paused,
    Stopped,
    CutOff,
}

const FATES: [Fate; 4] = [Fate::Paused, Fate::Killed, Fate::CutOff, Fate::Stopped];

/// One host: a ledger and a way to the lease of its own.
struct Host {
    dir: PathBuf,
    config: PathBuf,
    link: Link,
    warden: Option<Warden>,
}

/// The way to the lease's place.
enum Link {
    /// A symbolic link to the directory.
    Directory,
    /// What stands between this host and S3.
    Relay(Relay),
}

impl Link {
    fn to(emulator: Option<&Emulator>) -> Self {
        emulator.map_or(Self::Directory, |emulator| Self::Relay(Relay::start(&emulator.endpoint)))
    }
}

/// Passes connections on while it is open. The listener's thread ends with the process.
struct Relay {
    address: String,
    open: Arc<Mutex<Passing>>,
}

#[derive(Default)]
struct Passing {
    cut: bool,
    streams: Vec<TcpStream>,
}

impl Relay {
    #[expect(clippy::disallowed_methods, reason = "it lives beside processes, without a runtime")]
    fn start(endpoint: &str) -> Self {
        let upstream = endpoint.strip_prefix("http://").expect("the emulator speaks HTTP").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let open = Arc::<Mutex<Passing>>::default();
        let passing = open.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut passing = passing.lock().expect("nobody panics with it");
                let Some(far) = (!passing.cut).then(|| TcpStream::connect(&upstream).ok()).flatten() else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    std::thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                passing.streams.extend([near, far]);
            }
        });
        Self { address, open }
    }

    fn reach(&self, can: bool) {
        let mut passing = self.open.lock().expect("nobody panics with it");
        passing.cut = !can;
        for stream in passing.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// An epoch as a ledger tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Epoch {
    number: u64,
    by: String,
    at: i64,
}

impl Host {
    fn ready(root: &Path, name: &str, world: &World, link: Link) -> Self {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let config = dir.join("trailwarden.toml");
        let (root, ttl) = (root.display(), TTL.as_secs());
        let location = match &link {
            Link::Directory => format!("file://{root}/{name}/lease"),
            Link::Relay(_) => "s3://wardens/lease".to_owned(),
        };
        let text = format!(
            r#"
[warden]
name = "acme"

[organization]
id = "{org}"
members = "{root}/members.toml"

[[trail]]
name = "org"
bucket = "file://{root}/bucket"
bucket_name = "{bucket}"
queue = "file://{root}/spool"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys = "{root}/keys"
visibility = "30s"

[verify]
sweep = "1s"

[state]
path = "state.db"

[lease]
location = "{location}"
region = "{REGION}"
ttl = "{ttl}s"

[http]
listen = "127.0.0.1:0"
"#,
            org = world.org,
            bucket = world.bucket,
        );
        std::fs::write(&config, text).unwrap();
        let host = Self { warden: None, dir, config, link };
        host.reach(true);
        host
    }

    fn start(&mut self) {
        let env = match &self.link {
            Link::Directory => Vec::new(),
            Link::Relay(relay) => env_of(&format!("http://{}", relay.address)),
        };
        self.warden = Some(Warden::start(&self.config, &env));
    }

    fn warden(&mut self) -> &mut Warden {
        self.warden.as_mut().expect("it was started")
    }

    /// Whether the lease's place can be reached from here.
    fn reach(&self, can: bool) {
        let link = self.dir.join("lease");
        match (&self.link, can) {
            (Link::Directory, true) => std::os::unix::fs::symlink("../lease", link).unwrap(),
            (Link::Directory, false) => std::fs::remove_file(link).unwrap(),
            (Link::Relay(relay), can) => relay.reach(can),
        }
    }

    fn waits(&mut self) {
        self.warden().until("it waits", |warden| warden.own_log().contains("waiting for the lease"));
    }

    fn ledger(&self) -> Option<Connection> {
        let state = self.dir.join("state.db");
        state.exists().then(|| Connection::open(state).unwrap())
    }

    fn epochs(&self) -> Vec<Epoch> {
        let Some(ledger) = self.ledger() else { return Vec::new() };
        let found = ledger
            .prepare("SELECT CAST(subject AS INTEGER), detail, at FROM journal WHERE what = 'leased' ORDER BY seq");
        let Ok(mut query) = found else { return Vec::new() };
        let rows = query.query_map([], |row| {
            Ok(Epoch { number: row.get::<_, i64>(0)?.unsigned_abs(), by: row.get(1)?, at: row.get(2)? })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn last_epoch(&self) -> u64 {
        self.epochs().last().map_or(0, |epoch| epoch.number)
    }

    fn last_commit(&self) -> i64 {
        let ledger = self.ledger().unwrap();
        let text = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_commit'";
        ledger.query_row(text, [], |row| row.get(0)).unwrap()
    }

    fn head(&self) -> Head {
        journal::head(&self.ledger().unwrap()).unwrap()
    }

    fn keys(&self) -> BTreeSet<String> {
        let ledger = self.ledger().unwrap();
        let mut query = ledger.prepare("SELECT key FROM objects").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// What the lease in the directory says.
fn lease_on(root: &Path) -> Document {
    let files = std::fs::read_dir(root.join("lease")).unwrap().map(|entry| entry.unwrap().path());
    let last = files.max_by_key(|path| path.extension()?.to_str()?.parse::<u64>().ok()).expect("a lease");
    Document::read(&std::fs::read(last).unwrap()).unwrap()
}

/// What was put into the bucket, and what was said of it.
struct Truth {
    stage: Stage,
    rest: std::vec::IntoIter<Happening>,
    put: BTreeSet<String>,
    announced: BTreeSet<String>,
    said: u64,
}

impl Truth {
    fn play(&mut self, count: usize) {
        for happening in self.rest.by_ref().take(count) {
            match &happening.step {
                // What is not CloudTrail's is left alone.
                Step::Put { key, .. } if !key.contains("/CloudTrail") => {}
                Step::Put { key, .. } => _ = self.put.insert(key.clone()),
                Step::Message { body } => {
                    self.said += 1;
                    // A notification that never comes: what it is about is for the sweep and the comparison to find.
                    if self.said.is_multiple_of(17) {
                        continue;
                    }
                    let told = self.put.iter().filter(|key| contains(body, key.rsplit('/').next().unwrap_or(key)));
                    self.announced.extend(told.cloned());
                }
                Step::Remove { .. } => {}
            }
            self.stage.play(&happening).unwrap();
        }
    }
}

/// One round: something happens to whoever works, and the other takes over. Answers how long that took.
fn round(fate: Fate, hosts: &mut [Host; 2], working: usize, truth: &mut Truth, share: usize) -> Duration {
    let (env, next) = (Env::system(), 1 - working);
    let before = hosts[working].last_epoch();
    hosts[next].waits();
    truth.play(share / 2);
    let begun = env.steady();
    match fate {
        Fate::Killed => hosts[working].warden().kill(),
        Fate::Paused => hosts[working].warden().signal("STOP"),
        Fate::Stopped => assert_eq!(hosts[working].warden().stop(), Some(0)),
        Fate::CutOff => hosts[working].reach(false),
    }
    truth.play(share - share / 2);
    let state = hosts[next].config.clone();
    let [one, other] = hosts;
    let (old, new) = if working == 0 { (one, other) } else { (other, one) };
    let ledger = state.with_file_name("state.db");
    new.warden().until("it takes over", |_| {
        let opened = Connection::open_with_flags(&ledger, OpenFlags::SQLITE_OPEN_READ_ONLY);
        opened.is_ok_and(|conn| lease::epoch(&conn).is_ok_and(|epoch| epoch > before))
    });
    let took = env.steady() - begun;
    match fate {
        Fate::Paused => {
            old.warden().signal("CONT");
            assert_eq!(old.warden().ended(), Some(1), "it has lost the lease: {}", old.warden().own_log());
        }
        Fate::CutOff => {
            assert_eq!(old.warden().ended(), Some(1), "it could not renew: {}", old.warden().own_log());
            old.reach(true);
        }
        Fate::Killed | Fate::Stopped => {}
    }
    let began = new.epochs().into_iter().next_back().unwrap();
    assert!(old.last_commit() <= began.at, "{fate:?}: {} after {began:?}", old.last_commit());
    old.start();
    took
}

fn contest(rounds: usize, emulator: Option<&Emulator>) {
    let root = tempfile::tempdir().unwrap();
    let scale = Scale { accounts: 6, regions: 3, hours: 6, logs_per_hour: (0, 2), records_per_log: (1, 3) };
    // Old enough that the comparison of bucket and ledger does not leave it to its notification.
    let start = Timestamp::from_second((Env::system().now().as_second() / 3_600 - 8) * 3_600).unwrap();
    let world = World::with_trouble(5, scale, start, &[]).unwrap();
    let stage = Stage::set(root.path(), &world, &Env::system()).unwrap();
    std::fs::create_dir(root.path().join("lease")).unwrap();
    let mut hosts = ["a", "b"].map(|name| Host::ready(root.path(), name, &world, Link::to(emulator)));
    let acts = Acts::of(world);
    let share = acts.first.len() / (rounds + 1);
    let mut truth =
        Truth { stage, rest: acts.first.into_iter(), put: BTreeSet::new(), announced: BTreeSet::new(), said: 0 };
    hosts[0].start();
    hosts[0].warden().until("it works", |warden| warden.own_log().contains("\"started\""));
    hosts[1].start();
    for number in 0..rounds {
        let fate = FATES[number % FATES.len()];
        let working = number % 2;
        let took = round(fate, &mut hosts, working, &mut truth, share);
        println!("round {number}: {fate:?}, taken over after {:.1} s", took.as_secs_f64());
    }
    truth.play(usize::MAX);
    finish(root.path(), hosts, rounds % 2, &truth);
}

/// The last holder's ledger ends equal to the truth.
fn finish(root: &Path, mut hosts: [Host; 2], working: usize, truth: &Truth) {
    hosts[1 - working].waits();
    assert_eq!(hosts[1 - working].warden().stop(), Some(0), "a warden that waits stops at once");
    let waiting = |folder: &str| std::fs::read_dir(root.join("spool").join(folder)).unwrap().count();
    hosts[working].warden().until("the queue is empty", |_| waiting("new") + waiting("cur") == 0);
    assert_eq!(hosts[working].warden().stop(), Some(0));

    let mut epochs: Vec<Epoch> = hosts.iter().flat_map(Host::epochs).collect();
    epochs.sort();
    let numbers: BTreeSet<u64> = epochs.iter().map(|epoch| epoch.number).collect();
    assert_eq!(numbers.len(), epochs.len(), "an epoch of two holders: {epochs:?}");
    assert!(epochs.windows(2).all(|pair| pair[0].at <= pair[1].at), "{epochs:?}");

    let known: BTreeSet<String> = hosts.iter().flat_map(Host::keys).collect();
    let nowhere: Vec<&String> = truth.announced.difference(&known).collect();
    assert!(nowhere.is_empty(), "announced, and in no ledger: {nowhere:#?}");
    let last = &hosts[working];
    let lacks = truth.put.difference(&last.keys()).count();
    let output = verb(&last.config, &["reconcile"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
    let missing: Vec<&String> = truth.put.iter().filter(|key| !last.keys().contains(*key)).collect();
    assert!(missing.is_empty(), "in the bucket, and not in the ledger: {missing:#?}");
    println!(
        "{} epochs; {} objects, {} announced; the last ledger lacked {lacks} before the comparison, and none after",
        epochs.len(),
        truth.put.len(),
        truth.announced.len()
    );
    let behind = json(&last.config, &["findings"]).to_string();
    assert!(behind.contains("ledger_behind"), "the other ledger knew more: {behind}");
    for host in &hosts {
        assert_eq!(verb(&host.config, &["ledger", "check"]).status.code(), Some(0));
    }
}

#[test]
fn one_warden_works_whatever_becomes_of_it() {
    contest(3, None);
}

#[test]
#[ignore = "minutes: twenty rounds and more"]
fn one_warden_works_round_after_round() {
    contest(24, None);
}

/// The emulator's S3 with a bucket for leases.
fn s3() -> Option<Emulator> {
    let emulator = Emulator::start()?;
    let made = async {
        let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        emulator.s3().await.create_bucket().bucket("wardens").create_bucket_configuration(place).send().await
    };
    tokio::runtime::Runtime::new().unwrap().block_on(made).expect("a bucket");
    Some(emulator)
}

#[test]
fn one_warden_works_with_a_lease_on_s3() {
    let Some(emulator) = s3() else { return };
    contest(FATES.len(), Some(&emulator));
}

#[test]
#[ignore = "minutes: twenty rounds and more"]
fn one_warden_works_round_after_round_with_a_lease_on_s3() {
    let Some(emulator) = s3() else { return };
    contest(24, Some(&emulator));
}

#[test]
fn a_warden_that_waits_is_alive_not_ready_and_says_for_whom() {
    let root = tempfile::tempdir().unwrap();
    let scale = Scale { accounts: 2, regions: 1, hours: 2, logs_per_hour: (1, 1), records_per_log: (1, 1) };
    let world = crate::common::acts::world(3, scale, &[]);
    Stage::set(root.path(), &world, &Env::system()).unwrap();
    std::fs::create_dir(root.path().join("lease")).unwrap();
    let mut hosts = ["a", "b"].map(|name| Host::ready(root.path(), name, &world, Link::Directory));
    hosts[0].start();
    hosts[0].warden().until("it works", |warden| warden.own_log().contains("\"started\""));
    hosts[1].start();
    let [holder, other] = &mut hosts;
    other.waits();
    let address = other.warden().address();
    let (status, why) = get(&address, "/health/ready");
    assert!(status == 503 && why.contains("lease: standby: ") && why.contains("holds the lease (epoch 1)"), "{why}");
    assert_eq!(get(&address, "/health/live").0, 200);
    assert!(get(&address, "/metrics").1.contains("trailwarden_lease_held 0"));
    let page = get(&holder.warden().address(), "/metrics").1;
    assert!(page.contains("trailwarden_lease_held 1") && page.contains("trailwarden_lease_epoch 1"), "{page}");
    other.warden().signal("HUP");
    other.warden().until("it reads its configuration again", |warden| warden.own_log().contains("was read again"));
    let told = json(&holder.config, &["status"]);
    assert_eq!((&told["lease"]["epoch"], &told["lease"]["own_epoch"]), (&1.into(), &1.into()), "{told}");
    assert!(!other.dir.join("state.db").exists(), "whoever waits receives and writes nothing");
    assert_eq!(holder.warden().stop(), Some(0));
    other.warden().until("it takes over at once", |warden| warden.own_log().contains("\"started\""));
    assert_eq!(other.epochs().last().map(|epoch| epoch.number), Some(2));
    // after the last renewal, as a rule
    let silence = ["findings", "silence", "--account", "111122223333", "--for", "1h", "--by", "a", "--note", "b"];
    assert_eq!(verb(&other.config, &silence).status.code(), Some(0));
    assert_eq!(other.warden().stop(), Some(0));
    assert_eq!(lease_on(root.path()).ledger, Some(other.head()), "who comes next is told how far the ledger was");
}
