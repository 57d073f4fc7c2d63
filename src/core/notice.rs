//! A message body → notices. Every envelope that can stand in front of the queue, told apart by content, all records of a message.

mod loose;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::loose::Loose;
use crate::core::{depth, printable};

/// In which envelope a notice came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// S3 event notification.
    S3,
    /// EventBridge.
    EventBridge,
    /// CloudTrail's own SNS notification.
    CloudTrail,
    /// Made by ourselves from a listing.
    Listing,
}

/// How an object came to be. CloudTrail only ever puts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Put,
    Copy,
    Post,
    Multipart,
    /// Not said (CloudTrail's own notification, a listing), or an unknown name.
    Unsaid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Created(How),
    Removed {
        /// A delete marker hides the object; its versions stay.
        marker: bool,
        /// By a lifecycle rule, not by a request.
        lifecycle: bool,
    },
    /// Tagging, ACL, restore, transition …: acknowledged and counted.
    Other(String),
}

/// One object's news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub envelope: Envelope,
    pub event: Event,
    pub bucket: String,
    /// Decoded as the envelope demands.
    pub key: String,
    /// The form-decoded key, where the envelope's encoding is not documented (EventBridge) and it differs: to be tried when
    /// there is no object at `key`.
    pub key_decoded: Option<String>,
    pub version: Option<String>,
    pub size: Option<u64>,
    pub etag: Option<String>,
    pub sequencer: Option<String>,
    /// Who wrote it: EventBridge `requester`, S3 `userIdentity.principalId`.
    pub writer: Option<String>,
    pub time: Option<Timestamp>,
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// All notices of the message, and the records of it that could not be read (position, reason).
    Notices {
        notices: Vec<Notice>,
        rejects: Vec<(usize, String)>,
    },
    /// `s3:TestEvent`
    TestEvent,
    /// `CloudTrail validation message.`
    Validation,
    /// An SNS subscription message; its URL is never followed.
    Subscription {
        topic: String,
    },
    Unintelligible {
        reason: String,
    },
}

/// Bytes; the most that SQS carries.
const LARGEST_BODY: usize = 1 << 20;
/// Brackets; the genuine forms need six.
const DEEPEST: usize = 32;
/// SNS envelopes around each other.
const MOST_WRAPS: usize = 2;
/// What CloudTrail sends when a topic is attached to a trail.
const VALIDATION: &str = "CloudTrail validation message.";

impl Notice {
    /// News of our own making: an object that a listing showed; `size` in bytes.
    pub fn listed(bucket: impl Into<String>, key: impl Into<String>, size: u64, etag: Option<String>) -> Self {
        let object = Object { size: Some(size), ..Object::default() };
        let mut notice = object.notice(Envelope::Listing, Event::Created(How::Unsaid), bucket.into(), key.into());
        notice.etag = etag;
        notice
    }
}

/// The forms are told apart by their content, in this order: validation text, SNS envelope, S3 test event, S3 records,
/// EventBridge, CloudTrail's own notification, subscription messages. What a principal may send is not limited to these.
pub fn open(body: &[u8]) -> Opened {
    if body.len() > LARGEST_BODY {
        return unintelligible(format!("{} bytes, more than a queue carries", body.len()));
    }
    match simdutf8::basic::from_utf8(body) {
        Ok(text) => opened(text, 0),
        Err(_) => unintelligible("not UTF-8"),
    }
}

fn opened(text: &str, wraps: usize) -> Opened {
    let text = text.trim();
    if text == VALIDATION {
        return Opened::Validation;
    }
    if depth::exceeds(text, DEEPEST) {
        return unintelligible(format!("nested deeper than {DEEPEST}"));
    }
    let form: Form<'_> = match object(text) {
        Ok(form) => form,
        Err(reason) => return unintelligible(reason),
    };
    match (form.kind.text(), form.message.text()) {
        (Some("Notification"), Some(_)) if wraps == MOST_WRAPS => {
            return unintelligible(format!("more than {MOST_WRAPS} sns envelopes around each other"));
        }
        (Some("Notification"), Some(message)) => return opened(message, wraps + 1),
        _ => {}
    }
    if form.event.text() == Some("s3:TestEvent") {
        return Opened::TestEvent;
    }
    if let Some(records) = form.records {
        return s3_records(records);
    }
    if let (Some("aws.s3"), Some(kind)) = (form.source.text(), form.detail_type.text()) {
        return eventbridge(kind, &form).unwrap_or_else(unintelligible);
    }
    if let (Some(bucket), Some(keys)) = (form.s3_bucket.text(), form.s3_object_key) {
        return cloudtrail(bucket, keys);
    }
    match form.kind.text() {
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => {
            Opened::Subscription { topic: printable(form.topic.text().unwrap_or_default(), 256) }
        }
        _ => unintelligible("an object of no known form"),
    }
}

fn unintelligible(reason: impl Into<String>) -> Opened {
    Opened::Unintelligible { reason: reason.into() }
}

/// The top level of every form at once.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Form<'a> {
    #[serde(borrow, rename = "Type")]
    kind: Loose<'a>,
    #[serde(borrow, rename = "Message")]
    message: Loose<'a>,
    #[serde(borrow, rename = "TopicArn")]
    topic: Loose<'a>,
    #[serde(borrow, rename = "Event")]
    event: Loose<'a>,
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Loose<'a>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Loose<'a>,
    #[serde(borrow)]
    time: Loose<'a>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "s3Bucket")]
    s3_bucket: Loose<'a>,
    #[serde(borrow, rename = "s3ObjectKey")]
    s3_object_key: Option<&'a RawValue>,
}

/// One element of an S3 event notification.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct S3Record<'a> {
    #[serde(borrow)]
    event_version: Loose<'a>,
    #[serde(borrow)]
    event_source: Loose<'a>,
    #[serde(borrow)]
    event_name: Loose<'a>,
    #[serde(borrow)]
    event_time: Loose<'a>,
    #[serde(borrow)]
    user_identity: Option<&'a RawValue>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
}

/// An S3 record's `s3`, and EventBridge's `detail`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Detail<'a> {
    #[serde(borrow)]
    event_version: Loose<'a>,
    #[serde(borrow)]
    bucket: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    requester: Loose<'a>,
    #[serde(borrow)]
    reason: Loose<'a>,
    #[serde(borrow)]
    deletion_type: Loose<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    name: Loose<'a>,
    #[serde(borrow, rename = "principalId")]
    principal: Loose<'a>,
}

/// An object in the spelling of both envelopes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object<'a> {
    #[serde(borrow)]
    key: Loose<'a>,
    size: Option<u64>,
    #[serde(borrow, alias = "eTag")]
    etag: Loose<'a>,
    #[serde(borrow, rename = "versionId", alias = "version-id")]
    version: Loose<'a>,
    #[serde(borrow)]
    sequencer: Loose<'a>,
}

impl Object<'_> {
    fn notice(&self, envelope: Envelope, event: Event, bucket: String, key: String) -> Notice {
        Notice {
            envelope,
            event,
            bucket,
            key,
            key_decoded: None,
            version: self.version.owned(),
            size: self.size,
            etag: self.etag.text().map(|etag| etag.trim_matches('"').to_owned()),
            sequencer: self.sequencer.owned(),
            writer: None,
            time: None,
        }
    }
}

impl<'a> Detail<'a> {
    /// The bucket's name, the object, and its key as written.
    fn place(&self) -> Result<(String, Object<'a>, String), String> {
        let bucket: Named<'_> = part(self.bucket, "bucket")?;
        let bucket = bucket.name.owned().ok_or("no bucket name")?;
        let object: Object<'a> = part(self.object, "object")?;
        let key = object.key.owned().ok_or("no object key")?;
        Ok((bucket, object, key))
    }
}

fn s3_records(raw: &RawValue) -> Opened {
    let Ok(records) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return unintelligible("`Records` is no array");
    };
    let (mut notices, mut rejects) = (Vec::new(), Vec::new());
    let mut any_of_s3 = false;
    for (position, raw) in records.into_iter().enumerate() {
        let judged = object::<S3Record<'_>>(raw.get()).and_then(|record| {
            any_of_s3 |= record.event_source.text() == Some("aws:s3");
            s3_record(&record)
        });
        match judged {
            Ok(notice) => notices.push(notice),
            Err(reason) => rejects.push((position, reason)),
        }
    }
    match rejects.first() {
        _ if any_of_s3 => Opened::Notices { notices, rejects },
        Some((_, reason)) => unintelligible(format!("`Records` without an s3 event: {reason}")),
        None => unintelligible("`Records` is empty"),
    }
}

fn s3_record(record: &S3Record<'_>) -> Result<Notice, String> {
    if record.event_source.text() != Some("aws:s3") {
        return Err(format!("event source is `{}`", record.event_source.shown()));
    }
    check_major(&record.event_version, 2)?;
    let name = record.event_name.text().ok_or("no event name")?;
    let place: Detail<'_> = part(record.s3, "s3")?;
    let (bucket, object, key) = place.place()?;
    let key = form_decoded(&key).ok_or("the key is not UTF-8 once decoded")?;
    let mut notice = object.notice(Envelope::S3, s3_event(name), bucket, key);
    notice.time = record.event_time.time();
    notice.writer = part::<Named<'_>>(record.user_identity, "userIdentity").ok().and_then(|who| who.principal.owned());
    Ok(notice)
}

fn s3_event(name: &str) -> Event {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    let (group, what) = name.split_once(':').unwrap_or((name, ""));
    let marker = what == "DeleteMarkerCreated";
    match group {
        "ObjectCreated" => Event::Created(match what {
            "Put" => How::Put,
            "Copy" => How::Copy,
            "Post" => How::Post,
            "CompleteMultipartUpload" => How::Multipart,
            _ => How::Unsaid,
        }),
        "ObjectRemoved" => Event::Removed { marker, lifecycle: false },
        "LifecycleExpiration" => Event::Removed { marker, lifecycle: true },
        _ => Event::Other(printable(name, 100)),
    }
}

fn eventbridge(kind: &str, form: &Form<'_>) -> Result<Opened, String> {
    let detail: Detail<'_> = part(form.detail, "detail")?;
    check_major(&detail.event_version, 1)?;
    let (bucket, object, key) = detail.place()?;
    let reason = detail.reason.text().unwrap_or_default();
    let event = match kind {
        "Object Created" => Event::Created(match reason {
            "PutObject" => How::Put,
            "CopyObject" => How::Copy,
            "POST Object" => How::Post,
            "CompleteMultipartUpload" => How::Multipart,
            _ => How::Unsaid,
        }),
        "Object Deleted" => Event::Removed {
            marker: detail.deletion_type.text() == Some("Delete Marker Created"),
            lifecycle: reason == "Lifecycle Expiration",
        },
        _ => Event::Other(printable(kind, 100)),
    };
    let decoded = form_decoded(&key).filter(|decoded| *decoded != key);
    let mut notice = object.notice(Envelope::EventBridge, event, bucket, key);
    notice.key_decoded = decoded;
    notice.time = form.time.time();
    notice.writer = detail.requester.owned();
    Ok(Opened::Notices { notices: vec![notice], rejects: Vec::new() })
}

/// CloudTrail's own message: a bucket and plain keys.
fn cloudtrail(bucket: &str, keys: &RawValue) -> Opened {
    let keys: Vec<Loose<'_>> = match serde_json::from_str::<Loose<'_>>(keys.get()) {
        Ok(one) if one.text().is_some() => vec![one],
        _ => serde_json::from_str(keys.get()).unwrap_or_default(),
    };
    if keys.is_empty() {
        return unintelligible("`s3ObjectKey` names no object");
    }
    let (mut notices, mut rejects) = (Vec::new(), Vec::new());
    for (position, key) in keys.iter().enumerate() {
        match key.owned() {
            Some(key) => {
                let event = Event::Created(How::Unsaid);
                notices.push(Object::default().notice(Envelope::CloudTrail, event, bucket.to_owned(), key));
            }
            None => rejects.push((position, "the key is no text".to_owned())),
        }
    }
    Opened::Notices { notices, rejects }
}

/// A version whose major part is the one we know, with any minor; absent is fine.
fn check_major(version: &Loose<'_>, known: u32) -> Result<(), String> {
    let Some(text) = version.text() else { return Ok(()) };
    let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major == Some(known) {
        return Ok(());
    }
    Err(format!("event version `{}`, only {known}.x is known", version.shown()))
}

/// `application/x-www-form-urlencoded`: a plus is a blank, then percent-decoded as UTF-8.
fn form_decoded(key: &str) -> Option<String> {
    let blanks = key.replace('+', " ");
    percent_encoding::percent_decode_str(&blanks).decode_utf8().ok().map(Cow::into_owned)
}

fn part<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, name: &str) -> Result<T, String> {
    let raw = raw.ok_or_else(|| format!("no `{name}`"))?;
    object(raw.get()).map_err(|reason| format!("`{name}`: {reason}"))
}

/// serde would also fill a struct from an array, by position.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    match serde_json::from_str(text) {
        Err(error) if error.is_data() => Err(printable(&error.to_string(), 200)),
        Err(error) => Err(printable(&format!("not JSON: {error}"), 200)),
        Ok(_) if !text.starts_with('{') => Err("no object".to_owned()),
        Ok(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests;
