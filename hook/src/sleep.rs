//! Sleeping: sleep, usleep, nanosleep, clock_nanosleep.
//!
//! In a request that was cancelled they return at once, with ECANCELED and never EINTR: after that
//! one people go on sleeping. And sleep(3) leaves nothing of its time.

use std::ffi::{c_int, c_uint};

use libc::{clockid_t, timespec};

use crate::engine::Coroutine;
use crate::table::Table;
use crate::wait::outcome;
use crate::{errno, real};

/// # Safety
/// As sleep(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    match parking("sleep") {
        Some(table) => {
            if let Err(errno) = outcome((table.sleep)(u64::from(seconds) * real::SECOND_NS)) {
                errno::set(errno);
            }
            0
        }
        // SAFETY: the caller's promise, handed on.
        None => unsafe { real::sleep(seconds) },
    }
}

/// # Safety
/// As usleep(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(microseconds: c_uint) -> c_int {
    match parking("usleep") {
        Some(table) => ended((table.sleep)(u64::from(microseconds) * 1000)),
        // SAFETY: the caller's promise, handed on.
        None => unsafe { real::usleep(microseconds) },
    }
}

/// # Safety
/// As nanosleep(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int {
    // SAFETY: NULL or a time, by the caller's promise.
    let time_ns = unsafe { time.as_ref() };
    let time_ns = time_ns.and_then(|time| real::nanoseconds(time.tv_sec, time.tv_nsec));
    match time_ns.zip(Coroutine::running().and_then(|it| it.parks("nanosleep"))) {
        Some((time_ns, table)) => ended((table.sleep)(time_ns)),
        // SAFETY: as above.
        None => unsafe { real::nanosleep(time, left) },
    }
}

/// # Safety
/// As clock_nanosleep(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    // SAFETY: NULL or a time, by the caller's promise.
    let time_ns = unsafe { time.as_ref() };
    let time_ns = time_ns.and_then(|time| real::nanoseconds(time.tv_sec, time.tv_nsec));
    // A clock of processor time does not go on while one sleeps.
    let goes_on = matches!(
        clock,
        libc::CLOCK_MONOTONIC | libc::CLOCK_REALTIME | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI
    );
    let parking = parking("clock_nanosleep").filter(|_| goes_on);
    match time_ns.zip(parking) {
        Some((time_ns, table)) if flags & libc::TIMER_ABSTIME == 0 => (table.sleep)(time_ns),
        Some((time_ns, table)) => until(table, clock, time_ns),
        // SAFETY: as above.
        None => unsafe { real::clock_nanosleep(clock, flags, time, left) },
    }
}

/// Sleeps until a clock has come so far, which may be set meanwhile.
fn until(table: &Table, clock: clockid_t, end_ns: u64) -> c_int {
    loop {
        let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a live place.
        unsafe { libc::clock_gettime(clock, &mut now) };
        let now_ns = real::nanoseconds(now.tv_sec, now.tv_nsec).unwrap_or(u64::MAX);
        let left_ns = end_ns.saturating_sub(now_ns);
        if left_ns == 0 {
            return 0;
        }
        let code = (table.sleep)(left_ns);
        if code != 0 {
            return code;
        }
    }
}

fn parking(call: &'static str) -> Option<&'static Table> {
    Coroutine::running()?.parks(call)
}

/// As calls end that say -1.
fn ended(code: c_int) -> c_int {
    if code == 0 { 0 } else { errno::fail(code) }
}
