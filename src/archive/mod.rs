//! History: the records of all logs in files of columns (Parquet), each record once, for SQL of any engine.
//!
//! [`schema`] is what readers may rely on. Logs wait in the ledger's list of the unarchived; [`writer`] cuts their records up,
//! leaves out what the archive holds already, and makes small files; [`compact`] makes large ones of them. [`lookup`] asks them,
//! and [`raw`] the logs themselves.

pub mod check;
mod columns;
pub mod compact;
pub mod ddl;
pub mod files;
pub mod ids;
pub mod import;
pub mod lookup;
pub mod raw;
pub mod read;
mod recover;
pub mod rows;
pub mod schema;
#[cfg(feature = "sql")]
pub mod sql;
pub mod verdict;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::core::shard::Shard;
use crate::delivery::Deliveries;
use crate::env::Env;
use crate::error::Result;
use crate::store::{Store, archive};
use crate::trail::Trail;

pub use files::Place;
pub use ids::Ids;
pub use writer::{Flushed, Gathered};

/// How long a file that another has replaced stays: whoever began to read it can end.
pub const GRACE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// zstd's effort for small files, which are written again soon.
const QUICK: i32 = 1;
/// And for files that stay.
const CAREFUL: i32 = 9;
/// Dates whose lists are written together.
const DATES: usize = 1_000;

pub struct Archive {
    pub place: Place,
    /// The location as an address for other engines: `s3://bucket/prefix/` or `file:///srv/archive/`.
    pub address: String,
    pub store: Store,
    pub env: Env,
    pub deliveries: Arc<Deliveries>,
    pub trails: Vec<Arc<Trail>>,
    /// Who else may have files in the same place.
    pub shard: Shard,
    pub ids: Ids,
    /// How long records wait for others to make a file with.
    pub flush: Duration,
    /// Bytes of records that are gathered at most.
    pub buffer: usize,
    /// Bytes that files are compacted to.
    pub target: u64,
    /// Whether its files are known to be those of the ledger.
    pub begun: AtomicBool,
    /// Whoever changes which files there are takes it first.
    pub turn: Mutex<()>,
}

impl Archive {
    /// What a start does: notes the logs that came before there was an archive, and removes what a crash left behind.
    pub async fn begin(&self) -> Result<()> {
        self.place.clear_scratch();
        let noted = self.store.read(archive::is_noted).await?;
        if !noted {
            let mut place = self.store.read(|conn| archive::next_place(conn, 0)).await?.unwrap_or(0);
            while let Some(next) = self.store.write(move |tx| archive::note_place(tx, place)).await? {
                place = next;
            }
        }
        self.take_back().await?;
        self.recover().await?;
        self.relist().await?;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether [`Self::begin`] came to its end.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Removes what a crash left of files that were about to become part of the archive.
    async fn take_back(&self) -> Result<()> {
        let _lock = self.lock().await?;
        let names = self.store.read(archive::unfinished).await?;
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            self.place.remove(name).await?;
            tracing::info!(file = name, "a file that never became part of the archive was removed");
        }
        self.store.write(move |tx| archive::undone(tx, &names)).await
    }

    /// Writes the lists of files of dates that have changed, for readers without the ledger: one put changes a whole date.
    pub async fn relist(&self) -> Result<()> {
        loop {
            let dates = self.store.read(|conn| archive::relist(conn, DATES)).await?;
            if dates.is_empty() {
                return Ok(());
            }
            for date in dates {
                // of two that write a list the one that knows less could be the last
                let _lock = self.lock().await?;
                let of = date.clone();
                let files = self.store.read(move |conn| archive::files(conn, Some(&of))).await?;
                let names: Vec<String> = files.into_iter().map(|file| file.name).collect();
                let mut text = String::new();
                for name in &names {
                    text.push_str(&self.address);
                    text.push_str(name);
                    text.push('\n');
                }
                let key = self.place.key(&self.place.list(&date));
                self.place.put_text(&key, text.into_bytes()).await?;
                self.store.write(move |tx| archive::listed(tx, &date, &names)).await?;
            }
        }
    }
}
