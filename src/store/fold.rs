//! Folding: rows that say nothing any more but "this was here, and fine" shrink to an entry of their day, and proven digests
//! to a span of their chain. Trouble keeps its rows for good.
//!
//! A day is folded row by row, so a row that comes late is folded later. A crash in a step folded nothing.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::id::Sha256;
use crate::store::days::{self, Hash, KeyHash, Sum};
use crate::store::objects::KEY;
use crate::store::places::{self, Place};
use crate::store::{Tx, archive, digests, findings};

/// How long the sweep looks for the digest of a log that none has listed; until then its row is not folded.
pub const LOOKBACK: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Rows that one step folds.
const ROWS: usize = 4_000;
/// Digests of a chain that one step looks at.
const LINKS: usize = 2_000;
/// Longer digests are believed about no hour, so none of them may become part of a span.
const LONGEST: i64 = 90_000;

/// The next days with rows before `day`, after one of a place (which may be `0, 0`); at most so many.
pub fn next_days(
    conn: &Connection,
    source: i64,
    after: (i64, i64),
    before: i64,
    most: usize,
) -> Result<Vec<(i64, i64)>> {
    let mut days = Vec::new();
    for Place { id, .. } in places::from(conn, source, after.0)? {
        let mut seen = if id == after.0 { after.1 } else { 0 };
        while days.len() < most {
            let Some(day) = day_after(conn, id, seen)?.filter(|day| *day < before) else { break };
            days.push((id, day));
            seen = day;
        }
    }
    Ok(days)
}

fn day_after(conn: &Connection, place: i64, day: i64) -> Result<Option<i64>> {
    let name: Option<String> = conn
        .prepare_cached("SELECT name FROM deliveries WHERE place = ?1 AND name > ?2 ORDER BY name LIMIT 1")?
        .query_row(params![place, format!("{day:08}~")], |row| row.get(0))
        .optional()?;
    Ok(name.as_deref().and_then(places::day))
}

/// A row that may go.
struct Clean {
    key: String,
    name: String,
    version: String,
    sha: Option<Sha256>,
    sum: Sum,
}

/// Admitted, read, the only version of its key, listed as it is or not expected to be, and in no trouble that is open.
fn clean(tx: &Tx<'_>, place: i64, day: i64) -> Result<Vec<Clean>> {
    let mut query = tx.conn.prepare_cached(&format!(
        "SELECT key, name, version, sha, size, records, rejects, ifnull(archived, 0) FROM (
           SELECT {KEY} AS key, source, name, version, sha, size, records, rejects, archived
           FROM deliveries CROSS JOIN places ON places.id = place
           WHERE place = ?1 AND name >= ?2 AND name < ?2 || '~' AND state = 0 AND sha IS NOT NULL AND removed IS NULL
             AND (archived IS NOT NULL OR kind = 9 OR NOT ?5)
             AND (listed IN (1, 4, 5) OR (listed = 0 AND (kind <> 0 OR seen < ?3)))
             AND NOT EXISTS (SELECT 1 FROM deliveries AS other WHERE other.place = deliveries.place
                             AND other.name = deliveries.name AND other.version <> deliveries.version)) AS row
         WHERE NOT EXISTS (SELECT 1 FROM awaited WHERE awaited.source = row.source AND awaited.key = row.key)
           AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.source = row.source AND claimed.key = row.key)
           AND NOT EXISTS (SELECT 1 FROM findings WHERE object = row.key AND findings.state <> 'resolved')
         LIMIT ?4"
    ))?;
    let since = tx.seconds() - LOOKBACK.as_secs();
    // what is still to be read for the archive is not closed
    let awaited = archive::is_noted(tx.conn)?;
    let rows = query.query_map(params![place, format!("{day:08}"), since, ROWS as i64, awaited], |row| {
        Ok(Clean {
            key: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            sha: Sha256::from_slice(&row.get::<_, Vec<u8>>(3)?),
            sum: Sum {
                objects: 1,
                bytes: row.get(4)?,
                records: row.get(5)?,
                rejects: row.get(6)?,
                archived: row.get(7)?,
            },
        })
    })?;
    rows.collect()
}

/// Folds what may be folded of days; at most so much that ingest does not wait long. Answers how many rows went, and how many
/// of the days are done.
pub fn fold_days(tx: &Tx<'_>, days: &[(i64, i64)]) -> Result<(usize, usize)> {
    let (mut folded, mut done) = (0, 0);
    for (place, day) in days {
        if folded >= ROWS {
            break;
        }
        let (rows, more) = fold_day(tx, *place, *day)?;
        folded += rows;
        if more {
            break;
        }
        done += 1;
    }
    Ok((folded, done))
}

/// How many rows of a day went, and whether there may be more.
fn fold_day(tx: &Tx<'_>, place: i64, day: i64) -> Result<(usize, bool)> {
    let rows = clean(tx, place, day)?;
    if rows.is_empty() {
        return Ok((0, false));
    }
    let source = places::source(tx.conn, place)?;
    let mut entries = days::entries(tx.conn, place, day)?;
    let (found, mut more) = (rows.len(), Sum::default());
    let mut delete =
        tx.conn.prepare_cached("DELETE FROM deliveries WHERE place = ?1 AND name = ?2 AND version = ?3")?;
    for row in rows {
        // A key that was folded and came again with another content is trouble: its row stays.
        let key = KeyHash::of(&row.key);
        let Some(sha) = row.sha.filter(|_| !entries.contains_key(&key)) else { continue };
        if digests::is_unproven(tx.conn, source, &row.key)? {
            continue;
        }
        entries.insert(key, Hash::Whole(sha));
        more.objects += row.sum.objects;
        more.records += row.sum.records;
        more.rejects += row.sum.rejects;
        more.bytes += row.sum.bytes;
        more.archived += row.sum.archived;
        delete.execute(params![place, row.name, row.version])?;
    }
    if more.objects > 0 {
        days::put(tx, place, day, &entries, more)?;
    }
    let folded = usize::try_from(more.objects).unwrap_or(0);
    Ok((folded, found == ROWS && folded == ROWS))
}

/// A digest as far as folding is concerned.
struct Link {
    key: String,
    start: i64,
    end: i64,
    good: bool,
    logs: i64,
    /// Hash, signature.
    own: (Option<Vec<u8>>, Option<Vec<u8>>),
    /// End, hash, signature.
    previous: (Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>),
}

impl Link {
    fn follows(&self, before: &Self) -> bool {
        self.start == before.end
            && self.previous.0 == Some(before.end)
            && (&self.previous.1, &self.previous.2) == (&before.own.0, &before.own.1)
            && self.previous.1.is_some()
    }
}

fn links(conn: &Connection, chain: i64, from: i64, until: i64) -> Result<Vec<Link>> {
    conn.prepare_cached(
        "SELECT key, start, end, verdict = 1 AND joined AND NOT disowned AND NOT faulty, logs, sha, signature,
                prev_end, prev_sha, prev_signature
         FROM digests WHERE chain = ?1 AND end >= ?2 AND end < ?3 ORDER BY end LIMIT ?4",
    )?
    .query_map(params![chain, from, until, LINKS as i64], |row| {
        Ok(Link {
            key: row.get(0)?,
            start: row.get(1)?,
            end: row.get(2)?,
            good: row.get(3)?,
            logs: row.get(4)?,
            own: (row.get(5)?, row.get(6)?),
            previous: (row.get(7)?, row.get(8)?, row.get(9)?),
        })
    })?
    .collect()
}

/// Digests in a row that are folded together.
struct Span {
    /// Whether the ledger has the span that it goes on.
    extends: bool,
    start: i64,
    end: i64,
    digests: i64,
    logs: i64,
}

impl Span {
    fn write(&self, tx: &Tx<'_>, chain: i64) -> Result<()> {
        let sql = if self.extends {
            "UPDATE spans SET end = ?3, digests = digests + ?4, logs = logs + ?5 WHERE chain = ?1 AND end = ?2"
        } else {
            "INSERT INTO spans (chain, start, end, digests, logs) VALUES (?1, ?2, ?3, ?4, ?5)"
        };
        let params = params![chain, self.start, self.end, self.digests, self.logs];
        tx.conn.prepare_cached(sql)?.execute(params).map(|_| ())
    }
}

fn span_before(conn: &Connection, chain: i64, start: i64) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM spans WHERE chain = ?1 AND end = ?2)")?
        .query_row(params![chain, start], |row| row.get(0))
}

/// [`fold_chain`] for chains, from a time on each; at most so much that ingest does not wait long. Answers how many digests
/// went, and what is left to be done.
pub fn fold_chains(tx: &Tx<'_>, chains: &[(i64, i64)], until: Timestamp) -> Result<(usize, Vec<(i64, i64)>)> {
    let mut digests = 0;
    for (at, (chain, from)) in chains.iter().enumerate() {
        let (folded, go_on) = fold_chain(tx, *chain, *from, until)?;
        digests += folded;
        if go_on.is_some() || digests >= LINKS {
            let rest = go_on.map(|from| (*chain, from)).into_iter().chain(chains.iter().skip(at + 1).copied());
            return Ok((digests, rest.collect()));
        }
    }
    Ok((digests, Vec::new()))
}

/// Folds the digests of a standard chain that end before a time and lie between two others, all three good, joined and
/// without a gap. Answers how many, and where to go on if there may be more.
pub fn fold_chain(tx: &Tx<'_>, chain: i64, from: i64, until: Timestamp) -> Result<(usize, Option<i64>)> {
    let links = links(tx.conn, chain, from, until.as_second())?;
    let (mut folded, mut span) = (0, None::<Span>);
    for (at, link) in links.iter().enumerate() {
        let Some(next) = links.get(at + 1) else { break };
        let before = at.checked_sub(1).and_then(|at| links.get(at));
        let fine = link.good && next.good && next.follows(link) && (1..=LONGEST).contains(&(link.end - link.start));
        if !fine || findings::names(tx.conn, &link.key)? {
            continue;
        }
        // Whether the span before it, if there is one, was proven to be before it was checked when that was folded.
        let open = span.take_if(|span| span.end == link.start);
        span.take().map_or(Ok(()), |span| span.write(tx, chain))?;
        let extends = open.is_some() || span_before(tx.conn, chain, link.start)?;
        span = open;
        if !extends && !before.is_some_and(|before| before.good && link.follows(before)) {
            continue;
        }
        let span = span.get_or_insert(Span { extends, start: link.start, end: link.start, digests: 0, logs: 0 });
        (span.end, span.digests, span.logs) = (link.end, span.digests + 1, span.logs + link.logs);
        tx.conn.prepare_cached("DELETE FROM links WHERE chain = ?1 AND end = ?2")?.execute(params![chain, link.end])?;
        folded += 1;
    }
    span.map_or(Ok(()), |span| span.write(tx, chain))?;
    // The last two are looked at again: the one needs its left neighbor, the other its right one.
    let go_on = (links.len() == LINKS).then(|| links.iter().rev().nth(1).map(|link| link.end)).flatten();
    Ok((folded, go_on))
}

/// Whether a chain has enough old digests for one to lie between two others.
pub fn is_ripe(conn: &Connection, chain: i64, until: Timestamp) -> Result<bool> {
    conn.prepare_cached("SELECT count(*) > 2 OR (count(*) = 2 AND EXISTS (SELECT 1 FROM spans WHERE chain = ?1)) FROM (SELECT 1 FROM links WHERE chain = ?1 AND end < ?2 LIMIT 3)")?
        .query_row(params![chain, until.as_second()], |row| row.get(0))
}
