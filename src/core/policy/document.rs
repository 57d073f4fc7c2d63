//! A policy as it was written. What cannot be read is a doubt; nothing is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::condition::{Condition, Operator};
use crate::core::id::AccountId;
use crate::core::printable;

/// S3 takes policies up to 20 KB, KMS up to 32.
pub const LARGEST: usize = 64 << 10;
const MOST_STATEMENTS: usize = 1_000;
/// No key and no name of AWS's is longer.
const LONGEST_VALUE: usize = 2_048;

/// The default is no policy at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub statements: Vec<Statement>,
    /// What could not be read of the document itself.
    pub doubts: Vec<String>,
    /// Before the list of statements, and after it.
    around: (String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it stands, from 0.
    pub index: usize,
    pub sid: Option<String>,
    pub effect: Option<Effect>,
    pub principals: Principals,
    pub actions: Globs,
    pub resources: Globs,
    pub conditions: Vec<Condition>,
    /// As it was written.
    pub text: String,
    /// What could not be read: with any, what is readable proves nothing.
    pub doubts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    Only(Vec<Principal>),
    /// `NotPrincipal`
    AllBut(Vec<Principal>),
}

/// Whom a statement names, and who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// `*`; as who asks: somebody of whom nothing is known.
    Everyone,
    /// Without credentials; never named by a statement.
    Anonymous,
    /// An account as a whole; as who asks: somebody of it.
    Account(AccountId),
    /// A user, a role, a session.
    Arn(String),
    Service(String),
    Federated(String),
    Canonical(String),
    /// AWS shows the unique id of one that was deleted. It stands for nobody.
    Deleted(String),
}

/// `Action` or `Resource`; with `except`, `NotAction` or `NotResource`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs {
    pub patterns: Vec<String>,
    pub except: bool,
    /// Whether `${…}` is a policy variable.
    pub variables: bool,
}

impl Principal {
    /// As the `AWS` element has it: an account, its root, an ARN, `*`.
    fn aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        if let Ok(account) = AccountId::parse(text) {
            return Some(Self::Account(account));
        }
        if text.starts_with("arn:") {
            // AWS takes no pattern for a part of a principal.
            let parts: Vec<&str> = text.splitn(6, ':').collect();
            let readable = parts.len() == 6 && !text.contains(['*', '?', '$']);
            return readable.then(|| match AccountId::parse(parts[4]) {
                Ok(account) if parts[5] == "root" => Self::Account(account),
                _ => Self::Arn(text.into()),
            });
        }
        let is_id = (16..=128).contains(&text.len())
            && text.starts_with('A')
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        is_id.then(|| Self::Deleted(text.into()))
    }

    /// As an operator names one: also a service (`logging.s3.amazonaws.com`).
    pub fn parse(text: &str) -> Option<Self> {
        let service = || text.contains(".amazonaws.com") && !text.contains(['*', '?', ':', '$']);
        Self::aws(text).or_else(|| service().then(|| Self::Service(text.into())))
    }

    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account(account) => Some(*account),
            Self::Arn(arn) => account_of(arn),
            _ => None,
        }
    }
}

/// The account in an ARN.
pub fn account_of(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(4)?).ok()
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everybody"),
            Self::Anonymous => f.write_str("anybody without credentials"),
            Self::Account(account) => write!(f, "account {account}"),
            Self::Arn(text) => f.write_str(&printable(text, 200)),
            Self::Service(text) => write!(f, "the service {}", printable(text, 100)),
            Self::Federated(text) => write!(f, "the identity provider {}", printable(text, 200)),
            Self::Canonical(text) => write!(f, "canonical user {}", printable(text, 64)),
            Self::Deleted(text) => write!(f, "the deleted principal {}", printable(text, 64)),
        }
    }
}

impl Statement {
    /// Its Sid, or its number counted from 1.
    pub fn name(&self) -> String {
        match &self.sid {
            Some(sid) if !sid.is_empty() => format!("`{}`", printable(sid, 80)),
            _ => format!("number {}", self.index + 1),
        }
    }

    pub fn is(&self, effect: Effect) -> bool {
        self.effect == Some(effect) && self.doubts.is_empty()
    }
}

impl Document {
    pub fn parse(text: &str) -> Self {
        let mut document = Self::default();
        if text.len() > LARGEST {
            document.doubts.push(format!("it has {} bytes, more than any service takes", text.len()));
            return document;
        }
        match serde_json::from_str::<Fields>(text) {
            Ok(fields) => document.read(text, &fields),
            Err(error) => document.doubts.push(format!("it is no JSON object: {}", printable(&error.to_string(), 120))),
        }
        document
    }

    fn read(&mut self, text: &str, fields: &Fields) {
        self.doubts.extend(fields.repeated().map(|name| format!("it has {name} twice")));
        let mut variables = false;
        for (name, raw) in &fields.0 {
            match name.as_str() {
                "Version" => match string(raw).as_deref() {
                    Some("2012-10-17") => variables = true,
                    Some("2008-10-17") => {}
                    _ => self.doubts.push("its Version is none that AWS knows".into()),
                },
                "Id" | "Statement" => {}
                other => self.doubts.push(format!("it has an element {}", shown(other))),
            }
        }
        let Some((_, raw)) = fields.0.iter().find(|(name, _)| name == "Statement") else {
            self.doubts.push("it has no Statement".into());
            return;
        };
        let list = match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(list) => list,
            Err(_) if raw.get().starts_with('{') => vec![*raw],
            Err(_) => {
                self.doubts.push("its Statement is no statement and no list of them".into());
                return;
            }
        };
        if list.len() > MOST_STATEMENTS {
            self.doubts.push(format!("it has {} statements; the first {MOST_STATEMENTS} were read", list.len()));
        }
        let statements = list.iter().take(MOST_STATEMENTS).enumerate();
        self.statements = statements.map(|(index, raw)| Statement::read(index, raw.get(), variables)).collect();
        // The slice is one of `text`.
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        self.around = (text[..start].into(), text[start + raw.get().len()..].into());
    }

    /// The same policy with one statement replaced by others, or with others after the last.
    pub fn with(&self, replaced: Option<usize>, statements: &[String]) -> String {
        let kept = self.statements.iter().filter(|statement| Some(statement.index) != replaced);
        let before = kept.clone().filter(|statement| replaced.is_none_or(|index| statement.index < index));
        let after = kept.filter(|statement| replaced.is_some_and(|index| statement.index > index));
        let all: Vec<&str> = before
            .map(|statement| statement.text.as_str())
            .chain(statements.iter().map(String::as_str))
            .chain(after.map(|statement| statement.text.as_str()))
            .collect();
        let (before, after) = &self.around;
        if before.is_empty() {
            return super::mend::policy(&all.into_iter().map(str::to_owned).collect::<Vec<_>>());
        }
        format!("{before}[\n{}\n]{after}", all.join(",\n"))
    }

    /// A Sid that no statement has.
    pub fn free_sid(&self, wanted: &str) -> String {
        let taken = |sid: &str| self.statements.iter().any(|statement| statement.sid.as_deref() == Some(sid));
        let numbered = (2..).map(|number| format!("{wanted}{number}"));
        std::iter::once(wanted.to_owned()).chain(numbered).find(|sid| !taken(sid)).unwrap_or_default()
    }
}

impl Statement {
    fn read(index: usize, text: &str, variables: bool) -> Self {
        let mut statement = Self {
            index,
            sid: None,
            effect: None,
            principals: Principals::Only(Vec::new()),
            actions: Globs::default(),
            resources: Globs::default(),
            conditions: Vec::new(),
            text: text.into(),
            doubts: Vec::new(),
        };
        match serde_json::from_str::<Fields>(text) {
            Ok(fields) => statement.take(&fields, variables),
            Err(_) => statement.doubts.push("it is no JSON object".into()),
        }
        statement
    }

    fn take(&mut self, fields: &Fields, variables: bool) {
        self.doubts.extend(fields.repeated().map(|name| format!("it has {name} twice")));
        for (name, raw) in &fields.0 {
            match name.as_str() {
                "Sid" => self.sid = string(raw),
                "Effect" => self.effect = effect(raw),
                "Principal" | "NotPrincipal" => self.take_principals(raw, name == "NotPrincipal"),
                "Action" | "NotAction" => {
                    self.actions =
                        Globs { patterns: self.patterns(name, raw), except: name == "NotAction", variables: false };
                    for pattern in &mut self.actions.patterns {
                        pattern.make_ascii_lowercase();
                    }
                }
                "Resource" | "NotResource" => {
                    self.resources =
                        Globs { patterns: self.patterns(name, raw), except: name == "NotResource", variables };
                }
                "Condition" => self.take_conditions(raw, variables),
                other => self.doubts.push(format!("it has an element {}", shown(other))),
            }
        }
        if self.effect.is_none() {
            self.doubts.push("its Effect is neither Allow nor Deny".into());
        }
        for element in ["Principal", "Action", "Resource"] {
            let named = |name: &str| fields.0.iter().any(|(field, _)| field == name);
            match (named(element), named(&format!("Not{element}"))) {
                (true, true) => self.doubts.push(format!("it has both {element} and Not{element}")),
                (false, false) => self.doubts.push(format!("it has no {element}")),
                _ => {}
            }
        }
    }

    fn patterns(&mut self, name: &str, raw: &RawValue) -> Vec<String> {
        let Some(patterns) = strings(raw).filter(|patterns| !patterns.is_empty()) else {
            self.doubts.push(format!("its {name} cannot be read"));
            return Vec::new();
        };
        for pattern in &patterns {
            let fits = match name {
                "Action" | "NotAction" => pattern == "*" || pattern.contains(':'),
                _ => pattern.starts_with("arn:") || pattern.starts_with('*'),
            };
            if !fits || pattern.len() > LONGEST_VALUE {
                self.doubts.push(format!("its {name} names {}", shown(pattern)));
            }
        }
        patterns
    }

    fn take_principals(&mut self, raw: &RawValue, not: bool) {
        let mut all = Vec::new();
        if string(raw).as_deref() == Some("*") {
            all.push(Principal::Everyone);
        } else if let Ok(fields) = serde_json::from_str::<Fields>(raw.get()) {
            self.doubts.extend(fields.repeated().map(|name| format!("its Principal has {name} twice")));
            for (family, raw) in &fields.0 {
                for text in strings(raw).unwrap_or_default() {
                    match principal(family, &text) {
                        Some(principal) => all.push(principal),
                        None => self.doubts.push(format!("its Principal names {} {}", shown(family), shown(&text))),
                    }
                }
                if strings(raw).is_none_or(|texts| texts.is_empty()) {
                    self.doubts.push(format!("its Principal's {} cannot be read", shown(family)));
                }
            }
        }
        if all.is_empty() && self.doubts.is_empty() {
            self.doubts.push("its Principal cannot be read".into());
        }
        self.principals = if not { Principals::AllBut(all) } else { Principals::Only(all) };
    }

    fn take_conditions(&mut self, raw: &RawValue, variables: bool) {
        let Ok(operators) = serde_json::from_str::<Fields>(raw.get()) else {
            self.doubts.push("its Condition cannot be read".into());
            return;
        };
        self.doubts.extend(operators.repeated().map(|name| format!("its Condition has {name} twice")));
        for (name, raw) in &operators.0 {
            let (Some(operator), Ok(keys)) = (Operator::parse(name), serde_json::from_str::<Fields>(raw.get())) else {
                self.doubts.push(format!("its Condition has an operator {}", shown(name)));
                continue;
            };
            self.doubts.extend(keys.repeated().map(|key| format!("its {} has {key} twice", shown(name))));
            for (key, raw) in &keys.0 {
                match strings(raw).filter(|values| values.iter().all(|value| value.len() <= LONGEST_VALUE)) {
                    Some(values) if !values.is_empty() => {
                        let (name, key) = (name.clone(), key.clone());
                        self.conditions.push(Condition { name, operator, key, values, variables });
                    }
                    _ => self.doubts.push(format!("the values of {} {} cannot be read", shown(name), shown(key))),
                }
            }
        }
    }
}

/// One that a statement names, under `AWS`, `Service`, `Federated` or `CanonicalUser`.
pub fn principal(family: &str, text: &str) -> Option<Principal> {
    let name = || Some(text.to_owned()).filter(|text| !text.contains(['*', '?', '$']));
    match family {
        "AWS" => Principal::aws(text),
        "Service" => name().map(Principal::Service),
        "Federated" => name().map(Principal::Federated),
        "CanonicalUser" => name().map(Principal::Canonical),
        _ => None,
    }
}

/// The elements of a statement as values.
pub fn members(text: &str) -> Vec<(String, Value)> {
    let fields = serde_json::from_str::<Fields>(text).map(|fields| fields.0).unwrap_or_default();
    fields.into_iter().filter_map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?))).collect()
}

/// The actions of a statement in their own case.
pub fn written_actions(text: &str) -> Vec<String> {
    let fields = serde_json::from_str::<Fields>(text).map(|fields| fields.0).unwrap_or_default();
    fields.into_iter().filter(|(name, _)| name == "Action").filter_map(|(_, raw)| strings(raw)).flatten().collect()
}

fn shown(text: &str) -> String {
    format!("`{}`", printable(text, 120))
}

fn effect(raw: &RawValue) -> Option<Effect> {
    match string(raw)?.as_str() {
        "Allow" => Some(Effect::Allow),
        "Deny" => Some(Effect::Deny),
        _ => None,
    }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// One value or a list of them; AWS takes `true` and `5` for `"true"` and `"5"`.
fn strings(raw: &RawValue) -> Option<Vec<String>> {
    let scalar = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match serde_json::from_str(raw.get()).ok()? {
        Value::Array(all) => all.into_iter().map(scalar).collect(),
        value => Some(vec![scalar(value)?]),
    }
}

/// An object's members in the order in which they stand, each as often as it stands.
struct Fields<'t>(Vec<(String, &'t RawValue)>);

impl Fields<'_> {
    fn repeated(&self) -> impl Iterator<Item = String> {
        // Names of AWS's own have no case where readers may differ on it, so neither has this.
        let mut names: Vec<String> = self.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        let mut twice: Vec<String> =
            names.windows(2).filter(|two| two[0] == two[1]).map(|two| shown(&two[0])).collect();
        twice.dedup();
        twice.into_iter()
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(fields: &str) -> Statement {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{{{fields}}}}}"#);
        let mut document = Document::parse(&text);
        assert_eq!(document.doubts, Vec::<String>::new());
        document.statements.remove(0)
    }

    const REST: &str = r#""Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#;

    #[test]
    fn what_can_be_read_is_read() {
        let read = statement(
            r#""Sid":"x","Effect":"Deny","NotPrincipal":{"AWS":["111122223333","arn:aws:iam::444455556666:root",
            "arn:aws:iam::111122223333:role/a/b"],"Service":"s.amazonaws.com"},"NotAction":["S3:Get*"],
            "NotResource":"arn:aws:s3:::b","Condition":{"ForAnyValue:StringLikeIfExists":{"aws:PrincipalOrgPaths":["o-1/*",true,5]}}"#,
        );
        assert_eq!(read.doubts, Vec::<String>::new());
        let account = |id: &str| Principal::Account(AccountId::parse(id).unwrap());
        let role = Principal::Arn("arn:aws:iam::111122223333:role/a/b".into());
        let service = Principal::Service("s.amazonaws.com".into());
        let named = vec![account("111122223333"), account("444455556666"), role, service];
        assert_eq!(read.principals, Principals::AllBut(named));
        assert_eq!((read.actions.except, read.actions.patterns), (true, vec!["s3:get*".to_owned()]));
        assert!(read.resources.except && read.resources.variables);
        assert_eq!(read.conditions[0].values, ["o-1/*", "true", "5"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_doubt_of_its_statement() {
        let principal = r#""Principal":"*""#;
        for fields in [
            "".to_owned(),
            REST.to_owned(),
            format!(r#"{REST},"Principal":"111122223333""#),
            format!(r#"{REST},"Principal":{{}}"#),
            format!(r#"{REST},"Principal":{{"AWS":"arn:aws:iam::*:root"}}"#),
            format!(r#"{REST},"Principal":{{"Service":"*"}}"#),
            format!(r#"{REST},"Principal":{{"AWS":[]}}"#),
            format!(r#"{REST},"Principal":{{"aws":"*"}}"#),
            format!(r#"{REST},"Principal":{{"AWS":"*","AWS":"111122223333"}}"#),
            format!(r#"{REST},{principal},"effect":"Deny""#),
            format!(r#"{REST},{principal},"Effect":"Allow""#),
            format!(r#"{REST},{principal},"NotAction":"s3:*""#),
            format!(r#"{REST},{principal},"Condition":[]"#),
            format!(r#"{REST},{principal},"Condition":{{"StringSame":{{"a":"b"}}}}"#),
            format!(r#"{REST},{principal},"Condition":{{"StringLike":{{"a":{{}}}}}}"#),
            format!(r#"{REST},{principal},"Condition":{{"StringLike":{{"a":"b","A":"c"}}}}"#),
            format!(r#"{principal},"Effect":"allow","Action":"s3:GetObject","Resource":"*""#),
            format!(r#"{principal},"Effect":"Allow","Action":"GetObject","Resource":"*""#),
            format!(r#"{principal},"Effect":"Allow","Action":[["s3:*"]],"Resource":"*""#),
            format!(r#"{principal},"Effect":"Allow","Action":"s3:*","Resource":"bucket/*""#),
            format!(r#"{principal},"Effect":"Allow","Action":"s3:*","Resource":[]"#),
            format!(r#"{REST},"Principal":{}1{}"#, "[".repeat(3_000), "]".repeat(3_000)),
        ] {
            let read = statement(&fields);
            assert!(!read.doubts.is_empty(), "{fields}");
            assert!(!read.is(Effect::Allow) && !read.is(Effect::Deny));
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_has_doubts_and_is_no_error() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            r#"{"Version":"2012-10-17"}"#,
            r#"{"Version":"2012-10-17","Statement":5}"#,
            r#"{"Version":"2030-01-01","Statement":[]}"#,
            r#"{"Statement":[],"statement":[]}"#,
            &format!(r#"{{"Statement":[{}1]}}"#, "1,".repeat(1_100)),
            &" ".repeat(LARGEST + 1),
        ] {
            assert!(!Document::parse(text).doubts.is_empty(), "{text}");
        }
    }

    #[test]
    fn the_text_around_a_replaced_statement_stays() {
        let text = r#"{ "Id": "x", "Statement": [ {"Sid":"a"} , {"Sid":"b" } ], "Version": "2012-10-17" }"#;
        let document = Document::parse(text);
        let other = Document::parse(&document.with(Some(0), &[r#"{"Sid":"c"}"#.into(), r#"{"Sid":"d"}"#.into()]));
        let sids: Vec<_> = other.statements.iter().filter_map(|statement| statement.sid.clone()).collect();
        assert_eq!(sids, ["c", "d", "b"]);
        assert_eq!(other.statements[2].text, r#"{"Sid":"b" }"#);
        let added = document.with(None, &[r#"{"Sid":"c"}"#.into()]);
        assert!(
            added.starts_with(r#"{ "Id": "x", "Statement": ["#) && added.ends_with(r#"], "Version": "2012-10-17" }"#)
        );
        assert_eq!(Document::parse(&added).statements[2].sid.as_deref(), Some("c"));
        assert_eq!(document.free_sid("a"), "a2");
        assert_eq!(document.free_sid("z"), "z");
    }
}
