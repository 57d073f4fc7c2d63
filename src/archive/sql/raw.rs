//! Raw logs as a table: the same columns as the archive's, made of each log as it is read.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::arrow::compute::cast;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::StreamExt;
use jiff::tz::TimeZone;

use super::Scanned;
use super::files::DATE;
use crate::archive::raw::{self, Distinct, Effort, Raw, Seen};
use crate::archive::read::viewed;
use crate::archive::rows::{Identity, Origin, Rows, date_of};
use crate::archive::schema;
use crate::core::key::LogKey;
use crate::core::lookup::Question;
use crate::core::row::LEAVES;

/// Logs under a prefix. Each scan lists and reads them anew.
pub struct RawTable {
    raw: Arc<Raw>,
    schema: SchemaRef,
    scanned: Arc<Scanned>,
    effort: Arc<Mutex<Effort>>,
}

impl RawTable {
    /// `effort` is what was read and what was not, of the scan that read the most.
    pub fn new(raw: Raw, scanned: Arc<Scanned>, effort: Arc<Mutex<Effort>>) -> Self {
        let mut fields: Vec<Field> = viewed().fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new(DATE, DataType::Utf8View, false));
        Self { raw: Arc::new(raw), schema: Arc::new(Schema::new(fields)), scanned, effort }
    }
}

impl fmt::Debug for RawTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawTable")
    }
}

#[async_trait]
impl TableProvider for RawTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match wanted(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut question = Question::default();
        for (leaf, values) in filters.iter().filter_map(wanted) {
            question.ask_leaf(leaf, &values);
        }
        let logs = Arc::new(Logs {
            raw: self.raw.clone(),
            question: Arc::new(question),
            schema: self.schema.clone(),
            scanned: self.scanned.clone(),
            effort: self.effort.clone(),
        });
        let scan = StreamingTableExec::try_new(self.schema.clone(), vec![logs], projection, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

/// The leaf that a condition is about, and the values of which it must have one.
fn wanted(filter: &Expr) -> Option<(usize, Vec<String>)> {
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    let (column, values) = match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (text(left), text(right)) {
            (None, Some(value)) => (left, vec![value]),
            (Some(value), None) => (right, vec![value]),
            _ => return None,
        },
        Expr::InList(list) if !list.negated => (&list.expr, list.list.iter().map(text).collect::<Option<_>>()?),
        _ => return None,
    };
    let path = path(column)?;
    Some(((0..LEAVES).find(|leaf| schema::path(*leaf) == Some(path.as_str()))?, values))
}

/// `useridentity.arn`
fn path(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (of, names) = call.args.split_first()?;
            names.iter().try_fold(path(of)?, |path, name| match name {
                Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _) => {
                    Some(format!("{path}.{name}"))
                }
                _ => None,
            })
        }
        _ => None,
    }
}

/// All of the logs, as one stream.
struct Logs {
    raw: Arc<Raw>,
    /// Texts without which a record cannot be one that is asked for.
    question: Arc<Question>,
    schema: SchemaRef,
    scanned: Arc<Scanned>,
    effort: Arc<Mutex<Effort>>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl PartitionStream for Logs {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (question, identity) = (self.question.clone(), Identity::default());
        let today = self.raw.env.now().to_zoned(TimeZone::UTC).date();
        let look = move |bytes: &[u8], key: &str, log: Option<&LogKey>| -> Seen<Rows> {
            let mut rows = Rows::new(identity.clone());
            let (delivered, day) = log.map_or((None, today), |log| (Some(log.delivered), log.date));
            rows.begin(Origin { object: key.to_owned(), trail: None, delivered, day });
            let each = |text: &str| {
                if question.may_match(text) {
                    rows.push(text);
                }
            };
            let (records, read) = raw::records(bytes, log, each);
            Seen { what: rows, records, read }
        };
        let (schema, scanned, told) = (self.schema.clone(), self.scanned.clone(), self.effort.clone());
        let (mut distinct, mut effort) = (Distinct::default(), Effort::default());
        let batches = self.raw.logs(Arc::new(look)).map(move |read| {
            let (listed, found) = read.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let before = effort.bytes;
            effort.count(&listed, found.as_ref());
            Scanned::add(&scanned.read, effort.bytes - before);
            let rows = found.map(|found| found.what);
            let batches = rows.map(|rows| batches(&rows, &schema, &mut distinct, &mut effort)).unwrap_or_default();
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if effort.listed() >= told.listed() {
                *told = effort.clone();
            }
            Ok(futures_util::stream::iter(batches))
        });
        let flat = batches.flat_map(|batches: Result<_>| match batches {
            Ok(batches) => batches.left_stream(),
            Err(error) => futures_util::stream::iter([Err(error)]).right_stream(),
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), flat))
    }
}

/// The rows of a log that were not seen before, in pieces.
fn batches(table: &Rows, schema: &SchemaRef, distinct: &mut Distinct, effort: &mut Effort) -> Vec<Result<RecordBatch>> {
    let rows: Vec<u32> =
        (0..).zip(&table.keys).filter(|(_, key)| distinct.is_new(key.id, effort)).map(|(row, _)| row).collect();
    let mut days = rows.iter().filter_map(|row| table.keys.get(*row as usize)).map(|key| date_of(key.day));
    let batch = |batch: crate::error::Result<RecordBatch>| -> Result<RecordBatch> {
        let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let cast_to = |(column, field): (&ArrayRef, &Arc<Field>)| cast(column, field.data_type());
        let mut columns: Vec<ArrayRef> =
            batch.columns().iter().zip(schema.fields()).map(cast_to).collect::<std::result::Result<_, _>>()?;
        columns.push(Arc::new(StringViewArray::from_iter_values(days.by_ref().take(batch.num_rows()))));
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    };
    table.batches(&rows).map(batch).collect()
}
