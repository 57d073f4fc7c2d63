//! Clues: what the text of a record must have for a step to be about it. To look for one is cheaper than to read the record.

use std::cell::OnceCell;
use std::cmp::Reverse;

use aho_corasick::packed::Searcher;
use memchr::memchr_iter;
use memchr::memmem::Finder;

use crate::core::needs::Need;
use crate::core::record::{Member, Record};

/// Clues of one step that are looked for.
const MOST: usize = 3;
/// Texts that are shorter are in every record.
const SHORT: usize = 3;
const IDENTITY: &str = "userIdentity";

/// How characters are written that need not be: those that are looked for are all of ASCII.
pub(super) const ESCAPES: [&str; 2] = ["\\u00", "\\/"];
/// Bytes of a member in which escapes are looked for, and not in the whole record.
const LITTLE: usize = 40;

pub(super) fn has_escapes(text: &[u8]) -> bool {
    memchr_iter(b'\\', text)
        .any(|at| ESCAPES.iter().any(|escape| text.get(at..).is_some_and(|rest| rest.starts_with(escape.as_bytes()))))
}

/// A text, and where it must stand: in a member of the record, or anywhere. Without one, the member must be there.
#[derive(Debug)]
pub(super) struct Clue {
    member: Option<Member>,
    text: Option<Box<Finder<'static>>>,
}

/// The text of a record, in which texts may be written in other letters than they need be.
pub(super) struct Written<'r> {
    record: &'r Record<'r>,
    raw: &'r str,
    escapes: OnceCell<bool>,
}

impl<'r> Written<'r> {
    pub fn new(record: &'r Record<'_>, raw: &'r str) -> Self {
        Self { record, raw, escapes: OnceCell::new() }
    }

    /// Whether something is found in a member, or anywhere; or may be there, otherwise written.
    fn may_say(&self, member: Option<Member>, found: impl Fn(&[u8]) -> bool) -> bool {
        let text = match member {
            Some(member) => self.record.written(member).map(|raw| raw.get()),
            None => Some(self.raw),
        };
        text.is_some_and(|text| found(text.as_bytes()) || self.may_hide(text))
    }

    /// Whether a part of it may say what it does not look like.
    fn may_hide(&self, part: &str) -> bool {
        if part.len() <= LITTLE {
            return has_escapes(part.as_bytes());
        }
        *self.escapes.get_or_init(|| has_escapes(self.raw.as_bytes()))
    }
}

impl Clue {
    /// The clues of needs that the record's frame does not tell, the most telling first.
    pub fn of(needs: &[Need]) -> Box<[Self]> {
        const TOLD: &[&str] = &["eventName", "eventSource", "eventType", "eventTime"];
        let told = |path: &[String]| matches!(path, [name] if TOLD.contains(&name.as_str()));
        let mut clues: Vec<(Reverse<usize>, Self)> = Vec::new();
        for need in needs {
            let (Need::Equal(path, _) | Need::Alike(path, _) | Need::Part(path, _) | Need::Present(path)) = need;
            if !told(path) {
                clues.extend(Self::one(need, path));
            }
        }
        clues.sort_by_key(|(weight, _)| *weight);
        clues.into_iter().take(MOST).map(|(_, clue)| clue).collect()
    }

    /// With its weight.
    fn one(need: &Need, path: &[String]) -> Option<(Reverse<usize>, Self)> {
        let member = path.first().and_then(|name| Member::named(name));
        let text = match need {
            Need::Equal(_, value) | Need::Part(_, value) if value.len() > SHORT && is_plain(value) => Some(value),
            _ => None,
        };
        if let Some(text) = text {
            // what identities say of themselves is said by many
            let weight = if path.first().is_some_and(|name| name == IDENTITY) { 1 } else { text.len() };
            return Some((Reverse(weight), Self { member, text: Some(finder(text)) }));
        }
        if path.len() == 1 && member.is_some() {
            return Some((Reverse(0), Self { member, text: None }));
        }
        let name = path.last().filter(|name| is_plain(name))?;
        Some((Reverse(0), Self { member, text: Some(finder(&format!("\"{name}\""))) }))
    }

    pub fn member(&self) -> Option<Member> {
        self.member
    }

    /// The text that is looked for.
    pub fn needle(&self) -> Option<&[u8]> {
        self.text.as_ref().map(|finder| finder.needle())
    }

    pub fn is_in(&self, written: &Written<'_>) -> bool {
        let found = |text: &[u8]| self.text.as_ref().is_none_or(|finder| finder.find(text).is_some());
        written.may_say(self.member, found)
    }
}

/// Texts of which one must stand in a member of the record, or anywhere.
#[derive(Debug)]
pub(super) struct Gate {
    member: Option<Member>,
    texts: Searcher,
}

impl Gate {
    /// None: so many are not looked for together.
    pub fn new<'t>(member: Option<Member>, texts: impl Iterator<Item = &'t [u8]>) -> Option<Self> {
        Some(Self { member, texts: Searcher::new(texts)? })
    }

    pub fn is_open(&self, written: &Written<'_>) -> bool {
        written.may_say(self.member, |text| self.texts.find(text).is_some())
    }
}

fn finder(text: &str) -> Box<Finder<'static>> {
    Box::new(Finder::new(text).into_owned())
}

/// A text that no writer of JSON need write otherwise, except as in [`ESCAPES`].
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}
