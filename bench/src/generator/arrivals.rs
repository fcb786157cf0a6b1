//! When requests are due in an open loop: at even distances, or as a Poisson process.
//!
//! Due times depend on nothing but the rate and the seed. They are never moved by an answer that is
//! late, which is what makes the latencies honest.

/// How due times are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Even distances.
    Constant,
    /// Exponential distances: many users who know nothing of each other.
    Poisson,
}

/// An endless row of due times.
#[derive(Debug)]
pub struct Arrivals {
    spacing: Spacing,
    distance_ns: f64,
    /// Kept as a float beside the integer, so that distances below a nanosecond's fraction do not
    /// drift.
    next_ns: f64,
    random: Random,
}

impl Arrivals {
    /// `rate` a second, from `start_ns` on. The rate must be above 0.
    pub fn new(start_ns: u64, rate: f64, spacing: Spacing, seed: u64) -> Self {
        assert!(rate > 0.0);
        Arrivals {
            spacing,
            distance_ns: 1e9 / rate,
            next_ns: start_ns as f64,
            random: Random(seed),
        }
    }

    /// When the next request is due.
    pub fn next_due_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// From the next request on, so many a second.
    pub fn change(&mut self, rate: f64) {
        assert!(rate > 0.0);
        self.distance_ns = 1e9 / rate;
    }

    /// Moves on to the request after it.
    pub fn advance(&mut self) {
        self.next_ns += match self.spacing {
            Spacing::Constant => self.distance_ns,
            // 1 - u lies in (0, 1]: the logarithm is finite.
            Spacing::Poisson => -(1.0 - self.random.fraction()).ln() * self.distance_ns,
        };
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to space arrivals and to mix methods, the same in
/// every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// In [0, 1).
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(spacing: Spacing, count: usize) -> Vec<u64> {
        let mut arrivals = Arrivals::new(1_000, 10_000.0, spacing, 7);
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(arrivals.next_due_ns());
            arrivals.advance();
        }
        times
    }

    #[test]
    fn constant_arrivals_are_one_distance_apart() {
        assert_eq!(due(Spacing::Constant, 3), [1_000, 101_000, 201_000]);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_much_as_their_mean() {
        let times = due(Spacing::Poisson, 100_001);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "deviation {}", variance.sqrt());
    }
}
