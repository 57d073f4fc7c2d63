//! Is the archive what the ledger says: every file there, none too many, as many rows of each log as were archived.

use std::collections::{BTreeMap, HashMap};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde::Serialize;

use super::files::unreadable;
use super::{Archive, schema};
use crate::core::printable;
use crate::error::Result;
use crate::store::archive::{self, ArchiveFile};

/// Faults of a kind that are named; all are counted.
const NAMED: usize = 20;

/// What was found. Good when there are no faults.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    pub dates: u64,
    /// Rows that were imported: no log in the ledger answers for them.
    pub imported: u64,
    /// Logs with rows, and those that wait.
    pub logs: u64,
    pub waiting: u64,
    /// Files of this warden's that no row of the ledger names: only readers that list the folders see them.
    pub orphans: Vec<String>,
    pub fault_count: u64,
    pub faults: Vec<String>,
}

impl Report {
    fn fault(&mut self, text: String) {
        self.fault_count += 1;
        if self.faults.len() < NAMED {
            self.faults.push(text);
        }
    }
}

impl Archive {
    /// Reads which log each row is of, and compares. While a warden writes, what it does meanwhile may look like a fault.
    pub async fn check(&self, mut progress: impl FnMut(u64)) -> Result<Report> {
        let mut report = Report::default();
        let files = self.store.read(|conn| archive::files(conn, None)).await?;
        report.dates = self.store.read(archive::dates).await?.len() as u64;
        let mut counts = HashMap::new();
        for file in &files {
            report.files += 1;
            report.bytes += file.bytes;
            match self.count(file, &mut counts).await {
                Ok(rows) if rows == file.rows => report.rows += rows,
                Ok(rows) => report.fault(format!("{}: {rows} rows, the ledger says {}", file.name, file.rows)),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => report.fault(format!("{}: {}", file.name, error.text)),
            }
            progress(file.bytes);
        }
        let lying = self.lying().await?;
        report.orphans = lying.unknown.into_keys().collect();
        for name in lying.missing {
            report.fault(format!("{name}: is not there"));
        }
        for name in lying.strange {
            let name = printable(&name, 300);
            report.fault(format!("{name}: no file of the archive's, and readers that list the folder take it for one"));
        }
        let compared = move |conn: &rusqlite::Connection| archive::compare(conn, counts);
        let compared = self.store.read(compared).await?;
        report.imported = compared.imported;
        report.logs = compared.logs;
        report.waiting = compared.waiting;
        for (log, rows, archived) in compared.differ {
            report.fault(format!("{}: {rows} rows, the ledger says {archived}", printable(&log, 300)));
        }
        Ok(report)
    }

    /// Counts the rows of each log in a file.
    async fn count(&self, file: &ArchiveFile, counts: &mut HashMap<(Option<String>, String), u64>) -> Result<u64> {
        const COLUMNS: [&str; 2] = [schema::OBJECT, schema::TRAIL];
        let (metadata, mut pieces) = self.place.metadata(&file.name, file.bytes).await?;
        let ranges = metadata.row_groups().iter().flat_map(|group| group.columns()).filter_map(|column| {
            let (start, length) = column.byte_range();
            COLUMNS.contains(&column.column_path().string().as_str()).then_some(start..start + length)
        });
        self.place.more(&file.name, &mut pieces, ranges.collect::<Vec<_>>()).await?;
        let failed = |error| unreadable(&file.name, &error);
        let mask = ProjectionMask::columns(metadata.file_metadata().schema_descr(), COLUMNS);
        let read = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new()).map_err(failed)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(pieces, read)
            .with_projection(mask)
            .build()
            .map_err(failed)?;
        let mut rows = 0;
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(&file.name, &error.into()))?;
            let (objects, trails) = (schema::leaf(&batch, schema::OBJECT), schema::leaf(&batch, schema::TRAIL));
            let mut at = 0;
            while at < batch.num_rows() {
                let of = |row| (schema::text(trails, row), schema::text(objects, row).unwrap_or_default());
                let same = (at..batch.num_rows()).take_while(|row| of(*row) == of(at)).count();
                let (trail, object) = of(at);
                *counts.entry((trail.map(str::to_owned), object.to_owned())).or_insert(0) += same as u64;
                at += same;
            }
            rows += batch.num_rows() as u64;
        }
        Ok(rows)
    }

    /// Takes the dates before one out of the archive: their files are removed once whoever reads them has ended.
    pub async fn expire(&self, before: jiff::civil::Date, dry_run: bool) -> Result<BTreeMap<String, (u64, u64)>> {
        let before = before.to_string();
        let files = self.store.read(|conn| archive::files(conn, None)).await?;
        let gone: Vec<ArchiveFile> = files.into_iter().filter(|file| file.date < before).collect();
        let mut dates = BTreeMap::new();
        for file in &gone {
            let sum = dates.entry(file.date.clone()).or_insert((0, 0));
            *sum = (sum.0 + file.rows, sum.1 + file.bytes);
        }
        if dry_run || gone.is_empty() {
            return Ok(dates);
        }
        let lock = self.lock().await?;
        for file in gone {
            // a file that was compacted meanwhile goes with the next one
            self.store.write(move |tx| archive::replace(tx, &[(file.id, file.name)], &[])).await?;
        }
        drop(lock);
        self.relist().await?;
        Ok(dates)
    }
}
