//! AWS on one machine, with a day's bucket, queue, topic, members and keys, and a webhook's receiver.

use std::path::PathBuf;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::CreateBucketConfiguration;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures_util::StreamExt as _;
use serde_json::Value;
use trailwarden::world::{Happening, Step};

use super::acts::Acts;
use super::emulator::{Emulator, REGION, env_of};
use super::hook::{self, Hook, Told};
use super::keys_stub::{StubKey, keys_stub};
use super::organization_stub::organization_stub;
use super::stub::Stub;

const AT_ONCE: usize = 16;
/// Entries and bytes of one SendMessageBatch.
const BATCH: usize = 10;
const BATCH_BYTES: usize = 200_000;

pub struct Cloud {
    _dir: tempfile::TempDir,
    pub config: PathBuf,
    pub state: PathBuf,
    pub env: Vec<(&'static str, String)>,
    org: String,
    bucket: String,
    queue: String,
    /// Subscribed to the topic.
    inbox: String,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    topic: String,
    pub hook: Hook,
    pub emulator: Emulator,
    // Alive as long as the cloud is.
    _parts: (Stub, Stub),
}

impl Cloud {
    /// Without an emulator: `None`.
    pub async fn set(acts: &Acts, hook: Hook) -> Option<Self> {
        let emulator = Emulator::start()?;
        let (s3, sqs, sns) = (emulator.s3().await, emulator.sqs().await, emulator.sns().await);
        let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
        let made = s3.create_bucket().bucket(&acts.bucket).create_bucket_configuration(place).send().await;
        made.expect("a bucket");
        let queue = make_queue(&sqs, "trailwarden").await;
        let inbox = make_queue(&sqs, "inbox").await;
        let topic = sns.create_topic().name("alerts").send().await.expect("a topic");
        let topic = topic.topic_arn.expect("a topic has an arn");
        let inbox_arn = attribute(&sqs, &inbox, QueueAttributeName::QueueArn).await;
        sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(inbox_arn).send().await.expect("a subscription");

        let members = acts.members.iter().map(|member| (member.account.to_string(), member.name.clone()));
        let organization = organization_stub(&acts.org.to_string(), members.collect());
        let keys = keys_stub(acts.keys.iter().map(stub_key).collect(), 10);
        let dir = tempfile::tempdir().expect("a directory");
        hook.write(dir.path());
        let mut cloud = Self {
            state: dir.path().join("state.db"),
            config: dir.path().join("trailwarden.toml"),
            _dir: dir,
            env: Vec::new(),
            org: acts.org.to_string(),
            bucket: acts.bucket.clone(),
            queue,
            inbox,
            s3,
            sqs,
            topic,
            hook,
            _parts: (organization, keys),
            emulator,
        };
        cloud.through(&cloud.emulator.endpoint.clone());
        cloud.configure("90m", "5s");
        Some(cloud)
    }

    /// Sends the warden's calls to another endpoint in front of the emulator.
    pub fn through(&mut self, endpoint: &str) {
        let (organization, keys) = &self._parts;
        self.env = env_of(endpoint);
        self.env.push(("AWS_ENDPOINT_URL_ORGANIZATIONS", organization.endpoint.clone()));
        self.env.push(("AWS_ENDPOINT_URL_CLOUDTRAIL", keys.endpoint.clone()));
    }

    /// Writes the configuration.
    pub fn configure(&self, grace: &str, sweep: &str) {
        let text = format!(
            r#"
[organization]
id = "{org}"
members = "organizations"

[[trail]]
name = "org"
bucket = "{bucket}"
region = "{REGION}"
queue = "{queue}"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys = "cloudtrail"
visibility = "30s"

[verify]
grace = "{grace}"
sweep = "{sweep}"
{hook}
[channel.topic]
kind = "sns"
topic = "{topic}"

[[route]]
to = ["hook", "topic"]

[state]
path = "state.db"

[http]
listen = "127.0.0.1:0"
"#,
            org = self.org,
            bucket = self.bucket,
            queue = self.queue,
            hook = hook::CHANNEL,
            topic = self.topic,
        );
        std::fs::write(&self.config, text).expect("a file");
    }

    /// Puts and removals happen to the bucket; messages are for the caller to send.
    pub async fn change(&self, happenings: &[Happening]) {
        let changes = happenings.iter().filter_map(|happening| match &happening.step {
            Step::Put { key, body, metadata } => Some((key, Some((body, metadata)))),
            Step::Remove { key } => Some((key, None)),
            Step::Message { .. } => None,
        });
        futures_util::stream::iter(changes)
            .for_each_concurrent(AT_ONCE, |(key, written)| async move {
                match written {
                    Some((body, metadata)) => {
                        let mut put = self.s3.put_object().bucket(&self.bucket).key(key);
                        for (name, value) in metadata {
                            put = put.metadata(name, value);
                        }
                        put.body(ByteStream::from(body.clone())).send().await.expect("an object is put");
                    }
                    None => {
                        let gone = self.s3.delete_object().bucket(&self.bucket).key(key).send().await;
                        gone.expect("an object is deleted");
                    }
                }
            })
            .await;
    }

    /// Sends messages in batches as large as SQS takes.
    pub async fn send(&self, bodies: &[Vec<u8>]) {
        let mut batches: Vec<Vec<String>> = Vec::new();
        let mut room = 0;
        for body in bodies {
            let body = String::from_utf8(body.clone()).expect("SQS takes text");
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH && body.len() <= room => {
                    room -= body.len();
                    batch.push(body);
                }
                _ => {
                    room = BATCH_BYTES.saturating_sub(body.len());
                    batches.push(vec![body]);
                }
            }
        }
        futures_util::stream::iter(batches)
            .for_each_concurrent(AT_ONCE, |batch| async move {
                let entries = batch.into_iter().enumerate().map(|(number, body)| {
                    let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body);
                    entry.build().expect("an entry")
                });
                let sent = self.sqs.send_message_batch().queue_url(&self.queue).set_entries(Some(entries.collect()));
                let answer = sent.send().await.expect("messages are sent");
                assert!(answer.failed().is_empty(), "{:?}", answer.failed());
            })
            .await;
    }

    /// Ends the invisibility of what nobody holds any more; what is settled stays so.
    pub async fn release(&self, receipts: Vec<String>) {
        futures_util::stream::iter(receipts)
            .for_each_concurrent(AT_ONCE, |receipt| async move {
                let asked = self.sqs.change_message_visibility().queue_url(&self.queue).receipt_handle(receipt);
                asked.visibility_timeout(0).send().await.ok();
            })
            .await;
    }

    /// Visible messages and those in flight.
    pub async fn depth(&self) -> (u64, u64) {
        use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
        let number = async |name| attribute(&self.sqs, &self.queue, name).await.parse().expect("a number");
        (number(ApproximateNumberOfMessages).await, number(ApproximateNumberOfMessagesNotVisible).await)
    }

    /// Empties the queue behind the topic.
    pub async fn inbox(&self) -> Told {
        let mut told = Told::new();
        loop {
            let answer = self.sqs.receive_message().queue_url(&self.inbox).max_number_of_messages(10).send().await;
            let messages = answer.expect("an answer").messages.unwrap_or_default();
            if messages.is_empty() {
                return told;
            }
            for message in messages {
                let envelope: Value = serde_json::from_str(&message.body.unwrap_or_default()).expect("an envelope");
                let alert: Value =
                    serde_json::from_str(envelope["Message"].as_str().unwrap_or_default()).expect("JSON");
                told.entry(hook::subject(&alert)).or_default().push(envelope["MessageId"].to_string());
                let receipt = message.receipt_handle.unwrap_or_default();
                let gone = self.sqs.delete_message().queue_url(&self.inbox).receipt_handle(receipt).send().await;
                gone.expect("a message is deleted");
            }
        }
    }
}

async fn make_queue(sqs: &aws_sdk_sqs::Client, name: &str) -> String {
    sqs.create_queue().queue_name(name).send().await.expect("a queue").queue_url.expect("a queue has an address")
}

async fn attribute(sqs: &aws_sdk_sqs::Client, queue: &str, name: QueueAttributeName) -> String {
    let answer = sqs.get_queue_attributes().queue_url(queue).attribute_names(name.clone()).send().await;
    let attributes = answer.expect("an answer").attributes.expect("attributes");
    attributes.get(&name).expect("the attribute that was asked for").clone()
}

fn stub_key((region, key): &(trailwarden::core::id::Region, trailwarden::seam::PublicKey)) -> StubKey {
    StubKey {
        region: region.to_string(),
        fingerprint: key.fingerprint.clone(),
        value: key.der.clone(),
        valid_from: key.valid_from.expect("a key of the world has times"),
        valid_to: key.valid_to.expect("a key of the world has times"),
    }
}
