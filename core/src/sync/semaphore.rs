//! A semaphore: so many at a time.

use std::rc::Rc;
use std::time::Duration;

use super::line::{Line, Standing, Surplus, Ticket};
use super::select::{self, Current, Wait};
use crate::error::Result;

/// A number of permits. Clones are handles to the same ones.
///
/// Whoever asks for many does not starve: those who came later wait behind, also if there would be
/// enough permits for them.
///
/// ```
/// use msec::sync::Semaphore;
///
/// # msec::Engine::start()?.run(|| {
/// let slots = Semaphore::new(2);
/// let first = slots.acquire()?;
/// let second = slots.acquire()?;
/// assert!(slots.try_acquire(1).is_none());
/// drop(first);
/// assert!(slots.try_acquire(1).is_some());
/// # drop(second);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    line: Rc<Line>,
}

impl Semaphore {
    /// A semaphore with that many permits.
    pub fn new(permits: usize) -> Self {
        Self { line: Rc::new(Line::new(permits, Surplus::Kept)) }
    }

    /// Waits for one permit. Suspends if none is free.
    ///
    /// # Errors
    /// -103 the task was cancelled; -2 none is free, and this is no coroutine.
    pub fn acquire(&self) -> Result<Permit> {
        self.acquire_many(1)
    }

    /// Waits for that many permits at once. More than there ever are is a wait without end.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    pub fn acquire_many(&self, permits: usize) -> Result<Permit> {
        select::wait(&mut self.acquiring(permits), None, "acquire a permit")
    }

    /// As [`Semaphore::acquire`], but not longer than that.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`], and -10 the time is up.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit> {
        select::wait(&mut self.acquiring(1), Some(timeout), "acquire a permit")
    }

    /// Takes that many permits if they are free and nobody waits. From any place on the core.
    pub fn try_acquire(&self, permits: usize) -> Option<Permit> {
        self.line.try_take(permits).then(|| self.permit(permits))
    }

    /// Acquiring as a [`Wait`], for a `select`.
    pub fn acquiring(&self, permits: usize) -> Acquiring {
        Acquiring { semaphore: self.clone(), permits, ticket: Ticket::new(permits) }
    }

    /// Makes further permits.
    pub fn add(&self, permits: usize) {
        self.line.give(permits);
    }

    /// Permits that are free.
    pub fn available(&self) -> usize {
        self.line.available()
    }

    /// How many wait.
    pub fn waiting_count(&self) -> usize {
        self.line.waiting_count()
    }

    fn permit(&self, permits: usize) -> Permit {
        Permit { semaphore: self.clone(), permits }
    }
}

/// Permits that were acquired; dropped, also by a panic, they are free again.
#[must_use = "dropped at once, a permit permits nothing"]
pub struct Permit {
    semaphore: Semaphore,
    permits: usize,
}

impl Permit {
    /// Gives the permits up for good.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.line.give(self.permits);
    }
}

/// [`Semaphore::acquiring`].
pub struct Acquiring {
    semaphore: Semaphore,
    permits: usize,
    ticket: Ticket,
}

impl Wait for Acquiring {
    type Output = Permit;

    fn poll(&mut self, current: &Current) -> Option<Permit> {
        let standing = self.semaphore.line.poll(&mut self.ticket, current.waiter());
        (standing == Standing::Taken).then(|| self.semaphore.permit(self.permits))
    }

    fn leave(&mut self) {
        self.semaphore.line.leave(&mut self.ticket);
    }
}

impl Drop for Acquiring {
    fn drop(&mut self) {
        self.leave();
    }
}
