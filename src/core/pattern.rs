//! Event patterns of Amazon EventBridge, with the answers of EventBridge, matched against the envelope that it would have made of a
//! record ([`envelope`](super::envelope)). The language, its surprises and its refusals: `docs/rules.md`.
//!
//! A pattern is compiled into its *ways*, the alternatives of every `$or` multiplied out. A way is a tree of names whose leaves are
//! lists of values. To match it costs at most the size of the event times the leaves times the depth of arrays in one another, and
//! allocates nothing.

mod address;
mod compile;
mod explain;
mod item;
mod list;
mod needs;
mod number;
mod read;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use std::fmt;

pub use explain::{Explanation, Field, Way};

use crate::core::needs::Needs;
use crate::core::record::Parts;
use crate::core::tree::Tree;
use item::Leaf;
use walk::{Node, Walk};

#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    nodes: Box<[Node]>,
    /// What the nodes were made of; as many.
    ways: Box<[Box<[Part]>]>,
    leaves: Box<[Leaf]>,
    remarks: Vec<String>,
}

/// A field, its path joined by dots, and the list of what it may be.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    path: Box<str>,
    leaf: usize,
}

/// Where a pattern is wrong, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A byte of the pattern.
    pub at: usize,
    /// From 1, as is the column, which counts characters.
    pub line: usize,
    pub column: usize,
    /// A JSON pointer; empty where the JSON itself is broken, or the whole is meant.
    pub pointer: String,
    pub says: String,
}

impl Fault {
    fn new(text: &str, at: usize, pointer: String, says: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { at, line, column, pointer, says }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.pointer.is_empty() {
            write!(f, " ({})", self.pointer)?;
        }
        write!(f, ": {}", self.says)
    }
}

impl std::error::Error for Fault {}

impl Pattern {
    /// Refuses what EventBridge refuses.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        compile::compile(text)
    }

    /// `event`: the envelope, not the bare record.
    pub fn matches(&self, event: &Tree<'_>) -> bool {
        let walk = Walk { leaves: &self.leaves };
        matches!(event, Tree::Object(_)) && self.nodes.iter().any(|node| walk.matches(node, event))
    }

    /// What a record must have for its envelope to match.
    pub fn needs(&self) -> Needs {
        needs::of(self)
    }

    /// What it reads of the record, to match the record's envelope.
    pub fn parts(&self) -> Parts {
        needs::parts(self)
    }

    /// What EventBridge takes without a word though it hardly means what it looks like; one sentence each.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Field by field, what was wanted, what was there and which of it held.
    pub fn explain(&self, event: &Tree<'_>) -> Explanation {
        explain::explain(self, event)
    }
}
