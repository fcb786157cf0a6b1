//! Descriptors that are passed from one process to another, with some bytes, over a unix socket.
//!
//! The socket keeps what is in it until somebody takes it: a descriptor is open as long as it is
//! under way, whoever ends meanwhile.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Bytes that may go with a descriptor. A message must fit into the socket's buffer, 208 KiB
/// unless configured otherwise (socket(7), `wmem_default`).
pub const PASSED_BYTES_MAX: usize = 64 << 10;

/// Room for one control message, with a descriptor or an address, aligned as its header wants it.
#[repr(C, align(8))]
pub(crate) struct Control(pub(crate) [u8; 64]);

/// One end to send through, the other to receive from; messages keep their bounds.
pub fn passage() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: a place for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made both for us, and nobody else knows them.
    let end = |number| unsafe { OwnedFd::from_raw_fd(number) };
    Ok((end(ends[0]), end(ends[1])))
}

/// Sends a descriptor with at most [`PASSED_BYTES_MAX`] bytes; blocks while there is no room.
pub fn pass(to: &OwnedFd, descriptor: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // A message without a byte would be the end.
    let kind = [u8::from(!bytes.is_empty())];
    let mut parts = [part(&kind), part(bytes)];
    let mut control = Control([0; 64]);
    let header = header(&mut parts, &mut control);
    let number = descriptor.as_raw_fd();
    // SAFETY: the control buffer is aligned and has room for one message with one descriptor.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(message).cast::<RawFd>().write_unaligned(number);
    }
    loop {
        // SAFETY: the header and all that it points to live for the call.
        let sent = unsafe { libc::sendmsg(to.as_raw_fd(), &header, libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Waits for a descriptor, with what came with it. `None` once `bell` can be read or is at its end.
pub fn receive(from: &OwnedFd, bell: &OwnedFd) -> io::Result<Option<(OwnedFd, Vec<u8>)>> {
    let wait = |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut waits = [wait(from), wait(bell)];
    // SAFETY: two live entries, and no time limit.
    let ready = unsafe { libc::poll(waits.as_mut_ptr(), 2, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted => receive(from, bell),
            _ => Err(error),
        };
    }
    if waits[1].revents != 0 {
        return Ok(None);
    }
    match take(from) {
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(from, bell),
        taken => taken.map(Some),
    }
}

fn take(from: &OwnedFd) -> io::Result<(OwnedFd, Vec<u8>)> {
    let mut bytes = vec![0u8; 1 + PASSED_BYTES_MAX];
    let mut parts = [libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }];
    let mut control = Control([0; 64]);
    let mut header = header(&mut parts, &mut control);
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header and all that it points to live for the call, and are writable.
    let count = unsafe { libc::recvmsg(from.as_raw_fd(), &mut header, flags) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "nobody sends any more");
    // SAFETY: the kernel wrote the control buffer and its length.
    let number = unsafe {
        let message = libc::CMSG_FIRSTHDR(&header);
        if message.is_null() || (*message).cmsg_type != libc::SCM_RIGHTS {
            return Err(closed());
        }
        libc::CMSG_DATA(message).cast::<RawFd>().read_unaligned()
    };
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    bytes.truncate(count as usize);
    bytes.drain(..1.min(bytes.len()));
    Ok((descriptor, bytes))
}

/// Bytes that are only read.
fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn header(parts: &mut [libc::iovec], control: &mut Control) -> libc::msghdr {
    // SAFETY: all of its fields are numbers and pointers, which may be zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len() as _;
    header.msg_control = ptr::from_mut(control).cast();
    // SAFETY: computes a length.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_with_their_bytes_and_the_bell_ends_the_wait() {
        let (to, from) = passage().expect("a pair of sockets");
        let (mut bell, listens) = UnixStream::pair().expect("a pair of sockets");
        let listens = OwnedFd::from(listens);
        let (mut far, near) = UnixStream::pair().expect("a pair of sockets");
        for bytes in [vec![], b"held".to_vec(), vec![7; PASSED_BYTES_MAX]] {
            pass(&to, &near.try_clone().expect("a copy").into(), &bytes).expect("there is room");
            let (fd, came) = receive(&from, &listens).expect("it came").expect("no bell");
            assert_eq!(came, bytes);
            UnixStream::from(fd).write_all(b"x").expect("the far end is open");
            let mut byte = [0];
            far.read_exact(&mut byte).expect("a byte");
        }
        bell.write_all(b"!").expect("there is room");
        assert!(receive(&from, &listens).expect("no error").is_none());
        drop(to);
        let (_bell, listens) = UnixStream::pair().expect("a pair of sockets");
        assert!(receive(&from, &listens.into()).is_err(), "nobody can send");
    }
}
