//! The floors: the least that a TCP server on this kernel can do for a request, which is to send
//! the same bytes back.
//!
//! They parse nothing, so what an SRPC server costs above them is the price of its protocol and its
//! scheduling. Because the answer to an echo call is the request's own frame (same sequence, no
//! error, same body), the SRPC generator drives them like any other server. [`hold`] is the far end
//! of the `parked` row: it keeps what it reads until it is told to answer.

pub mod epoll;
pub mod hold;
pub mod uring;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

/// A listener that is ready for 5,000 connects at once, and whose connections do not delay small
/// writes.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let on: libc::c_int = 1;
    // SAFETY: `on` outlives the call. Accepted sockets inherit TCP_NODELAY from the listener on
    // Linux, which saves a call for each of them. A second listen(2) on a listening socket only
    // changes its backlog.
    let failed = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        ) != 0
            || libc::listen(listener.as_raw_fd(), 4096) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(listener) }
}
