//! Coverage: account by account, which hours of which region should be proven, and whether they are. All of it out of the
//! ledger, one account at a time.
//!
//! Who is a member when says who has to deliver. Where it has to, the others say: an organization's trail delivers a digest an
//! hour everywhere, so a region in which most members have a chain is a region of every member. A region that fewer have (one
//! to opt in to, an account's own trail) is expected of those who have delivered there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Result};
use serde::Serialize;

use crate::core::admit::Membership;
use crate::core::coverage::{Frame, HOUR, Hole, Hour, State, Stretch, Tally, demanded, holes, join, since_most};
use crate::core::finding::Kind;
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, ObjectKey};
use crate::core::shard::Shard;
use crate::core::unit::OuPath;
use crate::store::coverage::{self, Chain, Lane};
use crate::store::members::{self, Remembered, Stay};
use crate::store::places::{self, Short};

/// Members that were asked for longer ago may be others by now.
const STALE: i64 = 24 * HOUR;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// `None`: from where the ledger's memory begins, but no further back than 30 days.
    pub from: Option<Timestamp>,
    pub to: Timestamp,
    pub now: Timestamp,
    pub grace: SignedDuration,
    /// Whose hours the ledger can tell.
    pub shard: Shard,
    pub account: Option<AccountId>,
    /// Only while accounts lie in this unit.
    pub ou: Option<String>,
    pub region: Option<Region>,
    /// CloudTrail's name of it.
    pub trail: Option<String>,
}

/// One account's hours, region by region.
#[derive(Debug)]
pub struct Covered {
    pub account: AccountId,
    pub name: String,
    /// Where it lies, or lay at last.
    pub ou: OuPath,
    pub membership: Membership,
    pub regions: BTreeMap<Region, Vec<Hour>>,
    pub holes: Vec<Hole>,
    pub tally: Tally,
}

/// What goes for all accounts.
#[derive(Debug)]
pub struct Matrix {
    pub frame: Frame,
    /// Why something cannot be told.
    pub unknown: Vec<String>,
    lanes: BTreeMap<Lane, Option<i64>>,
    members: BTreeMap<AccountId, Remembered>,
    accounts: Vec<AccountId>,
    question: Question,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Complete,
    Holes,
    Unknown,
}

impl Matrix {
    pub fn prepare(conn: &Connection, question: Question) -> Result<Self> {
        let (begun, ended, asked) = coverage::attendance(conn, question.shard)?;
        let there = |at| coverage::present(&begun, &ended, at);
        let wanted = |lane: &Lane| question.trail.as_ref().is_none_or(|trail| *trail == lane.trail);
        let lanes: BTreeMap<Lane, Option<i64>> = coverage::lanes(conn, question.shard)?
            .into_iter()
            .filter(|(lane, _)| wanted(lane))
            .map(|(lane, firsts)| (lane, since_most(&firsts, there)))
            .collect();
        let memory = lanes.values().flatten().min().copied();
        let usual = (question.to - SignedDuration::from_hours(30 * 24)).as_second();
        let begin = memory.map_or(usual, |memory| usual.max(memory.div_euclid(HOUR) * HOUR));
        let from = question.from.unwrap_or_else(|| Timestamp::from_second(begin).unwrap_or(question.to));
        let frame = Frame::new(from, question.to, question.now, question.grace.as_secs());
        let (members, accounts) = (members::all(conn)?, coverage::accounts(conn)?);
        let mut this = Self { frame, unknown: Vec::new(), lanes, members, accounts, question };
        this.unknown = this.doubts(memory, asked, coverage::silent_sources(conn)?);
        Ok(this)
    }

    fn doubts(&self, memory: Option<i64>, asked: Option<i64>, silent: Vec<String>) -> Vec<String> {
        let time = |second| Timestamp::from_second(second).unwrap_or_default();
        let mut doubts = Vec::new();
        let shard = self.question.shard;
        if let Some(account) = self.question.account.filter(|account| !shard.holds(*account)) {
            doubts
                .push(format!("{account} is of shard {}, and this is the warden of shard {shard}", shard.of(account)));
        }
        match asked {
            None => doubts.push("the members have never been asked for: nobody can be missed".to_owned()),
            Some(asked) if asked + STALE < self.frame.end().min(self.frame.now) => {
                doubts.push(format!("the members were last asked for at {}", time(asked)));
            }
            Some(_) => {}
        }
        match memory {
            None => doubts.push("no good digest of an organization's trail is known: no hour is expected".to_owned()),
            Some(memory) if memory > self.frame.from + HOUR => {
                doubts.push(format!("nothing is known of the time before {}", time(memory)));
            }
            Some(_) => {}
        }
        let silent = silent.into_iter().map(|trail| format!("no good digest of `{trail}` is known"));
        doubts.extend(silent.filter(|_| memory.is_some()));
        doubts
    }

    pub fn shard(&self) -> Shard {
        self.question.shard
    }

    pub fn accounts(&self) -> impl Iterator<Item = AccountId> + '_ {
        let Question { shard, account: wanted, .. } = self.question;
        let wanted = move |account: &AccountId| wanted.is_none_or(|wanted| wanted == *account);
        self.accounts.iter().copied().filter(move |account| shard.holds(*account) && wanted(account))
    }

    /// `None` when there is nothing to be said of the account.
    pub fn of(&self, conn: &Connection, account: AccountId) -> Result<Option<Covered>> {
        let (chains, stays) = (coverage::chains(conn, account)?, members::stays(conn, account)?);
        let remembered = self.members.get(&account);
        let demanded = self.demanded(remembered, &stays, &chains);
        let inside = self.question.ou.as_ref().map(|unit| within(&stays, unit));
        if inside.as_ref().is_some_and(|inside| inside.iter().all(|stretch| self.frame.within(*stretch).is_empty())) {
            return Ok(None);
        }
        let mut regions: BTreeMap<Region, Vec<Hour>> = BTreeMap::new();
        for (lane, begun) in self.lanes_of(&chains) {
            let Ok(region) = Region::parse(&lane.region) else { continue };
            let chain = chains.iter().find(|chain| chain.lane == *lane);
            let hours = self.hours(conn, chain, begun, &demanded)?;
            match regions.get_mut(&region) {
                Some(other) => other.iter_mut().zip(hours).for_each(|(one, other)| *one = one.and(other)),
                None => _ = regions.insert(region, hours),
            }
        }
        self.trouble(conn, &chains, &mut regions)?;
        if let Some(inside) = inside {
            for hours in regions.values_mut() {
                let mut kept = vec![Hour::default(); hours.len()];
                inside.iter().map(|stretch| self.frame.within(*stretch)).for_each(|range| {
                    kept[range.clone()].copy_from_slice(&hours[range]);
                });
                *hours = kept;
            }
        }
        Ok(self.covered(account, remembered, &stays, regions))
    }

    fn covered(
        &self,
        account: AccountId,
        remembered: Option<&Remembered>,
        stays: &[Stay],
        regions: BTreeMap<Region, Vec<Hour>>,
    ) -> Option<Covered> {
        let mut tally = Tally::default();
        regions.values().flatten().for_each(|hour| tally.add(*hour));
        let holes = regions.iter().flat_map(|(region, hours)| holes(&self.frame, region, hours)).collect();
        (!tally.is_nothing()).then(|| Covered {
            account,
            name: remembered.map(|remembered| remembered.member.name.clone()).unwrap_or_default(),
            ou: stays.last().map(|stay| stay.ou.clone()).unwrap_or_default(),
            membership: remembered.map_or(Membership::Unknown, |remembered| remembered.membership),
            regions,
            holes,
            tally,
        })
    }

    /// The lanes that an account has or should have, and since when; those of its own since its first digest.
    fn lanes_of<'a>(&'a self, chains: &'a [Chain]) -> impl Iterator<Item = (&'a Lane, i64)> {
        let region = |lane: &Lane| self.question.region.as_ref().is_none_or(|region| region.as_str() == lane.region);
        self.lanes.iter().filter(move |(lane, _)| region(lane)).filter_map(|(lane, everybodys)| {
            let own = chains.iter().find(|chain| chain.lane == *lane).map(|chain| chain.first);
            Some((lane, everybodys.map(|since| since + HOUR).or(own)?))
        })
    }

    /// When the account's digests can be demanded.
    fn demanded(&self, remembered: Option<&Remembered>, stays: &[Stay], chains: &[Chain]) -> Vec<Stretch> {
        let own = chains.iter().map(|chain| chain.first).min();
        if self.members.is_empty() {
            return own.map(|from| Stretch { from, to: i64::MAX }).into_iter().collect();
        }
        let mut active = stretches(stays.iter().filter(|stay| stay.state.is_expected()));
        // Since when it is one nobody told, but it delivered before it was first asked about.
        let untold = remembered.is_some_and(|remembered| remembered.member.joined.is_none());
        if let (true, Some(own), Some(stay), Some(first)) = (untold, own, stays.first(), active.first_mut())
            && first.from == stay.since.as_second()
        {
            first.from = first.from.min(own);
        }
        demanded(active)
    }

    fn hours(&self, conn: &Connection, chain: Option<&Chain>, since: i64, demanded: &[Stretch]) -> Result<Vec<Hour>> {
        let demanded: Vec<Stretch> =
            demanded.iter().map(|stretch| Stretch { from: stretch.from.max(since), ..*stretch }).collect();
        let (from, to) = (self.frame.from - 2 * HOUR, self.frame.end() + 2 * HOUR);
        let proven = match chain {
            Some(chain) => coverage::proven(conn, chain.id, from, to)?,
            None => Vec::new(),
        };
        let mut hours = self.frame.hours(&demanded, &proven);
        let is_hole =
            |hour: &Hour| !matches!(hour.state, State::Verified | State::Late) && (hour.expected || chain.is_some());
        if let Some(chain) = chain.filter(|_| hours.iter().any(is_hole)) {
            for stretch in coverage::unproven(conn, chain.id, from, to)? {
                if let Some(hour) = self.frame.hour_of_digest(stretch.to).filter(|hour| is_hole(&hours[*hour])) {
                    hours[hour].state = State::Seen;
                }
            }
        }
        if let Some(chain) = chain.filter(|_| hours.iter().any(|hour| hour.state == State::Missing)) {
            let short = Short { root: chain.root.clone(), region: chain.lane.region.clone(), name: String::new() };
            if let Some(place) = places::find(conn, chain.lane.source, &short)? {
                self.logs(conn, place, &mut hours)?;
            }
        }
        Ok(hours)
    }

    /// Hours of which there are logs without a digest.
    fn logs(&self, conn: &Connection, place: i64, hours: &mut [Hour]) -> Result<()> {
        for (at, hour) in hours.iter_mut().enumerate().filter(|(_, hour)| hour.state == State::Missing) {
            let begin = Timestamp::from_second(self.frame.begin(at)).unwrap_or_default().to_zoned(TimeZone::UTC);
            if coverage::has_log(conn, place, &begin.strftime("%Y%m%de%H").to_string())? {
                hour.state = State::Seen;
            }
        }
        Ok(())
    }

    /// A digest's proof of an hour is worth little when what it lists is gone or altered.
    fn trouble(&self, conn: &Connection, chains: &[Chain], regions: &mut BTreeMap<Region, Vec<Hour>>) -> Result<()> {
        let roots: BTreeSet<&str> = chains.iter().map(|chain| chain.root.as_str()).collect();
        for root in roots {
            for (kind, state) in [
                (Kind::LogMissing, State::Missing),
                (Kind::EvidenceRemoved, State::Missing),
                (Kind::LogModified, State::Seen),
            ] {
                for object in coverage::troubled(conn, kind.name(), root)? {
                    let (region, hour) = match key::parse(&object) {
                        ObjectKey::Log(log) => (log.region, self.frame.hour_of(log.delivered.as_second())),
                        ObjectKey::Digest(digest) => (digest.region, self.frame.hour_of_digest(digest.end.as_second())),
                        _ => continue,
                    };
                    if let (Some(hours), Some(hour)) = (regions.get_mut(&region), hour) {
                        hours[hour].state = hours[hour].state.max(state);
                    }
                }
            }
        }
        Ok(())
    }

    pub fn answer(&self, tally: &Tally) -> Answer {
        match tally {
            Tally { missing: 1.., .. } => Answer::Holes,
            Tally { seen: 1.., .. } => Answer::Unknown,
            _ if !self.unknown.is_empty() => Answer::Unknown,
            _ => Answer::Complete,
        }
    }
}

fn stretches<'a>(stays: impl Iterator<Item = &'a Stay>) -> Vec<Stretch> {
    stays
        .map(|stay| Stretch {
            from: stay.since.as_second(),
            to: stay.until.map_or(i64::MAX, |until| until.as_second()),
        })
        .collect()
}

/// When an account lay in a unit; before it was first asked about it lay where it was found.
fn within(stays: &[Stay], unit: &str) -> Vec<Stretch> {
    let mut inside = stretches(stays.iter().filter(|stay| stay.ou.is_in(unit)));
    if let (Some(first), Some(stay)) = (inside.first_mut(), stays.first())
        && first.from == stay.since.as_second()
    {
        first.from = i64::MIN;
    }
    join(inside, 0)
}
