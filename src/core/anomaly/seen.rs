//! What an account has done before.

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::core::id::Sha256;

/// Names of one aspect; the one that was not met for longest makes room.
const MOST: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    Api,
    Region,
    Principal,
    /// Without what only others know: neither country nor autonomous system.
    Network,
    /// A role, and who assumed it.
    Chain,
}

impl Aspect {
    pub const ALL: [Self; 5] = [Self::Api, Self::Region, Self::Principal, Self::Network, Self::Chain];

    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Region => "region",
            Self::Principal => "principal",
            Self::Network => "network",
            Self::Chain => "chain",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.name() == text)
    }
}

/// One account's memory: at most 4,096 names of each aspect, 12 bytes each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen([Known; 5]);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    /// The day on which it was looked at first; days are counted from 1970.
    since: Option<u32>,
    /// Hashes with the last day, in the order of hashes.
    names: Vec<(u64, u32)>,
}

impl Seen {
    /// Whether a name that was met on a day is new: not met for as long as a plan remembers, or never. In the days that it gives for
    /// learning, counted from the first `today`, nothing is.
    pub fn look(&mut self, aspect: Aspect, name: &str, [day, today]: [u32; 2], plan: &Plan) -> bool {
        let Some(known) = self.0.get_mut(aspect as usize) else { return false };
        let learned = today >= known.since.get_or_insert(today).saturating_add(plan.learning);
        known.meet(name, day, plan.memory) && learned
    }

    /// What is not looked at any more is learned anew when it is looked at again. Answers whether there was anything.
    pub fn forget(&mut self, aspect: Aspect) -> bool {
        self.0.get_mut(aspect as usize).is_some_and(|known| std::mem::take(known) != Known::default())
    }
}

impl Known {
    /// Whether it is new. The hash is one that nobody can aim at.
    fn meet(&mut self, name: &str, day: u32, memory: u32) -> bool {
        let Sha256(hash) = Sha256::of(name.as_bytes());
        let hash = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        match self.names.binary_search_by_key(&hash, |(hash, _)| *hash) {
            Ok(at) => self.names.get_mut(at).is_some_and(|(_, last)| {
                let forgotten = day > last.saturating_add(memory);
                *last = day.max(*last);
                forgotten
            }),
            Err(at) => {
                self.names.insert(at, (hash, day));
                if self.names.len() > MOST {
                    let others = self.names.iter().enumerate().filter(|(other, _)| *other != at);
                    let oldest = others.min_by_key(|(_, (_, last))| *last).map(|(at, _)| at);
                    oldest.into_iter().for_each(|at| _ = self.names.remove(at));
                }
                true
            }
        }
    }
}
