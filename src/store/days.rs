//! Closed days: what is left of an object when its row has been folded away.
//!
//! An entry is the first 8 bytes of the SHA-256 of the object's key and the first 16 of that of its content. So a repeat is
//! still known for one, and another content for another; version, ETag and size are gone.

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::id::Sha256;
use crate::core::shard::Shard;
use crate::store::Tx;
use crate::store::places::Short;

const KEY: usize = 8;
const CONTENT: usize = 16;
const ENTRY: usize = KEY + CONTENT;
/// Entries of a row: four such rows fill a page.
const ROW: usize = 40;

/// What is known of an object's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Whole(Sha256),
    /// Its first half: the object's day has been folded.
    Half([u8; CONTENT]),
}

impl Hash {
    pub fn fits(&self, sha: &Sha256) -> bool {
        match self {
            Self::Whole(whole) => whole == sha,
            Self::Half(half) => sha.0.starts_with(half),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Half(half) => write!(f, "{}…", hex::encode(half)),
        }
    }
}

/// A key as an entry knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; KEY]);

impl KeyHash {
    pub fn of(key: &str) -> Self {
        let mut out = [0; KEY];
        out.copy_from_slice(&Sha256::of(key.as_bytes()).0[..KEY]);
        Self(out)
    }
}

/// The entries of a day.
pub type Entries = BTreeMap<KeyHash, Hash>;

/// What a day's row sums up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    pub objects: i64,
    pub records: i64,
    pub rejects: i64,
    pub bytes: i64,
    /// Rows of the archive.
    pub archived: i64,
}

/// The hash of a key's content, if the key has been folded.
pub fn find(conn: &Connection, place: i64, short: &Short, key: &str) -> Result<Option<Hash>> {
    let Some(day) = short.day() else { return Ok(None) };
    let wanted = KeyHash::of(key);
    let row: Option<Vec<u8>> = conn
        .prepare_cached(
            "SELECT entries FROM folded WHERE place = ?1 AND day = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![place, day, wanted.0], |row| row.get(0))
        .optional()?;
    Ok(row.and_then(|row| read(&row).find(|(key, _)| *key == wanted).map(|(_, hash)| hash)))
}

fn read(row: &[u8]) -> impl Iterator<Item = (KeyHash, Hash)> + '_ {
    row.as_chunks::<ENTRY>().0.iter().filter_map(|entry| {
        let (key, content) = entry.split_at_checked(KEY)?;
        Some((KeyHash(key.try_into().ok()?), Hash::Half(content.try_into().ok()?)))
    })
}

pub fn entries(conn: &Connection, place: i64, day: i64) -> Result<Entries> {
    let mut query = conn.prepare_cached("SELECT entries FROM folded WHERE place = ?1 AND day = ?2")?;
    let mut rows = query.query(params![place, day])?;
    let mut entries = Entries::new();
    while let Some(row) = rows.next()? {
        entries.extend(read(&row.get::<_, Vec<u8>>(0)?));
    }
    Ok(entries)
}

/// Writes a day anew, and adds to its sum.
pub(super) fn put(tx: &Tx<'_>, place: i64, day: i64, entries: &Entries, more: Sum) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM folded WHERE place = ?1 AND day = ?2")?.execute(params![place, day])?;
    let all: Vec<(&KeyHash, &Hash)> = entries.iter().collect();
    for part in all.chunks(ROW) {
        let mut row = Vec::with_capacity(part.len() * ENTRY);
        for (key, hash) in part {
            row.extend_from_slice(&key.0);
            row.extend_from_slice(match hash {
                Hash::Whole(whole) => &whole.0[..CONTENT],
                Hash::Half(half) => half,
            });
        }
        tx.conn.prepare_cached("INSERT INTO folded VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            place,
            day,
            &row[..KEY],
            row
        ])?;
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (place, day) DO UPDATE SET
               objects = objects + excluded.objects, records = records + excluded.records,
               rejects = rejects + excluded.rejects, bytes = bytes + excluded.bytes, archived = archived + excluded.archived",
        )?
        .execute(params![place, day, more.objects, more.records, more.rejects, more.bytes, more.archived])
        .map(|_| ())
}

/// The folded day of a shard's accounts after another one, by place and day.
pub fn next(conn: &Connection, source: i64, shard: Shard, place: i64, day: i64) -> Result<Option<(i64, i64)>> {
    conn.prepare_cached(
        "SELECT place, day FROM days CROSS JOIN places ON places.id = place
         WHERE source = ?1 AND (place, day) > (?2, ?3) AND substr(root, -2, 1) % ?4 = ?5 ORDER BY place, day LIMIT 1",
    )?
    .query_row(params![source, place, day, shard.count(), shard.index()], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

/// What all folded days sum up.
pub fn total(conn: &Connection) -> Result<Sum> {
    conn.query_row(
        "SELECT ifnull(sum(objects), 0), ifnull(sum(records), 0), ifnull(sum(rejects), 0), ifnull(sum(bytes), 0),
                ifnull(sum(archived), 0) FROM days",
        [],
        |row| {
            Ok(Sum {
                objects: row.get(0)?,
                records: row.get(1)?,
                rejects: row.get(2)?,
                bytes: row.get(3)?,
                archived: row.get(4)?,
            })
        },
    )
}
