//! Calls that touch the chain of evidence: which they are, whether they are about ours, and what to say of them.
//!
//! Every record of every log passes by here, so the first look is at two words of it. What is looked at more closely is a handful
//! a day, is written by whoever made the call, and is believed as far as the log is.

mod calls;
mod ours;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::calls::{CALLS, Call, Thing, find};
pub use self::ours::{Name, Ours};
use crate::core::finding::{Finding, Kind, Severity};
use crate::core::id::{AccountId, Region, Sha256};
use crate::core::printable;
use crate::core::record::{Record, seconds};

/// CloudTrail writes no record of more than 256 KiB (User Guide: quotas).
const LARGEST: usize = 1 << 20;
/// Bytes of a text that are told.
const TEXT: usize = 300;
/// Groups of one file that are told one by one; of more only the call and what it is about.
const MOST: usize = 200;
/// Events of a group that are known one by one; of more only how many.
const MOST_EVENTS: usize = 1_000;
/// What S3 says of a question that it did not understand, or that is about nothing, before anything is changed: so the doctor
/// asks whether it may.
const SENSELESS: [&str; 7] = [
    "MalformedXML",
    "BadDigest",
    "InvalidDigest",
    "InvalidRequest",
    "InvalidArgument",
    "InvalidBucketState",
    "NoSuchKey",
];
/// What happened longer ago than this is history that has been taken in, and wakes nobody.
pub const HISTORY: i64 = 45 * 86_400;

/// A call on what is ours, as its record tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub call: &'static Call,
    /// What it is about, as the call names it.
    pub about: String,
    /// Whom the call is counted to: the role, and not one of its sessions.
    pub actor: String,
    /// Who called, in full.
    pub caller: String,
    pub address: String,
    /// Seconds since the epoch.
    pub at: i64,
    pub region: String,
    pub account: Option<AccountId>,
    pub event: String,
    /// What retention does, by the role that it does it with.
    pub own: bool,
    /// The code of the error that the call ended in: nothing was changed.
    pub error: Option<String>,
}

/// The id of an event, in as many bytes as tell it from all others. A call that two accounts see has one.
pub type EventId = [u8; 16];

/// Calls that make one finding: the same call on the same thing, by one actor, on one day, all of them done or all refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub subject: String,
    /// The newest of them.
    pub last: Change,
    pub events: Vec<EventId>,
    /// Events besides.
    pub more: u64,
}

/// All changes of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<String, Group>);

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.0.values()
    }

    /// Whether something was changed, and not long ago.
    pub fn any_done(&self, now: Timestamp) -> bool {
        self.groups().any(|group| group.last.error.is_none() && !group.last.is_history(now))
    }

    /// Takes a record in, if it is a call on what is ours.
    pub fn look(&mut self, record: &Record<'_>, raw: &str, ours: &Ours) {
        let words = record.event_source.as_deref().zip(record.event_name.as_deref());
        let Some(call) = words.and_then(|(source, name)| find(source, name)) else { return };
        if let Some((change, id)) = read(call, record, raw, ours).filter(|(change, _)| !change.is_probe()) {
            self.add(change, id);
        }
    }

    fn add(&mut self, change: Change, id: EventId) {
        let mut subject = change.subject(&change.actor);
        if self.0.len() >= MOST && !self.0.contains_key(&subject) {
            subject = change.subject("many");
        }
        let group = self.0.entry(subject.clone()).or_insert_with(|| Group {
            subject,
            last: change.clone(),
            events: Vec::new(),
            more: 0,
        });
        match group.events.len() < MOST_EVENTS {
            true => group.events.push(id),
            false => group.more += 1,
        }
        let own = group.last.own && change.own;
        if change.at > group.last.at {
            group.last = change;
        }
        group.last.own = own;
    }
}

impl Change {
    fn subject(&self, actor: &str) -> String {
        let day = self.at.div_euclid(86_400);
        let outcome = if self.error.is_some() { "refused" } else { "done" };
        format!("{} {} {outcome} {actor} {day}", self.call.name, self.about)
    }

    /// The warden's own question whether it may. What was done is none, nor what was denied.
    fn is_probe(&self) -> bool {
        self.own && self.error.as_deref().is_some_and(|error| SENSELESS.contains(&error))
    }

    /// A call that was refused changed nothing; what happened long ago wakes nobody, and neither does the warden's own doing.
    fn severity(&self, now: Timestamp) -> Severity {
        let usual = match (self.call.severity, &self.error) {
            (severity, None) => severity,
            (Severity::Critical | Severity::High, Some(_)) => Severity::Medium,
            (severity, Some(_)) => severity.min(Severity::Low),
        };
        if self.own || self.is_history(now) { usual.min(Severity::Low) } else { usual }
    }

    pub fn is_history(&self, now: Timestamp) -> bool {
        now.as_second().saturating_sub(self.at) > HISTORY
    }

    /// `count` is how many are news.
    pub fn finding(&self, subject: &str, bucket: &str, log: &str, count: u64, now: Timestamp) -> Finding {
        let Self { call, about, caller, address, region, .. } = self;
        let when = Timestamp::from_second(self.at).map_or_else(|_| self.at.to_string(), |at| at.to_string());
        let outcome = match &self.error {
            Some(error) => format!("was refused ({error}): it would have meant that {}", call.effect),
            None => format!("was done: {}", call.effect),
        };
        let account = self.account.map(|account| format!(", account {account}")).unwrap_or_default();
        let more = if count > 1 { format!("; {count} such calls, this is the last") } else { String::new() };
        let role = if self.own { " (the role that the warden keeps the retention with)" } else { "" };
        let detail = format!(
            "{} on {about} {outcome}. By {caller}{role} from {address} at {when} in {region}{account}, event {}{more}",
            call.name, self.event
        );
        let mut finding = Finding::of_object(Kind::EvidenceChainChanged, bucket, log, detail);
        finding.subject = subject.into();
        finding.account = self.account;
        finding.region = Region::parse(&self.region).ok();
        finding.trail = (call.thing == Thing::Trail).then(|| about.rsplit('/').next().unwrap_or(about).to_owned());
        finding.severity(self.severity(now))
    }
}

/// What is asked of a record once its call is one of the table. Whatever has another type than expected is passed over.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Told<'a> {
    #[serde(borrow, rename = "sourceIPAddress")]
    address: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow)]
    error_message: Option<&'a RawValue>,
    #[serde(borrow)]
    request_parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
    #[serde(borrow, rename = "sharedEventID")]
    shared: Option<&'a RawValue>,
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let found = serde_json::from_str::<Text<'_>>(raw?.get()).ok()?.0;
    (!found.is_empty()).then_some(found)
}

/// The members of an object, in no tree.
fn members(raw: Option<&RawValue>) -> BTreeMap<Cow<'_, str>, &RawValue> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn read(call: &'static Call, record: &Record<'_>, raw: &str, ours: &Ours) -> Option<(Change, EventId)> {
    if raw.len() > LARGEST {
        return None;
    }
    let told: Told<'_> = serde_json::from_str(raw).ok()?;
    let error = text(told.error_code).or_else(|| text(told.error_message)).map(|code| printable(&code, 80));
    let account = record.account().and_then(|account| AccountId::parse(account).ok());
    let region = record.aws_region.as_deref().unwrap_or("unknown");
    let named = names(call, &told, error.is_some());
    let place = ours::Place { region, account, refused: error.is_some() };
    let about = match call.thing {
        Thing::Organization => named.first().cloned().unwrap_or_else(|| "the organization".into()),
        _ => named.iter().find(|name| ours.has(call.thing, name, &place))?.clone(),
    };
    if !call.holds(&members(told.request_parameters)) {
        return None;
    }
    let event = record.id().unwrap_or("unknown");
    let shared = text(told.shared);
    // Without an id the record is its own.
    let known_by = shared.as_deref().or(record.id()).unwrap_or(raw);
    let mut id = EventId::default();
    id.copy_from_slice(&Sha256::of(known_by.as_bytes()).0[..16]);
    let (actor, caller) = who(record.user_identity);
    let own = call.is_keeping() && ours.keepers.contains(&actor);
    let change = Change {
        call,
        about: printable(&about, TEXT),
        actor,
        caller,
        own,
        address: text(told.address).map_or_else(|| "unknown".into(), |address| printable(&address, 80)),
        at: record.event_time.as_deref().and_then(seconds)?,
        region: printable(region, 40),
        account,
        event: printable(event, 80),
        error,
    };
    Some((change, id))
}

/// What the call names: by its parameters; for want of them by the record's resources, or by the words of its refusal.
fn names(call: &Call, told: &Told<'_>, refused: bool) -> Vec<String> {
    let parameters = members(told.request_parameters);
    let of = |name: &str| parameters.get(name).and_then(|raw| text(Some(*raw))).map(Cow::into_owned);
    let mut found: Vec<String> = call.parameters.iter().filter_map(|name| of(name)).collect();
    if call.thing == Thing::Rule
        && let Some(bus) = of("eventBusName").filter(|bus| bus != "default")
    {
        let bus = bus.rsplit('/').next().unwrap_or_default().to_owned();
        found.iter_mut().for_each(|rule| *rule = format!("{bus}/{rule}"));
    }
    let resources: Vec<BTreeMap<Cow<'_, str>, &RawValue>> =
        told.resources.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    found.extend(resources.iter().filter_map(|one| text(one.get("ARN").copied())).map(Cow::into_owned));
    if refused && found.is_empty() {
        let said = text(told.error_message).unwrap_or_default();
        let words = said.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '(' | ')'));
        found.extend(words.filter(|word| word.starts_with("arn:")).map(|word| word.trim_end_matches('.').to_owned()));
    }
    found
}

/// Whom a call is counted to, and who made it.
fn who(identity: Option<&RawValue>) -> (String, String) {
    let identity = members(identity);
    let of = |name: &str| identity.get(name).and_then(|raw| text(Some(*raw)));
    let context = members(identity.get("sessionContext").copied());
    let issuer = members(context.get("sessionIssuer").copied());
    let role = issuer.get("arn").and_then(|raw| text(Some(*raw)));
    let named = ["arn", "invokedBy", "principalId", "userName", "accountId"].iter().find_map(|name| of(name));
    let caller = printable(named.as_deref().unwrap_or("an unknown caller"), TEXT);
    let actor = role.map_or_else(|| caller.clone(), |role| printable(&role, TEXT));
    match of("invokedBy").filter(|by| **by != *caller) {
        Some(by) => (actor, format!("{caller} through {}", printable(&by, 80))),
        None => (actor, caller),
    }
}

#[cfg(test)]
mod tests;
