//! The far side of every seam, in memory: it does as it is told to, remembers every call, and can end a life in any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use trailwarden::core::alert::Alert;
use trailwarden::core::id::{Region, Sha256};
use trailwarden::env::Env;
use trailwarden::error::{Error, Result};
use trailwarden::seam::{
    Bucket, Channel, Depth, Got, Head, Keys, Listed, Member, Members, Message, Metadata, Object, Page, PublicKey, Queue,
};
use trailwarden::world::Step;

pub const VISIBILITY: Duration = Duration::from_secs(30);
const RECEIVE: &str = "sqs:ReceiveMessage";
const EXTEND: &str = "sqs:ChangeMessageVisibility";
pub const GET: &str = "s3:GetObject";

pub struct Posted {
    pub body: Vec<u8>,
    sent: Timestamp,
    visible: Timestamp,
    receipt: Option<String>,
    pub deliveries: u32,
    pub deleted: bool,
    /// When it was received, given more time, or given back.
    pub touched: Vec<Timestamp>,
}

pub struct Call {
    pub at: Timestamp,
    pub op: &'static str,
    pub about: String,
}

/// A life ends in this call, before or after it has its effect.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub call: usize,
    pub after: bool,
}

#[derive(Default)]
pub struct State {
    pub members: Vec<Member>,
    pub keys: Vec<(Region, PublicKey)>,
    pub objects: BTreeMap<String, (Vec<u8>, Metadata)>,
    pub messages: Vec<Posted>,
    pub alerts: Vec<(String, Alert)>,
    pub calls: Vec<Call>,
    /// Errors, by operation or by what is asked for.
    pub refused: BTreeMap<String, Error>,
    /// How long an operation takes, or whatever is asked for.
    pub slow: BTreeMap<String, Duration>,
    /// Operations that do not answer at all.
    pub silent: BTreeSet<String>,
    pub crash: Option<Crash>,
    /// Reads of objects under way, and the most there were at once.
    pub reading: usize,
    pub most_reading: usize,
    /// The most messages that were held at once.
    pub most_held: usize,
    receipts: u64,
}

pub struct Far {
    state: Mutex<State>,
    clock: Mutex<Env>,
    posted: Notify,
    pub crashed: Notify,
}

/// Ends a read, also one that is dropped.
struct Reading<'f>(&'f Far);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.state().reading -= 1;
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).expect("it fits")
}

impl Far {
    pub fn new(now: Timestamp, members: Vec<Member>, keys: Vec<(Region, PublicKey)>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { members, keys, ..State::default() }),
            clock: Mutex::new(Env::manual(now, 0)),
            posted: Notify::new(),
            crashed: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by this clock from now on.
    pub fn enter(&self, clock: Env) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    /// A life is over: time stands still until the next one begins.
    pub fn leave(&self) {
        self.enter(Env::manual(self.now(), 0));
    }

    pub fn play(&self, step: &Step) {
        match step {
            Step::Put { key, body, metadata } => {
                self.state().objects.insert(key.clone(), (body.clone(), metadata.clone()));
            }
            Step::Remove { key } => {
                self.state().objects.remove(key);
            }
            Step::Message { body } => self.post(body),
        }
    }

    pub fn post(&self, body: &[u8]) {
        let now = self.now();
        let body = body.to_owned();
        let (sent, visible) = (now, now);
        let posted = Posted { body, sent, visible, receipt: None, deliveries: 0, deleted: false, touched: vec![] };
        self.state().messages.push(posted);
        self.posted.notify_one();
    }

    /// The queue forgets who holds a message, and hands it out again.
    pub fn lose(&self, index: usize) {
        let now = self.now();
        let mut state = self.state();
        (state.messages[index].receipt, state.messages[index].visible) = (None, now);
        drop(state);
        self.posted.notify_one();
    }

    pub fn waiting(&self) -> usize {
        self.state().messages.iter().filter(|posted| !posted.deleted).count()
    }

    pub fn asked(&self, op: &str, about: &str) -> Vec<Timestamp> {
        let state = self.state();
        let calls = state.calls.iter().filter(|call| call.op == op && (about.is_empty() || call.about == about));
        calls.map(|call| call.at).collect()
    }

    async fn call<T>(
        &self,
        op: &'static str,
        about: &str,
        effect: impl FnOnce(&mut State, Timestamp) -> T,
    ) -> Result<T> {
        let (crash, slow) = {
            let at = self.now();
            let mut state = self.state();
            state.calls.push(Call { at, op, about: about.to_owned() });
            let crash = state.crash.filter(|crash| crash.call == state.calls.len());
            (crash, state.slow.get(about).or_else(|| state.slow.get(op)).copied())
        };
        if crash.is_some_and(|crash| !crash.after) {
            self.end().await;
        }
        if let Some(slow) = slow {
            tokio::time::sleep(slow).await;
        }
        while self.state().silent.contains(op) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let refused = {
            let state = self.state();
            state.refused.get(about).or_else(|| state.refused.get(op)).cloned()
        };
        let answer = match refused {
            Some(error) => Err(error),
            None => Ok(effect(&mut self.state(), self.now())),
        };
        if crash.is_some() {
            self.end().await;
        }
        answer
    }

    async fn end(&self) {
        self.crashed.notify_one();
        std::future::pending().await
    }

    fn hand_out(&self, max: usize) -> Vec<Message> {
        let now = self.now();
        let mut state = self.state();
        let State { messages, receipts, .. } = &mut *state;
        let ready = messages.iter_mut().enumerate().filter(|(_, posted)| !posted.deleted && posted.visible <= now);
        let handed = ready.take(max).map(|(index, posted)| {
            *receipts += 1;
            let receipt = format!("{index}/{receipts}");
            posted.deliveries += 1;
            posted.receipt = Some(receipt.clone());
            posted.visible = now + signed(VISIBILITY);
            posted.touched.push(now);
            let (body, sent) = (posted.body.clone(), Some(posted.sent));
            Message { id: format!("m-{index}"), receipt, body, deliveries: posted.deliveries, sent }
        });
        let handed = handed.collect();
        let held = state.messages.iter().filter(|posted| !posted.deleted && posted.receipt.is_some()).count();
        state.most_held = state.most_held.max(held);
        handed
    }
}

/// The message that a receipt is still the newest handle of.
fn held<'s>(state: &'s mut State, receipt: &str) -> Option<&'s mut Posted> {
    let index: usize = receipt.split('/').next()?.parse().ok()?;
    state.messages.get_mut(index).filter(|posted| posted.receipt.as_deref() == Some(receipt) && !posted.deleted)
}

pub struct FarQueue(pub Arc<Far>);

#[async_trait]
impl Queue for FarQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>> {
        self.0.call(RECEIVE, "", |_, _| ()).await?;
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let messages = self.0.hand_out(max);
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !messages.is_empty() || left.is_zero() {
                return Ok(messages);
            }
            let _ = tokio::time::timeout(left.min(Duration::from_secs(5)), self.0.posted.notified()).await;
        }
    }

    async fn extend(&self, receipts: &[String], by: Duration) -> Result<Vec<String>> {
        let extend = |state: &mut State, now: Timestamp| {
            let lost = receipts.iter().filter(|receipt| match held(state, receipt) {
                Some(posted) => {
                    posted.visible = now + signed(by);
                    posted.touched.push(now);
                    false
                }
                None => true,
            });
            lost.cloned().collect()
        };
        self.0.call(EXTEND, "", extend).await
    }

    async fn done(&self, receipts: &[String]) -> Result<Vec<String>> {
        let done = |state: &mut State, _| {
            for receipt in receipts {
                if let Some(posted) = held(state, receipt) {
                    posted.deleted = true;
                }
            }
        };
        self.0.call("sqs:DeleteMessage", "", done).await.map(|()| Vec::new())
    }

    async fn later(&self, receipt: &str, delay: Duration) -> Result<()> {
        let later = |state: &mut State, now: Timestamp| {
            if let Some(posted) = held(state, receipt) {
                posted.visible = now + signed(delay);
                posted.receipt = None;
                posted.touched.push(now);
            }
        };
        self.0.call(EXTEND, "", later).await
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
        self.0.call("sqs:GetQueueAttributes", "", depth).await
    }

    fn visibility(&self) -> Duration {
        VISIBILITY
    }
}

pub struct FarBucket(pub Arc<Far>);

fn head((body, metadata): &(Vec<u8>, Metadata)) -> Head {
    Head {
        size: body.len() as u64,
        version: None,
        etag: Some(Sha256::of(body).to_string()[..32].to_owned()),
        metadata: metadata.clone(),
        storage_class: None,
        lock: None,
    }
}

#[async_trait]
impl Bucket for FarBucket {
    async fn get(&self, key: &str, _: Option<&str>, max_bytes: u64) -> Result<Got> {
        let _reading = {
            let mut state = self.0.state();
            state.reading += 1;
            state.most_reading = state.most_reading.max(state.reading);
            Reading(&self.0)
        };
        let get = |state: &mut State, _| match state.objects.get(key) {
            None => Got::Absent,
            Some((body, _)) if body.len() as u64 > max_bytes => Got::TooLarge(body.len() as u64),
            Some(stored) => Got::Found(Object { head: head(stored), body: stored.0.clone() }),
        };
        self.0.call(GET, key, get).await
    }

    async fn head(&self, key: &str, _: Option<&str>) -> Result<Option<Head>> {
        self.0.call("s3:HeadObject", key, |state, _| state.objects.get(key).map(head)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let list = |state: &mut State, _| {
            let found = state
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
            let listed = found.map(|(key, stored)| {
                let head = head(stored);
                Listed { key: key.clone(), size: head.size, etag: head.etag }
            });
            Page { objects: listed.collect(), more: false }
        };
        self.0.call("s3:ListBucket", prefix, list).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let folders = |state: &mut State, _| {
            let below = state.objects.keys().filter_map(|key| key.strip_prefix(prefix)?.split_once('/'));
            let folders: BTreeSet<String> = below.map(|(name, _)| format!("{prefix}{name}/")).collect();
            folders.into_iter().collect()
        };
        self.0.call("s3:ListBucket", prefix, folders).await
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
        Err(Error::permanent("s3:PutObject", "evidence is not written to"))
    }

    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

pub struct FarMembers(pub Arc<Far>);

#[async_trait]
impl Members for FarMembers {
    async fn all(&self) -> Result<Vec<Member>> {
        self.0.call("organizations:ListAccounts", "", |state, _| state.members.clone()).await
    }
}

pub struct FarKeys(pub Arc<Far>);

#[async_trait]
impl Keys for FarKeys {
    async fn find(&self, region: &Region, fingerprint: &str, _: Timestamp) -> Result<Option<PublicKey>> {
        let find = |state: &mut State, _| {
            let found = state.keys.iter().find(|(of, key)| of == region && key.fingerprint == fingerprint);
            found.map(|(_, key)| key.clone())
        };
        self.0.call("cloudtrail:ListPublicKeys", fingerprint, find).await
    }

    async fn all(&self, region: &Region, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>> {
        let all = |state: &mut State, _| {
            state.keys.iter().filter(|(of, _)| of == region).map(|(_, key)| key.clone()).collect()
        };
        self.0.call("cloudtrail:ListPublicKeys", "", all).await
    }
}

pub struct FarChannel(pub Arc<Far>);

#[async_trait]
impl Channel for FarChannel {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        self.0
            .call("channel:Send", key, |state, _| state.alerts.push((key.to_owned(), alert.clone())))
            .await
            .map(|()| None)
    }
}
