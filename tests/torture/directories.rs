//! The ordeal on a bucket and a spool that are directories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use trailwarden::env::Env;
use trailwarden::world::stage::Stage;
use trailwarden::world::{Happening, PLANTABLE, Scale, World};

use crate::common::acts::{Acts, world};
use crate::common::hook::{self, Hook, Told};
use crate::ordeal::{Ground, Hardship, Ordeal, seed};

pub struct Directories {
    pub dir: tempfile::TempDir,
    config: PathBuf,
    state: PathBuf,
    names: (String, String),
    stage: Stage,
    hook: Hook,
}

impl Directories {
    pub fn of(world: &World, hook: Hook) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::set(dir.path(), world, &Env::system()).expect("a stage");
        hook.write(dir.path());
        Self {
            config: dir.path().join("trailwarden.toml"),
            state: dir.path().join("state.db"),
            names: (world.org.to_string(), world.bucket.clone()),
            dir,
            stage,
            hook,
        }
    }

    fn count(&self, folder: &str) -> u64 {
        std::fs::read_dir(self.dir.path().join("spool").join(folder)).expect("a folder").count() as u64
    }

    /// Deliveries of settled messages beyond the first: a name tells how many there were.
    fn repeats(&self) -> u64 {
        let settled = std::fs::read_dir(self.dir.path().join("spool/done")).expect("a folder");
        let names = settled.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let deliveries = names.filter_map(|name| {
            let told = name.split(',').find_map(|part| part.strip_prefix("d=").map(str::to_owned));
            told.and_then(|text| text.parse::<u64>().ok())
        });
        deliveries.map(|count| count.saturating_sub(1)).sum()
    }
}

impl Ground for Directories {
    fn config(&self) -> &Path {
        &self.config
    }

    fn state(&self) -> &Path {
        &self.state
    }

    fn env(&self) -> &[(&'static str, String)] {
        &[]
    }

    fn configure(&self, grace: &str) {
        let text = format!(
            r#"
[organization]
id = "{org}"
members = "members.toml"

[[trail]]
name = "org"
bucket = "file://{dir}/bucket"
bucket_name = "{bucket}"
queue = "file://{dir}/spool"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys = "keys"

[verify]
grace = "{grace}"
sweep = "1s"
{hook}
[[route]]
to = ["hook"]

[state]
path = "state.db"

[http]
listen = "127.0.0.1:0"
"#,
            org = self.names.0,
            bucket = self.names.1,
            dir = self.dir.path().display(),
            hook = hook::CHANNEL,
        );
        std::fs::write(&self.config, text).expect("a file");
    }

    async fn play(&self, happenings: &[Happening], _: u64) {
        for happening in happenings {
            self.stage.play(happening).expect("it happens");
        }
    }

    async fn waiting(&self) -> u64 {
        self.count("new") + self.count("cur")
    }

    fn told(&self) -> Told {
        self.hook.told()
    }

    async fn bury(&self, _: bool) {}

    fn weather(&self, _: bool, _: &mut fastrand::Rng) {}
}

async fn ordeal(scale: Scale, hardship: Hardship, title: &str) -> (usize, usize) {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = world(rng.u64(..), scale, PLANTABLE);
    let ground = Directories::of(&world, Hook::unruly(rng.u64(..)));
    let acts = Acts::of(world);
    assert_eq!(acts.planted.len(), PLANTABLE.len(), "there is room for all trouble");
    let mut ordeal = Ordeal::new(ground, acts, hardship, rng);
    let outcome = ordeal.run(&[]).await;
    let repeats = ordeal.ground.repeats();
    outcome.print(title, &ordeal.toll, &[("  handed out again".to_owned(), repeats.to_string())]);
    // Of a few kills each may come between two messages.
    assert!(repeats > 0 || ordeal.toll.all() < 100, "no kill met a message in hand");
    (ordeal.toll.all(), outcome.objects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_directories_lose_nothing_and_repeat_nothing() {
    let scale = Scale { accounts: 8, regions: 3, hours: 9, logs_per_hour: (0, 2), records_per_log: (1, 3) };
    let hardship = Hardship { kills: (10, 4), life: Duration::from_millis(600), reach: 400 };
    let (kills, _) = ordeal(scale, hardship, "on directories").await;
    assert!(kills >= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; needs a release build"]
async fn a_hundred_kills_over_a_large_day_on_directories() {
    let scale = Scale { accounts: 26, regions: 6, hours: 24, logs_per_hour: (1, 3), records_per_log: (1, 3) };
    let hardship = Hardship { kills: (95, 10), life: Duration::from_millis(1_500), reach: 700 };
    let (kills, objects) = ordeal(scale, hardship, "a large day on directories").await;
    assert!(kills >= 100 && objects >= 20_000, "{kills} kills over {objects} objects");
}
