//! Tasks: coroutines of one's own, and what they do with time.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use event_listener::Event;
use msec::{Code, Error, Result};

use crate::carried::Carried;
use crate::engine::{free, msec_engine};
use crate::guard;

/// A function on a coroutine of its own. Usable from every thread.
#[allow(non_camel_case_types)]
pub struct msec_task(Arc<Joint>);

impl msec_task {
    /// What is over when the task has ended.
    pub(crate) fn ended(&self) -> impl Future<Output = i32> + use<> {
        let joint = self.0.clone();
        async move {
            loop {
                let listener = joint.ended.listen();
                match joint.state.load(Ordering::Acquire) {
                    RUNNING => listener.await,
                    state => return state,
                }
            }
        }
    }
}

/// What a task and whoever joins it share.
struct Joint {
    /// `RUNNING`, `LOST`, or what the function returned.
    state: AtomicI32,
    ended: Event,
}

const RUNNING: i32 = i32::MIN;
const LOST: i32 = i32::MIN + 1;

/// The function of a task; what it returns is handed to who joins it. No C++ exception may leave
/// it.
pub type msec_task_function = Option<unsafe extern "C" fn(argument: *mut c_void) -> i32>;

/// Tells the joiners, also when the function never ran.
struct Ending(Arc<Joint>);

impl Ending {
    fn end(&self, state: i32) {
        self.0.state.store(state, Ordering::Release);
        self.0.ended.notify(usize::MAX);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.state.load(Ordering::Acquire) == RUNNING {
            self.end(LOST);
        }
    }
}

/// Runs a function as a coroutine: on the core of the caller, whose deadline, cancellation, flow id
/// and dye it inherits; from a thread that is no core's, on one of the engine's cores. It starts
/// when its core next looks for work. `task` may be NULL for who does not want to join it; else it
/// is to be given to `msec_task_join` or `msec_task_free`.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_spawn(
    engine: *const msec_engine,
    function: msec_task_function,
    argument: *mut c_void,
    task: *mut *mut msec_task,
) -> i32 {
    guard!([engine] {
        let missing = || Error::new(Code::INVALID_PARAMETER, "function is NULL");
        let function = function.ok_or_else(missing)?;
        let joint = Arc::new(Joint { state: AtomicI32::new(RUNNING), ended: Event::new() });
        let (ending, argument) = (Ending(joint.clone()), Carried::new(argument));
        // SAFETY: not NULL, so live.
        unsafe { &*engine }.0.spawn(move || {
            // SAFETY: the header asks for a function that can be called so.
            ending.end(unsafe { function(argument.pointer()) }.max(LOST + 1));
        });
        if !task.is_null() {
            // SAFETY: a place for a pointer.
            unsafe { task.write(Box::into_raw(Box::new(msec_task(joint)))) };
        }
        Ok(())
    })
}

/// Waits until a task has ended: suspends the coroutine, or blocks the thread. `returned`, if not
/// NULL, becomes what the function returned. The handle is used up by success; after a failure it
/// may be joined again. `timeout_ms` 0 waits as long as it takes.
///
/// Errors: -10 it goes on; -103 the caller was cancelled; -101 it never ran: no stack was left.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_task_join(
    task: *mut msec_task,
    timeout_ms: u32,
    returned: *mut i32,
) -> i32 {
    guard!([task] {
        // SAFETY: not NULL, so live.
        let state = wait(unsafe { &*task }.ended(), timeout_ms)?;
        // SAFETY: as the header says.
        unsafe { take(task, state, returned) }
    })
}

/// As `msec_task_join` without a limit, but waits on when the caller is cancelled: for who must not
/// go before the task, which uses what is on his stack. A task that he spawned on a coroutine is
/// cancelled with him, and ends by that.
///
/// Errors: -101 it never ran: no stack was left; -2 it goes on, and this is a core's loop.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_task_join_uncancelled(
    task: *mut msec_task,
    returned: *mut i32,
) -> i32 {
    guard!([task] {
        // SAFETY: not NULL, so live.
        let state = msec::block_on_uncancelled(unsafe { &*task }.ended())?;
        // SAFETY: as the header says.
        unsafe { take(task, state, returned) }
    })
}

/// Uses up a task that has ended.
///
/// # Safety
/// `task` is one that was given away; `returned` is NULL or a place for a number.
unsafe fn take(task: *mut msec_task, state: i32, returned: *mut i32) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { free(task) };
    if state == LOST {
        return Err(Error::new(Code::OVERLOADED, "the task never ran"));
    }
    // SAFETY: the caller's promise.
    if let Some(place) = unsafe { returned.as_mut() } {
        *place = state;
    }
    Ok(())
}

/// Lets a task go on by itself. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_task_free(task: *mut msec_task) {
    // SAFETY: NULL, or what `msec_spawn` gave away.
    guard::or((), || unsafe { free(task) });
}

/// Suspends the coroutine for `ms` milliseconds, or blocks the thread if it is not a core's.
///
/// Errors: -103 the caller was cancelled; -2 on a core's loop, where nothing can wait.
#[unsafe(no_mangle)]
pub extern "C" fn msec_sleep(ms: u32) -> i32 {
    guard!([] { msec::sleep(Duration::from_millis(ms.into())) })
}

/// Lets the other coroutines of the core run that are ready.
///
/// Errors: -103 the caller was cancelled; -2 on a core's loop, where nothing can wait.
#[unsafe(no_mangle)]
pub extern "C" fn msec_yield() -> i32 {
    guard!([] { msec::yield_now() })
}

/// Whether the calling code runs on a coroutine, where it may suspend.
#[unsafe(no_mangle)]
pub extern "C" fn msec_on_coroutine() -> bool {
    msec::coroutine::on_coroutine()
}

/// Waits for a future; 0 milliseconds are as long as it takes.
pub(crate) fn wait<F: Future>(future: F, timeout_ms: u32) -> Result<F::Output> {
    match timeout_ms {
        0 => msec::block_on(future),
        ms => msec::block_on_timeout(future, Duration::from_millis(ms.into())),
    }
}
