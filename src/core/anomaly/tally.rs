//! What a log file comes to: how often what was called in which minute by whom, and which names it has. Kept with the log, and
//! folded into what is known of the account a moment later.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use super::call::{Call, NONE};
use super::{Aspect, Plan};
use crate::core::record::Record;

/// Different calls of a file that are told apart by who called and how; of more only what was called.
const MOST: usize = 2_000;
/// Of more than this only how many there were.
const MOST_AT_ALL: usize = 2 * MOST;
const MOST_TEXTS: usize = 16_000;
/// Names of a file that an account may never have seen.
const MOST_NAMES: usize = 2_000;
/// Bytes of a principal or an agent, and of any other text.
const SHORT: usize = 256;
const LONG: usize = 2_048;
/// What stands for principals and agents that are not told apart any more.
const MANY: &str = "many";

/// Texts have numbers: a file says the same few over and over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    texts: Vec<Box<str>>,
    calls: Vec<(Numbers, u32)>,
    names: Vec<(Aspect, u32, Numbers)>,
    /// Calls that were too many.
    pub left_out: u32,
}

/// Of region, source, name, error (which may be empty), principal and agent; the minute, and whether it writes.
type Numbers = ([u32; 6], u32, bool);

/// Calls of one minute that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'t> {
    pub region: &'t str,
    pub source: &'t str,
    pub name: &'t str,
    /// `errorCode`, or nothing.
    pub error: &'t str,
    pub principal: &'t str,
    pub agent: &'t str,
    pub is_write: bool,
    pub minute: u32,
    pub count: u32,
}

impl<'t> Counted<'t> {
    /// What a series observes: principal, agent and error.
    pub fn attributes(&self) -> [&'t str; 3] {
        [self.principal, self.agent, if self.error.is_empty() { NONE } else { self.error }]
    }
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.names.is_empty() && self.left_out == 0
    }

    pub fn calls(&self) -> impl Iterator<Item = Counted<'_>> {
        self.calls.iter().map(|(numbers, count)| self.counted(numbers, *count))
    }

    /// Names, each with the first call that had it.
    pub fn names(&self) -> impl Iterator<Item = (Aspect, &str, Counted<'_>)> {
        self.names.iter().map(|(aspect, name, call)| (*aspect, self.text(*name), self.counted(call, 1)))
    }

    fn counted(
        &self,
        ([region, source, name, error, principal, agent], minute, is_write): &Numbers,
        count: u32,
    ) -> Counted<'_> {
        let [region, source, name, error, principal, agent] =
            [region, source, name, error, principal, agent].map(|number| self.text(*number));
        Counted { region, source, name, error, principal, agent, is_write: *is_write, minute: *minute, count }
    }

    fn text(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|number| self.texts.get(number)).map_or("", |text| text)
    }
}

/// A tally in the making.
#[derive(Debug, Default)]
pub struct Tallying {
    texts: HashMap<Box<str>, u32>,
    calls: HashMap<Numbers, u32>,
    names: HashMap<(Aspect, u32), Numbers>,
    left_out: u32,
}

impl Tallying {
    /// Takes a record in, if a plan is about it. `raw` is the text that it was read from.
    pub fn look(&mut self, record: &Record<'_>, raw: &str, plan: &Plan) {
        let Some(call) = Call::of(record, raw) else { return };
        let is_counted = plan.call_rate && call.is_write || plan.error_rate && call.error.is_some();
        if is_counted {
            self.count(&call);
        }
        for aspect in &plan.never_seen {
            self.meet(*aspect, &call);
        }
    }

    fn count(&mut self, call: &Call<'_>) {
        let (is_full, has_room) = (self.calls.len() >= MOST, self.calls.len() < MOST_AT_ALL);
        let known = self.numbers(call, is_full).map(|numbers| self.calls.entry(numbers));
        match known {
            Some(Entry::Occupied(mut known)) => *known.get_mut() = known.get().saturating_add(1),
            Some(Entry::Vacant(place)) if has_room => _ = place.insert(1),
            _ => self.left_out = self.left_out.saturating_add(1),
        }
    }

    fn meet(&mut self, aspect: Aspect, call: &Call<'_>) {
        if self.names.len() >= MOST_NAMES {
            return;
        }
        let number = call.named(aspect).and_then(|name| self.number(&name, LONG));
        let Some(number) = number.filter(|number| !self.names.contains_key(&(aspect, *number))) else { return };
        if let Some(numbers) = self.numbers(call, false) {
            self.names.insert((aspect, number), numbers);
        }
    }

    fn numbers(&mut self, call: &Call<'_>, is_full: bool) -> Option<Numbers> {
        let (principal, agent) = if is_full { (MANY.into(), MANY.into()) } else { (call.principal(), call.agent()) };
        let error = call.error.as_deref().unwrap_or_default();
        let mut numbers = [0; 6];
        let texts = [call.region, call.source, call.name, error, &*principal, &*agent];
        for (number, text) in numbers.iter_mut().zip(texts) {
            *number = self.number(text, SHORT)?;
        }
        Some((numbers, call.minute, call.is_write))
    }

    /// `None` where there is no room for another text.
    fn number(&mut self, text: &str, most: usize) -> Option<u32> {
        let text = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
        if let Some(number) = self.texts.get(text) {
            return Some(*number);
        }
        let number = u32::try_from(self.texts.len()).ok().filter(|_| self.texts.len() < MOST_TEXTS)?;
        self.texts.insert(text.into(), number);
        Some(number)
    }

    pub fn done(self) -> Tally {
        let mut texts: Vec<_> = self.texts.into_iter().collect();
        texts.sort_unstable_by_key(|(_, number)| *number);
        let mut calls: Vec<_> = self.calls.into_iter().collect();
        calls.sort_unstable();
        let mut names: Vec<_> = self.names.into_iter().map(|((aspect, name), call)| (aspect, name, call)).collect();
        names.sort_unstable();
        let texts = texts.into_iter().map(|(text, _)| text).collect();
        Tally { texts, calls, names, left_out: self.left_out }
    }
}
