//! The fence: asked before every commit and every effect outside whether this warden may still have one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::env::Env;
use crate::error::{Error, Result};

/// Cheap to clone; clones share it. Once it has shut it stays shut, whatever the lease says later.
#[derive(Clone, Default)]
pub struct Fence(Option<Arc<Inner>>);

struct Inner {
    env: Env,
    epoch: u64,
    /// On the steady clock.
    until: Mutex<Duration>,
    shut: watch::Sender<Option<String>>,
}

impl Fence {
    /// For a warden without a lease: it is alone, and may do everything.
    pub fn none() -> Self {
        Self::default()
    }

    /// For the holder of this epoch, until then on the steady clock.
    pub fn new(env: &Env, epoch: u64, until: Duration) -> Self {
        Self(Some(Arc::new(Inner {
            env: env.clone(),
            epoch,
            until: Mutex::new(until),
            shut: watch::Sender::new(None),
        })))
    }

    /// The lease was renewed. Too late is in vain.
    pub fn extend(&self, until: Duration) {
        if self.check().is_ok()
            && let Some(inner) = &self.0
        {
            let mut now = inner.until();
            *now = until.max(*now);
        }
    }

    /// Another warden holds the lease, or this one has given it back.
    pub fn shut(&self, why: &str) {
        if let Some(inner) = &self.0 {
            inner.shut.send_if_modified(|shut| shut.is_none() && shut.replace(why.to_owned()).is_none());
        }
    }

    /// Fatal when the lease is lost, or may be: nothing may be committed, sent, deleted or put any more.
    pub fn check(&self) -> Result<()> {
        let Some(inner) = &self.0 else { return Ok(()) };
        if inner.env.steady() >= *inner.until() {
            self.shut("it was not renewed in time, and another warden may hold it");
        }
        match &*inner.shut.borrow() {
            None => Ok(()),
            Some(why) => Err(inner.lost(why)),
        }
    }

    /// An effect outside, which nothing of happens before it is asked for.
    pub async fn guard<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        effect.await
    }

    /// The epoch that everything is done under; `None` without a lease.
    pub fn epoch(&self) -> Option<u64> {
        self.0.as_ref().map(|inner| inner.epoch)
    }

    /// Until the lease is lost, and why: for good without one.
    pub async fn lost(&self) -> Error {
        let Some(inner) = &self.0 else { return std::future::pending().await };
        let mut shut = inner.shut.subscribe();
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            let left = inner.until().saturating_sub(inner.env.steady());
            let _ = tokio::time::timeout(left, shut.changed()).await;
        }
    }
}

impl Inner {
    fn until(&self) -> MutexGuard<'_, Duration> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, why: &str) -> Error {
        Error::fatal("lease", format!("the lease is lost (epoch {}): {why}", self.epoch))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_holds_until_its_time_is_over_and_then_for_good() {
        let env = Env::manual(jiff::Timestamp::UNIX_EPOCH, 1);
        let fence = Fence::new(&env, 3, TEN);
        let clone = fence.clone();
        env.advance(SignedDuration::from_secs(9));
        assert!(fence.check().is_ok() && fence.epoch() == Some(3));
        fence.extend(2 * TEN);
        env.advance(SignedDuration::from_secs(10));
        assert!(clone.check().is_ok(), "clones share it");
        fence.extend(TEN);
        env.advance(SignedDuration::from_secs(1));
        let error = clone.check().unwrap_err();
        assert!(error.is_fatal() && error.text.contains("epoch 3"), "{error}");
        fence.extend(10 * TEN);
        assert!(fence.check().is_err(), "too late");
        assert!(fence.lost().await.text.contains("not renewed"));
    }

    #[tokio::test]
    async fn a_warden_without_a_lease_is_alone() {
        let fence = Fence::none();
        fence.shut("why");
        assert!(fence.check().is_ok() && fence.epoch().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_loss_hears_of_it_and_of_the_first_reason() {
        let env = Env::simulated(jiff::Timestamp::UNIX_EPOCH, 1);
        let fence = Fence::new(&env, 1, TEN);
        let heard = tokio::spawn({
            let fence = fence.clone();
            async move { fence.lost().await }
        });
        tokio::time::sleep(TEN / 2).await;
        assert!(!heard.is_finished());
        fence.shut("b holds it");
        fence.shut("c holds it");
        let error = heard.await.unwrap();
        assert!(error.text.contains("b holds it"), "{error}");
        let fence = Fence::new(&env, 2, env.steady() + TEN);
        assert!(fence.lost().await.text.contains("not renewed"), "by itself, when its time is over");
    }
}
