//! Folded days: the bucket's day folders are listed, what lies there is read and compared with the day's entries, and an entry
//! that nothing answers to is an object that is gone.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;

use super::{At, Scrub};
use crate::core::digest::Digest;
use crate::core::finding::Kind;
use crate::core::key::{DIGEST_FOLDER, LogKind};
use crate::core::notice::Notice;
use crate::error::Result;
use crate::listing;
use crate::seam::{Got, Listed};
use crate::store::days::{self, Entries, KeyHash};
use crate::store::findings;
use crate::store::objects::{self, Known};
use crate::store::places::{self, Place};
use crate::trail::Trail;

impl Scrub {
    /// Reads on in a folded day, or begins the next one. Answers the bytes read and where to go on.
    pub(super) async fn day(&self, trail: &Trail, at: (i64, i64), key: &str, budget: u64) -> Result<(u64, Option<At>)> {
        let (source, shard, begun) = (trail.id, trail.shard, !key.is_empty());
        let look = move |conn: &rusqlite::Connection| {
            let at = if begun { Some(at) } else { days::next(conn, source, shard, at.0, at.1)? };
            let Some((place, day)) = at else { return Ok(None) };
            let entries = days::entries(conn, place, day)?;
            Ok(places::get(conn, place)?.zip(date(day)).map(|(place, date)| (place, day, date, entries)))
        };
        let Some((place, day, date, entries)) = self.deliveries.store.read(look).await? else { return Ok((0, None)) };
        let behind = |key: String| Some(At::Day { place: place.id, day, key });
        let Some(listed) = tolerate(self.list(trail, &place, date).await)? else {
            self.tally("unchecked");
            return Ok((1, behind(String::new())));
        };
        let mut read = 1;
        for object in listed.iter().filter(|object| object.key.as_str() > key) {
            self.object(trail, object, &entries).await?;
            read += object.size.max(1);
            if read >= budget {
                return Ok((read, behind(object.key.clone())));
            }
        }
        self.gone(trail, &place, date, &listed, entries).await?;
        Ok((read, behind(String::new())))
    }

    /// All objects of a day, of every kind, in key order.
    async fn list(&self, trail: &Trail, place: &Place, date: Date) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for folder in LogKind::ALL.map(LogKind::folder).into_iter().chain([DIGEST_FOLDER]) {
            let folder = listing::day_folder(&place.root, folder, &place.region, date);
            listed.extend(listing::all(trail.bucket.as_ref(), &folder).await?);
        }
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// One that an entry knows is read and compared; one that nobody knows is settled as if it had been announced.
    async fn object(&self, trail: &Trail, object: &Listed, entries: &Entries) -> Result<()> {
        if let Some(hash) = entries.get(&KeyHash::of(&object.key)) {
            let row = Known::folded(&object.key, *hash, object.size);
            return self.look(trail, &row).await;
        }
        let (source, key) = (trail.id, object.key.clone());
        if !self.deliveries.store.read(move |conn| objects::versions(conn, source, &key)).await?.is_empty() {
            return Ok(());
        }
        let notice = Notice::listed(trail.name_or(""), &object.key, object.size, object.etag.clone());
        tolerate(self.deliveries.settle(trail, &notice).await).map(|_| ())
    }

    /// Entries whose object is gone. The ledger has no names for them any more; the digests that are left have.
    async fn gone(&self, trail: &Trail, place: &Place, date: Date, listed: &[Listed], entries: Entries) -> Result<()> {
        let there: BTreeSet<KeyHash> = listed.iter().map(|object| KeyHash::of(&object.key)).collect();
        let mut gone: BTreeSet<KeyHash> = entries.into_keys().filter(|key| !there.contains(key)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let bucket = format!("{}/", trail.name_or(""));
        let told = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::EvidenceRemoved)).await?;
        for (_, subject) in told {
            gone.remove(&KeyHash::of(subject.strip_prefix(&bucket).unwrap_or(&subject)));
        }
        for date in [date, date.saturating_add(1.day())] {
            if gone.is_empty() {
                return Ok(());
            }
            let folder = listing::day_folder(&place.root, DIGEST_FOLDER, &place.region, date);
            let digests = listing::all(trail.bucket.as_ref(), &folder).await;
            for digest in tolerate(digests)?.unwrap_or_default() {
                for name in tolerate(self.names(trail, &digest).await)?.unwrap_or_default() {
                    if gone.remove(&KeyHash::of(&name)) {
                        let detail = "the scrub did not find it any more".to_owned();
                        self.missing(trail, &name, detail).await?;
                    }
                }
            }
        }
        if !gone.is_empty() {
            let what = format!("{}*/{}/{}", place.root.path(), place.region, date.strftime("%Y/%m/%d/"));
            let detail = format!(
                "the scrub did not find {} of its objects any more, and no digest that is left names them",
                gone.len()
            );
            self.missing(trail, &what, detail).await?;
        }
        Ok(())
    }

    async fn missing(&self, trail: &Trail, object: &str, detail: String) -> Result<()> {
        self.tally("bad");
        self.tell(trail, object, Kind::EvidenceRemoved, detail).await
    }

    /// The keys that a digest names: its logs and its predecessor. What it proves does not matter here.
    async fn names(&self, trail: &Trail, digest: &Listed) -> Result<Vec<String>> {
        let (got, _stored) = self.deliveries.get(trail, &digest.key, None, Some(digest.size)).await?;
        let Got::Found(object) = got else { return Ok(vec![]) };
        let (Ok(inflated), _room) = self.deliveries.memory.inflate(object.body, trail.caps).await? else {
            return Ok(vec![]);
        };
        let Ok(digest) = Digest::parse(&inflated.bytes) else { return Ok(vec![]) };
        let previous = digest.previous.into_iter().map(|previous| previous.key);
        Ok(digest.logs.into_iter().map(|log| log.key).chain(previous).collect())
    }
}

/// What one object or folder refuses must not stop the scrub: `None` means that it could not be told now.
fn tolerate<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            tracing::warn!(error = %error, "could not be scrubbed");
            Ok(None)
        }
    }
}

/// Of yyyymmdd.
fn date(day: i64) -> Option<Date> {
    let part = |number: i64| i8::try_from(number).ok();
    Date::new(i16::try_from(day / 10_000).ok()?, part(day / 100 % 100)?, part(day % 100)?).ok()
}
