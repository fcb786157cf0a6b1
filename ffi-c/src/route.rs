//! Routes: where the instances of services are.

use std::ffi::c_char;

use crate::engine::msec_engine;
use crate::error::text;

/// Reads a file of routes, which holds from the next call on. Must not be called on a coroutine.
///
/// Errors: -1 a mistake in the file, with its line: the old table stays; -2 it cannot be read.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_load_routes(
    engine: *const msec_engine,
    path: *const c_char,
) -> i32 {
    guard!([engine, path] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, path) = unsafe { (&*engine, text("path", path)?) };
        engine.0.load_routes(path)
    })
}
