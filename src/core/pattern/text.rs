//! What a text is held against: its beginning and its end, whatever the case, and `*`.

/// A value stands in quotation marks while it is compared, and a beginning may reach into the closing one.
pub(super) fn starts(value: &str, start: &str) -> bool {
    value.starts_with(start) || start.strip_suffix('"') == Some(value)
}

pub(super) fn ends(value: &str, end: &str) -> bool {
    value.ends_with(end) || end.strip_prefix('"') == Some(value)
}

pub(super) fn equals_folded(value: &str, pattern: &str) -> bool {
    after_folded(value, pattern) == Some("")
}

pub(super) fn starts_folded(value: &str, start: &str) -> bool {
    after_folded(value, start).is_some() || start.strip_suffix('"').is_some_and(|whole| equals_folded(value, whole))
}

pub(super) fn ends_folded(value: &str, end: &str) -> bool {
    let mut rest = Some(value);
    for c in end.chars().rev() {
        rest = rest.and_then(|rest| {
            let strip = |rest: &'_ str, c| rest.strip_suffix(c).map(str::len);
            let lower = c.to_lowercase().rev().try_fold(rest, |rest, c| rest.get(..strip(rest, c)?));
            lower.or_else(|| c.to_uppercase().rev().try_fold(rest, |rest, c| rest.get(..strip(rest, c)?)))
        });
    }
    rest.is_some() || end.strip_prefix('"').is_some_and(|whole| equals_folded(value, whole))
}

/// What of a value follows a beginning. A character of the *pattern* may stand in lower or in upper case, one by one: `ß` also
/// takes `SS`, and `k` does not take the sign of the kelvin.
fn after_folded<'v>(value: &'v str, start: &str) -> Option<&'v str> {
    start.chars().try_fold(value, |rest, c| {
        let lower = c.to_lowercase().try_fold(rest, |rest, c| rest.strip_prefix(c));
        lower.or_else(|| c.to_uppercase().try_fold(rest, |rest, c| rest.strip_prefix(c)))
    })
}

/// Prefixes of a pattern that may fit the same text at once; the service refuses more, and this is between what it is known to
/// take and what it is known to refuse.
const MOST_AT_ONCE: usize = 9;
/// Sets of prefixes that are looked at before a pattern counts as too complex.
const MOST_SETS: usize = 4_096;

/// A pattern in which `*` is any run of characters, also none: the texts between the `*`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wildcard(Box<[Box<str>]>);

impl Wildcard {
    /// What is wrong with it otherwise.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.peek() == Some(&'*') => return Err("\"*\" must not follow \"*\" in a wildcard".into()),
                '*' => pieces.push(std::mem::take(&mut piece).into_boxed_str()),
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => piece.push(escaped),
                    _ => return Err("in a wildcard, \"\\\" stands before \"*\" or \"\\\" only".into()),
                },
                _ => piece.push(c),
            }
        }
        pieces.push(piece.into_boxed_str());
        let wildcard = Self(pieces.into_boxed_slice());
        if wildcard.is_complex() {
            return Err("this wildcard is too complex: fewer \"*\", or fewer repetitions after one, are needed".into());
        }
        Ok(wildcard)
    }

    pub fn matches(&self, value: &str) -> bool {
        let [first, rest @ ..] = &*self.0 else { return false };
        let [middle @ .., last] = rest else { return value == &**first };
        let Some(after) = value.strip_prefix(&**first) else { return false };
        let between = |rest: &'_ str, piece: &str| rest.find(piece).map(|at| at + piece.len());
        let after = middle.iter().try_fold(after, |rest, piece| rest.get(between(rest, piece)?..));
        after.is_some_and(|after| after.ends_with(&**last))
    }

    /// Follows every text at once, as the set of the prefixes that fit it.
    fn is_complex(&self) -> bool {
        // a letter between two states; before `None` stands a `*`
        let mut steps: Vec<Option<char>> = Vec::new();
        for (at, piece) in self.0.iter().enumerate() {
            steps.extend((at > 0).then_some(None));
            steps.extend(piece.chars().map(Some));
        }
        if steps.len() <= MOST_AT_ONCE || steps.iter().all(Option::is_some) {
            return false;
        }
        let mut letters: Vec<char> = steps.iter().filter_map(|step| *step).collect();
        letters.sort_unstable();
        letters.dedup();
        let mut seen = std::collections::BTreeSet::new();
        let mut waiting = vec![spread(&steps, vec![0])];
        while let Some(state) = waiting.pop() {
            if state.iter().filter(|at| **at > 0).count() > MOST_AT_ONCE || seen.len() > MOST_SETS {
                return true;
            }
            for letter in &letters {
                let next = |at: &usize| match steps.get(*at) {
                    Some(Some(own)) if own == letter => Some(at + 1),
                    _ => None,
                };
                let stays = |at: &&usize| **at > 0 && steps.get(**at - 1) == Some(&None);
                let reached = state.iter().filter_map(next).chain(state.iter().filter(stays).copied()).collect();
                let reached = spread(&steps, reached);
                if !reached.is_empty() && seen.insert(reached.clone()) {
                    waiting.push(reached);
                }
            }
        }
        false
    }
}

/// A `*` may be nothing.
fn spread(steps: &[Option<char>], mut state: Vec<usize>) -> Vec<usize> {
    let stars: Vec<usize> = state.iter().filter(|at| steps.get(**at) == Some(&None)).map(|at| at + 1).collect();
    state.extend(stars);
    state.sort_unstable();
    state.dedup();
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => slowly(&pattern[1..], text) || (!text.is_empty() && slowly(pattern, &text[1..])),
            (Some(p), Some(t)) => p == t && slowly(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_matches_what_a_slow_reading_says(pattern in "[abé*]{0,7}", text in "[abé]{0,9}") {
            if let Ok(wildcard) = Wildcard::parse(&pattern) {
                let (slow, given): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
                prop_assert_eq!(wildcard.matches(&text), slowly(&slow, &given));
            } else {
                prop_assert!(pattern.contains("**"));
            }
        }
    }

    #[test]
    fn a_wildcard_is_refused_with_its_reason() {
        for bad in ["a**b", "a\\b", "a\\", "**"] {
            assert!(Wildcard::parse(bad).is_err(), "{bad}");
        }
        assert!(Wildcard::parse("a\\*b").unwrap().matches("a*b") && !Wildcard::parse("a\\*b").unwrap().matches("axb"));
        assert!(Wildcard::parse("a\\\\*").unwrap().matches("a\\b"));
    }

    #[test]
    fn a_wildcard_that_fits_in_too_many_ways_is_too_complex() {
        for good in [
            "*.*.*.*",
            "/folk/*/dir/dir/dir/dir/dir/doc.txt",
            "arn:aws:events:us-east-1:*:event-bus/*",
            "*/init/*",
            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
            &"ab".repeat(10_000),
        ] {
            assert!(Wildcard::parse(good).is_ok(), "{good}");
        }
        for bad in ["*:*:*:*:*:event-bus/*", "*a*a*a*a*a*a*a*a*", &format!("*{}", "a".repeat(500))] {
            assert!(Wildcard::parse(bad).is_err(), "{bad}");
        }
        assert!(!Wildcard::parse("a*b*c").unwrap().matches(&"ab".repeat(100_000)));
    }

    #[test]
    fn case_is_that_of_the_patterns_letters() {
        assert!(
            equals_folded("été", "ÉTÉ") && equals_folded("STRASSE", "straße") && !equals_folded("straße", "STRASSE")
        );
        assert!(
            equals_folded("\u{212a}", "\u{212a}") && !equals_folded("\u{212a}", "k") && equals_folded("k", "\u{212a}")
        );
        assert!(starts_folded("zOokeeper", "Zoo") && !starts_folded("zo", "zoo"));
        assert!(ends_folded("a.GZ", ".gz") && ends_folded("xSS", "ß") && !ends_folded("gz", ".gz"));
        assert!(starts("say \"hi\"", "say \"") && starts("abc", "abc\"") && !starts("abcd", "abc\""));
        assert!(ends("abc", "\"abc") && ends_folded("aBc", "\"Abc") && starts_folded("aBc", "Abc\""));
    }
}
