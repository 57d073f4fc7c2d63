//! What guards a bucket, part by part, in the very words of S3: retention and posture are judged from this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::id::{Hasher, Sha256};

/// A part of a bucket's configuration, each read by one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Versioning,
    ObjectLock,
    Lifecycle,
    /// The header that comes with the lifecycle configuration: which objects are too small to be moved.
    LifecycleMinimum,
    Ownership,
    PublicAccessBlock,
    Encryption,
    Replication,
    Notification,
    Logging,
    Policy,
    PolicyStatus,
    Acl,
}

impl Part {
    pub const ALL: [Self; 13] = [
        Self::Versioning,
        Self::ObjectLock,
        Self::Lifecycle,
        Self::LifecycleMinimum,
        Self::Ownership,
        Self::PublicAccessBlock,
        Self::Encryption,
        Self::Replication,
        Self::Notification,
        Self::Logging,
        Self::Policy,
        Self::PolicyStatus,
        Self::Acl,
    ];
    /// What a retention plan is made from.
    pub const RETENTION: [Self; 4] = [Self::Versioning, Self::ObjectLock, Self::Lifecycle, Self::LifecycleMinimum];

    pub fn is_of_lifecycle(self) -> bool {
        matches!(self, Self::Lifecycle | Self::LifecycleMinimum)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Versioning => "versioning",
            Self::ObjectLock => "object lock",
            Self::Lifecycle => "lifecycle",
            Self::LifecycleMinimum => "lifecycle minimum size",
            Self::Ownership => "ownership",
            Self::PublicAccessBlock => "public access block",
            Self::Encryption => "encryption",
            Self::Replication => "replication",
            Self::Notification => "notification",
            Self::Logging => "logging",
            Self::Policy => "policy",
            Self::PolicyStatus => "policy status",
            Self::Acl => "acl",
        }
    }
}

/// A part as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// XML; JSON for the policy; a word for the minimum size.
    Value(String),
    /// Not configured.
    Absent,
    /// Could not be read, and why: neither is known.
    Unread(String),
}

impl Fact {
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Value(text) => Some(text),
            Self::Absent | Self::Unread(_) => None,
        }
    }
}

/// All parts; what is not in it was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection(pub BTreeMap<Part, Fact>);

impl Protection {
    pub fn of(&self, part: Part) -> Fact {
        self.0.get(&part).cloned().unwrap_or_else(|| Fact::Unread("it was not asked for".into()))
    }

    pub fn value(&self, part: Part) -> Option<&str> {
        self.0.get(&part).and_then(Fact::value)
    }

    /// A digest of some parts: whoever changes one of them changes it.
    pub fn digest(&self, parts: &[Part]) -> Sha256 {
        let mut hasher = Hasher::default();
        for part in parts {
            let (kind, text) = match self.of(*part) {
                Fact::Value(text) => (1_u8, text),
                Fact::Absent => (2, String::new()),
                Fact::Unread(_) => (3, String::new()),
            };
            hasher.update(&[*part as u8, kind]);
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finish()
    }
}

/// The key that a bucket encrypts with, as KMS describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// DescribeKey's answer.
    pub description: Fact,
    pub policy: Fact,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_changes_with_every_part_that_it_covers() {
        let mut all = Protection::default();
        let mut seen = std::collections::BTreeSet::new();
        assert!(seen.insert(all.digest(&Part::ALL).0));
        for part in Part::ALL {
            for fact in [Fact::Value("a".into()), Fact::Value(String::new()), Fact::Absent] {
                all.0.insert(part, fact);
                assert!(seen.insert(all.digest(&Part::ALL).0), "{part:?}");
            }
        }
        let before = all.digest(&Part::RETENTION);
        all.0.insert(Part::Acl, Fact::Value("b".into()));
        assert_eq!(all.digest(&Part::RETENTION), before);
    }
}
