//! What is asked of records: the attributes of CloudTrail's LookupEvents and some more, of columns or of a record's text alike.
//!
//! A question is a list of clauses that must all hold; a clause is a list of terms of which one must. Values are compared as
//! LookupEvents does: whole, and case by case.

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::record::seconds;
use super::row::{
    ACCESS_KEY, ERROR_CODE, EVENT_ID, EVENT_NAME, EVENT_SOURCE, IDENTITY_TYPE, INVOKED_BY, ISSUER_ARN, ISSUER_ID,
    ISSUER_NAME, PRINCIPAL_ARN, PRINCIPAL_ID, READ_ONLY, RECIPIENT, REGION, REQUEST, RESOURCE_ARN, RESOURCE_TYPE,
    RESPONSE, Row, SOURCE_ADDRESS, SOURCE_IDENTITY, USER_NAME,
};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    EventId,
    Event,
    Source,
    /// Whatever CloudTrail calls a user name, an ARN or an id of who acted.
    User,
    /// A resource's ARN or the name in it, and any string in the request or the answer.
    Resource,
    ResourceType,
    AccessKey,
    /// The account that the record is of.
    Account,
    Region,
    SourceAddress,
    ErrorCode,
    ReadOnly,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// By its number in [`super::row`].
    Leaf(usize),
    /// A part of any of the resources, by its place in [`super::row::RESOURCE`].
    Resource(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is this.
    Is(String),
    /// What follows its first colon is this: the session's name in the principal id of a role.
    AfterColon(String),
    /// It is an ARN that ends in this name.
    Names(String),
    /// It is a JSON text in which this is a string, or the string itself.
    Holds(String),
}

impl Test {
    fn needle(&self) -> &str {
        let (Self::Is(text) | Self::AfterColon(text) | Self::Names(text) | Self::Holds(text)) = self;
        text
    }

    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            Self::AfterColon(wanted) => value.split_once(':').is_some_and(|(_, name)| name == wanted),
            Self::Names(wanted) => value
                .strip_suffix(wanted.as_str())
                .is_some_and(|before| before.starts_with("arn:") && before.ends_with(['/', ':'])),
            Self::Holds(wanted) => {
                (value.contains(wanted.as_str()) || value.contains('\\'))
                    && match serde_json::from_str(value) {
                        Ok(json) => value == wanted || holds(&json, wanted),
                        // what the parser refuses (half a surrogate, a number without end) is no way to hide
                        Err(_) => value == wanted || value.starts_with(['{', '[']),
                    }
            }
        }
    }
}

/// Whether a string in a JSON text is this one. The parser bounds the depth.
fn holds(json: &Value, wanted: &str) -> bool {
    match json {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
        Value::Object(members) => members.values().any(|member| holds(member, wanted)),
        _ => false,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub field: Field,
    pub test: Test,
}

/// Terms of which one must hold.
#[derive(Debug, Clone)]
pub struct Clause {
    pub terms: Vec<Term>,
    /// Texts of which a record that it holds of has one, unless it has escapes; `None` where there are too many.
    needles: Option<AhoCorasick>,
}

/// What a record must be.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub clauses: Vec<Clause>,
    /// Texts that must stand in the record as it is written, in whatever case.
    pub texts: Vec<AhoCorasick>,
    /// Seconds since the epoch: not before this, and before that.
    pub from: Option<i64>,
    pub to: Option<i64>,
}

impl Question {
    /// Asks for an attribute to have one of these values.
    pub fn ask(&mut self, attribute: Attribute, values: &[String]) {
        self.one_of(values.iter().flat_map(|value| terms(attribute, value)).collect());
    }

    /// Asks for a leaf to have one of these values.
    #[cfg(feature = "sql")]
    pub fn ask_leaf(&mut self, leaf: usize, values: &[String]) {
        let is = |value: &String| Term { field: Field::Leaf(leaf), test: Test::Is(value.clone()) };
        self.one_of(values.iter().map(is).collect());
    }

    fn one_of(&mut self, terms: Vec<Term>) {
        let needles = AhoCorasick::new(terms.iter().map(|term| term.test.needle())).ok();
        self.clauses.push(Clause { terms, needles });
    }

    /// Asks for a text; false if it is none that can be searched for.
    pub fn search(&mut self, text: &str) -> bool {
        let searcher = AhoCorasick::builder().ascii_case_insensitive(true).build([text]);
        let is_one = !text.is_empty() && searcher.is_ok();
        self.texts.extend(searcher.ok().filter(|_| is_one));
        is_one
    }

    /// Whether a time is asked for, in seconds since the epoch. What has none is only found where no time is asked for.
    pub fn covers(&self, when: Option<i64>) -> bool {
        match when {
            Some(when) => self.from.is_none_or(|from| when >= from) && self.to.is_none_or(|to| when < to),
            None => self.is_timeless(),
        }
    }

    pub fn is_timeless(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a record's text is worth cutting up; what this refuses does not match.
    pub fn may_match(&self, text: &str) -> bool {
        let needled = || {
            let stands = |needles: &AhoCorasick| needles.is_match(text);
            self.clauses.iter().all(|clause| clause.needles.as_ref().is_none_or(stands)) || text.contains('\\')
        };
        self.says(text) && needled()
    }

    /// Whether the texts that are searched for stand in a record.
    pub fn says(&self, text: &str) -> bool {
        self.texts.iter().all(|searcher| searcher.is_match(text))
    }

    /// Whether the clauses hold of a record's columns.
    pub fn matches(&self, row: &Row<'_>) -> bool {
        let holds = |term: &Term| match term.field {
            Field::Leaf(leaf) => row.leaf(leaf).is_some_and(|value| term.test.matches(value)),
            Field::Resource(part) => row
                .resources()
                .iter()
                .any(|resource| resource.get(part).copied().flatten().is_some_and(|value| term.test.matches(value))),
        };
        self.clauses.iter().all(|clause| clause.terms.iter().any(holds))
    }
}

/// When a record happened, in seconds since the epoch: its own time, or if that is none, when its log was delivered.
pub fn when(event_time: Option<&str>, delivered: Option<i64>) -> Option<i64> {
    event_time.and_then(seconds).or(delivered)
}

fn terms(attribute: Attribute, value: &str) -> Vec<Term> {
    let is = |leaf| Term { field: Field::Leaf(leaf), test: Test::Is(value.into()) };
    match attribute {
        Attribute::EventId => vec![is(EVENT_ID)],
        Attribute::Event => vec![is(EVENT_NAME)],
        Attribute::Source => vec![is(EVENT_SOURCE)],
        Attribute::AccessKey => vec![is(ACCESS_KEY)],
        Attribute::Account => vec![is(RECIPIENT)],
        Attribute::Region => vec![is(REGION)],
        Attribute::SourceAddress => vec![is(SOURCE_ADDRESS)],
        Attribute::ErrorCode => vec![is(ERROR_CODE)],
        Attribute::ReadOnly => vec![is(READ_ONLY)],
        Attribute::ResourceType => {
            vec![Term { field: Field::Resource(RESOURCE_TYPE), test: Test::Is(value.into()) }]
        }
        Attribute::Resource => {
            let of = |field, test| Term { field, test };
            vec![
                of(Field::Resource(RESOURCE_ARN), Test::Is(value.into())),
                of(Field::Resource(RESOURCE_ARN), Test::Names(value.into())),
                of(Field::Leaf(REQUEST), Test::Holds(value.into())),
                of(Field::Leaf(RESPONSE), Test::Holds(value.into())),
            ]
        }
        // filters are kept of ARNs: they are asked for alone
        Attribute::User if value.starts_with("arn:") => vec![is(PRINCIPAL_ARN), is(ISSUER_ARN)],
        Attribute::User => {
            let names = [USER_NAME, PRINCIPAL_ID, ISSUER_NAME, ISSUER_ID, SOURCE_IDENTITY, INVOKED_BY];
            let mut terms: Vec<Term> = names.into_iter().map(is).collect();
            terms.push(Term { field: Field::Leaf(PRINCIPAL_ID), test: Test::AfterColon(value.into()) });
            if value == "root" {
                terms.push(Term { field: Field::Leaf(IDENTITY_TYPE), test: Test::Is("Root".into()) });
            }
            terms
        }
    }
}

/// What LookupEvents calls the user name of a record.
pub fn username<'r>(row: &Row<'r>) -> Option<&'r str> {
    let session = || row.leaf(PRINCIPAL_ID)?.split_once(':').map(|(_, session)| session);
    let root = || row.leaf(IDENTITY_TYPE).filter(|kind| *kind == "Root").map(|_| "root");
    row.leaf(USER_NAME)
        .or_else(session)
        .or_else(root)
        .or_else(|| row.leaf(INVOKED_BY))
        .or_else(|| row.leaf(PRINCIPAL_ID))
}

/// Newest first; of one second by id and account, so that an answer is always the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    newest: std::cmp::Reverse<Option<i64>>,
    id: Option<String>,
    account: Option<String>,
}

impl Rank {
    pub fn new(when: Option<i64>, id: Option<&str>, account: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self { newest: std::cmp::Reverse(when), id: owned(id), account: owned(account) }
    }

    pub fn when(&self) -> Option<i64> {
        self.newest.0
    }
}

#[cfg(test)]
mod tests;
