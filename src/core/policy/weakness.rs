//! What is wrong with a policy: a kind, the statement, the risk in one sentence, and what to paste instead.

use std::fmt;

use super::document::{Document, Statement};
use crate::core::finding::Severity;
use crate::core::id::Sha256;

/// A table of kinds, each with its name, usual severity, title, and why it matters.
macro_rules! kinds {
    ($(#[$doc:meta])* $($variant:ident $name:literal $severity:ident $title:literal $why:literal)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($variant),+ }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The usual severity; a weakness may carry another.
            pub fn severity(self) -> $crate::core::finding::Severity {
                match self { $(Self::$variant => $crate::core::finding::Severity::$severity),+ }
            }

            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            pub fn why(self) -> &'static str {
                match self { $(Self::$variant => $why),+ }
            }

            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }

        impl std::fmt::Display for Kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(in crate::core) use kinds;

kinds! {
    /// What is weak about a policy. The names are stable; see docs/posture.md.
    Public "public" Critical
        "everybody may use the bucket"
        "An Allow for `*` that no condition limits to fixed values is public by S3's own meaning: no account and no credentials are needed."
    EverythingByOthers "everything_by_others" Critical
        "others may do everything"
        "`s3:*` takes in deleting evidence, changing this policy, the lock, the lifecycle and the notifications. Whoever has it can change history and hide it."
    PolicyByOthers "policy_by_others" Critical
        "others may change the bucket's policy"
        "Whoever may write the policy may grant themselves everything else."
    DeleteByOthers "delete_by_others" Critical
        "others may delete evidence"
        "Deleted logs and digests are found missing, but what was in them is gone, unless versions or Object Lock keep them."
    BypassByOthers "bypass_by_others" Critical
        "others may bypass Object Lock's governance mode"
        "With `s3:BypassGovernanceRetention` a lock in governance mode is none: it can be shortened, removed, and its objects deleted."
    NotPrincipalAllow "not_principal_allow" High
        "an Allow for everybody but some"
        "`NotPrincipal` with `Allow` grants to everybody whom the conditions let through, except to those that are listed. Without conditions it is public."
    NotActionAllow "not_action_allow" High
        "an Allow for all actions but some"
        "`NotAction` with `Allow` grants every action that is not listed, and every one that AWS adds later."
    ConfusedDeputy "confused_deputy" High
        "a service may write here on anybody's behalf"
        "The statement trusts a service and does not say on whose behalf. Anybody can make a trail in an account of their own and have CloudTrail write into this bucket: the confused deputy."
    SourceConditionOptional "source_condition_optional" High
        "the source is only looked at if it is named"
        "`…IfExists` and `ForAllValues:` pass a request that does not have the key. The condition reads like a lock and is none."
    SourceArnWide "source_arn_wide" Medium
        "the source is wider than the trail"
        "A pattern in `aws:SourceArn` takes in trails that nobody has made yet: in other regions, under other names, or, where the account is a wildcard, in anybody's account."
    SourceAccountOnly "source_account_only" Low
        "any trail of the account may write"
        "`aws:SourceAccount` alone trusts every trail of the account, in every region, and everybody there who may make one. AWS accepts it; `aws:SourceArn` says which trail."
    SourceOrganizationOnly "source_organization_only" Low
        "any trail of the organization may write"
        "`aws:SourceOrgID` alone trusts every trail of every member account. `aws:SourceArn` says which trail."
    SourceArnLiteral "source_arn_literal" High
        "a wildcard that is compared letter by letter"
        "`StringEquals` knows no wildcards: the value is compared as it is, no trail has that name, and CloudTrail cannot deliver. With a wildcard it has to be `ArnLike` or `StringLike`."
    TrailForeign "trail_foreign" High
        "a trail of somebody else may write"
        "The source is a trail, an account or an organization that is not ours. Its owner can fill this bucket, and stands behind nothing that is found in it."
    TrailUnknown "trail_unknown" Medium
        "a trail that does not exist may write"
        "The source is a trail of one of our accounts that is not among the trails that exist. Whoever may make trails there can make it again, under that name."
    ResourceWide "resource_wide" Medium
        "CloudTrail may write wider than to its own folder"
        "With `BUCKET/*` or `AWSLogs/*` instead of the exact folder, folders of accounts that are not ours can be filled, and the folder no longer says whose the logs are."
    RegionAccounts "region_accounts" Medium
        "CloudTrail's old accounts, one a region"
        "Before there was a service principal, policies listed one AWS account for each region. They cannot be bound to a trail, and regions that are newer than the list cannot deliver."
    AclCheckMissing "acl_check_missing" High
        "CloudTrail may not read the bucket's ACL"
        "CloudTrail asks for the bucket's ACL before it delivers. Without this statement delivery stops and a trail cannot be made or changed."
    WriteMissing "write_missing" High
        "CloudTrail may not write the account's logs"
        "No statement lets CloudTrail put objects into the folder of the trail's account: delivery stops."
    OrganizationWriteMissing "organization_write_missing" High
        "CloudTrail may not write the organization's logs"
        "No statement lets CloudTrail put objects into the organization's folder: the logs of every member account stop."
    PrefixWrong "prefix_wrong" High
        "the statement allows another prefix"
        "The prefix in the policy is not the one of the trail. CloudTrail says that there is a problem with the bucket policy, and delivers nothing."
    DenyBreaksDelivery "deny_breaks_delivery" High
        "a Deny stops CloudTrail"
        "The Deny was written for people and holds for services too. CloudTrail delivers from outside the VPC endpoint, the network, the organization, and with the headers that it chooses; what it cannot deliver in time is lost."
    NotPrincipalDeniesDelivery "not_principal_denies_delivery" High
        "a Deny for everybody but some stops CloudTrail"
        "`NotPrincipal` with `Deny` holds for everyone who is not listed, CloudTrail's service principal included."
    PutByOthers "put_by_others" High
        "others may write where the evidence lies"
        "Whoever may put objects there can add forged logs and overwrite genuine ones. Digests tell it; without a lock the genuine object is still gone."
    LockByOthers "lock_by_others" High
        "others may change locks and legal holds"
        "Whoever may set retention or legal holds can lift a hold, change the bucket's default, or lock forged objects in for years."
    LifecycleByOthers "lifecycle_by_others" High
        "others may change the lifecycle rules"
        "A lifecycle rule deletes from within S3: no policy stops it, and CloudTrail does not record what it deletes."
    VersioningByOthers "versioning_by_others" High
        "others may suspend versioning"
        "Without versions, what is overwritten or deleted is gone."
    AclByOthers "acl_by_others" High
        "others may change ACLs"
        "An ACL is a way in beside this policy: to other accounts, or to everybody."
    OwnershipByOthers "ownership_by_others" High
        "others may change object ownership"
        "Leaving `BucketOwnerEnforced` brings ACLs back to life, and with them owners other than ours."
    EncryptionByOthers "encryption_by_others" High
        "others may change the default encryption"
        "With a key of somebody else as the default, new logs are theirs to read and to withhold."
    NotificationByOthers "notification_by_others" High
        "others may change the notifications"
        "Without its notifications the warden sees late what was delivered, deleted or overwritten."
    ReplicationByOthers "replication_by_others" High
        "others may have the bucket replicated"
        "A replication rule copies every new log to a bucket of their choice."
    SettingsByOthers "settings_by_others" Medium
        "others may change settings that stop delivery or reading"
        "Requester Pays stops CloudTrail's delivery; an archive configuration makes objects unreadable for hours."
    ReadByOthers "read_by_others" Medium
        "others may read the logs"
        "Audit logs name people, addresses, resources and habits. Somebody who is not among the declared readers may read them; where none are declared, somebody of another account or organization."
    TlsNotRequired "tls_not_required" Medium
        "plain HTTP is not denied"
        "Without a Deny for `aws:SecureTransport` = false, a client that is configured carelessly reads and writes evidence unencrypted."
    KeyPublic "key_public" Critical
        "everybody may use the key"
        "An Allow for `*` that no condition limits to fixed values lets any AWS account use the key."
    KeyAdministeredByOthers "key_administered_by_others" Critical
        "others may change or delete the key"
        "Whoever can disable the key, schedule its deletion or change its policy takes every log that it encrypts with it. No lock helps."
    KeyGrantedByOthers "key_granted_by_others" High
        "others may hand out the use of the key"
        "Whoever may create grants lets anybody decrypt with the key, and a grant stands in no policy: only `aws kms list-grants` shows it."
    KeyEncryptMissing "key_encrypt_missing" High
        "CloudTrail may not encrypt with the key"
        "Without `kms:GenerateDataKey*` for its service principal, CloudTrail delivers nothing."
    KeySourceUnbound "key_source_unbound" Medium
        "CloudTrail may use the key on anybody's behalf"
        "Without `aws:SourceArn` or `aws:SourceAccount`, a trail of any account can encrypt with this key."
    KeyContextUnbound "key_context_unbound" Low
        "the key is not bound to trails of our accounts"
        "Without a condition on `kms:EncryptionContext:aws:cloudtrail:arn`, the encryption context does not say whose trail the key is for."
    KeyDecryptOpen "key_decrypt_open" Medium
        "the key decrypts more than logs, for more than its readers"
        "`kms:Decrypt` for other accounts without the condition that the CloudTrail encryption context is there decrypts whatever else the key has encrypted."
    QueuePublic "queue_public" High
        "everybody may use the queue"
        "An Allow for `*` that no condition limits to fixed values: anybody can forge notifications, or take them away."
    QueueAdministeredByOthers "queue_administered_by_others" High
        "others may change or empty the queue"
        "Whoever can purge the queue, delete it or change its policy makes the warden blind."
    QueueReceiveByOthers "queue_receive_by_others" High
        "others may take messages"
        "A message that somebody else receives and deletes never reaches the warden."
    QueueSendMissing "queue_send_missing" High
        "the bucket may not send to the queue"
        "Without this statement S3 refuses or drops the notification configuration, and nothing is announced."
    QueueSendUnbound "queue_send_unbound" Medium
        "a service may send on anybody's behalf"
        "Without `aws:SourceArn` or `aws:SourceAccount`, any bucket of any account can be made to notify this queue."
    QueueSendByOthers "queue_send_by_others" Medium
        "others may send messages"
        "Forged notifications cost work and can hide genuine ones in a flood. They prove nothing: each object is looked at."
    CouldNotTell "could_not_tell" Medium
        "a part of the policy that could not be judged"
        "Not good and not bad: it cannot be read, or it depends on something that is not known here. Somebody has to look."
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    pub kind: Kind,
    pub severity: Severity,
    /// `None`: it is about the policy as a whole, or about what it does not have.
    pub place: Option<Place>,
    /// One sentence, without full stop.
    pub risk: String,
    pub fix: Fix,
}

/// A statement, as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 0.
    pub index: usize,
    /// Its Sid, or its number counted from 1.
    pub name: String,
    /// As it was written.
    pub text: String,
}

/// Each text is one whole statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// In place of the statement; none: take it away.
    Replace(Vec<String>),
    Add(Vec<String>),
    /// There is nothing to paste; what to find out.
    Look(String),
}

impl From<&Statement> for Place {
    fn from(statement: &Statement) -> Self {
        Self { index: statement.index, name: statement.name(), text: statement.text.clone() }
    }
}

impl Weakness {
    pub(super) fn at(kind: Kind, statement: &Statement, risk: impl Into<String>, fix: Fix) -> Self {
        Self { kind, severity: kind.severity(), place: Some(statement.into()), risk: risk.into(), fix }
    }

    pub(super) fn whole(kind: Kind, risk: impl Into<String>, fix: Fix) -> Self {
        Self { kind, severity: kind.severity(), place: None, risk: risk.into(), fix }
    }

    #[must_use]
    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What makes two looks find the same weakness: its kind, and its statement by what it says, wherever it stands.
    pub fn subject(&self) -> String {
        match &self.place {
            Some(place) => format!("{} {}", self.kind, &Sha256::of(place.text.as_bytes()).to_string()[..12]),
            None => self.kind.name().into(),
        }
    }

    /// What is to be done, in words.
    pub fn advice(&self) -> String {
        match (&self.fix, &self.place) {
            (Fix::Replace(with), Some(place)) if with.is_empty() => format!("remove statement {}", place.name),
            (Fix::Replace(_), Some(place)) => format!("put this in place of statement {}", place.name),
            (Fix::Replace(_), None) => "put this in place of the policy".into(),
            (Fix::Add(_), _) => "add this to the policy's statements".into(),
            (Fix::Look(what), _) => what.clone(),
        }
    }

    /// The statements to paste, as they stand in a list; `None` where there is nothing to paste.
    pub fn paste(&self) -> Option<String> {
        match &self.fix {
            Fix::Replace(statements) | Fix::Add(statements) if !statements.is_empty() => Some(statements.join(",\n")),
            _ => None,
        }
    }

    /// The whole policy as it is after the correction.
    pub fn corrected(&self, document: &Document) -> Option<String> {
        match &self.fix {
            Fix::Replace(statements) => Some(document.with(Some(self.place.as_ref()?.index), statements)),
            Fix::Add(statements) => Some(document.with(None, statements)),
            Fix::Look(_) => None,
        }
    }
}

impl fmt::Display for Weakness {
    /// One line, for whoever reads it first: where it is, the risk, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "statement {}: {}; {}", place.name, self.risk, self.advice()),
            None => write!(f, "{}; {}", self.risk, self.advice()),
        }
    }
}

/// The statements of a policy that are a doubt.
pub(super) fn doubts(document: &Document) -> Vec<Weakness> {
    let look = || Fix::Look("read it by hand, and write it in a form that AWS documents".into());
    let unread = |doubts: &[String]| doubts.iter().take(4).cloned().collect::<Vec<_>>().join("; ");
    let mut found = Vec::new();
    if !document.doubts.is_empty() {
        let risk = format!("nothing can be said of this policy: {}", unread(&document.doubts));
        found.push(Weakness::whole(Kind::CouldNotTell, risk, look()));
    }
    let doubtful = document.statements.iter().filter(|statement| !statement.doubts.is_empty());
    found.extend(doubtful.map(|statement| {
        let risk = format!("nobody can say whom this statement lets do what: {}", unread(&statement.doubts));
        Weakness::at(Kind::CouldNotTell, statement, risk, look())
    }));
    found
}

/// The worst first, then in the order of the statements; each once.
pub(super) fn sorted(mut found: Vec<Weakness>) -> Vec<Weakness> {
    found.sort_by_key(|weakness| {
        let index = weakness.place.as_ref().map_or(usize::MAX, |place| place.index);
        (std::cmp::Reverse(weakness.severity), index, weakness.kind)
    });
    found.dedup_by(|one, other| one.kind == other.kind && one.place == other.place);
    found
}
