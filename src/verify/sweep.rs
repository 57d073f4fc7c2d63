//! The sweep, every few minutes: what should have happened by now and did not.
//!
//! Before anything is called missing, the bucket is asked: a lost notification is repaired by the ordinary path, and only
//! what is really absent becomes a finding.

mod attendance;
mod late;
mod strays;
mod uncovered;
mod unlisted;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::core::chain::{HOUR, Joint};
use crate::core::finding::{Finding, Kind};
use crate::core::key::{self, DigestKey, ObjectKey};
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate, missing, settle_joint};
use crate::error::{Class, Result};
use crate::health::Pulse;
use crate::metrics::KindLabel;
use crate::retry::Quiet;
use crate::store::digests::{self, Chain, LackedKey};
use crate::store::objects::{self, Awaited};
use crate::store::{Tx, findings};
use crate::trail::Trail;

/// How much of each kind one sweep looks at; the rest is the next one's.
const BATCH: usize = 5_000;
/// Unknown keys that are asked for again in one sweep.
const KEYS: usize = 200;
/// What was told as missing is looked for again this often, so many objects in one sweep.
const AGAIN: Duration = Duration::from_secs(86_400);
const LOOKED_FOR: usize = 500;

/// The sweep of one trail.
pub struct Sweep {
    deliveries: Arc<Deliveries>,
    grace: SignedDuration,
    pub pulse: Pulse,
    quiet: Quiet,
    memory: Mutex<Memory>,
}

/// What one sweep leaves to the next.
#[derive(Default)]
struct Memory {
    chains: HashMap<i64, Asked>,
    /// The last key that was asked for.
    key: Option<LackedKey>,
    /// What is still to be looked for again, and since when.
    missing: Option<(Instant, Vec<String>)>,
    /// Of other shards' accounts.
    came: strays::Came,
}

/// A late chain for which the bucket had nothing new.
struct Asked {
    head: Option<Timestamp>,
    again: Timestamp,
    /// Ends of digests that are there and could not be read.
    lying: BTreeSet<Timestamp>,
}

impl Sweep {
    pub fn new(deliveries: Arc<Deliveries>) -> Self {
        Self {
            grace: deliveries.grace,
            deliveries,
            pulse: Pulse::default(),
            quiet: Quiet::default(),
            memory: Mutex::default(),
        }
    }

    fn remember<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at everything once. Objects that cannot be read now are left for the next sweep.
    pub async fn run(&self, trail: &Trail) -> Result<()> {
        let now = self.deliveries.env.now();
        self.unknown_keys(trail, now).await?;
        self.awaited(trail, now).await?;
        self.missing_again(trail).await?;
        self.loose(trail, now).await?;
        let alive = self.overdue(trail, now).await?;
        self.uncovered(trail, now, &alive).await?;
        self.uncovered_regions(trail, now).await?;
        self.departed(trail, now).await?;
        self.unlisted(trail, now).await?;
        self.strays(trail, now).await?;
        self.deliveries.metrics.sweeps.inc();
        self.deliveries.metrics.last_sweep.set(now.as_second() as f64);
        Ok(())
    }

    /// Digests whose key was not known: each key is asked for again, and told once the grace has passed.
    async fn unknown_keys(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let source = trail.id;
        let after = self.remember(|memory| memory.key.take());
        let keys = move |conn: &rusqlite::Connection| digests::lacked_keys(conn, source, after.as_ref(), KEYS);
        for lacked in self.deliveries.store.read(keys).await? {
            self.remember(|memory| memory.key = Some(lacked.clone()));
            let asked = self.deliveries.public_key(trail, &lacked.region, &lacked.fingerprint, lacked.at).await;
            let Some(found) = self.tolerate(asked)? else { continue };
            let fingerprint = lacked.fingerprint.clone();
            let waiting =
                self.deliveries.store.read(move |conn| digests::waiting_for(conn, source, &fingerprint, BATCH)).await?;
            for (object, end, told) in waiting {
                let ObjectKey::Digest(parsed) = key::parse(&object) else { continue };
                if parsed.region != lacked.region {
                    continue;
                }
                if found.is_some() {
                    self.tolerate(self.deliveries.try_again(trail, &object, &parsed).await)?;
                } else if !told && end + self.grace <= now {
                    self.tell_unknown(trail, &object, &parsed, &lacked.fingerprint).await?;
                }
            }
        }
        Ok(())
    }

    async fn tell_unknown(&self, trail: &Trail, object: &str, parsed: &DigestKey, fingerprint: &str) -> Result<()> {
        let fingerprint = crate::core::printable(fingerprint, 80);
        let detail = format!("{} has no key with fingerprint {fingerprint}", parsed.region);
        let finding = Finding::of_object(Kind::PublicKeyUnknown, trail.name_or(""), object, detail)
            .account(parsed.root.account)
            .region(&parsed.region)
            .trail(&parsed.trail);
        let (source, object) = (trail.id, object.to_owned());
        self.commit(move |tx| {
            digests::set_joined(tx, source, &object, true)?;
            Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
        })
        .await
    }

    /// Logs that a good digest lists and that no notice announced. Those of another shard's account were announced to its warden.
    async fn awaited(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let (source, shard) = (trail.id, trail.shard);
        let ours = move |log: &Awaited| key::parse(&log.key).root().is_none_or(|root| shard.holds(root.account));
        let due = self.deliveries.store.read(move |conn| objects::awaited_due(conn, source, now, BATCH, ours)).await?;
        for log in due {
            let Some(fate) = self.repair(trail, &log.key).await? else { continue };
            if matches!(fate, Fate::Repeated | Fate::Unusable) {
                // It is there, was seen, and has no hash to compare: that was told when it was seen.
                let key = log.key.clone();
                self.commit(move |tx| objects::forget_awaited(tx, source, &key).map(|()| vec![])).await?;
            }
            if !matches!(fate, Fate::Absent | Fate::Refused | Fate::Ignored) {
                continue;
            }
            let (account, region) = match key::parse(&log.key) {
                ObjectKey::Log(key) => (Some(key.root.account), Some(key.region)),
                _ => (None, None),
            };
            let detail = format!(
                "the digest {} lists it with SHA-256 {}",
                log.digest,
                log.sha.map_or_else(String::new, |sha| sha.to_string())
            );
            let mut finding = Finding::of_object(Kind::LogMissing, trail.name_or(""), &log.key, detail);
            finding.account = account;
            finding.region = region;
            let key = log.key.clone();
            self.commit(move |tx| {
                objects::told_awaited(tx, source, &key)?;
                if findings::is_open(tx, Kind::EvidenceRemoved, &finding.subject)? {
                    return Ok(vec![]);
                }
                Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
            })
            .await?;
        }
        Ok(())
    }

    /// What was told as missing may be there again: a delete marker that is taken away announces nothing.
    async fn missing_again(&self, trail: &Trail) -> Result<()> {
        let waiting = self.remember(|memory| match &memory.missing {
            Some((since, left)) => !left.is_empty() || since.elapsed() < AGAIN,
            None => false,
        });
        if !waiting {
            let bucket = trail.name_or("").to_owned();
            let kinds = [Kind::LogMissing, Kind::DigestMissing, Kind::ObjectMissing];
            let told = self.deliveries.store.read(move |conn| findings::open_objects(conn, &kinds, &bucket)).await?;
            self.remember(|memory| memory.missing = Some((Instant::now(), told)));
        }
        let some = self.remember(|memory| match &mut memory.missing {
            Some((_, left)) => left.split_off(left.len().saturating_sub(LOOKED_FOR)),
            None => Vec::new(),
        });
        for object in some {
            self.repair(trail, &object).await?;
        }
        Ok(())
    }

    /// Settles an object that should lie in the bucket, without claiming that it was announced. `None`: could not be told now.
    async fn repair(&self, trail: &Trail, object: &str) -> Result<Option<Fate>> {
        let head = self.tolerate(trail.bucket.head(object, None).await)?;
        match head {
            None => Ok(None),
            Some(None) => Ok(Some(Fate::Absent)),
            Some(Some(head)) => {
                let notice = Notice::listed(trail.name_or(""), object, head.size, head.etag);
                self.tolerate(self.deliveries.settle(trail, &notice).await)
            }
        }
    }

    /// Digests whose predecessor is not settled. Of another shard's chain nothing more is asked for.
    async fn loose(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let chains: HashMap<i64, Chain> =
            self.chains(trail).await?.into_iter().map(|chain| (chain.id, chain)).collect();
        let (source, shard, until) = (trail.id, trail.shard, now - self.grace);
        for loose in self.deliveries.store.read(move |conn| digests::loose(conn, source, shard, until, BATCH)).await? {
            if let Some(chain) = chains.get(&loose.chain) {
                self.join(trail, chain, &loose.key).await?;
            }
        }
        Ok(())
    }

    async fn join(&self, trail: &Trail, chain: &Chain, object: &str) -> Result<()> {
        let (source, name) = (trail.id, object.to_owned());
        let Some(link) = self.deliveries.store.read(move |conn| digests::link(conn, source, &name)).await? else {
            // It proves nothing, which is told on its own: there is no joint to settle.
            return self.settled(trail, object).await;
        };
        if let Some(previous) = &link.previous {
            let name = previous.key.clone();
            let known = self.deliveries.store.read(move |conn| objects::versions(conn, source, &name)).await?;
            if known.is_empty() {
                match self.tolerate(trail.bucket.head(&previous.key, None).await)? {
                    None => return Ok(()),
                    // Older than anything the warden watched: there, and not ours to walk back.
                    Some(Some(_)) if self.is_first(chain, &link.end) => return self.settled(trail, object).await,
                    Some(Some(_)) => {
                        self.repair(trail, &previous.key).await?;
                    }
                    Some(None) => {}
                }
            }
        }
        let (chain, bucket) = (chain.clone(), trail.name_or("").to_owned());
        self.commit(move |tx| {
            let joined = settle_joint(tx, &chain, &link, &bucket, true)?;
            let mut news = joined.news;
            if joined.joint == Joint::Horizon {
                digests::set_joined(tx, source, &link.key, true)?;
                let about = Finding::of_object(Kind::DigestMissing, &bucket, &link.key, String::new())
                    .account(chain.chain.account())
                    .region(&chain.chain.region)
                    .trail(&chain.chain.trail);
                let finding = missing(&about, &link, vec![link.start]);
                if findings::hold(tx, &finding)? {
                    news.push(finding.kind);
                }
            }
            Ok(news)
        })
        .await
    }

    fn is_first(&self, chain: &Chain, end: &Timestamp) -> bool {
        chain.first.is_none_or(|first| first >= *end - HOUR - SignedDuration::from_mins(1))
    }

    async fn settled(&self, trail: &Trail, object: &str) -> Result<()> {
        let (source, object) = (trail.id, object.to_owned());
        self.commit(move |tx| digests::set_joined(tx, source, &object, true).map(|()| vec![])).await
    }

    async fn chains(&self, trail: &Trail) -> Result<Vec<Chain>> {
        let source = trail.id;
        self.deliveries.store.read(move |conn| digests::chains(conn, source)).await
    }

    /// What one object refuses must not stop the sweep: `None` means that it could not be told now.
    fn tolerate<T>(&self, outcome: Result<T>) -> Result<Option<T>> {
        self.pulse.beat();
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class == Class::Fatal => Err(error),
            Err(error) => {
                if let Some(since) = self.quiet.say(&error) {
                    tracing::warn!(error = %error, error.class = error.class.name(), since, "could not check");
                }
                Ok(None)
            }
        }
    }

    async fn hold(&self, finding: Finding) -> Result<()> {
        self.commit(move |tx| Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })).await
    }

    /// Findings that are over, by their ids; nothing is written where there are none.
    async fn resolve(&self, over: Vec<String>) -> Result<()> {
        if over.is_empty() {
            return Ok(());
        }
        self.commit(move |tx| {
            for id in &over {
                findings::resolve_id(tx, id)?;
            }
            Ok(vec![])
        })
        .await
    }

    async fn commit<F>(&self, step: F) -> Result<()>
    where
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<Vec<Kind>> + Send + 'static,
    {
        self.pulse.beat();
        for kind in self.deliveries.store.write(step).await? {
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(())
    }
}

/// Silence is of one trail: another one may hear of the same account or region.
fn subject(trail: &Trail, of: &impl std::fmt::Display) -> String {
    format!("{}/{of}", trail.id)
}
