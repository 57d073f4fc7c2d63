//! `ledger check`

use std::path::PathBuf;

use crate::cmd::{Context, Exit, Outcome, print, print_json, style};
use crate::core::journal::Noted;
use crate::env::Env;
use crate::store::check::{self, Report};
use crate::store::time;

pub async fn run(context: &Context, path: Option<PathBuf>, head: Option<Noted>, json: bool) -> Outcome {
    let path = match path {
        Some(path) => path,
        None => context.load_without_secrets()?.state,
    };
    let report = check::run(&path, head, &Env::system()).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&draw(context, &report))?;
    }
    Ok(if report.good { Exit::Done } else { Exit::Bad })
}

fn draw(context: &Context, report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let good = check.faults.is_empty();
        let verdict = if good { context.paint(style::GOOD, "good") } else { context.paint(style::BAD, "BAD ") };
        text.push_str(&format!("{:<12}{verdict}  {}\n", check.name, check.looked));
        for fault in &check.faults {
            text.push_str(&format!("{:<12}      {}\n", "", context.paint(style::BAD, fault)));
        }
    }
    if let Some(second) = report.last_commit {
        text.push_str(&format!("{:<12}{}\n", "last commit", time(second)));
    }
    text.push_str(&format!("{:<12}ends with {}\n", "journal", report.head));
    let verdict = if report.good {
        context.paint(style::GOOD, "this is what the warden wrote")
    } else {
        let advice =
            "set it aside and bring it back: `ledger restore FILE` from a copy, or `ledger rebuild` from the bucket";
        format!("{}; {advice}", context.paint(style::BAD, "this is not what the warden wrote"))
    };
    text + &verdict + "\n"
}
