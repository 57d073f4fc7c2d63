//! What protects a bucket, audited: on a directory where somebody else changes things, and on an emulator as a process.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::types::CreateBucketConfiguration;
use serde_json::{Value, json};
use trailwarden::config::Config;
use trailwarden::core::finding::{Held, Severity};
use trailwarden::core::policy::{Expected, recommended};
use trailwarden::core::posture::Audit;
use trailwarden::core::protection::{Fact, Key, Part};
use trailwarden::daemon;
use trailwarden::env::Env;
use trailwarden::local::vault::LocalVault;
use trailwarden::posture::{Posture, last};
use trailwarden::store::{Store, findings};
use trailwarden::wiring::{self, Works};

use crate::common::emulator::{Emulator, REGION, env_of};
use crate::common::warden::{run_with, stderr, stdout};

const OWNER: &str = "444455556666";
const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org";
const KEY: &str = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const PARTNER: &str = r#"{"Sid":"Partner","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999988887777:root"},"Action":"s3:DeleteObject","Resource":"arn:aws:s3:::yard/*"}"#;

fn expected(bucket: &str) -> Expected {
    Expected {
        bucket: bucket.into(),
        prefixes: vec![String::new()],
        org: Some("o-a1b2c3d4e5".parse().unwrap()),
        trails: vec![TRAIL.into()],
        ..Expected::default()
    }
}

/// A directory whose vault says that all is well.
struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    async fn new(more: &str) -> Self {
        let yard = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["spool", "keys", "bucket"] {
            std::fs::create_dir_all(yard.dir.path().join(folder)).unwrap();
        }
        std::fs::write(yard.dir.path().join("members.toml"), "[[account]]\nid = \"111122223333\"\n").unwrap();
        yard.configure(more);
        let vault = yard.vault();
        for (part, text) in parts("yard") {
            vault.alter(part, Some(&text)).await.unwrap();
        }
        vault.set_key(KEY, key("Enabled")).await.unwrap();
        yard
    }

    fn configure(&self, more: &str) {
        let root = self.dir.path().display();
        let text = format!(
            "[organization]\nid = \"o-a1b2c3d4e5\"\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nowner = \"{OWNER}\"\n\
             bucket = \"file://{root}/bucket\"\nbucket_name = \"yard\"\nqueue = \"file://{root}/spool\"\nkeys = \"keys\"\n\
             layout = [\"AWSLogs/{{org}}/{{account}}/\"]\nvalidation = \"none\"\n[state]\npath = \"state.db\"\n\
             [http]\nlisten = \"off\"\n[channel.journal]\nkind = \"stdout\"\n[[route]]\nto = [\"journal\"]\n\
             [posture]\ntrails = [\"{TRAIL}\"]\n{more}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("trailwarden.toml")
    }

    fn vault(&self) -> LocalVault {
        LocalVault::open(&self.dir.path().join("bucket"), Env::system()).unwrap()
    }

    async fn posture(&self) -> Posture {
        let config = Config::load(&self.config()).unwrap();
        let works = Works::open(&config, &Env::system()).await.unwrap();
        works.deliveries.roster.refresh().await.unwrap();
        wiring::posture(&config, &config.trails[0], &works).await.unwrap()
    }
}

fn xml(root: &str, inner: &str) -> String {
    format!("<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</{root}>")
}

fn parts(bucket: &str) -> Vec<(Part, String)> {
    let blocks = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    let blocks: String = blocks.iter().map(|name| format!("<{name}>true</{name}>")).collect();
    let lock = "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>9</Days></DefaultRetention></Rule>";
    let default = format!("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{KEY}</KMSMasterKeyID>");
    let default =
        format!("<Rule><ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault></Rule>");
    vec![
        (Part::Policy, recommended(&expected(bucket))),
        (Part::PolicyStatus, xml("PolicyStatus", "<IsPublic>false</IsPublic>")),
        (Part::PublicAccessBlock, xml("PublicAccessBlockConfiguration", &blocks)),
        (
            Part::Ownership,
            xml("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"),
        ),
        (Part::Acl, xml("AccessControlPolicy", "<Owner><ID>a</ID></Owner><AccessControlList/>")),
        (Part::Versioning, xml("VersioningConfiguration", "<Status>Enabled</Status>")),
        (Part::ObjectLock, xml("ObjectLockConfiguration", lock)),
        (Part::Encryption, xml("ServerSideEncryptionConfiguration", &default)),
        (Part::Logging, xml("BucketLoggingStatus", "<LoggingEnabled><TargetBucket>b</TargetBucket></LoggingEnabled>")),
    ]
}

fn key(state: &str) -> Key {
    let account = |account: &str| format!("arn:aws:iam::{account}:root");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": account(OWNER) }, "Action": "kms:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "Service": "cloudtrail.amazonaws.com" }, "Action": "kms:GenerateDataKey*", "Resource": "*",
          "Condition": { "StringEquals": { "aws:SourceArn": TRAIL },
                         "StringLike": { "kms:EncryptionContext:aws:cloudtrail:arn": "arn:aws:cloudtrail:*:111122223333:trail/*" } } }] });
    let description = json!({ "KeyMetadata": { "AWSAccountId": OWNER, "KeyState": state, "KeyManager": "CUSTOMER" } });
    Key { description: Fact::Value(description.to_string()), policy: Fact::Value(policy.to_string()) }
}

async fn open(store: &Store) -> Vec<Held> {
    let mut all = store.read(|conn| findings::list(conn, false)).await.unwrap();
    all.sort_by_key(|held| (std::cmp::Reverse(held.severity), held.kind.name()));
    all
}

fn kinds(audit: &Audit) -> Vec<&str> {
    audit.open().map(|weakness| weakness.kind).collect()
}

/// The policy with a statement of somebody else in it.
fn tampered() -> String {
    recommended(&expected("yard")).replacen("\"Statement\": [", &format!("\"Statement\": [{PARTNER},"), 1)
}

#[tokio::test]
async fn what_somebody_else_changes_is_told_with_its_correction_and_ends_when_it_is_mended() {
    let yard = Yard::new("").await;
    let (posture, vault) = (yard.posture().await, yard.vault());
    let audit = posture.audit().await.unwrap();
    assert_eq!((kinds(&audit), audit.unread.len()), (vec![], 0), "{audit:?}");
    assert!(open(&posture.store).await.is_empty());

    vault.alter(Part::Policy, Some(&tampered())).await.unwrap();
    vault.alter(Part::PublicAccessBlock, None).await.unwrap();
    vault.set_key(KEY, key("PendingDeletion")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            kinds(&posture.audit().await.unwrap()),
            ["delete_by_others", "key_unusable", "public_access_not_blocked"]
        );
        let told = open(&posture.store).await;
        let shown: Vec<_> = told.iter().map(|held| (held.kind.name(), held.severity, held.count)).collect();
        assert_eq!(
            shown,
            [
                ("bucket_policy_weak", Severity::Critical, 1),
                ("key_weak", Severity::Critical, 1),
                ("bucket_unprotected", Severity::High, 1)
            ]
        );
        let policy = &told[0];
        for words in [
            PARTNER,
            "account 999988887777 (none of ours) may delete evidence",
            "What to do: remove statement `Partner`",
        ] {
            assert!(policy.detail.contains(words), "{words}: {}", policy.detail);
        }
        assert!(policy.url.ends_with("/posture.md#delete_by_others"), "{}", policy.url);
        assert!(told[1].detail.contains(&format!("aws kms cancel-key-deletion --key-id {KEY}")), "{}", told[1].detail);
        assert!(told[2].detail.contains("aws s3api put-public-access-block --bucket yard"), "{}", told[2].detail);
    }
    let summary = posture.store.read(|conn| last(conn, "org")).await.unwrap().unwrap();
    assert_eq!((summary.open["critical"], summary.open["high"], summary.accepted, summary.unread), (2, 1, 0, 0));

    // While it cannot be read, nobody knows whether it is well again; what can be read is.
    vault.alter(Part::PublicAccessBlock, Some("?")).await.unwrap();
    vault.set_key(KEY, key("Enabled")).await.unwrap();
    posture.audit().await.unwrap();
    let names = |told: &[Held]| told.iter().map(|held| held.kind.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&open(&posture.store).await), ["bucket_policy_weak", "bucket_unprotected", "posture_unchecked"]);

    for (part, text) in parts("yard") {
        vault.alter(part, Some(&text)).await.unwrap();
    }
    assert_eq!(kinds(&posture.audit().await.unwrap()), [""; 0]);
    assert_eq!(names(&open(&posture.store).await), [""; 0], "what is mended is resolved");
    // And told anew when it comes back.
    vault.alter(Part::Policy, Some(&tampered())).await.unwrap();
    posture.audit().await.unwrap();
    assert_eq!(open(&posture.store).await[0].count, 2);
}

#[tokio::test]
async fn a_policy_that_nobody_can_read_ends_nothing() {
    let yard = Yard::new("").await;
    let (posture, vault) = (yard.posture().await, yard.vault());
    vault.alter(Part::Policy, Some(&tampered())).await.unwrap();
    posture.audit().await.unwrap();
    vault.alter(Part::Policy, Some("{")).await.unwrap();
    for _ in 0..2 {
        posture.audit().await.unwrap();
        let told = open(&posture.store).await;
        let names: Vec<&str> = told.iter().map(|held| held.kind.name()).collect();
        assert_eq!(names, ["bucket_policy_weak", "posture_unchecked"]);
    }
    vault.alter(Part::Policy, Some(&recommended(&expected("yard")))).await.unwrap();
    posture.audit().await.unwrap();
    assert!(open(&posture.store).await.is_empty());
}

#[tokio::test]
async fn what_is_accepted_is_shown_and_not_told() {
    let yard = Yard::new("").await;
    yard.vault().alter(Part::Policy, Some(&tampered())).await.unwrap();
    let posture = yard.posture().await;
    let id = posture.audit().await.unwrap().weaknesses[0].id.clone();
    assert_eq!(open(&posture.store).await.len(), 1);
    drop(posture);

    yard.configure(&format!("[[posture.accept]]\nweakness = \"{id}\"\nreason = \"the partner tidies up, case 12\""));
    let posture = yard.posture().await;
    let audit = posture.audit().await.unwrap();
    assert_eq!((kinds(&audit), audit.weaknesses.len()), (vec![], 1));
    assert_eq!(open(&posture.store).await.len(), 0, "what was told before is over");
    drop(posture);
    let config = yard.config();
    let args = ["posture", "--config", config.to_str().unwrap()];
    let shown = run_with(&[], &args);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(text.contains(&format!("accepted: {id} of policy: the partner tidies up")), "{text}");
    assert!(text.starts_with("yard (org): 0 open, 1 accepted, 0 could not be checked\n"), "{text}");
    let status = run_with(&[], &["status", "--config", config.to_str().unwrap()]);
    let status = stdout(&status);
    assert!(status.contains(": nothing weak; 1 accepted, 0 not checked"), "{status}");

    // The same statement with one word more was never accepted.
    let more = tampered().replace("\"s3:DeleteObject\"", "[\"s3:DeleteObject\",\"s3:PutObject\"]");
    yard.vault().alter(Part::Policy, Some(&more)).await.unwrap();
    let shown = run_with(&[], &[&args[..], &["--json"]].concat());
    assert_eq!(shown.status.code(), Some(4));
    let told: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    let kinds: Vec<&str> =
        told["audits"][0]["weaknesses"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["delete_by_others", "put_by_others"]);
    let shown = run_with(&[], &["posture", "--trail", "nobody", "--config", config.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(2));
}

#[tokio::test]
async fn what_retention_tells_is_not_told_twice() {
    let yard = Yard::new("[retention]\nkeep = \"30d\"").await;
    yard.vault().alter(Part::Versioning, None).await.unwrap();
    yard.vault().alter(Part::ObjectLock, None).await.unwrap();
    let posture = yard.posture().await;
    assert_eq!(kinds(&posture.audit().await.unwrap()), ["versioning_off", "object_lock_off"]);
    assert_eq!(open(&posture.store).await.len(), 0);
}

/// Nobody is called foreign before it is known who is not.
#[tokio::test]
async fn an_audit_waits_for_the_members() {
    let yard = Yard::new("").await;
    let config = Config::load(&yard.config()).unwrap();
    let works = Works::open(&config, &Env::system()).await.unwrap();
    let posture = wiring::posture(&config, &config.trails[0], &works).await.unwrap();
    let error = posture.audit().await.unwrap_err();
    assert!(error.is_transient() && error.text.contains("member"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_daemon_audits_on_its_schedule_and_at_once_when_it_is_asked() {
    let yard = Yard::new("every = \"1d\"").await;
    let config = Config::load(&yard.config()).unwrap();
    let works = Works::open(&config, &Env::system()).await.unwrap();
    let (store, trail) = (works.store.clone(), works.trails[0].clone());
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let config_path = yard.config();
    let daemon = tokio::spawn(async move { daemon::watch(config, &config_path, works, told).await });
    let audited = || async { store.read(|conn| last(conn, "org")).await.unwrap() };
    let wait = |seconds: u64| tokio::time::sleep(Duration::from_secs(seconds));
    let mut first = None;
    for _ in 0..200 {
        wait(3).await;
        first = audited().await;
        if first.is_some() {
            break;
        }
    }
    assert!(first.unwrap().open.is_empty());
    yard.vault().alter(Part::Policy, Some(&tampered())).await.unwrap();
    for _ in 0..20 {
        wait(60).await;
    }
    assert!(audited().await.unwrap().open.is_empty(), "it is not due before tomorrow");
    trail.audit.notify_one();
    for _ in 0..200 {
        wait(3).await;
        if !audited().await.unwrap().open.is_empty() {
            break;
        }
    }
    assert_eq!(audited().await.unwrap().open["critical"], 1);
    assert!(open(&store).await.iter().any(|held| held.kind.name() == "bucket_policy_weak"));
    tell.send(daemon::Told::Stop).await.unwrap();
    daemon.await.unwrap().unwrap();
}

/// Of S3 and KMS as an emulator has them; what it answers wrongly could not be checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_on_s3_is_audited_as_a_process() {
    let Some(emulator) = Emulator::shared() else { return };
    let (s3, bucket) = (emulator.s3().await, "posture-audit");
    let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
    s3.create_bucket().bucket(bucket).create_bucket_configuration(place).send().await.unwrap();
    let kms = aws_sdk_kms::Client::new(&emulator.sdk().await);
    let made = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let arn = made.arn.unwrap();
    let open = r#"{"Version":"2012-10-17","Statement":[{"Sid":"All","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}"#;
    kms.put_key_policy().key_id(&made.key_id).policy(open).send().await.unwrap();
    kms.disable_key().key_id(&made.key_id).send().await.unwrap();
    let default = aws_sdk_s3::types::ServerSideEncryptionByDefault::builder()
        .sse_algorithm(aws_sdk_s3::types::ServerSideEncryption::AwsKms)
        .kms_master_key_id(&arn)
        .build()
        .unwrap();
    let rule = aws_sdk_s3::types::ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default);
    let rules = aws_sdk_s3::types::ServerSideEncryptionConfiguration::builder().rules(rule.build()).build().unwrap();
    s3.put_bucket_encryption().bucket(bucket).server_side_encryption_configuration(rules).send().await.unwrap();
    let policy = tampered().replace(":::yard", &format!(":::{bucket}"));
    s3.put_bucket_policy().bucket(bucket).policy(&policy).send().await.unwrap();

    let yard = Yard::new("").await;
    let text = std::fs::read_to_string(yard.config()).unwrap();
    let local = format!("file://{}/bucket", yard.dir.path().display());
    let text = text.replace(&local, bucket).replace("bucket_name = \"yard\"\n", &format!("region = \"{REGION}\"\n"));
    std::fs::write(yard.config(), text).unwrap();
    let config = yard.config();
    let args = ["posture", "--json", "--config", config.to_str().unwrap()];
    let shown = run_with(&env_of(&emulator.endpoint), &args);
    assert_eq!(shown.status.code(), Some(4), "{}{}", stdout(&shown), stderr(&shown));
    let told: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    let of = |list: &str, name: &str| -> Vec<String> {
        let all = told["audits"][0][list].as_array().unwrap();
        all.iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
    };
    let found = of("weaknesses", "kind");
    for kind in [
        "delete_by_others",
        "key_public",
        "key_unusable",
        "public_access_not_blocked",
        "versioning_off",
        "object_lock_off",
    ] {
        assert!(found.iter().any(|one| one == kind), "{kind} is not among {found:?}");
    }
    let unread = of("unread", "of");
    assert_eq!(unread, ["policy status"], "{told}");
    assert!(of("unread", "why")[0].contains("s3:GetBucketPolicyStatus"), "{told}");
    let statement =
        told["audits"][0]["weaknesses"].as_array().unwrap().iter().find(|one| one["kind"] == "delete_by_others");
    assert_eq!(statement.unwrap()["found"], PARTNER.replace(":::yard", &format!(":::{bucket}")));
}

/// What is of no account is told by one warden of several; another one looks, and ends what it told while it was alone.
#[tokio::test]
async fn of_several_wardens_the_first_tells_of_the_bucket() {
    let yard = Yard::new("").await;
    yard.vault().alter(Part::PublicAccessBlock, None).await.unwrap();
    let told = |told: Vec<Held>| told.iter().map(|held| held.kind.name()).collect::<Vec<_>>();
    for (shard, wanted) in [
        ("", vec!["bucket_unprotected"]),
        ("[shard]\nindex = 0\ncount = 2", vec!["bucket_unprotected"]),
        ("[shard]\nindex = 1\ncount = 2", vec![]),
    ] {
        yard.configure(shard);
        let posture = yard.posture().await;
        assert_eq!(kinds(&posture.audit().await.unwrap()), ["public_access_not_blocked"], "{shard}: it looks");
        assert_eq!(told(open(&posture.store).await), wanted, "{shard}");
    }
}
