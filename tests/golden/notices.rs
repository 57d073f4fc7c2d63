use std::fs;
use std::path::Path;

use serde_json::Value;
use trailwarden::core::notice::{Envelope, Event, How, Notice, Opened, open};

fn body(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/notifications/{name}.json"))).unwrap()
}

fn notices(name: &str) -> Vec<Notice> {
    match open(&body(name)) {
        Opened::Notices { notices, rejects } if rejects.is_empty() => notices,
        other => panic!("{name}: {other:?}"),
    }
}

fn assert_notice(name: &str, notice: &Notice, wanted: &Value) {
    assert_eq!(notice.bucket, wanted["bucket"], "{name}");
    assert_eq!(notice.key, wanted["key"], "{name}");
    if let Some(version) = wanted.get("versionId") {
        assert_eq!(notice.version.as_deref(), version.as_str(), "{name}");
    }
    let removed = matches!(notice.event, Event::Removed { .. });
    assert_eq!(removed, wanted["removed"].as_bool().unwrap_or(false), "{name}");
}

#[test]
fn every_body_gives_what_its_case_says() {
    let expected: Value = serde_json::from_slice(&body("expected")).unwrap();
    for (name, wanted) in expected.as_object().unwrap() {
        match wanted {
            Value::Array(wanted) => {
                let found = notices(name);
                assert_eq!(found.len(), wanted.len(), "{name}");
                found.iter().zip(wanted).for_each(|(notice, wanted)| assert_notice(name, notice, wanted));
            }
            text => {
                let opened = open(&body(name));
                let fits = match text.as_str().unwrap().split([':', ';']).next().unwrap() {
                    "test event" => opened == Opened::TestEvent,
                    "validation message" => opened == Opened::Validation,
                    "two objects" => notices(name).len() == 2,
                    "poison message" => matches!(&opened, Opened::Unintelligible { reason } if !reason.is_empty()),
                    other => panic!("unknown expectation {other}"),
                };
                assert!(fits, "{name}: {opened:?}");
            }
        }
    }
}

#[test]
fn the_rest_of_a_notice_is_taken_over() {
    let s3 = &notices("sns-s3-event")[0];
    assert_eq!((s3.envelope, &s3.event, s3.size), (Envelope::S3, &Event::Created(How::Put), Some(1834)));
    assert_eq!(s3.etag.as_deref(), Some("9b2cf535f27731c974343645a3985328"));
    assert_eq!(s3.sequencer.as_deref(), Some("0069A4C2B01F3D9A77"));
    assert_eq!(s3.writer.as_deref(), Some("AWS:AROAEXAMPLEEXAMPLE001:regionalDeliverySession"));
    assert_eq!(s3.time.map(|time| time.to_string()).as_deref(), Some("2026-03-01T22:12:44.271Z"));
    assert_eq!(s3.key_decoded, None);

    let bridge = &notices("eventbridge")[0];
    assert_eq!(
        (bridge.envelope, &bridge.event, bridge.size),
        (Envelope::EventBridge, &Event::Created(How::Put), Some(1834))
    );
    assert_eq!(bridge.etag.as_deref(), Some("9b2cf535f27731c974343645a3985328"));
    assert_eq!(bridge.sequencer.as_deref(), Some("0069a4c2b01f3d9a77"));
    assert_eq!(bridge.writer.as_deref(), Some("cloudtrail.amazonaws.com"));
    assert_eq!(bridge.time.map(|time| time.to_string()).as_deref(), Some("2026-03-01T22:12:44Z"));

    let own = &notices("sns-raw-cloudtrail")[0];
    assert_eq!((own.envelope, &own.event, own.time), (Envelope::CloudTrail, &Event::Created(How::Unsaid), None));

    let removed = &notices("s3-event-removed")[0];
    assert_eq!(removed.event, Event::Removed { marker: false, lifecycle: false });

    let keys: Vec<String> = notices("two-records").into_iter().map(|notice| notice.key).collect();
    assert!(
        keys[0].ends_with("_Ab3dEf6hIj9kLm2n.json.gz") && keys[1].ends_with("_Second1Second2Se.json.gz"),
        "{keys:?}"
    );
}

#[test]
fn a_listing_makes_notices_too() {
    let notice = Notice::listed("b", "k", 7, Some("e".into()));
    assert_eq!((notice.envelope, notice.event), (Envelope::Listing, Event::Created(How::Unsaid)));
    assert_eq!(
        (notice.bucket.as_str(), notice.key.as_str(), notice.size, notice.etag.as_deref()),
        ("b", "k", Some(7), Some("e"))
    );
    assert_eq!((notice.version, notice.key_decoded), (None, None));
}
