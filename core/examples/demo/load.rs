//! The load of the demo: callers that call the relay, each again as soon as it is answered.
//!
//! A caller is a coroutine with a loop of plain blocking code. All of them live on one core thread
//! and share what they have seen with the main thread, which looks once a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use msec::prost::bytes::Bytes;
use msec::{Client, Config, Engine, Error, Histogram, clock};

use crate::echo::{EchoRequest, EchoServiceClient};

/// Calls that are in flight at a time.
pub(crate) const CALLERS_COUNT: usize = 32;
/// Connections that they share.
const CONNECTIONS_COUNT: usize = 4;
/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;

/// What the callers have seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) begun: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// From the call to its answer, of all that were answered.
    pub(crate) latency_ns: Histogram,
    /// The same, of those since the last look.
    pub(crate) recent_ns: Histogram,
    pub(crate) first_failure: Option<String>,
}

impl Seen {
    pub(crate) fn in_flight(&self) -> u64 {
        self.begun - self.answered - self.failed
    }
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    seen: Mutex<Seen>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), Error>>,
    backend: &'static str,
}

impl Load {
    /// Starts to call.
    pub(crate) fn start(to: &str) -> Result<Self, Error> {
        let config = Config::from_env()?.cores(1).connections_per_peer(CONNECTIONS_COUNT);
        let engine = Engine::with(config)?;
        let backend = engine.io_backend();
        let client = EchoServiceClient::new(Client::new(&engine, to)?);
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || {
            let callers = move || {
                msec::scope(|scope| {
                    for number in 0..CALLERS_COUNT {
                        let (client, shared) = (client.clone(), theirs.clone());
                        scope.spawn(move || call_until_the_end(number, &client, &shared));
                    }
                })
            };
            engine.run(callers)?
            // Here the engine ends, and its connections with it.
        });
        Ok(Self { shared, thread, backend })
    }

    /// How the load's engine does its I/O.
    pub(crate) fn backend(&self) -> &'static str {
        self.backend
    }

    /// What has been seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }

    /// Begins no more calls, waits for the answers of those in flight, and leaves the connections.
    pub(crate) fn end(self) -> Result<Seen, Error> {
        self.shared.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(Error::failed("the thread of the load panicked")))?;
        Ok(std::mem::take(&mut *self.shared.seen()))
    }
}

fn call_until_the_end(number: usize, client: &EchoServiceClient, shared: &Shared) {
    let mut round = 0u64;
    while !shared.ends.load(Ordering::Relaxed) {
        // No two messages are equal, so that an answer to another's question would be noticed.
        let mut message = vec![number as u8; MESSAGE_BYTES];
        message[..8].copy_from_slice(&round.to_le_bytes());
        round += 1;
        let request = EchoRequest { message: Bytes::from(message) };
        shared.seen().begun += 1;
        let begun_ns = clock::now_ns();
        let result = client.echo(&request).and_then(|response| {
            let same = response.message == request.message;
            if same { Ok(()) } else { Err(Error::failed("the echo is not what was sent")) }
        });
        let latency_ns = clock::now_ns() - begun_ns;
        let mut seen = shared.seen();
        match result {
            Ok(()) => {
                seen.answered += 1;
                seen.latency_ns.record(latency_ns);
                seen.recent_ns.record(latency_ns);
            }
            Err(error) => {
                seen.failed += 1;
                seen.first_failure.get_or_insert_with(|| error.to_string());
                // One is too many already, and a relay that is gone would fail them in a busy loop.
                return;
            }
        }
    }
}
