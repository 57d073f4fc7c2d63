//! `findings`: list, show, acknowledge, resolve, silence, and the table of kinds.

mod silence;

use clap::Subcommand;

use crate::cmd::{Context, Exit, Failure, Outcome, print, print_json, style};
use crate::core::finding::{Held, Kind, Severity, State, short};
use crate::core::printable;
use crate::env::Env;
use crate::store::{self, Store, findings};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// One JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Open and acknowledged findings, the worst first
    List {
        /// Resolved ones too
        #[arg(long)]
        all: bool,
        /// Only this kind
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
    },
    /// One finding with its evidence, meaning and what to do
    Show { id: String },
    /// Say that somebody is on it: it is not repeated any more
    Ack {
        id: String,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Say that it is over: what happens again is told as new. The warden resolves by itself what it can see ending
    Resolve {
        id: String,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Not to be told for a while: of one finding, of a kind, of an account. What is still open then is told when it ends
    Silence(silence::Args),
    /// Silences in force: of what, until when, by whom and why
    Silences {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
    },
    /// End a silence before its time
    Unsilence {
        /// Its number
        id: i64,
    },
    /// Every kind of finding
    Kinds,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    match args.verb.unwrap_or(Verb::List { all: false, kind: None }) {
        Verb::List { all, kind } => list(context, args.json, all, kind).await,
        Verb::Show { id } => show(context, args.json, id).await,
        Verb::Ack { id, note } => acknowledge(context, id, note).await,
        Verb::Resolve { id, note } => resolve(context, id, note).await,
        Verb::Silence(args) => silence::begin(context, args).await,
        Verb::Silences { all } => silence::list(context, args.json, all).await,
        Verb::Unsilence { id } => silence::end(context, id).await,
        Verb::Kinds => kinds(context, args.json),
    }
}

async fn list(context: &Context, json: bool, all: bool, kind: Option<String>) -> Outcome {
    let kind = match kind {
        Some(name) => Some(kind_named(&name)?),
        None => None,
    };
    let config = context.load_without_secrets()?;
    let mut held = store::peek(&config.state, move |conn| findings::list(conn, all)).await?;
    held.retain(|held| kind.is_none_or(|kind| held.kind == kind));
    if json {
        print_json(&held)?;
    } else {
        print(&table(context, &held))?;
    }
    Ok(Exit::Done)
}

fn kind_named(name: &str) -> Result<Kind, Failure> {
    Kind::parse(name).ok_or_else(|| Failure::Usage(format!("`{name}` is no kind; see `trailwarden findings kinds`")))
}

/// One finding in two lines: what and where, then the detail.
pub fn table(context: &Context, all: &[Held]) -> String {
    if all.is_empty() {
        return context.paint(style::GOOD, "no findings") + "\n";
    }
    let mut text = String::new();
    for held in all {
        let color = severity_style(held.severity);
        let place: Vec<String> =
            [held.account.map(|id| id.to_string()), held.region.as_ref().map(ToString::to_string), held.trail.clone()]
                .into_iter()
                .flatten()
                .collect();
        let state = if held.state == State::Open { String::new() } else { format!("  [{}]", held.state) };
        let severity = context.paint(color, format!("{:<8}", held.severity.name()));
        text.push_str(&format!("{} {severity} {:<24} {}{state}\n", short(&held.id), held.kind.name(), place.join(" ")));
        text.push_str(&format!("             {}\n", context.paint(style::DIM, printable(&held.detail, 300))));
    }
    text
}

pub fn severity_style(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => style::BAD,
        Severity::Medium => style::WARN,
        Severity::Low | Severity::Info => style::DIM,
    }
}

async fn find(context: &Context, id: String) -> Result<(crate::config::Config, Held), Failure> {
    let config = context.load_without_secrets()?;
    let wanted = id.clone();
    let held = store::peek(&config.state, move |conn| findings::get(conn, &wanted)).await?;
    let held = held.ok_or_else(|| Failure::Usage(format!("no finding `{id}` (or more than one that begins so)")))?;
    Ok((config, held))
}

/// A writer that knows who is told what.
async fn open(context: &Context) -> Result<Store, Failure> {
    let config = context.load_without_secrets()?;
    let store = Store::open(&config.state, &Env::system()).await?;
    store.set_routes(config.routes);
    Ok(store)
}

async fn show(context: &Context, json: bool, id: String) -> Outcome {
    let (_, held) = find(context, id).await?;
    if json {
        print_json(&held)?;
    } else {
        print(&describe(context, &held))?;
    }
    Ok(Exit::Done)
}

/// A finding in full.
pub fn describe(context: &Context, held: &Held) -> String {
    let mut text = format!(
        "{} {}: {}\n",
        context.paint(severity_style(held.severity), held.severity.name()),
        held.kind.name(),
        context.paint(style::STRONG, held.kind.title())
    );
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<10}{value}\n"));
        }
    };
    line("id", held.id.clone());
    line("state", held.state.to_string());
    line("account", held.account.map(|id| id.to_string()).unwrap_or_default());
    line("region", held.region.as_ref().map(ToString::to_string).unwrap_or_default());
    line("trail", held.trail.clone().unwrap_or_default());
    line("bucket", held.bucket.as_deref().map(|name| printable(name, 100)).unwrap_or_default());
    line("object", held.object.as_deref().map(|key| printable(key, 1024)).unwrap_or_default());
    line("hours", held.hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    // A statement as it is, and the one to put in its place.
    line("evidence", printable(&held.detail, 8_000));
    line("seen", format!("{} times, first {}, last {}", held.count, held.first_seen, held.last_seen));
    line("note", held.note.clone().unwrap_or_default());
    line("means", held.kind.means().into());
    line("to do", held.kind.action().into());
    line("more", held.url.clone());
    text
}

async fn acknowledge(context: &Context, id: String, note: String) -> Outcome {
    let (_, held) = find(context, id).await?;
    let store = open(context).await?;
    let id = held.id.clone();
    let done = store.write(move |tx| findings::acknowledge(tx, &id, &note)).await?;
    let said = if done { "acknowledged" } else { "was not open: nothing changed" };
    print(&format!("{} {said}\n", short(&held.id)))?;
    Ok(Exit::Done)
}

async fn resolve(context: &Context, id: String, note: String) -> Outcome {
    let (_, held) = find(context, id).await?;
    let store = open(context).await?;
    let id = held.id.clone();
    let done = store.write(move |tx| findings::close(tx, &id, &note)).await?;
    let said = if done { "resolved" } else { "was resolved before: nothing changed" };
    print(&format!("{} {said}\n", short(&held.id)))?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize)]
struct KindRow {
    kind: Kind,
    class: crate::core::finding::Class,
    severity: Severity,
    title: &'static str,
    means: &'static str,
    action: &'static str,
}

fn kinds(context: &Context, json: bool) -> Outcome {
    let rows: Vec<KindRow> = Kind::ALL
        .iter()
        .map(|kind| KindRow {
            kind: *kind,
            class: kind.class(),
            severity: kind.severity(),
            title: kind.title(),
            means: kind.means(),
            action: kind.action(),
        })
        .collect();
    if json {
        print_json(&rows)?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for row in rows {
        let severity = context.paint(severity_style(row.severity), format!("{:<8}", row.severity.name()));
        text.push_str(&format!("{:<24} {:<9} {severity} {}\n", row.kind.name(), row.class.name(), row.title));
    }
    print(&text)?;
    Ok(Exit::Done)
}
