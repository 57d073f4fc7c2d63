//! Texts with `*` (any run) and `?` (any one character), compared without case unless that is asked for.

/// Part of a text as a rule has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Many,
    One,
}

/// A text of a rule, while modifiers change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(pub(super) Vec<Part>);

impl Glob {
    /// A backslash before `*`, `?` or another backslash makes that an ordinary character; before others it is one itself.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let special = match c {
                '\\' => {
                    plain.push(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\'));
                    continue;
                }
                '*' => Part::Many,
                '?' => Part::One,
                c => {
                    plain.push(c);
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(special);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    pub(super) fn plain(text: String) -> Self {
        Self(vec![Part::Text(text)])
    }

    /// The text, if there is no wildcard in it.
    pub(super) fn as_plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn open_start(&mut self) {
        if self.0.first() != Some(&Part::Many) {
            self.0.insert(0, Part::Many);
        }
    }

    pub(super) fn open_end(&mut self) {
        if self.0.last() != Some(&Part::Many) {
            self.0.push(Part::Many);
        }
    }
}

/// A compiled text.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    shape: Shape,
    cased: bool,
}

/// What most texts are, and what is left. Without `cased` all characters are small.
#[derive(Debug, Clone)]
enum Shape {
    Anything,
    Equals(String),
    Starts(String),
    Ends(String),
    Contains(String),
    Other(Vec<Element>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Char(char),
    One,
    Many,
}

impl Matcher {
    pub(super) fn new(glob: &Glob, cased: bool) -> Self {
        let text = |text: &String| text.chars().map(|c| if cased { c } else { small(c) }).collect::<String>();
        let shape = match glob.0.as_slice() {
            [] => Shape::Equals(String::new()),
            [Part::Many] => Shape::Anything,
            [Part::Text(one)] => Shape::Equals(text(one)),
            [Part::Text(one), Part::Many] => Shape::Starts(text(one)),
            [Part::Many, Part::Text(one)] => Shape::Ends(text(one)),
            [Part::Many, Part::Text(one), Part::Many] => Shape::Contains(text(one)),
            parts => {
                let elements = |part: &Part| match part {
                    Part::Text(one) => text(one).chars().map(Element::Char).collect(),
                    Part::Many => vec![Element::Many],
                    Part::One => vec![Element::One],
                };
                Shape::Other(parts.iter().flat_map(elements).collect())
            }
        };
        Self { shape, cased }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Anything => true,
            Shape::Equals(wanted) => self.chars(text).eq(wanted.chars()),
            Shape::Starts(wanted) => self.starts(text, wanted),
            Shape::Ends(wanted) => {
                let mut chars = self.chars(text).rev();
                wanted.chars().rev().all(|c| chars.next() == Some(c))
            }
            Shape::Contains(wanted) => self.contains(text, wanted),
            Shape::Other(elements) => self.walks(text, elements),
        }
    }

    /// The one text that matches, with small letters, if case does not count.
    pub(super) fn only_text(&self) -> Option<&str> {
        if let (Shape::Equals(text), false) = (&self.shape, self.cased) { Some(text) } else { None }
    }

    pub(super) fn is_anything(&self) -> bool {
        matches!(self.shape, Shape::Anything)
    }

    /// Whether it looks for something within a text, whatever stands around it.
    pub(super) fn searches(&self) -> bool {
        match &self.shape {
            Shape::Anything | Shape::Contains(_) => true,
            Shape::Other(elements) => {
                elements.first() == Some(&Element::Many) && elements.last() == Some(&Element::Many)
            }
            _ => false,
        }
    }

    fn chars<'t>(&self, text: &'t str) -> impl DoubleEndedIterator<Item = char> + use<'t> {
        let cased = self.cased;
        text.chars().map(move |c| if cased { c } else { small(c) })
    }

    fn starts(&self, text: &str, wanted: &str) -> bool {
        let mut chars = self.chars(text);
        wanted.chars().all(|c| chars.next() == Some(c))
    }

    fn contains(&self, text: &str, wanted: &str) -> bool {
        let begins = |at: usize| text.get(at..).is_some_and(|rest| self.starts(rest, wanted));
        match wanted.bytes().next() {
            // only ASCII becomes ASCII, so that bytes can be looked through
            Some(first) if first.is_ascii() => {
                let same = |byte: u8| first == if self.cased { byte } else { byte.to_ascii_lowercase() };
                text.bytes().enumerate().any(|(at, byte)| same(byte) && begins(at))
            }
            _ => text.char_indices().any(|(at, _)| begins(at)),
        }
    }

    fn walks(&self, text: &str, elements: &[Element]) -> bool {
        let (mut rest, mut at) = (text, 0);
        // where the last `*` stood, and what was left of the text there
        let mut star: Option<(usize, &str)> = None;
        loop {
            let mut chars = rest.chars();
            let next = chars.next();
            match (elements.get(at), next) {
                (Some(Element::Many), _) => {
                    star = Some((at, rest));
                    at += 1;
                    continue;
                }
                (None, None) => return true,
                (Some(Element::One), Some(_)) => at += 1,
                (Some(Element::Char(wanted)), Some(c)) if *wanted == if self.cased { c } else { small(c) } => at += 1,
                _ => {
                    let Some((begin, left)) = star else { return false };
                    let mut chars = left.chars();
                    if chars.next().is_none() {
                        return false;
                    }
                    rest = chars.as_str();
                    star = Some((begin, rest));
                    at = begin + 1;
                    continue;
                }
            }
            rest = chars.as_str();
        }
    }
}

/// The small letter, if it is one character; what is not ASCII never becomes it.
pub(super) fn small(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => c,
    }
}
