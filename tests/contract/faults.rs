//! Refusals, faults and corners that no emulator shows: how they are classed, and what is asked meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trailwarden::aws::{Aws, Options};
use trailwarden::core::alert::Alert;
use trailwarden::core::id::{AccountId, Region};
use trailwarden::error::{Class, Error};
use trailwarden::seam::{Bucket as _, Channel as _, Got, Keys as _, Metadata, Queue as _};

use crate::common::emulator::loader;
use crate::common::stub::{Answer, Stub};

const MIB: u64 = 1 << 20;

async fn connect(endpoint: &str) -> Aws {
    Aws::connect_from(loader(endpoint), &Options::default()).await
}

/// What `get` makes of an answer, and how often it asked.
async fn got(answer: Answer) -> (Result<Got, Error>, usize) {
    let stub = Stub::start(move |_| answer.clone());
    let bucket = connect(&stub.endpoint).await.bucket("bucket", None);
    let got = bucket.get("key", Some("version"), MIB).await;
    (got, stub.asked().len())
}

#[tokio::test]
async fn a_slow_down_passes_and_is_tried_three_times() {
    let answer = Answer::s3_error(503, "SlowDown", "Please reduce your request rate.").header("retry-after", "7");
    let (got, asked) = got(answer).await;
    let error = got.unwrap_err();
    assert_eq!(error.class, Class::Transient { retry_after: Some(Duration::from_secs(7)) });
    assert_eq!(error.code.as_deref(), Some("SlowDown"));
    assert_eq!(error.op, "s3:GetObject");
    assert!(error.text.starts_with("please reduce your request rate (status 503, code SlowDown"), "{error}");
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_bare_503_passes() {
    let (got, asked) = got(Answer::new(503, "")).await;
    assert_eq!(got.unwrap_err().class, Class::TRANSIENT);
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_refusal_is_final_and_asked_once() {
    for (status, code) in [
        (403, "AccessDenied"),
        (400, "KMS.DisabledException"),
        (403, "InvalidObjectState"),
        (404, "NoSuchBucket"),
        (403, "InvalidAccessKeyId"),
        (301, "PermanentRedirect"),
        (400, "InvalidArgument"),
    ] {
        let (got, asked) = got(Answer::s3_error(status, code, "No.")).await;
        let error = got.unwrap_err();
        assert_eq!(error.class, Class::Permanent, "{error}");
        assert_eq!(error.code.as_deref(), Some(code));
        assert_eq!(asked, 1, "{code}");
    }
}

#[tokio::test]
async fn an_expired_token_passes() {
    let (got, _) = got(Answer::s3_error(400, "ExpiredToken", "The provided token has expired.")).await;
    assert!(got.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_signatures_text_stays_out_of_errors() {
    let (got, _) = got(Answer::s3_error(403, "SignatureDoesNotMatch", "Authorization=AWS4-HMAC SECRET")).await;
    let error = got.unwrap_err();
    assert_eq!(error.class, Class::Permanent);
    assert!(!error.to_string().contains("SECRET"), "{error}");
}

#[tokio::test]
async fn what_cannot_exist_is_absent() {
    for answer in [
        Answer::s3_error(404, "NoSuchKey", "no"),
        Answer::s3_error(404, "NoSuchVersion", "no"),
        Answer::s3_error(405, "MethodNotAllowed", "a delete marker").header("x-amz-delete-marker", "true"),
        Answer::s3_error(400, "InvalidArgument", "Invalid version id specified"),
        Answer::s3_error(400, "KeyTooLongError", "Your key is too long"),
    ] {
        let (got, _) = got(answer).await;
        assert!(matches!(got, Ok(Got::Absent)), "{got:?}");
    }
}

#[tokio::test]
async fn a_delete_marker_is_absent_to_head_too() {
    let stub = Stub::start(|_| Answer::new(405, ""));
    let bucket = connect(&stub.endpoint).await.bucket("bucket", None);
    assert!(bucket.head("key", Some("marker")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_head_needs_a_human() {
    let stub = Stub::start(|_| Answer::new(403, ""));
    let bucket = connect(&stub.endpoint).await.bucket("bucket", None);
    assert_eq!(bucket.head("key", None).await.unwrap_err().class, Class::Permanent);
}

#[tokio::test]
async fn nobody_listening_passes() {
    let bucket = connect("http://127.0.0.1:9").await.bucket("bucket", None);
    let error = bucket.get("key", None, MIB).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (Class::TRANSIENT, None), "{error}");
}

/// Half a body must be an error: its hash would look like tampering.
#[tokio::test]
async fn a_body_that_breaks_off_passes() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8192];
            let Ok(1..) = stream.read(&mut request).await else { continue };
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await.ok();
        }
    });
    let bucket = connect(&endpoint).await.bucket("bucket", None);
    let error = bucket.get("key", None, MIB).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.abort();
}

#[tokio::test]
async fn the_owner_is_pinned_and_no_checksum_mode_is_asked() {
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let stub = Stub::start(move |asked| match (asked.method.as_str(), asked.query.contains("list-type")) {
        ("GET", true) => Answer::new(200, listing),
        ("GET", false) => Answer::new(200, "body").header("content-encoding", "gzip"),
        _ => Answer::new(200, ""),
    });
    let owner = AccountId::parse("012345678901").unwrap();
    let bucket = connect(&stub.endpoint).await.bucket("bucket", Some(owner));
    // Not inflated, although it says that it could be.
    assert!(matches!(bucket.get("key", None, MIB).await.unwrap(), Got::Found(object) if object.body == b"body"));
    bucket.head("key", None).await.unwrap();
    bucket.list("", None).await.unwrap();
    bucket.folders("").await.unwrap();
    bucket.put("key", b"x".to_vec(), Metadata::new()).await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked.len(), 5);
    for request in asked {
        let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("x-amz-expected-bucket-owner"), "012345678901", "{} {}", request.method, request.query);
        assert_eq!(header("x-amz-checksum-mode"), "", "{} {}", request.method, request.query);
        assert!(request.path.starts_with("/bucket"), "{}", request.path);
        if request.method == "PUT" {
            // Object Lock wants one; this is `x`.
            assert_eq!(header("x-amz-checksum-sha256"), "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=");
        }
    }
}

#[tokio::test]
async fn keys_that_xml_cannot_hold_are_listed() {
    let stub = Stub::start(|asked| {
        assert!(asked.query.contains("encoding-type=url"));
        let xml = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
                   <Contents><Key>a%01+b%2Bc%FCd</Key><Size>1</Size></Contents></ListBucketResult>";
        Answer::new(200, xml.replace("%FC", "%C3%BC"))
    });
    let page = connect(&stub.endpoint).await.bucket("bucket", None).list("a", None).await.unwrap();
    assert_eq!(page.objects[0].key, "a\u{1} b+cüd");
}

#[tokio::test]
async fn an_empty_page_of_a_listing_does_not_end_it() {
    let stub = Stub::start(|asked| {
        let xml = if asked.query.contains("continuation-token=next") {
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents></ListBucketResult>"
        } else {
            "<ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>next</NextContinuationToken></ListBucketResult>"
        };
        Answer::new(200, xml)
    });
    let page = connect(&stub.endpoint).await.bucket("bucket", None).list("", None).await.unwrap();
    assert_eq!(page.objects.len(), 1);
}

#[tokio::test]
async fn a_batchs_failures_are_read_one_by_one() {
    let stub = Stub::start(|asked| {
        let failed = json!([
            { "Id": "1", "Code": "InternalError", "SenderFault": false, "Message": "Try again." },
            { "Id": "2", "Code": "ReceiptHandleIsInvalid", "SenderFault": true },
        ]);
        let entries = asked.json()["Entries"].as_array().map_or(0, Vec::len);
        let failed = if entries == 10 { failed } else { json!([]) };
        Answer::json(&json!({ "Successful": [], "Failed": failed }))
    });
    let queue = connect(&stub.endpoint).await.queue(format!("{}/q", stub.endpoint), Duration::from_secs(30));
    let receipts: Vec<String> = (0..12).map(|number| format!("r{number}")).collect();
    assert_eq!(queue.done(&receipts).await.unwrap(), ["r1"]);
    let error = queue.extend(&receipts, Duration::from_secs(30)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let mut sizes: Vec<_> =
        stub.asked().iter().map(|asked| asked.json()["Entries"].as_array().unwrap().len()).collect();
    // The calls of one batch are made at once.
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2, 10, 10]);
}

#[tokio::test]
async fn a_delay_stays_within_the_twelve_hours_of_sqs() {
    let stub = Stub::start(|_| Answer::json(&json!({})));
    let queue = connect(&stub.endpoint).await.queue(format!("{}/q", stub.endpoint), Duration::from_secs(30));
    queue.later("r", Duration::from_secs(86_400)).await.unwrap();
    let seconds = stub.asked()[0].json()["VisibilityTimeout"].as_u64().unwrap();
    assert!((36_000..43_200).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_depth_that_is_not_told_is_no_empty_queue() {
    let stub = Stub::start(|_| Answer::json(&json!({ "Attributes": { "ApproximateNumberOfMessages": "0" } })));
    let queue = connect(&stub.endpoint).await.queue(format!("{}/q", stub.endpoint), Duration::from_secs(30));
    assert!(queue.depth().await.is_err());
}

#[tokio::test]
async fn throttled_keys_pass() {
    let stub = Stub::start(|_| Answer::json_error(400, "ThrottlingException", "Rate exceeded"));
    let keys = connect(&stub.endpoint).await.public_keys();
    let at = "2026-01-15T00:00:00Z".parse().unwrap();
    let error = keys.find(&Region::parse("eu-west-1").unwrap(), "00", at).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.op, "cloudtrail:ListPublicKeys");
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id() {
    let stub = Stub::start(|asked| {
        if !String::from_utf8_lossy(&asked.body).contains("Action=AssumeRole") {
            return Answer::new(200, "body");
        }
        let xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
                   <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
                   <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        Answer::new(200, xml)
    });
    let options = Options {
        role: Some("arn:aws:iam::012345678901:role/reader".into()),
        external_id: Some("outside".into()),
        session: "trailwarden".into(),
        ..Options::default()
    };
    let bucket = Aws::connect_from(loader(&stub.endpoint), &options).await.bucket("bucket", None);
    for _ in 0..2 {
        assert!(matches!(bucket.get("key", None, MIB).await.unwrap(), Got::Found(_)));
    }
    let asked = stub.asked();
    assert_eq!(asked.len(), 3, "the role's credentials are kept");
    let form = String::from_utf8_lossy(&asked[0].body).into_owned();
    for part in ["reader", "ExternalId=outside", "RoleSessionName=trailwarden"] {
        assert!(form.contains(part), "{form}");
    }
    for request in &asked[1..] {
        assert!(request.headers["authorization"].to_str().unwrap().contains("Credential=ASIAROLE/"));
    }
}

#[tokio::test]
async fn a_refused_role_is_trouble_with_credentials() {
    let stub = Stub::start(|_| {
        Answer::new(403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>")
    });
    let options = Options { role: Some("arn:aws:iam::012345678901:role/reader".into()), ..Options::default() };
    let bucket = Aws::connect_from(loader(&stub.endpoint), &options).await.bucket("bucket", None);
    let error = bucket.get("key", None, MIB).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (Class::TRANSIENT, Some("Credentials")), "{error}");
}

/// What a FIFO topic is told.
pub struct Published {
    pub dedup: String,
    pub group: String,
}

pub async fn published_to_fifo(keys: &[&str], alert: &Alert) -> Vec<Published> {
    let answer = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
    let stub = Stub::start(move |_| Answer::new(200, answer));
    let topic = connect(&stub.endpoint).await.topic("arn:aws:sns:eu-west-1:012345678901:alerts.fifo");
    for key in keys {
        topic.send(key, alert).await.unwrap();
    }
    let field = |form: &str, name: &str| {
        let found = form.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")).map(str::to_owned));
        found.unwrap_or_default()
    };
    stub.asked()
        .iter()
        .map(|asked| String::from_utf8_lossy(&asked.body).into_owned())
        .map(|form| Published { dedup: field(&form, "MessageDeduplicationId"), group: field(&form, "MessageGroupId") })
        .collect()
}
