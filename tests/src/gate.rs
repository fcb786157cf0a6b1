//! A gate: handlers arrive at it and are held until a test opens it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use crate::wait_until;

/// Closed at first. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: bool,
    arrived_count: usize,
    passed_count: usize,
    failed: Vec<msec::Code>,
    held: Vec<Waker>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parks the calling coroutine, or blocks the thread, until the gate is open.
    ///
    /// # Errors
    /// What the wait fails with, -103 when the request is cancelled; it is noted in the gate, too.
    pub fn pass(&self) -> msec::Result<()> {
        self.arrive();
        let opened = std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.open {
                return Poll::Ready(());
            }
            state.held.push(context.waker().clone());
            Poll::Pending
        });
        let outcome = msec::block_on(opened);
        match &outcome {
            Ok(()) => self.state().passed_count += 1,
            Err(error) => self.state().failed.push(error.code()),
        }
        outcome
    }

    /// Counts an arrival of somebody who is not held by the gate but looks at it.
    pub fn arrive(&self) {
        self.state().arrived_count += 1;
    }

    /// Whether it was opened.
    pub fn is_open(&self) -> bool {
        self.state().open
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        let mut state = self.state();
        state.open = true;
        let held = std::mem::take(&mut state.held);
        drop(state);
        held.into_iter().for_each(Waker::wake);
    }

    /// How many have come so far.
    pub fn arrived_count(&self) -> usize {
        self.state().arrived_count
    }

    /// How many have passed so far.
    pub fn passed_count(&self) -> usize {
        self.state().passed_count
    }

    /// The codes of the waits that failed so far.
    pub fn failed(&self) -> Vec<msec::Code> {
        self.state().failed.clone()
    }

    /// Waits until so many have come.
    #[track_caller]
    pub fn wait_for_arrivals(&self, count: usize) {
        wait_until(&format!("{count} handlers at the gate"), || self.arrived_count() == count);
    }

    /// Waits until so many waits have failed, and returns their codes.
    #[track_caller]
    pub fn wait_for_failures(&self, count: usize) -> Vec<msec::Code> {
        wait_until(&format!("{count} failed waits"), || self.failed().len() == count);
        self.failed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
