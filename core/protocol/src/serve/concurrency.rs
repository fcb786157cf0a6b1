//! The adaptive limit of a method's requests in flight: for what a core's own queue does not show.
//!
//! A method may wait for something that is scarce: ten connections to a database, a lock, a service
//! that is overloaded itself. Its requests then queue up there, parked, and the core is idle. In
//! the end each waits until shortly before its deadline, gets its turn, and has no time left to use
//! it: the scarce thing works at its limit and nearly nobody has an answer. Admitting fewer answers
//! more.
//!
//! But to wait is also what a healthy method does, and nothing that can be seen of one request
//! tells the two apart. A limit that follows latency alone (Netflix's Gradient2, Vegas, brpc's
//! `auto`) refuses requests of a healthy server whenever its latencies shift: when more of them
//! miss a cache, when a database moves to another zone, after a quiet night. So the limit is open
//! until all three signs of a standing queue are there, in two windows of time one after the other:
//!
//! 1. **Waste**: one in ten of the requests that ended was not waited for any more.
//! 2. **Nobody is fast**: even the fastest tenth took three times what it takes at other times. A
//!    queue delays everybody; a slow part of the requests leaves the others fast. That the least of
//!    a window, not its mean, tells a queue that stands from one that goes by is CoDel's insight
//!    (RFC 8289 §4.2); a tenth instead of the very least, since times of service vary.
//! 3. **Evidence**: enough requests to speak of either.
//!
//! ```text
//!    limit  open ──────────┐                                   ┌──────── open
//!                          │ in flight = rate × 2 × median     │ nobody refused for a second
//!                          ▼        (Little's law)             │
//!                          └─╮╭──╮╭──╮╭──╮╭─── gradient ───────┘
//!                            ╰╯  ╰╯  ╰╯  ╰╯
//! ```
//!
//! Then it is closed to what Little's law says is enough, and follows the gradient of the median
//! latency from there: up by a quarter while that is at most twice the usual (doubling as long as
//! it has not met the bound), down in proportion beyond. Only requests that began after the last
//! step are judged, for the others met the queue of before. A limit at its floor at which nothing
//! gets faster has shown what usual is nowadays, and that is learnt.
//!
//! Each core keeps its own, for its own requests: what is scarce answers all cores alike, as a
//! bottleneck does the connections that share it. The process has the sum of the limits (see
//! docs/decisions/0004-overload.md for what that costs).

/// The limit is not closed further than this: some always try, and are how recovery is noticed.
pub const FLOOR: u32 = 8;
/// Open: as many as the other limits allow.
pub const OPEN: u32 = u32::MAX;

/// How long a window is at least, if enough requests end in it, and at most.
const WINDOW_NS: u64 = 100_000_000;
const WINDOW_NS_MAX: u64 = 1_000_000_000;
/// Requests that have to end in a window before it is judged early.
const ENDED_MIN: u32 = 16;
/// One in so many that ended must be wasted, and so many at least.
const WASTED_PART: u32 = 10;
const WASTED_MIN: u32 = 4;
/// The fastest tenth's latency, in times of the usual, from which on nobody is fast.
const SLOW_TIMES: u64 = 3;
/// The median latency, in times of the usual, that the limit is steered to.
const AIM_TIMES: u64 = 2;
/// A latency below this counts as this: clocks are that coarse, and what is so fast has no queue
/// that a caller's deadline would notice.
const LATENCY_NS_MIN: u64 = 5_000_000;
/// Latencies of a window that are looked at: its last ones.
const SAMPLES_COUNT: usize = 64;
/// A window that was slower than usual moves the usual up by one in so many: an overload is over
/// before it counts as usual, and a service that has become slower is known within a minute.
const USUAL_UP: u64 = 64;
/// A window that was faster moves it down by one in so many of the difference.
const USUAL_DOWN: u64 = 4;
/// The limit opens when for so long nobody was refused.
const OPEN_NS: u64 = 1_000_000_000;

/// The limit of one method on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    limit: u32,
    in_flight: u32,
    usual: Latency,
    window: Window,
    /// The window before had the signs.
    suspicious: bool,
    /// The limit has not met the bound since it was closed: it may double.
    eager: bool,
    /// When the limit was last moved.
    moved_ns: u64,
    /// When somebody was last refused, as of the end of a window.
    refused_ns: u64,
}

/// How long requests take that are waited for, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Latency {
    /// A tenth is as fast.
    fast_ns: u64,
    median_ns: u64,
}

impl Latency {
    const UNKNOWN: Latency = Latency { fast_ns: u64::MAX, median_ns: u64::MAX };

    /// Learns from a window.
    fn learn(&mut self, window: Latency) {
        if *self == Latency::UNKNOWN {
            *self = window;
        } else if window != Latency::UNKNOWN {
            self.fast_ns = follow(self.fast_ns, window.fast_ns);
            self.median_ns = follow(self.median_ns, window.median_ns);
        }
    }
}

fn follow(usual_ns: u64, window_ns: u64) -> u64 {
    if window_ns < usual_ns {
        usual_ns - (usual_ns - window_ns) / USUAL_DOWN
    } else {
        window_ns.min(usual_ns + usual_ns / USUAL_UP + 1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    since_ns: u64,
    ended: u32,
    wasted: u32,
    refused: u32,
    /// Of those that were not wasted, the last ones.
    samples_ns: [u64; SAMPLES_COUNT],
}

impl Window {
    const fn new() -> Window {
        Window { since_ns: 0, ended: 0, wasted: 0, refused: 0, samples_ns: [0; SAMPLES_COUNT] }
    }

    fn restart(&mut self, now_ns: u64) {
        (self.since_ns, self.ended, self.wasted, self.refused) = (now_ns, 0, 0, 0);
    }

    fn answered(&self) -> u32 {
        self.ended - self.wasted
    }

    fn is_wasteful(&self) -> bool {
        self.wasted >= WASTED_MIN && self.wasted >= self.ended / WASTED_PART
    }

    /// Sorts the samples, which nobody needs in order any more.
    fn latency(&mut self) -> Latency {
        let count = (self.answered() as usize).min(SAMPLES_COUNT);
        let samples = &mut self.samples_ns[..count];
        samples.sort_unstable();
        match samples {
            [] => Latency::UNKNOWN,
            _ => Latency { fast_ns: samples[count / 10], median_ns: samples[count / 2] },
        }
    }
}

/// How a request ended that was admitted and started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When its method was started.
    pub started_ns: u64,
    /// The time now.
    pub now_ns: u64,
    /// Nobody waits for the answer any more: its deadline has passed, or it was cancelled.
    pub wasted: bool,
}

impl Default for Concurrency {
    fn default() -> Self {
        Concurrency::new()
    }
}

impl Concurrency {
    /// Open.
    pub const fn new() -> Concurrency {
        Concurrency {
            limit: OPEN,
            in_flight: 0,
            usual: Latency::UNKNOWN,
            window: Window::new(),
            suspicious: false,
            eager: false,
            moved_ns: 0,
            refused_ns: 0,
        }
    }

    /// Takes a place for a request, if there is one.
    #[inline]
    #[must_use = "no place was taken if it is false"]
    pub fn admit(&mut self) -> bool {
        if self.in_flight >= self.limit {
            self.window.refused += 1;
            return false;
        }
        self.in_flight += 1;
        true
    }

    /// An admitted request is over without having been started.
    #[inline]
    pub fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// An admitted request is over that was started.
    #[inline]
    pub fn end(&mut self, ended: &Ended) {
        self.in_flight -= 1;
        if ended.started_ns < self.moved_ns {
            return;
        }
        let window = &mut self.window;
        if ended.wasted {
            window.wasted += 1;
        } else {
            let latency_ns = ended.now_ns.saturating_sub(ended.started_ns);
            let latency_ns = latency_ns.max(LATENCY_NS_MIN);
            window.samples_ns[window.answered() as usize % SAMPLES_COUNT] = latency_ns;
        }
        window.ended += 1;
        let elapsed_ns = ended.now_ns.saturating_sub(window.since_ns);
        if elapsed_ns >= WINDOW_NS && (window.ended >= ENDED_MIN || elapsed_ns >= WINDOW_NS_MAX) {
            self.judge(ended.now_ns);
        }
    }

    /// How many may be in flight; [`OPEN`] while there is no limit.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A window is over.
    fn judge(&mut self, now_ns: u64) {
        let latency = self.window.latency();
        if self.window.refused > 0 {
            self.refused_ns = now_ns;
        }
        let usual = self.usual;
        let nobody_is_fast =
            usual != Latency::UNKNOWN && latency.fast_ns / SLOW_TIMES >= usual.fast_ns;
        let signs = self.window.is_wasteful() && nobody_is_fast;
        if self.limit != OPEN {
            self.steer(now_ns, latency, usual);
        } else if signs && self.suspicious {
            self.close(now_ns, usual);
        }
        self.suspicious = signs;
        self.window.restart(now_ns);
        self.usual.learn(latency);
    }

    /// Closes the limit to what is enough for the rate of late.
    fn close(&mut self, now_ns: u64, usual: Latency) {
        let answered = u64::from(self.window.answered());
        let elapsed_ns = now_ns.saturating_sub(self.window.since_ns).max(1);
        let enough = answered.saturating_mul(AIM_TIMES * usual.median_ns) / elapsed_ns;
        self.limit = u32::try_from(enough).unwrap_or(OPEN - 1).clamp(FLOOR, OPEN - 1);
        (self.moved_ns, self.refused_ns, self.eager) = (now_ns, now_ns, true);
    }

    /// Moves a closed limit.
    fn steer(&mut self, now_ns: u64, latency: Latency, usual: Latency) {
        if now_ns.saturating_sub(self.refused_ns) >= OPEN_NS && !self.window.is_wasteful() {
            self.limit = OPEN;
            return;
        }
        let aim_ns = AIM_TIMES.saturating_mul(usual.median_ns);
        if latency.median_ns <= aim_ns {
            if self.window.refused > 0 {
                let step = if self.eager { self.limit } else { self.limit / 4 + 1 };
                self.limit = self.limit.saturating_add(step).min(OPEN - 1);
                self.moved_ns = now_ns;
            }
            return;
        }
        self.eager = false;
        if self.limit == FLOOR {
            // So few cannot be a queue: this is how long it takes nowadays.
            if latency != Latency::UNKNOWN {
                self.usual = latency;
                self.eager = true;
            }
            return;
        }
        let median_ns = latency.median_ns.min(aim_ns * 2).max(1);
        self.limit = ((u64::from(self.limit) * aim_ns / median_ns) as u32).max(FLOOR);
        self.moved_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Ends 100 requests in 200 ms, one in `part` of them in vain.
    fn end_some(limit: &mut Concurrency, now_ns: &mut u64, latency_ns: u64, part: usize) {
        for index in 0..100 {
            *now_ns += 2 * MS;
            if limit.admit() {
                let wasted = part > 0 && index % part == 0;
                let started_ns = *now_ns - latency_ns;
                limit.end(&Ended { started_ns, now_ns: *now_ns, wasted });
            }
        }
    }

    #[test]
    fn it_closes_when_work_is_wasted_and_nobody_is_fast_and_not_before() {
        for (latency_ns, part, closes) in
            [(500 * MS, 0, false), (10 * MS, 2, false), (500 * MS, 50, false), (500 * MS, 2, true)]
        {
            let (mut limit, mut now_ns) = (Concurrency::new(), 10_000 * MS);
            end_some(&mut limit, &mut now_ns, 10 * MS, 0);
            assert_eq!(limit.limit(), OPEN);
            for _ in 0..3 {
                end_some(&mut limit, &mut now_ns, latency_ns, part);
            }
            assert_eq!(limit.limit() != OPEN, closes, "{latency_ns} ns, one in {part}");
        }
    }

    #[test]
    fn a_closed_limit_refuses_and_opens_again() {
        let (mut limit, mut now_ns) = (Concurrency::new(), 10_000 * MS);
        end_some(&mut limit, &mut now_ns, 10 * MS, 0);
        for _ in 0..3 {
            end_some(&mut limit, &mut now_ns, 500 * MS, 2);
        }
        let most = limit.limit();
        assert!((FLOOR..100).contains(&most));
        assert!((0..most).all(|_| limit.admit()) && !limit.admit());
        assert_eq!(limit.in_flight(), most);
        (0..most).for_each(|_| limit.leave());
        for _ in 0..10 {
            end_some(&mut limit, &mut now_ns, 10 * MS, 0);
        }
        assert_eq!((limit.limit(), limit.in_flight()), (OPEN, 0));
    }

    #[test]
    fn what_never_ends_keeps_its_place_and_moves_nothing() {
        let mut limit = Concurrency::new();
        assert!((0..100_000).all(|_| limit.admit()));
        assert_eq!((limit.limit(), limit.in_flight()), (OPEN, 100_000));
    }
}
