//! What happens in the accounts: CloudTrail records (CloudTrail User Guide: record contents, event version 1.11).

use fastrand::Rng;
use serde::Serialize;
use serde_json::{Value, json};

use super::cast::{Account, Actor, ActorKind, HEX, guid, letters, pick};
use super::instant;
use crate::core::id::{AccountId, Region};

/// An API action, and where and how often it is called.
struct Act {
    service: &'static str,
    name: &'static str,
    reads: bool,
    scope: Scope,
    weight: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Regional,
    /// Recorded in us-east-1 only.
    Global,
    /// A data event: on a resource, not on its management.
    Data,
}

const fn act(service: &'static str, name: &'static str, reads: bool, scope: Scope, weight: u32) -> Act {
    Act { service, name, reads, scope, weight }
}

const R: bool = true;
const W: bool = false;

const ACTS: &[Act] = &[
    act("ec2", "DescribeInstances", R, Scope::Regional, 9),
    act("ec2", "DescribeSecurityGroups", R, Scope::Regional, 4),
    act("ec2", "RunInstances", W, Scope::Regional, 2),
    act("ec2", "AuthorizeSecurityGroupIngress", W, Scope::Regional, 1),
    act("ec2", "CreateTags", W, Scope::Regional, 2),
    act("s3", "GetBucketAcl", R, Scope::Regional, 5),
    act("s3", "PutBucketPolicy", W, Scope::Regional, 1),
    act("sts", "AssumeRole", R, Scope::Regional, 9),
    act("sts", "AssumeRoleWithWebIdentity", R, Scope::Regional, 2),
    act("sts", "GetCallerIdentity", R, Scope::Regional, 4),
    act("kms", "Decrypt", R, Scope::Regional, 8),
    act("kms", "GenerateDataKey", R, Scope::Regional, 5),
    act("lambda", "UpdateFunctionCode20150331v2", W, Scope::Regional, 2),
    act("lambda", "ListFunctions20150331", R, Scope::Regional, 2),
    act("rds", "DescribeDBInstances", R, Scope::Regional, 3),
    act("rds", "CreateDBSnapshot", W, Scope::Regional, 1),
    act("cloudtrail", "LookupEvents", R, Scope::Regional, 2),
    act("cloudtrail", "GetTrailStatus", R, Scope::Regional, 2),
    act("dynamodb", "DescribeTable", R, Scope::Regional, 3),
    act("dynamodb", "UpdateTable", W, Scope::Regional, 1),
    act("ssm", "GetParametersByPath", R, Scope::Regional, 5),
    act("ssm", "PutParameter", W, Scope::Regional, 1),
    act("ssm", "StartSession", W, Scope::Regional, 1),
    act("secretsmanager", "GetSecretValue", R, Scope::Regional, 4),
    act("ecs", "RunTask", W, Scope::Regional, 3),
    act("ecs", "DescribeTasks", R, Scope::Regional, 3),
    act("logs", "CreateLogStream", W, Scope::Regional, 4),
    act("monitoring", "PutMetricAlarm", W, Scope::Regional, 1),
    act("iam", "ListRoles", R, Scope::Global, 5),
    act("iam", "GetRole", R, Scope::Global, 5),
    act("iam", "CreateAccessKey", W, Scope::Global, 1),
    act("iam", "AttachRolePolicy", W, Scope::Global, 2),
    act("organizations", "ListAccounts", R, Scope::Global, 3),
    act("organizations", "DescribeOrganization", R, Scope::Global, 3),
    act("route53", "ChangeResourceRecordSets", W, Scope::Global, 1),
    act("signin", "ConsoleLogin", W, Scope::Global, 3),
    act("s3", "GetObject", R, Scope::Data, 9),
    act("s3", "PutObject", W, Scope::Data, 5),
    act("s3", "DeleteObject", W, Scope::Data, 1),
    act("lambda", "Invoke", W, Scope::Data, 5),
    act("dynamodb", "GetItem", R, Scope::Data, 4),
    act("dynamodb", "PutItem", W, Scope::Data, 3),
];

/// The regions that global services and sign-ins record in.
const GLOBAL_REGION: &str = "us-east-1";

/// Where and when a log file's records happen.
pub(super) struct Scene<'a> {
    pub account: &'a Account,
    pub region: &'a Region,
    /// Whose account the records name as recipient: the scene's own, unless somebody tampers.
    pub recipient: AccountId,
    /// The trail logs data events.
    pub data: bool,
    /// Seconds since the epoch between which the calls complete.
    pub span: (i64, i64),
}

/// A log file's inside: its records as JSON texts, and the oldest and newest event.
pub(super) struct Records {
    pub texts: Vec<String>,
    pub oldest: i64,
    pub newest: i64,
}

impl Records {
    /// The file as CloudTrail writes it, before compression.
    pub fn file(&self) -> Vec<u8> {
        format!("{{\"Records\":[{}]}}", self.texts.join(",")).into_bytes()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'a> {
    pub event_version: &'a str,
    pub user_identity: Value,
    pub event_time: String,
    pub event_source: String,
    pub event_name: &'a str,
    pub aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: &'a str,
    pub user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    pub request_parameters: Value,
    pub response_elements: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_event_data: Option<Value>,
    #[serde(rename = "requestID")]
    pub request_id: String,
    #[serde(rename = "eventID")]
    pub event_id: String,
    pub read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    pub event_type: &'a str,
    pub management_event: bool,
    pub recipient_account_id: AccountId,
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none")]
    pub shared_event_id: Option<&'a str>,
    pub event_category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_credential_from_console: Option<&'a str>,
}

/// So many records of a scene, not in the order of their times.
pub(super) fn records(rng: &mut Rng, scene: &Scene<'_>, count: u32) -> Records {
    let candidates: Vec<&Act> = ACTS
        .iter()
        .filter(|act| match act.scope {
            Scope::Data => scene.data,
            Scope::Regional => !scene.data,
            Scope::Global => !scene.data && scene.region.as_str() == GLOBAL_REGION,
        })
        .collect();
    let total: u32 = candidates.iter().map(|act| act.weight).sum();
    let (from, to) = scene.span;
    let mut out = Records { texts: Vec::new(), oldest: i64::MAX, newest: i64::MIN };
    for _ in 0..count.max(1) {
        let mut roll = rng.u32(..total.max(1));
        let chosen = candidates.iter().find(|act| {
            let here = roll < act.weight;
            roll = roll.saturating_sub(act.weight);
            here
        });
        let time = rng.i64(from..to.max(from + 1));
        if let Some(act) = chosen {
            out.texts.push(record(rng, scene, act, time));
            out.oldest = out.oldest.min(time);
            out.newest = out.newest.max(time);
        }
    }
    out
}

fn record(rng: &mut Rng, scene: &Scene<'_>, act: &Act, time: i64) -> String {
    let Some(actor) = actor(rng, scene.account, act) else { return String::new() };
    let id = scene.account.id;
    let data = act.scope == Scope::Data;
    let sign_in = act.service == "signin";
    let refused = if rng.u8(..24) == 0 && !sign_in && actor.kind != ActorKind::Service {
        Some(pick(rng, &["AccessDenied", "Client.UnauthorizedOperation", "ThrottlingException", "ValidationException"]))
    } else {
        None
    };
    let mut parts = parts(rng, scene, act, actor);
    if refused.is_some() || (act.reads && act.service != "sts") {
        parts.answer = Value::Null;
    }
    let failed_sign_in = sign_in && parts.answer.get("ConsoleLogin").is_some_and(|said| said == "Failure");
    let host = format!("{}.{}.amazonaws.com", act.service, scene.region);
    let by_hand = actor.kind == ActorKind::Person;
    serde_json::to_string(&Record {
        event_version: pick(rng, &["1.11", "1.11", "1.10", "1.08"]),
        user_identity: match act.name {
            "AssumeRoleWithWebIdentity" => web_identity(),
            _ => actor.identity(&id, &instant(time - rng.i64(60..14_000)).to_string()),
        },
        event_time: instant(time).to_string(),
        event_source: format!("{}.amazonaws.com", act.service),
        event_name: act.name,
        aws_region: scene.region.as_str(),
        source_ip_address: &actor.ip,
        user_agent: actor.agent,
        error_code: refused,
        error_message: match refused {
            Some(_) => Some(format!("not allowed to perform {}:{}", act.service, act.name)),
            None => failed_sign_in.then(|| "Failed authentication".into()),
        },
        request_parameters: parts.request,
        response_elements: parts.answer,
        additional_event_data: parts.more,
        request_id: guid(rng),
        event_id: guid(rng),
        read_only: act.reads,
        resources: parts.resources,
        event_type: if sign_in { "AwsConsoleSignIn" } else { "AwsApiCall" },
        management_event: !data,
        recipient_account_id: scene.recipient,
        shared_event_id: None,
        event_category: if data { "Data" } else { "Management" },
        tls_details: (actor.kind != ActorKind::Service && !sign_in).then(|| tls(&host)),
        session_credential_from_console: (by_hand && rng.u8(..3) == 0).then_some("true"),
    })
    .unwrap_or_default()
}

/// What a client of today agrees on.
pub(super) fn tls(host: &str) -> Value {
    json!({
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
        "clientProvidedHostHeader": host,
        "keyExchange": "X25519MLKEM768",
    })
}

/// Another policy is put on a bucket.
pub(super) fn policy_put(rng: &mut Rng, scene: &Scene<'_>, bucket: &str) -> String {
    let act = Act { service: "s3", name: "PutBucketPolicy", reads: false, weight: 0, scope: Scope::Regional };
    let mut record: Value = serde_json::from_str(&record(rng, scene, &act, scene.span.1)).unwrap_or_default();
    if let Some(fields) = record.as_object_mut() {
        fields.remove("errorCode");
        fields.remove("errorMessage");
        let host = format!("{bucket}.s3.{}.amazonaws.com", scene.region);
        let request = json!({ "bucketName": bucket, "policy": "", "Host": host });
        fields.insert("requestParameters".into(), request);
    }
    record.to_string()
}

/// A pipeline that shows its provider's token and has no AWS identity yet.
fn web_identity() -> Value {
    let subject = "repo:kestrel/booking:ref:refs/heads/main";
    let provider = "token.actions.githubusercontent.com";
    json!({
        "type": "WebIdentityUser",
        "principalId": format!("{provider}:sts.amazonaws.com:{subject}"),
        "userName": subject,
        "identityProvider": provider,
    })
}

fn actor<'a>(rng: &mut Rng, account: &'a Account, act: &Act) -> Option<&'a Actor> {
    let service = act.name == "AssumeRole" && rng.u8(..2) == 0;
    let fits = |actor: &Actor| match actor.kind {
        ActorKind::Service => service,
        ActorKind::Root => act.service == "signin",
        _ if act.service == "signin" => actor.may_sign_in(),
        _ => !service,
    };
    let count = account.actors.iter().filter(|actor| fits(actor)).count();
    // Root signs in rarely; what else it could do, it does not do here.
    let nth = match rng.usize(..count.max(1)) {
        _ if act.service == "signin" => usize::from(rng.u8(..40) == 0),
        nth => nth,
    };
    account.actors.iter().filter(|actor| fits(actor)).nth(nth)
}

/// The parts of a record that depend on the action.
struct Parts {
    request: Value,
    answer: Value,
    more: Option<Value>,
    resources: Option<Value>,
}

impl From<(Value, Value)> for Parts {
    fn from((request, answer): (Value, Value)) -> Self {
        Self { request, answer, more: None, resources: None }
    }
}

/// Names that show whether a reader knows UTF-8.
const TAGS: &[&str] = &["booking", "Überseefracht", "倉庫", "suivi-dépôt", "tracking", "płatności", "edi 🚚"];

fn parts(rng: &mut Rng, scene: &Scene<'_>, act: &Act, actor: &Actor) -> Parts {
    match act.service {
        "ec2" | "ecs" | "rds" => compute(rng, scene, act).into(),
        "s3" | "dynamodb" | "lambda" => storage(rng, scene, act),
        "sts" | "iam" | "organizations" | "route53" => identity(rng, scene, act).into(),
        "kms" => key_use(rng, scene),
        "signin" => sign_in(rng, actor),
        _ => operations(rng, scene, act).into(),
    }
}

fn compute(rng: &mut Rng, scene: &Scene<'_>, act: &Act) -> (Value, Value) {
    let (account, region) = (&scene.account.id, scene.region);
    let instance = format!("i-0{}", letters(rng, HEX, 16));
    let group = format!("sg-0{}", letters(rng, HEX, 16));
    match act.name {
        "DescribeInstances" => (json!({ "maxResults": 1000, "instancesSet": {}, "filterSet": {} }), Value::Null),
        "DescribeSecurityGroups" => {
            (json!({ "securityGroupSet": {}, "securityGroupIdSet": { "items": [{ "groupId": group }] } }), Value::Null)
        }
        "RunInstances" => (
            json!({ "instancesSet": { "items": [{ "imageId": "ami-0a1b2c3d4e5f60718", "minCount": 1, "maxCount": 1 }] },
                    "instanceType": "m7g.large", "monitoring": { "enabled": true } }),
            json!({ "reservationId": format!("r-0{}", letters(rng, HEX, 16)), "ownerId": account,
                    "instancesSet": { "items": [{ "instanceId": instance, "instanceState": { "code": 0, "name": "pending" } }] } }),
        ),
        "AuthorizeSecurityGroupIngress" => (
            json!({ "groupId": group, "ipPermissions": { "items": [{ "ipProtocol": "tcp", "fromPort": 443, "toPort": 443,
                    "ipRanges": { "items": [{ "cidrIp": "192.0.2.0/24" }] } }] } }),
            json!({ "_return": true }),
        ),
        "CreateTags" => (
            json!({ "resourcesSet": { "items": [{ "resourceId": instance }] },
                    "tagSet": { "items": [{ "key": "team", "value": pick(rng, TAGS) }] } }),
            json!({ "_return": true }),
        ),
        "RunTask" => (
            json!({ "cluster": "depot", "taskDefinition": "tracking:42", "launchType": "FARGATE", "count": 1 }),
            json!({ "failures": [], "tasks": [{ "taskArn": format!("arn:aws:ecs:{region}:{account}:task/depot/{}", letters(rng, HEX, 32)),
                    "lastStatus": "PROVISIONING" }] }),
        ),
        "CreateDBSnapshot" => (
            json!({ "dBInstanceIdentifier": "bookings", "dBSnapshotIdentifier": format!("bookings-{}", letters(rng, HEX, 6)) }),
            json!({ "status": "creating", "percentProgress": 0, "allocatedStorage": 200, "encrypted": true }),
        ),
        "DescribeTasks" => (json!({ "cluster": "depot", "tasks": [letters(rng, HEX, 32)] }), Value::Null),
        _ => (Value::Null, Value::Null),
    }
}

fn storage(rng: &mut Rng, scene: &Scene<'_>, act: &Act) -> Parts {
    let (account, region) = (&scene.account.id, scene.region);
    let bucket = format!("{}-{}", scene.account.name, pick(rng, &["documents", "manifests", "exports"]));
    let table = format!("arn:aws:dynamodb:{region}:{account}:table/{}", pick(rng, &["shipments", "rates", "carriers"]));
    let function = format!("arn:aws:lambda:{region}:{account}:function:{}", pick(rng, &["rate-quote", "label-print"]));
    let object = format!("2026/{}/{}.pdf", pick(rng, TAGS), letters(rng, HEX, 12));
    match (act.service, act.name) {
        ("s3", "GetObject" | "PutObject" | "DeleteObject") => Parts {
            request: json!({ "bucketName": bucket, "key": object, "Host": format!("{bucket}.s3.{region}.amazonaws.com") }),
            answer: json!({ "x-amz-server-side-encryption": "aws:kms" }),
            more: Some(json!({ "SignatureVersion": "SigV4", "bytesTransferredIn": rng.u32(..90_000), "bytesTransferredOut": 0,
                               "AuthenticationMethod": "AuthHeader", "x-amz-id-2": letters(rng, HEX, 40) })),
            resources: Some(json!([
                { "type": "AWS::S3::Object", "ARN": format!("arn:aws:s3:::{bucket}/{object}") },
                { "type": "AWS::S3::Bucket", "ARN": format!("arn:aws:s3:::{bucket}"), "accountId": account },
            ])),
        },
        ("s3", _) => (json!({ "bucketName": bucket, "acl": "", "Host": format!("s3.{region}.amazonaws.com") }), Value::Null).into(),
        ("dynamodb", "GetItem" | "PutItem") => Parts {
            request: json!({ "tableName": table, "key": { "id": letters(rng, HEX, 12) }, "consistentRead": false }),
            answer: Value::Null,
            more: None,
            resources: Some(json!([{ "type": "AWS::DynamoDB::Table", "ARN": table, "accountId": account }])),
        },
        ("lambda", "Invoke") => Parts {
            request: json!({ "functionName": function, "invocationType": "Event" }),
            answer: Value::Null,
            more: Some(json!({ "functionVersion": format!("{function}:$LATEST") })),
            resources: Some(json!([{ "type": "AWS::Lambda::Function", "ARN": function, "accountId": account }])),
        },
        ("lambda", "UpdateFunctionCode20150331v2") => (
            json!({ "functionName": function, "dryRun": false, "publish": true }),
            json!({ "functionArn": function, "runtime": "provided.al2023", "codeSize": rng.u32(10_000..9_000_000), "memorySize": 512 }),
        )
            .into(),
        ("lambda", _) => (Value::Null, Value::Null).into(),
        _ => (json!({ "tableName": table }), json!({ "tableStatus": "UPDATING" })).into(),
    }
}

fn identity(rng: &mut Rng, scene: &Scene<'_>, act: &Act) -> (Value, Value) {
    let account = &scene.account.id;
    let role =
        format!("arn:aws:iam::{account}:role/workload/{}", pick(rng, &["app-runtime", "orders-worker", "ci-deploy"]));
    let session = letters(rng, HEX, 10);
    let credentials = json!({ "accessKeyId": format!("ASIA{}", letters(rng, super::cast::KEY_LETTERS, 16)),
                              "sessionToken": "hidden", "expiration": "Mar 1, 2026 11:12:13 PM" });
    match act.name {
        "AssumeRole" => (
            json!({ "roleArn": role, "roleSessionName": session, "durationSeconds": 3600 }),
            json!({ "credentials": credentials, "assumedRoleUser": { "assumedRoleId": format!("AROAKESTREL:{session}"),
                    "arn": format!("arn:aws:sts::{account}:assumed-role/app-runtime/{session}") } }),
        ),
        "AssumeRoleWithWebIdentity" => (
            json!({ "roleArn": role, "roleSessionName": "github-actions" }),
            json!({ "credentials": credentials, "subjectFromWebIdentityToken": "repo:kestrel/booking:ref:refs/heads/main",
                    "provider": "token.actions.githubusercontent.com", "audience": "sts.amazonaws.com" }),
        ),
        "CreateAccessKey" => (
            json!({ "userName": "edi-partner" }),
            json!({ "accessKey": { "userName": "edi-partner", "status": "Active",
                    "accessKeyId": format!("AKIA{}", letters(rng, super::cast::KEY_LETTERS, 16)) } }),
        ),
        "AttachRolePolicy" => {
            (json!({ "roleName": "ci-deploy", "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" }), Value::Null)
        }
        "GetRole" => (json!({ "roleName": "app-runtime" }), Value::Null),
        "ChangeResourceRecordSets" => (
            json!({ "hostedZoneId": "Z0EXAMPLE", "changeBatch": { "comment": pick(rng, TAGS), "changes": [{ "action": "UPSERT" }] } }),
            json!({ "changeInfo": { "id": "/change/C0EXAMPLE", "status": "PENDING" } }),
        ),
        _ => (Value::Null, Value::Null),
    }
}

fn key_use(rng: &mut Rng, scene: &Scene<'_>) -> Parts {
    let arn = format!("arn:aws:kms:{}:{}:key/{}", scene.region, scene.account.id, guid(rng));
    Parts {
        request: json!({ "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": { "aws:s3:arn": "arn:aws:s3:::manifests" } }),
        answer: Value::Null,
        more: None,
        resources: Some(json!([{ "accountId": scene.account.id, "type": "AWS::KMS::Key", "ARN": arn }])),
    }
}

fn sign_in(rng: &mut Rng, actor: &Actor) -> Parts {
    let said = if rng.u8(..8) == 0 { "Failure" } else { "Success" };
    Parts {
        request: Value::Null,
        answer: json!({ "ConsoleLogin": said }),
        more: Some(json!({ "LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No",
                           "MFAUsed": if actor.kind == ActorKind::Root { "Yes" } else { "No" } })),
        resources: None,
    }
}

fn operations(rng: &mut Rng, scene: &Scene<'_>, act: &Act) -> (Value, Value) {
    let (account, region) = (&scene.account.id, scene.region);
    match act.name {
        "GetSecretValue" => (
            json!({ "secretId": format!("arn:aws:secretsmanager:{region}:{account}:secret:carrier-api") }),
            Value::Null,
        ),
        "GetParametersByPath" => {
            (json!({ "path": "/booking/", "recursive": true, "withDecryption": true }), Value::Null)
        }
        "PutParameter" => (
            json!({ "name": "/booking/rate-limit", "description": pick(rng, TAGS), "type": "SecureString", "overwrite": true }),
            json!({ "version": rng.u64(9_007_199_254_740_993..), "tier": "Standard" }),
        ),
        "StartSession" => (
            json!({ "target": format!("i-0{}", letters(rng, HEX, 16)) }),
            json!({ "sessionId": format!("session-{}", letters(rng, HEX, 17)), "tokenValue": "Value hidden due to security reasons." }),
        ),
        "CreateLogStream" => (
            json!({ "logGroupName": "/ecs/tracking", "logStreamName": format!("web/{}", letters(rng, HEX, 32)) }),
            Value::Null,
        ),
        "GetTrailStatus" => (json!({ "name": "org-main" }), Value::Null),
        "PutMetricAlarm" => (
            json!({ "alarmName": "depot-latency", "threshold": 0.25, "period": 60, "comparisonOperator": "GreaterThanThreshold" }),
            Value::Null,
        ),
        _ => (Value::Null, Value::Null),
    }
}

/// The end of an unusual rate of calls, for `CloudTrail-Insight/`: nothing that anybody is told of.
pub(super) fn insight(rng: &mut Rng, scene: &Scene<'_>) -> Records {
    let time = scene.span.0;
    let text = json!({
        "eventVersion": "1.11",
        "eventTime": instant(time).to_string(),
        "awsRegion": scene.region,
        "eventID": guid(rng),
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": scene.recipient,
        "sharedEventID": guid(rng),
        "insightDetails": {
            "state": "End",
            "eventSource": "ec2.amazonaws.com",
            "eventName": "RunInstances",
            "insightType": "ApiCallRateInsight",
            "insightContext": { "statistics": {
                "baseline": { "average": 0.001_291 }, "insight": { "average": 6.5 },
                "insightDuration": 2, "baselineDuration": 10_080,
            } },
        },
        "eventCategory": "Insight",
    });
    Records { texts: vec![text.to_string()], oldest: time, newest: time }
}

/// A call that a VPC endpoint refused, for `CloudTrail-NetworkActivity/`.
pub(super) fn network(rng: &mut Rng, scene: &Scene<'_>) -> Records {
    let time = scene.span.0;
    let account = scene.account.id;
    let text = json!({
        "eventVersion": "1.09",
        "userIdentity": { "type": "AWSAccount", "accountId": account },
        "eventTime": instant(time).to_string(),
        "eventSource": "kms.amazonaws.com",
        "eventName": "Decrypt",
        "awsRegion": scene.region,
        "sourceIPAddress": "192.0.2.77",
        "errorCode": "VpceAccessDenied",
        "errorMessage": "The request was denied due to a VPC endpoint policy",
        "requestID": guid(rng),
        "eventID": guid(rng),
        "eventType": "AwsVpceEvent",
        "recipientAccountId": scene.recipient,
        "vpcEndpointId": format!("vpce-0{}", letters(rng, HEX, 16)),
        "vpcEndpointAccountId": account,
        "eventCategory": "NetworkActivity",
    });
    Records { texts: vec![text.to_string()], oldest: time, newest: time }
}

/// Five minutes of data events in sum, for `CloudTrail-Aggregated/`: no event time, other field names.
pub(super) fn aggregated(rng: &mut Rng, scene: &Scene<'_>) -> Records {
    let start = scene.span.0 - scene.span.0.rem_euclid(300);
    let text = json!({
        "eventVersion": "1.0",
        "accountId": scene.recipient,
        "eventId": guid(rng),
        "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent",
        "awsRegion": scene.region,
        "eventSource": "s3.amazonaws.com",
        "timeWindow": {
            "windowStart": instant(start).to_string(), "windowEnd": instant(start + 300).to_string(), "windowSize": "PT5M",
        },
        "summary": { "primaryDimension": {
            "dimension": "eventName", "aggregationType": "Count",
            "statistics": [{ "name": "GetObject", "value": rng.u32(1..5_000) }],
        }, "details": [] },
    });
    Records { texts: vec![text.to_string()], oldest: start, newest: start }
}
