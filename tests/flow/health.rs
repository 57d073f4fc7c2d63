//! A warden that sees nothing says so: at its health address, and to whoever can still be told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trailwarden::config::Config;
use trailwarden::core::finding::{Held, Kind, State};
use trailwarden::daemon::{self, Told};
use trailwarden::env::Env;
use trailwarden::error::Result;
use trailwarden::metrics::Metrics;
use trailwarden::store::{Store, findings};
use trailwarden::wiring::Works;
use trailwarden::world::Scale;

use crate::common::acts::{Acts, world};
use crate::common::emulator::env_of;
use crate::common::stub::{Answer, Stub};
use crate::common::warden::{Warden, get, json};
use crate::directories::Ground;

/// The state of the only finding of a kind.
fn state(config: &Path, kind: &str) -> Option<String> {
    let all = json(config, &["findings", "list", "--all"]);
    let of_kind: Vec<&Value> = all.as_array()?.iter().filter(|finding| finding["kind"] == kind).collect();
    assert!(of_kind.len() <= 1, "{of_kind:#?}");
    of_kind.first().and_then(|finding| finding["state"].as_str()).map(str::to_owned)
}

/// What the webhook was told: which kinds were told for which reason.
fn alerts(hook: &Stub) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |body: Value| (text(&body["finding"]["kind"]), text(&body["reason"]));
    hook.asked().iter().map(|asked| told(asked.json())).collect()
}

fn hooked(ground: &Ground) -> Stub {
    let hook = Stub::start(|_| Answer::new(204, ""));
    let text = std::fs::read_to_string(&ground.config).expect("a configuration");
    let channel = format!("[channel.hook]\nkind = \"webhook\"\nurl = \"{}/\"\n\n[[route]]", hook.endpoint);
    let text = text.replacen("[[route]]", &channel, 1).replace("to = [\"journal\"]", "to = [\"hook\"]");
    std::fs::write(&ground.config, text).expect("a file");
    hook
}

#[test]
fn a_queue_that_refuses_the_credentials_makes_it_red_and_is_told_and_it_turns_green_again() {
    let ground = Ground::of(&world(31, Scale::small(), &[]));
    let hook = hooked(&ground);
    let expired = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&expired);
    let sqs = Stub::start(move |_| {
        if refuses.load(Ordering::Relaxed) {
            Answer::json_error(403, "InvalidClientTokenId", "The security token included in the request is invalid")
        } else {
            Answer::json(&serde_json::json!({}))
        }
    });
    let text = std::fs::read_to_string(&ground.config).expect("a configuration");
    let spool = format!("file://{}/spool", ground.dir.path().display());
    let queue = format!("{}/000000000000/trailwarden", sqs.endpoint);
    let text = text.replace(&spool, &queue).replace("[[trail]]", "[[trail]]\nregion = \"eu-west-1\"");
    std::fs::write(&ground.config, text).expect("a file");

    let mut warden = Warden::start(&ground.config, &env_of(&sqs.endpoint));
    let address = warden.address();
    warden.until("it is ready", |_| get(&address, "/health/ready").0 == 200);
    expired.store(true, Ordering::Relaxed);
    warden.until("it is red", |_| get(&address, "/health/ready").0 == 503);
    let (_, reason) = get(&address, "/health/ready");
    assert!(reason.starts_with("queue org: sqs:ReceiveMessage") && reason.contains("token"), "{reason}");
    assert_eq!(get(&address, "/health/live").0, 200, "it tries, so there is no reason to end it");
    let first = ("credentials_failing".to_owned(), "first".to_owned());
    warden.until("the on-call is told", |_| alerts(&hook).contains(&first));
    assert_eq!(state(&ground.config, "credentials_failing").as_deref(), Some("open"));
    expired.store(false, Ordering::Relaxed);
    warden.until("it is ready again", |_| get(&address, "/health/ready").0 == 200);
    let over = ("credentials_failing".to_owned(), "resolved".to_owned());
    warden.until("its end is told", |_| alerts(&hook).contains(&over));
    assert_eq!(alerts(&hook), [first, over], "told once");
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
}

/// The daemon itself, on directories, in time that flies.
struct Flying {
    ground: Ground,
    works: (Store, Arc<Metrics>),
    tell: mpsc::Sender<Told>,
    warden: JoinHandle<Result<()>>,
}

impl Flying {
    async fn start(ground: Ground, change: impl FnOnce(&Ground)) -> Self {
        let config = Config::load(&ground.config).expect("a configuration");
        let env = Env::simulated(Env::system().now(), 7);
        let works = Works::open(&config, &env).await.expect("the works");
        change(&ground);
        let (tell, told) = mpsc::channel(1);
        let (path, kept) = (ground.config.clone(), (works.store.clone(), works.metrics.clone()));
        let warden = tokio::spawn(async move { daemon::watch(config, &path, works, told).await });
        Self { ground, works: kept, tell, warden }
    }

    async fn findings(&self, kind: Kind) -> Vec<Held> {
        let mut all = self.works.0.read(|conn| findings::list(conn, true)).await.expect("findings");
        all.retain(|held| held.kind == kind);
        all
    }

    /// Waits until the only finding of a kind is as it should be; answers the minutes.
    async fn until(&self, kind: Kind, what: &str, wanted: impl Fn(&Held) -> bool) -> u64 {
        for minutes in 0..180 {
            let found = self.findings(kind).await;
            assert!(found.len() <= 1, "{found:#?}");
            if found.first().is_some_and(&wanted) {
                return minutes;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        panic!("in vain: {what}: {:#?}", self.findings(kind).await);
    }

    async fn stop(self) {
        self.tell.send(Told::Stop).await.expect("it listens");
        self.warden.await.expect("it does not panic").expect("it ends well");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.ground.dir.path().join(name)
    }
}

fn open(held: &Held) -> bool {
    held.state == State::Open
}

fn resolved(held: &Held) -> bool {
    held.state == State::Resolved
}

fn configure(ground: &Ground, from: &str, to: &str) {
    let text = std::fs::read_to_string(&ground.config).expect("a configuration");
    std::fs::write(&ground.config, text.replacen(from, to, 1)).expect("a file");
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_says_what_is_wrong_and_the_on_call_is_told_of_a_queue_and_a_loop_that_do_not_work() {
    let ground = Ground::of(&world(32, Scale::small(), &[]));
    configure(&ground, "[state]", "[alert]\nheartbeat = \"1h\"\n\n[state]");
    let warden = Flying::start(ground, |_| {}).await;
    warden.until(Kind::Heartbeat, "a good beat", |held| held.detail.starts_with("alive; digests")).await;

    let (spool, away, members) = (warden.at("spool"), warden.at("away"), warden.at("members.toml"));
    std::fs::rename(&spool, &away).expect("renamed");
    std::fs::write(&spool, "no directory").expect("a file");
    let kept = std::fs::read(&members).expect("members");
    std::fs::write(&members, "[[account]]\nid = 3\n").expect("a file");
    warden.until(Kind::QueueStalled, "the queue is told of", open).await;
    let said = |held: &Held| held.detail.starts_with("alive and not well: ") && held.detail.contains("queue org: ");
    let minutes = warden.until(Kind::Heartbeat, "the beat says so", said).await;
    assert!(minutes <= 61, "{minutes}");
    let of_members = |held: &Held| open(held) && held.detail.starts_with("members: has not worked for");
    warden.until(Kind::LoopStuck, "the members are told of", of_members).await;

    std::fs::remove_file(&spool).expect("removed");
    std::fs::rename(&away, &spool).expect("renamed");
    std::fs::write(&members, kept).expect("a file");
    warden.until(Kind::QueueStalled, "its end is told", resolved).await;
    warden.until(Kind::LoopStuck, "its end is told", resolved).await;
    warden.until(Kind::Heartbeat, "a good beat", |held| held.detail.starts_with("alive; digests")).await;
    warden.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_too_long_are_told_and_so_is_their_end() {
    let world = world(33, Scale::small(), &[]);
    let ground = Ground::of(&world);
    for happening in &Acts::of(world).first {
        ground.stage.play(happening).expect("it happens");
    }
    let path = |ground: &Ground, name: &str| ground.dir.path().join(name);
    let gone = |ground: &Ground| std::fs::rename(path(ground, "bucket"), path(ground, "away")).expect("renamed");
    let warden = Flying::start(ground, gone).await;
    let minutes = warden.until(Kind::QueueBacklogged, "it is told", open).await;
    assert!((14..25).contains(&minutes), "told after {minutes} minutes, 15 are allowed");
    assert!(warden.works.1.queue_age.get() > 900.0);
    std::fs::rename(warden.at("away"), warden.at("bucket")).expect("renamed");
    warden.until(Kind::QueueBacklogged, "its end is told", resolved).await;
    assert_eq!(warden.findings(Kind::AccountForeign).await.len(), 0, "nobody was judged before the members were known");
    warden.stop().await;
}
