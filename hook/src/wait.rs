//! Waiting for one descriptor, and trying again.

use std::ffi::{c_int, c_void};
use std::mem::{size_of, zeroed};

use crate::engine::Coroutine;
use crate::real::SECOND_NS;
use crate::table::{Request, Table};
use crate::watch::{Seen, Watch};
use crate::{errno, real};

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
}

impl Interest {
    /// As poll(2) has it.
    pub(crate) fn events(self) -> i16 {
        match self {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
        }
    }

    /// The option of a socket that says how long.
    fn timeout_option(self) -> c_int {
        match self {
            Interest::Readable => libc::SO_RCVTIMEO,
            Interest::Writable => libc::SO_SNDTIMEO,
        }
    }
}

/// Ready for nothing so often in a row, it is rested before the next look: a socket of UNIX for
/// datagrams is writable whose peer has no room, and a hang-up ends an epoll, but no select for
/// what is exceptional.
pub(crate) const VAIN_MAX: u32 = 2;
pub(crate) const REST_NS: u64 = 1_000_000;

/// A call that waits for a descriptor, as often as it takes.
pub(crate) struct Waiting {
    table: &'static Table,
    seen: Seen,
    interest: Interest,
    deadline_ns: u64,
    vain_count: u32,
}

impl Waiting {
    /// Of a call that has begun with `seen`; until `deadline_ns`, 0 for ever.
    pub(crate) fn new(
        table: &'static Table,
        seen: Seen,
        interest: Interest,
        deadline_ns: u64,
    ) -> Waiting {
        Waiting { table, seen, interest, deadline_ns, vain_count: 0 }
    }

    /// Parks until the descriptor is worth another try.
    ///
    /// # Errors
    /// An errno: ETIMEDOUT, ECANCELED, EBADF, or why it cannot be watched.
    pub(crate) fn until_ready(&mut self, fd: c_int) -> Result<(), c_int> {
        self.vain_count += 1;
        if self.vain_count > VAIN_MAX {
            self.vain_count = 0;
            outcome((self.table.sleep)(REST_NS))?;
        }
        let seen = [self.seen];
        let ended = until_ready(self.table, fd, self.interest, self.deadline_ns, &Watch::of(&seen));
        if self.seen.is_closed() {
            return Err(libc::EBADF);
        }
        ended
    }
}

/// Parks until `fd` is ready, or one of those that are watched was closed.
pub(crate) fn until_ready(
    table: &'static Table,
    fd: c_int,
    interest: Interest,
    deadline_ns: u64,
    watch: &Watch<'_>,
) -> Result<(), c_int> {
    let request = Request {
        fd,
        is_for_room: interest == Interest::Writable,
        deadline_ns,
        bell: watch.bell(),
        is_over: Watch::is_over,
        argument: watch.argument(),
    };
    // SAFETY: the request and what it points to live for the call.
    outcome(unsafe { (table.wait)(&request) })
}

/// What the engine said, as a result.
pub(crate) fn outcome(code: c_int) -> Result<(), c_int> {
    if code == 0 { Ok(()) } else { Err(code) }
}

/// Tries until it does not end with EAGAIN; `once` must not block. `None`: nothing was done, and
/// the C library is to do it.
///
/// A timeout of the socket ends with EAGAIN, as in the kernel.
pub(crate) fn attempt(
    coroutine: Coroutine,
    call: &'static str,
    (fd, interest): (c_int, Interest),
    mut once: impl FnMut() -> isize,
) -> Option<isize> {
    let seen = Seen::now(fd);
    let first = once();
    if !would_block(first) {
        return Some(first);
    }
    if is_nonblocking(fd) {
        return Some(errno::fail(libc::EAGAIN));
    }
    let table = coroutine.parks(call)?;
    let deadline_ns = deadline_of(table, fd, interest);
    let mut waiting = Waiting::new(table, seen, interest, deadline_ns);
    loop {
        match waiting.until_ready(fd) {
            Ok(()) => {}
            Err(libc::ETIMEDOUT) => return Some(errno::fail(libc::EAGAIN)),
            Err(errno) => return Some(errno::fail(errno)),
        }
        let result = once();
        if !would_block(result) {
            return Some(result);
        }
    }
}

fn would_block(result: isize) -> bool {
    result < 0 && errno::get() == libc::EAGAIN
}

/// Whether its owner wants EAGAIN. A descriptor that is none does not wait either.
pub(crate) fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: takes numbers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags < 0 || flags & libc::O_NONBLOCK != 0
}

/// Whether it is ready now.
pub(crate) fn is_ready(fd: c_int, interest: Interest) -> bool {
    let mut wanted = libc::pollfd { fd, events: interest.events(), revents: 0 };
    // SAFETY: one live element.
    unsafe { real::poll(&mut wanted, 1, 0) > 0 }
}

/// When the timeout of a socket is over that begins now; 0: never, or it is no socket.
pub(crate) fn deadline_of(table: &Table, fd: c_int, interest: Interest) -> u64 {
    let option = interest.timeout_option();
    // SAFETY: numbers, which may be zero.
    let mut time: libc::timeval = unsafe { zeroed() };
    let mut size = size_of::<libc::timeval>() as libc::socklen_t;
    let place = (&raw mut time).cast::<c_void>();
    // SAFETY: a live place of that size.
    let known = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, place, &mut size) } == 0;
    let time_ns = real::nanoseconds(time.tv_sec, time.tv_usec.saturating_mul(1000)).unwrap_or(0);
    if !known || time_ns == 0 { 0 } else { after(table, time_ns) }
}

/// That long from now, as a deadline.
pub(crate) fn after(table: &Table, time_ns: u64) -> u64 {
    (table.now_ns)().saturating_add(time_ns)
}

/// So many milliseconds from now, as poll(2) has them; 0: never.
pub(crate) fn after_ms(table: &Table, time_ms: c_int) -> u64 {
    match u64::try_from(time_ms) {
        Ok(time_ms) => after(table, time_ms * (SECOND_NS / 1000)),
        Err(_) => 0,
    }
}
