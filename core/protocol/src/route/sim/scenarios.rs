//! The troubles that routers are compared in.
//!
//! Ten instances, each with eight places and 5 ms of work a call, so that the ten together manage
//! 16,000 calls a second, and a thousand callers that make six a second each. The trouble comes
//! after five seconds of thirty.
use super::{Callers, Fault, MS, Plan, SECOND, World};
use alloc::vec;
use alloc::vec::Vec;

/// A world in trouble.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is wrong, in few words.
    pub name: &'static str,
    /// In which world.
    pub world: World,
}

const ALL: usize = usize::MAX;

/// One instance, from five seconds on, for all callers.
fn plan(fault: Fault) -> Plan {
    Plan {
        first: 0,
        count: 1,
        from_ns: 5 * SECOND,
        to_ns: u64::MAX,
        flap_ns: 0,
        fault,
        callers: ALL,
    }
}

/// A quiet world.
pub fn quiet(seed: u64) -> World {
    World {
        seed,
        duration_ns: 30 * SECOND,
        instances: 10,
        joins: None,
        cold: (1.0, 0),
        places: 8,
        work_ns: 5 * MS,
        callers: vec![Callers { count: 1000, rate: 6.0 }],
        plans: Vec::new(),
        retries: false,
    }
}

/// All of them, from one seed.
pub fn all(seed: u64) -> Vec<Scenario> {
    let with = |name, plans| Scenario { name, world: World { plans, ..quiet(seed) } };
    let outage = Plan { count: 10, to_ns: 10 * SECOND, ..plan(Fault::Dead) };
    let partition = Plan { count: 3, callers: 300, ..plan(Fault::Dark) };
    let back = Plan { to_ns: 15 * SECOND, ..plan(Fault::Dead) };
    let mut scenarios = vec![
        with("nothing wrong", vec![]),
        with("one of ten dead", vec![plan(Fault::Dead)]),
        with("one of ten dark", vec![plan(Fault::Dark)]),
        with("one of ten 10x slow", vec![plan(Fault::Slow(10.0))]),
        with("one of ten fails 30 %", vec![plan(Fault::Failing(0.3))]),
        with("all fail 30 %", vec![Plan { count: 10, ..plan(Fault::Failing(0.3)) }]),
        with("flapping, 2 s", vec![Plan { flap_ns: 2 * SECOND, ..plan(Fault::Dead) }]),
        with("dead for 10 s, then back", vec![back]),
        with("total outage, 5 s", vec![outage]),
        with("partial partition", vec![partition]),
    ];
    let joins = World { joins: Some((9, 5 * SECOND)), cold: (20.0, 5 * SECOND), ..quiet(seed) };
    scenarios.push(Scenario { name: "slow start", world: joins });
    let kinds = vec![Callers { count: 1, rate: 5000.0 }, Callers { count: 200, rate: 5.0 }];
    let plans = vec![plan(Fault::Dead), Plan { first: 1, ..plan(Fault::Slow(10.0)) }];
    let rates = World { callers: kinds, plans, ..quiet(seed) };
    scenarios.push(Scenario { name: "5,000/s and 5/s, dead + slow", world: rates });
    scenarios
}
