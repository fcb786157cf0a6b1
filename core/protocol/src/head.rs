//! Heads: what a message says about itself.
//!
//! The head of every frame is a protobuf message, `srpc.CRpcHead`. Requests and answers share it;
//! an answer repeats much of its request's, so that both ends can log it without a memory.
//!
//! ```text
//!   tag  field         in        meaning
//!   10   sequence      both      which call of this connection; the answer repeats it
//!   20   coloring      both      1: dyed, every log line of this request is kept
//!   21   color_id      request   hash of the method name; nothing reads it
//!   30   flow_id       both      one id for a request's whole way through all services
//!   40   err           answer    0, or a code of `status`
//!   41   result        answer    the business return value; no layer interprets it
//!   42   err_msg       answer    text for people
//!   50   caller        both      who asks: a service name
//!   51   method_name   both      `package.Service.Method`
//!   70   deadline_ms   request ┐ time the caller still waits
//!   71   trace_id      request │ W3C trace context, 16 bytes
//!   72   span_id       request │
//!   73   parent_span_id        │
//!   74   sampled               │ the trace is recorded
//!   75   attempt               │ 0, then 1, 2, … for retries and hedges
//!   76   compress      both    │ how the body is compressed: 0 none, 1 LZ4, 2 Zstandard
//!   77   metadata              │ user headers
//!   78   one_way               │ nobody waits for an answer
//!   79   cancel                │ this frame cancels the call `sequence`
//!   80   auth                  ┘ service token
//!   81   hop           request   equals `sequence`, see below
//!   82   features      answer    what the server understands beyond the original protocol
//!   83   leaving       answer    the server drains: make further calls elsewhere
//! ```
//!
//! # Living with old peers
//!
//! Tags up to 60 are those of the original, which runs for ten years and will not be changed. An
//! old server makes its answer out of the request's head, unknown fields and all, and copies that
//! head into the calls it makes in turn. Our tags thus come back as answers, and reach servers
//! for which they were not meant: a deadline, or worse a cancel. Hence the guards:
//!
//! * In a request, `hop` must be there and equal `sequence`, or 70 and 72-80 count as absent. An
//!   old server copies `hop` but draws a new `sequence`. (`trace_id` may be inherited: that is
//!   what it is for.) 82 and 83 never count.
//! * In an answer only 82 and 83 count of the new tags. Requests never carry them, so an echo
//!   cannot either; so 76 counts in an answer that also carries 82.
//! * What neither the original nor we know is somebody's own. An old server hands it back, and so
//!   do we, as it came. Our own tags, 70-89, are never handed back.
//! * What an old server would not understand is sent only where `features` was seen in an answer:
//!   [`FEATURE_CANCEL`], [`FEATURE_COMPRESS`].
//!
//! `sequence` and `method_name` are required in the original's schema: its parser refuses a head
//! without them. They are always written, even empty, and a request without them is bad. An
//! answer is taken without a method name, as old Java servers send it empty.
//!
//! # By hand
//!
//! Decoding makes no copy and no allocation: names are [`Span`]s, places within the head. This
//! and the encoder are the only protobuf code here; both are checked against prost by property
//! tests and fuzzing. As in protobuf, unknown fields are skipped, a known tag with another wire
//! type is unknown, of a repeated field the last counts. Groups, which no peer ever sent, are bad.
use crate::limits::HEAD_BYTES_CEILING;
use crate::metadata::{self, Pairs};
use crate::serve::priority::Priority;
use crate::status::Code;
use crate::varint;
use core::fmt;

mod encode;

pub(crate) use encode::METADATA_KEY;
pub use encode::{AnswerHead, RequestHead, encode_answer, encode_request};

/// The server understands cancel frames: requests with `cancel` set.
pub const FEATURE_CANCEL: u64 = 1 << 0;
/// The server understands compressed bodies: requests with `compress` set.
pub const FEATURE_COMPRESS: u64 = 1 << 1;
/// What this version understands; a server sends it as `features`.
pub const FEATURES: u64 = FEATURE_CANCEL | FEATURE_COMPRESS;

/// Values of `compress`. The body is as it is.
pub const COMPRESS_NONE: u32 = 0;
/// The body is its length as u32le and then one block of LZ4.
pub const COMPRESS_LZ4: u32 = 1;
/// The body is one frame of Zstandard that tells its content's length (RFC 8878).
pub const COMPRESS_ZSTD: u32 = 2;

/// The method name of a cancel frame, which names no method of any service.
pub const CANCEL_METHOD_NAME: &[u8] = b"msec.cancel";

/// A place within the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The bytes at this place of `head`; none if `head` is not what the span was made from.
    #[inline]
    pub fn of(self, head: &[u8]) -> &[u8] {
        let start = self.start as usize;
        head.get(start..start + self.len as usize).unwrap_or(&[])
    }
}

/// A decoded head. An absent field is zero, false or empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Which call of its connection.
    pub sequence: u64,
    /// 1: every log line of this request is kept.
    pub coloring: u32,
    /// Hash of the method name; differs between old peers.
    pub color_id: u64,
    /// One id for the whole way of a request; 0: the server makes one up.
    pub flow_id: u64,
    /// The outcome; answers.
    pub err: Code,
    /// The business return value; answers.
    pub result: i32,
    /// Text for people; answers.
    pub err_msg: Span,
    /// The calling service, without the NUL that old PHP services append.
    pub caller: Span,
    /// `package.Service.Method`.
    pub method_name: Span,
    /// Milliseconds that the caller still waits, counted from arrival; 0: the server's default.
    pub deadline_ms: u32,
    /// W3C trace id; all zero: none.
    pub trace_id: [u8; 16],
    /// The caller's span; 0: none.
    pub span_id: u64,
    /// The span above the caller's; 0: none.
    pub parent_span_id: u64,
    /// The trace is recorded.
    pub sampled: bool,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// How the body is compressed, one of `COMPRESS_*`.
    pub compress: u32,
    /// Nobody waits for an answer.
    pub one_way: bool,
    /// This is no call but cancels the call with this sequence on this connection.
    pub cancel: bool,
    /// Service token.
    pub auth: Span,
    /// How many user headers there are; see [`Head::metadata`].
    pub metadata_pairs: u32,
    /// The user headers are over a bound: the request is to be refused.
    pub metadata_excess: bool,
    /// Which request goes first when not all can be served; one of the user headers.
    pub priority: Priority,
    /// What the server understands, bits `FEATURE_*`; answers.
    pub features: u64,
    /// The server drains; answers.
    pub leaving: bool,
    /// There are fields that neither the original nor we know; see [`AnswerHead::unknown_of`].
    pub has_unknown: bool,
}

/// Why bytes are not a head. The connection is closed: there is no sequence to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    /// It is not protobuf: a field is cut off or has an impossible key or length.
    Malformed,
    /// `sequence` is absent.
    NoSequence,
    /// `method_name` is absent from a request.
    NoMethodName,
    /// A user header is not a pair of a text and bytes.
    Metadata,
}

impl fmt::Display for BadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadHead::Malformed => "head is not protobuf",
            BadHead::NoSequence => "head has no sequence",
            BadHead::NoMethodName => "request has no method name",
            BadHead::Metadata => "head has a malformed user header",
        })
    }
}

impl core::error::Error for BadHead {}

impl Head {
    /// As [`decode_request`], in place of whatever this head was: to copy a head costs about as
    /// much as to decode one. After an error its fields mean nothing.
    ///
    /// # Errors
    /// When the bytes are not the head of a request.
    #[inline]
    pub fn decode_request(&mut self, bytes: &[u8]) -> Result<(), BadHead> {
        *self = Head::default();
        let seen = scan(bytes, self)?;
        if !seen.sequence {
            return Err(BadHead::NoSequence);
        }
        if !seen.method_name {
            return Err(BadHead::NoMethodName);
        }
        self.features = 0;
        self.leaving = false;
        if seen.guarded && seen.hop != Some(self.sequence) {
            self.clear_guarded();
        }
        if self.metadata_pairs != 0 {
            let survey = metadata::survey(bytes, self.metadata_pairs as usize);
            let survey = survey.ok_or(BadHead::Metadata)?;
            self.metadata_excess = !survey.are_within_bounds;
            self.priority = survey.priority;
        }
        if self.flow_id == 0 {
            self.flow_id = u64::from_be_bytes(low_half(self.trace_id));
        }
        Ok(())
    }

    /// The user headers; `bytes` are those that this head was decoded from.
    pub fn metadata<'head>(&self, bytes: &'head [u8]) -> Pairs<'head> {
        // Headers that the guard took away must not come back.
        Pairs::within(if self.metadata_pairs == 0 { &[] } else { bytes })
    }
}

/// Decodes the head of a request, guarded against what an old server handed on.
pub fn decode_request(bytes: &[u8]) -> Result<Head, BadHead> {
    let mut head = Head::default();
    head.decode_request(bytes)?;
    Ok(head)
}

/// Decodes the head of an answer, guarded against an old server's echo of the request.
#[inline]
pub fn decode_answer(bytes: &[u8]) -> Result<Head, BadHead> {
    let mut head = Head::default();
    let seen = scan(bytes, &mut head)?;
    if !seen.sequence {
        return Err(BadHead::NoSequence);
    }
    if seen.guarded {
        let compress = if head.features & FEATURE_COMPRESS == 0 { 0 } else { head.compress };
        head.clear_guarded();
        head.compress = compress;
    }
    head.trace_id = [0; 16];
    Ok(head)
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A field's key: its tag and its wire type.
const fn key(tag: u64, wire: u64) -> u64 {
    tag << 3 | wire
}

const SEQUENCE: u64 = key(10, VARINT);
const COLORING: u64 = key(20, VARINT);
const COLOR_ID: u64 = key(21, VARINT);
const FLOW_ID: u64 = key(30, VARINT);
const ERR: u64 = key(40, VARINT);
const RESULT: u64 = key(41, VARINT);
const ERR_MSG: u64 = key(42, BYTES);
const CALLER: u64 = key(50, BYTES);
const METHOD_NAME: u64 = key(51, BYTES);
const DEADLINE_MS: u64 = key(70, VARINT);
const TRACE_ID: u64 = key(71, BYTES);
const SPAN_ID: u64 = key(72, FIXED64);
const PARENT_SPAN_ID: u64 = key(73, FIXED64);
const SAMPLED: u64 = key(74, VARINT);
const ATTEMPT: u64 = key(75, VARINT);
const COMPRESS: u64 = key(76, VARINT);
pub(crate) const METADATA: u64 = key(77, BYTES);
const ONE_WAY: u64 = key(78, VARINT);
const CANCEL: u64 = key(79, VARINT);
const AUTH: u64 = key(80, BYTES);
const HOP: u64 = key(81, VARINT);
const FEATURES_KEY: u64 = key(82, VARINT);
const LEAVING: u64 = key(83, VARINT);

/// Whether a field is neither the original's nor ours, whatever its wire type. `caller_stack`, tag
/// 60, counts as such: nobody reads it.
const fn is_unknown(key: u64) -> bool {
    !matches!(key >> 3, 10 | 20 | 21 | 30 | 40..=42 | 50 | 51 | 70..=89)
}

/// What a head contains, beyond its values.
#[derive(Clone, Copy, Default)]
struct Seen {
    sequence: bool,
    method_name: bool,
    /// Any of 70 and 72-80.
    guarded: bool,
    hop: Option<u64>,
}

/// Reads the fields as they stand, unguarded.
///
/// Not inlined, so that fields are stored where `head` is: inlined, the compiler keeps all of them
/// apart on the stack, and copies them together in the end.
#[inline(never)]
fn scan(bytes: &[u8], head: &mut Head) -> Result<Seen, BadHead> {
    let mut seen = Seen::default();
    if bytes.len() > HEAD_BYTES_CEILING {
        return Err(BadHead::Malformed);
    }
    let mut at = 0;
    while at < bytes.len() {
        let (key, value_at) = read_key(bytes, at).ok_or(BadHead::Malformed)?;
        if key & 7 == VARINT {
            let (value, end) = varint::read(bytes, value_at).ok_or(BadHead::Malformed)?;
            take_varint(head, &mut seen, key, value);
            at = end;
        } else if key & 7 == BYTES {
            let (len, start) = varint::read_short(bytes, value_at).ok_or(BadHead::Malformed)?;
            if len > (bytes.len() - start) as u64 {
                return Err(BadHead::Malformed);
            }
            let span = Span { start: start as u32, len: len as u32 };
            take_bytes(head, &mut seen, key, span, bytes);
            at = start + len as usize;
        } else {
            let field = fixed(key, bytes, value_at).ok_or(BadHead::Malformed)?;
            take_fixed(head, &mut seen, key, &bytes[field.start..field.end]);
            at = field.end;
        }
    }
    Ok(seen)
}

#[inline(always)]
fn take_varint(head: &mut Head, seen: &mut Seen, key: u64, value: u64) {
    // Fields narrower than 64 bits keep the low bits, as protobuf does.
    match key {
        SEQUENCE => (head.sequence, seen.sequence) = (value, true),
        COLORING => head.coloring = value as u32,
        COLOR_ID => head.color_id = value,
        FLOW_ID => head.flow_id = value,
        ERR => head.err = Code(value as i32),
        RESULT => head.result = value as i32,
        DEADLINE_MS => (head.deadline_ms, seen.guarded) = (value as u32, true),
        SAMPLED => (head.sampled, seen.guarded) = (value as u32 != 0, true),
        ATTEMPT => (head.attempt, seen.guarded) = (value as u32, true),
        COMPRESS => (head.compress, seen.guarded) = (value as u32, true),
        ONE_WAY => (head.one_way, seen.guarded) = (value as u32 != 0, true),
        CANCEL => (head.cancel, seen.guarded) = (value as u32 != 0, true),
        HOP => seen.hop = Some(value),
        FEATURES_KEY => head.features = value,
        LEAVING => head.leaving = value as u32 != 0,
        _ => head.has_unknown |= is_unknown(key),
    }
}

#[inline(always)]
fn take_bytes(head: &mut Head, seen: &mut Seen, key: u64, span: Span, bytes: &[u8]) {
    match key {
        METHOD_NAME => (head.method_name, seen.method_name) = (span, true),
        CALLER => head.caller = without_nul(span, bytes),
        ERR_MSG => head.err_msg = span,
        // A trace id of another length is none.
        TRACE_ID => head.trace_id = span.of(bytes).try_into().unwrap_or_default(),
        AUTH => (head.auth, seen.guarded) = (span, true),
        METADATA => {
            head.metadata_pairs += 1;
            seen.guarded = true;
        }
        _ => head.has_unknown |= is_unknown(key),
    }
}

#[inline(always)]
fn take_fixed(head: &mut Head, seen: &mut Seen, key: u64, content: &[u8]) {
    // Of a field of four bytes, none of which is known, the value does not matter.
    let value = content.try_into().map_or(0, u64::from_le_bytes);
    match key {
        SPAN_ID => (head.span_id, seen.guarded) = (value, true),
        PARENT_SPAN_ID => (head.parent_span_id, seen.guarded) = (value, true),
        _ => head.has_unknown |= is_unknown(key),
    }
}

impl Head {
    /// Takes 70 and 72-80 away.
    #[cold]
    fn clear_guarded(&mut self) {
        *self = Head {
            deadline_ms: 0,
            span_id: 0,
            parent_span_id: 0,
            sampled: false,
            attempt: 0,
            compress: 0,
            metadata_pairs: 0,
            one_way: false,
            cancel: false,
            auth: Span::default(),
            ..*self
        };
    }
}

/// The last eight of a trace id's bytes.
fn low_half(trace_id: [u8; 16]) -> [u8; 8] {
    let [_, _, _, _, _, _, _, _, low @ ..] = trace_id;
    low
}

#[inline]
fn without_nul(span: Span, bytes: &[u8]) -> Span {
    let mut caller = span;
    while caller.of(bytes).last() == Some(&0) {
        caller.len -= 1;
    }
    caller
}

/// Reads a key; tag 0 and tags over 29 bits do not exist. All of ours take one byte or two.
#[inline(always)]
fn read_key(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (key, end) = match *bytes.get(at..)? {
        [first, second, ..] if first >= 0x80 && second < 0x80 => {
            (u64::from(first & 0x7f) | u64::from(second) << 7, at + 2)
        }
        [first, ..] if first < 0x80 => (u64::from(first), at + 1),
        _ => varint::read_short(bytes, at)?,
    };
    (key >= key_of_first_tag() && key <= u64::from(u32::MAX)).then_some((key, end))
}

const fn key_of_first_tag() -> u64 {
    key(1, VARINT)
}

/// Any field, where speed does not matter: its key, and where its content lies.
pub(crate) struct Field {
    pub(crate) key: u64,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The field that begins at `at`; `None` if it is malformed.
pub(crate) fn field(bytes: &[u8], at: usize) -> Option<Field> {
    let (key, value_at) = read_key(bytes, at)?;
    match key & 7 {
        VARINT => {
            let (_, end) = varint::read(bytes, value_at)?;
            Some(Field { key, start: value_at, end })
        }
        BYTES => {
            let (len, start) = varint::read(bytes, value_at)?;
            let end = start.checked_add(usize::try_from(len).ok()?)?;
            (end <= bytes.len()).then_some(Field { key, start, end })
        }
        _ => fixed(key, bytes, value_at),
    }
}

/// A field of four or eight bytes.
fn fixed(key: u64, bytes: &[u8], start: usize) -> Option<Field> {
    let end = match key & 7 {
        FIXED64 => start + 8,
        FIXED32 => start + 4,
        _ => return None,
    };
    (end <= bytes.len()).then_some(Field { key, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ERR_MSG_BYTES_MAX, Limits};
    use crate::metadata::Metadata;
    use std::vec;
    use std::vec::Vec;

    /// A head of fields, written by the definition.
    #[derive(Default)]
    struct Fields(Vec<u8>);

    impl Fields {
        fn raw(mut self, bytes: &[u8]) -> Fields {
            self.0.extend_from_slice(bytes);
            self
        }
        fn number(self, mut value: u64) -> Fields {
            let mut bytes = vec![];
            while value >= 0x80 {
                bytes.push(value as u8 | 0x80);
                value >>= 7;
            }
            bytes.push(value as u8);
            self.raw(&bytes)
        }
        fn varint(self, tag: u64, value: u64) -> Fields {
            self.number(tag << 3).number(value)
        }
        fn bytes(self, tag: u64, content: &[u8]) -> Fields {
            self.number(tag << 3 | 2).number(content.len() as u64).raw(content)
        }
        fn fixed64(self, tag: u64, value: u64) -> Fields {
            self.number(tag << 3 | 1).raw(&value.to_le_bytes())
        }
        fn request(sequence: u64) -> Fields {
            Fields::default().varint(10, sequence).bytes(51, b"a.B.C")
        }
        /// All the tags that `hop` guards, and the trace id.
        fn extended(self) -> Fields {
            let mut metadata = Metadata::new();
            metadata.add("key", b"value").unwrap();
            self.varint(70, 250)
                .bytes(71, b"0123456789abcdef")
                .fixed64(72, 0x1111)
                .fixed64(73, 0x2222)
                .varint(74, 1)
                .varint(75, 2)
                .varint(76, 1)
                .raw(metadata.encoded())
                .varint(78, 1)
                .varint(79, 1)
                .bytes(80, b"token")
        }
    }

    fn head_of(frame: &[u8]) -> &[u8] {
        let crate::Cut::Frame { head, .. } = crate::cut(frame, &Limits::DEFAULT) else {
            panic!("not a frame: {frame:x?}")
        };
        &frame[head]
    }

    fn encoded_request(request: &RequestHead<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_request(request, &Limits::DEFAULT, &mut out, |_| {}).unwrap();
        head_of(&out).to_vec()
    }

    fn encoded_answer(answer: &AnswerHead<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_answer(answer, &Limits::DEFAULT, &mut out, |_| {}).unwrap();
        head_of(&out).to_vec()
    }

    #[test]
    fn every_field_of_a_request_comes_back() {
        let mut metadata = Metadata::new();
        metadata.add("priority", b"critical").unwrap();
        metadata.add("empty", b"").unwrap();
        let request = RequestHead {
            sequence: 0x7fff_ffff,
            coloring: 1,
            color_id: 1_154_275_343,
            flow_id: u64::MAX,
            caller: b"Demo.relay",
            method_name: b"echo.EchoService.Echo",
            deadline_ms: 5000,
            trace_id: *b"0123456789abcdef",
            span_id: 0x0102_0304_0506_0708,
            parent_span_id: u64::MAX,
            sampled: true,
            attempt: 3,
            compress: 2,
            metadata: metadata.encoded(),
            priority: Priority::Critical,
            one_way: true,
            cancel: true,
            auth: b"token",
        };
        let bytes = encoded_request(&request);
        let head = decode_request(&bytes).unwrap();
        let again = RequestHead {
            sequence: head.sequence,
            coloring: head.coloring,
            color_id: head.color_id,
            flow_id: head.flow_id,
            caller: head.caller.of(&bytes),
            method_name: head.method_name.of(&bytes),
            deadline_ms: head.deadline_ms,
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_span_id: head.parent_span_id,
            sampled: head.sampled,
            attempt: head.attempt,
            compress: head.compress,
            metadata: metadata.encoded(),
            priority: head.priority,
            one_way: head.one_way,
            cancel: head.cancel,
            auth: head.auth.of(&bytes),
        };
        assert_eq!(again, request);
        assert_eq!(Metadata::copied(&head, &bytes).unwrap(), metadata);
    }

    #[test]
    fn every_field_of_an_answer_comes_back() {
        let answer = AnswerHead {
            sequence: u64::MAX,
            coloring: 7,
            flow_id: 1 << 63,
            err: Code::OVERLOADED,
            result: i32::MIN,
            err_msg: b"too much",
            caller: b"Demo.relay",
            method_name: b"echo.EchoService.Echo",
            compress: COMPRESS_ZSTD,
            features: FEATURE_CANCEL | FEATURE_COMPRESS,
            leaving: true,
            unknown_of: &[],
        };
        let bytes = encoded_answer(&answer);
        let head = decode_answer(&bytes).unwrap();
        let again = AnswerHead {
            err: head.err,
            result: head.result,
            err_msg: head.err_msg.of(&bytes),
            compress: head.compress,
            features: head.features,
            leaving: head.leaving,
            ..AnswerHead::to(&head, &bytes)
        };
        assert_eq!(again, answer);
    }

    #[test]
    fn an_answer_repeats_its_request_and_leaves_out_what_is_absent() {
        let request = Fields::request(5).varint(20, 1).varint(30, 9).bytes(50, b"me").extended();
        let head = decode_request(&request.0).unwrap();
        let bytes = encoded_answer(&AnswerHead::to(&head, &request.0));
        let expect = Fields::default()
            .varint(10, 5)
            .varint(20, 1)
            .varint(30, 9)
            .bytes(50, b"me")
            .bytes(51, b"a.B.C");
        assert_eq!(bytes, expect.0);
        let bare = Fields::request(6);
        let head = decode_request(&bare.0).unwrap();
        assert_eq!(encoded_answer(&AnswerHead::to(&head, &bare.0)), bare.0);
    }

    #[test]
    fn sequence_and_method_name_are_written_even_empty() {
        let expect = Fields::default().varint(10, 0).bytes(51, b"").0;
        assert_eq!(encoded_answer(&AnswerHead::default()), expect);
        assert_eq!(encoded_request(&RequestHead::default()), expect);
        assert_eq!(
            decode_request(&expect),
            Ok(Head { method_name: Span { start: 5, len: 0 }, ..Head::default() })
        );
    }

    #[test]
    fn names_of_every_length_are_written_whole() {
        let name: Vec<u8> = (0..200).collect();
        for length in 0..200 {
            let request = RequestHead { method_name: &name[..length], ..RequestHead::default() };
            let expect = Fields::default().varint(10, 0).bytes(51, &name[..length]);
            assert_eq!(encoded_request(&request), expect.0, "{length}");
        }
    }

    #[test]
    fn hop_is_written_exactly_where_it_guards_something() {
        let bare = RequestHead { sequence: 300, method_name: b"m", ..RequestHead::default() };
        let bare_bytes = encoded_request(&bare);
        let traced = RequestHead { trace_id: [1; 16], ..bare };
        let hop = Fields::default().varint(81, 300).0;
        assert!(!encoded_request(&traced).ends_with(&hop));
        let mut metadata = Metadata::new();
        metadata.add("k", b"v").unwrap();
        for guarded in [
            RequestHead { deadline_ms: 1, ..bare },
            RequestHead { span_id: 1, ..bare },
            RequestHead { parent_span_id: 1, ..bare },
            RequestHead { sampled: true, ..bare },
            RequestHead { attempt: 1, ..bare },
            RequestHead { compress: 1, ..bare },
            RequestHead { metadata: metadata.encoded(), ..bare },
            RequestHead { one_way: true, ..bare },
            RequestHead { cancel: true, ..bare },
            RequestHead { auth: b"t", ..bare },
        ] {
            let bytes = encoded_request(&guarded);
            assert!(bytes.ends_with(&hop), "{guarded:?}");
            let decoded = decode_request(&bytes).unwrap();
            assert_ne!(decoded, decode_request(&bare_bytes).unwrap(), "{guarded:?}");
        }
    }

    #[test]
    fn inherited_fields_are_ignored_without_the_right_hop() {
        let bare = decode_request(&Fields::request(5).0).unwrap();
        let trusted = decode_request(&Fields::request(5).extended().varint(81, 5).0).unwrap();
        assert_eq!((trusted.deadline_ms, trusted.metadata_pairs), (250, 1));
        assert!(trusted.cancel && trusted.one_way && trusted.sampled);
        for inherited in [
            Fields::request(5).extended().varint(81, 4),
            Fields::request(5).extended(),
            Fields::request(5).varint(81, 5).extended().varint(81, 6),
        ] {
            let head = decode_request(&inherited.0).unwrap();
            let flow_id = u64::from_be_bytes(*b"89abcdef");
            assert_eq!(head, Head { trace_id: *b"0123456789abcdef", flow_id, ..bare });
            assert_eq!(head.metadata(&inherited.0).count(), 0);
        }
    }

    #[test]
    fn an_absent_hop_is_not_sequence_zero() {
        let head = decode_request(&Fields::request(0).extended().0).unwrap();
        assert!(!head.cancel);
        let head = decode_request(&Fields::request(0).extended().varint(81, 0).0).unwrap();
        assert!(head.cancel);
    }

    #[test]
    fn of_an_old_servers_echo_only_the_original_fields_count() {
        let echo = Fields::request(5).varint(40, -6i64 as u64).extended().varint(81, 5);
        let head = decode_answer(&echo.0).unwrap();
        let expect = Fields::request(5).varint(40, -6i64 as u64);
        assert_eq!(head, decode_answer(&expect.0).unwrap());
        assert_eq!(head.err, Code::INVALID_METHOD);
    }

    #[test]
    fn compression_counts_in_answers_that_tell_features() {
        let compressed = |features| {
            let bytes = Fields::request(5).varint(76, 1).varint(82, features).0;
            decode_answer(&bytes).unwrap().compress
        };
        assert_eq!([compressed(0), compressed(1), compressed(2), compressed(3)], [0, 0, 1, 1]);
    }

    #[test]
    fn features_and_leaving_count_in_answers_only() {
        let bytes = Fields::request(5).varint(82, 3).varint(83, 1).0;
        let answer = decode_answer(&bytes).unwrap();
        assert_eq!((answer.features, answer.leaving), (3, true));
        let request = decode_request(&bytes).unwrap();
        assert_eq!((request.features, request.leaving), (0, false));
    }

    #[test]
    fn a_cancel_frame_names_its_call() {
        let bytes = encoded_request(&RequestHead::cancel(77));
        let expect = Fields::default().varint(10, 77).bytes(51, b"msec.cancel");
        assert_eq!(bytes, expect.varint(79, 1).varint(81, 77).0);
        let head = decode_request(&bytes).unwrap();
        assert_eq!((head.sequence, head.cancel), (77, true));
    }

    #[test]
    fn flow_id_is_taken_from_the_trace_where_it_is_absent() {
        let traced =
            Fields::request(1).bytes(71, b"\0\x01\x02\x03\x04\x05\x06\x07\0\0\0\0\0\0\x01\x02");
        assert_eq!(decode_request(&traced.0).unwrap().flow_id, 0x102);
        assert_eq!(decode_request(&traced.varint(30, 9).0).unwrap().flow_id, 9);
    }

    #[test]
    fn a_trace_id_of_another_length_is_none() {
        for wrong in [&[1u8; 15][..], &[1; 17], b""] {
            let head = decode_request(&Fields::request(1).bytes(71, wrong).0).unwrap();
            assert_eq!(head.trace_id, [0; 16]);
        }
    }

    #[test]
    fn trailing_nuls_of_the_caller_are_stripped() {
        for (caller, expect) in [
            (&b"VOA_php.Web\0"[..], &b"VOA_php.Web"[..]),
            (b"a\0b\0\0", b"a\0b"),
            (b"\0\0", b""),
            (b"", b""),
        ] {
            let bytes = Fields::request(1).bytes(50, caller).0;
            assert_eq!(decode_request(&bytes).unwrap().caller.of(&bytes), expect);
        }
    }

    #[test]
    fn required_fields_are_required() {
        let no_sequence = Fields::default().bytes(51, b"m").0;
        assert_eq!(decode_request(&no_sequence), Err(BadHead::NoSequence));
        assert_eq!(decode_answer(&no_sequence), Err(BadHead::NoSequence));
        let no_name = Fields::default().varint(10, 1).0;
        assert_eq!(decode_request(&no_name), Err(BadHead::NoMethodName));
        assert_eq!(decode_answer(&no_name).map(|head| head.sequence), Ok(1));
    }

    #[test]
    fn a_java_answer_is_understood() {
        let java = Fields::default()
            .varint(10, 8)
            .varint(20, 0)
            .varint(21, 0)
            .varint(30, 0)
            .varint(40, -1000i64 as u64)
            .varint(41, 0)
            .bytes(42, b"Unknown exception!")
            .bytes(50, b"VOA_java.Crawl")
            .bytes(51, b"")
            .bytes(60, b"");
        let head = decode_answer(&java.0).unwrap();
        assert_eq!((head.sequence, head.err), (8, Code::JAVA_FAILED));
        assert_eq!(head.err_msg.of(&java.0), b"Unknown exception!");
    }

    #[test]
    fn unknown_fields_of_every_wire_type_are_skipped() {
        let bytes = Fields::default()
            .varint(1, u64::MAX)
            .fixed64(2, 7)
            .bytes(15, b"unknown")
            .raw(&[0x85, 0x01, 1, 2, 3, 4])
            .varint(89, 3)
            .varint((1 << 29) - 1, 4)
            .varint(10, 5)
            .bytes(51, b"a.B.C")
            .bytes(3000, &[0xff; 300])
            .0;
        let head = decode_request(&bytes).unwrap();
        assert_eq!((head.sequence, head.method_name.of(&bytes)), (5, &b"a.B.C"[..]));
    }

    #[test]
    fn unknown_fields_of_a_request_come_back_and_ours_do_not() {
        let fields = Fields::default().bytes(60, b"").varint(90, 7).bytes((1 << 29) - 1, b"x");
        let theirs = fields.raw(&[0x1d, 1, 2, 3, 4]);
        let ours = Fields::default().varint(70, 5).bytes(80, b"token").varint(89, 1).bytes(10, b"");
        let bytes = Fields::request(7).varint(21, 9).raw(&ours.0).raw(&theirs.0).raw(&ours.0).0;
        let request = decode_request(&bytes).unwrap();
        assert!(request.has_unknown);
        let expect = Fields::request(7).raw(&theirs.0).0;
        assert_eq!(encoded_answer(&AnswerHead::to(&request, &bytes)), expect);
        let known = Fields::request(7).extended().raw(&ours.0).0;
        assert!(!decode_request(&known).unwrap().has_unknown);
    }

    #[test]
    fn a_known_tag_of_another_wire_type_is_unknown() {
        let head = decode_request(&Fields::request(5).bytes(10, b"\x07").fixed64(51, 1).0);
        assert_eq!(head, decode_request(&Fields::request(5).0));
    }

    #[test]
    fn the_last_of_a_repeated_field_counts() {
        let bytes = Fields::request(5).varint(10, 6).bytes(51, b"x").0;
        let head = decode_request(&bytes).unwrap();
        assert_eq!((head.sequence, head.method_name.of(&bytes)), (6, &b"x"[..]));
    }

    #[test]
    fn every_cut_of_a_head_is_decoded_or_refused_and_never_beyond_its_end() {
        let bytes = Fields::request(5).bytes(50, b"me").extended().varint(81, 5).0;
        let mut refused = 0;
        for end in 0..bytes.len() {
            match decode_request(&bytes[..end]) {
                Ok(head) => assert!(head.method_name.of(&bytes[..end]).len() == 5),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > bytes.len() / 2);
    }

    #[test]
    fn what_is_not_protobuf_is_refused() {
        for bad in [
            &[0x00, 0x00][..],                                                         // tag 0
            &[0x53],                            // group begins
            &[0x54],                            // group ends
            &[0x56, 0],                         // wire type 6
            &[0x57, 0],                         // wire type 7
            &[0x80],                            // key cut off
            &[0xff, 0xff, 0xff, 0xff, 0x1f, 0], // tag over 29 bits
            &[0x50],                            // no value
            &[0x50, 0x80],                      // value cut off
            &[0x9a, 0x03, 0x02, b'm'],          // content cut off
            &[0x9a, 0x03, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // length
            &[0xc1, 0x04, 1, 2, 3],             // fixed64 cut off
            &[0x85, 0x01, 1, 2, 3],             // fixed32 cut off
        ] {
            let bytes = Fields::request(1).raw(bad).0;
            assert_eq!(decode_request(&bytes), Err(BadHead::Malformed), "{bad:x?}");
            assert_eq!(decode_answer(&bytes), Err(BadHead::Malformed), "{bad:x?}");
        }
    }

    #[test]
    fn malformed_user_headers_are_refused_only_where_they_count() {
        for bad in [&b"\x0a\x05k"[..], b"\x0a\x01\xff", b"\x00", b"\x0a"] {
            let fields = Fields::request(1).bytes(77, bad);
            assert_eq!(decode_answer(&fields.0).map(|head| head.metadata_pairs), Ok(0));
            assert_eq!(decode_request(&fields.0).map(|head| head.metadata_pairs), Ok(0));
            let hopped = fields.varint(81, 1);
            assert_eq!(decode_request(&hopped.0), Err(BadHead::Metadata), "{bad:x?}");
        }
    }

    #[test]
    fn a_long_error_text_is_cut_at_a_character() {
        let mut text = vec![b'x'; ERR_MSG_BYTES_MAX - 1];
        text.extend_from_slice("€".as_bytes());
        let answer = AnswerHead { err_msg: &text, ..AnswerHead::default() };
        let bytes = encoded_answer(&answer);
        let head = decode_answer(&bytes).unwrap();
        assert_eq!(head.err_msg.of(&bytes), &text[..ERR_MSG_BYTES_MAX - 1]);
        let exact = AnswerHead { err_msg: &text[..ERR_MSG_BYTES_MAX - 1], ..answer };
        assert_eq!(encoded_answer(&exact), bytes);
        let garbage = [0x80; 2 * ERR_MSG_BYTES_MAX];
        let bytes = encoded_answer(&AnswerHead { err_msg: &garbage, ..answer });
        assert_eq!(decode_answer(&bytes).unwrap().err_msg.len as usize, ERR_MSG_BYTES_MAX - 3);
    }

    #[test]
    fn a_head_over_its_limit_is_not_sent() {
        let name = [b'm'; 100];
        let request = RequestHead { method_name: &name, ..RequestHead::default() };
        let limits = Limits { head_bytes_max: 100, ..Limits::DEFAULT };
        let mut out = Vec::new();
        let refused =
            encode_request(&request, &limits, &mut out, |_| -> () { panic!("body written") });
        assert_eq!(refused, Err(crate::TooLarge::Head(105)));
        assert!(out.is_empty());
    }
}
