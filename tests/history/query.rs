//! SQL over the archive: what is answered is what a slow look at every record answers, and nothing else can be done with it.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use serde_json::{Map, Value, json};
use trailwarden::archive::raw::{Effort, Raw};
use trailwarden::archive::sql::print::{Format, Printer};
use trailwarden::archive::sql::{ArchiveTable, Engine, Fault, Limits, RawTable, Scanned, Verdicts, Window};
use trailwarden::core::gzip::Caps;
use trailwarden::core::lookup::Question;
use trailwarden::delivery::Memory;
use trailwarden::local::dir::Dir;

use crate::common::warden::{stderr, stdout, verb};
use crate::ground::{Ground, key};

const ACCOUNT: &str = "111122220000";
const RECORDS: usize = 600;

fn limits(ground: &Ground) -> Limits {
    Limits { memory: 128 << 20, spill: 1 << 30, scratch: ground.dir.path().to_owned() }
}

fn told() -> Verdicts {
    Verdicts { ask: Box::new(|logs: &[(String, String)]| Ok(vec!["pending"; logs.len()])), without: "imported" }
}

async fn engine(ground: &Ground, limits: Limits, window: Window) -> (Engine, Arc<Scanned>) {
    let place = ground.works.archive.as_ref().expect("an archive").place.clone();
    let scanned = Arc::<Scanned>::default();
    let table = ArchiveTable::new(place, ground.files().await, scanned.clone());
    (Engine::new(&limits, Arc::new(table), told(), window).expect("an engine"), scanned)
}

async fn rows(engine: &Engine, sql: &str, values: &[(String, String)]) -> Result<Vec<Map<String, Value>>, Fault> {
    let mut answer = engine.ask(sql, values, 2).await?;
    let mut printer = Printer::new(Format::Json, answer.schema().clone(), Vec::new(), false)?;
    while let Some(batch) = answer.next().await {
        printer.print(&batch?).expect("printed");
    }
    let lines = String::from_utf8(printer.end().expect("ended")).expect("text");
    Ok(lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect())
}

async fn ask(ground: &Ground, sql: &str) -> Vec<Map<String, Value>> {
    let (engine, _) = engine(ground, limits(ground), Window::default()).await;
    rows(&engine, sql, &[]).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"))
}

async fn one(ground: &Ground, sql: &str) -> Value {
    ask(ground, sql).await.first().and_then(|row| row.values().next().cloned()).unwrap_or_default()
}

/// A record that some of the questions are about.
fn record(rng: &mut Rng, number: usize) -> Value {
    let day = 1 + number % 20;
    let principal = rng.u8(..4);
    let identity = match rng.u8(..6) {
        0 => json!({"type": "Root", "arn": format!("arn:aws:iam::{ACCOUNT}:root"), "accountId": ACCOUNT}),
        1 => json!({"type": "AWSAccount", "accountId": "anonymous", "principalId": ""}),
        2 => json!({"type": "AssumedRole", "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/s{principal}"),
            "accessKeyId": format!("ASIA{principal}"),
            "sessionContext": {"attributes": {"creationDate": "2026-03-01T00:00:00Z", "mfaAuthenticated": "false"},
                "sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::{ACCOUNT}:role/deploy")}}}),
        _ => json!({"type": "IAMUser", "userName": format!("u{principal}"), "accessKeyId": format!("AKIA{principal}"),
            "arn": format!("arn:aws:iam::{ACCOUNT}:user/u{principal}")}),
    };
    let (source, name, request, response) = match rng.u8(..6) {
        0 => (
            "signin.amazonaws.com",
            "ConsoleLogin",
            Value::Null,
            json!({"ConsoleLogin": rng.choice(["Success", "Failure"])}),
        ),
        1 => (
            "s3.amazonaws.com",
            "GetObject",
            json!({"bucketName": "example-bucket", "key": format!("k{number}")}),
            Value::Null,
        ),
        2 => ("s3.amazonaws.com", "PutObject", json!({"bucketName": "other", "key": "a/b"}), Value::Null),
        3 => (
            "ec2.amazonaws.com",
            "AuthorizeSecurityGroupIngress",
            json!({"groupId": rng.choice(["sg-5887f224", "sg-1"])}),
            Value::Null,
        ),
        4 => ("sts.amazonaws.com", "AssumeRole", json!({"roleArn": "arn:aws:iam::1:role/x"}), Value::Null),
        _ => ("ec2.amazonaws.com", "DescribeInstances", json!("odd"), Value::Null),
    };
    let mut record = json!({
        "userIdentity": identity, "eventSource": source, "eventName": name, "awsRegion": "eu-west-1",
        "eventTime": format!("2026-03-{day:02}T{:02}:{:02}:{:02}Z", rng.u8(..24), rng.u8(..60), rng.u8(..60)),
        "sourceIPAddress": rng.choice(["192.0.2.7", "192.0.2.200", "2001:db8::7", "ec2.amazonaws.com"]),
        "userAgent": rng.choice(["aws-cli/2.1 x", "Boto3/1.2", "Mozilla/5.0"]),
        "requestParameters": request, "responseElements": response, "readOnly": rng.bool(),
        "eventType": "AwsApiCall", "recipientAccountId": ACCOUNT, "eventID": format!("e{number:06}"),
    });
    if rng.u8(..3) == 0 {
        record["errorCode"] = json!(rng.choice(["AccessDenied", "Client.UnauthorizedOperation", "Throttling"]));
    }
    if rng.bool() {
        let arn = |n: u8| json!({"ARN": format!("arn:aws:s3:::b{n}"), "type": "AWS::S3::Bucket", "accountId": ACCOUNT});
        record["resources"] = json!([arn(rng.u8(..4)), {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"}]);
    }
    if rng.bool() {
        record["tlsDetails"] = json!({"tlsVersion": rng.choice(["TLSv1.2", "TLSv1.3", "TLSv1"])});
    }
    if rng.bool() {
        record["additionalEventData"] = json!({"MFAUsed": rng.choice(["Yes", "No"])});
    }
    record
}

async fn world() -> (Ground, Vec<Value>) {
    let ground = Ground::new(&[ACCOUNT.to_owned()]).await;
    let archive = ground.start().await;
    let mut rng = Rng::with_seed(5);
    let records: Vec<Value> = (0..RECORDS).map(|number| record(&mut rng, number)).collect();
    for (number, log) in records.chunks(40).enumerate() {
        let texts: Vec<String> = log.iter().map(Value::to_string).collect();
        ground.deliver(0, &key(ACCOUNT, 20, number), &texts).await;
        if number % 4 == 3 {
            archive.catch_up().await.expect("archived");
        }
    }
    archive.catch_up().await.expect("archived");
    (ground, records)
}

fn text<'r>(record: &'r Value, pointer: &str) -> &'r str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The ids of records of which something holds, in order of time.
fn those(records: &[Value], holds: impl Fn(&Value) -> bool) -> Vec<&Value> {
    let mut found: Vec<&Value> = records.iter().filter(|record| holds(record)).collect();
    found.sort_by_key(|record| (text(record, "/eventTime"), text(record, "/eventID")));
    found
}

const ATHENA: [(&str, &str); 10] = [
    ("01", include_str!("athena/01_who_called_what.sql")),
    ("02", include_str!("athena/02_issuers_of_sessions.sql")),
    ("03", include_str!("athena/03_console_logins.sql")),
    ("04", include_str!("athena/04_anonymous_requests.sql")),
    ("05", include_str!("athena/05_root_activity.sql")),
    ("06", include_str!("athena/06_security_group_changes.sql")),
    ("07", include_str!("athena/07_object_access.sql")),
    ("08", include_str!("athena/08_denied_calls.sql")),
    ("09", include_str!("athena/09_resources.sql")),
    ("10", include_str!("athena/10_old_tls.sql")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_queries_run_as_they_are() {
    let (ground, records) = world().await;
    for (number, sql) in ATHENA {
        let found = ask(&ground, sql).await;
        let times: Vec<&str> = found.iter().filter_map(|row| row.get("eventtime")?.as_str()).collect();
        let expected = match number {
            "01" => those(&records, |_| true).into_iter().take(100).collect(),
            "03" => those(&records, |record| text(record, "/eventName") == "ConsoleLogin"),
            "04" => those(&records, |record| {
                text(record, "/eventName") == "GetObject" && text(record, "/userIdentity/accountId") == "anonymous"
            }),
            "05" => those(&records, |record| text(record, "/userIdentity/type") == "Root"),
            "06" => those(&records, |record| text(record, "/requestParameters/groupId") == "sg-5887f224"),
            "07" => those(&records, |record| {
                text(record, "/eventName") == "PutObject" && text(record, "/eventTime") < "2026-03-15"
            }),
            _ => Vec::new(),
        };
        assert!(!found.is_empty(), "{number}");
        if !times.is_empty() {
            let expected: Vec<&str> = expected.iter().map(|record| text(record, "/eventTime")).collect();
            assert_eq!(times, expected, "{number}");
        }
        let sum = |column: &str| found.iter().filter_map(|row| row.get(column)?.as_u64()).sum::<u64>();
        match number {
            "02" => assert!(found.iter().all(|row| row["arn"] == format!("arn:aws:iam::{ACCOUNT}:role/deploy"))),
            "03" => {
                let expected: Vec<&Value> = expected
                    .iter()
                    .map(|record| record.pointer("/additionalEventData/MFAUsed").unwrap_or(&Value::Null))
                    .collect();
                assert_eq!(found.iter().map(|row| &row["mfa"]).collect::<Vec<_>>(), expected);
            }
            "08" => {
                let denied = those(&records, |record| {
                    ["AccessDenied", "Client.UnauthorizedOperation"].contains(&text(record, "/errorCode"))
                });
                assert!(sum("calls") > denied.len() as u64 / 2 && sum("calls") <= denied.len() as u64);
            }
            "09" => {
                let listed: usize =
                    records.iter().map(|record| record["resources"].as_array().map_or(0, Vec::len)).sum();
                assert_eq!(sum("events"), listed as u64);
            }
            "10" => {
                let old =
                    those(&records, |record| ["TLSv1", "TLSv1.2"].contains(&text(record, "/tlsDetails/tlsVersion")));
                assert_eq!(sum("calls"), old.len() as u64);
                let tools = old.iter().filter(|record| !text(record, "/userAgent").starts_with("Mozilla"));
                assert_eq!(sum("by_tools"), tools.count() as u64);
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_records_verdicts_and_times_are_columns_too() {
    let (ground, records) = world().await;
    let found = ask(&ground, "SELECT eventid, record, integrity FROM cloudtrail ORDER BY eventid").await;
    let texts: Vec<String> = records.iter().map(Value::to_string).collect();
    assert_eq!(found.iter().map(|row| row["record"].as_str().expect("a text")).collect::<Vec<_>>(), texts);
    assert!(found.iter().all(|row| row["integrity"] == "pending"));
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_second();
    let (from, to) = ("2026-03-05T12:00:00Z", "2026-03-09T00:00:00Z");
    let window = Window { from: Some(seconds(from)), to: Some(seconds(to)) };
    let (engine, scanned) = engine(&ground, limits(&ground), window).await;
    let found = rows(&engine, "SELECT count(*) AS n FROM cloudtrail", &[]).await.expect("an answer");
    let expected = those(&records, |record| (from..to).contains(&text(record, "/eventTime"))).len();
    assert_eq!(found[0]["n"], expected);
    let found =
        rows(&engine, "SELECT count(*) AS n FROM cloudtrail WHERE date = '2026-03-06'", &[]).await.expect("an answer");
    assert_eq!(found[0]["n"], those(&records, |record| text(record, "/eventTime").starts_with("2026-03-06")).len());
    assert!(scanned.files_out.load(std::sync::atomic::Ordering::Relaxed) > 0, "by their date");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_may_stand_in_a_question_more_than_once() {
    let (ground, records) = world().await;
    let pairs = "SELECT count(*) FROM cloudtrail a JOIN cloudtrail b ON a.eventid = b.eventid";
    assert_eq!(one(&ground, pairs).await, RECORDS);
    let both = "SELECT count(*) FROM (SELECT eventid FROM cloudtrail UNION ALL SELECT eventid FROM cloudtrail_logs)";
    assert_eq!(one(&ground, both).await, 2 * RECORDS);
    let within = "WITH denied AS (SELECT eventid FROM cloudtrail WHERE errorcode = 'AccessDenied')
        SELECT count(*) FROM cloudtrail WHERE eventid IN (SELECT eventid FROM denied)";
    assert_eq!(
        one(&ground, within).await,
        those(&records, |record| text(record, "/errorCode") == "AccessDenied").len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_never_a_part_of_the_question() {
    let (ground, records) = world().await;
    let (engine, _) = engine(&ground, limits(&ground), Window::default()).await;
    let sql = "SELECT count(*) AS n FROM cloudtrail WHERE useridentity.accesskeyid = $key";
    let count = |value: &str| vec![("key".to_owned(), value.to_owned())];
    let found = rows(&engine, sql, &count("AKIA1")).await.expect("an answer");
    assert_eq!(found[0]["n"], those(&records, |record| text(record, "/userIdentity/accessKeyId") == "AKIA1").len());
    let found = rows(&engine, sql, &count("' OR 1=1 --")).await.expect("an answer");
    assert_eq!(found[0]["n"], 0);
    assert!(matches!(rows(&engine, sql, &[]).await, Err(Fault::Usage(_))), "a value is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_can_be_written_set_or_read_but_the_table() {
    let (ground, _) = world().await;
    let (engine, _) = engine(&ground, limits(&ground), Window::default()).await;
    let at = ground.dir.path().join("out.csv");
    let out = at.display();
    for sql in [
        format!("COPY cloudtrail TO '{out}'"),
        format!("COPY (SELECT 1) TO '{out}' STORED AS CSV"),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'".into(),
        "CREATE TABLE t AS SELECT 1".into(),
        "CREATE VIEW v AS SELECT 1".into(),
        "SELECT 1 AS a INTO t".into(),
        "DROP TABLE cloudtrail".into(),
        "INSERT INTO cloudtrail SELECT * FROM cloudtrail".into(),
        "DELETE FROM cloudtrail".into(),
        "UPDATE cloudtrail SET eventname = 'x'".into(),
        "SET datafusion.execution.batch_size = 1".into(),
        "RESET datafusion.execution.batch_size".into(),
        "PREPARE p AS SELECT 1".into(),
        format!("EXPLAIN COPY cloudtrail TO '{out}'"),
        format!("EXPLAIN ANALYZE COPY cloudtrail TO '{out}'"),
        "SELECT * FROM '/etc/passwd'".into(),
        "SELECT * FROM \"file:///etc/passwd\"".into(),
        "SELECT * FROM '/etc/passwd.csv'".into(),
        "SELECT * FROM 's3://bucket/key.parquet'".into(),
        "SELECT * FROM read_csv('/etc/passwd')".into(),
        "SELECT * FROM parquet_metadata('/etc/passwd')".into(),
        "SELECT 1; SELECT 2".into(),
        String::new(),
        "-- nothing".into(),
    ] {
        let outcome = rows(&engine, &sql, &[]).await;
        assert!(matches!(outcome, Err(Fault::Usage(_))), "{sql}: {outcome:?}");
    }
    assert!(!at.exists());
    for sql in [
        "SHOW TABLES",
        "DESCRIBE cloudtrail",
        "EXPLAIN SELECT 1",
        "SELECT * FROM information_schema.columns",
        "SHOW COLUMNS FROM cloudtrail",
    ] {
        assert!(!rows(&engine, sql, &[]).await.expect(sql).is_empty(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_question_is_said_in_words() {
    let (ground, _) = world().await;
    let (engine, _) = engine(&ground, limits(&ground), Window::default()).await;
    for (sql, says) in [
        ("SELEC 1", "found: SELEC at line 1, column 1"),
        ("SELECT eventnam FROM cloudtrail", "Did you mean 'cloudtrail.eventname'?"),
        ("SELECT useridentity.arm FROM cloudtrail", "arm not found"),
        ("SELECT * FROM cloud", "table 'cloud' not found at line 1, column 15"),
        ("SELECT nothing(eventname) FROM cloudtrail", "Invalid function 'nothing'"),
        ("SELECT 'a", "Unterminated string literal at line 1, column 8"),
        ("SELECT eventname, count(*) FROM cloudtrail", "GROUP BY"),
        ("SELECT json_extract(requestparameters, '$..') FROM cloudtrail", "`$..` is no path"),
        ("SELECT $key", "$key has no value: --param"),
        (&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)), "nests too deeply"),
        (&format!("SELECT 1{}", " + 1".repeat(20_000)), "the question is too long"),
    ] {
        let Err(Fault::Usage(text)) = rows(&engine, sql, &[]).await else { panic!("{sql:.60}") };
        assert!(text.contains(says), "{sql:.60}: {text}");
        assert!(
            !["DataFusion", "datafusion", "backtrace", "\n"].iter().any(|ceremony| text.contains(ceremony)),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_has_no_room_for_goes_to_the_disk_or_is_refused_in_words() {
    let ground = Ground::new(&[ACCOUNT.to_owned()]).await;
    let sort = "SELECT value, value % 1000 AS part FROM generate_series(1, 2000000) ORDER BY part, value";
    let small = Limits { memory: 24 << 20, ..limits(&ground) };
    let (roomy, scanned) = engine(&ground, small.clone(), Window::default()).await;
    let mut answer = roomy.ask(sort, &[], 2).await.expect("an answer");
    let mut found = 0;
    while let Some(batch) = answer.next().await {
        found += batch.expect("rows").num_rows();
    }
    assert_eq!(found, 2_000_000);
    let disk = answer.effort(&scanned).pop().expect("a line");
    assert!(disk.starts_with("disk: ") && !disk.starts_with("disk: 0 "), "{disk}");
    drop(answer);
    let (no_disk, _) = engine(&ground, Limits { spill: 1 << 20, ..small.clone() }, Window::default()).await;
    let refused = |outcome: Result<Vec<_>, Fault>| match outcome {
        Err(Fault::Memory(text) | Fault::Disk(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(rows(&no_disk, sort, &[]).await).contains("--spill"));
    let join =
        "SELECT count(*) FROM generate_series(1, 2000000) a JOIN generate_series(1, 2000000) b ON a.value = b.value";
    let tiny = Limits { memory: 4 << 20, ..small };
    let (tiny, _) = engine(&ground, tiny, Window::default()).await;
    assert!(refused(rows(&tiny, join, &[]).await).contains("--memory"));
}

fn raw(ground: &Ground) -> (Engine, Arc<Mutex<Effort>>) {
    let env = ground.env.clone();
    let raw = Raw {
        bucket: Arc::new(Dir::open(&ground.dir.path().join("one")).expect("a bucket")),
        prefix: String::new(),
        object_limit: 64 << 20,
        caps: Caps::default(),
        memory: Memory::new(64 << 20, env.clone()),
        env,
        question: Question::default(),
    };
    let effort = Arc::<Mutex<Effort>>::default();
    let table = RawTable::new(raw, Arc::default(), effort.clone());
    (Engine::new(&limits(ground), Arc::new(table), told(), Window::default()).expect("an engine"), effort)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_logs_answer_as_the_archive_does() {
    let (ground, records) = world().await;
    // an event that is delivered again
    ground.deliver(0, &key(ACCOUNT, 21, 1), &[records[0].to_string()]).await;
    let (engine, effort) = raw(&ground);
    for sql in [
        "SELECT eventid, date, record, useridentity.arn, resources, delivered_at IS NULL FROM cloudtrail WHERE eventid <> 'e000000' ORDER BY eventid",
        "SELECT count(*) FROM cloudtrail WHERE eventname = 'ConsoleLogin' AND useridentity.type IN ('Root', 'IAMUser')",
        "SELECT count(*) FROM cloudtrail WHERE useridentity.sessioncontext.sessionissuer.arn = 'arn:aws:iam::111122220000:role/deploy'",
        "SELECT count(*) FROM cloudtrail a JOIN cloudtrail b ON a.eventid = b.eventid",
        ATHENA[8].1,
    ] {
        let found = rows(&engine, sql, &[]).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        assert_eq!(found, ask(&ground, sql).await, "{sql}");
    }
    let effort = effort.lock().expect("counted").clone();
    assert_eq!((effort.logs, effort.records, effort.repeats), (16, RECORDS as u64 + 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_records_are_rows_like_others() {
    let ground = Ground::new(&[ACCOUNT.to_owned()]).await;
    let archive = ground.start().await;
    let wide: String = (0..10_000).map(|number| format!("\"f{number}\":{number},")).collect();
    let long = "x".repeat(256 << 10);
    let time = "\"eventTime\":\"2026-03-01T10:00:00Z\"";
    let texts = [
        (
            "deep",
            format!(
                "{{{time},\"eventID\":\"deep\",\"requestParameters\":{{\"a\":{}{},\"b\":7}}}}",
                "[".repeat(5_000),
                "]".repeat(5_000)
            ),
        ),
        ("long", format!("{{{time},\"eventID\":\"long\",\"userAgent\":\"{long}\"}}")),
        ("nul", format!("{{\"userAgent\":\"a\\u0000b\\ud800\",{time},\"eventID\":\"nul\",\"eventName\":\"=1+1\"}}")),
        ("number", format!("{{\"readOnly\":1e999,\"requestParameters\":5,{time},\"eventID\":\"number\"}}")),
        (
            "structs",
            format!(
                "{{\"userIdentity\":\"me\",\"resources\":{{\"a\":1}},\"tlsDetails\":[],{time},\"eventID\":\"structs\"}}"
            ),
        ),
        ("timeless", "{\"eventTime\":5,\"eventID\":\"timeless\"}".to_owned()),
        ("wide", format!("{{{wide}{time},\"eventID\":\"wide\"}}")),
    ];
    let all: Vec<String> = texts.iter().map(|(_, text)| text.clone()).collect();
    ground.deliver(0, &key(ACCOUNT, 1, 1), &all).await;
    archive.catch_up().await.expect("archived");
    let (of_raw, _) = raw(&ground);
    let of_archive = engine(&ground, limits(&ground), Window::default()).await.0;
    for engine in [of_archive, of_raw] {
        let found =
            rows(&engine, "SELECT eventid, record FROM cloudtrail ORDER BY eventid", &[]).await.expect("an answer");
        let found: Vec<(&str, &str)> =
            found.iter().filter_map(|row| Some((row["eventid"].as_str()?, row["record"].as_str()?))).collect();
        assert!(found == texts.iter().map(|(id, text)| (*id, text.as_str())).collect::<Vec<_>>());
        let sql = "SELECT eventid, json_get_int(requestparameters, 'b') AS b, json_extract_scalar(requestparameters, '$') AS whole,
            from_iso8601_timestamp(eventtime) IS NULL AS timeless, length(useragent) AS letters, readonly
            FROM cloudtrail ORDER BY eventid";
        let found = rows(&engine, sql, &[]).await.expect("an answer");
        assert_eq!((&found[0]["b"], &found[1]["letters"]), (&7.into(), &(256 << 10).into()));
        assert_eq!((&found[3]["whole"], &found[3]["readonly"]), (&"5".into(), &"1e999".into()));
        assert_eq!(found.iter().filter(|row| row["timeless"] == true).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_that_comes_with_the_program_is_answered() {
    let (ground, records) = world().await;
    let config = ground.dir.path().join("trailwarden.toml");
    let list = stdout(&verb(&config, &["query", "--list"]));
    let names: Vec<&str> =
        list.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(':').next()).collect();
    assert!(names.len() >= 15, "{list}");
    let is = |pointer: &'static str, wanted: &'static str| move |record: &Value| text(record, pointer) == wanted;
    for name in names {
        let (param, column, expected): (&str, &str, Option<usize>) = match name {
            "access-key" => {
                ("key=AKIA1", "calls", Some(those(&records, is("/userIdentity/accessKeyId", "AKIA1")).len()))
            }
            "principal" | "networks" => {
                let role = "arn:aws:iam::111122220000:role/deploy";
                let expected = those(&records, is("/userIdentity/sessionContext/sessionIssuer/arn", role)).len();
                ("arn=arn:aws:iam::111122220000:role/deploy", "calls", Some(expected))
            }
            "security-group" => ("group=sg-5887f224", "", None),
            "first-seen" => ("since=2026-03-02T00:00:00Z", "calls", None),
            "bucket" => ("bucket=example-bucket", "calls", Some(those(&records, is("/eventName", "GetObject")).len())),
            "resource" => {
                let listed = |record: &Value| {
                    record["resources"].as_array().is_some_and(|all| all[0]["ARN"] == "arn:aws:s3:::b1")
                };
                ("arn=arn:aws:s3:::b1", "calls", Some(those(&records, listed).len()))
            }
            "console-logins" => ("", "logins", Some(those(&records, is("/eventName", "ConsoleLogin")).len())),
            "assumed-roles" => ("", "times", Some(those(&records, is("/eventName", "AssumeRole")).len())),
            "failed-logins" => {
                ("", "times", Some(those(&records, is("/responseElements/ConsoleLogin", "Failure")).len()))
            }
            "errors" => ("", "calls", Some(those(&records, |record| !text(record, "/errorCode").is_empty()).len())),
            "old-tls" => ("", "calls", Some(those(&records, is("/tlsDetails/tlsVersion", "TLSv1")).len())),
            "days" => ("", "events", Some(RECORDS)),
            "integrity" => ("", "records", Some(RECORDS)),
            _ => ("", "", None),
        };
        let mut args = vec!["query", "--saved", name, "--format", "json"];
        args.extend((!param.is_empty()).then_some(["--param", param]).into_iter().flatten());
        let output = verb(&config, &args);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        let found: Vec<Value> =
            stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        let sum: u64 = found.iter().filter_map(|row| row[column].as_u64()).sum();
        if let Some(expected) = expected {
            assert!(expected > 0, "{name}");
            assert_eq!(sum, expected as u64, "{name}");
        }
        match name {
            "root" => assert_eq!(found.len(), those(&records, is("/userIdentity/type", "Root")).len()),
            "integrity" => assert!(found.iter().all(|row| row["integrity"] == "pending")),
            "denied" => assert!(!found.is_empty()),
            _ => {}
        }
    }
}
