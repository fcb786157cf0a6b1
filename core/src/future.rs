//! Futures in coroutines: any Rust future can be waited for from code that looks blocking.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use msec_protocol::Code;
use msec_sys::clock;

use crate::cancel::TaskId;
use crate::deadline;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::shard;
use crate::sync::{Current, Wait, nanoseconds, not_unwinding, wait};
use crate::task;

/// What a wait for a future is called in errors.
const OPERATION: &str = "wait for a future";

/// Wakes a task of a core from whatever thread finishes the future's work.
struct TaskWaker {
    shared: Arc<Shared>,
    task: TaskId,
    woken: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once is enough until the task has looked.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.shared.cores.wake(self.task);
        }
    }
}

/// Wakes a plain thread.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future: the coroutine parks, or a plain thread blocks.
///
/// The future is polled on this stack; it may belong to any runtime that is running elsewhere (a
/// tokio future needs tokio's own threads for its I/O and timers).
///
/// # Errors
/// -103 when the task is cancelled while it waits: the future is dropped. -2 on a core's loop, if
/// the future is not ready at once.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    block_on_until(future, None)
}

/// As [`block_on`], but not for longer than `timeout`.
///
/// # Errors
/// -10 when the time is over: the future is dropped; and those of [`block_on`].
pub fn block_on_timeout<F: Future>(future: F, timeout: Duration) -> Result<F::Output> {
    block_on_until(future, Some(timeout))
}

fn block_on_until<F: Future>(future: F, timeout: Option<Duration>) -> Result<F::Output> {
    let mut future = pin!(future);
    if shard::current().is_some() {
        return wait(&mut awaiting(future), timeout, OPERATION);
    }
    let end_ns = timeout.map(|timeout| clock::now_ns().saturating_add(nanoseconds(timeout)));
    let waker = Waker::from(Arc::new(ThreadWaker(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        match end_ns.map(|end_ns| end_ns.saturating_sub(clock::now_ns())) {
            None => std::thread::park(),
            Some(0) => {
                return Err(Error::new(Code::TIMEOUT, "the time is over").during(OPERATION));
            }
            Some(left_ns) => std::thread::park_timeout(Duration::from_nanos(left_ns)),
        }
    }
}

/// As [`block_on`], but waits on when the task is cancelled: for who must not go before others
/// have, such as tasks that use what is on his stack. The future has to end by itself then.
///
/// # Errors
/// -2 on a core's loop, if the future is not ready at once. -103 in a destructor that a panic runs,
/// which cannot wait.
pub fn block_on_uncancelled<F: Future>(future: F) -> Result<F::Output> {
    let Some(shard) = shard::current() else { return block_on(future) };
    let mut future = pin!(future);
    let mut wait = awaiting(future.as_mut());
    let current = Current::of(Some(shard.clone()));
    loop {
        if let Some(output) = wait.poll(&current) {
            return Ok(output);
        }
        if current.waiter().is_none() {
            return Err(Error::would_block(OPERATION));
        }
        not_unwinding(OPERATION)?;
        deadline::watch(&shard);
        task::park(&shard, OPERATION);
    }
}

/// A future as a [`Wait`], for a `select`: a started call, or what any other library has.
///
/// A future that is not `Unpin` is pinned first, by `std::pin::pin!` or `Box::pin`. It is dropped
/// with the wait, not when the wait leaves.
///
/// ```
/// use std::time::Duration;
/// use msec::sync::{Either, after, awaiting, select2};
///
/// # msec::Engine::start()?.run(|| {
/// let never = std::future::pending::<u32>();
/// let first = select2(awaiting(never), after(Duration::from_millis(2)))?;
/// assert_eq!(first, Either::Second(()));
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
pub fn awaiting<F: Future + Unpin>(future: F) -> Awaiting<F> {
    Awaiting { future, flag: None }
}

/// A future that is waited for; see [`awaiting`].
pub struct Awaiting<F> {
    future: F,
    /// Made when a task first polls, and again when another one does.
    flag: Option<(Arc<TaskWaker>, Waker)>,
}

impl<F: Future + Unpin> Wait for Awaiting<F> {
    type Output = F::Output;

    /// # Panics
    /// When the future does so because it is over.
    fn poll(&mut self, current: &Current) -> Option<F::Output> {
        let Some((shard, waiter)) = current.place() else {
            let mut context = Context::from_waker(Waker::noop());
            return ready(Pin::new(&mut self.future).poll(&mut context));
        };
        let task = waiter.id(shard.index);
        let flag = self.flag.take().filter(|(flag, _)| flag.task == task);
        let (flag, waker) = self.flag.insert(flag.unwrap_or_else(|| {
            let shared = shard.shared.clone();
            let flag = Arc::new(TaskWaker { shared, task, woken: AtomicBool::new(false) });
            let waker = Waker::from(flag.clone());
            (flag, waker)
        }));
        // A swap, not a store: it sees what a wake-up before it has published, and one after it
        // sees the flag down and wakes. With a store both could miss each other.
        flag.woken.swap(false, Ordering::AcqRel);
        ready(Pin::new(&mut self.future).poll(&mut Context::from_waker(waker)))
    }

    fn leave(&mut self) {
        // A waker cannot be taken back: it may wake this task for nothing.
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
