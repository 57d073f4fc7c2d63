//! An alert's way: due rows of the outbox, the worst first, each channel by itself, until they are sent.

mod context;
mod outlet;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{RwLock, RwLockWriteGuard};

pub use outlet::Outlet;

use crate::core::finding::{Finding, Kind};
use crate::core::printable;
use crate::error::Result;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::seam::DynChannel;
use crate::store::{Store, findings, journal, lists, outbox, silences};

/// An alert that waits for longer is late: its channel is told of by the others.
const LATE: SignedDuration = SignedDuration::from_mins(15);
/// What was told is remembered for this long.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Rows that are forgotten in one step.
const BATCH: usize = 1_000;

pub struct Alerts {
    store: Store,
    metrics: Arc<Metrics>,
    channels: BTreeMap<String, DynChannel>,
    warden: String,
    heartbeat: Option<SignedDuration>,
    /// Where a kind is explained, with `{kind}` in it.
    runbook: Option<String>,
    health: OnceLock<Arc<Health>>,
    /// Held for reading by every outlet that is at work.
    turns: RwLock<()>,
}

impl Alerts {
    pub fn new(
        store: Store,
        metrics: Arc<Metrics>,
        channels: BTreeMap<String, DynChannel>,
        warden: String,
        heartbeat: Option<SignedDuration>,
    ) -> Self {
        Self {
            store,
            metrics,
            channels,
            warden,
            heartbeat,
            runbook: None,
            health: OnceLock::new(),
            turns: RwLock::default(),
        }
    }

    #[must_use]
    pub fn runbook(mut self, runbook: Option<String>) -> Self {
        self.runbook = runbook;
        self
    }

    /// Whose health the heartbeat is to tell, and who is to know that alerts are being sent.
    pub fn attach(&self, health: &Arc<Health>) {
        let _ = self.health.set(health.clone());
    }

    /// Whether an alert has waited for too long, as the last look found.
    pub fn late(&self) -> Option<String> {
        let oldest = self.metrics.alert_oldest.get();
        (oldest > LATE.as_secs_f64()).then(|| format!("the oldest alert has waited for {oldest:.0} s"))
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.channels.keys()
    }

    /// A channel's own outlet, for as long as it is watched.
    pub fn outlet(&self, name: &str) -> Option<Outlet<'_>> {
        self.channels.get(name).map(|channel| Outlet::new(self, name, channel, pace::TOGETHER))
    }

    /// Waits for what outlets have begun, and lets them begin nothing while the answer is kept: an alert that was sent is also
    /// stamped as sent.
    pub async fn still(&self) -> RwLockWriteGuard<'_, ()> {
        self.turns.write().await
    }

    /// Sends what is due and lets nothing wait for more, all channels side by side. Answers whether it did anything.
    pub async fn pump(&self) -> Result<bool> {
        self.tend().await?;
        let sends = self.channels.iter().map(|(name, channel)| async move {
            let mut outlet = Outlet::new(self, name, channel, Duration::ZERO);
            let mut any = false;
            while outlet.turn().await? {
                any = true;
            }
            Ok(any)
        });
        let mut any = false;
        for outcome in futures_util::future::join_all(sends).await {
            any |= outcome?;
        }
        self.measure().await?;
        Ok(any)
    }

    /// What is to be done now and then, whatever the channels do.
    pub async fn tend(&self) -> Result<()> {
        self.beat().await?;
        let now = self.store.env().now();
        if self.store.read(move |conn| silences::any_passed(conn, now)).await? {
            self.store.write(silences::settle).await?;
        }
        let names: Vec<String> = self.names().cloned().collect();
        let strays = self.store.read(move |conn| outbox::strays(conn, &names)).await?;
        if !strays.is_empty() {
            self.store.write(move |tx| findings::reroute(tx, &strays)).await?;
        }
        self.measure().await
    }

    async fn measure(&self) -> Result<()> {
        let now = self.store.env().now();
        let (due, oldest) = self.store.read(move |conn| outbox::backlog(conn, now)).await?;
        self.metrics.alerts_due.set(due);
        self.metrics.alert_oldest.set(oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0)));
        Ok(())
    }

    /// Forgets what was told long ago.
    pub async fn forget(&self) -> Result<()> {
        let before = self.store.env().now() - REMEMBERED;
        loop {
            let old = self.store.read(move |conn| outbox::old(conn, before, BATCH)).await?;
            if old.is_empty() {
                return Ok(());
            }
            self.store.write(move |tx| old.iter().try_for_each(|id| outbox::forget(tx, *id))).await?;
        }
    }

    /// The heartbeat finding, raised anew each time, so that silence is visible.
    async fn beat(&self) -> Result<()> {
        let Some(every) = self.heartbeat else { return Ok(()) };
        let now = self.store.env().now();
        let last = self.store.read(|conn| lists::progress(conn, "heartbeat")).await?;
        let last = last.and_then(|text| text.parse::<Timestamp>().ok());
        if last.is_some_and(|last| now.duration_since(last) < every) {
            return Ok(());
        }
        let red = match self.health.get() {
            // Nothing can be said yet of a warden that has just begun.
            Some(health) if health.is_starting() => return Ok(()),
            Some(health) => health.not_ready(),
            None => Vec::new(),
        };
        let state = if red.is_empty() {
            "alive".to_owned()
        } else {
            format!("alive and not well: {}", printable(&red.join("; "), 400))
        };
        let warden = self.warden.clone();
        self.store
            .write(move |tx| {
                lists::set_progress(tx, "heartbeat", &tx.now.to_string())?;
                let head = findings::last_seen(tx.conn)?.map_or_else(|| "nothing yet".into(), |head| head.to_string());
                let journal = journal::head(tx.conn)?;
                let detail =
                    format!("{state}; digests verified up to {head}; the ledger's journal ends with {journal}");
                let finding = Finding::new(Kind::Heartbeat, warden, detail);
                // The last beat is closed without a word; this one is the news.
                tx.conn.execute(
                    "UPDATE findings SET state = 'resolved' WHERE id = ?1",
                    [finding.fingerprint().as_str()],
                )?;
                findings::raise(tx, &finding).map(|_| ())
            })
            .await
    }
}
