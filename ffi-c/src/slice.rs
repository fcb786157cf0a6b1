//! Bytes that belong to somebody else.

use std::ffi::c_char;
use std::{ptr, slice};

/// Bytes that are not the reader's, without a NUL at the end. `data` is NULL if there are none at
/// all, which is not the same as `size` 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_slice {
    /// The first byte.
    pub data: *const c_char,
    /// How many.
    pub size: usize,
}

impl msec_slice {
    pub(crate) const NONE: Self = Self { data: ptr::null(), size: 0 };

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast(), size: bytes.len() }
    }
}

/// The bytes at a place; NULL is none.
///
/// # Safety
/// `data` points to `size` bytes that live and do not change as long as the result is used, or is
/// NULL.
pub(crate) unsafe fn bytes<'a>(data: *const c_char, size: usize) -> &'a [u8] {
    if data.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data.cast(), size) }
}
