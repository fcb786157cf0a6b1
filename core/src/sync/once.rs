//! A value that is made once, by the first coroutine that needs it.

use std::rc::Rc;

use super::line::{Line, Standing, Surplus, Ticket};
use super::select::{self, Current, Wait};
use crate::error::{Error, Result};

/// A place for a value that is set once. Clones are handles to the same one.
///
/// Unlike the standard library's, what makes the value may call and sleep: others that want it wait
/// meanwhile. If it fails or panics, the next in line tries. A function that needs the very value
/// which it makes waits for itself.
///
/// ```
/// use msec::sync::OnceCell;
///
/// thread_local! {
///     static GREETING: OnceCell<String> = OnceCell::new();
/// }
///
/// # msec::Engine::start()?.run(|| {
/// let greeting = GREETING.with(Clone::clone);
/// let text = greeting.get_or_init(|| {
///     // … ask another service …
///     "hello".to_string()
/// })?;
/// assert_eq!(text, "hello");
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
pub struct OnceCell<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    value: std::cell::OnceCell<T>,
    /// One unit: the right to make the value. Closed when it is made.
    line: Line,
}

impl<T> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OnceCell<T> {
    /// A place without a value.
    pub fn new() -> Self {
        let line = Line::new(1, Surplus::Kept);
        Self { shared: Rc::new(Shared { value: std::cell::OnceCell::new(), line }) }
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        self.shared.value.get()
    }

    /// Sets the value; hands it back if there is one already. From any place on the core.
    pub fn set(&self, value: T) -> std::result::Result<(), T> {
        self.shared.value.set(value)?;
        self.shared.line.close();
        Ok(())
    }

    /// The value, made by `make` if there is none. Suspends while somebody else makes it.
    ///
    /// # Errors
    /// -103 the task was cancelled while it waited; -2 somebody else is at it, and this is no
    /// coroutine.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> Result<&T> {
        self.get_or_try_init(|| Ok(make()))
    }

    /// The value, made by `make` if there is none. If that fails there is still none.
    ///
    /// # Errors
    /// As [`OnceCell::get_or_init`], and what `make` fails with.
    pub fn get_or_try_init(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let mut making = Making { shared: &self.shared, ticket: Ticket::new(1) };
        let right = select::wait(&mut making, None, "wait for a value to be made")?;
        // It may have been made, or set, meanwhile.
        if self.get().is_none() {
            let value = make()?;
            // If it was set by hand meanwhile, that value stays.
            let _ = self.set(value);
        }
        drop(right);
        self.get().ok_or_else(|| Error::internal("a value was made and is not there"))
    }
}

/// Waits for the value or for the right to make it.
struct Making<'a, T> {
    shared: &'a Rc<Shared<T>>,
    ticket: Ticket,
}

impl<T> Wait for Making<'_, T> {
    type Output = Option<Right<T>>;

    fn poll(&mut self, current: &Current) -> Option<Option<Right<T>>> {
        match self.shared.line.poll(&mut self.ticket, current.waiter()) {
            Standing::Taken => Some(Some(Right { shared: self.shared.clone() })),
            Standing::Waiting => None,
            Standing::Refused => self.shared.value.get().map(|_| None),
        }
    }

    fn leave(&mut self) {
        self.shared.line.leave(&mut self.ticket);
    }
}

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The right to make the value; goes to the next in line if nothing came of it.
struct Right<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Drop for Right<T> {
    fn drop(&mut self) {
        self.shared.line.give(1);
    }
}
