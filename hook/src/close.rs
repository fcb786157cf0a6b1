//! Closing: close, dup2, dup3. They wake who waits for the number; see [`watch`](crate::watch).

use std::ffi::c_int;

use crate::real;
use crate::watch::closing;

/// # Safety
/// As close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    // SAFETY: the caller's promise, handed on.
    closing(fd, || unsafe { real::close(fd) })
}

/// # Safety
/// As dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(source: c_int, target: c_int) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let really = || unsafe { real::dup2(source, target) };
    // Then nothing is closed.
    if source == target { really() } else { closing(target, really) }
}

/// # Safety
/// As dup3(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(source: c_int, target: c_int, flags: c_int) -> c_int {
    // SAFETY: the caller's promise, handed on.
    closing(target, || unsafe { real::dup3(source, target, flags) })
}
