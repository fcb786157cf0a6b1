//! Spawning: more tasks for one piece of work.
//!
//! A spawned task runs on the same core, and inherits the deadline, the cancellation, the flow id
//! and the dye of the one that spawned it. A panic in it is its result: joining says so, and nobody
//! else notices.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use msec_protocol::Code;

use crate::deadline;
use crate::error::{Error, Result};
use crate::request::panic_text;
use crate::shard::{self, Shard};
use crate::sync::{self, Current, Wait};
use crate::task::{self, Inherited, Waiter};

/// Gives a function to a task of this core.
pub(crate) fn spawn_boxed(shard: &Rc<Shard>, function: Box<dyn FnOnce()>, inherited: Inherited) {
    let cancel = inherited.cancel.clone();
    let task = shard.tasks.spawn(function, inherited, shard.now_ns());
    if let Some(cancel) = cancel {
        cancel.also(task.id(shard.index), |id| {
            usize::from(id.core) != shard.index || shard.tasks.is_live(id)
        });
    }
}

/// What a task and whoever joins it share.
struct Joint<R> {
    result: RefCell<Option<Result<R>>>,
    waiter: RefCell<Option<Waiter>>,
    ended: Cell<bool>,
    /// The result was handed to whoever joined.
    taken: Cell<bool>,
}

/// A task that was spawned. Dropped, the task goes on by itself. It is a [`Wait`], for a `select`.
pub struct JoinHandle<R> {
    joint: Rc<Joint<R>>,
}

/// Runs a function as a coroutine of its own on this core.
///
/// Called on a core: from a handler, a spawned task or a callback. The function starts when the
/// caller next waits or returns.
///
/// ```
/// # let engine = msec::Engine::start()?;
/// # engine.run(|| {
/// let squares: Vec<_> = (1..4).map(|n| msec::spawn(move || n * n)).collect();
/// let sum: i32 = squares.into_iter().map(|task| task.join().unwrap()).sum();
/// assert_eq!(sum, 14);
/// # })?;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Panics
/// When not called on a core thread.
pub fn spawn<R: 'static>(function: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    let shard = shard::current().expect("spawn is called on a core; use Engine::run elsewhere");
    let joint = Rc::new(Joint {
        result: RefCell::new(None),
        waiter: RefCell::new(None),
        ended: Cell::new(false),
        taken: Cell::new(false),
    });
    let ended = Ended(joint.clone());
    let run = move || {
        let ended = ended;
        let result = catch(function);
        *ended.0.result.borrow_mut() = Some(result);
    };
    spawn_boxed(&shard, Box::new(run), crate::inherited());
    JoinHandle { joint }
}

/// Runs a function; its panic is logged and becomes an error.
pub(crate) fn catch<R>(function: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|payload| {
        let text = format!("the task panicked: {}", panic_text(payload.as_ref()));
        crate::log::error("panic", format_args!("{text}"));
        Error::new(Code::SERVICE_FAILED, text)
    })
}

/// Tells the joiner, also when the job is dropped without having run.
struct Ended<R>(Rc<Joint<R>>);

impl<R> Drop for Ended<R> {
    fn drop(&mut self) {
        self.0.ended.set(true);
        if let (Some(waiter), Some(shard)) = (self.0.waiter.take(), shard::current()) {
            waiter.wake(&shard);
        }
    }
}

impl<R> JoinHandle<R> {
    /// Waits for the task's end and returns what its function returned. Suspends.
    ///
    /// # Errors
    /// -18 when the task panicked, -101 when no stack was left for it, -103 when the waiting task
    /// was cancelled meanwhile (the joined one then goes on), -2 when it has not ended and this is
    /// no coroutine.
    pub fn join(mut self) -> Result<R> {
        self.end(None)
    }

    /// As [`JoinHandle::join`], but not longer than that; afterwards the task may still be joined.
    ///
    /// # Errors
    /// As [`JoinHandle::join`], and -10 the time is up.
    ///
    /// # Panics
    /// When the result was taken before.
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<R> {
        self.end(Some(timeout))
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.joint.ended.get()
    }

    fn end(&mut self, timeout: Option<Duration>) -> Result<R> {
        match self.outcome() {
            // A result that is there would be lost if a cancel came first.
            Some(result) => result,
            None => sync::wait(self, timeout, "join a task")?,
        }
    }

    fn outcome(&self) -> Option<Result<R>> {
        if !self.joint.ended.get() {
            return None;
        }
        assert!(!self.joint.taken.replace(true), "this wait is over: the task was joined");
        Some(self.joint.result.take().unwrap_or_else(|| {
            Err(Error::new(Code::OVERLOADED, "no stack was left for the task")
                .during("join a task"))
        }))
    }
}

/// The end of the task; its result can be taken once.
impl<R> Wait for JoinHandle<R> {
    type Output = Result<R>;

    /// # Panics
    /// When the result was taken before.
    fn poll(&mut self, current: &Current) -> Option<Result<R>> {
        let outcome = self.outcome();
        if outcome.is_none() {
            *self.joint.waiter.borrow_mut() = current.waiter().cloned();
        }
        outcome
    }

    fn leave(&mut self) {
        self.joint.waiter.take();
    }
}

/// Tasks that all end before [`scope`] returns.
pub struct Scope {
    tasks: RefCell<Vec<JoinHandle<()>>>,
}

impl Scope {
    /// Runs a function as a coroutine of this scope.
    pub fn spawn(&self, function: impl FnOnce() + 'static) {
        self.tasks.borrow_mut().push(spawn(function));
    }

    /// Waits for all tasks; the first failure in the order of spawning is returned.
    fn join(&self, shard: &Shard) -> Result<()> {
        let mut outcome = Ok(());
        for task in self.tasks.take() {
            while !task.is_finished() {
                sync::not_unwinding("join a scope")?;
                deadline::watch(shard);
                *task.joint.waiter.borrow_mut() = Some(Waiter::current(shard));
                task::park(shard, "join a scope");
            }
            outcome = outcome.and(task.outcome().unwrap_or(Ok(())));
        }
        outcome
    }
}

/// Runs `body`, then waits for every task that it spawned in the scope. Suspends.
///
/// The wait is not cut short by a cancellation: the tasks are cancelled as well, and end by it. If
/// `body` panics, its panic goes on when all tasks have ended.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// # msec::Engine::start()?.run(|| {
/// let sum = Rc::new(Cell::new(0));
/// msec::scope(|scope| {
///     for n in 1..=3 {
///         let sum = sum.clone();
///         scope.spawn(move || sum.set(sum.get() + n));
///     }
/// })?;
/// assert_eq!(sum.get(), 6);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// The first failure of a task in the order of spawning, after all have ended: -18 it panicked,
/// -101 no stack was left for it. -2 when this is no coroutine; `body` is not run then. -103 in a
/// destructor that a panic runs, which cannot wait: the tasks go on by themselves.
pub fn scope<R>(body: impl FnOnce(&Scope) -> R) -> Result<R> {
    let shard = shard::current().filter(|shard| shard.tasks.current().is_some());
    let shard = shard.ok_or_else(|| Error::would_block("scope"))?;
    let scope = Scope { tasks: RefCell::default() };
    let result = catch_unwind(AssertUnwindSafe(|| body(&scope)));
    let outcome = scope.join(&shard);
    let result = result.unwrap_or_else(|payload| resume_unwind(payload));
    outcome.map(|()| result)
}
