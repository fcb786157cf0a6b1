//! How many instances were taken out of rotation, and for what.
//!
//! Counted where it happens: an ejection that a core only hears of was counted by the core that it
//! hears it from. What is tried out again and fails again was not in rotation, and is not counted
//! anew.
use super::super::node::{Cause, Node, Standing};

/// Ejections, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    counts: [u64; Cause::ALL.len()],
}

impl Ejections {
    /// A node has changed that was in rotation before, or was not.
    #[inline]
    pub(super) fn note(&mut self, was_in: bool, node: &Node) {
        if was_in && let Standing::Ejected(cause) = node.standing() {
            self.counts[cause as usize] += 1;
        }
    }

    /// Adds what another balancer has counted.
    pub fn add(&mut self, other: &Ejections) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// Each cause that was met, and how often.
    pub fn each(&self) -> impl Iterator<Item = (Cause, u64)> {
        let all = Cause::ALL.iter().zip(self.counts);
        all.map(|((cause, _), count)| (*cause, count)).filter(|(_, count)| *count != 0)
    }
}
