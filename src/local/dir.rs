//! A bucket that is a directory: objects lie at their S3 keys, `<key>.meta.json` beside an object holds its user metadata.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use tokio::time::Instant;

use super::walk::{SIDECAR, Walk, each_entry, is_absent, is_folder, is_key, open_beneath, stat};
use super::{blocking, fault};
use crate::core::id::{Hasher, Sha256};
use crate::error::{Error, Result};
use crate::seam::{Bucket, Got, Head, Listed, Metadata, Object, Page};

/// As many keys as S3 gives on a page.
const PAGE: usize = 1000;
/// S3 allows 2 KB of user metadata; a sidecar larger than this is none.
const LARGEST_SIDECAR: u64 = 64 << 10;
/// A search for sidecars that found none is believed for a while if it was this long, in entries.
const LONG_SEARCH: usize = 10_000;
const BELIEVED: Duration = Duration::from_secs(60);

/// Objects under a directory. Dot-files, sidecars, symbolic links and names that are not UTF-8 are no objects.
///
/// Unversioned: a version asked for is ignored. The ETag is made of size and modification time; it is no hash of the content.
pub struct Dir {
    root: Arc<Path>,
    sidecars: Arc<Mutex<Sidecars>>,
    /// It holds no evidence: what was written there may be removed again.
    own: bool,
}

/// What is known about the existence of any sidecar.
#[derive(Clone, Copy)]
enum Sidecars {
    Unknown,
    Seen,
    /// None by a long search that ended then.
    NoneAt(Instant),
}

impl Dir {
    /// A directory that exists. If it holds a folder `objects`, the objects lie there.
    pub fn open(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::permanent("dir:open", format!("no directory at {}", path.display())),
            _ => fault("dir:open", &error),
        })?;
        if !found.is_dir() {
            return Err(Error::permanent("dir:open", format!("{} is no directory", path.display())));
        }
        let inner = path.join("objects");
        let root: PathBuf = if inner.is_dir() { inner } else { path.into() };
        Ok(Self { root: root.into(), sidecars: Arc::new(Mutex::new(Sidecars::Unknown)), own: false })
    }

    /// As `open`; makes the directory first if it is not there.
    pub fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|error| fault("dir:open", &error))?;
        Self::open(path)
    }

    /// As `create`, for what the warden may remove again.
    pub fn own(path: &Path) -> Result<Self> {
        Ok(Self { own: true, ..Self::create(path)? })
    }

    /// When an object was written last; `None` is no object.
    pub(super) async fn changed(&self, key: &str) -> Result<Option<Timestamp>> {
        if !is_key(key) {
            return Ok(None);
        }
        let key = key.to_owned();
        self.run("dir:head", move |tree| {
            let facts = stat(tree.root.as_fd(), &key)?;
            let file = facts.filter(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile);
            Ok(file.and_then(|facts| Timestamp::new(facts.st_mtime, i32::try_from(facts.st_mtime_nsec).ok()?).ok()))
        })
        .await
    }

    /// Deletes an object and its sidecar; one that is not there is deleted already.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        if !is_key(key) {
            return Ok(());
        }
        let key = key.to_owned();
        self.run("dir:remove", move |tree| {
            for name in [key.clone(), format!("{key}{SIDECAR}")] {
                match unlinkat(&tree.root, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Ok(())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Tree) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (root, sidecars) = (Arc::clone(&self.root), Arc::clone(&self.sidecars));
        blocking(op, move || {
            // opened anew each time: a directory that is gone, or mounted over, must be an error and not an empty bucket
            let root = open(&*root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| fault(op, &errno.into()))?;
            work(&Tree { root, sidecars }).map_err(|error| fault(op, &error))
        })
        .await
    }
}

#[async_trait]
impl Bucket for Dir {
    async fn get(&self, key: &str, _version: Option<&str>, max_bytes: u64) -> Result<Got> {
        if !is_key(key) {
            return Ok(Got::Absent);
        }
        let key = key.to_owned();
        self.run("dir:get", move |tree| tree.get(&key, max_bytes)).await
    }

    async fn head(&self, key: &str, _version: Option<&str>) -> Result<Option<Head>> {
        if !is_key(key) {
            return Ok(None);
        }
        let key = key.to_owned();
        self.run("dir:head", move |tree| Ok(tree.open(&key)?.map(|(_, head)| head))).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.run("dir:list", move |tree| tree.list(&prefix, after.as_deref(), PAGE)).await
    }

    /// Whole keys of folders (`AWSLogs/o-…/`), in key order; a folder without an object in it is none.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        if !is_folder(prefix) {
            return Ok(Vec::new());
        }
        let prefix = prefix.to_owned();
        self.run("dir:list", move |tree| tree.folders(&prefix)).await
    }

    async fn put(&self, key: &str, body: Vec<u8>, metadata: Metadata) -> Result<()> {
        if !is_key(key) {
            return Err(Error::permanent("dir:put", "not a key that a directory can hold").with_code("InvalidKey"));
        }
        let key = key.to_owned();
        self.run("dir:put", move |tree| tree.put(&key, &body, &metadata)).await
    }

    async fn put_file(&self, key: &str, file: &Path, sha: &Sha256) -> Result<()> {
        if !is_key(key) {
            return Err(Error::permanent("dir:put", "not a key that a directory can hold").with_code("InvalidKey"));
        }
        let (key, file, sha) = (key.to_owned(), file.to_owned(), *sha);
        self.run("dir:put", move |tree| tree.put_file(&key, &file, &sha)).await
    }

    async fn range(&self, key: &str, from: u64, length: u64) -> Result<Option<Vec<u8>>> {
        if !is_key(key) {
            return Ok(None);
        }
        let key = key.to_owned();
        self.run("dir:get", move |tree| {
            let Some(mut file) = tree.regular(&key)? else { return Ok(None) };
            let rest = file.metadata()?.len().saturating_sub(from);
            let mut body = Vec::with_capacity(usize::try_from(length.min(rest)).unwrap_or(0));
            file.seek(SeekFrom::Start(from))?;
            file.take(length).read_to_end(&mut body)?;
            Ok(Some(body))
        })
        .await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        if !self.own {
            return Err(Error::permanent("dir:remove", "nothing is removed from this bucket"));
        }
        self.delete(key).await
    }

    async fn has_metadata(&self) -> Result<bool> {
        match *self.sidecars.lock().unwrap_or_else(PoisonError::into_inner) {
            Sidecars::Seen => return Ok(true),
            Sidecars::NoneAt(when) if when.elapsed() < BELIEVED => return Ok(false),
            Sidecars::Unknown | Sidecars::NoneAt(_) => {}
        }
        let (found, looked) = self.run("dir:list", Tree::seek_sidecar).await?;
        let mut known = self.sidecars.lock().unwrap_or_else(PoisonError::into_inner);
        // a get may have seen one meanwhile
        if found || matches!(*known, Sidecars::Seen) {
            *known = Sidecars::Seen;
            return Ok(true);
        }
        *known = if looked >= LONG_SEARCH { Sidecars::NoneAt(Instant::now()) } else { Sidecars::Unknown };
        Ok(false)
    }
}

/// The opened root, for the length of one operation.
struct Tree {
    root: OwnedFd,
    sidecars: Arc<Mutex<Sidecars>>,
}

impl Tree {
    fn get(&self, key: &str, max_bytes: u64) -> io::Result<Got> {
        let Some((file, mut head)) = self.open(key)? else { return Ok(Got::Absent) };
        if head.size > max_bytes {
            return Ok(Got::TooLarge(head.size));
        }
        let mut body = Vec::with_capacity(usize::try_from(head.size).unwrap_or(0));
        // it may have grown since it was measured
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut body)?;
        head.size = body.len() as u64;
        Ok(if head.size > max_bytes { Got::TooLarge(head.size) } else { Got::Found(Object { head, body }) })
    }

    /// `None` is no object: absent, a folder, a link, a device.
    fn open(&self, key: &str) -> io::Result<Option<(File, Head)>> {
        let Some(file) = self.regular(key)? else { return Ok(None) };
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Ok(None);
        }
        let changed = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
        let head = Head {
            size: facts.len(),
            version: None,
            etag: Some(etag(facts.len(), changed)),
            metadata: self.metadata(key)?,
            storage_class: None,
            lock: None,
        };
        Ok(Some((file, head)))
    }

    fn regular(&self, key: &str) -> io::Result<Option<File>> {
        match open_beneath(self.root.as_fd(), key, OFlags::RDONLY) {
            Ok(opened) => Ok(Some(opened.into())),
            Err(errno) if is_absent(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What the sidecar says; one that cannot be understood says nothing.
    fn metadata(&self, key: &str) -> io::Result<Metadata> {
        let Some(file) = self.regular(&format!("{key}{SIDECAR}"))? else { return Ok(Metadata::new()) };
        if !file.metadata()?.is_file() {
            return Ok(Metadata::new());
        }
        let mut text = Vec::new();
        file.take(LARGEST_SIDECAR).read_to_end(&mut text)?;
        *self.sidecars.lock().unwrap_or_else(PoisonError::into_inner) = Sidecars::Seen;
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text).unwrap_or_default();
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name.to_ascii_lowercase(), text)),
            _ => None,
        });
        Ok(texts.collect())
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> io::Result<Page> {
        let mut walk = Walk::new(&self.root, prefix, after)?;
        let mut page = Page::default();
        while let Some(key) = walk.next()? {
            if page.objects.len() == limit {
                page.more = true;
                break;
            }
            // gone since the folder was read, or no file after all
            let Some(facts) = stat(self.root.as_fd(), &key)? else { continue };
            if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
                continue;
            }
            let size = u64::try_from(facts.st_size).unwrap_or(0);
            let changed = i128::from(facts.st_mtime) * 1_000_000_000 + i128::from(facts.st_mtime_nsec);
            page.objects.push(Listed { key, size, etag: Some(etag(size, changed)) });
        }
        Ok(page)
    }

    fn folders(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        each_entry(self.root.as_fd(), prefix, |name, kind| {
            if kind == FileType::Directory {
                found.push(format!("{prefix}{name}/"));
            }
            ControlFlow::Continue(())
        })?;
        found.sort_unstable();
        let mut held = Vec::with_capacity(found.len());
        for folder in found {
            if Walk::new(&self.root, &folder, None)?.next()?.is_some() {
                held.push(folder);
            }
        }
        Ok(held)
    }

    fn put(&self, key: &str, body: &[u8], metadata: &Metadata) -> io::Result<()> {
        self.place(key, metadata, |file| file.write_all(body))
    }

    fn put_file(&self, key: &str, from: &Path, sha: &Sha256) -> io::Result<()> {
        let mut from = File::open(from)?;
        self.place(key, &Metadata::new(), |file| {
            let (mut hasher, mut piece) = (Hasher::default(), vec![0; 1 << 18]);
            loop {
                match from.read(&mut piece)? {
                    0 => break,
                    length => {
                        hasher.update(&piece[..length]);
                        file.write_all(&piece[..length])?;
                    }
                }
            }
            if hasher.finish() == *sha { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
        })
    }

    fn place(&self, key: &str, metadata: &Metadata, body: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let (folders, name) = key.rsplit_once('/').map_or((None, key), |(folders, name)| (Some(folders), name));
        let folder = self.make_folders(folders)?;
        let sidecar = format!("{name}{SIDECAR}");
        if !metadata.is_empty() {
            let text = serde_json::to_vec(metadata)?;
            write_at(folder.as_fd(), &sidecar, |file| file.write_all(&text))?;
        }
        write_at(folder.as_fd(), name, body)?;
        if metadata.is_empty() {
            match unlinkat(&folder, &sidecar, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(fsync(&folder)?)
    }

    fn make_folders(&self, folders: Option<&str>) -> io::Result<OwnedFd> {
        let step = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut here = openat(&self.root, ".", step, Mode::empty())?;
        for folder in folders.into_iter().flat_map(|path| path.split('/')) {
            let next = match openat(&here, folder, step, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match mkdirat(&here, folder, Mode::from_raw_mode(0o750)) {
                        Ok(()) | Err(Errno::EXIST) => fsync(&here)?,
                        Err(errno) => return Err(errno.into()),
                    }
                    openat(&here, folder, step, Mode::empty())?
                }
                opened => opened?,
            };
            here = next;
        }
        Ok(here)
    }

    /// Whether there is any sidecar, and how many entries it took to know.
    fn seek_sidecar(&self) -> io::Result<(bool, usize)> {
        let mut folders = vec![String::new()];
        let (mut found, mut looked) = (false, 0);
        while let Some(folder) = folders.pop() {
            let (mut plain, mut digests) = (Vec::new(), Vec::new());
            each_entry(self.root.as_fd(), &folder, |name, kind| {
                looked += 1;
                match kind {
                    FileType::Directory if name.contains("Digest") => digests.push(format!("{folder}{name}/")),
                    FileType::Directory => plain.push(format!("{folder}{name}/")),
                    FileType::RegularFile if name.ends_with(SIDECAR) => found = true,
                    _ => {}
                }
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if found {
                break;
            }
            // digests carry the signatures: there the search ends soonest
            folders.append(&mut plain);
            folders.append(&mut digests);
        }
        Ok((found, looked))
    }
}

/// Changes when the content is rewritten.
fn etag(size: u64, changed_ns: i128) -> String {
    format!("{size:x}-{changed_ns:x}")
}

static SCRATCH: AtomicU64 = AtomicU64::new(0);

/// Replaces the file as a whole; its bytes are on the disk before it has the name.
fn write_at(folder: BorrowedFd<'_>, name: &str, body: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let scratch = format!(".tmp-{}-{}", std::process::id(), SCRATCH.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, &scratch, flags, Mode::from_raw_mode(0o640))?);
    let placed = body(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| renameat(folder, &scratch, folder, name).map_err(io::Error::from));
    if placed.is_err() {
        let _ = unlinkat(folder, &scratch, AtFlags::empty());
    }
    placed
}

#[cfg(test)]
#[path = "dir_tests.rs"]
mod tests;
