//! Event patterns: our own cases, and those of third parties where they are at hand.

use serde_json::Value;
use trailwarden::core::pattern::Pattern;
use trailwarden::core::tree::Tree;

use crate::samples::samples;

/// What a pattern says of an event, in the words of the cases.
fn told(pattern: &str, event: Option<&str>) -> &'static str {
    let Ok(pattern) = Pattern::parse(pattern) else { return "invalid_pattern" };
    let Some(event) = event else { return "valid_pattern" };
    let event = match Tree::parse(event) {
        Some(event @ Tree::Object(_)) => event,
        _ => return "invalid_event",
    };
    let matches = pattern.matches(&event);
    let explanation = pattern.explain(&event);
    assert_eq!(explanation.holds(), matches, "{explanation}");
    if matches { "match" } else { "no_match" }
}

#[test]
fn patterns_match_as_they_were_seen_to_match() {
    let cases: Value = serde_json::from_str(include_str!("patterns/cases.json")).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 110);
    for case in cases {
        let (pattern, event) = (case["pattern"].to_string(), case["event"].to_string());
        let told = match told(&pattern, Some(&event)) {
            "no_match" => "no-match",
            "invalid_pattern" => "invalid",
            told => told,
        };
        assert_eq!(told, case["result"], "{}: {pattern} {event}", case["name"]);
    }
}

#[test]
fn third_parties_patterns_match_as_they_were_seen_to_match() {
    let Some(files) = samples("conformance") else { return };
    let (_, lines) = files.iter().find(|(path, _)| path == "eventbridge_patterns_dev.jsonl").unwrap();
    let cases: Vec<Value> =
        std::str::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 400);
    let mut failed = Vec::new();
    for case in &cases {
        let (pattern, event) = (case["pattern_text"].as_str().unwrap(), case["event_text"].as_str());
        let told = told(pattern, event);
        // what is refused has no event to be judged by
        if told != case["expected"] {
            failed.push(format!(
                "{}: {told}, not {}: {pattern} {}",
                case["id"],
                case["expected"],
                event.unwrap_or("-")
            ));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
