//! Two or three wardens that want one lease: stopped halfway, cut off, killed, told to stop, with answers lost and writes that
//! arrive when nobody waits for them any more, and clocks that say different times. Each has a ledger of its own; what every
//! commit and every effect was done under stands in it, and is compared with what the lease says happened when.
//!
//! `cargo test --release --test sim leases -- --ignored --nocapture` plays thousands of seeds.

mod far;
mod warden;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use trailwarden::env::Env;

use far::Far;
use warden::{Done, Fate, Host};

use crate::number;

/// Seeds that every run of the tests plays, and those of the long run.
const STANDARD: u64 = 50;
const MANY: u64 = 2_000;
const TTL: Duration = Duration::from_secs(60);
/// Whoever waits and can reach the lease works again within this time.
const PROMISED: Duration = Duration::from_secs(120);
/// How long it is made hard for them, and how long they are then left alone.
const HARDSHIP: Duration = Duration::from_secs(30 * 60);
const PEACE: Duration = Duration::from_secs(10 * 60);

/// What one play, or many, came to.
#[derive(Debug, Default)]
struct Outcome {
    seeds: u64,
    epochs: u64,
    commits: u64,
    refused: u64,
    fates: BTreeMap<Fate, u64>,
    takeovers: u64,
    /// From the death of a holder to the first commit of the next, where nobody else was killed, stopped or cut off meanwhile.
    longest: Duration,
    /// What must never be.
    wrong: Vec<String>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.seeds += 1;
        self.epochs += other.epochs;
        self.commits += other.commits;
        self.refused += other.refused;
        self.takeovers += other.takeovers;
        self.longest = self.longest.max(other.longest);
        for (fate, count) in other.fates {
            *self.fates.entry(fate).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds: {} epochs, {} commits and effects, {} refused by the fence, {} takeovers after a kill, the longest {} s; met {:?}",
            self.seeds,
            self.epochs,
            self.commits,
            self.refused,
            self.takeovers,
            self.longest.as_secs(),
            self.fates
        )
    }
}

fn play(seed: u64, fenced: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(async { contest(seed, fenced).await })
}

async fn contest(seed: u64, fenced: bool) -> Outcome {
    let mut die = Rng::with_seed(seed);
    let dir = crate::play::scratch();
    let start = Timestamp::from_second(1_760_000_000).expect("a time of ours");
    let truth = Env::simulated(start, seed);
    let far = Arc::new(Far::new(truth.clone(), die.fork()));
    let hosts: Vec<Arc<Host>> = (0..die.usize(2..=3))
        .map(|number| {
            let skew = SignedDuration::from_secs(die.i64(-40_000..40_000));
            Arc::new(Host::new(number, dir.path(), far.clone(), skew, fenced, die.u64(..)))
        })
        .collect();
    let lives: Vec<_> = hosts.iter().map(|host| tokio::spawn(host.clone().live(start))).collect();
    let mut fates = BTreeMap::new();
    let mut kills = Vec::new();
    while truth.now().duration_since(start) < SignedDuration::try_from(HARDSHIP).unwrap() {
        tokio::time::sleep(Duration::from_secs_f64(5.0 + 85.0 * die.f64())).await;
        // Whoever works is the one that it is worth while to disturb.
        let holder = far.holder().and_then(|name| hosts.iter().find(|host| host.name == name));
        let host = holder.filter(|_| die.u8(..4) > 0).unwrap_or(&hosts[die.usize(..hosts.len())]);
        let fate = Fate::ALL[die.usize(..Fate::ALL.len())];
        *fates.entry(fate).or_default() += 1;
        let long = TTL.mul_f64(0.1 + 2.5 * die.f64());
        if fate == Fate::Killed {
            let of_holder = holder.is_some_and(|holder| holder.name == host.name);
            kills.push(Kill { at: truth.now(), epoch: far.epoch().filter(|_| of_holder) });
        }
        host.meet(fate, long);
    }
    let peace = truth.now();
    tokio::time::sleep(PEACE).await;
    for life in lives {
        life.abort();
        let _ = life.await;
    }
    let done: Vec<Done> = hosts.iter().flat_map(|host| host.done()).collect();
    let mut outcome = judge(&far, &done);
    if !done.iter().any(|done| done.at > peace + SignedDuration::from_mins(5)) {
        outcome.wrong.push("nobody works, and nothing is in the way".into());
    }
    let took: Vec<Duration> = kills.iter().filter_map(|kill| takeover(kill, &kills, &done, &far)).collect();
    outcome.takeovers = took.len() as u64;
    outcome.longest = took.into_iter().max().unwrap_or_default();
    if outcome.longest > PROMISED {
        outcome.wrong.push(format!("a takeover took {} s", outcome.longest.as_secs()));
    }
    outcome.refused = hosts.iter().map(|host| host.refused()).sum();
    outcome.fates = fates;
    outcome.wrong.iter_mut().for_each(|wrong| *wrong = format!("seed {seed}: {wrong}"));
    outcome
}

/// Every epoch has one holder, and ends before the next begins.
fn judge(far: &Far, done: &[Done]) -> Outcome {
    let mut outcome = Outcome { commits: done.len() as u64, ..Outcome::default() };
    let began = far.began();
    outcome.epochs = began.len() as u64;
    for pair in began.windows(2) {
        if pair[1].epoch <= pair[0].epoch {
            outcome.wrong.push(format!("epoch {} follows {}", pair[1].epoch, pair[0].epoch));
        }
    }
    for done in done {
        let Some(at) = began.iter().position(|began| began.epoch == done.epoch) else {
            outcome.wrong.push(format!("{done:?} under an epoch that never was"));
            continue;
        };
        if began[at].holder != done.holder {
            outcome.wrong.push(format!("{done:?} under an epoch of {}", began[at].holder));
        }
        if began.get(at + 1).is_some_and(|next| done.at >= next.at) {
            outcome.wrong.push(format!("{done:?} after the next epoch began at {}", began[at + 1].at));
        }
    }
    outcome
}

/// A host was killed; `epoch` if it held the lease.
struct Kill {
    at: Timestamp,
    epoch: Option<u64>,
}

/// How long nobody worked after the death of a holder, if nothing befell the others meanwhile. A successor that is killed before
/// its first commit is a death of its own, and measured from there.
fn takeover(kill: &Kill, kills: &[Kill], done: &[Done], far: &Far) -> Option<Duration> {
    let epoch = kill.epoch?;
    let next = done.iter().filter(|done| done.epoch > epoch).map(|done| done.at).min()?;
    let alone = !kills.iter().any(|other| kill.at < other.at && other.at < next);
    let calm = alone && !far.disturbed(kill.at, next);
    calm.then(|| Duration::try_from(next.duration_since(kill.at)).unwrap_or_default())
}

fn play_all(seeds: std::ops::Range<u64>, fenced: bool) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let total = std::sync::Mutex::new(Outcome::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = play(seed, fenced);
                    total.lock().expect("nobody panics with it").add(outcome);
                }
            });
        }
    });
    total.into_inner().expect("nobody panicked with it")
}

fn holds(seeds: std::ops::Range<u64>) {
    crate::log();
    let outcome = play_all(seeds, true);
    println!("{outcome}");
    assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
    assert!(number("TRAILWARDEN_SEED").is_some() || Fate::ALL.iter().all(|fate| outcome.fates.contains_key(fate)));
    assert!(outcome.epochs > outcome.seeds && outcome.commits > outcome.epochs);
    assert!(number("TRAILWARDEN_SEED").is_some() || outcome.takeovers > 0);
}

#[test]
fn standard_leases_hold() {
    holds(number("TRAILWARDEN_SEED").map_or(0..STANDARD, |seed| seed..seed + 1));
}

#[test]
#[ignore = "minutes: thousands of seeds"]
fn many_leases_hold() {
    let from = number("TRAILWARDEN_SEED").unwrap_or(0);
    holds(from..from + number("TRAILWARDEN_SEEDS").unwrap_or(MANY));
}

/// What the fence is for: the same plays without it.
#[test]
fn without_the_fence_two_work_at_once() {
    let outcome = play_all(0..STANDARD, false);
    assert!(outcome.wrong.iter().any(|wrong| wrong.contains("after the next epoch began")), "{outcome}");
}
