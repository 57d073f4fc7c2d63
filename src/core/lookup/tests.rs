use super::*;
use crate::core::row::columns;

fn asked(attribute: Attribute, value: &str) -> Question {
    let mut question = Question::default();
    question.ask(attribute, &[value.to_owned()]);
    question
}

const RECORD: &str = r#"{"eventTime":"2026-03-01T10:00:00Z","eventID":"e1","eventName":"PutObject","eventSource":"s3.amazonaws.com",
"userIdentity":{"type":"AssumedRole","principalId":"AROAX:alice@example.com","arn":"arn:aws:sts::111122223333:assumed-role/deploy/alice@example.com",
"accessKeyId":"ASIA1","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/deploy","userName":"deploy"},"sourceIdentity":"al"}},
"requestParameters":{"bucketName":"b\u0041ck","key":"a/b.txt","list":[{"deep":"i-1"}]},"readOnly":false,
"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::bAck/a/b.txt"},{"ARN":"arn:aws:s3:::bAck","type":"AWS::S3::Bucket"}],"recipientAccountId":"111122223333"}"#;

#[test]
fn a_value_is_asked_for_whole_and_case_by_case() {
    use Attribute::*;
    let cut = columns(RECORD);
    let row = cut.row();
    for (attribute, value, found) in [
        (EventId, "e1", true),
        (EventId, "E1", false),
        (Event, "PutObject", true),
        (Event, "Put", false),
        (Source, "s3.amazonaws.com", true),
        (ReadOnly, "false", true),
        (ReadOnly, "true", false),
        (User, "deploy", true),
        (User, "alice@example.com", true),
        (User, "alice", false),
        (User, "al", true),
        (User, "AROAX:alice@example.com", true),
        (User, "arn:aws:iam::111122223333:role/deploy", true),
        (User, "arn:aws:sts::111122223333:assumed-role/deploy/alice@example.com", true),
        (User, "root", false),
        (AccessKey, "ASIA1", true),
        (Account, "111122223333", true),
        (Resource, "bAck", true),
        (Resource, "arn:aws:s3:::bAck", true),
        (Resource, "b.txt", true),
        (Resource, "a/b.txt", true),
        (Resource, "i-1", true),
        (Resource, "ack", false),
        (Resource, "bucketName", false),
        (ResourceType, "AWS::S3::Bucket", true),
        (ResourceType, "AWS::S3", false),
        (ErrorCode, "", false),
    ] {
        let question = asked(attribute, value);
        assert_eq!(question.matches(&row), found, "{attribute:?} {value}");
        assert!(!found || question.may_match(RECORD), "{attribute:?} {value}");
    }
    assert!(!asked(Event, "GetObject").may_match(&RECORD.replace('\\', "")), "nothing is cut up in vain");
    let mut both = asked(Event, "PutObject");
    both.ask(ReadOnly, &["true".to_owned()]);
    assert!(!both.matches(&row), "every clause must hold");
    let mut either = Question::default();
    either.ask(Event, &["GetObject".to_owned(), "PutObject".to_owned()]);
    assert!(either.matches(&row), "one value is enough");
}

#[test]
fn a_string_in_the_request_is_found_however_it_is_written() {
    for record in [
        r#"{"requestParameters":{"a":"b\u0041ck"}}"#,
        r#"{"requestParameters":["x",{"y":["bAck"]}]}"#,
        r#"{"responseElements":"bAck"}"#,
        r#"{"requestParameters":"[\"bAck\"]"}"#,
    ] {
        assert!(asked(Attribute::Resource, "bAck").matches(&columns(record).row()), "{record}");
        assert!(asked(Attribute::Resource, "bAck").may_match(record), "{record}");
    }
    for record in [r#"{"requestParameters":{"bAck":1}}"#, r#"{"requestParameters":{"a":"bAcks"}}"#, "{}"] {
        assert!(!asked(Attribute::Resource, "bAck").matches(&columns(record).row()), "{record}");
    }
}

#[test]
fn a_text_stands_anywhere_in_any_case() {
    let mut question = Question::default();
    assert!(question.search("ALICE@") && question.search("\"readonly\":false"));
    assert!(question.says(RECORD) && question.may_match(RECORD));
    assert!(question.search("bob") && !question.says(RECORD) && !question.may_match(RECORD));
    assert!(!question.search(""));
}

#[test]
fn times_are_from_one_and_before_another() {
    let question = Question { from: Some(10), to: Some(20), ..Question::default() };
    let covered: Vec<i64> = (8..22).filter(|when| question.covers(Some(*when))).collect();
    assert_eq!((covered[0], covered[covered.len() - 1]), (10, 19));
    assert!(!question.covers(None) && Question::default().covers(None));
    assert_eq!(when(Some("1970-01-01T01:00:09+01:00"), Some(5)), Some(9));
    assert_eq!((when(Some("yesterday"), Some(5)), when(None, Some(5)), when(None, None)), (Some(5), Some(5), None));
}

#[test]
fn the_user_name_is_what_lookupevents_shows() {
    let of = |identity: &str| username(&columns(&format!("{{\"userIdentity\":{identity}}}")).row()).map(str::to_owned);
    assert_eq!(username(&columns(RECORD).row()), Some("alice@example.com"));
    assert_eq!(of(r#"{"type":"Root","principalId":"111122223333"}"#).as_deref(), Some("root"));
    assert_eq!(of(r#"{"type":"IAMUser","userName":"bob","principalId":"AIDAX"}"#).as_deref(), Some("bob"));
    assert_eq!(of(r#"{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}"#).as_deref(), Some("ec2.amazonaws.com"));
    assert_eq!(of(r#""me""#), None);
}

#[test]
fn the_newest_ranks_first_and_what_has_no_time_last() {
    let rank = |when, id: &str| Rank::new(when, Some(id), None);
    let mut ranks = [rank(None, "a"), rank(Some(1), "b"), rank(Some(2), "c"), rank(Some(2), "a")];
    ranks.sort();
    assert_eq!(ranks, [rank(Some(2), "a"), rank(Some(2), "c"), rank(Some(1), "b"), rank(None, "a")]);
}
