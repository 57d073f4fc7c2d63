//! Opsgenie's Alert API, and that of its successor, Jira Service Management's integration events: an alert for each finding,
//! whose alias is the finding's id.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::post::{Post, words_at};
use crate::config::Secret;
use crate::core::alert::{Alert, Reason, cut};
use crate::core::finding::Severity;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::Channel;

const OP: &str = "opsgenie:alerts";
/// Limits in characters; bytes are never fewer. Details are 8,000 in all.
const MESSAGE: usize = 130;
const DESCRIPTION: usize = 15_000;
const NOTE: usize = 25_000;
const DETAIL: usize = 400;
const TAG: usize = 50;
const ENTITY: usize = 512;
const SOURCE: usize = 100;

pub struct Opsgenie {
    post: Post,
}

impl Opsgenie {
    /// `url` ends in `/v2/alerts`.
    pub fn new(key: &Secret, url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        let post = Post::new(OP, url, timeout, env)?.authorized("GenieKey", key)?;
        Ok(Self { post: post.heard(|body| words_at(body, "/message")) })
    }

    /// `…/v2/alerts/{alias}/{action}?identifierType=alias`
    fn action(&self, alias: &str, action: &str) -> Result<Url> {
        let mut url = self.post.url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::permanent(OP, "the address has no path"))?
            .pop_if_empty()
            .extend([alias, action]);
        url.query_pairs_mut().append_pair("identifierType", "alias");
        Ok(url)
    }
}

fn alert_of(key: &str, alert: &Alert) -> Value {
    let finding = &alert.finding;
    let facts = alert.facts().into_iter().chain([("key", key.to_owned())]);
    let details: Map<String, Value> =
        facts.map(|(name, value)| (name.to_owned(), cut(&plain(&value), DETAIL).into())).collect();
    let tags = [finding.class.name(), finding.severity.name(), finding.kind.name()];
    let entity = finding.account.map(|account| account.to_string()).or_else(|| finding.bucket.clone());
    json!({
        "message": cut(&plain(&alert.subject(MESSAGE)), MESSAGE),
        "alias": if alert.reason == Reason::Test { key } else { &finding.id },
        "description": cut(&plain(&alert.text()), DESCRIPTION),
        "details": details,
        "entity": cut(&plain(&entity.unwrap_or_else(|| alert.warden.clone())), ENTITY),
        "source": cut(&format!("trailwarden {}", alert.warden), SOURCE),
        "tags": tags.map(|tag| cut(tag, TAG)),
        "priority": priority(finding.severity),
    })
}

/// Descriptions are shown as HTML: what a stranger wrote brings no tag along.
fn plain(text: &str) -> String {
    text.replace('<', "‹").replace('>', "›")
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "P1",
        Severity::High => "P2",
        Severity::Medium => "P3",
        Severity::Low => "P4",
        Severity::Info => "P5",
    }
}

#[async_trait]
impl Channel for Opsgenie {
    /// 202 for all of it: requests are processed later. An alert whose alias is open is counted again and not made twice.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let action = match alert.reason {
            Reason::First | Reason::Repeat | Reason::Escalated | Reason::Test => {
                return self.post.json(&alert_of(key, alert)).await.map(|_| None);
            }
            Reason::Acknowledged => "acknowledge",
            Reason::Resolved => "close",
        };
        let note = cut(&plain(alert.finding.note.as_deref().unwrap_or_default()), NOTE);
        let body = json!({ "source": cut(&format!("trailwarden {}", alert.warden), SOURCE), "note": note });
        let url = self.action(&alert.finding.id, action)?;
        self.post.send(url, HeaderMap::new(), self.post.serialized(&body)?).await.map(|_| None)
    }

    async fn reach(&self) -> Result<()> {
        self.post.reach().await
    }
}
