//! Whether a call may be sent once more, and when.
//!
//! A retry saves one call and is load for the others; when everything fails, retries are what
//! keeps it failing. So each call earns a tenth of an attempt, and each attempt beyond the first
//! spends a whole one: retries and hedges together stay below a tenth of the calls, however many
//! fail. What was earned in quiet times is kept for the moment in which an instance dies with many
//! calls in flight, up to a bound.
//!
//! Each core has a budget for each service. A share is a share on every core, so the process keeps
//! it as well; what a budget begins with, and what it keeps at most, is divided by the number of
//! cores.
use crate::report::Histogram;

/// What one call earns, in thousandths of an attempt: 10 %.
const EARNED: u32 = 100;
/// What one attempt costs.
const COST: u32 = 1000;
/// Attempts that a process may make before its calls have earned any.
const START_COUNT: u32 = 10;
/// Attempts that a process keeps at most; but each of its cores keeps one.
const KEPT_COUNT_MAX: u32 = 100;

/// The attempts that a service's calls have earned.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// In thousandths of an attempt.
    earned: u32,
    /// The most that is kept, in the same.
    earned_max: u32,
    spent_count: u64,
    refused_count: u64,
}

impl RetryBudget {
    /// With what one of `cores_count` cores begins.
    pub fn new(cores_count: usize) -> RetryBudget {
        let cores = u32::try_from(cores_count).unwrap_or(u32::MAX).max(1);
        RetryBudget {
            earned: START_COUNT * COST / cores,
            earned_max: (KEPT_COUNT_MAX * COST / cores).max(COST),
            spent_count: 0,
            refused_count: 0,
        }
    }

    /// A call is made.
    #[inline]
    pub fn earn(&mut self) {
        self.earned = (self.earned + EARNED).min(self.earned_max);
    }

    /// Whether one more attempt may be made; if so it is spent.
    pub fn spend(&mut self) -> bool {
        match self.earned.checked_sub(COST) {
            Some(left) => {
                self.earned = left;
                self.spent_count += 1;
                true
            }
            None => {
                self.refused_count += 1;
                false
            }
        }
    }

    /// Attempts that may be made now.
    pub fn left_count(&self) -> u32 {
        self.earned / COST
    }

    /// Attempts that were made.
    pub fn spent_count(&self) -> u64 {
        self.spent_count
    }

    /// Attempts that were wanted and not made.
    pub fn refused_count(&self) -> u64 {
        self.refused_count
    }
}

/// Latencies of one kind of calls, of late: for the 95th of a hundred.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    now: Histogram,
    before: Histogram,
    since_ns: u64,
    p95_ns: Option<u64>,
}

/// How long latencies count, in nanoseconds; for once to twice as long.
const TAIL_WINDOW_NS: u64 = 5_000_000_000;
/// Fewer calls than that have no 95th percentile worth the name.
const TAIL_COUNT_MIN: u64 = 20;
/// The quantile is computed anew each time so many calls have ended.
const TAIL_STEP: u64 = 32;

impl Tail {
    /// A call succeeded after so long.
    pub fn record(&mut self, latency_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(self.since_ns) > TAIL_WINDOW_NS {
            self.before = core::mem::take(&mut self.now);
            self.since_ns = now_ns;
        }
        self.now.record(latency_ns);
        let count = self.now.count();
        if self.p95_ns.is_none() || count.is_multiple_of(TAIL_STEP) {
            let mut both = self.now.clone();
            both.merge(&self.before);
            let enough = both.count() >= TAIL_COUNT_MIN;
            self.p95_ns = if enough { Some(both.quantile(950_000)) } else { self.p95_ns };
        }
    }

    /// The time that 95 of 100 calls do not exceed; `None` before there were enough.
    pub fn p95_ns(&self) -> Option<u64> {
        self.p95_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stay_below_a_tenth_of_the_calls() {
        let mut budget = RetryBudget::new(1);
        let mut attempts = 0;
        for _ in 0..10_000 {
            budget.earn();
            attempts += u32::from(budget.spend());
        }
        assert_eq!(attempts, 10_000 / 10 + START_COUNT);
        assert_eq!(budget.spent_count() + budget.refused_count(), 10_000);
    }

    #[test]
    fn what_is_kept_is_bounded_for_the_process_whatever_its_cores() {
        for cores_count in [1, 2, 3, 16, 100, 1000] {
            let attempts = (0..cores_count).map(|_| {
                let mut budget = RetryBudget::new(cores_count);
                assert_eq!(budget.left_count(), START_COUNT / cores_count as u32);
                (0..10_000).for_each(|_| budget.earn());
                (0..1000).filter(|_| budget.spend()).count()
            });
            let attempts = attempts.sum::<usize>();
            // Rounded down on each core, but at least one each.
            let most = (KEPT_COUNT_MAX as usize).max(cores_count);
            assert!(attempts <= most, "{attempts} on {cores_count} cores");
            assert!(attempts + cores_count > most, "{attempts} on {cores_count} cores");
        }
    }

    #[test]
    fn the_tail_is_that_of_late() {
        let mut tail = Tail::default();
        for call in 0..TAIL_COUNT_MIN - 1 {
            tail.record(1_000_000, call);
        }
        assert_eq!(tail.p95_ns(), None);
        for call in 0..1000 {
            tail.record(if call % 10 == 0 { 9_000_000 } else { 1_000_000 }, 1);
        }
        let p95 = tail.p95_ns().unwrap();
        assert!(p95.abs_diff(9_000_000) < 9_000_000 / 16, "{p95}");
        for window in 1..4u64 {
            for call in 0..100 {
                tail.record(2_000_000, window * (TAIL_WINDOW_NS + 1) + call);
            }
        }
        let p95 = tail.p95_ns().unwrap();
        assert!(p95.abs_diff(2_000_000) < 2_000_000 / 16, "{p95}");
    }
}
