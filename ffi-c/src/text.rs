//! Texts that are made for whoever asks for them.

use std::ffi::{CString, c_char};
use std::ptr;

use crate::engine::free;
use crate::guard;

/// A text that was asked for. Never changes.
#[allow(non_camel_case_types)]
pub struct msec_text(CString);

/// The text, with a NUL at its end; "" for NULL. Valid until the text is freed.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_text_data(text: *const msec_text) -> *const c_char {
    // SAFETY: NULL or live.
    unsafe { text.as_ref() }.map_or(c"".as_ptr(), |text| text.0.as_ptr())
}

/// Frees a text. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_text_free(text: *mut msec_text) {
    // SAFETY: NULL, or what a function that hands texts out gave away.
    guard::or((), || unsafe { free(text) });
}

/// Hands a text out.
///
/// # Safety
/// `place` is a place for a pointer.
pub(crate) unsafe fn hand_out(place: *mut *mut msec_text, text: String) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the caller's promise.
    unsafe { ptr::write(place, Box::into_raw(Box::new(msec_text(text)))) };
}
