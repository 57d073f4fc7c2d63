//! S3: what protects a bucket, and what lies in it.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ExpirationStatus;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, LifecycleRule, ObjectLockConfiguration, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, VersioningConfiguration,
};

use super::super::vault::{ABSENT, Verbatim};
use super::{Announced, BucketAt, Probe, Sample, Tried, judge, must_fail, unasked};

/// What S3 says of an object that is not there, is empty, or cannot be read now.
const ELSEWHERE: [&str; 8] = [
    "NoSuchKey",
    "NoSuchVersion",
    "NotFound",
    "InvalidRange",
    "InvalidObjectState",
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFound",
    "InvalidRequest", // locks of an object in a bucket without Object Lock
];
/// What S3 says of a body that it does not take.
const REFUSED: [&str; 6] =
    ["MalformedXML", "BadDigest", "InvalidDigest", "InvalidRequest", "InvalidArgument", "InvalidBucketState"];
/// MD5 of none of the bodies that are sent.
const WRONG_MD5: &str = "MDAwMDAwMDAwMDAwMDAwMA==";

macro_rules! read {
    ($client:ident, $at:ident, $action:ident, $call:ident) => {
        judge($action, $client.$call().bucket(&$at.name).set_expected_bucket_owner($at.owner()).send().await, ABSENT).0
    };
}

/// A document that S3 refuses, under a checksum that is not its own.
macro_rules! refused {
    ($action:ident, $call:expr, $body:expr) => {{
        let wrong = |request: &mut aws_sdk_s3::config::http::HttpRequest| {
            request.headers_mut().insert("content-md5", WRONG_MD5);
        };
        let call = $call.customize().interceptor(Verbatim($body.to_owned())).mutate_request(wrong);
        must_fail(judge($action, call.send().await, &REFUSED))
    }};
}

impl BucketAt {
    fn owner(&self) -> Option<String> {
        self.owner.map(String::from)
    }
}

impl Probe {
    fn s3(&self) -> Client {
        let config = self.aws.s3().config().to_builder().interceptor(self.watch.clone()).build();
        Client::from_conf(config)
    }

    /// Lists, and answers the first key under one of the prefixes.
    pub async fn list(&self, action: &'static str, at: &BucketAt, prefixes: &[String]) -> (Tried, Option<String>) {
        let mut last = (Tried::Unknown("nothing was asked for".into()), None);
        for prefix in prefixes {
            let asked = self.s3().list_objects_v2().bucket(&at.name).prefix(prefix).max_keys(1);
            let (tried, answer) = judge(action, asked.set_expected_bucket_owner(at.owner()).send().await, &[]);
            let key = answer.and_then(|answer| answer.contents?.into_iter().next()?.key);
            let is_done = tried != Tried::Allowed || key.is_some();
            last = (tried, key);
            if is_done {
                break;
            }
        }
        last
    }

    /// Reads the first byte of an object, and tells of it.
    pub async fn read(&self, action: &'static str, at: &BucketAt, sample: &Sample) -> (Tried, Option<Sample>) {
        // A range of one byte reads a small thing of a large one.
        let asked = self.s3().get_object().bucket(&at.name).key(&sample.key).range("bytes=0-0");
        let asked = asked.set_version_id(sample.version.clone()).set_expected_bucket_owner(at.owner());
        let (tried, answer) = judge(action, asked.send().await, &ELSEWHERE);
        let found = answer.map(|answer| Sample {
            key: sample.key.clone(),
            version: answer.version_id,
            kms: answer.ssekms_key_id,
        });
        (tried, found)
    }

    /// Where the bucket sends its notifications.
    pub async fn notifications(&self, at: &BucketAt) -> (Tried, Option<Announced>) {
        let asked = self.s3().get_bucket_notification_configuration().bucket(&at.name);
        let asked = asked.set_expected_bucket_owner(at.owner());
        let (tried, answer) = judge("s3:GetBucketNotification", asked.send().await, &[]);
        let announced = answer.map(|answer| Announced {
            queues: answer.queue_configurations().iter().map(|queue| queue.queue_arn().to_owned()).collect(),
            topics: answer.topic_configurations().iter().map(|topic| topic.topic_arn().to_owned()).collect(),
            bridge: answer.event_bridge_configuration().is_some(),
        });
        (tried, announced)
    }

    /// A permission on a bucket.
    pub async fn on_bucket(&self, action: &'static str, at: &BucketAt) -> Tried {
        let client = self.s3();
        match action {
            "s3:GetBucketPolicy" => read!(client, at, action, get_bucket_policy),
            "s3:GetBucketPolicyStatus" => read!(client, at, action, get_bucket_policy_status),
            "s3:GetBucketAcl" => read!(client, at, action, get_bucket_acl),
            "s3:GetBucketPublicAccessBlock" => read!(client, at, action, get_public_access_block),
            "s3:GetBucketOwnershipControls" => read!(client, at, action, get_bucket_ownership_controls),
            "s3:GetBucketVersioning" => read!(client, at, action, get_bucket_versioning),
            "s3:GetEncryptionConfiguration" => read!(client, at, action, get_bucket_encryption),
            "s3:GetBucketObjectLockConfiguration" => read!(client, at, action, get_object_lock_configuration),
            "s3:GetLifecycleConfiguration" => read!(client, at, action, get_bucket_lifecycle_configuration),
            "s3:GetReplicationConfiguration" => read!(client, at, action, get_bucket_replication),
            "s3:GetBucketLogging" => read!(client, at, action, get_bucket_logging),
            "s3:GetBucketNotification" => read!(client, at, action, get_bucket_notification_configuration),
            "s3:ListBucket" => self.list(action, at, &[String::new()]).await.0,
            "s3:ListBucketVersions" => {
                let asked = client.list_object_versions().bucket(&at.name).max_keys(1);
                judge(action, asked.set_expected_bucket_owner(at.owner()).send().await, &[]).0
            }
            "s3:PutBucketVersioning" => {
                let call = client.put_bucket_versioning().bucket(&at.name).set_expected_bucket_owner(at.owner());
                let call = call.versioning_configuration(VersioningConfiguration::builder().build());
                let body = "<VersioningConfiguration><Status>Probe</Status></VersioningConfiguration>";
                refused!(action, call, body)
            }
            "s3:PutBucketObjectLockConfiguration" => {
                let call = client.put_object_lock_configuration().bucket(&at.name);
                let call = call.set_expected_bucket_owner(at.owner());
                let call = call.object_lock_configuration(ObjectLockConfiguration::builder().build());
                let body =
                    "<ObjectLockConfiguration><ObjectLockEnabled>Probe</ObjectLockEnabled></ObjectLockConfiguration>";
                refused!(action, call, body)
            }
            "s3:PutLifecycleConfiguration" => {
                let call = client.put_bucket_lifecycle_configuration().bucket(&at.name);
                let rule = LifecycleRule::builder().status(ExpirationStatus::Disabled).build();
                let rules = BucketLifecycleConfiguration::builder().set_rules(rule.ok().map(|rule| vec![rule])).build();
                let call = call.set_expected_bucket_owner(at.owner()).set_lifecycle_configuration(rules.ok());
                let body = "<LifecycleConfiguration><Rule><Status>Probe</Status></Rule></LifecycleConfiguration>";
                refused!(action, call, body)
            }
            _ => unasked(action),
        }
    }

    /// A permission on objects. What changes an object is tried on one that is not there.
    pub async fn on_object(&self, action: &'static str, at: &BucketAt, sample: &Sample, nowhere: &str) -> Tried {
        let client = self.s3();
        match action {
            "s3:GetObject" => self.read(action, at, &Sample { version: None, ..sample.clone() }).await.0,
            "s3:GetObjectVersion" => {
                let version = sample.version.clone().or_else(|| Some("null".into()));
                self.read(action, at, &Sample { version, ..sample.clone() }).await.0
            }
            "s3:GetObjectRetention" => {
                let asked = client.get_object_retention().bucket(&at.name).key(&sample.key);
                judge(action, asked.set_expected_bucket_owner(at.owner()).send().await, &ELSEWHERE).0
            }
            "s3:GetObjectLegalHold" => {
                let asked = client.get_object_legal_hold().bucket(&at.name).key(&sample.key);
                judge(action, asked.set_expected_bucket_owner(at.owner()).send().await, &ELSEWHERE).0
            }
            // A lock of nothing shortens nothing.
            "s3:PutObjectRetention" => {
                let put = client.put_object_retention().bucket(&at.name).key(nowhere);
                let put = put.retention(ObjectLockRetention::builder().build()).set_expected_bucket_owner(at.owner());
                must_fail(judge(action, put.send().await, &[&ELSEWHERE[..], &REFUSED].concat()))
            }
            "s3:PutObjectLegalHold" => {
                let off = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::Off).build();
                let put = client.put_object_legal_hold().bucket(&at.name).key(nowhere).legal_hold(off);
                let sent = put.set_expected_bucket_owner(at.owner()).send().await;
                must_fail(judge(action, sent, &[&ELSEWHERE[..], &REFUSED].concat()))
            }
            "s3:PutObject" => {
                let put = client.put_object().bucket(&at.name).key(nowhere).content_md5(WRONG_MD5);
                let sent = put.body(b"probe".to_vec().into()).set_expected_bucket_owner(at.owner()).send().await;
                must_fail(judge(action, sent, &REFUSED))
            }
            // Of what is not there no version is the one that is meant, so that not even a delete marker is made.
            "s3:DeleteObject" => {
                let delete = client.delete_object().bucket(&at.name).key(nowhere).if_match("\"probe\"");
                let sent = delete.set_expected_bucket_owner(at.owner()).send().await;
                judge(action, sent, &[&ELSEWHERE[..], &["PreconditionFailed"]].concat()).0
            }
            _ => unasked(action),
        }
    }
}
