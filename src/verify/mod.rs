//! A digest's way after its arrival: the sweep over chains and unlisted logs, the comparison of bucket and ledger, the slow
//! scrub, and verification of a range.

pub mod coverage;
mod fold;
mod range;
mod reconcile;
mod scrub;
mod sweep;

pub use fold::{Fold, Folded};
pub use range::{ChainReport, Counts, LogCounts, Progress, Range, Report, Verdict, verify};
pub use reconcile::{Difference, Heard, Place, Reconcile, Span, Tally, Walk, last_rounds};
pub use scrub::Scrub;
pub use sweep::Sweep;

use crate::core::finding::Finding;
use crate::core::key::{self, DigestKey, LogKey, ObjectKey};

/// With the account and region that an object's key names.
fn about(mut finding: Finding, object: &str) -> Finding {
    if let ObjectKey::Log(LogKey { root, region, .. }) | ObjectKey::Digest(DigestKey { root, region, .. }) =
        key::parse(object)
    {
        finding.account = Some(root.account);
        finding.region = Some(region);
    }
    finding
}
#[cfg(test)]
mod tests;
