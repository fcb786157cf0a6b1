//! Which values belong to which sequences: the table under [`call`](crate::call) and
//! [`serve`](crate::serve).
//!
//! Open addressing with linear probing, at most half full, and deletion that closes the gap, so
//! that there are no tombstones and a table in steady use never needs to be rebuilt. Sequences are
//! multiplied by a constant and the top bits taken: consecutive ones spread evenly (Knuth, The Art
//! of Computer Programming 3, §6.4). A peer that picks its sequences to collide slows down its own
//! connection alone, by a walk over at most as many entries as it may have in flight.
//!
//! An idle connection holds no memory: an empty table that has grown large gives it back.
use alloc::vec::Vec;
use core::mem;

/// Fewest slots of a table that is not empty; a connection with few calls stays here.
const SLOTS_MIN: usize = 16;

/// More slots than this are given back when the last value goes. A closed loop of 32 calls
/// stays below, so that it does not allocate in each round.
const SLOTS_KEPT: usize = 64;

#[derive(Debug)]
pub(crate) struct Sequences<T> {
    /// Invariant: a power of two, or none. Between a value and the slot where it would go if the
    /// table were empty, there is no free slot.
    slots: Vec<Option<(u64, T)>>,
    /// Values in `slots`; at most half as many as slots.
    count: usize,
}

impl<T> Sequences<T> {
    pub(crate) const fn new() -> Sequences<T> {
        Sequences { slots: Vec::new(), count: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Gives the value back if the sequence is taken.
    #[inline]
    pub(crate) fn insert(&mut self, sequence: u64, value: T) -> Result<(), T> {
        if 2 * (self.count + 1) > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut index = self.home(sequence);
        loop {
            match &self.slots[index] {
                None => break,
                Some((taken, _)) if *taken == sequence => return Err(value),
                Some(_) => index = (index + 1) & mask,
            }
        }
        self.slots[index] = Some((sequence, value));
        self.count += 1;
        Ok(())
    }

    #[inline]
    pub(crate) fn get(&self, sequence: u64) -> Option<&T> {
        let (_, value) = self.slots[self.find(sequence)?].as_ref()?;
        Some(value)
    }

    pub(crate) fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        let index = self.find(sequence)?;
        let (_, value) = self.slots[index].as_mut()?;
        Some(value)
    }

    #[inline]
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<T> {
        let index = self.find(sequence)?;
        let (_, value) = self.slots[index].take()?;
        self.count -= 1;
        if self.count == 0 {
            if self.slots.len() > SLOTS_KEPT {
                self.slots = Vec::new();
            }
        } else {
            self.close_gap(index);
        }
        Some(value)
    }

    /// Takes everything out, in no particular order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, T)> + use<T> {
        self.count = 0;
        mem::take(&mut self.slots).into_iter().flatten()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots.iter().flatten().map(|(sequence, value)| (*sequence, value))
    }

    /// The slot of a sequence that is in the table.
    #[inline]
    fn find(&self, sequence: u64) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut index = self.home(sequence);
        // Ends, since half of the slots are free.
        loop {
            match &self.slots[index] {
                None => return None,
                Some((found, _)) if *found == sequence => return Some(index),
                Some(_) => index = (index + 1) & mask,
            }
        }
    }

    /// Moves back what is separated from its home by the slot that has become free.
    #[inline]
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.slots.len() - 1;
        let mut index = gap;
        loop {
            index = (index + 1) & mask;
            let Some((sequence, _)) = &self.slots[index] else { return };
            let from_home = index.wrapping_sub(self.home(*sequence)) & mask;
            let from_gap = index.wrapping_sub(gap) & mask;
            if from_home >= from_gap {
                self.slots.swap(gap, index);
                gap = index;
            }
        }
    }

    /// The slot where a sequence goes if it is free.
    #[inline]
    fn home(&self, sequence: u64) -> usize {
        // 2⁶⁴ divided by the golden ratio.
        let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Never called without slots, so the shift is at most 63.
        (mixed >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    #[cold]
    fn grow(&mut self) {
        let slots_count = (self.slots.len() * 2).max(SLOTS_MIN);
        let mut larger = Vec::with_capacity(slots_count);
        larger.resize_with(slots_count, || None);
        let old = mem::replace(&mut self.slots, larger);
        let mask = slots_count - 1;
        for (sequence, value) in old.into_iter().flatten() {
            let mut index = self.home(sequence);
            while self.slots[index].is_some() {
                index = (index + 1) & mask;
            }
            self.slots[index] = Some((sequence, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Random insertions, look-ups and removals, compared with a map that is known to be right.
    fn compare(seed: u64, sequence_of: impl Fn(u64) -> u64) {
        let mut state = seed;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut table = Sequences::new();
        let mut model = BTreeMap::new();
        for step in 0..20_000u64 {
            let sequence = sequence_of(random() % 600);
            // Fills and empties in turn, so that growing and giving back are both met.
            let filling = step / 1500 % 2 == 0;
            if random() % 4 < if filling { 3 } else { 1 } {
                let expect = if model.contains_key(&sequence) { Err(step) } else { Ok(()) };
                assert_eq!(table.insert(sequence, step), expect, "seed {seed} step {step}");
                model.entry(sequence).or_insert(step);
            } else {
                assert_eq!(table.get(sequence), model.get(&sequence), "seed {seed} step {step}");
                assert_eq!(table.remove(sequence), model.remove(&sequence), "seed {seed} {step}");
            }
            assert_eq!(table.len(), model.len());
        }
        let mut rest: Vec<(u64, u64)> = table.iter().map(|(key, value)| (key, *value)).collect();
        rest.sort_unstable();
        assert_eq!(rest, model.clone().into_iter().collect::<Vec<_>>());
        let mut drained: Vec<(u64, u64)> = table.drain().collect();
        drained.sort_unstable();
        assert_eq!(drained, rest);
        assert_eq!(table.len(), 0);
        assert_eq!(table.slots.capacity(), 0);
    }

    #[test]
    fn the_table_agrees_with_a_map() {
        compare(1, |number| number);
        compare(2, |number| number << 40);
        compare(3, |number| number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    }

    #[test]
    fn the_table_agrees_with_a_map_when_all_sequences_collide() {
        // The inverse of the multiplier turns small numbers into sequences with one home.
        let mut inverse = 1u64;
        for _ in 0..6 {
            let product = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(inverse);
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(product));
        }
        compare(4, |number| number.wrapping_mul(inverse));
        // One home at the very end, so that probing goes around.
        compare(5, |number| (u64::MAX - number).wrapping_mul(inverse));
    }

    #[test]
    fn an_empty_table_gives_back_what_a_burst_needed() {
        let mut table = Sequences::new();
        assert_eq!(table.slots.capacity(), 0);
        for sequence in 0..1000 {
            table.insert(sequence, ()).unwrap();
        }
        for sequence in 0..1000 {
            table.remove(sequence).unwrap();
        }
        assert_eq!(table.slots.capacity(), 0);
        for sequence in 0..32 {
            table.insert(sequence, ()).unwrap();
        }
        for sequence in 0..32 {
            table.remove(sequence).unwrap();
        }
        assert_eq!(table.slots.len(), SLOTS_KEPT, "a usual burst keeps its memory");
    }
}
