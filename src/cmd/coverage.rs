//! `coverage`: which hours of which account and region are proven, out of the ledger.

mod calendar;

use std::io::{self, BufWriter, IntoInnerError, Seek, Write};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde::Serialize;
use tempfile::SpooledTempFile;

use crate::cmd::coverage::calendar::{Calendar, Told};
use crate::cmd::{Context, Exit, Failure, Outcome, moment, whole_seconds};
use crate::core::admit::Membership;
use crate::core::coverage::{Hole, Hour, State, Tally};
use crate::core::id::{AccountId, Region};
use crate::core::shard::Shard;
use crate::core::unit::OuPath;
use crate::env::Env;
use crate::error::Error;
use crate::store::{self, coverage};
use crate::verify::coverage::{Answer, Covered, Matrix, Question};

/// A longer range has more hours than anybody looks at.
const LONGEST: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// Bytes of an answer that are kept in memory; a longer one waits in a file.
const SMALL: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Begin: a time, a date, or a span back such as 7d [default: 30d, or where the ledger's memory begins]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this account, region by region
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only while accounts lie in this unit: its id, its name, or the end of its path (Workloads/Prod)
    #[arg(long, value_name = "UNIT")]
    ou: Option<String>,
    /// Only this region
    #[arg(long)]
    region: Option<Region>,
    /// Only this trail of CloudTrail's, by name
    #[arg(long, value_name = "NAME")]
    trail: Option<String>,
    /// List every hole
    #[arg(long)]
    verbose: bool,
    /// One JSON document, with every hour
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load_without_secrets()?;
    let env = Env::system();
    let time = |text: &Option<String>| text.as_ref().map(|text| moment(text, &env)).transpose();
    let now = whole_seconds(env.now());
    let (from, to) = (time(&args.from)?, time(&args.to)?.map_or(now, |to| to.min(now)));
    if from.is_some_and(|from| from >= to) {
        return Err(Failure::Usage("--from must lie before --to".into()));
    }
    if from.is_some_and(|from| to.duration_since(from) > LONGEST) {
        return Err(Failure::Usage("at most ten years at a time".into()));
    }
    let question = Question {
        from,
        to,
        now,
        grace: SignedDuration::try_from(config.verify.grace).unwrap_or(SignedDuration::ZERO),
        shard: config.shard,
        account: args.account,
        ou: args.ou,
        region: args.region,
        trail: args.trail,
    };
    let color = context.color;
    let told = store::peek(&config.state, move |conn| {
        if !coverage::is_kept(conn)? {
            return Ok(None);
        }
        let tx = conn.unchecked_transaction()?;
        let told = if args.verbose { Told::All } else { Told::Some };
        let sink: Box<dyn Sink> =
            if args.json { Box::new(Document::default()) } else { Box::new(Calendar::new(color, told)) };
        // Whoever reads slowly must not hold the ledger's past.
        let mut text = BufWriter::new(SpooledTempFile::new(SMALL));
        let told = tell(&tx, question, sink, &mut text)?;
        let text = text.into_inner().map_err(IntoInnerError::into_error);
        Ok(Some(told.and_then(|(answer, _)| Ok((answer, text?)))))
    })
    .await?;
    match told {
        Some(told) => Ok(match write(told?)? {
            Answer::Complete => Exit::Done,
            Answer::Holes => Exit::Bad,
            Answer::Unknown => Exit::Unsure,
        }),
        None => {
            Err(Error::permanent("ledger:read", "the ledger is of an older form: `run` brings it up to date").into())
        }
    }
}

fn write((answer, mut text): (Answer, SpooledTempFile)) -> io::Result<Answer> {
    let mut out = io::stdout().lock();
    text.rewind()?;
    io::copy(&mut text, &mut out)?;
    out.flush().map(|()| answer)
}

/// Who is told of each account, as it comes.
trait Sink {
    fn begin(&mut self, matrix: &Matrix, out: &mut dyn Write) -> io::Result<()>;
    fn account(&mut self, matrix: &Matrix, covered: &Covered, out: &mut dyn Write) -> io::Result<()>;
    fn end(&mut self, matrix: &Matrix, total: &Tally, out: &mut dyn Write) -> io::Result<()>;
}

/// One account at a time: nothing of an account is kept but its sums.
fn tell(
    conn: &Connection,
    question: Question,
    mut sink: Box<dyn Sink>,
    out: &mut dyn Write,
) -> rusqlite::Result<io::Result<(Answer, Tally)>> {
    let mut matrix = Matrix::prepare(conn, question)?;
    let mut total = Tally::default();
    let mut told = sink.begin(&matrix, out);
    for account in matrix.accounts() {
        let Some(covered) = matrix.of(conn, account)? else { continue };
        total.merge(&covered.tally);
        told = told.and_then(|()| sink.account(&matrix, &covered, out));
        if told.is_err() {
            break;
        }
    }
    if total.expected == 0 && total.late == 0 {
        matrix.unknown.push("nothing is expected of what was asked for".into());
    }
    let told = told.and_then(|()| sink.end(&matrix, &total, out)).and_then(|()| out.flush());
    Ok(told.map(|()| (matrix.answer(&total), total)))
}

/// What is covered, unit by unit, in a few lines.
pub fn brief(conn: &Connection, question: Question, color: bool) -> rusqlite::Result<io::Result<Brief>> {
    let mut text = Vec::new();
    let told = tell(conn, question, Box::new(Calendar::new(color, Told::Brief)), &mut text)?;
    Ok(told.map(|(answer, total)| Brief { answer, total, text: String::from_utf8_lossy(&text).into_owned() }))
}

#[derive(Serialize)]
pub struct Brief {
    pub answer: Answer,
    pub total: Tally,
    #[serde(skip)]
    pub text: String,
}

/// JSON, written account by account.
#[derive(Default)]
struct Document {
    accounts: usize,
}

#[derive(Serialize)]
struct Head {
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    grace_seconds: i64,
    /// Of which accounts; left out where one warden has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
}

#[derive(Serialize)]
struct Entry<'a> {
    account: AccountId,
    name: &'a str,
    ou: &'a OuPath,
    member: bool,
    left: Option<Timestamp>,
    #[serde(flatten)]
    tally: &'a Tally,
    regions: Vec<Row<'a>>,
    holes: &'a [Hole],
}

#[derive(Serialize)]
struct Row<'a> {
    region: &'a Region,
    /// A letter for each hour.
    hours: String,
    /// The same for whether it is expected.
    expected: String,
}

impl<'a> Row<'a> {
    fn of((region, hours): (&'a Region, &[Hour])) -> Self {
        let expected = |hour: &Hour| if hour.expected { 'x' } else { State::Nothing.letter() };
        Self {
            region,
            hours: hours.iter().map(|hour| hour.state.letter()).collect(),
            expected: hours.iter().map(expected).collect(),
        }
    }
}

#[derive(Serialize)]
struct Tail<'a> {
    total: &'a Tally,
    unknown: &'a [String],
    answer: Answer,
}

impl Sink for Document {
    fn begin(&mut self, matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
        let time = |second| Timestamp::from_second(second).unwrap_or_default();
        let frame = &matrix.frame;
        let (from, to) = (time(frame.from), time(frame.end()));
        let shard = Some(matrix.shard()).filter(|shard| !shard.is_whole());
        let head = Head { from, to, now: time(frame.now), grace_seconds: frame.grace, shard };
        let head = serde_json::to_string(&head)?;
        write!(out, "{},\n\"accounts\": [", head.strip_suffix('}').unwrap_or(&head))
    }

    fn account(&mut self, _: &Matrix, covered: &Covered, out: &mut dyn Write) -> io::Result<()> {
        self.accounts += 1;
        let left = match covered.membership {
            Membership::Departed(left) => Some(left),
            _ => None,
        };
        out.write_all(if self.accounts == 1 { b"\n" } else { b",\n" })?;
        let entry = Entry {
            account: covered.account,
            name: &covered.name,
            ou: &covered.ou,
            member: covered.membership == Membership::Member,
            left,
            tally: &covered.tally,
            regions: covered.regions.iter().map(|(region, hours)| Row::of((region, hours))).collect(),
            holes: &covered.holes,
        };
        Ok(serde_json::to_writer(out, &entry)?)
    }

    fn end(&mut self, matrix: &Matrix, total: &Tally, out: &mut dyn Write) -> io::Result<()> {
        let tail = Tail { total, unknown: &matrix.unknown, answer: matrix.answer(total) };
        let tail = serde_json::to_string(&tail)?;
        writeln!(out, "\n],\n{}", tail.trim_start_matches('{'))
    }
}

#[cfg(test)]
mod tests;
