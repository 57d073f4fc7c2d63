//! `rule backtest`: a rule on what lies in the bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use crate::backtest::{Backtest, Progress, Scope, Tried};
use crate::cmd::{Context, Exit, Failure, Outcome, grouped, interrupted, moment, plural, print, print_json, style};
use crate::core::id::{AccountId, Region};
use crate::core::printable;
use crate::core::rule::Detection;
use crate::env::Env;
use crate::{listing, wiring};

/// Cells of the longest bar.
const WIDTH: usize = 40;
/// Bars, groups and firings that are drawn.
const DRAWN: usize = 60;
const GROUPS: usize = 15;
const FIRINGS: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    id: String,
    /// Days from: a date, a time, or a span back such as 7d
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Days up to and with
    #[arg(long, default_value = "0s", value_name = "TIME")]
    to: String,
    /// Only this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only this region
    #[arg(long)]
    region: Option<Region>,
    /// Only this trail of the configuration
    #[arg(long, value_name = "NAME")]
    trail: Option<String>,
    /// Logs at once
    #[arg(long, default_value_t = 32, value_name = "N")]
    concurrency: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    rule: String,
    from: Timestamp,
    to: Timestamp,
    logs: u64,
    records: u64,
    unread: u64,
    /// Events that the rule is about, each counted once.
    matched: u64,
    /// How often somebody would have been told.
    fired: usize,
    days: BTreeMap<String, u64>,
    thresholds: Vec<Threshold>,
    groups: Vec<Group>,
    firings: Vec<Detection>,
}

#[derive(Serialize)]
struct Threshold {
    at_least: u64,
    fired: usize,
}

#[derive(Serialize)]
struct Group {
    group: Vec<String>,
    fired: u64,
    events: u64,
}

pub async fn run(context: &Context, json: bool, args: Args) -> Outcome {
    let config = context.load_without_secrets()?;
    let env = Env::system();
    let (from, to) = (moment(&args.from, &env)?, moment(&args.to, &env)?);
    if from > to {
        return Err(Failure::Usage("--from must not lie after --to".into()));
    }
    let rule = super::find(&config, &args.id)?;
    let scope = Scope { from, to, account: args.account, region: args.region };
    let mut whole = Tried::default();
    let mut found = false;
    for trail in config.trails.iter().filter(|trail| args.trail.as_ref().is_none_or(|name| *name == trail.name)) {
        found = true;
        let backtest: Backtest = wiring::backtest(&config, trail, args.concurrency, &env).await?;
        let progress = Arc::new(Progress::default());
        let bar = context.progress.then(|| draw(progress.clone()));
        let outcome = tokio::select! {
            outcome = backtest.run(rule, &scope, &progress) => outcome,
            () = interrupted() => return Ok(Exit::Interrupted),
        };
        if let Some(bar) = bar {
            bar.abort();
        }
        add(&mut whole, outcome?);
    }
    if !found {
        return Err(Failure::Usage("no trail of that name in the configuration".into()));
    }
    let report = report(&args.id, &scope, whole);
    let unread = report.unread;
    if json {
        print_json(&report)?;
    } else {
        print(&tell(context, rule.window.at_least, &report))?;
    }
    Ok(if unread > 0 { Exit::Unsure } else { Exit::Done })
}

/// Trails are looked at on their own.
fn add(whole: &mut Tried, one: Tried) {
    whole.logs += one.logs;
    whole.records += one.records;
    whole.unread += one.unread;
    whole.matched += one.matched;
    whole.firings.extend(one.firings);
    whole.thresholds.resize(one.thresholds.len(), (0, 0));
    for (sum, (at_least, fired)) in whole.thresholds.iter_mut().zip(one.thresholds) {
        *sum = (at_least, sum.1 + fired);
    }
}

fn report(rule: &str, scope: &Scope, tried: Tried) -> Report {
    let mut days = BTreeMap::new();
    let mut groups: BTreeMap<Vec<String>, (u64, u64)> = BTreeMap::new();
    for firing in &tried.firings {
        *days.entry(date(firing.detection.first)).or_insert(0) += 1;
        let group = groups.entry(firing.group.clone()).or_default();
        *group = (group.0 + 1, group.1 + firing.detection.count);
    }
    let mut groups: Vec<Group> =
        groups.into_iter().map(|(group, (fired, events))| Group { group, fired, events }).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.fired, group.events)));
    Report {
        rule: rule.to_owned(),
        from: scope.from,
        to: scope.to,
        logs: tried.logs,
        records: tried.records,
        unread: tried.unread,
        matched: tried.matched,
        fired: tried.firings.len(),
        days,
        thresholds: tried.thresholds.into_iter().map(|(at_least, fired)| Threshold { at_least, fired }).collect(),
        groups,
        firings: tried.firings.into_iter().map(|firing| firing.detection).collect(),
    }
}

fn date(time: Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

fn tell(context: &Context, own: u64, report: &Report) -> String {
    let Report { rule, logs, records, matched, fired, unread, .. } = report;
    let mut text = format!(
        "{}: would have fired {} for {} in {} of {}\n",
        context.paint(style::STRONG, rule),
        times(*fired),
        plural(*matched, "event"),
        plural(*records, "record"),
        plural(*logs, "log"),
    );
    if *unread > 0 {
        text.push_str(&context.paint(style::WARN, format!("{} could not be read\n", plural(*unread, "log"))));
    }
    text.push_str(&chart(report));
    text.push_str("\nat least   would have fired\n");
    for Threshold { at_least, fired } in &report.thresholds {
        let mark = if *at_least == own { "  as the rule says" } else { "" };
        text.push_str(&format!("{:>8}   {:>8}{mark}\n", grouped(*at_least), grouped(*fired as u64)));
    }
    if !report.groups.is_empty() {
        text.push_str("\n   fired    events   group\n");
    }
    for Group { group, fired, events } in report.groups.iter().take(GROUPS) {
        let name = if group.is_empty() { "the whole organization".to_owned() } else { group.join(" ") };
        text.push_str(&format!("{:>8}  {:>8}   {}\n", grouped(*fired), grouped(*events), printable(&name, 200)));
    }
    text.push_str(&more(report.groups.len(), GROUPS, "group"));
    if !report.firings.is_empty() {
        text.push('\n');
    }
    for detection in report.firings.iter().take(FIRINGS) {
        text.push_str(&format!("{}  {}\n", detection.first, detection.sentence()));
    }
    text.push_str(&more(report.firings.len(), FIRINGS, "time"));
    text
}

fn times(count: usize) -> String {
    match count {
        0 => "never".into(),
        1 => "once".into(),
        count => format!("{} times", grouped(count as u64)),
    }
}

fn more(count: usize, shown: usize, what: &str) -> String {
    if count > shown {
        format!("and {}\n", plural((count - shown) as u64, &format!("more {what}")))
    } else {
        String::new()
    }
}

/// A bar for each day, or for as many days at a time as fit.
fn chart(report: &Report) -> String {
    let Some(longest) = report.days.values().max().copied() else { return String::new() };
    let days: Vec<String> = listing::dates(report.from, report.to).iter().map(ToString::to_string).collect();
    let each = days.len().div_ceil(DRAWN).max(1);
    let bars: Vec<(&str, u64)> = days
        .chunks(each)
        .map(|some| {
            let count = some.iter().filter_map(|day| report.days.get(day)).sum();
            (some.first().map_or("", String::as_str), count)
        })
        .collect();
    let longest = bars.iter().map(|(_, count)| *count).max().unwrap_or(longest).max(1);
    let mut text = String::new();
    for (day, count) in bars {
        let cells = usize::try_from(count * WIDTH as u64 / longest).unwrap_or(WIDTH);
        let bar = "█".repeat(cells.max(usize::from(count > 0)));
        let count = if count > 0 { format!(" {}", grouped(count)) } else { String::new() };
        text.push_str(format!("{day}  {bar}{count}").trim_end());
        text.push('\n');
    }
    text
}

fn draw(progress: Arc<Progress>) -> tokio::task::JoinHandle<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("backtest {bar:30} {human_pos}/{human_len} days, {msg}") {
        bar.set_style(style);
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            bar.set_length(progress.days.load(Ordering::Relaxed));
            bar.set_position(progress.days_done.load(Ordering::Relaxed));
            bar.set_message(format!("{} logs", progress.logs.load(Ordering::Relaxed)));
        }
    })
}
