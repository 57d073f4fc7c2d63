//! The loops that keep the archive: what was admitted becomes rows, small files become large ones.

use std::time::Duration;

use crate::archive::Archive;
use crate::error::Result;

use super::Daemon;

/// How often the list of what is not archived is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// And again from its beginning, for what could not be read.
const ANEW: Duration = Duration::from_secs(3600);
/// How often it is looked for what to compact.
const COMPACT: Duration = Duration::from_secs(60);
/// How often it is told which logs are not verified.
const INTEGRITY: Duration = Duration::from_secs(900);
/// A failed pass is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

impl Daemon {
    pub(super) async fn archive_records(&self, archive: &Archive) -> Result<()> {
        let pulse = self.health.pulse("archive");
        let mut gathered = archive.gather();
        let mut begun = false;
        let mut anew = tokio::time::Instant::now() + ANEW;
        loop {
            let worked = async {
                if !begun {
                    archive.begin().await?;
                    begun = true;
                }
                let more = archive.take(&mut gathered).await?;
                if gathered.bytes() >= archive.buffer || gathered.age() >= archive.flush {
                    let flushed = archive.flush(&mut gathered).await?;
                    tracing::debug!(rows = flushed.rows, files = flushed.files, repeats = flushed.repeats, "archived");
                }
                Ok(more)
            };
            match worked.await {
                Ok(more) => {
                    pulse.worked();
                    if !more {
                        if gathered.is_empty() && tokio::time::Instant::now() >= anew {
                            gathered = archive.gather();
                            anew = tokio::time::Instant::now() + ANEW;
                        }
                        pulse.rest(LOOK).await;
                    }
                }
                Err(error) if crate::error::Error::is_fatal(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "records could not be archived");
                    pulse.failed(&error);
                    pulse.rest(AGAIN).await;
                }
            }
        }
    }

    pub(super) async fn compact_files(&self, archive: &Archive) -> Result<()> {
        let pulse = self.health.pulse("compaction");
        let mut due = tokio::time::Instant::now();
        loop {
            pulse.rest(COMPACT).await;
            // whose files these are is not known yet
            if !archive.has_begun() {
                pulse.worked();
                continue;
            }
            let passed = async {
                let done = archive.compact(false, |_| pulse.beat()).await?;
                if tokio::time::Instant::now() >= due {
                    archive.write_integrity().await?;
                    due = tokio::time::Instant::now() + INTEGRITY;
                }
                Ok::<_, crate::error::Error>(done)
            };
            match passed.await {
                Ok(done) => {
                    pulse.worked();
                    if done.merged > 0 {
                        tracing::info!(
                            merged = done.merged,
                            into = done.files,
                            rows = done.rows,
                            "files were compacted"
                        );
                    }
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "files could not be compacted");
                    pulse.failed(&error);
                }
            }
        }
    }
}
