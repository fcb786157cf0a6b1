//! The workers of one generation, as decisions: what happened goes in with the time, what is to be
//! done comes out. No process, socket or clock is touched here.
//!
//! ```text
//!   starting ──ready──► serving ──leave──► leaving ──► gone
//!      │                  │ ended, or no sign of life: killed
//!      │ failed           ▼
//!      │               resting ──back-off over──► starting
//!      ▼
//!   before all were ready once: the whole crew has failed
//! ```
//!
//! A worker that ends by itself is replaced at once, with a report; if its successor ends soon,
//! too, the next rests longer, up to [`REST_MAX_NS`]. One that shows no sign of life is first asked
//! to say where it is (an abort), then killed.

/// A worker that lived so long before it ended is replaced at once.
const HEALTHY_NS: u64 = 10_000_000_000;
/// The first rest of a worker that ended early; each next one is twice as long.
const REST_NS: u64 = 100_000_000;
/// The longest rest.
const REST_MAX_NS: u64 = 10_000_000_000;
/// A worker that was asked to abort and has not ended by then is killed.
const ABORT_NS: u64 = 2_000_000_000;
/// Time that passed so long between two looks is nobody's fault: the machine stood still, or had no
/// processor for the supervisor either.
const GAP_NS: u64 = 1_000_000_000;
/// Beyond the time that peers have to leave: for requests in flight and the end of the plugin.
const FINISH_NS: u64 = 5_000_000_000;

/// The times that a crew keeps to, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For a worker to become ready.
    pub(crate) ready_ns: u64,
    /// Without a sign of life.
    pub(crate) heartbeat_ns: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start the worker with that index.
    Start(usize),
    /// Have it say where it is, and end.
    Abort(usize, String),
    /// End it.
    Kill(usize),
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting { since_ns: u64 },
    Serving { since_ns: u64, alive_ns: u64 },
    Aborting { until_ns: u64, since_ns: u64 },
    Resting { until_ns: u64 },
    Leaving { until_ns: u64 },
    Gone,
}

/// One worker.
#[derive(Clone, Debug)]
struct Slot {
    state: State,
    /// Ends in a row that came early.
    early_count: u32,
    restarts_count: u64,
}

/// How far a crew is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not all workers have been ready yet.
    Starting,
    /// It serves; workers that end are replaced.
    Serving,
    /// A worker could not start before all had: why.
    Failed(String),
    /// It was told to leave.
    Leaving,
    /// All its workers have left.
    Gone,
}

/// The workers of one generation.
#[derive(Clone, Debug)]
pub(crate) struct Crew {
    slots: Vec<Slot>,
    phase: Phase,
    times: Times,
    /// When time was looked at last.
    looked_ns: u64,
}

impl Crew {
    /// A crew whose workers are being started, all of them.
    pub(crate) fn new(count: usize, times: Times, now_ns: u64) -> Crew {
        let state = State::Starting { since_ns: now_ns };
        let slot = Slot { state, early_count: 0, restarts_count: 0 };
        let (slots, phase) = (vec![slot; count], Phase::Starting);
        Crew { slots, phase, times, looked_ns: now_ns }
    }

    /// How far it is.
    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Of each worker: what it does, in a word, and how often it was started anew.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.slots.iter().map(|slot| {
            let word = match slot.state {
                State::Starting { .. } => "starting",
                State::Serving { .. } => "serving",
                State::Aborting { .. } => "hung",
                State::Resting { .. } => "resting",
                State::Leaving { .. } => "leaving",
                State::Gone => "gone",
            };
            (word, slot.restarts_count)
        })
    }

    /// A worker takes calls.
    pub(crate) fn handle_ready(&mut self, index: usize, now_ns: u64) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if matches!(slot.state, State::Starting { .. }) {
            slot.state = State::Serving { since_ns: now_ns, alive_ns: now_ns };
        }
        let serves = |slot: &Slot| matches!(slot.state, State::Serving { .. });
        if self.phase == Phase::Starting && self.slots.iter().all(serves) {
            self.phase = Phase::Serving;
        }
    }

    /// The cores of a worker have looked.
    pub(crate) fn handle_alive(&mut self, index: usize, now_ns: u64) {
        if let Some(Slot { state: State::Serving { alive_ns, .. }, .. }) = self.slots.get_mut(index)
        {
            *alive_ns = now_ns;
        }
    }

    /// A worker has ended; `why` says how.
    pub(crate) fn handle_ended(&mut self, index: usize, why: &str, now_ns: u64) -> Vec<Action> {
        let is_starting = self.phase == Phase::Starting;
        let Some(slot) = self.slots.get_mut(index) else { return Vec::new() };
        let lived_ns = match slot.state {
            State::Serving { since_ns, .. } | State::Aborting { since_ns, .. } => {
                now_ns.saturating_sub(since_ns)
            }
            State::Starting { .. } | State::Resting { .. } => 0,
            State::Leaving { .. } | State::Gone => {
                slot.state = State::Gone;
                if self.slots.iter().all(|slot| slot.state == State::Gone) {
                    self.phase = Phase::Gone;
                }
                return Vec::new();
            }
        };
        if is_starting {
            slot.state = State::Gone;
            self.phase = Phase::Failed(why.to_owned());
            return Vec::new();
        }
        slot.early_count = if lived_ns >= HEALTHY_NS { 0 } else { slot.early_count + 1 };
        let rest_ns = match slot.early_count {
            // The first time in a while: somebody waits for it.
            0 | 1 => 0,
            count => REST_NS.saturating_mul(1 << (count - 2).min(32)).min(REST_MAX_NS),
        };
        slot.state = State::Resting { until_ns: now_ns + rest_ns };
        self.handle_time(now_ns)
    }

    /// Time has passed.
    pub(crate) fn handle_time(&mut self, now_ns: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let times = self.times;
        let gap_ns = now_ns.saturating_sub(std::mem::replace(&mut self.looked_ns, now_ns));
        if gap_ns > GAP_NS {
            self.forgive(gap_ns);
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot.state {
                State::Starting { since_ns } if now_ns >= since_ns + times.ready_ns => {
                    let why = format!("it was not ready within {} ms", times.ready_ns / 1_000_000);
                    let until_ns = now_ns + ABORT_NS;
                    if self.phase == Phase::Starting {
                        self.phase = Phase::Failed(why.clone());
                    }
                    slot.state = State::Aborting { until_ns, since_ns: now_ns };
                    actions.push(Action::Abort(index, why));
                }
                State::Serving { since_ns, alive_ns }
                    if now_ns >= alive_ns + times.heartbeat_ns =>
                {
                    let seconds = times.heartbeat_ns / 1_000_000_000;
                    let why = format!("it has shown no sign of life for {seconds} s");
                    slot.state = State::Aborting { until_ns: now_ns + ABORT_NS, since_ns };
                    actions.push(Action::Abort(index, why));
                }
                State::Aborting { until_ns, since_ns } if now_ns >= until_ns => {
                    // Once is enough; its end is waited for.
                    slot.state = State::Aborting { until_ns: u64::MAX, since_ns };
                    actions.push(Action::Kill(index));
                }
                State::Resting { until_ns } if now_ns >= until_ns => {
                    slot.state = State::Starting { since_ns: now_ns };
                    slot.restarts_count += 1;
                    actions.push(Action::Start(index));
                }
                State::Leaving { until_ns } if now_ns >= until_ns => {
                    slot.state = State::Leaving { until_ns: u64::MAX };
                    actions.push(Action::Kill(index));
                }
                State::Starting { .. }
                | State::Serving { .. }
                | State::Aborting { .. }
                | State::Resting { .. }
                | State::Leaving { .. }
                | State::Gone => {}
            }
        }
        actions
    }

    /// Gives workers time that nobody had.
    fn forgive(&mut self, gap_ns: u64) {
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Starting { since_ns } => *since_ns += gap_ns,
                State::Serving { alive_ns, .. } => *alive_ns += gap_ns,
                State::Aborting { until_ns, .. } | State::Leaving { until_ns } => {
                    *until_ns = until_ns.saturating_add(gap_ns);
                }
                State::Resting { .. } | State::Gone => {}
            }
        }
    }

    /// All are to leave, and have so long for it; those that rest are gone.
    pub(crate) fn leave(&mut self, grace_ns: u64, now_ns: u64) {
        for slot in &mut self.slots {
            slot.state = match slot.state {
                State::Resting { .. } | State::Gone => State::Gone,
                State::Starting { .. }
                | State::Serving { .. }
                | State::Aborting { .. }
                | State::Leaving { .. } => {
                    State::Leaving { until_ns: now_ns + grace_ns + FINISH_NS }
                }
            };
        }
        let gone = self.slots.iter().all(|slot| slot.state == State::Gone);
        self.phase = if gone { Phase::Gone } else { Phase::Leaving };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const TIMES: Times = Times { ready_ns: 5 * S, heartbeat_ns: 10 * S };

    /// Two workers, ready at second 1.
    fn serving() -> Crew {
        let mut crew = Crew::new(2, TIMES, 0);
        crew.handle_ready(0, S);
        assert_eq!(*crew.phase(), Phase::Starting);
        crew.handle_ready(1, S);
        assert_eq!(*crew.phase(), Phase::Serving);
        crew
    }

    /// Looks every half second until then; what is to be done at that moment.
    fn passes(crew: &mut Crew, now_ns: u64) -> Vec<Action> {
        let mut early = Vec::new();
        while crew.looked_ns + S / 2 < now_ns {
            early.extend(crew.handle_time(crew.looked_ns + S / 2));
        }
        assert_eq!(early, [], "too early");
        crew.handle_time(now_ns)
    }

    fn words(crew: &Crew) -> Vec<&'static str> {
        crew.states().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_crew_fails_with_its_first_worker_that_cannot_start() {
        let mut crew = Crew::new(2, TIMES, 0);
        crew.handle_ready(0, S);
        assert_eq!(crew.handle_ended(1, "init returned 7", 2 * S), []);
        assert_eq!(*crew.phase(), Phase::Failed("init returned 7".into()));
        crew.leave(0, 2 * S);
        assert_eq!(words(&crew), ["leaving", "gone"]);
        crew.handle_ended(0, "", 3 * S);
        assert_eq!(*crew.phase(), Phase::Gone);
    }

    #[test]
    fn a_worker_that_is_not_ready_in_time_is_aborted_and_then_killed() {
        let mut crew = Crew::new(1, TIMES, 0);
        assert_eq!(passes(&mut crew, 5 * S - 1), []);
        let why = "it was not ready within 5000 ms".to_owned();
        assert_eq!(passes(&mut crew, 5 * S), [Action::Abort(0, why.clone())]);
        assert_eq!(*crew.phase(), Phase::Failed(why));
        assert_eq!(passes(&mut crew, 6 * S), []);
        assert_eq!(passes(&mut crew, 7 * S), [Action::Kill(0)]);
        assert_eq!(passes(&mut crew, 60 * S), []);
    }

    #[test]
    fn a_worker_that_ends_is_replaced_at_once_and_later_each_time_that_it_ends_early() {
        let mut crew = serving();
        assert_eq!(crew.handle_ended(0, "killed", 20 * S), [Action::Start(0)]);
        crew.handle_ready(0, 21 * S);
        // Early, for the first time.
        assert_eq!(crew.handle_ended(0, "killed", 22 * S), [Action::Start(0)]);
        let mut at = 22 * S;
        for rest_ns in [S / 10, S / 5, 2 * S / 5] {
            assert_eq!(crew.handle_ended(0, "killed", at), []);
            assert_eq!(crew.handle_time(at + rest_ns - 1), []);
            at += rest_ns;
            assert_eq!(crew.handle_time(at), [Action::Start(0)]);
        }
        for _ in 0..60 {
            crew.handle_ended(0, "killed", at);
            at += REST_MAX_NS;
            assert_eq!(crew.handle_time(at), [Action::Start(0)]);
        }
        // Once it has lived, all is forgiven.
        crew.handle_ready(0, at);
        assert_eq!(crew.handle_ended(0, "killed", at + HEALTHY_NS), [Action::Start(0)]);
    }

    #[test]
    fn a_worker_without_a_sign_of_life_is_replaced() {
        let mut crew = serving();
        crew.handle_alive(1, 8 * S);
        let why = "it has shown no sign of life for 10 s".to_owned();
        assert_eq!(passes(&mut crew, 11 * S), [Action::Abort(0, why)]);
        assert_eq!(words(&crew), ["hung", "serving"]);
        assert_eq!(passes(&mut crew, 13 * S), [Action::Kill(0)]);
        assert_eq!(crew.handle_ended(0, "killed", 13 * S), [Action::Start(0)]);
        assert_eq!(*crew.phase(), Phase::Serving);
    }

    #[test]
    fn who_does_not_leave_in_time_is_killed_and_nobody_is_replaced() {
        let mut crew = serving();
        crew.leave(2 * S, 10 * S);
        assert_eq!(crew.handle_ended(0, "", 11 * S), []);
        assert_eq!(passes(&mut crew, 17 * S - 1), []);
        assert_eq!(passes(&mut crew, 17 * S), [Action::Kill(1)]);
        crew.handle_ended(1, "killed", 17 * S);
        assert_eq!(*crew.phase(), Phase::Gone);
    }

    #[test]
    fn time_that_nobody_had_is_not_counted() {
        let mut crew = serving();
        assert_eq!(passes(&mut crew, 2 * S), []);
        // The machine stood still for a minute.
        assert_eq!(crew.handle_time(62 * S), []);
        assert_eq!(passes(&mut crew, 70 * S), []);
        assert!(matches!(
            &passes(&mut crew, 71 * S)[..],
            [Action::Abort(0, _), Action::Abort(1, _)]
        ));
    }
}
