//! Quotas: how many requests a second a caller may make.
//!
//! A quota is a token bucket, written as the virtual scheduling algorithm of ATM (GCRA, ITU-T
//! I.371 annex A): instead of tokens and the time when they were last counted, the state is one
//! number, the time at which the bucket will be full again. A request moves it on by the time that
//! one token takes to grow, and is refused if that would take it further ahead of now than the
//! burst allows.
//!
//! ```text
//!      now          full again                        now + burst
//!   ────┼───────────────┼─────────────────────────────────┼────► time
//!       └── tokens used ┘└─────── tokens left ────────────┘
//! ```
//!
//! One number is what several cores can share without a lock: each takes a few tokens at once by a
//! compare-and-swap, and spends them by itself. So the quota holds for all cores together, and a
//! busy core is not held to a part of it because an idle one might want the rest.

/// So many requests a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    per_second: u32,
    /// How long a token takes to grow.
    token_ns: u64,
    /// How long a full bucket takes to grow.
    burst_ns: u64,
}

/// Tokens that were taken out of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many; at least one.
    pub count: u32,
    /// The bucket's state from now on.
    pub full_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;
/// A core takes what grows in so long at once: seldom enough that cores do not meet, and little
/// enough that what an idle core holds is nobody's loss.
const BATCHES_PER_SECOND: u32 = 1000;

impl Quota {
    /// At least one a second and one at once, at most a million a second.
    pub fn new(per_second: u32, burst: u32) -> Quota {
        let per_second = per_second.clamp(1, 1_000_000);
        let token_ns = SECOND_NS / u64::from(per_second);
        Quota { per_second, token_ns, burst_ns: token_ns * u64::from(burst.max(1)) }
    }

    /// Requests a second.
    pub fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Requests at once.
    pub fn burst(&self) -> u32 {
        (self.burst_ns / self.token_ns) as u32
    }

    /// How many tokens a core takes at once.
    pub fn batch(&self) -> u32 {
        (self.per_second / BATCHES_PER_SECOND).min(self.burst() / 16).max(1)
    }

    /// Takes up to `most` tokens, at least one, out of a bucket whose state is `full_ns`, which is
    /// 0 in the beginning; none if there is none.
    #[inline]
    pub fn take(&self, full_ns: u64, now_ns: u64, most: u32) -> Option<Taken> {
        let from_ns = full_ns.max(now_ns);
        let room_ns = (now_ns + self.burst_ns).checked_sub(from_ns)?;
        let count = (room_ns / self.token_ns).min(u64::from(most)) as u32;
        let full_ns = from_ns + u64::from(count) * self.token_ns;
        (count > 0).then_some(Taken { count, full_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one at each of these times, and tells how many were granted.
    fn granted(quota: Quota, batch: u32, times_ns: impl Iterator<Item = u64>) -> u64 {
        let (mut full_ns, mut held, mut count) = (0, 0, 0);
        for now_ns in times_ns {
            if held == 0
                && let Some(taken) = quota.take(full_ns, now_ns, batch)
            {
                (held, full_ns) = (taken.count, taken.full_ns);
            }
            if held > 0 {
                (held, count) = (held - 1, count + 1);
            }
        }
        count
    }

    #[test]
    fn over_time_a_caller_gets_its_rate_and_one_burst() {
        for (per_second, burst) in [(1, 1), (10, 10), (1000, 50), (100_000, 1000), (333, 7)] {
            let quota = Quota::new(per_second, burst);
            let seconds = 5;
            let step_ns = SECOND_NS / u64::from(per_second) / 4 + 1;
            let times = (1..).map(|step| step * step_ns).take_while(|at| *at < seconds * SECOND_NS);
            let expect = u64::from(per_second) * seconds + u64::from(burst);
            for batch in [1, quota.batch()] {
                let count = granted(quota, batch, times.clone());
                let off = count.abs_diff(expect);
                assert!(off <= 1 + expect / 200, "{per_second}/{burst}: {count} of {expect}");
            }
        }
    }

    #[test]
    fn a_burst_is_granted_at_once_and_the_next_waits() {
        let quota = Quota::new(10, 3);
        let now_ns = 7 * SECOND_NS;
        let first = quota.take(0, now_ns, 5).unwrap();
        assert_eq!(first.count, 3);
        assert_eq!(quota.take(first.full_ns, now_ns, 1), None);
        let later_ns = now_ns + SECOND_NS / 10;
        assert_eq!(quota.take(first.full_ns, later_ns, 5).unwrap().count, 1);
    }

    #[test]
    fn a_long_silence_saves_up_one_burst_and_no_more() {
        let quota = Quota::new(1000, 20);
        let first = quota.take(0, SECOND_NS, 20).unwrap();
        assert_eq!(quota.take(first.full_ns, 3600 * SECOND_NS, u32::MAX).unwrap().count, 20);
    }
}
