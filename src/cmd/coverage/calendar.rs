//! Coverage as a calendar: a line for each account, or unit, or region; a sign for each hour, day or week.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cmd::coverage::Sink;
use crate::cmd::{grouped, plural, style};
use crate::core::admit::Membership;
use crate::core::coverage::{Frame, HOUR, Hole, State, Tally};
use crate::core::id::Region;
use crate::core::printable;
use crate::core::shard::Shard;
use crate::verify::coverage::{Answer, Covered, Matrix};

/// More accounts than this are drawn unit by unit.
const LINES: usize = 80;
/// Holes that are listed without --verbose.
const BRIEF: usize = 40;
/// Hours that are drawn as hours, and as days.
const HOURLY: usize = 72;
const DAILY: usize = 95 * 24;
/// Columns of names.
const NAME: usize = 38;
/// Regions of a hole that are named.
const NAMED: usize = 4;

const DAY: i64 = 24 * HOUR;

pub struct Calendar {
    color: bool,
    holes_told: Told,
    step: Step,
    /// By unit, then by account: what is drawn for each.
    lines: BTreeMap<(String, String), Line>,
    by: By,
    holes: Vec<String>,
    more_holes: usize,
    regions: std::collections::BTreeSet<Region>,
    accounts: usize,
}

/// How many holes are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    All,
    Some,
    /// None, and accounts are drawn unit by unit.
    Brief,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Account,
    Unit,
    Region,
}

#[derive(Default)]
struct Line {
    accounts: usize,
    signs: Vec<Tally>,
}

/// How much time a sign stands for: seconds, and the first one's beginning.
#[derive(Clone, Copy, Default)]
struct Step {
    seconds: i64,
    begin: i64,
}

impl Step {
    fn of(frame: &Frame) -> Self {
        let seconds = match frame.hours {
            hours if hours <= HOURLY => HOUR,
            hours if hours <= DAILY => DAY,
            _ => 7 * DAY,
        };
        // Days begin at midnight; weeks with the first day.
        Self { seconds, begin: frame.from.div_euclid(seconds.min(DAY)) * seconds.min(DAY) }
    }

    fn sign_of(self, second: i64) -> usize {
        usize::try_from((second - self.begin) / self.seconds).unwrap_or(0)
    }

    fn signs(self, frame: &Frame) -> usize {
        if frame.hours == 0 { 0 } else { self.sign_of(frame.end() - 1) + 1 }
    }

    fn name(self) -> &'static str {
        match self.seconds {
            HOUR => "an hour",
            DAY => "a day",
            _ => "a week",
        }
    }

    /// Dates over the signs.
    fn ruler(self, frame: &Frame) -> String {
        let every = if self.seconds == HOUR { 6 } else { 7 };
        let mut ruler = String::new();
        for at in 0..self.signs(frame) {
            let begin = self.begin + i64::try_from(at).unwrap_or(0) * self.seconds;
            let is_marked = if self.seconds == HOUR { (begin / HOUR) % every == 0 } else { at % 7 == 0 };
            if is_marked && ruler.chars().count() <= at {
                let time = Timestamp::from_second(begin).unwrap_or_default().to_zoned(TimeZone::UTC);
                let form = if self.seconds == HOUR && begin % DAY != 0 { "%Hh" } else { "%m-%d" };
                let blanks = at - ruler.chars().count();
                let _ = write!(ruler, "{:blanks$}{}", "", time.strftime(form));
            }
        }
        ruler
    }
}

/// What a stretch of time looks like.
fn sign(tally: &Tally) -> (char, &'static str) {
    match tally {
        Tally { missing: 1.., verified: 0, seen: 0, late: 0, .. } => ('x', style::BAD),
        Tally { missing: 1.., .. } => ('▄', style::BAD),
        Tally { seen: 1.., .. } => ('?', style::WARN),
        Tally { late: 1.., .. } => ('~', style::WARN),
        Tally { verified: 1.., .. } => ('█', style::GOOD),
        Tally { beyond: 1.., .. } => ('▒', style::DIM),
        _ => ('·', style::DIM),
    }
}

const LEGEND: &str = "█ proven  ▄ partly missing  x missing  ? delivered, not proven\n~ may still come  ▒ proven, not demanded  · nothing expected";

impl Calendar {
    pub fn new(color: bool, holes_told: Told) -> Self {
        Self {
            color,
            holes_told,
            step: Step::default(),
            lines: BTreeMap::new(),
            by: By::Account,
            holes: Vec::new(),
            more_holes: 0,
            regions: std::collections::BTreeSet::new(),
            accounts: 0,
        }
    }

    fn paint(&self, style: &str, text: impl std::fmt::Display) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn add(&mut self, frame: &Frame, unit: String, name: String, hours: &[&[crate::core::coverage::Hour]]) {
        let (step, signs) = (self.step, self.step.signs(frame));
        let line = self.lines.entry((unit, name)).or_default();
        line.accounts += 1;
        line.signs.resize(signs, Tally::default());
        for hours in hours {
            for (at, hour) in hours.iter().enumerate() {
                if let Some(sign) = line.signs.get_mut(step.sign_of(frame.begin(at))) {
                    sign.add(*hour);
                }
            }
        }
    }

    /// Runs of one look in one color.
    fn signs(&self, line: &Line) -> String {
        let mut text = String::new();
        let mut run: (String, &str) = (String::new(), style::DIM);
        for (glyph, style) in line.signs.iter().map(sign) {
            if style != run.1 && !run.0.is_empty() {
                text.push_str(&self.paint(run.1, std::mem::take(&mut run.0)));
            }
            run.0.push(glyph);
            run.1 = style;
        }
        text.push_str(&self.paint(run.1, run.0));
        text
    }

    /// Holes that are alike in several regions are one line.
    fn note_holes(&mut self, covered: &Covered) {
        let mut alike: BTreeMap<(Timestamp, Timestamp, State), Vec<&Hole>> = BTreeMap::new();
        for hole in &covered.holes {
            alike.entry((hole.from, hole.to, hole.state)).or_default().push(hole);
        }
        for ((from, to, state), holes) in alike {
            if self.holes.len() >= BRIEF && self.holes_told != Told::All {
                self.more_holes += 1;
                continue;
            }
            let places = match holes.len() {
                all if all > NAMED && all == covered.regions.len() => format!("all {all} regions"),
                many if many > NAMED => plural(many as u64, "region"),
                _ => holes.iter().map(|hole| hole.region.as_str()).collect::<Vec<_>>().join(", "),
            };
            let hours = holes.first().map_or(0, |hole| hole.hours as u64);
            let (what, style) = match state {
                State::Seen => ("delivered, not proven", style::WARN),
                _ => ("missing", style::BAD),
            };
            let what = self.paint(style, format!("{} {what}", plural(hours, "hour")));
            let minute = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%MZ").to_string();
            let who = label(covered);
            self.holes.push(format!("  {who:<NAME$} {} to {}  {what}: {places}", minute(from), minute(to)));
        }
    }
}

fn label(covered: &Covered) -> String {
    let left = if matches!(covered.membership, Membership::Departed(_)) { " (left)" } else { "" };
    let room = NAME - 13 - left.len();
    format!("{} {}{left}", covered.account, printable(&covered.name, room - 3))
}

impl Sink for Calendar {
    fn begin(&mut self, matrix: &Matrix, _: &mut dyn Write) -> io::Result<()> {
        self.step = Step::of(&matrix.frame);
        self.by = match matrix.accounts().take(LINES + 1).count() {
            _ if self.holes_told == Told::Brief => By::Unit,
            0 | 1 => By::Region,
            accounts if accounts <= LINES => By::Account,
            _ => By::Unit,
        };
        Ok(())
    }

    fn account(&mut self, matrix: &Matrix, covered: &Covered, _: &mut dyn Write) -> io::Result<()> {
        self.accounts += 1;
        self.regions.extend(covered.regions.keys().cloned());
        if self.holes_told != Told::Brief {
            self.note_holes(covered);
        }
        let unit = if covered.ou.is_known() { printable(&covered.ou.to_string(), 200) } else { String::new() };
        let all: Vec<_> = covered.regions.values().map(Vec::as_slice).collect();
        match self.by {
            By::Region => {
                for (region, hours) in &covered.regions {
                    self.add(&matrix.frame, label(covered), region.to_string(), &[hours.as_slice()]);
                }
            }
            By::Account => self.add(&matrix.frame, unit, label(covered), &all),
            By::Unit => self.add(&matrix.frame, unit, String::new(), &all),
        }
        Ok(())
    }

    fn end(&mut self, matrix: &Matrix, total: &Tally, out: &mut dyn Write) -> io::Result<()> {
        let frame = &matrix.frame;
        let time = |second| Timestamp::from_second(second).unwrap_or_default().strftime("%Y-%m-%dT%H:%MZ").to_string();
        writeln!(
            out,
            "{} to {}: {} in {}{}, a sign for {}\n",
            time(frame.from),
            time(frame.end()),
            plural(self.accounts as u64, "account"),
            plural(self.regions.len() as u64, "region"),
            of_shard(matrix.shard()),
            self.step.name()
        )?;
        if !self.lines.is_empty() {
            writeln!(out, "{:NAME$}   {}", "", self.paint(style::DIM, self.step.ruler(frame)))?;
        }
        let mut unit = None;
        for ((above, name), line) in &self.lines {
            if self.by == By::Unit {
                let above = if above.is_empty() { "no unit known" } else { above };
                let count = format!("({})", grouped(line.accounts as u64));
                let room = NAME - 1 - count.len();
                writeln!(out, "  {:<room$} {count} {}", cut(above, room), self.signs(line))?;
                continue;
            }
            if unit != Some(above) {
                let shown = if above.is_empty() { "no unit known" } else { above };
                writeln!(out, "{}", self.paint(style::STRONG, shown))?;
                unit = Some(above);
            }
            writeln!(out, "  {name:<NAME$} {}", self.signs(line))?;
        }
        writeln!(out, "\n{LEGEND}\n")?;
        self.sum(matrix, total, out)
    }
}

impl Calendar {
    fn sum(&self, matrix: &Matrix, total: &Tally, out: &mut dyn Write) -> io::Result<()> {
        let bad = |count: u64, what: &str, style: &str| {
            let text = format!("{} {what}", grouped(count));
            if count > 0 { self.paint(style, text) } else { text }
        };
        writeln!(
            out,
            "hours     {} expected: {} proven, {}, {} late, {}; {} proven beyond them",
            grouped(total.expected),
            grouped(total.verified),
            bad(total.seen, "not proven", style::WARN),
            grouped(total.late),
            bad(total.missing, "missing", style::BAD),
            grouped(total.beyond)
        )?;
        for doubt in &matrix.unknown {
            writeln!(out, "{}", self.paint(style::WARN, format!("unknown   {}", printable(doubt, 300))))?;
        }
        let answer = match matrix.answer(total) {
            Answer::Complete => self.paint(style::GOOD, "complete"),
            Answer::Holes => self.paint(style::BAD, "there are holes"),
            Answer::Unknown => self.paint(style::WARN, "could not tell"),
        };
        writeln!(out, "answer    {answer}")?;
        if !self.holes.is_empty() {
            writeln!(out, "\n{}", self.paint(style::STRONG, "holes"))?;
            for hole in &self.holes {
                writeln!(out, "{hole}")?;
            }
        }
        if self.more_holes > 0 {
            writeln!(out, "  … and {} more (--verbose, or --json)", grouped(self.more_holes as u64))?;
        }
        Ok(())
    }
}

/// Nothing, where one warden has all accounts.
fn of_shard(shard: Shard) -> String {
    if shard.is_whole() { String::new() } else { format!(" of shard {shard} (they end in {})", shard.digits()) }
}

/// The end of a path says more than its beginning.
fn cut(path: &str, room: usize) -> String {
    let long = path.chars().count();
    if long <= room {
        path.to_owned()
    } else {
        std::iter::once('…').chain(path.chars().skip(long + 1 - room)).collect()
    }
}
