//! Tasks: business code as coroutines of one core thread.
//!
//! A task is a job on a coroutine, plus what the job inherits from the request it works for:
//! deadline, cancellation, flow id, dye. A task never moves to another thread.
//!
//! ```text
//!             spawn, request                 wake
//!    idle ──────────────────► ready ◄───────────────── parked
//!      ▲                        │ run_ready               ▲
//!      └──── job returns ──── running ──── park ──────────┘
//! ```
//!
//! [`park`] and [`Waiter::wake`] are the only way in which anything here blocks. A wake-up that
//! comes before the park is not lost: it is noted, and the park returns at once. A wake-up may be
//! meant for something else (a cancel, an older wait), so whoever parks looks again and parks
//! again; nothing here relies on who woke it.
//!
//! Task objects and coroutines are pooled apart: a coroutine's stack goes back the moment its job
//! ends, so that the next request finds it still in the cache.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use msec_protocol::Priority;
use msec_sys::coroutine::{self, Coroutine, Exhausted, Outcome, Pool, StackConfig};

use crate::cancel::{Cancel, TaskId};
use crate::connection::Connection;
use crate::context::Context;
use crate::engine::Beat;
use crate::local;
use crate::method::Name;
use crate::request::panic_text;
use crate::shard::{self, Shard, Timer};
use crate::timer::TimerId;

/// Tasks that a task was spawned by, one through the other, that are asked whom it works for.
const SPAWNERS_COUNT_MAX: usize = 16;

/// What a task works for, handed on to the calls it makes and the tasks it spawns.
#[derive(Clone, Default)]
pub(crate) struct Inherited {
    /// When the caller stops waiting; 0: never.
    pub(crate) deadline_ns: u64,
    pub(crate) flow_id: u64,
    pub(crate) coloring: u32,
    pub(crate) sampled: bool,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: u64,
    pub(crate) priority: Priority,
    pub(crate) cancel: Option<Arc<Cancel>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Ready,
    Running,
    Parked,
}

/// A job on a coroutine.
pub(crate) struct Task {
    id_index: u32,
    /// Counts the jobs of this object: a waiter of an earlier job wakes nobody.
    generation: Cell<u32>,
    state: Cell<State>,
    /// Woken while not parked.
    notified: Cell<bool>,
    /// Waits in vain since it last parked; see [`crate::vain`].
    vain_count: Cell<u32>,
    /// What cancels its request when nobody waits any more; see [`crate::deadline`].
    pub(crate) deadline: Cell<Option<TimerId>>,
    coroutine: Cell<Option<Coroutine>>,
    /// The request that it serves. It stays here while its handler runs, for what it hands on.
    request: RefCell<Option<Box<Context>>>,
    /// Its job is a function, and what follows is said of it; else nothing of it is set.
    is_spawned: Cell<bool>,
    function: Cell<Option<Box<dyn FnOnce()>>>,
    /// What it works for; a request has that in its context.
    inherited: RefCell<Option<Inherited>>,
    /// The task that spawned it: index and generation.
    spawner: Cell<Option<(u32, u32)>>,
    /// Allocated when the job first stores a value.
    locals: local::Place,
    /// When it was spawned; a request knows by itself when it came.
    spawned_ns: Cell<u64>,
    /// What it waits for, for people.
    waits_for: Cell<&'static str>,
    /// Of the server method it runs; for the watchdog and crash messages.
    name: Cell<Option<Name>>,
    /// It is to note where it stands when it next goes on, and where it stood when it did.
    wants_stack: Cell<bool>,
    stack: RefCell<Option<Stack>>,
}

/// Where a coroutine stood. Names are looked up when it is written, which takes much stack.
pub(crate) type Stack = Arc<std::backtrace::Backtrace>;

/// A coroutine, for people.
pub(crate) struct Facts {
    pub(crate) index: u32,
    pub(crate) generation: u32,
    /// When its work came: the request, or the function.
    pub(crate) since_ns: u64,
    pub(crate) state: &'static str,
    pub(crate) waits_for: &'static str,
    pub(crate) method: &'static str,
    pub(crate) stack: Option<Stack>,
}

impl Task {
    /// What calls and tasks that it makes inherit.
    pub(crate) fn inherited(&self) -> Inherited {
        match self.request() {
            Some(context) => context.inherited(),
            None => self.inherited.borrow().clone().unwrap_or_default(),
        }
    }

    /// Gives an idle task a request to serve.
    #[inline]
    pub(crate) fn set_request(&self, context: Box<Context>) {
        *self.request.borrow_mut() = Some(context);
    }

    /// The request that it serves.
    #[inline]
    pub(crate) fn request(&self) -> Option<Ref<'_, Context>> {
        Ref::filter_map(self.request.borrow(), |request| request.as_deref()).ok()
    }

    /// Its request is served: nothing of it is handed on any more.
    #[inline]
    pub(crate) fn take_request(&self) -> Option<Box<Context>> {
        self.request.take()
    }

    /// The function that it is to run.
    pub(crate) fn take_function(&self) -> Option<Box<dyn FnOnce()>> {
        self.function.take()
    }

    pub(crate) fn locals(&self) -> &local::Place {
        &self.locals
    }

    pub(crate) fn id(&self, core: usize) -> TaskId {
        TaskId { core: core as u16, index: self.id_index, generation: self.generation.get() }
    }

    /// Whether what it works for was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        if let Some(context) = self.request() {
            return context.cancel.is_set();
        }
        let inherited = self.inherited.borrow();
        let cancel = inherited.as_ref().and_then(|inherited| inherited.cancel.as_ref());
        cancel.is_some_and(|cancel| cancel.is_set())
    }

    /// Counts a wait in vain: how many it makes, in a row.
    pub(crate) fn count_vain(&self) -> u32 {
        let count = self.vain_count.get().saturating_add(1);
        self.vain_count.set(count);
        count
    }

    /// Names the method that it runs from now on.
    pub(crate) fn set_name(&self, name: Name) {
        self.name.set(Some(name));
    }

    /// The method that it runs, if any.
    pub(crate) fn name(&self) -> Option<Name> {
        self.name.get()
    }
}

/// Wakes one park of one job.
#[derive(Clone)]
pub(crate) struct Waiter {
    task: Rc<Task>,
    generation: u32,
}

impl Waiter {
    /// Of the running task.
    ///
    /// # Panics
    /// When not called on a coroutine of a core.
    pub(crate) fn current(shard: &Shard) -> Self {
        Self::running(shard).expect("only a task waits")
    }

    /// Of the running task; `None` on the loop's own stack.
    pub(crate) fn running(shard: &Shard) -> Option<Self> {
        let task = shard.tasks.current()?;
        let generation = task.generation.get();
        Some(Self { task, generation })
    }

    /// Names the job in the whole process; `core` is the task's.
    pub(crate) fn id(&self, core: usize) -> TaskId {
        TaskId { generation: self.generation, ..self.task.id(core) }
    }

    /// The task, unless its job is over.
    pub(crate) fn task(&self) -> Option<&Task> {
        (self.task.generation.get() == self.generation).then_some(&*self.task)
    }

    /// Makes the task ready, unless its job is over.
    pub(crate) fn wake(&self, shard: &Shard) {
        if self.task.generation.get() == self.generation {
            shard.tasks.wake(&self.task);
        }
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.task, &other.task) && self.generation == other.generation
    }
}

/// What can be run next.
pub(crate) enum Ready {
    /// A request that has not started, and may still be handed to another core.
    Start(Box<Context>),
    /// A task that goes on or runs its first job.
    Resume(Rc<Task>),
    /// A connection whose input was held back and may be taken now.
    Read(Rc<Connection>),
}

/// The tasks of a core.
pub(crate) struct Tasks {
    pool: Pool,
    all: RefCell<Vec<Rc<Task>>>,
    idle: RefCell<Vec<Rc<Task>>>,
    current: RefCell<Option<Rc<Task>>>,
    pub(crate) ready: RefCell<VecDeque<Ready>>,
    /// By method, of which there are as many as are known by name.
    stack_uses: RefCell<BTreeMap<&'static str, usize>>,
}

impl Tasks {
    pub(crate) fn new(stacks: StackConfig) -> Self {
        Self {
            pool: Pool::new(stacks),
            all: RefCell::default(),
            idle: RefCell::default(),
            current: RefCell::default(),
            ready: RefCell::default(),
            stack_uses: RefCell::default(),
        }
    }

    /// The task that is running; `None` on the loop's own stack.
    pub(crate) fn current(&self) -> Option<Rc<Task>> {
        self.current.borrow().clone()
    }

    /// The task that is running, the one that spawned it, and so on, as far as they are not over.
    pub(crate) fn line(&self) -> impl Iterator<Item = Rc<Task>> {
        let spawner = |task: &Rc<Task>| {
            let (index, generation) = task.spawner.get()?;
            self.find(index, generation)
        };
        std::iter::successors(self.current(), spawner).take(SPAWNERS_COUNT_MAX)
    }

    /// The task with that job, unless that is over.
    fn find(&self, index: u32, generation: u32) -> Option<Rc<Task>> {
        let task = self.all.borrow().get(index as usize).cloned();
        task.filter(|task| task.generation.get() == generation)
    }

    /// Tasks that have a job.
    pub(crate) fn live_count(&self) -> usize {
        self.all.borrow().len() - self.idle.borrow().len()
    }

    /// Gives a function to an idle task and makes it ready; `now_ns` is when.
    pub(crate) fn spawn(
        &self,
        function: Box<dyn FnOnce()>,
        inherited: Inherited,
        now_ns: u64,
    ) -> Rc<Task> {
        let task = self.take();
        task.is_spawned.set(true);
        task.function.set(Some(function));
        task.spawned_ns.set(now_ns);
        let spawner = self.current.borrow();
        task.spawner.set(spawner.as_ref().map(|task| (task.id_index, task.generation.get())));
        *task.inherited.borrow_mut() = Some(inherited);
        task.state.set(State::Ready);
        self.ready.borrow_mut().push_back(Ready::Resume(task.clone()));
        task
    }

    /// An idle task, to be given a job and run at once.
    #[inline]
    pub(crate) fn take(&self) -> Rc<Task> {
        let idle = self.idle.borrow_mut().pop();
        idle.unwrap_or_else(|| self.grow())
    }

    fn grow(&self) -> Rc<Task> {
        let mut all = self.all.borrow_mut();
        let task = Rc::new(Task {
            id_index: u32::try_from(all.len()).expect("memory ends long before four billion tasks"),
            generation: Cell::new(0),
            state: Cell::new(State::Idle),
            notified: Cell::new(false),
            vain_count: Cell::new(0),
            deadline: Cell::new(None),
            coroutine: Cell::new(None),
            request: RefCell::default(),
            is_spawned: Cell::new(false),
            function: Cell::default(),
            inherited: RefCell::default(),
            spawner: Cell::new(None),
            locals: RefCell::default(),
            spawned_ns: Cell::new(0),
            waits_for: Cell::new(""),
            name: Cell::new(None),
            wants_stack: Cell::new(false),
            stack: RefCell::default(),
        });
        all.push(task.clone());
        task
    }

    /// The coroutines that have a job, at most so many.
    pub(crate) fn facts(&self, count_max: usize) -> Vec<Facts> {
        let all = self.all.borrow();
        let busy = all.iter().filter(|task| task.state.get() != State::Idle);
        let facts = |task: &Rc<Task>| Facts {
            index: task.id_index,
            generation: task.generation.get(),
            since_ns: task.request().map_or(task.spawned_ns.get(), |request| request.received_ns),
            state: match task.state.get() {
                State::Idle => "idle",
                State::Ready => "ready",
                State::Running => "runs",
                State::Parked => "waits",
            },
            waits_for: if task.state.get() == State::Parked { task.waits_for.get() } else { "" },
            method: task.name.get().map_or("", Name::text),
            stack: task.stack.take(),
        };
        busy.take(count_max).map(facts).collect()
    }

    /// Wakes coroutines that wait, at most so many, to note where they stand and wait on: whoever
    /// parks looks again at what it waits for.
    pub(crate) fn want_stacks(&self, count_max: usize) {
        let all = self.all.borrow();
        let parked = all.iter().filter(|task| task.state.get() == State::Parked);
        parked.take(count_max).for_each(|task| self.wake_for_stack(task));
    }

    /// As [`Tasks::want_stacks`], of one, unless that job is over.
    pub(crate) fn want_stack(&self, index: u32, generation: u32) {
        let task = self.find(index, generation);
        if let Some(task) = task.filter(|task| task.state.get() == State::Parked) {
            self.wake_for_stack(&task);
        }
    }

    fn wake_for_stack(&self, task: &Rc<Task>) {
        task.wants_stack.set(true);
        self.wake(task);
    }

    /// Wakes by identity; nothing happens if that job is over.
    pub(crate) fn wake_id(&self, id: TaskId) {
        if let Some(task) = self.find(id.index, id.generation) {
            self.wake(&task);
        }
    }

    /// Whether that job is not over.
    pub(crate) fn is_live(&self, id: TaskId) -> bool {
        let all = self.all.borrow();
        all.get(id.index as usize).is_some_and(|task| task.generation.get() == id.generation)
    }

    fn wake(&self, task: &Rc<Task>) {
        match task.state.get() {
            State::Parked => {
                task.state.set(State::Ready);
                self.ready.borrow_mut().push_back(Ready::Resume(task.clone()));
            }
            State::Ready | State::Running => task.notified.set(true),
            State::Idle => {}
        }
    }

    /// Runs a task until it parks or its job ends. Fails only for want of a stack, and then hands
    /// it back, to be retired.
    pub(crate) fn run(&self, task: Rc<Task>) -> Result<Ran, (Exhausted, Rc<Task>)> {
        let mut coroutine = match task.coroutine.take() {
            Some(coroutine) => coroutine,
            None => match self.pool.take() {
                Ok(coroutine) => coroutine,
                Err(exhausted) => return Err((exhausted, task)),
            },
        };
        task.state.set(State::Running);
        if coroutine.is_suspended() {
            with_beat(|beat| beat.goes_on(task.id_index));
        }
        let outer = self.current.replace(Some(task.clone()));
        let outcome =
            if coroutine.is_suspended() { coroutine.resume() } else { coroutine.start(run_job, 0) };
        *self.current.borrow_mut() = outer;
        match outcome {
            Outcome::Suspended => {
                with_beat(|beat| beat.parks(task.id_index, task.name.get()));
                task.coroutine.set(Some(coroutine));
                return Ok(Ran::Parked);
            }
            Outcome::Finished => {
                let used_bytes = self.pool.give_back(coroutine);
                if let Some(used_bytes) = used_bytes {
                    self.note_use(&task, used_bytes);
                }
                self.retire(task);
            }
            Outcome::Panicked(payload) => {
                // Handlers and spawned functions catch their own: a destructor of theirs, or a bug.
                let text = panic_text(payload.as_ref());
                crate::log::error("panic", format_args!("a coroutine panicked: {text}"));
                self.pool.give_back(coroutine);
                self.retire(task);
            }
        }
        Ok(Ran::Ended)
    }

    /// A stack was looked at: its last job, or for the part that is always kept one before it, has
    /// used so much.
    #[cold]
    fn note_use(&self, task: &Task, used_bytes: usize) {
        let Some(name) = task.name.get() else { return };
        let mut uses = self.stack_uses.borrow_mut();
        let most = uses.entry(name.text()).or_insert(0);
        *most = (*most).max(used_bytes);
    }

    /// The deepest use of a stack that was seen of each method, in bytes.
    pub(crate) fn stack_uses(&self) -> Vec<(&'static str, usize)> {
        self.stack_uses.borrow().iter().map(|(name, bytes)| (*name, *bytes)).collect()
    }

    /// A task's job is over. Looks first at what is seldom there: to take it costs more.
    pub(crate) fn retire(&self, task: Rc<Task>) {
        // Empty, but for a job that panicked outside of its own barrier.
        local::clear(&task.locals);
        task.generation.set(task.generation.get().wrapping_add(1));
        task.state.set(State::Idle);
        task.notified.set(false);
        task.vain_count.set(0);
        task.deadline.set(None);
        task.name.set(None);
        task.wants_stack.set(false);
        if task.stack.borrow().is_some() {
            task.stack.take();
        }
        if task.request.borrow().is_some() {
            drop(task.request.take());
        }
        if task.is_spawned.replace(false) {
            task.spawner.set(None);
            drop((task.function.take(), task.inherited.take()));
        }
        self.idle.borrow_mut().push(task);
    }

    /// Most tasks and their stacks are kept; a pool in numbers.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Tells other threads something of this core.
#[inline]
fn with_beat(tell: impl FnOnce(&Beat)) {
    shard::with_current(|shard| tell(shard.shared.cores.beat(shard.index)));
}

/// How far a run of a task came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Its job goes on when it is woken.
    Parked,
    /// Its job is over.
    Ended,
}

/// The entry of every coroutine.
fn run_job(_: usize) {
    let shard = shard::current().expect("coroutines run on core threads");
    let task = shard.tasks.current().expect("a coroutine runs for a task");
    if !task.is_spawned.get() {
        crate::request::serve(&shard, &task);
    } else if let Some(function) = task.take_function() {
        function();
    }
    local::clear(&task.locals);
}

/// Why a park returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// Somebody woke the task; look again.
    Notified,
    /// The time given has come.
    TimedOut,
}

/// Suspends the running task until it is woken.
///
/// While the thread unwinds from a panic it returns at once: a destructor that blocks would leave
/// the coroutine half unwound. So a loop around it has to end by itself then.
///
/// # Panics
/// When not called on a task.
pub(crate) fn park(shard: &Shard, waits_for: &'static str) {
    let task = shard.tasks.current().expect("only a task parks");
    if std::thread::panicking() || task.notified.replace(false) {
        return;
    }
    task.waits_for.set(waits_for);
    task.vain_count.set(0);
    task.state.set(State::Parked);
    let running = shard.tasks.current.borrow_mut().take();
    drop(running);
    drop(task);
    coroutine::suspend();
    // `Tasks::run` has set the current task and its state again.
    if let Some(task) = shard.tasks.current()
        && task.wants_stack.replace(false)
    {
        note_stack(&task);
    }
}

/// Not part of [`park`], so that it costs the stack of no coroutine that is not asked.
#[cold]
#[inline(never)]
fn note_stack(task: &Task) {
    *task.stack.borrow_mut() = Some(Arc::new(std::backtrace::Backtrace::force_capture()));
}

/// Lets everything else that is ready run before the running task goes on.
///
/// # Panics
/// When not called on a task, or while the thread unwinds.
pub(crate) fn give_way(shard: &Shard) {
    let task = shard.tasks.current.borrow_mut().take().expect("only a task gives way");
    task.state.set(State::Ready);
    shard.tasks.ready.borrow_mut().push_back(Ready::Resume(task));
    coroutine::suspend();
}

/// As [`park`], but not longer than until `deadline_ns`; 0 means without limit.
pub(crate) fn park_until(shard: &Shard, deadline_ns: u64, waits_for: &'static str) -> Woken {
    if deadline_ns == 0 {
        park(shard, waits_for);
        return Woken::Notified;
    }
    if shard.now_ns() >= deadline_ns {
        return Woken::TimedOut;
    }
    if std::thread::panicking() {
        return Woken::Notified;
    }
    let timer = shard.timers.borrow_mut().insert(deadline_ns, Timer::Wake(Waiter::current(shard)));
    park(shard, waits_for);
    let fired = shard.timers.borrow_mut().cancel(timer).is_none();
    if fired && shard.now_ns() >= deadline_ns { Woken::TimedOut } else { Woken::Notified }
}
