//! The AWS implementations against emulators.

use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use jiff::{SignedDuration, Timestamp};
use trailwarden::aws::{Aws, Options};
use trailwarden::core::alert::{Alert, Reason};
use trailwarden::core::finding::{Finding, Kind};
use trailwarden::core::id::Region;
use trailwarden::seam::{Bucket, Channel as _, Got, Keys as _, Metadata, PublicKey, Queue as _};

use crate::common::emulator::{Emulator, REGION, env_of, loader};
use crate::common::keys_stub::{StubKey, keys_stub};
use crate::suite::{Feed, bucket_contract, found, keys_contract, own_bucket_contract, queue_contract};

const MIB: u64 = 1 << 20;

pub async fn make_bucket(emulator: &Emulator, name: &str, versioned: bool) {
    let s3 = emulator.s3().await;
    let place =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(REGION)).build();
    s3.create_bucket().bucket(name).create_bucket_configuration(place).send().await.unwrap();
    if versioned {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning().bucket(name).versioning_configuration(on).send().await.unwrap();
    }
}

struct SqsFeed {
    sqs: aws_sdk_sqs::Client,
    url: String,
}

impl SqsFeed {
    /// A new queue.
    async fn new(emulator: &Emulator, name: &str) -> Self {
        let sqs = emulator.sqs().await;
        let made = sqs.create_queue().queue_name(name).send().await.unwrap();
        Self { sqs, url: made.queue_url.unwrap() }
    }

    async fn arn(&self) -> String {
        let asked = self.sqs.get_queue_attributes().queue_url(&self.url);
        let answer = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
        answer.attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap()
    }
}

#[async_trait]
impl Feed for SqsFeed {
    async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_buckets_contract() {
    let Some(emulator) = Emulator::shared() else { return };
    for versioned in [true, false] {
        let name = format!("contract-{versioned}");
        make_bucket(emulator, &name, versioned).await;
        bucket_contract(&emulator.aws().await.bucket(&name, None), versioned).await;
        own_bucket_contract(&emulator.aws().await.own_bucket(&name, None, None)).await;
    }
}

#[tokio::test]
async fn a_delete_marker_is_absence() {
    let Some(emulator) = Emulator::shared() else { return };
    make_bucket(emulator, "markers", true).await;
    let bucket = emulator.aws().await.bucket("markers", None);
    bucket.put("gone", b"x".to_vec(), Metadata::new()).await.unwrap();
    let version = bucket.head("gone", None).await.unwrap().unwrap().version.unwrap();
    let marker = emulator.s3().await.delete_object().bucket("markers").key("gone").send().await.unwrap();
    assert!(matches!(bucket.get("gone", None, MIB).await.unwrap(), Got::Absent));
    assert!(bucket.head("gone", None).await.unwrap().is_none());
    let marker = marker.version_id.unwrap();
    assert!(matches!(bucket.get("gone", Some(&marker), MIB).await.unwrap(), Got::Absent));
    assert!(bucket.head("gone", Some(&marker)).await.unwrap().is_none());
    assert_eq!(found(&bucket, "gone", Some(&version)).await.body, b"x");
}

#[tokio::test]
async fn a_missing_bucket_is_not_missing_evidence() {
    let Some(emulator) = Emulator::shared() else { return };
    let bucket = emulator.aws().await.bucket("no-such-bucket", None);
    for error in [
        bucket.get("key", None, MIB).await.unwrap_err(),
        bucket.head("key", None).await.unwrap_err(),
        bucket.list("", None).await.unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{error}");
        assert_eq!(error.code.as_deref(), Some("NoSuchBucket"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_keeps_the_queues_contract() {
    let Some(emulator) = Emulator::shared() else { return };
    let feed = SqsFeed::new(emulator, "contract").await;
    let queue = emulator.aws().await.queue(&feed.url, Duration::from_secs(2));
    queue_contract(&queue, &feed).await;
}

#[tokio::test]
async fn a_missing_queue_needs_a_human() {
    let Some(emulator) = Emulator::shared() else { return };
    let url = format!("{}/000000000000/no-such-queue", emulator.endpoint);
    let queue = emulator.aws().await.queue(url, Duration::from_secs(2));
    assert!(!queue.receive(1, Duration::ZERO).await.unwrap_err().is_transient());
    assert!(!queue.depth().await.unwrap_err().is_transient());
}

fn key(region: &str, fingerprint: &str, from: &str, to: &str) -> StubKey {
    StubKey {
        region: region.into(),
        fingerprint: fingerprint.into(),
        value: fingerprint.as_bytes().repeat(9),
        valid_from: from.parse().unwrap(),
        valid_to: to.parse().unwrap(),
    }
}

#[tokio::test]
async fn cloudtrail_keeps_the_keys_contract() {
    let keys = [
        key("eu-west-1", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z"),
        key("eu-west-1", "1b2c3d4e5f60718293a4b5c6d7e8f90a", "2026-01-20T00:00:00Z", "2026-02-20T00:00:00Z"),
        key("eu-west-1", "2c3d4e5f60718293a4b5c6d7e8f90a1b", "2026-02-10T00:00:00Z", "2026-03-10T00:00:00Z"),
        key("us-east-1", "3d4e5f60718293a4b5c6d7e8f90a1b2c", "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"),
    ];
    let expected: Vec<PublicKey> = keys[..3]
        .iter()
        .map(|key| PublicKey {
            fingerprint: key.fingerprint.clone(),
            der: key.value.clone(),
            valid_from: Some(key.valid_from),
            valid_to: Some(key.valid_to),
        })
        .collect();
    let stub = keys_stub(keys.into(), 1);
    let aws = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await;
    keys_contract(&aws.public_keys(), &Region::parse("eu-west-1").unwrap(), &expected).await;
}

#[tokio::test]
async fn keys_are_asked_for_in_the_digests_region_around_its_time() {
    let stub = keys_stub(Vec::new(), 10);
    let aws = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await;
    let at: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
    let region = Region::parse("ap-southeast-2").unwrap();
    assert_eq!(aws.public_keys().find(&region, "00", at).await.unwrap(), None);
    let asked = stub.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].region, "ap-southeast-2");
    let seconds = |hours| (at + SignedDuration::from_hours(hours)).as_second() as f64;
    assert_eq!(asked[0].json()["StartTime"].as_f64(), Some(seconds(-1)));
    assert_eq!(asked[0].json()["EndTime"].as_f64(), Some(seconds(2)));
}

fn alert(detail: &str) -> Alert {
    let account = "012345678901".parse().unwrap();
    let finding = Finding::new(Kind::LogModified, "subject", detail).account(account);
    Alert::new(Reason::First, finding.held(Timestamp::UNIX_EPOCH), "w1")
}

#[tokio::test]
async fn an_alert_reaches_a_topics_subscriber() {
    let Some(emulator) = Emulator::shared() else { return };
    let feed = SqsFeed::new(emulator, "subscriber").await;
    let sns = emulator.sns().await;
    let topic = sns.create_topic().name("alerts").send().await.unwrap().topic_arn.unwrap();
    let subscribe = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(feed.arn().await);
    subscribe.send().await.unwrap();
    let aws = emulator.aws().await;
    aws.topic(&topic).send("key", &alert("two\nlines, ü")).await.unwrap();

    let queue = aws.queue(&feed.url, Duration::from_secs(30));
    let message = queue.receive(1, Duration::from_secs(5)).await.unwrap().remove(0);
    let envelope: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(envelope["Subject"], "critical log_modified 012345678901: two?lines, ?");
    let attribute = |name: &str| envelope["MessageAttributes"][name]["Value"].clone();
    assert_eq!(attribute("severity"), "critical");
    assert_eq!(attribute("kind"), "log_modified");
    assert_eq!(attribute("class"), "integrity");
    let told: serde_json::Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    assert_eq!(told["finding"]["detail"], "two\nlines, ü");
    assert_eq!(told["finding"]["account"], "012345678901");
}

#[tokio::test]
async fn a_missing_topic_needs_a_human() {
    let Some(emulator) = Emulator::shared() else { return };
    let topic = emulator.aws().await.topic("arn:aws:sns:eu-west-1:000000000000:no-such-topic");
    assert!(!topic.send("key", &alert("x")).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_fifo_topic_drops_repeats_of_a_key() {
    let published = crate::faults::published_to_fifo(&["one", "one", "two"], &alert("x")).await;
    assert_eq!(published[0].dedup, published[1].dedup);
    assert_ne!(published[0].dedup, published[2].dedup);
    for one in published {
        assert_eq!(one.group, "log_modified");
        assert!(one.dedup.len() == 64 && one.dedup.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", one.dedup);
    }
}

/// What the environment alone must achieve: it is read once, so each case is a process of its own.
fn in_a_child(test: &str, env: Vec<(&'static str, String)>) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    let output = child.envs(env).env("HOME", "/nonexistent").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn the_environment_names_the_endpoints() {
    let Some(emulator) = Emulator::shared() else { return };
    make_bucket(emulator, "by-environment", false).await;
    let stub = keys_stub(
        vec![key("eu-north-1", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")],
        10,
    );
    let mut env = emulator.env();
    env.push(("AWS_ENDPOINT_URL_CLOUDTRAIL", stub.endpoint.clone()));
    in_a_child("aws::child_with_endpoints", env);
    // One service's own endpoint is enough for path-style addresses.
    let mut env = env_of("http://127.0.0.1:9");
    env.push(("AWS_ENDPOINT_URL_S3", emulator.endpoint.clone()));
    env.push(("AWS_ENDPOINT_URL_CLOUDTRAIL", stub.endpoint.clone()));
    in_a_child("aws::child_with_endpoints", env);
}

#[tokio::test]
#[ignore = "run in a child process with an environment of its own"]
async fn child_with_endpoints() {
    let aws = Aws::connect(&Options::default()).await;
    assert_eq!(aws.region(), Some(REGION));
    let bucket = aws.bucket("by-environment", None);
    bucket.put("key", b"x".to_vec(), Metadata::new()).await.unwrap();
    assert_eq!(found(&bucket, "key", None).await.body, b"x");
    let at = "2026-01-15T00:00:00Z".parse().unwrap();
    let region = Region::parse("eu-north-1").unwrap();
    let key = aws.public_keys().find(&region, "0A1B2C3D4E5F60718293A4B5C6D7E8F9", at).await.unwrap();
    assert!(key.is_some());
}

#[test]
fn nobodys_credentials_and_no_region_are_told_apart() {
    let nobody = vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned()), ("AWS_REGION", REGION.to_owned())];
    in_a_child("aws::child_without_credentials", nobody);
    let nowhere = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    in_a_child("aws::child_without_region", nowhere.map(|(name, value)| (name, value.to_owned())).into());
}

#[tokio::test]
#[ignore = "run in a child process with an environment of its own"]
async fn child_without_credentials() {
    let bucket = Aws::connect(&Options::default()).await.bucket("any", None);
    let error = bucket.get("key", None, MIB).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.code.as_deref(), Some("Credentials"), "{error}");
}

#[tokio::test]
#[ignore = "run in a child process with an environment of its own"]
async fn child_without_region() {
    let aws = Aws::connect(&Options::default()).await;
    for error in [
        aws.bucket("any", None).get("key", None, MIB).await.unwrap_err(),
        aws.queue("https://example.com/q", Duration::from_secs(2)).depth().await.unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{error}");
    }
}
