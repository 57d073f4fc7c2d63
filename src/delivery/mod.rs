//! A delivery's way: judge the notice, fetch the object, hash and read it, commit what it means in one transaction.
//!
//! Whoever has a notice (a message, a listing, a sweep that found a hole) settles it here, so that recovery runs the
//! ordinary path. Settling the same notice twice changes nothing.

mod detect;
mod digest;
mod handoff;
mod insight;
mod log;
mod memory;
mod pace;
mod roster;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tracing::field::{Empty, display};
use tracing::{Instrument, info_span};

pub use digest::{Joined, missing, settle_joint};
pub use handoff::Handoff;
pub use memory::{INLINE, Memory, Room};
pub use pace::Pace;
pub use roster::Roster;

use crate::core::admit::{self, Evidence, Verdict};
use crate::core::anomaly::Plan;
use crate::core::digest::VerifyingKey;
use crate::core::finding::{Finding, Kind};
use crate::core::id::Region;
use crate::core::key::{self, ObjectKey};
use crate::core::lock;
use crate::core::notice::{Envelope, Notice};
use crate::core::printable;
use crate::core::rule::Rules;
use crate::env::Env;
use crate::error::{Class, Error, Result};
use crate::metrics::{KindLabel, Metrics};
use crate::retry::{Policy, retry};
use crate::seam::{Got, Head, Object};
use crate::store::objects::{self, Known, Listing, NewObject, State};
use crate::store::{Store, Tx, findings, lists};
use crate::trail::Trail;

/// How far ahead of the clock a delivery may be before somebody is wrong about the time.
const CLOCK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(60);

/// What became of a notice, once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Admitted,
    /// Known already; nothing changed.
    Repeated,
    Refused,
    Ignored,
    Removed,
    Absent,
    /// Evidence that cannot be used.
    Unusable,
}

impl Fate {
    pub fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
            Self::Removed => "removed",
            Self::Absent => "absent",
            Self::Unusable => "unusable",
        }
    }
}

/// What all deliveries share.
pub struct Deliveries {
    pub store: Store,
    pub env: Env,
    pub metrics: Arc<Metrics>,
    pub roster: Roster,
    pub grace: jiff::SignedDuration,
    /// How long after its hour a log that no digest lists is waited for.
    pub unlisted_after: jiff::SignedDuration,
    /// What objects may take up while they are worked on.
    pub memory: Memory,
    pub pace: Pace,
    /// What the archive is given of admitted logs; off where there is none.
    pub handoff: Arc<Handoff>,
    rules: RwLock<Arc<Rules>>,
    insights: RwLock<Arc<Plan>>,
    /// Keys seen since the start; the ledger holds them for good.
    keys: Mutex<HashMap<KeyName, Arc<VerifyingKey>>>,
}

/// A digest-signing key's region and fingerprint.
type KeyName = (Region, String);

/// An object as it was fetched.
struct Fetched {
    object: Object,
    room: Option<Room>,
}

impl Fetched {
    /// The body, and the room that it takes up: neither outlives its use.
    fn take(&mut self) -> (Vec<u8>, Option<Room>) {
        (std::mem::take(&mut self.object.body), self.room.take())
    }
}

/// Bytes of objects in memory when nobody says how many.
const MEMORY: u64 = 64 << 20;

/// Objects asked for at once when nobody says how many.
const FETCHES: usize = 64;

enum Fetch {
    Found(Fetched),
    Repeated,
    Absent,
    TooLarge(u64),
}

impl Deliveries {
    pub fn new(store: Store, metrics: Arc<Metrics>, roster: Roster, grace: jiff::SignedDuration) -> Self {
        let (env, memory) = (store.env().clone(), Memory::new(MEMORY, store.env().clone()));
        let pace = Pace::new(FETCHES, metrics.fetches.clone());
        Self {
            env,
            store,
            metrics,
            roster,
            grace,
            unlisted_after: grace,
            memory,
            pace,
            handoff: Arc::default(),
            rules: RwLock::default(),
            insights: RwLock::new(Arc::new(Plan::none())),
            keys: Mutex::default(),
        }
    }

    /// What records are looked at for from now on.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Settles one notice. `Ok` means that its fate is committed; an error means that nothing was learned, except that a
    /// permanent one (access denied, an archived object) has been told as a finding.
    pub async fn settle(&self, trail: &Trail, notice: &Notice) -> Result<Fate> {
        let span = info_span!("notice", object.key = %printable(&notice.key, 1024), fate = Empty, error = Empty);
        let outcome = self.settle_once(trail, notice).instrument(span.clone()).await;
        match &outcome {
            Ok(fate) => span.record("fate", fate.name()),
            Err(error) => span.record("error", display(error)),
        };
        outcome
    }

    async fn settle_once(&self, trail: &Trail, notice: &Notice) -> Result<Fate> {
        let meant = self.meant(trail, notice).await?;
        let notice = meant.as_ref();
        let fate = match self.judge(trail, notice).instrument(info_span!("judge")).await? {
            Verdict::Ignore(why) => {
                tracing::debug!(trail = trail.name, why, object.key = %printable(&notice.key, 200), "notice ignored");
                Fate::Ignored
            }
            Verdict::Refuse(finding) => self.refuse(trail, notice, finding).await?,
            Verdict::Removed(_, finding) => self.removed(trail, notice, finding).await?,
            Verdict::Admit(evidence, note) => {
                self.check_clock(trail, &evidence).await?;
                let outcome = match &evidence {
                    Evidence::Log(key) => self.log(trail, notice, key, note).await,
                    Evidence::Digest(key) => self.digest(trail, notice, key, note).await,
                };
                let fate = match outcome {
                    Err(error) if error.class == Class::Permanent => {
                        self.unreadable(trail, notice, &evidence, &error).await?;
                        return Err(error);
                    }
                    other => other?,
                };
                self.note_stray(trail, notice, &evidence, fate);
                fate
            }
            // The roster was asked twice; `judge` never answers this the second time.
            Verdict::Unsure(_) => Fate::Ignored,
        };
        self.metrics.notice(fate.name());
        Ok(fate)
    }

    /// What another shard's warden should have been told of is settled like any other; the sweep says that it came.
    fn note_stray(&self, trail: &Trail, notice: &Notice, evidence: &Evidence, fate: Fate) {
        let announced = notice.envelope != Envelope::Listing && fate == Fate::Admitted;
        if announced && !trail.shard.holds(evidence.root().account) {
            trail.stray(&notice.key);
            self.metrics.strays.inc();
        }
    }

    /// EventBridge does not document its encoding: what is known or there under the key as it is written is meant so. A forged
    /// object with an escape in its key is not taken for the one that it would be decoded.
    async fn meant<'n>(&self, trail: &Trail, notice: &'n Notice) -> Result<Cow<'n, Notice>> {
        let Some(decoded) = &notice.key_decoded else { return Ok(Cow::Borrowed(notice)) };
        let (source, key) = (trail.id, printable(&notice.key, 1024));
        let known = self.store.read(move |conn| objects::versions(conn, source, &key)).await?;
        let there = match retry(&self.env, Policy::STEP, || trail.bucket.head(&notice.key, None)).await {
            Ok(head) => head.is_some(),
            // Denied is there.
            Err(error) if error.class == Class::Permanent => true,
            Err(error) => return Err(error),
        };
        if there || !known.is_empty() {
            return Ok(Cow::Borrowed(notice));
        }
        Ok(Cow::Owned(Notice { key: decoded.clone(), key_decoded: None, ..notice.clone() }))
    }

    async fn judge(&self, trail: &Trail, notice: &Notice) -> Result<Verdict> {
        let rules = trail.rules();
        let first = self.roster.look(|membership| admit::judge(notice, &rules, membership, false));
        match first {
            Verdict::Unsure(account) => {
                self.roster.refresh_for(account).await?;
                Ok(self.roster.look(|membership| admit::judge(notice, &rules, membership, true)))
            }
            other => Ok(other),
        }
    }

    /// A delivery from the future: either the clock is behind, or the key is forged.
    async fn check_clock(&self, trail: &Trail, evidence: &Evidence) -> Result<()> {
        let (now, said) = (self.env.now(), evidence.time());
        if said <= now + CLOCK_TOLERANCE {
            return Ok(());
        }
        let detail = format!("an object was delivered at {said}, says its key; the clock says {now:.0}");
        let mut finding = Finding::new(Kind::ClockSkewed, trail.name.clone(), detail);
        finding.account = Some(evidence.root().account);
        self.step(move |tx| Ok((true, if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })))
            .await?;
        Ok(())
    }

    async fn refuse(&self, trail: &Trail, notice: &Notice, finding: Finding) -> Result<Fate> {
        let row = (finding.kind != Kind::BucketForeign).then(|| NewObject {
            source: trail.id,
            key: printable(&notice.key, 1024),
            version: notice.version.clone(),
            kind: 0,
            delivered: notice.time.unwrap_or_else(|| self.env.now()),
            state: State::Refused,
            listed: Listing::NotExpected,
            sha: None,
            size: notice.size.unwrap_or(0),
            etag: notice.etag.clone(),
            records: 0,
            rejects: 0,
        });
        let listed = notice.envelope == Envelope::Listing;
        let fresh = self
            .step(move |tx| {
                let fresh = match &row {
                    Some(row) => {
                        objects::versions(tx.conn, row.source, &row.key)?.is_empty() && objects::insert(tx, row)?
                    }
                    None => true,
                };
                if fresh {
                    return raise(tx, std::slice::from_ref(&finding));
                }
                // Another writing of a known key is not evidence, and yet no repeat.
                let news = !listed && findings::hold(tx, &finding)?;
                Ok((false, if news { vec![finding.kind] } else { vec![] }))
            })
            .await?;
        Ok(if fresh { Fate::Refused } else { Fate::Repeated })
    }

    async fn removed(&self, trail: &Trail, notice: &Notice, finding: Finding) -> Result<Fate> {
        let (source, key, version) = (trail.id, notice.key.clone(), notice.version.clone());
        self.step(move |tx| {
            objects::set_removed(tx, source, &key, version.as_deref())?;
            // The same removal is announced more than once; a second look at it is no second removal.
            if findings::is_open(tx, finding.kind, &finding.subject)? {
                return Ok((false, vec![]));
            }
            findings::resolve(tx, Kind::ObjectMissing, &finding.subject)?;
            raise(tx, std::slice::from_ref(&finding))
        })
        .await?;
        Ok(Fate::Removed)
    }

    async fn unreadable(&self, trail: &Trail, notice: &Notice, evidence: &Evidence, error: &Error) -> Result<()> {
        let bucket = trail.name_or(&notice.bucket);
        let detail = format!("{}: {}", error.op, printable(&error.text, 200));
        let mut finding = Finding::of_object(Kind::ObjectUnreadable, bucket, &notice.key, detail)
            .account(evidence.root().account)
            .region(evidence.region());
        let cause = error.code.as_deref().unwrap_or_default();
        if cause != "InvalidObjectState" {
            // One finding per account and cause: a missing grant or a disabled key meets every object of it. It names the
            // first, and ends when that one is read: another that is readable says nothing of it.
            finding.subject = format!("{bucket}/{}/{cause}", evidence.root().account);
        }
        let (source, notice) = (trail.id, notice.clone());
        self.step(move |tx| {
            // Another message of the same object may have been luckier meanwhile.
            if is_repeat(&objects::versions(tx.conn, source, &notice.key)?, &notice) {
                return Ok((false, vec![]));
            }
            Ok(if findings::hold(tx, &finding)? { (true, vec![finding.kind]) } else { (false, vec![]) })
        })
        .await
        .map(|_| ())
    }

    /// Fetches an admitted object; a repeat, an absence and an excess of size are settled here.
    async fn fetch_or_settle(
        &self,
        trail: &Trail,
        notice: &Notice,
        evidence: &Evidence,
    ) -> Result<std::result::Result<Fetched, Fate>> {
        Ok(Err(match self.fetch(trail, notice).await? {
            Fetch::Found(fetched) => return Ok(Ok(fetched)),
            Fetch::Repeated => Fate::Repeated,
            Fetch::Absent => self.absent(trail, notice, evidence).await?,
            Fetch::TooLarge(size) => {
                let detail = format!("{size} bytes stored, the limit is {}", trail.object_limit);
                self.too_large(trail, notice, evidence, detail).await?
            }
        }))
    }

    /// Looks the key up in the ledger, then in the bucket, where the ledger does not already know this very object.
    async fn fetch(&self, trail: &Trail, notice: &Notice) -> Result<Fetch> {
        let (source, key) = (trail.id, notice.key.clone());
        let known = self.store.read(move |conn| objects::versions(conn, source, &key)).await?;
        if is_repeat(&known, notice) {
            return Ok(Fetch::Repeated);
        }
        let (got, room) = self.get(trail, &notice.key, notice.version.as_deref(), notice.size).await?;
        Ok(match got {
            Got::Found(object) => {
                self.metrics.bytes.inc_by(object.body.len() as u64);
                Fetch::Found(Fetched { object, room: Some(room) })
            }
            Got::Absent => Fetch::Absent,
            Got::TooLarge(size) => Fetch::TooLarge(size),
        })
    }

    /// Reads an object once there is room for it; `size` is what somebody said of it.
    pub async fn get(&self, trail: &Trail, key: &str, version: Option<&str>, size: Option<u64>) -> Result<(Got, Room)> {
        let (bucket, most) = (trail.bucket.as_ref(), trail.object_limit);
        let got = retry(&self.env, Policy::STEP, || self.pace.run(self.memory.get(bucket, key, version, size, most)));
        let got = got.instrument(info_span!("fetch")).await?;
        if let Got::Found(object) = &got.0 {
            self.check_lock(trail, key, &object.head).await?;
        }
        Ok(got)
    }

    /// The lock that came with the answer, held against the promise. A reader that may not see locks is shown none.
    async fn check_lock(&self, trail: &Trail, key: &str, head: &Head) -> Result<()> {
        let (Some(term), Some(shown)) = (trail.promise, head.lock) else { return Ok(()) };
        let (created, root) = match key::parse(key) {
            ObjectKey::Log(log) => (log.delivered, log.root),
            ObjectKey::Digest(digest) => (digest.end, digest.root),
            _ => return Ok(()),
        };
        let Some(short) = lock::shortfall(term, created, shown) else { return Ok(()) };
        let mut finding = Finding::of_object(Kind::LockShort, trail.name_or(""), key, short).account(root.account);
        // One finding for an account; it names the first object.
        finding.subject = format!("{}/{}", trail.name, root.account);
        self.step(move |tx| Ok((true, if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })))
            .await
            .map(|_| ())
    }

    /// Announced, and not there: told unless its removal was told.
    async fn absent(&self, trail: &Trail, notice: &Notice, evidence: &Evidence) -> Result<Fate> {
        let row = self.row(trail, notice, evidence, State::Absent);
        let bucket = trail.name_or(&notice.bucket).to_owned();
        let finding =
            Finding::of_object(Kind::ObjectMissing, &bucket, &notice.key, "the object was announced and is not there")
                .account(evidence.root().account)
                .region(evidence.region());
        self.step(move |tx| {
            answered(tx, &row)?;
            if findings::is_open(tx, Kind::EvidenceRemoved, &finding.subject)? || !objects::insert(tx, &row)? {
                return Ok((false, vec![]));
            }
            raise(tx, std::slice::from_ref(&finding))
        })
        .await?;
        Ok(Fate::Absent)
    }

    /// Larger than what is read at all.
    async fn too_large(&self, trail: &Trail, notice: &Notice, evidence: &Evidence, detail: String) -> Result<Fate> {
        let mut row = self.row(trail, notice, evidence, State::Unusable);
        row.listed = Listing::NotExpected;
        let bucket = trail.name_or(&notice.bucket).to_owned();
        let finding = Finding::of_object(Kind::ObjectTooLarge, &bucket, &notice.key, detail)
            .account(evidence.root().account)
            .region(evidence.region());
        self.step(move |tx| {
            answered(tx, &row)?;
            if objects::insert(tx, &row)? { raise(tx, std::slice::from_ref(&finding)) } else { Ok((false, vec![])) }
        })
        .await?;
        Ok(Fate::Unusable)
    }

    fn row(&self, trail: &Trail, notice: &Notice, evidence: &Evidence, state: State) -> NewObject {
        let kind = match evidence {
            Evidence::Log(key) => objects::kind_number(key.kind),
            Evidence::Digest(_) => objects::DIGEST_KIND,
        };
        NewObject {
            source: trail.id,
            key: notice.key.clone(),
            version: notice.version.clone(),
            kind,
            delivered: evidence.time(),
            state,
            listed: if state == State::Admitted { Listing::None } else { Listing::NotExpected },
            sha: None,
            size: notice.size.unwrap_or(0),
            etag: notice.etag.clone(),
            records: 0,
            rejects: 0,
        }
    }

    /// The key of a digest: from memory, from the ledger, from CloudTrail; kept durably once seen. CloudTrail is asked once: a
    /// digest without its key waits for the sweep, and holds up nobody.
    pub async fn public_key(
        &self,
        trail: &Trail,
        region: &Region,
        fingerprint: &str,
        at: Timestamp,
    ) -> Result<Option<Arc<VerifyingKey>>> {
        let name = (region.clone(), fingerprint.to_owned());
        if let Some(known) = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Some(known.clone()));
        }
        let (wanted_region, wanted) = name.clone();
        let mut found = self.store.read(move |conn| lists::key(conn, &wanted_region, &wanted)).await?;
        if found.is_none() {
            found = trail.keys.find(region, fingerprint, at).await?;
            if let Some(key) = found.clone() {
                let region = region.clone();
                self.store.write(move |tx| lists::put_key(tx, &region, &key)).await?;
            }
        }
        let key = found.map(|key| Arc::new(VerifyingKey::of(&key.der)));
        if let Some(key) = &key {
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(name, key.clone());
        }
        Ok(key)
    }

    /// One commit; findings that are news are counted once it is durable.
    async fn step<F>(&self, step: F) -> Result<bool>
    where
        F: Fn(&Tx<'_>) -> rusqlite::Result<(bool, Vec<Kind>)> + Send + Sync + Clone + 'static,
    {
        let (fresh, news) = retry(&self.env, Policy::STEP, || {
            let step = step.clone();
            self.store.write(move |tx| step(tx))
        })
        .instrument(info_span!("commit"))
        .await?;
        for kind in news {
            self.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(fresh)
    }
}

/// What was said while an object could not be had is no longer so. Answers what is known of it besides.
fn arrived(tx: &Tx<'_>, row: &NewObject, bucket: &str) -> rusqlite::Result<Vec<Known>> {
    let mut known = objects::versions(tx.conn, row.source, &row.key)?;
    if known.iter().any(|row| row.is(State::Absent)) {
        objects::forget(tx, row.source, &row.key, State::Absent)?;
        findings::resolve(tx, Kind::ObjectMissing, &format!("{bucket}/{}", row.key))?;
        known.retain(|row| !row.is(State::Absent));
    }
    answered(tx, row)?;
    Ok(known)
}

/// The bucket says what there is: that it was not told is over.
fn answered(tx: &Tx<'_>, row: &NewObject) -> rusqlite::Result<()> {
    findings::resolve_of_object(tx, Kind::ObjectUnreadable, &row.key)
}

/// Raises several findings; answers that the step did something, and which of them are news.
fn raise(tx: &Tx<'_>, all: &[Finding]) -> rusqlite::Result<(bool, Vec<Kind>)> {
    let mut news = Vec::new();
    for finding in all {
        if findings::raise(tx, finding)? {
            news.push(finding.kind);
        }
    }
    Ok((true, news))
}

/// Whether the ledger knows this very object: the same version, or no sign that it is another.
fn is_repeat(known: &[Known], notice: &Notice) -> bool {
    let mut settled = known.iter().filter(|row| row.state != State::Absent as i64).peekable();
    if notice.envelope == Envelope::Listing {
        // What was refused or could not be used may be otherwise by now: a digest vouches for it, its account is a member, a
        // limit was raised.
        return settled.any(|row| row.is_admitted());
    }
    if settled.peek().is_none() {
        return false;
    }
    match (&notice.version, &notice.etag) {
        (Some(version), _) if known.iter().any(|row| row.version == *version) => true,
        (Some(_), None) => false,
        (_, Some(etag)) => settled.any(|row| row.etag.as_ref() == Some(etag)),
        (None, None) => true,
    }
}

/// Whether an object is a second writing of a key of which these rows are known, and what to say of it.
fn overwritten(known: &[Known], row: &NewObject) -> Option<String> {
    let earlier = known.iter().find(|earlier| is_another(earlier, row))?;
    let first = earlier.sha.map_or_else(|| "unreadable".into(), |sha| sha.to_string());
    let now = row.sha.map_or_else(|| "unreadable".into(), |sha| sha.to_string());
    Some(format!("the key was written again: first SHA-256 {first}, now {now}"))
}

/// Whether a row is of an object that was read, or tried to, and is not this very one.
fn is_another(earlier: &Known, row: &NewObject) -> bool {
    let read = earlier.is_admitted() || earlier.state == State::Unusable as i64;
    let version = row.version.as_deref().unwrap_or_default();
    let both_versioned = !version.is_empty() && !earlier.version.is_empty();
    let differs = match (earlier.sha, &row.sha, &earlier.etag, &row.etag) {
        (Some(earlier), Some(sha), ..) => !earlier.fits(sha),
        (.., Some(earlier), Some(etag)) => earlier != etag,
        (earlier, sha, ..) => earlier.is_some() && sha.is_none(),
    };
    read && ((both_versioned && earlier.version != version) || differs)
}

#[cfg(test)]
mod tests;
