//! The look at the other loops: what is red is told by the channels that still work, and resolved when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Daemon, LEDGER};
use crate::core::finding::{Finding, Kind};
use crate::error::Result;
use crate::store::findings;

const TICK: Duration = Duration::from_secs(30);
/// A queue that is over its age for less than this is not worth a word.
const SUSTAINED: Duration = Duration::from_secs(60);
/// What is told here, and what it is about.
type Red = BTreeMap<(Kind, String), String>;

impl Daemon {
    pub(super) async fn watch_health(&self) -> Result<()> {
        let pulse = self.health.pulse("health");
        let mut told = self.told().await?;
        let mut over = BTreeMap::new();
        loop {
            pulse.rest(TICK).await;
            match self.works.store.trouble() {
                Some(trouble) => self.health.failed(LEDGER, trouble),
                None => self.health.worked(LEDGER),
            }
            let mut red = self.backlogged(&mut over);
            red.extend(self.stuck());
            match self.tell(&red, &told).await {
                Ok(()) => {
                    told = red.into_keys().collect();
                    pulse.worked();
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => pulse.failed(&error),
            }
        }
    }

    /// What was told before the warden last stopped.
    async fn told(&self) -> Result<BTreeSet<(Kind, String)>> {
        let open = |conn: &rusqlite::Connection| {
            let mut told = BTreeSet::new();
            for kind in [Kind::QueueBacklogged, Kind::LoopStuck] {
                told.extend(findings::open_of(conn, kind)?.into_iter().map(|(_, subject)| (kind, subject)));
            }
            Ok(told)
        };
        self.works.store.read(open).await
    }

    /// Queues whose messages have waited for longer than they should.
    fn backlogged(&self, over: &mut BTreeMap<String, Instant>) -> Red {
        let (mut red, mut oldest) = (Red::new(), 0.0_f64);
        for (trail, ingest) in self.config.trails.iter().zip(&self.ingests) {
            let Some(age) = ingest.age() else { continue };
            oldest = oldest.max(age.as_secs_f64());
            let name = format!("queue age {}", trail.name);
            if age.unsigned_abs() <= trail.queue_age {
                self.health.worked(&name);
                over.remove(&trail.name);
                continue;
            }
            let why = format!(
                "the oldest message has waited for {} s; {} s are allowed",
                age.as_secs(),
                trail.queue_age.as_secs()
            );
            self.health.failed(&name, &why);
            if over.entry(trail.name.clone()).or_insert_with(Instant::now).elapsed() >= SUSTAINED {
                red.insert((Kind::QueueBacklogged, trail.name.clone()), format!("trail {}: {why}", trail.name));
            }
        }
        self.works.metrics.queue_age.set(oldest);
        red
    }

    /// Loops that hang, or do nothing of what they are for; trouble with queues and channels has its own kinds.
    fn stuck(&self) -> Red {
        let own = |name: &str| ["queue ", "alerts", LEDGER].iter().any(|prefix| name.starts_with(prefix));
        let idle = self.health.stuck().into_iter().filter(|(name, _)| !own(name));
        let all = idle.chain(self.health.hung());
        all.map(|(name, why)| ((Kind::LoopStuck, name.clone()), format!("{name}: {why}"))).collect()
    }

    async fn tell(&self, red: &Red, told: &BTreeSet<(Kind, String)>) -> Result<()> {
        let news: Vec<Finding> = red
            .iter()
            .filter(|(about, _)| !told.contains(*about))
            .map(|((kind, subject), why)| Finding::new(*kind, subject.clone(), why.clone()))
            .collect();
        let over: Vec<(Kind, String)> = told.iter().filter(|about| !red.contains_key(*about)).cloned().collect();
        if news.is_empty() && over.is_empty() {
            return Ok(());
        }
        for finding in &news {
            tracing::error!(kind = finding.kind.name(), detail = finding.detail, "not well");
        }
        let step = move |tx: &crate::store::Tx<'_>| {
            news.iter().try_for_each(|finding| findings::hold(tx, finding).map(|_| ()))?;
            over.iter().try_for_each(|(kind, subject)| findings::resolve(tx, *kind, subject).map(|_| ()))
        };
        self.works.store.write(step).await
    }
}
