//! What a field is asked for.

use std::net::IpAddr;

use super::field::{Field, any_text, text_of};
use super::glob::{Matcher, small};
use crate::core::decimal;
use crate::core::needs::{Need, Needs};
use crate::core::record::Parts;
use crate::core::tree::Tree;

/// Bytes of a text that is looked for in another, where both come from the record: their product is the work.
const LONGEST_REFERENCE: usize = 1024;

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Null, or not there.
    Null,
    Exists(bool),
    Bool(bool),
    /// As written.
    Number(String),
    Text(Matcher),
    Regex(regex::Regex),
    Network(Network),
    Order(Order, String),
    /// As another field, with what may stand before and after that.
    Reference {
        field: Field,
        starts: bool,
        ends: bool,
    },
    /// Any of them.
    Any(Vec<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Refuses, in words, bits beyond the prefix.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let wrong = || format!("`{text}` is no network such as `10.0.0.0/8` or `2001:db8::/32`");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).ok().filter(|bits| *bits <= width).ok_or_else(wrong)?;
        let network = Self { address, bits };
        let host = number(address) & !network.mask();
        if host == 0 { Ok(network) } else { Err(format!("`{text}` is an address in a network, no network")) }
    }

    fn has(&self, text: &str) -> bool {
        let same = |address: &IpAddr| address.is_ipv4() == self.address.is_ipv4();
        let address = text.parse().ok().filter(same);
        address.is_some_and(|address| number(address) & self.mask() == number(self.address))
    }

    /// Of the 128 bits of `number`.
    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0)
    }
}

/// The address in the upper bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
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

impl Value {
    pub(super) fn holds(&self, field: &Field, record: &Tree<'_>) -> bool {
        match self {
            Self::Null => !field.exists(record) || field.any(record, &mut |value| *value == Tree::Null),
            Self::Exists(wanted) => field.exists(record) == *wanted,
            Self::Any(values) => values.iter().any(|value| value.holds(field, record)),
            _ => field.any(record, &mut |value| self.takes(value, record)),
        }
    }

    /// What it reads beside its own field.
    pub(super) fn parts(&self) -> Parts {
        match self {
            Self::Reference { field, .. } => field.parts(),
            Self::Any(values) => values.iter().map(Self::parts).collect(),
            _ => Parts::default(),
        }
    }

    /// Of a keyword: whether any text of the record has it.
    pub(super) fn occurs(&self, record: &Tree<'_>) -> bool {
        match self {
            Self::Any(values) => values.iter().any(|value| value.occurs(record)),
            _ => any_text(record, &mut |text| self.takes_text(text)),
        }
    }

    /// Of a value that is there.
    pub(super) fn takes(&self, value: &Tree<'_>, record: &Tree<'_>) -> bool {
        match (self, value) {
            (Self::Any(values), value) => values.iter().any(|one| one.takes(value, record)),
            (Self::Text(matcher), Tree::Array(_) | Tree::Object(_)) => {
                matcher.is_anything() || matcher.searches() && any_text(value, &mut |text| matcher.is_match(text))
            }
            (Self::Bool(wanted), Tree::Bool(value)) => wanted == value,
            (Self::Number(wanted), Tree::Number(value)) => decimal::compare(wanted, value).is_some_and(|o| o.is_eq()),
            (Self::Number(_), Tree::Bool(_)) => false,
            (Self::Reference { field, starts, ends }, value) => {
                let Some(text) = text_of(value) else { return false };
                let mut refers =
                    |other: &Tree<'_>| text_of(other).is_some_and(|other| refers(text, other, *starts, *ends));
                field.any(record, &mut refers)
            }
            (_, value) => text_of(value).is_some_and(|text| self.takes_text(text)),
        }
    }

    fn takes_text(&self, text: &str) -> bool {
        match self {
            Self::Text(matcher) => matcher.is_match(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Network(network) => network.has(text),
            Self::Order(order, bound) => order.holds(text, bound),
            Self::Number(wanted) => text == wanted,
            Self::Bool(wanted) => text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
            Self::Any(values) => values.iter().any(|value| value.takes_text(text)),
            Self::Null | Self::Exists(_) | Self::Reference { .. } => false,
        }
    }

    /// What a record needs for the field to be so.
    pub(super) fn needs(&self, field: &Field) -> Needs {
        match self {
            Self::Null | Self::Exists(false) => Needs::nothing(),
            Self::Any(values) => values.iter().map(|value| value.needs(field)).fold(Needs::impossible(), Needs::or),
            Self::Text(matcher) if field.is_top() && matcher.only_text().is_some_and(is_only_a_text) => {
                let text = matcher.only_text().unwrap_or_default().to_owned();
                Needs::one(Need::Alike(field.outermost(), text))
            }
            _ => Needs::one(Need::Present(field.outermost())),
        }
    }
}

/// Whether no number and no boolean has this text.
fn is_only_a_text(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !matches!(text, "true" | "false")
}

/// Whether a text is another one, begins, ends or goes on with it; without case.
fn refers(text: &str, other: &str, starts: bool, ends: bool) -> bool {
    let begins = |rest: &str| {
        let mut chars = rest.chars().map(small);
        other.chars().map(small).all(|c| chars.next() == Some(c))
    };
    match (starts, ends) {
        (false, false) => text.chars().map(small).eq(other.chars().map(small)),
        (true, false) => begins(text),
        (false, true) => {
            let mut chars = text.chars().rev().map(small);
            other.chars().rev().map(small).all(|c| chars.next() == Some(c))
        }
        (true, true) => {
            let within = |(at, _)| begins(text.get(at..).unwrap_or_default());
            other.len() <= LONGEST_REFERENCE && (other.is_empty() || text.char_indices().any(within))
        }
    }
}
