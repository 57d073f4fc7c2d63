//! A year of an organization, hour by hour: what a ledger looks like when it has seen everything.
//!
//! Settling, sweeping, folding and alerting are the product's own; time is set forward by the hour, and the ledger lies in
//! memory, so that what is measured is the work and not the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trailwarden::config::Config;
use trailwarden::core::id::Region;
use trailwarden::env::Env;
use trailwarden::error::Result;
use trailwarden::ingest::settle_body;
use trailwarden::seam::{
    Bucket, Channel, Depth, Got, Head, Keys, Listed, Member, Members, Message, Metadata, Object, Page, PublicKey, Queue,
};
use trailwarden::store::{Store, findings};
use trailwarden::verify::{Fold, Sweep};
use trailwarden::wiring::{Seams, TrailSeams, Works};
use trailwarden::world::{Hour, Scale, Step, World};

const ACCOUNTS: usize = 50;
const HOURS: u32 = 365 * 24;
/// Objects older than this are asked for by nobody in here.
const KEPT: usize = 48;

/// The bucket, as far as it is still asked for.
#[derive(Default)]
struct Lately {
    objects: BTreeMap<String, (Vec<u8>, Metadata)>,
    hours: VecDeque<Vec<String>>,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Lately>>);

impl Memory {
    fn with<T>(&self, look: impl FnOnce(&mut Lately) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) {
        self.with(|lately| {
            lately.objects.insert(key.to_owned(), (body, metadata));
            if let Some(hour) = lately.hours.back_mut() {
                hour.push(key.to_owned());
            }
        });
    }

    fn turn(&self) {
        self.with(|lately| {
            lately.hours.push_back(Vec::new());
            if lately.hours.len() > KEPT {
                for key in lately.hours.pop_front().into_iter().flatten() {
                    lately.objects.remove(&key);
                }
            }
        });
    }
}

fn head(body: &[u8], metadata: &Metadata) -> Head {
    Head { size: body.len() as u64, metadata: metadata.clone(), ..Head::default() }
}

#[async_trait]
impl Bucket for Memory {
    async fn get(&self, key: &str, _: Option<&str>, _: u64) -> Result<Got> {
        let found = self.with(|lately| lately.objects.get(key).cloned());
        Ok(found.map_or(Got::Absent, |(body, metadata)| Got::Found(Object { head: head(&body, &metadata), body })))
    }

    async fn head(&self, key: &str, _: Option<&str>) -> Result<Option<Head>> {
        Ok(self.with(|lately| lately.objects.get(key).map(|(body, metadata)| head(body, metadata))))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let from = after.map_or_else(|| prefix.to_owned(), |after| format!("{after}\0"));
        let objects = self.with(|lately| {
            let under = lately.objects.range(from..).take_while(|(key, _)| key.starts_with(prefix));
            under.map(|(key, (body, _))| Listed { key: key.clone(), size: body.len() as u64, etag: None }).collect()
        });
        Ok(Page { objects, more: false })
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let folder = |key: &String| {
            let end = key.strip_prefix(prefix)?.find('/')? + prefix.len() + 1;
            key.get(..end).map(str::to_owned)
        };
        Ok(self.with(|lately| lately.objects.keys().filter_map(folder).collect::<BTreeSet<_>>().into_iter().collect()))
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
        unreachable!("nothing is put into evidence")
    }

    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

/// The other seams: members and keys that are known, a queue that nobody asks, a channel that counts.
struct Rest {
    members: Vec<Member>,
    keys: Vec<(Region, PublicKey)>,
}

#[async_trait]
impl Members for Rest {
    async fn all(&self) -> Result<Vec<Member>> {
        Ok(self.members.clone())
    }
}

#[async_trait]
impl Keys for Rest {
    async fn find(&self, region: &Region, fingerprint: &str, _: Timestamp) -> Result<Option<PublicKey>> {
        let found = self.keys.iter().find(|(of, key)| of == region && key.fingerprint == fingerprint);
        Ok(found.map(|(_, key)| key.clone()))
    }

    async fn all(&self, _: &Region, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>> {
        Ok(self.keys.iter().map(|(_, key)| key.clone()).collect())
    }
}

#[async_trait]
impl Queue for Rest {
    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }
    async fn extend(&self, _: &[String], _: Duration) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn done(&self, _: &[String]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn later(&self, _: &str, _: Duration) -> Result<()> {
        Ok(())
    }
    async fn depth(&self) -> Result<Depth> {
        Ok(Depth::default())
    }
    fn visibility(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[async_trait]
impl Channel for Rest {
    async fn send(&self, _: &str, _: &trailwarden::core::alert::Alert) -> Result<Option<String>> {
        Ok(None)
    }
}

/// What a month came to.
#[derive(Debug, Clone, Copy)]
struct Month {
    objects: u64,
    ledger: u64,
    rss: u64,
}

#[test]
#[ignore = "minutes: the digests of a year have to be signed first"]
fn a_year_of_fifty_accounts_is_kept_small() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let hours = crate::number("TRAILWARDEN_HOURS").map_or(HOURS, |hours| u32::try_from(hours).expect("hours"));
    let Year { months, worked } = runtime.block_on(year(hours));
    for (number, month) in months.iter().enumerate() {
        println!(
            "month {:>2}: {:>7} objects, ledger {:>6.1} MB, {:>4.1} bytes an object, RSS {} MB",
            number + 1,
            month.objects,
            month.ledger as f64 / 1e6,
            month.ledger as f64 / month.objects as f64,
            month.rss >> 20
        );
    }
    println!("the warden worked for {:.1} s", worked.as_secs_f64());
    let (Some(early), Some(last)) = (months.get(2), months.last()) else { return };
    let grown = (last.ledger.saturating_sub(early.ledger)) as f64 / (last.objects - early.objects) as f64;
    println!("from the third month on the ledger grew by {grown:.1} bytes an object");
    assert!(grown < 40.0, "{grown}");
    assert!(last.rss < early.rss + (64 << 20), "{early:?} {last:?}");
}

/// Messages in work at a time, as many as the daemon holds by default: the warden does not stop to wait for the clock.
const WAITING: usize = 256;

/// Hours that the sweep may be behind the clock.
const BEHIND: usize = 6;

/// Days that are signed at a time.
const AHEAD: usize = 5;

struct Year {
    months: Vec<Month>,
    /// How long the warden took.
    worked: Duration,
}

async fn year(hours: u32) -> Year {
    let start: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
    let scale = Scale { accounts: ACCOUNTS, regions: 1, hours, logs_per_hour: (0, 0), records_per_log: (2, 4) };
    let mut world = World::single(1, scale, start).expect("a world");
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let env = Env::manual(start, 1);
    let (bucket, works) = open(&world, dir.path(), &env).await;
    works.deliveries.roster.refresh().await.expect("members");
    let sweep = Arc::new(Sweep::new(works.deliveries.clone()));
    let fold = Arc::new(Fold::new(works.store.clone(), FOLDED_AFTER));
    let mut year = Year { months: Vec::new(), worked: Duration::ZERO };
    for days in (AHEAD..).step_by(AHEAD) {
        // The world signs what it delivers before the clock of the warden runs.
        let hours: Vec<Hour> = std::iter::from_fn(|| world.next_hour().expect("an hour")).take(24 * AHEAD).collect();
        if hours.is_empty() {
            break;
        }
        let begun = Instant::now();
        play(hours, &bucket, &env, &works, &sweep, &fold).await;
        year.worked += begun.elapsed();
        if days % 30 == 0 {
            year.months.push(month(&works.store, dir.path()).await);
        }
    }
    let told = works.store.read(|conn| findings::list(conn, true)).await.expect("findings");
    assert!(told.is_empty(), "{} false findings, the first is {:?}", told.len(), told.first());
    year
}

/// Some days: each hour's objects are put and announced, time moves on, and while they are settled the sweep runs, once an hour,
/// and what is old is folded, once a day.
async fn play(hours: Vec<Hour>, bucket: &Memory, env: &Env, works: &Works, sweep: &Arc<Sweep>, fold: &Arc<Fold>) {
    let trail = works.trails.first().expect("a trail");
    let (tick, mut ticks) = mpsc::channel(BEHIND);
    let (sweep, of) = (sweep.clone(), trail.clone());
    let sweeping = tokio::spawn(async move {
        while ticks.recv().await.is_some() {
            while ticks.try_recv().is_ok() {}
            sweep.run(&of).await.expect("a sweep");
        }
    });
    let (day, mut days) = mpsc::channel(1);
    let (fold, alerts, source) = (fold.clone(), works.alerts.clone(), trail.id);
    let tidying = tokio::spawn(async move {
        while days.recv().await.is_some() {
            fold.run(source).await.expect("a fold");
            alerts.pump().await.expect("alerts");
        }
    });
    let mut settling = JoinSet::new();
    for (number, hour) in hours.into_iter().enumerate() {
        if number % 24 == 0 {
            day.send(()).await.expect("the fold goes on");
        }
        bucket.turn();
        let mut messages = Vec::new();
        for happening in hour.happenings {
            match happening.step {
                Step::Put { key, body, metadata } => bucket.put(&key, body, metadata),
                Step::Message { body } => messages.push(body),
                Step::Remove { .. } => unreachable!("nobody tampers"),
            }
        }
        env.advance(SignedDuration::from_hours(1));
        for body in messages {
            let (deliveries, trail) = (works.deliveries.clone(), trail.clone());
            settling.spawn(async move { settle_body(&deliveries, &trail, "m", &body).await.expect("it is settled") });
        }
        tick.send(()).await.expect("the sweep goes on");
        while settling.len() > WAITING {
            settling.join_next().await.expect("a message").expect("no panic");
        }
    }
    drop((tick, day));
    settling.join_all().await;
    sweeping.await.expect("no panic");
    tidying.await.expect("no panic");
}

const FOLDED_AFTER: Duration = Duration::from_secs(15 * 86_400);

async fn open(world: &World, dir: &std::path::Path, env: &Env) -> (Memory, Works) {
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

[channel.audit]
kind = "stdout"

[[route]]
to = ["audit"]

[state]
path = "{}/state.db"
"#,
        world.org,
        world.bucket,
        dir.display()
    );
    let config = Config::from_text(&text, "year.toml").unwrap_or_else(|error| panic!("{error}"));
    let store = Store::open(&config.state, env).await.expect("a ledger");
    let (bucket, rest) =
        (Memory::default(), Arc::new(Rest { members: world.members.clone(), keys: world.keys.clone() }));
    let trail = TrailSeams { bucket: Arc::new(bucket.clone()), queue: rest.clone(), keys: rest.clone() };
    let channels = BTreeMap::from([("audit".to_owned(), rest.clone() as _)]);
    let seams = Seams { members: rest, trails: vec![trail], channels };
    (bucket, Works::assemble(&config, store, seams).await.expect("the works"))
}

async fn month(store: &Store, dir: &std::path::Path) -> Month {
    let seen = "SELECT value FROM counters WHERE name = 'objects.seen'";
    let objects: i64 = store.read(move |conn| conn.query_row(seen, [], |row| row.get(0))).await.expect("a count");
    let ledger = std::fs::metadata(dir.join("state.db")).expect("the ledger").len();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    Month { objects: objects.unsigned_abs(), ledger, rss: rss.unwrap_or(0) << 10 }
}
