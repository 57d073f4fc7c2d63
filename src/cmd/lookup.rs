//! `lookup`: who did what, when. LookupEvents' questions and some more, to the archive of any age or to raw logs.

mod archived;
mod print;
pub mod raw;
pub mod told;

use clap::{ArgAction, ValueEnum, builder::NonEmptyStringValueParser};

use crate::cmd::{Context, Failure, Outcome, moment};
use crate::core::id::Region;
use crate::core::lookup::{Attribute, Question};
use crate::env::Env;
use crate::store::{self, members};

/// Bytes of records that an answer is gathered of, at most.
const MOST: usize = 64 << 20;
/// Batches of hits that wait to be printed.
const AHEAD: usize = 4;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Not before: a time, a date, or a span back such as 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// So many, the newest
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// All of them, as they are found: file by file, the newest day first
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print what matches as it comes into the archive, until interrupted; the newest stands last
    #[arg(long, conflicts_with_all = ["raw", "all"])]
    follow: bool,
    /// Not the archive: logs as CloudTrail delivered them, in a directory, a file, or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    raw: Option<String>,
    /// The region of that bucket [default: the first trail's]
    #[arg(long, value_name = "REGION", requires = "raw")]
    raw_region: Option<Region>,
    /// Say on stderr what was looked at, and what could be left out
    #[arg(long)]
    explain: bool,
}

const AFTER: &str = "Values are compared whole and case by case. An option that is given twice asks for either value; different \
options must all fit.";

/// What is asked for.
#[derive(Debug, clap::Args)]
struct Asked {
    /// Of this event: eventID
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    event_id: Vec<String>,
    /// eventName, such as RunInstances
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    event: Vec<String>,
    /// eventSource, such as ec2.amazonaws.com
    #[arg(long, value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    source: Vec<String>,
    /// Who: the name of a user, role or session, an ARN of either, a principal id, a source identity, a service, or root
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    user: Vec<String>,
    /// To what: a resource's ARN or its name, or any string in the request or the answer
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    resource: Vec<String>,
    /// Such as AWS::S3::Bucket
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    resource_type: Vec<String>,
    /// userIdentity.accessKeyId
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    access_key: Vec<String>,
    /// recipientAccountId
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    account: Vec<String>,
    /// Accounts that lie in this unit, by its id, its name, or the end of the path to it
    #[arg(long, value_name = "UNIT", value_parser = NonEmptyStringValueParser::new())]
    ou: Vec<String>,
    /// awsRegion
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    region: Vec<String>,
    /// sourceIPAddress
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    source_ip: Vec<String>,
    /// errorCode, such as AccessDenied
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    error_code: Vec<String>,
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    read_only: Option<bool>,
    /// A text anywhere in the record as it is written, in any case; if given twice, both
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    text: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    /// The records as they were written, one a line
    Json,
    Csv,
    /// One document as LookupEvents answers
    Aws,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let env = Env::system();
    if args.follow && args.format == Format::Aws {
        return Err(Failure::Usage("--follow never ends, and --format aws is one document: take json".into()));
    }
    let question = question(context, &args, &env).await?;
    match &args.raw {
        Some(place) => raw::run(context, &args, place, question).await,
        None => archived::run(context, &args, question, &env).await,
    }
}

async fn question(context: &Context, args: &Args, env: &Env) -> Result<Question, Failure> {
    let mut question = Question::default();
    if let Some(from) = &args.from {
        question.from = Some(moment(from, env)?.as_second());
    }
    if let Some(to) = &args.to {
        question.to = Some(moment(to, env)?.as_second());
    }
    if question.from.zip(question.to).is_some_and(|(from, to)| from >= to) {
        return Err(Failure::Usage("--from must lie before --to".into()));
    }
    let asked = &args.asked;
    let read_only: Vec<String> = asked.read_only.iter().map(bool::to_string).collect();
    for (attribute, values) in [
        (Attribute::EventId, &asked.event_id),
        (Attribute::AccessKey, &asked.access_key),
        (Attribute::Event, &asked.event),
        (Attribute::Source, &asked.source),
        (Attribute::User, &asked.user),
        (Attribute::Resource, &asked.resource),
        (Attribute::ResourceType, &asked.resource_type),
        (Attribute::Account, &asked.account),
        (Attribute::Region, &asked.region),
        (Attribute::SourceAddress, &asked.source_ip),
        (Attribute::ErrorCode, &asked.error_code),
        (Attribute::ReadOnly, &read_only),
    ] {
        if !values.is_empty() {
            question.ask(attribute, values);
        }
    }
    if !asked.ou.is_empty() {
        question.ask(Attribute::Account, &accounts_in(context, &asked.ou).await?);
    }
    for text in &asked.text {
        if !question.search(text) {
            return Err(Failure::Usage("that text is too long to be searched for".into()));
        }
    }
    Ok(question)
}

/// The accounts that lie in any of the units, or did when they were last seen.
async fn accounts_in(context: &Context, units: &[String]) -> Result<Vec<String>, Failure> {
    let config = context.load_without_secrets()?;
    let members = store::peek(&config.state, members::all).await?;
    let inside = members.values().filter(|known| units.iter().any(|unit| known.member.ou.is_in(unit)));
    let accounts: Vec<String> = inside.map(|known| known.member.account.to_string()).collect();
    if accounts.is_empty() {
        return Err(Failure::Usage(format!("the ledger knows no account in {}", units.join(" or "))));
    }
    Ok(accounts)
}
