//! Pure rules: no I/O, no clock, no async, no AWS types.

pub mod admit;
pub mod alert;
pub mod anomaly;
pub mod chain;
pub mod change;
pub mod coverage;
pub mod decimal;
pub mod depth;
pub mod digest;
pub mod envelope;
pub mod fault;
pub mod filter;
pub mod finding;
pub mod grant;
pub mod gzip;
pub mod id;
pub mod journal;
pub mod key;
pub mod lease;
pub mod lock;
pub mod lookup;
pub mod needs;
pub mod notice;
pub mod pattern;
pub mod policy;
pub mod posture;
pub mod protection;
mod quoted;
pub mod record;
pub mod route;
pub mod row;
pub mod rule;
pub mod shard;
pub mod sigma;
pub mod template;
pub mod tree;
pub mod tried;
pub mod unit;
pub mod window;
pub mod xml;

/// Years in which CloudTrail can have written anything: it began in the first. A time far from every clock is a lie, and would
/// not bear an hour to be added to it.
pub const YEARS: std::ops::RangeInclusive<i16> = 2013..=2199;

pub fn is_plausible(time: jiff::Timestamp) -> bool {
    YEARS.contains(&jiff::tz::Offset::UTC.to_datetime(time).year())
}

/// Attacker-chosen text made fit to print: control characters escaped, cut at `limit` bytes.
pub fn printable(text: &str, limit: usize) -> String {
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        let before = out.len();
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        if out.len() > limit {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}
