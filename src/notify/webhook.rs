//! A channel that posts over HTTPS, signed if it has a secret: the alert as JSON, or what a template makes of it.
//!
//! The receiver checks `X-Trailwarden-Signature: v1=<hex HMAC-SHA-256(secret, timestamp "." body)>`, refuses an old
//! `X-Trailwarden-Timestamp`, and drops what it knows by `Idempotency-Key`. The address is itself a secret and appears in no text.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;

use super::post::Post;
use crate::config::Secret;
use crate::core::alert::Alert;
use crate::core::template::Template;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::Channel;

const OP: &str = "webhook:post";

pub struct Webhook {
    post: Post,
    key: Option<hmac::Key>,
    template: Option<Template>,
}

impl Webhook {
    /// `timeout` bounds one post as a whole, connecting included.
    pub fn new(url: &Secret, secret: Option<&Secret>, timeout: Duration, env: Env) -> Result<Self> {
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()));
        Ok(Self { post: Post::new(OP, url, timeout, env)?, key, template: None })
    }

    /// What is posted instead of the alert's own JSON.
    #[must_use]
    pub fn template(mut self, template: Option<Template>) -> Self {
        self.template = template;
        self
    }

    /// Sends a key in `Authorization: Bearer`.
    pub fn bearer(mut self, token: Option<&Secret>) -> Result<Self> {
        if let Some(token) = token {
            self.post = self.post.authorized("Bearer", token)?;
        }
        Ok(self)
    }

    fn headers(&self, key: &str, body: &[u8]) -> Result<HeaderMap> {
        let timestamp = self.post.env().now().as_second().to_string();
        let value = |text: &str| self.post.value(text);
        let mut headers = HeaderMap::new();
        let content_type = self.template.as_ref().map_or("application/json", Template::content_type);
        headers.insert(CONTENT_TYPE, value(content_type)?);
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
}

#[async_trait]
impl Channel for Webhook {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        #[derive(Serialize)]
        struct Body<'a> {
            key: &'a str,
            #[serde(flatten)]
            alert: &'a Alert,
        }
        let json = serde_json::to_value(Body { key, alert }).map_err(|error| Error::permanent(OP, error))?;
        let body = match &self.template {
            Some(template) => template.fill(&json).into_bytes(),
            None => self.post.serialized(&Body { key, alert })?,
        };
        let headers = self.headers(key, &body)?;
        self.post.send(self.post.url.clone(), headers, body).await.map(|_| None)
    }

    /// Whether the host can be reached and speaks HTTP, without touching the address itself.
    async fn reach(&self) -> Result<()> {
        self.post.reach().await
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
