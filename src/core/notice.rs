//! A message body → notices. Every envelope that can stand in front of the queue, told apart by content, all records of a message.

use jiff::Timestamp;

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
    /// The percent-decoded form, where the envelope's encoding is not documented (EventBridge) and it differs.
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
impl Notice {
    pub fn listed(bucket: &str, key: &str, size: Option<u64>, etag: Option<String>) -> Self {
        Self { envelope: Envelope::Listing, event: Event::Created(How::Unsaid), bucket: bucket.into(), key: key.into(), key_decoded: None, version: None, size, etag, sequencer: None, writer: None, time: None }
    }
}
pub fn open(_b:&[u8])->Opened{Opened::TestEvent}
