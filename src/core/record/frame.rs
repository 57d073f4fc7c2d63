//! What stands around the elements of a log file.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::Error;

use super::{BadLog, text};
use crate::core::key::{LogKey, LogKind};
use crate::core::{printable, row};

/// What forms a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"Records": […]}`
    Records,
    /// That, a bare array, or one object after the other.
    Any,
}

impl Form {
    pub fn of(key: &LogKey) -> Self {
        if key.kind == LogKind::Aggregated { Self::Any } else { Self::Records }
    }
}

/// Goes over the elements of a file. `element` gets the text from where one begins to the file's end, and says where it ends,
/// or why it is no JSON.
pub fn elements<'a>(
    text: &'a str,
    form: Form,
    element: impl FnMut(&'a str) -> Result<usize, Error>,
) -> Result<(), BadLog> {
    let mut walk = Walk { text, at: 0, element };
    match walk.peek() {
        Some(b'{') => {
            if !walk.object()? {
                if form == Form::Records {
                    return Err(BadLog::NoRecords);
                }
                walk.at = 0;
                while walk.peek().is_some() {
                    walk.element()?;
                }
            }
        }
        Some(b'[') if form == Form::Any => walk.array()?,
        _ => {
            walk.value::<IgnoredAny>()?;
            walk.end()?;
            return Err(BadLog::NoRecords);
        }
    }
    walk.end()
}

/// The value that a text begins with, and where it ends.
pub fn value<'a, T: Deserialize<'a>>(text: &'a str) -> Result<(T, usize), Error> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = stream.next().unwrap_or_else(|| Err(Error::custom("the text ends early")))?;
    Ok((value, stream.byte_offset()))
}

/// Where the value ends that a text begins with.
pub fn skip(text: &str) -> Result<usize, Error> {
    match row::value_end(text) {
        Some(end) => Ok(end),
        None => value::<IgnoredAny>(text).map(|(_, end)| end),
    }
}

/// A place in the text. Walking the frame by hand lets each record be read once and still tells where it ends.
struct Walk<'a, F> {
    text: &'a str,
    at: usize,
    element: F,
}

impl<'a, F: FnMut(&'a str) -> Result<usize, Error>> Walk<'a, F> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest().as_bytes();
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), BadLog> {
        if self.take(byte) { Ok(()) } else { Err(self.fault(format!("`{}` is missing", char::from(byte)))) }
    }

    fn end(&mut self) -> Result<(), BadLog> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("more follows the end")) }
    }

    fn fault(&self, what: impl fmt::Display) -> BadLog {
        BadLog::NotJson(printable(&format!("{what}, at byte {}", self.at), 200))
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, BadLog> {
        self.peek();
        let (value, end) = value(self.rest()).map_err(|error| self.fault(error))?;
        self.at += end;
        Ok(value)
    }

    fn element(&mut self) -> Result<(), BadLog> {
        self.peek();
        let rest = self.rest();
        let end = (self.element)(rest).map_err(|error| self.fault(error))?;
        self.at += end;
        Ok(())
    }

    /// Whether it had `Records`.
    fn object(&mut self) -> Result<bool, BadLog> {
        self.expect(b'{')?;
        let mut found = false;
        if self.take(b'}') {
            return Ok(found);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fault("a member without a name"));
            }
            let name = self.value::<Name<'a>>()?;
            self.expect(b':')?;
            if name.0.as_deref() != Some("Records") {
                self.value::<IgnoredAny>()?;
            } else if found {
                // readers differ in which of the two they take
                return Err(self.fault("`Records` stands twice"));
            } else if self.peek() == Some(b'[') {
                self.array()?;
                found = true;
            } else {
                return Err(BadLog::NoRecords);
            }
            if !self.take(b',') {
                self.expect(b'}')?;
                return Ok(found);
            }
        }
    }

    fn array(&mut self) -> Result<(), BadLog> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.element()?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }
}

/// A member's name.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow, deserialize_with = "text")] Option<Cow<'a, str>>);
