//! The open loop's clock: when calls are due, and a thread that says so.
//!
//! An engine's timers have ticks of a millisecond, too coarse for 20,000 calls a second. So one
//! plain thread sleeps from due time to due time and hands what is due to the cores in turn; what
//! falls due while it sleeps comes together. Its sleep is as exact as the kernel's timers, since it
//! asks for no slack (by default 50 µs, timerslack in proc_pid_timerslack_ns(5)).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use msec::clock;

use super::Window;

/// The longest sleep, so that an end by Ctrl-C is seen soon.
const NAP_NS_MAX: u64 = 20_000_000;

/// How due times are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spacing {
    /// Evenly.
    Constant,
    /// At random, as of many users who know nothing of each other.
    Poisson,
}

/// An endless row of due times.
pub(crate) struct Arrivals {
    spacing: Spacing,
    distance_ns: f64,
    /// A float, so that fractions of a nanosecond add up.
    next_ns: f64,
    begin_ns: u64,
    random: u64,
}

impl Arrivals {
    pub(crate) fn new(begin_ns: u64, rate: f64, spacing: Spacing) -> Self {
        let random = 0x6d73_6563;
        Self { spacing, distance_ns: 1e9 / rate, next_ns: 0.0, begin_ns, random }
    }

    fn due_ns(&self) -> u64 {
        self.begin_ns + self.next_ns as u64
    }

    fn advance(&mut self) {
        self.next_ns += match self.spacing {
            Spacing::Constant => self.distance_ns,
            // Of 1 - u, in (0, 1], the logarithm is finite.
            Spacing::Poisson => -(1.0 - self.fraction()).ln() * self.distance_ns,
        };
    }

    /// In [0, 1), the same row in every run (SplitMix64: Steele, Lea, Flood 2014).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What is due on one core.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<FeedState>,
}

#[derive(Default)]
struct FeedState {
    due: Vec<u64>,
    ended: bool,
    waker: Option<Waker>,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn push(&self, due_ns: u64) {
        self.lock().due.push(due_ns);
    }

    fn end(&self) {
        self.lock().ended = true;
    }

    fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// All that has become due since the last time, once there is some; `None` after the end.
    pub(crate) async fn next(&self) -> Option<Vec<u64>> {
        poll_fn(|context| {
            let mut state = self.lock();
            if !state.due.is_empty() {
                return Poll::Ready(Some(std::mem::take(&mut state.due)));
            }
            if state.ended {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Hands out what is due until the window ends. Runs on a thread of its own.
pub(crate) fn run(mut arrivals: Arrivals, feeds: &[Arc<Feed>], window: &Window) {
    ask_for_no_slack();
    let mut turn = 0;
    while arrivals.due_ns() < window.ends_ns() {
        let now_ns = clock::now_ns();
        let mut fed = 0;
        while arrivals.due_ns() <= now_ns && arrivals.due_ns() < window.ends_ns() {
            turn = (turn + 1) % feeds.len();
            feeds[turn].push(arrivals.due_ns());
            arrivals.advance();
            fed += 1;
        }
        for back in 0..feeds.len().min(fed) {
            feeds[(turn + feeds.len() - back) % feeds.len()].wake();
        }
        let rest_ns = arrivals.due_ns().saturating_sub(clock::now_ns()).min(NAP_NS_MAX);
        if rest_ns > 0 {
            std::thread::park_timeout(Duration::from_nanos(rest_ns));
        }
    }
    for feed in feeds {
        feed.end();
        feed.wake();
    }
}

/// Asks the kernel to wake this thread on time. Without it the sleep is 50 µs longer: it is no
/// failure where a container hides the file.
fn ask_for_no_slack() {
    if let Ok(link) = std::fs::read_link("/proc/thread-self")
        && let Some(thread) = link.file_name().and_then(|name| name.to_str())
    {
        let _ = std::fs::write(format!("/proc/{thread}/timerslack_ns"), "1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(spacing: Spacing, count: usize) -> Vec<u64> {
        let mut arrivals = Arrivals::new(1_000, 10_000.0, spacing);
        let next = || {
            let due_ns = arrivals.due_ns();
            arrivals.advance();
            due_ns
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn constant_arrivals_are_one_distance_apart() {
        assert_eq!(due(Spacing::Constant, 3), [1_000, 101_000, 201_000]);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_much_as_their_mean() {
        let times = due(Spacing::Poisson, 100_001);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "deviation {}", variance.sqrt());
    }
}
