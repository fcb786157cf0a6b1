//! Answers, and what third parties answered.

use std::ptr;

use bytes::Bytes;
use msec::Reply;

use crate::engine::free;
use crate::guard;
use crate::slice::msec_slice;

/// A successful answer. One thread at a time.
#[allow(non_camel_case_types)]
pub struct msec_reply {
    body: Bytes,
    result: i32,
}

impl msec_reply {
    pub(crate) fn of(reply: Reply) -> *mut Self {
        Box::into_raw(Box::new(Self { body: reply.body, result: reply.result }))
    }

    pub(crate) fn of_raw(body: Vec<u8>) -> *mut Self {
        Box::into_raw(Box::new(Self { body: body.into(), result: 0 }))
    }
}

/// The body of the answer as it came. Valid until the reply is freed.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_reply_body(reply: *const msec_reply) -> msec_slice {
    // SAFETY: NULL or live.
    unsafe { reply.as_ref() }.map_or(msec_slice::NONE, |reply| msec_slice::of(&reply.body))
}

/// The business return value that the handler set; 0 unless it did.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_reply_result(reply: *const msec_reply) -> i32 {
    // SAFETY: NULL or live.
    unsafe { reply.as_ref() }.map_or(0, |reply| reply.result)
}

/// Frees an answer. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_reply_free(reply: *mut msec_reply) {
    // SAFETY: NULL, or what a call gave away.
    guard::or((), || unsafe { free(reply) });
}

/// Hands a reply out.
///
/// # Safety
/// `place` is NULL, which throws the reply away, or a place for a pointer.
pub(crate) unsafe fn hand_out(place: *mut *mut msec_reply, reply: *mut msec_reply) {
    match place.is_null() {
        // SAFETY: just made by `of`.
        true => unsafe { free(reply) },
        // SAFETY: the caller's promise.
        false => unsafe { ptr::write(place, reply) },
    }
}
