//! A line each second, on a terminal in place of the one before.

use std::io::{IsTerminal, stderr};

use super::options::Options;
use super::report::{count, time};
use super::tally::{self, Tally};
use super::{Window, Worker};

const SECOND_NS: u64 = 1_000_000_000;

/// How the run goes, for whoever looks on.
pub(crate) struct Progress {
    /// `None`: nobody does.
    line_end: Option<&'static str>,
    terminal: bool,
    seconds: u64,
    warming: bool,
    sent: u64,
    before: Tally,
}

impl Progress {
    pub(crate) fn new(options: &Options) -> Self {
        let terminal = stderr().is_terminal();
        let line_end = match (terminal, options.progress) {
            (true, _) => Some("\x1b[K"),
            (false, true) => Some("\n"),
            (false, false) => None,
        };
        let before = Tally::default();
        Self { line_end, terminal, seconds: 0, warming: false, sent: 0, before }
    }

    /// Writes the line of each second once.
    pub(crate) fn show(&mut self, workers: &[Worker], window: &Window, now_ns: u64) {
        let Some(line_end) = self.line_end else { return };
        if now_ns < window.begins_ns {
            if !std::mem::replace(&mut self.warming, true) {
                eprint!("{}warming up{line_end}", self.line_begin());
            }
            return;
        }
        let seconds = (now_ns - window.begins_ns) / SECOND_NS;
        if seconds == self.seconds {
            return;
        }
        let passed = (seconds - self.seconds).max(1);
        self.seconds = seconds;
        let (sent, now) = tally::sum(workers);
        let mut latency_ns = now.latency_ns.clone();
        latency_ns.subtract(&self.before.latency_ns).expect("counts only grow");
        let failed = now.failed_count() - self.before.failed_count();
        eprint!(
            "{}{seconds:4} s  sent {}/s  answered {}/s  p50 {}  p99 {}  max {}  errors {}{}",
            self.line_begin(),
            count((sent - self.sent) / passed),
            count((now.answered - self.before.answered) / passed),
            time(latency_ns.value_at_quantile(0.5)),
            time(latency_ns.value_at_quantile(0.99)),
            time(latency_ns.max()),
            count(failed),
            line_end,
        );
        (self.sent, self.before) = (sent, now);
    }

    fn line_begin(&self) -> &'static str {
        if self.terminal { "\r" } else { "" }
    }

    /// Leaves the last line standing.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
