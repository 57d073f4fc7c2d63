//! The ledger at size: durable commits a second beside bare ones, bytes an object open and folded, growth over the days, and
//! how long a warden takes to be ready with millions of folded objects.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Beside, Scratch, bare_commits, figure, median, play};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::runtime::Runtime;
use trailwarden::core::chain::ChainId;
use trailwarden::core::digest::{Previous, Verdict};
use trailwarden::core::id::{AccountId, OrgId, Region, Sha256};
use trailwarden::core::key::{DigestKey, LogKey, LogKind, Root};
use trailwarden::env::Env;
use trailwarden::store::digests::{self, NewDigest};
use trailwarden::store::objects::{self, Listing, NewObject, State};
use trailwarden::store::{Store, Tx};
use trailwarden::verify::Fold;
use trailwarden::world::Scale;

/// Steps of one round of commits, and how many of them wait at a time.
const COMMITS: usize = 30_000;
const WRITERS: usize = 256;
/// How many objects the figures of size are taken on.
const OPEN: usize = 1_000_000;
const FOLDED: usize = 5_000_000;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const AFTER: Duration = Duration::from_secs(14 * 86_400);

fn main() {
    if !common::is_bench() {
        return;
    }
    let scratch = Scratch::new("ledger");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    commits(&scratch.0, &runtime);
    runtime.block_on(growth(&scratch.0));
    runtime.block_on(sizes(&scratch.0));
    ready(&scratch.0);
}

fn commits(dir: &Path, runtime: &Runtime) {
    let beside = Beside::rounds(
        5,
        || bare_commits(dir, COMMITS as u64),
        || {
            let scratch = Scratch::new("ledger-commits");
            runtime.block_on(async {
                let mut archive = Archive::new(&scratch.0.join("state.db"), 100).await;
                let objects: Vec<NewObject> = (0..COMMITS).map(|nth| archive.log(nth % 100)).collect();
                let (store, begun) = (archive.store, Instant::now());
                let mut waiting = tokio::task::JoinSet::new();
                for object in objects {
                    if waiting.len() == WRITERS {
                        waiting.join_next().await.expect("one is waiting").expect("it goes well");
                    }
                    let store = store.clone();
                    waiting.spawn(async move {
                        let fresh = store.write(move |tx| objects::insert(tx, &object)).await;
                        assert!(fresh.expect("the disk takes it"));
                    });
                }
                waiting.join_all().await;
                begun.elapsed()
            })
        },
    );
    let rate = |seconds: f64| format!("{:.0}/s", COMMITS as f64 / seconds);
    println!();
    figure("floor: bare group commits of 64 rows, fsync on", rate(beside.floor()), "objects");
    figure("ours: a durable step for each object, fsync on", rate(beside.ours()), "objects; wanted: 3,000/s or more");
    figure("ours ÷ floor", format!("{:.2}", beside.ratio()), "");
}

/// Day after day, each folded when it is old enough: what the file grows by once the first days have been folded.
async fn growth(dir: &Path) {
    let mut archive = Archive::new(&dir.join("growth.db"), 40).await;
    let mut at = Vec::new();
    for day in 1..=150 {
        archive.hours(24).await;
        archive.fold().await;
        if day % 30 == 0 {
            let size = archive.size();
            println!("day {day}: {} objects, file {:.1} MB, {:.1} MB of it in use", archive.count, size.0, size.1);
            at.push((archive.count, size.0));
        }
    }
    if let [.., (before, small), (after, large)] = at[..] {
        let each = (large - small) * 1e6 / (after - before) as f64;
        figure("growth of the file, days 120 to 150, bytes an object", format!("{each:.1}"), "wanted: 40 or less");
    }
}

async fn sizes(dir: &Path) {
    let mut archive = Archive::new(&dir.join("state.db"), 100).await;
    while archive.count < OPEN {
        archive.hours(24).await;
    }
    let open = archive.size().1 * 1e6 / archive.count as f64;
    println!("{} objects, {} of them digests", archive.count, archive.digests);
    figure("bytes an object, open", format!("{open:.0}"), "wanted: 300 or less");
    archive.pass(15 * 24);
    let took = time_async(archive.fold()).await;
    let folded = archive.size().1 * 1e6 / archive.count as f64;
    figure("bytes an object, folded", format!("{folded:.1}"), "wanted: 40 or less");
    println!("folding them took {took:?}");
    while archive.count < FOLDED {
        archive.hours(24 * 20).await;
        archive.pass(15 * 24);
        archive.fold().await;
    }
    let size = archive.size();
    println!("{} folded objects, file {:.0} MB, {:.0} MB of it in use", archive.count, size.0, size.1);
}

/// The whole program, from its start until it says that it is ready.
fn ready(dir: &Path) {
    let scale = Scale { accounts: 2, regions: 1, hours: 8, logs_per_hour: (1, 1), records_per_log: (2, 2) };
    let played = play(&dir.join("world"), scale);
    let work = dir.join("ready");
    std::fs::create_dir_all(&work).expect("the disk takes it");
    let config = played.config(&work);
    let text = std::fs::read_to_string(&config).expect("it was written");
    let ledger = dir.join("state.db");
    std::fs::write(&config, text.replace(&format!("{}/state.db", work.display()), &ledger.display().to_string()))
        .expect("the disk takes it");
    let took: Vec<f64> = (0..5).map(|nth| start(&work.join(format!("{nth}.sock")), &config).as_secs_f64()).collect();
    let worst = took.iter().copied().fold(0.0, f64::max);
    figure("start to ready with 5 million folded objects, median", format!("{:.2} s", median(took)), "");
    figure("the same, worst of five", format!("{worst:.2} s"), "wanted: under 2 s");
}

fn start(socket: &Path, config: &Path) -> Duration {
    let listening = UnixDatagram::bind(socket).expect("a socket can be made");
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trailwarden"))
        .args(["run", "--config"])
        .arg(config)
        .env("NOTIFY_SOCKET", socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut buffer = [0; 4096];
    loop {
        let length = listening.recv(&mut buffer).expect("it speaks");
        if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") {
            break;
        }
    }
    let took = begun.elapsed();
    child.kill().expect("a child can be ended");
    child.wait().expect("a child can be waited for");
    took
}

async fn time_async<T>(work: impl Future<Output = T>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

/// A ledger that is told of an archive hour by hour: every place gets a digest, every fourth a log each five minutes, the
/// others one an hour. The bucket is versioned.
struct Archive {
    env: Env,
    store: Store,
    source: i64,
    places: Vec<(Root, Region)>,
    now: Timestamp,
    count: usize,
    digests: usize,
    /// Of each place: its last digest.
    last: Vec<Option<Previous>>,
    seed: u64,
}

impl Archive {
    async fn new(path: &Path, places: usize) -> Self {
        // Early enough that two years of it are over by now: a ledger ahead of the clock is refused.
        let now: Timestamp = "2020-01-01T00:00:00Z".parse().expect("a time");
        let env = Env::manual(now, 1);
        let store = Store::open(path, &env).await.expect("a ledger");
        let source = store.write(|tx| objects::source_id(tx, "org")).await.expect("a source");
        let org = OrgId::parse("o-a1b2c3d4e5").ok();
        let regions = ["eu-west-1", "us-east-1", "eu-central-1", "ap-southeast-2"];
        let places: Vec<(Root, Region)> = (0..places)
            .map(|nth| {
                let account =
                    AccountId::parse(&format!("{:012}", 100_000_000_007_u64 * (nth as u64 / 4 + 1) % 999_999_999_989));
                let root = Root { prefix: String::new(), org: org.clone(), account: account.expect("an account") };
                (root, Region::parse(regions[nth % 4]).expect("a region"))
            })
            .collect();
        let last = vec![None; places.len()];
        Self { env, store, source, places, now, count: 0, digests: 0, last, seed: 1 }
    }

    /// Bytes that look like any others.
    fn bytes(&mut self) -> [u8; 32] {
        self.seed += 1;
        Sha256::of(&self.seed.to_le_bytes()).0
    }

    fn row(&mut self, key: String, kind: i64, at: Timestamp, sha: Sha256) -> NewObject {
        let (version, etag) = (self.bytes(), self.bytes());
        NewObject {
            source: self.source,
            key,
            version: Some(hex::encode(&version[..16])),
            kind,
            delivered: at,
            state: State::Admitted,
            listed: if kind == objects::DIGEST_KIND { Listing::NotExpected } else { Listing::None },
            sha: Some(sha),
            size: 13_000 + u64::from(version[0]) * 40,
            etag: Some(hex::encode(&etag[..16])),
            records: if kind == objects::DIGEST_KIND { 0 } else { 90 },
            rejects: 0,
        }
    }

    fn log(&mut self, place: usize) -> NewObject {
        let (unique, content) = (self.bytes(), self.bytes());
        let (root, region) = self.places[place].clone();
        let at = self.now + SignedDuration::from_mins(i64::from(unique[31] % 12) * 5);
        let key = LogKey {
            root,
            kind: LogKind::Events,
            region,
            date: at.to_zoned(jiff::tz::TimeZone::UTC).date(),
            delivered: at,
            unique: hex::encode(&unique[..8]),
            odd_name: false,
        };
        self.row(key.format(), 0, at, Sha256(content))
    }

    fn digest(&mut self, place: usize) -> (NewObject, DigestKey, NewDigest) {
        let (root, region) = self.places[place].clone();
        let end = self.now + HOUR + SignedDuration::from_secs(i64::try_from(place * 7).expect("small"));
        let home = Region::parse("us-east-1").expect("a region");
        let key = DigestKey { root, region, trail: "org-main".into(), home, end, backfill: false };
        let (sha, half) = (Sha256(self.bytes()), self.bytes());
        let row = self.row(key.format(), objects::DIGEST_KIND, end, sha);
        let signature = half.repeat(8);
        let named =
            Previous { bucket: "org-cloudtrail-logs".into(), key: row.key.clone(), sha, signature: signature.clone() };
        let digest = NewDigest {
            source: self.source,
            key: row.key.clone(),
            chain: 0,
            start: end - HOUR,
            end,
            verdict: Verdict::Good,
            faulty: false,
            sha: Some(sha),
            signature: Some(signature),
            previous: self.last[place].replace(named),
            logs: 4,
            lacks: None,
        };
        (row, key, digest)
    }

    /// Logs come unlisted; the digest at the end of the hour lists them.
    async fn hours(&mut self, hours: usize) {
        for _ in 0..hours {
            let mut logs: Vec<NewObject> = Vec::new();
            for place in 0..self.places.len() {
                for _ in 0..if place % 4 == 0 { 12 } else { 1 } {
                    logs.push(self.log(place));
                }
            }
            logs.sort_by_key(|log| log.delivered);
            let digests: Vec<_> = (0..self.places.len()).map(|place| self.digest(place)).collect();
            self.count += logs.len() + digests.len();
            self.digests += digests.len();
            let source = self.source;
            self.write(move |tx| {
                for log in &logs {
                    objects::insert(tx, log)?;
                }
                for log in &logs {
                    objects::set_listed(tx, source, &log.key, Listing::Fits)?;
                }
                for (row, key, digest) in digests {
                    objects::insert(tx, &row)?;
                    let chain = digests::chain(tx, source, &ChainId::of(&key))?.id;
                    digests::put(tx, &NewDigest { chain, ..digest })?;
                    digests::set_joined(tx, source, &row.key, true)?;
                    digests::extend_chain(tx, chain, key.end - HOUR, key.end)?;
                }
                Ok(())
            })
            .await;
            self.pass(1);
        }
    }

    async fn write(&self, step: impl FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send + 'static) {
        self.store.write(step).await.expect("the disk takes it");
    }

    fn pass(&mut self, hours: i64) {
        self.now += HOUR * i32::try_from(hours).expect("small");
        self.env.advance(HOUR * i32::try_from(hours).expect("small"));
        if hours > 1 {
            // nobody delivers meanwhile, so chains begin anew
            self.last.fill(None);
        }
    }

    async fn fold(&self) {
        let fold = Fold::new(self.store.clone(), AFTER);
        loop {
            let folded = fold.run(self.source).await.expect("it can be folded");
            if folded.objects == 0 {
                return;
            }
        }
    }

    /// Megabytes of the file, and of its pages that are in use.
    fn size(&self) -> (f64, f64) {
        let conn = Connection::open(self.store.path()).expect("the ledger opens");
        let ask = |what: &str| conn.query_row(what, [], |row| row.get::<_, i64>(0)).expect("a number");
        conn.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(())).expect("nobody else reads");
        let (pages, free) = (ask("PRAGMA page_count"), ask("PRAGMA freelist_count"));
        let page = ask("PRAGMA page_size") as f64 / 1e6;
        (pages as f64 * page, (pages - free) as f64 * page)
    }
}
