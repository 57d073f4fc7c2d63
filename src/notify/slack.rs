//! Slack: an incoming webhook, or `chat.postMessage`, which keeps what is said of a finding in one thread.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::post::{Post, words_at};
use crate::config::Secret;
use crate::core::alert::{Alert, Reason, cut};
use crate::core::finding::Severity;
use crate::env::Env;
use crate::error::{Class, Error, Result};
use crate::seam::Channel;

const OP: &str = "slack:post";
/// Characters of a header, of a section's text and of a field; bytes are never fewer. A section has ten fields at most.
const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
const FIELDS: usize = 10;
/// Of the text that notifications show.
const TEXT: usize = 1_000;

pub struct Slack {
    post: Post,
    /// Of the Web API; a webhook has its own.
    channel: Option<String>,
}

impl Slack {
    pub fn webhook(url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        let post = Post::new(OP, url, timeout, env)?.heard(|body| word(std::str::from_utf8(body).ok()?));
        Ok(Self { post, channel: None })
    }

    /// As a bot, with a token that may `chat:write`; `url` is that of `chat.postMessage`.
    pub fn bot(token: &Secret, channel: &str, url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        let post = Post::new(OP, url, timeout, env)?.authorized("Bearer", token)?;
        Ok(Self { post, channel: Some(channel.to_owned()) })
    }
}

/// Everything that strangers may have chosen is `plain_text`: no mention, no link, no formatting in it has an effect.
fn message(alert: &Alert) -> Value {
    let plain = |text: &str, limit| json!({ "type": "plain_text", "text": cut(text, limit), "emoji": false });
    let mark = match (alert.reason, alert.finding.severity) {
        (Reason::Resolved, _) => "✅",
        (Reason::Acknowledged, _) => "👀",
        (_, Severity::Critical | Severity::High) => "🔴",
        (_, Severity::Medium) => "🟠",
        _ => "🔵",
    };
    let said = if alert.reason == Reason::First { String::new() } else { format!("{}: ", alert.reason) };
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&format!("{mark} {said}{}", alert.title), HEADER) }),
        json!({ "type": "section", "text": plain(&alert.detail(), SECTION) }),
    ];
    let events = alert.events().join("\n");
    if !events.is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&events, SECTION) }));
    }
    let facts: Vec<Value> =
        alert.facts().iter().take(FIELDS).map(|(name, value)| plain(&format!("{name}: {value}"), FIELD)).collect();
    blocks.push(json!({ "type": "section", "fields": facts }));
    if alert.reason.calls() {
        blocks.push(json!({ "type": "section", "text": plain(&format!("What to do: {}", alert.action), SECTION) }));
    }
    let mut links: Vec<String> = alert
        .links
        .iter()
        .filter(|link| link.url.starts_with("https://"))
        .map(|link| format!("<{}|{}>", escaped(&link.url), link.title))
        .collect();
    links.extend(alert.commands.iter().map(|command| format!("`{}`", escaped(command))));
    if !links.is_empty() {
        let text = cut(&links.join("\n"), SECTION);
        blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": text, "verbatim": true }] }));
    }
    json!({
        "text": cut(&escaped(&format!("{mark} {}", alert.subject(TEXT))), TEXT),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// The three characters that Slack's own markup is made of.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('|', "¦")
}

/// Slack's errors are words like `channel_not_found`; anything else may be what was sent.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_word = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then(|| text.to_owned())
}

/// The Web API says 200 and then `ok` or not; answers the message's `ts`.
fn answered(body: &[u8]) -> Result<Option<String>> {
    let json: Value =
        serde_json::from_slice(body).map_err(|_| Error::transient(OP, "the far side's answer is no JSON"))?;
    if json["ok"] == true {
        return Ok(words_at(body, "/ts"));
    }
    let error = json["error"].as_str().and_then(word).unwrap_or_else(|| "unknown".into());
    let passing =
        ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];
    let class = if passing.contains(&error.as_str()) { Class::TRANSIENT } else { Class::Permanent };
    Err(Error::new(class, OP, format!("the far side answered {error}")).with_code(error))
}

#[async_trait]
impl Channel for Slack {
    /// Slack knows no idempotency key: an alert whose answer was lost is shown twice.
    async fn send(&self, _key: &str, alert: &Alert) -> Result<Option<String>> {
        let mut body = message(alert);
        let Some(channel) = &self.channel else {
            return self.post.json(&body).await.map(|_| None);
        };
        body["channel"] = channel.as_str().into();
        if let Some(thread) = &alert.thread {
            body["thread_ts"] = thread.as_str().into();
            // What somebody has to act on is shown in the channel, too.
            body["reply_broadcast"] = (alert.reason == Reason::Escalated).into();
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let body = self.post.serialized(&body)?;
        let ts = answered(&self.post.send(self.post.url.clone(), headers, body).await?)?;
        Ok(alert.thread.clone().or(ts))
    }

    /// Asks `auth.test` as a bot; of a webhook only whether its host answers.
    async fn reach(&self) -> Result<()> {
        if self.channel.is_none() {
            return self.post.reach().await;
        }
        let url = self.post.url.join("auth.test").map_err(|_| Error::permanent(OP, "the address has no path"))?;
        answered(&self.post.send(url, HeaderMap::new(), Vec::new()).await?).map(|_| ())
    }
}
