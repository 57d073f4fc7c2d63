//! A made-up day, taken apart: what lies in the bucket, what the queue is told, and what happens only afterwards.

use std::collections::BTreeSet;

use jiff::Timestamp;
use trailwarden::core::finding::Kind;
use trailwarden::core::id::{OrgId, Region};
use trailwarden::env::Env;
use trailwarden::seam::{Member, PublicKey};
use trailwarden::world::{Happening, Planted, Scale, Step, World};

pub struct Acts {
    pub org: OrgId,
    pub bucket: String,
    pub members: Vec<Member>,
    pub keys: Vec<(Region, PublicKey)>,
    pub planted: Vec<Planted>,
    pub end: Timestamp,
    /// In the order of time.
    pub first: Vec<Happening>,
    /// Evidence that is removed or overwritten, and all that is said of it from then on: to be played when the rest is settled.
    pub late: Vec<Happening>,
}

/// A world that ends with the last full hour.
pub fn world(seed: u64, scale: Scale, kinds: &[Kind]) -> World {
    let hour = Env::system().now().as_second() / 3_600;
    let start = Timestamp::from_second((hour - i64::from(scale.hours)) * 3_600).expect("a time of ours");
    World::with_trouble(seed, scale, start, kinds).expect("a world can be made")
}

impl Acts {
    pub fn of(mut world: World) -> Self {
        let (mut first, mut late) = (Vec::new(), Vec::new());
        let (mut there, mut disturbed) = (BTreeSet::new(), Vec::<String>::new());
        while let Some(hour) = world.next_hour().expect("an hour can be made") {
            for happening in hour.happenings {
                let is_late = match &happening.step {
                    Step::Put { key, .. } => !there.insert(key.clone()),
                    Step::Remove { .. } => true,
                    Step::Message { body } => disturbed.iter().any(|name| contains(body, name)),
                };
                if let (true, Step::Put { key, .. } | Step::Remove { key }) = (is_late, &happening.step) {
                    disturbed.push(name(key).to_owned());
                }
                if is_late { late.push(happening) } else { first.push(happening) }
            }
        }
        Self {
            org: world.org.clone(),
            bucket: world.bucket.clone(),
            members: world.members.clone(),
            keys: world.keys.clone(),
            planted: world.planted().to_vec(),
            end: world.end(),
            first,
            late,
        }
    }

    /// Keys that were put, with their bodies.
    pub fn puts(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.first.iter().filter_map(|happening| match &happening.step {
            Step::Put { key, body, .. } => Some((key, body)),
            _ => None,
        })
    }

    pub fn messages(happenings: &[Happening]) -> Vec<Vec<u8>> {
        let bodies = happenings.iter().filter_map(|happening| match &happening.step {
            Step::Message { body } => Some(body.clone()),
            _ => None,
        });
        bodies.collect()
    }
}

/// The last part of a key, which every envelope writes in the same way.
fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

pub fn contains(body: &[u8], text: &str) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| body.contains(text))
}
