//! Logs that somebody added: no digest lists them, although all digests of their hour are there; and logs that no digest can
//! ever list, because there is none for their place and time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Sweep;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, DIGEST_FOLDER, ObjectKey};
use crate::core::notice::Notice;
use crate::error::Result;
use crate::listing;
use crate::store::objects::{self, Listing, Unlisted};
use crate::store::{digests, findings};
use crate::trail::{Trail, Validation};

/// A log's file name gives its delivery to the minute; its digest may be the next one's if it came close to the end.
const EDGE: SignedDuration = SignedDuration::from_mins(10);
/// A chain that was silent for this long has ended: what comes after it is not its own.
const ENDED: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Logs wait this long for digests that chains of their place owe; where there is no chain, for as long as one may begin.
const OWED: SignedDuration = SignedDuration::from_hours(14 * 24);
/// No digest is waited for in the future.
const TOMORROW: SignedDuration = SignedDuration::from_hours(24);
/// Logs that are looked at, and told, in one step.
const PAGE: usize = 20_000;
const TOLD: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Every digest that could list it is there and good.
    Unlisted,
    Waiting,
    /// Nothing will prove it any more.
    Unproven,
}

impl Sweep {
    /// Every log that no digest lists, place by place.
    pub(super) async fn unlisted(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        if trail.validation != Validation::All {
            return Ok(());
        }
        let (source, outside) = (trail.id, (now - HOUR - self.deliveries.unlisted_after, now + TOMORROW));
        let (mut last, mut asked) = (None::<Unlisted>, BTreeMap::new());
        loop {
            let after = last.take();
            let look =
                move |conn: &rusqlite::Connection| objects::unlisted(conn, source, outside, after.as_ref(), PAGE);
            let page = Arc::new(self.deliveries.store.read(look).await?);
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.clone());
            let page = self.ours(trail, page);
            let standings = self.standings(source, &page, now).await?;
            if standings.contains(&Standing::Unlisted) {
                self.tell_unlisted(trail, &page, &standings, &mut asked, now).await?;
            }
            self.tell_unproven(trail, &page, &standings).await?;
        }
    }

    /// Digests of other shards' accounts come to other wardens.
    fn ours(&self, trail: &Trail, page: Arc<Vec<Unlisted>>) -> Arc<Vec<Unlisted>> {
        if trail.shard.is_whole() {
            return page;
        }
        let holds = |log: &&Unlisted| AccountId::parse(&log.account).is_ok_and(|account| trail.shard.holds(account));
        Arc::new(page.iter().filter(holds).cloned().collect())
    }

    async fn standings(&self, source: i64, page: &Arc<Vec<Unlisted>>, now: Timestamp) -> Result<Vec<Standing>> {
        let (page, after) = (page.clone(), self.deliveries.unlisted_after);
        let look = move |conn: &rusqlite::Connection| {
            let mut places = BTreeMap::new();
            page.iter()
                .map(|log| {
                    let place = (folders(log), log.delivered);
                    let coverage = match places.get(&place) {
                        Some(coverage) => *coverage,
                        None => *places.entry(place).or_insert(coverage(conn, source, log, now)?),
                    };
                    Ok(standing(coverage, log, now, after))
                })
                .collect()
        };
        self.deliveries.store.read(look).await
    }

    /// Those that are still unlisted after the bucket was asked for digests that are not known.
    async fn tell_unlisted(
        &self,
        trail: &Trail,
        page: &Arc<Vec<Unlisted>>,
        before: &[Standing],
        asked: &mut BTreeMap<String, bool>,
        now: Timestamp,
    ) -> Result<()> {
        let of = |standings: &[Standing]| -> Vec<Unlisted> {
            let both = page.iter().zip(standings);
            both.filter(|(_, standing)| **standing == Standing::Unlisted).map(|(log, _)| log.clone()).collect()
        };
        let suspects = of(before);
        for folder in suspects.iter().flat_map(folders).collect::<BTreeSet<_>>() {
            if let Entry::Vacant(vacant) = asked.entry(folder) {
                let told = self.ask_for_digests(trail, vacant.key()).await?;
                vacant.insert(told);
            }
        }
        let after = self.standings(trail.id, page, now).await?;
        let mut suspects = of(&after);
        suspects.retain(|log| folders(log).iter().all(|folder| asked.get(folder).copied().unwrap_or(false)));
        let (source, bucket) = (trail.id, trail.name_or("").to_owned());
        for some in suspects.chunks(TOLD) {
            let (some, bucket) = (some.to_vec(), bucket.clone());
            self.commit(move |tx| {
                let mut news = Vec::new();
                for log in &some {
                    if !objects::is_unlisted(tx.conn, source, &log.key)? {
                        // A digest that was just found lists it.
                        continue;
                    }
                    objects::set_listed(tx, source, &log.key, Listing::Told)?;
                    let detail = "the digests of its hour have arrived, and none lists it".to_owned();
                    let mut finding = Finding::of_object(Kind::LogUnlisted, &bucket, &log.key, detail);
                    finding.account = AccountId::parse(&log.account).ok();
                    finding.region = Region::parse(&log.region).ok();
                    if findings::hold(tx, &finding)? {
                        news.push(finding.kind);
                    }
                }
                Ok(news)
            })
            .await?;
        }
        Ok(())
    }

    /// The digest that lists a suspect may lie in the bucket and not be known: of a chain that is not known either, or a
    /// backfill digest. Answers whether all that lies there could be told.
    async fn ask_for_digests(&self, trail: &Trail, folder: &str) -> Result<bool> {
        let source = trail.id;
        let Some(listed) = self.tolerate(listing::all(trail.bucket.as_ref(), folder).await)? else { return Ok(false) };
        let mut told = true;
        for listed in listed {
            let name = listed.key.clone();
            let known = self.deliveries.store.read(move |conn| objects::versions(conn, source, &name)).await?;
            if !known.is_empty() || !matches!(key::parse(&listed.key), ObjectKey::Digest(_)) {
                continue;
            }
            let notice = Notice::listed(trail.name_or(""), &listed.key, listed.size, listed.etag);
            told &= self.tolerate(self.deliveries.settle(trail, &notice).await)?.is_some();
        }
        Ok(told)
    }

    /// One finding for a place and day, however many logs lie there; they are not looked at again.
    async fn tell_unproven(&self, trail: &Trail, page: &[Unlisted], standings: &[Standing]) -> Result<()> {
        let unproven = page.iter().zip(standings).filter(|(_, standing)| **standing == Standing::Unproven);
        let mut places: BTreeMap<String, Vec<Unlisted>> = BTreeMap::new();
        for (log, _) in unproven {
            places.entry(place(log)).or_default().push(log.clone());
        }
        let source = trail.id;
        for (place, logs) in places {
            for some in logs.chunks(TOLD) {
                let (some, subject) = (some.to_vec(), format!("{source}/{place}"));
                let (bucket, detail) = (
                    trail.name_or("").to_owned(),
                    format!("{} logs were seen, and no chain of digests has proven them: {place}", logs.len()),
                );
                self.commit(move |tx| {
                    for log in &some {
                        objects::set_listed(tx, source, &log.key, Listing::Unproven)?;
                    }
                    let Some(first) = some.first() else { return Ok(vec![]) };
                    let mut finding = Finding::of_object(Kind::LogUnproven, &bucket, &first.key, detail);
                    finding.subject = subject;
                    finding.account = AccountId::parse(&first.account).ok();
                    finding.region = Region::parse(&first.region).ok();
                    Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// The day folders in which the digest of a log lies.
fn folders(log: &Unlisted) -> BTreeSet<String> {
    let ObjectKey::Log(parsed) = key::parse(&log.key) else { return BTreeSet::new() };
    let days = listing::dates(log.delivered, log.delivered.saturating_add(HOUR * 2).unwrap_or(log.delivered));
    days.into_iter().map(|day| listing::day_folder(&parsed.root, DIGEST_FOLDER, &parsed.region, day)).collect()
}

/// Where and on which day a log lies.
fn place(log: &Unlisted) -> String {
    let day = log.delivered.to_zoned(TimeZone::UTC).date();
    match key::parse(&log.key) {
        ObjectKey::Log(parsed) => format!("{}{} {day}", parsed.root.path(), parsed.region),
        _ => format!("{}/{} {day}", log.account, log.region),
    }
}

/// Chains that must have a digest for a log's minute, or for the minutes after it, and how many of them have.
fn coverage(
    conn: &rusqlite::Connection,
    source: i64,
    log: &Unlisted,
    now: Timestamp,
) -> rusqlite::Result<[(usize, usize); 2]> {
    let ObjectKey::Log(parsed) = key::parse(&log.key) else { return Ok([(0, 0); 2]) };
    let root = parsed.root.path();
    let at = |at| digests::coverage(conn, source, &root, &parsed.region, at, now - ENDED);
    Ok([at(log.delivered)?, at(log.delivered.saturating_add(EDGE).unwrap_or(log.delivered))?])
}

fn standing(coverage: [(usize, usize); 2], log: &Unlisted, now: Timestamp, after: SignedDuration) -> Standing {
    let [at, later] = coverage;
    let chained = at.0 > 0;
    if chained && at.1 == at.0 && later.1 == later.0 {
        return Standing::Unlisted;
    }
    let patience = if chained { OWED } else { ENDED } + after;
    if log.delivered > now + TOMORROW || now.duration_since(log.seen) >= patience {
        return Standing::Unproven;
    }
    Standing::Waiting
}
