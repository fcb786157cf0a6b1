//! Smooth weighted round robin: each instance gets its share, and gets it evenly.
//!
//! With weights 5, 1, 1 plain weighted round robin calls A A A A A B C: five in a row hit A at
//! once. The smooth form, known from nginx, calls A A B A C A A. Each instance has a score. In
//! each pick every score grows by its weight, the highest is picked, and the picked one's score
//! falls by the sum of the weights:
//!
//! ```text
//!            scores grown   picked   scores after
//!   pick 1   5  1  1        A        -2  1  1
//!   pick 2   3  2  2        A        -4  2  2
//!   pick 3   1  3  3        B         1 -4  3
//!   pick 4   6 -3  4        A        -1 -3  4
//!   …        after as many picks as the sum of the weights, all scores are 0 again
//! ```
//!
//! The scores always add up to zero, and each stays within the sum of the weights on either side
//! of zero. A pick walks all instances; their number is bounded
//! ([`INSTANCES_PER_SERVICE_MAX`](crate::limits::INSTANCES_PER_SERVICE_MAX)).
//!
//! An instance that cannot be used now is left out of a pick altogether: its score stands still,
//! and the others share its part by their weights. It comes back as if it had never been away,
//! without a burst of calls that it missed.
use alloc::vec::Vec;

/// The state of one service's round robin.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wrr {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    weight: i64,
    score: i64,
}

impl Wrr {
    /// At the beginning of a round; an instance is known by the index of its weight.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Wrr {
        let entry = |weight| Entry { weight: i64::from(weight), score: 0 };
        Wrr { entries: weights.into_iter().map(entry).collect() }
    }

    /// The index of the next instance of those that are `usable`; `None` if none is.
    ///
    /// Of several with the same score the first is picked.
    #[inline]
    pub fn pick(&mut self, mut usable: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut sum = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.weight == 0 || !usable(index) {
                continue;
            }
            sum += entry.weight;
            entry.score += entry.weight;
            if best.is_none_or(|(_, score)| entry.score > score) {
                best = Some((index, entry.score));
            }
        }
        let (index, _) = best?;
        self.entries[index].score -= sum;
        Some(index)
    }

    /// How many instances there are, usable or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{INSTANCES_PER_SERVICE_MAX, WEIGHT_MAX};
    use std::vec;

    fn picks(wrr: &mut Wrr, count: usize) -> Vec<usize> {
        (0..count).map(|_| wrr.pick(|_| true).unwrap()).collect()
    }

    #[test]
    fn the_known_example_is_smooth() {
        let mut wrr = Wrr::new([5, 1, 1]);
        assert_eq!(picks(&mut wrr, 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(wrr, Wrr::new([5, 1, 1]), "a round ends where it began");
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&mut Wrr::new([100; 3]), 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn nobody_is_picked_where_nobody_is_usable() {
        assert_eq!(Wrr::new([]).pick(|_| true), None);
        assert_eq!(Wrr::new([0, 0]).pick(|_| true), None);
        let mut wrr = Wrr::new([3, 2]);
        let before = wrr.clone();
        assert_eq!(wrr.pick(|_| false), None);
        assert_eq!(wrr, before);
    }

    #[test]
    fn every_round_gives_each_instance_its_weight_and_never_strays_from_its_share() {
        let mut state = 88_172_645_463_325_252u64;
        for round in 0..50 {
            let mut weights = vec![];
            for _ in 0..1 + round % 13 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                weights.push(1 + (state % 50) as u32);
            }
            let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let mut wrr = Wrr::new(weights.iter().copied());
            let mut counts = vec![0u64; weights.len()];
            for pick in 1..=2 * sum {
                counts[wrr.pick(|_| true).unwrap()] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    // |count - share| < number of instances, times the sum to stay whole.
                    let stray = (count * sum).abs_diff(pick * u64::from(*weight));
                    assert!(stray < sum * weights.len() as u64, "{weights:?} at pick {pick}");
                }
            }
            let twice: Vec<u64> = weights.iter().map(|weight| 2 * u64::from(*weight)).collect();
            assert_eq!(counts, twice);
        }
    }

    #[test]
    fn an_unusable_instance_leaves_its_part_to_the_others_and_returns_without_a_burst() {
        let mut wrr = Wrr::new([100, 100, 200]);
        let mut counts = [0; 3];
        for _ in 0..3000 {
            counts[wrr.pick(|index| index != 1).unwrap()] += 1;
        }
        assert_eq!(counts, [1000, 0, 2000]);
        let mut counts = [0; 3];
        for index in picks(&mut wrr, 8) {
            counts[index] += 1;
        }
        assert_eq!(counts, [2, 2, 4]);
    }

    #[test]
    fn the_largest_service_stays_within_its_numbers() {
        let mut wrr = Wrr::new([WEIGHT_MAX; INSTANCES_PER_SERVICE_MAX]);
        let first = picks(&mut wrr, INSTANCES_PER_SERVICE_MAX);
        assert_eq!(first, (0..INSTANCES_PER_SERVICE_MAX).collect::<Vec<_>>());
    }
}
