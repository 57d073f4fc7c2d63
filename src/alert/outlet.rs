//! One channel, told what is due: at its own pace, and with its own troubles.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::pace::{Manner, Pace, QUIET};
use super::{Alerts, LATE, context};
use crate::core::alert::{Alert, Reason};
use crate::core::finding::{Finding, Held, Kind};
use crate::core::printable;
use crate::error::{Class, Error, Result};
use crate::metrics::Sending;
use crate::retry::delay_after;
use crate::seam::DynChannel;
use crate::store::outbox::{self, Due};
use crate::store::{Tx, findings};

/// The outbox is looked at this often though nothing rings: other processes write to the ledger, too.
const LOOK: Duration = Duration::from_secs(60);
/// The shortest wait for what is put off.
const PAUSE: Duration = Duration::from_secs(1);
/// An alert that was refused for this long is given up.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What cannot be told now is looked at again after this long.
const LATER: SignedDuration = SignedDuration::from_mins(15);

pub struct Outlet<'a> {
    alerts: &'a Alerts,
    name: String,
    channel: DynChannel,
    bell: broadcast::Receiver<()>,
    pace: Pace,
    /// How long what comes on top of the pace is kept for one alert.
    together: Duration,
    /// Whether the pace knows what was told before this began.
    recalled: bool,
    /// Failures in a row, and until when the channel is left alone.
    failures: u32,
    rests: Option<Instant>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(alerts: &'a Alerts, name: &str, channel: &DynChannel, together: Duration) -> Self {
        let bell = alerts.store.bell();
        Self {
            alerts,
            name: name.into(),
            channel: channel.clone(),
            bell,
            pace: Pace::default(),
            together,
            recalled: false,
            failures: 0,
            rests: None,
        }
    }

    /// Takes one step. False when there is nothing that could be done now.
    pub async fn turn(&mut self) -> Result<bool> {
        if self.rests.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        let alerts = self.alerts;
        let _turn = alerts.turns.read().await;
        if !self.recalled {
            self.recall().await?;
        }
        let (store, now) = (&self.alerts.store, self.alerts.store.env().now());
        let name = self.name.clone();
        let next = move |conn: &rusqlite::Connection| {
            let Some(due) = outbox::next(conn, &name, now)? else { return Ok(None) };
            let held = findings::get(conn, &due.finding)?;
            Ok(Some((due, held)))
        };
        let Some((due, held)) = store.read(next).await? else { return Ok(false) };
        let Some(held) = held else {
            // Another version of the program may know what it is about.
            store.write(move |tx| outbox::later(tx, due.id, tx.now + LATER, "of no kind that is known")).await?;
            return Ok(true);
        };
        // What was tried once may have been received: it is not changed any more, and nothing like it waits for it.
        let manner = match due.ends || due.attempts > 0 {
            true => Manner::Alone,
            false => self.pace.manner(&due.group, due.reason, &due.finding, self.together),
        };
        match manner {
            Manner::After(rest) => {
                let until = now + SignedDuration::try_from(rest).unwrap_or(LATER).max(SignedDuration::from_secs(1));
                store.write(move |tx| outbox::put_off(tx, &due, until)).await?;
                return Ok(true);
            }
            Manner::ForAll => {
                let lead = due.clone();
                store.write(move |tx| outbox::fold(tx, &lead)).await?;
            }
            Manner::Alone => {}
        }
        self.send(due, held).await
    }

    /// A restart is no reason to tell a flood one by one again.
    async fn recall(&mut self) -> Result<()> {
        let (store, name) = (&self.alerts.store, self.name.clone());
        let now = store.env().now();
        let since = now - SignedDuration::try_from(QUIET).unwrap_or(LATER);
        for (group, reason, finding, at) in store.read(move |conn| outbox::lately(conn, &name, since)).await? {
            let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
            if let Some(at) = Instant::now().checked_sub(age) {
                self.pace.told_at(&group, reason, &finding, at);
            }
        }
        self.recalled = true;
        Ok(())
    }

    async fn send(&mut self, due: Due, held: Held) -> Result<bool> {
        let store = &self.alerts.store;
        let key = format!("{}-{}-{}", due.finding, due.reason, due.id);
        let alert = Alert::new(due.reason, held, &self.alerts.warden).runbook(self.alerts.runbook.as_deref());
        let row = due.clone();
        let alert = store.read(move |conn| context::complete(conn, &row, alert)).await?;
        store.fence().check()?;
        let thread = match self.channel.send(&key, &alert).await {
            Ok(thread) => thread,
            Err(error) => {
                self.failed(due, &error).await?;
                return Ok(error.class == Class::Permanent);
            }
        };
        self.tally("sent");
        (self.failures, self.rests) = (0, None);
        if !due.ends {
            self.pace.told(&due.group, due.reason, &due.finding);
        }
        let stamp = move |tx: &Tx<'_>| {
            outbox::sent(tx, due.id, thread.as_deref())?;
            if !outbox::is_failing(tx.conn, &due.channel)? {
                findings::resolve(tx, Kind::ChannelFailing, &due.channel)?;
            }
            Ok(())
        };
        store.write(stamp).await?;
        Ok(true)
    }

    /// The alert is tried again later, and the channel is left alone for a while. That it refuses is told by the other
    /// channels at once, that it takes nothing when the alert is late.
    async fn failed(&mut self, due: Due, error: &Error) -> Result<()> {
        let env = self.alerts.store.env();
        let refused = error.class == Class::Permanent;
        let given_up = refused && env.now().duration_since(due.created) > GIVEN_UP;
        self.tally(match (given_up, refused) {
            (true, _) => "dead",
            (_, true) => "refused",
            _ => "deferred",
        });
        let delay = delay_after(env, due.attempts, error);
        self.rests = Some(Instant::now() + delay_after(env, self.failures, error));
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(channel = self.name, finding.id = due.finding, attempt = due.attempts + 1, refused,
            delay_ms = delay.as_millis() as u64, error = %error, "alert not taken");
        let text = printable(&error.to_string(), 300);
        let late = due.since + LATE <= env.now();
        let detail = if refused {
            format!("channel `{}` refused an alert: {text}", self.name)
        } else {
            format!("channel `{}` has taken no alert since {}: {text}", self.name, due.since)
        };
        let failing = Finding::new(Kind::ChannelFailing, self.name.as_str(), detail);
        let others = self.alerts.names().filter(|name| **name != self.name).cloned().collect::<Vec<_>>();
        let delay = SignedDuration::try_from(delay).unwrap_or(LATER);
        let step = move |tx: &Tx<'_>| {
            if given_up {
                outbox::dead(tx, due.id, &text)?;
            } else {
                outbox::later(tx, due.id, tx.now + delay, &text)?;
            }
            if refused || late { tell_others(tx, &due, &failing, &others) } else { Ok(()) }
        };
        self.alerts.store.write(step).await
    }

    /// Waits until there may be something to send: a commit has left an alert, or one that was put off is due.
    pub async fn wait(&mut self) {
        let name = self.name.clone();
        let next = self.alerts.store.read(move |conn| outbox::next_due(conn, &name)).await.unwrap_or_default();
        let now = self.alerts.store.env().now();
        let until = next.map_or(LOOK, |due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        let rest = self.rests.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        let until = until.max(rest).clamp(PAUSE, LOOK);
        if rest.is_zero() {
            let _ = tokio::time::timeout(until, self.bell.recv()).await;
        } else {
            tokio::time::sleep(until).await;
        }
    }

    fn tally(&self, outcome: &'static str) {
        self.alerts.metrics.alerts.get_or_create(&Sending { channel: self.name.clone(), outcome }).inc();
    }
}

/// What a channel refused, and that it refuses, is told by all the others.
fn tell_others(tx: &Tx<'_>, due: &Due, failing: &Finding, others: &[String]) -> rusqlite::Result<()> {
    let news = findings::raise(tx, failing)?;
    let id = failing.fingerprint();
    let told = outbox::told(tx.conn, id.as_str())?;
    for other in others {
        if news && !told.contains(other) {
            outbox::add(tx, id.as_str(), other, Reason::First, None, tx.now)?;
        }
        if !outbox::was_planned(tx.conn, &due.finding, other, due.created)? {
            outbox::add(tx, &due.finding, other, due.reason, None, tx.now)?;
        }
    }
    Ok(())
}
