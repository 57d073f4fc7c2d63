//! Logs that were just admitted, for the archive: it need not fetch them again. Only ever a shortcut: whatever is not in here,
//! it reads from the bucket.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A source, a key, and a version that may be empty.
type Name = (i64, String, String);

#[derive(Default)]
pub struct Handoff {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bodies: HashMap<Name, Vec<u8>>,
    bytes: usize,
}

impl Handoff {
    /// `most`: bytes of stored objects. Nothing is kept of zero.
    pub fn new(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    pub fn is_on(&self) -> bool {
        self.most > 0
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an object as it is stored, if there is room for it.
    pub fn put(&self, source: i64, key: &str, version: Option<&str>, body: Vec<u8>) {
        let mut held = self.held();
        if held.bytes + body.len() > self.most {
            return;
        }
        held.bytes += body.len();
        let before = held.bodies.insert((source, key.to_owned(), version.unwrap_or_default().to_owned()), body);
        held.bytes -= before.map_or(0, |body| body.len());
    }

    pub fn take(&self, source: i64, key: &str, version: Option<&str>) -> Option<Vec<u8>> {
        let mut held = self.held();
        let body = held.bodies.remove(&(source, key.to_owned(), version.unwrap_or_default().to_owned()))?;
        held.bytes -= body.len();
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_no_more_than_it_may_and_gives_each_once() {
        let handoff = Handoff::new(10);
        handoff.put(1, "a", None, vec![0; 6]);
        handoff.put(1, "b", Some("v"), vec![1; 6]);
        assert_eq!(handoff.take(1, "b", Some("v")), None, "no room");
        handoff.put(1, "a", None, vec![2; 4]);
        assert_eq!(handoff.take(2, "a", None), None);
        assert_eq!(handoff.take(1, "a", None), Some(vec![2; 4]));
        assert_eq!(handoff.take(1, "a", None), None);
        handoff.put(1, "b", Some("v"), vec![1; 10]);
        assert_eq!(handoff.take(1, "b", Some("v")), Some(vec![1; 10]));
        assert!(!Handoff::default().is_on());
    }
}
