//! One comparison of bucket and ledger, folder by folder in key order, stopped at any page and gone on with later.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, DIGEST_FOLDER, LogKind, ObjectKey};
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate};
use crate::error::{Class, Result};
use crate::health::Pulse;
use crate::listing;
use crate::metrics::{KindLabel, Metrics, Outcome};
use crate::retry::{Policy, retry};
use crate::seam::{Bucket, Got, Head, Listed, Metadata, Page};
use crate::store::{findings, lists, objects};
use crate::trail::Trail;
use crate::verify::about;

/// Keys of the ledger that one look compares; a page of the bucket has as many.
const LOOK: usize = 1_000;
/// Objects settled or asked for at a time.
const AT_ONCE: usize = 16;
/// More failures than this in a row, and no success, are an outage.
const OUTAGE: usize = 3;
/// Places whose differences are told one by one.
const PLACES: usize = 100;
/// A delivery further ahead of the clock than this is not waited for: its key lies.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// What a walk covers: days from and before, of one account or region, or of all accounts of the shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub from: Option<Date>,
    pub before: Option<Date>,
    #[serde(skip)]
    pub account: Option<AccountId>,
    #[serde(skip)]
    pub region: Option<Region>,
}

/// What was found different in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In the bucket and not in the ledger: settled.
    pub repaired: u64,
    /// In the ledger and not in the bucket.
    pub removed: u64,
    /// In the bucket, not in the ledger, and not readable now.
    pub failed: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub known: u64,
    pub repaired: u64,
    pub removed: u64,
    pub failed: u64,
    /// Of the repaired, those that were delivered while the warden watched: nobody announced them.
    pub unannounced: u64,
    /// By `account region yyyy-mm-dd`; the first ones, if there are many.
    pub places: BTreeMap<String, Difference>,
}

/// Where a walk is; what the ledger keeps of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub span: Span,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    /// Of the account that is being compared.
    root: String,
    /// The region folder that is being compared.
    folder: String,
    /// All up to this key is compared.
    after: String,
    /// The whole folder is.
    done: bool,
    pub tally: Tally,
}

impl Place {
    /// The beginning.
    pub fn at(span: Span, began: Timestamp) -> Self {
        Self { span, began, ..Self::default() }
    }
}

/// The bucket, counting what is asked of it.
struct Counted<'a> {
    bucket: &'a dyn Bucket,
    asked: AtomicU64,
    metrics: &'a Metrics,
    pulse: &'a Pulse,
}

impl Counted<'_> {
    fn count(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.metrics.reconcile_requests.inc();
        self.pulse.beat();
    }
}

#[async_trait]
impl Bucket for Counted<'_> {
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got> {
        self.bucket.get(key, version, max_bytes).await
    }

    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        self.count();
        self.bucket.head(key, version).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.count();
        self.bucket.list(prefix, after).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.count();
        self.bucket.folders(prefix).await
    }

    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        self.bucket.put(key, body, metadata).await
    }

    async fn has_metadata(&self) -> Result<bool> {
        self.bucket.has_metadata().await
    }
}

/// What still lies ahead; found anew after a restart.
struct Ahead {
    roots: VecDeque<String>,
    /// Of the current root.
    folders: VecDeque<String>,
    /// Region folders that the ledger knows, by root.
    known: BTreeMap<String, BTreeSet<String>>,
}

pub struct Walk {
    deliveries: Arc<Deliveries>,
    trail: Arc<Trail>,
    pub pulse: Pulse,
    /// Where its place is kept.
    name: Option<String>,
    pub place: Place,
    ahead: Option<Ahead>,
}

/// What is left to the notifications, and what they should have announced.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// What was delivered later than this may still be announced.
    pub upto: Timestamp,
    /// What was delivered before the warden first watched was never announced to it.
    pub since: Timestamp,
}

impl Walk {
    pub fn new(deliveries: Arc<Deliveries>, trail: Arc<Trail>, name: Option<String>, place: Place) -> Self {
        Self { deliveries, trail, name, place, pulse: Pulse::default(), ahead: None }
    }

    /// Goes on until `budget` requests were made, a little more if the last look needs them. Answers how many.
    pub async fn go(&mut self, budget: u64, heard: Heard) -> Result<u64> {
        let (trail, deliveries, pulse) = (self.trail.clone(), self.deliveries.clone(), self.pulse.clone());
        let bucket = Counted {
            bucket: trail.bucket.as_ref(),
            asked: AtomicU64::new(0),
            metrics: &deliveries.metrics,
            pulse: &pulse,
        };
        while self.place.ended.is_none() && bucket.asked.load(Ordering::Relaxed) < budget {
            match self.folder(&bucket).await? {
                Some(folder) => self.look(&bucket, &folder, heard).await?,
                None => {
                    self.place.ended = Some(deliveries.env.now());
                    self.keep().await?;
                }
            }
        }
        Ok(bucket.asked.load(Ordering::Relaxed))
    }

    pub async fn keep(&self) -> Result<()> {
        let Some(name) = self.name.clone() else { return Ok(()) };
        let text = serde_json::to_string(&self.place).unwrap_or_default();
        self.deliveries.store.write(move |tx| lists::set_progress(tx, &name, &text)).await
    }

    /// The region folder that is to be compared now; `None` at the end.
    async fn folder(&mut self, bucket: &Counted<'_>) -> Result<Option<String>> {
        loop {
            let Some(ahead) = &mut self.ahead else {
                self.ahead = Some(self.look_ahead(bucket).await?);
                continue;
            };
            if let Some(folder) = ahead.folders.front() {
                return Ok(Some(folder.clone()));
            }
            let Some(root) = ahead.roots.front().cloned() else { return Ok(None) };
            let known = ahead.known.get(&root).cloned().unwrap_or_default();
            let folders = self.region_folders(bucket, &root, known).await?;
            if self.place.root != root {
                let (span, began, tally) = (self.place.span.clone(), self.place.began, self.place.tally.clone());
                self.place = Place { root, tally, ..Place::at(span, began) };
            }
            if let Some(ahead) = &mut self.ahead {
                ahead.roots.pop_front();
                ahead.folders = folders.into();
            }
        }
    }

    /// The accounts' places: those that the ledger knows, and those that the bucket has.
    async fn look_ahead(&self, bucket: &Counted<'_>) -> Result<Ahead> {
        let source = self.trail.id;
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (root, folder) in self.deliveries.store.read(move |conn| objects::region_folders(conn, source)).await? {
            known.entry(root.path()).or_default().insert(folder);
        }
        let mut roots: BTreeSet<String> = known.keys().cloned().collect();
        let listed =
            retry(&self.deliveries.env, Policy::STEP, || listing::roots(bucket, &self.trail.rules.layout)).await?;
        roots.extend(listed.iter().map(|root| root.path()));
        let wanted = |root: &String| {
            let account = AccountId::parse(listing::name(root)).ok();
            let ours = || account.is_none_or(|account| self.trail.shard.holds(account));
            *root >= self.place.root && self.place.span.account.map_or_else(ours, |wanted| account == Some(wanted))
        };
        Ok(Ahead { roots: roots.into_iter().filter(wanted).collect(), folders: VecDeque::new(), known })
    }

    /// A root's region folders that are still to be compared: digests last, so that what they list is known by then.
    async fn region_folders(
        &self,
        bucket: &Counted<'_>,
        root: &str,
        mut folders: BTreeSet<String>,
    ) -> Result<Vec<String>> {
        let env = &self.deliveries.env;
        for kind in retry(env, Policy::STEP, || bucket.folders(root)).await? {
            let kinds = LogKind::ALL.iter().map(|kind| kind.folder());
            if kinds.chain([DIGEST_FOLDER]).any(|folder| listing::name(&kind) == folder) {
                folders.extend(retry(env, Policy::STEP, || bucket.folders(&kind)).await?);
            }
        }
        let region = |folder: &String| Region::parse(listing::name(folder)).ok();
        folders.retain(|folder| {
            region(folder).is_some_and(|region| self.place.span.region.as_ref().is_none_or(|wanted| *wanted == region))
        });
        let mut folders: Vec<String> = folders.into_iter().collect();
        folders.sort_by_key(|folder| in_order(folder));
        if self.place.root == root {
            let (at, done) = (in_order(&self.place.folder), self.place.done);
            folders.retain(|folder| if done { in_order(folder) > at } else { in_order(folder) >= at });
        }
        Ok(folders)
    }

    /// One page of the bucket, beside what the ledger has between the same two keys.
    async fn look(&mut self, bucket: &Counted<'_>, folder: &str, heard: Heard) -> Result<()> {
        let bound = |day: Date| format!("{folder}{:04}/{:02}/{:02}/", day.year(), day.month(), day.day());
        let last = self.place.span.before.map_or_else(|| format!("{folder}{}", char::MAX), bound);
        let first = self.place.span.from.map_or_else(|| folder.to_owned(), bound);
        let after = if self.place.folder == folder { self.place.after.clone().max(first) } else { first };
        let page = retry(&self.deliveries.env, Policy::STEP, || bucket.list(folder, Some(&after))).await?;
        let mut upto = match page.objects.last() {
            Some(object) if page.more => object.key.clone().min(last.clone()),
            _ => last.clone(),
        };
        let (source, of, from, to) = (self.trail.id, folder.to_owned(), after.clone(), upto.clone());
        let look = move |conn: &rusqlite::Connection| objects::evidence(conn, source, &of, (&from, &to), LOOK);
        let held: Vec<String> = self.deliveries.store.read(look).await?;
        if let (LOOK, Some(key)) = (held.len(), held.last()) {
            upto.clone_from(key);
        }
        let listed: Vec<Listed> = page.objects.into_iter().filter(|object| object.key <= upto).collect();
        let there: HashSet<&str> = listed.iter().map(|object| object.key.as_str()).collect();
        let gone = held.iter().filter(|key| !there.contains(key.as_str())).cloned().collect();
        self.gone(bucket, gone).await?;
        let held: HashSet<String> = held.into_iter().collect();
        self.unannounced(listed, &held, heard).await?;

        self.place.done = upto >= last;
        if self.place.done
            && let Some(ahead) = &mut self.ahead
        {
            ahead.folders.pop_front();
        }
        (self.place.folder, self.place.after) = (folder.to_owned(), upto);
        self.keep().await
    }

    /// What the ledger holds and the bucket does not list: asked for once more, told, and not asked for again.
    async fn gone(&mut self, bucket: &Counted<'_>, keys: Vec<String>) -> Result<()> {
        let env = &self.deliveries.env;
        let heads = keys.into_iter().map(|key| async move {
            let head = retry(env, Policy::STEP, || bucket.head(&key, None)).await;
            (key, head)
        });
        let heads: Vec<_> = futures_util::stream::iter(heads).buffer_unordered(AT_ONCE).collect().await;
        for (key, head) in heads {
            match head {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.tell_removed(&key).await?;
                    self.tally("removed", &key, |difference| difference.removed += 1);
                    self.place.tally.removed += 1;
                }
                Err(error) if error.class != Class::Permanent => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = self.trail.name, object.key = key, error = %error, "could not be compared");
                    self.tally("failed", &key, |difference| difference.failed += 1);
                    self.place.tally.failed += 1;
                }
            }
        }
        Ok(())
    }

    async fn tell_removed(&self, key: &str) -> Result<()> {
        let detail = "a comparison of bucket and ledger did not find it any more";
        let finding = Finding::of_object(Kind::EvidenceRemoved, self.trail.name_or(""), key, detail);
        let (finding, source, key) = (about(finding, key), self.trail.id, key.to_owned());
        let news = self
            .deliveries
            .store
            .write(move |tx| {
                objects::set_removed(tx, source, &key, None)?;
                findings::hold(tx, &finding)
            })
            .await?;
        if news {
            let kind = Kind::EvidenceRemoved.name();
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind }).inc();
        }
        Ok(())
    }

    /// What the bucket lists and the ledger does not know: settled, unless its notification may still be on its way.
    async fn unannounced(&mut self, listed: Vec<Listed>, held: &HashSet<String>, heard: Heard) -> Result<()> {
        let all = listed.len();
        let unknown = self.unknown(listed.into_iter().filter(|object| !held.contains(&object.key)).collect()).await?;
        let mut known = (all - unknown.len()) as u64;
        let (now, grace) = (self.deliveries.env.now(), self.deliveries.grace);
        let late = |at: Timestamp| at <= heard.upto || at > now + AHEAD;
        let settling =
            unknown.into_iter().filter(|object| delivered(&object.key, grace).is_none_or(late)).map(|object| {
                let (deliveries, trail, pulse) = (self.deliveries.clone(), self.trail.clone(), self.pulse.clone());
                async move {
                    let notice = Notice::listed(trail.name_or(""), &object.key, object.size, object.etag);
                    let outcome = deliveries.settle(&trail, &notice).await;
                    pulse.beat();
                    (object.key, outcome)
                }
            });
        let settling: Vec<_> = settling.collect();
        let settled: Vec<_> = futures_util::stream::iter(settling).buffer_unordered(AT_ONCE).collect().await;
        if let Some(error) = all_fail(&settled) {
            return Err(error);
        }
        let mut why = None;
        for (key, outcome) in settled {
            match outcome {
                Ok(Fate::Repeated | Fate::Ignored | Fate::Removed) => known += 1,
                Ok(Fate::Absent) => {}
                Ok(Fate::Admitted | Fate::Refused | Fate::Unusable) => {
                    let watched = delivered(&key, SignedDuration::ZERO).is_some_and(|at| at >= heard.since);
                    self.place.tally.unannounced += u64::from(watched);
                    self.place.tally.repaired += 1;
                    self.tally("repaired", &key, |difference| difference.repaired += 1);
                }
                Err(error) => {
                    self.place.tally.failed += 1;
                    self.tally("failed", &key, |difference| difference.failed += 1);
                    why = Some(error);
                }
            }
        }
        if let Some(error) = why {
            tracing::warn!(trail = self.trail.name, error = %error, "objects that nobody announced could not be read");
        }
        self.place.tally.known += known;
        self.deliveries.metrics.reconciled.get_or_create(&Outcome { outcome: "known" }).inc_by(known);
        Ok(())
    }

    async fn unknown(&self, objects: Vec<Listed>) -> Result<Vec<Listed>> {
        let source = self.trail.id;
        let look = move |conn: &rusqlite::Connection| {
            let mut unknown = Vec::new();
            for object in objects {
                let rows = objects::versions(conn, source, &object.key)?;
                if rows.iter().all(|row| row.state == objects::State::Absent as i64) {
                    unknown.push(object);
                }
            }
            Ok(unknown)
        };
        self.deliveries.store.read(look).await
    }

    fn tally(&mut self, outcome: &'static str, key: &str, change: impl FnOnce(&mut Difference)) {
        self.deliveries.metrics.reconciled.get_or_create(&Outcome { outcome }).inc();
        let (name, places) = (place(key), &mut self.place.tally.places);
        if places.len() < PLACES || places.contains_key(&name) {
            change(places.entry(name).or_default());
        }
    }
}

/// Objects that fail each for itself are met again in the next round; when nothing can be read, there is no going on.
fn all_fail(settled: &[(String, Result<Fate>)]) -> Option<crate::error::Error> {
    let errors = || settled.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
    if let Some(fatal) = errors().find(|error| error.is_fatal()) {
        return Some(fatal.clone());
    }
    let down = settled.len() > OUTAGE && errors().filter(|error| error.is_transient()).count() == settled.len();
    down.then(|| errors().next().cloned()).flatten()
}

/// Logs before digests, each by name.
fn in_order(folder: &str) -> (bool, String) {
    (folder.contains("/CloudTrail-Digest/"), folder.to_owned())
}

/// When a key's object was delivered at the latest, says its name; digests come a while after the hour they are named for.
fn delivered(key: &str, grace: SignedDuration) -> Option<Timestamp> {
    match key::parse(key) {
        ObjectKey::Log(log) => Some(log.delivered),
        ObjectKey::Digest(digest) => Some(digest.end + grace),
        _ => None,
    }
}

/// `account region yyyy-mm-dd`
fn place(key: &str) -> String {
    let (root, region, day) = match key::parse(key) {
        ObjectKey::Log(log) => (log.root, log.region, log.date),
        ObjectKey::Digest(digest) => (digest.root, digest.region, digest.end.to_zoned(TimeZone::UTC).date()),
        _ => return "elsewhere".to_owned(),
    };
    format!("{} {region} {day}", root.account)
}
