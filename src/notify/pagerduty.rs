//! PagerDuty, Events API v2: an incident for each finding, triggered, acknowledged and resolved by the finding's id.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::post::{Post, words_at};
use crate::config::Secret;
use crate::core::alert::{Alert, Reason, cut};
use crate::core::finding::Severity;
use crate::env::Env;
use crate::error::Result;
use crate::seam::Channel;

const OP: &str = "pagerduty:enqueue";
/// Characters of a summary; bytes are never fewer.
const SUMMARY: usize = 1_024;
/// Links that an event may have are not bounded; these are web addresses alone.
const WEB: [&str; 2] = ["https://", "http://"];

pub struct PagerDuty {
    post: Post,
    routing_key: Secret,
}

impl PagerDuty {
    /// `url` is that of `enqueue` in the account's service region.
    pub fn new(routing_key: &Secret, url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        let post = Post::new(OP, url, timeout, env)?.heard(|body| words_at(body, "/errors/0"));
        Ok(Self { post, routing_key: routing_key.clone() })
    }

    fn event(&self, key: &str, alert: &Alert) -> Value {
        let action = match alert.reason {
            Reason::First | Reason::Repeat | Reason::Escalated | Reason::Test => "trigger",
            Reason::Acknowledged => "acknowledge",
            Reason::Resolved => "resolve",
        };
        let finding = &alert.finding;
        let mut event = json!({
            "routing_key": self.routing_key.expose(),
            "event_action": action,
            "dedup_key": if alert.reason == Reason::Test { key } else { &finding.id },
        });
        if action == "trigger" {
            let mut details: serde_json::Map<String, Value> =
                alert.facts().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            details.insert("detail".into(), alert.detail().into());
            details.insert("means".into(), alert.means.as_str().into());
            details.insert("to do".into(), alert.action.as_str().into());
            details.insert("commands".into(), json!(alert.commands));
            if alert.finding.detection.is_some() {
                details.insert("events".into(), json!(alert.events()));
            }
            details.insert("key".into(), key.into());
            event["payload"] = json!({
                "summary": cut(&alert.subject(SUMMARY), SUMMARY),
                "source": source(alert),
                "severity": severity(finding.severity),
                "timestamp": finding.last_seen.to_string(),
                "component": finding.trail.as_deref().unwrap_or("archive"),
                "group": finding.class.name(),
                "class": finding.kind.name(),
                "custom_details": details,
            });
            event["client"] = format!("trailwarden {}", alert.warden).into();
            event["links"] = alert
                .links
                .iter()
                .filter(|link| WEB.iter().any(|web| link.url.starts_with(web)))
                .map(|link| json!({ "href": link.url, "text": link.title }))
                .collect();
        }
        event
    }
}

/// What it is about: the account, else the bucket, else the warden.
fn source(alert: &Alert) -> String {
    let finding = &alert.finding;
    let account = finding.account.map(|account| account.to_string());
    account.or_else(|| finding.bucket.clone()).unwrap_or_else(|| alert.warden.clone())
}

/// Four words are known.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

#[async_trait]
impl Channel for PagerDuty {
    /// 202, or 400 for what is wrong with the event, or 429; a trigger with a known `dedup_key` is added to its incident.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        self.post.json(&self.event(key, alert)).await.map(|_| None)
    }

    async fn reach(&self) -> Result<()> {
        self.post.reach().await
    }
}
