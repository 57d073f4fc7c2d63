//! Digests that are late: the bucket is asked for them before anything is said, and what is silent as a whole is told once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::StreamExt;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Asked, Sweep, subject};
use crate::core::chain::{self, HOUR};
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, ObjectKey};
use crate::core::notice::Notice;
use crate::delivery::Fate;
use crate::error::{Class, Result};
use crate::store::digests::{self, Chain};
use crate::store::{findings, members};
use crate::trail::Trail;

/// Days of a late chain that one sweep lists.
const CAUGHT_UP: usize = 3;
/// Late chains that are asked for side by side.
const ABREAST: usize = 8;
/// Overdue hours that a finding names; the others follow them.
const NAMED_HOURS: usize = 200;
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Sweep {
    /// Chains whose next digest is late. Answers the accounts that are known to deliver.
    pub(super) async fn overdue(&self, trail: &Trail, now: Timestamp) -> Result<HashSet<AccountId>> {
        let holds = |chain: &Chain| trail.shard.holds(chain.chain.account());
        let behind = |chain: &Chain| chain.head.is_some_and(|head| now.duration_since(head) >= HOUR + self.grace);
        let mut lying = HashMap::new();
        let mut all = self.chains(trail).await?;
        all.retain(|chain| !chain.chain.backfill && behind(chain) && holds(chain));
        let ask = |chain: Chain| async move { (chain.id, self.ask(trail, &chain, now).await) };
        let mut asked = futures_util::stream::iter(all).map(ask).buffer_unordered(ABREAST);
        while let Some((id, answer)) = asked.next().await {
            if let Some(ends) = answer? {
                lying.insert(id, ends);
            }
        }
        drop(asked);
        let mut chains = self.chains(trail).await?;
        self.leave(chains.iter().filter(|chain| !holds(chain))).await?;
        chains.retain(|chain| !chain.chain.backfill && chain.head.is_some() && holds(chain));
        // Of a late chain that was not asked about, or came up only now, nothing can be said.
        let unsure = |chain: &Chain| behind(chain) && !lying.contains_key(&chain.id);
        let excused = self.deliveries.store.read(members::excused).await?;
        let (mut owed, mut ended) = (HashMap::new(), HashSet::new());
        for chain in chains.iter().filter(|chain| behind(chain)) {
            let Some(lying) = lying.get(&chain.id) else { continue };
            let mut hours = self.owed(chain, now, lying).await?;
            if let Some(until) = excused.get(&chain.chain.account()) {
                hours.retain(|hour| hour <= until);
                // Neither late nor a sign of life.
                ended.extend(hours.is_empty().then_some(chain.id));
            }
            if !hours.is_empty() {
                owed.insert(chain.id, hours);
            }
        }
        chains.retain(|chain| !ended.contains(&chain.id));
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

    /// Chains of other shards' accounts are awaited by other wardens: what was said of them when they were this one's is over.
    async fn leave<'c>(&self, chains: impl Iterator<Item = &'c Chain>) -> Result<()> {
        let others: HashSet<String> = chains.map(Chain::subject).collect();
        if others.is_empty() {
            return Ok(());
        }
        let told = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::DigestOverdue)).await?;
        self.resolve(told.into_iter().filter(|(_, subject)| others.contains(subject)).map(|(id, _)| id).collect()).await
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
        let mut over = Vec::new();
        for (kind, still) in [(Kind::AccountSilent, &accounts), (Kind::RegionSilent, &regions)] {
            let open = self.deliveries.store.read(move |conn| findings::open_of(conn, kind)).await?;
            let ended = open.into_iter().filter(|(_, subject)| subject.starts_with(&ours) && !still.contains(subject));
            over.extend(ended.map(|(id, _)| id));
        }
        self.resolve(over).await
    }
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
            let whose = if trail.shard.is_whole() { String::new() } else { format!(" of shard {}", trail.shard) };
            let detail =
                format!("no account's chain{whose} delivers; {}", since(&|chain| chain.chain.region == *region));
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
