//! Engines that we did not write read the archive by the tables that we print, and answer AWS's published queries as a slow look
//! at every record does.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use trailwarden::archive::ddl::{Engine, ddl};
use trailwarden::archive::schema;

use crate::common::emulator::{engines, spark};
use crate::ground::{Ground, key};

const ACCOUNTS: [&str; 3] = ["111122220000", "111122220001", "111122220002"];
const DAYS: usize = 4;
/// Logs of an account and a day, and records of each.
const LOGS: usize = 5;
const RECORDS: usize = 25;

/// Rows of each query, by its name.
type Answers = BTreeMap<String, Vec<Vec<Value>>>;

#[derive(Deserialize)]
struct Answer {
    query: String,
    rows: Vec<Vec<Value>>,
}

/// What a parser made of a statement.
#[derive(Deserialize)]
struct Statement {
    statement: String,
    columns: BTreeMap<String, String>,
    properties: BTreeMap<String, String>,
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history").join(file)
}

/// The queries that AWS publishes, as they stand for Athena.
fn queries() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(here("athena")).expect("a folder").map(|file| file.expect("a file").path());
    files
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, std::fs::read_to_string(&path).expect("a query").trim().trim_end_matches(';').to_owned())
        })
        .collect()
}

/// What happens, and on what.
fn call(rng: &mut Rng) -> Value {
    const CALLS: [(&str, &str); 8] = [
        ("s3", "GetObject"),
        ("s3", "PutObject"),
        ("s3", "DeleteObject"),
        ("signin", "ConsoleLogin"),
        ("ec2", "AuthorizeSecurityGroupIngress"),
        ("ec2", "RevokeSecurityGroupEgress"),
        ("ec2", "RunInstances"),
        ("kms", "Decrypt"),
    ];
    let (service, name) = CALLS[rng.usize(..CALLS.len())];
    let bucket = if rng.bool() { "example-bucket" } else { "bück\"et" };
    let group = if rng.bool() { "sg-5887f224" } else { "sg-1" };
    let (parameters, answer) = match name {
        "GetObject" | "PutObject" => (json!({"bucketName": bucket, "key": format!("k/{}", rng.u8(..9))}), Value::Null),
        "DeleteObject" => (json!({"key": "no bucket\nat all"}), Value::Null),
        "ConsoleLogin" => (Value::Null, json!({"ConsoleLogin": if rng.bool() { "Success" } else { "Failure" }})),
        "RunInstances" => (json!({"instancesSet": {"items": [{"imageId": "ami-1"}]}, "n": 5}), json!({"a": [1, null]})),
        "Decrypt" => (Value::Null, Value::Null),
        _ => (json!({"groupId": group, "ipPermissions": {"items": [{"fromPort": 22}]}}), json!({"_return": true})),
    };
    let mut call = json!({"eventSource": format!("{service}.amazonaws.com"), "eventName": name, "requestParameters": parameters,
        "responseElements": answer});
    if name == "ConsoleLogin" {
        call["additionalEventData"] = json!({"MFAUsed": if rng.bool() { "Yes" } else { "No" }, "MobileVersion": "No"});
    }
    call
}

fn identity(rng: &mut Rng, account: &str) -> Value {
    let name = ["alice", "bob", "zoë"][rng.usize(..3)];
    match rng.u8(..6) {
        0 => {
            json!({"type": "Root", "principalId": account, "arn": format!("arn:aws:iam::{account}:root"), "accountId": account})
        }
        1 => {
            json!({"type": "Root", "principalId": account, "arn": format!("arn:aws:iam::{account}:root"), "invokedBy": "AWS Internal"})
        }
        2 => json!({"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}),
        3 => json!({"type": "IAMUser", "userName": name, "arn": format!("arn:aws:iam::{account}:user/{name}")}),
        _ => {
            json!({"type": "AssumedRole", "arn": format!("arn:aws:sts::{account}:assumed-role/deploy/{name}"), "accountId": account,
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::{account}:role/deploy")},
                "attributes": {"creationDate": format!("2026-03-01T0{}:00:00Z", rng.u8(..9)), "mfaAuthenticated": "false"}}})
        }
    }
}

fn record(rng: &mut Rng, account: &str, day: usize, number: usize) -> String {
    let mut record = call(rng);
    record["eventVersion"] = json!("1.11");
    record["userIdentity"] = identity(rng, account);
    record["eventTime"] =
        json!(format!("2026-03-{:02}T{:02}:{:02}:{:02}Z", day * 5, rng.u8(..24), rng.u8(..60), rng.u8(..60)));
    record["awsRegion"] = json!("eu-west-1");
    record["sourceIPAddress"] = json!(format!("192.0.2.{}", rng.u8(..4)));
    record["userAgent"] = json!(rng.choice(["aws-cli/2.1", "Boto3/1.2", "console.amazonaws.com", "xBoto3/1"]));
    record["eventID"] = json!(format!("{:08x}-{number:06}", rng.u32(..)));
    record["eventType"] = json!(rng.choice(["AwsApiCall", "AwsServiceEvent"]));
    record["recipientAccountId"] = json!(account);
    record["readOnly"] = json!(rng.bool());
    if rng.u8(..3) == 0 {
        record["errorCode"] = json!(rng.choice(["AccessDenied", "Client.UnauthorizedOperation", "NoSuchKey"]));
    }
    if rng.bool() {
        let arn = |rng: &mut Rng| format!("arn:aws:s3:::b{}", rng.u8(..6));
        record["resources"] = json!([{"ARN": arn(rng), "type": "AWS::S3::Bucket"}, {"ARN": arn(rng), "accountId": account},
            {"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::b1/"}]);
    }
    if rng.u8(..4) > 0 {
        record["tlsDetails"] =
            json!({"tlsVersion": rng.choice(["TLSv1.1", "TLSv1.2", "TLSv1.3"]), "cipherSuite": "ECDHE-RSA"});
    }
    if rng.u8(..20) == 0 {
        record["newMember"] = json!({"of": ["next", "year"], "é": "\u{1}"});
    }
    record.to_string()
}

/// An archive of small files, of large ones, and of replaced ones that are still there; and the records that it was made of.
async fn filled() -> (Ground, Vec<String>) {
    let ground = Ground::new(&ACCOUNTS.map(str::to_owned)).await;
    let archive = ground.start().await;
    let (mut rng, mut all) = (Rng::with_seed(5), Vec::new());
    for round in 0..LOGS {
        for (at, account) in ACCOUNTS.iter().enumerate() {
            for day in 1..=DAYS {
                let number = (round * ACCOUNTS.len() + at) * DAYS + day;
                let records: Vec<String> =
                    (0..RECORDS).map(|nth| record(&mut rng, account, day, number * RECORDS + nth)).collect();
                ground.deliver(0, &key(account, day * 5, number), &records).await;
                // the other trail tells the same
                ground.deliver(1, &key(account, day * 5, number), &records).await;
                all.extend(records);
            }
        }
        archive.catch_up().await.expect("archived");
        if round == LOGS / 2 {
            archive.compact(true, |_| ()).await.expect("large files");
        }
    }
    assert!(ground.files().await.len() < archive.place.bucket.list("date=", None).await.expect("files").objects.len());
    (ground, all)
}

/// Tells a Python program its task, and takes a line of JSON after another.
fn ask<T: for<'d> Deserialize<'d>>(python: &Path, script: &str, task: &Value) -> Vec<T> {
    let mut child = Command::new(python)
        .arg(here(script))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python runs");
    child.stdin.take().expect("a pipe").write_all(task.to_string().as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
        .collect()
}

fn answers(python: &Path, task: &Value) -> Answers {
    ask::<Answer>(python, "engines/ask.py", task).into_iter().map(|answer| (answer.query, answer.rows)).collect()
}

/// What every engine is told.
async fn asked(ground: &Ground, records: &[String]) -> Value {
    let text = ground.dir.path().join("records");
    std::fs::write(&text, records.iter().map(|record| format!("{record}\n")).collect::<String>()).expect("a file");
    let files: Vec<PathBuf> = ground.files().await.into_iter().map(|file| ground.place().join(file.name)).collect();
    json!({"files": files, "records": text, "queries": queries(), "scratch": ground.dir.path().join("scratch")})
}

fn same(engine: &str, found: &Answers, wanted: &Answers) {
    for (query, rows) in wanted {
        assert_eq!(found.get(query), Some(rows), "{engine}: {query}");
    }
}

#[tokio::test]
async fn three_engines_answer_what_aws_publishes_as_a_slow_look_does() {
    let Some(python) = engines() else { return };
    let (ground, records) = filled().await;
    let queries = queries();
    assert_eq!(queries.len(), 10);
    let address = format!("file://{}/", ground.place().display());
    let asked = asked(&ground, &records).await;
    let task = |engine: &str, of: Option<Engine>| {
        let mut task = asked.clone();
        (task["engine"], task["ddl"]) = (json!(engine), json!(of.map(|of| ddl(of, &address))));
        task
    };
    let wanted = answers(&python, &task("hand", None));
    assert_eq!(wanted.keys().filter(|name| *name != "whole").collect::<Vec<_>>(), queries.keys().collect::<Vec<_>>());
    assert!(wanted.values().all(|rows| rows.len() > 3), "{:?}", wanted.iter().map(|(name, rows)| (name, rows.len())));
    assert_eq!(wanted["whole"].len(), ACCOUNTS.len() * DAYS * LOGS * RECORDS);
    same("DuckDB", &answers(&python, &task("duckdb", Some(Engine::DuckDb))), &wanted);
    // the view with the whole record is for SQL alone
    let columns: Answers = wanted.clone().into_iter().filter(|(name, _)| name != "whole").collect();
    same("Polars", &answers(&python, &task("polars", None)), &columns);
    if let Some(python) = spark() {
        same("Spark", &answers(&python, &task("spark", Some(Engine::Spark))), &wanted);
    }
}

#[cfg(feature = "sql")]
#[tokio::test]
async fn our_own_sql_answers_what_aws_publishes_as_a_slow_look_does() {
    let Some(python) = engines() else { return };
    let (ground, records) = filled().await;
    let mut task = asked(&ground, &records).await;
    task["engine"] = json!("hand");
    let mut wanted = answers(&python, &task);
    wanted.remove("whole");
    let config = ground.dir.path().join("trailwarden.toml");
    task["engine"] = json!("command");
    task["command"] =
        json!([env!("CARGO_BIN_EXE_trailwarden"), "query", "--quiet", "--format", "json", "--config", config, "--"]);
    same("trailwarden", &answers(&python, &task), &wanted);
}

/// The names and types of all columns as Trino writes them.
fn columns() -> BTreeMap<String, String> {
    use arrow_schema::{DataType, Field};
    fn kind(of: &DataType) -> String {
        let inner = |field: &std::sync::Arc<Field>| format!("{} {}", field.name(), kind(field.data_type()));
        match of {
            DataType::Struct(fields) => format!("row({})", fields.iter().map(inner).collect::<Vec<_>>().join(", ")),
            DataType::List(element) => format!("array({})", kind(element.data_type())),
            DataType::Timestamp(..) => "timestamp".into(),
            _ => "varchar".into(),
        }
    }
    schema::schema().fields().iter().map(|field| (field.name().clone(), kind(field.data_type()))).collect()
}

#[test]
fn a_parser_that_is_not_ours_reads_the_tables_of_athena_and_trino_as_they_are_meant() {
    let Some(python) = engines() else { return };
    let place = "s3://acme/v1/";
    let parsed = |engine: &str, of| -> Vec<Statement> {
        ask(&python, "engines/parse.py", &json!({"engine": engine, "ddl": ddl(of, place)}))
    };
    let kinds = |statements: &[Statement]| -> Vec<String> {
        statements.iter().map(|statement| statement.statement.clone()).collect()
    };
    let athena = parsed("athena", Engine::Athena);
    assert_eq!(kinds(&athena), ["create TABLE", "create VIEW"]);
    assert_eq!(athena[0].columns, columns());
    let of = |name: &str| athena[0].properties.get(name).map(String::as_str);
    assert_eq!(of("partitioned by"), Some("date"));
    assert_eq!(of("location"), Some("s3://acme/v1/manifest/"));
    assert_eq!(of("storage.location.template"), Some("s3://acme/v1/manifest/date=${date}"));
    assert_eq!(of("projection.enabled"), Some("true"));

    let trino = parsed("trino", Engine::Trino);
    assert_eq!(kinds(&trino), ["create TABLE", "command", "create VIEW"], "the call is no statement that it knows");
    let mut wanted = columns();
    wanted.insert("delivered_at".into(), "timestamp(3)".into());
    wanted.insert("date".into(), "varchar".into());
    assert_eq!(trino[0].columns, wanted);
    assert_eq!(trino[0].properties.get("external_location").map(String::as_str), Some(place));
}
