//! What an explanation of a matcher is made of.

use std::borrow::Cow;

use crate::core::printable;
use crate::core::tree::Tree;

/// Bytes of a value that an explanation shows.
const SHOWN: usize = 200;

/// A condition of a matcher, tried on a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<'m> {
    /// As its author wrote it.
    pub condition: Cow<'m, str>,
    pub held: bool,
    /// The value that decided, as JSON, cut where it is long; `None` where there was nothing.
    pub found: Option<String>,
}

/// A value as JSON, fit to print; of arrays and objects only how many they hold.
pub fn shown(value: &Tree<'_>) -> String {
    let text = match value {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(number) => (*number).to_owned(),
        Tree::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
        Tree::Array(values) => format!("[{}]", count(values.len(), "element")),
        Tree::Object(object) => format!("{{{}}}", count(object.iter().len(), "member")),
    };
    printable(&text, SHOWN)
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
