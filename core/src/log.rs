//! What the engine itself has to say: few lines, for the operator.
//!
//! A line goes to standard error, with the wall-clock time, or to the sink that a program sets.
//! Lines of one kind are rationed, so that a storm of one trouble cannot fill a disk or hide
//! another: the first ten of a kind in ten seconds are written, the rest counted, and the count is
//! told with the next line of that kind.
//!
//! This is no business log; handlers log as they like.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, OnceLock, RwLock};

use msec_sys::clock;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Detail for whoever looks for it.
    Debug,
    /// Something an operator may want to act on: refused io_uring, paused accepting, a bad peer.
    Warn,
    /// A bug: a panic, a stalled core.
    Error,
}

/// Lines of a kind within [`PERIOD_NS`].
const LINES_MAX: u32 = 10;
const PERIOD_NS: u64 = 10_000_000_000;

type Sink = Box<dyn Fn(Level, &'static str, &str) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static RATIONS: Mutex<Option<HashMap<&'static str, Ration>>> = Mutex::new(None);

struct Ration {
    since_ns: u64,
    written: u32,
    dropped: u64,
}

/// Has every line handed to `sink` instead of standard error; it must not block for long.
pub fn set_sink(sink: impl Fn(Level, &'static str, &str) + Send + Sync + 'static) {
    *SINK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Box::new(sink));
}

/// The least level that is written: `MSEC_LOG=debug|warn|error`, by default `warn`.
fn threshold() -> Level {
    static THRESHOLD: OnceLock<Level> = OnceLock::new();
    *THRESHOLD.get_or_init(|| match std::env::var("MSEC_LOG").as_deref() {
        Ok("debug") => Level::Debug,
        Ok("error") => Level::Error,
        _ => Level::Warn,
    })
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
    let sink = SINK.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    if sink.is_none() && level < threshold() {
        return;
    }
    let Some(dropped) = ration(kind) else { return };
    let text = match dropped {
        0 => text.to_string(),
        _ => format!("{text} ({dropped} like this were not written)"),
    };
    match sink.as_ref() {
        Some(sink) => sink(level, kind, &text),
        None => {
            let line = format!("{} msec {level:?} {kind}: {text}\n", wall_time());
            // Standard error may be closed; then there is nobody to tell.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

/// `None`: this line is not written. Otherwise how many of its kind were not, before it.
fn ration(kind: &'static str) -> Option<u64> {
    let mut rations = RATIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let now_ns = clock::now_ns();
    let ration = rations
        .get_or_insert_default()
        .entry(kind)
        .or_insert(Ration { since_ns: now_ns, written: 0, dropped: 0 });
    if now_ns - ration.since_ns > PERIOD_NS {
        (ration.since_ns, ration.written) = (now_ns, 0);
    }
    if ration.written == LINES_MAX {
        ration.dropped += 1;
        return None;
    }
    ration.written += 1;
    Some(std::mem::take(&mut ration.dropped))
}

/// Hours, minutes, seconds and milliseconds of the day, UTC.
fn wall_time() -> String {
    let ms = clock::wall_ns() / 1_000_000 % 86_400_000;
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    format!("{hour:02}:{minute:02}:{:02}.{:03}Z", ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_one_kind_is_cut_and_counted_and_hides_no_other() {
        for _ in 0..LINES_MAX {
            assert_eq!(ration("storm"), Some(0));
        }
        assert_eq!((ration("storm"), ration("storm")), (None, None));
        assert_eq!(ration("calm"), Some(0));
        RATIONS.lock().unwrap().as_mut().unwrap().get_mut("storm").unwrap().since_ns = 0;
        assert_eq!(ration("storm"), Some(2));
        assert_eq!(ration("storm"), Some(0));
    }
}
