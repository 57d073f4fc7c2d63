//! Conditions: an operator, a key, values; and what is given of a request. A key of which nothing is given makes an answer unknown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Truth, glob};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As it was written.
    pub name: String,
    pub operator: Operator,
    pub key: String,
    pub values: Vec<String>,
    /// Whether `${…}` in a value is a policy variable.
    pub variables: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    pub test: Test,
    pub negated: bool,
    pub if_exists: bool,
    pub set: Option<Quantifier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    Equal,
    EqualIgnoringCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Operator {
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (set, rest) = match name.split_once(':') {
            Some(("foranyvalue", rest)) => (Some(Quantifier::Any), rest),
            Some(("forallvalues", rest)) => (Some(Quantifier::All), rest),
            Some(_) => return None,
            None => (None, name.as_str()),
        };
        let (rest, if_exists) = rest.strip_suffix("ifexists").map_or((rest, false), |rest| (rest, true));
        let (test, negated) = match rest {
            "stringequals" => (Test::Equal, false),
            "stringnotequals" => (Test::Equal, true),
            "stringequalsignorecase" => (Test::EqualIgnoringCase, false),
            "stringnotequalsignorecase" => (Test::EqualIgnoringCase, true),
            "stringlike" => (Test::Like, false),
            "stringnotlike" => (Test::Like, true),
            "bool" => (Test::Bool, false),
            "binaryequals" => (Test::Binary, false),
            "ipaddress" => (Test::Address, false),
            "notipaddress" => (Test::Address, true),
            "arnequals" | "arnlike" => (Test::Arn, false),
            "arnnotequals" | "arnnotlike" => (Test::Arn, true),
            "null" if !if_exists => (Test::Null, false),
            _ => match (rest.strip_prefix("numeric"), rest.strip_prefix("date")) {
                (Some(order), _) => order_of(order).map(|(order, negated)| (Test::Number(order), negated))?,
                (_, Some(order)) => order_of(order).map(|(order, negated)| (Test::Date(order), negated))?,
                _ => return None,
            },
        };
        Some(Self { test, negated, if_exists, set })
    }
}

fn order_of(name: &str) -> Option<(Order, bool)> {
    Some(match name {
        "equals" => (Order::Equal, false),
        "notequals" => (Order::Equal, true),
        "lessthan" => (Order::Less, false),
        "lessthanequals" => (Order::LessOrEqual, false),
        "greaterthan" => (Order::Greater, false),
        "greaterthanequals" => (Order::GreaterOrEqual, false),
        _ => return None,
    })
}

/// What is given of one key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The request does not have the key.
    Absent,
    Is(Vec<String>),
    /// The request has it, with a value that nobody thought of.
    Stranger,
    Either(Vec<Self>),
    /// Nothing is given.
    Any,
}

impl Given {
    pub fn is(value: impl Into<String>) -> Self {
        Self::Is(vec![value.into()])
    }
}

/// What is given of a request. Keys have no case; `family/*` stands for every key of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    keys: BTreeMap<String, Given>,
    rest: Given,
}

impl Default for Context {
    /// Nothing is given.
    fn default() -> Self {
        Self { keys: BTreeMap::new(), rest: Given::Any }
    }
}

impl Context {
    /// What is not named is not there.
    pub fn complete() -> Self {
        Self { keys: BTreeMap::new(), rest: Given::Absent }
    }

    #[must_use]
    pub fn with(mut self, key: &str, given: Given) -> Self {
        self.keys.insert(key.to_ascii_lowercase(), given);
        self
    }

    fn get(&self, key: &str) -> &Given {
        let key = key.to_ascii_lowercase();
        let family = || key.split_once('/').and_then(|(family, _)| self.keys.get(&format!("{family}/*")));
        self.keys.get(&key).or_else(family).unwrap_or(&self.rest)
    }
}

impl Condition {
    pub fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }

    /// Whether it holds of a request only if the key is there and has one of the values.
    pub fn pins(&self) -> bool {
        let positive = !self.operator.negated && !self.is_optional();
        positive
            && matches!(
                self.operator.test,
                Test::Equal | Test::EqualIgnoringCase | Test::Like | Test::Arn | Test::Address
            )
    }

    /// Whether a request without the key passes, although the operator asks for a value.
    pub fn is_optional(&self) -> bool {
        self.operator.if_exists || self.operator.set == Some(Quantifier::All)
    }

    /// Whether `*` and `?` in its values stand for others.
    pub fn has_globs(&self) -> bool {
        matches!(self.operator.test, Test::Like | Test::Arn)
    }

    /// Whether a value stands for one text only.
    pub fn is_fixed(&self, value: &str) -> bool {
        !(self.has_globs() && glob::is_wild(value) || self.is_variable(value))
    }

    /// The values, if each stands for one text only.
    pub fn fixed(&self) -> Option<&[String]> {
        let fixed = !self.values.is_empty() && self.values.iter().all(|value| self.is_fixed(value));
        fixed.then_some(&self.values)
    }

    pub fn holds(&self, context: &Context) -> Truth {
        self.against(context.get(&self.key))
    }

    fn against(&self, given: &Given) -> Truth {
        match given {
            Given::Any => Truth::Unknown,
            Given::Either(all) => {
                let mut answers = all.iter().map(|given| self.against(given));
                let first = answers.next().unwrap_or(Truth::Unknown);
                if answers.all(|answer| answer == first) { first } else { Truth::Unknown }
            }
            _ if self.operator.test == Test::Null => self.null(*given == Given::Absent),
            Given::Absent => self.absent(),
            Given::Stranger => self.negate(Truth::any(self.values.iter().map(|value| self.stranger(value)))),
            Given::Is(values) => self.present(values),
        }
    }

    fn null(&self, absent: bool) -> Truth {
        Truth::any(self.values.iter().map(|value| match value.to_ascii_lowercase().as_str() {
            "true" => absent.into(),
            "false" => (!absent).into(),
            _ => Truth::Unknown,
        }))
    }

    fn absent(&self) -> Truth {
        match self.operator.set {
            Some(Quantifier::All) => Truth::Yes,
            _ if self.operator.if_exists => Truth::Yes,
            Some(Quantifier::Any) => Truth::No,
            None => self.operator.negated.into(),
        }
    }

    fn present(&self, given: &[String]) -> Truth {
        let each = |value: &String| self.negate(Truth::any(self.values.iter().map(|wanted| self.one(wanted, value))));
        match (self.operator.set, given) {
            (_, []) => self.absent(),
            (Some(Quantifier::All), _) => Truth::all(given.iter().map(each)),
            (Some(Quantifier::Any), _) => Truth::any(given.iter().map(each)),
            (None, [value]) => each(value),
            // AWS does not say what an operator for one value makes of many.
            (None, _) => Truth::Unknown,
        }
    }

    fn negate(&self, answer: Truth) -> Truth {
        if self.operator.negated { !answer } else { answer }
    }

    fn is_variable(&self, wanted: &str) -> bool {
        self.variables && wanted.contains("${")
    }

    /// One value of the policy against one that it could not have been written for.
    fn stranger(&self, wanted: &str) -> Truth {
        if self.is_variable(wanted) {
            return Truth::Unknown;
        }
        match self.operator.test {
            Test::Equal | Test::EqualIgnoringCase | Test::Binary => Truth::No,
            Test::Like | Test::Arn if wanted == "*" => Truth::Yes,
            Test::Like | Test::Arn if !glob::is_wild(wanted) => Truth::No,
            Test::Address => match network(wanted) {
                Some((_, 0)) => Truth::Yes,
                Some(_) => Truth::No,
                None => Truth::Unknown,
            },
            _ => Truth::Unknown,
        }
    }

    /// One value of the policy against one of the request.
    fn one(&self, wanted: &str, given: &str) -> Truth {
        if self.is_variable(wanted) {
            return Truth::Unknown;
        }
        match self.operator.test {
            Test::Equal | Test::Binary => (wanted == given).into(),
            Test::EqualIgnoringCase => (wanted.to_lowercase() == given.to_lowercase()).into(),
            Test::Like => glob::matches(wanted, given).into(),
            Test::Bool => match (truth(wanted), truth(given)) {
                (Some(wanted), Some(given)) => (wanted == given).into(),
                _ => Truth::Unknown,
            },
            Test::Number(order) => ordered(order, wanted.trim().parse::<f64>().ok(), given.trim().parse().ok()),
            Test::Date(order) => ordered(order, instant(wanted), instant(given)),
            Test::Address => match (network(wanted), given.parse()) {
                (Some(network), Ok(address)) => contains(network, address).into(),
                _ => Truth::Unknown,
            },
            Test::Arn => arn_matches(wanted, given),
            Test::Null => Truth::Unknown,
        }
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn ordered<T: PartialOrd>(order: Order, wanted: Option<T>, given: Option<T>) -> Truth {
    let (Some(wanted), Some(given)) = (wanted, given) else { return Truth::Unknown };
    let Some(found) = given.partial_cmp(&wanted) else { return Truth::Unknown };
    match order {
        Order::Less => found.is_lt(),
        Order::LessOrEqual => found.is_le(),
        Order::Equal => found.is_eq(),
        Order::GreaterOrEqual => found.is_ge(),
        Order::Greater => found.is_gt(),
    }
    .into()
}

/// ISO 8601, or seconds since 1970.
fn instant(text: &str) -> Option<Timestamp> {
    let seconds = || Timestamp::from_second(text.parse().ok()?).ok();
    let day = || Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(seconds).or_else(day)
}

/// An address with the length of its network's prefix.
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(longest), |length| length.parse().ok())?;
    (length <= longest).then_some((address, length))
}

fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 4),
        IpAddr::V6(address) => (address.to_bits(), 6),
    };
    let ((network, family), (address, other)) = (bits(network), bits(address));
    let differ = (network ^ address).leading_zeros();
    family == other && (network == address || differ >= u32::from(length))
}

/// Part by part: a `*` does not reach over a colon, except in the last part.
fn arn_matches(wanted: &str, given: &str) -> Truth {
    if wanted == "*" || wanted == given {
        return Truth::Yes;
    }
    let (wanted, given): (Vec<&str>, Vec<&str>) = (wanted.splitn(6, ':').collect(), given.splitn(6, ':').collect());
    if wanted.len() < 6 || given.len() < 6 {
        return Truth::Unknown;
    }
    wanted.iter().zip(given).all(|(wanted, given)| glob::matches(wanted, given)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(name: &str, values: &[&str], given: &Given) -> Truth {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let operator = Operator::parse(name).unwrap();
        let condition = Condition { name: name.into(), operator, key: "aws:K".into(), values, variables: true };
        condition.holds(&Context::default().with("AWS:k", given.clone()))
    }

    #[test]
    fn a_missing_key_passes_only_what_does_not_ask_for_it() {
        for (name, wanted) in [
            ("StringEquals", Truth::No),
            ("StringNotEquals", Truth::Yes),
            ("StringEqualsIfExists", Truth::Yes),
            ("StringNotLikeIfExists", Truth::Yes),
            ("ForAnyValue:StringEquals", Truth::No),
            ("ForAnyValue:StringNotEquals", Truth::No),
            ("ForAllValues:StringEquals", Truth::Yes),
            ("NotIpAddress", Truth::Yes),
            ("ArnLike", Truth::No),
            ("NumericNotEquals", Truth::Yes),
            ("DateLessThan", Truth::No),
            ("Bool", Truth::No),
        ] {
            assert_eq!(holds(name, &["x"], &Given::Absent), wanted, "{name}");
            assert_eq!(holds(name, &["x"], &Given::Any), Truth::Unknown, "{name}");
        }
        assert_eq!(holds("Null", &["true"], &Given::Absent), Truth::Yes);
        assert_eq!(holds("Null", &["false"], &Given::Absent), Truth::No);
        assert_eq!(holds("Null", &["false"], &Given::Stranger), Truth::Yes);
    }

    #[test]
    fn each_operator_compares_as_its_type() {
        for (name, wanted, given, answer) in [
            ("StringEquals", "a*", "ab", Truth::No),
            ("StringEquals", "a", "A", Truth::No),
            ("stringequalsignorecase", "É", "é", Truth::Yes),
            ("StringLike", "a*", "ab", Truth::Yes),
            ("StringLike", "${aws:username}", "ab", Truth::Unknown),
            ("StringNotLike", "a?", "ab", Truth::No),
            ("NumericLessThan", "1.2", "1.1", Truth::Yes),
            ("NumericLessThan", "x", "1.1", Truth::Unknown),
            ("NumericGreaterThanEquals", "10", "9", Truth::No),
            ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", Truth::Yes),
            ("DateGreaterThan", "2026-01-01", "1767225601", Truth::Yes),
            ("Bool", "True", "true", Truth::Yes),
            ("Bool", "0", "true", Truth::Unknown),
            ("IpAddress", "203.0.113.0/24", "203.0.113.9", Truth::Yes),
            ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", Truth::Yes),
            ("IpAddress", "2001:db8::/32", "2001:db8:1::1", Truth::Yes),
            ("IpAddress", "0.0.0.0/0", "2001:db8:1::1", Truth::No),
            ("IpAddress", "203.0.113.0/33", "203.0.113.9", Truth::Unknown),
            ("ArnEquals", "arn:aws:cloudtrail:*:1:trail/*", "arn:aws:cloudtrail:eu-west-1:1:trail/x", Truth::Yes),
            ("ArnLike", "arn:aws:cloudtrail:*:trail/*", "arn:aws:cloudtrail:eu-west-1:1:trail/x", Truth::Unknown),
            ("ArnLike", "arn:aws:cloudtrail:*:2:trail/*", "arn:aws:cloudtrail:a:1:2:trail/x", Truth::No),
        ] {
            assert_eq!(holds(name, &[wanted], &Given::is(given)), answer, "{name} {wanted} {given}");
        }
    }

    #[test]
    fn values_are_alternatives_and_sets_are_quantified() {
        let given = Given::Is(vec!["a".into(), "b".into()]);
        assert_eq!(holds("StringEquals", &["x", "a"], &Given::is("a")), Truth::Yes);
        assert_eq!(holds("StringNotEquals", &["x", "a"], &Given::is("a")), Truth::No);
        assert_eq!(holds("StringEquals", &["a"], &given), Truth::Unknown);
        assert_eq!(holds("ForAnyValue:StringEquals", &["a"], &given), Truth::Yes);
        assert_eq!(holds("ForAllValues:StringEquals", &["a"], &given), Truth::No);
        assert_eq!(holds("ForAllValues:StringEquals", &["a", "b", "c"], &given), Truth::Yes);
        assert_eq!(holds("ForAnyValue:StringNotEquals", &["a"], &given), Truth::Yes);
    }

    #[test]
    fn a_stranger_meets_no_value_that_was_written_for_another() {
        assert_eq!(holds("NotIpAddress", &["203.0.113.0/24"], &Given::Stranger), Truth::Yes);
        assert_eq!(holds("NotIpAddress", &["0.0.0.0/0"], &Given::Stranger), Truth::No);
        assert_eq!(holds("StringLike", &["*"], &Given::Stranger), Truth::Yes);
        assert_eq!(holds("StringLike", &["x*"], &Given::Stranger), Truth::Unknown);
        let either = Given::Either(vec![Given::Absent, Given::is("AES256")]);
        assert_eq!(holds("StringNotEquals", &["aws:kms"], &either), Truth::Yes);
        assert_eq!(holds("StringEquals", &["AES256"], &either), Truth::Unknown);
    }

    #[test]
    fn names_of_no_operator_are_refused() {
        for name in ["", "StringEqual", "ForSomeValues:StringEquals", "NullIfExists", "NumericLike", "IfExists"] {
            assert!(Operator::parse(name).is_none(), "{name}");
        }
    }
}
