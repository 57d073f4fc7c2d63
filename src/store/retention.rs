//! What the ledger knows for retention: what there is by day and size, since when the bucket has had which default, how far
//! objects have been locked one by one, and which legal holds were put.

use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, Result, params};
use serde::{Deserialize, Serialize};

use crate::core::id::AccountId;
use crate::core::lock::cost::Stock;
use crate::core::lock::lifecycle::SMALL;
use crate::core::lock::{Mode, Need, Term};
use crate::store::objects::KEY;
use crate::store::places::Place;
use crate::store::{Tx, lists};

/// Evidence that should still lie in the bucket.
const EVIDENCE: &str = "state IN (0, 3) AND removed IS NULL";

/// In seconds.
const DAY: i64 = 86_400;

/// All evidence of a source, by the day of its keys. A folded day knows no sizes: its mean stands for each of its objects.
pub fn stock(conn: &Connection, source: i64) -> Result<Stock> {
    let mut stock = Stock::default();
    let mut add = |day: i64, objects: i64, bytes: i64| {
        if let Some(day) = date(day) {
            stock.days.entry(day).or_default().add(objects.unsigned_abs(), bytes.unsigned_abs());
        }
    };
    let mut query = conn.prepare_cached(&format!(
        "SELECT CAST(substr(name, 1, 8) AS INTEGER) AS day, size >= ?2 AS large, count(*), sum(size)
         FROM places CROSS JOIN deliveries ON place = places.id
         WHERE source = ?1 AND root <> '' AND {EVIDENCE} GROUP BY day, large"
    ))?;
    let mut rows = query.query(params![source, SMALL.cast_signed()])?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, row.get(2)?, row.get(3)?);
    }
    let mut query = conn.prepare_cached(
        "SELECT day, sum(objects), sum(bytes) FROM places CROSS JOIN days ON place = places.id
         WHERE source = ?1 AND objects > 0 GROUP BY day, bytes / objects >= ?2",
    )?;
    let mut rows = query.query(params![source, SMALL.cast_signed()])?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(stock)
}

fn date(day: i64) -> Option<Date> {
    let part = |number: i64| i8::try_from(number).ok();
    Date::new(i16::try_from(day / 10_000).ok()?, part(day / 100 % 100)?, part(day % 100)?).ok()
}

/// The number of a day, as keys and folded days have it.
pub fn day_of(time: Timestamp) -> i64 {
    let date = jiff::tz::Offset::UTC.to_datetime(time).date();
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// Since when a bucket has had which default. Nothing is known of the time before the first entry: S3 locks what comes after a
/// default was set, and does not say when that was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    entries: Vec<(Timestamp, Option<Term>)>,
    /// When it was last looked at.
    checked: Timestamp,
}

impl History {
    /// A default as it was found at a time.
    pub fn note(&mut self, found: Option<Term>, now: Timestamp) {
        let last = self.entries.last().map(|(_, term)| *term);
        if last != Some(found) {
            let weaker = |old: Term| !found.is_some_and(|found| found.covers(old));
            // A weaker one may have been there since the last look.
            let from = if last.flatten().is_some_and(weaker) { self.checked } else { now };
            self.entries.push((from, found));
        }
        self.checked = now;
    }

    /// Which objects do not have a term by the bucket's default, now that it is to be `planned`.
    pub fn lacks(&self, wanted: Term, planned: Option<Term>, now: Timestamp) -> Lacks {
        let covers = |term: Option<Term>| term.is_some_and(|term| term.covers(wanted));
        if !covers(planned) {
            return Lacks::All;
        }
        let mut ends = self.entries.iter().skip(1).map(|(from, _)| *from).chain([now]);
        let mut last = self.entries.first().map_or(Lacks::None, |(first, _)| Lacks::Before(*first));
        for (_, term) in &self.entries {
            let end = ends.next().unwrap_or(now);
            if !covers(*term) {
                last = Lacks::Before(end);
            }
        }
        last
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    None,
    Before(Timestamp),
    All,
}

/// `archive`, here and below, is a trail and its bucket: what is known of one bucket is not believed of the next.
pub fn history(conn: &Connection, archive: &str) -> Result<History> {
    let kept = lists::progress(conn, &format!("retention/{archive}/default"))?;
    Ok(kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

pub fn set_history(tx: &Tx<'_>, archive: &str, history: &History) -> Result<()> {
    let text = serde_json::to_string(history).unwrap_or_default();
    lists::set_progress(tx, &format!("retention/{archive}/default"), &text)
}

/// How far the objects of a place have been locked one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    pub mode: Mode,
    pub logs: u32,
    pub digests: u32,
    pub before: Option<Timestamp>,
    /// What the last pass that came to its end found done.
    pub done: Moment,
    /// Whether that pass went through all folded days.
    pub whole: bool,
    /// The pass that has begun.
    pub pass: Option<Pass>,
}

/// What was known of a place at a second: once that is done, only what is committed later is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Rows that were seen before this second, and so many of those that were seen in it.
    pub seen: i64,
    pub edge: i64,
    /// How many objects were known by then: more without as many new rows means that some were folded unseen.
    pub total: i64,
}

/// A way through a place: first the rows by name, then the folded days. It may take several audits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When it began.
    pub from: Moment,
    /// Rows up to this name and version are done; all of them without one.
    pub row: Option<(String, String)>,
    /// Folded days up to this one are done, or need not be looked at.
    pub day: i64,
    /// Something was refused: all is to be gone through again.
    pub refused: bool,
}

impl Extended {
    pub fn begin(need: &Need) -> Self {
        let Need { mode, logs, digests, before, .. } = *need;
        Self { mode, logs, digests, before, done: Moment::default(), whole: false, pass: None }
    }

    /// What is done for this need alone: whoever asks for more again later is not told that it was done for more.
    #[must_use]
    pub fn held_to(self, need: &Need) -> Self {
        let Need { mode, logs, digests, before, .. } = *need;
        let (own, other) = ((mode, logs, digests, before), (self.mode, self.logs, self.digests, self.before));
        let done = if own == other { self.done } else { Moment { edge: 0, total: 0, ..self.done } };
        Self { mode, logs, digests, before, done, ..self }
    }

    /// After a pass that came to its end.
    #[must_use]
    pub fn passed(self) -> Self {
        match self.pass {
            Some(pass) if !pass.refused => Self { done: pass.from, whole: true, pass: None, ..self },
            _ => Self { pass: None, ..self },
        }
    }

    fn covers(&self, need: &Need) -> bool {
        let time = self.before.is_none() || need.before.is_some_and(|before| self.before >= Some(before));
        self.mode >= need.mode && self.logs >= need.logs && self.digests >= need.digests && time
    }
}

fn extended_name(archive: &str, place: i64) -> String {
    format!("retention/{archive}/place/{place}")
}

/// What is done of a need at a place already.
pub fn extended(conn: &Connection, archive: &str, place: i64, need: &Need) -> Result<Extended> {
    let kept = lists::progress(conn, &extended_name(archive, place))?;
    let kept: Option<Extended> = kept.and_then(|text| serde_json::from_str(&text).ok());
    Ok(kept.filter(|kept| kept.covers(need)).unwrap_or_else(|| Extended::begin(need)))
}

pub fn set_extended(tx: &Tx<'_>, archive: &str, place: i64, extended: &Extended) -> Result<()> {
    let text = serde_json::to_string(extended).unwrap_or_default();
    lists::set_progress(tx, &extended_name(archive, place), &text)
}

/// Objects and bytes.
pub type Sum = (i64, i64);

/// What is left of a need at a place; and whether folded days that are done must be gone through again.
pub fn left(conn: &Connection, place: i64, done: &Extended) -> Result<(Sum, bool)> {
    let last_day = done.before.map_or(i64::MAX, day_of);
    let (found, bytes) = match &done.pass {
        Some(pass) => ahead(conn, place, done, pass)?,
        None => seen_since(conn, place, done, done.done.seen)?,
    };
    let fresh = if done.pass.is_some() { found } else { (found - done.done.edge).max(0) };
    let rows: Sum = (fresh, if found > 0 { bytes / found * fresh } else { 0 });
    let folded = |after: i64| -> Result<Sum> {
        conn.prepare_cached(
            "SELECT ifnull(sum(objects), 0), ifnull(sum(bytes), 0) FROM days WHERE place = ?1 AND day > ?2 AND day <= ?3",
        )?
        .query_row(params![place, after, last_day], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    if let Some(after) = done.pass.as_ref().map(|pass| pass.day).or((!done.whole).then_some(0)) {
        let days = folded(after)?;
        return Ok(((rows.0 + days.0, rows.1 + days.1), false));
    }
    let lost = total(conn, place, done)? - done.done.total > rows.0;
    let days = if lost { folded(0)? } else { (0, 0) };
    Ok(((rows.0 + days.0, rows.1 + days.1), lost))
}

/// Rows of a place that a need is about, seen from a second on. S3 tells times in seconds: what came in the very second of the
/// default may have come before it.
fn seen_since(conn: &Connection, place: i64, done: &Extended, second: i64) -> Result<Sum> {
    let until = done.before.map_or(i64::MAX, Timestamp::as_second);
    conn.prepare_cached(&format!(
        "SELECT count(*), ifnull(sum(size), 0) FROM deliveries
         WHERE place = ?1 AND seen >= ?2 AND delivered <= ?3 AND {EVIDENCE}"
    ))?
    .query_row(params![place, second, until], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Rows that a pass has not come to; those that came since it began may lie behind it.
fn ahead(conn: &Connection, place: i64, done: &Extended, pass: &Pass) -> Result<Sum> {
    let until = done.before.map_or(i64::MAX, Timestamp::as_second);
    let (name, version) = pass.row.as_ref().map_or((None, None), |(name, version)| (Some(name), Some(version)));
    conn.prepare_cached(&format!(
        "SELECT count(*), ifnull(sum(size), 0) FROM deliveries
         WHERE place = ?1 AND seen >= ?2 AND delivered <= ?3 AND {EVIDENCE}
           AND (seen >= ?4 OR (name, version) > (?5, ?6))"
    ))?
    .query_row(params![place, done.done.seen, until, pass.from.seen, name, version], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// A pass that begins now. What is folded while it lasts is looked at after the rows; what was folded before, if it has to be.
pub fn pass(tx: &Tx<'_>, place: i64, done: &Extended) -> Result<Pass> {
    let (edge, _) = seen_since(tx.conn, place, done, tx.seconds())?;
    let from = Moment { seen: tx.seconds(), edge, total: total(tx.conn, place, done)? };
    let (_, again) = left(tx.conn, place, done)?;
    let newest = "SELECT ifnull(max(day), 0) FROM days WHERE place = ?1";
    let day = match done.whole && !again {
        true => tx.conn.prepare_cached(newest)?.query_row([place], |row| row.get(0))?,
        false => 0,
    };
    Ok(Pass { from, row: Some((String::new(), String::new())), day, refused: false })
}

/// All evidence of a place that a need is about, as far as that can be told of a folded day: only whole days count.
fn total(conn: &Connection, place: i64, done: &Extended) -> Result<i64> {
    let until = done.before.map_or(i64::MAX, |before| before.as_second() - before.as_second().rem_euclid(DAY));
    let day = done.before.map_or(i64::MAX, day_of);
    conn.prepare_cached(&format!(
        "SELECT (SELECT count(*) FROM deliveries WHERE place = ?1 AND delivered < ?2 AND {EVIDENCE})
              + (SELECT ifnull(sum(objects), 0) FROM days WHERE place = ?1 AND day < ?3)"
    ))?
    .query_row(params![place, until, day], |row| row.get(0))
}

/// A row whose object is to be locked.
#[derive(Debug, Clone)]
pub struct Loose {
    pub key: String,
    pub name: String,
    pub version: String,
}

/// Rows of a place seen from a second on, after one of them.
pub fn loose(conn: &Connection, place: i64, done: &Extended, after: (&str, &str), limit: usize) -> Result<Vec<Loose>> {
    let until = done.before.map_or(i64::MAX, Timestamp::as_second);
    conn.prepare_cached(&format!(
        "SELECT {KEY}, name, version FROM deliveries
         WHERE place = ?1 AND seen >= ?2 AND delivered <= ?3 AND (name, version) > (?4, ?5) AND {EVIDENCE}
         ORDER BY name, version LIMIT ?6"
    ))?
    .query_map(
        params![place, done.done.seen, until, after.0, after.1, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| Ok(Loose { key: row.get(0)?, name: row.get(1)?, version: row.get(2)? }),
    )?
    .collect()
}

/// The next folded day of a place after one.
pub fn next_folded(conn: &Connection, place: &Place, done: &Extended, after: i64) -> Result<Option<(i64, Date)>> {
    let last = done.before.map_or(i64::MAX, day_of);
    let day: Option<i64> = conn
        .prepare_cached("SELECT min(day) FROM days WHERE place = ?1 AND day > ?2 AND day <= ?3 AND objects > 0")?
        .query_row(params![place.id, after, last], |row| row.get(0))?;
    Ok(day.and_then(|day| Some((day, date(day)?))))
}

/// What the bucket does not show, by name and value: holds, consents, and since when the bucket has had which default. How far
/// objects were locked one by one is found out anew.
pub fn kept(conn: &Connection) -> Result<Vec<(String, String)>> {
    let mut query = conn.prepare_cached(
        "SELECT name, value FROM progress
         WHERE name GLOB 'hold/*' OR name GLOB 'retention/*/default' OR name GLOB 'retention/*/accepted'",
    )?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub fn carry(tx: &Tx<'_>, kept: &[(String, String)]) -> Result<()> {
    kept.iter().try_for_each(|(name, value)| lists::set_progress(tx, name, value))
}

/// A legal hold that was put through this warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub trail: String,
    pub bucket: String,
    pub prefix: String,
    pub account: Option<AccountId>,
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    pub objects: u64,
    /// Not all objects are held yet, or not all released.
    pub unfinished: bool,
}

fn hold_name(hold: &Hold) -> String {
    format!("hold/{}/{}/{}", hold.trail, hold.bucket, hold.prefix)
}

pub fn holds(conn: &Connection) -> Result<Vec<Hold>> {
    let mut query =
        conn.prepare_cached("SELECT value FROM progress WHERE name >= 'hold/' AND name < 'hold0' ORDER BY name")?;
    let texts = query.query_map([], |row| row.get::<_, String>(0))?;
    Ok(texts.collect::<Result<Vec<_>>>()?.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

pub fn set_hold(tx: &Tx<'_>, hold: &Hold) -> Result<()> {
    let text = serde_json::to_string(hold).unwrap_or_default();
    lists::set_progress(tx, &hold_name(hold), &text)
}

pub fn forget_hold(tx: &Tx<'_>, hold: &Hold) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM progress WHERE name = ?1")?.execute([hold_name(hold)]).map(|_| ())
}

/// The promise under which locks that nobody can lift were accepted: what comes later is locked without being asked about again.
pub fn accepted(conn: &Connection, archive: &str) -> Result<Option<String>> {
    lists::progress(conn, &format!("retention/{archive}/accepted"))
}

pub fn set_accepted(tx: &Tx<'_>, archive: &str, promise: &str) -> Result<()> {
    lists::set_progress(tx, &format!("retention/{archive}/accepted"), promise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn history_knows_what_lacks_a_term_and_never_flatters() {
        let (short, long) = (Term { mode: Mode::Governance, days: 30 }, Term { mode: Mode::Governance, days: 60 });
        let mut history = History::default();
        history.note(Some(long), at(100));
        assert_eq!(
            history.lacks(long, Some(long), at(110)),
            Lacks::Before(at(100)),
            "nobody knows what was there before anybody looked"
        );
        assert_eq!(history.lacks(Term { days: 61, ..long }, Some(long), at(110)), Lacks::All);
        history.note(Some(long), at(200));
        history.note(Some(short), at(300));
        assert_eq!(history.lacks(long, Some(short), at(310)), Lacks::All);
        history.note(Some(long), at(400));
        assert_eq!(history.lacks(long, Some(long), at(410)), Lacks::Before(at(400)));
        assert_eq!(history.entries[1].0, at(200), "it may have been weak since the last good look");
        assert_eq!(history.lacks(short, Some(long), at(410)), Lacks::Before(at(100)));
        let mut bare = History::default();
        bare.note(None, at(100));
        assert_eq!(bare.lacks(short, Some(short), at(150)), Lacks::Before(at(150)));
        bare.note(Some(short), at(200));
        assert_eq!(bare.lacks(short, Some(short), at(900)), Lacks::Before(at(200)));
        let strict = Term { mode: Mode::Compliance, days: 1 };
        assert_eq!(bare.lacks(strict, Some(short), at(900)), Lacks::All);
    }
}
