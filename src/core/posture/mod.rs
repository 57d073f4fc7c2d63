//! How well the archive is guarded: what was read of a bucket and its key goes in, weaknesses come out, and what could not be
//! read comes out as that. A weakness has one shape, whatever it is about.

mod bucket;
mod key;
mod kind;
mod path;
#[cfg(test)]
mod tests;
mod trail;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

pub use bucket::{Input, key_of, of_bucket};
pub use key::of_key;
pub use kind::Kind;
pub use path::{Path, Redrive, Settings, of_path, senders, topics};
pub use trail::{
    Archive, Delivery, Described, Field, Known, Seen, Selector, Silent, Status, TRAILS, Validated, of_trails,
};

use crate::core::finding::{self, Severity};
use crate::core::id::Sha256;
use crate::core::{policy, printable};

/// Something weak, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weakness {
    /// Its kind, with a digest of where and what was found: what makes two looks find the same weakness.
    pub id: String,
    /// The section of docs/posture.md.
    pub kind: &'static str,
    pub severity: Severity,
    /// The part that is weak: `policy`, `acl`, a key.
    pub of: String,
    /// The statement or setting, as it was found.
    pub found: Option<String>,
    /// One sentence, without full stop.
    pub risk: String,
    pub advice: String,
    /// Statements or a command.
    pub paste: Option<String>,
    /// The kind of finding that tells it.
    pub told_as: finding::Kind,
    /// Why it is left as it is, if somebody said so.
    pub accepted: Option<String>,
}

/// A part of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    pub of: String,
    /// The call that failed, which is the permission that it takes, and the answer.
    pub why: String,
}

/// What one check has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub weaknesses: Vec<Weakness>,
    pub unread: Vec<Unread>,
}

impl Look {
    pub fn add(&mut self, other: Self) {
        self.weaknesses.extend(other.weaknesses);
        self.unread.extend(other.unread);
    }
}

/// Everything that was looked at for a trail's bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub trail: String,
    pub bucket: String,
    pub at: Timestamp,
    /// The worst first.
    pub weaknesses: Vec<Weakness>,
    pub unread: Vec<Unread>,
}

/// A weakness that somebody answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// A kind, or the id of a weakness.
    pub weakness: String,
    pub reason: String,
}

impl Acceptance {
    pub fn is_of(&self, weakness: &Weakness) -> bool {
        self.weakness == weakness.kind || self.weakness == weakness.id
    }
}

/// Whether a kind or an id like this can ever be found.
pub fn is_known(weakness: &str) -> bool {
    let (kind, digest) = weakness.split_once(':').map_or((weakness, None), |(kind, digest)| (kind, Some(digest)));
    let is_kind = Kind::parse(kind).is_some() || policy::Kind::parse(kind).is_some();
    is_kind && digest.is_none_or(|digest| digest.len() == DIGEST && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Hexadecimal digits of an id.
const DIGEST: usize = 12;

fn id(kind: &str, of: &str, found: Option<&str>) -> String {
    let text = format!("{of}\n{}", found.unwrap_or_default());
    format!("{kind}:{}", &Sha256::of(text.as_bytes()).to_string()[..DIGEST])
}

impl Weakness {
    /// A weakness of a setting: where, what was found there, the risk, what to do, and the command that does it.
    fn of_setting(
        kind: Kind,
        of: &str,
        found: Option<&str>,
        risk: String,
        advice: &str,
        paste: Option<String>,
    ) -> Self {
        Self {
            id: id(kind.name(), of, found),
            kind: kind.name(),
            severity: kind.severity(),
            of: of.into(),
            found: found.map(str::to_owned),
            risk,
            advice: advice.into(),
            paste,
            told_as: kind.told_as(),
            accepted: None,
        }
    }

    fn of_policy(weakness: &policy::Weakness, of: &str, usual: finding::Kind) -> Self {
        let found = weakness.place.as_ref().map(|place| place.text.as_str());
        let risk = match &weakness.place {
            Some(place) => format!("statement {}: {}", place.name, weakness.risk),
            None => weakness.risk.clone(),
        };
        Self {
            id: id(weakness.kind.name(), of, found),
            kind: weakness.kind.name(),
            severity: weakness.severity,
            of: of.into(),
            found: found.map(str::to_owned),
            risk,
            advice: weakness.advice(),
            paste: weakness.paste(),
            told_as: match weakness.kind {
                policy::Kind::Public => finding::Kind::BucketPublic,
                policy::Kind::CouldNotTell => finding::Kind::PostureUnchecked,
                _ => usual,
            },
            accepted: None,
        }
    }

    /// Of one thing where several have the same name.
    fn known_by(mut self, whole: &str) -> Self {
        self.id = id(self.kind, whole, self.found.as_deref());
        self
    }

    /// Whether it says that nothing can be said of its part as a whole.
    pub fn is_blindness(&self) -> bool {
        self.kind == policy::Kind::CouldNotTell.name() && self.found.is_none()
    }

    /// On one line, for a finding: the risk, what was found, what to do.
    pub fn detail(&self) -> String {
        let mut text = self.risk.clone();
        if let Some(found) = &self.found {
            text.push_str(&format!(". Found: {}", printable(&compact(found), LONGEST)));
        }
        text.push_str(&format!(". What to do: {}", self.advice));
        if let Some(paste) = &self.paste {
            text.push_str(&format!(": {}", printable(&compact(paste), LONGEST)));
        }
        text
    }
}

/// Of a statement in a finding; no command is longer, and hardly any statement.
const LONGEST: usize = 3_000;

/// Without the white space between the words of JSON, XML or a command.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped, mut blank) = (false, false, false);
    for c in text.chars() {
        if !quoted && c.is_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) && !out.is_empty() {
            out.push(' ');
        }
        out.push(c);
        (quoted, escaped) = match c {
            '"' if !escaped => (!quoted, false),
            '\\' => (quoted, quoted && !escaped),
            _ => (quoted, false),
        };
    }
    out
}

impl Audit {
    pub fn new(trail: &str, bucket: &str, at: Timestamp) -> Self {
        Self { trail: trail.into(), bucket: bucket.into(), at, weaknesses: Vec::new(), unread: Vec::new() }
    }

    pub fn add(&mut self, look: Look) {
        self.weaknesses.extend(look.weaknesses);
        self.unread.extend(look.unread);
        self.weaknesses.sort_by_key(|weakness| std::cmp::Reverse(weakness.severity));
    }

    pub fn accept(&mut self, accepted: &[Acceptance]) {
        for weakness in &mut self.weaknesses {
            let reason = accepted.iter().find(|acceptance| acceptance.is_of(weakness));
            weakness.accepted = reason.map(|acceptance| acceptance.reason.clone());
        }
    }

    /// Weaknesses that nobody answers for.
    pub fn open(&self) -> impl Iterator<Item = &Weakness> {
        self.weaknesses.iter().filter(|weakness| weakness.accepted.is_none())
    }

    pub fn summary(&self) -> Summary {
        let mut open = BTreeMap::new();
        for weakness in self.open() {
            *open.entry(weakness.severity.name().to_owned()).or_default() += 1;
        }
        let accepted = self.weaknesses.len() - self.open().count();
        Summary { at: self.at, open, accepted, unread: self.unread.len() }
    }
}

/// What is remembered of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Summary {
    pub at: Timestamp,
    /// How many are open, by severity.
    pub open: BTreeMap<String, usize>,
    pub accepted: usize,
    pub unread: usize,
}
