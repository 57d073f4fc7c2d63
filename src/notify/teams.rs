//! Microsoft Teams: a workflow that posts an adaptive card when its webhook is asked to.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::post::Post;
use crate::config::Secret;
use crate::core::alert::{Alert, Reason, cut};
use crate::core::finding::Severity;
use crate::env::Env;
use crate::error::Result;
use crate::seam::Channel;

const OP: &str = "teams:post";
/// A message is 28 KB at most with all that is around it.
const TITLE: usize = 256;
const DETAIL: usize = 3_000;
const VALUE: usize = 600;

pub struct Teams {
    post: Post,
}

impl Teams {
    /// The address that the workflow's trigger shows; its signature makes it a secret.
    pub fn new(url: &Secret, timeout: Duration, env: Env) -> Result<Self> {
        Ok(Self { post: Post::new(OP, url, timeout, env)? })
    }
}

/// Text blocks and facts know Markdown, text runs do not: everything that strangers may have chosen is a text run.
fn card(alert: &Alert) -> Value {
    let color = match (alert.reason, alert.finding.severity) {
        (Reason::Resolved, _) => "good",
        (Reason::Acknowledged, _) => "accent",
        (_, Severity::Critical | Severity::High) => "attention",
        (_, Severity::Medium) => "warning",
        _ => "default",
    };
    let run = |text: &str, limit| json!({ "type": "TextRun", "text": cut(text, limit) });
    let block = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "spacing": "none", "inlines": runs });
    let said = if alert.reason == Reason::First { String::new() } else { format!("{}: ", alert.reason) };
    let title = format!("{said}{} {}", alert.finding.severity, alert.title);
    let mut body = vec![
        json!({ "type": "TextBlock", "text": cut(&title, TITLE), "weight": "bolder", "size": "medium", "color": color, "wrap": true }),
        json!({ "type": "RichTextBlock", "inlines": [run(&alert.detail(), DETAIL)] }),
    ];
    body.extend(alert.facts().iter().map(|(name, value)| {
        let name = json!({ "type": "TextRun", "text": format!("{name}: "), "weight": "bolder" });
        block(vec![name, run(value, VALUE)])
    }));
    body.extend(alert.events().iter().map(|event| block(vec![run(event, VALUE)])));
    if alert.reason.calls() {
        body.push(json!({ "type": "TextBlock", "text": format!("What to do: {}", alert.action), "wrap": true }));
    }
    body.extend(
        alert
            .commands
            .iter()
            .map(|command| block(vec![json!({ "type": "TextRun", "text": command, "fontType": "monospace" })])),
    );
    let actions: Vec<Value> = alert
        .links
        .iter()
        .filter(|link| link.url.starts_with("https://"))
        .map(|link| json!({ "type": "Action.OpenUrl", "title": link.title, "url": link.url }))
        .collect();
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": body,
        "actions": actions,
    })
}

#[async_trait]
impl Channel for Teams {
    /// 202 when the workflow was started. It knows no idempotency key, and cards cannot be changed later.
    async fn send(&self, _key: &str, alert: &Alert) -> Result<Option<String>> {
        let card = json!({
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card(alert),
        });
        self.post.json(&json!({ "type": "message", "attachments": [card] })).await.map(|_| None)
    }

    async fn reach(&self) -> Result<()> {
        self.post.reach().await
    }
}
