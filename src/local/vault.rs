//! The protection of a bucket that is a directory: one file in it, `.vault.json`. It keeps the rules of Object Lock, so that
//! what is refused there is refused here; it cannot keep anybody else from deleting a file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::{blocking, fault, write_whole};
use crate::core::lock::lifecycle::is_due;
use crate::core::lock::{self, Action, Retention, Term};
use crate::core::protection::{Fact, Key, Part, Protection};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::{Bucket as _, Locked, Mark, Vault, Version};

const FILE: &str = ".vault.json";
/// Held while the file is read and written again.
const GATE: &str = ".vault.lock";
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Book {
    /// Each part as S3 would answer.
    parts: BTreeMap<Part, String>,
    /// By their names.
    keys: BTreeMap<String, Key>,
    /// Since when which default holds.
    defaults: Vec<(Timestamp, Term)>,
    locks: BTreeMap<String, Retention>,
    holds: BTreeMap<String, Timestamp>,
}

impl Book {
    fn protection(&self) -> Protection {
        let of = |part: Part| self.parts.get(&part).map_or(Fact::Absent, |text| Fact::Value(text.clone()));
        Protection(Part::ALL.into_iter().map(|part| (part, of(part))).collect())
    }

    fn set_lifecycle(&mut self, document: Option<String>, minimum: Option<String>) {
        let minimum = minimum.unwrap_or_else(|| "all_storage_classes_128K".into());
        let minimum = document.is_some().then_some(minimum);
        for (part, value) in [(Part::Lifecycle, document), (Part::LifecycleMinimum, minimum)] {
            match value {
                Some(value) => self.parts.insert(part, value),
                None => self.parts.remove(&part),
            };
        }
    }

    /// An object's lock: its own, or what the default of its day gave it.
    fn retention(&self, key: &str, created: Timestamp) -> Option<Retention> {
        let given = self.defaults.iter().rev().find(|(from, _)| *from <= created);
        let given = given.map(|(_, term)| Retention { mode: term.mode, until: term.until(created) });
        self.locks.get(key).copied().or(given)
    }
}

pub struct LocalVault {
    root: Arc<Path>,
    dir: Arc<Dir>,
    env: Env,
}

impl LocalVault {
    /// Of a directory that exists, as the bucket over it is opened.
    pub fn open(path: &Path, env: Env) -> Result<Self> {
        Ok(Self { root: path.into(), dir: Arc::new(Dir::open(path)?), env })
    }

    async fn read(&self) -> Result<Book> {
        let path = self.root.join(FILE);
        blocking("vault:read", move || read(&path)).await
    }

    /// Reads, changes and writes the file; nobody else does meanwhile.
    async fn change(
        &self,
        op: &'static str,
        change: impl FnOnce(&mut Book) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let root = Arc::clone(&self.root);
        blocking(op, move || {
            let gate = OpenOptions::new().create(true).truncate(false).write(true).open(root.join(GATE));
            let gate: File = gate.map_err(|error| fault(op, &error))?;
            gate.lock().map_err(|error| fault(op, &error))?;
            let path: PathBuf = root.join(FILE);
            let mut book = read(&path)?;
            change(&mut book)?;
            let text = serde_json::to_vec_pretty(&book).map_err(|error| Error::permanent(op, error))?;
            write_whole(&root.join(".vault.new"), &path, &text).map_err(|error| fault(op, &error))
        })
        .await
    }

    async fn created(&self, key: &str) -> Result<Option<Timestamp>> {
        self.dir.changed(key).await
    }

    /// Makes a part what somebody else made of it; the rules of Object Lock are not asked.
    pub async fn alter(&self, part: Part, value: Option<&str>) -> Result<()> {
        let value = value.map(str::to_owned);
        self.change("vault:alter", move |book| {
            match value {
                Some(value) => book.parts.insert(part, value),
                None => book.parts.remove(&part),
            };
            Ok(())
        })
        .await
    }

    pub async fn set_key(&self, name: &str, key: Key) -> Result<()> {
        let name = name.to_owned();
        self.change("vault:key", move |book| {
            book.keys.insert(name, key);
            Ok(())
        })
        .await
    }

    /// Deletes an object, unless it is locked or held.
    pub async fn remove(&self, key: &str) -> Result<()> {
        const OP: &str = "vault:remove";
        let Some(locked) = self.lock(key, None).await? else { return Ok(()) };
        if locked.held || locked.retention.is_some_and(|lock| lock.until > self.env.now()) {
            return Err(Error::permanent(OP, "the object is locked").with_code("AccessDenied"));
        }
        self.dir.delete(key).await
    }
}

fn read(path: &Path) -> Result<Book> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| Error::permanent("vault:read", format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Book::default()),
        Err(error) => Err(fault("vault:read", &error)),
    }
}

#[async_trait]
impl Vault for LocalVault {
    async fn describe(&self, parts: &[Part]) -> Protection {
        let whole = self.read().await.map(|book| book.protection());
        let of = |part: &Part| match &whole {
            Ok(whole) => (*part, whole.of(*part)),
            Err(error) => (*part, Fact::Unread(error.to_string())),
        };
        Protection(parts.iter().map(of).collect())
    }

    async fn key(&self, name: &str) -> Key {
        let of = |fact: Fact| Key { description: fact.clone(), policy: fact };
        match self.read().await {
            Ok(mut book) => book.keys.remove(name).unwrap_or_else(|| of(Fact::Absent)),
            Err(error) => of(Fact::Unread(error.to_string())),
        }
    }

    async fn apply(&self, action: &Action) -> Result<()> {
        const OP: &str = "vault:apply";
        let (action, now) = (action.clone(), self.env.now());
        self.change(OP, move |book| {
            match action {
                Action::EnableVersioning => {
                    book.parts.insert(Part::Versioning, root("VersioningConfiguration", "<Status>Enabled</Status>"));
                }
                Action::SetDefault { term } => {
                    let protection = book.protection();
                    let actual = lock::default_of(&protection).map_err(|why| Error::permanent(OP, why))?;
                    if let Some(why) = lock::default_refusal(actual, term) {
                        return Err(Error::permanent(OP, why));
                    }
                    if !lock::versioning_of(&protection).is_ok_and(|(on, _)| on) {
                        return Err(
                            Error::permanent(OP, "Object Lock needs versioning").with_code("InvalidBucketState")
                        );
                    }
                    book.parts.insert(Part::ObjectLock, default_xml(term));
                    book.defaults.push((now, term));
                }
                Action::SetLifecycle { document, minimum, made_from } => {
                    if let Some(made_from) = made_from {
                        let present = book.protection().of(Part::Lifecycle);
                        if !is_due(&present, document.as_deref(), &made_from)
                            .map_err(|why| Error::permanent(OP, why))?
                        {
                            return Ok(());
                        }
                    }
                    book.set_lifecycle(document, minimum);
                }
                Action::Extend { .. } => return Err(Error::permanent(OP, "objects are locked one by one")),
            }
            Ok(())
        })
        .await
    }

    async fn lock(&self, key: &str, _version: Option<&str>) -> Result<Option<Locked>> {
        let Some(created) = self.created(key).await? else { return Ok(None) };
        let book = self.read().await?;
        let (retention, held) = (book.retention(key, created), book.holds.contains_key(key));
        Ok(Some(Locked { version: None, created, retention, held }))
    }

    async fn retain(&self, key: &str, _version: Option<&str>, from: Option<Retention>, to: Retention) -> Result<()> {
        const OP: &str = "vault:retain";
        let created = self.created(key).await?;
        let created = created.ok_or_else(|| Error::permanent(OP, "no such object").with_code("NoSuchKey"))?;
        let (key, now) = (key.to_owned(), self.env.now());
        self.change(OP, move |book| {
            let actual = book.retention(&key, created).filter(|lock| lock.until > now);
            if let Some(why) = lock::refusal(from, to).or_else(|| lock::refusal(actual, to)) {
                return Err(Error::permanent(OP, why).with_code("AccessDenied"));
            }
            book.locks.insert(key, to);
            Ok(())
        })
        .await
    }

    async fn hold(&self, key: &str, _version: Option<&str>, on: bool) -> Result<()> {
        const OP: &str = "vault:hold";
        if self.created(key).await?.is_none() {
            return Err(Error::permanent(OP, "no such object").with_code("NoSuchKey"));
        }
        let (key, now) = (key.to_owned(), self.env.now());
        self.change(OP, move |book| {
            if on {
                book.holds.entry(key).or_insert(now);
            } else {
                book.holds.remove(&key);
            }
            Ok(())
        })
        .await
    }

    async fn versions(&self, prefix: &str, after: Option<&Mark>) -> Result<(Vec<Version>, Option<Mark>)> {
        let page = self.dir.list(prefix, after.map(|mark| mark.key.as_str())).await?;
        let last = page.objects.last().filter(|_| page.more);
        let next = last.map(|object| Mark { key: object.key.clone(), version: None });
        let versions = page.objects.into_iter();
        Ok((versions.map(|object| Version { key: object.key, version: None, size: object.size }).collect(), next))
    }
}

fn root(name: &str, inner: &str) -> String {
    format!("<{name} xmlns=\"{NAMESPACE}\">{inner}</{name}>")
}

fn default_xml(term: Term) -> String {
    let rule = format!("<DefaultRetention><Mode>{}</Mode><Days>{}</Days></DefaultRetention>", term.mode, term.days);
    root("ObjectLockConfiguration", &format!("<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>{rule}</Rule>"))
}
