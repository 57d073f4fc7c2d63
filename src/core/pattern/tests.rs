use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::needs::Need;

mod oracle;

fn matches(pattern: &str, event: &str) -> bool {
    Pattern::parse(pattern).unwrap().matches(&Tree::parse(event).unwrap())
}

/// Names that repeat at every depth, and one that holds a dot.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![12 => "[ab]", 1 => Just("a.b".to_owned()), 1 => Just("a-".to_owned())]
}

fn scalar() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[xX]?y?é?",
        Just("10.0.0.1".to_owned()),
        Just("10.0.0.01".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("12".to_owned())
    ];
    prop_oneof![
        5 => text.prop_map(Value::from),
        3 => (-3..13_i32).prop_map(Value::from),
        1 => (-2.0..3.0_f64).prop_map(|value| json!((value * 2.0).round() / 2.0)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let inner = scalar().prop_recursive(3, 20, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::hash_map(name(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::hash_map(name(), inner, 1..3).prop_map(|map| apart(map.into_iter().collect()))
}

/// Without objects that have a name both with a dot and as names in one another, which no service writes.
fn apart(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            if members.contains_key("a") {
                members.remove("a.b");
            }
            members.values_mut().for_each(|member| *member = apart(member.take()));
        }
        Value::Array(values) => values.iter_mut().for_each(|element| *element = apart(element.take())),
        _ => {}
    }
    value
}

fn item() -> impl Strategy<Value = Value> {
    let text = || "[xX]?y?é?";
    let number = || (-3..13_i32).prop_map(Value::from);
    let named = |name: &'static str| text().prop_map(move |text| json!({ name: text }));
    let not = |name: &'static str| "[xX]?y".prop_map(move |text| json!({"anything-but": { name: text }}));
    prop_oneof![
        6 => scalar(),
        2 => any::<bool>().prop_map(|value| json!({"exists": value})),
        1 => named("prefix"),
        1 => named("suffix"),
        1 => named("equals-ignore-case"),
        1 => text().prop_map(|text| json!({"prefix": {"equals-ignore-case": text}})),
        1 => text().prop_map(|text| json!({"suffix": {"equals-ignore-case": text}})),
        1 => "[x*]?[y*é]?x?".prop_map(|text| json!({"wildcard": text.replace("**", "*")})),
        1 => text().prop_map(|text| json!({"anything-but": text})),
        1 => prop::collection::vec(number(), 1..3).prop_map(|list| json!({"anything-but": list})),
        1 => not("prefix"),
        1 => not("suffix"),
        1 => not("equals-ignore-case"),
        1 => not("wildcard"),
        1 => (number(), "[<>]=?").prop_map(|(value, sign)| json!({"numeric": [sign, value]})),
        1 => (-3..5_i32).prop_map(|low| json!({"numeric": [">=", low, "<", low + 3]})),
        1 => prop_oneof![Just("10.0.0.0/31"), Just("2001:db8::/32"), Just("0.0.0.0/0")].prop_map(|block| json!({"cidr": block})),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(item(), 1..5).prop_map(Value::from);
    let object = |inner: BoxedStrategy<Value>| prop::collection::btree_map(name(), inner, 1..3);
    let inner = list.prop_recursive(2, 6, 2, move |inner| {
        let either = prop::collection::vec(object(inner.clone().boxed()), 2..3);
        (object(inner.boxed()), prop::option::weighted(0.2, either)).prop_map(|(mut fields, either)| {
            fields.extend(either.map(|either| ("$or".to_owned(), json!(either))));
            json!(fields)
        })
    });
    prop::collection::btree_map(name(), inner, 1..3).prop_map(|fields| json!(fields))
}

/// Few names and values, so that much of it meets: fields that may be missing, in arrays in arrays.
fn tight() -> impl Strategy<Value = (Value, Value)> {
    let value = || prop_oneof![Just(json!("x")), Just(json!("y")), Just(json!(1))];
    let event = value().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            prop::collection::hash_map("[ab]", inner, 1..3).prop_map(|map| map.into_iter().collect()),
        ]
    });
    let event = prop::collection::hash_map("[ab]", event, 1..3).prop_map(|map| map.into_iter().collect());
    let absent = Just(json!({"exists": false}));
    let item = prop_oneof![2 => value(), 3 => absent, 1 => Just(json!({"exists": true})), 1 => Just(json!({"anything-but": "x"}))];
    let list = prop::collection::vec(item, 1..3).prop_map(Value::from);
    let pattern = list.prop_recursive(3, 10, 3, |inner| {
        prop::collection::btree_map("[ab]|a\\.[ab]", inner, 1..4).prop_map(|fields| json!(fields))
    });
    let pattern = prop::collection::btree_map("[ab]|a\\.[ab]", pattern, 1..3).prop_map(|fields| json!(fields));
    (pattern, event)
}

fn agrees(pattern: &Value, event: &Value) -> Result<bool, TestCaseError> {
    let (text, told) = (pattern.to_string(), event.to_string());
    let compiled = Pattern::parse(&text).map_err(|fault| TestCaseError::fail(format!("{fault}: {text}")))?;
    let tree = Tree::parse(&told).unwrap();
    let matches = compiled.matches(&tree);
    prop_assert_eq!(matches, oracle::matches(pattern, event), "{} {}", text, told);
    prop_assert_eq!(compiled.explain(&tree).holds(), matches);
    Ok(matches)
}

#[test]
fn what_is_made_up_matches_often_enough_to_tell() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut share = |strategy: BoxedStrategy<(Value, Value)>| {
        let pairs = (0..400).map(|_| strategy.new_tree(&mut runner).unwrap().current());
        pairs.filter(|(pattern, event)| agrees(pattern, event).unwrap()).count()
    };
    let (wide, tight) = (share((pattern(), event()).boxed()), share(tight().boxed()));
    assert!(wide > 15 && tight > 60, "{wide} {tight}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn arrays_and_absence_are_as_a_slow_reading_of_the_rules_says((pattern, event) in tight()) {
        agrees(&pattern, &event)?;
    }

    #[test]
    fn a_pattern_matches_what_a_slow_reading_of_the_rules_says(pattern in pattern(), event in event()) {
        agrees(&pattern, &event)?;
    }

    #[test]
    fn what_matches_has_what_is_needed(pattern in pattern(), record in event(), kind in 0..4_usize, host in any::<bool>()) {
        let kinds = [Value::Null, json!("AwsApiCall"), json!("AwsConsoleSignIn"), json!("AwsCloudTrailInsight")];
        let mut record = record;
        record["eventType"] = kinds[kind].clone();
        record["eventSource"] = if host { json!("s3.amazonaws.com") } else { Value::Null };
        let sources = json!(["aws.s3", "aws.cloudtrail", "aws.ec2"]);
        let types = json!(["AWS API Call via CloudTrail", "AWS Console Signin via CloudTrail", "AWS Insight via CloudTrail"]);
        for pattern in [
            json!({"detail": pattern}),
            json!({"source": sources, "detail": pattern}),
            json!({"detail-type": types, "$or": [{"detail": pattern}, {"source": ["aws.cloudtrail"]}]}),
        ] {
            let text = record.to_string();
            let tree = Tree::parse(&text).unwrap();
            let compiled = Pattern::parse(&pattern.to_string()).unwrap();
            if compiled.matches(&crate::core::envelope::wrap(tree.clone(), None)) {
                let holds = compiled.needs().alternatives().any(|needs| needs.iter().all(|need| has(&tree, need)));
                prop_assert!(holds, "{pattern} {text} {:?}", compiled.needs());
            }
        }
    }

    #[test]
    fn broken_patterns_are_refused_and_never_worse(pattern in pattern(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a-z\\\\]?") {
        let mut text = pattern.to_string();
        let (start, c) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
        text.replace_range(start..start + c.len_utf8(), &with);
        if let Err(fault) = Pattern::parse(&text) {
            prop_assert!(fault.at <= text.len() && text.is_char_boundary(fault.at), "{fault}");
            prop_assert!(!fault.says.is_empty());
        }
    }
}

/// As the index of rules understands it: texts below objects, or anywhere in arrays there.
fn has(record: &Tree<'_>, need: &Need) -> bool {
    fn at<'t>(tree: &'t Tree<'t>, path: &[String]) -> Option<&'t Tree<'t>> {
        path.iter().try_fold(tree, |tree, name| tree.get(name))
    }
    fn holds(tree: &Tree<'_>, text: &str) -> bool {
        match tree {
            Tree::Array(elements) => elements.iter().any(|element| holds(element, text)),
            tree => tree.text() == Some(text),
        }
    }
    match need {
        Need::Equal(path, text) => at(record, path).is_some_and(|tree| holds(tree, text)),
        Need::Present(path) => at(record, path).is_some(),
        // none of a pattern's
        Need::Alike(..) | Need::Part(..) => false,
    }
}

#[test]
fn needs_are_those_of_the_record() {
    let needs = |text: &str| Pattern::parse(text).unwrap().needs();
    let equal = |name: &str, text: &str| Needs::one(Need::Equal(vec![name.into()], text.into()));
    let present = |name: &str| Needs::one(Need::Present(vec![name.into()]));
    assert_eq!(needs(r#"{"detail":{"eventName":["a"]}}"#), equal("eventName", "a"));
    assert_eq!(needs(r#"{"detail":{"eventName":["a","b"]}}"#), equal("eventName", "a").or(equal("eventName", "b")));
    assert_eq!(needs(r#"{"detail":{"eventName":["a",{"prefix":"b"}]}}"#), present("eventName"));
    assert_eq!(needs(r#"{"detail":{"errorCode":["a",{"exists":false}]}}"#), Needs::nothing());
    assert_eq!(needs(r#"{"detail":{"userIdentity":{"type":["Root"]}}}"#), Needs::nothing());
    assert_eq!(needs(r#"{"detail-type":["AWS Service Event via CloudTrail"]}"#), equal("eventType", "AwsServiceEvent"));
    assert_eq!(
        needs(r#"{"detail-type":["AWS Console Signin via CloudTrail"]}"#),
        equal("eventType", "AwsConsoleSignIn")
    );
    assert_eq!(needs(r#"{"detail-type":["AWS API Call via CloudTrail"]}"#), Needs::nothing());
    assert_eq!(needs(r#"{"detail-type":["EC2 Instance State-change Notification"]}"#), Needs::impossible());
    let either =
        needs(r#"{"detail":{"$or":[{"eventName":["a"]},{"errorCode":["b"]}],"sourceIPAddress":["10.0.0.1"]}}"#);
    let address = present("sourceIPAddress");
    assert_eq!(either, equal("eventName", "a").and(address.clone()).or(equal("errorCode", "b").and(address)));
    let hosts = ["s3.amazonaws.com", "s3.amazonaws.com.cn", "aws.s3"];
    let any = hosts.iter().map(|host| equal("eventSource", host)).fold(Needs::impossible(), Needs::or);
    assert_eq!(needs(r#"{"source":["aws.s3"]}"#), any);
}

#[test]
fn a_fault_says_where_and_what() {
    let fault = |text: &str| Pattern::parse(text).unwrap_err().to_string();
    for (text, wanted) in [
        ("", "line 1, column 1: expected a JSON value, found the end"),
        ("[1]", "line 1, column 1: expected an object, found a list"),
        ("{\"a\":\n  [1, x]}", "line 2, column 7: expected a JSON value, found \"x\""),
        (
            r#"{"detail":{"x":"a"}}"#,
            "line 1, column 16 (/detail/x): expected a list of values or an object, found a text",
        ),
        (
            r#"{"x":[]}"#,
            "line 1, column 6 (/x): expected at least one value in this list: an empty list matches nothing",
        ),
        (
            r#"{"x":["a",["b"]]}"#,
            "line 1, column 11 (/x/1): expected a text, a number, true, false, null or an operator, found a list",
        ),
        (
            r#"{"a/b":[{"prefix":["x"]}]}"#,
            "line 1, column 19 (/a~1b/0/prefix): expected a text for \"prefix\", found a list",
        ),
        (
            r#"{"x":[{"anything-but":["a",1]}]}"#,
            "line 1, column 28 (/x/0/anything-but): expected a text, as the first of \"anything-but\" is one, found a number",
        ),
        (
            r#"{"x":[{"prefix":"a","suffix":"b"}]}"#,
            "line 1, column 21 (/x/0): expected one operator in an object, found \"suffix\" too: give each its own",
        ),
        (
            r#"{"x":[{"cidr":"10.0.0.0/32"}]}"#,
            "line 1, column 15 (/x/0/cidr): expected less than 32 bits after the \"/\"",
        ),
        (
            r#"{"x":[{"numeric":["<",1,">",0]}]}"#,
            "line 1, column 19 (/x/0/numeric): expected one of > >= here, found \"<\"",
        ),
        (r#"{"x":["a"]} "#, ""),
        (r#"{"x":["a"]} y"#, "line 1, column 13: expected the end of the pattern, found \"y\""),
        (
            r#"{"x":[{"wildcard":"a**"}]}"#,
            "line 1, column 19 (/x/0/wildcard): \"*\" must not follow \"*\" in a wildcard",
        ),
        (
            r#"{"$or":[{"x":["a"]}]}"#,
            "line 1, column 8 (/$or): expected a list of at least two objects for $or, found 1",
        ),
    ] {
        match wanted {
            "" => assert!(Pattern::parse(text).is_ok(), "{text}"),
            wanted => assert_eq!(fault(text), wanted, "{text}"),
        }
    }
    assert!(fault(r#"{"x":[{"EXISTS":true}]}"#).contains("\"EXISTS\" is no operator: expected \"prefix\""));
    assert!(fault(&format!("{{\"x\":[{}1{}]}}", "[".repeat(5_000), "]".repeat(5_000))).contains("nests deeper"));
    assert!(fault(&format!("{{\"x\":[\"{}\"]}}", "a".repeat(100_000))).contains("at most 65536 bytes"));
    assert!(fault(&format!("{{\"{}x\":[1]}}", "a.".repeat(20_000))).contains("at most 100 names"));
    let or = |count: usize| format!("\"$or\":[{}]", vec![r#"{"a":["x"]}"#; count].join(","));
    assert!(Pattern::parse(&format!("{{{},\"b\":{{{}}}}}", or(25), or(40))).is_ok());
    assert!(fault(&format!("{{{},\"b\":{{{}}}}}", or(25), or(41))).contains("more than 1000 combinations"));
}

#[test]
fn what_surprises_is_remarked() {
    let remarks = |text: &str| Pattern::parse(text).unwrap().remarks().join("; ");
    assert_eq!(remarks(r#"{"source":["aws.s3"],"detail":{"eventName":["a"]}}"#), "");
    assert!(remarks(r#"{"eventName":["a"]}"#).starts_with("eventName: no event has this"));
    assert!(remarks(r#"{"detail.eventName":["a"]}"#).contains("a name with dots is the same as names in one another"));
    assert!(remarks(r#"{"detail":{"a":["x"],"a":["y"]}}"#).contains("the last one counts, as [\"y\"]"));
    assert!(remarks(r#"{"detail":{"$or":{"a":["x"]}}}"#).contains("$or is taken as the name of a field"));
    assert!(remarks(r#"{"detail":{"a":[{"cidr":"0.0.0.0/0"}]}}"#).contains("both families"));
    assert!(remarks(r#"{"detail":{"a":[9007199254740993]}}"#).contains("only the same spelling"));
}

#[test]
fn fields_that_are_given_twice_count_as_the_service_counts_them() {
    assert!(matches(r#"{"a":{"x":[1]},"a":{"y":[2]}}"#, r#"{"a":{"x":1,"y":2}}"#));
    assert!(
        !matches(r#"{"a":{"x":[1]},"a":{"y":[2]}}"#, r#"{"a":{"y":2}}"#),
        "paths are joined, objects do not replace each other"
    );
    assert!(matches(r#"{"a":["x"],"a":["y"]}"#, r#"{"a":"y"}"#));
    // the alternative's own list takes the place of the one before it, not of the one after it
    assert!(matches(r#"{"a":["x"],"$or":[{"a":["y"]},{"b":[1]}]}"#, r#"{"a":"y"}"#));
    assert!(!matches(r#"{"$or":[{"a":["y"]},{"b":[1]}],"a":["x"]}"#, r#"{"a":"y"}"#));
    let both = r#"{"l":{"p":[2],"p":{"q":["i"]}}}"#;
    assert!(matches(both, r#"{"l":[{"p":[[[1,2,{"q":"i"}],[{"q":"j"},3]]]}]}"#));
    assert!(!matches(both, r#"{"l":[{"p":[[[1,2,{"q":"j"}],[{"q":"i"},3]]]}]}"#));
    assert!(matches(both, r#"{"l":{"p":[2,{"q":"i"}]}}"#) && !matches(both, r#"{"l":{"p":[2,{"q":"j"}]}}"#));
}

#[test]
fn a_field_that_may_be_missing_is_looked_for_until_another_has_settled_for_an_element() {
    let event = r#"{"r":[{"m":"x"},{"m":"y","a":1,"z":1}]}"#;
    assert!(matches(r#"{"r":{"m":["x"],"z":[{"exists":false}]}}"#, event));
    assert!(!matches(r#"{"r":{"a":[{"exists":false}],"m":["x"]}}"#, event));
    assert!(matches(r#"{"r":{"a":[{"exists":false}],"m":["x"]}}"#, r#"{"r":[{"m":"x"},{"m":"y"}]}"#));
}

#[test]
fn names_with_dots_are_names_in_one_another() {
    for pattern in
        [r#"{"a":{"b.c":["x"]}}"#, r#"{"a.b":{"c":["x"]}}"#, r#"{"a.b.c":["x"]}"#, r#"{"a":{"b":{"c":["x"]}}}"#]
    {
        for event in
            [r#"{"a":{"b":{"c":"x"}}}"#, r#"{"a":{"b.c":"x"}}"#, r#"{"a.b":[{"c":["x"]}]}"#, r#"{"a.b.c":"x"}"#]
        {
            assert!(matches(pattern, event), "{pattern} {event}");
        }
        assert!(!matches(pattern, r#"{"a.b":{"d":"x"},"a.bc":"x"}"#));
    }
    assert!(matches(r#"{"a":["x"],"a.b":["y"]}"#, r#"{"a":"x","a.b":"y"}"#));
}

#[test]
fn hostile_events_cost_what_their_size_costs() {
    let pattern = r#"{"a":{"b":{"c":[{"exists":false},"x"],"d":[{"wildcard":"*y*z"}],"e":["w"]}}}"#;
    let flat = format!(r#"{{"a":[{}]}}"#, vec![r#"{"b":[{"d":"yy"},{"d":"yz"}]}"#; 10_000].join(","));
    assert!(!matches(pattern, &flat));
    let deep =
        format!(r#"{{"a":{}{}{}}}"#, "[".repeat(100), vec![r#"{"b":{"d":"yz"}}"#; 10_000].join(","), "]".repeat(100));
    assert!(!matches(pattern, &deep));
    let long = format!(r#"{{"a":{{"b":{{"d":"{}"}}}}}}"#, "y".repeat(1_000_000));
    assert!(!matches(pattern, &long));
    let wide: Vec<String> = (0..10_000).map(|n| format!(r#""b.{n}":1"#)).collect();
    assert!(!matches(pattern, &format!(r#"{{"a":{{{}}}}}"#, wide.join(","))));
}

#[test]
fn an_explanation_says_which_field_held() {
    let pattern = Pattern::parse(r#"{"detail":{"r":{"a":["x"],"b":["y"]},"n":[{"numeric":[">",1]}]}}"#).unwrap();
    let torn = Tree::parse(r#"{"detail":{"r":[{"a":"x"},{"b":"y"}],"n":[0,2]}}"#).unwrap();
    let explanation = pattern.explain(&torn);
    assert!(explanation.ways[0].is_torn());
    assert_eq!(
        explanation.to_string(),
        "holds: detail.n is to be [{\"numeric\":[\">\",1]}], found 0, 2\n\
         holds: detail.r.a is to be [\"x\"], found \"x\"\n\
         holds: detail.r.b is to be [\"y\"], found \"y\"\n\
         each field holds, but not in one and the same element of an array\n"
    );
    let other = Tree::parse(r#"{"detail":{"r":{"a":"z"},"n":2}}"#).unwrap();
    assert!(pattern.explain(&other).to_string().contains("fails: detail.r.b is to be [\"y\"], found nothing"));
}
