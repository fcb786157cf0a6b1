//! The engine: its core threads, what they share, and their start and stop.
//!
//! ```text
//!   Engine ──► Shared { configuration, budgets, offload pool, cores: mailboxes and heartbeats }
//!                 ▲            ▲            ▲
//!              core 0       core 1      watchdog          one thread each
//! ```
//!
//! What the cores share is this file's business alone: the ways into their mailboxes, the budgets
//! they lease from, and a heartbeat each, which the watchdog reads. No thread is started before an
//! engine is, and all of them are joined when it is stopped.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use msec_protocol::Code;
use msec_sys::process::{self, CrashNote, StalledNote};
use msec_sys::ring::{Ring, Waker};
use msec_sys::{clock, cpu};

pub(crate) use crate::budget::Lease;

use crate::budget::Budget;
use crate::cancel::TaskId;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::log;
use crate::mailbox::{self, Refused};
use crate::method;
use crate::offload::{Chosen, Offload};
use crate::shard::{self, Message, Shard};
use crate::task::Inherited;
use crate::tls;

/// Messages that wait for a core at most. More are refused to foreign threads, and kept back by
/// cores.
const MAILBOX_COUNT_MAX: usize = 16 * 1024;

/// How often the watchdog looks at least; files are looked at as well.
const WATCH_NS_MAX: u64 = 500_000_000;

/// A running engine. Clones are handles to the same one; the last to go stops it.
#[derive(Clone)]
pub struct Engine {
    running: Arc<Running>,
}

/// Ends the threads when the last handle goes.
struct Running {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps the log going; let go of after the threads, so that their last words are written.
    _log: Arc<log::writer::Writer>,
}

/// What all threads of an engine share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) cores: Cores,
    pub(crate) budgets: Budgets,
    pub(crate) offload: Offload,
    pub(crate) naming: crate::naming::Naming,
    pub(crate) tls: Arc<tls::Watch>,
    pub(crate) servers_count: AtomicU32,
    /// Which core is next to be given a function from outside.
    pub(crate) turn: AtomicU32,
    backend: OnceLock<&'static str>,
    /// Where its first server listens.
    pub(crate) instance: OnceLock<String>,
    /// Set, and rung, when the watchdog is to end.
    ended: (Mutex<bool>, Condvar),
}

impl Shared {
    /// The service and the instance that it is; empty where they are not known.
    pub(crate) fn identity(&self) -> (&str, &str) {
        let instance = self.instance.get().map_or("", String::as_str);
        (&self.config.report.service, instance)
    }

    /// How this engine does its I/O.
    pub(crate) fn backend(&self) -> &'static str {
        self.backend.get().copied().unwrap_or("none")
    }
}

/// The process-wide limits that cores lease from.
pub(crate) struct Budgets {
    connections: Arc<Budget>,
    requests: Arc<Budget>,
    pub(crate) bytes: Arc<Budget>,
}

/// A core's leases.
pub(crate) struct Leases {
    pub(crate) connections: Lease,
    pub(crate) requests: Lease,
    pub(crate) bytes: Lease,
}

impl Leases {
    pub(crate) fn new(budgets: &Budgets) -> Self {
        Self {
            connections: Lease::new(&budgets.connections),
            requests: Lease::new(&budgets.requests),
            bytes: Lease::new(&budgets.bytes),
        }
    }
}

/// The ways to the cores.
pub(crate) struct Cores {
    senders: Vec<mailbox::Sender<Message>>,
    beats: Vec<Beat>,
}

/// What a core shows of itself to other threads. Relaxed: it is for looking, not for ordering.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Beat {
    sleeps: AtomicBool,
    turn_ns: AtomicU64,
    method: AtomicU32,
    pub(crate) stopped: AtomicBool,
    /// How often the watchdog has found it not looping.
    pub(crate) stalls: AtomicU64,
    /// The core's thread, as the kernel numbers it.
    thread: AtomicI32,
    /// Methods that have a parked coroutine, by the place of its task; 0: none that is known. Two
    /// tasks may have one place, so this is a sample, for a report that is right most often.
    parked: [AtomicU32; PARKED_COUNT],
}

/// Parked coroutines whose method other threads can see.
const PARKED_COUNT: usize = 8;

impl Beat {
    pub(crate) fn asleep(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
    }

    pub(crate) fn awake(&self, now_ns: u64) {
        self.turn_ns.store(now_ns, Ordering::Relaxed);
        // Whoever sees it awake sees since when.
        self.sleeps.store(false, Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        self.sleeps.load(Ordering::Acquire)
    }

    /// A handler of that method is started.
    #[inline]
    pub(crate) fn runs(&self, method: method::Name) {
        self.method.store(method.number(), Ordering::Relaxed);
    }

    /// A coroutine of that task has parked, for a method or not.
    #[inline]
    pub(crate) fn parks(&self, task: u32, method: Option<method::Name>) {
        // Numbers begin with 0, which here is nobody.
        let number = method.map_or(0, |method| method.number() + 1);
        self.parked[task as usize % PARKED_COUNT].store(number, Ordering::Relaxed);
    }

    /// The coroutine of that task goes on.
    #[inline]
    pub(crate) fn goes_on(&self, task: u32) {
        self.parked[task as usize % PARKED_COUNT].store(0, Ordering::Relaxed);
    }

    /// Some of the methods that have a parked coroutine, each once.
    fn parked_methods(&self) -> Vec<&'static str> {
        let numbers = self.parked.iter().map(|parked| parked.load(Ordering::Relaxed));
        let names =
            numbers.filter(|number| *number != 0).map(|number| method::Name::of(number - 1));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Cores {
    pub(crate) fn count(&self) -> usize {
        self.senders.len()
    }

    pub(crate) fn beat(&self, core: usize) -> &Beat {
        &self.beats[core]
    }

    /// A core that sleeps, other than `except`.
    pub(crate) fn sleeping(&self, except: usize) -> Option<usize> {
        (0..self.count()).find(|core| {
            *core != except && self.beats[*core].is_idle() && !self.senders[*core].is_closed()
        })
    }

    /// Sends a message, or hands it back when the mailbox is full. To a core that has stopped it
    /// is dropped.
    pub(crate) fn try_post(
        &self,
        core: usize,
        message: Message,
    ) -> std::result::Result<(), Message> {
        match self.senders[core].try_send(message) {
            Ok(()) | Err(Refused::Closed(_)) => Ok(()),
            Err(Refused::Full(message)) => Err(message),
        }
    }

    /// Sends a message from a thread that is no core's, and waits while the mailbox is full.
    pub(crate) fn post_patiently(&self, core: usize, message: Message) {
        let mut message = message;
        while let Err(refused) = self.try_post(core, message) {
            message = refused;
            std::thread::yield_now();
        }
    }

    /// Wakes a task from any thread.
    pub(crate) fn wake(&self, task: TaskId) {
        let core = usize::from(task.core);
        if core >= self.count() {
            // It is another engine's, which a handler here has given a function to.
            return;
        }
        match shard::current() {
            Some(shard) if std::ptr::eq(&raw const shard.shared.cores, self) => {
                if shard.index == core {
                    shard.tasks.wake_id(task);
                } else {
                    shard.post(core, Message::Wake(task));
                }
            }
            Some(_) | None => self.post_patiently(core, Message::Wake(task)),
        }
    }
}

impl Shared {
    /// Waits so long, or until the engine ends: then it is false.
    pub(crate) fn rest(&self, time: Duration) -> bool {
        let (ended, bell) = &self.ended;
        let guard = ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = bell.wait_timeout_while(guard, time, |ended| !*ended);
        !*waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

impl Engine {
    /// Starts an engine with the configuration of the environment; see [`Config::from_env`].
    pub fn start() -> Result<Self> {
        Self::with(Config::from_env()?)
    }

    /// Starts an engine. It runs until its last handle, and every server on it, is gone.
    pub fn with(config: Config) -> Result<Self> {
        log::set_level(config.log_level);
        let log = log::writer::start(config.report.log_place())?;
        let count = config.cores;
        let wakers: Vec<Arc<OnceLock<Waker>>> = (0..count).map(|_| Arc::default()).collect();
        let (senders, inboxes): (Vec<_>, Vec<_>) = wakers
            .iter()
            .map(|waker| {
                let waker = waker.clone();
                // Before the ring is there, nobody waits in it.
                mailbox::mailbox(MAILBOX_COUNT_MAX, move || {
                    if let Some(waker) = waker.get() {
                        waker.wake();
                    }
                })
            })
            .unzip();
        let limits = &config.limits;
        let budgets = Budgets {
            connections: Budget::new(config.connections_count_max() as u64),
            requests: Budget::new(u64::from(limits.requests_per_process_max)),
            bytes: Budget::new(config.bytes_max()),
        };
        let beats = (0..count).map(|_| Beat::default()).collect();
        let shared = Arc::new(Shared {
            cores: Cores { senders, beats },
            budgets,
            offload: Offload::new(config.offload_threads_max(), config.overload_control),
            naming: crate::naming::Naming::default(),
            tls: tls::Watch::open(config.tls.as_ref())?,
            servers_count: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            backend: OnceLock::new(),
            instance: OnceLock::new(),
            ended: (Mutex::new(false), Condvar::new()),
            config,
        });
        let running =
            Arc::new(Running { shared: shared.clone(), threads: Mutex::default(), _log: log });
        let (tell, told) = mpsc::channel();
        for (index, (inbox, waker)) in inboxes.into_iter().zip(wakers).enumerate() {
            let (shared, tell) = (shared.clone(), tell.clone());
            let thread = std::thread::Builder::new()
                .name(format!("msec-core-{index}"))
                .spawn(move || core_thread(index, shared, inbox, &waker, &tell))
                .map_err(|error| Error::from_io("start a core thread", &error))?;
            running.keep(thread);
        }
        drop(tell);
        for _ in 0..count {
            told.recv()
                .unwrap_or_else(|_| Err(Error::internal("a core thread died at its start")))?;
        }
        if let Some(path) = &shared.config.routes {
            running.keep(crate::naming::follow(&shared, path.clone())?);
        }
        running.keep(spawn_watchdog(shared)?);
        Ok(Self { running })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }

    /// `uring` or `epoll`: how this engine does its I/O.
    pub fn io_backend(&self) -> &'static str {
        self.running.shared.backend()
    }

    /// How many core threads it has.
    pub fn cores_count(&self) -> usize {
        self.running.shared.cores.count()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.running.shared.config
    }

    /// Runs a function as a coroutine on one of the cores and waits for what it returns.
    ///
    /// For programs whose main thread wants to make blocking calls with the engine's own tools.
    /// The function may block; the calling thread waits.
    ///
    /// # Errors
    /// -18 the function panicked; -101 no stack was left for it.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn run<R: Send + 'static>(
        &self,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        assert!(shard::current().is_none(), "a core thread must not wait for a core");
        let (tell, told) = mpsc::sync_channel(1);
        let job = move |shard: &Rc<Shard>| {
            let run = move || {
                let result = crate::spawn::catch(function);
                // Nobody hears it if the waiting thread is gone.
                let _ = tell.send(result);
            };
            crate::spawn::spawn_boxed(shard, Box::new(run), Inherited::default());
        };
        self.shared().cores.post_patiently(0, Message::Run(Box::new(job)));
        told.recv().unwrap_or_else(|_| {
            let text = "no stack was left for the function, or the engine has stopped";
            Err(Error::new(Code::OVERLOADED, text).during("run a function on a core"))
        })
    }

    /// Runs a function as a coroutine on one of the cores, and does not wait for it.
    ///
    /// On a core of this engine it stays there, and inherits what the caller works for; from other
    /// threads the cores take turns. Given to another engine than the caller's, it is not woken
    /// when he is cancelled, but sees it as soon as it wakes. The function starts when the core
    /// next looks for work. Should no stack be left for it, or the engine stop before, it is
    /// dropped.
    pub fn spawn(&self, function: impl FnOnce() + Send + 'static) {
        let inherited = crate::inherited();
        let spawn = move |shard: &Rc<Shard>| {
            let run = move || {
                // Its panic was logged, and nobody waits for its result.
                let _ = crate::spawn::catch(function);
            };
            crate::spawn::spawn_boxed(shard, Box::new(run), inherited);
        };
        let own = |shard: &Rc<Shard>| Arc::ptr_eq(&shard.shared, self.shared());
        if let Some(shard) = shard::current().filter(own) {
            return spawn(&shard);
        }
        let turn = self.shared().turn.fetch_add(1, Ordering::Relaxed) as usize;
        self.shared()
            .cores
            .post_patiently(turn % self.cores_count(), Message::Run(Box::new(spawn)));
    }

    /// Runs `ask` on every core and collects what it returns, in the order of the cores.
    pub(crate) fn ask_all<R: Send + 'static>(
        &self,
        ask: impl Fn(&Rc<Shard>) -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        assert!(shard::current().is_none(), "a core thread must not wait for a core");
        let answers = (0..self.cores_count()).map(|core| {
            let (tell, told) = mpsc::sync_channel(1);
            let ask = ask.clone();
            let job = Box::new(move |shard: &Rc<Shard>| {
                let _ = tell.send(ask(shard));
            });
            self.shared().cores.post_patiently(core, Message::Run(job));
            told
        });
        let answers: Vec<_> = answers.collect();
        answers.into_iter().filter_map(|told| told.recv().ok()).collect()
    }
}

impl Running {
    fn keep(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(thread);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for core in 0..self.shared.cores.count() {
            let own = shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, &self.shared));
            if let Some(shard) = own.filter(|shard| shard.index == core) {
                // If our mailbox is full, nobody but us makes room in it.
                shard.stop();
                continue;
            }
            let stop = Box::new(|shard: &Rc<Shard>| shard.stop());
            self.shared.cores.post_patiently(core, Message::Run(stop));
        }
        let (ended, bell) = &self.shared.ended;
        *ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        bell.notify_all();
        let threads = std::mem::take(
            &mut *self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
        );
        for thread in threads {
            // The last handle may be dropped by a task: a thread cannot join itself.
            if thread.thread().id() != std::thread::current().id() {
                // A core that panicked has said so already.
                let _ = thread.join();
            }
        }
    }
}

thread_local! {
    /// Has no destructor, so that it can be asked until the very end of a thread.
    static IS_CORE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a core's.
pub(crate) fn on_core() -> bool {
    IS_CORE.get()
}

fn core_thread(
    index: usize,
    shared: Arc<Shared>,
    inbox: mailbox::Receiver<Message>,
    waker: &OnceLock<Waker>,
    tell: &mpsc::Sender<Result<()>>,
) {
    if let Some(cpu) = shared.config.pin_to(index)
        && let Err(error) = cpu::pin_current(cpu)
    {
        log::warn("pin", format_args!("core {index} is not pinned to CPU {cpu}: {error}"));
    }
    cpu::step_forward();
    IS_CORE.set(true);
    CrashNote::set_core(index);
    process::keep_recent_of_core(index);
    shared.cores.beat(index).thread.store(process::thread_id(), Ordering::Relaxed);
    log::writer::own_queue();
    if let Err(error) = process::name_crashes_thread() {
        log::warn("crash", format_args!("core {index} cannot say what crashes it: {error}"));
    }
    let (choice, features) = (shared.config.io_choice(), shared.config.io_features());
    let (ring, refused) = match Ring::open(choice, features) {
        Ok(opened) => opened,
        Err(error) => {
            let _ = tell.send(Err(Error::from_io("open io_uring, which MSEC_IO demands", &error)));
            return;
        }
    };
    if shared.backend.set(ring.name()).is_ok() {
        say_backend(&ring, refused.as_ref());
    }
    // A ring that is dropped again rings nobody.
    let _ = waker.set(ring.waker());
    let shard = Shard::new(index, shared, ring, inbox);
    let _ = tell.send(Ok(()));
    shard.run();
    IS_CORE.set(false);
}

fn say_backend(ring: &Ring, refused: Option<&std::io::Error>) {
    match (refused, ring.features()) {
        (Some(error), _) => {
            log::warn("io", format_args!("io_uring is refused ({error}): I/O by epoll"));
        }
        (None, Some(features)) => {
            log::debug("io", format_args!("I/O by io_uring with {features}"));
        }
        (None, None) => log::debug("io", format_args!("I/O by epoll")),
    }
}

/// Watches the cores' heartbeats and names the method that keeps one from looping.
fn spawn_watchdog(shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    let stall_ns = shared.config.stall_ms * 1_000_000;
    let rest = Duration::from_nanos((stall_ns / 4).clamp(1_000_000, WATCH_NS_MAX));
    let watch = move || {
        let mut reported = vec![0u64; shared.cores.count()];
        let mut stalled = StalledNote::default();
        let (ended, bell) = &shared.ended;
        let mut guard = ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while !*guard {
            guard =
                bell.wait_timeout(guard, rest).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            let threads = reported.iter_mut().enumerate();
            let threads = threads
                .filter_map(|(core, reported)| look_after(&shared, core, stall_ns, reported));
            stalled.set(threads.last());
            shared.tls.look_by(|job| {
                let job = Box::new(move |chosen| job(chosen == Chosen::Run));
                shared.offload.submit(job, &Inherited::default())
            });
        }
    };
    std::thread::Builder::new()
        .name("msec-watchdog".into())
        .spawn(watch)
        .map_err(|error| Error::from_io("start the watchdog", &error))
}

/// Reports a core that has not looped for too long, once a stall. Its thread, while it has not.
fn look_after(shared: &Shared, core: usize, stall_ns: u64, reported_ns: &mut u64) -> Option<i32> {
    let beat = shared.cores.beat(core);
    // In this order: who is seen awake has said before since when.
    let idle = beat.is_idle() || beat.stopped.load(Ordering::Relaxed);
    let turn_ns = beat.turn_ns.load(Ordering::Relaxed);
    let age_ns = clock::now_ns().saturating_sub(turn_ns);
    if idle || turn_ns == 0 || age_ns < stall_ns {
        return None;
    }
    let thread = beat.thread.load(Ordering::Relaxed);
    if *reported_ns == turn_ns {
        return Some(thread);
    }
    *reported_ns = turn_ns;
    beat.stalls.fetch_add(1, Ordering::Relaxed);
    let method = method::Name::of(beat.method.load(Ordering::Relaxed));
    let since =
        format!("core {core} has not looped for {} ms: method {method}", age_ns / 1_000_000);
    if process::waits_for_lock(thread) {
        let parked = match beat.parked_methods() {
            none if none.is_empty() => "nobody".to_owned(),
            some => some.join(", "),
        };
        log::error(
            "stall",
            format_args!(
                "{since} waits for a lock (futex); parked meanwhile: {parked}; who parks with a \
                 plain mutex held stops its core: use msec::sync::Mutex"
            ),
        );
    } else {
        let advice = "mark it heavy, or yield in it";
        log::error("stall", format_args!("{since} runs without a blocking call; {advice}"));
    }
    if let Err(error) = process::write_stack_of(thread) {
        log::warn("stall", format_args!("core {core} does not tell its stack: {error}"));
    }
    Some(thread)
}
