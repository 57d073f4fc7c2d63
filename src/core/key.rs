//! The object-key grammar of a bucket that receives trails (CloudTrail User Guide: finding log files, digest file structure).

use jiff::Timestamp;
use jiff::civil::Date;

use crate::core::id::{AccountId, OrgId, Region};

/// What kind of records a log file holds; named after its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogKind {
    /// `CloudTrail`: management and data events.
    Events,
    /// `CloudTrail-Insight`
    Insight,
    /// `CloudTrail-NetworkActivity`
    NetworkActivity,
    /// `CloudTrail-Aggregated`
    Aggregated,
}

/// Where an account's deliveries lie: `[prefix/]AWSLogs/[org/]account/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root {
    /// Without its final `/`; empty if there is none.
    pub prefix: String,
    pub org: Option<OrgId>,
    pub account: AccountId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    pub root: Root,
    pub kind: LogKind,
    pub region: Region,
    /// The folder's day.
    pub date: Date,
    /// Delivery time from the file name, to the minute.
    pub delivered: Timestamp,
    pub unique: String,
    /// The middle part of the file name is not the folder's name (tolerated outside `CloudTrail/`).
    pub odd_name: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestKey {
    pub root: Root,
    /// The region whose logs the digest covers and whose key signs it.
    pub region: Region,
    pub trail: String,
    /// The trail's home region.
    pub home: Region,
    /// `digestEndTime` from the file name.
    pub end: Timestamp,
    pub backfill: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectKey {
    Log(LogKey),
    Digest(DigestKey),
    /// A folder marker; the account when it is one of ours to name.
    Marker(Option<AccountId>),
    /// Another service's folder under `AWSLogs/`, by name.
    OtherService(String),
    /// No key that CloudTrail would write, and why.
    Rejected(KeyFault),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("not under AWSLogs/")]
    Outside,
    #[error("holds a path trick or a control character")]
    Unsafe,
    #[error("account in the path is not twelve digits")]
    BadAccount,
    #[error("the file name's account {file} is not the folder's {folder}")]
    AccountMismatch { folder: String, file: String },
    #[error("the file name's region {file} is not the folder's {folder}")]
    RegionMismatch { folder: String, file: String },
    #[error("the file name's date {file} is not the folder's {folder}")]
    DateMismatch { folder: String, file: String },
    #[error("{0} is not a calendar date or time")]
    BadDate(String),
    #[error("the name does not follow the grammar: {0}")]
    BadName(&'static str),
}
impl Root {
    pub fn path(&self) -> String { String::new() }
}
pub fn parse(_key: &str) -> ObjectKey { ObjectKey::Rejected(KeyFault::Outside) }
