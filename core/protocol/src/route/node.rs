//! One instance, as the calls to it have shown it to be.
//!
//! ```text
//!              failures in a row, silence, a bad window, no way to it
//!      Live ──────────────────────────────────────────────────────────► Ejected (0.1 s to 10 s)
//!       ▲                                                    ▲              │ rest is over, and
//!       │ 3 s                             fails again:       │              │ it was reached
//!       │                                 a longer rest      │              ▼
//!     Rising ◄─────────────────────────────────────────────  ┴────────── HalfOpen
//!      10 % … 100 % of its weight     one real call succeeds
//! ```
//!
//! **Ratios.** A window is judged when it has 200 ms and ten ended calls; with fewer it waits, and
//! five failures are enough at any time. What counts is not the ratio itself but whether it is
//! worse than the others' by more than luck: three standard deviations of a Poisson count. A
//! service that fails everywhere is not made better by choosing.
//!
//! **Rows of failures.** Three in a row eject at once; as many more as the others' failures make
//! likely. An attempt that could not connect ejects by itself: nothing is clearer.
//!
//! **Latency.** Two measures. The mean of a window against the others' lowers the weight, down to a
//! twentieth. A moving average that follows peaks up at once and decays down (Peak-EWMA, as in
//! Finagle) is compared when two are drawn. A call that is out counts with its age: an instance
//! that has fallen silent becomes the slowest of all within a few milliseconds, long before
//! anything times out.
//!
//! **Refusals** (overloaded, draining) are no failures: they lower the weight and do not eject.
mod judge;

use super::address::Address;
use super::climate::RUN_MIN;
pub(super) use super::climate::{Climate, Recent};
pub use super::climate::{Counts, End};
use super::table::Instance;
use alloc::string::String;
use core::cmp::Reverse;

/// Why an instance is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection to it could be made.
    Unreachable,
    /// Calls are out and nothing comes back.
    Silent,
    /// It fails, in a row or clearly more than others.
    Failing,
    /// It has said that it is about to stop.
    Leaving,
}

impl Cause {
    /// Each of them, with its name.
    pub const ALL: [(Cause, &'static str); 4] = [
        (Cause::Unreachable, "unreachable"),
        (Cause::Silent, "silent"),
        (Cause::Failing, "failing"),
        (Cause::Leaving, "leaving"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// How an instance stands with its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has its part of the calls.
    Live,
    /// It is new or was ejected, and is given its part step by step.
    Rising,
    /// It gets no call.
    Ejected(Cause),
    /// It was ejected, and gets single calls to see whether it works again.
    HalfOpen(Cause),
    /// An operator took it out.
    Down,
}

/// So many failures are judged at once.
const FAILURES_COUNT_EARLY: u32 = 5;
/// The first rest of an ejected instance; doubled by each ejection that follows.
const REST_NS_MIN: u64 = 100_000_000;
const REST_NS_MAX: u64 = 10_000_000_000;
/// Longest rest between two attempts to connect, which cost no call.
const DIAL_NS_MAX: u64 = 1_000_000_000;
/// An attempt to connect of which nothing is heard.
const DIAL_NS_LOST: u64 = 3_000_000_000;
/// Ejections are forgotten after so long a good time.
const FORGIVEN_NS: u64 = 30_000_000_000;
/// From a tenth of its weight to all of it.
pub(super) const RISE_NS: u64 = 3_000_000_000;
const RISE_LEAST: f32 = 0.1;
/// Silence that ejects, if calls are out.
const SILENCE_NS: u64 = 200_000_000;
/// So many times its latency is silence.
const SILENCE_FACTOR: f32 = 8.0;
/// Calls that must be out, and begun since the last answer.
const SILENCE_COUNT: u32 = 3;
/// Up to so many times the others' latency is not called slow.
const SLOW_FACTOR: f32 = 1.5;
/// How fast the moving average of latency forgets a peak.
const PEAK_NS: f32 = 500_000_000.0;
/// An instance that is avoided is tried again after so long.
const STALE_NS: u64 = 1_000_000_000;
/// And one that nobody has called for so long is looked at, whatever is known of it: that is old.
const UNSEEN_NS: u64 = 30_000_000_000;

/// Where it is in the picture above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live,
    Rising {
        since_ns: u64,
    },
    Ejected {
        cause: Cause,
        until_ns: u64,
    },
    /// The rest is over, and somebody dials.
    Dialled {
        cause: Cause,
        since_ns: u64,
    },
    HalfOpen {
        cause: Cause,
        calling: bool,
    },
}

/// What has happened to an instance, for the other cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Ejected(Cause),
    Risen,
}

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Node {
    // What a pick reads comes first.
    /// Peak-EWMA of the latency; 0 if unknown.
    pub(super) peak_ns: f32,
    /// One over its weight relative to the mean.
    pub(super) load_unit: f32,
    pub(super) in_flight: u32,
    /// Calls begun since the last answer.
    begun: u32,
    /// Since when it is silent: the last answer, or when calls were out again after none.
    life_ns: u64,
    /// What draws go by; 0 is never drawn.
    pub(super) weight: u32,
    pub(super) phase: Phase,
    /// Told apart from whoever had this place before.
    pub(super) generation: u32,
    picked_ns: u64,
    /// Of the peak's last change.
    sampled_ns: u64,
    /// Failures in a row.
    run: u32,
    window: Counts,
    window_ns: u64,
    pub(super) recent: Recent,
    success: f32,
    speed: f32,
    ejections: u32,
    /// Attempts to connect in vain, in a row.
    dials: u32,
    /// It was ejected with all the others: it need not prove itself before it rises.
    pardoned: bool,
    /// When it became live or ejected.
    turned_ns: u64,
    /// For the other cores.
    pub(super) news: Counts,
    pub(super) event: Option<Event>,
    /// Index in the service's list; `None` if it is there no more.
    pub(super) row: Option<u32>,
    pub(super) up: bool,
    pub(super) canary: bool,
    pub(super) home: bool,
    pub(super) static_weight: u32,
    pub(super) revision: u64,
    pub(super) address: Address,
    pub(super) zone: String,
}

impl Node {
    pub(super) fn new(instance: &Instance, now_ns: u64, rising: bool) -> Node {
        Node {
            peak_ns: 0.0,
            load_unit: 1.0,
            in_flight: 0,
            begun: 0,
            life_ns: now_ns,
            weight: 0,
            phase: if rising { Phase::Rising { since_ns: now_ns } } else { Phase::Live },
            generation: 0,
            picked_ns: now_ns,
            sampled_ns: now_ns,
            run: 0,
            window: Counts::default(),
            window_ns: now_ns,
            recent: Recent::default(),
            success: 1.0,
            speed: 1.0,
            ejections: 0,
            dials: 0,
            pardoned: false,
            turned_ns: now_ns,
            news: Counts::default(),
            event: None,
            row: None,
            up: true,
            canary: false,
            home: true,
            static_weight: instance.weight,
            revision: instance.revision,
            address: instance.address.clone(),
            zone: instance.zone.clone(),
        }
    }

    /// What a call to it is expected to cost, to be compared.
    #[inline]
    pub(super) fn cost(&self, now_ns: u64, climate: &Climate) -> f32 {
        let known_ns = if self.peak_ns > 0.0 { self.peak_ns } else { climate.reference_ns };
        // A call that is out has at least its age. One microsecond, so that load counts at once.
        let silent_ns =
            if self.in_flight == 0 { 0.0 } else { now_ns.saturating_sub(self.life_ns) as f32 };
        let latency_ns = known_ns.max(silent_ns).max(1000.0);
        latency_ns * (1.0 + self.in_flight as f32 * self.load_unit)
    }

    /// A call to it begins.
    #[inline]
    pub(super) fn begin(&mut self, now_ns: u64) {
        if self.in_flight == 0 {
            self.life_ns = now_ns;
            self.begun = 0;
        }
        self.in_flight += 1;
        self.begun += 1;
        self.picked_ns = now_ns;
    }

    /// The call that begins now is to show whether it works.
    pub(super) fn try_out(&mut self) {
        if let Phase::HalfOpen { calling, .. } = &mut self.phase {
            *calling = true;
        }
    }

    /// A call to it has ended.
    ///
    /// `trial`: it was begun to see whether a half-open instance works.
    pub(super) fn end(
        &mut self,
        end: End,
        latency_ns: u64,
        now_ns: u64,
        trial: bool,
        turn: &Turn<'_>,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let (true, Phase::HalfOpen { calling, .. }) = (trial, &mut self.phase) {
            *calling = false;
        }
        match end {
            End::Answered | End::Faulted | End::Refused | End::Leaving => {
                self.life_ns = now_ns;
                self.begun = 0;
            }
            End::Lost | End::Unsent | End::Abandoned => {}
        }
        match end {
            End::Answered => self.sample(latency_ns, now_ns),
            End::Lost => self.peak_ns = self.peak_ns.max(latency_ns as f32),
            End::Faulted | End::Refused | End::Leaving | End::Unsent | End::Abandoned => {}
        }
        let counts = Counts::of(end, latency_ns);
        self.news.add(&counts);
        self.count(&counts, u32::from(end.is_failure()), now_ns, turn);
        // Nothing at all since this call began: it is not the call that is slow.
        let silent = end == End::Lost
            && latency_ns >= SILENCE_NS
            && now_ns.saturating_sub(self.life_ns) >= latency_ns;
        match self.phase {
            Phase::Live | Phase::Rising { .. } if silent && self.is_worse(turn) => {
                self.eject(Cause::Silent, now_ns, turn);
            }
            Phase::Live | Phase::Rising { .. } if end == End::Unsent => {
                self.eject(Cause::Unreachable, now_ns, turn);
            }
            Phase::Live | Phase::Rising { .. } if end == End::Leaving => {
                self.eject(Cause::Leaving, now_ns, turn);
            }
            Phase::HalfOpen { cause, .. } if trial => match end {
                End::Answered | End::Refused => self.rise(now_ns),
                End::Faulted | End::Lost | End::Leaving => self.eject(cause, now_ns, turn),
                End::Unsent => self.eject(Cause::Unreachable, now_ns, turn),
                End::Abandoned => {}
            },
            // It was only slow; or nobody else is left, and this one works.
            Phase::Ejected { cause, .. }
            | Phase::Dialled { cause, .. }
            | Phase::HalfOpen { cause, .. } => {
                let answered = end == End::Answered;
                if answered && (cause == Cause::Silent || turn.climate.all_dead) {
                    self.rise(now_ns);
                }
            }
            Phase::Live | Phase::Rising { .. } => {}
        }
    }

    /// Adds ended calls, of this core or another, `run` of which are failures after the last
    /// success.
    pub(super) fn count(&mut self, counts: &Counts, run: u32, now_ns: u64, turn: &Turn<'_>) {
        self.window.add(counts);
        self.recent.add(counts);
        self.run = if counts.answered > 0 { run } else { self.run + run };
        let run_max = match self.phase {
            Phase::Live => turn.climate.run_max,
            // Not again: what makes runs likely everywhere still counts.
            Phase::Rising { .. } => turn.climate.run_max - (RUN_MIN - 1),
            Phase::Ejected { .. } | Phase::Dialled { .. } | Phase::HalfOpen { .. } => return,
        };
        self.weigh(counts, turn);
        if self.run >= run_max {
            self.eject(Cause::Failing, now_ns, turn);
        } else if counts.failed > 0 && self.window.failed >= FAILURES_COUNT_EARLY {
            self.judge_success(now_ns, turn);
        }
    }

    fn sample(&mut self, latency_ns: u64, now_ns: u64) {
        let latency_ns = latency_ns as f32;
        if latency_ns > self.peak_ns {
            self.peak_ns = latency_ns;
        } else {
            let passed_ns = now_ns.saturating_sub(self.sampled_ns) as f32;
            self.peak_ns += (latency_ns - self.peak_ns) * (passed_ns / (PEAK_NS + passed_ns));
        }
        self.sampled_ns = now_ns;
    }

    /// Takes it out of rotation, for a while.
    pub(super) fn eject(&mut self, cause: Cause, now_ns: u64, turn: &Turn<'_>) {
        if cause != Cause::Leaving {
            self.ejections = (self.ejections + 1).min(10);
        }
        self.eject_quietly(cause, now_ns, turn);
        self.event = Some(Event::Ejected(cause));
    }

    fn eject_quietly(&mut self, cause: Cause, now_ns: u64, turn: &Turn<'_>) {
        let rest_ns = match cause {
            Cause::Leaving => DIAL_NS_MAX,
            Cause::Unreachable | Cause::Silent | Cause::Failing => {
                let doublings = self.ejections.saturating_sub(1);
                let rest_ns = (REST_NS_MIN << doublings).min(REST_NS_MAX);
                // A random half, so that callers do not come back together.
                rest_ns / 2 + turn.random % (rest_ns / 2 + 1)
            }
        };
        self.phase = Phase::Ejected { cause, until_ns: now_ns + rest_ns };
        self.turned_ns = now_ns;
        self.pardoned = false;
        self.run = 0;
        self.success = 1.0;
        self.window = Counts::default();
        self.window_ns = now_ns;
    }

    fn rise(&mut self, now_ns: u64) {
        self.rise_quietly(now_ns);
        self.event = Some(Event::Risen);
    }

    fn rise_quietly(&mut self, now_ns: u64) {
        self.pardoned = false;
        self.phase = Phase::Rising { since_ns: now_ns };
        self.turned_ns = now_ns;
        self.dials = 0;
        self.run = 0;
        self.window = Counts::default();
        self.window_ns = now_ns;
    }

    /// How many failures of these counts are the row at the end.
    pub(super) fn run_of(&self, counts: &Counts) -> u32 {
        // After an ejection the row begins anew: then all of them led to it.
        if self.run == 0 { counts.failed } else { self.run.min(counts.failed) }
    }

    /// Another core has seen this.
    pub(super) fn heard(&mut self, event: Event, now_ns: u64, turn: &Turn<'_>) {
        match (event, self.phase) {
            (Event::Ejected(cause), Phase::Live | Phase::Rising { .. }) => {
                if cause != Cause::Leaving {
                    self.ejections = (self.ejections + 1).min(10);
                }
                self.eject_quietly(cause, now_ns, turn);
            }
            (
                Event::Risen,
                Phase::Ejected { .. } | Phase::Dialled { .. } | Phase::HalfOpen { .. },
            ) => self.rise_quietly(now_ns),
            (Event::Ejected(_), _) | (Event::Risen, Phase::Live | Phase::Rising { .. }) => {}
        }
    }

    /// Somebody has dialled it.
    pub(super) fn reached(&mut self, connected: bool, now_ns: u64, random: u64) {
        let (Phase::Dialled { cause, .. } | Phase::Ejected { cause, .. }) = self.phase else {
            return;
        };
        let rested = !matches!(self.phase, Phase::Ejected { until_ns, .. } if now_ns < until_ns);
        if connected && rested {
            self.dials = 0;
            self.open(cause, now_ns);
        } else if !connected {
            let rest_ns = (REST_NS_MIN << self.dials.min(10)).min(DIAL_NS_MAX);
            self.dials += 1;
            let until_ns = now_ns + rest_ns / 2 + random % (rest_ns / 2 + 1);
            self.phase = Phase::Ejected { cause, until_ns };
        }
    }

    /// Why it was ejected, while somebody is to dial it.
    pub(super) fn dialled(&self) -> Option<Cause> {
        match self.phase {
            Phase::Dialled { cause, .. } if self.up => Some(cause),
            Phase::Dialled { .. } | Phase::Ejected { .. } | Phase::HalfOpen { .. } => None,
            Phase::Live | Phase::Rising { .. } => None,
        }
    }

    /// Time has passed. True if somebody is to dial it, to see whether it is there.
    pub(super) fn tick(&mut self, now_ns: u64, passed_ns: u64, turn: &Turn<'_>) -> bool {
        self.recent.forget(passed_ns);
        match self.phase {
            Phase::Live => {
                if self.ejections > 0 && now_ns.saturating_sub(self.turned_ns) > FORGIVEN_NS {
                    self.ejections = 0;
                }
                self.judge(now_ns, turn);
                self.look_at_silence(now_ns, turn);
            }
            Phase::Rising { since_ns } => {
                self.judge(now_ns, turn);
                self.look_at_silence(now_ns, turn);
                let rising = matches!(self.phase, Phase::Rising { .. });
                if rising && now_ns.saturating_sub(since_ns) >= RISE_NS {
                    self.phase = Phase::Live;
                    self.turned_ns = now_ns;
                }
            }
            Phase::Ejected { cause, until_ns } if now_ns >= until_ns => match cause {
                Cause::Unreachable | Cause::Silent | Cause::Leaving => {
                    self.phase = Phase::Dialled { cause, since_ns: now_ns };
                    return true;
                }
                Cause::Failing => self.open(cause, now_ns),
            },
            Phase::Dialled { cause, since_ns } if now_ns >= since_ns + DIAL_NS_LOST => {
                self.phase = Phase::HalfOpen { cause, calling: false };
            }
            Phase::Ejected { .. } | Phase::Dialled { .. } | Phase::HalfOpen { .. } => {}
        }
        false
    }

    fn look_at_silence(&mut self, now_ns: u64, turn: &Turn<'_>) {
        let known_ns = self.peak_ns.max(turn.climate.reference_ns);
        let limit_ns = ((known_ns * SILENCE_FACTOR) as u64).max(SILENCE_NS);
        let silent = self.in_flight >= SILENCE_COUNT
            && self.begun >= SILENCE_COUNT
            && now_ns.saturating_sub(self.life_ns) >= limit_ns;
        if silent && known_ns > 0.0 && !turn.climate.protective {
            self.eject(Cause::Silent, now_ns, turn);
        }
    }

    /// Its rest is over.
    fn open(&mut self, cause: Cause, now_ns: u64) {
        if self.pardoned {
            self.rise(now_ns);
        } else {
            self.phase = Phase::HalfOpen { cause, calling: false };
        }
    }

    /// Nobody was live and somebody is again: whoever rests is looked at now.
    pub(super) fn wake(&mut self, now_ns: u64) {
        self.ejections = self.ejections.min(1);
        self.pardoned = true;
        if let Phase::Ejected { until_ns, .. } = &mut self.phase {
            *until_ns = now_ns;
        }
    }

    /// The part of its static weight that it deserves now.
    pub(super) fn merit(&self, now_ns: u64) -> f32 {
        let earned = self.success * self.speed;
        match self.phase {
            Phase::Live => earned,
            Phase::Rising { since_ns } => {
                let risen = now_ns.saturating_sub(since_ns) as f32 / RISE_NS as f32;
                earned * (RISE_LEAST + (1.0 - RISE_LEAST) * risen.min(1.0))
            }
            Phase::Ejected { .. } | Phase::Dialled { .. } | Phase::HalfOpen { .. } => 0.0,
        }
    }

    /// Whether it may take part by its phase alone.
    pub(super) fn is_in(&self) -> bool {
        self.up && matches!(self.phase, Phase::Live | Phase::Rising { .. })
    }

    pub(super) fn looks_bad(&self) -> bool {
        !matches!(self.phase, Phase::Live | Phase::Rising { .. }) || self.success < 0.5
    }

    /// Whether it wants a real call, to see whether it works again.
    pub(super) fn wants_trial(&self) -> bool {
        self.up && matches!(self.phase, Phase::HalfOpen { calling: false, .. })
    }

    /// Whether it is avoided for being slow, and nobody has looked for a while.
    pub(super) fn is_stale(&self, now_ns: u64, climate: &Climate) -> bool {
        self.is_in()
            && self.in_flight == 0
            && now_ns.saturating_sub(self.picked_ns) > STALE_NS
            && (self.speed < 1.0 || self.peak_ns > SLOW_FACTOR * climate.reference_ns)
    }

    /// Whether it has its part of the calls, and had none for long. A canary's part may be nothing.
    pub(super) fn is_unseen(&self, now_ns: u64) -> bool {
        self.is_in()
            && self.weight > 0
            && !self.canary
            && self.in_flight == 0
            && now_ns.saturating_sub(self.picked_ns) > UNSEEN_NS
    }

    /// Of those that want a call out of turn, the greatest is the first.
    pub(super) fn urgency(&self) -> (bool, Reverse<u64>) {
        (self.wants_trial(), Reverse(self.picked_ns))
    }

    pub(super) fn standing(&self) -> Standing {
        if !self.up {
            return Standing::Down;
        }
        match self.phase {
            Phase::Live => Standing::Live,
            Phase::Rising { .. } => Standing::Rising,
            Phase::Ejected { cause, .. } | Phase::Dialled { cause, .. } => Standing::Ejected(cause),
            Phase::HalfOpen { cause, .. } => Standing::HalfOpen(cause),
        }
    }

    /// Success, speed, failures in a row, ejections, and until when it rests.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            success: self.success,
            speed: self.speed,
            run: self.run,
            ejections: self.ejections,
            until_ns: match self.phase {
                Phase::Ejected { until_ns, .. } => until_ns,
                Phase::Live | Phase::Rising { .. } => 0,
                Phase::Dialled { .. } | Phase::HalfOpen { .. } => 0,
            },
        }
    }
}

/// What an explanation shows of a node's inside.
pub(super) struct Figures {
    pub(super) success: f32,
    pub(super) speed: f32,
    pub(super) run: u32,
    pub(super) ejections: u32,
    pub(super) until_ns: u64,
}

/// What a change of a node needs from outside.
pub(super) struct Turn<'a> {
    pub(super) climate: &'a Climate,
    pub(super) random: u64,
}
