//! Over a record's text once, cutting out what has a column.

use std::borrow::Cow;

use super::{
    CUT_RESOURCES, FIELDS, Field, GROUPS, Holds, LEAF_MARK, LEAVES, RESOURCE, RESOURCE_MARK, Resource, Row, ZERO,
};
use crate::core::quoted;

/// A value that is cut out of the text.
struct Hole {
    start: usize,
    end: usize,
    mark: char,
    number: u8,
}

/// Cuts a record up. `text` is a JSON object, as a parser found it.
pub fn shred(text: &str) -> Row<'_> {
    let mut walk = Walk::new(text);
    walk.holes.reserve(48);
    let Some((_, rest)) = walk.object(walk.blank(0), FIELDS) else {
        // no object after all: kept as it is
        let leaves = [const { None }; LEAVES];
        return Row { leaves, groups: [false; GROUPS], resources: None, rest: None, shape: text.to_owned() };
    };
    let shape = walk.shape();
    let rest = (!rest.is_empty()).then(|| format!("{{{rest}}}"));
    Row { leaves: walk.leaves, groups: walk.groups, resources: walk.resources, rest, shape }
}

struct Walk<'a> {
    text: &'a str,
    leaves: [Option<Cow<'a, str>>; LEAVES],
    groups: [bool; GROUPS],
    resources: Option<Vec<Resource<'a>>>,
    holes: Vec<Hole>,
    /// The hole of each leaf.
    cut: [Option<usize>; LEAVES],
}

/// The values of some members of a record itself, as the columns have them.
pub fn members<'a, const N: usize>(text: &'a str, names: [&str; N]) -> [Option<Cow<'a, str>>; N] {
    let (mut walk, mut values) = (Walk::new(text), [const { None }; N]);
    let _ = walk.members(walk.blank(0), |walk, _, name, value| {
        let end = walk.value_end(value)?;
        if let Some(slot) = names.iter().zip(&mut values).find_map(|(own, slot)| (*own == name).then_some(slot)) {
            *slot = walk.value(value, end).0;
        }
        Some(end)
    });
    values
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            leaves: [const { None }; LEAVES],
            groups: [false; GROUPS],
            resources: None,
            holes: Vec::new(),
            cut: [None; LEAVES],
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The next place that is not blank.
    fn blank(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
    }

    /// After a string that begins here.
    fn string_end(&self, at: usize) -> Option<usize> {
        quoted::end(self.text.as_bytes(), at).map(|(end, _)| end + 1)
    }

    /// After a value that begins here.
    fn value_end(&self, start: usize) -> Option<usize> {
        let (mut at, mut depth) = (start, 0_usize);
        loop {
            match self.byte(at) {
                Some(b'"') => at = self.string_end(at)?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    at += 1;
                }
                Some(b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r') | None if depth == 0 => {
                    return (at > start).then_some(at);
                }
                Some(_) => at += 1,
                None => return None,
            }
            if depth == 0 && matches!(self.byte(start), Some(b'"' | b'{' | b'[')) {
                return Some(at);
            }
        }
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
            let name_end = self.string_end(at)?;
            let name = self.text.get(at + 1..name_end - 1)?;
            let colon = self.blank(name_end);
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
            // most services write members in the same order
            let order = fields.iter().enumerate().skip(next).chain(fields.iter().enumerate().take(next));
            let field = order.into_iter().find(|(_, field)| field.json == name);
            if let Some((position, _)) = field {
                next = position + 1;
            }
            match field.map(|(_, field)| &field.holds) {
                Some(Holds::Leaf(number)) => {
                    let end = walk.value_end(value)?;
                    walk.leaf(*number, value, end);
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
            let end = walk.value_end(value)?;
            let is_null = walk.text.get(value..end) == Some("null");
            if field.is_none() || !is_null {
                push_member(&mut rest, walk.text.get(begin..end)?);
            }
            Some(end)
        })?;
        Some((end, rest))
    }

    /// Of members of one name the last one counts, for readers of JSON and here.
    fn leaf(&mut self, number: usize, start: usize, end: usize) {
        let (value, hole) = self.value(start, end);
        let earlier = self.cut.get(number).copied().flatten();
        if let Some(hole) = earlier.and_then(|at| self.holes.get_mut(at)) {
            // what was cut out for the earlier one stays in the text
            hole.end = hole.start;
            hole.mark = '\0';
        }
        let cut = hole.map(|(start, end)| {
            let number = u8::try_from(number).unwrap_or(0) + ZERO;
            self.holes.push(Hole { start, end, mark: LEAF_MARK, number });
            self.holes.len() - 1
        });
        if let (Some(slot), Some(place)) = (self.leaves.get_mut(number), self.cut.get_mut(number)) {
            (*slot, *place) = (value, cut);
        }
    }

    /// What a column gets of a value, and what of the text that is, if it stands there as it is.
    fn value(&self, start: usize, end: usize) -> (Option<Cow<'a, str>>, Option<(usize, usize)>) {
        let raw = self.text.get(start..end).unwrap_or_default();
        let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else {
            return if raw == "null" { (None, None) } else { (Some(raw.into()), Some((start, end))) };
        };
        if !inner.contains('\\') {
            return (Some(inner.into()), Some((start + 1, end - 1)));
        }
        // half of a surrogate pair is no text
        let content = serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned);
        (Some(content), None)
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
                    let end = walk.value_end(value)?;
                    match RESOURCE.iter().position(|part| *part == name) {
                        Some(part) if resource.get(part).is_some_and(Option::is_none) => {
                            resource[part] = walk.part(number, part, value, end);
                        }
                        _ => whole = false,
                    }
                    Some(end)
                })?;
                resources.push(resource);
            } else {
                at = self.value_end(at)?;
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

    fn part(&mut self, resource: usize, part: usize, start: usize, end: usize) -> Option<Cow<'a, str>> {
        let (value, hole) = self.value(start, end);
        if let (Some((start, end)), true) = (hole, resource < CUT_RESOURCES) {
            let number = u8::try_from(resource * RESOURCE.len() + part).unwrap_or(0) + ZERO;
            self.holes.push(Hole { start, end, mark: RESOURCE_MARK, number });
        }
        value
    }

    fn shape(&self) -> String {
        let cut: usize = self.holes.iter().map(|hole| hole.end - hole.start).sum();
        let mut shape = String::with_capacity(self.text.len() - cut + 2 * self.holes.len());
        let mut at = 0;
        for hole in self.holes.iter().filter(|hole| hole.mark != '\0') {
            shape.push_str(self.text.get(at..hole.start).unwrap_or_default());
            shape.push(hole.mark);
            shape.push(char::from(hole.number));
            at = hole.end;
        }
        shape.push_str(self.text.get(at..).unwrap_or_default());
        shape
    }
}

fn push_member(members: &mut String, member: &str) {
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(member);
}
