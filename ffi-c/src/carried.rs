//! What a C program wants handed to its own function, on whatever thread that runs.

use std::ffi::c_void;

/// A pointer that is only carried, and read by the program that made it.
pub(crate) struct Carried(*mut c_void);

// SAFETY: the header says of each function that takes one on which threads it is used then; what
// it points to has to bear that.
unsafe impl Send for Carried {}
// SAFETY: as above.
unsafe impl Sync for Carried {}

impl Carried {
    pub(crate) fn new(pointer: *mut c_void) -> Self {
        Self(pointer)
    }

    /// The pointer. By a method, so that a closure captures the whole and not the bare pointer.
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.0
    }
}
