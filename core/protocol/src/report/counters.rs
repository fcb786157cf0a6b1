//! What is counted of the calls of one kind: of one method served for one caller, or of one method
//! called at one callee.
//!
//! A call is counted twice: when it begins, so that what is in flight can be seen while it is, and
//! when it ends, with its [`Outcome`]. Each code has a histogram of latencies of its own, for what
//! fails in a hurry must not make a service in trouble look fast. Success is at hand; other codes
//! are found by a walk over the few that were met. Codes are told apart by their row in the list
//! of codes, with one row for all that are not in it: a peer that invents codes cannot make this
//! grow.

use alloc::vec::Vec;

use super::Histogram;
use crate::status::{self, ALL, Code, CodeInfo};

/// How a call ended. Whoever does not know a number leaves it zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The code of its answer.
    pub code: Code,
    /// From the arrival of the request (or its sending, for a caller) to its answer, in ns.
    pub latency_ns: u64,
    /// The part of it spent waiting to be started, in ns.
    pub queue_ns: u64,
    /// Length of the request's frame, in bytes.
    pub request_bytes: u64,
    /// Length of the answer's frame, in bytes.
    pub answer_bytes: u64,
}

/// What a caller did beyond one attempt a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Efforts {
    /// Attempts after a failed one.
    pub retries: u64,
    /// Attempts beside one that was slow.
    pub hedges: u64,
}

/// Calls that ended with one code that is not success, or without a latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// In [`ALL`]; its length for all codes that are not there.
    pub(crate) row: usize,
    /// Refused: they never ran, so they took no time.
    pub(crate) refused: u64,
    pub(crate) latency_ns: Histogram,
}

/// The numbers of one kind of call. Owned by one core.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Latencies of calls that ended well, and thereby their number.
    pub(crate) succeeded_ns: Histogram,
    /// All others, in the order in which their codes were met.
    pub(crate) others: Vec<Ended>,
    /// Begun minus ended since this was made or taken: negative in a snapshot in which more calls
    /// ended than began. Sums over snapshots are right.
    pub(crate) in_flight: i64,
    pub(crate) request_bytes: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) queue_ns: Histogram,
    /// Counted by callers; a server has none.
    pub efforts: Efforts,
}

/// The row of success in [`ALL`].
const OK_ROW: usize = 0;

impl Counters {
    /// Nothing counted.
    pub const fn new() -> Counters {
        Counters {
            succeeded_ns: Histogram::new(),
            others: Vec::new(),
            in_flight: 0,
            request_bytes: 0,
            answer_bytes: 0,
            queue_ns: Histogram::new(),
            efforts: Efforts { retries: 0, hedges: 0 },
        }
    }

    /// A call begins.
    #[inline]
    pub fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// A call that has begun ends.
    #[inline]
    pub fn end(&mut self, outcome: &Outcome) {
        self.in_flight -= 1;
        self.request_bytes += outcome.request_bytes;
        self.answer_bytes += outcome.answer_bytes;
        self.queue_ns.record(outcome.queue_ns);
        if outcome.code == Code::OK {
            self.succeeded_ns.record(outcome.latency_ns);
        } else {
            self.other(status::row(outcome.code)).latency_ns.record(outcome.latency_ns);
        }
    }

    /// A call that has begun ends without having been started: it was refused while it waited. As
    /// in [`refuse`](Counters::refuse), only its code is counted.
    #[inline]
    pub fn give_up(&mut self, code: Code) {
        self.in_flight -= 1;
        self.refuse(code);
    }

    /// A call ends that never began: it was refused. Only its code is counted, so that refusals,
    /// which take no time, do not make a service in trouble look fast.
    #[inline]
    pub fn refuse(&mut self, code: Code) {
        self.other(status::row(code)).refused += 1;
    }

    #[cold]
    pub(crate) fn other(&mut self, row: usize) -> &mut Ended {
        let row = row.min(ALL.len());
        let known = self.others.iter().position(|ended| ended.row == row);
        let index = known.unwrap_or_else(|| {
            self.others.push(Ended { row, refused: 0, latency_ns: Histogram::new() });
            self.others.len() - 1
        });
        &mut self.others[index]
    }

    /// Whoever is still in flight will not end here.
    pub fn forget_flights(&mut self) {
        self.in_flight = 0;
    }

    /// Adds what others have counted.
    pub fn merge(&mut self, other: &Counters) {
        self.succeeded_ns.merge(&other.succeeded_ns);
        for theirs in &other.others {
            let mine = self.other(theirs.row);
            mine.refused = mine.refused.saturating_add(theirs.refused);
            mine.latency_ns.merge(&theirs.latency_ns);
        }
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.answer_bytes = self.answer_bytes.saturating_add(other.answer_bytes);
        self.queue_ns.merge(&other.queue_ns);
        let (mine, theirs) = (&mut self.efforts, &other.efforts);
        mine.retries = mine.retries.saturating_add(theirs.retries);
        mine.hedges = mine.hedges.saturating_add(theirs.hedges);
    }

    /// What was counted since `earlier`, which is an older state of these.
    pub fn since(&self, earlier: &Counters) -> Counters {
        let mut since = Counters {
            succeeded_ns: self.succeeded_ns.since(&earlier.succeeded_ns),
            others: Vec::new(),
            in_flight: self.in_flight.saturating_sub(earlier.in_flight),
            request_bytes: self.request_bytes.saturating_sub(earlier.request_bytes),
            answer_bytes: self.answer_bytes.saturating_sub(earlier.answer_bytes),
            queue_ns: self.queue_ns.since(&earlier.queue_ns),
            efforts: Efforts {
                retries: self.efforts.retries.saturating_sub(earlier.efforts.retries),
                hedges: self.efforts.hedges.saturating_sub(earlier.efforts.hedges),
            },
        };
        for later in &self.others {
            let fresh = match earlier.others.iter().find(|ended| ended.row == later.row) {
                None => later.clone(),
                Some(before) => Ended {
                    row: later.row,
                    refused: later.refused.saturating_sub(before.refused),
                    latency_ns: later.latency_ns.since(&before.latency_ns),
                },
            };
            if fresh.count() != 0 {
                since.others.push(fresh);
            }
        }
        since
    }

    /// What was counted since the last time, for a snapshot that others' are added to.
    pub fn take(&mut self) -> Counters {
        core::mem::take(self)
    }

    /// Calls that have ended, refused ones included.
    pub fn ended(&self) -> u64 {
        self.succeeded_ns.count() + self.others.iter().map(Ended::count).sum::<u64>()
    }

    /// Calls that have ended with anything but success.
    pub fn failed(&self) -> u64 {
        self.others.iter().filter(|ended| ended.row != OK_ROW).map(Ended::count).sum()
    }

    /// Calls that have ended with this code; for one that is in no list, with any such.
    pub fn ended_with(&self, code: Code) -> u64 {
        let row = status::row(code);
        let others = self.others.iter().find(|ended| ended.row == row).map_or(0, Ended::count);
        if row == OK_ROW { others + self.succeeded_ns.count() } else { others }
    }

    /// The codes that calls have ended with, and how many did; in the order of the list.
    pub fn codes(&self) -> impl Iterator<Item = (&'static CodeInfo, u64)> {
        let infos = ALL.iter().chain([&status::UNKNOWN]);
        infos.map(|info| (info, self.ended_with(info.code))).filter(|(_, count)| *count != 0)
    }

    /// Calls that have begun and not ended.
    pub fn in_flight(&self) -> i64 {
        self.in_flight
    }

    /// Bytes of all requests' frames.
    pub fn request_bytes(&self) -> u64 {
        self.request_bytes
    }

    /// Bytes of all answers' frames.
    pub fn answer_bytes(&self) -> u64 {
        self.answer_bytes
    }

    /// The time that calls took, whatever they ended with, in ns.
    pub fn latency_ns(&self) -> Histogram {
        let mut all = self.succeeded_ns.clone();
        self.others.iter().for_each(|ended| all.merge(&ended.latency_ns));
        all
    }

    /// The time that calls took which ended with this code, in ns.
    pub fn latency_ns_with(&self, code: Code) -> Histogram {
        let row = status::row(code);
        let mut all = if row == OK_ROW { self.succeeded_ns.clone() } else { Histogram::new() };
        let others = self.others.iter().filter(|ended| ended.row == row);
        others.for_each(|ended| all.merge(&ended.latency_ns));
        all
    }

    /// The time that calls waited to be started, in ns.
    pub fn queue_ns(&self) -> &Histogram {
        &self.queue_ns
    }
}

impl Ended {
    pub(crate) fn count(&self) -> u64 {
        self.refused + self.latency_ns.count()
    }
}

/// The order in which codes were met does not count.
impl PartialEq for Counters {
    fn eq(&self, other: &Counters) -> bool {
        let same = |one: &Counters, two: &Counters| {
            one.others.iter().filter(|ended| ended.count() != 0).all(|ended| {
                let theirs = two.others.iter().find(|theirs| theirs.row == ended.row);
                theirs.is_some_and(|theirs| theirs == ended)
            })
        };
        self.succeeded_ns == other.succeeded_ns
            && self.in_flight == other.in_flight
            && self.request_bytes == other.request_bytes
            && self.answer_bytes == other.answer_bytes
            && self.queue_ns == other.queue_ns
            && self.efforts == other.efforts
            && same(self, other)
            && same(other, self)
    }
}

impl Eq for Counters {}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: i32, latency_ns: u64) -> Outcome {
        let code = Code(code);
        Outcome { code, latency_ns, queue_ns: 1, request_bytes: 10, answer_bytes: 20 }
    }

    #[test]
    fn calls_are_counted_when_they_begin_and_when_they_end() {
        let mut counters = Counters::new();
        counters.begin();
        counters.begin();
        counters.end(&outcome(0, 100));
        assert_eq!((counters.in_flight(), counters.ended(), counters.failed()), (1, 1, 0));
        counters.end(&outcome(-18, 300));
        assert_eq!((counters.in_flight(), counters.ended(), counters.failed()), (0, 2, 1));
        assert_eq!((counters.request_bytes(), counters.answer_bytes()), (20, 40));
        assert_eq!((counters.latency_ns().max(), counters.latency_ns().mean()), (300, 200));
        assert_eq!(counters.queue_ns().count(), 2);
    }

    #[test]
    fn each_code_has_latencies_of_its_own() {
        let mut counters = Counters::new();
        for (code, latency_ns) in [(0, 50_000), (0, 60_000), (-18, 1), (-10, 1_000_000)] {
            counters.begin();
            counters.end(&outcome(code, latency_ns));
        }
        assert_eq!(counters.latency_ns_with(Code::OK).sum(), 110_000);
        assert_eq!(counters.latency_ns_with(Code::SERVICE_FAILED).sum(), 1);
        assert_eq!(counters.latency_ns_with(Code::TIMEOUT).count(), 1);
        assert_eq!(counters.latency_ns_with(Code::NETWORK).count(), 0);
        assert_eq!(counters.latency_ns().count(), 4);
    }

    #[test]
    fn refusals_count_by_code_and_take_no_time() {
        let mut counters = Counters::new();
        counters.refuse(Code::OVERLOADED);
        assert_eq!((counters.ended(), counters.failed(), counters.in_flight()), (1, 1, 0));
        assert_eq!(counters.latency_ns().count(), 0);
    }

    #[test]
    fn a_call_that_is_given_up_is_in_flight_no_more_and_took_no_time() {
        let mut counters = Counters::new();
        counters.begin();
        counters.give_up(Code::OVERLOADED);
        assert_eq!((counters.ended(), counters.failed(), counters.in_flight()), (1, 1, 0));
        assert_eq!(counters.latency_ns().count(), 0);
    }

    #[test]
    fn invented_codes_share_one_row() {
        let mut counters = Counters::new();
        for code in [1, 2, -5000, i32::MIN, -6] {
            counters.refuse(Code(code));
        }
        let codes: Vec<(&str, u64)> =
            counters.codes().map(|(info, count)| (info.name, count)).collect();
        assert_eq!(codes, [("INVALID_METHOD", 1), ("UNKNOWN", 4)]);
        assert_eq!(counters.ended_with(Code(77)), 4);
        assert_eq!(counters.others.len(), 2);
    }

    #[test]
    fn snapshots_add_up_to_the_whole() {
        let mut whole = Counters::new();
        let mut live = Counters::new();
        let mut sum = Counters::new();
        for call in 0..100u64 {
            let code = if call % 3 == 0 { -101 } else { 0 };
            for counters in [&mut whole, &mut live] {
                counters.begin();
                if call % 2 == 0 {
                    counters.end(&outcome(code, call * 1000));
                }
                counters.efforts.retries += call % 2;
            }
            if call % 10 == 0 {
                sum.merge(&live.take());
                assert_eq!(live, Counters::default());
            }
        }
        sum.merge(&live);
        assert_eq!(sum, whole);
        assert_eq!(sum.in_flight(), 50);
    }

    #[test]
    fn differences_of_a_growing_state_add_up_to_it() {
        let mut live = Counters::new();
        let mut seen = Counters::new();
        let mut sum = Counters::new();
        for call in 0..60u64 {
            live.begin();
            live.end(&outcome([0, 0, -18, -101, -5000][call as usize % 5], call * 777));
            live.efforts.hedges += 1;
            if call % 7 == 0 {
                live.refuse(Code::OVERLOADED);
                sum.merge(&live.since(&seen));
                seen = live.clone();
            }
        }
        sum.merge(&live.since(&seen));
        assert_eq!(sum, live);
        assert_eq!(live.since(&live), Counters::new());
    }
}
