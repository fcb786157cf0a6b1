//! Sending: write, writev, send, sendto, sendmsg, sendmmsg. On a socket or pipe that blocks, all of
//! it is sent before the call returns, as the kernel does it.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use libc::{iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::engine::Coroutine;
use crate::pieces::{self, Pieces};
use crate::wait::{self, Interest};
use crate::{errno, file, real};

/// The coroutine that is to park; `None` where the C library is to do all of it.
fn parking(fd: c_int, flags: c_int) -> Option<Coroutine> {
    let coroutine = Coroutine::running()?;
    (flags & libc::MSG_DONTWAIT == 0 && !file::is_standard(fd)).then_some(coroutine)
}

/// # Safety
/// As write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, data: *const c_void, size: size_t) -> ssize_t {
    let piece = file::piece(data, size);
    match parking(fd, 0).filter(|_| size > 0) {
        // SAFETY: the caller's promise, handed on.
        Some(coroutine) => unsafe { gather(coroutine, "write", fd, (&raw const piece, 1)) },
        None => None,
    }
    // SAFETY: as above; nothing was written.
    .unwrap_or_else(|| unsafe { real::write(fd, data, size) })
}

/// # Safety
/// As writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    match parking(fd, 0) {
        // SAFETY: the caller's promise, handed on.
        Some(coroutine) => unsafe { gather(coroutine, "writev", fd, (pieces, count)) },
        None => None,
    }
    // SAFETY: as above; nothing was written.
    .unwrap_or_else(|| unsafe { real::writev(fd, pieces, count) })
}

/// Writes to a socket, or to what is none. `None`: the C library is to do it.
///
/// # Safety
/// As writev(2).
unsafe fn gather(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    (pieces, count): (*const iovec, c_int),
) -> Option<ssize_t> {
    let message = pieces::message(pieces, count);
    // SAFETY: the caller's promise.
    if unsafe { pieces::size(pieces, message.msg_iovlen) } == 0 {
        // Not a message without bytes, which a socket would send.
        return None;
    }
    // SAFETY: as above.
    let sent = unsafe { send_message(coroutine, call, fd, message, 0) };
    if sent != Some(-1) || errno::get() != libc::ENOTSOCK {
        return sent;
    }
    // SAFETY: as above.
    let pieces = unsafe { Pieces::of(pieces, usize::try_from(count).unwrap_or(0)) }?;
    file::write(coroutine, call, fd, pieces)
}

/// # Safety
/// As send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(
    fd: c_int,
    data: *const c_void,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { to(fd, "send", (data, size), flags, (ptr::null(), 0)) }
        .unwrap_or_else(|| unsafe { real::send(fd, data, size, flags) })
}

/// # Safety
/// As sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    data: *const c_void,
    size: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_size: socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { to(fd, "sendto", (data, size), flags, (address, address_size)) }
        .unwrap_or_else(|| unsafe { real::sendto(fd, data, size, flags, address, address_size) })
}

/// Sends bytes to an address, if there is one. `None`: the C library is to do it.
///
/// # Safety
/// As sendto(2).
unsafe fn to(
    fd: c_int,
    call: &'static str,
    (data, size): (*const c_void, size_t),
    flags: c_int,
    (address, address_size): (*const sockaddr, socklen_t),
) -> Option<ssize_t> {
    let coroutine = parking(fd, flags)?;
    until_sent(coroutine, call, fd, size, |sent| {
        let (data, flags) = (data.wrapping_byte_add(sent), flags | libc::MSG_DONTWAIT);
        // SAFETY: the caller's bytes that are not sent yet.
        unsafe { real::sendto(fd, data, size - sent, flags, address, address_size) }
    })
}

/// # Safety
/// As sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    match parking(fd, flags) {
        // SAFETY: the caller's promise, handed on.
        Some(coroutine) => unsafe { send_message(coroutine, "sendmsg", fd, message.read(), flags) },
        None => None,
    }
    // SAFETY: as above; nothing was sent.
    .unwrap_or_else(|| unsafe { real::sendmsg(fd, message, flags) })
}

/// # Safety
/// As sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::sendmmsg(fd, messages, count, flags) };
    let Some(coroutine) = parking(fd, flags) else { return really() };
    let mut sent: c_uint = 0;
    // As many as the kernel takes (UIO_MAXIOV).
    while sent < count.min(1024) {
        // SAFETY: one of the caller's messages.
        let message = unsafe { &mut *messages.wrapping_add(sent as usize) };
        // SAFETY: as above. One after the other, since of a stream none may begin before the one
        // before it is sent to its end.
        match unsafe { send_message(coroutine, "sendmmsg", fd, message.msg_hdr, flags) } {
            Some(size) if size >= 0 => message.msg_len = size as c_uint,
            None if sent == 0 => return really(),
            // An error that the next call will tell again.
            None | Some(_) => return if sent > 0 { sent as c_int } else { -1 },
        }
        sent += 1;
    }
    sent as c_int
}

/// Sends a message. What goes beside the bytes goes with the first of them only.
///
/// # Safety
/// As sendmsg(2).
unsafe fn send_message(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    message: msghdr,
    flags: c_int,
) -> Option<ssize_t> {
    // Few have to be sent in parts; only then are the pieces copied.
    let mut rest: Option<Pieces> = None;
    let mut before = 0;
    // SAFETY: the caller's promise.
    let all = || unsafe { Pieces::of(message.msg_iov, message.msg_iovlen) };
    // SAFETY: as above.
    let size = unsafe { pieces::size(message.msg_iov, message.msg_iovlen) };
    until_sent(coroutine, call, fd, size, |sent| {
        let mut next = message;
        if sent > 0 {
            let mut pieces = rest.take().or_else(all)?;
            pieces.advance(sent - std::mem::replace(&mut before, sent));
            pieces.put_into(&mut next);
            (next.msg_control, next.msg_controllen) = (ptr::null_mut(), 0);
            rest = Some(pieces);
        }
        // SAFETY: the caller's message, as far as it is not sent yet.
        Some(unsafe { real::sendmsg(fd, &next, flags | libc::MSG_DONTWAIT) })
    })
}

/// Sends until `size` bytes are sent. An error after the first of them is told by the next call.
fn until_sent<T: Into<Option<isize>>>(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    size: usize,
    mut once: impl FnMut(usize) -> T,
) -> Option<ssize_t> {
    let mut sent: usize = 0;
    loop {
        let next = || once(sent).into().unwrap_or(-1);
        match wait::attempt(coroutine, call, (fd, Interest::Writable), next) {
            None if sent == 0 => return None,
            Some(count) if count > 0 => sent += count as usize,
            None | Some(_) if sent > 0 => break,
            other => return other,
        }
        if sent >= size {
            break;
        }
    }
    Some(sent as isize)
}
