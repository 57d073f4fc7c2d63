//! Posting over HTTP: one client, one way to class answers. Addresses and keys appear in no text.

use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;

use crate::config::Secret;
use crate::core::printable;
use crate::env::Env;
use crate::error::{Class, Error, Result};

/// No far side can silence us for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Of an answer's body no more is looked at.
const BODY: usize = 64 << 10;
/// Bytes of the far side's own words that are told.
const WORDS: usize = 300;

/// A far side that takes posts.
pub struct Post {
    client: Client,
    pub op: &'static str,
    pub url: Url,
    /// What is told of it when it refuses, out of the body of its answer; it holds no secret.
    pub words: fn(&[u8]) -> Option<String>,
    authorization: Option<HeaderValue>,
    env: Env,
}

impl Post {
    /// `timeout` bounds one post as a whole, connecting included.
    pub fn new(op: &'static str, url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        let url = Url::parse(url.expose())
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
            .ok_or_else(|| Error::permanent(op, "the address is no http or https url"))?;
        let client = Client::builder()
            .timeout(timeout)
            // a redirect would carry the alert to somewhere nobody configured
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("trailwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::permanent(op, "no TLS client could be made; are there root certificates"))?;
        Ok(Self { client, op, url, words: |_| None, authorization: None, env })
    }

    /// Sends `Authorization: SCHEME SECRET` with every post.
    pub fn authorized(mut self, scheme: &str, secret: &Secret) -> Result<Self> {
        let mut header = self.value(&format!("{scheme} {}", secret.expose()))?;
        header.set_sensitive(true);
        self.authorization = Some(header);
        Ok(self)
    }

    #[must_use]
    pub fn heard(mut self, words: fn(&[u8]) -> Option<String>) -> Self {
        self.words = words;
        self
    }

    /// Whether the host can be reached and speaks HTTP, without touching the address itself.
    pub async fn reach(&self) -> Result<()> {
        let mut root = self.url.clone();
        root.set_path("/");
        root.set_query(None);
        root.set_fragment(None);
        let _ = root.set_username("");
        let _ = root.set_password(None);
        self.client.head(root).send().await.map(drop).map_err(|error| self.unreached(&error))
    }

    /// Asks `GET`, with the key; answers the body.
    pub async fn get(&self, url: Url) -> Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let asked = self.client.get(url).headers(headers).send().await;
        self.judge(asked.map_err(|error| self.unreached(&error))?).await
    }

    /// Posts JSON to the address itself.
    pub async fn json(&self, body: &impl Serialize) -> Result<Vec<u8>> {
        let body = self.serialized(body)?;
        self.send(self.url.clone(), HeaderMap::new(), body).await
    }

    pub fn serialized(&self, body: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(body).map_err(|error| Error::permanent(self.op, error))
    }

    /// Answers the body of a success; a body of JSON unless the headers say otherwise.
    pub async fn send(&self, url: Url, mut headers: HeaderMap, body: Vec<u8>) -> Result<Vec<u8>> {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let posted = self.client.post(url).headers(headers).body(body).send().await;
        self.judge(posted.map_err(|error| self.unreached(&error))?).await
    }

    pub fn value(&self, text: &str) -> Result<HeaderValue> {
        HeaderValue::from_str(text).map_err(|_| Error::permanent(self.op, "a value does not fit into a header"))
    }

    pub fn env(&self) -> &Env {
        &self.env
    }

    async fn judge(&self, answer: Response) -> Result<Vec<u8>> {
        let status = answer.status();
        let retry_after = self.retry_after(answer.headers());
        let body = body(answer).await;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refused(status, retry_after, (self.words)(&body)))
    }

    fn refused(&self, status: StatusCode, retry_after: Option<Duration>, words: Option<String>) -> Error {
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let class = if passing { Class::Transient { retry_after } } else { Class::Permanent };
        let words = words.map(|words| format!(": {}", printable(words.trim(), WORDS))).unwrap_or_default();
        let text = format!("the far side answered {}{words}", status.as_u16());
        Error::new(class, self.op, text).with_code(status.as_str())
    }

    /// Seconds or an HTTP date (RFC 9110, 10.2.3).
    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let until = rfc2822::parse(text).ok()?.timestamp();
                Duration::try_from(until.duration_since(self.env.now())).unwrap_or(Duration::ZERO)
            }
        };
        Some(wait.min(LONGEST_WAIT))
    }

    /// No answer came. The library's own text names the address, so only its kind is told.
    fn unreached(&self, error: &reqwest::Error) -> Error {
        if error.is_timeout() {
            return Error::transient(self.op, "no answer in time");
        }
        let what = if error.is_connect() { "could not connect" } else { "the request failed" };
        match root_io(error) {
            Some(kind) => Error::transient(self.op, format!("{what}: {kind}")),
            None => Error::transient(self.op, what),
        }
    }
}

/// What came of it: a body that breaks off tells no less than its status.
async fn body(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= BODY {
            body.truncate(BODY);
            break;
        }
    }
    body
}

fn root_io(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    let mut cause = std::error::Error::source(error);
    let mut found = None;
    while let Some(error) = cause {
        found = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(found);
        cause = error.source();
    }
    found
}

/// The text at a pointer into a JSON body (RFC 6901).
pub fn words_at(body: &[u8], pointer: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    json.pointer(pointer)?.as_str().map(str::to_owned)
}
