//! Copies of the ledger, checked, in a place of their own: what the warden remembers survives its machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::core::finding::{Finding, Kind};
use crate::core::journal::What;
use crate::core::printable;
use crate::error::{Error, Result};
use crate::seam::DynBucket;
use crate::store::copy::{self, Copy, beside};
use crate::store::{Store, findings, journal, lists};

/// Where the ledger remembers when the last one was made.
const PROGRESS: &str = "snapshot";
/// A copy that is being made lies beside the ledger under this ending.
const SCRATCH: &str = ".snapshot-";

pub struct Snapshots {
    pub store: Store,
    pub warden: String,
    pub bucket: DynBucket,
    /// Before each name: empty, or ending in `/`.
    pub prefix: String,
    /// A directory in which only so many are kept.
    pub keep: Option<(PathBuf, usize)>,
}

/// A copy that was made.
#[derive(Debug)]
pub struct Taken {
    pub name: String,
    pub bytes: u64,
}

impl Snapshots {
    /// Copies the ledger, checks the copy, and puts it in its place.
    pub async fn take(&self) -> Result<Taken> {
        let env = self.store.env();
        let (from, scratch) =
            (self.store.path().to_owned(), beside(self.store.path(), &format!("{SCRATCH}{}", env.token())));
        let into = scratch.clone();
        let copy = env.blocking(move || copy::make(&from, &into)).await??;
        let name = self.name(&copy);
        let key = format!("{}{name}", self.prefix);
        let put = self.store.fence().guard(self.bucket.put_file(&key, &scratch, &copy.sha)).await;
        let _ = std::fs::remove_file(&scratch);
        put?;
        if let Some((dir, keep)) = &self.keep {
            prune(dir, &self.label(), *keep);
        }
        let (named, detail) = (name.clone(), format!("{} bytes, SHA-256 {}", copy.bytes, copy.sha));
        let warden = self.warden.clone();
        self.store
            .write(move |tx| {
                journal::append(tx, What::Snapshot, &named, &detail)?;
                findings::resolve(tx, Kind::SnapshotFailing, &warden)?;
                lists::set_progress(tx, PROGRESS, &named)
            })
            .await?;
        tracing::info!(snapshot = name, bytes = copy.bytes, "a copy of the ledger was made");
        Ok(Taken { name, bytes: copy.bytes })
    }

    /// The warden, the time, and where the journal stood.
    fn name(&self, copy: &Copy) -> String {
        let (now, head) = (self.store.env().now(), &copy.report.head);
        let hash = head.hash.to_string();
        format!("{}-{}-{}-{}.db", self.label(), now.strftime("%Y%m%dT%H%M%SZ"), head.seq, &hash[..16.min(hash.len())])
    }

    fn label(&self) -> String {
        label(&self.warden)
    }
}

/// A warden's name, fit for a file's.
pub fn label(warden: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let label: String = warden.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    label.trim_start_matches('.').to_owned()
}

/// How long until the next one is due.
pub async fn wait(store: &Store, every: Duration) -> Result<Duration> {
    let now = store.env().now();
    let last = store.read(|conn| lists::progress_at(conn, PROGRESS)).await?;
    let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    let due = last.map_or(now, |last| last.checked_add(every).unwrap_or(Timestamp::MAX));
    Ok(Duration::try_from(due.duration_since(now)).unwrap_or_default())
}

/// Tells that one could not be made; it ends with the next that is.
pub async fn tell(store: &Store, warden: &str, error: &Error) -> Result<()> {
    tracing::warn!(error = %error, error.class = error.class.name(), "the ledger could not be copied");
    let finding = Finding::new(Kind::SnapshotFailing, warden, printable(&error.to_string(), 500));
    store.write(move |tx| findings::hold(tx, &finding).map(|_| ())).await
}

/// Takes away what a crash left of copies that were being made.
pub fn clear(state: &Path) {
    each_name(state.parent().unwrap_or(Path::new(".")), |name, path| {
        let mine = state
            .file_name()
            .and_then(|own| own.to_str())
            .is_some_and(|own| name.strip_prefix(own).is_some_and(|rest| rest.starts_with(SCRATCH)));
        if mine {
            let _ = std::fs::remove_file(path);
        }
    });
}

/// Keeps the newest; others' files are not touched.
fn prune(dir: &Path, label: &str, keep: usize) {
    let mut own = Vec::new();
    each_name(dir, |name, path| {
        let time = name.strip_prefix(label).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.get(..17));
        let is_time = time.is_some_and(|time| {
            let mut shape = time.bytes().zip(b"00000000T000000Z-".iter());
            shape.all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == *wanted })
        });
        if is_time && name.ends_with(".db") {
            own.push((name.to_owned(), path.to_owned()));
        }
    });
    own.sort();
    let surplus = own.len().saturating_sub(keep);
    for (name, path) in &own[..surplus] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(snapshot = name, error = %error, "an old copy could not be removed");
        }
    }
}

fn each_name(dir: &Path, mut look: impl FnMut(&str, &Path)) {
    for entry in
        std::fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }).into_iter().flatten().flatten()
    {
        if let Some(name) = entry.file_name().to_str() {
            look(name, &entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_wardens_own_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let mine = ["20260301T000000Z-3-aa.db", "20260302T000000Z-12-bb.db", "20260303T000000Z-1-cc.db"];
        let others = ["w-2-20260301T000000Z-3-aa.db", "w-notes.db", "w-20260301T000000Z-3-aa.txt"];
        for name in mine.iter().map(|name| format!("w-{name}")).chain(others.map(str::to_owned)) {
            std::fs::write(dir.path().join(name), "x").expect("a file");
        }
        prune(dir.path(), "w", 2);
        let left = |name: &str| dir.path().join(name).exists();
        assert_eq!(mine.map(|name| left(&format!("w-{name}"))), [false, true, true]);
        assert!(others.iter().all(|name| left(name)));
    }
}
