//! A record as a row of the archive, and back: the values that have columns, and the text around them.
//!
//! The text of a record is kept once. Values with a column are cut out of it, and what is left, its *shape*, says where they
//! were: records of one kind share a shape, so it costs nearly nothing. Shape and columns together are the record, byte for
//! byte; [`rebuild`] puts them together again. No JSON text holds the two bytes that mark a place, so nothing is ambiguous.

mod walk;

use std::borrow::Cow;

use self::walk::Hole;
pub use self::walk::shred;
use crate::core::record::Record;

/// Marks the place of a leaf: the next byte is `0` and its number.
pub const LEAF_MARK: char = '\u{1}';
/// Marks the place of a part of a resource: the next byte is `0`, four times the resource's number, and the part's.
pub const RESOURCE_MARK: char = '\u{2}';
const ZERO: u8 = b'0';

/// Resources that are cut out of the text; further ones have their columns too, and stay in the shape.
pub const CUT_RESOURCES: usize = 4;

/// A member of a record, or of an object in it, that has a column. The column's name is the member's in lower case.
pub struct Field {
    pub json: &'static str,
    /// What [`hint`] says of that name.
    hint: u64,
    pub holds: Holds,
}

pub enum Holds {
    /// A leaf's number. Numbers stay what they are: old files are read by them.
    Leaf(usize),
    /// An object, by its number, and its members.
    Group(usize, &'static [Field]),
    /// The list of resources.
    Resources,
}

const fn field(json: &'static str, holds: Holds) -> Field {
    Field { json, hint: hint(json), holds }
}

const fn leaf(json: &'static str, number: usize) -> Field {
    field(json, Holds::Leaf(number))
}

const fn group(json: &'static str, number: usize, fields: &'static [Field]) -> Field {
    field(json, Holds::Group(number, fields))
}

/// A name's length and beginning, which hardly any two names of one object share: to compare it is cheaper.
const fn hint(name: &str) -> u64 {
    let bytes = match name.as_bytes().first_chunk::<8>() {
        Some(bytes) => *bytes,
        None => {
            let (mut bytes, mut at) = ([0; 8], 0);
            while at < name.len() {
                bytes[at] = name.as_bytes()[at];
                at += 1;
            }
            bytes
        }
    };
    u64::from_le_bytes(bytes) ^ (name.len() as u64) << 56
}

/// How many leaves there are, and how many objects that hold some.
pub const LEAVES: usize = 64;
pub const GROUPS: usize = 10;

/// The leaves that more than their column depends on, and those that people ask for.
pub const EVENT_TIME: usize = 1;
pub const EVENT_SOURCE: usize = 2;
pub const EVENT_NAME: usize = 3;
pub const REGION: usize = 4;
pub const SOURCE_ADDRESS: usize = 5;
pub const ERROR_CODE: usize = 7;
pub const REQUEST: usize = 9;
pub const RESPONSE: usize = 10;
pub const EVENT_ID: usize = 13;
pub const READ_ONLY: usize = 14;
pub const RECIPIENT: usize = 18;
pub const IDENTITY_TYPE: usize = 28;
pub const PRINCIPAL_ID: usize = 29;
pub const PRINCIPAL_ARN: usize = 30;
pub const ACCESS_KEY: usize = 32;
pub const USER_NAME: usize = 33;
pub const INVOKED_BY: usize = 34;
pub const ISSUER_ID: usize = 42;
pub const ISSUER_ARN: usize = 43;
pub const ISSUER_NAME: usize = 45;
pub const SOURCE_IDENTITY: usize = 48;

/// Top-level members as in the table that AWS documents for Athena (Athena User Guide: CloudTrail logs), and those that are
/// newer (CloudTrail User Guide: record contents).
pub const FIELDS: &[Field] = &[
    leaf("eventVersion", 0),
    group("userIdentity", 0, USER_IDENTITY),
    leaf("eventTime", EVENT_TIME),
    leaf("eventSource", 2),
    leaf("eventName", 3),
    leaf("awsRegion", 4),
    leaf("sourceIPAddress", 5),
    leaf("userAgent", 6),
    leaf("errorCode", 7),
    leaf("errorMessage", 8),
    leaf("requestParameters", 9),
    leaf("responseElements", 10),
    leaf("additionalEventData", 11),
    leaf("requestID", 12),
    leaf("eventID", EVENT_ID),
    leaf("readOnly", 14),
    field("resources", Holds::Resources),
    leaf("eventType", 15),
    leaf("apiVersion", 16),
    leaf("managementEvent", 17),
    leaf("recipientAccountId", RECIPIENT),
    leaf("serviceEventDetails", 19),
    leaf("sharedEventID", 20),
    leaf("vpcEndpointId", 21),
    leaf("vpcEndpointAccountId", 22),
    leaf("eventCategory", 23),
    group("addendum", 8, ADDENDUM),
    leaf("sessionCredentialFromConsole", 24),
    leaf("edgeDeviceDetails", 25),
    group("tlsDetails", 9, TLS_DETAILS),
    leaf("eventContext", 26),
    leaf("insightDetails", 27),
];

const USER_IDENTITY: &[Field] = &[
    leaf("type", 28),
    leaf("principalId", 29),
    leaf("arn", 30),
    leaf("accountId", 31),
    leaf("invokedBy", 34),
    leaf("accessKeyId", 32),
    leaf("userName", 33),
    group("sessionContext", 1, SESSION_CONTEXT),
    group("onBehalfOf", 2, &[leaf("userId", 37), leaf("identityStoreArn", 38)]),
    leaf("identityProvider", 35),
    leaf("credentialId", 36),
    group(
        "inScopeOf",
        3,
        &[leaf("sourceArn", 51), leaf("sourceAccount", 52), leaf("issuerType", 53), leaf("credentialsIssuedTo", 54)],
    ),
    group("invokedByDelegate", 4, &[leaf("accountId", 55)]),
];

const SESSION_CONTEXT: &[Field] = &[
    group("sessionIssuer", 5, SESSION_ISSUER),
    group("webIdFederationData", 6, &[leaf("federatedProvider", 46), leaf("attributes", 47)]),
    group("attributes", 7, &[leaf("creationDate", 40), leaf("mfaAuthenticated", 39)]),
    leaf("sourceIdentity", 48),
    leaf("ec2RoleDelivery", 49),
    leaf("assumedRoot", 50),
];

const SESSION_ISSUER: &[Field] =
    &[leaf("type", 41), leaf("principalId", 42), leaf("arn", 43), leaf("accountId", 44), leaf("userName", 45)];

const ADDENDUM: &[Field] =
    &[leaf("reason", 56), leaf("updatedFields", 57), leaf("originalRequestID", 58), leaf("originalEventID", 59)];

const TLS_DETAILS: &[Field] =
    &[leaf("tlsVersion", 60), leaf("cipherSuite", 61), leaf("clientProvidedHostHeader", 62), leaf("keyExchange", 63)];

/// The parts of a resource that have columns; ARN and type by their numbers.
pub const RESOURCE: [&str; 4] = ["ARN", "accountId", "type", "ARNPrefix"];
pub const RESOURCE_ARN: usize = 0;
pub const RESOURCE_TYPE: usize = 2;

pub type Resource<'a> = [Option<Cow<'a, str>>; RESOURCE.len()];

/// What the archive keeps of a record.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    text: &'a str,
    /// By number, in the record's order.
    leaves: Vec<(usize, Cow<'a, str>)>,
    /// Which objects are there.
    pub groups: [bool; GROUPS],
    pub resources: Option<Vec<Resource<'a>>>,
    /// Members that have no column, as a JSON object.
    pub rest: Option<String>,
    /// What is cut out of the text, in its order.
    holes: Vec<Hole>,
}

impl<'a> Row<'a> {
    /// A string's content; of anything else but `null` the JSON text.
    pub fn leaf(&self, number: usize) -> Option<&str> {
        self.leaves().find_map(|(own, value)| (own == number).then_some(value))
    }

    /// Those that are there, each once, with their numbers.
    pub fn leaves(&self) -> impl Iterator<Item = (usize, &str)> {
        self.leaves.iter().map(|(number, value)| (*number, value.as_ref()))
    }

    /// Appends the text with a mark for each value that is cut out of it.
    pub fn shape(&self, into: &mut String) {
        let mut at = 0;
        for hole in &self.holes {
            into.push_str(self.text.get(at..hole.start).unwrap_or_default());
            into.push(hole.mark);
            into.push(hole.number);
            at = hole.end;
        }
        into.push_str(self.text.get(at..).unwrap_or_default());
    }

    /// What stands for time, id and account of an aggregated event, which has none of those members; nothing of any other.
    fn stand_in(&mut self) {
        let rest = self.rest.as_deref().filter(|rest| rest.contains("timeWindow"));
        let Some(rest) = rest.filter(|_| self.leaf(EVENT_TIME).is_none()) else { return };
        let rest: serde_json::Value = serde_json::from_str(rest).unwrap_or_default();
        let text = |value: Option<&serde_json::Value>| value?.as_str().map(str::to_owned);
        let start = rest.get("timeWindow").and_then(|window| window.get("windowStart"));
        let values = [text(start), text(rest.get("eventId")), text(rest.get("accountId"))];
        for (leaf, value) in TOLD_BY.into_iter().zip(values) {
            if let (None, Some(value)) = (self.leaf(leaf), value) {
                self.leaves.push((leaf, value.into()));
            }
        }
    }

    fn take(&mut self, number: usize) -> Option<Cow<'a, str>> {
        let at = self.leaves.iter().position(|(own, _)| *own == number)?;
        Some(self.leaves.swap_remove(at).1)
    }
}

/// What the columns hold of a record: it is cut up, and what an aggregated event says instead of time, id and account stands
/// in their place.
pub fn columns(text: &str) -> Row<'_> {
    let mut row = shred(text);
    row.stand_in();
    row
}

/// Time, id and account of a record, as [`columns`] has them.
pub type Told<'a> = [Option<Cow<'a, str>>; 3];

const TOLD_BY: [usize; 3] = [EVENT_TIME, EVENT_ID, RECIPIENT];

pub fn told_by(text: &str) -> Told<'_> {
    let values = walk::members(text, ["eventTime", "eventID", "recipientAccountId"]);
    if values[0].is_some() {
        return values;
    }
    // an aggregated event, perhaps
    let mut row = columns(text);
    TOLD_BY.map(|leaf| row.take(leaf))
}

/// The same of a record that was read from the text.
pub fn told<'a>(record: &Record<'a>, text: &'a str) -> Told<'a> {
    if record.event_time.is_none() {
        return told_by(text);
    }
    [record.event_time.clone(), record.event_id.clone(), record.recipient_account_id.clone()]
}

/// The record of a shape and its columns: `leaf` by number, `resource` by number and part. `None` when they do not belong
/// together.
pub fn rebuild<'v>(
    shape: &str,
    leaf: impl Fn(usize) -> Option<&'v str>,
    resource: impl Fn(usize, usize) -> Option<&'v str>,
) -> Option<String> {
    let mut text = String::with_capacity(shape.len() * 2);
    let mut rest = shape;
    while let Some(at) = memchr::memchr2(LEAF_MARK as u8, RESOURCE_MARK as u8, rest.as_bytes()) {
        let (before, marked) = rest.split_at_checked(at)?;
        text.push_str(before);
        let (mark, number) = (*marked.as_bytes().first()?, *marked.as_bytes().get(1)?);
        let number = usize::from(number.checked_sub(ZERO)?);
        let value = if mark == LEAF_MARK as u8 {
            leaf(number)
        } else {
            resource(number / RESOURCE.len(), number % RESOURCE.len())
        };
        text.push_str(value?);
        rest = marked.get(2..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The text that marks a leaf's place, and a resource part's.
pub fn leaf_mark(number: usize) -> String {
    [LEAF_MARK, mark(number)].iter().collect()
}

pub fn resource_mark(resource: usize, part: usize) -> String {
    [RESOURCE_MARK, mark(resource * RESOURCE.len() + part)].iter().collect()
}

/// The character that stands for a number in a mark.
fn mark(number: usize) -> char {
    u8::try_from(number).unwrap_or(0).saturating_add(ZERO).into()
}

#[cfg(test)]
mod tests;
