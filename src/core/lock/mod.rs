//! What was promised of the archive, and what protects it: the wanted retention, the bucket's own, and the plan from one to
//! the other. Nothing here ever shortens anything.

pub mod cost;
pub mod lifecycle;
pub mod plan;
pub mod warn;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::cost::{Estimate, Prices, Stock};
pub use self::lifecycle::{Class, Rule};
pub use self::plan::{Action, Input, Need, Plan, Step};
pub use self::warn::{Warning, WarningKind};

use crate::core::id::{AccountId, Sha256};
use crate::core::protection::{Fact, Part, Protection};
use crate::core::unit::OuPath;
use crate::core::xml;

/// Days in a year of Object Lock's `Years`: what is the least that it can mean.
const YEAR: u32 = 365;

/// How an object version is locked; the second is the stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Whoever has the permission to may lift it.
    Governance,
    /// Nobody may.
    Compliance,
}

impl Mode {
    pub const ALL: &'static [Self] = &[Self::Governance, Self::Compliance];

    /// As a configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }

    /// As S3 writes it.
    pub fn api(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.api() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.api())
    }
}

/// A default retention: every new version is locked for so long from its creation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub mode: Mode,
    pub days: u32,
}

impl Term {
    /// Whether whoever has this has that too.
    pub fn covers(self, other: Self) -> bool {
        self.mode >= other.mode && self.days >= other.days
    }

    /// The stronger of both, in mode and in days.
    #[must_use]
    pub fn or_more(self, other: Option<Self>) -> Self {
        let other = other.unwrap_or(self);
        Self { mode: self.mode.max(other.mode), days: self.days.max(other.days) }
    }

    pub fn until(self, created: Timestamp) -> Timestamp {
        let end = created.checked_add(SignedDuration::from_hours(24 * i64::from(self.days))).unwrap_or(Timestamp::MAX);
        // Whole seconds, and never a part of one less.
        let whole = end.as_second() + i64::from(end.subsec_nanosecond() > 0);
        Timestamp::from_second(whole).unwrap_or(end)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} days", self.mode, self.days)
    }
}

/// A lock on a version, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub mode: Mode,
    pub until: Timestamp,
}

/// What an extension of a version's lock comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// It is locked as well or better.
    Enough,
    Extend(Retention),
}

/// From the lock that is to the one that is wanted: later and stronger, or nothing at all.
pub fn extension(actual: Option<Retention>, wanted: Retention) -> Extension {
    let Some(actual) = actual else { return Extension::Extend(wanted) };
    let more = Retention { mode: actual.mode.max(wanted.mode), until: actual.until.max(wanted.until) };
    if more == actual { Extension::Enough } else { Extension::Extend(more) }
}

/// Why a retention may not be put in the place of another: the last look before any call.
pub fn refusal(actual: Option<Retention>, wanted: Retention) -> Option<String> {
    let actual = actual?;
    if wanted.until < actual.until {
        return Some(format!("it is locked until {}, which is never shortened to {}", actual.until, wanted.until));
    }
    (wanted.mode < actual.mode).then(|| format!("it is locked in {}, which is never weakened", actual.mode))
}

/// As [`refusal`], of a bucket's default.
pub fn default_refusal(actual: Option<Term>, wanted: Term) -> Option<String> {
    let actual = actual.filter(|actual| !wanted.covers(*actual))?;
    Some(format!("the bucket's default is {actual}, which is never weakened to {wanted}"))
}

/// How the lock that an object showed breaks the promise; never held against more than the default, which it has from its first
/// moment.
pub fn shortfall(term: Term, created: Timestamp, shown: Retention) -> Option<String> {
    let promised = term.until(created);
    (shown.until < promised || shown.mode < term.mode)
        .then(|| format!("locked in {} until {}, promised in {} until {promised}", shown.mode, shown.until, term.mode))
}

/// A kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    Log,
    Digest,
}

impl Evidence {
    pub const ALL: &'static [Self] = &[Self::Log, Self::Digest];

    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Digest => "digest",
        }
    }
}

/// More than the default, for some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub ou: Option<String>,
    pub account: Option<AccountId>,
    pub evidence: Option<Evidence>,
    pub days: u32,
}

impl Override {
    /// `is_in` says whether the account is in an organizational unit.
    fn reaches(&self, account: AccountId, is_in: &dyn Fn(&str) -> bool, evidence: Evidence) -> bool {
        // A digest must live as long as the logs that it proves.
        let kind = self.evidence.is_none_or(|kind| kind == evidence || kind == Evidence::Log);
        let who = self.account.is_none_or(|own| own == account);
        kind && who && self.ou.as_ref().is_none_or(|ou| is_in(ou))
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.ou.as_ref().map(|ou| format!("ou {ou}")));
        parts.extend(self.account.as_ref().map(|account| format!("account {account}")));
        parts.extend(self.evidence.map(|kind| format!("{}s", kind.name())));
        write!(f, "{}: {} days", parts.join(", "), self.days)
    }
}

/// A move of objects to another storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub after: u32,
    pub class: Class,
}

/// What is promised, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    pub term: Term,
    pub overrides: Vec<Override>,
    pub moves: Vec<Move>,
    /// Smaller objects are never moved to another class.
    pub smallest: u64,
    /// Days after which current versions expire.
    pub expire: Option<u32>,
    /// Days after which versions that are not current any more are deleted.
    pub noncurrent: Option<u32>,
    /// Days after which an upload that was never completed is given up.
    pub uploads: Option<u32>,
}

impl Promise {
    /// For how many days an account's evidence of a kind is promised to be locked.
    pub fn days(&self, account: AccountId, is_in: &dyn Fn(&str) -> bool, evidence: Evidence) -> u32 {
        let more = self.overrides.iter().filter(|more| more.reaches(account, is_in, evidence)).map(|more| more.days);
        more.fold(self.term.days, u32::max)
    }

    /// Units of overrides that none of these paths leads into; none where there are no paths.
    pub fn empty_units<'m>(&self, members: impl Iterator<Item = &'m OuPath> + Clone) -> Vec<String> {
        let is_empty = |unit: &&String| {
            let mut members = members.clone().peekable();
            members.peek().is_some() && !members.any(|path| path.is_in(unit))
        };
        let units: BTreeSet<&String> = self.overrides.iter().filter_map(|more| more.ou.as_ref()).collect();
        units.into_iter().filter(is_empty).cloned().collect()
    }

    /// Two promises with the same digest are the same.
    pub fn digest(&self) -> String {
        Sha256::of(serde_json::to_string(self).unwrap_or_default().as_bytes()).to_string()
    }

    /// The longest that anything is promised.
    pub fn longest(&self) -> u32 {
        self.overrides.iter().map(|more| more.days).fold(self.term.days, u32::max)
    }
}

/// The bucket's default retention; an error where nothing can be told of it.
pub fn default_of(protection: &Protection) -> Result<Option<Term>, String> {
    let text = match protection.of(Part::ObjectLock) {
        Fact::Value(text) => text,
        Fact::Absent => return Ok(None),
        Fact::Unread(why) => return Err(why),
    };
    let root = xml::parse(&text)?;
    let Some(default) = root.child("Rule").and_then(|rule| rule.child("DefaultRetention")) else { return Ok(None) };
    let number = |name: &str| default.text_of(name).map(|text| text.trim().parse::<u32>().map_err(|_| text.to_owned()));
    let days = match (number("Days").transpose(), number("Years").transpose()) {
        (Ok(Some(days)), Ok(None)) => days,
        (Ok(None), Ok(Some(years))) => years.saturating_mul(YEAR),
        _ => return Err("the default retention has no one number of days or years".into()),
    };
    let mode = default.text_of("Mode").and_then(|mode| Mode::parse(mode.trim()));
    Ok(Some(Term { mode: mode.ok_or("the default retention has no known mode")?, days }))
}

/// Whether Object Lock is on at all.
pub fn is_lockable(protection: &Protection) -> Result<bool, String> {
    match protection.of(Part::ObjectLock) {
        Fact::Value(text) => Ok(xml::parse(&text)?.text_of("ObjectLockEnabled").map(str::trim) == Some("Enabled")),
        Fact::Absent => Ok(false),
        Fact::Unread(why) => Err(why),
    }
}

/// Versioning, and whether it takes a device to delete a version.
pub fn versioning_of(protection: &Protection) -> Result<(bool, bool), String> {
    match protection.of(Part::Versioning) {
        Fact::Value(text) => {
            let root = xml::parse(&text)?;
            let is = |name: &str| root.text_of(name).map(str::trim) == Some("Enabled");
            Ok((is("Status"), is("MfaDelete")))
        }
        Fact::Absent => Ok((false, false)),
        Fact::Unread(why) => Err(why),
    }
}

#[cfg(test)]
mod tests;
