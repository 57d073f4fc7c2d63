//! Why a pattern matches an event, or does not.

use std::fmt;

use super::walk::{Node, Walk};
use super::{Part, Pattern};
use crate::core::printable;
use crate::core::tree::Tree;

/// Values of a field that are shown, and bytes of each.
const SHOWN: usize = 5;
const LONGEST: usize = 120;

/// The ways through a pattern: one, and one for each combination of the alternatives of `$or`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub ways: Vec<Way>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub holds: bool,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Joined by dots.
    pub path: String,
    /// As the pattern has it.
    pub wanted: String,
    /// The first values that the event has there, as JSON; empty where it has none.
    pub found: Vec<String>,
    /// Whether this field would match alone.
    pub holds: bool,
}

impl Explanation {
    pub fn holds(&self) -> bool {
        self.ways.iter().any(|way| way.holds)
    }
}

impl Way {
    /// Whether every field would match alone, but not in one element of an array.
    pub fn is_torn(&self) -> bool {
        !self.holds && self.fields.iter().all(|field| field.holds)
    }
}

pub(super) fn explain(pattern: &Pattern, event: &Tree<'_>) -> Explanation {
    let walk = Walk { leaves: &pattern.leaves };
    let is_event = matches!(event, Tree::Object(_));
    let field = |part: &Part| {
        let mut found = Vec::new();
        gather(event, &part.path, &mut found);
        let wanted = pattern.leaves.get(part.leaf).map(|leaf| leaf.source.to_string()).unwrap_or_default();
        let holds = is_event && walk.matches(&Node::of([part]), event);
        Field { path: part.path.to_string(), wanted, found, holds }
    };
    let ways = pattern.nodes.iter().zip(&pattern.ways).map(|(node, parts)| Way {
        holds: is_event && walk.matches(node, event),
        fields: parts.iter().map(field).collect(),
    });
    Explanation { ways: ways.collect() }
}

/// The values at a path, however the dots in it are meant.
fn gather(value: &Tree<'_>, path: &str, found: &mut Vec<String>) {
    match value {
        _ if found.len() >= SHOWN => {}
        Tree::Array(elements) => elements.iter().for_each(|element| gather(element, path, found)),
        Tree::Object(object) => {
            for (name, value) in object.iter() {
                match path.strip_prefix(name) {
                    Some("") => leaf(value, found),
                    Some(rest) => rest.strip_prefix('.').into_iter().for_each(|rest| gather(value, rest, found)),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn leaf(value: &Tree<'_>, found: &mut Vec<String>) {
    let text = match value {
        _ if found.len() >= SHOWN => return,
        Tree::Array(elements) => return elements.iter().for_each(|element| leaf(element, found)),
        Tree::Object(_) => "{…}".to_owned(),
        Tree::Text(text) => format!("\"{}\"", printable(text, LONGEST)),
        Tree::Number(text) => printable(text, LONGEST),
        Tree::Bool(value) => value.to_string(),
        Tree::Null => "null".to_owned(),
    };
    found.push(text);
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, way) in self.ways.iter().enumerate() {
            if self.ways.len() > 1 {
                writeln!(f, "combination {}: {}", at + 1, if way.holds { "matches" } else { "does not match" })?;
            }
            for field in &way.fields {
                let found = if field.found.is_empty() { "nothing".to_owned() } else { field.found.join(", ") };
                let holds = if field.holds { "holds" } else { "fails" };
                writeln!(f, "{holds}: {} is to be {}, found {found}", field.path, field.wanted)?;
            }
            if way.is_torn() {
                writeln!(f, "each field holds, but not in one and the same element of an array")?;
            }
        }
        Ok(())
    }
}
