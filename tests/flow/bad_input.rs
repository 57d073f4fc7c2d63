//! Everything bad that can come in, each beside something good: told by its name, and nothing waits because of it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use trailwarden::core::finding::Kind;
use trailwarden::core::gzip::deflate;
use trailwarden::env::Env;
use trailwarden::local::spool::Sender;

use crate::common::emulator::env_of;
use crate::common::stub::{Answer, Stub};
use crate::common::warden::{self, json as read_json, run_with, stderr};

const ACCOUNT: &str = "111122223333";
const BUCKET: &str = "acme-org-cloudtrail";

/// A bucket and a spool, and what is to be found in them.
struct Ground {
    dir: tempfile::TempDir,
    config: PathBuf,
    sender: Sender,
    now: Timestamp,
    count: usize,
    /// Keys of good deliveries.
    good: Vec<String>,
    wanted: Vec<Wanted>,
}

/// What the finding's kind is, what its object or detail names, and what its detail says.
struct Wanted {
    kind: Kind,
    names: String,
    says: &'static str,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::at(&format!("file://{}/bucket", dir.path().display()), dir)
    }

    fn at(bucket: &str, dir: tempfile::TempDir) -> Self {
        std::fs::create_dir_all(dir.path().join("bucket")).expect("a folder");
        std::fs::create_dir_all(dir.path().join("keys")).expect("a folder");
        let member = format!("[[account]]\nid = \"{ACCOUNT}\"\nname = \"acme\"\nstate = \"active\"\n");
        std::fs::write(dir.path().join("members.toml"), member).expect("a file");
        let config = dir.path().join("trailwarden.toml");
        let name = if bucket.starts_with("file:") { format!("bucket_name = \"{BUCKET}\"") } else { String::new() };
        let text = format!(
            r#"
[organization]
members = "members.toml"
[[trail]]
name = "org"
bucket = "{bucket}"
{name}
region = "eu-west-1"
queue = "file://{dir}/spool"
keys = "keys"
[state]
path = "state.db"
[http]
listen = "off"
[limits]
object = "1MiB"
inflated = "8MiB"
ratio = 100
"#,
            dir = dir.path().display()
        );
        std::fs::write(&config, text).expect("a file");
        let sender = Sender::open(&dir.path().join("spool"), Env::system()).expect("a spool");
        let now = Env::system().now();
        Self { dir, config, sender, now, count: 0, good: Vec::new(), wanted: Vec::new() }
    }

    fn log_key(&mut self) -> String {
        self.count += 1;
        let day = self.now.strftime("%Y/%m/%d");
        let minute = self.now.strftime("%Y%m%dT%H%MZ");
        format!(
            "AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/{day}/{ACCOUNT}_CloudTrail_eu-west-1_{minute}_{:016}.json.gz",
            self.count
        )
    }

    fn digest_key(&mut self) -> String {
        self.count += 1;
        let day = self.now.strftime("%Y/%m/%d");
        let second = self.now.strftime("%Y%m%dT%H%M%SZ");
        format!(
            "AWSLogs/{ACCOUNT}/CloudTrail-Digest/eu-west-1/{day}/{ACCOUNT}_CloudTrail-Digest_eu-west-1_trail-{}_eu-west-1_{second}.json.gz",
            self.count
        )
    }

    fn put(&self, key: &str, body: &[u8]) {
        let path = self.dir.path().join("bucket").join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, body).expect("a file");
    }

    fn want(&mut self, kind: Kind, names: impl Into<String>, says: &'static str) {
        self.wanted.push(Wanted { kind, names: names.into(), says });
    }

    /// A message, as it is.
    fn say(&self, body: &[u8]) {
        self.sender.send(body).expect("a message is sent");
    }

    fn announce(&self, key: &str) {
        self.say(records(&[record(key)]).as_bytes());
    }

    /// Announces a log with these bytes.
    fn log(&mut self, body: &[u8], kind: Kind, says: &'static str) {
        let key = self.log_key();
        self.put(&key, body);
        self.announce(&key);
        self.want(kind, &key, says);
    }

    fn digest(&mut self, body: &[u8], metadata: Option<Value>, kind: Kind, says: &'static str) {
        let key = self.digest_key();
        self.put(&key, body);
        if let Some(metadata) = metadata {
            self.put(&format!("{key}.meta.json"), metadata.to_string().as_bytes());
        }
        self.announce(&key);
        self.want(kind, &key, says);
    }

    /// A log as CloudTrail writes it.
    fn good(&mut self) -> String {
        let key = self.log_key();
        self.put(&key, &self.good_body());
        self.good.push(key.clone());
        key
    }

    fn good_body(&self) -> Vec<u8> {
        deflate(log(&[self.record()]).as_bytes())
    }

    fn record(&self) -> Value {
        json!({ "eventVersion": "1.11", "eventTime": self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "eu-west-1",
                "recipientAccountId": ACCOUNT, "eventID": "e1", "eventType": "AwsApiCall" })
    }

    /// Each bad thing is told once, nothing else is, and every good one is admitted.
    fn check(&self) {
        let found = read_json(&self.config, &["findings", "list"]);
        let mut left: Vec<&Value> = found.as_array().expect("a list").iter().collect();
        let mut wrong = Vec::new();
        for wanted in &self.wanted {
            let text = |held: &Value, field: &str| held[field].as_str().unwrap_or_default().to_owned();
            let (mine, others): (Vec<&Value>, Vec<&Value>) = left.into_iter().partition(|held| {
                text(held, "kind") == wanted.kind.name()
                    && (text(held, "object") == wanted.names || text(held, "detail").contains(&wanted.names))
            });
            left = others;
            if mine.len() != 1 || !text(mine[0], "detail").contains(wanted.says) {
                wrong.push(format!("{} of {}, which says `{}`: {mine:?}", wanted.kind, wanted.names, wanted.says));
            }
        }
        wrong.extend(left.iter().map(|held| format!("not wanted: {held}")));
        let ledger = Connection::open(self.dir.path().join("state.db")).expect("the ledger opens");
        for key in &self.good {
            let state: Option<i64> =
                ledger.query_row("SELECT state FROM objects WHERE key = ?1", [key], |row| row.get(0)).ok();
            if state != Some(0) {
                wrong.push(format!("not admitted: {key} ({state:?})"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn waiting(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("spool/new")).expect("a folder").count()
    }
}

fn log(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn record(key: &str) -> Value {
    let mut encoded = String::new();
    for byte in key.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    json!({ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": "2026-03-01T22:12:44.271Z", "userIdentity": { "principalId": "AWS:AROA:regionalDeliverySession" },
            "s3": { "bucket": { "name": BUCKET }, "object": { "key": encoded } } })
}

fn records(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

/// `drain` with an exit code.
fn drain(config: &Path, env: &[(&str, String)], code: i32) -> String {
    let output = run_with(env, &["run", "--drain", "--config", config.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn bad_messages_are_kept_and_told_and_hold_up_nothing() {
    let mut ground = Ground::new();
    let bodies: [(Vec<u8>, &str); 9] = [
        (b"no JSON".to_vec(), "not JSON"),
        (Vec::new(), "not JSON"),
        (vec![0xff, 0xfe, b'{', 0], "not UTF-8"),
        (b"{\"of\": \"no known shape\"}".to_vec(), "no known form"),
        (b"[\"array\"]".to_vec(), "no object"),
        (format!("{{\"x\":\"{}\"}}", "y".repeat(256 << 10)).into_bytes(), "no known form"),
        (vec![b'z'; 2 << 20], "more than a queue carries"),
        (format!("{{\"Records\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(), "nested deeper"),
        (b"{\"Records\":{\"0\":{}}}".to_vec(), "no array"),
    ];
    for (body, says) in bodies {
        // of a body beyond what a queue carries the first byte too many is the last that is read
        let read = &body[..body.len().min((1 << 20) + 1)];
        let hash = trailwarden::core::id::Sha256::of(read).to_string();
        ground.want(Kind::MessageUnintelligible, format!("(quarantine {})", &hash[..32]), says);
        ground.say(&body);
        let key = ground.good();
        ground.announce(&key);
    }
    // One bad record of a message leaves the others.
    let (one, two) = (ground.good(), ground.good());
    let mixed = records(&[record(&one), json!({ "eventSource": "aws:s3", "eventName": 7 }), record(&two)]);
    let hash = trailwarden::core::id::Sha256::of(mixed.as_bytes()).to_string();
    ground.want(Kind::MessageUnintelligible, format!("(quarantine {})", &hash[..32]), "number 1");
    ground.say(mixed.as_bytes());
    drain(&ground.config, &[], 0);
    ground.check();
    assert_eq!(ground.waiting(), 0);
    let held = read_json(&ground.config, &["quarantine", "list"]);
    assert_eq!(held.as_array().map(Vec::len), Some(10));
}

#[test]
fn bad_keys_are_refused_by_name() {
    let mut ground = Ground::new();
    std::fs::write(ground.dir.path().join("outside.json.gz"), deflate(b"{\"Records\":[]}")).expect("a file");
    let good = ground.log_key();
    let account = format!("AWSLogs/{ACCOUNT}/CloudTrail");
    for (key, shown) in [
        (format!("{account}/../../../../outside.json.gz"), None),
        ("/etc/passwd".to_owned(), None),
        (good.replacen("eu-west-1/", "eu-west-1/./", 1), None),
        (good.replacen("eu-west-1/", "eu-west-1//", 1), None),
        (good.replacen("_eu-west-1_", "_eu-west-1_\u{1b}[2J", 1), Some(r"\u{1b}[2J")),
        (good.replacen("_eu-west-1_", "_eu-west-1_\r\nerror: ", 1), Some(r"\u{d}\u{a}error: ")),
        (format!("{account}/eu-west-1/{}", "x".repeat(3_000)), Some("xxx…")),
        (good.replacen(ACCOUNT, "444455556666", 1), None),
    ] {
        ground.announce(&key);
        ground.want(Kind::KeyUnexpected, "", "");
        let wanted = ground.wanted.last_mut().expect("just pushed");
        wanted.names = shown.map_or(key, str::to_owned);
        let key = ground.good();
        ground.announce(&key);
    }
    // Markers are no trouble, whoever makes them.
    ground.announce(&format!("AWSLogs/{ACCOUNT}/"));
    ground.announce(&format!("{account}-Digest/"));
    drain(&ground.config, &[], 0);
    let found = read_json(&ground.config, &["findings", "list"]);
    let shown = |held: &Value| held["object"].as_str().unwrap_or_default().to_owned();
    let all: Vec<String> = found.as_array().expect("a list").iter().map(shown).collect();
    for wanted in &ground.wanted {
        let count = all.iter().filter(|object| object.contains(&wanted.names)).count();
        assert_eq!(count, 1, "{} in {all:#?}", wanted.names);
    }
    assert_eq!(all.len(), ground.wanted.len());
    assert!(!all.iter().any(|object| object.contains(char::is_control)), "{all:?}");
    ground.wanted.clear();
    let ledger = Connection::open(ground.dir.path().join("state.db")).expect("the ledger opens");
    for key in &ground.good {
        let state: i64 =
            ledger.query_row("SELECT state FROM objects WHERE key = ?1", [key], |row| row.get(0)).expect("a row");
        assert_eq!(state, 0, "{key}");
    }
}

#[test]
fn bad_logs_are_told_by_name_and_hold_up_nothing() {
    use Kind::{LogMalformed, ObjectMissing, ObjectTooLarge, RecordMalformed};
    let mut ground = Ground::new();
    let whole = log(&[ground.record(), ground.record()]);
    let packed = deflate(whole.as_bytes());
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut timeless = ground.record();
    timeless.as_object_mut().expect("an object").remove("eventTime");
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(2 << 20).collect();
    for (body, kind, says) in [
        (Vec::new(), LogMalformed, "not gzip"),
        (whole.clone().into_bytes(), LogMalformed, "not gzip"),
        (packed[..packed.len() / 2].to_vec(), LogMalformed, "cut off or damaged"),
        (packed[..packed.len() - 4].to_vec(), LogMalformed, "cut off or damaged"),
        (deflate(&vec![b' '; 9 << 20]), ObjectTooLarge, "inflates to more than"),
        (deflate(&vec![b' '; 4 << 20]), ObjectTooLarge, "times its size"),
        (random, ObjectTooLarge, "the limit is 1048576"),
        (deflate(&utf16), LogMalformed, "not JSON"),
        (deflate(&[&[0xff, 0xfe], utf16.as_slice()].concat()), LogMalformed, "not UTF-8"),
        (deflate(&whole.as_bytes()[..whole.len() - 3]), LogMalformed, "not JSON"),
        (deflate(b"{\"Records\":[{\"eventTime\":"), LogMalformed, "not JSON"),
        (deflate(b"{\"records\":[]}"), LogMalformed, "no `Records`"),
        (deflate(b"{\"Records\":null}"), LogMalformed, ""),
        (deflate(b""), LogMalformed, "not JSON"),
        (
            deflate(log(&[ground.record(), timeless, json!(5)]).as_bytes()),
            RecordMalformed,
            "2 elements are no records; the first is number 1",
        ),
    ] {
        ground.log(&body, kind, says);
        let key = ground.good();
        ground.announce(&key);
    }
    let mut nested = ground.record().to_string();
    nested.insert_str(1, &format!("\"x\":{}1{},", "{\"a\":".repeat(20_000), "}".repeat(20_000)));
    let key = ground.log_key();
    ground.put(&key, &deflate(format!("{{\"Records\":[{},{nested}]}}", ground.record()).as_bytes()));
    ground.announce(&key);
    ground.want(RecordMalformed, &key, "1 elements are no records; the first is number 1: ");

    let absent = ground.log_key();
    ground.announce(&absent);
    ground.want(ObjectMissing, &absent, "not there");
    let folder = ground.log_key();
    std::fs::create_dir_all(ground.dir.path().join("bucket").join(&folder)).expect("a folder");
    ground.announce(&folder);
    ground.want(ObjectMissing, &folder, "not there");
    drain(&ground.config, &[], 0);
    ground.check();
    assert_eq!(ground.waiting(), 0);
}

#[test]
fn bad_digests_are_told_by_name() {
    use Kind::{DigestMalformed, DigestSignatureInvalid};
    let mut ground = Ground::new();
    for (body, says) in [
        (b"plain".to_vec(), "not gzip"),
        (deflate(b"[]"), "not a digest"),
        (deflate(b"{\"awsAccountId\":"), "not a digest"),
        (deflate(b"{}"), "digestStartTime"),
    ] {
        ground.digest(&body, None, DigestMalformed, says);
        let key = ground.good();
        ground.announce(&key);
    }
    for (signature, says) in [(json!("not hex at all"), "hex"), (json!(""), "empty"), (json!("abc"), "hex")] {
        let key = ground.digest_key();
        let digest = digest(&key, ground.now);
        let metadata = json!({ "signature": signature, "signature-algorithm": "SHA256withRSA" });
        ground.put(&key, &deflate(digest.to_string().as_bytes()));
        ground.put(&format!("{key}.meta.json"), metadata.to_string().as_bytes());
        ground.announce(&key);
        ground.want(DigestSignatureInvalid, &key, says);
    }
    drain(&ground.config, &[], 0);
    ground.check();
}

fn digest(key: &str, now: Timestamp) -> Value {
    let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "awsAccountId": ACCOUNT,
        "digestStartTime": time(now - jiff::SignedDuration::from_hours(1)),
        "digestEndTime": time(now),
        "digestS3Bucket": BUCKET,
        "digestS3Object": key,
        "digestPublicKeyFingerprint": "31e8b5433410dfb61a9dc45cc65b22ff",
        "digestSignatureAlgorithm": "SHA256withRSA",
        "newestEventTime": null, "oldestEventTime": null,
        "previousDigestS3Bucket": null, "previousDigestS3Object": null, "previousDigestHashValue": null,
        "previousDigestHashAlgorithm": null, "previousDigestSignature": null,
        "logFiles": [],
    })
}

/// Refusals of S3 are told, and their messages stay in the queue; when the reason is gone, so is the finding.
#[test]
fn what_cannot_be_read_stays_in_the_queue_and_is_told() {
    let body = Ground::new().good_body();
    let healed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_healed = std::sync::Arc::clone(&healed);
    let s3 = Stub::start(move |asked| {
        let sick = !is_healed.load(std::sync::atomic::Ordering::Relaxed);
        let ends = |number: usize| asked.path.ends_with(&format!("{number:016}.json.gz"));
        match asked.method.as_str() {
            "GET" if sick && ends(1) => Answer::s3_error(403, "AccessDenied", "Access Denied"),
            "GET" if sick && ends(2) => Answer::s3_error(400, "KMS.DisabledException", "the key is disabled."),
            "GET" if sick && ends(3) => {
                Answer::s3_error(403, "InvalidObjectState", "The operation is not valid for the storage class")
            }
            "GET" => Answer::new(200, body.clone()),
            _ => Answer::s3_error(403, "AccessDenied", "Access Denied"),
        }
    });
    let dir = tempfile::tempdir().expect("a directory");
    let mut ground = Ground::at(BUCKET, dir);
    let keys: Vec<String> = (0..5).map(|_| ground.log_key()).collect();
    for key in &keys {
        ground.announce(key);
    }
    for (key, says) in keys.iter().zip(["AccessDenied", "KMS.DisabledException", "InvalidObjectState"]) {
        ground.want(Kind::ObjectUnreadable, key, says);
    }
    ground.good.extend(keys[3..].iter().cloned());
    let env = env_of(&s3.endpoint);
    let said = drain(&ground.config, &env, 5);
    assert!(said.contains("3 messages stay in the queue"), "{said}");
    assert_eq!(ground.waiting(), 3, "nothing is lost");
    ground.check();

    healed.store(true, std::sync::atomic::Ordering::Relaxed);
    for file in std::fs::read_dir(ground.dir.path().join("spool/new")).expect("a folder") {
        // The wait for a human is over: `,t=` is when a message is due.
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("text").to_owned();
        let due = name.split(",t=").next().expect("a part").to_owned();
        std::fs::rename(&path, path.with_file_name(due)).expect("renamed");
    }
    drain(&ground.config, &env, 0);
    ground.wanted.clear();
    ground.good = keys;
    ground.check();
    assert_eq!(ground.waiting(), 0);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut ground = Ground::new();
    let key = ground.good();
    let path = ground.dir.path().join("bucket").join(&key);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    if std::fs::read(&path).is_ok() {
        eprintln!("SKIPPED: this user may read everything");
        return;
    }
    ground.good.clear();
    ground.announce(&key);
    ground.want(Kind::ObjectUnreadable, &key, "denied");
    let other = ground.good();
    ground.announce(&other);
    drain(&ground.config, &[], 5);
    ground.check();
    assert_eq!(ground.waiting(), 1);
}

#[test]
fn a_command_that_is_told_nonsense_says_so() {
    for args in [&["verify", "--offline", "/nowhere", "--keys", "/nowhere"][..], &["verify", "--from", "yesterday"]] {
        let output = warden::run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}
