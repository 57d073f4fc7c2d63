//! How often one thing happens: seven days, the last minutes, and the incident that is going on.

use serde::{Deserialize, Serialize};

use super::top::Top;
use super::{BASELINE_DAYS, DAY};

/// Minutes that are judged together.
const WINDOW: u32 = 5;
/// Minutes that are kept one by one: how late a record may come and still be judged.
const KEPT: u32 = 90;
/// Minutes of which something is kept, where files come in no order at all.
const MOST_RECENT: usize = 2 * KEPT as usize;
/// Minutes without an unusual window after which an incident is over: files come with up to 15 minutes' delay, rarely more.
const QUIET: u32 = 30;
/// Minutes that a record may be ahead of the clock.
const AHEAD: u32 = 15;
/// How many of the seven days have to have known a rate for it to be usual.
const USUAL: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// In five minutes; less is never unusual.
    pub least: u32,
    /// How many times the usual peak is unusual.
    pub factor: u32,
    /// Minutes after which an incident is ended and what it brought is usual.
    pub longest: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { least: 50, factor: 2, longest: 7 * DAY }
    }
}

/// Minutes are counted from 1970. A rate is unusual where five minutes, wherever they begin, bring more than `factor` times the
/// third-highest of the peaks that the preceding seven days had: what happens on three days of seven is usual, what happened once
/// is not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    day: u32,
    today: Day,
    /// Yesterday first.
    days: [Day; BASELINE_DAYS],
    /// Minute and count, by minute.
    recent: Vec<(u32, u32)>,
    /// Who and what it was, before and within the last hour or so.
    usual: Tops,
    latest: Tops,
    latest_since: u32,
    open: Option<Open>,
    /// The last minute of the last incident.
    ended: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u32)", into = "(u64, u32)")]
struct Day {
    sum: u64,
    /// The most in five minutes.
    peak: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Tops {
    principals: Top,
    agents: Top,
    errors: Top,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    start: u32,
    /// What five minutes have to exceed.
    level: u32,
    total: u64,
    last: u32,
    baseline: f64,
    baseline_minutes: u32,
}

/// An incident begins or ends. Rates are those of a minute, durations are in minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    pub is_end: bool,
    /// The first minute of the incident.
    pub start: u32,
    pub duration: u32,
    pub rate: f64,
    pub baseline: f64,
    pub baseline_duration: u32,
    /// `(userIdentityArn, userAgent, errorCode)`, each with its rate; the most frequent first.
    pub insight: [Vec<(String, f64)>; 3],
    pub usual: [Vec<(String, f64)>; 3],
}

/// Whether a record may be of a minute when its log was delivered in another: one that lies ahead is a lie.
pub fn is_near(minute: u32, delivered: u32) -> bool {
    minute <= delivered.saturating_add(AHEAD)
}

/// In little room, as there are many.
impl From<Day> for (u64, u32) {
    fn from(day: Day) -> Self {
        (day.sum, day.peak)
    }
}

impl From<(u64, u32)> for Day {
    fn from((sum, peak): (u64, u32)) -> Self {
        Self { sum, peak }
    }
}

impl Tops {
    fn take(&mut self, other: Self) {
        self.principals.take(other.principals);
        self.agents.take(other.agents);
        self.errors.take(other.errors);
    }

    fn fade(&mut self) {
        [&mut self.principals, &mut self.agents, &mut self.errors].into_iter().for_each(Top::fade);
    }

    fn rates(&self, minutes: u32) -> [Vec<(String, f64)>; 3] {
        let minutes = f64::from(minutes.max(1));
        [&self.principals, &self.agents, &self.errors].map(|top| top.rates(minutes))
    }
}

impl Series {
    /// So many in a minute, in any order; who called, with what, and how it failed (`"null"` where it did not). `now` is when they
    /// were delivered: what lies ahead of it is left out, what is older than an hour and a half counts for the baseline only.
    pub fn observe(&mut self, minute: u32, count: u32, [principal, agent, error]: [&str; 3], now: u32) {
        if count == 0 || !is_near(minute, now) {
            return;
        }
        self.roll(minute / DAY);
        self.refresh(now);
        self.latest.principals.add(principal, count);
        self.latest.agents.add(agent, count);
        self.latest.errors.add(error, count);
        if let Some(day) = self.day_of(minute) {
            day.sum += u64::from(count);
        }
        if minute.saturating_add(KEPT) <= now {
            return;
        }
        match self.recent.binary_search_by_key(&minute, |(minute, _)| *minute) {
            Ok(at) => self.recent.get_mut(at).into_iter().for_each(|(_, own)| *own = own.saturating_add(count)),
            Err(at) => self.recent.insert(at, (minute, count)),
        }
        self.recent.retain(|(minute, _)| minute.saturating_add(KEPT) > now);
        if self.recent.len() > MOST_RECENT {
            self.recent.remove(0);
        }
        let starts = minute.saturating_sub(WINDOW - 1)..=minute;
        let peak = starts.map(|start| self.window(start)).max().unwrap_or(0);
        if let Some(day) = self.day_of(minute) {
            day.peak = day.peak.max(peak);
        }
        if let Some(open) = self.open.as_mut().filter(|open| minute >= open.start) {
            open.total += u64::from(count);
        }
    }

    /// Whether an incident begins or ends; to be asked after what was observed, and now and then. Until seven days are `learned`,
    /// nothing is unusual.
    pub fn decide(&mut self, now: u32, learned: bool, tuning: Tuning) -> Option<Turn> {
        self.roll(now / DAY);
        let level = self.open.as_ref().map_or_else(|| self.level(tuning), |open| open.level);
        let unusual = self.unusual(level);
        match &mut self.open {
            None => {
                let (start, last) = unusual.filter(|_| learned)?;
                Some(self.begin(start, last, level))
            }
            Some(open) => {
                open.last = open.last.max(unusual.map_or(0, |(_, last)| last));
                let over = now >= open.last.saturating_add(QUIET) || now >= open.start.saturating_add(tuning.longest);
                over.then(|| self.end()).flatten()
            }
        }
    }

    /// The minute from which on time alone may change something.
    pub fn due(&self, tuning: Tuning) -> u32 {
        match &self.open {
            Some(open) => open.last.saturating_add(QUIET).min(open.start.saturating_add(tuning.longest)),
            None => (self.day + 1 + BASELINE_DAYS as u32).saturating_mul(DAY),
        }
    }

    /// Whether nothing is known any more that a new series would not know.
    pub fn is_idle(&self, now: u32) -> bool {
        let old = now / DAY > self.day.saturating_add(BASELINE_DAYS as u32);
        self.open.is_none() && (old || self.today.sum == 0 && self.days.iter().all(|day| day.sum == 0))
    }

    fn begin(&mut self, start: u32, last: u32, level: u32) -> Turn {
        let total = self.since(start);
        let known: u64 = self.days.iter().map(|day| day.sum).sum::<u64>() + self.today.sum;
        let minutes = BASELINE_DAYS as u32 * DAY + start % DAY;
        let baseline = known.saturating_sub(total) as f64 / f64::from(minutes);
        let open = Open { start, level, total, last, baseline, baseline_minutes: minutes };
        let turn = self.turn(&open, false);
        self.open = Some(open);
        turn
    }

    fn end(&mut self) -> Option<Turn> {
        let open = self.open.take()?;
        let turn = self.turn(&open, true);
        self.ended = open.last;
        self.usual.take(std::mem::take(&mut self.latest));
        Some(turn)
    }

    fn turn(&self, open: &Open, is_end: bool) -> Turn {
        let duration = open.last.saturating_sub(open.start) + 1;
        let total = open.total.saturating_sub(self.since(open.last + 1));
        Turn {
            is_end,
            start: open.start,
            duration,
            rate: total as f64 / f64::from(duration),
            baseline: open.baseline,
            baseline_duration: open.baseline_minutes,
            insight: self.latest.rates(duration),
            usual: self.usual.rates(open.baseline_minutes),
        }
    }

    fn level(&self, tuning: Tuning) -> u32 {
        let mut peaks = self.days.map(|day| day.peak);
        peaks.sort_unstable_by(|one, other| other.cmp(one));
        let usual = peaks.get(USUAL - 1).copied().unwrap_or(0);
        usual.saturating_mul(tuning.factor).max(tuning.least)
    }

    /// What came from a minute on, as far back as minutes are kept.
    fn since(&self, start: u32) -> u64 {
        self.from(start).iter().map(|(_, count)| u64::from(*count)).sum()
    }

    fn from(&self, start: u32) -> &[(u32, u32)] {
        self.recent.get(self.recent.partition_point(|(minute, _)| *minute < start)..).unwrap_or_default()
    }

    fn window(&self, start: u32) -> u32 {
        let within = self.from(start).iter().take_while(|(minute, _)| *minute < start.saturating_add(WINDOW));
        within.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The first and the last minute of what is unusual: of the minutes that have their share in five that exceed a level.
    fn unusual(&self, level: u32) -> Option<(u32, u32)> {
        let windows =
            self.from(self.ended + 1).iter().map(|(start, _)| *start).filter(|start| self.window(*start) > level);
        let minutes =
            windows.flat_map(|start| self.from(start).iter().take_while(move |(minute, _)| *minute < start + WINDOW));
        let minutes = minutes.filter(|(_, count)| count.saturating_mul(WINDOW) > level).map(|(minute, _)| *minute);
        minutes.fold(None, |found, minute| {
            found
                .map_or(Some((minute, minute)), |(first, last): (u32, u32)| Some((first.min(minute), last.max(minute))))
        })
    }

    fn roll(&mut self, day: u32) {
        if self.day == 0 {
            self.day = day;
        }
        let passed = day.saturating_sub(self.day);
        for _ in 0..passed.min(BASELINE_DAYS as u32 + 1) {
            self.days.rotate_right(1);
            if let Some(yesterday) = self.days.first_mut() {
                *yesterday = std::mem::take(&mut self.today);
            }
            self.usual.fade();
        }
        self.day += passed;
    }

    /// What was latest for an hour and a half becomes usual, but not in the middle of an incident.
    fn refresh(&mut self, now: u32) {
        if self.open.is_none() && now >= self.latest_since.saturating_add(KEPT) {
            self.usual.take(std::mem::take(&mut self.latest));
            self.latest_since = now;
        }
    }

    fn day_of(&mut self, minute: u32) -> Option<&mut Day> {
        match usize::try_from(self.day.checked_sub(minute / DAY)?).ok()?.checked_sub(1) {
            None => Some(&mut self.today),
            Some(ago) => self.days.get_mut(ago),
        }
    }
}
