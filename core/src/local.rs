//! Values local to a coroutine: what `thread_local!` is to a thread.
//!
//! A job's values are made when it first looks at them, and dropped when it ends, last made first,
//! on its own coroutine. They are not inherited by tasks that it spawns. On a thread that is no
//! core's the values are the thread's; those of an offloaded job end with the job.
//!
//! A key is the address of a static, so looking a value up is a short walk over the few that the
//! job has. Nothing is borrowed while foreign code runs: it may suspend, or look at other values.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::request::panic_text;
use crate::shard;

/// The values that one job has stored, by the key's address, oldest first.
#[derive(Default)]
pub(crate) struct Locals {
    values: Vec<(usize, Rc<dyn Any>)>,
}

/// Destructors that store values again are indulged that often.
const ROUNDS_MAX: usize = 8;

impl Locals {
    fn find(&self, key: usize) -> Option<Rc<dyn Any>> {
        let mut values = self.values.iter();
        values.find(|(known, _)| *known == key).map(|(_, value)| value.clone())
    }
}

/// Where a job's values are, allocated when it stores the first.
pub(crate) type Place = RefCell<Option<Box<Locals>>>;

/// Drops all values, with a barrier for panics.
#[inline(always)]
pub(crate) fn clear(place: &Place) {
    if place.borrow().is_some() {
        clear_some(place);
    }
}

#[cold]
fn clear_some(place: &Place) {
    for _ in 0..ROUNDS_MAX {
        let Some(mut locals) = place.take() else { return };
        while let Some((_, value)) = locals.values.pop() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                let text = panic_text(payload.as_ref());
                crate::log::error(
                    "panic",
                    format_args!("the destructor of a coroutine-local value panicked: {text}"),
                );
            }
        }
    }
    // A destructor stores the like of itself: that has no end.
    std::mem::forget(place.take());
}

thread_local! {
    /// Of a thread that is no core's.
    static THREAD: Place = const { RefCell::new(None) };
}

/// Drops the values of this thread; it is no core's.
pub(crate) fn clear_thread() {
    THREAD.with(clear);
}

/// A key to a value that each coroutine has its own of. Made by [`local!`](crate::local).
pub struct Local<T: 'static> {
    make: fn() -> T,
}

impl<T: 'static> Local<T> {
    #[doc(hidden)]
    pub const fn new(make: fn() -> T) -> Self {
        Self { make }
    }

    /// Hands the running job's value to a function; it is made first if this job has none.
    ///
    /// The function may suspend. Works on coroutines, and on threads that are no core's.
    ///
    /// # Panics
    /// On the loop of a core (callback methods, callbacks): there is no coroutine there.
    pub fn with<R>(&'static self, function: impl FnOnce(&T) -> R) -> R {
        self.try_with(function).expect("a callback on a core's loop has no values of its own")
    }

    /// As [`Local::with`].
    ///
    /// # Errors
    /// -2 on the loop of a core, and late in the end of a thread.
    pub fn try_with<R>(&'static self, function: impl FnOnce(&T) -> R) -> Result<R> {
        let value = match shard::current() {
            Some(shard) => {
                let running = shard.tasks.current();
                running.map(|task| self.value(task.locals()))
            }
            None => THREAD.try_with(|place| self.value(place)).ok(),
        };
        let value = value.ok_or_else(|| Error::would_block("look at a coroutine-local value"))?;
        let value: &T = value.downcast_ref().expect("a key's address has one type of value");
        Ok(function(value))
    }

    /// Hands another job's value to a function, if that job has one.
    pub(crate) fn look(&'static self, place: &Place, function: impl FnOnce(&T)) {
        if let Some(value) = self.known(place).as_deref().and_then(<dyn Any>::downcast_ref) {
            function(value);
        }
    }

    fn known(&'static self, place: &Place) -> Option<Rc<dyn Any>> {
        let key = std::ptr::from_ref(self).addr();
        place.borrow().as_ref().and_then(|locals| locals.find(key))
    }

    fn value(&'static self, place: &Place) -> Rc<dyn Any> {
        let key = std::ptr::from_ref(self).addr();
        let known = self.known(place);
        if let Some(value) = known {
            return value;
        }
        let made: Rc<dyn Any> = Rc::new((self.make)());
        let mut locals = place.borrow_mut();
        let locals = locals.get_or_insert_default();
        // Making it may have looked at it, and so made another: the first one stays.
        if let Some(value) = locals.find(key) {
            return value;
        }
        locals.values.push((key, made.clone()));
        made
    }
}

/// Declares values that each coroutine has its own of, as `thread_local!` does for threads.
///
/// The expression is evaluated when a job first looks at its value. See [`Local`] for what can be
/// done with it.
///
/// ```
/// use std::cell::Cell;
///
/// msec::local! {
///     /// How many rows this request has read.
///     static ROWS: Cell<u64> = Cell::new(0);
/// }
///
/// # msec::Engine::start()?.run(|| {
/// ROWS.with(|rows| rows.set(rows.get() + 3));
/// let other = msec::spawn(|| ROWS.with(Cell::get));
/// assert_eq!((ROWS.with(Cell::get), other.join()?), (3, 0));
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
#[macro_export]
macro_rules! local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)+) => {
        $($(#[$attribute])* $visibility static $name: $crate::Local<$type> =
            $crate::Local::new(|| $value);)+
    };
}
