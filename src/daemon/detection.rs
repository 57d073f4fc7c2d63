//! The loops that let time go by for rules and rates: what is over is resolved, what is spent is forgotten.

use std::time::Duration;

use crate::error::Result;

use super::Daemon;

/// A window that has ended is told after this at the latest.
const EVERY: Duration = Duration::from_secs(30);
/// Without rules there is only what they left behind.
const SELDOM: Duration = Duration::from_secs(300);

impl Daemon {
    pub(super) async fn watch_rules(&self) -> Result<()> {
        let pulse = self.health.pulse("rules");
        loop {
            match self.works.deliveries.rest_watches().await {
                Ok(()) => pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "windows of rules could not be looked at");
                    pulse.failed(&error);
                }
            }
            let idle = self.works.deliveries.rules().is_empty();
            pulse.rest(if idle { SELDOM } else { EVERY }).await;
        }
    }

    /// What logs came to is counted a moment after them.
    pub(super) async fn watch_rates(&self) -> Result<()> {
        let pulse = self.health.pulse("insights");
        loop {
            match self.works.deliveries.fold_tallies().await {
                Ok(()) => pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "rates of calls could not be looked at");
                    pulse.failed(&error);
                }
            }
            pulse.rest(EVERY).await;
        }
    }
}
