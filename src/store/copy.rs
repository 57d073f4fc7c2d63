//! A whole ledger as a file: copied while a warden writes, checked, set aside.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use crate::core::id::{Hasher, Sha256};
use crate::error::{Error, Result};
use crate::store::check::{self, Report};
use crate::store::classify;

/// A copy that was checked.
#[derive(Debug)]
pub struct Copy {
    pub report: Report,
    pub bytes: u64,
    pub sha: Sha256,
}

/// Writes the ledger as of now to a new file, with everything that is still in its write-ahead log, and checks the copy. On an
/// error, or when the copy is not what a warden wrote, no file is left.
pub fn make(path: &Path, into: &Path) -> Result<Copy> {
    let made = vacuum(path, into).and_then(|()| {
        let report = check::now(into, None)?;
        if let Some(fault) = report.fault() {
            return Err(Error::permanent("ledger:copy", format!("the copy is not what the warden wrote: {fault}")));
        }
        let (bytes, sha) = hash(into).map_err(|error| Error::transient("ledger:copy", error))?;
        Ok(Copy { report, bytes, sha })
    });
    if made.is_err() {
        let _ = std::fs::remove_file(into);
    }
    made
}

fn vacuum(path: &Path, into: &Path) -> Result<()> {
    let failed = |error: rusqlite::Error| classify("ledger:copy", &error);
    let name = into.to_str().ok_or_else(|| Error::permanent("ledger:copy", "the path is no text"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    // SQLite does not wait for the disk here.
    File::open(into).and_then(|file| file.sync_all()).map_err(|error| Error::transient("ledger:copy", error))
}

fn hash(path: &Path) -> io::Result<(u64, Sha256)> {
    let (mut file, mut hasher) = (File::open(path)?, Hasher::default());
    let (mut piece, mut bytes) = (vec![0; 1 << 18], 0);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((bytes, hasher.finish())),
            length => {
                hasher.update(&piece[..length]);
                bytes += length as u64;
            }
        }
    }
}

/// A ledger's files: itself, its write-ahead log and the index of that.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| beside(path, suffix))
}

/// A path beside the ledger's.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Gives the ledger another name, so that a new one can take its place; nothing is deleted. Answers the name, if there was one.
pub fn set_aside(path: &Path, now: Timestamp) -> Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let names = (0..).map(|number| match number {
        0 => format!(".aside-{stamp}"),
        again => format!(".aside-{stamp}-{again}"),
    });
    let free = names.map(|name| beside(path, &name)).find(|name| files(name).iter().all(|file| !file.exists()));
    let Some(aside) = free else { return Ok(None) };
    for (from, to) in files(path).iter().zip(files(&aside)) {
        if from.exists() {
            std::fs::rename(from, to).map_err(|error| Error::fatal("ledger:aside", error))?;
        }
    }
    settle(path)?;
    Ok(Some(aside))
}

/// Puts a finished file where the ledger belongs; both are on one file system.
pub fn put_in_place(file: &Path, path: &Path) -> Result<()> {
    std::fs::rename(file, path).map_err(|error| Error::fatal("ledger:copy", error))?;
    settle(path)
}

/// Makes renamings durable.
fn settle(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::fatal("ledger:copy", error))
}
