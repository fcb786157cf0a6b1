//! The ring: one interface to the kernel's sockets with two back ends, `uring` and `epoll`.
//!
//! The interface is that of completions. A caller starts an operation on a [`Socket`] with a
//! [`Token`] of its own choice and later finds [`Event`]s that carry the token. What the kernel
//! offers is hidden below: multishot operations and a shared buffer ring where they work, one-shot
//! operations or readiness where they do not, `epoll` where io_uring is forbidden.
//!
//! ```text
//!   accept ──► Accepted, Accepted, …            AcceptEnded
//!   recv   ──► Received, Received, …            RecvEnded
//!   send   ──► Sent (the bytes come back)
//!   poll   ──► Ready (once)      watch ──► Ready, Ready, … until cancelled
//! ```
//!
//! Rules that hold for both back ends, and that one and the same test suite checks:
//! * Each operation ends exactly once. `recv` and `accept` end with an event of their own, also
//!   when they are cancelled; what the kernel had finished before the cancel took effect is still
//!   delivered before that end.
//! * An operation holds its socket. Dropping one's own `Rc<Socket>` closes nothing while it runs.
//! * Bytes being sent belong to the ring until `Sent` returns them. Safe code cannot touch memory
//!   that the kernel reads or writes.
//! * Nothing here allocates per event.
//!
//! The ring never knows what the bytes mean, and never decides when to stop.

mod epoll;
mod slots;
mod uring;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::output::Output;
use crate::socket::Socket;

pub use slots::Op;

/// The caller's word about an operation, handed back with each of its events.
pub type Token = u64;

/// What happened to an operation.
pub enum Event {
    /// A connection was accepted.
    Accepted {
        /// Of the `accept`.
        token: Token,
        /// The new connection, non-blocking and close-on-exec.
        fd: OwnedFd,
    },
    /// Accepting is over: an error (EMFILE, …) or ECANCELED. It must be started again to go on.
    AcceptEnded {
        /// Of the `accept`.
        token: Token,
        /// Why.
        errno: i32,
    },
    /// Bytes arrived.
    Received {
        /// Of the `recv`.
        token: Token,
        /// The bytes, at least one.
        buffer: Buffer,
    },
    /// Receiving is over: 0 when the peer ended its side, an errno, or ECANCELED.
    RecvEnded {
        /// Of the `recv`.
        token: Token,
        /// Why.
        errno: i32,
    },
    /// A send is over.
    Sent {
        /// Of the `send`.
        token: Token,
        /// What was given to `send`.
        output: Output,
        /// How many of those from the given offset on were sent, or the errno.
        result: Result<usize, i32>,
    },
    /// The socket is ready, or the watch on it ended.
    Ready {
        /// Of the `poll` or `watch`.
        token: Token,
        /// 0, or why there will be no further event: an errno or ECANCELED.
        errno: i32,
    },
}

/// What to wait for on a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Bytes, a connection, or the end of the peer's side.
    Readable,
    /// Room to write, or the outcome of a connect.
    Writable,
}

/// Which back end to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// io_uring when the kernel lets us, else epoll.
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// Kernel features that a ring may use. All on by default; each is dropped when it does not work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// SINGLE_ISSUER and DEFER_TASKRUN: completions are worked off when we ask, not by interrupts.
    pub defer: bool,
    /// COOP_TASKRUN: no inter-processor interrupt to deliver a completion.
    pub coop: bool,
    /// No index array between the submission queue and its entries.
    pub no_sqarray: bool,
    /// The ring's own descriptor is registered, which saves a look-up for each system call.
    pub registered: bool,
    /// Multishot accept and receive.
    pub multishot: bool,
    /// Provided buffers in a ring shared with the kernel.
    pub buf_ring: bool,
}

impl Features {
    /// Everything.
    pub const ALL: Self = Self {
        defer: true,
        coop: true,
        no_sqarray: true,
        registered: true,
        multishot: true,
        buf_ring: true,
    };

    /// Names in the order of the fields.
    pub const NAMES: [&'static str; 6] =
        ["defer", "coop", "no_sqarray", "registered", "multishot", "buf_ring"];

    fn switches(&mut self) -> [&mut bool; 6] {
        [
            &mut self.defer,
            &mut self.coop,
            &mut self.no_sqarray,
            &mut self.registered,
            &mut self.multishot,
            &mut self.buf_ring,
        ]
    }

    /// Switches a feature off by its name; false when there is none of that name.
    pub fn without(&mut self, name: &str) -> bool {
        let index = Self::NAMES.iter().position(|known| *known == name);
        if let Some(index) = index {
            *self.switches()[index] = false;
        }
        index.is_some()
    }
}

impl fmt::Display for Features {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let on = copy.switches().map(|switch| *switch);
        let mut separator = "";
        for (name, on) in Self::NAMES.iter().zip(on) {
            if on {
                write!(out, "{separator}{name}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

/// Wakes a ring out of its wait, from any thread. One system call; harmless when nobody waits.
#[derive(Clone)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours alone.
        Ok(Self { eventfd: Arc::new(unsafe { OwnedFd::from_raw_fd(fd) }) })
    }

    /// Ends the wait under way, or else the next one.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        let fd = self.eventfd.as_raw_fd();
        // Not by `write`, which a library may have replaced by one that suspends coroutines.
        // SAFETY: writes eight bytes from a live array. It fails only when the counter is full, and
        // then the ring is about to wake anyway.
        unsafe { libc::syscall(libc::SYS_write, fd, one.as_ptr(), one.len()) };
    }

    fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads at most eight bytes into a live array; EAGAIN means nobody rang.
        unsafe { libc::read(self.eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// A core's way to the kernel. Not `Send`.
pub struct Ring {
    backend: Backend,
    waker: Waker,
}

enum Backend {
    Uring(Box<uring::Uring>),
    Epoll(Box<epoll::Epoll>),
}

/// Calls the same method of whichever back end is in use.
macro_rules! dispatch {
    ($ring:expr, $backend:ident => $call:expr) => {
        match &mut $ring.backend {
            Backend::Uring($backend) => $call,
            Backend::Epoll($backend) => $call,
        }
    };
}

impl Ring {
    /// Opens a ring. With [`Choice::Auto`] a refused io_uring is not an error; the second value
    /// then says why it was refused.
    pub fn open(choice: Choice, features: Features) -> io::Result<(Self, Option<io::Error>)> {
        let waker = Waker::new()?;
        let mut refused = None;
        if choice != Choice::Epoll {
            match uring::Uring::open(features, &waker) {
                Ok(backend) => {
                    return Ok((Self { backend: Backend::Uring(Box::new(backend)), waker }, None));
                }
                Err(error) if choice == Choice::Uring => return Err(error),
                Err(error) => refused = Some(error),
            }
        }
        let backend = Backend::Epoll(Box::new(epoll::Epoll::open(&waker)?));
        Ok((Self { backend, waker }, refused))
    }

    /// `uring` or `epoll`.
    pub fn name(&self) -> &'static str {
        match &self.backend {
            Backend::Uring(_) => "uring",
            Backend::Epoll(_) => "epoll",
        }
    }

    /// The features in use; none with epoll.
    pub fn features(&self) -> Option<Features> {
        match &self.backend {
            Backend::Uring(uring) => Some(uring.features()),
            Backend::Epoll(_) => None,
        }
    }

    /// A handle that ends this ring's waits.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Accepts connections from a listener until it ends or is cancelled.
    pub fn accept(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        dispatch!(self, backend => backend.accept(socket, token))
    }

    /// Receives from a stream until it ends or is cancelled. One at a time a socket.
    pub fn recv(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        dispatch!(self, backend => backend.recv(socket, token))
    }

    /// Sends what comes in `output` after its first `from` bytes. One at a time a socket; a short
    /// send is told, not repeated. A send cannot be cancelled.
    pub fn send(&mut self, socket: &Rc<Socket>, token: Token, output: Output, from: usize) {
        assert!(from < output.len(), "an empty send has no outcome to wait for");
        dispatch!(self, backend => backend.send(socket, token, output, from));
    }

    /// One event when the socket is ready.
    pub fn poll(&mut self, socket: &Rc<Socket>, interest: Interest, token: Token) -> Op {
        dispatch!(self, backend => backend.poll(socket, interest, token, slots::Shots::One))
    }

    /// An event each time the socket becomes readable: read until EAGAIN before waiting again.
    pub fn watch(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        let readable = Interest::Readable;
        dispatch!(self, backend => backend.poll(socket, readable, token, slots::Shots::Many))
    }

    /// Ends an operation early. Its end is delivered as usual; an operation that is already over
    /// is left alone. A send cannot be cancelled: shut its socket down instead.
    pub fn cancel(&mut self, op: Op) {
        dispatch!(self, backend => backend.cancel(op));
    }

    /// Submits what was started and waits for events: not at all (`Some(0)`), for at most that
    /// many nanoseconds, or without a limit. May return early with no event.
    pub fn wait(&mut self, timeout_ns: Option<u64>) -> io::Result<()> {
        dispatch!(self, backend => backend.wait(timeout_ns))
    }

    /// The next event of the last wait.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        dispatch!(self, backend => backend.next_event())
    }

    /// Operations under way.
    pub fn operations_count(&self) -> usize {
        match &self.backend {
            Backend::Uring(uring) => uring.operations_count(),
            Backend::Epoll(epoll) => epoll.operations_count(),
        }
    }

    /// Receive buffers that readers hold.
    pub fn buffers_held_count(&self) -> usize {
        match &self.backend {
            Backend::Uring(uring) => uring.buffers_held_count(),
            Backend::Epoll(epoll) => epoll.buffers_held_count(),
        }
    }
}
