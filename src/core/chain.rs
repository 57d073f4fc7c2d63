//! Chains: one per account, region, trail and kind; how two neighboring digests fit together, and which hours are missing.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::core::digest::Previous;
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::key::{DigestKey, Root};

pub const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Whose digests form one chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChainId {
    pub root: Root,
    pub region: Region,
    pub trail: String,
    pub home: Region,
    pub backfill: bool,
}

impl ChainId {
    pub fn of(key: &DigestKey) -> Self {
        Self {
            root: key.root.clone(),
            region: key.region.clone(),
            trail: key.trail.clone(),
            home: key.home.clone(),
            backfill: key.backfill,
        }
    }

    pub fn account(&self) -> AccountId {
        self.root.account
    }

    pub fn kind(&self) -> &'static str {
        if self.backfill { "backfill" } else { "standard" }
    }

    /// The folder of a day's digests, and the beginning of their file names.
    pub fn day_prefix(&self, day: jiff::civil::Date) -> String {
        format!(
            "{}CloudTrail-Digest/{region}/{:04}/{:02}/{:02}/{account}_CloudTrail-Digest_{region}_{}_{}_",
            self.root.path(),
            day.year(),
            day.month(),
            day.day(),
            self.trail,
            self.home,
            region = self.region,
            account = self.root.account,
        )
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {} {} {}", self.root.path(), self.region, self.trail, self.home, self.kind())
    }
}

/// What is known of a digest whose signature held, as far as its neighbors matter. Only these move a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub key: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub sha: Option<Sha256>,
    /// Only compared with its like: the ledger keeps the SHA-256 of each signature.
    pub signature: Option<Vec<u8>>,
    /// `None` in a starting digest.
    pub previous: Option<Named>,
}

/// A predecessor, as its successor names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub key: String,
    pub sha: Sha256,
    pub signature: Vec<u8>,
}

impl From<Previous> for Named {
    fn from(previous: Previous) -> Self {
        Self { key: previous.key, sha: previous.sha, signature: previous.signature }
    }
}

/// A digest object that lies in the chain's place but proves nothing: bad or not checked, and reported as that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub key: String,
    pub end: Timestamp,
}

/// How a digest fits to the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joint {
    /// Hash and signature are those that the later one names.
    Linked,
    /// The later one names other values, or both claim the same place.
    Broken {
        /// The digest that is not the one that was signed into the chain.
        suspect: String,
        why: String,
    },
    /// Digests are missing between the two; their end times.
    Gap(Vec<Timestamp>),
    /// The later one is a starting digest; the hours without proof in between.
    Restart(Vec<Timestamp>),
    /// Nothing before it is known, and it is a starting digest.
    Start,
    /// Nothing before it is known, but it names a predecessor.
    Horizon,
    /// What lies before it has been reported on its own; nothing more to say.
    Unjudged,
}

/// Steps 8 and 9 of the strict algorithm, for a standard chain: `before` is the last good digest before `link`,
/// `slots` are the objects between them that prove nothing.
pub fn join(before: Option<&Link>, link: &Link, slots: &[Slot]) -> Joint {
    let hours = before.map(|before| {
        let mut hours = missing_hours(before.end, link.start);
        hours.retain(|hour| !slots.iter().any(|slot| slot.end == *hour));
        hours
    });
    match (before, &link.previous, hours) {
        (Some(_), None, Some(hours)) => Joint::Restart(hours),
        (_, None, _) => Joint::Start,
        (Some(before), Some(previous), _) if previous.key == before.key => match differences(previous, before) {
            None => Joint::Linked,
            Some(why) => Joint::Broken { suspect: before.key.clone(), why },
        },
        (Some(_), Some(_), Some(hours)) if !hours.is_empty() => Joint::Gap(hours),
        (_, Some(previous), _) if slots.iter().any(|slot| slot.key == previous.key) => Joint::Unjudged,
        (Some(before), Some(previous), _) => Joint::Broken {
            suspect: link.key.clone(),
            why: format!("it names {} as its predecessor, but {} lies before it", previous.key, before.key),
        },
        (None, Some(_), _) => Joint::Horizon,
    }
}

/// Hash and signature both, compared as bytes.
pub fn differences(previous: &Named, before: &Link) -> Option<String> {
    let hash = before.sha.is_some_and(|sha| sha != previous.sha);
    let signature = before.signature.as_ref().is_some_and(|signature| *signature != previous.signature);
    match (hash, signature) {
        (false, false) => None,
        (true, true) => Some("hash and signature are not the ones that its successor names".into()),
        (true, false) => Some("the hash is not the one that its successor names".into()),
        (false, true) => Some("the signature is not the one that its successor names".into()),
    }
}

/// The end times of the hourly digests that should lie between two known ones: after `end`, up to and with `start`.
pub fn missing_hours(end: Timestamp, start: Timestamp) -> Vec<Timestamp> {
    let slack = SignedDuration::from_mins(30);
    let mut hours = Vec::new();
    let mut next = end + HOUR;
    // A year of hours is enough to say; a hostile date must not fill the memory.
    while next < start - slack && hours.len() < 9_000 {
        hours.push(next);
        next += HOUR;
    }
    if start - slack >= end {
        hours.push(start);
    }
    hours
}

/// The end times of the digests that should have arrived by `now`, after the head of a chain that ended at `head`.
pub fn overdue_hours(head: Timestamp, now: Timestamp, grace: SignedDuration) -> Vec<Timestamp> {
    let mut hours = Vec::new();
    let mut next = head + HOUR;
    while next + grace <= now && hours.len() < 9_000 {
        hours.push(next);
        next += HOUR;
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn link(n: i64, names: Option<(i64, u8)>) -> Link {
        let end = at("2026-03-01T22:07:13Z") + HOUR * i32::try_from(n).unwrap();
        Link {
            key: format!("d{n}"),
            start: end - HOUR,
            end,
            sha: Some(Sha256([u8::try_from(n).unwrap(); 32])),
            signature: Some(vec![u8::try_from(n).unwrap()]),
            previous: names.map(|(to, byte)| Named {
                key: format!("d{to}"),
                sha: Sha256([byte; 32]),
                signature: vec![byte],
            }),
        }
    }

    #[test]
    fn neighbors_link_by_hash_and_signature() {
        assert_eq!(join(Some(&link(1, None)), &link(2, Some((1, 1))), &[]), Joint::Linked);
        assert!(matches!(join(Some(&link(1, None)), &link(2, Some((1, 9))), &[]), Joint::Broken { .. }));
        let mut resigned = link(1, None);
        resigned.signature = Some(vec![7]);
        assert!(matches!(join(Some(&resigned), &link(2, Some((1, 1))), &[]), Joint::Broken { .. }));
    }

    #[test]
    fn a_gap_carries_the_end_times_of_the_missing_digests() {
        let Joint::Gap(hours) = join(Some(&link(1, None)), &link(4, Some((3, 3))), &[]) else { panic!("no gap") };
        assert_eq!(hours, [at("2026-03-02T00:07:13Z"), at("2026-03-02T01:07:13Z")]);
        let Joint::Restart(hours) = join(Some(&link(1, None)), &link(4, None), &[]) else { panic!("no restart") };
        assert_eq!(hours.len(), 2);
        assert_eq!(join(Some(&link(1, None)), &link(2, None), &[]), Joint::Restart(vec![]));
    }

    #[test]
    fn what_lies_there_and_proves_nothing_is_not_missing() {
        let slot = |n: i64| Slot { key: format!("d{n}"), end: link(n, None).end };
        assert_eq!(join(Some(&link(1, None)), &link(3, Some((2, 2))), &[slot(2)]), Joint::Unjudged);
        let both = join(Some(&link(1, None)), &link(4, Some((3, 3))), &[slot(3)]);
        assert_eq!(both, Joint::Gap(vec![link(2, None).end]));
        assert_eq!(join(None, &link(3, Some((2, 2))), &[slot(2)]), Joint::Unjudged);
    }

    #[test]
    fn without_a_past_there_is_a_start_or_a_horizon() {
        assert_eq!(join(None, &link(1, None), &[]), Joint::Start);
        assert_eq!(join(None, &link(2, Some((1, 1))), &[]), Joint::Horizon);
    }

    #[test]
    fn two_digests_for_one_hour_are_a_break() {
        let mut twin = link(2, Some((1, 1)));
        twin.key = "twin".into();
        assert!(matches!(join(Some(&twin), &link(3, Some((2, 2))), &[]), Joint::Broken { .. }));
    }

    #[test]
    fn overdue_counts_only_hours_whose_grace_has_passed() {
        let head = at("2026-03-01T10:00:00Z");
        let grace = SignedDuration::from_mins(90);
        assert!(overdue_hours(head, at("2026-03-01T12:29:59Z"), grace).is_empty());
        assert_eq!(overdue_hours(head, at("2026-03-01T12:30:00Z"), grace), [at("2026-03-01T11:00:00Z")]);
        assert_eq!(overdue_hours(head, at("2026-03-01T15:00:00Z"), grace).len(), 3);
        assert!(overdue_hours(at("1970-01-01T00:00:00Z"), at("9999-01-01T00:00:00Z"), grace).len() <= 9_000);
    }
}
