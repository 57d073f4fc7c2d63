//! JSON as a tree that borrows from its text. Numbers stay as written: to the pattern languages `1.0` is now a number, now a text.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::core::{depth, quoted};

/// Brackets in one another; the walk below needs the stack for each.
const DEEPEST: usize = 120;

/// Objects of more members look for duplicates by a table.
const FEW: usize = 24;

#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    Object(Object<'a>),
}

/// Members in the order of the text; of those with one name the last one only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Tree<'a>)>);

impl<'a> Object<'a> {
    pub fn get(&self, name: &str) -> Option<&Tree<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tree<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Of members of which no two have one name.
    pub fn distinct(members: Vec<(Cow<'a, str>, Tree<'a>)>) -> Self {
        Self(members)
    }

    fn of(mut members: Vec<(Cow<'a, str>, Tree<'a>)>) -> Self {
        let repeats = |members: &[(Cow<'a, str>, Tree<'a>)]| {
            members.iter().enumerate().any(|(at, (name, _))| members.iter().take(at).any(|(own, _)| own == name))
        };
        if members.len() > FEW || repeats(&members) {
            let last: HashMap<_, _> = members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            let mut at = 0;
            members.retain(|(name, _)| {
                at += 1;
                last.get(name) == Some(&(at - 1))
            });
        }
        Self(members)
    }
}

impl<'a> FromIterator<(&'a str, Tree<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, Tree<'a>)>>(members: I) -> Self {
        Self::of(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }
}

impl<'a> Tree<'a> {
    /// `None` for what is no JSON, or nests deeper than any record.
    pub fn parse(text: &'a str) -> Option<Self> {
        if depth::exceeds(text, DEEPEST) {
            return None;
        }
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        Walk { rest: raw.get() }.value()
    }

    /// As [`Self::parse`], of a text that has been read as JSON before and was found no deeper: a third of the work.
    pub fn of_known(text: &'a str) -> Option<Self> {
        Walk { rest: text }.value()
    }

    /// As [`Self::of_known`], of an object only the members that are asked for.
    pub fn of_members(text: &'a str, wanted: &dyn Fn(&str) -> bool) -> Option<Self> {
        let mut walk = Walk { rest: text };
        if walk.peek()? == b'{' { walk.members(wanted).map(Self::Object) } else { walk.value() }
    }

    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Tree<'a>> {
        self.object()?.get(name)
    }

    pub fn object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Goes over a text that is known to be JSON; where it is not after all, it ends.
struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    fn peek(&mut self) -> Option<u8> {
        let first = *self.rest.as_bytes().first()?;
        if first > b' ' {
            return Some(first);
        }
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.bytes().next()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.rest = self.rest.get(usize::from(found)..).unwrap_or_default();
        found
    }

    fn word(&mut self, length: usize) -> Option<&'a str> {
        let (word, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(word)
    }

    fn value(&mut self) -> Option<Tree<'a>> {
        Some(match self.peek()? {
            b'n' => self.word(4).map(|_| Tree::Null)?,
            b't' => self.word(4).map(|_| Tree::Bool(true))?,
            b'f' => self.word(5).map(|_| Tree::Bool(false))?,
            b'"' => Tree::Text(self.string()?),
            b'[' => Tree::Array(self.array()?),
            b'{' => Tree::Object(self.members(&|_| true)?),
            _ => {
                let end =
                    self.rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                let length = end.count();
                Tree::Number(self.word(length).filter(|word| !word.is_empty())?)
            }
        })
    }

    fn array(&mut self) -> Option<Vec<Tree<'a>>> {
        let mut values = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            return Some(values);
        }
        loop {
            values.push(self.value()?);
            if !self.take(b',') {
                return self.take(b']').then_some(values);
            }
        }
    }

    /// Goes past a value; what it says need not be known.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.quoted().map(drop),
            b'{' | b'[' => self.nested(),
            _ => {
                let length = self.rest.bytes().take_while(|byte| !b",:]} \t\n\r".contains(byte)).count();
                self.word(length).filter(|word| !word.is_empty()).map(drop)
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let end = quoted::nested(self.rest.as_bytes(), 0)?;
        self.word(end).map(drop)
    }

    fn members(&mut self, wanted: &dyn Fn(&str) -> bool) -> Option<Object<'a>> {
        let mut members = Vec::new();
        self.take(b'{');
        if self.take(b'}') {
            return Some(Object(members));
        }
        loop {
            self.peek();
            let name = self.string()?;
            if !self.take(b':') {
                return None;
            }
            if wanted(&name) {
                members.push((name, self.value()?));
            } else {
                self.skip()?;
            }
            if !self.take(b',') {
                return self.take(b'}').then(|| Object::of(members));
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let (quoted, escaped) = self.quoted()?;
        if escaped {
            return serde_json::from_str(quoted).ok().map(Cow::Owned);
        }
        quoted.get(1..quoted.len() - 1).map(Cow::Borrowed)
    }

    /// A text as written, and whether anything in it is escaped.
    fn quoted(&mut self) -> Option<(&'a str, bool)> {
        let (end, escaped) = quoted::end(self.rest.as_bytes(), 0)?;
        Some((self.word(end + 1)?, escaped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As `serde_json` reads the same.
    fn told(tree: &Tree<'_>) -> serde_json::Value {
        match tree {
            Tree::Null => serde_json::Value::Null,
            Tree::Bool(value) => (*value).into(),
            Tree::Number(text) => serde_json::from_str(text).unwrap(),
            Tree::Text(text) => text.as_ref().into(),
            Tree::Array(values) => values.iter().map(told).collect(),
            Tree::Object(object) => object.iter().map(|(name, value)| (name.to_owned(), told(value))).collect(),
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "\\PC{0,12}|[\"\\\\\\n\\t/{}\\[\\],:]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 60, 30, |inner| {
            let text = "[a-c\"\\\\é]{0,3}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Into::into),
                prop::collection::hash_map(text, inner, 0..30).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(Tree::of_known(&text), Tree::parse(&text));
            if let (Tree::Object(whole), Some(Tree::Object(some))) =
                (Tree::of_known(&text).unwrap(), Tree::of_members(&text, &|name| name.contains('a')))
            {
                let wanted: Vec<_> = whole.iter().filter(|(name, _)| name.contains('a')).collect();
                prop_assert_eq!(some.iter().collect::<Vec<_>>(), wanted);
            }
            prop_assert_eq!(told(&Tree::parse(&text).unwrap()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
        }

        #[test]
        fn what_is_no_json_is_none(text in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,20}") {
            prop_assert_eq!(Tree::parse(&text).is_some(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn numbers_stay_as_written_and_the_last_of_a_name_counts() {
        let tree = Tree::parse(r#"{"a":1.0, "b":1e+0,"a":"\u00e9","c":{"a":-0}}"#).unwrap();
        assert_eq!(tree.get("a").and_then(Tree::text), Some("é"));
        assert_eq!(tree.get("b"), Some(&Tree::Number("1e+0")));
        assert_eq!(tree.object().unwrap().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a", "c"]);
        let many: Vec<_> = (0..100).map(|n| format!("\"k{}\":{n}", n % 50)).collect();
        let text = format!("{{{}}}", many.join(","));
        let tree = Tree::parse(&text).unwrap();
        assert_eq!(tree.object().unwrap().iter().len(), 50);
        assert_eq!(tree.get("k7"), Some(&Tree::Number("57")));
        assert_eq!(Tree::parse(&"[".repeat(100_000)), None);
    }
}
