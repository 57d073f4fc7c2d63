//! What protects a bucket: the local one, and S3's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::types::CreateBucketConfiguration;
use jiff::{SignedDuration, Timestamp};
use trailwarden::aws::{Aws, Options};
use trailwarden::core::lock::lifecycle::{self, Filter};
use trailwarden::core::lock::{Action, Mode, Retention, Term, default_of, versioning_of};
use trailwarden::core::protection::{Fact, Key, Part};
use trailwarden::env::Env;
use trailwarden::local::dir::Dir;
use trailwarden::local::vault::LocalVault;
use trailwarden::seam::{Bucket as _, Metadata, Vault};

use crate::common::emulator::{Emulator, REGION, loader};
use crate::common::stub::{Answer, Stub};

/// Whoever writes objects and tries to remove them, by another way than the one under test.
#[async_trait]
trait Hand: Send + Sync {
    async fn put(&self, key: &str);
    /// Whether the object's version could be removed.
    async fn removes(&self, key: &str, version: Option<&str>) -> bool;
}

const GOVERNANCE: Mode = Mode::Governance;
const COMPLIANCE: Mode = Mode::Compliance;

fn set(mode: Mode, days: u32) -> Action {
    Action::SetDefault { term: Term { mode, days } }
}

async fn default_is(vault: &dyn Vault, term: Option<Term>) {
    let found = vault.describe(&[Part::ObjectLock]).await;
    assert_eq!(default_of(&found).unwrap(), term);
}

async fn vault_contract(vault: &dyn Vault, hand: &dyn Hand) {
    let all = vault.describe(&Part::ALL).await;
    assert_eq!(all.0.keys().copied().collect::<Vec<_>>(), Part::ALL, "every part is told of");
    assert_eq!(vault.describe(&Part::RETENTION).await, vault.describe(&Part::RETENTION).await);
    assert_eq!(vault.describe(&[Part::Acl]).await.0.len(), 1);
    assert_eq!(all.of(Part::Lifecycle), Fact::Absent);

    for _ in 0..2 {
        vault.apply(&Action::EnableVersioning).await.unwrap();
        assert_eq!(versioning_of(&vault.describe(&[Part::Versioning]).await), Ok((true, false)));
    }
    let nobodys = vault.key("arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000").await;
    assert_eq!((nobodys.description, nobodys.policy), (Fact::Absent, Fact::Absent));
    defaults(vault).await;
    objects(vault, hand).await;
    holds(vault, hand).await;
    listing(vault, hand).await;
    rules(vault).await;
}

async fn defaults(vault: &dyn Vault) {
    default_is(vault, None).await;
    for (mode, days) in [(GOVERNANCE, 30), (GOVERNANCE, 30), (GOVERNANCE, 60), (COMPLIANCE, 60), (COMPLIANCE, 60)] {
        vault.apply(&set(mode, days)).await.unwrap();
        default_is(vault, Some(Term { mode, days })).await;
    }
    for (mode, days) in [(COMPLIANCE, 59), (GOVERNANCE, 60), (GOVERNANCE, 61)] {
        let refused = vault.apply(&set(mode, days)).await.unwrap_err();
        assert!(!refused.is_transient() && refused.text.contains("never weakened"), "{refused}");
        default_is(vault, Some(Term { mode: COMPLIANCE, days: 60 })).await;
    }
}

async fn objects(vault: &dyn Vault, hand: &dyn Hand) {
    assert_eq!(vault.lock("no/such/key", None).await.unwrap(), None);
    hand.put("a/locked").await;
    let locked = vault.lock("a/locked", None).await.unwrap().unwrap();
    let version = locked.version.as_deref();
    let given = locked.retention.unwrap();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    // A second more or less: the default counts from the moment of creation, which is told in whole seconds.
    let off = given.until.duration_since(locked.created + days(60)).as_secs().abs();
    assert!(given.mode == COMPLIANCE && off <= 2, "{locked:?}");
    assert!(!locked.held);
    assert!(!hand.removes("a/locked", version).await);

    let longer = Retention { mode: COMPLIANCE, until: given.until + days(1) };
    for from in [Some(given), Some(longer)] {
        vault.retain("a/locked", version, from, longer).await.unwrap();
        assert_eq!(vault.lock("a/locked", version).await.unwrap().unwrap().retention, Some(longer));
    }
    for worse in [given, Retention { mode: GOVERNANCE, ..longer }] {
        // We refuse; and if we did not know, the far side would.
        for from in [Some(longer), None] {
            assert!(vault.retain("a/locked", version, from, worse).await.is_err(), "{worse:?} {from:?}");
            assert_eq!(vault.lock("a/locked", version).await.unwrap().unwrap().retention, Some(longer));
        }
    }
    assert!(vault.retain("no/such/key", None, None, longer).await.is_err());
    assert!(!hand.removes("a/locked", version).await);
}

async fn holds(vault: &dyn Vault, hand: &dyn Hand) {
    hand.put("b/held").await;
    let version = vault.lock("b/held", None).await.unwrap().unwrap().version;
    let version = version.as_deref();
    for on in [true, true, false, false, true] {
        vault.hold("b/held", version, on).await.unwrap();
        assert_eq!(vault.lock("b/held", version).await.unwrap().unwrap().held, on);
    }
    assert!(!hand.removes("b/held", version).await);
    vault.hold("b/held", version, false).await.unwrap();
    assert!(vault.hold("no/such/key", None, true).await.is_err());
}

async fn listing(vault: &dyn Vault, hand: &dyn Hand) {
    let mut wanted: Vec<String> = (0..25).map(|number| format!("c d/ü+{number:02}")).collect();
    for key in &wanted {
        hand.put(key).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (versions, next) = vault.versions("c d/", after.as_ref()).await.unwrap();
        found.extend(versions.into_iter().map(|version| version.key));
        after = next;
        if after.is_none() {
            break;
        }
    }
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(vault.versions("none/", None).await.unwrap(), (Vec::new(), None));
}

async fn rules(vault: &dyn Vault) {
    let foreign = lifecycle::Rule {
        raw: "<Rule><ID>theirs &amp; ours</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status>\
              <Expiration><Days>3</Days></Expiration></Rule>"
            .into(),
        ..lifecycle::Rule::default()
    };
    let document = lifecycle::write([&foreign]);
    let put = Action::SetLifecycle { document: Some(document.clone()), minimum: None, made_from: None };
    for _ in 0..2 {
        vault.apply(&put).await.unwrap();
        let found = vault.describe(&[Part::Lifecycle]).await;
        let read = lifecycle::read(found.value(Part::Lifecycle).unwrap()).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].id, "theirs & ours");
        assert_eq!(read[0].filter, Filter { prefix: "tmp/".into(), ..Filter::default() });
        assert_eq!(
            read[0].raw.split_whitespace().collect::<String>(),
            foreign.raw.split_whitespace().collect::<String>()
        );
    }
    // What was made from other rules than there are now is not put; what is there already is no news.
    let present = vault.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle).unwrap().to_owned();
    let other = document.replace(">3<", ">4<");
    let over = |document: Option<&str>, made_from: Option<&str>| Action::SetLifecycle {
        document: document.map(str::to_owned),
        minimum: None,
        made_from: Some(lifecycle::digest(made_from)),
    };
    for wrong in [over(Some(&other), None), over(Some(&other), Some(&other)), over(None, Some(&other))] {
        let refused = vault.apply(&wrong).await.unwrap_err();
        assert!(!refused.is_transient() && refused.text.contains("somebody else"), "{refused}");
        assert_eq!(vault.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle), Some(&*present));
    }
    for _ in 0..2 {
        vault.apply(&over(Some(&other), Some(&present))).await.unwrap();
        assert!(vault.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle).unwrap().contains(">4<"));
    }
    for _ in 0..2 {
        vault.apply(&Action::SetLifecycle { document: None, minimum: None, made_from: None }).await.unwrap();
        assert_eq!(vault.describe(&[Part::Lifecycle]).await.of(Part::Lifecycle), Fact::Absent);
    }
}

struct Local {
    dir: Dir,
    vault: LocalVault,
}

#[async_trait]
impl Hand for Local {
    async fn put(&self, key: &str) {
        self.dir.put(key, b"x".to_vec(), Metadata::new()).await.unwrap();
    }

    async fn removes(&self, key: &str, _version: Option<&str>) -> bool {
        self.vault.remove(key).await.is_ok() && self.dir.head(key, None).await.unwrap().is_none()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_vaults_contract() {
    let place = tempfile::tempdir().unwrap();
    let open = || LocalVault::open(place.path(), Env::system()).unwrap();
    let hand = Local { dir: Dir::open(place.path()).unwrap(), vault: open() };
    let vault = open();
    let refused = vault.apply(&set(GOVERNANCE, 1)).await.unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("InvalidBucketState"), "Object Lock needs versioning");
    hand.put("before").await;
    vault_contract(&vault, &hand).await;
    assert_eq!(vault.lock("before", None).await.unwrap().unwrap().retention, None, "a default is for what comes");
    assert!(hand.removes("before", None).await);
    let files: BTreeMap<String, u64> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), 0))
        .collect();
    assert!(files.contains_key(".vault.json"), "{files:?}");
    std::fs::write(place.path().join(".vault.json"), "{").unwrap();
    assert!(matches!(vault.describe(&[Part::Lifecycle]).await.of(Part::Lifecycle), Fact::Unread(_)));
}

struct S3 {
    s3: aws_sdk_s3::Client,
    bucket: String,
}

#[async_trait]
impl Hand for S3 {
    async fn put(&self, key: &str) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"x");
        self.s3.put_object().bucket(&self.bucket).key(key).body(body).send().await.unwrap();
    }

    async fn removes(&self, key: &str, version: Option<&str>) -> bool {
        let delete = self.s3.delete_object().bucket(&self.bucket).key(key);
        delete.set_version_id(version.map(Into::into)).send().await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_vaults_contract() {
    let Some(emulator) = Emulator::shared() else { return };
    let s3 = emulator.s3().await;
    let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
    let made = s3.create_bucket().bucket("vault").create_bucket_configuration(place);
    made.object_lock_enabled_for_bucket(true).send().await.unwrap();
    let hand = S3 { s3, bucket: "vault".into() };
    vault_contract(&emulator.aws().await.vault("vault", None), &hand).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_part_by_part() {
    let stub = Stub::start(|asked| match asked.query.split(['=', '&']).next() {
        Some("policy") => Answer::s3_error(403, "AccessDenied", "no"),
        Some("policyStatus") => Answer::new(200, "not xml"),
        Some("acl") => Answer::s3_error(404, "NoSuchBucket", "gone"),
        Some("lifecycle") => Answer::s3_error(404, "NoSuchLifecycleConfiguration", "none"),
        Some("logging") => Answer::new(200, "<BucketLoggingStatus/>"),
        _ => Answer::s3_error(400, "MalformedXML", "what"),
    });
    let vault = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await.vault("b", None);
    let found = vault.describe(&Part::ALL).await;
    assert_eq!(found.0.len(), Part::ALL.len());
    assert_eq!(found.of(Part::Lifecycle), Fact::Absent);
    assert_eq!(found.of(Part::Logging), Fact::Value("<BucketLoggingStatus/>".into()));
    for part in [Part::Policy, Part::PolicyStatus, Part::Acl, Part::Versioning, Part::ObjectLock] {
        assert!(matches!(found.of(part), Fact::Unread(_)), "{part:?}");
    }
    assert!(matches!(found.of(Part::Policy), Fact::Unread(why) if why.contains("s3:GetBucketPolicy")));
    assert!(stub.asked().iter().all(|asked| asked.method == "GET"), "to describe is to read");
}

/// The key's state as KMS answers, its policy as it is written; by an alias too, and in the key's own region.
#[tokio::test(flavor = "multi_thread")]
async fn kms_tells_of_a_key() {
    let Some(emulator) = Emulator::shared() else { return };
    let kms = aws_sdk_kms::Client::new(&emulator.sdk().await);
    let made = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    kms.put_key_policy().key_id(&made.key_id).policy(policy).send().await.unwrap();
    kms.create_alias().alias_name("alias/archive").target_key_id(&made.key_id).send().await.unwrap();
    kms.disable_key().key_id(&made.key_id).send().await.unwrap();
    let vault = emulator.aws().await.vault("any", None);
    for name in [made.arn.as_deref().unwrap(), &made.key_id, "alias/archive"] {
        let Key { description, policy: held } = vault.key(name).await;
        assert_eq!(held, Fact::Value(policy.into()), "{name}");
        let told: serde_json::Value = serde_json::from_str(description.value().unwrap()).unwrap();
        let metadata = &told["KeyMetadata"];
        assert_eq!(
            (metadata["KeyState"].as_str(), metadata["KeyId"].as_str()),
            (Some("Disabled"), Some(&*made.key_id))
        );
    }
}

#[tokio::test]
async fn a_key_that_may_not_be_read_is_not_known() {
    let stub = Stub::start(|_| Answer::new(400, r#"{"__type":"AccessDeniedException","message":"no"}"#));
    let vault = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await.vault("b", None);
    let key = vault.key("arn:aws:kms:us-east-2:111122223333:key/a").await;
    assert!(
        matches!(key.description, Fact::Unread(why) if why.contains("kms:DescribeKey") && why.contains("AccessDenied"))
    );
    assert!(matches!(key.policy, Fact::Unread(why) if why.contains("kms:GetKeyPolicy")));
    let signed = stub.asked()[0].headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap().to_owned();
    assert!(signed.contains("/us-east-2/kms/"), "{signed}");
}

/// Rules of others go back as the bytes that came, with one checksum that fits, in the name of the owner.
#[tokio::test]
async fn rules_are_sent_as_they_were_read() {
    let stub = Stub::start(|_| Answer::new(200, ""));
    let aws = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await;
    let vault = aws.vault("b", Some("111122223333".parse().unwrap()));
    let document = "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"x\">  <Rule><ID>ä &#38; b</ID><New a='1'/></Rule>\n</LifecycleConfiguration>";
    let minimum = Some("varies_by_storage_class".to_owned());
    vault.apply(&Action::SetLifecycle { document: Some(document.into()), minimum, made_from: None }).await.unwrap();
    let asked = &stub.asked()[0];
    assert_eq!((asked.method.as_str(), asked.query.as_str()), ("PUT", "lifecycle"));
    assert_eq!(asked.body, document.as_bytes());
    let header =
        |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-length"), document.len().to_string());
    assert_eq!(header("x-amz-expected-bucket-owner"), "111122223333");
    assert_eq!(header("x-amz-transition-default-minimum-object-size"), "varies_by_storage_class");
    let sums: Vec<&str> =
        asked.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-amz-checksum-")).collect();
    assert_eq!(sums, ["x-amz-checksum-crc32"]);
    use base64::Engine as _;
    let sum = base64::engine::general_purpose::STANDARD.encode(crc32(document.as_bytes()).to_be_bytes());
    assert_eq!(header("x-amz-checksum-crc32"), sum);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// A lock is counted from the object's creation: without that there is nothing to count from.
#[tokio::test]
async fn an_object_that_does_not_say_when_it_was_created_is_no_answer() {
    let stub = Stub::start(|_| Answer::new(200, ""));
    let vault = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await.vault("b", None);
    let error = vault.lock("k", None).await.unwrap_err();
    assert!(!error.is_transient() && error.text.contains("created"), "{error}");
}

/// What would weaken is refused before any call that changes something.
#[tokio::test]
async fn no_call_is_made_to_shorten() {
    let stub = Stub::start(|asked| match asked.method.as_str() {
        "GET" => Answer::new(
            200,
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
             <Mode>COMPLIANCE</Mode><Years>7</Years></DefaultRetention></Rule></ObjectLockConfiguration>",
        ),
        _ => Answer::new(200, ""),
    });
    let vault = Aws::connect_from(loader(&stub.endpoint), &Options::default()).await.vault("b", None);
    for (mode, days) in [(COMPLIANCE, 2_554), (GOVERNANCE, 9_999)] {
        vault.apply(&set(mode, days)).await.unwrap_err();
    }
    let until = Timestamp::from_second(2_000_000_000).unwrap();
    let locked = Retention { mode: GOVERNANCE, until };
    let earlier = Retention { until: until - SignedDuration::from_secs(1), ..locked };
    vault.retain("k", Some("v"), Some(locked), earlier).await.unwrap_err();
    let strict = Retention { mode: COMPLIANCE, until };
    vault.retain("k", Some("v"), Some(strict), locked).await.unwrap_err();
    assert!(stub.asked().iter().all(|asked| asked.method == "GET"), "{:?}", stub.asked());
    vault.retain("k", Some("v"), Some(locked), strict).await.unwrap();
    vault.apply(&set(COMPLIANCE, 2_555)).await.unwrap();
    let changes = stub.asked().into_iter().filter(|asked| asked.method != "GET");
    let changes: Vec<String> = changes.map(|asked| format!("{} {}", asked.path, asked.query)).collect();
    assert_eq!(changes, ["/b/k retention&versionId=v", "/b/ object-lock"]);
    assert!(stub.asked().iter().all(|asked| !asked.headers.contains_key("x-amz-bypass-governance-retention")));
}
