//! A channel that posts JSON over HTTPS, signed if it has a secret.
//!
//! The receiver checks `X-Trailwarden-Signature: v1=<hex HMAC-SHA-256(secret, timestamp "." body)>`, refuses an old
//! `X-Trailwarden-Timestamp`, and drops what it knows by `Idempotency-Key`. The address is itself a secret and appears in no text.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;

use crate::config::Secret;
use crate::core::finding::Alert;
use crate::env::Env;
use crate::error::{Class, Error, Result};
use crate::seam::Channel;

const OP: &str = "webhook:post";
/// No far side can silence us for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

pub struct Webhook {
    client: Client,
    url: Url,
    key: Option<hmac::Key>,
    env: Env,
}

impl Webhook {
    /// `timeout` bounds one post as a whole, connecting included.
    pub fn new(url: &Secret, secret: Option<&Secret>, timeout: Duration, env: Env) -> Result<Self> {
        let url = Url::parse(url.expose())
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
            .ok_or_else(|| Error::permanent(OP, "the address is no http or https url"))?;
        let client = Client::builder()
            .timeout(timeout)
            // a redirect would carry the alert to somewhere nobody configured
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("trailwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::permanent(OP, "no TLS client could be made; are there root certificates"))?;
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()));
        Ok(Self { client, url, key, env })
    }

    /// Whether the host can be reached and speaks HTTP, without touching the address itself.
    pub async fn reach(&self) -> Result<()> {
        let mut root = self.url.clone();
        root.set_path("/");
        root.set_query(None);
        root.set_fragment(None);
        let _ = root.set_username("");
        let _ = root.set_password(None);
        self.client.head(root).send().await.map(drop).map_err(|error| unreached(&error))
    }

    fn headers(&self, key: &str, body: &[u8]) -> Result<HeaderMap> {
        let timestamp = self.env.now().as_second().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("idempotency-key", value(key)?);
        headers.insert("x-trailwarden-timestamp", value(&timestamp)?);
        if let Some(secret) = &self.key {
            let mut signing = hmac::Context::with_key(secret);
            signing.update(timestamp.as_bytes());
            signing.update(b".");
            signing.update(body);
            headers.insert("x-trailwarden-signature", value(&format!("v1={}", hex::encode(signing.sign())))?);
        }
        Ok(headers)
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap) -> Result<()> {
        if status.is_success() {
            return Ok(());
        }
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let class =
            if passing { Class::Transient { retry_after: self.retry_after(headers) } } else { Class::Permanent };
        Err(Error::new(class, OP, format!("the far side answered {}", status.as_u16())).with_code(status.as_str()))
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
}

#[async_trait]
impl Channel for Webhook {
    async fn send(&self, key: &str, alert: &Alert) -> Result<()> {
        #[derive(Serialize)]
        struct Body<'a> {
            key: &'a str,
            #[serde(flatten)]
            alert: &'a Alert,
        }
        let body = serde_json::to_vec(&Body { key, alert }).map_err(|error| Error::permanent(OP, error))?;
        let headers = self.headers(key, &body)?;
        let posted = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        let answer = posted.map_err(|error| unreached(&error))?;
        self.judge(answer.status(), answer.headers())
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::permanent(OP, "the key does not fit into a header"))
}

/// No answer came. The library's own text names the address, so only its kind is told.
fn unreached(error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::transient(OP, "no answer in time");
    }
    let what = if error.is_connect() { "could not connect" } else { "the request failed" };
    match root_io(error) {
        Some(kind) => Error::transient(OP, format!("{what}: {kind}")),
        None => Error::transient(OP, what),
    }
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

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
