//! AWS behind the seams: one credential chain, one set of timeouts, one way to class errors.
//!
//! Environment and profile decide as they do for every AWS tool: credentials (static, SSO, web identity, process, container,
//! instance role), region, and endpoint overrides (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, …).

pub mod class;
mod cloudtrail;
mod eventbridge;
mod lambda;
mod organizations;
pub mod probe;
mod register;
mod s3;
mod securityhub;
mod short;
mod signed;
mod sns;
mod sqs;
mod trails;
mod vault;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::{
    IdentityCache, Region as SdkRegion, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_types::service_config::ServiceConfigKey;

pub use self::cloudtrail::PublicKeys;
pub use self::eventbridge::EventBus;
pub use self::lambda::Function;
pub use self::organizations::Organization;
pub use self::register::S3Register;
pub use self::s3::S3Bucket;
pub use self::securityhub::SecurityHub;
use self::signed::{Service, Signed};
pub use self::sns::Topic;
pub use self::sqs::SqsQueue;
pub use self::trails::CloudTrails;
pub use self::vault::S3Vault;
use crate::config::Role;
use crate::core::id::{AccountId, Region};
use crate::env::Env;
use crate::error::{Error, Result};

/// Attempts inside one call, the first included (the SDK's standard mode).
const ATTEMPTS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the longest long poll (20 s), or an idle queue would look broken.
const READ: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(45);
const OPERATION: Duration = Duration::from_secs(150);
/// An instance role and then STS must answer within this time, not within the SDK's 5 s.
const CREDENTIALS: Duration = Duration::from_secs(20);

/// The SDK's defaults as of a day, so that an SDK update does not change them.
pub fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// As whom and where. An empty one leaves everything to environment and profile.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub region: Option<String>,
    /// ARN of a role to assume with the credentials found.
    pub role: Option<String>,
    pub external_id: Option<String>,
    /// Role session name; it shows up in CloudTrail. 2 to 64 of `[\w+=,.@-]` (STS API reference: AssumeRole).
    pub session: String,
}

/// One identity in one region. Cheap to clone; makes no call until something is asked.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// As the process, or in a role, under the program's own session name.
    pub async fn session(region: Option<&Region>, role: Option<&Role>) -> Self {
        Self::connect(&Options {
            region: region.map(ToString::to_string),
            role: role.map(|role| role.arn.clone()),
            external_id: role.and_then(|role| role.external_id.clone()),
            session: "trailwarden".into(),
        })
        .await
    }

    pub async fn connect(options: &Options) -> Self {
        Self::connect_from(aws_config::defaults(behavior()), options).await
    }

    /// As `connect`, with some of the configuration already decided by the caller (endpoint, credentials).
    pub async fn connect_from(loader: ConfigLoader, options: &Options) -> Self {
        let mut loader = loader
            .behavior_version(behavior())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .read_timeout(READ)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(OPERATION)
                    .build(),
            )
            // It kills slow reads under backpressure; bodies are read to the end under a timeout of our own.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .identity_cache(identity_cache());
        if let Some(region) = &options.region {
            loader = loader.region(SdkRegion::new(region.clone()));
        }
        let config = loader.load().await;
        let config = match &options.role {
            Some(role) => assume(config, role, options).await,
            None => config,
        };
        Self { config }
    }

    /// The region that calls go to, unless the thing called names its own.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// `owner` is the account that must own the bucket: S3 refuses every call when another one does.
    pub fn bucket(&self, name: impl Into<String>, owner: Option<AccountId>) -> S3Bucket {
        S3Bucket::new(self.s3(), name.into(), owner)
    }

    /// A bucket of the warden's own, in which it may remove what it wrote; `key` encrypts what is put there.
    pub fn own_bucket(&self, name: impl Into<String>, owner: Option<AccountId>, key: Option<String>) -> S3Bucket {
        self.bucket(name, owner).own(key)
    }

    /// One object that is written conditionally.
    pub fn register(&self, bucket: impl Into<String>, key: impl Into<String>) -> S3Register {
        S3Register::new(self.s3(), bucket.into(), key.into())
    }

    /// The protection of a bucket; `owner` as for [`Aws::bucket`].
    pub fn vault(&self, name: impl Into<String>, owner: Option<AccountId>) -> S3Vault {
        S3Vault::new(self.config.clone(), self.s3(), name.into(), owner)
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            // Stand-ins for S3 have no host name per bucket.
            .force_path_style(self.endpoint("S3").is_some())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// `visibility` is what a received message starts with, whatever the queue's own default.
    pub fn queue(&self, url: impl Into<String>, visibility: Duration) -> SqsQueue {
        let url = url.into();
        let mut config = aws_sdk_sqs::config::Builder::from(&self.config);
        if let Some(region) = sqs::region_of(&url) {
            config = config.region(SdkRegion::new(region));
        }
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        SqsQueue::new(client, url, visibility, self.config.credentials_provider())
    }

    /// Answered only in the management account and to delegated administrators.
    pub fn organizations(&self) -> Organization {
        Organization::new(aws_sdk_organizations::Client::new(&self.config))
    }

    pub fn public_keys(&self) -> PublicKeys {
        PublicKeys::new(self.config.clone())
    }

    /// Trails are asked for as whom this is, topics as whom `topics` is.
    pub fn trails(&self, topics: &Self) -> CloudTrails {
        CloudTrails::new(self.config.clone(), topics.config.clone())
    }

    pub fn topic(&self, arn: impl Into<String>) -> Topic {
        let arn = arn.into();
        let mut config = aws_sdk_sns::config::Builder::from(&self.config);
        if let Some(region) = sns::region_of(&arn) {
            config = config.region(SdkRegion::new(region));
        }
        Topic::new(aws_sdk_sns::Client::from_conf(config.build()), arn)
    }

    /// An EventBridge event bus, by name or ARN.
    pub fn event_bus(&self, bus: &str, env: &Env) -> Result<EventBus> {
        Ok(EventBus::new(self.signed(eventbridge::SERVICE, env)?, bus))
    }

    /// A Lambda function, by name or ARN, with its version or alias if it has one.
    pub fn function(&self, name: &str, env: &Env) -> Result<Function> {
        Ok(Function::new(self.signed(lambda::SERVICE, env)?, name))
    }

    /// Security Hub in the account that it is asked in.
    pub fn security_hub(&self, account: AccountId, env: &Env) -> Result<SecurityHub> {
        let region = self.region().unwrap_or_default();
        Ok(SecurityHub::new(self.signed(securityhub::SERVICE, env)?, account, region))
    }

    fn signed(&self, service: Service, env: &Env) -> Result<Signed> {
        let missing = || Error::permanent(service.name, "the region is not known");
        let region = self.region().ok_or_else(missing)?.to_owned();
        Signed::new(self.config.clone(), service, region, self.endpoint(service.id), env.clone())
    }

    /// Where environment or profile send the service's calls, if not to AWS itself.
    fn endpoint(&self, service: &'static str) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok();
        let named = key.and_then(|key| self.config.service_config().and_then(|settings| settings.load_config(key)));
        named.or_else(|| self.config.endpoint_url().map(str::to_owned))
    }
}

fn identity_cache() -> aws_sdk_s3::config::SharedIdentityCache {
    IdentityCache::lazy().load_timeout(CREDENTIALS).build()
}

async fn assume(config: SdkConfig, role: &str, options: &Options) -> SdkConfig {
    let mut builder = AssumeRoleProvider::builder(role).configure(&config);
    if !options.session.is_empty() {
        builder = builder.session_name(&options.session);
    }
    if let Some(external_id) = &options.external_id {
        builder = builder.external_id(external_id);
    }
    let provider = SharedCredentialsProvider::new(builder.build().await);
    config.into_builder().credentials_provider(provider).identity_cache(identity_cache()).build()
}
