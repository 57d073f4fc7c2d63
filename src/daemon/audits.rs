//! The loops that look at a trail's bucket: whether it is as was promised, and what protects it.

use std::time::Duration;

use super::{Daemon, PATIENCE, SLICE, SLICES};
use crate::config;
use crate::error::Result;
use crate::health::Pulse;
use crate::trail::Trail;
use crate::wiring;

/// A rest between two audits that were asked for: a script that changes ten things is looked at twice, not ten times.
const CALM: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audit {
    Retention,
    Posture,
}

impl Audit {
    fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Posture => "posture",
        }
    }
}

impl Daemon {
    pub(super) fn audited(&self, audit: Audit, trail: &Trail, every: Duration) -> Pulse {
        let name = format!("{} {}", audit.name(), trail.name);
        self.health.expect_within(&name, PATIENCE, 3 * every.max(SLICES));
        self.health.worked(&name);
        self.health.pulse(&name)
    }

    /// The first time a while after the start, when what was delivered meanwhile is taken in and it is known who is a member;
    /// then as often as configured, and posture whenever somebody asks for it.
    pub(super) async fn keep_auditing(&self, audit: Audit, trail: &Trail, every: Duration, pulse: Pulse) -> Result<()> {
        let Some(place) = self.config.trails.iter().find(|place| place.name == trail.name) else {
            return std::future::pending().await;
        };
        let mut pause = SLICE.min(every);
        loop {
            tokio::select! {
                () = pulse.rest(pause) => {}
                () = trail.audit.notified(), if audit == Audit::Posture => {}
            }
            match self.audit(audit, place, &pulse).await {
                Ok(()) => pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "{} could not be audited", audit.name());
                    pulse.failed(&error);
                }
            }
            pulse.rest(CALM.min(every)).await;
            pause = every.saturating_sub(CALM);
        }
    }

    async fn audit(&self, audit: Audit, place: &config::Trail, pulse: &Pulse) -> Result<()> {
        match audit {
            Audit::Posture => wiring::posture(&self.config, place, &self.works).await?.audit().await.map(drop),
            Audit::Retention => {
                let Some(mut retain) = wiring::retain(&self.config, place, &self.works).await? else { return Ok(()) };
                retain.pulse = pulse.clone();
                retain.audit().await.map(drop)
            }
        }
    }
}
