//! A text with places in it, filled with the fields of an alert: `{"summary": "{{title}} in {{finding.account}}"}`.

use serde_json::Value;

use crate::core::printable;

/// Places in one template.
const MOST: usize = 200;

/// A template that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    content_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Names of members, from the outermost inwards, and whether it stands inside a string of JSON.
    Field(Vec<String>, bool),
}

impl Template {
    /// Every place must name a field of `example`, and with JSON as its content type the text must be JSON when it is filled.
    pub fn parse(text: &str, content_type: &str, example: &Value) -> Result<Self, String> {
        let (mut parts, mut rest, mut quoted) = (Vec::new(), text, false);
        while let Some((before, after)) = rest.split_once("{{") {
            let at = text.len() - after.len() - 2;
            let (name, after) = after.split_once("}}").ok_or(format!("byte {at}: `{{{{` without `}}}}`"))?;
            let path: Vec<String> = name.trim().split('.').map(str::to_owned).collect();
            if look(example, &path).is_none() {
                let fields = names(example).join("`, `");
                let name = printable(name.trim(), 80);
                return Err(format!("byte {at}: an alert has no field `{name}`; it has `{fields}`"));
            }
            quoted ^= turns(before);
            parts.extend([Part::Text(before.to_owned()), Part::Field(path, quoted)]);
            rest = after;
        }
        if parts.len() > 2 * MOST {
            return Err(format!("more than {MOST} places"));
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self { parts, content_type: content_type.to_owned() };
        if template.is_json()
            && let Err(error) = serde_json::from_str::<Value>(&template.fill(example))
        {
            return Err(format!("when it is filled it is no JSON: {error}"));
        }
        Ok(template)
    }

    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    fn is_json(&self) -> bool {
        self.content_type.split(';').next().is_some_and(|kind| kind.trim().ends_with("json"))
    }

    /// In JSON a value is written as JSON, and inside a string as text that is escaped for it; elsewhere it is made fit to print.
    /// What an alert does not have is `null` in JSON, and nothing elsewhere.
    pub fn fill(&self, alert: &Value) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(path, quoted) => {
                    let value = look(alert, path).unwrap_or(&Value::Null);
                    match (self.is_json(), quoted) {
                        (true, false) => filled.push_str(&value.to_string()),
                        (true, true) => {
                            let string = Value::from(words(value)).to_string();
                            filled.push_str(string.get(1..string.len() - 1).unwrap_or_default());
                        }
                        (false, _) => filled.push_str(&printable(&words(value), usize::MAX)),
                    }
                }
            }
        }
        filled
    }
}

/// Whether a piece of JSON begins and ends on different sides of a string's quotes.
fn turns(piece: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in piece.bytes() {
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
    }
    quoted
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn look<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

/// The fields of an object, with those of objects in it.
fn names(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match names(value) {
            below if below.is_empty() => found.push(name.clone()),
            below => found.extend(below.iter().map(|below| format!("{name}.{below}"))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert() -> Value {
        json!({ "title": "a \"log\"\n", "finding": { "id": "0a", "count": 3, "account": null, "hours": [1, 2] } })
    }

    #[test]
    fn places_are_filled_and_what_strangers_chose_stays_inside_its_string() {
        let text = r#"{"text": "{{title}}: {{ finding.id }}", "n": {{finding.count}}, "of": {{finding.account}}, "h": {{finding.hours}}, "t": {{title}}, "q": "\"{{finding.hours}} {{finding.account}}"}"#;
        let template = Template::parse(text, "application/json", &alert()).unwrap();
        let filled: Value = serde_json::from_str(&template.fill(&alert())).unwrap();
        assert_eq!(
            filled,
            json!({ "text": "a \"log\"\n: 0a", "n": 3, "of": null, "h": [1, 2], "t": "a \"log\"\n", "q": "\"[1,2] " })
        );
        let plain = Template::parse("{{title}}|{{finding.account}}|{{finding.count}}", "text/plain", &alert()).unwrap();
        assert_eq!(plain.fill(&alert()), "a \"log\"\\u{a}||3");
    }

    #[test]
    fn what_cannot_be_filled_is_refused_with_its_place() {
        let refused = |text: &str, kind: &str| Template::parse(text, kind, &alert()).unwrap_err();
        let unknown = refused("12{{finding.name}}", "text/plain");
        assert!(unknown.starts_with("byte 2: ") && unknown.contains("`finding.count`"), "{unknown}");
        assert_eq!(refused("x{{title", "text/plain"), "byte 1: `{{` without `}}`");
        assert!(refused("{\"a\" {{title}}}", "application/json; charset=utf-8").contains("no JSON"));
        assert!(refused(&"{{title}}".repeat(201), "text/plain").contains("more than 200"));
    }
}
