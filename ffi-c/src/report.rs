//! What was counted, and what is to be remembered of a request.

use std::ffi::c_char;

use crate::engine::msec_engine;
use crate::guard;
use crate::slice;
use crate::text::{self, msec_text};

/// Everything that was counted since the process began, in the text form 0.0.4 of Prometheus, as
/// the page `/metrics` shows it. The text is to be given back with `msec_text_free`. Asks all
/// cores; must not be called on a coroutine.
///
/// Errors: -1; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_metrics(
    engine: *const msec_engine,
    metrics: *mut *mut msec_text,
) -> i32 {
    guard!([engine, metrics] {
        guard::off_core("count")?;
        // SAFETY: not NULL, so live.
        let snapshot = unsafe { &*engine }.0.snapshot();
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { text::hand_out(metrics, msec::report::prometheus(&snapshot)) };
        Ok(())
    })
}

/// Notes something in the span of the request that the calling code works for: shown with the span,
/// if that is kept. Up to 256 bytes are kept. On a handler's coroutine or a task that it has
/// spawned; elsewhere nothing happens. Never suspends.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_annotate(data: *const c_char, size: usize) {
    guard::or((), || {
        // SAFETY: the bytes are there for the call.
        msec::annotate(&String::from_utf8_lossy(unsafe { slice::bytes(data, size) }));
    });
}
