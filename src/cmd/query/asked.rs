//! `query`, where the program has an engine for it.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use indicatif::ProgressBar;
use tempfile::{NamedTempFile, TempDir};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, block_in_place};

use super::{Args, Format, saved};
use crate::archive::lookup::overlaps;
use crate::archive::raw::Effort;
use crate::archive::sql::print::{self, Printer};
use crate::archive::sql::{Answer, ArchiveTable, Engine, Fault, Limits, RawTable, STACK, Scanned, Verdicts, Window};
use crate::cmd::archive::bar;
use crate::cmd::lookup::told::Told;
use crate::cmd::{self, Context, Exit, Failure, Outcome, complain, moment, plural};
use crate::config::Config;
use crate::core::lookup::Question;
use crate::core::printable;
use crate::env::Env;
use crate::error::Error;
use crate::store::{self, archive};
use crate::wiring;

/// Rows that a table has at most where nothing else is said.
const OF_TABLE: u64 = 1_000;
/// What folders of rows that memory has no room for are called, and the file in each that is locked while somebody asks.
const SCRATCH: &str = ".trailwarden-query-";
const LOCK: &str = "lock";
/// The engine's threads.
const WORKER: &str = "query";
/// Batches of rows that wait to be printed.
const AHEAD: usize = 2;

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Usage(text) => Self::Usage(text),
            Fault::Memory(text) | Fault::Disk(text) => Self::Warden(Error::permanent("query", text)),
            Fault::Read(error) => Self::Warden(error),
        }
    }
}

/// Who is asked, and how far he is.
struct Asked {
    engine: Engine,
    scanned: Arc<Scanned>,
}

/// What is asked.
struct Source {
    asked: Asked,
    told: Told,
    /// What was read of raw logs.
    effort: Option<Arc<Mutex<Effort>>>,
    _scratch: Scratch,
}

/// What the engine gives, in this order: how rows look, once; then rows.
enum Given {
    Columns(SchemaRef),
    Rows(RecordBatch),
}

type Asking = (mpsc::Receiver<Given>, Option<JoinHandle<Result<Vec<String>, Fault>>>);

pub async fn run(context: &Context, args: &Args) -> Outcome {
    if args.list {
        cmd::print(&saved::list())?;
        return Ok(Exit::Done);
    }
    if args.format == Format::Parquet && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage("a terminal cannot show Parquet: say --output FILE".into()));
    }
    let (sql, values) = question(args)?;
    let env = Env::system();
    let seconds = |text: &Option<String>| -> Result<Option<i64>, Failure> {
        Ok(text.as_deref().map(|text| moment(text, &env)).transpose()?.map(|time| time.as_second()))
    };
    let window = Window { from: seconds(&args.from)?, to: seconds(&args.to)? };
    if window.from.zip(window.to).is_some_and(|(from, to)| from >= to) {
        return Err(Failure::Usage("--from must lie before --to".into()));
    }
    let source = match &args.raw {
        Some(place) => raw(context, args, place, window).await?,
        None => archived(context, args, window, &env).await?,
    };
    answer(context, args, source, (sql, values)).await
}

/// The text of the question, and values for its parameters.
fn question(args: &Args) -> Result<(String, Vec<(String, String)>), Failure> {
    if let Some(name) = &args.saved {
        return saved::find(name, &args.params).map_err(Failure::Usage);
    }
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) if file == Path::new("-") => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql)?;
            sql
        }
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?
        }
        (None, None) => return Err(Failure::Usage("there is no question".into())),
    };
    Ok((sql, args.params.clone()))
}

/// The archive, as the ledger knows it before the first row is read.
async fn archived(context: &Context, args: &Args, window: Window, env: &Env) -> Result<Source, Failure> {
    let config = context.load_without_secrets()?;
    let wanted = config.archive.as_ref().ok_or_else(cmd::archive::nowhere)?;
    let place = wiring::archive_reader(&config, wanted, env).await?;
    let view = store::peek(&config.state, archive::view).await?;
    let asked = Question { from: window.from, to: window.to, ..Question::default() };
    let mut told = Told::of(&view.horizon, &asked);
    if !config.shard.is_whole() {
        told.note(format!(
            "this is shard {}: records of the others' accounts are in their wardens' archives",
            config.shard
        ));
    }
    let files = view.files.into_iter().filter(|file| overlaps(&asked, file)).collect();
    let scanned = Arc::<Scanned>::default();
    let scratch = Scratch::new(config.state.parent())?;
    let table = ArchiveTable::new(place, files, scanned.clone());
    let engine = Engine::new(&limits(args, scratch.dir.path()), Arc::new(table), verdicts(&config), window)?;
    Ok(Source { asked: Asked { engine, scanned }, told, effort: None, _scratch: scratch })
}

/// Raw logs, of which no ledger knows anything.
async fn raw(context: &Context, args: &Args, place: &str, window: Window) -> Result<Source, Failure> {
    // forensics need no warden
    let config = if context.config.exists() { Some(context.load_without_secrets()?) } else { None };
    let asked = Question { from: window.from, to: window.to, ..Question::default() };
    let raw = cmd::lookup::raw::open(config.as_ref(), place, args.raw_region.as_ref(), asked).await?;
    let (scanned, effort) = (Arc::<Scanned>::default(), Arc::<Mutex<Effort>>::default());
    let scratch = Scratch::new(None)?;
    let table = RawTable::new(raw, scanned.clone(), effort.clone());
    let unchecked =
        Verdicts { ask: Box::new(|logs: &[(String, String)]| Ok(vec!["unchecked"; logs.len()])), without: "unchecked" };
    let engine = Engine::new(&limits(args, scratch.dir.path()), Arc::new(table), unchecked, window)?;
    Ok(Source { asked: Asked { engine, scanned }, told: Told::default(), effort: Some(effort), _scratch: scratch })
}

/// What the ledger says of logs by now.
fn verdicts(config: &Config) -> Verdicts {
    let state = config.state.clone();
    let ask = move |logs: &[(String, String)]| {
        let (state, logs) = (state.clone(), logs.to_vec());
        let look = store::peek(&state, move |conn| archive::integrity(conn, &logs));
        let known = block_in_place(|| Handle::current().block_on(look))?;
        Ok(known.into_iter().map(|known| known.map_or("unknown", archive::Integrity::name)).collect())
    };
    Verdicts { ask: Box::new(ask), without: "imported" }
}

fn threads(args: &Args) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    args.threads.unwrap_or_else(processors).clamp(1, 256)
}

fn limits(args: &Args, scratch: &Path) -> Limits {
    Limits {
        memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
        spill: room(scratch).map_or(args.spill, |room| args.spill.min(room / 2)),
        scratch: scratch.to_owned(),
    }
}

/// Bytes that are free where the scratch lies: the ledger beside it needs some.
fn room(scratch: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(scratch).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Where rows lie that memory has no room for; gone with this.
struct Scratch {
    dir: TempDir,
    /// Held as long as somebody asks.
    _lock: File,
}

impl Scratch {
    /// Beside the ledger, where the room is; where whoever asks may not write there, where temporary files lie.
    fn new(beside: Option<&Path>) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(SCRATCH);
        let beside = beside.filter(|folder| !folder.as_os_str().is_empty());
        beside.into_iter().for_each(sweep);
        let dir = beside.and_then(|folder| builder.tempdir_in(folder).ok()).map_or_else(|| builder.tempdir(), Ok)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { dir, _lock: lock })
    }
}

/// Removes what questions left behind that were killed.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_scratch = entry.file_name().to_string_lossy().starts_with(SCRATCH);
        let lock = is_scratch.then(|| File::open(entry.path().join(LOCK)).ok()).flatten();
        if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
            // somebody else's, if it stays
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What the engine cannot bear is told as an error, not as a trace.
fn hush() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(WORKER) {
            told(panic);
        }
    }));
}

/// Where the answer goes.
enum Sink {
    Stdout(io::BufWriter<io::Stdout>),
    File(io::BufWriter<NamedTempFile>, PathBuf),
}

impl Sink {
    fn open(output: Option<&Path>) -> io::Result<Self> {
        let Some(path) = output else { return Ok(Self::Stdout(io::BufWriter::new(io::stdout()))) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self::File(io::BufWriter::new(NamedTempFile::new_in(folder)?), path.to_owned()))
    }

    /// A file is in its place once the answer is whole.
    fn close(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::File(file, path) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.persist(path).map(|_| ()).map_err(|error| error.error)
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}

/// Threads of the engine's own: deep questions need room, and busy ones do not keep an interruption waiting.
struct Workers(Option<Runtime>);

impl Workers {
    fn start(threads: usize) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name(WORKER).thread_stack_size(STACK).enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    /// Asks in a task of its own, so that a fault of the engine's ends nothing but the question.
    fn ask(&self, asked: (String, Vec<(String, String)>), threads: usize, source: Asked) -> Asking {
        let (give, given) = mpsc::channel(AHEAD);
        let asking = async move {
            let Asked { engine, scanned } = source;
            let mut is_begun = false;
            let mut answered = give_all(&engine, &asked, threads, &give, &mut is_begun).await;
            // each part of an answer needs memory of its own
            if threads > 1 && !is_begun && matches!(answered, Err(Fault::Memory(_))) {
                engine.settle().await;
                scanned.begin_again();
                answered = give_all(&engine, &asked, 1, &give, &mut is_begun).await;
            }
            Ok(answered?.effort(&scanned))
        };
        (given, self.0.as_ref().map(|runtime| runtime.spawn(asking)))
    }
}

/// Gives all rows of an answer, until nobody takes any more.
async fn give_all(
    engine: &Engine,
    (sql, parameters): &(String, Vec<(String, String)>),
    parts: usize,
    give: &mpsc::Sender<Given>,
    is_begun: &mut bool,
) -> Result<Answer, Fault> {
    let mut answer = engine.ask(sql, parameters, parts).await?;
    let mut goes_on = true;
    while goes_on {
        let next = tokio::select! {
            next = answer.next() => next.transpose()?,
            () = give.closed() => break,
        };
        if !std::mem::replace(is_begun, true) {
            goes_on = give.send(Given::Columns(answer.schema().clone())).await.is_ok();
        }
        let Some(batch) = next else { break };
        goes_on = goes_on && give.send(Given::Rows(batch)).await.is_ok();
    }
    Ok(answer)
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn answer(context: &Context, args: &Args, source: Source, question: (String, Vec<(String, String)>)) -> Outcome {
    let Source { asked, mut told, effort, _scratch } = source;
    hush();
    let threads = threads(args);
    let workers = Workers::start(threads)?;
    let bar = progress(context, &asked.scanned);
    let (mut given, asking) = workers.ask(question, threads, asked);
    let limit = args.limit.unwrap_or(if args.format == Format::Table { OF_TABLE } else { u64::MAX });
    let mut out = Out { args, printer: None, rows: 0, limit };
    let ended = tokio::select! {
        taken = out.take(&mut given) => taken.map(|()| true)?,
        () = tokio::time::sleep(args.timeout) => {
            return Err(Failure::Warden(Error::permanent("query", "it took longer than --timeout allows")));
        }
        () = cmd::interrupted() => false,
    };
    bar.iter().for_each(ProgressBar::finish_and_clear);
    drop(given);
    if ended {
        let lines = match futures_util::future::OptionFuture::from(asking).await {
            Some(Ok(lines)) => lines?,
            Some(Err(error)) => return Err(Fault::broken(&error.to_string()).into()),
            None => Vec::new(),
        };
        if args.explain {
            lines.iter().for_each(|line| complain(line));
        }
    } else {
        told.interrupted();
    }
    if let Some(effort) = effort {
        cmd::lookup::raw::tell(&effort.lock().unwrap_or_else(PoisonError::into_inner), &mut told);
    }
    out.end(&mut told)?;
    Ok(told.exit())
}

/// Rows on their way to where they are wanted.
struct Out<'a> {
    args: &'a Args,
    printer: Option<Printer<Sink>>,
    rows: u64,
    limit: u64,
}

impl Out<'_> {
    async fn take(&mut self, given: &mut mpsc::Receiver<Given>) -> Result<(), Failure> {
        while let Some(next) = given.recv().await {
            match next {
                Given::Columns(schema) => {
                    let format = match self.args.format {
                        Format::Table => print::Format::Table,
                        Format::Json => print::Format::Json,
                        Format::Csv => print::Format::Csv,
                        Format::Parquet => print::Format::Parquet,
                    };
                    let sink = Sink::open(self.args.output.as_deref())?;
                    let is_watched = self.args.output.is_none() && io::stdout().is_terminal();
                    self.printer = Some(Printer::new(format, schema, sink, is_watched)?);
                }
                Given::Rows(batch) => {
                    let room = usize::try_from(self.limit - self.rows).unwrap_or(usize::MAX);
                    let batch = batch.slice(0, batch.num_rows().min(room));
                    self.rows += batch.num_rows() as u64;
                    if let Some(printer) = &mut self.printer {
                        printer.print(&batch)?;
                    }
                    if self.rows >= self.limit {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends what was printed, and says up to where it reaches.
    fn end(self, told: &mut Told) -> Result<(), Failure> {
        if self.rows >= self.limit {
            told.note("there may be more rows: --limit".into());
        }
        let of_table = self.args.format == Format::Table && self.args.output.is_none();
        if let Some(printer) = self.printer {
            // half an answer is no file
            if !(told.is_interrupted && self.args.output.is_some()) {
                printer.end()?.close()?;
            }
        }
        let first = plural(self.rows, "row");
        for line in std::iter::once(&first).chain(&told.notes) {
            let line = printable(line, 600);
            if of_table { cmd::print(&format!("{line}\n"))? } else { complain(&line) }
        }
        Ok(())
    }
}

fn progress(context: &Context, scanned: &Arc<Scanned>) -> Option<ProgressBar> {
    let bar = bar(context, "query {bar:30} {bytes} of {total_bytes}")?;
    let (watched, scanned) = (bar.clone(), scanned.clone());
    tokio::spawn(async move {
        while !watched.is_finished() {
            watched.set_length(scanned.bytes.load(Ordering::Relaxed));
            watched.set_position(scanned.read.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Some(bar)
}
