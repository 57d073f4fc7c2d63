//! What happens to the bucket and the queue, made once for many plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use trailwarden::core::finding::Kind;
use trailwarden::core::id::{OrgId, Region};
use trailwarden::seam::{Member, PublicKey};
use trailwarden::world::{Happening, PLANTABLE, Planted, Scale, World};

/// Worlds that are different; more seeds than these differ in their faults only.
const WORLDS: u64 = 200;
/// Kinds of trouble in a world, at most.
const KINDS: usize = 7;

pub struct Script {
    pub org: OrgId,
    pub bucket: String,
    pub members: Vec<Member>,
    pub keys: Vec<(Region, PublicKey)>,
    pub planted: Vec<Planted>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// In the order of time.
    pub happenings: Vec<Happening>,
}

impl Script {
    pub fn of(seed: u64) -> Arc<Self> {
        static MADE: Mutex<BTreeMap<u64, Arc<Script>>> = Mutex::new(BTreeMap::new());
        let number = seed % WORLDS;
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(number).or_insert_with(|| Arc::new(Self::make(number))).clone()
    }

    fn make(number: u64) -> Self {
        let mut die = fastrand::Rng::with_seed(number);
        // Its bomb takes longer to make than all the rest.
        let mut kinds: Vec<Kind> = PLANTABLE.iter().copied().filter(|kind| *kind != Kind::ObjectTooLarge).collect();
        die.shuffle(&mut kinds);
        // Every other world is a short one, in which there is room for faults alone.
        let hours = if number.is_multiple_of(2) { 8 } else { 3 };
        kinds.truncate(if hours < 8 { 0 } else { die.usize(..=KINDS) });
        let scale = Scale { accounts: die.usize(2..=4), regions: die.usize(1..=2), hours, ..Scale::small() };
        let start = "2026-03-01T00:00:00Z".parse().expect("a time");
        let mut world = World::with_trouble(number, scale, start, &kinds).expect("a world can be made");
        let mut happenings = Vec::new();
        while let Some(hour) = world.next_hour().expect("an hour can be made") {
            happenings.extend(hour.happenings);
        }
        Self {
            org: world.org.clone(),
            bucket: world.bucket.clone(),
            members: world.members.clone(),
            keys: world.keys.clone(),
            planted: world.planted().to_vec(),
            start: world.start,
            end: world.end(),
            happenings,
        }
    }

    /// Whether evidence is taken back after it was delivered: a warden that slept through both cannot tell what it was.
    pub fn takes_back(&self) -> bool {
        self.planted.iter().any(|planted| matches!(planted.kind, Kind::EvidenceRemoved | Kind::EvidenceOverwritten))
    }
}
