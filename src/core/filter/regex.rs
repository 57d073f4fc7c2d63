//! The part of regular expressions that CloudWatch takes: no parentheses, no characters beyond ASCII.

use std::ops::Range;

/// Bytes that a compiled expression may take.
const LARGEST: usize = 256 << 10;

/// What may stand in an expression beside letters and digits. The blank is in no list of AWS's, but in an example.
const SYMBOLS: &str = "_#=@/;,-: ^$?[]{}|\\*+.";

const PARENTHESES: &str = r"parentheses are not supported; write `\x28` and `\x29` for the characters";

#[derive(Debug, Clone)]
pub(super) struct Regex(regex::Regex);

impl Regex {
    /// What stands between the `%`. A refusal says which bytes of it are wrong, and why.
    pub(super) fn compile(text: &str) -> Result<Self, (Range<usize>, String)> {
        let translated = Translation::of(text)?;
        let built = regex::RegexBuilder::new(&translated).size_limit(LARGEST).dfa_size_limit(LARGEST).build();
        built.map(Self).map_err(|error| {
            let reason = match error {
                regex::Error::CompiledTooBig(_) => "it is too large once its repetitions are written out".to_owned(),
                other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            };
            (0..text.len(), format!("the regular expression cannot be compiled: {reason}"))
        })
    }

    /// Searches: it need not fit the whole text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// The same expression for a dialect in which classes nest and know more than ASCII.
struct Translation<'t> {
    text: &'t str,
    out: String,
    in_class: bool,
}

impl<'t> Translation<'t> {
    fn of(text: &'t str) -> Result<String, (Range<usize>, String)> {
        if text.is_empty() {
            return Err((0..0, "expected a regular expression between the two `%`".to_owned()));
        }
        let mut translation = Self { text, out: String::new(), in_class: false };
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            let taken = translation.take(at, c)?;
            chars.by_ref().take(taken).for_each(drop);
        }
        Ok(translation.out)
    }

    /// Takes a character; says how many after it went with it.
    fn take(&mut self, at: usize, c: char) -> Result<usize, (Range<usize>, String)> {
        let refuse = |length: usize, why: &str| Err((at..at + length, why.to_owned()));
        match c {
            '\\' => return self.escape(at),
            '(' | ')' => return refuse(1, PARENTHESES),
            '[' if self.in_class && self.rest(at).starts_with("[:") => {
                return refuse(2, "named classes are not supported; write the characters, such as `[a-z]`");
            }
            '[' if self.in_class => self.out.push_str("\\["),
            '[' => {
                self.in_class = true;
                self.out.push('[');
            }
            ']' => {
                self.in_class = false;
                self.out.push(']');
            }
            // would be an operator on classes
            '-' if self.in_class && self.rest(at).starts_with("--") => self.out.push_str("\\-"),
            c if c.is_ascii_alphanumeric() || SYMBOLS.contains(c) => self.out.push(c),
            c if !c.is_ascii() => return refuse(c.len_utf8(), "characters beyond ASCII are not supported"),
            c => return refuse(1, &format!("{c:?} is not supported; write it as `\\x{:02x}`", u32::from(c))),
        }
        Ok(0)
    }

    fn escape(&mut self, at: usize) -> Result<usize, (Range<usize>, String)> {
        let rest = self.rest(at + 1);
        let class = match rest.bytes().next() {
            Some(b'd') => "[0-9]",
            Some(b'D') => "[^0-9]",
            Some(b's') => r"[\t\n\x0b\x0c\r ]",
            Some(b'S') => r"[^\t\n\x0b\x0c\r ]",
            Some(b'w') => "[0-9A-Za-z_]",
            Some(b'W') => "[^0-9A-Za-z_]",
            Some(b'x') => {
                let code = rest.get(1..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let Some(code) = code else {
                    return Err((at..at + 2, r"expected two hexadecimal digits after `\x`".to_owned()));
                };
                self.out.push_str("\\x");
                self.out.push_str(code);
                return Ok(3);
            }
            Some(byte) if SYMBOLS.contains(char::from(byte)) => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                return Ok(1);
            }
            Some(b'(' | b')') => return Err((at..at + 2, PARENTHESES.to_owned())),
            _ => {
                let known = r"expected one of `\d \D \s \S \w \W \xhh`, or an operator after `\`";
                return Err((at..self.text.len().min(at + 2), known.to_owned()));
            }
        };
        self.out.push_str(class);
        Ok(1)
    }

    fn rest(&self, at: usize) -> &'t str {
        self.text.get(at..).unwrap_or_default()
    }
}
