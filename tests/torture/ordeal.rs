//! A made-up day is played in the order of time, while the warden is killed at random moments; then everything is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::time::Instant;
use trailwarden::core::finding::Kind;
use trailwarden::world::Happening;

use crate::common::acts::Acts;
use crate::common::expected;
use crate::common::hook::Told;
use crate::common::warden::{Warden, get, json};

/// Hours are played faster than they pass: while they are, a digest may be this late.
const PLAYING: &str = "48h";
/// A supervisor's patience with an orderly stop, in ticks of 50 ms.
const PATIENCE: u32 = 60;

/// Where a day is played.
pub trait Ground: Send + Sync + 'static {
    fn config(&self) -> &Path;
    fn state(&self) -> &Path;
    fn env(&self) -> &[(&'static str, String)];
    fn configure(&self, grace: &str);
    /// Objects lie there before their messages are sent.
    fn play(&self, happenings: &[Happening], seed: u64) -> impl Future<Output = ()> + Send;
    /// Messages that are not settled: waiting, held, and put off.
    fn waiting(&self) -> impl Future<Output = u64> + Send;
    /// What the webhook was told.
    fn told(&self) -> Told;
    /// Frees what the dead still hold: what was sent after them and, unless a warden lives, `all` that they had.
    fn bury(&self, all: bool) -> impl Future<Output = ()> + Send;
    /// The weather of the warden's next life.
    fn weather(&self, foul: bool, rng: &mut fastrand::Rng);
}

/// How much a warden must bear.
#[derive(Debug, Clone, Copy)]
pub struct Hardship {
    /// While the day is played, and afterwards.
    pub kills: (usize, usize),
    /// How long a life idles at most before it is given its piece of the day.
    pub life: Duration,
    /// Milliseconds: how far it may come with that piece at most.
    pub reach: u64,
}

/// What was done to it.
#[derive(Debug, Default)]
pub struct Toll {
    pub kills: BTreeMap<&'static str, usize>,
    pub starts: usize,
}

impl Toll {
    pub fn all(&self) -> usize {
        self.kills.values().sum()
    }

    fn add(&mut self, kind: &'static str) {
        *self.kills.entry(kind).or_default() += 1;
    }
}

/// The seed of this run, told, so that it can be played again.
pub fn seed() -> u64 {
    let asked = std::env::var("TRAILWARDEN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = asked.unwrap_or_else(|| fastrand::Rng::new().u64(..));
    eprintln!("TRAILWARDEN_SEED={seed}");
    seed
}

pub struct Ordeal<G: Ground> {
    pub ground: Arc<G>,
    pub acts: Arc<Acts>,
    pub toll: Toll,
    hardship: Hardship,
    rng: fastrand::Rng,
}

impl<G: Ground> Ordeal<G> {
    pub fn new(ground: G, acts: Acts, hardship: Hardship, rng: fastrand::Rng) -> Self {
        ground.configure(PLAYING);
        Self { ground: Arc::new(ground), acts: Arc::new(acts), toll: Toll::default(), hardship, rng }
    }

    /// The whole day, and all that is to be said of it in the end. `also`: kinds of findings that the ground itself causes
    /// and ends.
    pub async fn run(&mut self, also: &[Kind]) -> Outcome {
        let begun = Instant::now();
        let (playing, afterwards) = self.hardship.kills;
        let acts = Arc::clone(&self.acts);
        self.play_and_kill(&acts.first, playing).await;
        self.calm(false).await;
        let lost = expected::unsettled(self.ground.state(), &acts, &Acts::messages(&acts.first));
        assert!(lost.is_empty(), "announced, taken off the queue and lost: {lost:?}");

        self.age();
        self.play_and_kill(&[], afterwards.div_ceil(2)).await;
        self.calm(true).await;
        self.play_and_kill(&acts.late, afterwards / 2).await;
        self.calm(true).await;
        self.compare(also, begun.elapsed())
    }

    /// The day in as many pieces as there are lives, in the order of time: each life is given one, and ended in the middle of
    /// the work on it, or of nothing.
    async fn play_and_kill(&mut self, happenings: &[Happening], kills: usize) {
        let piece = happenings.len().div_ceil(kills.max(1)).max(1);
        let mut pieces = happenings.chunks(piece).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
        for _ in 0..kills {
            self.ground.weather(true, &mut self.rng);
            self.live_and_die(pieces.next().unwrap_or_default()).await;
        }
    }

    /// One life, and sometimes a very short one after it.
    async fn live_and_die(&mut self, piece: Vec<Happening>) {
        let whole = u64::try_from(self.hardship.life.as_millis()).expect("a short time");
        let mut warden = self.start();
        let idle = if self.rng.u8(..4) == 0 { 0 } else { self.rng.u64(..whole) };
        tokio::time::sleep(Duration::from_millis(idle)).await;
        let (ground, seed) = (Arc::clone(&self.ground), self.rng.u64(..));
        let player = tokio::spawn(async move { ground.play(&piece, seed).await });
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..self.hardship.reach))).await;
        assert!(warden.is_running(), "it ended by itself:\n{}", warden.log());
        if self.rng.u8(..5) > 0 {
            warden.kill();
            self.toll.add("KILL");
        } else if tokio::task::block_in_place(|| warden.stop_or_kill(PATIENCE)) {
            self.toll.add("TERM");
        } else {
            self.toll.add("TERM, then KILL");
        }
        if self.rng.u8(..6) == 0 {
            let mut warden = self.start();
            tokio::time::sleep(Duration::from_millis(self.rng.u64(..30))).await;
            warden.kill();
            self.toll.add("KILL at once again");
        }
        player.await.expect("a piece of the day is played");
    }

    fn start(&mut self) -> Warden {
        self.toll.starts += 1;
        Warden::start(self.ground.config(), self.ground.env())
    }

    /// A life in fair weather until nothing is left to do; with `swept`, until two sweeps have found nothing more.
    async fn calm(&mut self, swept: bool) {
        self.ground.weather(false, &mut self.rng);
        self.ground.bury(true).await;
        let mut warden = self.start();
        let mut quiet = 0;
        let begun = Instant::now();
        while quiet < 4 {
            quiet = if self.ground.waiting().await == 0 { quiet + 1 } else { 0 };
            self.ground.bury(false).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
            assert!(warden.is_running(), "it ended by itself:\n{}", warden.log());
            assert!(begun.elapsed() < Duration::from_secs(400), "{} messages stay", self.ground.waiting().await);
        }
        tokio::task::block_in_place(|| {
            if swept {
                let address = warden.address();
                let enough = sweeps(&address) + 2;
                warden.until("two sweeps", |_| sweeps(&address) >= enough);
            }
            let state = self.ground.state();
            warden.until("all alerts sent", |_| {
                let ledger = Connection::open(state).expect("the ledger opens");
                ledger.busy_timeout(Duration::from_secs(10)).expect("a time");
                let unsent = "SELECT count(*) FROM outbox WHERE state = 'due'";
                ledger.query_row(unsent, [], |row| row.get::<_, i64>(0)).expect("a number") == 0
            });
            assert_eq!(warden.stop(), Some(0), "{}", warden.log());
        });
    }

    /// From here on the digests that have not come are late. What the ledger waits for was dated by the longer patience, and
    /// only of a member that was seen hours ago can it be said that it never delivers.
    fn age(&self) {
        self.ground.configure("90m");
        let ledger = Connection::open(self.ground.state()).expect("the ledger opens");
        ledger.execute("UPDATE awaited SET due = due - 46 * 3600 - 1800", []).expect("an update");
        ledger.execute("UPDATE members SET first_seen = first_seen - 86400", []).expect("an update");
    }

    fn compare(&self, also: &[Kind], wall: Duration) -> Outcome {
        let (ground, acts) = (&self.ground, &self.acts);
        let ids = expected::findings(ground.config(), acts, &[]);
        let all = json(ground.config(), &["findings", "list", "--all"]);
        let all = all.as_array().expect("a list");
        let kind = |held: &Value| held["kind"].as_str().and_then(Kind::parse).expect("a kind");
        let wrong: Vec<_> =
            all.iter().filter(|held| held["state"] == "resolved" && !also.contains(&kind(held))).collect();
        assert!(wrong.is_empty(), "told, and then it was not so: {wrong:#?}");
        let objects = expected::ledger(ground.state(), acts, &[]);
        let status = json(ground.config(), &["status"]);
        assert_eq!((&status["alerts"]["due"], &status["alerts"]["dead"]), (&0.into(), &0.into()), "{status}");
        self.sound();
        let told = ground.told();
        self.all_were_told(&told, &ids, also.len());
        let posts: usize = told.values().map(Vec::len).sum();
        Outcome {
            objects,
            messages: Acts::messages(&acts.first).len() + Acts::messages(&acts.late).len(),
            findings: ids.len(),
            told: told.len(),
            posts,
            wall,
        }
    }

    /// The file is whole, and nothing stands in it twice.
    fn sound(&self) {
        let ledger = Connection::open(self.ground.state()).expect("the ledger opens");
        let text = |sql: &str| ledger.query_row(sql, [], |row| row.get::<_, String>(0)).expect("an answer");
        assert_eq!(text("PRAGMA integrity_check"), "ok");
        let twice = text(
            "SELECT ifnull(group_concat(thing), '') FROM (
               SELECT finding || ' ' || channel || ' ' || reason AS thing FROM outbox GROUP BY thing HAVING count(*) > 1
               UNION ALL SELECT kind || ' ' || subject FROM findings GROUP BY kind, subject HAVING count(*) > 1
               UNION ALL SELECT root || ' ' || region || ' ' || trail FROM chains
                 GROUP BY source, root, region, trail, home, backfill HAVING count(*) > 1
               UNION ALL SELECT key FROM digests GROUP BY source, key HAVING count(*) > 1)",
        );
        assert_eq!(twice, "", "in the ledger twice");
        assert_eq!(text("SELECT ifnull(group_concat(DISTINCT state), '') FROM outbox"), "sent");
    }

    /// Every row of the outbox arrived under the one key that is its own, and nothing else did.
    fn all_were_told(&self, told: &Told, ids: &[String], others: usize) {
        let ledger = Connection::open(self.ground.state()).expect("the ledger opens");
        let mut query = ledger
            .prepare("SELECT finding, reason, finding || '-' || reason || '-' || id FROM outbox WHERE channel = 'hook'")
            .expect("a query");
        let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).expect("rows");
        let planned: BTreeMap<(String, String), String> = rows.map(|row| row.expect("a row")).collect();
        for id in ids {
            assert!(planned.contains_key(&(id.clone(), "first".to_owned())), "{id} was found and nobody is to be told");
        }
        assert!(planned.len() <= ids.len() + 2 * others, "planned, and not for these findings: {planned:?}");
        let mut wrong = Vec::new();
        for (subject, key) in &planned {
            match told.get(subject) {
                None => wrong.push(format!("{subject:?} was never told")),
                Some(keys) if keys.iter().any(|told| told != key) => {
                    wrong.push(format!("{subject:?} should be told as {key}, was told as {keys:?}"));
                }
                Some(_) => {}
            }
        }
        wrong.extend(
            told.keys()
                .filter(|subject| !planned.contains_key(subject))
                .map(|subject| format!("{subject:?} was told, and nobody planned it")),
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn sweeps(address: &str) -> u64 {
    let (_, metrics) = get(address, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("trailwarden_sweeps_total "));
    line.and_then(|text| text.parse().ok()).expect("sweeps are counted")
}

/// What came of a day; that nothing was lost, doubled or made up is asserted before.
#[derive(Debug)]
pub struct Outcome {
    pub objects: usize,
    pub messages: usize,
    pub findings: usize,
    told: usize,
    posts: usize,
    wall: Duration,
}

impl Outcome {
    /// A table for people.
    pub fn print(&self, title: &str, toll: &Toll, more: &[(String, String)]) {
        let mut text = format!("\n{title}\n");
        let mut line = |name: &str, value: &str| writeln!(text, "  {name:<34} {value:>10}").expect("text grows");
        line("kills", &toll.all().to_string());
        for (kind, count) in &toll.kills {
            line(&format!("  {kind}"), &count.to_string());
        }
        line("objects settled", &self.objects.to_string());
        line("messages of the day", &self.messages.to_string());
        for (name, value) in more {
            line(name, value);
        }
        line("troubles planted and found", &self.findings.to_string());
        line("alerts to tell", &self.told.to_string());
        line("  posts received", &self.posts.to_string());
        line("  repeated under the same key", &(self.posts - self.told).to_string());
        for name in ["lost", "counted twice", "false findings"] {
            line(name, "0");
        }
        line("wall time", &format!("{:.0} s", self.wall.as_secs_f64()));
        eprintln!("{text}");
    }
}
