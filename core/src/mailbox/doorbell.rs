//! The part of a mailbox that decides who rings, and when: one atomic word, two fences.
//!
//! A core thread that has nothing to do blocks in its I/O wait. Whoever then puts a message into
//! its queue must wake it, which costs a system call; whoever finds it awake must not pay. So the
//! receiver says that it is about to block, and senders ring only if it said so:
//!
//! ```text
//!     receiver                               sender
//!     state = PARKED                (1)      push a message                (3)
//!     fence SeqCst                           fence SeqCst
//!     queue empty? then block       (2)      state PARKED? then ring       (4)
//! ```
//!
//! The danger is the lost wake-up: the receiver finds the queue empty at (2), the sender finds the
//! receiver awake at (4), the message lies there until something else happens. Each writes one
//! place and then reads the other's, so each needs its write seen before its read is done. That is
//! the one thing acquire and release do not promise, and what the two sequentially consistent
//! fences are for (Dekker's pattern; C++20 [atomics.fences], which Rust takes over). They stand in
//! a single order: if the sender's is first, (2) sees the message; if the receiver's is first, (4)
//! sees PARKED, or what somebody made of it afterwards.
//!
//! The sender that rings turns PARKED into AWAKE first, so that there is one ring for each time the
//! receiver parked, however many senders come. The others need not ring: the receiver wakes, and
//! has to pass another fence before it can park again; by then it sees their messages.
//!
//! A ring may come late, when the receiver woke for another reason meanwhile. It is then an empty
//! wake-up, never a wrong one: the bell has to be *sticky*, as an eventfd and a thread's unpark
//! token are, so that a ring just before the block is not lost.
//!
//! CLOSED is a third value of the same word, and the same pattern: the receiver closes, fences and
//! empties the queue; a sender that pushed, fenced and sees CLOSED empties it too. No message stays
//! behind in a queue that nobody reads.
//!
//! All other accesses are relaxed: the messages themselves are ordered by the queue. This file is
//! compiled a second time by `tests/loom.rs` with loom's atomics in place of the standard ones.
//! That test also weakens each fence by one step, to acquire and release, and demands that loom
//! then finds the lost wake-up or the stranded message.

use super::atomic::{AtomicU8, Ordering, fence};

/// The receiver runs, and will look into the queue before it blocks.
const AWAKE: u8 = 0;
/// The receiver blocks or is about to: the first sender to see this rings.
const PARKED: u8 = 1;
/// There is no receiver any more. Never left.
const CLOSED: u8 = 2;

/// The state of one receiver, shared with its senders.
#[derive(Debug)]
pub(crate) struct Doorbell {
    state: AtomicU8,
}

/// What a sender has to do after it put a message into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Nothing: the receiver is awake, or another sender rings.
    Nothing,
    /// Ring the bell.
    Ring,
    /// Empty the queue: the receiver is gone.
    Drain,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Doorbell { state: AtomicU8::new(AWAKE) }
    }

    /// Receiver: says that it is about to block. It must look into the queue between this and the
    /// block, and [`retract`](Self::retract) if there is something.
    pub(crate) fn announce(&self) {
        self.state.store(PARKED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Receiver: says that it is awake again, whatever woke it.
    pub(crate) fn retract(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Receiver: says that it goes away. It must empty the queue after this, and touch the doorbell
    /// no more.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Anybody: whether the receiver is known to be gone. `false` may be out of date.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CLOSED
    }

    /// Sender: to be called after the message is in the queue.
    pub(crate) fn pushed(&self) -> Duty {
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            AWAKE => return Duty::Nothing,
            CLOSED => return Duty::Drain,
            _ => {}
        }
        let taken = Ordering::Relaxed;
        match self.state.compare_exchange(PARKED, AWAKE, taken, Ordering::Relaxed) {
            Ok(_) => Duty::Ring,
            Err(CLOSED) => Duty::Drain,
            Err(_) => Duty::Nothing,
        }
    }
}
