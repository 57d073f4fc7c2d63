//! Statements to paste: written anew, or made of one that is there.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::document::{Principal, Statement, members, principal};

/// A statement whose elements stand in the order in which people write them.
#[derive(Debug, Clone)]
pub struct Draft(Vec<(String, Value)>);

const ORDER: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

impl Draft {
    pub fn new(effect: &str, principal: Value, action: Value, resource: Value, condition: Value) -> Self {
        let elements = [
            ("Effect", json!(effect)),
            ("Principal", principal),
            ("Action", action),
            ("Resource", resource),
            ("Condition", condition),
        ];
        Self(elements.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    pub fn of(statement: &Statement) -> Self {
        Self(members(&statement.text))
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: Value) -> Self {
        self.0.retain(|(held, _)| held != name && *held != format!("Not{name}"));
        self.0.push((name.into(), value));
        self
    }

    #[must_use]
    pub fn sid(self, sid: Option<&str>) -> Self {
        match sid {
            Some(sid) => self.set("Sid", json!(sid)),
            None => self,
        }
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(held, _)| held != name);
        self
    }

    /// Adds to the conditions; a condition of the same operator and key is replaced.
    #[must_use]
    pub fn on(mut self, operator: &str, key: &str, value: Value) -> Self {
        if !self.0.iter().any(|(name, _)| name == "Condition") {
            self.0.push(("Condition".into(), Value::Object(Map::new())));
        }
        for (_, held) in self.0.iter_mut().filter(|(name, _)| name == "Condition") {
            if let Some(operators) = held.as_object_mut() {
                let keys = operators.entry(operator).or_insert_with(|| Value::Object(Map::new()));
                if let Some(keys) = keys.as_object_mut() {
                    keys.insert(key.into(), value.clone());
                }
            }
        }
        self
    }

    /// The same for the principals that are kept; `None` if nobody is left.
    pub fn only(self, keep: impl Fn(&Principal) -> bool) -> Option<Self> {
        let held = self.0.iter().find(|(name, _)| name == "Principal").map(|(_, value)| value.clone())?;
        let Value::Object(families) = held else {
            return keep(&Principal::Everyone).then_some(self);
        };
        let mut kept = Map::new();
        for (family, value) in families {
            let texts = match value {
                Value::Array(all) => all,
                one => vec![one],
            };
            let stays =
                |text: &Value| text.as_str().and_then(|text| principal(&family, text)).is_none_or(|who| keep(&who));
            let texts: Vec<Value> = texts.into_iter().filter(stays).collect();
            if !texts.is_empty() {
                kept.insert(family, one_or_many(texts));
            }
        }
        (!kept.is_empty()).then(|| self.set("Principal", Value::Object(kept)))
    }

    pub fn text(mut self) -> String {
        self.0.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
        self.0.retain(|(_, value)| *value != json!({}));
        serde_json::to_string_pretty(&self).unwrap_or_default()
    }
}

impl Serialize for Draft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

pub fn one_or_many<T: Into<Value>>(values: Vec<T>) -> Value {
    let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
    if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) }
}

/// A policy of these statements.
pub fn policy(statements: &[String]) -> String {
    let indented: Vec<String> = statements.iter().map(|text| text.replace('\n', "\n    ")).collect();
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {}\n  ]\n}}\n", indented.join(",\n    "))
}
