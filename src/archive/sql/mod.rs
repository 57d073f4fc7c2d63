//! Questions in SQL to the archive, or to raw logs: one statement that only reads, within bounds of memory, disk and threads.
//!
//! The engine is DataFusion, and nothing outside of this folder names it. It is given one table and no way to anything else: no
//! statement that writes or sets, no file formats, no object store but an empty one. Files are read through [`super::Place`].

mod fault;
mod files;
mod functions;
mod json;
mod lateral;
mod numbers;
pub mod print;
mod raw;
mod table;
mod time;

use std::collections::HashSet;
use std::iter;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::datasource::TableProvider;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::object_store::memory::InMemory;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures_util::StreamExt;

pub use fault::Fault;
pub use files::ArchiveTable;
pub use raw::RawTable;
pub use table::{Verdicts, Window};

/// The table's names: our own, and the one that AWS's published queries have.
pub const NAMES: [&str; 2] = ["cloudtrail", "cloudtrail_logs"];
/// Consumers of memory that an error names.
const NAMED: usize = 3;
/// How deep a question may nest, and how many operators and keywords it may have: each is a step deeper, too.
const DEPTH: usize = 60;
const STEPS: usize = 800;
/// What a thread needs that answers so deep a question.
pub const STACK: usize = 64 << 20;

/// What a question may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of memory for rows on their way; what sorts and groups need beyond it goes to the disk.
    pub memory: usize,
    /// Bytes on the disk.
    pub spill: u64,
    /// Where those lie.
    pub scratch: PathBuf,
}

/// How far a question is, and what was left out: for whoever waits, and for whoever asks why it took so long.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Bytes that were read, and that all files have which may hold an answer.
    pub read: AtomicU64,
    pub bytes: AtomicU64,
    pub files: AtomicU64,
    /// Of all files, those left out by their date.
    pub files_out: AtomicU64,
}

impl Scanned {
    fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    /// The question is asked once more.
    pub fn begin_again(&self) {
        for counter in [&self.read, &self.bytes, &self.files, &self.files_out] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// How often it is looked whether the parts of an answer have ended, and how many times at most.
const SETTLE: Duration = Duration::from_millis(5);
const SETTLES: u32 = 1_000;

pub struct Engine {
    context: SessionContext,
}

/// Rows on their way, as they are found.
pub struct Answer {
    /// With the names that people expect.
    schema: SchemaRef,
    rows: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
}

impl Engine {
    /// An engine over one table, which has whole records and verdicts besides its columns.
    pub fn new(
        limits: &Limits,
        files: Arc<dyn TableProvider>,
        verdicts: Verdicts,
        window: Window,
    ) -> Result<Self, Fault> {
        let pool = FairSpillPool::new(limits.memory);
        let consumers = std::num::NonZeroUsize::new(NAMED).unwrap_or(std::num::NonZeroUsize::MIN);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![limits.scratch.clone()]))
            .with_max_temp_directory_size(limits.spill);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, consumers)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        runtime.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
        runtime.register_object_store(files::nowhere()?.as_ref(), Arc::new(InMemory::new()));
        let state = SessionStateBuilder::new_with_default_features()
            .with_table_factories(Default::default())
            .with_file_formats(Vec::new())
            .with_config(config(limits))
            .with_runtime_env(runtime.clone())
            .with_physical_optimizer_rule(Arc::new(numbers::ByNumbers))
            .build();
        let context = SessionContext::new_with_state(state);
        context.add_analyzer_rule(Arc::new(lateral::Lateral));
        functions::register(&context);
        let table = table::view(&context, files, verdicts, window, &runtime.memory_pool)?;
        for name in NAMES {
            context.register_table(name, table.clone())?;
        }
        Ok(Self { context })
    }

    /// Waits until nothing is left of an answer that was given up: its parts end one after the other, and have their memory until
    /// then.
    pub async fn settle(&self) {
        let pool = self.context.runtime_env().memory_pool.clone();
        for _ in 0..SETTLES {
            if pool.reserved() == 0 {
                return;
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Begins to answer a question, in so many parts at a time. Parameters are bound as texts: they never become SQL.
    pub async fn ask(&self, sql: &str, parameters: &[(String, String)], parts: usize) -> Result<Answer, Fault> {
        let mut statement = parse(sql)?;
        bind(&mut statement, parameters)?;
        let mut state: SessionState = self.context.state();
        state.config_mut().options_mut().execution.target_partitions = parts.max(1);
        let plan = state.statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        let plan = state.create_physical_plan(&plan).await?;
        let rows = execute_stream(plan.clone(), state.task_ctx())?;
        Ok(Answer { schema: named(&plan.schema()), rows, plan })
    }
}

impl Answer {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` is the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Fault>> {
        let batch = self.rows.next().await?.map_err(Fault::from);
        let named = |batch: RecordBatch| {
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &rows)
                .map_err(|error| Fault::broken(&error.to_string()))
        };
        Some(batch.and_then(named))
    }

    /// What was looked at so far, as lines.
    pub fn effort(&self, scanned: &Scanned) -> Vec<String> {
        files::effort(&self.plan, scanned)
    }
}

/// A part of a struct is called what it is called there, or by its whole path where two would have one name; the engine calls
/// it `table.column[part]`. Of other columns with one name the second is `name_2`.
fn named(schema: &SchemaRef) -> SchemaRef {
    let parts = |name: &str| -> Option<Vec<String>> {
        let path = name.strip_suffix(']')?.replace("][", ".").replace('[', ".");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        path.chars().all(is_plain).then(|| path.split('.').map(str::to_owned).collect())
    };
    let short = |name: &String| parts(name).and_then(|parts| parts.last().cloned()).unwrap_or_else(|| name.clone());
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let shorts: Vec<String> = names.iter().map(|name| short(name)).collect();
    let mut fields: Vec<Field> = Vec::with_capacity(names.len());
    for ((field, name), short) in schema.fields().iter().zip(&names).zip(&shorts) {
        let is_one = shorts.iter().filter(|other| *other == short).count() == 1;
        let whole = parts(name).filter(|_| !is_one).map_or_else(|| short.clone(), |parts| parts.join("."));
        let is_free = |name: &String| fields.iter().all(|field| field.name() != name);
        let name =
            iter::once(whole.clone()).chain((2..).map(|n| format!("{whole}_{n}"))).find(is_free).unwrap_or(whole);
        fields.push(field.as_ref().clone().with_name(name));
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn config(limits: &Limits) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_parquet_pruning(true)
        .with_parquet_bloom_filter_pruning(true)
        .with_parquet_page_index_pruning(true);
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    options.sql_parser.collect_spans = true;
    // a sort may use what is left for its merge, not what it would like to have
    options.execution.sort_spill_reservation_bytes = limits.memory / 16;
    config
}

/// The one statement of a text, if it only reads.
fn parse(sql: &str) -> Result<Statement, Fault> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| Fault::Usage(fault::said(&error.to_string())))?;
    if tokens.iter().filter(|token| is_step(&token.token)).count() > STEPS {
        return Err(Fault::Usage("the question is too long: lists of values belong into IN (…)".into()));
    }
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(DEPTH)
        .build()?
        .parse_statements()?;
    let statement = statements.pop_front().ok_or_else(|| Fault::Usage("there is no statement".into()))?;
    if !statements.is_empty() {
        return Err(Fault::Usage("one statement at a time".into()));
    }
    if reads(&statement) {
        return Ok(statement);
    }
    Err(Fault::Usage("only questions are answered here: SELECT, WITH, EXPLAIN, SHOW TABLES, DESCRIBE".into()))
}

/// Puts values in the places of parameters: into what was parsed, where they cannot become anything but values.
fn bind(statement: &mut Statement, parameters: &[(String, String)]) -> Result<(), Fault> {
    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explained) => return bind(&mut explained.statement, parameters),
        _ => return Ok(()),
    };
    let (mut used, mut unknown) = (HashSet::new(), None);
    let _ = ast::visit_expressions_mut(statement, |expr| {
        if let ast::Expr::Value(place) = expr
            && let ast::Value::Placeholder(name) = &place.value
        {
            let given = parameters.iter().find(|(known, _)| name.strip_prefix('$') == Some(known.as_str()));
            match given {
                Some((name, value)) => {
                    used.insert(name);
                    place.value = ast::Value::SingleQuotedString(value.clone());
                }
                None => unknown = Some(name.clone()),
            }
        }
        ControlFlow::<()>::Continue(())
    });
    if let Some(name) = unknown {
        return Err(Fault::Usage(format!("{name} has no value: --param NAME=VALUE")));
    }
    match parameters.iter().find(|(name, _)| !used.contains(name)) {
        Some((name, _)) => Err(Fault::Usage(format!("there is no ${name} in the question"))),
        None => Ok(()),
    }
}

/// Whether a word or sign may make the question deeper; values, names and commas make it wider.
fn is_step(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_) | Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::EOF => false,
        _ => true,
    }
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explained) => reads(&explained.statement),
        Statement::Statement(statement) => matches!(
            **statement,
            ast::Statement::Query(_)
                | ast::Statement::ShowTables { .. }
                | ast::Statement::ShowColumns { .. }
                | ast::Statement::ShowFunctions { .. }
                | ast::Statement::ExplainTable { .. }
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;

    use super::*;

    #[test]
    fn columns_have_the_names_that_people_expect() {
        let of = |names: &[&str]| {
            let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Null, true)).collect();
            let named = named(&Arc::new(Schema::new(fields)));
            named.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["eventname", "cloudtrail.useridentity[arn]", "count(*)"]), ["eventname", "arn", "count(*)"]);
        let two = ["t.useridentity[arn]", "t.useridentity[sessioncontext][sessionissuer][arn]", "n"];
        assert_eq!(of(&two), ["t.useridentity.arn", "t.useridentity.sessioncontext.sessionissuer.arn", "n"]);
        assert_eq!(of(&["eventid", "eventid", "eventid"]), ["eventid", "eventid_2", "eventid_3"]);
        assert_eq!(of(&["f(x[1])", "a b[c]"]), ["f(x[1])", "a b[c]"]);
    }

    #[test]
    fn what_makes_a_question_wide_is_not_what_makes_it_deep() {
        let ask = |sql: String| parse(&sql).is_ok();
        assert!(ask(format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 20_000].join(","))));
        assert!(!ask(format!("SELECT {}", vec!["1"; 2_000].join("+"))));
        assert!(!ask(format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500))));
        assert!(!ask(vec!["SELECT 1"; 500].join(" UNION ALL ")));
    }
}
