//! Load on a schedule: calls that leave when they are due, whatever became of those before them.
//!
//! Overload cannot be made by a client that waits for its answers. These calls are made from an
//! engine of their own, on many connections, and each is answered exactly once: with success, with
//! a code of the server, or by its own deadline.
//!
//! What they load is best a handler that [holds up its core](wait_on_core) by sleeping on its
//! thread: for the engine that is the same as to compute, and on a busy machine
//! it takes as long as on an idle one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};

use crate::{now, wait_a_tick, wait_until};

/// Blocks the thread, and with it its core, as a computation would.
#[expect(clippy::disallowed_methods, reason = "to hold up a core is what this is for")]
pub fn wait_on_core(time: Duration) {
    std::thread::sleep(time);
}

/// What became of the calls of one run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers by their code, 0 for success.
    pub codes: BTreeMap<i32, usize>,
    /// Texts of refusals.
    pub texts: BTreeMap<String, usize>,
    /// When each success came, since the run began.
    pub answered: Vec<Duration>,
    /// When each refusal by the server came, since the run began.
    pub refused: Vec<Duration>,
    /// How long a refused call waited for its refusal, at most.
    pub refusal_most: Duration,
    /// Calls that were made.
    pub made: usize,
}

impl Tally {
    /// Successes.
    pub fn good(&self) -> usize {
        self.count(Code::OK)
    }

    /// Calls that ended with this code.
    pub fn count(&self, code: Code) -> usize {
        self.codes.get(&code.0).copied().unwrap_or(0)
    }

    /// Successes a second, of those that came in this part of the run.
    pub fn goodput(&self, from: Duration, until: Duration) -> f64 {
        let count = self.answered.iter().filter(|at| (from..until).contains(*at)).count();
        count as f64 / (until - from).as_secs_f64()
    }

    /// Calls that have ended.
    fn ended(&mut self) -> usize {
        self.codes.values().sum()
    }
}

/// A kind of call, made at a rate.
#[derive(Clone, Debug)]
pub struct Load {
    /// The method.
    pub method: &'static str,
    /// Calls a second.
    pub rate: f64,
    /// What each call says.
    pub options: CallOptions,
}

/// Makes calls from an engine of its own.
pub struct Loader {
    _engine: Engine,
    client: Client,
    connections: u16,
    next: AtomicU16,
}

impl Loader {
    /// Towards an address, on `connections` connections.
    pub fn new(address: &str, connections: u16) -> Self {
        let engine = Engine::with(Config::from_env().unwrap().cores(1)).unwrap();
        let client = Client::new(&engine, address).unwrap();
        Self { _engine: engine, client, connections, next: AtomicU16::new(0) }
    }

    /// The options of the next call, with its connection.
    pub fn on_next_connection(&self, options: &CallOptions) -> CallOptions {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        options.clone().lane(next % self.connections)
    }

    /// The client that the calls are made with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes calls of each kind at its rate for `time`, and waits for all answers.
    #[track_caller]
    pub fn run(&self, loads: &[Load], time: Duration) -> Vec<Tally> {
        let tallies: Vec<Arc<Mutex<Tally>>> = loads.iter().map(|_| Arc::default()).collect();
        let begin = now();
        let mut made = vec![0usize; loads.len()];
        while begin.elapsed() < time {
            for ((load, tally), made) in loads.iter().zip(&tallies).zip(&mut made) {
                let due = (begin.elapsed().min(time).as_secs_f64() * load.rate) as usize;
                while *made < due {
                    *made += 1;
                    self.call(load, tally, begin);
                }
            }
            wait_a_tick();
        }
        let tallies = loads.iter().zip(tallies).zip(made).map(|((load, tally), made)| {
            wait_until(&format!("answers to all calls of {}", load.method), || {
                tally.lock().unwrap().ended() == made
            });
            Tally { made, ..tally.lock().unwrap().clone() }
        });
        tallies.collect()
    }

    fn call(&self, load: &Load, tally: &Arc<Mutex<Tally>>, begin: std::time::Instant) {
        let tally = tally.clone();
        let sent = now();
        let done = move |result: msec::Result<()>| {
            let mut tally = tally.lock().unwrap();
            let code = match &result {
                Ok(()) => Code::OK,
                Err(error) => error.code(),
            };
            *tally.codes.entry(code.0).or_default() += 1;
            match result {
                Ok(()) => tally.answered.push(begin.elapsed()),
                Err(error) if code != Code::TIMEOUT => {
                    *tally.texts.entry(error.message().to_owned()).or_default() += 1;
                    tally.refused.push(begin.elapsed());
                    tally.refusal_most = tally.refusal_most.max(sent.elapsed());
                }
                Err(_) => {}
            }
        };
        let options = self.on_next_connection(&load.options);
        self.client.call_back::<(), ()>(load.method, &(), &options, done);
    }
}
