//! Several descriptors at a time: poll, ppoll, epoll_wait, and the waiting that select shares.
//!
//! First they are asked without waiting. One descriptor is then waited for as any other; several
//! are put into an epoll of their own, and that is waited for.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{epoll_event, nfds_t, pollfd, sigset_t, size_t, timespec};

use crate::engine::Coroutine;
use crate::table::Table;
use crate::wait::{self, Interest};
use crate::watch::{Seen, Watch};
use crate::{errno, real};

/// How a wait ended.
pub(crate) enum Waited {
    /// With what the call returns.
    With(c_int),
    /// It is the C library's to do.
    NotOurs,
}

/// # Safety
/// As poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(wanted: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let ask = |timeout_ms| unsafe { real::poll(wanted, count, timeout_ms) };
    let Some(coroutine) = Coroutine::running().filter(|_| timeout_ms != 0) else {
        return ask(timeout_ms);
    };
    // SAFETY: so many are there, by the caller's promise.
    let list = || unsafe { list(wanted, count) };
    let deadline = |table: &Table| wait::after_ms(table, timeout_ms);
    match until(coroutine, "poll", list, || ask(0), deadline) {
        Waited::With(result) => result,
        Waited::NotOurs => ask(timeout_ms),
    }
}

/// # Safety
/// As ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    wanted: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let ask = |timeout| unsafe { real::ppoll(wanted, count, timeout, mask) };
    // SAFETY: NULL or a time, by the caller's promise.
    let time_ns = match unsafe { timeout.as_ref() } {
        Some(time) => real::nanoseconds(time.tv_sec, time.tv_nsec),
        None => Some(u64::MAX),
    };
    // What is no time is an error.
    let time_ns = time_ns.filter(|time_ns| *time_ns > 0);
    let Some((coroutine, time_ns)) = Coroutine::running().zip(time_ns) else {
        return ask(timeout);
    };
    // SAFETY: so many are there, by the caller's promise.
    let list = || unsafe { list(wanted, count) };
    let at_once = timespec { tv_sec: 0, tv_nsec: 0 };
    let deadline = |table: &Table| deadline(table, time_ns);
    match until(coroutine, "ppoll", list, || ask(&raw const at_once), deadline) {
        Waited::With(result) => result,
        Waited::NotOurs => ask(timeout),
    }
}

/// # Safety
/// As epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout_ms: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let ask = |timeout_ms| unsafe { real::epoll_wait(epoll, events, count, timeout_ms) };
    let Some(coroutine) = Coroutine::running().filter(|_| timeout_ms != 0) else {
        return ask(timeout_ms);
    };
    let list = || vec![pollfd { fd: epoll, events: libc::POLLIN, revents: 0 }];
    let deadline = |table: &Table| wait::after_ms(table, timeout_ms);
    match until(coroutine, "epoll_wait", list, || ask(0), deadline) {
        Waited::With(result) => result,
        Waited::NotOurs => ask(timeout_ms),
    }
}

/// # Safety
/// As poll(2); `room` is what the compiler knows of the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __poll_chk(
    wanted: *mut pollfd,
    count: nfds_t,
    timeout_ms: c_int,
    room: size_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        // What does not fit ends the process, over there.
        match fits(count, room) {
            true => poll(wanted, count, timeout_ms),
            false => real::__poll_chk(wanted, count, timeout_ms, room),
        }
    }
}

/// # Safety
/// As ppoll(2); `room` is what the compiler knows of the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll_chk(
    wanted: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    room: size_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        match fits(count, room) {
            true => ppoll(wanted, count, timeout, mask),
            false => real::__ppoll_chk(wanted, count, timeout, mask, room),
        }
    }
}

fn fits(count: nfds_t, room: size_t) -> bool {
    room / size_of::<pollfd>() >= count as usize
}

/// # Safety
/// So many are there.
unsafe fn list(wanted: *const pollfd, count: nfds_t) -> Vec<pollfd> {
    if wanted.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(wanted, count as usize) }.to_vec()
}

/// A time from now as a deadline; `u64::MAX` is never.
pub(crate) fn deadline(table: &Table, time_ns: u64) -> u64 {
    if time_ns == u64::MAX { 0 } else { wait::after(table, time_ns) }
}

/// Asks again and again, until the answer is not 0 or the time is over.
pub(crate) fn until(
    coroutine: Coroutine,
    call: &'static str,
    list: impl Fn() -> Vec<pollfd>,
    ask: impl Fn() -> c_int,
    deadline: impl Fn(&Table) -> u64,
) -> Waited {
    let first = ask();
    if first != 0 {
        return Waited::With(first);
    }
    let Some(table) = coroutine.parks(call) else { return Waited::NotOurs };
    let (list, deadline_ns) = (list(), deadline(table));
    // What is negative is not asked for.
    let list: Vec<_> = list.into_iter().filter(|wanted| wanted.fd >= 0).collect();
    let seen: Vec<_> = list.iter().map(|wanted| Seen::now(wanted.fd)).collect();
    let several = match Several::of(&list) {
        Ok(several) => several,
        Err(errno) => return Waited::With(errno::fail(errno)),
    };
    let watch = Watch::of(&seen);
    let mut vain_count = 0;
    loop {
        let ended = match &several {
            Several::None => wait_for_time(table, deadline_ns),
            Several::One(fd, interest) => {
                wait::until_ready(table, *fd, *interest, deadline_ns, &watch)
            }
            Several::All(epoll) => {
                let epoll = epoll.as_raw_fd();
                wait::until_ready(table, epoll, Interest::Readable, deadline_ns, &watch)
            }
        };
        let is_late = match ended {
            Ok(()) => false,
            Err(libc::ETIMEDOUT) => true,
            Err(errno) if seen.iter().any(|seen| seen.is_closed()) && errno != libc::ECANCELED => {
                false
            }
            Err(errno) => return Waited::With(errno::fail(errno)),
        };
        let answer = ask();
        if answer != 0 || is_late {
            return Waited::With(answer);
        }
        if seen.iter().any(|seen| seen.is_closed()) {
            // The number is another file's by now, which nobody has asked for.
            return Waited::With(errno::fail(libc::EBADF));
        }
        vain_count += 1;
        if vain_count > wait::VAIN_MAX {
            vain_count = 0;
            if let Err(errno) = wait::outcome((table.sleep)(wait::REST_NS)) {
                return Waited::With(errno::fail(errno));
            }
        }
    }
}

/// Nothing but the time is waited for.
fn wait_for_time(table: &Table, deadline_ns: u64) -> Result<(), c_int> {
    let left_ns = match deadline_ns {
        0 => u64::MAX,
        end_ns => end_ns.saturating_sub((table.now_ns)()),
    };
    wait::outcome((table.sleep)(left_ns))?;
    Err(libc::ETIMEDOUT)
}

/// What is waited for, in the cheapest way.
enum Several {
    None,
    One(c_int, Interest),
    All(OwnedFd),
}

impl Several {
    fn of(list: &[pollfd]) -> Result<Several, c_int> {
        match list {
            [] => Ok(Several::None),
            [one] if one.events == libc::POLLIN => Ok(Several::One(one.fd, Interest::Readable)),
            [one] if one.events == libc::POLLOUT => Ok(Several::One(one.fd, Interest::Writable)),
            all => Several::together(all),
        }
    }

    /// An epoll that is readable once one of them is ready. Events have the same numbers there.
    fn together(list: &[pollfd]) -> Result<Several, c_int> {
        // SAFETY: takes a number.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(errno::get());
        }
        // SAFETY: the kernel has just made it, for us.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut list: Vec<_> = list.iter().map(|it| (it.fd, it.events as u16)).collect();
        // One that is there twice is wanted for both.
        list.sort_unstable();
        list.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 |= if is_same { next.1 } else { 0 };
            is_same
        });
        for (fd, events) in list {
            let mut event = epoll_event { events: u32::from(events), u64: 0 };
            let add = libc::EPOLL_CTL_ADD;
            // SAFETY: a live event.
            let added = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, fd, &mut event) };
            // What is always ready (EPERM) has been asked already, and is not ready for this.
            if added != 0 && errno::get() != libc::EPERM {
                return Err(errno::get());
            }
        }
        Ok(Several::All(epoll))
    }
}
