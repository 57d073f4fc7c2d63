//! The event that EventBridge makes of a CloudTrail record (EventBridge user guide, "AWS service events delivered via CloudTrail").

use std::borrow::Cow;

use super::tree::{Object, Tree};

pub const API_CALL: &str = "AWS API Call via CloudTrail";
/// One page of the user guide spells it `Signin`; events have this.
pub const SIGN_IN: &str = "AWS Console Sign In via CloudTrail";
pub const INSIGHT: &str = "AwsCloudTrailInsight";

/// What `eventType` is called in `detail-type`. Records of any other type, and those of old versions without one, are API calls.
const TYPES: &[(&str, &str)] = &[
    ("AwsConsoleSignIn", SIGN_IN),
    ("AwsConsoleAction", "AWS Console Action via CloudTrail"),
    ("AwsServiceEvent", "AWS Service Event via CloudTrail"),
    (INSIGHT, "AWS Insight via CloudTrail"),
    ("AwsVpceEvent", "AWS Network Activity Event via CloudTrail"),
];

const SERVICE: &str = "aws.";
const INSIGHT_SOURCE: &str = "aws.cloudtrail";
const HOSTS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

/// The event of a record, which becomes its `detail`. `account`: where it was delivered, for records that do not say so
/// themselves. Fields whose value the record does not have are absent.
pub fn wrap<'a>(record: Tree<'a>, account: Option<&'a str>) -> Tree<'a> {
    let text = |name: &str| match record.get(name) {
        Some(Tree::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let account = text("recipientAccountId").or(account.map(Cow::Borrowed));
    let kind = detail_type(record.get("eventType").and_then(Tree::text));
    let members = [
        ("version", Some(Cow::Borrowed("0"))),
        ("id", text("eventID")),
        ("detail-type", Some(Cow::Borrowed(kind))),
        ("source", source(&record)),
        ("account", account),
        ("time", text("eventTime")),
        ("region", text("awsRegion")),
    ];
    let members = members.into_iter().filter_map(|(name, text)| Some((name, Tree::Text(text?))));
    let rest = [("resources", Tree::Array(Vec::new())), ("detail", record)];
    Tree::Object(members.chain(rest).collect::<Object<'_>>())
}

fn detail_type(event_type: Option<&str>) -> &'static str {
    TYPES.iter().find(|(name, _)| Some(*name) == event_type).map_or(API_CALL, |(_, kind)| kind)
}

fn source<'a>(record: &Tree<'a>) -> Option<Cow<'a, str>> {
    match record.get("eventSource") {
        Some(Tree::Text(source)) => {
            let service = HOSTS.iter().find_map(|host| source.strip_suffix(host));
            Some(service.map_or_else(|| source.clone(), |service| format!("{SERVICE}{service}").into()))
        }
        _ => {
            let insight = record.get("eventType").and_then(Tree::text) == Some(INSIGHT);
            insight.then_some(Cow::Borrowed(INSIGHT_SOURCE))
        }
    }
}

/// Every `eventSource` whose record has this `source`.
pub fn event_sources(source: &str) -> impl Iterator<Item = String> {
    let service = source.strip_prefix(SERVICE);
    let named = HOSTS.into_iter().filter_map(move |host| Some(format!("{}{host}", service?)));
    let bare = (!HOSTS.iter().any(|host| source.ends_with(host))).then(|| source.to_owned());
    named.chain(bare)
}

/// Whether Insights events, which have no `eventSource`, have this `source`.
pub fn is_insight_source(source: &str) -> bool {
    source == INSIGHT_SOURCE
}

/// The `eventType` that a `detail-type` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    One(&'static str),
    /// Also records of other types, or of none.
    Any,
    /// No record at all.
    None,
}

pub fn event_type(detail_type: &str) -> Meant {
    let named = TYPES.iter().find(|(_, kind)| *kind == detail_type).map(|(name, _)| Meant::One(name));
    named.unwrap_or(if detail_type == API_CALL { Meant::Any } else { Meant::None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(record: &str) -> Vec<String> {
        let record = Tree::parse(record).unwrap();
        let event = wrap(record.clone(), Some("999999999999"));
        assert_eq!(event.get("detail"), Some(&record));
        assert_eq!(event.get("resources"), Some(&Tree::Array(Vec::new())));
        let names = ["version", "id", "detail-type", "source", "account", "time", "region"];
        names.iter().map(|name| event.get(name).and_then(Tree::text).unwrap_or("-").to_owned()).collect()
    }

    #[test]
    fn a_record_becomes_the_event_that_eventbridge_would_have_sent() {
        assert_eq!(
            told(
                r#"{"eventType":"AwsApiCall","eventSource":"s3.amazonaws.com","eventID":"e","eventTime":"2026-03-01T22:10:00Z",
                "awsRegion":"eu-west-1","recipientAccountId":"111122223333"}"#
            ),
            ["0", "e", API_CALL, "aws.s3", "111122223333", "2026-03-01T22:10:00Z", "eu-west-1"]
        );
        let signed_in = told(r#"{"eventType":"AwsConsoleSignIn","eventSource":"signin.amazonaws.com"}"#);
        assert_eq!(signed_in, ["0", "-", SIGN_IN, "aws.signin", "999999999999", "-", "-"]);
        let insight =
            told(r#"{"eventType":"AwsCloudTrailInsight","insightDetails":{"eventSource":"ec2.amazonaws.com"}}"#);
        assert_eq!(insight[2..4], ["AWS Insight via CloudTrail", "aws.cloudtrail"]);
        for (record, kind, source) in [
            (r#"{"eventSource":"ec2.amazonaws.com.cn"}"#, API_CALL, "aws.ec2"),
            (
                r#"{"eventType":"AwsServiceEvent","eventSource":"kms.amazonaws.com"}"#,
                "AWS Service Event via CloudTrail",
                "aws.kms",
            ),
            (
                r#"{"eventType":"AwsConsoleAction","eventSource":"custom.example"}"#,
                "AWS Console Action via CloudTrail",
                "custom.example",
            ),
            (r#"{"eventType":5,"eventSource":null}"#, API_CALL, "-"),
        ] {
            assert_eq!(told(record)[2..4], [kind, source], "{record}");
        }
    }

    #[test]
    fn a_source_leads_back_to_every_event_source_that_has_it() {
        for event_source in [
            "s3.amazonaws.com",
            "ec2.amazonaws.com.cn",
            "aws.s3",
            "x.example",
            "",
            ".amazonaws.com",
            "a.amazonaws.com.cn",
        ] {
            let text = format!(r#"{{"eventSource":"{event_source}"}}"#);
            let event = wrap(Tree::parse(&text).unwrap(), None);
            let source = event.get("source").and_then(Tree::text).unwrap();
            assert!(event_sources(source).any(|one| one == event_source), "{event_source} {source}");
        }
        for (name, kind) in TYPES {
            assert_eq!(event_type(kind), Meant::One(name));
            assert_eq!(detail_type(Some(name)), *kind);
        }
        assert_eq!((event_type(API_CALL), event_type("x")), (Meant::Any, Meant::None));
    }
}
