//! What was given into custody stays: messages, objects, and what is known of them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::runtime::{Builder, Runtime};
use trailwarden::core::finding::{Kind, State};
use trailwarden::core::gzip::{Caps, deflate, inflate};
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::notice::{self, Opened};
use trailwarden::error::Error;
use trailwarden::world::{Scale, Step};

use crate::common::acts::contains;
use crate::far::{Crash, Far, GET, VISIBILITY};
use crate::scene::{SCALE, Scene, Warden, announce, minutes, name, spoken_of, told};

const POISON: &[u8] = b"neither JSON nor anything else";

/// What has been deleted from the queue is in the ledger or in quarantine, whole.
async fn nothing_deleted_is_lost(warden: &Warden, far: &Far) {
    let deleted: Vec<Vec<u8>> = {
        let state = far.state();
        state.messages.iter().filter(|posted| posted.deleted).map(|posted| posted.body.clone()).collect()
    };
    for body in deleted {
        for key in spoken_of(&body) {
            assert!(warden.knows(&key).await, "deleted, and nothing is known of {key}");
        }
        let poison = matches!(notice::open(&body), Opened::Unintelligible { .. });
        assert!(!poison || warden.quarantine().await.contains(&body), "deleted, and not in quarantine");
    }
}

/// One life that ends in the given call, another one that does not; answers whether the first got so far.
fn die_and_live(scene: &Scene, crash: Crash) -> bool {
    let far = &scene.far;
    far.state().crash = Some(crash);
    let crashed = runtime().block_on(async {
        let _warden = scene.watch().await;
        let crashed = tokio::select! {
            () = far.crashed.notified() => true,
            () = minutes(2) => false,
        };
        far.leave();
        crashed
    });
    far.state().crash = None;
    runtime().block_on(async {
        let warden = scene.watch().await;
        nothing_deleted_is_lost(&warden, far).await;
        warden.settled().await;
        minutes(1).await;
        nothing_deleted_is_lost(&warden, far).await;
        let announced = scene.announced();
        assert_eq!(warden.count("objects.seen").await, announced.len() as u64, "{crash:?}");
        assert_eq!(warden.count("records").await, records(scene, &announced), "{crash:?}");
        warden.only(Kind::MessageUnintelligible).await;
        let state = far.state();
        let keys: BTreeSet<&String> = state.alerts.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 1, "one alert, however often it was sent: {keys:?}, {crash:?}");
    });
    crashed
}

/// Elements of the logs among these keys.
fn records(scene: &Scene, keys: &BTreeSet<String>) -> u64 {
    let elements = |(key, body): (String, Vec<u8>)| {
        let raw = inflate(&body, Caps::default()).expect("gzip").bytes;
        let log: serde_json::Value = serde_json::from_slice(&raw).expect("JSON");
        if keys.contains(&key) { log["Records"].as_array().map_or(0, Vec::len) as u64 } else { 0 }
    };
    scene.evidence().into_iter().map(elements).sum()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Row 1. The warden dies in every call that it makes, before its effect and after it.
#[test]
fn a_message_is_never_deleted_before_its_fate_is_durable() {
    let scale = Scale { accounts: 1, regions: 1, hours: 2, logs_per_hour: (1, 1), records_per_log: (1, 2) };
    let mut scene = Scene::clean(1, scale);
    let mut deaths = 0;
    for call in 1.. {
        let mut got_there = false;
        for after in [false, true] {
            scene.again();
            scene.far.post(POISON);
            scene.play();
            got_there |= die_and_live(&scene, Crash { call, after });
        }
        if !got_there {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 15, "only {deaths} calls were met");
}

/// Row 5. An object takes twenty times the visibility of its message; its neighbors do not wait for it.
#[tokio::test(start_paused = true)]
async fn a_message_whose_object_is_slow_is_extended_from_receipt_and_handed_out_once() {
    let mut scene = Scene::clean(5, SCALE);
    scene.config.limits.messages = 8;
    let slow = scene.evidence().into_keys().next().expect("a key");
    let body = scene.evidence()[&slow].clone();
    scene.far.state().objects.insert(slow.clone(), (body, Default::default()));
    scene.far.state().slow.insert(slow.clone(), 20 * VISIBILITY);
    scene.withhold(|key| key == slow);
    let warden = scene.ready().await;
    scene.far.post(&announce(&scene.world.bucket, &slow));
    scene.play();
    warden.until("its neighbors are settled", async || scene.far.waiting() == 1).await;
    assert!(!scene.far.state().messages[0].deleted, "they did not wait for it");
    assert!(scene.far.asked(GET, &slow).len() == 1 && scene.far.state().reading == 1);
    warden.until("it is settled", async || scene.far.waiting() == 0).await;
    let state = scene.far.state();
    assert!(state.messages.iter().all(|posted| posted.deliveries == 1));
    let held = &state.messages[0].touched;
    assert!(held.len() > 20, "{held:?}");
    let late = SignedDuration::try_from(VISIBILITY * 4 / 5).expect("it fits");
    assert!(held.windows(2).all(|two| two[1].duration_since(two[0]) < late), "{held:?}");
    assert!(state.most_held <= 8, "{} held and 8 allowed", state.most_held);
}

/// Row 5. The queue gave the message to somebody else: the first work on it is dropped, and the object counts once.
#[tokio::test(start_paused = true)]
async fn work_whose_handle_is_lost_is_dropped() {
    let scene = Scene::clean(5, SCALE);
    let slow = scene.evidence().into_keys().next().expect("a key");
    scene.far.post(&announce(&scene.world.bucket, &slow));
    scene.far.state().slow.insert(slow.clone(), 10 * VISIBILITY);
    scene.far.state().objects.insert(slow.clone(), (scene.evidence()[&slow].clone(), Default::default()));
    let warden = scene.watch().await;
    warden.until("it is read", async || scene.far.state().reading == 1).await;
    scene.far.lose(0);
    warden.until("it is read again", async || scene.far.state().reading == 2).await;
    tokio::time::sleep(VISIBILITY).await;
    assert_eq!(scene.far.state().reading, 1, "one of the two was dropped");
    warden.settled().await;
    assert_eq!((warden.count("objects.seen").await, scene.far.state().messages[0].deliveries), (1, 2));
}

/// Row 6. What says nothing is counted, what cannot be understood is kept, what may still work comes back, each time later.
#[tokio::test(start_paused = true)]
async fn poison_neither_loops_nor_vanishes_and_what_may_pass_comes_back() {
    let scene = Scene::clean(6, SCALE);
    let far = &scene.far;
    let mut keys = scene.evidence().into_keys().filter(|key| matches!(key::parse(key), ObjectKey::Log(_)));
    let (busy, denied) = (keys.next().expect("a key"), keys.next().expect("another"));
    let poison: [&[u8]; 3] =
        [POISON, br#"{"of":"another trade"}"#, br#"{"Records":[{"eventSource":"aws:s3","eventName":7}]}"#];
    for body in poison {
        far.post(body);
    }
    far.post(br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"some"}"#);
    far.post(b"CloudTrail validation message.");
    far.post(&announce("somebody-elses-bucket", &busy));
    let harmless = far.state().messages.len();
    for (key, error) in [
        (&busy, Error::transient(GET, "try later").with_code("InternalError")),
        (&denied, Error::permanent(GET, "access denied").with_code("AccessDenied")),
    ] {
        far.post(&announce(&scene.world.bucket, key));
        far.state().refused.insert(key.clone(), error);
        far.state().objects.insert(key.clone(), (scene.evidence()[key].clone(), Default::default()));
    }
    let warden = scene.watch().await;
    minutes(120).await;
    {
        let state = far.state();
        assert!(state.messages[..harmless].iter().all(|posted| posted.deleted && posted.deliveries == 1));
        let [busy, denied] = [0, 1].map(|nth| &state.messages[harmless + nth]);
        assert!(!busy.deleted && (6..40).contains(&busy.deliveries), "{} deliveries", busy.deliveries);
        assert!(!denied.deleted && (4..10).contains(&denied.deliveries), "{} deliveries", denied.deliveries);
    }
    let kept = warden.quarantine().await;
    assert_eq!(kept, poison.iter().map(|body| body.to_vec()).collect());
    let mut kinds: Vec<Kind> = warden.findings().await.into_iter().map(|held| held.kind).collect();
    kinds.sort();
    let unintelligible = Kind::MessageUnintelligible;
    // Two messages have waited for two hours, and only one of them for a human.
    assert_eq!(
        kinds,
        [
            Kind::BucketForeign,
            unintelligible,
            unintelligible,
            unintelligible,
            Kind::ObjectUnreadable,
            Kind::QueueBacklogged
        ]
    );
    far.state().refused.clear();
    warden.settled().await;
    assert!(warden.knows(&busy).await && warden.knows(&denied).await);
    let ended =
        warden.findings().await.into_iter().find(|held| held.kind == Kind::ObjectUnreadable).expect("it was told");
    assert_eq!(ended.state, State::Resolved);
}

/// Row 7. Digests and every kind of log are what they are: none is refused, none comes back, each digest is proven.
#[tokio::test(start_paused = true)]
async fn digests_are_no_logs_and_no_kind_of_log_is_strange() {
    let scene = Scene::clean(7, SCALE);
    let announced = scene.announced();
    let log = announced.iter().rfind(|key| key.contains("/CloudTrail/")).expect("a log");
    let also = ["CloudTrail-Insight", "CloudTrail-NetworkActivity", "CloudTrail-Aggregated"].map(|folder| {
        log.replace("/CloudTrail/", &format!("/{folder}/")).replace("_CloudTrail_", &format!("_{folder}_"))
    });
    let empty = deflate(br#"{"Records":[]}"#);
    let warden = scene.ready().await;
    scene.play();
    for key in &also {
        let put = Step::Put { key: key.clone(), body: empty.clone(), metadata: Default::default() };
        scene.far.play(&put);
        scene.far.post(&announce(&scene.world.bucket, key));
    }
    warden.settled().await;
    assert!(scene.far.state().messages.iter().all(|posted| posted.deliveries == 1));
    assert_eq!(warden.findings().await.len(), 0, "{:#?}", warden.findings().await);
    assert_eq!(warden.count("objects.admitted").await, (announced.len() + also.len()) as u64);
    let digests = announced.iter().filter(|key| key.contains("/CloudTrail-Digest/")).count();
    assert_eq!(warden.proven().await, digests as u64);
}

/// Row 8. Some notifications never come, some twice, all in any order: what a digest knows of is found without them.
#[tokio::test(start_paused = true)]
async fn an_object_whose_notification_is_lost_late_or_out_of_order_is_not_missed() {
    let mut scene = Scene::clean(8, Scale { accounts: 2, regions: 2, ..SCALE });
    let mut die = fastrand::Rng::with_seed(8);
    let (messages, puts): (Vec<_>, Vec<_>) =
        scene.happenings.drain(..).partition(|one| matches!(one.step, Step::Message { .. }));
    scene.happenings = puts;
    scene.play();
    let mut messages: Vec<Vec<u8>> = messages
        .into_iter()
        .filter_map(|one| match one.step {
            Step::Message { body } if die.u8(..5) > 0 => Some(body),
            _ => None,
        })
        .collect();
    messages.extend(messages.clone().into_iter().step_by(4));
    die.shuffle(&mut messages);
    let late = messages.split_off(messages.len() * 3 / 4);
    messages.iter().for_each(|body| scene.far.post(body));
    let warden = scene.watch().await;
    minutes(40).await;
    late.iter().for_each(|body| scene.far.post(body));
    minutes(40).await;
    assert_eq!(scene.far.waiting(), 0);
    let sent = [messages, late].concat();
    let silent = |key: &String| !sent.iter().any(|body| contains(body, name(key)));
    let mut repaired = 0;
    for (_, _, logs) in scene.world.members.iter().flat_map(|member| scene.chain(member.account, "org-main")) {
        for key in logs {
            assert!(warden.knows(&key).await, "missed: {key}");
            repaired += u32::from(silent(&key));
        }
    }
    assert!(repaired > 3, "{repaired} notifications were lost");
    assert_eq!(warden.findings().await.len(), 0, "{:#?}", warden.findings().await);
}

/// Row 11. After a kill the warden knows what it knew: nothing is read or counted again when all of it is announced again.
#[test]
fn a_restart_forgets_nothing_and_reads_nothing_again() {
    let scene = Scene::clean(11, SCALE);
    scene.play();
    let before = runtime().block_on(async {
        let warden = scene.watch().await;
        warden.settled().await;
        // What is listed and was never announced is found by the next sweep.
        minutes(6).await;
        scene.far.leave();
        (warden.count("objects.seen").await, warden.count("records").await, warden.proven().await)
    });
    assert!(before.0 >= scene.announced().len() as u64, "{before:?}");
    let reads = scene.far.asked(GET, "").len();
    scene.play();
    runtime().block_on(async {
        let warden = scene.watch().await;
        warden.settled().await;
        let after = (warden.count("objects.seen").await, warden.count("records").await, warden.proven().await);
        assert_eq!(after, before);
        warden.stop().await;
    });
    assert_eq!(scene.far.asked(GET, "").len(), reads, "something was read again");
}

/// Row 12. One object that cannot be read slows no other; a queue that is down for hours is not stormed, and told once.
#[tokio::test(start_paused = true)]
async fn trouble_backs_off_and_stays_where_it_is() {
    let mut scene = Scene::clean(12, SCALE);
    let bad = scene.evidence().into_keys().find(|key| key.contains("/CloudTrail/")).expect("a log");
    let busy = Error::transient(GET, "please reduce your request rate").with_code("SlowDown");
    scene.far.post(&announce(&scene.world.bucket, &bad));
    scene.far.state().refused.insert(bad.clone(), busy);
    scene.withhold(|key| key == bad);
    scene.play();
    let warden = scene.watch().await;
    let begun = scene.far.now();
    warden.until("all others are settled", async || scene.far.waiting() == 1).await;
    let took = scene.far.now().duration_since(begun);
    assert!(took < SignedDuration::from_secs(60), "{took:#}");
    minutes(60).await;
    let tries = scene.far.asked(GET, &bad);
    assert!((10..200).contains(&tries.len()), "{} reads in an hour", tries.len());
    let later = tries[tries.len() - 1].duration_since(tries[0]);
    assert!(later > SignedDuration::from_mins(30), "it was given up after {later:#}");

    let down = Error::transient("sqs:ReceiveMessage", "connection refused");
    scene.far.state().refused.insert("sqs:ReceiveMessage".into(), down);
    let before = scene.far.asked("sqs:ReceiveMessage", "").len();
    minutes(120).await;
    let calls = scene.far.asked("sqs:ReceiveMessage", "").len() - before;
    assert!((100..400).contains(&calls), "{calls} calls in two hours");
    assert_eq!(told(&scene.far.state().alerts, Kind::QueueStalled).len(), 1);
    scene.far.state().refused.clear();
    warden.settled().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&scene.far.state().alerts, Kind::QueueStalled).len(), 2, "its end was told, too");
}
