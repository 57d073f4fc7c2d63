//! What a finding says that a rule has raised.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Rule, Sample};
use crate::core::window::{Alarm, Window};

/// The rule and what it saw, as alerts and `findings show --json` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// The rule's id.
    pub rule: String,
    pub title: String,
    pub why: String,
    pub action: String,
    pub false_positives: Vec<String>,
    pub attack: Vec<String>,
    pub references: Vec<String>,
    /// The fields that events were grouped by, with the values of this group.
    pub group: Vec<(String, String)>,
    /// What is too much: `at least 3 events within 300 s`.
    pub threshold: String,
    /// Of the first and of the last event.
    pub first: Timestamp,
    pub last: Timestamp,
    /// Events, or different values where these are counted.
    pub count: u64,
    /// The newest of them, at most three, without what may be secret.
    pub samples: Vec<Sample>,
    /// Keys of the logs that they stand in.
    pub objects: Vec<String>,
}

impl Detection {
    pub fn new(rule: &Rule, values: &[String], alarm: &Alarm, samples: &[Sample]) -> Self {
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut objects: Vec<String> =
            samples.iter().map(|sample| sample.object.clone()).filter(|key| !key.is_empty()).collect();
        objects.sort_unstable();
        objects.dedup();
        let fields = rule.group.iter().map(ToString::to_string);
        // more groups than are told one by one have another name
        let group = if rule.group.len() == values.len() {
            fields.zip(values.iter().cloned()).collect()
        } else {
            values.iter().map(|value| ("group".to_owned(), value.clone())).collect()
        };
        Self {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            why: rule.why.clone(),
            action: rule.action.clone(),
            false_positives: rule.false_positives.clone(),
            attack: rule.attack.clone(),
            references: rule.references.clone(),
            group,
            threshold: threshold(rule),
            first: time(alarm.first),
            last: time(alarm.last),
            count: alarm.count,
            samples: samples.to_vec(),
            objects,
        }
    }

    /// One sentence: what, of whom, how often, when.
    pub fn sentence(&self) -> String {
        let named: Vec<String> = self
            .group
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(field, value)| format!("{field} {value}"))
            .collect();
        let whose = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        let when = if self.first == self.last {
            format!("at {}", self.first)
        } else {
            format!("from {} to {}", self.first, self.last)
        };
        let mut text = format!("{}{whose}: {} counted, {}, {when}", self.title, self.count, self.threshold);
        if let Some(sample) = self.samples.last() {
            let error = if sample.error.is_empty() { String::new() } else { format!(" ({})", sample.error) };
            text.push_str(&format!(
                "; last {} {}{error} by {} from {}, event {}",
                sample.source,
                sample.name,
                or_unknown(&sample.principal),
                or_unknown(&sample.address),
                or_unknown(&sample.id),
            ));
        }
        text
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// `3 events within 300 s`
fn threshold(rule: &Rule) -> String {
    let Window { at_least, within, periods, then, .. } = &rule.window;
    let what = rule.distinct.as_ref().map_or_else(|| "events".to_owned(), |field| format!("values of {field}"));
    let mut text = format!("at least {at_least} {what} within {within} s");
    if *periods != (1, 1) {
        text.push_str(&format!(", {} of {} times", periods.0, periods.1));
    }
    for within in then {
        text.push_str(&format!(", then another within {within} s"));
    }
    text
}
