//! Over a record's text once, cutting out what has a column.

use std::borrow::Cow;

use super::{
    CUT_RESOURCES, FIELDS, Field, GROUPS, Holds, LEAF_MARK, RESOURCE, RESOURCE_MARK, Resource, Row, hint, mark,
};
use crate::core::quoted;

/// A value that is cut out of the text, and the two characters that mark its place.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub start: usize,
    pub end: usize,
    pub mark: char,
    pub number: char,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    /// A string that is written as it is, and one with something escaped.
    Plain,
    Escaped,
    Null,
    Other,
}

/// Values that a record has, as a rule: what there is room for at first.
const USUAL: usize = 40;

/// Cuts a record up. `text` is a JSON object, as a parser found it.
pub fn shred(text: &str) -> Row<'_> {
    let mut walk = Walk::new(text);
    walk.leaves.reserve(USUAL);
    walk.holes.reserve(USUAL);
    let Some((_, rest)) = walk.object(walk.blank(0), FIELDS) else {
        // no object after all: kept as it is
        return Row {
            text,
            leaves: Vec::new(),
            groups: [false; GROUPS],
            resources: None,
            rest: None,
            holes: Vec::new(),
        };
    };
    let rest = (!rest.is_empty()).then(|| format!("{{{rest}}}"));
    Row { text, leaves: walk.leaves, groups: walk.groups, resources: walk.resources, rest, holes: walk.holes }
}

struct Walk<'a> {
    text: &'a str,
    leaves: Vec<(usize, Cow<'a, str>)>,
    /// A bit for each leaf that was met.
    met: u64,
    groups: [bool; GROUPS],
    resources: Option<Vec<Resource<'a>>>,
    holes: Vec<Hole>,
}

/// The values of some members of a record itself, as the columns have them.
pub fn members<'a, const N: usize>(text: &'a str, names: [&str; N]) -> [Option<Cow<'a, str>>; N] {
    let (mut walk, mut values) = (Walk::new(text), [const { None }; N]);
    let _ = walk.members(walk.blank(0), |walk, _, name, value| {
        let (end, is) = walk.value(value)?;
        if let Some(slot) = names.iter().zip(&mut values).find_map(|(own, slot)| (*own == name).then_some(slot)) {
            *slot = walk.content(value, end, is);
        }
        Some(end)
    });
    values
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, leaves: Vec::new(), met: 0, groups: [false; GROUPS], resources: None, holes: Vec::new() }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The next place that is not blank.
    fn blank(&self, at: usize) -> usize {
        let mut at = at;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// Where the value that begins here ends, and what it is.
    fn value(&self, start: usize) -> Option<(usize, Is)> {
        let bytes = self.text.as_bytes();
        Some(match bytes.get(start)? {
            b'"' => {
                let (quote, escaped) = quoted::end(bytes, start)?;
                (quote + 1, if escaped { Is::Escaped } else { Is::Plain })
            }
            b'{' | b'[' => (quoted::nested(bytes, start)?, Is::Other),
            _ => {
                let length = bytes.get(start..)?.iter().take_while(|byte| !b",}] \t\n\r".contains(byte)).count();
                let word = bytes.get(start..start + length).filter(|word| !word.is_empty())?;
                (start + length, if word == b"null" { Is::Null } else { Is::Other })
            }
        })
    }

    /// The members of the object that begins here: for each, where its name begins, the name, and where its value does; the
    /// caller says where that ends. Answers where the object ends.
    fn members(
        &mut self,
        at: usize,
        mut each: impl FnMut(&mut Self, usize, &'a str, usize) -> Option<usize>,
    ) -> Option<usize> {
        if self.byte(at)? != b'{' {
            return None;
        }
        let mut at = self.blank(at + 1);
        if self.byte(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            let (name_end, _) = quoted::end(self.text.as_bytes(), at)?;
            let name = self.text.get(at + 1..name_end)?;
            let colon = self.blank(name_end + 1);
            let value = self.blank(colon + 1);
            let end = each(self, at, name, value)?;
            at = self.blank(end);
            match self.byte(at)? {
                b',' => at = self.blank(at + 1),
                _ => return Some(at + 1),
            }
        }
    }

    /// An object of which some members have columns: where it ends, and the others as they are written.
    fn object(&mut self, at: usize, fields: &'static [Field]) -> Option<(usize, String)> {
        let (mut rest, mut next) = (String::new(), 0);
        let end = self.members(at, |walk, begin, name, value| {
            let position = position(fields, next, name);
            next = position.map_or(next, |position| position + 1);
            let field = position.and_then(|position| fields.get(position));
            match field.map(|field| &field.holds) {
                Some(Holds::Leaf(number)) => {
                    let (end, is) = walk.value(value)?;
                    walk.leaf(*number, value, end, is);
                    return Some(end);
                }
                Some(Holds::Group(number, fields)) if walk.byte(value) == Some(b'{') => {
                    if let Some(there) = walk.groups.get_mut(*number) {
                        *there = true;
                    }
                    let (end, inner) = walk.object(value, fields)?;
                    if !inner.is_empty() {
                        push_member(&mut rest, &format!("\"{name}\":{{{inner}}}"));
                    }
                    return Some(end);
                }
                Some(Holds::Resources) if walk.byte(value) == Some(b'[') && walk.resources.is_none() => {
                    let (end, whole) = walk.list(value)?;
                    if !whole {
                        push_member(&mut rest, walk.text.get(begin..end)?);
                    }
                    return Some(end);
                }
                _ => {}
            }
            let (end, is) = walk.value(value)?;
            if field.is_none() || is != Is::Null {
                push_member(&mut rest, walk.text.get(begin..end)?);
            }
            Some(end)
        })?;
        Some((end, rest))
    }

    /// Of members of one name the last one counts, for readers of JSON and here.
    fn leaf(&mut self, number: usize, start: usize, end: usize, is: Is) {
        let mark = mark(number);
        if self.met & 1 << number != 0 {
            self.leaves.retain(|(own, _)| *own != number);
            // what was cut out for the earlier one stays in the text
            self.holes.retain(|hole| (hole.mark, hole.number) != (LEAF_MARK, mark));
        }
        self.met |= 1 << number;
        if let Some(content) = self.content(start, end, is) {
            self.leaves.push((number, content));
            self.cut(start, end, is, (LEAF_MARK, mark));
        }
    }

    /// What a column gets of a value.
    fn content(&self, start: usize, end: usize, is: Is) -> Option<Cow<'a, str>> {
        match is {
            Is::Null => None,
            Is::Plain => self.text.get(start + 1..end - 1).map(Cow::Borrowed),
            Is::Other => self.text.get(start..end).map(Cow::Borrowed),
            Is::Escaped => {
                let raw = self.text.get(start..end)?;
                // half of a surrogate pair is no text
                Some(serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned))
            }
        }
    }

    /// Cuts a value's content out of the text, if it stands there as it is.
    fn cut(&mut self, start: usize, end: usize, is: Is, (mark, number): (char, char)) {
        let (start, end) = match is {
            Is::Null | Is::Escaped => return,
            Is::Plain => (start + 1, end - 1),
            Is::Other => (start, end),
        };
        self.holes.push(Hole { start, end, mark, number });
    }

    /// The list of resources: where it ends, and whether the columns hold all of it.
    fn list(&mut self, at: usize) -> Option<(usize, bool)> {
        let (mut resources, mut whole) = (Vec::new(), true);
        let mut at = self.blank(at + 1);
        while self.byte(at)? != b']' {
            if self.byte(at)? == b'{' {
                let number = resources.len();
                let mut resource: Resource<'a> = Default::default();
                at = self.members(at, |walk, _, name, value| {
                    let (end, is) = walk.value(value)?;
                    match RESOURCE.iter().position(|part| *part == name) {
                        Some(part) if resource.get(part).is_some_and(Option::is_none) => {
                            resource[part] = walk.content(value, end, is);
                            if number < CUT_RESOURCES {
                                walk.cut(value, end, is, (RESOURCE_MARK, mark(number * RESOURCE.len() + part)));
                            }
                        }
                        _ => whole = false,
                    }
                    Some(end)
                })?;
                resources.push(resource);
            } else {
                at = self.value(at)?.0;
                whole = false;
            }
            at = self.blank(at);
            if self.byte(at)? == b',' {
                at = self.blank(at + 1);
            }
        }
        self.resources = Some(resources);
        Some((at + 1, whole))
    }
}

/// Where the field of a name is; looked for after the last one first, as most services write members in the same order.
fn position(fields: &[Field], next: usize, name: &str) -> Option<usize> {
    let (before, after) = fields.split_at_checked(next)?;
    let hint = hint(name);
    let is_named = |field: &Field| field.hint == hint && field.json == name;
    after.iter().position(is_named).map(|at| next + at).or_else(|| before.iter().position(is_named))
}

fn push_member(members: &mut String, member: &str) {
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(member);
}
