//! `retention`: what separates each bucket from its promise, the steps to there, and legal holds.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::cmd::{Context, Exit, Failure, Outcome, grouped, interrupted, plural, print, print_json, style};
use crate::config::Config;
use crate::core::id::AccountId;
use crate::core::lock::{Plan, Step};
use crate::core::printable;
use crate::env::Env;
use crate::retain::{Applied, Retain, Scope};
use crate::store::retention::Hold;
use crate::store::{self, retention};
use crate::wiring::{self, Works};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Only this trail of the configuration
    #[arg(long, global = true, value_name = "NAME")]
    trail: Option<String>,
    /// One JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every difference between bucket and promise, what it takes, means and costs; changes nothing
    Plan {
        /// Write the plan here, for `apply`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take the steps of a plan, if it still fits
    Apply {
        /// What `plan --out` wrote
        #[arg(long, value_name = "FILE")]
        plan: PathBuf,
        /// Take steps that cannot be taken back, for the bucket of this name
        #[arg(long, value_name = "BUCKETNAME")]
        accept_irreversible: Vec<String>,
    },
    /// Legal holds that were put by this warden
    Holds,
    /// Put a legal hold on objects, or release it
    #[command(subcommand)]
    Hold(Change),
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Hold every version under a prefix, or of an account
    Put(What),
    /// Release them
    Release(What),
}

#[derive(Debug, clap::Args)]
struct What {
    #[command(flatten)]
    scope: Where,
    /// Why; it is kept in the ledger's journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it; default: the user who runs this
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Where {
    /// Keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// All that was delivered for an account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
}

/// A file of plans, one for each trail.
#[derive(Debug, Serialize, Deserialize)]
struct Plans {
    plans: Vec<Plan>,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    match args.verb {
        Verb::Plan { out } => plan(context, &config, args.trail.as_deref(), args.json, out.as_deref()).await,
        Verb::Apply { plan, accept_irreversible } => {
            apply(&config, args.trail.as_deref(), &plan, &accept_irreversible).await
        }
        Verb::Holds => holds(&config, args.json).await,
        Verb::Hold(Change::Put(what)) => hold(&config, args.trail.as_deref(), what, true).await,
        Verb::Hold(Change::Release(what)) => hold(&config, args.trail.as_deref(), what, false).await,
    }
}

/// The buckets of the configuration's trails, or of one of them.
async fn open(config: &Config, trail: Option<&str>) -> Result<Vec<Retain>, Failure> {
    if config.retention.is_none() {
        return Err(Failure::Usage("the configuration has no [retention]: nothing is promised".into()));
    }
    let works = Works::open(config, &Env::system()).await?;
    let mut all = Vec::new();
    for place in config.trails.iter().filter(|place| trail.is_none_or(|name| name == place.name)) {
        all.extend(wiring::retain(config, place, &works).await?);
    }
    if all.is_empty() {
        return Err(Failure::Usage("no trail of that name in the configuration".into()));
    }
    Ok(all)
}

async fn plan(context: &Context, config: &Config, trail: Option<&str>, json: bool, out: Option<&Path>) -> Outcome {
    let mut plans = Plans { plans: Vec::new() };
    for retain in open(config, trail).await? {
        plans.plans.push(retain.plan().await?);
    }
    if let Some(path) = out {
        let mut text = serde_json::to_string_pretty(&plans).map_err(std::io::Error::from)?;
        text.push('\n');
        std::fs::write(path, text).map_err(|error| unusable(path, &error))?;
    }
    if json {
        print_json(&plans)?;
    } else {
        let prices = config.retention.as_ref().map(|retention| retention.prices.source.as_str()).unwrap_or_default();
        plans.plans.iter().try_for_each(|plan| print(&draw(context, plan, prices)))?;
    }
    Ok(match (plans.plans.iter().all(Plan::is_empty), plans.plans.iter().all(|plan| plan.unread.is_empty())) {
        (false, _) => Exit::Bad,
        (true, false) => Exit::Unsure,
        (true, true) => Exit::Done,
    })
}

pub fn draw(context: &Context, plan: &Plan, prices: &str) -> String {
    let archive = &plan.archive;
    let mut text = format!(
        "{} ({}): promised {}\n  {} of {}, {:.2} a month; once full {} of {}, {:.2} a month ({prices})\n",
        context.paint(style::STRONG, &plan.bucket),
        plan.trail,
        plan.promise,
        plural(archive.objects, "object"),
        size(archive.bytes),
        unsigned(archive.month),
        plural(archive.full_objects, "object"),
        size(archive.full_bytes),
        unsigned(archive.full_month),
    );
    if plan.steps.is_empty() && plan.unread.is_empty() {
        text.push_str("  nothing is to be done\n");
    }
    for (number, step) in plan.steps.iter().enumerate() {
        text.push_str(&draw_step(context, number + 1, step));
    }
    for warning in &plan.warnings {
        let style = if warning.danger { style::BAD } else { style::WARN };
        let rule = warning.rule.as_deref().map(|rule| format!("rule `{}`: ", printable(rule, 100))).unwrap_or_default();
        let mark = context.paint(style, if warning.danger { "danger" } else { "note" });
        text.push_str(&format!("\n  {mark}: {rule}{}\n", printable(&warning.text, 600)));
    }
    for part in &plan.unread {
        let mark = context.paint(style::WARN, "could not be read");
        text.push_str(&format!("\n  {mark}: {}\n", printable(part, 400)));
    }
    text
}

fn draw_step(context: &Context, number: usize, step: &Step) -> String {
    let effect = &step.effect;
    let mut text = format!("\n{number}. {}\n", context.paint(style::STRONG, &step.call));
    for line in &step.diff {
        let style = match line.as_bytes().first() {
            Some(b'+') => style::GOOD,
            Some(b'-') => style::BAD,
            _ => style::DIM,
        };
        text.push_str(&format!("   {}\n", context.paint(style, printable(line, 400))));
    }
    text.push_str(&format!("   {}\n", step.means));
    text.push_str(&format!(
        "   {} of {}, {}; {:.2} once, {:+.2} a month\n",
        plural(effect.objects, "object"),
        size(effect.bytes),
        plural(effect.calls, "request"),
        effect.once,
        effect.monthly
    ));
    if let Some(why) = &step.irreversible {
        text.push_str(&format!("   {}: {}\n", context.paint(style::BAD, "cannot be taken back"), printable(why, 600)));
    }
    text
}

/// The sum of nothing has a sign.
fn unsigned(money: f64) -> f64 {
    money + 0.0
}

fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

async fn apply(config: &Config, trail: Option<&str>, file: &Path, accept: &[String]) -> Outcome {
    let text = std::fs::read_to_string(file).map_err(|error| unusable(file, &error))?;
    let plans: Plans = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{} is no plan: {error}", file.display())))?;
    let buckets = open(config, trail).await?;
    let mut exit = Exit::Done;
    for made in plans.plans.iter().filter(|plan| trail.is_none_or(|name| name == plan.trail)) {
        let Some(retain) = buckets.iter().find(|retain| retain.trail == made.trail) else {
            return Err(Failure::Usage(format!("trail `{}` is not configured any more", printable(&made.trail, 60))));
        };
        let applied = tokio::select! {
            applied = retain.apply(made, accept.contains(&retain.bucket)) => applied?,
            () = interrupted() => return Ok(Exit::Interrupted),
        };
        print(&told(retain, &applied))?;
        exit = match (applied, exit) {
            (Applied::Done(_), exit) => exit,
            (Applied::Unread(_), Exit::Done) => Exit::Unsure,
            (Applied::Unread(_), exit) => exit,
            _ => Exit::Bad,
        };
    }
    Ok(exit)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}

fn told(retain: &Retain, applied: &Applied) -> String {
    let bucket = &retain.bucket;
    match applied {
        Applied::Done(steps) => format!("{bucket}: {} done\n", plural(*steps as u64, "step")),
        Applied::Stale { taken, why } => {
            format!("{bucket}: stale after {}: {why}; make a new plan\n", plural(*taken as u64, "step"))
        }
        Applied::NotAccepted(steps) => {
            let list: String = steps.iter().map(|why| format!("  {why}\n")).collect();
            format!(
                "{bucket}: nothing was done, for some steps cannot be taken back; accept them by --accept-irreversible {bucket}\n{list}"
            )
        }
        Applied::Unread(parts) => {
            let list: String = parts.iter().map(|part| format!("  {}\n", printable(part, 400))).collect();
            format!("{bucket}: nothing was done, for this could not be read:\n{list}")
        }
    }
}

async fn holds(config: &Config, json: bool) -> Outcome {
    let all = store::peek(&config.state, retention::holds).await?;
    if json {
        print_json(&all)?;
    } else {
        let lines: String = all.iter().map(line).collect();
        print(if lines.is_empty() { "nothing is held\n" } else { &lines })?;
    }
    Ok(Exit::Done)
}

fn line(hold: &Hold) -> String {
    let unfinished = if hold.unfinished { " (unfinished: run the command again)" } else { "" };
    format!(
        "{} {} {} by {} since {:.0}: {}{unfinished}\n",
        hold.trail,
        printable(&hold.prefix, 200),
        plural(hold.objects, "version"),
        hold.by,
        hold.since,
        hold.reason
    )
}

async fn hold(config: &Config, trail: Option<&str>, what: What, on: bool) -> Outcome {
    let scope = match (what.scope.prefix, what.scope.account) {
        (Some(prefix), _) => Scope::Prefix(prefix),
        (None, Some(account)) => Scope::Account(account),
        (None, None) => return Err(Failure::Usage("--prefix or --account".into())),
    };
    let by = what.by.or_else(user).ok_or_else(|| Failure::Usage("nobody knows who you are: --by NAME".into()))?;
    for retain in open(config, trail).await? {
        let changed = retain.hold(&scope, on, &by, &what.reason).await?;
        let done = if on { "held" } else { "released" };
        print(&format!("{}: {} versions {done}\n", retain.bucket, grouped(changed)))?;
    }
    Ok(Exit::Done)
}

fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty())
}
