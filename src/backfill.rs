//! Listing → the ordinary path: what notifications missed, or what lay there before the warden came.
//!
//! Pruned to account, region and day folders; each finished folder is remembered, so that an interrupted run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::core::id::{AccountId, Region};
use crate::core::key::LogKind;
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate};
use crate::error::{Error, Result};
use crate::listing;
use crate::seam::Listed;
use crate::store::{lists, objects};
use crate::trail::Trail;

#[derive(Debug, Clone)]
pub struct Scope {
    pub from: Timestamp,
    pub to: Timestamp,
    /// `None`: all of the shard.
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Begin anew instead of going on.
    pub restart: bool,
}

#[derive(Debug, Default)]
pub struct Progress {
    pub folders: AtomicU64,
    pub folders_done: AtomicU64,
    pub listed: AtomicU64,
    pub known: AtomicU64,
    pub settled: AtomicU64,
    pub failed: AtomicU64,
}

pub struct Backfill {
    deliveries: Arc<Deliveries>,
    trail: Arc<Trail>,
    permits: Arc<Semaphore>,
}

impl Backfill {
    pub fn new(deliveries: Arc<Deliveries>, trail: Arc<Trail>, concurrency: usize) -> Self {
        Self { deliveries, trail, permits: Arc::new(Semaphore::new(concurrency.max(1))) }
    }

    /// Every object of the scope that the ledger has not admitted is settled as if it had been announced.
    pub async fn run(&self, scope: &Scope, progress: &Arc<Progress>) -> Result<()> {
        if scope.restart && !scope.dry_run {
            let prefix = self.memory("");
            self.deliveries.store.write(move |tx| lists::forget_progress(tx, &prefix)).await?;
        }
        let folders = self.folders(scope).await?;
        progress.folders.store(folders.len() as u64, Ordering::Relaxed);
        for folder in folders {
            let memory = self.memory(&folder);
            let name = memory.clone();
            let finished = self.deliveries.store.read(move |conn| lists::progress(conn, &name)).await?.is_some();
            if !finished || scope.dry_run {
                let complete = self.folder(&folder, scope, progress).await?;
                // Today's folders still grow, and a failure is to be met again: neither is finished.
                let past = is_past(&folder, self.deliveries.env.now());
                if complete && past && !scope.dry_run {
                    self.deliveries.store.write(move |tx| lists::set_progress(tx, &memory, "done")).await?;
                }
            }
            progress.folders_done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn memory(&self, folder: &str) -> String {
        format!("backfill/{}/{folder}", self.trail.name)
    }

    /// Day folders, oldest day first: digests after the logs they list, so that nothing is fetched twice.
    async fn folders(&self, scope: &Scope) -> Result<Vec<String>> {
        let bucket = self.trail.bucket.as_ref();
        let days = listing::dates(scope.from, scope.to);
        let mut places = Vec::new();
        for root in listing::roots(bucket, &self.trail.rules.layout).await? {
            let ours = || self.trail.shard.holds(root.account);
            if !scope.account.map_or_else(ours, |account| account == root.account) {
                continue;
            }
            let kinds = LogKind::ALL.iter().map(|kind| kind.folder()).chain(["CloudTrail-Digest"]);
            for kind in kinds {
                for region in listing::regions(bucket, &root, kind).await? {
                    if scope.region.as_ref().is_none_or(|wanted| *wanted == region) {
                        places.push((root.clone(), kind, region));
                    }
                }
            }
        }
        let mut folders = Vec::with_capacity(days.len() * places.len());
        for day in days {
            folders.extend(places.iter().map(|(root, kind, region)| listing::day_folder(root, kind, region, day)));
        }
        Ok(folders)
    }

    /// True when everything in it was settled.
    async fn folder(&self, folder: &str, scope: &Scope, progress: &Arc<Progress>) -> Result<bool> {
        let listed = listing::all(self.trail.bucket.as_ref(), folder).await?;
        progress.listed.fetch_add(listed.len() as u64, Ordering::Relaxed);
        let new = self.unknown(listed, progress).await?;
        if scope.dry_run {
            progress.settled.fetch_add(new.len() as u64, Ordering::Relaxed);
            return Ok(true);
        }
        let failed = progress.failed.load(Ordering::Relaxed);
        let mut running = JoinSet::new();
        for object in new {
            let permit = self.permits.clone().acquire_owned().await.map_err(|error| Error::fatal("backfill", error))?;
            let (deliveries, trail, progress) = (self.deliveries.clone(), self.trail.clone(), progress.clone());
            running.spawn(async move {
                let notice = Notice::listed(trail.name_or(""), &object.key, object.size, object.etag);
                match deliveries.settle(&trail, &notice).await {
                    Ok(Fate::Repeated) => progress.known.fetch_add(1, Ordering::Relaxed),
                    Ok(_) => progress.settled.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        tracing::warn!(error = %error, object.key = object.key, "could not be settled");
                        progress.failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
                drop(permit);
            });
        }
        while let Some(joined) = running.join_next().await {
            joined.map_err(|error| Error::transient("backfill", error))?;
        }
        Ok(progress.failed.load(Ordering::Relaxed) == failed)
    }

    async fn unknown(&self, listed: Vec<Listed>, progress: &Progress) -> Result<Vec<Listed>> {
        let source = self.trail.id;
        let (new, known) = self
            .deliveries
            .store
            .read(move |conn| {
                let (mut new, mut known) = (Vec::new(), 0);
                for object in listed {
                    let rows = objects::versions(conn, source, &object.key)?;
                    if rows.iter().any(objects::Known::is_admitted) {
                        known += 1;
                    } else {
                        new.push(object);
                    }
                }
                Ok((new, known))
            })
            .await?;
        progress.known.fetch_add(known, Ordering::Relaxed);
        Ok(new)
    }
}

/// Whether a day folder's day ended more than a day ago, so that nothing more is delivered into it.
fn is_past(folder: &str, now: Timestamp) -> bool {
    let mut parts = folder.trim_end_matches('/').rsplit('/');
    let mut number = || parts.next().and_then(|part| part.parse::<i16>().ok());
    let (Some(day), Some(month), Some(year)) = (number(), number(), number()) else { return false };
    let date = jiff::civil::Date::new(year, i8::try_from(month).unwrap_or(0), i8::try_from(day).unwrap_or(0));
    let Some(end) = date.ok().and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok()) else { return false };
    end.timestamp() + jiff::SignedDuration::from_hours(48) < now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_days_folder_is_finished_a_day_after_its_end() {
        let folder = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/";
        assert!(!is_past(folder, "2026-03-02T23:59:59Z".parse().unwrap()));
        assert!(is_past(folder, "2026-03-03T00:00:01Z".parse().unwrap()));
        assert!(!is_past("AWSLogs/x/", "2026-03-03T00:00:01Z".parse().unwrap()));
    }
}
