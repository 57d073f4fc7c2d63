//! All rules as one structure, which is asked for each record which of them it may be about.
//!
//! A matcher says what a record must have; it is filed under the most telling part of that. Most records are about no rule, and
//! cost two looks into a table; only what may be about one is read as a tree.

use std::cell::LazyCell;

use aho_corasick::packed::Searcher;
use memchr::memmem::Finder;

use super::bin::{Bin, Entry};
use super::clue::{Clue, ESCAPES, Written, has_escapes, is_plain};
use super::hits::Seen;
use super::table::Table;
use super::{Field, Hits, Rule, Scene};
use crate::core::needs::Need;
use crate::core::record::{Parts, Record};

/// Different texts that an identity is searched for.
const IDENTITIES: usize = 16;

/// Rules, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    steps: Vec<Step>,
    by_name: Table<Bin>,
    /// Services that rules are about, each with its number, counted from one, and with what is about nothing else of it.
    by_source: Table<(u32, Bin)>,
    /// Of records with an `errorCode`.
    of_errors: Bin,
    /// Of records whose identity has a text in it.
    by_identity: Vec<(Finder<'static>, Bin)>,
    /// Whether it has any of these, in whatever letters.
    in_identity: Option<Searcher>,
    of_all: Bin,
}

/// A step of a rule, and what is read of a record to ask whether it is one, and to count it: most that are asked are.
#[derive(Debug)]
struct Step {
    rule: u32,
    step: u32,
    parts: Parts,
}

/// What an alternative of a matcher's needs is filed under.
enum Key<'n> {
    Name(&'n str),
    Source(&'n str),
    Error,
    /// A text that stands in the identity, as it is written.
    Identity(&'n str),
    All,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Rules {}

impl Rules {
    pub fn compile(mut rules: Vec<Rule>) -> Self {
        rules.shrink_to_fit();
        let mut compiled = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            let counted: Parts = rule.group.iter().chain(&rule.distinct).map(Field::parts).collect();
            for (step, matcher) in rule.steps().enumerate() {
                let (id, parts) = (index(compiled.steps.len()), matcher.parts() | counted);
                compiled.steps.push(Step { rule: index(number), step: index(step), parts });
                matcher.needs().alternatives().for_each(|needs| compiled.file(id, needs));
            }
        }
        compiled.bins().for_each(Bin::close);
        compiled.steps.shrink_to_fit();
        let texts: Vec<&[u8]> = compiled.by_identity.iter().map(|(finder, _)| finder.needle()).collect();
        // to look for so short a text as an escaped slash makes the search slower
        let has_slash = texts.iter().any(|text| text.contains(&b'/'));
        let escapes = ESCAPES.iter().take(1 + usize::from(has_slash)).map(|escape| escape.as_bytes());
        compiled.in_identity = Searcher::new(texts.iter().copied().chain(escapes));
        Self { rules, ..compiled }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    pub fn get(&self, number: usize) -> Option<&Rule> {
        self.rules.get(number)
    }

    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    fn bins(&mut self) -> impl Iterator<Item = &mut Bin> {
        let by_identity = self.by_identity.iter_mut().map(|(_, bin)| bin);
        let by_source = self.by_source.values_mut().map(|(_, bin)| bin);
        self.by_name.values_mut().chain(by_source).chain(by_identity).chain([&mut self.of_errors, &mut self.of_all])
    }

    fn file(&mut self, step: u32, needs: &[Need]) {
        let key = key(needs);
        let source = equal(needs, &["eventSource"]).map_or(0, |name| self.service(name));
        let entry = Entry { step, source, clues: Clue::of(needs) };
        let place = match key {
            Key::Name(name) => self.by_name.entry(name),
            Key::Source(source) => &mut self.by_source.entry(source).1,
            Key::Error => &mut self.of_errors,
            Key::Identity(text) => self.identity(text),
            Key::All => &mut self.of_all,
        };
        place.push(entry);
    }

    fn service(&mut self, name: &str) -> u32 {
        let next = index(self.by_source.len()) + 1;
        let (number, _) = self.by_source.entry(name);
        if *number == 0 {
            *number = next;
        }
        *number
    }

    fn identity(&mut self, text: &str) -> &mut Bin {
        let known = self.by_identity.iter().position(|(finder, _)| finder.needle() == text.as_bytes());
        let at = known.unwrap_or(self.by_identity.len());
        if known.is_none() && at < IDENTITIES {
            self.by_identity.push((Finder::new(text).into_owned(), Bin::default()));
        }
        self.by_identity.get_mut(at).map_or(&mut self.of_all, |(_, bin)| bin)
    }

    /// Asks all rules about a record. `raw` is the text that it was read from, and no deeper than a record may be.
    pub fn look(&self, record: &Record<'_>, raw: &str, hits: &mut Hits) {
        let mut wanted = std::mem::take(&mut hits.wanted);
        wanted.clear();
        self.candidates(record, raw, &mut wanted);
        if !wanted.is_empty() {
            wanted.sort_unstable();
            wanted.dedup();
            self.judge(&wanted, record, raw, hits);
        }
        hits.wanted = wanted;
    }

    /// Steps that may match a record; a step that is none of these does not.
    fn candidates(&self, record: &Record<'_>, raw: &str, wanted: &mut Vec<u32>) {
        let of_source = record.event_source.as_deref().and_then(|name| self.by_source.get(name));
        let source = of_source.map_or(0, |(number, _)| *number);
        let written = Written::new(record, raw);
        let mut take = |bin: &Bin| bin.take(source, &written, wanted);
        if let Some(bin) = record.event_name.as_deref().and_then(|name| self.by_name.get(name)) {
            take(bin);
        }
        if let Some((_, bin)) = of_source {
            take(bin);
        }
        if record.error_code.is_some() {
            take(&self.of_errors);
        }
        let identity = record.user_identity.map(|raw| raw.get().as_bytes());
        if let Some(text) = identity.filter(|text| self.in_identity.as_ref().is_none_or(|any| any.find(text).is_some()))
        {
            let has_escapes = LazyCell::new(|| has_escapes(text));
            for (part, bin) in &self.by_identity {
                if part.find(text).is_some() || *has_escapes {
                    take(bin);
                }
            }
        }
        take(&self.of_all);
    }

    fn judge(&self, wanted: &[u32], record: &Record<'_>, raw: &str, hits: &mut Hits) {
        let steps = wanted.iter().filter_map(|number| self.steps.get(*number as usize));
        let steps = steps.filter_map(|step| {
            let rule = self.rules.get(step.rule as usize)?;
            Some((step, rule, rule.steps().nth(step.step as usize)?))
        });
        let parts: Parts = steps.clone().map(|(step, ..)| step.parts).collect();
        let Some(tree) = record.tree(raw, parts) else { return };
        let scene = match steps.clone().any(|(.., matcher)| matcher.wants_event()) {
            true => Scene::event(tree, record.account()),
            false => Scene::record(tree),
        };
        let seen = Seen::new(record, raw, scene.tree());
        for (step, rule, matcher) in steps {
            if matcher.takes(&scene) {
                hits.add((step.rule as usize, rule), step.step as usize, &seen);
            }
        }
    }
}

/// Of what there are never so many.
fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn is_at(path: &[String], names: &[&str]) -> bool {
    path.iter().map(String::as_str).eq(names.iter().copied())
}

/// The text that a path must have, perhaps in other letters.
fn equal<'n>(needs: &'n [Need], names: &[&str]) -> Option<&'n str> {
    needs.iter().find_map(|need| match need {
        Need::Equal(path, value) | Need::Alike(path, value) if is_at(path, names) => Some(value.as_str()),
        _ => None,
    })
}

fn key(needs: &[Need]) -> Key<'_> {
    let identity = || {
        needs.iter().find_map(|need| match need {
            Need::Equal(path, text) | Need::Part(path, text)
                if path.first().is_some_and(|name| name == "userIdentity") && text.len() > 2 && is_plain(text) =>
            {
                Some(text.as_str())
            }
            _ => None,
        })
    };
    let has_error = || {
        needs.iter().any(|need| {
            let (Need::Equal(path, _) | Need::Alike(path, _) | Need::Part(path, _) | Need::Present(path)) = need;
            is_at(path, &["errorCode"])
        })
    };
    if let Some(name) = equal(needs, &["eventName"]) {
        Key::Name(name)
    } else if has_error() {
        Key::Error
    } else if let Some(text) = identity() {
        Key::Identity(text)
    } else if let Some(source) = equal(needs, &["eventSource"]) {
        Key::Source(source)
    } else {
        Key::All
    }
}
