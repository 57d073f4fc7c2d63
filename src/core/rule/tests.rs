use proptest::prelude::*;
use serde_json::{Value, json};

use super::hits::Shown;
use super::*;
use crate::core::record::Record;
use crate::core::tree::Tree;
use crate::core::window::Missing;

fn rule(id: &str, filter: &str) -> Rule {
    Rule {
        id: id.into(),
        title: id.into(),
        why: String::new(),
        severity: Severity::Medium,
        matcher: Matcher::filter(filter).unwrap_or_else(|fault| panic!("{fault}")),
        group: vec![Field::parse("recipientAccountId").unwrap()],
        window: Window {
            at_least: 1,
            within: 300,
            distinct: false,
            periods: (1, 1),
            missing: Missing::NotBreaching,
            then: Vec::new(),
        },
        distinct: None,
        then: Vec::new(),
        false_positives: Vec::new(),
        action: String::new(),
        attack: Vec::new(),
        references: Vec::new(),
        tests: Vec::new(),
        origin: "test".into(),
    }
}

fn event(id: &str, name: &str) -> Value {
    json!({
        "eventVersion": "1.11", "eventTime": "2026-03-01T22:10:00Z", "eventSource": "iam.amazonaws.com", "eventName": name,
        "awsRegion": "us-east-1", "recipientAccountId": "111122223333", "eventID": id, "sourceIPAddress": "198.51.100.7",
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/a/eve", "accessKeyId": "ASIAEXAMPLE",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/a"}, "sourceIdentity": "eve"}},
        "requestParameters": {"userName": "bob", "password": "hunter2", "policyDocument": "{\"secret\": 1}"},
        "resources": [{"ARN": "arn:aws:iam::111122223333:user/bob"}],
    })
}

fn look(rules: &Rules, text: &str) -> Hits {
    let mut hits = Hits::default();
    let record: Record<'_> = serde_json::from_str(text).unwrap();
    rules.look(&record, text, &mut hits);
    hits
}

fn matched(hits: &Hits) -> Vec<usize> {
    hits.groups().map(|(rule, _)| rule).collect()
}

#[test]
fn a_record_is_shown_to_the_rules_that_it_may_be_about() {
    let rules = Rules::compile(vec![
        rule("name", r#"{ $.eventName = "CreateUser" && $.eventSource = "iam.amazonaws.com" }"#),
        rule("other-source", r#"{ $.eventName = "CreateUser" && $.eventSource = "ec2.amazonaws.com" }"#),
        rule("source", r#"{ $.eventSource = "iam.amazonaws.com" }"#),
        rule("error", r#"{ $.errorCode = "Access*" }"#),
        rule("null-error", "{ $.errorCode IS NULL }"),
        rule("identity", r#"{ $.userIdentity.type = "Root" }"#),
        rule("all", "{ $.errorCode NOT EXISTS }"),
        rule("either", r#"{ $.eventName = "CreateUser" || $.eventSource = "iam.amazonaws.com" }"#),
        rule("text", r#"{ $.eventName = "CreateUser" && $.requestParameters.userName = "bobby" }"#),
    ]);
    let found = |event: &Value| matched(&look(&rules, &event.to_string()));
    let mut user = event("1", "CreateUser");
    assert_eq!(found(&user), [0, 2, 6, 7]);
    user["requestParameters"]["userName"] = json!("bobby");
    assert_eq!(found(&user), [0, 2, 6, 7, 8]);
    user["errorCode"] = json!("AccessDenied");
    assert_eq!(found(&user), [0, 2, 3, 7, 8]);
    user["errorCode"] = Value::Null;
    assert_eq!(found(&user), [0, 2, 4, 7, 8]);
    user["userIdentity"] = json!({"type": "Root"});
    user["eventSource"] = json!("s3.amazonaws.com");
    assert_eq!(found(&user), [4, 5, 7, 8]);
    // the same in other letters
    let escaped = user
        .to_string()
        .replace("Root", "R\\u006fot")
        .replace("bobby", "\\u0062obby")
        .replace("Name\":\"C", "Name\":\"\\u0043");
    assert_ne!(escaped, user.to_string());
    assert_eq!(matched(&look(&rules, &escaped)), [4, 5, 7, 8]);
}

#[test]
fn texts_are_found_however_they_are_written() {
    let rules = Rules::compile(vec![
        rule("parameter", r#"{ $.eventName = "CreateUser" && $.requestParameters.path = "*/teams/red" }"#),
        rule("identity", r#"{ $.userIdentity.arn = "*:user/red" }"#),
        rule("error", r#"{ $.errorCode = "*Denied*" }"#),
    ]);
    for (length, code) in [(0, "AccessDenied"), (300, "Client.Denied.Access")] {
        let mut user = event("1", "CreateUser");
        user["requestParameters"] = json!({"path": format!("{}/teams/red", "x".repeat(length))});
        user["userIdentity"] = json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/red"});
        user["errorCode"] = json!(code);
        let text = user.to_string();
        for (from, to) in [("", ""), ("/", "\\/"), ("red", "r\\u0065d"), ("Denied", "D\\u0065nied")] {
            let text = if from.is_empty() { text.clone() } else { text.replace(from, to) };
            assert_eq!(matched(&look(&rules, &text)), [0, 1, 2], "{text}");
        }
    }
}

#[test]
fn many_texts_are_looked_for_at_once_and_each_is_found() {
    for many in [3, 4, 5, 64, 65, 130] {
        let filter = |number: usize| match number % 3 {
            0 => format!(r#"{{ $.eventName = "CreateUser" && $.requestParameters.path = "*/team-{number}/*" }}"#),
            1 => format!(r#"{{ $.eventName = "CreateUser" && $.userAgent = "*/team-{number}/*" }}"#),
            _ => format!(r#"{{ $.eventName = "CreateUser" && $.other.name = "*/team-{number}/*" }}"#),
        };
        let rules: Vec<Rule> = (0..3 * many).map(|number| rule(&number.to_string(), &filter(number))).collect();
        let rules = Rules::compile(rules);
        for number in [0, 1, 2, many, 2 * many, 3 * many - 1] {
            let mut user = event("1", "CreateUser");
            let text = format!("x/team-{number}/y");
            match number % 3 {
                0 => user["requestParameters"] = json!({"path": text}),
                1 => user["userAgent"] = json!(text),
                _ => user["other"] = json!({"name": text}),
            }
            let text = user.to_string();
            for text in [text.replace("team", "t\\u0065am"), text.replace('/', "\\/"), text] {
                assert_eq!(matched(&look(&rules, &text)), [number], "{many} {text}");
            }
        }
    }
}

#[test]
fn languages_stand_side_by_side() {
    let sigma = "title: T\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  a:\n    eventName: createuser\n  condition: a\n";
    let crate::core::sigma::Body::Detection(detection) =
        crate::core::sigma::read(sigma).unwrap().remove(0).unwrap().body
    else {
        panic!("a detection");
    };
    let of = |id: &str, matcher: Matcher| Rule { matcher, ..rule(id, "{ $.a = 1 }") };
    let pattern =
        r#"{"source": ["aws.iam"], "account": ["111122223333"], "detail": {"eventName": [{"prefix": "Create"}]}}"#;
    let rules = Rules::compile(vec![
        rule("filter", r#"{ $.eventName = "CreateUser" }"#),
        of("pattern", Matcher::pattern(pattern).unwrap()),
        of("sigma", Matcher::Sigma("".into(), vec![detection])),
    ]);
    let user = event("1", "CreateUser");
    assert_eq!(matched(&look(&rules, &user.to_string())), [0, 1, 2]);
    let mut other = event("1", "CREATEUSER");
    assert_eq!(matched(&look(&rules, &other.to_string())), [2], "Sigma compares without case");
    other["eventName"] = json!("CreateRole");
    assert_eq!(matched(&look(&rules, &other.to_string())), [1]);
    let scene = Scene::event(Tree::parse(r#"{"eventName": "Get"}"#).unwrap(), None);
    for rule in rules.iter() {
        let told = rule.matcher.explain(&scene);
        assert!(!told.is_empty() && told.iter().any(|(_, held, _)| !held), "{}: {told:?}", rule.id);
    }
}

#[test]
fn groups_are_told_apart_and_samples_hold_no_secret() {
    let mut by_principal = rule("r", r#"{ $.eventName = "CreateUser" }"#);
    by_principal.group = vec![Field::Principal, Field::parse("requestParameters.none").unwrap()];
    let rules = Rules::compile(vec![by_principal]);
    let mut hits = Hits::default();
    for (id, arn) in [("1", "a"), ("2", "b"), ("3", "a"), ("4", "a"), ("5", "a")] {
        let mut user = event(id, "CreateUser");
        user["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!(arn);
        let text = user.to_string();
        rules.look(&serde_json::from_str(&text).unwrap(), &text, &mut hits);
    }
    let groups: Vec<_> = hits.groups().map(|(_, group)| (group.values.clone(), group.hits.len())).collect();
    assert_eq!(groups.len(), 2);
    assert!(
        groups.contains(&(vec!["a".into(), String::new()], 4))
            && groups.contains(&(vec!["b".into(), String::new()], 1))
    );
    let samples: Vec<Sample> = hits
        .groups()
        .flat_map(|(_, group)| &group.hits)
        .filter_map(|hit| hit.shown.as_ref())
        .map(Shown::sample)
        .collect();
    assert_eq!(samples.len(), 4, "three of a group");
    let told = serde_json::to_string(&samples).unwrap();
    for shown in ["bob", "eve", "198.51.100.7", "user/bob", "ASIAEXAMPLE"] {
        assert!(told.contains(shown), "{shown} is not in {told}");
    }
    for hidden in ["hunter2", "secret", "policyDocument"] {
        assert!(!told.contains(hidden), "{hidden} is in {told}");
    }
}

#[test]
fn events_count_once_however_often_they_come() {
    let mut three = rule("r", r#"{ $.eventName = "CreateUser" }"#);
    three.window.at_least = 3;
    let rules = Rules::compile(vec![three]);
    let mut trial = Trial::new(&rules);
    let feed = |trial: &mut Trial<'_>, event: &Value, now| trial.feed(&look(&rules, &event.to_string()), "log", now);
    for _ in 0..5 {
        feed(&mut trial, &event("1", "CreateUser"), 1_772_403_000);
    }
    let mut other = event("1", "CreateUser");
    other["recipientAccountId"] = json!("444455556666");
    feed(&mut trial, &other, 1_772_403_000);
    assert_eq!((trial.matched, trial.firings.len()), (2, 0), "the same id in another account is another event");
    for id in ["2", "3"] {
        feed(&mut trial, &event(id, "CreateUser"), 1_772_403_000);
    }
    assert_eq!(trial.firings.len(), 1);
    feed(&mut trial, &event("4", "CreateUser"), 1_772_403_200);
    assert_eq!((trial.firings.len(), trial.firings[0].detection.count), (1, 4));
    let told = trial.firings[0].detection.sentence();
    assert!(told.starts_with(
        "r (recipientAccountId 111122223333): 4 counted, at least 3 events within 300 s, at 2026-03-01T22:10:00Z"
    ));
    assert_eq!(trial.firings[0].detection.objects, ["log"]);
    feed(&mut trial, &event("5", "CreateUser"), 1_772_403_900);
    assert_eq!(trial.firings.len(), 2, "it was over, and is too much again");
}

#[test]
fn more_groups_than_anybody_reads_are_one() {
    let mut by_agent = rule("r", r#"{ $.eventName = "CreateUser" }"#);
    by_agent.group = vec![Field::parse("userAgent").unwrap()];
    let rules = Rules::compile(vec![by_agent]);
    let mut hits = Hits::default();
    for n in 0..5_000 {
        let mut user = event(&n.to_string(), "CreateUser");
        user["userAgent"] = json!(format!("agent {n}"));
        let text = user.to_string();
        rules.look(&serde_json::from_str(&text).unwrap(), &text, &mut hits);
    }
    assert_eq!(hits.groups().count(), 2_001);
    let many = hits.groups().find(|(_, group)| group.values == many()).unwrap().1;
    assert_eq!(many.hits.len(), 3_000);
}

#[test]
fn no_text_of_a_group_passes_for_two() {
    let two = Group::new("r", vec!["a".into(), "b".into()]);
    for values in [
        vec!["a\n1\nb".to_owned()],
        vec!["a".to_owned(), "b".to_owned(), String::new()],
        vec!["ab".to_owned(), String::new()],
    ] {
        assert_ne!(Group::new("r", values).watch, two.watch);
    }
    assert_ne!(Group::new("r2", vec!["a".into(), "b".into()]).watch, two.watch);
}

const FIELDS: &[&str] = &[
    "eventName",
    "eventSource",
    "errorCode",
    "userIdentity",
    "userIdentity.type",
    "userIdentity.sessionContext.a",
    "sourceIPAddress",
    "requestParameters.a",
    "requestID",
];
const VALUES: &[&str] = &["A", "B", "a.amazonaws.com", "Root", "10.0.0.1", "long value", "1234567"];

/// Any of one to two lists, all of one to two conditions on a field, a value and something else.
fn conditions() -> impl Strategy<Value = Vec<Vec<(&'static str, &'static str, u8)>>> {
    let condition = (prop::sample::select(FIELDS), prop::sample::select(VALUES), 0_u8..6);
    prop::collection::vec(prop::collection::vec(condition, 1..3), 1..3)
}

fn filter(any: &[Vec<(&str, &str, u8)>]) -> Matcher {
    let one = |(field, value, kind): &(&str, &str, u8)| match kind {
        0 => format!("$.{field} != \"{value}\""),
        1 => format!("$.{field} NOT EXISTS"),
        2 => format!("$.{field} IS NULL"),
        3 => format!("$.{field} = \"{value}*\""),
        _ => format!("$.{field} = \"{value}\""),
    };
    let all = |all: &Vec<_>| all.iter().map(one).collect::<Vec<_>>().join(" && ");
    Matcher::filter(&format!("{{ {} }}", any.iter().map(all).collect::<Vec<_>>().join(" || "))).unwrap()
}

fn pattern(any: &[Vec<(&str, &str, u8)>]) -> Matcher {
    let all = |all: &Vec<(&str, &str, u8)>| {
        let mut way = json!({"detail": {}});
        for (field, value, kind) in all {
            let wanted = match kind {
                0 => json!([{"anything-but": [value]}]),
                1 => json!([{"exists": false}]),
                2 => json!([null]),
                3 => json!([{"prefix": value}]),
                _ => json!([value]),
            };
            way["detail"][field] = wanted;
        }
        if all.len() > 1 {
            way["source"] = json!(["aws.a", {"anything-but": "aws.b"}]);
        }
        way
    };
    Matcher::pattern(&json!({"$or": any.iter().map(all).chain([json!({"id": ["x"]})]).collect::<Vec<_>>()}).to_string())
        .unwrap()
}

fn sigma(any: &[Vec<(&str, &str, u8)>]) -> Matcher {
    let one = |(field, value, kind): &(&str, &str, u8)| match kind {
        0 => format!("      {field}|contains: '{value}'\n"),
        1 => format!("      {field}|exists: false\n"),
        2 => format!("      {field}: null\n"),
        3 => format!("      {field}|fieldref: eventName\n"),
        _ => format!("      {field}: '{value}'\n"),
    };
    let mut text = "title: T\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n".to_owned();
    for (number, all) in any.iter().enumerate() {
        let fields: std::collections::BTreeMap<_, _> = all.iter().map(|one| (one.0, one)).collect();
        text.push_str(&format!(
            "  s{number}:\n    - {}",
            fields.into_values().map(one).collect::<String>().trim_start()
        ));
    }
    text.push_str("  condition: 1 of s*\n");
    let body =
        crate::core::sigma::read(&text).unwrap().remove(0).unwrap_or_else(|fault| panic!("{fault}\n{text}")).body;
    let crate::core::sigma::Body::Detection(detection) = body else { panic!("a detection") };
    Matcher::Sigma(text.into(), vec![detection])
}

fn records() -> impl Strategy<Value = Value> {
    let value = || {
        prop_oneof![
            4 => prop::sample::select(vec!["A", "B", "Bc", "a.amazonaws.com", "Root", "10.0.0.1", "long value"]).prop_map(Value::from),
            1 => prop::sample::select(vec![json!(null), json!(1234567), json!("1234567"), json!(true)]),
        ]
    };
    let maybe = || prop::option::of(value());
    (maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), any::<[bool; 3]>()).prop_map(
        |(name, source, error, kind, address, parameter, [is_spelled, is_listed, has_session])| {
            let mut record = json!({"eventTime": "2026-03-01T22:10:00Z", "eventID": "e"});
            for (field, value) in
                [("eventName", name), ("eventSource", source), ("errorCode", error), ("sourceIPAddress", address)]
            {
                // the record's frame is of texts
                let is_frame = field == "eventName" || field == "eventSource";
                let value = value.filter(|value| !is_frame || value.is_string() || value.is_null());
                value.into_iter().for_each(|value| record[field] = value);
            }
            let kind = kind.unwrap_or_default();
            match (is_spelled, is_listed, has_session) {
                (true, true, _) => record["userIdentity.type"] = kind,
                (true, false, _) => record["userIdentity"] = json!({"sessionContext.a": kind}),
                (false, true, _) => record["userIdentity"] = json!([{ "type": "A" }, { "type": kind }]),
                (false, false, true) => record["userIdentity"] = json!({"type": "A", "sessionContext": {"a": kind}}),
                (false, false, false) => record["userIdentity"] = json!({ "type": kind, "other": {"type": "Root"} }),
            }
            parameter.into_iter().for_each(|value| record["requestParameters"] = json!({ "a": value }));
            record
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Of hits with one value, those that are left tell in which windows the value was.
    #[test]
    fn no_window_misses_a_value(events in prop::collection::vec((300_i64..1_500, 0_u8..3), 1..40)) {
        let mut by_address = rule("r", r#"{ $.eventName = "CreateUser" }"#);
        by_address.distinct = Some(Field::parse("sourceIPAddress").unwrap());
        by_address.window.distinct = true;
        let rules = Rules::compile(vec![by_address]);
        let kept = |events: &[(i64, u8)]| {
            let mut hits = Hits::default();
            for (number, (at, value)) in events.iter().enumerate() {
                let mut user = event(&number.to_string(), "CreateUser");
                user["eventTime"] = json!(jiff::Timestamp::from_second(*at).unwrap().to_string());
                user["sourceIPAddress"] = json!(value.to_string());
                let text = user.to_string();
                rules.look(&serde_json::from_str(&text).unwrap(), &text, &mut hits);
            }
            let group = hits.groups().next().unwrap().1;
            group.hits.iter().map(|hit| (hit.moment.at, hit.moment.value)).collect::<Vec<_>>()
        };
        let all = kept(&events);
        for value in 0..3 {
            let hash = kept(&[(0, value)])[0].1;
            let seen = |end: i64| events.iter().any(|(at, own)| *own == value && (end - 299..=end).contains(at));
            let told = |end: i64| all.iter().any(|(at, own)| *own == hash && (end - 299..=end).contains(at));
            let missed = (0..2_000).find(|end| seen(*end) != told(*end));
            prop_assert_eq!(missed, None, "{}: {:?} of {:?}", value, all, events);
        }
    }

    #[test]
    fn one_value_in_one_window_is_kept_twice(times in prop::collection::vec(0_i64..300, 3..20)) {
        let mut by_address = rule("r", r#"{ $.eventName = "CreateUser" }"#);
        by_address.distinct = Some(Field::parse("sourceIPAddress").unwrap());
        let rules = Rules::compile(vec![by_address]);
        let mut hits = Hits::default();
        for (number, at) in times.iter().enumerate() {
            let mut user = event(&number.to_string(), "CreateUser");
            user["eventTime"] = json!(jiff::Timestamp::from_second(*at).unwrap().to_string());
            let text = user.to_string();
            rules.look(&serde_json::from_str(&text).unwrap(), &text, &mut hits);
        }
        let mut kept: Vec<i64> = hits.groups().next().unwrap().1.hits.iter().map(|hit| hit.moment.at).collect();
        kept.sort_unstable();
        let mut wanted = vec![*times.iter().min().unwrap(), *times.iter().max().unwrap()];
        wanted.dedup();
        prop_assert_eq!(kept, wanted);
    }

    /// Asked all at once, of what they read alone, the rules that match are those that match one by one.
    #[test]
    fn the_index_finds_what_asking_every_rule_finds(
        all in prop::collection::vec((conditions(), 0..3), 1..8), record in records(), escape: bool,
    ) {
        let matchers = all.iter().map(|(any, language)| match language {
            0 => filter(any),
            1 => pattern(any),
            _ => sigma(any),
        });
        let of = |(n, matcher)| Rule { matcher, ..rule(&format!("r{n}"), "{ $.a = 1 }") };
        let all: Vec<Rule> = matchers.enumerate().map(of).collect();
        let mut text = record.to_string();
        if escape {
            text = text.replace("Root", "\\u0052oot").replace("long", "lo\\u006eg").replace("Identity.", "\\u0049dentity.");
        }
        let scene = Scene::event(Tree::parse(&text).unwrap(), None);
        let one_by_one: Vec<usize> = (0..all.len()).filter(|n| all[*n].matcher.takes(&scene)).collect();
        prop_assert_eq!(matched(&look(&Rules::compile(all), &text)), one_by_one);
    }
}
