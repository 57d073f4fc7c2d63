//! Logs that somebody added: no digest lists them, although all digests of their hour are there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Sweep;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, DIGEST_FOLDER, ObjectKey};
use crate::core::notice::Notice;
use crate::error::Result;
use crate::listing;
use crate::store::fold::LOOKBACK;
use crate::store::objects::{self, Listing, Unlisted};
use crate::store::{digests, findings};
use crate::trail::{Trail, Validation};

/// A log's file name gives its delivery to the minute; its digest may be the next one's if it came close to the end.
const EDGE: SignedDuration = SignedDuration::from_mins(10);

/// Unlisted logs that one sweep looks at: those of unproven hours wait among them.
const SUSPECTS: usize = 50_000;

impl Sweep {
    /// Logs that no digest lists, although every chain of their place has a good digest for their time.
    pub(super) async fn unlisted(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        if trail.validation != Validation::All {
            return Ok(());
        }
        let (source, before) = (trail.id, now - HOUR - self.deliveries.unlisted_after);
        let asked = self.suspects(source, before).await?;
        if asked.is_empty() {
            return Ok(());
        }
        let untold = self.ask_for_digests(trail, &asked).await?;
        let mut suspects = self.suspects(source, before).await?;
        let asked: BTreeSet<&str> = asked.iter().map(|log| log.key.as_str()).collect();
        suspects.retain(|log| asked.contains(log.key.as_str()) && folders(log).is_disjoint(&untold));
        for log in suspects {
            let detail = "the digests of its hour have arrived, and none lists it".to_owned();
            let mut finding = Finding::of_object(Kind::LogUnlisted, trail.name_or(""), &log.key, detail);
            finding.account = AccountId::parse(&log.account).ok();
            finding.region = Region::parse(&log.region).ok();
            self.commit(move |tx| {
                objects::set_listed(tx, source, &log.key, Listing::Told)?;
                Ok(if findings::hold(tx, &finding)? { vec![finding.kind] } else { vec![] })
            })
            .await?;
        }
        Ok(())
    }

    async fn suspects(&self, source: i64, before: Timestamp) -> Result<Vec<Unlisted>> {
        // Logs of unproven hours wait so long for their digests after they were seen; then they must not keep newer ones from
        // being looked at. Their hours are told as missing digests.
        let since = self.deliveries.env.now() - LOOKBACK;
        let look = move |conn: &rusqlite::Connection| {
            let mut suspects = objects::unlisted(conn, source, before, since, SUSPECTS)?;
            let mut seen: BTreeMap<(BTreeSet<String>, i64), bool> = BTreeMap::new();
            let mut error = None;
            suspects.retain(|log| {
                let moment = (folders(log), log.delivered.as_second());
                *seen.entry(moment).or_insert_with(|| {
                    covered(conn, source, log).unwrap_or_else(|why| {
                        error = Some(why);
                        false
                    })
                })
            });
            error.map_or(Ok(suspects), Err)
        };
        self.deliveries.store.read(look).await
    }

    /// The digest that lists a suspect may lie in the bucket and not be known: of a chain that is not known either, or a
    /// backfill digest. Answers the folders of which that could not be told now: they prove nothing.
    async fn ask_for_digests(&self, trail: &Trail, suspects: &[Unlisted]) -> Result<BTreeSet<String>> {
        let (source, mut untold) = (trail.id, BTreeSet::new());
        for folder in suspects.iter().flat_map(folders).collect::<BTreeSet<_>>() {
            let Some(listed) = self.tolerate(listing::all(trail.bucket.as_ref(), &folder).await)? else {
                untold.insert(folder);
                continue;
            };
            for listed in listed {
                let name = listed.key.clone();
                let known = self.deliveries.store.read(move |conn| objects::versions(conn, source, &name)).await?;
                if !known.is_empty() || !matches!(key::parse(&listed.key), ObjectKey::Digest(_)) {
                    continue;
                }
                let notice = Notice::listed(trail.name_or(""), &listed.key, listed.size, listed.etag);
                if self.tolerate(self.deliveries.settle(trail, &notice).await)?.is_none() {
                    untold.insert(folder.clone());
                }
            }
        }
        Ok(untold)
    }
}

/// The day folders in which the digest of a log lies.
fn folders(log: &Unlisted) -> BTreeSet<String> {
    let ObjectKey::Log(parsed) = key::parse(&log.key) else { return BTreeSet::new() };
    let days = listing::dates(log.delivered, log.delivered + HOUR * 2);
    days.into_iter().map(|day| listing::day_folder(&parsed.root, DIGEST_FOLDER, &parsed.region, day)).collect()
}

/// Every chain of the log's place has a good digest for its minute and for the minutes after it.
fn covered(conn: &rusqlite::Connection, source: i64, log: &objects::Unlisted) -> rusqlite::Result<bool> {
    let ObjectKey::Log(parsed) = key::parse(&log.key) else { return Ok(false) };
    let root = parsed.root.path();
    for at in [log.delivered, log.delivered + EDGE] {
        let (chains, with) = digests::coverage(conn, source, &root, &parsed.region, at)?;
        if chains == 0 || with < chains {
            return Ok(false);
        }
    }
    Ok(true)
}
