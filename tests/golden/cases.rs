//! Each vector case against the strict answer: what a verifier must say that believes nothing it has not proven. The table is
//! written from the cases' own notes and the documented algorithm; it is not the AWS CLI's laxer verdict.

use std::fs;
use std::path::{Path, PathBuf};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::{Answer, BUCKET, Case, Told, answer, case, digest, digest_at, end, folder, log, log_at, objects};
use crate::bench::{program, sidecar, told, verify};
use crate::common::emulator::{Emulator, REGION};
use crate::common::keys_stub::{StubKey, keys_stub};

/// Each takes a processor while its cases are played.
const EMULATORS: usize = 2;

struct Expected {
    number: &'static str,
    exit: i32,
    verdict: &'static str,
    digests: [u64; 4],
    logs: [u64; 5],
    findings: Vec<Told>,
}

fn good(number: &'static str, digests: u64, logs: u64) -> Expected {
    let (digests, logs) = ([digests, 0, 0, 0], [logs, 0, 0, 0, 0]);
    Expected { number, exit: 0, verdict: "good", digests, logs, findings: vec![] }
}

fn bad(number: &'static str, digests: [u64; 4], logs: [u64; 5], findings: Vec<Told>) -> Expected {
    Expected { number, exit: 4, verdict: "bad", digests, logs, findings }
}

/// Three good digests, and one log of four that is not.
fn bad_log(number: &'static str, kind: &str, n: usize) -> Expected {
    let logs = if kind == "log_missing" { [3, 0, 1, 0, 0] } else { [3, 1, 0, 0, 0] };
    bad(number, [3, 0, 0, 0], logs, vec![Told::of(kind, &log(n))])
}

/// Digest 1 proves nothing; the two logs of its hour are then neither good nor forged.
fn bad_digest(number: &'static str, kind: &str) -> Expected {
    bad(number, [2, 1, 0, 0], [2, 0, 0, 0, 2], vec![Told::of(kind, &digest(1))])
}

fn table() -> Vec<Expected> {
    let backfill = digest_at("org-main", end(2), "_backfill");
    let moved = digest_at("org-main", "2026-03-02T00:14:13Z", "");
    let forged = log_at("2026/03/01", "20260301T2212Z_FAKEFAKEFAKEFAKE");
    vec![
        good("01", 3, 4),
        bad_log("02", "log_modified", 0),
        bad_log("03", "log_missing", 2),
        bad_log("04", "trailing_data", 1),
        bad_log("05", "trailing_data", 1),
        // The hash is of the inflated bytes.
        good("06", 3, 4),
        bad_log("07", "log_malformed", 0),
        bad_log("08", "log_malformed", 0),
        bad_digest("09", "digest_signature_invalid"),
        // Signed are the bytes, not the values.
        bad_digest("10", "digest_signature_invalid"),
        good("11", 3, 4),
        bad_digest("12", "digest_signature_invalid"),
        // Hexadecimal has no case, in the metadata and in the successor's copy.
        good("13", 3, 4),
        bad_digest("14", "digest_signature_invalid"),
        // Other digests of the bucket have metadata: it was taken from this one.
        bad_digest("15", "digest_signature_invalid"),
        bad_digest("16", "digest_signature_invalid"),
        bad_digest("17", "digest_signature_invalid"),
        bad("18", [2, 0, 1, 0], [2, 0, 0, 0, 2], vec![Told::of("digest_missing", &digest(1)).hours(&[1])]),
        bad("19", [2, 0, 1, 0], [4, 0, 0, 0, 0], vec![Told::chain("digest_overdue", "org-main").hours(&[2])]),
        bad("20", [2, 0, 1, 0], [2, 0, 0, 0, 2], vec![Told::of("digest_missing", &digest(0)).hours(&[0])]),
        bad("21", [3, 0, 0, 0], [4, 0, 0, 1, 0], vec![Told::of("log_unlisted", &forged)]),
        // The copy is bad at its place, and the hour of the original has none.
        bad(
            "22",
            [2, 1, 1, 0],
            [2, 0, 0, 0, 2],
            vec![Told::of("digest_misplaced", &moved), Told::of("digest_missing", &digest(1)).hours(&[1])],
        ),
        // CloudTrail signed the one log that the replacement lists; the genuine digest may have listed the other.
        bad("23", [2, 1, 0, 0], [3, 0, 0, 0, 1], vec![Told::of("chain_broken", &digest(1))]),
        // The first member is what was signed; its logs are proven.
        bad("24", [2, 1, 0, 0], [4, 0, 0, 0, 0], vec![Told::of("trailing_data", &digest(1))]),
        bad_digest("25", "digest_malformed"),
        good("26", 3, 4),
        Expected {
            number: "27",
            exit: 5,
            verdict: "incomplete",
            digests: [1, 0, 0, 2],
            logs: [2, 0, 0, 0, 2],
            findings: vec![Told::of("public_key_unknown", &digest(1)), Told::of("public_key_unknown", &digest(2))],
        },
        good("28", 3, 4),
        good("30", 6, 4),
        bad("31", [4, 0, 2, 0], [4, 0, 0, 0, 0], vec![Told::of("digest_missing", &digest(4)).hours(&[3, 4])]),
        bad("32", [4, 0, 2, 0], [4, 0, 0, 0, 0], vec![Told::of("chain_restarted", &digest(4)).hours(&[2, 3])]),
        good("33", 7, 5),
        // The late log is listed by nothing else, and not forged for that.
        bad("34", [6, 1, 0, 0], [4, 0, 0, 0, 1], vec![Told::of("digest_malformed", &backfill)]),
        // Four logs, two trails: what the other trail's digest covers is not this one's.
        bad("35", [2, 0, 1, 0], [4, 0, 0, 0, 0], vec![Told::chain("digest_overdue", "org-main").hours(&[2])]),
    ]
}

impl Expected {
    #[track_caller]
    fn holds(&self, found: &Answer, label: &str) {
        let mut findings = self.findings.clone();
        findings.sort();
        assert_eq!(found.findings, findings, "{label}: findings");
        assert_eq!((found.digests, found.logs), (self.digests, self.logs), "{label}: digests and logs");
        assert_eq!((found.exit, found.verdict.as_str()), (Some(self.exit), self.verdict), "{label}: verdict");
        let open = self.digests[3] + self.logs[4] > 0;
        assert!(open || found.unchecked.is_empty(), "{label}: {:?}", found.unchecked);
    }

    /// Where no trail is named, the other trail's chain is judged too: it stopped as well.
    fn of_all_trails(mut self) -> Self {
        if self.number == "35" {
            self.digests = [3, 0, 2, 0];
            self.findings.push(Told::chain("digest_overdue", "org-main_us-east-1_x").hours(&[2]));
        }
        self
    }

    /// What `run` knows, which has no end of its range. Of each standing condition only the hours up to the case's end are
    /// compared, and the wait for the digests after it is taken for granted: the whole trail stopped in March 2026. Where
    /// the account has two chains and both stopped, that is told once, as the account's silence.
    fn of_run(&self) -> Vec<Told> {
        let mut findings = match self.number {
            "35" => {
                vec![Told { kind: "account_silent".into(), object: None, hours: vec![], trail: None }]
            }
            _ => self.findings.clone(),
        };
        findings.sort();
        findings
    }
}

#[test]
fn the_table_has_every_case() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases");
    let mut folders: Vec<String> = fs::read_dir(all).unwrap().map(|entry| folder(&entry.unwrap().path())).collect();
    folders.sort();
    let known: Vec<String> = table().iter().map(|row| case(row.number).name).collect();
    assert_eq!(folders, known);
    assert_eq!(known.len(), 34);
}

#[test]
fn each_case_gives_the_strict_answer_offline() {
    for expected in table() {
        let case = case(expected.number);
        let temp = tempfile::tempdir().unwrap();
        expected.holds(&verify(&case, &case.dir, temp.path(), true), &case.name);
        let all = verify(&case, &case.dir, temp.path(), false);
        expected.of_all_trails().holds(&all, &format!("{}, all trails", case.name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_gives_the_strict_answer_through_the_emulator() {
    // All cases are of one bucket, and a bucket's name exists once: each emulator plays its share one by one.
    let mut players = JoinSet::new();
    for first in 0..EMULATORS {
        let share = table().into_iter().enumerate().skip(first).step_by(EMULATORS);
        players.spawn(async move {
            let Some(emulator) = tokio::task::spawn_blocking(Emulator::start).await.unwrap() else { return };
            make_bucket(&emulator).await;
            for (n, expected) in share {
                play(&emulator, expected, n % 2 == 1).await;
            }
        });
    }
    while let Some(outcome) = players.join_next().await {
        outcome.unwrap();
    }
}

async fn make_bucket(emulator: &Emulator) {
    let place =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(REGION)).build();
    let s3 = emulator.s3().await;
    s3.create_bucket().bucket(BUCKET).create_bucket_configuration(place).send().await.unwrap();
}

/// One case, verified from S3 with keys from CloudTrail, then delivered notice by notice.
async fn play(emulator: &Emulator, expected: Expected, digests_first: bool) {
    let case = case(expected.number);
    // In key order digests come before logs.
    let mut all = objects(&case.dir.join("objects"));
    if !digests_first {
        all.reverse();
    }
    let queue = deliver(emulator, &case, &all).await;
    let stub = keys_stub(stub_keys(&case), 1);
    let mut world = emulator.env();
    world.push(("AWS_ENDPOINT_URL_CLOUDTRAIL", stub.endpoint.clone()));
    let judged = tokio::task::spawn_blocking(move || judge(&case, &expected, &queue, &world));
    judged.await.unwrap();
    assert!(!stub.asked().is_empty(), "nobody asked for a key");
    let s3 = emulator.s3().await;
    for (key, _) in &all {
        s3.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }
}

fn judge(case: &Case, expected: &Expected, queue: &str, world: &[(&'static str, String)]) {
    let temp = tempfile::tempdir().unwrap();
    configure(temp.path(), queue);
    let command = |args: &[&str]| {
        let mut command = program();
        command.envs(world.iter().cloned()).arg("--config").arg(temp.path().join("trailwarden.toml")).args(args);
        command
    };
    let mut asked = command(&["verify", "--json", "--from", &case.from, "--to", &case.to]);
    asked.args(["--trail-arn", &case.arn, "--account-id", &case.account]);
    expected.holds(&answer(asked), &format!("{}, from S3", case.name));
    let run = command(&["run", "--drain"]).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}: {}", case.name, String::from_utf8_lossy(&run.stderr));
    let list = command(&["findings", "list", "--json"]).output().unwrap();
    compare(case, expected, told(&serde_json::from_slice(&list.stdout).unwrap()));
}

#[track_caller]
fn compare(case: &Case, expected: &Expected, mut found: Vec<Told>) {
    let silent = found.iter().any(|told| told.kind == "account_silent");
    let after = found.iter().filter(|told| told.kind == "digest_overdue").flat_map(|told| &told.hours);
    let first_after = after.filter(|hour| **hour > case.to).min();
    assert!(silent || first_after.is_some(), "{}: nobody misses the digests after the case's end", case.name);
    for told in &mut found {
        told.hours.retain(|hour| *hour <= case.to);
    }
    found.retain(|told| told.kind != "digest_overdue" || !told.hours.is_empty());
    assert_eq!(found, expected.of_run(), "{}: findings of `run`", case.name);
}

/// The case's objects in S3, and a queue that announces each of them in this order.
async fn deliver(emulator: &Emulator, case: &Case, all: &[(String, PathBuf)]) -> String {
    let s3 = emulator.s3().await;
    for (key, path) in all {
        let mut put = s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(fs::read(path).unwrap()));
        if let Ok(text) = fs::read(sidecar(path)) {
            let metadata: Value = serde_json::from_slice(&text).unwrap();
            for (name, value) in metadata.as_object().unwrap() {
                put = put.metadata(name, value.as_str().unwrap());
            }
        }
        put.send().await.unwrap();
    }
    let sqs = emulator.sqs().await;
    let url = sqs.create_queue().queue_name(&case.name).send().await.unwrap().queue_url.unwrap();
    for some in all.chunks(3) {
        let records: Vec<Value> = some.iter().map(|(key, path)| record(key, path)).collect();
        let body = json!({ "Records": records }).to_string();
        sqs.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    url
}

/// An S3 event notification's record. The keys hold nothing that the form encoding would change.
fn record(key: &str, path: &Path) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION,
        "eventTime": "2026-03-02T04:10:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AWS:AROAEXAMPLEEXAMPLE001:regionalDeliverySession" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": { "name": BUCKET, "arn": format!("arn:aws:s3:::{BUCKET}") },
            "object": { "key": key, "size": fs::metadata(path).unwrap().len() },
        },
    })
}

fn stub_keys(case: &Case) -> Vec<StubKey> {
    let key = |key: &Value| StubKey {
        region: case.region.clone(),
        fingerprint: key["Fingerprint"].as_str().unwrap().to_owned(),
        value: STANDARD.decode(key["Value"].as_str().unwrap()).unwrap(),
        valid_from: key["ValidityStartTime"].as_str().unwrap().parse().unwrap(),
        valid_to: key["ValidityEndTime"].as_str().unwrap().parse().unwrap(),
    };
    case.keys.as_array().unwrap().iter().map(key).collect()
}

fn configure(dir: &Path, queue: &str) {
    let members = "[[account]]\nid = \"111122223333\"\nname = \"member\"\nstate = \"active\"\n";
    fs::write(dir.join("members.toml"), members).unwrap();
    let config = format!(
        r#"
[organization]
id = "o-a1b2c3d4e5"
members = "members.toml"

[[trail]]
name = "org"
bucket = "{BUCKET}"
region = "{REGION}"
queue = "{queue}"
layout = ["trail-prefix/AWSLogs/{{org}}/{{account}}/"]

[channel.out]
kind = "stdout"

[[route]]
to = ["out"]

[state]
path = "state.db"
"#
    );
    fs::write(dir.join("trailwarden.toml"), config).unwrap();
}
