//! What an operator's archive should look like, as far as it is known; and the statements that it needs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::{Principal, account_of};
use super::mend::{Draft, one_or_many};
use crate::core::id::{AccountId, OrgId};

pub const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";

/// What is not known is empty, and then nothing is called foreign, missing or undeclared for its sake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// `aws`, `aws-us-gov`, `aws-cn`; empty: `aws`.
    pub partition: String,
    pub bucket: String,
    /// What stands before `AWSLogs/`, without the last slash; an empty one: nothing does.
    pub prefixes: Vec<String>,
    pub org: Option<OrgId>,
    pub management: Option<AccountId>,
    /// Whose bucket, key and queue they are.
    pub owner: Option<AccountId>,
    /// Other accounts that are ours.
    pub accounts: BTreeSet<AccountId>,
    /// ARNs of the trails that deliver here.
    pub trails: Vec<String>,
    /// Whether the trails encrypt with a KMS key.
    pub encrypted: Option<bool>,
    /// Who may read; with none, only who is of another account or organization is called an undeclared reader.
    pub readers: Vec<Principal>,
    /// Who may put objects besides CloudTrail.
    pub writers: Vec<Principal>,
    /// Who may do anything.
    pub administrators: Vec<Principal>,
    /// Whether plain HTTP shall be denied.
    pub tls: bool,
    /// The queue of notifications, and what sends to it besides the bucket: topics, rules.
    pub queue: Option<String>,
    pub senders: Vec<String>,
}

impl Expected {
    pub(super) fn partition(&self) -> &str {
        if self.partition.is_empty() { "aws" } else { &self.partition }
    }

    pub(super) fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition(), self.bucket)
    }

    pub(super) fn objects(&self) -> String {
        format!("{}/*", self.bucket_arn())
    }

    /// Where evidence lies; the whole bucket while the prefixes are not known.
    pub(super) fn evidence(&self) -> Vec<String> {
        if self.prefixes.is_empty() { vec![self.objects()] } else { self.folders(&["*".into()]) }
    }

    /// The folders of accounts or organizations under every prefix.
    fn folders(&self, names: &[String]) -> Vec<String> {
        let root = [String::new()];
        let prefixes = if self.prefixes.is_empty() { root.as_slice() } else { self.prefixes.as_slice() };
        let folder = |prefix: &String, name: &String| {
            let slash = if prefix.is_empty() { "" } else { "/" };
            let name = if name == "*" { name.clone() } else { format!("{name}/*") };
            format!("{}/{prefix}{slash}AWSLogs/{name}", self.bucket_arn())
        };
        prefixes.iter().flat_map(|prefix| names.iter().map(move |name| folder(prefix, name))).collect()
    }

    pub(super) fn account_folders(&self) -> Vec<String> {
        let accounts: BTreeSet<AccountId> =
            self.management.into_iter().chain(self.trails.iter().filter_map(|trail| account_of(trail))).collect();
        self.folders(&accounts.iter().map(|account| account.as_str().to_owned()).collect::<Vec<_>>())
    }

    pub(super) fn organization_folders(&self) -> Vec<String> {
        self.folders(&self.org.iter().map(|org| org.as_str().to_owned()).collect::<Vec<_>>())
    }

    /// Whether an account is one of ours; while none is known, each may be.
    pub fn is_ours(&self, account: AccountId) -> bool {
        let of_trails = self.trails.iter().filter_map(|trail| account_of(trail));
        let mut known =
            self.accounts.iter().copied().chain(self.management).chain(self.owner).chain(of_trails).peekable();
        known.peek().is_none() || known.any(|ours| ours == account)
    }

    /// The condition that binds a service to the trails, as well as they are known.
    pub(super) fn source(&self) -> (&'static str, Value) {
        match (&self.trails[..], self.management) {
            ([], Some(account)) => ("aws:SourceAccount", json!(account.as_str())),
            ([], None) => {
                ("aws:SourceArn", json!(format!("arn:{}:cloudtrail:REGION:ACCOUNT:trail/NAME", self.partition())))
            }
            (trails, _) => ("aws:SourceArn", one_or_many(trails.to_vec())),
        }
    }

    fn allow(&self, action: &str, resources: Vec<String>) -> Draft {
        let (key, source) = self.source();
        let service = json!({ "Service": CLOUDTRAIL });
        Draft::new("Allow", service, json!(action), one_or_many(resources), json!({})).on("StringEquals", key, source)
    }

    pub(super) fn acl_check(&self) -> Draft {
        self.allow("s3:GetBucketAcl", vec![self.bucket_arn()])
    }

    pub(super) fn write(&self, folders: Vec<String>) -> Draft {
        self.allow("s3:PutObject", folders).on("StringEquals", "s3:x-amz-acl", json!("bucket-owner-full-control"))
    }

    /// The statements that let CloudTrail write, with the names that they are given where they have none.
    pub(super) fn writes(&self) -> Vec<(&'static str, Draft)> {
        let folders =
            [("CloudTrailWrite", self.account_folders()), ("CloudTrailOrganizationWrite", self.organization_folders())];
        let known = folders.into_iter().filter(|(_, folders)| !folders.is_empty());
        let mut writes: Vec<_> = known.map(|(sid, folders)| (sid, self.write(folders))).collect();
        if writes.is_empty() {
            writes.push(("CloudTrailWrite", self.write(self.folders(&["ACCOUNT".into()]))));
        }
        writes
    }

    pub(super) fn tls_only(&self) -> Draft {
        let both = vec![self.bucket_arn(), self.objects()];
        Draft::new("Deny", json!("*"), json!("s3:*"), one_or_many(both), json!({})).on(
            "Bool",
            "aws:SecureTransport",
            json!("false"),
        )
    }

    /// Whether a declaration covers a principal for what a kind of weakness speaks of.
    pub(super) fn declares(&self, who: &Principal, declared: &[&[Principal]]) -> bool {
        let owner = self.owner.map(Principal::Account);
        owner.as_ref() == Some(who)
            || declared.iter().flat_map(|list| list.iter()).any(|declared| {
                *declared != Principal::Everyone && super::evaluate::means(declared, who) == super::Truth::Yes
            })
    }
}
