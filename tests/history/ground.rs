//! A warden on directories with an archive, and logs that are made to measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trailwarden::archive::{Archive, Ids, Place, schema};
use trailwarden::config::Config;
use trailwarden::core::gzip;
use trailwarden::core::id::Sha256;
use trailwarden::core::notice::Notice;
use trailwarden::delivery::Fate;
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::local::dir::Dir;
use trailwarden::seam::{Bucket, DynBucket, Got, Head, Metadata, Page};
use trailwarden::store::archive::{self, ArchiveFile};
use trailwarden::wiring::Works;

pub struct Ground {
    pub dir: Arc<tempfile::TempDir>,
    pub env: Env,
    pub works: Works,
    /// Storage operations until one of them fails; never below zero.
    pub fuse: Arc<AtomicI64>,
}

/// Records of a date and an account, by what they say.
pub type Contents = BTreeMap<(String, String), BTreeSet<String>>;

impl Ground {
    pub async fn new(accounts: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let members: String = accounts
            .iter()
            .map(|account| format!("[[account]]\nid = \"{account}\"\nname = \"a\"\nstate = \"active\"\n\n"))
            .collect();
        std::fs::write(dir.path().join("members.toml"), members).expect("a list");
        let trail = |name: &str| {
            std::fs::create_dir_all(dir.path().join(name)).expect("a bucket");
            std::fs::create_dir_all(dir.path().join(format!("{name}-keys"))).expect("keys");
            let at = dir.path().display();
            format!(
                "[[trail]]\nname = \"{name}\"\nbucket = \"file://{at}/{name}\"\nbucket_name = \"{name}\"\nqueue = \"file://{at}/{name}-spool\"\nkeys = \"{name}-keys\"\n\n"
            )
        };
        let text = format!(
            "[warden]\nname = \"w\"\n\n[organization]\nmembers = \"members.toml\"\n\n{}{}[archive]\nlocation = \"file://{}/archive\"\nbuffer = \"1MiB\"\ntarget = \"1MiB\"\n\n[state]\npath = \"state.db\"\n\n[http]\nlisten = \"off\"\n",
            trail("one"),
            trail("two"),
            dir.path().display()
        );
        std::fs::write(dir.path().join("trailwarden.toml"), text).expect("a configuration");
        let env = Env::manual("2026-03-20T00:00:00Z".parse().expect("a time"), 1);
        let works = open(&dir.path().join("trailwarden.toml"), &env).await;
        Self { dir: Arc::new(dir), env, works, fuse: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    /// A second warden of the same name over the same buckets and the same archive, whose ledger is a copy of this one's as it
    /// is now.
    pub async fn beside(&self) -> Self {
        let (other, config) = (self.dir.path().join("other.db"), self.dir.path().join("other.toml"));
        let ledger = rusqlite::Connection::open(self.dir.path().join("state.db")).expect("a ledger");
        ledger.execute("VACUUM INTO ?1", [other.display().to_string()]).expect("a copy");
        let text = std::fs::read_to_string(self.dir.path().join("trailwarden.toml")).expect("a configuration");
        std::fs::write(&config, text.replace("state.db", "other.db")).expect("a configuration");
        let works = open(&config, &self.env).await;
        Self { dir: self.dir.clone(), env: self.env.clone(), works, fuse: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    pub fn place(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    /// As after a start: nothing is remembered but what lies on the disk.
    pub async fn start(&self) -> Arc<Archive> {
        let archive = self.load();
        archive.begin().await.expect("it begins");
        archive
    }

    fn load(&self) -> Arc<Archive> {
        let known = self.works.archive.as_ref().expect("an archive");
        let bucket: DynBucket = Arc::new(Dir::own(&self.place()).expect("a directory"));
        let bucket = Arc::new(Fused { inner: bucket, fuse: self.fuse.clone() });
        Arc::new(Archive {
            place: Place { bucket, ..known.place.clone() },
            address: known.address.clone(),
            store: known.store.clone(),
            env: known.env.clone(),
            deliveries: known.deliveries.clone(),
            shard: trailwarden::core::shard::Shard::WHOLE,
            trails: known.trails.clone(),
            ids: Ids::new(),
            flush: known.flush,
            buffer: known.buffer,
            target: known.target,
            begun: Default::default(),
            turn: Default::default(),
        })
    }

    /// Puts a log into a trail's bucket, and settles its notice.
    pub async fn deliver(&self, trail: usize, key: &str, records: &[String]) {
        let text = format!("{{\"Records\":[{}]}}", records.join(","));
        assert_eq!(self.deliver_bytes(trail, key, text.as_bytes()).await, Fate::Admitted, "{key}");
    }

    pub async fn deliver_bytes(&self, trail: usize, key: &str, bytes: &[u8]) -> Fate {
        let trail = &self.works.trails[trail];
        let path = self.dir.path().join(&trail.name).join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, gzip::deflate(bytes)).expect("a log");
        let notice = Notice::listed(trail.name.clone(), key, 0, None);
        self.works.deliveries.settle(trail, &notice).await.expect("it is settled")
    }

    pub async fn files(&self) -> Vec<ArchiveFile> {
        self.works.store.read(|conn| archive::files(conn, None)).await.expect("files")
    }

    /// All that the archive holds; a record that is there twice fails.
    pub async fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for file in self.files().await {
            let mut rows = 0;
            for (account, record) in records(&self.place().join(&file.name)) {
                rows += 1;
                let day = contents.entry((file.date.clone(), account)).or_default();
                assert!(day.insert(record.clone()), "twice: {record}");
            }
            assert_eq!(rows, file.rows, "{}", file.name);
        }
        contents
    }
}

pub async fn open(config: &Path, env: &Env) -> Works {
    let config = Config::load(config).expect("a configuration");
    let works = Works::open(&config, env).await.expect("the works");
    works.deliveries.roster.refresh().await.expect("members");
    works
}

/// The account and the whole text of each record of a file.
pub fn records(path: &Path) -> Vec<(String, String)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a file"))
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .expect("a file of columns");
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch.expect("rows");
        let accounts = schema::leaf(&batch, "recipientaccountid");
        let texts = schema::record(&batch);
        for row in 0..batch.num_rows() {
            let account = schema::text(accounts, row).unwrap_or_default().to_owned();
            records.push((account, schema::text(Some(&texts), row).expect("columns and shape fit").to_owned()));
        }
    }
    records
}

/// A key of a log, by account, day of March 2026 and number.
pub fn key(account: &str, day: usize, number: usize) -> String {
    let (hour, minute) = (number / 60 % 24, number % 60);
    format!(
        "AWSLogs/{account}/CloudTrail/eu-west-1/2026/03/{day:02}/{account}_CloudTrail_eu-west-1_202603{day:02}T{hour:02}{minute:02}Z_{number:016}.json.gz"
    )
}

/// A directory whose writes stop working, as a process's do when it is killed: before something is done, or right after.
struct Fused {
    inner: DynBucket,
    fuse: Arc<AtomicI64>,
}

impl Fused {
    /// Whether it still burns; the last step is done and never answered.
    fn burn(&self) -> Result<bool> {
        match self.fuse.fetch_sub(1, Ordering::SeqCst) {
            left if left > 1 => Ok(true),
            1 => Ok(false),
            _ => Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::permanent("test", "killed")
}

#[async_trait]
impl Bucket for Fused {
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got> {
        self.inner.get(key, version, max_bytes).await
    }
    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        self.inner.head(key, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.inner.list(prefix, after).await
    }
    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.folders(prefix).await
    }
    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        let answered = self.burn()?;
        self.inner.put(key, body, metadata).await?;
        answered.then_some(()).ok_or_else(gone)
    }
    async fn put_file(&self, key: &str, file: &Path, sha: &Sha256) -> Result<()> {
        let answered = self.burn()?;
        self.inner.put_file(key, file, sha).await?;
        answered.then_some(()).ok_or_else(gone)
    }
    async fn range(&self, key: &str, from: u64, length: u64) -> Result<Option<Vec<u8>>> {
        self.inner.range(key, from, length).await
    }
    async fn remove(&self, key: &str) -> Result<()> {
        let answered = self.burn()?;
        self.inner.remove(key).await?;
        answered.then_some(()).ok_or_else(gone)
    }
    async fn has_metadata(&self) -> Result<bool> {
        Ok(false)
    }
}
