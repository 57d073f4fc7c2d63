//! Waiting for the lease, with the face of a service that is well; and what a warden does first that has taken it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Front, Told, watchdog};
use crate::config::Config;
use crate::core::finding::{Finding, Kind};
use crate::core::lease::Document;
use crate::core::printable;
use crate::env::Env;
use crate::error::Result;
use crate::fence::Fence;
use crate::lease::Lease;
use crate::store::{self, Store, Tx, findings, lease};
use crate::wiring;

/// Under this name it reports how it is with the lease.
const LEASE: &str = "lease";

/// How long a stop waits for the lease to be given back.
const RELEASE: Duration = Duration::from_secs(5);

/// The lease that a warden holds while it works, if it needs one, and what renews it.
#[derive(Default)]
pub(super) struct Held {
    lease: Option<Arc<Lease>>,
    keeping: JoinSet<()>,
}

/// Waits until this warden holds the lease; one without is alone, and does not wait. `None`: it was told to stop before.
pub(super) async fn wait(
    config: &mut Config,
    path: &Path,
    env: &Env,
    front: &Front,
    told: &mut mpsc::Receiver<Told>,
) -> Result<Option<Held>> {
    let Some(wanted) = config.lease.clone() else { return Ok(Some(Held::default())) };
    let known = last_epoch(config).await?;
    front.health.expect(LEASE, 2 * wanted.ttl);
    let health = front.health.clone();
    let mut said = String::new();
    let taking = wiring::bid(config, &wanted, env).await?.take(known, move |why| {
        let why = format!("standby: {why}");
        if said != why {
            tracing::info!(why, "waiting for the lease");
            said.clone_from(&why);
        }
        health.failed(LEASE, why);
    });
    let Some(lease) = patiently(taking, config, path, front, told).await else { return Ok(None) };
    front.health.worked(LEASE);
    let lease = Arc::new(lease);
    let mut keeping = JoinSet::new();
    keeping.spawn(lease.clone().keep(front.health.pulse(LEASE)));
    tracing::info!(epoch = lease.fence().epoch(), before = lease.before.as_ref().map(Document::told), "took the lease");
    Ok(Some(Held { lease: Some(lease), keeping }))
}

/// A warden that waits is well: systemd hears so, and who it waits for. `None`: it was told to stop.
async fn patiently<T>(
    taking: impl Future<Output = T>,
    config: &mut Config,
    path: &Path,
    front: &Front,
    told: &mut mpsc::Receiver<Told>,
) -> Option<T> {
    tokio::pin!(taking);
    let mut tick = tokio::time::interval(watchdog());
    let mut ready = false;
    loop {
        tokio::select! {
            biased;
            what = told.recv() => match what {
                Some(Told::Reload) => reread(config, path),
                Some(Told::Stop) | None => return None,
            },
            lease = &mut taking => return Some(lease),
            _ = tick.tick() => {
                let line = printable(&front.health.not_ready().join("; "), 300);
                let mut states = vec![NotifyState::Status(&line), NotifyState::Watchdog];
                if !std::mem::replace(&mut ready, true) {
                    states.push(NotifyState::Ready);
                }
                let _ = sd_notify::notify(&states);
            }
        }
    }
}

/// Nothing is open yet, so that all of it can be taken up but what is waited for.
fn reread(config: &mut Config, path: &Path) {
    let _ = sd_notify::notify(&[NotifyState::Reloading]);
    let same = |new: &Config| {
        (&new.name, &new.lease, &new.state, new.listen) == (&config.name, &config.lease, &config.state, config.listen)
    };
    match Config::load(path) {
        Ok(new) if same(&new) => {
            if new.otlp != config.otlp {
                tracing::warn!("another collector, or what it is told with, needs a restart");
            }
            tracing::info!("the configuration was read again");
            *config = new;
        }
        Ok(_) => tracing::warn!("name, lease, ledger and address need a restart; the old configuration stays"),
        Err(error) => tracing::error!(error = %error, "reload refused; the old configuration stays"),
    }
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

/// A host whose ledger does not exist yet has never worked.
async fn last_epoch(config: &Config) -> Result<u64> {
    if !config.state.exists() {
        return Ok(0);
    }
    store::peek(&config.state, lease::epoch).await
}

impl Held {
    pub(super) fn fence(&self) -> Fence {
        self.lease.as_ref().map_or_else(Fence::none, |lease| lease.fence())
    }

    /// Writes down the epoch that the ledger is written under from here on, and tells when it knows less than the last
    /// holder's did.
    pub(super) async fn begin(&self, config: &Config, store: &Store) -> Result<()> {
        let Some(own) = &self.lease else { return Ok(()) };
        let (epoch, by) = (own.epoch(), format!("{} {}", store.env().host(), own.holder()));
        let behind = behind(config, own, store).await?;
        let step = move |tx: &Tx<'_>| {
            lease::taken(tx, epoch, &by)?;
            behind.iter().try_for_each(|finding| findings::raise(tx, finding).map(|_| ()))
        };
        store.write(step).await?;
        own.follow(store);
        Ok(())
    }

    /// Whoever waits takes over at once. Everything that works under the lease has ended.
    pub(super) async fn release(mut self) {
        self.keeping.shutdown().await;
        let Some(lease) = &self.lease else { return };
        if tokio::time::timeout(RELEASE, lease.release()).await.is_err() {
            tracing::warn!("the lease was not given back in time; it runs out");
        }
    }
}

/// The ledger does not have what the last holder's said when it was last heard of.
async fn behind(config: &Config, own: &Lease, store: &Store) -> Result<Option<Finding>> {
    let Some((last, head)) = own.before.as_ref().and_then(|last| Some((last, last.ledger.clone()?))) else {
        return Ok(None);
    };
    let (stood, epoch, host) = (head.to_string(), own.epoch(), printable(&last.host, 100));
    if store.read(move |conn| lease::has(conn, &head)).await? {
        return Ok(None);
    }
    let detail = format!(
        "epoch {epoch} of the lease began with a ledger that does not have what {host} wrote down until {stood}: \
         what was told, acknowledged and counted there is not known here"
    );
    Ok(Some(Finding::new(Kind::LedgerBehind, config.name.as_str(), detail)))
}
