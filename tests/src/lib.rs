//! What the end-to-end tests share: a stage with a running server, a peer that speaks the protocol
//! byte by byte, bounded waits, the engine's log lines, and child processes.
//!
//! ```text
//!   Stage  = Engine + Server, in this process       Peer = a raw socket + msec-protocol
//!   (one back end, an echo method)          ◄────►  (sends what no sane client would)
//! ```
//!
//! The peer does not use the engine: what it sends and sees are the bytes of the wire, so an error
//! that client and server of the engine had in common would not hide here.
//!
//! Nothing here waits for a time to pass. [`wait_until`] asks for a state again and again, and
//! fails with what it waited for when [`PATIENCE`] is over.

#![allow(clippy::unwrap_used)]

pub mod acceptor;
pub mod browser;
pub mod certificates;
pub mod child;
pub mod emulated;
pub mod fleet;
pub mod flow;
pub mod gate;
pub mod hosted;
pub mod http;
pub mod instances;
pub mod java;
pub mod libmsec;
pub mod load;
pub mod mariadb;
pub mod memory;
pub mod namespace;
pub mod original;
pub mod peer;
pub mod ports;
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod stage;

use std::sync::{Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

pub use acceptor::Acceptor;
pub use certificates::{Authority, Wanted};
pub use child::Child;
pub use emulated::{Emulated, Seen, Wire};
pub use fleet::Fleet;
pub use flow::Flow;
pub use gate::Gate;
pub use http::{HttpAnswer, HttpPeer, MIRROR, curl};
pub use load::{Load, Tally, wait_on_core};
pub use mariadb::Mariadb;
pub use memory::Memory;
pub use msec::log::Level;
pub use namespace::Namespace;
pub use peer::{Answer, End, Peer, UdpPeer};
pub use ports::{free_address, free_port};
pub use proxy::Proxy;
pub use redis::Redis;
pub use stage::{Bystander, ECHO, Stage, config};

/// How long a state may take to come about. Far more than any does, on a machine that is busy
/// with other things as well.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Has the processors, as far as others of this program ask for them, too: for tests of a time that
/// is to be kept, or of figures under load.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How often a story of figures is told until it holds.
const TRIES: usize = 3;

/// Tells a story of figures, such as a share or a rate, [alone]. Others on this machine may
/// spoil a figure, so a story that fails is told again, at most three times: what the engine does
/// wrong, it does each time.
pub fn measured(story: impl Fn()) {
    let _alone = alone();
    for _ in 1..TRIES {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&story));
        if told.is_ok() {
            return;
        }
        eprintln!("-- and once more, as others use this machine, too");
    }
    story();
}

/// How long [`wait_until`] rests before it asks again.
const REST: Duration = Duration::from_millis(1);

/// Makes of one story two tests, one on each back end.
///
/// ```
/// msec_tests::on_both! {
///     fn a_fact_holds(io: msec::Io) {
///         assert!(matches!(io, msec::Io::Uring | msec::Io::Epoll));
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_both {
    ($($(#[$note:meta])* fn $name:ident($io:ident: $kind:ty) $story:block)*) => {$(
        $(#[$note])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn story($io: $kind) $story

            #[test]
            fn uring() {
                story(::msec::Io::Uring);
            }

            #[test]
            fn epoll() {
                story(::msec::Io::Epoll);
            }
        }
    )*};
}

/// The monotonic time, for bounds and for measuring.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are no part of the engine: they read time here"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until `holds`, asking again and again. Panics with `what` when patience is over.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, holds);
}

/// As [`wait_until`], with another patience.
#[track_caller]
pub fn wait_at_most(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = now() + patience;
    while !holds() {
        assert!(now() < end, "waited in vain for: {what}");
        wait_a_little();
    }
}

#[expect(clippy::disallowed_methods, reason = "the rest between two looks at a state")]
fn wait_a_little() {
    std::thread::sleep(REST);
}

/// The distance of two looks of a generator of load at what is due.
#[expect(clippy::disallowed_methods, reason = "load is made by time, and asserts nothing by it")]
fn wait_a_tick() {
    std::thread::sleep(Duration::from_micros(500));
}

/// A line that the engine has logged.
#[derive(Clone, Debug)]
pub struct Line {
    /// How bad it is.
    pub level: Level,
    /// The kind of trouble.
    pub kind: &'static str,
    /// What happened.
    pub text: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Collects the engine's log lines of this process from now on; [`Stage`] does it by itself.
///
/// They come unrationed and at every level.
pub fn collect_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        msec::log::set_sink(|level, kind, text| {
            LINES.lock().unwrap().push(Line { level, kind, text: text.into() });
        });
    });
}

/// The collected lines of a kind that contain `part`.
pub fn lines(kind: &str, part: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.kind == kind && line.text.contains(part)).cloned().collect()
}

/// How many lines there are by now.
pub fn lines_count() -> usize {
    LINES.lock().unwrap().len()
}

/// As [`lines`], without the first `count` of all.
pub fn lines_after(count: usize, kind: &str, part: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap();
    let is_one = |line: &&Line| line.kind == kind && line.text.contains(part);
    lines.iter().skip(count).filter(is_one).cloned().collect()
}

/// Waits for a line of that kind that contains `part`, and returns the first.
#[track_caller]
pub fn wait_for_line(kind: &str, part: &str) -> Line {
    wait_until(&format!("a line of `{kind}` with `{part}`"), || !lines(kind, part).is_empty());
    lines(kind, part).remove(0)
}

/// As [`wait_for_line`], without the first `count` of all lines: those may be of a connection that
/// had the same port.
#[track_caller]
pub fn wait_for_line_after(count: usize, kind: &str, part: &str) -> Line {
    let found = || lines_after(count, kind, part);
    wait_until(&format!("a new line of `{kind}` with `{part}`"), || !found().is_empty());
    found().remove(0)
}

/// Keeps the panics with this text, which are meant to be, off the screen.
pub fn quiet_panics(text: &'static str) {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(text) {
            others(info);
        }
    }));
}
