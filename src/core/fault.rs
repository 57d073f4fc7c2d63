//! What is wrong with a text of a pattern language, and where in it.

use std::fmt;
use std::ops::Range;

/// Characters that are shown before the fault, and after its beginning.
const SHOWN: (usize, usize) = (60, 40);

/// The first thing wrong with a pattern: shown as a sentence, and the line with a caret under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What was expected, or why it is refused.
    pub message: String,
    line: usize,
    column: usize,
    shown: String,
    /// Characters before the caret in what is shown, and how many it underlines.
    caret: (usize, usize),
}

impl Fault {
    /// Points at the bytes `span` of `text`.
    pub fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = boundary(text, span.start);
        let end = boundary(text, span.end).max(start);
        let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
        let head = before.rsplit('\n').next().unwrap_or_default();
        let tail = after.lines().next().unwrap_or_default();
        let column = head.chars().count();
        let skipped = column.saturating_sub(SHOWN.0);
        let ellipsis = if skipped > 0 { "…" } else { "" };
        let width = text.get(start..end).and_then(|what| what.lines().next()).map_or(0, |what| what.chars().count());
        let cut = if tail.chars().nth(SHOWN.1).is_some() { "…" } else { "" };
        let line = head.chars().skip(skipped).chain(tail.chars().take(SHOWN.1)).map(plain).collect::<String>();
        Self {
            span: start..end,
            message: message.into(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            shown: format!("{ellipsis}{line}{cut}").trim_end().to_owned(),
            caret: (column - skipped + usize::from(skipped > 0), width.clamp(1, SHOWN.1)),
        }
    }
}

/// Tabs as blanks, so that the caret stands right; other control characters as a question mark.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '?',
        c => c,
    }
}

fn boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, width) = self.caret;
        match self.line {
            1 => writeln!(f, "character {}: {}", self.column, self.message)?,
            line => writeln!(f, "line {line}, character {}: {}", self.column, self.message)?,
        }
        writeln!(f, "  | {}", self.shown)?;
        write!(f, "  | {}{}", " ".repeat(before), "^".repeat(width))
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, what: &str) -> String {
        let start = text.find(what).unwrap();
        Fault::new(text, start..start + what.len(), "no").to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        assert_eq!(shown("{ é\t= 1 }", "="), "character 5: no\n  | { é = 1 }\n  |     ^");
        assert_eq!(shown("{ a\n b cd\n}", "cd"), "line 2, character 4: no\n  |  b cd\n  |    ^^");
        assert_eq!(shown("ab", ""), "character 1: no\n  | ab\n  | ^");
        let long = format!("{}WRONG{}", "a".repeat(200), "b".repeat(200));
        let text = shown(&long, "WRONG");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2].find('^').map(|at| lines[2].get(at..).unwrap().len()), Some(5));
        assert_eq!(lines[1].chars().skip(lines[2].find('^').unwrap()).take(5).collect::<String>(), "WRONG");
        assert!(lines[1].chars().count() < 120 && text.starts_with("character 201: "));
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        for text in ["", "é", "a\r\n", "\n\n"] {
            for (start, end) in [(0, 0), (1, 1), (1, 99), (99, 100), (2, 1)] {
                let span = Range { start, end };
                assert!(Fault::new(text, span, "no").to_string().starts_with(['c', 'l']));
            }
        }
    }
}
