//! Limits of the whole process, kept by many cores without meeting at each request.
//!
//! "At most a million requests in flight", "at most a quarter of the memory in buffers": such a
//! bound belongs to the process, but one counter that each core changes for each request would make
//! them fight for one cache line. So a core *leases* from the process in batches, and serves itself
//! from what it has leased with plain arithmetic:
//!
//! ```text
//!   Budget   available ──────────── leased to core 0 ───────── leased to core 1 ──
//!             (atomic)      spare │ used                spare │ used
//!                            ▲  └──take──► │
//!                            └────give─────┘        a batch moves when spare runs out or piles up
//! ```
//!
//! What always holds: available and all spare and all used add up to the total. So the process
//! never exceeds it, whatever the interleaving; the atomics need no order, for no other memory is
//! guarded by them.
//!
//! The price is what one core has spare while another is refused. A batch is so small that all
//! cores together hold back less than an eighth of the total, and a small budget is not batched at
//! all: of a few dozen of something, each single one counts.
//!
//! A lease that is dropped returns all it has, used or not: what it counted is gone with its core.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use msec_protocol::serve::Quota;

/// A lease keeps less than two batches spare, so that sixteen batches a lease are the whole, and
/// what is spare is less than an eighth of it.
const BATCHES_PER_LEASE: u64 = 16;

/// A limit of the process, in bytes or pieces of something. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Budget {
    total: u64,
    available: Padded,
    leases_count: AtomicUsize,
}

/// One core's part of a [`Budget`].
///
/// It may move to another thread, but is not shared. Taking and giving never block.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Arc<Budget>,
    /// Leased and free to be taken.
    spare: Cell<u64>,
    used: Cell<u64>,
    /// How much to lease at once; as of the last time that the budget was asked.
    batch: Cell<u64>,
}

/// Written by all cores: alone on its pair of cache lines, lest reading the total gets slow.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Budget {
    /// Makes a limit of `total`.
    pub(crate) fn new(total: u64) -> Arc<Budget> {
        Arc::new(Budget {
            total,
            available: Padded(AtomicU64::new(total)),
            leases_count: AtomicUsize::new(0),
        })
    }

    /// Takes between `least` and `most` out of what is available, as much as there is.
    fn withdraw(&self, least: u64, most: u64) -> Option<u64> {
        let mut available = self.available.0.load(Ordering::Relaxed);
        loop {
            if available < least {
                return None;
            }
            let amount = available.min(most);
            let (rest, relaxed) = (available - amount, Ordering::Relaxed);
            match self.available.0.compare_exchange_weak(available, rest, relaxed, relaxed) {
                Ok(_) => return Some(amount),
                Err(changed) => available = changed,
            }
        }
    }

    fn deposit(&self, amount: u64) {
        let before = self.available.0.fetch_add(amount, Ordering::Relaxed);
        debug_assert!(before + amount <= self.total, "more came back than was leased");
    }

    /// Takes `amount` for as long as what is returned lives; for amounts that are large and rare.
    /// `None` if the process has not that much.
    pub(crate) fn charge(self: &Arc<Self>, amount: u64) -> Option<Charge> {
        self.withdraw(amount, amount).map(|amount| Charge { budget: Arc::clone(self), amount })
    }

    fn batch(&self) -> u64 {
        let leases_count = self.leases_count.load(Ordering::Relaxed).max(1) as u64;
        self.total / (BATCHES_PER_LEASE * leases_count)
    }
}

/// A part of a [`Budget`] that is given back when this is dropped, on whatever thread.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    amount: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.deposit(self.amount);
    }
}

impl Lease {
    /// Opens a lease of nothing.
    pub(crate) fn new(budget: &Arc<Budget>) -> Lease {
        budget.leases_count.fetch_add(1, Ordering::Relaxed);
        Lease {
            budget: Arc::clone(budget),
            spare: Cell::new(0),
            used: Cell::new(0),
            batch: Cell::new(budget.batch()),
        }
    }

    /// Takes `amount`, all or nothing; false if the process has not that much.
    #[inline]
    #[must_use = "nothing was taken if it is false"]
    pub(crate) fn take(&self, amount: usize) -> bool {
        let amount = amount as u64;
        if self.spare.get() < amount && !self.lease_more(amount) {
            return false;
        }
        self.spare.set(self.spare.get() - amount);
        self.used.set(self.used.get() + amount);
        true
    }

    /// Gives back `amount` of what was taken.
    ///
    /// # Panics
    /// If less than that is taken: somebody gave back twice, and the limit would be no limit.
    #[inline]
    pub(crate) fn give(&self, amount: usize) {
        let amount = amount as u64;
        let used = self.used.get().checked_sub(amount).expect("given back what was not taken");
        let spare = self.spare.get() + amount;
        self.used.set(used);
        self.spare.set(spare);
        if spare >= 2 * self.batch.get() {
            self.return_surplus();
        }
    }

    /// Leases what is missing for `amount`, and a batch over if there is one.
    #[cold]
    fn lease_more(&self, amount: u64) -> bool {
        let batch = self.budget.batch();
        self.batch.set(batch);
        let missing = amount - self.spare.get();
        let Some(leased) = self.budget.withdraw(missing, missing.saturating_add(batch)) else {
            return false;
        };
        self.spare.set(self.spare.get() + leased);
        true
    }

    /// Keeps a batch and returns the rest.
    #[cold]
    fn return_surplus(&self) {
        let batch = self.budget.batch();
        self.batch.set(batch);
        let surplus = self.spare.get().saturating_sub(batch);
        self.spare.set(self.spare.get() - surplus);
        self.budget.deposit(surplus);
    }
}

/// A limit of the process in pieces a second: one token bucket for all cores.
#[derive(Debug)]
pub(crate) struct RateBudget {
    quota: Quota,
    /// When the bucket is full again.
    full: Padded,
}

/// One core's tokens of a [`RateBudget`].
#[derive(Debug)]
pub(crate) struct RateLease {
    budget: Arc<RateBudget>,
    tokens: Cell<u32>,
    /// When tokens were taken out of the bucket: what is old is not spent, for that would be a
    /// burst on top of the burst.
    taken_ns: Cell<u64>,
}

/// Tokens that a core holds are good for so long: it takes about as much at once.
const TOKENS_NS_MAX: u64 = 10_000_000;

impl RateBudget {
    pub(crate) fn new(quota: Quota) -> Arc<RateBudget> {
        Arc::new(RateBudget { quota, full: Padded(AtomicU64::new(0)) })
    }

    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    fn take(&self, now_ns: u64) -> u32 {
        let relaxed = Ordering::Relaxed;
        let mut full_ns = self.full.0.load(relaxed);
        loop {
            let Some(taken) = self.quota.take(full_ns, now_ns, self.quota.batch()) else {
                return 0;
            };
            match self.full.0.compare_exchange_weak(full_ns, taken.full_ns, relaxed, relaxed) {
                Ok(_) => return taken.count,
                Err(changed_ns) => full_ns = changed_ns,
            }
        }
    }
}

impl RateLease {
    pub(crate) fn new(budget: &Arc<RateBudget>) -> RateLease {
        RateLease { budget: budget.clone(), tokens: Cell::new(0), taken_ns: Cell::new(0) }
    }

    /// Takes a token; false if the process has none now.
    #[inline]
    #[must_use = "nothing was taken if it is false"]
    pub(crate) fn take(&self, now_ns: u64) -> bool {
        let is_old = now_ns.saturating_sub(self.taken_ns.get()) > TOKENS_NS_MAX;
        if self.tokens.get() == 0 || is_old {
            self.tokens.set(self.budget.take(now_ns));
            self.taken_ns.set(now_ns);
        }
        let Some(left) = self.tokens.get().checked_sub(1) else { return false };
        self.tokens.set(left);
        true
    }

    pub(crate) fn quota(&self) -> Quota {
        self.budget.quota()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.deposit(self.spare.get() + self.used.get());
        self.budget.leases_count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    impl Budget {
        fn leased(&self) -> u64 {
            self.total - self.available.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_small_budget_counts_each_single_one() {
        let budget = Budget::new(10);
        let leases: Vec<_> = (0..3).map(|_| Lease::new(&budget)).collect();
        for number in 0..10 {
            assert!(leases[number % 3].take(1), "{number} of 10");
        }
        assert!(leases.iter().all(|lease| !lease.take(1)));
        leases[0].give(1);
        assert!(leases[2].take(1), "what one core gives, another may take");
        assert!(!leases[0].take(1));
    }

    #[test]
    fn a_charge_comes_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let charge = budget.charge(60).unwrap();
        assert!(budget.charge(41).is_none());
        assert_eq!(budget.leased(), 60);
        drop(charge);
        assert!(budget.charge(100).is_some());
    }

    #[test]
    fn a_lease_asks_the_process_once_a_batch() {
        let budget = Budget::new(16_000);
        let lease = Lease::new(&budget);
        assert!(lease.take(1));
        assert_eq!(budget.leased(), 1001);
        for _ in 0..1000 {
            assert!(lease.take(1));
        }
        assert_eq!((budget.leased(), lease.used.get()), (1001, 1001));
        assert!(lease.take(1));
        assert_eq!(budget.leased(), 2002);
    }

    #[test]
    fn what_piles_up_goes_back() {
        let budget = Budget::new(16_000);
        let lease = Lease::new(&budget);
        assert!(lease.take(9_000));
        lease.give(9_000);
        assert_eq!(budget.leased(), 1000, "a batch is kept");
    }

    #[test]
    fn what_others_hold_back_is_less_than_an_eighth() {
        let budget = Budget::new(1_000_000);
        let leases: Vec<_> = (0..64).map(|_| Lease::new(&budget)).collect();
        for lease in &leases {
            assert!(lease.take(10_000));
            lease.give(10_000);
            assert!(lease.take(1));
            lease.give(1);
        }
        assert!(leases[0].take(875_000));
    }

    #[test]
    fn the_last_bit_is_given_even_if_it_is_less_than_a_batch() {
        let budget = Budget::new(16_000);
        let (one, other) = (Lease::new(&budget), Lease::new(&budget));
        assert!(one.take(15_490));
        assert_eq!(budget.leased(), 15_990, "with a batch over");
        assert!(!other.take(11), "all or nothing");
        assert!(other.take(10));
        assert!(!other.take(1));
    }

    #[test]
    fn a_dropped_lease_returns_everything() {
        let budget = Budget::new(16_000);
        let lease = Lease::new(&budget);
        assert!(lease.take(5_000));
        drop(lease);
        assert_eq!(budget.leased(), 0);
        assert!(Lease::new(&budget).take(16_000));
    }

    #[test]
    fn giving_back_twice_is_loud() {
        let budget = Budget::new(15);
        let lease = Lease::new(&budget);
        assert!(lease.take(1));
        lease.give(1);
        let twice = std::panic::AssertUnwindSafe(|| lease.give(1));
        assert!(std::panic::catch_unwind(twice).is_err());
        assert_eq!((lease.used.get(), budget.leased()), (0, 0), "and changes nothing");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take { lease: usize, amount: usize },
        Give { lease: usize, part: usize },
        Replace { lease: usize },
    }

    fn step(total: usize) -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4usize, 0..total + 2).prop_map(|(lease, amount)| Step::Take { lease, amount }),
            4 => (0..4usize, 0..10usize).prop_map(|(lease, _)| Step::Take { lease, amount: 1 }),
            4 => (0..4usize, 0..5usize).prop_map(|(lease, part)| Step::Give { lease, part }),
            1 => (0..4usize).prop_map(|lease| Step::Replace { lease }),
        ]
    }

    fn total_and_steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
        prop_oneof![0..20usize, 0..100_000usize]
            .prop_flat_map(|total| (Just(total), prop::collection::vec(step(total), 1..100)))
    }

    proptest! {
        #[test]
        fn used_never_exceeds_the_total_and_a_refusal_has_a_reason(
            (total, steps) in total_and_steps(),
        ) {
            let budget = Budget::new(total as u64);
            let mut leases: Vec<_> = (0..4).map(|_| Lease::new(&budget)).collect();
            let mut used = [0usize; 4];
            for step in steps {
                match step {
                    Step::Take { lease, amount } => {
                        if leases[lease].take(amount) {
                            used[lease] += amount;
                        } else {
                            let free = total - used.iter().sum::<usize>();
                            prop_assert!(amount + total / 8 > free, "{amount} of {free} refused");
                        }
                    }
                    Step::Give { lease, part } => {
                        let amount = used[lease] * part / 4;
                        leases[lease].give(amount);
                        used[lease] -= amount;
                    }
                    Step::Replace { lease } => {
                        leases[lease] = Lease::new(&budget);
                        used[lease] = 0;
                    }
                }
                let sum: usize = used.iter().sum();
                prop_assert!(sum <= total);
                for (lease, used) in leases.iter().zip(used) {
                    prop_assert_eq!(lease.used.get(), used as u64);
                }
                prop_assert!(sum as u64 <= budget.leased() && budget.leased() <= total as u64);
            }
            drop(leases);
            prop_assert_eq!(budget.leased(), 0);
        }
    }

    #[test]
    fn the_rate_holds_for_all_leases_together_and_one_may_have_all_of_it() {
        let second_ns = 1_000_000_000;
        for leases_count in [1, 2, 5] {
            let budget = RateBudget::new(Quota::new(10_000, 100));
            let leases: Vec<_> = (0..leases_count).map(|_| RateLease::new(&budget)).collect();
            let granted = (0..100_000u64)
                .filter(|step| {
                    leases[*step as usize % leases_count].take(second_ns + step * 10_000)
                })
                .count();
            assert!((9_900..10_120).contains(&granted), "{granted} with {leases_count} leases");
        }
    }

    #[test]
    fn tokens_do_not_pile_up_in_an_idle_lease() {
        let budget = RateBudget::new(Quota::new(100_000, 1000));
        let (idle, busy) = (RateLease::new(&budget), RateLease::new(&budget));
        let mut now_ns = 1_000_000_000;
        assert!(idle.take(now_ns));
        now_ns += 1_000_000_000;
        let granted = (0..10_000).filter(|_| busy.take(now_ns)).count();
        assert!((990..=1000).contains(&granted), "{granted}");
        assert!(!idle.take(now_ns), "what it held has expired, and there is no more");
    }

    #[test]
    fn many_threads_together_never_exceed_the_total() {
        const TOTAL: u64 = 5_000;
        let budget = Budget::new(TOTAL);
        let held = AtomicU64::new(0);
        let refusals_count = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 1..=4usize {
                let (budget, held, refusals_count) = (&budget, &held, &refusals_count);
                scope.spawn(move || {
                    let lease = Lease::new(budget);
                    let mut random = seed;
                    for _ in 0..20_000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let amount = (random >> 33) % 2_000;
                        if lease.take(amount) {
                            let before = held.fetch_add(amount as u64, Ordering::SeqCst);
                            assert!(before + amount as u64 <= TOTAL, "over the total");
                            thread::yield_now();
                            held.fetch_sub(amount as u64, Ordering::SeqCst);
                            lease.give(amount);
                        } else {
                            refusals_count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.leased(), 0);
        assert!(refusals_count.into_inner() > 0, "the total was never reached: nothing was tested");
    }
}
