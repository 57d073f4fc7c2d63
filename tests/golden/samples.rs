//! Third-party data, read from the directory that `TRAILWARDEN_SAMPLES` names; it is no part of the project.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trailwarden::core::gzip;
use trailwarden::core::id::{AccountId, Region};
use trailwarden::core::key::{LogKey, ObjectKey, parse};
use trailwarden::core::notice::{Notice, Opened, open};
use trailwarden::core::record::{self, LogFile, MisfitKind};

/// The files under a part of the samples, with their paths relative to it; `None`, said aloud, without samples.
pub fn samples(part: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let Some(root) = std::env::var_os("TRAILWARDEN_SAMPLES") else {
        eprintln!("skipped: TRAILWARDEN_SAMPLES does not name a directory of third-party samples");
        return None;
    };
    let root = Path::new(&root).join(part);
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let mut bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "gz") {
            bytes = gzip::inflate(&bytes, gzip::Caps::default()).unwrap().bytes;
        }
        (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), bytes)
    };
    Some(
        paths.into_iter().filter(|path| path.extension().is_none_or(|extension| extension != "md")).map(read).collect(),
    )
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, paths) } else { paths.push(path) }
    }
}

/// The records of a file in any of the shapes that the samples come in.
fn records(bytes: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(records)) => records,
        Ok(Value::Object(mut object)) => match (object.remove("Records"), object.remove("detail")) {
            (Some(Value::Array(records)), _) => records,
            (_, Some(detail)) => vec![detail],
            _ => vec![Value::Object(object)],
        },
        _ => lines(bytes),
    }
}

/// One object a line; LookupEvents holds the record as a text.
fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines().filter(|line| !line.trim().is_empty());
    let object = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line).unwrap();
        match &object["CloudTrailEvent"] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            _ => object,
        }
    };
    lines.map(object).collect()
}

/// A key that fits what the record says, as far as that is an account, a region and a time.
fn fitting_key(record: &Value) -> LogKey {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let account = if text("recipientAccountId").len() == 12 { text("recipientAccountId") } else { "111122223333" };
    let (day, time) = text("eventTime").split_once('T').unwrap_or(("2020-01-01", "00:00:00Z"));
    let stamp = format!("{}T{}Z", day.replace('-', ""), time[..5].replace(':', ""));
    let folder = day.replace('-', "/");
    let key = |region: &str| {
        parse(&format!(
            "AWSLogs/{account}/CloudTrail/{region}/{folder}/{account}_CloudTrail_{region}_{stamp}_Ab3dEf6hIj9kLm2n.json.gz"
        ))
    };
    match [key(text("awsRegion")), key("us-east-1")] {
        [ObjectKey::Log(log), _] | [_, ObjectKey::Log(log)] => log,
        other => panic!("{other:?}"),
    }
}

/// What anonymizing by hand left in a record that no key can say: an account of nine digits, a region `euiso-south-3r`.
fn made_up(record: &Value) -> Vec<MisfitKind> {
    let text = |name: &str| record[name].as_str().filter(|_| record["eventTime"].is_string());
    let account = text("recipientAccountId").filter(|account| AccountId::parse(account).is_err());
    let may_be_anywhere = record["eventSource"] == "signin.amazonaws.com";
    let region = text("awsRegion").filter(|region| Region::parse(region).is_err() && !may_be_anywhere);
    [account.map(|_| MisfitKind::Account), region.map(|_| MisfitKind::Region)].into_iter().flatten().collect()
}

fn read_one(record: &Value) -> LogFile {
    let raw = record.to_string();
    let text = format!("{{\"Records\":[{raw}]}}");
    let mut seen = 0;
    let file = record::read(text.as_bytes(), &fitting_key(record), |typed, text| {
        seen += 1;
        assert_eq!(text, raw);
        assert_eq!(typed.id(), record["eventID"].as_str());
        assert_eq!(typed.event_time.as_deref(), record["eventTime"].as_str());
        assert_eq!(typed.event_name.as_deref(), record["eventName"].as_str());
    });
    let file = file.unwrap();
    assert_eq!((seen, file.rows + file.rejected), (file.rows, 1));
    file
}

#[test]
fn every_record_becomes_a_row_or_a_reject() {
    let Some(files) = samples("cloudtrail") else { return };
    let (mut rows, mut rejects) = (0, BTreeMap::<(String, String), u64>::new());
    for (path, bytes) in files {
        let records = records(&bytes);
        let folder = path.split('/').next().unwrap();
        for record in &records {
            let file = read_one(record);
            rows += file.rows;
            let misfits: Vec<MisfitKind> = file.misfits.iter().map(|misfit| misfit.kind).collect();
            assert_eq!(misfits, made_up(record), "{path}: {:?}", file.misfits);
            for (_, reason) in file.rejects {
                *rejects.entry((folder.to_owned(), reason)).or_default() += 1;
            }
        }
        // as it stands, where it is a trail file
        if serde_json::from_slice::<Value>(&bytes).is_ok_and(|file| file.get("Records").is_some()) {
            let whole = record::read(&bytes, &fitting_key(records.first().unwrap_or(&Value::Null)), |_, _| {}).unwrap();
            assert_eq!((whole.rows, whole.rejected), (records.len() as u64, 0), "{path}");
        }
    }
    eprintln!("{rows} rows; rejects: {rejects:#?}");
    assert!(rows > 2000, "{rows} rows");
    let no_time = "no event time".to_owned();
    let wanted =
        [(("cloud-custodian".to_owned(), no_time.clone()), 1), (("security-datasets".to_owned(), no_time), 103)];
    assert_eq!(rejects, BTreeMap::from(wanted));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Understood,
    Refused,
    TestEvent,
    Subscription,
}
use Expected::{Refused, Subscription, TestEvent, Understood};

/// What each payload is, by the start of its file name; the first that fits counts.
const PAYLOADS: &[(&str, Expected)] = &[
    // of Lambda's envelopes only the inner messages come through a queue
    ("example-sns-event", Refused),
    ("example-sqs-event", Refused),
    ("sns-event", Refused),
    ("sqs-event", Refused),
    ("sqs-batch-partial-garbage.json#body1", Refused),
    ("sqs-batch-partial-garbage.json#body", Understood),
    ("sqs-s3-event.json#body", Understood),
    ("sqs-sns-event.json#body", Understood),
    ("sns-s3-event.json#Sns", Understood),
    ("sns-s3-test-event.json#Sns", TestEvent),
    ("sqs-", Refused),
    ("sns-", Refused),
    ("s3-test-event", TestEvent),
    ("s3-", Understood),
    ("example-s3-", Understood),
    // an array serialized for a struct is no message
    ("s3_sqs_testevent.json#", TestEvent),
    ("s3_sqs_testevent", Refused),
    ("s3_sqs_raw_message.json#Body", Understood),
    ("s3_sqs_raw_message", Refused),
    ("s3_", Understood),
    ("eventbridge-object-created-unsupported-version", Refused),
    ("eventbridge-", Understood),
    ("sns_http.json#SubscriptionConfirmation", Subscription),
    ("sns_http.json#UnsubscribeConfirmation", Subscription),
    ("sns_http", Refused),
    // "hello" in an envelope
    ("sns_wrapped", Refused),
    // records, not news of objects; EC2's events; other consoles and APIs
    ("example-cloudwatch-", Refused),
    ("example-eventbridge-event-obj", Refused),
    ("cloudwatch-logs-event", Refused),
    ("kinesis-event", Refused),
    ("alertmanager-webhook", Refused),
    ("closed_account", Refused),
    ("describe_", Refused),
    ("get_trail_status", Refused),
    ("list_", Refused),
    ("lookup_events", Refused),
    ("notification_config", Refused),
];

/// The payload itself, and the messages that its envelope of another service holds.
fn bodies(name: &str, bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let mut bodies = vec![(name.to_owned(), bytes)];
    let mut add = |label: String, body: &Value| {
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        bodies.push((format!("{name}#{label}"), text.into_bytes()));
    };
    if let Some(body) = value.get("Body") {
        add("Body".into(), body);
    }
    for (position, record) in value["Records"].as_array().into_iter().flatten().enumerate() {
        if let Some(body) = record.get("body") {
            add(format!("body{position}"), body);
        }
        if let Some(envelope) = record.get("Sns") {
            add("Sns".into(), envelope);
        }
    }
    for element in value.as_array().into_iter().flatten() {
        match element.as_array().map(Vec::as_slice) {
            Some([Value::String(kind), message]) => add(kind.clone(), message),
            _ if element.get("Event").is_some() => add("Event".into(), element),
            _ => {}
        }
    }
    bodies
}

fn judged(opened: &Opened, label: &str) -> Expected {
    match opened {
        Opened::Notices { notices, rejects } if !notices.is_empty() && rejects.is_empty() => {
            assert!(notices.iter().all(|notice| !notice.bucket.is_empty() && !notice.key.is_empty()), "{label}");
            Understood
        }
        Opened::Unintelligible { reason } if !reason.is_empty() => Refused,
        Opened::TestEvent => TestEvent,
        Opened::Subscription { topic } if !topic.is_empty() => Subscription,
        other => panic!("{label}: {other:?}"),
    }
}

#[test]
fn every_payload_is_understood_or_refused_as_the_table_says() {
    let (Some(of_aws), Some(of_emulators)) = (samples("notifications"), samples("emulator-payloads")) else { return };
    let mut counts = BTreeMap::<String, usize>::new();
    for (path, bytes) in of_aws.into_iter().chain(of_emulators) {
        let name = path.rsplit('/').next().unwrap();
        for (label, body) in bodies(name, bytes) {
            let row = PAYLOADS.iter().find(|(start, _)| label.starts_with(start));
            let (_, expected) = row.unwrap_or_else(|| panic!("no row for {path}: {label}"));
            let opened = open(&body);
            assert_eq!(judged(&opened, &label), *expected, "{path}: {label}: {opened:?}");
            *counts.entry(format!("{expected:?}")).or_default() += 1;
        }
    }
    eprintln!("{counts:?}");
    assert!(counts["Understood"] > 30 && counts["TestEvent"] >= 5 && counts["Subscription"] >= 2, "{counts:?}");
}

#[test]
fn emulators_keys_come_out_as_they_were_put() {
    const PUT: &str = "AWSLogs/o-abc/111111111111/CloudTrail/us-east-1/2026/01/01/\
                       111111111111_CloudTrail_us-east-1_20260101T0000Z_AbC=d+e f.json.gz";
    let Some(files) = samples("emulator-payloads") else { return };
    let (mut literal, mut decoded) = (0, 0);
    for (path, bytes) in files {
        let Opened::Notices { notices, .. } = open(&bytes) else { continue };
        for Notice { key, key_decoded, .. } in notices {
            if key == PUT {
                literal += 1;
            } else {
                assert_eq!(key_decoded.as_deref(), Some(PUT), "{path}");
                decoded += 1;
            }
        }
    }
    // one of them encodes keys in EventBridge events
    assert!(literal >= 12 && decoded == 1, "{literal} literal, {decoded} decoded");
}

#[test]
fn a_payload_without_a_row_is_noticed() {
    assert!(PAYLOADS.iter().all(|(start, _)| !"novel.json".starts_with(start)));
    assert_eq!(bodies("x", json!({"Records": [{"body": "b"}, {"Sns": {"a": 1}}]}).to_string().into_bytes()).len(), 3);
}
