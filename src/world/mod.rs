//! A made-up organization whose trails deliver as CloudTrail does, and who tampers with them: for `demo`, tests and benches.
//!
//! Nothing is written here. A [`World`] yields its hours in order; each holds what happens to the bucket and what reaches
//! the queue, in the order of time. The same seed gives the same world, but for the signing keys, which each
//! process makes for itself.

mod cast;
mod chains;
mod events;
mod intrusion;
mod notices;
mod plan;
pub mod stage;
mod tamper;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use tamper::{PLANTABLE, Planted};

use crate::core::finding::Kind;
use crate::core::id::{AccountId, OrgId, Region};
use crate::core::unit::OuPath;
use crate::error::{Error, Result};
use crate::seam::{Member, MemberState, Metadata, PublicKey};
use cast::{Account, die};
use chains::{Chain, Signer};
use intrusion::Intrusion;
use notices::{News, Wrap};
use plan::Plan;

/// How long after its end a digest may arrive before it counts as overdue in [`Planted::hours`].
pub const GRACE: SignedDuration = SignedDuration::from_mins(90);

const HOUR: i64 = 3_600;

/// How big a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Members, the management account among them.
    pub accounts: usize,
    /// At most 17.
    pub regions: usize,
    /// Trouble needs eight; see [`World::with_trouble`].
    pub hours: u32,
    /// Fewest and most log files of a chain in an hour. A chain is an account, a region and one of the two trails.
    pub logs_per_hour: (u32, u32),
    /// Fewest and most records of a log file; small files are the common ones.
    pub records_per_log: (u32, u32),
}

impl Scale {
    /// A day of 13 accounts in 4 regions: about 2,100 digests and 3,000 logs.
    pub fn demo() -> Self {
        Self { accounts: 13, regions: 4, hours: 24, logs_per_hour: (0, 3), records_per_log: (3, 40) }
    }

    /// Two accounts, two regions, eight hours: eight chains, room for seven kinds of trouble that have a place.
    pub fn small() -> Self {
        Self { accounts: 2, regions: 2, hours: 8, logs_per_hour: (0, 2), records_per_log: (2, 6) }
    }
}

/// A trail of the organization; all of them write into the one bucket and cover all accounts and regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    pub name: String,
    pub home: Region,
    /// Logs data events instead of management events.
    data: bool,
}

/// Something that happens to the bucket or the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An object appears, or is written again.
    Put { key: String, body: Vec<u8>, metadata: Metadata },
    /// An object disappears. Its notice, if there is one, is a message of its own.
    Remove { key: String },
    /// A message reaches the queue.
    Message { body: Vec<u8> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub at: Timestamp,
    pub step: Step,
}

/// All that happens from `start` up to `end`, trouble included, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    pub number: u32,
    pub start: Timestamp,
    pub end: Timestamp,
    pub happenings: Vec<Happening>,
}

pub struct World {
    pub org: OrgId,
    pub bucket: String,
    pub members: Vec<Member>,
    pub trails: Vec<Trail>,
    /// The last is switched on during the day where there is an intruder, see [`World::intruded`].
    pub regions: Vec<Region>,
    /// What CloudTrail would answer to ListPublicKeys, a key for each region.
    pub keys: Vec<(Region, PublicKey)>,
    /// On the hour.
    pub start: Timestamp,
    pub hours: u32,
    scale: Scale,
    seed: u64,
    /// `start` in seconds since the epoch.
    began: i64,
    hour: u32,
    accounts: Vec<Account>,
    chains: Vec<Chain>,
    signers: Vec<Arc<Signer>>,
    /// Signs where CloudTrail did not; its key is in no list.
    rogue: Option<Arc<Signer>>,
    plan: Plan,
    planted: Vec<Planted>,
    intrusion: Option<Intrusion>,
    pending: BTreeMap<(i64, u64), Pending>,
    posted: u64,
}

/// What waits for its time; news becomes a message when it is due, so that some of it can share one.
enum Pending {
    Step(Step),
    News(News),
}

/// An object that is delivered and announced.
struct Delivery {
    key: String,
    body: Vec<u8>,
    metadata: Metadata,
    at: i64,
}

/// How faithfully a delivery is announced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Once and at once.
    Plain,
    /// As logs are: sometimes late, twice, or not at all.
    Log,
    /// As digests are: sometimes late, even after the next one, or twice.
    Digest,
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

impl World {
    /// A world with every kind of trouble of [`PLANTABLE`] that has room in it.
    pub fn new(seed: u64, scale: Scale, start: Timestamp) -> Result<Self> {
        Self::with_trouble(seed, scale, start, PLANTABLE)
    }

    /// A world in which nobody tampers: no finding is right about it.
    pub fn clean(seed: u64, scale: Scale, start: Timestamp) -> Result<Self> {
        Self::with_trouble(seed, scale, start, &[])
    }

    /// As [`World::clean`], with one trail instead of two.
    pub fn single(seed: u64, scale: Scale, start: Timestamp) -> Result<Self> {
        Self::make(seed, scale, start, &[], &["org-main"])
    }

    /// A world with each of `kinds` planted once, each at an account and region of its own while there are enough, then at
    /// the other trail of one. A kind that has no room (or a world of fewer than eight hours) is left out; what was planted
    /// is what [`World::planted`] tells.
    ///
    /// `start` is cut to the hour.
    pub fn with_trouble(seed: u64, scale: Scale, start: Timestamp, kinds: &[Kind]) -> Result<Self> {
        Self::make(seed, scale, start, kinds, &["org-main", "audit_data"])
    }

    fn make(seed: u64, scale: Scale, start: Timestamp, kinds: &[Kind], trails: &[&str]) -> Result<Self> {
        let mut rng = die(seed, &[0]);
        let org = cast::organization(&mut rng).ok_or_else(|| Error::fatal("world", "no organization id"))?;
        let regions = cast::regions(scale.regions);
        let accounts = cast::accounts(&mut rng, scale.accounts.max(1));
        let began = start.as_second() - start.as_second().rem_euclid(HOUR);
        let homes = [regions.first(), regions.get(1).or(regions.first())];
        let trails: Vec<Trail> = trails
            .iter()
            .zip(homes)
            .zip([false, true])
            .filter_map(|((name, home), data)| Some(Trail { name: (*name).into(), home: home?.clone(), data }))
            .collect();
        let plan = Plan::new(seed, scale, accounts.len(), regions.len(), trails.len(), kinds);
        let rogue = if plan.needs_rogue() { Some(Signer::number(0)?) } else { None };
        let mut world = Self {
            org,
            bucket: "kestrel-org-trail-logs".into(),
            members: accounts.iter().map(|account| member(account, began)).collect(),
            chains: chains::all(&mut rng, &plan, accounts.len(), regions.len(), trails.len()),
            trails,
            regions,
            keys: Vec::new(),
            start: instant(began),
            hours: scale.hours,
            scale,
            seed,
            began,
            hour: 0,
            accounts,
            signers: Vec::new(),
            rogue,
            plan,
            planted: Vec::new(),
            intrusion: None,
            pending: BTreeMap::new(),
            posted: 0,
        };
        if kinds.contains(&Kind::RuleFired) {
            world.stage_intrusion();
        }
        world.signers = (1..=world.regions.len()).map(Signer::number).collect::<Result<Vec<_>>>()?;
        let signed = world.regions.iter().cloned().zip(world.signers.iter().map(|signer| signer.public(began)));
        world.keys = signed.collect();
        Ok(world)
    }

    /// Whose the bucket is.
    pub fn owner(&self) -> Option<AccountId> {
        self.members.get(1).or(self.members.first()).map(|member| member.account)
    }

    /// The trails, as AWS names them; they are the management account's.
    pub fn arns(&self) -> Vec<String> {
        let management = self.members.first().map(|member| member.account.to_string()).unwrap_or_default();
        let arn = |trail: &Trail| format!("arn:aws:cloudtrail:{}:{management}:trail/{}", trail.home, trail.name);
        self.trails.iter().map(arn).collect()
    }

    /// The end of the last hour.
    pub fn end(&self) -> Timestamp {
        instant(self.ended())
    }

    fn ended(&self) -> i64 {
        self.began + i64::from(self.hours) * HOUR
    }

    /// The troubles of the hours so far; all of them once the last hour is out.
    pub fn planted(&self) -> &[Planted] {
        &self.planted
    }

    /// The next hour; `None` after the last.
    pub fn next_hour(&mut self) -> Result<Option<Hour>> {
        if self.hour >= self.hours {
            return Ok(None);
        }
        let number = self.hour;
        self.hour += 1;
        let from = self.began + i64::from(number) * HOUR;
        self.routine(number, from);
        self.loose_trouble(number, from);
        let mut chains = std::mem::take(&mut self.chains);
        let delivered = chains.iter_mut().enumerate().try_for_each(|(index, chain)| {
            self.digest(index, chain, number)?;
            self.logs(index, chain, number);
            self.intrude(index, chain, number);
            Ok(())
        });
        self.chains = chains;
        delivered?;
        let happenings = self.due(from + HOUR);
        Ok(Some(Hour { number, start: instant(from), end: instant(from + HOUR), happenings }))
    }

    fn post(&mut self, at: i64, pending: Pending) {
        self.posted += 1;
        self.pending.insert((at, self.posted), pending);
    }

    fn put(&mut self, at: i64, key: &str, body: Vec<u8>, metadata: Metadata) {
        self.post(at, Pending::Step(Step::Put { key: key.into(), body, metadata }));
    }

    /// Stores an object and announces it.
    fn deliver(&mut self, rng: &mut fastrand::Rng, delivery: Delivery, manner: Manner) {
        let Delivery { key, body, metadata, at } = delivery;
        let mut news = News::put(&self.bucket, &key, &body, at);
        news.wrap = match rng.u8(..10) {
            0 | 1 if manner == Manner::Log => Wrap::CloudTrail,
            0..=2 => Wrap::SnsS3,
            3..=5 => Wrap::EventBridge,
            _ => Wrap::S3,
        };
        news.joins = matches!(news.wrap, Wrap::S3 | Wrap::CloudTrail) && rng.u8(..6) == 0;
        self.put(at, &key, body, metadata);
        let prompt = at + rng.i64(1..20);
        let (roll, minutes) = (rng.u8(..60), rng.i64(1..20));
        match (manner, roll) {
            (Manner::Log, 0) => {}
            (Manner::Log, 1..=2) => self.post(prompt + minutes * 60, Pending::News(news)),
            // After the next digest, yet within the grace.
            (Manner::Digest, 0) => self.post(prompt + (61 + minutes % 8) * 60, Pending::News(news)),
            (Manner::Log | Manner::Digest, 3..=4) => {
                self.post(prompt, Pending::News(News { joins: false, ..news.clone() }));
                self.post(prompt + minutes * 30, Pending::News(news));
            }
            _ => self.post(prompt, Pending::News(news)),
        }
    }

    /// What reaches the queue of such a bucket and is no trouble: tests, folder markers, other services' objects.
    fn routine(&mut self, number: u32, from: i64) {
        let mut rng = die(self.seed, &[3, number.into()]);
        if number == 0 {
            let validation = "CloudTrail validation message.";
            let wrapped = notices::sns(validation, None, from, "us-east-1").to_string();
            let bodies = [notices::test_event(&self.bucket, from), wrapped.into_bytes(), validation.into()];
            for (second, body) in (2i64..).zip(bodies) {
                self.post(from + second, Pending::Step(Step::Message { body }));
            }
        }
        for index in 0..self.accounts.len() {
            let Some(account) = self.accounts.get(index).map(|account| account.id) else { break };
            if self.plan.is_uncovered(index) {
                continue;
            }
            let at = from + rng.i64(10..3_000);
            let root = format!("AWSLogs/{}/{account}", self.org);
            let mut keys = Vec::new();
            if number == 0 {
                keys.extend(["CloudTrail", "CloudTrail-Digest"].map(|folder| format!("{root}/{folder}/")));
            }
            if rng.u8(..4) == 0 {
                let stamp = instant(at).strftime("%Y%m%dT%H%M%SZ");
                keys.push(format!(
                    "{root}/Config/us-east-1/2026/3/1/ConfigHistory/{account}_Config_us-east-1_ConfigHistory_AWS::EC2::Instance_{stamp}_1.json.gz"
                ));
            }
            for key in keys {
                let news = News::put(&self.bucket, &key, b"", at);
                self.post(at, Pending::News(news));
            }
            if rng.u8(..12) == 0 {
                let stamp = instant(at).strftime("%Y%m%dT%H%MZ");
                let key = format!(
                    "AWSLogs/{account}/vpcflowlogs/us-east-1/2026/03/01/{account}_vpcflowlogs_us-east-1_fl-1_{stamp}.log.gz"
                );
                let body = crate::core::gzip::deflate(b"version account-id interface-id\n");
                self.deliver(&mut rng, Delivery { key, body, metadata: Metadata::new(), at }, Manner::Plain);
            }
        }
    }

    /// Takes what is due before `until`. News that joins waits for the next of its envelope and shares its message.
    fn due(&mut self, until: i64) -> Vec<Happening> {
        let later = self.pending.split_off(&(until, 0));
        let now = std::mem::replace(&mut self.pending, later);
        let region = self.regions.first().map(|region| region.as_str().to_owned()).unwrap_or_default();
        let mut happenings = Vec::with_capacity(now.len());
        let mut held: Vec<News> = Vec::new();
        let mut held_until = until;
        for ((at, _), pending) in now {
            if at > held_until && !held.is_empty() {
                let body = notices::message(&std::mem::take(&mut held), &region);
                happenings.push(Happening { at: instant(held_until), step: Step::Message { body } });
            }
            let step = match pending {
                Pending::Step(step) => step,
                Pending::News(news) => {
                    let fits = held.last().is_none_or(|last| (last.wrap, &last.bucket) == (news.wrap, &news.bucket));
                    if fits && news.joins && held.len() < 3 {
                        if held.is_empty() {
                            held_until = (at + 180).min(until - 1);
                        }
                        held.push(news);
                        continue;
                    }
                    let mut told = if fits { std::mem::take(&mut held) } else { Vec::new() };
                    told.push(news);
                    Step::Message { body: notices::message(&told, &region) }
                }
            };
            happenings.push(Happening { at: instant(at), step });
        }
        if !held.is_empty() {
            let body = notices::message(&held, &region);
            happenings.push(Happening { at: instant(held_until), step: Step::Message { body } });
        }
        happenings
    }
}

fn member(account: &Account, began: i64) -> Member {
    Member {
        account: account.id,
        name: account.name.clone(),
        ou: OuPath::of_names(&account.ou),
        state: MemberState::Active,
        joined: Some(instant(began - 400 * 24 * HOUR)),
    }
}

#[cfg(test)]
mod tests;
