//! An alert's way: due rows of the outbox, oldest first, one channel at a time, until they are sent.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::core::finding::{Alert, Finding, Kind, Reason, State};
use crate::core::printable;
use crate::error::{Class, Error, Result};
use crate::health::Health;
use crate::metrics::{Metrics, Sending};
use crate::retry::delay_after;
use crate::seam::DynChannel;
use crate::store::outbox::{self, Due};
use crate::store::{Store, Tx, findings, journal, lists};

/// The outbox is looked at this often though nothing rings: other processes write to the ledger, too.
const LOOK: Duration = Duration::from_secs(15);
/// The shortest wait for what is put off.
const PAUSE: Duration = Duration::from_secs(1);
/// An alert that waits for longer is late: its channel is told of by the others.
const LATE: SignedDuration = SignedDuration::from_mins(15);

pub struct Alerts {
    store: Store,
    metrics: Arc<Metrics>,
    channels: BTreeMap<String, DynChannel>,
    warden: String,
    heartbeat: Option<SignedDuration>,
    health: OnceLock<Arc<Health>>,
}

impl Alerts {
    pub fn new(
        store: Store,
        metrics: Arc<Metrics>,
        channels: BTreeMap<String, DynChannel>,
        warden: String,
        heartbeat: Option<SignedDuration>,
    ) -> Self {
        Self { store, metrics, channels, warden, heartbeat, health: OnceLock::new() }
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

    /// Sends what is due, all channels side by side. Answers how many alerts were sent.
    pub async fn pump(&self) -> Result<usize> {
        self.beat().await?;
        let sends = self.channels.iter().map(|(name, channel)| self.pump_channel(name, channel));
        let mut sent = 0;
        for outcome in futures_util::future::join_all(sends).await {
            sent += outcome?;
        }
        let now = self.store.env().now();
        let (due, oldest) = self.store.read(move |conn| outbox::backlog(conn, now)).await?;
        self.metrics.alerts_due.set(due);
        self.metrics.alert_oldest.set(oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0)));
        Ok(sent)
    }

    /// One channel, in order: a channel that fails keeps its place and does not keep the others waiting.
    async fn pump_channel(&self, name: &str, channel: &DynChannel) -> Result<usize> {
        let mut sent = 0;
        loop {
            if let Some(health) = self.health.get() {
                health.moved("alerts");
            }
            let (channel_name, now) = (name.to_owned(), self.store.env().now());
            let Some(due) = self.store.read(move |conn| outbox::next(conn, &channel_name, now)).await? else {
                return Ok(sent);
            };
            let finding = due.finding.clone();
            let look = move |conn: &rusqlite::Connection| Ok((findings::get(conn, &finding)?, journal::head(conn)?));
            let (held, head) = self.store.read(look).await?;
            let Some(held) = held.filter(|held| due.reason != Reason::Repeat || held.state == State::Open) else {
                let id = due.id;
                self.store.write(move |tx| outbox::cancel(tx, id)).await?;
                continue;
            };
            let key = format!("{}-{}-{}", due.finding, due.reason, due.id);
            let alert = Alert::new(due.reason, held, &self.warden).ledger(head);
            match channel.send(&key, &alert).await {
                Ok(()) => {
                    self.tally(name, "sent");
                    let (name, others) = (name.to_owned(), self.others(name));
                    let step = move |tx: &Tx<'_>| {
                        outbox::sent(tx, &due)?;
                        around(tx, &others, |tx| findings::resolve(tx, Kind::ChannelFailing, &name)).map(|_| ())
                    };
                    self.store.write(step).await?;
                    sent += 1;
                }
                Err(error) if error.class == Class::Permanent => self.dead(name, due, &error).await?,
                Err(error) => {
                    self.tally(name, "deferred");
                    let delay = delay_after(self.store.env(), due.attempts, &error);
                    tracing::warn!(channel = name, attempt = due.attempts + 1, delay_ms = delay.as_millis() as u64, error = %error,
                        "alert deferred");
                    let at = now + SignedDuration::try_from(delay).unwrap_or(SignedDuration::from_mins(15));
                    self.put_off(name, due, at, &error).await?;
                    return Ok(sent);
                }
            }
        }
    }

    /// A channel that takes nothing now: told by the others once its alerts are late.
    async fn put_off(&self, name: &str, due: Due, at: Timestamp, error: &Error) -> Result<()> {
        let text = printable(&error.to_string(), 300);
        let detail = format!("channel `{name}` has taken no alert since {}: {text}", due.since());
        let finding = Finding::new(Kind::ChannelFailing, name, detail);
        let others = self.others(name);
        self.store
            .write(move |tx| {
                outbox::later(tx, due.id, at, &text)?;
                if due.since() + LATE <= tx.now {
                    around(tx, &others, |tx| findings::hold(tx, &finding))?;
                }
                Ok(())
            })
            .await
    }

    fn others(&self, name: &str) -> Vec<String> {
        self.channels.keys().filter(|other| *other != name).cloned().collect()
    }

    /// A channel that refuses for good: told by all the others that the routes know.
    async fn dead(&self, name: &str, due: Due, error: &Error) -> Result<()> {
        self.tally(name, "dead");
        tracing::error!(channel = name, finding.id = due.finding, error = %error, "alert refused for good");
        let text = printable(&error.to_string(), 300);
        let detail = format!("channel `{name}` refused an alert: {text}");
        let finding = Finding::new(Kind::ChannelFailing, name, detail);
        let others = self.others(name);
        let unsent = due.finding.clone();
        self.store
            .write(move |tx| {
                outbox::dead(tx, due.id, &text)?;
                around(tx, &others, |tx| findings::raise(tx, &finding))?;
                // The alert itself takes the other way too, unless that way had it already.
                for channel in &others {
                    if due.reason != Reason::Test && !outbox::was_planned(tx.conn, &unsent, channel)? {
                        outbox::add(tx, &unsent, channel, due.reason, None, tx.now)?;
                    }
                }
                Ok(())
            })
            .await
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

    fn tally(&self, channel: &str, outcome: &'static str) {
        self.metrics.alerts.get_or_create(&Sending { channel: channel.into(), outcome }).inc();
    }

    /// Waits until there may be something to send: a commit has left an alert, or one that was put off is due.
    pub async fn wait(&self) {
        let names: Vec<String> = self.channels.keys().cloned().collect();
        let next = move |conn: &rusqlite::Connection| {
            let due = names.iter().map(|name| outbox::next_due(conn, name)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(due.into_iter().flatten().min())
        };
        let next = self.store.read(next).await.unwrap_or_default();
        let until =
            next.map_or(LOOK, |due| Duration::try_from(due.duration_since(self.store.env().now())).unwrap_or_default());
        let _ = tokio::time::timeout(until.clamp(PAUSE, LOOK), self.store.rung()).await;
    }
}

/// Raises or resolves something by the routes, but for the channels that are not among `others`.
fn around(
    tx: &Tx<'_>,
    others: &[String],
    change: impl FnOnce(&Tx<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<bool> {
    let routes: Vec<_> = tx
        .routes
        .iter()
        .map(|route| {
            let mut route = route.clone();
            route.to.retain(|channel| others.contains(channel));
            if route.to.is_empty() {
                route.to = others.to_vec();
            }
            route
        })
        .collect();
    change(&Tx { routes: &routes, ..*tx })
}
