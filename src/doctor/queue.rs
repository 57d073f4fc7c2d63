//! What a queue's attributes say of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Line;
use crate::aws::probe::{Announced, Tried};
use crate::config::units::show_duration;
use crate::config::{Place, Trail};
use crate::core::grant::{Role, partition};
use crate::core::id::AccountId;
use crate::core::policy::{Document, Expected, Fix, Kind, weaknesses_of_queue};
use crate::core::posture::senders;

const DAY: u64 = 86_400;
/// An outage over a long weekend loses nothing (SQS's default).
const KEPT: u64 = 4 * DAY;
/// A throttled or restarted warden takes a message more than once.
const LEAST_RECEIVES: u64 = 3;

/// A queue's attributes; none if they could not be asked for.
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub fn new(attributes: BTreeMap<String, String>) -> Self {
        Self(attributes)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }

    fn redrive(&self) -> Option<Value> {
        serde_json::from_str(self.0.get("RedrivePolicy")?).ok()
    }

    /// Whether a receive takes nothing, or is not counted towards the dead-letter queue.
    pub fn may_receive(&self) -> bool {
        let waiting = self.number("ApproximateNumberOfMessages");
        waiting.is_some_and(|waiting| waiting == 0 || self.redrive().is_none())
    }

    /// AWS takes the number as a text, too.
    fn most_receives(&self) -> Option<u64> {
        let most = self.redrive()?.get("maxReceiveCount")?.clone();
        most.as_u64().or_else(|| most.as_str()?.parse().ok())
    }

    pub fn dead_letters(&self) -> Option<String> {
        Some(self.redrive()?.get("deadLetterTargetArn")?.as_str()?.to_owned())
    }
}

fn line(name: &str, arn: &str) -> Line {
    Line::new(Role::Reader, name, arn)
}

/// The queue by its attributes, and by what the bucket announces if that is known.
pub fn judge(trail: &Trail, arn: &str, asked: &Tried, seen: &Attributes, announced: Option<&Announced>) -> Vec<Line> {
    if let Tried::Denied { text, .. } | Tried::Unknown(text) = asked {
        return vec![line("queue", arn).unchecked(text.clone())];
    }
    let mut lines =
        vec![backlog(arn, seen), visibility(trail, arn, seen), kept(trail, arn, seen), redrive(trail, arn, seen)];
    lines.extend(announcement(trail, arn, announced));
    lines.extend(policy(trail, arn, seen, announced));
    lines
}

fn backlog(arn: &str, seen: &Attributes) -> Line {
    let line = line("backlog", arn);
    match (seen.number("ApproximateNumberOfMessages"), seen.number("ApproximateNumberOfMessagesNotVisible")) {
        (Some(waiting), Some(taken)) => line.ok(format!("{waiting} wait, {taken} are in work")),
        _ => line.unchecked("the answer has no numbers"),
    }
}

fn visibility(trail: &Trail, arn: &str, seen: &Attributes) -> Line {
    let asked = show_duration(trail.visibility);
    match seen.number("VisibilityTimeout") {
        Some(own) => line("visibility", arn)
            .ok(format!("{asked} are asked for at each receive and extended; the queue's own {own} s do not matter")),
        None => line("visibility", arn).unchecked("the answer does not say"),
    }
}

fn kept(trail: &Trail, arn: &str, seen: &Attributes) -> Line {
    let line = line("message retention", arn);
    match seen.number("MessageRetentionPeriod") {
        Some(seconds) if seconds < KEPT => line
            .bad(format!("messages are kept for {seconds} s"), "an outage that lasts longer loses notifications")
            .remedy(set(trail, "MessageRetentionPeriod=1209600")),
        Some(seconds) => line.ok(format!("{} days", seconds / DAY)),
        None => line.unchecked("the answer does not say"),
    }
}

fn redrive(trail: &Trail, arn: &str, seen: &Attributes) -> Line {
    let line = line("redrive", arn);
    let advice =
        r#"'{"RedrivePolicy":"{\"deadLetterTargetArn\":\"DEAD-LETTER-QUEUE-ARN\",\"maxReceiveCount\":\"10\"}"}'"#;
    let without = "messages that fail again and again come back until they expire, and then are gone";
    match (seen.dead_letters(), seen.most_receives()) {
        (None, _) => line.bad("there is no dead-letter queue", without).remedy(set(trail, advice)),
        (Some(_), Some(most)) if most < LEAST_RECEIVES => line
            .bad(
                format!("a message is given up after {most} receives"),
                "a restart or a throttled call is enough for a message to be given up",
            )
            .remedy(set(trail, advice)),
        (Some(dead), most) => {
            line.ok(format!("to {dead} after {} receives", most.map_or("some".into(), |most| most.to_string())))
        }
    }
}

fn set(trail: &Trail, attributes: &str) -> String {
    format!("aws sqs set-queue-attributes --queue-url {} --attributes {attributes}", trail.queue)
}

fn announcement(trail: &Trail, arn: &str, announced: Option<&Announced>) -> Option<Line> {
    let Place::Aws(bucket) = &trail.bucket else { return None };
    let line = line("announcement", bucket);
    Some(match announced {
        None => line.unchecked("what the bucket announces may not be asked for (s3:GetBucketNotification)"),
        Some(told) if told.queues.iter().any(|queue| queue == arn) => line.ok("straight to the queue"),
        Some(told) if !told.topics.is_empty() => line.ok(format!("by {}, as far as the bucket says", told.topics.join(", "))),
        Some(told) if told.bridge => line.ok("by EventBridge, as far as the bucket says"),
        Some(_) => line
            .bad("the bucket announces nothing that could reach the queue", "no delivery is noticed until bucket and ledger are compared")
            .remedy(format!(
                "aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration \
                 '{{\"QueueConfigurations\":[{{\"QueueArn\":\"{arn}\",\"Events\":[\"s3:ObjectCreated:*\",\"s3:ObjectRemoved:*\"]}}]}}'"
            )),
    })
}

fn policy(trail: &Trail, arn: &str, seen: &Attributes, announced: Option<&Announced>) -> Vec<Line> {
    let Place::Aws(bucket) = &trail.bucket else { return Vec::new() };
    let document = seen.0.get("Policy").map(|text| Document::parse(text)).unwrap_or_default();
    let is_direct = announced.is_some_and(|told| told.queues.iter().any(|queue| queue == arn));
    let owner = trail.owner.or_else(|| AccountId::parse(arn.split(':').nth(4)?).ok());
    let mut between = announced.map(|told| told.topics.clone()).unwrap_or_default();
    if announced.is_some_and(|told| told.bridge) {
        between.extend(rules(seen, owner));
    }
    let expected = Expected {
        partition: partition(trail.region.as_ref().map_or("", |region| region.as_str())).into(),
        bucket: bucket.clone(),
        owner,
        queue: Some(arn.into()),
        senders: if is_direct { Vec::new() } else { between },
        ..Expected::default()
    };
    // Without a rule that the queue's own policy names, nobody knows who sends what EventBridge is told.
    let knows_senders = is_direct || !expected.senders.is_empty();
    let found = weaknesses_of_queue(&document, &expected).into_iter().map(|weakness| {
        let line = line("queue policy", arn);
        let of_sending =
            matches!(weakness.kind, Kind::QueueSendMissing | Kind::QueueSendUnbound | Kind::QueueSendByOthers);
        if matches!(weakness.fix, Fix::Look(_)) || (of_sending && !knows_senders) {
            return line.unchecked(weakness.risk);
        }
        let fix = weakness.paste().unwrap_or_else(|| weakness.advice());
        line.bad(weakness.risk, weakness.kind.why()).remedy(fix)
    });
    let lines: Vec<Line> = found.collect();
    if lines.is_empty() { vec![line("queue policy", arn).ok("only what announces deliveries may send")] } else { lines }
}

/// The rules of the bucket's account that the queue's policy lets send. The bucket's configuration names none.
fn rules(seen: &Attributes, owner: Option<AccountId>) -> Vec<String> {
    let Some(owner) = owner else { return Vec::new() };
    let mut rules = seen.0.get("Policy").map(|policy| senders(policy)).unwrap_or_default();
    rules.retain(|arn| {
        let parts: Vec<&str> = arn.split(':').collect();
        parts.get(2) == Some(&"events") && parts.get(4) == Some(&owner.as_str())
    });
    rules
}

/// The dead-letter queue of `source`.
pub fn judge_dead(arn: &str, asked: &Tried, seen: &Attributes, source: &Attributes) -> Vec<Line> {
    let depth = line("dead letters", arn);
    if let Tried::Denied { text, .. } | Tried::Unknown(text) = asked {
        return vec![depth.unchecked(text.clone())];
    }
    let depth = match seen.number("ApproximateNumberOfMessages") {
        Some(0) => depth.ok("none"),
        Some(held) => depth
            .bad(
                format!("{held} messages were given up"),
                "what they announce is only found by comparing bucket and ledger",
            )
            .remedy(format!("trailwarden reconcile, then aws sqs start-message-move-task --source-arn {arn}")),
        None => depth.unchecked("the answer has no numbers"),
    };
    let kept = line("dead-letter retention", arn);
    // A message's age goes on counting from when it was first sent.
    let kept = match (seen.number("MessageRetentionPeriod"), source.number("MessageRetentionPeriod")) {
        (Some(dead), Some(own)) if dead < own => kept.bad(
            format!("messages are kept for {dead} s, in the queue itself for {own} s"),
            "a message can expire as soon as it is given up",
        ),
        (Some(dead), Some(_)) => kept.ok(format!("{} days", dead / DAY)),
        _ => kept.unchecked("the answer does not say"),
    };
    vec![depth, kept]
}

#[cfg(test)]
mod tests {
    use super::super::Answer;
    use super::*;
    use crate::config::Config;

    const ARN: &str = "arn:aws:sqs:eu-central-1:111122223333:trail";
    const DEAD: &str = "arn:aws:sqs:eu-central-1:111122223333:dead";
    const GOOD: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},
        "Action":"sqs:SendMessage","Resource":"arn:aws:sqs:eu-central-1:111122223333:trail","Condition":{
        "ArnEquals":{"aws:SourceArn":"arn:aws:s3:::acme"},"StringEquals":{"aws:SourceAccount":"111122223333"}}}]}"#;

    fn trail() -> Trail {
        let text = "[[trail]]\nname = \"org\"\nbucket = \"acme\"\nregion = \"eu-central-1\"\nowner = \"111122223333\"\n\
                    queue = \"https://sqs.eu-central-1.amazonaws.com/111122223333/trail\"\n";
        Config::from_text(text, "test").unwrap().trails.remove(0)
    }

    fn attributes(changed: &[(&str, &str)]) -> Attributes {
        let redrive = format!(r#"{{"deadLetterTargetArn":"{DEAD}","maxReceiveCount":"10"}}"#);
        let usual = [
            ("ApproximateNumberOfMessages", "0"),
            ("ApproximateNumberOfMessagesNotVisible", "0"),
            ("VisibilityTimeout", "30"),
            ("MessageRetentionPeriod", "1209600"),
            ("RedrivePolicy", redrive.as_str()),
            ("Policy", GOOD),
        ];
        let all = usual.iter().chain(changed).filter(|(name, _)| !changed.contains(&(*name, "")));
        Attributes(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn direct() -> Announced {
        Announced { queues: vec![ARN.into()], ..Announced::default() }
    }

    /// What is not in order, by name.
    fn wrong(seen: &Attributes, announced: Option<&Announced>) -> Vec<(String, Answer)> {
        let lines = judge(&trail(), ARN, &Tried::Allowed, seen, announced);
        lines.into_iter().filter(|line| line.answer != Answer::Ok).map(|line| (line.name, line.answer)).collect()
    }

    #[test]
    fn what_is_wrong_with_a_queue_is_told_by_its_own_line() {
        assert_eq!(wrong(&attributes(&[]), Some(&direct())), []);
        let low = format!(r#"{{"deadLetterTargetArn":"{DEAD}","maxReceiveCount":1}}"#);
        let open = GOOD
            .replace(r#""ArnEquals":{"aws:SourceArn":"arn:aws:s3:::acme"},"#, "")
            .replace("111122223333\"}", "999999999999\"}");
        for (changed, name) in [
            (("MessageRetentionPeriod", "345599"), "message retention"),
            (("RedrivePolicy", ""), "redrive"),
            (("RedrivePolicy", low.as_str()), "redrive"),
            (("Policy", ""), "queue policy"),
        ] {
            let found = wrong(&attributes(&[changed]), Some(&direct()));
            assert_eq!(found, [(name.to_owned(), Answer::Bad)], "{changed:?}");
        }
        let found = wrong(&attributes(&[("Policy", open.as_str())]), Some(&direct()));
        assert!(!found.is_empty() && found.iter().all(|(name, _)| name == "queue policy"), "{found:?}");
        let unread = wrong(&attributes(&[("MessageRetentionPeriod", "soon")]), Some(&direct()));
        assert_eq!(unread, [("message retention".to_owned(), Answer::Unchecked)]);
    }

    #[test]
    fn who_sends_is_only_judged_where_it_is_known() {
        let unknown = wrong(&attributes(&[("Policy", "")]), None);
        assert_eq!(unknown, ["announcement", "queue policy"].map(|name| (name.to_owned(), Answer::Unchecked)));
        let nowhere = wrong(&attributes(&[]), Some(&Announced::default()));
        assert_eq!(nowhere[0], ("announcement".to_owned(), Answer::Bad));
        let bridge = Announced { bridge: true, ..Announced::default() };
        assert!(
            wrong(&attributes(&[("Policy", "")]), Some(&bridge)).iter().all(|(_, answer)| *answer == Answer::Unchecked)
        );
        let rule = |account: &str| {
            GOOD.replace("s3.amazonaws.com", "events.amazonaws.com")
                .replace("arn:aws:s3:::acme", &format!("arn:aws:events:eu-central-1:{account}:rule/trail"))
        };
        assert_eq!(wrong(&attributes(&[("Policy", &rule("111122223333"))]), Some(&bridge)), []);
        let foreign = wrong(&attributes(&[("Policy", &rule("999999999999"))]), Some(&bridge));
        assert!(!foreign.is_empty() && foreign.iter().all(|(_, answer)| *answer == Answer::Unchecked), "{foreign:?}");
    }

    #[test]
    fn a_receive_is_only_made_where_it_counts_for_nothing() {
        assert!(attributes(&[]).may_receive());
        assert!(!attributes(&[("ApproximateNumberOfMessages", "1")]).may_receive());
        assert!(attributes(&[("ApproximateNumberOfMessages", "1"), ("RedrivePolicy", "")]).may_receive());
        assert!(!Attributes(BTreeMap::new()).may_receive(), "nothing is known of it");
    }

    #[test]
    fn dead_letters_and_the_time_that_they_have_are_told() {
        let source = attributes(&[]);
        let answers =
            |seen: &Attributes| judge_dead(DEAD, &Tried::Allowed, seen, &source).into_iter().map(|line| line.answer);
        assert!(answers(&attributes(&[])).eq([Answer::Ok, Answer::Ok]));
        assert!(answers(&attributes(&[("ApproximateNumberOfMessages", "2")])).eq([Answer::Bad, Answer::Ok]));
        assert!(answers(&attributes(&[("MessageRetentionPeriod", "86400")])).eq([Answer::Ok, Answer::Bad]));
    }
}
