//! From records to files of the archive, each record once.
//!
//! Logs wait in the ledger until their records are in a durable file *and* one transaction has written that file's row and taken
//! the logs off the list. A crash before it leaves a file without a row, which the next start removes; the logs are read again.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::files::Written;
use super::ids::Candidates;
use super::rows::{Key, Origin, Rows, date_of};
use super::{Archive, files};
use crate::core::gzip::{Caps, Inflated};
use crate::core::id::Sha256;
use crate::core::key::{self, LogKey, ObjectKey};
use crate::core::printable;
use crate::core::record::frame::Form;
use crate::delivery::Room;
use crate::error::{Error, Result};
use crate::seam::Got;
use crate::store::archive::{self, Log, NewFile, Pending};

/// Logs that are looked up in the ledger together, and that are fetched at once.
const PAGE: usize = 256;
const FETCHES: usize = 16;
/// Stored bytes of logs that are fetched while others are cut up.
const AHEAD: u64 = 16 << 20;
/// Inflated bytes that are cut up together.
const CUT: usize = 8 << 20;
/// How often somebody looks whether another process is done.
const AGAIN: Duration = Duration::from_millis(20);

/// What one commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
    /// Records that the archive had already.
    pub repeats: u64,
}

impl std::ops::AddAssign for Flushed {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.repeats += other.repeats;
    }
}

/// Records that are not in a file yet, and the logs that they are of.
pub struct Gathered {
    rows: Rows,
    /// Numbers of logs, each with its place among the origins; `None` where there is nothing to be had of it.
    done: Vec<(i64, Option<usize>)>,
    /// The last log that was looked at.
    after: i64,
    since: Option<Instant>,
}

impl Gathered {
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.rows.is_empty()
    }

    /// How long its first log has waited in here.
    pub fn age(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}

/// A log, or why there is none.
enum Found {
    Stored(Stored),
    /// It is not there any more, or is another one; without a reason its row is gone.
    Gone(Option<(Log, &'static str)>),
}

/// A log as it lies in the bucket.
struct Stored {
    log: Log,
    key: LogKey,
    caps: Caps,
    body: Vec<u8>,
    /// It comes from where it was admitted a moment ago.
    is_kept: bool,
}

/// A log's records with the room that they take up, or the log that has none, and why.
type Opened = std::result::Result<(Log, LogKey, Inflated, Room), Option<(Log, &'static str)>>;

/// How many logs are fetched while others are cut up: few where they are large.
fn ahead(page: &[Pending]) -> usize {
    let largest = page.iter().filter_map(|pending| pending.log.as_ref()).map(|log| log.size).max().unwrap_or(0);
    usize::try_from(AHEAD / largest.max(1)).unwrap_or(FETCHES).clamp(1, FETCHES)
}

impl Archive {
    pub fn gather(&self) -> Gathered {
        Gathered { rows: Rows::new(self.ids.identity.clone()), done: Vec::new(), after: 0, since: None }
    }

    /// Archives what is waiting; answers when nothing more is to be had of the list. For a drain, and for tests.
    pub async fn catch_up(&self) -> Result<Flushed> {
        let (mut gathered, mut total) = (self.gather(), Flushed::default());
        while self.take(&mut gathered).await? {
            if gathered.bytes() >= self.buffer {
                total += self.flush(&mut gathered).await?;
            }
        }
        total += self.flush(&mut gathered).await?;
        Ok(total)
    }

    /// Reads the next logs of the list, until a buffer is full; false when there are none.
    pub async fn take(&self, gathered: &mut Gathered) -> Result<bool> {
        let after = gathered.after;
        let page = self.store.read(move |conn| archive::pending(conn, after, PAGE)).await?;
        let Some(last) = page.last().map(|pending| pending.id) else { return Ok(false) };
        gathered.since.get_or_insert_with(Instant::now);
        let at_once = ahead(&page);
        let mut found = futures_util::stream::iter(page)
            .map(|pending| async move { (pending.id, self.read(pending).await) })
            .buffered(at_once);
        let (mut cut, mut bytes) = (Vec::new(), 0);
        let mut ended = Ok(last);
        while let Some((id, found)) = found.next().await {
            match self.open(found).await {
                Ok(Ok((log, key, inflated, room))) => {
                    bytes += inflated.bytes.len();
                    cut.push((id, log, key, inflated));
                    if bytes >= CUT {
                        self.cut(gathered, std::mem::take(&mut cut)).await?;
                        bytes = 0;
                    }
                    drop(room);
                    if gathered.bytes() + bytes >= self.buffer {
                        ended = Ok(id);
                        break;
                    }
                }
                Ok(Err(why)) => {
                    if let Some((log, why)) = why {
                        tracing::warn!(object.key = %printable(&log.key, 200), why, "a log is not archived");
                    }
                    gathered.done.push((id, None));
                }
                // it stays on the list, and is looked at again when the list begins anew
                Err(error) if !error.is_transient() && !error.is_fatal() => {
                    tracing::warn!(error = %error, "a log cannot be read for the archive");
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        drop(found);
        self.cut(gathered, cut).await?;
        // what was read before an error is kept
        gathered.after = match &ended {
            Ok(id) => *id,
            Err(_) => gathered.done.iter().map(|(id, _)| *id).max().unwrap_or(after).max(after),
        };
        ended.map(|_| true)
    }

    async fn cut(&self, gathered: &mut Gathered, logs: Vec<(i64, Log, LogKey, Inflated)>) -> Result<()> {
        if logs.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::replace(&mut gathered.rows, Rows::new(self.ids.identity.clone()));
        let (rows, done) = self
            .env
            .blocking(move || {
                let mut done = Vec::new();
                for (id, log, key, inflated) in logs {
                    rows.begin(Origin {
                        object: log.key,
                        trail: Some(log.trail),
                        delivered: Some(key.delivered),
                        day: key.date,
                    });
                    done.push((id, Some(rows.origins.len() - 1)));
                    push_log(&mut rows, &inflated.bytes, &key);
                }
                (rows, done)
            })
            .await
            // what had been gathered went with it, and is read again
            .inspect_err(|_| {
                let first = gathered.done.iter().map(|(id, _)| id - 1).min();
                *gathered = Gathered { after: first.unwrap_or(gathered.after).min(gathered.after), ..self.gather() };
            })?;
        gathered.rows = rows;
        gathered.done.extend(done);
        Ok(())
    }

    async fn read(&self, pending: Pending) -> Result<Found> {
        let Some(log) = pending.log else { return Ok(Found::Gone(None)) };
        let Some(trail) = self.trails.iter().find(|trail| trail.name == log.trail) else {
            return Err(Error::permanent("archive:read", format!("no trail `{}` is configured any more", log.trail)));
        };
        let ObjectKey::Log(key) = key::parse(&log.key) else {
            return Ok(Found::Gone(Some((log, "no key of a log"))));
        };
        let kept = self.deliveries.handoff.take(trail.id, &log.key, log.version.as_deref());
        let is_kept = kept.is_some();
        let body = match kept {
            Some(body) => body,
            None => match self.deliveries.get(trail, &log.key, log.version.as_deref(), Some(log.size)).await?.0 {
                Got::Found(object) => object.body,
                Got::Absent => return Ok(Found::Gone(Some((log, "it is not there any more")))),
                Got::TooLarge(_) => return Ok(Found::Gone(Some((log, "it is larger than the limit")))),
            },
        };
        Ok(Found::Stored(Stored { log, key, caps: trail.caps, body, is_kept }))
    }

    /// Inflates a log, once there is room for it. Nobody who waits for room in here has any.
    async fn open(&self, found: Result<Found>) -> Result<Opened> {
        let Stored { log, key, caps, body, is_kept } = match found? {
            Found::Stored(stored) => stored,
            Found::Gone(why) => return Ok(Err(why)),
        };
        let (inflated, room) = self.deliveries.memory.inflate(body, caps).await?;
        let Ok(inflated) = inflated else { return Ok(Err(Some((log, "it cannot be inflated")))) };
        if !is_kept && log.sha.is_some_and(|sha| Sha256::of(&inflated.bytes) != sha) {
            return Ok(Err(Some((log, "it is not what was admitted"))));
        }
        Ok(Ok((log, key, inflated, room)))
    }

    /// Writes what was gathered: durable files first, then the one transaction that makes them part of the archive.
    pub async fn flush(&self, gathered: &mut Gathered) -> Result<Flushed> {
        let after = gathered.after;
        let whole = std::mem::replace(gathered, Gathered { after, ..self.gather() });
        if whole.is_empty() {
            return Ok(Flushed::default());
        }
        let logs = whole.done.clone();
        match self.commit(whole.rows, whole.done).await {
            Ok((flushed, _)) => Ok(flushed),
            Err(error) => {
                // they are on the list still, and are read again
                gathered.after = logs.iter().map(|(id, _)| id - 1).min().unwrap_or(0).min(after);
                Err(error)
            }
        }
    }

    /// Writes rows into a file for each date, and takes the logs off the list; rows that the archive has are left out. Gives the
    /// table back, without rows.
    pub async fn commit(&self, rows: Rows, done: Vec<(i64, Option<usize>)>) -> Result<(Flushed, Rows)> {
        let mut batch = Batch::of(Arc::new(rows));
        let mut seen = self.repeats(&mut batch, 0).await?;
        loop {
            let written = self.write(&batch).await?;
            let lock = self.lock().await?;
            let known = batch.repeats;
            seen = self.repeats(&mut batch, seen).await?;
            if batch.repeats > known {
                // somebody else has archived some of them meanwhile
                continue;
            }
            let named: Vec<(String, String)> =
                written.iter().map(|(day, ..)| date_of(*day)).map(|date| (self.place.name(&date), date)).collect();
            let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
            if !names.is_empty() {
                self.store.write(move |tx| archive::begin(tx, &names)).await?;
            }
            let mut placed = Vec::new();
            for ((day, span, file), (name, date)) in written.iter().zip(named) {
                placed.push((*day, self.place.put(file, name, &date, *span, 0).await?));
            }
            let (new, counts): (Vec<NewFile>, _) =
                (placed.iter().map(|(_, file)| file.clone()).collect(), batch.counts());
            let logs: Vec<(i64, u64)> = done
                .iter()
                .map(|(id, origin)| (*id, origin.and_then(|at| counts.get(at).copied()).unwrap_or(0)))
                .collect();
            let flushed = Flushed {
                files: new.len(),
                rows: new.iter().map(|file| file.rows).sum(),
                bytes: new.iter().map(|file| file.bytes).sum(),
                repeats: batch.repeats as u64,
            };
            self.store.write(move |tx| archive::add(tx, &new, &logs)).await?;
            drop(lock);
            for (day, file) in placed {
                self.ids.keep(&file.name, batch.of_day(day).iter().map(|(key, _)| key.id).collect());
            }
            self.relist().await?;
            let table = Arc::try_unwrap(batch.table).map(Rows::emptied);
            return Ok((flushed, table.unwrap_or_else(|_| Rows::new(self.ids.identity.clone()))));
        }
    }

    /// Leaves out what files after a number hold already; answers the number of the last file that there was when it began:
    /// whatever comes while days are looked at one after the other is looked at the next time.
    async fn repeats(&self, batch: &mut Batch, after: i64) -> Result<i64> {
        let last = self.store.read(archive::last).await?;
        for day in batch.days() {
            let Some((from, to)) = span(batch.of_day(day)) else { continue };
            let date = date_of(day);
            let files = self.store.read(move |conn| archive::overlapping(conn, &date, from, to)).await?;
            let mut files = files.into_iter().filter(|file| file.id > after).peekable();
            if files.peek().is_none() {
                continue;
            }
            let (candidates, mut held) = (Candidates::new(&batch.table, batch.of_day(day)), HashSet::new());
            for file in files {
                held.extend(self.ids.held(&self.place, &file, &candidates).await?);
            }
            if !held.is_empty() {
                batch.keep(|key| !held.contains(&key.id));
            }
        }
        Ok(last)
    }

    async fn write(&self, batch: &Batch) -> Result<Vec<(i64, (i64, i64), Written)>> {
        let mut written = Vec::new();
        for day in batch.days() {
            let rows = batch.of_day(day);
            let Some(span) = span(rows) else { continue };
            let rows: Vec<u32> = rows.iter().map(|(_, row)| *row).collect();
            let (table, path, effort) = (batch.table.clone(), self.place.scratch(), super::QUICK);
            let write = move || files::write(&path, effort, table.batches(&rows));
            written.push((day, span, self.env.blocking(write).await??));
        }
        Ok(written)
    }

    /// Taken while files become part of the archive: one process at a time does that.
    pub(super) async fn lock(&self) -> Result<Turn<'_>> {
        // whoever waits for another of this process is called
        let own = self.turn.lock().await;
        let path = self.place.state.with_extension("archive-lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| Error::fatal("archive:lock", format!("{}: {error}", path.display())))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: file, _own: own }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(Error::fatal("archive:lock", error)),
            }
        }
    }
}

/// Held while files become part of the archive.
pub(super) struct Turn<'a> {
    _file: File,
    _own: MutexGuard<'a, ()>,
}

/// The elements of a log, those that are no records for anybody else among them: an object with members is kept as it is.
pub fn push_log(rows: &mut Rows, bytes: &[u8], key: &LogKey) {
    if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
        // of a broken log nothing is believed
        let _ = rows.read(text, Form::of(key), |_, _| false);
    }
}

/// Rows in the order in which they are written, without those that are there already.
struct Batch {
    table: Arc<Rows>,
    order: Vec<(Key, u32)>,
    repeats: usize,
}

impl Batch {
    fn of(table: Arc<Rows>) -> Self {
        let mut order: Vec<(Key, u32)> = table.keys.iter().copied().zip(0..).collect();
        // of those that are the same the one that came first is kept
        order.sort_unstable();
        let mut ids = HashTable::with_capacity(order.len());
        let is_new = |key: &Key| match ids.entry(hash(key.id), |id| *id == key.id, |id| hash(*id)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(new) => {
                new.insert(key.id);
                true
            }
        };
        let mut batch = Self { table, order, repeats: 0 };
        batch.keep(is_new);
        batch
    }

    fn keep(&mut self, mut is_kept: impl FnMut(&Key) -> bool) {
        let all = self.order.len();
        self.order.retain(|(key, _)| is_kept(key));
        self.repeats += all - self.order.len();
    }

    fn days(&self) -> Vec<i64> {
        let mut days: Vec<i64> = self.order.iter().map(|(key, _)| key.day).collect();
        days.dedup();
        days
    }

    fn of_day(&self, day: i64) -> &[(Key, u32)] {
        let begin = self.order.partition_point(|(key, _)| key.day < day);
        let end = self.order.partition_point(|(key, _)| key.day <= day);
        self.order.get(begin..end).unwrap_or_default()
    }

    /// How many rows each origin has.
    fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.table.origins.len()];
        for (_, row) in &self.order {
            if let Some(count) = counts.get_mut(self.table.origin(*row)) {
                *count += 1;
            }
        }
        counts
    }
}

/// First and last event time of rows.
fn span(rows: &[(Key, u32)]) -> Option<(i64, i64)> {
    let times = || rows.iter().map(|(key, _)| key.seconds);
    Some((times().min()?, times().max()?))
}

/// An identity is a hash that nobody else can make.
fn hash(id: u128) -> u64 {
    u64::try_from(id >> 64).unwrap_or_default()
}
