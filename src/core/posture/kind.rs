//! What can be weak besides a policy. Each kind has its section in docs/posture.md.

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
}
