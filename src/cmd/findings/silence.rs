//! `findings silence`, `silences` and `unsilence`: not to be told for a while, in somebody's name.

use std::time::Duration;

use jiff::SignedDuration;

use crate::cmd::{Context, Exit, Failure, Outcome, print, print_json, style};
use crate::config::units;
use crate::core::finding::{Kind, short};
use crate::core::id::AccountId;
use crate::core::printable;
use crate::store::{
    self,
    silences::{self, About, Silence},
};

/// Longer than any maintenance; who wants less than this for ever changes a route.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// Bytes of a name and of a note.
const AUTHOR: usize = 100;
const NOTE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One finding, by the beginning of its id
    id: Option<String>,
    /// Findings of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Findings about this account
    #[arg(long, value_name = "ACCOUNT", value_parser = AccountId::parse)]
    account: Option<AccountId>,
    /// How long, at most 90d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Duration,
    /// Who asks for it
    #[arg(long = "by", value_name = "NAME", env = "USER")]
    author: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        length if (Duration::from_secs(60)..=LONGEST).contains(&length) => Ok(length),
        _ => Err("a silence is 1m to 90d long".to_owned()),
    }
}

pub async fn begin(context: &Context, args: Args) -> Outcome {
    let kind = match &args.kind {
        Some(name) => Some(super::kind_named(name)?),
        None => None,
    };
    if args.id.is_none() && kind.is_none() && args.account.is_none() {
        return Err(Failure::Usage("a silence is about a finding, a --kind or an --account".into()));
    }
    if kind == Some(Kind::AlertsSilenced) {
        return Err(Failure::Usage("that there is a silence is always told".into()));
    }
    let author = args.author.filter(|name| !name.trim().is_empty());
    let author = author.ok_or_else(|| Failure::Usage("say who asks for it: --by NAME".into()))?;
    let finding = match args.id {
        Some(id) => Some(super::find(context, id).await?.1.id),
        None => None,
    };
    let about = About { finding, kind, account: args.account };
    let words = about.in_words();
    let (author, note) = (printable(author.trim(), AUTHOR), printable(&args.note, NOTE));
    let store = super::open(context).await?;
    let until = store.env().now() + SignedDuration::try_from(args.length).unwrap_or(SignedDuration::ZERO);
    let id = store.write(move |tx| silences::begin(tx, &about, &author, &note, until)).await?;
    print(&format!("silence {id}: {words}, until {until:.0}; `trailwarden findings unsilence {id}` ends it\n"))?;
    Ok(Exit::Done)
}

pub async fn list(context: &Context, json: bool, all: bool) -> Outcome {
    let config = context.load_without_secrets()?;
    let found = store::peek(&config.state, move |conn| silences::list(conn, all)).await?;
    if json {
        print_json(&found)?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        print(&(context.paint(style::GOOD, "no silences") + "\n"))?;
    }
    found.iter().try_for_each(|silence| print(&line(context, silence)))?;
    Ok(Exit::Done)
}

fn line(context: &Context, silence: &Silence) -> String {
    let about = match &silence.about.finding {
        Some(id) => silence.about.in_words().replace(id, short(id)),
        None => silence.about.in_words(),
    };
    let ends = match silence.over {
        Some(over) => format!("over since {over:.0}"),
        None => format!("until {:.0}", silence.until),
    };
    let note = if silence.note.is_empty() { String::new() } else { format!(": {}", silence.note) };
    let by = context.paint(style::DIM, format!("by {}{note}", silence.author));
    format!("{:>4}  {about}, {ends}  {by}\n", silence.id)
}

pub async fn end(context: &Context, id: i64) -> Outcome {
    let store = super::open(context).await?;
    let done = store.write(move |tx| silences::end(tx, id)).await?;
    print(if done {
        "it is over: what it held back is told now\n"
    } else {
        "no such silence is in force: nothing changed\n"
    })?;
    Ok(Exit::Done)
}
