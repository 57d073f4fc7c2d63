//! What protects a bucket, with what is weak about it: a bucket in order, and one change after the other.

mod settings;

use std::collections::BTreeSet;

use trailwarden::core::finding::{self, Finding};
use trailwarden::core::id::AccountId;
use trailwarden::core::policy::{self, Expected, Principal, recommended};
use trailwarden::core::posture::{Acceptance, Audit, Input, Kind, Look, Weakness, is_known, key_of, of_bucket};
use trailwarden::core::protection::{Fact, Key, Part, Protection};

use crate::trails::is_of_trails;

use settings::settings;

const OWNER: &str = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be";
const OTHER: &str = "1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be79a59df900b949e55d96a";
const KEY: &str = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org-main";

struct Ground {
    expected: Expected,
    protection: Protection,
    key: Option<Key>,
    promised: bool,
    announces: bool,
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn xml(root: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</{root}>")
}

fn grant(grantee: &str, permission: &str) -> String {
    format!("<Grant><Grantee xsi:type=\"x\">{grantee}</Grantee><Permission>{permission}</Permission></Grant>")
}

fn acl(grants: &str) -> String {
    let own = grant(&format!("<ID>{OWNER}</ID>"), "FULL_CONTROL");
    let owner = format!("<Owner><ID>{OWNER}</ID></Owner>");
    xml("AccessControlPolicy", &format!("{owner}<AccessControlList>{own}{grants}</AccessControlList>"))
}

fn group(name: &str) -> String {
    grant(&format!("<URI>http://acs.amazonaws.com/groups/{name}</URI>"), "READ")
}

fn blocks(off: &[&str]) -> String {
    let names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    let one = |name: &&str| format!("<{name}>{}</{name}>", !off.contains(name));
    xml("PublicAccessBlockConfiguration", &names.iter().map(one).collect::<String>())
}

fn encryption(algorithm: &str, key: &str) -> String {
    let key = if key.is_empty() { String::new() } else { format!("<KMSMasterKeyID>{key}</KMSMasterKeyID>") };
    let default = format!("<SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}");
    let default = format!("<ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>");
    xml("ServerSideEncryptionConfiguration", &format!("<Rule>{default}</Rule>"))
}

fn logging(target: &str, prefix: &str) -> String {
    let to = format!("<TargetBucket>{target}</TargetBucket><TargetPrefix>{prefix}</TargetPrefix>");
    xml("BucketLoggingStatus", &format!("<LoggingEnabled>{to}</LoggingEnabled>"))
}

fn replication(status: &str, destination: &str, deletions: &str) -> String {
    let bucket = "<Bucket>arn:aws:s3:::example-copy</Bucket>";
    let marker = format!("<DeleteMarkerReplication><Status>{deletions}</Status></DeleteMarkerReplication>");
    let destination = format!("<Destination>{bucket}{destination}</Destination>");
    let rule = format!("<Rule><ID>copy</ID><Status>{status}</Status>{marker}{destination}</Rule>");
    xml("ReplicationConfiguration", &format!("<Role>arn:aws:iam::444455556666:role/copy</Role>{rule}"))
}

fn notification(event: &str) -> String {
    let queue = "<Id>a</Id><Queue>arn:aws:sqs:eu-west-1:444455556666:trail-notices</Queue>";
    let queue = format!("<QueueConfiguration>{queue}<Event>{event}</Event></QueueConfiguration>");
    xml("NotificationConfiguration", &queue)
}

fn described(state: &str, manager: &str, account: &str) -> Fact {
    Fact::Value(format!(
        r#"{{"KeyMetadata":{{"AWSAccountId":"{account}","Arn":"{KEY}","KeyState":"{state}","KeyManager":"{manager}","CreationDate":1.7e9}}}}"#
    ))
}

fn key_policy(decrypts: &str) -> Fact {
    let encrypt = format!(
        r#"{{"Sid":"Encrypt","Effect":"Allow","Principal":{{"Service":"cloudtrail.amazonaws.com"}},"Action":"kms:GenerateDataKey*","Resource":"*","Condition":{{"StringEquals":{{"aws:SourceArn":"{TRAIL}"}},"StringLike":{{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}}}}}"#
    );
    let own = |account: &str| {
        format!(
            r#"{{"Sid":"Own","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"kms:*","Resource":"*"}}"#
        )
    };
    Fact::Value(format!(r#"{{"Version":"2012-10-17","Statement":[{},{encrypt}]}}"#, own(decrypts)))
}

impl Ground {
    /// Nothing is weak about it.
    fn new() -> Self {
        let expected = Expected {
            bucket: "example-org-trail".into(),
            prefixes: vec![String::new()],
            org: Some("o-a1b2c3d4e5".parse().unwrap()),
            owner: Some(account("444455556666")),
            accounts: BTreeSet::from([account("111122223333"), account("777788889999")]),
            trails: vec![TRAIL.into()],
            tls: true,
            ..Expected::default()
        };
        let lock = "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>365</Days></DefaultRetention></Rule>";
        let parts = [
            (Part::Policy, recommended(&expected)),
            (Part::PolicyStatus, xml("PolicyStatus", "<IsPublic>false</IsPublic>")),
            (Part::PublicAccessBlock, blocks(&[])),
            (
                Part::Ownership,
                xml("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"),
            ),
            (Part::Acl, acl("")),
            (Part::Versioning, xml("VersioningConfiguration", "<Status>Enabled</Status>")),
            (
                Part::ObjectLock,
                xml("ObjectLockConfiguration", &format!("<ObjectLockEnabled>Enabled</ObjectLockEnabled>{lock}")),
            ),
            (Part::Encryption, encryption("aws:kms", KEY)),
            (Part::Logging, logging("example-access-logs", "org/")),
            (Part::Notification, notification("s3:ObjectCreated:*")),
        ];
        let mut protection = Protection(parts.map(|(part, text)| (part, Fact::Value(text))).into());
        protection.0.insert(Part::Replication, Fact::Absent);
        let key =
            Key { description: described("Enabled", "CUSTOMER", "444455556666"), policy: key_policy("444455556666") };
        Self { expected, protection, key: Some(key), promised: false, announces: true }
    }

    fn set(mut self, part: Part, text: impl Into<String>) -> Self {
        self.protection.0.insert(part, Fact::Value(text.into()));
        self
    }

    fn without(mut self, part: Part) -> Self {
        self.protection.0.insert(part, Fact::Absent);
        self
    }

    fn unread(mut self, part: Part) -> Self {
        self.protection.0.insert(part, Fact::Unread("s3:Get: access denied".into()));
        self
    }

    fn key(mut self, description: Fact, policy: Fact) -> Self {
        self.key = Some(Key { description, policy });
        self
    }

    fn acls_in_use(self) -> Self {
        self.set(
            Part::Ownership,
            xml("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerPreferred</ObjectOwnership></Rule>"),
        )
    }

    /// A policy with one more statement.
    fn also(self, statement: &str) -> Self {
        let text =
            recommended(&self.expected).replacen("\"Statement\": [", &format!("\"Statement\": [{statement},"), 1);
        self.set(Part::Policy, text)
    }

    fn look(&self) -> Look {
        let key = self.key.as_ref().filter(|_| key_of(&self.protection).is_some());
        of_bucket(&Input {
            expected: &self.expected,
            protection: &self.protection,
            key,
            promised: self.promised,
            announces: self.announces,
        })
    }
}

const PUBLIC: &str = r#"{"Sid":"Open","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::example-org-trail/*"}"#;
const ALL_BUT: &str = r#"{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::999988887777:root"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::example-org-trail/*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-z9y8x7w6v5"}}}"#;

/// What it is about, the bucket, its weaknesses as `kind severity finding`, and what could not be read.
type Case = (&'static str, Ground, &'static [&'static str], &'static [&'static str]);

fn cases() -> Vec<Case> {
    [policies(), openings(), settings(), keys(), unreadable()].into_iter().flatten().collect()
}

fn policies() -> Vec<Case> {
    let good = Ground::new;
    let status = |public: &str| xml("PolicyStatus", &format!("<IsPublic>{public}</IsPublic>"));
    vec![
        ("nothing is weak", good(), &[], &[]),
        (
            "no policy",
            good().without(Part::Policy).without(Part::PolicyStatus),
            &["policy_missing high bucket_policy_weak"],
            &[],
        ),
        (
            "a public statement",
            good().also(PUBLIC).set(Part::PolicyStatus, status("true")),
            &["public high bucket_public"],
            &[],
        ),
        (
            "a public statement that S3 does not see",
            good().also(PUBLIC),
            &["policy_status_differs high bucket_public", "public high bucket_public"],
            &[],
        ),
        (
            "S3 sees what nobody else does",
            good().set(Part::PolicyStatus, status("TRUE")),
            &["policy_status_differs high bucket_public"],
            &[],
        ),
        ("all but some: public or not", good().also(ALL_BUT), &["not_principal_allow high bucket_policy_weak"], &[]),
        (
            "all but some, and S3 says public",
            good().also(ALL_BUT).set(Part::PolicyStatus, status("true")),
            &["not_principal_allow high bucket_policy_weak"],
            &[],
        ),
        (
            "what cannot be judged",
            good().set(Part::Policy, "{\"Version\":\"2012-10-17\"}"),
            &["could_not_tell medium posture_unchecked"],
            &[],
        ),
        (
            "what cannot be judged and S3 calls public",
            good().set(Part::Policy, "not json").set(Part::PolicyStatus, status("true")),
            &["could_not_tell medium posture_unchecked", "policy_status_differs high bucket_public"],
            &[],
        ),
        ("a policy of which S3 says nothing", good().without(Part::PolicyStatus), &[], &[]),
    ]
}

fn openings() -> Vec<Case> {
    let good = Ground::new;
    let other = grant(&format!("<ID>{OTHER}</ID>"), "WRITE");
    let nobody = xml(
        "AccessControlPolicy",
        &format!("<AccessControlList>{}</AccessControlList>", grant(&format!("<ID>{OWNER}</ID>"), "READ")),
    );
    vec![
        (
            "no block",
            good().without(Part::PublicAccessBlock),
            &["public_access_not_blocked high bucket_unprotected"],
            &[],
        ),
        (
            "three of four",
            good().set(Part::PublicAccessBlock, blocks(&["IgnorePublicAcls"])),
            &["public_access_not_blocked high bucket_unprotected"],
            &[],
        ),
        (
            "a setting that says neither yes nor no",
            good().set(
                Part::PublicAccessBlock,
                blocks(&[]).replace("<BlockPublicPolicy>true", "<BlockPublicPolicy>perhaps"),
            ),
            &["public_access_not_blocked high bucket_unprotected"],
            &[],
        ),
        ("ACLs in use", good().acls_in_use(), &["acls_in_use medium bucket_unprotected"], &[]),
        ("no ownership controls", good().without(Part::Ownership), &["acls_in_use medium bucket_unprotected"], &[]),
        (
            "a grant to everybody",
            good().acls_in_use().set(Part::Acl, acl(&group("global/AllUsers"))),
            &["acl_for_everybody critical bucket_public", "acls_in_use medium bucket_unprotected"],
            &[],
        ),
        (
            "a grant to everybody of any account, with ACLs off",
            good().set(Part::Acl, acl(&group("global/AuthenticatedUsers"))),
            &["acl_for_everybody low bucket_public"],
            &[],
        ),
        (
            "grants to the log delivery group and a stranger",
            good().acls_in_use().set(Part::Acl, acl(&(group("s3/LogDelivery") + &other))),
            &[
                "acl_for_others high bucket_unprotected",
                "acl_for_others high bucket_unprotected",
                "acls_in_use medium bucket_unprotected",
            ],
            &[],
        ),
        ("an ACL without an owner", good().set(Part::Acl, nobody), &["acl_for_others low bucket_unprotected"], &[]),
        (
            "ACLs of which it is not known whether they work",
            good().unread(Part::Ownership).set(Part::Acl, acl(&other)),
            &["acl_for_others high bucket_unprotected"],
            &["ownership"],
        ),
        (
            "a copy in an account of ours",
            good().set(Part::Replication, replication("Enabled", "<Account>777788889999</Account>", "Disabled")),
            &[],
            &[],
        ),
        (
            "a copy in another's account",
            good().set(Part::Replication, replication("Enabled", "<Account>999988887777</Account>", "Disabled")),
            &["replication_foreign high bucket_unprotected"],
            &[],
        ),
        (
            "a rule that is off",
            good().set(Part::Replication, replication("Disabled", "<Account>999988887777</Account>", "Enabled")),
            &[],
            &[],
        ),
        (
            "a copy in whosesoever account, deletions too",
            good().set(Part::Replication, replication("Enabled", "", "Enabled")),
            &["replication_of_deletions low bucket_unprotected", "replication_unknown medium bucket_unprotected"],
            &[],
        ),
    ]
}

fn keys() -> Vec<Case> {
    let good = Ground::new;
    let own = || key_policy("444455556666");
    let theirs = "arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let of = |state: &str| good().key(described(state, "CUSTOMER", "444455556666"), own());
    let open = Fact::Value(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}"#
            .into(),
    );
    let away = key_policy("777788889999");
    vec![
        (
            "the AWS managed key",
            good().set(Part::Encryption, encryption("aws:kms", "")),
            &["key_managed_by_aws low key_weak"],
            &[],
        ),
        (
            "the AWS managed key by its alias",
            good().set(Part::Encryption, encryption("aws:kms:dsse", "arn:aws:kms:eu-west-1:444455556666:alias/aws/s3")),
            &["key_managed_by_aws low key_weak"],
            &[],
        ),
        (
            "the AWS managed key by its id",
            good().key(described("Enabled", "AWS", "444455556666"), Fact::Unread("no".into())),
            &["key_managed_by_aws low key_weak"],
            &[],
        ),
        ("a key that is disabled", of("Disabled"), &["key_unusable critical key_weak"], &[]),
        ("a key that is to be deleted", of("PendingDeletion"), &["key_unusable critical key_weak"], &[]),
        ("a key in a state that nobody knows", of("Resting"), &["key_unusable critical key_weak"], &[]),
        ("a key that is being changed", of("Updating"), &[], &[]),
        (
            "somebody else's key",
            good()
                .set(Part::Encryption, encryption("aws:kms", theirs))
                .key(Fact::Unread("no".into()), Fact::Unread("no".into())),
            &["key_foreign high key_weak"],
            &["key arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab"; 2],
        ),
        (
            "a key of another account of ours",
            good().key(described("Enabled", "CUSTOMER", "777788889999"), away),
            &[],
            &[],
        ),
        (
            "a key for everybody",
            good().key(described("Enabled", "CUSTOMER", "444455556666"), open),
            &["key_public critical key_weak"],
            &[],
        ),
        (
            "a key's policy that is no policy",
            good().key(described("Enabled", "CUSTOMER", "444455556666"), Fact::Value("{".into())),
            &["could_not_tell medium posture_unchecked"],
            &[],
        ),
    ]
}

const KEY_PART: &str = "key arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn unreadable() -> Vec<Case> {
    let good = Ground::new;
    let enabled = || described("Enabled", "CUSTOMER", "444455556666");
    vec![
        ("the policy", good().unread(Part::Policy), &[], &["policy"]),
        ("S3's verdict", good().unread(Part::PolicyStatus), &[], &["policy status"]),
        (
            "a verdict that is none",
            good().set(Part::PolicyStatus, xml("PolicyStatus", "<IsPublic>maybe</IsPublic>")),
            &[],
            &["policy status"],
        ),
        ("the block", good().unread(Part::PublicAccessBlock), &[], &["public access block"]),
        ("the ACL", good().unread(Part::Acl), &[], &["acl"]),
        ("no ACL at all", good().without(Part::Acl), &[], &["acl"]),
        ("the ownership", good().unread(Part::Ownership), &[], &["ownership"]),
        ("versioning", good().unread(Part::Versioning), &[], &["versioning"]),
        ("the lock", good().unread(Part::ObjectLock), &[], &["object lock"]),
        (
            "a lock that says nothing",
            good().set(
                Part::ObjectLock,
                xml(
                    "ObjectLockConfiguration",
                    "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention/></Rule>",
                ),
            ),
            &[],
            &["object lock"],
        ),
        ("the encryption", good().unread(Part::Encryption), &[], &["encryption"]),
        ("the logging", good().unread(Part::Logging), &[], &["logging"]),
        ("the replication", good().unread(Part::Replication), &[], &["replication"]),
        ("the notifications", good().unread(Part::Notification), &[], &["notification"]),
        ("another document", good().set(Part::Versioning, xml("Error", "<Code>Busy</Code>")), &[], &["versioning"]),
        ("no document", good().set(Part::Logging, "{}"), &[], &["logging"]),
        (
            "the key's state",
            good().key(Fact::Unread("kms:DescribeKey: no".into()), key_policy("444455556666")),
            &[],
            &[KEY_PART],
        ),
        ("a key that is not there", good().key(Fact::Absent, Fact::Absent), &[], &[KEY_PART; 2]),
        (
            "a description that is none",
            good().key(Fact::Value("{}".into()), key_policy("444455556666")),
            &[],
            &[KEY_PART],
        ),
        ("the key's policy", good().key(enabled(), Fact::Unread("kms:GetKeyPolicy: no".into())), &[], &[KEY_PART]),
        ("a key that nobody asked for", Ground { key: None, ..good() }, &[], &[KEY_PART]),
    ]
}

#[test]
fn every_bucket_has_the_weaknesses_that_its_case_says() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, ground, wanted, unread) in cases() {
        let look = ground.look();
        let mut found: Vec<String> =
            look.weaknesses.iter().map(|one| format!("{} {} {}", one.kind, one.severity, one.told_as)).collect();
        found.sort();
        let unseen: Vec<&str> = look.unread.iter().map(|one| one.of.as_str()).collect();
        if found != wanted || unseen != unread {
            wrong.push(format!("{name}: found {found:?}, unread {unseen:?}"));
        }
        seen.extend(look.weaknesses.iter().map(|one| one.kind));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let unseen: Vec<_> = Kind::ALL.iter().filter(|kind| !is_of_trails(**kind) && !seen.contains(kind.name())).collect();
    assert!(unseen.is_empty(), "no case has {unseen:?}");
}

#[test]
fn a_part_that_nobody_asked_for_is_not_known() {
    let ground = Ground { protection: Protection::default(), ..Ground::new() };
    let look = ground.look();
    assert_eq!(look.weaknesses, []);
    assert_eq!(look.unread.len(), 10, "{:?}", look.unread);
}

#[test]
fn a_weakness_can_be_told_pasted_and_accepted() {
    for (name, ground, ..) in cases() {
        for weakness in ground.look().weaknesses {
            let Weakness { risk, advice, .. } = &weakness;
            assert!((30..=600).contains(&risk.len()) && !risk.ends_with('.'), "{name}: {risk}");
            assert!(!advice.ends_with('.') && !advice.ends_with(':'), "{name}: {advice}");
            let detail = weakness.detail();
            assert!(detail.contains(risk.as_str()) && detail.contains(advice.as_str()), "{detail}");
            assert!(detail.chars().all(|c| !c.is_control()), "{name}: {detail}");
            assert!(is_known(&weakness.id) && is_known(weakness.kind), "{}", weakness.id);
            let finding = Finding::new(weakness.told_as, format!("b/{}/{}", weakness.of, weakness.id), detail);
            let url = finding.held(jiff::Timestamp::UNIX_EPOCH).url;
            let of_weakness = !matches!(
                weakness.told_as,
                finding::Kind::PostureUnchecked | finding::Kind::LockMissing | finding::Kind::RetentionDrift
            );
            assert_eq!(url.ends_with(&format!("/posture.md#{}", weakness.kind)), of_weakness, "{url}");
        }
    }
    for (text, known) in
        [("public", true), ("public:0123456789ab", true), ("public:", false), ("publi", false), ("public:xyz", false)]
    {
        assert_eq!(is_known(text), known, "{text}");
    }
}

#[test]
fn what_is_accepted_is_accepted_as_it_was_found() {
    let audit = |ground: &Ground, accepted: &str| {
        let mut audit = Audit::new("org", "example-org-trail", jiff::Timestamp::UNIX_EPOCH);
        audit.add(ground.look());
        audit.accept(&[Acceptance { weakness: accepted.into(), reason: "known".into() }]);
        audit
    };
    let ground = Ground::new().set(Part::Replication, replication("Enabled", "", "Enabled"));
    let worst = audit(&ground, "public").weaknesses[0].clone();
    assert_eq!((worst.kind, worst.accepted), ("replication_unknown", None));
    let by_id = audit(&ground, &worst.id);
    assert_eq!(by_id.open().map(|one| one.kind).collect::<Vec<_>>(), ["replication_of_deletions"]);
    assert_eq!((by_id.summary().accepted, by_id.summary().open.get("low")), (1, Some(&1)));
    // Another destination is another weakness; the kind as a whole was not accepted.
    let changed = replication("Enabled", "", "Enabled").replace("example-copy", "example-elsewhere");
    let changed = Ground::new().set(Part::Replication, changed);
    assert_eq!(audit(&changed, &worst.id).open().count(), 2);
    assert_eq!(audit(&changed, "replication_unknown").open().count(), 1);
}

#[test]
fn what_is_declared_is_no_weakness() {
    let reader = r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999988887777:role/siem"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::example-org-trail/*"}"#;
    let mut ground = Ground::new().also(reader);
    let kinds = |ground: &Ground| ground.look().weaknesses.iter().map(|one| one.kind).collect::<Vec<_>>();
    ground.expected.readers = vec![Principal::parse("arn:aws:iam::444455556666:role/audit").unwrap()];
    assert_eq!(kinds(&ground), [policy::Kind::ReadByOthers.name()]);
    ground.expected.readers.push(Principal::parse("arn:aws:iam::999988887777:role/siem").unwrap());
    assert_eq!(kinds(&ground), [""; 0]);
}

/// Why, evidence and what to do, for whoever comes from a finding: the link of each leads there.
#[test]
fn every_kind_of_weakness_has_a_section_where_its_links_lead() {
    let page = |name: &str| std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (posture, findings) = (page("posture.md"), page("findings.md"));
    let anchors = |text: &str| -> BTreeSet<String> {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| line.trim_start_matches('#').trim().to_owned()).collect()
    };
    let of_page = [("posture.md", anchors(&posture)), ("findings.md", anchors(&findings))];
    let of_policies = policy::Kind::ALL.iter().map(|kind| (kind.name(), kind.why()));
    let all: Vec<_> = of_policies.chain(Kind::ALL.iter().map(|kind| (kind.name(), kind.why()))).collect();
    let told = [
        finding::Kind::TrailStopped,
        finding::Kind::TrailWeak,
        finding::Kind::DeliveryPathBroken,
        finding::Kind::BucketPublic,
        finding::Kind::BucketPolicyWeak,
        finding::Kind::BucketUnprotected,
        finding::Kind::KeyWeak,
        finding::Kind::LockMissing,
        finding::Kind::RetentionDrift,
        finding::Kind::PostureUnchecked,
    ];
    for (kind, why) in &all {
        let section = posture.split(&format!("\n### {kind}\n")).nth(1).unwrap_or_else(|| panic!("no section {kind}"));
        let section = section.split("\n### ").next().unwrap();
        for part in [why, "**For example:** ", "**What to do:** "] {
            assert!(section.contains(part), "{kind} lacks {part}");
        }
        for told in told {
            let finding = Finding::new(told, format!("bucket/policy/{kind}:0123456789ab"), "weak");
            let url = finding.held(jiff::Timestamp::UNIX_EPOCH).url;
            let (file, anchor) = url.rsplit('/').next().unwrap().split_once('#').unwrap();
            let (_, known) = of_page.iter().find(|(name, _)| *name == file).unwrap();
            assert!(known.contains(anchor), "{url} leads nowhere");
        }
    }
    let names: BTreeSet<_> = all.iter().map(|(kind, _)| kind).collect();
    assert_eq!(names.len(), all.len(), "two kinds of one name have one section");
}

/// The table and the sections of docs/posture.md about settings.
pub fn documentation() -> String {
    let found: Vec<Weakness> = cases().into_iter().flat_map(|(_, ground, ..)| ground.look().weaknesses).collect();
    let mut table = "| weakness | severity | in short |\n| --- | --- | --- |\n".to_owned();
    let mut sections = String::new();
    for kind in Kind::ALL.iter().filter(|kind| !is_of_trails(**kind)) {
        let (severity, title) = (kind.severity(), kind.title());
        table.push_str(&format!("| [`{kind}`](#{kind}) | {severity} | {title} |\n"));
        sections.push_str(&format!("\n### {kind}\n\n*{severity}*: {title}. {}\n", kind.why()));
        let weakness = found.iter().find(|one| one.kind == kind.name()).unwrap();
        let Weakness { risk, advice, .. } = weakness;
        if let Some(text) = &weakness.found {
            sections.push_str(&format!("\n**For example:** {risk}. Found:\n\n```text\n{}\n```\n", text.trim()));
        } else {
            sections.push_str(&format!("\n**For example:** {risk}.\n"));
        }
        sections.push_str(&format!("\n**What to do:** {advice}.\n"));
        if let Some(paste) = &weakness.paste {
            sections.push_str(&format!("\n```text\n{}\n```\n", paste.trim()));
        }
    }
    table + &sections
}
