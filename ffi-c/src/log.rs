//! The log.

use std::ffi::c_char;
use std::time::Duration;

use msec::log::{self, Field, Level};
use msec::{Code, Error};

use crate::error::text;
use crate::guard;
use crate::slice;

/// What one wants to know while writing the program.
pub const MSEC_LOG_TRACE: u32 = 0;
/// What one wants to know while looking for a mistake.
pub const MSEC_LOG_DEBUG: u32 = 1;
/// What happened.
pub const MSEC_LOG_INFO: u32 = 2;
/// What should not have happened, and was coped with.
pub const MSEC_LOG_WARN: u32 = 3;
/// What should not have happened, and somebody has to look at.
pub const MSEC_LOG_ERROR: u32 = 4;
/// What the program cannot go on after.
pub const MSEC_LOG_FATAL: u32 = 5;

/// A key and a value of a record. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_field {
    /// The key, not NULL.
    pub key: *const c_char,
    /// The value, not NULL.
    pub value: *const c_char,
}

fn level(number: u32) -> Level {
    match number {
        MSEC_LOG_TRACE => Level::Trace,
        MSEC_LOG_DEBUG => Level::Debug,
        MSEC_LOG_INFO => Level::Info,
        MSEC_LOG_WARN => Level::Warn,
        MSEC_LOG_ERROR => Level::Error,
        MSEC_LOG_FATAL.. => Level::Fatal,
    }
}

/// Whether records of that level would be kept here: by the level, or because the request that this
/// code works for is dyed. For what is costly to find out only to log it. From any thread; never
/// suspends.
#[unsafe(no_mangle)]
pub extern "C" fn msec_log_is_on(level: u32) -> bool {
    log::is_on(self::level(level))
}

/// Logs a record, if its level is on. `source` is the place in the program, `file.cpp:12`; `fields`
/// may be NULL. Within a request, the record has the request's fields by itself. From any thread;
/// never suspends, and never blocks: what has no room is dropped and counted.
///
/// Errors: -1.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_log(
    level: u32,
    source: *const c_char,
    data: *const c_char,
    size: usize,
    fields: *const msec_field,
    fields_count: usize,
) -> i32 {
    if !msec_log_is_on(level) {
        return 0;
    }
    guard!([source] {
        // SAFETY: a string, and bytes that are there for the call.
        let (source, bytes) = unsafe { (text("source", source)?, slice::bytes(data, size)) };
        let words = String::from_utf8_lossy(bytes);
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        if !fields.is_null() {
            // SAFETY: as many as the caller says.
            for field in unsafe { std::slice::from_raw_parts(fields, fields_count) } {
                if field.key.is_null() || field.value.is_null() {
                    return Err(Error::new(Code::INVALID_PARAMETER, "a field has a NULL in it"));
                }
                // SAFETY: strings.
                pairs.push(unsafe { (text("a key", field.key)?, text("a value", field.value)?) });
            }
        }
        let fields: Vec<Field<'_>> = pairs.iter().map(|(key, value)| (*key, value as _)).collect();
        log::write(self::level(level), source, format_args!("{words}"), &fields);
        Ok(())
    })
}

/// Adds a field to all further records of the coroutine, which is that of the request it serves; on
/// a plain thread, of the thread. A second value for a key replaces the first; up to 16 keys. If a
/// dye rule waits for this field, the request is dyed.
///
/// Errors: -1; -2 on the loop of a core (callback methods, callbacks).
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_log_option(key: *const c_char, value: *const c_char) -> i32 {
    guard!([key, value] {
        // SAFETY: strings.
        let (key, value) = unsafe { (text("key", key)?, text("value", value)?) };
        log::option(key, value)
    })
}

/// Waits until what was logged before is written, or lost and counted, but not longer than
/// `patience_ms`; whether it is. For the end of a program; blocks the thread.
#[unsafe(no_mangle)]
pub extern "C" fn msec_log_flush(patience_ms: u32) -> bool {
    guard::or(false, || log::flush(Duration::from_millis(patience_ms.into())))
}
