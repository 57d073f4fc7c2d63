//! Channels on AWS.

use super::super::Channel;
use super::super::raw::{self, At};
use super::super::read::{Read, Reader};
use crate::core::id::{AccountId, Region};
use crate::core::printable;

impl Reader<'_> {
    pub(super) fn sns(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let at = self.needed(&raw.topic, entry, "an sns channel needs a `topic`: its arn")?;
        let example = "arn:aws:sns:eu-central-1:111122223333:alerts";
        let (topic, home) = self.parsed(at, |text| arn(text, "sns", "topic", "", example))?;
        let region = self.optional(&raw.region, Region::parse)?.unwrap_or_else(|| home.clone());
        match &raw.region {
            Some(at) if region != home => Err(self.at(at, format!("the topic is in {home}: its arn says so"))),
            _ => Ok(Channel::Sns { topic, region, role: self.role(&raw.role, &raw.external_id)? }),
        }
    }

    pub(super) fn event_bus(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let at = self.needed(&raw.bus, entry, "an eventbridge channel needs a `bus`: its arn")?;
        let example = "arn:aws:events:eu-central-1:111122223333:event-bus/alerts";
        let (bus, region) = self.parsed(at, |text| arn(text, "events", "event bus", "event-bus/", example))?;
        Ok(Channel::EventBridge { bus, region, role: self.role(&raw.role, &raw.external_id)? })
    }

    pub(super) fn function(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let at = self.needed(&raw.function, entry, "a lambda channel needs a `function`: its arn")?;
        let example = "arn:aws:lambda:eu-central-1:111122223333:function:alerts";
        let (function, region) = self.parsed(at, |text| arn(text, "lambda", "function", "function:", example))?;
        Ok(Channel::Lambda { function, region, role: self.role(&raw.role, &raw.external_id)? })
    }

    pub(super) fn security_hub(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let account = self.needed(&raw.account, entry, "a securityhub channel needs the `account` it is asked in")?;
        let region = self.needed(&raw.region, entry, "a securityhub channel needs a `region`")?;
        Ok(Channel::SecurityHub {
            account: self.parsed(account, AccountId::parse)?,
            region: self.parsed(region, Region::parse)?,
            role: self.role(&raw.role, &raw.external_id)?,
        })
    }
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:…`, where what follows begins as it does for this kind of thing; and its region.
fn arn(text: &str, service: &str, what: &str, begins: &str, example: &str) -> Result<(String, Region), String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let named = match parts.as_slice() {
        ["arn", partition, of, region, account, name]
            if partition.starts_with("aws") && *of == service && AccountId::parse(account).is_ok() =>
        {
            name.strip_prefix(begins).filter(|name| !name.is_empty()).map(|_| *region)
        }
        _ => None,
    };
    let region = named.ok_or_else(|| {
        let shown = printable(text, 120);
        format!("`{shown}` is no {what}: an arn like \"{example}\"")
    })?;
    Region::parse(region).map(|region| (text.to_owned(), region)).map_err(|bad| bad.to_string())
}
