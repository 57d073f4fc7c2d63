//! A notification's way: receive, hold, settle every notice of the message, then and only then delete it.

mod backlog;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, info_span};

use self::backlog::Backlog;
use crate::core::finding::{Finding, Kind};
use crate::core::notice::{self, Opened};
use crate::core::printable;
use crate::delivery::{Deliveries, Fate};
use crate::error::{Class, Error, Result};
use crate::retry::{Policy, Quiet, retry};
use crate::seam::Message;
use crate::store::{findings, lists};
use crate::trail::Trail;

/// A message whose object is refused for good now is tried again after this: a human has to act first.
const PERMANENT_DELAY: Duration = Duration::from_secs(900);
/// Receipts deleted in one call, at most.
const DONE_BATCH: usize = 100;

/// Messages of one answer, at most.
const ANSWER: usize = 10;
/// Receives under way at once while the queue is full.
const CALLS: usize = 8;

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Done,
    /// It stays in the queue.
    Deferred,
}

/// A message in work.
struct Held {
    /// When its visibility was last set.
    since: Instant,
    work: AbortHandle,
}

/// By receipt.
type Holding = BTreeMap<String, Held>;

pub struct Ingest {
    deliveries: Arc<Deliveries>,
    trail: Arc<Trail>,
    permits: Arc<Semaphore>,
    /// How many receives the next round makes at once.
    calls: AtomicUsize,
    /// What no message can be settled with any more.
    broken: OnceLock<Error>,
    held: Arc<Mutex<Holding>>,
    deferred: AtomicU64,
    settled: AtomicU64,
    backlog: Mutex<Backlog>,
    quiet: Quiet,
    done: mpsc::Sender<String>,
}

impl Ingest {
    /// `messages` is how many messages may be held at once.
    pub fn new(deliveries: Arc<Deliveries>, trail: Arc<Trail>, messages: usize) -> Arc<Self> {
        let (done, receipts) = mpsc::channel(4 * DONE_BATCH);
        let held = Arc::<Mutex<Holding>>::default();
        let this = Arc::new(Self {
            permits: Arc::new(Semaphore::new(messages.max(1))),
            calls: AtomicUsize::new(1),
            broken: OnceLock::new(),
            held: held.clone(),
            deferred: AtomicU64::default(),
            settled: Default::default(),
            backlog: Mutex::new(Backlog::new(PERMANENT_DELAY.max(trail.queue.visibility()))),
            quiet: Quiet::default(),
            done,
            deliveries,
            trail,
        });
        tokio::spawn(delete(this.deliveries.clone(), this.trail.clone(), held.clone(), receipts));
        tokio::spawn(heartbeat(this.trail.clone(), Arc::downgrade(&held)));
        this
    }

    /// One long poll, or several short ones at once while the queue has more than one answer holds; what they bring is settled
    /// in the background. Answers how many messages came; an error that is fatal may be that of an earlier message.
    pub async fn receive(self: &Arc<Self>, wait: Duration) -> Result<usize> {
        let Ok(first) = self.permits.clone().acquire_owned().await else { return Ok(0) };
        drop(self.deliveries.memory.body(0).await);
        if let Some(error) = self.broken.get() {
            return Err(error.clone());
        }
        let calls = self.calls.load(Ordering::Relaxed);
        let mut permits = vec![first];
        while permits.len() < calls * ANSWER
            && let Ok(another) = self.permits.clone().try_acquire_owned()
        {
            permits.push(another);
        }
        // Many calls are made while the queue is full: none of them has to wait.
        let wait = if permits.len() > ANSWER { Duration::ZERO } else { wait };
        let mut asked = Vec::with_capacity(calls);
        while !permits.is_empty() {
            let share = permits.split_off(permits.len().saturating_sub(ANSWER));
            asked.push(self.ask(share, wait));
        }
        let answers = futures_util::future::join_all(asked).await;
        let full = answers.iter().all(|answer| answer.as_ref().is_ok_and(|(received, _)| *received == ANSWER));
        let more = full && !self.deliveries.memory.crowded();
        self.calls.store(if more { (calls * 2).min(CALLS) } else { 1 }, Ordering::Relaxed);
        let (received, oldest) = answers
            .iter()
            .flatten()
            .fold((0, SignedDuration::ZERO), |sum, (received, oldest)| (sum.0 + received, sum.1.max(*oldest)));
        if let (Some(error), 0) = (answers.into_iter().find_map(Result::err), received) {
            return Err(error);
        }
        self.backlog().arrived(oldest);
        Ok(received)
    }

    /// One receive; how many messages came, and how old the oldest is. They are held at once: the answers to other calls may be
    /// long in coming.
    async fn ask(
        self: &Arc<Self>,
        permits: Vec<OwnedSemaphorePermit>,
        wait: Duration,
    ) -> Result<(usize, SignedDuration)> {
        let span = info_span!("receive", trail = self.trail.name, messages = Empty);
        let receiving = self.trail.queue.receive(permits.len(), wait).instrument(span.clone());
        let messages = self.deliveries.store.fence().guard(receiving).await?;
        span.record("messages", messages.len());
        let now = self.deliveries.env.now();
        self.deliveries.metrics.last_receive.set(now.as_second() as f64);
        let oldest = self.backlog().received(&messages, now);
        Ok((self.take(messages, permits, &span), oldest))
    }

    /// Every message is held, and its visibility extended, from here on: also those that still wait for a thread.
    fn take(self: &Arc<Self>, messages: Vec<Message>, permits: Vec<OwnedSemaphorePermit>, received: &Span) -> usize {
        let (count, since) = (messages.len(), Instant::now());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (message, permit) in messages.into_iter().zip(permits) {
            let (this, receipt) = (self.clone(), message.receipt.clone());
            let span = info_span!(parent: received, "message", trail = self.trail.name, message.id = %printable(&message.id, 200), message.deliveries, error = Empty);
            let work = async move {
                let room = this.deliveries.memory.body(message.body.len()).await;
                this.finish(message).await;
                drop((room, permit));
            };
            let work = tokio::spawn(work.instrument(span));
            held.insert(receipt, Held { since, work: work.abort_handle() });
        }
        self.deliveries.metrics.held_messages.set(held.len() as i64);
        count
    }

    /// How long the oldest message has waited that is known to wait; `None` before the queue has answered.
    pub fn age(&self) -> Option<SignedDuration> {
        self.backlog().age(self.deliveries.env.now())
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that are received and not settled.
    pub fn in_flight(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Messages settled since the start.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Messages that were given back because their objects could not be read.
    pub fn deferred(&self) -> u64 {
        self.deferred.load(Ordering::Relaxed)
    }

    async fn finish(&self, message: Message) {
        let receipt = message.receipt.clone();
        let outcome = self.settle(&message).await;
        match outcome {
            Ok(()) => {
                self.deliveries.metrics.message("done");
                self.backlog().settled(&message.id);
                self.settled.fetch_add(1, Ordering::Relaxed);
                // The receipt stays held until it is deleted.
                let _ = self.done.send(receipt).await;
                return;
            }
            Err(error) => {
                Span::current().record("error", display(&error));
                let delay = match error.class {
                    Class::Permanent => PERMANENT_DELAY,
                    _ => crate::retry::delay_after(&self.deliveries.env, message.deliveries.saturating_sub(1), &error),
                };
                self.backlog().deferred(&message.id, error.class == Class::Permanent);
                if let Some(since) = self.quiet.say(&error) {
                    tracing::warn!(trail = self.trail.name, message.id, message.deliveries, delay_ms = delay.as_millis() as u64,
                        error = %error, error.class = error.class.name(), since, "messages deferred");
                }
                self.deliveries.metrics.message("deferred");
                if error.class == Class::Permanent {
                    self.deferred.fetch_add(1, Ordering::Relaxed);
                }
                if error.is_fatal() {
                    let _ = self.broken.set(error);
                }
                if let Err(error) = self.trail.queue.later(&receipt, delay).await {
                    tracing::debug!(error = %error, "the message comes back by itself when its visibility ends");
                }
            }
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&receipt);
    }

    /// Settles one message: when this answers `Ok`, the fate of each of its notices is durable.
    pub async fn settle(&self, message: &Message) -> Result<()> {
        settle_body(&self.deliveries, &self.trail, &message.id, &message.body).await
    }
}

/// What a message's body announces, settled; also what `quarantine replay` runs.
pub async fn settle_body(deliveries: &Deliveries, trail: &Trail, id: &str, body: &[u8]) -> Result<()> {
    match notice::open(body) {
        Opened::Notices { notices, rejects } => {
            let mut first_error: Option<Error> = None;
            for notice in &notices {
                // One object's trouble does not keep the others of the message waiting.
                if let Err(error) = deliveries.settle(trail, notice).await {
                    first_error = Some(first_error.unwrap_or(error));
                }
            }
            if let Some((position, reason)) = rejects.first() {
                let reason =
                    format!("{} of its records are unintelligible; number {position}: {reason}", rejects.len());
                quarantine(deliveries, trail, id, body, &reason).await?;
            }
            first_error.map_or(Ok(()), Err)
        }
        Opened::TestEvent | Opened::Validation => {
            deliveries.metrics.notice("test");
            Ok(())
        }
        Opened::Subscription { topic } => {
            let reason = format!("an SNS subscription message of {}: confirm it by hand", printable(&topic, 200));
            quarantine(deliveries, trail, id, body, &reason).await
        }
        Opened::Unintelligible { reason } => quarantine(deliveries, trail, id, body, &reason).await,
    }
}

/// Poison is kept, told and taken off the queue: it never loops and never vanishes.
async fn quarantine(deliveries: &Deliveries, trail: &Trail, id: &str, body: &[u8], reason: &str) -> Result<()> {
    let (source, name, id) = (trail.id, trail.name.clone(), printable(id, 200));
    let (body, reason) = (Arc::<[u8]>::from(body), printable(reason, 300));
    let step = || {
        let (name, id, body, reason) = (name.clone(), id.clone(), body.clone(), reason.clone());
        deliveries.store.write(move |tx| {
            let held = lists::quarantine(tx, source, &id, &body, &reason)?;
            let mut finding = Finding::new(Kind::MessageUnintelligible, format!("{name}/{held}"), reason.clone());
            finding.detail = format!("{reason} (quarantine {held})");
            findings::raise(tx, &finding)
        })
    };
    let news = retry(&deliveries.env, Policy::STEP, step).await?;
    if news {
        let kind = Kind::MessageUnintelligible.name();
        deliveries.metrics.findings.get_or_create(&crate::metrics::KindLabel { kind }).inc();
    }
    deliveries.metrics.notice("quarantined");
    Ok(())
}

/// Deletes settled messages in batches; what fails is tried again, and comes back by itself at worst.
async fn delete(
    deliveries: Arc<Deliveries>,
    trail: Arc<Trail>,
    held: Arc<Mutex<Holding>>,
    mut receipts: mpsc::Receiver<String>,
) {
    let mut batch = Vec::with_capacity(DONE_BATCH);
    while receipts.recv_many(&mut batch, DONE_BATCH).await > 0 {
        let mut left = batch.clone();
        for _ in 0..3 {
            let done = || deliveries.store.fence().guard(trail.queue.done(&left));
            match retry(&deliveries.env, Policy::STEP, done).await {
                Ok(failed) if failed.is_empty() => break,
                Ok(failed) => left = failed,
                Err(error) => {
                    tracing::warn!(trail = trail.name, error = %error, "settled messages could not be deleted; they will repeat");
                    break;
                }
            }
        }
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        for receipt in batch.drain(..) {
            held.remove(&receipt);
        }
        deliveries.metrics.held_messages.set(held.len() as i64);
    }
}

/// Extends every held message when half of its visibility has passed.
async fn heartbeat(trail: Arc<Trail>, held: std::sync::Weak<Mutex<Holding>>) {
    let visibility = trail.queue.visibility();
    let tick = (visibility / 4).max(Duration::from_millis(250));
    loop {
        tokio::time::sleep(tick).await;
        let Some(held) = held.upgrade() else { return };
        let due: Vec<String> = {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.iter()
                .filter(|(_, held)| held.since.elapsed() >= visibility / 2)
                .map(|(receipt, _)| receipt.clone())
                .collect()
        };
        if due.is_empty() {
            continue;
        }
        match trail.queue.extend(&due, visibility).await {
            Ok(lost) => {
                let now = Instant::now();
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                for receipt in due {
                    if lost.contains(&receipt) {
                        // Another delivery does the work anew; should both commit, the second changes nothing.
                        if let Some(lost) = held.remove(&receipt) {
                            lost.work.abort();
                            tracing::info!(trail = trail.name, "a held message was lost to another delivery");
                        }
                    } else if let Some(held) = held.get_mut(&receipt) {
                        held.since = now;
                    }
                }
            }
            Err(error) => tracing::warn!(trail = trail.name, error = %error, "held messages could not be extended"),
        }
    }
}

/// Whether a fate means that something new was learned; for progress displays.
pub fn is_news(fate: Fate) -> bool {
    fate != Fate::Repeated && fate != Fate::Ignored
}
