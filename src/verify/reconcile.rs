//! Bucket and ledger compared, whatever their times say: what lies in the bucket and was never announced is settled by the
//! ordinary step, what the ledger holds and the bucket has no more is told. (What a digest names and nobody has seen is the
//! sweep's.)
//!
//! Two walks take turns within one budget of requests: the last days, often, and all history before them, slowly. Each goes
//! region folder by region folder through all that bucket or ledger know, so that an account or region that no notification
//! ever named is found too; each keeps its place in the ledger after every page.

mod walk;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

pub use walk::{Difference, Heard, Place, Span, Tally, Walk};

use crate::config::Verify;
use crate::core::finding::{Finding, Kind};
use crate::delivery::Deliveries;
use crate::error::Result;
use crate::health::Pulse;
use crate::metrics::KindLabel;
use crate::store::{findings, lists};
use crate::trail::Trail;

/// So many objects that nobody announced are no accident.
const LOST: u64 = 10;

pub struct Reconcile {
    deliveries: Arc<Deliveries>,
    trail: Arc<Trail>,
    plan: Verify,
    pub pulse: Pulse,
    recent: Option<Walk>,
    history: Option<Walk>,
    /// Since when notifications are listened to.
    since: Option<Timestamp>,
    /// Requests that the last slices took too many.
    debt: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Recent,
    History,
}

impl Turn {
    fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::History => "history",
        }
    }
}

impl Reconcile {
    pub fn new(deliveries: Arc<Deliveries>, trail: Arc<Trail>, plan: Verify) -> Self {
        Self { deliveries, trail, plan, pulse: Pulse::default(), recent: None, history: None, since: None, debt: 0 }
    }

    /// Goes on where the last slice stopped, with so many requests. Deliveries after `upto` are left to their
    /// notifications. True when nothing is left to do until the next round is due.
    pub async fn slice(&mut self, requests: u64, upto: Timestamp) -> Result<bool> {
        let heard = Heard { upto, since: self.since().await? };
        let Some(mut left) = requests.checked_sub(self.debt).filter(|left| *left > 0) else {
            self.debt -= requests;
            return Ok(false);
        };
        self.debt = 0;
        for turn in [Turn::Recent, Turn::History] {
            let Some(mut walk) = self.due(turn).await? else { continue };
            walk.pulse = self.pulse.clone();
            let outcome = walk.go(left, heard).await;
            let (place, slot) = (walk.place.clone(), self.slot(turn));
            *slot = Some(walk);
            let asked = outcome?;
            self.debt = asked.saturating_sub(left);
            left = left.saturating_sub(asked);
            self.report(turn, &place).await?;
            if place.ended.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn slot(&mut self, turn: Turn) -> &mut Option<Walk> {
        match turn {
            Turn::Recent => &mut self.recent,
            Turn::History => &mut self.history,
        }
    }

    /// The walk that is under way or due; `None` while its last round is fresh enough.
    async fn due(&mut self, turn: Turn) -> Result<Option<Walk>> {
        let every = match turn {
            Turn::Recent => self.plan.reconcile,
            Turn::History => self.plan.reconcile_history.filter(|_| self.plan.reconcile.is_some()),
        };
        let Some(every) = every else { return Ok(None) };
        let name = name(&self.trail.name, turn.name());
        let (deliveries, trail, key) = (self.deliveries.clone(), self.trail.clone(), name.clone());
        let begin = |place| Walk::new(deliveries.clone(), trail.clone(), Some(key.clone()), place);
        let walk = match self.slot(turn).take() {
            Some(walk) => walk,
            None => {
                let kept = self.deliveries.store.read(move |conn| lists::progress(conn, &name)).await?;
                let place = kept.and_then(|text| serde_json::from_str(&text).ok());
                begin(place.unwrap_or_else(|| self.fresh(turn)))
            }
        };
        let now = self.deliveries.env.now();
        if walk.place.ended.is_none() {
            return Ok(Some(walk));
        }
        if walk.place.began + signed(every) > now {
            *self.slot(turn) = Some(walk);
            return Ok(None);
        }
        Ok(Some(begin(self.fresh(turn))))
    }

    fn fresh(&self, turn: Turn) -> Place {
        let began = self.deliveries.env.now();
        let border = (began - signed(self.plan.reconcile_window)).to_zoned(TimeZone::UTC).date();
        let span = match turn {
            Turn::Recent => Span { from: Some(border), ..Span::default() },
            Turn::History => Span { before: Some(border), ..Span::default() },
        };
        Place::at(span, began)
    }

    /// Remembered from the first time on: what was delivered before was never announced to this warden.
    async fn since(&mut self) -> Result<Timestamp> {
        if let Some(since) = self.since {
            return Ok(since);
        }
        let name = name(&self.trail.name, "since");
        let since = self
            .deliveries
            .store
            .write(move |tx| match lists::progress(tx.conn, &name)?.and_then(|text| text.parse().ok()) {
                Some(since) => Ok(since),
                None => lists::set_progress(tx, &name, &tx.now.to_string()).map(|()| tx.now),
            })
            .await?;
        self.since = Some(since);
        Ok(since)
    }

    /// What a slice's end means: for metrics, the log, and whoever looks after the notifications.
    async fn report(&mut self, turn: Turn, place: &Place) -> Result<()> {
        let missing = |walk: &Option<Walk>| walk.as_ref().map_or(0, |walk| walk.place.tally.removed);
        let metrics = &self.deliveries.metrics;
        metrics.objects_missing.set(i64::try_from(missing(&self.recent) + missing(&self.history)).unwrap_or(i64::MAX));
        let tally = &place.tally;
        if let Some(ended) = place.ended {
            metrics.last_reconcile.set(ended.as_second() as f64);
            tracing::info!(
                trail = self.trail.name,
                of = turn.name(),
                known = tally.known,
                repaired = tally.repaired,
                removed = tally.removed,
                failed = tally.failed,
                "bucket and ledger compared"
            );
            for (place, found) in &tally.places {
                tracing::info!(trail = self.trail.name, place, ?found, "bucket and ledger differed");
            }
        }
        if turn == Turn::History {
            return Ok(());
        }
        let (subject, lost) = (self.trail.name.clone(), tally.unannounced);
        let (ended, finding) = (place.ended.is_some(), lost_finding(&self.trail, tally));
        let news = self
            .deliveries
            .store
            .write(move |tx| match (lost >= LOST, ended) {
                (true, true) => findings::raise(tx, &finding),
                (true, false) => findings::hold(tx, &finding),
                (false, true) => findings::resolve(tx, Kind::NotificationsLost, &subject).map(|_| false),
                (false, false) => Ok(false),
            })
            .await?;
        if news {
            let kind = Kind::NotificationsLost.name();
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind }).inc();
        }
        Ok(())
    }
}

fn lost_finding(trail: &Trail, tally: &Tally) -> Finding {
    let mut places: Vec<_> = tally.places.iter().filter(|(_, found)| found.repaired > 0).collect();
    places.sort_by_key(|(_, found)| std::cmp::Reverse(found.repaired));
    let worst: Vec<String> =
        places.iter().take(5).map(|(place, found)| format!("{} in {place}", found.repaired)).collect();
    let detail = format!(
        "{} objects lay in the bucket and were never announced; they are settled now. Most: {}",
        tally.unannounced,
        worst.join(", ")
    );
    let mut finding = Finding::new(Kind::NotificationsLost, trail.name.clone(), detail);
    finding.bucket = Some(trail.name_or("").to_owned());
    finding
}

/// The last rounds of a trail, ended or under way: of the last days, of history.
pub fn last_rounds(conn: &Connection, trail: &str) -> rusqlite::Result<[Option<Place>; 2]> {
    let of = |turn: Turn| -> rusqlite::Result<Option<Place>> {
        let kept = lists::progress(conn, &name(trail, turn.name()))?;
        Ok(kept.and_then(|text| serde_json::from_str(&text).ok()))
    };
    Ok([of(Turn::Recent)?, of(Turn::History)?])
}

fn name(trail: &str, what: &str) -> String {
    format!("reconcile/{trail}/{what}")
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
