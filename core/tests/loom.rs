//! Every order in which a mailbox's receiver and its senders can meet, run by loom.
//!
//! `doorbell.rs` is compiled here once more, with loom's atomics. The queue is the weakest that a
//! queue can be: a counter with relaxed accesses, so that nothing but the doorbell's own fences can
//! make the protocol hold. The bell is loom's `Notify`, which is sticky as an eventfd is and, like
//! any I/O wait, sometimes returns for no reason. Loom reports a receiver that sleeps for ever as a
//! deadlock.
//!
//! A test that cannot fail proves nothing. So each fence is also weakened from sequentially
//! consistent to acquire and release, one side at a time, and the same models have to fail.

#[path = "../src/mailbox/doorbell.rs"]
mod doorbell;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use doorbell::{Doorbell, Duty};

/// Which side's fences are weakened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weakened {
    Nobody,
    Receiver,
    Senders,
}

std::thread_local! {
    // Loom runs all threads of a model on the thread that asked for it, so that this is one value
    // for each test.
    static WEAKENED: Cell<Weakened> = const { Cell::new(Weakened::Nobody) };
}

loom::thread_local! {
    static IS_SENDER: Cell<bool> = Cell::new(false);
}

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering};

    pub(super) fn fence(order: Ordering) {
        let side = match super::IS_SENDER.with(|is_sender| is_sender.get()) {
            true => super::Weakened::Senders,
            false => super::Weakened::Receiver,
        };
        let is_weakened = super::WEAKENED.get() == side;
        loom::sync::atomic::fence(if is_weakened { Ordering::AcqRel } else { order });
    }
}

struct Mailbox {
    waiting_count: AtomicUsize,
    doorbell: Doorbell,
    rings_count: AtomicUsize,
    bell: Notify,
}

impl Mailbox {
    fn new() -> Arc<Self> {
        Arc::new(Mailbox {
            waiting_count: AtomicUsize::new(0),
            doorbell: Doorbell::new(),
            rings_count: AtomicUsize::new(0),
            bell: Notify::new(),
        })
    }

    fn send(&self) {
        if self.doorbell.is_closed() {
            return;
        }
        self.waiting_count.fetch_add(1, Ordering::Relaxed);
        match self.doorbell.pushed() {
            Duty::Nothing => {}
            Duty::Ring => {
                self.rings_count.fetch_add(1, Ordering::Relaxed);
                self.bell.notify();
            }
            Duty::Drain => {
                self.drain();
            }
        }
    }

    fn drain(&self) -> usize {
        match self.waiting_count.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.waiting_count.swap(0, Ordering::Relaxed),
        }
    }
}

fn spawn_sender(mailbox: &Arc<Mailbox>, messages_count: usize) -> thread::JoinHandle<()> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || {
        IS_SENDER.with(|is_sender| is_sender.set(true));
        for _ in 0..messages_count {
            mailbox.send();
        }
    })
}

/// A receiver that parks whenever it finds nothing, until it has every message.
fn receive_all(senders_count: usize, messages_count: usize) {
    let mailbox = Mailbox::new();
    let senders: Vec<_> =
        (0..senders_count).map(|_| spawn_sender(&mailbox, messages_count)).collect();
    let mut received_count = 0;
    let mut announced_count = 0;
    while received_count < senders_count * messages_count {
        received_count += mailbox.drain();
        if received_count == senders_count * messages_count {
            break;
        }
        announced_count += 1;
        mailbox.doorbell.announce();
        if mailbox.waiting_count.load(Ordering::Relaxed) == 0 {
            mailbox.bell.wait();
        }
        mailbox.doorbell.retract();
    }
    for sender in senders {
        sender.join().expect("a sender does not panic");
    }
    let rings_count = mailbox.rings_count.load(Ordering::Relaxed);
    assert!(rings_count <= announced_count, "{rings_count} rings, {announced_count} parks");
}

/// A receiver that goes away while somebody sends.
fn close_while_sending() {
    let mailbox = Mailbox::new();
    let sender = spawn_sender(&mailbox, 1);
    mailbox.doorbell.announce();
    mailbox.doorbell.retract();
    mailbox.doorbell.close();
    mailbox.drain();
    sender.join().expect("a sender does not panic");
    assert_eq!(mailbox.waiting_count.load(Ordering::Relaxed), 0, "a message was left behind");
}

/// Runs a model in every order, with the fences of one side weakened; whether all of them held.
fn holds(weakened: Weakened, model: fn()) -> bool {
    holds_with(&loom::model::Builder::new(), weakened, model)
}

/// The same, in every order that takes a thread off the processor at most twice. The number of
/// orders explodes, and loom's own advice is that two or three suffice to find nearly all faults.
fn holds_in_few_switches(weakened: Weakened, model: fn()) -> bool {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    holds_with(&builder, weakened, model)
}

fn holds_with(builder: &loom::model::Builder, weakened: Weakened, model: fn()) -> bool {
    WEAKENED.set(weakened);
    let outcome = catch_unwind(AssertUnwindSafe(|| builder.check(model)));
    WEAKENED.set(Weakened::Nobody);
    outcome.is_ok()
}

#[test]
fn no_wake_up_is_lost() {
    assert!(holds(Weakened::Nobody, || receive_all(1, 1)));
}

#[test]
fn no_wake_up_is_lost_when_the_receiver_parks_again() {
    assert!(holds_in_few_switches(Weakened::Nobody, || receive_all(1, 2)));
}

#[test]
fn no_wake_up_is_lost_among_two_senders_and_one_ring_is_enough_for_a_park() {
    assert!(holds_in_few_switches(Weakened::Nobody, || receive_all(2, 1)));
}

#[test]
fn a_weaker_fence_of_the_receiver_loses_a_wake_up() {
    assert!(!holds(Weakened::Receiver, || receive_all(1, 1)));
}

#[test]
fn a_weaker_fence_of_the_sender_loses_a_wake_up() {
    assert!(!holds(Weakened::Senders, || receive_all(1, 1)));
}

#[test]
fn no_message_is_left_behind_in_a_closed_mailbox() {
    assert!(holds(Weakened::Nobody, close_while_sending));
}

#[test]
fn a_weaker_fence_of_either_side_leaves_a_message_behind() {
    assert!(!holds(Weakened::Receiver, close_while_sending));
    assert!(!holds(Weakened::Senders, close_while_sending));
}
