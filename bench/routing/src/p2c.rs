//! Power of two choices by peak-EWMA, as Finagle documents it: the cost of an instance is a moving
//! average of its round trips that follows peaks at once and decays over ten seconds, times the
//! calls in flight to it and one. Failures count by the time they took, as any call does.
use msec_protocol::route::End;
use msec_protocol::route::sim::Router;

/// Finagle's default.
const DECAY_NS: f64 = 10e9;
/// What an instance is taken for of which nothing is known, once calls are out to it.
const PENALTY_NS: f64 = 1e12;

#[derive(Clone, Copy, Default)]
struct Load {
    average_ns: f64,
    stamp_ns: u64,
    in_flight: u32,
}

struct P2c {
    loads: Vec<Load>,
}

/// A router for so many instances.
pub fn make(count: usize, _: u64) -> Box<dyn Router> {
    Box::new(P2c { loads: vec![Load::default(); count] })
}

impl Load {
    fn observe(&mut self, round_trip_ns: f64, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.stamp_ns) as f64;
        self.stamp_ns = now_ns;
        let keep = (-passed_ns / DECAY_NS).exp();
        self.average_ns = if round_trip_ns > self.average_ns {
            round_trip_ns
        } else {
            self.average_ns * keep + round_trip_ns * (1.0 - keep)
        };
    }

    fn cost(&mut self, now_ns: u64) -> f64 {
        self.observe(0.0, now_ns);
        if self.average_ns == 0.0 && self.in_flight > 0 {
            return PENALTY_NS + f64::from(self.in_flight);
        }
        self.average_ns * f64::from(self.in_flight + 1)
    }
}

impl Router for P2c {
    fn pick(&mut self, now_ns: u64, random: u64, _: &[u64]) -> Option<(usize, u64)> {
        let count = self.loads.len() as u64;
        let one = (random >> 32) % count;
        let other = (one + 1 + (random & 0xffff_ffff) % (count - 1).max(1)) % count;
        let (one, other) = (one as usize, other as usize);
        let cheaper = self.loads[one].cost(now_ns) <= self.loads[other].cost(now_ns);
        let index = if cheaper { one } else { other };
        self.loads[index].in_flight += 1;
        Some((index, 0))
    }

    fn finished(&mut self, index: usize, _: u64, _: End, latency_ns: u64, now_ns: u64) {
        self.loads[index].in_flight -= 1;
        self.loads[index].observe(latency_ns as f64, now_ns);
    }

    fn resized(&mut self, count: usize, _: u64) {
        self.loads.resize(count, Load::default());
    }
}
