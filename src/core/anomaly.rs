//! What is unusual without a rule that says so: rates of calls and of errors as CloudTrail's Insights know them, and what an
//! account has never done before. Pure: counts and names in, turns out; the ledger keeps the state as rows.
//!
//! A [`Series`] is kept for each account, region, API and, for errors, error code. AWS has some 18,000 calls, an account uses
//! some hundreds in a few regions: about 1,000 series an account, of 300 bytes where one principal calls, and never more than
//! [`MOST_SERIES`] of at most 10 KB.

mod call;
mod insight;
mod seen;
mod series;
mod tally;
#[cfg(test)]
mod tests;
mod top;

pub use call::{Call, Kind};
pub use insight::{Attribution, Insight, State};
pub use seen::{Aspect, Seen};
pub use series::{Series, Tuning, Turn, is_near};
pub use tally::{Counted, Tally, Tallying};

/// Series of one account; what comes after them is not counted. Only whoever calls every API in every region comes near.
pub const MOST_SERIES: usize = 20_000;

/// What of an account is looked at, and what is unusual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub call_rate: bool,
    pub error_rate: bool,
    /// Of which it is told that an account never did it before.
    pub never_seen: Vec<Aspect>,
    pub tuning: Tuning,
    /// Days in which an account only learns what it does.
    pub learning: u32,
    /// Days after which what was not met is new again.
    pub memory: u32,
}

impl Plan {
    /// Nothing is looked at.
    pub fn none() -> Self {
        Self { call_rate: false, error_rate: false, ..Self::default() }
    }

    pub fn is_none(&self) -> bool {
        !self.call_rate && !self.error_rate && self.never_seen.is_empty()
    }

    /// For how many days what happened is looked at when it comes late.
    pub fn reach(&self) -> u32 {
        if self.never_seen.is_empty() { REACH } else { self.memory.max(REACH) }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let tuning = Tuning::default();
        Self { call_rate: true, error_rate: true, never_seen: Vec::new(), tuning, learning: 14, memory: 90 }
    }
}

/// Days that a record may be old and still be counted: those of the baseline, and today.
pub const REACH: u32 = BASELINE_DAYS as u32 + 1;

/// Minutes of a day, and of the days that CloudTrail's baseline has.
pub const DAY: u32 = 1_440;
pub const BASELINE_DAYS: usize = 7;
