//! The lease's place: one value, linearizable, behind a network that hangs, loses answers, and delivers late.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use jiff::Timestamp;
use tokio::time::Instant;
use trailwarden::core::lease::Document;
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::seam::{Register, Written};

/// A call that hangs for longer than anybody waits.
const HANGS: Duration = Duration::from_secs(3_600);

/// An epoch, from the instant at which its first document was there.
#[derive(Debug, Clone)]
pub struct Began {
    pub epoch: u64,
    pub holder: String,
    pub host: String,
    pub at: Timestamp,
}

#[derive(Default)]
struct State {
    value: Option<(Vec<u8>, u64)>,
    writes: u64,
    began: Vec<Began>,
    disturbances: Vec<(Timestamp, Timestamp)>,
}

pub struct Far {
    truth: Env,
    state: Mutex<State>,
    die: Mutex<Rng>,
}

impl Far {
    pub fn new(truth: Env, die: Rng) -> Self {
        Self { truth, state: Mutex::default(), die: Mutex::new(die) }
    }

    pub fn now(&self) -> Timestamp {
        self.truth.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    pub fn began(&self) -> Vec<Began> {
        self.state().began.clone()
    }

    /// The host of the last epoch.
    pub fn holder(&self) -> Option<String> {
        self.state().began.last().map(|began| began.host.clone())
    }

    pub fn epoch(&self) -> Option<u64> {
        self.state().began.last().map(|began| began.epoch)
    }

    /// Somebody is cut off, stopped, or told to stop until then.
    pub fn disturb(&self, long: Duration) {
        let now = self.now();
        self.state().disturbances.push((now, now + jiff::SignedDuration::try_from(long).expect("a short time")));
    }

    pub fn disturbed(&self, from: Timestamp, to: Timestamp) -> bool {
        self.state().disturbances.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }

    fn swap(&self, value: Vec<u8>, over: Option<&str>) -> Written {
        let now = self.now();
        let mut state = self.state();
        let there = state.value.as_ref().map(|(_, tag)| tag.to_string());
        if there.as_deref() != over {
            return Written::Lost;
        }
        state.writes += 1;
        let tag = state.writes;
        let document = Document::read(&value).expect("a warden writes leases");
        if state.began.last().is_none_or(|last| (last.epoch, &last.holder) != (document.epoch, &document.holder)) {
            let Document { epoch, holder, host, .. } = document;
            state.began.push(Began { epoch, holder, host, at: now });
        }
        state.value = Some((value, tag));
        Written::Won(tag.to_string())
    }

    fn roll(&self) -> f64 {
        self.die.lock().expect("nobody panics with it").f64()
    }

    async fn travel(&self) {
        tokio::time::sleep(Duration::from_secs_f64(0.01 + 0.4 * self.roll().powi(4))).await;
    }
}

/// One host's way there.
pub struct Link {
    pub far: Arc<Far>,
    /// Until then nothing gets through.
    pub cut: Arc<Mutex<Option<Instant>>>,
}

impl Link {
    async fn travel(&self) {
        let cut = self.cut.lock().expect("nobody panics with it").is_some_and(|until| Instant::now() < until);
        if cut {
            tokio::time::sleep(HANGS).await;
        }
        self.far.travel().await;
    }
}

#[async_trait]
impl Register for Link {
    async fn read(&self, _: usize) -> Result<Option<(Vec<u8>, String)>> {
        self.travel().await;
        let found = self.far.state().value.clone().map(|(value, tag)| (value, tag.to_string()));
        self.travel().await;
        if self.far.roll() < 0.02 { Err(Error::transient("sim", "reset")) } else { Ok(found) }
    }

    async fn write(&self, value: Vec<u8>, over: Option<&str>) -> Result<Written> {
        self.travel().await;
        let roll = self.far.roll();
        if roll < 0.02 {
            return Err(Error::transient("sim", "reset before"));
        }
        if roll < 0.03 {
            // ConditionalRequestConflict: another write was under way, or was thought to be.
            return Ok(Written::Lost);
        }
        if roll < 0.06 {
            let (far, over) = (self.far.clone(), over.map(str::to_owned));
            let late = Duration::from_secs_f64(180.0 * far.roll());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                far.swap(value, over.as_deref());
            });
            tokio::time::sleep(HANGS).await;
            return Err(Error::transient("sim", "hangs"));
        }
        let written = self.far.swap(value, over);
        if roll < 0.10 {
            return Err(Error::transient("sim", "reset after"));
        }
        self.travel().await;
        Ok(written)
    }
}
