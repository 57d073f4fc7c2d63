//! A queue that is a directory, after the manner of a maildir: `tmp/` being written, `new/` waiting, `cur/` handed out, `done/` settled.
//!
//! What must outlast a crash stands in the file's name: `base[,d=deliveries][,t=not before, unix ms]`. Who holds what until when is
//! only remembered; after a crash everything in `cur/` waits again. One process receives from a spool; any number may send. What
//! another process has taken, one that was stopped and went on, waits again when it has lain in `cur/` for the visibility timeout.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{blocking, fault, write_whole};
use crate::core::posture::Settings;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::{Depth, Message, Queue};

/// How often an empty spool is looked at, at most.
const POLL: Duration = Duration::from_millis(200);
/// Names held in memory at a time.
const BACKLOG: usize = 10_000;
/// Bytes of a body that are read, one more than SQS takes; a longer one is handed out cut, and is told as too long.
const LARGEST_BODY: u64 = (1 << 20) + 1;

/// The receiving end.
pub struct Spool {
    inner: Arc<Inner>,
    sender: Sender,
}

struct Inner {
    new: PathBuf,
    cur: PathBuf,
    done: PathBuf,
    visibility: Duration,
    keep_done: bool,
    env: Env,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Names in `new/` that are due, oldest first; some may be gone.
    backlog: BTreeSet<String>,
    /// Receipts, which are names in `cur/`, and when their messages come back.
    held: HashMap<String, Timestamp>,
    /// Names in `cur/` that another process has put there, and when these come back.
    strange: HashMap<String, Timestamp>,
    /// When `cur/` was looked through for them.
    looked: Option<Timestamp>,
}

impl Spool {
    /// Makes the folders where they are missing and takes back what an earlier process had in hand.
    pub fn open(dir: &Path, visibility: Duration, env: Env) -> Result<Self> {
        let sender = Sender::open(dir, env.clone())?;
        let inner = Inner {
            new: dir.join("new"),
            cur: dir.join("cur"),
            done: dir.join("done"),
            visibility,
            keep_done: true,
            env,
            state: Mutex::new(State::default()),
        };
        inner.reclaim().map_err(|error| fault("spool:open", &error))?;
        Ok(Self { inner: Arc::new(inner), sender })
    }

    /// Whether settled messages stay in `done/` (they do unless told otherwise) or are deleted.
    #[must_use]
    pub fn keep_done(mut self, keep: bool) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.keep_done = keep;
        }
        self
    }

    /// As `Sender::send`.
    pub fn send(&self, body: &[u8]) -> Result<String> {
        self.sender.send(body)
    }
}

/// The sending end: makes messages, and touches none of those that are there.
pub struct Sender {
    dir: PathBuf,
    env: Env,
    count: AtomicU64,
    durable: bool,
}

impl Sender {
    pub fn open(dir: &Path, env: Env) -> Result<Self> {
        for folder in ["tmp", "new", "cur", "done"] {
            std::fs::create_dir_all(dir.join(folder)).map_err(|error| fault("spool:open", &error))?;
        }
        Ok(Self { dir: dir.into(), env, count: AtomicU64::new(0), durable: true })
    }

    /// For a played world, which need not outlive a power cut: sends without waiting for the disk.
    #[must_use]
    pub fn hasty(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Durable on return; answers the message's id. Blocks on the disk.
    pub fn send(&self, body: &[u8]) -> Result<String> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016}-{count:06}-{}", self.env.now().as_microsecond(), self.env.token());
        let (scratch, path) = (self.dir.join("tmp").join(&id), self.dir.join("new").join(&id));
        let sent = if self.durable {
            write_whole(&scratch, &path, body)
        } else {
            std::fs::write(&scratch, body).and_then(|()| std::fs::rename(&scratch, &path))
        };
        sent.map_err(|error| fault("spool:send", &error))?;
        Ok(id)
    }
}

#[async_trait]
impl Queue for Spool {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>> {
        let deadline = Instant::now() + wait;
        loop {
            let began = Instant::now();
            let inner = Arc::clone(&self.inner);
            let messages = blocking("spool:receive", move || inner.receive(max)).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !messages.is_empty() || left.is_zero() {
                return Ok(messages);
            }
            // a folder full of delayed messages is slow to look through: do little else, but not nothing else
            let pause = POLL.max(began.elapsed() * 10);
            tokio::time::sleep(pause.min(left)).await;
        }
    }

    async fn extend(&self, receipts: &[String], by: Duration) -> Result<Vec<String>> {
        let now = self.inner.env.now();
        let until = later_than(now, by);
        let mut state = self.inner.state();
        let mut lost = Vec::new();
        for receipt in receipts {
            match state.held.get_mut(receipt) {
                // one that has ended and was not handed out again yet will be, at the next receive
                Some(end) if *end > now => *end = until,
                _ => lost.push(receipt.clone()),
            }
        }
        Ok(lost)
    }

    async fn done(&self, receipts: &[String]) -> Result<Vec<String>> {
        let (inner, receipts) = (Arc::clone(&self.inner), receipts.to_vec());
        blocking("spool:done", move || {
            let failed = receipts.into_iter().filter(|receipt| inner.settle(receipt).is_err());
            Ok(failed.collect())
        })
        .await
    }

    async fn later(&self, receipt: &str, delay: Duration) -> Result<()> {
        let (inner, receipt) = (Arc::clone(&self.inner), receipt.to_owned());
        blocking("spool:later", move || inner.put_back(&receipt, delay).map_err(|error| fault("spool:later", &error)))
            .await
    }

    async fn depth(&self) -> Result<Depth> {
        let inner = Arc::clone(&self.inner);
        blocking("spool:depth", move || inner.depth().map_err(|error| fault("spool:depth", &error))).await
    }

    /// Its place is its name; a directory keeps what it holds.
    async fn settings(&self) -> Result<Option<Settings>> {
        let root = self.inner.new.parent().unwrap_or(&self.inner.new);
        Ok(Some(Settings { arn: format!("file://{}", root.display()), ..Settings::default() }))
    }

    fn visibility(&self) -> Duration {
        self.inner.visibility
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in `cur/` waits again. Its count of deliveries stays in its name.
    fn reclaim(&self) -> io::Result<()> {
        for_each_file(&self.cur, |file| rename_if_there(&self.cur.join(file), &self.new.join(file)).map(|_| ()))
    }

    fn receive(&self, max: usize) -> Result<Vec<Message>> {
        self.take_back_ended().map_err(|error| fault("spool:receive", &error))?;
        let mut messages = Vec::new();
        let (mut refilled, mut trouble) = (false, None);
        while messages.len() < max {
            let Some(file) = self.next_due() else {
                if refilled || !messages.is_empty() {
                    break;
                }
                refilled = true;
                self.take_back_strange().map_err(|error| fault("spool:receive", &error))?;
                self.refill().map_err(|error| fault("spool:receive", &error))?;
                continue;
            };
            match self.claim(&file) {
                Ok(message) => messages.extend(message),
                // one bad file must not stand in the way of the others
                Err(error) => trouble = Some((file, error)),
            }
        }
        match trouble {
            Some((file, error)) if messages.is_empty() => {
                let error = fault("spool:receive", &error);
                let text = format!("{}: {}", crate::core::printable(&file, 80), error.text);
                Err(Error { text, ..error })
            }
            _ => Ok(messages),
        }
    }

    fn next_due(&self) -> Option<String> {
        self.state().backlog.pop_first()
    }

    /// The oldest names in `new/` that are due.
    fn refill(&self) -> io::Result<()> {
        let now = self.env.now().as_millisecond();
        let mut oldest = BinaryHeap::new();
        for_each_file(&self.new, |file| {
            if Name::parse(file).is_due(now) {
                oldest.push(file.to_owned());
                if oldest.len() > BACKLOG {
                    oldest.pop();
                }
            }
            Ok(())
        })?;
        self.state().backlog.extend(oldest);
        Ok(())
    }

    /// Reads a waiting message and moves it to `cur/`; `None` if somebody else did.
    fn claim(&self, file: &str) -> io::Result<Option<Message>> {
        let waiting = self.new.join(file);
        let name = Name::parse(file);
        let deliveries = name.deliveries.saturating_add(1);
        let receipt = Name { deliveries, not_before: None, ..name.clone() }.to_string();
        if self.state().held.contains_key(&receipt) {
            // a sender used a name twice; the second waits for the first
            return Ok(None);
        }
        let opened = match File::open(&waiting) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let written = opened.metadata()?.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let mut body = Vec::new();
        opened.take(LARGEST_BODY).read_to_end(&mut body)?;
        if !rename_if_there(&waiting, &self.cur.join(&receipt))? {
            return Ok(None);
        }
        let until = later_than(self.env.now(), self.visibility);
        self.state().held.insert(receipt.clone(), until);
        let sent = name.sent().or(written);
        Ok(Some(Message { id: name.base, receipt, body, deliveries, sent }))
    }

    /// Messages whose visibility has ended without `done` wait again.
    fn take_back_ended(&self) -> io::Result<()> {
        let now = self.env.now();
        let ended: Vec<String> = {
            let mut state = self.state();
            let ended = state.held.iter().filter(|(_, until)| **until <= now).map(|(receipt, _)| receipt.clone());
            let ended: Vec<String> = ended.collect();
            state.held.retain(|_, until| *until > now);
            ended
        };
        for receipt in ended {
            if rename_if_there(&self.cur.join(&receipt), &self.new.join(&receipt))? {
                self.state().backlog.insert(receipt);
            }
        }
        Ok(())
    }

    /// What this process does not hold and nobody settles for the visibility timeout was left behind by another.
    fn take_back_strange(&self) -> io::Result<()> {
        let now = self.env.now();
        {
            let mut state = self.state();
            let pause = SignedDuration::try_from(self.visibility / 2).unwrap_or(SignedDuration::MAX);
            if state.looked.is_some_and(|looked| looked <= now && now.duration_since(looked) < pause) {
                return Ok(());
            }
            state.looked = Some(now);
        }
        let (until, mut still, mut ended) = (later_than(now, self.visibility), HashMap::new(), Vec::new());
        for_each_file(&self.cur, |file| {
            let state = self.state();
            if !state.held.contains_key(file) {
                let until = state.strange.get(file).copied().unwrap_or(until);
                if until <= now {
                    ended.push(file.to_owned());
                } else {
                    still.insert(file.to_owned(), until);
                }
            }
            Ok(())
        })?;
        self.state().strange = still;
        for file in ended {
            rename_if_there(&self.cur.join(&file), &self.new.join(&file))?;
        }
        Ok(())
    }

    /// Also settles a message whose visibility has ended but that nobody holds again: its work is done.
    fn settle(&self, receipt: &str) -> io::Result<()> {
        if !is_file_name(receipt) {
            return Ok(());
        }
        let mut outcome = Ok(false);
        for place in [&self.cur, &self.new] {
            let path = place.join(receipt);
            outcome =
                if self.keep_done { rename_if_there(&path, &self.done.join(receipt)) } else { remove_if_there(&path) };
            if !matches!(outcome, Ok(false)) {
                break;
            }
        }
        outcome?;
        self.state().held.remove(receipt);
        Ok(())
    }

    /// A receipt that is not held any more has nothing to give back.
    fn put_back(&self, receipt: &str, delay: Duration) -> io::Result<()> {
        if self.state().held.remove(receipt).is_none() {
            return Ok(());
        }
        let mut name = Name::parse(receipt);
        if !delay.is_zero() {
            name.not_before = Some(later_than(self.env.now(), delay).as_millisecond());
        }
        let file = name.to_string();
        let moved = rename_if_there(&self.cur.join(receipt), &self.new.join(&file));
        if matches!(moved, Ok(true)) && delay.is_zero() {
            self.state().backlog.insert(file);
        } else if moved.is_err() {
            // still in `cur/`: it comes back when its visibility would have ended
            let until = later_than(self.env.now(), self.visibility);
            self.state().held.insert(receipt.to_owned(), until);
        }
        moved.map(|_| ())
    }

    fn depth(&self) -> io::Result<Depth> {
        let now = self.env.now();
        let mut depth = Depth::default();
        for_each_file(&self.new, |file| {
            if Name::parse(file).is_due(now.as_millisecond()) {
                depth.visible += 1;
            } else {
                depth.delayed += 1;
            }
            Ok(())
        })?;
        for until in self.state().held.values() {
            if *until > now {
                depth.in_flight += 1;
            } else {
                depth.visible += 1;
            }
        }
        Ok(depth)
    }
}

/// What stands in a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    /// The message's id.
    base: String,
    deliveries: u32,
    /// Milliseconds since the Unix epoch.
    not_before: Option<i64>,
}

impl Name {
    /// Any file name is one: what does not look like a suffix of ours belongs to the base.
    fn parse(file: &str) -> Self {
        let mut name = Self { base: file.to_owned(), deliveries: 0, not_before: None };
        if let Some((base, time)) = name.base.rsplit_once(",t=")
            && let Ok(time) = time.parse()
        {
            (name.base, name.not_before) = (base.to_owned(), Some(time));
        }
        if let Some((base, count)) = name.base.rsplit_once(",d=")
            && let Ok(count) = count.parse()
        {
            (name.base, name.deliveries) = (base.to_owned(), count);
        }
        name
    }

    fn is_due(&self, now_ms: i64) -> bool {
        self.not_before.is_none_or(|time| time <= now_ms)
    }

    /// When it was sent, if a `Sender` named it.
    fn sent(&self) -> Option<Timestamp> {
        let (micros, _) = self.base.split_once('-')?;
        let micros = micros.parse().ok().filter(|_| micros.len() == 16)?;
        Timestamp::from_microsecond(micros).ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        if self.deliveries > 0 {
            write!(f, ",d={}", self.deliveries)?;
        }
        match self.not_before {
            Some(time) => write!(f, ",t={time}"),
            None => Ok(()),
        }
    }
}

fn later_than(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// A receipt comes back from outside: it must not lead out of the spool.
fn is_file_name(receipt: &str) -> bool {
    !receipt.is_empty() && !receipt.starts_with('.') && !receipt.contains(['/', '\0'])
}

/// Regular files only: a link could show what its target holds, a pipe could hold us. Dot-files are somebody's temporary ones.
fn for_each_file(folder: &Path, mut visit: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_file_name(name)) else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_file() => visit(name)?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    if_there(std::fs::rename(from, to))
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    if_there(std::fs::remove_file(path))
}

fn if_there(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
