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
#[cfg(test)]
mod tests;
mod top;

pub use call::{Call, Kind};
pub use insight::{Attribution, Insight, State};
pub use seen::{Aspect, Seen};
pub use series::{Series, Tuning, Turn};

/// Series of one account; what comes after them is not counted. Only whoever calls every API in every region comes near.
pub const MOST_SERIES: usize = 20_000;

/// Minutes of a day, and of the days that CloudTrail's baseline has.
pub const DAY: u32 = 1_440;
pub const BASELINE_DAYS: usize = 7;
