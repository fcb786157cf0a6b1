//! Clients: calls to a service or an address.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use msec::{CallOptions, Client, Code, Compress, Error, Priority, Result};

use crate::carried::Carried;
use crate::engine::{free, msec_engine};
use crate::error::{self, text};
use crate::options::{self, Options};
use crate::reply::{self, msec_reply};
use crate::{guard, slice};

/// Calls one service. Usable from every thread.
#[allow(non_camel_case_types)]
pub struct msec_client(pub(crate) Client);

/// A user header of a call. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_header {
    /// The key, not NULL.
    pub key: *const c_char,
    /// The first byte of the value.
    pub value: *const c_char,
    /// Bytes of the value.
    pub value_size: usize,
}

/// What a call may say beyond its method and message. Begin with `MSEC_CALL_OPTIONS_INIT`. Nothing
/// of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_call_options {
    /// `sizeof(msec_call_options)`.
    pub size: u32,
    /// How long to wait, in milliseconds: connecting, sending and waiting together. A nested call
    /// waits no longer than its request's caller does. 0: a second.
    pub timeout_ms: u32,
    /// `MSEC_CALL_...`, or-ed.
    pub flags: u32,
    /// Send it a second time, to another instance, if there is no answer after so many
    /// milliseconds; implies `MSEC_CALL_IDEMPOTENT`. 0: never.
    pub hedge_after_ms: u32,
    /// Which request goes first when the callee cannot serve all: `MSEC_PRIORITY_CRITICAL`,
    /// `MSEC_PRIORITY_DEFAULT`, `MSEC_PRIORITY_SHEDDABLE`; 0: that of the request that this call is
    /// made for.
    pub priority: u32,
    /// The lane of the connection, 1 to 65535: calls on a lane leave in the order in which they
    /// were made, on a connection of their own. 0: that which calls share.
    pub lane: u32,
    /// What the call is about, such as a user: calls with one key go to one instance if the
    /// service's policy is `hash`, and to one side of a canary. NULL: nothing.
    pub key: *const c_char,
    /// Bytes of the key.
    pub key_size: usize,
    /// The name that the callee sees as caller; NULL: that of the engine.
    pub caller: *const c_char,
    /// User headers, up to 64 of 8 KiB together; NULL: none.
    pub headers: *const msec_header,
    /// How many.
    pub headers_count: usize,
}

// SAFETY: plain numbers and pointers behind a leading u32; null pointers stand for "not set".
unsafe impl Options for msec_call_options {
    const NAME: &'static str = "msec_call_options";
}

/// No answer is wanted: the call ends as soon as the request is written.
pub const MSEC_CALL_ONE_WAY: u32 = 1;
/// Every service on the way keeps all its log lines and spans.
pub const MSEC_CALL_DYED: u32 = 2;
/// The method may run twice: a call whose connection dies is sent again, to another instance.
pub const MSEC_CALL_IDEMPOTENT: u32 = 4;
/// The call is not sent again, even where it surely did not run.
pub const MSEC_CALL_NO_RETRY: u32 = 8;
/// The call is sent a second time, to another instance, when its answer is later than 95 of 100
/// calls of the method have been; implies `MSEC_CALL_IDEMPOTENT`.
pub const MSEC_CALL_HEDGE_AT_P95: u32 = 16;
/// The body is compressed by LZ4, and so may be the answer's, once the peer has told that it
/// understands that: from the second call on a connection on.
pub const MSEC_CALL_LZ4: u32 = 32;
/// As `MSEC_CALL_LZ4`, by Zstandard, which is shorter and slower.
pub const MSEC_CALL_ZSTD: u32 = 64;
/// All flags there are.
const CALL_FLAGS: u32 = (MSEC_CALL_ZSTD << 1) - 1;

/// Before all others.
pub const MSEC_PRIORITY_CRITICAL: u32 = 1;
/// As most.
pub const MSEC_PRIORITY_DEFAULT: u32 = 2;
/// What can be done without goes last.
pub const MSEC_PRIORITY_SHEDDABLE: u32 = 3;

/// A client of a service (`L1.L2`, found in the engine's routes) or of one address (`ip:port`,
/// `ip:port@udp`, `ip:port@tls`, `unix:/path`). Connects when it is first used. To be given back
/// with `msec_client_free`.
///
/// Errors: -14 the text is neither.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_client_new(
    engine: *const msec_engine,
    target: *const c_char,
    client: *mut *mut msec_client,
) -> i32 {
    guard!([engine, target, client] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, target) = unsafe { (&*engine, text("target", target)?) };
        let made = msec_client(Client::new(&engine.0, target)?);
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { client.write(Box::into_raw(Box::new(made))) };
        Ok(())
    })
}

/// Frees a client; calls that are under way go on. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_client_free(client: *mut msec_client) {
    // SAFETY: NULL, or what `msec_client_new` gave away.
    guard::or((), || unsafe { free(client) });
}

/// Calls a method and waits for its answer: suspends the coroutine, or blocks the thread if it is
/// not a core's. `options` may be NULL, and `reply` too, for who wants no answer. The reply is to
/// be given back with `msec_reply_free`.
///
/// Errors: -10 no answer in time; -11 the connection failed or died; -103 the request that this
/// call is made for was cancelled; -105 too large; -15 no instance of the service is known; -101
/// the peer does not take what is sent to it; and whatever code the callee answered with.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_client_call(
    client: *const msec_client,
    method: *const c_char,
    body: *const c_char,
    body_size: usize,
    options: *const msec_call_options,
    reply: *mut *mut msec_reply,
) -> i32 {
    guard!([client, method] {
        // SAFETY: not NULL, so live; the rest is NULL or valid for the call.
        let (client, method, body, options) = unsafe {
            (&*client, text("method", method)?, slice::bytes(body, body_size), read(options)?)
        };
        let answer = client.0.call_raw(method, body, &options)?;
        // SAFETY: NULL, or a place for a pointer.
        unsafe { reply::hand_out(reply, msec_reply::of(answer)) };
        Ok(())
    })
}

/// Is told how a call ended: `code` 0 and a reply that it has to free, or another code and NULL,
/// and the text of the failure in `msec_error_text`. Runs on a core's loop, where it must not
/// block.
pub type msec_done =
    Option<unsafe extern "C" fn(userdata: *mut c_void, code: i32, reply: *mut msec_reply)>;

/// Calls and has `done` called with the answer: exactly once, also when the call fails before it
/// leaves, and never before this returns. `options` may be NULL.
///
/// Errors: -1, and then `done` is not called.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_client_call_back(
    client: *const msec_client,
    method: *const c_char,
    body: *const c_char,
    body_size: usize,
    options: *const msec_call_options,
    done: msec_done,
    userdata: *mut c_void,
) -> i32 {
    guard!([client, method] {
        let done = done.ok_or_else(|| Error::new(Code::INVALID_PARAMETER, "done is NULL"))?;
        // SAFETY: not NULL, so live; the rest is NULL or valid for the call.
        let (client, method, body, options) = unsafe {
            (&*client, text("method", method)?, slice::bytes(body, body_size), read(options)?)
        };
        let userdata = Carried::new(userdata);
        client.0.call_back_raw(method, body.to_vec(), &options, move |result| {
            let (code, reply) = match result {
                Ok(reply) => (0, msec_reply::of(reply)),
                Err(failure) => (error::keep(&failure), std::ptr::null_mut()),
            };
            // SAFETY: the header asks for a function that can be called so, from any thread.
            unsafe { done(userdata.pointer(), code, reply) };
        });
        Ok(())
    })
}

/// The options of a call in Rust's form.
///
/// # Safety
/// `given` is NULL or points to options whose pointers are NULL or valid.
pub(crate) unsafe fn read(given: *const msec_call_options) -> Result<CallOptions> {
    let mut options = CallOptions::new();
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { options::read(given)? }) else { return Ok(options) };
    if given.timeout_ms != 0 {
        options = options.timeout(Duration::from_millis(given.timeout_ms.into()));
    }
    options::flags::<msec_call_options>(given.flags, CALL_FLAGS)?;
    let has = |flag: u32| given.flags & flag != 0;
    options = options.one_way(has(MSEC_CALL_ONE_WAY)).dyed(has(MSEC_CALL_DYED));
    options = options.idempotent(has(MSEC_CALL_IDEMPOTENT));
    if has(MSEC_CALL_NO_RETRY) {
        options = options.retries(0);
    }
    if has(MSEC_CALL_LZ4) {
        options = options.compress(Compress::Lz4);
    }
    if has(MSEC_CALL_ZSTD) {
        options = options.compress(Compress::Zstd);
    }
    if has(MSEC_CALL_HEDGE_AT_P95) {
        options = options.hedge_at_p95();
    }
    if given.lane != 0 {
        let wrong = |_| Error::new(Code::INVALID_PARAMETER, format!("lane {} is none", given.lane));
        options = options.lane(u16::try_from(given.lane).map_err(wrong)?);
    }
    if given.hedge_after_ms != 0 {
        options = options.hedge_after(Duration::from_millis(given.hedge_after_ms.into()));
    }
    if given.priority != 0 {
        options = options.priority(priority_of(given.priority)?);
    }
    if !given.key.is_null() {
        // SAFETY: the caller's promise.
        options = options.key(unsafe { slice::bytes(given.key, given.key_size) });
    }
    if !given.caller.is_null() {
        // SAFETY: the caller's promise.
        options = options.from_service(unsafe { text("caller", given.caller) }?);
    }
    if given.headers.is_null() {
        return Ok(options);
    }
    // SAFETY: the caller's promise.
    let headers = unsafe { std::slice::from_raw_parts(given.headers, given.headers_count) };
    for header in headers {
        if header.key.is_null() {
            return Err(Error::new(Code::INVALID_PARAMETER, "the key of a header is NULL"));
        }
        // SAFETY: the caller's promise.
        let (key, value) = unsafe {
            (
                text("the key of a header", header.key)?,
                slice::bytes(header.value, header.value_size),
            )
        };
        options = options.header(key, value)?;
    }
    Ok(options)
}

fn priority_of(number: u32) -> Result<Priority> {
    match number {
        MSEC_PRIORITY_CRITICAL => Ok(Priority::Critical),
        MSEC_PRIORITY_DEFAULT => Ok(Priority::Default),
        MSEC_PRIORITY_SHEDDABLE => Ok(Priority::Sheddable),
        other => {
            let text = format!("priority {other} is none");
            Err(Error::new(Code::INVALID_PARAMETER, text))
        }
    }
}

/// The number of a priority.
pub(crate) fn priority(priority: Priority) -> u32 {
    match priority {
        Priority::Critical => MSEC_PRIORITY_CRITICAL,
        Priority::Default => MSEC_PRIORITY_DEFAULT,
        Priority::Sheddable => MSEC_PRIORITY_SHEDDABLE,
    }
}
