//! Each verb by itself.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use trailwarden::env::Env;
use trailwarden::world::stage::Stage;
use trailwarden::world::{Scale, World};

use crate::common::stub::{Answer, Stub};
use crate::common::warden::{command, json as read_json, run, stderr, stdout, verb};

const VERBS: [&str; 18] = [
    "run",
    "demo",
    "check-config",
    "doctor",
    "status",
    "coverage",
    "verify",
    "backfill",
    "reconcile",
    "findings",
    "quarantine",
    "channel",
    "keys",
    "ledger",
    "lookup",
    "query",
    "man",
    "completions",
];

#[test]
fn every_verb_explains_itself() {
    let whole = stdout(&run(&["--help"]));
    assert!(whole.contains("Exit codes:"), "{whole}");
    for name in VERBS {
        let output = run(&[name, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(stdout(&output).contains("Usage: trailwarden"), "{name}: {}", stdout(&output));
        let hidden = matches!(name, "man" | "completions");
        assert_eq!(whole.contains(&format!("\n  {name} ")), !hidden, "{name} in {whole}");
    }
    for args in [
        &["findings", "list"][..],
        &["findings", "show"],
        &["findings", "ack"],
        &["findings", "resolve"],
        &["findings", "kinds"],
        &["quarantine", "list"],
        &["quarantine", "show"],
        &["quarantine", "replay"],
        &["quarantine", "drop"],
        &["channel", "test"],
        &["keys", "save"],
        &["ledger", "check"],
        &["ledger", "snapshot"],
        &["ledger", "restore"],
        &["ledger", "rebuild"],
    ] {
        let output = run(&[args, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
    let version = stdout(&run(&["--version"]));
    assert_eq!(version.trim(), concat!("trailwarden ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_ends_with_two() {
    for args in [
        &[][..],
        &["--wrong"],
        &["wrong"],
        &["run", "--wrong"],
        &["status", "extra"],
        &["demo", "--seed", "many"],
        &["findings", "list", "--kind", "nonsense"],
        &["channel"],
        &["channel", "test"],
        &["completions", "cmd.com"],
        &["verify", "--account", "12"],
        &["verify", "--region", "nowhere!"],
        &["verify", "--from", "never"],
        &["verify", "--from", "1h", "--to", "2h"],
        &["verify", "--offline", "."],
        &["verify", "--trail-arn", "x"],
        &["ledger"],
        &["ledger", "check", "--head", "12"],
        &["ledger", "restore"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_manual_and_completions_are_printed() {
    let man = stdout(&run(&["man"]));
    assert!(man.contains(".TH trailwarden 1") && man.contains("EXIT CODES") || man.contains("Exit codes"), "{man}");
    for name in VERBS.iter().filter(|name| !matches!(**name, "man" | "completions")) {
        assert!(man.contains(&name.replace('-', "\\-")), "{name}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("quarantine"), "{shell}");
    }
}

/// A clean day on directories, drained, with a configuration.
pub struct Ground {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
    /// Every chain has a digest that ends later.
    proven_to: Timestamp,
}

impl Ground {
    pub fn new() -> Self {
        let hour: i64 = Env::system().now().as_second() / 3_600 * 3_600;
        let scale = Scale { accounts: 2, regions: 1, hours: 6, logs_per_hour: (1, 2), records_per_log: (2, 4) };
        let start = Timestamp::from_second(hour - 6 * 3_600).expect("a time");
        let mut world = World::clean(9, scale, start).expect("a world");
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::set(dir.path(), &world, &Env::system()).expect("a stage");
        while let Some(hour) = world.next_hour().expect("an hour") {
            for happening in &hour.happenings {
                stage.play(happening).expect("it happens");
            }
        }
        let config = dir.path().join("trailwarden.toml");
        let text = format!(
            "[organization]\nid = \"{}\"\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\n\
             bucket = \"file://{dir}/bucket\"\nbucket_name = \"{}\"\nqueue = \"file://{dir}/spool\"\nkeys = \"keys\"\n\
             [state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n",
            world.org,
            world.bucket,
            dir = dir.path().display()
        );
        std::fs::write(&config, text).expect("a file");
        Self { dir, config, proven_to: Timestamp::from_second(hour - 3 * 3_600).expect("a time") }
    }

    pub fn say(&self, name: &str, body: &[u8]) {
        std::fs::create_dir_all(self.dir.path().join("spool/new")).expect("a folder");
        std::fs::write(self.dir.path().join("spool/new").join(name), body).expect("a file");
    }

    pub fn drain(&self) {
        let output = verb(&self.config, &["run", "--drain"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    pub fn append(&self, text: &str) {
        let whole = std::fs::read_to_string(&self.config).expect("text") + text;
        std::fs::write(&self.config, whole).expect("a file");
    }
}

fn offline(bucket: &Path, keys: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let (bucket, keys) = (bucket.to_str().expect("text"), keys.to_str().expect("text"));
    let output = run(&[&["verify", "--offline", bucket, "--keys", keys, "--json"], more].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), report)
}

/// Every file under `dir` whose path has `part` in it, in order.
pub fn files(dir: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(part) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn verify_says_good_bad_or_could_not_check() {
    let ground = Ground::new();
    let (bucket, keys) = (ground.dir.path().join("bucket"), ground.dir.path().join("keys"));
    // No digest has come for the last logs of the day yet, and none of them is called good.
    let (code, report) = offline(&bucket, &keys, &[]);
    assert_eq!((code, &report["verdict"]), (Some(5), &"incomplete".into()), "{report}");
    let to = ground.proven_to.to_string();
    let (code, report) = offline(&bucket, &keys, &["--to", &to]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"good".into()), "{report}");
    assert_eq!(report["digests"]["bad"], 0);
    assert!(report["digests"]["good"].as_u64() > Some(10), "{report}");

    // Saved keys serve as well, wherever they lie.
    let saved = ground.dir.path().join("saved");
    let output = verb(&ground.config, &["keys", "save", saved.to_str().expect("text"), "--region", "us-east-1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "us-east-1: 1 keys\n");
    assert_eq!(offline(&bucket, &saved, &["--to", &to]).0, Some(0));
    let none = ground.dir.path().join("none");
    std::fs::create_dir(&none).expect("a folder");
    assert_eq!(
        offline(&bucket, &none, &["--to", &to]).0,
        Some(5),
        "without keys nothing is proven, and nothing is bad"
    );

    // A plain copy has no metadata: the newest digest of each chain is taken on trust by nobody.
    for sidecar in files(&bucket, ".meta.json") {
        std::fs::remove_file(sidecar).expect("removed");
    }
    let (code, report) = offline(&bucket, &keys, &[]);
    assert_eq!((code, &report["verdict"]), (Some(5), &"incomplete".into()), "{report}");
    assert!(report["digests"]["unchecked"].as_u64() > Some(0) && report["digests"]["good"].as_u64() > Some(0));

    // Bad news wins over what could not be checked.
    let log = files(&bucket, "_CloudTrail_").into_iter().next().expect("a log");
    std::fs::write(&log, trailwarden::core::gzip::deflate(b"{\"Records\":[]}")).expect("a file");
    let (code, report) = offline(&bucket, &keys, &[]);
    assert_eq!((code, &report["verdict"]), (Some(4), &"bad".into()), "{report}");
    let named = report["findings"][0]["object"].as_str().expect("an object").to_owned();
    assert!(log.ends_with(&named), "{named}");
}

#[test]
fn poison_is_listed_shown_replayed_and_dropped() {
    let ground = Ground::new();
    ground.drain();
    assert_eq!(stdout(&verb(&ground.config, &["quarantine", "list"])), "nothing is held\n");
    ground.say("one", b"first\x1b[31m poison\nsecond line");
    ground.say("two", b"{\"Records\":[]}");
    ground.drain();
    let held = read_json(&ground.config, &["quarantine", "list"]);
    let ids: Vec<String> =
        held.as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id").into()).collect();
    assert_eq!(ids.len(), 2, "{held}");
    let listed = stdout(&verb(&ground.config, &["quarantine", "list"]));
    assert!(ids.iter().all(|id| listed.contains(&id[..12])), "{listed}");
    let bodies: Vec<String> = ids.iter().map(|id| stdout(&verb(&ground.config, &["quarantine", "show", id]))).collect();
    let poison = bodies.iter().position(|body| body.contains("poison\nsecond line")).expect("its body is shown");
    assert!(!bodies[poison].contains('\u{1b}'), "control characters do not reach the terminal");
    let shown = read_json(&ground.config, &["quarantine", "show", &ids[poison]]);
    assert_eq!(shown["body"], "first\u{1b}[31m poison\nsecond line");
    assert_eq!(verb(&ground.config, &["quarantine", "show", "ffffffffffff"]).status.code(), Some(2));

    let still = verb(&ground.config, &["quarantine", "replay", &ids[poison]]);
    assert_eq!(still.status.code(), Some(4), "{}", stderr(&still));
    assert!(stdout(&still).contains("still not understood"));
    let dropped = verb(&ground.config, &["quarantine", "drop", &ids[poison]]);
    assert_eq!(dropped.status.code(), Some(0), "{}", stderr(&dropped));

    // A newer program understands what this one did not: made up here by giving the row a body that is understood.
    let ledger = Connection::open(ground.dir.path().join("state.db")).expect("the ledger opens");
    let record = json!({ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "kestrel-org-trail-logs" }, "object": { "key": "AWSLogs/" } } });
    let body = json!({ "Records": [record] }).to_string().into_bytes();
    ledger
        .execute("UPDATE quarantine SET body = ?1 WHERE id = ?2", rusqlite::params![body, ids[1 - poison]])
        .expect("an update");
    let replayed = verb(&ground.config, &["quarantine", "replay", &ids[1 - poison]]);
    assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
    assert_eq!(read_json(&ground.config, &["quarantine", "list"]), json!([]));
    assert_eq!(read_json(&ground.config, &["findings", "list"]), json!([]), "their findings are closed");
    let all = read_json(&ground.config, &["findings", "list", "--all"]);
    assert_eq!(all.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_channel_is_tested() {
    let ground = Ground::new();
    let hook = Stub::start(|asked| Answer::new(if asked.path == "/good" { 204 } else { 404 }, ""));
    for name in ["good", "gone"] {
        std::fs::write(ground.dir.path().join(name), format!("{}/{name}", hook.endpoint)).expect("a file");
    }
    ground.append(
        "[channel.journal]\nkind = \"stdout\"\nformat = \"json\"\n[channel.good]\nkind = \"webhook\"\nurl = { file = \"good\" }\n\
         [channel.gone]\nkind = \"webhook\"\nurl = { file = \"gone\" }\n[[route]]\nto = [\"journal\"]\n",
    );
    let output = verb(&ground.config, &["channel", "test", "journal"]);
    let alert: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!((output.status.code(), &alert["reason"]), (Some(0), &"test".into()), "{alert}");
    let output = verb(&ground.config, &["channel", "test", "good"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(hook.asked()[0].json()["reason"], "test");
    let output = verb(&ground.config, &["channel", "test", "gone"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("404") && !stderr(&output).contains(&hook.endpoint), "{}", stderr(&output));
    let output = verb(&ground.config, &["channel", "test", "none"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("journal"), "it names those that there are: {}", stderr(&output));
}

#[test]
fn a_backfill_settles_what_was_never_announced() {
    let ground = Ground::new();
    std::fs::remove_dir_all(ground.dir.path().join("spool/new")).expect("removed");
    std::fs::create_dir(ground.dir.path().join("spool/new")).expect("made");
    let dry = verb(&ground.config, &["backfill", "--from", "12h", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", stderr(&dry));
    let seen = || {
        let state = ground.dir.path().join("state.db");
        let count = Connection::open(state)
            .and_then(|conn| conn.query_row("SELECT count(*) FROM objects", [], |row| row.get(0)));
        count.unwrap_or(0i64)
    };
    assert_eq!(seen(), 0, "a dry run changes nothing");
    let done = verb(&ground.config, &["backfill", "--from", "12h"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let objects = files(&ground.dir.path().join("bucket"), "_CloudTrail").into_iter();
    let objects = objects.filter(|path| !path.to_string_lossy().ends_with(".meta.json")).count();
    assert_eq!(seen(), objects as i64);
    ground.drain();
    assert_eq!(read_json(&ground.config, &["findings", "list"]), json!([]));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for args in [&["findings", "kinds", "--json"][..], &["man"], &["completions", "bash"], &["--help"]] {
        let mut child =
            command(&[]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert!(output.stderr.is_empty(), "{args:?}: {}", stderr(&output));
    }
    let shell = std::process::Command::new("sh")
        .args(["-c", "{ \"$0\" findings kinds --json; echo $? >&2; } | head -1", env!("CARGO_BIN_EXE_trailwarden")])
        .output()
        .expect("a shell");
    assert_eq!((stdout(&shell).as_str(), stderr(&shell).as_str()), ("[\n", "0\n"));
}

/// Also when nobody listens on stderr: the exit code is what counts.
#[test]
fn a_closed_stderr_changes_no_exit_code() {
    for (args, code) in [
        (&["status", "--config", "/nowhere.toml"][..], 3),
        (&["verify", "--from", "never"], 2),
        (&["findings", "list", "--kind", "nonsense"], 2),
    ] {
        let mut child =
            command(&[]).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stderr.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{args:?}");
    }
}
