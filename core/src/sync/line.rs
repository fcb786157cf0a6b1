//! The line: where coroutines stand and wait for units of something, first come, first served.
//!
//! Every tool in [`sync`](super) is a count and a line in front of it. A mutex has one unit, a
//! semaphore many; a channel has a line for the values in it and one for the room in it.
//!
//! ```text
//!   give(n) ──► available ──► first in line wants no more than that? ──► granted, woken
//!                  ▲                                                         │
//!                  │                      leaves after all (timeout, cancel) │
//!                  └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Units are granted at the moment they become available, not when the waiter runs: the count is
//! taken down for it there and then. So nobody who comes in between can overtake, and one event
//! wakes those whom it satisfies and nobody else. A waiter that was granted its units and leaves
//! without having taken them (its time was up in the same turn, or another wait of a `select` won)
//! gives them back, and they go to the next one: no wake-up is lost.
//!
//! A large wish at the head holds up small ones behind it, so that it is fulfilled one day.
//!
//! The state is borrowed for a few instructions at a time and never while foreign code runs: waking
//! a task only puts it into the run queue.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::shard::{self, Shard};
use crate::task::Waiter;

/// What becomes of units that nobody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Surplus {
    /// They are there for whoever comes later.
    Kept,
    /// They are gone: a signal reaches those who wait for it.
    Lost,
}

/// Units of something, and those who wait for them.
pub(super) struct Line {
    surplus: Surplus,
    state: RefCell<State>,
}

struct State {
    /// Units that are promised to nobody. Less than the first in line wants.
    available: usize,
    /// Whoever would have to wait goes away empty-handed.
    closed: bool,
    next_number: u64,
    /// In the order of arrival. Nobody in here has been granted anything.
    waiting: BTreeMap<u64, Place>,
}

struct Place {
    waiter: Waiter,
    wanted: usize,
}

/// A wish for units: not in line yet, in line, or granted.
pub(super) struct Ticket {
    wanted: usize,
    /// Its place, from joining the line until it takes its units or leaves.
    number: Option<u64>,
}

/// How a wish stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The units are the caller's now.
    Taken,
    /// It is in line, and the waiter will be woken.
    Waiting,
    /// It would have to wait, and the line is closed or the caller cannot wait.
    Refused,
}

impl Ticket {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, number: None }
    }
}

impl Line {
    pub(super) fn new(available: usize, surplus: Surplus) -> Self {
        let (closed, next_number, waiting) = (false, 0, BTreeMap::new());
        Self { surplus, state: RefCell::new(State { available, closed, next_number, waiting }) }
    }

    /// Units that are promised to nobody.
    pub(super) fn available(&self) -> usize {
        self.state.borrow().available
    }

    /// How many wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    /// Takes the units if that is possible without waiting and without overtaking.
    pub(super) fn try_take(&self, wanted: usize) -> bool {
        let state = &mut *self.state.borrow_mut();
        let free = state.waiting.is_empty() && state.available >= wanted;
        if free {
            state.available -= wanted;
        }
        free
    }

    /// Takes what was wished for, or joins the line on behalf of `waiter`; without one the ticket
    /// does not join.
    pub(super) fn poll(&self, ticket: &mut Ticket, waiter: Option<&Waiter>) -> Standing {
        let Some(number) = ticket.number else {
            if self.try_take(ticket.wanted) {
                return Standing::Taken;
            }
            let state = &mut *self.state.borrow_mut();
            let Some(waiter) = waiter.filter(|_| !state.closed) else { return Standing::Refused };
            let number = state.next_number;
            state.next_number += 1;
            let place = Place { waiter: waiter.clone(), wanted: ticket.wanted };
            state.waiting.insert(number, place);
            ticket.number = Some(number);
            return Standing::Waiting;
        };
        let mut state = self.state.borrow_mut();
        let closed = state.closed;
        let Some(place) = state.waiting.get_mut(&number) else {
            ticket.number = None;
            return Standing::Taken;
        };
        if let Some(waiter) = waiter.filter(|_| !closed) {
            // It may be another task that asks now.
            place.waiter.clone_from(waiter);
            return Standing::Waiting;
        }
        drop(state);
        self.leave(ticket);
        Standing::Refused
    }

    /// Takes a ticket out of the line; what it was granted goes to the next.
    pub(super) fn leave(&self, ticket: &mut Ticket) {
        let Some(number) = ticket.number.take() else { return };
        let left = self.state.borrow_mut().waiting.remove(&number);
        // Either way those behind may have become first.
        self.give(if left.is_some() { 0 } else { ticket.wanted });
    }

    /// Adds units and grants them to those in front.
    pub(super) fn give(&self, units: usize) {
        let state = &mut *self.state.borrow_mut();
        state.available = state.available.saturating_add(units);
        // Only at the end of its thread has a core no shard, and then nobody waits any more.
        if let Some(shard) = shard::current() {
            state.grant(&shard);
        }
        if self.surplus == Surplus::Lost {
            state.available = 0;
        }
    }

    /// Grants everybody in line what they want, out of nothing.
    pub(super) fn give_all(&self) {
        let wanted = self.state.borrow().waiting.values().map(|place| place.wanted).sum();
        self.give(wanted);
    }

    /// Nobody waits any more: those in line are woken and refused. What is available can still be
    /// taken, and what was granted stays granted.
    pub(super) fn close(&self) {
        let state = &mut *self.state.borrow_mut();
        state.closed = true;
        if let Some(shard) = shard::current() {
            state.waiting.values().for_each(|place| place.waiter.wake(&shard));
        }
    }
}

impl State {
    fn grant(&mut self, shard: &Shard) {
        while let Some(first) = self.waiting.first_entry() {
            if first.get().wanted > self.available {
                return;
            }
            let place = first.remove();
            self.available -= place.wanted;
            place.waiter.wake(shard);
        }
    }
}
