//! The log: what the business has to say, a record a line, with the request that it is about.
//!
//! ```
//! let (order, pieces) = (77, 3);
//! msec::info!("order {order} placed"; pieces = pieces, warehouse = "north");
//! ```
//!
//! ```text
//! 2026-11-22T18:53:42.123456Z INFO order 77 placed pieces=3 warehouse=north
//!     RPCName=shop.Shop.Order Caller=Demo.web ClientIP=10.0.0.7 ServiceName=Demo.shop ReqID=81985…
//! ```
//!
//! Within a request a record has its request's fields by itself ([`option()`] adds more of them),
//! so that one search for a `ReqID` shows a request's whole way through all services.
//!
//! Logging never waits. A record is made where it is logged, and put into a queue of its core; one
//! thread of the process takes the queues and writes files, or standard error:
//!
//! ```text
//!   core 0 ──► queue ─┐
//!   core 1 ──► queue ─┼─► the writer ─► <service>.log, .1, .2, …    (or standard error)
//!   others ──► queue ─┘
//! ```
//!
//! A queue is bounded, and what has no room is dropped and counted; so is what a full or broken
//! disk does not take. The counts are in the log itself as soon as it can be written again, and
//! among the metrics.
//!
//! A record below the least level costs a comparison. The records of a dyed request are kept
//! whatever their level.
//!
//! What the engine itself has to say ([`set_sink`]) goes its own way, so that it is out before a
//! process can die: see `log/own.rs`.

pub(crate) mod files;
mod own;
pub(crate) mod request;
pub(crate) mod writer;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use msec_protocol::log::{About, Draft};
use msec_sys::clock;

pub use msec_protocol::log::{Level, utc_ms};
pub use own::set_sink;
pub(crate) use own::{debug, error, lost as own_lost, warn};
pub use request::option;

/// Records below it are not kept.
static LEAST: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// A dyed request has come to this process; before, nobody need be asked whether his is.
static DYED: AtomicBool = AtomicBool::new(false);

/// Keeps records from this level on, of the whole process, from now on.
pub fn set_level(least: Level) {
    LEAST.store(least as u8, Ordering::Relaxed);
}

/// A dyed request is about to run.
#[inline]
pub(crate) fn expect_dye() {
    DYED.store(true, Ordering::Relaxed);
}

/// Whether records of that level are kept of every request.
#[inline]
fn is_kept(level: Level) -> bool {
    level as u8 >= LEAST.load(Ordering::Relaxed)
}

/// Whether a record of that level would be kept here: by its level, or because the request that
/// this code works for is dyed. For what is costly to find out only to log it.
///
/// From any thread; never suspends.
#[inline]
pub fn is_on(level: Level) -> bool {
    is_kept(level) || (DYED.load(Ordering::Relaxed) && request::is_dyed())
}

/// Logs a record, whatever its level; the macros ask [`is_on`] before. `source` is the place in the
/// program.
///
/// From any thread; never suspends, and never blocks.
pub fn write(level: Level, source: &str, text: fmt::Arguments<'_>, fields: &[Field<'_>]) {
    let request = request::here();
    let (flow_id, span_id, dyed) = (request.flow_id, request.span_id, request.dyed);
    let about = About { wall_ns: clock::wall_ns(), flow_id, span_id, dyed, source };
    let mut draft = Draft::new(level, &about, text);
    for (key, value) in fields {
        draft.field(key, format_args!("{value}"));
    }
    request::add_fields(&mut draft);
    writer::submit(draft.finish());
}

/// A key and a value of a record.
pub type Field<'a> = (&'a str, &'a dyn fmt::Display);

/// Waits until what was logged before is written, or lost and counted, but not longer than
/// `patience`; whether it is. For the end of a program; blocks the thread.
pub fn flush(patience: Duration) -> bool {
    writer::flush(patience)
}

/// Logs at a level: a text as [`format!`] takes it, then a semicolon and fields as `key = value`.
///
/// ```
/// let city = "Köln";
/// msec::log_at!(msec::log::Level::Warn, "no stock in {city}"; pieces = 0);
/// ```
#[macro_export]
macro_rules! log_at {
    ($level:expr, $text:literal $(, $argument:expr)* $(,)?
        $(; $($key:ident = $value:expr),* $(,)?)?) => {
        if $crate::log::is_on($level) {
            $crate::log::write(
                $level,
                ::core::concat!(::core::file!(), ":", ::core::line!()),
                ::core::format_args!($text $(, $argument)*),
                &[$($((::core::stringify!($key), &$value as &dyn ::core::fmt::Display)),*)?],
            )
        }
    };
}

/// Logs each step, for whoever hunts one error. See [`log_at!`].
#[macro_export]
macro_rules! trace {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Trace, $($record)+) };
}

/// Logs a detail for whoever looks for it. See [`log_at!`].
#[macro_export]
macro_rules! debug {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Debug, $($record)+) };
}

/// Logs what happens in the ordinary course. See [`log_at!`].
#[macro_export]
macro_rules! info {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Info, $($record)+) };
}

/// Logs something that an operator may want to act on. See [`log_at!`].
#[macro_export]
macro_rules! warn {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Warn, $($record)+) };
}

/// Logs that something failed that should not. See [`log_at!`].
#[macro_export]
macro_rules! error {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Error, $($record)+) };
}

/// Logs that the process cannot go on as it should. It goes on: ending it is the program's to do.
/// See [`log_at!`].
#[macro_export]
macro_rules! fatal {
    ($($record:tt)+) => { $crate::log_at!($crate::log::Level::Fatal, $($record)+) };
}
