//! One list of a pattern: the values that a field may have.

use super::address::{Address, Block};
use super::number::comparable;
use super::text::{self, Wildcard};
use crate::core::tree::Tree;

/// Texts are looked for, everything else is tried in turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    /// Sorted.
    pub texts: Box<[Box<str>]>,
    pub items: Box<[Item]>,
    /// Whether the field may be missing.
    pub absent: bool,
    /// As it was written.
    pub source: Box<str>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Text(Box<str>),
    Number(Number),
    Bool(bool),
    Null,
    Exists,
    Address(Box<Block>),
    Range(Range),
    Starts(Box<str>),
    Ends(Box<str>),
    Folded(Box<str>),
    StartsFolded(Box<str>),
    EndsFolded(Box<str>),
    Wildcard(Wildcard),
    /// Any value that none of these takes.
    Not(Box<[Item]>),
}

/// Equal as a number, or spelled alike where that cannot be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    pub value: Option<f64>,
    pub text: Box<str>,
}

/// Infinite where there is no bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub low: f64,
    pub high: f64,
    pub low_is_in: bool,
    pub high_is_in: bool,
}

impl Leaf {
    /// Whether a value that is neither an object nor an array is one of those.
    pub fn takes(&self, value: &Tree<'_>) -> bool {
        let text = value.text().is_some_and(|text| self.texts.binary_search_by(|own| (**own).cmp(text)).is_ok());
        text || self.items.iter().any(|item| item.takes(value))
    }
}

impl Item {
    fn takes(&self, value: &Tree<'_>) -> bool {
        match (self, value) {
            (Self::Exists, _) | (Self::Null, Tree::Null) => true,
            (Self::Bool(own), Tree::Bool(given)) => own == given,
            (Self::Number(own), Tree::Number(given)) => match own.value {
                Some(own) => comparable(given) == Some(own),
                None => *own.text == **given,
            },
            (Self::Range(range), Tree::Number(given)) => comparable(given).is_some_and(|value| range.holds(value)),
            (Self::Not(items), _) => !items.iter().any(|item| item.takes(value)),
            (_, Tree::Text(given)) => self.takes_text(given),
            _ => false,
        }
    }

    fn takes_text(&self, given: &str) -> bool {
        match self {
            Self::Text(own) => **own == *given,
            Self::Address(block) => Address::parse(given).is_some_and(|address| block.holds(address)),
            Self::Starts(own) => text::starts(given, own),
            Self::Ends(own) => text::ends(given, own),
            Self::Folded(own) => text::equals_folded(given, own),
            Self::StartsFolded(own) => text::starts_folded(given, own),
            Self::EndsFolded(own) => text::ends_folded(given, own),
            Self::Wildcard(own) => own.matches(given),
            Self::Number(_) | Self::Bool(_) | Self::Null | Self::Exists | Self::Range(_) | Self::Not(_) => false,
        }
    }
}

impl Range {
    fn holds(self, value: f64) -> bool {
        let above = value > self.low || (self.low_is_in && value == self.low);
        above && (value < self.high || (self.high_is_in && value == self.high))
    }
}
