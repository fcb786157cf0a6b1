//! Work that would hold up its core.

use std::ffi::c_void;

use msec::{Code, Error};

use crate::carried::Carried;
use crate::task::msec_task_function;

/// Runs a function on an offload thread, where it may block the thread, and waits for it: the
/// coroutine is suspended. On a thread that is no core's it runs right there. `returned`, if not
/// NULL, becomes what it returned.
///
/// Errors: -101 too many jobs wait, and it did not run; -103 the caller was cancelled: the function
/// may then still run, so what `argument` points to must outlive it.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_offload(
    function: msec_task_function,
    argument: *mut c_void,
    returned: *mut i32,
) -> i32 {
    guard!([] {
        let missing = || Error::new(Code::INVALID_PARAMETER, "function is NULL");
        let function = function.ok_or_else(missing)?;
        let argument = Carried::new(argument);
        let value = msec::offload(move || {
            // SAFETY: the header asks for a function that can be called so, from any thread.
            unsafe { function(argument.pointer()) }
        })?;
        // SAFETY: NULL, or a place for a number.
        if let Some(place) = unsafe { returned.as_mut() } {
            *place = value;
        }
        Ok(())
    })
}
