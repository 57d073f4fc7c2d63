//! A made-up organization, and the real daemon watching over it in time that flies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trailwarden::config::Config;
use trailwarden::core::alert::Alert;
use trailwarden::core::digest::Digest;
use trailwarden::core::finding::{Held, Kind};
use trailwarden::core::gzip::{Caps, inflate};
use trailwarden::core::id::AccountId;
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::notice::{self, Opened};
use trailwarden::daemon::{self, Told};
use trailwarden::env::Env;
use trailwarden::error::Result;
use trailwarden::store::{Store, findings, lists, objects};
use trailwarden::wiring::{Seams, TrailSeams, Works};
use trailwarden::world::{Happening, Scale, Step, World};

use crate::common::acts::contains;
use crate::far::{Far, FarBucket, FarChannel, FarKeys, FarMembers, FarQueue};

/// The smallest world with chains that have siblings.
pub const SCALE: Scale = Scale { accounts: 2, regions: 1, hours: 8, logs_per_hour: (1, 2), records_per_log: (1, 2) };

pub struct Scene {
    pub far: Arc<Far>,
    pub config: Config,
    pub world: World,
    /// In the order of time.
    pub happenings: Vec<Happening>,
    dir: tempfile::TempDir,
}

impl Scene {
    pub fn clean(seed: u64, scale: Scale) -> Self {
        Self::of(seed, scale, &[])
    }

    pub fn of(seed: u64, scale: Scale, kinds: &[Kind]) -> Self {
        let start = "2026-03-01T00:00:00Z".parse().expect("a time");
        let mut world = World::with_trouble(seed, scale, start, kinds).expect("a world can be made");
        let mut happenings = Vec::new();
        while let Some(hour) = world.next_hour().expect("an hour can be made") {
            happenings.extend(hour.happenings);
        }
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        let config = config(&world, &dir.path().join("trailwarden.toml"));
        let far = Far::new(world.end(), world.members.clone(), world.keys.clone());
        Self { far, config, world, happenings, dir }
    }

    /// The same world and a far side where nothing happened yet.
    pub fn again(&mut self) {
        self.far = Far::new(self.world.end(), self.world.members.clone(), self.world.keys.clone());
        self.dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        self.config.state = self.dir.path().join("state.db");
    }

    /// All at once.
    pub fn play(&self) {
        self.happenings.iter().for_each(|happening| self.far.play(&happening.step));
    }

    /// What is taken away here nobody ever sees or hears of.
    pub fn withhold(&mut self, hidden: impl Fn(&str) -> bool) {
        let keys: Vec<String> = self.evidence().into_keys().filter(|key| hidden(key)).collect();
        self.happenings.retain(|happening| match &happening.step {
            Step::Put { key, .. } | Step::Remove { key } => !keys.contains(key),
            Step::Message { body } => !keys.iter().any(|key| contains(body, name(key))),
        });
    }

    /// Logs and digests as they are first written.
    pub fn evidence(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for happening in &self.happenings {
            if let Step::Put { key, body, .. } = &happening.step {
                all.entry(key.clone()).or_insert_with(|| body.clone());
            }
        }
        all.retain(|key, _| matches!(key::parse(key), ObjectKey::Log(_) | ObjectKey::Digest(_)));
        all
    }

    /// The digests of one chain, the oldest first: key, end, and the logs that it lists.
    pub fn chain(&self, account: AccountId, trail: &str) -> Vec<(String, Timestamp, Vec<String>)> {
        let mut found = Vec::new();
        for (key, body) in self.evidence() {
            let ObjectKey::Digest(digest) = key::parse(&key) else { continue };
            if digest.root.account == account && digest.trail == trail {
                let raw = inflate(&body, Caps::default()).expect("gzip").bytes;
                let logs = Digest::parse(&raw).expect("a digest").logs.into_iter().map(|log| log.key);
                found.push((key, digest.end, logs.collect()));
            }
        }
        found.sort_by_key(|(_, end, _)| *end);
        found
    }

    /// Logs and digests that messages speak of.
    pub fn announced(&self) -> BTreeSet<String> {
        let bodies = self.happenings.iter().filter_map(|happening| match &happening.step {
            Step::Message { body } => Some(spoken_of(body)),
            _ => None,
        });
        let evidence = self.evidence();
        bodies.flatten().filter(|key| evidence.contains_key(key)).collect()
    }

    /// The daemon over the far side, from this instant on; it knows the members before anything happens.
    pub async fn ready(&self) -> Warden {
        let warden = self.watch().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        warden
    }

    /// All of the world in its own time, before a daemon that watches from the start.
    pub async fn live(&self) -> Warden {
        self.far.enter(Env::manual(self.world.start, 0));
        let warden = self.ready().await;
        for happening in &self.happenings {
            let wait = Duration::try_from(happening.at.duration_since(self.far.now())).unwrap_or_default();
            tokio::time::sleep(wait).await;
            self.far.play(&happening.step);
        }
        warden
    }

    /// The daemon over the far side, from this instant on.
    pub async fn watch(&self) -> Warden {
        let env = Env::simulated(self.far.now(), 7);
        self.far.enter(env.clone());
        let store = Store::open(&self.config.state, &env).await.expect("a ledger");
        let works = Works::assemble(&self.config, store.clone(), seams(&self.far)).await.expect("the works");
        let (tell, told) = mpsc::channel(1);
        let (config, path) = (self.config.clone(), self.dir.path().join("trailwarden.toml"));
        let task = tokio::spawn(async move { daemon::watch(config, &path, works, told).await });
        Warden { store, tell, task, far: self.far.clone() }
    }

    /// Serves health at an address that was free just now.
    pub fn listen(&mut self) -> SocketAddr {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let address = free.expect("an address");
        self.config.listen = Some(address);
        address
    }
}

pub struct Warden {
    pub store: Store,
    tell: mpsc::Sender<Told>,
    task: JoinHandle<Result<()>>,
    far: Arc<Far>,
}

impl Warden {
    /// Until no message is left; answers how long that took.
    pub async fn settled(&self) -> SignedDuration {
        let begun = self.far.now();
        self.until("every message is settled", async || self.far.waiting() == 0).await;
        self.far.now().duration_since(begun)
    }

    pub async fn until(&self, what: &str, happened: impl AsyncFn() -> bool) {
        for _ in 0..3 * 60 * 60 * 10 {
            if happened().await {
                return;
            }
            assert!(!self.task.is_finished(), "the warden ended before {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("in vain for three hours: {what}; findings: {:#?}", self.findings().await);
    }

    pub async fn findings(&self) -> Vec<Held> {
        self.store.read(|conn| findings::list(conn, true)).await.expect("findings")
    }

    /// The only finding of all, which must be of this kind.
    pub async fn only(&self, kind: Kind) -> Held {
        let mut found = self.findings().await;
        assert!(found.len() == 1 && found[0].kind == kind, "only {kind} was to be found: {found:#?}");
        found.remove(0)
    }

    pub async fn count(&self, counter: &str) -> u64 {
        let counters = self.store.read(lists::counters).await.expect("counters");
        counters.get(counter).copied().unwrap_or_default().unsigned_abs()
    }

    pub async fn knows(&self, key: &str) -> bool {
        let key = key.to_owned();
        let known = self.store.read(move |conn| objects::versions(conn, 1, &key)).await.expect("rows");
        assert!(known.len() <= 1, "known twice: {known:?}");
        !known.is_empty()
    }

    pub async fn proven(&self) -> u64 {
        let count = |conn: &rusqlite::Connection| {
            conn.query_row("SELECT count(*) FROM digests WHERE verdict = 1", [], |row| row.get::<_, i64>(0))
        };
        self.store.read(count).await.expect("a count").unsigned_abs()
    }

    /// Bodies in quarantine.
    pub async fn quarantine(&self) -> BTreeSet<Vec<u8>> {
        let held = self.store.read(|conn| lists::quarantined(conn, None)).await.expect("quarantine");
        held.into_iter().map(|held| held.body).collect()
    }

    pub async fn stop(self) {
        self.tell.send(Told::Stop).await.expect("it listens");
        self.task.await.expect("it does not panic").expect("it ends well");
    }
}

pub async fn minutes(number: u64) {
    tokio::time::sleep(Duration::from_secs(60 * number)).await;
}

pub fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// A notification of S3 about one object.
pub fn announce(bucket: &str, key: &str) -> Vec<u8> {
    let record = serde_json::json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-03-01T08:00:00.000Z",
        "s3": { "bucket": { "name": bucket }, "object": { "key": key } }
    });
    serde_json::json!({ "Records": [record] }).to_string().into_bytes()
}

/// The logs and digests that a message speaks of.
pub fn spoken_of(body: &[u8]) -> Vec<String> {
    let Opened::Notices { notices, .. } = notice::open(body) else { return Vec::new() };
    let keys = notices.into_iter().map(|notice| notice.key);
    keys.filter(|key| matches!(key::parse(key), ObjectKey::Log(_) | ObjectKey::Digest(_))).collect()
}

/// What was told of a kind, the first time and whenever it was resolved: the idempotency keys.
pub fn told(alerts: &[(String, Alert)], kind: Kind) -> Vec<String> {
    let of_kind = alerts.iter().filter(|(_, alert)| alert.finding.kind == kind);
    of_kind.map(|(key, _)| key.clone()).collect()
}

fn seams(far: &Arc<Far>) -> Seams {
    let trail = TrailSeams {
        bucket: Arc::new(FarBucket(far.clone())),
        queue: Arc::new(FarQueue(far.clone())),
        keys: Arc::new(FarKeys(far.clone())),
    };
    Seams {
        members: Arc::new(FarMembers(far.clone())),
        trails: vec![trail],
        channels: [("oncall".to_owned(), Arc::new(FarChannel(far.clone())) as _)].into(),
    }
}

fn config(world: &World, path: &std::path::Path) -> Config {
    let text = format!(
        r#"
[organization]
id = "{}"
members = "organizations"

[[trail]]
name = "org"
bucket = "{}"
region = "us-east-1"
queue = "https://sqs.us-east-1.amazonaws.com/111122223333/trailwarden"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]

[verify]
sweep = "5m"

[channel.oncall]
kind = "stdout"

[[route]]
to = ["oncall"]
resolved = true

[state]
path = "state.db"
"#,
        world.org, world.bucket,
    );
    let config = Config::from_text(&text, &path.display().to_string()).unwrap_or_else(|error| panic!("{error}"));
    Config { listen: None, ..config }
}
