//! Objects, and the two lists of objects that are not there yet: awaited by a digest, wanted from the bucket.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::core::id::{AccountId, Region, Sha256};
use crate::core::key::{self, LogKind, ObjectKey, Root};
use crate::store::{Tx, time};

pub const DIGEST_KIND: i64 = 9;

pub fn kind_number(kind: LogKind) -> i64 {
    match kind {
        LogKind::Events => 0,
        LogKind::Insight => 1,
        LogKind::NetworkActivity => 2,
        LogKind::Aggregated => 3,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Admitted = 0,
    Refused = 1,
    Absent = 2,
    /// Evidence that cannot be used: damaged, too large.
    Unusable = 3,
}

impl State {
    const ALL: [Self; 4] = [Self::Admitted, Self::Refused, Self::Absent, Self::Unusable];

    fn counter(self) -> &'static str {
        match self {
            Self::Admitted => "objects.admitted",
            Self::Refused => "objects.refused",
            Self::Absent => "objects.absent",
            Self::Unusable => "objects.unusable",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    None = 0,
    Fits = 1,
    Differs = 2,
    Told = 3,
    NotExpected = 4,
    /// No digest came that could have listed it.
    Unproven = 5,
}

/// A row as it is written.
#[derive(Debug, Clone)]
pub struct NewObject {
    pub source: i64,
    pub key: String,
    pub version: Option<String>,
    pub kind: i64,
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    pub delivered: Timestamp,
    pub state: State,
    pub listed: Listing,
    pub sha: Option<Sha256>,
    pub size: u64,
    pub etag: Option<String>,
    pub records: u64,
    pub rejects: u64,
}

/// What is asked of a row.
#[derive(Debug, Clone)]
pub struct Known {
    pub key: String,
    pub version: String,
    pub kind: i64,
    pub state: i64,
    pub listed: i64,
    pub sha: Option<Sha256>,
    pub etag: Option<String>,
    pub size: u64,
    pub delivered: Timestamp,
    pub removed: bool,
}

impl Known {
    /// As far as size and ETag tell.
    pub fn is_same(&self, size: u64, etag: Option<&str>) -> bool {
        self.size == size && (self.etag.is_none() || self.etag.as_deref() == etag)
    }

    pub fn is_admitted(&self) -> bool {
        self.state == State::Admitted as i64
    }
}

const KNOWN: &str = "key, version, kind, state, listed, sha, etag, size, delivered, removed IS NOT NULL";

fn known(row: &Row<'_>) -> Result<Known> {
    Ok(Known {
        key: row.get(0)?,
        version: row.get(1)?,
        kind: row.get(2)?,
        state: row.get(3)?,
        listed: row.get(4)?,
        sha: row.get::<_, Option<Vec<u8>>>(5)?.and_then(|bytes| Sha256::from_slice(&bytes)),
        etag: row.get(6)?,
        size: row.get::<_, i64>(7)?.unsigned_abs(),
        delivered: time(row.get(8)?),
        removed: row.get(9)?,
    })
}

/// The number of a source, made at first sight.
pub fn source_id(tx: &Tx<'_>, name: &str) -> Result<i64> {
    tx.conn.execute("INSERT OR IGNORE INTO sources (name) VALUES (?1)", [name])?;
    tx.conn.query_row("SELECT id FROM sources WHERE name = ?1", [name], |row| row.get(0))
}

/// Writes a row unless it is there. True when it is new: only then do its effects follow.
pub fn insert(tx: &Tx<'_>, object: &NewObject) -> Result<bool> {
    let fresh = tx
        .conn
        .prepare_cached(
            "INSERT OR IGNORE INTO objects
             (source, key, version, kind, account, region, delivered, state, listed, sha, size, etag, records, rejects, seen)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
        )?
        .execute(params![
            object.source,
            object.key,
            object.version.as_deref().unwrap_or(""),
            object.kind,
            object.account.as_ref().map(AccountId::as_str),
            object.region.as_ref().map(Region::as_str),
            object.delivered.as_second(),
            object.state as i64,
            object.listed as i64,
            object.sha.as_ref().map(|sha| &sha.0[..]),
            i64::try_from(object.size).unwrap_or(i64::MAX),
            object.etag,
            i64::try_from(object.records).unwrap_or(i64::MAX),
            i64::try_from(object.rejects).unwrap_or(i64::MAX),
            tx.seconds(),
        ])?
        == 1;
    if fresh {
        tx.count("objects.seen", 1)?;
        tx.count(object.state.counter(), 1)?;
        if object.sha.is_some() {
            tx.count(&format!("bytes/{}", object.source), i64::try_from(object.size).unwrap_or(0))?;
        }
        tx.count("records", i64::try_from(object.records).unwrap_or(0))?;
        tx.count("rejects", i64::try_from(object.rejects).unwrap_or(0))?;
    }
    Ok(fresh)
}

/// All versions of a key, the first seen first.
pub fn versions(conn: &Connection, source: i64, key: &str) -> Result<Vec<Known>> {
    conn.prepare_cached(&format!("SELECT {KNOWN} FROM objects WHERE source = ?1 AND key = ?2 ORDER BY seen, version"))?
        .query_map(params![source, key], known)?
        .collect()
}

pub fn set_listed(tx: &Tx<'_>, source: i64, key: &str, listed: Listing) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE objects SET listed = ?3 WHERE source = ?1 AND key = ?2")?
        .execute(params![source, key, listed as i64])
        .map(|_| ())
}

pub fn set_version_listed(tx: &Tx<'_>, source: i64, key: &str, version: &str, listed: Listing) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE objects SET listed = ?4 WHERE source = ?1 AND key = ?2 AND version = ?3")?
        .execute(params![source, key, version, listed as i64])
        .map(|_| ())
}

/// Forgets the rows of a key in a state that is known better by now: absent when the object turns up after all, refused when
/// it is not refused any more, unusable when it can be read.
pub fn forget(tx: &Tx<'_>, source: i64, key: &str, state: State) -> Result<bool> {
    forget_where(tx, "source = ?1 AND key = ?2 AND state = ?3", params![source, key, state as i64])
}

/// Forgets one writing of a key, whose place a proven one takes.
pub fn forget_version(tx: &Tx<'_>, source: i64, key: &str, version: &str) -> Result<bool> {
    forget_where(tx, "source = ?1 AND key = ?2 AND version = ?3", params![source, key, version])
}

fn forget_where(tx: &Tx<'_>, which: &str, params: &[&dyn rusqlite::ToSql]) -> Result<bool> {
    let mut gone = tx.conn.prepare_cached(&format!(
        "DELETE FROM objects WHERE {which} RETURNING state, source, iif(sha IS NULL, 0, size), records, rejects"
    ))?;
    let mut gone = gone.query(params)?;
    let mut any = false;
    while let Some(row) = gone.next()? {
        any = true;
        tx.count("objects.seen", -1)?;
        let state: i64 = row.get(0)?;
        if let Some(state) = State::ALL.into_iter().find(|known| *known as i64 == state) {
            tx.count(state.counter(), -1)?;
        }
        for (counter, column) in
            [(format!("bytes/{}", row.get::<_, i64>(1)?), 2), ("records".into(), 3), ("rejects".into(), 4)]
        {
            tx.count(&counter, -row.get::<_, i64>(column)?)?;
        }
    }
    Ok(any)
}

pub fn set_removed(tx: &Tx<'_>, source: i64, key: &str, version: Option<&str>) -> Result<usize> {
    tx.conn
        .prepare_cached(
            "UPDATE objects SET removed = ?4 WHERE source = ?1 AND key = ?2 AND (?3 IS NULL OR version IN ('', ?3)) AND removed IS NULL",
        )?
        .execute(params![source, key, version, tx.seconds()])
}

/// A log that waits to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    pub key: String,
    pub account: String,
    pub region: String,
    pub delivered: Timestamp,
    pub seen: Timestamp,
}

/// Admitted event logs that no digest has listed and that were delivered outside of a time; not those that a digest without
/// proof lists. Page by page, each after the last log of the one before.
pub fn unlisted(
    conn: &Connection,
    source: i64,
    outside: (Timestamp, Timestamp),
    after: Option<&Unlisted>,
    limit: usize,
) -> Result<Vec<Unlisted>> {
    let place = after.map_or(("", "", i64::MIN, ""), |log| {
        (log.account.as_str(), log.region.as_str(), log.delivered.as_second(), log.key.as_str())
    });
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(
        "SELECT key, account, region, delivered, seen FROM objects INDEXED BY objects_unlisted
         WHERE source = ?1 AND listed = 0 AND kind = 0 AND state = 0 AND (delivered < ?2 OR delivered > ?3)
           AND (account, region, delivered, key) > (?4, ?5, ?6, ?7)
           AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.source = ?1 AND claimed.key = objects.key)
         ORDER BY account, region, delivered, key LIMIT ?8",
    )?
    .query_map(
        params![source, outside.0.as_second(), outside.1.as_second(), place.0, place.1, place.2, place.3, limit],
        |row| {
            Ok(Unlisted {
                key: row.get(0)?,
                account: row.get(1)?,
                region: row.get(2)?,
                delivered: time(row.get(3)?),
                seen: time(row.get(4)?),
            })
        },
    )?
    .collect()
}

/// Whether no digest lists a log, not even one without proof.
pub fn is_unlisted(conn: &Connection, source: i64, key: &str) -> Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM objects WHERE source = ?1 AND key = ?2 AND listed = 0)
            AND NOT EXISTS (SELECT 1 FROM claimed WHERE source = ?1 AND key = ?2)",
    )?
    .query_row(params![source, key], |row| row.get(0))
}

/// Rows after a place in key order, for scrubbing.
pub fn after(conn: &Connection, source: i64, key: &str, version: &str, limit: usize) -> Result<Vec<Known>> {
    conn.prepare_cached(&format!(
        "SELECT {KNOWN} FROM objects
         WHERE source = ?1 AND (key, version) > (?2, ?3) AND sha IS NOT NULL AND removed IS NULL
         ORDER BY key, version LIMIT ?4"
    ))?
    .query_map(params![source, key, version, i64::try_from(limit).unwrap_or(i64::MAX)], known)?
    .collect()
}

/// Keys of evidence that should still lie in the bucket, after one key and up to another, in key order.
pub fn evidence(conn: &Connection, source: i64, after: &str, upto: &str, limit: usize) -> Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT DISTINCT key FROM objects
         WHERE source = ?1 AND key > ?2 AND key <= ?3 AND state IN (0, 3) AND removed IS NULL ORDER BY key LIMIT ?4",
    )?
    .query_map(params![source, after, upto, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
    .collect()
}

/// The region folders that evidence was seen in, with the roots they belong to: one look each, however much lies there.
pub fn region_folders(conn: &Connection, source: i64) -> Result<Vec<(Root, String)>> {
    let mut next = conn.prepare_cached(
        "SELECT key FROM objects WHERE source = ?1 AND key > ?2 AND state IN (0, 3) ORDER BY key LIMIT 1",
    )?;
    let (mut folders, mut after) = (Vec::new(), String::new());
    while let Some(key) = next.query_row(params![source, after], |row| row.get::<_, String>(0)).optional()? {
        let (root, folder) = match key::parse(&key) {
            ObjectKey::Log(log) => (log.root.clone(), log.root.region_folder(log.kind.folder(), &log.region)),
            ObjectKey::Digest(digest) => {
                (digest.root.clone(), digest.root.region_folder(key::DIGEST_FOLDER, &digest.region))
            }
            _ => {
                after = key;
                continue;
            }
        };
        after = format!("{folder}{}", char::MAX);
        folders.push((root, folder));
    }
    Ok(folders)
}

/// Accounts of which a good digest was seen.
pub fn accounts_seen(conn: &Connection) -> Result<Vec<String>> {
    conn.prepare_cached("SELECT DISTINCT account FROM chains WHERE head IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// A log that a digest promised.
#[derive(Debug, Clone)]
pub struct Awaited {
    pub key: String,
    pub sha: Option<Sha256>,
    pub digest: String,
    pub told: bool,
}

fn awaited_row(row: &Row<'_>) -> Result<Awaited> {
    Ok(Awaited {
        key: row.get(0)?,
        sha: Sha256::from_slice(&row.get::<_, Vec<u8>>(1)?),
        digest: row.get(2)?,
        told: row.get(3)?,
    })
}

pub fn await_log(tx: &Tx<'_>, source: i64, key: &str, sha: &Sha256, digest: &str, due: Timestamp) -> Result<()> {
    tx.conn
        .prepare_cached("INSERT OR IGNORE INTO awaited VALUES (?1, ?2, ?3, ?4, ?5, 0)")?
        .execute(params![source, key, &sha.0[..], digest, due.as_second()])
        .map(|_| ())
}

pub fn awaited(conn: &Connection, source: i64, key: &str) -> Result<Option<Awaited>> {
    conn.prepare_cached("SELECT key, sha, digest, told FROM awaited WHERE source = ?1 AND key = ?2")?
        .query_row(params![source, key], awaited_row)
        .optional()
}

pub fn awaited_due(conn: &Connection, source: i64, now: Timestamp, limit: usize) -> Result<Vec<Awaited>> {
    conn.prepare_cached(
        "SELECT key, sha, digest, told FROM awaited WHERE source = ?1 AND due <= ?2 AND told = 0 LIMIT ?3",
    )?
    .query_map(params![source, now.as_second(), i64::try_from(limit).unwrap_or(i64::MAX)], awaited_row)?
    .collect()
}

pub fn forget_awaited(tx: &Tx<'_>, source: i64, key: &str) -> Result<()> {
    tx.conn
        .prepare_cached("DELETE FROM awaited WHERE source = ?1 AND key = ?2")?
        .execute(params![source, key])
        .map(|_| ())
}

pub fn told_awaited(tx: &Tx<'_>, source: i64, key: &str) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE awaited SET told = 1 WHERE source = ?1 AND key = ?2")?
        .execute(params![source, key])
        .map(|_| ())
}

/// The logs that a digest lists without proving them; replaces what it claimed before.
pub fn set_claims<'k>(tx: &Tx<'_>, source: i64, digest: &str, logs: impl IntoIterator<Item = &'k str>) -> Result<()> {
    tx.conn
        .prepare_cached("DELETE FROM claimed WHERE source = ?1 AND digest = ?2")?
        .execute(params![source, digest])?;
    for log in logs {
        tx.conn
            .prepare_cached("INSERT OR IGNORE INTO claimed VALUES (?1, ?2, ?3)")?
            .execute(params![source, log, digest])?;
    }
    Ok(())
}

/// Stored bytes of all objects of a source that can be read again.
pub fn stored_bytes(conn: &Connection, source: i64) -> Result<u64> {
    let bytes: Option<i64> = conn
        .prepare_cached("SELECT value FROM counters WHERE name = ?1")?
        .query_row([format!("bytes/{source}")], |row| row.get(0))
        .optional()?;
    Ok(bytes.unwrap_or(0).unsigned_abs())
}
