//! The errno of this thread. Coroutines never change their thread.

use std::ffi::c_int;

pub(crate) fn get() -> c_int {
    // SAFETY: the address of this thread's own number.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn set(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno }
}

/// Fails with that errno, as calls do that return -1.
pub(crate) fn fail<T: From<i8>>(errno: c_int) -> T {
    set(errno);
    T::from(-1)
}
