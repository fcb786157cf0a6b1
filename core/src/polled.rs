//! A descriptor that somebody waits for: who, and what came of it.

use std::cell::{Cell, RefCell};

use crate::shard::Shard;
use crate::task::Waiter;

/// A wait for a descriptor, shared by the core's table and whoever waits.
pub(crate) struct Polled {
    waiter: RefCell<Waiter>,
    outcome: Cell<Option<i32>>,
}

impl Polled {
    pub(crate) fn new(waiter: RefCell<Waiter>) -> Self {
        Self { waiter, outcome: Cell::new(None) }
    }

    /// 0 when it is ready, or an errno; `None` while neither is known.
    pub(crate) fn outcome(&self) -> Option<i32> {
        self.outcome.get()
    }

    /// Says whom to wake from now on.
    pub(crate) fn wakes(&self, waiter: &Waiter) {
        self.waiter.borrow_mut().clone_from(waiter);
    }

    /// The ring has told the outcome.
    pub(crate) fn is(&self, errno: i32, shard: &Shard) {
        self.outcome.set(Some(errno));
        self.waiter.borrow().wake(shard);
    }
}
