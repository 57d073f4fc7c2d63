//! Reading the archive's files in pieces: which row groups may hold what is asked for, some columns of all rows, then whole rows
//! of a few.
//!
//! Strings are read as views into the pages that they stand in: a text that a thousand rows share is in memory once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ListArray, RecordBatch, StringViewArray, StructArray};
use arrow_schema::{DataType, Field as Column, Fields, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelectionPolicy,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::statistics::Statistics;
use twox_hash::XxHash64;

use super::files::{Pieces, Place, unreadable};
use super::schema;
use crate::core::lookup::{Clause, Field, Test};
use crate::core::row::{LEAVES, RESOURCE, rebuild};
use crate::error::Result;

/// Rows that are looked at together.
const BATCH: usize = 8_192;
/// Bytes of a block of a Bloom filter.
const BLOCK: u64 = 32;
/// Parts of a file that lie so near to each other are read as one.
const NEAR: u64 = 128 << 10;

/// A file of the archive, as far as it says what it is.
pub struct Opened {
    pub name: String,
    pub bytes: u64,
    footer: Pieces,
    metadata: Arc<ParquetMetaData>,
    /// Made once rows are asked for: most files are left out before.
    columns: Option<ArrowReaderMetadata>,
    /// Whether it is known where each page lies; so once some rows are asked for.
    has_pages: bool,
    /// Bytes that were asked for.
    pub read: u64,
}

/// Which columns are read of a group.
pub enum Columns<'c> {
    /// Leaves and others, by path.
    Named(&'c [&'c str]),
    All,
}

impl Opened {
    pub async fn open(place: &Place, name: &str, bytes: u64) -> Result<Self> {
        let (metadata, footer) = place.metadata(name, bytes).await?;
        let read = footer.held();
        Ok(Self { name: name.to_owned(), bytes, footer, metadata, columns: None, has_pages: false, read })
    }

    pub fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// How many rows a group has.
    pub fn rows(&self, group: usize) -> usize {
        usize::try_from(self.metadata.row_group(group).num_rows()).unwrap_or(0)
    }

    /// Whether a group may hold rows of which all clauses hold, by its statistics and filters.
    pub async fn may_hold(&mut self, place: &Place, group: usize, clauses: &[Clause]) -> Result<bool> {
        let metadata = self.metadata.clone();
        let row_group = metadata.row_group(group);
        for clause in clauses {
            let mut possible = false;
            for term in &clause.terms {
                let (Field::Leaf(leaf), Test::Is(wanted)) = (term.field, &term.test) else {
                    possible = true;
                    break;
                };
                let Some(column) = schema::path(leaf).and_then(|path| find(row_group, path)) else { continue };
                if within(column, wanted.as_bytes()) && self.filter_allows(place, column, wanted).await? {
                    possible = true;
                    break;
                }
            }
            if !possible {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn filter_allows(&mut self, place: &Place, column: &ColumnChunkMetaData, wanted: &str) -> Result<bool> {
        let (Some(offset), Some(length)) = (column.bloom_filter_offset(), column.bloom_filter_length()) else {
            return Ok(true);
        };
        let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else { return Ok(true) };
        let Some(at) = block(length, wanted).and_then(|at| at.checked_add(offset)) else { return Ok(true) };
        let mut pieces = self.footer.clone();
        let block = place.piece(&self.name, &mut pieces, at..at.saturating_add(BLOCK)).await?;
        self.read += pieces.held() - self.footer.held();
        Ok(Sbbf::new(&block).check(wanted))
    }

    /// Columns of a group's rows, all of them or those selected, a batch at a time.
    pub async fn rows_of(
        &mut self,
        place: &Place,
        group: usize,
        columns: Columns<'_>,
        selection: Option<RowSelection>,
    ) -> Result<ParquetRecordBatchReader> {
        if selection.is_some() && !self.has_pages {
            self.find_pages(place).await?;
        }
        let metadata = self.metadata.clone();
        let known = match &self.columns {
            Some(known) => known.clone(),
            None => with_views(metadata.clone()).map_err(|error| unreadable(&self.name, &error))?,
        };
        self.columns = Some(known.clone());
        let descriptor = metadata.file_metadata().schema_descr();
        let (mask, mut ranges) = match columns {
            Columns::All => (ProjectionMask::all(), Vec::new()),
            Columns::Named(paths) => (ProjectionMask::columns(descriptor, paths.iter().copied()), Vec::new()),
        };
        for (at, column) in metadata.row_group(group).columns().iter().enumerate() {
            if mask.leaf_included(at) {
                ranges.extend(needed(&metadata, group, at, column, selection.as_ref()));
            }
        }
        let mut pieces = self.footer.clone();
        self.more(place, &mut pieces, ranges).await?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pieces, known)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(BATCH);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection).with_row_selection_policy(RowSelectionPolicy::Selectors);
        }
        builder.build().map_err(|error| unreadable(&self.name, &error))
    }

    async fn more(&mut self, place: &Place, pieces: &mut Pieces, ranges: Vec<Range<u64>>) -> Result<()> {
        let before = pieces.held();
        place.more(&self.name, pieces, joined(ranges)).await?;
        self.read += pieces.held() - before;
        Ok(())
    }

    async fn find_pages(&mut self, place: &Place) -> Result<()> {
        let offsets = self.metadata.row_groups().iter().flat_map(|group| group.columns());
        let first = offsets.filter_map(|column| u64::try_from(column.offset_index_offset()?).ok()).min();
        if let Some(first) = first.filter(|first| *first < self.bytes) {
            let failed = |error: ParquetError| unreadable(&self.name, &error);
            let mut pieces = self.footer.clone();
            let tail = place.piece(&self.name, &mut pieces, first..self.bytes).await?;
            self.read += pieces.held() - self.footer.held();
            let mut reader = ParquetMetaDataReader::new_with_metadata(self.metadata.as_ref().clone())
                .with_column_index_policy(PageIndexPolicy::Skip)
                .with_offset_index_policy(PageIndexPolicy::Optional);
            reader.read_page_indexes_sized(&tail, self.bytes).map_err(failed)?;
            self.metadata = Arc::new(reader.finish().map_err(failed)?);
            self.columns = None;
        }
        self.has_pages = true;
        Ok(())
    }
}

/// Where in a Bloom filter the one block stands that says whether a text may be there; of so many bytes, with the header. A
/// filter of ours has a power of two of bytes behind a header that is shorter than a block, so the length says where it begins
/// (Parquet format: Bloom filter).
fn block(length: u64, text: &str) -> Option<u64> {
    let filter = 1 << length.checked_ilog2()?;
    let header = length - filter;
    let hash = XxHash64::oneshot(0, text.as_bytes());
    let index = ((hash >> 32) * (filter / BLOCK)) >> 32;
    (filter >= BLOCK && header < BLOCK).then_some(header + index * BLOCK)
}

/// The parts of a column that hold the rows selected.
fn needed(
    metadata: &ParquetMetaData,
    group: usize,
    at: usize,
    column: &ColumnChunkMetaData,
    selection: Option<&RowSelection>,
) -> Vec<Range<u64>> {
    // the library's own sum of these panics for a damaged footer
    let first = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (Ok(start), Ok(length)) = (u64::try_from(first), u64::try_from(column.compressed_size())) else {
        return Vec::new();
    };
    let pages = metadata.offset_index().and_then(|index| index.get(group)?.get(at));
    let (Some(selection), Some(pages)) = (selection, pages) else {
        return std::iter::once(start..start.saturating_add(length)).collect();
    };
    let mut ranges = selection.scan_ranges(pages.page_locations());
    let first = pages.page_locations().first().and_then(|page| u64::try_from(page.offset).ok());
    // the dictionary lies before the first page
    ranges.extend(first.filter(|first| start < *first && !ranges.is_empty()).map(|first| start..first));
    ranges
}

/// Ranges in order, those near to each other as one.
pub fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| range.start <= last.end.saturating_add(NEAR)) {
            Some(last) => last.end = last.end.max(range.end),
            None => joined.push(range),
        }
    }
    joined
}

fn with_views(metadata: Arc<ParquetMetaData>) -> parquet::errors::Result<ArrowReaderMetadata> {
    let read = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
    let views = Arc::new(Schema::new(views(read.schema().fields())));
    ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(views))
}

/// The columns of a file, with strings as views.
#[cfg(feature = "sql")]
pub fn viewed() -> arrow_schema::SchemaRef {
    Arc::new(Schema::new(views(schema::schema().fields())))
}

fn views(fields: &Fields) -> Fields {
    let view = |column: &Column| {
        let kind = match column.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Struct(inner) => DataType::Struct(views(inner)),
            DataType::List(element) => {
                let inner = views(&Fields::from(vec![element.as_ref().clone()]));
                inner.first().map_or_else(|| column.data_type().clone(), |element| DataType::List(element.clone()))
            }
            other => other.clone(),
        };
        column.clone().with_data_type(kind)
    };
    fields.iter().map(|column| view(column)).collect()
}

fn find<'g>(group: &'g RowGroupMetaData, path: &str) -> Option<&'g ColumnChunkMetaData> {
    group.columns().iter().find(|column| {
        let parts = column.column_path().parts();
        path.split('.').eq(parts.iter().map(String::as_str))
    })
}

/// Whether a value may stand in a column, by the least and the greatest that do. They may be cut short: then they are bounds.
fn within(column: &ColumnChunkMetaData, value: &[u8]) -> bool {
    let Some(Statistics::ByteArray(statistics)) = column.statistics() else { return true };
    if statistics.null_count_opt().is_some_and(|nulls| i64::try_from(nulls) == Ok(column.num_values())) {
        return false;
    }
    statistics.min_opt().is_none_or(|least| least.data() <= value)
        && statistics.max_opt().is_none_or(|greatest| value <= greatest.data())
}

/// A batch of rows, as far as it was read.
pub struct Batch<'b> {
    batch: &'b RecordBatch,
}

impl<'b> Batch<'b> {
    pub fn of(batch: &'b RecordBatch) -> Self {
        Self { batch }
    }

    pub fn text(&self, path: &str) -> Option<&'b StringViewArray> {
        let mut parts = path.split('.');
        let mut column = self.batch.column_by_name(parts.next()?)?;
        for part in parts {
            column = column.as_struct_opt()?.column_by_name(part)?;
        }
        column.as_string_view_opt()
    }

    /// When a row's log was delivered, in seconds since the epoch.
    pub fn delivered(&self, row: usize) -> Option<i64> {
        let column = self.batch.column_by_name(schema::DELIVERED)?;
        let times = column.as_primitive_opt::<TimestampMillisecondType>()?;
        (row < times.len() && times.is_valid(row)).then(|| times.value(row).div_euclid(1_000))
    }

    fn resources(&self) -> Option<(&'b ListArray, Vec<Option<&'b StringViewArray>>)> {
        let lists = self.batch.column_by_name(schema::RESOURCES)?.as_list_opt::<i32>()?;
        let parts: &StructArray = lists.values().as_struct_opt()?;
        let part = |name: &str| parts.column_by_name(&schema::name(name))?.as_string_view_opt();
        Some((lists, RESOURCE.iter().map(|name| part(name)).collect()))
    }

    /// Which rows a clause holds of.
    pub fn hold(&self, clause: &Clause) -> Vec<bool> {
        let mut hold = vec![false; self.batch.num_rows()];
        for term in &clause.terms {
            match term.field {
                Field::Leaf(leaf) => {
                    let column = schema::path(leaf).and_then(|path| self.text(path));
                    for (hold, value) in hold.iter_mut().zip(column.into_iter().flatten()) {
                        *hold = *hold || value.is_some_and(|value| term.test.matches(value));
                    }
                }
                Field::Resource(part) => {
                    let Some((lists, parts)) = self.resources() else { continue };
                    let Some(column) = parts.get(part).copied().flatten() else { continue };
                    for (row, hold) in hold.iter_mut().enumerate() {
                        let mut values = span(lists, row).filter_map(|at| text(Some(column), at));
                        *hold = *hold || values.any(|value| term.test.matches(value));
                    }
                }
            }
        }
        hold
    }

    /// The records of a batch that has all columns, as they were written.
    pub fn records(&self, from: usize) -> impl Iterator<Item = Option<String>> + use<'b> {
        let leaves: Vec<Option<&StringViewArray>> = (0..LEAVES).map(|leaf| self.text(schema::path(leaf)?)).collect();
        let (shapes, resources) = (self.text(schema::SHAPE), self.resources());
        (from..self.batch.num_rows()).map(move |row| {
            let part = |resource: usize, part: usize| {
                let (lists, parts) = resources.as_ref()?;
                text(parts.get(part).copied().flatten(), span(lists, row).nth(resource)?)
            };
            rebuild(text(shapes, row)?, |leaf| text(leaves.get(leaf).copied().flatten(), row), part)
        })
    }
}

/// Where a row's resources stand among all.
fn span(lists: &ListArray, row: usize) -> Range<usize> {
    let offset = |at: usize| lists.value_offsets().get(at).and_then(|offset| usize::try_from(*offset).ok());
    offset(row).unwrap_or(0)..offset(row + 1).unwrap_or(0)
}

pub fn text(column: Option<&StringViewArray>, row: usize) -> Option<&str> {
    column.filter(|column| row < column.len() && column.is_valid(row)).map(|column| column.value(row))
}

/// The paths of the columns that clauses ask about.
pub fn paths(clauses: &[Clause]) -> Vec<&'static str> {
    let path = |field: Field| match field {
        Field::Leaf(leaf) => schema::path(leaf),
        Field::Resource(_) => Some(schema::RESOURCES),
    };
    let mut paths: Vec<&str> =
        clauses.iter().flat_map(|clause| &clause.terms).filter_map(|term| path(term.field)).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_of_a_filter_says_what_the_whole_does() {
        let text = |number: usize| format!("{number:036}");
        for bytes in [32, 64, 4_096, 1 << 17] {
            let mut filter = Sbbf::new_with_num_of_bytes(bytes);
            (0..bytes / 4).for_each(|number| filter.insert(text(number).as_str()));
            let mut written = Vec::new();
            filter.write(&mut written).expect("memory takes it");
            for number in 0..bytes {
                let text = text(number);
                let at = block(written.len() as u64, &text).expect("a place") as usize;
                let of_block = Sbbf::new(&written[at..at + BLOCK as usize]).check(text.as_str());
                assert_eq!(of_block, filter.check(text.as_str()), "{bytes}, {number}");
            }
        }
        assert_eq!([0, 16, 96, 96 + 16, 128 + 32].map(|length| block(length, "")), [None; 5], "no filter of ours");
    }

    #[test]
    fn near_parts_are_read_as_one() {
        let far = 10 * NEAR;
        let ranges = vec![far..far + 10, 0..10, 5..8, 10 + NEAR..20 + NEAR];
        assert_eq!(joined(ranges), [0..20 + NEAR, far..far + 10]);
    }
}
