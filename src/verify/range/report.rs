//! What a verification answers.

use jiff::Timestamp;
use serde::Serialize;

use crate::core::chain::{HOUR, overdue_hours};
use crate::core::finding::{Finding, Held, Kind};
use crate::core::id::{AccountId, Region};
use crate::error::Result;
use crate::verify::range::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    Bad,
    /// Nothing bad seen, and some part could not be checked.
    Incomplete,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub good: u64,
    pub bad: u64,
    /// Hours without a digest.
    pub missing: u64,
    pub unchecked: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LogCounts {
    pub good: u64,
    pub bad: u64,
    pub missing: u64,
    pub unlisted: u64,
    pub unchecked: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.missing += other.missing;
        self.unchecked += other.unchecked;
    }
}

impl std::ops::AddAssign for LogCounts {
    fn add_assign(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.missing += other.missing;
        self.unlisted += other.unlisted;
        self.unchecked += other.unchecked;
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct ChainReport {
    pub account: AccountId,
    pub region: Region,
    pub trail: String,
    /// `standard` or `backfill`.
    pub kind: &'static str,
    pub digests: u64,
    pub logs: u64,
    /// End time of the first and the last digest seen.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub verdict: Verdict,
    #[serde(skip)]
    pub(super) id: Option<crate::core::chain::ChainId>,
    /// Ends of digests that lie there, good or not.
    #[serde(skip)]
    pub(super) ends: Vec<Timestamp>,
    #[serde(skip)]
    pub(super) bucket: String,
}

/// What one account and region add to a report.
#[derive(Default)]
pub(super) struct Share {
    pub digests: Counts,
    pub logs: LogCounts,
    pub chains: Vec<ChainReport>,
    pub findings: Vec<Finding>,
    pub unchecked: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub verdict: Verdict,
    pub digests: Counts,
    pub logs: LogCounts,
    pub chains: Vec<ChainReport>,
    pub findings: Vec<Held>,
    /// The bucket's real name, configured or learned.
    pub bucket: Option<String>,
    /// What could not be checked, in words.
    pub unchecked: Vec<String>,
    #[serde(skip)]
    now: Timestamp,
}

impl Report {
    pub(super) fn new(range: &Range, bucket: Option<String>) -> Self {
        Self {
            from: range.from,
            to: range.to,
            verdict: Verdict::Incomplete,
            digests: Counts::default(),
            logs: LogCounts::default(),
            chains: Vec::new(),
            findings: Vec::new(),
            bucket,
            unchecked: Vec::new(),
            now: range.now,
        }
    }

    pub(super) fn add(&mut self, share: Result<Share>) {
        match share {
            Ok(share) => {
                self.digests += share.digests;
                self.logs += share.logs;
                self.chains.extend(share.chains);
                self.unchecked.extend(share.unchecked);
                for finding in share.findings {
                    self.find(finding);
                }
            }
            Err(error) => self.unchecked.push(error.to_string()),
        }
    }

    fn find(&mut self, finding: Finding) {
        let held = finding.held(self.now);
        if !self.findings.iter().any(|known| known.id == held.id) {
            self.findings.push(held);
        }
    }

    /// What only the whole can tell: chains that end before the others, and the verdict. `seen` is the newest moment that
    /// anything in the bucket speaks of.
    pub(super) fn conclude(&mut self, range: &Range, seen: Timestamp) {
        // Without a given end, what the other chains have delivered shows how far this one should reach.
        let until = range.to.unwrap_or(seen).min(range.now);
        let mut late = Vec::new();
        for chain in &mut self.chains {
            let (Some(last), Some(id)) = (chain.last, &chain.id) else { continue };
            if id.backfill {
                continue;
            }
            let grace = if range.to.is_some() { jiff::SignedDuration::ZERO } else { range.grace };
            let mut hours = overdue_hours(last, until, grace);
            hours.retain(|hour| *hour + range.grace <= range.now && !chain.ends.contains(hour));
            if hours.is_empty() {
                continue;
            }
            chain.verdict = Verdict::Bad;
            self.digests.missing += hours.len() as u64;
            let detail = format!("{} expected digests are not there; the last one ends at {last}", hours.len());
            let mut finding = Finding::new(Kind::DigestOverdue, id.to_string(), detail)
                .account(id.account())
                .region(&id.region)
                .trail(&id.trail)
                .hours(hours);
            finding.bucket = Some(chain.bucket.clone());
            late.push(finding);
        }
        for finding in late {
            self.find(finding);
        }
        self.chains
            .sort_by(|a, b| (a.account, &a.region, &a.trail, a.kind).cmp(&(b.account, &b.region, &b.trail, b.kind)));
        self.findings.sort_by(|a, b| {
            (std::cmp::Reverse(a.severity), &a.object, &a.id).cmp(&(std::cmp::Reverse(b.severity), &b.object, &b.id))
        });
        self.verdict = self.judge();
    }

    fn judge(&self) -> Verdict {
        let bad = self.digests.bad + self.digests.missing + self.logs.bad + self.logs.missing + self.logs.unlisted > 0
            || self.findings.iter().any(|held| held.kind != Kind::PublicKeyUnknown);
        let nothing = self.digests.good == 0;
        if bad {
            Verdict::Bad
        } else if nothing || self.digests.unchecked + self.logs.unchecked > 0 || !self.unchecked.is_empty() {
            Verdict::Incomplete
        } else {
            Verdict::Good
        }
    }
}

/// The end times a chain's phase gives within a window, both ends as in `from < end <= to`.
pub(super) fn phase_hours(phase: Timestamp, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let hour = HOUR.as_secs();
    let ahead = (phase.as_second() - from.as_second()).rem_euclid(hour);
    let first = from.as_second() + if ahead == 0 { hour } else { ahead };
    (0..9_000)
        .map(|n| first + n * hour)
        .take_while(|second| *second <= to.as_second())
        .filter_map(|second| Timestamp::from_second(second).ok())
        .collect()
}

impl Report {
    /// Two buckets' reports as one.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.digests += other.digests;
        self.logs += other.logs;
        self.chains.extend(other.chains);
        self.findings.extend(other.findings);
        self.unchecked.extend(other.unchecked);
        self.bucket = None;
        self.verdict = match (self.verdict, other.verdict) {
            (Verdict::Bad, _) | (_, Verdict::Bad) => Verdict::Bad,
            (Verdict::Good, Verdict::Good) => Verdict::Good,
            _ => Verdict::Incomplete,
        };
        self
    }
}
