//! The only clock, the only die, and the only way to a thread that may block. Durations run on `tokio::time`; wall time is
//! asked here.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// Wall time and randomness. Cheap to clone; clones share the clock and the die.
#[derive(Clone)]
pub struct Env {
    clock: Clock,
    die: Arc<Mutex<fastrand::Rng>>,
}

#[derive(Clone)]
enum Clock {
    System,
    /// Microseconds since the Unix epoch; moves only when told to.
    Manual(Arc<AtomicI64>),
    /// A start, the tokio time since then, and the microseconds by which it was set forward or back.
    Runtime {
        start: Timestamp,
        since: Instant,
        set: Arc<AtomicI64>,
    },
}

impl Env {
    pub fn system() -> Self {
        Self { clock: Clock::System, die: Arc::new(Mutex::new(fastrand::Rng::new())) }
    }

    /// A clock that stands still until `advance`, and a die that falls the same way for the same seed.
    pub fn manual(start: Timestamp, seed: u64) -> Self {
        Self {
            clock: Clock::Manual(Arc::new(AtomicI64::new(start.as_microsecond()))),
            die: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// A clock that goes with tokio's, which tests pause, and a die that falls the same way for the same seed. What would
    /// block runs where it is asked for: the same seed comes to the same order of everything.
    pub fn simulated(start: Timestamp, seed: u64) -> Self {
        Self {
            clock: Clock::Runtime { start, since: Instant::now(), set: Arc::default() },
            ..Self::manual(start, seed)
        }
    }

    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::System => system_now(),
            Clock::Manual(micros) => {
                Timestamp::from_microsecond(micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
            Clock::Runtime { start, since, set } => {
                let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
                let set = SignedDuration::from_micros(set.load(Ordering::SeqCst));
                start.checked_add(passed.saturating_add(set)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Time since some moment in the past, by a clock that nobody sets and that runs while the machine sleeps or the process is
    /// stopped. Comparable within one machine's uptime, with nothing else.
    pub fn steady(&self) -> Duration {
        match &self.clock {
            Clock::System => since_boot(),
            Clock::Manual(micros) => {
                Duration::from_micros(u64::try_from(micros.load(Ordering::SeqCst)).unwrap_or_default())
            }
            Clock::Runtime { since, .. } => since.elapsed(),
        }
    }

    /// Moves a made clock, forward or back; the system's clock cannot be moved.
    pub fn advance(&self, by: SignedDuration) {
        match &self.clock {
            Clock::System => {}
            Clock::Manual(micros) | Clock::Runtime { set: micros, .. } => {
                micros.fetch_add(by.as_micros().try_into().unwrap_or(i64::MAX), Ordering::SeqCst);
            }
        }
    }

    /// Runs work that may block on a thread for such work.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        if let Clock::Runtime { .. } = self.clock {
            tokio::task::yield_now().await;
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::transient("blocking", error))
    }

    /// As [`Env::blocking`], for work that nobody waits for.
    pub fn aside(&self, work: impl FnOnce() + Send + 'static) {
        if let Clock::Runtime { .. } = self.clock {
            tokio::spawn(async {
                tokio::task::yield_now().await;
                work();
            });
        } else {
            tokio::task::spawn_blocking(work);
        }
    }

    /// What the host calls itself (uname(2)), which a service sees that sees nothing of `/proc/sys`.
    pub fn host(&self) -> String {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if name.is_empty() { "a host without a name".into() } else { name }
    }

    /// A number in `0.0..1.0`, for jitter.
    pub fn chance(&self) -> f64 {
        self.die.lock().unwrap_or_else(std::sync::PoisonError::into_inner).f64()
    }

    /// A token of 16 hexadecimal digits, for names that must not collide.
    pub fn token(&self) -> String {
        let number = self.die.lock().unwrap_or_else(std::sync::PoisonError::into_inner).u64(..);
        format!("{number:016x}")
    }
}

/// `CLOCK_BOOTTIME` (clock_gettime(2)): as `CLOCK_MONOTONIC`, with the time that the machine was suspended.
fn since_boot() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Boottime)).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
fn system_now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}
