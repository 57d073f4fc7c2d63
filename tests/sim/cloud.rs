//! The far side of every seam, in memory, with faults: what the warden sees of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use trailwarden::core::alert::{Alert, Reason};
use trailwarden::core::id::{Region, Sha256};
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::seam::{
    Bucket, Channel, Depth, Got, Head, Keys, Listed, Member, Members, Message, Metadata, Object, Page, PublicKey, Queue,
};
use trailwarden::world::Step;

use crate::faults::{Faults, Kind, Turn};
use crate::script::Script;

pub const VISIBILITY: Duration = Duration::from_secs(60);
/// Keys of one page of a listing.
const PAGE: usize = 40;

#[derive(Debug, Clone)]
struct Stored {
    body: Vec<u8>,
    metadata: Metadata,
    etag: String,
}

#[derive(Debug, Clone)]
pub struct Posted {
    pub body: Vec<u8>,
    sent: Timestamp,
    visible: Timestamp,
    receipt: Option<String>,
    deliveries: u32,
    pub deleted: bool,
    /// The life that holds it, and the queue's trouble when its visibility was last set: without more of it, the holder has
    /// no excuse to lose it.
    held: Option<(u64, u64)>,
}

/// An alert as a channel received it.
#[derive(Debug, Clone)]
pub struct Received {
    pub channel: &'static str,
    pub key: String,
    pub reason: Reason,
    pub alert: Alert,
}

pub struct State {
    die: Rng,
    faults: Faults,
    objects: BTreeMap<String, Stored>,
    pub messages: Vec<Posted>,
    pub received: Vec<Received>,
    receipts: u64,
    life: u64,
    /// Calls of the queue that failed or took long.
    trouble: u64,
    pub calls: u64,
    crash_at: Option<u64>,
    pub trace: Vec<u8>,
    pub met: BTreeMap<Kind, u64>,
    pub violations: Vec<String>,
}

/// Whether the fate of a message is durable; asked when it is deleted.
pub type Durable = dyn Fn(&[u8]) -> std::result::Result<(), String> + Send + Sync;

pub struct Cloud {
    script: Arc<Script>,
    state: Mutex<State>,
    /// The true time, whatever the warden's clock says.
    clock: Mutex<Env>,
    durable: Box<Durable>,
    posted: Notify,
    pub tripped: Notify,
}

impl Cloud {
    pub fn new(script: Arc<Script>, faults: Faults, die: Rng, durable: Box<Durable>) -> Arc<Self> {
        let state = State {
            die,
            faults,
            objects: BTreeMap::new(),
            messages: Vec::new(),
            received: Vec::new(),
            receipts: 0,
            life: 0,
            trouble: 0,
            calls: 0,
            crash_at: None,
            trace: Vec::new(),
            met: BTreeMap::new(),
            violations: Vec::new(),
        };
        let clock = Mutex::new(Env::manual(script.start, 0));
        Arc::new(Self {
            script,
            state: Mutex::new(state),
            clock,
            durable,
            posted: Notify::new(),
            tripped: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins: its runtime's clock is the true one, and it crashes after so many calls.
    pub fn enter(&self, clock: Env, crash_after: Option<u64>) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
        let mut state = self.state();
        state.life += 1;
        state.crash_at = crash_after.map(|calls| state.calls + calls);
    }

    pub fn now(&self) -> Timestamp {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    pub fn met(&self, kind: Kind) {
        *self.state().met.entry(kind).or_default() += 1;
    }

    pub fn play(&self, step: &Step) {
        let now = self.now();
        let mut state = self.state();
        match step {
            Step::Put { key, body, metadata } => {
                let etag = Sha256::of(body).to_string()[..32].to_owned();
                state.objects.insert(key.clone(), Stored { body: body.clone(), metadata: metadata.clone(), etag });
            }
            Step::Remove { key } => {
                state.objects.remove(key);
            }
            Step::Message { body } => {
                let body = body.clone();
                state.messages.push(Posted {
                    body,
                    sent: now,
                    visible: now,
                    receipt: None,
                    deliveries: 0,
                    deleted: false,
                    held: None,
                });
                self.posted.notify_one();
            }
        }
    }

    /// A call begins: it may be refused here, and its answer may be lost after its effect.
    async fn begin(&self, op: &'static str) -> Result<Option<Error>> {
        let now = self.now();
        let turn = {
            let mut state = self.state();
            let State { die, faults, .. } = &mut *state;
            let turn = Turn::roll(die, faults, op, now);
            state.calls += 1;
            state.trace.extend(op.as_bytes());
            state.trace.extend(now.as_microsecond().to_le_bytes());
            if let Some(kind) = turn.kind {
                *state.met.entry(kind).or_default() += 1;
                state.trace.push(kind as u8);
                state.trouble += u64::from(op.starts_with("sqs:"));
            }
            if state.crash_at.is_some_and(|at| state.calls >= at) && now < state.faults.until {
                state.crash_at = None;
                self.tripped.notify_one();
            }
            turn
        };
        tokio::time::sleep(turn.delay).await;
        // what was held while a call was slow to fail is let go when it fails
        self.state().trouble += u64::from(turn.kind.is_some() && op.starts_with("sqs:"));
        match turn.before {
            Some(error) => Err(error),
            None => Ok(turn.after),
        }
    }

    async fn call<T>(&self, op: &'static str, effect: impl FnOnce(&mut State, Timestamp) -> T) -> Result<T> {
        let lost = self.begin(op).await?;
        let answer = effect(&mut self.state(), self.now());
        lost.map_or(Ok(answer), Err)
    }

    fn chance(&self, state: &mut State, now: Timestamp, kind: Kind) -> bool {
        let rate = state.faults.rate(now).min(50);
        let hit = state.die.u32(..1_000) < rate;
        if hit {
            *state.met.entry(kind).or_default() += 1;
            state.trouble += 1;
        }
        hit
    }

    fn hand_out(&self, max: usize) -> Vec<Message> {
        let now = self.now();
        let mut state = self.state();
        let ready = |posted: &Posted| !posted.deleted && posted.visible <= now;
        let mut waiting: Vec<usize> =
            state.messages.iter().enumerate().filter(|(_, posted)| ready(posted)).map(|(index, _)| index).collect();
        state.die.shuffle(&mut waiting);
        waiting.truncate(max);
        let mut messages = Vec::new();
        for index in waiting {
            let twice = self.chance(&mut state, now, Kind::Duplicate);
            state.receipts += 1;
            let (receipt, holder) = (format!("{index}/{}", state.receipts), (state.life, state.trouble));
            let Some(posted) = state.messages.get_mut(index) else { continue };
            let dropped = posted.held.replace(holder) == Some(holder);
            if twice {
                posted.held = None;
            }
            posted.deliveries += 1;
            posted.receipt = Some(receipt.clone());
            posted.visible = if twice { now } else { now + signed(VISIBILITY) };
            messages.push(Message {
                id: format!("m-{index}"),
                receipt,
                body: posted.body.clone(),
                deliveries: posted.deliveries,
                sent: Some(posted.sent),
            });
            if dropped {
                state.violations.push(format!("m-{index} was held, and not extended by {now}"));
            }
        }
        messages
    }

    /// Nobody holds these any more: the answer with them was lost, or giving them back failed, and they come by themselves.
    fn let_go<'r>(&self, receipts: impl Iterator<Item = &'r String>) {
        let mut state = self.state();
        for receipt in receipts {
            if let Some(posted) = held(&mut state, receipt) {
                posted.held = None;
            }
        }
    }

    /// The next time at which something becomes visible.
    fn next(&self) -> Option<Timestamp> {
        self.state().messages.iter().filter(|posted| !posted.deleted).map(|posted| posted.visible).min()
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).expect("it fits")
}

/// The message that a receipt is still the newest handle of.
fn held<'s>(state: &'s mut State, receipt: &str) -> Option<&'s mut Posted> {
    let index: usize = receipt.split('/').next()?.parse().ok()?;
    state.messages.get_mut(index).filter(|posted| posted.receipt.as_deref() == Some(receipt) && !posted.deleted)
}

pub struct SimQueue(pub Arc<Cloud>);

#[async_trait]
impl Queue for SimQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>> {
        let lost = self.0.begin("sqs:ReceiveMessage").await?;
        let deadline = Instant::now() + wait;
        let messages = loop {
            let messages = self.0.hand_out(max);
            let left = deadline.saturating_duration_since(Instant::now());
            if !messages.is_empty() || left.is_zero() {
                break messages;
            }
            let now = self.0.now();
            let next = self.0.next().map_or(left, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            let pause = left.min(next.max(Duration::from_millis(1)));
            let _ = tokio::time::timeout(pause, self.0.posted.notified()).await;
        };
        if lost.is_some() {
            self.0.let_go(messages.iter().map(|message| &message.receipt));
        }
        lost.map_or(Ok(messages), Err)
    }

    async fn extend(&self, receipts: &[String], by: Duration) -> Result<Vec<String>> {
        let receipts = receipts.to_vec();
        let extend = |state: &mut State, now: Timestamp| {
            let holder = (state.life, state.trouble);
            receipts
                .into_iter()
                .filter(|receipt| match held(state, receipt) {
                    Some(posted) => {
                        posted.visible = now + signed(by);
                        // an extension may take effect after the message was let go
                        posted.held = posted.held.map(|_| holder);
                        false
                    }
                    None => true,
                })
                .collect()
        };
        self.0.call("sqs:ChangeMessageVisibility", extend).await
    }

    async fn done(&self, receipts: &[String]) -> Result<Vec<String>> {
        let cloud = self.0.clone();
        let all = receipts.to_vec();
        let done = move |state: &mut State, now: Timestamp| {
            let mut failed = Vec::new();
            for receipt in all {
                if cloud.chance(state, now, Kind::Partial) {
                    failed.push(receipt);
                    continue;
                }
                let index = receipt.split('/').next().and_then(|index| index.parse::<usize>().ok()).expect("ours");
                let undead = cloud.chance(state, now, Kind::Undead);
                let Some(posted) = state.messages.get_mut(index) else { continue };
                let durable = (cloud.durable)(&posted.body);
                // SQS forgets a message by the newest of its handles only.
                if posted.receipt.as_deref() == Some(&receipt) {
                    posted.deleted = !undead;
                    posted.visible = now + SignedDuration::from_secs(90);
                    posted.held = None;
                }
                if let Err(why) = durable {
                    state.violations.push(format!("m-{index} was deleted at {now}: {why}"));
                }
            }
            failed
        };
        let outcome = self.0.call("sqs:DeleteMessage", done).await;
        if outcome.is_err() {
            self.0.let_go(receipts.iter());
        }
        outcome
    }

    async fn later(&self, receipt: &str, delay: Duration) -> Result<()> {
        let later = |state: &mut State, now: Timestamp| {
            if let Some(posted) = held(state, receipt) {
                posted.visible = now + signed(delay);
                posted.receipt = None;
                posted.held = None;
            }
        };
        let outcome = self.0.call("sqs:ChangeMessageVisibility", later).await;
        if outcome.is_err() {
            self.0.let_go([&receipt.to_owned()].into_iter());
        }
        outcome
    }

    async fn depth(&self) -> Result<Depth> {
        let depth = |state: &mut State, now: Timestamp| {
            let left = state.messages.iter().filter(|posted| !posted.deleted);
            left.fold(Depth::default(), |mut depth, posted| {
                match (posted.visible <= now, &posted.receipt) {
                    (true, _) => depth.visible += 1,
                    (false, Some(_)) => depth.in_flight += 1,
                    (false, None) => depth.delayed += 1,
                }
                depth
            })
        };
        self.0.call("sqs:GetQueueAttributes", depth).await
    }

    fn visibility(&self) -> Duration {
        VISIBILITY
    }
}

pub struct SimBucket(pub Arc<Cloud>);

fn head(stored: &Stored) -> Head {
    Head {
        size: stored.body.len() as u64,
        version: None,
        etag: Some(stored.etag.clone()),
        metadata: stored.metadata.clone(),
        storage_class: None,
        lock: None,
    }
}

#[async_trait]
impl Bucket for SimBucket {
    async fn get(&self, key: &str, _: Option<&str>, max_bytes: u64) -> Result<Got> {
        let get = |state: &mut State, _| match state.objects.get(key) {
            None => Got::Absent,
            Some(stored) if stored.body.len() as u64 > max_bytes => Got::TooLarge(stored.body.len() as u64),
            Some(stored) => Got::Found(Object { head: head(stored), body: stored.body.clone() }),
        };
        self.0.call("s3:GetObject", get).await
    }

    async fn head(&self, key: &str, _: Option<&str>) -> Result<Option<Head>> {
        self.0.call("s3:HeadObject", |state, _| state.objects.get(key).map(head)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let list = |state: &mut State, _| {
            let from = after.filter(|after| *after >= prefix).unwrap_or(prefix).to_owned();
            let mut objects: Vec<Listed> = state
                .objects
                .range(from..)
                .filter(|(key, _)| Some(key.as_str()) != after)
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(PAGE + 1)
                .map(|(key, stored)| Listed {
                    key: key.clone(),
                    size: stored.body.len() as u64,
                    etag: Some(stored.etag.clone()),
                })
                .collect();
            let more = objects.len() > PAGE;
            objects.truncate(PAGE);
            Page { objects, more }
        };
        self.0.call("s3:ListBucket", list).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let folders = |state: &mut State, _| {
            let under = state.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
            let folders: BTreeSet<String> = under
                .filter_map(|(key, _)| key[prefix.len()..].split_once('/').map(|(name, _)| format!("{prefix}{name}/")))
                .collect();
            folders.into_iter().collect()
        };
        self.0.call("s3:ListBucket", folders).await
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
        self.0.state().violations.push("something was put into the evidence".into());
        Ok(())
    }

    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

pub struct SimMembers(pub Arc<Cloud>);

#[async_trait]
impl Members for SimMembers {
    async fn all(&self) -> Result<Vec<Member>> {
        self.0.call("organizations:ListAccounts", |_, _| self.0.script.members.clone()).await
    }
}

pub struct SimKeys(pub Arc<Cloud>);

#[async_trait]
impl Keys for SimKeys {
    async fn find(&self, region: &Region, fingerprint: &str, _: Timestamp) -> Result<Option<PublicKey>> {
        let keys = &self.0.script.keys;
        let found = keys.iter().find(|(of, key)| of == region && key.fingerprint == fingerprint);
        self.0.call("cloudtrail:ListPublicKeys", |_, _| found.map(|(_, key)| key.clone())).await
    }

    async fn all(&self, region: &Region, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>> {
        let keys = self.0.script.keys.iter().filter(|(of, _)| of == region);
        self.0.call("cloudtrail:ListPublicKeys", |_, _| keys.map(|(_, key)| key.clone()).collect()).await
    }
}

pub struct SimChannel(pub Arc<Cloud>, pub &'static str);

#[async_trait]
impl Channel for SimChannel {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let received = Received { channel: self.1, key: key.into(), reason: alert.reason, alert: alert.clone() };
        self.0.call("channel:Send", |state, _| state.received.push(received)).await.map(|()| None)
    }
}
