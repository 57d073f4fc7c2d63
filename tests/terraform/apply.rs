//! The organization of the examples, really applied: to an emulator that enforces IAM and is reached by TLS alone. What Terraform
//! made is enough for the warden and no more, and what is locked stays when the rest is destroyed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};
use trailwarden::core::key;
use trailwarden::core::shard::Shard;
use trailwarden::world::{Scale, Step};

use crate::common::acts::{Acts, world};
use crate::common::emulator::{self, Emulator, REGION, loader};
use crate::common::keys_stub::{self, StubKey};
use crate::common::mended::Mended;
use crate::common::organization_stub::organization_stub;
use crate::common::stub::Stub;
use crate::common::warden::{run_with, stderr, stdout};
use crate::shards;
use crate::tool::Tool;

const EXAMPLE: &str = "examples/organization";
const MANAGEMENT: &str = "999988887777";
const ARCHIVE: &str = "111122223333";
const SECURITY: &str = "444455556666";

/// What the emulator cannot hold: hosts (it knows neither their metadata options nor their monitoring), and alarms (it forgets
/// their dimensions). Both are tested in their modules. And it asks for actions that AWS does not know: who may delete a message
/// may delete a batch.
const NOT_HELD: [(&str, &str); 3] = [
    (
        "modules/access/emulator.tf",
        "resource \"aws_iam_role_policy\" \"emulator\" {\n  name = \"emulator\"\n  role = aws_iam_role.this.name\n  policy = jsonencode({\n\
         Version = \"2012-10-17\", Statement = [{ Effect = \"Allow\", Resource = \"*\",\n\
         Action = [\"sqs:DeleteMessageBatch\", \"sqs:ChangeMessageVisibilityBatch\"] }] })\n}\n",
    ),
    (
        "modules/warden/emulator_override.tf",
        "resource \"aws_instance\" \"this\" {\n  for_each = {}\n}\n\
         resource \"aws_volume_attachment\" \"ledger\" {\n  for_each = {}\n}\n\
         resource \"aws_cloudwatch_metric_alarm\" \"host\" {\n  for_each = {}\n}\n\
         resource \"aws_cloudwatch_metric_alarm\" \"heartbeat\" {\n  for_each = {}\n}\n",
    ),
    (
        "modules/notify/emulator_override.tf",
        "resource \"aws_cloudwatch_metric_alarm\" \"age\" {\n  for_each = {}\n}\n\
         resource \"aws_cloudwatch_metric_alarm\" \"dead\" {\n  for_each = {}\n}\n",
    ),
];

struct Ground {
    tool: Tool,
    acts: Acts,
    cloud: Mended,
    python: std::path::PathBuf,
    emulator: Emulator,
    // Alive as long as the cloud is.
    _parts: (Stub, Stub),
}

impl Ground {
    /// An empty cloud of three accounts, and the example told of them.
    fn new() -> Option<Self> {
        let tool = Tool::find()?;
        let python = emulator::linter()?.join("python");
        let emulator = Emulator::fenced()?;
        let scale = Scale { accounts: 4, regions: 2, hours: 3, logs_per_hour: (1, 2), records_per_log: (1, 3) };
        let acts = Acts::of(world(5, scale, &[]));
        let members = acts.members.iter().map(|member| (member.account.to_string(), member.name.clone()));
        let organization = organization_stub(&acts.org.to_string(), members.collect());
        let key = |(region, key): &(trailwarden::core::id::Region, trailwarden::seam::PublicKey)| StubKey {
            region: region.to_string(),
            fingerprint: key.fingerprint.clone(),
            value: key.der.clone(),
            valid_from: key.valid_from.expect("a key of the world has times"),
            valid_to: key.valid_to.expect("a key of the world has times"),
        };
        let known: Vec<StubKey> = acts.keys.iter().map(key).collect();
        // Who names no times, as the doctor, asks for all.
        let keys = Stub::start(move |asked| {
            let mut asked = asked.clone();
            if asked.json()["StartTime"].is_null() {
                asked.body = json!({ "StartTime": 0, "EndTime": 4_102_444_800_u32 }).to_string().into_bytes();
            }
            keys_stub::answer(&known, 10, &asked)
        });
        let elsewhere =
            vec![("AWSOrganizations", organization.endpoint.clone()), ("ListPublicKeys", keys.endpoint.clone())];
        let cloud = Mended::beside(&emulator.endpoint, Default::default(), elsewhere);
        let tool = tool.with("AWS_ENDPOINT_URL", &emulator.endpoint);
        let ground = Self { tool, acts, cloud, python, emulator, _parts: (organization, keys) };
        ground.describe();
        ground.tool.init(EXAMPLE)?;
        Some(ground)
    }

    fn describe(&self) {
        for (path, text) in NOT_HELD {
            self.tool.write(path, text);
        }
        let provider = |(alias, account): (&str, &str)| {
            format!(
                "provider \"aws\" {{\n  alias = \"{alias}\"\n  region = \"{REGION}\"\n  access_key = \"{account}\"\n  \
                 secret_key = \"test\"\n  insecure = true\n  s3_use_path_style = true\n  skip_credentials_validation = true\n  \
                 skip_metadata_api_check = true\n}}\n"
            )
        };
        let providers = [("management", MANAGEMENT), ("log_archive", ARCHIVE), ("security", SECURITY)].map(provider);
        self.tool.write(&format!("{EXAMPLE}/providers.tf"), &providers.concat());
        let variables = json!({
            "region": REGION, "organization_id": self.acts.org.to_string(), "bucket_name": self.acts.bucket,
            "management_account_id": MANAGEMENT, "log_archive_account_id": ARCHIVE, "security_account_id": SECURITY,
            // Every account of the emulator has these.
            "vpc_id": "vpc-00000001", "subnet_id": "subnet-00000001", "ami_id": "ami-0123456789abcdef0",
            "lock": { "days": 1 }, "emails": ["oncall@example.com"],
            "package": { "url": "https://packages.example.com/trailwarden.rpm", "sha256": "0".repeat(64) },
            "more_configuration": "[http]\nlisten = \"off\"\n[state]\npath = \"state.db\"",
        });
        self.tool.write(&format!("{EXAMPLE}/terraform.tfvars.json"), &variables.to_string());
    }

    async fn s3(&self) -> aws_sdk_s3::Client {
        let credentials = aws_sdk_s3::config::Credentials::new(ARCHIVE, "test", None, None, "test");
        let sdk = loader(&self.cloud.endpoint).credentials_provider(credentials).load().await;
        aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build())
    }

    /// An object that is evidence.
    fn key(&self) -> &str {
        self.acts.puts().map(|(key, _)| key).find(|key| is_evidence(key)).expect("an object")
    }

    /// As CloudTrail puts it, and something that it never would; the bucket announces it by itself. Answers how much is evidence.
    async fn deliver(&self, s3: &aws_sdk_s3::Client, kms: &str) -> u64 {
        let stray = (format!("AWSLogs/{}/nobody.txt", self.acts.org), b"x".to_vec(), BTreeMap::new());
        let puts = self.acts.first.iter().filter_map(|happening| match &happening.step {
            Step::Put { key, body, metadata } => {
                let metadata = metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                Some((key.clone(), body.clone(), metadata))
            }
            _ => None,
        });
        let mut count = 0;
        for (key, body, metadata) in puts.chain([stray]) {
            let put = s3.put_object().bucket(&self.acts.bucket).key(&key).body(ByteStream::from(body));
            let put = put.set_metadata(Some(metadata.into_iter().collect()));
            let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms);
            put.send().await.expect("an object is put");
            count += u64::from(is_evidence(&key));
        }
        count
    }

    /// The environment of a program on the host; nobody there can do what is not meant to be done.
    fn host(&self, queue: &Value, kms: &str) -> Vec<(&'static str, String)> {
        let role = |account: &str, duty: &str| format!("arn:aws:iam::{account}:role/trailwarden-{duty}");
        let host = self.ask_host(&json!({
            "endpoint": self.cloud.endpoint, "security": SECURITY, "owner": ARCHIVE, "external_id": "trailwarden",
            "host": format!("arn:aws:iam::{SECURITY}:role/trailwarden"),
            "bucket": self.acts.bucket, "key": self.key(), "kms": kms, "queue": queue,
            "trail": format!("arn:aws:cloudtrail:{REGION}:{MANAGEMENT}:trail/organization"),
            "roles": {
                "archive": role(ARCHIVE, "archive"), "audit": role(ARCHIVE, "audit"), "retention": role(ARCHIVE, "retention"),
                "organization": role(MANAGEMENT, "organization"), "trails": role(MANAGEMENT, "trails"),
            },
        }));
        assert_eq!(host["not_denied"], json!([]), "more is allowed than is printed");
        assert!(host["tried"].as_u64().is_some_and(|tried| tried > 70), "{host}");
        let mut env = emulator::env_of(&self.cloud.endpoint);
        env.retain(|(name, _)| !name.contains("KEY"));
        for (name, of) in [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "SessionToken"),
        ] {
            env.push((name, host[of].as_str().expect("text").to_owned()));
        }
        env
    }

    fn ask_host(&self, wanted: &Value) -> Value {
        let script = include_str!("host.py");
        let mut child = Command::new(&self.python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        child.stdin.take().expect("an input").write_all(wanted.to_string().as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the host got no credentials");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// Folders and other services' objects are none.
fn is_evidence(key: &str) -> bool {
    key.contains("/CloudTrail") && key.ends_with(".json.gz")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_is_made_worked_in_and_taken_away_but_for_what_is_locked() {
    let Some(ground) = Ground::new() else { return };
    let tool = &ground.tool;
    tool.must(EXAMPLE, &["apply", "-auto-approve"]);
    let again = tool.run(EXAMPLE, &["plan", "-detailed-exitcode"]);
    assert_eq!(again.status.code(), Some(0), "the second plan differs: {}", stdout(&again));
    five_shards_have_every_key_once(&ground);

    let outputs = tool.outputs(EXAMPLE);
    let named = outputs["doctor_arguments"]["0"].clone();
    let named: Vec<&str> = named.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let env = ground.host(&outputs["queues"]["0"]["url"], named[1]);
    let config = tool.dir().join("trailwarden.toml");
    let text = outputs["configurations"]["0"].as_str().expect("text");
    // The emulator delivers as the account itself.
    std::fs::write(&config, text.replace("\nlayout", "\nwriters = [\"*\"]\nlayout")).expect("a file");
    let config = config.to_str().expect("text");
    let warden = |args: &[&str]| run_with(&env, &[args, &["--config", config]].concat());

    let plan = warden(&["retention", "plan"]);
    assert_eq!(plan.status.code(), Some(0), "Terraform made what retention would change: {}", stdout(&plan));
    // Before other trails deliver than the one that was made.
    nothing_is_weak(&warden);
    let s3 = ground.s3().await;
    let puts = ground.deliver(&s3, named[1]).await;
    works(&warden, puts);
    // The queue is empty and the bucket is not, so that the doctor can try everything.
    let doctor = warden(&[&["doctor"], &named[..]].concat());
    assert_eq!(doctor.status.code(), Some(0), "{}", stdout(&doctor));
    destroy(&ground, &s3).await;
    drop(ground.emulator);
}

/// But for what the example's organization has to know: what is informative and answered for.
fn nothing_is_weak(warden: &impl Fn(&[&str]) -> Output) {
    let output = warden(&["posture", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let weaknesses = report["audits"][0]["weaknesses"].as_array().expect("weaknesses");
    let open: Vec<&Value> = weaknesses.iter().filter(|one| one["accepted"].is_null()).collect();
    assert!(open.is_empty(), "{open:#?}");
    let unread = report["audits"][0]["unread"].as_array().expect("a list");
    // Whether a rule of EventBridge is switched on is not asked.
    assert_eq!(unread.iter().map(|one| &one["of"]).collect::<Vec<_>>(), ["announcements"], "{unread:?}");
}

/// Through the queue, the bucket, the topic and the roles that Terraform made.
fn works(warden: &impl Fn(&[&str]) -> Output, puts: u64) {
    let drained = warden(&["run", "--drain"]);
    assert_eq!(drained.status.code(), Some(0), "{}", stderr(&drained));
    let json = |args: &[&str]| -> Value {
        let output = warden(&[args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {}", stderr(&output)))
    };
    let status = json(&["status"]);
    assert_eq!(status["objects"]["admitted"].as_u64(), Some(puts), "{status}");
    assert_eq!(status["digests"]["bad"].as_u64().unwrap_or(0), 0, "{status}");
    assert!(status["digests"]["good"].as_u64().is_some_and(|good| good > 10), "{status}");
    assert_eq!(status["alerts"]["due"], 0, "{status}");
    assert!(status["alerts"]["sent"].as_u64().is_some_and(|sent| sent > 1), "{status}");
    let findings = json(&["findings", "list"]);
    let kinds: Vec<&str> =
        findings.as_array().expect("findings").iter().filter_map(|one| one["kind"].as_str()).collect();
    assert!(kinds.contains(&"key_unexpected"), "{findings}");
}

fn five_shards_have_every_key_once(ground: &Ground) {
    let tool = &ground.tool;
    tool.must(EXAMPLE, &["plan", "-refresh=false", "-var=shard_count=5", "-out=five"]);
    let plan: Value = serde_json::from_str(&tool.must(EXAMPLE, &["show", "-json", "five"])).expect("a plan");
    let patterns = shards::planned(&plan);
    assert_eq!(patterns.len(), 5);
    let shards_of = |key: &str| shards::of(&patterns, &ground.acts.bucket, ARCHIVE, key);
    for (key, shard) in shards::tempting(&ground.acts.org.to_string()) {
        assert_eq!(shards_of(&key), [shard], "{key}");
    }
    let first = Shard::new(0, 5).expect("a shard");
    for (key, _) in ground.acts.puts() {
        // What the program looks for by itself is what is announced to it.
        let parsed = key::parse(key);
        let index = parsed.root().map_or(0, |root| first.of(root.account).index());
        assert_eq!(shards_of(key), [index.to_string()], "{key}");
    }
    assert_eq!(shards::of(&patterns, "another", ARCHIVE, "x"), Vec::<String>::new());
}

/// A destroy of everything is refused and says why; without the archive it takes the rest, and the archive stays as it was.
async fn destroy(ground: &Ground, s3: &aws_sdk_s3::Client) {
    let (tool, key) = (&ground.tool, ground.key());
    let refused = tool.run(EXAMPLE, &["destroy", "-auto-approve"]);
    let said = stderr(&refused).replace('\n', " ");
    assert!(!refused.status.success() && said.contains("prevent_destroy"), "{said}");
    for what in ["aws_s3_bucket_object_lock_configuration.this", "aws_s3_bucket_policy.this"] {
        assert!(said.contains(&format!("module.archive.{what}")), "{what}: {said}");
    }
    let there = tool.must(EXAMPLE, &["state", "list"]);
    assert!(there.contains("module.trail.aws_cloudtrail.this"), "something was destroyed: {there}");

    tool.must(EXAMPLE, &["state", "rm", "module.archive"]);
    tool.must(EXAMPLE, &["destroy", "-auto-approve"]);
    assert_eq!(tool.must(EXAMPLE, &["state", "list"]).trim(), "");
    let bucket = &ground.acts.bucket;
    let head = s3.head_object().bucket(bucket).key(key).send().await.expect("the evidence is there");
    let version = head.version_id().expect("a version");
    assert!(head.object_lock_retain_until_date().is_some(), "it is locked");
    let gone = s3.delete_object().bucket(bucket).key(key).version_id(version).send().await;
    assert!(gone.is_err(), "what is locked was deleted");
    let policy = s3.get_bucket_policy().bucket(bucket).send().await.expect("the policy is there");
    assert!(policy.policy().is_some_and(|policy| policy.contains("aws:SourceArn")));
    let block = s3.get_public_access_block().bucket(bucket).send().await.expect("the block is there");
    assert!(
        block.public_access_block_configuration().is_some_and(|block| block.restrict_public_buckets() == Some(true))
    );
}
