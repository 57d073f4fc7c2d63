//! What can be weak besides a policy. Each kind has its section in docs/posture.md.

use crate::core::finding;
use crate::core::policy::kinds;

kinds! {
    /// What is weak about a setting. The names are stable; see docs/posture.md.
    PolicyMissing "policy_missing" High
        "the bucket has no policy"
        "CloudTrail delivers to a bucket only by its policy, and nothing refuses plain HTTP. Whoever deleted the policy stopped delivery."
    PolicyStatusDiffers "policy_status_differs" High
        "S3 and the warden disagree on whether the policy is public"
        "One of both reads the policy wrongly. Until somebody has looked, it counts as public."
    PublicAccessNotBlocked "public_access_not_blocked" High
        "Block Public Access is not all on"
        "With the four settings on, no policy and no ACL can make the bucket public, whoever writes them. Without them one mistake suffices."
    AclForEverybody "acl_for_everybody" Critical
        "the bucket's ACL grants to everybody"
        "A grant to AllUsers needs no credentials, one to AuthenticatedUsers those of any AWS account. It works beside the policy."
    AclForOthers "acl_for_others" High
        "the bucket's ACL grants to others"
        "A grant in the ACL works beside the policy, and is seen by nobody who reads only the policy."
    AclsInUse "acls_in_use" Medium
        "ACLs are not switched off"
        "Unless object ownership is `BucketOwnerEnforced`, ACLs grant beside the policy, and an object belongs to whoever wrote it."
    VersioningOff "versioning_off" High
        "the bucket keeps no versions"
        "Without versioning, what is overwritten or deleted is gone, and Object Lock is impossible. Suspended, it keeps old versions and makes no new ones."
    MfaDeleteOff "mfa_delete_off" Info
        "versions can be deleted without a device"
        "Nothing locks the versions, so whoever may delete them can. MFA delete asks for the root user's device; Object Lock asks nobody and fits better: with MFA delete a bucket takes no lifecycle rules."
    ObjectLockOff "object_lock_off" High
        "the bucket has no Object Lock"
        "Without Object Lock, whoever has the permission deletes evidence for good, the bucket's own administrators first."
    ObjectLockEmpty "object_lock_without_default" High
        "Object Lock is on, and locks nothing"
        "CloudTrail sets no retention on what it delivers: without a default retention, no log and no digest is locked."
    EncryptionPlain "encryption_without_key" Info
        "the default encryption has no key of its own"
        "S3's own keys guard the disks, and nothing else: whoever may read the bucket reads the logs. With a KMS key reading takes a second permission, which its own policy grants. A trail that names a key encrypts with it whatever the default is."
    KeyManagedByAws "key_managed_by_aws" Low
        "the default encryption uses the AWS managed key"
        "The policy of `aws/s3` cannot be changed: CloudTrail cannot be given it, and no other account can ever read what it encrypts."
    KeyForeign "key_foreign" High
        "the default encryption uses somebody else's key"
        "Whose key it is decides who reads: disabled or deleted, it takes every log with it."
    KeyUnusable "key_unusable" Critical
        "the key cannot be used"
        "CloudTrail cannot encrypt with it and delivers nothing; nobody can read what it has encrypted. A key whose deletion is carried out takes its logs with it for good."
    AccessLoggingOff "access_logging_off" Info
        "requests to the bucket are not logged"
        "Server access logs are the only place where lifecycle's deletions show, and reads of objects where no trail records data events."
    LoggingLoop "logging_loop" Medium
        "the bucket logs its access into itself"
        "Each log of a request is written by a request that is logged. The archive grows for ever, among the evidence, and a bucket with a default retention takes no such logs at all."
    ReplicationForeign "replication_foreign" High
        "the bucket is replicated to somebody else"
        "A replication rule copies every new log to an account that is not ours."
    ReplicationUnknown "replication_unknown" Medium
        "nobody can say to whom the bucket is replicated"
        "The rule does not name the account of its destination. S3 looks it up by the bucket's name, and whoever owns that name has the copy."
    ReplicationDeletes "replication_of_deletions" Low
        "deletions are replicated"
        "A delete marker hides a log in the bucket; replicated, it hides the copy as well."
    NotificationMissing "notification_missing" High
        "the bucket announces nothing"
        "Without its notifications the warden sees late what was delivered, and hardly ever what was deleted or overwritten."
    LoggingOff "logging_off" Critical
        "the trail does not log"
        "Somebody stopped it. What happens until it is started again is recorded nowhere, and cannot be had afterwards."
    TrailGone "trail_gone" Critical
        "a trail that delivered is not there any more"
        "The organization's trail was deleted, or delivers to another bucket. What happens meanwhile is not in this archive."
    ManagementMissing "management_events_missing" Critical
        "no trail records all management events"
        "Event selectors decide what a trail records. Management events are the calls that change things and the calls that look at them; without one of the two halves the archive has no story to tell."
    ManagementExcluded "management_events_excluded" High
        "some management events are left out"
        "The selectors exclude sources, callers or names. KMS and the RDS data API are often left out for their number, and with them the end of a key; anything else is a hole that somebody made."
    ValidationOff "validation_off" High
        "the trail writes no digests"
        "Digests are the only proof that a log is what CloudTrail delivered, and that none is missing."
    SingleRegion "single_region" High
        "no trail records in all regions"
        "Whoever works in another region, or switches one on, leaves no trace."
    NotOrganization "not_organization" High
        "no trail is the organization's"
        "Member accounts, and those that are made tomorrow, are recorded only if each has a trail of its own, which its administrators can stop."
    PrefixOther "prefix_other" High
        "the trail delivers where nobody expects it"
        "Its logs lie outside the configured layout and are not counted as evidence."
    TrailUnencrypted "trail_without_key" Low
        "the trail names no KMS key"
        "The bucket's own encryption holds, which is no second lock: whoever may read the bucket reads the logs."
    ObjectEventsMissing "object_events_missing" Info
        "nobody records who touches the evidence"
        "No trail records data events of S3, so that a bypassed lock, a released hold or a deletion has no author."
    DeliveryFailing "delivery_failing" Critical
        "CloudTrail cannot deliver logs"
        "The bucket's policy, the key's policy or the bucket itself stop it. CloudTrail tries again for 30 days; then the logs are gone."
    DigestFailing "digest_failing" High
        "CloudTrail cannot deliver digests"
        "Logs that come meanwhile cannot be proven."
    TopicFailing "topic_failing" Medium
        "CloudTrail cannot announce deliveries"
        "The trail's own topic refuses. It matters where the queue listens to that topic."
    DeliveryStale "delivery_stale" Medium
        "CloudTrail has delivered nothing for a day"
        "A trail that logs delivers within minutes, and a digest every hour. Nothing for a day means that something stops it, or that nothing happens, which is rare."
    PathMissing "path_missing" High
        "nothing tells the queue of deliveries"
        "What the bucket announces goes elsewhere, and no topic leads to the warden's queue. Deliveries are found by the comparison of bucket and ledger, hours late."
    PathFiltered "path_filtered" High
        "only some deliveries are announced"
        "The notification configuration leads to the queue, and its events or its filters leave out logs or digests."
    RemovalsUnannounced "removals_unannounced" Low
        "removals are not announced"
        "Without `s3:ObjectRemoved:*` a deleted log is found by its digest, by the comparison of bucket and ledger or by the scrub, and not at once."
    QueueGone "queue_gone" High
        "the queue is not there"
        "What is announced goes nowhere, and the warden hears of nothing."
    QueueKeyManaged "queue_key_managed" High
        "nobody can send to the queue"
        "The queue is encrypted with AWS's own key for SQS. No service can be allowed to use it, so that S3, SNS and EventBridge cannot send."
    QueueRetention "queue_retention_short" Medium
        "the queue forgets too soon"
        "A message that is older than the queue's retention is gone. While the warden is down, announcements have to wait for it."
    RedriveTight "redrive_tight" Medium
        "announcements leave the queue after a few failures"
        "The queue moves a message to the dead-letter queue when it was received so often. The warden gives back what it cannot read yet, so that an outage moves announcements away."
    RedriveGone "redrive_gone" Medium
        "the dead-letter queue is not there"
        "A message that was received too often has nowhere to go."
}

impl Kind {
    /// The kind of finding that tells it.
    pub fn told_as(self) -> finding::Kind {
        match self {
            Self::AclForEverybody | Self::PolicyStatusDiffers => finding::Kind::BucketPublic,
            Self::PolicyMissing => finding::Kind::BucketPolicyWeak,
            Self::KeyManagedByAws | Self::KeyForeign | Self::KeyUnusable => finding::Kind::KeyWeak,
            Self::LoggingOff | Self::TrailGone | Self::ManagementMissing => finding::Kind::TrailStopped,
            Self::ManagementExcluded
            | Self::ValidationOff
            | Self::SingleRegion
            | Self::NotOrganization
            | Self::PrefixOther
            | Self::TrailUnencrypted
            | Self::ObjectEventsMissing => finding::Kind::TrailWeak,
            Self::DeliveryFailing
            | Self::DigestFailing
            | Self::TopicFailing
            | Self::DeliveryStale
            | Self::PathMissing
            | Self::PathFiltered
            | Self::RemovalsUnannounced
            | Self::QueueGone
            | Self::QueueKeyManaged
            | Self::QueueRetention
            | Self::RedriveTight
            | Self::RedriveGone => finding::Kind::DeliveryPathBroken,
            _ => finding::Kind::BucketUnprotected,
        }
    }
}
