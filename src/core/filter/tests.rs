//! Against an evaluator of our own, which reads the rules word by word and knows nothing of the one that is shipped.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn matches(pattern: &str, record: &str) -> bool {
    let filter = Filter::parse(pattern).unwrap_or_else(|fault| panic!("{pattern}\n{fault}"));
    filter.matches(&Tree::parse(record).unwrap())
}

/// A pattern, where in it the first fault is, and a word of what is said.
const REFUSED: &[(&str, &str, &str)] = &[
    ("", "", "empty"),
    ("  ", "", "empty"),
    ("ERROR", "E", "terms"),
    ("?ERROR ?WARN", "?", "terms"),
    ("\"a phrase\"", "\"", "terms"),
    ("[ip, user, status = 4*]", "[", "space-delimited"),
    ("%Denied%", "%", "which field"),
    ("$.eventName = A", "$", "braces"),
    ("($.a = 1)", "(", "braces"),
    ("{", "", "condition"),
    ("{ }", "}", "condition"),
    ("{ $.a = 1", "", "expected `}`"),
    ("{ $.a = 1 } x", "x", "ends at"),
    ("{ ($.a = 1 }", "(", "never closed"),
    ("{ $.a = 1) }", ")", "no parenthesis is open"),
    ("{ () }", ")", "condition"),
    ("{ $ = 1 }", "$", "path"),
    ("{ $. = 1 }", " ", "name"),
    ("{ $.a..b = 1 }", ".b", "name"),
    ("{ $.a[ = 1 }", "[", "number of an element"),
    ("{ $.a[-1] = 1 }", "[", "number of an element"),
    ("{ $.a[99999999999999999999999] = 1 }", "[", "number of an element"),
    ("{ $['a'] = 1 }", "['", "with the point"),
    ("{ $.['a = 1 }", ".['", "never closed"),
    ("{ $.a/b = 1 }", "/", "`.['name']`"),
    ("{ $.é = 1 }", "é", "`.['name']`"),
    ("{ a = 1 }", "a", "condition"),
    ("{ !($.a = 1) }", "!", "no negation"),
    ("{ NOT $.a = 1 }", "N", "no negation"),
    ("{ $.*.*.x = 1 }", ".*.x", "at most one wildcard"),
    ("{ $.a[*].b[*] = 1 }", "[*] =", "at most one wildcard"),
    ("{ $.a[*] = 1 || $.b[*] = 1 || $.c.* = 1 || $.d[*] = 1 }", "[*] = 1 }", "three"),
    ("{ $.a }", "}", "expected `=`"),
    ("{ $.a == 1 }", "= 1", "one `=`"),
    ("{ $.a =~ 1 }", "~", "one `=`"),
    ("{ $.a <> 1 }", "> 1", "`!=`"),
    ("{ $.a = }", "}", "value after `=`"),
    ("{ $.a != }", "}", "value after `!=`"),
    ("{ $.a = null }", "null", "IS NULL"),
    ("{ $.a != null }", "null", "IS NULL"),
    ("{ $.a = 'b' }", "'b", "quoted by"),
    ("{ $.a = $.b }", "$.b", "two fields"),
    ("{ $.a = arn:aws:iam }", "arn", "quoted"),
    ("{ $.a = é }", "é", "quoted"),
    ("{ $.a = 1+1 }", "1+1", "quoted"),
    ("{ $.errorMessage = Failed authentication }", "auth", "with a blank"),
    ("{ $.a = \"b }", "\"", "never closed"),
    ("{ $.a > \"1\" }", "\"1", "number without quotes"),
    ("{ $.a >= abc }", "abc", "number without quotes"),
    ("{ $.a < 1* }", "1*", "number without quotes"),
    ("{ $.a <= .5 }", ".5", "number without quotes"),
    ("{ $.a < %1% }", "%1", "number without quotes"),
    ("{ $.a EXISTS }", "EXISTS", "`EXISTS`"),
    ("{ $.a IS NOT NULL }", "IS", "`IS NOT`"),
    ("{ $.a is null }", "is", "capitals: `IS NULL`"),
    ("{ $.a not exists }", "not", "capitals: `NOT EXISTS`"),
    ("{ $.a IS 1 }", "IS", "after `IS`"),
    ("{ $.a NOT 1 }", "NOT", "after `NOT`"),
    ("{ $.a LIKE 1 }", "LIKE", "expected `=`"),
    ("{ $.a = 1 & $.b = 2 }", "&", "doubled"),
    ("{ $.a = 1 and $.b = 2 }", "and", "joined"),
    ("{ $.a = 1 $.b = 2 }", "$.b", "between two conditions"),
    ("{ $.a = 1 && }", "}", "condition"),
    ("{ $.a = %b }", "%", "never closed"),
    ("{ $.a = %% }", "% }", "between the two"),
    ("{ $.a = %(a|b)% }", "(", "parentheses"),
    ("{ $.a = %a\\(b% }", "\\(", "parentheses"),
    ("{ $.a = %oh!% }", "!", "supported"),
    ("{ $.a = %é% }", "é", "ASCII"),
    ("{ $.a = %[a% }", "[a", "compiled"),
    ("{ $.a = %a\\b% }", "\\b", "expected one of"),
    ("{ $.a = %\\x4% }", "\\x", "hexadecimal"),
    ("{ $.a = %[[:alpha:]]% }", "[:a", "named classes"),
    ("{ $.a = %*% }", "*", "compiled"),
    ("{ $.a = %a{1000}{1000}{1000}% }", "a{", "too large"),
    ("{ $.a = %1% || $.a = %2% || $.a = %3% }", "%3", "two regular"),
];

#[test]
fn what_is_refused_is_refused_where_it_is_wrong() {
    for (pattern, place, word) in REFUSED {
        let fault = Filter::parse(pattern).expect_err(pattern);
        let rest = &pattern[fault.span.start..];
        assert!(rest.starts_with(place), "{pattern}\n{fault}");
        assert!(fault.message.contains(word), "{pattern}\n{fault}");
        assert!(!place.is_empty() || rest.is_empty(), "{pattern}\n{fault}");
    }
}

#[test]
fn a_hostile_pattern_is_refused_by_its_length() {
    for (before, after) in [("{", ""), ("{ $", "= 1}"), ("{ $.a = \"", "\"}"), ("{ $.a = 1", "}")] {
        for filling in ["(", "[0]", " ", "\\", " && ", "é"] {
            let pattern = format!("{before}{}{after}", filling.repeat(100_000));
            let fault = Filter::parse(&pattern).unwrap_err();
            assert!(fault.message.contains("1,024"), "{fault}");
        }
    }
    let long = |length: usize| format!("{{ $.a = 1{}}}", " ".repeat(length - 10));
    assert!(Filter::parse(&long(1_024)).is_ok() && Filter::parse(&long(1_025)).is_err());
    let deep = format!("{{{}$.a = 1{}}}", "(".repeat(500), ")".repeat(500));
    assert!(matches(&deep, r#"{"a":1}"#));
    let joined =
        |one: &str, other: &str| format!("{{{}{one}{}}}", format!("{one} {other} (").repeat(80), ")".repeat(80));
    assert!(matches(&joined("$.a=1", "&&").replace("&& ($.a=1 && ($", "&& ($.a=1 || ($"), r#"{"a":1}"#));
}

#[test]
fn the_message_shows_the_place() {
    let fault = Filter::parse("{ $.errorMessage = Failed authentication }").unwrap_err();
    let wanted = "character 27: expected `&&`, `||`, `)` or `}`; a value with a blank is quoted\n  \
                  | { $.errorMessage = Failed authentication }\n  \
                  |                           ^";
    assert_eq!(fault.to_string(), wanted);
}

/// A condition on `$.v`, a JSON value and whether it holds.
const ANSWERS: &[(&str, &str, bool)] = &[
    ("= 1", "1", true),
    ("= 1", "1.0", true),
    ("= 1", "1e+0", true),
    ("= 1", "\"1\"", true),
    ("= 1", "\"1.0\"", false),
    ("= 1e+0", "1", true),
    ("= 1e+0", "\"1\"", false),
    ("= 1e+0", "\"1e+0\"", true),
    ("!= 1", "1.0", false),
    ("!= 1", "\"1.0\"", true),
    ("= \"1\"", "1", true),
    ("= \"1\"", "1.0", false),
    ("!= \"1\"", "1.0", true),
    ("= +1", "1", true),
    ("= 9007199254740993", "9007199254740992", false),
    ("> 1", "\"10\"", false),
    ("> 1", "10", true),
    (">= 1", "1.0", true),
    ("< 1", "1.0", false),
    ("<= -1", "-1e0", true),
    ("= 4*", "404", true),
    ("= *4", "404.0", false),
    ("= *", "\"\"", true),
    ("= *", "0", true),
    ("= \"*\"", "\"x\"", true),
    ("= *", "null", false),
    ("= *", "true", false),
    ("= *", "[\"x\"]", false),
    ("!= *", "\"x\"", false),
    ("!= x", "null", false),
    ("!= x", "false", false),
    ("!= x", "{}", false),
    ("= true", "true", false),
    ("= true", "\"true\"", true),
    ("= a*c", "\"abc\"", false),
    ("= a*c", "\"a*c\"", true),
    ("= \"*b*\"", "\"abc\"", true),
    ("= \"b*\"", "\"abc\"", false),
    ("= a?c", "\"abc\"", false),
    ("= a?c", "\"a?c\"", true),
    ("= abc", "\"Abc\"", false),
    ("= \"a\\\"b\\\\c\"", r#""a\"b\\c""#, true),
    ("= \"\"", "\"\"", true),
    ("= \"\"", "null", false),
    ("!= \"\"", "\"x\"", true),
    ("IS NULL", "null", true),
    ("IS NULL", "[1,null]", true),
    ("IS NULL", "[[null]]", false),
    ("IS NULL", "{\"a\":null}", false),
    ("IS TRUE", "true", true),
    ("IS TRUE", "\"true\"", false),
    ("IS TRUE", "[true]", false),
    ("IS FALSE", "false", true),
    ("IS FALSE", "null", false),
    ("NOT EXISTS", "null", false),
    ("= %^Cr.*r$%", "\"CreateUser\"", true),
    ("= %^4\\d{2}$%", "404", true),
    ("= %\\w\\W%", "\"é\"", false),
    ("= %[\\D]%", "\"12\"", false),
    ("= %a|b%", "\"xbx\"", true),
    ("!= %a|b%", "\"xbx\"", false),
    ("!= %a%", "null", false),
    ("= %\\x28x\\x29%", "\"(x)\"", true),
    ("= %[a[]%", "\"[\"", true),
];

#[test]
fn a_value_is_judged_as_aws_does() {
    for (condition, value, wanted) in ANSWERS {
        let (pattern, record) = (format!("{{ $.v {condition} }}"), format!("{{\"v\":{value}}}"));
        assert_eq!(matches(&pattern, &record), *wanted, "{pattern} {record}");
        // nothing holds of what is missing, but that it is missing
        assert_eq!(matches(&pattern, "{\"w\":1}"), condition == &"NOT EXISTS", "{pattern}");
    }
}

#[test]
fn selectors_find_what_they_name() {
    let record =
        r#"{"a":{"b":[{"c":1},{"c":"x","d":null}]},"a.b":2,"e":{"x":1,"y":[5]},"n":null,"s":"","e":{"x":3,"y":[7]}}"#;
    for (condition, wanted) in [
        ("$.a.b[1].c = x", true),
        ("$.a.b[0].c = x", false),
        ("$.a.b[*].c = x", true),
        ("$.a.b[*].c != x", true),
        ("$.a.b[*].d IS NULL", true),
        ("$.a.b[*].z NOT EXISTS", true),
        ("$.a.b[*].d NOT EXISTS", false),
        ("$.a.b[*].c = 1 && $.a.b[*].d IS NULL", true),
        ("$.a.b.c = 1", false),
        ("$.a.b.c NOT EXISTS", true),
        ("$.['a.b'] = 2", true),
        ("$.a.['b'][0].c = 1", true),
        ("$.a[*][0].c = 1", true),
        ("$.e.* = 3", true),
        ("$.e.* = 1", false),
        ("$.e[*] = 3", true),
        ("$.*.x = 3", true),
        ("$.* = 3", false),
        ("$[*].x = 3", true),
        ("$[0] NOT EXISTS", true),
        ("$.e.y.* = 7", false),
        ("$.e.y[*] = 7", true),
        ("$.n.z NOT EXISTS", true),
        ("$.s.z NOT EXISTS", true),
        ("$.n NOT EXISTS", false),
        ("$.a.b[9] NOT EXISTS", true),
        ("$.['a.b']=2&&($.s=\"\"||$.z=1)&&$.n IS NULL", true),
        ("$.s = x && $.s = y || $.s = \"\"", true),
        ("$.s = \"\" || $.s = x && $.s = y", true),
        ("($.s = \"\" || $.s = x) && $.s = y", false),
    ] {
        assert_eq!(matches(&format!("{{{condition}}}"), record), wanted, "{condition}");
    }
    for root in ["[]", "[{\"a\":1}]", "null", "\"a\"", "1"] {
        assert!(!matches("{ $.a NOT EXISTS }", root) && !matches("{ $[*].a = 1 }", root), "{root}");
    }
}

#[test]
fn needs_are_as_narrow_as_is_certain() {
    let needs = |pattern: &str| Filter::parse(pattern).unwrap().needs();
    let path = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
    let equal = |name: &str, text: &str| Needs::one(Need::Equal(path(name), text.into()));
    let present = |name: &str| Needs::one(Need::Present(path(name)));
    assert_eq!(needs("{ $.a.b = x }"), equal("a.b", "x"));
    assert_eq!(needs("{ $.a = x || $.a = \"y z\" }"), equal("a", "x").or(equal("a", "y z")));
    assert_eq!(needs("{ $.a = x && $.b NOT EXISTS }"), equal("a", "x"));
    assert_eq!(needs("{ $.a = x || $.b NOT EXISTS }"), Needs::nothing());
    for pattern in [
        "{ $.a.b = 1 }",
        "{ $.a.b != x }",
        "{ $.a.b[*].c = x }",
        "{ $.a.b > 1 }",
        "{ $.a.b IS NULL }",
        "{ $.a.b = %x% }",
    ] {
        assert_eq!(needs(pattern), present("a.b"), "{pattern}");
    }
    let part = |pattern: &str, part: &str| assert_eq!(needs(pattern), Needs::one(Need::Part(path("a.b"), part.into())));
    part("{ $.a.b = x* }", "x");
    part("{ $.a.b = \"*1 2*\" }", "1 2");
    part("{ $.a.b = \"-1\" }", "-1");
    assert_eq!(needs("{ $.a.b = * }"), present("a.b"));
    assert_eq!(needs("{ $.*.b = x }"), Needs::nothing());
}

#[test]
fn an_explanation_says_what_was_found() {
    let filter = Filter::parse(r#"{ ($.a = "x" || $.b[*] > 2) && $.c NOT EXISTS && $.d IS TRUE }"#).unwrap();
    let record = Tree::parse(r#"{"a":"\u0007é","b":[1,3],"d":{"e":1}}"#).unwrap();
    let tried: Vec<_> =
        filter.explain(&record).into_iter().map(|t| (t.condition.into_owned(), t.held, t.found)).collect();
    let found = |text: &str| Some(text.to_owned());
    let wanted = [
        (r#"$.a = "x""#, false, found("\"\\u0007é\"")),
        ("$.b[*] > 2", true, found("3")),
        ("$.c NOT EXISTS", true, None),
        ("$.d IS TRUE", false, found("{1 member}")),
    ];
    assert_eq!(tried, wanted.map(|(condition, held, found)| (condition.to_owned(), held, found)));
    assert_eq!(filter.to_string(), r#"{ ($.a = "x" || $.b[*] > 2) && $.c NOT EXISTS && $.d IS TRUE }"#);
    assert!(filter.explain(&Tree::Null).iter().all(|tried| !tried.held));
}

/// The slow reading: a pattern as it was thought of, before it was written down.
#[derive(Debug, Clone)]
enum Thought {
    And(Box<Thought>, Box<Thought>),
    Or(Box<Thought>, Box<Thought>),
    /// Steps, and what is asked.
    Ask(Vec<Hop>, Question),
}

#[derive(Debug, Clone)]
enum Hop {
    Name(String),
    Index(usize),
    EachElement,
    EachMember,
}

#[derive(Debug, Clone)]
enum Question {
    /// Whether equality is asked for, the value, and whether it is written in quotes.
    Same(bool, String, bool),
    /// The sign and the number.
    Size(&'static str, i32),
    Null,
    Is(bool),
    Gone,
}

impl Thought {
    fn written(&self, blank: &str) -> String {
        match self {
            Self::And(one, other) => format!("{}{blank}&&{blank}{}", one.inner(blank), other.inner(blank)),
            Self::Or(one, other) => format!("{}{blank}||{blank}{}", one.written(blank), other.written(blank)),
            Self::Ask(hops, question) => {
                let mut text = "$".to_owned();
                for hop in hops {
                    text += &match hop {
                        Hop::Name(name) if name.contains('.') => format!(".['{name}']"),
                        Hop::Name(name) => format!(".{name}"),
                        Hop::Index(index) => format!("[{index}]"),
                        Hop::EachElement => "[*]".to_owned(),
                        Hop::EachMember => ".*".to_owned(),
                    };
                }
                let question = match question {
                    Question::Same(equal, value, quoted) => {
                        let sign = if *equal { "=" } else { "!=" };
                        let value = if *quoted { format!("{value:?}") } else { value.clone() };
                        format!("{blank}{sign}{blank}{value}")
                    }
                    Question::Size(sign, number) => format!("{blank}{sign}{blank}{number}"),
                    Question::Null => " IS NULL".to_owned(),
                    Question::Is(true) => " IS TRUE".to_owned(),
                    Question::Is(false) => " IS FALSE".to_owned(),
                    Question::Gone => " NOT EXISTS".to_owned(),
                };
                text + &question
            }
        }
    }

    /// In parentheses, if `&&` would tear it apart.
    fn inner(&self, blank: &str) -> String {
        let text = self.written(blank);
        if matches!(self, Self::Or(..)) { format!("({text})") } else { text }
    }

    fn holds(&self, record: &Value) -> bool {
        match self {
            Self::And(one, other) => one.holds(record) && other.holds(record),
            Self::Or(one, other) => one.holds(record) || other.holds(record),
            Self::Ask(hops, question) => {
                let mut found = vec![record];
                for hop in hops {
                    found = found.into_iter().flat_map(|value| hop.go(value)).collect();
                }
                match question {
                    Question::Gone => found.is_empty(),
                    question => found.into_iter().any(|value| question.answer(value)),
                }
            }
        }
    }
}

impl Hop {
    fn go<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(object)) => object.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(values)) => values.get(*index).into_iter().collect(),
            (Self::EachElement, Value::Array(values)) => values.iter().collect(),
            (Self::EachElement | Self::EachMember, Value::Object(object)) => object.values().collect(),
            _ => Vec::new(),
        }
    }
}

impl Question {
    fn answer(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Same(equal, wanted, _), Value::String(text)) => *equal == fits(wanted, text),
            (Self::Same(equal, wanted, quoted), Value::Number(number)) => {
                let by_value = wanted.parse::<f64>().ok().filter(|_| !quoted);
                *equal
                    == match by_value {
                        Some(wanted) => number.as_f64() == Some(wanted),
                        None => fits(wanted, &number.to_string()),
                    }
            }
            (Self::Size(sign, bound), Value::Number(number)) => {
                let (number, bound) = (number.as_f64().unwrap(), f64::from(*bound));
                match *sign {
                    "<" => number < bound,
                    "<=" => number <= bound,
                    ">" => number > bound,
                    _ => number >= bound,
                }
            }
            (Self::Null, Value::Null) => true,
            (Self::Null, Value::Array(values)) => values.iter().any(Value::is_null),
            (Self::Is(wanted), Value::Bool(value)) => wanted == value,
            _ => false,
        }
    }
}

/// Whether some text in the place of the stars at the ends makes `wanted` the text.
fn fits(wanted: &str, text: &str) -> bool {
    let wanted: Vec<char> = wanted.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let first = if wanted.first() == Some(&'*') { text.len() } else { 0 };
    let begins = usize::from(wanted.first() == Some(&'*'));
    let ends = usize::from(wanted.len() > 1 && wanted.last() == Some(&'*'));
    let middle = &wanted[begins..wanted.len() - ends];
    (0..=first).any(|from| {
        let last = if ends == 1 || wanted == ['*'] { from..=text.len() } else { text.len()..=text.len() };
        last.into_iter().any(|to| from <= to && &text[from..to] == middle)
    })
}

fn hops() -> impl Strategy<Value = Vec<Hop>> {
    let named = || prop_oneof![4 => "[ab]".prop_map(Hop::Name), 1 => Just(Hop::Name("a.b".into())), 2 => (0usize..2).prop_map(Hop::Index)];
    let wild = prop::option::weighted(0.3, prop_oneof![Just(Hop::EachElement), Just(Hop::EachMember)]);
    (prop::collection::vec(named(), 0..3), wild, prop::collection::vec(named(), 0..2))
        .prop_map(|(before, wild, after)| before.into_iter().chain(wild).chain(after).collect::<Vec<_>>())
        .prop_filter("a path", |hops| !hops.is_empty())
}

fn question() -> impl Strategy<Value = Question> {
    let bare = prop_oneof![
        "\\*?[ab1]{1,2}\\*?",
        "-?[0-2](\\.[05])?(e[+-]?[01])?",
        Just("*".to_owned()),
        Just("true".to_owned())
    ];
    let quoted = "\\*?[ab1 \"\\\\é*?]{0,3}\\*?";
    prop_oneof![
        3 => (any::<bool>(), bare).prop_map(|(equal, value)| Question::Same(equal, value, false)),
        3 => (any::<bool>(), quoted).prop_map(|(equal, value)| Question::Same(equal, value, true)),
        2 => (prop::sample::select(vec!["<", "<=", ">", ">="]), -2i32..3).prop_map(|(sign, n)| Question::Size(sign, n)),
        1 => Just(Question::Null),
        1 => any::<bool>().prop_map(Question::Is),
        1 => Just(Question::Gone),
    ]
}

fn thought() -> impl Strategy<Value = Thought> {
    let ask = (hops(), question()).prop_map(|(hops, question)| Thought::Ask(hops, question));
    ask.prop_recursive(4, 10, 2, |inner| {
        let pair = (inner.clone(), inner).prop_map(|(one, other)| (Box::new(one), Box::new(other)));
        prop_oneof![
            pair.clone().prop_map(|(one, other)| Thought::And(one, other)),
            pair.prop_map(|(one, other)| Thought::Or(one, other)),
        ]
    })
}

/// JSON with numbers that `serde_json` writes as they are read.
fn record() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        prop::sample::select(vec!["0", "1", "2", "-1", "1.0", "0.5", "11", "10"]).prop_map(str::to_owned),
        "[ab1*?é]{0,3}".prop_map(|text| format!("{text:?}")),
        Just("\"true\"".to_owned()),
        Just("\"1.0\"".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(","))),
            members(inner),
        ]
    });
    prop_oneof![9 => members(value.clone()), 1 => value]
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "a.b"]), value), 0..4).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn met(needs: &Needs, record: &Tree<'_>) -> bool {
    let at = |path: &[String]| path.iter().try_fold(record, |value, name| value.get(name)).cloned();
    needs.alternatives().any(|all| {
        all.iter().all(|need| match need {
            Need::Equal(path, text) => at(path).is_some_and(|value| value.text() == Some(text)),
            Need::Alike(..) => panic!("a filter knows case"),
            Need::Part(path, part) => match at(path) {
                Some(Tree::Number(written)) => written.contains(part.as_str()),
                value => value.and_then(|value| Some(value.text()?.contains(part.as_str()))) == Some(true),
            },
            Need::Present(path) => at(path).is_some(),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_slow_reading_says_the_same(thought in thought(), record in record(), blank in " ?") {
        let pattern = format!("{{{}}}", thought.written(&blank));
        match Filter::parse(&pattern) {
            Err(fault) => prop_assert!(fault.message.contains("three"), "{}\n{}", pattern, fault),
            Ok(filter) => {
                let tree = Tree::parse(&record).unwrap();
                let value: Value = serde_json::from_str(&record).unwrap();
                let wanted = value.is_object() && thought.holds(&value);
                prop_assert_eq!(filter.matches(&tree), wanted, "{} {}", pattern, record);
                prop_assert!(!wanted || met(&filter.needs(), &tree), "{} {} {:?}", pattern, record, filter.needs());
                for tried in filter.explain(&tree) {
                    let alone = Filter::parse(&format!("{{{}}}", tried.condition)).unwrap();
                    prop_assert_eq!(alone.matches(&tree), tried.held, "{} {}", tried.condition, record);
                }
            }
        }
    }

    #[test]
    fn any_text_is_understood_or_refused(text in "[{}()$.ab\\[\\]*'\"=!<>&|%\\\\1 ]{0,30}|\\PC{0,20}") {
        for pattern in [text.clone(), format!("{{ $.a = {text} }}"), format!("{{ {text} }}"), format!("{{ $.a = %{text}% }}")] {
            match Filter::parse(&pattern) {
                Ok(filter) => _ = filter.matches(&Tree::Null),
                Err(fault) => prop_assert!(!fault.to_string().is_empty()),
            }
        }
    }
}
