use serde_json::Value;
use trailwarden::core::key::{DigestKey, KeyFault, LogKey, LogKind, ObjectKey, parse};

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("keys.json")).unwrap()
}

/// Asserts each member of the case that speaks of a log or a digest.
fn assert_fields(case: &Value, found: &[(&str, Value)]) {
    let known = ["key", "kind", "basis"];
    for (name, wanted) in case.as_object().unwrap().iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let found = found.iter().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no field {name}"));
        assert_eq!(found.1, *wanted, "{name} of {}", case["key"]);
    }
}

fn assert_log(case: &Value, log: &LogKey) {
    let kind = match log.kind {
        LogKind::Events => "log",
        LogKind::Insight => "insight-log",
        LogKind::NetworkActivity => "network-activity-log",
        LogKind::Aggregated => "aggregated-log",
    };
    assert_eq!(case["kind"], kind);
    assert!(!log.odd_name);
    assert_eq!(case["key"], log.format());
    assert!(log.format().starts_with(&log.day_folder()) && log.day_folder().starts_with(&log.root.path()));
    assert_fields(
        case,
        &[
            ("prefix", log.root.prefix.clone().into()),
            ("org", log.root.org.as_ref().map(ToString::to_string).into()),
            ("account", log.root.account.to_string().into()),
            ("region", log.region.to_string().into()),
            ("date", log.date.to_string().into()),
            ("delivered", log.delivered.to_string().into()),
            ("unique", log.unique.clone().into()),
        ],
    );
}

fn assert_digest(case: &Value, digest: &DigestKey) {
    assert_eq!(case["kind"], "digest");
    assert_eq!(case["key"], digest.format());
    assert!(digest.format().starts_with(&digest.day_folder()));
    assert_fields(
        case,
        &[
            ("org", digest.root.org.as_ref().map(ToString::to_string).into()),
            ("account", digest.root.account.to_string().into()),
            ("region", digest.region.to_string().into()),
            ("trail", digest.trail.clone().into()),
            ("home_region", digest.home.to_string().into()),
            ("end", digest.end.to_string().into()),
            ("backfill", digest.backfill.into()),
        ],
    );
}

#[test]
fn every_key_is_what_its_case_says() {
    for case in cases() {
        match parse(case["key"].as_str().unwrap()) {
            ObjectKey::Log(log) => assert_log(&case, &log),
            ObjectKey::Digest(digest) => assert_digest(&case, &digest),
            ObjectKey::Marker(account) => {
                assert_eq!(case["kind"], "marker");
                assert_fields(&case, &[("account", account.unwrap().to_string().into())]);
            }
            ObjectKey::OtherService(name) => {
                assert_eq!(case["kind"], "foreign");
                assert!(["Config", "vpcflowlogs"].contains(&name.as_str()), "{name}");
            }
            ObjectKey::Rejected(fault) => {
                // a date that contradicts the folder's is not impossible, only suspicious
                let suspicious = matches!(fault, KeyFault::DateMismatch { .. });
                assert_eq!(
                    case["kind"],
                    if suspicious { "suspicious" } else { "rejected" },
                    "{}: {fault}",
                    case["key"]
                );
            }
        }
    }
}

#[test]
fn every_rejection_has_the_reason_of_its_case() {
    let reasons: Vec<String> = cases()
        .iter()
        .filter_map(|case| match parse(case["key"].as_str().unwrap()) {
            ObjectKey::Rejected(fault) => Some(fault.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "the file name's account 999988887777 is not the folder's 111122223333",
            "the file name's region us-east-1 is not the folder's eu-west-1",
            "the file name's date 2026-03-01 is not the folder's 2026-03-05",
            "account in the path is not twelve digits",
            "holds a path trick or a control character",
            "2026/02/30 is not a calendar date or time",
        ]
    );
}
