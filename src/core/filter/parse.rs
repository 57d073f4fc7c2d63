//! From the text of a pattern to what is matched. No recursion: a pattern's depth costs memory, not stack.

use std::mem::take;
use std::ops::Range;

use super::literal::Literal;
use super::regex::Regex;
use super::selector::{Selector, Step};
use super::{Condition, Expr, Operand, Order, Test};
use crate::core::decimal;
use crate::core::fault::Fault;

/// CloudWatch's limits: characters, regular expressions and wildcards in selectors of a pattern.
const LONGEST: usize = 1024;
const REGEXES: usize = 2;
const WILDCARDS: usize = 3;

/// Characters of a value without quotes.
const BARE: &str = "_-.*?+";

const OPERATORS: &str = "`=`, `!=`, `<`, `<=`, `>`, `>=`, `IS NULL`, `IS TRUE`, `IS FALSE` or `NOT EXISTS`";

pub(super) fn parse(text: &str) -> Result<Expr, Fault> {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        let message = format!("a pattern has at most 1,024 characters, this one {}", text.chars().count());
        return Err(Fault::new(text, at..at, message));
    }
    let mut parser = Parser { text, at: 0, wildcards: 0, regexes: 0 };
    parser.blank();
    if !parser.take("{") {
        return Err(parser.no_json());
    }
    let root = parser.expression()?;
    parser.blank();
    match parser.rest() {
        "" => Ok(root),
        _ => Err(parser.fault("a pattern ends at its `}`")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    wildcards: usize,
    regexes: usize,
}

/// What stands between two parentheses, or between the braces.
struct Group {
    open: usize,
    /// Alternatives that are complete.
    any: Vec<Expr>,
    /// The parts of the alternative that is being read.
    all: Vec<Expr>,
}

impl Group {
    fn new(open: usize) -> Self {
        Self { open, any: Vec::new(), all: Vec::new() }
    }

    fn alternative(&mut self) {
        let part = flat(take(&mut self.all), Expr::All);
        self.any.push(part);
    }

    fn close(mut self) -> Expr {
        self.alternative();
        flat(self.any, Expr::Any)
    }
}

fn flat(mut parts: Vec<Expr>, join: fn(Box<[Expr]>) -> Expr) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { join(parts.into()) }
}

impl<'t> Parser<'t> {
    /// From after the brace to after its counterpart.
    fn expression(&mut self) -> Result<Expr, Fault> {
        let mut outer = Vec::new();
        let mut group = Group::new(self.at);
        loop {
            self.blank();
            let open = self.at;
            if self.take("(") {
                outer.push(std::mem::replace(&mut group, Group::new(open)));
                continue;
            }
            group.all.push(self.condition()?);
            loop {
                self.blank();
                if self.take("&&") {
                    break;
                } else if self.take("||") {
                    group.alternative();
                    break;
                } else if self.rest().starts_with(')') {
                    let Some(mut parent) = outer.pop() else { return Err(self.fault("no parenthesis is open here")) };
                    self.at += 1;
                    std::mem::swap(&mut group, &mut parent);
                    group.all.push(parent.close());
                } else if self.rest().starts_with('}') && outer.is_empty() {
                    self.at += 1;
                    return Ok(group.close());
                } else if self.rest().starts_with('}') {
                    return Err(self.fault_at(group.open..group.open + 1, "this parenthesis is never closed"));
                } else {
                    return Err(self.no_operator());
                }
            }
        }
    }

    fn condition(&mut self) -> Result<Expr, Fault> {
        let start = self.at;
        let selector = self.selector()?;
        self.blank();
        let test = self.test()?;
        Ok(Expr::Condition(Condition { span: start..self.at, selector, test }))
    }

    fn selector(&mut self) -> Result<Selector, Fault> {
        let start = self.at;
        if !self.take("$") {
            return Err(self.no_selector());
        }
        let mut steps = Vec::new();
        loop {
            let at = self.at;
            let step = if self.take(".['") {
                self.quoted_name(at)?
            } else if self.take(".*") {
                Step::Members
            } else if self.take(".") {
                self.name()?
            } else if self.take("[*]") {
                Step::Elements
            } else if self.take("[") {
                self.index(at)?
            } else {
                break;
            };
            if step.is_wild() {
                self.count_wildcard(at, &steps)?;
            }
            steps.push(step);
        }
        if steps.is_empty() {
            return Err(self.fault_at(start..self.at, "expected the path of a field after `$`, such as `$.eventName`"));
        }
        Ok(Selector(steps.into()))
    }

    fn count_wildcard(&mut self, at: usize, before: &[Step]) -> Result<(), Fault> {
        self.wildcards += 1;
        if before.iter().any(Step::is_wild) {
            return Err(self.fault_at(at..self.at, "a selector has at most one wildcard (`[*]`, `.*`)"));
        }
        if self.wildcards > WILDCARDS {
            return Err(self.fault_at(at..self.at, "the selectors of a pattern have at most three wildcards together"));
        }
        Ok(())
    }

    fn name(&mut self) -> Result<Step, Fault> {
        let name = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if name.is_empty() {
            let message = "expected the name of a field; one with other characters than letters, digits, `_` and `-` is \
                           written `.['name']`";
            return Err(self.fault(message));
        }
        Ok(Step::Member(name.into()))
    }

    /// After `.['`, which begins at `start`.
    fn quoted_name(&mut self, start: usize) -> Result<Step, Fault> {
        let Some((name, _)) = self.rest().split_once("']") else {
            return Err(self.fault_at(start..self.at, "this name is never closed by `']`"));
        };
        self.at += name.len() + 2;
        Ok(Step::Member(name.into()))
    }

    /// After `[`, which stands at `start`.
    fn index(&mut self, start: usize) -> Result<Step, Fault> {
        if self.rest().starts_with(['\'', '"']) {
            return Err(self.fault_at(start..self.at, "a name in brackets is written `.['name']`, with the point"));
        }
        let digits = self.run(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(index) if self.take("]") => Ok(Step::Element(index)),
            _ => Err(self.fault_at(start..self.at, "expected `[*]`, or the number of an element such as `[0]`")),
        }
    }

    fn test(&mut self) -> Result<Test, Fault> {
        let at = self.at;
        for (symbol, order) in
            [("<=", Order::AtMost), (">=", Order::AtLeast), ("<", Order::Less), (">", Order::Greater)]
        {
            if self.take(symbol) {
                return self.bound(order, symbol);
            }
        }
        if self.take("!=") {
            return self.operand("!=").map(Test::Unequal);
        }
        if self.take("=") {
            return self.operand("=").map(Test::Equal);
        }
        let words = (self.word(), self.word());
        match words {
            ("IS", "NULL") => Ok(Test::Null),
            ("IS", "TRUE") => Ok(Test::Bool(true)),
            ("IS", "FALSE") => Ok(Test::Bool(false)),
            ("NOT", "EXISTS") => Ok(Test::Missing),
            (first, second) => {
                let end = self.at;
                self.at = at;
                Err(self.no_test(first, second, end))
            }
        }
    }

    /// The number after `<` and its like.
    fn bound(&mut self, order: Order, symbol: &str) -> Result<Test, Fault> {
        self.blank();
        let at = self.at;
        let number = self.run(|c| c.is_ascii_alphanumeric() || BARE.contains(c));
        if decimal::is_number(number) {
            return Ok(Test::Order(order, number.to_owned()));
        }
        let message = match symbol {
            "<" if self.rest().starts_with('>') => "unequal is written `!=`".to_owned(),
            _ => format!("expected a number without quotes after `{symbol}`"),
        };
        Err(self.fault_at(at..self.at, message))
    }

    fn operand(&mut self, symbol: &str) -> Result<Operand, Fault> {
        self.blank();
        let at = self.at;
        match self.rest().chars().next() {
            Some('"') => self.quoted().map(|text| Operand::Literal(Literal::quoted(&text))),
            Some('%') => self.regex().map(Operand::Regex),
            Some('=' | '~') => Err(self.fault("one `=` compares; a regular expression stands between two `%`")),
            Some('\'') => Err(self.fault("text is quoted by `\"`")),
            Some('$') => Err(self.fault("expected a value: two fields cannot be compared with one another")),
            _ => {
                let text = self.run(|c| !c.is_whitespace() && !"()&|}\"%=<>".contains(c));
                self.bare(at, text, symbol).map(Operand::Literal)
            }
        }
    }

    /// A value without quotes.
    fn bare(&mut self, at: usize, text: &str, symbol: &str) -> Result<Literal, Fault> {
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || BARE.contains(c));
        let message = match text {
            "" => format!("expected a value after `{symbol}`: a word, \"text\", a number or %regular expression%"),
            "null" | "NULL" => "null is no value to compare with; write `IS NULL`".to_owned(),
            _ if !is_plain || text.contains('+') && !decimal::is_number(text) => {
                format!(
                    "a value with other characters than letters, digits, `_`, `-`, `.` and `*` is quoted: \"{text}\""
                )
            }
            _ => return Ok(Literal::bare(text)),
        };
        Err(self.fault_at(at..self.at, message))
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + at + 1;
                    return Ok(text);
                }
                '\\' => {
                    let escaped = chars.next_if(|(_, next)| matches!(next, '"' | '\\'));
                    text.push(escaped.map_or('\\', |(_, next)| next));
                }
                c => text.push(c),
            }
        }
        Err(self.fault_at(start..start + 1, "this quote is never closed"))
    }

    fn regex(&mut self) -> Result<Regex, Fault> {
        let start = self.at;
        self.at += 1;
        let Some((text, _)) = self.rest().split_once('%') else {
            return Err(self.fault_at(start..start + 1, "this regular expression is never closed by `%`"));
        };
        let inner = self.at;
        self.at += text.len() + 1;
        self.regexes += 1;
        if self.regexes > REGEXES {
            return Err(self.fault_at(start..self.at, "a pattern has at most two regular expressions"));
        }
        let fault =
            |(at, message): (Range<usize>, String)| Fault::new(self.text, inner + at.start..inner + at.end, message);
        Regex::compile(text).map_err(fault)
    }
}

/// Reading.
impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        self.at += if found { what.len() } else { 0 };
        found
    }

    fn run(&mut self, of: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let run = rest.split(|c| !of(c)).next().unwrap_or_default();
        self.at += run.len();
        run
    }

    /// The next word, with the blanks before it.
    fn word(&mut self) -> &'t str {
        self.blank();
        self.run(|c| c.is_ascii_alphabetic())
    }
}

/// What is said of what was expected and not found.
impl Parser<'_> {
    fn fault_at(&self, span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault::new(self.text, span, message)
    }

    /// At the character that comes next.
    fn fault(&self, message: impl Into<String>) -> Fault {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.fault_at(self.at..self.at + length, message)
    }

    fn no_json(&self) -> Fault {
        let message = match self.rest().chars().next() {
            None => "an empty pattern would match every record; if that is meant, write `{ $.eventName = * }`",
            Some('[') => {
                "a pattern for space-delimited lines fits no record, which is JSON; write the condition on a field, such \
                 as `{ $.eventName = \"ConsoleLogin\" }`"
            }
            Some('$' | '(') => "a pattern for JSON stands in braces: `{ $.eventName = \"ConsoleLogin\" }`",
            Some('%') => {
                "a regular expression alone looks through a whole line; write which field it is about, such as `{ \
                 $.errorCode = %Denied% }`"
            }
            Some(_) => {
                "terms look for text anywhere in a line, which says nothing about a record; write which field it is about, \
                 such as `{ $.errorMessage = \"*text*\" }`"
            }
        };
        self.fault(message)
    }

    fn no_selector(&self) -> Fault {
        let message = match self.rest() {
            "" => "expected a condition such as `$.eventName = \"ConsoleLogin\"`; the pattern ends here",
            rest if rest.starts_with(['!', 'N', 'n']) => {
                "there is no negation of an expression; negate its conditions: `!=`, `NOT EXISTS`"
            }
            _ => "expected a condition such as `$.eventName = \"ConsoleLogin\"`, or `(`",
        };
        self.fault(message)
    }

    /// After a selector, where the words up to `end` are no test.
    fn no_test(&self, first: &str, second: &str, end: usize) -> Fault {
        let upper = (first.to_ascii_uppercase(), second.to_ascii_uppercase());
        let message = match (upper.0.as_str(), upper.1.as_str()) {
            ("EXISTS", _) | ("IS", "NOT") => {
                "neither `EXISTS` nor `IS NOT` is supported; `= *` holds for every text and number".to_owned()
            }
            ("IS", "NULL" | "TRUE" | "FALSE") | ("NOT", "EXISTS") => {
                format!("keywords are written in capitals: `{} {}`", upper.0, upper.1)
            }
            ("IS", _) => "expected `NULL`, `TRUE` or `FALSE` after `IS`".to_owned(),
            ("NOT", _) => "expected `EXISTS` after `NOT`".to_owned(),
            ("", _) if self.rest().starts_with(|c: char| !c.is_ascii() || "/:@#$".contains(c)) => {
                let rule = "a name with other characters than letters, digits, `_` and `-` is written `.['name']`";
                format!("expected {OPERATORS}; {rule}")
            }
            _ => format!("expected {OPERATORS}"),
        };
        if first.is_empty() { self.fault(message) } else { self.fault_at(self.at..end, message) }
    }

    fn no_operator(&self) -> Fault {
        let message = match self.rest() {
            "" => "expected `}`: a pattern that begins with `{` ends with it",
            rest if rest.starts_with(['&', '|']) => "conditions are joined by `&&` and `||`, both doubled",
            rest if ["AND", "and", "OR", "or"].iter().any(|word| rest.starts_with(word)) => {
                "conditions are joined by `&&` and `||`"
            }
            rest if rest.starts_with('$') => "expected `&&` or `||` between two conditions",
            rest if rest.starts_with(|c: char| c.is_alphanumeric()) => {
                "expected `&&`, `||`, `)` or `}`; a value with a blank is quoted"
            }
            _ => "expected `&&`, `||`, `)` or `}`",
        };
        self.fault(message)
    }
}
