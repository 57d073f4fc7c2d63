//! A table by names that rules give, whatever case they are in: some languages compare without.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

#[derive(Debug, Default)]
pub(super) struct Table<T>(HashTable<(Box<str>, T)>);

impl<T: Default> Table<T> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.find(hash(name), |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn entry(&mut self, name: &str) -> &mut T {
        let entry = self.0.entry(hash(name), |(own, _)| own.eq_ignore_ascii_case(name), |(own, _)| hash(own));
        let entry = match entry {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert((name.into(), T::default())),
        };
        &mut entry.into_mut().1
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

/// The same for a name in other case, and for few others. Quick, and no more: nobody makes a table of names that others choose.
fn hash(name: &str) -> u64 {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ (word | SMALL)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = name.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(name.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let hash = mix(hash, rest);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        let mut table: Table<usize> = Table::default();
        let name = |number: usize| format!("Name{number}OfACall{}", "x".repeat(number % 17));
        for number in 0..2_000 {
            *table.entry(&name(number)) += number;
            *table.entry(&name(number).to_ascii_uppercase()) += 1;
        }
        assert_eq!(table.len(), 2_000);
        for number in 0..2_000 {
            assert_eq!(table.get(&name(number).to_ascii_lowercase()), Some(&(number + 1)));
        }
        for other in ["", "Name2000", "Name0OfACal", "Name0OfACall\0", "n\u{e1}me0ofacall"] {
            assert_eq!(table.get(other), None);
        }
        // bytes that differ in the bit of the case, and are no letters
        table.entry("a@");
        assert_eq!((table.get("A@"), table.get("a`")), (Some(&0), None));
    }
}
