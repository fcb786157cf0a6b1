//! The way into a core thread: a bounded queue of messages, and a bell for when it sleeps.
//!
//! Cores share nothing that changes. What one wants of another, and what a foreign thread wants of
//! a core, is a message: a request to hand over, an answer coming back, a cancel, a call from a
//! thread that is not ours. Each core has one mailbox, and everyone who may write to it has a
//! [`Sender`].
//!
//! ```text
//!   core 1 ──┐
//!   core 2 ──┤ try_send     ┌──────────────────┐  drain
//!   thread ──┴─────────────►│ ArrayQueue       │────────► core 0
//!                 │         └──────────────────┘            │
//!                 │           Doorbell: awake | parked ◄────┘ prepare_park, unpark
//!                 └── only if it finds "parked": bell() ──► wakes core 0 from its I/O wait
//! ```
//!
//! The queue is bounded: a sender that finds it full gets its message back and has to decide (a
//! request is answered with "overloaded", a hand-over stays at home). Nobody ever waits here.
//!
//! While the receiver is awake a message costs the push and a fence; the system call that wakes it
//! is paid once each time it parked. Why no wake-up is lost is told in `doorbell.rs`, and checked
//! by loom.
//!
//! When the receiver goes, every message still in the queue is dropped, also one that is being
//! pushed at this moment: whoever waits for the answer to it learns of that from its `Drop`.

mod doorbell;

/// What `doorbell.rs` uses; a test compiles that file with loom's in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU8, Ordering, fence};
}

use std::fmt;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use doorbell::{Doorbell, Duty};

/// Makes a mailbox for at most `capacity` messages (at least one).
///
/// `bell` is called on a sender's thread and has to wake the receiver out of whatever it blocks in
/// between [`Receiver::prepare_park`] and [`Receiver::unpark`]. It must not block, and has to be
/// sticky: a ring shortly before the block makes the block return at once.
pub fn mailbox<T: Send>(
    capacity: usize,
    bell: impl Fn() + Send + Sync + 'static,
) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity),
        doorbell: Padded(Doorbell::new()),
        bell: Box::new(bell),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The writing end. Cloned for each thread that may write; all of them write to one queue.
pub struct Sender<T: Send> {
    shared: Arc<Shared<T>>,
}

/// The reading end: there is one, and it belongs to one thread.
pub struct Receiver<T: Send> {
    shared: Arc<Shared<T>>,
}

/// Why a message was not taken. It is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// The queue is full: the receiver cannot keep up.
    Full(T),
    /// The receiver is gone for ever.
    Closed(T),
}

struct Shared<T> {
    queue: ArrayQueue<T>,
    doorbell: Padded,
    bell: Box<dyn Fn() + Send + Sync>,
}

/// Keeps the doorbell, read at every send, off the lines that the neighbours write. Two lines of 64
/// bytes: x86 fetches them in pairs.
#[repr(align(128))]
struct Padded(Doorbell);

impl<T: Send> Sender<T> {
    /// Puts a message into the queue, and wakes the receiver if it is parked.
    ///
    /// Never blocks, from any thread. `Ok` means that the receiver gets the message, or that it is
    /// dropped because the receiver went away meanwhile.
    pub fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        let Shared { queue, doorbell: Padded(doorbell), bell } = &*self.shared;
        if doorbell.is_closed() {
            return Err(Refused::Closed(message));
        }
        queue.push(message).map_err(Refused::Full)?;
        match doorbell.pushed() {
            Duty::Nothing => {}
            Duty::Ring => bell(),
            Duty::Drain => self.shared.drop_all(),
        }
        Ok(())
    }

    /// Whether the receiver is known to be gone. `false` may be out of date.
    pub fn is_closed(&self) -> bool {
        self.shared.doorbell.0.is_closed()
    }
}

impl<T: Send> Receiver<T> {
    /// Hands over the messages that are there, oldest first, at most `max`. Returns how many.
    ///
    /// Messages of one sender come in the order in which it sent them.
    pub fn drain(&mut self, max: usize, mut take: impl FnMut(T)) -> usize {
        let mut taken_count = 0;
        while taken_count < max
            && let Some(message) = self.shared.queue.pop()
        {
            taken_count += 1;
            take(message);
        }
        taken_count
    }

    /// How many messages wait at this moment.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether no message waits at this moment.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// Says that the thread is about to block. `false`: there are messages, do not block.
    ///
    /// After `true` every message rings the bell, once; call [`unpark`](Self::unpark) when awake.
    #[must_use = "if there are messages the thread must not block"]
    pub fn prepare_park(&mut self) -> bool {
        self.shared.doorbell.0.announce();
        let may_block = self.shared.queue.is_empty();
        if !may_block {
            self.shared.doorbell.0.retract();
        }
        may_block
    }

    /// Says that the thread is awake again, whatever woke it. No message rings from here on.
    pub fn unpark(&mut self) {
        self.shared.doorbell.0.retract();
    }
}

impl<T> Shared<T> {
    fn drop_all(&self) {
        while let Some(message) = self.queue.pop() {
            drop(message);
        }
    }
}

impl<T: Send> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.doorbell.0.close();
        self.shared.drop_all();
    }
}

impl<T> Refused<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(message) | Refused::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { queue, doorbell: Padded(doorbell), bell: _ } = self;
        write!(formatter, "{} of {} messages, {doorbell:?}", queue.len(), queue.capacity())
    }
}

impl<T: Send> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Sender").field(&self.shared).finish()
    }
}

impl<T: Send> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Receiver").field(&self.shared).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A mailbox whose bell only counts.
    fn counting<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&rings);
        let (sender, receiver) = mailbox(capacity, move || {
            bell.fetch_add(1, Ordering::Relaxed);
        });
        (sender, receiver, rings)
    }

    fn drained<T: Send>(receiver: &mut Receiver<T>, max: usize) -> Vec<T> {
        let mut messages = Vec::new();
        assert_eq!(receiver.drain(max, |message| messages.push(message)), messages.len());
        messages
    }

    #[test]
    fn an_awake_receiver_is_not_rung() {
        let (sender, mut receiver, rings) = counting(8);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Ok(()));
        assert_eq!(rings.load(Ordering::Relaxed), 0);
        assert_eq!(drained(&mut receiver, 1), [1]);
        assert_eq!(drained(&mut receiver, 8), [2]);
    }

    #[test]
    fn a_parked_receiver_is_rung_once_a_park() {
        let (sender, mut receiver, rings) = counting(8);
        for park in 1..=2 {
            assert!(receiver.prepare_park());
            assert_eq!(sender.try_send(1), Ok(()));
            assert_eq!(sender.clone().try_send(2), Ok(()));
            assert_eq!(rings.load(Ordering::Relaxed), park);
            receiver.unpark();
            assert_eq!(drained(&mut receiver, 8), [1, 2]);
        }
        assert!(receiver.prepare_park());
        receiver.unpark();
        assert_eq!(sender.try_send(3), Ok(()));
        assert_eq!(rings.load(Ordering::Relaxed), 2, "it was awake again");
    }

    #[test]
    fn a_receiver_with_messages_does_not_park() {
        let (sender, mut receiver, rings) = counting(8);
        assert_eq!(sender.try_send(1), Ok(()));
        assert!(!receiver.prepare_park());
        assert_eq!(sender.try_send(2), Ok(()));
        assert_eq!(rings.load(Ordering::Relaxed), 0, "the announcement was taken back");
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back() {
        let (sender, mut receiver, _) = counting(2);
        assert_eq!(sender.try_send("a"), Ok(()));
        assert_eq!(sender.try_send("b"), Ok(()));
        assert_eq!(sender.try_send("c"), Err(Refused::Full("c")));
        assert_eq!(drained(&mut receiver, 1), ["a"]);
        assert_eq!(sender.try_send("d"), Ok(()));
        assert_eq!(receiver.len(), 2);
    }

    #[test]
    fn a_closed_mailbox_drops_what_it_holds_and_takes_no_more() {
        let (sender, receiver, rings) = counting(8);
        let message = Arc::new(());
        assert_eq!(sender.try_send(Arc::clone(&message)), Ok(()));
        assert!(!sender.is_closed());
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(sender.is_closed());
        assert!(matches!(sender.try_send(message), Err(Refused::Closed(_))));
        assert_eq!(rings.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_senders_reach_a_receiver_that_parks_whenever_it_can() {
        const SENDERS: usize = 4;
        const MESSAGES: usize = 20_000;
        let bell = Arc::new((Mutex::new(false), Condvar::new()));
        let (rung, wake) = &*Arc::clone(&bell);
        let (sender, mut receiver) = mailbox(64, move || {
            *bell.0.lock().expect("nobody panics with it") = true;
            bell.1.notify_one();
        });
        let sending = |source: usize| {
            let sender = sender.clone();
            move || {
                for number in 0..MESSAGES {
                    let mut message = (source, number);
                    while let Err(refused) = sender.try_send(message) {
                        message = refused.into_inner();
                        thread::yield_now();
                    }
                }
            }
        };
        let threads: Vec<_> = (0..SENDERS).map(|source| thread::spawn(sending(source))).collect();
        let mut next = [0; SENDERS];
        while next.iter().sum::<usize>() < SENDERS * MESSAGES {
            receiver.drain(16, |(source, number)| {
                assert_eq!(number, next[source], "lost, doubled or out of order: {source}");
                next[source] += 1;
            });
            let is_complete = next.iter().sum::<usize>() == SENDERS * MESSAGES;
            if receiver.prepare_park() && !is_complete {
                let rung = rung.lock().expect("nobody panics with it");
                let (mut rung, waited) = wake
                    .wait_timeout_while(rung, Duration::from_secs(20), |rung| !*rung)
                    .expect("nobody panics with it");
                assert!(!waited.timed_out(), "parked, and never rung for a message to come");
                *rung = false;
            }
            receiver.unpark();
        }
        for thread in threads {
            thread.join().expect("a sender does not panic");
        }
        assert!(receiver.is_empty());
    }
}
