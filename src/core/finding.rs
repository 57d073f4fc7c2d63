//! A finding: everything that deserves a human. One table of kinds, one fingerprint rule, one shape.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::core::id::{AccountId, Region, Sha256};
use crate::core::rule::Detection;

/// Where packages put it.
const DOCUMENTATION: &str = "file:///usr/share/doc/trailwarden";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Integrity,
    Delivery,
    Ingest,
    Operation,
    Detection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Open,
    Acknowledged,
    Resolved,
}

macro_rules! names {
    ($type:ident { $($variant:ident $name:literal),+ $(,)? }) => {
        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == text)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
names!(Class { Integrity "integrity", Delivery "delivery", Ingest "ingest", Operation "operation", Detection "detection" });
names!(Severity { Info "info", Low "low", Medium "medium", High "high", Critical "critical" });
names!(State { Open "open", Acknowledged "acknowledged", Resolved "resolved" });

macro_rules! kinds {
    ($($variant:ident $name:literal $class:ident $severity:ident $title:literal $means:literal $action:literal)+) => {
        /// What a finding is about. The names are stable; see docs/findings.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($variant),+ }

        names!(Kind { $($variant $name),+ });

        impl Kind {
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class),+ }
            }

            /// The usual severity; a finding may carry a lower one, and that of a rule any.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// One short sentence, for headings.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => $means),+ }
            }

            pub fn action(self) -> &'static str {
                match self { $(Self::$variant => $action),+ }
            }
        }
    };
}

kinds! {
    DigestSignatureInvalid "digest_signature_invalid" Integrity Critical
        "a digest's signature does not verify"
        "The digest file, or the signature in its metadata, is not what CloudTrail signed. The hour it covers is unproven."
        "Treat the hour as tampered: compare the object's versions, find who wrote it (S3 data events, access logs), restore the original version."
    DigestMalformed "digest_malformed" Integrity Critical
        "a digest cannot be read"
        "The object at a digest's key is no digest: broken gzip, no JSON, a field missing, or names that contradict its key."
        "Look at the object's versions; restore the one that CloudTrail wrote."
    DigestMissing "digest_missing" Integrity Critical
        "digests are missing from a chain"
        "A later digest names a predecessor that is not in the bucket. The hours listed have no proof."
        "Look for delete markers and older versions at the named key; find who deleted them; restore."
    DigestOverdue "digest_overdue" Integrity High
        "expected digests have not arrived"
        "A chain that delivered hourly has stopped. Either logging or validation was switched off, delivery fails, or the newest digests were deleted."
        "Check GetTrailStatus (LatestDigestDeliveryError), StopLogging, UpdateTrail and DeleteTrail events, and the bucket policy."
    DigestMisplaced "digest_misplaced" Integrity High
        "a digest does not lie where it says it lies"
        "The bucket and key inside the signed digest are not the object's own. Somebody copied or moved it."
        "Find who wrote the copy; the digest proves nothing about the place it lies at."
    ChainBroken "chain_broken" Integrity Critical
        "two digests do not fit together"
        "A digest names its predecessor's hash and signature, and the predecessor that lies there has others, or two digests claim the same place. One of them was replaced."
        "Compare both digests and their versions; the one the successor names is the genuine one."
    ChainRestarted "chain_restarted" Integrity High
        "a chain began anew after a gap"
        "A starting digest follows older digests. Logging or validation was off in between; the hours listed are unprovable."
        "Legitimate only if StopLogging, DeleteTrail or UpdateTrail by an authorized person explains it."
    PublicKeyUnknown "public_key_unknown" Integrity High
        "no public key for a digest's fingerprint"
        "CloudTrail's key list for the region has no such key, so the digest could not be checked. Either the list lags or the digest is forged."
        "Ask ListPublicKeys in the digest's region; if it stays unknown, treat the digest as forged."
    LogModified "log_modified" Integrity Critical
        "a log file is not what CloudTrail delivered"
        "The SHA-256 of the log differs from the one in the signed digest."
        "Restore the original version; find who overwrote it and what records differ."
    LogMissing "log_missing" Integrity Critical
        "a log file that a digest lists is gone"
        "A signed digest proves that CloudTrail delivered this file, and it is not in the bucket."
        "Look for a delete marker or an older version; find who deleted it; restore."
    LogUnlisted "log_unlisted" Integrity Critical
        "a log file that no digest lists"
        "The hour's digests have arrived and none names this file: CloudTrail did not deliver it, or a trail without validation shares the place."
        "Treat its records as forged. If a trail without validation delivers here, declare it (`validation = \"some\"`)."
    LogUnproven "log_unproven" Integrity High
        "log files that no digest will ever list"
        "Logs lie at a place and time for which there is no chain of digests, or whose digests never came. Whoever may write to the bucket may have put them there: they are neither proven nor refuted."
        "Prove the day with `trailwarden verify`; take older history in with `trailwarden backfill`. If no trail with validation delivers there, treat the records as forged."
    LogMalformed "log_malformed" Integrity High
        "a log file cannot be read"
        "Truncated or damaged gzip, no JSON, or no `Records`. CloudTrail does not write such files."
        "Compare the object's versions; the digest will tell whether CloudTrail wrote it."
    TrailingData "trailing_data" Integrity Critical
        "bytes follow the end of a log or digest"
        "Data after the gzip member is covered by no hash, and lenient readers would read it as further records."
        "Ignore whatever follows; find who rewrote the object; restore the original version."
    EvidenceRemoved "evidence_removed" Integrity Critical
        "a log or digest was removed"
        "A notification says that an object of the evidence was deleted, hidden by a delete marker, or expired."
        "If no retention plan explains it, restore the version and find who removed it."
    EvidenceOverwritten "evidence_overwritten" Integrity Critical
        "a log or digest key was written twice"
        "CloudTrail never rewrites a key. The second write is somebody else's."
        "Keep both versions; the digest names the hash of the genuine one."
    EvidenceChainChanged "evidence_chain_changed" Integrity Critical
        "somebody changed what the evidence rests on"
        "A delivered record tells of a call that touches the trail, its bucket, its key or its queue, or that takes an account out of the organization; or of one that was refused."
        "Find out whether the caller meant it and was allowed to. If not, undo it at once: what was not recorded meanwhile cannot be had again. Then `trailwarden findings resolve`."
    AccountForeign "account_foreign" Delivery High
        "a delivery for an account outside the organization"
        "The key names an account that is not, and recently was not, a member. The object is not counted as evidence."
        "Check the bucket policy's aws:SourceArn condition and resource paths: a foreign trail may be able to write here."
    OrganizationForeign "organization_foreign" Delivery High
        "a delivery under another organization's id"
        "The key names an organization that is not ours. The object is not counted as evidence."
        "Check the bucket policy: its resource path must name your organization id."
    BucketForeign "bucket_foreign" Delivery High
        "a notice for another bucket"
        "A message names a bucket that this queue does not serve. It was not followed: whoever may send to the queue chooses that text."
        "Check who may send to the queue, and the bucket's notification configuration."
    KeyUnexpected "key_unexpected" Delivery Medium
        "an object at a key that CloudTrail would not write"
        "The key does not follow CloudTrail's grammar, contradicts itself, or lies outside the layout. It is not counted as evidence."
        "Find who wrote it; tighten the bucket policy to CloudTrail's paths."
    ContentMismatch "content_mismatch" Delivery High
        "records do not fit the key they lie at"
        "Account, region or day inside the file contradict folder and file name."
        "Treat the file as forged until a digest proves it."
    WriterForeign "writer_foreign" Delivery High
        "an object was not written as CloudTrail writes"
        "The notification names another writer than CloudTrail, or a copy, form post or multipart upload. CloudTrail only puts."
        "Find the writer; check the bucket policy for other principals with s3:PutObject."
    AccountSilent "account_silent" Delivery High
        "an account has stopped delivering"
        "Every chain of a member account is overdue: no digest has come from any of its regions."
        "Check the account's trail and service-linked role, and whether it left the organization."
    RegionSilent "region_silent" Delivery High
        "a region has stopped delivering"
        "Every chain of a region is overdue, in all accounts."
        "Check the trail's regions, an AWS outage in the region, and the service control policies."
    AccountUncovered "account_uncovered" Delivery High
        "a member account that never delivered"
        "The organization lists an active account of which no proven digest has been seen."
        "Check that the organization trail covers it, and that it is not excluded by an opt-in home region."
    AccountDeparted "account_departed" Delivery Low
        "an account that left the organization still delivers"
        "Its late files are believed for `organization.departed_grace` after it was last seen as a member, and refused as foreign from then on."
        "Nothing, if the account was meant to leave: what its trail had under way comes after it. If not, find out who removed it."
    MessageUnintelligible "message_unintelligible" Ingest Medium
        "a message that could not be understood"
        "The queue held a message of no known form. It is kept in quarantine with its body."
        "`trailwarden quarantine show` prints it; replay it after an update, or drop it."
    ObjectUnreadable "object_unreadable" Ingest High
        "an object could not be read"
        "Access was denied, the KMS key is unusable, or the object is archived. The message stays in the queue."
        "Grant s3:GetObject and kms:Decrypt, enable the key, or restore the object; the message is tried again by itself."
    ObjectMissing "object_missing" Ingest High
        "an announced object is not there"
        "A notice announced an object that the bucket does not have, and no notice told of its removal."
        "Look for a delete marker or lifecycle rule; the digest will tell whether CloudTrail delivered it."
    ObjectTooLarge "object_too_large" Ingest Medium
        "an object exceeds the size limits"
        "It is larger than `limits.object`, or inflates beyond `limits.inflated` or `limits.ratio`. CloudTrail's own limit is 50 MB before compression."
        "Look at who wrote it; raise the limit only if CloudTrail did."
    NotificationsLost "notifications_lost" Ingest Medium
        "deliveries that no notification announced"
        "Comparing bucket and ledger found ten or more objects that were delivered while the warden watched and never announced. They have been judged like any other; until then nobody looked at them."
        "Check the bucket's notification configuration, the rules and topics between bucket and queue, the queue's policy and retention, and whether somebody purged it."
    ShardMismatch "shard_mismatch" Operation Medium
        "deliveries of another shard's accounts are announced here"
        "Ten or more objects of accounts that `[shard]` gives to other wardens were announced to this one within an hour. They have been judged and kept; but who answers for those accounts was not told of them, and finds them only by comparing."
        "Compare `[shard]` of each warden with the rule that leads to its queue: each queue takes the last digits of its warden's index. After a change of `count`, drain the old queues first."
    RecordMalformed "record_malformed" Ingest Medium
        "records that are no CloudTrail records"
        "Elements of a log file lack an event time or are no objects. The other records of the file are kept."
        "Look at the file; a digest tells whether CloudTrail wrote it."
    ChannelFailing "channel_failing" Operation High
        "an alert channel refuses alerts"
        "A channel refused an alert. What it refuses is told through the other channels, and tried again for a week."
        "Fix its address or credentials, then `trailwarden channel test NAME`."
    AlertsSilenced "alerts_silenced" Operation Low
        "somebody asked not to be told for a while"
        "A silence holds alerts back until it ends: what it covers is judged and kept, and not told. The evidence says who asked for it, of what, until when and why."
        "Nothing, if it is a maintenance that you know of; what is still open is told when it ends. If not, `trailwarden findings unsilence`, and find out who it was."
    QueueStalled "queue_stalled" Operation High
        "the notification queue does not answer"
        "No receive has succeeded for a while. New deliveries are not seen."
        "Check the queue's address, policy and the network."
    QueueBacklogged "queue_backlogged" Operation High
        "messages wait too long in the queue"
        "The oldest message that is known to wait is older than the trail's `queue_age`. Deliveries are judged late, and messages that reach the queue's retention are lost."
        "See whether objects can be read (bucket, KMS key, network), whether the machine keeps up (CPU, disk, `limits.messages`), and whether many more objects come than before."
    LoopStuck "loop_stuck" Operation High
        "a part of the warden does not work"
        "One of the warden's loops hangs, or has failed each time for longer than it may: what it watches for is not seen."
        "The detail and the log say what it met. A loop that hangs is ended by systemd's watchdog, which starts the warden again."
    CredentialsFailing "credentials_failing" Operation High
        "AWS refuses the warden's credentials"
        "Calls fail because the credentials expired or are refused."
        "Check the instance role, the assumed role's trust policy, and the clock."
    ClockSkewed "clock_skewed" Operation Medium
        "the clock disagrees with the ledger or with AWS"
        "Wall time went backwards, or deliveries come from the future."
        "Check time synchronization on the host."
    SnapshotFailing "snapshot_failing" Operation High
        "the ledger's snapshot fails"
        "No copy of the ledger was made, or the copy is not what the warden wrote. Should the ledger be lost now, what was learned since the last copy is lost with it."
        "Read the detail: a full disk, a place that refuses, or a ledger that does not check. `trailwarden ledger check` says what is wrong with it."
    LedgerBehind "ledger_behind" Operation High
        "a warden took over with an older ledger"
        "This host took the lease, and its ledger does not have what the last holder's had. Objects are found again by themselves: the queue, the sweep and the comparison of bucket and ledger bring them. What was told, acknowledged, silenced and counted by rules since is known to the other ledger alone."
        "Nothing is lost of the evidence. To have the rest too: stop the warden, `trailwarden ledger restore` the last snapshot of the other host, and start it; `trailwarden backfill` learns at once what the comparison would find in days."
    LockMissing "lock_missing" Integrity High
        "the bucket does not lock what is delivered"
        "The bucket has no default retention, or no Object Lock at all: whoever may delete versions may delete the evidence."
        "`trailwarden retention plan` shows what is to be done; apply it. Find out who removed the default, if there was one."
    LockShort "lock_short" Integrity High
        "evidence is locked for less than was promised"
        "The bucket's default, or the lock that an object showed when it was read, ends before the promise does."
        "`trailwarden retention plan`, then apply it; `trailwarden findings show` names what was seen."
    RetentionDrift "retention_drift" Operation Medium
        "the bucket is not as its retention plan wants it"
        "Versioning, the warden's lifecycle rules, or the locks of accounts with an override differ from the configuration."
        "`trailwarden retention plan` shows each difference and its effect; apply it, or change the configuration."
    LifecycleDangerous "lifecycle_dangerous" Integrity Critical
        "a lifecycle rule is about to remove evidence"
        "A rule of the bucket would expire or hide objects that are promised for longer. Lifecycle acts inside S3: no bucket policy stops it, and CloudTrail does not record it."
        "Change or disable the rule that the finding names before its day comes; rules that are not the warden's are never touched by it."
    RetentionUnchecked "retention_unchecked" Operation Medium
        "the bucket's protection could not be read"
        "A part of the bucket's configuration could not be read or understood: whether the archive is kept as promised is not known."
        "Grant the permission that the detail names to the role of `[retention]`, or to that of the trail."
    TrailStopped "trail_stopped" Delivery Critical
        "a trail of the archive records nothing"
        "CloudTrail says that the trail does not log, or is gone, or records no management events: what happens meanwhile is recorded nowhere."
        "Start it again with the command of the evidence, at once. `evidence_chain_changed` may say who stopped it; the digests will tell the hours that are lost."
    TrailWeak "trail_weak" Delivery High
        "a trail of the archive records less than it should"
        "Digests, regions, accounts, selectors, prefix or key of the trail are not as an archive needs them."
        "Run the command of the evidence, or accept it in `[posture]`; if it was better before, find out who changed it."
    DeliveryPathBroken "delivery_path_broken" Delivery Critical
        "the way from CloudTrail to the warden is broken"
        "CloudTrail cannot deliver, or what is delivered is not announced: the bucket's notification configuration, a topic, the queue, its policy or its dead-letter queue stand in the way."
        "Do what the evidence says; then `trailwarden reconcile` finds what was delivered unannounced."
    BucketPublic "bucket_public" Integrity Critical
        "the bucket is open to everybody"
        "A statement of the bucket's policy or a grant of its ACL holds for anybody, or S3 itself calls the policy public."
        "Close it at once with what the evidence says; then see in the data events who has been there."
    BucketPolicyWeak "bucket_policy_weak" Integrity Critical
        "the bucket's policy is weak"
        "A statement lets others do what only CloudTrail or nobody should, lets CloudTrail be used by others, or keeps it from delivering. Each statement and each weakness of it is a finding."
        "Put the corrected statement of the evidence in place; `trailwarden posture` prints it to paste. If it is meant to be so, accept it in `[posture]`."
    BucketUnprotected "bucket_unprotected" Integrity High
        "a setting of the bucket leaves the archive open"
        "Block Public Access, ownership, ACL, versioning, lock, encryption, access logging, replication or notifications are not as an archive needs them."
        "Run the command of the evidence, or accept it in `[posture]`; if it was better before, find out who changed it."
    KeyWeak "key_weak" Integrity Critical
        "the key of the archive is weak"
        "The KMS key that the bucket encrypts with is disabled or to be deleted, is not ours, or has a policy that lets others use it or keeps CloudTrail from it."
        "Put the corrected statement or the command of the evidence to work. A key whose deletion is scheduled comes first: the logs go with it."
    PostureUnchecked "posture_unchecked" Operation Medium
        "a part of what protects the archive could not be checked"
        "It could not be read, or could not be judged. It is not known to be well, and weaknesses that were known of it stay open."
        "Grant the permission that the evidence names to the role of `[posture]`, or to that of the trail; look at what could not be judged by hand."
    RuleFired "rule_fired" Detection High
        "a detection rule fired"
        "Records that the rule is about came as often as it says within the time that it gives. What it watches for and why it matters stands in the rule."
        "Do what the rule says; `trailwarden findings show` prints it with the events, and `trailwarden rule show` the rule itself."
    RateUnusual "rate_unusual" Detection Medium
        "a call is made, or fails, unusually often"
        "In five minutes there were more writing calls of one API, or more errors of one code, than on any but two of the preceding seven days; twice as many at least. `trailwarden insights` shows what began and ended when."
        "See whether whoever the detail names does so on purpose: a deployment, a script that fails, or somebody who tries what a stolen key may do."
    NeverSeen "never_seen" Detection Low
        "an account does what it never did before"
        "An API, a region, a principal, a network or a chain of roles that the account was not seen with for as long as `insights.memory` is, or ever."
        "See whether the principal that the detail names does so on purpose. It ends by itself after a week."
    Heartbeat "heartbeat" Operation Info
        "the warden is alive"
        "Sent on schedule, so that silence is visible."
        "Nothing; worry when it stops."
}

impl Kind {
    /// The section of the installed documentation.
    pub fn url(self) -> String {
        format!("{DOCUMENTATION}/findings.md#{}", self.name())
    }

    /// The section about a subject: a weakness has one of its own.
    pub fn url_of(self, subject: &str) -> String {
        match self {
            Self::TrailStopped
            | Self::TrailWeak
            | Self::DeliveryPathBroken
            | Self::BucketPublic
            | Self::BucketPolicyWeak
            | Self::BucketUnprotected
            | Self::KeyWeak => {
                let weakness = subject.rsplit('/').next().unwrap_or_default();
                let kind = weakness.split(':').next().unwrap_or_default();
                format!("{DOCUMENTATION}/posture.md#{kind}")
            }
            _ => self.url(),
        }
    }
}

/// A finding as a flow raises it. Raising the same fingerprint again counts, and re-opens what was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub severity: Severity,
    /// What the finding is about, within its kind: the same subject is the same finding.
    pub subject: String,
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    /// CloudTrail's trail name.
    pub trail: Option<String>,
    pub bucket: Option<String>,
    /// An object key.
    pub object: Option<String>,
    /// End times of the missing digests.
    pub hours: Vec<Timestamp>,
    pub detail: String,
    /// What a rule saw, if one raised it.
    pub detection: Option<Box<Detection>>,
}

impl Finding {
    pub fn new(kind: Kind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            subject: subject.into(),
            account: None,
            region: None,
            trail: None,
            bucket: None,
            object: None,
            hours: Vec::new(),
            detail: detail.into(),
            detection: None,
        }
    }

    /// A finding about one object: the object is its subject.
    pub fn of_object(kind: Kind, bucket: &str, key: &str, detail: impl Into<String>) -> Self {
        let mut finding = Self::new(kind, format!("{bucket}/{key}"), detail);
        finding.bucket = Some(bucket.into());
        finding.object = Some(key.into());
        finding
    }

    #[must_use]
    pub fn account(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }

    #[must_use]
    pub fn region(mut self, region: &Region) -> Self {
        self.region = Some(region.clone());
        self
    }

    #[must_use]
    pub fn trail(mut self, trail: &str) -> Self {
        self.trail = Some(trail.into());
        self
    }

    #[must_use]
    pub fn hours(mut self, hours: Vec<Timestamp>) -> Self {
        self.hours = hours;
        self
    }

    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.kind, &self.subject)
    }

    /// As a ledger would hold it, seen once.
    pub fn held(self, now: Timestamp) -> Held {
        Held {
            id: self.fingerprint().to_string(),
            kind: self.kind,
            class: self.kind.class(),
            severity: self.severity,
            state: State::Open,
            account: self.account,
            region: self.region,
            trail: self.trail,
            bucket: self.bucket,
            object: self.object,
            hours: self.hours,
            detail: self.detail,
            detection: self.detection,
            first_seen: now,
            last_seen: now,
            resolved_at: None,
            note: None,
            count: 1,
            url: self.kind.url_of(&self.subject),
        }
    }
}

/// What makes two raisings the same finding: the kind and the subject. 32 hexadecimal digits: whoever chooses a subject
/// finds none that is taken for another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    pub fn of(kind: Kind, subject: &str) -> Self {
        let hash = Sha256::of(format!("{}\n{subject}", kind.name()).as_bytes());
        Self(hex::encode(&hash.0[..16]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As much of an id as people are shown: the beginning of one is enough to ask for it.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A finding as the ledger holds it, and as `findings list --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The fingerprint.
    pub id: String,
    pub kind: Kind,
    pub class: Class,
    pub severity: Severity,
    pub state: State,
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    pub trail: Option<String>,
    pub bucket: Option<String>,
    pub object: Option<String>,
    pub hours: Vec<Timestamp>,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<Box<Detection>>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub note: Option<String>,
    pub count: u64,
    pub url: String,
}

#[cfg(test)]
mod tests;
