//! Waits in vain: those that end with an error before they have begun.
//!
//! A wait of a cancelled task is refused at once, and so is one whose time is over before it
//! begins. Code that does not look at why it failed, and tries until it works, would then never
//! park, and have the core to itself for ever: nobody else on it would run, and nothing be read.
//!
//! So the waits in vain of a task are counted from park to park, and after [`VAIN_MAX`] of them
//! others come first. A cancelled task rests: nothing that it waits for will ever come, so a loop
//! of it is not to heat the core either, and its way out passes few waits. One that is out of time
//! just gives way, since to look whether there is something by a wait without time is honest work.
//!
//! The error is the same either way. What does park pays a store for all this.

use crate::shard::Shard;
use crate::task::{self, Woken};

/// So many waits in vain without a park cost nothing but themselves: more than it takes to end a
/// request in an orderly way.
const VAIN_MAX: u32 = 16;
/// A rest: so short that nobody takes it for a wait, so long that a loop costs no time.
const REST_NS: u64 = 1_000_000;

/// A wait of the running task is refused because it was cancelled. May suspend.
pub(crate) fn refused(shard: &Shard) {
    if !is_too_many(shard) {
        return;
    }
    // The turn's time may be old, and a rest must be one.
    let end_ns = shard.fresh_ns() + REST_NS;
    while !std::thread::panicking()
        && task::park_until(shard, end_ns, "a rest from waits in vain") != Woken::TimedOut
    {}
}

/// The time of a wait of the running task is over. May suspend.
pub(crate) fn out_of_time(shard: &Shard) {
    if is_too_many(shard) {
        task::give_way(shard);
    }
}

/// Counts one. Never too many while a panic unwinds the stack, which cannot be left then.
fn is_too_many(shard: &Shard) -> bool {
    let Some(running) = shard.tasks.current() else { return false };
    !std::thread::panicking() && running.count_vain() > VAIN_MAX
}
