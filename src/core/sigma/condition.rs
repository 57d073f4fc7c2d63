//! The `condition` of a rule: how its selections are joined.

use std::ops::Range;

/// Bytes of a condition, parentheses and `not`s in one another.
const LONGEST: usize = 8 << 10;
const DEEPEST: usize = 64;

/// Selections are told by their place among those of the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Selection(usize),
}

/// What is wrong, and where in the condition.
pub(super) type Wrong = (Range<usize>, String);

pub(super) fn parse(text: &str, selections: &[&str]) -> Result<Condition, Wrong> {
    if text.len() > LONGEST {
        return Err((0..text.len(), "a condition has at most 8 KiB".to_owned()));
    }
    if let Some(at) = text.find('|') {
        let why = "counts in a condition (`|`) are no part of Sigma any more; write a correlation";
        return Err((at..at + 1, why.to_owned()));
    }
    let mut parser = Parser { words: words(text), at: 0, end: text.len(), selections, depth: 0 };
    let condition = parser.any()?;
    match parser.next() {
        None => Ok(condition),
        Some((span, ")")) => Err((span, "no parenthesis is open here".to_owned())),
        Some((span, _)) => Err((span, "expected `and`, `or` or the end".to_owned())),
    }
}

type Word<'t> = (Range<usize>, &'t str);

/// Parentheses, and what stands between them and blanks.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut push = |span: Range<usize>| {
        if let Some(word) = text.get(span.clone()).filter(|word| !word.is_empty()) {
            words.push((span, word));
        }
    };
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || matches!(c, '(' | ')') {
            push(start..at);
            start = at + c.len_utf8();
            if !c.is_whitespace() {
                push(at..start);
            }
        }
    }
    push(start..text.len());
    words
}

struct Parser<'t> {
    words: Vec<Word<'t>>,
    at: usize,
    end: usize,
    selections: &'t [&'t str],
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.words.get(self.at).map(|(_, word)| *word)
    }

    fn next(&mut self) -> Option<Word<'t>> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn take(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Condition, Wrong> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, Wrong> {
        let mut parts = vec![self.operand()?];
        while self.take("and") {
            parts.push(self.operand()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn operand(&mut self) -> Result<Condition, Wrong> {
        self.depth += 1;
        let condition = self.operand_within();
        self.depth -= 1;
        condition
    }

    fn operand_within(&mut self) -> Result<Condition, Wrong> {
        let Some((span, word)) = self.next() else {
            return Err((self.end..self.end, "expected the name of a selection; the condition ends here".to_owned()));
        };
        if self.depth > DEEPEST {
            return Err((span, "the condition is nested too deeply".to_owned()));
        }
        if self.peek().is_some_and(|next| next.eq_ignore_ascii_case("of")) {
            return self.quantified(span, word);
        }
        match word {
            "(" => {
                let inner = self.any()?;
                match self.next() {
                    Some((_, ")")) => Ok(inner),
                    _ => Err((span, "this parenthesis is never closed".to_owned())),
                }
            }
            _ if word.eq_ignore_ascii_case("not") => Ok(Condition::Not(Box::new(self.operand()?))),
            _ => match self.selections.iter().position(|name| *name == word) {
                Some(place) => Ok(Condition::Selection(place)),
                None => Err((span, format!("expected the name of a selection; `{word}` is none"))),
            },
        }
    }

    /// `1 of selection_*`, `all of them`.
    fn quantified(&mut self, span: Range<usize>, quantity: &str) -> Result<Condition, Wrong> {
        let join = match quantity {
            "1" | "any" => Condition::Any,
            "all" => Condition::All,
            _ => return Err((span, "expected `1 of`, `any of` or `all of`".to_owned())),
        };
        self.at += 1;
        let Some((at, pattern)) = self.next() else {
            return Err((span, "expected `them` or a pattern of names after `of`".to_owned()));
        };
        let meant = |name: &str| match pattern {
            "them" => !name.starts_with('_'),
            _ => fits(pattern, name) && (pattern.starts_with('_') || !name.starts_with('_')),
        };
        let places = self.selections.iter().enumerate().filter(|(_, name)| meant(name));
        let parts: Vec<Condition> = places.map(|(place, _)| Condition::Selection(place)).collect();
        if parts.is_empty() {
            return Err((at, format!("`{pattern}` means none of the selections")));
        }
        Ok(one_or(parts, join))
    }
}

fn one_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

/// A name by a pattern with `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    false
}
