//! What an account has done before.

use serde::{Deserialize, Serialize};

use super::call::{Call, named};
use crate::core::id::Sha256;

/// Names of one aspect; the one that was not met for longest makes room.
const MOST: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One account's memory: at most 4,096 names of each aspect, 12 bytes each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The first day that anything was seen; days are counted from 1970.
    since: Option<u32>,
    aspects: [Vec<(u64, u32)>; 5],
}

impl Seen {
    /// What of a call is new: not met for `memory` days, or never. Within the first `learning` days nothing is.
    pub fn look<'c>(
        &mut self,
        call: &'c Call<'_>,
        learning: u32,
        memory: u32,
    ) -> Vec<(Aspect, std::borrow::Cow<'c, str>)> {
        let day = call.minute / super::DAY;
        let since = *self.since.get_or_insert(day);
        let learned = day >= since.saturating_add(learning);
        let names = named(call).into_iter().filter_map(|(aspect, name)| Some((aspect, name?)));
        let new = names.filter(|(aspect, name)| self.meet(*aspect, name, day, memory));
        let new: Vec<_> = new.collect();
        if learned { new } else { Vec::new() }
    }

    /// Whether it is new. The hash is one that nobody can aim at.
    fn meet(&mut self, aspect: Aspect, name: &str, day: u32, memory: u32) -> bool {
        let Sha256(hash) = Sha256::of(name.as_bytes());
        let hash = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let Some(known) = self.aspects.get_mut(aspect as usize) else { return false };
        match known.binary_search_by_key(&hash, |(hash, _)| *hash) {
            Ok(at) => known.get_mut(at).is_some_and(|(_, last)| {
                let forgotten = day > last.saturating_add(memory);
                *last = day.max(*last);
                forgotten
            }),
            Err(at) => {
                known.insert(at, (hash, day));
                if known.len() > MOST {
                    let others = known.iter().enumerate().filter(|(other, _)| *other != at);
                    let oldest = others.min_by_key(|(_, (_, last))| *last).map(|(at, _)| at);
                    oldest.into_iter().for_each(|at| _ = known.remove(at));
                }
                true
            }
        }
    }
}
