//! A line each second, on a terminal in place of the one before.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use super::course::Course;
use super::options::Options;
use super::report::{count, time};
use super::{Window, Worker};

/// How the run goes, for whoever looks on.
pub(crate) struct Progress {
    /// `None`: nobody does.
    line_end: Option<&'static str>,
    terminal: bool,
    warming: bool,
    seconds: Course,
}

impl Progress {
    pub(crate) fn new(options: &Options) -> Self {
        let terminal = stderr().is_terminal();
        let line_end = match (terminal, options.progress) {
            (true, _) => Some("\x1b[K"),
            (false, true) => Some("\n"),
            (false, false) => None,
        };
        let seconds = Course::new(Duration::from_secs(1));
        Self { line_end, terminal, warming: false, seconds }
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
        let Some(step) = self.seconds.look(workers, window, now_ns) else { return };
        eprint!(
            "{}{:4} s  sent {}/s  answered {}/s  p50 {}  p99 {}  max {}  errors {}{}",
            self.line_begin(),
            step.ends_s,
            count(step.sent_per_s as u64),
            count(step.answered_per_s as u64),
            time(step.p50_ns),
            time(step.p99_ns),
            time(step.max_ns),
            count(step.failed),
            line_end,
        );
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
