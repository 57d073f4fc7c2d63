//! One way through a pattern, held against an event.
//!
//! A field of an array is that of any of its elements, and fields below one array are those of one and the same element. A field
//! that may be missing is looked for in all elements as long as no field before it (by name) has settled for one.

use super::Part;
use super::item::Leaf;
use crate::core::tree::{Object, Tree};

/// The fields below one name. Leaves are counted through, a node's own one first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    leaf: Option<usize>,
    /// Sorted by name.
    children: Vec<(Box<str>, Node)>,
    /// How many leaves there are, this one's and those below.
    count: usize,
}

impl Node {
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p Part>) -> Self {
        let mut top = Self::default();
        for part in parts {
            top.insert(&part.path, part.leaf);
        }
        top
    }

    fn insert(&mut self, path: &str, leaf: usize) {
        self.count += 1;
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let at = match self.children.binary_search_by(|(own, _)| (**own).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, (name.into(), Self::default()));
                at
            }
        };
        let Some((_, child)) = self.children.get_mut(at) else { return };
        match rest {
            Some(rest) => child.insert(rest, leaf),
            None => {
                child.leaf = Some(leaf);
                child.count += 1;
            }
        }
    }
}

/// Names that one name of the event holds, joined by dots.
#[derive(Clone, Copy)]
struct Prefix<'p> {
    up: Option<&'p Prefix<'p>>,
    name: &'p str,
}

impl Prefix<'_> {
    fn rest<'n>(&self, full: &'n str) -> Option<&'n str> {
        let own = self.up.map_or(Some(full), |up| up.rest(full))?;
        own.strip_prefix(self.name)?.strip_prefix('.')
    }

    fn is_in(&self, object: &Object<'_>) -> bool {
        object.iter().any(|(full, _)| self.rest(full).is_some())
    }
}

fn find<'o, 't>(object: &'o Object<'t>, prefix: Option<&Prefix<'_>>, name: &str) -> Option<&'o Tree<'t>> {
    match prefix {
        None => object.get(name),
        Some(prefix) => object.iter().find(|(full, _)| prefix.rest(full) == Some(name)).map(|(_, value)| value),
    }
}

/// Which leaves of a node are still to be held against a value: those from a number on, counted through. `must`: the first of
/// them has to find a value.
#[derive(Clone, Copy)]
struct Open {
    from: usize,
    must: bool,
}

pub(super) struct Walk<'p> {
    pub leaves: &'p [Leaf],
}

impl Walk<'_> {
    pub fn matches(&self, node: &Node, event: &Tree<'_>) -> bool {
        self.holds(node, event, Open { from: 0, must: false })
    }

    fn leaf(&self, at: usize) -> Option<&Leaf> {
        self.leaves.get(at)
    }

    fn may_be_absent(&self, at: usize) -> bool {
        self.leaf(at).is_some_and(|leaf| leaf.absent)
    }

    fn holds(&self, node: &Node, value: &Tree<'_>, open: Open) -> bool {
        if open.from >= node.count {
            return true;
        }
        let own = node.leaf.filter(|_| open.from == 0);
        match value {
            Tree::Array(elements) => self.array(node, elements, open),
            Tree::Object(object) => match own {
                Some(leaf) => {
                    let rest = Open { from: 1, must: false };
                    !open.must && self.may_be_absent(leaf) && self.members(node, object, None, rest)
                }
                None => self.members(node, object, None, open),
            },
            scalar => {
                let taken = own.is_none_or(|leaf| self.leaf(leaf).is_some_and(|leaf| leaf.takes(scalar)));
                let below =
                    Open { from: open.from.max(usize::from(node.leaf.is_some())), must: open.must && own.is_none() };
                taken && self.missing(node, below)
            }
        }
    }

    /// Whether every open leaf may be absent.
    fn missing(&self, node: &Node, open: Open) -> bool {
        if open.from >= node.count {
            return true;
        }
        let own = node.leaf.filter(|_| open.from == 0).is_none_or(|leaf| self.may_be_absent(leaf));
        !open.must && own && each(node, open).all(|(_, child, open)| self.missing(child, open))
    }

    fn members(&self, node: &Node, object: &Object<'_>, prefix: Option<&Prefix<'_>>, open: Open) -> bool {
        each(node, open).all(|(name, child, open)| {
            let value = find(object, prefix, name);
            if value.is_some_and(|value| self.holds(child, value, open)) {
                return true;
            }
            let below = Prefix { up: prefix, name };
            if child.children.is_empty() || !below.is_in(object) {
                return value.is_none() && self.missing(child, open);
            }
            // a leaf of the same name has its value, if any, under the name without a dot
            let own = child.leaf.filter(|_| open.from == 0);
            let bare = own.is_none_or(|leaf| match value {
                Some(value) => self.alone(leaf, value),
                None => !open.must && self.may_be_absent(leaf),
            });
            let open = if own.is_some() { Open { from: 1, must: false } } else { open };
            bare && self.members(child, object, Some(&below), open)
        })
    }

    /// Whether a leaf takes a value, or any that is in an array.
    fn alone(&self, leaf: usize, value: &Tree<'_>) -> bool {
        match value {
            Tree::Array(elements) => elements.iter().any(|element| self.alone(leaf, element)),
            value => is_scalar(value) && self.leaf(leaf).is_some_and(|leaf| leaf.takes(value)),
        }
    }

    fn array(&self, node: &Node, elements: &[Tree<'_>], open: Open) -> bool {
        let absent = |at: &usize| {
            let leaf = leaf_at(node, *at);
            leaf.is_some_and(|leaf| self.may_be_absent(leaf))
                && !elements.iter().any(|element| occurs(node, *at, element))
        };
        let from = (open.from..node.count).find(|at| !absent(at)).unwrap_or(node.count);
        if from == node.count || (open.must && from > open.from) {
            return !open.must;
        }
        // a value that stands in the array itself ties the other fields to no element
        if let (Some(leaf), 0) = (node.leaf, from) {
            let taken = elements
                .iter()
                .any(|element| is_scalar(element) && self.leaf(leaf).is_some_and(|leaf| leaf.takes(element)));
            if taken && self.holds_all(node, elements) {
                return true;
            }
        }
        elements.iter().any(|element| !is_scalar(element) && self.holds(node, element, Open { from, must: true }))
    }

    /// All but the node's own leaf.
    fn holds_all(&self, node: &Node, elements: &[Tree<'_>]) -> bool {
        node.count == 1 || self.array(node, elements, Open { from: 1, must: false })
    }
}

fn is_scalar(value: &Tree<'_>) -> bool {
    !matches!(value, Tree::Array(_) | Tree::Object(_))
}

/// The children that have open leaves, each with its own count of them.
fn each(node: &Node, open: Open) -> impl Iterator<Item = (&str, &Node, Open)> {
    let mut before = usize::from(node.leaf.is_some());
    node.children.iter().filter_map(move |(name, child)| {
        let from = open.from.saturating_sub(before);
        let must = open.must && open.from >= before;
        before += child.count;
        (from < child.count).then_some((name.as_ref(), child, Open { from, must }))
    })
}

fn leaf_at(node: &Node, at: usize) -> Option<usize> {
    let own = usize::from(node.leaf.is_some());
    if at < own {
        return node.leaf;
    }
    let (child, at) = child_at(node, at)?;
    leaf_at(&child.1, at)
}

/// The child that a leaf is below, and its number there.
fn child_at(node: &Node, at: usize) -> Option<(&(Box<str>, Node), usize)> {
    let mut at = at.checked_sub(usize::from(node.leaf.is_some()))?;
    node.children.iter().find_map(|child| {
        let found = (at < child.1.count).then_some((child, at));
        at = at.saturating_sub(child.1.count);
        found
    })
}

/// Whether a leaf finds any value at all.
fn occurs(node: &Node, at: usize, value: &Tree<'_>) -> bool {
    let own = at == 0 && node.leaf.is_some();
    match value {
        Tree::Array(elements) => elements.iter().any(|element| occurs(node, at, element)),
        Tree::Object(object) => !own && occurs_below(node, at, object, None),
        _ => own,
    }
}

fn occurs_below(node: &Node, at: usize, object: &Object<'_>, prefix: Option<&Prefix<'_>>) -> bool {
    let Some(((name, child), at)) = child_at(node, at) else { return false };
    if find(object, prefix, name).is_some_and(|value| occurs(child, at, value)) {
        return true;
    }
    let below = Prefix { up: prefix, name };
    let own = at == 0 && child.leaf.is_some();
    !own && below.is_in(object) && occurs_below(child, at, object, Some(&below))
}
