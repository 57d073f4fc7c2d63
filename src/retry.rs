//! The one retry loop: around a step of a flow or a send to a channel. The SDK retries inside one call; nothing else does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::exponential::ExponentialBackoff;
use tokio::time::Instant;

use crate::env::Env;
use crate::error::{Class, Error, Result};

/// How a step is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub first: Duration,
    pub longest: Duration,
    /// After this the error is handed up; the message or the outbox row remembers.
    pub budget: Duration,
}

impl Policy {
    /// Around one step of a message: short, because the queue hands it out again.
    pub const STEP: Self =
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(5), budget: Duration::from_secs(20) };
}

/// A clock for the growing delay that never runs out: the budget is counted on tokio's time by [`retry`].
#[derive(Clone, Copy)]
struct NoBudget;

impl backoff::Clock for NoBudget {
    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// The growing delays of a policy, without jitter.
fn delays(policy: Policy) -> ExponentialBackoff<NoBudget> {
    ExponentialBackoff {
        current_interval: policy.first,
        initial_interval: policy.first,
        randomization_factor: 0.0,
        multiplier: 2.0,
        max_interval: policy.longest,
        start_time: Instant::now().into_std(),
        max_elapsed_time: None,
        clock: NoBudget,
    }
}

/// Runs `step` until it succeeds, fails for good, or the budget is used up. Delays grow, are jittered by the seeded die
/// (half to whole), and follow a far side's Retry-After within `longest`.
pub async fn retry<T, F>(env: &Env, policy: Policy, step: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let say = |error: &Error, delay: Duration| {
        tracing::debug!(error = %error, delay_ms = delay.as_millis() as u64, "trying again");
    };
    retry_saying(env, policy, step, say).await
}

/// As [`retry`]; what is said of each delay is the caller's.
pub async fn retry_saying<T, F>(
    env: &Env,
    policy: Policy,
    mut step: impl FnMut() -> F,
    say: impl Fn(&Error, Duration),
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let begun = Instant::now();
    let mut delays = delays(policy);
    loop {
        let error = match step().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Class::Transient { retry_after } = error.class else { return Err(error) };
        let grown = delays.next_backoff().unwrap_or(policy.longest);
        let delay = match retry_after {
            Some(asked) => asked.clamp(policy.first, policy.longest),
            None => grown.mul_f64(0.5 + env.chance() / 2.0),
        };
        if begun.elapsed() + delay > policy.budget {
            return Err(error);
        }
        say(&error, delay);
        tokio::time::sleep(delay).await;
    }
}

/// What a dependency's trouble is said with: once, and then once a minute with how often it was met, not object by object.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<BTreeMap<String, (Instant, u64)>>);

impl Quiet {
    /// `Some`: it is to be said now, and so often was it met since it was last said, this time included.
    pub fn say(&self, error: &Error) -> Option<u64> {
        const PAUSE: Duration = Duration::from_secs(60);
        let name = format!("{} {}", error.op, error.code.as_deref().unwrap_or_default());
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((last, met)) = said.get_mut(&name) else {
            said.insert(name, (Instant::now(), 0));
            return Some(1);
        };
        *met += 1;
        if last.elapsed() < PAUSE {
            return None;
        }
        *last = Instant::now();
        Some(std::mem::take(met))
    }
}

/// The delay before attempt `attempts + 1` of something that is remembered elsewhere: from 5 s doubling to 15 min.
pub fn delay_after(env: &Env, attempts: u32, error: &Error) -> Duration {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(900);
    let grown = FIRST.saturating_mul(2u32.saturating_pow(attempts.min(16))).min(LONGEST);
    match error.class {
        Class::Transient { retry_after: Some(asked) } => asked.clamp(FIRST, LONGEST),
        _ => grown.mul_f64(0.5 + env.chance() / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_tried_within_the_budget_and_no_longer() {
        let env = Env::manual(Timestamp::UNIX_EPOCH, 7);
        let (mut tries, begun) = (0, Instant::now());
        let outcome: Result<()> = retry(&env, Policy::STEP, || {
            tries += 1;
            async { Err(Error::transient("x", "no")) }
        })
        .await;
        assert!(outcome.is_err());
        assert!(begun.elapsed() <= Policy::STEP.budget && tries > 4, "{tries} in {:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_tried_again_and_success_ends_it() {
        let env = Env::manual(Timestamp::UNIX_EPOCH, 7);
        let mut tries = 0;
        let refused: Result<()> = retry(&env, Policy::STEP, || {
            tries += 1;
            async { Err(Error::permanent("x", "no")) }
        })
        .await;
        assert!(refused.is_err() && tries == 1);
        let mut left = 3;
        let answer = retry(&env, Policy::STEP, || {
            left -= 1;
            let failing = left > 0;
            async move { if failing { Err(Error::transient("x", "no")) } else { Ok(42) } }
        })
        .await;
        assert_eq!(answer.unwrap(), 42);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_is_down_is_said_once_a_minute_and_counted() {
        let quiet = Quiet::default();
        let (slow, denied) = (Error::transient("s3:GetObject", "slow down"), Error::permanent("s3:HeadObject", "no"));
        assert_eq!((quiet.say(&slow), quiet.say(&slow), quiet.say(&denied)), (Some(1), None, Some(1)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(quiet.say(&slow), None);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(quiet.say(&slow), Some(3));
        assert_eq!(quiet.say(&slow), None);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_followed_within_the_limit() {
        let env = Env::manual(Timestamp::UNIX_EPOCH, 7);
        let begun = Instant::now();
        let mut first = true;
        let class = Class::Transient { retry_after: Some(Duration::from_secs(3_600)) };
        let _ = retry(&env, Policy::STEP, || {
            let failing = std::mem::take(&mut first);
            async move { if failing { Err(Error::new(class, "x", "slow down")) } else { Ok(()) } }
        })
        .await;
        assert_eq!(begun.elapsed(), Policy::STEP.longest);
    }
}
