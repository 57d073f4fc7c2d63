//! The plan of what goes wrong, and when: made from the seed, over before the end.

use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use trailwarden::error::{Class, Error};

use crate::script::Script;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Throttled,
    Reset,
    TimedOut,
    ServerError,
    /// The call had its effect, and its answer was lost.
    AnswerLost,
    ExpiredToken,
    AccessDenied,
    Slow,
    /// A message is handed out twice at once.
    Duplicate,
    /// A message comes back though it was deleted.
    Undead,
    /// Some entries of a batch fail.
    Partial,
    DiskFull,
    ClockStep,
    Crash,
    Stop,
}

impl Kind {
    pub const ALL: &'static [Self] = &[
        Self::Throttled,
        Self::Reset,
        Self::TimedOut,
        Self::ServerError,
        Self::AnswerLost,
        Self::ExpiredToken,
        Self::AccessDenied,
        Self::Slow,
        Self::Duplicate,
        Self::Undead,
        Self::Partial,
        Self::DiskFull,
        Self::ClockStep,
        Self::Crash,
        Self::Stop,
    ];
}

/// How a life of the warden ends before its time.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Everything but the disk is gone, so many calls from its start on, and so many turns of the runtime later.
    Crash { calls: u64, turns: u32 },
    /// It is told to stop, after so long.
    Stop(Duration),
    /// The disk is full, after so long: it must give up by itself.
    DiskFull(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    fn of(die: &mut Rng, script: &Script, longest: i64) -> Self {
        let span = script.end.as_second() - script.start.as_second() - longest;
        let from = script.start + SignedDuration::from_secs(die.i64(0..span));
        Self { from, to: from + SignedDuration::from_secs(die.i64(60..longest)) }
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.to
    }
}

pub struct Faults {
    pub until: Timestamp,
    /// Parts of a thousand of all calls that go wrong, in calm and in storm.
    calm: u32,
    storms: Vec<Window>,
    expired: Option<Window>,
    pub denied: Option<(Timestamp, Timestamp)>,
    /// Each life's end but the last one's, and how long it is dead.
    pub ends: Vec<(End, SignedDuration)>,
    /// By how much the clock is wrong from each life's start on.
    pub skews: Vec<SignedDuration>,
}

impl Faults {
    pub fn plan(die: &mut Rng, script: &Script) -> Self {
        let longest_death = if script.takes_back() { 1_200 } else { 4 * 3_600 };
        let ends = (0..die.usize(..=8))
            .map(|_| {
                let after = Duration::from_secs(die.u64(1..3 * 3_600));
                let end = match die.u8(..8) {
                    0 => End::Stop(after),
                    1 => End::DiskFull(after),
                    _ => End::Crash { calls: die.u64(1..1_200), turns: die.u32(..40) },
                };
                let dead = if die.u8(..6) == 0 { die.i64(60..longest_death) } else { die.i64(1..40) };
                (end, SignedDuration::from_secs(dead))
            })
            .collect();
        let storms = (0..die.usize(..=3)).map(|_| Window::of(die, script, 1_500)).collect();
        let expired = (die.u8(..4) == 0).then(|| Window::of(die, script, 1_500));
        let denied = (die.u8(..6) == 0).then(|| Window::of(die, script, 900)).map(|window| (window.from, window.to));
        let skews =
            (0..10).map(|_| SignedDuration::from_secs(if die.bool() { 0 } else { die.i64(-200..200) })).collect();
        let calm = [0, 5, 20, 60][die.usize(..4)];
        Self { until: script.end, calm, storms, expired, denied, ends, skews }
    }

    pub fn rate(&self, now: Timestamp) -> u32 {
        if now >= self.until {
            0
        } else if self.storms.iter().any(|storm| storm.holds(now)) {
            400
        } else {
            self.calm
        }
    }

    /// Credentials that are no good, whatever is asked.
    pub fn refused(&self, op: &'static str, now: Timestamp) -> Option<(Kind, Error)> {
        if self.expired.is_some_and(|window| window.holds(now)) {
            let error = Error::transient(op, "the token has expired").with_code("ExpiredToken");
            return Some((Kind::ExpiredToken, error));
        }
        let denied = self.denied.is_some_and(|(from, to)| from <= now && now < to);
        (denied && op == "s3:GetObject")
            .then(|| (Kind::AccessDenied, Error::permanent(op, "access denied").with_code("AccessDenied")))
    }
}

/// What becomes of one call.
pub struct Turn {
    pub kind: Option<Kind>,
    /// How long it takes.
    pub delay: Duration,
    pub before: Option<Error>,
    /// Told after the call had its effect.
    pub after: Option<Error>,
}

impl Turn {
    pub fn roll(die: &mut Rng, faults: &Faults, op: &'static str, now: Timestamp) -> Self {
        let delay = Duration::from_millis(die.u64(1..60));
        let mut turn = Self { kind: None, delay, before: None, after: None };
        if let Some((kind, error)) = faults.refused(op, now) {
            (turn.kind, turn.before) = (Some(kind), Some(error));
            return turn;
        }
        if die.u32(..1_000) >= faults.rate(now) {
            return turn;
        }
        let asked = Duration::from_secs(die.u64(1..30));
        let retry_after = die.bool().then_some(asked);
        let (kind, error) = match die.u8(..6) {
            0 => (Kind::Throttled, Error::new(Class::Transient { retry_after }, op, "slow down").with_code("SlowDown")),
            1 => (Kind::Reset, Error::transient(op, "connection reset")),
            2 => (Kind::TimedOut, Error::transient(op, "timed out")),
            3 => (Kind::ServerError, Error::transient(op, "internal error").with_code("InternalError")),
            4 => (Kind::AnswerLost, Error::transient(op, "the answer was lost")),
            _ => (Kind::Slow, Error::transient(op, "slow")),
        };
        turn.kind = Some(kind);
        match kind {
            Kind::AnswerLost => turn.after = Some(error),
            Kind::Slow => turn.delay = Duration::from_secs(die.u64(5..100)),
            Kind::TimedOut => (turn.delay, turn.before) = (Duration::from_secs(30), Some(error)),
            _ => turn.before = Some(error),
        }
        turn
    }
}
