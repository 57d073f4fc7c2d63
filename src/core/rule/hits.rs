//! What rules matched in one file, group by group.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::index::StepId;
use super::{Field, Rule, Sample};
use crate::core::change::EventId;
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::printable;
use crate::core::record::Record;
use crate::core::tree::Tree;
use crate::core::window::Moment;

/// Groups of one rule in one file; more are counted together.
const MOST_GROUPS: usize = 2_000;
/// Events of a group in one file of which a sample is kept.
pub const SAMPLES: usize = 3;
/// Bytes of a group's value that are shown.
const SHOWN: usize = 200;

/// The name of a rule's group in the ledger: 16 bytes of SHA-256.
pub type WatchId = [u8; 16];

/// One event that a rule matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Of rule, step, `eventID` and `recipientAccountId`: what comes again is known by it.
    pub event: EventId,
    pub moment: Moment,
    pub sample: Option<Sample>,
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
    rules: BTreeMap<usize, BTreeMap<WatchId, Group>>,
    /// Used again for every record.
    pub(super) wanted: Vec<StepId>,
}

impl Group {
    /// A group that nothing has happened in.
    pub fn new(rule: &str, values: Vec<String>) -> Self {
        let watch = watch_id(rule, &values);
        Self { watch, values, account: None, region: None, hits: Vec::new() }
    }
}

impl Hits {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn groups(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.rules.iter().flat_map(|(rule, groups)| groups.values().map(|group| (*rule, group)))
    }

    /// Takes in that step `step` of a rule matched a record.
    pub(super) fn add(&mut self, number: usize, rule: &Rule, step: usize, record: &Record<'_>, tree: &Tree<'_>) {
        let Some(at) = record.seconds() else { return };
        let full: Vec<String> =
            rule.group.iter().map(|field| field.of(tree).map(|value| value.into_owned()).unwrap_or_default()).collect();
        let groups = self.rules.entry(number).or_default();
        let mut watch = watch_id(&rule.id, &full);
        let mut values: Vec<String> = full.iter().map(|value| printable(value, SHOWN)).collect();
        if groups.len() >= MOST_GROUPS && !groups.contains_key(&watch) {
            values = many();
            watch = watch_id(&rule.id, &values);
        }
        let account = record.account().and_then(|account| AccountId::parse(account).ok());
        let region = record.aws_region.as_deref().and_then(|region| Region::parse(region).ok());
        let group = groups.entry(watch).or_insert_with(|| Group {
            watch,
            values,
            account,
            region: region.clone(),
            hits: Vec::new(),
        });
        group.account = group.account.filter(|known| Some(*known) == account);
        group.region = group.region.take().filter(|known| Some(known) == region.as_ref());
        let sample = (group.hits.len() < SAMPLES).then(|| Sample::of(tree));
        let value = match &rule.distinct {
            Some(Field::Which) => Cow::Owned(rule.matcher.which(tree).to_string()),
            Some(field) => field.of(tree).unwrap_or_default(),
            None => Cow::Borrowed(""),
        };
        let moment = Moment { at, step, value: number_of(&value) };
        group.hits.push(Hit { event: event_id(rule, step, record, tree), moment, sample });
    }
}

/// The group of what is too much to be told group by group.
pub fn many() -> Vec<String> {
    vec!["many".into()]
}

fn watch_id(rule: &str, values: &[String]) -> WatchId {
    // lengths, so that no value can look like two
    let mut text = rule.to_owned();
    for value in values {
        text.push_str(&format!("\n{}\n{value}", value.len()));
    }
    first_bytes(&text)
}

/// Without an id the record is its own: told by what it is, and when.
fn event_id(rule: &Rule, step: usize, record: &Record<'_>, tree: &Tree<'_>) -> EventId {
    let account = record.account().unwrap_or_default();
    match record.id().filter(|id| !id.is_empty()) {
        Some(id) => first_bytes(&format!("{}\n{step}\n{account}\n{id}", rule.id)),
        None => first_bytes(&format!("{}\n{step}\n{account}\n{tree:?}", rule.id)),
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
