//! The small lists: counters, quarantine, keys, progress.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, params};
use serde::Serialize;

use crate::core::id::{Region, Sha256};
use crate::core::journal::What;
use crate::seam::PublicKey;
use crate::store::{Tx, journal, time};

pub fn counters(conn: &Connection) -> Result<BTreeMap<String, i64>> {
    conn.prepare_cached("SELECT name, value FROM counters")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A message that could not be understood, kept whole.
#[derive(Debug, Clone, Serialize)]
pub struct Quarantined {
    pub id: String,
    pub source: String,
    pub message: String,
    pub reason: String,
    pub attempts: u32,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub state: String,
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// Keeps a body; the same body again only counts. Answers its id.
pub fn quarantine(tx: &Tx<'_>, source: i64, message: &str, body: &[u8], reason: &str) -> Result<String> {
    let id = hex::encode(&Sha256::of(body).0[..16]);
    let held = quarantine_stands(tx.conn, &id)?.is_some_and(|state| state == "held");
    tx.conn
        .prepare_cached(
            "INSERT INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, 'held')
             ON CONFLICT (id) DO UPDATE SET attempts = attempts + 1, last_seen = excluded.last_seen, reason = excluded.reason,
               state = 'held'",
        )?
        .execute(params![id, source, message, body, reason, tx.seconds()])?;
    if !held {
        journal::append(tx, What::Quarantine, &id, "held")?;
    }
    Ok(id)
}

/// What is held, or what has an id that begins so.
pub fn quarantined(conn: &Connection, id: Option<&str>) -> Result<Vec<Quarantined>> {
    conn.prepare_cached(
        "SELECT quarantine.id, name, message, reason, attempts, first_seen, last_seen, state, body
         FROM quarantine JOIN sources ON sources.id = source
         WHERE CASE WHEN ?1 IS NULL THEN state = 'held' ELSE quarantine.id >= ?1 AND quarantine.id < ?1 || 'g' END ORDER BY first_seen, quarantine.id",
    )?
    .query_map([id], |row| {
        Ok(Quarantined {
            id: row.get(0)?,
            source: row.get(1)?,
            message: row.get(2)?,
            reason: row.get(3)?,
            attempts: row.get(4)?,
            first_seen: time(row.get(5)?),
            last_seen: time(row.get(6)?),
            state: row.get(7)?,
            body: row.get(8)?,
        })
    })?
    .collect()
}

pub fn quarantine_state(tx: &Tx<'_>, id: &str, state: &str) -> Result<bool> {
    let done = tx
        .conn
        .prepare_cached("UPDATE quarantine SET state = ?2, last_seen = ?3 WHERE id = ?1 AND state <> ?2")?
        .execute(params![id, state, tx.seconds()])?
        == 1;
    if done {
        journal::append(tx, What::Quarantine, id, state)?;
    }
    Ok(done)
}

fn quarantine_stands(conn: &Connection, id: &str) -> Result<Option<String>> {
    conn.prepare_cached("SELECT state FROM quarantine WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

pub fn quarantine_held(conn: &Connection) -> Result<i64> {
    conn.query_row("SELECT count(*) FROM quarantine WHERE state = 'held'", [], |row| row.get(0))
}

/// Keys are kept for good: if CloudTrail ever dropped one, the archive could not be verified without it.
pub fn put_key(tx: &Tx<'_>, region: &Region, key: &PublicKey) -> Result<()> {
    tx.conn
        .prepare_cached("INSERT OR IGNORE INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            region.as_str(),
            key.fingerprint,
            key.der,
            key.valid_from.map(Timestamp::as_second),
            key.valid_to.map(Timestamp::as_second),
            tx.seconds()
        ])
        .map(|_| ())
}

pub fn key(conn: &Connection, region: &Region, fingerprint: &str) -> Result<Option<PublicKey>> {
    conn.prepare_cached("SELECT der, valid_from, valid_to FROM keys WHERE region = ?1 AND fingerprint = ?2")?
        .query_row(params![region.as_str(), fingerprint], |row| {
            Ok(PublicKey {
                fingerprint: fingerprint.into(),
                der: row.get(0)?,
                valid_from: row.get::<_, Option<i64>>(1)?.map(time),
                valid_to: row.get::<_, Option<i64>>(2)?.map(time),
            })
        })
        .optional()
}

pub fn progress(conn: &Connection, name: &str) -> Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM progress WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// When a progress was last written.
pub fn progress_at(conn: &Connection, name: &str) -> Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT at FROM progress WHERE name = ?1")?
        .query_row([name], |row| row.get(0).map(time))
        .optional()
}

pub fn set_progress(tx: &Tx<'_>, name: &str, value: &str) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO progress VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at",
        )?
        .execute(params![name, value, tx.seconds()])
        .map(|_| ())
}

pub fn forget_progress(tx: &Tx<'_>, prefix: &str) -> Result<()> {
    tx.conn
        .prepare_cached("DELETE FROM progress WHERE name >= ?1 AND name < ?1 || char(1114111)")?
        .execute([prefix])
        .map(|_| ())
}

/// Every key of a region that was ever seen.
pub fn keys_of(conn: &Connection, region: &Region) -> Result<Vec<PublicKey>> {
    conn.prepare_cached(
        "SELECT fingerprint, der, valid_from, valid_to FROM keys WHERE region = ?1 ORDER BY fingerprint",
    )?
    .query_map([region.as_str()], |row| {
        Ok(PublicKey {
            fingerprint: row.get(0)?,
            der: row.get(1)?,
            valid_from: row.get::<_, Option<i64>>(2)?.map(time),
            valid_to: row.get::<_, Option<i64>>(3)?.map(time),
        })
    })?
    .collect()
}
