//! How a function that stands before another one of its name calls that; for the hook, and for the
//! watch over mutexes.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// `real!(fn close(fd: c_int) -> c_int)`: a function that calls the next one of that name.
///
/// It is looked up at its first call. There is none only where our own is called by a program that
/// the C library does not serve; that cannot go on.
macro_rules! real {
    ($(fn $name:ident($($argument:ident: $kind:ty),* $(,)?) -> $result:ty;)*) => {$(
        #[allow(clippy::too_many_arguments, reason = "as C has it")]
        pub(crate) unsafe fn $name($($argument: $kind),*) -> $result {
            type Function = unsafe extern "C" fn($($kind),*) -> $result;
            static NEXT: std::sync::atomic::AtomicPtr<std::ffi::c_void> =
                std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
            let name = concat!(stringify!($name), "\0");
            let next = $crate::next::find(&NEXT, name);
            // SAFETY: the C library gives this name to a function of this form.
            let function = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Function>(next) };
            // SAFETY: the caller's promise, which is the one of that function.
            unsafe { function($($argument),*) }
        }
    )*};
}

pub(crate) use real;

/// The next function of that name, which ends in a NUL.
pub(crate) fn find(known: &AtomicPtr<c_void>, name: &str) -> *mut c_void {
    let next = known.load(Ordering::Relaxed);
    if !next.is_null() {
        return next;
    }
    // SAFETY: a string that ends in a NUL.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast::<c_char>()) };
    assert!(!next.is_null(), "the C library has no {name}");
    known.store(next, Ordering::Relaxed);
    next
}
