//! One life of the warden: the real daemon over made seams, until it crashes, gives up, or is told to stop.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use trailwarden::config::Config;
use trailwarden::daemon::{self, Told};
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::store::Store;
use trailwarden::wiring::{Seams, TrailSeams, Works};

use crate::cloud::{Cloud, SimBucket, SimChannel, SimKeys, SimMembers, SimQueue};
use crate::faults::{End, Kind};
use crate::script::Script;

#[derive(Debug)]
pub enum Ended {
    Crashed,
    GaveUp(Error),
    Stopped,
    /// It lived until the play was over.
    Finished,
}

/// What a life needs of the play it is a part of.
pub struct Life<'p> {
    pub script: &'p Arc<Script>,
    pub cloud: &'p Arc<Cloud>,
    pub config: &'p Config,
    pub path: &'p Path,
    /// How much of the script has happened.
    pub happened: &'p Arc<AtomicUsize>,
    pub now: Timestamp,
    pub finish: Timestamp,
    pub end: Option<End>,
    pub skew: SignedDuration,
    pub seed: u64,
}

impl Life<'_> {
    /// Answers how it ended, and at which instant.
    pub fn live(&self) -> (Ended, Timestamp) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime can be made");
        runtime.block_on(async {
            let truth = Env::simulated(self.now, 0);
            let ended = self.watch(&truth).await;
            (ended, truth.now())
        })
    }

    async fn watch(&self, truth: &Env) -> Ended {
        let crash = match self.end {
            Some(End::Crash { calls, .. }) => Some(calls),
            _ => None,
        };
        self.cloud.enter(truth.clone(), crash);
        let env = Env::simulated(self.now, self.seed);
        if !self.skew.is_zero() {
            self.cloud.met(Kind::ClockStep);
            env.advance(self.skew);
        }
        let ledger = Arc::<OnceLock<Store>>::default();
        let (tell, told) = mpsc::channel(2);
        let seams = self.seams();
        let (config, path, opened) = (self.config.clone(), self.path.to_owned(), ledger.clone());
        let mut warden = tokio::spawn(async move { run(config, &path, &env, seams, &opened, told).await });
        tokio::spawn(stage(self.cloud.clone(), self.script.clone(), self.happened.clone()));
        let (mut due, mut finished) = (self.due(), false);
        loop {
            tokio::select! {
                biased;
                () = self.cloud.tripped.notified() => {
                    if let Some(End::Crash { turns, .. }) = self.end {
                        for _ in 0..turns {
                            tokio::task::yield_now().await;
                        }
                    }
                    self.cloud.met(Kind::Crash);
                    return Ended::Crashed;
                }
                ended = &mut warden => return match ended.expect("the daemon does not panic") {
                    Err(error) => Ended::GaveUp(error),
                    Ok(()) if finished => Ended::Finished,
                    Ok(()) => Ended::Stopped,
                },
                () = tokio::time::sleep(due) => {
                    finished = self.cloud.now() >= self.finish;
                    match (self.end, finished, ledger.get()) {
                        (Some(End::DiskFull(_)), false, Some(store)) => {
                            self.cloud.met(Kind::DiskFull);
                            fill_disk(store).await;
                        }
                        (Some(End::Stop(_)), false, _) => {
                            self.cloud.met(Kind::Stop);
                            let _ = tell.send(Told::Stop).await;
                        }
                        (_, true, _) => {
                            let _ = tell.send(Told::Stop).await;
                        }
                        _ => {}
                    }
                    due = if finished { Duration::from_secs(3_600) } else { self.rest() };
                }
            }
        }
    }

    /// Until something is to be done to it.
    fn due(&self) -> Duration {
        match self.end {
            Some(End::Stop(after) | End::DiskFull(after)) => after.min(self.until(self.script.end)),
            _ => self.rest(),
        }
    }

    fn rest(&self) -> Duration {
        self.until(self.finish)
    }

    fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.cloud.now())).unwrap_or_default()
    }

    fn seams(&self) -> Seams {
        let cloud = self.cloud;
        let trail = TrailSeams {
            bucket: Arc::new(SimBucket(cloud.clone())),
            queue: Arc::new(SimQueue(cloud.clone())),
            keys: Arc::new(SimKeys(cloud.clone())),
        };
        let channel = |name| (String::from(name), Arc::new(SimChannel(cloud.clone(), name)) as _);
        Seams {
            members: Arc::new(SimMembers(cloud.clone())),
            trails: vec![trail],
            channels: ["audit", "oncall"].into_iter().map(channel).collect(),
        }
    }
}

async fn run(
    config: Config,
    path: &Path,
    env: &Env,
    seams: Seams,
    opened: &OnceLock<Store>,
    told: mpsc::Receiver<Told>,
) -> Result<()> {
    let store = Store::open(&config.state, env).await?;
    let _ = opened.set(store.clone());
    let works = Works::assemble(&config, store, seams).await?;
    daemon::watch(config, path, works, told).await
}

/// The world goes on, whether or not the warden lives: what happened while it was dead happens at once.
async fn stage(cloud: Arc<Cloud>, script: Arc<Script>, happened: Arc<AtomicUsize>) {
    while let Some(happening) = script.happenings.get(happened.load(Ordering::Relaxed)) {
        let wait = Duration::try_from(happening.at.duration_since(cloud.now())).unwrap_or_default();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        cloud.play(&happening.step);
        happened.fetch_add(1, Ordering::Relaxed);
    }
}

/// The ledger may not grow by a page any more, until it is opened again.
async fn fill_disk(store: &Store) {
    let fill = |tx: &trailwarden::store::Tx<'_>| {
        let pages: i64 = tx.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        tx.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))
    };
    let _ = store.write(fill).await;
}
