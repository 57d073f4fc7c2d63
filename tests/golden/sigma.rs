//! Sigma rules of our own, in the style of those that are shared for CloudTrail: each matches the records that it matches by the
//! reference implementation's reading.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use trailwarden::core::needs::{Need, Needs};
use trailwarden::core::sigma::{self, Body, Compare, Counted, Detection};
use trailwarden::core::tree::Tree;

use crate::common::emulator;
use crate::filters::records;
use crate::samples::samples;

const RULES: &str = "tests/golden/sigma/rules.yml";

/// By rule, the records that it matches.
type Matched = BTreeMap<String, Vec<usize>>;

fn detections() -> Vec<(String, Detection)> {
    let read = sigma::read(&fs::read_to_string(RULES).unwrap()).unwrap_or_else(|fault| panic!("{fault}"));
    let rules = read.into_iter().map(|rule| rule.unwrap_or_else(|fault| panic!("{fault}")));
    rules
        .filter_map(|rule| match rule.body {
            Body::Detection(detection) => Some((rule.title, detection)),
            Body::Correlation(_) => None,
        })
        .collect()
}

fn matched(records: &[String]) -> Matched {
    let trees: Vec<Tree<'_>> = records.iter().map(|record| Tree::parse(record).unwrap()).collect();
    let mut matched = Matched::new();
    for (title, detection) in detections() {
        let needs = detection.needs();
        let lines = matched.entry(title.clone()).or_default();
        for (line, tree) in trees.iter().enumerate().filter(|(_, tree)| detection.matches(tree)) {
            assert!(met(&needs, tree), "{title} matches {} and does not need it", records[line]);
            assert!(!detection.explain(tree).is_empty());
            lines.push(line);
        }
    }
    matched
}

fn met(needs: &Needs, record: &Tree<'_>) -> bool {
    let at = |path: &[String]| path.iter().try_fold(record, |value, name| value.get(name));
    let any = |path: &[String], takes: &dyn Fn(&str) -> bool| match at(path) {
        Some(Tree::Array(values)) => values.iter().filter_map(Tree::text).any(takes),
        value => value.and_then(Tree::text).is_some_and(takes),
    };
    needs.alternatives().any(|all| {
        all.iter().all(|need| match need {
            Need::Equal(path, wanted) => any(path, &|text| text == wanted),
            Need::Alike(path, wanted) => any(path, &|text| text.to_ascii_lowercase() == *wanted),
            Need::Part(..) => panic!("Sigma asks for no part"),
            Need::Present(path) => at(path).is_some(),
        })
    })
}

fn own_records() -> Vec<String> {
    fs::read_to_string("tests/golden/sigma/records.jsonl").unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn rules_match_what_was_written_down() {
    let expected = fs::read_to_string("tests/golden/sigma/expected.json").unwrap();
    let expected: Matched = serde_json::from_str(&expected).unwrap();
    let matched = matched(&own_records());
    for (title, lines) in &expected {
        assert_eq!(&matched[title], lines, "{title}");
    }
    assert!(matched.len() > 45 && matched.len() == expected.len());
}

#[test]
fn rules_match_what_the_reference_implementation_reads() {
    let Some(python) = emulator::sigma() else { return };
    let mut lines = own_records();
    let foreign = samples("cloudtrail").unwrap_or_default();
    for (_, bytes) in foreign.iter().filter(|(path, _)| path.ends_with(".json") || path.ends_with(".gz")) {
        lines.extend(records(bytes).iter().map(|record| record.replace(['\n', '\r'], " ")));
    }
    let mut child = Command::new(python)
        .args(["tests/golden/sigma/reference.py", RULES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let reference: Matched = serde_json::from_slice(&output.stdout).unwrap();
    let matched = matched(&lines);
    for (title, lines) in &reference {
        assert_eq!(&matched[title], lines, "{title}");
    }
    assert_eq!(matched.len(), reference.len());
    let total: usize = matched.values().map(Vec::len).sum();
    eprintln!("{} rules, {} records, {total} matches", matched.len(), lines.len());
}

#[test]
fn a_correlation_names_what_it_counts() {
    let read = sigma::read(&fs::read_to_string(RULES).unwrap()).unwrap();
    let rules: Vec<_> = read.into_iter().map(Result::unwrap).collect();
    let correlation = rules.iter().find_map(|rule| match &rule.body {
        Body::Correlation(correlation) => Some(correlation),
        Body::Detection(_) => None,
    });
    let correlation = correlation.unwrap();
    assert_eq!(correlation.counted, Counted::Events);
    assert_eq!((correlation.timespan, correlation.compare, correlation.count), (600, Compare::Greater, 20));
    assert!(rules.iter().any(|rule| rule.name.as_ref() == correlation.rules.first()));
}
