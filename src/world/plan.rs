//! Where trouble goes, decided before anything happens: one trouble a chain, far from the others.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::Scale;
use super::cast::die;
use super::tamper::PLANTABLE;
use crate::core::finding::Kind;

/// Trouble needs this many hours: two before it, and six in which it comes to light.
const FEWEST_HOURS: u32 = 8;
/// A chain that stops, stops so many hours before the end.
pub(super) const STOP: u32 = 4;
/// A silent account's chains, all of them.
pub(super) const SILENCE: u32 = 6;

/// What goes wrong where, decided before anything happens.
pub(super) struct Plan {
    hours: u32,
    chains_per_account: usize,
    by_chain: BTreeMap<usize, (Kind, u32)>,
    /// Trouble that lies in no chain, by hour, with a chain whose account and region it borrows.
    pub loose: Vec<(Kind, u32, usize)>,
    /// The chain and hour whose second log file only a backfill digest lists.
    backfill: Option<(usize, u32)>,
    pub silent: Option<usize>,
    pub uncovered: Option<usize>,
    /// Chains from this one on are of a region that is switched on in this hour, and that nobody but an intruder uses.
    opened: Option<(usize, u32)>,
}

impl Plan {
    pub fn new(seed: u64, scale: Scale, accounts: usize, regions: usize, trails: usize, kinds: &[Kind]) -> Self {
        let mut rng = die(seed, &[4]);
        let mut plan = Self {
            hours: scale.hours,
            chains_per_account: regions * trails,
            by_chain: BTreeMap::new(),
            loose: Vec::new(),
            backfill: None,
            silent: None,
            uncovered: None,
            opened: None,
        };
        let kinds: &[Kind] = if scale.hours < FEWEST_HOURS { &[] } else { kinds };
        let wants = |kind| kinds.contains(&kind);
        plan.uncovered = (wants(Kind::AccountUncovered) && accounts >= 2).then(|| accounts - 1);
        let left = accounts - usize::from(plan.uncovered.is_some());
        plan.silent = (wants(Kind::AccountSilent) && left >= 2).then(|| left - 1);
        let healthy = left - usize::from(plan.silent.is_some());
        let mut places = places(&mut rng, healthy * regions, trails);
        let archive = usize::from(healthy > 1) * plan.chains_per_account;
        if wants(Kind::EvidenceChainChanged) {
            places.retain(|chain| *chain != archive);
        }
        // The last place, so that it shares account and region with a trouble only where there is no other.
        plan.backfill = places.pop().filter(|_| scale.hours > 3).map(|chain| (chain, 2.min(scale.hours - 3)));
        let mut places = places.into_iter();
        for (nth, kind) in (0u32..).zip(kinds) {
            let span = scale.hours - FEWEST_HOURS + 1;
            let hour = 2 + (nth * 5) % span;
            match kind {
                Kind::AccountSilent | Kind::AccountUncovered => {}
                Kind::AccountForeign
                | Kind::OrganizationForeign
                | Kind::BucketForeign
                | Kind::MessageUnintelligible => {
                    plan.loose.push((*kind, hour, rng.usize(..(healthy * plan.chains_per_account).max(1))));
                }
                Kind::DigestOverdue => {
                    let stop = scale.hours - STOP;
                    plan.by_chain.extend(places.next().map(|chain| (chain, (*kind, stop))));
                }
                Kind::EvidenceChainChanged if healthy > 0 => {
                    plan.by_chain.insert(archive, (*kind, hour));
                }
                _ if PLANTABLE.contains(kind) => {
                    plan.by_chain.extend(places.next().map(|chain| (chain, (*kind, hour))));
                }
                _ => {}
            }
        }
        plan
    }

    /// Has the chains from this one on begin with the digest of this number.
    pub fn open(&mut self, chain: usize, number: u32) {
        self.opened = Some((chain, number));
    }

    pub fn needs_rogue(&self) -> bool {
        self.by_chain.values().any(|(kind, _)| *kind == Kind::PublicKeyUnknown)
    }

    pub fn is_silent(&self, account: usize) -> bool {
        self.silent == Some(account)
    }

    pub fn is_uncovered(&self, account: usize) -> bool {
        self.uncovered == Some(account)
    }

    fn account(&self, chain: usize) -> usize {
        chain / self.chains_per_account.max(1)
    }

    /// Trouble and ordinary mess do not meet in one chain.
    pub fn is_troubled(&self, chain: usize) -> bool {
        self.by_chain.contains_key(&chain) || self.backfill.is_some_and(|(held, _)| held == chain)
    }

    /// No digest of this number is made: the trail is off, or the account gone.
    pub fn is_off(&self, chain: usize, number: u32) -> bool {
        let account = self.account(chain);
        let gone = self.is_silent(account) && number + SILENCE >= self.hours;
        let stopped =
            matches!(self.by_chain.get(&chain), Some((Kind::ChainRestarted, at)) if (*at..at + 2).contains(&number));
        let closed = self.opened.is_some_and(|(first, opens)| chain >= first && number < opens);
        self.is_uncovered(account) || gone || stopped || closed
    }

    /// How many log files a chain delivers before its digest `number + 1`.
    pub fn logs_wanted(&self, chain: usize, number: u32, usual: u32) -> u32 {
        let next = number + 1;
        // The digest after a pause is a starting one: it covers the hour before logging began, so it is empty.
        let unused = self.opened.is_some_and(|(first, _)| chain >= first);
        if unused || self.is_off(chain, next) || self.is_off(chain, number) {
            return 0;
        }
        match self.by_chain.get(&chain) {
            Some((Kind::DigestSignatureInvalid, at)) if *at == next => 1,
            Some((Kind::ChainBroken, at)) if *at == next => usual.max(1),
            Some((kind, at)) if *at == number && is_of_log(*kind) => usual.max(1),
            _ if self.holds_back(chain, number) => usual.max(2),
            _ => usual,
        }
    }

    pub fn holds_back(&self, chain: usize, number: u32) -> bool {
        self.backfill == Some((chain, number))
    }

    /// What befalls the first log file before digest `number + 1`.
    pub fn log_trouble(&self, chain: usize, number: u32) -> Option<Kind> {
        let (kind, at) = self.by_chain.get(&chain)?;
        let hidden = *kind == Kind::DigestSignatureInvalid && *at == number + 1;
        (hidden || (*at == number && is_of_log(*kind))).then_some(*kind)
    }

    pub fn begins(&self, chain: usize, number: u32) -> bool {
        self.by_chain.get(&chain).is_some_and(|(_, at)| *at == number)
    }

    /// What befalls the digest of this number.
    pub fn digest_trouble(&self, chain: usize, number: u32) -> Option<Kind> {
        let (kind, at) = self.by_chain.get(&chain)?;
        let meant = match kind {
            Kind::DigestMissing => (*at..at + 2).contains(&number),
            Kind::DigestOverdue => number >= *at,
            Kind::ChainRestarted => number == at + 2,
            _ => number == *at,
        };
        (meant && !is_of_log(*kind)).then_some(*kind)
    }
}

fn is_of_log(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::LogModified
            | Kind::LogMissing
            | Kind::LogUnlisted
            | Kind::LogMalformed
            | Kind::TrailingData
            | Kind::ContentMismatch
            | Kind::RecordMalformed
            | Kind::EvidenceRemoved
            | Kind::EvidenceOverwritten
            | Kind::KeyUnexpected
            | Kind::WriterForeign
            | Kind::ObjectMissing
            | Kind::ObjectTooLarge
            | Kind::EvidenceChainChanged
    )
}

/// Chains in the order in which trouble takes them: first one of each account and region, then the rest.
fn places(rng: &mut Rng, pairs: usize, trails: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pairs).collect();
    rng.shuffle(&mut order);
    let first: Vec<usize> = order.iter().map(|_| rng.usize(..trails.max(1))).collect();
    let mut places = Vec::with_capacity(pairs * trails);
    for turn in 0..trails {
        places.extend(order.iter().zip(&first).map(|(pair, first)| pair * trails + (first + turn) % trails));
    }
    places
}
