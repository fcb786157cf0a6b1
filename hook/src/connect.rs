//! Connections: connect, accept, accept4.

use std::ffi::c_int;
use std::mem::size_of;

use libc::{sockaddr, socklen_t};

use crate::engine::Coroutine;
use crate::table::Table;
use crate::wait::{self, Interest, Waiting, outcome};
use crate::watch::Seen;
use crate::{errno, real};

/// How long a socket of UNIX whose listener's queue is full rests before it tries again: nothing
/// tells when there is room.
const REST_NS: u64 = 1_000_000;

/// # Safety
/// As connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int {
    let Some(coroutine) = Coroutine::running().filter(|_| !wait::is_nonblocking(fd)) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real::connect(fd, address, size) };
    };
    let seen = Seen::now(fd);
    // SAFETY: as above.
    let once = || unsafe { without_blocking(fd, || real::connect(fd, address, size)) };
    let first = once();
    if first == 0 || !matches!(errno::get(), libc::EINPROGRESS | libc::EAGAIN | libc::EALREADY) {
        return first;
    }
    let is_under_way = errno::get() != libc::EAGAIN;
    let Some(table) = coroutine.parks("connect") else {
        // It waits for the one that is under way.
        // SAFETY: as above.
        return unsafe { real::connect(fd, address, size) };
    };
    let deadline_ns = wait::deadline_of(table, fd, Interest::Writable);
    let ended = match is_under_way {
        true => {
            let waiting = Waiting::new(table, seen, Interest::Writable, deadline_ns);
            until_connected(fd, waiting)
        }
        false => until_there_is_room(table, deadline_ns, once),
    };
    match ended {
        Ok(()) => 0,
        Err(errno) => errno::fail(errno),
    }
}

/// Waits for the outcome of a connect that is under way.
fn until_connected(fd: c_int, mut waiting: Waiting) -> Result<(), c_int> {
    while !wait::is_ready(fd, Interest::Writable) {
        // A timeout leaves it under way, as in the kernel.
        let under_way = |errno| if errno == libc::ETIMEDOUT { libc::EINPROGRESS } else { errno };
        waiting.until_ready(fd).map_err(under_way)?;
    }
    let mut error: c_int = 0;
    let mut size = size_of::<c_int>() as socklen_t;
    let place = (&raw mut error).cast();
    // SAFETY: a live place of that size.
    match unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, place, &mut size) } {
        0 => outcome(error),
        _ => Err(errno::get()),
    }
}

fn until_there_is_room(
    table: &Table,
    deadline_ns: u64,
    once: impl Fn() -> c_int,
) -> Result<(), c_int> {
    loop {
        outcome((table.sleep)(REST_NS))?;
        if once() == 0 {
            return Ok(());
        }
        let is_late = deadline_ns != 0 && (table.now_ns)() >= deadline_ns;
        if errno::get() != libc::EAGAIN || is_late {
            return Err(errno::get());
        }
    }
}

/// Runs a call on a blocking descriptor that does not block for as long. Nobody else runs on this
/// thread meanwhile.
fn without_blocking(fd: c_int, call: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: takes numbers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
    let result = call();
    let errno = errno::get();
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
    errno::set(errno);
    result
}

/// # Safety
/// As accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, size: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    accepted("accept", fd, || unsafe { real::accept(fd, address, size) })
}

/// # Safety
/// As accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    size: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    accepted("accept4", fd, || unsafe { real::accept4(fd, address, size, flags) })
}

/// Accepts when there is somebody. Nothing accepts without blocking on a listener that blocks, so
/// it is asked first.
fn accepted(call: &'static str, fd: c_int, really: impl Fn() -> c_int) -> c_int {
    let Some(coroutine) = Coroutine::running() else { return really() };
    let once = || match wait::is_ready(fd, Interest::Readable) || wait::is_nonblocking(fd) {
        true => really() as isize,
        false => errno::fail(libc::EAGAIN),
    };
    let accepted = wait::attempt(coroutine, call, (fd, Interest::Readable), once);
    accepted.map_or_else(really, |fd| fd as c_int)
}
