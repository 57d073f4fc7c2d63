//! The table that questions are about: the columns of the files, and two that are made where a question asks for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableProvider;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::{Expr, SessionContext, col, ident, lit};

use crate::archive::read::{self, Batch};
use crate::archive::schema;
use crate::core::lookup::when;
use crate::core::row::EVENT_TIME;

/// What is known of logs, each given by trail and key, in the same order.
pub type Ask = dyn Fn(&[(String, String)]) -> crate::error::Result<Vec<&'static str>> + Send + Sync;

/// What the digests say of rows.
pub struct Verdicts {
    pub ask: Box<Ask>,
    /// Of rows without a trail.
    pub without: &'static str,
}

/// Logs whose verdicts are remembered.
const REMEMBERED: usize = 1 << 16;
const RECORD: &str = "record";
const INTEGRITY: &str = "integrity";

/// The time that is asked for, in seconds since the epoch: not before, and before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// The table as a view over its files.
pub fn view(
    context: &SessionContext,
    files: Arc<dyn TableProvider>,
    verdicts: Verdicts,
    window: Window,
    pool: &Arc<dyn MemoryPool>,
) -> Result<Arc<dyn TableProvider>> {
    let columns: Vec<Field> = files.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let parts: Vec<Field> = columns
        .iter()
        .filter(|column| ![schema::OBJECT, schema::TRAIL, schema::DELIVERED, "date"].contains(&column.name().as_str()))
        .cloned()
        .collect();
    let of_parts = parts.iter().map(|part| ident(part.name())).collect();
    let record = record(parts, pool.clone()).call(of_parts).alias(RECORD);
    let integrity = integrity(verdicts).call(vec![ident(schema::TRAIL), ident(schema::OBJECT)]).alias(INTEGRITY);
    let mut rows = context.read_table(files)?;
    let moment = moment();
    let time = schema::path(EVENT_TIME).unwrap_or_default();
    let happened = || moment.call(vec![col(time), col(schema::DELIVERED)]);
    if let Some(from) = window.from {
        rows = rows.filter(happened().gt_eq(lit(from)))?;
    }
    if let Some(to) = window.to {
        rows = rows.filter(happened().lt(lit(to)))?;
    }
    let mut all: Vec<Expr> = columns.iter().map(|column| ident(column.name())).collect();
    all.extend([integrity, record]);
    Ok(rows.select(all)?.into_view())
}

/// The record as it was written, of all columns that hold a part of it.
fn record(parts: Vec<Field>, pool: Arc<dyn MemoryPool>) -> ScalarUDF {
    let kinds = parts.iter().map(|part| part.data_type().clone()).collect();
    let schema = Arc::new(Schema::new(parts));
    let put_together = move |args: &[ColumnarValue]| {
        let batch = RecordBatch::try_new(schema.clone(), ColumnarValue::values_to_arrays(args)?)?;
        let reservation = MemoryConsumer::new("whole records").register(&pool);
        let mut records = StringViewBuilder::with_capacity(batch.num_rows());
        for record in Batch::of(&batch).records(0) {
            reservation.try_grow(record.as_ref().map_or(0, String::len))?;
            records.append_option(record);
        }
        Ok(ColumnarValue::Array(Arc::new(records.finish())))
    };
    create_udf("whole_record", kinds, DataType::Utf8View, Volatility::Stable, Arc::new(put_together))
}

/// What is known of each row's log. A row without a trail has none.
fn integrity(verdicts: Verdicts) -> ScalarUDF {
    let known: Mutex<HashMap<(String, String), &'static str>> = Mutex::default();
    let ask = move |args: &[ColumnarValue]| {
        let columns = ColumnarValue::values_to_arrays(args)?;
        let [trails, objects] = columns.as_slice() else { return Err(missing()) };
        let (trails, objects) = (trails.as_string_view(), objects.as_string_view());
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > REMEMBERED {
            known.clear();
        }
        let of = |row: usize| -> Option<(String, String)> {
            let trail = read::text(Some(trails), row)?;
            Some((trail.to_owned(), read::text(Some(objects), row).unwrap_or_default().to_owned()))
        };
        let logs: Vec<Option<(String, String)>> = (0..objects.len()).map(of).collect();
        let mut unknown: Vec<(String, String)> = logs.iter().flatten().cloned().collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|log| !known.contains_key(log));
        if !unknown.is_empty() {
            let answers = (verdicts.ask)(&unknown).map_err(|error| DataFusionError::External(Box::new(error)))?;
            known.extend(unknown.into_iter().zip(answers));
        }
        let verdict = |log: &Option<(String, String)>| match log {
            None => verdicts.without,
            Some(log) => known.get(log).copied().unwrap_or("unknown"),
        };
        let told = StringViewArray::from_iter_values(logs.iter().map(verdict));
        Ok(ColumnarValue::Array(Arc::new(told)))
    };
    create_udf(INTEGRITY, vec![DataType::Utf8View; 2], DataType::Utf8View, Volatility::Stable, Arc::new(ask))
}

/// When a record happened, in seconds since the epoch: its own time, or when its log was delivered.
fn moment() -> ScalarUDF {
    let delivered = schema::schema().field_with_name(schema::DELIVERED).map(|field| field.data_type().clone());
    let look = |args: &[ColumnarValue]| {
        let columns = ColumnarValue::values_to_arrays(args)?;
        let [times, delivered] = columns.as_slice() else { return Err(missing()) };
        let (times, delivered) = (times.as_string_view(), delivered.as_primitive::<TimestampMillisecondType>());
        let moments: Int64Array = times
            .iter()
            .zip(delivered)
            .map(|(time, delivered)| when(time, delivered.map(|millis| millis.div_euclid(1_000))))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(moments) as ArrayRef))
    };
    let kinds = vec![DataType::Utf8View, delivered.unwrap_or(DataType::Null)];
    create_udf("moment", kinds, DataType::Int64, Volatility::Immutable, Arc::new(look))
}

fn missing() -> DataFusionError {
    DataFusionError::Internal("an argument is missing".into())
}
