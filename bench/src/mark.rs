//! What the caller of the rows about faults says whenever it is asked: all that became of its calls
//! since it was asked before.

use serde::{Deserialize, Serialize};

use crate::generator::report::Latency;

/// The calls that ended since the mark before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// How many.
    pub calls: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Of those, begun before the caller had seen any call fail: they were in flight when whoever
    /// they were sent to died.
    pub in_flight: u64,
    /// Why calls failed: the first text.
    pub reason: Option<String>,
    /// Of the calls that did not fail, from when they were due.
    pub latency: Latency,
    /// How many calls each instance says that it has answered since it was started; `None`: it
    /// does not say.
    pub served: Vec<Option<u64>>,
}

impl Mark {
    /// The part of the calls answered since an earlier mark that this instance has answered.
    pub fn share_since(&self, earlier: &Mark, instance: usize) -> f64 {
        let since = |index: usize| {
            let now = self.served.get(index).copied().flatten().unwrap_or(0);
            let then = earlier.served.get(index).copied().flatten().unwrap_or(0);
            // One that was started anew counts from nothing.
            if now < then { now } else { now - then }
        };
        let all: u64 = (0..self.served.len()).map(since).sum();
        since(instance) as f64 / all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_was_answered_since_and_a_new_process_begins_at_nothing() {
        let mark = |served: [Option<u64>; 3]| Mark { served: served.to_vec(), ..Mark::default() };
        let earlier = mark([Some(100), Some(100), Some(500)]);
        let share = |served| mark(served).share_since(&earlier, 2);
        assert!((share([Some(140), Some(140), Some(520)]) - 0.2).abs() < 1e-9);
        assert!((share([Some(140), Some(140), Some(20)]) - 0.2).abs() < 1e-9);
        assert!(share([Some(140), Some(140), None]) < 1e-9);
    }
}
