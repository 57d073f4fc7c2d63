//! The sweep, every few minutes: what should have happened by now and did not.
//!
//! Before anything is called missing, the bucket is asked: a lost notification is repaired by the ordinary path, and only
//! what is really absent becomes a finding.

mod unlisted;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::core::chain::{self, HOUR, Joint};
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, DigestKey, ObjectKey};
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate, missing, settle_joint};
use crate::error::{Class, Result};
use crate::health::Pulse;
use crate::metrics::KindLabel;
use crate::retry::Quiet;
use crate::store::digests::{self, Chain, LackedKey};
use crate::store::objects;
use crate::store::{Tx, findings};
use crate::trail::{Trail, Validation};

/// How much of each kind one sweep looks at; the rest is the next one's.
const BATCH: usize = 5_000;
/// Days of a late chain that one sweep lists.
const CAUGHT_UP: usize = 3;
/// Unknown keys that are asked for again in one sweep.
const KEYS: usize = 200;

/// Late chains that are asked for side by side.
const ABREAST: usize = 8;
/// Overdue hours that a finding names; the others follow them.
const NAMED_HOURS: usize = 200;
const DAY: SignedDuration = SignedDuration::from_hours(24);
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
        self.unlisted(trail, now).await?;
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

    /// Logs that a good digest lists and that no notice announced.
    async fn awaited(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let source = trail.id;
        let due = self.deliveries.store.read(move |conn| objects::awaited_due(conn, source, now, BATCH)).await?;
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
                if findings::is_open(tx.conn, Kind::EvidenceRemoved, &finding.subject)? {
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

    /// Digests whose predecessor is not settled.
    async fn loose(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let chains: HashMap<i64, Chain> =
            self.chains(trail).await?.into_iter().map(|chain| (chain.id, chain)).collect();
        let (source, until) = (trail.id, now - self.grace);
        for loose in self.deliveries.store.read(move |conn| digests::loose(conn, source, until, BATCH)).await? {
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

    /// Chains whose next digest is late. Answers the accounts that are known to deliver.
    async fn overdue(&self, trail: &Trail, now: Timestamp) -> Result<HashSet<AccountId>> {
        let behind = |chain: &Chain| chain.head.is_some_and(|head| now.duration_since(head) >= HOUR + self.grace);
        let mut lying = HashMap::new();
        let mut all = self.chains(trail).await?;
        all.retain(|chain| !chain.chain.backfill && behind(chain));
        let ask = |chain: Chain| async move { (chain.id, self.ask(trail, &chain, now).await) };
        let mut asked = futures_util::stream::iter(all).map(ask).buffer_unordered(ABREAST);
        while let Some((id, answer)) = asked.next().await {
            if let Some(ends) = answer? {
                lying.insert(id, ends);
            }
        }
        drop(asked);
        let chains: Vec<Chain> = self
            .chains(trail)
            .await?
            .into_iter()
            .filter(|chain| !chain.chain.backfill && chain.head.is_some())
            .collect();
        // Of a late chain that was not asked about, or came up only now, nothing can be said.
        let unsure = |chain: &Chain| behind(chain) && !lying.contains_key(&chain.id);
        let mut owed = HashMap::new();
        for chain in chains.iter().filter(|chain| behind(chain)) {
            if let Some(lying) = lying.get(&chain.id)
                && let hours = self.owed(chain, now, lying).await?
                && !hours.is_empty()
            {
                owed.insert(chain.id, hours);
            }
        }
        let late = |chain: &Chain| owed.contains_key(&chain.id);
        let silence = Silence::find(&chains, late);
        for finding in silence.findings(trail, &chains) {
            self.hold(finding).await?;
        }
        for chain in &chains {
            if let Some(hours) = owed.get(&chain.id)
                && !silence.covers(chain)
                && silence.is_certain(chain)
            {
                self.tell_overdue(trail, chain, hours.clone()).await?;
            }
        }
        self.end_silence(trail, &silence, chains.iter().filter(|chain| unsure(chain))).await?;
        Ok(chains.iter().filter(|chain| !late(chain) && !unsure(chain)).map(|chain| chain.chain.account()).collect())
    }

    /// Hours of which no digest is there, not even one that proves nothing or, of `lying`, cannot be read: both are told on
    /// their own.
    async fn owed(&self, chain: &Chain, now: Timestamp, lying: &BTreeSet<Timestamp>) -> Result<Vec<Timestamp>> {
        let Some(head) = chain.head else { return Ok(vec![]) };
        let mut hours = chain::overdue_hours(head, now, self.grace);
        let id = chain.id;
        let slots = self.deliveries.store.read(move |conn| digests::slots(conn, id, head, now)).await?;
        let slots: HashSet<Timestamp> = slots.iter().map(|slot| slot.end).collect();
        hours.retain(|hour| !slots.contains(hour) && !lying.contains(hour));
        Ok(hours)
    }

    async fn tell_overdue(&self, trail: &Trail, chain: &Chain, mut hours: Vec<Timestamp>) -> Result<()> {
        let last = chain.head.map_or_else(String::new, |head| format!("; the last one ended at {head}"));
        let more = if hours.len() > NAMED_HOURS { "more than " } else { "" };
        hours.truncate(NAMED_HOURS);
        let detail = format!("{more}{} digests are overdue{last}", hours.len());
        let mut finding = Finding::new(Kind::DigestOverdue, chain.subject(), detail)
            .account(chain.chain.account())
            .region(&chain.chain.region)
            .trail(&chain.chain.trail)
            .hours(hours);
        finding.bucket = Some(trail.name_or("").to_owned());
        self.hold(finding).await
    }

    /// As [`Self::catch_up`]; after a day of silence the less often the longer it lasts.
    async fn ask(&self, trail: &Trail, chain: &Chain, now: Timestamp) -> Result<Option<BTreeSet<Timestamp>>> {
        let known = self.remember(|memory| {
            let asked = memory.chains.get(&chain.id).filter(|asked| asked.head == chain.head && now < asked.again);
            asked.map(|asked| asked.lying.clone())
        });
        if known.is_some() {
            return Ok(known);
        }
        let answer = self.catch_up(trail, chain, now).await?;
        if let (Some(lying), Some(head)) = (&answer, chain.head) {
            let silent = now.duration_since(head);
            let rest = if silent < DAY { SignedDuration::ZERO } else { (silent / 8).min(DAY) };
            let asked = Asked { head: chain.head, again: now + rest, lying: lying.clone() };
            self.remember(|memory| memory.chains.insert(chain.id, asked));
        }
        Ok(answer)
    }

    /// Digests that arrived without a notification: the chain's own days are listed. Answers the ends of those that are there
    /// and could not be read; `None` when it could not be told what is there, or when there may be more.
    async fn catch_up(&self, trail: &Trail, chain: &Chain, now: Timestamp) -> Result<Option<BTreeSet<Timestamp>>> {
        let Some(head) = chain.head else { return Ok(None) };
        let id = chain.id;
        let slots = self.deliveries.store.read(move |conn| digests::slots(conn, id, head, now)).await?;
        let slots: BTreeSet<Timestamp> = slots.iter().map(|slot| slot.end).collect();
        let mut hours = chain::overdue_hours(head, now, self.grace);
        hours.retain(|hour| !slots.contains(hour));
        // What proves nothing moves no head: the days behind it are asked for all the same.
        let known = slots.last().copied().unwrap_or(head);
        hours.extend(chain::overdue_hours(known, now, self.grace));
        let days: BTreeSet<_> = hours.iter().map(|hour| hour.to_zoned(TimeZone::UTC).date()).collect();
        let (mut found, mut lying) = (false, BTreeSet::new());
        // A chain that ended long ago is not looked for day by day, for ever.
        for day in days.iter().take(CAUGHT_UP) {
            let asked = crate::listing::all(trail.bucket.as_ref(), &chain.chain.day_prefix(*day)).await;
            let Some(listed) = self.tolerate(asked)? else { return Ok(None) };
            for listed in listed {
                let ObjectKey::Digest(parsed) = key::parse(&listed.key) else { continue };
                if parsed.end <= head || chain::ChainId::of(&parsed) != chain.chain {
                    continue;
                }
                let notice = Notice::listed(trail.name_or(""), &listed.key, listed.size, listed.etag);
                match self.deliveries.settle(trail, &notice).await {
                    Ok(fate) => found |= fate != Fate::Repeated,
                    Err(error) if error.class == Class::Permanent => _ = lying.insert(parsed.end),
                    outcome => {
                        self.tolerate(outcome)?;
                        return Ok(None);
                    }
                }
            }
        }
        Ok((!found || days.len() <= CAUGHT_UP).then_some(lying))
    }

    /// Silence ends when a digest arrives; of `unsure` chains that could not be told now.
    async fn end_silence<'c>(
        &self,
        trail: &Trail,
        silence: &Silence,
        unsure: impl Iterator<Item = &'c Chain>,
    ) -> Result<()> {
        let mut accounts: HashSet<String> = silence.accounts.iter().map(|account| subject(trail, account)).collect();
        let mut regions: HashSet<String> = silence.regions.iter().map(|region| subject(trail, region)).collect();
        for chain in unsure {
            accounts.insert(subject(trail, &chain.chain.account()));
            regions.insert(subject(trail, &chain.chain.region));
        }
        let ours = subject(trail, &"");
        self.commit(move |tx| {
            for (kind, still) in [(Kind::AccountSilent, &accounts), (Kind::RegionSilent, &regions)] {
                for (id, subject) in findings::open_of(tx.conn, kind)? {
                    if subject.starts_with(&ours) && !still.contains(&subject) {
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
        let (expected, grace) = (self.deliveries.roster.expected(), self.grace);
        self.commit(move |tx| {
            let mut news = Vec::new();
            for remembered in expected {
                let account = remembered.member.account;
                let subject = account.to_string();
                if seen.contains(&subject) {
                    findings::resolve(tx, Kind::AccountUncovered, &subject)?;
                } else if remembered.first_seen + HOUR + grace <= now {
                    let name = crate::core::printable(&remembered.member.name, 80);
                    let detail = format!("{name} is an active member, and no log or digest of it has been seen");
                    let finding = Finding::new(Kind::AccountUncovered, subject, detail).account(account);
                    if findings::hold(tx, &finding)? {
                        news.push(finding.kind);
                    }
                }
            }
            Ok(news)
        })
        .await
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

/// Accounts and regions all of whose chains are late: told once each, not chain by chain.
struct Silence {
    accounts: BTreeSet<AccountId>,
    regions: BTreeSet<Region>,
    by_account: BTreeMap<AccountId, Group>,
    by_region: BTreeMap<Region, Group>,
}

/// The chains of one account or region.
#[derive(Default)]
struct Group {
    chains: usize,
    accounts: BTreeSet<AccountId>,
    /// The newest end of any of its digests.
    head: Option<Timestamp>,
    alive: bool,
}

impl Group {
    fn add(&mut self, chain: &Chain, late: bool) {
        self.chains += 1;
        self.accounts.insert(chain.chain.account());
        self.head = self.head.max(chain.head);
        self.alive |= !late;
    }
}

impl Silence {
    fn find(chains: &[Chain], late: impl Fn(&Chain) -> bool) -> Self {
        let mut by_account: BTreeMap<AccountId, Group> = BTreeMap::new();
        let mut by_region: BTreeMap<Region, Group> = BTreeMap::new();
        for chain in chains {
            by_account.entry(chain.chain.account()).or_default().add(chain, late(chain));
            by_region.entry(chain.chain.region.clone()).or_default().add(chain, late(chain));
        }
        let regions: BTreeSet<Region> = by_region
            .iter()
            .filter(|(_, group)| !group.alive && group.accounts.len() > 1)
            .map(|(region, _)| region.clone())
            .collect();
        let untold: BTreeSet<AccountId> = chains
            .iter()
            .filter(|chain| !regions.contains(&chain.chain.region))
            .map(|chain| chain.chain.account())
            .collect();
        let accounts = by_account
            .iter()
            .filter(|(account, group)| !group.alive && group.chains > 1 && untold.contains(account))
            .map(|(account, _)| *account)
            .collect();
        Self { accounts, regions, by_account, by_region }
    }

    fn covers(&self, chain: &Chain) -> bool {
        self.accounts.contains(&chain.chain.account()) || self.regions.contains(&chain.chain.region)
    }

    /// Whether a late chain stands alone for certain: its account and its region have each delivered a later digest, or have
    /// no other chain. Otherwise they may be about to fall silent as a whole, which the next sweeps will tell.
    fn is_certain(&self, chain: &Chain) -> bool {
        let Some(missed) = chain.head.map(|head| head + HOUR) else { return false };
        let account = self.by_account.get(&chain.chain.account());
        let region = self.by_region.get(&chain.chain.region);
        account.is_none_or(|group| group.chains == 1 || group.head >= Some(missed))
            && region.is_none_or(|group| group.accounts.len() == 1 || group.head >= Some(missed))
    }

    fn findings(&self, trail: &Trail, chains: &[Chain]) -> Vec<Finding> {
        let since = |same: &dyn Fn(&Chain) -> bool| {
            let last = chains.iter().filter(|chain| same(chain)).filter_map(|chain| chain.head).max();
            last.map_or_else(String::new, |last| format!("its last digest ended at {last}"))
        };
        let mut told = Vec::new();
        for account in &self.accounts {
            let detail = format!("none of its chains delivers; {}", since(&|chain| chain.chain.account() == *account));
            told.push(Finding::new(Kind::AccountSilent, subject(trail, account), detail).account(*account));
        }
        for region in &self.regions {
            let detail = format!("no account's chain delivers; {}", since(&|chain| chain.chain.region == *region));
            told.push(Finding::new(Kind::RegionSilent, subject(trail, region), detail).region(region));
        }
        for finding in &mut told {
            finding.bucket = Some(trail.name_or("").to_owned());
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::chain::ChainId;
    use crate::core::key::Root;

    const GRACE: SignedDuration = SignedDuration::from_mins(90);

    fn at(text: &str) -> Timestamp {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    fn late_at(now: Timestamp) -> impl Fn(&Chain) -> bool {
        move |chain| chain.head.is_some_and(|head| head + HOUR + GRACE <= now)
    }

    /// `account region trail head`
    fn chains(lines: &[&str]) -> Vec<Chain> {
        let parse = |(id, line): (usize, &&str)| {
            let [account, region, trail, head] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let root = Root { prefix: String::new(), org: None, account: AccountId::parse(account).unwrap() };
            let region = Region::parse(region).unwrap();
            let chain = ChainId { root, region: region.clone(), trail: trail.into(), home: region, backfill: false };
            Chain { id: id as i64, source: 1, chain, first: None, head: Some(at(head)) }
        };
        lines.iter().enumerate().map(parse).collect()
    }

    #[test]
    fn a_chain_whose_siblings_go_on_is_overdue_for_certain() {
        let chains = chains(&[
            "111111111111 eu-west-1 a 10:00:00",
            "111111111111 eu-west-1 b 13:10:00",
            "222222222222 eu-west-1 a 13:20:00",
        ]);
        let silence = Silence::find(&chains, late_at(at("14:00:00")));
        assert!(silence.accounts.is_empty() && silence.regions.is_empty());
        assert!(silence.is_certain(&chains[0]));
    }

    #[test]
    fn an_account_that_falls_silent_is_told_once_and_not_chain_by_chain() {
        let chains = chains(&[
            "111111111111 eu-west-1 a 10:00:00",
            "111111111111 us-east-1 a 10:40:00",
            "222222222222 eu-west-1 a 13:20:00",
            "222222222222 us-east-1 a 13:30:00",
        ]);
        // The first chain is late, the second not yet: nothing is certain.
        let early = Silence::find(&chains, late_at(at("12:35:00")));
        assert!(early.accounts.is_empty() && !early.is_certain(&chains[0]));
        let later = Silence::find(&chains, late_at(at("13:15:00")));
        assert_eq!(later.accounts.len(), 1);
        assert!(later.covers(&chains[0]) && later.covers(&chains[1]) && !later.covers(&chains[2]));
    }

    #[test]
    fn a_silent_region_is_told_for_the_region_and_not_for_its_accounts() {
        let chains = chains(&[
            "111111111111 eu-west-1 a 10:00:00",
            "222222222222 eu-west-1 a 10:10:00",
            "111111111111 us-east-1 a 13:20:00",
            "222222222222 us-east-1 a 13:30:00",
        ]);
        let silence = Silence::find(&chains, late_at(at("14:00:00")));
        assert_eq!((silence.accounts.len(), silence.regions.len()), (0, 1));
    }

    #[test]
    fn a_lone_chain_needs_no_witness() {
        let chains = chains(&["111111111111 eu-west-1 a 10:00:00"]);
        let silence = Silence::find(&chains, late_at(at("14:00:00")));
        assert!(silence.is_certain(&chains[0]) && !silence.covers(&chains[0]));
        // Two trails of one account in one region: the other account trail's region says enough.
        let pair = self::chains(&[
            "111111111111 eu-west-1 a 10:00:00",
            "111111111111 eu-west-1 b 10:05:00",
            "111111111111 us-east-1 a 13:20:00",
        ]);
        let silence = Silence::find(&pair, late_at(at("14:00:00")));
        assert!(silence.is_certain(&pair[0]) && silence.is_certain(&pair[1]));
    }
}
