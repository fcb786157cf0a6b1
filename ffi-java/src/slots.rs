//! Places for what Java knows by a number only: requests that are being served, calls under way,
//! long bodies.
//!
//! A number is a place and its generation, so a number that is used late finds nobody, never
//! somebody else. There are only so many places: who finds none is refused.

use std::sync::{Mutex, MutexGuard};

use crossbeam_queue::ArrayQueue;

/// A bounded table.
pub(crate) struct Slots<T> {
    slots: Box<[Mutex<Slot<T>>]>,
    /// Places that nobody has.
    free: ArrayQueue<u32>,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// A table with so many places, at most 2^32.
    pub(crate) fn new(count: usize) -> Self {
        // No number is 0.
        let slot = || Mutex::new(Slot { generation: 1, value: None });
        let free = ArrayQueue::new(count);
        for index in 0..count {
            // There is room for each.
            let _ = free.push(index as u32);
        }
        Self { slots: (0..count).map(|_| slot()).collect(), free }
    }

    /// Takes a place; the value is given back if there is none.
    pub(crate) fn put(&self, value: T) -> Result<u64, T> {
        self.put_by(|_| value).map_err(|make| make(0))
    }

    /// As [`Slots::put`], for a value that knows its number. Nobody finds it before it is there.
    pub(crate) fn put_by<F: FnOnce(u64) -> T>(&self, make: F) -> Result<u64, F> {
        let Some(index) = self.free.pop() else { return Err(make) };
        let mut slot = self.lock(index);
        let number = u64::from(slot.generation) << 32 | u64::from(index);
        slot.value = Some(make(number));
        Ok(number)
    }

    /// Takes a value out, once.
    pub(crate) fn take(&self, number: u64) -> Option<T> {
        let (index, generation) = (number as u32, (number >> 32) as u32);
        let value = {
            let mut slot = self.find(index, generation)?;
            let value = slot.value.take()?;
            slot.generation = slot.generation.wrapping_add(1).max(1);
            value
        };
        // There is room for each.
        let _ = self.free.push(index);
        Some(value)
    }

    /// Looks at a value that is there; nobody takes it meanwhile.
    pub(crate) fn with<R>(&self, number: u64, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.find(number as u32, (number >> 32) as u32)?.value.as_mut().map(look)
    }

    /// How many values are there.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Tells the number of each value that is there.
    pub(crate) fn each(&self, mut tell: impl FnMut(u64)) {
        for index in 0..self.slots.len() as u32 {
            let (generation, is_there) = {
                let slot = self.lock(index);
                (slot.generation, slot.value.is_some())
            };
            if is_there {
                tell(u64::from(generation) << 32 | u64::from(index));
            }
        }
    }

    /// Takes everything out.
    pub(crate) fn clear(&self) {
        self.each(|number| drop(self.take(number)));
    }

    fn find(&self, index: u32, generation: u32) -> Option<MutexGuard<'_, Slot<T>>> {
        let slot = self.slots.get(index as usize)?;
        let slot = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        (slot.generation == generation).then_some(slot)
    }

    fn lock(&self, index: u32) -> MutexGuard<'_, Slot<T>> {
        let slot = &self.slots[index as usize];
        slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_number_finds_nobody() {
        let slots = Slots::new(1);
        let first = slots.put("a").expect("a place");
        assert_eq!(slots.put("b"), Err("b"), "there is one place");
        assert_eq!(slots.with(first, |value| *value), Some("a"));
        assert_eq!(slots.take(first), Some("a"));
        assert_eq!(slots.take(first), None);
        assert_eq!(slots.count(), 0);
        let second = slots.put("c").expect("the same place");
        assert_eq!(slots.count(), 1);
        assert_eq!(slots.with(first, |value| *value), None);
        assert_eq!(slots.take(second), Some("c"));
    }

    #[test]
    fn numbers_that_were_never_given_out_find_nobody() {
        let slots = Slots::new(2);
        slots.put(1).expect("a place");
        for number in [0, 1, 2, u64::MAX, 5 << 32] {
            assert_eq!(slots.take(number), None, "{number}");
        }
    }

    #[test]
    fn all_are_taken_out() {
        let slots = Slots::new(3);
        let numbers = [slots.put(1).expect("a place"), slots.put(2).expect("a place")];
        slots.clear();
        assert_eq!(numbers.map(|number| slots.take(number)), [None, None]);
        assert!((0..3).all(|value| slots.put(value).is_ok()));
    }
}
