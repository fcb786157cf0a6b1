//! What a round of the poller carries: records to Java, answers from Java.
//!
//! ```text
//!   to Java:    Record, caller, metadata, body, padding │ Record, … │        one buffer
//!   from Java:  Answered, body or text, padding │ Answered, … │              another one
//! ```
//!
//! Each begins at a multiple of 8 and says how long it is. This file is the only place where the
//! layout is told: `cargo xtask gen` writes `Layout.java` out of the structs and constants of it,
//! with the offsets that the rules of C give, and rustc compares them by `repr(C)`.

/// A request, or the result of a call.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Record {
    /// Of all of it, in bytes; a multiple of 8.
    pub(crate) size: u32,
    /// `KIND_REQUEST` or `KIND_RESULT`.
    pub(crate) kind: u32,
    /// What the request is answered by; of a result the number that Java gave the call.
    pub(crate) id: u64,
    /// What a long body is fetched by; 0: it is here.
    pub(crate) kept: u64,
    /// When the caller stops waiting, by the monotonic clock; 0: never.
    pub(crate) deadline_ns: u64,
    /// The id of the request in all services.
    pub(crate) flow_id: u64,
    /// The number that Java gave the method.
    pub(crate) method: u32,
    /// `FLAG_…`, or-ed.
    pub(crate) flags: u32,
    /// How a call ended.
    pub(crate) code: i32,
    /// The business value of a successful call.
    pub(crate) result: i32,
    /// Which try of the caller this is.
    pub(crate) attempt: u32,
    /// 1 critical, 2 default, 3 sheddable.
    pub(crate) priority: u32,
    /// Length of the caller's name.
    pub(crate) caller_bytes: u32,
    /// Length of the user headers, as fields: key, value, key, value.
    pub(crate) metadata_bytes: u32,
    /// Length of the body, or of the text of a failure.
    pub(crate) body_bytes: u32,
    /// 0.
    pub(crate) reserved: u32,
}

/// An answer of Java's.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Answered {
    /// Of all of it, in bytes; a multiple of 8.
    pub(crate) size: u32,
    /// 0, or how the request failed.
    pub(crate) code: i32,
    /// Of the request.
    pub(crate) id: u64,
    /// The business value.
    pub(crate) result: i32,
    /// Length of the body, or of the text of the failure.
    pub(crate) body_bytes: u32,
}

/// A request to be served.
pub(crate) const KIND_REQUEST: u32 = 1;
/// The result of a call.
pub(crate) const KIND_RESULT: u32 = 2;
/// The request is dyed.
pub(crate) const FLAG_DYED: u32 = 1;
/// The caller waits for no answer.
pub(crate) const FLAG_ONE_WAY: u32 = 2;
/// The user headers are long: they are asked for by themselves.
pub(crate) const FLAG_METADATA_KEPT: u32 = 4;
/// What of a record is longer, together, is kept here until Java asks for it.
pub(crate) const INLINE_BYTES_MAX: u32 = 8192;
/// Length of each of the two buffers.
pub(crate) const BUFFER_BYTES: u32 = 262_144;
/// Longest record, and longest answer, that a buffer is asked to have room for.
pub(crate) const RECORD_BYTES_MAX: u32 = 8320;

const _: () =
    assert!(size_of::<Record>() + INLINE_BYTES_MAX as usize + 8 <= RECORD_BYTES_MAX as usize);
const _: () = assert!(RECORD_BYTES_MAX < BUFFER_BYTES);

// Refuses to compile where the structs are laid out otherwise than Java was told; written by xtask.
#[rustfmt::skip]
#[path = "generated/layout.rs"]
mod layout;

/// The next multiple of 8.
pub(crate) fn padded(size: usize) -> usize {
    size.next_multiple_of(8)
}
