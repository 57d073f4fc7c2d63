//! Pure rules: no I/O, no clock, no async, no AWS types.

pub mod admit;
pub mod chain;
pub mod depth;
pub mod digest;
pub mod finding;
pub mod gzip;
pub mod id;
pub mod journal;
pub mod key;
pub mod notice;
pub mod record;
pub mod route;

/// Attacker-chosen text made fit to print: control characters escaped, cut at `limit` bytes.
pub fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let shown = if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        };
        if out.len() + shown.len() > limit {
            out.push('…');
            break;
        }
        out.push_str(&shown);
    }
    out
}
