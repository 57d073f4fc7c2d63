//! One `[[trail]]` as the flows see it: its seams, its rules, its limits.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::Notify;

pub use crate::config::Validation;
use crate::core::admit::Rules;
use crate::core::change::{Name, Ours};
use crate::core::gzip::Caps;
use crate::core::key::DigestKey;
use crate::core::lock::Term;
use crate::core::shard::Shard;
use crate::seam::{DynBucket, DynKeys, DynQueue};

pub struct Trail {
    /// Number in the ledger.
    pub id: i64,
    pub name: String,
    /// Whose deliveries are looked for; what is announced is judged, whosever it is.
    pub shard: Shard,
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
    /// What its evidence rests on, as far as it is known by now.
    pub ours: RwLock<Arc<Ours>>,
    /// Told when something may have changed what protects the archive: the next audit comes at once.
    pub audit: Notify,
    /// What was announced here of other shards' accounts, until somebody takes note of it.
    pub strays: Mutex<Strays>,
}

/// Objects of other shards' accounts.
#[derive(Debug, Default)]
pub struct Strays {
    pub count: u64,
    /// The key of the first.
    pub first: String,
}

impl Trail {
    /// The rules with the bucket's name as it is known by now.
    pub fn rules(&self) -> Rules {
        Rules { bucket: self.bucket_name.get().cloned(), ..self.rules.clone() }
    }

    pub fn ours(&self) -> Arc<Ours> {
        self.ours.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of it, if there is anything to change.
    pub fn learn(&self, change: impl FnOnce(&mut Ours)) {
        let mut known = self.ours.write().unwrap_or_else(PoisonError::into_inner);
        let mut ours = (**known).clone();
        change(&mut ours);
        if ours != **known {
            *known = Arc::new(ours);
        }
    }

    /// What a good digest says: the trail that it is of, and what the bucket is called. A name once known stays.
    pub fn learn_of(&self, key: &DigestKey, bucket: &str) {
        let _ = self.bucket_name.set(bucket.to_owned());
        let (ours, name) = (self.ours(), Name::of(&key.root, &key.trail, &key.home));
        if ours.bucket.is_none() || !ours.names.contains(&name) {
            self.learn(|ours| {
                ours.learn(name);
                ours.bucket = self.bucket_name.get().cloned();
            });
        }
    }

    /// An admitted object of another shard's account was announced here.
    pub fn stray(&self, key: &str) {
        let mut strays = self.strays.lock().unwrap_or_else(PoisonError::into_inner);
        if strays.count == 0 {
            key.clone_into(&mut strays.first);
        }
        strays.count += 1;
    }

    /// Those since this was asked last.
    pub fn take_strays(&self) -> Strays {
        std::mem::take(&mut *self.strays.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bucket's name, or what the caller was told.
    pub fn name_or<'a>(&'a self, told: &'a str) -> &'a str {
        self.bucket_name.get().map_or(told, String::as_str)
    }
}
