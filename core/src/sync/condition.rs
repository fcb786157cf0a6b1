//! A condition: waiting until others have changed something.
//!
//! A signal reaches those who wait at that moment, and is gone if nobody does. A signal to one that
//! leaves before it has run (cancelled, time up) goes to the next in line, so it is never wasted
//! while somebody waits.

use std::rc::Rc;
use std::time::Duration;

use super::line::{Line, Standing, Surplus, Ticket};
use super::mutex::{Locking, MutexGuard};
use super::select::{self, Current, Wait};
use crate::error::Result;

/// Lets coroutines wait until one of them says that something has changed. Clones are handles to
/// the same one.
///
/// What was waited for may have been changed back by the time the waiting coroutine runs: look
/// again, or use [`wait_while`](Condition::wait_while), which does.
///
/// ```
/// use msec::sync::{Condition, Mutex};
///
/// # msec::Engine::start()?.run(|| {
/// let (queue, filled) = (Mutex::new(Vec::new()), Condition::new());
/// let (theirs, tell) = (queue.clone(), filled.clone());
/// msec::spawn(move || {
///     theirs.lock()?.push("job");
///     tell.notify_one();
///     Ok::<(), msec::Error>(())
/// });
/// let mut queue = filled.wait_while(queue.lock()?, |queue| queue.is_empty())?;
/// assert_eq!(queue.pop(), Some("job"));
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    line: Rc<Line>,
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl Condition {
    /// A condition that nobody waits for.
    pub fn new() -> Self {
        Self { line: Rc::new(Line::new(0, Surplus::Lost)) }
    }

    /// Unlocks the mutex, waits for a signal, and locks again. No signal is missed between
    /// unlocking and waiting. Suspends.
    ///
    /// # Errors
    /// -103 the task was cancelled; -2 this is no coroutine. The mutex is then not locked any more.
    pub fn wait<T>(&self, guard: MutexGuard<T>) -> Result<MutexGuard<T>> {
        self.wait_for(guard, None)
    }

    /// As [`Condition::wait`], but not longer than that, for the signal and the mutex together.
    ///
    /// # Errors
    /// As [`Condition::wait`], and -10 the time is up. The mutex is then not locked any more.
    pub fn wait_timeout<T>(
        &self,
        guard: MutexGuard<T>,
        timeout: Duration,
    ) -> Result<MutexGuard<T>> {
        self.wait_for(guard, Some(timeout))
    }

    /// Waits as long as `condition` holds for the value; not at all if it does not.
    ///
    /// # Errors
    /// As [`Condition::wait`].
    pub fn wait_while<T>(
        &self,
        mut guard: MutexGuard<T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Wakes the one that has waited longest. From any place on the core.
    pub fn notify_one(&self) {
        self.line.give(1);
    }

    /// Wakes everybody who waits now. From any place on the core.
    pub fn notify_all(&self) {
        self.line.give_all();
    }

    /// The next signal as a [`Wait`], without a mutex.
    pub fn notified(&self) -> Notified {
        Notified { condition: self.clone(), ticket: Ticket::new(1) }
    }

    /// How many wait for a signal.
    pub fn waiting_count(&self) -> usize {
        self.line.waiting_count()
    }

    fn wait_for<T>(
        &self,
        guard: MutexGuard<T>,
        timeout: Option<Duration>,
    ) -> Result<MutexGuard<T>> {
        let locking = guard.mutex().locking();
        let (notified, held) = (self.notified(), Some(guard));
        let mut waiting = Relocking { held, notified, signalled: false, locking };
        select::wait(&mut waiting, timeout, "wait for a condition")
    }
}

/// First the signal, then the mutex.
struct Relocking<T> {
    /// Until the wait for the signal has begun.
    held: Option<MutexGuard<T>>,
    notified: Notified,
    /// The signal came, and the mutex is not locked yet.
    signalled: bool,
    locking: Locking<T>,
}

impl<T> Wait for Relocking<T> {
    type Output = MutexGuard<T>;

    fn poll(&mut self, current: &Current) -> Option<MutexGuard<T>> {
        if !self.signalled {
            let signal = self.notified.poll(current);
            // The coroutine is in line now, so that no signal is missed: let the others in.
            self.held = None;
            signal?;
            self.signalled = true;
        }
        let guard = self.locking.poll(current)?;
        self.signalled = false;
        Some(guard)
    }

    fn leave(&mut self) {
        self.notified.leave();
        self.locking.leave();
        // It cannot act on the signal any more: somebody else has to.
        if std::mem::take(&mut self.signalled) {
            self.notified.condition.notify_one();
        }
    }
}

/// [`Condition::notified`].
pub struct Notified {
    condition: Condition,
    ticket: Ticket,
}

impl Wait for Notified {
    type Output = ();

    fn poll(&mut self, current: &Current) -> Option<()> {
        let standing = self.condition.line.poll(&mut self.ticket, current.waiter());
        (standing == Standing::Taken).then_some(())
    }

    fn leave(&mut self) {
        self.condition.line.leave(&mut self.ticket);
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        self.leave();
    }
}
