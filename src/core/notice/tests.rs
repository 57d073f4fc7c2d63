use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn s3(name: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "eventTime": "2026-03-01T22:12:44.271Z",
        "userIdentity": {"principalId": "AWS:AROA:regionalDeliverySession"},
        "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 7, "eTag": "\"e\"", "sequencer": "0A"}},
    })
}

fn bridge(kind: &str, key: &str, reason: &str, deletion: &str) -> Value {
    json!({
        "source": "aws.s3", "detail-type": kind, "time": "2026-03-01T22:12:44Z",
        "detail": {"bucket": {"name": "b"}, "object": {"key": key}, "reason": reason, "deletion-type": deletion,
                   "requester": "cloudtrail.amazonaws.com"},
    })
}

fn sns(inner: impl ToString) -> Value {
    json!({"Type": "Notification", "Message": inner.to_string(), "TopicArn": "t"})
}

fn opened(body: &Value) -> Opened {
    open(body.to_string().as_bytes())
}

fn notices(body: &Value) -> (Vec<Notice>, Vec<(usize, String)>) {
    match opened(body) {
        Opened::Notices { notices, rejects } => (notices, rejects),
        other => panic!("{other:?}"),
    }
}

fn only(body: &Value) -> Notice {
    match notices(body) {
        (mut found, rejects) if found.len() == 1 && rejects.is_empty() => found.remove(0),
        other => panic!("{other:?}"),
    }
}

fn reason(body: &Value) -> String {
    match opened(body) {
        Opened::Unintelligible { reason } if !reason.is_empty() => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_s3_record_is_read_whole() {
    let notice = only(&json!({"Records": [s3("ObjectCreated:Put", "log+prefix%2B1/%C3%A9")]}));
    assert_eq!(
        notice,
        Notice {
            envelope: Envelope::S3,
            event: Event::Created(How::Put),
            bucket: "b".into(),
            key: "log prefix+1/é".into(),
            key_decoded: None,
            version: None,
            size: Some(7),
            etag: Some("e".into()),
            sequencer: Some("0A".into()),
            writer: Some("AWS:AROA:regionalDeliverySession".into()),
            time: "2026-03-01T22:12:44.271Z".parse().ok(),
        }
    );
}

#[test]
fn every_event_name_has_its_meaning() {
    let gone = |marker, lifecycle| Event::Removed { marker, lifecycle };
    for (name, event) in [
        ("ObjectCreated:Put", Event::Created(How::Put)),
        ("s3:ObjectCreated:Copy", Event::Created(How::Copy)),
        ("ObjectCreated:Post", Event::Created(How::Post)),
        ("ObjectCreated:CompleteMultipartUpload", Event::Created(How::Multipart)),
        ("ObjectCreated:Teleport", Event::Created(How::Unsaid)),
        ("ObjectRemoved:Delete", gone(false, false)),
        ("ObjectRemoved:DeleteMarkerCreated", gone(true, false)),
        ("LifecycleExpiration:Delete", gone(false, true)),
        ("s3:LifecycleExpiration:DeleteMarkerCreated", gone(true, true)),
        ("s3:LifecycleTransition", Event::Other("LifecycleTransition".into())),
        ("ObjectTagging:Put", Event::Other("ObjectTagging:Put".into())),
    ] {
        assert_eq!(only(&json!({"Records": [s3(name, "k")]})).event, event, "{name}");
    }
    for (kind, reason, deletion, event) in [
        ("Object Created", "PutObject", "", Event::Created(How::Put)),
        ("Object Created", "CopyObject", "", Event::Created(How::Copy)),
        ("Object Created", "POST Object", "", Event::Created(How::Post)),
        ("Object Created", "CompleteMultipartUpload", "", Event::Created(How::Multipart)),
        ("Object Created", "", "", Event::Created(How::Unsaid)),
        ("Object Deleted", "DeleteObject", "Permanently Deleted", gone(false, false)),
        ("Object Deleted", "DeleteObject", "Delete Marker Created", gone(true, false)),
        ("Object Deleted", "Lifecycle Expiration", "Delete Marker Created", gone(true, true)),
        ("Object Tags Added", "", "", Event::Other("Object Tags Added".into())),
    ] {
        assert_eq!(only(&bridge(kind, "k", reason, deletion)).event, event, "{kind} {reason} {deletion}");
    }
}

#[test]
fn an_eventbridge_key_stays_as_written_beside_its_decoded_form() {
    let notice = only(&bridge("Object Created", "a%3Db%2Bc%20d", "PutObject", ""));
    assert_eq!((notice.key.as_str(), notice.key_decoded.as_deref()), ("a%3Db%2Bc%20d", Some("a=b+c d")));
    assert_eq!(only(&bridge("Object Created", "a+b", "", "")).key_decoded.as_deref(), Some("a b"));
    let plain = only(&bridge("Object Created", "a=b c", "", ""));
    assert_eq!(
        (plain.key.as_str(), plain.key_decoded, plain.writer.as_deref()),
        ("a=b c", None, Some("cloudtrail.amazonaws.com"))
    );
    assert_eq!(only(&bridge("Object Created", "a%ff", "", "")).key_decoded, None);
}

#[test]
fn a_bad_record_keeps_its_position_and_the_good_ones_come() {
    let good = || s3("ObjectCreated:Put", "k");
    let mut other_major = good();
    other_major["eventVersion"] = json!("3.0");
    let mut newer = good();
    newer["eventVersion"] = json!("2.99");
    newer["novelty"] = json!({"a": [1]});
    let mut nameless = good();
    nameless["s3"]["bucket"]["name"] = json!(7);
    let mut foreign = good();
    foreign["eventSource"] = json!("aws:sns");
    let mut array = good();
    array["s3"] = json!([null, {"name": "b"}, {"key": "k"}]);
    let records = json!([good(), other_major, newer, nameless, s3("ObjectCreated:Put", "%ff"), 5, foreign, array]);
    let (notices, rejects) = notices(&json!({"Records": records}));
    assert_eq!(notices.len(), 2);
    let positions: Vec<usize> = rejects.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, [1, 3, 4, 5, 6, 7]);
    assert!(rejects.iter().all(|(_, reason)| !reason.is_empty()));
    assert!(rejects[0].1.contains("`3.0`"), "{rejects:?}");
}

#[test]
fn envelopes_are_unwrapped_twice_and_no_more() {
    let inner = bridge("Object Created", "k", "PutObject", "");
    assert_eq!(only(&sns(&inner)).envelope, Envelope::EventBridge);
    assert_eq!(only(&sns(sns(&inner))).envelope, Envelope::EventBridge);
    assert!(reason(&sns(sns(sns(&inner)))).contains("envelopes"));
    assert_eq!(opened(&sns("CloudTrail validation message.")), Opened::Validation);
    assert_eq!(open(b"CloudTrail validation message.\n"), Opened::Validation);
    assert_eq!(opened(&sns(json!({"Event": "s3:TestEvent"}))), Opened::TestEvent);
}

#[test]
fn cloudtrails_own_keys_are_plain() {
    let (found, rejects) = notices(&json!({"s3Bucket": "b", "s3ObjectKey": ["a+b%20c", 5, "d"]}));
    let keys: Vec<&str> = found.iter().map(|notice| notice.key.as_str()).collect();
    assert_eq!((keys, rejects.len(), rejects[0].0), (vec!["a+b%20c", "d"], 1, 1));
    assert_eq!(only(&json!({"s3Bucket": "b", "s3ObjectKey": "k"})).event, Event::Created(How::Unsaid));
}

#[test]
fn what_is_no_news_has_a_reason() {
    for bad in [
        json!({"Records": []}),
        json!({"Records": {}}),
        json!({"Records": [{"EventSource": "aws:sns"}]}),
        json!({"s3Bucket": "b", "s3ObjectKey": []}),
        json!({"Type": "Notification"}),
        json!({"source": "aws.s3", "detail-type": "Object Created"}),
        json!({"source": "aws.ec2", "detail-type": "Object Created", "detail": {}}),
        json!({}),
        json!([{"Event": "s3:TestEvent"}]),
        json!(["Notification", "CloudTrail validation message."]),
        json!("CloudTrail validation message"),
    ] {
        assert!(reason(&bad).len() > 5, "{bad}");
    }
    let mut other_major = bridge("Object Created", "k", "", "");
    other_major["detail"]["event-version"] = json!("2.0");
    assert!(reason(&other_major).contains("`2.0`"));
    let twice = br#"{"s3Bucket":"a","s3ObjectKey":["k"],"s3Bucket":"b"}"#;
    for bad in [&b"not json"[..], b"", b"\xff", twice] {
        assert!(matches!(open(bad), Opened::Unintelligible { .. }), "{bad:?}");
    }
    let topic = Opened::Subscription { topic: "t".into() };
    assert_eq!(opened(&json!({"Type": "SubscriptionConfirmation", "TopicArn": "t", "Message": "m"})), topic);
    assert_eq!(opened(&json!({"Type": "UnsubscribeConfirmation", "TopicArn": "t"})), topic);
}

#[test]
fn size_and_depth_are_bounded() {
    let test = json!({"Event": "s3:TestEvent"}).to_string();
    let padded = |bytes: usize| test.clone() + &" ".repeat(bytes - test.len());
    assert_eq!(open(padded(LARGEST_BODY).as_bytes()), Opened::TestEvent);
    assert!(matches!(open(padded(LARGEST_BODY + 1).as_bytes()), Opened::Unintelligible { .. }));
    for open_bracket in ["[", "{\"a\":"] {
        let deep = format!("{{\"Event\":\"s3:TestEvent\",\"x\":{}", open_bracket.repeat(100_000));
        assert!(matches!(open(deep.as_bytes()), Opened::Unintelligible { .. }));
        assert!(reason(&sns(&deep)).contains("deeper"));
    }
}

proptest! {
    #[test]
    fn any_body_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, with in any::<u8>(), cut in 0_usize..500) {
        open(&bytes);
        for body in [json!({"Records": [s3("ObjectCreated:Put", "k")]}), bridge("Object Deleted", "k", "", ""), sns(s3("x", "k"))] {
            let mut text = body.to_string().into_bytes();
            if let Some(byte) = text.get_mut(at) {
                *byte = with;
            }
            open(&text);
            text.truncate(cut);
            open(&text);
        }
    }
}
