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
//! here; they differ in whom their [`Done`] tells. A call may be more than one attempt
//! (`retry.rs`); what is here is one of them, and the task that waits for all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::answer::{Answer, Reply};
use crate::append;
use crate::client::CallOptions;
use crate::error::{Error, Result};
use crate::pool;
use crate::report::called::Calling;
use crate::retry::{Attempts, Call, Next};
use crate::route::Leg;
use crate::shard::Shard;
use crate::task::{self, Inherited, Waiter, Woken};
use crate::vain;
use msec_protocol::route::End;
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
    /// How many attempts there were before this one.
    pub(crate) attempt: u32,
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
            attempt: self.attempt,
            metadata: self.options.metadata.encoded(),
            priority: calling.priority,
            one_way: self.options.one_way,
            ..RequestHead::default()
        }
    }

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

/// Whom a call tells its end.
pub(crate) enum Whom {
    /// Put it there and wake the task. The number is the attempt's.
    Task(Rc<Slot>, Waiter, usize),
    /// Run this on the loop's stack.
    Callback(Box<Told>),
}

/// Where a task finds how its call ended.
#[derive(Default)]
pub(crate) struct Slot {
    first: Cell<Option<Ended>>,
    /// Of attempts that ran beside each other.
    more: RefCell<Vec<Ended>>,
}

/// An attempt's number, and how it ended.
type Ended = (usize, Result<Answer>);

impl Slot {
    fn put(&self, ended: Ended) {
        match self.first.take() {
            None => self.first.set(Some(ended)),
            Some(first) => {
                self.first.set(Some(first));
                self.more.borrow_mut().push(ended);
            }
        }
    }

    fn take(&self) -> Option<Ended> {
        self.first.take().or_else(|| self.more.borrow_mut().pop())
    }
}

/// How an attempt tells its end: the routes first, then whoever waits.
pub(crate) struct Done {
    pub(crate) whom: Whom,
    pub(crate) leg: Option<Leg>,
}

impl Done {
    pub(crate) fn tell(self, shard: &Rc<Shard>, result: Result<Answer>) {
        if let Some(leg) = self.leg {
            let end = match &result {
                Ok(answer) => End::of_answer(answer.code()),
                Err(error) => end_of(error),
            };
            shard.routes.finished(shard, leg, end);
        }
        match self.whom {
            Whom::Task(slot, waiter, attempt) => {
                slot.put((attempt, result));
                waiter.wake(shard);
            }
            Whom::Callback(function) => function(shard, result),
        }
    }
}

/// What an error that we found ourselves tells of the instance.
pub(crate) fn end_of(error: &Error) -> End {
    match error.code() {
        _ if error.is_unsent() => End::Unsent,
        // An answer to something else is none, too.
        Code::TIMEOUT | Code::NETWORK | Code::INVALID_SEQUENCE => End::Lost,
        // It does not take what is sent to it.
        Code::OVERLOADED => End::Refused,
        // It answered, at length.
        Code::TOO_LARGE => End::Answered,
        _ => End::Abandoned,
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
    write_body: &impl Fn(&mut Writer<'_, '_>),
) -> Result<Reply> {
    let Some(running) = shard.tasks.current() else {
        return Err(Error::would_block(method));
    };
    let inherited = running.inherited();
    // The handler may have computed for long since this turn of the loop began.
    let now_ns = shard.fresh_ns();
    let calling = Calling::begin(shard, now_ns, target, method, options, &inherited);
    let deadline_ns = deadline_ns(options, &inherited, now_ns);
    if running.is_cancelled() {
        // Told before it rests, so that the rest is none of its time.
        drop(calling);
        vain::refused(shard);
        return Err(cancelled(method));
    }
    let call = Call { target, method, options, calling: &calling, deadline_ns };
    let slot = Rc::new(Slot::default());
    let whom = |attempt| Whom::Task(slot.clone(), Waiter::current(shard), attempt);
    let mut attempts = Attempts::default();
    let mut next = attempts.begin(shard, &call, whom, write_body);
    let mut waited = false;
    loop {
        match next {
            Next::Over(result) => {
                if !waited && result.is_err() {
                    // Who calls again at once, whatever comes of it, would have the core to
                    // himself.
                    let _ = crate::yield_now();
                }
                return result;
            }
            Next::Again => {
                next = attempts.begin(shard, &call, whom, write_body);
                continue;
            }
            Next::Wait => {}
        }
        if let Some((attempt, result)) = slot.take() {
            next = attempts.handle_end(shard, &call, attempt, result);
            continue;
        }
        if running.is_cancelled() || std::thread::panicking() {
            attempts.cancel(shard);
            return Err(cancelled(method));
        }
        let hedge_ns = attempts.hedge_ns();
        (next, waited) = (Next::Wait, true);
        if hedge_ns == 0 {
            task::park(shard, "an answer");
        } else if task::park_until(shard, hedge_ns, "an answer") == Woken::TimedOut {
            next = attempts.hedge(shard, &call);
        }
    }
}

/// An attempt that is under way, to be given up.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) line: pool::Line,
    pub(crate) sequence: u64,
    pub(crate) leg: Option<Leg>,
}

impl Begun {
    /// Nobody waits any more. Its `Done` is dropped untold.
    pub(crate) fn cancel(&self, shard: &Rc<Shard>) {
        let cancelled = self.line.cancel(shard, self.sequence);
        if let (true, Some(leg)) = (cancelled, self.leg) {
            shard.routes.finished(shard, leg, End::Abandoned);
        }
    }
}

pub(crate) fn cancelled(method: &str) -> Error {
    Error::new(Code::CANCELLED, "the request that this call is made for was cancelled")
        .while_calling(method)
}

/// A call whose deadline came; `code` is what its connection knows of that.
pub(crate) fn timed_out(address: &impl std::fmt::Display, code: Code, method: &str) -> Error {
    let text = match code {
        Code::INVALID_SEQUENCE => format!("{address} answers what it was never asked"),
        _ => format!("no answer from {address} within the deadline"),
    };
    Error::new(code, text).while_calling(method)
}

pub(crate) fn too_large(method: &str, too_large: TooLarge) -> Error {
    Error::new(Code::TOO_LARGE, format!("the request was not sent: its {too_large}"))
        .while_calling(method)
}
