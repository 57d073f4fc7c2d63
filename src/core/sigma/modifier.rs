//! What the modifiers after a field's name make of its values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::field::Field;
use super::glob::{Glob, Matcher, Part};
use super::value::{Network, Order, Value};

/// Bytes that a compiled expression may take.
const LARGEST_REGEX: usize = 1 << 20;

/// Dashes in one value that `windash` changes.
const DASHES: usize = 3;

/// A value while modifiers are applied to it.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Null,
    Bool(bool),
    Number(String),
    Text { glob: Glob, cased: bool },
    Regex { text: String, flags: Vec<char> },
    Network(Network),
    Order(Order, String),
    Exists(bool),
    Reference { field: Field, starts: bool, ends: bool },
    Any(Vec<Draft>),
}

impl Draft {
    pub(super) fn text(text: &str) -> Self {
        Self::Text { glob: Glob::parse(text), cased: false }
    }

    /// Applies one modifier. `first` says that none was applied before; an error says why it cannot be.
    pub(super) fn modify(self, modifier: &str, first: bool) -> Result<Self, String> {
        if let Self::Any(drafts) = self {
            let modified: Result<_, _> = drafts.into_iter().map(|draft| draft.modify(modifier, first)).collect();
            return modified.map(Self::Any);
        }
        match modifier {
            "contains" | "startswith" | "endswith" => self.open(modifier != "endswith", modifier != "startswith"),
            "cased" => self.glob(modifier).map(|glob| Self::Text { glob, cased: true }),
            "i" | "ignorecase" => self.flag('i'),
            "m" | "multiline" => self.flag('m'),
            "s" | "dotall" => self.flag('s'),
            "lt" => self.order(Order::Less),
            "lte" => self.order(Order::AtMost),
            "gt" => self.order(Order::Greater),
            "gte" => self.order(Order::AtLeast),
            "cidr" if first => Network::parse(self.plain("cidr")?.trim()).map(Self::Network),
            "exists" if first => match self {
                Self::Bool(wanted) => Ok(Self::Exists(wanted)),
                _ => Err("`exists` takes `true` or `false`".to_owned()),
            },
            "cidr" | "exists" | "re" => Err(format!("`{modifier}` must be the first modifier")),
            "fieldref" => {
                let field = Field::parse(self.plain("fieldref")?);
                Ok(Self::Reference { field, starts: false, ends: false })
            }
            "base64" => Ok(Self::plain_text(STANDARD.encode(self.bytes("base64")?))),
            "base64offset" => self.bytes("base64offset").map(|bytes| offsets(&bytes)),
            "wide" | "utf16le" => self.widen("", |c| [c, '\0']),
            "utf16be" => self.widen("", |c| ['\0', c]),
            "utf16" => self.widen("\u{feff}", |c| [c, '\0']),
            "windash" => self.dashes(),
            "expand" => Err("`expand` asks for lists that are not part of the rule".to_owned()),
            "minute" | "hour" | "day" | "week" | "month" | "year" => {
                Err(format!("parts of times (`{modifier}`) are not supported"))
            }
            "neq" | "all" => Ok(self),
            other => Err(format!("`{other}` is no modifier that is known")),
        }
    }

    fn plain_text(text: String) -> Self {
        Self::Text { glob: Glob::plain(text), cased: false }
    }

    fn open(self, end: bool, start: bool) -> Result<Self, String> {
        match self {
            Self::Text { mut glob, cased } => {
                if start {
                    glob.open_start();
                }
                if end {
                    glob.open_end();
                }
                Ok(Self::Text { glob, cased })
            }
            Self::Reference { field, starts, ends } => {
                Ok(Self::Reference { field, starts: starts || end, ends: ends || start })
            }
            // it searches unless it is tied to an end
            Self::Regex { text, flags } => {
                let (before, after) = (if start { "" } else { "^" }, if end { "" } else { "$" });
                Ok(Self::Regex { text: format!("{before}(?:{text}){after}"), flags })
            }
            _ => Err("`contains`, `startswith` and `endswith` take texts".to_owned()),
        }
    }

    fn flag(self, flag: char) -> Result<Self, String> {
        match self {
            Self::Regex { text, mut flags } => {
                flags.push(flag);
                Ok(Self::Regex { text, flags })
            }
            _ => Err(format!("`{flag}` belongs after `re`")),
        }
    }

    fn order(self, order: Order) -> Result<Self, String> {
        match self {
            Self::Number(number) => Ok(Self::Order(order, number)),
            _ => Err("`lt`, `lte`, `gt` and `gte` take numbers".to_owned()),
        }
    }

    fn glob(self, modifier: &str) -> Result<Glob, String> {
        if let Self::Text { glob, .. } = self { Ok(glob) } else { Err(format!("`{modifier}` takes texts")) }
    }

    fn plain(&self, modifier: &str) -> Result<&str, String> {
        let plain = if let Self::Text { glob, .. } = self { glob.as_plain() } else { None };
        plain.ok_or_else(|| format!("`{modifier}` takes texts without wildcards"))
    }

    /// What base64 is made of: a byte order mark that stands before pairs of bytes is one of theirs.
    fn bytes(&self, modifier: &str) -> Result<Vec<u8>, String> {
        let text = self.plain(modifier)?;
        let marked = text.strip_prefix('\u{feff}').filter(|rest| rest.contains('\0'));
        Ok(marked.map_or_else(|| text.as_bytes().to_vec(), |rest| [&[0xff, 0xfe], rest.as_bytes()].concat()))
    }

    fn widen(self, mark: &str, pair: impl Fn(char) -> [char; 2]) -> Result<Self, String> {
        let mut glob = self.glob("utf16")?;
        for part in &mut glob.0 {
            let Part::Text(text) = part else { continue };
            if !text.is_ascii() {
                return Err("`wide` and its like take ASCII only".to_owned());
            }
            *text = text.chars().flat_map(&pair).collect();
        }
        match glob.0.first_mut() {
            Some(Part::Text(text)) => text.insert_str(0, mark),
            _ if mark.is_empty() => {}
            _ => glob.0.insert(0, Part::Text(mark.to_owned())),
        }
        Ok(Self::Text { glob, cased: false })
    }

    /// Every dash that begins a word as each of the characters that Windows takes for it.
    fn dashes(self) -> Result<Self, String> {
        let mut globs = vec![Glob(Vec::new())];
        let mut found = 0;
        for part in self.glob("windash")?.0 {
            let Part::Text(text) = &part else {
                globs.iter_mut().for_each(|glob| glob.0.push(part.clone()));
                continue;
            };
            let mut pieces = vec![String::new()];
            let mut before = None;
            let mut chars = text.chars().peekable();
            while let Some(c) = chars.next() {
                let begins = chars.peek().is_some_and(|next| is_word(*next)) && !before.is_some_and(is_word);
                match pieces.last_mut() {
                    Some(piece) if !(matches!(c, '-' | '/') && begins) => piece.push(c),
                    _ => pieces.push(String::new()),
                }
                before = Some(c);
            }
            found += pieces.len() - 1;
            if found > DASHES {
                return Err("`windash` changes at most three dashes in one value".to_owned());
            }
            let texts = joined(&pieces);
            let with = |glob: &Glob| -> Vec<Glob> {
                texts.iter().map(|text| Glob([glob.0.as_slice(), &[Part::Text(text.clone())]].concat())).collect()
            };
            globs = globs.iter().flat_map(with).collect();
        }
        Ok(Self::Any(globs.into_iter().map(|glob| Self::Text { glob, cased: false }).collect()))
    }

    pub(super) fn value(self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text { glob, cased } => Value::Text(Matcher::new(&glob, cased)),
            Self::Regex { text, flags } => Value::Regex(regex(&text, &flags)?),
            Self::Network(network) => Value::Network(network),
            Self::Order(order, bound) => Value::Order(order, bound),
            Self::Exists(wanted) => Value::Exists(wanted),
            Self::Reference { field, starts, ends } => Value::Reference { field, starts, ends },
            Self::Any(drafts) => Value::Any(drafts.into_iter().map(Self::value).collect::<Result<_, _>>()?),
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The pieces with every choice of dashes between them.
fn joined(pieces: &[String]) -> Vec<String> {
    let mut texts = pieces.first().cloned().into_iter().collect::<Vec<_>>();
    for piece in pieces.iter().skip(1) {
        let choices = ["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"];
        texts = texts.iter().flat_map(|text| choices.map(|dash| format!("{text}{dash}{piece}"))).collect();
    }
    texts
}

/// What of the base64 of a text that holds these bytes does not depend on where in it they stand.
fn offsets(bytes: &[u8]) -> Draft {
    let encoded = |offset: usize, start: usize| {
        let text = STANDARD.encode([" ".repeat(offset).as_bytes(), bytes].concat());
        let end = match (bytes.len() + offset) % 3 {
            0 => 0,
            1 => 3,
            _ => 2,
        };
        let kept = text.get(start..text.len().saturating_sub(end)).unwrap_or_default();
        Draft::plain_text(kept.to_owned())
    };
    Draft::Any([(0, 0), (1, 2), (2, 3)].map(|(offset, start)| encoded(offset, start)).into())
}

fn regex(text: &str, flags: &[char]) -> Result<regex::Regex, String> {
    let has = |flag: char| flags.contains(&flag);
    let mut builder = regex::RegexBuilder::new(text);
    builder.case_insensitive(has('i')).multi_line(has('m')).dot_matches_new_line(has('s'));
    builder.size_limit(LARGEST_REGEX).dfa_size_limit(LARGEST_REGEX).build().map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large once its repetitions are written out".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        format!("the regular expression cannot be compiled: {reason}")
    })
}
