//! The ledger: one SQLite file, one group-committing writer, a few readers.
//!
//! Every effect is in the transaction that records its cause. A crash before the commit did nothing; a crash after it makes
//! the message a duplicate, which changes nothing.

pub mod archive;
pub mod changes;
pub mod check;
pub mod copy;
pub mod coverage;
pub mod days;
pub mod digests;
pub mod findings;
pub mod fold;
pub mod insights;
pub mod journal;
pub mod lease;
pub mod lists;
pub mod members;
pub mod objects;
pub mod outbox;
pub mod places;
pub mod proven;
pub mod rates;
pub mod retention;
mod seal;
pub mod silences;
pub mod watches;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, broadcast, mpsc, oneshot, watch};

use crate::core::finding::Kind;
use crate::core::journal::What;
use crate::core::route::Route;
use crate::env::Env;
use crate::error::{Class, Error, Result};
use crate::fence::Fence;
use crate::store::seal::{Changes, Seals};

/// Forward only: the number of the last one is the file's version.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005_members.sql"),
    include_str!("schema/006_changes.sql"),
    include_str!("schema/007_detect.sql"),
    include_str!("schema/008_alerts.sql"),
    include_str!("schema/009_insights.sql"),
    include_str!("schema/010_archive.sql"),
    include_str!("schema/011_unarchived.sql"),
];
/// Steps that share one fsync, at most.
const GROUP: usize = 256;
/// Readers at a time; each has a connection, and a connection has a cache.
const READERS: usize = 8;
/// Kibibytes of pages that the writer and each reader keep.
const CACHES: (i64, i64) = (8_000, 2_000);
/// How far the clock may stand behind the ledger before we refuse to write: a wrong clock would falsify every deadline.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// What a step sees: the open transaction, one time for all of it, and the routes that decide who is told.
pub struct Tx<'a> {
    pub conn: &'a Connection,
    pub now: Timestamp,
    pub routes: &'a [Route],
    /// Set by whoever leaves work for the outbox's reader, who hears of it after the commit.
    pub rings: &'a Cell<bool>,
    /// What is to be added to the totals, once for the whole transaction.
    pub counts: &'a RefCell<Vec<(String, i64)>>,
    pub(crate) seals: &'a Seals,
    /// Kinds of findings of which it is known whether any is open.
    pub(crate) open: &'a RefCell<BTreeMap<Kind, bool>>,
}

impl Tx<'_> {
    pub fn seconds(&self) -> i64 {
        self.now.as_second()
    }

    /// Adds to a total, when the transaction ends.
    pub fn count(&self, name: &str, by: i64) {
        self.counts.borrow_mut().push((name.to_owned(), by));
    }

    fn write_counts(&self) -> rusqlite::Result<()> {
        let mut totals = BTreeMap::new();
        for (name, by) in self.counts.take() {
            *totals.entry(name).or_insert(0) += by;
        }
        let mut add = self.conn.prepare_cached(
            "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        )?;
        totals.into_iter().try_for_each(|count| add.execute(count).map(|_| ()))
    }
}

type Look = Box<dyn FnOnce(Result<&Connection>) + Send>;
type Reply = Box<dyn FnOnce(Option<Error>) + Send>;
/// Runs in the open transaction; or, when none could be opened, only passes the error on.
type Step = Box<dyn FnOnce(std::result::Result<&Tx<'_>, Error>) -> Reply + Send>;

/// A handle to the ledger; clones share it.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    writer: mpsc::Sender<Step>,
    looks: Arc<Mutex<VecDeque<Look>>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
    routes: Arc<RwLock<Arc<Vec<Route>>>>,
    bell: broadcast::Sender<()>,
    /// Closed when the writer has closed the ledger.
    end: watch::Sender<()>,
    trouble: Arc<Mutex<Option<String>>>,
    fence: Fence,
    env: Env,
}

/// Held by `run`: one warden per ledger.
pub struct Lock {
    _file: File,
}

impl Store {
    /// Opens, migrates and checks the ledger, and starts its writer.
    ///
    /// Fatal when the file is newer than the program, cannot be written, or is ahead of the clock.
    pub async fn open(path: &Path, env: &Env) -> Result<Self> {
        Self::open_behind(path, env, Fence::none()).await
    }

    /// As [`Store::open`], for a warden that may lose its lease: from then on every write is an error.
    pub async fn open_behind(path: &Path, env: &Env, fence: Fence) -> Result<Self> {
        let (file, now) = (path.to_owned(), env.now());
        let open = move || {
            let conn = connect(&file, false)?;
            migrate(&conn, now)?;
            check_clock(&conn, now)?;
            // Else each step keeps the pages that it changes in a file, for the case that it is taken back. Not for a migration,
            // which changes all of them; and before there are temporary triggers, which this would drop.
            let set = conn.pragma_update(None, "temp_store", "memory");
            set.map_err(|error| classify("ledger:open", &error))?;
            let seals = seal::keep(&conn).map_err(|error| classify("ledger:seal", &error))?;
            Ok((conn, seals))
        };
        let (conn, seals) = env.blocking(open).await??;
        let (writer, steps) = mpsc::channel(4 * GROUP);
        let routes = Arc::new(RwLock::new(Arc::new(Vec::new())));
        let (bell, reading) = (broadcast::Sender::new(1), Arc::new(Semaphore::new(READERS)));
        let (end, ends) = watch::channel(());
        tokio::spawn(write_loop(
            (conn, seals),
            (steps, ends),
            env.clone(),
            routes.clone(),
            bell.clone(),
            fence.clone(),
        ));
        let (path, looks, readers, trouble) = (path.to_owned(), Arc::default(), Arc::default(), Arc::default());
        Ok(Self { path, writer, looks, readers, reading, routes, bell, end, trouble, fence, env: env.clone() })
    }

    /// Takes the warden's lock beside the ledger. Fatal when another warden holds it.
    pub fn lock(path: &Path) -> Result<Lock> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::fatal("ledger:open", error))?;
        }
        let beside = path.with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&beside)
            .map_err(|error| Error::fatal("ledger:lock", format!("{}: {error}", beside.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::fatal("ledger:lock", format!("another warden works on {}", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(Error::fatal("ledger:lock", error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn set_routes(&self, routes: Vec<Route>) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }

    /// One step, committed with whatever other steps are waiting. When this answers `Ok`, the step is durable.
    pub async fn write<T, F>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let step: Step = Box::new(move |tx| {
            let outcome = tx.and_then(|tx| savepoint(tx, step));
            Box::new(move |commit_error| {
                let _ = answer.send(match commit_error {
                    Some(error) => Err(error),
                    None => outcome,
                });
            })
        });
        let gone = || Error::fatal("ledger:write", "the ledger's writer has stopped");
        self.writer.send(step).await.map_err(|_| gone())?;
        let outcome = answered.await.map_err(|_| gone())?;
        let trouble = outcome.as_ref().err().filter(|error| error.op != "ledger:write").map(ToString::to_string);
        *locked(&self.trouble) = trouble;
        outcome
    }

    /// Why the last commit did not succeed, if it did not.
    pub fn trouble(&self) -> Option<String> {
        locked(&self.trouble).clone()
    }

    /// A consistent look at the ledger, beside the writer.
    pub async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let look = move |conn: Result<&Connection>| {
            let seen = conn.and_then(|conn| look(conn).map_err(|error| classify("ledger:read", &error)));
            let _ = answer.send(seen);
        };
        locked(&self.looks).push_back(Box::new(look));
        match self.reading.clone().try_acquire_owned() {
            Ok(turn) => {
                let store = self.clone();
                self.env.aside(move || store.look(turn));
            }
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => locked(&self.looks).clear(),
        }
        answered.await.map_err(|_| Error::transient("ledger:read", "the reader has stopped"))?
    }

    /// Looks for whoever waits, one after the other: waking a thread for each takes longer than most looks.
    fn look(&self, mut turn: OwnedSemaphorePermit) {
        loop {
            let idle = locked(&self.readers).pop();
            let conn = idle.map_or_else(|| connect(&self.path, true), Ok);
            while let Some(look) = { locked(&self.looks).pop_front() } {
                look(conn.as_ref().map_err(Clone::clone));
            }
            locked(&self.readers).extend(conn);
            drop(turn);
            if locked(&self.looks).is_empty() {
                return;
            }
            // It came after the last one, and may have found no turn.
            let Ok(another) = self.reading.clone().try_acquire_owned() else { return };
            turn = another;
        }
    }

    /// Closes the ledger, whoever else holds a handle to it: what was asked before is done, what is asked afterwards is an
    /// error. The last connection to go takes the file of the log with it, so that the ledger is one file.
    pub async fn close(&self) {
        let every = self.reading.acquire_many(READERS as u32).await;
        self.reading.close();
        drop(every);
        locked(&self.looks).clear();
        locked(&self.readers).clear();
        let _ = self.end.send(());
        self.end.closed().await;
    }

    /// Changes with each commit that leaves an alert to be sent.
    pub fn bell(&self) -> broadcast::Receiver<()> {
        self.bell.subscribe()
    }

    pub fn env(&self) -> &Env {
        &self.env
    }

    /// To be asked before whatever has an effect outside.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

/// Opens an existing ledger for reading alone; works while a warden writes.
pub async fn peek<T, F>(path: &Path, look: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    let path = path.to_owned();
    let look = move || {
        if !path.exists() {
            return Err(Error::permanent(
                "ledger:open",
                format!("{} does not exist: nothing has run yet", path.display()),
            ));
        }
        let conn = connect(&path, true)?;
        let version = version(&conn)?;
        if version > MIGRATIONS.len() {
            return Err(newer(version));
        }
        look(&conn).map_err(|error| classify("ledger:read", &error))
    };
    Env::system().blocking(look).await?
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn savepoint<T>(tx: &Tx<'_>, step: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T>) -> Result<T> {
    let (counted, sealed) = (tx.counts.borrow().len(), tx.seals.mark());
    let attempt = move || -> rusqlite::Result<T> {
        tx.conn.prepare_cached("SAVEPOINT step")?.execute([])?;
        match step(tx) {
            Ok(value) => {
                tx.conn.prepare_cached("RELEASE step")?.execute([])?;
                Ok(value)
            }
            Err(error) => {
                tx.counts.borrow_mut().truncate(counted);
                tx.conn.execute_batch("ROLLBACK TO step; RELEASE step")?;
                tx.seals.back_to(sealed);
                Err(error)
            }
        }
    };
    attempt().map_err(|error| classify("ledger:write", &error))
}

async fn write_loop(
    mut ledger: (Connection, Seals),
    (mut steps, mut ends): (mpsc::Receiver<Step>, watch::Receiver<()>),
    env: Env,
    routes: Arc<RwLock<Arc<Vec<Route>>>>,
    bell: broadcast::Sender<()>,
    fence: Fence,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let some = tokio::select! {
            biased;
            some = steps.recv_many(&mut group, GROUP) => some,
            _ = ends.changed() => 0,
        };
        if some == 0 {
            let _ = env.blocking(move || drop((ledger, steps, ends))).await;
            return;
        }
        let (routes, clock, bell, fence) = (routes.clone(), env.clone(), bell.clone(), fence.clone());
        let done = env.blocking(move || {
            // As long as somebody writes: waking a thread for each group takes as long as a commit.
            while !group.is_empty() {
                let routes = routes.read().unwrap_or_else(PoisonError::into_inner).clone();
                if commit(&ledger, std::mem::take(&mut group), clock.now(), &routes, &fence) {
                    // In the order in which they came to listen; that nobody does is no matter.
                    let _ = bell.send(());
                }
                group.extend(std::iter::from_fn(|| steps.try_recv().ok()).take(GROUP));
            }
            (ledger, steps, group)
        });
        let Ok(back) = done.await else { return };
        (ledger, steps, group) = back;
    }
}

/// One transaction for many steps; answers whether the outbox has news. A crash in here means that none of them happened. The
/// fence is asked last, so that what a warden did while it was stopped halfway is not committed.
fn commit(
    (conn, seals): &(Connection, Seals),
    batch: Vec<Step>,
    now: Timestamp,
    routes: &[Route],
    fence: &Fence,
) -> bool {
    let run = |sql| conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    if let Err(error) = run("BEGIN IMMEDIATE") {
        let error = classify("ledger:begin", &error);
        for step in batch {
            step(Err(error.clone()))(None);
        }
        return false;
    }
    let (rings, counts, open) = (Cell::new(false), RefCell::default(), RefCell::default());
    seals.back_to(Changes::default());
    let tx = Tx { conn, now, routes, rings: &rings, counts: &counts, seals, open: &open };
    let mut failure = None;
    let mut replies: Vec<Reply> = Vec::with_capacity(batch.len());
    for step in batch {
        replies.push(step(failure.clone().map_or(Ok(&tx), Err)));
        if failure.is_none() && conn.is_autocommit() {
            // SQLite rolls back by itself when it cannot go on; whatever came next would be committed on its own.
            failure = Some(Error::fatal("ledger:write", "the transaction was given up: the disk is full, or failing"));
        }
    }
    if failure.is_none() {
        let written = tx.write_counts().and_then(|()| remember_time(conn, now));
        let failed = |error: rusqlite::Error| classify("ledger:commit", &error);
        let written = written.and_then(|()| seals.write(conn)).map_err(failed).and_then(|()| fence.check());
        failure = written.and_then(|()| run("COMMIT").map(|_| ()).map_err(failed)).err();
    }
    if failure.is_some() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    for reply in replies {
        reply(failure.clone());
    }
    rings.get()
}

fn remember_time(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta VALUES ('last_commit', ?1) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute([now.as_second().to_string()])
    .map(|_| ())
}

fn connect(path: &Path, read_only: bool) -> Result<Connection> {
    if !read_only && let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|error| Error::fatal("ledger:open", format!("{}: {error}", parent.display())))?;
    }
    let flags = if read_only {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    let named = |error: &rusqlite::Error| {
        let mut error = classify("ledger:open", error);
        error.class = Class::Fatal;
        error.text = format!("{}: {}", path.display(), error.text);
        error
    };
    let conn = Connection::open_with_flags(path, flags).map_err(|error| named(&error))?;
    let set = || -> rusqlite::Result<()> {
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.set_prepared_statement_cache_capacity(256);
        conn.pragma_update(None, "journal_mode", "wal")?;
        // Else a statement that binds a column of a partial index is compiled again for each value: half of the writer's time.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.pragma_update(None, "synchronous", "full")?;
        conn.pragma_update(None, "cache_size", if read_only { -CACHES.1 } else { -CACHES.0 })?;
        conn.pragma_update(None, "query_only", read_only)
    };
    set().map_err(|error| named(&error))?;
    Ok(conn)
}

fn version(conn: &Connection) -> Result<usize> {
    let number: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| Error { class: Class::Fatal, ..classify("ledger:open", &error) })?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn newer(version: usize) -> Error {
    Error::fatal(
        "ledger:open",
        format!("the ledger has version {version}, this program knows {}: install the newer program", MIGRATIONS.len()),
    )
}

fn migrate(conn: &Connection, now: Timestamp) -> Result<()> {
    if version(conn)? == MIGRATIONS.len() {
        return Ok(());
    }
    let failed = |error: rusqlite::Error| classify("ledger:migrate", &error);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    // Another process may have been quicker.
    let from = version(conn)?;
    if from > MIGRATIONS.len() {
        return Err(newer(from));
    }
    let migrated = renew(
        &Tx {
            conn,
            now,
            routes: &[],
            rings: &Cell::new(false),
            counts: &RefCell::default(),
            seals: &Seals::default(),
            open: &RefCell::default(),
        },
        from,
    )
    .and_then(|()| conn.execute_batch("COMMIT"));
    if migrated.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    migrated.map_err(failed)
}

/// Brings the ledger to the newest form, and seals it anew: what did not fit its seals before is written down for good.
fn renew(tx: &Tx<'_>, from: usize) -> rusqlite::Result<()> {
    let was_sealed = seal::is_sealed(tx.conn)?;
    let compared = if was_sealed { seal::compare(tx.conn)? } else { Vec::new() };
    places::teach(tx.conn)?;
    for script in &MIGRATIONS[from.min(MIGRATIONS.len())..] {
        tx.conn.execute_batch(script)?;
    }
    tx.conn.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))?;
    for fault in compared.into_iter().filter_map(|table| table.fault) {
        journal::append(tx, What::Broken, "ledger", &fault)?;
    }
    let form = format!("version {}", MIGRATIONS.len());
    if from == 0 {
        journal::append(tx, What::Begun, "ledger", &form)?;
    } else if from < MIGRATIONS.len() {
        journal::append(tx, What::Sealed, "ledger", &form)?;
        if !was_sealed {
            journal::adopt(tx)?;
        }
    }
    seal::set(tx.conn)
}

fn check_clock(conn: &Connection, now: Timestamp) -> Result<()> {
    let last: Option<String> = conn
        .query_row("SELECT value FROM meta WHERE name = 'last_commit'", [], |row| row.get(0))
        .optional()
        .map_err(|error| classify("ledger:open", &error))?;
    let last = last.and_then(|text| text.parse().ok()).and_then(|second| Timestamp::from_second(second).ok());
    match last {
        Some(last) if now + CLOCK_SLACK < last => Err(Error::fatal(
            "ledger:clock",
            format!("the clock says {now:.0}, the ledger was last written at {last}: set the clock right"),
        )),
        _ => Ok(()),
    }
}

/// SQLite's error → class. A full disk and a damaged file stop the warden; a busy file does not.
fn classify(op: &'static str, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let class = match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => Class::TRANSIENT,
        Some(
            Code::DiskFull
            | Code::SystemIoFailure
            | Code::DatabaseCorrupt
            | Code::NotADatabase
            | Code::ReadOnly
            | Code::CannotOpen
            | Code::PermissionDenied,
        ) => Class::Fatal,
        _ => Class::Permanent,
    };
    Error::new(class, op, error)
}

/// A time from its column.
pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
