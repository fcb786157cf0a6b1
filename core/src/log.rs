//! What the engine itself has to say: few lines, for the operator.
//!
//! Which back end does the I/O, a core that stalls, a handler that panicked, accepting that pauses:
//! that is all. It is no business log; handlers log as they like.
//!
//! ```text
//! 2026-11-22T18:53:42.123Z msec warn accept: accepting pauses: no file descriptor left (31 more)
//! ```
//!
//! A line goes to standard error, or to the sink that a program sets. Lines come from core threads,
//! which must not stop for whoever reads them, so that nothing here waits:
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
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use msec_sys::{clock, stderr};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Detail for whoever looks for it.
    Debug = 0,
    /// Something an operator may want to act on: refused io_uring, paused accepting, a bad peer.
    Warn = 1,
    /// A bug: a panic, a stalled core.
    Error = 2,
}

impl Level {
    /// The names, as the environment spells them.
    pub(crate) const ALL: [(&'static str, Level); 3] =
        [("debug", Level::Debug), ("warn", Level::Warn), ("error", Level::Error)];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// Lines of a kind that are written within [`PERIOD_NS`].
const LINES_MAX: u32 = 10;
const PERIOD_NS: u64 = 10_000_000_000;

type Sink = Arc<dyn Fn(Level, &'static str, &str) + Send + Sync>;

static LEAST: AtomicU8 = AtomicU8::new(Level::Warn as u8);
static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static RATIONS: Mutex<Option<Rations>> = Mutex::new(None);
/// Lines that standard error did not take, since the last one that it took.
static LOST_COUNT: AtomicU64 = AtomicU64::new(0);

/// Hands every line to `sink` instead of standard error, for the rest of the process or until the
/// next sink is set.
///
/// The sink gets all lines, of every level and unrationed: level, kind, text. It is called on the
/// thread that has something to say, often a core thread, and must not block. It may set another
/// sink.
pub fn set_sink(sink: impl Fn(Level, &'static str, &str) + Send + Sync + 'static) {
    *SINK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Arc::new(sink));
}

/// The least level that is written to standard error; of the whole process, like that is.
pub(crate) fn set_level(least: Level) {
    LEAST.store(least as u8, Ordering::Relaxed);
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
    // Cloned, so that the sink runs without the lock and may come back here.
    let sink = SINK.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    if let Some(sink) = sink {
        return sink(level, kind, &text.to_string());
    }
    if (level as u8) < LEAST.load(Ordering::Relaxed) {
        return;
    }
    let mut rations = RATIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let ration = rations.get_or_insert_default().draw(kind, clock::now_ns());
    drop(rations);
    let Some(withheld_count) = ration else { return };
    let lost_count = LOST_COUNT.swap(0, Ordering::Relaxed);
    let line = Line { level, kind, text, withheld_count, lost_count, wall_ns: clock::wall_ns() };
    if !stderr::write_line(&line.into_bytes()) {
        LOST_COUNT.fetch_add(lost_count + 1, Ordering::Relaxed);
    }
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
        let mut line = format!("{} msec {} {kind}: {text}", utc(wall_ns), level.name());
        line = line.replace(['\n', '\r'], " ");
        line.truncate(line.floor_char_boundary(stderr::LINE_BYTES_MAX - tail.len()));
        line.push_str(&tail);
        line.into_bytes()
    }
}

/// A time of day since 1970 as RFC 3339 writes it, in UTC, to the millisecond.
fn utc(wall_ns: u64) -> String {
    let (ms, s) = (wall_ns / 1_000_000 % 1000, wall_ns / 1_000_000_000);
    let (days, second) = (s / 86_400, s % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: years start
    // in March, so that the leap day is the last one, and come in eras of 400.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
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
    fn dates_are_those_of_the_calendar() {
        let check = |s: u64, expect: &str| assert_eq!(utc(s * SECOND_NS), expect);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399, "2000-02-28T23:59:59.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(951_868_800, "2000-03-01T00:00:00.000Z");
        check(1_704_067_199, "2023-12-31T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
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
