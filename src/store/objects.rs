//! Objects, and the two lists of objects that are not there yet: awaited by a digest, wanted from the bucket.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::core::id::Sha256;
use crate::core::key::{self, LogKind, Root};
use crate::core::shard::Shard;
use crate::store::days::{self, Hash};
use crate::store::places::{self, Short};
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
    pub delivered: Timestamp,
    pub state: State,
    pub listed: Listing,
    pub sha: Option<Sha256>,
    pub size: u64,
    pub etag: Option<String>,
    pub records: u64,
    pub rejects: u64,
}

/// What is asked of a row, or of what is left of it.
#[derive(Debug, Clone)]
pub struct Known {
    pub key: String,
    pub version: String,
    pub state: i64,
    pub listed: i64,
    pub sha: Option<Hash>,
    pub etag: Option<String>,
    pub size: u64,
    /// Its day is closed, and only half of its hash is left.
    pub folded: bool,
}

/// The whole key of a row of `deliveries`.
pub(super) const KEY: &str = "(SELECT key FROM objects AS whole
   WHERE whole.place = deliveries.place AND whole.name = deliveries.name AND whole.version = deliveries.version)";
const KNOWN: &str =
    "version, state, listed, sha, CASE typeof(etag) WHEN 'blob' THEN lower(hex(etag)) ELSE etag END, size";

impl Known {
    /// What is left of an object whose row has been folded away; no digest contradicted it.
    pub fn folded(key: &str, hash: Hash, size: u64) -> Self {
        Self {
            key: key.to_owned(),
            version: String::new(),
            state: State::Admitted as i64,
            listed: Listing::Fits as i64,
            sha: Some(hash),
            etag: None,
            size,
            folded: true,
        }
    }

    pub fn is(&self, state: State) -> bool {
        self.state == state as i64
    }

    /// As far as size and ETag tell.
    pub fn is_same(&self, size: u64, etag: Option<&str>) -> bool {
        self.size == size && (self.etag.is_none() || self.etag.as_deref() == etag)
    }

    pub fn is_admitted(&self) -> bool {
        self.is(State::Admitted)
    }
}

fn known(row: &Row<'_>) -> Result<Known> {
    let sha = row.get::<_, Option<Vec<u8>>>(4)?;
    Ok(Known {
        key: row.get(0)?,
        version: row.get(1)?,
        state: row.get(2)?,
        listed: row.get(3)?,
        sha: sha.and_then(|bytes| Sha256::from_slice(&bytes)).map(Hash::Whole),
        etag: row.get(5)?,
        size: row.get::<_, i64>(6)?.unsigned_abs(),
        folded: false,
    })
}

/// An MD5 is kept as bytes; anything else that calls itself an ETag as it is.
fn etag(text: Option<&str>) -> rusqlite::types::Value {
    let is_md5 = |text: &str| text.len() == 32 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match text.filter(|text| is_md5(text)).and_then(|text| hex::decode(text).ok()) {
        Some(bytes) => bytes.into(),
        None => text.map(str::to_owned).into(),
    }
}

/// The number of a source, made at first sight.
pub fn source_id(tx: &Tx<'_>, name: &str) -> Result<i64> {
    tx.conn.execute("INSERT OR IGNORE INTO sources (name) VALUES (?1)", [name])?;
    tx.conn.query_row("SELECT id FROM sources WHERE name = ?1", [name], |row| row.get(0))
}

/// Writes a row unless it is there. True when it is new: only then do its effects follow.
pub fn insert(tx: &Tx<'_>, object: &NewObject) -> Result<bool> {
    let short = Short::of(&object.key);
    let place = places::make(tx, object.source, &short)?;
    if is_folded(tx.conn, place, &short, object)? {
        return Ok(false);
    }
    let fresh = tx
        .conn
        .prepare_cached(
            "INSERT OR IGNORE INTO deliveries
             (place, name, version, kind, delivered, state, listed, sha, size, etag, records, rejects, seen)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
        )?
        .execute(params![
            place,
            short.name,
            object.version.as_deref().unwrap_or(""),
            object.kind,
            object.delivered.as_second(),
            object.state as i64,
            object.listed as i64,
            object.sha.as_ref().map(|sha| &sha.0[..]),
            i64::try_from(object.size).unwrap_or(i64::MAX),
            etag(object.etag.as_deref()),
            i64::try_from(object.records).unwrap_or(i64::MAX),
            i64::try_from(object.rejects).unwrap_or(i64::MAX),
            tx.seconds(),
        ])?
        == 1;
    if fresh {
        tx.count("objects.seen", 1);
        tx.count(object.state.counter(), 1);
        if object.sha.is_some() {
            tx.count(&format!("bytes/{}", object.source), i64::try_from(object.size).unwrap_or(0));
        }
        tx.count("records", i64::try_from(object.records).unwrap_or(0));
        tx.count("rejects", i64::try_from(object.rejects).unwrap_or(0));
    }
    Ok(fresh)
}

/// Whether a row that has been folded away stands in the way of this one, as it did when it was whole: its version is not
/// known any more, so another version is what has other content.
fn is_folded(conn: &Connection, place: i64, short: &Short, object: &NewObject) -> Result<bool> {
    let Some(hash) = days::find(conn, place, short, &object.key)? else { return Ok(false) };
    let same = object.sha.is_some_and(|sha| hash.fits(&sha));
    Ok(same || object.state == State::Absent || object.version.as_deref().unwrap_or("").is_empty())
}

/// All versions of a key, the first seen first.
pub fn versions(conn: &Connection, source: i64, key: &str) -> Result<Vec<Known>> {
    let short = Short::of(key);
    let Some(place) = places::find(conn, source, &short)? else { return Ok(vec![]) };
    let folded = days::find(conn, place, &short, key)?.map(|hash| Known::folded(key, hash, 0));
    let mut query = conn.prepare_cached(&format!(
        "SELECT ?3, {KNOWN} FROM deliveries WHERE place = ?1 AND name = ?2 ORDER BY seen, version"
    ))?;
    let rows = query.query_map(params![place, short.name, key], known)?;
    folded.into_iter().map(Ok).chain(rows).collect()
}

/// The versions of a key in whatever bucket it lies, the newest first.
pub fn anywhere(conn: &Connection, key: &str) -> Result<Vec<Known>> {
    let sources: Vec<i64> = conn
        .prepare_cached("SELECT id FROM sources ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut found = Vec::new();
    for source in sources {
        found.extend(versions(conn, source, key)?.into_iter().rev());
    }
    Ok(found)
}

pub fn set_listed(tx: &Tx<'_>, source: i64, key: &str, listed: Listing) -> Result<()> {
    let short = Short::of(key);
    let Some(place) = places::find(tx.conn, source, &short)? else { return Ok(()) };
    tx.conn
        .prepare_cached("UPDATE deliveries SET listed = ?3 WHERE place = ?1 AND name = ?2")?
        .execute(params![place, short.name, listed as i64])
        .map(|_| ())
}

pub fn set_version_listed(tx: &Tx<'_>, source: i64, key: &str, version: &str, listed: Listing) -> Result<()> {
    let short = Short::of(key);
    let Some(place) = places::find(tx.conn, source, &short)? else { return Ok(()) };
    tx.conn
        .prepare_cached("UPDATE deliveries SET listed = ?4 WHERE place = ?1 AND name = ?2 AND version = ?3")?
        .execute(params![place, short.name, version, listed as i64])
        .map(|_| ())
}

/// Forgets the rows of a key in a state that is known better by now: absent when the object turns up after all, refused when
/// it is not refused any more, unusable when it can be read.
pub fn forget(tx: &Tx<'_>, source: i64, key: &str, state: State) -> Result<bool> {
    let short = Short::of(key);
    let Some(place) = places::find(tx.conn, source, &short)? else { return Ok(false) };
    forget_where(tx, source, "place = ?1 AND name = ?2 AND state = ?3", params![place, short.name, state as i64])
}

/// Forgets one writing of a key, whose place a proven one takes.
pub fn forget_version(tx: &Tx<'_>, source: i64, key: &str, version: &str) -> Result<bool> {
    let short = Short::of(key);
    let Some(place) = places::find(tx.conn, source, &short)? else { return Ok(false) };
    forget_where(tx, source, "place = ?1 AND name = ?2 AND version = ?3", params![place, short.name, version])
}

fn forget_where(tx: &Tx<'_>, source: i64, which: &str, params: &[&dyn rusqlite::ToSql]) -> Result<bool> {
    let mut gone = tx.conn.prepare_cached(&format!(
        "DELETE FROM deliveries WHERE {which} RETURNING state, iif(sha IS NULL, 0, size), records, rejects"
    ))?;
    let mut gone = gone.query(params)?;
    let mut any = false;
    while let Some(row) = gone.next()? {
        any = true;
        tx.count("objects.seen", -1);
        let state: i64 = row.get(0)?;
        if let Some(state) = State::ALL.into_iter().find(|known| *known as i64 == state) {
            tx.count(state.counter(), -1);
        }
        for (counter, column) in [(format!("bytes/{source}"), 1), ("records".into(), 2), ("rejects".into(), 3)] {
            tx.count(&counter, -row.get::<_, i64>(column)?);
        }
    }
    Ok(any)
}

pub fn set_removed(tx: &Tx<'_>, source: i64, key: &str, version: Option<&str>) -> Result<usize> {
    let short = Short::of(key);
    let Some(place) = places::find(tx.conn, source, &short)? else { return Ok(0) };
    tx.conn
        .prepare_cached(
            "UPDATE deliveries SET removed = ?4
             WHERE place = ?1 AND name = ?2 AND (?3 IS NULL OR version IN ('', ?3)) AND removed IS NULL",
        )?
        .execute(params![place, short.name, version, tx.seconds()])
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
    let (place, since, name) = match after {
        Some(log) => {
            let short = Short::of(&log.key);
            (places::find(conn, source, &short)?.unwrap_or(0), log.delivered.as_second(), short.name)
        }
        None => (0, i64::MIN, String::new()),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(&format!(
        "SELECT * FROM (
           SELECT {KEY} AS key, substr(root, -13, 12), region, delivered, seen
           FROM deliveries INDEXED BY deliveries_unlisted CROSS JOIN places ON places.id = place
           WHERE source = ?1 AND listed = 0 AND kind = 0 AND state = 0 AND (delivered < ?2 OR delivered > ?3)
             AND (place, delivered, name) > (?4, ?5, ?6)
           ORDER BY place, delivered, name) AS log
         WHERE NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.source = ?1 AND claimed.key = log.key)
         LIMIT ?7"
    ))?
    .query_map(params![source, outside.0.as_second(), outside.1.as_second(), place, since, name, limit], |row| {
        Ok(Unlisted {
            key: row.get(0)?,
            account: row.get(1)?,
            region: row.get(2)?,
            delivered: time(row.get(3)?),
            seen: time(row.get(4)?),
        })
    })?
    .collect()
}

/// Whether no digest lists a log, not even one without proof.
pub fn is_unlisted(conn: &Connection, source: i64, key: &str) -> Result<bool> {
    let short = Short::of(key);
    let Some(place) = places::find(conn, source, &short)? else { return Ok(false) };
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE place = ?1 AND name = ?2 AND listed = 0)
            AND NOT EXISTS (SELECT 1 FROM claimed WHERE source = ?3 AND key = ?4)",
    )?
    .query_row(params![place, short.name, source, key], |row| row.get(0))
}

/// Rows of a shard's accounts after one of them, by place and day, for scrubbing.
pub fn after(
    conn: &Connection,
    source: i64,
    shard: Shard,
    key: &str,
    version: &str,
    limit: usize,
) -> Result<Vec<Known>> {
    let short = Short::of(key);
    let place = if key.is_empty() { Some(0) } else { places::find(conn, source, &short)? };
    conn.prepare_cached(&format!(
        "SELECT {KEY}, {KNOWN} FROM deliveries CROSS JOIN places ON places.id = place
         WHERE source = ?1 AND (place, name, version) > (?2, ?3, ?4) AND sha IS NOT NULL AND removed IS NULL
           AND substr(root, -2, 1) % ?6 = ?7
         ORDER BY place, name, version LIMIT ?5"
    ))?
    .query_map(
        params![
            source,
            place.unwrap_or(0),
            short.name,
            version,
            i64::try_from(limit).unwrap_or(i64::MAX),
            shard.count(),
            shard.index()
        ],
        known,
    )?
    .collect()
}

/// Keys of evidence with a row that should still lie in the bucket, of one region folder, after one key and up to another, in key
/// order.
pub fn evidence(
    conn: &Connection,
    source: i64,
    folder: &str,
    (after, upto): (&str, &str),
    limit: usize,
) -> Result<Vec<String>> {
    let Some((short, letters)) = places::of_folder(folder) else { return Ok(vec![]) };
    let Some(place) = places::find(conn, source, &short)? else { return Ok(vec![]) };
    // Short names sort as keys do by day, and not always within one.
    let date =
        |key: &str| key.strip_prefix(folder).unwrap_or_default().chars().take(10).filter(|c| *c != '/').collect();
    let (from, to): (String, String) = (date(after), date(upto));
    let mut query = conn.prepare_cached(&format!(
        "SELECT name, {KEY} FROM deliveries
         WHERE place = ?1 AND name >= ?2 AND name < ?3 || '~' AND instr(?4, substr(name, 9, 1)) > 0
           AND state IN (0, 3) AND removed IS NULL ORDER BY name"
    ))?;
    let mut rows = query.query(params![place, from, to, letters])?;
    let (mut keys, mut day) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let (name, key): (String, String) = (row.get(0)?, row.get(1)?);
        if day != places::day(&name) && keys.len() >= limit {
            break;
        }
        day = places::day(&name);
        if key.as_str() > after && key.as_str() <= upto {
            keys.push(key);
        }
    }
    keys.sort();
    keys.dedup();
    keys.truncate(limit);
    Ok(keys)
}

/// The region folders that evidence with a row was seen in, with the roots they belong to.
pub fn region_folders(conn: &Connection, source: i64) -> Result<Vec<(Root, String)>> {
    let mut folders = Vec::new();
    for place in places::from(conn, source, 0)? {
        let letters: Vec<String> = conn
            .prepare_cached(
                "SELECT DISTINCT lower(substr(name, 9, 1)) FROM deliveries WHERE place = ?1 AND state IN (0, 3)",
            )?
            .query_map([place.id], |row| row.get(0))?
            .collect::<Result<_>>()?;
        let kinds = LogKind::ALL.map(|kind| (kind.folder(), places::letters(kind)));
        for (folder, of) in kinds.into_iter().chain([(key::DIGEST_FOLDER, places::DIGESTS)]) {
            if letters.iter().any(|letter| of.contains(letter.as_str())) {
                folders.push((place.root.clone(), place.root.region_folder(folder, &place.region)));
            }
        }
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

/// Those that somebody wants to look for, of all that should have come by now.
pub fn awaited_due(
    conn: &Connection,
    source: i64,
    now: Timestamp,
    limit: usize,
    wanted: impl Fn(&Awaited) -> bool,
) -> Result<Vec<Awaited>> {
    conn.prepare_cached("SELECT key, sha, digest, told FROM awaited WHERE source = ?1 AND due <= ?2 AND told = 0")?
        .query_map(params![source, now.as_second()], awaited_row)?
        .filter(|log| log.as_ref().map_or(true, &wanted))
        .take(limit)
        .collect()
}

/// How many logs of a shard's accounts are awaited and not told as missing.
pub fn awaited_count(conn: &Connection, shard: Shard) -> Result<i64> {
    let mut query = conn.prepare_cached("SELECT key FROM awaited WHERE told = 0")?;
    let mut rows = query.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let key = key::parse(row.get_ref(0)?.as_str().unwrap_or_default());
        count += i64::from(key.root().is_none_or(|root| shard.holds(root.account)));
    }
    Ok(count)
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
    let before = tx
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM claimed WHERE source = ?1 AND digest = ?2)")?
        .query_row(params![source, digest], |row| row.get::<_, bool>(0))?;
    if before {
        tx.conn
            .prepare_cached("DELETE FROM claimed WHERE source = ?1 AND digest = ?2")?
            .execute(params![source, digest])?;
    }
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
