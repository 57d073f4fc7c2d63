//! The seams on directories and files: no AWS, no network. For the demo, tests, offline checks and small sites.

pub mod dir;
pub mod keys;
pub mod members;
pub mod register;
pub mod spool;
pub mod stdout;
pub mod trails;
pub mod vault;
mod walk;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Class, Error, Result};

/// Classes an I/O error: a human mends permissions, nobody mends a full disk by waiting, the rest may pass.
pub(crate) fn fault(op: &'static str, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied => Error::permanent(op, "permission denied").with_code("AccessDenied"),
        Kind::StorageFull | Kind::QuotaExceeded => Error::fatal(op, "the disk is full"),
        Kind::ReadOnlyFilesystem | Kind::InvalidFilename => Error::permanent(op, error.kind()),
        kind => Error::new(Class::TRANSIENT, op, kind),
    }
}

/// Runs file I/O off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    op: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => {
            Err(Error::transient(op, if gone.is_panic() { "the task failed" } else { "the task was stopped" }))
        }
    }
}

/// Writes `path` so that a crash leaves the old file or the new one, never half of one. `scratch` lies on the same file system.
pub(crate) fn write_whole(scratch: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = File::create(scratch).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(scratch, path));
    if placed.is_err() {
        let _ = std::fs::remove_file(scratch);
    }
    placed?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classed_by_who_can_act() {
        let of = |errno| fault("dir:get", &io::Error::from_raw_os_error(errno));
        let (eio, eacces, enospc, edquot) = (5, 13, 28, 122);
        assert!(of(eio).is_transient());
        assert_eq!(of(eacces).class, Class::Permanent);
        assert_eq!(of(eacces).code.as_deref(), Some("AccessDenied"));
        assert!(of(enospc).is_fatal());
        assert!(of(edquot).is_fatal());
    }
}
