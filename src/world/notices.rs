//! Message bodies: the envelopes in which news of an object reaches a queue (Amazon S3 User Guide: event notifications,
//! EventBridge; CloudTrail User Guide: SNS notifications).

use fastrand::Rng;
use serde_json::{Value, json};

use super::cast::{HEX, KEY_LETTERS, die, guid, letters};
use super::instant;
use crate::core::id::Sha256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    S3,
    SnsS3,
    EventBridge,
    /// CloudTrail's own topic; never for digests, removals or copies.
    CloudTrail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Put,
    Copy,
    Delete,
}

/// One object's news, before it is written down.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub bucket: String,
    pub key: String,
    pub size: usize,
    pub etag: String,
    /// When it happened, in seconds since the epoch; the news may arrive later.
    pub time: i64,
    pub how: How,
    pub wrap: Wrap,
    /// May wait for the next such news and share its message.
    pub joins: bool,
}

impl News {
    pub fn put(bucket: &str, key: &str, body: &[u8], time: i64) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            size: body.len(),
            etag: etag(body),
            time,
            how: How::Put,
            wrap: Wrap::S3,
            joins: false,
        }
    }

    /// Orders the events of one key; the same event, told twice, has the same.
    fn sequencer(&self) -> String {
        format!("{:016X}", self.time.unsigned_abs() << 20)
    }

    fn die(&self) -> Rng {
        die(self.time.unsigned_abs(), &[self.key.len() as u64, self.size as u64])
    }
}

/// An entity tag: opaque to everybody, so a hash that is at hand serves.
pub(super) fn etag(body: &[u8]) -> String {
    Sha256::of(body).to_string().chars().take(32).collect()
}

/// A message with all of `news`, in the envelope of the last.
pub(super) fn message(news: &[News], region: &str) -> Vec<u8> {
    let Some(last) = news.last() else { return Vec::new() };
    let body = match last.wrap {
        Wrap::S3 => s3(news, region),
        Wrap::SnsS3 => sns(&s3(news, region).to_string(), Some("Amazon S3 Notification"), last.time, region),
        Wrap::EventBridge => event_bridge(last, region),
        Wrap::CloudTrail => {
            let keys: Vec<&str> = news.iter().map(|news| news.key.as_str()).collect();
            let inner = json!({ "s3Bucket": last.bucket, "s3ObjectKey": keys });
            sns(&inner.to_string(), None, last.time, region)
        }
    };
    body.to_string().into_bytes()
}

fn s3(news: &[News], region: &str) -> Value {
    let records: Vec<Value> = news.iter().map(|news| s3_record(news, region)).collect();
    json!({ "Records": records })
}

fn s3_record(news: &News, region: &str) -> Value {
    let mut rng = news.die();
    let (name, session) = match news.how {
        How::Put => ("ObjectCreated:Put", "regionalDeliverySession"),
        How::Copy => ("ObjectCreated:Copy", "omar.haddad@kestrel.example"),
        How::Delete => ("ObjectRemoved:Delete", "omar.haddad@kestrel.example"),
    };
    let mut object = json!({ "key": form_encoded(&news.key), "sequencer": news.sequencer() });
    if let (true, Some(fields)) = (news.how != How::Delete, object.as_object_mut()) {
        fields.insert("size".into(), news.size.into());
        fields.insert("eTag".into(), news.etag.clone().into());
    }
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": instant(news.time).strftime("%Y-%m-%dT%H:%M:%S.271Z").to_string(),
        "eventName": name,
        "userIdentity": { "principalId": format!("AWS:AROA{}:{session}", letters(&mut rng, KEY_LETTERS, 17)) },
        "requestParameters": { "sourceIPAddress": "192.0.2.10" },
        "responseElements": {
            "x-amz-request-id": letters(&mut rng, KEY_LETTERS, 16),
            "x-amz-id-2": letters(&mut rng, HEX, 40),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "trailwarden",
            "bucket": {
                "name": news.bucket,
                "ownerIdentity": { "principalId": "A3KESTRELEXAMPLE" },
                "arn": format!("arn:aws:s3:::{}", news.bucket),
            },
            "object": object,
        },
    })
}

fn event_bridge(news: &News, region: &str) -> Value {
    let mut rng = news.die();
    let (kind, reason, requester) = match news.how {
        How::Put => ("Object Created", "PutObject", "cloudtrail.amazonaws.com"),
        How::Copy => ("Object Created", "CopyObject", "111122223333"),
        How::Delete => ("Object Deleted", "DeleteObject", "111122223333"),
    };
    let mut detail = json!({
        "version": "0",
        "bucket": { "name": news.bucket },
        "object": { "key": news.key, "sequencer": news.sequencer().to_lowercase() },
        "request-id": letters(&mut rng, KEY_LETTERS, 16),
        "requester": requester,
        "source-ip-address": "192.0.2.10",
        "reason": reason,
    });
    if news.how == How::Delete {
        detail["deletion-type"] = "Permanently Deleted".into();
    } else {
        detail["object"]["size"] = news.size.into();
        detail["object"]["etag"] = news.etag.clone().into();
    }
    json!({
        "version": "0",
        "id": guid(&mut rng),
        "detail-type": kind,
        "source": "aws.s3",
        "account": "999988887777",
        "time": instant(news.time).to_string(),
        "region": region,
        "resources": [format!("arn:aws:s3:::{}", news.bucket)],
        "detail": detail,
    })
}

/// An SNS envelope around `message`.
pub(super) fn sns(message: &str, subject: Option<&str>, time: i64, region: &str) -> Value {
    let mut rng = die(time.unsigned_abs(), &[message.len() as u64]);
    let mut envelope = json!({
        "Type": "Notification",
        "MessageId": guid(&mut rng),
        "TopicArn": format!("arn:aws:sns:{region}:999988887777:org-trail"),
        "Message": message,
        "Timestamp": instant(time).strftime("%Y-%m-%dT%H:%M:%S.402Z").to_string(),
        "SignatureVersion": "1",
        "Signature": "RVhBTVBMRQ==",
        "SigningCertURL": format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-example.pem"),
        "UnsubscribeURL": format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe"),
    });
    if let Some(subject) = subject {
        envelope["Subject"] = subject.into();
    }
    envelope
}

/// What S3 sends once to a new destination.
pub(super) fn test_event(bucket: &str, time: i64) -> Vec<u8> {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": instant(time).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        "Bucket": bucket,
        "RequestId": "EXAMPLE123456789",
        "HostId": "EXAMPLE123/5678abcdefghijk",
    })
    .to_string()
    .into_bytes()
}

/// S3 writes a blank as `+` and percent-encodes the rest, `/` excepted.
fn form_encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'/' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(wrap: Wrap, how: How) -> News {
        let mut news = News::put("b", "a b+c/AWS::EC2/ü.gz", b"body", 1_772_400_000);
        (news.wrap, news.how) = (wrap, how);
        news
    }

    fn open(news: &[News]) -> Value {
        serde_json::from_slice(&message(news, "us-east-1")).unwrap()
    }

    #[test]
    fn s3_keys_are_form_encoded_and_the_others_are_plain() {
        let told = open(&[news(Wrap::S3, How::Put)]);
        assert_eq!(told["Records"][0]["s3"]["object"]["key"], "a+b%2Bc/AWS%3A%3AEC2/%C3%BC.gz");
        let told = open(&[news(Wrap::EventBridge, How::Put)]);
        assert_eq!(told["detail"]["object"]["key"], "a b+c/AWS::EC2/ü.gz");
        let told = open(&[news(Wrap::CloudTrail, How::Put)]);
        let inner: Value = serde_json::from_str(told["Message"].as_str().unwrap()).unwrap();
        assert_eq!(inner["s3ObjectKey"][0], "a b+c/AWS::EC2/ü.gz");
    }

    #[test]
    fn copies_and_removals_name_what_they_are() {
        let names = |how| open(&[news(Wrap::S3, how)])["Records"][0]["eventName"].clone();
        assert_eq!(names(How::Copy), "ObjectCreated:Copy");
        assert_eq!(names(How::Delete), "ObjectRemoved:Delete");
        let gone = open(&[news(Wrap::EventBridge, How::Delete)]);
        assert_eq!(gone["detail-type"], "Object Deleted");
        assert!(gone["detail"]["object"].get("size").is_none());
    }

    #[test]
    fn a_message_carries_all_of_its_news() {
        let both = [news(Wrap::S3, How::Put), news(Wrap::SnsS3, How::Put)];
        let told = open(&both);
        let inner: Value = serde_json::from_str(told["Message"].as_str().unwrap()).unwrap();
        assert_eq!(inner["Records"].as_array().unwrap().len(), 2);
    }
}
