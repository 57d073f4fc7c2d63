//! The doctor on an emulator that enforces IAM: with the printed policies all is well; with one permission taken away, that
//! permission is named, and nothing else is blamed. The printed policies by a linter.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CreateBucketConfiguration, Event, NotificationConfiguration, QueueConfiguration,
    ServerSideEncryption, TopicConfiguration,
};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use trailwarden::core::grant::GROUPS;

use crate::common::emulator::{self, Emulator, REGION, env_of};
use crate::common::mended::Mended;
use crate::common::warden::{run_with, stderr, stdout};

const ACCOUNT: &str = "000000000000";
const DIGEST: &str = "AWSLogs/000000000000/CloudTrail-Digest/eu-west-1/2026/03/01/digest.json.gz";
const AT_ONCE: usize = 3;

/// What cannot be told either without a permission.
const DEPENDS: &[(&str, &[&str])] = &[
    ("s3:ListBucket", &["kms:Decrypt"]),
    ("kms:Decrypt", &["s3:GetObject", "s3:GetObjectVersion"]),
    ("cloudtrail:ListPublicKeys", &["signing keys"]),
    ("s3:GetObject", &["kms:Decrypt"]),
    ("s3:GetBucketNotification", &["announcement"]),
    ("sqs:GetQueueAttributes", &["queue", "sqs:ReceiveMessage", "dead letters"]),
    ("organizations:DescribeOrganization", &["organization"]),
];

/// Makes users with policies, and a role that one of them assumes; answers their keys.
const USERS: &str = r#"
import boto3, json, sys
endpoint, wanted = sys.argv[1], json.load(sys.stdin)
iam = boto3.client("iam", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
made = {}
for name, policies in wanted["users"].items():
    iam.create_user(UserName=name)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    made[name] = [key["AccessKeyId"], key["SecretAccessKey"]]
trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}]}
for name, policies in wanted["roles"].items():
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    for number, policy in enumerate(policies):
        iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
print(json.dumps(made))
"#;

/// A guarded cloud with everything in it that a permission can be about.
struct Ground {
    dir: tempfile::TempDir,
    emulator: Emulator,
    python: PathBuf,
    /// What the configuration does not say.
    named: Vec<String>,
    queue: String,
}

impl Ground {
    async fn new() -> Option<Self> {
        let python = emulator::linter()?.join("python");
        let emulator = Emulator::guarded()?;
        let (s3, sqs, sns) = (emulator.s3().await, emulator.sqs().await, emulator.sns().await);
        for bucket in ["evidence", "ledgers"] {
            let place = CreateBucketConfiguration::builder().location_constraint(REGION.into()).build();
            let made = s3.create_bucket().bucket(bucket).create_bucket_configuration(place);
            made.object_lock_enabled_for_bucket(true).send().await.expect("a bucket");
        }
        let kms = aws_sdk_kms::Client::new(&emulator.sdk().await);
        let key = kms.create_key().send().await.expect("a key").key_metadata.and_then(|key| key.arn).expect("an arn");
        let put = s3.put_object().bucket("evidence").key(DIGEST).body(ByteStream::from_static(b"x"));
        let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key);
        put.send().await.expect("an object");
        let dead = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:dead");
        let made =
            sqs.create_queue().queue_name("dead").attributes(QueueAttributeName::MessageRetentionPeriod, "1209600");
        made.send().await.expect("a queue");
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:trail");
        let send = json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Bucket", "Effect": "Allow",
            "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": { "ArnEquals": { "aws:SourceArn": "arn:aws:s3:::evidence" },
                           "StringEquals": { "aws:SourceAccount": ACCOUNT } } }] });
        let made = sqs.create_queue().queue_name("trail").attributes(QueueAttributeName::Policy, send.to_string());
        let redrive = json!({ "deadLetterTargetArn": dead, "maxReceiveCount": "10" });
        let made = made.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        let queue = made.send().await.expect("a queue").queue_url.expect("an address");
        let told = QueueConfiguration::builder().queue_arn(&arn).events(Event::S3ObjectCreated).build().expect("one");
        let topic = |name: &str| format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
        for name in ["alerts", "announced", "delivered"] {
            sns.create_topic().name(name).send().await.expect("a topic");
        }
        let removed =
            TopicConfiguration::builder().topic_arn(topic("announced")).events(Event::S3ObjectRemoved).build();
        let told = NotificationConfiguration::builder().queue_configurations(told);
        let told = told.topic_configurations(removed.expect("one")).build();
        let put = s3.put_bucket_notification_configuration().bucket("evidence").notification_configuration(told);
        put.send().await.expect("a notification");
        // S3 announces that it will announce.
        sqs.purge_queue().queue_url(&queue).send().await.expect("an empty queue");
        let cloudtrail = aws_sdk_cloudtrail::Client::new(&emulator.sdk().await);
        let made = cloudtrail.create_trail().name("org").s3_bucket_name("evidence").sns_topic_name(topic("delivered"));
        made.send().await.expect("a trail");
        let organizations = emulator.organizations().await;
        let org = organizations.describe_organization().send().await.expect("an organization");
        let org = org.organization.and_then(|org| org.id).expect("an id");
        let mut ground = Self {
            dir: tempfile::tempdir().expect("a directory"),
            emulator,
            python,
            named: ["--key".into(), key, "--dead-letters".into(), dead].into(),
            queue,
        };
        for name in ["announced", "delivered"] {
            ground.named.extend(["--topic".into(), topic(name)]);
        }
        ground.configure("plain.toml", &org, [""; 3]);
        let assumed = |key: &str, name: &str| format!("{key} = \"arn:aws:iam::{ACCOUNT}:role/{name}\"\n");
        let [role, audit, trails] =
            [assumed("role", "trailwarden"), assumed("role", "audit"), assumed("audit_role", "trails")];
        ground.configure("role.toml", &org, [&role, &audit, &trails]);
        Some(ground)
    }

    /// Whatever was tried, and however often: nothing is there, gone or configured that was not.
    async fn is_untouched(&self) {
        let s3 = self.emulator.s3().await;
        for (bucket, held) in [("evidence", 1), ("ledgers", 0)] {
            let versions = s3.list_object_versions().bucket(bucket).send().await.expect("versions");
            assert_eq!((versions.versions().len(), versions.delete_markers().len()), (held, 0), "{bucket}");
        }
        let rules = s3.get_bucket_lifecycle_configuration().bucket("evidence").send().await;
        let code = rules.err().and_then(|error| error.into_service_error().code().map(str::to_owned));
        assert_eq!(code.as_deref(), Some("NoSuchLifecycleConfiguration"));
        let lock = s3.get_object_lock_configuration().bucket("evidence").send().await.expect("a lock");
        assert!(lock.object_lock_configuration.is_some_and(|lock| lock.rule.is_none()));
        let versioning = s3.get_bucket_versioning().bucket("evidence").send().await.expect("versioning");
        assert_eq!(versioning.status, Some(BucketVersioningStatus::Enabled));
        let sqs = self.emulator.sqs().await;
        let dead = self.queue.replace("trail", "dead");
        for url in [&self.queue, &dead] {
            let taken = sqs.receive_message().queue_url(url).send().await.expect("an answer");
            assert!(taken.messages().is_empty(), "{url}");
        }
    }

    fn configure(&self, name: &str, org: &str, [role, audit, trails]: [&str; 3]) {
        let text = format!(
            r#"
[organization]
id = "{org}"
{role}
[[trail]]
name = "org"
bucket = "evidence"
owner = "{ACCOUNT}"
region = "{REGION}"
queue = "{queue}"
layout = ["AWSLogs/{{account}}/"]
{role}{trails}
[retention]
keep = "1d"
[posture]
{audit}
[channel.topic]
kind = "sns"
topic = "arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
{role}
[channel.bus]
kind = "eventbridge"
bus = "arn:aws:events:{REGION}:{ACCOUNT}:event-bus/alerts"
{role}
[channel.function]
kind = "lambda"
function = "arn:aws:lambda:{REGION}:{ACCOUNT}:function:alerts"
{role}
[channel.hub]
kind = "securityhub"
account = "{ACCOUNT}"
region = "{REGION}"
{role}
[[route]]
to = ["topic", "bus", "function", "hub"]
[state]
path = "state.db"
snapshot.to = "s3://ledgers/copies"
[archive]
location = "s3://ledgers/history"
"#,
            queue = self.queue,
        );
        std::fs::write(self.dir.path().join(name), text).expect("a file");
    }

    fn run(&self, config: &str, env: &[(&str, String)], more: &[&str]) -> (Option<i32>, String) {
        let config = self.dir.path().join(config);
        let named = self.named.iter().map(String::as_str);
        let args: Vec<&str> = ["doctor", "--config", config.to_str().expect("text")].into_iter().chain(named).collect();
        let output = run_with(env, &[&args, more].concat());
        (output.status.code(), stdout(&output))
    }

    fn policies(&self, config: &str) -> Vec<(String, Value)> {
        let (code, text) = self.run(config, &[], &["--policy"]);
        assert_eq!(code, Some(0));
        let all: BTreeMap<String, Value> = serde_json::from_str(&text).expect("policies");
        all.into_iter().collect()
    }

    /// The report as a user sees it.
    fn report(&self, config: &str, endpoint: &str, (key, secret): &(String, String)) -> (Option<i32>, Vec<Value>) {
        let mut env = env_of(endpoint);
        env.retain(|(name, _)| !name.contains("KEY"));
        env.push(("AWS_ACCESS_KEY_ID", key.clone()));
        env.push(("AWS_SECRET_ACCESS_KEY", secret.clone()));
        let (code, text) = self.run(config, &env, &["--json"]);
        let report: Value = serde_json::from_str(&text).expect("one JSON document");
        (code, report["lines"].as_array().expect("lines").clone())
    }

    fn people(&self, users: &BTreeMap<String, Vec<Value>>, roles: &BTreeMap<String, Vec<Value>>) -> People {
        let mut child = Command::new(&self.python)
            .args(["-c", USERS, &self.emulator.endpoint])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let wanted = json!({ "users": users, "roles": roles }).to_string();
        child.stdin.take().expect("an input").write_all(wanted.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "users could not be made");
        serde_json::from_slice(&output.stdout).expect("keys")
    }
}

type People = BTreeMap<String, (String, String)>;

/// A policy without an action; a statement that has no other is left out.
fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for statement in statements.iter_mut() {
        match &mut statement["Action"] {
            Value::Array(actions) => actions.retain(|held| held != action),
            one if *one == action => *one = json!([]),
            _ => {}
        }
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    policy
}

fn names<'a>(lines: &'a [Value], answer: &str) -> BTreeSet<&'a str> {
    let those = lines.iter().filter(|line| line["answer"] == answer);
    those.map(|line| line["name"].as_str().expect("a name")).collect()
}

fn actions() -> BTreeSet<&'static str> {
    GROUPS.iter().flat_map(|group| group.actions).map(|(action, _)| *action).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_permission_taken_away_is_named_and_nothing_else() {
    let Some(ground) = Ground::new().await else { return };
    let ground = &ground;
    let policies: Vec<Value> = ground.policies("plain.toml").into_iter().map(|(_, policy)| policy).collect();
    let mut users = BTreeMap::from([("all".to_owned(), policies.clone())]);
    let tried: Vec<&str> = actions().into_iter().filter(|action| *action != "sts:AssumeRole").collect();
    for action in &tried {
        let fewer: Vec<Value> = policies.iter().map(|policy| without(policy, action)).collect();
        assert_ne!(fewer, policies, "{action} is in no printed policy");
        users.insert(action.replace(':', "-"), fewer);
    }
    let people = &ground.people(&users, &BTreeMap::new());

    let may_not = ["kms:Decrypt", "securityhub:BatchImportFindings"]
        .map(|action| (action, people[&action.replace(':', "-")].0.clone()));
    let mended = &Mended::start(&ground.emulator.endpoint, may_not.into()).endpoint;

    let (code, healthy) = ground.report("plain.toml", mended, &people["all"]);
    let others: Vec<&Value> = healthy.iter().filter(|line| line["answer"] != "ok").collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(code, Some(0));
    let seen: BTreeSet<&str> = healthy.iter().filter_map(|line| line["name"].as_str()).collect();
    assert!(tried.iter().all(|action| seen.contains(action)), "{seen:?}");

    let healthy = &healthy;
    futures_util::stream::iter(tried)
        .for_each_concurrent(AT_ONCE, |action| async move {
            let report =
                tokio::task::block_in_place(|| ground.report("plain.toml", mended, &people[&action.replace(':', "-")]));
            judge(action, report, healthy);
        })
        .await;
    ground.is_untouched().await;
}

fn judge(action: &str, (code, lines): (Option<i32>, Vec<Value>), healthy: &[Value]) {
    assert_eq!((code, names(&lines, "bad")), (Some(4), BTreeSet::from([action])), "{action}: {lines:#?}");
    for line in lines.iter().filter(|line| line["answer"] == "bad") {
        let statement = &line["statement"];
        assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Allow"), &json!(action)), "{line:#}");
        let resources = match &statement["Resource"] {
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            one => one.as_str().expect("a resource").to_owned(),
        };
        assert_eq!(line["on"], resources, "{line:#}");
        let known = GROUPS.iter().filter(|group| group.sid == statement["Sid"]).flat_map(|group| group.actions);
        let stops: Vec<&str> = known.filter(|(named, _)| *named == action).map(|(_, stops)| *stops).collect();
        assert_eq!(json!(stops), json!([line["without"]]), "{line:#}");
        assert!(line["why"].as_str().is_some_and(|why| why.contains(action)), "{line:#}");
    }
    let depends = DEPENDS.iter().find(|(on, _)| *on == action).map_or(&[][..], |(_, names)| *names);
    let others = names(&lines, "unchecked");
    let wanted: BTreeSet<&str> = depends.iter().copied().collect();
    assert!(others.is_subset(&wanted), "{action}: {:?}", others.difference(&wanted));
    let same = lines.iter().filter(|line| healthy.contains(line)).count();
    assert!(same > healthy.len() / 2, "{action}: most lines changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_be_assumed_is_named_once_for_all_that_it_is_for() {
    let Some(ground) = Ground::new().await else { return };
    let printed: BTreeMap<String, Value> = ground.policies("role.toml").into_iter().collect();
    let process = &printed["process"];
    let assume = |resource: Value| {
        json!({ "Sid": "AssumeRoles", "Effect": "Allow", "Action": "sts:AssumeRole",
                                           "Resource": resource })
    };
    let assumed = ["audit", "trails", "trailwarden"].map(|name| format!("arn:aws:iam::{ACCOUNT}:role/{name}"));
    assert_eq!(process["Statement"], json!([assume(json!(assumed))]));
    // Each has its own and nothing of the others, so that whoever asks as somebody else is refused.
    let about_trails = |is: bool| {
        let mut policy = printed["audit"].clone();
        let statements = policy["Statement"].as_array_mut().expect("statements");
        statements.retain(|one| one["Sid"].as_str().is_some_and(|sid| sid.ends_with("Trails")) == is);
        assert!(!statements.is_empty());
        policy
    };
    let roles = BTreeMap::from([
        ("trailwarden".to_owned(), vec![printed["reader"].clone(), printed["retention"].clone()]),
        ("audit".to_owned(), vec![about_trails(false)]),
        ("trails".to_owned(), vec![about_trails(true)]),
    ]);
    // Copies of the ledger are the process's own affair.
    let users = BTreeMap::from([
        ("may".to_owned(), vec![process.clone(), printed["reader"].clone()]),
        ("may-not".to_owned(), vec![printed["reader"].clone()]),
    ]);
    let people = ground.people(&users, &roles);
    let mended = &Mended::start(&ground.emulator.endpoint, BTreeMap::new()).endpoint;
    let (code, lines) = ground.report("role.toml", mended, &people["may"]);
    assert_eq!(names(&lines, "bad"), BTreeSet::new(), "{lines:#?}");
    assert!(names(&lines, "ok").contains("sts:AssumeRole"), "{lines:#?}");
    assert_eq!((code, names(&lines, "unchecked")), (Some(0), BTreeSet::new()), "{lines:#?}");
    let (code, lines) = ground.report("role.toml", mended, &people["may-not"]);
    assert_eq!((code, names(&lines, "bad")), (Some(4), BTreeSet::from(["sts:AssumeRole"])), "{lines:#?}");
    let bad = lines.iter().filter(|line| line["answer"] == "bad").map(|line| line["statement"].clone());
    assert_eq!(bad.collect::<Vec<_>>(), assumed.map(|role| assume(json!(role))));
    assert!(names(&lines, "unchecked").contains("s3:GetObject"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_does_not_answer_keeps_nobody_else_from_an_answer() {
    let Some(ground) = Ground::new().await else { return };
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let mut env = env_of(&ground.emulator.endpoint);
    env.push(("AWS_ENDPOINT_URL_SQS", format!("http://{}", silent.local_addr().expect("an address"))));
    let (code, text) = ground.run("plain.toml", &env, &["--json", "--role", "reader"]);
    let report: Value = serde_json::from_str(&text).expect("one JSON document");
    let lines = report["lines"].as_array().expect("lines");
    assert_eq!((code, &report["answer"]), (Some(5), &json!("unchecked")), "{text}");
    let (unsure, well) = (names(lines, "unchecked"), names(lines, "ok"));
    let silent = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"];
    assert!(silent.iter().all(|name| unsure.contains(name)), "{text}");
    assert!(
        ["s3:GetObject", "sns:Publish", "organizations:ListRoots"].iter().all(|name| well.contains(name)),
        "{text}"
    );
    assert!(lines.iter().all(|line| line["role"] == "reader"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_is_left_alone() {
    let Some(ground) = Ground::new().await else { return };
    let sqs = ground.emulator.sqs().await;
    sqs.send_message().queue_url(&ground.queue).message_body("waits").send().await.expect("a message");
    let (_, text) = ground.run("plain.toml", &env_of(&ground.emulator.endpoint), &["--json", "--role", "reader"]);
    let report: Value = serde_json::from_str(&text).expect("one JSON document");
    let lines = report["lines"].as_array().expect("lines");
    assert!(names(lines, "unchecked").contains("sqs:ReceiveMessage"), "{text}");
    let count = MessageSystemAttributeName::ApproximateReceiveCount;
    let asked = sqs.receive_message().queue_url(&ground.queue).message_system_attribute_names(count.clone());
    let message = asked.send().await.expect("an answer").messages.and_then(|mut held| held.pop()).expect("a message");
    assert_eq!(message.attributes.and_then(|mut told| told.remove(&count)).as_deref(), Some("1"));
}

/// What the linter says and is right about: it cannot be otherwise.
const ACCEPTED: [&str; 1] = [
    // Who keeps lifecycle rules can write one that deletes; that is why retention has a policy, and can have a role, of its own.
    "RESOURCE_POLICY_PRIVILEGE_ESCALATION",
];

const EXAMPLES: [(&str, &str, &str, &[&str]); 7] = [
    ("plain", "eu-central-1", "", &[]),
    (
        "key",
        "eu-central-1",
        "",
        &["--key", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    ),
    (
        "dead letters",
        "eu-central-1",
        "[retention]\nkeep = \"7y\"\n",
        &["--dead-letters", "arn:aws:sqs:eu-central-1:111122223333:dead"],
    ),
    (
        "topic",
        "eu-central-1",
        "[channel.a]\nkind = \"sns\"\ntopic = \"arn:aws:sns:eu-central-1:111122223333:alerts\"\n\
         role = \"arn:aws:iam::111122223333:role/alerts\"\n[[route]]\nto = [\"a\"]\n\
         [state]\nsnapshot.to = \"s3://acme-ledgers/copies\"\n",
        &["--key", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    ),
    (
        "posture",
        "eu-central-1",
        "audit_role = \"arn:aws:iam::444455556666:role/trails\"\n\
         [posture]\nrole = \"arn:aws:iam::111122223333:role/audit\"\n",
        &[
            "--key",
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "--topic",
            "arn:aws:sns:eu-central-1:111122223333:announced",
        ],
    ),
    ("government", "us-gov-west-1", "[retention]\nkeep = \"7y\"\n[posture]\n", &[]),
    ("china", "cn-north-1", "[retention]\nkeep = \"7y\"\n[posture]\n", &[]),
];

#[test]
fn the_printed_policies_satisfy_a_linter() {
    let Some(tools) = emulator::linter() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut judged = 0;
    for (name, region, more, args) in EXAMPLES {
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let config = dir.path().join("trailwarden.toml");
        let text = format!(
            "[organization]\nid = \"o-a1b2c3d4e5\"\n[[trail]]\nname = \"org\"\nbucket = \"acme-trail\"\nregion = \"{region}\"\n\
             queue = \"https://sqs.{region}.{suffix}/111122223333/trail\"\nlayout = [\"central/AWSLogs/{{org}}/{{account}}/\"]\n{more}"
        );
        std::fs::write(&config, text).expect("a file");
        for role in ["process", "reader", "retention", "audit"] {
            let arguments = [&["doctor", "--config", config.to_str().expect("text"), "--policy", role], args].concat();
            let output = run_with(&[], &arguments);
            if output.status.code() == Some(2) {
                assert!(stderr(&output).contains("nothing in this configuration needs"), "{name}: {}", stderr(&output));
                continue;
            }
            let policy = stdout(&output);
            assert_eq!(output.status.code(), Some(0), "{name} {role}: {}", stderr(&output));
            let partition = trailwarden::core::grant::partition(region);
            assert_eq!(
                policy.matches("arn:").count(),
                policy.matches(&format!("arn:{partition}:")).count(),
                "{policy}"
            );
            let complaints: Vec<Value> = lint(&tools, &policy);
            let others =
                complaints.iter().filter(|said| !ACCEPTED.contains(&said["issue"].as_str().unwrap_or_default()));
            assert_eq!(others.count(), 0, "{name} {role}: {complaints:#?}\n{policy}");
            judged += 1;
        }
    }
    assert!(judged >= 15, "only {judged} policies were judged");
    let wrong = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObjects","Resource":"arn:aws:s3:::b/*"}]}"#;
    assert!(!lint(&tools, wrong).is_empty(), "the linter finds nothing at all");
}

fn lint(tools: &Path, policy: &str) -> Vec<Value> {
    let mut child = Command::new(tools.join("parliament"))
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the linter starts");
    child.stdin.take().expect("an input").write_all(policy.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(matches!(output.status.code(), Some(0 | 1)), "the linter failed");
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("a complaint")).collect()
}
