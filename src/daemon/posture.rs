//! The loop that looks at what protects a bucket.

use std::time::Duration;

use super::{Daemon, PATIENCE, SLICE, SLICES};
use crate::error::Result;
use crate::health::Pulse;
use crate::trail::Trail;
use crate::wiring;

/// A rest between two audits that were asked for: a script that changes ten things is looked at twice, not ten times.
const CALM: Duration = Duration::from_secs(15);

impl Daemon {
    pub(super) fn guarded(&self, trail: &Trail, every: Duration) -> Pulse {
        let name = format!("posture {}", trail.name);
        self.health.expect_within(&name, PATIENCE, 3 * every.max(SLICES));
        self.health.worked(&name);
        self.health.pulse(&name)
    }

    /// The first time a while after the start, when it is known who is a member; then as often as configured, and whenever
    /// somebody asks for it.
    pub(super) async fn watch_posture(&self, trail: &Trail, every: Duration, pulse: Pulse) -> Result<()> {
        let Some(place) = self.config.trails.iter().find(|place| place.name == trail.name) else {
            return std::future::pending().await;
        };
        let mut pause = SLICE.min(every);
        loop {
            tokio::select! {
                () = pulse.rest(pause) => {}
                () = trail.audit.notified() => {}
            }
            let audited = async { wiring::posture(&self.config, place, &self.works).await?.audit().await };
            match audited.await {
                Ok(_) => pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "posture could not be audited");
                    pulse.failed(&error);
                }
            }
            pulse.rest(CALM.min(every)).await;
            pause = every.saturating_sub(CALM);
        }
    }
}
