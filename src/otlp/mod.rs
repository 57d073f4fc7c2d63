//! The log and the traces of messages, sent to a collector besides (OTLP over HTTP, JSON). It is told, and never waited for: a
//! collector that hangs, refuses or is gone costs what it would have been sent, and nothing else.

mod layer;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::layer::Item;
pub use self::layer::Outlet;
use crate::config::{Otlp, Secret};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::notify::post::Post;
use crate::retry::{Policy, Quiet, retry_saying};

const OP: &str = "otlp:post";
/// Spans and records that wait to be sent, at most.
const QUEUE: usize = 8_192;
/// And that are sent together.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// One post as a whole.
const TIMEOUT: Duration = Duration::from_secs(5);
/// While a batch is tried again the next ones wait, as far as there is room.
const AGAIN: Policy =
    Policy { first: Duration::from_secs(1), longest: Duration::from_secs(10), budget: Duration::from_secs(30) };
/// How long a stop waits for what is still to be sent.
const STOP: Duration = Duration::from_secs(3);

/// Sends what an [`Outlet`] hears.
#[derive(Debug)]
pub struct Sending {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Begins to send. `name` is the warden's.
pub fn open(to: &Otlp, name: &str, env: &Env) -> Result<(Outlet, Sending)> {
    let (items, heard) = mpsc::channel(QUEUE);
    let lost = Arc::<AtomicU64>::default();
    let far = Far::new(to, name, env, lost.clone())?;
    let (stop, stopped) = oneshot::channel();
    let outlet = Outlet { items, lost, env: env.clone(), share: to.share() };
    Ok((outlet, Sending { stop, task: tokio::spawn(far.send(heard, stopped)) }))
}

impl Sending {
    /// Sends what is left, as far as that is quick.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the collector was not told everything before the stop");
        }
    }
}

/// The collector.
struct Far {
    post: Post,
    traces: Url,
    logs: Url,
    headers: HeaderMap,
    resource: Value,
    lost: Arc<AtomicU64>,
    quiet: Quiet,
}

impl Far {
    fn new(to: &Otlp, name: &str, env: &Env, lost: Arc<AtomicU64>) -> Result<Self> {
        let post = Post::new(OP, &Secret::new(to.endpoint.clone()), TIMEOUT, env.clone())?;
        let under = |path: &str| {
            let mut url = post.url.clone();
            url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
            url
        };
        let mut headers = HeaderMap::new();
        for (name, secret) in &to.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| Error::permanent(OP, error))?;
            let mut value = post.value(secret.expose())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let resource = wire::resource(&[
            ("service.name", to.service.clone().into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", name.into()),
            ("host.name", env.host().into()),
        ]);
        Ok(Self {
            traces: under("/v1/traces"),
            logs: under("/v1/logs"),
            post,
            headers,
            resource,
            lost,
            quiet: Quiet::default(),
        })
    }

    async fn send(self, mut heard: mpsc::Receiver<Item>, mut stop: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let is_last = tokio::select! {
                biased;
                _ = &mut stop => true,
                more = gather(&mut heard, &mut batch) => !more,
            };
            loop {
                self.tell(std::mem::take(&mut batch)).await;
                while batch.len() < BATCH
                    && let Ok(item) = heard.try_recv()
                {
                    batch.push(item);
                }
                if !is_last || batch.is_empty() {
                    break;
                }
            }
            if is_last {
                return;
            }
        }
    }

    async fn tell(&self, batch: Vec<Item>) {
        let (mut spans, mut records) = (Vec::new(), Vec::new());
        for item in batch {
            match item {
                Item::Span(span) => spans.push(span),
                Item::Record(record) => records.push(record),
            }
        }
        if !spans.is_empty() {
            self.put(&self.traces, &wire::traces(&self.resource, &spans), spans.len()).await;
        }
        if !records.is_empty() {
            self.put(&self.logs, &wire::logs(&self.resource, &records), records.len()).await;
        }
    }

    /// What is refused, or cannot be sent for a while, is lost, and said on stderr.
    async fn put(&self, url: &Url, body: &Value, count: usize) {
        let Ok(body) = self.post.serialized(body) else { return };
        let post = || self.post.send(url.clone(), self.headers.clone(), body.clone());
        // said from here, so that it is not sent in its turn
        let say = |error: &Error, delay: Duration| {
            tracing::debug!(error = %error, delay_ms = delay.as_millis() as u64, "trying again");
        };
        let outcome = retry_saying(self.post.env(), AGAIN, post, say).await;
        if outcome.is_err() {
            self.lost.fetch_add(count as u64, Ordering::Relaxed);
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            let crowded = || Error::transient(OP, "more was to be told than it took in time");
            let error = outcome.err().unwrap_or_else(crowded);
            if self.quiet.say(&error).is_some() {
                tracing::warn!(error = %error, lost, "the collector does not get all traces and logs");
                self.lost.fetch_sub(lost, Ordering::Relaxed);
            }
        }
    }
}

/// Waits for something, and a little longer for more; false when nothing will come any more. What is in `batch` stays there
/// when this is given up.
async fn gather(heard: &mut mpsc::Receiver<Item>, batch: &mut Vec<Item>) -> bool {
    if batch.is_empty() && heard.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, heard.recv_many(batch, room)).await {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    true
}
