//! Receiving: read, readv, recv, recvfrom, recvmsg, recvmmsg, and their forms in programs that are
//! compiled with `_FORTIFY_SOURCE`.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::size_of;
use std::ptr;

use libc::{iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use crate::engine::{self, Coroutine};
use crate::pieces::{self, Pieces};
use crate::wait::{self, Interest};
use crate::{errno, file, real};

/// With one of these the call never blocks.
const NEVER_BLOCK: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE | libc::MSG_OOB;

/// The coroutine that is to park; `None` where the C library is to do all of it.
fn parking(fd: c_int, flags: c_int) -> Option<Coroutine> {
    let coroutine = Coroutine::running()?;
    (flags & NEVER_BLOCK == 0 && !file::is_standard(fd)).then_some(coroutine)
}

/// # Safety
/// As read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, data: *mut c_void, size: size_t) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::read(fd, data, size) };
    // Nothing is read at once, also from a socket.
    let Some(coroutine) = parking(fd, 0).filter(|_| size > 0) else { return really() };
    let once = || {
        // SAFETY: as above.
        unsafe { real::recv(fd, data, size, libc::MSG_DONTWAIT) }
    };
    let received = wait::attempt(coroutine, "read", (fd, Interest::Readable), once);
    let received = match received {
        Some(-1) if errno::get() == libc::ENOTSOCK => file::read(coroutine, "read", fd, really),
        other => other,
    };
    received.unwrap_or_else(really)
}

/// # Safety
/// As readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::readv(fd, pieces, count) };
    let Some(coroutine) = parking(fd, 0) else { return really() };
    // SAFETY: as above.
    if unsafe { pieces::size(pieces, usize::try_from(count).unwrap_or(0)) } == 0 {
        return really();
    }
    let once = || {
        let mut message = pieces::message(pieces, count);
        // SAFETY: as above.
        unsafe { real::recvmsg(fd, &mut message, libc::MSG_DONTWAIT) }
    };
    let received = wait::attempt(coroutine, "readv", (fd, Interest::Readable), once);
    let received = match received {
        Some(-1) if errno::get() == libc::ENOTSOCK => file::read(coroutine, "readv", fd, really),
        other => other,
    };
    received.unwrap_or_else(really)
}

/// # Safety
/// As recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, data: *mut c_void, size: size_t, flags: c_int) -> ssize_t {
    let Some(coroutine) = parking(fd, flags) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real::recv(fd, data, size, flags) };
    };
    // SAFETY: as above.
    unsafe {
        receive(coroutine, "recv", fd, (data, size), flags, (ptr::null_mut(), ptr::null_mut()))
    }
}

/// # Safety
/// As recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_size: *mut socklen_t,
) -> ssize_t {
    let Some(coroutine) = parking(fd, flags) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real::recvfrom(fd, data, size, flags, address, address_size) };
    };
    // SAFETY: as above.
    unsafe { receive(coroutine, "recvfrom", fd, (data, size), flags, (address, address_size)) }
}

/// Receives bytes, of a stream as many as are asked for if `flags` say so.
///
/// # Safety
/// As recvfrom(2).
unsafe fn receive(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    (data, size): (*mut c_void, size_t),
    flags: c_int,
    (address, address_size): (*mut sockaddr, *mut socklen_t),
) -> ssize_t {
    // SAFETY: NULL, or the size of the address, as the caller promises.
    let room = unsafe { address_size.as_ref() }.copied();
    let once = |received: usize| {
        if let Some(room) = room {
            // SAFETY: as above; an attempt before may have changed it.
            unsafe { address_size.write(room) };
        }
        let (data, flags) = (data.wrapping_byte_add(received), flags | libc::MSG_DONTWAIT);
        // SAFETY: the part of the caller's memory that is not filled yet.
        unsafe { real::recvfrom(fd, data, size - received, flags, address, address_size) }
    };
    let received = until_whole(coroutine, call, fd, size, flags, once);
    // SAFETY: the caller's promise, handed on; nothing was received.
    received
        .unwrap_or_else(|| unsafe { real::recvfrom(fd, data, size, flags, address, address_size) })
}

/// # Safety
/// As recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::recvmsg(fd, message, flags) };
    let Some(coroutine) = parking(fd, flags) else { return really() };
    // SAFETY: a message, by the caller's promise.
    let given = unsafe { message.read() };
    // SAFETY: as above.
    let pieces = unsafe { Pieces::of(given.msg_iov, given.msg_iovlen) };
    // What came beside the first part would be overwritten: then that part is all.
    let is_bare = given.msg_control.is_null();
    let whole = pieces.as_ref().filter(|_| is_bare).map_or(0, Pieces::size);
    let mut left = pieces;
    let mut before = 0;
    let once = |received: usize| {
        let mut next = given;
        if let Some(left) = &mut left {
            left.advance(received - std::mem::replace(&mut before, received));
            left.put_into(&mut next);
        }
        // SAFETY: the caller's memory, as far as it is not filled yet.
        let count = unsafe { real::recvmsg(fd, &mut next, flags | libc::MSG_DONTWAIT) };
        if count >= 0 {
            // SAFETY: the caller's message, which stays made of his pieces.
            unsafe {
                (*message).msg_namelen = next.msg_namelen;
                (*message).msg_controllen = next.msg_controllen;
                (*message).msg_flags = next.msg_flags;
            }
        }
        count
    };
    until_whole(coroutine, "recvmsg", fd, whole, flags, once).unwrap_or_else(really)
}

/// Waits for all of the messages, or with MSG_WAITFORONE for the first of them. The time is looked
/// at after each message, as by the kernel (recvmmsg(2), BUGS).
///
/// # Safety
/// As recvmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::recvmmsg(fd, messages, count, flags, timeout) };
    let parking = parking(fd, flags).filter(|_| count > 0).zip(engine::engine());
    let Some((coroutine, table)) = parking else { return really() };
    // SAFETY: NULL, or a time, as the caller promises.
    let end_ns = match unsafe { timeout.as_ref() } {
        None => u64::MAX,
        Some(time) => match real::nanoseconds(time.tv_sec, time.tv_nsec) {
            Some(time_ns) => wait::after(table, time_ns),
            None => return really(),
        },
    };
    let mut received: c_uint = 0;
    while received < count {
        let once = || {
            let (next, left) = (messages.wrapping_add(received as usize), count - received);
            // SAFETY: the caller's messages that are not filled yet.
            let more = unsafe {
                real::recvmmsg(fd, next, left, flags | libc::MSG_DONTWAIT, ptr::null_mut())
            };
            more as isize
        };
        match wait::attempt(coroutine, "recvmmsg", (fd, Interest::Readable), once) {
            None if received == 0 => return really(),
            Some(more) if more > 0 => received += more as c_uint,
            // An error that the next call will tell again.
            None | Some(_) if received > 0 => break,
            Some(ended) => return ended as c_int,
            None => break,
        }
        if flags & libc::MSG_WAITFORONE != 0 || (table.now_ns)() >= end_ns {
            break;
        }
    }
    received as c_int
}

/// Receives once; with MSG_WAITALL until `size` bytes of a stream are there. A look that takes
/// nothing (MSG_PEEK) is content with what there is.
fn until_whole(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    size: usize,
    flags: c_int,
    mut once: impl FnMut(usize) -> isize,
) -> Option<isize> {
    let mut received: usize = 0;
    loop {
        let next = || once(received);
        match wait::attempt(coroutine, call, (fd, Interest::Readable), next) {
            None if received == 0 => return None,
            Some(count) if count > 0 => received += count as usize,
            // Its end, or an error that the next call will tell again.
            None | Some(_) if received > 0 => break,
            other => return other,
        }
        let wants_all = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
        if received >= size || !wants_all || !is_stream(fd) {
            break;
        }
    }
    Some(received as isize)
}

fn is_stream(fd: c_int) -> bool {
    let mut kind: c_int = 0;
    let mut size = size_of::<c_int>() as socklen_t;
    let place = (&raw mut kind).cast();
    // SAFETY: a live place of that size.
    let told = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, place, &mut size) };
    told == 0 && kind == libc::SOCK_STREAM
}

/// # Safety
/// As read(2); `room` is what the compiler knows of the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __read_chk(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    room: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        // What does not fit ends the process, over there.
        if size > room { real::__read_chk(fd, data, size, room) } else { read(fd, data, size) }
    }
}

/// # Safety
/// As recv(2); `room` is what the compiler knows of the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recv_chk(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    room: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        match size > room {
            true => real::__recv_chk(fd, data, size, room, flags),
            false => recv(fd, data, size, flags),
        }
    }
}

/// # Safety
/// As recvfrom(2); `room` is what the compiler knows of the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    room: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_size: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        match size > room {
            true => real::__recvfrom_chk(fd, data, size, room, flags, address, address_size),
            false => recvfrom(fd, data, size, flags, address, address_size),
        }
    }
}
