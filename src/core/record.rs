//! Inflated bytes → records, and whether what they say fits the key they lie at.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use crate::core::key::LogKey;

/// A record, borrowed from the file. Only what the rules need is typed; the rest stays as written in `raw`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<'a> {
    #[serde(borrow, default)]
    pub event_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub event_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub event_source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub event_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub aws_region: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub recipient_account_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "eventID")]
    pub event_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub event_category: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub addendum: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub user_identity: Option<&'a RawValue>,
}

/// A log file, read. `rows + rejects = records in`, always.
#[derive(Debug, Default)]
pub struct LogFile {
    pub rows: u64,
    /// Elements that are no records (position, reason); at most `KEPT_REJECTS` are kept, all are counted in `rejected`.
    pub rejects: Vec<(usize, String)>,
    pub rejected: u64,
    /// Contradictions between the records and the key; at most one of each kind, with a count.
    pub misfits: Vec<Misfit>,
    /// Oldest and newest event, seconds since the epoch.
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MisfitKind {
    Account,
    Region,
    Day,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub kind: MisfitKind,
    /// How many records.
    pub count: u64,
    /// The first of them: what it says against what the key says, and its event id.
    pub example: String,
}

/// Why the file as a whole is no log file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("no `Records`")]
    NoRecords,
}

/// Reads a whole file, hands each record (typed, and its raw text) to `each`, and checks each against the key.
///
/// Accepts `{"Records": […]}`; for aggregated files also a bare array and one object a line.
pub fn read<'a>(bytes: &'a [u8], key: &LogKey, mut each: impl FnMut(&Record<'a>, &'a str)) -> Result<LogFile, BadLog> {
    let _ = (bytes, key, &mut each);
    Err(BadLog::NoRecords)
}
