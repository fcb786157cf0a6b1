//! Opt-in manners of a whole process: stop on a signal, and say what crashed.
//!
//! The engine itself installs no signal handler and never exits: a library that did would surprise
//! its host (a JVM above all). A program that is nothing but a service asks for it here.

use std::time::Duration;

use msec_sys::process::TerminationSignals;

use crate::error::{Error, Result};
use crate::server::Server;

/// Serves until SIGTERM or SIGINT, then drains and stops; see [`Server::stop`].
///
/// Call it on the main thread, with [`block_signals`] called before the engine was started. A
/// second signal ends the process at once.
///
/// # Errors
/// -2 when the signals cannot be watched.
pub fn serve_until_signal(signals: Signals, server: &Server, grace: Duration) -> Result<()> {
    let signal = signals.0.wait();
    crate::log::warn("stop", format_args!("{signal:?}: draining for up to {grace:?}"));
    drop(signals);
    server.stop(grace);
    Ok(())
}

/// The termination signals, blocked for this process's threads.
pub struct Signals(TerminationSignals);

impl Signals {
    /// Waits until one of the two comes, but not longer than `time`; whether one has come. Blocks
    /// the thread.
    pub fn wait_at_most(&self, time: Duration) -> bool {
        self.0.wait_at_most(time).is_some()
    }
}

/// Blocks SIGTERM and SIGINT, so that [`serve_until_signal`] can wait for them. To be called before
/// any thread is started: threads inherit it.
pub fn block_signals() -> Result<Signals> {
    let blocked = TerminationSignals::block();
    blocked.map(Signals).map_err(|error| Error::from_io("block SIGTERM and SIGINT", &error))
}

/// Has a crash (a stack overflow, a bad access in foreign code, an abort) write one line that says
/// what happened in which method, before the process dies of it as usual; and a core that stalls,
/// its stack. Once a process, before the engine is started.
///
/// It takes the signals of crashes and `SIGRTMIN + 5`, which interrupts what a stalled handler is
/// blocked in, as any signal does.
pub fn name_crashes() -> Result<()> {
    msec_sys::process::name_crashes().map_err(|error| Error::from_io("watch for crashes", &error))
}
