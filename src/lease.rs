//! The lease: of several wardens with one configuration on several hosts, the one that works. It is taken and kept here; the
//! rule is `core::lease`, and what keeps a warden that has lost it from doing anything is the `fence`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::core::journal::Head;
use crate::core::lease::{Document, LARGEST, Next, Seen, Standing, Tenure, Waiter, looking, renewing};
use crate::core::printable;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::health::Pulse;
use crate::seam::{DynRegister, Written};
use crate::store::{Store, journal};

/// Less than this no call is given.
const LEAST: Duration = Duration::from_secs(1);

/// What a warden needs to ask for the lease.
pub struct Bid {
    pub register: DynRegister,
    pub env: Env,
    pub warden: String,
    pub host: String,
    /// Of this process alone.
    pub holder: String,
    pub ttl: Duration,
}

/// A lease that was taken.
pub struct Lease {
    bid: Bid,
    fence: Fence,
    epoch: u64,
    tenure: Mutex<Tenure>,
    /// What it said when it was taken, if it was anybody's before.
    pub before: Option<Document>,
    ledger: OnceLock<Store>,
    /// Rings when there is a ledger to be told of.
    news: Notify,
}

impl Bid {
    /// What the lease says, without asking for it.
    pub async fn read(&self) -> Result<Option<Seen>> {
        let found = self.bounded("lease:read", self.register.read(LARGEST)).await?;
        let read = |(bytes, tag): (Vec<u8>, String)| match Document::read(&bytes) {
            Ok(document) if document.warden != self.warden => {
                let whose = printable(&document.warden, 100);
                Err(Error::permanent(
                    "lease:read",
                    format!("it is the lease of warden {whose}: each needs a name of its own"),
                ))
            }
            Ok(document) => Ok(Seen { document, tag }),
            Err(error) => Err(Error::permanent("lease:read", error)),
        };
        found.map(read).transpose()
    }

    async fn write(&self, document: &Document, over: Option<&str>) -> Result<Written> {
        self.bounded("lease:write", self.register.write(document.write(), over)).await
    }

    /// A call that hangs must not outlast the lease.
    async fn bounded<T>(&self, op: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = (self.ttl / 10).max(LEAST);
        let late = || Error::transient(op, format!("no answer in {} s", limit.as_secs_f32()));
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
    }

    /// Waits until the lease is this warden's. `known` is the last epoch that its ledger was written under. Each look that
    /// does not bring it is told: who holds it, or why it could not be read.
    pub async fn take(self, known: u64, mut told: impl FnMut(&str)) -> Lease {
        let mut waiter = Waiter::new(self.ttl, known);
        let mut last: Option<Attempt> = None;
        loop {
            match self.read().await {
                Err(error) => told(&format!("the lease cannot be read: {error}")),
                Ok(found) => {
                    let now = self.env.steady();
                    if let Some(late) = last.take_if(|last| last.arrived(found.as_ref(), now)) {
                        return self.taken(late);
                    }
                    if let Next::Take { epoch, over } = waiter.look(found.as_ref(), now) {
                        // What was tried over the same document may arrive yet: it goes on from there.
                        let mut attempt = match last.take() {
                            Some(same) if (same.tenure.document().epoch, &same.over) == (epoch, &over) => same,
                            _ => self.attempt(epoch, over, found.map(|seen| seen.document)),
                        };
                        let (document, over) = attempt.tenure.attempt(self.env.steady(), |_| {});
                        match self.write(&document, over.as_deref()).await {
                            Ok(Written::Won(tag)) => {
                                attempt.tenure.won(tag);
                                return self.taken(attempt);
                            }
                            Ok(Written::Lost) => told("another warden was quicker"),
                            Err(error) => told(&format!("the lease cannot be written: {error}")),
                        }
                        last = Some(attempt);
                    } else {
                        let gone = || "the lease is gone, and its holder may not know it yet".to_owned();
                        told(&found.map_or_else(gone, |seen| seen.document.told()));
                    }
                }
            }
            tokio::time::sleep(looking(self.ttl)).await;
        }
    }

    /// Until this warden's own ledger is open, the lease says where that of the last holder stood.
    fn attempt(&self, epoch: u64, over: Option<String>, before: Option<Document>) -> Attempt {
        let document = Document {
            warden: self.warden.clone(),
            epoch,
            holder: self.holder.clone(),
            host: self.host.clone(),
            beat: 0,
            ttl: self.ttl,
            since: self.env.now(),
            ledger: before.as_ref().and_then(|before| before.ledger.clone()),
            released: false,
        };
        Attempt { tenure: Tenure::new(document, over.clone()), over, before }
    }

    fn taken(self, Attempt { tenure, before, .. }: Attempt) -> Lease {
        let epoch = tenure.document().epoch;
        let fence = Fence::new(&self.env, epoch, tenure.until().unwrap_or_default());
        Lease {
            bid: self,
            fence,
            epoch,
            tenure: Mutex::new(tenure),
            before,
            ledger: OnceLock::new(),
            news: Notify::new(),
        }
    }
}

/// To take the lease over what was there.
struct Attempt {
    over: Option<String>,
    before: Option<Document>,
    tenure: Tenure,
}

impl Attempt {
    /// Whether a write of which nobody knew what became of it was the last one after all, and not too long ago.
    fn arrived(&mut self, found: Option<&Seen>, now: Duration) -> bool {
        self.tenure.found(found) == Standing::Ours && self.tenure.until().is_some_and(|until| now < until)
    }
}

impl Lease {
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The random name of this process.
    pub fn holder(&self) -> &str {
        &self.bid.holder
    }

    /// From now on the lease says where this ledger stands, beginning at once: a holder that lives for less than a renewal has
    /// written something, too.
    pub fn follow(&self, ledger: &Store) {
        let _ = self.ledger.set(ledger.clone());
        self.news.notify_one();
    }

    /// Renews the lease until it is lost.
    pub async fn keep(self: Arc<Self>, pulse: Pulse) {
        let mut pause = renewing(self.bid.ttl);
        loop {
            tokio::select! {
                () = pulse.rest(pause) => {}
                () = self.news.notified() => {}
            }
            if self.fence.check().is_err() {
                return;
            }
            match self.renew().await {
                Ok(()) => {
                    pulse.worked();
                    pause = renewing(self.bid.ttl);
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the lease was not renewed");
                    pulse.failed(&error);
                    pause = looking(self.bid.ttl);
                }
            }
        }
    }

    async fn renew(&self) -> Result<()> {
        let head = self.head().await;
        self.put(|document| {
            document.ledger = head.or(document.ledger.take());
        })
        .await
    }

    /// One write. What became of it is read, where the answer does not tell.
    async fn put(&self, change: impl FnOnce(&mut Document)) -> Result<()> {
        let mut tenure = self.tenure.lock().await;
        let (document, over) = tenure.attempt(self.bid.env.steady(), change);
        match self.bid.write(&document, over.as_deref()).await {
            Ok(Written::Won(tag)) => tenure.won(tag),
            unsure => {
                let found = self.bid.read().await?;
                if tenure.found(found.as_ref()) == Standing::Theirs {
                    self.fence.shut(&found.map_or_else(|| "it is gone".into(), |seen| seen.document.told()));
                } else if found.is_some_and(|seen| seen.document.beat != document.beat) {
                    // An earlier one may have arrived late, and count.
                    self.fence.extend(tenure.until().unwrap_or_default());
                    let before = || Error::transient("lease:write", "an earlier write was under way");
                    return Err(unsure.err().unwrap_or_else(before));
                }
            }
        }
        self.fence.extend(tenure.until().unwrap_or_default());
        self.fence.check()
    }

    async fn head(&self) -> Option<Head> {
        // a ledger with much to do must not cost the lease
        let head = self.ledger.get()?.read(journal::head);
        tokio::time::timeout(LEAST, head).await.ok()?.ok()
    }

    /// Gives the lease back, so that nobody has to wait for it to run out. Nothing may be done under it any more. No renewal
    /// may be under way.
    pub async fn release(&self) {
        if self.fence.check().is_err() {
            return;
        }
        let head = self.head().await;
        self.fence.shut("it was given back");
        for _ in 0..2 {
            let head = head.clone();
            let put = self.put(|document| {
                document.released = true;
                document.ledger = head.or(document.ledger.take());
            });
            // The fence is shut: what is told is that, unless it could not be written.
            match put.await {
                Err(error) if error.is_transient() => tracing::warn!(error = %error, "the lease was not given back"),
                _ => return,
            }
        }
    }
}
