//! Limits of the number in flight, for the simulated server: ours, and what others have by default.
use super::concurrency::{Concurrency, Ended};
use super::sim::{Limiting, SECOND};
use std::boxed::Box;

/// Who may be in flight.
pub(super) enum Limiter {
    None,
    Ours(Box<Concurrency>),
    Other(Other),
}

/// A limit that follows latency alone.
pub(super) struct Other {
    kind: Limiting,
    limit: f64,
    in_flight: u32,
    most_in_flight: u32,
    window_ns: u64,
    count: u64,
    sum_ns: u64,
    long_ns: f64,
    peak: f64,
    explore: f64,
    remeasure_ns: u64,
}

impl Limiter {
    pub(super) fn new(limiting: Limiting) -> Limiter {
        let limit = if limiting == Limiting::Brpc { 40.0 } else { 20.0 };
        match limiting {
            Limiting::None => Limiter::None,
            Limiting::Ours => Limiter::Ours(Box::default()),
            Limiting::Gradient2 | Limiting::Brpc => Limiter::Other(Other {
                kind: limiting,
                limit,
                in_flight: 0,
                most_in_flight: 0,
                window_ns: 0,
                count: 0,
                sum_ns: 0,
                long_ns: 0.0,
                peak: 0.0,
                explore: 0.3,
                remeasure_ns: 0,
            }),
        }
    }

    pub(super) fn admit(&mut self) -> bool {
        match self {
            Limiter::None => true,
            Limiter::Ours(ours) => ours.admit(),
            Limiter::Other(other) => {
                let room = other.in_flight < other.limit as u32;
                other.in_flight += u32::from(room);
                other.most_in_flight = other.most_in_flight.max(other.in_flight);
                room
            }
        }
    }

    pub(super) fn leave(&mut self) {
        match self {
            Limiter::None => {}
            Limiter::Ours(ours) => ours.leave(),
            Limiter::Other(other) => other.in_flight -= 1,
        }
    }

    pub(super) fn end(&mut self, ended: &Ended, received_ns: u64) {
        match self {
            Limiter::None => {}
            Limiter::Ours(ours) => ours.end(ended),
            Limiter::Other(other) => {
                other.in_flight -= 1;
                other.count += 1;
                // They count the time in the queue; ours leaves that to the queue.
                other.sum_ns += ended.now_ns - received_ns;
                let window_ns = ended.now_ns.saturating_sub(other.window_ns);
                if window_ns >= SECOND / 10 && other.count >= 10 {
                    let mean_ns = other.sum_ns as f64 / other.count as f64;
                    match other.kind {
                        Limiting::Brpc => other.brpc(ended.now_ns, window_ns, mean_ns),
                        Limiting::None | Limiting::Ours | Limiting::Gradient2 => {
                            other.gradient2(mean_ns)
                        }
                    }
                    (other.window_ns, other.count, other.sum_ns) = (ended.now_ns, 0, 0);
                    other.most_in_flight = other.in_flight;
                }
            }
        }
    }
}

impl Other {
    /// com.netflix.concurrency.limits.limit.Gradient2Limit: tolerance 1.5, smoothing 0.2, 20 to
    /// 200.
    fn gradient2(&mut self, short_ns: f64) {
        let factor = if self.long_ns == 0.0 { 1.0 } else { 2.0 / 601.0 };
        self.long_ns += (short_ns - self.long_ns) * factor;
        if self.long_ns / short_ns > 2.0 {
            self.long_ns *= 0.95;
        }
        if f64::from(self.most_in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (1.5 * self.long_ns / short_ns).clamp(0.5, 1.0);
        let next = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + next * 0.2).clamp(20.0, 200.0);
    }

    /// brpc/policy/auto_concurrency_limiter.cpp: peak rate × least latency × (1 + explore).
    fn brpc(&mut self, now_ns: u64, window_ns: u64, mean_ns: f64) {
        let rate = self.count as f64 / window_ns as f64;
        self.peak = if rate > self.peak { rate } else { self.peak * 0.99 + rate * 0.01 };
        if self.long_ns == 0.0 || mean_ns < self.long_ns {
            self.long_ns = mean_ns;
        } else if now_ns > self.remeasure_ns {
            self.remeasure_ns = now_ns + 5 * SECOND;
            self.long_ns = mean_ns.min(self.long_ns * 1.5);
        }
        let near = mean_ns <= self.long_ns * 1.3;
        self.explore = (self.explore + if near { 0.02 } else { -0.02 }).clamp(0.06, 0.3);
        self.limit = (self.peak * self.long_ns * (1.0 + self.explore)).max(4.0);
    }
}
