//! The lease's rule: which of several wardens works, decided by one document that is only ever written over the one that was read.
//!
//! No two clocks are compared. Whoever waits counts from the moment when it first saw a document; whoever holds counts from
//! the moment before it sent the write that succeeded, and counts less. Both ask a clock that no one sets and that runs while
//! the machine sleeps.

mod document;

use std::time::Duration;

pub use self::document::{Document, LARGEST, LONGEST, SHORTEST, Unreadable};

/// A document as it was read, and the tag that a write over it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub document: Document,
    pub tag: String,
}

/// For how long a holder works without a renewal: the last third is for clocks that do not run at the same pace.
pub fn working(ttl: Duration) -> Duration {
    ttl * 2 / 3
}

/// How often a holder renews: three times in vain before it has to stop.
pub fn renewing(ttl: Duration) -> Duration {
    ttl / 6
}

/// How often whoever waits looks.
pub fn looking(ttl: Duration) -> Duration {
    ttl / 12
}

/// What whoever waits does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Wait,
    /// Write a document of this epoch over the one with this tag, or where there is none.
    Take {
        epoch: u64,
        over: Option<String>,
    },
}

/// Whoever waits for the lease.
#[derive(Debug, Clone)]
pub struct Waiter {
    ttl: Duration,
    /// The highest epoch that it knows of.
    known: u64,
    /// What it saw last, and since when it has been seeing just that.
    last: Option<(Option<String>, Duration)>,
}

impl Waiter {
    /// `known` is the last epoch that the ledger was written under; 0 is none.
    pub fn new(ttl: Duration, known: u64) -> Self {
        Self { ttl, known, last: None }
    }

    /// After a read that had its answer at `now`, on the steady clock.
    ///
    /// A document that nobody renews for the time that it promises is taken over; one that was released, at once. Where there
    /// is none the lease is free, but what is gone may have been there a moment ago: only a ledger that has never been
    /// written under a lease, and has not seen one since it waits, believes it at once.
    pub fn look(&mut self, found: Option<&Seen>, now: Duration) -> Next {
        let tag = found.map(|seen| seen.tag.clone());
        let since = match &self.last {
            Some((last, since)) if *last == tag => *since,
            _ => now,
        };
        let first = self.last.is_none();
        self.last = Some((tag.clone(), since));
        self.known = self.known.max(found.map_or(0, |seen| seen.document.epoch));
        let free = match found {
            Some(seen) if seen.document.released => true,
            Some(seen) => now.saturating_sub(since) >= self.ttl.max(seen.document.ttl),
            None => (first && self.known == 0) || now.saturating_sub(since) >= self.ttl,
        };
        if free { Next::Take { epoch: self.known + 1, over: tag } } else { Next::Wait }
    }
}

/// What a holder learns from reading the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It says what this holder wrote.
    Ours,
    /// This holder has not written it.
    Theirs,
}

/// A holder's side: what it wrote, and until when it may work.
#[derive(Debug, Clone)]
pub struct Tenure {
    /// As it was last tried.
    document: Document,
    over: Option<String>,
    /// When the write was begun that made it hold until now; `None` before it holds.
    since: Option<Duration>,
    /// Writes of which it is not known that they failed: the beat, and when each was begun.
    tried: Vec<(u64, Duration)>,
}

impl Tenure {
    /// Before the first write. `document` says who is to hold it, under which epoch.
    pub fn new(document: Document, over: Option<String>) -> Self {
        Self { document, over, since: None, tried: Vec::new() }
    }

    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The next write, begun `now`: what to write, over what.
    pub fn attempt(&mut self, now: Duration, change: impl FnOnce(&mut Document)) -> (Document, Option<String>) {
        change(&mut self.document);
        self.document.beat += 1;
        self.tried.push((self.document.beat, now));
        (self.document.clone(), self.over.clone())
    }

    /// The last attempt succeeded.
    pub fn won(&mut self, tag: String) {
        if let Some((_, begun)) = self.tried.pop() {
            self.holds(tag, begun);
        }
    }

    /// What is there after an attempt that failed, or of which nobody knows what became of it.
    pub fn found(&mut self, found: Option<&Seen>) -> Standing {
        let Some(seen) = found else { return Standing::Theirs };
        let Document { epoch, holder, beat, .. } = &seen.document;
        if (*epoch, holder) != (self.document.epoch, &self.document.holder) {
            return Standing::Theirs;
        }
        if let Some((_, begun)) = self.tried.iter().find(|(tried, _)| tried == beat).copied() {
            self.holds(seen.tag.clone(), begun);
        }
        Standing::Ours
    }

    fn holds(&mut self, tag: String, begun: Duration) {
        self.over = Some(tag);
        self.since = Some(begun);
        // An earlier one that is still on its way is written over what is not there any more.
        self.tried.clear();
    }

    /// Until when it may work, on its own steady clock; `None` before it holds.
    pub fn until(&self) -> Option<Duration> {
        Some(self.since? + working(self.document.ttl))
    }
}

#[cfg(test)]
mod tests;
