//! The deadline of a request that waits.
//!
//! When it has come nobody waits for the answer, so the request is cancelled: what it waits for may
//! never come, and it would hold its coroutine and its place for ever. The caller says so as well,
//! but only a caller that is there, and that knows from an answer that its words are understood.
//!
//! A timer is set by the first wait of the request that does not end by the deadline itself. So
//! requests that do not wait, or only for calls, pay nothing. It comes a moment later than the
//! deadline, for calls are to end by that, with a code of their own.
//!
//! One way, nobody has waited for an answer at any time: nothing is to end then.

use crate::shard::{Shard, Timer};
use crate::task::{Task, Waiter};

/// How much later than the deadline: two ticks of the wheel.
const GRACE_NS: u64 = 2_000_000;

/// The running task is about to wait, maybe for what never comes.
pub(crate) fn watch(shard: &Shard) {
    let Some(task) = shard.tasks.current() else { return };
    if task.deadline.get().is_some() {
        return;
    }
    let deadline_ns = match task.request() {
        Some(request) if !request.is_one_way() => request.deadline_ns().unwrap_or(0),
        _ => 0,
    };
    if deadline_ns != 0 {
        let timer = Timer::Deadline(Waiter::current(shard));
        let end_ns = deadline_ns.saturating_add(GRACE_NS);
        task.deadline.set(Some(shard.timers.borrow_mut().insert(end_ns, timer)));
    }
}

/// The request of a task is served.
#[inline]
pub(crate) fn forget(shard: &Shard, task: &Task) {
    if let Some(timer) = task.deadline.take() {
        shard.timers.borrow_mut().cancel(timer);
    }
}

/// The deadline of the request has passed that a task serves, unless its job is over.
pub(crate) fn passed(shard: &Shard, waiter: &Waiter) {
    if let Some(request) = waiter.task().and_then(Task::request) {
        request.cancel.cancel(&shard.shared.cores);
    }
}
