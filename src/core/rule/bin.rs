//! Steps that are filed together: of one name, of one service, or of whatever has an error.

use super::clue::{Clue, Gate, Written};
use crate::core::record::Member;

/// Texts that are looked for all at once before each is looked for on its own: from how many on, and how many at most.
const FEW: usize = 4;
const MANY: usize = 64;

/// Where a step may be what a record is about.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number.
    pub step: u32,
    /// The number of the service that the record must be of; none is 0.
    pub source: u32,
    /// What the record's text must have besides.
    pub clues: Box<[Clue]>,
}

#[derive(Debug, Default)]
pub(super) struct Bin {
    entries: Vec<Entry>,
    gated: Box<[(Gate, Box<[Entry]>)]>,
}

impl Bin {
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Puts those together that look for texts in one member. None comes afterwards.
    pub fn close(&mut self) {
        let (mut members, mut gated) = (Vec::<(Option<Member>, Vec<Entry>)>::new(), Vec::new());
        for entry in std::mem::take(&mut self.entries) {
            let member = entry.clues.first().filter(|clue| clue.needle().is_some()).map(Clue::member);
            match member.map(|member| (member, members.iter_mut().find(|(own, _)| *own == member))) {
                None => self.entries.push(entry),
                Some((_, Some((_, entries)))) => entries.push(entry),
                Some((member, None)) => members.push((member, vec![entry])),
            }
        }
        for (member, mut entries) in members {
            while entries.len() >= FEW {
                let some: Box<[Entry]> = entries.drain(..entries.len().min(MANY)).collect();
                match Gate::new(member, some.iter().filter_map(|entry| entry.clues.first()?.needle())) {
                    Some(gate) => gated.push((gate, some)),
                    None => self.entries.extend(some),
                }
            }
            self.entries.extend(entries);
        }
        self.entries.shrink_to_fit();
        self.gated = gated.into();
    }

    /// Steps that may be what a record is about.
    pub fn take(&self, source: u32, written: &Written<'_>, wanted: &mut Vec<u32>) {
        let mut take = |entries: &[Entry]| {
            let of_source = entries.iter().filter(|entry| entry.source == 0 || entry.source == source);
            let about = of_source.filter(|entry| entry.clues.iter().all(|clue| clue.is_in(written)));
            wanted.extend(about.map(|entry| entry.step));
        };
        take(&self.entries);
        self.gated.iter().filter(|(gate, _)| gate.is_open(written)).for_each(|(_, entries)| take(entries));
    }
}
