//! A digest's way after its arrival: the sweep over chains and unlisted logs, the slow scrub, and verification of a range.

mod fold;
mod range;
mod scrub;
mod sweep;

pub use fold::{Fold, Folded};
pub use range::{ChainReport, Counts, LogCounts, Progress, Range, Report, Verdict, verify};
pub use scrub::Scrub;
pub use sweep::Sweep;
