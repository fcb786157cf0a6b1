//! Overload of one core: when it is noticed, and what is done then.
//!
//! `protocol/serve/queue.rs` tells when and whom; here is how its answers are carried out on a
//! running loop.
//!
//! ```text
//!   calm:        requests and woken tasks in one queue, in the order of arrival
//!   overloaded:  woken tasks first (what was begun is finished) ─► waiting requests, best first
//!                                                                  └── not chosen in time: -101
//! ```
//!
//! While it is calm this costs a comparison for each request that starts out of the queue, and
//! nothing for one that starts as it is read. Handlers that merely wait are in no queue, so any
//! number of them may.
//!
//! In overload requests do not start as they are read: they are all put where they can be compared.
//! A turn first resumes what is ready, then starts requests for what is left of its time, one at
//! least, lest tasks that always have something to do keep out everybody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use msec_protocol::Code;
use msec_protocol::serve::queue::{Queue, Wait, Watch};
use msec_protocol::serve::{Priority, Rank};
use msec_sys::clock;

use crate::context::Context;
use crate::request;
use crate::shard::Shard;
use crate::task::Ready;

/// What a core knows of its own overload.
pub(crate) struct Overload {
    /// Requests are refused at all.
    enabled: bool,
    on: Cell<bool>,
    watch: Cell<Watch>,
    waiting: RefCell<Queue<Box<Context>>>,
}

impl Overload {
    pub(crate) fn new(enabled: bool) -> Self {
        let (on, watch) = (Cell::new(false), Cell::default());
        Self { enabled, on, watch, waiting: RefCell::default() }
    }

    /// Whether the core is overloaded.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Whether requests wait here to be started.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.on.get() && !self.waiting.borrow().is_empty()
    }

    /// Whoever waits, to be dropped as the core ends.
    pub(crate) fn take(&self) -> Queue<Box<Context>> {
        self.waiting.take()
    }

    /// The best that waits, for another core.
    pub(crate) fn pop(&self, now_ns: u64) -> Option<Box<Context>> {
        self.waiting.borrow_mut().pop(now_ns)
    }
}

fn rank(context: &Context) -> Rank {
    Rank::of(context.priority(), context.flow_id())
}

/// Puts a request where it waits to be started.
#[inline]
pub(crate) fn enqueue(shard: &Shard, context: Box<Context>) {
    if shard.overload.on.get() {
        let rank = rank(&context);
        let now_ns = shard.now_ns();
        return shard.overload.waiting.borrow_mut().push(context, rank, now_ns);
    }
    shard.tasks.ready.borrow_mut().push_back(Ready::Start(context));
}

/// A request is about to start out of the queue: was its wait the sign of an overload?
#[inline]
pub(crate) fn look(shard: &Shard, context: &Context) {
    let wait = Wait {
        received_ns: context.received_ns,
        deadline_ns: context.deadline_ns,
        now_ns: context.started_ns,
    };
    if wait.is_late() && shard.overload.enabled && !shard.overload.on.get() {
        look_closely(shard, wait);
    }
}

#[cold]
fn look_closely(shard: &Shard, wait: Wait) {
    let wait = Wait { now_ns: clock::now_ns(), ..wait };
    let backlog = shard.tasks.ready.borrow().len();
    let mut watch = shard.overload.watch.get();
    let is_overload = watch.late(&wait, backlog);
    shard.overload.watch.set(watch);
    if !is_overload {
        return;
    }
    shard.overload.on.set(true);
    let waited_ms = (wait.now_ns - wait.received_ns) / 1_000_000;
    crate::log::warn(
        "overload",
        format_args!(
            "core {} is overloaded: requests wait {waited_ms} ms, {backlog} wait; some are refused",
            shard.index
        ),
    );
    let mut waiting = shard.overload.waiting.borrow_mut();
    waiting.begin(wait.now_ns);
    let mut ready = shard.tasks.ready.borrow_mut();
    for one in std::mem::take(&mut *ready) {
        match one {
            Ready::Start(context) => {
                let rank = rank(&context);
                waiting.push(context, rank, wait.now_ns);
            }
            Ready::Resume(_) | Ready::Read(_) => ready.push_back(one),
        }
    }
}

/// Starts requests that wait, until the turn that began then has had its time; refuses those that
/// waited too long.
#[inline]
pub(crate) fn run(shard: &Rc<Shard>, begin_ns: u64, most_ns: u64) {
    if shard.overload.is_on() {
        run_waiting(shard, begin_ns, most_ns);
    }
}

fn run_waiting(shard: &Rc<Shard>, begin_ns: u64, most_ns: u64) {
    let mut now_ns = clock::now_ns();
    loop {
        let expired = shard.overload.waiting.borrow_mut().expired(now_ns);
        let Some(context) = expired else { break };
        refuse(shard, context, now_ns);
    }
    if shard.shared.cores.count() > 1 {
        request::hand_over(shard, now_ns);
    }
    loop {
        let next = shard.overload.waiting.borrow_mut().pop(now_ns);
        let Some(context) = next else { break };
        request::start(shard, context);
        now_ns = clock::now_ns();
        if now_ns - begin_ns > most_ns {
            break;
        }
    }
    if shard.overload.waiting.borrow().is_calm(now_ns) {
        shard.overload.on.set(false);
        let index = shard.index;
        crate::log::warn("overload", format_args!("core {index} is not overloaded any more"));
    }
}

fn refuse(shard: &Rc<Shard>, context: Box<Context>, now_ns: u64) {
    if now_ns >= context.deadline_ns {
        let code = Code::DEADLINE_EXCEEDED;
        return request::refuse_waiting(shard, context, code, request::LATE_TEXT);
    }
    let text = match context.priority() {
        Priority::Critical => "the core is overloaded: even critical requests wait too long",
        Priority::Default => "the core is overloaded: it waited, and others went first",
        Priority::Sheddable => "the core is overloaded: it waited, and others go before sheddable",
    };
    request::refuse_waiting(shard, context, Code::OVERLOADED, text);
}
