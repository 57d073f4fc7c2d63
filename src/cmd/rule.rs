//! `rule`: what records are looked at for; list, show, test, explain, and try on history.

mod backtest;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cmd::findings::severity_style;
use crate::cmd::{Context, Exit, Failure, Outcome, complain, plural, print, print_json, style};
use crate::config::rules as files;
use crate::core::finding::Severity;
use crate::core::printable;
use crate::core::rule::{Matcher, Rule, Scene};
use crate::core::tree::Tree;

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
    /// Every rule of the configuration
    List,
    /// One rule: what it is about, why it matters, what to do
    Show { id: String },
    /// Run the tests that rules bring along: those of files, or of the configuration
    Test {
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Which conditions of a rule a record meets, and which it does not
    Explain {
        id: String,
        /// JSON of a record, of an array of them, or of a log file
        #[arg(value_name = "RECORD.json")]
        record: PathBuf,
    },
    /// Try a rule on what lies in the bucket: how often it would have told somebody, of whom, at which threshold
    Backtest(backtest::Args),
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => list(context, args.json),
        Verb::Show { id } => show(context, args.json, &id),
        Verb::Test { files } => test(context, args.json, &files),
        Verb::Explain { id, record } => explain(context, args.json, &id, &record),
        Verb::Backtest(wanted) => backtest::run(context, args.json, wanted).await,
    }
}

/// A rule as `--json` prints it.
#[derive(Serialize)]
struct Shown<'r> {
    id: &'r str,
    title: &'r str,
    severity: Severity,
    why: &'r str,
    language: &'static str,
    matcher: String,
    group: Vec<String>,
    at_least: u64,
    within_seconds: i64,
    distinct: Option<String>,
    periods: String,
    missing: &'static str,
    then: Vec<Step>,
    false_positives: &'r [String],
    action: &'r str,
    attack: &'r [String],
    references: &'r [String],
    tests: usize,
    origin: &'r str,
}

#[derive(Serialize)]
struct Step {
    language: &'static str,
    matcher: String,
    within_seconds: i64,
}

impl<'r> From<&'r Rule> for Shown<'r> {
    fn from(rule: &'r Rule) -> Self {
        let window = &rule.window;
        let step = |(matcher, within): (&Matcher, &i64)| Step {
            language: matcher.language(),
            matcher: matcher.text(),
            within_seconds: *within,
        };
        Self {
            id: &rule.id,
            title: &rule.title,
            severity: rule.severity,
            why: &rule.why,
            language: rule.matcher.language(),
            matcher: rule.matcher.text(),
            group: rule.group.iter().map(ToString::to_string).collect(),
            at_least: window.at_least,
            within_seconds: window.within,
            distinct: rule.distinct.as_ref().map(ToString::to_string),
            periods: format!("{} of {}", window.periods.0, window.periods.1),
            missing: window.missing.name(),
            then: rule.then.iter().zip(&window.then).map(step).collect(),
            false_positives: &rule.false_positives,
            action: &rule.action,
            attack: &rule.attack,
            references: &rule.references,
            tests: rule.tests.len(),
            origin: &rule.origin,
        }
    }
}

fn find<'c>(config: &'c crate::config::Config, id: &str) -> Result<&'c Rule, Failure> {
    let unknown = || Failure::Usage(format!("no rule `{id}` in the configuration; see `trailwarden rule list`"));
    config.detect.find(id).ok_or_else(unknown)
}

fn list(context: &Context, json: bool) -> Outcome {
    let config = context.load_without_secrets()?;
    if json {
        print_json(&config.detect.iter().map(Shown::from).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if config.detect.is_empty() {
        print("no rules: name files in `detect.rules`, or packs in `detect.packs`\n")?;
    }
    let width = config.detect.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    for rule in config.detect.iter() {
        let severity = context.paint(severity_style(rule.severity), format!("{:<8}", rule.severity.name()));
        let origin = context.paint(style::DIM, &rule.origin);
        print(&format!("{:<width$}  {severity}  {}  {origin}\n", rule.id, rule.title))?;
    }
    Ok(Exit::Done)
}

fn show(context: &Context, json: bool, id: &str) -> Outcome {
    let config = context.load_without_secrets()?;
    let rule = find(&config, id)?;
    if json {
        print_json(&Shown::from(rule))?;
        return Ok(Exit::Done);
    }
    print(&describe(context, rule))?;
    Ok(Exit::Done)
}

fn describe(context: &Context, rule: &Rule) -> String {
    let severity = context.paint(severity_style(rule.severity), rule.severity);
    let mut text = format!("{}  {severity}  {}\n", context.paint(style::STRONG, &rule.id), rule.title);
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{:<16} {}\n", name, value.replace('\n', "\n                 ")));
        }
    };
    let shown = Shown::from(rule);
    say("from", &rule.origin);
    say("why", &rule.why);
    say(shown.language, &shown.matcher);
    for step in &shown.then {
        say("then", &format!("within {} s {} {}", step.within_seconds, step.language, step.matcher));
    }
    let what = shown.distinct.map_or_else(|| "events".to_owned(), |field| format!("values of {field}"));
    say("fires at", &format!("{} {what} within {} s", shown.at_least, shown.within_seconds));
    if rule.window.periods != (1, 1) {
        say("periods", &format!("{}, without data: {}", shown.periods, shown.missing));
    }
    say("group", &if shown.group.is_empty() { "the whole organization".into() } else { shown.group.join(", ") });
    rule.false_positives.iter().for_each(|one| say("false positive", one));
    say("what to do", &rule.action);
    say("ATT&CK", &rule.attack.join(", "));
    rule.references.iter().for_each(|one| say("reference", one));
    say("tests", &rule.tests.len().to_string());
    text
}

fn test(context: &Context, json: bool, paths: &[PathBuf]) -> Outcome {
    let mut rules = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {}", path.display(), error.kind())))?;
        rules.extend(files::read(&text, &path.display().to_string(), path.parent().unwrap_or(Path::new("")))?);
    }
    if paths.is_empty() {
        rules.extend(context.load_without_secrets()?.detect.iter().cloned());
    }
    let (tests, failed) = files::test(&rules);
    let untested: Vec<&str> = rules.iter().filter(|rule| rule.tests.is_empty()).map(|rule| rule.id.as_str()).collect();
    if json {
        let failed: Vec<_> = failed.iter().map(|one| (&one.rule, &one.why)).collect();
        print_json(&serde_json::json!({
            "rules": rules.len(), "tests": tests, "untested": untested,
            "failed": failed.iter().map(|(rule, why)| serde_json::json!({ "rule": rule, "why": why })).collect::<Vec<_>>(),
        }))?;
    } else {
        for one in &failed {
            print(&format!("{} {}: {} ({})\n", context.paint(style::BAD, "failed"), one.rule, one.why, one.origin))?;
        }
        for id in &untested {
            print(&format!("{} {id}: the rule has no tests\n", context.paint(style::WARN, "untested")))?;
        }
        let rules = plural(rules.len() as u64, "rule");
        print(&format!("{rules}, {}, {} failed\n", plural(tests as u64, "test"), failed.len()))?;
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Bad })
}

/// A record and what a rule says of it.
#[derive(Serialize)]
struct Explained {
    record: usize,
    /// 0 is the rule's own matcher; further ones are those of its sequence.
    step: usize,
    matches: bool,
    conditions: Vec<Condition>,
}

#[derive(Serialize)]
struct Condition {
    condition: String,
    held: bool,
    found: Option<String>,
}

fn explain(context: &Context, json: bool, id: &str, path: &Path) -> Outcome {
    let config = context.load_without_secrets()?;
    let rule = find(&config, id)?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {}", path.display(), error.kind())))?;
    let mut all = Vec::new();
    for (number, raw) in
        records(&text).map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))?.iter().enumerate()
    {
        let Some(tree) = Tree::parse(raw) else { continue };
        let scene = Scene::event(tree, None);
        for (step, matcher) in rule.steps().enumerate() {
            let condition = |(condition, held, found)| Condition { condition, held, found };
            all.push(Explained {
                record: number + 1,
                step,
                matches: matcher.takes(&scene),
                conditions: matcher.explain(&scene).into_iter().map(condition).collect(),
            });
        }
    }
    if json {
        print_json(&all)?;
    } else {
        all.iter().try_for_each(|one| print(&tell(context, rule, one)))?;
        if rule.window.at_least > 1 {
            complain(&format!("the rule fires at {} within {} s", rule.window.at_least, rule.window.within));
        }
    }
    Ok(if all.iter().any(|one| one.matches) { Exit::Done } else { Exit::Bad })
}

/// The records of a text: one, an array of them, or a log file.
fn records(text: &str) -> Result<Vec<&str>, String> {
    #[derive(serde::Deserialize)]
    struct Log<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<&'a RawValue>,
    }
    let all = if text.trim_start().starts_with('[') {
        serde_json::from_str::<Vec<&RawValue>>(text)
    } else if let Ok(log) = serde_json::from_str::<Log<'_>>(text) {
        Ok(log.records)
    } else {
        serde_json::from_str::<&RawValue>(text).map(|one| vec![one])
    };
    Ok(all.map_err(|error| format!("no JSON: {error}"))?.into_iter().map(RawValue::get).collect())
}

fn tell(context: &Context, rule: &Rule, explained: &Explained) -> String {
    let verdict = match explained.matches {
        true => context.paint(style::GOOD, "matches"),
        false => context.paint(style::BAD, "does not match"),
    };
    let step = if rule.then.is_empty() { String::new() } else { format!(", step {}", explained.step) };
    let mut text = format!("record {}{step}: {verdict}\n", explained.record);
    for Condition { condition, held, found } in &explained.conditions {
        let mark = if *held { context.paint(style::GOOD, "held    ") } else { context.paint(style::BAD, "not held") };
        let found = found
            .as_ref()
            .map_or_else(|| "nothing is there".to_owned(), |found| format!("found {}", printable(found, 200)));
        text.push_str(&format!("  {mark}  {condition}  {}\n", context.paint(style::DIM, found)));
    }
    text
}
