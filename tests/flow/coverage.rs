//! An organization of sixty accounts that come, move, are suspended and leave, hour by hour: the warden asks it, is throttled,
//! and its matrix is that of a truth which counts differently.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use trailwarden::aws::{Aws, Options};
use trailwarden::core::chain::ChainId;
use trailwarden::core::coverage::State;
use trailwarden::core::digest::{Previous, Verdict};
use trailwarden::core::id::{AccountId, OrgId, Region, Sha256};
use trailwarden::core::key::{DigestKey, LogKey, LogKind, Root};
use trailwarden::core::shard::Shard;
use trailwarden::delivery::Roster;
use trailwarden::env::Env;
use trailwarden::store::digests::{self, NewDigest};
use trailwarden::store::objects::{self, Listing, NewObject};
use trailwarden::store::{Store, Tx, check, members};
use trailwarden::verify::Fold;
use trailwarden::verify::coverage::{Answer, Covered, Matrix, Question};

use crate::common::emulator::loader;
use crate::common::organization_stub::{Account, Organization, OrganizationStub, ROOT};

const START: i64 = 1_772_323_200; // 2026-03-01T00:00:00Z
const HOURS: i64 = 72;
const HOUR: i64 = 3_600;
const GRACE: i64 = 90 * 60;
const ACCOUNTS: usize = 60;
const ORG: &str = "o-a1b2c3d4e5";
/// Three that everybody has, one that everybody has from an hour on, one to opt in to.
const REGIONS: [&str; 5] = ["eu-west-1", "eu-north-1", "us-east-1", "mx-central-1", "me-south-1"];
const NEW_REGION: (usize, i64) = (3, 50);
const OPTED: usize = 4;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(START + hour * HOUR).expect("a time")
}

fn account(nth: usize) -> AccountId {
    AccountId::parse(&format!("{:012}", 7 + 1_000_001 * nth)).expect("an account")
}

/// What becomes of whom, by the hour.
enum Act {
    Joins(usize, &'static str),
    Moves(usize, &'static str),
    Is(usize, &'static str),
    Leaves(usize),
    Throttled(u32),
}

fn acts() -> Vec<(i64, Act)> {
    vec![
        (5, Act::Throttled(8)),
        (10, Act::Joins(60, "ou-prod")),
        (12, Act::Moves(7, "ou-dev")),
        (20, Act::Is(9, "SUSPENDED")),
        (21, Act::Throttled(13)),
        (30, Act::Is(9, "ACTIVE")),
        (31, Act::Leaves(11)),
        (40, Act::Joins(11, "ou-dev")),
        (41, Act::Is(13, "PENDING_CLOSURE")),
        (44, Act::Is(13, "CLOSED")),
        (45, Act::Leaves(14)),
        (47, Act::Joins(61, "ou-dev")),
        (47, Act::Leaves(61)),
        (48, Act::Joins(62, "ou-prod")),
        (60, Act::Leaves(60)),
    ]
}

fn organization() -> Organization {
    let unit = |id: &str, name: &str, above: &str| (id.to_owned(), name.to_owned(), above.to_owned());
    let units = vec![
        unit("ou-work", "Workloads", ROOT),
        unit("ou-prod", "Prod", "ou-work"),
        unit("ou-dev", "Dev", "ou-work"),
        unit("ou-ops", "Ops", ROOT),
    ];
    let parents = [ROOT, "ou-prod", "ou-dev", "ou-ops", "ou-prod", "ou-work"];
    let accounts = (0..ACCOUNTS).map(|nth| member(nth, parents[nth % parents.len()], 1_600_000_000)).collect();
    Organization { id: ORG.into(), units, accounts, per_page: 20, ..Organization::default() }
}

fn member(nth: usize, unit: &str, joined: i64) -> Account {
    let id = account(nth).to_string();
    Account { id, name: format!("account {nth}"), state: "ACTIVE", parent: unit.into(), joined }
}

impl Act {
    fn happens(&self, organization: &mut Organization, hour: i64) {
        let of = |nth: usize| account(nth).to_string();
        let find = |organization: &mut Organization, nth| {
            organization.accounts.iter().position(|account| account.id == of(nth)).expect("it is a member")
        };
        match self {
            Self::Joins(nth, unit) => organization.accounts.push(member(*nth, unit, START + hour * HOUR)),
            Self::Leaves(nth) => organization.accounts.retain(|account| account.id != of(*nth)),
            Self::Moves(nth, unit) => {
                let at = find(organization, *nth);
                organization.accounts[at].parent = (*unit).into();
            }
            Self::Is(nth, state) => {
                let at = find(organization, *nth);
                organization.accounts[at].state = state;
            }
            Self::Throttled(calls) => organization.refusals = *calls,
        }
    }
}

/// Whether a chain delivers a digest, whose end is in this hour, and how.
fn delivers(nth: usize, region: usize, hour: i64) -> Option<Verdict> {
    let silent = match (nth, region, hour) {
        // Never heard of at all; never in one region.
        (3, ..) | (4, 1, _) => true,
        // Everywhere for a while, or in one region for an hour, or to the end.
        (5, _, 20..24) | (6, 0, 33) | (8, 2, 50..) => true,
        // Joined and never delivered.
        (62, ..) => true,
        (60, _, ..=10 | 60..) | (11, _, 31..=41) | (14, _, 47..) | (9, _, 25..30) => true,
        (_, OPTED, _) => nth % 10 != 1,
        (_, region, hour) => region == NEW_REGION.0 && hour < NEW_REGION.1,
    };
    let verdict = match (nth, region, hour) {
        (10, 1, 40..43) => Verdict::Unchecked,
        (10, 2, 40) => Verdict::Bad,
        _ => Verdict::Good,
    };
    (!silent && nth <= 60).then_some(verdict)
}

/// Each chain has its minute; nobody's lies so that it decides when most have a region.
fn minute(nth: usize, region: usize) -> i64 {
    i64::try_from((nth * 37 + region * 101) % 24).expect("small") * 60 + 13
}

/// Start, end and verdict of a digest.
type Sent = (i64, i64, Verdict);

struct Warden {
    store: Store,
    env: Env,
    source: i64,
    last: BTreeMap<(usize, usize), Previous>,
    sent: BTreeMap<(usize, usize), Vec<Sent>>,
    _dir: tempfile::TempDir,
}

fn root(nth: usize) -> Root {
    Root { prefix: String::new(), org: OrgId::parse(ORG).ok(), account: account(nth) }
}

fn region(nth: usize) -> Region {
    Region::parse(REGIONS[nth]).expect("a region")
}

impl Warden {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual(at(0), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let source = store.write(|tx| objects::source_id(tx, "org")).await.expect("a source");
        Self { store, env, source, last: BTreeMap::new(), sent: BTreeMap::new(), _dir: dir }
    }

    fn row(&self, key: String, kind: i64, at: Timestamp, listed: Listing) -> NewObject {
        NewObject {
            source: self.source,
            sha: Some(Sha256::of(key.as_bytes())),
            key,
            version: None,
            kind,
            delivered: at,
            state: objects::State::Admitted,
            listed,
            size: 1_000,
            etag: None,
            records: 0,
            rejects: 0,
        }
    }

    fn digest(&mut self, nth: usize, place: usize, hour: i64, verdict: Verdict) -> (NewObject, DigestKey, NewDigest) {
        let end = Timestamp::from_second(START + hour * HOUR + minute(nth, place)).expect("a time");
        let key = DigestKey {
            root: root(nth),
            region: region(place),
            trail: "org-main".into(),
            home: region(0),
            end,
            backfill: false,
        };
        let row = self.row(key.format(), objects::DIGEST_KIND, end, Listing::NotExpected);
        let (sha, signature) = (row.sha.expect("a hash"), row.key.as_bytes().to_vec());
        let named = Previous { bucket: "b".into(), key: row.key.clone(), sha, signature: signature.clone() };
        let start = end - SignedDuration::from_hours(1);
        self.sent.entry((nth, place)).or_default().push((start.as_second(), end.as_second(), verdict));
        let digest = NewDigest {
            source: self.source,
            key: row.key.clone(),
            chain: 0,
            start,
            end,
            verdict,
            faulty: false,
            sha: Some(sha),
            signature: Some(signature),
            previous: self.last.insert((nth, place), named),
            logs: 0,
            lacks: None,
        };
        (row, key, digest)
    }

    /// The digests that end in an hour, and a log of a chain that has lost its digests.
    async fn deliver(&mut self, hour: i64) {
        let mut digests = Vec::new();
        for nth in 0..=62 {
            for place in 0..REGIONS.len() {
                if let Some(verdict) = delivers(nth, place, hour) {
                    digests.push(self.digest(nth, place, hour, verdict));
                }
            }
        }
        let log = (hour == 55).then(|| {
            let delivered = at(hour) + SignedDuration::from_mins(20);
            let key = LogKey {
                root: root(8),
                kind: LogKind::Events,
                region: region(2),
                date: delivered.to_zoned(jiff::tz::TimeZone::UTC).date(),
                delivered,
                unique: "aBcDeFgHiJkLmNoP".into(),
                odd_name: false,
            };
            self.row(key.format(), 0, delivered, Listing::Told)
        });
        let source = self.source;
        let step = move |tx: &Tx<'_>| {
            for object in log.iter() {
                objects::insert(tx, object)?;
            }
            for (row, key, digest) in digests {
                objects::insert(tx, &row)?;
                let chain = digests::chain(tx, source, &ChainId::of(&key))?.id;
                let good = digest.verdict == Verdict::Good;
                digests::put(tx, &NewDigest { chain, ..digest })?;
                digests::set_joined(tx, source, &row.key, true)?;
                if good {
                    digests::extend_chain(tx, chain, key.end - SignedDuration::from_hours(1), key.end)?;
                }
            }
            Ok(())
        };
        self.store.write(step).await.expect("a step");
    }

    async fn asked(&self, question: Question) -> (Matrix, BTreeMap<AccountId, Covered>, Answer) {
        let look = move |conn: &rusqlite::Connection| {
            let matrix = Matrix::prepare(conn, question)?;
            let mut covered = BTreeMap::new();
            let mut total = trailwarden::core::coverage::Tally::default();
            for account in matrix.accounts() {
                if let Some(one) = matrix.of(conn, account)? {
                    total.merge(&one.tally);
                    covered.insert(account, one);
                }
            }
            let answer = matrix.answer(&total);
            Ok((matrix, covered, answer))
        };
        self.store.read(look).await.expect("a look")
    }
}

fn question(now: Timestamp) -> Question {
    let grace = SignedDuration::from_secs(GRACE);
    Question {
        shard: Shard::WHOLE,
        from: Some(at(2)),
        to: now,
        now,
        grace,
        account: None,
        ou: None,
        region: None,
        trail: None,
    }
}

/// What the organization said at each hour: state and unit of each account.
type Told = Vec<BTreeMap<usize, (&'static str, String)>>;

/// Demanded of an hour is whoever was an active member an hour before it and an hour after; of the hours before it was gone
/// nobody knows in which it left.
fn demanded(told: &Told, nth: usize, hour: i64) -> bool {
    let state =
        |hour: i64| told.get(usize::try_from(hour).unwrap_or(0)).map(|told| told.get(&nth).map(|(state, _)| *state));
    let active = |hour| state(hour).is_none_or(|state| state == Some("ACTIVE"));
    active(hour - 1) && active(hour) && active(hour + 1) && state(hour + 2).is_none_or(|state| state.is_some())
}

/// Cell by cell, from what was sent and what the organization said.
fn truth(warden: &Warden, told: &Told, nth: usize, place: usize, hour: i64, now: i64) -> (bool, State) {
    let middle = START + hour * HOUR + HOUR / 2;
    let sent = warden.sent.get(&(nth, place)).map(Vec::as_slice).unwrap_or_default();
    let within = |(start, end, _): &&Sent| *start <= middle && middle < *end;
    let digest = sent.iter().find(within).map(|(.., verdict)| *verdict);
    let has = match place {
        OPTED => !sent.is_empty(),
        place => place != NEW_REGION.0 || hour >= NEW_REGION.1,
    };
    let demanded = has && demanded(told, nth, hour) && middle + HOUR <= now;
    let state = match digest {
        Some(Verdict::Good) => State::Verified,
        _ if demanded && middle + HOUR + GRACE > now => State::Late,
        Some(_) => State::Seen,
        None if demanded && (nth, place, hour) == (8, 2, 55) => State::Seen,
        None if demanded => State::Missing,
        None => State::Nothing,
    };
    (demanded, state)
}

fn compare(
    warden: &Warden,
    told: &Told,
    matrix: &Matrix,
    covered: &BTreeMap<AccountId, Covered>,
) -> BTreeMap<State, usize> {
    let mut seen: BTreeMap<State, usize> = BTreeMap::new();
    for nth in 0..=62 {
        for (place, name) in REGIONS.iter().enumerate() {
            for (cell, hour) in (2..).take(matrix.frame.hours).enumerate() {
                let hours = covered.get(&account(nth)).and_then(|covered| covered.regions.get(&region(place)));
                let found = hours.map_or((false, State::Nothing), |hours| (hours[cell].expected, hours[cell].state));
                let wanted = truth(warden, told, nth, place, hour, matrix.frame.now);
                assert_eq!(found, wanted, "account {nth} in {name} at {}", at(hour));
                *seen.entry(wanted.1).or_default() += 1;
            }
        }
    }
    seen
}

#[tokio::test]
async fn the_matrix_of_an_organization_in_motion_is_right_at_every_hour() {
    let stub = OrganizationStub::start(organization());
    let aws = Aws::connect_from(loader(&stub.stub.endpoint), &Options::default()).await;
    let seam = aws.organizations().expecting(OrgId::parse(ORG).ok());
    let mut warden = Warden::new().await;
    let roster = Roster::new(std::sync::Arc::new(seam), warden.store.clone());
    let (mut told, acts): (Told, _) = (Vec::new(), acts());
    for hour in 0..HOURS {
        for (_, act) in acts.iter().filter(|(when, _)| *when == hour) {
            stub.change(|organization| act.happens(organization, hour));
        }
        roster.refresh().await.expect("the organization answers, however often it says to slow down");
        told.push(stub.change(|organization| {
            let nth = |id: &str| (0..=62).find(|nth| account(*nth).as_str() == id).expect("one of ours");
            let told = organization.accounts.iter();
            told.map(|account| (nth(&account.id), (account.state, account.parent.clone()))).collect()
        }));
        warden.deliver(hour).await;
        warden.env.advance(SignedDuration::from_hours(1));
        if [6, 24, 50].contains(&hour) {
            let (matrix, covered, _) = warden.asked(question(warden.env.now())).await;
            compare(&warden, &told, &matrix, &covered);
        }
    }
    let now = warden.env.now();
    let (matrix, covered, answer) = warden.asked(question(now)).await;
    assert!(matrix.unknown.is_empty(), "{:?}", matrix.unknown);
    assert_eq!(answer, Answer::Holes);
    let seen = compare(&warden, &told, &matrix, &covered);
    assert!(State::ALL.iter().all(|state| seen.get(state).is_some_and(|count| *count > 1)), "{seen:?}");
    holes(&covered);
    units(&warden, &told, now).await;
    history(&warden).await;

    // Folded, it says the same.
    warden.env.advance(SignedDuration::from_hours(24 * 30));
    let fold = Fold::new(warden.store.clone(), std::time::Duration::from_secs(86_400));
    assert!(fold.run(warden.source).await.expect("it can be folded").digests > 5_000);
    let (matrix, covered, _) = warden.asked(question(now)).await;
    compare(&warden, &told, &matrix, &covered);
    let report = check::now(warden.store.path(), None).expect("it can be looked at");
    assert!(report.good, "{:?}", report.fault());
}

/// The exact hours.
fn holes(covered: &BTreeMap<AccountId, Covered>) {
    let of = |nth: usize| -> Vec<String> {
        let holes = covered[&account(nth)].holes.iter();
        holes.map(|hole| format!("{} {} {} {}", hole.region, hole.from, hole.hours, hole.state.name())).collect()
    };
    assert_eq!(of(6), ["eu-west-1 2026-03-02T08:00:00Z 1 missing"]);
    assert_eq!(of(5).len(), 3);
    assert!(of(5).iter().all(|hole| hole.ends_with("2026-03-01T19:00:00Z 4 missing")), "{:?}", of(5));
    assert!(of(0).is_empty());
}

/// Of a unit only the time that an account lay in it.
async fn units(warden: &Warden, told: &Told, now: Timestamp) {
    let units = [("ou-prod", BTreeSet::from([1, 4, 7, 60])), ("Workloads/Dev", BTreeSet::from([2, 7, 11]))];
    for (unit, wanted) in units {
        let question = Question { ou: Some(unit.to_owned()), ..question(now) };
        let (_, covered, _) = warden.asked(question).await;
        for nth in wanted {
            assert!(covered.contains_key(&account(nth)), "{unit} {nth}");
        }
        let moved = &covered[&account(7)].regions[&region(0)];
        let inside = moved.iter().enumerate().filter(|(_, hour)| hour.expected).map(|(cell, _)| cell + 2);
        let (first, last) = (inside.clone().min(), inside.max());
        let wanted = if unit == "ou-prod" { (Some(2), Some(11)) } else { (Some(12), Some(70)) };
        assert_eq!((first, last), wanted, "{unit}");
        let strangers =
            covered.keys().filter(|account| told.iter().flatten().all(|(nth, _)| self::account(*nth) != **account));
        assert_eq!(strangers.count(), 0);
    }
}

/// Who was a member when, and where.
async fn history(warden: &Warden) {
    let stays = async |nth: usize| -> Vec<String> {
        let stays = warden.store.read(move |conn| members::stays(conn, account(nth))).await.expect("a look");
        let hour = |time: Timestamp| (time.as_second() - START).max(-HOUR) / HOUR;
        let told = |stay: &members::Stay| {
            let until = stay.until.map(|until| hour(until).to_string()).unwrap_or_default();
            format!("{}-{until} {} {}", hour(stay.since), stay.ou, stay.state.name())
        };
        stays.iter().map(told).collect()
    };
    assert_eq!(stays(7).await, ["-1-12 Root/Workloads/Prod active", "12- Root/Workloads/Dev active"]);
    assert_eq!(stays(11).await, ["-1-30 Root/Workloads active", "40- Root/Workloads/Dev active"]);
    let closed = [
        "-1-41 Root/Workloads/Prod active",
        "41-44 Root/Workloads/Prod pending_closure",
        "44- Root/Workloads/Prod closed",
    ];
    assert_eq!(stays(13).await, closed);
    assert_eq!(stays(60).await, ["10-59 Root/Workloads/Prod active"]);
    assert!(stays(61).await.is_empty(), "it came and went between two questions");
}
