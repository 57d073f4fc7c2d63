//! `posture`: what protects the archive, looked at now; changes nothing.

use serde::Serialize;

use crate::cmd::findings::severity_style;
use crate::cmd::{Context, Exit, Failure, Outcome, print, print_json, style};
use crate::core::posture::{Audit, Weakness};
use crate::core::printable;
use crate::env::Env;
use crate::wiring::{self, Works};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this trail of the configuration
    #[arg(long, value_name = "NAME")]
    trail: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Audits {
    audits: Vec<Audit>,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    let works = Works::open(&config, &Env::system()).await?;
    works.deliveries.roster.refresh().await?;
    let mut audits = Vec::new();
    for place in config.trails.iter().filter(|place| args.trail.as_ref().is_none_or(|name| *name == place.name)) {
        audits.push(wiring::posture(&config, place, &works).await?.look().await?);
    }
    if audits.is_empty() {
        return Err(Failure::Usage("no trail of that name in the configuration".into()));
    }
    let bad = audits.iter().any(|audit| audit.open().next().is_some());
    let unsure = audits.iter().any(|audit| !audit.unread.is_empty());
    if args.json {
        print_json(&Audits { audits })?;
    } else {
        audits.iter().try_for_each(|audit| print(&draw(context, audit)))?;
    }
    Ok(match (bad, unsure) {
        (true, _) => Exit::Bad,
        (false, true) => Exit::Unsure,
        (false, false) => Exit::Done,
    })
}

fn draw(context: &Context, audit: &Audit) -> String {
    let (open, accepted): (Vec<_>, Vec<_>) = audit.weaknesses.iter().partition(|weakness| weakness.accepted.is_none());
    let mut text = format!(
        "{} ({}): {} open, {} accepted, {} could not be checked\n",
        context.paint(style::STRONG, &audit.bucket),
        audit.trail,
        open.len(),
        accepted.len(),
        audit.unread.len()
    );
    open.into_iter().for_each(|weakness| text.push_str(&draw_weakness(context, weakness)));
    for unread in &audit.unread {
        let mark = context.paint(style::WARN, "could not be checked");
        text.push_str(&format!("\n{mark}: {}: {}\n", unread.of, printable(&unread.why, 400)));
    }
    for weakness in accepted {
        let reason = weakness.accepted.as_deref().unwrap_or_default();
        let mark = context.paint(style::DIM, "accepted");
        text.push_str(&format!("\n{mark}: {} of {}: {}\n", weakness.id, weakness.of, printable(reason, 200)));
    }
    text
}

pub fn draw_weakness(context: &Context, weakness: &Weakness) -> String {
    let severity = context.paint(severity_style(weakness.severity), weakness.severity.name());
    let id = context.paint(style::STRONG, &weakness.id);
    let mut text = format!("\n{severity} {id} ({}, told as {})\n", weakness.of, weakness.told_as);
    text.push_str(&format!("  {}\n", printable(&weakness.risk, 1_000)));
    if let Some(found) = &weakness.found {
        text.push_str(&lines(found, |line| context.paint(style::DIM, line)));
    }
    text.push_str(&format!("  what to do: {}\n", printable(&weakness.advice, 400)));
    if let Some(paste) = &weakness.paste {
        text.push_str(&lines(paste, |line| line));
    }
    text
}

/// A statement, a setting or a command, line by line as it is.
fn lines(text: &str, paint: impl Fn(String) -> String) -> String {
    let all = || text.lines().filter(|line| !line.trim().is_empty());
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    // The first line of what was cut out of a document has lost its indent.
    let less = all().skip(1).map(indent).min().unwrap_or(0);
    let shown = |line| printable(line, 4_000);
    all().map(|line| format!("      {}\n", paint(shown(line.get(less.min(indent(line))..).unwrap_or(line))))).collect()
}
