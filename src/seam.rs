//! The seven seams: what the flows ask of the world. Each has an embedded and an AWS implementation and one contract suite.
//!
//! Adapters classify errors and never sleep; flows retry.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::core::alert::Alert;
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::lock::{Action, Retention};
use crate::core::posture::{Seen, Settings};
use crate::core::protection::{Key, Part, Protection};
use crate::core::unit::OuPath;
use crate::error::{Error, Result};

/// A message held from a queue. `receipt` is the handle of this delivery; a later delivery has another.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub receipt: String,
    pub body: Vec<u8>,
    /// How often the queue has handed it out, this time included.
    pub deliveries: u32,
    pub sent: Option<Timestamp>,
}

/// How much a queue holds; approximate on SQS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    pub in_flight: u64,
    /// Put back with a delay that has not passed yet.
    pub delayed: u64,
}

impl Depth {
    pub fn is_empty(self) -> bool {
        self.visible + self.in_flight + self.delayed == 0
    }
}

/// At least once; no order. A message that is neither `done` nor extended comes back when its visibility ends.
#[async_trait]
pub trait Queue: Send + Sync {
    /// At most `max` messages; waits up to `wait` for the first. Empty is not an error and proves nothing.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>>;
    /// Keeps the messages invisible for `by` from now. Answers the receipts that are lost: their work must be dropped.
    async fn extend(&self, receipts: &[String], by: Duration) -> Result<Vec<String>>;
    /// Deletes. Answers the receipts that failed, to be tried again. Done twice is fine.
    async fn done(&self, receipts: &[String]) -> Result<Vec<String>>;
    /// Gives the message back, to be handed out again after `delay`.
    async fn later(&self, receipt: &str, delay: Duration) -> Result<()>;
    async fn depth(&self) -> Result<Depth>;
    /// The visibility timeout that a received message starts with.
    fn visibility(&self) -> Duration;
    /// How it is set up; `None`: there is no such queue.
    async fn settings(&self) -> Result<Option<Settings>> {
        Err(Error::permanent("queue:settings", "this queue does not say how it is set up"))
    }
}

/// User metadata of an object, names without `x-amz-meta-`, in lower case.
pub type Metadata = BTreeMap<String, String>;

#[derive(Debug, Clone, Default)]
pub struct Head {
    pub size: u64,
    /// `None` in an unversioned bucket.
    pub version: Option<String>,
    /// Without quotes.
    pub etag: Option<String>,
    pub metadata: Metadata,
    pub storage_class: Option<String>,
    /// Its lock, if it has one and the reader may see it.
    pub lock: Option<Retention>,
}

#[derive(Debug, Clone)]
pub struct Object {
    pub head: Head,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub enum Got {
    Found(Object),
    /// No such key, no such version, or a delete marker.
    Absent,
    /// Larger than asked for, in bytes; nothing was read.
    TooLarge(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size: u64,
    pub etag: Option<String>,
}

/// One page of a listing, in key order (UTF-8 bytes).
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// More keys follow the last one.
    pub more: bool,
}

/// Strongly consistent. Objects lie at their S3 keys.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// The body is read fully into memory before this returns; at most `max_bytes` of it.
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got>;
    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>>;
    /// Keys under `prefix` that sort after `after`.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page>;
    /// The folders right under `prefix` (which is empty or ends in `/`), as whole prefixes that end in `/`: a delimiter
    /// listing.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>>;
    /// Durable on return. Never used on an evidence bucket.
    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()>;
    /// As `put`, from a file that is too large for memory. What arrives must have this hash.
    async fn put_file(&self, _key: &str, _file: &Path, _sha: &Sha256) -> Result<()> {
        Err(Error::permanent("put", "nothing is written to this bucket"))
    }
    /// `length` bytes from `from` on, fewer where the object ends before; `None` is no such object.
    async fn range(&self, key: &str, from: u64, length: u64) -> Result<Option<Vec<u8>>> {
        let Got::Found(object) = self.get(key, None, u64::MAX).await? else { return Ok(None) };
        let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let rest = object.body.get(whole(from)..).unwrap_or_default();
        Ok(Some(rest.get(..whole(length).min(rest.len())).unwrap_or_default().to_vec()))
    }
    /// Removes what the warden itself has written; what is not there is removed already. Only of a bucket that was opened as
    /// the warden's own, never of one that holds evidence.
    async fn remove(&self, _key: &str) -> Result<()> {
        Err(Error::permanent("remove", "nothing is removed from this bucket"))
    }
    /// False where objects carry no user metadata at all (a plain copy): then a digest's signature is taken from its successor.
    async fn has_metadata(&self) -> Result<bool>;
}

/// A version of an object as a listing of versions shows it; delete markers are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub key: String,
    /// `None` in an unversioned bucket.
    pub version: Option<String>,
    pub size: u64,
}

/// Where the next page of versions begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub key: String,
    pub version: Option<String>,
}

/// How a version is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    pub version: Option<String>,
    pub created: Timestamp,
    pub retention: Option<Retention>,
    /// A legal hold, which nothing but its release ends.
    pub held: bool,
}

/// What protects a bucket, and the one way to change that. Nothing here shortens or weakens: what would is refused before any
/// call.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Read-only and total: of every part asked for it says what it is, that it is not there, or why it could not be read.
    async fn describe(&self, parts: &[Part]) -> Protection;
    /// As total, of the KMS key that a bucket names: an id, an ARN or an alias.
    async fn key(&self, name: &str) -> Key;
    /// One call; the same action again changes nothing. An extension is made object by object, by [`Vault::retain`].
    async fn apply(&self, action: &Action) -> Result<()>;
    /// `None`: no such object or version.
    async fn lock(&self, key: &str, version: Option<&str>) -> Result<Option<Locked>>;
    /// Locks a version; `from` is how it is locked by now.
    async fn retain(&self, key: &str, version: Option<&str>, from: Option<Retention>, to: Retention) -> Result<()>;
    /// Puts a legal hold on a version, or releases it.
    async fn hold(&self, key: &str, version: Option<&str>, on: bool) -> Result<()>;
    /// All versions of the keys under `prefix`, a page at a time.
    async fn versions(&self, prefix: &str, after: Option<&Mark>) -> Result<(Vec<Version>, Option<Mark>)>;
}

/// What CloudTrail and the topics behind it say of themselves. Read-only.
#[async_trait]
pub trait Trails: Send + Sync {
    /// The trails that deliver to a bucket, as far as they are seen from here by asking in these regions. A region that
    /// does not answer is said to be silent. `None`: there is nobody to ask. What cannot be read of a trail is said in its description.
    async fn of(&self, bucket: &str, regions: &[Region]) -> Result<Option<Seen>>;
    /// ARNs of the queues that a topic hands its messages on to.
    async fn subscribers(&self, topic: &str) -> Result<Vec<String>>;
}

/// Organizations `State`, open set; unknown values count as active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    PendingActivation,
    Active,
    Suspended,
    PendingClosure,
    Closed,
}

impl MemberState {
    pub fn name(self) -> &'static str {
        match self {
            Self::PendingActivation => "pending_activation",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::PendingClosure => "pending_closure",
            Self::Closed => "closed",
        }
    }

    /// Any spelling: `ACTIVE`, `active`, `PendingClosure`.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().replace(['_', '-'], "").as_str() {
            "pendingactivation" => Self::PendingActivation,
            "suspended" => Self::Suspended,
            "pendingclosure" => Self::PendingClosure,
            "closed" => Self::Closed,
            _ => Self::Active,
        }
    }

    /// Whether its silence would be news.
    pub fn is_expected(self) -> bool {
        self == Self::Active
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub account: AccountId,
    pub name: String,
    pub ou: OuPath,
    pub state: MemberState,
    pub joined: Option<Timestamp>,
}

#[async_trait]
pub trait Members: Send + Sync {
    /// The whole organization, or an error; never part of it.
    async fn all(&self) -> Result<Vec<Member>>;
}

/// A digest-signing key as CloudTrail's ListPublicKeys gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub fingerprint: String,
    /// DER, PKCS#1 `RSAPublicKey` or SubjectPublicKeyInfo.
    pub der: Vec<u8>,
    pub valid_from: Option<Timestamp>,
    pub valid_to: Option<Timestamp>,
}

#[async_trait]
pub trait Keys: Send + Sync {
    /// The key of the digest's *region* with this fingerprint, asked for around `at`; not found is `Ok(None)`.
    async fn find(&self, region: &Region, fingerprint: &str, at: Timestamp) -> Result<Option<PublicKey>>;
    /// All keys of a region valid somewhere between the two times.
    async fn all(&self, region: &Region, from: Timestamp, to: Timestamp) -> Result<Vec<PublicKey>>;
}

#[async_trait]
pub trait Channel: Send + Sync {
    /// Repeating a send with the same `key` is harmless: the far side drops it or shows the same thing again. Answers what the
    /// far side calls it, where later alerts of the same finding have to say so: it comes back as their `thread`.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>>;
    /// Whether it could be told, as far as that shows without telling it anything.
    async fn reach(&self) -> Result<()> {
        Ok(())
    }
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is there, under this tag.
    Won(String),
    /// Something else was there than was expected; or it could not be told, and reading says what is there now.
    Lost,
}

/// One small value that several processes read and only ever write over what they have read. Linearizable: of two writes over
/// the same tag one at most is won.
#[async_trait]
pub trait Register: Send + Sync {
    /// At most `max_bytes` of the value, and its tag; `None` before the first write. A longer one is an error.
    async fn read(&self, max_bytes: usize) -> Result<Option<(Vec<u8>, String)>>;
    /// Writes over the value with this tag; without one, where there is none. Durable when won. Tags are told apart by content:
    /// no value is ever written twice. After an error it may have been written, or be written yet.
    async fn write(&self, value: Vec<u8>, over: Option<&str>) -> Result<Written>;
}

pub type DynRegister = Arc<dyn Register>;
pub type DynQueue = Arc<dyn Queue>;
pub type DynBucket = Arc<dyn Bucket>;
pub type DynVault = Arc<dyn Vault>;
pub type DynTrails = Arc<dyn Trails>;
pub type DynMembers = Arc<dyn Members>;
pub type DynKeys = Arc<dyn Keys>;
pub type DynChannel = Arc<dyn Channel>;
