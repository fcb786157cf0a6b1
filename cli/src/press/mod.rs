//! `msec press`: load on a method, and what it does to the answers.
//!
//! ```text
//!   main thread: signals, progress, window ──────────────┐ reads once a second
//!        │                                               ▼
//!        │      ┌─ engine of one core: C/n connections × D calls in flight ─► Shared { tally }
//!   pace.rs ──► ├─ engine of one core: …                 (load.rs)
//!   due times   └─ …
//! ```
//!
//! Each core is an engine of its own, so that the connections in total are as many as asked for,
//! neither more nor less: a connection is a lane (`CallOptions::lane`) of one of the engines.
//!
//! Every time of a call is a reading of one monotonic clock. In an open loop the time at which a
//! call is due depends on nothing but the rate; it is never moved by an answer that is late.
//! Latency counts from there, so a server that pauses is charged with all the calls that fell due
//! meanwhile: "coordinated omission" (Gil Tene) cannot happen. In a closed loop it can, by its
//! nature: whoever waits for an answer makes no calls.

mod course;
mod load;
mod options;
mod pace;
mod page;
mod plot;
mod progress;
mod report;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use msec::process::{self, Signals};
use msec::{Client, Code, Config, Engine, Side, clock, cpu};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::request;
use course::{Course, Step};
use load::Load;
use options::{Mode, Options};
use pace::Feed;
use progress::Progress;
use report::Report;
pub(crate) use report::{count, time};
use tally::Shared;

/// How often the main thread looks at the clock and at the workers.
const LOOK: Duration = Duration::from_millis(20);

/// When calls are counted, as all threads see it.
pub(crate) struct Window {
    /// Calls due from here on are counted.
    pub(crate) begins_ns: u64,
    /// Calls due from here on are not made. Ctrl-C brings it nearer.
    ends_ns: AtomicU64,
    /// What is due but not sent is not sent any more.
    given_up: AtomicBool,
}

impl Window {
    pub(crate) fn ends_ns(&self) -> u64 {
        self.ends_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

/// One core's part of the load.
struct Worker {
    engine: Engine,
    client: Client,
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    /// Connections of this core.
    lanes_count: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // Before any thread is started: threads inherit what is blocked.
    let signals = process::block_signals()?;
    let options = Arc::new(Options::of(arguments)?);
    let workers = workers(arguments, &options)?;
    probe(&workers, &options)?;
    let begins_ns = clock::now_ns() + options.warmup.as_nanos() as u64;
    let window = Arc::new(Window {
        begins_ns,
        ends_ns: AtomicU64::new(begins_ns + options.duration.as_nanos() as u64),
        given_up: AtomicBool::new(false),
    });
    let threads = start(&workers, &options, &window)?;
    let watched = watch(signals, &workers, &options, &window, &threads);
    for thread in threads {
        if thread.join().is_err() {
            return Err(Failure::failed("a thread of the load generator panicked: a bug of ours"));
        }
    }
    let report = Report::new(&workers, &watched);
    if let Some(file) = &options.html {
        let page = page::html(&report, &options, &watched.steps);
        std::fs::write(file, page)
            .map_err(|error| Failure::failed(format!("cannot write {file}: {error}")))?;
    }
    report.write(&options)
}

fn workers(arguments: &Arguments, options: &Options) -> Result<Vec<Worker>, Failure> {
    let config = Config::from_env()?.cores(1);
    let mut workers = Vec::new();
    for core in 0..options.cores {
        let (engine, client) = request::client(arguments, config.clone())?;
        // The first cores have one more where it does not come out even.
        let more = usize::from(core < options.connections % options.cores);
        workers.push(Worker {
            engine,
            client,
            shared: Arc::default(),
            feed: Arc::default(),
            lanes_count: options.connections / options.cores + more,
        });
    }
    Ok(workers)
}

/// One call first: what is wrong with address or method is wrong at once, and said plainly. A
/// method that answers with a failure of its own is there, and may do better the next time.
fn probe(workers: &[Worker], options: &Options) -> Result<(), Failure> {
    let worker = workers.first().expect("there is at least one core");
    // On a lane that the load uses as well: it opens no connection of its own.
    let call = options.call.clone().lane(0);
    match worker.client.call_raw(&options.method, &options.bodies[0], &call) {
        Err(error) if error.side() != Side::Peer || error.code() == Code::TIMEOUT => {
            Err(error.into())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Starts the threads that run the load, and the one that says what is due.
fn start(
    workers: &[Worker],
    options: &Arc<Options>,
    window: &Arc<Window>,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let mut threads = Vec::new();
    for worker in workers {
        let load = Load {
            client: worker.client.clone(),
            options: options.clone(),
            window: window.clone(),
            shared: worker.shared.clone(),
            feed: worker.feed.clone(),
            lanes_count: worker.lanes_count,
        };
        let engine = worker.engine.clone();
        threads.push(spawn("load", move || {
            engine.run(move || load.run()).expect("the load's own code does not panic");
        })?);
    }
    if let Mode::Open { rate, spacing } = options.mode {
        let feeds: Vec<_> = workers.iter().map(|worker| worker.feed.clone()).collect();
        let window = window.clone();
        // However late the threads begin, nothing that is due within the window is left out.
        let begun_ns = window.begins_ns - options.warmup.as_nanos() as u64;
        let arrivals = pace::Arrivals::new(begun_ns, rate, spacing);
        threads.push(spawn("pace", move || pace::run(arrivals, &feeds, &window))?);
    }
    Ok(threads)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    std::thread::Builder::new()
        .name(format!("msec-{name}"))
        .spawn(run)
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))
}

/// What the main thread saw of a run.
struct Watched {
    /// From the window's begin to its end.
    elapsed_ns: u64,
    /// By core, between 0 and 1.
    busy: Vec<f64>,
    interrupted: bool,
    /// What the plots show; empty if nobody wants any.
    steps: Vec<Step>,
}

/// Watches the load until it is over: signals, progress, and the clocks at both ends.
fn watch(
    signals: Signals,
    workers: &[Worker],
    options: &Options,
    window: &Window,
    threads: &[JoinHandle<()>],
) -> Watched {
    let mut progress = Progress::new(options);
    let mut course = options.html.as_ref().map(|_| Course::new(options.step()));
    let mut steps = Vec::new();
    let mut signals = Some(signals);
    let mut begin = None;
    let mut end = None;
    loop {
        match &signals {
            Some(waited) if waited.wait_at_most(LOOK) => {
                window.ends_ns.fetch_min(clock::now_ns(), Ordering::Relaxed);
                // The next signal does to the process what signals do.
                signals = None;
            }
            Some(_) => {}
            None => std::thread::park_timeout(LOOK),
        }
        let now_ns = clock::now_ns();
        if now_ns >= window.begins_ns && begin.is_none() {
            begin = Some((now_ns, cpu_ns(workers)));
        }
        if now_ns >= window.ends_ns() && end.is_none() {
            end = Some((now_ns, cpu_ns(workers)));
            steps.extend(course.as_mut().and_then(|course| course.rest(workers, window)));
        }
        if end.is_none() {
            progress.show(workers, window, now_ns);
            steps.extend(course.as_mut().and_then(|course| course.look(workers, window, now_ns)));
        }
        // Calls in flight end by their deadline; calls that still wait to be sent may never be.
        if now_ns >= window.ends_ns() + options.timeout.as_nanos() as u64 {
            window.given_up.store(true, Ordering::Relaxed);
        }
        if end.is_some() && threads.iter().all(JoinHandle::is_finished) {
            break;
        }
    }
    progress.end();
    let (end_ns, end_cpu_ns) = end.expect("the loop ends after it");
    let (begin_ns, begin_cpu_ns) = begin.unwrap_or((end_ns, end_cpu_ns.clone()));
    let elapsed_ns = window.ends_ns().saturating_sub(window.begins_ns);
    let measured_ns = end_ns.saturating_sub(begin_ns).max(1);
    let spent = end_cpu_ns.iter().zip(&begin_cpu_ns).map(|(end, begin)| end.saturating_sub(*begin));
    let busy = spent.map(|ns| ns as f64 / measured_ns as f64).collect();
    Watched { elapsed_ns, busy, interrupted: signals.is_none(), steps }
}

/// The CPU time that each core has used.
fn cpu_ns(workers: &[Worker]) -> Vec<u64> {
    workers.iter().map(|worker| worker.engine.run(cpu::thread_cpu_ns).unwrap_or_default()).collect()
}
