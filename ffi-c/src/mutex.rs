//! Mutexes that may be held while a coroutine is suspended, on whichever cores and threads their
//! users are.

use std::ptr;
use std::sync::Arc;

use async_lock::Semaphore;
use msec::{Code, Error, Result};

use crate::engine::free;
use crate::guard;
use crate::task::wait;

/// Held by one at a time; not recursive. Usable from every core and thread.
#[allow(non_camel_case_types)]
pub struct msec_mutex(Arc<Mutex>);

/// What whoever is in one of these functions keeps, though the handle be freed meanwhile.
pub(crate) struct Mutex {
    /// One permit: the right to hold it.
    right: Semaphore,
}

impl msec_mutex {
    pub(crate) fn shared(&self) -> Arc<Mutex> {
        self.0.clone()
    }
}

impl Mutex {
    pub(crate) fn lock(&self, timeout_ms: u32) -> Result<()> {
        wait(self.right.acquire(), timeout_ms)?.forget();
        Ok(())
    }

    pub(crate) fn unlock(&self) {
        self.right.add_permits(1);
    }
}

/// A mutex that nobody holds. To be given back with `msec_mutex_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_mutex_new() -> *mut msec_mutex {
    guard::or(ptr::null_mut(), || {
        Box::into_raw(Box::new(msec_mutex(Arc::new(Mutex { right: Semaphore::new(1) }))))
    })
}

/// Frees a mutex that nobody holds or waits for. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_mutex_free(mutex: *mut msec_mutex) {
    // SAFETY: NULL, or what `msec_mutex_new` gave away.
    guard::or((), || unsafe { free(mutex) });
}

/// Takes a mutex, and waits for it: suspends the coroutine, or blocks the thread. Who holds it
/// already waits for itself. `timeout_ms` 0 waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -2 on a core's loop, if it is held.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_mutex_lock(mutex: *const msec_mutex, timeout_ms: u32) -> i32 {
    guard!([mutex] {
        // SAFETY: not NULL, so live.
        unsafe { &*mutex }.shared().lock(timeout_ms)
    })
}

/// Takes a mutex if nobody holds it.
///
/// Errors: -101 somebody does.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_mutex_try_lock(mutex: *const msec_mutex) -> i32 {
    guard!([mutex] {
        // SAFETY: not NULL, so live.
        let mutex = unsafe { &*mutex }.shared();
        match mutex.right.try_acquire() {
            Some(permit) => permit.forget(),
            None => return Err(Error::new(Code::OVERLOADED, "the mutex is held")),
        }
        Ok(())
    })
}

/// Gives up a mutex that the caller holds.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_mutex_unlock(mutex: *const msec_mutex) -> i32 {
    guard!([mutex] {
        // SAFETY: not NULL, so live. Who holds it next may free the handle before this returns.
        unsafe { &*mutex }.shared().unlock();
        Ok(())
    })
}
