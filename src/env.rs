//! The only clock and the only die. Durations run on `tokio::time`; wall time is asked here.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

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

    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::System => system_now(),
            Clock::Manual(micros) => {
                Timestamp::from_microsecond(micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Moves a manual clock forward; the system's clock cannot be moved.
    pub fn advance(&self, by: SignedDuration) {
        if let Clock::Manual(micros) = &self.clock {
            micros.fetch_add(by.as_micros().try_into().unwrap_or(i64::MAX), Ordering::SeqCst);
        }
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

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
fn system_now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}
