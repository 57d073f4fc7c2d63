//! Thresholds over windows of time: whether what was counted is too much, and when that is over.
//!
//! Windows run on the time of the events and not on that of their arrival: what comes late is counted where it belongs. A state
//! is small however much is counted: times are rounded to a part of the window, and the oldest are forgotten first.

mod points;
mod sequence;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::points::{Missing, Point, Standing, evaluate};

/// Parts of a window that are told apart: up to five minutes it is exact to the second.
const PARTS: i64 = 300;
/// Times that a state holds.
const MOST: usize = 1_200;
/// Distinct values that can be asked for; a state holds more.
pub const MOST_DISTINCT: u64 = 1_000;
/// A state is kept for at least as long after it was touched, in seconds: CloudTrail delivers late by minutes to hours.
const KEPT: i64 = 6 * 3_600;
/// How long after its end a period is taken to be complete, in seconds: what CloudTrail usually takes (User Guide: 15 minutes).
const LAG: i64 = 900;
/// Periods further back than those that are asked about, in which CloudWatch looks for data where some are without.
const FURTHER: i64 = 2;
/// A watch for silence is given up after this, in seconds.
const SILENT: i64 = 30 * 86_400;

/// What is counted, and how much of it is too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub at_least: u64,
    /// Seconds.
    pub within: i64,
    /// Counts different values, and not events.
    pub distinct: bool,
    /// M of N. One of one slides over time; more follow the clock, one after the other.
    pub periods: (usize, usize),
    /// What a period without events is, where periods are looked at one by one.
    pub missing: Missing,
    /// For each further step of a sequence, the seconds in which it must follow the one before.
    pub then: Vec<i64>,
}

/// Something that happened, as a window sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since the epoch.
    pub at: i64,
    /// Which step of a sequence it is; what is counted is step 0.
    pub step: usize,
    /// A hash of what is counted where values are.
    pub value: u64,
}

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Fire,
    /// It is too much still, or again.
    Hold,
    Clear,
    /// Nothing was, and nothing is.
    Rest,
}

/// From whether it was too much to whether it is.
pub fn decide(before: bool, after: bool) -> Turn {
    match (before, after) {
        (false, true) => Turn::Fire,
        (true, true) => Turn::Hold,
        (true, false) => Turn::Clear,
        (false, false) => Turn::Rest,
    }
}

/// What is going on while it is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Time of the first and of the last event, seconds since the epoch.
    pub first: i64,
    pub last: i64,
    /// Events, or values in the fullest window where these are counted.
    pub count: u64,
    /// When it is over unless more comes.
    pub until: i64,
}

/// A window that is too full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core::window) struct Breach {
    first: i64,
    last: i64,
    count: u64,
}

/// What is remembered of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Times in order, with how many events there were; or with the value that was seen then for the last time.
    #[serde(rename = "e")]
    events: Vec<(i64, u64)>,
    /// Times of the further steps.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Vec<i64>>,
    /// Ends of sequences that have been told.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    done: Vec<i64>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// When something came last, by the clock.
    #[serde(rename = "t")]
    touched: i64,
}

impl Window {
    /// One window that slides, rather than periods by the clock.
    fn slides(&self) -> bool {
        self.periods == (1, 1) && self.missing == Missing::NotBreaching
    }

    /// An event's time as it is remembered.
    fn place(&self, at: i64) -> i64 {
        let grain = if !self.slides() {
            self.within
        } else if self.distinct {
            1
        } else {
            (self.within + PARTS - 1) / PARTS
        };
        at.div_euclid(grain.max(1)) * grain.max(1)
    }

    /// All that one decision looks back at, in seconds.
    fn span(&self) -> i64 {
        let periods = i64::try_from(self.periods.1).unwrap_or(1);
        self.within * periods + self.then.iter().sum::<i64>()
    }
}

impl State {
    /// Takes in what happened, and decides. `now` is the clock.
    pub fn take(&mut self, window: &Window, moments: &[Moment], now: i64) -> Turn {
        self.touched = self.touched.max(now);
        let mut fresh: Vec<i64> = moments.iter().filter_map(|moment| self.add(window, moment)).collect();
        fresh.sort_unstable();
        let before = self.alarm.is_some();
        let breach = if !window.then.is_empty() {
            self.completed(window)
        } else if window.slides() {
            self.fullest(window, &fresh)
        } else {
            self.breaching(window, &fresh)
        };
        let counted = moments.iter().filter(|moment| moment.step == 0).count() as u64;
        match (breach, &mut self.alarm) {
            (Some(breach), _) => self.raise(window, breach, counted, now),
            // it does not go on for their sake
            (None, Some(alarm)) if !window.distinct => alarm.count += counted,
            (None, _) => {}
        }
        self.turn(before, now)
    }

    /// Lets time go by.
    pub fn rest(&mut self, window: &Window, now: i64) -> Turn {
        let before = self.alarm.is_some();
        if window.missing != Missing::NotBreaching && window.then.is_empty() {
            let end = (now - LAG).div_euclid(window.within) * window.within - window.within;
            match self.standing(window, end) {
                Standing::Alarm => {
                    let last = self.events.last().map_or(end, |(at, _)| *at);
                    let until = now + window.within;
                    let alarm = self.alarm.get_or_insert(Alarm { first: last, last, count: 0, until });
                    alarm.until = alarm.until.max(until);
                }
                Standing::Keep => {
                    if let Some(alarm) = &mut self.alarm {
                        alarm.until = alarm.until.max(now + window.within);
                    }
                }
                Standing::Fine | Standing::Unknown => {}
            }
        }
        self.turn(before, now)
    }

    /// When time going by may change something.
    pub fn due(&self, window: &Window) -> i64 {
        let spent = self.spent_at(window);
        let listening = window.missing == Missing::Breaching && window.then.is_empty();
        let last = self.events.last().map_or(self.touched, |(at, _)| *at);
        // when nothing of what there was is looked at any more
        let further = i64::try_from(window.periods.1).unwrap_or(1) + FURTHER + 1;
        let silence = (listening && self.alarm.is_none()).then_some(last + further * window.within + LAG);
        [self.alarm.map(|alarm| alarm.until), silence].into_iter().flatten().min().unwrap_or(spent).min(spent)
    }

    /// Whether nothing is lost when it is forgotten.
    pub fn is_spent(&self, window: &Window, now: i64) -> bool {
        now >= self.spent_at(window) && (self.alarm.is_none() || now >= self.touched + SILENT)
    }

    fn spent_at(&self, window: &Window) -> i64 {
        let kept = if window.missing == Missing::Breaching { SILENT } else { KEPT.max(2 * window.span()) };
        self.touched.saturating_add(kept)
    }

    fn turn(&mut self, before: bool, now: i64) -> Turn {
        let after = self.alarm.is_some_and(|alarm| now < alarm.until);
        if !after {
            self.alarm = None;
        }
        decide(before, after)
    }

    fn raise(&mut self, window: &Window, breach: Breach, fresh: u64, now: i64) {
        let periods = i64::try_from(window.periods.1).unwrap_or(1);
        let until = now + window.within * periods;
        self.alarm = Some(match self.alarm {
            None => Alarm { first: breach.first, last: breach.last, count: breach.count, until },
            Some(alarm) => Alarm {
                first: alarm.first.min(breach.first),
                last: alarm.last.max(breach.last),
                count: if window.distinct { alarm.count.max(breach.count) } else { alarm.count + fresh },
                until: alarm.until.max(until),
            },
        });
    }

    /// Remembers a moment; answers its place in time if it counts.
    fn add(&mut self, window: &Window, moment: &Moment) -> Option<i64> {
        if moment.step > 0 {
            self.add_step(moment);
            return None;
        }
        let at = window.place(moment.at);
        if window.distinct {
            match self.events.iter().position(|(_, value)| *value == moment.value) {
                Some(known) if self.events.get(known).is_some_and(|(seen, _)| *seen >= at) => return Some(at),
                Some(known) => drop(self.events.remove(known)),
                None => {}
            }
        }
        let after = self.events.partition_point(|(seen, _)| *seen <= at);
        match after.checked_sub(1).and_then(|last| self.events.get_mut(last)) {
            Some((seen, count)) if *seen == at && !window.distinct => *count += 1,
            _ => self.events.insert(after, (at, if window.distinct { moment.value } else { 1 })),
        }
        if self.events.len() > MOST {
            self.events.remove(0);
        }
        Some(at)
    }

    /// Windows by their last event: its number, their first time, their count.
    fn windows<'a>(&'a self, window: &'a Window) -> impl Iterator<Item = Breach> + 'a {
        let weight = |(_, count): &(i64, u64)| if window.distinct { 1 } else { *count };
        let (mut from, mut count) = (0, 0);
        self.events.iter().map(move |event| {
            count += weight(event);
            while let Some(first) = self.events.get(from).filter(|first| event.0 - first.0 >= window.within) {
                count -= weight(first);
                from += 1;
            }
            Breach { first: self.events.get(from).map_or(event.0, |first| first.0), last: event.0, count }
        })
    }

    /// The fullest of the windows that are too full and hold something new.
    fn fullest(&self, window: &Window, fresh: &[i64]) -> Option<Breach> {
        let has_news = |breach: &Breach| {
            let at = fresh.partition_point(|at| *at < breach.first);
            fresh.get(at).is_some_and(|at| *at <= breach.last)
        };
        self.windows(window)
            .filter(|breach| breach.count >= window.at_least && has_news(breach))
            .max_by_key(|breach| breach.count)
    }

    /// Periods that end at a new one or soon after, if too many of them are too full.
    fn breaching(&self, window: &Window, fresh: &[i64]) -> Option<Breach> {
        let (first, last) = (*fresh.first()?, self.events.last()?.0);
        let periods = i64::try_from(window.periods.1).unwrap_or(1);
        // a period later than those has nothing to do with what is new
        let last = last.min(fresh.last()? + (periods - 1) * window.within);
        let mut ends = self.events.iter().map(|(at, _)| *at).filter(|at| (first..=last).contains(at));
        let end = ends.rfind(|end| self.standing(window, *end) == Standing::Alarm)?;
        let from = end - (periods - 1) * window.within;
        let within = || self.events.iter().filter(|(at, _)| (from..=end).contains(at));
        Some(Breach { first: within().next()?.0, last: end, count: within().map(|(_, count)| count).sum() })
    }

    /// How things stand at the end of the period that begins at `end`.
    fn standing(&self, window: &Window, end: i64) -> Standing {
        let (needed, of) = window.periods;
        let range = i64::try_from(of).unwrap_or(1) + FURTHER;
        let points: Vec<Point> = (0..range)
            .rev()
            .map(|back| end - back * window.within)
            .map(|start| match self.events.binary_search_by_key(&start, |(at, _)| *at) {
                Ok(found) if self.events.get(found).is_some_and(|(_, count)| *count >= window.at_least) => {
                    Point::Breach
                }
                Ok(_) => Point::Fine,
                Err(_) => Point::Missing,
            })
            .collect();
        evaluate(&points, needed, of, window.missing)
    }
}
