//! Counting: every call of the window ends in exactly one of the numbers here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;
use msec::{Error, Result};

use super::Worker;

/// Latencies up to an hour, in nanoseconds, three digits exact.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// What a core and the main thread share. The lock is the core's but once a second.
#[derive(Default)]
pub(crate) struct Shared {
    sent: AtomicU64,
    turn: AtomicUsize,
    tally: Mutex<Tally>,
}

/// Calls of the window that have ended, of one core or of all.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) answer_bytes: u64,
    /// By code: how many, and the text of the first.
    pub(crate) failed: BTreeMap<i32, (u64, Error)>,
    /// Due, but never sent.
    pub(crate) unsent: u64,
    /// Of answers, from when the call was due.
    pub(crate) latency_ns: Histogram<u64>,
    /// How much later than due the generator took calls up: its own part of their latency.
    pub(crate) late_ns: Histogram<u64>,
}

/// A call that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) due_ns: u64,
    pub(crate) answered_ns: u64,
    pub(crate) result: &'a Result<msec::Reply>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("the bounds are those of the crate")
        };
        Self {
            answered: 0,
            answer_bytes: 0,
            failed: BTreeMap::new(),
            unsent: 0,
            latency_ns: histogram(),
            late_ns: histogram(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The body whose turn it is on this core.
    pub(crate) fn next_of<'a>(&self, bodies: &'a [Vec<u8>]) -> &'a [u8] {
        match bodies {
            [body] => body,
            bodies => &bodies[self.turn.fetch_add(1, Ordering::Relaxed) % bodies.len()],
        }
    }

    /// A call of the window is about to be made.
    pub(crate) fn sending(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let mut tally = self.lock();
        match ended.result {
            Ok(reply) => {
                tally.answered += 1;
                tally.answer_bytes += reply.body.len() as u64;
                let latency_ns = ended.answered_ns.saturating_sub(ended.due_ns);
                tally.latency_ns.saturating_record(latency_ns);
            }
            Err(error) => {
                let failed = tally.failed.entry(error.code().0);
                failed.or_insert_with(|| (0, error.clone())).0 += 1;
            }
        }
    }

    /// Calls of the window are taken up, in an open loop, so much later than they were due.
    pub(crate) fn late(&self, late_ns: impl Iterator<Item = u64>) {
        let mut tally = self.lock();
        for ns in late_ns {
            tally.late_ns.saturating_record(ns);
        }
    }

    /// A call of the window was due and is not made.
    pub(crate) fn unsent(&self) {
        self.lock().unsent += 1;
    }
}

impl Tally {
    /// How many calls failed, whatever the code.
    pub(crate) fn failed_count(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    fn add(&mut self, other: &Tally) {
        self.answered += other.answered;
        self.answer_bytes += other.answer_bytes;
        self.unsent += other.unsent;
        for (code, (count, error)) in &other.failed {
            self.failed.entry(*code).or_insert_with(|| (0, error.clone())).0 += count;
        }
        self.latency_ns.add(&other.latency_ns).expect("all have one range");
        self.late_ns.add(&other.late_ns).expect("all have one range");
    }
}

/// The calls that all cores have sent, and how those ended that have.
pub(crate) fn sum(workers: &[Worker]) -> (u64, Tally) {
    let mut tally = Tally::default();
    for worker in workers {
        tally.add(&worker.shared.lock());
    }
    // After the ends, so that it is never less.
    let sent = workers.iter().map(|worker| worker.shared.sent.load(Ordering::Relaxed)).sum();
    (sent, tally)
}
