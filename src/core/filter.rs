//! CloudWatch Logs filter patterns for JSON, with the answers of AWS also where these surprise: see docs/rules.md.
//!
//! A pattern is compiled once and matched against many records; matching allocates nothing. The grammar is that of the CloudWatch
//! Logs user guide; what it leaves open follows what was observed of AWS.

mod literal;
mod parse;
mod regex;
mod selector;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use self::literal::Literal;
use self::regex::Regex;
use self::selector::Selector;
use crate::core::decimal;
use crate::core::fault::Fault;
use crate::core::needs::{Need, Needs};
use crate::core::record::Parts;
use crate::core::tree::Tree;
use crate::core::tried::{Tried, shown};

/// A compiled filter pattern.
#[derive(Debug, Clone)]
pub struct Filter {
    text: Box<str>,
    root: Expr,
}

#[derive(Debug, Clone)]
enum Expr {
    All(Box<[Expr]>),
    Any(Box<[Expr]>),
    Condition(Condition),
}

#[derive(Debug, Clone)]
struct Condition {
    /// Where it stands in the pattern.
    span: Range<usize>,
    selector: Selector,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// `=`
    Equal(Operand),
    /// `!=`
    Unequal(Operand),
    /// `<`, `<=`, `>`, `>=` and a number as written.
    Order(Order, String),
    /// `IS NULL`
    Null,
    /// `IS TRUE`, `IS FALSE`
    Bool(bool),
    /// `NOT EXISTS`
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug, Clone)]
enum Operand {
    Literal(Literal),
    Regex(Regex),
}

impl Filter {
    /// Refuses what AWS refuses, and what is no pattern for JSON.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Ok(Self { text: text.into(), root: parse::parse(text)? })
    }

    /// What is no object is not matched, not even by `NOT EXISTS`.
    pub fn matches(&self, record: &Tree<'_>) -> bool {
        record.object().is_some() && self.root.holds(record)
    }

    /// What a record must have to be matched.
    pub fn needs(&self) -> Needs {
        self.root.needs()
    }

    /// What it reads of a record.
    pub fn parts(&self) -> Parts {
        let mut conditions = Vec::new();
        self.root.conditions(&mut conditions);
        conditions.iter().map(|condition| Parts::at(&condition.selector.path())).collect()
    }

    /// Every condition in the order of the pattern.
    pub fn explain(&self, record: &Tree<'_>) -> Vec<Tried<'_>> {
        let mut conditions = Vec::new();
        self.root.conditions(&mut conditions);
        let is_object = record.object().is_some();
        let tried = |condition: &Condition| Tried {
            condition: self.text.get(condition.span.clone()).unwrap_or_default().into(),
            held: is_object && condition.holds(record),
            found: condition.decisive(record).map(shown),
        };
        conditions.into_iter().map(tried).collect()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expr {
    fn holds(&self, record: &Tree<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::Condition(condition) => condition.holds(record),
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Self::All(parts) => parts.iter().map(Self::needs).fold(Needs::nothing(), Needs::and),
            Self::Any(parts) => parts.iter().map(Self::needs).fold(Needs::impossible(), Needs::or),
            Self::Condition(condition) => condition.needs(),
        }
    }

    fn conditions<'e>(&'e self, all: &mut Vec<&'e Condition>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.conditions(all)),
            Self::Condition(condition) => all.push(condition),
        }
    }
}

impl Condition {
    fn holds(&self, record: &Tree<'_>) -> bool {
        match self.test {
            Test::Missing => self.selector.find(record, &|_| true).is_none(),
            _ => self.selector.find(record, &|value| self.test.takes(value)).is_some(),
        }
    }

    /// The value by which the condition holds; the first that it finds where none of them is one.
    fn decisive<'r, 't>(&self, record: &'r Tree<'t>) -> Option<&'r Tree<'t>> {
        let taken = self.selector.find(record, &|value| self.test.takes(value));
        taken.or_else(|| self.selector.find(record, &|_| true))
    }

    fn needs(&self) -> Needs {
        let path = self.selector.path();
        if matches!(self.test, Test::Missing) || path.is_empty() {
            return Needs::nothing();
        }
        let literal = match &self.test {
            Test::Equal(Operand::Literal(literal)) if self.selector.is_plain() => Some(literal),
            _ => None,
        };
        Needs::one(match (literal.and_then(Literal::only_text), literal.and_then(Literal::part)) {
            (Some(text), _) => Need::Equal(path, text.to_owned()),
            (_, Some(part)) => Need::Part(path, part.to_owned()),
            _ => Need::Present(path),
        })
    }
}

impl Test {
    /// Of a value that is there.
    fn takes(&self, value: &Tree<'_>) -> bool {
        match (self, value) {
            (Self::Equal(operand), value) => operand.equals(value) == Some(true),
            (Self::Unequal(operand), value) => operand.equals(value) == Some(false),
            (Self::Order(order, bound), Tree::Number(number)) => order.holds(number, bound),
            (Self::Null, Tree::Null) => true,
            (Self::Null, Tree::Array(values)) => values.contains(&Tree::Null),
            (Self::Bool(wanted), Tree::Bool(value)) => wanted == value,
            _ => false,
        }
    }
}

impl Order {
    fn holds(self, number: &str, bound: &str) -> bool {
        decimal::compare(number, bound).is_some_and(|order| match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

impl Operand {
    /// `None` for what is neither equal nor unequal to anything: `null`, booleans, arrays and objects.
    fn equals(&self, value: &Tree<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Literal(literal), Tree::Text(text)) => Some(literal.fits_text(text)),
            (Self::Literal(literal), Tree::Number(number)) => Some(literal.fits_number(number)),
            (Self::Regex(regex), Tree::Text(text)) => Some(regex.is_match(text)),
            (Self::Regex(regex), Tree::Number(number)) => Some(regex.is_match(number)),
            _ => None,
        }
    }
}
