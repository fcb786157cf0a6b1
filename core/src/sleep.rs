//! Time for coroutines: sleeping, and giving way.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use msec_sys::clock;

use crate::deadline;
use crate::error::Result;
use crate::shard::{self, Timer};
use crate::sync::{Current, Wait, may_wait, nanoseconds, wait};
use crate::task::{self, Waiter};
use crate::timer::TimerId;

/// Sleeps that long, or up to a millisecond longer. Suspends the coroutine; on a plain thread, the
/// thread sleeps.
///
/// ```
/// # msec::Engine::start()?.run(|| {
/// msec::sleep(std::time::Duration::from_millis(2))
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// # Errors
/// -103 the task was cancelled; -2 this is the loop of a core.
pub fn sleep(duration: Duration) -> Result<()> {
    sleep_until(clock::now_ns().saturating_add(nanoseconds(duration)))
}

/// Sleeps until that time, in nanoseconds of the monotonic clock; see
/// [`clock::now_ns`](crate::clock::now_ns) and
/// [`Context::deadline_ns`](crate::Context::deadline_ns).
///
/// # Errors
/// As [`sleep`].
pub fn sleep_until(deadline_ns: u64) -> Result<()> {
    if shard::current().is_none() {
        sleep_thread(deadline_ns);
        return Ok(());
    }
    wait(&mut After::until(deadline_ns), None, "sleep")
}

/// A lock that nobody else knows is waited for in vain: the one way to let time pass that takes
/// no notice of what others may do to this thread.
fn sleep_thread(deadline_ns: u64) {
    let (nothing, never) = (Mutex::new(()), Condvar::new());
    let mut guard = nothing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let left_ns = deadline_ns.saturating_sub(clock::now_ns());
        if left_ns == 0 {
            return;
        }
        let woken = never.wait_timeout(guard, Duration::from_nanos(left_ns));
        guard = woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    }
}

/// Lets others of this core run, and goes on afterwards. For computations that take long: I/O is
/// served in between. On a plain thread, the thread gives way.
///
/// # Errors
/// -103 the task was cancelled; -2 this is the loop of a core.
pub fn yield_now() -> Result<()> {
    let Some(shard) = shard::current() else {
        std::thread::yield_now();
        return Ok(());
    };
    may_wait(&shard, "yield")?;
    deadline::watch(&shard);
    task::give_way(&shard);
    Ok(())
}

/// A [`Wait`] that is over after that time, counted from now. Over once, it stays over.
///
/// ```
/// use std::time::Duration;
/// use msec::sync::{Either, after, channel, select2};
///
/// # msec::Engine::start()?.run(|| {
/// let (sender, receiver) = channel::<u32>(1);
/// let mut end = after(Duration::from_millis(5));
/// let mut sum = 0;
/// while let Either::First(Some(n)) = select2(receiver.receiving(), &mut end)? {
///     sum += n;
/// }
/// # drop(sender);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
pub fn after(duration: Duration) -> After {
    After::until(clock::now_ns().saturating_add(nanoseconds(duration)))
}

/// The passing of time; see [`after`].
pub struct After {
    deadline_ns: u64,
    /// Whom the wheel will wake.
    timer: Option<(TimerId, Waiter)>,
}

impl After {
    /// Over at that time, in nanoseconds of the monotonic clock.
    pub fn until(deadline_ns: u64) -> Self {
        Self { deadline_ns, timer: None }
    }
}

impl Wait for After {
    type Output = ();

    fn poll(&mut self, current: &Current) -> Option<()> {
        // The turn's time may be old when the task has computed for long.
        if clock::now_ns() >= self.deadline_ns {
            self.leave();
            return Some(());
        }
        let (shard, waiter) = current.place()?;
        if self.timer.as_ref().is_none_or(|(_, woken)| woken != waiter) {
            self.leave();
            let wake = Timer::Wake(waiter.clone());
            let timer = shard.timers.borrow_mut().insert(self.deadline_ns, wake);
            self.timer = Some((timer, waiter.clone()));
        }
        None
    }

    fn leave(&mut self) {
        if let (Some((timer, _)), Some(shard)) = (self.timer.take(), shard::current()) {
            shard.timers.borrow_mut().cancel(timer);
        }
    }
}

impl Drop for After {
    fn drop(&mut self) {
        self.leave();
    }
}
