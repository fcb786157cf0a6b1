//! Waiting for descriptors that the engine does not own: a pipe, a library's socket, a device.
//!
//! The caller's descriptor is duplicated for the wait. The kernel then watches a number that stays
//! ours until it has let go of it, whatever the caller closes meanwhile; a wait that ends early
//! cancels its operation, and the duplicate lives until that has ended too. The price is two system
//! calls a wait, which is nothing to whom it is for: code that talks to others by a library.
//!
//! Ready means that the next read or write does not block, also because it would fail: the caller
//! does it and sees. The descriptor should be non-blocking, since another process that shares it
//! may be faster.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use msec_sys::ring::{Interest, Op};
use msec_sys::socket::Socket;

use crate::error::{Error, Result};
use crate::polled::Polled;
use crate::shard;
use crate::sync::{Current, Wait, wait};

/// Waits until reading from `fd` does not block: there is something, or its end. Suspends.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # msec::Engine::start()?.run(|| {
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// msec::spawn(move || theirs.write_all(b"x"));
/// msec::readable(&ours)?;
/// assert_eq!(ours.read(&mut [0; 8])?, 1);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -2 it cannot be duplicated or watched, or this is no coroutine; -103 the task was cancelled.
pub fn readable(fd: impl AsFd) -> Result<()> {
    wait(&mut until_readable(fd)?, None, Interest::Readable.operation())?
}

/// As [`readable`], but not longer than that.
///
/// # Errors
/// As [`readable`], and -10 the time is up.
pub fn readable_timeout(fd: impl AsFd, timeout: Duration) -> Result<()> {
    wait(&mut until_readable(fd)?, Some(timeout), Interest::Readable.operation())?
}

/// Waits until writing to `fd` does not block: there is room, or nobody reads any more. Suspends.
///
/// # Errors
/// As [`readable`].
pub fn writable(fd: impl AsFd) -> Result<()> {
    wait(&mut until_writable(fd)?, None, Interest::Writable.operation())?
}

/// As [`writable`], but not longer than that.
///
/// # Errors
/// As [`readable_timeout`].
pub fn writable_timeout(fd: impl AsFd, timeout: Duration) -> Result<()> {
    wait(&mut until_writable(fd)?, Some(timeout), Interest::Writable.operation())?
}

/// [`readable`] as a [`Wait`], for a `select`; it may be used again.
///
/// # Errors
/// -2 the descriptor cannot be duplicated.
pub fn until_readable(fd: impl AsFd) -> Result<Readiness> {
    Readiness::new(fd, Interest::Readable)
}

/// [`writable`] as a [`Wait`], for a `select`; it may be used again.
///
/// # Errors
/// -2 the descriptor cannot be duplicated.
pub fn until_writable(fd: impl AsFd) -> Result<Readiness> {
    Readiness::new(fd, Interest::Writable)
}

/// What a wait for an interest is called.
trait Operation {
    fn operation(self) -> &'static str;
}

impl Operation for Interest {
    fn operation(self) -> &'static str {
        match self {
            Self::Readable => "wait for a readable descriptor",
            Self::Writable => "wait for a writable descriptor",
        }
    }
}

/// The readiness of a descriptor; see [`until_readable`] and [`until_writable`].
pub struct Readiness {
    /// The duplicate. Held here longer than by the operation: then the back end takes it off its
    /// list, which closing alone does not do while the caller's own descriptor is open.
    socket: Rc<Socket>,
    interest: Interest,
    under_way: Option<(Op, Rc<Polled>)>,
}

impl Readiness {
    fn new(fd: impl AsFd, interest: Interest) -> Result<Self> {
        let duplicate = fd.as_fd().try_clone_to_owned();
        let duplicate = duplicate.map_err(|error| Error::from_io(interest.operation(), &error))?;
        Ok(Self { socket: Socket::new(duplicate), interest, under_way: None })
    }
}

impl Wait for Readiness {
    /// Ready, or why it cannot be watched.
    type Output = Result<()>;

    fn poll(&mut self, current: &Current) -> Option<Result<()>> {
        let (shard, waiter) = current.place()?;
        let Some((_, polled)) = &self.under_way else {
            self.under_way = Some(shard.poll(&self.socket, self.interest, waiter));
            return None;
        };
        let Some(errno) = polled.outcome() else {
            polled.wakes(waiter);
            return None;
        };
        self.under_way = None;
        match errno {
            0 => Some(Ok(())),
            // What epoll says of a regular file, which is always ready (poll(2)).
            libc::EPERM => Some(Ok(())),
            _ => {
                let error = std::io::Error::from_raw_os_error(errno);
                Some(Err(Error::from_io(self.interest.operation(), &error)))
            }
        }
    }

    fn leave(&mut self) {
        if let (Some((op, _)), Some(shard)) = (self.under_way.take(), shard::current()) {
            shard.ring.borrow_mut().cancel(op);
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.leave();
    }
}
