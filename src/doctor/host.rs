//! What is on this machine: the ledger, its disk, and directories in the place of buckets, queues and keys.

use std::io;
use std::path::{Path, PathBuf};

use super::{Doctor, Line};
use crate::config::{KeysFrom, Trail};
use crate::core::grant::Role;

/// Room for a day of many accounts; a copy of the ledger needs its size once more.
const LEAST_ROOM: u64 = 1 << 30;

impl Doctor<'_> {
    pub(super) async fn host(&self) -> Vec<Line> {
        let state = self.config.state.clone();
        self.blocking("ledger", &state, |path| vec![ledger(path), disk(path)]).await
    }

    pub(super) async fn bucket_dir(&self, path: &Path) -> Vec<Line> {
        self.blocking("bucket", path, |path| {
            let line = Line::new(Role::Reader, "bucket", &path.display().to_string());
            vec![said(line, std::fs::read_dir(path).map(drop), "can be read", "nothing is read, hashed or proven")]
        })
        .await
    }

    pub(super) async fn spool_dir(&self, path: &Path) -> Vec<Line> {
        self.blocking("queue", path, |path| {
            let line = Line::new(Role::Reader, "queue", &path.display().to_string());
            vec![said(line, writable(path), "can be written", "no delivery is noticed")]
        })
        .await
    }

    pub(super) async fn own_dir(&self, name: &'static str, path: &Path, without: &'static str) -> Vec<Line> {
        self.blocking(name, path, move |path| {
            let line = Line::new(Role::Reader, name, &path.display().to_string());
            // the program makes it, and what it lies in
            let above = path.ancestors().find(|above| above.exists()).unwrap_or(path);
            let well = if above == path { "can be written" } else { "will be made" };
            vec![said(line, writable(above), well, without)]
        })
        .await
    }

    pub(super) async fn saved_keys(&self, trail: &Trail) -> Vec<Line> {
        let KeysFrom::Dir(path) = &trail.keys else { return Vec::new() };
        self.blocking("signing keys", path, |path| {
            let line = Line::new(Role::Reader, "signing keys", &path.display().to_string());
            let saved = std::fs::read_dir(path).map(|entries| {
                let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
                names.filter(|path| path.extension().is_some_and(|end| end == "json")).count()
            });
            let without = "no digest's signature can be checked";
            vec![match saved {
                Ok(0) => line.bad("no key is saved there", without).remedy("trailwarden keys save DIR"),
                Ok(count) => line.ok(format!("{count} files")),
                Err(error) => line.bad(error.kind().to_string(), without),
            }]
        })
        .await
    }

    async fn blocking(
        &self,
        name: &str,
        path: &Path,
        look: impl FnOnce(&Path) -> Vec<Line> + Send + 'static,
    ) -> Vec<Line> {
        let owned: PathBuf = path.into();
        let looked = self.env.blocking(move || look(&owned)).await;
        looked.unwrap_or_else(|error| {
            vec![Line::new(Role::Process, name, &path.display().to_string()).unchecked(error.to_string())]
        })
    }
}

fn said(line: Line, looked: io::Result<()>, well: &str, without: &str) -> Line {
    match looked {
        Ok(()) => line.ok(well),
        Err(error) => line.bad(error.kind().to_string(), without),
    }
}

fn ledger(path: &Path) -> Line {
    let line = Line::new(Role::Process, "ledger", &path.display().to_string());
    let folder = folder(path);
    // The file alone is not enough: SQLite writes its journal beside it.
    let opened = writable(folder).and_then(|()| match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok("will be made"),
        opened => opened.map(|_| "can be written"),
    });
    match opened {
        Ok(how) => line.ok(how),
        Err(error) => line
            .bad(error.kind().to_string(), "the warden does not start")
            .remedy(format!("{} must be a directory that the program's user may write", folder.display())),
    }
}

fn disk(path: &Path) -> Line {
    let folder = folder(path);
    let line = Line::new(Role::Process, "disk", &folder.display().to_string());
    let held = std::fs::metadata(path).map_or(0, |found| found.len());
    match rustix::fs::statvfs(folder) {
        Ok(room) => {
            let (free, wanted) = (room.f_bavail.saturating_mul(room.f_frsize), LEAST_ROOM.max(held));
            let seen = format!("{} MiB are free", free >> 20);
            if free >= wanted {
                line.ok(seen)
            } else {
                line.bad(seen, "a full disk stops the warden")
                    .remedy(format!("{} MiB and more should be free", wanted >> 20))
            }
        }
        Err(error) => line.unchecked(io::Error::from(error).kind().to_string()),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this process may write there; nothing is written.
fn writable(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?)
}
