//! What is wrong with a configuration file, and where: file, line, column, caret.

use std::fmt;
use std::ops::Range;

/// Keys whose values are never shown, not even to point into them.
const VEILED: &[&str] = &["secret", "url", "token", "password", "key"];

/// The first thing wrong with the file. Shown as a sentence, and the line with a caret under it where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub origin: String,
    pub message: String,
    pub spot: Option<Spot>,
}

/// Line and column count from one, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub line: usize,
    pub column: usize,
    /// The line, fit to print; without its value if that may be a secret.
    pub shown: String,
    /// How many characters the caret underlines.
    pub width: usize,
}

impl ConfigError {
    pub fn new(origin: &str, message: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), message: message.into(), spot: None }
    }

    /// Points at the bytes `span` of the file's `text`.
    #[must_use]
    pub fn at(mut self, text: &str, span: Range<usize>) -> Self {
        self.spot = Some(Spot::of(text, span, veiled));
        self
    }

    /// As [`Self::at`], in a file that has no secrets.
    #[must_use]
    pub fn at_plain(mut self, text: &str, span: Range<usize>) -> Self {
        self.spot = Some(Spot::of(text, span, |_| None));
        self
    }
}

impl Spot {
    /// `veil` answers how much of a line that may hold a secret is shown.
    fn of(text: &str, span: Range<usize>, veil: fn(&str) -> Option<&str>) -> Self {
        let start = boundary(text, span.start);
        let end = boundary(text, span.end).max(start);
        let from = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let to = text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| from + length);
        let count = |range: Range<usize>| text.get(range).unwrap_or_default().chars().count();
        let column = count(from..start) + 1;
        let width = count(start..end.min(to)).max(1);
        let shown = text.get(from..to).unwrap_or_default().trim_end();
        match veil(shown) {
            Some(open) => {
                let columns = open.chars().count() + 2;
                let width = width.min(columns.saturating_sub(column) + 1).max(1);
                Self { line: line_of(text, start), column: column.min(columns), shown: format!("{open} …"), width }
            }
            None => Self { line: line_of(text, start), column, shown: plain(shown), width },
        }
    }
}

/// The line up to its `=`, if what follows may be a secret.
fn veiled(line: &str) -> Option<&str> {
    let (before, _) = line.split_once('=')?;
    let key = before.rsplit(['.', '{', ',']).next()?.trim().trim_matches(['"', '\'']);
    let all_keys = || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| VEILED.contains(&word));
    (VEILED.contains(&key) || line.contains('{') && all_keys()).then(|| line.get(..=before.len()).unwrap_or(before))
}

/// Tabs as blanks, so that the caret stands right; other control characters as a question mark.
fn plain(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '?'
            } else {
                c
            }
        })
        .collect()
}

fn boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The line, counted from one, in which the byte at `offset` stands.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(spot) = &self.spot else { return write!(f, "{}: {}", self.origin, self.message) };
        let number = spot.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.origin, spot.line, spot.column, self.message)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", spot.shown)?;
        write!(f, "{margin} | {}{}", " ".repeat(spot.column.saturating_sub(1)), "^".repeat(spot.width))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, what: &str) -> String {
        let start = text.find(what).unwrap();
        ConfigError::new("w.toml", "no").at(text, start..start + what.len()).to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let text = "[verify]\n\tgräce = \"90x\"\n";
        assert_eq!(shown(text, "\"90x\""), "w.toml:2:10: no\n  |\n2 |  gräce = \"90x\"\n  |          ^^^^^");
        let many = "a\n".repeat(99) + "b = 1";
        assert_eq!(shown(&many, "b"), "w.toml:100:1: no\n    |\n100 | b = 1\n    | ^");
        let lines = "a = [\n1,\n2]";
        assert_eq!(shown(lines, "[\n1,\n2]"), "w.toml:1:5: no\n  |\n1 | a = [\n  |     ^");
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        for text in ["", "é", "a\r\n"] {
            for (start, end) in [(0, 0), (1, 1), (1, 99), (99, 100), (2, 1)] {
                let _ = ConfigError::new("w.toml", "no").at(text, start..end).to_string();
            }
        }
    }

    #[test]
    fn lines_that_may_hold_a_secret_end_at_the_equals_sign() {
        for line in [
            "secret = \"hunter2\"",
            "url = 'https://h/hunter2'",
            "x = { kind = \"webhook\", url = \"hunter2\" }",
            "channel.a.secret = \"hunter2\"",
            "\"secret\" = \"hunter2",
        ] {
            let text = shown(line, "hunter2");
            assert!(!text.contains("hunter2") && text.contains("= …"), "{text}");
        }
    }
}
