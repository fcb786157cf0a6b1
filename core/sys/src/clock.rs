//! The only reader of clocks in the engine.
//!
//! Everything above takes `now_ns` as an argument: the protocol crate because it is sans-io, the
//! shard because one reading a loop iteration is enough, and every test because it then decides
//! what time it is. A reading costs about 20 ns (a vDSO call, no system call).
//!
//! Two clocks exist, and they never mix. [`now_ns`] is monotonic, starts anywhere, and is what
//! deadlines and timers are made of; it stands still while the machine is suspended. [`wall_ns`]
//! is the time of day, may jump, and is for log lines alone.

use std::sync::atomic::{AtomicI64, Ordering};

/// What tests add to the time of day.
static WALL_STEP_NS: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds in one second, for turning a `timespec` into one number.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Monotonic time in nanoseconds, comparable within this boot of the machine only.
///
/// Any thread; never suspends. A `u64` of nanoseconds lasts 584 years of uptime.
#[inline]
pub fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// As [`now_ns`], but as old as the kernel's last tick, up to 10 ms; a quarter of the price.
///
/// Never later than a reading of [`now_ns`] that follows it.
#[inline]
pub fn coarse_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds since the Unix epoch; may jump backwards when the time of day is set.
///
/// Any thread; never suspends. For logs and reports, never for a deadline.
#[inline]
pub fn wall_ns() -> u64 {
    read(libc::CLOCK_REALTIME).wrapping_add_signed(WALL_STEP_NS.load(Ordering::Relaxed))
}

/// Sets the time of day of this process so many nanoseconds off, as an operator or NTP may at any
/// moment. For tests alone: no process may step the machine's clock for itself.
#[doc(hidden)]
pub fn step_wall_for_tests(ns: i64) {
    WALL_STEP_NS.store(ns, Ordering::Relaxed);
}

/// Reads one of the kernel's clocks as nanoseconds.
#[inline]
pub(crate) fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a writable timespec that outlives the call, all clock_gettime(2) asks for.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "clock_gettime({clock}) failed: the clock ids used here always exist");
    (time.tv_sec as u64).wrapping_mul(NS_PER_SECOND).wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_advances_and_never_goes_back() {
        let start = now_ns();
        let mut last = start;
        while last < start + 100_000 {
            let next = now_ns();
            assert!(next >= last, "{next} came after {last}");
            last = next;
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the one place where the two are compared")]
    fn wall_time_is_the_time_of_day() {
        let ours = wall_ns();
        let std = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock of a test machine is set after 1970")
            .as_nanos() as u64;
        assert!(std - ours < NS_PER_SECOND, "{ours} against {std}");
    }
}
