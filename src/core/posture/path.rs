//! The way from the bucket to the warden: notification configuration, topic or rule, queue, its policy and its dead-letter queue.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Archive, Kind, Known, Look, Seen, Unread, Weakness};
use crate::core::policy::{self, Document, Effect, Expected};
use crate::core::posture::Described;
use crate::core::protection::Fact;
use crate::core::xml::{self, Element};
use crate::core::{finding, printable};

/// How a queue is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What notifications call it.
    pub arn: String,
    /// Its policy, as JSON.
    pub policy: Option<String>,
    pub redrive: Option<Redrive>,
    /// How long a message is kept.
    pub retention: Option<Duration>,
    /// Id, alias or ARN of the KMS key that messages are encrypted with.
    pub key: Option<String>,
}

/// What happens to a message that was received often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue's ARN.
    pub to: String,
    pub after: u32,
    /// Whether it is there; `None`: nobody can say.
    pub exists: Option<bool>,
}

/// Everything that was found out of the way.
#[derive(Debug, Clone)]
pub struct Path {
    /// The bucket's notification configuration, as XML.
    pub notification: Fact,
    /// `None`: there is no such queue.
    pub queue: Known<Option<Settings>>,
    /// Of each topic that may be between bucket and queue: the ARNs of its subscribers.
    pub topics: BTreeMap<String, Known<Vec<String>>>,
}

/// Fewer receives than this are used up by an outage of minutes.
const FEW: u32 = 5;
/// What SQS keeps messages for if nobody says otherwise: a weekend, and time to notice.
const KEEP: Duration = Duration::from_secs(4 * 86_400);

/// The topics and rules that a queue's policy lets send: they stand between bucket and queue.
pub fn senders(policy: &str) -> Vec<String> {
    let document = Document::parse(policy);
    let allows = document.statements.iter().filter(|statement| statement.is(Effect::Allow));
    let conditions = allows.flat_map(|statement| &statement.conditions).filter(|one| one.is("aws:SourceArn"));
    let mut found: Vec<String> = conditions
        .flat_map(|condition| &condition.values)
        .filter(|arn| matches!(arn.split(':').nth(2), Some("sns" | "events")) && !arn.contains(['*', '?']))
        .cloned()
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What leads away from the bucket.
#[derive(Debug, Default)]
struct Config {
    queues: Vec<Way>,
    topics: Vec<Way>,
    bus: bool,
}

/// One entry of a notification configuration.
#[derive(Debug)]
struct Way {
    to: String,
    created: bool,
    removed: bool,
    prefix: String,
    suffix: String,
}

impl Way {
    fn of(entry: &Element<'_>, to: &str) -> Self {
        let has = |names: [&str; 2]| entry.all("Event").any(|event| names.contains(&event.text.trim()));
        let rules = entry.child("Filter").and_then(|filter| filter.child("S3Key"));
        let filter = |name: &str| {
            let rule = rules.and_then(|rules| {
                rules
                    .all("FilterRule")
                    .find(|rule| rule.text_of("Name").is_some_and(|text| text.eq_ignore_ascii_case(name)))
            });
            rule.and_then(|rule| rule.text_of("Value")).unwrap_or_default().to_owned()
        };
        Self {
            to: entry.text_of(to).unwrap_or_default().trim().to_owned(),
            created: has(["s3:ObjectCreated:*", "s3:ObjectCreated:Put"]),
            removed: has(["s3:ObjectRemoved:*", "s3:ObjectRemoved:DeleteMarkerCreated"]),
            prefix: filter("prefix"),
            suffix: filter("suffix"),
        }
    }

    /// What it leaves out of deliveries under these prefixes, if anything.
    fn leaves_out(&self, prefixes: &[String]) -> Option<String> {
        if !self.created {
            return Some("objects that are created".into());
        }
        let prefix = decoded(&self.prefix);
        if let Some(out) = prefixes.iter().find(|expected| !expected.starts_with(&prefix)) {
            return Some(format!("what lies under {}", printable(out, 200)));
        }
        let suffix = decoded(&self.suffix);
        (!".json.gz".ends_with(&suffix)).then(|| format!("what does not end in {}", printable(&suffix, 80)))
    }
}

impl Path {
    /// Whether CloudTrail itself announces its deliveries to the queue, through a trail's topic.
    pub fn is_fed_by(&self, trails: &[Described]) -> bool {
        let Known::Value(Some(queue)) = &self.queue else { return false };
        let listens = |topic| matches!(self.topics.get(topic), Some(Known::Value(all)) if all.contains(&queue.arn));
        trails.iter().filter_map(|trail| trail.topic.as_ref()).any(listens)
    }
}

/// The topics that a notification configuration names.
pub fn topics(text: &str) -> Vec<String> {
    configuration(text).map(|config| config.topics.into_iter().map(|way| way.to).collect()).unwrap_or_default()
}

/// Filters are written as keys are in notifications.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

impl Config {
    fn announces(&self) -> bool {
        self.bus || !self.queues.is_empty() || !self.topics.is_empty()
    }
}

fn configuration(text: &str) -> Result<Config, String> {
    let root = xml::parse(text)?;
    let ways = |name: &'static str, to: &'static str| root.all(name).map(|entry| Way::of(entry, to)).collect();
    Ok(Config {
        queues: ways("QueueConfiguration", "Queue"),
        topics: ways("TopicConfiguration", "Topic"),
        bus: root.child("EventBridgeConfiguration").is_some(),
    })
}

/// What a weakness is of.
const QUEUE: &str = "queue";
const ANNOUNCEMENTS: &str = "announcements";

fn unread(of: &str, why: &str) -> Unread {
    Unread { of: of.into(), why: printable(why, 400) }
}

fn weak(kind: Kind, of: &str, found: Option<&str>, risk: String, (advice, paste): (&str, Option<String>)) -> Weakness {
    Weakness::of_setting(kind, of, found, risk, advice, paste)
}

/// What is wrong with the way. Of trails that are not seen nobody knows whether a topic of theirs leads to the queue. `expected` is for the queue's policy, without queue and senders: they are found here.
pub fn of_path(path: &Path, trails: &Seen, archive: &Archive, expected: &Expected) -> Look {
    let mut look = Look::default();
    match &path.queue {
        Known::Value(Some(queue)) => {
            of_queue(queue, &mut look);
            of_policy(queue, archive, expected, &mut look);
            Search { path, queue, archive, look: &mut look, stands: false, doubts: Vec::new() }.search(trails);
        }
        Known::Value(None) => {
            let risk = "the configured queue does not exist, so that nothing is announced to the warden".into();
            let fix = ("make the queue again, and find out who deleted it", None);
            look.weaknesses.push(weak(Kind::QueueGone, QUEUE, None, risk, fix));
        }
        Known::Unread(why) => look.unread.push(unread(QUEUE, why)),
    }
    look
}

/// Looks for a way to the queue; one that stands is enough.
struct Search<'a> {
    path: &'a Path,
    queue: &'a Settings,
    archive: &'a Archive,
    look: &'a mut Look,
    stands: bool,
    /// Why what may be a way could not be looked at.
    doubts: Vec<String>,
}

impl Search<'_> {
    fn search(mut self, seen: &Seen) {
        let config = match &self.path.notification {
            Fact::Value(text) => configuration(text),
            Fact::Absent => Ok(Config::default()),
            Fact::Unread(why) => Err(why.clone()),
        };
        match &config {
            Ok(config) => self.announced(config),
            Err(why) => self.doubts.push(why.clone()),
        }
        let of_bucket = self.stands;
        // CloudTrail's own topic tells of logs at least.
        for topic in seen.trails.iter().filter_map(|trail| trail.topic.as_ref()) {
            self.topic(topic);
        }
        if !seen.silent.is_empty() {
            self.doubts.push("cloudtrail:DescribeTrails: the topics of the trails are not known".into());
        }
        if self.stands {
            if !of_bucket && config.is_ok_and(|config| !config.bus) {
                self.silent_removals();
            }
            return;
        }
        self.look.unread.extend(self.doubts.iter().map(|why| unread(ANNOUNCEMENTS, why)));
        // That it announces nothing at all is told of the bucket.
        if self.doubts.is_empty() && config.is_ok_and(|config| config.announces()) {
            let (bucket, queue) = (&self.archive.bucket, printable(&self.queue.arn, 200));
            let risk = format!("what {bucket} announces does not lead to {queue}, and no topic does");
            let paste = format!(
                "aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration \
                 '{{\"QueueConfigurations\":[{{\"QueueArn\":\"{queue}\",\"Events\":[\"s3:ObjectCreated:*\",\"s3:ObjectRemoved:*\"]}}]}}'"
            );
            let fix = ("add this to the configuration that is there, which the command replaces", Some(paste));
            self.look.weaknesses.push(weak(Kind::PathMissing, ANNOUNCEMENTS, None, risk, fix));
        }
    }

    fn announced(&mut self, config: &Config) {
        let direct = config.queues.iter().filter(|way| way.to == self.queue.arn);
        let direct: Vec<&Way> = direct.collect();
        let through: Vec<&Way> = config.topics.iter().filter(|way| self.topic(&way.to)).collect();
        if config.bus {
            self.bus();
        }
        let ways: Vec<&Way> = direct.into_iter().chain(through).collect();
        if ways.is_empty() {
            return;
        }
        self.stands = true;
        let bucket = &self.archive.bucket;
        let paste = Some(format!("aws s3api get-bucket-notification-configuration --bucket {bucket}"));
        let out: Vec<String> = ways.iter().filter_map(|way| way.leaves_out(&self.archive.prefixes)).collect();
        let weakness = if let (Some(first), true) = (out.first(), out.len() == ways.len()) {
            let risk = format!("the notification configuration of {bucket} leaves out {first}");
            let fix = ("have it announce all that is created under the archive's prefixes", paste);
            weak(Kind::PathFiltered, ANNOUNCEMENTS, Some(first), risk, fix)
        } else if ways.iter().any(|way| way.removed) {
            return;
        } else {
            return self.silent_removals();
        };
        self.look.weaknesses.push(weakness);
    }

    fn silent_removals(&mut self) {
        let bucket = &self.archive.bucket;
        let risk = format!("nobody is told at once when an object of {bucket} is removed");
        let paste = format!("aws s3api get-bucket-notification-configuration --bucket {bucket}");
        let fix = ("add the event s3:ObjectRemoved:* to what leads to the queue", Some(paste));
        self.look.weaknesses.push(weak(Kind::RemovalsUnannounced, ANNOUNCEMENTS, None, risk, fix));
    }

    /// Whether a topic hands what it is told on to the queue.
    fn topic(&mut self, topic: &str) -> bool {
        match self.path.topics.get(topic) {
            Some(Known::Value(subscribers)) => {
                let listens = subscribers.contains(&self.queue.arn);
                self.stands |= listens;
                listens
            }
            Some(Known::Unread(why)) => {
                self.doubts.push(format!("{}: {why}", printable(topic, 200)));
                false
            }
            None => false,
        }
    }

    /// Rules and targets are EventBridge's, which is not asked: a whole SDK for two calls an hour.
    fn bus(&mut self) {
        let rules = self.queue.policy.as_deref().map(senders).unwrap_or_default();
        let rule = rules.into_iter().find(|arn| arn.split(':').nth(2) == Some("events"));
        self.doubts.extend(rule.map(|rule| {
            let (name, region) = (rule.rsplit('/').next().unwrap_or_default(), rule.split(':').nth(3).unwrap_or_default());
            format!("the bucket tells EventBridge, and whether the rule {name} is enabled and leads to the queue is not looked at: aws events list-targets-by-rule --region {region} --rule {name}")
        }));
    }
}

/// Whether what announces may send, and who else may.
fn of_policy(queue: &Settings, archive: &Archive, expected: &Expected, look: &mut Look) {
    if !queue.arn.starts_with("arn:") {
        // A directory has no policy.
        return;
    }
    let Some(text) = &queue.policy else {
        let risk = format!("the queue has no policy, so that {} may not send to it", archive.bucket);
        let document = Document::parse("{\"Statement\":[]}");
        let expected = Expected { queue: Some(queue.arn.clone()), ..expected.clone() };
        let found = policy::weaknesses_of_queue(&document, &expected);
        look.weaknesses.extend(found.iter().map(|one| {
            let mut weakness = Weakness::of_policy(one, QUEUE, finding::Kind::DeliveryPathBroken);
            weakness.risk.clone_from(&risk);
            weakness
        }));
        return;
    };
    let expected = Expected { queue: Some(queue.arn.clone()), senders: senders(text), ..expected.clone() };
    let found = policy::weaknesses_of_queue(&Document::parse(text), &expected);
    look.weaknesses.extend(found.iter().map(|one| Weakness::of_policy(one, QUEUE, finding::Kind::DeliveryPathBroken)));
}

fn of_queue(queue: &Settings, look: &mut Look) {
    let set = |attributes: &str| {
        Some(format!("aws sqs set-queue-attributes --queue-url QUEUE-URL --attributes '{attributes}'"))
    };
    let mut found = Vec::new();
    if queue.key.as_deref().is_some_and(|key| key.ends_with("alias/aws/sqs")) {
        let risk =
            "messages are encrypted with alias/aws/sqs, which no service can be allowed to use, so that none can send";
        let paste = set("{\"KmsMasterKeyId\":\"\",\"SqsManagedSseEnabled\":\"true\"}");
        let fix = ("encrypt with SQS's own keys, or with a key of yours that lets the senders use it", paste);
        found.push(weak(Kind::QueueKeyManaged, QUEUE, None, risk.into(), fix));
    }
    if let Some(kept) = queue.retention.filter(|kept| *kept < KEEP) {
        let hours = kept.as_secs() / 3_600;
        let risk =
            format!("a message is kept for {hours} hours, and what the warden could not take in that time is gone");
        let fix = ("keep messages for 14 days", set("{\"MessageRetentionPeriod\":\"1209600\"}"));
        found.push(weak(Kind::QueueRetention, QUEUE, None, risk, fix));
    }
    if let Some(redrive) = &queue.redrive {
        let (to, after) = (printable(&redrive.to, 200), redrive.after);
        match redrive.exists {
            Some(true) => {}
            Some(false) => {
                let risk = format!("messages that were received {after} times are to go to {to}, which does not exist");
                let name = to.rsplit(':').next().unwrap_or_default();
                let fix = ("make it", Some(format!("aws sqs create-queue --queue-name {name}")));
                found.push(weak(Kind::RedriveGone, QUEUE, None, risk, fix));
            }
            None => look.unread.push(unread(QUEUE, &format!("sqs:GetQueueUrl does not say whether {to} exists"))),
        }
        if after < FEW {
            let risk = format!("after {after} receives an announcement moves to {to}, where nobody reads it");
            let policy = format!("{{\\\"deadLetterTargetArn\\\":\\\"{to}\\\",\\\"maxReceiveCount\\\":\\\"100\\\"}}");
            let fix = ("allow more receives", set(&format!("{{\"RedrivePolicy\":\"{policy}\"}}")));
            found.push(weak(Kind::RedriveTight, QUEUE, None, risk, fix));
        }
    }
    look.weaknesses.extend(found);
}
