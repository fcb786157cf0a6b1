//! Semaphores: letting in so many at a time, whichever cores and threads they are on.

use std::ptr;
use std::sync::Arc;

use async_lock::Semaphore;
use msec::{Code, Error};

use crate::engine::free;
use crate::guard;
use crate::task::wait;

/// So many permits. Usable from every core and thread.
#[allow(non_camel_case_types)]
pub struct msec_semaphore(Arc<Semaphore>);

/// A semaphore with so many permits. To be given back with `msec_semaphore_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_semaphore_new(permits: usize) -> *mut msec_semaphore {
    guard::or(ptr::null_mut(), || {
        Box::into_raw(Box::new(msec_semaphore(Arc::new(Semaphore::new(permits)))))
    })
}

/// Frees a semaphore that nobody waits for. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_semaphore_free(semaphore: *mut msec_semaphore) {
    // SAFETY: NULL, or what `msec_semaphore_new` gave away.
    guard::or((), || unsafe { free(semaphore) });
}

/// Takes a permit, and waits for one: suspends the coroutine, or blocks the thread. `timeout_ms` 0
/// waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -2 on a core's loop, if none is
/// free.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_semaphore_acquire(
    semaphore: *const msec_semaphore,
    timeout_ms: u32,
) -> i32 {
    guard!([semaphore] {
        // SAFETY: not NULL, so live.
        let semaphore = unsafe { &*semaphore }.0.clone();
        let permit = wait(semaphore.acquire(), timeout_ms)?;
        // It is given back by `msec_semaphore_release`.
        permit.forget();
        Ok(())
    })
}

/// Takes a permit if one is free.
///
/// Errors: -101 none is.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_semaphore_try_acquire(semaphore: *const msec_semaphore) -> i32 {
    guard!([semaphore] {
        // SAFETY: not NULL, so live.
        let semaphore = unsafe { &*semaphore }.0.clone();
        match semaphore.try_acquire() {
            Some(permit) => permit.forget(),
            None => return Err(Error::new(Code::OVERLOADED, "no permit is free")),
        }
        Ok(())
    })
}

/// Gives permits back, or adds new ones.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_semaphore_release(
    semaphore: *const msec_semaphore,
    permits: usize,
) -> i32 {
    guard!([semaphore] {
        // SAFETY: not NULL, so live. Who gets a permit may free the handle before this returns.
        let semaphore = unsafe { &*semaphore }.0.clone();
        semaphore.add_permits(permits);
        Ok(())
    })
}
