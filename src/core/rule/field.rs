//! A field of a record, by its way from the outside in.

use std::borrow::Cow;
use std::fmt;

use crate::core::record::Parts;
use crate::core::tree::Tree;

/// What groups are made of and what is counted by its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Names, outermost first.
    Path(Vec<String>),
    /// Who called: the role of a session, else the identity's own ARN or name.
    Principal,
    /// Which of a matcher's detections took the record.
    Which,
}

/// Where a principal is found, the first that is there.
const PRINCIPAL: &[&[&str]] = &[
    &["userIdentity", "sessionContext", "sessionIssuer", "arn"],
    &["userIdentity", "arn"],
    &["userIdentity", "principalId"],
    &["userIdentity", "userName"],
    &["userIdentity", "invokedBy"],
    &["userIdentity", "accountId"],
];

impl Field {
    /// `userIdentity.arn`, or `principal`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "principal" {
            return Ok(Self::Principal);
        }
        let path: Vec<String> = text.strip_prefix("$.").unwrap_or(text).split('.').map(str::to_owned).collect();
        let is_name =
            |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "[]*$".contains(c));
        if path.iter().all(is_name) {
            return Ok(Self::Path(path));
        }
        Err(format!("`{text}` is no field: names with dots between them, like \"userIdentity.arn\", or \"principal\""))
    }

    /// What it reads of a record.
    pub fn parts(&self) -> Parts {
        match self {
            Self::Path(path) => Parts::at(path),
            Self::Principal => PRINCIPAL.iter().map(|path| Parts::at(path)).collect(),
            Self::Which => Parts::default(),
        }
    }

    /// Its value in a record, if it is a text, a number or a truth.
    pub fn of<'t>(&self, record: &'t Tree<'_>) -> Option<Cow<'t, str>> {
        match self {
            Self::Path(path) => scalar(path.iter().try_fold(record, |tree, name| tree.get(name))?),
            Self::Principal => {
                let mut found = PRINCIPAL.iter().filter_map(|path| at(record, path));
                found.find(|value| !value.is_empty())
            }
            Self::Which => None,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(&path.join(".")),
            Self::Principal => f.write_str("principal"),
            Self::Which => f.write_str("the rules that it names"),
        }
    }
}

/// The scalar at a path.
pub(super) fn at<'t>(record: &'t Tree<'_>, path: &[&str]) -> Option<Cow<'t, str>> {
    scalar(path.iter().try_fold(record, |tree, name| tree.get(name))?)
}

pub(super) fn scalar<'t>(tree: &'t Tree<'_>) -> Option<Cow<'t, str>> {
    match tree {
        Tree::Text(text) => Some(Cow::Borrowed(text)),
        Tree::Number(text) => Some(Cow::Borrowed(text)),
        Tree::Bool(true) => Some(Cow::Borrowed("true")),
        Tree::Bool(false) => Some(Cow::Borrowed("false")),
        Tree::Null | Tree::Array(_) | Tree::Object(_) => None,
    }
}
