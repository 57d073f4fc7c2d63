//! Bucket, notifications and digests are three sets: what one of them lacks is found, repaired and told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use trailwarden::config::Config;
use trailwarden::core::finding::{Held, Kind, State};
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::seam::{Bucket, Got, Head, Metadata, Page};
use trailwarden::store::{findings, lists, objects};
use trailwarden::trail::Trail;
use trailwarden::verify::{Reconcile, Sweep, last_rounds};
use trailwarden::wiring::Works;
use trailwarden::world::{Scale, Step};

use crate::common::acts::{Acts, contains, world};
use crate::common::warden::verb;
use crate::directories::Ground;

const BUDGET: u64 = 1_000_000;

/// A day of a few accounts, of which some is never announced; the warden watched all the time.
pub struct Day {
    pub ground: Ground,
    pub acts: Acts,
    /// Keys of logs and digests that lie in the bucket.
    pub keys: BTreeSet<String>,
}

impl Day {
    /// `announced` says of each key whether its message is sent.
    pub fn of(seed: u64, announced: impl Fn(&str) -> bool) -> Self {
        let scale = Scale { accounts: 4, regions: 3, hours: 30, logs_per_hour: (1, 2), records_per_log: (1, 2) };
        let world = world(seed, scale, &[]);
        let ground = Ground::of(&world);
        let acts = Acts::of(world);
        let evidence = |key: &&String| key.ends_with(".json.gz") && key.contains("_CloudTrail");
        let keys: BTreeSet<String> = acts.puts().map(|(key, _)| key).filter(evidence).cloned().collect();
        let mut names: Vec<&str> = keys.iter().map(|key| name(key)).collect();
        names.sort_unstable();
        for happening in &acts.first {
            let silent = match &happening.step {
                Step::Message { body } => names.iter().any(|name| !announced(name) && contains(body, name)),
                _ => false,
            };
            if !silent {
                ground.stage.play(happening).expect("it happens");
            }
        }
        Self { ground, acts, keys }
    }

    /// The parts of a warden whose clock stands some hours after the day: nothing is too young to be compared.
    pub async fn works(&self) -> (Works, Config) {
        let config = Config::load(&self.ground.config).expect("a configuration");
        let env = Env::manual(self.acts.end + SignedDuration::from_hours(5), 7);
        let works = Works::open(&config, &env).await.expect("the works");
        works.deliveries.roster.refresh().await.expect("the members");
        // It listened from the beginning.
        let long_ago = "2026-01-01T00:00:00Z";
        let since = move |tx: &trailwarden::store::Tx<'_>| lists::set_progress(tx, "reconcile/org/since", long_ago);
        works.store.write(since).await.expect("a write");
        (works, config)
    }

    pub fn remove(&self, key: &str) {
        std::fs::remove_file(self.ground.dir.path().join("bucket").join(key)).expect("it was there");
    }
}

pub fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Falls the same way for the same name.
pub fn dice(name: &str, sides: u32) -> bool {
    name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % sides == 0
}

fn announced_upto(works: &Works) -> Timestamp {
    works.env.now() - SignedDuration::from_mins(15)
}

pub async fn complete(works: &Works, config: &Config) -> Reconcile {
    let mut reconcile = Reconcile::new(works.deliveries.clone(), works.trails[0].clone(), config.verify.clone());
    assert!(reconcile.slice(BUDGET, announced_upto(works)).await.expect("a slice"));
    reconcile
}

/// What the ledger holds of the bucket's evidence.
pub async fn known(works: &Works) -> BTreeSet<String> {
    let last = char::MAX.to_string();
    let look = move |conn: &rusqlite::Connection| {
        let mut all = BTreeSet::new();
        for (_, folder) in objects::region_folders(conn, 1)? {
            all.extend(objects::evidence(conn, 1, &folder, (&folder, &last), 1_000_000)?);
        }
        Ok(all)
    };
    works.store.read(look).await.expect("keys")
}

pub async fn told(works: &Works) -> Vec<Held> {
    works.store.read(|conn| findings::list(conn, true)).await.expect("findings")
}

async fn recent(works: &Works) -> trailwarden::verify::Place {
    let [recent, _] = works.store.read(|conn| last_rounds(conn, "org")).await.expect("rounds");
    recent.expect("a round")
}

#[tokio::test]
async fn lost_notifications_are_repaired_and_many_of_them_are_told() {
    let day = Day::of(21, |name| !dice(name, 7));
    day.ground.drain();
    let (works, config) = day.works().await;
    let before = known(&works).await;
    // Some of it the sweep has repaired: what a digest lists, and what another digest names.
    let lost = day.keys.len() - before.len();
    assert!(lost >= 10, "only {lost} notifications were lost");
    complete(&works, &config).await;
    assert_eq!(known(&works).await, day.keys);
    let tally = recent(&works).await.tally;
    assert_eq!((tally.repaired, tally.removed, tally.failed), (lost as u64, 0, 0), "{tally:?}");
    assert_eq!(tally.known + tally.repaired, day.keys.len() as u64);
    let per_place: u64 = tally.places.values().map(|found| found.repaired).sum();
    assert_eq!(per_place, lost as u64);
    let told = told(&works).await;
    assert_eq!(told.iter().map(|held| held.kind).collect::<Vec<_>>(), [Kind::NotificationsLost], "{told:#?}");
    assert!(told[0].detail.starts_with(&format!("{lost} objects")), "{}", told[0].detail);

    // The next round is clean.
    works.env.advance(SignedDuration::from_hours(24));
    complete(&works, &config).await;
    let tally = recent(&works).await.tally;
    assert_eq!((tally.known, tally.repaired), (day.keys.len() as u64, 0));
    assert_eq!(self::told(&works).await[0].state, State::Resolved);
}

#[tokio::test]
async fn what_no_notification_ever_named_is_found_all_accounts_and_regions_of_it() {
    // A whole account, and one region of the others.
    let probe =
        world(22, Scale { accounts: 4, regions: 3, hours: 30, logs_per_hour: (1, 2), records_per_log: (1, 2) }, &[]);
    let (account, region) = (probe.members[1].account.to_string(), "us-east-1");
    let day = Day::of(22, |name| !name.starts_with(&account) && !name.contains(region));
    day.ground.drain();
    let (works, config) = day.works().await;
    let forgotten = |key: &&String| name(key).starts_with(&account) || name(key).contains(region);
    let forgotten = day.keys.iter().filter(forgotten).count();
    let unknown = day.keys.len() - known(&works).await.len();
    assert!(forgotten > 100 && unknown > 100, "{unknown} of {forgotten} are not known");
    complete(&works, &config).await;
    assert_eq!(known(&works).await, day.keys);
    // Nothing is wrong with what was found: the chains hold.
    Sweep::new(works.deliveries.clone()).run(&works.trails[0]).await.expect("a sweep");
    let kinds: BTreeSet<Kind> = told(&works).await.iter().map(|held| held.kind).collect();
    let of_evidence = kinds.iter().filter(|kind| kind.name().starts_with("log_") || kind.name().starts_with("chain_"));
    assert_eq!(of_evidence.count(), 0, "{kinds:?}");
}

#[tokio::test]
async fn what_is_deleted_silently_is_told_once_even_a_whole_region() {
    let day = Day::of(23, |_| true);
    day.ground.drain();
    let (works, config) = day.works().await;
    let account = day.acts.members[0].account.to_string();
    let whole = |key: &String| key.contains("/us-east-1/") && key.contains(&format!("/{account}/"));
    // A log of the last hour may have been announced to nobody, and no digest names it yet.
    let there = known(&works).await;
    let gone: BTreeSet<String> = there.into_iter().filter(|key| whole(key) || dice(key, 41)).collect();
    assert!(gone.iter().filter(|key| !whole(key)).count() > 3);
    for key in &gone {
        day.remove(key);
    }
    complete(&works, &config).await;
    let removed = |told: Vec<Held>| -> Vec<(String, u64)> {
        let of_kind = told.into_iter().filter(|held| held.kind == Kind::EvidenceRemoved);
        of_kind.map(|held| (held.object.expect("an object"), held.count)).collect()
    };
    let mut first = removed(told(&works).await);
    first.sort();
    assert_eq!(first, gone.iter().map(|key| (key.clone(), 1)).collect::<Vec<_>>());
    assert_eq!(recent(&works).await.tally.removed, gone.len() as u64);
    // Neither the next round nor the scrub tells it again.
    works.env.advance(SignedDuration::from_hours(24));
    complete(&works, &config).await;
    trailwarden::verify::Scrub::new(works.deliveries.clone()).run(&works.trails[0], u64::MAX).await.expect("a scrub");
    let mut again = removed(told(&works).await);
    again.sort();
    assert_eq!(again, first);
}

#[tokio::test]
async fn what_may_still_be_announced_is_left_alone() {
    let day = Day::of(24, |_| false);
    let (works, config) = day.works().await;
    let mut reconcile = Reconcile::new(works.deliveries.clone(), works.trails[0].clone(), config.verify.clone());
    let upto = day.acts.end - SignedDuration::from_hours(20);
    assert!(reconcile.slice(BUDGET, upto).await.expect("a slice"));
    let settled = known(&works).await;
    assert!(!settled.is_empty() && settled.len() < day.keys.len());
    let late = |key: &&String| match trailwarden::core::key::parse(key) {
        trailwarden::core::key::ObjectKey::Log(log) => log.delivered > upto,
        _ => false,
    };
    assert_eq!(settled.iter().filter(late).count(), 0);
    let missed = day.keys.iter().filter(|key| !late(key) && !key.contains("-Digest/") && !settled.contains(*key));
    assert_eq!(missed.count(), 0);
}

/// A bucket that counts what is asked of it, and that fails from some request on.
struct Counting {
    inner: trailwarden::seam::DynBucket,
    asked: Arc<AtomicU64>,
    /// Requests that are answered.
    answers: u64,
}

impl Counting {
    fn count(&self) -> Result<()> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.answers {
            Ok(())
        } else {
            Err(Error::permanent("bucket:list", "gone"))
        }
    }
}

#[async_trait]
impl Bucket for Counting {
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got> {
        self.inner.get(key, version, max_bytes).await
    }
    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        self.count()?;
        self.inner.head(key, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        assert!(prefix.matches('/').count() >= 4, "a listing of {prefix}");
        self.count()?;
        self.inner.list(prefix, after).await
    }
    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.count()?;
        self.inner.folders(prefix).await
    }
    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        self.inner.put(key, body, metadata).await
    }
    async fn has_metadata(&self) -> Result<bool> {
        self.inner.has_metadata().await
    }
}

fn counting(trail: &Trail, answers: u64) -> (Arc<Trail>, Arc<AtomicU64>) {
    let asked = Arc::<AtomicU64>::default();
    let bucket = Arc::new(Counting { inner: trail.bucket.clone(), asked: asked.clone(), answers });
    let trail = Trail {
        id: trail.id,
        name: trail.name.clone(),
        shard: trail.shard,
        bucket,
        queue: trail.queue.clone(),
        keys: trail.keys.clone(),
        rules: trail.rules.clone(),
        caps: trail.caps,
        object_limit: trail.object_limit,
        validation: trail.validation,
        promise: None,
        bucket_name: trail.bucket_name.clone(),
        ours: RwLock::default(),
        audit: Default::default(),
        strays: Default::default(),
    };
    (Arc::new(trail), asked)
}

#[tokio::test]
async fn slices_keep_to_their_budget_and_another_process_goes_on_where_one_died() {
    let day = Day::of(25, |name| !dice(name, 5));
    day.ground.drain();
    let (works, config) = day.works().await;
    let upto = announced_upto(&works);
    let (trail, asked) = counting(&works.trails[0], u64::MAX);
    let (mut slices, mut folders) = (0, BTreeSet::new());
    loop {
        // Each slice has forgotten everything that is not in the ledger.
        let mut reconcile = Reconcile::new(works.deliveries.clone(), trail.clone(), config.verify.clone());
        let before = asked.load(Ordering::Relaxed);
        let ended = reconcile.slice(6, upto).await.expect("a slice");
        let took = asked.load(Ordering::Relaxed) - before;
        // Finding the roots and the account's regions anew takes a few; one that goes on remembers them.
        assert!(took <= 6 + 12, "{took} requests");
        folders.insert(serde_json::to_string(&recent(&works).await).expect("text"));
        slices += 1;
        assert!(slices < 1_000, "it does not come on: {folders:#?}");
        if ended {
            break;
        }
    }
    assert!(slices > 10, "{slices}");
    assert_eq!(known(&works).await, day.keys);
    let tally = recent(&works).await.tally;
    assert_eq!(tally.known + tally.repaired, day.keys.len() as u64, "each object is compared once: {tally:?}");
}

#[tokio::test]
async fn a_slice_that_lives_on_pays_back_what_it_took_too_many() {
    let day = Day::of(26, |_| true);
    day.ground.drain();
    let (works, config) = day.works().await;
    for key in day.keys.iter().filter(|key| dice(key, 11)) {
        day.remove(key);
    }
    let (trail, asked) = counting(&works.trails[0], u64::MAX);
    let mut reconcile = Reconcile::new(works.deliveries.clone(), trail, config.verify.clone());
    let (mut slices, each) = (0, 3);
    while !reconcile.slice(each, announced_upto(&works)).await.expect("a slice") {
        slices += 1;
    }
    let all = asked.load(Ordering::Relaxed);
    assert!(all <= (slices + 1) * each, "{all} requests in {slices} slices of {each}");
    assert!(all + 2 * each >= slices * each, "{all} requests in {slices} slices of {each}: time was wasted");
    let metrics = works.metrics.render();
    assert!(metrics.contains(&format!("trailwarden_reconcile_requests_total {all}\n")), "{metrics}");
}

#[tokio::test]
async fn wherever_the_bucket_fails_the_round_goes_on_and_ends_with_the_same() {
    let day = Day::of(27, |name| !dice(name, 6));
    day.ground.drain();
    let (works, config) = day.works().await;
    let upto = announced_upto(&works);
    let gone: Vec<&String> = day.keys.iter().filter(|key| dice(key, 37)).collect();
    let before = known(&works).await;
    gone.iter().for_each(|key| day.remove(key));
    let mut failures = 0;
    for answers in (1..).step_by(3) {
        let (trail, _) = counting(&works.trails[0], answers);
        let mut reconcile = Reconcile::new(works.deliveries.clone(), trail, config.verify.clone());
        match reconcile.slice(BUDGET, upto).await {
            Ok(true) => break,
            Ok(false) => panic!("the budget was not used up"),
            Err(_) => failures += 1,
        }
    }
    assert!(failures >= 3, "{failures}");
    works.env.advance(SignedDuration::from_hours(24));
    complete(&works, &config).await;
    let wanted: BTreeSet<String> = day.keys.iter().filter(|key| !gone.contains(key)).cloned().collect();
    assert_eq!(known(&works).await, wanted);
    let told = told(&works).await;
    let removed: Vec<_> = told.iter().filter(|held| held.kind == Kind::EvidenceRemoved).collect();
    let was_known = gone.iter().filter(|key| before.contains(**key)).count();
    assert_eq!(removed.len(), was_known);
    assert!(removed.iter().all(|held| held.count == 1));
}

#[test]
fn the_verb_says_by_its_exit_code_whether_anything_differed() {
    let day = Day::of(28, |name| !dice(name, 5));
    day.ground.drain();
    let compare = || {
        let output = verb(&day.ground.config, &["reconcile", "--to", "1d", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        let number = |name: &str| told[0][name].as_u64().expect("a number");
        (output.status.code(), number("known"), number("repaired"), number("removed"))
    };
    let (code, known, repaired, removed) = compare();
    assert!(code == Some(4) && known > 0 && repaired > 0 && removed == 0, "{code:?} {known} {repaired} {removed}");
    assert_eq!(compare(), (Some(0), known + repaired, 0, 0));
    let oldest =
        day.keys.iter().filter(|key| key.contains("/CloudTrail/")).min_by_key(|key| name(key).split('_').nth(3));
    day.remove(oldest.expect("a log"));
    assert_eq!(compare(), (Some(4), known + repaired - 1, 0, 1));
    assert_eq!(compare(), (Some(0), known + repaired - 1, 0, 0));
    let status = verb(&day.ground.config, &["status"]);
    assert_eq!(status.status.code(), Some(0));
    let usage = verb(&day.ground.config, &["reconcile", "--from", "1d", "--to", "2d"]);
    assert_eq!(usage.status.code(), Some(2));
}
