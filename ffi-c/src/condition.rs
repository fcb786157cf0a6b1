//! Conditions: waiting until others have changed what a mutex protects.

use std::ptr;
use std::sync::Arc;

use event_listener::Event;

use crate::engine::free;
use crate::guard;
use crate::mutex::msec_mutex;
use crate::task::wait;

/// What coroutines and threads wait for together. Usable from every core and thread.
#[allow(non_camel_case_types)]
pub struct msec_condition(Arc<Event>);

/// A condition that nobody waits for. To be given back with `msec_condition_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_condition_new() -> *mut msec_condition {
    guard::or(ptr::null_mut(), || Box::into_raw(Box::new(msec_condition(Arc::new(Event::new())))))
}

/// Frees a condition that nobody waits for. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_condition_free(condition: *mut msec_condition) {
    // SAFETY: NULL, or what `msec_condition_new` gave away.
    guard::or((), || unsafe { free(condition) });
}

/// Gives up `mutex`, which the caller holds, waits to be notified, and takes the mutex again, also
/// after a failure. May return without anything having changed: look again. `timeout_ms` 0 waits as
/// long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled, and then the mutex is not held.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_condition_wait(
    condition: *const msec_condition,
    mutex: *const msec_mutex,
    timeout_ms: u32,
) -> i32 {
    guard!([condition, mutex] {
        // SAFETY: not NULL, so live.
        let (condition, mutex) = unsafe { ((&*condition).0.clone(), (&*mutex).shared()) };
        let listener = condition.listen();
        mutex.unlock();
        let notified = wait(listener, timeout_ms);
        mutex.lock(0)?;
        notified
    })
}

/// Wakes one of those that wait.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_condition_notify_one(condition: *const msec_condition) -> i32 {
    guard!([condition] {
        // SAFETY: not NULL, so live. Who is woken may free the handle before this returns.
        let condition = unsafe { &*condition }.0.clone();
        condition.notify_additional(1);
        Ok(())
    })
}

/// Wakes all those that wait.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_condition_notify_all(condition: *const msec_condition) -> i32 {
    guard!([condition] {
        // SAFETY: as above.
        let condition = unsafe { &*condition }.0.clone();
        condition.notify(usize::MAX);
        Ok(())
    })
}
