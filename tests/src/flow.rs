//! A flow of calls: they leave at a rate, whatever became of those before them, and what became of
//! each is noted.
//!
//! Callers that wait for their answers are slowed down by whom they call, which hides what a fault
//! costs; these are not. Where the machine gives the flow no time, it does not catch up: a burst of
//! calls that are late would be another load than the one that was meant.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use msec::{CallOptions, Client};

use crate::{now, wait_a_tick, wait_until};

/// Most calls that leave at a time.
const BURST: usize = 20;

/// One call that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When it was made.
    pub made: Instant,
    /// How long it took.
    pub took: Duration,
    /// What was answered, as text, or the error.
    pub outcome: Result<String, String>,
}

#[derive(Default)]
struct Notes {
    made_count: usize,
    in_flight_most: usize,
    ended: Vec<Ended>,
    by_answer: HashMap<String, usize>,
}

/// Calls of a method that answers with a text, at a rate, until dropped.
pub struct Flow {
    notes: Arc<Mutex<Notes>>,
    go_on: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Begins to make so many calls a second, from a thread of its own.
    pub fn start(client: &Client, method: &'static str, rate: f64, options: &CallOptions) -> Self {
        let (notes, go_on) = (Arc::<Mutex<Notes>>::default(), Arc::new(AtomicBool::new(true)));
        let (client, options) = (client.clone(), options.clone());
        let (their_notes, their_go_on) = (notes.clone(), go_on.clone());
        let thread = std::thread::spawn(move || {
            let (mut last, mut due) = (now(), 0.0);
            while their_go_on.load(Ordering::Acquire) {
                let since = std::mem::replace(&mut last, now());
                due = (due + (last - since).as_secs_f64() * rate).min(BURST as f64);
                while due >= 1.0 {
                    due -= 1.0;
                    call(&client, method, &options, &their_notes);
                }
                wait_a_tick();
            }
        });
        Self { notes, go_on, thread: Some(thread) }
    }

    /// Calls that were made.
    pub fn made_count(&self) -> usize {
        self.notes.lock().unwrap().made_count
    }

    /// How many were answered with that text.
    pub fn answered_count(&self, answer: &str) -> usize {
        self.notes.lock().unwrap().by_answer.get(answer).copied().unwrap_or(0)
    }

    /// All that have ended.
    pub fn ended(&self) -> Vec<Ended> {
        self.notes.lock().unwrap().ended.clone()
    }

    /// Why calls failed.
    pub fn failures(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        notes.ended.iter().filter_map(|ended| ended.outcome.clone().err()).collect()
    }

    /// Most calls in flight at a time while `act` acts.
    pub fn in_flight_most(&self, act: impl FnOnce()) -> usize {
        {
            let mut notes = self.notes.lock().unwrap();
            notes.in_flight_most = notes.made_count - notes.ended.len();
        }
        act();
        self.notes.lock().unwrap().in_flight_most
    }

    /// The time within which 99 % of those calls were answered that were made in a time, and
    /// answered with another text than that.
    pub fn p99_of_others(&self, from: Instant, until: Instant, answer: &str) -> Duration {
        let notes = self.notes.lock().unwrap();
        let made = notes.ended.iter().filter(|ended| (from..until).contains(&ended.made));
        let others = made.filter(|ended| ended.outcome.as_ref().is_ok_and(|text| text != answer));
        let mut took: Vec<_> = others.map(|ended| ended.took).collect();
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }

    /// Waits until so many more calls were made and those before them have ended.
    #[track_caller]
    pub fn wait_for_more(&self, count: usize) {
        let least = self.made_count() + count;
        wait_until(&format!("the end of {least} calls"), || {
            self.notes.lock().unwrap().ended.len() >= least
        });
    }

    /// The part of the last calls, so many, that were answered with that text.
    pub fn part_of_last(&self, count: usize, answer: &str) -> f64 {
        let notes = self.notes.lock().unwrap();
        let last = notes.ended.iter().rev().take(count);
        let answered = |ended: &&Ended| ended.outcome.as_deref() == Ok(answer);
        last.filter(answered).count() as f64 / count as f64
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.go_on.store(false, Ordering::Release);
        // It has panicked only where the test fails anyway.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn call(client: &Client, method: &str, options: &CallOptions, notes: &Arc<Mutex<Notes>>) {
    let made = now();
    {
        let mut notes = notes.lock().unwrap();
        notes.made_count += 1;
        let in_flight = notes.made_count - notes.ended.len();
        notes.in_flight_most = notes.in_flight_most.max(in_flight);
    }
    let notes = notes.clone();
    let done = move |result: msec::Result<String>| {
        let outcome = result.map_err(|error| error.to_string());
        let mut notes = notes.lock().unwrap();
        if let Ok(answer) = &outcome {
            *notes.by_answer.entry(answer.clone()).or_default() += 1;
        }
        notes.ended.push(Ended { made, took: now() - made, outcome });
    };
    client.call_back(method, &(), options, done);
}
