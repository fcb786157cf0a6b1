//! Protocols of third parties.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use msec::raw::{self, Length};
use msec::{Code, Error, TIMEOUT_DEFAULT};

use crate::error::text;
use crate::reply::{self, msec_reply};
use crate::slice;

/// Says where an answer ends: how many bytes it has; 0 if more are needed to tell; a negative
/// number if this is no answer.
pub type msec_length =
    Option<unsafe extern "C" fn(userdata: *mut c_void, data: *const c_char, size: usize) -> i64>;

/// Sends bytes to `address` (`ip:port`, `ip:port@tls`, `unix:/path`) and waits for an answer, whose
/// end `length` finds. One request at a time a connection, which is kept for the next one. Only on
/// a coroutine. `timeout_ms` 0: a second. The reply is to be given back with `msec_reply_free`; its
/// body is the answer without what came after its end.
///
/// Errors: -10 no whole answer in time; -11 the connection failed or died; -3 `length` said so;
/// -105 an answer over the limit of a body; -103 cancelled; -14 no address; -2 not on a coroutine.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_raw_call(
    address: *const c_char,
    data: *const c_char,
    size: usize,
    length: msec_length,
    userdata: *mut c_void,
    timeout_ms: u32,
    reply: *mut *mut msec_reply,
) -> i32 {
    guard!([address, reply] {
        let length =
            length.ok_or_else(|| Error::new(Code::INVALID_PARAMETER, "length is NULL"))?;
        // SAFETY: a string, and bytes that are there for the call.
        let (address, request) =
            unsafe { (text("address", address)?, slice::bytes(data, size)) };
        let end = |bytes: &[u8]| {
            // SAFETY: the header asks for a function that can be called so.
            let end = unsafe { length(userdata, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(end) {
                Err(_) => Length::Bad,
                Ok(0) => Length::More,
                Ok(end) => Length::Whole(end),
            }
        };
        let timeout = match timeout_ms {
            0 => TIMEOUT_DEFAULT,
            ms => Duration::from_millis(ms.into()),
        };
        let answer = raw::call(address, request, end, timeout)?;
        // SAFETY: not NULL, so a place for a pointer.
        unsafe { reply::hand_out(reply, msec_reply::of_raw(answer)) };
        Ok(())
    })
}
