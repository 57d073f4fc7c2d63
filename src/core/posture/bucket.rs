//! A bucket, part by part.

use super::{Kind, Look, Unread, Weakness, key};
use crate::core::finding;
use crate::core::policy::{self, Document, Expected};
use crate::core::protection::{Fact, Key, Part, Protection};
use crate::core::xml::{self, Element};
use crate::core::{lock, printable};

const EVERYBODY: [&str; 2] = ["AllUsers", "AuthenticatedUsers"];
const BLOCKS: [&str; 4] = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

/// What is judged, and by what.
pub struct Input<'a> {
    pub expected: &'a Expected,
    pub protection: &'a Protection,
    /// The key that [`key_of`] names, if it names one.
    pub key: Option<&'a Key>,
    /// Whether a promise is held against versioning and Object Lock already.
    pub promised: bool,
    /// Whether it is the bucket that announces its objects.
    pub announces: bool,
}

/// The key that the bucket encrypts with by default, as it is named there.
pub fn key_of(protection: &Protection) -> Option<String> {
    let root = xml::parse(protection.value(Part::Encryption)?).ok()?;
    let (_, key) = default_encryption(&root)?;
    key.filter(|key| !key.ends_with(key::MANAGED)).map(str::to_owned)
}

pub fn of_bucket(input: &Input<'_>) -> Look {
    let mut judge = Judge { input, look: Look::default() };
    judge.policy();
    judge.each(Part::PublicAccessBlock, Judge::public_access);
    judge.each(Part::Acl, Judge::acl);
    judge.each(Part::Ownership, Judge::ownership);
    judge.each(Part::Versioning, Judge::versioning);
    judge.each(Part::ObjectLock, Judge::object_lock);
    judge.each(Part::Encryption, Judge::encryption);
    judge.each(Part::Logging, Judge::logging);
    judge.each(Part::Replication, Judge::replication);
    if input.announces {
        judge.each(Part::Notification, Judge::notification);
    }
    judge.look
}

struct Judge<'a> {
    input: &'a Input<'a>,
    look: Look,
}

impl Judge<'_> {
    /// A part that is XML. What is neither that nor absent is not known.
    fn each(&mut self, part: Part, judge: impl FnOnce(&mut Self, Option<&Element<'_>>)) {
        match self.input.protection.of(part) {
            Fact::Absent => judge(self, None),
            Fact::Unread(why) => self.unread(part.name(), &why),
            Fact::Value(text) => match xml::parse(&text) {
                Ok(root) if root.name == root_of(part) => judge(self, Some(&root)),
                Ok(root) => {
                    let name = printable(root.name, 60);
                    self.unread(part.name(), &format!("the answer is a {name}, not a {}", root_of(part)));
                }
                Err(why) => self.unread(part.name(), &format!("the answer cannot be understood: {why}")),
            },
        }
    }

    fn unread(&mut self, of: &str, why: &str) {
        self.look.unread.push(Unread { of: of.into(), why: printable(why, 400) });
    }

    fn weak(
        &mut self,
        kind: Kind,
        part: Part,
        found: Option<&str>,
        risk: impl Into<String>,
        fix: (&str, Option<String>),
    ) {
        let (advice, paste) = fix;
        self.look.weaknesses.push(Weakness::of_setting(kind, part.name(), found, risk.into(), advice, paste));
    }

    fn command(&self, call: &str, options: &str) -> Option<String> {
        Some(format!("aws s3api {call} --bucket {} {options}", self.input.expected.bucket))
    }

    fn policy(&mut self) {
        const OF: &str = "policy";
        let expected = self.input.expected;
        let public = match self.input.protection.of(Part::Policy) {
            Fact::Unread(why) => return self.unread(OF, &why),
            Fact::Absent => {
                let risk = "the bucket has no policy, so that CloudTrail cannot deliver and plain HTTP is not refused";
                let paste = Some(policy::recommended(expected));
                self.weak(Kind::PolicyMissing, Part::Policy, None, risk, ("make this the bucket's policy", paste));
                Some(false)
            }
            Fact::Value(text) => {
                let found = policy::weaknesses(&Document::parse(&text), expected);
                let of = |weakness| Weakness::of_policy(weakness, OF, finding::Kind::BucketPolicyWeak);
                self.look.weaknesses.extend(found.iter().map(of));
                let has = |kind| found.iter().any(|weakness| weakness.kind == kind);
                // With conditions it is public or not.
                if has(policy::Kind::NotPrincipalAllow) { None } else { Some(has(policy::Kind::Public)) }
            }
        };
        self.each(Part::PolicyStatus, |judge, root| judge.status(root, public));
    }

    /// S3's own verdict, beside ours.
    fn status(&mut self, root: Option<&Element<'_>>, public: Option<bool>) {
        let said = match root.and_then(|root| root.text_of("IsPublic")).map(|text| text.trim().to_ascii_lowercase()) {
            Some(text) if text == "true" => true,
            Some(text) if text == "false" => false,
            None if root.is_none() => false,
            _ => return self.unread(Part::PolicyStatus.name(), "the answer does not say whether the policy is public"),
        };
        let risk = match (said, public) {
            (true, Some(false)) => "S3 calls the policy public, and no statement was found that makes it so",
            (false, Some(true)) => "S3 does not call the policy public, and a statement was found that makes it so",
            _ => return,
        };
        let look = "read the policy by hand, with S3's meaning of public beside it";
        self.weak(Kind::PolicyStatusDiffers, Part::PolicyStatus, root.map(|root| root.raw), risk, (look, None));
    }

    fn public_access(&mut self, root: Option<&Element<'_>>) {
        let is_on = |name: &&&str| root.and_then(|root| root.text_of(name)).is_some_and(is_true);
        let off: Vec<&str> = BLOCKS.iter().filter(|name| !is_on(name)).copied().collect();
        if off.is_empty() {
            return;
        }
        let all: Vec<String> = BLOCKS.iter().map(|name| format!("{name}=true")).collect();
        let paste =
            self.command("put-public-access-block", &format!("--public-access-block-configuration {}", all.join(",")));
        let risk = format!("{} not on, so that one policy or ACL can open the bucket to everybody", are(&off));
        self.weak(
            Kind::PublicAccessNotBlocked,
            Part::PublicAccessBlock,
            root.map(|root| root.raw),
            risk,
            ("switch all four on", paste),
        );
    }

    /// Whether ACLs grant anything at all; while that is not known, they do.
    fn acls_are_off(&self) -> bool {
        let owner = self.input.protection.value(Part::Ownership).and_then(|text| xml::parse(text).ok());
        owner.is_some_and(|root| ownership(&root) == Some("BucketOwnerEnforced"))
    }

    fn acl(&mut self, root: Option<&Element<'_>>) {
        let Some(root) = root else {
            return self.unread(Part::Acl.name(), "there is no ACL, which every bucket has");
        };
        let owner = root.child("Owner").and_then(|owner| owner.text_of("ID"));
        let grants = root.child("AccessControlList").into_iter().flat_map(|list| list.all("Grant"));
        let paste = self.command("put-bucket-acl", "--acl private");
        for grant in grants {
            let permission = printable(grant.text_of("Permission").unwrap_or("something"), 40);
            let grantee = grant.child("Grantee");
            let of = |name: &str| grantee.and_then(|grantee| grantee.text_of(name)).map(str::trim);
            let group = of("URI").map(|uri| uri.rsplit('/').next().unwrap_or(uri));
            let (kind, who) = match (group, of("ID").or(of("EmailAddress"))) {
                (Some(group), _) if EVERYBODY.contains(&group) => (Kind::AclForEverybody, format!("the group {group}")),
                (Some(group), _) => (Kind::AclForOthers, format!("the group {}", printable(group, 80))),
                (None, id) if id.is_some() && id == owner => continue,
                (None, Some(id)) => (Kind::AclForOthers, format!("canonical user {}", printable(id, 80))),
                (None, None) => (Kind::AclForOthers, "somebody who is not named".into()),
            };
            let off = self.acls_are_off();
            let sleeps = if off { ", which has no effect while ACLs are switched off" } else { "" };
            let risk = format!("the ACL grants {permission} to {who}{sleeps}");
            let fix = ("leave the owner's grant alone in the ACL, and grant by policy what is meant", paste.clone());
            self.weak(kind, Part::Acl, Some(grant.raw), risk, fix);
            if off && let Some(weakness) = self.look.weaknesses.last_mut() {
                weakness.severity = finding::Severity::Low;
            }
        }
    }

    fn ownership(&mut self, root: Option<&Element<'_>>) {
        let found = root.and_then(ownership);
        if found == Some("BucketOwnerEnforced") {
            return;
        }
        let is = found.map_or("not set".into(), |found| printable(found, 40));
        let risk = format!(
            "object ownership is {is}, so that ACLs grant beside the policy and objects belong to whoever writes them"
        );
        let paste = self.command(
            "put-bucket-ownership-controls",
            "--ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerEnforced}]'",
        );
        let fix = ("switch ACLs off; CloudTrail delivers all the same", paste);
        self.weak(Kind::AclsInUse, Part::Ownership, root.map(|root| root.raw), risk, fix);
    }

    fn versioning(&mut self, root: Option<&Element<'_>>) {
        let status = root.and_then(|root| root.text_of("Status")).map(str::trim);
        if status == Some("Enabled") {
            return self.mfa_delete(root);
        }
        let is = status.map_or("off".to_owned(), |status| printable(status, 40).to_lowercase());
        let risk = format!("versioning is {is}, so that what is overwritten or deleted is gone");
        let paste = self.command("put-bucket-versioning", "--versioning-configuration Status=Enabled");
        self.weak(Kind::VersioningOff, Part::Versioning, root.map(|root| root.raw), risk, ("switch it on", paste));
        self.left_to_retention(finding::Kind::RetentionDrift);
    }

    /// Of interest only while nothing locks the versions.
    fn mfa_delete(&mut self, root: Option<&Element<'_>>) {
        let is_on = root.and_then(|root| root.text_of("MfaDelete")).map(str::trim) == Some("Enabled");
        if is_on || self.input.promised || !matches!(lock::default_of(self.input.protection), Ok(None)) {
            return;
        }
        let risk = "nothing locks the versions, and no device is asked for when one is deleted";
        let advice = "lock versions by Object Lock; or have the root user switch MFA delete on, after which the bucket takes no lifecycle rules";
        let mfa = "--versioning-configuration Status=Enabled,MFADelete=Enabled --mfa 'DEVICE CODE'";
        let paste = self.command("put-bucket-versioning", mfa);
        self.weak(Kind::MfaDeleteOff, Part::Versioning, root.map(|root| root.raw), risk, (advice, paste));
    }

    fn object_lock(&mut self, root: Option<&Element<'_>>) {
        let on = root.and_then(|root| root.text_of("ObjectLockEnabled")).map(str::trim) == Some("Enabled");
        let advice = "promise it in [retention], and apply the plan";
        let plan = Some("trailwarden retention plan".to_owned());
        let raw = root.map(|root| root.raw);
        if !on {
            let risk =
                "the bucket has no Object Lock, so that whoever may delete versions may delete evidence for good";
            self.weak(Kind::ObjectLockOff, Part::ObjectLock, raw, risk, (advice, plan));
            return self.left_to_retention(finding::Kind::LockMissing);
        }
        match lock::default_of(self.input.protection) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let risk = "the bucket has no default retention, so that nothing that CloudTrail delivers is locked";
                self.weak(Kind::ObjectLockEmpty, Part::ObjectLock, raw, risk, (advice, plan));
                self.left_to_retention(finding::Kind::LockMissing);
            }
            Err(why) => self.unread(Part::ObjectLock.name(), &why),
        }
    }

    /// What a promise is held against is told there, and not again.
    fn left_to_retention(&mut self, kind: finding::Kind) {
        if self.input.promised
            && let Some(weakness) = self.look.weaknesses.last_mut()
        {
            weakness.told_as = kind;
        }
    }

    fn encryption(&mut self, root: Option<&Element<'_>>) {
        let raw = root.map(|root| root.raw);
        match root.and_then(default_encryption) {
            Some((algorithm, named)) if algorithm.starts_with("aws:kms") => match named {
                Some(key) if !key.ends_with(key::MANAGED) => {
                    let look = key::of_key(key, self.input.key, self.input.expected);
                    self.look.weaknesses.extend(look.weaknesses);
                    self.look.unread.extend(look.unread);
                }
                _ => {
                    let risk = "new objects are encrypted with the AWS managed key, which CloudTrail cannot be given and other accounts cannot read by";
                    let fix = ("make a key for the archive and name it in the default encryption", None);
                    self.weak(Kind::KeyManagedByAws, Part::Encryption, raw, risk, fix);
                }
            },
            found => {
                let by = found.map_or("S3 alone".into(), |(algorithm, _)| printable(algorithm, 40));
                let risk = format!(
                    "new objects are encrypted by {by} unless the trail names a key, so that whoever may read the bucket reads the logs"
                );
                let rule = r#"'{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"KEYARN"},"BucketKeyEnabled":true}]}'"#;
                let paste =
                    self.command("put-bucket-encryption", &format!("--server-side-encryption-configuration {rule}"));
                let fix = (
                    "name a KMS key in the trail, or in the default encryption once its policy lets CloudTrail encrypt",
                    paste,
                );
                self.weak(Kind::EncryptionPlain, Part::Encryption, raw, risk, fix);
            }
        }
    }

    fn logging(&mut self, root: Option<&Element<'_>>) {
        let bucket = &self.input.expected.bucket;
        let aside = format!(
            r#"--bucket-logging-status '{{"LoggingEnabled":{{"TargetBucket":"OTHER-BUCKET","TargetPrefix":"{bucket}/"}}}}'"#
        );
        let paste = self.command("put-bucket-logging", &aside);
        let Some(enabled) = root.and_then(|root| root.child("LoggingEnabled")) else {
            let risk = "nobody records who asks the bucket for what, nor what lifecycle deletes";
            let fix = ("have access logged into another bucket, one without a default retention", paste);
            return self.weak(Kind::AccessLoggingOff, Part::Logging, root.map(|root| root.raw), risk, fix);
        };
        let target = enabled.text_of("TargetBucket").unwrap_or_default().trim();
        if target == bucket {
            let prefix = printable(enabled.text_of("TargetPrefix").unwrap_or_default(), 100);
            let risk = format!(
                "access to the bucket is logged into the bucket itself, under `{prefix}`, and each of those logs is logged again"
            );
            let fix = ("have access logged into another bucket", paste);
            self.weak(Kind::LoggingLoop, Part::Logging, Some(enabled.raw), risk, fix);
        }
    }

    fn replication(&mut self, root: Option<&Element<'_>>) {
        for rule in root.into_iter().flat_map(|root| root.all("Rule")) {
            if rule.text_of("Status").map(str::trim) == Some("Disabled") {
                continue;
            }
            let destination = rule.child("Destination");
            let of = |name: &str| destination.and_then(|destination| destination.text_of(name)).map(str::trim);
            let bucket = printable(of("Bucket").unwrap_or("a bucket that is not named"), 200);
            let account = of("Account").map(crate::core::id::AccountId::parse);
            let found = Some(rule.raw);
            match account {
                Some(Ok(account)) if self.input.expected.is_ours(account) => {}
                Some(_) => {
                    let whose = printable(of("Account").unwrap_or_default(), 40);
                    let risk =
                        format!("every new object is copied to {bucket} of account {whose}, which is none of ours");
                    let fix = ("take the rule away, and find out who made it", None);
                    self.weak(Kind::ReplicationForeign, Part::Replication, found, risk, fix);
                }
                None => {
                    let risk =
                        format!("every new object is copied to {bucket}, and the rule does not say whose that is");
                    let fix =
                        ("name the account in the rule's destination; or accept it once you know whose it is", None);
                    self.weak(Kind::ReplicationUnknown, Part::Replication, found, risk, fix);
                }
            }
            let deletions = rule.child("DeleteMarkerReplication").and_then(|child| child.text_of("Status"));
            if deletions.map(str::trim) == Some("Enabled") {
                let risk = format!("a delete marker that hides a log here hides the copy in {bucket} as well");
                let fix = ("set DeleteMarkerReplication to Disabled in the rule", None);
                self.weak(Kind::ReplicationDeletes, Part::Replication, found, risk, fix);
            }
        }
    }

    fn notification(&mut self, root: Option<&Element<'_>>) {
        let to_events = root.is_some_and(|root| root.child("EventBridgeConfiguration").is_some());
        let mut events = root.into_iter().flat_map(|root| &root.children).flat_map(|one| one.all("Event"));
        if to_events || events.any(|event| event.text.trim().starts_with("s3:ObjectCreated:")) {
            return;
        }
        let risk = "the bucket announces no new object to anybody, so that the warden finds each only when it compares";
        let rules = r#"--notification-configuration '{"QueueConfigurations":[{"QueueArn":"QUEUEARN","Events":["s3:ObjectCreated:*","s3:ObjectRemoved:*"]}]}'"#;
        let paste = self.command("put-bucket-notification-configuration", rules);
        let fix = ("have it announce what is created and removed", paste);
        self.weak(Kind::NotificationMissing, Part::Notification, root.map(|root| root.raw), risk, fix);
    }
}

/// The element that S3 answers with.
fn root_of(part: Part) -> &'static str {
    match part {
        Part::Versioning => "VersioningConfiguration",
        Part::ObjectLock => "ObjectLockConfiguration",
        Part::Lifecycle | Part::LifecycleMinimum => "LifecycleConfiguration",
        Part::Ownership => "OwnershipControls",
        Part::PublicAccessBlock => "PublicAccessBlockConfiguration",
        Part::Encryption => "ServerSideEncryptionConfiguration",
        Part::Replication => "ReplicationConfiguration",
        Part::Notification => "NotificationConfiguration",
        Part::Logging => "BucketLoggingStatus",
        Part::Policy | Part::PolicyStatus => "PolicyStatus",
        Part::Acl => "AccessControlPolicy",
    }
}

fn is_true(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        [but @ .., last] => format!("{} and {last} are", but.join(", ")),
        [] => String::new(),
    }
}

fn ownership<'e>(root: &'e Element<'_>) -> Option<&'e str> {
    root.child("Rule").and_then(|rule| rule.text_of("ObjectOwnership")).map(str::trim)
}

/// Algorithm and key.
fn default_encryption<'e>(root: &'e Element<'_>) -> Option<(&'e str, Option<&'e str>)> {
    let default = root.child("Rule")?.child("ApplyServerSideEncryptionByDefault")?;
    let key = default.text_of("KMSMasterKeyID").map(str::trim).filter(|key| !key.is_empty());
    Some((default.text_of("SSEAlgorithm")?.trim(), key))
}
