//! Codes and their texts.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use msec::status;
use msec::{Code, Error};

use crate::guard;

thread_local! {
    /// What the last failure on this thread was. Nobody suspends between a failure and the look at
    /// its text, so coroutines do not get each other's.
    static LAST: RefCell<CString> = RefCell::default();
    /// Whether it was a service's answer.
    static ANSWERED: Cell<bool> = const { Cell::new(false) };
}

/// The texts of all codes, as C wants them.
static TEXTS: LazyLock<Vec<CString>> = LazyLock::new(|| {
    let texts = status::ALL.iter().chain([&status::UNKNOWN]).map(|info| info.text);
    texts.map(|text| CString::new(text).unwrap_or_default()).collect()
});

/// Keeps the text of a failure, and returns its code.
#[cold]
pub(crate) fn keep(error: &Error) -> i32 {
    let text = match error.message().is_empty() {
        true => status::info(error.code()).text.into(),
        false => error.message().to_owned(),
    };
    match error.operation().is_empty() {
        true => keep_text(&text),
        false => keep_text(&format!("{text} ({})", error.operation())),
    }
    ANSWERED.set(error.is_answer());
    match error.code() {
        // A handler of this or another language failed without saying how.
        Code::OK => Code::SERVICE_FAILED.0,
        code => code.0,
    }
}

pub(crate) fn keep_text(text: &str) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = text);
    ANSWERED.set(false);
}

/// The text of a code, such as "timeout" for -10; "unkown error" (as old monitoring has it) for a
/// number that is none. Never NULL; lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn msec_strerror(code: i32) -> *const c_char {
    if code == guard::PANICKED {
        return c"a bug in libmsec".as_ptr();
    }
    guard::or(c"".as_ptr(), || TEXTS[status::row(Code(code))].as_ptr())
}

/// What the last failed function of this library had to say on this thread: what happened, to
/// what, and the likely cause. Empty before any. Never NULL; valid until the next call of a
/// function of this library on this thread, or the next suspension.
#[unsafe(no_mangle)]
pub extern "C" fn msec_error_text() -> *const c_char {
    guard::or(c"".as_ptr(), || LAST.with(|last| last.borrow().as_ptr()))
}

/// Whether the last failed function of this library failed because a service has answered so; else
/// it was found here, such as that no answer came. Valid as long as `msec_error_text` is.
#[unsafe(no_mangle)]
pub extern "C" fn msec_error_answered() -> bool {
    guard::or(false, || ANSWERED.get())
}

/// Whether a call that ended with this code surely did not run, and another attempt, elsewhere or
/// later, may do better.
#[unsafe(no_mangle)]
pub extern "C" fn msec_error_retryable(code: i32) -> bool {
    status::info(Code(code)).retryable
}

/// An argument as text.
///
/// # Safety
/// `text` is a string of C that lives as long as the result is used.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> msec::Result<&'a str> {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::new(Code::INVALID_PARAMETER, format!("{name} is not UTF-8")))
}
