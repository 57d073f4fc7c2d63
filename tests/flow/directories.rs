//! A day on directories, and what a warden refuses to begin with.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use trailwarden::env::Env;
use trailwarden::world::stage::Stage;
use trailwarden::world::{PLANTABLE, Scale, Step, World};

use crate::common::acts::{Acts, contains, world};
use crate::common::expected;
use crate::common::warden::{Warden, get, get_as, json, stderr, verb};

/// A played world's directories and configuration.
pub struct Ground {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
    state: PathBuf,
    pub stage: Stage,
}

impl Ground {
    pub fn of(world: &World) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::set(dir.path(), world, &Env::system()).expect("a stage");
        let config = dir.path().join("trailwarden.toml");
        let text = format!(
            r#"
[organization]
id = "{}"
members = "members.toml"

[[trail]]
name = "org"
bucket = "file://{dir}/bucket"
bucket_name = "{}"
queue = "file://{dir}/spool"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys = "keys"

[verify]
sweep = "1s"

[channel.journal]
kind = "stdout"
format = "json"

[[route]]
to = ["journal"]

[state]
path = "state.db"

[http]
listen = "127.0.0.1:0"
"#,
            world.org,
            world.bucket,
            dir = dir.path().display()
        );
        std::fs::write(&config, text).expect("a file");
        Self { state: dir.path().join("state.db"), dir, config, stage }
    }

    fn small() -> Self {
        Self::of(&world(3, Scale::small(), &[]))
    }

    fn ledger(&self) -> Connection {
        Connection::open(&self.state).expect("the ledger opens")
    }

    pub fn drain(&self) {
        let output = verb(&self.config, &["run", "--drain"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    fn waiting(&self) -> usize {
        let count =
            |folder: &str| std::fs::read_dir(self.dir.path().join("spool").join(folder)).expect("a folder").count();
        count("new") + count("cur")
    }
}

/// Everything that the ledger holds, but for the times at which it was asked.
fn whole(ledger: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["objects", "chains", "digests", "awaited", "findings", "outbox", "quarantine", "counters", "keys"] {
        let mut query = ledger.prepare(&format!("SELECT * FROM {table}")).expect("a query");
        let columns = query.column_count();
        let mut rows = query.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let values: Vec<String> =
                (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("a value"))).collect();
            all.push(format!("{table}: {}", values.join(" ")));
        }
    }
    all
}

#[test]
fn a_day_on_directories_is_drained_and_a_second_drain_changes_nothing() {
    let scale = Scale { accounts: 9, regions: 4, hours: 12, logs_per_hour: (0, 2), records_per_log: (2, 5) };
    let world = world(4, scale, PLANTABLE);
    let ground = Ground::of(&world);
    let acts = Acts::of(world);
    for happening in &acts.first {
        ground.stage.play(happening).expect("it happens");
    }
    ground.drain();
    assert_eq!(ground.waiting(), 0);
    // Only of a member that was seen hours ago can it be said that it never delivers.
    ground.ledger().execute("UPDATE members SET first_seen = first_seen - 86400", []).expect("an update");
    for happening in &acts.late {
        ground.stage.play(happening).expect("it happens");
    }
    ground.drain();
    assert_eq!(acts.planted.len(), PLANTABLE.len(), "there is room for all trouble");
    expected::findings(&ground.config, &acts, &[]);
    let objects = expected::ledger(&ground.state, &acts, &[]);
    let status = json(&ground.config, &["status"]);
    assert_eq!(status["objects"]["seen"].as_u64(), Some(objects as u64));
    assert_eq!(status["alerts"]["sent"].as_u64(), Some(PLANTABLE.len() as u64), "{status}");

    let before = whole(&ground.ledger());
    ground.drain();
    let after = whole(&ground.ledger());
    let changed: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "{changed:#?}");
}

#[test]
fn a_running_warden_answers_is_alone_and_stops_when_told() {
    let ground = Ground::small();
    let mut first = Warden::start(&ground.config, &[]);
    let address = first.address();
    first.until("it is ready", |_| get(&address, "/health/ready").0 == 200);
    assert_eq!(get(&address, "/health/live"), (200, "ok\n".into()));
    let (status, metrics) = get(&address, "/metrics");
    assert_eq!(status, 200);
    for line in ["# TYPE trailwarden_records_total counter", "trailwarden_sweeps_total "] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (_, open) = get_as(&address, "/metrics", "application/openmetrics-text; version=1.0.0");
    assert!(open.contains("# TYPE trailwarden_records counter") && open.ends_with("# EOF\n"), "{open}");
    assert!(!metrics.contains("# EOF"), "{metrics}");
    assert_eq!(get(&address, "/else").0, 404);

    for args in [&["run"][..], &["run", "--drain"]] {
        let second = verb(&ground.config, args);
        assert_eq!(second.status.code(), Some(1), "{args:?}");
        let said = stderr(&second);
        assert!(said.contains("another warden works on") && said.contains("state.db"), "{said}");
    }
    assert_eq!(json(&ground.config, &["status"])["objects"]["seen"], 0, "looking is always allowed");
    assert_eq!(first.stop(), Some(0), "{}", first.log());
    ground.drain();
}

#[test]
fn a_daemon_does_what_a_drain_does() {
    let ground = Ground::small();
    let acts = Acts::of(world(3, Scale::small(), &[]));
    let mut warden = Warden::start(&ground.config, &[]);
    warden.address();
    for happening in &acts.first {
        ground.stage.play(happening).expect("it happens");
    }
    warden.until("the spool is empty", |_| ground.waiting() == 0);
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    let ledger = ground.config.with_file_name("state.db");
    assert!(ledger.exists() && !ledger.with_extension("db-wal").exists(), "a stopped warden's ledger is one file");
    expected::findings(&ground.config, &acts, &[]);
    let objects = expected::ledger(&ground.state, &acts, &[]);
    assert!(objects >= acts.puts().count() / 2, "{objects}");
    let digests = json(&ground.config, &["status"])["digests"].clone();
    assert!(digests["good"].as_u64() > Some(0) && digests["bad"] == 0 && digests["unchecked"] == 0, "{digests}");
}

/// Of a trail that nothing was heard of yet, the digests may lie in the bucket: it is asked before a log is accused.
#[test]
fn a_log_is_not_called_unlisted_before_the_bucket_is_asked() {
    let scale = Scale { accounts: 2, regions: 2, hours: 8, logs_per_hour: (1, 2), records_per_log: (2, 3) };
    let world = world(6, scale, &[]);
    let ground = Ground::of(&world);
    for happening in Acts::of(world).first {
        let of_the_other = matches!(&happening.step, Step::Message { body } if contains(body, "audit_data"));
        if !of_the_other {
            ground.stage.play(&happening).expect("it happens");
        }
    }
    ground.drain();
    let all = json(&ground.config, &["findings", "list", "--all"]);
    assert_eq!(all.as_array().map(Vec::len), Some(0), "{all}");
    let count = |sql: &str| ground.ledger().query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert!(count("SELECT count(*) FROM digests WHERE key LIKE '%audit_data%' AND verdict = 1") > 0);
}

/// Ends with exit code 1 and a sentence with all of `parts`.
fn refused(config: &Path, args: &[&str], parts: &[&str]) {
    let output = verb(config, args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let last = said.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(parts.iter().all(|part| last.contains(part)), "{args:?}: {said}");
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let ground = Ground::small();
    ground.drain();
    ground.ledger().pragma_update(None, "user_version", 99).expect("an update");
    let before = whole(&ground.ledger());
    for args in [&["run"][..], &["run", "--drain"], &["status"], &["findings"]] {
        refused(&ground.config, args, &["version 99", "install the newer program"]);
    }
    assert_eq!(whole(&ground.ledger()), before);
}

#[test]
fn a_clock_behind_the_ledger_stops_the_warden_before_it_writes() {
    let ground = Ground::small();
    ground.drain();
    let set = |ahead: i64| {
        let second = (Env::system().now().as_second() + ahead).to_string();
        let set = "UPDATE meta SET value = ?1 WHERE name = 'last_commit'";
        assert_eq!(ground.ledger().execute(set, [second]).expect("an update"), 1);
    };
    set(3_600);
    for args in [&["run"][..], &["run", "--drain"]] {
        refused(&ground.config, args, &["the clock says", "the ledger was last written at", "set the clock right"]);
    }
    set(60);
    ground.drain();
}

#[test]
fn a_file_that_is_no_ledger_is_named() {
    let ground = Ground::small();
    std::fs::write(
        &ground.state,
        "not a database, but quite long enough to be taken for one at first sight".repeat(100),
    )
    .expect("a file");
    refused(&ground.config, &["run", "--drain"], &["state.db"]);
    let text = std::fs::read_to_string(&ground.state).expect("still there");
    assert!(text.starts_with("not a database"), "left as it was");
}

#[test]
fn a_missing_bucket_is_no_empty_bucket() {
    let ground = Ground::small();
    std::fs::remove_dir_all(ground.dir.path().join("bucket")).expect("removed");
    refused(&ground.config, &["run", "--drain"], &["no directory at", "bucket"]);
    let output: Value = json(&ground.config, &["findings", "kinds"]);
    assert!(output.as_array().is_some_and(|kinds| kinds.len() > 20));
}
