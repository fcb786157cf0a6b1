//! What is counted of the calls of one kind: of one method served, or of one method called.
//!
//! A call is counted twice: when it begins, so that what is in flight can be seen while it is, and
//! when it ends, with its [`Outcome`]. Codes are counted by their row in the list of codes, with
//! one row for all that are not in it: a peer that invents codes cannot make this grow.
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

/// The numbers of one kind of call. Owned by one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By the code's row in [`ALL`]; the last is for all others.
    by_code: [u64; ALL.len() + 1],
    /// Begun minus ended since this was made or taken: negative in a snapshot in which more calls
    /// ended than began. Sums over snapshots are right.
    in_flight: i64,
    request_bytes: u64,
    answer_bytes: u64,
    latency_ns: Histogram,
    queue_ns: Histogram,
}

impl Counters {
    /// Nothing counted.
    pub const fn new() -> Counters {
        Counters {
            by_code: [0; ALL.len() + 1],
            in_flight: 0,
            request_bytes: 0,
            answer_bytes: 0,
            latency_ns: Histogram::new(),
            queue_ns: Histogram::new(),
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
        self.refuse(outcome.code);
        self.request_bytes += outcome.request_bytes;
        self.answer_bytes += outcome.answer_bytes;
        self.latency_ns.record(outcome.latency_ns);
        self.queue_ns.record(outcome.queue_ns);
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
        self.by_code[status::row(code)] += 1;
    }

    /// Adds what others have counted.
    pub fn merge(&mut self, other: &Counters) {
        for (mine, theirs) in self.by_code.iter_mut().zip(&other.by_code) {
            *mine += theirs;
        }
        self.in_flight += other.in_flight;
        self.request_bytes += other.request_bytes;
        self.answer_bytes += other.answer_bytes;
        self.latency_ns.merge(&other.latency_ns);
        self.queue_ns.merge(&other.queue_ns);
    }

    /// What was counted since the last time, for a snapshot that others' are added to.
    pub fn take(&mut self) -> Counters {
        core::mem::take(self)
    }

    /// Calls that have ended, refused ones included.
    pub fn ended(&self) -> u64 {
        self.by_code.iter().sum()
    }

    /// Calls that have ended with anything but success.
    pub fn failed(&self) -> u64 {
        self.ended() - self.by_code[status::row(Code::OK)]
    }

    /// Calls that have ended with this code; for one that is in no list, with any such.
    pub fn ended_with(&self, code: Code) -> u64 {
        self.by_code[status::row(code)]
    }

    /// The codes that calls have ended with, and how many did.
    pub fn codes(&self) -> impl Iterator<Item = (&'static CodeInfo, u64)> {
        let infos = ALL.iter().chain([&status::UNKNOWN]);
        infos.zip(self.by_code).filter(|(_, count)| *count != 0)
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

    /// The time that calls took, in ns.
    pub fn latency_ns(&self) -> &Histogram {
        &self.latency_ns
    }

    /// The time that calls waited to be started, in ns.
    pub fn queue_ns(&self) -> &Histogram {
        &self.queue_ns
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

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
}
