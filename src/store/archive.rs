//! What the archive holds, and what it does not hold yet.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::core::id::Sha256;
use crate::store::places::{self, Short};
use crate::store::{Tx, days, lists, time};

/// Whether logs are noted for the archive, so that a later start knows which ones were not.
const NOTED: &str = "archive/noted";

/// Files were taken over: of logs that are read again it is not known which rows were theirs.
const ADOPTED: &str = "archive/adopted";

/// A log whose records are not in the archive yet.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: i64,
    /// `None`: its row is gone, another writing of the key took its place.
    pub log: Option<Log>,
}

#[derive(Debug, Clone)]
pub struct Log {
    /// The name of its source.
    pub trail: String,
    pub key: String,
    /// `None` in an unversioned bucket.
    pub version: Option<String>,
    pub delivered: Timestamp,
    pub records: u64,
    pub rejects: u64,
    pub size: u64,
    pub sha: Option<Sha256>,
}

/// A file as it is written into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub name: String,
    pub date: String,
    pub rows: u64,
    pub bytes: u64,
    pub oldest: i64,
    pub newest: i64,
    /// How often its rows have been compacted.
    pub level: u8,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFile {
    pub id: i64,
    pub name: String,
    pub date: String,
    pub rows: u64,
    pub bytes: u64,
    pub oldest: i64,
    pub newest: i64,
    pub level: u8,
    pub made: Timestamp,
}

const FILE: &str = "id, name, date, rows, bytes, oldest, newest, level, made";

fn file(row: &Row<'_>) -> Result<ArchiveFile> {
    Ok(ArchiveFile {
        id: row.get(0)?,
        name: row.get(1)?,
        date: row.get(2)?,
        rows: row.get::<_, i64>(3)?.unsigned_abs(),
        bytes: row.get::<_, i64>(4)?.unsigned_abs(),
        oldest: row.get(5)?,
        newest: row.get(6)?,
        level: row.get(7)?,
        made: time(row.get(8)?),
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Notes an admitted log; in the transaction of its row.
pub fn note(tx: &Tx<'_>, source: i64, key: &str, version: Option<&str>) -> Result<()> {
    let short = Short::of(key);
    let place = places::make(tx, source, &short)?;
    tx.conn
        .prepare_cached("INSERT OR IGNORE INTO unarchived (place, name, version) VALUES (?1, ?2, ?3)")?
        .execute(params![place, short.name, version.unwrap_or("")])
        .map(|_| ())
}

/// Notes the logs of a place that were admitted when there was no archive; answers the next place, if there is one.
pub fn note_place(tx: &Tx<'_>, place: i64) -> Result<Option<i64>> {
    tx.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO unarchived (place, name, version)
             SELECT place, name, version FROM deliveries
             WHERE place = ?1 AND state = 0 AND kind <> 9 AND archived IS NULL AND removed IS NULL
             ORDER BY delivered",
        )?
        .execute([place])?;
    let next = next_place(tx.conn, place)?;
    if next.is_none() {
        lists::set_progress(tx, NOTED, "all")?;
    }
    Ok(next)
}

/// The place after one.
pub fn next_place(conn: &Connection, place: i64) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM places WHERE id > ?1 ORDER BY id LIMIT 1")?
        .query_row([place], |row| row.get(0))
        .optional()
}

/// Whether every admitted log is noted or archived.
pub fn is_noted(conn: &Connection) -> Result<bool> {
    Ok(lists::progress(conn, NOTED)?.is_some())
}

/// Logs are not noted any more: there is no archive.
pub fn unnoted(tx: &Tx<'_>) -> Result<()> {
    lists::forget_progress(tx, NOTED)
}

/// The next logs after one.
pub fn pending(conn: &Connection, after: i64, limit: usize) -> Result<Vec<Pending>> {
    conn.prepare_cached(
        "SELECT unarchived.id, sources.name, key, objects.version, delivered, records, rejects, size, sha
         FROM (SELECT * FROM unarchived WHERE id > ?1 ORDER BY id LIMIT ?2) AS unarchived
         LEFT JOIN objects ON objects.place = unarchived.place AND objects.name = unarchived.name
           AND objects.version = unarchived.version AND objects.state = 0
         LEFT JOIN sources ON sources.id = source
         ORDER BY unarchived.id",
    )?
    .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let id = row.get(0)?;
        let Some(trail) = row.get::<_, Option<String>>(1)? else { return Ok(Pending { id, log: None }) };
        Ok(Pending {
            id,
            log: Some(Log {
                trail,
                key: row.get(2)?,
                version: row.get::<_, Option<String>>(3)?.filter(|version| !version.is_empty()),
                delivered: time(row.get(4)?),
                records: row.get::<_, i64>(5)?.unsigned_abs(),
                rejects: row.get::<_, i64>(6)?.unsigned_abs(),
                size: row.get::<_, i64>(7)?.unsigned_abs(),
                sha: row.get::<_, Option<Vec<u8>>>(8)?.and_then(|bytes| Sha256::from_slice(&bytes)),
            }),
        })
    })?
    .collect()
}

/// How many logs wait, and when the earliest of them was delivered.
pub fn backlog(conn: &Connection) -> Result<(u64, Option<Timestamp>)> {
    conn.prepare_cached(
        "SELECT count(*), min(delivered) FROM unarchived
         LEFT JOIN objects ON objects.place = unarchived.place AND objects.name = unarchived.name
           AND objects.version = unarchived.version AND objects.state = 0",
    )?
    .query_row([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, Option<i64>>(1)?.map(time))))
}

/// Says which files are about to be put in their place.
pub fn begin(tx: &Tx<'_>, names: &[String]) -> Result<()> {
    let mut insert = tx.conn.prepare_cached("INSERT OR IGNORE INTO unfinished VALUES (?1)")?;
    names.iter().try_for_each(|name| insert.execute([name]).map(|_| ()))
}

/// Files that were about to be put in their place.
pub fn unfinished(conn: &Connection) -> Result<Vec<String>> {
    conn.prepare_cached("SELECT name FROM unfinished ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
}

/// Nothing is left of these.
pub fn undone(tx: &Tx<'_>, names: &[String]) -> Result<()> {
    let mut delete = tx.conn.prepare_cached("DELETE FROM unfinished WHERE name = ?1")?;
    names.iter().try_for_each(|name| delete.execute([name]).map(|_| ()))
}

/// Takes over the files that the archive's own lists name: the ledger is older than they are.
pub fn adopt(tx: &Tx<'_>, files: &[NewFile]) -> Result<()> {
    let last: i64 = tx.conn.query_row("SELECT coalesce(max(id), 0) FROM files", [], |row| row.get(0))?;
    tx.conn.execute_batch("DELETE FROM files")?;
    files.iter().try_for_each(|file| insert(tx, file))?;
    // no id comes again: somebody may still mean what had it
    tx.conn.prepare_cached("UPDATE files SET id = id + ?1 + (SELECT max(id) FROM files)")?.execute([last])?;
    lists::set_progress(tx, ADOPTED, &files.len().to_string())
}

/// A file that another ledger knew: its rows are all in files of this one, and it is removed like any that was replaced.
/// `has_new`: some were not before.
pub fn taken_in(tx: &Tx<'_>, file: &NewFile, has_new: bool) -> Result<()> {
    insert(tx, file)?;
    tx.conn
        .prepare_cached("UPDATE files SET replaced = ?2 WHERE name = ?1")?
        .execute(params![file.name, tx.seconds()])?;
    if has_new { lists::set_progress(tx, ADOPTED, &file.name) } else { Ok(()) }
}

/// Adds files and takes logs off the list, each with how many rows the archive has of it: one effect, one transaction.
pub fn add(tx: &Tx<'_>, files: &[NewFile], done: &[(i64, u64)]) -> Result<()> {
    for file in files {
        insert(tx, file)?;
    }
    for (id, rows) in done {
        tx.conn
            .prepare_cached(
                "UPDATE deliveries SET archived = ?2
                 FROM (SELECT place, name, version FROM unarchived WHERE id = ?1) AS log
                 WHERE deliveries.place = log.place AND deliveries.name = log.name AND deliveries.version = log.version",
            )?
            .execute(params![id, signed(*rows)])?;
        tx.conn.prepare_cached("DELETE FROM unarchived WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

fn insert(tx: &Tx<'_>, file: &NewFile) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO files (name, date, rows, bytes, oldest, newest, level, made) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            file.name,
            file.date,
            signed(file.rows),
            signed(file.bytes),
            file.oldest,
            file.newest,
            file.level,
            tx.seconds()
        ])?;
    tx.conn.prepare_cached("DELETE FROM unfinished WHERE name = ?1")?.execute([&file.name])?;
    tx.conn.prepare_cached("INSERT OR IGNORE INTO relist VALUES (?1)")?.execute([&file.date]).map(|_| ())
}

/// Puts files in the place of others. False, and nothing is done, when one of those is no part of the archive any more.
pub fn replace(tx: &Tx<'_>, old: &[(i64, String)], new: &[NewFile]) -> Result<bool> {
    let mut live = tx.conn.prepare_cached("SELECT date FROM files WHERE id = ?1 AND name = ?2 AND replaced IS NULL")?;
    let mut dates = Vec::new();
    for (id, name) in old {
        match live.query_row(params![id, name], |row| row.get::<_, String>(0)).optional()? {
            Some(date) => dates.push(date),
            None => return Ok(false),
        }
    }
    for (id, _) in old {
        tx.conn.prepare_cached("UPDATE files SET replaced = ?2 WHERE id = ?1")?.execute(params![id, tx.seconds()])?;
    }
    for date in dates {
        tx.conn.prepare_cached("INSERT OR IGNORE INTO relist VALUES (?1)")?.execute([date])?;
    }
    new.iter().try_for_each(|file| insert(tx, file))?;
    Ok(true)
}

/// The files of the archive, by date; of one date if that is given.
pub fn files(conn: &Connection, date: Option<&str>) -> Result<Vec<ArchiveFile>> {
    conn.prepare_cached(&format!(
        "SELECT {FILE} FROM files WHERE replaced IS NULL AND (?1 IS NULL OR date = ?1) ORDER BY date, oldest, id"
    ))?
    .query_map([date], file)?
    .collect()
}

/// The files of the dates from one to another, both included (`yyyy-mm-dd`), by date.
pub fn files_between(conn: &Connection, from: &str, to: &str) -> Result<Vec<ArchiveFile>> {
    conn.prepare_cached(&format!(
        "SELECT {FILE} FROM files WHERE replaced IS NULL AND date >= ?1 AND date <= ?2 ORDER BY date, oldest, id"
    ))?
    .query_map([from, to], file)?
    .collect()
}

/// The files of a date that may hold events of a time, `[from, to]`.
pub fn overlapping(conn: &Connection, date: &str, from: i64, to: i64) -> Result<Vec<ArchiveFile>> {
    conn.prepare_cached(&format!(
        "SELECT {FILE} FROM files WHERE replaced IS NULL AND date = ?1 AND newest >= ?2 AND oldest <= ?3 ORDER BY id"
    ))?
    .query_map(params![date, from, to], file)?
    .collect()
}

/// The dates that there are files of, each with how many and how many bytes.
pub fn dates(conn: &Connection) -> Result<Vec<(String, u64, u64)>> {
    conn.prepare_cached(
        "SELECT date, count(*), sum(bytes) FROM files WHERE replaced IS NULL GROUP BY date ORDER BY date",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs())))?
    .collect()
}

/// The number of the newest file.
pub fn last(conn: &Connection) -> Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(id), 0) FROM files")?.query_row([], |row| row.get(0))
}

/// Every file that is known: part of the archive, replaced and still there, or about to be put in its place.
pub fn names(conn: &Connection) -> Result<HashSet<String>> {
    conn.prepare_cached("SELECT name FROM files UNION ALL SELECT name FROM unfinished")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Files that were replaced before a time: number and name.
pub fn replaced(conn: &Connection, before: Timestamp, limit: usize) -> Result<Vec<(i64, String)>> {
    conn.prepare_cached(
        "SELECT id, name FROM files WHERE replaced IS NOT NULL AND replaced < ?1 ORDER BY replaced LIMIT ?2",
    )?
    .query_map(params![before.as_second(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?
    .collect()
}

/// Forgets files that are removed.
pub fn forget(tx: &Tx<'_>, files: &[i64]) -> Result<()> {
    let mut delete = tx.conn.prepare_cached("DELETE FROM files WHERE id = ?1 AND replaced IS NOT NULL")?;
    files.iter().try_for_each(|id| delete.execute([id]).map(|_| ()))
}

/// Dates whose lists are to be written.
pub fn relist(conn: &Connection, limit: usize) -> Result<Vec<String>> {
    conn.prepare_cached("SELECT date FROM relist ORDER BY date LIMIT ?1")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect()
}

/// A date's list is written, as far as it named these files.
pub fn listed(tx: &Tx<'_>, date: &str, named: &[String]) -> Result<()> {
    let now: Vec<String> = files(tx.conn, Some(date))?.into_iter().map(|file| file.name).collect();
    if now == named {
        tx.conn.prepare_cached("DELETE FROM relist WHERE date = ?1")?.execute([date])?;
    }
    Ok(())
}

/// What the digests say of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Integrity {
    /// A digest lists it as it is.
    Verified,
    /// Its day was folded: nothing contradicted it, and whether a digest lists it is not known any more.
    Folded,
    /// Its digest has not come yet.
    Pending,
    /// No digest came that could have listed it, or none ever lists its kind.
    Unproven,
    /// Digests of its hour came, and none lists it.
    Unlisted,
    /// A digest lists another content under its key.
    Modified,
}

impl Integrity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Folded => "folded",
            Self::Pending => "pending",
            Self::Modified => "modified",
            Self::Unlisted => "unlisted",
            Self::Unproven => "unproven",
        }
    }

    /// By `deliveries.listed`.
    fn of(listed: i64) -> Self {
        match listed {
            1 => Self::Verified,
            0 => Self::Pending,
            2 => Self::Modified,
            3 => Self::Unlisted,
            _ => Self::Unproven,
        }
    }
}

/// What the digests say of logs, each given by trail and key; `None` where the ledger does not know it. Of several versions
/// under a key the worst counts. A key whose day was folded has no row.
pub fn integrity(conn: &Connection, logs: &[(String, String)]) -> Result<Vec<Option<Integrity>>> {
    let mut listed =
        conn.prepare_cached("SELECT listed FROM deliveries WHERE place = ?1 AND name = ?2 AND state = 0")?;
    let of = |(trail, key): &(String, String)| {
        let mut source = conn.prepare_cached("SELECT id FROM sources WHERE name = ?1")?;
        let Some(source) = source.query_row([trail], |row| row.get(0)).optional()? else { return Ok(None) };
        let short = Short::of(key);
        let Some(place) = places::find(conn, source, &short)? else { return Ok(None) };
        let rows: Vec<i64> = listed.query_map(params![place, short.name], |row| row.get(0))?.collect::<Result<_>>()?;
        match rows.into_iter().map(Integrity::of).max() {
            None => Ok(days::find(conn, place, &short, key)?.map(|_| Integrity::Folded)),
            worst => Ok(worst),
        }
    };
    logs.iter().map(of).collect()
}

/// Up to where the archive reaches, as the ledger knew it at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizon {
    /// When the warden wrote the ledger last: of what was announced later it knows nothing.
    pub known: Option<Timestamp>,
    /// Logs whose records are not in the archive yet, and when the earliest of them was delivered.
    pub waiting: u64,
    pub waiting_since: Option<Timestamp>,
    /// The logs that came before there was an archive are on the list, or in it.
    pub is_noted: bool,
    /// Days of which the archive has files, in order.
    pub days: Vec<String>,
}

/// What a reader goes by, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub horizon: Horizon,
    pub files: Vec<ArchiveFile>,
    /// The files that records were gathered in, whether others have replaced them or not: each record that became known is in
    /// one of them.
    pub gathered: Vec<ArchiveFile>,
}

pub fn view(conn: &Connection) -> Result<View> {
    let moment = conn.unchecked_transaction()?;
    let (waiting, waiting_since) = backlog(&moment)?;
    let known = moment
        .query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_commit'", [], |row| row.get(0))
        .optional()?;
    let days = dates(&moment)?.into_iter().map(|(date, ..)| date).collect();
    let horizon = Horizon { known: known.map(time), waiting, waiting_since, is_noted: is_noted(&moment)?, days };
    let gathered = moment
        .prepare_cached(&format!("SELECT {FILE} FROM files WHERE level = 0 ORDER BY id"))?
        .query_map([], file)?
        .collect::<Result<_>>()?;
    Ok(View { horizon, files: files(&moment, None)?, gathered })
}

/// Archived logs that are not verified: trail, key, and what they are. Folded days have none: what was contradicted is not
/// folded.
pub fn doubtful(conn: &Connection) -> Result<Vec<(String, String, Integrity)>> {
    conn.prepare(
        "SELECT sources.name, key, listed FROM objects JOIN sources ON sources.id = source
         WHERE archived IS NOT NULL AND kind <> 9 AND listed <> 1 ORDER BY source, key",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, Integrity::of(row.get(2)?))))?
    .collect()
}

/// What the archive's rows are of, against what the ledger says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    pub logs: u64,
    pub waiting: u64,
    /// Rows of no trail.
    pub imported: u64,
    /// A log, or a folded day of a place: rows that there are, rows that there should be.
    pub differ: Vec<(String, u64, u64)>,
}

/// Compares the rows of each trail's logs with what the ledger says of them; folded days in sum.
pub fn compare(conn: &Connection, mut counts: HashMap<(Option<String>, String), u64>) -> Result<Compared> {
    let mut compared = Compared { waiting: backlog(conn)?.0, ..Compared::default() };
    let adopted = lists::progress(conn, ADOPTED)?.is_some();
    let mut query = conn.prepare(
        "SELECT sources.name, key, sum(archived) FROM objects JOIN sources ON sources.id = source
         WHERE archived IS NOT NULL AND kind <> 9 GROUP BY source, place, objects.name",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (trail, key, archived): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = (Some(trail), key);
        let found = counts.remove(&name).unwrap_or(0);
        compared.logs += u64::from(found > 0);
        if found < archived.unsigned_abs() || (found > archived.unsigned_abs() && !adopted) {
            compared.differ.push((name.1, found, archived.unsigned_abs()));
        }
    }
    let mut folded: HashMap<(String, String, String, i64), u64> = HashMap::new();
    for ((trail, key), found) in counts {
        let short = Short::of(&key);
        match (trail, short.day()) {
            (None, _) => compared.imported += found,
            (Some(trail), Some(day)) => {
                compared.logs += 1;
                *folded.entry((trail, short.root, short.region, day)).or_insert(0) += found;
            }
            (Some(_), None) if adopted => compared.logs += 1,
            (Some(_), None) => compared.differ.push((key, found, 0)),
        }
    }
    let mut query = conn.prepare(
        "SELECT sources.name, root, region, day, archived FROM days JOIN places ON places.id = place
         JOIN sources ON sources.id = source",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let name = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let (found, archived) = (folded.remove(&name).unwrap_or(0), row.get::<_, i64>(4)?.unsigned_abs());
        if found < archived || (found > archived && !adopted) {
            compared.differ.push((format!("{}{} on {}", name.1, name.2, name.3), found, archived));
        }
    }
    if adopted {
        return Ok(compared);
    }
    let unknown =
        folded.into_iter().map(|((_, root, region, day), found)| (format!("{root}{region} on {day}"), found, 0));
    compared.differ.extend(unknown);
    Ok(compared)
}
