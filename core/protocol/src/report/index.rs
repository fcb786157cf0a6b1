//! A hash index over rows that live elsewhere: from what a row is called to its number.
//!
//! Names come from programs and from peers, and are looked up for each attribute that is reported.
//! The rows hold the names; this holds only their numbers, by hash, in open addressing with steps
//! of one. It is never more than half full, so a search ends soon, and nothing is ever taken out.
//!
//! The hash is seeded by whoever owns the index: with a seed that a peer cannot know, it cannot
//! choose names that meet in one place.

use alloc::vec;
use alloc::vec::Vec;

/// An empty place.
const NONE: u32 = u32::MAX;
/// Places at first.
const PLACES_MIN: usize = 16;

/// From hashes to numbers of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Their number is a power of two.
    places: Vec<u32>,
    used: usize,
}

impl Index {
    /// Without rows.
    pub(crate) const EMPTY: Index = Index { places: Vec::new(), used: 0 };

    /// The row with that hash of which `is` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.places.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        loop {
            let row = *self.places.get(place)?;
            if row == NONE {
                return None;
            }
            if is(row) {
                return Some(row);
            }
            place = (place + 1) & mask;
        }
    }

    /// Adds a row that is not there; `hash_of` tells the hash of any row that is.
    pub(crate) fn insert(&mut self, hash: u64, row: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 2 > self.places.len() {
            let places = vec![NONE; (self.places.len() * 2).max(PLACES_MIN)];
            let old = core::mem::replace(&mut self.places, places);
            old.into_iter().filter(|row| *row != NONE).for_each(|row| self.put(hash_of(row), row));
        }
        self.used += 1;
        self.put(hash, row);
    }

    fn put(&mut self, hash: u64, row: u32) {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        while self.places[place] != NONE {
            place = (place + 1) & mask;
        }
        self.places[place] = row;
    }
}

/// Mixes parts of a name into a hash: a multiplication for eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

/// Odd, with about as many ones as zeros: 2⁶⁴ by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hash {
    #[inline]
    pub(crate) fn new(seed: u64) -> Hash {
        Hash(seed)
    }

    #[inline]
    fn word(self, word: u64) -> Hash {
        // The high half of the product goes back into the low one, which is what is looked at.
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        Hash((product as u64) ^ (product >> 64) as u64)
    }

    /// The bytes, and where they end: `ab`, `c` is not `a`, `bc`.
    #[inline]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Hash {
        let mut hash = self.word(bytes.len() as u64 ^ FACTOR);
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            hash = hash.word(u64::from_le_bytes(*chunk));
        }
        if rest.is_empty() {
            return hash;
        }
        let last = match bytes.last_chunk::<8>() {
            // Some bytes twice: the length tells names apart that differ in nothing else.
            Some(last) => u64::from_le_bytes(*last),
            None => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        hash.word(last)
    }

    #[inline]
    pub(crate) fn end(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::format;
    use std::string::String;

    fn hash(name: &str) -> u64 {
        Hash::new(7).bytes(name.as_bytes()).end()
    }

    #[test]
    fn every_row_is_found_by_its_name_and_no_other_is() {
        let names: Vec<String> = (0..5000).map(|n| format!("name-{n}")).collect();
        let mut index = Index::default();
        assert_eq!(index.find(hash("name-0"), |_| true), None);
        for (row, name) in names.iter().enumerate() {
            index.insert(hash(name), row as u32, |row| hash(&names[row as usize]));
        }
        for (row, name) in names.iter().enumerate() {
            let found = index.find(hash(name), |row| names[row as usize] == *name);
            assert_eq!(found, Some(row as u32));
        }
        assert_eq!(index.find(hash("other"), |row| names[row as usize] == "other"), None);
        assert!(index.places.len() <= 4 * names.len());
    }

    #[test]
    fn names_that_differ_in_one_letter_or_in_where_they_end_have_other_hashes() {
        let mut seen = HashSet::new();
        for length in 0..40 {
            assert!(seen.insert(hash(&"a".repeat(length))), "{length}");
            for place in 0..length {
                let mut name = "a".repeat(length);
                name.replace_range(place..=place, "b");
                assert!(seen.insert(hash(&name)), "{name}");
            }
        }
        let two =
            |one: &str, two: &str| Hash::new(7).bytes(one.as_bytes()).bytes(two.as_bytes()).end();
        assert_ne!(two("ab", "c"), two("a", "bc"));
        assert_ne!(Hash::new(1).bytes(b"abc").end(), Hash::new(2).bytes(b"abc").end());
    }
}
