//! Cancellation: a flag that a request and everything it started share.
//!
//! Cancelling never unwinds a stack: business frames may catch and swallow, or be `noexcept`. It
//! sets the flag and wakes the tasks, and every blocking call of theirs then returns an error
//! that says so.
//!
//! The flag may be set from any thread: a request that was handed to another core is cancelled
//! from the core of its connection. Waking goes through the cores' mailboxes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::Cores;

/// Names a job of a task in the whole process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskId {
    pub(crate) core: u16,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Index bits of a packed id: 2^24 tasks a core, 2^8 cores.
const INDEX_BITS: u32 = 24;
/// No task.
const NOBODY: u64 = u64::MAX;

impl TaskId {
    fn pack(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.core) << INDEX_BITS
            | u64::from(self.index)
    }

    fn unpack(word: u64) -> Self {
        Self {
            generation: (word >> 32) as u32,
            core: (word >> INDEX_BITS) as u16 & 0xff,
            index: word as u32 & ((1 << INDEX_BITS) - 1),
        }
    }
}

/// The flag, and whom to wake.
pub(crate) struct Cancel {
    set: AtomicBool,
    /// The task that serves the request, which most often is the only one.
    first: AtomicU64,
    /// Tasks that it spawned. Held for a push or a swap, never across anything that blocks.
    others: Mutex<Vec<TaskId>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            set: AtomicBool::new(false),
            first: AtomicU64::new(NOBODY),
            others: Mutex::default(),
        }
    }
}

impl Cancel {
    /// Whether it was cancelled. One relaxed load.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// Tells whom to wake first.
    #[inline]
    pub(crate) fn serve_on(&self, task: TaskId) {
        // Ordered before every later look at the flag, as `cancel` orders the flag before this.
        self.first.store(task.pack(), Ordering::SeqCst);
    }

    /// Adds a task to be woken as well. The list forgets nobody; waking a finished job does nothing.
    pub(crate) fn also(&self, task: TaskId) {
        let mut others = self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A request that spawns for ever would grow this for ever: forget the older half, whose
        // tasks are most likely over, and still see the flag at their next blocking call.
        if others.len() == OTHERS_MAX {
            others.drain(..OTHERS_MAX / 2);
        }
        others.push(task);
    }

    /// Sets the flag and wakes everybody. Again has no effect.
    pub(crate) fn cancel(&self, cores: &Cores) {
        if self.set.swap(true, Ordering::SeqCst) {
            return;
        }
        let first = self.first.load(Ordering::SeqCst);
        if first != NOBODY {
            cores.wake(TaskId::unpack(first));
        }
        let others = std::mem::take(
            &mut *self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
        );
        others.into_iter().for_each(|task| cores.wake(task));
    }

    /// Makes it new for another request; only its sole owner can.
    pub(crate) fn reset(&mut self) {
        *self.set.get_mut() = false;
        *self.first.get_mut() = NOBODY;
        self.others.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }
}

/// Most spawned tasks of one request that a cancel wakes by name.
const OTHERS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_survives_packing() {
        let id = TaskId { core: 200, index: 0x00ab_cdef, generation: 0xfeed_beef };
        assert_eq!(TaskId::unpack(id.pack()), id);
    }
}
