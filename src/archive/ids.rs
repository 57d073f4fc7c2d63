//! Which records the archive holds already: exact, over all of it, without an index of every event.
//!
//! Two deliveries of one event have the same `eventTime`, so a record is only compared with files of its date whose times it
//! lies between. The ids of small and of recent files are kept, sixteen bytes each; of a large one the Bloom filters are asked,
//! and its ids are read only where those do not say no.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::files::{Pieces, Place, unreadable};
use super::rows::{Identity, Key, Rows};
use super::schema;
use crate::core::record::seconds;
use crate::core::row::{EVENT_ID, Row};
use crate::error::Result;
use crate::store::archive::ArchiveFile;

/// Bytes of ids that are kept.
const KEPT: usize = 64 << 20;
const ID: usize = 16;
/// The columns that say which record a row is.
const COLUMNS: [&str; 3] = ["eventtime", "eventid", "recipientaccountid"];

/// Rows of one day that may be there already.
pub struct Candidates<'r> {
    table: &'r Rows,
    rows: &'r [(Key, u32)],
    /// Theirs, sorted.
    ids: Vec<u128>,
}

impl<'r> Candidates<'r> {
    pub fn new(table: &'r Rows, rows: &'r [(Key, u32)]) -> Self {
        let mut ids: Vec<u128> = rows.iter().map(|(key, _)| key.id).collect();
        ids.sort_unstable();
        Self { table, rows, ids }
    }
}

/// What two sorted lists have in common.
fn common(one: &[u128], other: &[u128]) -> HashSet<u128> {
    let (mut common, mut others) = (HashSet::new(), other.iter().peekable());
    for id in one {
        while others.next_if(|other| *other < id).is_some() {}
        if others.peek() == Some(&id) {
            common.insert(*id);
        }
    }
    common
}

/// Ids of files, sorted, by the file's name.
#[derive(Default)]
struct Kept {
    ids: HashMap<String, Arc<Vec<u128>>>,
    /// The one that was used longest ago comes first.
    order: VecDeque<String>,
    bytes: usize,
}

pub struct Ids {
    pub identity: Identity,
    kept: Mutex<Kept>,
}

impl Ids {
    pub fn new() -> Self {
        Self { identity: Identity::default(), kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the ids of a file, in the place of those that were used longest ago.
    pub fn keep(&self, file: &str, mut ids: Vec<u128>) {
        ids.sort_unstable();
        let mut kept = self.kept();
        kept.bytes += ids.len() * ID;
        kept.ids.insert(file.to_owned(), Arc::new(ids));
        kept.order.push_back(file.to_owned());
        while kept.bytes > KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.ids.remove(&oldest).map_or(0, |ids| ids.len() * ID);
            kept.bytes -= gone;
        }
    }

    pub fn drop_file(&self, file: &str) {
        let mut kept = self.kept();
        let gone = kept.ids.remove(file).map_or(0, |ids| ids.len() * ID);
        kept.bytes -= gone;
        kept.order.retain(|name| name != file);
    }

    fn known(&self, file: &str) -> Option<Arc<Vec<u128>>> {
        let mut kept = self.kept();
        let ids = kept.ids.get(file)?.clone();
        if kept.order.back().is_none_or(|last| last != file) {
            kept.order.retain(|name| name != file);
            kept.order.push_back(file.to_owned());
        }
        Some(ids)
    }

    /// Those of the candidates that a file holds, by their ids.
    pub async fn held(&self, place: &Place, file: &ArchiveFile, candidates: &Candidates<'_>) -> Result<HashSet<u128>> {
        if !candidates.rows.iter().any(|(key, _)| may_lie_in(file, key.seconds)) {
            return Ok(HashSet::new());
        }
        let ids = match self.known(&file.name) {
            Some(ids) => ids,
            None if usize::try_from(file.rows).unwrap_or(usize::MAX).saturating_mul(ID) <= KEPT / 8 => {
                let (metadata, mut pieces) = place.metadata(&file.name, file.bytes).await?;
                let mut ids = Vec::new();
                for group in 0..metadata.num_row_groups() {
                    ids.extend(self.read(place, &file.name, &metadata, &mut pieces, group).await?);
                }
                self.keep(&file.name, ids.clone());
                ids.sort_unstable();
                Arc::new(ids)
            }
            None => return self.search(place, file, candidates).await,
        };
        Ok(common(&ids, &candidates.ids))
    }

    /// Asks the statistics and filters of each row group, and reads the ids where they do not say no.
    async fn search(&self, place: &Place, file: &ArchiveFile, candidates: &Candidates<'_>) -> Result<HashSet<u128>> {
        let Candidates { table, rows, .. } = candidates;
        let among: Vec<&(Key, u32)> = rows.iter().filter(|(key, _)| may_lie_in(file, key.seconds)).collect();
        if among.is_empty() {
            return Ok(HashSet::new());
        }
        let (metadata, mut pieces) = place.metadata(&file.name, file.bytes).await?;
        let mut held = HashSet::new();
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let times = times(group);
            let may_be = |key: &Key| !key.plain || times.is_none_or(|(from, to)| (from..=to).contains(&key.seconds));
            let here: Vec<&&(Key, u32)> = among.iter().filter(|(key, _)| may_be(key)).collect();
            if here.is_empty() {
                continue;
            }
            let filter = filter(place, &file.name, &metadata, &mut pieces, number).await?;
            let may_hold = |row: Row<'_>| match (&filter, row.leaf(EVENT_ID)) {
                (Some(filter), Some(event)) => filter.check(event),
                (_, None) => has_nulls(group),
                (None, Some(_)) => true,
            };
            let is_likely = |row: u32| table.see(row, may_hold).unwrap_or(true);
            let likely: Vec<u128> = here.iter().filter(|(_, row)| is_likely(*row)).map(|(key, _)| key.id).collect();
            if likely.is_empty() {
                continue;
            }
            let ids: HashSet<u128> =
                self.read(place, &file.name, &metadata, &mut pieces, number).await?.into_iter().collect();
            held.extend(likely.into_iter().filter(|id| ids.contains(id)));
        }
        Ok(held)
    }

    /// The ids of a row group.
    async fn read(
        &self,
        place: &Place,
        name: &str,
        metadata: &Arc<ParquetMetaData>,
        pieces: &mut Pieces,
        group: usize,
    ) -> Result<Vec<u128>> {
        let row_group = metadata.row_group(group);
        // a record without an id is known by its text, which takes all columns
        let whole = has_nulls(row_group);
        let is_read = |column: &str| whole || COLUMNS.contains(&column);
        let columns = row_group.columns().iter().filter(|column| is_read(&column.column_path().string()));
        let ranges: Vec<_> = columns
            .map(|column| {
                let (start, length) = column.byte_range();
                start..start + length
            })
            .collect();
        place.more(name, pieces, ranges).await?;
        let failed = |error| unreadable(name, &error);
        let read = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new()).map_err(failed)?;
        let mask = if whole {
            ProjectionMask::all()
        } else {
            ProjectionMask::columns(metadata.file_metadata().schema_descr(), COLUMNS)
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(pieces.clone(), read)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .build()
            .map_err(failed)?;
        let mut ids = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(name, &error.into()))?;
            let told = COLUMNS.map(|column| schema::leaf(&batch, column));
            let objects = schema::leaf(&batch, schema::OBJECT);
            let texts = whole.then(|| schema::record(&batch));
            ids.extend((0..batch.num_rows()).map(|row| {
                let of = |column| schema::text(column, row);
                let otherwise = || {
                    let text = schema::text(texts.as_ref(), row);
                    (of(objects).unwrap_or_default().to_owned(), text.unwrap_or_default().to_owned())
                };
                self.identity.of(told.map(of), otherwise)
            }));
        }
        Ok(ids)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

/// Records without a time are only ever compared with the whole file.
fn may_lie_in(file: &ArchiveFile, seconds: i64) -> bool {
    (file.oldest..=file.newest).contains(&seconds)
}

/// The first and last event time of a row group, if its statistics can be relied on.
pub(super) fn times(group: &RowGroupMetaData) -> Option<(i64, i64)> {
    let column = group.columns().iter().find(|column| column.column_path().string() == "eventtime")?;
    let Some(Statistics::ByteArray(statistics)) = column.statistics() else { return None };
    if statistics.null_count_opt() != Some(0) || !statistics.min_is_exact() || !statistics.max_is_exact() {
        return None;
    }
    let time = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        // of times in this form alone is the order of texts the order of times
        (text.len() == 20 && text.ends_with('Z')).then(|| seconds(text))?
    };
    Some((time(statistics.min_opt()?.data())?, time(statistics.max_opt()?.data())?))
}

fn has_nulls(group: &RowGroupMetaData) -> bool {
    let column = group.columns().iter().find(|column| column.column_path().string() == "eventid");
    let nulls = column.and_then(|column| column.statistics()).and_then(Statistics::null_count_opt);
    nulls != Some(0)
}

async fn filter(
    place: &Place,
    name: &str,
    metadata: &Arc<ParquetMetaData>,
    pieces: &mut Pieces,
    group: usize,
) -> Result<Option<parquet::bloom_filter::Sbbf>> {
    let row_group = metadata.row_group(group);
    let Some((at, column)) =
        row_group.columns().iter().enumerate().find(|(_, column)| column.column_path().string() == "eventid")
    else {
        return Ok(None);
    };
    let (Some(offset), Some(length)) = (column.bloom_filter_offset(), column.bloom_filter_length()) else {
        return Ok(None);
    };
    let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else { return Ok(None) };
    place.more(name, pieces, std::iter::once(offset..offset + length)).await?;
    let failed = |error| unreadable(name, &error);
    let read = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new()).map_err(failed)?;
    ParquetRecordBatchReaderBuilder::new_with_metadata(pieces.clone(), read)
        .get_row_group_column_bloom_filter(group, at)
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_lists_have_in_common_is_found() {
        let lists: [&[u128]; 6] = [&[], &[1], &[2], &[1, 2, 3], &[0, 2, 2, 5, u128::MAX], &[3, 4, 5, u128::MAX]];
        for one in lists {
            for other in lists {
                let wanted: HashSet<u128> = one.iter().filter(|id| other.contains(id)).copied().collect();
                assert_eq!(common(one, other), wanted, "{one:?} {other:?}");
            }
        }
    }
}
