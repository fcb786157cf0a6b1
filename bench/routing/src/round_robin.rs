//! Round robin: each in turn, from a random start.
use msec_protocol::route::End;
use msec_protocol::route::sim::Router;

struct RoundRobin {
    count: usize,
    turn: usize,
}

/// A router for so many instances.
pub fn make(count: usize, random: u64) -> Box<dyn Router> {
    Box::new(RoundRobin { count, turn: random as usize % count })
}

impl Router for RoundRobin {
    fn pick(&mut self, _: u64, _: u64, _: &[u64]) -> Option<(usize, u64)> {
        self.turn = (self.turn + 1) % self.count;
        Some((self.turn, 0))
    }

    fn finished(&mut self, _: usize, _: u64, _: End, _: u64, _: u64) {}

    fn resized(&mut self, count: usize, _: u64) {
        self.count = count;
    }
}
