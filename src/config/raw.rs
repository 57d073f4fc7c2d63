//! The file as written: every key, nothing understood yet. A key that is not here is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use toml::Spanned;

/// A value and where it stands.
pub type At<T> = Spanned<T>;
pub type Text = Option<At<String>>;
pub type Texts = Option<Vec<At<String>>>;
pub type Number = Option<At<i64>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub warden: Warden,
    pub shard: Option<At<Shard>>,
    pub organization: Organization,
    pub trail: Vec<At<Trail>>,
    pub verify: Verify,
    pub retention: Retention,
    pub posture: Option<Posture>,
    pub detect: Detect,
    pub insights: Option<Insights>,
    pub archive: Archive,
    pub channel: BTreeMap<String, At<Channel>>,
    pub route: Vec<At<Route>>,
    pub alert: Alert,
    pub state: State,
    pub lease: Lease,
    pub otlp: Otlp,
    pub http: Http,
    pub limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warden {
    pub name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shard {
    pub index: Number,
    pub count: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Organization {
    pub id: Text,
    pub members: Text,
    pub refresh: Text,
    pub role: Text,
    pub external_id: Text,
    pub departed_grace: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trail {
    pub name: Text,
    pub bucket: Text,
    pub bucket_name: Text,
    pub region: Text,
    pub queue: Text,
    pub owner: Text,
    pub layout: Texts,
    pub keys: Text,
    pub role: Text,
    pub external_id: Text,
    pub audit_role: Text,
    pub audit_external_id: Text,
    pub validation: Text,
    pub writers: Texts,
    pub visibility: Text,
    pub queue_age: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    pub grace: Text,
    pub sweep: Text,
    pub scrub: Text,
    pub scrub_limit: Text,
    pub unlisted_after: Text,
    pub reconcile: Text,
    pub reconcile_window: Text,
    pub reconcile_history: Text,
    pub reconcile_requests: Number,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    pub keep: Text,
    pub mode: Text,
    pub transitions: Option<Vec<At<Transition>>>,
    pub transition_at_least: Text,
    pub expire: Text,
    pub noncurrent: Text,
    pub incomplete_uploads: Text,
    pub audit: Text,
    pub enforce: Text,
    pub requests: Number,
    pub role: Text,
    pub external_id: Text,
    #[serde(rename = "override")]
    pub more: Vec<At<Override>>,
    pub prices: Prices,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transition {
    pub after: Text,
    pub class: Text,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    pub ou: Text,
    pub account: Text,
    pub kind: Text,
    pub keep: Text,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    pub source: Text,
    pub month: BTreeMap<String, At<f64>>,
    #[serde(rename = "move")]
    pub moves: BTreeMap<String, At<f64>>,
    pub put: Option<At<f64>>,
    pub get: Option<At<f64>>,
    pub watch: Option<At<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Posture {
    pub every: Text,
    pub role: Text,
    pub external_id: Text,
    pub trails: Texts,
    pub readers: Texts,
    pub writers: Texts,
    pub administrators: Texts,
    pub accept: Vec<At<Acceptance>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Acceptance {
    pub weakness: Text,
    pub reason: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Insights {
    pub call_rate: Option<bool>,
    pub error_rate: Option<bool>,
    pub least: Number,
    pub factor: Number,
    pub never_seen: Texts,
    pub learning: Text,
    pub memory: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    pub rules: Texts,
    pub packs: Texts,
    pub off: Texts,
}

macro_rules! channel {
    ($($key:ident: $type:ty),+ $(,)?) => {
        /// The keys of every kind of channel; which belong together is for the reader to say.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Channel {
            pub kind: Text,
            $(pub $key: Option<At<$type>>,)+
        }

        impl Channel {
            /// The keys that are written besides the kind, and where.
            pub fn written(&self) -> Vec<(&'static str, Range<usize>)> {
                let keys = [$((stringify!($key), self.$key.as_ref().map(At::span))),+];
                keys.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
            }
        }
    };
}

channel! {
    format: String,
    url: Secret,
    secret: Secret,
    key: Secret,
    token: Secret,
    timeout: String,
    template: String,
    content_type: String,
    channel: String,
    topic: String,
    bus: String,
    function: String,
    account: String,
    region: String,
    role: String,
    external_id: String,
    server: String,
    tls: String,
    ca: String,
    from: String,
    to: Vec<At<String>>,
    user: String,
    password: Secret,
    facility: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    #[serde(rename = "match")]
    pub matches: Match,
    pub to: Texts,
    pub repeat: Text,
    pub resolved: Option<bool>,
    pub escalate_after: Text,
    pub escalate_to: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    pub class: Texts,
    pub kind: Texts,
    pub severity_at_least: Text,
    pub account: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alert {
    pub heartbeat: Text,
    pub runbook: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    pub path: Text,
    pub fold: Text,
    pub snapshot: Option<At<Snapshot>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshot {
    pub to: Text,
    pub every: Text,
    pub keep: Number,
    pub region: Text,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archive {
    pub location: Text,
    pub region: Text,
    pub kms_key: Text,
    pub flush: Text,
    pub buffer: Text,
    pub target: Text,
    pub keep: Text,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lease {
    pub location: Text,
    pub region: Text,
    pub ttl: Text,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    pub endpoint: Text,
    pub headers: BTreeMap<String, At<Secret>>,
    pub service: Text,
    pub sample: Option<At<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub messages: Number,
    pub bytes: Text,
    pub object: Text,
    pub inflated: Text,
    pub ratio: Number,
}

/// `{ credential = "name" }`, `{ file = "/path" }`, or the thing itself, which not every key takes.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Plain(String),
    Credential(String),
    File(String),
}

/// Says nothing: a plain one is a secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ credential = \"name\" } or { file = \"/path\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom(
                "an empty table names no secret: { credential = \"name\" } or { file = \"/path\" }",
            ));
        };
        let secret = match name.as_str() {
            "credential" => Secret::Credential(map.next_value()?),
            "file" => Secret::File(map.next_value()?),
            other => return Err(de::Error::unknown_field(other, &["credential", "file"])),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(de::Error::custom("a secret lies in one place: `credential` or `file`")),
        }
    }
}
