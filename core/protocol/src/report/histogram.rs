//! A histogram whose buckets grow with the value, and which merges exactly.
//!
//! Latencies range from microseconds to minutes, and what matters is their order of magnitude and
//! a digit more. So each power of two is divided into eight buckets of equal width:
//!
//! ```text
//!   values     0 1 2 … 7 │ 8 9 … 15 │ 16-17 18-19 … 30-31 │ 32-35 … 60-63 │ …
//!   width      1         │ 1        │ 2                   │ 4             │
//!   bucket     0 1 2 … 7 │ 8 9 … 15 │ 16    17    … 23    │ 24    … 31    │ …  495
//! ```
//!
//! A bucket is at most an eighth as wide as its values are large, so a quantile is off by less
//! than 1/16 of itself either way. The bounds are the same in every process and every version:
//! merging adds counts, and loses nothing. Which bucket a value belongs to follows from its
//! leading zeros, without a logarithm or a search.
//!
//! How many values there are is the sum of all buckets, and is not counted a second time.
//!
//! Memory: eight bytes a bucket, up to the greatest that was met: 1.9 KiB for times up to a second
//! in nanoseconds, 4 KiB at most; none while nothing is recorded.
use alloc::vec::Vec;

/// Buckets of a power of two, as a power of two.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// Most buckets: the values below `STEPS`, then each power of two that 64 bits leave.
const BUCKETS_MAX: usize = (64 - STEP_BITS as usize + 1) * STEPS;

/// Counts of values, by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket. Invariant: what is not there is zero; the last is not.
    counts: Vec<u64>,
    sum: u64,
    max: u64,
}

/// One bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Least value that belongs here.
    pub least: u64,
    /// Greatest value that belongs here.
    pub greatest: u64,
    /// How many values do.
    pub count: u64,
}

impl Histogram {
    /// Without values and without memory.
    pub const fn new() -> Histogram {
        Histogram { counts: Vec::new(), sum: 0, max: 0 }
    }

    /// Counts a value, usually in nanoseconds.
    #[inline]
    pub fn record(&mut self, value: u64) {
        // Nothing else changes, and most requests wait in no queue.
        if value == 0
            && let Some(zeros) = self.counts.first_mut()
        {
            *zeros += 1;
            return;
        }
        let bucket = bucket_of(value);
        if bucket >= self.counts.len() {
            self.grow(bucket);
        }
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// A histogram of counts by bucket, as [`Histogram::numbered`] gives them. `None` for a bucket
    /// that does not exist.
    pub fn from_numbered(
        counts: impl IntoIterator<Item = (u32, u64)>,
        sum: u64,
        max: u64,
    ) -> Option<Histogram> {
        let mut histogram = Histogram { counts: Vec::new(), sum, max };
        for (bucket, count) in counts {
            let bucket = bucket as usize;
            if bucket >= BUCKETS_MAX {
                return None;
            }
            if bucket >= histogram.counts.len() && count != 0 {
                histogram.grow(bucket);
            }
            if let Some(known) = histogram.counts.get_mut(bucket) {
                *known = known.saturating_add(count);
            }
        }
        Some(histogram)
    }

    /// The numbers of the buckets that are not empty, from the least, with their counts.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, u64)> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count != 0);
        counts.map(|(bucket, count)| (bucket as u32, *count))
    }

    /// What was recorded since `earlier`, which is an older state of this histogram. The greatest
    /// value is exact if it is new, and else no less than it was.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut since = self.clone();
        for (mine, theirs) in since.counts.iter_mut().zip(&earlier.counts) {
            *mine = mine.saturating_sub(*theirs);
        }
        let used = since.counts.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
        since.counts.truncate(used);
        since.sum = self.sum.saturating_sub(earlier.sum);
        if self.max == earlier.max {
            since.max = used.checked_sub(1).map_or(0, |last| greatest_of(last).min(self.max));
        }
        since
    }

    /// Adds what another histogram has counted.
    pub fn merge(&mut self, other: &Histogram) {
        if let Some(last) = other.counts.len().checked_sub(1)
            && last >= self.counts.len()
        {
            self.grow(last);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The sum of all values; exact up to 2⁶⁴-1, where it stays (584 years of nanoseconds).
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest value, exactly; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, rounded down; 0 if there is no value.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }

    /// The value that `parts_per_million` of the values do not exceed: 500,000 is the median,
    /// 990,000 the 99th percentile, 1,000,000 the greatest. Off by less than 1/16 of itself; the
    /// greatest is exact. 0 if there is no value.
    pub fn quantile(&self, parts_per_million: u32) -> u64 {
        let parts = u128::from(parts_per_million.min(1_000_000));
        let count = self.count();
        let rank = (u128::from(count) * parts).div_ceil(1_000_000).max(1) as u64;
        if rank >= count {
            return self.max;
        }
        let mut seen = 0;
        for bucket in self.buckets() {
            seen += bucket.count;
            if seen >= rank {
                let middle = bucket.least + (bucket.greatest - bucket.least) / 2;
                return middle.min(self.max);
            }
        }
        self.max
    }

    /// The buckets that are not empty, from the least.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.counts.iter().enumerate().filter(|(_, count)| **count != 0).map(|(index, &count)| {
            Bucket { least: least_of(index), greatest: greatest_of(index), count }
        })
    }

    #[cold]
    fn grow(&mut self, bucket: usize) {
        // Exactly: there are many histograms, and growing stops soon.
        self.counts.reserve_exact(bucket + 1 - self.counts.len());
        self.counts.resize(bucket + 1, 0);
    }
}

/// The bucket that a value belongs to; less than [`BUCKETS_MAX`].
#[inline]
fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros();
    // The bits after the highest: 8 to 15 with it.
    let step = (value >> (power - STEP_BITS)) as usize;
    (power - STEP_BITS) as usize * STEPS + step
}

/// The least value of a bucket.
fn least_of(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS) as u64) << shift
}

/// The greatest value of a bucket.
fn greatest_of(bucket: usize) -> u64 {
    if bucket + 1 == BUCKETS_MAX { u64::MAX } else { least_of(bucket + 1) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        for value in values {
            histogram.record(value);
        }
        histogram
    }

    #[test]
    fn buckets_follow_each_other_without_gap_up_to_the_greatest_value() {
        assert_eq!(BUCKETS_MAX, 496);
        assert_eq!(least_of(0), 0);
        for bucket in 0..BUCKETS_MAX {
            assert_eq!(bucket_of(least_of(bucket)), bucket);
            assert_eq!(bucket_of(greatest_of(bucket)), bucket);
            if bucket > 0 {
                assert_eq!(least_of(bucket), greatest_of(bucket - 1) + 1);
            }
        }
        assert_eq!(greatest_of(BUCKETS_MAX - 1), u64::MAX);
    }

    #[test]
    fn a_bucket_is_at_most_an_eighth_as_wide_as_its_values() {
        for bucket in STEPS..BUCKETS_MAX {
            let width = greatest_of(bucket) - least_of(bucket) + 1;
            assert!(width <= least_of(bucket) / 8 || width == 1, "bucket {bucket}");
        }
    }

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let histogram = of(1..=100_000);
        for parts in [1, 1000, 10_000, 500_000, 900_000, 990_000, 999_000, 999_999] {
            let exact = u64::from(parts).div_ceil(10);
            let shown = histogram.quantile(parts);
            assert!(shown.abs_diff(exact) <= exact.div_ceil(16), "{parts}: {shown} for {exact}");
        }
        assert_eq!(histogram.quantile(1_000_000), 100_000);
        assert_eq!(histogram.quantile(u32::MAX), 100_000);
        assert_eq!(histogram.mean(), 50_000);
    }

    #[test]
    fn few_values_have_the_quantiles_one_expects() {
        assert_eq!(Histogram::new().quantile(500_000), 0);
        assert_eq!(Histogram::new().mean(), 0);
        assert_eq!(of([7]).quantile(0), 7);
        assert_eq!(of([1, 2, 3]).quantile(500_000), 2);
        assert_eq!(of([1, 1_000_003]).quantile(500_000), 1);
        assert_eq!(of([1, 1_000_003]).quantile(500_001), 1_000_003);
        assert_eq!(of([0, 0, 0]).max(), 0);
    }

    #[test]
    fn merging_is_exact_in_any_order() {
        let mut values = Vec::new();
        let mut state = 1u64;
        for round in 0..3000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            values.push(state >> (20 + round % 44));
        }
        let whole = of(values.iter().copied());
        let (first, second) = values.split_at(1234);
        let (first, second) = (of(first.iter().copied()), of(second.iter().copied()));
        let mut forth = first.clone();
        forth.merge(&second);
        let mut back = second;
        back.merge(&first);
        back.merge(&Histogram::new());
        assert_eq!(forth, whole);
        assert_eq!(back, whole);
        assert_eq!(whole.buckets().map(|bucket| bucket.count).sum::<u64>(), 3000);
    }

    #[test]
    fn the_greatest_values_are_counted_and_their_sum_stays_at_its_end() {
        let histogram = of([u64::MAX, u64::MAX, 1]);
        assert_eq!((histogram.count(), histogram.sum()), (3, u64::MAX));
        let last = histogram.buckets().last().unwrap();
        assert_eq!((last.greatest, last.count), (u64::MAX, 2));
        assert!((last.least..=last.greatest).contains(&histogram.quantile(600_000)));
        assert_eq!(histogram.max(), u64::MAX);
    }

    #[test]
    fn what_came_since_an_earlier_state_is_the_difference() {
        let earlier = of([0, 5, 1000, 70_000]);
        let mut later = earlier.clone();
        let fresh = [0, 0, 5, 900, 80_000_000];
        fresh.into_iter().for_each(|value| later.record(value));
        assert_eq!(later.since(&earlier), of(fresh));
        let mut again = earlier.clone();
        again.merge(&later.since(&earlier));
        assert_eq!(again, later);
        assert_eq!(later.since(&later), Histogram::new());
        // A greatest value that is not new is known by its bucket only.
        let mut smaller = later.clone();
        smaller.record(1000);
        assert_eq!(smaller.since(&later).max(), greatest_of(bucket_of(1000)));
    }

    #[test]
    fn numbered_buckets_make_the_same_histogram_and_none_beyond_the_last() {
        let histogram = of([0, 0, 7, 1000, u64::MAX]);
        let (sum, max) = (histogram.sum(), histogram.max());
        let made = Histogram::from_numbered(histogram.numbered(), sum, max);
        assert_eq!(made, Some(histogram));
        assert_eq!(Histogram::from_numbered([(495, 1)], 1, 1).unwrap().count(), 1);
        assert_eq!(Histogram::from_numbered([(496, 1)], 1, 1), None);
        assert_eq!(Histogram::from_numbered([(400, 0)], 0, 0), Some(Histogram::new()));
    }

    #[test]
    fn memory_is_bounded_by_the_greatest_value() {
        assert_eq!(Histogram::new().counts.capacity(), 0);
        assert!(of([1_000_000_000]).counts.capacity() * 8 <= 1950);
        assert_eq!(of([u64::MAX, 0]).counts.capacity(), BUCKETS_MAX);
    }
}
