//! The loop that holds what protects a bucket against what was promised.

use std::time::Duration;

use crate::error::Result;
use crate::health::Pulse;
use crate::trail::Trail;
use crate::wiring;

use super::{Daemon, PATIENCE, SLICE, SLICES};

impl Daemon {
    pub(super) fn audited(&self, trail: &Trail, every: Duration) -> Pulse {
        let name = format!("retention {}", trail.name);
        self.health.expect_within(&name, PATIENCE, 3 * every.max(SLICES));
        self.health.worked(&name);
        self.health.pulse(&name)
    }

    /// The first time a while after the start, so that what is delivered meanwhile comes first.
    pub(super) async fn retain(&self, trail: &Trail, every: Duration, pulse: Pulse) -> Result<()> {
        let Some(place) = self.config.trails.iter().find(|place| place.name == trail.name) else {
            return std::future::pending().await;
        };
        loop {
            pulse.rest(SLICE.min(every)).await;
            let audited = async {
                let Some(mut retain) = wiring::retain(&self.config, place, &self.works).await? else { return Ok(()) };
                retain.pulse = pulse.clone();
                retain.audit().await.map(|_| ())
            };
            match audited.await {
                Ok(()) => pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "retention could not be audited");
                    pulse.failed(&error);
                }
            }
            pulse.rest(every.saturating_sub(SLICE)).await;
        }
    }
}
