//! What of a record is counted, and by whom it was.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Aspect;
use crate::core::record::Record;

/// What CloudTrail says where there is no error code, agent or principal.
pub(super) const NONE: &str = "null";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    CallRate,
    ErrorRate,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::CallRate => "ApiCallRateInsight",
            Self::ErrorRate => "ApiErrorRateInsight",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::CallRate, Self::ErrorRate].into_iter().find(|kind| kind.name() == text)
    }
}

/// A management call. Rates count writing calls, and errors of all calls, as CloudTrail does. Who called is read when it is asked
/// for: most calls are not counted.
#[derive(Debug)]
pub struct Call<'r> {
    pub region: &'r str,
    pub source: &'r str,
    pub name: &'r str,
    /// `errorCode`.
    pub error: Option<Cow<'r, str>>,
    pub is_write: bool,
    /// Since 1970.
    pub minute: u32,
    record: &'r Record<'r>,
    raw: &'r str,
}

impl<'r> Call<'r> {
    /// `None` for what is no management call. `raw` is the text that the record was read from.
    pub fn of(record: &'r Record<'_>, raw: &'r str) -> Option<Self> {
        let is = |text: &Option<Cow<'_, str>>, wanted: &str| text.as_deref().is_none_or(|text| text == wanted);
        if !is(&record.event_type, "AwsApiCall") || !is(&record.event_category, "Management") {
            return None;
        }
        Some(Self {
            region: record.aws_region.as_deref()?,
            source: record.event_source.as_deref()?,
            name: record.event_name.as_deref()?,
            error: text(record.error_code).filter(|code| !code.is_empty()),
            is_write: !record.read_only.is_some_and(|raw| matches!(raw.get(), "true" | "\"true\"")),
            minute: u32::try_from(record.seconds()? / 60).ok()?,
            record,
            raw,
        })
    }

    /// The ARN, of a role without its session; the service that called; or `"null"`.
    pub fn principal(&self) -> Cow<'r, str> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Identity<'a> {
            #[serde(borrow)]
            arn: Option<&'a RawValue>,
            #[serde(borrow)]
            invoked_by: Option<&'a RawValue>,
        }
        let raw = self.record.user_identity.map_or("{}", RawValue::get);
        let identity: Identity<'_> = serde_json::from_str(raw).unwrap_or_default();
        let principal = text(identity.arn).map(without_session).or_else(|| text(identity.invoked_by));
        principal.unwrap_or(Cow::Borrowed(NONE))
    }

    pub fn agent(&self) -> Cow<'r, str> {
        text(self.record.user_agent).unwrap_or(Cow::Borrowed(NONE))
    }

    /// What of it an account may never have seen.
    pub fn named(&self, aspect: Aspect) -> Option<Cow<'r, str>> {
        match aspect {
            Aspect::Api => Some(format!("{}:{}", self.source, self.name).into()),
            Aspect::Region => Some(self.region.into()),
            Aspect::Principal => Some(self.principal()).filter(|name| name != NONE),
            Aspect::Network => network(&text(self.record.source_address)?).map(Cow::Owned),
            Aspect::Chain => self.assumed().map(|role| format!("{} → {role}", self.principal()).into()),
        }
    }

    /// The role that it asks for, if it assumes one.
    fn assumed(&self) -> Option<Cow<'r, str>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Asked<'a> {
            #[serde(borrow)]
            request_parameters: Parameters<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Parameters<'a> {
            #[serde(borrow)]
            role_arn: &'a RawValue,
        }
        let assumes = self.name.starts_with("AssumeRole");
        let asked: Asked<'_> = assumes.then(|| serde_json::from_str(self.raw).ok()).flatten()?;
        text(Some(asked.request_parameters.role_arn))
    }
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let quoted = raw?.get();
    match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<Text<'_>>(quoted).ok().map(|text| text.0),
    }
}

/// `arn:aws:sts::111122223333:assumed-role/Role/Session` without the session.
fn without_session(arn: Cow<'_, str>) -> Cow<'_, str> {
    let end = match arn.rsplit_once('/') {
        Some((role, _)) if arn.contains(":assumed-role/") && role.contains('/') => role.len(),
        _ => return arn,
    };
    match arn {
        Cow::Borrowed(arn) => arn.get(..end).unwrap_or(arn).into(),
        Cow::Owned(mut arn) => {
            arn.truncate(end);
            arn.into()
        }
    }
}

/// 24 bits of an IPv4, 48 of an IPv6 address.
fn network(address: &str) -> Option<String> {
    Some(match address.parse().ok()? {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        std::net::IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    })
}
