//! The simulator: callers and instances on virtual time.
//!
//! ```text
//!   caller ── pick ──► instance: places for calls, a queue, a fault ──► end ── finished ──► caller
//!     ▲                                                                                      │
//!     └──────────────── its own Router, arrivals by Poisson ─────────────────────────────────┘
//! ```
//!
//! Thousands of callers, each with a router of its own that knows only what its own calls tell it,
//! call instances that queue, slow down, fail, hang or die by a plan. Everything follows from one
//! seed: a run is repeated exactly by it. One run of half a minute with a thousand callers takes a
//! fraction of a second.
//!
//! What is measured is what callers feel: failed calls, and how long the others take. Arrivals come
//! from a sequence of their own, so that two routers in one world meet the same calls.
mod adaptive;
pub mod scenarios;

pub use adaptive::Adaptive;

use super::node::End;
use super::retry::RetryBudget;
use super::ring::mix;
use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// How long a call waits.
const TIMEOUT_NS: u64 = SECOND;
/// There and back.
const NETWORK_NS: u64 = MS / 5;

/// Whoever decides where a caller's next call goes.
pub trait Router {
    /// The instance, by index, and a number that is given back with the call's end.
    fn pick(&mut self, now_ns: u64, random: u64, tried: &[u64]) -> Option<(usize, u64)>;
    /// A picked call has ended.
    fn finished(&mut self, index: usize, number: u64, end: End, latency_ns: u64, now_ns: u64);
    /// An instance that the caller should try to connect to.
    fn poll_dial(&mut self) -> Option<usize> {
        None
    }
    /// What came of it.
    fn reached(&mut self, _index: usize, _connected: bool, _now_ns: u64) {}
    /// There are so many instances now.
    fn resized(&mut self, _count: usize, _now_ns: u64) {}
}

/// What is wrong with an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are refused, and those that were there are reset.
    Dead,
    /// Packets vanish.
    Dark,
    /// So many times slower.
    Slow(f64),
    /// It answers this part of the calls with a fault, quickly.
    Failing(f64),
    /// It refuses this part of the calls, quickly: a limit of its own is reached.
    Refusing(f64),
}

/// A fault of some instances for some callers, over a span of time.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// From this instance on,
    pub first: usize,
    /// so many.
    pub count: usize,
    /// From this time on,
    pub from_ns: u64,
    /// and until this.
    pub to_ns: u64,
    /// Up and down in turns of this length; 0: all the time.
    pub flap_ns: u64,
    /// What is wrong.
    pub fault: Fault,
    /// For callers below this index only.
    pub callers: usize,
}

/// Callers of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Callers {
    /// How many.
    pub count: usize,
    /// Calls a second of each.
    pub rate: f64,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct World {
    /// From which everything follows.
    pub seed: u64,
    /// How long.
    pub duration_ns: u64,
    /// How many instances there are.
    pub instances: usize,
    /// Instances that come later: from this index on, and when.
    pub joins: Option<(usize, u64)>,
    /// A new instance is so many times slower at first, and warm after so long.
    pub cold: (f64, u64),
    /// Calls that an instance works at.
    pub places: u32,
    /// Mean time of work, in nanoseconds; a tenth of it at least, the rest exponential.
    pub work_ns: u64,
    /// All callers, by kind.
    pub callers: Vec<Callers>,
    /// What goes wrong.
    pub plans: Vec<Plan>,
    /// Whether callers send calls again that surely did not start: not sent, or refused.
    pub retries: bool,
}

/// What callers felt.
#[derive(Clone, Debug, Default)]
pub struct Felt {
    /// Ended calls.
    pub calls: u64,
    /// Failed, after all attempts.
    pub failed: u64,
    /// Attempts, by instance.
    pub attempts: Vec<u64>,
    /// Latency of the calls that were answered and of those that timed out, in microseconds. A
    /// quick failure is no quick call.
    pub latencies_us: Vec<u32>,
    /// By kind of callers: ended and failed.
    pub kinds: Vec<(u64, u64)>,
    /// Failed calls by second.
    pub failed_by_second: Vec<u64>,
    /// Calls by second and instance.
    pub shares: Vec<Vec<u64>>,
}

impl Felt {
    /// The 99th percentile of the latencies, in milliseconds.
    pub fn p99_ms(&self) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let rank = sorted.len() * 99 / 100;
        sorted.get(rank).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }

    /// The part of the calls in a second that went to an instance.
    pub fn share(&self, second: usize, instance: usize) -> f64 {
        let all: u64 = self.shares[second].iter().sum();
        self.shares[second][instance] as f64 / all.max(1) as f64
    }
}

/// Random numbers from a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Random {
        Random(mix(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to 1, without 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential, with mean 1.
    fn exponential(&mut self) -> f64 {
        -logarithm(1.0 - self.fraction())
    }
}

/// The natural logarithm of a number between 0 and 1: there is none without std.
fn logarithm(number: f64) -> f64 {
    let bits = number.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // ln m = 2 artanh((m - 1) / (m + 1)), m from 1 to 2: nine terms are good to ten digits.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let (square, mut power, mut sum) = (z * z, z, 0.0);
    for term in 0..9 {
        sum += power / f64::from(2 * term + 1);
        power *= square;
    }
    exponent as f64 * core::f64::consts::LN_2 + 2.0 * sum
}

struct Caller {
    router: Box<dyn Router>,
    kind: usize,
    budget: RetryBudget,
}

#[derive(Default)]
struct Machine {
    working: u32,
    queue: VecDeque<u32>,
    joined_ns: u64,
}

/// One attempt under way.
#[derive(Clone)]
struct Attempt {
    caller: u32,
    instance: u32,
    number: u64,
    begun_ns: u64,
    /// Of the first attempt.
    call_ns: u64,
    tried: [u64; 2],
    tried_count: u8,
    over: bool,
    free: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival {
        caller: u32,
    },
    /// The attempt has reached its instance.
    There {
        attempt: u32,
    },
    /// The instance has done its work.
    Done {
        attempt: u32,
    },
    /// The caller learns of the end.
    Back {
        attempt: u32,
        end: u8,
    },
    Timeout {
        attempt: u32,
        begun_ns: u64,
    },
    Dialled {
        caller: u32,
        instance: u32,
        connected: bool,
    },
    Joined,
}

const ENDS: [End; 5] = [End::Answered, End::Faulted, End::Lost, End::Unsent, End::Refused];

struct Run<'a> {
    world: &'a World,
    random: Random,
    arrivals: Random,
    now_ns: u64,
    count: usize,
    events: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    events_count: u64,
    callers: Vec<Caller>,
    machines: Vec<Machine>,
    attempts: Vec<Attempt>,
    free: Vec<u32>,
    felt: Felt,
}

/// Simulates a world in which each caller has a router that `make` makes, for so many instances.
pub fn run(world: &World, mut make: impl FnMut(usize, u64) -> Box<dyn Router>) -> Felt {
    let count = world.joins.map_or(world.instances, |(first, _)| first);
    let seconds = (world.duration_ns / SECOND + 2) as usize;
    let mut random = Random::new(world.seed);
    let mut callers = Vec::new();
    for (kind, of_kind) in world.callers.iter().enumerate() {
        for _ in 0..of_kind.count {
            let budget = RetryBudget::new(1);
            callers.push(Caller { router: make(count, random.number()), kind, budget });
        }
    }
    let mut run = Run {
        world,
        random,
        arrivals: Random::new(!world.seed),
        now_ns: 0,
        count,
        events: BinaryHeap::new(),
        events_count: 0,
        callers,
        machines: (0..world.instances).map(|_| Machine::default()).collect(),
        attempts: Vec::new(),
        free: Vec::new(),
        felt: Felt {
            attempts: alloc::vec![0; world.instances],
            kinds: alloc::vec![(0, 0); world.callers.len()],
            failed_by_second: alloc::vec![0; seconds],
            shares: alloc::vec![alloc::vec![0; world.instances]; seconds],
            ..Felt::default()
        },
    };
    run.start();
    while let Some(Reverse((at_ns, _, happening))) = run.events.pop() {
        run.now_ns = at_ns;
        run.happen(happening);
    }
    run.felt
}

impl Run<'_> {
    fn start(&mut self) {
        for caller in 0..self.callers.len() {
            self.next_arrival(caller as u32);
        }
        if let Some((_, at_ns)) = self.world.joins {
            self.at(at_ns, Happening::Joined);
        }
    }

    fn at(&mut self, at_ns: u64, happening: Happening) {
        self.events_count += 1;
        self.events.push(Reverse((at_ns, self.events_count, happening)));
    }

    fn next_arrival(&mut self, caller: u32) {
        let rate = self.world.callers[self.callers[caller as usize].kind].rate;
        let wait_ns = self.arrivals.exponential() / rate * SECOND as f64;
        let at_ns = self.now_ns + wait_ns as u64;
        if at_ns < self.world.duration_ns {
            self.at(at_ns, Happening::Arrival { caller });
        }
    }

    fn fault(&self, instance: usize, caller: u32) -> Fault {
        let holds = |plan: &&Plan| {
            let in_time = (plan.from_ns..plan.to_ns).contains(&self.now_ns);
            let turn = (self.now_ns - plan.from_ns.min(self.now_ns))
                .checked_div(plan.flap_ns)
                .unwrap_or(0);
            in_time
                && turn.is_multiple_of(2)
                && (plan.first..plan.first + plan.count).contains(&instance)
                && (caller as usize) < plan.callers
        };
        self.world.plans.iter().find(holds).map_or(Fault::None, |plan| plan.fault)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { caller } => {
                self.next_arrival(caller);
                self.callers[caller as usize].budget.earn();
                self.attempt(caller, self.now_ns, &[]);
            }
            Happening::There { attempt } => self.there(attempt),
            Happening::Done { attempt } => self.done(attempt),
            Happening::Back { attempt, end } => self.back(attempt, ENDS[usize::from(end)]),
            Happening::Timeout { attempt, begun_ns } => {
                let same = self.attempts[attempt as usize].begun_ns == begun_ns;
                if same && !self.attempts[attempt as usize].free {
                    self.timed_out(attempt);
                }
            }
            Happening::Dialled { caller, instance, connected } => {
                let router = &mut self.callers[caller as usize].router;
                router.reached(instance as usize, connected, self.now_ns);
            }
            Happening::Joined => {
                let now_ns = self.now_ns;
                self.machines[self.count..].iter_mut().for_each(|new| new.joined_ns = now_ns);
                self.count = self.world.instances;
                for caller in &mut self.callers {
                    caller.router.resized(self.world.instances, now_ns);
                }
            }
        }
    }

    fn attempt(&mut self, caller: u32, call_ns: u64, tried: &[u64]) -> bool {
        let random = self.random.number();
        let router = &mut self.callers[caller as usize].router;
        let picked = router.pick(self.now_ns, random, tried);
        let Some((instance, number)) = picked else { return false };
        while let Some(dialled) = self.callers[caller as usize].router.poll_dial() {
            let (connected, after_ns) = match self.fault(dialled, caller) {
                Fault::Dead => (false, NETWORK_NS),
                Fault::Dark => (false, SECOND),
                Fault::None | Fault::Slow(_) | Fault::Failing(_) | Fault::Refusing(_) => {
                    (true, NETWORK_NS)
                }
            };
            let instance = dialled as u32;
            self.at(self.now_ns + after_ns, Happening::Dialled { caller, instance, connected });
        }
        let second = (self.now_ns / SECOND) as usize;
        self.felt.attempts[instance] += 1;
        if let Some(shares) = self.felt.shares.get_mut(second) {
            shares[instance] += 1;
        }
        let mut all = [0; 2];
        let tried_count = tried.len().min(2);
        all[..tried_count].copy_from_slice(&tried[..tried_count]);
        let attempt = Attempt {
            caller,
            instance: instance as u32,
            number,
            begun_ns: self.now_ns,
            call_ns,
            tried: all,
            tried_count: tried_count as u8,
            over: false,
            free: false,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.attempts[place as usize] = attempt;
                place
            }
            None => {
                self.attempts.push(attempt);
                self.attempts.len() as u32 - 1
            }
        };
        self.at(self.now_ns + NETWORK_NS / 2, Happening::There { attempt: place });
        let timeout = Happening::Timeout { attempt: place, begun_ns: self.now_ns };
        self.at(call_ns + TIMEOUT_NS, timeout);
        true
    }

    fn there(&mut self, place: u32) {
        let Attempt { caller, instance, over, .. } = self.attempts[place as usize];
        if over {
            return self.let_go(place);
        }
        let back_ns = self.now_ns + NETWORK_NS / 2;
        match self.fault(instance as usize, caller) {
            Fault::Dead => self.at(back_ns, Happening::Back { attempt: place, end: 3 }),
            // Nothing comes back; the timeout is there already.
            Fault::Dark => self.attempts[place as usize].over = true,
            Fault::Failing(part) if self.random.fraction() < part => {
                self.at(back_ns, Happening::Back { attempt: place, end: 1 });
            }
            Fault::Refusing(part) if self.random.fraction() < part => {
                self.at(back_ns, Happening::Back { attempt: place, end: 4 });
            }
            Fault::None | Fault::Slow(_) | Fault::Failing(_) | Fault::Refusing(_) => {
                let machine = &mut self.machines[instance as usize];
                if machine.working < self.world.places {
                    machine.working += 1;
                    self.work(place);
                } else {
                    machine.queue.push_back(place);
                }
            }
        }
    }

    fn work(&mut self, place: u32) {
        let Attempt { caller, instance, .. } = self.attempts[place as usize];
        let slow = match self.fault(instance as usize, caller) {
            Fault::Slow(factor) => factor,
            Fault::None | Fault::Dead | Fault::Dark | Fault::Failing(_) | Fault::Refusing(_) => 1.0,
        };
        let (cold, warm_ns) = self.world.cold;
        let joined_ns = self.machines[instance as usize].joined_ns;
        let age_ns = self.now_ns - joined_ns;
        let warmth = (age_ns as f64 / warm_ns.max(1) as f64).min(1.0);
        let cold = if joined_ns == 0 { 1.0 } else { cold + (1.0 - cold) * warmth };
        let work = 0.1 + 0.9 * self.random.exponential();
        let work_ns = work * self.world.work_ns as f64 * slow * cold;
        self.at(self.now_ns + work_ns as u64, Happening::Done { attempt: place });
    }

    fn done(&mut self, place: u32) {
        let Attempt { caller, instance, over, .. } = self.attempts[place as usize];
        let machine = &mut self.machines[instance as usize];
        machine.working -= 1;
        // Those whose callers have given up are dropped as they come up.
        let mut next = machine.queue.pop_front();
        while let Some(waiting) = next.filter(|next| self.attempts[*next as usize].over) {
            self.let_go(waiting);
            next = self.machines[instance as usize].queue.pop_front();
        }
        if let Some(next) = next {
            self.machines[instance as usize].working += 1;
            self.work(next);
        }
        if over {
            return self.let_go(place);
        }
        // Whoever has died or gone dark meanwhile answers nothing.
        let end = match self.fault(instance as usize, caller) {
            Fault::Dead => 2,
            Fault::Dark => return self.attempts[place as usize].over = true,
            Fault::None | Fault::Slow(_) | Fault::Failing(_) | Fault::Refusing(_) => 0,
        };
        self.at(self.now_ns + NETWORK_NS / 2, Happening::Back { attempt: place, end });
    }

    fn let_go(&mut self, place: u32) {
        self.attempts[place as usize].free = true;
        self.free.push(place);
    }

    /// The caller learns of the end, unless it has given up.
    fn back(&mut self, place: u32, end: End) {
        let attempt = self.attempts[place as usize].clone();
        self.let_go(place);
        if !attempt.over {
            self.ended(&attempt, end);
        }
    }

    /// The caller gives up.
    fn timed_out(&mut self, place: u32) {
        let attempt = self.attempts[place as usize].clone();
        // Whoever still works at it lets go of it; what has gone dark nobody works at.
        if attempt.over {
            self.let_go(place)
        } else {
            self.attempts[place as usize].over = true
        }
        self.ended(&attempt, End::Lost);
    }

    fn ended(&mut self, attempt: &Attempt, end: End) {
        let latency_ns = self.now_ns - attempt.begun_ns;
        let caller = &mut self.callers[attempt.caller as usize];
        caller.router.finished(
            attempt.instance as usize,
            attempt.number,
            end,
            latency_ns,
            self.now_ns,
        );
        let is_repeatable = matches!(end, End::Unsent | End::Refused);
        if is_repeatable && self.world.retries && attempt.tried_count < 2 {
            let mut tried = attempt.tried;
            tried[usize::from(attempt.tried_count)] = attempt.number;
            let tried = &tried[..=usize::from(attempt.tried_count)];
            if self.callers[attempt.caller as usize].budget.spend()
                && self.attempt(attempt.caller, attempt.call_ns, tried)
            {
                return;
            }
        }
        let failed = end != End::Answered;
        let second = (self.now_ns / SECOND) as usize;
        let kind = self.callers[attempt.caller as usize].kind;
        self.felt.calls += 1;
        if matches!(end, End::Answered | End::Lost) {
            let latency_us = (self.now_ns - attempt.call_ns) / 1000;
            self.felt.latencies_us.push(latency_us as u32);
        }
        self.felt.kinds[kind].0 += 1;
        if failed {
            self.felt.failed += 1;
            self.felt.kinds[kind].1 += 1;
            if let Some(count) = self.felt.failed_by_second.get_mut(second) {
                *count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
