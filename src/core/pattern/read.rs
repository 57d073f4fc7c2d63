//! JSON with the place of every value: an author is told where a pattern is wrong.

use std::borrow::Cow;

use super::Fault;

/// Brackets in one another.
const DEEPEST: usize = 100;

#[derive(Debug)]
pub(super) struct Spot<'t> {
    /// The byte that it begins at.
    pub at: usize,
    pub value: Value<'t>,
    /// As it was written.
    pub text: &'t str,
}

/// Members of an object stand in the order of the text; a name may stand there twice.
#[derive(Debug)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Number,
    Text(Cow<'t, str>),
    Array(Vec<Spot<'t>>),
    Object(Vec<Member<'t>>),
}

#[derive(Debug)]
pub(super) struct Member<'t> {
    pub at: usize,
    pub name: Cow<'t, str>,
    pub value: Spot<'t>,
}

impl Value<'_> {
    /// What it is, to people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

pub(super) fn read(text: &str) -> Result<Spot<'_>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let spot = reader.value(0)?;
    match reader.peek() {
        None => Ok(spot),
        Some(_) => Err(reader.fault("the end of the pattern")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn fault(&mut self, expected: &str) -> Fault {
        let found = self.peek().map_or_else(|| "the end".to_owned(), |c| format!("\"{}\"", c.escape_debug()));
        Fault::new(self.text, self.at, String::new(), format!("expected {expected}, found {found}"))
    }

    fn value(&mut self, depth: usize) -> Result<Spot<'t>, Fault> {
        if depth > DEEPEST {
            let says = format!("nests deeper than {DEEPEST} levels");
            return Err(Fault::new(self.text, self.at, String::new(), says));
        }
        let first = self.peek();
        let at = self.at;
        let value = match first {
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::Array(self.array(depth)?),
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Spot { at, value, text: self.text.get(at..self.at).unwrap_or_default() })
    }

    fn word(&mut self) -> Result<Value<'t>, Fault> {
        let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault("a JSON value"))
    }

    fn number(&mut self) -> Result<Value<'t>, Fault> {
        let length =
            self.rest().bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let text = self.rest().get(..length.count()).unwrap_or_default();
        // what it is worth is not asked: a number may be too large for every float
        if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return Err(self.fault("a JSON number"));
        }
        self.at += text.len();
        Ok(Value::Number)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Spot<'t>>, Fault> {
        let mut values = Vec::new();
        self.take('[');
        if self.take(']') {
            return Ok(values);
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(values);
            }
            if !self.take(',') {
                return Err(self.fault("\",\" or \"]\""));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member<'t>>, Fault> {
        let mut members = Vec::new();
        self.take('{');
        if self.take('}') {
            return Ok(members);
        }
        loop {
            if self.peek() != Some('"') {
                return Err(self.fault("a name in quotation marks"));
            }
            let at = self.at;
            let name = self.string()?;
            if !self.take(':') {
                return Err(self.fault("\":\""));
            }
            members.push(Member { at, name, value: self.value(depth + 1)? });
            if self.take('}') {
                return Ok(members);
            }
            if !self.take(',') {
                return Err(self.fault("\",\" or \"}\""));
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Fault> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(quoted) = end.and_then(|end| rest.get(..end + 2)) else {
            return Err(Fault::new(
                self.text,
                self.at,
                String::new(),
                "expected the end of this text, found none".into(),
            ));
        };
        let text = if quoted.contains('\\') {
            serde_json::from_str(quoted).map(Cow::Owned)
        } else {
            serde_json::from_str(quoted).map(Cow::Borrowed)
        };
        let text = text.map_err(|_| {
            let says =
                "expected a JSON text: \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four digits are its escapes";
            Fault::new(self.text, self.at, String::new(), says.into())
        })?;
        self.at += quoted.len();
        Ok(text)
    }
}
