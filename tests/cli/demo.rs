//! The demo: right, reproducible, and a world that stays to be explored.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::common::warden::{json, run, stderr, stdout, verb};

#[test]
fn a_demo_finds_all_that_was_planted_and_nothing_else() {
    let output = run(&["demo", "--json", "--seed", "2", "--until", "2026-03-02T00:59:59Z"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let played: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(played["seed"], 2);
    assert_eq!((&played["from"], &played["to"]), (&"2026-03-01T00:00:00Z".into(), &"2026-03-02T00:00:00Z".into()));
    assert!(played["accounts"].as_u64() >= Some(12) && played["regions"].as_u64() >= Some(4), "{played}");
    assert!(played["planted"].as_u64() >= Some(15));
    assert_eq!(played["planted"], played["found"]);
    assert_eq!((&played["missed"], &played["unexpected"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let kinds =
        |name: &str| played["findings"].as_array().into_iter().flatten().filter(|held| held["kind"] == name).count();
    assert_eq!((kinds("digest_missing"), kinds("log_modified"), kinds("account_silent")), (1, 1, 1));
    // the foreign hand on the bucket's policy, and the intruder's on the trail
    assert_eq!(kinds("evidence_chain_changed"), 2);
    assert_eq!((kinds("rule_fired"), &played["detections"]), (6, &6.into()));
    let rules: Vec<&str> = played["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|held| held["detection"]["rule"].as_str())
        .collect();
    for rule in ["denied-burst", "administrator-attached", "bucket-made-public", "trail-attempted"] {
        assert!(rules.contains(&rule), "{rule}: {rules:?}");
    }
    let (coverage, posture, retention) = (&played["coverage"], &played["posture"], &played["retention"]);
    assert_eq!((&coverage["answer"], coverage["total"]["verified"].as_u64() > Some(500)), (&"holes".into(), true));
    assert_eq!((&posture["weaknesses"][0]["kind"], &posture["before"]), (&"confused_deputy".into(), &0.into()));
    assert_eq!(posture["told"][0]["kind"], "bucket_policy_weak");
    assert!(posture["ended"].as_str() > posture["told"][0]["first_seen"].as_str(), "{posture}");
    let steps = |plan: &Value| plan["steps"].as_array().map(Vec::len);
    assert_eq!((steps(&retention["plan"]), steps(&retention["rest"])), (Some(1), Some(0)), "{retention}");
    assert_eq!(retention["applied"], 1);
}

/// The commands that the report prints work, one by one, as they are printed.
#[test]
fn a_kept_world_can_be_explored_with_the_printed_commands() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = dir.path().join("world");
    let output = run(&["demo", "--once", "--dir", kept.to_str().expect("text"), "--color", "never"]);
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!report.contains('\u{1b}'), "no color was asked for");
    assert!(!stderr(&output).contains("hour "), "--once shows no hours");
    let config = kept.join("trailwarden.toml");
    let first = json(&config, &["findings", "list"])[0]["id"].as_str().expect("a finding").to_owned();
    let commands: Vec<&str> = report.lines().filter_map(|line| line.trim().strip_prefix("trailwarden ")).collect();
    assert!(commands.len() >= 11, "{report}");
    for command in commands {
        let args: Vec<&str> = command.split(' ').map(|arg| if arg == "ID" { &first } else { arg }).collect();
        let done: Output = run(&args);
        // Its evidence was tampered with, and that is the news.
        let wanted = if ["verify", "coverage"].contains(&args[0]) { 4 } else { 0 };
        assert_eq!(done.status.code(), Some(wanted), "{command}: {}", stderr(&done));
        assert!(!done.stdout.is_empty(), "{command}");
        let told = match args[0] {
            "lookup" => "\n10 records: ",
            "archive" => "; 0 logs wait",
            _ => "",
        };
        assert!(stdout(&done).contains(told), "{command}: {}", stdout(&done));
    }
    explore(&config, &first);

    let tomorrow = run(&["demo", "--until", "2999-01-01"]);
    assert_eq!(tomorrow.status.code(), Some(2));
    assert!(stderr(&tomorrow).contains("lies in the future"), "{}", stderr(&tomorrow));

    let again = run(&["demo", "--dir", kept.to_str().expect("text")]);
    assert_eq!(again.status.code(), Some(2), "a world is not played over another");
    assert!(stderr(&again).contains("is not empty"), "{}", stderr(&again));
}

fn explore(config: &Path, first: &str) {
    let status = json(config, &["status"]);
    for field in ["objects", "records", "digests", "chains", "alerts", "findings", "lag_seconds", "horizon"] {
        assert!(!status[field].is_null(), "{field}: {status}");
    }
    for field in ["seen", "admitted", "refused", "pending", "quarantined"] {
        assert!(status["objects"][field].is_u64(), "{field}: {status}");
    }
    let shown = stdout(&verb(config, &["findings", "show", first]));
    for part in ["means", "to do", "evidence", first] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Acknowledged, it is listed still, and nothing is said twice.
    let done = stdout(&verb(config, &["findings", "ack", first, "--note", "on it"]));
    assert!(done.contains("acknowledged"), "{done}");
    let held = json(config, &["findings", "show", first]);
    assert_eq!((&held["state"], &held["note"]), (&"acknowledged".into(), &"on it".into()));
    let again = stdout(&verb(config, &["findings", "ack", first]));
    assert!(again.contains("was not open"), "{again}");
    let one = json(config, &["findings", "list", "--kind", "digest_missing"]);
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let verified = verb(config, &["verify", "--from", "25h", "--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).expect("one JSON document");
    assert_eq!((&report["verdict"], verified.status.code()), (&"bad".into(), Some(4)));
    for field in ["good", "bad", "missing", "unchecked"] {
        assert!(report["digests"][field].is_u64(), "{field}");
    }
    for field in ["good", "bad", "missing", "unlisted", "unchecked"] {
        assert!(report["logs"][field].is_u64(), "{field}");
    }
}
