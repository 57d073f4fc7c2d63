//! Chains and their digests.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use serde::Serialize;

use crate::core::chain::{ChainId, Link, Named, Slot};
use crate::core::digest::{Previous, Verdict};
use crate::core::id::{Region, Sha256};
use crate::core::key::{self, ObjectKey, Root};
use crate::core::shard::Shard;
use crate::store::{Tx, journal, proven, time};

/// A chain as the ledger knows it.
#[derive(Debug, Clone)]
pub struct Chain {
    pub id: i64,
    pub source: i64,
    pub chain: ChainId,
    pub first: Option<Timestamp>,
    pub head: Option<Timestamp>,
}

impl Chain {
    /// What a finding about a chain is about: buckets that hold copies of it each have their own.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.source, self.chain)
    }
}

/// A digest as it is written.
#[derive(Debug, Clone)]
pub struct NewDigest {
    pub source: i64,
    pub key: String,
    pub chain: i64,
    pub start: Timestamp,
    pub end: Timestamp,
    pub verdict: Verdict,
    /// Something is wrong around it (trailing data), though its signature holds and its chain goes on.
    pub faulty: bool,
    pub sha: Option<Sha256>,
    pub signature: Option<Vec<u8>>,
    pub previous: Option<Previous>,
    pub logs: usize,
    /// Fingerprint of the key that is not known, and when to ask for it.
    pub lacks: Option<(String, Timestamp)>,
}

impl NewDigest {
    /// As it is read back when it is good.
    pub fn link(&self) -> Link {
        let kept = |signature: &[u8]| Sha256::of(signature).0.to_vec();
        let named = |previous: &Previous| Named {
            key: previous.key.clone(),
            sha: previous.sha,
            signature: kept(&previous.signature),
        };
        Link {
            key: self.key.clone(),
            start: self.start,
            end: self.end,
            sha: self.sha,
            signature: self.signature.as_deref().map(kept),
            previous: self.previous.as_ref().map(named),
        }
    }
}

fn verdict_number(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Unchecked => 0,
        Verdict::Good => 1,
        Verdict::Bad => 2,
    }
}

const CHAIN: &str = "id, source, root, region, trail, home, backfill, first, head";

fn chain_row(row: &Row<'_>) -> Result<Chain> {
    let bad = |column, error: crate::core::id::BadId| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    let no_root = || rusqlite::Error::InvalidColumnType(2, "root".into(), rusqlite::types::Type::Text);
    Ok(Chain {
        id: row.get(0)?,
        source: row.get(1)?,
        chain: ChainId {
            root: Root::parse(&row.get::<_, String>(2)?).ok_or_else(no_root)?,
            region: Region::parse(&row.get::<_, String>(3)?).map_err(|error| bad(3, error))?,
            trail: row.get(4)?,
            home: Region::parse(&row.get::<_, String>(5)?).map_err(|error| bad(5, error))?,
            backfill: row.get(6)?,
        },
        first: row.get::<_, Option<i64>>(7)?.map(time),
        head: row.get::<_, Option<i64>>(8)?.map(time),
    })
}

/// The chain's row, made at first sight.
pub fn chain(tx: &Tx<'_>, source: i64, id: &ChainId) -> Result<Chain> {
    let root = id.root.path();
    let find = || {
        tx.conn
            .prepare_cached(&format!(
                "SELECT {CHAIN} FROM chains
                 WHERE source = ?1 AND root = ?2 AND region = ?3 AND trail = ?4 AND home = ?5 AND backfill = ?6"
            ))?
            .query_row(params![source, root, id.region.as_str(), id.trail, id.home.as_str(), id.backfill], chain_row)
    };
    if let Some(chain) = find().optional()? {
        return Ok(chain);
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO chains (source, root, account, region, trail, home, backfill)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            source,
            root,
            id.root.account.as_str(),
            id.region.as_str(),
            id.trail,
            id.home.as_str(),
            id.backfill
        ])?;
    find()
}

pub fn chains(conn: &Connection, source: i64) -> Result<Vec<Chain>> {
    conn.prepare_cached(&format!(
        "SELECT {CHAIN} FROM chains WHERE source = ?1 ORDER BY account, region, trail, backfill"
    ))?
    .query_map([source], chain_row)?
    .collect()
}

/// A good digest moves its chain; only ever outwards.
pub fn extend_chain(tx: &Tx<'_>, chain: i64, start: Timestamp, end: Timestamp) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE chains SET first = min(ifnull(first, ?2), ?2), head = max(ifnull(head, ?3), ?3) WHERE id = ?1",
        )?
        .execute(params![chain, start.as_second(), end.as_second()])
        .map(|_| ())
}

/// Writes or replaces (a digest that could not be checked before is looked at again). A good one's joint to its predecessor is
/// to be settled in the same step; until then it counts as joined.
pub fn put(tx: &Tx<'_>, digest: &NewDigest) -> Result<()> {
    let previous = digest.previous.as_ref();
    let before = match previous {
        Some(previous) => place(tx.conn, digest.source, &previous.key)?.filter(|(chain, _)| *chain == digest.chain),
        None => None,
    };
    let row = (digest.chain, digest.end.as_second());
    let stood = journal::standing(tx.conn, row)?;
    let proved = if stood.is_some() { proven::of(tx.conn, row.0, row.1)? } else { None };
    tx.conn
        .prepare_cached(
            "INSERT INTO links
             (chain, end, start, verdict, sha, signature, prev_end, prev_key, prev_sha, prev_signature, logs, fingerprint,
              key_time, seen, faulty, joined)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)
             ON CONFLICT (chain, end) DO UPDATE SET verdict = excluded.verdict, start = excluded.start, sha = excluded.sha,
               signature = excluded.signature, prev_end = excluded.prev_end, prev_key = excluded.prev_key,
               prev_sha = excluded.prev_sha, prev_signature = excluded.prev_signature, logs = excluded.logs,
               fingerprint = excluded.fingerprint, key_time = excluded.key_time, faulty = excluded.faulty,
               joined = excluded.joined",
        )?
        .execute(params![
            digest.chain,
            digest.end.as_second(),
            digest.start.as_second(),
            verdict_number(digest.verdict),
            digest.sha.as_ref().map(|sha| &sha.0[..]),
            digest.signature.as_deref().map(|signature| Sha256::of(signature).0),
            before.map(|(_, end)| end),
            previous.filter(|_| before.is_none()).map(|previous| &previous.key),
            previous.map(|previous| &previous.sha.0[..]),
            previous.map(|previous| Sha256::of(&previous.signature).0),
            i64::try_from(digest.logs).unwrap_or(0),
            digest.lacks.as_ref().map(|(fingerprint, _)| fingerprint),
            digest.lacks.as_ref().map(|(_, time)| time.as_second()),
            tx.seconds(),
            digest.faulty,
            digest.verdict != Verdict::Unchecked,
        ])?;
    proven::keep(tx, row.0, row.1, proved)?;
    let is_new_and_good = stood.is_none() && digest.verdict == Verdict::Good && !digest.faulty;
    if is_new_and_good { Ok(()) } else { journal::tell_standing(tx, digest.source, &digest.key, row, stood.as_deref()) }
}

/// Chain and end, which make a digest's key; `None` when the chain is not known.
fn place(conn: &Connection, source: i64, key: &str) -> Result<Option<(i64, i64)>> {
    let ObjectKey::Digest(parsed) = key::parse(key) else { return Ok(None) };
    conn.prepare_cached(
        "SELECT id FROM chains WHERE source = ?1 AND root = ?2 AND region = ?3 AND trail = ?4 AND home = ?5 AND backfill = ?6",
    )?
    .query_row(
        params![
            source,
            parsed.root.path(),
            parsed.region.as_str(),
            parsed.trail,
            parsed.home.as_str(),
            parsed.backfill
        ],
        |row| row.get(0),
    )
    .optional()
    .map(|chain| chain.map(|chain| (chain, parsed.end.as_second())))
}

const LINK: &str = "key, start, end, sha, signature, previous, prev_sha, prev_signature";

fn link_row(row: &Row<'_>) -> Result<Link> {
    let bytes = |column| -> Result<Option<Sha256>> {
        Ok(row.get::<_, Option<Vec<u8>>>(column)?.and_then(|bytes| Sha256::from_slice(&bytes)))
    };
    let previous = match (row.get(5)?, bytes(6)?, row.get(7)?) {
        (Some(key), Some(sha), Some(signature)) => Some(Named { key, sha, signature }),
        _ => None,
    };
    Ok(Link {
        key: row.get(0)?,
        start: time(row.get(1)?),
        end: time(row.get(2)?),
        sha: bytes(3)?,
        signature: row.get(4)?,
        previous,
    })
}

/// The good digest with this key.
pub fn link(conn: &Connection, source: i64, key: &str) -> Result<Option<Link>> {
    let Some(row) = place(conn, source, key)? else { return Ok(None) };
    conn.prepare_cached(&format!("SELECT {LINK} FROM digests WHERE chain = ?1 AND end = ?2 AND verdict = 1"))?
        .query_row(row, link_row)
        .optional()
}

/// Whether a key is that of a digest which is known and proves nothing, or not as it should.
pub fn is_unproven(conn: &Connection, source: i64, key: &str) -> Result<bool> {
    let Some((chain, end)) = place(conn, source, key)? else { return Ok(false) };
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM links WHERE chain = ?1 AND end = ?2 AND (verdict <> 1 OR faulty OR disowned))",
    )?
    .query_row(params![chain, end], |row| row.get(0))
}

/// The last good digest of a chain that ends before `end`.
pub fn before(conn: &Connection, chain: i64, end: Timestamp) -> Result<Option<Link>> {
    conn.prepare_cached(&format!(
        "SELECT {LINK} FROM digests WHERE chain = ?1 AND end < ?2 AND verdict = 1 ORDER BY end DESC LIMIT 1"
    ))?
    .query_row(params![chain, end.as_second()], link_row)
    .optional()
}

/// The first good digest of a chain that ends after `end`.
pub fn following(conn: &Connection, chain: i64, end: Timestamp) -> Result<Option<Link>> {
    conn.prepare_cached(&format!(
        "SELECT {LINK} FROM digests WHERE chain = ?1 AND end > ?2 AND verdict = 1 ORDER BY end LIMIT 1"
    ))?
    .query_row(params![chain, end.as_second()], link_row)
    .optional()
}

/// Digest objects of a chain after `from` and up to `to` that prove nothing.
pub fn slots(conn: &Connection, chain: i64, from: Timestamp, to: Timestamp) -> Result<Vec<Slot>> {
    conn.prepare_cached("SELECT key, end FROM digests WHERE chain = ?1 AND end > ?2 AND end <= ?3 AND verdict <> 1")?
        .query_map(params![chain, from.as_second(), to.as_second()], |row| {
            Ok(Slot { key: row.get(0)?, end: time(row.get(1)?) })
        })?
        .collect()
}

/// How a digest lies to the stretches of its chain whose own digests have been folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The last one of a stretch is its predecessor, and was proven to be when that was folded.
    Follows,
    /// It claims time that is proven without it.
    Intrudes,
}

pub fn beside_span(conn: &Connection, chain: i64, link: &Link) -> Result<Option<Beside>> {
    conn.prepare_cached(
        "SELECT end = ?2 FROM spans WHERE chain = ?1 AND start < ?3 AND end >= ?2 ORDER BY start LIMIT 1",
    )?
    .query_row(params![chain, link.start.as_second(), link.end.as_second()], |row| {
        Ok(if row.get(0)? { Beside::Follows } else { Beside::Intrudes })
    })
    .optional()
}

/// Whether anything more is to be learned of a digest's predecessor.
pub fn set_joined(tx: &Tx<'_>, source: i64, key: &str, joined: bool) -> Result<()> {
    match place(tx.conn, source, key)? {
        Some((chain, end)) => set_joined_of(tx, chain, time(end), joined),
        None => Ok(()),
    }
}

pub fn set_joined_of(tx: &Tx<'_>, chain: i64, end: Timestamp, joined: bool) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE links SET joined = ?3 WHERE chain = ?1 AND end = ?2 AND joined <> ?3")?
        .execute(params![chain, end.as_second(), joined])
        .map(|_| ())
}

/// Another digest was signed into the chain in its place: what it lists is not all of its hour.
pub fn disown(tx: &Tx<'_>, source: i64, key: &str) -> Result<()> {
    let Some(row) = place(tx.conn, source, key)? else { return Ok(()) };
    let stood = journal::standing(tx.conn, row)?;
    let proved = proven::of(tx.conn, row.0, row.1)?;
    tx.conn
        .prepare_cached("UPDATE links SET disowned = 1 WHERE chain = ?1 AND end = ?2")?
        .execute(params![row.0, row.1])?;
    proven::keep(tx, row.0, row.1, proved)?;
    journal::tell_standing(tx, source, key, row, stood.as_deref())
}

/// A digest whose joint to its predecessor is not settled.
#[derive(Debug, Clone)]
pub struct Loose {
    pub key: String,
    pub chain: i64,
}

/// Those of a shard's accounts with an end up to a time, oldest first; digests that wait for their key are another list.
pub fn loose(conn: &Connection, source: i64, shard: Shard, until: Timestamp, limit: usize) -> Result<Vec<Loose>> {
    conn.prepare_cached(
        "SELECT (SELECT key FROM digests WHERE chain = links.chain AND end = links.end), chain
         FROM links INDEXED BY links_loose CROSS JOIN chains ON chains.id = chain
         WHERE source = ?1 AND end <= ?2 AND joined = 0 AND NOT (verdict = 0 AND fingerprint IS NOT NULL)
           AND substr(account, -1) % ?4 = ?5 ORDER BY end LIMIT ?3",
    )?
    .query_map(
        params![source, until.as_second(), i64::try_from(limit).unwrap_or(i64::MAX), shard.count(), shard.index()],
        |row| Ok(Loose { key: row.get(0)?, chain: row.get(1)? }),
    )?
    .collect()
}

/// A key that was not known when digests that name it were looked at.
#[derive(Debug, Clone)]
pub struct LackedKey {
    pub region: Region,
    pub fingerprint: String,
    /// When to ask for it.
    pub at: Timestamp,
}

/// In an order of their own, those after another one first.
pub fn lacked_keys(conn: &Connection, source: i64, after: Option<&LackedKey>, limit: usize) -> Result<Vec<LackedKey>> {
    let (fingerprint, region) = after.map_or(("", ""), |key| (key.fingerprint.as_str(), key.region.as_str()));
    let mut query = conn.prepare_cached(
        "SELECT region, fingerprint, max(key_time) FROM links INDEXED BY links_unchecked JOIN chains ON chains.id = chain
         WHERE source = ?1 AND verdict = 0 AND fingerprint IS NOT NULL GROUP BY fingerprint, region
         ORDER BY (fingerprint, region) > (?3, ?4) DESC, fingerprint, region LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query(params![source, limit, fingerprint, region])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(region) = Region::parse(&row.get::<_, String>(0)?) else { continue };
        keys.push(LackedKey { region, fingerprint: row.get(1)?, at: time(row.get(2)?) });
    }
    Ok(keys)
}

/// Digests that wait for a key: key, end, and whether that was told already.
pub fn waiting_for(
    conn: &Connection,
    source: i64,
    fingerprint: &str,
    limit: usize,
) -> Result<Vec<(String, Timestamp, bool)>> {
    conn.prepare_cached(
        "SELECT (SELECT key FROM digests WHERE chain = links.chain AND end = links.end), end, joined
         FROM links INDEXED BY links_unchecked JOIN chains ON chains.id = chain
         WHERE source = ?1 AND verdict = 0 AND fingerprint = ?2 LIMIT ?3",
    )?
    .query_map(params![source, fingerprint, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok((row.get(0)?, time(row.get(1)?), row.get(2)?))
    })?
    .collect()
}

/// How many standard chains a root and region have at the moment `at`, and how many of them have a good digest for it. A chain
/// that was last heard of before `at` is waited for until it was silent since `alive`.
pub fn coverage(
    conn: &Connection,
    source: i64,
    root: &str,
    region: &Region,
    at: Timestamp,
    alive: Timestamp,
) -> Result<(usize, usize)> {
    conn.prepare_cached(
        "SELECT count(*), count(d) FROM (
           SELECT coalesce(
                    (SELECT 1 FROM links WHERE chain = chains.id AND verdict = 1 AND disowned = 0
                     AND start <= ?4 AND end > ?4 AND end <= ?4 + 90000 LIMIT 1),
                    (SELECT 1 FROM spans WHERE chain = chains.id AND start <= ?4 AND end > ?4 LIMIT 1)) AS d
           FROM chains WHERE source = ?1 AND root = ?2 AND region = ?3 AND backfill = 0
             AND first <= ?4 AND (head > ?4 OR head > ?5))",
    )?
    .query_row(params![source, root, region.as_str(), at.as_second(), alive.as_second()], |row| {
        Ok((row.get::<_, i64>(0)?.unsigned_abs() as usize, row.get::<_, i64>(1)?.unsigned_abs() as usize))
    })
}

/// How many digests have which verdict.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tally {
    pub good: i64,
    pub bad: i64,
    pub unchecked: i64,
}

pub fn tally(conn: &Connection) -> Result<Tally> {
    conn.query_row(
        "SELECT ifnull(sum(verdict = 1 AND NOT disowned AND NOT faulty), 0) + (SELECT ifnull(sum(digests), 0) FROM spans),
                ifnull(sum(verdict = 2 OR disowned OR faulty), 0), ifnull(sum(verdict = 0), 0) FROM links",
        [],
        |row| Ok(Tally { good: row.get(0)?, bad: row.get(1)?, unchecked: row.get(2)? }),
    )
}
