//! Alertmanager, API v2: an alert for each finding, whose labels never change, until it ends.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::post::Post;
use crate::config::Secret;
use crate::core::alert::{Alert, Reason};
use crate::core::printable;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::Channel;

const OP: &str = "alertmanager:alerts";
/// Alertmanager ends what has no end after its `resolve_timeout`; a finding ends when it is resolved.
const OPEN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Bytes of an annotation.
const ANNOTATION: usize = 8_000;

pub struct Alertmanager {
    post: Post,
}

impl Alertmanager {
    /// `url` is the root, as it is shown in a browser; a token goes into `Authorization: Bearer`.
    pub fn new(url: &Secret, token: Option<&Secret>, timeout: Duration, env: Env) -> Result<Self> {
        let mut post = Post::new(OP, url, timeout, env)?;
        if let Some(token) = token {
            post = post.authorized("Bearer", token)?;
        }
        let path = post.url.path_segments_mut().map(|mut path| {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        });
        path.map_err(|()| Error::permanent(OP, "the address has no path"))?;
        Ok(Self { post: post.heard(|body| serde_json::from_slice::<String>(body).ok()) })
    }
}

/// `None`: Alertmanager has no word for it.
fn alert_of(key: &str, alert: &Alert, now: Timestamp) -> Option<Value> {
    let finding = &alert.finding;
    let ends = match alert.reason {
        Reason::First | Reason::Repeat | Reason::Escalated => now + OPEN,
        Reason::Test => now + SignedDuration::from_mins(5),
        // The time of its end has passed: what lies ahead would keep it open until then.
        Reason::Resolved => finding.resolved_at.unwrap_or(now).min(now),
        Reason::Acknowledged => return None,
    };
    let account = finding.account.map(|account| account.to_string()).unwrap_or_default();
    let labels = [
        ("alertname", finding.kind.name()),
        ("class", finding.class.name()),
        ("severity", finding.severity.name()),
        ("finding", &finding.id),
        ("account", &account),
        ("region", finding.region.as_ref().map_or("", |region| region.as_str())),
        ("trail", finding.trail.as_deref().unwrap_or_default()),
        ("warden", &alert.warden),
    ];
    // A label without a value is none.
    let labels: Map<String, Value> = labels.into_iter().filter(|(_, value)| !value.is_empty()).map(text).collect();
    let mut annotations: Map<String, Value> = alert.facts().iter().map(|(name, value)| text((name, value))).collect();
    let links = alert.links.first().map_or("", |link| link.url.as_str());
    for (name, value) in [
        ("summary", alert.title.as_str()),
        ("description", &printable(&finding.detail, ANNOTATION)),
        ("action", &alert.action),
        ("runbook_url", links),
        ("key", key),
    ] {
        annotations.insert(name.to_owned(), value.into());
    }
    Some(json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": finding.first_seen.min(ends).to_string(),
        "endsAt": ends.to_string(),
    }))
}

fn text((name, value): (&str, impl AsRef<str>)) -> (String, Value) {
    (name.to_owned(), value.as_ref().into())
}

#[async_trait]
impl Channel for Alertmanager {
    /// The same labels are the same alert, so that a repeat changes nothing.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        if let Some(alert) = alert_of(key, alert, self.post.env().now()) {
            self.post.json(&[alert]).await?;
        }
        Ok(None)
    }

    /// Asks for its status, which changes nothing.
    async fn reach(&self) -> Result<()> {
        let url = self.post.url.join("status").map_err(|_| Error::permanent(OP, "the address has no path"))?;
        self.post.get(url).await.map(|_| ())
    }
}
