//! A path into a JSON text, as Athena writes it (`$.a.b[0]['c']`), and what stands there. Nothing but that is kept in memory.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Element(usize),
}

/// The steps of a path; a name alone is a member. `None`: it is none that is known.
pub fn path(text: &str) -> Option<Vec<Step>> {
    let Some(mut rest) = text.strip_prefix('$') else { return Some(vec![Step::Member(text.to_owned())]) };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("['").or_else(|| rest.strip_prefix("[\"")) {
            let quote = rest.chars().nth(1)?;
            let (name, after) = quoted.split_once(quote)?;
            steps.push(Step::Member(name.to_owned()));
            rest = after.strip_prefix(']')?;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (number, after) = inner.split_once(']')?;
            steps.push(Step::Element(number.parse().ok()?));
            rest = after;
        } else {
            let name = rest.strip_prefix('.')?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, after) = name.split_at_checked(end)?;
            if name.is_empty() || name == "*" {
                return None;
            }
            steps.push(Step::Member(name.to_owned()));
            rest = after;
        }
    }
    Some(steps)
}

/// The JSON text at a path; of a member that is there twice the last.
pub fn find<'t>(text: &'t str, steps: &[Step]) -> Option<&'t str> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Seek(steps).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found.map(RawValue::get)
}

/// A string's content, a number's or a truth value's text.
pub fn scalar(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => {
            let text = serde_json::from_str::<String>(json).ok();
            // half a surrogate has no content: it stays as it is written
            Some(text.map_or(Cow::Borrowed(json), Cow::Owned))
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

struct Seek<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0.first() {
            None => serde::Deserialize::deserialize(deserializer).map(Some),
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key_seed(Name)? {
            match self.0.split_first() {
                Some((Step::Member(wanted), rest)) if *wanted == name => found = members.next_value_seed(Seek(rest))?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((step, rest)) = self.0.split_first() else { return Ok(None) };
        let wanted = match step {
            Step::Element(at) => *at,
            Step::Member(_) => usize::MAX,
        };
        for at in 0.. {
            if at == wanted {
                let Some(element) = elements.next_element_seed(Seek(rest))? else { break };
                found = element;
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A member's name, also where it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_athena_writes() {
        let member = |name: &str| Step::Member(name.into());
        for (text, steps) in [
            ("$", Some(vec![])),
            ("name", Some(vec![member("name")])),
            ("$.a.b[0]", Some(vec![member("a"), member("b"), Step::Element(0)])),
            ("$['a.b'].c", Some(vec![member("a.b"), member("c")])),
            ("$[\"a'b\"]", Some(vec![member("a'b")])),
            ("$.a..b", None),
            ("$.", None),
            ("$a", None),
            ("$[0", None),
            ("$['a", None),
        ] {
            assert_eq!(path(text), steps, "{text}");
        }
    }

    #[test]
    fn what_stands_at_a_path_is_found_in_any_text() {
        let deep = format!("{{\"a\":{}1{},\"b\":[1,{{\"c\":\"x\\n\"}}]}}", "[".repeat(5_000), "]".repeat(5_000));
        for (text, at, json, content) in [
            (r#"{"a":{"b":"c"}}"#, "$.a.b", Some(r#""c""#), Some("c")),
            (r#"{"a":{"b":"c"}}"#, "$.a", Some(r#"{"b":"c"}"#), None),
            (r#"{"a":1,"a":2}"#, "a", Some("2"), Some("2")),
            (r#"{"\u0061":true}"#, "$.a", Some("true"), Some("true")),
            (r#"{"a":null}"#, "$.a", Some("null"), None),
            (r#"[1,[2,3]]"#, "$[1][0]", Some("2"), Some("2")),
            (r#"{"a":"\ud800"}"#, "$.a", Some(r#""\ud800""#), Some(r#""\ud800""#)),
            (deep.as_str(), "$.b[1].c", Some("\"x\\n\""), Some("x\n")),
            (r#"{"a":1}"#, "$.a.b", None, None),
            ("5", "$.a", None, None),
            ("no json", "$.a", None, None),
            (r#"{"a":1"#, "$.a", None, None),
            ("", "$", None, None),
        ] {
            let found = find(text, &path(at).unwrap());
            assert_eq!(found, json, "{at}");
            assert_eq!(found.and_then(scalar).as_deref(), content, "{at}");
        }
    }
}
