//! Writing heads, together with the frame around them.
//!
//! Fields go out in the order of their tags, except `hop`, which comes last because it is needed
//! only if a field that it guards was written. Each field is made in a register, key and value
//! together, stored as sixteen bytes and cut to its length: a fixed store and a subtraction, with
//! no loop and no call. Only names, whose length is arbitrary, are copied by `memcpy`.
use super::*;
use crate::frame::{self, TooLarge};
use crate::limits::{ERR_MSG_BYTES_MAX, Limits};
use alloc::vec::Vec;

/// The head of a request to be sent. What is zero, false or empty is left out of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Which call of its connection; always sent. Ours stay below 2³¹.
    pub sequence: u64,
    /// 1: every log line of this request is kept.
    pub coloring: u32,
    /// Hash of the method name; only for peers that ask for it.
    pub color_id: u64,
    /// One id for the whole way of a request.
    pub flow_id: u64,
    /// The calling service.
    pub caller: &'a [u8],
    /// `package.Service.Method`; always sent.
    pub method_name: &'a [u8],
    /// Milliseconds that we still wait.
    pub deadline_ms: u32,
    /// W3C trace id; all zero: none.
    pub trace_id: [u8; 16],
    /// Our span.
    pub span_id: u64,
    /// The span above ours.
    pub parent_span_id: u64,
    /// The trace is recorded.
    pub sampled: bool,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// How the body is compressed.
    pub compress: u32,
    /// User headers, as [`Metadata::encoded`](crate::Metadata::encoded) gives them.
    pub metadata: &'a [u8],
    /// Which request goes first when not all can be served; sent as a user header of its own.
    pub priority: Priority,
    /// Nobody waits for an answer.
    pub one_way: bool,
    /// This cancels the call `sequence`; see [`RequestHead::cancel`].
    pub cancel: bool,
    /// Service token.
    pub auth: &'a [u8],
}

impl RequestHead<'_> {
    /// The head of the frame, with an empty body, that cancels the call `sequence` of the same
    /// connection. To be sent only where [`FEATURE_CANCEL`] was seen in an answer.
    pub fn cancel(sequence: u64) -> RequestHead<'static> {
        RequestHead {
            sequence,
            method_name: CANCEL_METHOD_NAME,
            cancel: true,
            ..RequestHead::default()
        }
    }
}

/// The head of an answer to be sent. What is zero, false or empty is left out of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead<'a> {
    /// The request's; always sent.
    pub sequence: u64,
    /// The request's.
    pub coloring: u32,
    /// The request's, or the one that the server made up.
    pub flow_id: u64,
    /// The outcome.
    pub err: Code,
    /// The business return value.
    pub result: i32,
    /// Text for people; cut to [`ERR_MSG_BYTES_MAX`].
    pub err_msg: &'a [u8],
    /// The request's.
    pub caller: &'a [u8],
    /// The request's; always sent.
    pub method_name: &'a [u8],
    /// How the body is compressed; only in answers to requests that were, and only where `features`
    /// tells of it.
    pub compress: u32,
    /// What this server understands: [`FEATURES`].
    pub features: u64,
    /// This server drains.
    pub leaving: bool,
    /// The head of a request whose unknown fields are repeated, each as it came; empty: none.
    pub unknown_of: &'a [u8],
}

impl<'a> AnswerHead<'a> {
    /// The head of a successful answer to the request with this head, decoded from `bytes`.
    #[inline]
    pub fn to(request: &Head, bytes: &'a [u8]) -> AnswerHead<'a> {
        AnswerHead {
            sequence: request.sequence,
            coloring: request.coloring,
            flow_id: request.flow_id,
            caller: request.caller.of(bytes),
            method_name: request.method_name.of(bytes),
            unknown_of: if request.has_unknown { bytes } else { &[] },
            ..AnswerHead::default()
        }
    }
}

/// Appends a request to `out`: the whole frame, its body appended by `write_body`.
///
/// Nothing is written if head or body is over its limit.
///
/// ```
/// use msec_protocol::{Limits, RequestHead, head};
/// let mut out = Vec::new();
/// let request = RequestHead { sequence: 1, method_name: b"a.B.C", ..Default::default() };
/// head::encode_request(&request, &Limits::default(), &mut out, |out| {
///     out.extend_from_slice(b"hi");
/// })?;
/// assert_eq!(out, b"(\0\0\0\x0a\0\0\0\x02\x50\x01\x9a\x03\x05a.B.Chi)");
/// # Ok::<(), msec_protocol::TooLarge>(())
/// ```
#[inline]
pub fn encode_request<E: frame::Elsewhere>(
    head: &RequestHead<'_>,
    limits: &Limits,
    out: &mut Vec<u8>,
    write_body: impl FnOnce(&mut Vec<u8>) -> E,
) -> Result<(), TooLarge> {
    frame::write(limits, out, |out| write_request_head(head, out), write_body)
}

/// Appends an answer to `out`: the whole frame, its body appended by `write_body`.
///
/// Nothing is written if head or body is over its limit. A head that repeats a request's cannot be,
/// unless it says more than the request's or the answer's limits are lower.
#[inline]
pub fn encode_answer<E: frame::Elsewhere>(
    head: &AnswerHead<'_>,
    limits: &Limits,
    out: &mut Vec<u8>,
    write_body: impl FnOnce(&mut Vec<u8>) -> E,
) -> Result<(), TooLarge> {
    frame::write(limits, out, |out| write_answer_head(head, out), write_body)
}

#[inline(always)]
fn write_request_head(head: &RequestHead<'_>, out: &mut Vec<u8>) {
    let sequence = varint::encoded(head.sequence);
    put_sequence(out, sequence);
    put_unless_zero(out, COLORING, u64::from(head.coloring));
    put_unless_zero(out, COLOR_ID, head.color_id);
    put_unless_zero(out, FLOW_ID, head.flow_id);
    put_unless_empty(out, CALLER, head.caller);
    put_bytes(out, METHOD_NAME, head.method_name);
    if head.trace_id != [0; 16] {
        put_bytes(out, TRACE_ID, &head.trace_id);
    }
    let hop_at = out.len();
    put_unless_zero(out, DEADLINE_MS, u64::from(head.deadline_ms));
    let rare = head.span_id | head.parent_span_id | u64::from(head.attempt | head.compress);
    if rare != 0 || head.sampled || head.one_way || head.cancel {
        put_fixed_unless_zero(out, SPAN_ID, head.span_id);
        put_fixed_unless_zero(out, PARENT_SPAN_ID, head.parent_span_id);
        put_unless_zero(out, SAMPLED, u64::from(head.sampled));
        put_unless_zero(out, ATTEMPT, u64::from(head.attempt));
        put_unless_zero(out, COMPRESS, u64::from(head.compress));
        put_unless_zero(out, ONE_WAY, u64::from(head.one_way));
        put_unless_zero(out, CANCEL, u64::from(head.cancel));
    }
    if !head.metadata.is_empty() {
        out.extend_from_slice(head.metadata);
    }
    if head.priority != Priority::Default {
        out.extend_from_slice(head.priority.header());
    }
    put_unless_empty(out, AUTH, head.auth);
    // Only the fields since `hop_at` need the guard.
    if out.len() != hop_at {
        put_encoded(out, HOP, sequence);
    }
}

#[inline(always)]
fn write_answer_head(head: &AnswerHead<'_>, out: &mut Vec<u8>) {
    put_sequence(out, varint::encoded(head.sequence));
    put_unless_zero(out, COLORING, u64::from(head.coloring));
    put_unless_zero(out, FLOW_ID, head.flow_id);
    // Signed numbers are widened first: protobuf writes -1 as ten bytes.
    put_unless_zero(out, ERR, i64::from(head.err.0) as u64);
    put_unless_zero(out, RESULT, i64::from(head.result) as u64);
    put_unless_empty(out, ERR_MSG, cut_text(head.err_msg));
    put_unless_empty(out, CALLER, head.caller);
    put_bytes(out, METHOD_NAME, head.method_name);
    put_unless_zero(out, COMPRESS, u64::from(head.compress));
    put_unless_zero(out, FEATURES_KEY, head.features);
    put_unless_zero(out, LEAVING, u64::from(head.leaving));
    if !head.unknown_of.is_empty() {
        put_unknown(out, head.unknown_of);
    }
}

/// Appends the fields of a request's head that are unknown.
#[cold]
fn put_unknown(out: &mut Vec<u8>, request: &[u8]) {
    let mut at = 0;
    while let Some(field) = field(request, at) {
        if is_unknown(field.key) {
            out.extend_from_slice(&request[at..field.end]);
        }
        at = field.end;
    }
}

/// The key of a field with a tag of 16 to 2047, as its two bytes.
const fn key_bytes(key: u64) -> [u8; 2] {
    assert!(key >= 1 << 7 && key < 1 << 14);
    [key as u8 | 0x80, (key >> 7) as u8]
}

/// The key of user headers, as its two bytes.
pub(crate) const METADATA_KEY: [u8; 2] = key_bytes(METADATA);

/// Appends the low `count` bytes of `word`. A fixed length and a cut cost less than a copy whose
/// length is not known at compile time.
#[inline(always)]
fn put_word(out: &mut Vec<u8>, word: u128, count: usize) {
    let start = out.len();
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(start + count);
}

#[inline(always)]
fn put_sequence(out: &mut Vec<u8>, (word, count): (u128, usize)) {
    put_word(out, word << 8 | SEQUENCE as u128, count + 1);
}

#[inline(always)]
fn put_varint(out: &mut Vec<u8>, key: u64, value: u64) {
    put_encoded(out, key, varint::encoded(value));
}

#[inline(always)]
fn put_encoded(out: &mut Vec<u8>, key: u64, (word, count): (u128, usize)) {
    put_word(out, word << 16 | u128::from(u16::from_le_bytes(key_bytes(key))), count + 2);
}

#[inline(always)]
fn put_unless_zero(out: &mut Vec<u8>, key: u64, value: u64) {
    if value != 0 {
        put_varint(out, key, value);
    }
}

#[inline(always)]
fn put_fixed_unless_zero(out: &mut Vec<u8>, key: u64, value: u64) {
    if value != 0 {
        let key = u128::from(u16::from_le_bytes(key_bytes(key)));
        put_word(out, u128::from(value) << 16 | key, 10);
    }
}

#[inline(always)]
fn put_bytes(out: &mut Vec<u8>, key: u64, content: &[u8]) {
    put_varint(out, key, content.len() as u64);
    put_content(out, content);
}

/// Appends a name. Those of 8 to 32 bytes, which is most, are stored as their first and their
/// last half, which may overlap: two fixed stores instead of a call.
#[inline(always)]
fn put_content(out: &mut Vec<u8>, content: &[u8]) {
    let start = out.len();
    if let (Some(first), Some(last)) = (content.first_chunk::<16>(), content.last_chunk::<16>())
        && content.len() <= 32
    {
        out.extend_from_slice(first);
        out.truncate(start + content.len() - 16);
        out.extend_from_slice(last);
    } else if let (Some(first), Some(last)) =
        (content.first_chunk::<8>(), content.last_chunk::<8>())
        && content.len() <= 16
    {
        out.extend_from_slice(first);
        out.truncate(start + content.len() - 8);
        out.extend_from_slice(last);
    } else {
        out.extend_from_slice(content);
    }
}

#[inline(always)]
fn put_unless_empty(out: &mut Vec<u8>, key: u64, content: &[u8]) {
    if !content.is_empty() {
        put_bytes(out, key, content);
    }
}

/// The beginning of a text that is too long, up to where a character begins.
#[inline]
fn cut_text(text: &[u8]) -> &[u8] {
    if text.len() <= ERR_MSG_BYTES_MAX {
        return text;
    }
    let mut end = ERR_MSG_BYTES_MAX;
    // A character of UTF-8 has at most three bytes after its first.
    while end > ERR_MSG_BYTES_MAX - 3 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}
