//! A seed, played to its end: life after life, each checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use trailwarden::config::Config;
use trailwarden::core::id::Sha256;

use crate::cloud::Cloud;
use crate::faults::{End, Faults, Kind};
use crate::life::{Ended, Life};
use crate::model::Model;
use crate::script::Script;

/// After the world's last hour: late notices arrive and what was put off comes back, but nothing new becomes overdue.
const AFTERMATH: SignedDuration = SignedDuration::from_mins(70);

/// What one play, or many, came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub seeds: u64,
    pub lives: u64,
    pub objects: u64,
    pub deleted: u64,
    pub findings: u64,
    pub alerts: u64,
    pub calls: u64,
    pub faults: BTreeMap<Kind, u64>,
    pub ended: Timestamp,
    pub trace: String,
    pub ledger: Vec<String>,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.lives += other.lives;
        self.objects += other.objects;
        self.deleted += other.deleted;
        self.findings += other.findings;
        self.alerts += other.alerts;
        self.calls += other.calls;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} lives, {} objects settled, {} messages deleted, {} findings, {} alerts, {} calls; met",
            self.seeds, self.lives, self.objects, self.deleted, self.findings, self.alerts, self.calls
        )?;
        self.faults.iter().try_for_each(|(kind, count)| write!(f, " {kind:?} {count}"))
    }
}

pub fn play(seed: u64) -> Result<Outcome, String> {
    let mut die = Rng::with_seed(seed);
    let script = Script::of(seed);
    let dir = scratch();
    let path = dir.path().join("trailwarden.toml");
    let config = config(&script, &path, &mut die);
    let faults = Faults::plan(&mut die, &script);
    let (mut ends, skews) = (faults.ends.clone().into_iter(), faults.skews.clone());
    let model = Model::new(script.clone(), &config.state, faults.denied.is_some());
    let cloud = Cloud::new(script.clone(), faults, die.fork(), model.durable());
    let happened = Arc::<AtomicUsize>::default();
    let (mut now, mut lives, finish) = (script.start, 0, script.end + AFTERMATH);
    loop {
        let planned = if now < script.end { ends.next() } else { None };
        let life = Life {
            script: &script,
            cloud: &cloud,
            config: &config,
            path: &path,
            happened: &happened,
            now,
            finish,
            end: planned.map(|(end, _)| end),
            skew: planned.and_then(|_| skews.get(lives).copied()).unwrap_or_default(),
            seed: die.u64(..),
        };
        let (ended, at) = life.live();
        lives += 1;
        let about = |wrong: String| format!("life {lives} from {now} to {at}, {:?}: {ended:?}: {wrong}", life.end);
        excuse(&ended, life.end, &skews).map_err(about)?;
        model.check_everything(&cloud).map_err(about)?;
        if matches!(ended, Ended::Finished) {
            model.check_the_end(&cloud).map_err(about)?;
            return Ok(outcome(&model, &cloud, at, lives as u64));
        }
        let soon = at + SignedDuration::from_secs(5);
        now = planned.map_or(soon, |(_, dead)| (at + dead).min(soon.max(script.end)));
    }
}

/// Whether a life may end like this.
fn excuse(ended: &Ended, planned: Option<End>, skews: &[SignedDuration]) -> Result<(), String> {
    match (ended, planned) {
        (Ended::GaveUp(error), _) if error.op == "ledger:clock" && skews.iter().any(|skew| !skew.is_zero()) => Ok(()),
        (Ended::GaveUp(error), Some(End::DiskFull(_))) if error.is_fatal() && error.text.contains("full") => Ok(()),
        (Ended::GaveUp(error), _) => Err(format!("it gave up: {error}")),
        (Ended::Stopped, Some(End::Stop(_))) | (Ended::Crashed, Some(End::Crash { .. })) | (Ended::Finished, _) => {
            Ok(())
        }
        _ => Err("nobody planned that".into()),
    }
}

fn outcome(model: &Model, cloud: &Cloud, ended: Timestamp, lives: u64) -> Outcome {
    let state = cloud.state();
    Outcome {
        seeds: 1,
        lives,
        objects: model.count("objects"),
        deleted: state.messages.iter().filter(|posted| posted.deleted).count() as u64,
        findings: model.count("findings"),
        alerts: state.received.len() as u64,
        calls: state.calls,
        faults: state.met.clone(),
        ended,
        trace: Sha256::of(&state.trace).to_string(),
        ledger: model.dump(),
    }
}

/// In memory where there is such a place: what is tried here is order, not the disk.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn config(script: &Script, path: &std::path::Path, die: &mut Rng) -> Config {
    let text = format!(
        r#"
[organization]
id = "{}"
members = "organizations"

[[trail]]
name = "org"
bucket = "{}"
region = "us-east-1"
queue = "https://sqs.us-east-1.amazonaws.com/111122223333/trailwarden"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]

[verify]
sweep = "{}m"
scrub = "{}"

[limits]
messages = {}

[channel.oncall]
kind = "stdout"

[channel.audit]
kind = "stdout"

[[route]]
to = ["oncall", "audit"]
resolved = true

[state]
path = "state.db"
"#,
        script.org,
        script.bucket,
        die.u8(4..12),
        if die.u8(..4) == 0 { "30d" } else { "off" },
        [1, 4, 64][die.usize(..3)],
    );
    std::fs::write(path, &text).expect("a file");
    let config = Config::from_text(&text, &path.display().to_string()).unwrap_or_else(|error| panic!("{error}"));
    Config { listen: None, ..config }
}
