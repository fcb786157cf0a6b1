//! A mutex for coroutines: holding it across a suspension is what it is for.
//!
//! The value is in a box, and the box moves: it lies in the mutex while nobody holds it, and in the
//! guard while somebody does. So locking is moving a pointer, the guard is a value like any other
//! (it may be stored, or handed to another coroutine), and none of it needs a borrow at run time.
//!
//! An unlocked mutex goes to the first in line before anybody else can ask for it.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use super::line::{Line, Standing, Surplus, Ticket};
use super::select::{self, Current, Wait};
use crate::error::Result;

/// A value that one coroutine at a time may use. Clones are handles to the same one.
///
/// Between two suspensions a coroutine is alone on its core anyway, so a `Cell` or a `RefCell` will
/// often do; this is for changes that call, sleep or wait in the middle. A coroutine that locks
/// what it holds already waits for itself.
///
/// ```
/// use msec::sync::Mutex;
///
/// # msec::Engine::start()?.run(|| {
/// let total = Mutex::new(0);
/// msec::scope(|scope| {
///     for n in 1..=4 {
///         let total = total.clone();
///         scope.spawn(move || {
///             let mut total = total.lock().expect("nobody cancels this");
///             let before = *total;
///             msec::yield_now().expect("nobody cancels this");
///             *total = before + n;
///         });
///     }
/// })?;
/// assert_eq!(*total.lock()?, 10);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
pub struct Mutex<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    /// `None` while a guard has it.
    value: Cell<Option<Box<T>>>,
    /// One unit: the right to take the value out.
    line: Line,
}

impl<T> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Mutex<T> {
    /// An unlocked mutex around a value.
    pub fn new(value: T) -> Self {
        let value = Cell::new(Some(Box::new(value)));
        Self { shared: Rc::new(Shared { value, line: Line::new(1, Surplus::Kept) }) }
    }

    /// Waits until it is this coroutine's turn. Suspends if somebody else holds the mutex.
    ///
    /// # Errors
    /// -103 the task was cancelled; -2 it is held, and this is no coroutine.
    pub fn lock(&self) -> Result<MutexGuard<T>> {
        select::wait(&mut self.locking(), None, "lock a mutex")
    }

    /// As [`Mutex::lock`], but not longer than that.
    ///
    /// # Errors
    /// As [`Mutex::lock`], and -10 the time is up.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<T>> {
        select::wait(&mut self.locking(), Some(timeout), "lock a mutex")
    }

    /// Locks it if nobody holds it or waits for it. From any place on the core.
    pub fn try_lock(&self) -> Option<MutexGuard<T>> {
        self.shared.line.try_take(1).then(|| self.guard())
    }

    /// Locking as a [`Wait`], for a `select`.
    pub fn locking(&self) -> Locking<T> {
        Locking { mutex: self.clone(), ticket: Ticket::new(1) }
    }

    /// How many wait for it.
    pub fn waiting_count(&self) -> usize {
        self.shared.line.waiting_count()
    }

    /// For whoever holds the line's unit.
    fn guard(&self) -> MutexGuard<T> {
        let value = self.shared.value.take();
        let value = value.expect("the value is there for the one who has the unit");
        MutexGuard { mutex: self.clone(), value: Some(value) }
    }
}

/// The right to use a mutex's value; dropped, also by a panic, it unlocks.
///
/// Leaked (`mem::forget`), it keeps the mutex locked for ever.
pub struct MutexGuard<T> {
    mutex: Mutex<T>,
    /// `None` only in `drop`.
    value: Option<Box<T>>,
}

impl<T> MutexGuard<T> {
    /// The mutex that this locks.
    pub fn mutex(&self) -> &Mutex<T> {
        &self.mutex
    }
}

impl<T> Deref for MutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard has the value until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect("a guard has the value until it is dropped")
    }
}

impl<T> Drop for MutexGuard<T> {
    fn drop(&mut self) {
        self.mutex.shared.value.set(self.value.take());
        self.mutex.shared.line.give(1);
    }
}

/// [`Mutex::locking`].
pub struct Locking<T> {
    mutex: Mutex<T>,
    ticket: Ticket,
}

impl<T> Wait for Locking<T> {
    type Output = MutexGuard<T>;

    fn poll(&mut self, current: &Current) -> Option<MutexGuard<T>> {
        let standing = self.mutex.shared.line.poll(&mut self.ticket, current.waiter());
        (standing == Standing::Taken).then(|| self.mutex.guard())
    }

    fn leave(&mut self) {
        self.mutex.shared.line.leave(&mut self.ticket);
    }
}

impl<T> Drop for Locking<T> {
    fn drop(&mut self) {
        self.leave();
    }
}
