//! The original engine's algorithm, by its formulas, with its defaults.
//!
//! Every five seconds a caller's host judges each instance that had ten calls: a success ratio of
//! 0.98 or more earns a twentieth of the static weight back, less costs the factor ratio², none at
//! all is death. When more than half are below half their weight, nobody is lowered and the base is
//! the overall ratio. The dead get one call in a window; a success brings them back with a tenth.
//! Within a window, an instance with ten calls and a ratio below 0.6 is passed over once, for a
//! uniformly random one. Latency plays no part.
use msec_protocol::route::End;
use msec_protocol::route::sim::Router;

const WINDOW_NS: u64 = 5_000_000_000;
const REQUESTS_MIN: u32 = 10;
const RATIO_BASE: f64 = 0.98;
const RATIO_MIN: f64 = 0.6;
const RESUME_RATIO: f64 = 0.1;
const DEAD_RETRY_RATIO: f64 = 0.01;
const LOW_WATERMARK: f64 = 0.5;
const LOW_RATIO: f64 = 0.5;
const INCREASE_RATIO: f64 = 0.05;
const STATIC: f64 = 100.0;

#[derive(Clone, Copy)]
struct Instance {
    weight: f64,
    dead: bool,
    good: u32,
    bad: u32,
}

impl Instance {
    const NEW: Instance = Instance { weight: STATIC, dead: false, good: 0, bad: 0 };
}

struct Original {
    instances: Vec<Instance>,
    /// Calls that may still go to the dead in this window.
    tokens: u32,
    dead_zone: f64,
    next_ns: u64,
}

/// A router for so many instances. Hosts do not judge in step.
pub fn make(count: usize, random: u64) -> Box<dyn Router> {
    Box::new(Original {
        instances: vec![Instance::NEW; count],
        tokens: 0,
        dead_zone: 0.0,
        next_ns: random % WINDOW_NS,
    })
}

impl Original {
    fn judge(&mut self) {
        let all = &mut self.instances;
        let low = all.iter().filter(|one| one.weight / STATIC < LOW_WATERMARK).count();
        let protective = low as f64 / all.len() as f64 > LOW_RATIO;
        let judged = |one: &Instance| one.dead || one.good + one.bad >= REQUESTS_MIN;
        let (mut good, mut ended) = (0, 0);
        for one in all.iter().filter(|one| judged(one)) {
            good += one.good;
            ended += one.good + one.bad;
        }
        let overall = if ended == 0 { 1.0 } else { f64::from(good) / f64::from(ended) };
        let base = if protective { overall.min(RATIO_BASE) } else { RATIO_BASE };
        for one in all.iter_mut().filter(|one| judged(one)) {
            let ended = one.good + one.bad;
            let ratio = f64::from(one.good) / f64::from(ended.max(1));
            (one.good, one.bad) = (0, 0);
            if ended == 0 {
                continue;
            }
            if ratio >= base && ratio > 0.00001 {
                let back = (STATIC * RESUME_RATIO).floor().max(1.0);
                let more = one.weight + (STATIC * INCREASE_RATIO).floor().max(1.0);
                one.weight = if one.dead { back } else { more.min(STATIC) };
                one.dead = false;
            } else if ratio <= 0.00001 {
                (one.weight, one.dead) = (0.0, true);
            } else if !protective {
                one.weight = (one.weight * ratio * ratio).floor();
                one.dead = one.weight == 0.0;
            }
        }
        let dead = all.iter().filter(|one| one.dead).count();
        let sum: f64 = all.iter().map(|one| one.weight).sum();
        self.dead_zone = if dead > 0 { (sum * DEAD_RETRY_RATIO + 1.0).floor() } else { 0.0 };
        self.tokens = u32::from(dead > 0);
    }

    fn any(&self, random: u64, of: impl Fn(&Instance) -> bool) -> usize {
        let usable: Vec<usize> =
            (0..self.instances.len()).filter(|index| of(&self.instances[*index])).collect();
        usable[random as usize % usable.len()]
    }
}

impl Router for Original {
    fn pick(&mut self, now_ns: u64, random: u64, _: &[u64]) -> Option<(usize, u64)> {
        if now_ns >= self.next_ns {
            self.judge();
            self.next_ns = now_ns + WINDOW_NS;
        }
        let sum: f64 = self.instances.iter().map(|one| one.weight).sum();
        if sum == 0.0 {
            return Some((self.any(random, |_| true), 0));
        }
        let fraction = (random >> 11) as f64 / (1u64 << 53) as f64;
        let drawn = (fraction * (sum + self.dead_zone)).floor();
        if drawn >= sum && self.tokens > 0 {
            self.tokens -= 1;
            return Some((self.any(random & 0xffff_ffff, |one| one.dead), 0));
        }
        let mut left = if drawn >= sum { fraction * sum } else { drawn };
        let mut index = self.any(random & 0xffff, |one| one.weight > 0.0);
        for (candidate, one) in self.instances.iter().enumerate() {
            if left < one.weight {
                index = candidate;
                break;
            }
            left -= one.weight;
        }
        let one = &self.instances[index];
        let ended = one.good + one.bad;
        let poor = f64::from(one.good) < RATIO_MIN * f64::from(ended);
        if ended >= REQUESTS_MIN && poor {
            index = self.any(random & 0xff_ffff, |_| true);
        }
        Some((index, 0))
    }

    fn finished(&mut self, index: usize, _: u64, end: End, _: u64, _: u64) {
        let one = &mut self.instances[index];
        // Any complete answer counts as success, as in the original; there a fault is one, too. It
        // is counted as failure here, which is kinder to it than it was.
        if end == End::Answered { one.good += 1 } else { one.bad += 1 }
    }

    fn resized(&mut self, count: usize, _: u64) {
        self.instances.resize(count, Instance::NEW);
    }
}
