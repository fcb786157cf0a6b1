//! Calls that are under way, so that several are at a time.

use std::ffi::c_char;

use msec::Pending;

use crate::client::{self, msec_call_options, msec_client};
use crate::engine::free;
use crate::error::text;
use crate::reply::{self, msec_reply};
use crate::{guard, slice};

/// A call under way. One thread at a time.
#[allow(non_camel_case_types)]
pub struct msec_pending(Pending<()>);

impl msec_pending {
    /// What is over when the answer is there.
    pub(crate) fn answered(&self) -> impl Future<Output = ()> {
        self.0.answered()
    }
}

/// Starts a call, whose answer is waited for later: `msec_pending_wait` or `msec_pending_free` has
/// to follow. `options` may be NULL.
///
/// Errors: -1. Whatever else fails is told by `msec_pending_wait`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_client_start(
    client: *const msec_client,
    method: *const c_char,
    body: *const c_char,
    body_size: usize,
    options: *const msec_call_options,
    pending: *mut *mut msec_pending,
) -> i32 {
    guard!([client, method, pending] {
        // SAFETY: not NULL, so live; the rest is NULL or valid for the call.
        let (client, method, body, options) = unsafe {
            (
                &*client,
                text("method", method)?,
                slice::bytes(body, body_size),
                client::read(options)?,
            )
        };
        let started = msec_pending(client.0.start_body(method, body.to_vec(), &options));
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { pending.write(Box::into_raw(Box::new(started))) };
        Ok(())
    })
}

/// Waits for the answer of a started call: suspends the coroutine, or blocks the thread. The handle
/// is used up, also by a failure. `reply` may be NULL.
///
/// Errors: as `msec_client_call`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_pending_wait(
    pending: *mut msec_pending,
    reply: *mut *mut msec_reply,
) -> i32 {
    guard!([pending] {
        // SAFETY: what `msec_client_start` gave away.
        let answer = unsafe { Box::from_raw(pending) }.0.wait_raw()?;
        // SAFETY: NULL, or a place for a pointer.
        unsafe { reply::hand_out(reply, msec_reply::of(answer)) };
        Ok(())
    })
}

/// Gives up a started call: it is cancelled. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_pending_free(pending: *mut msec_pending) {
    // SAFETY: NULL, or what `msec_client_start` gave away.
    guard::or((), || unsafe { free(pending) });
}
