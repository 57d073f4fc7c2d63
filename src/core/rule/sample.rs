//! An event as people are shown it: what tells who did what from where, and nothing that could be a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::{at, scalar};
use crate::core::printable;
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

impl Sample {
    pub fn of(record: &Tree<'_>) -> Self {
        let text = |path: &[&str]| at(record, path).map(|text| printable(&text, TEXT)).unwrap_or_default();
        let first =
            |paths: &[&[&str]]| paths.iter().map(|path| text(path)).find(|text| !text.is_empty()).unwrap_or_default();
        Self {
            id: first(&[&["eventID"], &["eventId"]]),
            time: first(&[&["eventTime"], &["timeWindow", "windowStart"]]),
            source: text(&["eventSource"]),
            name: text(&["eventName"]),
            account: first(&[&["recipientAccountId"], &["accountId"]]),
            region: text(&["awsRegion"]),
            principal: first(&[
                &["userIdentity", "arn"],
                &["userIdentity", "principalId"],
                &["userIdentity", "userName"],
                &["userIdentity", "invokedBy"],
                &["userIdentity", "type"],
            ]),
            role: text(&["userIdentity", "sessionContext", "sessionIssuer", "arn"]),
            source_identity: text(&["userIdentity", "sessionContext", "sourceIdentity"]),
            access_key: text(&["userIdentity", "accessKeyId"]),
            address: text(&["sourceIPAddress"]),
            agent: text(&["userAgent"]),
            error: first(&[&["errorCode"], &["errorMessage"]]),
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
