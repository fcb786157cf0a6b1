//! What the engine itself has to say: few lines, for the operator.
//!
//! Which back end does the I/O, a core that stalls, a handler that panicked, accepting that pauses:
//! that is all.
//!
//! ```text
//! 2026-11-22T18:53:42.123Z msec warn accept: accepting pauses: no file descriptor left (31 more)
//! ```
//!
//! A line goes to standard error, or to the sink that a program sets; and to the log, if that is
//! kept in files. Lines come from core threads, which must not stop for whoever reads them, so that
//! nothing here waits:
//!
//! * A line that standard error has no room for is given up and counted; the next one tells how
//!   many were lost. (`sys/stderr.rs`: one poll and one write, no thread in between, so that a
//!   line is out before the process can die.)
//! * Lines of one kind are rationed, lest a storm of one trouble fills a disk and hides another:
//!   ten in ten seconds are written, the others counted, and the next one tells how many.
//!
//! The kind is a short word given by the place that writes the line: `accept`, `panic`, `stall`.
//! There are some dozen of them, and the table of rations has one row for each.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use msec_protocol::log::utc_ms;
use msec_sys::{clock, stderr};

use super::{Level, is_kept, writer};

/// Lines of a kind that are written within [`PERIOD_NS`].
const LINES_MAX: u32 = 10;
const PERIOD_NS: u64 = 10_000_000_000;

type Sink = Arc<dyn Fn(Level, &'static str, &str) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static RATIONS: Mutex<Option<Rations>> = Mutex::new(None);
/// Lines that standard error did not take, since the last one that it took.
static LOST_COUNT: AtomicU64 = AtomicU64::new(0);
/// All lines that standard error did not take, and all that were withheld, for the metrics.
static LOST_EVER_COUNT: AtomicU64 = AtomicU64::new(0);
static WITHHELD_EVER_COUNT: AtomicU64 = AtomicU64::new(0);

/// The lines of the engine's own that nobody could read on standard error, by the reason.
pub(crate) fn lost() -> [(&'static str, u64); 2] {
    [("stderr", &LOST_EVER_COUNT), ("ration", &WITHHELD_EVER_COUNT)]
        .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
}

/// Hands every line that the engine itself has to say to `sink` instead of standard error, for the
/// rest of the process or until the next sink is set.
///
/// The sink gets all such lines, of every level and unrationed: level, kind, text. It is called on
/// the thread that has something to say, often a core thread, and must not block. It may set
/// another sink.
pub fn set_sink(sink: impl Fn(Level, &'static str, &str) + Send + Sync + 'static) {
    *SINK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Arc::new(sink));
}

pub(crate) fn debug(kind: &'static str, text: fmt::Arguments<'_>) {
    line(Level::Debug, kind, text);
}

pub(crate) fn warn(kind: &'static str, text: fmt::Arguments<'_>) {
    line(Level::Warn, kind, text);
}

pub(crate) fn error(kind: &'static str, text: fmt::Arguments<'_>) {
    line(Level::Error, kind, text);
}

fn line(level: Level, kind: &'static str, text: fmt::Arguments<'_>) {
    if to_stderr(level, kind, text) {
        writer::own(level, kind, text);
    }
}

/// Writes a line to the sink or to standard error, but not to files; whether it is wanted there.
pub(super) fn to_stderr(level: Level, kind: &'static str, text: fmt::Arguments<'_>) -> bool {
    // Cloned, so that the sink runs without the lock and may come back here.
    let sink = SINK.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    if let Some(sink) = sink {
        sink(level, kind, &text.to_string());
        return is_kept(level);
    }
    if !is_kept(level) {
        return false;
    }
    let mut rations = RATIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let ration = rations.get_or_insert_default().draw(kind, clock::now_ns());
    drop(rations);
    let Some(withheld_count) = ration else {
        WITHHELD_EVER_COUNT.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    let lost_count = LOST_COUNT.swap(0, Ordering::Relaxed);
    let line = Line { level, kind, text, withheld_count, lost_count, wall_ns: clock::wall_ns() };
    if !stderr::write_line(&line.into_bytes()) {
        LOST_COUNT.fetch_add(lost_count + 1, Ordering::Relaxed);
        LOST_EVER_COUNT.fetch_add(1, Ordering::Relaxed);
    }
    true
}

/// How many lines of each kind were written lately.
#[derive(Default)]
struct Rations {
    of_kind: HashMap<&'static str, Ration>,
}

struct Ration {
    since_ns: u64,
    written_count: u32,
    withheld_count: u64,
}

impl Rations {
    /// `None`: a line of that kind is not to be written. Otherwise how many were withheld before.
    fn draw(&mut self, kind: &'static str, now_ns: u64) -> Option<u64> {
        let fresh = Ration { since_ns: now_ns, written_count: 0, withheld_count: 0 };
        let ration = self.of_kind.entry(kind).or_insert(fresh);
        if now_ns.saturating_sub(ration.since_ns) >= PERIOD_NS {
            (ration.since_ns, ration.written_count) = (now_ns, 0);
        }
        if ration.written_count == LINES_MAX {
            ration.withheld_count += 1;
            return None;
        }
        ration.written_count += 1;
        Some(std::mem::take(&mut ration.withheld_count))
    }
}

struct Line<'a> {
    level: Level,
    kind: &'static str,
    text: fmt::Arguments<'a>,
    withheld_count: u64,
    lost_count: u64,
    wall_ns: u64,
}

impl Line<'_> {
    /// One line, with its end, and short enough to be written in one piece: a text that breaks is
    /// joined, a long one is cut.
    fn into_bytes(self) -> Vec<u8> {
        let Line { level, kind, text, withheld_count, lost_count, wall_ns } = self;
        let mut tail = String::new();
        if withheld_count > 0 {
            tail.push_str(&format!(" ({withheld_count} more)"));
        }
        if lost_count > 0 {
            tail.push_str(&format!(" ({lost_count} lines lost: nobody reads standard error)"));
        }
        tail.push('\n');
        let mut line = format!("{} msec {} {kind}: {text}", utc_ms(wall_ns), level.name());
        line = line.replace(['\n', '\r'], " ");
        line.truncate(line.floor_char_boundary(stderr::LINE_BYTES_MAX - tail.len()));
        line.push_str(&tail);
        line.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_storm_of_one_kind_is_cut_and_counted_and_hides_no_other() {
        let mut rations = Rations::default();
        for line in 0..u64::from(LINES_MAX) {
            assert_eq!(rations.draw("storm", 5 + line), Some(0));
        }
        assert_eq!(rations.draw("storm", SECOND_NS), None);
        assert_eq!(rations.draw("calm", SECOND_NS), Some(0));
        assert_eq!(rations.draw("storm", 5 + PERIOD_NS - 1), None);
        assert_eq!(rations.draw("storm", 5 + PERIOD_NS), Some(2), "told once");
        assert_eq!(rations.draw("storm", 5 + PERIOD_NS), Some(0));
    }

    fn check(text: fmt::Arguments<'_>, withheld_count: u64, lost_count: u64, expect: &str) {
        let wall_ns = 1_795_373_622_123_456_789;
        let (level, kind) = (Level::Warn, "accept");
        let line = Line { level, kind, text, withheld_count, lost_count, wall_ns };
        let line = String::from_utf8(line.into_bytes()).expect("it was a string");
        let start = "2026-11-22T18:53:42.123Z msec warn accept: ";
        assert_eq!(line, format!("{start}{expect}"));
    }

    #[test]
    fn a_line_tells_when_how_bad_what_and_what_is_missing() {
        check(format_args!("it pauses"), 0, 0, "it pauses\n");
        check(format_args!("it pauses"), 3, 0, "it pauses (3 more)\n");
        let lost = "it pauses (3 more) (1 lines lost: nobody reads standard error)\n";
        check(format_args!("it pauses"), 3, 1, lost);
    }

    #[test]
    fn a_line_stays_one_line_and_is_cut_at_a_character() {
        check(format_args!("one\ntwo\r\n"), 0, 0, "one two  \n");
        let long = "é".repeat(stderr::LINE_BYTES_MAX);
        let head_bytes = "2026-11-22T18:53:42.123Z msec warn accept: ".len();
        let kept_count = (stderr::LINE_BYTES_MAX - head_bytes - " (7 more)\n".len()) / 2;
        check(format_args!("{long}"), 7, 0, &format!("{} (7 more)\n", "é".repeat(kept_count)));
    }

    #[test]
    fn a_sink_gets_every_line_of_every_level_unrationed() {
        static HEARD: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());
        set_sink(|level, kind, text| {
            if kind == "unrationed" {
                HEARD.lock().expect("nobody panics with it").push((level, text.to_owned()));
            }
        });
        for number in 0..2 * LINES_MAX {
            debug("unrationed", format_args!("{number}"));
        }
        error("unrationed", format_args!("last"));
        *SINK.write().expect("nobody panics with it") = None;
        let heard = std::mem::take(&mut *HEARD.lock().expect("nobody panics with it"));
        assert_eq!(heard.len(), 2 * LINES_MAX as usize + 1);
        assert_eq!(heard[3], (Level::Debug, "3".to_owned()));
        assert_eq!(heard.last(), Some(&(Level::Error, "last".to_owned())));
    }
}
