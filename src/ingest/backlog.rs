//! How long messages wait: SQS does not say how old its oldest message is, so the messages handed out are asked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::seam::Message;

/// Messages remembered at a time; when there are more, those that came first tell enough.
const MOST: usize = 10_000;

#[derive(Debug)]
struct Waiting {
    sent: Timestamp,
    seen: Instant,
    /// A human has to act first, which was told: its age says nothing of the queue.
    excused: bool,
}

#[derive(Debug)]
pub struct Backlog {
    /// Handed out and not settled, by message id.
    waiting: BTreeMap<String, Waiting>,
    /// How old the oldest of the last round was; `None` before the first.
    arrived: Option<SignedDuration>,
    /// A message that did not come back for so long is somebody else's, or gone.
    forgotten: Duration,
}

impl Backlog {
    /// `back`: within this, a message that was given back or lost comes again.
    pub fn new(back: Duration) -> Self {
        Self { waiting: BTreeMap::new(), arrived: None, forgotten: 2 * back }
    }

    /// One of a round's answers; answers how old its oldest message is.
    pub fn received(&mut self, messages: &[Message], now: Timestamp) -> SignedDuration {
        let seen = Instant::now();
        let mut oldest = SignedDuration::ZERO;
        for message in messages {
            let sent = message.sent.unwrap_or(now);
            let age = now.duration_since(sent);
            match self.waiting.get_mut(&message.id) {
                Some(waiting) => {
                    waiting.seen = seen;
                    if !waiting.excused {
                        oldest = oldest.max(age);
                    }
                }
                None => {
                    oldest = oldest.max(age);
                    if self.waiting.len() < MOST {
                        self.waiting.insert(message.id.clone(), Waiting { sent, seen, excused: false });
                    }
                }
            }
        }
        oldest
    }

    /// A round's answers are in; the oldest message of them is so old.
    pub fn arrived(&mut self, oldest: SignedDuration) {
        self.arrived = Some(oldest);
    }

    pub fn settled(&mut self, id: &str) {
        self.waiting.remove(id);
    }

    pub fn deferred(&mut self, id: &str, excused: bool) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.excused = excused;
        }
    }

    /// The age of the oldest message that is known to wait; `None` before the queue has answered for the first time.
    pub fn age(&mut self, now: Timestamp) -> Option<SignedDuration> {
        let forgotten = self.forgotten;
        self.waiting.retain(|_, waiting| waiting.seen.elapsed() <= forgotten);
        let unsettled = self.waiting.values().filter(|waiting| !waiting.excused);
        let oldest = unsettled.map(|waiting| now.duration_since(waiting.sent)).max();
        self.arrived.map(|arrived| arrived.max(oldest.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn now() -> Timestamp {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn message(id: &str, minutes_ago: i64) -> Message {
        Message {
            id: id.into(),
            receipt: id.into(),
            body: Vec::new(),
            deliveries: 1,
            sent: Some(now() - SignedDuration::from_mins(minutes_ago)),
        }
    }

    fn minutes(backlog: &mut Backlog) -> Option<i64> {
        backlog.age(now()).map(|age| age.as_mins())
    }

    fn answer(backlog: &mut Backlog, messages: &[Message]) {
        let oldest = backlog.received(messages, now());
        backlog.arrived(oldest);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_message_that_waits_gives_the_age() {
        let mut backlog = Backlog::new(HOUR);
        assert_eq!(minutes(&mut backlog), None);
        answer(&mut backlog, &[]);
        assert_eq!(minutes(&mut backlog), Some(0));
        answer(&mut backlog, &[message("a", 20), message("b", 5)]);
        assert_eq!(minutes(&mut backlog), Some(20));
        // Settled at once; but such ones come, and more of them may wait.
        backlog.settled("a");
        assert_eq!(minutes(&mut backlog), Some(20));
        answer(&mut backlog, &[]);
        assert_eq!(minutes(&mut backlog), Some(5));
        backlog.settled("b");
        assert_eq!(minutes(&mut backlog), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_waits_for_a_human_is_no_backlog_and_one_that_is_put_off_is() {
        let mut backlog = Backlog::new(HOUR);
        answer(&mut backlog, &[message("a", 90), message("b", 30)]);
        backlog.deferred("a", true);
        backlog.deferred("b", false);
        answer(&mut backlog, &[]);
        assert_eq!(minutes(&mut backlog), Some(30));
        answer(&mut backlog, &[message("a", 90)]);
        assert_eq!(minutes(&mut backlog), Some(30));
        // What never comes back is forgotten.
        tokio::time::advance(3 * HOUR).await;
        answer(&mut backlog, &[]);
        assert_eq!(minutes(&mut backlog), Some(0));
    }
}
