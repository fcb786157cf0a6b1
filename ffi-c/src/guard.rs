//! The guard that every export stands behind: pointers are looked at, panics end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use msec::{Code, Error, Result};

use crate::error;

/// What an export returns whose Rust code panicked: a bug of msec.
pub(crate) const PANICKED: i32 = -2000;

/// `guard!([a, b] { body })`: -1 if a pointer is NULL, else what the body, a block that ends in a
/// `Result<()>`, comes to as a code. The text of a failure is kept for `msec_error_text`.
macro_rules! guard {
    ([$($pointer:expr),*] $body:block) => {{
        $(if $pointer.is_null() {
            return $crate::guard::null(stringify!($pointer));
        })*
        $crate::guard::run(|| $body)
    }};
}

/// Runs the body of an export.
pub(crate) fn run(body: impl FnOnce() -> Result<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => error::keep(&error),
        Err(_) => {
            error::keep_text("a bug in libmsec: it panicked, and said why on standard error");
            PANICKED
        }
    }
}

/// A pointer that must not be NULL is.
#[cold]
pub(crate) fn null(name: &str) -> i32 {
    error::keep(&Error::new(Code::INVALID_PARAMETER, format!("{name} is NULL")))
}

/// Fails on a core's thread, where nobody may wait for the cores.
pub(crate) fn off_core(operation: &'static str) -> Result<()> {
    if msec::on_core() {
        let text = "a core's thread must not wait for the cores: use another, or msec_offload";
        return Err(Error::new(Code::SYSTEM_ERROR, text).during(operation));
    }
    Ok(())
}

/// As [`run`], for exports that return something else than a code.
pub(crate) fn or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}
