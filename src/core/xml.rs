//! A small reader of the XML that S3 answers with: elements, their text, and the very bytes they were read from.

use crate::core::printable;

/// Deeper than any answer of S3.
const DEEPEST: usize = 32;

/// An element. Attributes are passed over, names are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    pub name: &'a str,
    pub children: Vec<Element<'a>>,
    /// What stands directly in it, with references resolved.
    pub text: String,
    /// From its first `<` to its last `>`.
    pub raw: &'a str,
}

impl<'a> Element<'a> {
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of a child, if there is one.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

/// The document's one element, or why this is no such document.
pub fn parse(text: &str) -> Result<Element<'_>, String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_misc()?;
    let root = reader.element(0)?;
    reader.skip_misc()?;
    if reader.at < text.len() {
        return Err(reader.wrong("something follows the document"));
    }
    Ok(root)
}

/// Text as it may stand between tags.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, why: &str) -> String {
        format!("{why} at byte {}", self.at)
    }

    /// Passes over `what`, if it stands here.
    fn take(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    /// Passes over everything up to and with `end`.
    fn skip_to(&mut self, end: &str) -> Result<&'a str, String> {
        let rest = self.rest();
        let length = rest.find(end).ok_or_else(|| self.wrong("something is not closed"))?;
        self.at += length + end.len();
        Ok(&rest[..length])
    }

    /// White space, declarations and comments around the document.
    fn skip_misc(&mut self) -> Result<(), String> {
        self.take("\u{feff}");
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if self.take("<?") {
                self.skip_to("?>")?;
            } else if self.take("<!--") {
                self.skip_to("-->")?;
            } else {
                return Ok(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element<'a>, String> {
        let start = self.at;
        if depth > DEEPEST {
            return Err(self.wrong("elements are nested too deep"));
        }
        if !self.take("<") {
            return Err(self.wrong("no element"));
        }
        let name = self.name()?;
        let mut element = Element { name, children: Vec::new(), text: String::new(), raw: "" };
        if !self.end_of_tag()? {
            self.content(&mut element, depth)?;
        }
        element.raw = self.text.get(start..self.at).unwrap_or_default();
        Ok(element)
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let rest = self.rest();
        let length = rest.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/' | '<' | '=')).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(['!', '?']) {
            return Err(self.wrong("no name"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Passes over attributes and `>`; true when the element is empty by `/>`.
    fn end_of_tag(&mut self) -> Result<bool, String> {
        loop {
            let rest = self.rest();
            let length = rest.find(['>', '/', '"', '\'', '<']).ok_or_else(|| self.wrong("a tag is not closed"))?;
            let mark = &rest[length..=length];
            self.at += length + 1;
            match mark {
                ">" => return Ok(false),
                "/" if self.take(">") => return Ok(true),
                "\"" | "'" => self.skip_to(mark).map(|_| ())?,
                _ => return Err(self.wrong("a tag is broken")),
            }
        }
    }

    fn content(&mut self, element: &mut Element<'a>, depth: usize) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let length = rest.find('<').ok_or_else(|| self.wrong("an element is not closed"))?;
            element.text.push_str(&resolved(&rest[..length]).map_err(|why| self.wrong(&why))?);
            self.at += length;
            if self.take("<!--") {
                self.skip_to("-->")?;
            } else if self.take("<![CDATA[") {
                element.text.push_str(self.skip_to("]]>")?);
            } else if self.take("</") {
                let name = self.skip_to(">")?.trim_end();
                let own = name == element.name;
                return if own { Ok(()) } else { Err(self.wrong("an element is closed by another's name")) };
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }
}

/// References by what they stand for.
fn resolved(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').ok_or("a reference is not closed")?;
        let number = match name.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => digits.parse().ok(),
            },
            None => None,
        };
        let c = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                number.and_then(char::from_u32).ok_or_else(|| format!("`&{};` is no reference", printable(name, 20)))?
            }
        };
        out.push(c);
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_keeps_its_bytes() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><A xmlns='x>y'>\n <B a=\"<\">1&amp;&#x41;&#66;</B><C/><C ></C>\
                    <D><![CDATA[<&]]><!-- > -->e</D>\n</A>\n";
        let root = parse(text).unwrap();
        assert_eq!((root.name, root.children.len()), ("A", 4));
        assert_eq!(root.text_of("B"), Some("1&AB"));
        assert_eq!(root.child("B").unwrap().raw, "<B a=\"<\">1&amp;&#x41;&#66;</B>");
        assert_eq!(root.all("C").map(|c| c.raw).collect::<Vec<_>>(), ["<C/>", "<C ></C>"]);
        assert_eq!(root.text_of("D"), Some("<&e"));
        assert_eq!(root.text_of("E"), None);
        assert_eq!(parse(&format!("<a>{}</a>", escaped("<&>\u{1}'"))).unwrap().text, "<&>\u{1}'");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for bad in [
            "",
            "x",
            "<",
            "<a",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a>&x;</a>",
            "<a>&lt</a>",
            "<a b='></a>",
            "<!DOCTYPE a><a/>",
            "<a><!-- </a>",
            "<a>&#xD800;</a>",
            "<a / b></a>",
            "</a>",
            "< a></ a>",
            &deep,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
