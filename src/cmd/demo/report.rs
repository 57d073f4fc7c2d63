//! The demo's report: what was checked, what is wrong where and when, the evidence, what to do.

use serde::Serialize;

use super::guard::{Drift, Promise};
use super::play::Played;
use crate::cmd::coverage::Brief;
use crate::cmd::findings::severity_style;
use crate::cmd::{Context, grouped, plural, posture, retention, status, style};
use crate::core::finding::Held;
use crate::core::printable;

#[derive(Serialize)]
pub struct Document<'a> {
    seed: u64,
    from: jiff::Timestamp,
    to: jiff::Timestamp,
    accounts: usize,
    regions: usize,
    trails: &'a [String],
    messages: u64,
    rules: usize,
    detections: usize,
    status: &'a status::Status,
    coverage: &'a Brief,
    posture: &'a Drift,
    retention: &'a Promise,
    planted: usize,
    found: usize,
    missed: Vec<&'a str>,
    unexpected: &'a [Held],
    findings: Vec<&'a Held>,
    elapsed_ms: u128,
}

pub fn document(played: &Played) -> Document<'_> {
    Document {
        seed: played.seed,
        from: played.from,
        to: played.to,
        accounts: played.accounts,
        regions: played.regions,
        trails: &played.trails,
        messages: played.messages,
        rules: played.rules,
        detections: detections(played),
        status: &played.status,
        coverage: &played.covered,
        posture: &played.drift,
        retention: &played.promise,
        planted: played.answers.len(),
        found: played.answers.iter().filter(|(_, found)| found.len() == 1).count(),
        missed: played
            .answers
            .iter()
            .filter(|(_, found)| found.is_empty())
            .map(|(planted, _)| planted.kind.name())
            .collect(),
        unexpected: &played.unexpected,
        findings: played.answers.iter().flat_map(|(_, found)| found).chain(&played.unexpected).collect(),
        elapsed_ms: played.elapsed.as_millis(),
    }
}

/// How many rules found what they were to find.
fn detections(played: &Played) -> usize {
    played.answers.iter().filter(|(planted, found)| planted.rule.is_some() && found.len() == 1).count()
}

pub fn text(context: &Context, played: &Played) -> String {
    let mut text = String::new();
    text.push_str(&checked(context, played));
    text.push_str(&format!("\n{}\n", context.paint(style::STRONG, "Who is covered")));
    text.extend(played.covered.text.lines().map(|line| format!("{}\n", format!("  {line}").trim_end())));
    text.push_str(&wrong(context, played));
    text.push_str(&drifted(context, &played.drift));
    text.push_str(&promised(context, played));
    text.push_str(&tally(context, played));
    if let Some(dir) = &played.kept {
        let config = dir.join("trailwarden.toml");
        let config = config.display();
        text.push_str(&format!(
            "\n{}\n  trailwarden status --config {config}\n  trailwarden findings --config {config}\n  \
             trailwarden findings show ID --config {config}\n  trailwarden verify --from 25h --config {config}\n  \
             trailwarden verify --offline {dir}/bucket --keys {dir}/keys\n  trailwarden quarantine list --config {config}\n  \
             trailwarden coverage --config {config}\n  trailwarden posture --config {config}\n  \
             trailwarden retention plan --config {config}\n  trailwarden archive check --config {config}\n  \
             trailwarden lookup {of} --limit 10 --config {config}\n",
            context.paint(style::STRONG, "The world is kept. Explore it:"),
            of = match played.intruded {
                Some((_, address)) => format!("--source-ip {address}"),
                None => "--error-code AccessDenied".into(),
            },
            dir = dir.display(),
        ));
    }
    text
}

fn checked(context: &Context, played: &Played) -> String {
    let (status, objects) = (&played.status, &played.status.objects);
    let number = |count: i64| grouped(count.unsigned_abs());
    format!(
        "{}\n\nA made-up organization of {} accounts in {} OUs, {} regions; the trails {} share one bucket.\n\
         {} to {}: {} brought {} objects,\n\
         {} records and {} digests in {} chains, through the warden's own flows in {:.1} s.\n\n\
         {}\n  objects   {} admitted as evidence, {} refused, {} unusable, {} announced but absent\n  \
         digests   {} proven, {} bad, {} not checkable\n  alerts    {} sent\n{}",
        context.paint(style::STRONG, "One day under watch"),
        played.accounts,
        played.ous,
        played.regions,
        played.trails.join(" and "),
        played.from,
        played.to,
        plural(played.messages, "message"),
        number(objects.seen),
        number(status.records),
        number(status.digests.good + status.digests.bad + status.digests.unchecked),
        status.chains.good + status.chains.bad + status.chains.overdue,
        played.elapsed.as_secs_f64(),
        context.paint(style::STRONG, "What was checked"),
        number(objects.admitted),
        number(objects.refused),
        number(objects.unusable),
        number(objects.absent),
        number(status.digests.good),
        number(status.digests.bad),
        number(status.digests.unchecked),
        number(status.alerts.sent),
        told_by_records(played),
    )
}

/// What the records themselves gave away.
fn told_by_records(played: &Played) -> String {
    let Some((account, _)) = &played.intruded else { return String::new() };
    let fired = detections(played);
    format!("  records   {} of {} rules fired: somebody has stolen a key of {account}\n", fired, played.rules)
}

fn wrong(context: &Context, played: &Played) -> String {
    let mut told: Vec<(&Held, Option<&str>)> = played
        .answers
        .iter()
        .flat_map(|(planted, found)| found.iter().map(|held| (held, Some(planted.story.as_str()))))
        .chain(played.unexpected.iter().map(|held| (held, None)))
        .collect();
    told.sort_by_key(|(held, _)| (std::cmp::Reverse(held.severity), held.first_seen));
    let mut text = format!("\n{}\n", context.paint(style::STRONG, "What is wrong"));
    for (held, story) in told {
        let severity = context.paint(severity_style(held.severity), format!("{:<8}", held.severity.name()));
        let (title, name, action) = match held.detection.as_deref() {
            Some(fired) => (fired.title.as_str(), format!("{} {}", held.kind, fired.rule), fired.action.as_str()),
            None => (held.kind.title(), held.kind.to_string(), held.kind.action()),
        };
        text.push_str(&format!(
            "\n  {severity} {}  {}\n",
            context.paint(style::STRONG, title),
            context.paint(style::DIM, name)
        ));
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("           {} {value}\n", context.paint(style::DIM, format!("{name:<9}"))));
            }
        };
        let place =
            [held.account.map(|id| id.to_string()), held.region.as_ref().map(ToString::to_string), held.trail.clone()];
        line("where", &place.into_iter().flatten().collect::<Vec<_>>().join(" "));
        line("object", &held.object.as_deref().map(|key| printable(key, 400)).unwrap_or_default());
        line("hours", &held.hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        line("found", &held.first_seen.to_string());
        line("evidence", &printable(&held.detail, 400));
        line("planted", story.unwrap_or("nothing of the kind"));
        line("to do", &action.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    text
}

/// Columns of what is prose.
const COLUMNS: usize = 98;

/// A little to the right, and long lines folded between words.
fn indented(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len() + 2;
        let mut column = 0;
        for word in line.split_whitespace() {
            let long = word.chars().count();
            if column > 0 && column + 1 + long > COLUMNS {
                out.push_str(&format!("\n  {:indent$}", ""));
                column = indent + 2;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            } else {
                out.push_str(&format!("{:indent$}", ""));
                column = indent;
            }
            out.push_str(word);
            column += long;
        }
        out.push('\n');
    }
    out
}

/// What the audits of the bucket found, and how it ended.
fn drifted(context: &Context, drift: &Drift) -> String {
    let mut text = format!("\n{}\n", context.paint(style::STRONG, "What protects the archive"));
    let before = if drift.before == 0 { "all was well" } else { "something was weak already" };
    text.push_str(&format!("  before anybody touched it, {before}; then a foreign hand changed the bucket's policy\n"));
    for weakness in &drift.weaknesses {
        text.push_str(&indented(&posture::draw_weakness(context, weakness)));
    }
    for held in &drift.told {
        let end = match drift.ended {
            Some(ended) => format!("over at {ended}, with the correction pasted"),
            None => "not over yet".into(),
        };
        text.push_str(&format!("  told at {}, {end}\n", held.first_seen));
    }
    text
}

fn promised(context: &Context, played: &Played) -> String {
    let Promise { plan, refused, applied, rest } = &played.promise;
    let mut text = format!("\n{}\n", context.paint(style::STRONG, "What retention promises"));
    text.push_str(&indented(&retention::draw(context, plan, &played.prices)));
    let left = if rest.is_empty() { "nothing is" } else { "something is still" };
    text.push_str(&format!(
        "\n  {} held back until accepted, then {} applied; the next plan: {left} to be done\n",
        plural(refused.len() as u64, "step"),
        plural(*applied as u64, "step")
    ));
    text
}

fn tally(context: &Context, played: &Played) -> String {
    let once = played.answers.iter().filter(|(_, found)| found.len() == 1).count();
    let all = played.answers.len();
    if played.is_right() {
        let line = format!("{once} of {all} planted troubles found, each exactly once, and nothing else.");
        return format!("\n{}\n", context.paint(style::GOOD, line));
    }
    let mut text = String::new();
    if !played.drift.is_right() {
        text.push_str(&context.paint(style::BAD, "\nThe bucket's drift was not found once, or did not end."));
    }
    if !played.promise.is_right() {
        text.push_str(&context.paint(style::BAD, "\nThe promise was not kept by one plan."));
    }
    text +=
        &format!("\n{}\n", context.paint(style::BAD, format!("{once} of {all} planted troubles found exactly once")));
    for (planted, found) in played.answers.iter().filter(|(_, found)| found.len() != 1) {
        let place = planted.object.clone().unwrap_or_default();
        text.push_str(&format!(
            "  {} was found {} times: {} {place}\n",
            planted.kind.name(),
            found.len(),
            planted.story
        ));
    }
    for held in &played.unexpected {
        let object = held.object.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "  not planted: {} {} {}\n",
            held.kind.name(),
            printable(object, 300),
            printable(&held.detail, 200)
        ));
    }
    text
}
