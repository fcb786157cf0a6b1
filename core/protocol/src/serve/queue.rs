//! The queue of an overloaded server: who is served, and who is told to go elsewhere.
//!
//! On a core that serves one request after the other, the time that requests wait to be started is
//! the truest sign of overload. It does not depend on what the methods do: a thousand handlers that
//! sleep keep nobody waiting, and neither the processor's load nor the number in flight can tell
//! them from a thousand that compute.
//!
//! ```text
//!             a request waited too long, and the queue does not get shorter
//!    calm ───────────────────────────────────────────────────────────────► overloaded
//!    first come, first served        [Watch]                   [Queue]     best rank first,
//!    nobody is refused                                                     late ones refused
//!     ▲                                                                         │
//!     └────────────── nobody waits, and nobody was refused for a while ─────────┘
//! ```
//!
//! **When** ([`Watch`]). A queue is no evil: a burst makes one, and it goes by. Two things are: to
//! wait for longer than what a queue of a server that keeps up ever takes, or for longer than half
//! of what the caller waits at all. And that only if the queue is no shorter than a moment before:
//! what drains is a burst. So no request is refused on a server that keeps up with its load.
//!
//! **Whom** ([`Queue`]). In overload the order of arrival is the worst of all: everybody waits for
//! so long that hardly anybody's answer comes in time. The best rank goes first, the newest of a
//! rank first, and whoever was not chosen within [`patience`](Queue::patience_ns) is refused, early
//! enough to go elsewhere. The server is never idle meanwhile and works only for those who still
//! wait, whatever the overload; nothing is estimated that could be estimated wrongly.
//!
//! The times are from Maurer, Fail at Scale (ACM Queue 13/8, 2015): 100 ms in a queue is a burst at
//! most; and from WeChat's DAGOR (Zhou et al., SoCC 2018): an average wait of 20 ms is overload.
use super::priority::{RANKS_COUNT, Rank};
use alloc::collections::VecDeque;

/// Nobody is called late who waited less: bursts take so long.
pub const LATE_NS: u64 = 100_000_000;
/// Nor who waited for less than so many times what a request that is being served takes on from a
/// random moment. That is what queues are made of: at a load ρ, the share of requests that wait for
/// longer than n times that is about exp(-n(1 - ρ)) (M/G/1), one in 150 at nine tenths.
const LATE_TIMES: u64 = 50;
/// Nor, whatever the deadline, who waited for less than this: a hiccup of the machine.
const LATE_NS_MIN: u64 = 2_000_000;
/// How long a request waits at most to be chosen, while there is overload.
const PATIENCE_NS: u64 = 20_000_000;
/// At least so many times what a request that is being served takes on: else one slow request would
/// be the end of all that came meanwhile.
const PATIENCE_TIMES: u64 = 8;
/// A patience beyond this helps nobody.
const PATIENCE_NS_MAX: u64 = 500_000_000;
/// Overload is over when for so long nobody was refused.
const CALM_NS: u64 = 200_000_000;
/// How often the time of service is taken anew.
const WINDOW_NS: u64 = 100_000_000;

const _: () = assert!(RANKS_COUNT <= u64::BITS as usize, "a bit for each rank");
const _: () = assert!(PATIENCE_NS < LATE_NS && LATE_NS < PATIENCE_NS_MAX);

/// How long what is being served takes on, seen from a random moment: the mean square of the times
/// of service over twice their mean. Half of it if all take as long, all of it if they vary
/// exponentially, far more if few are long and most are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Residual {
    /// When the last request began; 0: none did.
    begun_ns: u64,
    sum_ns: u64,
    /// In µs², which holds an hour's.
    squares_us: u64,
}

impl Residual {
    /// Another request begins, out of a queue that was not empty.
    #[inline]
    fn begin(&mut self, now_ns: u64) {
        if self.begun_ns != 0 {
            let service_ns = now_ns.saturating_sub(self.begun_ns);
            self.sum_ns += service_ns;
            let service_us = service_ns / 1000;
            self.squares_us = self.squares_us.saturating_add(service_us.saturating_mul(service_us));
        }
        self.begun_ns = now_ns;
    }

    fn mean_ns(&self) -> u64 {
        self.squares_us.saturating_mul(1000) / (2 * self.sum_ns / 1000).max(1)
    }
}

/// Looks at a queue in the order of arrival, and tells a burst from an overload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Since when requests are late; 0: they are not.
    since_ns: u64,
    /// Late ones since then.
    count: usize,
    /// How many waited then.
    backlog: usize,
    residual: Residual,
}

/// A request that is about to start, out of a queue in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it came.
    pub received_ns: u64,
    /// When its caller stops waiting.
    pub deadline_ns: u64,
    /// The time now.
    pub now_ns: u64,
}

impl Wait {
    /// Whether it waited for so long that a queue may be standing: more than a burst takes, or more
    /// than half of what its caller waits. A subtraction and two comparisons, for every request.
    #[inline]
    pub fn is_late(&self) -> bool {
        let waited_ns = self.now_ns.saturating_sub(self.received_ns);
        waited_ns > LATE_NS_MIN
            && (waited_ns > LATE_NS || waited_ns > self.deadline_ns.saturating_sub(self.now_ns))
    }
}

impl Watch {
    /// A late request starts while `backlog` others wait: whether that is overload.
    #[cold]
    pub fn late(&mut self, wait: &Wait, backlog: usize) -> bool {
        let now_ns = wait.now_ns;
        let waited_ns = now_ns.saturating_sub(wait.received_ns);
        // A quarter of the wait is long enough to see the queue move, and short enough to matter.
        let window_ns = waited_ns / 4;
        let silent_ns = now_ns.saturating_sub(self.residual.begun_ns);
        if self.since_ns == 0 || silent_ns > waited_ns {
            // Since the last late one the queue was empty.
            *self = Watch { since_ns: now_ns, backlog, ..Watch::default() };
            self.residual.begin(now_ns);
            return false;
        }
        self.residual.begin(now_ns);
        self.count += 1;
        if now_ns - self.since_ns < window_ns {
            return false;
        }
        // Served more than came, by an eighth: with as few as 64 in a window, chance is less.
        let drains = backlog + self.count / 8 < self.backlog;
        let waits_long = waited_ns > LATE_NS.max(LATE_TIMES * self.residual.mean_ns());
        let waits_in_vain = waited_ns > wait.deadline_ns.saturating_sub(now_ns);
        let residual = Residual { begun_ns: now_ns, ..Residual::default() };
        *self = Watch { since_ns: now_ns, count: 0, backlog, residual };
        !drains && (waits_long || waits_in_vain)
    }
}

/// What waits on an overloaded server.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    /// By rank; each in the order of arrival.
    ranks: [VecDeque<Waiting<T>>; RANKS_COUNT],
    /// A bit for each rank that is not empty.
    occupied: u64,
    len: usize,
    patience_ns: u64,
    /// Nobody's patience ends before.
    expires_ns: u64,
    /// When a request was last refused.
    refused_ns: u64,
    /// The window in which times of service are taken: since when, and what they were.
    window_ns: u64,
    residual: Residual,
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    since_ns: u64,
    item: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            ranks: core::array::from_fn(|_| VecDeque::new()),
            occupied: 0,
            len: 0,
            patience_ns: PATIENCE_NS,
            expires_ns: u64::MAX,
            refused_ns: 0,
            window_ns: 0,
            residual: Residual::default(),
        }
    }
}

impl<T> Queue<T> {
    /// Overload begins: what waited so far is pushed next, as if it came now.
    pub fn begin(&mut self, now_ns: u64) {
        self.patience_ns = PATIENCE_NS;
        (self.window_ns, self.refused_ns, self.residual) = (now_ns, now_ns, Residual::default());
    }

    /// A request waits from now on.
    #[inline]
    pub fn push(&mut self, item: T, rank: Rank, now_ns: u64) {
        if self.len == 0 {
            self.expires_ns = now_ns + self.patience_ns;
        }
        self.ranks[rank.index()].push_back(Waiting { since_ns: now_ns, item });
        self.occupied |= 1 << rank.index();
        self.len += 1;
    }

    /// Who is served next: the newest of the best rank.
    #[inline]
    pub fn pop(&mut self, now_ns: u64) -> Option<T> {
        let best = self.occupied.checked_ilog2()? as usize;
        let waiting = self.ranks[best].pop_back()?;
        self.popped(best);
        self.residual.begin(now_ns);
        Some(waiting.item)
    }

    /// Somebody whose patience is over, the least rank first. To be asked until there is none,
    /// once a turn.
    #[inline]
    pub fn expired(&mut self, now_ns: u64) -> Option<T> {
        if now_ns < self.expires_ns || self.len == 0 {
            return None;
        }
        self.take_expired(now_ns)
    }

    fn take_expired(&mut self, now_ns: u64) -> Option<T> {
        self.measure(now_ns);
        let mut oldest_ns = u64::MAX;
        let mut occupied = self.occupied;
        while occupied != 0 {
            let rank = occupied.trailing_zeros() as usize;
            occupied &= occupied - 1;
            let Some(first) = self.ranks[rank].front() else { continue };
            if now_ns.saturating_sub(first.since_ns) < self.patience_ns {
                oldest_ns = oldest_ns.min(first.since_ns);
                continue;
            }
            let waiting = self.ranks[rank].pop_front()?;
            self.popped(rank);
            self.refused_ns = now_ns;
            return Some(waiting.item);
        }
        self.expires_ns = oldest_ns.saturating_add(self.patience_ns);
        None
    }

    /// Takes anew how long requests take, while all the time is spent on them.
    fn measure(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.window_ns) >= WINDOW_NS {
            let patience_ns = PATIENCE_TIMES * self.residual.mean_ns();
            self.patience_ns = patience_ns.clamp(PATIENCE_NS, PATIENCE_NS_MAX);
            (self.window_ns, self.residual) = (now_ns, Residual::default());
        }
    }

    fn popped(&mut self, rank: usize) {
        self.len -= 1;
        if self.ranks[rank].is_empty() {
            self.occupied &= !(1 << rank);
            if self.ranks[rank].capacity() > 1024 {
                // What a great overload needed is not kept for ever.
                self.ranks[rank] = VecDeque::new();
            }
        }
    }

    /// Whether overload is over: nobody waits, and for a while nobody was refused.
    #[inline]
    pub fn is_calm(&self, now_ns: u64) -> bool {
        self.len == 0 && now_ns.saturating_sub(self.refused_ns) > CALM_NS
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How long a request waits to be chosen before it is refused, in ns: 20 ms, more
    /// where requests take long, up to half a second.
    pub fn patience_ns(&self) -> u64 {
        self.patience_ns
    }
}

#[cfg(test)]
mod tests {
    use super::super::priority::Priority;
    use super::*;

    const MS: u64 = 1_000_000;
    const NOW_NS: u64 = 5_000 * MS;

    fn rank(priority: Priority) -> Rank {
        Rank::of(priority, 1)
    }

    #[test]
    fn the_best_rank_goes_first_and_the_newest_of_a_rank() {
        let mut queue = Queue::default();
        queue.begin(NOW_NS);
        for (item, priority) in [
            ("old default", Priority::Default),
            ("sheddable", Priority::Sheddable),
            ("critical", Priority::Critical),
            ("new default", Priority::Default),
        ] {
            queue.push(item, rank(priority), NOW_NS);
        }
        for expect in ["critical", "new default", "old default", "sheddable"] {
            assert_eq!(queue.pop(NOW_NS), Some(expect));
        }
        assert_eq!((queue.pop(NOW_NS), queue.len()), (None, 0));
    }

    #[test]
    fn whoever_is_not_chosen_in_time_is_refused_the_least_first() {
        let mut queue = Queue::default();
        queue.begin(NOW_NS);
        queue.push("critical", rank(Priority::Critical), NOW_NS);
        queue.push("default", rank(Priority::Default), NOW_NS);
        queue.push("later", rank(Priority::Sheddable), NOW_NS + MS);
        let end_ns = NOW_NS + queue.patience_ns();
        assert_eq!(queue.expired(end_ns - 1), None);
        assert_eq!(queue.expired(end_ns), Some("default"));
        assert_eq!(queue.expired(end_ns), Some("critical"));
        assert_eq!(queue.expired(end_ns), None);
        assert_eq!(queue.expired(end_ns + MS), Some("later"));
        assert!(!queue.is_calm(end_ns + MS), "somebody was refused right now");
        assert!(queue.is_calm(end_ns + MS + CALM_NS + 1));
    }

    #[test]
    fn it_is_not_calm_while_somebody_waits() {
        let mut queue = Queue::default();
        queue.begin(NOW_NS);
        let later_ns = NOW_NS + 2 * CALM_NS;
        assert!(queue.is_calm(later_ns));
        queue.push((), rank(Priority::Default), later_ns);
        assert!(!queue.is_calm(later_ns));
        assert_eq!((queue.pop(later_ns), queue.len()), (Some(()), 0));
        assert!(queue.is_calm(later_ns));
    }

    #[test]
    fn who_waits_for_slow_requests_is_given_more_time() {
        let mut queue = Queue::default();
        queue.begin(NOW_NS);
        let usual_ns = queue.patience_ns();
        let mut now_ns = NOW_NS;
        for _ in 0..20 {
            queue.push((), rank(Priority::Default), now_ns);
            now_ns += 30 * MS;
            assert_eq!(queue.pop(now_ns), Some(()));
            while queue.expired(now_ns).is_some() {}
        }
        queue.push((), rank(Priority::Default), now_ns);
        while queue.expired(now_ns + PATIENCE_NS_MAX).is_some() {}
        assert!(queue.patience_ns() >= 4 * 30 * MS, "{} of {usual_ns}", queue.patience_ns());
    }

    /// Serves a queue in the order of arrival, a request each `service_ns`, of requests that came
    /// at the start or come each `gap_ns` (0: none); the wait at which it is called an overload.
    fn overload_after_ns(start: usize, gap_ns: u64, deadline_ns: u64) -> Option<u64> {
        const SERVICE_NS: u64 = 100_000;
        let mut watch = Watch::default();
        let mut arrivals: VecDeque<u64> = core::iter::repeat_n(NOW_NS, start).collect();
        let (mut now_ns, mut next_ns) = (NOW_NS, NOW_NS + gap_ns);
        while now_ns < NOW_NS + 2_000 * MS {
            while gap_ns > 0 && next_ns <= now_ns {
                arrivals.push_back(next_ns);
                next_ns += gap_ns;
            }
            let received_ns = arrivals.pop_front()?;
            let wait = Wait { received_ns, deadline_ns: received_ns + deadline_ns, now_ns };
            if wait.is_late() && watch.late(&wait, arrivals.len()) {
                return Some(now_ns - received_ns);
            }
            now_ns += SERVICE_NS;
        }
        None
    }

    #[test]
    fn a_queue_that_grows_is_an_overload_and_one_that_drains_is_none() {
        let second_ns = 1_000 * MS;
        let waited_ns = overload_after_ns(1, 50_000, second_ns).unwrap();
        assert!((LATE_NS..2 * LATE_NS).contains(&waited_ns), "{waited_ns}");
        assert_eq!(overload_after_ns(4_000, 0, second_ns), None);
        assert_eq!(overload_after_ns(4_000, 150_000, second_ns), None);
    }

    #[test]
    fn where_callers_wait_shortly_a_shorter_queue_is_an_overload() {
        let waited_ns = overload_after_ns(1, 50_000, 30 * MS).unwrap();
        assert!((15 * MS..25 * MS).contains(&waited_ns), "{waited_ns}");
    }
}
