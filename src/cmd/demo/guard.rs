//! What protects the demo's bucket: well at first, weakened by a foreign hand, mended with the audit's own correction; and what
//! retention makes of its promise in the end.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cmd::Failure;
use crate::config::Config;
use crate::core::finding::Held;
use crate::core::lock::{Action, Plan};
use crate::core::policy::recommended;
use crate::core::posture::Weakness;
use crate::core::protection::{Fact, Key, Part};
use crate::env::Env;
use crate::error::Error;
use crate::local::vault::LocalVault;
use crate::posture::Posture;
use crate::retain::{Applied, Retain};
use crate::seam::Vault as _;
use crate::store::findings;
use crate::wiring::{self, Works};
use crate::world::World;

/// The statement that the foreign hand weakens.
const SID: &str = "CloudTrailOrganizationWrite";

/// What the audits of the day found.
#[derive(Default, Serialize)]
pub struct Drift {
    /// Weaknesses, and parts that could not be checked, before anybody came.
    pub before: usize,
    pub weaknesses: Vec<Weakness>,
    pub told: Vec<Held>,
    pub ended: Option<Timestamp>,
}

impl Drift {
    pub fn is_right(&self) -> bool {
        self.before == 0 && self.weaknesses.len() == 1 && self.told.len() == 1 && self.ended.is_some()
    }
}

/// What separated the bucket from its promise, and what does after the plan was applied.
#[derive(Serialize)]
pub struct Promise {
    pub plan: Plan,
    /// What of it cannot be taken back, and was not done before that was accepted.
    pub refused: Vec<String>,
    pub applied: usize,
    pub rest: Plan,
}

impl Promise {
    pub fn is_right(&self) -> bool {
        let done = !self.refused.is_empty() && !self.plan.steps.is_empty() && self.applied == self.plan.steps.len();
        done && self.rest.is_empty() && self.rest.unread.is_empty()
    }
}

pub struct Guard {
    vault: LocalVault,
    posture: Posture,
    retain: Retain,
    pub drift: Drift,
}

impl Guard {
    /// Protects the bucket as its configuration asks for, and has that audited.
    pub async fn post(config: &Config, works: &Works, world: &World, dir: &Path, env: &Env) -> Result<Self, Failure> {
        let none = || Failure::Usage("the stage has no trail with a promise".into());
        let place = config.trails.first().ok_or_else(none)?;
        let posture = wiring::posture(config, place, works).await?;
        let retain = wiring::retain(config, place, works).await?.ok_or_else(none)?;
        let vault = LocalVault::open(&dir.join("bucket"), env.clone())?;
        let key = key(world);
        for (part, text) in parts(&recommended(&posture.expected), &key) {
            vault.alter(part, Some(&text)).await?;
        }
        vault.set_key(&key, description(world)).await?;
        vault.apply(&Action::SetDefault { term: retain.wanted.promise.term }).await?;
        // From its first look on it is known how long the bucket locks what comes.
        retain.plan().await?;
        let audit = posture.audit().await?;
        let drift = Drift { before: audit.open().count() + audit.unread.len(), ..Drift::default() };
        Ok(Self { vault, posture, retain, drift })
    }

    /// A foreign hand: CloudTrail may write on anybody's behalf.
    pub async fn weaken(&self) -> Result<(), Failure> {
        let changed = self.with_statement(|statement| {
            if let Some(condition) = statement.pointer_mut("/Condition/StringEquals").and_then(Value::as_object_mut) {
                condition.remove("aws:SourceArn");
            }
        });
        Ok(self.vault.alter(Part::Policy, Some(&changed.await?)).await?)
    }

    /// Pastes what the audit says is to be put in place of the statement.
    pub async fn mend(&self) -> Result<(), Failure> {
        let pasted = self.drift.weaknesses.iter().find_map(|weakness| weakness.paste.as_deref());
        let Some(pasted) = pasted.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return Ok(()) };
        let changed = self.with_statement(|statement| *statement = pasted);
        Ok(self.vault.alter(Part::Policy, Some(&changed.await?)).await?)
    }

    async fn with_statement(&self, change: impl FnOnce(&mut Value)) -> Result<String, Failure> {
        let protection = self.vault.describe(&[Part::Policy]).await;
        let text = protection.value(Part::Policy).unwrap_or_default();
        let mut policy: Value = serde_json::from_str(text).map_err(|error| Error::permanent("demo:policy", error))?;
        let statements = policy.get_mut("Statement").and_then(Value::as_array_mut).into_iter().flatten();
        statements.into_iter().find(|statement| statement["Sid"] == SID).map(change);
        Ok(serde_json::to_string_pretty(&policy).unwrap_or_default())
    }

    pub async fn look(&mut self) -> Result<(), Failure> {
        let audit = self.posture.audit().await?;
        let weak: Vec<Weakness> = audit.open().cloned().collect();
        let open = self.posture.store.read(|conn| findings::list(conn, false)).await?;
        if self.drift.weaknesses.is_empty() && !weak.is_empty() {
            let is_told = |held: &Held| weak.iter().any(|weakness| weakness.told_as == held.kind);
            self.drift.told = open.into_iter().filter(is_told).collect();
            self.drift.weaknesses = weak;
        } else if self.drift.ended.is_none() && weak.is_empty() {
            let gone = |told: &Held| open.iter().all(|held| held.id != told.id);
            self.drift.ended = (!self.drift.told.is_empty() && self.drift.told.iter().all(gone)).then_some(audit.at);
        }
        Ok(())
    }

    /// What is to be done for the promise, done, and looked at again.
    pub async fn keep(&self) -> Result<Promise, Failure> {
        let plan = self.retain.plan().await?;
        let refused = match self.retain.apply(&plan, false).await? {
            Applied::NotAccepted(steps) => steps,
            _ => Vec::new(),
        };
        let applied = match self.retain.apply(&plan, true).await? {
            Applied::Done(steps) => steps,
            _ => 0,
        };
        Ok(Promise { plan, refused, applied, rest: self.retain.plan().await? })
    }
}

fn key(world: &World) -> String {
    let owner = world.owner().map(|account| account.to_string()).unwrap_or_default();
    format!("arn:aws:kms:us-east-1:{owner}:key/7d0f3c52-9a41-4b7e-8c1d-2f6a5b3e9071")
}

fn description(world: &World) -> Key {
    let owner = world.owner().map(|account| account.to_string()).unwrap_or_default();
    let trails = world.arns();
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{owner}:root") }, "Action": "kms:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "Service": "cloudtrail.amazonaws.com" },
          "Action": "kms:GenerateDataKey*", "Resource": "*",
          "Condition": { "StringEquals": { "aws:SourceArn": trails, "kms:EncryptionContext:aws:cloudtrail:arn": trails } } }] });
    let description =
        json!({ "KeyMetadata": { "AWSAccountId": owner, "KeyState": "Enabled", "KeyManager": "CUSTOMER" } });
    Key { description: Fact::Value(description.to_string()), policy: Fact::Value(policy.to_string()) }
}

fn parts(policy: &str, key: &str) -> Vec<(Part, String)> {
    let blocks = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    let blocks: String = blocks.iter().map(|name| format!("<{name}>true</{name}>")).collect();
    let default = format!("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>");
    let encryption = format!("<ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>");
    let xml = |root: &str, inner: &str| format!("<{root}>{inner}</{root}>");
    vec![
        (Part::Policy, policy.to_owned()),
        (Part::PolicyStatus, xml("PolicyStatus", "<IsPublic>false</IsPublic>")),
        (Part::PublicAccessBlock, xml("PublicAccessBlockConfiguration", &blocks)),
        (
            Part::Ownership,
            xml("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"),
        ),
        (Part::Acl, xml("AccessControlPolicy", "<Owner><ID>kestrel</ID></Owner><AccessControlList/>")),
        (Part::Versioning, xml("VersioningConfiguration", "<Status>Enabled</Status>")),
        (Part::ObjectLock, xml("ObjectLockConfiguration", "<ObjectLockEnabled>Enabled</ObjectLockEnabled>")),
        (Part::Encryption, xml("ServerSideEncryptionConfiguration", &xml("Rule", &encryption))),
        (
            Part::Logging,
            xml(
                "BucketLoggingStatus",
                "<LoggingEnabled><TargetBucket>kestrel-access-logs</TargetBucket></LoggingEnabled>",
            ),
        ),
    ]
}
