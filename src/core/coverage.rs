//! Hours that should be proven, and whether they are. Pure; who was a member and what is proven are passed in.
//!
//! Digests do not begin on the hour: each chain has its own minute and second. So an hour stands for its middle, which lies in
//! exactly one digest of an unbroken chain: one missing digest is one missing hour.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::core::id::Region;

pub const HOUR: i64 = 3_600;
/// Neighboring digests further apart than this have a gap between them, as in [`crate::core::chain::missing_hours`].
const SLACK: i64 = HOUR / 2;

/// From a second up to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub from: i64,
    pub to: i64,
}

impl Stretch {
    pub const ALWAYS: Self = Self { from: i64::MIN, to: i64::MAX };

    pub fn holds(self, second: i64) -> bool {
        self.from <= second && second < self.to
    }
}

/// Joins stretches, given in order, that are at most so far apart.
pub fn join(stretches: impl IntoIterator<Item = Stretch>, apart: i64) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for next in stretches {
        match joined.last_mut() {
            Some(last) if next.from.saturating_sub(last.to) <= apart => last.to = last.to.max(next.to),
            _ => joined.push(next),
        }
    }
    joined
}

/// When a member's digests can be demanded: not of the hour in which it came or went.
pub fn demanded(stays: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
    let mut all = join(stays, 0);
    for stretch in &mut all {
        stretch.from = stretch.from.saturating_add(HOUR);
        if stretch.to < i64::MAX {
            stretch.to -= HOUR;
        }
    }
    all
}

/// The first moment at which most of those who were there had it: `had` are the times from which each had it, sorted, and
/// `there` says how many were there at a time.
pub fn since_most(had: &[i64], there: impl Fn(i64) -> usize) -> Option<i64> {
    (1..).zip(had).find(|(count, at)| count * 2 > there(**at)).map(|(_, at)| *at)
}

/// What is known of an hour; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum State {
    /// Nothing is there, and nothing has to be there yet.
    #[default]
    Nothing,
    Verified,
    /// Its digest is due and not overdue.
    Late,
    /// Something was delivered that no digest proves.
    Seen,
    Missing,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Verified, Self::Late, Self::Seen, Self::Missing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Verified => "verified",
            Self::Late => "late",
            Self::Seen => "seen",
            Self::Missing => "missing",
        }
    }

    /// As JSON has an hour.
    pub fn letter(self) -> char {
        match self {
            Self::Nothing => '.',
            Self::Verified => 'v',
            Self::Late => 'l',
            Self::Seen => 's',
            Self::Missing => 'm',
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// An hour of an account and a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hour {
    pub expected: bool,
    pub state: State,
}

impl Hour {
    /// Of two trails that each have a say: what is expected counts, and of that the worse.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.expected, other.expected) {
            (true, false) => self,
            (false, true) => other,
            _ => Self { expected: self.expected, state: self.state.max(other.state) },
        }
    }
}

/// The hours that are asked for, and the moment of asking.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// On the hour.
    pub from: i64,
    pub hours: usize,
    pub now: i64,
    /// After its end a digest may take so long.
    pub grace: i64,
}

impl Frame {
    /// Whole hours, the one that `to` lies in not among them.
    pub fn new(from: Timestamp, to: Timestamp, now: Timestamp, grace: i64) -> Self {
        let (from, to) = (from.as_second().div_euclid(HOUR), to.as_second().div_euclid(HOUR));
        let hours = usize::try_from(to - from).unwrap_or(0);
        Self { from: from * HOUR, hours, now: now.as_second(), grace }
    }

    /// When an hour begins; the one after the last is the end.
    pub fn begin(&self, hour: usize) -> i64 {
        self.from + i64::try_from(hour).unwrap_or(i64::MAX / HOUR).saturating_mul(HOUR)
    }

    pub fn end(&self) -> i64 {
        self.begin(self.hours)
    }

    fn middle(&self, hour: usize) -> i64 {
        self.begin(hour) + HOUR / 2
    }

    /// The hour that a moment lies in.
    pub fn hour_of(&self, second: i64) -> Option<usize> {
        usize::try_from((second - self.from).div_euclid(HOUR)).ok().filter(|hour| *hour < self.hours)
    }

    /// The hour that a digest stands for, by its end.
    pub fn hour_of_digest(&self, end: i64) -> Option<usize> {
        self.hour_of(end - HOUR / 2)
    }

    /// The hours whose middles a stretch holds.
    pub fn within(&self, stretch: Stretch) -> std::ops::Range<usize> {
        let first = |second: i64| {
            let hours = second.saturating_sub(self.middle(0)).saturating_add(HOUR - 1).div_euclid(HOUR);
            usize::try_from(hours.max(0)).unwrap_or(usize::MAX).min(self.hours)
        };
        let end = first(stretch.to);
        first(stretch.from).min(end)..end
    }

    /// The hours of one chain: what its good digests prove, in order, against when its account's digests can be demanded.
    pub fn hours(&self, demanded: &[Stretch], proven: &[Stretch]) -> Vec<Hour> {
        let mut hours = vec![Hour::default(); self.hours];
        for stretch in demanded {
            hours[self.within(*stretch)].iter_mut().for_each(|hour| hour.expected = true);
        }
        let joined = join(proven.iter().copied(), SLACK - 1);
        for stretch in &joined {
            hours[self.within(*stretch)].iter_mut().for_each(|hour| hour.state = State::Verified);
        }
        for gap in joined.windows(2).map(|two| Stretch { from: two[0].to, to: two[1].from }) {
            // A gap between two middles is an hour's all the same.
            if self.within(gap).is_empty()
                && let Some(hour) = self.hour_of(i64::midpoint(gap.from, gap.to))
            {
                hours[hour].state = State::Nothing;
            }
        }
        for (at, hour) in hours.iter_mut().enumerate().filter(|(_, hour)| hour.expected && hour.state == State::Nothing)
        {
            // The latest end of a digest that holds its middle.
            let due = self.middle(at) + HOUR;
            hour.state = match self.now {
                now if now < due => State::Nothing,
                now if now < due + self.grace => State::Late,
                _ => State::Missing,
            };
            hour.expected = hour.state != State::Nothing;
        }
        hours
    }
}

/// How many hours are expected, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub expected: u64,
    pub verified: u64,
    pub seen: u64,
    pub late: u64,
    pub missing: u64,
    /// Proven though nobody demands it: of those who came or left, or are suspended or closed.
    pub beyond: u64,
}

impl Tally {
    pub fn add(&mut self, hour: Hour) {
        self.expected += u64::from(hour.expected);
        let counted = match (hour.expected, hour.state) {
            (true, State::Verified) => &mut self.verified,
            (true, State::Seen) => &mut self.seen,
            (true, State::Late) => &mut self.late,
            (true, State::Missing) => &mut self.missing,
            (false, State::Verified) => &mut self.beyond,
            _ => return,
        };
        *counted += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.expected += other.expected;
        self.verified += other.verified;
        self.seen += other.seen;
        self.late += other.late;
        self.missing += other.missing;
        self.beyond += other.beyond;
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Hours of one region, one after the other, that are missing or not proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hole {
    pub region: Region,
    pub state: State,
    pub from: Timestamp,
    pub to: Timestamp,
    pub hours: usize,
}

/// The holes of a region, in order.
pub fn holes(frame: &Frame, region: &Region, hours: &[Hour]) -> Vec<Hole> {
    let time = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    let mut holes: Vec<Hole> = Vec::new();
    for (at, hour) in hours.iter().enumerate() {
        if !hour.expected || !matches!(hour.state, State::Seen | State::Missing) {
            continue;
        }
        let (from, to) = (time(frame.begin(at)), time(frame.begin(at + 1)));
        match holes.last_mut() {
            Some(hole) if hole.to == from && hole.state == hour.state => {
                hole.to = to;
                hole.hours += 1;
            }
            _ => holes.push(Hole { region: region.clone(), state: hour.state, from, to, hours: 1 }),
        }
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: i64 = 90 * 60;

    fn frame(hours: usize, now: i64) -> Frame {
        Frame { from: 0, hours, now, grace: GRACE }
    }

    /// `v` and so on; in capitals where expected.
    fn drawn(hours: &[Hour]) -> String {
        let letter = |hour: &Hour| match hour.state.letter() {
            letter if hour.expected => letter.to_ascii_uppercase(),
            letter => letter,
        };
        hours.iter().map(letter).collect()
    }

    /// An unbroken chain from one second to another.
    fn proven(list: &[(i64, i64)]) -> Vec<Stretch> {
        list.iter().map(|(from, to)| Stretch { from: *from, to: *to }).collect()
    }

    fn always() -> [Stretch; 1] {
        [Stretch::ALWAYS]
    }

    #[test]
    fn one_missing_digest_is_one_missing_hour_whatever_the_minute() {
        for second in (0..HOUR).step_by(97) {
            let chain: Vec<Stretch> = (-1..9)
                .filter(|nth| *nth != 4)
                .map(|nth| Stretch { from: nth * HOUR + second, to: (nth + 1) * HOUR + second })
                .collect();
            let hours = frame(8, 100 * HOUR).hours(&always(), &chain);
            let missing: Vec<usize> = (0..8).filter(|at| hours[*at].state == State::Missing).collect();
            let wanted = if second <= HOUR / 2 { 4 } else { 5 };
            assert_eq!(missing, [wanted], "{second}: {}", drawn(&hours));
        }
    }

    #[test]
    fn short_gaps_are_no_gaps_and_longer_ones_are_always_some_hours() {
        for begin in (HOUR..3 * HOUR).step_by(61) {
            for (long, wanted) in [(1, 0), (SLACK - 1, 0), (SLACK, 1), (HOUR - 1, 1), (HOUR, 1)] {
                let chain = proven(&[(-HOUR, begin), (begin + long, 10 * HOUR)]);
                let hours = frame(8, 100 * HOUR).hours(&always(), &chain);
                let missing = hours.iter().filter(|hour| hour.state == State::Missing).count();
                assert_eq!(missing, wanted, "{begin} {long}: {}", drawn(&hours));
            }
        }
    }

    #[test]
    fn an_hour_is_missing_when_its_digest_is_overdue_and_not_before() {
        let chain = proven(&[(-HOUR, 2 * HOUR)]);
        for (now, wanted) in [
            (2 * HOUR, "VV..."),
            (3 * HOUR + HOUR / 2 - 1, "VV..."),
            (3 * HOUR + HOUR / 2, "VVL.."),
            (5 * HOUR - 1, "VVLL."),
            (5 * HOUR, "VVML."),
            (20 * HOUR, "VVMMM"),
        ] {
            assert_eq!(drawn(&frame(5, now).hours(&always(), &chain)), wanted, "{now}");
        }
    }

    #[test]
    fn the_hours_of_coming_and_going_are_not_demanded() {
        // Came at 1:10, was suspended from 6:00 to 9:00 and left at 12:50; a move at 4:00 is none of these.
        let stay = |from, to| Stretch { from, to };
        let stays = [stay(4_200, 4 * HOUR), stay(4 * HOUR, 6 * HOUR), stay(9 * HOUR, 12 * HOUR + 3_000)];
        let hours = frame(14, 100 * HOUR).hours(&demanded(stays), &[]);
        assert_eq!(drawn(&hours), "..MMM.....MM..");
        let late = frame(14, 100 * HOUR).hours(&demanded(stays), &proven(&[(HOUR, 14 * HOUR)]));
        assert_eq!(drawn(&late), ".vVVVvvvvvVVvv");
        assert_eq!(drawn(&frame(3, 100 * HOUR).hours(&demanded([stay(0, i64::MAX)]), &[])), ".MM");
        assert_eq!(drawn(&frame(3, 100 * HOUR).hours(&demanded([stay(0, HOUR)]), &[])), "...");
    }

    #[test]
    fn most_of_those_who_are_there_make_a_region_everybodys() {
        // One had it early, when four were there; the others followed.
        assert_eq!(since_most(&[10, 50, 60, 70], |_| 4), Some(60));
        assert_eq!(since_most(&[10, 50], |_| 4), None);
        assert_eq!(since_most(&[10, 50], |at| if at < 20 { 1 } else { 9 }), Some(10));
        assert_eq!(since_most(&[], |_| 0), None);
    }

    #[test]
    fn of_two_trails_the_worse_counts_where_it_is_expected() {
        let hour = |expected, state| Hour { expected, state };
        let good = hour(true, State::Verified);
        assert_eq!(good.and(hour(true, State::Missing)).state, State::Missing);
        assert_eq!(good.and(hour(false, State::Seen)), good);
        assert_eq!(hour(false, State::Nothing).and(hour(true, State::Late)).state, State::Late);
        assert_eq!(hour(false, State::Nothing).and(hour(false, State::Verified)).state, State::Verified);
    }

    #[test]
    fn holes_are_hours_one_after_the_other() {
        let region = Region::parse("eu-west-1").unwrap();
        let chain = proven(&[(-HOUR, 2 * HOUR), (4 * HOUR, 5 * HOUR), (6 * HOUR, 9 * HOUR)]);
        let frame = frame(8, 100 * HOUR);
        let mut hours = frame.hours(&always(), &chain);
        hours[3].state = State::Seen;
        let told: Vec<_> = holes(&frame, &region, &hours)
            .iter()
            .map(|hole| format!("{} {} {}", hole.from, hole.hours, hole.state.name()))
            .collect();
        assert_eq!(
            told,
            ["1970-01-01T02:00:00Z 1 missing", "1970-01-01T03:00:00Z 1 seen", "1970-01-01T05:00:00Z 1 missing"]
        );
        let mut tally = Tally::default();
        hours.iter().for_each(|hour| tally.add(*hour));
        assert_eq!((tally.expected, tally.verified, tally.missing, tally.seen), (8, 5, 2, 1));
    }
}
