//! A directory as the bucket, with the flow of retention over it, and a vault that counts and refuses.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use trailwarden::config::Config;
use trailwarden::core::lock::{Action, Retention};
use trailwarden::core::protection::{Fact, Key, Part, Protection};
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::local::vault::LocalVault;
use trailwarden::retain::Retain;
use trailwarden::seam::{Locked, Mark, Vault, Version};
use trailwarden::store::{Store, findings};
use trailwarden::wiring::{self, Works};

use crate::common::warden::{run_with, stderr};
use crate::retention::{PROD, REST, key_of};

/// A directory as the bucket, and the flow itself.
pub struct Yard {
    pub dir: tempfile::TempDir,
}

impl Yard {
    pub fn new(retention: &str) -> Self {
        let yard = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["spool", "keys", "bucket"] {
            std::fs::create_dir_all(yard.dir.path().join(folder)).unwrap();
        }
        let members = format!("[[account]]\nid = \"{PROD}\"\nou = \"ou-prod\"\n[[account]]\nid = \"{REST}\"\n");
        std::fs::write(yard.dir.path().join("members.toml"), members).unwrap();
        yard.configure(retention);
        yard
    }

    pub fn configure(&self, retention: &str) {
        let root = self.dir.path().display();
        let text = format!(
            "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file://{root}/bucket\"\n\
             bucket_name = \"yard\"\nqueue = \"file://{root}/spool\"\nkeys = \"keys\"\nlayout = [\"AWSLogs/{{account}}/\"]\n\
             validation = \"none\"\n[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n[retention]\n{retention}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("trailwarden.toml")
    }

    pub fn deliver(&self, account: &str, number: usize) -> String {
        self.deliver_on(account, number, 0)
    }

    /// So many, of today.
    pub fn deliver_all(&self, account: &str, count: usize) -> Vec<String> {
        let keys: Vec<String> = (0..count).map(|number| self.put(account, number, 0)).collect();
        self.backfill();
        keys
    }

    /// So many days late.
    pub fn deliver_on(&self, account: &str, number: usize, days: i64) -> String {
        let key = self.put(account, number, days);
        self.backfill();
        key
    }

    fn put(&self, account: &str, number: usize, days: i64) -> String {
        let key = key_of(account, number, days);
        let path = self.dir.path().join("bucket").join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, trailwarden::core::gzip::deflate(br#"{"Records":[]}"#)).unwrap();
        key
    }

    fn backfill(&self) {
        let config = self.config();
        let output = run_with(&[], &["backfill", "--from", "2d", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    pub async fn retain(&self) -> Retain {
        let config = Config::load(&self.config()).unwrap();
        let works = Works::open(&config, &Env::system()).await.unwrap();
        wiring::retain(&config, &config.trails[0], &works).await.unwrap().unwrap()
    }

    pub fn vault(&self) -> LocalVault {
        LocalVault::open(&self.dir.path().join("bucket"), Env::system()).unwrap()
    }

    /// Open findings of the kinds of retention.
    pub async fn told(&self, retain: &Retain) -> Vec<String> {
        let all = retain.store.read(|conn| findings::list(conn, false)).await.unwrap();
        let mut kinds: Vec<String> = all.iter().map(|held| held.kind.name().to_owned()).collect();
        kinds.sort();
        kinds
    }
}

/// As the ledger does with old days.
pub async fn fold(store: &Store) {
    let fold = |tx: &trailwarden::store::Tx<'_>| {
        tx.conn.execute_batch(
            "INSERT INTO days SELECT place, CAST(substr(name, 1, 8) AS INTEGER), count(*), 0, 0, sum(size), 0 FROM deliveries WHERE true GROUP BY 1, 2
               ON CONFLICT (place, day) DO UPDATE SET objects = objects + excluded.objects, bytes = bytes + excluded.bytes;
             DELETE FROM deliveries;",
        )
    };
    store.write(fold).await.unwrap();
}

/// Counts what is asked for objects, and what is changed.
pub struct Counting {
    inner: LocalVault,
    pub objects: AtomicUsize,
    pub changes: AtomicUsize,
    /// Somebody else's rules, set right after our first change.
    meddling: Option<Action>,
    /// Objects whose lock is refused: those with this in their keys.
    pub refuses: std::sync::Mutex<Option<String>>,
    /// A part that is not readable.
    pub hides: std::sync::Mutex<Option<Part>>,
    /// After the next change so many looks still show this.
    pub late: std::sync::Mutex<Option<(usize, Protection)>>,
    behind: std::sync::Mutex<Option<(usize, Protection)>>,
    /// A call that is refused.
    pub denies: std::sync::Mutex<Option<&'static str>>,
}

impl Counting {
    pub fn over(inner: LocalVault, meddling: Option<Action>) -> Arc<Self> {
        let (objects, changes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (refuses, hides, denies, late, behind) = Default::default();
        Arc::new(Self { inner, objects, changes, meddling, refuses, hides, late, behind, denies })
    }
}

#[async_trait]
impl Vault for Counting {
    async fn describe(&self, parts: &[Part]) -> Protection {
        if let Some((looks, before)) = self.behind.lock().unwrap().as_mut().filter(|(looks, _)| *looks > 0) {
            *looks -= 1;
            return before.clone();
        }
        let mut found = self.inner.describe(parts).await;
        if let Some(hidden) = *self.hides.lock().unwrap() {
            found.0.insert(hidden, Fact::Unread("s3: access denied".into()));
        }
        found
    }
    async fn key(&self, name: &str) -> Key {
        self.inner.key(name).await
    }
    async fn apply(&self, action: &Action) -> Result<()> {
        let before = self.changes.fetch_add(1, Ordering::SeqCst);
        if *self.denies.lock().unwrap() == Some(action.call()) {
            return Err(Error::permanent(action.call(), "no").with_code("AccessDenied"));
        }
        self.inner.apply(action).await?;
        if let Some(late) = self.late.lock().unwrap().take() {
            *self.behind.lock().unwrap() = Some(late);
        }
        match &self.meddling {
            Some(meddling) if before == 0 => self.inner.apply(meddling).await,
            _ => Ok(()),
        }
    }
    async fn lock(&self, key: &str, version: Option<&str>) -> Result<Option<Locked>> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.lock(key, version).await
    }
    async fn retain(&self, key: &str, version: Option<&str>, from: Option<Retention>, to: Retention) -> Result<()> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        if self.refuses.lock().unwrap().as_ref().is_some_and(|part| key.contains(part)) {
            return Err(Error::permanent("s3:PutObjectRetention", "no").with_code("AccessDenied"));
        }
        self.inner.retain(key, version, from, to).await
    }
    async fn hold(&self, key: &str, version: Option<&str>, on: bool) -> Result<()> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.hold(key, version, on).await
    }
    async fn versions(&self, prefix: &str, after: Option<&Mark>) -> Result<(Vec<Version>, Option<Mark>)> {
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.inner.versions(prefix, after).await
    }
}
