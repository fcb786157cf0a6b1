//! The context of a request, as a handler sees it, and what it says in return.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::Arc;

use msec::{Code, Context, Error, Identity};

use crate::slice::{self, msec_slice};
use crate::{client, guard};

/// A request that is being served. Valid while its handler runs, on the handler's thread.
#[allow(non_camel_case_types)]
pub struct msec_context {
    context: *const Context,
    /// The body of the answer.
    pub(crate) answer: Vec<u8>,
    /// What the caller is told if the handler fails.
    text: String,
    peer: String,
    identity: Option<Arc<Identity>>,
    traceparent: String,
}

impl msec_context {
    /// The caller keeps `context` alive as long as this is used.
    pub(crate) fn of(context: &Context) -> Self {
        Self {
            context: ptr::from_ref(context),
            answer: Vec::new(),
            text: String::new(),
            peer: String::new(),
            identity: None,
            traceparent: String::new(),
        }
    }

    fn context(&self) -> &Context {
        // SAFETY: alive for as long as the handler runs, which is as long as this is used.
        unsafe { &*self.context }
    }

    /// Who the peer is by its certificate, if it has shown one.
    pub(crate) fn identity(&mut self) -> Option<&Identity> {
        if self.identity.is_none() {
            self.identity = self.context().identity();
        }
        self.identity.as_deref()
    }

    /// What the handler's return value means.
    pub(crate) fn outcome(self, code: i32) -> msec::Result<Vec<u8>> {
        match code {
            0 => Ok(self.answer),
            code => Err(Error::new(Code(code), self.text)),
        }
    }
}

/// What a function returns of a context, or something neutral for NULL.
///
/// # Safety
/// `context` is NULL or a live context of the calling handler.
unsafe fn of<R>(context: *const msec_context, otherwise: R, look: impl FnOnce(&Context) -> R) -> R {
    // SAFETY: the caller's promise.
    match unsafe { context.as_ref() } {
        Some(context) => look(context.context()),
        None => otherwise,
    }
}

/// The body of the request: a serialized message, or whatever the caller sent. Valid until the
/// handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_body(context: *const msec_context) -> msec_slice {
    // SAFETY: NULL or live.
    unsafe { of(context, msec_slice::NONE, |context| msec_slice::of(context.body())) }
}

/// The full name of the method that the caller used, `package.Service.Method`. Valid until the
/// handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_method(context: *const msec_context) -> msec_slice {
    let name = |context: &Context| msec_slice::of(context.method_name().as_bytes());
    // SAFETY: NULL or live.
    unsafe { of(context, msec_slice::NONE, name) }
}

/// The calling service as it names itself; not authenticated, may be empty. Valid until the handler
/// returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_caller(context: *const msec_context) -> msec_slice {
    let name = |context: &Context| msec_slice::of(context.caller().as_bytes());
    // SAFETY: NULL or live.
    unsafe { of(context, msec_slice::NONE, name) }
}

/// Where the request came from: `ip:port`, or `unix:`. Valid until the handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_peer(context: *mut msec_context) -> msec_slice {
    // SAFETY: NULL or live, and not shared: it belongs to the calling handler.
    let Some(context) = (unsafe { context.as_mut() }) else { return msec_slice::NONE };
    if context.peer.is_empty() {
        context.peer = context.context().peer();
    }
    msec_slice::of(context.peer.as_bytes())
}

/// Milliseconds that the caller still waits; -1 when there is no limit.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_remaining_ms(context: *const msec_context) -> i64 {
    let remaining = |context: &Context| context.remaining_ms().map_or(-1, |ms| ms as i64);
    // SAFETY: NULL or live.
    unsafe { of(context, -1, remaining) }
}

/// Whether nobody waits for the answer any more: the caller has cancelled, its connection has died,
/// or its deadline has passed. Long work without blocking calls should look at it.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_is_cancelled(context: *const msec_context) -> bool {
    // SAFETY: NULL or live.
    unsafe { of(context, false, Context::is_cancelled) }
}

/// Whether the request is dyed: every log line and span of it is kept, at every hop.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_is_dyed(context: *const msec_context) -> bool {
    // SAFETY: NULL or live.
    unsafe { of(context, false, Context::is_dyed) }
}

/// Whether the caller waits for no answer.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_is_one_way(context: *const msec_context) -> bool {
    // SAFETY: NULL or live.
    unsafe { of(context, false, Context::is_one_way) }
}

/// The id that this request has in all services; never 0.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_flow_id(context: *const msec_context) -> u64 {
    // SAFETY: NULL or live.
    unsafe { of(context, 0, Context::flow_id) }
}

/// Which try of the caller this is: 0 for the first, 1, 2, … for retries.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_attempt(context: *const msec_context) -> u32 {
    // SAFETY: NULL or live.
    unsafe { of(context, 0, Context::attempt) }
}

/// Which request goes first when not all can be served: one of `MSEC_PRIORITY_...`. Calls that are
/// made for this one inherit it. 0 for NULL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_priority(context: *const msec_context) -> u32 {
    let priority = |context: &Context| client::priority(context.priority());
    // SAFETY: NULL or live.
    unsafe { of(context, 0, priority) }
}

/// Where the request is in its trace: what an HTTP request of the handler's own is to carry as its
/// header `traceparent`; calls by a msec_client carry it by themselves. `data` is NULL where spans
/// are off and the caller has sent none. Valid until the handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_traceparent(context: *mut msec_context) -> msec_slice {
    // SAFETY: NULL or live, and not shared: it belongs to the calling handler.
    let Some(context) = (unsafe { context.as_mut() }) else { return msec_slice::NONE };
    let Some(parent) = context.context().traceparent() else { return msec_slice::NONE };
    context.traceparent = parent.to_string();
    msec_slice::of(context.traceparent.as_bytes())
}

/// The value of a user header; of several the last. `data` is NULL if there is none. Valid until
/// the handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_header(
    context: *const msec_context,
    key: *const c_char,
) -> msec_slice {
    if key.is_null() {
        return msec_slice::NONE;
    }
    // SAFETY: a string, by the header's conventions.
    let Ok(key) = unsafe { CStr::from_ptr(key) }.to_str() else { return msec_slice::NONE };
    let value =
        |context: &Context| context.metadata_value(key).map_or(msec_slice::NONE, msec_slice::of);
    // SAFETY: NULL or live.
    unsafe { of(context, msec_slice::NONE, value) }
}

/// The user header with this index, counted from 0; false, and nothing written, beyond the last. A
/// priority travels as one, too. What is written is valid until the handler returns.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_header_at(
    context: *const msec_context,
    index: usize,
    key: *mut msec_slice,
    value: *mut msec_slice,
) -> bool {
    if key.is_null() || value.is_null() {
        return false;
    }
    let write = |context: &Context| {
        let Some((name, bytes)) = context.metadata().nth(index) else { return false };
        // SAFETY: both are places for a slice.
        unsafe {
            key.write(msec_slice::of(name.as_bytes()));
            value.write(msec_slice::of(bytes));
        }
        true
    };
    // SAFETY: NULL or live.
    unsafe { of(context, false, write) }
}

/// Sets the business return value that travels in the answer's head; 0 unless set.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_set_result(context: *mut msec_context, result: i32) {
    // SAFETY: NULL or live.
    unsafe { of(context, (), |context| context.set_result(result)) }
}

/// Sets the body of the answer: a copy of `size` bytes at `data`. It is sent if the handler returns
/// 0. Called again, it replaces what was set.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_answer(
    context: *mut msec_context,
    data: *const c_char,
    size: usize,
) -> i32 {
    guard!([context] {
        // SAFETY: not NULL, so live; the bytes are there for the call.
        let (context, bytes) = unsafe { (&mut *context, slice::bytes(data, size)) };
        context.answer.clear();
        context.answer.extend_from_slice(bytes);
        Ok(())
    })
}

/// A place for the body of the answer, `size` bytes long, to be filled by the caller before the
/// handler returns: what `msec_context_answer` does without the copy. NULL for a NULL context or
/// where memory is short. Valid until either of the two is called again.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_answer_place(
    context: *mut msec_context,
    size: usize,
) -> *mut c_char {
    guard::or(ptr::null_mut(), || {
        // SAFETY: NULL or live, and the calling handler's alone.
        let Some(context) = (unsafe { context.as_mut() }) else { return ptr::null_mut() };
        context.answer.clear();
        if context.answer.try_reserve_exact(size).is_err() {
            return ptr::null_mut();
        }
        // What the caller does not fill in must not be somebody's secret.
        context.answer.resize(size, 0);
        context.answer.as_mut_ptr().cast()
    })
}

/// Says what the caller is told if the handler returns a code other than 0: what happened, to what,
/// and why; no user data. Copied, and cut after 4 KiB.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_context_fail_text(
    context: *mut msec_context,
    data: *const c_char,
    size: usize,
) {
    guard::or((), || {
        // SAFETY: NULL or live; the bytes are there for the call.
        let (context, bytes) = unsafe { (context.as_mut(), slice::bytes(data, size)) };
        if let Some(context) = context {
            context.text = String::from_utf8_lossy(bytes).into_owned();
        }
    });
}
