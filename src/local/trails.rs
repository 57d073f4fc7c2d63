//! Trails in a file beside what they deliver, `.trails.json`: `trails`, each with `arn`, `status`, `selectors` and what else is
//! known, and `topics`, each with its subscribers. Without the file there is nobody to ask.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{blocking, fault};
use crate::core::id::Region;
use crate::core::posture::{Described, Seen};
use crate::error::{Error, Result};
use crate::seam::Trails;

const FILE: &str = ".trails.json";

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Book {
    pub trails: Vec<Described>,
    pub topics: BTreeMap<String, Vec<String>>,
}

/// The file is read anew each time.
pub struct TrailsFile {
    root: Arc<Path>,
}

impl TrailsFile {
    /// Of the directory that stands for the bucket.
    pub fn new(bucket: &Path) -> Self {
        Self { root: bucket.into() }
    }

    async fn read(&self) -> Result<Option<Book>> {
        const OP: &str = "trails:read";
        let path = self.root.join(FILE);
        blocking(OP, move || match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Error::permanent(OP, format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(OP, &error)),
        })
        .await
    }
}

#[async_trait]
impl Trails for TrailsFile {
    async fn of(&self, _bucket: &str, _regions: &[Region]) -> Result<Option<Seen>> {
        Ok(self.read().await?.map(|book| Seen { trails: book.trails, silent: Vec::new() }))
    }

    async fn subscribers(&self, topic: &str) -> Result<Vec<String>> {
        let book = self.read().await?.unwrap_or_default();
        let none = || Error::permanent("trails:subscribers", format!("there is no topic {topic}"));
        book.topics.get(topic).cloned().ok_or_else(none)
    }
}
