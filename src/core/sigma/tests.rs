use proptest::prelude::*;

use super::glob::{Glob, Matcher};
use super::*;
use crate::core::needs::Need;

const HEAD: &str = "title: t\nlogsource: { product: aws, service: cloudtrail }\n";

fn load(body: &str) -> Result<Detection, Fault> {
    let text = format!("{HEAD}{body}");
    match read(&text)?.remove(0)?.body {
        Body::Detection(detection) => Ok(detection),
        Body::Correlation(_) => panic!("no detection"),
    }
}

/// One item of one selection.
fn item(item: &str) -> Result<Detection, Fault> {
    load(&format!("detection: {{ s: {{ {item} }}, condition: s }}"))
}

fn matches(written: &str, record: &str) -> bool {
    let detection = item(written).unwrap_or_else(|fault| panic!("{written}\n{fault}"));
    detection.matches(&Tree::parse(record).unwrap())
}

/// What is wrong with a rule after its head, where the first fault is, and a word of what is said.
const REFUSED: &[(&str, &str, &str)] = &[
    ("detection: { s: { a: b }, condition: s | count() > 5 }", "| count", "correlation"),
    ("detection: { s: { a: b }, condition: s and }", "", "ends here"),
    ("detection: { s: { a: b }, condition: (s }", "(s", "never closed"),
    ("detection: { s: { a: b }, condition: s) }", ") }", "no parenthesis"),
    ("detection: { s: { a: b }, condition: s s }", "s }", "`and`, `or`"),
    ("detection: { s: { a: b }, condition: t }", "t }", "`t` is none"),
    ("detection: { s: { a: b }, condition: 2 of s* }", "2 of", "`1 of`"),
    ("detection: { s: { a: b }, condition: 1 of t* }", "t*", "none of the selections"),
    ("detection: { _s: { a: b }, condition: all of them }", "them", "none of the selections"),
    ("detection: { s: { a: b } }", "{ s", "`condition`"),
    ("detection: { s: { a: b }, condition: [] }", "[]", "empty list"),
    ("detection: { s: {}, condition: s }", "{}", "empty map"),
    ("detection: { s: [], condition: s }", "[]", "empty list"),
    ("detection: { s: { a: { b: c } }, condition: s }", "{ b", "expected a value"),
    ("detection: { s: { a|like: b }, condition: s }", "b }", "no modifier"),
    ("detection: { s: { a|expand: '%b%' }, condition: s }", "'%b", "lists"),
    ("detection: { s: { a|hour: 3 }, condition: s }", "3 }", "parts of times"),
    ("detection: { s: { a|contains: 3 }, condition: s }", "3 }", "take texts"),
    ("detection: { s: { a|gt: b }, condition: s }", "b }", "take numbers"),
    ("detection: { s: { a|re: 3 }, condition: s }", "3 }", "`re` takes a text"),
    ("detection: { s: { a|re: '(?=x)' }, condition: s }", "'(?=", "cannot be compiled"),
    ("detection: { s: { a|re: 'a{1000}{1000}' }, condition: s }", "'a{", "too large"),
    ("detection: { s: { a|contains|re: b }, condition: s }", "b }", "first"),
    ("detection: { s: { a|cidr: 10.0.0.1/8 }, condition: s }", "10.0", "an address in a network"),
    ("detection: { s: { a|cidr: 10.0.0.0/33 }, condition: s }", "10.0", "no network"),
    ("detection: { s: { a|exists: b }, condition: s }", "b }", "`true` or `false`"),
    ("detection: { s: { a|base64: 'b*' }, condition: s }", "'b*", "wildcards"),
    ("detection: { s: { a|wide: é }, condition: s }", "é", "ASCII"),
    ("detection: { s: { a|windash: ' -a -b -c -d' }, condition: s }", "' -a", "three dashes"),
    ("detection: { s: { a|i: b }, condition: s }", "b }", "after `re`"),
    ("detection: { s: { '|exists': true }, condition: s }", "true", "asks for a field"),
    ("detection: { s: ~, condition: s }", "~", "asks for a field"),
    ("detection: { s: { a: 1, a: 2 }, condition: s }", "a: 2", "twice"),
    ("detection: { s: &x { a: 1 }, condition: s }", "&x", "anchors"),
    ("detection: { s: { a: !!str 1 }, condition: s }", "!!str", "tags"),
    ("detection: [a]", "[a]", "expected selections"),
    ("detection: { s: { a: b }, condition: s }\nlevel: fatal", "fatal", "`informational`"),
    ("detection: { s: { a: b }, condition: s }\ntags: { a: b }", "{ a: b }", "expected a text"),
    ("action: global\ndetection: {}", "global", "no part of Sigma"),
    ("filter: { rules: a }", "{ rules", "filters"),
    ("status: test", "title", "`detection` or `correlation`"),
    ("correlation: { rules: a, timespan: 1m, condition: { gt: 1 } }", "{ rules", "`type`"),
    ("correlation: { type: value_sum, rules: a, timespan: 1m, condition: { gt: 1 } }", "value_sum", "not supported"),
    ("correlation: { type: event_count, rules: a, timespan: 1m }", "{ type", "`condition`"),
    ("correlation: { type: event_count, rules: a, timespan: 1x, condition: { gt: 1 } }", "1x", "such as `15m`"),
    ("correlation: { type: event_count, rules: a, timespan: 0m, condition: { gt: 1 } }", "0m", "such as `15m`"),
    ("correlation: { type: value_count, rules: a, timespan: 1m, condition: { gt: 1 } }", "{ type", "`condition.field`"),
    ("correlation: { type: event_count, rules: a, timespan: 1m, condition: { gt: 1, lt: 3 } }", "3 }", "once"),
    ("correlation: { type: event_count, rules: a, timespan: 1m, condition: { gt: many } }", "many", "whole number"),
    ("correlation: { type: temporal, rules: [a, b], timespan: 1m, condition: a and not b }", "a and", "not supported"),
    ("correlation: { type: event_count, timespan: 1m, condition: { gt: 1 } }", "{ type", "`rules`"),
    ("correlation: { type: event_count, rule: a, timespan: 1m }", "a, time", "`rule` is no part"),
];

#[test]
fn what_is_refused_is_refused_where_it_is_wrong() {
    for (body, place, word) in REFUSED {
        let text = format!("{HEAD}{body}\n");
        let fault = match read(&text) {
            Err(fault) => fault,
            Ok(mut rules) => rules.remove(0).map(|_| ()).expect_err(body),
        };
        assert!(text[fault.span.start..].starts_with(place), "{body}\n{fault}");
        assert!(fault.message.contains(word), "{body}\n{fault}");
    }
    for (text, word) in [
        ("title: [", "no YAML"),
        ("- a", "expected a rule"),
        ("title: t\ndetection: { s: { a: b }, condition: s }", "`logsource`"),
        ("title: t\nlogsource: { product: windows }\ndetection: { s: { a: b }, condition: s }", "other logs"),
        (
            "title: t\nlogsource: { product: aws, service: route53 }\ndetection: { s: { a: b }, condition: s }",
            "other logs",
        ),
        ("logsource: { product: aws }\ndetection: { s: { a: b }, condition: s }", "`title`"),
    ] {
        let fault = read(text).and_then(|mut rules| rules.remove(0).map(|_| ())).expect_err(text);
        assert!(fault.message.contains(word), "{text}\n{fault}");
    }
}

#[test]
fn a_rule_that_is_refused_leaves_the_others() {
    let good = format!("{HEAD}detection: {{ s: {{ a: b }}, condition: s }}\n");
    let rules = read(&format!("{good}---\n{HEAD}---\n{good}")).unwrap();
    assert_eq!(rules.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(read("").unwrap().is_empty() && read("# nothing\n---\n").unwrap().is_empty());
}

#[test]
fn a_hostile_file_is_refused() {
    let rule = |condition: &str| load(&format!("detection: {{ s: {{ a: b }}, condition: \"{condition}\" }}"));
    assert!(rule(&"(".repeat(8_000)).unwrap_err().message.contains("too deeply"));
    assert!(rule(&"not ".repeat(2_000)).unwrap_err().message.contains("too deeply"));
    assert!(rule(&"(".repeat(100_000)).unwrap_err().message.contains("8 KiB"));
    assert!(rule(&format!("{}s", "not ".repeat(60))).is_ok());
    assert!(rule(&vec!["s"; 1_000].join(" or ")).is_ok());
    let keys: String = (0..1_001).map(|n| format!("k{n}: 1, ")).collect();
    assert!(item(&keys).unwrap_err().message.contains("1,000 keys"));
    assert!(read(&"a: é\n".repeat(1 << 20)).unwrap_err().message.contains("4 MiB"));
    // as long as the file, not as its square
    let long = format!("detection: {{ s: {{ a: [{}é] }}, condition: s }}", "b, ".repeat(300_000));
    assert!(load(&long).is_ok());
    let nested = format!("detection: {{ s: {}, condition: s }}", "[".repeat(100));
    assert!(load(&nested).unwrap_err().message.contains("too deeply"));
    let nested = format!("detection: {{ s: {}a{}, condition: s }}", "[".repeat(15), "]".repeat(15));
    assert!(load(&nested).unwrap_err().message.contains("too deeply"));
}

#[test]
fn a_rule_says_what_it_is() {
    let text = "title: One\nid: 0a5177f4-6ca9-44c2-aacf-d3f3d8b6e4d2\nstatus: test\nlevel: high\ntags: [attack.t1078]\n\
                falsepositives: Unknown\nlogsource: { product: aws, service: cloudtrail }\n\
                detection: { s: { a: b }, timeframe: 5m, condition: all of them }\n";
    let rule = read(text).unwrap().remove(0).unwrap();
    assert_eq!((rule.title.as_str(), rule.level), ("One", Some(Level::High)));
    assert_eq!(rule.tags, ["attack.t1078"]);
    assert_eq!(rule.false_positives, ["Unknown"]);
    assert_eq!(rule.id.as_deref(), Some("0a5177f4-6ca9-44c2-aacf-d3f3d8b6e4d2"));
}

#[test]
fn correlations_are_read_whole() {
    let text = "title: t\ncorrelation:\n  type: temporal_ordered\n  rules: [a, b]\n  group-by: [who]\n  timespan: 1h\n  \
                aliases: { who: { a: userIdentity.arn, b: sourceIPAddress } }\n  generate: true\n";
    let Body::Correlation(correlation) = read(text).unwrap().remove(0).unwrap().body else { panic!("a correlation") };
    let fields = [("a", "userIdentity.arn"), ("b", "sourceIPAddress")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let wanted = Correlation {
        counted: Counted::RulesInOrder,
        rules: vec!["a".into(), "b".into()],
        group_by: vec!["who".into()],
        aliases: vec![Alias { name: "who".into(), fields: fields.into() }],
        timespan: 3_600,
        compare: Compare::AtLeast,
        count: 2,
        generate: true,
    };
    assert_eq!(correlation, wanted);
    let text = "title: t\ncorrelation: { type: value_count, rules: a, timespan: 2w, condition: { eq: 3, field: f } }";
    let Body::Correlation(correlation) = read(text).unwrap().remove(0).unwrap().body else { panic!("a correlation") };
    assert_eq!((correlation.counted, correlation.timespan), (Counted::Values("f".into()), 1_209_600));
}

#[test]
fn scalars_are_what_the_tools_of_rule_authors_take_them_for() {
    for (written, record, wanted) in [
        ("a: 012345678901", r#"{"a":"012345678901"}"#, true),
        ("a: 012", r#"{"a":12}"#, false),
        ("a: 123456789012", r#"{"a":"123456789012"}"#, true),
        ("a: '22'", r#"{"a":22}"#, true),
        ("a: 22", r#"{"a":22.0}"#, true),
        ("a: '22'", r#"{"a":22.0}"#, false),
        ("a: On", r#"{"a":true}"#, true),
        ("a: 2024-07-11", r#"{"a":"2024-07-11"}"#, true),
        ("a: ~", r#"{}"#, true),
        ("a: ''", r#"{"a":null}"#, false),
        ("a|re|startswith: b|c", r#"{"a":"xc"}"#, false),
        ("a|re|endswith: b|c", r#"{"a":"xc"}"#, true),
        ("a|re|contains: b|c", r#"{"a":"xcx"}"#, true),
        ("a|re|endswith: b|c", r#"{"a":"bx"}"#, false),
    ] {
        assert_eq!(matches(written, record), wanted, "{written} {record}");
    }
}

#[test]
fn modifiers_keep_to_their_words() {
    for (written, record, wanted) in [
        ("a|cidr: 10.0.0.0/8", r#"{"a":"10.255.0.1"}"#, true),
        ("a|cidr: 10.0.0.0/8", r#"{"a":"a00::1"}"#, false),
        ("a|cidr: 0.0.0.0/0", r#"{"a":"::1"}"#, false),
        ("a|cidr: 192.0.2.7", r#"{"a":"192.0.2.7"}"#, true),
        ("a|windash: x -y", r#"{"a":"x /y"}"#, true),
        ("a|windash: x-y", r#"{"a":"x/y"}"#, false),
        ("a|windash: x - y", r#"{"a":"x / y"}"#, false),
    ] {
        assert_eq!(matches(written, record), wanted, "{written} {record}");
    }
}

#[test]
fn names_are_meant_by_patterns() {
    let names = ["sel_ab", "sel_b", "other", "_sel_b"];
    let meant = |pattern: &str| {
        let selection = |name: &&str| format!("{name}: {{ k{name}: 1 }}");
        let selections = names.iter().map(selection).collect::<Vec<_>>().join(", ");
        let detection = load(&format!("detection: {{ {selections}, condition: 1 of {pattern} }}")).unwrap();
        let fires = |name: &&&str| detection.matches(&Tree::parse(&format!(r#"{{"k{name}":1}}"#)).unwrap());
        names.iter().filter(fires).copied().collect::<Vec<_>>()
    };
    assert_eq!(meant("them"), ["sel_ab", "sel_b", "other"]);
    assert_eq!(meant("sel_*"), ["sel_ab", "sel_b"]);
    assert_eq!(meant("sel*b"), ["sel_ab", "sel_b"]);
    assert_eq!(meant("*a*"), ["sel_ab"]);
    assert_eq!(meant("*r"), ["other"]);
    assert_eq!(meant("o*e*"), ["other"]);
    assert_eq!(meant("sel_b"), ["sel_b"]);
    assert_eq!(meant("_*"), ["_sel_b"]);
}

#[test]
fn an_object_is_searched_only_by_what_searches() {
    for (written, wanted) in [
        ("a: '*'", true),
        ("a|contains: x1", true),
        ("a: '*x?y*'", true),
        ("a: '*1*y*'", true),
        ("a: x1y", false),
        ("a: 'x?y*'", false),
        ("a: '*x?y'", false),
        ("a|endswith: y", false),
        ("a|startswith: x", false),
        ("a|re: x", false),
        ("a|exists: true", true),
        ("a: null", false),
    ] {
        assert_eq!(matches(written, r#"{"a":{"b":["x1y"]}}"#), wanted, "{written}");
    }
}

#[test]
fn no_letter_becomes_an_ascii_one() {
    // the sign of kelvin has a small k
    assert!(!matches("a: k", r#"{"a":"\u212a"}"#) && matches("a: K", r#"{"a":"k"}"#));
    assert!(!matches("a|contains: k", r#"{"a":"\u212a"}"#) && matches("a|contains: é", r#"{"a":"xÉ"}"#));
}

#[test]
fn a_long_reference_is_not_looked_for() {
    let record = |length: usize| format!(r#"{{"a":"{}","b":"{}"}}"#, "x".repeat(2 * length), "x".repeat(length));
    assert!(matches("a|fieldref|contains: b", &record(1_000)));
    assert!(!matches("a|fieldref|contains: b", &record(2_000)));
    assert!(matches("a|fieldref|startswith: b", &record(100_000)));
}

#[test]
fn needs_are_as_narrow_as_is_certain() {
    let needs = |written: &str| item(written).unwrap().needs();
    let alike = |name: &str, text: &str| Needs::one(Need::Alike(vec![name.into()], text.into()));
    let present = |name: &str| Needs::one(Need::Present(vec![name.into()]));
    assert_eq!(needs("eventName: ConsoleLogin"), alike("eventName", "consolelogin"));
    assert_eq!(needs("eventName: [A, B]"), alike("eventName", "a").or(alike("eventName", "b")));
    assert_eq!(needs("eventName: A, eventSource: B"), alike("eventName", "a").and(alike("eventSource", "b")));
    for written in
        ["a: 1", "a: '1'", "a: 'true'", "a: x*", "a.b: x", "a|cased: X", "a|exists: true", "a|contains|all: [x, y]"]
    {
        assert_eq!(needs(written), present("a"), "{written}");
    }
    for written in ["a: null", "a|exists: false", "a|neq: x", "a: [x, null]"] {
        assert_eq!(needs(written), Needs::nothing(), "{written}");
    }
    let joined = "detection: { s: { a: x }, f: { b: y }, k: word, condition: s and not f }";
    assert_eq!(load(joined).unwrap().needs(), alike("a", "x"));
    assert_eq!(load(&joined.replace("s and not f", "s or k")).unwrap().needs(), Needs::nothing());
}

#[test]
fn an_explanation_says_what_was_found() {
    let detection =
        load("detection: { s: { eventName: [A, b], c|exists: true }, k: [word], condition: s and k }").unwrap();
    let record = Tree::parse(r#"{"eventName":"B","d":"a Word"}"#).unwrap();
    let tried: Vec<_> =
        detection.explain(&record).into_iter().map(|t| (t.condition.into_owned(), t.held, t.found)).collect();
    let wanted = [
        ("s: eventName: [A, b]".to_owned(), true, Some("\"B\"".to_owned())),
        ("s: c|exists: true".to_owned(), false, None),
        ("k: word".to_owned(), true, None),
    ];
    assert_eq!(tried.len(), wanted.len());
    for (tried, wanted) in tried.iter().zip(&wanted) {
        assert_eq!((tried.1, &tried.2), (wanted.1, &wanted.2), "{}", tried.0);
        assert_eq!(tried.0, wanted.0);
    }
}

fn slowly(glob: &[char], text: &[char]) -> bool {
    match (glob.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => slowly(&glob[1..], text) || (!text.is_empty() && slowly(glob, &text[1..])),
        (Some('?'), Some(_)) => slowly(&glob[1..], &text[1..]),
        (Some(g), Some(t)) => g.to_lowercase().eq(t.to_lowercase()) && slowly(&glob[1..], &text[1..]),
        _ => false,
    }
}

proptest! {
    #[test]
    fn texts_match_as_a_slow_reading_says(glob in "[aBé*?]{0,7}", text in "[AbÉx]{0,9}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let wanted = slowly(&chars(&glob), &chars(&text));
        prop_assert_eq!(Matcher::new(&Glob::parse(&glob), false).is_match(&text), wanted);
        prop_assert!(Matcher::new(&Glob::parse(&glob), true).is_match(&text) <= wanted);
    }

    #[test]
    fn any_file_is_understood_or_refused(text in "[a-c:|\\[\\]{}*&'\"#, \\n~!-]{0,60}|\\PC{0,40}", condition in "[s()*1 ]{0,9}|[notandrfs ()]{0,20}") {
        if let Ok(rules) = read(&text) {
            prop_assert!(rules.iter().flatten().next().is_none());
        }
        if let Ok(detection) = load(&format!("detection: {{ s: {{ a: b }}, condition: '{condition}' }}")) {
            let _ = (detection.matches(&Tree::Null), detection.needs());
        }
        if let Ok(detection) = item(&text) {
            let _ = (detection.matches(&Tree::Null), detection.needs());
        }
    }
}
