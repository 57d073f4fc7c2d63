//! `query`: SQL over the archive, or over raw logs.

#[cfg(feature = "sql")]
mod asked;
#[cfg(feature = "sql")]
mod saved;

use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum};

use crate::cmd::{Context, Outcome};
use crate::config::units;
use crate::core::id::Region;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER, group(ArgGroup::new("what").required(true)))]
#[cfg_attr(not(feature = "sql"), allow(dead_code, reason = "read where there is an engine"))]
pub struct Args {
    /// The question: one SELECT or WITH, EXPLAIN, SHOW TABLES or DESCRIBE
    #[arg(value_name = "SQL", group = "what")]
    sql: Option<String>,
    /// A file that it stands in; - is stdin
    #[arg(long, short, value_name = "FILE", group = "what")]
    file: Option<PathBuf>,
    /// A question that comes with the program
    #[arg(long, value_name = "NAME", group = "what")]
    saved: Option<String>,
    /// Print the questions that come with the program, and what they want to know
    #[arg(long, group = "what")]
    list: bool,
    /// A value for $NAME in the question; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Not before: a time, a date, or a span back such as 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// So many rows at most [default: 1000 in a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Into this file, which is there once it is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Not the archive: logs as CloudTrail delivered them, in a directory, a file, or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    raw: Option<String>,
    /// The region of that bucket [default: the first trail's]
    #[arg(long, value_name = "REGION", requires = "raw")]
    raw_region: Option<Region>,
    /// Memory for rows on their way; sorting and grouping go on on the disk
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = units::size)]
    memory: u64,
    /// Room on the disk for that
    #[arg(long, value_name = "SIZE", default_value = "20GiB", value_parser = units::size)]
    spill: u64,
    /// Give up after this long
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = units::duration)]
    timeout: std::time::Duration,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Say on stderr what was looked at, and what could be left out
    #[arg(long)]
    explain: bool,
}

const AFTER: &str =
    "The table is `cloudtrail`, also as `cloudtrail_logs`. Nothing can be written or set, and nothing else be read.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    /// One object a line
    Json,
    Csv,
    Parquet,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(feature = "sql")]
pub async fn run(context: &Context, args: Args) -> Outcome {
    asked::run(context, &args).await
}

#[cfg(not(feature = "sql"))]
pub async fn run(_context: &Context, _args: Args) -> Outcome {
    Err(crate::cmd::Failure::Usage(
        "this build has no SQL engine: install a package, or build it with `cargo build --release --features sql`"
            .into(),
    ))
}
