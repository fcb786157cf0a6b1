//! Offload: a bounded pool of plain threads for what must not hold up a core.
//!
//! Heavy methods and [`offload`] run here: work that burns CPU for milliseconds, or that blocks in
//! a library which knows nothing of coroutines. Threads are started as they are needed, up to the
//! configured number; jobs that find no thread wait in a bounded queue, and beyond that are refused.
//!
//! A job inherits what the coroutine that sent it works for, so that calls it makes still carry
//! deadline, flow id and dye.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use msec_protocol::Code;

use crate::error::{Error, Result};
use crate::serve::panic_text;
use crate::shard;
use crate::task::Inherited;

/// Jobs that wait for a thread at most.
const JOBS_COUNT_MAX: usize = 4096;

type Job = Box<dyn FnOnce() + Send>;

/// The pool of an engine.
pub(crate) struct Offload {
    shared: Arc<Shared>,
    threads_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Offload {
    pub(crate) fn new(threads_max: usize) -> Self {
        let shared = Shared { state: Mutex::default(), bell: Condvar::new() };
        Self { shared: Arc::new(shared), threads_max, threads: Mutex::default() }
    }

    /// Queues a job; false when too many wait already, or no thread can be had.
    pub(crate) fn submit(&self, job: Job) -> bool {
        let mut state = self.shared.lock();
        if state.jobs.len() == JOBS_COUNT_MAX || state.ended {
            return false;
        }
        state.jobs.push_back(job);
        let wanting = state.jobs.len() > state.idle;
        drop(state);
        self.shared.bell.notify_one();
        if wanting {
            self.start_thread();
        }
        true
    }

    fn start_thread(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if threads.len() == self.threads_max {
            return;
        }
        let shared = self.shared.clone();
        let name = format!("msec-offload-{}", threads.len());
        // Without the memory for one more thread, those that run take the job.
        if let Ok(thread) = std::thread::Builder::new().name(name).spawn(move || work(&shared)) {
            threads.push(thread);
        }
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.bell.notify_all();
        let threads =
            std::mem::take(self.threads.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for thread in threads {
            // The pool goes with the last user of the engine, which may be a job of its own.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            drop(state);
            // A job that wants its panic known catches it itself.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = shared.lock();
            continue;
        }
        if state.ended {
            return;
        }
        state.idle += 1;
        state = shared.bell.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        state.idle -= 1;
    }
}

thread_local! {
    /// What the job of this thread works for.
    static INHERITED: RefCell<Option<Inherited>> = const { RefCell::new(None) };
}

/// Runs `function` with something to inherit from.
pub(crate) fn inheriting<R>(inherited: Inherited, function: impl FnOnce() -> R) -> R {
    INHERITED.with(|slot| *slot.borrow_mut() = Some(inherited));
    let result = function();
    INHERITED.with(|slot| slot.borrow_mut().take());
    result
}

/// What the job of this thread inherits; `None` when this is no offload thread.
pub(crate) fn inherited() -> Option<Inherited> {
    INHERITED.with(|slot| slot.borrow().clone())
}

/// Runs a function on an offload thread and waits for what it returns; the coroutine parks.
///
/// For blocking libraries and long computations. On a thread that is no core's, the function is
/// simply called. It is not interrupted when the waiting task is cancelled: the wait ends, its
/// result is thrown away.
///
/// ```
/// # let engine = msec::Engine::start()?;
/// # engine.run(|| {
/// let text = msec::offload(|| std::fs::read_to_string("/etc/hostname"));
/// assert!(text.is_ok());
/// # })?;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -18 the function panicked; -101 too many jobs wait; -103 the task was cancelled.
pub fn offload<R: Send + 'static>(function: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let Some(shard) = shard::current() else { return Ok(function()) };
    let (tell, told) = oneshot();
    let inherited = crate::inherited();
    let job = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| inheriting(inherited, function)));
        tell.tell(outcome.map_err(|payload| {
            let text = format!("the offloaded function panicked: {}", panic_text(&*payload));
            Error::new(Code::SERVICE_FAILED, text)
        }));
    });
    if !shard.shared.offload.submit(job) {
        return Err(Error::new(Code::OVERLOADED, "too many jobs wait for an offload thread"));
    }
    crate::block_on(told)?
}

/// One value from another thread, as a future.
fn oneshot<T: Send>() -> (Tell<T>, Told<T>) {
    let shared = Arc::new(Mutex::new((None, None)));
    (Tell { shared: shared.clone() }, Told { shared })
}

type Oneshot<T> = Arc<Mutex<(Option<T>, Option<std::task::Waker>)>>;

struct Tell<T> {
    shared: Oneshot<T>,
}

struct Told<T> {
    shared: Oneshot<T>,
}

impl<T> Tell<T> {
    fn tell(self, value: T) {
        let mut state = self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.0 = Some(value);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Told<T> {
    type Output = T;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        let mut state = self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match state.0.take() {
            Some(value) => std::task::Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}
