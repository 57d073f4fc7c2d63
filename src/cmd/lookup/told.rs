//! What an answer ends with: up to where it reaches, and what it leaves out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::archive::lookup::Newest;
use crate::cmd::{Exit, grouped, plural};
use crate::core::lookup::Question;
use crate::store::archive::Horizon;

/// Days and faults that are named; all are counted.
const NAMED: usize = 10;

/// As it is printed for machines; people get the notes.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Told {
    /// When the warden wrote its ledger last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// How many records were told, by what the digests say of their logs.
    pub integrity: BTreeMap<&'static str, u64>,
    pub is_interrupted: bool,
    /// Files that could not be read.
    pub unreadable: u64,
    pub notes: Vec<String>,
}

impl Told {
    /// As the ledger knew it before the files were read.
    pub fn of(horizon: &Horizon, question: &Question) -> Self {
        let mut told = Self {
            known_until: horizon.known,
            logs_waiting: Some(horizon.waiting),
            waiting_since: horizon.waiting_since,
            ..Self::default()
        };
        let known = horizon.known.map_or("never".to_owned(), |known| known.to_string());
        let waiting = match (horizon.waiting, horizon.waiting_since) {
            (0, _) => "no log that the warden knows of waits for the archive".to_owned(),
            (waiting, since) => format!(
                "{} not in the archive yet, delivered since {}",
                if waiting == 1 { "1 log is".to_owned() } else { format!("{} logs are", grouped(waiting)) },
                since.map_or("an unknown time".to_owned(), |since| since.to_string()),
            ),
        };
        told.note(format!(
            "{waiting}; the ledger was last written at {known}: what a queue still held then is not known"
        ));
        if !horizon.is_noted {
            told.note("logs that came before there was an archive are not all on its list yet".into());
        }
        told.days(&horizon.days, question);
        told
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Says which of the days asked for the archive has nothing of.
    fn days(&mut self, days: &[String], question: &Question) {
        let days: Vec<Date> = days.iter().filter_map(|day| day.parse().ok()).collect();
        let (Some(first), Some(last)) = (days.first().copied(), days.last().copied()) else {
            return self.note("the archive is empty".into());
        };
        let day = |seconds: i64| Some(Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC).date());
        let from = question.from.and_then(day);
        let to = question.to.and_then(|to| day(to.saturating_sub(1)));
        if from.is_none_or(|from| from < first) {
            self.note(format!("it begins with {first}: nothing of the days before was archived, or it has expired"));
        }
        let asked = from.map_or(first, |from| from.max(first))..=to.map_or(last, |to| to.min(last));
        let (mut missing, mut count, mut before) = (Vec::new(), 0_i64, first);
        for day in days {
            let mut between = before.tomorrow().unwrap_or(Date::MAX);
            while between < day {
                if asked.contains(&between) {
                    count += 1;
                    missing.extend((missing.len() < NAMED).then(|| between.to_string()));
                }
                between = between.tomorrow().unwrap_or(Date::MAX);
            }
            before = day;
        }
        if count > 0 {
            let more = if count > missing.len() as i64 { " and more" } else { "" };
            let days = plural(count.unsigned_abs(), "day");
            self.note(format!("it has nothing of {days} in between: {}{more}", missing.join(", ")));
        }
    }

    pub fn count(&mut self, integrity: &'static str) {
        *self.integrity.entry(integrity).or_default() += 1;
    }

    /// Says which files could not be read.
    pub fn unread(&mut self, count: u64, faults: &[String]) {
        self.unreadable = count;
        if count > 0 {
            self.note(format!("{} could not be read, and may hold more", plural(count, "file")));
            self.notes.extend(faults.iter().take(NAMED).map(|fault| format!("  {fault}")));
        }
    }

    /// Says that there may be more than was kept.
    pub fn cut(&mut self, newest: &Newest) {
        if newest.is_full() {
            let why = if newest.is_cut { ", for which there was no room" } else { "" };
            self.note(format!("there may be more, older ones{why}: --limit, --all, or a narrower question"));
        }
    }

    pub fn interrupted(&mut self) {
        self.is_interrupted = true;
        self.note("interrupted: this is not all".into());
    }

    /// What was told of the records' logs, then the rest.
    pub fn lines(&self) -> Vec<String> {
        let count: u64 = self.integrity.values().sum();
        let each: Vec<String> =
            self.integrity.iter().map(|(name, count)| format!("{} {name}", grouped(*count))).collect();
        let mut first = plural(count, "record");
        if !each.is_empty() {
            first.push_str(&format!(": {}", each.join(", ")));
        }
        std::iter::once(first).chain(self.notes.iter().cloned()).collect()
    }

    pub fn exit(&self) -> Exit {
        match (self.is_interrupted, self.unreadable) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Unsure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(days: &[&str], from: Option<&str>, to: Option<&str>) -> Vec<String> {
        let seconds = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let question = Question { from: from.map(seconds), to: to.map(seconds), ..Question::default() };
        let horizon = Horizon {
            known: Some("2026-03-20T00:00:00Z".parse().unwrap()),
            is_noted: true,
            days: days.iter().map(|day| (*day).to_owned()).collect(),
            ..Horizon::default()
        };
        Told::of(&horizon, &question).notes.split_off(1)
    }

    #[test]
    fn days_that_are_not_there_are_named_as_far_as_they_were_asked_for() {
        let days = ["2026-03-01", "2026-03-04", "2026-03-05", "2026-03-07"];
        let begins = "it begins with 2026-03-01: nothing of the days before was archived, or it has expired";
        assert_eq!(
            notes(&days, None, None),
            [begins, "it has nothing of 3 days in between: 2026-03-02, 2026-03-03, 2026-03-06"]
        );
        let between = notes(&days, Some("2026-03-03T10:00:00Z"), Some("2026-03-06T00:00:00Z"));
        assert_eq!(between, ["it has nothing of 1 day in between: 2026-03-03"]);
        assert_eq!(notes(&days, Some("2026-03-04T00:00:00Z"), Some("2026-03-06T00:00:00Z")), Vec::<String>::new());
        assert_eq!(notes(&[], None, None), ["the archive is empty"]);
        assert!(notes(&["2020-01-01", "2026-01-01"], None, None)[1].ends_with("2020-01-11 and more"));
    }

    #[test]
    fn what_waits_is_said() {
        let horizon = Horizon {
            waiting: 3,
            waiting_since: Some("2026-03-19T23:50:00Z".parse().unwrap()),
            known: Some("2026-03-20T00:00:00Z".parse().unwrap()),
            days: vec!["2026-03-01".into()],
            is_noted: false,
        };
        let mut told = Told::of(&horizon, &Question { from: Some(1_790_000_000), ..Question::default() });
        assert_eq!(
            told.notes,
            [
                "3 logs are not in the archive yet, delivered since 2026-03-19T23:50:00Z; \
                 the ledger was last written at 2026-03-20T00:00:00Z: what a queue still held then is not known",
                "logs that came before there was an archive are not all on its list yet"
            ]
        );
        assert_eq!(told.exit().code(), 0);
        told.unread(1, &["a: damaged".into()]);
        assert_eq!(told.exit().code(), 5);
        told.interrupted();
        assert_eq!(told.exit().code(), 130);
        told.count("verified");
        told.count("pending");
        assert_eq!(told.lines()[0], "2 records: 1 pending, 1 verified");
    }
}
