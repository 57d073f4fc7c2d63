//! The policy of the queue that deliveries are announced in.

use serde_json::json;

use super::Truth;
use super::condition::{Condition, Given};
use super::document::{Document, Effect, Principal, Statement};
use super::evaluate::{Request, Resource, Verdict, evaluate};
use super::expected::Expected;
use super::grants::{context, grantees, is_public};
use super::mend::Draft;
use super::source::{Bound, of_service};
use super::weakness::{Fix, Kind, Weakness, doubts, sorted};
use crate::core::printable;

const SEND: &str = "sqs:SendMessage";
const POWERS: [(Kind, &[&str], &str); 3] = [
    (Kind::QueueSendByOthers, &[SEND], "send messages, true or forged"),
    (
        Kind::QueueReceiveByOthers,
        &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
        "take messages away before the warden sees them",
    ),
    (
        Kind::QueueAdministeredByOthers,
        &["sqs:PurgeQueue", "sqs:DeleteQueue", "sqs:SetQueueAttributes", "sqs:AddPermission", "sqs:RemovePermission"],
        "empty, delete or reconfigure the queue",
    ),
];

pub fn weaknesses(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let mut found = doubts(document);
    let reaches = |statement: &&Statement| {
        expected.queue.as_deref().is_none_or(|queue| statement.reaches(Resource::One(queue)) != Truth::No)
    };
    for statement in document.statements.iter().filter(|statement| statement.is(Effect::Allow)).filter(reaches) {
        if is_public(statement) {
            let rest = Draft::of(statement).only(|who| *who != Principal::Everyone);
            let risk = "anybody, in any AWS account, may use this queue as the statement allows, as no condition limits `*` to fixed values";
            let fix = Fix::Replace(rest.into_iter().map(Draft::text).collect());
            found.push(Weakness::at(Kind::QueuePublic, statement, risk, fix));
            continue;
        }
        for power in &POWERS {
            found.extend(by_others(document, statement, power, expected));
        }
    }
    if document.doubts.is_empty() {
        found.extend(missing(document, expected));
    }
    sorted(found)
}

/// What sends to the queue: the bucket, or what stands between it and the queue.
fn senders(expected: &Expected) -> Vec<String> {
    if expected.senders.is_empty() { vec![expected.bucket_arn()] } else { expected.senders.clone() }
}

fn service(sender: &str) -> String {
    let name = sender.split(':').nth(2).unwrap_or("s3");
    format!("{name}.amazonaws.com")
}

fn send(sender: &str, expected: &Expected) -> Draft {
    let queue = expected.queue.clone().unwrap_or_else(|| "arn:aws:sqs:REGION:ACCOUNT:QUEUE".into());
    let who = json!({ "Service": service(sender) });
    let draft = Draft::new("Allow", who, json!(SEND), json!(queue), json!({}));
    let draft = draft.on("ArnEquals", "aws:SourceArn", json!(sender));
    match expected.owner {
        Some(owner) => draft.on("StringEquals", "aws:SourceAccount", json!(owner.as_str())),
        None => draft,
    }
}

fn by_others(
    document: &Document,
    statement: &Statement,
    (kind, actions, what): &(Kind, &[&str], &str),
    expected: &Expected,
) -> Option<Weakness> {
    if !actions.iter().any(|action| statement.does(action) == Truth::Yes) {
        return None;
    }
    let is_ours = |who: &Principal| {
        let declared: &[&[Principal]] = match kind {
            Kind::QueueSendByOthers => &[&expected.writers, &expected.administrators],
            Kind::QueueReceiveByOthers => &[&expected.readers, &expected.administrators],
            _ => &[&expected.administrators],
        };
        let owners = who.account().is_some() && who.account() == expected.owner;
        owners || expected.declares(who, declared)
    };
    let is_sender = *kind == Kind::QueueSendByOthers && names_a_sender(statement, expected);
    let mut others = grantees(statement);
    others.retain(|who| !matches!(who, Principal::Deleted(_)) && !is_ours(who) && !is_sender);
    others.retain(|who| statement.holds(&context(who)) != Truth::No);
    if *kind == Kind::QueueSendByOthers && matches!(others[..], [Principal::Service(_)]) {
        match of_service(statement, expected) {
            Bound::Ours => return None,
            Bound::Loose if !is_pinned(statement) => return Some(unbound(document, statement, &others, expected)),
            _ => {}
        }
    }
    let names: Vec<String> = others.iter().take(4).map(ToString::to_string).collect();
    if names.is_empty() {
        return None;
    }
    let of: Vec<String> =
        sources(statement).flat_map(|condition| &condition.values).map(|arn| printable(arn, 200)).collect();
    let behalf = if of.is_empty() { String::new() } else { format!(" on behalf of {}", of.join(", ")) };
    let risk = format!("{} may {what}{behalf}", names.join(", "));
    let kept = Draft::of(statement).only(|who| !others.contains(who));
    Some(Weakness::at(*kind, statement, risk, Fix::Replace(kept.into_iter().map(Draft::text).collect())))
}

fn sources(statement: &Statement) -> impl Iterator<Item = &Condition> {
    statement.conditions.iter().filter(|condition| condition.pins() && condition.is("aws:SourceArn"))
}

fn is_pinned(statement: &Statement) -> bool {
    sources(statement).any(|condition| condition.fixed().is_some())
}

/// Whether `aws:SourceArn` holds it to what shall send. AWS writes a bucket's ARN as `arn:aws:s3:*:*:BUCKET`, too.
fn names_a_sender(statement: &Statement, expected: &Expected) -> bool {
    let senders = senders(expected);
    let is_sender = |condition: &Condition, value: &String| {
        let loose = |sender: &String| {
            let (value, sender): (Vec<&str>, Vec<&str>) = (value.split(':').collect(), sender.split(':').collect());
            condition.has_globs() && value.len() == 6 && (value[2], value[5]) == ("s3", *sender.last().unwrap_or(&""))
        };
        senders.iter().any(|sender| sender == value || loose(sender))
    };
    sources(statement).any(|condition| condition.values.iter().all(|value| is_sender(condition, value)))
}

fn unbound(document: &Document, statement: &Statement, who: &[Principal], expected: &Expected) -> Weakness {
    let names: Vec<String> = who.iter().map(ToString::to_string).collect();
    let risk = format!(
        "{} may send on behalf of anybody, so that a bucket of any AWS account can announce forged deliveries here",
        names.join(", ")
    );
    let sid = statement.sid.clone().unwrap_or_else(|| document.free_sid("BucketNotifications"));
    let of = senders(expected).into_iter().filter(|sender| who.contains(&Principal::Service(service(sender))));
    let statements = of.map(|sender| send(&sender, expected).sid(Some(&sid)).text()).collect();
    Weakness::at(Kind::QueueSendUnbound, statement, risk, Fix::Replace(statements))
}

/// The first sender that may not send.
fn missing(document: &Document, expected: &Expected) -> Option<Weakness> {
    let queue = expected.queue.as_deref()?;
    let owner = expected.owner.map_or(Given::Any, |owner| Given::is(owner.as_str()));
    let denied = senders(expected).into_iter().find(|sender| {
        let who = Principal::Service(service(sender));
        let context = context(&who)
            .with("aws:SourceArn", Given::is(sender.clone()))
            .with("aws:SourceAccount", owner.clone())
            .with("aws:SecureTransport", Given::is("true"))
            .with("aws:SourceVpce", Given::Absent);
        let request = Request { who: &who, action: SEND, resource: Resource::One(queue), context: &context };
        matches!(evaluate(document, &request), Verdict::Denied(_))
    })?;
    let sid = document.free_sid("BucketNotifications");
    let risk = format!("{denied} may not send to this queue, so that deliveries are not announced");
    Some(Weakness::whole(Kind::QueueSendMissing, risk, Fix::Add(vec![send(&denied, expected).sid(Some(&sid)).text()])))
}
