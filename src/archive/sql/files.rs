//! The archive's files as a table: which of them are read, and how.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricValue};
use datafusion::physical_plan::{ColumnarValue, ExecutionPlan};
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::Scanned;
use crate::archive::Place;
use crate::archive::read::{joined, viewed};
use crate::config::units::show_size;
use crate::store::archive::ArchiveFile;

/// The column that is in the folders' names.
pub const DATE: &str = "date";
/// Footers that are kept: a file is read by several threads at a time, and not for long.
const KEPT: usize = 16;

/// Where files would lie that are read by their address: there are none.
pub fn nowhere() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("archive://files")
}

/// Files of the archive, as the ledger named them at one moment.
pub struct ArchiveTable {
    place: Place,
    files: Vec<ArchiveFile>,
    schema: TableSchema,
    scanned: Arc<Scanned>,
}

impl ArchiveTable {
    pub fn new(place: Place, files: Vec<ArchiveFile>, scanned: Arc<Scanned>) -> Self {
        let date: FieldRef = Arc::new(Field::new(DATE, DataType::Utf8View, false));
        let schema = TableSchema::builder(viewed()).with_table_partition_cols(vec![date]).build();
        Self { place, files, schema, scanned }
    }

    /// The files of which conditions on the date hold.
    fn within(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&ArchiveFile>> {
        let of_date = filters.iter().filter(|filter| is_of_date(filter)).cloned();
        let Some(condition) = conjunction(of_date) else { return Ok(self.files.iter().collect()) };
        let field = Field::new(DATE, DataType::Utf8View, false);
        let schema = Arc::new(Schema::new(vec![field]));
        let condition = state.create_physical_expr(condition, &DFSchema::try_from(schema.clone())?)?;
        let dates = StringViewArray::from_iter_values(self.files.iter().map(|file| &file.date));
        let rows = RecordBatch::try_new(schema, vec![Arc::new(dates)])?;
        let holds = match condition.evaluate(&rows)? {
            ColumnarValue::Array(holds) => holds,
            scalar => scalar.into_array(self.files.len())?,
        };
        let holds = holds.as_boolean();
        Ok(self.files.iter().zip(holds).filter(|(_, holds)| *holds == Some(true)).map(|(file, _)| file).collect())
    }
}

/// Whether it asks for nothing but the date.
fn is_of_date(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|column| column.name == DATE) && !filter.is_volatile()
}

impl fmt::Debug for ArchiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchiveTable({} files)", self.files.len())
    }
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match is_of_date(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(of).collect())
    }

    /// Each scan reads the files anew.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.within(state, filters)?;
        let (rows, bytes) = files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
        Scanned::add(&self.scanned.files, self.files.len() as u64);
        Scanned::add(&self.scanned.files_out, (self.files.len() - files.len()) as u64);
        Scanned::add(&self.scanned.bytes, bytes);
        let physical = viewed();
        let group: FileGroup = files
            .into_iter()
            .map(|file| {
                PartitionedFile::new(file.name.clone(), file.bytes)
                    .with_arrow_schema(physical.clone())
                    .with_partition_values(vec![ScalarValue::Utf8View(Some(file.date.clone()))])
                    .with_extension(file.clone())
            })
            .collect();
        let reading = Reading {
            place: self.place.clone(),
            scanned: self.scanned.clone(),
            footers: Arc::new(Mutex::new(VecDeque::new())),
        };
        let source = ParquetSource::new(self.schema.clone())
            .with_parquet_file_reader_factory(Arc::new(reading))
            .with_pushdown_filters(true);
        let mut statistics = Statistics::new_unknown(self.schema.table_schema());
        // were it exact, a count would be answered without a look at the files
        statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
        let scan = FileScanConfigBuilder::new(nowhere()?, Arc::new(source))
            .with_file_groups(group.split_files(state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// Footers by file name, the latest last.
type Footers = Arc<Mutex<VecDeque<(String, Arc<ParquetMetaData>)>>>;

/// How files are read: by the seam, in pieces.
#[derive(Clone)]
struct Reading {
    place: Place,
    scanned: Arc<Scanned>,
    footers: Footers,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl ParquetFileReaderFactory for Reading {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let known = file.extension::<ArchiveFile>();
        let (name, bytes) = known
            .map(|file| (file.name.clone(), file.bytes))
            .ok_or_else(|| DataFusionError::Internal("a file that is none of the archive's".into()))?;
        Ok(Box::new(Reader { reading: self.clone(), name, bytes }))
    }
}

struct Reader {
    reading: Reading,
    name: String,
    bytes: u64,
}

fn failed(error: crate::error::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Reader {
    async fn range(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        Scanned::add(&self.reading.scanned.read, range.end.saturating_sub(range.start));
        self.reading.place.range(&self.name, range).await.map_err(failed)
    }

    fn known(&self) -> Option<Arc<ParquetMetaData>> {
        let footers = self.reading.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.iter().find(|(name, _)| *name == self.name).map(|(_, footer)| footer.clone())
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.range(range).boxed()
    }

    /// Those near to each other are read as one.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let whole = joined(ranges.clone());
            let pieces = try_join_all(whole.iter().map(|range| self.range(range.clone()))).await?;
            let of = |range: Range<u64>| {
                let at = whole.partition_point(|whole| whole.start <= range.start).checked_sub(1)?;
                let (whole, piece) = (whole.get(at)?, pieces.get(at)?);
                let from = usize::try_from(range.start - whole.start).ok()?;
                let to = usize::try_from(range.end.checked_sub(whole.start)?).ok()?;
                (from <= to && to <= piece.len()).then(|| piece.slice(from..to))
            };
            let missing = || ParquetError::EOF("a part that was not read".into());
            ranges.into_iter().map(|range| of(range).ok_or_else(missing)).collect()
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            if let Some(known) = self.known() {
                return Ok(known);
            }
            let (metadata, pieces) = self.reading.place.metadata(&self.name, self.bytes).await.map_err(failed)?;
            Scanned::add(&self.reading.scanned.read, pieces.held());
            let mut footers = self.reading.footers.lock().unwrap_or_else(PoisonError::into_inner);
            footers.push_back((self.name.clone(), metadata.clone()));
            if footers.len() > KEPT {
                footers.pop_front();
            }
            Ok(metadata)
        }
        .boxed()
    }
}

/// What readers of files counted, as lines.
pub fn effort(plan: &Arc<dyn ExecutionPlan>, scanned: &Scanned) -> Vec<String> {
    let mut counted = Counted::default();
    counted.visit(plan);
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    vec![
        format!("files: {}; left out by date {}", of(&scanned.files), of(&scanned.files_out)),
        format!(
            "row groups: {}; left out by statistics {}, by filters {}",
            counted.groups, counted.by_statistics, counted.by_filters
        ),
        format!("rows: {} left out before they were whole, {} read", counted.rows_out, counted.rows),
        format!("bytes: {} read of {}", show_size(of(&scanned.read)), show_size(of(&scanned.bytes))),
        format!("disk: {} written and read again", show_size(counted.spilled)),
    ]
}

#[derive(Default)]
struct Counted {
    groups: usize,
    by_statistics: usize,
    by_filters: usize,
    rows_out: usize,
    rows: usize,
    spilled: u64,
}

impl Counted {
    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        let is_scan = plan.children().is_empty();
        for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
            match metric.value() {
                MetricValue::PruningMetrics { name, pruning_metrics } => match name.as_ref() {
                    "row_groups_pruned_statistics" => {
                        self.groups += pruning_metrics.pruned() + pruning_metrics.matched();
                        self.by_statistics += pruning_metrics.pruned();
                    }
                    "row_groups_pruned_bloom_filter" => self.by_filters += pruning_metrics.pruned(),
                    "page_index_rows_pruned" => self.rows_out += pruning_metrics.pruned(),
                    _ => {}
                },
                MetricValue::Count { name, count } if name == "pushdown_rows_pruned" => self.rows_out += count.value(),
                MetricValue::OutputRows(count) if is_scan => self.rows += count.value(),
                MetricValue::SpilledBytes(count) => self.spilled += count.value() as u64,
                _ => {}
            }
        }
        plan.children().into_iter().for_each(|child| self.visit(child));
    }
}
