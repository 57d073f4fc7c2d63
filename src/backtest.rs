//! A rule tried on what lies in the bucket: how often it would have told somebody, of whom, and at which threshold.
//!
//! Nothing is written and nobody is told. Logs are read in the order in which they were delivered, so that what comes late comes
//! late here, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::core::admit::Layout;
use crate::core::gzip::Caps;
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, LogKey, LogKind, ObjectKey};
use crate::core::record;
use crate::core::rule::{Firing, Hits, Rule, Rules, Trial};
use crate::delivery::Memory;
use crate::env::Env;
use crate::error::{Class, Result};
use crate::listing;
use crate::retry::{Policy, retry};
use crate::seam::{DynBucket, Got};

/// Thresholds that are tried besides the rule's own.
const THRESHOLDS: &[u64] = &[1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000];

#[derive(Debug, Clone)]
pub struct Scope {
    pub from: Timestamp,
    pub to: Timestamp,
    pub account: Option<AccountId>,
    pub region: Option<Region>,
}

/// Where the logs lie, and how they are read.
pub struct Backtest {
    pub bucket: DynBucket,
    pub layout: Vec<Layout>,
    pub caps: Caps,
    pub object_limit: u64,
    pub memory: Memory,
    pub env: Env,
    /// Logs read at once.
    pub concurrency: usize,
}

/// How far it is; shared with whoever draws it.
#[derive(Debug, Default)]
pub struct Progress {
    pub days: AtomicU64,
    pub days_done: AtomicU64,
    pub logs: AtomicU64,
}

/// What the rule would have done.
#[derive(Debug, Default)]
pub struct Tried {
    pub logs: u64,
    pub records: u64,
    /// Logs that could not be read.
    pub unread: u64,
    /// Events that the rule is about.
    pub matched: u64,
    pub firings: Vec<Firing>,
    /// Thresholds, and how often it would have fired at each.
    pub thresholds: Vec<(u64, usize)>,
}

/// A log that was read.
struct Read {
    key: String,
    delivered: i64,
    records: u64,
    hits: Hits,
}

impl Backtest {
    pub async fn run(&self, rule: &Rule, scope: &Scope, progress: &Arc<Progress>) -> Result<Tried> {
        let own = rule.window.at_least;
        let mut thresholds: Vec<u64> = THRESHOLDS.to_vec();
        thresholds.push(own);
        thresholds.sort_unstable();
        thresholds.dedup();
        let with = |at_least: u64| {
            let mut rule = rule.clone();
            rule.window.at_least = at_least;
            Rules::compile(vec![rule])
        };
        let rules: Vec<Rules> = thresholds.iter().map(|at_least| with(*at_least)).collect();
        let mut trials: Vec<Trial<'_>> = rules.iter().map(Trial::new).collect();
        let mut tried = Tried::default();
        let looking = with(own);
        let places = self.places(scope).await?;
        let days = listing::dates(scope.from, scope.to);
        progress.days.store(days.len() as u64, Ordering::Relaxed);
        for day in days {
            let mut logs = Vec::new();
            for folder in places.iter().map(|(root, kind, region)| listing::day_folder(root, kind, region, day)) {
                let listed = listing::all(self.bucket.as_ref(), &folder).await?;
                logs.extend(listed.into_iter().filter_map(|object| match key::parse(&object.key) {
                    ObjectKey::Log(log) => Some((log, object.key)),
                    _ => None,
                }));
            }
            logs.sort_by(|one, other| (one.0.delivered, &one.1).cmp(&(other.0.delivered, &other.1)));
            let mut reading =
                stream::iter(logs).map(|(log, key)| self.read(&looking, log, key)).buffered(self.concurrency.max(1));
            while let Some(read) = reading.next().await {
                progress.logs.fetch_add(1, Ordering::Relaxed);
                tried.logs += 1;
                let Some(read) = read? else {
                    tried.unread += 1;
                    continue;
                };
                tried.records += read.records;
                trials.iter_mut().for_each(|trial| trial.feed(&read.hits, &read.key, read.delivered));
            }
            progress.days_done.fetch_add(1, Ordering::Relaxed);
        }
        for (at_least, trial) in thresholds.into_iter().zip(trials) {
            tried.thresholds.push((at_least, trial.firings.len()));
            if at_least == own {
                (tried.matched, tried.firings) = (trial.matched, trial.firings);
            }
        }
        Ok(tried)
    }

    /// Every place of the scope at which logs lie.
    async fn places(&self, scope: &Scope) -> Result<Vec<(key::Root, &'static str, Region)>> {
        let bucket = self.bucket.as_ref();
        let mut places = Vec::new();
        for root in listing::roots(bucket, &self.layout).await? {
            if scope.account.is_some_and(|account| account != root.account) {
                continue;
            }
            for kind in LogKind::ALL.iter().map(|kind| kind.folder()) {
                for region in listing::regions(bucket, &root, kind).await? {
                    if scope.region.as_ref().is_none_or(|wanted| *wanted == region) {
                        places.push((root.clone(), kind, region));
                    }
                }
            }
        }
        Ok(places)
    }

    /// `None` where there is nothing that could be read.
    async fn read(&self, rules: &Rules, log: LogKey, key: String) -> Result<Option<Read>> {
        let (bucket, most) = (self.bucket.as_ref(), self.object_limit);
        let got = retry(&self.env, Policy::STEP, || self.memory.get(bucket, &key, None, None, most)).await;
        let (object, room) = match got {
            Ok((Got::Found(object), room)) => (object, room),
            Ok(_) => return Ok(None),
            Err(error) if error.class == Class::Permanent => {
                tracing::warn!(error = %error, object.key = key, "could not be read");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let (inflated, _inflated_room) = self.memory.inflate(object.body, self.caps).await?;
        drop(room);
        let Ok(inflated) = inflated else { return Ok(None) };
        let mut hits = Hits::default();
        let file = record::read(&inflated.bytes, &log, |record, raw| rules.look(record, raw, &mut hits));
        let Ok(file) = file else { return Ok(None) };
        Ok(Some(Read { key, delivered: log.delivered.as_second(), records: file.rows, hits }))
    }
}
