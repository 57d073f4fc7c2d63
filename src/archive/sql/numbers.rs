//! Groups by texts: rows are grouped by numbers of their texts first.
//!
//! The engine hashes and compares the texts of each row, and that is most of what groups cost. A file has a text once for many
//! rows, which point to it: so it is looked at where it is pointed to for the first time, and gets a number; rows that point to
//! the same place have that for a glance at a small table. Numbers are known only where they were given: the first step of
//! an aggregation, which each part of an answer does by itself, gives texts on to the second. Where texts are too many, or rows point
//! to each of them once, the rest of a part's rows is grouped by the texts themselves.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, StringViewArray, UInt64Array};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures_util::stream::{self, Fuse, StreamExt, TryStreamExt};
use hashbrown::HashTable;

/// Bits of a number, and numbers in a key.
const BITS: usize = 16;
const IN_KEY: usize = 64 / BITS;
/// Texts that have a number, at most: 0 is null's.
const TEXTS: usize = (1 << BITS) - 1;
/// Places that are remembered.
const PLACES: usize = 1 << 10;
/// Looks at texts that are no sign of anything yet; beyond them one of so many rows may need one.
const LOOKS: usize = 1 << 13;
const ROWS_A_LOOK: usize = 4;

/// Groups by numbers wherever a group is by texts.
#[derive(Debug)]
pub struct ByNumbers;

impl PhysicalOptimizerRule for ByNumbers {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let numbered = plan.transform_up(|plan| {
            let by_texts = plan.downcast_ref::<AggregateExec>().and_then(|aggregate| Numbered::of(aggregate.clone()));
            Ok(match by_texts {
                Some(numbered) => Transformed::yes(Arc::new(numbered) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        });
        numbered.map(|numbered| numbered.data)
    }

    fn name(&self) -> &str {
        "by_numbers"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first step of an aggregation, which gives what the same step by texts gives.
#[derive(Debug, Clone)]
struct Numbered {
    by_texts: AggregateExec,
    /// What it groups by: texts, and other values, by their places there.
    texts: Vec<usize>,
    others: Vec<usize>,
}

impl Numbered {
    fn of(by_texts: AggregateExec) -> Option<Self> {
        let group = by_texts.group_expr();
        let is_plain = *by_texts.mode() == AggregateMode::Partial && group.is_single();
        let schema = by_texts.input().schema();
        let is_text = |at: &usize| {
            let expr = group.expr().get(*at).map(|(expr, _)| expr.data_type(&schema));
            matches!(expr, Some(Ok(DataType::Utf8View)))
        };
        let (texts, others): (Vec<usize>, Vec<usize>) = (0..group.expr().len()).partition(is_text);
        (is_plain && by_texts.limit_options().is_none() && !texts.is_empty()).then_some(Self {
            by_texts,
            texts,
            others,
        })
    }

    fn exprs(&self, places: &[usize]) -> Vec<(Arc<dyn PhysicalExpr>, String)> {
        places.iter().filter_map(|at| self.by_texts.group_expr().expr().get(*at).cloned()).collect()
    }

    /// Rows as they come, with keys behind their columns.
    fn keyed(&self) -> SchemaRef {
        let schema = self.by_texts.input().schema();
        let keys = (0..self.texts.len().div_ceil(IN_KEY)).map(key);
        let fields = schema.fields().iter().map(|field| field.as_ref().clone()).chain(keys);
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
    }

    /// The same step over other rows.
    fn over(&self, group: PhysicalGroupBy, rows: Rows) -> Result<AggregateExec> {
        let schema = rows.schema.clone();
        let input = StreamingTableExec::try_new(schema.clone(), vec![Arc::new(rows)], None, [], false, None)?;
        let (values, filters) = (self.by_texts.aggr_expr().to_vec(), self.by_texts.filter_expr().to_vec());
        AggregateExec::try_new(AggregateMode::Partial, group, values, filters, Arc::new(input), schema)
    }

    /// Groups by keys as groups by texts.
    fn told(&self, source: &Source, groups: &RecordBatch) -> Result<RecordBatch> {
        let keys = self.texts.len().div_ceil(IN_KEY);
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.texts.len() + self.others.len()];
        for (number, at) in self.texts.iter().enumerate() {
            let numbers = groups.column(number / IN_KEY).as_primitive::<UInt64Type>();
            let texts = source.texts.get(number).map(|texts| texts.told(numbers.values(), shift(number)));
            if let Some(column) = columns.get_mut(*at) {
                *column = texts.map(|texts| Arc::new(texts) as ArrayRef);
            }
        }
        for (column, at) in groups.columns().iter().skip(keys).zip(&self.others) {
            if let Some(place) = columns.get_mut(*at) {
                *place = Some(column.clone());
            }
        }
        let states = groups.columns().iter().skip(keys + self.others.len()).cloned();
        let columns = columns.into_iter().flatten().chain(states).collect();
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

fn key(number: usize) -> Field {
    Field::new(format!("key {number}"), DataType::UInt64, false)
}

/// Where a column's numbers stand in their key.
fn shift(number: usize) -> usize {
    number % IN_KEY * BITS
}

impl DisplayAs for Numbered {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("by numbers of texts: ")?;
        self.by_texts.fmt_as(t, f)
    }
}

impl ExecutionPlan for Numbered {
    fn name(&self) -> &'static str {
        "Numbered"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.by_texts.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.by_texts.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.by_texts.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = Arc::new(self.by_texts.clone()).replace_children(children, options)?;
        Ok(match plan.downcast_ref::<AggregateExec>().and_then(|aggregate| Self::of(aggregate.clone())) {
            Some(numbered) => Arc::new(numbered),
            None => plan,
        })
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(format!("texts of groups [{partition}]")).register(context.memory_pool());
        let source = Arc::new(Mutex::new(Source {
            rows: self.by_texts.input().execute(partition, context.clone())?.fuse(),
            exprs: self.exprs(&self.texts).into_iter().map(|(expr, _)| expr).collect(),
            texts: self.texts.iter().map(|_| Texts::default()).collect(),
            keyed: self.keyed(),
            memory,
            is_over: false,
            left: None,
        }));
        let rows = |is_keyed, schema| Rows { source: source.clone(), is_keyed, schema };
        let (plain, keyed) = (self.by_texts.input().schema(), self.keyed());
        let keys = plain.fields().len()..keyed.fields().len();
        let keys =
            keys.map(|at| (Arc::new(Column::new(keyed.field(at).name(), at)) as _, keyed.field(at).name().clone()));
        let group = PhysicalGroupBy::new_single(keys.chain(self.exprs(&self.others)).collect());
        let first = self.over(group, rows(true, keyed))?.execute(0, context.clone())?;
        let rest = self.over(self.by_texts.group_expr().clone(), rows(false, plain))?;
        let this = self.clone();
        let told = first.map(move |groups| this.told(&locked(&source), &groups?));
        let rest = stream::once(async move { rest.execute(0, context) }).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), told.chain(rest))))
    }
}

fn locked(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rows of one part, with keys until there are too many texts, and without from there.
struct Source {
    rows: Fuse<SendableRecordBatchStream>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    texts: Vec<Texts>,
    keyed: SchemaRef,
    memory: MemoryReservation,
    /// No more keys are made.
    is_over: bool,
    /// Rows that none were made for.
    left: Option<RecordBatch>,
}

impl Source {
    fn poll(&mut self, is_keyed: bool, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if !is_keyed {
            // groups by numbers were all told before
            self.texts.clear();
            self.memory.free();
            return match self.left.take() {
                Some(rows) => Poll::Ready(Some(Ok(rows))),
                None => self.rows.poll_next_unpin(context),
            };
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let Some(rows) = ready!(self.rows.poll_next_unpin(context)) else { return Poll::Ready(None) };
        let keyed = rows.and_then(|rows| {
            let keyed = self.keyed(&rows)?;
            if keyed.is_none() {
                self.left = Some(rows);
            }
            Ok(keyed)
        });
        Poll::Ready(keyed.transpose())
    }

    /// Rows with their keys; none when a text has no number any more.
    fn keyed(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        let mut columns = rows.columns().to_vec();
        let mut key = vec![0; rows.num_rows()];
        for (number, (texts, expr)) in self.texts.iter_mut().zip(&self.exprs).enumerate() {
            if number > 0 && shift(number) == 0 {
                columns.push(Arc::new(UInt64Array::from(std::mem::replace(&mut key, vec![0; rows.num_rows()]))));
            }
            let column = expr.evaluate(rows)?.into_array(rows.num_rows())?;
            if !texts.number(column.as_string_view(), &mut key, shift(number)) {
                self.is_over = true;
                return Ok(None);
            }
        }
        columns.push(Arc::new(UInt64Array::from(key)));
        let bytes = self.texts.iter().map(|texts| texts.bytes).sum();
        self.is_over = self.texts.iter().any(Texts::are_no_use) || self.memory.try_resize(bytes).is_err();
        Ok(Some(RecordBatch::try_new(self.keyed.clone(), columns)?))
    }
}

/// A part's rows, as one of its two aggregations reads them.
struct Rows {
    source: Arc<Mutex<Source>>,
    is_keyed: bool,
    schema: SchemaRef,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (source, is_keyed) = (self.source.clone(), self.is_keyed);
        let rows = stream::poll_fn(move |context| locked(&source).poll(is_keyed, context));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

/// Texts of a column, with numbers from 1.
struct Texts {
    texts: Vec<Box<str>>,
    by_text: HashTable<u32>,
    hashes: RandomState,
    bytes: usize,
    /// Views that were seen last, with numbers, and what they point into.
    places: Box<[(u128, u32); PLACES]>,
    buffers: Arc<[Buffer]>,
    rows: usize,
    looks: usize,
}

/// No view is so: a text's length stands in its first bytes.
const NOWHERE: u128 = u128::MAX;

impl Default for Texts {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            by_text: HashTable::new(),
            hashes: RandomState::new(),
            bytes: 0,
            places: Box::new([(NOWHERE, 0); PLACES]),
            buffers: Arc::from([]),
            rows: 0,
            looks: 0,
        }
    }
}

impl Texts {
    /// Adds numbers of a column's texts to keys; false when there are too many.
    fn number(&mut self, column: &StringViewArray, keys: &mut [u64], shift: usize) -> bool {
        let is_same = |(one, other): (&Buffer, &Buffer)| one.as_ptr() == other.as_ptr() && one.len() == other.len();
        let buffers = column.data_buffers();
        if self.buffers.len() != buffers.len() || !self.buffers.iter().zip(buffers).all(is_same) {
            self.buffers = buffers.into();
            self.places.fill((NOWHERE, 0));
        }
        self.rows += column.len();
        let nulls = column.nulls();
        for (row, (view, key)) in column.views().iter().zip(keys).enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let place = place(*view);
            let number = match self.places.get(place) {
                Some((known, number)) if known == view => *number,
                _ => {
                    let Some(number) = self.look(column.value(row)) else { return false };
                    if let Some(slot) = self.places.get_mut(place) {
                        *slot = (*view, number);
                    }
                    number
                }
            };
            *key |= u64::from(number) << shift;
        }
        true
    }

    fn look(&mut self, text: &str) -> Option<u32> {
        self.looks += 1;
        let hash = self.hashes.hash_one(text);
        let is_it = |number: &u32| self.text(*number as usize) == Some(text);
        if let Some(number) = self.by_text.find(hash, is_it) {
            return Some(*number);
        }
        let number = u32::try_from(self.texts.len() + 1).ok().filter(|number| *number as usize <= TEXTS)?;
        self.bytes += text.len() + size_of::<(Box<str>, u32, u32)>();
        self.texts.push(text.into());
        let (texts, hashes) = (&self.texts, &self.hashes);
        let rehash = |number: &u32| hashes.hash_one(texts.get(*number as usize - 1).map_or("", |text| &**text));
        self.by_text.insert_unique(hash, number, rehash);
        Some(number)
    }

    fn text(&self, number: usize) -> Option<&str> {
        number.checked_sub(1).and_then(|at| self.texts.get(at)).map(|text| &**text)
    }

    fn told(&self, keys: &[u64], shift: usize) -> StringViewArray {
        let mut texts = StringViewBuilder::with_capacity(keys.len());
        keys.iter().for_each(|key| texts.append_option(self.text((key >> shift) as usize & TEXTS)));
        texts.finish()
    }

    /// Whether rows point to ever other places.
    fn are_no_use(&self) -> bool {
        self.looks > LOOKS + self.rows / ROWS_A_LOOK
    }
}

fn place(view: u128) -> usize {
    let mixed = (view as u64 ^ (view >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 54) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use fastrand::Rng;

    use super::*;

    const ROWS: usize = 4_000;

    /// Texts of seven columns, and a number between them.
    type Row = ([Option<String>; 7], i64);

    fn few(rng: &mut Rng, number: usize, kinds: usize) -> Row {
        let mut text = |column: usize| match rng.usize(..kinds + 2) {
            0 => None,
            1 => Some(String::new()),
            kind if column.is_multiple_of(2) => Some(kind.to_string()),
            kind => Some(format!("a text that is longer than a view, {}", kind % 5)),
        };
        ([text(0), text(1), text(2), text(3), text(4), text(5), text(6)], number as i64 % 3)
    }

    /// So many rows after each other have one text.
    fn ever_others(number: usize, each: usize) -> Row {
        let text = Some(format!("a text that was not there before: {}", number / each));
        ([text, None, None, None, None, None, None], number as i64 % 2)
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let text = |column: usize| {
            let mut texts = StringViewBuilder::new().with_deduplicate_strings();
            rows.iter().for_each(|(of_row, _)| texts.append_option(of_row[column].as_deref()));
            Arc::new(texts.finish()) as ArrayRef
        };
        let numbers = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, number)| *number))) as ArrayRef;
        let columns = [("a", text(0)), ("b", text(1)), ("n", numbers), ("c", text(2)), ("d", text(3)), ("e", text(4))];
        let rest = [("f", text(5)), ("g", text(6))];
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().chain(rest).map(|(name, column)| (name, column, true)),
        )
        .expect("columns of one length")
    }

    fn context(batches: Vec<RecordBatch>) -> SessionContext {
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(2))
            .with_physical_optimizer_rule(Arc::new(ByNumbers))
            .build();
        let context = SessionContext::new_with_state(state);
        let schema = batches.first().expect("a batch").schema();
        let (last, before) = batches.split_last().expect("a batch");
        let parts = vec![before.to_vec(), vec![last.clone()]];
        let table = MemTable::try_new(schema, parts).expect("a table");
        context.register_table("t", Arc::new(table)).expect("a table");
        context
    }

    /// How often each group is there, by the engine and by hand.
    async fn compare(rows: Vec<Row>) {
        let context = context(rows.chunks(ROWS).map(batch).collect());
        let asked =
            context.sql("SELECT a, b, n, c, d, e, f, g, count(*), sum(n) FROM t GROUP BY a, b, n, c, d, e, f, g");
        let plan = asked.await.expect("a question").create_physical_plan().await.expect("a plan");
        assert!(displayable(plan.as_ref()).indent(false).to_string().contains("by numbers"));
        let answer = datafusion::physical_plan::collect(plan, context.task_ctx()).await.expect("an answer");
        let mut found: HashMap<Row, (i64, i64)> = HashMap::new();
        for batch in &answer {
            let number = |at: usize, row: usize| batch.column(at).as_primitive::<Int64Type>().value(row);
            let text = |at: usize, row: usize| {
                let column = batch.column(at).as_string_view();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            for row in 0..batch.num_rows() {
                let texts = [0, 1, 3, 4, 5, 6, 7].map(|at| text(at, row));
                let group = found.insert((texts, number(2, row)), (number(8, row), number(9, row)));
                assert!(group.is_none(), "a group twice");
            }
        }
        let mut expected: HashMap<Row, (i64, i64)> = HashMap::new();
        for row in rows {
            let n = row.1;
            let group = expected.entry(row).or_default();
            *group = (group.0 + 1, group.1 + n);
        }
        assert!(found == expected, "{} groups of {}", found.len(), expected.len());
    }

    #[tokio::test]
    async fn groups_are_those_of_the_texts() {
        for kinds in [2, 30] {
            let mut rng = Rng::with_seed(7);
            compare((0..6 * ROWS).map(|number| few(&mut rng, number, kinds)).collect()).await;
        }
    }

    #[tokio::test]
    async fn no_group_is_lost_where_numbers_end() {
        compare((0..8 * ROWS).map(|number| ever_others(number, 1)).collect()).await;
        let to_the_last = ROWS_A_LOOK * (TEXTS + 2 * ROWS);
        compare((0..to_the_last).map(|number| ever_others(number, ROWS_A_LOOK)).collect()).await;
    }

    #[test]
    fn no_text_has_the_number_of_another() {
        let column = |from: usize, to: usize| -> StringViewArray {
            (from..to).map(|number| Some(format!("a text that no view has room for: {number}"))).collect()
        };
        let mut texts = Texts::default();
        let mut keys = vec![0; TEXTS - 1];
        assert!(texts.number(&column(0, TEXTS - 1), &mut keys, 0));
        assert_eq!(keys, (1..TEXTS as u64).collect::<Vec<_>>());
        let mut keys = [0; 4];
        assert!(texts.number(&column(7, 11), &mut keys, 16), "known ones");
        assert_eq!(keys, [8 << 16, 9 << 16, 10 << 16, 11 << 16]);
        assert_eq!(texts.told(&keys, 16), column(7, 11));
        assert!(texts.number(&column(TEXTS, TEXTS + 1), &mut [0], 0), "the last number");
        assert!(!texts.number(&column(TEXTS + 1, TEXTS + 2), &mut [0], 0), "there is none left");
        assert!(texts.are_no_use());
    }
}
