//! Attempts: a call is one, and sometimes another, at another instance.
//!
//! ```text
//!   begin ─► pick an instance ─► attempt ─► end ──┬─ good, or final ──────────► over
//!                  ▲               │              └─ surely did not run, or
//!                  │               │                 idempotent and lost ─► again, if it may
//!                  └── hedge ◄─────┘ no answer yet
//! ```
//!
//! A call is sent again only where that is safe: it never got there, it was refused before it
//! started, or the caller has said that the method may run twice. And only to another instance,
//! before the deadline, under the budget of its service
//! ([`RetryBudget`](msec_protocol::route::RetryBudget)): retries are what keeps an overload going.
//! Calls to an address have nowhere else to go, and calls on a lane have an order to keep.
//!
//! A hedge is a second attempt beside the first, under the same budget. The first good answer ends
//! the call; what still runs is cancelled.

use std::rc::Rc;
use std::sync::Arc;

use msec_protocol::limits::ATTEMPTS_PER_CALL_MAX;
use msec_protocol::route::{End, HedgeDelay, Ticket};
use msec_protocol::{Code, Target};
use msec_sys::output::Writer;

use crate::answer::{Answer, Reply};
use crate::call::{self, Ask, Begun, Done, Whom};
use crate::client::CallOptions;
use crate::error::{Error, Result};
use crate::pool;
use crate::report::called::Calling;
use crate::route::{Leg, Wanted};
use crate::shard::Shard;

/// What is called, whatever the attempt.
pub(crate) struct Call<'a> {
    pub(crate) target: &'a Arc<Target>,
    pub(crate) method: &'a str,
    pub(crate) options: &'a CallOptions,
    pub(crate) calling: &'a Calling,
    pub(crate) deadline_ns: u64,
}

/// The attempts of one call.
#[derive(Default)]
pub(crate) struct Attempts {
    tickets: [Ticket; ATTEMPTS_PER_CALL_MAX],
    count: usize,
    running: [Option<Begun>; ATTEMPTS_PER_CALL_MAX],
    /// Of the first attempt, if there was a choice.
    leg: Option<Leg>,
    /// When a second one starts beside the first; 0: none does.
    hedge_ns: u64,
    wants_tail: bool,
    /// How the last attempt that failed did.
    error: Option<Error>,
}

/// What is next for a call.
pub(crate) enum Next {
    /// This is how it ended.
    Over(Result<Reply>),
    /// Another attempt is to begin.
    Again,
    /// An attempt is under way.
    Wait,
}

impl Attempts {
    /// Begins an attempt. `whom` it tells is made for the attempt's number.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        shard: &Rc<Shard>,
        call: &Call<'_>,
        whom: impl FnOnce(usize) -> Whom,
        write_body: &impl Fn(&mut Writer<'_, '_>),
    ) -> Next {
        if shard.fresh_ns() >= call.deadline_ns {
            let error = call::timed_out(&**call.target, Code::TIMEOUT, call.method);
            return over(shard, call, Err(self.error.take().unwrap_or(error)), 0);
        }
        let tried = &self.tickets[..self.count];
        let wanted = Wanted { method: call.method, key: call.options.key, tried };
        let (address, leg) = match shard.routes.pick(shard, call.target, &wanted) {
            Ok(picked) => picked,
            // Nobody else is there: how the last attempt failed says more.
            Err(error) if !self.is_running() => {
                return over(shard, call, Err(self.error.take().unwrap_or(error)), 0);
            }
            Err(_) => return Next::Wait,
        };
        let attempt = self.count;
        self.count += 1;
        if attempt > 0 {
            call.calling.again(shard, attempt, self.is_running());
        }
        if let Some(leg) = leg {
            self.tickets[attempt] = leg.ticket();
            call.calling.picked(leg.why());
            if attempt == 0 {
                self.leg = Some(leg);
                self.plan_hedge(shard, call);
            }
        }
        let ask = Ask {
            address: &address,
            method: call.method,
            options: call.options,
            calling: call.calling,
            deadline_ns: call.deadline_ns,
            attempt: attempt as u32,
        };
        let one_way = call.options.one_way;
        let done = Done { whom: whom(attempt), leg: leg.filter(|_| !one_way) };
        match pool::begin(shard, &ask, done, write_body) {
            Ok(_) if one_way => {
                if let Some(leg) = leg {
                    shard.routes.finished(shard, leg, End::Abandoned);
                }
                Next::Wait
            }
            Ok((line, sequence)) => {
                self.running[attempt] = Some(Begun { line, sequence, leg });
                Next::Wait
            }
            Err(error) => {
                if let Some(leg) = leg {
                    // A request that is too large is no doing of theirs.
                    let large = error.code() == Code::TOO_LARGE;
                    let end = if large { End::Abandoned } else { call::end_of(&error) };
                    shard.routes.finished(shard, leg, end);
                }
                self.failed(shard, call, error, 0)
            }
        }
    }

    /// An attempt has ended.
    #[inline]
    pub(crate) fn handle_end(
        &mut self,
        shard: &Rc<Shard>,
        call: &Call<'_>,
        attempt: usize,
        result: Result<Answer>,
    ) -> Next {
        let begun = self.running[attempt].take();
        let bytes = result.as_ref().map_or(0, Answer::frame_bytes);
        match result.and_then(|answer| answer.into_reply(call.method)) {
            Ok(reply) => {
                let leg = begun.and_then(|begun| begun.leg).filter(|_| self.wants_tail);
                if let Some(leg) = leg {
                    shard.routes.record_tail(shard, &leg, call.method);
                }
                self.cancel(shard);
                over(shard, call, Ok(reply), bytes)
            }
            Err(error) => self.failed(shard, call, error, bytes),
        }
    }

    #[cold]
    fn failed(
        &mut self,
        shard: &Rc<Shard>,
        call: &Call<'_>,
        error: Error,
        answer_bytes: usize,
    ) -> Next {
        if !is_repeatable(&error, call.options) {
            self.cancel(shard);
            return over(shard, call, Err(error), answer_bytes);
        }
        if self.is_running() {
            self.error = Some(error);
            return Next::Wait;
        }
        if self.may_begin_another(shard, call) {
            self.error = Some(error);
            return Next::Again;
        }
        over(shard, call, Err(error), answer_bytes)
    }

    /// Whether one more attempt is allowed; if so, it is taken from the budget.
    fn may_begin_another(&self, shard: &Rc<Shard>, call: &Call<'_>) -> bool {
        let most = 1 + usize::from(call.options.retries.unwrap_or(u8::MAX));
        let Some(leg) = &self.leg else { return false };
        self.count < most.min(ATTEMPTS_PER_CALL_MAX)
            && call.options.lane.is_none()
            && shard.fresh_ns() < call.deadline_ns
            && shard.routes.spend(leg)
    }

    fn plan_hedge(&mut self, shard: &Rc<Shard>, call: &Call<'_>) {
        if !call.options.idempotent || call.options.lane.is_some() || call.options.one_way {
            return;
        }
        let Some(leg) = &self.leg else { return };
        let delay = call.options.hedge.or_else(|| shard.routes.hedge_of(leg));
        self.wants_tail = delay == Some(HedgeDelay::P95);
        let delay_ns = match delay {
            None => None,
            Some(HedgeDelay::AfterNs(delay_ns)) => Some(delay_ns),
            Some(HedgeDelay::P95) => shard.routes.tail_ns(leg, call.method),
        };
        if let Some(delay_ns) = delay_ns {
            let at_ns = shard.now_ns().saturating_add(delay_ns.max(1));
            self.hedge_ns = if at_ns < call.deadline_ns { at_ns } else { 0 };
        }
    }

    /// When [`Attempts::hedge`] is to be called, unless the call is over; 0: never.
    pub(crate) fn hedge_ns(&self) -> u64 {
        self.hedge_ns
    }

    /// There is no answer yet: a second attempt begins, if it may.
    pub(crate) fn hedge(&mut self, shard: &Rc<Shard>, call: &Call<'_>) -> Next {
        self.hedge_ns = 0;
        let wanted = self.is_running() && self.may_begin_another(shard, call);
        if wanted { Next::Again } else { Next::Wait }
    }

    /// Nobody waits any more.
    pub(crate) fn cancel(&mut self, shard: &Rc<Shard>) {
        for begun in self.running.iter_mut().filter_map(Option::take) {
            begun.cancel(shard);
        }
    }

    /// The attempts that are under way.
    pub(crate) fn running(&self) -> [Option<Begun>; ATTEMPTS_PER_CALL_MAX] {
        self.running
    }

    fn is_running(&self) -> bool {
        self.running.iter().any(Option::is_some)
    }
}

/// The call has ended: it is reported, and whoever waits is told.
fn over(shard: &Shard, call: &Call<'_>, result: Result<Reply>, answer_bytes: usize) -> Next {
    let code = result.as_ref().map_or_else(Error::code, |_| Code::OK);
    call.calling.end(shard, code, answer_bytes);
    Next::Over(result)
}

/// Whether the method surely did not run, or may run twice.
fn is_repeatable(error: &Error, options: &CallOptions) -> bool {
    error.retryable() || (options.idempotent && error.code() == Code::NETWORK)
}
