//! Spawning: more tasks for one piece of work.
//!
//! A spawned task runs on the same core, and inherits the deadline, the cancellation, the flow id
//! and the dye of the one that spawned it. A panic in it is its result: joining says so, and nobody
//! else notices.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use msec_protocol::Code;

use crate::error::{Error, Result};
use crate::serve::panic_text;
use crate::shard::{self, Shard};
use crate::task::{self, Inherited, Job, Waiter};

/// Gives a function to a task of this core.
pub(crate) fn spawn_boxed(shard: &Rc<Shard>, function: Box<dyn FnOnce()>, inherited: Inherited) {
    let cancel = inherited.cancel.clone();
    let task = shard.tasks.spawn(Job::Run(function), inherited);
    if let Some(cancel) = cancel {
        cancel.also(task.id(shard.index));
    }
}

/// What a task and whoever joins it share.
struct Joint<R> {
    result: RefCell<Option<Result<R>>>,
    waiter: RefCell<Option<Waiter>>,
    ended: Cell<bool>,
}

/// A task that was spawned. Dropped, the task goes on by itself.
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
    });
    let ended = Ended(joint.clone());
    let run = move || {
        let ended = ended;
        let result = catch_unwind(AssertUnwindSafe(function)).map_err(|payload| {
            let text = format!("the task panicked: {}", panic_text(payload.as_ref()));
            crate::log::error("panic", format_args!("{text}"));
            Error::new(Code::SERVICE_FAILED, text)
        });
        *ended.0.result.borrow_mut() = Some(result);
    };
    spawn_boxed(&shard, Box::new(run), crate::inherited());
    JoinHandle { joint }
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
    /// was cancelled meanwhile; the joined one then goes on.
    pub fn join(self) -> Result<R> {
        let shard = shard::current().ok_or_else(|| Error::would_block("join"))?;
        loop {
            if self.joint.ended.get() {
                let result = self.joint.result.take();
                return result.unwrap_or_else(|| {
                    Err(Error::new(Code::OVERLOADED, "no stack was left for the task"))
                });
            }
            self.wait(&shard)?;
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.joint.ended.get()
    }

    fn wait(&self, shard: &Rc<Shard>) -> Result<()> {
        let Some(running) = shard.tasks.current() else {
            return Err(Error::would_block("join"));
        };
        if running.is_cancelled() {
            return Err(crate::call::cancelled("join"));
        }
        *self.joint.waiter.borrow_mut() = Some(Waiter::current(shard));
        task::park(shard, "the end of a task");
        Ok(())
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
}

/// Runs `body`, then waits for every task that it spawned in the scope.
///
/// The first failure of a task (a panic) is returned, after all have ended. The wait is not cut
/// short by a cancellation: the tasks are cancelled as well, and end by it.
pub fn scope<R>(body: impl FnOnce(&Scope) -> R) -> Result<R> {
    let scope = Scope { tasks: RefCell::default() };
    let result = body(&scope);
    let mut failure = None;
    loop {
        // Tasks may spawn further ones while others are joined.
        let Some(task) = scope.tasks.borrow_mut().pop() else { break };
        let shard = shard::current().ok_or_else(|| Error::would_block("scope"))?;
        while !task.is_finished() {
            *task.joint.waiter.borrow_mut() = Some(Waiter::current(&shard));
            task::park(&shard, "the end of a scope");
        }
        if let Some(Err(error)) = task.joint.result.take() {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(result), Err)
}
