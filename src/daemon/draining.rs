//! One pass over all that is due, and the end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Daemon, Front, close, standby};
use crate::config::Config;
use crate::env::Env;
use crate::error::Result;
use crate::ingest::Ingest;
use crate::store::Store;
use crate::trail::Trail;
use crate::verify::Sweep;
use crate::wiring::Works;

/// What a drain left behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drained {
    /// Messages given back because their objects could not be read.
    pub deferred: u64,
    /// Alerts that no channel has taken yet.
    pub unsent: i64,
}

/// Works until every queue is empty, nothing is in flight and all due work is done.
pub async fn drain(config: Config, path: &Path, env: &Env) -> Result<Drained> {
    let _lock = Store::lock(&config.state)?;
    let (_tell, mut told) = mpsc::channel(1);
    let (mut config, front) = (config, Front::default());
    // Nobody tells it to stop.
    let Some(held) = standby::wait(&mut config, path, env, &front, &mut told).await? else {
        return Ok(Drained::default());
    };
    let drained = async {
        let works = Works::open_behind(&config, env, held.fence(), front.metrics).await?;
        held.begin(&config, &works.store).await?;
        let store = works.store.clone();
        Ok((work_off(&Daemon::new(config, path, works, front.health)).await, store))
    };
    let drained = drained.await;
    held.release().await;
    let (drained, store) = drained?;
    close(&store).await;
    drained
}

async fn work_off(daemon: &Daemon) -> Result<Drained> {
    daemon.works.deliveries.roster.refresh().await?;
    for (trail, ingest) in daemon.works.trails.iter().zip(&daemon.ingests) {
        empty(trail, ingest).await?;
    }
    for trail in &daemon.works.trails {
        // What the first sweep repairs may be what another chain waited for.
        let sweep = Sweep::new(daemon.works.deliveries.clone());
        sweep.run(trail).await?;
        sweep.run(trail).await?;
    }
    daemon.works.deliveries.rest_watches().await?;
    daemon.works.deliveries.fold_tallies().await?;
    if let Some(archive) = &daemon.works.archive {
        archive.begin().await?;
        archive.catch_up().await?;
        archive.write_integrity().await?;
    }
    let alerts = daemon.current_alerts();
    while alerts.pump().await? {}
    alerts.forget().await?;
    let now = daemon.works.env.now();
    let unsent = daemon.works.store.read(move |conn| crate::store::outbox::pending(conn, now)).await?;
    Ok(Drained { deferred: daemon.ingests.iter().map(|ingest| ingest.deferred()).sum(), unsent })
}

/// Receives until the queue has nothing more to give.
async fn empty(trail: &Trail, ingest: &Arc<Ingest>) -> Result<()> {
    loop {
        let received = ingest.receive(Duration::ZERO).await?;
        if received > 0 {
            continue;
        }
        if ingest.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let depth = trail.queue.depth().await?;
        let given_back = ingest.deferred();
        if depth.visible == 0 && depth.in_flight + depth.delayed <= given_back {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
