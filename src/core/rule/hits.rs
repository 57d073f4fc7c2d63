//! What rules matched in one file, group by group.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::RandomState;

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use super::{Field, Rule, Sample};
use crate::core::change::EventId;
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::printable;
use crate::core::record::Record;
use crate::core::tree::Tree;
use crate::core::window::Moment;

/// Groups of one rule in one file; more are counted together.
const MOST_GROUPS: usize = 2_000;
/// Events of a group that are shown.
pub const SAMPLES: usize = 3;
/// Bytes of a record that is kept as it is, to be shown.
const SMALL: usize = 4_096;
/// Bytes of a counted value that is remembered as it is; of a longer one its hash is.
const LONG: usize = 64;
/// Bytes of an event's identity that are kept as they are.
const IDENTITY: usize = 256;
/// Bytes of a group's value that are shown.
const SHOWN: usize = 200;

/// The name of a rule's group in the ledger: 16 bytes of SHA-256.
pub type WatchId = [u8; 16];

/// One event that a rule matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    identity: Identity,
    pub moment: Moment,
    pub shown: Option<Shown>,
}

/// Rule, step, `recipientAccountId` and `eventID`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// Not hashed before somebody asks: most hits of a counted value give way to later ones.
    Written(String),
    Hashed(EventId),
}

impl Hit {
    /// What comes again is known by it.
    pub fn event(&self) -> EventId {
        match &self.identity {
            Identity::Written(text) => first_bytes(text),
            Identity::Hashed(event) => *event,
        }
    }
}

/// An event that is shown, if anybody is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The record as it is written.
    Record(Box<str>),
    /// Of a large one only what is shown.
    Sample(Box<Sample>),
}

impl Shown {
    fn of(seen: &Seen<'_>) -> Self {
        if seen.raw.len() <= SMALL {
            return Self::Record(seen.raw.into());
        }
        let tree = seen.record.tree(seen.raw, Sample::parts());
        Self::Sample(Box::new(tree.as_ref().map(Sample::of).unwrap_or_default()))
    }

    pub fn sample(&self) -> Sample {
        match self {
            Self::Record(text) => Tree::of_known(text).as_ref().map(Sample::of).unwrap_or_default(),
            Self::Sample(sample) => (**sample).clone(),
        }
    }
}

/// The events of one group of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub watch: WatchId,
    /// Values of the rule's group fields, fit to print; empty where a record has none.
    pub values: Vec<String>,
    /// The account and the region, if all events are of one.
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    pub hits: Vec<Hit>,
}

/// What all rules matched: by the number of the rule, and by group.
#[derive(Debug, Default)]
pub struct Hits {
    rules: BTreeMap<usize, BTreeMap<Box<str>, Held>>,
    /// Used again for every record: steps that may match, and what is hashed.
    pub(super) wanted: Vec<u32>,
    text: String,
}

/// A group, and its values, where values are counted.
#[derive(Debug)]
struct Held {
    group: Group,
    values: HashMap<String, Valued, RandomState>,
}

/// A value's number, and the places of the first and the last hit with it.
#[derive(Debug)]
struct Valued {
    number: u64,
    places: Option<(usize, usize)>,
}

/// A record that some rule matched.
pub(super) struct Seen<'r> {
    record: &'r Record<'r>,
    raw: &'r str,
    /// What matchers read of it, and what it is counted by.
    tree: &'r Tree<'r>,
}

impl<'r> Seen<'r> {
    pub(super) fn new(record: &'r Record<'_>, raw: &'r str, tree: &'r Tree<'_>) -> Self {
        Self { record, raw, tree }
    }
}

impl Group {
    /// A group that nothing has happened in.
    pub fn new(rule: &str, values: Vec<String>) -> Self {
        let watch = first_bytes(&named(rule, values.iter()));
        Self { watch, values, account: None, region: None, hits: Vec::new() }
    }
}

impl Hits {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn groups(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.rules.iter().flat_map(|(rule, groups)| groups.values().map(|held| (*rule, &held.group)))
    }

    /// Takes in that a step of a rule, each with its number, matched a record.
    pub(super) fn add(&mut self, (number, rule): (usize, &Rule), step: usize, seen: &Seen<'_>) {
        let Some(at) = seen.record.seconds() else { return };
        let values = || rule.group.iter().map(|field| field.of(seen.tree).unwrap_or_default());
        self.text.clear();
        name(&mut self.text, &rule.id, values());
        let groups = self.rules.entry(number).or_default();
        let is_full = groups.len() >= MOST_GROUPS && !groups.contains_key(&*self.text);
        if is_full {
            self.text = named(&rule.id, many().iter());
        }
        let region = seen.record.aws_region.as_deref();
        let account = seen.record.account().and_then(|account| AccountId::parse(account).ok());
        let held = match groups.get_mut(&*self.text) {
            Some(held) => held,
            None => {
                let shown = || values().map(|value| printable(&value, SHOWN)).collect();
                let group = Group {
                    watch: first_bytes(&self.text),
                    values: if is_full { many() } else { shown() },
                    account,
                    region: region.and_then(|region| Region::parse(region).ok()),
                    hits: Vec::new(),
                };
                groups.entry(self.text.as_str().into()).or_insert(Held { group, values: HashMap::default() })
            }
        };
        held.group.account = held.group.account.filter(|known| Some(*known) == account);
        held.group.region.take_if(|known| Some(known.as_str()) != region);
        let value = rule.distinct.as_ref().map(|field| match field {
            Field::Which => rule.matcher.which(seen.tree).to_string().into(),
            field => field.of(seen.tree).unwrap_or_default(),
        });
        let Some((place, value)) = held.place(rule, at, value.as_deref()) else { return };
        let moment = Moment { at, step, value };
        self.text.clear();
        identify(&mut self.text, rule, step, seen);
        let identity = if rule.distinct.is_some() && self.text.len() <= IDENTITY {
            Identity::Written(self.text.clone())
        } else {
            Identity::Hashed(first_bytes(&self.text))
        };
        match held.group.hits.get_mut(place) {
            Some(hit) => (hit.identity, hit.moment) = (identity, moment),
            None => {
                let shown = (place < SAMPLES).then(|| Shown::of(seen));
                held.group.hits.push(Hit { identity, moment, shown });
            }
        }
    }
}

impl Held {
    /// Where a hit is kept, and the number of its value; `None` if it changes nothing. Of hits with one value, no further apart
    /// than the window is wide, the first and the last say when the value was seen.
    fn place(&mut self, rule: &Rule, moment: i64, value: Option<&str>) -> Option<(usize, u64)> {
        let next = self.group.hits.len();
        let Some(value) = value else { return Some((next, 0)) };
        let is_long = value.len() > LONG;
        let name = if is_long { Cow::Owned(Sha256::of(value.as_bytes()).to_string()) } else { Cow::Borrowed(value) };
        let known = match self.values.entry_ref(&*name) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(new) => new.insert(Valued { number: number_of(value), places: None }),
        };
        if !rule.then.is_empty() {
            return Some((next, known.number));
        }
        let at = |place: usize| self.group.hits.get(place).map(|hit| hit.moment.at);
        let kept = known.places.and_then(|places| Some((places, at(places.0)?, at(places.1)?)));
        let (places, place) = match kept {
            Some((_, first, last)) if (first..=last).contains(&moment) => return None,
            Some(((first_place, last_place), first, last))
                if last.max(moment) - first.min(moment) <= rule.window.within =>
            {
                let is_alone = first == last;
                if moment > last {
                    let place = if is_alone { next } else { last_place };
                    ((first_place, place), place)
                } else {
                    let place = if is_alone { next } else { first_place };
                    ((place, last_place), place)
                }
            }
            _ => ((next, next), next),
        };
        known.places = Some(places);
        Some((place, known.number))
    }
}

/// The group of what is too much to be told group by group.
pub fn many() -> Vec<String> {
    vec!["many".into()]
}

/// A rule and values of its group; with lengths, so that no value can look like two.
fn name<V: AsRef<str>>(text: &mut String, rule: &str, values: impl Iterator<Item = V>) {
    text.push_str(rule);
    for value in values {
        let value = value.as_ref();
        text.push('\n');
        push_number(text, value.len());
        text.push('\n');
        text.push_str(value);
    }
}

fn push_number(text: &mut String, number: usize) {
    if number > 9 {
        push_number(text, number / 10);
    }
    text.extend(char::from_digit((number % 10) as u32, 10));
}

fn named<V: AsRef<str>>(rule: &str, values: impl Iterator<Item = V>) -> String {
    let mut text = String::new();
    name(&mut text, rule, values);
    text
}

/// Without an id the record is its own: told by what it is, and when.
fn identify(text: &mut String, rule: &Rule, step: usize, seen: &Seen<'_>) {
    text.push_str(&rule.id);
    text.push('\n');
    push_number(text, step);
    let id = seen.record.id().filter(|id| !id.is_empty()).unwrap_or(seen.raw);
    for part in [seen.record.account().unwrap_or_default(), id] {
        text.push('\n');
        text.push_str(part);
    }
}

fn first_bytes(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::of(text.as_bytes()).0[..16]);
    bytes
}

fn number_of(value: &str) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&Sha256::of(value.as_bytes()).0[..8]);
    u64::from_le_bytes(bytes)
}
