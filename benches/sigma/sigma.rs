//! Sigma rules over log files: inflate, parse and ask all of them, beside rsigma-eval doing the same; and as many rules as somebody
//! has who took them all.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use common::{Beside, RECORDS, Scratch, figure, is_bench, play, time};
use rsigma_eval::Engine;
use rsigma_eval::event::JsonEvent;
use serde_json::Value;
use trailwarden::config::Config;
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::key::{self, LogKey, LogKind, ObjectKey};
use trailwarden::core::record;
use trailwarden::core::rule::{Hits, Rules};
use trailwarden::world::Scale;

/// As many as are shared for CloudTrail, and as for all of a cloud's logs.
const SETS: [usize; 2] = [57, 738];

/// Matches by title.
type Matched = BTreeMap<String, usize>;

/// Rules of the kind that is shared for CloudTrail: nearly all are about a service and a few of its calls.
fn rules(count: usize) -> String {
    const SERVICES: [&str; 8] = ["iam", "ec2", "s3", "sts", "kms", "lambda", "rds", "secretsmanager"];
    const CALLS: [&str; 8] = [
        "CreateAccessKey",
        "RunInstances",
        "PutBucketPolicy",
        "AssumeRole",
        "Decrypt",
        "UpdateFunctionCode20150331v2",
        "ModifyDBInstance",
        "GetSecretValue",
    ];
    let mut text = String::new();
    for n in 0..count {
        let (service, call) = (SERVICES[n % 8], CALLS[n % 8]);
        let source = format!("eventSource: {service}.amazonaws.com");
        let detection = match n % 20 {
            0 => "userIdentity.type: Root\n  not_by_service:\n    eventType: AwsServiceEvent\n  condition: selection and not not_by_service".into(),
            1 => format!("{source}\n    eventName: {call}\n    errorCode: [AccessDenied, Client.UnauthorizedOperation]\n  condition: selection"),
            2 => format!("{source}\n    eventName|startswith: [Delete{n}, Put{n}]\n  condition: selection"),
            3 => format!("{source}\n    eventName: {call}\n  filter:\n    userIdentity.arn|contains: '/nobody-{n}/'\n  condition: selection and not filter"),
            4 => format!("{source}\n    eventName: {call}\n    requestParameters.attribute|contains: 'value-{n}'\n  condition: selection"),
            5 if n % 40 == 5 => format!("userAgent|contains: 'tool-{n}'\n  condition: selection"),
            _ => format!("{source}\n    eventName:\n      - Create{n}\n      - Delete{n}\n  condition: selection"),
        };
        write!(
            text,
            "title: Rule {n}\nid: 00000000-0000-4000-8000-{n:012}\nlogsource: {{product: aws, service: cloudtrail}}\n\
             detection:\n  selection:\n    {detection}\nlevel: medium\n---\n"
        )
        .expect("a text takes everything");
    }
    text
}

fn ours(text: &str, scratch: &Scratch) -> Arc<Rules> {
    fs::write(scratch.0.join("rules.yml"), text).expect("the disk takes it");
    let config = "[organization]\nid = \"o-a1b2c3d4e5\"\nmembers = \"organizations\"\n[[trail]]\nname = \"t\"\nbucket = \"bucket\"\n\
                  region = \"eu-west-1\"\nqueue = \"https://sqs.eu-west-1.amazonaws.com/111122223333/q\"\n[detect]\nrules = [\"rules.yml\"]\n\
                  [channel.out]\nkind = \"stdout\"\n[[route]]\nto = [\"out\"]\n[state]\npath = \"state.db\"\n";
    let path = scratch.0.join("trailwarden.toml");
    fs::write(&path, config).expect("the disk takes it");
    Config::load(&path).unwrap_or_else(|error| panic!("{error}")).detect
}

fn theirs(text: &str) -> Engine {
    let rules = rsigma_parser::parse_sigma_yaml(text).expect("rules of both");
    let mut engine = Engine::new();
    engine.add_collection(&rules).expect("rules of both");
    engine
}

struct File {
    key: LogKey,
    stored: Vec<u8>,
}

fn inflated(file: &File) -> Vec<u8> {
    gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates").bytes
}

fn ask_ours(files: &[File], rules: &Rules) -> Matched {
    let mut matched = Matched::new();
    for file in files {
        let (bytes, mut hits) = (inflated(file), Hits::default());
        record::read(&bytes, &file.key, |record, raw| rules.look(record, raw, &mut hits)).expect("it is a log");
        for (rule, group) in hits.groups() {
            let title = &rules.get(rule).expect("a rule of these").title;
            *matched.entry(title.clone()).or_default() += group.hits.len();
        }
    }
    matched
}

fn ask_theirs(files: &[File], engine: &Engine) -> Matched {
    let mut matched = Matched::new();
    for file in files {
        let log: Value = serde_json::from_slice(&inflated(file)).expect("it is JSON");
        for record in log["Records"].as_array().expect("it is a log") {
            for found in engine.evaluate(&JsonEvent::borrow(record)) {
                *matched.entry(found.header.rule_title.clone()).or_default() += 1;
            }
        }
    }
    matched
}

fn main() {
    if !is_bench() {
        return;
    }
    let scratch = Scratch::new("sigma");
    let scale = Scale { accounts: 2, regions: 1, hours: 8, logs_per_hour: (2, 2), records_per_log: RECORDS };
    let played = play(&scratch.0, scale);
    let files = played.logs.iter().filter_map(|log| match key::parse(&log.key) {
        ObjectKey::Log(key) if key.kind == LogKind::Events => {
            Some(File { key, stored: fs::read(&log.path).expect("it was just written") })
        }
        _ => None,
    });
    let files: Vec<File> = files.collect();
    let records: u64 =
        files.iter().map(|file| record::read(&inflated(file), &file.key, |_, _| {}).expect("a log").rows).sum();
    for count in SETS {
        let text = rules(count);
        let (ours, theirs) = (ours(&text, &scratch), theirs(&text));
        let (matched, beside) = (ask_ours(&files, &ours), ask_theirs(&files, &theirs));
        assert_eq!(matched, beside, "both say the same");
        println!("{count} rules match {} times in {records} records", matched.values().sum::<usize>());
        let times = Beside::rounds(41, || time(|| ask_theirs(&files, &theirs)), || time(|| ask_ours(&files, &ours)));
        let rate = |seconds: f64| format!("{:.0} records/s", records as f64 / seconds);
        figure(&format!("rsigma-eval, {count} rules, one thread"), rate(times.floor()), "");
        figure(&format!("the same rules here, {count}"), rate(times.ours()), "wanted: 156,000 or more with 57");
        figure("ours ÷ rsigma-eval", format!("{:.2}", times.ratio()), "wanted: 1.2 or more");
    }
}
