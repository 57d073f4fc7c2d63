//! `[channel.NAME]` and `[[route]]`: who is told what.

mod cloud;
mod far;
mod mail;

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::{self, At};
use super::read::{Read, Reader, YEARS, word};
use super::{Channel, Format, Secret, trails};
use crate::core::finding::{Class, Kind, Severity};
use crate::core::id::AccountId;
use crate::core::printable;
use crate::core::route::{Escalation, Match, Route};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Every kind of channel, and its keys.
const KINDS: &[(&str, &[&str])] = &[
    ("stdout", &["format"]),
    ("webhook", &["url", "secret", "token", "template", "content_type", "timeout"]),
    ("pagerduty", &["key", "url", "timeout"]),
    ("opsgenie", &["key", "url", "timeout"]),
    ("jsm", &["key", "url", "timeout"]),
    ("slack", &["url", "token", "channel", "timeout"]),
    ("teams", &["url", "timeout"]),
    ("alertmanager", &["url", "token", "timeout"]),
    ("email", &["server", "tls", "ca", "from", "to", "user", "password", "timeout"]),
    ("syslog", &["server", "tls", "ca", "facility", "timeout"]),
    ("sns", &["topic", "region", "role", "external_id"]),
    ("eventbridge", &["bus", "role", "external_id"]),
    ("lambda", &["function", "role", "external_id"]),
    ("securityhub", &["account", "region", "role", "external_id"]),
];

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
        let names = || KINDS.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let kind = self.needed(&raw.kind, entry, &format!("the channel has no `kind`: one of {}", names()))?;
        let text = kind.get_ref().as_str();
        let Some((name, keys)) = KINDS.iter().find(|(name, _)| *name == text) else {
            let shown = printable(text, 40);
            return Err(self.at(kind, format!("`{shown}` is no kind of channel: one of {}", names())));
        };
        self.only(raw, name, keys)?;
        match *name {
            "webhook" => self.webhook(entry),
            "pagerduty" | "opsgenie" | "jsm" => self.paging(name, entry),
            "slack" => self.slack(entry),
            "teams" => self.teams(entry),
            "alertmanager" => self.alertmanager(entry),
            "email" => self.email(entry),
            "syslog" => self.syslog(entry),
            "sns" => self.sns(entry),
            "eventbridge" => self.event_bus(entry),
            "lambda" => self.function(entry),
            "securityhub" => self.security_hub(entry),
            _ => {
                let formats = [Format::Human, Format::Json];
                let format = self.optional(&raw.format, |text| word(text, &formats, Format::name, "format"))?;
                Ok(Channel::Stdout(format.unwrap_or(Format::Human)))
            }
        }
    }

    /// Every kind has its own keys; one of another kind is as unknown as any.
    fn only(&self, raw: &raw::Channel, kind: &str, keys: &[&str]) -> Read<()> {
        match raw.written().into_iter().find(|(key, _)| !keys.contains(key)) {
            None => Ok(()),
            Some((key, span)) => {
                let known = keys.join("`, `");
                Err(self.wrong(span, format!("`{key}` is no key of a {kind} channel, which has `{known}`")))
            }
        }
    }

    /// A secret in a file of its own.
    pub(in crate::config) fn secret(&self, at: &At<raw::Secret>) -> Read<Secret> {
        self.places.read(at.get_ref()).map_err(|why| self.at(at, why))
    }

    fn optional_secret(&self, at: &Option<At<raw::Secret>>) -> Read<Option<Secret>> {
        at.as_ref().map(|at| self.secret(at)).transpose()
    }

    fn timeout(&self, raw: &raw::Channel) -> Read<Duration> {
        self.duration(&raw.timeout, TIMEOUT, Duration::from_secs(1), Duration::from_secs(300))
    }

    /// A private root certificate.
    fn authority(&self, raw: &raw::Channel) -> Read<Option<String>> {
        let Some(at) = &raw.ca else { return Ok(None) };
        let pem =
            std::fs::read_to_string(self.path(at)).map_err(|error| self.at(at, format!("`ca`: {}", error.kind())))?;
        let is_pem = pem.contains("-----BEGIN CERTIFICATE-----");
        if is_pem { Ok(Some(pem)) } else { Err(self.at(at, "`ca` names a file that holds no certificate in PEM")) }
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
        let known = |name: &str| match channels.contains_key(name) {
            true => Ok(name.to_owned()),
            false => Err(format!("there is no [channel.{}]", printable(name, 60))),
        };
        let to = self.list(&raw.to, known)?;
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
        let after = self.optional_duration(&raw.escalate_after, Duration::from_secs(60), YEARS)?;
        let escalation = match (after, self.list(&raw.escalate_to, known)?) {
            (Some(after), to) if !to.is_empty() => Some(Escalation { after, to }),
            (None, to) if to.is_empty() => None,
            _ => {
                return Err(
                    self.at(entry, "`escalate_after` and `escalate_to` go together: after how long, and whom to")
                );
            }
        };
        Ok(Route { matches, to, repeat, escalation, resolved: raw.resolved.unwrap_or(true) })
    }
}
