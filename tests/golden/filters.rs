//! CloudWatch filter patterns: our own vectors, the examples of AWS's user guide, and the patterns that are in use everywhere
//! over public records.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use trailwarden::core::filter::Filter;
use trailwarden::core::tree::Tree;

use crate::samples::samples;

fn answer(pattern: &str, event: &str) -> &'static str {
    match Filter::parse(pattern) {
        Err(_) => "invalid",
        Ok(filter) if Tree::parse(event).is_some_and(|event| filter.matches(&event)) => "match",
        Ok(_) => "no-match",
    }
}

#[test]
fn our_vectors_are_answered_as_written() {
    let vectors: Value = serde_json::from_str(&fs::read_to_string("tests/golden/filters.json").unwrap()).unwrap();
    let event = vectors["event"].to_string();
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        assert_eq!(answer(case["pattern"].as_str().unwrap(), &event), case["result"], "{case}");
    }
    assert!(cases.len() >= 40);
}

#[test]
fn the_examples_of_the_user_guide_are_answered_as_they_say() {
    let Some(files) = samples("conformance") else { return };
    let (_, bytes) = files.into_iter().find(|(path, _)| path == "cwl_filter_docs.jsonl").unwrap();
    let mut answered = BTreeMap::<&str, usize>::new();
    for line in std::str::from_utf8(&bytes).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let pattern = case["pattern"].as_str().unwrap();
        let given = answer(pattern, case["event"].as_str().unwrap_or("{}"));
        let wanted = match case["expected"].as_str().unwrap() {
            // of terms and of space-delimited lines nothing can be said for a record
            _ if !pattern.starts_with('{') => "invalid",
            "no_match" => "no-match",
            "invalid_pattern" => "invalid",
            other => other,
        };
        assert_eq!(given, wanted, "{case}");
        *answered.entry(given).or_default() += 1;
    }
    eprintln!("{answered:?}");
    assert_eq!(answered.values().sum::<usize>(), 36);
}

/// The folders of the corpora that the counts were made on, and what holds records there.
const CORPORA: &[(&str, &str)] = &[
    ("stratus", "cloudtrail/stratus-red-team"),
    ("traildiscover", "cloudtrail/traildiscover"),
    ("boogy", "cloudtrail/cloudtrail-log-parser"),
    ("flaws_excerpt", "cloudtrail/flaws-excerpt"),
];

/// A file's records, as the text that they have there.
pub fn records(bytes: &[u8]) -> Vec<String> {
    let raw = |list: &[Box<serde_json::value::RawValue>]| list.iter().map(|one| one.get().to_owned()).collect();
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        records: Vec<Box<serde_json::value::RawValue>>,
    }
    if let Ok(file) = serde_json::from_slice::<File>(bytes) {
        return raw(&file.records);
    }
    if let Ok(list) = serde_json::from_slice::<Vec<Box<serde_json::value::RawValue>>>(bytes) {
        return raw(&list);
    }
    vec![std::str::from_utf8(bytes).unwrap().to_owned()]
}

#[test]
fn patterns_in_use_count_what_they_count_elsewhere() {
    let Some(files) = samples("conformance") else { return };
    let (_, bytes) = files.into_iter().find(|(path, _)| path.starts_with("cis_patterns_and_counts")).unwrap();
    let known: Value = serde_json::from_slice(&bytes).unwrap();
    let patterns = known["patterns"].as_array().unwrap();
    let mut matched = 0;
    for (corpus, folder) in CORPORA {
        let records: Vec<String> = samples(folder).unwrap().iter().flat_map(|(_, bytes)| records(bytes)).collect();
        let counts = &known["corpora"][corpus];
        assert_eq!(records.len() as u64, counts["records"].as_u64().unwrap(), "{corpus}");
        let trees: Vec<Tree<'_>> = records.iter().map(|record| Tree::parse(record).unwrap()).collect();
        for pattern in patterns {
            let id = pattern["id"].as_str().unwrap();
            let filter =
                Filter::parse(pattern["pattern"].as_str().unwrap()).unwrap_or_else(|fault| panic!("{id}\n{fault}"));
            let found: Vec<&Tree<'_>> = trees.iter().filter(|tree| filter.matches(tree)).collect();
            let mut ids: Vec<&str> = found.iter().filter_map(|tree| tree.get("eventID").and_then(Tree::text)).collect();
            ids.sort_unstable();
            ids.dedup();
            let counted = &counts["patterns"][id];
            assert_eq!(found.len() as u64, counted["records"].as_u64().unwrap_or(0), "{corpus} {id}");
            assert_eq!(ids.len() as u64, counted["unique_event_ids"].as_u64().unwrap_or(0), "{corpus} {id}");
            assert!(counted.is_null() || counted["event_ids"] == Value::from(ids), "{corpus} {id}");
            matched += found.len();
        }
    }
    eprintln!("{} patterns, {matched} matches", patterns.len());
    assert_eq!(patterns.len(), 43);
    assert!(matched > 1_000);
}
