//! A day on an emulated AWS: thousands of objects, a queue of everything that can stand in one, real listeners.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use trailwarden::core::finding::Kind;
use trailwarden::core::id::Sha256;
use trailwarden::world::{PLANTABLE, Scale};

use crate::common::acts::{Acts, world};
use crate::common::cloud::Cloud;
use crate::common::expected::{self, Wanted};
use crate::common::hook::{Hook, Told};
use crate::common::warden::{self, Warden, get, json as read_json};

/// One in so many messages comes twice.
const TWICE: usize = 4;

fn acts() -> &'static Acts {
    static ACTS: OnceLock<Acts> = OnceLock::new();
    ACTS.get_or_init(|| {
        let scale = Scale { accounts: 13, regions: 4, hours: 24, logs_per_hour: (0, 3), records_per_log: (2, 6) };
        // That an account never delivers is only known of a member that was seen hours ago.
        let kinds: Vec<Kind> = PLANTABLE.iter().copied().filter(|kind| *kind != Kind::AccountUncovered).collect();
        Acts::of(world(11, scale, &kinds))
    })
}

/// Messages that nobody should send, and what is to be said of them.
fn adverse(acts: &Acts) -> (Vec<Vec<u8>>, Vec<Wanted>) {
    let unintelligible = [
        "not json at all".to_owned(),
        "{\"Records\":".to_owned(),
        "[1, 2, 3]".to_owned(),
        "{\"hello\":\"world\"}".to_owned(),
        "{\"Records\":[]}".to_owned(),
        format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!("{{\"a\":\"{}\"}}", "x".repeat((256 << 10) - 8)),
        json!({ "Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:t",
                "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription", "Token": "t" })
        .to_string(),
        json!({ "Records": [{ "eventSource": "aws:ec2", "eventName": "Run" }] }).to_string(),
    ];
    let keys = [
        ("AWSLogs/../../etc/passwd", "etc/passwd"),
        ("AWSLogs/123456789012/CloudTrail/%0D%0Aevil%1B%5B31m", "evil"),
        ("%00", r"\u{0}"),
        ("somewhere/else.txt", "somewhere/else.txt"),
    ];
    let mut bodies: Vec<Vec<u8>> = unintelligible.iter().map(|text| text.clone().into_bytes()).collect();
    let mut wanted: Vec<Wanted> = bodies.iter().map(|body| (Kind::MessageUnintelligible, quarantined(body))).collect();
    for (key, shown) in keys {
        let record = json!({ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": "2026-03-01T22:12:44.271Z", "userIdentity": { "principalId": "AWS:AROA:regionalDeliverySession" },
            "s3": { "bucket": { "name": acts.bucket }, "object": { "key": key, "size": 7 } } });
        bodies.push(json!({ "Records": [record] }).to_string().into_bytes());
        wanted.push((Kind::KeyUnexpected, shown.to_owned()));
    }
    (bodies, wanted)
}

/// What the finding says of a body that is kept.
fn quarantined(body: &[u8]) -> String {
    let hash = Sha256::of(body).to_string();
    format!("(quarantine {})", hash.get(..32).unwrap_or_default())
}

/// All messages of the day, some of them twice, none in its place.
fn queue(acts: &Acts, adverse: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut bodies = Acts::messages(&acts.first);
    let again: Vec<Vec<u8>> = bodies.iter().filter(|_| rng.usize(..TWICE) == 0).cloned().collect();
    bodies.extend(again);
    bodies.extend(adverse.iter().cloned());
    rng.shuffle(&mut bodies);
    bodies
}

/// A cloud with the first part of the day in it.
async fn staged(rng: &mut fastrand::Rng) -> Option<(Arc<Cloud>, Vec<Wanted>)> {
    let acts = acts();
    let cloud = Cloud::set(acts, Hook::ready()).await?;
    let (messages, wanted) = adverse(acts);
    cloud.change(&acts.first).await;
    let bodies = queue(acts, &messages, rng);
    assert!(bodies.len() >= 5_000 && acts.puts().count() >= 4_000, "{} messages", bodies.len());
    eprintln!("{} messages about {} objects", bodies.len(), acts.puts().count());
    cloud.send(&bodies).await;
    Some((Arc::new(cloud), wanted))
}

/// Waits until the queue holds nothing, visible or not, the sweep has looked at it all twice since, and no alert is due.
async fn settled(cloud: &Arc<Cloud>, mut warden: Warden) -> Warden {
    let mut quiet = 0;
    while quiet < 4 {
        quiet = if cloud.depth().await == (0, 0) { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let config = cloud.config.clone();
    tokio::task::spawn_blocking(move || {
        let address = warden.address();
        let sweeps = || {
            let (_, metrics) = get(&address, "/metrics");
            let line = metrics.lines().find_map(|line| line.strip_prefix("trailwarden_sweeps_total "));
            line.and_then(|text| text.parse::<u64>().ok()).expect("sweeps are counted")
        };
        let enough = sweeps() + 2;
        warden.until("two sweeps", |_| sweeps() >= enough);
        warden.until("all alerts sent", |_| read_json(&config, &["status"])["alerts"]["due"] == 0);
        warden
    })
    .await
    .expect("nothing panics")
}

/// The rest of the day, once the first part is settled.
async fn finish(cloud: &Arc<Cloud>, warden: Warden) -> Warden {
    let warden = settled(cloud, warden).await;
    cloud.change(&acts().late).await;
    cloud.send(&Acts::messages(&acts().late)).await;
    settled(cloud, warden).await
}

/// Rows, findings, quarantine and counts, whatever happened in between.
fn check(cloud: &Cloud, wanted: &[Wanted]) -> Vec<String> {
    let ids = expected::findings(&cloud.config, acts(), wanted);
    let bad_keys = [
        r"AWSLogs/123456789012/CloudTrail/\u{d}\u{a}evil\u{1b}[31m",
        r"\u{0}",
        "AWSLogs/../../etc/passwd",
        "somewhere/else.txt",
    ];
    let objects = expected::ledger(&cloud.state, acts(), &bad_keys);
    let status = read_json(&cloud.config, &["status"]);
    assert_eq!(status["objects"]["seen"].as_u64(), Some(objects as u64), "{status}");
    assert_eq!((&status["alerts"]["due"], &status["alerts"]["dead"]), (&json!(0), &json!(0)));
    let planted = acts().planted.iter().filter(|planted| planted.kind == Kind::MessageUnintelligible).count();
    let poison = wanted.iter().filter(|(kind, _)| *kind == Kind::MessageUnintelligible).count();
    let held = read_json(&cloud.config, &["quarantine", "list"]);
    assert_eq!(held.as_array().map(Vec::len), Some(planted + poison), "{held}");
    ids
}

/// Every finding was told, and none that is no finding.
fn told(channel: &Told, ids: &[String]) {
    for id in ids {
        assert!(channel.contains_key(&(id.clone(), "first".to_owned())), "{id} was not told");
    }
    let others: Vec<_> = channel.keys().filter(|(id, reason)| !ids.contains(id) || reason != "first").collect();
    assert!(others.is_empty(), "told, and should not be: {others:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_queue_is_settled_once_and_told_once() {
    let Some((cloud, wanted)) = staged(&mut fastrand::Rng::with_seed(5)).await else { return };
    let warden = Warden::start(&cloud.config, &cloud.env);
    let mut warden = finish(&cloud, warden).await;
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    let ids = check(&cloud, &wanted);
    let (hook, inbox) = (cloud.hook.told(), cloud.inbox().await);
    for channel in [&hook, &inbox] {
        told(channel, &ids);
        let repeated: Vec<_> = channel.iter().filter(|(_, keys)| keys.len() != 1).collect();
        assert!(repeated.is_empty(), "told more than once: {repeated:?}");
    }
}

/// How many objects the ledger knows.
fn seen(state: &std::path::Path) -> u64 {
    let count = Connection::open(state).and_then(|conn| {
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.query_row("SELECT count(*) FROM objects", [], |row| row.get::<_, i64>(0))
    });
    count.map_or(0, i64::unsigned_abs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_and_killing_in_the_middle_changes_nothing() {
    // The standard order once hid a gap; TRAILWARDEN_SEED tries another.
    let seed = std::env::var("TRAILWARDEN_SEED").ok().and_then(|text| text.parse().ok());
    let mut rng = fastrand::Rng::with_seed(seed.unwrap_or(1_878_178_285_190_426_448));
    eprintln!("seed {}", rng.get_seed());
    let Some((cloud, wanted)) = staged(&mut rng).await else { return };
    let whole = acts().puts().count() as u64;
    for (share, killed) in [(10, false), (35, true), (60, true)] {
        let enough = whole * share / 100 + rng.u64(..whole / 10);
        let mut warden = Warden::start(&cloud.config, &cloud.env);
        let state = cloud.state.clone();
        warden.until("a part is done", |_| state.exists() && seen(&state) >= enough);
        warden::pause(Duration::from_millis(rng.u64(..200)));
        assert!(cloud.depth().await.0 > 0, "stopped too late to show anything");
        if killed {
            warden.kill();
        } else {
            assert_eq!(warden.stop(), Some(0), "{}", warden.log());
            assert_eq!(cloud.depth().await.1, 0, "an orderly stop leaves nothing in flight");
        }
    }
    let warden = Warden::start(&cloud.config, &cloud.env);
    let mut warden = finish(&cloud, warden).await;
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    let ids = check(&cloud, &wanted);
    let hook = cloud.hook.told();
    told(&hook, &ids);
    // A crash between a post and its stamp repeats the post under the same key; nothing is told under two.
    for (subject, keys) in &hook {
        assert!(keys.iter().all(|key| *key == keys[0]), "{subject:?} was told as different alerts: {keys:?}");
    }
    told(&cloud.inbox().await, &ids);
}
