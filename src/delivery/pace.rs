//! How many objects are asked for at once: fewer when the bucket says to slow down, more again while it does not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::Result;

/// One answer to slow down is one reason: those that were under way with it say the same.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Pace {
    free: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
    gauge: Gauge,
}

struct State {
    /// How many may be asked for at once.
    limit: usize,
    /// Permits to be taken away when they come back.
    owed: usize,
    /// Answers in a row without a word of slowing down.
    good: usize,
    slowed: Option<Instant>,
}

impl Pace {
    pub fn new(most: usize, gauge: Gauge) -> Self {
        let most = most.max(1);
        gauge.set(i64::try_from(most).unwrap_or(i64::MAX));
        let state = State { limit: most, owed: 0, good: 0, slowed: None };
        Self { free: Arc::new(Semaphore::new(most)), most, state: Mutex::new(state), gauge }
    }

    /// Runs a call when its turn has come.
    pub async fn run<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        // Nobody closes it; if somebody did, there would be no limit rather than no work.
        let permit = self.free.clone().acquire_owned().await.ok();
        let outcome = call.await;
        self.learn(permit, outcome.as_ref().is_err_and(crate::error::Error::is_throttled));
        outcome
    }

    /// Half as many when told to slow down, one more for each round of as many good answers.
    fn learn(&self, permit: Option<OwnedSemaphorePermit>, throttled: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if throttled {
            state.good = 0;
            if state.slowed.is_none_or(|at| at.elapsed() >= PAUSE) {
                state.slowed = Some(Instant::now());
                let less = (state.limit / 2).max(1);
                state.owed += state.limit - less;
                state.limit = less;
            }
        } else {
            state.good += 1;
            if state.good >= state.limit && state.limit < self.most {
                state.good = 0;
                state.limit += 1;
                if state.owed > 0 { state.owed -= 1 } else { self.free.add_permits(1) }
            }
        }
        if state.owed > 0
            && let Some(permit) = permit
        {
            state.owed -= 1;
            permit.forget();
        }
        self.gauge.set(i64::try_from(state.limit).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn limit(pace: &Pace) -> (usize, usize) {
        let state = pace.state.lock().unwrap();
        (state.limit, pace.free.available_permits() - state.owed)
    }

    async fn answer(pace: &Pace, throttled: bool) {
        let answer = if throttled { Err(Error::transient("s3:GetObject", "").with_code("SlowDown")) } else { Ok(()) };
        let _ = pace.run(async { answer }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_halves_once_for_a_burst_of_refusals_and_grows_by_one_a_round() {
        let pace = Pace::new(64, Gauge::default());
        for _ in 0..20 {
            answer(&pace, true).await;
        }
        assert_eq!(limit(&pace), (32, 32), "one burst, one reason");
        tokio::time::advance(PAUSE).await;
        answer(&pace, true).await;
        assert_eq!(limit(&pace), (16, 16));
        for _ in 0..16 {
            answer(&pace, false).await;
        }
        assert_eq!(limit(&pace), (17, 17));
        for _ in 0..5_000 {
            answer(&pace, false).await;
        }
        assert_eq!(limit(&pace), (64, 64), "and no further than it began");
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_comes_to_a_standstill_and_holds_back_what_is_under_way() {
        let pace = Arc::new(Pace::new(4, Gauge::default()));
        for _ in 0..9 {
            answer(&pace, true).await;
            tokio::time::advance(PAUSE).await;
        }
        assert_eq!(limit(&pace), (1, 1));
        let slow = tokio::spawn({
            let pace = pace.clone();
            async move {
                let call = async {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    Ok(())
                };
                pace.run(call).await
            }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        answer(&pace, false).await;
        assert!(begun.elapsed() >= Duration::from_secs(4), "the second waits for the first");
        slow.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_dropped_in_the_middle_gives_its_turn_back() {
        let pace = Pace::new(1, Gauge::default());
        let hanging = pace.run(std::future::pending::<Result<()>>());
        assert!(tokio::time::timeout(Duration::from_millis(5), hanging).await.is_err());
        answer(&pace, false).await;
        assert_eq!(limit(&pace), (1, 1));
    }
}
