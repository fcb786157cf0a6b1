//! The exceptions of C++ belong to the job, as errno does.
//!
//! A C++ runtime keeps for each thread what is being caught there and how much is in flight
//! (`__cxa_eh_globals` of the Itanium C++ ABI, §2.2.2). It knows nothing of coroutines: where two
//! of them suspend within `catch` blocks in turn, a `throw;` in the one would rethrow the exception
//! of the other. So a suspension takes the thread's state along and leaves an empty one, and a
//! resumption puts it back.
//!
//! ```text
//!   struct __cxa_eh_globals { void *caughtExceptions; unsigned int uncaughtExceptions; };
//! ```
//!
//! Who loads C++ code says once, before it starts an engine, where that state is found
//! ([`keep_exceptions`]). A process without C++ pays one look at a null pointer a switch.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `__cxa_get_globals` of the one C++ runtime of this process.
static FINDER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// What the C++ runtime keeps for a thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Exceptions {
    caught: *mut c_void,
    uncaught: u32,
}

const NONE: Exceptions = Exceptions { caught: ptr::null_mut(), uncaught: 0 };

thread_local! {
    static PLACE: Cell<*mut Exceptions> = const { Cell::new(ptr::null_mut()) };
}

/// Lets coroutines keep their C++ exceptions apart, on the threads whose pools are made from now
/// on. `finder` is the `__cxa_get_globals` of the C++ runtime that the process uses.
///
/// # Safety
/// `finder` is that function, which takes nothing and returns the address of the calling thread's
/// `__cxa_eh_globals`, and it stays loaded.
pub unsafe fn keep_exceptions(finder: *mut c_void) {
    FINDER.store(finder, Ordering::Release);
}

/// Whether [`keep_exceptions`] was called.
pub fn keeps_exceptions() -> bool {
    !FINDER.load(Ordering::Acquire).is_null()
}

/// Finds out where the calling thread's state is; once a thread, as its pool is made.
pub(super) fn find() {
    let finder = FINDER.load(Ordering::Acquire);
    if finder.is_null() {
        return;
    }
    // SAFETY: the caller of `keep_exceptions` has promised that it is this function.
    let finder: unsafe extern "C" fn() -> *mut Exceptions = unsafe { std::mem::transmute(finder) };
    // SAFETY: as promised, it takes nothing, and the state it returns lives as long as the thread.
    PLACE.set(unsafe { finder() });
}

/// Takes the state of the running job off its thread.
#[inline]
pub(super) fn take() -> Exceptions {
    let place = PLACE.get();
    if place.is_null() {
        return NONE;
    }
    // SAFETY: the state of this thread, which nobody else reads or writes.
    unsafe { ptr::replace(place, NONE) }
}

/// Puts the state of a job that goes on back onto its thread.
#[inline]
pub(super) fn put(exceptions: Exceptions) {
    let place = PLACE.get();
    if !place.is_null() {
        // SAFETY: as in `take`.
        unsafe { place.write(exceptions) };
    }
}
