//! A simulated server on virtual time: one core, and behind it something scarce that requests wait
//! for; under the control of this crate, of none, and of what others do.
//!
//! ```text
//!   arrivals ─► limiter ─► ready queue ─► core ─► parked: asleep, or in line for a place ─► core
//! ```
//!
//! Arrivals are a Poisson process whose rate changes over time. Everything is drawn from one seed,
//! so a story is the same in every run.
use super::concurrency::Ended;
use super::limiters::Limiter;
use super::priority::{Priority, Rank};
use super::queue::{Queue, Wait, Watch};
use std::collections::{BTreeMap, VecDeque};
use std::vec;
use std::vec::Vec;

pub(super) const US: u64 = 1_000;
pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;
/// Processor time of a refusal: measured on the engine, reading, queueing and answering it.
const REFUSAL_NS: u64 = US;

/// How a time is distributed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    Fixed(u64),
    /// Exponential, with this mean.
    Random(u64),
    /// This share takes the second time instead of the first.
    Mixed(f64, u64, u64),
}

/// Who decides in the ready queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Discipline {
    /// The order of arrival; only a passed deadline is refused.
    Arrival,
    /// This crate's.
    Ours,
    /// As Facebook's (Maurer 2015): newest first when the queue was not empty for 100 ms, and then
    /// nobody waits longer than 5 ms.
    Facebook,
}

/// Who decides about the number in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limiting {
    None,
    Ours,
    /// Netflix's Gradient2 with its defaults.
    Gradient2,
    /// As brpc's `auto`.
    Brpc,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) seconds: u64,
    /// Requests a second, from each time on.
    pub(super) rates: Vec<(u64, f64)>,
    /// Processor time, in two halves around the wait.
    pub(super) cpu: Time,
    /// The wait between them, from each time on.
    pub(super) wait: Vec<(u64, Time)>,
    /// So many may do what the wait is for at a time; the others stand in line.
    pub(super) places: usize,
    pub(super) deadline_ns: u64,
    /// Requests that come at once at a time.
    pub(super) burst: Option<(u64, usize)>,
    pub(super) discipline: Discipline,
    pub(super) limiting: Limiting,
    pub(super) seed: u64,
}

impl Story {
    /// A handler that computes for `cpu`, at `load` times what the core can do.
    pub(super) fn computing(cpu: Time, mean_ns: u64, load: f64) -> Story {
        Story {
            seconds: 4,
            rates: vec![(0, load * 1e9 / mean_ns as f64)],
            cpu,
            wait: Vec::new(),
            places: usize::MAX,
            deadline_ns: SECOND,
            burst: None,
            discipline: Discipline::Ours,
            limiting: Limiting::Ours,
            seed: 1,
        }
    }

    /// A handler that waits for one of `places`, of which each serves in `wait`.
    pub(super) fn waiting(wait: Time, places: usize, per_second: f64) -> Story {
        Story {
            rates: vec![(0, per_second)],
            wait: vec![(0, wait)],
            places,
            ..Story::computing(Time::Fixed(10 * US), 10 * US, 0.0)
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    pub(super) arrived: u64,
    pub(super) refused: u64,
    /// Ended after its caller had stopped waiting.
    pub(super) late: u64,
    /// Answered in time, by priority.
    pub(super) good: [u64; 3],
    /// Answered in time, in each tenth of a second.
    pub(super) tenths: Vec<u64>,
    /// After the first second.
    latencies_ns: Vec<u64>,
    seconds: u64,
}

impl Score {
    pub(super) fn goodput(&self) -> f64 {
        self.good.iter().sum::<u64>() as f64 / self.seconds as f64
    }

    /// Answered in time in these tenths of a second, as a rate a second.
    pub(super) fn goodput_in(&self, tenths: core::ops::Range<usize>) -> f64 {
        let count = tenths.len() as f64;
        self.tenths[tenths].iter().sum::<u64>() as f64 * 10.0 / count
    }

    pub(super) fn p99_ms(&mut self) -> f64 {
        if self.latencies_ns.is_empty() {
            return 0.0;
        }
        self.latencies_ns.sort_unstable();
        let index = (self.latencies_ns.len() * 99 / 100).min(self.latencies_ns.len() - 1);
        self.latencies_ns[index] as f64 / MS as f64
    }
}

#[derive(Clone, Copy, Debug)]
struct Request {
    received_ns: u64,
    started_ns: u64,
    deadline_ns: u64,
    priority: Priority,
    flow: u64,
    parked: bool,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Burst,
    /// The wait of a request is over.
    Waited(usize),
    /// The deadline of one that is parked.
    Deadline(usize),
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn time(&mut self, time: Time) -> u64 {
        match time {
            Time::Fixed(ns) => ns,
            Time::Random(mean_ns) => (-(1.0 - self.fraction()).ln() * mean_ns as f64) as u64,
            Time::Mixed(share, one, other) => {
                if self.fraction() < share {
                    other
                } else {
                    one
                }
            }
        }
    }
}

struct Sim {
    story: Story,
    now_ns: u64,
    random: Random,
    events: BTreeMap<(u64, u64), Event>,
    events_count: u64,
    requests: Vec<Request>,
    /// In the order of arrival: starts and resumes.
    ready: VecDeque<usize>,
    waiting: Queue<usize>,
    watch: Watch,
    overloaded: bool,
    /// For Facebook's: when nobody waited to start.
    empty_ns: u64,
    in_places: usize,
    line: VecDeque<usize>,
    limiter: Limiter,
    score: Score,
}

/// Runs a story.
pub(super) fn run(story: &Story) -> Score {
    let mut sim = Sim {
        random: Random(story.seed),
        story: story.clone(),
        // Not 0: engines start late in the life of a clock.
        now_ns: SECOND,
        events: BTreeMap::new(),
        events_count: 0,
        requests: Vec::new(),
        ready: VecDeque::new(),
        waiting: Queue::default(),
        watch: Watch::default(),
        overloaded: false,
        empty_ns: SECOND,
        in_places: 0,
        line: VecDeque::new(),
        limiter: Limiter::new(story.limiting),
        score: Score { seconds: story.seconds, ..Score::default() },
    };
    sim.score.tenths = vec![0; story.seconds as usize * 10 + 1];
    sim.at(SECOND, Event::Arrive);
    if let Some((at_ns, _)) = story.burst {
        sim.at(SECOND + at_ns, Event::Burst);
    }
    let end_ns = SECOND + story.seconds * SECOND;
    while sim.now_ns < end_ns {
        sim.take_events();
        if !sim.run_one() {
            match sim.events.first_key_value() {
                Some((&(at_ns, _), _)) => sim.now_ns = at_ns.max(sim.now_ns),
                None => break,
            }
        }
    }
    sim.score
}

fn from_time_on<T: Copy>(steps: &[(u64, T)], at_ns: u64) -> Option<T> {
    steps.iter().rev().find(|(from_ns, _)| *from_ns <= at_ns).map(|(_, value)| *value)
}

impl Sim {
    fn at(&mut self, at_ns: u64, event: Event) {
        self.events_count += 1;
        self.events.insert((at_ns, self.events_count), event);
    }

    fn elapsed_ns(&self) -> u64 {
        self.now_ns - SECOND
    }

    fn take_events(&mut self) {
        while let Some(entry) = self.events.first_entry() {
            let (at_ns, _) = *entry.key();
            if at_ns > self.now_ns {
                return;
            }
            match entry.remove() {
                Event::Arrive => {
                    let rate = from_time_on(&self.story.rates, at_ns - SECOND).unwrap_or(0.0);
                    let gap_ns = match rate > 0.0 {
                        true => self.random.time(Time::Random((1e9 / rate) as u64)),
                        false => 10 * MS,
                    };
                    self.at(at_ns + gap_ns.max(1), Event::Arrive);
                    if rate > 0.0 {
                        self.arrive();
                    }
                }
                Event::Burst => {
                    for _ in 0..self.story.burst.map_or(0, |(_, count)| count) {
                        self.arrive();
                    }
                }
                Event::Waited(id) => self.waited(id),
                Event::Deadline(id) => self.deadline(id),
            }
        }
    }

    fn arrive(&mut self) {
        let priority = match self.random.next() % 10 {
            0 => Priority::Critical,
            1..=4 => Priority::Sheddable,
            _ => Priority::Default,
        };
        let id = self.requests.len();
        self.requests.push(Request {
            received_ns: self.now_ns,
            started_ns: 0,
            deadline_ns: self.now_ns + self.story.deadline_ns,
            priority,
            flow: self.random.next(),
            parked: false,
            done: false,
        });
        self.score.arrived += 1;
        if !self.limiter.admit() {
            return self.refuse();
        }
        if self.overloaded {
            self.waiting.push(id, self.rank(id), self.now_ns);
        } else {
            self.ready.push_back(id);
        }
    }

    fn rank(&self, id: usize) -> Rank {
        Rank::of(self.requests[id].priority, self.requests[id].flow)
    }

    fn refuse(&mut self) {
        self.score.refused += 1;
        self.now_ns += REFUSAL_NS;
    }

    /// Runs what is next on the core; false if there is nothing.
    fn run_one(&mut self) -> bool {
        while let Some(id) = self.waiting.expired(self.now_ns) {
            self.limiter.leave();
            self.requests[id].done = true;
            self.refuse();
        }
        if self.overloaded && self.waiting.is_calm(self.now_ns) {
            self.overloaded = false;
        }
        let begun = |sim: &Sim, id: usize| sim.requests[id].started_ns != 0;
        if self.story.discipline == Discipline::Facebook {
            return self.run_facebook();
        }
        let Some(id) = self.ready.pop_front().or_else(|| self.waiting.pop(self.now_ns)) else {
            return false;
        };
        if begun(self, id) {
            self.compute(id);
        } else {
            self.start(id);
        }
        true
    }

    fn run_facebook(&mut self) -> bool {
        let standing = self.now_ns - self.empty_ns > 100 * MS;
        let patience_ns = if standing { 5 * MS } else { 100 * MS };
        while let Some(&id) = self.ready.front() {
            let request = self.requests[id];
            if request.started_ns != 0 || self.now_ns - request.received_ns < patience_ns {
                break;
            }
            self.ready.pop_front();
            self.limiter.leave();
            self.refuse();
        }
        let next = if standing { self.ready.pop_back() } else { self.ready.pop_front() };
        if self.ready.is_empty() {
            self.empty_ns = self.now_ns;
        }
        let Some(id) = next else { return false };
        self.start(id);
        true
    }

    fn start(&mut self, id: usize) {
        let request = self.requests[id];
        if self.now_ns >= request.deadline_ns {
            self.limiter.leave();
            return self.refuse();
        }
        let wait = Wait {
            received_ns: request.received_ns,
            deadline_ns: request.deadline_ns,
            now_ns: self.now_ns,
        };
        if self.story.discipline == Discipline::Ours
            && !self.overloaded
            && wait.is_late()
            && self.watch.late(&wait, self.ready.len())
        {
            self.overload();
        }
        self.requests[id].started_ns = self.now_ns;
        self.compute(id);
    }

    fn overload(&mut self) {
        self.overloaded = true;
        self.waiting.begin(self.now_ns);
        for id in std::mem::take(&mut self.ready) {
            if self.requests[id].started_ns == 0 {
                self.waiting.push(id, self.rank(id), self.now_ns);
            } else {
                self.ready.push_back(id);
            }
        }
    }

    /// Computes for half of the time, and then waits, or ends.
    fn compute(&mut self, id: usize) {
        let cpu_ns = self.random.time(self.story.cpu);
        let wait = from_time_on(&self.story.wait, self.elapsed_ns());
        if wait.is_none() {
            self.now_ns += cpu_ns;
            return self.end(id);
        }
        self.now_ns += cpu_ns / 2;
        if self.requests[id].parked {
            return self.end(id);
        }
        self.requests[id].parked = true;
        self.at(self.requests[id].deadline_ns.max(self.now_ns), Event::Deadline(id));
        self.line.push_back(id);
        self.take_places();
    }

    fn take_places(&mut self) {
        while self.in_places < self.story.places {
            let Some(id) = self.line.pop_front() else { return };
            if self.requests[id].done {
                continue;
            }
            self.in_places += 1;
            let wait = from_time_on(&self.story.wait, self.elapsed_ns());
            let wait_ns = self.random.time(wait.unwrap_or(Time::Fixed(0)));
            self.at(self.now_ns + wait_ns, Event::Waited(id));
        }
    }

    /// What a place does is done also when nobody waits for it any more.
    fn waited(&mut self, id: usize) {
        self.in_places -= 1;
        if !self.requests[id].done {
            self.ready.push_back(id);
        }
        self.take_places();
    }

    fn deadline(&mut self, id: usize) {
        if !self.requests[id].done {
            self.end(id);
        }
    }

    fn end(&mut self, id: usize) {
        if std::mem::replace(&mut self.requests[id].done, true) {
            return;
        }
        let request = self.requests[id];
        let wasted = self.now_ns >= request.deadline_ns;
        let ended = Ended { started_ns: request.started_ns, now_ns: self.now_ns, wasted };
        self.limiter.end(&ended, request.received_ns);
        if wasted {
            self.score.late += 1;
            return;
        }
        self.score.good[request.priority as usize] += 1;
        let tenth = (self.elapsed_ns() / (100 * MS)) as usize;
        let last = self.score.tenths.len() - 1;
        self.score.tenths[tenth.min(last)] += 1;
        if self.elapsed_ns() > SECOND {
            self.score.latencies_ns.push(self.now_ns - request.received_ns);
        }
    }
}
