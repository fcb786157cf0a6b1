//! What libmsec hands to the hook when both are in one process; compiled into either of them.
//!
//! The two may be of different versions only by a mistake of whoever installed them: then the hook
//! refuses the table, and is as if it were not there.

#![allow(dead_code, reason = "each side uses its part of it")]

use std::ffi::c_void;

/// Counts up with each change of what is below.
pub(crate) const VERSION: u32 = 1;
/// The hook's function that takes a [`Table`]; 0 if it did.
pub(crate) const ATTACH: &std::ffi::CStr = c"msec_hook_attach";
/// As [`Attach`] of the library that watches mutexes, which may be there as well.
pub(crate) const ATTACH_LOCKS: &std::ffi::CStr = c"msec_hook_locks_attach";

/// The type of [`ATTACH`] and [`ATTACH_LOCKS`].
pub(crate) type Attach = unsafe extern "C" fn(table: *const Table) -> i32;

/// How many bells there are; see [`Request::bell`].
pub(crate) const BELLS_COUNT: usize = 257;

/// What the engine can do for the hook. All of it lives as long as the process.
///
/// Codes are 0 or an errno: ETIMEDOUT the time is over, ECANCELED the request was cancelled.
#[repr(C)]
pub struct Table {
    /// [`VERSION`].
    pub version: u32,
    /// Of this struct.
    pub size: u32,
    /// The coroutine that runs on this thread and may park, by a number that no other one of the
    /// process has while it lives; 0: none.
    pub coroutine: extern "C" fn() -> u64,
    /// The monotonic clock.
    pub now_ns: extern "C" fn() -> u64,
    /// Parks until a descriptor is ready, or may be; see [`Request`].
    pub wait: unsafe extern "C" fn(request: *const Request) -> i32,
    /// Parks for that long, or up to a millisecond longer; 0 lets others run.
    pub sleep: extern "C" fn(time_ns: u64) -> i32,
    /// Has all that wait with this bell look whether they are over. From any thread.
    pub ring: extern "C" fn(bell: u32),
    /// Parks while a job runs on another thread; EAGAIN: there is no room for it.
    pub offload: unsafe extern "C" fn(job: Job) -> i32,
    /// The method that this coroutine runs, or is spawned by; empty: none.
    pub method: extern "C" fn() -> Text,
    /// Writes a warning into the engine's log, as of this place in the program.
    pub warn: unsafe extern "C" fn(text: Text),
}

/// A wait for a descriptor. Lives until the wait returns.
#[repr(C)]
pub struct Request {
    /// Stays open while [`Table::wait`] is being called; may be closed afterwards.
    pub fd: i32,
    /// Room to write is waited for; else something to read, or its end.
    pub is_for_room: bool,
    /// When it ends with ETIMEDOUT; 0: never.
    pub deadline_ns: u64,
    /// Who rings this bell may have made `is_over` true.
    pub bell: u32,
    /// Whether the wait has come to nothing; asked on this thread whenever the bell has rung.
    pub is_over: unsafe extern "C" fn(argument: *const c_void) -> bool,
    /// Handed to it.
    pub argument: *const c_void,
}

/// Something that blocks, for another thread.
#[repr(C)]
pub struct Job {
    /// What is to be done.
    pub run: unsafe extern "C" fn(argument: *mut c_void),
    /// Called once in any case: when it has run, or will not any more.
    pub release: unsafe extern "C" fn(argument: *mut c_void),
    /// Handed to both.
    pub argument: *mut c_void,
}

/// Some UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// Where it begins.
    pub data: *const u8,
    /// How many bytes.
    pub size: usize,
}

impl Text {
    /// That text.
    pub fn of(text: &str) -> Text {
        Text { data: text.as_ptr(), size: text.len() }
    }

    /// The text.
    ///
    /// # Safety
    /// It was made by [`Text::of`], of something that lives that long.
    pub unsafe fn text<'a>(self) -> &'a str {
        // SAFETY: the caller's promise.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(self.data, self.size)) }
    }
}
