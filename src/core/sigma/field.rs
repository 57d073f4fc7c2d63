//! Fields of a record by their dotted names.

use crate::core::record::Parts;
use crate::core::tree::Tree;

/// The names on the way to a field, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field(Vec<String>);

impl Field {
    pub(super) fn parse(name: &str) -> Self {
        Self(name.split('.').map(str::to_owned).collect())
    }

    /// The first name; the whole, where it is the only one.
    pub(super) fn outermost(&self) -> Vec<String> {
        self.0.iter().take(1).cloned().collect()
    }

    pub(super) fn is_top(&self) -> bool {
        self.0.len() == 1
    }

    pub(super) fn parts(&self) -> Parts {
        Parts::at(&self.0)
    }

    /// Whether a value of the field is taken. On the way and at its end an array stands for its elements.
    pub(super) fn any<'r, 't>(&self, record: &'r Tree<'t>, takes: &mut dyn FnMut(&'r Tree<'t>) -> bool) -> bool {
        descend(record, &self.0, &mut |value| elements(value).any(&mut *takes))
    }

    /// Whether the field is there, with whatever value.
    pub(super) fn exists(&self, record: &Tree<'_>) -> bool {
        descend(record, &self.0, &mut |_| true)
    }
}

fn descend<'r, 't>(value: &'r Tree<'t>, path: &[String], end: &mut dyn FnMut(&'r Tree<'t>) -> bool) -> bool {
    let Some((name, rest)) = path.split_first() else { return end(value) };
    elements(value).any(|value| value.get(name).is_some_and(|value| descend(value, rest, end)))
}

fn elements<'r, 't>(value: &'r Tree<'t>) -> impl Iterator<Item = &'r Tree<'t>> {
    let (one, many) = match value {
        Tree::Array(values) => (None, values.as_slice()),
        value => (Some(value), &[][..]),
    };
    one.into_iter().chain(many)
}

/// A value that has a text: texts, numbers as written, booleans.
pub(super) fn text_of<'r>(value: &'r Tree<'_>) -> Option<&'r str> {
    match value {
        Tree::Text(text) => Some(text),
        Tree::Number(number) => Some(number),
        Tree::Bool(true) => Some("true"),
        Tree::Bool(false) => Some("false"),
        _ => None,
    }
}

/// Whether a text in it, however deep, is taken.
pub(super) fn any_text(value: &Tree<'_>, takes: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Tree::Array(values) => values.iter().any(|value| any_text(value, takes)),
        Tree::Object(object) => object.iter().any(|(_, value)| any_text(value, takes)),
        value => text_of(value).is_some_and(takes),
    }
}
