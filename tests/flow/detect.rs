//! Detection rules: objects in, findings out; once for an event however often it comes, through restarts and reloads.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use trailwarden::config::Config;
use trailwarden::core::finding::{Held, Kind, Severity, State};
use trailwarden::core::gzip;
use trailwarden::core::notice::Notice;
use trailwarden::daemon::{self, Told};
use trailwarden::delivery::Fate;
use trailwarden::env::Env;
use trailwarden::store::{Store, findings};
use trailwarden::wiring::Works;

use crate::common::warden;

const RULES: &str = r#"
[[rule]]
id = "three-users"
title = "Users are made one after the other"
severity = "critical"
filter = '{ $.eventName = "CreateUser" }'
group = ["recipientAccountId", "principal"]
count = { at_least = 3, within = "10m" }
action = "Ask."

[[rule]]
id = "then-key"
title = "A user was made and got a key"
filter = '{ $.eventName = "CreateUser" }'
then = [{ filter = '{ $.eventName = "CreateAccessKey" }', within = "5m" }]
"#;

struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let yard = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["spool/new", "spool/cur", "spool/done", "keys", "bucket", "rules"] {
            std::fs::create_dir_all(yard.path().join(folder)).unwrap();
        }
        std::fs::write(yard.path().join("members.toml"), "[[account]]\nid = \"111122223333\"\n").unwrap();
        let root = yard.path().display();
        let text = format!(
            "[organization]\nid = \"o-a1b2c3d4e5\"\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\n\
             bucket = \"file://{root}/bucket\"\nbucket_name = \"yard\"\nqueue = \"file://{root}/spool\"\nkeys = \"keys\"\n\
             layout = [\"AWSLogs/{{org}}/{{account}}/\"]\n[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n\
             [channel.journal]\nkind = \"stdout\"\n[[route]]\nto = [\"journal\"]\n[detect]\nrules = [\"rules\"]\n"
        );
        std::fs::write(yard.config(), text).unwrap();
        yard.write_rules(RULES);
        yard
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("trailwarden.toml")
    }

    fn write_rules(&self, text: &str) {
        std::fs::write(self.path().join("rules/ours.toml"), text).unwrap();
    }

    async fn works(&self, now: &str) -> (Works, Env) {
        let config = Config::load(&self.config()).unwrap();
        let env = Env::manual(now.parse().unwrap(), 7);
        let works = Works::open(&config, &env).await.unwrap();
        works.deliveries.roster.refresh().await.unwrap();
        (works, env)
    }

    fn log(&self, unique: u32, records: &[Value]) -> String {
        let key = format!(
            "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/us-east-1/2026/03/01/111122223333_CloudTrail_us-east-1_20260301T2215Z_Ab3dEf6hIj9k{unique:04}.json.gz"
        );
        let path = self.path().join("bucket").join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, gzip::deflate(json!({ "Records": records }).to_string().as_bytes())).unwrap();
        key
    }

    async fn deliver(&self, works: &Works, unique: u32, records: &[Value]) -> Fate {
        let key = self.log(unique, records);
        works.deliveries.settle(&works.trails[0], &Notice::listed("yard", key, 1, None)).await.unwrap()
    }
}

fn event(id: &str, name: &str, time: &str) -> Value {
    json!({
        "eventVersion": "1.11", "eventTime": format!("2026-03-01T{time}Z"), "eventSource": "iam.amazonaws.com",
        "eventName": name, "awsRegion": "us-east-1", "recipientAccountId": "111122223333", "eventID": id,
        "sourceIPAddress": "198.51.100.7", "requestParameters": {"userName": "bob", "password": "hunter2"},
        "eventType": "AwsApiCall",
        "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/eve", "accountId": "111122223333" },
    })
}

/// Findings of rules: (rule, state, count).
async fn fired(store: &Store) -> Vec<(String, State, u64)> {
    let rule = |held: &Held| held.detection.as_ref().map(|detection| detection.rule.clone()).unwrap_or_default();
    let mut all: Vec<_> = held(store).await.iter().map(|held| (rule(held), held.state, held.count)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

async fn held(store: &Store) -> Vec<Held> {
    let all = store.read(|conn| findings::list(conn, true)).await.unwrap();
    all.into_iter().filter(|held| held.kind == Kind::RuleFired).collect()
}

#[tokio::test]
async fn a_rule_fires_once_whatever_comes_again_and_ends_with_its_window() {
    let yard = Yard::new();
    let (works, env) = yard.works("2026-03-01T22:20:00Z").await;
    let user = |id: &str, time: &str| event(id, "CreateUser", time);
    assert_eq!(yard.deliver(&works, 1, &[user("e1", "22:01:00"), user("e2", "22:02:00")]).await, Fate::Admitted);
    // The same log again, the same events in another log.
    assert_eq!(yard.deliver(&works, 1, &[user("e1", "22:01:00"), user("e2", "22:02:00")]).await, Fate::Repeated);
    assert_eq!(yard.deliver(&works, 2, &[user("e2", "22:02:00"), user("e1", "22:01:00")]).await, Fate::Admitted);
    assert_eq!(fired(&works.store).await, []);

    // What was counted is in the ledger, and not in this process.
    drop(works);
    let (works, env_after) = yard.works("2026-03-01T22:21:00Z").await;
    drop(env);
    yard.deliver(&works, 3, &[user("e3", "22:10:59")]).await;
    assert_eq!(fired(&works.store).await, [("three-users".into(), State::Open, 3)]);
    let all = held(&works.store).await;
    let (finding, detection) = (&all[0], all[0].detection.as_ref().unwrap());
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.account.unwrap().as_str(), "111122223333");
    assert!(finding.detail.starts_with("Users are made one after the other (recipientAccountId 111122223333, principal arn:aws:iam::111122223333:user/eve): 3 counted, at least 3 events within 600 s"));
    assert_eq!(detection.samples.iter().map(|sample| sample.id.as_str()).collect::<Vec<_>>(), ["e1", "e2", "e3"]);
    assert_eq!(detection.objects.len(), 2, "{:?}", detection.objects);
    let text = serde_json::to_string(finding).unwrap();
    assert!(text.contains("bob") && !text.contains("hunter2"), "{text}");

    yard.deliver(&works, 4, &[user("e4", "22:11:30")]).await;
    assert_eq!(fired(&works.store).await, [("three-users".into(), State::Open, 4)]);
    works.deliveries.rest_watches().await.unwrap();
    assert_eq!(fired(&works.store).await[0].1, State::Open);
    env_after.advance(SignedDuration::from_mins(10));
    works.deliveries.rest_watches().await.unwrap();
    assert_eq!(fired(&works.store).await, [("three-users".into(), State::Resolved, 4)]);
    // What was too much before is no news; three more are.
    yard.deliver(&works, 5, &[user("e5", "22:25:00")]).await;
    assert_eq!(fired(&works.store).await[0].1, State::Resolved);
    yard.deliver(&works, 6, &[user("e6", "22:26:00"), user("e7", "22:27:00")]).await;
    assert_eq!(fired(&works.store).await[0].1, State::Open);
    assert_eq!(sealed(&works.store).await, [] as [String; 0]);
}

/// What in the ledger does not fit its seals.
/// What somebody does who makes a group of every call.
#[tokio::test]
async fn groups_beyond_what_is_remembered_are_counted_together() {
    let yard = Yard::new();
    let (works, env) = yard.works("2026-03-01T22:20:00Z").await;
    let by = |id: u32, who: u32| {
        let mut event = event(&format!("e{id}"), "CreateUser", "22:01:00");
        event["userIdentity"]["arn"] = format!("arn:aws:iam::111122223333:user/{who}").into();
        event
    };
    yard.deliver(&works, 1, &[by(1, 1)]).await;
    let crowd = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
                 INSERT INTO watches SELECT CAST(printf('%016d', i) AS BLOB), 'three-users', '[\"\",\"\"]', 0, 4e9, '' FROM n";
    let counted = "UPDATE counters SET value = value + 99999 WHERE name = 'watches/three-users'";
    let fill =
        move |tx: &trailwarden::store::Tx<'_>| tx.conn.execute(crowd, []).and_then(|_| tx.conn.execute(counted, []));
    works.store.write(fill).await.unwrap();
    yard.deliver(&works, 2, &[by(2, 2), by(3, 3), by(4, 4)]).await;
    yard.deliver(&works, 3, &[by(5, 1), by(6, 1)]).await;
    let told = held(&works.store).await.into_iter().filter_map(|held| Some((held.detection?, held.count)));
    let of_users = told.filter(|(detection, _)| detection.rule == "three-users");
    let mut told: Vec<(String, u64)> =
        of_users.filter_map(|(told, count)| Some((told.group.last()?.1.clone(), count))).collect();
    told.sort();
    assert_eq!(told, [("arn:aws:iam::111122223333:user/1".to_owned(), 3), ("many".to_owned(), 3)]);
    env.advance(SignedDuration::from_hours(7));
    works.deliveries.rest_watches().await.unwrap();
    let left = "SELECT count(*) FROM watches WHERE state <> ''";
    assert_eq!(works.store.read(move |conn| conn.query_row(left, [], |row| row.get::<_, i64>(0))).await.unwrap(), 0);
    assert_eq!(sealed(&works.store).await, [] as [String; 0]);
}

async fn sealed(store: &Store) -> Vec<String> {
    let report = trailwarden::store::check::run(store.path(), None, store.env()).await.unwrap();
    report.checks.into_iter().flat_map(|check| check.faults).collect()
}

#[tokio::test]
async fn a_sequence_over_several_logs_fires_in_whatever_order_they_come() {
    let yard = Yard::new();
    let (works, _) = yard.works("2026-03-01T22:20:00Z").await;
    yard.deliver(&works, 1, &[event("k1", "CreateAccessKey", "22:03:00")]).await;
    assert_eq!(fired(&works.store).await, []);
    yard.deliver(&works, 2, &[event("u1", "CreateUser", "22:03:01")]).await;
    assert_eq!(fired(&works.store).await, [], "the key came first");
    yard.deliver(&works, 3, &[event("u2", "CreateUser", "22:02:00")]).await;
    assert_eq!(fired(&works.store).await, [("then-key".into(), State::Open, 1)]);
}

#[tokio::test]
async fn what_happened_long_ago_and_what_is_not_believed_wakes_nobody() {
    let yard = Yard::new();
    let (works, _) = yard.works("2026-05-01T22:20:00Z").await;
    let three = |time: &str| ["a", "b", "c"].map(|id| event(id, "CreateUser", time));
    yard.deliver(&works, 1, &three("22:02:00")).await;
    assert_eq!(fired(&works.store).await, []);
    drop(works);

    let yard = Yard::new();
    let (works, _) = yard.works("2026-03-01T22:20:00Z").await;
    let mut foreign = three("22:02:00");
    foreign[0]["recipientAccountId"] = json!("999988887777");
    assert_eq!(yard.deliver(&works, 1, &foreign).await, Fate::Unusable);
    assert_eq!(fired(&works.store).await, []);
}

#[tokio::test]
async fn rules_are_read_again_while_the_warden_runs() {
    let yard = Yard::new();
    let (works, _) = yard.works("2026-03-01T22:20:00Z").await;
    yard.deliver(&works, 1, &["a", "b", "c"].map(|id| event(id, "CreateUser", "22:02:00"))).await;
    assert_eq!(fired(&works.store).await.len(), 1);
    let (config, path) = (Config::load(&yard.config()).unwrap(), yard.config());
    let (deliveries, store, trail) = (works.deliveries.clone(), works.store.clone(), works.trails[0].clone());
    let (tell, told) = mpsc::channel(1);
    let warden = tokio::spawn(async move { daemon::watch(config, &path, works, told).await });
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        for _ in 0..2_000 {
            if done() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("waited in vain: {what}");
    };
    // A broken file changes nothing.
    yard.write_rules("[[rule]]\nid = \"x\"\n");
    tell.send(Told::Reload).await.unwrap();
    yard.write_rules("[[rule]]\nid = \"keys\"\ntitle = \"A key\"\nfilter = '{ $.eventName = \"CreateAccessKey\" }'\n");
    tell.send(Told::Reload).await.unwrap();
    until("the new rules", &|| deliveries.rules().find("keys").is_some()).await;
    let key = yard.log(2, &[event("k", "CreateAccessKey", "22:03:00")]);
    deliveries.settle(&trail, &Notice::listed("yard", key, 1, None)).await.unwrap();
    // A finding of a rule that is no more is over.
    deliveries.rest_watches().await.unwrap();
    let all = fired(&store).await;
    assert_eq!(all, [("keys".into(), State::Open, 1), ("three-users".into(), State::Resolved, 3)]);
    tell.send(Told::Stop).await.unwrap();
    warden.await.unwrap().unwrap();
}

/// The way of somebody who writes a rule: wrong, mended, tested, explained, tried on what was.
#[test]
fn an_authors_way_from_a_wrong_filter_to_a_backtest() {
    let yard = Yard::new();
    let run = |args: &[&str]| warden::verb(&yard.config(), args);
    yard.write_rules("[[rule]]\nid = \"users\"\ntitle = \"A user\"\nfilter = '{ $.eventName == \"CreateUser\" }'\n");
    let wrong = run(&["check-config"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(warden::stderr(&wrong).contains("rules/ours.toml:4:"), "{}", warden::stderr(&wrong));
    let rule = |quiet: &str| {
        format!(
            "[[rule]]\nid = \"users\"\ntitle = \"A user\"\nfilter = '{{ $.eventName = \"CreateUser\" }}'\n\
             test.fires = ['{{\"eventName\": \"CreateUser\"}}']\ntest.quiet = ['{{\"eventName\": \"{quiet}\"}}']\n"
        )
    };
    yard.write_rules(&rule("CreateUser"));
    let failing = run(&["check-config"]);
    assert_eq!(failing.status.code(), Some(3));
    assert!(warden::stderr(&failing).contains("test.quiet, number 1: it fires, and should not"));
    assert_eq!(run(&["rule", "test"]).status.code(), Some(4));
    yard.write_rules(&rule("DeleteUser"));
    let good = run(&["check-config"]);
    assert!(warden::stdout(&good).contains("1 rule, of which 2 tests hold"), "{}", warden::stdout(&good));
    assert_eq!(run(&["rule", "test"]).status.code(), Some(0));
    assert!(warden::stdout(&run(&["rule", "list"])).starts_with("users  medium    A user"));
    assert!(warden::stdout(&run(&["rule", "show", "users"])).contains("1 events within 300 s"));

    let record = yard.path().join("record.json");
    std::fs::write(&record, event("e", "DeleteUser", "22:00:00").to_string()).unwrap();
    let explained = run(&["rule", "explain", "users", record.to_str().unwrap()]);
    assert_eq!(explained.status.code(), Some(4));
    let text = warden::stdout(&explained);
    assert!(text.contains("does not match") && text.contains("not held") && text.contains("DeleteUser"), "{text}");

    yard.log(1, &[event("e1", "CreateUser", "22:00:00"), event("e2", "CreateUser", "22:01:00")]);
    yard.log(2, &[event("e2", "CreateUser", "22:01:00"), event("e3", "CreateUser", "21:00:00")]);
    let tried =
        warden::json(&yard.config(), &["rule", "backtest", "users", "--from", "2026-03-01", "--to", "2026-03-02"]);
    assert_eq!((&tried["logs"], &tried["records"], &tried["matched"]), (&json!(2), &json!(4), &json!(3)));
    assert_eq!(tried["fired"], json!(1), "{tried:#}");
    assert_eq!(tried["thresholds"][1], json!({"at_least": 2, "fired": 1}));
    let drawn = run(&["rule", "backtest", "users", "--from", "2026-03-01", "--to", "2026-03-02"]);
    let text = warden::stdout(&drawn);
    assert!(
        text.starts_with("users: would have fired once for 3 events in 4 records of 2 logs\n2026-03-01  ████"),
        "{text}"
    );
    assert!(!yard.path().join("state.db").exists(), "a backtest writes nothing");
}
