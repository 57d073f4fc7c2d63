//! The scrub: history, oldest key first, read and hashed again, slowly, so that tampering after the fact is found in time.

use std::sync::Arc;

use crate::core::finding::{Finding, Kind};
use crate::core::id::Sha256;
use crate::delivery::Deliveries;
use crate::error::Result;
use crate::health::Pulse;
use crate::metrics::{KindLabel, Outcome};
use crate::retry::Quiet;
use crate::seam::Got;
use crate::store::objects::{self, Known};
use crate::store::{findings, lists};
use crate::trail::Trail;
use crate::verify::about;

/// Objects per ledger look.
const BATCH: usize = 200;

pub struct Scrub {
    deliveries: Arc<Deliveries>,
    pub pulse: Pulse,
    quiet: Quiet,
}

impl Scrub {
    pub fn new(deliveries: Arc<Deliveries>) -> Self {
        Self { deliveries, pulse: Pulse::default(), quiet: Quiet::default() }
    }

    /// Goes on where the last one stopped, until `budget` stored bytes were read. True when the end was reached.
    pub async fn run(&self, trail: &Trail, budget: u64) -> Result<bool> {
        let (name, source) = (format!("scrub/{}", trail.name), trail.id);
        let progress = name.clone();
        let at = self.deliveries.store.read(move |conn| lists::progress(conn, &progress)).await?.unwrap_or_default();
        let (mut key, mut version) =
            at.split_once('\n').map_or((at.clone(), String::new()), |(k, v)| (k.into(), v.into()));
        let mut read = 0;
        while read < budget {
            let (after, of) = (key.clone(), version.clone());
            let rows = self.deliveries.store.read(move |conn| objects::after(conn, source, &after, &of, BATCH)).await?;
            let done = rows.is_empty();
            for row in rows {
                read += row.size.max(1);
                self.look(trail, &row).await?;
                (key, version) = (row.key, row.version);
                if read >= budget {
                    break;
                }
            }
            let place = if done { String::new() } else { format!("{key}\n{version}") };
            let progress = name.clone();
            self.deliveries.store.write(move |tx| lists::set_progress(tx, &progress, &place)).await?;
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look(&self, trail: &Trail, row: &Known) -> Result<()> {
        let version = (!row.version.is_empty()).then_some(row.version.as_str());
        let deliveries = &self.deliveries;
        let (got, _stored) = match deliveries.get(trail, &row.key, version, Some(row.size)).await {
            Ok(got) => got,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) if error.code.as_deref() == Some("InvalidObjectState") => return self.attest(trail, row).await,
            Err(error) => {
                if let Some(since) = self.quiet.say(&error) {
                    tracing::warn!(error = %error, object.key = row.key, since, "could not be scrubbed");
                }
                self.tally("unchecked");
                return Ok(());
            }
        };
        let (kind, detail) = match got {
            Got::Absent => (Kind::EvidenceRemoved, "the scrub did not find it any more".to_owned()),
            Got::TooLarge(size) => (Kind::EvidenceOverwritten, format!("it has grown to {size} bytes")),
            Got::Found(object) => match deliveries.memory.inflate(object.body, trail.caps).await?.0 {
                Ok(inflated) if Some(Sha256::of(&inflated.bytes)) == row.sha => {
                    self.tally("good");
                    return Ok(());
                }
                Ok(inflated) => {
                    (Kind::EvidenceOverwritten, format!("its SHA-256 is now {}", Sha256::of(&inflated.bytes)))
                }
                Err(error) => (Kind::EvidenceOverwritten, format!("it can no longer be read: {error}")),
            },
        };
        self.tally("bad");
        let finding = about(Finding::of_object(kind, trail.name_or(""), &row.key, detail), &row.key);
        let news = self.deliveries.store.write(move |tx| findings::hold(tx, &finding)).await?;
        if news {
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(())
    }

    /// An archived object cannot be read at once: its size and ETag are compared, and it counts as attested, not re-hashed.
    async fn attest(&self, trail: &Trail, row: &Known) -> Result<()> {
        let version = (!row.version.is_empty()).then_some(row.version.as_str());
        let head = trail.bucket.head(&row.key, version).await?;
        let same = head.is_some_and(|head| head.size == row.size && (row.etag.is_none() || head.etag == row.etag));
        self.tally(if same { "attested" } else { "unchecked" });
        Ok(())
    }

    fn tally(&self, outcome: &'static str) {
        self.pulse.beat();
        self.deliveries.metrics.scrubbed.get_or_create(&Outcome { outcome }).inc();
    }
}
