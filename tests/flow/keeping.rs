//! Retention as a flow, on a directory: what is told, what is done by itself, and what ends a plan.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use trailwarden::config::Config;
use trailwarden::core::lock::{Action, Mode, Plan, Retention, Term, WarningKind, lifecycle};
use trailwarden::core::protection::Part;
use trailwarden::daemon;
use trailwarden::env::Env;
use trailwarden::retain::{Applied, Scope};
use trailwarden::seam::Vault as _;
use trailwarden::store::{Store, findings, retention};
use trailwarden::wiring::Works;

use crate::common::warden::{run_with, stdout};
use crate::retention::{GOVERNANCE, PROD, REST, THEIRS};
use crate::yard::{Counting, Yard};

#[tokio::test]
async fn a_release_ends_no_other_investigation() {
    let yard = Yard::new("keep = \"30d\"");
    let keys = [yard.deliver(PROD, 1), yard.deliver(PROD, 2)];
    let retain = yard.retain().await;
    let held = async |key: &str| yard.vault().lock(key, None).await.unwrap().unwrap().held;
    let prefix = |text: &str| Scope::Prefix(text.into());
    let whole = Scope::Account(PROD.parse().unwrap());
    retain.hold(&prefix(&keys[0]), true, "kim", "one").await.unwrap();
    retain.hold(&whole, true, "kim", "another").await.unwrap();
    for wrong in ["", "AWSLogs/", &keys[1]] {
        retain.hold(&prefix(wrong), false, "kim", "nothing of mine").await.unwrap_err();
        assert!(held(&keys[0]).await && held(&keys[1]).await, "{wrong:?}");
    }
    assert!(retain.hold(&prefix(""), true, "kim", "all").await.is_err());
    assert_eq!(retain.hold(&whole, false, "kim", "closed").await.unwrap(), 1);
    assert!(held(&keys[0]).await && !held(&keys[1]).await, "the other one goes on");
    assert!(retain.hold(&whole, false, "kim", "closed").await.is_err(), "it is not on the list any more");
    assert_eq!(retain.hold(&prefix(&keys[0]), false, "kim", "closed").await.unwrap(), 1);
    assert!(!held(&keys[0]).await);
}

#[tokio::test]
async fn an_observer_tells_and_touches_nothing() {
    let yard = Yard::new("keep = \"30d\"");
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let before = retain.vault.describe(&Part::ALL).await;
    for _ in 0..2 {
        let plan = retain.audit().await.unwrap();
        assert_eq!(plan.steps.len(), 4);
        assert_eq!(yard.told(&retain).await, ["lock_missing", "retention_drift"]);
    }
    assert_eq!(retain.vault.describe(&Part::ALL).await, before);
    assert_eq!(retain.apply(&retain.plan().await.unwrap(), true).await.unwrap(), Applied::Done(4));
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0], "what is mended is resolved");

    // Somebody is about to have the evidence expire.
    let yards = yard.vault();
    let rule = "<Rule><ID>tidy</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>29</Days></Expiration></Rule>";
    let present = yards.describe(&[Part::Lifecycle]).await.value(Part::Lifecycle).unwrap().to_owned();
    let with = present.replace("</LifecycleConfiguration>", &format!("{rule}</LifecycleConfiguration>"));
    let set = |document: &str| Action::SetLifecycle { document: Some(document.into()), minimum: None, made_from: None };
    yards.apply(&set(&with)).await.unwrap();
    let plan = retain.audit().await.unwrap();
    assert!(plan.steps.is_empty() && !plan.is_empty());
    assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous"]);
    // What cannot be read is not well again.
    let file = yard.dir.path().join("bucket/.vault.json");
    let book = std::fs::read(&file).unwrap();
    std::fs::write(&file, "?").unwrap();
    assert!(!retain.audit().await.unwrap().unread.is_empty());
    assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous", "retention_unchecked"]);
    let unread = retain.apply(&plan, true).await.unwrap();
    assert!(matches!(unread, Applied::Unread(_)), "{unread:?}");
    std::fs::write(&file, book).unwrap();
    yards.apply(&set(&present)).await.unwrap();
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

#[tokio::test]
async fn an_enforcer_does_what_can_be_taken_back_and_goes_on_with_what_was_accepted() {
    let strict = "mode = \"compliance\"\nenforce = \"apply\"\n";
    let yard = Yard::new(&format!("{strict}{GOVERNANCE}"));
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let plan = retain.audit().await.unwrap();
    let left: Vec<&str> = plan.steps.iter().map(|step| step.call.as_str()).collect();
    assert_eq!(left, ["s3:PutBucketVersioning", "s3:PutBucketObjectLockConfiguration", "s3:PutObjectRetention"]);
    assert_eq!(yard.told(&retain).await, ["lock_missing", "retention_drift"]);
    assert_eq!(
        retain.apply(&plan, false).await.unwrap(),
        Applied::NotAccepted(plan.steps.iter().map(|step| step.irreversible.clone().unwrap()).collect())
    );
    assert_eq!(retain.apply(&plan, true).await.unwrap(), Applied::Done(3));
    // What comes later is covered by the same consent.
    let key = yard.deliver(PROD, 2);
    assert_eq!(retain.plan().await.unwrap().steps.len(), 1);
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0]);
    let locked = yard.vault().lock(&key, None).await.unwrap().unwrap();
    let promised = Term { mode: Mode::Compliance, days: 90 }.until(locked.created);
    assert_eq!(locked.retention, Some(Retention { mode: Mode::Compliance, until: promised }));
    assert!(yard.vault().remove(&key).await.is_err());
    // Another promise is another consent.
    drop(retain);
    yard.configure(&format!("{strict}{}", GOVERNANCE.replace("90d", "91d")));
    let retain = yard.retain().await;
    assert_eq!(retain.audit().await.unwrap().steps.len(), 1);
    assert_eq!(yard.told(&retain).await, ["retention_drift"]);
    assert_eq!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention, locked.retention);
}

/// The file cannot say of itself that it is harmless.
#[tokio::test]
async fn what_cannot_be_taken_back_is_not_asked_of_the_file() {
    let yard = Yard::new("keep = \"30d\"\nmode = \"compliance\"");
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let before = retain.vault.describe(&Part::ALL).await;
    let mut plan = retain.plan().await.unwrap();
    for step in &mut plan.steps {
        step.irreversible = None;
    }
    let refused = retain.apply(&plan, false).await.unwrap();
    assert!(matches!(&refused, Applied::NotAccepted(steps) if steps.len() == 3), "{refused:?}");
    assert_eq!(retain.vault.describe(&Part::ALL).await, before);
}

#[tokio::test]
async fn a_step_that_is_refused_keeps_nothing_from_being_told_nor_the_others_from_being_taken() {
    let yard = Yard::new(&format!("enforce = \"apply\"\n{GOVERNANCE}"));
    let rule = "<Rule><ID>tidy</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>29</Days></Expiration></Rule>";
    let tidy = lifecycle::write(&[lifecycle::Rule { raw: rule.into(), ..lifecycle::Rule::default() }]);
    yard.vault().alter(Part::Lifecycle, Some(&tidy)).await.unwrap();
    let key = yard.deliver(PROD, 1);
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    *counting.denies.lock().unwrap() = Some("s3:PutLifecycleConfiguration");
    for _ in 0..2 {
        let error = retain.audit().await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("AccessDenied"));
        assert_eq!(yard.told(&retain).await, ["lifecycle_dangerous", "lock_missing", "retention_drift"]);
    }
    assert_eq!(counting.changes.load(Ordering::SeqCst), 2, "once a round");
    assert!(yard.vault().lock(&key, None).await.unwrap().unwrap().retention.is_some(), "the next step is taken");
    let plan = retain.plan().await.unwrap();
    let error = retain.apply(&plan, true).await.unwrap_err();
    assert!(error.text.contains("after 2 of 3 steps"), "{error}");
    *counting.denies.lock().unwrap() = None;
    assert!(retain.audit().await.unwrap().steps.is_empty());
}

/// What is known of one bucket, and what was consented to for it, is not of another under the same trail's name.
#[tokio::test]
async fn another_bucket_is_another_archive() {
    let yard = Yard::new("keep = \"30d\"\nmode = \"compliance\"\nenforce = \"apply\"");
    let mut retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    let old = yard.deliver_on(REST, 1, 1);
    assert!(retain.audit().await.unwrap().steps.iter().all(|step| step.irreversible.is_some()));
    let plan = retain.plan().await.unwrap();
    retain.apply(&plan, true).await.unwrap();
    assert!(retain.plan().await.unwrap().is_empty());
    retain.bucket = "meadow".into();
    let left: Vec<String> = retain.audit().await.unwrap().steps.into_iter().map(|step| step.call).collect();
    assert_eq!(
        left,
        ["s3:PutObjectRetention"],
        "{old} may lie there unlocked, and nobody has said that it may be locked"
    );
}

/// The archive of docs/retention.md: ten accounts, a hundred days, a thousand objects a day each; the last fourteen days with
/// a row for each object, the others folded.
async fn fill(store: &Store) {
    let build = |tx: &trailwarden::store::Tx<'_>| {
        tx.conn.execute_batch(
            "CREATE TEMP TABLE past AS WITH RECURSIVE ages (age) AS (SELECT 1 UNION ALL SELECT age + 1 FROM ages WHERE age < 100)
               SELECT age, CAST(strftime('%Y%m%d', 'now', '-' || age || ' days') AS INTEGER) AS day FROM ages;
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10)
               INSERT INTO places (source, root, region)
                 SELECT 1, printf('AWSLogs/%012d/', n), 'eu-west-1' FROM numbers;
             INSERT INTO days SELECT id, day, 1000, 0, 0, 1000 * iif(id = 10, 262144, 16384), 0 FROM places CROSS JOIN past WHERE age > 14;
             WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999)
               INSERT INTO deliveries (place, name, version, kind, delivered, state, listed, size, seen)
                 SELECT id, printf('%08de0000%016d', day, n), 'v', 0, unixepoch('now', '-' || age || ' days', 'start of day'),
                        0, 1, iif(id = 10, 262144, 16384), unixepoch('now') FROM places CROSS JOIN past CROSS JOIN numbers WHERE age <= 14;
             DROP TABLE past;",
        )
    };
    store.write(build).await.unwrap();
}

/// What the table of docs/retention.md says in bold, by the beginning of its rows.
fn by_hand(what: &str) -> f64 {
    let text = include_str!("../../docs/retention.md");
    let row = text.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap_or_else(|| panic!("{what}"));
    row.rsplit("**").nth(1).unwrap_or_else(|| panic!("{row}")).parse().unwrap()
}

fn agree(what: &str, program: f64, hand: f64) {
    let told = by_hand(what);
    for number in [program, told] {
        assert!(
            (number - hand).abs() <= hand * 0.01,
            "{what}: {program} by the program, {told} in the table, {hand} by hand"
        );
    }
}

#[tokio::test]
async fn a_million_objects_under_the_default_take_no_call_and_cost_what_the_hand_says() {
    let yard = Yard::new(
        "keep = \"7y\"\ntransitions = [{ after = \"30d\", class = \"GLACIER_IR\" }]\nincomplete_uploads = \"keep\"",
    );
    let mut retain = yard.retain().await;
    retain.vault.apply(&Action::EnableVersioning).await.unwrap();
    retain.vault.apply(&Action::SetDefault { term: Term { mode: Mode::Governance, days: 2557 } }).await.unwrap();
    fill(&retain.store).await;
    let seen = Env::system().now() - SignedDuration::from_hours(24 * 101);
    let mut history = retention::History::default();
    history.note(Some(Term { mode: Mode::Governance, days: 2557 }), seen);
    retain.store.write(move |tx| retention::set_history(tx, "org/yard", &history)).await.unwrap();
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.archive.objects, 1_000_000);
    let [step] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
    assert_eq!((step.call.as_str(), step.effect.calls), ("s3:PutLifecycleConfiguration", 1));
    assert_eq!(retain.apply(&plan, false).await.unwrap(), Applied::Done(1));
    assert!(retain.plan().await.unwrap().is_empty());
    assert_eq!(counting.changes.load(Ordering::SeqCst), 1);
    assert_eq!(counting.objects.load(Ordering::SeqCst), 0);
    assert!(by_hand("requests for objects").abs() < f64::EPSILON);

    // Once more by hand, as the table does.
    let gib = |kib: f64| kib / 1024.0 / 1024.0;
    let (small, large) = (gib(9_000.0 * 16.0), gib(1_000.0 * 256.0));
    let month = 100.0 * (small + large) * 0.023;
    let less = 71.0 * large * (0.023 - 0.004);
    let full = 2557.0 * small * 0.023 + 30.0 * large * 0.023 + 2527.0 * large * 0.004;
    agree("a month now, all in STANDARD", plan.archive.month, month);
    agree("objects that move", step.effect.objects as f64, 71_000.0);
    agree("the moves, once", step.effect.once, 71.0 * 0.02);
    agree("a month less", -step.effect.monthly, less);
    agree("a month as planned", plan.archive.month_planned, month - less);
    agree("once full: objects", plan.archive.full_objects as f64, 25_570_000.0);
    agree("a month once full", plan.archive.full_month, full);
}

#[tokio::test]
async fn somebody_who_changes_the_rules_between_two_steps_ends_the_plan() {
    let yard = Yard::new("keep = \"30d\"");
    let mut retain = yard.retain().await;
    let theirs = lifecycle::write(&[lifecycle::Rule { raw: THEIRS.into(), ..lifecycle::Rule::default() }]);
    let meddling = Action::SetLifecycle { document: Some(theirs.clone()), minimum: None, made_from: None };
    let counting = Counting::over(yard.vault(), Some(meddling));
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 3);
    let applied = retain.apply(&plan, true).await.unwrap();
    assert!(matches!(applied, Applied::Stale { taken: 1, .. }), "{applied:?}");
    assert_eq!(counting.changes.load(Ordering::SeqCst), 1);
    let found = retain.vault.describe(&[Part::Lifecycle]).await;
    assert_eq!(found.value(Part::Lifecycle), Some(theirs.as_str()));
    let rest = retain.plan().await.unwrap();
    assert_eq!(retain.apply(&rest, true).await.unwrap(), Applied::Done(2));
    let found = retain.vault.describe(&[Part::Lifecycle]).await;
    assert!(found.value(Part::Lifecycle).is_some_and(|rules| rules.contains(THEIRS) && rules.contains("trailwarden-")));
}

/// The daemon's own loop, in time that flies.
#[tokio::test(start_paused = true)]
async fn the_daemon_audits_tells_and_enforces() {
    let yard = Yard::new("keep = \"30d\"\nenforce = \"apply\"\naudit = \"10m\"");
    let config = Config::load(&yard.config()).unwrap();
    let works = Works::open(&config, &Env::system()).await.unwrap();
    let store = works.store.clone();
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let daemon = tokio::spawn(async move { daemon::watch(config, &yard.config(), works, told).await.map(|()| yard) });
    let open = || async { store.read(|conn| findings::list(conn, false)).await.unwrap() };
    let mut kinds = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        kinds = open()
            .await
            .iter()
            .map(|held| held.kind.name())
            .filter(|name| name.contains("lock_") || name.contains("retention"))
            .collect();
        kinds.sort_unstable();
        if !kinds.is_empty() {
            break;
        }
    }
    assert_eq!(kinds, ["lock_missing", "retention_drift"]);
    tell.send(daemon::Told::Stop).await.unwrap();
    let yard = daemon.await.unwrap().unwrap();
    let found = yard.vault().describe(&Part::RETENTION).await;
    assert!(
        found.value(Part::Lifecycle).is_some_and(|rules| rules.contains("trailwarden-uploads")),
        "that can be taken back"
    );
    assert_eq!(found.value(Part::Versioning), None, "that cannot");
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_told_and_stops_no_step() {
    let yard = Yard::new("keep = \"30d\"\nenforce = \"apply\"");
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    for hidden in [Part::Policy, Part::Acl] {
        *counting.hides.lock().unwrap() = Some(hidden);
        let plan = retain.audit().await.unwrap();
        assert_eq!(plan.unread, [format!("{}: s3: access denied", hidden.name())]);
        assert!(yard.told(&retain).await.contains(&"retention_unchecked".to_owned()));
    }
    let plan = retain.plan().await.unwrap();
    assert!(matches!(retain.apply(&plan, true).await.unwrap(), Applied::Done(2)));
    retain.audit().await.unwrap();
    assert_eq!(yard.told(&retain).await, ["retention_unchecked"]);
    *counting.hides.lock().unwrap() = Some(Part::Lifecycle);
    assert!(matches!(retain.apply(&plan, true).await.unwrap(), Applied::Unread(_)));
    *counting.hides.lock().unwrap() = None;
    retain.audit().await.unwrap();
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

/// S3 may go on answering what was, right after a change.
#[tokio::test(start_paused = true)]
async fn an_answer_from_before_our_own_change_is_not_somebody_elses_change() {
    let yard = Yard::new("keep = \"30d\"\nenforce = \"apply\"");
    let mut retain = yard.retain().await;
    let counting = Counting::over(yard.vault(), None);
    retain.vault = counting.clone();
    let plan = retain.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 3);
    let parts: Vec<Part> = Part::RETENTION.into_iter().chain([Part::Policy, Part::Acl]).collect();
    let before = yard.vault().describe(&parts).await;
    *counting.late.lock().unwrap() = Some((3, before.clone()));
    assert_eq!(retain.apply(&plan, true).await.unwrap(), Applied::Done(3));
    assert_eq!(counting.changes.load(Ordering::SeqCst), 3);
    // The same where nobody asked.
    yard.vault().alter(Part::Lifecycle, None).await.unwrap();
    let before = yard.vault().describe(&parts).await;
    *counting.late.lock().unwrap() = Some((2, before));
    assert!(retain.audit().await.unwrap().is_empty());
    assert_eq!(yard.told(&retain).await, [""; 0]);
}

#[tokio::test]
async fn an_override_for_a_unit_that_nobody_is_in_is_told_and_stops_nothing() {
    let yard = Yard::new(&format!("{GOVERNANCE}\n[[retention.override]]\nou = \"ou-prdo\"\nkeep = \"91d\""));
    let units = |text: &str| text.matches("ou-prdo").count();
    let retain = yard.retain().await;
    retain.store.write(|tx| tx.conn.execute("DELETE FROM members", []).map(|_| ())).await.unwrap();
    let empty = |plan: &Plan| -> Vec<String> {
        let found = plan.warnings.iter().filter(|warning| warning.kind == WarningKind::EmptyUnit);
        found.map(|warning| warning.text.clone()).collect()
    };
    assert_eq!(empty(&retain.plan().await.unwrap()), [""; 0], "nobody has said yet who is a member");
    drop(retain);
    yard.deliver(PROD, 1);
    let retain = yard.retain().await;
    let plan = retain.plan().await.unwrap();
    let told = empty(&plan);
    assert!(told.len() == 1 && units(&told[0]) == 1, "{told:?}");
    assert!(matches!(retain.apply(&plan, true).await.unwrap(), Applied::Done(_)));
    assert!(retain.plan().await.unwrap().is_empty());
    let checked = run_with(&[], &["check-config", "--config", yard.config().to_str().unwrap()]);
    assert_eq!((checked.status.code(), units(&stdout(&checked))), (Some(0), 1), "{}", stdout(&checked));
}
