//! Plays the day: each hour happens to the bucket and the queue, and the warden's own flows make of it what they can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::guard::{Drift, Guard, Promise};
use crate::alert::Alerts;
use crate::archive::{Archive, Gathered};
use crate::cmd::coverage::{self, Brief};
use crate::cmd::{Failure, status};
use crate::config::{Config, Format};
use crate::core::finding::{Held, Kind, State};
use crate::core::shard::Shard;
use crate::env::Env;
use crate::ingest::Ingest;
use crate::local::stdout::Stdout;
use crate::seam::DynChannel;
use crate::store::findings;
use crate::verify::Sweep;
use crate::verify::coverage::{Answer, Question};
use crate::wiring::Works;
use crate::world::stage::Stage;
use crate::world::{GRACE, PLANTABLE, Planted, Scale, World};

/// What was played and what came of it.
pub struct Played {
    pub seed: u64,
    pub accounts: usize,
    pub ous: usize,
    pub regions: usize,
    pub trails: Vec<String>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub messages: u64,
    pub status: status::Status,
    pub covered: Brief,
    pub drift: Drift,
    pub promise: Promise,
    /// Where the plan's prices are from.
    pub prices: String,
    /// Each planted trouble with the findings that answer it: one, if all is right.
    pub answers: Vec<(Planted, Vec<Held>)>,
    /// Rules that every record was held against.
    pub rules: usize,
    /// The account whose key an intruder has, and an address of his.
    pub intruded: Option<(String, &'static str)>,
    /// Findings that answer nothing that was planted.
    pub unexpected: Vec<Held>,
    pub elapsed: Duration,
    /// Where the world is kept, if it is.
    pub kept: Option<PathBuf>,
}

impl Played {
    pub fn is_right(&self) -> bool {
        let found = self.unexpected.is_empty() && self.answers.iter().all(|(_, found)| found.len() == 1);
        found && self.covered.answer == Answer::Holes && self.drift.is_right() && self.promise.is_right()
    }
}

/// What is to be played.
pub struct Wanted<'a> {
    pub seed: u64,
    /// When the day ends, on the hour.
    pub until: Timestamp,
    /// Where the world is kept, if it is.
    pub keep: Option<&'a Path>,
}

pub async fn day(wanted: &Wanted<'_>, show: bool, color: bool) -> Result<Played, Failure> {
    let begun = tokio::time::Instant::now();
    let Wanted { seed, until, keep } = *wanted;
    let scratch = Scratch::new(keep)?;
    let scale = Scale::demo();
    let start = until - SignedDuration::from_hours(scale.hours.into());
    // What guards the bucket is there before the first delivery.
    let env = Env::manual(start - SignedDuration::from_secs(1), seed);
    let kinds = [PLANTABLE, &[Kind::EvidenceChainChanged, Kind::RuleFired]].concat();
    let mut world = World::with_trouble(seed, scale, start, &kinds)?;
    let stage = Stage::set(&scratch.dir, &world, &env)?;
    let config = scratch.config(&world)?;
    let mut warden = Warden::open(&config, &env, &scratch.dir).await?;
    let mut guard = Guard::post(&config, &warden.works, &world, &scratch.dir, &env).await?;
    let bar = bar(show, scale.hours);
    let mut messages = 0;
    while let Some(hour) = world.next_hour()? {
        let is_weakening =
            |planted: &&Planted| planted.kind == Kind::EvidenceChainChanged && planted.account == world.owner();
        match world.planted().iter().find(is_weakening).and_then(|deed| hour.number.checked_sub(deed.hour)) {
            Some(0) => guard.weaken().await?,
            Some(1) => guard.mend().await?,
            _ => {}
        }
        for happening in &hour.happenings {
            if stage.disturbs(happening) {
                warden.settle(happening.at).await?;
            }
            stage.play(happening)?;
            messages += u64::from(matches!(happening.step, crate::world::Step::Message { .. }));
        }
        warden.settle(hour.end).await?;
        guard.look().await?;
        warden.look().await?;
        bar.set_message(warden.progress().await?);
        bar.inc(1);
    }
    warden.file().await?;
    bar.finish_and_clear();
    let now = world.end();
    let status = warden.works.store.read(move |conn| status::look(conn, now, GRACE, Shard::WHOLE)).await?;
    let question = Question {
        shard: Shard::WHOLE,
        from: Some(start),
        to: now,
        now,
        grace: GRACE,
        account: None,
        ou: None,
        region: None,
        trail: None,
    };
    let covered = warden.works.store.read(move |conn| coverage::brief(conn, question, color)).await??;
    let promise = guard.keep().await?;
    // What a rule found is over when its window is.
    let is_told = |held: &Held| held.kind == Kind::RuleFired || held.state != State::Resolved;
    let mut found = warden.works.store.read(|conn| findings::list(conn, true)).await?;
    found.retain(is_told);
    let (answers, unexpected) = compare(&world, found);
    let mut ous: Vec<_> = world.members.iter().map(|member| &member.ou).collect();
    ous.sort();
    ous.dedup();
    Ok(Played {
        seed,
        accounts: world.members.len(),
        ous: ous.len(),
        regions: world.regions.len(),
        trails: world.trails.iter().map(|trail| trail.name.clone()).collect(),
        from: start,
        to: now,
        messages,
        status,
        covered,
        drift: guard.drift,
        promise,
        prices: config.retention.map(|retention| retention.prices.source).unwrap_or_default(),
        answers,
        rules: config.detect.iter().count(),
        intruded: world.intruded().map(|(member, address)| (member.name.clone(), address)),
        unexpected,
        elapsed: begun.elapsed(),
        kept: keep.map(Path::to_owned),
    })
}

/// Planted trouble and findings, matched by kind and place.
fn compare(world: &World, found: Vec<Held>) -> (Vec<(Planted, Vec<Held>)>, Vec<Held>) {
    let mut left: Vec<Held> = found.into_iter().filter(|held| held.kind != Kind::Heartbeat).collect();
    let mut answers = Vec::new();
    for planted in world.planted() {
        let (mine, others): (Vec<Held>, Vec<Held>) =
            left.into_iter().partition(|held| fits(planted, held, world.end()));
        left = others;
        answers.push((planted.clone(), mine));
    }
    (answers, left)
}

fn fits(planted: &Planted, held: &Held, end: Timestamp) -> bool {
    let hours = match planted.kind {
        Kind::DigestOverdue => planted.hours_by(end, GRACE),
        _ => planted.hours.clone(),
    };
    held.kind == planted.kind
        && (planted.account.is_none() || held.account.is_none() || held.account == planted.account)
        && (planted.region.is_none() || held.region.is_none() || held.region == planted.region)
        && (planted.object.is_none() || held.object.is_none() || held.object == planted.object || !hours.is_empty())
        && (hours.is_empty() || held.hours == hours)
        && planted.rule == held.detection.as_ref().map(|detection| detection.rule.as_str())
}

/// The flows, plugged into the stage's directories.
struct Warden {
    works: Works,
    ingest: Arc<Ingest>,
    sweep: Sweep,
    alerts: Alerts,
    archive: Option<(Arc<Archive>, Gathered)>,
    env: Env,
}

impl Warden {
    async fn open(config: &Config, env: &Env, dir: &Path) -> Result<Self, Failure> {
        let works = Works::open(config, env).await?;
        works.deliveries.roster.refresh().await?;
        let archive = works.archive.clone().map(|archive| (archive.clone(), archive.gather()));
        if let Some((archive, _)) = &archive {
            archive.begin().await?;
        }
        let Some(trail) = works.trails.first() else { return Err(Failure::Usage("the stage has no trail".into())) };
        let told: DynChannel = Arc::new(Stdout::to(Format::Json, std::fs::File::create(dir.join("alerts.jsonl"))?));
        let channels = BTreeMap::from([("oncall".to_owned(), told)]);
        Ok(Self {
            ingest: Ingest::new(works.deliveries.clone(), trail.clone(), config.limits.messages),
            sweep: Sweep::new(works.deliveries.clone()),
            alerts: Alerts::new(works.store.clone(), works.metrics.clone(), channels, config.name.clone(), None),
            archive,
            env: env.clone(),
            works,
        })
    }

    /// Lets the clock come to `until` and settles every message that waits.
    async fn settle(&self, until: Timestamp) -> Result<(), Failure> {
        self.env.advance(until.duration_since(self.env.now()).max(SignedDuration::ZERO));
        let Some(trail) = self.works.trails.first() else { return Ok(()) };
        loop {
            if self.ingest.receive(Duration::ZERO).await? > 0 {
                continue;
            }
            if self.ingest.in_flight() == 0 && trail.queue.depth().await?.visible == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        for trail in &self.works.trails {
            self.sweep.run(trail).await?;
        }
        self.works.deliveries.rest_watches().await?;
        if let Some((archive, gathered)) = &mut self.archive {
            while archive.take(gathered).await? {
                if gathered.bytes() >= archive.buffer {
                    archive.flush(gathered).await?;
                }
            }
        }
        self.alerts.pump().await?;
        Ok(())
    }

    /// Puts into the archive what is left for it.
    async fn file(&mut self) -> Result<(), Failure> {
        if let Some((archive, gathered)) = &mut self.archive {
            archive.flush(gathered).await?;
            archive.write_integrity().await?;
        }
        Ok(())
    }

    async fn progress(&self) -> Result<String, Failure> {
        let (objects, open) = self
            .works
            .store
            .read(|conn| {
                let counters = crate::store::lists::counters(conn)?;
                Ok((counters.get("objects.seen").copied().unwrap_or(0), findings::list(conn, false)?.len()))
            })
            .await?;
        Ok(format!("{objects} objects judged, {open} findings"))
    }
}

fn bar(show: bool, hours: u32) -> ProgressBar {
    if !show {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::from(hours));
    if let Ok(style) = ProgressStyle::with_template("hour {pos:>2}/{len} {bar:30} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// The directory that the day is played in; gone afterwards unless it is to be kept.
struct Scratch {
    dir: PathBuf,
    keep: bool,
}

impl Scratch {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let dir = match keep {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                if std::fs::read_dir(dir)?.next().is_some() {
                    return Err(Failure::Usage(format!("{} is not empty: give a new directory", dir.display())));
                }
                dir.canonicalize()?
            }
            None => {
                let dir = std::env::temp_dir().join(format!("trailwarden-demo-{}", Env::system().token()));
                std::fs::create_dir(&dir)?;
                dir
            }
        };
        Ok(Self { dir, keep: keep.is_some() })
    }

    /// A real configuration, written beside the world, so that every verb can be tried on it.
    fn config(&self, world: &World) -> Result<Config, Failure> {
        let owner = world.owner().map(|account| account.to_string()).unwrap_or_default();
        let text = format!(
            r#"# A made-up organization, as `trailwarden demo` left it.
[warden]
name = "demo"

[organization]
id      = "{}"
members = "members.toml"

[[trail]]
name        = "org"
bucket      = "file://{dir}/bucket"
bucket_name = "{}"
owner       = "{}"
queue       = "file://{dir}/spool"
layout      = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys        = "keys"

[verify]
grace = "90m"

[posture]
trails = {:?}

# What a rule of these packs finds, an intruder did; the ordinary day makes keys for others, too.
[detect]
packs = ["credentials", "discovery", "evidence", "exposure", "privilege"]
off   = ["access-key-for-another"]

# Every record, for `lookup` and `query`.
[archive]
location = "file://{dir}/archive"

[retention]
keep       = "1y"
expire     = "3y"
noncurrent = "3y"

[channel.oncall]
kind = "stdout"

[[route]]
to = ["oncall"]

[state]
path = "state.db"
"#,
            world.org,
            world.bucket,
            owner,
            world.arns(),
            dir = self.dir.display()
        );
        let path = self.dir.join("trailwarden.toml");
        std::fs::write(&path, text)?;
        Ok(Config::load(&path)?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
