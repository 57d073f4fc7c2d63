use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Scrub, Sweep};
use crate::config::Validation;
use crate::core::admit::Rules;
use crate::core::chain::{ChainId, HOUR};
use crate::core::digest::Verdict;
use crate::core::finding::{Held, Kind};
use crate::core::gzip::{self, Caps};
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::key::Root;
use crate::core::shard::Shard;
use crate::core::unit::OuPath;
use crate::delivery::{Deliveries, Roster};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::listing;
use crate::metrics::Outcome;
use crate::seam::{
    Bucket, Depth, Got, Head, Keys, Listed, Member, MemberState, Members, Message, Metadata, Object, Page, PublicKey,
    Queue,
};
use crate::store::digests::{self, NewDigest};
use crate::store::objects::{self, Listing, NewObject, State};
use crate::store::{Store, Tx, findings, members};
use crate::trail::Trail;

mod scrub;

const NOW: &str = "2026-03-10T12:00:00Z";
const GRACE: SignedDuration = SignedDuration::from_mins(90);

/// The writings of a key, in order.
type Writings = Vec<Option<(Head, Vec<u8>)>>;

/// A bucket of versions, some of them archived; the last one of a key is what lies there, and `None` is a delete marker.
#[derive(Default)]
struct Shelf {
    objects: Mutex<BTreeMap<String, Writings>>,
    archived: bool,
    broken: bool,
    /// Listings are refused.
    closed: bool,
    asked: AtomicUsize,
}

impl Shelf {
    fn put(&self, key: &str, version: &str, body: &[u8]) {
        let head = Head {
            size: body.len() as u64,
            version: (!version.is_empty()).then(|| version.to_owned()),
            etag: Some(Sha256::of(body).to_string()),
            metadata: Metadata::default(),
            storage_class: None,
            lock: None,
        };
        self.objects.lock().unwrap().entry(key.into()).or_default().push(Some((head, body.to_vec())));
    }

    fn hide(&self, key: &str) {
        self.objects.lock().unwrap().entry(key.into()).or_default().push(None);
    }

    fn find(&self, key: &str, version: Option<&str>) -> Option<(Head, Vec<u8>)> {
        let objects = self.objects.lock().unwrap();
        let versions = objects.get(key)?;
        match version {
            None => versions.last()?.clone(),
            Some(version) => {
                versions.iter().flatten().find(|(head, _)| head.version.as_deref() == Some(version)).cloned()
            }
        }
    }
}

#[async_trait]
impl Bucket for Shelf {
    async fn get(&self, key: &str, version: Option<&str>, _most: u64) -> Result<Got> {
        if self.archived {
            return Err(Error { code: Some("InvalidObjectState".into()), ..Error::permanent("get", "archived") });
        }
        Ok(self.find(key, version).map_or(Got::Absent, |(head, body)| Got::Found(Object { head, body })))
    }
    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        if self.broken {
            return Err(Error::permanent("head", "403"));
        }
        Ok(self.find(key, version).map(|(head, _)| head))
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.closed {
            return Err(Error::permanent("list", "403"));
        }
        let objects = self.objects.lock().unwrap();
        let listed = |(key, _): (&String, _)| Listed { key: key.clone(), size: 1, etag: None };
        let fits = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
        Ok(Page { objects: objects.iter().filter(|(key, _)| fits(key)).map(listed).collect(), more: false })
    }
    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        if !prefix.is_empty() {
            return Ok(vec![]);
        }
        Ok((0..2_001).map(|number| format!("aaa{number:04}/")).collect())
    }
    async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
        Ok(())
    }
    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

struct Nothing;

#[async_trait]
impl Queue for Nothing {
    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Message>> {
        Ok(vec![])
    }
    async fn extend(&self, _: &[String], _: Duration) -> Result<Vec<String>> {
        Ok(vec![])
    }
    async fn done(&self, _: &[String]) -> Result<Vec<String>> {
        Ok(vec![])
    }
    async fn later(&self, _: &str, _: Duration) -> Result<()> {
        Ok(())
    }
    async fn depth(&self) -> Result<Depth> {
        Ok(Depth::default())
    }
    fn visibility(&self) -> Duration {
        Duration::from_secs(300)
    }
}

#[async_trait]
impl Keys for Nothing {
    async fn find(&self, _: &Region, _: &str, _: Timestamp) -> Result<Option<PublicKey>> {
        Ok(None)
    }
    async fn all(&self, _: &Region, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>> {
        Ok(vec![])
    }
}

#[async_trait]
impl Members for Nothing {
    async fn all(&self) -> Result<Vec<Member>> {
        let member = |account| Member {
            account,
            name: "m".into(),
            ou: OuPath::default(),
            state: MemberState::Active,
            joined: None,
        };
        Ok([1, 2, 3].map(account).map(member).to_vec())
    }
}

fn account(number: u64) -> AccountId {
    AccountId::parse(&format!("{:012}", 111_100_000_000 + number)).unwrap()
}

fn root(number: u64) -> Root {
    Root { prefix: String::new(), org: None, account: account(number) }
}

fn log_key(number: u64, at: Timestamp, unique: &str) -> String {
    let (day, minute) = (at.strftime("%Y/%m/%d"), at.strftime("%Y%m%dT%H%MZ"));
    let account = account(number);
    format!("AWSLogs/{account}/CloudTrail/eu-west-1/{day}/{account}_CloudTrail_eu-west-1_{minute}_{unique}.json.gz")
}

fn chain(number: u64, trail: &str) -> ChainId {
    let region = Region::parse("eu-west-1").unwrap();
    ChainId { root: root(number), region: region.clone(), trail: trail.into(), home: region, backfill: false }
}

/// A digest of a chain that ends then.
fn digest(tx: &Tx<'_>, source: i64, id: &ChainId, end: Timestamp, verdict: Verdict) -> rusqlite::Result<()> {
    let chain = digests::chain(tx, source, id)?;
    let key = format!("{}{}{}", id, end, source);
    let lacks = (verdict == Verdict::Unchecked).then(|| (format!("key of {}", id.trail), end));
    let digest = NewDigest {
        source,
        key: key.clone(),
        chain: chain.id,
        start: end - HOUR,
        end,
        verdict,
        faulty: false,
        sha: None,
        signature: None,
        previous: None,
        logs: 0,
        lacks,
    };
    digests::put(tx, &digest)?;
    digests::set_joined(tx, source, &key, true)?;
    if verdict == Verdict::Good { digests::extend_chain(tx, chain.id, end - HOUR, end) } else { Ok(()) }
}

fn log(tx: &Tx<'_>, number: u64, at: Timestamp, unique: &str) -> rusqlite::Result<bool> {
    let object = NewObject {
        source: 1,
        key: log_key(number, at, unique),
        version: None,
        kind: 0,
        delivered: at,
        state: State::Admitted,
        listed: Listing::None,
        sha: Some(Sha256::of(b"x")),
        size: 1,
        etag: None,
        records: 0,
        rejects: 0,
    };
    objects::insert(tx, &object)
}

struct Ground {
    _dir: tempfile::TempDir,
    env: Env,
    store: Store,
    deliveries: Arc<Deliveries>,
    shelf: Arc<Shelf>,
}

impl Ground {
    async fn new(shelf: Shelf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::manual(NOW.parse().unwrap(), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.unwrap();
        store.write(|tx| objects::source_id(tx, "org").and_then(|_| objects::source_id(tx, "copy"))).await.unwrap();
        let roster = Roster::new(Arc::new(Nothing), store.clone());
        roster.refresh().await.unwrap();
        let deliveries = Arc::new(Deliveries::new(store.clone(), Arc::default(), roster, GRACE));
        Self { _dir: dir, env, store, deliveries, shelf: Arc::new(shelf) }
    }

    fn trail(&self, id: i64) -> Trail {
        Trail {
            id,
            name: format!("trail-{id}"),
            shard: Shard::WHOLE,
            bucket: self.shelf.clone(),
            queue: Arc::new(Nothing),
            keys: Arc::new(Nothing),
            rules: Rules::default(),
            caps: Caps::default(),
            object_limit: 1 << 20,
            validation: Validation::All,
            promise: None,
            bucket_name: OnceLock::from("b".to_owned()),
            ours: RwLock::default(),
            audit: Default::default(),
            strays: Default::default(),
        }
    }

    async fn write<T: Send + 'static>(&self, step: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T> + Send + 'static) -> T {
        self.store.write(step).await.unwrap()
    }

    async fn open(&self, kind: Kind) -> Vec<Held> {
        let all = self.store.read(|conn| findings::list(conn, false)).await.unwrap();
        all.into_iter().filter(|held| held.kind == kind).collect()
    }

    fn sweep(&self) -> Sweep {
        Sweep::new(self.deliveries.clone())
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn hours(number: i64) -> SignedDuration {
    SignedDuration::from_hours(number)
}

#[tokio::test]
async fn one_trail_does_not_end_the_silence_of_another() {
    let ground = Ground::new(Shelf::default()).await;
    let (live, dead) = (ground.trail(1), ground.trail(2));
    ground
        .write(|tx| {
            for (source, end) in [(1, now()), (2, now() - hours(30))] {
                digest(tx, source, &chain(1, "a"), end, Verdict::Good)?;
                digest(tx, source, &chain(1, "b"), end, Verdict::Good)?;
            }
            Ok(())
        })
        .await;
    for _ in 0..3 {
        ground.sweep().run(&live).await.unwrap();
        ground.sweep().run(&dead).await.unwrap();
    }
    let silent = ground.open(Kind::AccountSilent).await;
    assert_eq!((silent.len(), silent[0].count), (1, 1), "{silent:#?}");
}

#[tokio::test]
async fn the_silence_of_an_account_that_left_is_no_news_and_no_sign_of_life() {
    let member = |number| Member {
        account: account(number),
        name: String::new(),
        ou: OuPath::default(),
        state: MemberState::Active,
        joined: None,
    };
    for (left, silent) in [(true, vec![Kind::RegionSilent]), (false, vec![Kind::AccountSilent, Kind::RegionSilent])] {
        let ground = Ground::new(Shelf::default()).await;
        ground
            .write(move |tx| {
                // The first account was last heard of when it left; both of the others lost a region since.
                for number in 1..=3 {
                    let mut ids = [chain(number, "a"), chain(number, "b")];
                    ids[1].region = Region::parse("us-east-1").unwrap();
                    for (id, end) in ids.iter().zip([now() - hours(9), now()]) {
                        digest(tx, 1, id, if number == 1 { now() - hours(9) } else { end }, Verdict::Good)?;
                    }
                }
                let before = Tx { now: now() - hours(9), ..*tx };
                tx.conn.execute("UPDATE stays SET since = 0", [])?;
                members::put(&before, &[member(1), member(2), member(3)])?;
                members::put(tx, &if left { vec![member(2), member(3)] } else { vec![member(1), member(2), member(3)] })
            })
            .await;
        ground.sweep().run(&ground.trail(1)).await.unwrap();
        let mut told = Vec::new();
        for kind in [Kind::AccountSilent, Kind::RegionSilent, Kind::DigestOverdue] {
            told.extend(ground.open(kind).await.iter().map(|held| held.kind));
        }
        assert_eq!(told, silent, "left: {left}");
    }
}

#[tokio::test]
async fn a_region_that_most_members_have_is_missed_of_the_one_that_never_had_it() {
    let ground = Ground::new(Shelf::default()).await;
    let in_region = |number, region: &str| ChainId { region: Region::parse(region).unwrap(), ..chain(number, "a") };
    let deliver = |chains: Vec<ChainId>| {
        let step = move |tx: &Tx<'_>| chains.iter().try_for_each(|id| digest(tx, 1, id, now(), Verdict::Good));
        ground.write(step)
    };
    ground.write(|tx| tx.conn.execute("UPDATE stays SET since = 0", [])).await;
    deliver(vec![
        in_region(1, "eu-west-1"),
        in_region(2, "eu-west-1"),
        in_region(3, "eu-west-1"),
        in_region(1, "us-east-1"),
        in_region(2, "us-east-1"),
        in_region(1, "me-south-1"),
    ])
    .await;
    let told = async |after| {
        ground.env.advance(hours(after));
        ground.sweep().run(&ground.trail(1)).await.unwrap();
        let open = ground.open(Kind::AccountUncovered).await;
        open.into_iter().map(|held| (held.account.unwrap(), held.detail)).collect::<Vec<_>>()
    };
    assert_eq!(told(0).await, [], "it may still come");
    let detail = "m has never delivered from us-east-1, as most members do".to_owned();
    assert_eq!(told(3).await, [(account(3), detail)]);
    deliver(vec![in_region(3, "us-east-1")]).await;
    assert_eq!(told(0).await, []);
}

#[tokio::test]
async fn digests_that_prove_nothing_are_no_silence() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| {
            for name in ["a", "b"] {
                digest(tx, 1, &chain(1, name), now() - hours(6), Verdict::Good)?;
                for hour in 0..6 {
                    digest(tx, 1, &chain(1, name), now() - hours(hour), Verdict::Unchecked)?;
                }
            }
            Ok(())
        })
        .await;
    ground.sweep().run(&ground.trail(1)).await.unwrap();
    assert!(ground.open(Kind::AccountSilent).await.is_empty());
    assert!(ground.open(Kind::DigestOverdue).await.is_empty());
}

#[tokio::test]
async fn a_chain_is_not_overdue_while_the_bucket_refuses_to_tell() {
    for closed in [true, false] {
        let ground = Ground::new(Shelf { closed, ..Shelf::default() }).await;
        ground
            .write(|tx| {
                digest(tx, 1, &chain(1, "late"), now() - hours(6), Verdict::Good)?;
                digest(tx, 1, &chain(1, "sibling"), now(), Verdict::Good)
            })
            .await;
        ground.sweep().run(&ground.trail(1)).await.unwrap();
        assert_eq!(ground.open(Kind::DigestOverdue).await.len(), usize::from(!closed));
    }
}

#[tokio::test]
async fn a_digest_that_came_before_its_elders_does_not_keep_them_from_being_asked_for() {
    let ground = Ground::new(Shelf::default()).await;
    let late = chain(1, "late");
    for hour in [5, 4, 3] {
        let end = now() - hours(hour);
        let (prefix, second) = (late.day_prefix(end.to_zoned(TimeZone::UTC).date()), end.strftime("%Y%m%dT%H%M%SZ"));
        ground.shelf.put(&format!("{prefix}{second}.json.gz"), "", &gzip::deflate(b"{}"));
    }
    ground
        .write(move |tx| {
            digest(tx, 1, &late, now() - hours(6), Verdict::Good)?;
            digest(tx, 1, &chain(1, "sibling"), now(), Verdict::Good)?;
            (0..3).try_for_each(|hour| digest(tx, 1, &late, now() - hours(hour), Verdict::Unchecked))
        })
        .await;
    ground.sweep().run(&ground.trail(1)).await.unwrap();
    assert_eq!(ground.open(Kind::DigestMalformed).await.len(), 3, "each of them was read");
    assert!(ground.open(Kind::DigestOverdue).await.is_empty());
}

#[tokio::test]
async fn a_chain_that_ended_long_ago_shields_no_forgery() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| {
            digest(tx, 1, &chain(1, "ended"), now() - hours(900), Verdict::Good)?;
            for hour in 0..30 {
                digest(tx, 1, &chain(1, "live"), now() - hours(hour), Verdict::Good)?;
            }
            log(tx, 1, now() - hours(9) - SignedDuration::from_mins(30), "forged")
        })
        .await;
    ground.sweep().run(&ground.trail(1)).await.unwrap();
    assert_eq!(ground.open(Kind::LogUnlisted).await.len(), 1);
}

#[tokio::test]
async fn logs_that_no_digest_can_list_are_told_by_place_and_day() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| {
            for hour in 0..30 {
                digest(tx, 1, &chain(1, "live"), now() - hours(hour), Verdict::Good)?;
            }
            log(tx, 1, now() - hours(24 * 200), "past")?;
            log(tx, 1, now() + hours(24 * 200), "future")?;
            log(tx, 2, now() - hours(5), "unchained")?;
            log(tx, 2, now() - hours(6), "unchained2")
        })
        .await;
    let sweep = ground.sweep();
    sweep.run(&ground.trail(1)).await.unwrap();
    let told = |all: Vec<Held>| all.into_iter().filter_map(|held| held.object).collect::<Vec<_>>();
    let early = told(ground.open(Kind::LogUnproven).await);
    assert!(early.len() == 1 && early[0].contains("future"), "{early:?}");
    ground.env.advance(hours(4 * 24));
    sweep.run(&ground.trail(1)).await.unwrap();
    let mut late = told(ground.open(Kind::LogUnproven).await);
    late.retain(|object| !object.contains("future"));
    assert!(late.len() == 2 && late.iter().any(|object| object.contains("past")), "{late:?}");
    assert!(ground.open(Kind::LogUnlisted).await.is_empty());
    sweep.run(&ground.trail(1)).await.unwrap();
    assert!(ground.open(Kind::LogUnproven).await.iter().all(|held| held.count == 1), "they are looked at once");
}

#[tokio::test]
async fn junk_in_one_place_hides_no_forgery_in_another() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| {
            for number in 0..20_001 {
                log(tx, 1, now() - hours(9), &format!("junk{number}"))?;
            }
            for hour in 0..30 {
                digest(tx, 1, &chain(3, "live"), now() - hours(hour), Verdict::Good)?;
            }
            log(tx, 3, now() - hours(9), "forged")
        })
        .await;
    ground.sweep().run(&ground.trail(1)).await.unwrap();
    let told = ground.open(Kind::LogUnlisted).await;
    assert!(told.len() == 1 && told[0].account == Some(account(3)), "{told:?}");
}

#[tokio::test]
async fn what_was_told_as_missing_is_looked_for_again() {
    let ground = Ground::new(Shelf::default()).await;
    let body = b"{\"Records\":[]}";
    let (key, sha) = (log_key(1, now() - hours(9), "missing12345678"), Sha256::of(body));
    let awaited = key.clone();
    ground.write(move |tx| objects::await_log(tx, 1, &awaited, &sha, "d", now() - hours(2))).await;
    let (sweep, trail) = (ground.sweep(), ground.trail(1));
    sweep.run(&trail).await.unwrap();
    assert_eq!(ground.open(Kind::LogMissing).await.len(), 1);
    ground.shelf.put(&key, "", &gzip::deflate(body));
    sweep.run(&trail).await.unwrap();
    assert_eq!(ground.open(Kind::LogMissing).await.len(), 1, "not yet");
    ground.sweep().run(&trail).await.unwrap();
    assert!(ground.open(Kind::LogMissing).await.is_empty());
}

#[tokio::test]
async fn a_silent_chain_is_asked_for_less_and_less_often_and_its_hours_are_bounded() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| {
            digest(tx, 1, &chain(1, "a"), now() - hours(8_000), Verdict::Good)?;
            digest(tx, 1, &chain(1, "b"), now(), Verdict::Good)
        })
        .await;
    let sweep = ground.sweep();
    sweep.run(&ground.trail(1)).await.unwrap();
    let asked = ground.shelf.asked.load(Ordering::SeqCst);
    assert!(asked > 0);
    ground.env.advance(hours(1));
    sweep.run(&ground.trail(1)).await.unwrap();
    assert_eq!(ground.shelf.asked.load(Ordering::SeqCst), asked);
    let overdue = ground.open(Kind::DigestOverdue).await;
    assert!(overdue.len() == 1 && overdue[0].hours.len() <= 200 && overdue[0].count == 1, "{overdue:?}");
    ground.env.advance(hours(24));
    sweep.run(&ground.trail(1)).await.unwrap();
    assert!(ground.shelf.asked.load(Ordering::SeqCst) > asked);
}

#[tokio::test]
async fn every_unknown_key_has_its_turn_and_none_costs_a_look_at_all_digests() {
    let ground = Ground::new(Shelf::default()).await;
    ground
        .write(|tx| (0..5).try_for_each(|n| digest(tx, 1, &chain(1, &format!("t{n}")), now(), Verdict::Unchecked)))
        .await;
    let turns = ground
        .store
        .read(|conn| {
            let (mut last, mut names) = (None, Vec::new());
            for _ in 0..5 {
                let keys = digests::lacked_keys(conn, 1, last.as_ref(), 2)?;
                names.extend(keys.iter().map(|key| key.fingerprint.clone()));
                last = keys.last().cloned();
            }
            Ok(names)
        })
        .await
        .unwrap();
    for n in 0..5 {
        assert_eq!(turns.iter().filter(|name| **name == format!("key of t{n}")).count(), 2, "{turns:?}");
    }
}

#[tokio::test]
async fn places_are_all_found_or_it_is_an_error() {
    let error = listing::roots(&Shelf::default(), &[]).await.unwrap_err();
    assert!(error.to_string().contains("layout"), "{error}");
}
