//! `lookup` as people and scripts meet it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use trailwarden::core::gzip;

use crate::common::warden::{command, run, stderr, stdout, verb};

const ACCOUNT: &str = "111122223333";

/// A bucket in a directory, and a warden that archives it.
pub struct Ground {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

fn key(number: usize, kind: &str) -> String {
    format!(
        "AWSLogs/{ACCOUNT}/{kind}/eu-west-1/2026/03/01/{ACCOUNT}_{kind}_eu-west-1_20260301T10{number:02}Z_{number:016}.json.gz"
    )
}

fn log(records: &[String]) -> Vec<u8> {
    gzip::deflate(format!("{{\"Records\":[{}]}}", records.join(",")).as_bytes())
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().display();
        for folder in ["bucket", "keys"] {
            std::fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        let members =
            format!("[[account]]\nid = \"{ACCOUNT}\"\nname = \"a\"\nou = \"Workloads/Prod\"\nstate = \"active\"\n");
        std::fs::write(dir.path().join("members.toml"), members).expect("a list");
        let text = format!(
            "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file://{at}/bucket\"\n\
             bucket_name = \"logs\"\nqueue = \"file://{at}/spool\"\nkeys = \"keys\"\n[archive]\nlocation = \"file://{at}/archive\"\n\
             [channel.none]\nkind = \"stdout\"\n[[route]]\nto = [\"none\"]\n\
             [state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n"
        );
        let config = dir.path().join("trailwarden.toml");
        std::fs::write(&config, text).expect("a configuration");
        Self { dir, config }
    }

    pub fn put(&self, key: &str, body: &[u8]) -> PathBuf {
        let path = self.dir.path().join("bucket").join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, body).expect("an object");
        path
    }

    /// A log that is announced, and archived with those before it.
    fn deliver(&self, number: usize, records: &[String]) {
        let key = key(number, "CloudTrail");
        let size = std::fs::metadata(self.put(&key, &log(records))).expect("an object").len();
        let notice = json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "logs"}, "object": {"key": key, "size": size}}}]});
        std::fs::create_dir_all(self.dir.path().join("spool/new")).expect("a folder");
        std::fs::write(self.dir.path().join(format!("spool/new/{number}")), notice.to_string()).expect("a message");
        let output = verb(&self.config, &["run", "--drain"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    fn lookup(&self, args: &[&str]) -> Output {
        verb(&self.config, &[&["lookup"], args].concat())
    }
}

fn record(number: usize, more: &str) -> String {
    format!(
        "{{\"eventTime\":\"2026-03-01T09:00:{number:02}Z\",\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"RunInstances\",\
         \"awsRegion\":\"eu-west-1\",\"eventID\":\"id-{number}\",\"recipientAccountId\":\"{ACCOUNT}\"{more}}}"
    )
}

const ALICE: &str = ",\"userIdentity\":{\"type\":\"IAMUser\",\"userName\":\"alice\",\"arn\":\"arn:aws:iam::111122223333:user/alice\",\
\"accessKeyId\":\"AKIA1\"},\"sourceIPAddress\":\"192.0.2.7\",\"readOnly\":false,\
\"resources\":[{\"ARN\":\"arn:aws:ec2:eu-west-1:111122223333:instance/i-1\",\"type\":\"AWS::EC2::Instance\"}]";
const ODD: &str = ",\"userIdentity\":{\"userName\":\"=cmd|' /C calc'!A0\"},\"sourceIPAddress\":\"\\u001b[31m\\u202e\",\"errorCode\":\"@x\"";

pub fn three() -> Ground {
    let ground = Ground::new();
    ground.deliver(1, &[record(1, ALICE), record(2, ODD)]);
    let from = ground.dir.path().join("old.json");
    std::fs::write(&from, record(3, "")).expect("a file");
    let output = verb(&ground.config, &["archive", "import", from.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    ground
}

/// Without what depends on the clock.
pub fn steady(text: &str) -> String {
    const BEFORE: &str = "last written at ";
    let lines = text.lines().map(|line| {
        let parts = line.split_once(BEFORE).and_then(|(before, after)| Some((before, after.split_once("Z:")?.1)));
        parts.map_or_else(|| line.to_owned(), |(before, after)| format!("{before}{BEFORE}TIME:{after}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_table_ends_with_its_horizon() {
    let ground = three();
    let output = ground.lookup(&[]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    insta::assert_snapshot!(steady(&stdout(&output)), @r#"
    time                  integrity  account       region        event                             user                      source ip        error         id
    2026-03-01T09:00:03Z  imported   111122223333  eu-west-1     ec2:RunInstances                  -                         -                -             id-3
    2026-03-01T09:00:02Z  pending    111122223333  eu-west-1     ec2:RunInstances                  =cmd|' /C calc'!A0        \u{1b}[31m\u{202e}  @x            id-2
    2026-03-01T09:00:01Z  pending    111122223333  eu-west-1     ec2:RunInstances                  alice                     192.0.2.7        -             id-1
    3 records: 1 imported, 2 pending
    no log that the warden knows of waits for the archive; the ledger was last written at TIME: what a queue still held then is not known
    it begins with 2026-03-01: nothing of the days before was archived, or it has expired
    "#);
    let output = ground.lookup(&["--user", "alice", "--access-key", "AKIA1", "--ou", "Prod", "--explain"]);
    assert_eq!(stdout(&output).lines().filter(|line| line.contains("id-")).count(), 1);
    assert!(stderr(&output).contains("row groups: 2; left out by statistics and filters 1"), "{}", stderr(&output));
    let nothing = ground.lookup(&["--event-id", "none"]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(stdout(&nothing).starts_with("0 records\n"), "{}", stdout(&nothing));
    let one = ground.lookup(&["--limit", "1"]);
    assert!(stdout(&one).contains("there may be more, older ones: --limit, --all"), "{}", stdout(&one));
    let all = ground.lookup(&["--all", "--from", "2026-03-01T09:00:02Z", "--to", "2026-03-01T09:00:03Z"]);
    assert_eq!(stdout(&all).lines().filter(|line| line.contains("id-")).count(), 1, "{}", stdout(&all));
    let usage = ground.lookup(&["--ou", "Nowhere"]);
    assert_eq!(usage.status.code(), Some(2), "{}", stderr(&usage));
}

#[test]
fn records_are_printed_as_they_were_written() {
    let ground = three();
    let output = ground.lookup(&["--format", "json"]);
    let expected = [record(3, ""), record(2, ODD), record(1, ALICE), String::new()].join("\n");
    assert_eq!(stdout(&output), expected);
    assert!(stderr(&output).starts_with("3 records: 1 imported, 2 pending\n"), "{}", stderr(&output));
}

#[test]
fn no_cell_of_csv_is_a_formula() {
    let ground = three();
    let output = ground.lookup(&["--format", "csv"]);
    insta::assert_snapshot!(stdout(&output).replace('\r', ""), @r#"
    time,integrity,account,region,source,event,user,principal,access_key,source_ip,error,read_only,resources,event_id,trail,object
    2026-03-01T09:00:03Z,imported,111122223333,eu-west-1,ec2.amazonaws.com,RunInstances,,,,,,,,id-3,,old.json
    2026-03-01T09:00:02Z,pending,111122223333,eu-west-1,ec2.amazonaws.com,RunInstances,"'=cmd|' /C calc'!A0",,,\u{1b}[31m\u{202e},"'@x",,,id-2,org,AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1001Z_0000000000000001.json.gz
    2026-03-01T09:00:01Z,pending,111122223333,eu-west-1,ec2.amazonaws.com,RunInstances,alice,arn:aws:iam::111122223333:user/alice,AKIA1,192.0.2.7,,false,arn:aws:ec2:eu-west-1:111122223333:instance/i-1,id-1,org,AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1001Z_0000000000000001.json.gz
    "#);
    assert_eq!(stdout(&output).matches("\r\n").count(), 4);
}

#[test]
fn an_answer_has_the_shape_of_lookupevents() {
    let ground = three();
    let answer = |args: &[&str]| -> Value {
        let output = ground.lookup(&[&["--format", "aws"], args].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stdout(&output)))
    };
    let mut whole = answer(&["--event-id", "id-1", "--all"]);
    assert!(whole["Horizon"]["KnownUntil"].take().is_string() && whole["Horizon"]["Notes"].take().is_array());
    assert_eq!(whole["Events"][0]["CloudTrailEvent"].take(), Value::from(record(1, ALICE)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole).expect("text"), @r#"
    {
      "Events": [
        {
          "AccessKeyId": "AKIA1",
          "CloudTrailEvent": null,
          "EventId": "id-1",
          "EventName": "RunInstances",
          "EventSource": "ec2.amazonaws.com",
          "EventTime": "2026-03-01T09:00:01Z",
          "Integrity": "pending",
          "Object": "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T1001Z_0000000000000001.json.gz",
          "ReadOnly": "false",
          "Resources": [
            {
              "ResourceName": "arn:aws:ec2:eu-west-1:111122223333:instance/i-1",
              "ResourceType": "AWS::EC2::Instance"
            }
          ],
          "Trail": "org",
          "Username": "alice"
        }
      ],
      "Horizon": {
        "Integrity": {
          "pending": 1
        },
        "IsInterrupted": false,
        "KnownUntil": null,
        "LogsWaiting": 0,
        "Notes": null,
        "Unreadable": 0
      }
    }
    "#);
    assert_eq!(answer(&[])["Events"].as_array().map(Vec::len), Some(3));
    assert_eq!(answer(&["--event-id", "none"])["Events"], json!([]));
}

#[test]
fn whoever_reads_no_further_is_no_error() {
    let ground = Ground::new();
    let records: Vec<String> = (0..3_000).map(|number| record(number % 60, &format!(",\"n\":{number}"))).collect();
    let records: Vec<String> =
        records.iter().enumerate().map(|(at, text)| text.replace("\"id-", &format!("\"{at}-"))).collect();
    ground.deliver(1, &records);
    for args in
        [&["--all", "--format", "json"][..], &["--limit", "3000"], &["--raw", "BUCKET", "--all", "--format", "csv"]]
    {
        let bucket = ground.dir.path().join("bucket").display().to_string();
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "BUCKET" { bucket.as_str() } else { arg }).collect();
        let mut child = spawn(&ground.config, &args);
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert!(!line.is_empty());
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

fn spawn(config: &Path, args: &[&str]) -> Child {
    let mut program = command(&[]);
    program.arg("lookup").args(args).arg("--config").arg(config);
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

#[test]
fn raw_logs_need_no_warden_and_nothing_is_left_out_silently() {
    let ground = Ground::new();
    let bucket = ground.dir.path().join("bucket");
    ground.put(&key(1, "CloudTrail"), &log(&[record(1, ALICE), "5".into(), record(2, ODD)]));
    ground.put(&key(2, "CloudTrail"), &log(&[record(1, ALICE)]));
    ground.put(&key(3, "CloudTrail-Insight"), &log(&[record(4, "")]));
    ground.put(&key(4, "CloudTrail"), b"\x1f\x8bnothing");
    ground.put(&format!("AWSLogs/{ACCOUNT}/CloudTrail-Digest/eu-west-1/2026/03/01/{ACCOUNT}_CloudTrail-Digest_eu-west-1_t_eu-west-1_20260301T100000Z.json.gz"), b"x");
    ground.put("notes.txt", b"x");
    for (place, others) in [(bucket.clone(), true), (bucket.join("AWSLogs"), false)] {
        let output = run(&["lookup", "--raw", place.to_str().expect("text"), "--config", "/nonexistent.toml"]);
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        let text = stdout(&output);
        let ids: Vec<&str> =
            text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("id-"))).collect();
        assert_eq!(ids, ["id-4", "id-2", "id-1"], "{text}");
        for line in [
            "3 records: 3 unchecked",
            "raw logs: 4 records of 4 logs (1 of Insights); nothing was checked against digests",
            "1 digest left out",
            "1 record left out: the same event was found before",
            "1 element left out: no objects",
            "1 file could not be read, and may hold more",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(text.contains("1 file left out: no .json"), others, "{text}");
        assert!(text.contains("the gzip stream is cut off or damaged"), "{text}");
    }
    let place = bucket.to_str().expect("text");
    let later = stdout(&run(&["lookup", "--raw", place, "--from", "2026-04-01", "--config", "/nonexistent.toml"]));
    assert!(later.contains("4 logs left out: delivered more than two days before --from"), "{later}");
}

#[test]
fn whoever_follows_sees_each_record_once_however_late_it_is() {
    let ground = Ground::new();
    ground.deliver(1, &[record(5, "")]);
    let mut child = spawn(&ground.config, &["--follow", "--format", "json"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("a line"));
    assert_eq!(lines.next(), Some(record(5, "")));
    // older than what was told, and of the same second
    ground.deliver(2, &[record(1, "")]);
    assert_eq!(lines.next(), Some(record(1, "")));
    ground.deliver(3, &[record(1, "").replace("id-1", "id-x"), record(5, "")]);
    assert_eq!(lines.next(), Some(record(1, "").replace("id-1", "id-x")));
    let merged = verb(&ground.config, &["archive", "compact", "--all"]);
    assert!(stdout(&merged).starts_with("3 files became 1"), "{}", stdout(&merged));
    ground.deliver(4, &[record(6, "")]);
    assert_eq!(lines.next(), Some(record(6, "")), "what was merged is not told again");
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(stopped.success());
    assert_eq!(lines.next(), None);
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(
        said.starts_with("4 records: 4 pending\n")
            && said.contains("no log that the warden knows of waits for the archive"),
        "{said}"
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_cannot_be_asked_is_bad_usage() {
    for args in [
        &["--event", ""][..],
        &["--limit", "0"],
        &["--limit", "5", "--all"],
        &["--read-only", "maybe"],
        &["--follow", "--raw", "."],
        &["--follow", "--format", "aws"],
        &["--from", "1h", "--to", "2h"],
        &["--raw-region", "eu-west-1"],
        &["--raw", "/nowhere/at/all"],
        &["extra"],
    ] {
        let output = run(&[&["lookup", "--config", "/nonexistent.toml"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}
