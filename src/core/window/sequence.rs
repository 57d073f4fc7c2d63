//! Steps that must follow one another, each within its time.

use super::{Breach, Moment, State, Window};

/// Times of a step that are remembered.
const MOST: usize = 100;

impl State {
    pub(super) fn add_step(&mut self, moment: &Moment) {
        if self.steps.len() < moment.step {
            self.steps.resize(moment.step, Vec::new());
        }
        let Some(times) = moment.step.checked_sub(1).and_then(|step| self.steps.get_mut(step)) else { return };
        let Err(place) = times.binary_search(&moment.at) else { return };
        times.insert(place, moment.at);
        if times.len() > MOST {
            times.remove(0);
        }
    }

    /// A sequence that has come to its end and has not been told: what was counted, until its last step.
    pub(super) fn completed(&mut self, window: &Window) -> Option<Breach> {
        let ready: Vec<Breach> = self.windows(window).filter(|breach| breach.count >= window.at_least).collect();
        let mut reached: Vec<i64> = ready.iter().map(|breach| breach.last).collect();
        for (step, within) in window.then.iter().enumerate() {
            let times = self.steps.get(step).map(Vec::as_slice).unwrap_or_default();
            // the last one before it is the nearest
            let follows = |at: &&i64| {
                let before = reached.partition_point(|earlier| earlier <= *at);
                before.checked_sub(1).and_then(|last| reached.get(last)).is_some_and(|last| **at - last <= *within)
            };
            reached = times.iter().filter(follows).copied().collect();
        }
        let last_steps = self.steps.last().map(Vec::as_slice).unwrap_or_default();
        self.done.retain(|end| last_steps.contains(end));
        let news = reached.iter().rev().copied().find(|end| !self.done.contains(end))?;
        self.done = reached;
        let began = ready.iter().rev().find(|breach| breach.last <= news)?;
        Some(Breach { last: news, ..*began })
    }
}
