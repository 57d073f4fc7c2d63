//! The object-key grammar of a bucket that receives trails (CloudTrail User Guide: finding log files, digest file structure).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use crate::core::id::{AccountId, OrgId, Region};
use crate::core::{YEARS, printable};

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
    /// Delivery time from the file name, to the minute; the start of the folder's day where an odd name has none.
    pub delivered: Timestamp,
    /// Letters and digits without a meaning. In an odd name: all between `account_` and `.json.gz`.
    pub unique: String,
    /// The file name is not today's form: one of 2014 without `_` before the unique part, or (outside `CloudTrail/`, where the
    /// form is not documented) anything else that begins with `account_CloudTrail`.
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

/// The folder of digests, beside those of [`LogKind`].
pub const DIGEST_FOLDER: &str = "CloudTrail-Digest";

const AWS_LOGS: &str = "AWSLogs";
const SUFFIX: &str = ".json.gz";
/// Bytes; the most that S3 gives a key.
const LONGEST_KEY: usize = 1024;
/// CloudTrail writes 16; a longer one would be no reason to lose a log.
const LONGEST_UNIQUE: usize = 64;

impl LogKind {
    pub const ALL: [Self; 4] = [Self::Events, Self::Insight, Self::NetworkActivity, Self::Aggregated];

    pub fn folder(self) -> &'static str {
        match self {
            Self::Events => "CloudTrail",
            Self::Insight => "CloudTrail-Insight",
            Self::NetworkActivity => "CloudTrail-NetworkActivity",
            Self::Aggregated => "CloudTrail-Aggregated",
        }
    }

    fn of_folder(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.folder() == name)
    }
}

impl Root {
    /// `[prefix/]AWSLogs/[org/]account/`
    pub fn path(&self) -> String {
        let mut path = String::new();
        for part in [Some(self.prefix.as_str()), Some(AWS_LOGS), self.org.as_ref().map(OrgId::as_str)] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                path.push_str(part);
                path.push('/');
            }
        }
        path.push_str(self.account.as_str());
        path.push('/');
        path
    }

    /// What [`Root::path`] wrote.
    pub fn parse(path: &str) -> Option<Self> {
        let (prefix, rest) = path.strip_suffix('/')?.rsplit_once("AWSLogs/")?;
        let (org, account) = rest.split_once('/').map_or((None, rest), |(org, account)| (Some(org), account));
        let org = org.map(OrgId::parse).transpose().ok()?;
        Some(Self { prefix: prefix.trim_end_matches('/').into(), org, account: AccountId::parse(account).ok()? })
    }

    /// `…/folder/region/`; `folder` is [`LogKind::folder`] or [`DIGEST_FOLDER`].
    pub fn region_folder(&self, folder: &str, region: &Region) -> String {
        format!("{}{folder}/{region}/", self.path())
    }

    /// `…/folder/region/yyyy/mm/dd/`
    pub fn day_folder(&self, folder: &str, region: &Region, day: Date) -> String {
        format!("{}{:04}/{:02}/{:02}/", self.region_folder(folder, region), day.year(), day.month(), day.day())
    }
}

impl LogKey {
    /// `…/kind/region/yyyy/mm/dd/`
    pub fn day_folder(&self) -> String {
        self.root.day_folder(self.kind.folder(), &self.region, self.date)
    }

    /// The key itself: what [`parse`] reads into an equal value.
    pub fn format(&self) -> String {
        let Self { root: Root { account, .. }, region, unique, .. } = self;
        let (folder, kind) = (self.day_folder(), self.kind.folder());
        if self.odd_name {
            return format!("{folder}{account}_{unique}{SUFFIX}");
        }
        let (date, time) = digits(self.delivered);
        format!("{folder}{account}_{kind}_{region}_{date:08}T{:04}Z_{unique}{SUFFIX}", time / 100)
    }
}

impl DigestKey {
    /// The folder's day: that of the end of the digest's interval.
    pub fn date(&self) -> Date {
        Offset::UTC.to_datetime(self.end).date()
    }

    /// `…/CloudTrail-Digest/region/yyyy/mm/dd/`
    pub fn day_folder(&self) -> String {
        self.root.day_folder(DIGEST_FOLDER, &self.region, self.date())
    }

    /// The key itself: what [`parse`] reads into an equal value.
    pub fn format(&self) -> String {
        let Self { root: Root { account, .. }, region, trail, home, .. } = self;
        let (folder, (date, time)) = (self.day_folder(), digits(self.end));
        let backfill = if self.backfill { "_backfill" } else { "" };
        format!("{folder}{account}_{DIGEST_FOLDER}_{region}_{trail}_{home}_{date:08}T{time:06}Z{backfill}{SUFFIX}")
    }
}

/// A time in the digits of keys: `20260302` and `101502`, in UTC.
pub fn digits(time: Timestamp) -> (u32, u32) {
    let at = Offset::UTC.to_datetime(time);
    let digits = |[high, middle, low]: [u32; 3]| high * 10_000 + middle * 100 + low;
    let small = i8::unsigned_abs;
    let date = [at.year().unsigned_abs().into(), small(at.month()).into(), small(at.day()).into()];
    let time = [small(at.hour()).into(), small(at.minute()).into(), small(at.second()).into()];
    (digits(date), digits(time))
}

impl ObjectKey {
    /// Where the delivery lies, for logs and digests.
    pub fn root(&self) -> Option<&Root> {
        match self {
            Self::Log(log) => Some(&log.root),
            Self::Digest(digest) => Some(&digest.root),
            _ => None,
        }
    }
}

/// Any text is judged. The last `AWSLogs` that leaves a valid remainder counts: a prefix may be an organization id or hold another.
pub fn parse(key: &str) -> ObjectKey {
    if key.len() > LONGEST_KEY {
        return ObjectKey::Rejected(KeyFault::BadName("longer than 1024 bytes"));
    }
    let path = key.strip_suffix('/');
    let segments: Vec<&str> = path.unwrap_or(key).split('/').collect();
    if !segments.iter().all(|segment| is_safe(segment)) {
        return ObjectKey::Rejected(KeyFault::Unsafe);
    }
    let mut fault = None;
    for (at, _) in segments.iter().enumerate().rev().filter(|(_, segment)| **segment == AWS_LOGS) {
        let (prefix, rest) = (segments.get(..at).unwrap_or_default(), segments.get(at + 1..).unwrap_or_default());
        let judged = if path.is_some() { marker(rest) } else { under(prefix, rest) };
        match judged {
            Ok(found) => return found,
            Err(why) => fault = fault.or(Some(why)),
        }
    }
    match path {
        Some(_) => ObjectKey::Marker(None),
        None => ObjectKey::Rejected(fault.unwrap_or(KeyFault::Outside)),
    }
}

fn is_safe(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.chars().any(|c| c == '\\' || c.is_control())
}

fn marker(rest: &[&str]) -> Result<ObjectKey, KeyFault> {
    let (_, account, _) = owner(rest)?;
    Ok(ObjectKey::Marker(Some(account)))
}

type Owner<'a, 'b> = (Option<OrgId>, AccountId, &'b [&'a str]);

/// `[org/]account`, and what follows.
fn owner<'a, 'b>(rest: &'b [&'a str]) -> Result<Owner<'a, 'b>, KeyFault> {
    let (org, rest) = match rest {
        [first, rest @ ..] if first.starts_with("o-") => {
            (Some(OrgId::parse(first).map_err(|_| KeyFault::BadName("organization id in the path"))?), rest)
        }
        _ => (None, rest),
    };
    let [account, rest @ ..] = rest else { return Err(KeyFault::BadName("ends before the account")) };
    Ok((org, AccountId::parse(account).map_err(|_| KeyFault::BadAccount)?, rest))
}

fn under(prefix: &[&str], rest: &[&str]) -> Result<ObjectKey, KeyFault> {
    let (org, account, rest) = owner(rest)?;
    let [service, rest @ ..] = rest else { return Err(KeyFault::BadName("ends before the kind")) };
    let root = Root { prefix: prefix.join("/"), org, account };
    match LogKind::of_folder(service) {
        Some(kind) => Ok(ObjectKey::Log(log(root, kind, rest)?)),
        None if *service == DIGEST_FOLDER => Ok(ObjectKey::Digest(digest(root, rest)?)),
        None => Ok(ObjectKey::OtherService((*service).to_owned())),
    }
}

/// `region/yyyy/mm/dd/file.json.gz`; the file name without its suffix, the account cut off its front.
fn folders<'a>(root: &Root, rest: &[&'a str]) -> Result<(Region, Date, &'a str), KeyFault> {
    let [region, year, month, day, file] = rest else {
        return Err(KeyFault::BadName("region, year, month, day and file do not follow the kind"));
    };
    let region = Region::parse(region).map_err(|_| KeyFault::BadName("region in the path"))?;
    let bad_date = || KeyFault::BadDate(shown(&format!("{year}/{month}/{day}")));
    let numbers = (number(year, 4), number(month, 2), number(day, 2));
    let (Some(y), Some(m), Some(d)) = numbers else { return Err(bad_date()) };
    let date = calendar(y, m, d).ok_or_else(bad_date)?;
    let stem = file.strip_suffix(SUFFIX).ok_or(KeyFault::BadName("does not end in `.json.gz`"))?;
    let (account, name) = stem.split_once('_').ok_or(KeyFault::BadName("no account in the file name"))?;
    if account != root.account.as_str() {
        return Err(KeyFault::AccountMismatch { folder: root.account.to_string(), file: shown(account) });
    }
    Ok((region, date, name))
}

fn log(root: Root, kind: LogKind, rest: &[&str]) -> Result<LogKey, KeyFault> {
    let (region, date, name) = folders(&root, rest)?;
    let (delivered, unique, odd_name) = match log_name(kind, name, &region, date) {
        // outside CloudTrail/ the form of the name is not documented
        Err(KeyFault::BadName(_)) if kind != LogKind::Events && name.starts_with("CloudTrail") => {
            (odd_stamp(name, &region, date)?, name, true)
        }
        judged => judged?,
    };
    Ok(LogKey { root, kind, region, date, delivered, unique: unique.to_owned(), odd_name })
}

/// `kind_region_stamp[_]unique` → delivery, unique part, odd.
fn log_name<'a>(
    kind: LogKind,
    name: &'a str,
    region: &Region,
    date: Date,
) -> Result<(Timestamp, &'a str, bool), KeyFault> {
    let (middle, tail) = name.split_once('_').unwrap_or((name, ""));
    if middle != kind.folder() {
        return Err(KeyFault::BadName("the middle part of the file name is not the folder's name"));
    }
    let (file_region, tail) = tail.split_once('_').ok_or(KeyFault::BadName("no region in the file name"))?;
    same_region(region, file_region)?;
    let (stamp, tail) = tail.split_at_checked(14).ok_or(KeyFault::BadName("no time stamp in the file name"))?;
    let delivered = same_day(date, stamp, 4)?;
    let unique = tail.strip_prefix('_');
    let fits =
        |text: &str| (1..=LONGEST_UNIQUE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !fits(unique.unwrap_or(tail)) {
        return Err(KeyFault::BadName("the unique part is not letters and digits"));
    }
    Ok((delivered, unique.unwrap_or(name), unique.is_none()))
}

/// The delivery time of an odd name; whatever in it looks like a region or a stamp must still fit the folders.
fn odd_stamp(name: &str, region: &Region, date: Date) -> Result<Timestamp, KeyFault> {
    let mut delivered = None;
    for part in name.split('_').skip(1) {
        if Region::parse(part).is_ok() {
            same_region(region, part)?;
        }
        if let Some(digits) = [4, 6].into_iter().find(|digits| is_stamp(part, *digits)) {
            delivered = Some(same_day(date, part, digits)?);
        }
    }
    delivered.or_else(|| at(date, Time::midnight())).ok_or_else(|| KeyFault::BadDate(date.to_string()))
}

/// From the right: a trail's name may hold `_` and look like a region.
fn digest(root: Root, rest: &[&str]) -> Result<DigestKey, KeyFault> {
    let (region, date, name) = folders(&root, rest)?;
    let (name, backfill) = name.strip_suffix("_backfill").map_or((name, false), |name| (name, true));
    let (name, stamp) = name.rsplit_once('_').ok_or(KeyFault::BadName("no time stamp in the file name"))?;
    let end = same_day(date, stamp, 6)?;
    let (name, home) = name.rsplit_once('_').ok_or(KeyFault::BadName("no home region in the file name"))?;
    let home = Region::parse(home).map_err(|_| KeyFault::BadName("home region in the file name"))?;
    let (middle, name) = name.split_once('_').unwrap_or((name, ""));
    if middle != DIGEST_FOLDER {
        return Err(KeyFault::BadName("the middle part of the file name is not the folder's name"));
    }
    let (file_region, trail) = name.split_once('_').ok_or(KeyFault::BadName("no trail in the file name"))?;
    same_region(&region, file_region)?;
    if !is_trail(trail) {
        return Err(KeyFault::BadName("trail name"));
    }
    Ok(DigestKey { root, region, trail: trail.to_owned(), home, end, backfill })
}

/// CloudTrail API reference, CreateTrail: 3 to 128 letters, digits and single `.`, `_`, `-` between them.
fn is_trail(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name.split(['.', '_', '-']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn same_region(folder: &Region, file: &str) -> Result<(), KeyFault> {
    if file == folder.as_str() {
        return Ok(());
    }
    Err(KeyFault::RegionMismatch { folder: folder.to_string(), file: shown(file) })
}

/// `yyyymmddThhmmZ` (4 digits of time) or `yyyymmddThhmmssZ` (6), which must be of the folder's day.
fn same_day(folder: Date, stamp: &str, digits: usize) -> Result<Timestamp, KeyFault> {
    if !is_stamp(stamp, digits) {
        return Err(KeyFault::BadName("no time stamp in the file name"));
    }
    let part = |from: usize, width: usize| stamp.get(from..from + width).and_then(|text| number(text, width));
    let moment = || {
        let date = calendar(part(0, 4)?, part(4, 2)?, part(6, 2)?)?;
        let second = if digits == 6 { part(13, 2)? } else { 0 };
        let small = |number: i16| i8::try_from(number).ok();
        let time = Time::new(small(part(9, 2)?)?, small(part(11, 2)?)?, small(second)?, 0).ok()?;
        Some((date, at(date, time)?))
    };
    let (date, moment) = moment().ok_or_else(|| KeyFault::BadDate(stamp.to_owned()))?;
    if date == folder {
        Ok(moment)
    } else {
        Err(KeyFault::DateMismatch { folder: folder.to_string(), file: date.to_string() })
    }
}

fn is_stamp(text: &str, digits: usize) -> bool {
    let numeric = |text: &str, width: usize| text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    text.strip_suffix('Z')
        .and_then(|text| text.split_once('T'))
        .is_some_and(|(date, time)| numeric(date, 8) && numeric(time, digits))
}

fn at(date: Date, time: Time) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(DateTime::from_parts(date, time)).ok()
}

fn calendar(year: i16, month: i16, day: i16) -> Option<Date> {
    if !YEARS.contains(&year) {
        return None;
    }
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn number(text: &str, width: usize) -> Option<i16> {
    let digits = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn shown(text: &str) -> String {
    printable(text, 80)
}

#[cfg(test)]
mod tests;
