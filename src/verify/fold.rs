//! Folding, a little after every sweep, so that the ledger stays small: see `store::fold` for what may go.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::Result;
use crate::store::{Store, changes, digests, fold, lists};

/// Days of places that one pass looks at; the next one goes on after them.
const DAYS: usize = 1_000;
/// Of these, as many are folded together.
const STEP: usize = 50;

/// What a pass folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    pub objects: usize,
    pub digests: usize,
    /// Days of places that were looked at.
    pub days: usize,
}

pub struct Fold {
    store: Store,
    after: SignedDuration,
}

impl Fold {
    /// `after`: how long ago a day must have ended.
    pub fn new(store: Store, after: Duration) -> Self {
        Self { store, after: SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX) }
    }

    /// One pass over a source. It never looks at more than so many days, each in steps of its own, so ingest goes on beside it.
    pub async fn run(&self, source: i64) -> Result<Folded> {
        self.store.write(changes::forget).await?;
        let now = self.store.env().now();
        let Ok(until) = now.checked_sub(self.after) else { return Ok(Folded::default()) };
        let mut folded = Folded { digests: self.chains(source, until).await?, ..Folded::default() };
        let name = format!("fold/{source}");
        let (progress, today) = (name.clone(), number(until));
        let held = self.store.read(move |conn| lists::progress(conn, &progress)).await?.unwrap_or_default();
        let numbers = held.split_once(' ').map(|(place, day)| (place.parse(), day.parse()));
        let mut at = if let Some((Ok(place), Ok(day))) = numbers { (place, day) } else { (0, 0) };
        while folded.days < DAYS {
            let days = self.store.read(move |conn| fold::next_days(conn, source, at, today, STEP)).await?;
            let Some(last) = days.last() else {
                at = (0, 0);
                break;
            };
            at = *last;
            folded.days += days.len();
            folded.objects += self.days(days).await?;
        }
        let place = format!("{} {}", at.0, at.1);
        if place != held {
            self.store.write(move |tx| lists::set_progress(tx, &name, &place)).await?;
        }
        Ok(folded)
    }

    async fn days(&self, mut days: Vec<(i64, i64)>) -> Result<usize> {
        let mut objects = 0;
        while !days.is_empty() {
            let left = days.clone();
            let (folded, done) = self.store.write(move |tx| fold::fold_days(tx, &left)).await?;
            objects += folded;
            days.drain(..done);
        }
        Ok(objects)
    }

    /// Standard chains only: what a backfill digest names may be of another chain.
    async fn chains(&self, source: i64, until: Timestamp) -> Result<usize> {
        let look = move |conn: &rusqlite::Connection| {
            let mut ripe = Vec::new();
            for chain in digests::chains(conn, source)?.into_iter().filter(|chain| !chain.chain.backfill) {
                if fold::is_ripe(conn, chain.id, until)? {
                    ripe.push((chain.id, i64::MIN));
                }
            }
            Ok(ripe)
        };
        let (mut digests, mut chains) = (0, self.store.read(look).await?);
        while !chains.is_empty() {
            let (folded, left) = self.store.write(move |tx| fold::fold_chains(tx, &chains, until)).await?;
            digests += folded;
            chains = left;
        }
        Ok(digests)
    }
}

/// The day of a time as yyyymmdd; days before it have ended by then.
fn number(time: Timestamp) -> i64 {
    let date = time.to_zoned(TimeZone::UTC).date();
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}
