//! The journal's rule: every entry's hash covers the entry before it, so that none can be changed without changing all that follow.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::core::id::Sha256;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The ledger's first entry.
    Begun,
    /// The ledger was brought to a newer form, and its rows sealed anew.
    Sealed,
    /// Rows did not fit their seals when the ledger was about to be sealed anew.
    Broken,
    Raised,
    Reopened,
    Resolved,
    Acknowledged,
    /// A digest's verdict that is not good, or is good at last.
    Digest,
    /// What became of a message that nobody understood.
    Quarantine,
    Snapshot,
    Restored,
    Rebuilt,
    /// A step of a retention plan was taken.
    Applied,
    /// Objects were locked one by one.
    Extended,
    /// A legal hold was put on objects, or released.
    Held,
    Released,
    /// Somebody asked not to be told for a while.
    Silenced,
    /// From here on the ledger is written under an epoch of the lease.
    Leased,
}

impl What {
    pub const ALL: &'static [Self] = &[
        Self::Begun,
        Self::Sealed,
        Self::Broken,
        Self::Raised,
        Self::Reopened,
        Self::Resolved,
        Self::Acknowledged,
        Self::Digest,
        Self::Quarantine,
        Self::Snapshot,
        Self::Restored,
        Self::Rebuilt,
        Self::Applied,
        Self::Extended,
        Self::Held,
        Self::Released,
        Self::Silenced,
        Self::Leased,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Sealed => "sealed",
            Self::Broken => "broken",
            Self::Raised => "raised",
            Self::Reopened => "reopened",
            Self::Resolved => "resolved",
            Self::Acknowledged => "acknowledged",
            Self::Digest => "digest",
            Self::Quarantine => "quarantine",
            Self::Snapshot => "snapshot",
            Self::Restored => "restored",
            Self::Rebuilt => "rebuilt",
            Self::Applied => "applied",
            Self::Extended => "extended",
            Self::Held => "held",
            Self::Released => "released",
            Self::Silenced => "silenced",
            Self::Leased => "leased",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|what| what.name() == text)
    }
}

/// An entry without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    /// Seconds since the Unix epoch.
    pub at: i64,
    pub what: String,
    pub subject: String,
    pub detail: String,
}

impl Entry {
    /// Its hash, given that of the entry before it.
    pub fn hash(&self, before: &Sha256) -> Sha256 {
        let mut bytes = before.0.to_vec();
        bytes.extend(self.seq.to_le_bytes());
        bytes.extend(self.at.to_le_bytes());
        for text in [&self.what, &self.subject, &self.detail] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        Sha256::of(&bytes)
    }
}

/// Where a journal ends. Whoever keeps one can prove later that the ledger still says the same of all that was before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub hash: Sha256,
}

impl Head {
    /// Of a journal without entries.
    pub const NONE: Self = Self { seq: 0, hash: Sha256([0; 32]) };

    /// The form in which it is told: enough of the hash that nobody makes another of the same.
    fn short(&self) -> String {
        hex::encode(&self.hash.0[..SHOWN])
    }
}

/// Bytes of a hash that are told.
const SHOWN: usize = 16;
/// Hexadecimal digits without which a hash proves nothing.
const LEAST: usize = 16;

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.short())
    }
}

impl Serialize for Head {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Head", 2)?;
        fields.serialize_field("seq", &self.seq)?;
        fields.serialize_field("head", &self.short())?;
        fields.end()
    }
}

/// A head as somebody noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub seq: i64,
    hash: String,
}

impl Noted {
    pub fn fits(&self, hash: &Sha256) -> bool {
        hex::encode(hash.0).starts_with(&self.hash)
    }
}

impl FromStr for Noted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown = crate::core::printable(text, 80);
            format!("`{shown}` is no head: a number, a colon and {LEAST} or more hexadecimal digits")
        };
        let (seq, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(wrong)?;
        let fits = (LEAST..=64).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self { seq, hash: hash.to_ascii_lowercase() }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry { seq: 7, at: 9, what: "raised".into(), subject: "ab".into(), detail: "c".into() }
    }

    #[test]
    fn every_part_of_an_entry_is_in_its_hash() {
        let before = Sha256::of(b"before");
        let hash = entry().hash(&before);
        let others = [
            Entry { seq: 8, ..entry() },
            Entry { at: 10, ..entry() },
            Entry { what: "resolved".into(), ..entry() },
            Entry { subject: "abc".into(), detail: String::new(), ..entry() },
            Entry { subject: "a".into(), detail: "bc".into(), ..entry() },
        ];
        assert!(others.iter().all(|other| other.hash(&before) != hash));
        assert_ne!(entry().hash(&Sha256::of(b"another")), hash);
    }

    #[test]
    fn a_head_that_was_told_is_understood() {
        let head = Head { seq: 12, hash: Sha256::of(b"x") };
        let noted: Noted = head.to_string().parse().expect("a head");
        assert!(noted.seq == 12 && noted.fits(&head.hash) && !noted.fits(&Sha256::of(b"y")));
        let json = serde_json::to_value(&head).expect("json");
        assert_eq!(format!("{}:{}", json["seq"], json["head"].as_str().expect("text")), head.to_string());
        for bad in [
            "",
            "12",
            "12:",
            "12:abc",
            "0:0123456789abcdef",
            "-1:0123456789abcdef",
            "x:0123456789abcdef",
            "1:z123456789abcdef",
        ] {
            assert!(bad.parse::<Noted>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_come_back() {
        assert!(What::ALL.iter().all(|what| What::parse(what.name()) == Some(*what)));
    }
}
