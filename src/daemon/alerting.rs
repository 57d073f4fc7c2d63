//! The loops that send alerts: one for each channel, and one that tends the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLockWriteGuard;
use tokio::task::JoinSet;

use super::Daemon;
use crate::alert::Alerts;
use crate::error::{Error, Result};

/// How long a stop waits for channels to take what is due.
const LAST_ALERTS: Duration = Duration::from_secs(15);
/// The longest that a channel may take for one alert; a webhook's own limit is five minutes.
const SENDING: Duration = Duration::from_secs(600);
/// How often heartbeat and backlog are looked at.
const TENDING: Duration = Duration::from_secs(60);

impl Daemon {
    /// One loop for each channel, so that none keeps another waiting; all anew after a reload.
    pub(super) async fn send_alerts(self: Arc<Self>) -> Result<()> {
        let mut current = self.alerts.subscribe();
        loop {
            let alerts = current.borrow_and_update().clone();
            let mut channels = JoinSet::new();
            for name in alerts.names() {
                self.health.expect(&format!("channel {name}"), SENDING);
                let (this, alerts, name) = (self.clone(), alerts.clone(), name.clone());
                channels.spawn(async move { this.send_to(&alerts, &name).await });
            }
            let ended = tokio::select! {
                biased;
                Ok(()) = current.changed() => None,
                ended = self.tend_alerts(&alerts) => Some(ended),
                Some(ended) = channels.join_next() => {
                    Some(ended.unwrap_or_else(|error| Err(Error::fatal("daemon", error))))
                }
            };
            if let Some(ended) = ended {
                return ended;
            }
            let still = begun(&alerts).await;
            channels.shutdown().await;
            drop(still);
            alerts.names().for_each(|name| self.health.forget(&format!("channel {name}")));
        }
    }

    async fn send_to(&self, alerts: &Alerts, name: &str) -> Result<()> {
        let Some(mut outlet) = alerts.outlet(name) else { return std::future::pending().await };
        let name = format!("channel {name}");
        loop {
            let more = match outlet.turn().await {
                Ok(more) => {
                    self.health.worked(&name);
                    more
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.health.failed(&name, &error);
                    false
                }
            };
            if !more {
                outlet.wait().await;
            }
        }
    }

    async fn tend_alerts(&self, alerts: &Alerts) -> Result<()> {
        const DAY: Duration = Duration::from_secs(86_400);
        let mut forgot: Option<tokio::time::Instant> = None;
        loop {
            let mut tended = alerts.tend().await;
            if tended.is_ok() && forgot.is_none_or(|at| at.elapsed() >= DAY) {
                tended = alerts.forget().await;
                forgot = Some(tokio::time::Instant::now());
            }
            match tended {
                Ok(()) => match alerts.late() {
                    Some(why) => self.health.failed("alerts", why),
                    None => self.health.worked("alerts"),
                },
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => self.health.failed("alerts", &error),
            }
            tokio::time::sleep(TENDING).await;
        }
    }

    /// Ends the loops when what is being sent has been taken, or not.
    pub(super) async fn end(&self, loops: &mut JoinSet<Result<()>>) {
        let alerts = self.current_alerts();
        let _still = begun(&alerts).await;
        loops.shutdown().await;
    }

    /// What became due until the end; whatever no channel takes shortly is the next start's.
    pub(super) async fn last_alerts(&self) -> Result<()> {
        let alerts = self.current_alerts();
        match tokio::time::timeout(LAST_ALERTS, alerts.pump()).await {
            Ok(sent) => sent.map(|_| ()),
            Err(_) => {
                tracing::warn!("some alerts were not taken in time; they are sent after the next start");
                Ok(())
            }
        }
    }
}

/// Waits for what channels are being told, but not for ever.
async fn begun(alerts: &Alerts) -> Option<RwLockWriteGuard<'_, ()>> {
    tokio::time::timeout(LAST_ALERTS, alerts.still()).await.ok()
}
