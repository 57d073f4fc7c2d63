//! `[channel.NAME]` and `[[route]]`: who is told what.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::raw::{self, At};
use super::read::{Read, Reader, YEARS, word};
use super::{Channel, Format, Secret, trails};
use crate::core::finding::{Class, Kind, Severity};
use crate::core::id::{AccountId, Region};
use crate::core::printable;
use crate::core::route::{Match, Route};

const TIMEOUT: Duration = Duration::from_secs(10);

impl Reader<'_> {
    pub(super) fn channels(&self, raw: &BTreeMap<String, At<raw::Channel>>) -> Read<BTreeMap<String, Channel>> {
        raw.iter()
            .map(|(name, entry)| {
                let name = trails::label(name).map_err(|why| self.at(entry, why))?;
                Ok((name, self.channel(entry)?))
            })
            .collect()
    }

    fn channel(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let kinds = "\"stdout\", \"webhook\" or \"sns\"";
        let kind = self.needed(&raw.kind, entry, &format!("the channel has no `kind`: {kinds}"))?;
        match kind.get_ref().as_str() {
            "stdout" => {
                self.only(raw, "stdout", &["format"])?;
                let formats = [Format::Human, Format::Json];
                let format = self.optional(&raw.format, |text| word(text, &formats, Format::name, "format"))?;
                Ok(Channel::Stdout(format.unwrap_or(Format::Human)))
            }
            "webhook" => {
                self.only(raw, "webhook", &["url", "secret", "timeout"])?;
                self.webhook(entry)
            }
            "sns" => {
                self.only(raw, "sns", &["topic", "region", "role", "external_id"])?;
                self.sns(entry)
            }
            other => Err(self.at(kind, format!("`{}` is no kind of channel: {kinds}", printable(other, 40)))),
        }
    }

    /// Every kind has its own keys; one of another kind is as unknown as any.
    fn only(&self, raw: &raw::Channel, kind: &str, keys: &[&str]) -> Read<()> {
        let span = |text: &raw::Text| text.as_ref().map(At::span);
        let written: [(&str, Option<Range<usize>>); 8] = [
            ("format", span(&raw.format)),
            ("url", raw.url.as_ref().map(At::span)),
            ("secret", raw.secret.as_ref().map(At::span)),
            ("timeout", span(&raw.timeout)),
            ("topic", span(&raw.topic)),
            ("region", span(&raw.region)),
            ("role", span(&raw.role)),
            ("external_id", span(&raw.external_id)),
        ];
        for (key, span) in written {
            if let Some(span) = span.filter(|_| !keys.contains(&key)) {
                let known = keys.join("`, `");
                return Err(self.wrong(span, format!("`{key}` is no key of a {kind} channel, which has `{known}`")));
            }
        }
        Ok(())
    }

    fn webhook(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let url_at = self.needed(&raw.url, entry, "a webhook channel needs a `url`")?;
        let url = match url_at.get_ref() {
            raw::Secret::Plain(text) => Secret::new(text),
            elsewhere => self.places.read(elsewhere).map_err(|why| self.at(url_at, why))?,
        };
        let scheme_and_host = ["https://", "http://"].iter().find_map(|scheme| url.expose().strip_prefix(scheme));
        if !scheme_and_host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            return Err(self.at(url_at, "not an address: `url` is one that begins with https:// (or http://)"));
        }
        let secret = match &raw.secret {
            Some(at) => Some(self.places.read(at.get_ref()).map_err(|why| self.at(at, why))?),
            None => None,
        };
        let timeout = self.duration(&raw.timeout, TIMEOUT, Duration::from_secs(1), Duration::from_secs(300))?;
        Ok(Channel::Webhook { url, secret, timeout })
    }

    fn sns(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let topic_at = self.needed(&raw.topic, entry, "an sns channel needs a `topic`: its arn")?;
        let (topic, home) = self.parsed(topic_at, topic)?;
        let region = self.optional(&raw.region, Region::parse)?.unwrap_or_else(|| home.clone());
        match &raw.region {
            Some(at) if region != home => Err(self.at(at, format!("the topic is in {home}: its arn says so"))),
            _ => Ok(Channel::Sns { topic, region, role: self.role(&raw.role, &raw.external_id)? }),
        }
    }

    pub(super) fn routes(&self, raw: &[At<raw::Route>], channels: &BTreeMap<String, Channel>) -> Read<Vec<Route>> {
        let routes: Vec<Route> = raw.iter().map(|entry| self.route(entry, channels)).collect::<Read<_>>()?;
        if routes.is_empty() && !channels.is_empty() {
            return Err(self.missing("there are channels and no [[route]]: nothing would ever be told"));
        }
        for (position, (entry, route)) in raw.iter().zip(&routes).enumerate() {
            let (is_last, takes_all) = (position + 1 == routes.len(), route.matches.is_everything());
            if takes_all && !is_last {
                return Err(self.at(entry, "this route matches everything: the routes after it are never asked"));
            }
            if is_last && !takes_all {
                let message =
                    "the last route must match everything (leave out `match`): else findings are told to nobody";
                return Err(self.at(entry, message));
            }
        }
        Ok(routes)
    }

    fn route(&self, entry: &At<raw::Route>, channels: &BTreeMap<String, Channel>) -> Read<Route> {
        let raw = entry.get_ref();
        let to = self.list(&raw.to, |name| {
            if channels.contains_key(name) {
                Ok(name.to_owned())
            } else {
                Err(format!("there is no [channel.{}]", printable(name, 60)))
            }
        })?;
        if to.is_empty() {
            return Err(self.at(entry, "the route leads nowhere: `to` names at least one channel"));
        }
        let asked = &raw.matches;
        let matches = Match {
            class: self.list(&asked.class, |text| word(text, Class::ALL, Class::name, "class"))?,
            kind: self.list(&asked.kind, |text| {
                Kind::parse(text).ok_or_else(|| {
                    format!("`{}` is no kind of finding: `trailwarden findings kinds` lists them", printable(text, 60))
                })
            })?,
            severity_at_least: self
                .optional(&asked.severity_at_least, |text| word(text, Severity::ALL, Severity::name, "severity"))?,
            account: self.list(&asked.account, AccountId::parse)?,
        };
        let repeat = self.optional_duration(&raw.repeat, Duration::from_secs(60), YEARS)?;
        Ok(Route { matches, to, repeat, resolved: raw.resolved.unwrap_or(true) })
    }
}

/// A topic's ARN and the region in it.
fn topic(text: &str) -> Result<(String, Region), String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        ["arn", partition, "sns", region, account, name]
            if partition.starts_with("aws") && AccountId::parse(account).is_ok() && !name.is_empty() =>
        {
            Region::parse(region).map(|region| (text.to_owned(), region)).map_err(|bad| bad.to_string())
        }
        _ => Err(format!(
            "`{}` is no topic: an arn like \"arn:aws:sns:eu-central-1:111122223333:alerts\"",
            printable(text, 120)
        )),
    }
}
