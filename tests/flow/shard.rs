//! One of several wardens: what is announced to it is settled, whosever it is; what it looks for and speaks of by itself is of its
//! own accounts.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::SignedDuration;
use trailwarden::backfill::{Backfill, Progress, Scope};
use trailwarden::core::finding::{Held, Kind, State};
use trailwarden::core::id::AccountId;
use trailwarden::core::key;
use trailwarden::core::shard::Shard;
use trailwarden::error::Result;
use trailwarden::seam::{Bucket, Got, Head, Metadata, Page};
use trailwarden::store::findings;
use trailwarden::trail::Trail;
use trailwarden::verify::{Reconcile, Scrub, Sweep};
use trailwarden::wiring::{Seams, Works};

use crate::common::warden::{json, stderr, stdout, verb};
use crate::reconcile::{Day, complete, known, name, told};

/// The odd digits.
const SHARD: &str = "[shard]\nindex = 1\ncount = 2\n";

fn shard() -> Shard {
    Shard::new(1, 2).expect("a shard")
}

fn is_ours(object: &str) -> bool {
    key::parse(object).root().is_some_and(|root| shard().holds(root.account))
}

/// As the configuration says from now on.
fn divide(day: &Day) {
    let mut file = std::fs::File::options().append(true).open(&day.ground.config).expect("the configuration");
    file.write_all(SHARD.as_bytes()).expect("it is written");
}

/// Members that end in odd digits, and others.
fn members(day: &Day) -> [Vec<AccountId>; 2] {
    let (ours, others) =
        day.acts.members.iter().map(|member| member.account).partition::<Vec<_>, _>(|account| shard().holds(*account));
    assert!(!ours.is_empty() && !others.is_empty(), "the world has both: {ours:?} {others:?}");
    [ours, others]
}

/// Writes down what is asked for.
struct Watched {
    inner: Arc<dyn Bucket>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    fn note(&self, what: &str) {
        self.asked.lock().expect("a list").push(what.to_owned());
    }
}

#[async_trait]
impl Bucket for Watched {
    async fn get(&self, key: &str, version: Option<&str>, most: u64) -> Result<Got> {
        self.note(key);
        self.inner.get(key, version, most).await
    }
    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        self.note(key);
        self.inner.head(key, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.note(prefix);
        self.inner.list(prefix, after).await
    }
    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.note(prefix);
        self.inner.folders(prefix).await
    }
    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        self.inner.put(key, body, metadata).await
    }
    async fn has_metadata(&self) -> Result<bool> {
        self.inner.has_metadata().await
    }
}

/// The works some hours after the day, with a bucket that tells what was asked of it.
async fn watched(day: &Day) -> (Works, trailwarden::config::Config, Arc<Mutex<Vec<String>>>) {
    let (works, config) = day.works().await;
    let (store, asked) = (works.store.clone(), Arc::<Mutex<Vec<String>>>::default());
    drop(works);
    let mut seams = Seams::connect(&config, store.env()).await.expect("the seams");
    for trail in &mut seams.trails {
        trail.bucket = Arc::new(Watched { inner: trail.bucket.clone(), asked: asked.clone() });
    }
    (Works::assemble(&config, store, seams).await.expect("the works"), config, asked)
}

/// What was asked for of others, by the account in its path.
fn of_others(asked: &Mutex<Vec<String>>, others: &[AccountId]) -> Vec<String> {
    let asked = asked.lock().expect("a list");
    let is_theirs = |path: &&String| others.iter().any(|account| path.contains(account.as_str()));
    asked.iter().filter(is_theirs).cloned().collect()
}

async fn sweep_and_scrub(works: &Works, trail: &Trail) {
    let sweep = Sweep::new(works.deliveries.clone());
    for _ in 0..3 {
        sweep.run(trail).await.expect("a sweep");
    }
    Scrub::new(works.deliveries.clone()).run(trail, u64::MAX).await.expect("a scrub");
}

#[tokio::test]
async fn accounts_of_others_are_neither_listed_nor_read_nor_accused() {
    // Nothing is announced, so all that is known is what was looked for.
    let day = Day::of(31, |_| false);
    divide(&day);
    let [ours, others] = members(&day);
    let (works, config, asked) = watched(&day).await;
    works.deliveries.roster.refresh().await.expect("the members");
    works.env.advance(SignedDuration::from_hours(3));
    complete(&works, &config).await;
    sweep_and_scrub(&works, &works.trails[0]).await;
    let wanted: BTreeSet<String> = day.keys.iter().filter(|key| is_ours(key)).cloned().collect();
    assert!(wanted.len() > 100 && wanted.len() < day.keys.len());
    assert_eq!(known(&works).await, wanted);
    assert_eq!(of_others(&asked, &others), [""; 0]);
    // The day ended hours ago: its own accounts are late, which is told, and of the others nothing.
    let all = told(&works).await;
    assert!(all.iter().any(|held| held.kind == Kind::AccountSilent || held.kind == Kind::RegionSilent), "{all:#?}");
    let strangers: Vec<&Held> =
        all.iter().filter(|held| held.account.is_some_and(|account| !ours.contains(&account))).collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
    let region = all.iter().find(|held| held.kind == Kind::RegionSilent).expect("all its accounts are late");
    assert!(region.detail.contains("no account's chain of shard 1 of 2 delivers"), "{}", region.detail);
}

#[tokio::test]
async fn a_backfill_is_of_the_shard_unless_an_account_is_named() {
    let day = Day::of(32, |_| false);
    divide(&day);
    let [_, others] = members(&day);
    let (works, _) = day.works().await;
    let scope = Scope {
        from: works.env.now() - SignedDuration::from_hours(72),
        to: works.env.now(),
        account: None,
        region: None,
        dry_run: false,
        restart: false,
    };
    let backfill = Backfill::new(works.deliveries.clone(), works.trails[0].clone(), 8);
    backfill.run(&scope, &Arc::<Progress>::default()).await.expect("a backfill");
    let own: BTreeSet<String> = day.keys.iter().filter(|key| is_ours(key)).cloned().collect();
    assert_eq!(known(&works).await, own);
    let theirs = Scope { account: Some(others[0]), ..scope };
    backfill.run(&theirs, &Arc::<Progress>::default()).await.expect("a backfill");
    let more = known(&works).await;
    assert!(more.len() > own.len() && more.is_superset(&own));
    assert!(more.difference(&own).all(|key| name(key).starts_with(others[0].as_str())));
    assert_eq!(works.metrics.strays.get(), 0, "nobody announced it");
}

#[tokio::test]
async fn what_comes_through_its_queue_is_settled_and_told_as_a_mismatch_once() {
    // Of other accounts a half comes here, by mistake; the rest goes where it should.
    let half = |name: &str| name.bytes().map(u32::from).sum::<u32>() % 2 == 0;
    let strange = |name: &str| AccountId::parse(&name[..12]).is_ok_and(|account| !shard().holds(account));
    let day = Day::of(33, |name| !strange(name) || half(name));
    divide(&day);
    let [_, others] = members(&day);
    day.ground.drain();
    let (works, config, asked) = watched(&day).await;
    let strays = known(&works).await.into_iter().filter(|key| !is_ours(key)).collect::<BTreeSet<_>>();
    let wanted = day.keys.iter().filter(|key| strange(name(key)) && half(name(key))).cloned().collect::<BTreeSet<_>>();
    // Some of a world's messages are never sent, or later than its end.
    assert!(strays.len() > 100 && strays.is_subset(&wanted), "{:#?}", strays.difference(&wanted));
    let mismatch = |all: Vec<Held>| all.into_iter().filter(|held| held.kind == Kind::ShardMismatch).collect::<Vec<_>>();
    let found = mismatch(told(&works).await);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].detail.contains("to shard 1 of 2") && found[0].detail.contains("is of shard 0 of 2"),
        "{found:#?}"
    );

    // Hours later: half of their chains is missing here, and half of what digests list. That is nothing of this warden's.
    works.deliveries.roster.refresh().await.expect("the members");
    let sweep = Sweep::new(works.deliveries.clone());
    for _ in 0..4 {
        sweep.run(&works.trails[0]).await.expect("a sweep");
        works.env.advance(SignedDuration::from_mins(30));
    }
    works.env.advance(SignedDuration::from_hours(24 * 15));
    sweep.run(&works.trails[0]).await.expect("a sweep");
    complete(&works, &config).await;
    assert_eq!(of_others(&asked, &others), [""; 0]);
    assert_eq!(known(&works).await.into_iter().filter(|key| !is_ours(key)).collect::<BTreeSet<_>>(), strays);
    let all = told(&works).await;
    let accused: Vec<&Held> = all.iter().filter(|held| held.account.is_some_and(|of| others.contains(&of))).collect();
    assert!(accused.is_empty(), "{accused:#?}");
    assert_eq!(mismatch(all)[0].state, State::Resolved, "none has come for an hour");
}

#[tokio::test]
async fn what_a_warden_said_of_accounts_that_it_lost_is_over_and_no_more_is_said() {
    let day = Day::of(34, |_| true);
    day.ground.drain();
    let [_, others] = members(&day);
    let (works, _) = day.works().await;
    // While it was alone: everybody is late, and one log is gone.
    Sweep::new(works.deliveries.clone()).run(&works.trails[0]).await.expect("a sweep");
    let chain = works.store.read(|conn| trailwarden::store::digests::chains(conn, 1)).await.expect("chains");
    let chain = chain.iter().find(|chain| others.contains(&chain.chain.account())).expect("one of theirs").clone();
    let overdue = trailwarden::core::finding::Finding::new(Kind::DigestOverdue, chain.subject(), "late")
        .account(chain.chain.account());
    works.store.write(move |tx| findings::hold(tx, &overdue)).await.expect("a write");
    drop(works);

    divide(&day);
    let gone = |ours: bool| {
        let is_log = |key: &&String| key.contains("/CloudTrail/") && is_ours(key) == ours;
        day.keys.iter().find(is_log).expect("a log").clone()
    };
    let (own, theirs) = (gone(true), gone(false));
    day.remove(&own);
    day.remove(&theirs);
    let (works, config, asked) = watched(&day).await;
    works.env.advance(SignedDuration::from_hours(30));
    sweep_and_scrub(&works, &works.trails[0]).await;
    complete(&works, &config).await;
    assert_eq!(of_others(&asked, &others), [""; 0]);
    let open: Vec<Held> = told(&works).await.into_iter().filter(|held| held.state != State::Resolved).collect();
    let accused: Vec<&Held> = open.iter().filter(|held| held.account.is_some_and(|of| others.contains(&of))).collect();
    assert!(accused.is_empty(), "{accused:#?}");
    let removed: Vec<_> =
        open.iter().filter(|held| held.kind == Kind::EvidenceRemoved).map(|held| held.object.clone()).collect();
    assert_eq!(removed, [Some(own)]);
}

/// Most members of the organization are other wardens'; most of its own are what it is held to.
#[test]
fn coverage_is_of_the_shards_accounts() {
    let day = Day::of(35, |name| AccountId::parse(&name[..12]).is_ok_and(|account| shard().holds(account)));
    divide(&day);
    let [ours, others] = members(&day);
    day.ground.drain();
    let covered = |args: &[&str]| {
        let output = verb(&day.ground.config, &[&["coverage", "--json"], args].concat());
        let told: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("a document");
        (output.status.code(), told)
    };
    let (_, told) = covered(&[]);
    assert_eq!(told["shard"], serde_json::json!({ "index": 1, "count": 2 }));
    let accounts: BTreeSet<&str> =
        told["accounts"].as_array().expect("a list").iter().filter_map(|one| one["account"].as_str()).collect();
    assert_eq!(accounts, ours.iter().map(AccountId::as_str).collect());
    assert!(told["total"]["expected"].as_u64().is_some_and(|hours| hours > 20), "{}", told["total"]);
    assert_eq!(told["total"]["missing"], 0, "{}", told["total"]);
    let (code, told) = covered(&["--account", others[0].as_str()]);
    assert_eq!((code, &told["answer"]), (Some(5), &serde_json::json!("unknown")));
    assert!(told["unknown"][0].as_str().is_some_and(|why| why.contains("is of shard 0 of 2")), "{told}");

    let status = json(&day.ground.config, &["status"]);
    assert_eq!(status["shard"], serde_json::json!({ "index": 1, "count": 2 }));
    let shown = stdout(&verb(&day.ground.config, &["status"]));
    assert!(shown.contains("shard       1 of 2: accounts that end in 1, 3, 5, 7, 9"), "{shown}");
}

/// An auditor who names an account gets that account, whosever it is.
#[test]
fn verify_is_of_the_shard_unless_an_account_is_named() {
    let day = Day::of(36, |_| false);
    divide(&day);
    let [ours, others] = members(&day);
    let verified = |args: &[&str]| {
        let output = verb(&day.ground.config, &[&["verify", "--from", "2d", "--json"], args].concat());
        let text = stdout(&output);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        let chains = report["chains"].as_array().expect("chains").clone();
        chains.iter().filter_map(|chain| chain["account"].as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    let names = |accounts: &[AccountId]| accounts.iter().map(AccountId::to_string).collect::<BTreeSet<_>>();
    assert_eq!(verified(&[]), names(&ours));
    assert_eq!(verified(&["--account", others[0].as_str()]), names(&others[..1]));
}

/// Slices of a comparison that a restart with another shard goes on with.
#[tokio::test]
async fn a_round_that_is_under_way_goes_on_with_the_accounts_that_are_left() {
    let day = Day::of(37, |_| false);
    let (works, config) = day.works().await;
    let upto = works.env.now() - SignedDuration::from_mins(15);
    let mut reconcile = Reconcile::new(works.deliveries.clone(), works.trails[0].clone(), config.verify.clone());
    assert!(!reconcile.slice(12, upto).await.expect("a slice"), "it has only begun");
    let before = known(&works).await;
    drop(works);
    divide(&day);
    let (works, config) = day.works().await;
    complete(&works, &config).await;
    let after = known(&works).await;
    assert!(after.difference(&before).all(|key| is_ours(key)), "others' accounts were gone on with");
    assert!(day.keys.iter().filter(|key| is_ours(key)).all(|key| after.contains(key)));
}

#[test]
fn metrics_say_which_shard_it_is() {
    let day = Day::of(38, |_| false);
    divide(&day);
    let mut warden = crate::common::warden::Warden::start(&day.ground.config, &[]);
    let address = warden.address();
    let (_, page) = crate::common::warden::get(&address, "/metrics");
    for line in ["trailwarden_shard_index 1", "trailwarden_shards 2", "trailwarden_stray_objects_total 0"] {
        assert!(page.lines().any(|told| told == line), "{line}: {page}");
    }
    assert_eq!(warden.stop(), Some(0));
}
