//! Parts of a record, for those who read only some of them.

use std::borrow::Cow;
use std::ops::BitOr;

use memchr::memmem;
use serde_json::value::RawValue;

use super::Record;
use crate::core::tree::{Object, Tree};

/// Members of a record, and some of its identity's; or all there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts(u32);

/// Members that a [`Record`] has as texts, and after them those that it has as written. Bits count from the lowest.
const TEXTS: [&str; 9] = [
    "eventVersion",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "recipientAccountId",
    "eventID",
    "eventType",
    "eventCategory",
];
const RAWS: [&str; 10] = [
    "errorCode",
    "errorMessage",
    "readOnly",
    "userAgent",
    "sourceIPAddress",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "resources",
    IDENTITY,
];
const IDENTITY: &str = "userIdentity";
const OF_IDENTITY: [&str; 8] =
    ["type", "arn", "principalId", "accountId", "userName", "invokedBy", "accessKeyId", "sessionContext"];
/// Where the identity's members begin.
const FIRST_OF_IDENTITY: usize = TEXTS.len() + RAWS.len();

/// A member that a [`Record`] has as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member(u8);

impl Member {
    pub fn named(name: &str) -> Option<Self> {
        (0..).zip(RAWS).find(|(_, own)| *own == name).map(|(at, _)| Self(at))
    }
}

impl Parts {
    pub const WHOLE: Self = Self(u32::MAX);
    /// Names of the record with dots in them count as ways into the members that are asked for.
    pub const DOTTED: Self = Self(1 << (FIRST_OF_IDENTITY + OF_IDENTITY.len()));

    /// What must be read to find what lies at a path, names from the outside in.
    pub fn at<S: AsRef<str>>(path: &[S]) -> Self {
        let place = |names: &[&str], name: &S| names.iter().position(|own| *own == name.as_ref());
        let Some((first, rest)) = path.split_first() else { return Self::WHOLE };
        let member = place(&TEXTS, first).or_else(|| Some(TEXTS.len() + place(&RAWS, first)?));
        let inner = rest.first().filter(|_| first.as_ref() == IDENTITY).and_then(|name| place(&OF_IDENTITY, name));
        match (member, inner) {
            (None, _) => Self::WHOLE,
            (Some(member), None) => Self::bit(member),
            (Some(_), Some(inner)) => Self::bit(FIRST_OF_IDENTITY + inner),
        }
    }

    fn bit(at: usize) -> Self {
        Self(1 << at)
    }

    fn has(self, at: usize) -> bool {
        self.0 & Self::bit(at).0 != 0
    }

    fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn of_identity(self) -> bool {
        self.0 >> FIRST_OF_IDENTITY != 0
    }

    /// Whether a member that is asked for may be spelled out in the record's own names, as `"userIdentity.type"`.
    fn may_be_spelled(self, raw: &str) -> bool {
        let has_dot = |name: &str| {
            let mut places = memmem::find_iter(raw.as_bytes(), name);
            places.any(|at| raw.as_bytes().get(at + name.len()) == Some(&b'.'))
        };
        let asked = |at: usize, name: &str| self.has(TEXTS.len() + at) || (name == IDENTITY && self.of_identity());
        self.covers(Self::DOTTED)
            && (memmem::find(raw.as_bytes(), b"\\u").is_some()
                || RAWS.into_iter().enumerate().any(|(at, name)| asked(at, name) && has_dot(name)))
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Parts> for Parts {
    fn from_iter<I: IntoIterator<Item = Parts>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), BitOr::bitor)
    }
}

impl Record<'_> {
    /// The record as a tree that has these parts at least. `raw` is the text that it was read from.
    pub fn tree<'r>(&'r self, raw: &'r str, parts: Parts) -> Option<Tree<'r>> {
        match self.some(raw, parts) {
            Some(tree) => Some(tree),
            None => Tree::of_known(raw),
        }
    }

    /// `None` where the record's own members do not tell.
    fn some(&self, raw: &str, parts: Parts) -> Option<Tree<'_>> {
        if parts == Parts::WHOLE || parts.may_be_spelled(raw) {
            return None;
        }
        let mut members = Vec::with_capacity(parts.0.count_ones() as usize);
        for (at, (name, text)) in TEXTS.into_iter().zip(self.texts()).enumerate() {
            if parts.has(at) {
                // nothing may be `null`, too
                members.push((Cow::Borrowed(name), Tree::Text(Cow::Borrowed(text.as_deref()?))));
            }
        }
        for (at, (name, raw)) in RAWS.into_iter().zip(self.raws()).enumerate() {
            let Some(raw) = raw else { continue };
            let value = match parts.has(TEXTS.len() + at) {
                true => Tree::of_known(raw.get())?,
                false if name == IDENTITY && parts.of_identity() => Tree::of_members(raw.get(), &|name| {
                    let at = OF_IDENTITY.iter().position(|own| *own == name);
                    at.is_some_and(|at| parts.has(FIRST_OF_IDENTITY + at))
                })?,
                false => continue,
            };
            members.push((Cow::Borrowed(name), value));
        }
        Some(Tree::Object(Object::distinct(members)))
    }

    fn texts(&self) -> [&Option<Cow<'_, str>>; TEXTS.len()] {
        [
            &self.event_version,
            &self.event_time,
            &self.event_source,
            &self.event_name,
            &self.aws_region,
            &self.recipient_account_id,
            &self.event_id,
            &self.event_type,
            &self.event_category,
        ]
    }

    fn raws(&self) -> [Option<&RawValue>; RAWS.len()] {
        let mut at = 0..;
        RAWS.map(|_| self.written(Member(at.next()?)))
    }

    /// A member as it is written, `null` included.
    pub fn written(&self, member: Member) -> Option<&RawValue> {
        match member.0 {
            0 => self.error_code,
            1 => self.error_message,
            2 => self.read_only,
            3 => self.user_agent,
            4 => self.source_address,
            5 => self.request_parameters,
            6 => self.response_elements,
            7 => self.additional_event_data,
            8 => self.resources,
            _ => self.user_identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// Any record: each member there or not, of any type.
    fn records() -> impl Strategy<Value = Value> {
        let identity = prop::sample::subsequence(OF_IDENTITY.to_vec(), 0..=OF_IDENTITY.len()).prop_map(|names| {
            let members = names.into_iter().map(|name| (name.to_owned(), json!({name: ["x", {"more": 1}]})));
            Value::Object(members.chain([("other".to_owned(), json!("y"))]).collect())
        });
        let raw = prop_oneof![Just(json!(null)), Just(json!("text")), Just(json!([1, {"a": "b"}])), identity];
        let raws = prop::collection::vec(prop::option::of(raw), RAWS.len());
        let texts = prop::collection::vec(
            prop::option::of(prop_oneof![Just(json!(null)), Just(json!("\u{e9}\n"))]),
            TEXTS.len(),
        );
        (texts, raws).prop_map(|(texts, raws)| {
            let named = TEXTS.into_iter().zip(texts).chain(RAWS.into_iter().zip(raws));
            let members = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(members.chain([("requestID".to_owned(), json!("r"))]).collect::<Map<_, _>>())
        })
    }

    fn find<'t>(tree: &'t Tree<'_>, path: &[&str]) -> Option<&'t Tree<'t>> {
        path.iter().try_fold(tree, |tree, name| tree.get(name))
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_as_in_the_whole(record in records(), picked in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
            let text = record.to_string();
            let typed: Record<'_> = serde_json::from_str(&text).unwrap();
            let of_identity = OF_IDENTITY.iter().map(|name| vec![IDENTITY, name]);
            let paths: Vec<Vec<&str>> = TEXTS.iter().chain(&RAWS).map(|name| vec![*name]).chain(of_identity).collect();
            let asked: Vec<&Vec<&str>> = picked.iter().map(|at| at.get(&paths)).collect();
            let parts: Parts = asked.iter().map(|path| Parts::at(path)).collect();
            let (tree, whole) = (typed.tree(&text, parts).unwrap(), Tree::parse(&text).unwrap());
            for path in asked {
                prop_assert!(parts.covers(Parts::at(path)));
                prop_assert_eq!(find(&tree, path), find(&whole, path), "{:?}", path);
            }
        }
    }

    #[test]
    fn no_more_is_read_than_asked_for() {
        let text =
            r#"{"eventName":"A","eventSource":"s","userIdentity":{"type":"Root","arn":"x"},"requestParameters":{}}"#;
        let record: Record<'_> = serde_json::from_str(text).unwrap();
        let parts = Parts::at(&["eventName"]) | Parts::at(&["userIdentity", "type"]);
        let wanted = Tree::parse(r#"{"eventName":"A","userIdentity":{"type":"Root"}}"#);
        assert_eq!(record.tree(text, parts), wanted);
        let no_path: [&str; 0] = [];
        for other in [Parts::at(&["requestID"]), Parts::at(&no_path)] {
            assert_eq!(other, Parts::WHOLE);
            assert_eq!(record.tree(text, parts | other), Tree::parse(text));
        }
        let spelled = r#"{"eventName":"A","userIdentity.type":"Root"}"#;
        let record: Record<'_> = serde_json::from_str(spelled).unwrap();
        let parts = Parts::at(&["eventName"]) | Parts::at(&["userIdentity"]);
        assert_eq!(record.tree(spelled, parts), Tree::parse(r#"{"eventName":"A"}"#));
        assert_eq!(record.tree(spelled, parts | Parts::DOTTED), Tree::parse(spelled));
        // who reads the whole identity has it
        let record: Record<'_> = serde_json::from_str(text).unwrap();
        let parts = Parts::at(&["userIdentity", "type"]);
        assert!(!parts.covers(Parts::at(&["userIdentity", "credential"])));
        let parts = parts | Parts::at(&["userIdentity", "credential"]);
        assert_eq!(record.tree(text, parts).unwrap().get(IDENTITY), Tree::parse(text).unwrap().get(IDENTITY));
    }
}
