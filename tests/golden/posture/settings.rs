//! How the bucket is set.

use super::*;

pub(super) fn settings() -> Vec<Case> {
    let good = Ground::new;
    let lock = |on: &str| xml("ObjectLockConfiguration", &format!("<ObjectLockEnabled>{on}</ObjectLockEnabled>"));
    let versions = |status: &str| xml("VersioningConfiguration", status);
    let promised = |ground: Ground| Ground { promised: true, ..ground };
    let silent = |ground: Ground| Ground { announces: false, ..ground };
    vec![
        (
            "never versioned",
            good().set(Part::Versioning, versions("")),
            &["versioning_off high bucket_unprotected"],
            &[],
        ),
        (
            "versioning suspended",
            good().set(Part::Versioning, versions("<Status>Suspended</Status>")),
            &["versioning_off high bucket_unprotected"],
            &[],
        ),
        (
            "not versioned, and promised to be",
            promised(good().set(Part::Versioning, versions(""))),
            &["versioning_off high retention_drift"],
            &[],
        ),
        (
            "no Object Lock",
            good().without(Part::ObjectLock),
            &["mfa_delete_off info bucket_unprotected", "object_lock_off high bucket_unprotected"],
            &[],
        ),
        (
            "no Object Lock, but MFA delete",
            good()
                .without(Part::ObjectLock)
                .set(Part::Versioning, versions("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>")),
            &["object_lock_off high bucket_unprotected"],
            &[],
        ),
        (
            "no Object Lock where it is promised",
            promised(good().without(Part::ObjectLock)),
            &["object_lock_off high lock_missing"],
            &[],
        ),
        (
            "Object Lock without a default",
            good().set(Part::ObjectLock, lock("Enabled")),
            &["mfa_delete_off info bucket_unprotected", "object_lock_without_default high bucket_unprotected"],
            &[],
        ),
        (
            "Object Lock without a default where one is promised",
            promised(good().set(Part::ObjectLock, lock("Enabled"))),
            &["object_lock_without_default high lock_missing"],
            &[],
        ),
        (
            "S3's own encryption",
            good().set(Part::Encryption, encryption("AES256", "")),
            &["encryption_without_key info bucket_unprotected"],
            &[],
        ),
        (
            "no default encryption",
            good().without(Part::Encryption),
            &["encryption_without_key info bucket_unprotected"],
            &[],
        ),
        (
            "no access logs",
            good().set(Part::Logging, xml("BucketLoggingStatus", "")),
            &["access_logging_off info bucket_unprotected"],
            &[],
        ),
        (
            "access logs into itself",
            good().set(Part::Logging, logging("example-org-trail", "access/")),
            &["logging_loop medium bucket_unprotected"],
            &[],
        ),
        (
            "no notification",
            good().set(Part::Notification, xml("NotificationConfiguration", "")),
            &["notification_missing high bucket_unprotected"],
            &[],
        ),
        (
            "only removals announced",
            good().set(Part::Notification, notification("s3:ObjectRemoved:*")),
            &["notification_missing high bucket_unprotected"],
            &[],
        ),
        (
            "announced by EventBridge",
            good().set(Part::Notification, xml("NotificationConfiguration", "<EventBridgeConfiguration/>")),
            &[],
            &[],
        ),
        (
            "announced by somebody else",
            silent(good().set(Part::Notification, xml("NotificationConfiguration", ""))),
            &[],
            &[],
        ),
    ]
}
