//! What CloudTrail says of trails, what a topic hands on to, and how a queue is set up: from files, and on emulators.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudtrail::types::{EventSelector, ReadWriteType};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::types::CreateBucketConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use trailwarden::aws::{Aws, Options};
use trailwarden::core::id::Region;
use trailwarden::core::posture::{Described, Known, Selector};
use trailwarden::env::Env;
use trailwarden::local::spool::Spool;
use trailwarden::local::trails::TrailsFile;
use trailwarden::seam::{Queue as _, Trails};

use crate::common::emulator::{Emulator, REGION, loader};
use crate::common::stub::{Answer, Stub};

/// Whoever makes a trail, starts and stops it, by another way than the one under test. The trail writes digests, records in all
/// regions, delivers under `pre`, and records calls that change things.
#[async_trait]
trait Hand: Send + Sync {
    async fn make(&self, bucket: &str);
    async fn log(&self, on: bool);
    /// Answers a topic that tells one queue and one address, and the queue's ARN.
    async fn topic(&self) -> (String, String);
}

async fn one(trails: &dyn Trails, bucket: &str) -> Described {
    let regions = [Region::parse(REGION).unwrap()];
    let mut seen = trails.of(bucket, &regions).await.unwrap().expect("there is somebody to ask");
    assert_eq!((seen.trails.len(), seen.silent.len()), (1, 0), "{seen:?}");
    seen.trails.remove(0)
}

fn logs(trail: &Described) -> Option<bool> {
    trail.status.value().expect("the status can be read").logging
}

async fn trails_contract(trails: &dyn Trails, hand: &dyn Hand, bucket: &str) {
    hand.make(bucket).await;
    let trail = one(trails, bucket).await;
    assert_eq!((trail.name(), trail.home()), ("watched", REGION));
    assert_eq!((trail.multi_region, trail.validation), (Some(true), Some(true)));
    assert_eq!((trail.organization.unwrap_or(false), trail.prefix.as_deref()), (false, Some("pre")));
    let Known::Value(selectors) = &trail.selectors else { panic!("{:?}", trail.selectors) };
    let wanted = Selector::Basic { reads: "WriteOnly".into(), management: true, excluded: vec![], data: vec![] };
    assert_eq!(selectors, &[wanted]);
    for on in [true, false, true] {
        hand.log(on).await;
        assert_eq!(logs(&one(trails, bucket).await), Some(on));
    }
    let (topic, queue) = hand.topic().await;
    assert_eq!(trails.subscribers(&topic).await.unwrap(), [queue]);
    assert!(trails.subscribers(&topic.replace("told", "none")).await.is_err());
}

struct FileHand {
    path: PathBuf,
}

impl FileHand {
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut book = std::fs::read(&self.path).map_or(json!({}), |text| serde_json::from_slice(&text).unwrap());
        change(&mut book);
        std::fs::write(&self.path, book.to_string()).unwrap();
    }
}

#[async_trait]
impl Hand for FileHand {
    async fn make(&self, _bucket: &str) {
        let arn = format!("arn:aws:cloudtrail:{REGION}:111122223333:trail/watched");
        let selector = json!({ "basic": { "reads": "WriteOnly", "management": true } });
        self.change(|book| {
            book["trails"] = json!([{
                "arn": arn, "prefix": "pre", "multi_region": true, "validation": true,
                "status": { "value": { "logging": false } }, "selectors": { "value": [selector] },
            }]);
        });
    }

    async fn log(&self, on: bool) {
        self.change(|book| book["trails"][0]["status"]["value"]["logging"] = json!(on));
    }

    async fn topic(&self) -> (String, String) {
        self.change(|book| book["topics"] = json!({ "told": ["queue"] }));
        ("told".into(), "queue".into())
    }
}

#[tokio::test]
async fn a_file_keeps_the_trails_contract() {
    let dir = tempfile::tempdir().unwrap();
    let trails = TrailsFile::new(dir.path());
    assert_eq!(trails.of("b", &[]).await.unwrap(), None, "without a file there is nobody to ask");
    let path = dir.path().join(".trails.json");
    trails_contract(&trails, &FileHand { path: path.clone() }, "b").await;
    for broken in ["", r#"{"trails":[{"arn":"a"}]}"#, r#"{"trail":[]}"#] {
        std::fs::write(&path, broken).unwrap();
        let error = trails.of("b", &[]).await.unwrap_err();
        assert!(!error.is_transient() && error.text.contains(".trails.json"), "{error}");
    }
    let spool = Spool::open(&dir.path().join("spool"), Duration::from_secs(60), Env::system()).unwrap();
    let settings = spool.settings().await.unwrap().unwrap();
    assert_eq!(settings.arn, format!("file://{}/spool", dir.path().display()));
}

struct AwsHand {
    emulator: &'static Emulator,
    cloudtrail: aws_sdk_cloudtrail::Client,
}

impl AwsHand {
    async fn bucket(&self, name: &str) {
        let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        let s3 = self.emulator.s3().await;
        s3.create_bucket().bucket(name).create_bucket_configuration(place).send().await.unwrap();
    }
}

#[async_trait]
impl Hand for AwsHand {
    async fn make(&self, bucket: &str) {
        for (name, bucket) in [("watched", bucket.to_owned()), ("other", format!("{bucket}-other"))] {
            self.bucket(&bucket).await;
            let made = self.cloudtrail.create_trail().name(name).s3_bucket_name(bucket).s3_key_prefix("pre");
            made.is_multi_region_trail(true).enable_log_file_validation(true).send().await.unwrap();
        }
        let selector =
            EventSelector::builder().read_write_type(ReadWriteType::WriteOnly).include_management_events(true);
        let put = self.cloudtrail.put_event_selectors().trail_name("watched").event_selectors(selector.build());
        put.send().await.unwrap();
    }

    async fn log(&self, on: bool) {
        if on {
            self.cloudtrail.start_logging().name("watched").send().await.unwrap();
        } else {
            self.cloudtrail.stop_logging().name("watched").send().await.unwrap();
        }
    }

    async fn topic(&self) -> (String, String) {
        let (sns, sqs) = (self.emulator.sns().await, self.emulator.sqs().await);
        let topic = sns.create_topic().name("told").send().await.unwrap().topic_arn.unwrap();
        let url = sqs.create_queue().queue_name("listens").send().await.unwrap().queue_url.unwrap();
        let asked = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn);
        let queue = asked.send().await.unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
        sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&queue).send().await.unwrap();
        sns.subscribe().topic_arn(&topic).protocol("email").endpoint("a@example.com").send().await.unwrap();
        (topic, queue)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudtrail_keeps_the_trails_contract() {
    for emulator in [Emulator::shared(), Emulator::moto()].into_iter().flatten() {
        let aws = emulator.aws().await;
        let cloudtrail = aws_sdk_cloudtrail::Client::new(&emulator.sdk().await);
        let hand = AwsHand { emulator, cloudtrail };
        trails_contract(&aws.trails(&aws), &hand, "trails-contract").await;
    }
}

#[tokio::test]
async fn a_region_that_does_not_answer_hides_nothing_of_the_others() {
    let arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/watched";
    let stub = Stub::start(move |asked| match (asked.region.as_str(), asked.operation.as_str()) {
        ("eu-west-1", "DescribeTrails") => {
            Answer::json(&json!({ "trailList": [{ "S3BucketName": "b", "TrailARN": arn }, { "S3BucketName": "c" }] }))
        }
        ("eu-west-1", "GetTrailStatus") => Answer::json(&json!({ "IsLogging": false })),
        ("eu-west-1", _) => Answer::json(&json!({ "EventSelectors": [] })),
        ("eu-west-2", _) => Answer::json(&json!({ "trailList": [{ "S3BucketName": "b" }] })),
        _ => Answer::json_error(400, "AccessDeniedException", "No."),
    });
    let aws = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await;
    let regions = ["af-south-1", "eu-west-1", "eu-west-2"].map(|region| Region::parse(region).unwrap());
    let seen = aws.trails(&aws).of("b", &regions).await.unwrap().unwrap();
    assert_eq!(
        seen.trails.iter().map(|trail| (trail.name(), logs(trail))).collect::<Vec<_>>(),
        [("watched", Some(false))]
    );
    let silent: Vec<_> = seen.silent.iter().map(|silent| silent.region.as_ref().unwrap().as_str()).collect();
    assert_eq!(silent, ["af-south-1", "eu-west-2"]);
    assert!(seen.silent[0].why.contains("cloudtrail:DescribeTrails"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_on_sqs_says_how_it_is_set_up() {
    for emulator in [Emulator::shared(), Emulator::moto()].into_iter().flatten() {
        let (sqs, aws) = (emulator.sqs().await, emulator.aws().await);
        let make = |name: &str| sqs.create_queue().queue_name(name).send();
        make("settings-dead").await.unwrap();
        let url = make("settings").await.unwrap().queue_url.unwrap();
        let settings = aws.queue(&url, Duration::from_secs(30)).settings().await.unwrap().unwrap();
        assert!(settings.arn.starts_with("arn:aws:sqs:") && settings.arn.ends_with(":settings"), "{settings:?}");
        assert_eq!((settings.redrive, settings.retention), (None, Some(Duration::from_secs(345_600))));

        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sqs:SendMessage", "Resource": settings.arn }] });
        let dead = settings.arn.replace(":settings", ":settings-dead");
        let redrive = |to: &str| json!({ "deadLetterTargetArn": to, "maxReceiveCount": 7 }).to_string();
        let set = sqs.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::Policy, policy.to_string());
        let set = set.attributes(QueueAttributeName::RedrivePolicy, redrive(&dead));
        set.attributes(QueueAttributeName::MessageRetentionPeriod, "3600").send().await.unwrap();
        let settings = aws.queue(&url, Duration::from_secs(30)).settings().await.unwrap().unwrap();
        assert_eq!(settings.retention, Some(Duration::from_secs(3_600)));
        assert_eq!(serde_json::from_str::<Value>(&settings.policy.unwrap()).unwrap(), policy);
        let redrive = settings.redrive.unwrap();
        assert_eq!((redrive.to.as_str(), redrive.after, redrive.exists), (dead.as_str(), 7, Some(true)));

        let dead_url = sqs.get_queue_url().queue_name("settings-dead").send().await.unwrap().queue_url.unwrap();
        sqs.delete_queue().queue_url(dead_url).send().await.unwrap();
        // In another account, or in who knows which, a queue that is gone looks like one that may not be seen.
        let account = dead.split(':').nth(4).unwrap();
        for (own, exists) in [(None, None), (Some("999900001111"), None), (Some(account), Some(false))] {
            let credentials = Credentials::builder().access_key_id("test").secret_access_key("test");
            let credentials = own.into_iter().fold(credentials.provider_name("test"), |made, own| made.account_id(own));
            let loader = loader(&emulator.endpoint).credentials_provider(credentials.build());
            let aws = Aws::connect_from(loader, &Options::default()).await;
            let redrive = aws.queue(&url, Duration::from_secs(30)).settings().await.unwrap().unwrap().redrive.unwrap();
            assert_eq!(redrive.exists, exists, "{own:?}");
        }
        let gone = aws.queue(url.replace("settings", "nothing"), Duration::from_secs(30));
        assert_eq!(gone.settings().await.unwrap(), None);
    }
}
