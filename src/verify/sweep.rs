//! The sweep, every few minutes: what should have happened by now and did not.
//!
//! Before anything is called missing, the bucket is asked: a lost notification is repaired by the ordinary path, and only
//! what is really absent becomes a finding.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::core::chain::{self, HOUR, Joint};
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, ObjectKey};
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate, missing, settle_joint};
use crate::error::{Class, Result};
use crate::metrics::KindLabel;
use crate::store::digests::{self, Chain, Loose};
use crate::store::objects::{self, Listing};
use crate::store::{Tx, findings};
use crate::trail::{Trail, Validation};

/// How much of each kind one sweep looks at; the rest is the next one's.
const BATCH: usize = 5_000;
/// A log's file name gives its delivery to the minute; its digest may be the next one's if it came close to the end.
const EDGE: SignedDuration = SignedDuration::from_mins(10);

pub struct Sweep {
    deliveries: Arc<Deliveries>,
    grace: SignedDuration,
}

impl Sweep {
    pub fn new(deliveries: Arc<Deliveries>) -> Self {
        Self { grace: deliveries.grace, deliveries }
    }

    /// Looks at everything once. Objects that cannot be read now are left for the next sweep.
    pub async fn run(&self, trail: &Trail) -> Result<()> {
        let now = self.deliveries.env.now();
        self.unknown_keys(trail, now).await?;
        self.awaited(trail, now).await?;
        self.loose(trail, now).await?;
        let alive = self.overdue(trail, now).await?;
        self.uncovered(trail, now, &alive).await?;
        self.unlisted(trail, now).await?;
        self.deliveries.metrics.sweeps.inc();
        self.deliveries.metrics.last_sweep.set(now.as_second() as f64);
        Ok(())
    }

    /// Digests whose key was not known: asked again, and told once the grace has passed.
    async fn unknown_keys(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        for loose in self.loose_until(trail, now).await? {
            let (Some((fingerprint, at)), ObjectKey::Digest(parsed)) = (&loose.lacks, key::parse(&loose.key)) else {
                continue;
            };
            let found = self.deliveries.public_key(trail, &parsed.region, fingerprint, *at).await?;
            if found.is_some()
                && self.tolerate(self.deliveries.try_again(trail, &loose.key, &parsed).await)?.unwrap_or(false)
            {
                continue;
            }
            if loose.end + self.grace > now {
                continue;
            }
            let detail =
                format!("{} has no key with fingerprint {}", parsed.region, crate::core::printable(fingerprint, 80));
            let finding = Finding::of_object(Kind::PublicKeyUnknown, trail.name_or(""), &loose.key, detail)
                .account(parsed.root.account)
                .region(&parsed.region)
                .trail(&parsed.trail);
            self.hold(finding).await?;
        }
        Ok(())
    }

    async fn loose_until(&self, trail: &Trail, until: Timestamp) -> Result<Vec<Loose>> {
        let source = trail.id;
        self.deliveries.store.read(move |conn| digests::loose(conn, source, until, BATCH)).await
    }

    /// Logs that a good digest lists and that no notice announced.
    async fn awaited(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let source = trail.id;
        let due = self.deliveries.store.read(move |conn| objects::awaited_due(conn, source, now, BATCH)).await?;
        for log in due {
            let Some(fate) = self.repair(trail, &log.key).await? else { continue };
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
                if findings::is_open(tx.conn, Kind::EvidenceRemoved, &finding.subject)? {
                    return Ok(vec![]);
                }
                Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
            })
            .await?;
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

    /// Digests whose predecessor is not settled.
    async fn loose(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let chains = self.chains(trail).await?;
        for loose in self.loose_until(trail, now - self.grace).await? {
            if loose.lacks.is_some() {
                continue;
            }
            let Some(chain) = chains.iter().find(|chain| chain.id == loose.chain) else { continue };
            self.join(trail, chain, &loose.key).await?;
        }
        Ok(())
    }

    async fn join(&self, trail: &Trail, chain: &Chain, object: &str) -> Result<()> {
        let (source, name) = (trail.id, object.to_owned());
        let Some(link) = self.deliveries.store.read(move |conn| digests::link(conn, source, &name)).await? else {
            return Ok(());
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
                digests::set_joined(tx, source, &link.key)?;
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
        self.commit(move |tx| digests::set_joined(tx, source, &object).map(|()| vec![])).await
    }

    async fn chains(&self, trail: &Trail) -> Result<Vec<Chain>> {
        let source = trail.id;
        self.deliveries.store.read(move |conn| digests::chains(conn, source)).await
    }

    /// Chains whose next digest is late. Answers the accounts that are known to deliver.
    async fn overdue(&self, trail: &Trail, now: Timestamp) -> Result<HashSet<AccountId>> {
        let late = |chain: &Chain| chain.head.is_some_and(|head| head + HOUR + self.grace <= now);
        for chain in self.chains(trail).await?.iter().filter(|chain| !chain.chain.backfill && late(chain)) {
            self.catch_up(trail, chain, now).await?;
        }
        let chains: Vec<Chain> = self
            .chains(trail)
            .await?
            .into_iter()
            .filter(|chain| !chain.chain.backfill && chain.head.is_some())
            .collect();
        let silence = Silence::find(&chains, now, self.grace);
        for (subject, finding) in silence.findings(trail.name_or(""), &chains) {
            tracing::debug!(subject, "silent");
            self.hold(finding).await?;
        }
        for chain in &chains {
            let Some(head) = chain.head else { continue };
            let mut hours = chain::overdue_hours(head, now, self.grace);
            if hours.is_empty() || silence.covers(chain) || !silence.is_certain(chain, &chains) {
                continue;
            }
            let id = chain.id;
            let slots = self.deliveries.store.read(move |conn| digests::slots(conn, id, head)).await?;
            hours.retain(|hour| !slots.iter().any(|slot| slot.end == *hour));
            if hours.is_empty() {
                continue;
            }
            let subject = chain.chain.to_string();
            let detail = format!("{} digests are overdue; the last one ended at {head}", hours.len());
            let mut finding = Finding::new(Kind::DigestOverdue, subject, detail)
                .account(chain.chain.account())
                .region(&chain.chain.region)
                .trail(&chain.chain.trail)
                .hours(hours);
            finding.bucket = Some(trail.name_or("").to_owned());
            self.hold(finding).await?;
        }
        self.end_silence(&silence).await?;
        Ok(chains.iter().filter(|chain| !late(chain)).map(|chain| chain.chain.account()).collect())
    }

    /// Digests that arrived without a notification: the chain's own days are listed.
    async fn catch_up(&self, trail: &Trail, chain: &Chain, now: Timestamp) -> Result<()> {
        let Some(head) = chain.head else { return Ok(()) };
        let hours = chain::overdue_hours(head, now, self.grace);
        let days: BTreeSet<_> = hours.iter().map(|hour| hour.to_zoned(TimeZone::UTC).date()).collect();
        // A chain that ended long ago is not looked for day by day, for ever.
        for day in days.into_iter().take(3) {
            let listed =
                self.tolerate(crate::listing::all(trail.bucket.as_ref(), &chain.chain.day_prefix(day)).await)?;
            for listed in listed.unwrap_or_default() {
                let ObjectKey::Digest(parsed) = key::parse(&listed.key) else { continue };
                if parsed.end > head && chain::ChainId::of(&parsed) == chain.chain {
                    let notice = Notice::listed(trail.name_or(""), &listed.key, listed.size, listed.etag);
                    self.tolerate(self.deliveries.settle(trail, &notice).await)?;
                }
            }
        }
        Ok(())
    }

    /// Silence ends when a digest arrives.
    async fn end_silence(&self, silence: &Silence) -> Result<()> {
        let accounts: HashSet<String> = silence.accounts.iter().map(ToString::to_string).collect();
        let regions: HashSet<String> = silence.regions.iter().map(ToString::to_string).collect();
        self.commit(move |tx| {
            for (kind, still) in [(Kind::AccountSilent, &accounts), (Kind::RegionSilent, &regions)] {
                for (id, subject) in findings::open_of(tx.conn, kind)? {
                    if !still.contains(&subject) {
                        findings::resolve_id(tx, &id)?;
                    }
                }
            }
            Ok(vec![])
        })
        .await
    }

    /// Active members of which nothing was ever seen.
    async fn uncovered(&self, trail: &Trail, now: Timestamp, alive: &HashSet<AccountId>) -> Result<()> {
        if trail.validation == Validation::None || alive.is_empty() {
            // Nobody delivers: that is told as silence, not account by account.
            return Ok(());
        }
        let seen: HashSet<String> = self.deliveries.store.read(objects::accounts_seen).await?.into_iter().collect();
        for remembered in self.deliveries.roster.expected() {
            let account = remembered.member.account;
            let subject = account.to_string();
            if seen.contains(&subject) {
                self.commit(move |tx| findings::resolve(tx, Kind::AccountUncovered, &subject).map(|_| vec![])).await?;
            } else if remembered.first_seen + HOUR + self.grace <= now {
                let name = crate::core::printable(&remembered.member.name, 80);
                let detail = format!("{name} is an active member, and no log or digest of it has been seen");
                self.hold(Finding::new(Kind::AccountUncovered, subject, detail).account(account)).await?;
            }
        }
        Ok(())
    }

    /// Logs that no digest lists, although every chain of their place has a good digest for their time.
    async fn unlisted(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        if trail.validation != Validation::All {
            return Ok(());
        }
        let (source, before) = (trail.id, now - HOUR - self.deliveries.unlisted_after);
        let suspects = self
            .deliveries
            .store
            .read(move |conn| {
                let mut suspects = objects::unlisted(conn, source, before, BATCH)?;
                let mut seen: BTreeMap<(String, String, i64), bool> = BTreeMap::new();
                let mut error = None;
                suspects.retain(|log| {
                    let moment = (log.account.clone(), log.region.clone(), log.delivered.as_second());
                    *seen.entry(moment).or_insert_with(|| {
                        covered(conn, source, log).unwrap_or_else(|why| {
                            error = Some(why);
                            false
                        })
                    })
                });
                error.map_or(Ok(suspects), Err)
            })
            .await?;
        for log in suspects {
            let detail = "the digests of its hour have arrived, and none lists it".to_owned();
            let mut finding = Finding::of_object(Kind::LogUnlisted, trail.name_or(""), &log.key, detail);
            finding.account = AccountId::parse(&log.account).ok();
            finding.region = Region::parse(&log.region).ok();
            self.commit(move |tx| {
                objects::set_listed(tx, source, &log.key, Listing::Told)?;
                Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
            })
            .await?;
        }
        Ok(())
    }

    /// What one object refuses must not stop the sweep: `None` means that it could not be told now.
    fn tolerate<T>(&self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class == Class::Fatal => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, error.class = error.class.name(), "could not check");
                Ok(None)
            }
        }
    }

    async fn hold(&self, finding: Finding) -> Result<()> {
        self.commit(move |tx| Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })).await
    }

    async fn commit<F>(&self, step: F) -> Result<()>
    where
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<Vec<Kind>> + Send + 'static,
    {
        for kind in self.deliveries.store.write(step).await? {
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(())
    }
}

/// Every chain of the log's place has a good digest for its minute and for the minutes after it.
fn covered(conn: &rusqlite::Connection, source: i64, log: &objects::Unlisted) -> rusqlite::Result<bool> {
    for at in [log.delivered, log.delivered + EDGE] {
        let (chains, with) = digests::coverage(conn, source, &log.account, &log.region, at)?;
        if chains == 0 || with < chains {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Accounts and regions all of whose chains are late: told once each, not chain by chain.
struct Silence {
    accounts: BTreeSet<AccountId>,
    regions: BTreeSet<Region>,
    now: Timestamp,
    grace: SignedDuration,
}

impl Silence {
    fn find(chains: &[Chain], now: Timestamp, grace: SignedDuration) -> Self {
        let late = |chain: &&Chain| chain.head.is_some_and(|head| head + HOUR + grace <= now);
        let mut by_region: BTreeMap<&Region, (BTreeSet<AccountId>, bool)> = BTreeMap::new();
        let mut by_account: BTreeMap<AccountId, (usize, bool)> = BTreeMap::new();
        for chain in chains {
            let region = by_region.entry(&chain.chain.region).or_insert_with(|| (BTreeSet::new(), true));
            region.0.insert(chain.chain.account());
            region.1 &= late(&chain);
            let account = by_account.entry(chain.chain.account()).or_insert((0, true));
            account.0 += 1;
            account.1 &= late(&chain);
        }
        let regions: BTreeSet<Region> = by_region
            .into_iter()
            .filter(|(_, (accounts, silent))| *silent && accounts.len() > 1)
            .map(|(region, _)| region.clone())
            .collect();
        let accounts = by_account
            .into_iter()
            .filter(|(account, (count, silent))| {
                let told = chains
                    .iter()
                    .filter(|chain| chain.chain.account() == *account)
                    .all(|chain| regions.contains(&chain.chain.region));
                *silent && *count > 1 && !told
            })
            .map(|(account, _)| account)
            .collect();
        Self { accounts, regions, now, grace }
    }

    fn covers(&self, chain: &Chain) -> bool {
        self.accounts.contains(&chain.chain.account()) || self.regions.contains(&chain.chain.region)
    }

    /// Whether a late chain stands alone for certain: its account and its region have each delivered a later digest, or have
    /// no other chain. Otherwise they may be about to fall silent as a whole, which the next sweeps will tell.
    fn is_certain(&self, chain: &Chain, chains: &[Chain]) -> bool {
        let Some(missed) = chain.head.map(|head| head + HOUR) else { return false };
        let proven = |same: &dyn Fn(&Chain) -> bool| {
            let mut others = chains.iter().filter(|other| other.id != chain.id && same(other)).peekable();
            others.peek().is_none()
                || others
                    .any(|other| other.head.is_some_and(|head| head >= missed || head + HOUR + self.grace <= self.now))
        };
        proven(&|other| other.chain.account() == chain.chain.account())
            && proven(&|other| other.chain.region == chain.chain.region)
    }

    fn findings(&self, bucket: &str, chains: &[Chain]) -> Vec<(String, Finding)> {
        let since = |same: &dyn Fn(&Chain) -> bool| {
            let last = chains.iter().filter(|chain| same(chain)).filter_map(|chain| chain.head).max();
            last.map_or_else(String::new, |last| format!("its last digest ended at {last}"))
        };
        let mut told = Vec::new();
        for account in &self.accounts {
            let detail = format!("none of its chains delivers; {}", since(&|chain| chain.chain.account() == *account));
            let mut finding = Finding::new(Kind::AccountSilent, account.to_string(), detail).account(*account);
            finding.bucket = Some(bucket.to_owned());
            told.push((account.to_string(), finding));
        }
        for region in &self.regions {
            let detail = format!("no account's chain delivers; {}", since(&|chain| chain.chain.region == *region));
            let mut finding = Finding::new(Kind::RegionSilent, region.to_string(), detail).region(region);
            finding.bucket = Some(bucket.to_owned());
            told.push((region.to_string(), finding));
        }
        told
    }
}
