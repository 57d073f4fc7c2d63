//! What is remembered of a group: how full its windows are, and the last events.

use serde::{Deserialize, Serialize};

use super::hits::{SAMPLES, Shown};
use super::{Detection, Hit, Rule, Sample};
use crate::core::window::{Moment, State, Turn};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    #[serde(flatten)]
    pub state: State,
    /// The newest events, as many as are shown.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    samples: Vec<Sample>,
}

impl Watch {
    /// Takes in events that have not been counted before. `object` is the key of the log that they stand in, `now` the clock.
    pub fn take(&mut self, rule: &Rule, hits: &[&Hit], object: &str, now: i64) -> Turn {
        let moments: Vec<Moment> = hits.iter().map(|hit| hit.moment).collect();
        let samples = hits.iter().filter_map(|hit| hit.shown.as_ref()).map(Shown::sample);
        self.samples.extend(samples.map(|sample| Sample { object: object.to_owned(), ..sample }));
        self.samples.sort_by(|one, other| one.time.cmp(&other.time));
        let old = self.samples.len().saturating_sub(SAMPLES);
        self.samples.drain(..old);
        self.state.take(&rule.window, &moments, now)
    }

    /// What is to be said of it; `None` while nothing is.
    pub fn detection(&self, rule: &Rule, values: &[String]) -> Option<Detection> {
        Some(Detection::new(rule, values, self.state.alarm.as_ref()?, &self.samples))
    }
}
