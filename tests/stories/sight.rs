//! What must be seen is seen, also where nothing is to be seen.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trailwarden::core::finding::{Held, Kind};
use trailwarden::core::gzip::deflate;
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::unit::OuPath;
use trailwarden::env::Env;
use trailwarden::error::Error;
use trailwarden::seam::{Member, MemberState};
use trailwarden::world::stage::Stage;
use trailwarden::world::{GRACE, Happening, Scale, Step};

use crate::common::warden::{self, get};
use crate::far::{Far, GET};
use crate::scene::{SCALE, Scene, Warden, announce, minutes, spoken_of, told};

/// Asks while the made time stands still; `None` before it listens.
async fn ready(address: SocketAddr) -> Option<u16> {
    let ask = move || TcpStream::connect(address).ok().map(|_| get(&address.to_string(), "/health/ready").0);
    tokio::task::spawn_blocking(ask).await.expect("an answer")
}

/// What happened, what must be told of it, and how it is brought about.
type Silence = (&'static str, Kind, fn(&Far));

/// The ways in which a queue falls silent.
fn silences() -> [Silence; 3] {
    const RECEIVE: &str = "sqs:ReceiveMessage";
    [
        ("expired credentials", Kind::CredentialsFailing, |far| {
            let expired = Error::transient(RECEIVE, "the security token included in the request is expired");
            far.state().refused.insert(RECEIVE.into(), expired.with_code("ExpiredToken"));
        }),
        ("a changed policy", Kind::QueueStalled, |far| {
            let denied = Error::permanent(RECEIVE, "access to the resource is denied").with_code("AccessDenied");
            far.state().refused.insert(RECEIVE.into(), denied);
        }),
        ("a call that never ends", Kind::LoopStuck, |far| {
            far.state().silent.insert(RECEIVE.into());
        }),
    ]
}

/// Row 2. Whatever keeps it from receiving: it is red, the on-call is told once, and told of the end.
#[tokio::test(start_paused = true)]
async fn a_warden_that_receives_nothing_is_not_ready_and_the_on_call_is_told() {
    for (what, kind, fall_silent) in silences() {
        let mut scene = Scene::clean(2, SCALE);
        let address = scene.listen();
        let warden = scene.watch().await;
        warden.until("it is ready", async || ready(address).await == Some(200)).await;
        fall_silent(&scene.far);
        let since = scene.far.now();
        warden.until(what, async || ready(address).await == Some(503)).await;
        let red = scene.far.now().duration_since(since);
        assert!(red < SignedDuration::from_mins(2), "{what}: red after {red:#}");
        warden.until(what, async || told(&scene.far.state().alerts, kind).len() == 1).await;
        let alarm = scene.far.now().duration_since(since);
        assert!(alarm < SignedDuration::from_mins(5), "{what}: told after {alarm:#}");
        minutes(60).await;
        assert_eq!(told(&scene.far.state().alerts, kind).len(), 1, "{what}: told once");
        scene.far.state().refused.clear();
        scene.far.state().silent.clear();
        warden.until(what, async || ready(address).await == Some(200)).await;
        warden.until(what, async || told(&scene.far.state().alerts, kind).len() == 2).await;
        warden.stop().await;
    }
}

/// Settles everything, and goes on until what is due is told.
async fn judged(scene: &Scene) -> (Warden, Timestamp) {
    scene.play();
    let warden = scene.watch().await;
    warden.settled().await;
    minutes(30).await;
    (warden, scene.far.now())
}

async fn without(digests: std::ops::Range<usize>, logs_too: bool) -> (Held, Vec<Timestamp>, Vec<Timestamp>) {
    let mut scene = Scene::clean(3, SCALE);
    let chain = scene.chain(scene.world.members[1].account, "org-main");
    let gone = &chain[digests];
    scene.withhold(|key| {
        gone.iter().any(|(digest, _, logs)| key == digest || logs_too && logs.iter().any(|log| log == key))
    });
    let (warden, now) = judged(&scene).await;
    let ends: Vec<Timestamp> = gone.iter().map(|(_, end, _)| *end).collect();
    let due = ends.iter().copied().filter(|end| *end + GRACE <= now).collect();
    let found = warden.findings().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let held = found.into_iter().next().expect("just counted");
    warden.stop().await;
    (held, ends, due)
}

/// Row 3. `aws cloudtrail validate-logs` ends with exit code 0, or with one of the hours, in each of these.
#[tokio::test(start_paused = true)]
async fn what_the_official_verifier_passes_is_told_with_hours_and_keys() {
    let hours = scene_hours();
    for logs_too in [false, true] {
        let (held, ends, due) = without(hours - 4..hours, logs_too).await;
        assert_eq!((held.kind, &held.hours), (Kind::DigestOverdue, &due), "of {ends:?}");
        assert!(due.len() >= 3, "{due:?}");
    }
    for count in [2, 5] {
        let (held, ends, _) = without(1..1 + count, false).await;
        assert_eq!((held.kind, held.hours), (Kind::DigestMissing, ends));
    }

    // Logging was stopped, and began anew; somebody put a log where no digest lists it.
    for kind in [Kind::ChainRestarted, Kind::LogUnlisted] {
        let scene = Scene::of(3, SCALE, &[kind]);
        let planted = scene.world.planted()[0].clone();
        let (warden, _) = judged(&scene).await;
        let held = warden.only(kind).await;
        assert_eq!((held.hours, held.object), (planted.hours, planted.object));
    }

    let scene = Scene::clean(3, SCALE);
    let chain = scene.chain(scene.world.members[1].account, "org-main");
    let key = &chain[3].0;
    let mut grown = Scene::clean(3, SCALE);
    for happening in &mut grown.happenings {
        match &mut happening.step {
            Step::Put { key: at, body, .. } if at == key => body.extend(deflate(b"{\"logFiles\":[]}")),
            _ => {}
        }
    }
    let (warden, _) = judged(&grown).await;
    let held = warden.only(Kind::TrailingData).await;
    assert_eq!(held.object.as_ref(), Some(key));
}

/// Digests of a chain in the scene of row 3.
fn scene_hours() -> usize {
    let scene = Scene::clean(3, SCALE);
    scene.chain(scene.world.members[1].account, "org-main").len()
}

/// Row 3. Digests of all trails stop at once, or there never was one, and the logs alone say so.
#[tokio::test(start_paused = true)]
async fn all_digests_gone_is_told() {
    let mut scene = Scene::clean(3, SCALE);
    let stopped = scene.world.start + SignedDuration::from_hours(3);
    scene.withhold(|key| matches!(key::parse(key), ObjectKey::Digest(digest) if digest.end > stopped));
    let (warden, _) = judged(&scene).await;
    // All chains of the only region: told once, for the region.
    warden.only(Kind::RegionSilent).await;
    warden.stop().await;

    let mut scene = Scene::clean(3, SCALE);
    scene.config.verify.sweep = Duration::from_secs(3_600);
    scene.withhold(|key| key.contains("/CloudTrail-Digest/"));
    scene.play();
    let warden = scene.watch().await;
    warden.settled().await;
    minutes(80 * 60).await;
    let found = warden.findings().await;
    assert_eq!(found.len(), 2, "of two accounts: {found:#?}");
    assert!(found.iter().all(|held| held.kind == Kind::LogUnproven), "{found:#?}");
}

/// Row 4. At 20 ms for each read: every digest is proven as it lands, side by side, from bytes that are read once.
#[tokio::test(start_paused = true)]
async fn verification_keeps_up_with_what_lands_and_reads_everything_once() {
    let scale = Scale { accounts: 6, regions: 4, hours: 8, logs_per_hour: (2, 3), records_per_log: (1, 1) };
    let scene = Scene::clean(4, scale);
    let announced = scene.announced();
    scene.far.state().slow.insert(GET.into(), Duration::from_millis(20));
    let warden = scene.ready().await;
    scene.play();
    let took = warden.settled().await;
    let digests = announced.iter().filter(|key| key.contains("/CloudTrail-Digest/")).count();
    assert_eq!(warden.proven().await, digests as u64, "proven when the last message is settled");
    // What is announced twice at once may be read twice.
    let spoken: Vec<String> = scene.far.state().messages.iter().flat_map(|posted| spoken_of(&posted.body)).collect();
    for key in &announced {
        let times = spoken.iter().filter(|other| *other == key).count();
        assert!((1..=times).contains(&scene.far.asked(GET, key).len()), "reads of {key}, announced {times} times");
    }
    assert!(scene.far.state().most_reading > 32, "{} reads at once", scene.far.state().most_reading);
    let rate = announced.len() as f64 / took.as_secs_f64();
    assert!(rate >= 2_000.0, "{} objects in {took:#}: {rate} a second", announced.len());
    assert_eq!(warden.findings().await.len(), 0);
}

/// Row 9. An account that never delivers, one that falls silent, a region that does, and one who joined an hour ago.
#[tokio::test(start_paused = true)]
async fn an_account_or_region_that_is_not_seen_is_told() {
    let scale = Scale { accounts: 5, regions: 3, ..SCALE };
    let mut scene = Scene::of(9, scale, &[Kind::AccountSilent, Kind::AccountUncovered]);
    let region = scene.world.regions[2].clone();
    let quiet_since = scene.world.start + SignedDuration::from_hours(4);
    let folder = format!("/{region}/");
    scene.happenings.retain(|happening| {
        let of_it = match &happening.step {
            Step::Put { key, .. } | Step::Remove { key } => key.contains(&folder),
            Step::Message { body } => crate::common::acts::contains(body, &folder),
        };
        happening.at < quiet_since || !of_it
    });
    let newcomer = Member {
        account: "999900001111".parse().expect("an account"),
        name: "newcomer".into(),
        ou: OuPath::default(),
        state: MemberState::Active,
        joined: None,
    };
    let (far, joins, account) = (scene.far.clone(), quiet_since, newcomer.account);
    tokio::spawn(async move {
        while far.now() < joins {
            minutes(1).await;
        }
        far.state().members.push(newcomer);
    });
    let warden = scene.live().await;
    let mut found: Vec<_> = warden
        .findings()
        .await
        .into_iter()
        .map(|held| (held.kind, held.account, held.region, held.first_seen))
        .collect();
    found.sort_by_key(|(kind, account, ..)| (*kind, *account));
    let of_newcomer = found.iter().find(|(_, of, ..)| *of == Some(account)).expect("the newcomer is told");
    assert!(of_newcomer.3 < joins + SignedDuration::from_hours(3), "{of_newcomer:?}");
    let mut wanted: Vec<_> =
        scene.world.planted().iter().map(|planted| (planted.kind, planted.account, None)).collect();
    wanted.push((Kind::AccountUncovered, Some(account), None));
    wanted.push((Kind::RegionSilent, None, Some(region)));
    wanted.sort_by_key(|(kind, account, _)| (*kind, *account));
    let found: Vec<_> = found.into_iter().map(|(kind, account, region, _)| (kind, account, region)).collect();
    assert_eq!(found, wanted);
}

/// Row 10. A mebibyte that swells to a gibibyte, beside what is good, before a process of its own with the limits as they are.
#[test]
fn a_bomb_takes_no_more_memory_than_is_allowed() {
    let scene = Scene::clean(10, SCALE);
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::set(dir.path(), &scene.world, &Env::system()).expect("a stage");
    let log = scene.evidence().into_keys().rfind(|key| key.contains("/CloudTrail/")).expect("a log");
    let stem = log.strip_suffix(".json.gz").and_then(|stem| stem.get(..stem.len() - 16)).expect("a log's name");
    let bomb = format!("{stem}B0mbB0mbB0mbB0mb.json.gz");
    let put = Step::Put { key: bomb.clone(), body: deflate(&vec![0; 1 << 30]), metadata: Default::default() };
    let message = Step::Message { body: announce(&scene.world.bucket, &bomb) };
    let now = scene.far.now();
    for happening in [put, message].map(|step| Happening { at: now, step }).iter().chain(&scene.happenings) {
        stage.play(happening).expect("it happens");
    }
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

[state]
path = "state.db"

[http]
listen = "off"
"#,
        scene.world.org,
        scene.world.bucket,
        dir = dir.path().display()
    );
    std::fs::write(&config, text).expect("a file");
    let mut warden = warden::Warden::start(&config, &[]);
    let spool = dir.path().join("spool");
    let waiting = |folder: &str| std::fs::read_dir(spool.join(folder)).map_or(0, Iterator::count);
    warden.until("the spool is empty", |_| waiting("new") + waiting("cur") == 0);
    let peak = warden.peak_memory();
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    assert!(peak < 256 << 20, "{} MiB", peak >> 20);
    let found = warden::json(&config, &["findings", "list"]);
    let of_bomb = found.as_array().expect("a list").iter().filter(|held| held["kind"] == "object_too_large");
    assert_eq!(of_bomb.map(|held| &held["object"]).collect::<Vec<_>>(), [bomb.as_str()]);
    let status = warden::json(&config, &["status"]);
    assert_eq!(status["objects"]["admitted"].as_u64(), Some(scene.announced().len() as u64), "{status}");
}
