use serde_json::{Value, json};

use super::*;
use crate::core::key::{LogKey, ObjectKey, parse};
use crate::core::record;

const OWNER: &str = "111122223333";
const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org-main";

fn key() -> LogKey {
    let text = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz";
    match parse(text) {
        ObjectKey::Log(log) => log,
        other => panic!("{other:?}"),
    }
}

fn ours() -> Ours {
    let home = Region::parse("eu-west-1").unwrap();
    Ours {
        bucket: Some("trail-logs".into()),
        queue: Some("https://sqs.eu-west-1.amazonaws.com/111122223333/warden".into()),
        names: vec![Name { name: "org-main".into(), home, account: None }],
        trails: Vec::new(),
        keys: vec!["arn:aws:kms:eu-west-1:111122223333:key/1234abcd-0000-1111-2222-333344445555".into()],
        senders: vec![
            "arn:aws:sns:eu-west-1:111122223333:deliveries".into(),
            "arn:aws:events:eu-west-1:111122223333:rule/deliveries".into(),
            "arn:aws:events:eu-west-1:111122223333:rule/bus/other".into(),
        ],
        keepers: Vec::new(),
    }
}

fn event(service: &str, name: &str, parameters: Value) -> Value {
    json!({
        "eventVersion": "1.11", "eventTime": "2026-03-01T22:10:00Z", "eventSource": format!("{service}.amazonaws.com"),
        "eventName": name, "awsRegion": "eu-west-1", "recipientAccountId": OWNER, "eventID": format!("id-{name}"),
        "sourceIPAddress": "198.51.100.7", "requestParameters": parameters, "responseElements": null,
        "userIdentity": {
            "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/admin/eve",
            "sessionContext": { "sessionIssuer": { "type": "Role", "arn": "arn:aws:iam::111122223333:role/admin" } },
        },
    })
}

fn changes_of(events: &[Value], ours: &Ours) -> Changes {
    let mut changes = Changes::default();
    let text = json!({ "Records": events }).to_string();
    let file = record::read(text.as_bytes(), &key(), |record, raw| changes.look(record, raw, ours)).unwrap();
    assert_eq!(file.rejects, []);
    changes
}

fn is_ours(event: &Value) -> bool {
    !changes_of(std::slice::from_ref(event), &ours()).is_empty()
}

fn now() -> Timestamp {
    "2026-03-01T22:20:00Z".parse().unwrap()
}

fn only(changes: &Changes) -> &Group {
    let mut groups = changes.groups();
    let group = groups.next().expect("a change");
    assert!(groups.next().is_none(), "{changes:#?}");
    group
}

fn told(event: &Value) -> Finding {
    let changes = changes_of(std::slice::from_ref(event), &ours());
    let group = only(&changes);
    group.last.finding(&group.subject, "trail-logs", "the/log", group.events.len() as u64, now())
}

/// A call as it would name what is ours.
fn about_ours(call: &Call) -> Value {
    let mut parameters = match call.thing {
        Thing::Trail => json!({ call.parameters[usize::from(call.name.starts_with("Put"))]: TRAIL }),
        Thing::Bucket => json!({ "bucketName": "trail-logs", "Host": "trail-logs.s3.eu-west-1.amazonaws.com" }),
        Thing::Key => json!({ "keyId": "1234abcd-0000-1111-2222-333344445555" }),
        Thing::Queue => json!({ "queueUrl": "https://sqs.eu-west-1.amazonaws.com/111122223333/warden" }),
        Thing::Topic if matches!(call.name, "Unsubscribe" | "SetSubscriptionAttributes") => {
            json!({ "subscriptionArn": "arn:aws:sns:eu-west-1:111122223333:deliveries:6b0e71bd-7e97" })
        }
        Thing::Topic => json!({ "topicArn": "arn:aws:sns:eu-west-1:111122223333:deliveries" }),
        Thing::Rule => json!({ call.parameters[usize::from(call.name.ends_with("Targets"))]: "deliveries" }),
        Thing::Organization => json!({ "servicePrincipal": "cloudtrail.amazonaws.com" }),
    };
    if call.name == "PutObjectRetention" {
        parameters["x-amz-bypass-governance-retention"] = json!("true");
    }
    event(call.service, call.name, parameters)
}

#[test]
fn every_call_of_the_table_is_found_on_what_is_ours_and_on_nothing_else() {
    for (number, call) in CALLS.iter().enumerate() {
        let twins = CALLS.iter().filter(|other| (other.service, other.name) == (call.service, call.name));
        assert_eq!(twins.count(), 1, "{} stands twice", call.name);
        assert_eq!(find(&format!("{}.amazonaws.com", call.service), call.name), Some(&CALLS[number]));
        let event = about_ours(call);
        let finding = told(&event);
        assert_eq!((finding.kind, finding.severity), (Kind::EvidenceChainChanged, call.severity), "{}", call.name);
        assert!(finding.detail.contains(call.effect), "{}", finding.detail);
        if call.thing == Thing::Organization {
            continue;
        }
        let text = event["requestParameters"].to_string();
        for (a, b) in [
            ("org-main", "mine"),
            ("trail-logs", "my-logs"),
            ("1234abcd", "1234abce"),
            ("warden", "mine"),
            ("deliveries", "mine"),
        ] {
            let theirs = serde_json::from_str(&text.replace(a, b)).unwrap();
            let mut other = event.clone();
            other["requestParameters"] = theirs;
            assert_eq!(is_ours(&other), !text.contains(a), "{} {}", call.name, other["requestParameters"]);
        }
    }
    for (service, name) in [
        ("kms", "DeleteImportedKeyMaterial"),
        ("sqs", "AddPermission"),
        ("sqs", "RemovePermission"),
        ("sns", "SetTopicAttributes"),
        ("sns", "SetSubscriptionAttributes"),
        ("events", "PutRule"),
        ("events", "PutTargets"),
    ] {
        assert!(find(&format!("{service}.amazonaws.com"), name).is_some(), "{name}");
    }
    for (source, name) in
        [("s3.amazonaws.com", "GetObject"), ("ec2.amazonaws.com", "StopLogging"), ("s3.example.com", "DeleteBucket")]
    {
        assert_eq!(find(source, name), None);
    }
}

#[test]
fn a_finding_says_who_did_what_from_where_and_when() {
    let finding = told(&event("cloudtrail", "StopLogging", json!({ "name": TRAIL })));
    assert_eq!(
        finding.detail,
        "StopLogging on arn:aws:cloudtrail:eu-west-1:111122223333:trail/org-main was done: nothing is recorded from then on. By \
         arn:aws:sts::111122223333:assumed-role/admin/eve from 198.51.100.7 at 2026-03-01T22:10:00Z in eu-west-1, account \
         111122223333, event id-StopLogging"
    );
    assert_eq!(finding.account.map(String::from).as_deref(), Some(OWNER));
    assert_eq!(finding.region.map(String::from).as_deref(), Some("eu-west-1"));
    assert_eq!((finding.trail.as_deref(), finding.object.as_deref()), (Some("org-main"), Some("the/log")));
    let mut service = event("s3", "PutBucketPolicy", json!({ "bucketName": "trail-logs" }));
    service["userIdentity"]["invokedBy"] = json!("cloudformation.amazonaws.com");
    assert!(told(&service).detail.contains("admin/eve through cloudformation.amazonaws.com from"));
    service["userIdentity"] = json!({ "type": "AWSService", "invokedBy": "x.amazonaws.com" });
    assert!(told(&service).detail.contains("By x.amazonaws.com from"));
}

#[test]
fn what_was_refused_is_told_with_less_weight_and_as_a_finding_of_its_own() {
    let done = event("cloudtrail", "StopLogging", json!({ "name": "org-main" }));
    let mut refused = done.clone();
    refused["errorCode"] = json!("AccessDenied");
    refused["errorMessage"] = json!(format!(
        "User: arn:aws:iam::111122223333:user/eve is not authorized to perform: cloudtrail:StopLogging on resource: {TRAIL} with an explicit deny"
    ));
    let finding = told(&refused);
    assert_eq!(finding.severity, Severity::Medium);
    assert!(
        finding.detail.contains("was refused (AccessDenied): it would have meant that nothing is"),
        "{}",
        finding.detail
    );
    assert_ne!(finding.subject, told(&done).subject);
    // A refusal may keep what was asked for to itself; its words name it.
    refused["requestParameters"] = json!(null);
    assert_eq!(told(&refused).severity, Severity::Medium);
    assert!(!changes_of(&[refused], &ours()).any_done(now()));
    assert!(changes_of(&[done], &ours()).any_done(now()));
    let mut low = event(
        "sqs",
        "SetQueueAttributes",
        json!({ "queueUrl": "https://sqs.eu-west-1.amazonaws.com/111122223333/warden" }),
    );
    low["errorCode"] = json!("AccessDenied");
    assert_eq!(told(&low).severity, Severity::Low);
}

#[test]
fn a_trail_is_ours_by_name_and_home_and_by_owner_once_that_is_known() {
    let stop = |name: &str, region: &str, account: &str| {
        let mut event = event("cloudtrail", "StopLogging", json!({ "name": name }));
        (event["awsRegion"], event["recipientAccountId"]) = (json!(region), json!(account));
        event
    };
    let mut known = ours();
    let has = |ours: &Ours, event: &Value| !changes_of(std::slice::from_ref(event), ours).is_empty();
    let foreign = stop("org-main", "eu-west-1", "444455556666");
    assert!(has(&known, &stop("org-main", "eu-west-1", OWNER)));
    assert!(has(&known, &foreign), "nobody has said yet whose the trail is");
    assert!(!has(&known, &stop("org-main", "us-east-1", OWNER)), "a trail stops at home only");
    let mut tried = stop("org-main", "us-east-1", OWNER);
    tried["errorCode"] = json!("InvalidHomeRegionException");
    assert!(has(&known, &tried), "an attempt is one wherever it is made");
    known.trails = vec![TRAIL.into()];
    assert!(has(&known, &stop("org-main", "eu-west-1", OWNER)));
    assert!(has(&known, &stop(TRAIL, "eu-west-1", "444455556666")), "an ARN says itself whose it is");
    assert!(!has(&known, &foreign), "a trail of the same name that is somebody else's");
    assert!(!has(
        &known,
        &stop("arn:aws:cloudtrail:eu-west-1:444455556666:trail/org-main", "eu-west-1", "444455556666")
    ));
    assert!(!has(&known, &stop("private", "eu-west-1", OWNER)));
    known = Ours::default();
    assert!(!has(&known, &stop("org-main", "eu-west-1", OWNER)));
    let home = Region::parse("eu-west-1").unwrap();
    known.learn(Name { name: "org-main".into(), home, account: AccountId::parse(OWNER).ok() });
    assert!(has(&known, &stop("org-main", "eu-west-1", OWNER)) && !has(&known, &foreign));
}

#[test]
fn queues_rules_and_keys_are_told_apart_by_account_region_and_bus() {
    let purge = |url: &str| is_ours(&event("sqs", "PurgeQueue", json!({ "queueUrl": url })));
    assert!(purge("https://eu-west-1.queue.amazonaws.com/111122223333/warden"));
    assert!(purge("arn:aws:sqs:eu-west-1:111122223333:warden"));
    assert!(!purge("https://sqs.eu-west-1.amazonaws.com/444455556666/warden"));
    assert!(!purge("https://sqs.us-east-1.amazonaws.com/111122223333/warden"));
    let rule =
        |name: &str, bus: Value| is_ours(&event("events", "DisableRule", json!({ "name": name, "eventBusName": bus })));
    assert!(rule("deliveries", json!("default")) && rule("deliveries", json!(null)));
    assert!(rule("other", json!("bus")) && rule("other", json!("arn:aws:events:eu-west-1:111122223333:event-bus/bus")));
    assert!(!rule("other", json!(null)) && !rule("deliveries", json!("bus")));
    let mut other = event("events", "DisableRule", json!({ "name": "deliveries" }));
    other["recipientAccountId"] = json!("444455556666");
    assert!(!is_ours(&other));
    let mut alias = event("kms", "DisableKey", json!({ "keyId": "alias/logs" }));
    assert!(!is_ours(&alias));
    alias["resources"] = json!([7, { "ARN": 5 }]);
    assert!(!is_ours(&alias), "what makes no sense is nobody's");
    alias["resources"] = json!([{ "ARN": ours().keys[0], "accountId": OWNER }]);
    assert!(is_ours(&alias));
}

#[test]
fn only_what_bypasses_a_lock_and_only_cloudtrails_access_matter() {
    let retention = |extra: Value| {
        let mut parameters = json!({ "bucketName": "trail-logs", "key": "k", "retention": "" });
        parameters.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        is_ours(&event("s3", "PutObjectRetention", parameters))
    };
    assert!(!retention(json!({})) && !retention(json!({ "x-amz-bypass-governance-retention": "false" })));
    assert!(retention(json!({ "x-amz-bypass-governance-retention": "true" })));
    assert!(retention(json!({ "x-amz-bypass-governance-retention": true })));
    let access = |service: &str| {
        is_ours(&event("organizations", "DisableAWSServiceAccess", json!({ "servicePrincipal": service })))
    };
    assert!(access("cloudtrail.amazonaws.com") && !access("config.amazonaws.com"));
}

#[test]
fn a_flood_is_one_finding_with_a_count_and_each_day_has_its_own() {
    let hold = |number: u32, session: &str, time: &str| {
        let mut event =
            event("s3", "PutObjectLegalHold", json!({ "bucketName": "trail-logs", "key": format!("k{number}") }));
        event["eventID"] = json!(format!("e{number}"));
        event["eventTime"] = json!(time);
        event["userIdentity"]["arn"] = json!(format!("arn:aws:sts::111122223333:assumed-role/admin/{session}"));
        event
    };
    let flood: Vec<Value> =
        (0..500).map(|number| hold(number, &format!("s{number}"), "2026-03-01T22:10:00Z")).collect();
    let changes = changes_of(&flood, &ours());
    let group = only(&changes);
    assert_eq!(group.events.len(), 500);
    let detail = group.last.finding(&group.subject, "b", "k", 500, now()).detail;
    assert!(detail.ends_with("; 500 such calls, this is the last"), "{detail}");
    let days = changes_of(
        &[
            hold(1, "s", "2026-03-01T22:10:00Z"),
            hold(2, "s", "2026-03-01T23:59:59Z"),
            hold(3, "s", "2026-03-02T00:00:00Z"),
        ],
        &ours(),
    );
    let counts: Vec<(usize, i64)> = days.groups().map(|group| (group.events.len(), group.last.at % 86_400)).collect();
    assert_eq!(counts, [(2, 86_399), (1, 0)]);
    // As many actors as one likes make no more findings than one can read.
    let many: Vec<Value> = (0..1_000)
        .map(|number| {
            let mut event = hold(number, "s", "2026-03-01T22:10:00Z");
            event["userIdentity"] = json!({ "arn": format!("arn:aws:iam::111122223333:user/u{number}") });
            event
        })
        .collect();
    let changes = changes_of(&many, &ours());
    assert_eq!(changes.groups().count(), MOST + 1);
    assert_eq!(changes.groups().map(|group| group.events.len()).sum::<usize>(), 1_000);
    // Nor does one actor's flood take more room than that.
    let flood: Vec<Value> = (0..1_003).map(|number| hold(number, "s", "2026-03-01T22:10:00Z")).collect();
    let changes = changes_of(&flood, &ours());
    assert_eq!((only(&changes).events.len(), only(&changes).more), (MOST_EVENTS, 3));
}

#[test]
fn two_sides_of_one_call_have_one_id_and_history_wakes_nobody() {
    let mut one = event("s3", "PutBucketPolicy", json!({ "bucketName": "trail-logs" }));
    one["sharedEventID"] = json!("shared");
    let mut other = one.clone();
    (other["eventID"], other["recipientAccountId"]) = (json!("another"), json!("444455556666"));
    let id = |event: &Value| only(&changes_of(std::slice::from_ref(event), &ours())).events.clone();
    assert_eq!(id(&one), id(&other));
    other["sharedEventID"] = json!(null);
    assert_ne!(id(&one), id(&other));
    let changes = changes_of(&[one], &ours());
    let late = now() + jiff::SignedDuration::from_hours(24 * 46);
    assert_eq!(only(&changes).last.finding("s", "b", "k", 1, late).severity, Severity::Low);
    assert!(changes.any_done(now()) && !changes.any_done(late));
}

#[test]
fn hostile_records_are_harmless() {
    let stop = || event("cloudtrail", "StopLogging", json!({ "name": TRAIL }));
    for (name, value) in [
        ("userIdentity", json!([1])),
        ("userIdentity", json!({ "arn": { "a": 1 }, "sessionContext": 5 })),
        ("sourceIPAddress", json!({ "x": [] })),
        ("sharedEventID", json!(7)),
        ("resources", json!("none")),
        ("resources", json!([null, 5, { "ARN": [1] }])),
        ("eventID", json!(null)),
        ("awsRegion", json!("\u{202e}../..")),
    ] {
        let mut event = stop();
        event[name] = value;
        let finding = told(&event);
        assert!(!finding.detail.contains('\u{202e}'), "{}", finding.detail);
    }
    for parameters in [json!(null), json!([TRAIL]), json!({ "name": [TRAIL] }), json!({ "name": "" }), json!(7)] {
        let mut event = stop();
        event["requestParameters"] = parameters;
        assert!(!is_ours(&event));
    }
    let mut long = stop();
    long["userIdentity"] = json!({ "arn": "x\n".repeat(200_000) });
    assert!(told(&long).detail.len() < 2_000);
    long["userAgent"] = json!("x".repeat(LARGEST));
    assert!(!is_ours(&long), "CloudTrail writes no such record");
}

/// The role is configured, and believed in what retention does with it; in nothing else, and never to hide somebody else's call.
#[test]
fn what_the_warden_itself_does_is_told_in_a_low_voice() {
    let ours = Ours { keepers: vec!["arn:aws:iam::111122223333:role/admin".into()], ..ours() };
    let severity = |event: &Value| {
        let changes = changes_of(std::slice::from_ref(event), &ours);
        let group = changes.groups().next().unwrap();
        group.last.finding(&group.subject, "trail-logs", "log", 1, now()).severity
    };
    let bucket = || json!({ "bucketName": "trail-logs" });
    for name in ["PutBucketLifecycle", "PutBucketVersioning", "PutObjectLegalHold", "PutBucketObjectLockConfiguration"]
    {
        let own = event("s3", name, bucket());
        assert_eq!(severity(&own), Severity::Low, "{name}");
        let mut other = own.clone();
        other["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = "arn:aws:iam::111122223333:role/other".into();
        assert!(severity(&other) > Severity::Low, "{name}");
    }
    // The doctor's questions: refused for what they are, never for who asks.
    let told = |name: &str, error: &str, role: &str| {
        let mut event = event("s3", name, bucket());
        event["errorCode"] = error.into();
        event["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = role.into();
        !changes_of(&[event], &ours).is_empty()
    };
    let (own, other) = ("arn:aws:iam::111122223333:role/admin", "arn:aws:iam::111122223333:role/other");
    for name in ["PutBucketLifecycle", "PutBucketVersioning", "PutObjectLockConfiguration", "PutObjectLegalHold"] {
        assert!(!told(name, "MalformedXML", own) && !told(name, "BadDigest", own), "{name}");
        assert!(told(name, "AccessDenied", own) && told(name, "MalformedXML", other), "{name}");
    }
    assert!(told("PutBucketPolicy", "MalformedXML", own), "the doctor does not ask this");
    assert!(severity(&event("s3", "PutBucketPolicy", bucket())) > Severity::Low);
    assert!(severity(&event("cloudtrail", "StopLogging", json!({ "name": TRAIL }))) > Severity::Low);
}
