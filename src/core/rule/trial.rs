//! Rules tried on what has happened, with nothing kept: the tests that a rule brings along, and backtests.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Case, Detection, Group, Hit, Hits, Rule, Rules, Watch, WatchId};
use crate::core::change::EventId;
use crate::core::record::Record;
use crate::core::window::Turn;

/// When the events of a test happen that say nothing of it: 2026-03-01T12:00:00Z.
const TEST_TIME: i64 = 1_772_366_400;

/// Somebody would have been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The rule's number.
    pub rule: usize,
    pub group: Vec<String>,
    /// As it was when it was over, or is now.
    pub detection: Detection,
}

/// Rules and what they remember, in memory.
#[derive(Debug)]
pub struct Trial<'r> {
    rules: &'r Rules,
    watches: HashMap<WatchId, (Watch, Option<usize>)>,
    seen: HashSet<EventId>,
    pub firings: Vec<Firing>,
    /// Events that rules matched, each once for each rule.
    pub matched: u64,
}

impl<'r> Trial<'r> {
    pub fn new(rules: &'r Rules) -> Self {
        Self { rules, watches: HashMap::new(), seen: HashSet::new(), firings: Vec::new(), matched: 0 }
    }

    /// Takes in what was matched in a log; `now` is when it was delivered, in seconds since the epoch.
    pub fn feed(&mut self, hits: &Hits, object: &str, now: i64) {
        for (number, group) in hits.groups() {
            if let Some(rule) = self.rules.get(number) {
                self.count(number, rule, group, object, now);
            }
        }
    }

    fn count(&mut self, number: usize, rule: &Rule, group: &Group, object: &str, now: i64) {
        let fresh: Vec<&Hit> = group.hits.iter().filter(|hit| self.seen.insert(hit.event())).collect();
        if fresh.is_empty() {
            return;
        }
        self.matched += fresh.len() as u64;
        let (watch, firing) = self.watches.entry(group.watch).or_default();
        watch.state.rest(&rule.window, now);
        let turn = watch.take(rule, &fresh, object, now);
        let Some(detection) = watch.detection(rule, &group.values) else { return };
        match (turn, firing.and_then(|at| self.firings.get_mut(at))) {
            (Turn::Hold, Some(firing)) => firing.detection = detection,
            _ => {
                *firing = Some(self.firings.len());
                self.firings.push(Firing { rule: number, group: group.values.clone(), detection });
            }
        }
    }
}

impl Case {
    /// Whether a rule fires on the events of `text`, JSON of one or of several: each, where it says nothing of it, with a time,
    /// an account and an id of its own.
    pub fn play(&self, rule: &Rule, text: &str) -> Result<bool, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        let events = match value {
            Value::Array(events) => events,
            Value::Object(mut file) if file.contains_key("Records") => match file.remove("Records") {
                Some(Value::Array(events)) => events,
                _ => return Err("`Records` is no array".into()),
            },
            event => vec![event],
        };
        let rules = Rules::compile(vec![rule.clone()]);
        let mut trial = Trial::new(&rules);
        let mut number = 0;
        for round in 0..self.times.max(1) {
            for event in &events {
                let text = self.prepared(event, round, number)?;
                let record: Record<'_> = serde_json::from_str(&text).map_err(|error| format!("no record: {error}"))?;
                let at = record.seconds().ok_or("an event without a time that can be understood")?;
                let mut hits = Hits::default();
                rules.look(&record, &text, &mut hits);
                trial.feed(&hits, "", at);
                number += 1;
            }
        }
        Ok(!trial.firings.is_empty())
    }

    fn prepared(&self, event: &Value, round: u32, number: i64) -> Result<String, String> {
        let mut event = event.clone();
        let Some(members) = event.as_object_mut() else { return Err("an event that is no object".into()) };
        let time = jiff::Timestamp::from_second(TEST_TIME + number).map_err(|error| error.to_string())?;
        members.entry("eventTime").or_insert_with(|| time.to_string().into());
        members.entry("recipientAccountId").or_insert_with(|| "111122223333".into());
        members.entry("awsRegion").or_insert_with(|| "us-east-1".into());
        if self.times > 1 || !members.contains_key("eventID") {
            members.insert("eventID".into(), format!("test-{number}").into());
        }
        if self.times > 1 {
            members.insert("eventTime".into(), time.to_string().into());
        }
        if let Some(path) = &self.vary
            && let Some(value) = path.iter().try_fold(&mut event, |value, name| value.get_mut(name))
        {
            *value = format!("{}{round}", value.as_str().unwrap_or_default()).into();
        }
        Ok(event.to_string())
    }
}
