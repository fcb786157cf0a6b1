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
pub mod original;
pub mod p2c;
pub mod round_robin;

use msec_protocol::route::sim::{self, Felt, Router, World};

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
