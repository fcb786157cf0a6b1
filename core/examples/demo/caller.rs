//! Somebody who calls all the time, while things happen to the callee.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};

/// The pause between two calls.
const REST: Duration = Duration::from_millis(2);
/// How long a call may take that is not lost. On two CPUs with twenty threads that compute, a
/// worker that has little to do was seen to wait a second until it was given one.
const PATIENCE: Duration = Duration::from_secs(20);

/// A thread that calls all the time.
pub(crate) struct Caller {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    /// Ends with why the first one failed.
    thread: JoinHandle<Option<msec::Error>>,
}

impl Caller {
    /// Calls a method at an address with each of these messages in turn.
    pub(crate) fn start(
        address: &str,
        method: &'static str,
        messages: &[&[u8]],
    ) -> Result<Caller, String> {
        let messages: Vec<Vec<u8>> = messages.iter().map(|message| message.to_vec()).collect();
        let config = Config::from_env().map_err(|error| error.to_string())?;
        let engine = Engine::with(config.cores(1)).map_err(|error| error.to_string())?;
        let client = Client::new(&engine, address).map_err(|error| error.to_string())?;
        let stop = Arc::<AtomicBool>::default();
        let (answered, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stops, answers, fails) = (stop.clone(), answered.clone(), failed.clone());
        let thread = std::thread::spawn(move || {
            let _engine = engine;
            // A channel that nobody sends on is a sleep that needs no clock of its own.
            let (_tell, told) = mpsc::channel::<()>();
            let options = CallOptions::new().timeout(PATIENCE);
            let mut first = None;
            for message in messages.iter().cycle() {
                if stops.load(Ordering::Acquire) {
                    break;
                }
                let outcome = client.call_raw(method, message, &options);
                let counted = if outcome.is_ok() { &answers } else { &fails };
                counted.fetch_add(1, Ordering::Release);
                first = first.or(outcome.err());
                let _ = told.recv_timeout(REST);
            }
            first
        });
        Ok(Caller { stop, answered, failed, thread })
    }

    /// Calls answered and failed, and why the first one failed.
    pub(crate) fn end(self) -> (u64, u64, String) {
        self.stop.store(true, Ordering::Release);
        // It does not panic.
        let first = self.thread.join().ok().flatten();
        let why = first.map_or_else(String::new, |error| format!("; {error}"));
        (self.answered.load(Ordering::Acquire), self.failed.load(Ordering::Acquire), why)
    }
}
