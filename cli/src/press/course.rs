//! The course of a run: what happened in each of its steps, for the line of each second and for the
//! plots.

use std::time::Duration;

use super::tally::{self, Tally};
use super::{Window, Worker};

/// Cuts a run into steps of one length.
pub(crate) struct Course {
    step_ns: u64,
    /// Where the next step begins, from the begin of the window.
    begins_ns: u64,
    sent: u64,
    before: Tally,
}

/// What happened in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Its end, from the begin of the window.
    pub(crate) ends_s: f64,
    pub(crate) sent_per_s: f64,
    pub(crate) answered_per_s: f64,
    pub(crate) failed: u64,
    pub(crate) failed_per_s: f64,
    /// Of the answers of the step; 0 if there were none.
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

impl Course {
    pub(crate) fn new(step: Duration) -> Self {
        let step_ns = step.as_nanos().max(1) as u64;
        Self { step_ns, begins_ns: 0, sent: 0, before: Tally::default() }
    }

    /// The step that has ended since the look before. One that was slept over is part of it.
    pub(crate) fn look(
        &mut self,
        workers: &[Worker],
        window: &Window,
        now_ns: u64,
    ) -> Option<Step> {
        let passed_ns = now_ns.saturating_sub(window.begins_ns);
        let ends_ns = passed_ns / self.step_ns * self.step_ns;
        (ends_ns > self.begins_ns).then(|| self.step(workers, ends_ns))
    }

    /// What is left at the end of the window, unless it is too short to say anything.
    pub(crate) fn rest(&mut self, workers: &[Worker], window: &Window) -> Option<Step> {
        let ends_ns = window.ends_ns().saturating_sub(window.begins_ns);
        (ends_ns > self.begins_ns + self.step_ns / 2).then(|| self.step(workers, ends_ns))
    }

    fn step(&mut self, workers: &[Worker], ends_ns: u64) -> Step {
        let (sent, now) = tally::sum(workers);
        let seconds = (ends_ns - self.begins_ns) as f64 / 1e9;
        let mut latency_ns = now.latency_ns.clone();
        latency_ns.subtract(&self.before.latency_ns).expect("counts only grow");
        let failed = now.failed_count() - self.before.failed_count();
        let step = Step {
            ends_s: ends_ns as f64 / 1e9,
            sent_per_s: (sent - self.sent) as f64 / seconds,
            answered_per_s: (now.answered - self.before.answered) as f64 / seconds,
            failed,
            failed_per_s: failed as f64 / seconds,
            p50_ns: latency_ns.value_at_quantile(0.5),
            p99_ns: latency_ns.value_at_quantile(0.99),
            max_ns: latency_ns.max(),
        };
        (self.begins_ns, self.sent, self.before) = (ends_ns, sent, now);
        step
    }
}
