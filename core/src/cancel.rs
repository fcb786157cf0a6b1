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
    /// It as a number, which is not 0.
    pub(crate) fn number(self) -> u64 {
        self.pack().wrapping_add(1)
    }

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
    /// Some were added to `others` since the last reset.
    has_others: AtomicBool,
    /// Tasks that it spawned. Held for a push or a swap, never across anything that blocks.
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    tasks: Vec<TaskId>,
    /// Those of `tasks` that were live when it was last cleaned.
    live_count: usize,
}

impl Default for Cancel {
    fn default() -> Self {
        Self {
            set: AtomicBool::new(false),
            first: AtomicU64::new(NOBODY),
            has_others: AtomicBool::new(false),
            others: Mutex::default(),
        }
    }
}

impl Cancel {
    /// Whether it was cancelled. One load, which stays behind the store of
    /// [`serve_on`](Cancel::serve_on): a cancel that misses the one is seen by the other.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    /// Tells whom to wake first, of a request that only this very thread can cancel.
    #[inline]
    pub(crate) fn serve_here(&self, task: TaskId) {
        self.first.store(task.pack(), Ordering::Relaxed);
    }

    /// Tells whom to wake first.
    pub(crate) fn serve_on(&self, task: TaskId) {
        // Ordered before every later look at the flag, as `cancel` orders the flag before this.
        self.first.store(task.pack(), Ordering::SeqCst);
    }

    /// Adds a task to be woken as well. Those that are not live any more are forgotten now and
    /// then, so that a request which spawns for ever does not grow this for ever.
    pub(crate) fn also(&self, task: TaskId, is_live: impl Fn(TaskId) -> bool) {
        let mut others = self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // At twice what was left last time: a look at each task costs each spawn at most two.
        if others.tasks.len() >= 2 * others.live_count + OTHERS_MIN {
            others.tasks.retain(|task| is_live(*task));
            others.live_count = others.tasks.len();
        }
        others.tasks.push(task);
        self.has_others.store(true, Ordering::Relaxed);
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
        others.tasks.into_iter().for_each(|task| cores.wake(task));
    }

    /// Makes it new for another request, once nobody looks at it or adds to it any more.
    #[inline]
    pub(crate) fn reset(&self) {
        self.set.store(false, Ordering::Relaxed);
        self.first.store(NOBODY, Ordering::Relaxed);
        if self.has_others.load(Ordering::Relaxed) {
            self.forget_others();
        }
    }

    #[cold]
    fn forget_others(&self) {
        self.has_others.store(false, Ordering::Relaxed);
        let mut others = self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        others.tasks.clear();
        others.live_count = 0;
    }
}

/// Fewer spawned tasks than these are not looked through.
const OTHERS_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tasks_that_are_over_are_forgotten() {
        let cancel = Cancel::default();
        let id = |index| TaskId { core: 0, index, generation: 0 };
        // Every third one stays live.
        (0..10_000).for_each(|index| cancel.also(id(index), |task| task.index % 3 == 0));
        let others = cancel.others.into_inner().unwrap();
        assert!(others.tasks.len() < 10_000, "most of them are forgotten");
        let kept = others.tasks.iter().filter(|task| task.index % 3 == 0).count();
        assert_eq!(kept, 10_000_usize.div_ceil(3));
    }

    #[test]
    fn a_task_id_survives_packing() {
        let id = TaskId { core: 200, index: 0x00ab_cdef, generation: 0xfeed_beef };
        assert_eq!(TaskId::unpack(id.pack()), id);
    }
}
