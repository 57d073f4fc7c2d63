//! The scrub: history, read and hashed again, slowly, so that tampering after the fact is found in time. First what has a row,
//! then the days that have been folded.

mod folded;

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

/// How far it came.
enum At {
    Row {
        key: String,
        version: String,
    },
    /// In a folded day, behind a key of it; behind the whole day when that is empty.
    Day {
        place: i64,
        day: i64,
        key: String,
    },
}

impl At {
    fn parse(text: &str) -> Self {
        match text.split('\n').collect::<Vec<_>>()[..] {
            [place, day, key] => {
                Self::Day { place: place.parse().unwrap_or(0), day: day.parse().unwrap_or(0), key: key.into() }
            }
            [key, version] => Self::Row { key: key.into(), version: version.into() },
            _ => Self::Row { key: text.into(), version: String::new() },
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Row { key, version } => format!("{key}\n{version}"),
            Self::Day { place, day, key } => format!("{place}\n{day}\n{key}"),
        }
    }
}

/// What became of an object since it was admitted.
enum Seen {
    Good,
    Attested,
    Unchecked,
    Bad(Kind, String),
}

impl Seen {
    fn gone() -> Self {
        Self::Bad(Kind::EvidenceRemoved, "the scrub did not find it any more".to_owned())
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attested => "attested",
            Self::Unchecked => "unchecked",
            Self::Bad(..) => "bad",
        }
    }
}

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
        let name = format!("scrub/{}", trail.name);
        let progress = name.clone();
        let held = self.deliveries.store.read(move |conn| lists::progress(conn, &progress)).await?;
        let mut at = At::parse(&held.unwrap_or_default());
        let mut read = 0;
        while read < budget {
            let (bytes, next) = match &at {
                At::Row { key, version } => self.rows(trail, key, version, budget - read).await?,
                At::Day { place, day, key } => self.day(trail, (*place, *day), key, budget - read).await?,
            };
            read += bytes;
            let (progress, held) = (name.clone(), next.as_ref().map_or_else(String::new, At::show));
            self.deliveries.store.write(move |tx| lists::set_progress(tx, &progress, &held)).await?;
            match next {
                Some(next) => at = next,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn rows(&self, trail: &Trail, key: &str, version: &str, budget: u64) -> Result<(u64, Option<At>)> {
        let (source, shard, after, of) = (trail.id, trail.shard, key.to_owned(), version.to_owned());
        let look = move |conn: &rusqlite::Connection| objects::after(conn, source, shard, &after, &of, BATCH);
        let rows = self.deliveries.store.read(look).await?;
        let (mut read, mut at) = (0, At::Day { place: 0, day: 0, key: String::new() });
        for row in rows {
            read += row.size.max(1);
            self.look(trail, &row).await?;
            at = At::Row { key: row.key, version: row.version };
            if read >= budget {
                break;
            }
        }
        Ok((read, Some(at)))
    }

    async fn look(&self, trail: &Trail, row: &Known) -> Result<()> {
        let seen = match self.see(trail, row).await {
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                if let Some(since) = self.quiet.say(&error) {
                    tracing::warn!(error = %error, object.key = row.key, since, "could not be scrubbed");
                }
                Seen::Unchecked
            }
            Ok(seen) => seen,
        };
        self.tally(seen.outcome());
        match seen {
            Seen::Bad(kind, detail) => self.tell(trail, &row.key, kind, detail).await,
            _ => Ok(()),
        }
    }

    async fn see(&self, trail: &Trail, row: &Known) -> Result<Seen> {
        match self.current(trail, row).await? {
            Seen::Good => self.content(trail, row).await,
            bad => Ok(bad),
        }
    }

    /// Where there are versions, the one that was read stays as it was: what lies before it is asked for, too.
    async fn current(&self, trail: &Trail, row: &Known) -> Result<Seen> {
        if row.version.is_empty() {
            return Ok(Seen::Good);
        }
        let Some(head) = trail.bucket.head(&row.key, None).await? else {
            let detail = "the scrub found it deleted, or hidden by a delete marker".to_owned();
            return Ok(Seen::Bad(Kind::EvidenceRemoved, detail));
        };
        let (source, key) = (trail.id, row.key.clone());
        let known = self.deliveries.store.read(move |conn| objects::versions(conn, source, &key)).await?;
        Ok(match head.version {
            Some(version) if known.iter().all(|row| row.version != version) => {
                let version = crate::core::printable(&version, 100);
                Seen::Bad(Kind::EvidenceOverwritten, format!("its version is now {version}, which nobody announced"))
            }
            _ => Seen::Good,
        })
    }

    async fn content(&self, trail: &Trail, row: &Known) -> Result<Seen> {
        let version = (!row.version.is_empty()).then_some(row.version.as_str());
        let deliveries = &self.deliveries;
        let (got, _stored) = match deliveries.get(trail, &row.key, version, Some(row.size)).await {
            Err(error) if error.code.as_deref() == Some("InvalidObjectState") => return self.attest(trail, row).await,
            got => got?,
        };
        Ok(match got {
            Got::Absent => Seen::gone(),
            // The limits are lower than they were.
            Got::TooLarge(size) if size == row.size => Seen::Unchecked,
            Got::TooLarge(size) => Seen::Bad(Kind::EvidenceOverwritten, format!("it has grown to {size} bytes")),
            Got::Found(object) => {
                let same = row.is_same(object.head.size, object.head.etag.as_deref());
                match deliveries.memory.inflate(object.body, trail.caps).await?.0 {
                    Ok(inflated) if row.sha.is_some_and(|sha| sha.fits(&Sha256::of(&inflated.bytes))) => Seen::Good,
                    Ok(inflated) => {
                        let detail = format!("its SHA-256 is now {}", Sha256::of(&inflated.bytes));
                        Seen::Bad(Kind::EvidenceOverwritten, detail)
                    }
                    Err(error) if error.is_cap() && same => Seen::Unchecked,
                    Err(error) => Seen::Bad(Kind::EvidenceOverwritten, format!("it can no longer be read: {error}")),
                }
            }
        })
    }

    /// An archived object cannot be read at once: its size and ETag are compared, and it counts as attested, not re-hashed. Of
    /// a folded one neither is known.
    async fn attest(&self, trail: &Trail, row: &Known) -> Result<Seen> {
        let version = (!row.version.is_empty()).then_some(row.version.as_str());
        Ok(match trail.bucket.head(&row.key, version).await? {
            None => Seen::gone(),
            Some(_) if row.folded => Seen::Unchecked,
            Some(head) if row.is_same(head.size, head.etag.as_deref()) => Seen::Attested,
            Some(head) => {
                let detail =
                    format!("it is archived, and has another size or ETag: {} bytes, once {}", head.size, row.size);
                Seen::Bad(Kind::EvidenceOverwritten, detail)
            }
        })
    }

    fn tally(&self, outcome: &'static str) {
        self.pulse.beat();
        self.deliveries.metrics.scrubbed.get_or_create(&Outcome { outcome }).inc();
    }

    async fn tell(&self, trail: &Trail, object: &str, kind: Kind, detail: String) -> Result<()> {
        let finding = about(Finding::of_object(kind, trail.name_or(""), object, detail), object);
        let news = self.deliveries.store.write(move |tx| findings::hold(tx, &finding)).await?;
        if news {
            self.deliveries.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(())
    }
}
