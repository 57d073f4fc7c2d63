//! An event as people are shown it: what tells who did what from where, and nothing that could be a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::{at, scalar};
use crate::core::printable;
use crate::core::record::Parts;
use crate::core::tree::Tree;

/// Bytes of a text that are shown.
const TEXT: usize = 200;
/// Resources and parameters that are shown.
const MOST: usize = 6;
/// Ends of the names of parameters that name things. Anything else may hold what is not for every channel.
const NAMING: &[&str] = &["Name", "Arn", "ARN", "Id", "ID"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// `eventID`.
    pub id: String,
    /// `eventTime`.
    pub time: String,
    /// `eventSource` and `eventName`.
    pub source: String,
    pub name: String,
    pub account: String,
    pub region: String,
    /// The identity's ARN or, without one, what it is called instead.
    pub principal: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Those parameters of the request that name something.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Key of the log that it stands in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
}

/// Where parts of a sample are found, the first that is there.
const ID: &[&[&str]] = &[&["eventID"], &["eventId"]];
const TIME: &[&[&str]] = &[&["eventTime"], &["timeWindow", "windowStart"]];
const ACCOUNT: &[&[&str]] = &[&["recipientAccountId"], &["accountId"]];
const PRINCIPAL: &[&[&str]] = &[
    &["userIdentity", "arn"],
    &["userIdentity", "principalId"],
    &["userIdentity", "userName"],
    &["userIdentity", "invokedBy"],
    &["userIdentity", "type"],
];
const ERROR: &[&[&str]] = &[&["errorCode"], &["errorMessage"]];
const OTHERS: &[&[&str]] = &[
    &["eventSource"],
    &["eventName"],
    &["awsRegion"],
    &["userIdentity", "sessionContext"],
    &["userIdentity", "accessKeyId"],
    &["sourceIPAddress"],
    &["userAgent"],
    &["resources"],
    &["requestParameters"],
];

impl Sample {
    /// What it reads of a record that is no summary; of one of those it has to be the whole.
    pub fn parts() -> Parts {
        let firsts = [ID, TIME, ACCOUNT].map(|paths| paths.iter().take(1));
        let all = [PRINCIPAL, ERROR, OTHERS].into_iter().flatten().chain(firsts.into_iter().flatten());
        all.map(|path| Parts::at(path)).collect()
    }

    pub fn of(record: &Tree<'_>) -> Self {
        let text = |path: &[&str]| at(record, path).map(|text| printable(&text, TEXT)).unwrap_or_default();
        let first = |paths: &[&[&str]]| {
            let mut found = paths.iter().filter_map(|path| at(record, path));
            found.find(|text| !text.is_empty()).map(|text| printable(&text, TEXT)).unwrap_or_default()
        };
        Self {
            id: first(ID),
            time: first(TIME),
            source: text(&["eventSource"]),
            name: text(&["eventName"]),
            account: first(ACCOUNT),
            region: text(&["awsRegion"]),
            principal: first(PRINCIPAL),
            role: text(&["userIdentity", "sessionContext", "sessionIssuer", "arn"]),
            source_identity: text(&["userIdentity", "sessionContext", "sourceIdentity"]),
            access_key: text(&["userIdentity", "accessKeyId"]),
            address: text(&["sourceIPAddress"]),
            agent: text(&["userAgent"]),
            error: first(ERROR),
            resources: resources(record),
            parameters: parameters(record),
            object: String::new(),
        }
    }
}

fn resources(record: &Tree<'_>) -> Vec<String> {
    let Some(Tree::Array(all)) = record.get("resources") else { return Vec::new() };
    let named = all.iter().filter_map(|one| at(one, &["ARN"]).or_else(|| at(one, &["ARNPrefix"])));
    named.take(MOST).map(|name| printable(&name, TEXT)).collect()
}

fn parameters(record: &Tree<'_>) -> BTreeMap<String, String> {
    let Some(all) = record.get("requestParameters").and_then(Tree::object) else { return BTreeMap::new() };
    all.iter()
        .filter(|(name, _)| NAMING.iter().any(|end| name.ends_with(end)) || *name == "name")
        .filter_map(|(name, value)| Some((printable(name, 60), printable(&scalar(value)?, TEXT))))
        .take(MOST)
        .collect()
}
