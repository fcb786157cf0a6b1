//! One call, on a core: from its request in a connection's output to its answer, exactly once.
//!
//! ```text
//!   begin ─► pool: a connection to the peer ─► its table of calls: sequence ─► request frame
//!                                                     │
//!            answer │ deadline │ cancel │ death ──────┘ whichever is first
//!                                                     ▼
//!                         Done: wake a task, or run a callback
//! ```
//!
//! Every way of calling (blocking in a coroutine, from a plain thread, callback, future) ends
//! here; they differ in their [`Done`].

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::answer::{Answer, Reply};
use crate::append;
use crate::client::CallOptions;
use crate::error::{Error, Result};
use crate::pool;
use crate::report::called::Calling;
use crate::shard::Shard;
use crate::task::{self, Inherited, Task, Waiter};
use msec_protocol::{Address, Code, Limits, RequestHead, Target, TooLarge, call};
use msec_sys::output::{Output, Writer};

/// What a call asks for, borrowed from whoever makes it.
pub(crate) struct Ask<'a> {
    pub(crate) address: &'a Address,
    pub(crate) method: &'a str,
    pub(crate) options: &'a CallOptions,
    /// What is reported of it, and travels with it.
    pub(crate) calling: &'a Calling,
    /// When it is given up; never 0.
    pub(crate) deadline_ns: u64,
}

impl Ask<'_> {
    /// The request's head, for a connection's sequence.
    pub(crate) fn head<'a>(&'a self, shard: &'a Shard, sequence: u64) -> RequestHead<'a> {
        let calling = self.calling;
        // Rounded up, so never zero, which would mean the server's default.
        let remaining_ms = call::remaining_ms(self.deadline_ns, shard.now_ns()).unwrap_or(1);
        RequestHead {
            sequence,
            coloring: calling.coloring,
            flow_id: calling.flow_id,
            caller: self.options.caller_or(&shard.shared.config.report.service).as_bytes(),
            method_name: self.method.as_bytes(),
            deadline_ms: remaining_ms,
            trace_id: calling.trace_id,
            span_id: calling.span_id,
            sampled: calling.sampled,
            attempt: self.options.attempt,
            metadata: self.options.metadata.encoded(),
            priority: calling.priority,
            one_way: self.options.one_way,
            ..RequestHead::default()
        }
    }
}

impl Ask<'_> {
    /// Appends the request, and notes how long it is.
    #[inline]
    pub(crate) fn append(
        &self,
        output: &mut Output,
        head: &RequestHead<'_>,
        limits: &Limits,
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> std::result::Result<(), TooLarge> {
        let before = output.len();
        let written = append::request(output, head, limits, write_body);
        self.calling.request_bytes.set((output.len() - before) as u32);
        written
    }
}

/// A function that is told the end of a call.
pub(crate) type Told = dyn FnOnce(&Rc<Shard>, Result<Answer>);

/// How a call tells its end.
pub(crate) enum Done {
    /// Put it there and wake the task.
    Task(Rc<RefCell<Option<Result<Answer>>>>, Waiter),
    /// Run this on the loop's stack.
    Callback(Box<Told>),
}

impl Done {
    pub(crate) fn tell(self, shard: &Rc<Shard>, result: Result<Answer>) {
        match self {
            Self::Task(slot, waiter) => {
                *slot.borrow_mut() = Some(result);
                waiter.wake(shard);
            }
            Self::Callback(function) => function(shard, result),
        }
    }
}

/// The deadline of a call: what its options say, but never later than what it inherits.
pub(crate) fn deadline_ns(options: &CallOptions, inherited: &Inherited, now_ns: u64) -> u64 {
    let timeout_ns = u64::try_from(options.timeout_or_default().as_nanos()).unwrap_or(u64::MAX);
    let own_ns = now_ns.saturating_add(timeout_ns);
    match inherited.deadline_ns {
        0 => own_ns,
        theirs_ns => own_ns.min(theirs_ns),
    }
}

/// Calls and waits, on the running task.
pub(crate) fn blocking(
    shard: &Rc<Shard>,
    target: &Arc<Target>,
    method: &str,
    options: &CallOptions,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<Reply> {
    let Some(running) = shard.tasks.current() else {
        return Err(Error::would_block(method));
    };
    let inherited = running.inherited();
    // The handler may have computed for long since this turn of the loop began.
    let now_ns = shard.fresh_ns();
    let calling = Calling::begin(shard, now_ns, target, method, options, &inherited);
    let deadline_ns = deadline_ns(options, &inherited, now_ns);
    let result = shard.pick(target, method).and_then(|address| {
        if running.is_cancelled() {
            return Err(cancelled(method));
        }
        if deadline_ns <= now_ns {
            return Err(timed_out(&address, method));
        }
        let ask = Ask { address: &address, method, options, calling: &calling, deadline_ns };
        wait(shard, &running, &ask, write_body)
    });
    calling.end(shard, &result);
    result?.into_reply(method)
}

/// Begins a call and waits for its end.
fn wait(
    shard: &Rc<Shard>,
    running: &Task,
    ask: &Ask<'_>,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<Answer> {
    let slot = Rc::new(RefCell::new(None));
    let done = Done::Task(slot.clone(), Waiter::current(shard));
    let begun = pool::begin(shard, ask, done, write_body)?;
    loop {
        if let Some(result) = slot.borrow_mut().take() {
            return result;
        }
        if running.is_cancelled() || std::thread::panicking() {
            begun.cancel(shard);
            return Err(cancelled(ask.method));
        }
        task::park(shard, "an answer");
    }
}

/// A call that is under way, to be given up.
pub(crate) struct Begun {
    pub(crate) line: pool::Line,
    pub(crate) sequence: u64,
}

impl Begun {
    /// Nobody waits any more. Its `Done` is dropped untold.
    pub(crate) fn cancel(&self, shard: &Rc<Shard>) {
        self.line.cancel(shard, self.sequence);
    }
}

pub(crate) fn cancelled(method: &str) -> Error {
    Error::new(Code::CANCELLED, "the request that this call is made for was cancelled")
        .while_calling(method)
}

pub(crate) fn timed_out(address: &impl std::fmt::Display, method: &str) -> Error {
    Error::new(Code::TIMEOUT, format!("no answer from {address} within the deadline"))
        .while_calling(method)
}

pub(crate) fn too_large(method: &str, too_large: TooLarge) -> Error {
    Error::new(Code::TOO_LARGE, format!("the request was not sent: its {too_large}"))
        .while_calling(method)
}
