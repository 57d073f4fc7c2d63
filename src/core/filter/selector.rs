//! What a selector finds in a record.

use crate::core::tree::Tree;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name`, `.['name']`
    Member(Box<str>),
    /// `[0]`
    Element(usize),
    /// `[*]`: of an array, and of an object too
    Elements,
    /// `.*`: of an object
    Members,
}

impl Step {
    pub(super) fn is_wild(&self) -> bool {
        matches!(self, Self::Elements | Self::Members)
    }
}

/// At most one of the steps is wild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(pub(super) Box<[Step]>);

impl Selector {
    /// The first value found that `takes` accepts.
    pub(super) fn find<'r, 't>(&self, record: &'r Tree<'t>, takes: &dyn Fn(&Tree<'t>) -> bool) -> Option<&'r Tree<'t>> {
        let wild = self.0.iter().position(Step::is_wild).unwrap_or(self.0.len());
        let (before, after) = self.0.split_at_checked(wild)?;
        let found = walk(record, before)?;
        let Some((step, rest)) = after.split_first() else { return Some(found).filter(|value| takes(value)) };
        let further = |value: &'r Tree<'t>| walk(value, rest).filter(|value| takes(value));
        match (step, found) {
            (Step::Elements, Tree::Array(values)) => values.iter().find_map(further),
            (_, Tree::Object(object)) => object.iter().find_map(|(_, value)| further(value)),
            _ => None,
        }
    }

    /// The names before the first step that is none: what is found lies there or below.
    pub(super) fn path(&self) -> Vec<String> {
        let name = |step: &Step| if let Step::Member(name) = step { Some(name.to_string()) } else { None };
        self.0.iter().map_while(name).collect()
    }

    /// Whether it names one field, by names alone.
    pub(super) fn is_plain(&self) -> bool {
        self.0.iter().all(|step| matches!(step, Step::Member(_)))
    }
}

fn walk<'r, 't>(value: &'r Tree<'t>, steps: &[Step]) -> Option<&'r Tree<'t>> {
    steps.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Member(name), value) => value.get(name),
        (Step::Element(index), Tree::Array(values)) => values.get(*index),
        _ => None,
    })
}
