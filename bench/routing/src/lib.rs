//! Routing algorithms, compared: how many calls fail, and how long the slow ones take, when
//! instances die, hang, slow down, fail or come back.
//!
//! The world is the product's simulator ([`msec_protocol::route::sim`]); the algorithms of others
//! are written here, from their documentation and formulas, and are no part of the product:
//!
//! | name | what |
//! |---|---|
//! | `adaptive` | the product's balancer, as it is on each core |
//! | `adaptive+retry` | the same, and what surely did not start is sent again, under the budget |
//! | `round robin` | each in turn, whatever happens |
//! | `p2c-ewma` | two by chance, the lesser peak-EWMA × (calls in flight + 1), as in Finagle |
//! | `original` | the original engine's: weights by success² every 5 s, probes for the dead |
//!
//! Everything follows from one seed, and no clock of this machine is in it: the runner takes the
//! stories from here in one run and judges them.
pub mod original;
pub mod p2c;
pub mod round_robin;

use msec_protocol::route::sim::{self, Felt, Router, World, scenarios};
use serde::Serialize;

/// An algorithm to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    /// Its name in the table.
    pub name: &'static str,
    /// A router for so many instances, with a number of its own.
    pub make: fn(usize, u64) -> Box<dyn Router>,
    /// Whether its callers send calls again.
    pub retries: bool,
}

/// All of them; the product's first.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm { name: "adaptive", make: adaptive, retries: false },
    Algorithm { name: "adaptive+retry", make: adaptive, retries: true },
    Algorithm { name: "round robin", make: round_robin::make, retries: false },
    Algorithm { name: "p2c-ewma", make: p2c::make, retries: false },
    Algorithm { name: "original", make: original::make, retries: false },
];

fn adaptive(count: usize, _: u64) -> Box<dyn Router> {
    Box::new(sim::Adaptive::new(count))
}

/// What callers of a world feel with an algorithm.
pub fn felt(world: &World, algorithm: &Algorithm) -> Felt {
    let world = World { retries: algorithm.retries, ..world.clone() };
    sim::run(&world, algorithm.make)
}

/// What became of the calls of one trouble, with every algorithm.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// What is wrong.
    pub name: &'static str,
    /// Calls that were made.
    pub calls: u64,
    /// Where there are callers of several kinds: they.
    pub kinds: Vec<Kind>,
    /// In the order of [`ALGORITHMS`].
    pub results: Vec<Result>,
}

/// Callers of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// Calls a second of each.
    pub rate: f64,
    /// Calls of all of them.
    pub calls: u64,
}

/// What callers felt with one algorithm.
#[derive(Clone, Debug, Serialize)]
pub struct Result {
    /// The algorithm.
    pub algorithm: &'static str,
    /// Calls that failed.
    pub failed: u64,
    /// The 99th percentile of the calls that were answered or timed out, in milliseconds.
    pub p99_ms: f64,
    /// By kind of callers, where there are several.
    pub failed_of_kind: Vec<u64>,
}

/// All troubles, from one seed.
pub fn stories(seed: u64) -> Vec<Story> {
    scenarios::all(seed).iter().map(|one| story(one.name, &one.world)).collect()
}

/// One trouble, with every algorithm.
pub fn story(name: &'static str, world: &World) -> Story {
    let all: Vec<Felt> = ALGORITHMS.iter().map(|algorithm| felt(world, algorithm)).collect();
    let has_kinds = world.callers.len() > 1;
    let kinds = world.callers.iter().zip(&all[0].kinds);
    let kinds = kinds.map(|(callers, (calls, _))| Kind { rate: callers.rate, calls: *calls });
    let result = |(algorithm, felt): (&Algorithm, &Felt)| Result {
        algorithm: algorithm.name,
        failed: felt.failed,
        p99_ms: felt.p99_ms(),
        failed_of_kind: felt
            .kinds
            .iter()
            .map(|(_, failed)| *failed)
            .filter(|_| has_kinds)
            .collect(),
    };
    Story {
        name,
        calls: all[0].calls,
        kinds: kinds.filter(|_| has_kinds).collect(),
        results: ALGORITHMS.iter().zip(&all).map(result).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use msec_protocol::route::sim::Callers;

    /// A trouble, with so few callers that it takes no time.
    fn small(name: &'static str) -> Story {
        let scenario = scenarios::all(1).into_iter().find(|one| one.name == name);
        let world = scenario.expect("there is such a trouble").world;
        story(name, &World { callers: vec![Callers { count: 20, rate: 20.0 }], ..world })
    }

    fn failed(story: &Story, algorithm: &str) -> u64 {
        story.results.iter().find(|one| one.algorithm == algorithm).expect("it takes part").failed
    }

    #[test]
    fn with_nothing_wrong_nobody_fails() {
        assert!(small("nothing wrong").results.iter().all(|one| one.failed == 0));
    }

    #[test]
    fn round_robin_loses_a_tenth_of_the_calls_to_a_dead_one_of_ten() {
        let story = small("one of ten dead");
        // Dead for 25 of 30 seconds.
        let expect = story.calls as f64 / 10.0 * 25.0 / 30.0;
        let found = failed(&story, "round robin") as f64;
        assert!((found / expect - 1.0).abs() < 0.05, "{found}, not {expect}");
    }

    #[test]
    fn who_learns_loses_less_than_who_does_not() {
        let story = small("one of ten dead");
        let blind = failed(&story, "round robin");
        assert!(failed(&story, "original") < blind && failed(&story, "adaptive") < blind / 2);
    }

    #[test]
    fn a_failure_that_is_quick_draws_calls_to_where_only_latency_counts() {
        let story = small("one of ten dead");
        assert!(failed(&story, "p2c-ewma") > failed(&story, "round robin"));
    }
}
