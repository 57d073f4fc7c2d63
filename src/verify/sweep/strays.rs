//! Deliveries of other shards' accounts: judged like any other, and told when they are more than strays. Then a rule leads to the
//! wrong queue, or the warden has another's number.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::Sweep;
use crate::core::finding::{Finding, Kind};
use crate::core::key;
use crate::core::printable;
use crate::error::Result;
use crate::store::findings;
use crate::trail::Trail;

/// So many in [`LATELY`] are no strays any more.
const MANY: u64 = 10;
const LATELY: SignedDuration = SignedDuration::from_hours(1);

/// How many came when.
#[derive(Default)]
pub(super) struct Came {
    /// When this was asked for the first time.
    since: Option<Timestamp>,
    lately: VecDeque<(Timestamp, u64)>,
}

impl Came {
    /// How many came lately, and whether all of that time was watched.
    fn add(&mut self, count: u64, now: Timestamp) -> (u64, bool) {
        let since = *self.since.get_or_insert(now);
        if count > 0 {
            self.lately.push_back((now, count));
        }
        while self.lately.front().is_some_and(|(at, _)| now.duration_since(*at) > LATELY) {
            self.lately.pop_front();
        }
        (self.lately.iter().map(|(_, count)| count).sum(), now.duration_since(since) >= LATELY)
    }
}

impl Sweep {
    /// Told while many come, and over when none has come for a while.
    pub(super) async fn strays(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let strays = trail.take_strays();
        let (lately, watched) = self.remember(|memory| memory.came.add(strays.count, now));
        if strays.count > 0 && lately >= MANY {
            return self.hold(mismatch(trail, lately, &strays.first)).await;
        }
        if trail.shard.is_whole() || (lately == 0 && watched) {
            let name = trail.name.clone();
            let told = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::ShardMismatch)).await?;
            let over = told.into_iter().filter(|(_, subject)| *subject == name).map(|(id, _)| id);
            self.resolve(over.collect()).await?;
        }
        Ok(())
    }
}

fn mismatch(trail: &Trail, lately: u64, first: &str) -> Finding {
    let (own, shown) = (trail.shard, printable(first, 300));
    let theirs = key::parse(first).root().map_or_else(String::new, |root| {
        format!(", whose account {} is of shard {}", root.account, own.of(root.account))
    });
    let detail = format!(
        "{lately} objects of other shards' accounts were announced to shard {own} within an hour; lately {shown}{theirs}"
    );
    let mut finding = Finding::new(Kind::ShardMismatch, trail.name.clone(), detail);
    finding.bucket = Some(trail.name_or("").to_owned());
    finding.object = Some(shown);
    finding
}
