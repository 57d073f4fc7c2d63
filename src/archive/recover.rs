//! A ledger that is older than the archive, or new: what the archive's own lists say is taken over.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{Array, RecordBatch};
use futures_util::{StreamExt, TryStreamExt};
use jiff::civil::Date;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::compact::level;
use super::files::{LISTS, unreadable};
use super::rows::{Origin, Rows};
use super::{Archive, Flushed, ids, schema};
use crate::core::key::{self, ObjectKey};
use crate::error::{Error, Result};
use crate::retry::{Policy, retry};
use crate::seam::Got;
use crate::store::archive::{self, NewFile};

/// Lists and footers that are read at once.
const AT_ONCE: usize = 16;
/// Rows that are read of a file at a time.
const BATCH: usize = 512;
/// A list names a few hundred files of a hundred bytes each.
const LONGEST: u64 = 64 << 20;

/// What lies in the archive's folders, against what the ledger knows.
#[derive(Debug, Default)]
pub struct Lying {
    /// Files of this warden's that the ledger does not know, with their bytes.
    pub unknown: BTreeMap<String, u64>,
    /// Files that the ledger takes for part of the archive.
    pub missing: Vec<String>,
    /// What no warden wrote.
    pub strange: Vec<String>,
}

impl Archive {
    /// Compares the folders with the ledger.
    pub async fn lying(&self) -> Result<Lying> {
        let mut live: BTreeSet<String> =
            self.store.read(|conn| archive::files(conn, None)).await?.into_iter().map(|file| file.name).collect();
        let (mut lying, mut after) = (Lying::default(), None::<String>);
        let prefix = self.place.key("date=");
        loop {
            let page = retry(&self.env, Policy::STEP, || self.place.bucket.list(&prefix, after.as_deref())).await?;
            for listed in &page.objects {
                let name = listed.key.strip_prefix(&self.place.prefix).unwrap_or(&listed.key);
                live.remove(name);
                if self.place.is_own(name) {
                    lying.unknown.insert(name.to_owned(), listed.size);
                } else if !super::files::is_a_wardens(name) {
                    lying.strange.push(name.to_owned());
                }
            }
            after = page.objects.last().map(|listed| listed.key.clone());
            if !page.more || after.is_none() {
                lying.missing = live.into_iter().collect();
                // what another process has put there meanwhile was known before it lay there
                let known = self.store.read(archive::names).await?;
                lying.unknown.retain(|name, _| !known.contains(name));
                return Ok(lying);
            }
        }
    }

    /// Where the archive has files of this warden's that its ledger does not know, another ledger wrote them: what its lists
    /// name is taken over, and of the others what is not there yet.
    pub(super) async fn recover(&self) -> Result<()> {
        let lying = self.lying().await?;
        if lying.unknown.is_empty() {
            return Ok(());
        }
        let named = self.named().await?;
        if named.iter().any(|(name, _)| lying.unknown.contains_key(name)) {
            self.adopt(named, lying.unknown).await?;
        }
        self.take_in().await
    }

    /// Lists are written after the ledger: where they name files that it does not know, it is an older copy, or a new one.
    async fn adopt(&self, named: Vec<(String, String)>, unknown: BTreeMap<String, u64>) -> Result<()> {
        let _lock = self.lock().await?;
        let known = self.store.read(|conn| archive::files(conn, None)).await?;
        let sizes: BTreeMap<String, u64> =
            known.into_iter().map(|file| (file.name, file.bytes)).chain(unknown).collect();
        let files: Vec<NewFile> = futures_util::stream::iter(named)
            .map(|(name, date)| {
                let bytes = sizes.get(&name).copied();
                async move {
                    let Some(bytes) = bytes else { return Ok(None) };
                    let (metadata, _) = self.place.metadata(&name, bytes).await?;
                    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
                    let times: Option<Vec<_>> = metadata.row_groups().iter().map(ids::times).collect();
                    // where statistics do not say, any time is possible
                    let oldest = times.iter().flatten().map(|(from, _)| *from).min().unwrap_or(i64::MIN);
                    let newest = times.iter().flatten().map(|(_, to)| *to).max().unwrap_or(i64::MAX);
                    let level = level(bytes, self.target);
                    Ok::<_, Error>(Some(NewFile { name, date, rows, bytes, oldest, newest, level }))
                }
            })
            .buffered(AT_ONCE)
            .try_filter_map(|file| async move { Ok(file) })
            .try_collect()
            .await?;
        tracing::warn!(
            files = files.len(),
            "the ledger is older than the archive: its files are taken over from its lists"
        );
        self.store.write(move |tx| archive::adopt(tx, &files)).await
    }

    /// Files that neither the ledger nor a list names: gathered and not listed any more before another warden took over, or
    /// replaced and not removed yet. Their records come in like any others, and what is there already is left out; a crash
    /// before the file counts as replaced makes all of it a repeat.
    async fn take_in(&self) -> Result<()> {
        for (name, bytes) in self.lying().await?.unknown {
            match self.take_in_file(&name, bytes).await {
                Ok(flushed) => {
                    tracing::warn!(file = name, rows = flushed.rows, repeats = flushed.repeats, "a file was taken in");
                }
                Err(error) if !error.is_transient() && !error.is_fatal() => {
                    tracing::warn!(file = name, error = %error, "a file that nobody names cannot be taken in");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn take_in_file(&self, name: &str, bytes: u64) -> Result<Flushed> {
        let date = name.strip_prefix("date=").and_then(|rest| rest.split_once('/')).map_or("", |(date, _)| date);
        let failed = |error| unreadable(name, &error);
        let day: Date = date.parse().map_err(|error| Error::permanent("archive:read", error))?;
        let body = self.place.fetch(name, bytes).await?;
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(body)
            .and_then(|builder| builder.with_batch_size(BATCH).build())
            .map_err(failed)?;
        let (mut rows, mut total) = (Rows::new(self.ids.identity.clone()), Flushed::default());
        let mut of_file = 0;
        loop {
            let read = move || {
                let batch = reader.next();
                let pushed = batch.map(|batch| batch.map(|batch| push(&mut rows, &batch, day)));
                (reader, rows, pushed)
            };
            let pushed;
            (reader, rows, pushed) = self.env.blocking(read).await?;
            let more = pushed.transpose().map_err(|error| unreadable(name, &error.into()))?;
            match more {
                Some(None) => return Err(Error::permanent("archive:read", format!("{name} has other columns"))),
                Some(Some(count)) => of_file += count,
                None => {}
            }
            if (more.is_none() && !rows.is_empty()) || rows.bytes() >= self.buffer {
                let flushed;
                (flushed, rows) = self.commit(rows, Vec::new()).await?;
                total += flushed;
            }
            if more.is_none() {
                break;
            }
        }
        let (oldest, newest) = (i64::MIN, i64::MAX);
        let file = NewFile { name: name.into(), date: date.into(), rows: of_file, bytes, oldest, newest, level: 2 };
        let has_new = total.rows > 0;
        self.store.write(move |tx| archive::taken_in(tx, &file, has_new)).await?;
        Ok(total)
    }

    /// The files that this warden's lists name, each with its date.
    async fn named(&self) -> Result<Vec<(String, String)>> {
        let under = self.place.key(LISTS);
        let folders = retry(&self.env, Policy::STEP, || self.place.bucket.folders(&under)).await?;
        let mut dates = Vec::new();
        for folder in &folders {
            dates.extend(folder.trim_end_matches('/').rsplit_once("date=").map(|(_, date)| date.to_owned()));
        }
        let lists = futures_util::stream::iter(dates)
            .map(|date| async move {
                let key = self.place.key(&self.place.list(&date));
                let got = retry(&self.env, Policy::STEP, || self.place.bucket.get(&key, None, LONGEST)).await?;
                let Got::Found(list) = got else { return Ok(Vec::new()) };
                let text = String::from_utf8_lossy(&list.body).into_owned();
                let names = text.lines().filter_map(|line| Some(line.get(line.rfind("date=")?..)?.to_owned()));
                Ok::<_, crate::error::Error>(names.map(|name| (name, date.clone())).collect())
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(lists.into_iter().flatten().collect())
    }
}

/// The records of a batch, each with the log that it came in; how many. `None`: they cannot be put together from these columns.
fn push(rows: &mut Rows, batch: &RecordBatch, day: Date) -> Option<u64> {
    let (objects, trails) = (schema::leaf(batch, schema::OBJECT), schema::leaf(batch, schema::TRAIL));
    let records = schema::record(batch);
    if records.null_count() > 0 {
        return None;
    }
    let mut last = None;
    for row in 0..batch.num_rows() {
        let of = (schema::text(objects, row).unwrap_or_default(), schema::text(trails, row));
        if last != Some(of) {
            let (object, trail) = (of.0.to_owned(), of.1.map(str::to_owned));
            let (delivered, day) = match key::parse(&object) {
                ObjectKey::Log(log) => (Some(log.delivered), log.date),
                _ => (None, day),
            };
            rows.begin(Origin { object, trail, delivered, day });
            last = Some(of);
        }
        rows.push(records.value(row));
    }
    Some(batch.num_rows() as u64)
}
