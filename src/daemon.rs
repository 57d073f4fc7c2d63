//! The daemon: starts the loops, supervises them, speaks to systemd, stops in order.

mod alerting;
mod archiving;
mod audits;
mod detection;
mod draining;
mod standby;
mod wellness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::audits::Audit;
pub use self::draining::{Drained, drain};
use self::standby::Held;
use crate::alert::Alerts;
use crate::config::{self, Config};
use crate::core::finding::{Finding, Kind};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::health::{Health, Pulse};
use crate::http;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::snapshot;
use crate::store::{Store, Tx, findings, journal};
use crate::trail::Trail;
use crate::verify::{Fold, Reconcile, Scrub, Sweep};
use crate::wiring::{self, Works};

/// One long poll; the longest that SQS allows.
const POLL: Duration = Duration::from_secs(20);
/// A queue that has not answered for this long is stalled.
const STALLED: Duration = Duration::from_secs(120);
/// A loop that does nothing at all for this long hangs; long passes report their steps.
const PATIENCE: Duration = Duration::from_secs(300);
/// A loop that works in slices completes one in this time.
const SLICES: Duration = Duration::from_secs(3600);
/// How often a slice of slow work is done.
const SLICE: Duration = Duration::from_secs(60);
/// A full house is looked at this often: messages that are settled are no stall.
const FULL_HOUSE: Duration = Duration::from_secs(10);
/// An object is left to its notification for this long, and for as long as messages wait.
const ANNOUNCED: SignedDuration = SignedDuration::from_mins(15);
/// How often systemd is told how it is, at least.
const STATUS: Duration = Duration::from_secs(20);
/// Under this name it is reported whether the ledger can be written.
const LEDGER: &str = "ledger";
/// How long a stop waits for messages in flight; well inside systemd's TimeoutStopSec.
const STOP: Duration = Duration::from_secs(25);
/// How long a stop waits for the ledger to be closed.
const CLOSING: Duration = Duration::from_secs(10);

struct Daemon {
    works: Works,
    config: Config,
    path: PathBuf,
    health: Arc<Health>,
    ingests: Vec<Arc<Ingest>>,
    /// Replaced as a whole by a reload.
    alerts: watch::Sender<Arc<Alerts>>,
}

/// What is seen of a warden from outside, from its first moment on.
#[derive(Default)]
struct Front {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// What a running warden is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Stop,
    Reload,
}

/// Runs until it is told to stop, or until something fatal happens.
pub async fn run(mut config: Config, path: &Path, env: &Env) -> Result<()> {
    let _lock = Store::lock(&config.state)?;
    let (mut told, mut loops, front) = (signals()?, JoinSet::new(), Front::default());
    front.metrics.start_time.set(env.now().as_second() as f64);
    front.metrics.shard(config.shard);
    front.serve(&config, &mut loops).await?;
    let Some(held) = standby::wait(&mut config, path, env, &front, &mut told).await? else { return Ok(()) };
    let (outcome, store) = match open(&config, env, &held, &front, &mut told).await {
        Ok(None) => (Ok(()), None),
        Ok(Some(works)) => {
            let store = works.store.clone();
            (Arc::new(Daemon::new(config, path, works, front.health)).live(loops, told).await, Some(store))
        }
        Err(error) => (Err(error), None),
    };
    held.release().await;
    if let Some(store) = store {
        close(&store).await;
    }
    outcome
}

/// `None`: it was told to stop before all was open.
async fn open(
    config: &Config,
    env: &Env,
    held: &Held,
    front: &Front,
    told: &mut mpsc::Receiver<Told>,
) -> Result<Option<Works>> {
    let fence = held.fence();
    front.metrics.lease_held.set(1);
    // Until its loops have begun there is nobody else who would say that it is not ready.
    front.health.expect(LEDGER, PATIENCE);
    front.health.failed(LEDGER, "opening the ledger");
    let opening = async {
        let works = Works::open_behind(config, env, fence.clone(), front.metrics.clone()).await?;
        held.begin(config, &works.store).await?;
        Ok(works)
    };
    tokio::pin!(opening);
    let mut tick = tokio::time::interval(watchdog());
    loop {
        tokio::select! {
            biased;
            what = told.recv() => match what {
                // It was read a moment ago.
                Some(Told::Reload) => {}
                Some(Told::Stop) | None => return Ok(None),
            },
            error = fence.lost() => return Err(error),
            works = &mut opening => return works.map(Some),
            // A warden that has waited is ready already, and bringing an old ledger to the newest form takes its time.
            _ = tick.tick() => {
                front.health.failed(LEDGER, "opening the ledger");
                let _ = sd_notify::notify(&[NotifyState::Status("opening the ledger"), NotifyState::Watchdog]);
            }
        }
    }
}

/// As [`run`] without a lease, over works that are open already.
pub async fn watch(config: Config, path: &Path, works: Works, told: mpsc::Receiver<Told>) -> Result<()> {
    let front = Front { metrics: works.metrics.clone(), health: Arc::default() };
    let mut loops = JoinSet::new();
    front.serve(&config, &mut loops).await?;
    Arc::new(Daemon::new(config, path, works, front.health)).live(loops, told).await
}

/// After the lease is given back: the lease names the ledger's head.
async fn close(store: &Store) {
    if tokio::time::timeout(CLOSING, store.close()).await.is_err() {
        tracing::warn!("the ledger was not closed in time; whoever opens it next takes up the -wal file beside it");
    }
}

impl Front {
    async fn serve(&self, config: &Config, loops: &mut JoinSet<Result<()>>) -> Result<()> {
        if let Some(listen) = config.listen {
            let (address, serving) = http::serve(listen, self.metrics.clone(), self.health.clone()).await?;
            tracing::info!(%address, "serving metrics and health");
            loops.spawn(serving);
        }
        Ok(())
    }
}

/// SIGTERM and SIGINT stop, SIGHUP reloads.
fn signals() -> Result<mpsc::Receiver<Told>> {
    let (tell, told) = mpsc::channel(4);
    for (kind, what) in [
        (SignalKind::terminate(), Told::Stop),
        (SignalKind::interrupt(), Told::Stop),
        (SignalKind::hangup(), Told::Reload),
    ] {
        let mut signal = signal(kind).map_err(|error| Error::fatal("signal", error))?;
        let tell = tell.clone();
        tokio::spawn(async move { while signal.recv().await.is_some() && tell.send(what).await.is_ok() {} });
    }
    Ok(told)
}

/// How often systemd is told how it is.
fn watchdog() -> Duration {
    sd_notify::watchdog_enabled().map_or(STATUS, |limit| STATUS.min(limit / 3))
}

/// A loop goes on when the ledger was busy.
fn unless_fatal(outcome: Result<()>) -> Result<()> {
    outcome.or_else(|error| {
        if error.is_fatal() {
            return Err(error);
        }
        tracing::warn!(error = %error, "not written");
        Ok(())
    })
}

impl Daemon {
    fn new(config: Config, path: &Path, works: Works, health: Arc<Health>) -> Self {
        works.metrics.start_time.set(works.env.now().as_second() as f64);
        works.metrics.lease_held.set(1);
        works.metrics.lease_epoch.set(works.store.fence().epoch().map_or(0, |epoch| epoch as i64));
        let ingests = works
            .trails
            .iter()
            .map(|trail| Ingest::new(works.deliveries.clone(), trail.clone(), config.limits.messages))
            .collect();
        works.alerts.attach(&health);
        Self { alerts: watch::Sender::new(works.alerts.clone()), health, path: path.to_owned(), works, config, ingests }
    }

    /// Until it is told to stop, or something fatal happens.
    async fn live(self: Arc<Self>, mut loops: JoinSet<Result<()>>, told: mpsc::Receiver<Told>) -> Result<()> {
        let (stop, stopping) = watch::channel(false);
        self.start(&stopping, &mut loops);
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&self.health.line())]);
        let journal = self.journal_head().await;
        let shard = self.config.shard.to_string();
        tracing::info!(warden = self.config.name, trails = self.works.trails.len(), shard, journal, "started");
        let outcome = self.wait(&mut loops, told).await;
        self.health.stop();
        let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("settling what is in work")]);
        let _ = stop.send(true);
        if outcome.is_ok() {
            self.settle_in_flight().await;
        }
        self.end(&mut loops).await;
        if outcome.is_ok() {
            self.last_alerts().await?;
        }
        let journal = self.journal_head().await;
        tracing::info!(journal, "stopped");
        outcome
    }

    fn current_alerts(&self) -> Arc<Alerts> {
        self.alerts.borrow().clone()
    }

    /// Every loop ends with the reason why the warden must stop; none of them ever ends well.
    fn start(self: &Arc<Self>, stopping: &watch::Receiver<bool>, loops: &mut JoinSet<Result<()>>) {
        let this = self.clone();
        let refresh = self.config.organization.refresh.max(Duration::from_secs(60));
        self.health.expect_within("members", PATIENCE, 3 * refresh);
        loops.spawn(async move { this.watch_members().await });
        let this = self.clone();
        self.health.expect("alerts", PATIENCE);
        loops.spawn(async move { this.send_alerts().await });
        let this = self.clone();
        self.health.expect("rules", PATIENCE);
        loops.spawn(async move { this.watch_rules().await });
        let this = self.clone();
        self.health.expect("insights", PATIENCE);
        loops.spawn(async move { this.watch_rates().await });
        let this = self.clone();
        let ages = self.works.trails.iter().map(|trail| format!("queue age {}", trail.name));
        for name in ages.chain(["health".to_owned(), LEDGER.to_owned()]) {
            // What is not known to be wrong is well.
            self.health.expect(&name, PATIENCE);
            self.health.worked(&name);
        }
        loops.spawn(async move { this.watch_health().await });
        if let Some(to) = self.config.snapshot.clone() {
            let this = self.clone();
            loops.spawn(async move { this.copy_ledger(&to).await });
        }
        if let Some(archive) = self.works.archive.clone() {
            for name in ["archive", "compaction"] {
                self.health.expect_within(name, PATIENCE, SLICES);
            }
            let (this, compacted) = (self.clone(), archive.clone());
            loops.spawn(async move { this.archive_records(&archive).await });
            let compactor = self.clone();
            loops.spawn(async move { compactor.compact_files(&compacted).await });
        }
        for (trail, ingest) in self.works.trails.iter().zip(&self.ingests) {
            let (this, trail, ingest, stopping) = (self.clone(), trail.clone(), ingest.clone(), stopping.clone());
            self.health.expect_within(&format!("queue {}", trail.name), STALLED, 2 * POLL);
            let (sweeper, swept, reconciled) = (self.clone(), trail.clone(), ingest.clone());
            loops.spawn(async move { this.receive(&trail, &ingest, stopping).await });
            let every = self.config.verify.sweep.max(Duration::from_secs(200));
            self.health.expect_within(&format!("sweep {}", swept.name), PATIENCE, 3 * every);
            let (this, of) = (sweeper.clone(), swept.clone());
            loops.spawn(async move { sweeper.sweep(&swept).await });
            if let Some(every) = self.config.verify.scrub {
                let (this, of, pulse) = (this.clone(), of.clone(), self.sliced("scrub", &of));
                loops.spawn(async move { this.scrub(&of, every, pulse).await });
            }
            if let Some(every) = self.config.retention.as_ref().map(|retention| retention.audit) {
                let (this, of, pulse) = (this.clone(), of.clone(), self.audited(Audit::Retention, &of, every));
                loops.spawn(async move { this.keep_auditing(Audit::Retention, &of, every, pulse).await });
            }
            if let Some(every) = self.config.posture.as_ref().map(|posture| posture.every) {
                let (this, of, pulse) = (this.clone(), of.clone(), self.audited(Audit::Posture, &of, every));
                loops.spawn(async move { this.keep_auditing(Audit::Posture, &of, every, pulse).await });
            }
            if self.config.verify.reconcile.is_some() {
                let (pulse, ingest) = (self.sliced("reconcile", &of), reconciled);
                loops.spawn(async move { this.reconcile(of, &ingest, pulse).await });
            }
        }
    }

    /// A loop that works in slices, the first a while after the start.
    fn sliced(&self, what: &str, trail: &Trail) -> Pulse {
        let name = format!("{what} {}", trail.name);
        self.health.expect_within(&name, PATIENCE, SLICES);
        self.health.worked(&name);
        self.health.pulse(&name)
    }

    /// Until it is told to stop, or a fatal error.
    async fn wait(self: &Arc<Self>, loops: &mut JoinSet<Result<()>>, mut told: mpsc::Receiver<Told>) -> Result<()> {
        let mut tick = tokio::time::interval(watchdog());
        let fence = self.works.store.fence().clone();
        let lost = fence.lost();
        tokio::pin!(lost);
        loop {
            tokio::select! {
                biased;
                what = told.recv() => match what {
                    Some(Told::Reload) => self.reload().await,
                    Some(Told::Stop) | None => return Ok(()),
                },
                error = &mut lost => return Err(error),
                _ = tick.tick() => self.tell_systemd(),
                Some(ended) = loops.join_next() => return match ended {
                    Ok(outcome) => outcome,
                    Err(error) => Err(Error::fatal("daemon", error)),
                },
            }
        }
    }

    /// How it is, in a line; and, unless a loop hangs, that the watchdog may rest.
    fn tell_systemd(&self) {
        let line = self.health.line();
        let mut states = vec![NotifyState::Status(&line)];
        if self.health.hung().is_empty() {
            states.push(NotifyState::Watchdog);
        }
        let _ = sd_notify::notify(&states);
    }

    async fn reload(&self) {
        let _ = sd_notify::notify(&[NotifyState::Reloading]);
        match self.take_up().await {
            Ok((restart, rules)) => {
                tracing::info!(restart_needed = restart, rules, "rules, routes and channels reloaded");
            }
            Err(error) => tracing::error!(error = %error, "reload refused; the old configuration stays"),
        }
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }

    /// Rules, routes and channels are read again; anything else needs a restart. A broken file changes nothing. Answers whether
    /// a restart is needed, and how many rules there are.
    async fn take_up(&self) -> std::result::Result<(bool, usize), Box<dyn std::error::Error>> {
        let config = Config::load(&self.path)?;
        let alerts = wiring::alerts(&config, &self.works.store, &self.works.metrics).await?;
        alerts.attach(&self.health);
        self.works.store.set_routes(config.routes.clone());
        self.works.deliveries.set_rules(config.detect.clone());
        self.works.deliveries.set_insights(Arc::new(config.insights.clone()));
        self.alerts.send_replace(Arc::new(alerts));
        let (rules, old) = (config.detect.len(), &self.config);
        let rest = Config {
            routes: old.routes.clone(),
            channels: old.channels.clone(),
            detect: old.detect.clone(),
            insights: old.insights.clone(),
            ..config
        };
        Ok((rest != Config { warnings: rest.warnings.clone(), ..self.config.clone() }, rules))
    }

    async fn settle_in_flight(&self) {
        let settled = async {
            while self.ingests.iter().any(|ingest| ingest.in_flight() > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(STOP, settled).await.is_err() {
            tracing::warn!("some messages were not settled in time; the queue hands them out again");
        }
    }

    async fn receive(&self, trail: &Trail, ingest: &Arc<Ingest>, stopping: watch::Receiver<bool>) -> Result<()> {
        let name = format!("queue {}", trail.name);
        let mut failing: Option<tokio::time::Instant> = None;
        // An earlier life may have left a finding that ends with the first answer.
        let mut doubted = true;
        let mut attempts = 0;
        while !*stopping.borrow() {
            match self.receive_some(&name, ingest).await {
                Ok(_) => {
                    self.health.worked(&name);
                    attempts = 0;
                    failing = None;
                    if std::mem::take(&mut doubted) {
                        self.queue_answers(trail).await?;
                    }
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.works.metrics.receive_failures.inc();
                    self.health.failed(&name, &error);
                    doubted = true;
                    let since = *failing.get_or_insert_with(tokio::time::Instant::now);
                    let delay =
                        crate::retry::delay_after(&self.works.env, attempts, &error).min(Duration::from_secs(60));
                    attempts += 1;
                    tracing::warn!(trail = trail.name, error = %error, error.class = error.class.name(), attempt = attempts,
                        delay_ms = delay.as_millis() as u64, "the queue does not answer");
                    if since.elapsed() + delay >= STALLED || !error.is_transient() {
                        self.queue_fails(trail, &error).await?;
                    }
                    tokio::time::sleep(delay).await;
                }
            }
        }
        std::future::pending().await
    }

    /// While every permit is taken, messages that are settled show that it goes on.
    async fn receive_some(&self, name: &str, ingest: &Arc<Ingest>) -> Result<usize> {
        let receiving = ingest.receive(POLL);
        tokio::pin!(receiving);
        let mut settled = ingest.settled();
        loop {
            tokio::select! {
                biased;
                outcome = &mut receiving => return outcome,
                () = tokio::time::sleep(FULL_HOUSE) => {
                    if ingest.settled() > settled {
                        settled = ingest.settled();
                        self.health.moved(name);
                    }
                }
            }
        }
    }

    async fn queue_fails(&self, trail: &Trail, error: &Error) -> Result<()> {
        const CREDENTIALS: &[&str] = &[
            "Credentials",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
        ];
        let refused = error.code.as_deref().is_some_and(|code| CREDENTIALS.contains(&code));
        let kind = if refused { Kind::CredentialsFailing } else { Kind::QueueStalled };
        let finding = Finding::new(kind, trail.name.clone(), format!("trail {}: {error}", trail.name));
        unless_fatal(self.works.store.write(move |tx| findings::hold(tx, &finding)).await.map(|_| ()))
    }

    async fn queue_answers(&self, trail: &Trail) -> Result<()> {
        let name = trail.name.clone();
        let answers = move |tx: &Tx<'_>| {
            findings::resolve(tx, Kind::QueueStalled, &name)?;
            findings::resolve(tx, Kind::CredentialsFailing, &name).map(|_| ())
        };
        unless_fatal(self.works.store.write(answers).await)
    }

    async fn sweep(&self, trail: &Trail) -> Result<()> {
        let fold = self.config.fold.map(|after| Fold::new(self.works.store.clone(), after));
        let mut sweep = Sweep::new(self.works.deliveries.clone());
        sweep.pulse = self.health.pulse(&format!("sweep {}", trail.name));
        loop {
            let mut swept = sweep.run(trail).await;
            if let (Ok(()), Some(fold)) = (&swept, &fold) {
                swept = fold.run(trail.id).await.map(|_| ());
            }
            match swept {
                Ok(()) => sweep.pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "sweep failed");
                    sweep.pulse.failed(&error);
                }
            }
            if let Ok(depth) = trail.queue.depth().await {
                self.works.metrics.queue_visible.set(i64::try_from(depth.visible).unwrap_or(i64::MAX));
            }
            sweep.pulse.rest(self.config.verify.sweep).await;
        }
    }

    /// A slice a minute: small enough to disturb nothing, large enough to come round in `every`.
    async fn scrub(&self, trail: &Trail, every: Duration, pulse: Pulse) -> Result<()> {
        let mut scrub = Scrub::new(self.works.deliveries.clone());
        scrub.pulse = pulse;
        loop {
            scrub.pulse.rest(SLICE).await;
            let source = trail.id;
            let stored = self.works.store.read(move |conn| crate::store::objects::stored_bytes(conn, source)).await;
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "scrub put off");
                    continue;
                }
            };
            let fair = stored.saturating_mul(SLICE.as_secs()) / every.as_secs().max(1);
            let budget = fair.max(1 << 16).min(self.config.verify.scrub_limit.saturating_mul(SLICE.as_secs()));
            match scrub.run(trail, budget).await {
                Ok(_) => scrub.pulse.worked(),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "scrub interrupted");
                    scrub.pulse.failed(&error);
                }
            }
        }
    }

    /// A slice a minute while a round is under way; not before the queue has said how far its messages lag behind.
    async fn reconcile(&self, trail: Arc<Trail>, ingest: &Ingest, pulse: Pulse) -> Result<()> {
        let requests = (self.config.verify.reconcile_requests / 60).max(1);
        let plan = self.config.verify.clone();
        let mut reconcile = Reconcile::new(self.works.deliveries.clone(), trail.clone(), plan);
        reconcile.pulse = pulse;
        let mut pause = SLICE;
        loop {
            reconcile.pulse.rest(pause).await;
            let Some(age) = ingest.age() else { continue };
            match reconcile.slice(requests, self.works.env.now() - ANNOUNCED - age).await {
                Ok(ended) => {
                    reconcile.pulse.worked();
                    pause = if ended { PATIENCE } else { SLICE };
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "comparison of bucket and ledger interrupted");
                    reconcile.pulse.failed(&error);
                }
            }
        }
    }

    async fn watch_members(&self) -> Result<()> {
        let roster = &self.works.deliveries.roster;
        loop {
            let pause = match roster.refresh().await {
                Ok(()) => {
                    self.health.worked("members");
                    self.config.organization.refresh
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, error.class = error.class.name(), "members could not be refreshed");
                    self.health.failed("members", &error);
                    Duration::from_secs(30).min(self.config.organization.refresh)
                }
            };
            self.health.pulse("members").rest(pause).await;
        }
    }

    /// Nothing that goes wrong with a copy stops the warden: it is told.
    async fn copy_ledger(&self, to: &config::Snapshot) -> Result<()> {
        /// A copy that failed is tried again after this.
        const AGAIN: Duration = Duration::from_secs(15 * 60);
        let (store, name) = (&self.works.store, self.config.name.as_str());
        snapshot::clear(&self.config.state);
        loop {
            let taken = async {
                tokio::time::sleep(snapshot::wait(store, to.every).await?).await;
                wiring::snapshots(name, to, Some(to.keep), store).await?.take().await
            };
            if let Err(error) = taken.await {
                match snapshot::tell(store, name, &error).await {
                    Err(error) if error.is_fatal() => return Err(error),
                    _ => tokio::time::sleep(AGAIN.min(to.every)).await,
                }
            }
        }
    }

    /// Where the journal stands, for the log: whoever keeps the log can hold the ledger against it.
    async fn journal_head(&self) -> String {
        self.works.store.read(journal::head).await.map_or_else(|error| error.to_string(), |head| head.to_string())
    }
}
