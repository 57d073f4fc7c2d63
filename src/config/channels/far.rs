//! Channels over HTTP.

use serde_json::Value;

use super::super::raw::{self, At};
use super::super::read::{Read, Reader, filled};
use super::super::{Channel, Secret, Slack};
use crate::core::alert::{Reason, specimen};
use crate::core::template::Template;

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const OPSGENIE: &str = "https://api.opsgenie.com/v2/alerts";
const JSM: &str = "https://api.atlassian.com/jsm/ops/integration/v2/alerts";
const SLACK: &str = "https://slack.com/api/chat.postMessage";

impl Reader<'_> {
    pub(super) fn webhook(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        Ok(Channel::Webhook {
            url: self.needed_url(entry, "a webhook channel needs a `url`")?,
            secret: self.optional_secret(&raw.secret)?,
            token: self.optional_secret(&raw.token)?,
            template: self.template(raw)?,
            timeout: self.timeout(raw)?,
        })
    }

    /// A file with places in it; every place must be one that an alert can fill.
    fn template(&self, raw: &raw::Channel) -> Read<Option<Template>> {
        let Some(at) = &raw.template else {
            return match &raw.content_type {
                Some(at) => Err(self.at(at, "`content_type` goes with `template`, and there is none")),
                None => Ok(None),
            };
        };
        let kind = self.optional(&raw.content_type, |text| match text {
            text if text.contains('/') && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(text.to_owned()),
            _ => Err("a content type is like \"application/json\" or \"text/plain; charset=utf-8\""),
        })?;
        let kind = kind.unwrap_or_else(|| "application/json".to_owned());
        let text = std::fs::read_to_string(self.path(at));
        let text = text.map_err(|error| self.at(at, format!("the template cannot be read: {}", error.kind())))?;
        let mut example = serde_json::to_value(specimen(Reason::First)).unwrap_or(Value::Null);
        example["key"] = "key".into();
        let template = Template::parse(&text, &kind, &example);
        template.map(Some).map_err(|why| self.at(at, format!("the template: {why}")))
    }

    pub(super) fn paging(&self, kind: &'static str, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let missing = format!("a {kind} channel needs a `key`: {{ credential = \"name\" }} or {{ file = \"/path\" }}");
        let key = self.secret(self.needed(&raw.key, entry, &missing)?)?;
        let timeout = self.timeout(raw)?;
        Ok(match kind {
            "pagerduty" => Channel::PagerDuty { key, url: self.url_or(raw, PAGERDUTY)?, timeout },
            "jsm" => Channel::Opsgenie { kind, key, url: self.url_or(raw, JSM)?, timeout },
            _ => Channel::Opsgenie { kind, key, url: self.url_or(raw, OPSGENIE)?, timeout },
        })
    }

    pub(super) fn slack(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let to = match (&raw.token, &raw.channel) {
            (None, None) => {
                Slack::Webhook(self.needed_url(entry, "a slack channel needs a `url`, or a `token` and a `channel`")?)
            }
            (Some(token), Some(channel)) => Slack::Bot {
                token: self.secret(token)?,
                channel: self.parsed(channel, filled)?,
                url: self.url_or(raw, SLACK)?,
            },
            (Some(at), None) => return Err(self.at(at, "a bot's `token` goes with a `channel`: its id")),
            (None, Some(at)) => return Err(self.at(at, "a `channel` goes with a bot's `token`; a webhook has its own")),
        };
        Ok(Channel::Slack { to, timeout: self.timeout(raw)? })
    }

    pub(super) fn teams(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let url = self.needed_url(entry, "a teams channel needs a `url`: that of its workflow")?;
        Ok(Channel::Teams { url, timeout: self.timeout(entry.get_ref())? })
    }

    pub(super) fn alertmanager(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        Ok(Channel::Alertmanager {
            url: self.needed_url(entry, "an alertmanager channel needs a `url`, like \"http://localhost:9093\"")?,
            token: self.optional_secret(&raw.token)?,
            timeout: self.timeout(raw)?,
        })
    }

    fn needed_url(&self, entry: &At<raw::Channel>, missing: &str) -> Read<Secret> {
        self.url(self.needed(&entry.get_ref().url, entry, missing)?)
    }

    fn url_or(&self, raw: &raw::Channel, usual: &str) -> Read<Secret> {
        raw.url.as_ref().map_or_else(|| Ok(Secret::new(usual)), |at| self.url(at))
    }

    /// An address may stand in the file itself.
    fn url(&self, at: &At<raw::Secret>) -> Read<Secret> {
        let url = match at.get_ref() {
            raw::Secret::Plain(text) => Secret::new(text),
            _ => self.secret(at)?,
        };
        let scheme_and_host = ["https://", "http://"].iter().find_map(|scheme| url.expose().strip_prefix(scheme));
        if !scheme_and_host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            return Err(self.at(at, "not an address: `url` is one that begins with https:// (or http://)"));
        }
        Ok(url)
    }
}
