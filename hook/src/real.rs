//! The functions of the C library, or of whoever stands between it and us.

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use libc::{
    addrinfo, clockid_t, epoll_event, fd_set, iovec, mmsghdr, msghdr, nfds_t, pollfd, sigset_t,
    size_t, sockaddr, socklen_t, ssize_t, timespec, timeval,
};

use crate::next::real;

real! {
    fn read(fd: c_int, data: *mut c_void, size: size_t) -> ssize_t;
    fn __read_chk(fd: c_int, data: *mut c_void, size: size_t, room: size_t) -> ssize_t;
    fn readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    fn recv(fd: c_int, data: *mut c_void, size: size_t, flags: c_int) -> ssize_t;
    fn __recv_chk(
        fd: c_int, data: *mut c_void, size: size_t, room: size_t, flags: c_int,
    ) -> ssize_t;
    fn recvfrom(
        fd: c_int, data: *mut c_void, size: size_t, flags: c_int,
        address: *mut sockaddr, address_size: *mut socklen_t,
    ) -> ssize_t;
    fn __recvfrom_chk(
        fd: c_int, data: *mut c_void, size: size_t, room: size_t, flags: c_int,
        address: *mut sockaddr, address_size: *mut socklen_t,
    ) -> ssize_t;
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    fn recvmmsg(
        fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec,
    ) -> c_int;
    fn write(fd: c_int, data: *const c_void, size: size_t) -> ssize_t;
    fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    fn send(fd: c_int, data: *const c_void, size: size_t, flags: c_int) -> ssize_t;
    fn sendto(
        fd: c_int, data: *const c_void, size: size_t, flags: c_int,
        address: *const sockaddr, address_size: socklen_t,
    ) -> ssize_t;
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int;
    fn connect(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int;
    fn accept(fd: c_int, address: *mut sockaddr, size: *mut socklen_t) -> c_int;
    fn accept4(fd: c_int, address: *mut sockaddr, size: *mut socklen_t, flags: c_int) -> c_int;
    fn poll(wanted: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int;
    fn __poll_chk(wanted: *mut pollfd, count: nfds_t, timeout_ms: c_int, room: size_t) -> c_int;
    fn ppoll(
        wanted: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t,
    ) -> c_int;
    fn __ppoll_chk(
        wanted: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t,
        room: size_t,
    ) -> c_int;
    fn select(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        timeout: *mut timeval,
    ) -> c_int;
    fn pselect(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        timeout: *const timespec, mask: *const sigset_t,
    ) -> c_int;
    fn epoll_wait(
        epoll: c_int, events: *mut epoll_event, count: c_int, timeout_ms: c_int,
    ) -> c_int;
    fn sleep(seconds: c_uint) -> c_uint;
    fn usleep(microseconds: c_uint) -> c_int;
    fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int;
    fn clock_nanosleep(
        clock: clockid_t, flags: c_int, time: *const timespec, left: *mut timespec,
    ) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn dup2(source: c_int, target: c_int) -> c_int;
    fn dup3(source: c_int, target: c_int, flags: c_int) -> c_int;
    fn getaddrinfo(
        node: *const c_char, service: *const c_char, hints: *const addrinfo,
        found: *mut *mut addrinfo,
    ) -> c_int;
}

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// A time as nanoseconds; `None` where it is no time.
pub(crate) fn nanoseconds(seconds: c_long, rest_ns: c_long) -> Option<u64> {
    let seconds = u64::try_from(seconds).ok()?;
    let rest_ns = u64::try_from(rest_ns).ok().filter(|rest_ns| *rest_ns < SECOND_NS)?;
    Some(seconds.saturating_mul(SECOND_NS).saturating_add(rest_ns))
}
