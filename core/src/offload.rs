//! Offload: a bounded pool of plain threads for what must not hold up a core.
//!
//! Heavy methods and [`offload`] run here: work that burns CPU for milliseconds, or that blocks in
//! a library which knows nothing of coroutines.
//!
//! ```text
//!   core thread ── submit ──► jobs, 4096 at most ──► threads, started one by one when needed
//!        ▲                                               │
//!        └────── the coroutine's waker, or a message ────┘ the job itself tells its outcome
//! ```
//!
//! Jobs start in the order of arrival, until they wait for so long that it is an overload: then, as
//! on a core, the best start first, and who is not chosen in time is refused.
//!
//! A thread is started when more jobs wait than threads do, up to the configured number, and stays.
//! Jobs beyond the bound are refused, and so is a job for which there is no thread at all. What was
//! accepted is run, even if the pool goes meanwhile: somebody waits for its outcome.
//!
//! One lock guards everything. It is held for a push or a pop, or for the start of a thread, and
//! never while a job runs.
//!
//! A job inherits what the coroutine that sent it works for, so that calls it makes still carry
//! deadline, flow id and dye, and its records in the log say whom they are about.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use msec_protocol::Code;
use msec_protocol::serve::{Line, Place, Rank, Turn};
use msec_sys::clock;

use crate::error::{Error, Result};
use crate::log::request::Known;
use crate::request::panic_text;
use crate::shard;
use crate::task::Inherited;

/// What somebody is told whose job is refused.
pub(crate) const OVERLOADED_TEXT: &str =
    "the offload threads are overloaded: it waited, and others went first";

/// Jobs that wait for a thread at most.
const JOBS_COUNT_MAX: usize = 4096;

/// Is told whether it may run; else it is to tell whoever waits for it of the overload.
pub(crate) type Job = Box<dyn FnOnce(Chosen) + Send>;

/// What a job is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chosen {
    Run,
    Refused,
}

/// The pool of an engine. Dropped, it runs what waits, and joins its threads.
pub(crate) struct Offload {
    shared: Arc<Shared>,
    threads_max: usize,
}

struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Line<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that wait for the bell, those included for which it was rung but that do not run
    /// yet: the job that it was rung for is still among `jobs`.
    idle_count: usize,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Offload {
    pub(crate) fn new(threads_max: usize, overload_control: bool) -> Self {
        let state = State { jobs: Line::new(overload_control), ..State::default() };
        let shared = Shared { state: Mutex::new(state), bell: Condvar::new() };
        Self { shared: Arc::new(shared), threads_max }
    }

    /// Queues a job; false, and the job is dropped, when too many wait already or no thread can be
    /// had.
    #[must_use = "the job is gone if it is false"]
    pub(crate) fn submit(&self, job: Job, inherited: &Inherited) -> bool {
        let place = Place {
            rank: Rank::of(inherited.priority, inherited.flow_id),
            received_ns: clock::now_ns(),
            deadline_ns: if inherited.deadline_ns == 0 { u64::MAX } else { inherited.deadline_ns },
        };
        let mut state = self.shared.lock();
        if state.jobs.len() == JOBS_COUNT_MAX || state.ended {
            return false;
        }
        if state.jobs.len() >= state.idle_count && state.threads.len() < self.threads_max {
            self.start_thread(&mut state);
        }
        if state.threads.is_empty() {
            return false;
        }
        state.jobs.push(job, place);
        drop(state);
        self.shared.bell.notify_one();
        true
    }

    fn start_thread(&self, state: &mut State) {
        let shared = self.shared.clone();
        let name = format!("msec-offload-{}", state.threads.len());
        match std::thread::Builder::new().name(name).spawn(move || work(&shared)) {
            Ok(thread) => state.threads.push(thread),
            // Those that run take the job.
            Err(error) => crate::log::warn("offload", format_args!("no further thread: {error}")),
        }
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.bell.notify_all();
        for thread in threads {
            // The pool goes with the last user of the engine, which may be a job of its own.
            if thread.thread().id() != std::thread::current().id() {
                // Its panics are caught where they happen.
                let _ = thread.join();
            }
        }
    }
}

fn work(shared: &Shared) {
    // What runs here takes long by nature; cores answer others meanwhile, on the same CPUs.
    msec_sys::cpu::step_back();
    let mut state = shared.lock();
    loop {
        if let Some(turn) = state.jobs.pop(clock::now_ns()) {
            drop(state);
            let (job, chosen) = match turn {
                Turn::Run(job) => (job, Chosen::Run),
                Turn::Refuse(job) => (job, Chosen::Refused),
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(chosen))) {
                let text = panic_text(&*payload);
                crate::log::error("panic", format_args!("an offloaded job panicked: {text}"));
            }
            crate::local::clear_thread();
            state = shared.lock();
            continue;
        }
        if state.ended {
            return;
        }
        state.idle_count += 1;
        state = shared.bell.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        state.idle_count -= 1;
    }
}

/// What a job works for, and what its records in the log say of that.
type Work = (Inherited, Known);

thread_local! {
    /// Of the job of this thread.
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// Runs `function` with something to inherit from.
pub(crate) fn inheriting<R>(inherited: Inherited, known: Known, function: impl FnOnce() -> R) -> R {
    /// Takes back what was inherited, also when the function panics.
    struct Restore(Option<Work>);

    impl Drop for Restore {
        fn drop(&mut self) {
            WORK.replace(self.0.take());
        }
    }

    let _restore = Restore(WORK.replace(Some((inherited, known))));
    function()
}

/// What the job of this thread inherits; `None` when this is no offload thread.
pub(crate) fn inherited() -> Option<Inherited> {
    WORK.with(|slot| slot.borrow().as_ref().map(|(inherited, _)| inherited.clone()))
}

/// Looks at what is known of the request that the job of this thread works for; does nothing where
/// there is none.
pub(crate) fn with_known(look: impl FnOnce(&Known)) {
    // Late in the end of a thread there is nothing left to be looked at.
    let _ = WORK.try_with(|slot| slot.borrow().as_ref().map(|(_, known)| look(known)));
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
/// -18 the function panicked; -101 too many jobs wait; -103 the task was cancelled; -2 this is the
/// loop of a core.
pub fn offload<R: Send + 'static>(function: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let Some(shard) = shard::current() else { return Ok(function()) };
    // Else the function would run although nobody can wait for it.
    crate::sync::may_wait(&shard, "offload")?;
    let (tell, told) = oneshot();
    let inherited = crate::inherited();
    let (job_inherited, known) = (inherited.clone(), Known::here(&shard));
    let job = Box::new(move |chosen| {
        if chosen == Chosen::Refused {
            return tell.tell(Err(Error::new(Code::OVERLOADED, OVERLOADED_TEXT)));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| inheriting(job_inherited, known, function)));
        tell.tell(outcome.map_err(|payload| {
            let text = format!("the offloaded function panicked: {}", panic_text(&*payload));
            Error::new(Code::SERVICE_FAILED, text)
        }));
    });
    if !shard.shared.offload.submit(job, &inherited) {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Occupies a thread of the pool until the returned end is dropped.
    fn occupy(pool: &Offload) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let job = move || {
            tell.send(()).expect("the test waits for it");
            let _ = released.recv();
        };
        assert!(submit(pool, job));
        told.recv_timeout(PATIENCE).expect("the job is started");
        release
    }

    /// Submits a job that runs whatever it is told.
    fn submit(pool: &Offload, job: impl FnOnce() + Send + 'static) -> bool {
        pool.submit(Box::new(move |_| job()), &Inherited::default())
    }

    fn threads_count(pool: &Offload) -> usize {
        pool.shared.lock().threads.len()
    }

    fn wait_until_idle(pool: &Offload, count: usize) {
        let mut tries_count = 0u64;
        while pool.shared.lock().idle_count != count {
            std::thread::yield_now();
            tries_count += 1;
            assert!(tries_count < 100_000_000, "never {count} idle threads");
        }
    }

    #[test]
    fn threads_are_started_when_needed_and_no_more_than_allowed() {
        let pool = Offload::new(2, true);
        assert_eq!(threads_count(&pool), 0, "none before the first job");
        drop(occupy(&pool));
        wait_until_idle(&pool, 1);
        let first = occupy(&pool);
        assert_eq!(threads_count(&pool), 1, "an idle thread is used first");
        let _second = occupy(&pool);
        let (tell, told) = mpsc::channel();
        assert!(submit(&pool, move || tell.send(()).expect("the test waits for it")));
        assert_eq!(threads_count(&pool), 2);
        assert!(told.try_recv().is_err(), "both threads are occupied");
        drop(first);
        told.recv_timeout(PATIENCE).expect("the freed thread takes the job");
    }

    #[test]
    fn a_job_too_many_is_refused_and_dropped() {
        let pool = Offload::new(1, true);
        let release = occupy(&pool);
        let alive = Arc::new(());
        let job = || {
            let alive = alive.clone();
            move || drop(alive)
        };
        for _ in 0..JOBS_COUNT_MAX {
            assert!(submit(&pool, job()));
        }
        assert!(!submit(&pool, job()));
        assert_eq!(Arc::strong_count(&alive), JOBS_COUNT_MAX + 1);
        drop(release);
        wait_until_idle(&pool, 1);
        assert_eq!(Arc::strong_count(&alive), 1, "all others were run");
        assert!(submit(&pool, job()), "and there is room again");
    }

    #[test]
    fn without_any_thread_a_job_is_refused_rather_than_kept_for_ever() {
        assert!(!submit(&Offload::new(0, true), || ()));
    }

    #[test]
    fn a_panicking_job_takes_no_thread_with_it_and_leaves_nothing_to_inherit() {
        let pool = Offload::new(1, true);
        let panicking =
            || inheriting(Inherited::default(), Known::default(), || panic!("on purpose"));
        assert!(submit(&pool, panicking));
        let (tell, told) = mpsc::channel();
        let job = move || tell.send(inherited().is_some()).expect("the test waits for it");
        assert!(submit(&pool, job));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(false));
        assert_eq!(threads_count(&pool), 1);
    }

    #[test]
    fn what_was_accepted_is_run_before_the_pool_is_gone() {
        let pool = Offload::new(2, true);
        let release = occupy(&pool);
        let _release = occupy(&pool);
        let run_count = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let run_count = run_count.clone();
            assert!(submit(&pool, move || {
                run_count.fetch_add(1, Ordering::Relaxed);
            }));
        }
        assert_eq!(run_count.load(Ordering::Relaxed), 0);
        drop((release, _release));
        drop(pool);
        assert_eq!(run_count.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn the_last_handle_may_go_in_a_job_of_its_own() {
        let pool = Arc::new(Offload::new(1, true));
        let (hand, handed) = mpsc::channel::<Arc<Offload>>();
        let (tell, told) = mpsc::channel();
        let job = move || {
            drop(handed.recv());
            tell.send(()).expect("the test waits for it");
        };
        assert!(submit(&pool, job));
        hand.send(pool).expect("the job waits for it");
        told.recv_timeout(PATIENCE).expect("a thread does not join itself");
    }
}
