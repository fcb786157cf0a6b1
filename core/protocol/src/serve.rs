//! Serving: is this request run or refused, and which of those that run is meant?
//!
//! [`admit`] is asked once for each request, after its head is decoded and before its method is
//! started. It decides from the head, the limits and what is going on, and its answer is final:
//! run it, or refuse it with a code, at once. A refusal is an answer, never silence: the caller
//! that learns now can go elsewhere now.
//!
//! ```text
//!   head ─► cancel? ─► user headers ─► draining? ─► deadline ─► limits ─► run
//!             │        in bounds?        │          passed?       │
//!             ▼           ▼ -4           ▼ -104       ▼ -102      ▼ -101
//!           cancel      refuse         refuse       refuse      refuse
//! ```
//!
//! The order is from the cheapest to fix to the most certain to pass: a request that no server
//! would take is told so; one that another server takes is sent there; one that nobody waits for
//! is not worth an overload.
use crate::head::{COMPRESS_ZSTD, Head};
use crate::limits::{DEADLINE_MS_MAX, Limits};
use crate::status::Code;

pub mod concurrency;
#[cfg(test)]
mod limiters;
pub mod line;
pub mod priority;
pub mod queue;
pub mod quota;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod stories;

pub use concurrency::Concurrency;
pub use line::{Line, Place, Turn};
pub use priority::{Priority, Rank};
pub use queue::{Queue, Watch};
pub use quota::Quota;

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Start its method.
    Run {
        /// When its caller stops waiting, on the clock of [`State::arrived_ns`].
        deadline_ns: u64,
    },
    /// It is no request: cancel the one with its sequence, if it is in flight. No answer.
    Cancel,
    /// Answer with this code, unless it is `one_way`.
    Refuse(Code),
}

/// What is going on when a request asks to be admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The server is leaving.
    pub draining: bool,
    /// The bytes of unfinished frames and unsent answers of the whole process are over budget.
    pub memory_short: bool,
    /// Requests in flight on its connection, without it.
    pub connection_requests: u32,
    /// Requests in flight of its method in this process, without it.
    pub method_requests: u32,
    /// Requests in flight in this process, without it.
    pub process_requests: u32,
    /// When its frame was complete, on a monotonic clock.
    pub arrived_ns: u64,
    /// The time now, on the same clock.
    pub now_ns: u64,
}

/// Decides about a request; pure.
///
/// Whether the method exists is not asked here: [`INVALID_METHOD`](Code::INVALID_METHOD) goes
/// before admission, for there is no method whose requests could be counted.
#[inline]
pub fn admit(head: &Head, state: &State, limits: &Limits) -> Admission {
    if head.cancel {
        return Admission::Cancel;
    }
    if head.metadata_excess {
        return Admission::Refuse(Code::INVALID_HEAD);
    }
    if head.compress > COMPRESS_ZSTD {
        // Not offered by `FEATURES`, so whoever sends it errs.
        return Admission::Refuse(Code::INVALID_BODY);
    }
    if state.draining {
        return Admission::Refuse(Code::DRAINING);
    }
    let deadline_ns = deadline_ns(head, limits, state.arrived_ns);
    if deadline_ns <= state.now_ns {
        return Admission::Refuse(Code::DEADLINE_EXCEEDED);
    }
    let room = state.connection_requests < limits.requests_per_connection_max
        && state.method_requests < limits.requests_per_method_max
        && state.process_requests < limits.requests_per_process_max
        && !state.memory_short;
    if !room {
        return Admission::Refuse(Code::OVERLOADED);
    }
    Admission::Run { deadline_ns }
}

/// When the caller of a request stops waiting. A caller that does not say waits as long as the
/// server's default; nobody waits longer than [`DEADLINE_MS_MAX`].
#[inline]
fn deadline_ns(head: &Head, limits: &Limits, arrived_ns: u64) -> u64 {
    let asked_ms =
        if head.deadline_ms == 0 { limits.deadline_ms_default } else { head.deadline_ms };
    arrived_ns.saturating_add(u64::from(asked_ms.min(DEADLINE_MS_MAX)) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        requests_per_connection_max: 10,
        requests_per_method_max: 20,
        requests_per_process_max: 30,
        deadline_ms_default: 50,
        ..Limits::DEFAULT
    };

    const IDLE: State = State {
        draining: false,
        memory_short: false,
        connection_requests: 0,
        method_requests: 0,
        process_requests: 0,
        arrived_ns: 1_000_000_000,
        now_ns: 1_000_000_500,
    };

    #[track_caller]
    fn check(head: Head, state: State, expect: Admission) {
        assert_eq!(admit(&head, &state, &LIMITS), expect);
    }

    fn refused(code: Code) -> Admission {
        Admission::Refuse(code)
    }

    #[test]
    fn an_idle_server_runs_a_request_until_its_deadline() {
        let head = Head { deadline_ms: 3, ..Head::default() };
        check(head, IDLE, Admission::Run { deadline_ns: 1_003_000_000 });
    }

    #[test]
    fn without_a_deadline_the_default_counts() {
        check(Head::default(), IDLE, Admission::Run { deadline_ns: 1_050_000_000 });
    }

    #[test]
    fn the_longest_deadline_is_bounded_and_does_not_overflow() {
        let head = Head { deadline_ms: u32::MAX, ..Head::default() };
        let deadline_ns = 1_000_000_000 + u64::from(DEADLINE_MS_MAX) * 1_000_000;
        check(head, IDLE, Admission::Run { deadline_ns });
        let late = State { arrived_ns: u64::MAX - 1, now_ns: u64::MAX - 1, ..IDLE };
        check(head, late, Admission::Run { deadline_ns: u64::MAX });
    }

    #[test]
    fn a_request_whose_deadline_has_passed_is_refused() {
        let head = Head { deadline_ms: 3, ..Head::default() };
        check(head, State { now_ns: 1_003_000_000, ..IDLE }, refused(Code::DEADLINE_EXCEEDED));
        let just = State { now_ns: 1_002_999_999, ..IDLE };
        check(head, just, Admission::Run { deadline_ns: 1_003_000_000 });
    }

    #[test]
    fn each_limit_admits_the_last_request_and_refuses_the_next() {
        let run = Admission::Run { deadline_ns: 1_050_000_000 };
        let overloaded = refused(Code::OVERLOADED);
        check(Head::default(), State { connection_requests: 9, ..IDLE }, run);
        check(Head::default(), State { connection_requests: 10, ..IDLE }, overloaded);
        check(Head::default(), State { method_requests: 19, ..IDLE }, run);
        check(Head::default(), State { method_requests: 20, ..IDLE }, overloaded);
        check(Head::default(), State { process_requests: 29, ..IDLE }, run);
        check(Head::default(), State { process_requests: 30, ..IDLE }, overloaded);
        check(Head::default(), State { memory_short: true, ..IDLE }, overloaded);
    }

    #[test]
    fn a_draining_server_sends_callers_elsewhere() {
        let state = State { draining: true, process_requests: 30, ..IDLE };
        check(Head::default(), state, refused(Code::DRAINING));
    }

    #[test]
    fn a_cancel_is_taken_whatever_goes_on() {
        let head = Head { cancel: true, metadata_excess: true, ..Head::default() };
        let state = State { draining: true, memory_short: true, process_requests: 30, ..IDLE };
        check(head, state, Admission::Cancel);
    }

    #[test]
    fn user_headers_over_their_bounds_are_refused() {
        let within = Head { metadata_pairs: 64, ..Head::default() };
        check(within, IDLE, Admission::Run { deadline_ns: 1_050_000_000 });
        check(Head { metadata_excess: true, ..within }, IDLE, refused(Code::INVALID_HEAD));
    }

    #[test]
    fn a_compression_that_is_not_offered_is_refused() {
        let run = Admission::Run { deadline_ns: 1_050_000_000 };
        check(Head { compress: COMPRESS_ZSTD, ..Head::default() }, IDLE, run);
        check(Head { compress: 3, ..Head::default() }, IDLE, refused(Code::INVALID_BODY));
    }
}
