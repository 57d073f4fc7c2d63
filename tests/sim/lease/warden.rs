//! A host: a ledger, a clock of its own, and a warden on it that is started whenever it has ended.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use trailwarden::env::Env;
use trailwarden::error::Result;
use trailwarden::fence::Fence;
use trailwarden::health::Pulse;
use trailwarden::lease::{Bid, Lease};
use trailwarden::store::{Store, lease};

use super::TTL;
use super::far::{Far, Link};

/// What can happen to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// SIGSTOP, and SIGCONT later.
    Paused,
    /// It does not reach the lease.
    Cut,
    Killed,
    /// SIGTERM.
    Stopped,
}

impl Fate {
    pub const ALL: [Self; 4] = [Self::Paused, Self::Cut, Self::Killed, Self::Stopped];
}

/// A commit or an effect, at the true instant.
#[derive(Debug, Clone)]
pub struct Done {
    pub holder: String,
    pub epoch: u64,
    pub at: Timestamp,
}

pub struct Host {
    pub name: String,
    state: PathBuf,
    far: Arc<Far>,
    /// Its wall clock is off by this.
    skew: SignedDuration,
    fenced: bool,
    seed: u64,
    lives: AtomicU64,
    refused: AtomicU64,
    cut: Arc<Mutex<Option<Instant>>>,
    paused: Arc<Mutex<Instant>>,
    kill: Notify,
    stop: Notify,
    effects: Mutex<Vec<Done>>,
}

impl Host {
    pub fn new(number: usize, dir: &Path, far: Arc<Far>, skew: SignedDuration, fenced: bool, seed: u64) -> Self {
        Self {
            name: format!("host-{number}"),
            state: dir.join(format!("{number}.db")),
            far,
            skew,
            fenced,
            seed,
            lives: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cut: Arc::default(),
            paused: Arc::new(Mutex::new(Instant::now())),
            kill: Notify::new(),
            stop: Notify::new(),
            effects: Mutex::default(),
        }
    }

    pub fn meet(&self, fate: Fate, long: Duration) {
        let until = Instant::now() + long;
        match fate {
            Fate::Paused => *self.paused.lock().unwrap() = until,
            Fate::Cut => *self.cut.lock().unwrap() = Some(until),
            Fate::Killed => self.kill.notify_waiters(),
            Fate::Stopped => self.stop.notify_waiters(),
        }
        if fate != Fate::Killed {
            self.far.disturb(long + TTL);
        }
    }

    /// Life after life, as systemd would.
    pub async fn live(self: Arc<Self>, start: Timestamp) {
        loop {
            let env =
                Env::simulated(start + self.skew, self.seed.wrapping_add(self.lives.fetch_add(1, Ordering::Relaxed)));
            // The wall clock goes on between two lives; the steady one begins anew.
            env.advance(self.far.now().duration_since(start));
            let life = Pausable::new(self.one(&env), self.paused.clone());
            tokio::select! {
                biased;
                () = self.kill.notified() => {}
                ended = life => {
                    if let Err(error) = ended {
                        assert!(error.is_fatal() && error.op == "lease", "{error}");
                        self.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            sleep(Duration::from_secs(2)).await;
        }
    }

    async fn one(&self, env: &Env) -> Result<()> {
        let known = Connection::open(&self.state).ok().and_then(|conn| lease::epoch(&conn).ok()).unwrap_or(0);
        let bid = Bid {
            register: Arc::new(Link { far: self.far.clone(), cut: self.cut.clone() }),
            env: env.clone(),
            warden: "acme".into(),
            host: self.name.clone(),
            holder: format!("{}-{}", self.name, self.lives.load(Ordering::Relaxed)),
            ttl: TTL,
        };
        let held = tokio::select! {
            held = bid.take(known, |_| {}) => Arc::new(held),
            () = self.stop.notified() => return Ok(()),
        };
        let fence = if self.fenced { held.fence() } else { Fence::none() };
        let store = Store::open_behind(&self.state, env, fence.clone()).await?;
        let (epoch, by) = (held.epoch(), held.holder().to_owned());
        let begin = move |tx: &trailwarden::store::Tx<'_>| lease::taken(tx, epoch, &by);
        store.write(begin).await?;
        held.follow(&store);
        let own = held.fence();
        let outcome = tokio::select! {
            biased;
            ended = self.work(env, &store, &held, &fence) => ended,
            error = own.lost() => Err(error),
            () = held.clone().keep(Pulse::default()) => own.check(),
            () = self.stop.notified() => Ok(()),
        };
        held.release().await;
        outcome
    }

    /// Commits and effects, each with the true instant at which it was done.
    async fn work(&self, env: &Env, store: &Store, held: &Lease, fence: &Fence) -> Result<()> {
        let (holder, epoch) = (held.holder().to_owned(), held.epoch());
        loop {
            sleep(Duration::from_secs_f64(0.2 + 6.0 * env.chance())).await;
            let (by, far) = (holder.clone(), self.far.clone());
            let step = move |tx: &trailwarden::store::Tx<'_>| {
                // In a table that the ledger has: what it has not is under no seal.
                let done = format!("{by} {epoch} {}", far.now().as_microsecond());
                tx.conn.execute("INSERT INTO meta VALUES ('done ' || ?1, ?1)", [done]).map(|_| ())
            };
            store.write(step).await?;
            let effect = async {
                let done = Done { holder: holder.clone(), epoch, at: self.far.now() };
                self.effects.lock().unwrap().push(done);
                Ok(())
            };
            fence.guard(effect).await?;
        }
    }

    pub fn done(&self) -> Vec<Done> {
        let mut all = self.effects.lock().unwrap().clone();
        let conn = Connection::open(&self.state).expect("a ledger");
        let Ok(mut query) = conn.prepare("SELECT value FROM meta WHERE name LIKE 'done %'") else { return all };
        let rows = query.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        all.extend(rows.map(|row| {
            let row = row.expect("a row");
            let [holder, epoch, at] = row.split(' ').collect::<Vec<_>>().try_into().expect("three words");
            let at = Timestamp::from_microsecond(at.parse().expect("a number")).expect("a time of ours");
            Done { holder: holder.to_owned(), epoch: epoch.parse().expect("a number"), at }
        }));
        all
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A process that can be stopped: while it is, nothing in it goes on, and all of it at once afterwards.
struct Pausable<F> {
    inner: Pin<Box<F>>,
    until: Arc<Mutex<Instant>>,
    sleeping: Option<Pin<Box<Sleep>>>,
}

impl<F> Pausable<F> {
    fn new(inner: F, until: Arc<Mutex<Instant>>) -> Self {
        Self { inner: Box::pin(inner), until, sleeping: None }
    }
}

impl<F: Future> Future for Pausable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            if let Some(sleeping) = &mut self.sleeping {
                ready!(sleeping.as_mut().poll(context));
                self.sleeping = None;
            }
            let until = *self.until.lock().unwrap();
            if Instant::now() >= until {
                return self.inner.as_mut().poll(context);
            }
            self.sleeping = Some(Box::pin(sleep_until(until)));
        }
    }
}
