//! What the warden must be allowed on AWS: for what, on what, and what stops working without it. Policies are printed from this
//! table, and the doctor tries what stands in it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

/// For whom a policy is. One principal may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever the program runs as, where the configuration names roles to assume.
    Process,
    /// Reads deliveries, tells what it finds.
    Reader,
    /// Keeps `[retention]`.
    Retention,
    /// Keeps `[posture]`: looks at what guards the archive, and at the trails that fill it.
    Audit,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Process, Self::Reader, Self::Retention, Self::Audit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Reader => "reader",
            Self::Retention => "retention",
            Self::Audit => "audit",
        }
    }
}

/// What a permission is for: which resources these are, a [`Site`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// Roles to assume.
    Roles,
    /// Buckets that receive trails.
    Buckets,
    /// What CloudTrail delivers there.
    Deliveries,
    /// The same, where something is promised of them.
    PromisedBuckets,
    PromisedDeliveries,
    /// Buckets whose posture is looked at.
    AuditedBuckets,
    Queues,
    DeadLetters,
    /// `*`, where CloudTrail is asked for keys.
    PublicKeys,
    /// `*`, where Organizations is asked for members.
    Organization,
    Topics,
    /// Event buses that alerts go to.
    Buses,
    /// Functions that are invoked with alerts.
    Functions,
    /// Where Security Hub takes findings of one's own.
    Hubs,
    /// Copies of the ledger.
    Copies,
    /// Buckets that a lease lies in, and what lies there beside it.
    LeaseBuckets,
    Leases,
    /// Buckets that `[archive]` keeps records in, and its files there.
    HistoryBuckets,
    HistoryFiles,
    /// KMS keys that what is read is encrypted with.
    Keys,
    /// The same, where something encrypted is written.
    KeysToWrite,
    /// The same, where posture is looked at.
    AuditedKeys,
    /// Topics between a bucket and its queue, where posture is looked at.
    Announcers,
    /// `*`, where posture is looked at: trails are asked for by nothing.
    AnyTrail,
    /// Trails of any name, in the account that they belong to.
    Trails,
}

/// Permissions that go together.
#[derive(Debug)]
pub struct Group {
    pub role: Role,
    pub sid: &'static str,
    pub on: On,
    /// Each action, and what stops working without it.
    pub actions: &'static [(&'static str, &'static str)],
}

pub const GROUPS: &[Group] = &[
    Group {
        role: Role::Process,
        sid: "AssumeRoles",
        on: On::Roles,
        actions: &[("sts:AssumeRole", "nothing that the role is configured for can be done")],
    },
    Group {
        role: Role::Reader,
        sid: "ListBuckets",
        on: On::Buckets,
        actions: &[(
            "s3:ListBucket",
            "deliveries that were not announced are not found, and S3 says forbidden where it should say missing",
        )],
    },
    Group {
        role: Role::Reader,
        sid: "SeeAnnouncements",
        on: On::Buckets,
        actions: &[("s3:GetBucketNotification", "the doctor does not see whether the bucket announces deliveries")],
    },
    Group {
        role: Role::Reader,
        sid: "ReadDeliveries",
        on: On::Deliveries,
        actions: &[
            ("s3:GetObject", "nothing is read, hashed or proven"),
            (
                "s3:GetObjectVersion",
                "the version that a notification names cannot be read: a replaced object hides the first",
            ),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "ReadLocks",
        on: On::PromisedDeliveries,
        actions: &[("s3:GetObjectRetention", "the lock of an object is not seen, and not compared with the promise")],
    },
    Group {
        role: Role::Reader,
        sid: "ConsumeNotifications",
        on: On::Queues,
        actions: &[
            ("sqs:ReceiveMessage", "no delivery is noticed until bucket and ledger are compared"),
            ("sqs:DeleteMessage", "every message comes back until it expires or goes to the dead-letter queue"),
            (
                "sqs:ChangeMessageVisibility",
                "messages come back while they are worked on, and failed ones at the wrong time",
            ),
            (
                "sqs:GetQueueAttributes",
                "the backlog is not known, `run --drain` does not know when it is done, and who may send is not audited",
            ),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "WatchDeadLetters",
        on: On::DeadLetters,
        actions: &[
            ("sqs:GetQueueAttributes", "the doctor does not see what was given up"),
            ("sqs:GetQueueUrl", "an audit does not see that the dead-letter queue is gone"),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "ReadDigestKeys",
        on: On::PublicKeys,
        actions: &[("cloudtrail:ListPublicKeys", "no digest's signature can be checked")],
    },
    Group {
        role: Role::Reader,
        sid: "ReadOrganization",
        on: On::Organization,
        actions: &[
            (
                "organizations:ListAccounts",
                "who is a member is not known: foreign deliveries and silent accounts go unseen",
            ),
            ("organizations:DescribeOrganization", "the members of another organization would be taken for ours"),
            (
                "organizations:ListRoots",
                "accounts are known without their units: `--ou` and overrides by unit match nothing",
            ),
            (
                "organizations:ListOrganizationalUnitsForParent",
                "units below the root are not known: overrides by unit match nothing",
            ),
            (
                "organizations:ListAccountsForParent",
                "which unit an account is in is not known: overrides by unit match nothing",
            ),
            ("organizations:ListParents", "the unit of an account that moves while it is asked for is not known"),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "PublishAlerts",
        on: On::Topics,
        actions: &[("sns:Publish", "no alert reaches the topic")],
    },
    Group {
        role: Role::Reader,
        sid: "PutAlerts",
        on: On::Buses,
        actions: &[("events:PutEvents", "no alert reaches the event bus")],
    },
    Group {
        role: Role::Reader,
        sid: "InvokeWithAlerts",
        on: On::Functions,
        actions: &[("lambda:InvokeFunction", "no alert reaches the function")],
    },
    Group {
        role: Role::Reader,
        sid: "ImportAlerts",
        on: On::Hubs,
        actions: &[("securityhub:BatchImportFindings", "no alert reaches Security Hub")],
    },
    Group {
        role: Role::Reader,
        sid: "KeepLedgerCopies",
        on: On::Copies,
        actions: &[("s3:PutObject", "no copy of the ledger is kept away from this machine")],
    },
    Group {
        role: Role::Reader,
        sid: "SeeLease",
        on: On::LeaseBuckets,
        actions: &[(
            "s3:ListBucket",
            "S3 says forbidden where it should say missing: a lease that nobody has taken yet is never taken",
        )],
    },
    Group {
        role: Role::Reader,
        sid: "HoldLease",
        on: On::Leases,
        actions: &[
            ("s3:GetObject", "who holds the lease is not seen, and nobody takes over"),
            ("s3:PutObject", "the lease is not taken, and nothing is received"),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "SeeHistory",
        on: On::HistoryBuckets,
        actions: &[(
            "s3:ListBucket",
            "files of the archive that the ledger does not know are not seen, and S3 says forbidden where it should say missing",
        )],
    },
    Group {
        role: Role::Reader,
        sid: "KeepHistory",
        on: On::HistoryFiles,
        actions: &[
            ("s3:GetObject", "`lookup` and `query` find nothing, and records are not known to be there already"),
            ("s3:PutObject", "no record is archived"),
            ("s3:DeleteObject", "files of the archive that were merged or have expired stay there"),
        ],
    },
    Group {
        role: Role::Reader,
        sid: "DecryptDeliveries",
        on: On::Keys,
        actions: &[("kms:Decrypt", "encrypted objects and messages cannot be read")],
    },
    Group {
        role: Role::Reader,
        sid: "EncryptWhatIsWritten",
        on: On::KeysToWrite,
        actions: &[(
            "kms:GenerateDataKey",
            "nothing can be published to an encrypted topic or copied to an encrypted bucket",
        )],
    },
    Group {
        role: Role::Retention,
        sid: "ReadProtection",
        on: On::PromisedBuckets,
        actions: &[
            ("s3:GetBucketVersioning", "no plan can be made"),
            ("s3:GetBucketObjectLockConfiguration", "no plan can be made"),
            ("s3:GetLifecycleConfiguration", "no plan can be made"),
            ("s3:GetBucketPolicy", "a plan does not warn of access logs that come back into a locked bucket"),
            ("s3:GetBucketAcl", "a plan does not warn of access logs that come back into a locked bucket"),
            ("s3:ListBucketVersions", "legal holds cannot be put on versions, and objects cannot be locked one by one"),
            ("s3:ListBucket", "S3 says forbidden where it should say missing"),
        ],
    },
    Group {
        role: Role::Retention,
        sid: "ChangeProtection",
        on: On::PromisedBuckets,
        actions: &[
            ("s3:PutBucketVersioning", "a plan that turns versioning on cannot be applied"),
            ("s3:PutBucketObjectLockConfiguration", "a plan that sets the default retention cannot be applied"),
            ("s3:PutLifecycleConfiguration", "a plan that changes lifecycle rules cannot be applied"),
        ],
    },
    Group {
        role: Role::Retention,
        sid: "LockObjects",
        on: On::PromisedDeliveries,
        actions: &[
            ("s3:GetObject", "an object's lock cannot be looked at before it is extended"),
            ("s3:GetObjectVersion", "the lock of a version cannot be looked at"),
            ("s3:GetObjectRetention", "how an object is locked is not known, so that nothing is extended"),
            ("s3:GetObjectLegalHold", "legal holds that somebody put are not seen"),
            (
                "s3:PutObjectRetention",
                "overrides by unit, account or kind are not kept: no object is locked for longer",
            ),
            ("s3:PutObjectLegalHold", "`retention hold` can neither put nor release a hold"),
        ],
    },
    Group {
        role: Role::Audit,
        sid: "AuditBuckets",
        on: On::AuditedBuckets,
        actions: &[
            ("s3:GetBucketPolicy", "who may write, delete or unlock is not known"),
            ("s3:GetBucketPolicyStatus", "what S3 itself calls public is not known"),
            ("s3:GetBucketAcl", "grants by access control lists are not seen"),
            ("s3:GetBucketPublicAccessBlock", "whether public access is blocked is not known"),
            ("s3:GetBucketOwnershipControls", "whether others own what they deliver is not known"),
            ("s3:GetBucketVersioning", "whether deleted objects are kept is not known"),
            ("s3:GetEncryptionConfiguration", "how the bucket encrypts is not known"),
            ("s3:GetBucketObjectLockConfiguration", "whether objects are locked is not known"),
            ("s3:GetReplicationConfiguration", "where else the archive is copied is not known"),
            ("s3:GetBucketLogging", "whether access logs come back into the bucket is not known"),
            ("s3:GetBucketNotification", "whether deliveries are announced is not known"),
        ],
    },
    Group {
        role: Role::Audit,
        sid: "AuditKeys",
        on: On::AuditedKeys,
        actions: &[
            ("kms:DescribeKey", "that a key is disabled or about to be deleted is not seen"),
            ("kms:GetKeyPolicy", "who may use, disable or delete the key is not known"),
        ],
    },
    Group {
        role: Role::Audit,
        sid: "AuditTopics",
        on: On::Announcers,
        actions: &[("sns:ListSubscriptionsByTopic", "whether the topic leads to the queue is not known")],
    },
    Group {
        role: Role::Audit,
        sid: "DescribeTrails",
        on: On::AnyTrail,
        actions: &[("cloudtrail:DescribeTrails", "which trails fill the archive is not known")],
    },
    Group {
        role: Role::Audit,
        sid: "AuditTrails",
        on: On::Trails,
        actions: &[
            (
                "cloudtrail:GetTrailStatus",
                "that a trail was stopped or cannot deliver is not seen until logs are missing",
            ),
            ("cloudtrail:GetEventSelectors", "that a trail leaves events out is not seen"),
        ],
    },
];

/// The resources that a configuration names, by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    pub resources: BTreeMap<On, Vec<String>>,
    /// The services that use the keys for us, as `kms:ViaService` names them.
    pub via: Vec<String>,
}

/// `aws`, `aws-cn`, …, by region (AWS general reference: partitions).
pub fn partition(region: &str) -> &'static str {
    const BEGINNINGS: [(&str, &str); 6] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
    ];
    BEGINNINGS.iter().find(|(beginning, _)| region.starts_with(beginning)).map_or("aws", |(_, name)| name)
}

impl Site {
    pub fn of(&self, on: On) -> &[String] {
        self.resources.get(&on).map_or(&[], Vec::as_slice)
    }

    /// Names one more resource, once.
    pub fn add(&mut self, on: On, arn: impl Into<String>) {
        let (held, arn) = (self.resources.entry(on).or_default(), arn.into());
        if !held.contains(&arn) {
            held.push(arn);
        }
    }

    /// The least that a role needs here; `None` where it has nothing to do.
    pub fn policy(&self, role: Role) -> Option<Policy> {
        let needed = GROUPS.iter().filter(|group| group.role == role && !self.of(group.on).is_empty());
        let statements = needed.map(|group| {
            let actions = group.actions.iter().map(|(action, _)| *action).collect();
            self.statement(group, actions, self.of(group.on).to_vec())
        });
        let statements: Vec<Statement> = statements.collect();
        (!statements.is_empty()).then_some(Policy { version: "2012-10-17", statements })
    }

    /// What to paste where one action on one resource is missing.
    pub fn missing(&self, group: &Group, action: &'static str, resources: &[String]) -> Statement {
        self.statement(group, vec![action], resources.to_vec())
    }

    /// Keys are used through services. Whoever writes may ask KMS itself, too, so that this can be tried: a new data key opens
    /// nothing that is there.
    fn statement(&self, group: &Group, actions: Vec<&'static str>, resources: Vec<String>) -> Statement {
        let through = match group.on {
            On::Keys => Some("StringEquals"),
            On::KeysToWrite => Some("StringEqualsIfExists"),
            _ => None,
        };
        let condition = through.map(|operator| json!({ operator: { "kms:ViaService": one_or_many(&self.via) } }));
        Statement {
            sid: group.sid,
            effect: "Allow",
            action: one_or_many(&actions),
            resource: one_or_many(&resources),
            condition,
        }
    }
}

/// An identity policy, in the order in which people write one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    pub version: &'static str,
    #[serde(rename = "Statement")]
    pub statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    pub sid: &'static str,
    pub effect: &'static str,
    pub action: Value,
    pub resource: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
}

fn one_or_many<T: Serialize>(values: &[T]) -> Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_permission_stands_twice_none_is_wild_and_all_say_what_stops() {
        let mut seen = BTreeSet::new();
        for group in GROUPS {
            assert!(group.sid.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", group.sid);
            for (action, without) in group.actions {
                assert!(seen.insert((group.role, group.on, action)), "{action} stands twice");
                let (service, name) = action.split_once(':').unwrap();
                assert!(!service.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{action}");
                assert!(!without.is_empty() && !without.ends_with('.'), "{action}: {without}");
            }
        }
    }

    #[test]
    fn a_policy_has_what_the_site_has_and_nothing_else() {
        let mut site = Site::default();
        assert_eq!(Role::ALL.map(|role| site.policy(role)), [const { None }; 4]);
        site.add(On::Topics, "arn:aws:sns:eu-west-1:111122223333:alerts");
        site.add(On::Topics, "arn:aws:sns:eu-west-1:111122223333:alerts");
        let policy = serde_json::to_string(&site.policy(Role::Reader)).unwrap();
        assert_eq!(
            policy,
            r#"{"Version":"2012-10-17","Statement":[{"Sid":"PublishAlerts","Effect":"Allow","Action":"sns:Publish","Resource":"arn:aws:sns:eu-west-1:111122223333:alerts"}]}"#
        );
        assert_eq!(site.policy(Role::Audit), None);
        site.add(On::Keys, "k");
        site.via = vec!["s3.eu-west-1.amazonaws.com".into()];
        let decrypt = &site.policy(Role::Reader).unwrap().statements[1];
        let via = json!({ "StringEquals": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } });
        assert_eq!((decrypt.sid, &decrypt.condition), ("DecryptDeliveries", &Some(via)));
        site.add(On::KeysToWrite, "k");
        let encrypt = &site.policy(Role::Reader).unwrap().statements[2];
        let via = json!({ "StringEqualsIfExists": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } });
        assert_eq!((encrypt.sid, &encrypt.condition), ("EncryptWhatIsWritten", &Some(via)));
        assert_eq!(site.policy(Role::Audit), None);
        site.add(On::AuditedKeys, "k");
        let audit = site.policy(Role::Audit).unwrap();
        assert_eq!(audit.statements[0].condition, None, "whoever describes a key asks KMS itself");
    }

    #[test]
    fn partitions_follow_regions() {
        for (region, name) in [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
            assert_eq!(partition(region), name);
        }
    }
}
