//! The ordeal on an emulated AWS, with a bad network in between and credentials that expire.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trailwarden::core::finding::Kind;
use trailwarden::world::{Happening, PLANTABLE, Scale};

use crate::common::acts::{Acts, world};
use crate::common::cloud::Cloud;
use crate::common::hook::{Hook, Told};
use crate::common::warden::{Warden, get};
use crate::ordeal::{Ground, Hardship, Ordeal, seed};
use crate::proxy::{FAULTS, Fault, Proxy};

/// One in so many messages comes twice.
const TWICE: usize = 4;

pub struct Emulated {
    pub cloud: Cloud,
    pub proxy: Proxy,
    lives: AtomicUsize,
}

impl Emulated {
    pub async fn of(acts: &Acts, hook: Hook, seed: u64) -> Option<Self> {
        let mut cloud = Cloud::set(acts, hook).await?;
        let proxy = Proxy::start(&cloud.emulator.endpoint, seed);
        cloud.through(&proxy.endpoint);
        Some(Self { cloud, proxy, lives: AtomicUsize::new(0) })
    }
}

impl Ground for Emulated {
    fn config(&self) -> &Path {
        &self.cloud.config
    }

    fn state(&self) -> &Path {
        &self.cloud.state
    }

    fn env(&self) -> &[(&'static str, String)] {
        &self.cloud.env
    }

    fn configure(&self, grace: &str) {
        self.cloud.configure(grace, "2s");
    }

    async fn play(&self, happenings: &[Happening], seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        self.cloud.change(happenings).await;
        let mut bodies = Acts::messages(happenings);
        let again: Vec<_> = bodies.iter().filter(|_| rng.usize(..TWICE) == 0).cloned().collect();
        bodies.extend(again);
        rng.shuffle(&mut bodies);
        self.cloud.send(&bodies).await;
    }

    async fn waiting(&self) -> u64 {
        let (visible, held) = self.cloud.depth().await;
        visible + held
    }

    fn told(&self) -> Told {
        self.cloud.hook.told()
    }

    /// The dead hold what they held until its visibility ends; nobody need wait for that.
    async fn bury(&self, all: bool) {
        self.cloud.release(self.proxy.take_receipts(all)).await;
    }

    /// One fault above all, with some of the others; every sixth life is a fair one.
    fn weather(&self, foul: bool, rng: &mut fastrand::Rng) {
        let life = self.lives.fetch_add(usize::from(foul), Ordering::Relaxed);
        if !foul || life % 6 == 5 {
            return self.proxy.set(Vec::new());
        }
        let mut weather = vec![(FAULTS[rng.usize(..FAULTS.len())], 0.25)];
        let others = FAULTS.iter().filter(|fault| **fault != Fault::HalfOpen || rng.u8(..4) == 0);
        weather.extend(others.map(|fault| (*fault, 0.05)));
        self.proxy.set(weather);
    }
}

/// Credentials are refused for a while, until somebody stops the warden and gives it others: health is red, the webhook is
/// told, and in the end it is told that they are accepted.
async fn outage(ground: &Emulated, fault: Fault) {
    let start = || Warden::start(&ground.cloud.config, &ground.cloud.env);
    let config = &ground.cloud.config;
    tokio::task::block_in_place(|| {
        ground.proxy.set(vec![(fault, 1.0)]);
        let mut warden = start();
        let address = warden.address();
        warden.until("it is not ready", |_| {
            let (status, why) = get(&address, "/health/ready");
            status == 503 && why.contains("queue org") && why.contains("403")
        });
        warden.until("it is told", |_| failing_alerts(config) == 1);
        warden.kill();
        ground.proxy.set(Vec::new());
        let mut warden = start();
        let address = warden.address();
        warden.until("it is ready", |_| get(&address, "/health/ready").0 == 200);
        warden.until("the end is told", |_| failing_alerts(config) == 2);
        warden.kill();
    });
}

/// Alerts about credentials that the webhook took: of their failing, and of its end.
fn failing_alerts(config: &Path) -> i64 {
    let state = config.with_file_name("state.db");
    let ledger = rusqlite::Connection::open(state).expect("the ledger opens");
    let sql = "SELECT count(*) FROM outbox JOIN findings ON finding = findings.id
               WHERE channel = 'hook' AND outbox.state = 'sent' AND kind = 'credentials_failing'";
    ledger.query_row(sql, [], |row| row.get(0)).expect("a number")
}

async fn ordeal(scale: Scale, hardship: Hardship, refusal: Fault, title: &str) -> Option<(usize, usize)> {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let acts = Acts::of(world(rng.u64(..), scale, PLANTABLE));
    assert_eq!(acts.planted.len(), PLANTABLE.len(), "there is room for all trouble");
    let ground = Emulated::of(&acts, Hook::unruly(rng.u64(..)), rng.u64(..)).await?;
    let mut ordeal = Ordeal::new(ground, acts, hardship, rng);
    outage(&ordeal.ground, refusal).await;
    let outcome = ordeal.run(&[Kind::CredentialsFailing]).await;
    let proxy = &ordeal.ground.proxy;
    let handed_out = proxy.handed_out();
    let repeats = handed_out.values().sum::<u64>() - handed_out.len() as u64;
    let mut more = vec![
        ("  sent, twice-sent ones included".to_owned(), handed_out.len().to_string()),
        ("  handed out again".to_owned(), repeats.to_string()),
        ("requests".to_owned(), proxy.requests().to_string()),
        ("faults".to_owned(), proxy.hits().values().sum::<u64>().to_string()),
    ];
    more.extend(proxy.hits().iter().map(|(fault, count)| (format!("  {fault:?}"), count.to_string())));
    outcome.print(title, &ordeal.toll, &more);
    let missed: Vec<_> = FAULTS.iter().filter(|fault| !proxy.hits().contains_key(fault)).collect();
    // A short run may pass the rarer ones by.
    let most = if proxy.requests() > 10_000 { 0 } else { FAULTS.len() / 2 - 1 };
    assert!(missed.len() <= most, "never happened: {missed:?}");
    assert!(repeats > 0 || ordeal.toll.all() < 100, "no kill met a message in hand");
    let inbox = ordeal.ground.cloud.inbox().await;
    let untold: Vec<_> = ordeal.ground.told().into_keys().filter(|subject| !inbox.contains_key(subject)).collect();
    assert!(untold.is_empty(), "the topic was not told of {untold:?}");
    Some((ordeal.toll.all(), outcome.objects))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_a_bad_network_lose_nothing_and_repeat_nothing() {
    let scale = Scale { accounts: 8, regions: 3, hours: 8, logs_per_hour: (0, 2), records_per_log: (1, 3) };
    let hardship = Hardship { kills: (10, 2), life: Duration::from_millis(400), reach: 1_200 };
    let Some((kills, _)) = ordeal(scale, hardship, Fault::Denied, "on the emulator").await else { return };
    assert!(kills >= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; needs a release build"]
async fn a_hundred_kills_and_a_bad_network_over_a_large_day() {
    let scale = Scale { accounts: 26, regions: 6, hours: 24, logs_per_hour: (1, 3), records_per_log: (1, 3) };
    let hardship = Hardship { kills: (95, 10), life: Duration::from_millis(1_500), reach: 3_000 };
    let ended = ordeal(scale, hardship, Fault::Expired, "a large day on the emulator").await;
    let Some((kills, objects)) = ended else { return };
    assert!(kills >= 100 && objects >= 20_000, "{kills} kills over {objects} objects");
}
