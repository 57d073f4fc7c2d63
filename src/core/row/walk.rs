//! Over a record's text once, as a strict parser, cutting out what has a column.

use super::{Around, Cut, EVENT_TIME, FIELDS, Field, Holds, Is, Place, RESOURCE, TOLD_BY, hint, leaf_place};
use crate::core::quoted;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A string that is written as it is, and one with something escaped.
    Plain,
    Escaped,
    Null,
    Other,
}

/// Cuts the JSON object up that a text begins with: appends its values to `cuts`, and says where it ends. None: there is none,
/// or none that is valid to its end; then nothing is appended.
pub fn cut(text: &str, cuts: &mut Vec<Cut>) -> Option<(usize, Around)> {
    let first = cuts.len();
    let mut walk = Walk { text, cuts, first, met: 0, twice: 0, around: Around::default() };
    let cut = walk.object(walk.blank(0), FIELDS).and_then(|(end, rest)| {
        walk.end(rest)?;
        Some((end, walk.around))
    });
    if cut.is_none() {
        cuts.truncate(first);
    }
    cut
}

/// Where the valid JSON value ends that a text begins with.
pub fn value_end(text: &str) -> Option<usize> {
    Walk { text, cuts: &mut Vec::new(), first: 0, met: 0, twice: 0, around: Around::default() }
        .value(0)
        .map(|(end, _)| end)
}

struct Walk<'a, 'c> {
    text: &'a str,
    cuts: &'c mut Vec<Cut>,
    /// Where those of this record begin.
    first: usize,
    /// A bit for each leaf that was met, and for those that were more than once.
    met: u64,
    twice: u64,
    around: Around,
}

impl<'a> Walk<'a, '_> {
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
    fn value(&self, start: usize) -> Option<(usize, Kind)> {
        let bytes = self.text.as_bytes();
        match bytes.get(start)? {
            b'"' => {
                let (quote, escaped) = quoted::valid(bytes, start)?;
                Some((quote + 1, if escaped { Kind::Escaped } else { Kind::Plain }))
            }
            b'{' | b'[' => Some((self.nested(start)?, Kind::Other)),
            b'n' => Some((self.word(start, "null")?, Kind::Null)),
            b't' => Some((self.word(start, "true")?, Kind::Other)),
            b'f' => Some((self.word(start, "false")?, Kind::Other)),
            _ => Some((self.number(start)?, Kind::Other)),
        }
    }

    fn word(&self, start: usize, word: &str) -> Option<usize> {
        self.text.as_bytes().get(start..)?.starts_with(word.as_bytes()).then_some(start + word.len())
    }

    fn digits(&self, start: usize) -> Option<usize> {
        let count = self.text.as_bytes().get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(start + count)
    }

    fn number(&self, start: usize) -> Option<usize> {
        let mut at = start + usize::from(self.byte(start) == Some(b'-'));
        let digits = self.digits(at)?;
        if self.byte(at) == Some(b'0') && digits > at + 1 {
            return None;
        }
        at = digits;
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            at += 1 + usize::from(matches!(self.byte(at + 1), Some(b'+' | b'-')));
            at = self.digits(at)?;
        }
        Some(at)
    }

    /// After the object or array that begins here.
    fn nested(&self, start: usize) -> Option<usize> {
        // a bit for each that is open: whether it is an object
        let (mut open, mut depth, mut at) = (0_u64, 0_u32, start);
        loop {
            at = match self.byte(at)? {
                bracket @ (b'{' | b'[') => {
                    if depth == u64::BITS {
                        return self.deep(start);
                    }
                    (open, depth) = (open << 1 | u64::from(bracket == b'{'), depth + 1);
                    let inner = self.blank(at + 1);
                    match self.byte(inner)? {
                        b'}' | b']' => inner,
                        b'"' if bracket == b'{' => {
                            at = self.named(inner)?;
                            continue;
                        }
                        _ if bracket == b'{' => return None,
                        _ => {
                            at = inner;
                            continue;
                        }
                    }
                }
                _ => self.blank(self.value(at)?.0),
            };
            while let closing @ (b'}' | b']') = self.byte(at)? {
                if (closing == b'}') != (open & 1 == 1) {
                    return None;
                }
                (open, depth) = (open >> 1, depth - 1);
                if depth == 0 {
                    return Some(at + 1);
                }
                at = self.blank(at + 1);
            }
            if self.byte(at)? != b',' {
                return None;
            }
            at = self.blank(at + 1);
            if open & 1 == 1 {
                at = self.named(at)?;
            }
        }
    }

    /// Where the value begins whose name begins here.
    fn named(&self, at: usize) -> Option<usize> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let colon = self.blank(quoted::valid(self.text.as_bytes(), at)?.0 + 1);
        (self.byte(colon)? == b':').then(|| self.blank(colon + 1))
    }

    /// As [`Self::nested`], for any depth.
    fn deep(&self, start: usize) -> Option<usize> {
        let mut values =
            serde_json::Deserializer::from_str(self.text.get(start..)?).into_iter::<serde::de::IgnoredAny>();
        values.next()?.ok()?;
        Some(start + values.byte_offset())
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
            if self.byte(at)? != b'"' {
                return None;
            }
            let (name_end, _) = quoted::valid(self.text.as_bytes(), at)?;
            let name = self.text.get(at + 1..name_end)?;
            let colon = self.blank(name_end + 1);
            if self.byte(colon)? != b':' {
                return None;
            }
            let value = self.blank(colon + 1);
            let end = each(self, at, name, value)?;
            at = self.blank(end);
            match self.byte(at)? {
                b',' => at = self.blank(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
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
                    let (end, kind) = walk.value(value)?;
                    walk.leaf(*number, value, end, kind)?;
                    return Some(end);
                }
                Some(Holds::Group(number, fields)) if walk.byte(value) == Some(b'{') => {
                    walk.around.groups |= 1 << number;
                    let (end, inner) = walk.object(value, fields)?;
                    if !inner.is_empty() {
                        push_member(&mut rest, &format!("\"{name}\":{{{inner}}}"));
                    }
                    return Some(end);
                }
                Some(Holds::Resources) if walk.byte(value) == Some(b'[') && !walk.around.has_resources => {
                    let (end, whole) = walk.list(value)?;
                    if !whole {
                        push_member(&mut rest, walk.text.get(begin..end)?);
                    }
                    return Some(end);
                }
                _ => {}
            }
            let (end, kind) = walk.value(value)?;
            if field.is_none() || kind != Kind::Null {
                push_member(&mut rest, walk.text.get(begin..end)?);
            }
            Some(end)
        })?;
        Some((end, rest))
    }

    fn leaf(&mut self, number: usize, start: usize, end: usize, kind: Kind) -> Option<()> {
        let bit = 1 << number;
        self.twice |= self.met & bit;
        self.met |= bit;
        self.push(leaf_place(number), start, end, kind)
    }

    /// A value between two places.
    fn push(&mut self, place: Place, start: usize, end: usize, kind: Kind) -> Option<()> {
        let (is, start, end) = match kind {
            Kind::Plain => (Is::InText, start + 1, end - 1),
            Kind::Other => (Is::InText, start, end),
            Kind::Null if self.twice == 0 => return Some(()),
            Kind::Null => (Is::Nothing, start, end),
            Kind::Escaped => {
                let raw = self.text.get(start..end)?;
                // half of a surrogate pair is no text
                let content = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
                return self.make(place, content);
            }
        };
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        self.cuts.push(Cut { place, is, start, end });
        Some(())
    }

    /// A value that does not stand in the text as it is.
    fn make(&mut self, place: Place, content: String) -> Option<()> {
        let made = &mut self.around.odd.get_or_insert_default().made;
        let number = u32::try_from(made.len()).ok()?;
        made.push(content);
        self.cuts.push(Cut { place, is: Is::Made, start: number, end: number });
        Some(())
    }

    /// The list of resources: where it ends, and whether the columns hold all of it.
    fn list(&mut self, at: usize) -> Option<(usize, bool)> {
        let mut whole = true;
        let mut at = self.blank(at + 1);
        self.around.has_resources = true;
        if self.byte(at)? == b']' {
            return Some((at + 1, whole));
        }
        loop {
            if self.byte(at)? == b'{' {
                let here = u32::try_from(at).ok()?;
                self.cuts.push(Cut { place: Place::Resource, is: Is::Nothing, start: here, end: here });
                let mut met = 0_u8;
                at = self.members(at, |walk, _, name, value| {
                    let (end, kind) = walk.value(value)?;
                    match RESOURCE.iter().zip(0_u8..).find(|(part, _)| **part == name) {
                        Some((_, part)) if met >> part & 1 == 0 => {
                            if kind != Kind::Null {
                                met |= 1 << part;
                                walk.push(Place::Part(part), value, end, kind)?;
                            }
                        }
                        _ => whole = false,
                    }
                    Some(end)
                })?;
            } else {
                at = self.value(at)?.0;
                whole = false;
            }
            at = self.blank(at);
            match self.byte(at)? {
                b',' => at = self.blank(at + 1),
                b']' => return Some((at + 1, whole)),
                _ => return None,
            }
        }
    }

    fn end(&mut self, rest: String) -> Option<()> {
        if self.twice != 0 {
            self.keep_last();
        }
        if rest.is_empty() {
            return Some(());
        }
        let rest = format!("{{{rest}}}");
        if rest.contains("timeWindow") && !self.has(EVENT_TIME) {
            self.stand_in(&rest)?;
        }
        self.around.odd.get_or_insert_default().rest = Some(rest);
        Some(())
    }

    /// Of members of one name the last one counts, for readers of JSON and here; what the earlier ones say stays in the text.
    fn keep_last(&mut self) {
        let mut seen = 0_u64;
        let all = self.cuts.split_off(self.first);
        let last = all.into_iter().rev().filter(|cut| {
            let Place::Leaf(number) = cut.place else { return true };
            let is_last = seen >> number & 1 == 0;
            seen |= 1 << number;
            is_last && cut.is != Is::Nothing
        });
        self.cuts.extend(last);
        if let Some(own) = self.cuts.get_mut(self.first..) {
            own.reverse();
        }
    }

    fn has(&self, leaf: usize) -> bool {
        self.cuts.iter().skip(self.first).any(|cut| cut.place == leaf_place(leaf))
    }

    /// What stands for time, id and account of an aggregated event, which has none of those members.
    fn stand_in(&mut self, rest: &str) -> Option<()> {
        let rest: serde_json::Value = serde_json::from_str(rest).unwrap_or_default();
        let start = rest.get("timeWindow").and_then(|window| window.get("windowStart"));
        let values = [start, rest.get("eventId"), rest.get("accountId")];
        for (leaf, value) in TOLD_BY.into_iter().zip(values) {
            if let (false, Some(value)) = (self.has(leaf), value.and_then(|value| value.as_str())) {
                self.make(leaf_place(leaf), value.to_owned())?;
            }
        }
        Some(())
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
