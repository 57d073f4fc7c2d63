//! What watches the warden: metrics, alert rules and dashboard, as Prometheus's own tool reads them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use trailwarden::metrics::{KindLabel, Metrics, Outcome, Sending};

use crate::common::warden::{stderr, stdout};
use crate::{packaging, skip};

const RULES: &str = "prometheus/trailwarden.rules.yml";
const CASES: &str = "prometheus/trailwarden.rules.test.yml";
const DASHBOARD: &str = "grafana/trailwarden.dashboard.json";

/// Prometheus's own tool: the host's, or the one of Debian's package, unpacked beside the build.
fn promtool() -> Option<PathBuf> {
    let installed = Command::new("promtool").arg("--version").output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Some("promtool".into());
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("promtool");
    std::fs::create_dir_all(&root).ok()?;
    let lock = std::fs::File::create(root.join("lock")).ok()?;
    lock.lock().ok()?;
    let tool = root.join("usr/bin/promtool");
    if !tool.exists() {
        let unpack =
            "apt-get download prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb usr/bin/prometheus";
        let output = Command::new("sh").args(["-c", unpack]).current_dir(&root).output();
        if !output.is_ok_and(|output| output.status.success()) {
            return skip("promtool cannot be had");
        }
    }
    Some(tool)
}

fn run(tool: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(tool);
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus"));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("promtool starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("promtool reads");
    child.wait_with_output().expect("promtool ends")
}

/// Every metric with a member, as a warden would print it.
fn metrics() -> Metrics {
    let metrics = Metrics::default();
    for family in [&metrics.messages, &metrics.notices, &metrics.digests, &metrics.scrubbed, &metrics.reconciled] {
        let _ = family.get_or_create(&Outcome { outcome: "x" });
    }
    let _ = metrics.findings.get_or_create(&KindLabel { kind: "x" });
    let _ = metrics.alerts.get_or_create(&Sending { channel: "a\n# TYPE b counter".into(), outcome: "x" });
    metrics
}

/// Names of samples.
fn names() -> BTreeSet<String> {
    let page = metrics().render_plain();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Metrics of ours that a query asks for.
fn asked(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("trailwarden_"))
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ")
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let Some(tool) = promtool() else { return };
    let output = run(&tool, &["check", "metrics"], &metrics().render_plain());
    assert!(output.status.success() && stderr(&output).is_empty(), "{}{}", stdout(&output), stderr(&output));
    let output = run(&tool, &["check", "metrics"], "# TYPE seen counter\nseen 1\n");
    assert!(!output.status.success(), "a counter without help and suffix goes unnoticed");
}

#[test]
fn both_formats_have_the_same_samples() {
    let samples = |page: String| -> Vec<String> {
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let metrics = metrics();
    assert_eq!(samples(metrics.render()), samples(metrics.render_plain()));
    assert!(names().len() > 20);
}

#[test]
fn every_alert_is_played_and_has_its_runbook() {
    let (rules, cases) = (packaging(RULES), packaging(CASES));
    let runbooks = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks.md"));
    let runbooks = runbooks.expect("docs/runbooks.md");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| value(line, "alert")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in &alerts {
        let anchor = format!("runbooks.md#{}\n", alert.to_ascii_lowercase());
        assert!(rules.contains(&anchor), "{alert} has no runbook");
        assert!(runbooks.contains(&format!("\n## {alert}\n")), "docs/runbooks.md has no {alert}");
        let of = format!("alertname: {alert}\n        exp_alerts:");
        assert!(cases.contains(&format!("{of}\n")), "no case in which {alert} fires");
        assert!(cases.contains(&format!("{of} []")), "no case in which {alert} is silent");
    }
    let headings = runbooks.lines().filter_map(|line| line.strip_prefix("## Trailwarden"));
    assert_eq!(headings.count(), alerts.len(), "a runbook is about no alert");
    let Some(tool) = promtool() else { return };
    for args in [["check", "rules", "trailwarden.rules.yml"], ["test", "rules", "trailwarden.rules.test.yml"]] {
        let output = run(&tool, &args, "");
        assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let names = names();
    let rules = packaging(RULES);
    let expressions = rules.lines().filter_map(|line| value(line, "expr"));
    let dashboard: Value = serde_json::from_str(&packaging(DASHBOARD)).expect("JSON");
    let mut queries: Vec<String> = expressions.map(str::to_owned).collect();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "a panel asks nothing: {panel}");
        for target in targets {
            let query = target["expr"].as_str().expect("a query").to_owned();
            shown.extend(asked(&query).map(str::to_owned));
            queries.push(query);
        }
    }
    for query in &queries {
        let unknown: Vec<&str> = asked(query).filter(|name| !names.contains(*name)).collect();
        assert!(unknown.is_empty(), "`{query}` asks for {unknown:?}");
    }
    assert_eq!(shown, names, "the dashboard shows every metric");
    let Some(tool) = promtool() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let recorded = queries.iter().enumerate().map(|(number, query)| {
        let query = query.replace("$__rate_interval", "5m");
        format!("      - record: query:{number}\n        expr: {}\n", Value::from(query))
    });
    let text = format!("groups:\n  - name: all\n    rules:\n{}", recorded.collect::<String>());
    let file = dir.path().join("queries.yml");
    std::fs::write(&file, text).expect("a file");
    let output = run(&tool, &["check", "rules", file.to_str().expect("text")], "");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}
