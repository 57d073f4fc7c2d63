//! The protection of a bucket on S3: each part read as the bytes that S3 answers with, and changed by one call; and its key on KMS.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, Region as SdkRegion, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, SdkBody};
use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, EncodingType, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    ObjectLockRule, TransitionDefaultMinimumObjectSize, VersioningConfiguration,
};
use jiff::Timestamp;

use super::class::{code_of, failed};
use super::s3::{decoded, is_absent, length};
use crate::core::id::AccountId;
use crate::core::lock::lifecycle::is_due;
use crate::core::lock::{self, Action, Mode, Retention, Term};
use crate::core::printable;
use crate::core::protection::{Fact, Key, Part, Protection};
use crate::error::{Error, Result};
use crate::seam::{Locked, Mark, Vault, Version};

/// How S3 says that a part is not configured (S3 API reference, each operation's errors).
pub(super) const ABSENT: &[&str] = &[
    "NoSuchBucketPolicy",
    "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchLifecycleConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "ReplicationConfigurationNotFoundError",
    // and KMS
    "NotFoundException",
];

/// A bucket's protection, and the account that must own the bucket.
#[derive(Debug, Clone)]
pub struct S3Vault {
    config: SdkConfig,
    client: Client,
    bucket: String,
    owner: Option<AccountId>,
}

/// Keeps the answer's body as it came.
#[derive(Debug, Clone, Default)]
struct Caught(Arc<Mutex<Option<String>>>);

impl Caught {
    fn text(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Caught {
    fn name(&self) -> &'static str {
        "Caught"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let bytes = context.response().body().bytes();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}

/// Sends these bytes as the request's body: rules of others are put back as they were read, not as an SDK would write them.
#[derive(Debug)]
pub(super) struct Verbatim(pub(super) String);

impl Intercept for Verbatim {
    fn name(&self) -> &'static str {
        "Verbatim"
    }

    /// Before the checksum is made and the request is signed.
    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        *request.body_mut() = SdkBody::from(self.0.as_str());
        request.headers_mut().insert("content-length", self.0.len().to_string());
        request.headers_mut().insert("content-type", "application/xml");
        Ok(())
    }
}

macro_rules! part {
    ($self:ident, $call:ident, $op:literal) => {{
        let caught = Caught::default();
        let asked = $self.client.$call().bucket(&$self.bucket).set_expected_bucket_owner($self.owner());
        let answer = asked.customize().interceptor(caught.clone()).send().await;
        fact($op, answer, &caught).0
    }};
}

impl S3Vault {
    pub(super) fn new(config: SdkConfig, client: Client, bucket: String, owner: Option<AccountId>) -> Self {
        Self { config, client, bucket, owner }
    }

    /// In the key's own region, where its name tells it.
    fn kms(&self, key: &str) -> aws_sdk_kms::Client {
        let mut config = aws_sdk_kms::config::Builder::from(&self.config);
        if let Some(region) = key.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)) {
            config = config.region(SdkRegion::new(region.to_owned()));
        }
        aws_sdk_kms::Client::from_conf(config.build())
    }

    fn owner(&self) -> Option<String> {
        self.owner.map(String::from)
    }

    async fn part(&self, part: Part) -> Fact {
        match part {
            Part::Versioning => part!(self, get_bucket_versioning, "s3:GetBucketVersioning"),
            Part::ObjectLock => part!(self, get_object_lock_configuration, "s3:GetBucketObjectLockConfiguration"),
            Part::Ownership => part!(self, get_bucket_ownership_controls, "s3:GetBucketOwnershipControls"),
            Part::PublicAccessBlock => part!(self, get_public_access_block, "s3:GetBucketPublicAccessBlock"),
            Part::Encryption => part!(self, get_bucket_encryption, "s3:GetEncryptionConfiguration"),
            Part::Replication => part!(self, get_bucket_replication, "s3:GetReplicationConfiguration"),
            Part::Notification => part!(self, get_bucket_notification_configuration, "s3:GetBucketNotification"),
            Part::Logging => part!(self, get_bucket_logging, "s3:GetBucketLogging"),
            Part::Policy => part!(self, get_bucket_policy, "s3:GetBucketPolicy"),
            Part::PolicyStatus => part!(self, get_bucket_policy_status, "s3:GetBucketPolicyStatus"),
            Part::Acl => part!(self, get_bucket_acl, "s3:GetBucketAcl"),
            Part::Lifecycle | Part::LifecycleMinimum => Fact::Absent,
        }
    }

    /// One answer, two parts: the document, and a header.
    async fn lifecycle(&self) -> (Fact, Fact) {
        let caught = Caught::default();
        let asked = self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket);
        let asked = asked.set_expected_bucket_owner(self.owner()).customize().interceptor(caught.clone());
        let (document, answer) = fact("s3:GetLifecycleConfiguration", asked.send().await, &caught);
        let minimum = answer.and_then(|answer| answer.transition_default_minimum_object_size);
        let minimum = match (&document, minimum) {
            (Fact::Unread(why), _) => Fact::Unread(why.clone()),
            (_, Some(minimum)) => Fact::Value(minimum.as_str().to_owned()),
            (_, None) => Fact::Absent,
        };
        (document, minimum)
    }

    async fn enable_versioning(&self) -> Result<()> {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = self.client.put_bucket_versioning().bucket(&self.bucket).versioning_configuration(on);
        let sent = put.set_expected_bucket_owner(self.owner()).send().await;
        sent.map(|_| ()).map_err(|error| failed("s3:PutBucketVersioning", &error))
    }

    async fn set_default(&self, term: Term) -> Result<()> {
        const OP: &str = "s3:PutBucketObjectLockConfiguration";
        let now = Protection([(Part::ObjectLock, self.part(Part::ObjectLock).await)].into());
        let actual = lock::default_of(&now).map_err(|why| Error::permanent(OP, why))?;
        if let Some(why) = lock::default_refusal(actual, term) {
            return Err(Error::permanent(OP, why));
        }
        let days = i32::try_from(term.days).map_err(|_| Error::permanent(OP, "too many days"))?;
        let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::from(term.mode.api())).days(days);
        let rule = ObjectLockRule::builder().default_retention(default.build()).build();
        let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule);
        let put = self.client.put_object_lock_configuration().bucket(&self.bucket);
        let put = put.object_lock_configuration(lock.build()).set_expected_bucket_owner(self.owner());
        put.send().await.map(|_| ()).map_err(|error| failed(OP, &error))
    }

    /// S3 has no condition for it: what is there is looked at right before each try.
    async fn set_lifecycle(
        &self,
        document: Option<&str>,
        minimum: Option<&str>,
        made_from: Option<&str>,
    ) -> Result<()> {
        const OP: &str = "s3:PutLifecycleConfiguration";
        if let Some(made_from) = made_from {
            let (present, _) = self.lifecycle().await;
            if !is_due(&present, document, made_from).map_err(|why| Error::permanent(OP, why))? {
                return Ok(());
            }
        }
        let Some(document) = document else {
            let delete = self.client.delete_bucket_lifecycle().bucket(&self.bucket);
            let sent = delete.set_expected_bucket_owner(self.owner()).send().await;
            return sent.map(|_| ()).map_err(|error| failed(OP, &error));
        };
        let put = self
            .client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.bucket)
            .set_transition_default_minimum_object_size(minimum.map(TransitionDefaultMinimumObjectSize::from))
            .set_expected_bucket_owner(self.owner());
        let sent = put.customize().interceptor(Verbatim(document.to_owned())).send().await;
        sent.map(|_| ()).map_err(|error| failed(OP, &error))
    }
}

#[async_trait]
impl Vault for S3Vault {
    async fn describe(&self, parts: &[Part]) -> Protection {
        let mut protection = Protection::default();
        for part in parts {
            if protection.0.contains_key(part) {
                continue;
            }
            if part.is_of_lifecycle() {
                let (document, minimum) = self.lifecycle().await;
                protection.0.extend([(Part::Lifecycle, document), (Part::LifecycleMinimum, minimum)]);
            } else {
                protection.0.insert(*part, self.part(*part).await);
            }
        }
        protection
    }

    async fn key(&self, name: &str) -> Key {
        let (kms, caught) = (self.kms(name), Caught::default());
        let asked = kms.describe_key().key_id(name).customize().interceptor(caught.clone());
        let (description, answer) = fact("kms:DescribeKey", asked.send().await, &caught);
        // A policy is not asked for by an alias.
        let metadata = answer.and_then(|answer| answer.key_metadata);
        let id = metadata.map_or_else(|| name.to_owned(), |metadata| metadata.arn.unwrap_or(metadata.key_id));
        let policy = match kms.get_key_policy().key_id(id).send().await {
            Ok(answer) => answer.policy.map_or(Fact::Absent, Fact::Value),
            Err(error) => fact::<(), _>("kms:GetKeyPolicy", Err(error), &caught).0,
        };
        Key { description, policy }
    }

    async fn apply(&self, action: &Action) -> Result<()> {
        match action {
            Action::EnableVersioning => self.enable_versioning().await,
            Action::SetDefault { term } => self.set_default(*term).await,
            Action::SetLifecycle { document, minimum, made_from } => {
                self.set_lifecycle(document.as_deref(), minimum.as_deref(), made_from.as_deref()).await
            }
            Action::Extend { .. } => Err(Error::permanent("vault:apply", "objects are locked one by one")),
        }
    }

    async fn lock(&self, key: &str, version: Option<&str>) -> Result<Option<Locked>> {
        const OP: &str = "s3:HeadObject";
        let asked = self.client.head_object().bucket(&self.bucket).key(key).set_version_id(version.map(Into::into));
        match asked.set_expected_bucket_owner(self.owner()).send().await {
            Ok(answer) => Ok(Some(Locked {
                created: time(answer.last_modified())
                    .ok_or_else(|| Error::permanent(OP, "the answer does not say when the object was created"))?,
                retention: retention(answer.object_lock_mode(), answer.object_lock_retain_until_date()),
                held: answer.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
                version: answer.version_id,
            })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(OP, &error)),
        }
    }

    async fn retain(&self, key: &str, version: Option<&str>, from: Option<Retention>, to: Retention) -> Result<()> {
        const OP: &str = "s3:PutObjectRetention";
        if let Some(why) = lock::refusal(from, to) {
            return Err(Error::permanent(OP, why));
        }
        let wanted = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::from(to.mode.api()))
            .retain_until_date(DateTime::from_secs(to.until.as_second()))
            .build();
        let put = self.client.put_object_retention().bucket(&self.bucket).key(key).retention(wanted);
        let put = put.set_version_id(version.map(Into::into)).set_expected_bucket_owner(self.owner());
        put.send().await.map(|_| ()).map_err(|error| failed(OP, &error))
    }

    async fn hold(&self, key: &str, version: Option<&str>, on: bool) -> Result<()> {
        let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let hold = ObjectLockLegalHold::builder().status(status).build();
        let put = self.client.put_object_legal_hold().bucket(&self.bucket).key(key).legal_hold(hold);
        let put = put.set_version_id(version.map(Into::into)).set_expected_bucket_owner(self.owner());
        put.send().await.map(|_| ()).map_err(|error| failed("s3:PutObjectLegalHold", &error))
    }

    async fn versions(&self, prefix: &str, after: Option<&Mark>) -> Result<(Vec<Version>, Option<Mark>)> {
        const OP: &str = "s3:ListBucketVersions";
        let asked = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_key_marker(after.map(|mark| mark.key.clone()))
            .set_version_id_marker(after.and_then(|mark| mark.version.clone()))
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner());
        let answer = asked.send().await.map_err(|error| failed(OP, &error))?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let mut versions = Vec::with_capacity(answer.versions().len());
        for version in answer.versions() {
            let key = decoded(version.key().unwrap_or_default(), encoded)?;
            let id = version.version_id().map(str::to_owned);
            versions.push(Version { key, version: id, size: length(version.size()) });
        }
        let next = match (answer.is_truncated(), answer.next_key_marker()) {
            (Some(true), Some(key)) => {
                Some(Mark { key: decoded(key, encoded)?, version: answer.next_version_id_marker().map(str::to_owned) })
            }
            (Some(true), None) => return Err(Error::transient(OP, "a page that others follow does not say where")),
            _ => None,
        };
        Ok((versions, next))
    }
}

/// What an answer says of its part.
fn fact<T, E>(
    op: &'static str,
    answer: std::result::Result<T, SdkError<E, HttpResponse>>,
    caught: &Caught,
) -> (Fact, Option<T>)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => match caught.text() {
            Some(text) => (Fact::Value(text), Some(answer)),
            None => (Fact::Unread(format!("{op}: the answer is no text")), None),
        },
        Err(error) if code_of(&error).is_some_and(|code| ABSENT.contains(&code)) => (Fact::Absent, None),
        Err(error) => (Fact::Unread(printable(&failed(op, &error).to_string(), 300)), None),
    }
}

fn time(at: Option<&DateTime>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok())
}

/// A lock as an object's headers tell it.
pub(super) fn retention(mode: Option<&ObjectLockMode>, until: Option<&DateTime>) -> Option<Retention> {
    Some(Retention { mode: Mode::parse(mode?.as_str())?, until: time(until)? })
}
