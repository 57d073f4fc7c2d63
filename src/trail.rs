//! One `[[trail]]` as the flows see it: its seams, its rules, its limits.

use std::sync::OnceLock;

use tokio::sync::Notify;

pub use crate::config::Validation;
use crate::core::admit::Rules;
use crate::core::gzip::Caps;
use crate::core::lock::Term;
use crate::seam::{DynBucket, DynKeys, DynQueue};

pub struct Trail {
    /// Number in the ledger.
    pub id: i64,
    pub name: String,
    pub bucket: DynBucket,
    pub queue: DynQueue,
    pub keys: DynKeys,
    pub rules: Rules,
    pub caps: Caps,
    /// Most stored bytes of an object that are read.
    pub object_limit: u64,
    pub validation: Validation,
    /// The lock that every object was promised, if any was.
    pub promise: Option<Term>,
    /// What notices and digests call the bucket, once known: configured, or what the first good digest says.
    pub bucket_name: OnceLock<String>,
    /// Told when something may have changed what protects the archive: the next audit comes at once.
    pub audit: Notify,
}

impl Trail {
    /// The rules with the bucket's name as it is known by now.
    pub fn rules(&self) -> Rules {
        Rules { bucket: self.bucket_name.get().cloned(), ..self.rules.clone() }
    }

    /// The bucket's name, or what the caller was told.
    pub fn name_or<'a>(&'a self, told: &'a str) -> &'a str {
        self.bucket_name.get().map_or(told, String::as_str)
    }
}
