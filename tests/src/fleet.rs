//! Callers in a loop, who note how each of their calls ended.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use msec::{CallOptions, Client, Engine};

use crate::now;

/// How one call ended.
#[derive(Clone, Debug)]
pub struct Call {
    /// How long it took.
    pub took: Duration,
    /// What was answered, as text, or the error.
    pub outcome: Result<String, msec::Error>,
}

/// Calls that are kept: the last ones, and the first that failed.
const KEPT_COUNT_MAX: usize = 1000;

/// What the calls came to. Bounded: a loop of calls that fail at once would fill any memory.
#[derive(Default)]
struct Notes {
    count: usize,
    failed_count: usize,
    failures: Vec<String>,
    by_answer: HashMap<String, usize>,
    last: VecDeque<Call>,
}

impl Notes {
    fn note(&mut self, call: Call) {
        self.count += 1;
        match &call.outcome {
            Ok(answer) => *self.by_answer.entry(answer.clone()).or_default() += 1,
            Err(error) => {
                self.failed_count += 1;
                if self.failures.len() < KEPT_COUNT_MAX {
                    self.failures.push(error.to_string());
                }
            }
        }
        if self.last.len() == KEPT_COUNT_MAX {
            self.last.pop_front();
        }
        self.last.push_back(call);
    }
}

/// Callers that call one after the other until they are told to stop: half of them are plain
/// threads, whose calls are spread over the cores, and half are coroutines of the first core.
pub struct Fleet {
    notes: Arc<Mutex<Notes>>,
    go_on: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// So many callers of a method, an even number.
    pub fn start(engine: &Engine, client: &Client, method: &'static str, count: usize) -> Self {
        Self::with(engine, client, method, count, CallOptions::new())
    }

    /// As [`Fleet::start`], with options for each call.
    pub fn with(
        engine: &Engine,
        client: &Client,
        method: &'static str,
        count: usize,
        options: CallOptions,
    ) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let go_on = Arc::new(AtomicBool::new(true));
        let caller = || {
            let (client, notes, go_on) = (client.clone(), notes.clone(), go_on.clone());
            let options = options.clone();
            move || {
                while go_on.load(Ordering::Acquire) {
                    let began = now();
                    let outcome = client.call_raw(method, b"who", &options);
                    let text = |reply: msec::Reply| String::from_utf8_lossy(&reply.body).into();
                    let call = Call { took: now() - began, outcome: outcome.map(text) };
                    notes.lock().unwrap().note(call);
                }
            }
        };
        let mut threads: Vec<_> = (0..count / 2).map(|_| std::thread::spawn(caller())).collect();
        let (engine, callers) = (engine.clone(), (0..count / 2).map(|_| caller()));
        let callers: Vec<_> = callers.collect();
        threads.push(std::thread::spawn(move || {
            let run = move || {
                let tasks: Vec<_> = callers.into_iter().map(msec::spawn).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            };
            engine.run(run).unwrap();
        }));
        Self { notes, go_on, threads }
    }

    /// How many calls have ended.
    pub fn count(&self) -> usize {
        self.notes.lock().unwrap().count
    }

    /// How many calls have failed.
    pub fn failed_count(&self) -> usize {
        self.notes.lock().unwrap().failed_count
    }

    /// Why calls failed: the first thousand.
    pub fn failures(&self) -> Vec<String> {
        self.notes.lock().unwrap().failures.clone()
    }

    /// How many calls were answered with that text.
    pub fn answered_count(&self, answer: &str) -> usize {
        self.notes.lock().unwrap().by_answer.get(answer).copied().unwrap_or(0)
    }

    /// Waits until so many more calls have ended.
    #[track_caller]
    pub fn wait_for_more(&self, count: usize) {
        let least = self.count() + count;
        crate::wait_until(&format!("{least} calls"), || self.count() >= least);
    }

    /// The last calls, so many or a thousand.
    pub fn last(&self, count: usize) -> Vec<Call> {
        let notes = self.notes.lock().unwrap();
        notes.last.iter().rev().take(count).cloned().collect()
    }

    /// The part of the last calls, so many or a thousand, that were answered with that text.
    pub fn part_of_last(&self, count: usize, answer: &str) -> f64 {
        let last = self.last(count);
        let answered = |call: &&Call| call.outcome.as_ref().is_ok_and(|text| text == answer);
        last.iter().filter(answered).count() as f64 / last.len().max(1) as f64
    }

    /// Stops the callers.
    pub fn stop(self) {
        self.go_on.store(false, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
