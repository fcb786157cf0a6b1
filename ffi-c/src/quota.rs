//! Quotas: how many requests a caller may send.

use std::ffi::c_char;

use crate::error::text;
use crate::server::{change, msec_server_builder};

/// Bounds the requests of a caller, by the name that it gives itself: `per_second` of them (1 to a
/// million), and `burst` at once, on all cores together. More are answered with -108. `caller` NULL
/// is each caller that has no quota of its own; those beyond the first 4096 names share one.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_quota(
    builder: *mut msec_server_builder,
    caller: *const c_char,
    per_second: u32,
    burst: u32,
) -> i32 {
    guard!([builder] {
        if caller.is_null() {
            change(builder, |builder| builder.quota_for_others(per_second, burst));
            return Ok(());
        }
        // SAFETY: a string.
        let caller = unsafe { text("caller", caller) }?;
        change(builder, |builder| builder.quota(caller, per_second, burst));
        Ok(())
    })
}
