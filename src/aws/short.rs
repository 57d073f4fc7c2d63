//! Alerts that fit into what AWS takes.

use crate::core::alert::Alert;
use crate::core::printable;

/// What is left of a list of hours or of a text that would make a message too large.
const HOURS: usize = 1_000;
const DETAIL: usize = 8_192;

/// The alert with its long parts cut.
pub(super) fn shortened(alert: &Alert) -> Alert {
    let mut short = alert.clone();
    short.finding.hours.truncate(HOURS);
    short.finding.detail = printable(&short.finding.detail, DETAIL);
    short.finding.note = short.finding.note.map(|note| printable(&note, DETAIL));
    short
}
