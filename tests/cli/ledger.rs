//! The ledger is checked, copied, brought back, and made anew from the bucket.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use trailwarden::core::id::AccountId;
use trailwarden::core::lock::{Mode, Need};
use trailwarden::env::Env;
use trailwarden::store::{Store, Tx, retention};

use crate::common::warden::{Warden, json as read_json, run, stderr, stdout, verb};
use crate::verbs::{Ground, files};

impl Ground {
    fn state(&self) -> PathBuf {
        self.dir.path().join("state.db")
    }

    fn ledger(&self) -> Connection {
        Connection::open(self.state()).expect("the ledger opens")
    }

    /// Exit code and report of `ledger check`.
    fn check(&self, more: &[&str]) -> (Option<i32>, Value) {
        let output = verb(&self.config, &[&["ledger", "check", "--json"], more].concat());
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        (output.status.code(), report)
    }

    /// The files beside the ledger whose names have `part` in them.
    fn beside(&self, part: &str) -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(self.dir.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains(part)).collect();
        found.sort();
        found
    }

    /// A drained day with an alert channel.
    fn drained() -> Self {
        let ground = Self::new();
        ground.append("[channel.journal]\nkind = \"stdout\"\nformat = \"json\"\n[[route]]\nto = [\"journal\"]\n");
        ground.drain();
        ground
    }

    fn snapshot(&self) -> PathBuf {
        let copies = self.dir.path().join("copies");
        let output = verb(&self.config, &["ledger", "snapshot", "--to", copies.to_str().expect("text")]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        files(&copies, ".db").pop().expect("a copy")
    }

    fn restore(&self, file: &Path) -> std::process::Output {
        verb(&self.config, &["ledger", "restore", file.to_str().expect("text")])
    }
}

fn head(report: &Value) -> String {
    format!("{}:{}", report["ledger"]["seq"], report["ledger"]["head"].as_str().expect("text"))
}

fn bad(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().expect("a list").iter();
    checks.filter(|check| check["faults"] != json!([])).map(|check| check["name"].as_str().expect("text")).collect()
}

#[test]
fn a_ledger_is_checked_while_a_warden_writes_it() {
    let ground = Ground::new();
    let mut warden = Warden::start(&ground.config, &[]);
    let mut looks = 0;
    warden.until("it has settled the day", |warden| {
        if warden.log().contains("started") {
            let (code, report) = ground.check(&[]);
            assert_eq!((code, bad(&report)), (Some(0), vec![]), "{report}");
            looks += 1;
        }
        looks > 0 && std::fs::read_dir(ground.dir.path().join("spool/new")).expect("a folder").count() == 0
    });
    ground.say("poison", b"poison");
    warden.until("poison is told", |_| ground.check(&[]).1["ledger"]["seq"].as_i64() > Some(2));
    let (_, report) = ground.check(&[]);
    let noted = head(&report);
    assert_eq!(read_json(&ground.config, &["status"])["ledger"], report["ledger"]);
    assert_eq!(warden.stop(), Some(0));
    assert!(warden.log().contains(&noted), "the log says where the journal ended: {noted}\n{}", warden.log());
    assert_eq!(ground.check(&["--head", &noted]).0, Some(0));
}

#[test]
fn people_read_what_is_wrong_and_scripts_the_exit_code() {
    let ground = Ground::drained();
    let output = verb(&ground.config, &["ledger", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("this is what the warden wrote"));
    ground
        .ledger()
        .execute("UPDATE links SET verdict = 2 WHERE end = (SELECT min(end) FROM links)", [])
        .expect("an edit");
    let output = verb(&ground.config, &["ledger", "check"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("seals       BAD") && text.contains("is bad, the journal says good"), "{text}");
    let state = ground.state();
    let by_path = run(&["ledger", "check", state.to_str().expect("text")]);
    assert_eq!(by_path.status.code(), Some(4), "no configuration is needed");
    let none = run(&["ledger", "check", "/nowhere/state.db"]);
    assert_eq!(none.status.code(), Some(1), "{}", stdout(&none));
    std::fs::write(
        &state,
        "no ledger at all, but long enough to have a header of a hundred bytes, which SQLite asks for first of all",
    )
    .expect("a file");
    for path in ground.beside("state.db-") {
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(verb(&ground.config, &["ledger", "check"]).status.code(), Some(4));
}

#[test]
fn an_alert_carries_the_journals_head() {
    let ground = Ground::new();
    ground.append("[channel.journal]\nkind = \"stdout\"\nformat = \"json\"\n[[route]]\nto = [\"journal\"]\n[alert]\nheartbeat = \"1d\"\n");
    ground.say("poison", b"poison");
    let output = verb(&ground.config, &["run", "--drain"]);
    let text = stdout(&output);
    let alerts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(alerts.len() >= 2, "{text}");
    for alert in &alerts {
        let (code, report) = ground.check(&["--head", &head(alert)]);
        assert_eq!((code, bad(&report)), (Some(0), vec![]), "{alert}");
    }
    let beat = alerts.iter().find(|alert| alert["finding"]["kind"] == "heartbeat").expect("a heartbeat");
    assert!(beat["finding"]["detail"].as_str().expect("text").contains("journal ends with"), "{beat}");
}

#[test]
fn a_copy_brings_the_ledger_back() {
    let ground = Ground::drained();
    let before = ground.check(&[]).1;
    let copy = ground.snapshot();
    let name = copy.file_name().expect("a name").to_string_lossy().into_owned();
    let told = head(&before);
    let (seq, hash) = told.split_once(':').expect("a head");
    assert!(name.contains(&format!("-{seq}-{}", &hash[..16])), "{name} says {told}");
    let noted = head(&ground.check(&[]).1);
    assert_eq!(ground.beside("snapshot-"), Vec::<PathBuf>::new(), "nothing is left beside the ledger");
    assert_eq!(run(&["ledger", "check", copy.to_str().expect("text"), "--head", &told]).status.code(), Some(0));

    ground.say("poison", b"poison");
    ground.drain();
    let later = head(&ground.check(&["--head", &noted]).1);
    let mut warden = Warden::start(&ground.config, &[]);
    warden.until("it runs", |warden| warden.log().contains("started"));
    let refused = ground.restore(&copy);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("another warden"), "{}", stderr(&refused));
    warden.stop();

    let forged = ground.dir.path().join("forged.db");
    std::fs::copy(&copy, &forged).expect("a copy");
    Connection::open(&forged).expect("it opens").execute("DELETE FROM links WHERE joined", []).expect("an edit");
    let refused = ground.restore(&forged);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("not what the warden wrote"), "{}", stderr(&refused));
    assert_eq!(ground.beside("aside"), Vec::<PathBuf>::new(), "nothing was touched");

    let restored = ground.restore(&copy);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    assert!(stdout(&restored).contains("trailwarden backfill --from "), "{}", stdout(&restored));
    let (code, report) = ground.check(&["--head", &told]);
    assert_eq!((code, bad(&report)), (Some(0), vec![]), "{report}");
    let (code, report) = ground.check(&["--head", &later]);
    assert_eq!((code, bad(&report)), (Some(4), vec!["journal"]), "it says that this was after the copy: {report}");
    assert_eq!(read_json(&ground.config, &["quarantine", "list"]), json!([]), "the poison came later");

    // What was set aside is whole, and can come back the same way.
    let aside = ground.beside("aside").into_iter().next().expect("the one before");
    let again = ground.restore(&aside);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(ground.check(&["--head", &later]).0, Some(0));
    ground.drain();
    assert_eq!(read_json(&ground.config, &["quarantine", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_warden_copies_its_ledger_and_tells_when_it_cannot() {
    let ground = Ground::drained();
    let copies = ground.dir.path().join("copies");
    ground.append(&format!("[state.snapshot]\nto = \"file://{}\"\nevery = \"1m\"\nkeep = 1\n", copies.display()));
    std::fs::write(&copies, "in the way").expect("a file");
    let failing = |all: &Value| all.as_array().expect("a list").iter().any(|held| held["kind"] == "snapshot_failing");
    let mut warden = Warden::start(&ground.config, &[]);
    warden.until("it is told", |_| failing(&read_json(&ground.config, &["findings", "list"])));
    assert_eq!(warden.stop(), Some(0), "nothing else was disturbed");
    std::fs::remove_file(&copies).expect("removed");
    let mut warden = Warden::start(&ground.config, &[]);
    warden.until("a copy is there", |_| copies.is_dir() && !files(&copies, ".db").is_empty());
    warden.until("it has ended", |_| !failing(&read_json(&ground.config, &["findings", "list"])));
    warden.stop();
    assert_eq!(verb(&ground.config, &["ledger", "snapshot"]).status.code(), Some(0));
    assert_eq!(files(&copies, ".db").len(), 1, "only so many are kept");
    let among = verb(
        &ground.config,
        &["ledger", "snapshot", "--to", ground.dir.path().join("bucket/x").to_str().expect("text")],
    );
    assert_eq!(among.status.code(), Some(2), "never among the evidence");

    // A ledger that is not what the warden wrote is not copied either.
    ground.ledger().execute("DELETE FROM deliveries WHERE kind = 0", []).expect("an edit");
    let output = verb(&ground.config, &["ledger", "snapshot"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("seals: deliveries has"), "{}", stderr(&output));
    assert_eq!(ground.beside("snapshot-"), Vec::<PathBuf>::new());
}

/// What the bucket alone can show.
fn shown(ledger: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    for sql in [
        "SELECT 'object', key, kind, state, listed, hex(sha), records FROM objects WHERE state = 0 ORDER BY key",
        "SELECT 'digest', key, verdict, joined, disowned, hex(sha), logs FROM digests ORDER BY key",
        "SELECT 'chain', root, region, trail, first, head, backfill FROM chains ORDER BY root, region, trail, home, backfill",
        "SELECT 'finding', id, kind, state, severity, ifnull(note, ''), first_seen FROM findings
         WHERE kind LIKE 'log\\_%' ESCAPE '\\' OR kind LIKE 'digest\\_%' ESCAPE '\\' ORDER BY id",
    ] {
        let mut query = ledger.prepare(sql).expect("a query");
        let mut rows = query.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            all.push((0..7).map(|at| format!("{:?} ", row.get_ref(at).expect("a value"))).collect());
        }
    }
    all
}

/// What retention writes of holds, consents and defaults, and how far it came at a place.
fn promise(ledger: &Path) {
    let hold = retention::Hold {
        trail: "org".into(),
        bucket: "b".into(),
        prefix: "AWSLogs/".into(),
        account: None,
        by: "kim".into(),
        reason: "case 7".into(),
        since: "2026-03-01T00:00:00Z".parse().expect("a time"),
        objects: 3,
        unfinished: false,
    };
    let account = AccountId::parse("111122223333").expect("an account");
    let need = Need { account, mode: Mode::Governance, logs: 9, digests: 9, before: None, objects: 0, bytes: 0 };
    let write = async {
        let store = Store::open(ledger, &Env::system()).await.expect("a ledger");
        let step = move |tx: &Tx<'_>| {
            retention::set_hold(tx, &hold)?;
            retention::set_accepted(tx, "org/b", "accepted")?;
            retention::set_history(tx, "org/b", &retention::History::default())?;
            retention::set_extended(tx, "org/b", 1, &retention::Extended::begin(&need))
        };
        store.write(step).await.expect("a step");
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(write);
}

#[test]
fn a_ledger_made_anew_from_the_bucket_says_the_same() {
    let ground = Ground::new();
    ground.append("[channel.journal]\nkind = \"stdout\"\nformat = \"json\"\n[[route]]\nto = [\"journal\"]\n");
    let bucket = ground.dir.path().join("bucket");
    let log = files(&bucket, "_CloudTrail_").into_iter().next().expect("a log");
    std::fs::write(&log, trailwarden::core::gzip::deflate(b"{\"Records\":[]}")).expect("a file");
    let digests = files(&bucket, "_CloudTrail-Digest_");
    let digest =
        digests.iter().filter(|path| !path.to_string_lossy().ends_with(".meta.json")).nth(2).expect("a digest");
    std::fs::remove_file(digest).expect("removed");
    ground.say("poison", b"poison");
    let output = verb(&ground.config, &["run", "--drain"]);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", stderr(&output));
    let open = read_json(&ground.config, &["findings", "list"]);
    let modified = open.as_array().expect("a list").iter().find(|held| held["kind"] == "log_modified");
    let id = modified.expect("the log was modified")["id"].as_str().expect("text").to_owned();
    assert!(open.as_array().expect("a list").iter().any(|held| held["kind"] == "digest_missing"), "{open}");
    verb(&ground.config, &["findings", "ack", &id, "--note", "restored from a copy"]);
    let before = shown(&ground.ledger());
    let kept = "SELECT group_concat(name || value) FROM (SELECT * FROM progress
                WHERE name LIKE 'hold/%' OR name LIKE 'retention/%/default' OR name LIKE 'retention/%/accepted' ORDER BY name)";
    promise(&ground.state());
    let remembered = |ledger: rusqlite::Connection| ledger.query_row(kept, [], |row| row.get::<_, String>(0)).ok();
    let promises = remembered(ground.ledger());
    assert!(promises.as_ref().is_some_and(|text| text.contains("case 7") && text.contains("accepted")), "{promises:?}");

    let output = verb(&ground.config, &["ledger", "rebuild"]);
    assert_eq!(remembered(ground.ledger()), promises);
    let place = "SELECT count(*) FROM progress WHERE name LIKE 'retention/%/place/%'";
    assert_eq!(ground.ledger().query_row(place, [], |row| row.get::<_, i64>(0)), Ok(0), "places have other numbers");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert_eq!(shown(&ground.ledger()), before, "{text}");
    assert!(text.contains("1 acknowledged before") && text.contains("message_unintelligible"), "{text}");
    assert!(text.contains("1 messages in the old ledger's quarantine"), "{text}");
    let (code, report) = ground.check(&[]);
    assert_eq!((code, bad(&report)), (Some(0), vec![]), "{report}");
    let aside = ground.beside("aside").into_iter().next().expect("the one before");
    assert_eq!(run(&["ledger", "check", aside.to_str().expect("text")]).status.code(), Some(0));
    // Nobody is told again of what somebody is on.
    let due = "SELECT count(*) FROM outbox WHERE state = 'due' AND finding = ?1";
    assert_eq!(ground.ledger().query_row(due, [&id], |row| row.get::<_, i64>(0)), Ok(0));
    ground.drain();

    // What happens once more after somebody said that it is over is news.
    for said in ["resolved", "nothing changed"] {
        let output = verb(&ground.config, &["findings", "resolve", &id[..12], "--note", "written back"]);
        assert!(stdout(&output).contains(said), "{}", stdout(&output));
    }
    let held = read_json(&ground.config, &["findings", "show", &id]);
    assert_eq!((&held["state"], &held["note"]), (&"resolved".into(), &"written back".into()));
    let (code, report) = ground.check(&[]);
    assert_eq!((code, bad(&report)), (Some(0), vec![]), "{report}");
}
