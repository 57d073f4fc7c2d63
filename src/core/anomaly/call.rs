//! What of a record is counted, and by whom it was.

use std::borrow::Cow;

use crate::core::record::seconds;
use crate::core::tree::Tree;

/// What CloudTrail says where there is no error code, agent or principal.
const NONE: &str = "null";

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

/// A management call. Rates count writing calls, and errors of all calls, as CloudTrail does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'r> {
    pub region: &'r str,
    pub source: &'r str,
    pub name: &'r str,
    /// `errorCode`.
    pub error: Option<&'r str>,
    pub is_write: bool,
    /// The ARN, of a role without its session; the service that called; or `"null"`.
    pub principal: &'r str,
    pub agent: &'r str,
    /// Since 1970.
    pub minute: u32,
    /// The network that the call came from: 24 bits of an IPv4, 48 of an IPv6 address.
    pub network: Option<String>,
    /// The role that was assumed and by whom, for calls that assume one.
    pub chain: Option<String>,
}

impl<'r> Call<'r> {
    /// `None` for what is no management call.
    pub fn of(record: &'r Tree<'_>) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Tree::text);
        let is = |name: &str, wanted: &str| text(name).is_none_or(|text| text == wanted);
        if !is("eventType", "AwsApiCall") || !is("eventCategory", "Management") {
            return None;
        }
        let name = text("eventName")?;
        let identity = record.get("userIdentity");
        let of_identity = |name: &str| identity.and_then(|identity| identity.get(name)).and_then(Tree::text);
        let principal = of_identity("arn").map(without_session);
        let principal = principal.or_else(|| of_identity("invokedBy")).unwrap_or(NONE);
        let assumed = record.get("requestParameters").and_then(|asked| asked.get("roleArn")).and_then(Tree::text);
        let assumes = name.starts_with("AssumeRole");
        Some(Self {
            region: text("awsRegion")?,
            source: text("eventSource")?,
            name,
            error: text("errorCode").filter(|code| !code.is_empty()),
            is_write: !matches!(record.get("readOnly"), Some(Tree::Bool(true))) && text("readOnly") != Some("true"),
            principal,
            agent: text("userAgent").unwrap_or(NONE),
            minute: u32::try_from(seconds(text("eventTime")?)? / 60).ok()?,
            network: text("sourceIPAddress").and_then(network),
            chain: assumed.filter(|_| assumes).map(|role| format!("{principal} → {role}")),
        })
    }

    /// What a series observes.
    pub fn attributes(&self) -> [&str; 3] {
        [self.principal, self.agent, self.error.unwrap_or(NONE)]
    }
}

/// `arn:aws:sts::111122223333:assumed-role/Role/Session` without the session.
fn without_session(arn: &str) -> &str {
    match arn.rsplit_once('/') {
        Some((role, _)) if arn.contains(":assumed-role/") && role.contains('/') => role,
        _ => arn,
    }
}

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

/// The names of a call that an account may never have seen.
pub(super) fn named<'c>(call: &'c Call<'_>) -> [(super::Aspect, Option<Cow<'c, str>>); 5] {
    use super::Aspect;
    [
        (Aspect::Api, Some(format!("{}:{}", call.source, call.name).into())),
        (Aspect::Region, Some(call.region.into())),
        (Aspect::Principal, Some(call.principal.into()).filter(|name: &Cow<'_, str>| name != NONE)),
        (Aspect::Network, call.network.as_deref().map(Cow::Borrowed)),
        (Aspect::Chain, call.chain.as_deref().map(Cow::Borrowed)),
    ]
}
