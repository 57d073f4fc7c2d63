//! Permissions tried without doing anything: what reads, reads something small; what would change something is asked for in a way
//! that is refused for another reason where it is allowed.
//!
//! AWS decides who may before it looks at what is asked for, so a complaint about the rest of a question says that it was allowed.

mod services;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, Region as SdkRegion, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use jiff::SignedDuration;
use jiff::fmt::rfc2822;

use super::Aws;
use super::class::{chain, failed};
use crate::core::id::AccountId;
use crate::env::Env;
use crate::error::Result;

/// What trying a permission showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    Allowed,
    Denied {
        /// The action that was denied, where AWS names it: a question may need more than one.
        action: Option<String>,
        /// In AWS's words.
        text: String,
    },
    Unknown(String),
}

impl Tried {
    /// What a channel's own harmless question showed.
    pub fn of(reached: Result<()>) -> Self {
        match reached {
            Ok(()) => Self::Allowed,
            Err(error) if error.code.as_deref().is_some_and(is_denied) => {
                Self::Denied { action: denied_action(&error.text), text: error.text }
            }
            Err(error) => Self::Unknown(error.text),
        }
    }
}

/// A bucket that is asked about, and who must own it.
#[derive(Debug, Clone)]
pub struct BucketAt {
    pub name: String,
    pub owner: Option<AccountId>,
}

/// An object that is there, or the name of one that is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub key: String,
    pub version: Option<String>,
    /// The KMS key that it is encrypted with.
    pub kms: Option<String>,
}

/// A trail that delivers to a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivers {
    pub arn: String,
    /// That CloudTrail tells of deliveries.
    pub topic: Option<String>,
}

/// Where a bucket sends its notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// ARNs.
    pub queues: Vec<String>,
    pub topics: Vec<String>,
    /// To EventBridge, whose rules say where.
    pub bridge: bool,
}

/// One identity in one region.
#[derive(Debug, Clone)]
pub struct Probe {
    aws: Aws,
    watch: Watch,
}

impl Aws {
    pub fn probe(&self, watch: &Watch) -> Probe {
        Probe { aws: self.clone(), watch: watch.clone() }
    }
}

impl Probe {
    /// Whether there are credentials; for a role, whether it can be assumed.
    pub async fn credentials(&self) -> Tried {
        let Some(provider) = self.aws.config.credentials_provider() else {
            return Tried::Unknown("no credentials are configured".into());
        };
        match provider.provide_credentials().await {
            Ok(_) => Tried::Allowed,
            Err(error) => {
                let text = chain(&error);
                // The provider gives its cause as a text only.
                if text.contains("AccessDenied") || text.contains("not authorized") {
                    Tried::Denied { action: denied_action(&text), text }
                } else {
                    Tried::Unknown(text)
                }
            }
        }
    }

    fn config(&self) -> &SdkConfig {
        &self.aws.config
    }
}

/// The clock that every answer carries, beside ours.
#[derive(Clone)]
pub struct Watch {
    env: Env,
    skew: Arc<Mutex<Option<SignedDuration>>>,
}

impl Watch {
    pub fn new(env: &Env) -> Self {
        Self { env: env.clone(), skew: Arc::default() }
    }

    /// How far AWS's clock is before ours, by the last answer; `None` before the first.
    pub fn skew(&self) -> Option<SignedDuration> {
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.skew).finish()
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(|date| rfc2822::parse(date).ok());
        if let Some(date) = date {
            let skew = date.timestamp().duration_since(self.env.now());
            *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
        }
        Ok(())
    }
}

/// What an answer says of the permission. `past` are complaints of one who may.
fn judge<T, E>(action: &'static str, answer: Result<T, SdkError<E, HttpResponse>>, past: &[&str]) -> (Tried, Option<T>)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = match answer {
        Ok(answer) => return (Tried::Allowed, Some(answer)),
        Err(error) => failed(action, &error),
    };
    let code = error.code.as_deref().unwrap_or_default();
    if is_denied(code) {
        let of_the_key = (code.starts_with("KMS") || code.starts_with("Kms")).then(|| "kms:Decrypt".to_owned());
        let action = denied_action(&error.text).or(of_the_key);
        return (Tried::Denied { action, text: error.text }, None);
    }
    if past.iter().any(|part| code.contains(part)) {
        return (Tried::Allowed, None);
    }
    (Tried::Unknown(error.text), None)
}

fn is_denied(code: &str) -> bool {
    ["AccessDenied", "AuthorizationError", "UnauthorizedOperation", "NotAuthorized"]
        .iter()
        .any(|part| code.contains(part))
}

/// The action in "… is not authorized to perform: s3:GetObject on resource …".
fn denied_action(text: &str) -> Option<String> {
    let named = text.split_once("not authorized to perform: ")?.1.split_whitespace().next()?;
    named.contains(':').then(|| named.trim_end_matches([',', '.']).to_owned())
}

/// What was made to be refused and was not has done something, and shows nothing of AWS.
fn must_fail<T>((tried, answer): (Tried, Option<T>)) -> Tried {
    match answer {
        Some(_) => Tried::Unknown("what should have been refused was taken: this is not how AWS answers".into()),
        None => tried,
    }
}

/// A question that nothing here knows how to ask.
fn unasked(action: &str) -> Tried {
    Tried::Unknown(format!("there is no harmless way to try {action}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denied_action_is_read_from_awss_words() {
        for (text, action) in [
            (
                "user: arn:aws:iam::1:user/a is not authorized to perform: s3:GetObject on resource: \"x\"",
                Some("s3:GetObject"),
            ),
            ("not authorized to perform: kms:Decrypt, because", Some("kms:Decrypt")),
            ("not authorized to perform: this", None),
            ("access denied", None),
        ] {
            assert_eq!(denied_action(text).as_deref(), action, "{text}");
        }
        for (code, denied) in
            [("AccessDeniedException", true), ("KMS.AccessDeniedException", true), ("NoSuchKey", false), ("", false)]
        {
            assert_eq!(is_denied(code), denied, "{code}");
        }
    }
}
