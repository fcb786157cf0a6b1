//! Started calls: one side waits, a core has the call, and a [`Tell`] joins the two.
//!
//! ```text
//!   any thread                       a core
//!   Pending ── Waiting ◄── tell ──── Tell      exactly once, whatever happens
//!      │                               ▲
//!      └── drop: cancel by message ────┘
//! ```
//!
//! Whoever holds a `Tell` has to use it, and one that is dropped unused tells of a failure: a call
//! that is lost on its way (the engine stops, the mailbox of a stalled core is full) still ends. A
//! plain thread, besides, waits no longer than a little beyond the deadline, should its core be
//! held up by a handler that never yields.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::BufMut;
use msec_protocol::limits::ATTEMPTS_PER_CALL_MAX;
use msec_protocol::{Code, Target};
use msec_sys::clock;
use msec_sys::output::Writer;

use crate::answer::{Answer, Reply};
use crate::call::{self, Begun, Told};
use crate::client::CallOptions;
use crate::engine::{Engine, Shared};
use crate::error::{Error, Result};
use crate::report::called::Calling;
use crate::request::panic_text;
use crate::retry::{Attempts, Call, Next};
use crate::shard::{self, Message, Shard, Timer};
use crate::task::Inherited;

/// How much longer than the deadline a plain thread waits for its core to say that it has passed.
const CORE_GRACE_NS: u64 = 50_000_000;

/// Whom to tell the end of a started call.
enum Whom {
    /// Somebody who waits, or will.
    Waiting(Arc<Waiting>),
    /// A function of the user's.
    Callback(Box<dyn FnOnce(Result<Reply>) + Send>),
}

/// The duty to tell the end of a call.
pub(crate) struct Tell {
    whom: Option<Whom>,
    deadline_ns: u64,
}

impl Tell {
    pub(crate) fn waiting(waiting: Arc<Waiting>, deadline_ns: u64) -> Self {
        Self { whom: Some(Whom::Waiting(waiting)), deadline_ns }
    }

    pub(crate) fn callback(
        done: impl FnOnce(Result<Reply>) + Send + 'static,
        deadline_ns: u64,
    ) -> Self {
        Self { whom: Some(Whom::Callback(Box::new(done))), deadline_ns }
    }

    fn tell(mut self, result: Result<Reply>) {
        self.discharge(result);
    }

    /// A function is never called before the one that starts the call returns: its user may hold
    /// what the function wants, and one that calls again would call itself.
    fn tell_later(self, shard: &Rc<Shard>, result: Result<Reply>) {
        match &self.whom {
            Some(Whom::Callback(_)) => {
                let tell = move |_: &Rc<Shard>| self.tell(result);
                shard.post(shard.index, Message::Run(Box::new(tell)));
            }
            Some(Whom::Waiting(_)) | None => self.tell(result),
        }
    }

    fn discharge(&mut self, result: Result<Reply>) {
        match self.whom.take() {
            Some(Whom::Waiting(waiting)) => waiting.tell(result),
            Some(Whom::Callback(done)) => guard_callback(|| done(result)),
            None => {}
        }
    }

    fn begun(&self, begun: Option<Place>) -> bool {
        match &self.whom {
            Some(Whom::Waiting(waiting)) => waiting.begun(begun),
            Some(Whom::Callback(_)) | None => true,
        }
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        if self.whom.is_none() {
            return;
        }
        let error = if clock::now_ns() >= self.deadline_ns {
            Error::new(Code::TIMEOUT, "the core that has the call did not get to it in time")
        } else {
            Error::new(Code::NETWORK, "the call was given up: the engine stops")
        };
        self.discharge(Err(error));
    }
}

/// Runs a user's function; its panic must not end the core's loop.
fn guard_callback(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        let text = panic_text(payload.as_ref());
        crate::log::error("panic", format_args!("the callback of a call panicked: {text}"));
    }
}

/// A call on its way to a core.
pub(crate) struct Posted {
    pub(crate) target: Arc<Target>,
    pub(crate) method: String,
    pub(crate) body: Vec<u8>,
    pub(crate) options: CallOptions,
    pub(crate) inherited: Inherited,
    pub(crate) deadline_ns: u64,
    pub(crate) tell: Tell,
}

impl Posted {
    /// Hands the call to a core of the engine, from whatever thread.
    pub(crate) fn post(self, shared: &Arc<Shared>) {
        if let Some(shard) = shard::current() {
            if Arc::ptr_eq(&shard.shared, shared) {
                return self.begin(&shard);
            }
            // A core of another engine must not wait for this one's: what is refused is told.
            let core = shard.index % shared.cores.count();
            drop(shared.cores.try_post(core, self.message()));
            return;
        }
        let deadline_ns = self.deadline_ns;
        let core = thread_number() % shared.cores.count();
        let mut message = self.message();
        while let Err(refused) = shared.cores.try_post(core, message) {
            if clock::now_ns() >= deadline_ns {
                return;
            }
            message = refused;
            std::thread::yield_now();
        }
    }

    fn message(self) -> Message {
        Message::Run(Box::new(move |shard: &Rc<Shard>| self.begin(shard)))
    }

    fn begin(self, shard: &Rc<Shard>) {
        let Self { target, method, body, options, inherited, deadline_ns, tell } = self;
        // Dropped meanwhile: nobody wants the answer, and nothing was sent.
        if !tell.begun(None) {
            return;
        }
        let now_ns = shard.fresh_ns();
        let calling = Calling::begin(shard, now_ns, &target, &method, &options, &inherited);
        if inherited.cancel.as_ref().is_some_and(|cancel| cancel.is_set()) {
            // Dropped, it is reported as given up.
            drop(calling);
            return tell.tell_later(shard, Err(call::cancelled(&method)));
        }
        let started = Rc::new(Started {
            target,
            method,
            body,
            options,
            calling,
            deadline_ns,
            tell: Cell::new(Some(tell)),
            attempts: RefCell::default(),
            beginning: Cell::new(true),
            early: Cell::new(None),
        });
        started.go_on(shard, Next::Again);
        started.beginning.set(false);
    }
}

/// A call that a core has begun for somebody else.
struct Started {
    target: Arc<Target>,
    method: String,
    body: Vec<u8>,
    options: CallOptions,
    calling: Calling,
    deadline_ns: u64,
    /// Taken when the end is told.
    tell: Cell<Option<Tell>>,
    attempts: RefCell<Attempts>,
    /// It has not been returned to whoever started it.
    beginning: Cell<bool>,
    /// An attempt that ended in the middle of beginning.
    early: Cell<Option<(usize, Result<Answer>)>>,
}

impl Started {
    fn call(&self) -> Call<'_> {
        Call {
            target: &self.target,
            method: &self.method,
            options: &self.options,
            calling: &self.calling,
            deadline_ns: self.deadline_ns,
        }
    }

    /// Does what is next, until there is something to wait for.
    fn go_on(self: &Rc<Self>, shard: &Rc<Shard>, next: Next) {
        let mut next = next;
        loop {
            next = match next {
                Next::Over(result) => return self.tell(shard, result),
                Next::Wait => return self.note_place(shard),
                Next::Again => self.begin(shard),
            };
        }
    }

    fn begin(self: &Rc<Self>, shard: &Rc<Shard>) -> Next {
        let was_planned = self.attempts.borrow().hedge_ns() != 0;
        let next = {
            let attempts = &mut *self.attempts.borrow_mut();
            let whom = |attempt| call::Whom::Callback(self.told(attempt));
            attempts.begin(shard, &self.call(), whom, &|out: &mut Writer<'_, '_>| {
                out.put_slice(&self.body);
            })
        };
        if let Some((attempt, result)) = self.early.take() {
            return self.attempts.borrow_mut().handle_end(shard, &self.call(), attempt, result);
        }
        let hedge_ns = self.attempts.borrow().hedge_ns();
        if hedge_ns != 0 && !was_planned {
            let started = Rc::clone(self);
            let hedge = move |shard: &Rc<Shard>| started.hedge(shard);
            shard.timers.borrow_mut().insert(hedge_ns, Timer::Run(Box::new(hedge)));
        }
        next
    }

    fn told(self: &Rc<Self>, attempt: usize) -> Box<Told> {
        let started = Rc::clone(self);
        Box::new(move |shard: &Rc<Shard>, result: Result<Answer>| {
            if started.attempts.try_borrow().is_err() {
                started.early.set(Some((attempt, result)));
                return;
            }
            let next =
                started.attempts.borrow_mut().handle_end(shard, &started.call(), attempt, result);
            started.go_on(shard, next);
        })
    }

    fn hedge(self: &Rc<Self>, shard: &Rc<Shard>) {
        let Some(tell) = self.tell.take() else { return };
        self.tell.set(Some(tell));
        let next = self.attempts.borrow_mut().hedge(shard, &self.call());
        self.go_on(shard, next);
    }

    /// Tells how to cancel what is under way now.
    fn note_place(&self, shard: &Rc<Shard>) {
        let Some(tell) = self.tell.take() else { return };
        let running = self.attempts.borrow().running();
        let wanted =
            tell.begun(Some(Place { shared: shard.shared.clone(), core: shard.index, running }));
        self.tell.set(Some(tell));
        if !wanted {
            self.attempts.borrow_mut().cancel(shard);
        }
    }

    fn tell(&self, shard: &Rc<Shard>, result: Result<Reply>) {
        let Some(tell) = self.tell.take() else { return };
        if self.beginning.get() { tell.tell_later(shard, result) } else { tell.tell(result) }
    }
}

/// Where a started call is under way.
struct Place {
    shared: Arc<Shared>,
    core: usize,
    running: [Option<Begun>; ATTEMPTS_PER_CALL_MAX],
}

/// A number that spreads plain threads over the cores.
fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    MINE.with(|mine| *mine)
}

/// What the waiting side and the core share about a started call.
#[derive(Default)]
pub(crate) struct Waiting {
    state: Mutex<WaitingState>,
    bell: Condvar,
}

#[derive(Default)]
struct WaitingState {
    result: Option<Result<Reply>>,
    waker: Option<Waker>,
    /// To cancel by.
    begun: Option<Place>,
    abandoned: bool,
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, WaitingState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn tell(&self, result: Result<Reply>) {
        let mut state = self.lock();
        state.result = Some(result);
        state.begun = None;
        let waker = state.waker.take();
        drop(state);
        self.bell.notify_all();
        if let Some(waker) = waker {
            guard_callback(|| waker.wake());
        }
    }

    /// Notes how to cancel the call; false if nobody wants it any more.
    fn begun(&self, begun: Option<Place>) -> bool {
        let mut state = self.lock();
        if state.abandoned {
            return false;
        }
        state.begun = begun;
        true
    }
}

/// A call that was started. Wait for it, or await it; dropped, it is cancelled.
#[must_use = "a call that nobody waits for is cancelled"]
pub struct Pending<Response> {
    waiting: Arc<Waiting>,
    deadline_ns: u64,
    /// The engine runs on while somebody waits for it.
    _engine: Engine,
    response: std::marker::PhantomData<fn() -> Response>,
}

impl<Response> Pending<Response> {
    pub(crate) fn new(waiting: Arc<Waiting>, deadline_ns: u64, engine: Engine) -> Self {
        Self { waiting, deadline_ns, _engine: engine, response: std::marker::PhantomData }
    }

    /// Waits for the answer as it came. Suspends the coroutine, or blocks the thread.
    pub fn wait_raw(self) -> Result<Reply> {
        if shard::current().is_some() {
            return crate::block_on(RawPending(&self)).and_then(|result| result);
        }
        let mut state = self.waiting.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            let end_ns = self.deadline_ns.saturating_add(CORE_GRACE_NS);
            let left_ns = end_ns.saturating_sub(clock::now_ns());
            if left_ns == 0 {
                let text = "the core that has the call does not answer: a handler holds it up";
                return Err(Error::new(Code::TIMEOUT, text));
            }
            let left = Duration::from_nanos(left_ns);
            let waited = self.waiting.bell.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// A future that is over when the answer is there, and leaves it there: for who waits for
    /// several things. [`Pending::wait`] takes it then, without waiting.
    pub fn answered(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            self.poll_state(context.waker(), |state| state.result.is_some().then_some(()))
        })
    }

    /// The answer as it came, once it has; until then `waker` is woken when it comes.
    pub fn poll_raw(&self, waker: &Waker) -> Poll<Result<Reply>> {
        self.poll_state(waker, |state| state.result.take())
    }

    fn poll_state<T>(
        &self,
        waker: &Waker,
        look: impl FnOnce(&mut WaitingState) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.waiting.lock();
        if let Some(found) = look(&mut state) {
            return Poll::Ready(found);
        }
        let old = state.waker.replace(waker.clone());
        drop(state);
        // The last reference to another executor's task may go here, which runs code of its own.
        drop(old);
        Poll::Pending
    }
}

impl<Response: prost::Message + Default> Pending<Response> {
    /// Waits for the answer. Suspends the coroutine, or blocks the thread.
    pub fn wait(self) -> Result<Response> {
        self.wait_raw()?.decode()
    }
}

impl<Response: prost::Message + Default> Future for Pending<Response> {
    type Output = Result<Response>;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        self.poll_raw(context.waker()).map(|result| result.and_then(Reply::decode))
    }
}

struct RawPending<'a, Response>(&'a Pending<Response>);

impl<Response> Future for RawPending<'_, Response> {
    type Output = Result<Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        self.0.poll_raw(context.waker())
    }
}

impl<Response> Drop for Pending<Response> {
    fn drop(&mut self) {
        let mut state = self.waiting.lock();
        state.abandoned = true;
        let begun = state.begun.take().filter(|_| state.result.is_none());
        drop(state);
        let Some(Place { shared, core, running }) = begun else { return };
        let cancel = move |shard: &Rc<Shard>| {
            running.iter().flatten().for_each(|begun| begun.cancel(shard));
        };
        match shard::current().filter(|shard| Arc::ptr_eq(&shard.shared, &shared)) {
            Some(shard) if shard.index == core => cancel(&shard),
            Some(shard) => shard.post(core, Message::Run(Box::new(cancel))),
            // A full mailbox: the call ends by its deadline instead.
            None => drop(shared.cores.try_post(core, Message::Run(Box::new(cancel)))),
        }
    }
}
