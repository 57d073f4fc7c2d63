//! Which shard hears of a key: every key is one shard's, whatever it looks like.

use serde_json::{Value, json};
use trailwarden::core::pattern::Pattern;
use trailwarden::core::tree::Tree;

/// Numbers of the shards that hear of an object.
pub fn of(patterns: &[(String, Pattern)], bucket: &str, account: &str, key: &str) -> Vec<String> {
    let event = json!({ "source": "aws.s3", "detail-type": "Object Created", "account": account,
                        "detail": { "bucket": { "name": bucket }, "object": { "key": key } } });
    let text = event.to_string();
    let event = Tree::parse(&text).expect("an event");
    patterns.iter().filter(|(_, pattern)| pattern.matches(&event)).map(|(shard, _)| shard.clone()).collect()
}

/// The patterns in a plan, by shard.
pub fn planned(plan: &Value) -> Vec<(String, Pattern)> {
    fn walk<'v>(module: &'v Value, found: &mut Vec<&'v Value>) {
        found.extend(module["resources"].as_array().into_iter().flatten());
        module["child_modules"].as_array().into_iter().flatten().for_each(|child| walk(child, found));
    }
    let mut resources = Vec::new();
    walk(&plan["planned_values"]["root_module"], &mut resources);
    let rules = resources.iter().filter(|one| one["type"] == "aws_cloudwatch_event_rule" && one["name"] == "shard");
    let pattern = |rule: &&&Value| {
        let text = rule["values"]["event_pattern"].as_str().expect("a pattern");
        let pattern = Pattern::parse(text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        (rule["index"].as_str().expect("a shard").to_owned(), pattern)
    };
    rules.collect::<Vec<_>>().iter().map(pattern).collect()
}

/// Keys that tempt a pattern, and the shard of five that they belong to.
pub fn tempting(org: &str) -> Vec<(String, &'static str)> {
    let log = |account: &str, kind: &str, day: &str| {
        format!(
            "AWSLogs/{org}/{account}/{kind}/eu-west-1/2026/03/{day}/{account}_{kind}_eu-west-1_202603{day}T0000Z_abc.json.gz"
        )
    };
    vec![
        (log("111122223333", "CloudTrail", "01"), "3"),
        // A day that ends in another shard's digit.
        (log("111122223330", "CloudTrail", "24"), "0"),
        (log("000000000004", "CloudTrail-Digest", "08"), "4"),
        (log("111122223339", "CloudTrail-Insight", "07"), "4"),
        (log("111122223332", "CloudTrail-NetworkActivity", "11"), "2"),
        // An account is of its shard in whoever's folder it lies: so the program has it.
        ("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/x.json.gz".into(), "3"),
        ("AWSLogs/o-another000/111122223333/CloudTrail/x".into(), "3"),
        // What is of no account, or of no trail, is the first one's.
        (format!("AWSLogs/{org}/somebody/CloudTrail/x"), "0"),
        (format!("AWSLogs/{org}/111122223333/Config/x"), "0"),
        ("elsewhere".into(), "0"),
        (String::new(), "0"),
    ]
}
