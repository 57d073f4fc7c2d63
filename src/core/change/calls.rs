//! The calls that are looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::core::finding::Severity::{self, Critical, High, Low, Medium};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Trail,
    Bucket,
    Key,
    Queue,
    Topic,
    Rule,
    /// Always ours.
    Organization,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Before `.amazonaws.com`.
    pub service: &'static str,
    pub name: &'static str,
    pub thing: Thing,
    /// The request parameters that name it.
    pub parameters: &'static [&'static str],
    /// Of a call that was done.
    pub severity: Severity,
    /// What it means that it was done.
    pub effect: &'static str,
    only: Only,
}

/// What must be so for a call to matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Always,
    /// It bypasses governance mode: without, a retention can only be made longer.
    Bypass,
    /// It is about CloudTrail's part in the organization.
    CloudTrail,
}

impl Call {
    /// Whether retention does it, as `retention apply` and `retention hold`.
    pub fn is_keeping(&self) -> bool {
        const KEEPING: [&str; 6] = [
            "PutBucketVersioning",
            "PutObjectLockConfiguration",
            "PutBucketObjectLockConfiguration",
            "PutBucketLifecycle",
            "PutBucketLifecycleConfiguration",
            "PutObjectLegalHold",
        ];
        self.service == "s3" && KEEPING.contains(&self.name)
    }

    pub fn holds(&self, parameters: &BTreeMap<Cow<'_, str>, &RawValue>) -> bool {
        let said = |raw: &RawValue| raw.get().trim_matches('"').to_ascii_lowercase();
        match self.only {
            Only::Always => true,
            Only::Bypass => parameters.iter().any(|(name, raw)| {
                name.to_ascii_lowercase().contains("bypass") && !matches!(said(raw).as_str(), "false" | "null")
            }),
            // What cannot be read may be.
            Only::CloudTrail => {
                parameters.get("servicePrincipal").is_none_or(|raw| said(raw).contains("cloudtrail.amazonaws.com"))
            }
        }
    }
}

const fn call(
    service: &'static str,
    name: &'static str,
    (thing, parameters): (Thing, &'static [&'static str]),
    severity: Severity,
    effect: &'static str,
) -> Call {
    Call { service, name, thing, parameters, severity, effect, only: Only::Always }
}

const TRAIL: (Thing, &[&str]) = (Thing::Trail, &["name", "trailName"]);
const BUCKET: (Thing, &[&str]) = (Thing::Bucket, &["bucketName"]);
const KEY: (Thing, &[&str]) = (Thing::Key, &["keyId"]);
const QUEUE: (Thing, &[&str]) = (Thing::Queue, &["queueUrl"]);
const RULE: (Thing, &[&str]) = (Thing::Rule, &["name", "rule"]);
const TOPIC: (Thing, &[&str]) = (Thing::Topic, &["topicArn", "subscriptionArn"]);
const MEMBER: (Thing, &[&str]) = (Thing::Organization, &["accountId", "delegatedAdminAccountId", "servicePrincipal"]);

const POLICY: &str = "who may write, delete and read evidence may be others than before";
const LIFECYCLE: &str = "rules may expire, hide or move evidence from within S3, which no bucket policy stops";
const VERSIONING: &str = "while versioning is suspended, what is overwritten or deleted is gone";
const LOCK: &str = "the default by which new evidence is locked may be another";
const NOTIFY: &str = "the warden may not be told of deliveries any more";
const SENDERS: &str = "others may send to the queue or receive from it";
const PUBLIC: &str = "what kept policies and ACLs from opening the bucket to everybody may be gone";
const OWNERSHIP: &str = "ACLs may let others read and write past the policy";
const COPIES: &str = "what is delivered may be copied to somebody else, or is not copied any more to where it was";
const ENCRYPTION: &str = "new evidence may be encrypted with a key that somebody else can take away";
const SELECTORS: &str = "what is recorded may be less than before";
const KEY_GONE: &str = "nothing can be delivered under this key, and what it encrypts cannot be read";

/// Grouped by service.
pub const CALLS: &[Call] = &[
    call("cloudtrail", "StopLogging", TRAIL, Critical, "nothing is recorded from then on"),
    call("cloudtrail", "DeleteTrail", TRAIL, Critical, "nothing is recorded from then on, and the trail is gone"),
    call(
        "cloudtrail",
        "UpdateTrail",
        TRAIL,
        High,
        "bucket, regions, validation, key or organization of the trail may be others",
    ),
    call("cloudtrail", "PutEventSelectors", TRAIL, High, SELECTORS),
    call("cloudtrail", "PutInsightSelectors", TRAIL, Low, "insights may not be looked for any more"),
    call(
        "cloudtrail",
        "DeregisterOrganizationDelegatedAdmin",
        MEMBER,
        Medium,
        "an account cannot look after the organization's trails any more",
    ),
    call("s3", "DeleteBucket", BUCKET, Critical, "the bucket is gone, and anybody can take its name"),
    call("s3", "PutBucketPolicy", BUCKET, High, POLICY),
    call("s3", "DeleteBucketPolicy", BUCKET, Critical, "CloudTrail cannot deliver any more"),
    call("s3", "PutBucketLifecycle", BUCKET, High, LIFECYCLE),
    call("s3", "PutBucketLifecycleConfiguration", BUCKET, High, LIFECYCLE),
    call("s3", "DeleteBucketLifecycle", BUCKET, Medium, "evidence is kept for longer than planned, at its price"),
    call("s3", "PutBucketVersioning", BUCKET, High, VERSIONING),
    call("s3", "PutObjectLockConfiguration", BUCKET, High, LOCK),
    call("s3", "PutBucketObjectLockConfiguration", BUCKET, High, LOCK),
    Call {
        only: Only::Bypass,
        ..call("s3", "PutObjectRetention", BUCKET, Critical, "locks in governance mode may be shortened or gone")
    },
    call("s3", "PutObjectLegalHold", BUCKET, Medium, "an object is held for an investigation, or is not held any more"),
    call("s3", "PutBucketNotification", BUCKET, High, NOTIFY),
    call("s3", "PutBucketNotificationConfiguration", BUCKET, High, NOTIFY),
    call("s3", "PutBucketPublicAccessBlock", BUCKET, High, PUBLIC),
    call("s3", "PutPublicAccessBlock", BUCKET, High, PUBLIC),
    call("s3", "DeleteBucketPublicAccessBlock", BUCKET, High, PUBLIC),
    call("s3", "DeletePublicAccessBlock", BUCKET, High, PUBLIC),
    call("s3", "PutBucketEncryption", BUCKET, High, ENCRYPTION),
    call("s3", "DeleteBucketEncryption", BUCKET, Medium, "new evidence is encrypted with S3's own key"),
    call("s3", "PutBucketReplication", BUCKET, High, COPIES),
    call("s3", "DeleteBucketReplication", BUCKET, Medium, COPIES),
    call("s3", "PutBucketOwnershipControls", BUCKET, High, OWNERSHIP),
    call("s3", "DeleteBucketOwnershipControls", BUCKET, High, OWNERSHIP),
    call("s3", "PutBucketAcl", BUCKET, High, OWNERSHIP),
    call("s3", "PutBucketLogging", BUCKET, Medium, "who reads and writes evidence may not be logged any more"),
    call("kms", "DisableKey", KEY, Critical, KEY_GONE),
    call("kms", "ScheduleKeyDeletion", KEY, Critical, KEY_GONE),
    call("kms", "PutKeyPolicy", KEY, High, "who may encrypt, decrypt and end the key may be others than before"),
    call("kms", "DeleteImportedKeyMaterial", KEY, Critical, KEY_GONE),
    call("sqs", "DeleteQueue", QUEUE, High, "the warden is told of nothing any more"),
    call("sqs", "SetQueueAttributes", QUEUE, Medium, "policy, retention, redrive or key of the queue may be others"),
    call(
        "sqs",
        "PurgeQueue",
        QUEUE,
        High,
        "announcements that had not been received are gone; what they told of is found by listing only",
    ),
    call("sqs", "AddPermission", QUEUE, Medium, SENDERS),
    call("sqs", "RemovePermission", QUEUE, High, NOTIFY),
    call("sns", "SetTopicAttributes", TOPIC, Medium, "policy or key of the topic may be others"),
    call("sns", "SetSubscriptionAttributes", TOPIC, High, NOTIFY),
    call("sns", "DeleteTopic", TOPIC, High, NOTIFY),
    call("sns", "Unsubscribe", TOPIC, High, NOTIFY),
    call("events", "DeleteRule", RULE, High, NOTIFY),
    call("events", "DisableRule", RULE, High, NOTIFY),
    call("events", "PutRule", RULE, High, NOTIFY),
    call("events", "PutTargets", RULE, Medium, "announcements may go elsewhere, or to others as well"),
    call("events", "RemoveTargets", RULE, High, NOTIFY),
    call(
        "organizations",
        "LeaveOrganization",
        MEMBER,
        High,
        "an account is covered by the organization's trail no more",
    ),
    call(
        "organizations",
        "RemoveAccountFromOrganization",
        MEMBER,
        High,
        "an account is covered by the organization's trail no more",
    ),
    Call {
        only: Only::CloudTrail,
        ..call(
            "organizations",
            "DisableAWSServiceAccess",
            MEMBER,
            Critical,
            "organization trails stop in all member accounts",
        )
    },
];

/// Only some of the words that calls begin with begin one of these: most records end here.
const FIRST: &[u8] = b"ADLPRSU";

/// The call that a record's two words name, if it is one of these.
pub fn find(source: &str, name: &str) -> Option<&'static Call> {
    if !name.as_bytes().first().is_some_and(|first| FIRST.contains(first)) {
        return None;
    }
    let service = source.strip_suffix(".amazonaws.com")?;
    CALLS.iter().find(|call| call.name == name && call.service == service)
}
