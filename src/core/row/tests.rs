use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::*;
use crate::core::record::frame;

fn shape(row: &Row<'_>) -> String {
    let mut shape = String::new();
    row.shape(&mut shape);
    shape
}

fn back(text: &str) -> String {
    let cut = columns(text);
    let (row, resources) = (cut.row(), cut.row().resources());
    rebuild(&shape(&row), |number| row.leaf(number), |number, part| resources.get(number)?[part]).unwrap()
}

/// Where the JSON value ends that a text begins with, by a parser that is not ours.
fn end(text: &str) -> Option<usize> {
    frame::value::<IgnoredAny>(text).ok().map(|(_, end)| end)
}

fn record() -> Value {
    json!({
        "eventVersion": "1.11", "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/a/b",
          "accessKeyId": "ASIAX", "sessionContext": {"attributes": {"mfaAuthenticated": "false"}, "sessionIssuer": {"arn": "arn:x"}}},
        "eventTime": "2026-03-01T22:10:00Z", "eventName": "RunInstances", "readOnly": false, "responseElements": null,
        "requestParameters": {"a": [1, {"b": 1e300}], "t": "x\"y"}, "eventID": "e1", "recipientAccountId": "111122223333",
        "resources": [{"ARN": "arn:r", "accountId": "111122223333", "type": "AWS::S3::Object"}, {"ARNPrefix": "arn:p"}],
        "userAgent": "a \"quoted\" agent", "tlsDetails": {"tlsVersion": "TLSv1.3"},
    })
}

#[test]
fn every_number_is_given_once() {
    fn walk(fields: &[Field], leaves: &mut Vec<usize>, groups: &mut Vec<usize>) {
        for field in fields {
            match field.holds {
                Holds::Leaf(number) => leaves.push(number),
                Holds::Group(number, fields) => {
                    groups.push(number);
                    walk(fields, leaves, groups);
                }
                Holds::Resources => {}
            }
        }
    }
    let (mut leaves, mut groups) = (Vec::new(), Vec::new());
    walk(FIELDS, &mut leaves, &mut groups);
    leaves.sort_unstable();
    groups.sort_unstable();
    assert_eq!((leaves, groups), ((0..LEAVES).collect(), (0..GROUPS).collect()));
    assert!(usize::from(ZERO) + LEAVES <= 0x7f && usize::from(ZERO) + CUT_RESOURCES * RESOURCE.len() <= 0x7f);
}

#[test]
fn columns_hold_what_the_record_says_and_the_shape_nothing_of_it() {
    let text = record().to_string();
    let cut = columns(&text);
    let row = cut.row();
    for (number, value) in [
        (0, Some("1.11")),
        (EVENT_TIME, Some("2026-03-01T22:10:00Z")),
        (9, Some(r#"{"a":[1,{"b":1e+300}],"t":"x\"y"}"#)),
        (10, None),
        (14, Some("false")),
        (6, Some("a \"quoted\" agent")),
        (32, Some("ASIAX")),
        (39, Some("false")),
        (43, Some("arn:x")),
        (60, Some("TLSv1.3")),
    ] {
        assert_eq!(row.leaf(number), value, "{number}");
    }
    let groups: Vec<usize> = (0..GROUPS).filter(|number| row.has_group(*number)).collect();
    assert_eq!(groups, [0, 1, 5, 7, 9]);
    let resources = row.resources();
    assert_eq!((resources[0][0], resources[1][3]), (Some("arn:r"), Some("arn:p")));
    assert_eq!(row.rest(), None);
    assert!(["RunInstances", "arn:", "1e300"].iter().all(|value| !shape(&row).contains(value)));
    assert_eq!(back(&text), text);
    let mut other = record();
    other["eventID"] = json!("another");
    assert_eq!(shape(&columns(&other.to_string()).row()), shape(&row), "records of a kind share their shape");
}

#[test]
fn what_has_no_column_is_in_the_rest() {
    let text = r#"{ "new" : [1, 2], "userIdentity":{"type":"Root","later":{"a":"}"}},"tlsDetails":5,"addendum":null,
      "resources":[{"ARN":"a","more":1}, 7], "eventName":{"a":1}, "awsRegion":["eu-west-1"], "readOnly":"false"}"#;
    let cut = columns(text);
    let row = cut.row();
    assert_eq!(
        row.rest(),
        Some(
            r#"{"new" : [1, 2],"userIdentity":{"later":{"a":"}"}},"tlsDetails":5,"resources":[{"ARN":"a","more":1}, 7]}"#
        )
    );
    assert!(serde_json::from_str::<Value>(row.rest().unwrap()).is_ok());
    assert_eq!((row.leaf(3), row.leaf(4), row.leaf(14)), (Some(r#"{"a":1}"#), Some(r#"["eu-west-1"]"#), Some("false")));
    assert_eq!(row.resources().len(), 1);
    assert_eq!(back(text), text);
}

#[test]
fn of_members_of_one_name_the_last_one_counts_and_both_come_back() {
    let text = r#"{"eventName":"first","eventName":"la\u0073t","eventID":"1","eventID":null,"resources":[{"type":"a","type":"b"}],"resources":[]}"#;
    let cut = columns(text);
    let row = cut.row();
    assert_eq!((row.leaf(3), row.leaf(EVENT_ID)), (Some("last"), None));
    assert!(shape(&row).contains("first"));
    assert_eq!(back(text), text);
}

#[test]
fn odd_texts_come_back() {
    let wide: String = (0..10_000).map(|number| format!("\"f{number}\":{number},")).collect();
    let long = "x".repeat(256 << 10);
    for text in [
        "{}".to_owned(),
        " {\t} ".to_owned(),
        format!("{{{wide}\"eventName\":\"a\"}}"),
        format!("{{\"userAgent\":\"{long}\"}}"),
        r#"{"userAgent":"\u0000 \ud800 \u0001A"}"#.to_owned(),
        r#"{"eventName":"","userIdentity":{},"resources":[]}"#.to_owned(),
        r#"{"userIdentity":"me","requestParameters":"text","resources":{"a":1}}"#.to_owned(),
        r#"{"resources":[{},{},{},{},{"ARN":"fifth"},[],null]}"#.to_owned(),
    ] {
        assert_eq!(back(&text), text);
    }
    assert_eq!(columns(r#"{"userAgent":"a\u0000b"}"#).row().leaf(6), Some("a\0b"));
    assert_eq!(columns(r#"{"userAgent":"\ud800"}"#).row().leaf(6), Some(r#""\ud800""#), "no text: as it is written");
    assert_eq!(columns(r#"{"requestParameters":"text"}"#).row().leaf(9), Some("text"));
    assert_eq!(back("no object"), "no object");
}

#[test]
fn a_shape_without_its_columns_is_refused() {
    let text = record().to_string();
    let cut = columns(&text);
    let row = cut.row();
    assert_eq!(rebuild(&shape(&row), |_| None, |_, _| None), None);
    assert_eq!(rebuild("\u{1}", |_| Some(""), |_, _| None), None);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            Just("eventName"),
            Just("userIdentity"),
            Just("resources"),
            Just("ARN"),
            Just("type"),
            Just("sessionContext"),
            Just("eventID"),
            Just("tlsDetails"),
            Just("other"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..7)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_comes_back(value in value(), pretty in any::<bool>()) {
        let object = json!({"resources": value, "userIdentity": value, "eventTime": value, "unknown": value});
        let text = if pretty { serde_json::to_string_pretty(&object).unwrap() } else { object.to_string() };
        prop_assert_eq!(back(&text), text);
    }

    #[test]
    fn any_text_is_endured(text in any::<String>(), cut in 0_usize..400) {
        let mut whole = record().to_string();
        let cut = whole.floor_char_boundary(cut);
        whole.truncate(cut);
        for text in [text, whole] {
            if !text.contains(['\u{1}', '\u{2}']) {
                prop_assert_eq!(back(&text), text);
            }
        }
    }

    #[test]
    fn it_is_as_strict_as_a_parser(value in value(), pretty in any::<bool>(), at in any::<prop::sample::Index>(), with in any::<prop::sample::Index>(), what in 0..3) {
        let object = json!({"eventTime": value, "resources": [value, {"ARN": value}], "x": [1.5e-7, -0, true, null, "\\\u{1}\""]});
        let mut text = if pretty { serde_json::to_string_pretty(&object).unwrap() } else { object.to_string() };
        let (at, piece) = (text.floor_char_boundary(at.index(text.len())), PIECES[with.index(PIECES.len())]);
        match what {
            0 => text.insert_str(at, piece),
            1 => drop(text.remove(at)),
            _ => text.replace_range(at..at + text[at..].chars().next().unwrap().len_utf8(), piece),
        }
        let found = cut(&text, &mut Vec::new()).map(|(end, _)| end);
        prop_assert_eq!(found, end(&text).filter(|_| text.trim_start().starts_with('{')), "{}", text);
        if text.starts_with(['{', '[', '"']) {
            prop_assert_eq!(value_end(&text), end(&text), "{}", text);
        }
    }
}

/// What makes a text invalid, or another one.
const PIECES: [&str; 31] = [
    "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "\u{1}", "\u{1f}", "\u{7f}", "0", "01", "-", "-0", "1.", ".5",
    "1e", "2E+3", "1e5", "t", "true", "nul", "null", "\\u00e", "\\u00e9", "\\x", "\"a\":1,", "é",
];

#[test]
fn any_depth_is_followed() {
    for depth in [63, 64, 65, 200, 100_000] {
        let (open, close) = ("[{\"a\":".repeat(depth), "}]".repeat(depth));
        for (inner, is_valid) in [("1", true), ("", false), ("1,", false)] {
            let text = format!("{{\"requestParameters\":{open}{inner}{close},\"eventID\":\"e\"}}");
            let found = columns(&text).row().leaf(EVENT_ID).map(str::to_owned);
            assert_eq!(found.is_some(), is_valid, "{depth} {inner}");
        }
    }
}

#[test]
fn an_aggregated_event_is_told_by_what_stands_in() {
    let text =
        r#"{"eventId":"7d","accountId":"111122223333","timeWindow":{"windowStart":"2026\u002d03"},"eventTime":null}"#;
    assert_eq!(columns(text).row().told(), [Some("2026-03"), Some("7d"), Some("111122223333")]);
    let own = r#"{"eventId":"7d","eventID":"own","timeWindow":{"windowStart":5}}"#;
    assert_eq!(columns(own).row().told(), [None, Some("own"), None]);
    let timed = r#"{"eventTime":"t","eventId":"7d","timeWindow":{"windowStart":"s"}}"#;
    assert_eq!(columns(timed).row().told(), [Some("t"), None, None]);
}
