//! The values that were met most often, in little room.

use serde::{Deserialize, Serialize};

/// As many as an Insights record names.
const MOST: usize = 5;
/// Bytes of a value.
const LONGEST: usize = 256;

/// Counts are exact as long as there are few values; a new one then takes the place, and the count, of the rarest ("space
/// saving", Metwally et al. 2005): what is frequent is never missed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Top(Vec<(Box<str>, u32)>);

impl Top {
    pub fn add(&mut self, value: &str, count: u32) {
        let end = value.floor_char_boundary(LONGEST);
        let value = value.get(..end).unwrap_or_default();
        if let Some((_, own)) = self.0.iter_mut().find(|(own, _)| **own == *value) {
            *own = own.saturating_add(count);
            return;
        }
        if self.0.len() < MOST {
            self.0.push((value.into(), count));
        } else if let Some(rarest) = self.0.iter_mut().min_by_key(|(_, count)| *count) {
            *rarest = (value.into(), rarest.1.saturating_add(count));
        }
    }

    pub fn take(&mut self, other: Self) {
        other.0.iter().for_each(|(value, count)| self.add(value, *count));
    }

    /// One of seven days is forgotten.
    pub fn fade(&mut self) {
        self.0.iter_mut().for_each(|(_, count)| *count -= count.div_ceil(7));
        self.0.retain(|(_, count)| *count > 0);
    }

    /// Values with their counts for each minute, the most frequent first.
    pub fn rates(&self, minutes: f64) -> Vec<(String, f64)> {
        let mut rates: Vec<_> =
            self.0.iter().map(|(value, count)| (value.to_string(), f64::from(*count) / minutes)).collect();
        rates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        rates
    }
}
