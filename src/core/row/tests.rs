use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn shape(row: &Row<'_>) -> String {
    let mut shape = String::new();
    row.shape(&mut shape);
    shape
}

fn back(text: &str) -> String {
    let row = shred(text);
    let resource = |number: usize, part: usize| row.resources.as_ref()?.get(number)?[part].as_deref();
    rebuild(&shape(&row), |number| row.leaf(number), resource).unwrap()
}

fn told_as_cut(text: &str) -> Result<(), TestCaseError> {
    let row = columns(text);
    let cut = [EVENT_TIME, EVENT_ID, RECIPIENT].map(|leaf| row.leaf(leaf));
    let told_by = told_by(text);
    prop_assert_eq!(told_by.each_ref().map(|value| value.as_deref()), cut, "{}", text);
    if let Ok(record) = serde_json::from_str::<Record<'_>>(text) {
        prop_assert_eq!(told(&record, text), told_by, "{}", text);
    }
    Ok(())
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
    let row = shred(&text);
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
    assert_eq!(row.groups, [true, true, false, false, false, true, false, true, false, true]);
    let resources = row.resources.as_ref().unwrap();
    assert_eq!((resources[0][0].as_deref(), resources[1][3].as_deref()), (Some("arn:r"), Some("arn:p")));
    assert_eq!(row.rest, None);
    assert!(["RunInstances", "arn:", "1e300"].iter().all(|value| !shape(&row).contains(value)));
    assert_eq!(back(&text), text);
    let mut other = record();
    other["eventID"] = json!("another");
    assert_eq!(shape(&shred(&other.to_string())), shape(&row), "records of a kind share their shape");
}

#[test]
fn what_has_no_column_is_in_the_rest() {
    let text = r#"{ "new" : [1, 2], "userIdentity":{"type":"Root","later":{"a":"}"}},"tlsDetails":5,"addendum":null,
      "resources":[{"ARN":"a","more":1}, 7], "eventName":{"a":1}, "awsRegion":["eu-west-1"], "readOnly":"false"}"#;
    let row = shred(text);
    assert_eq!(
        row.rest.as_deref(),
        Some(
            r#"{"new" : [1, 2],"userIdentity":{"later":{"a":"}"}},"tlsDetails":5,"resources":[{"ARN":"a","more":1}, 7]}"#
        )
    );
    assert!(serde_json::from_str::<Value>(row.rest.as_deref().unwrap()).is_ok());
    assert_eq!((row.leaf(3), row.leaf(4), row.leaf(14)), (Some(r#"{"a":1}"#), Some(r#"["eu-west-1"]"#), Some("false")));
    assert_eq!(row.resources.as_ref().unwrap().len(), 1);
    assert_eq!(back(text), text);
}

#[test]
fn of_members_of_one_name_the_last_one_counts_and_both_come_back() {
    let text = r#"{"eventName":"first","eventName":"la\u0073t","eventID":"1","eventID":null,"resources":[{"type":"a","type":"b"}],"resources":[]}"#;
    let row = shred(text);
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
    assert_eq!(shred(r#"{"userAgent":"a\u0000b"}"#).leaf(6), Some("a\0b"));
    assert_eq!(shred(r#"{"userAgent":"\ud800"}"#).leaf(6), Some(r#""\ud800""#), "no text: as it is written");
    assert_eq!(shred(r#"{"requestParameters":"text"}"#).leaf(9), Some("text"));
    assert_eq!(back("no object"), "no object");
}

#[test]
fn a_shape_without_its_columns_is_refused() {
    let text = record().to_string();
    let row = shred(&text);
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
    fn a_record_is_told_by_what_its_columns_have(members in prop::collection::vec((0_usize..7, value()), 0..8)) {
        let names = ["eventTime", "eventID", "recipientAccountId", "eventId", "accountId", "timeWindow", "x"];
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{}\": {value}", names[*name])).collect();
        told_as_cut(&format!("{{{}}}", members.join(",")))?;
        told_as_cut(&format!("{{\"timeWindow\":{{\"windowStart\":\"\\u0032\"}},{}}}", members.join(",")).replace(",}", "}"))?;
    }

    #[test]
    fn any_text_is_endured(text in any::<String>(), cut in 0_usize..400) {
        let mut whole = record().to_string();
        let cut = whole.floor_char_boundary(cut);
        whole.truncate(cut);
        for text in [text, whole] {
            let row = shred(&text);
            let resource = |number: usize, part: usize| row.resources.as_ref()?.get(number)?[part].as_deref();
            if !text.contains(['\u{1}', '\u{2}']) {
                prop_assert_eq!(rebuild(&shape(&row), |number| row.leaf(number), resource), Some(text.clone()));
            }
        }
    }
}
