//! The YAML of rules, as a tree that knows where each part stands. No anchors, no tags, nothing deep.

use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::core::fault::Fault;

/// Bytes of a file, lists and maps in one another, keys of a map.
const LARGEST: usize = 4 << 20;
const DEEPEST: usize = 24;
const MOST: usize = 1_000;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Bytes of the text.
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub span: Range<usize>,
    pub name: String,
}

impl Node {
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Map(members) = &self.kind else { return None };
        members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// What stands there, for messages.
    pub(super) fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// The documents of a file; those that are empty are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > LARGEST {
        return Err(Fault::new(text, 0..0, "a file of rules has at most 4 MiB"));
    }
    let places = Places::of(text);
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = places.offset(error.marker());
            Fault::new(text, at..at, format!("this is no YAML: {}", error.info()))
        })?;
        let span = places.range(&span);
        let refuse = |message: &str| Err(Fault::new(text, span.clone(), message));
        let node = match event {
            Event::Alias(_) => return refuse("anchors and aliases are not supported"),
            Event::Scalar(value, style, anchor, tag) => {
                if anchor > 0 || tag.is_some() {
                    return refuse("anchors, aliases and tags are not supported");
                }
                Node { kind: scalar(&value, style), span }
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) if anchor > 0 || tag.is_some() => {
                return refuse("anchors, aliases and tags are not supported");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEEPEST => {
                return refuse("lists and maps are nested too deeply");
            }
            Event::SequenceStart(..) => {
                open.push(Open { start: span.start, key: None, kind: Kind::List(Vec::new()) });
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open { start: span.start, key: None, kind: Kind::Map(Vec::new()) });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { start, kind, .. }) => Node { span: start..span.end.max(start), kind },
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.take(text, node)?,
            None if node.kind != Kind::Null => documents.push(node),
            None => {}
        }
    }
    Ok(documents)
}

/// A list or a map whose end has not come.
struct Open {
    start: usize,
    /// Of a map: the key whose value comes next.
    key: Option<Key>,
    kind: Kind,
}

impl Open {
    fn take(&mut self, text: &str, node: Node) -> Result<(), Fault> {
        match (&mut self.kind, self.key.take()) {
            (Kind::List(nodes), _) => nodes.push(node),
            (Kind::Map(members), Some(key)) => members.push((key, node)),
            (Kind::Map(members), None) => {
                let name = match node.kind {
                    Kind::Text(name) | Kind::Number(name) => name,
                    Kind::Bool(_) | Kind::Null => text.get(node.span.clone()).unwrap_or_default().to_owned(),
                    _ => return Err(Fault::new(text, node.span, "a key is a plain text")),
                };
                if members.len() >= MOST {
                    return Err(Fault::new(text, node.span, "a map has at most 1,000 keys"));
                }
                if members.iter().any(|(key, _)| key.name == name) {
                    return Err(Fault::new(text, node.span, format!("`{name}` is there twice")));
                }
                self.key = Some(Key { span: node.span, name });
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a scalar without quotes means to the tools that rules are written with, which read YAML 1.1.
fn scalar(value: &str, style: ScalarStyle) -> Kind {
    if style != ScalarStyle::Plain {
        return Kind::Text(value.to_owned());
    }
    match value {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Kind::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Kind::Bool(false),
        _ if is_number(value) => Kind::Number(value.to_owned()),
        _ => Kind::Text(value.to_owned()),
    }
}

/// A number whose text is its value: no leading zeros (which an account's id may have), no other bases.
fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// Where characters stand: the parser counts lines and characters.
struct Places {
    /// The characters before each line.
    lines: Vec<usize>,
    /// The bytes before each character, where these are not as many.
    bytes: Option<Vec<usize>>,
    end: usize,
}

impl Places {
    fn of(text: &str) -> Self {
        let breaks = text.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(at, _)| at + 1);
        Self {
            lines: std::iter::once(0).chain(breaks).collect(),
            bytes: (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect()),
            end: text.len(),
        }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.offset(&span.start);
        start..self.offset(&span.end).max(start)
    }

    fn offset(&self, marker: &Marker) -> usize {
        let line = self.lines.get(marker.line().saturating_sub(1)).copied().unwrap_or(self.end);
        let at = line.saturating_add(marker.col());
        self.bytes.as_ref().map_or(at, |bytes| bytes.get(at).copied().unwrap_or(self.end)).min(self.end)
    }
}
