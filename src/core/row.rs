//! A record as a row of the archive, and back: the values that have columns, and the text around them.
//!
//! The text of a record is kept once. Values with a column are cut out of it, and what is left, its *shape*, says where they
//! were: records of one kind share a shape, so it costs nearly nothing. Shape and columns together are the record, byte for
//! byte; [`rebuild`] puts them together again. No JSON text holds the two bytes that mark a place, so nothing is ambiguous.

mod walk;

pub use self::walk::{cut, value_end};

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

/// A value that has a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    place: Place,
    is: Is,
    /// Where its content begins and ends in the text; of what was made anew, its number.
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By number.
    Leaf(u8),
    /// Here a resource begins: its parts follow.
    Resource,
    /// By its place in [`RESOURCE`].
    Part(u8),
}

/// Where the content of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    InText,
    /// It is written otherwise in the text, or nowhere.
    Made,
    /// The last member of a name says `null`.
    Nothing,
}

/// What else is known of a record that was cut up.
#[derive(Debug, Clone, Default)]
pub struct Around {
    groups: u16,
    has_resources: bool,
    odd: Option<Box<Odd>>,
}

impl Around {
    /// Whether text and cuts say everything.
    pub fn is_plain(&self) -> bool {
        self.odd.is_none()
    }
}

/// What few records have.
#[derive(Debug, Clone, Default)]
struct Odd {
    /// Members that have no column, as a JSON object.
    rest: Option<String>,
    made: Vec<String>,
}

/// A record's text and what is cut out of it: what the archive keeps. Whoever has many of them keeps the parts together.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub text: &'a str,
    /// In the text's order.
    pub cuts: &'a [Cut],
    pub around: &'a Around,
}

/// The parts of a resource, as in [`RESOURCE`].
pub type Resource<'a> = [Option<&'a str>; RESOURCE.len()];

impl<'a> Row<'a> {
    /// A string's content; of anything else but `null` the JSON text.
    pub fn leaf(&self, number: usize) -> Option<&'a str> {
        self.values().find_map(|(place, value)| (place == leaf_place(number)).then_some(value))
    }

    /// All that is there, each once, in the text's order.
    pub fn values(self) -> impl Iterator<Item = (Place, &'a str)> {
        self.cuts.iter().map(move |cut| (cut.place, self.content(cut)))
    }

    fn content(&self, cut: &Cut) -> &'a str {
        let (start, end) = (cut.start as usize, cut.end as usize);
        let content = match cut.is {
            Is::InText => self.text.get(start..end),
            Is::Made => self.around.odd.as_ref().and_then(|odd| odd.made.get(start)).map(String::as_str),
            Is::Nothing => None,
        };
        content.unwrap_or_default()
    }

    /// Whether an object is there, by its number.
    pub fn has_group(&self, number: usize) -> bool {
        self.around.groups >> number & 1 == 1
    }

    /// Whether there is a list of resources; it may have none.
    pub fn has_resources(&self) -> bool {
        self.around.has_resources
    }

    pub fn resources(&self) -> Vec<Resource<'a>> {
        let mut resources = Vec::new();
        for (place, value) in self.values() {
            match (place, resources.last_mut()) {
                (Place::Resource, _) => resources.push(Resource::default()),
                (Place::Part(part), Some(resource)) => {
                    if let Some(slot) = resource.get_mut(usize::from(part)) {
                        *slot = Some(value);
                    }
                }
                _ => {}
            }
        }
        resources
    }

    /// Members that have no column, as a JSON object.
    pub fn rest(&self) -> Option<&'a str> {
        self.around.odd.as_ref()?.rest.as_deref()
    }

    /// Appends the text with a mark for each value that is cut out of it.
    pub fn shape(&self, into: &mut String) {
        let (mut at, mut resources) = (0, 0);
        for cut in self.cuts {
            let marked = match cut.place {
                Place::Leaf(number) => (LEAF_MARK, usize::from(number)),
                Place::Resource => {
                    resources += 1;
                    continue;
                }
                Place::Part(_) if resources > CUT_RESOURCES => continue,
                Place::Part(part) => (RESOURCE_MARK, (resources - 1) * RESOURCE.len() + usize::from(part)),
            };
            if cut.is == Is::InText {
                into.push_str(self.text.get(at..cut.start as usize).unwrap_or_default());
                into.push(marked.0);
                into.push(mark(marked.1));
                at = cut.end as usize;
            }
        }
        into.push_str(self.text.get(at..).unwrap_or_default());
    }

    /// Time, id and account: what an aggregated event says instead of them stands in their place.
    pub fn told(&self) -> [Option<&'a str>; 3] {
        let mut told = [None; 3];
        for (place, value) in self.values() {
            if let Some(at) = TOLD_BY.iter().position(|leaf| place == leaf_place(*leaf)) {
                told[at] = Some(value);
            }
        }
        told
    }
}

fn leaf_place(number: usize) -> Place {
    Place::Leaf(u8::try_from(number).unwrap_or(u8::MAX))
}

/// One record that was cut up.
pub struct Columns<'a> {
    text: &'a str,
    cuts: Vec<Cut>,
    around: Around,
}

impl Columns<'_> {
    pub fn row(&self) -> Row<'_> {
        Row { text: self.text, cuts: &self.cuts, around: &self.around }
    }
}

/// Cuts a record up; a text that is no JSON object has no columns.
pub fn columns(text: &str) -> Columns<'_> {
    let mut cuts = Vec::with_capacity(USUAL);
    let around = cut(text, &mut cuts).map(|(_, around)| around).unwrap_or_default();
    Columns { text, cuts, around }
}

/// Values that a record has, as a rule.
const USUAL: usize = 40;

const TOLD_BY: [usize; 3] = [EVENT_TIME, EVENT_ID, RECIPIENT];

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
