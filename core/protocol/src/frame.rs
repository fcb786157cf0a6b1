//! Frames: where one message ends and the next begins.
//!
//! A connection is a stream of frames, one after the other, in both directions. A datagram is
//! exactly one frame. A frame is
//!
//! ```text
//!   0    1         5         9               9+H             9+H+B
//!   ┌───┬─────────┬─────────┬───────────────┬───────────────┬───┐
//!   │ ( │ H       │ B       │ head, H bytes │ body, B bytes │ ) │     H+B+10 bytes
//!   └───┴─────────┴─────────┴───────────────┴───────────────┴───┘
//!    0x28  u32be     u32be    protobuf         opaque         0x29
//! ```
//!
//! The lengths are signed 32-bit numbers in old peers, so more than 2³¹-1 is "negative" and bad.
//! The head is never empty (its sequence is required), the body may be. There is no magic number,
//! version or checksum: the parentheses are all there is to notice that the place in the stream
//! is lost, and a stream that has lost its place can only be closed.
//!
//! # Cutting
//!
//! [`cut`] looks at the bytes that begin a frame and says what they are; it keeps nothing.
//! [`Cutter`] is fed the pieces of a stream as they arrive, which rarely end where frames end:
//!
//! ```text
//!   input 1            input 2                  input 3
//!   ├─frame─┼─frame─┼─fra│me──┼─frame─┼─fram│e───┼─…
//!    borrowed borrowed   └─┬─┘  borrowed   └─┬──┘
//!                        owned             owned
//! ```
//!
//! A frame that lies within one input is borrowed from it: nothing is copied. Only the frame that
//! crosses a boundary is assembled in memory of its own, which then moves to whoever takes the
//! frame. Beyond a first 96 KiB ([`ASSEMBLY_BYTES_MIN`]) that memory grows with what has arrived,
//! not by what the peer has promised.
//!
//! A body over its limit is not the end of a connection: its head is handed out, so that the
//! request can be answered by its sequence, and the body's bytes are thrown away as they come. A
//! head over its limit is the end, for there is no sequence to answer.
use crate::limits::{ASSEMBLY_BYTES_MIN, ASSEMBLY_GROWTH_FACTOR, Limits};
use crate::status::Code;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The byte before a frame: `(`.
pub const START: u8 = 0x28;
/// The byte after a frame: `)`.
pub const END: u8 = 0x29;
/// Bytes before the head: start and the two lengths.
pub const PREFIX_BYTES: usize = 9;
/// Bytes of a frame that are neither head nor body.
pub const OVERHEAD_BYTES: usize = 10;

/// What the bytes given to [`cut`] begin with. Ranges are indexes into those bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing can be said before there are `total` bytes, counted from the first.
    Need {
        /// More than there were.
        total: usize,
    },
    /// A whole frame of `total` bytes; more may follow it.
    Frame {
        /// The head, never empty.
        head: Range<usize>,
        /// The body, maybe empty.
        body: Range<usize>,
        /// Bytes of the frame, parentheses included.
        total: usize,
    },
    /// The head of a frame whose body is over its limit. The body need not have arrived.
    BodyTooLarge {
        /// The head, never empty, all of it there.
        head: Range<usize>,
        /// Bytes of the whole frame, parentheses included.
        total: usize,
    },
    /// No frame: the place in the stream is lost.
    Bad(BadFrame),
}

/// Why bytes are not a frame. The connection must be closed, a datagram dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// The first byte is not `(`.
    Start(u8),
    /// The byte after the body is not `)`.
    End(u8),
    /// A length is over 2³¹-1.
    NegativeLength,
    /// The head is empty.
    EmptyHead,
    /// The head is over its limit.
    HeadTooLarge {
        /// Its length in bytes, as promised by the peer.
        head_bytes: usize,
    },
    /// A datagram ends before its frame, or goes on after it.
    DatagramLength,
}

impl BadFrame {
    /// The code for logs and counters; a bad frame cannot be answered.
    pub fn code(self) -> Code {
        match self {
            BadFrame::HeadTooLarge { .. } => Code::TOO_LARGE,
            BadFrame::Start(_)
            | BadFrame::End(_)
            | BadFrame::NegativeLength
            | BadFrame::EmptyHead
            | BadFrame::DatagramLength => Code::INVALID_PACKAGE,
        }
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFrame::Start(byte) => write!(f, "frame starts with {byte:#04x} instead of '('"),
            BadFrame::End(byte) => write!(f, "frame ends with {byte:#04x} instead of ')'"),
            BadFrame::NegativeLength => f.write_str("frame has a negative length"),
            BadFrame::EmptyHead => f.write_str("frame has an empty head"),
            BadFrame::HeadTooLarge { head_bytes } => {
                write!(f, "head of {head_bytes} bytes is over the limit")
            }
            BadFrame::DatagramLength => f.write_str("datagram is not exactly one frame"),
        }
    }
}

impl core::error::Error for BadFrame {}

/// Says what `input` begins with.
///
/// Pure and without memory: call it again with more bytes after [`Cut::Need`].
#[inline]
pub fn cut(input: &[u8], limits: &Limits) -> Cut {
    let Some(prefix) = input.first_chunk::<PREFIX_BYTES>() else {
        return match input.first() {
            Some(&first) if first != START => Cut::Bad(BadFrame::Start(first)),
            Some(_) | None => Cut::Need { total: PREFIX_BYTES },
        };
    };
    let &[first, h0, h1, h2, h3, b0, b1, b2, b3] = prefix;
    let head_bytes = u32::from_be_bytes([h0, h1, h2, h3]) as usize;
    let body_bytes = u32::from_be_bytes([b0, b1, b2, b3]) as usize;
    let total = head_bytes + body_bytes + OVERHEAD_BYTES;
    // The limits are far below 2³¹, so one comparison each also refuses what is negative, and
    // the subtraction wraps an empty head to the top.
    let usual = first == START
        && head_bytes.wrapping_sub(1) < limits.head_bytes_max
        && body_bytes <= limits.body_bytes_max;
    if !usual {
        return cut_unusual(input, limits, first, head_bytes, body_bytes);
    }
    match input.get(total - 1) {
        None => Cut::Need { total },
        Some(&END) => {
            let head_end = PREFIX_BYTES + head_bytes;
            Cut::Frame { head: PREFIX_BYTES..head_end, body: head_end..total - 1, total }
        }
        Some(&other) => Cut::Bad(BadFrame::End(other)),
    }
}

/// The prefix is there, and something is wrong with it.
#[cold]
fn cut_unusual(
    input: &[u8],
    limits: &Limits,
    first: u8,
    head_bytes: usize,
    body_bytes: usize,
) -> Cut {
    if first != START {
        return Cut::Bad(BadFrame::Start(first));
    }
    if head_bytes.max(body_bytes) > i32::MAX as usize {
        return Cut::Bad(BadFrame::NegativeLength);
    }
    if head_bytes == 0 {
        return Cut::Bad(BadFrame::EmptyHead);
    }
    if head_bytes > limits.head_bytes_max {
        return Cut::Bad(BadFrame::HeadTooLarge { head_bytes });
    }
    let head_end = PREFIX_BYTES + head_bytes;
    if input.len() < head_end {
        return Cut::Need { total: head_end };
    }
    let total = head_end + body_bytes + 1;
    Cut::BodyTooLarge { head: PREFIX_BYTES..head_end, total }
}

/// A datagram as the one frame it must be.
///
/// Its limits are those of a datagram, so sizes are not looked at.
pub fn datagram(input: &[u8]) -> Result<Frame<'_>, BadFrame> {
    match cut(input, &Limits::DEFAULT) {
        Cut::Frame { head, total, .. } if total == input.len() => {
            Ok(Frame { bytes: Cow::Borrowed(input), head_end: head.end })
        }
        Cut::Bad(bad) => Err(bad),
        Cut::Frame { .. } | Cut::Need { .. } | Cut::BodyTooLarge { .. } => {
            Err(BadFrame::DatagramLength)
        }
    }
}

/// A whole frame, borrowed from an input or owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'input> {
    /// The frame with its parentheses. Invariant: `cut` has called exactly these bytes a frame.
    bytes: Cow<'input, [u8]>,
    /// Index after the head.
    head_end: usize,
}

impl<'input> Frame<'input> {
    /// The head, never empty.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.bytes[PREFIX_BYTES..self.head_end]
    }
    /// The body, maybe empty.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_range()]
    }
    /// Where the head lies in [`bytes`](Frame::bytes) and in [`into_bytes`](Frame::into_bytes).
    #[inline]
    pub fn head_range(&self) -> Range<usize> {
        PREFIX_BYTES..self.head_end
    }
    /// Where the body lies in [`bytes`](Frame::bytes) and in [`into_bytes`](Frame::into_bytes).
    #[inline]
    pub fn body_range(&self) -> Range<usize> {
        self.head_end..self.bytes.len() - 1
    }
    /// The whole frame, parentheses included.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The whole frame as it is held: still borrowed from the input, or owned.
    #[inline]
    pub fn into_bytes(self) -> Cow<'input, [u8]> {
        self.bytes
    }
}

/// What [`Cutter::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival<'input> {
    /// A whole frame.
    Frame(Frame<'input>),
    /// The head of a frame whose body is thrown away, because it is over its limit or because of
    /// [`Cutter::abandon`]. The frames after it will be found.
    Refused {
        /// The head, never empty.
        head: Cow<'input, [u8]>,
        /// Length of the body that nobody will see, in bytes.
        body_bytes: usize,
    },
}

/// Incomplete frames from this size on are kept in lent memory, see [`Cutter::lend`].
pub const LENT_BYTES_MIN: usize = 16 * 1024;

/// Cuts the frames out of a stream that arrives in pieces.
///
/// One for each direction of a connection. Holds no memory while no frame is incomplete.
#[derive(Debug, Default)]
pub struct Cutter {
    /// The beginning of a frame of which more is to come. Invariant: between calls it is empty or
    /// `cut` says `Need` of it, so it never holds a whole frame, and never part of a second one.
    partial: Vec<u8>,
    /// Bytes of a refused frame that have still to be thrown away, its end byte included.
    /// Invariant: zero while `partial` is not empty.
    skip_bytes: usize,
    /// Lent memory for the next large frame that is incomplete.
    lent: Vec<u8>,
}

impl Cutter {
    /// At the beginning of a stream.
    pub const fn new() -> Cutter {
        Cutter { partial: Vec::new(), skip_bytes: 0, lent: Vec::new() }
    }

    /// Takes the next frame off the front of `input`.
    ///
    /// Call it until it says `None`: then `input` is empty, and what was left of it is kept.
    /// After an error the stream has lost its place and the connection must be closed.
    ///
    /// ```
    /// use msec_protocol::{Arrival, Cutter, Limits};
    /// let limits = Limits::default();
    /// let mut cutter = Cutter::new();
    /// let mut bodies = Vec::new();
    /// for piece in [&b"(\0\0\0\x04\0\0\0\x02head"[..], b"hi)", b""] {
    ///     let mut input = piece;
    ///     while let Some(Arrival::Frame(frame)) = cutter.next(&limits, &mut input)? {
    ///         bodies.push(frame.body().to_vec());
    ///     }
    /// }
    /// assert_eq!(bodies, [b"hi"]);
    /// # Ok::<(), msec_protocol::BadFrame>(())
    /// ```
    #[inline]
    pub fn next<'input>(
        &mut self,
        limits: &Limits,
        input: &mut &'input [u8],
    ) -> Result<Option<Arrival<'input>>, BadFrame> {
        if !self.partial.is_empty() || self.skip_bytes != 0 {
            return self.next_continued(limits, input);
        }
        self.next_from_start(limits, input)
    }

    /// Lends empty memory that was used before, for the next frame of [`LENT_BYTES_MIN`] or more
    /// that is incomplete; without it memory is allocated as the frame arrives.
    #[inline]
    pub fn lend(&mut self, memory: Vec<u8>) {
        debug_assert!(memory.is_empty());
        self.lent = memory;
    }

    /// Takes back what was lent, if it was not needed.
    #[inline]
    pub fn take_lent(&mut self) -> Option<Vec<u8>> {
        (self.lent.capacity() > 0).then(|| core::mem::take(&mut self.lent))
    }

    /// Stops keeping the body of the frame that is incomplete, if its head is whole, and gives
    /// the memory back; for when memory is short. The head is to be answered with a code.
    ///
    /// `None` if no frame is incomplete, or so little of one that its head is not whole yet.
    pub fn abandon(&mut self) -> Option<Arrival<'static>> {
        // With no room for a body, a frame that is incomplete and has its head is refused. An
        // empty body is in no need of room.
        let none = Limits { body_bytes_max: 0, head_bytes_max: usize::MAX, ..Limits::DEFAULT };
        match cut(&self.partial, &none) {
            Cut::BodyTooLarge { head, total } => Some(self.refuse(head, total)),
            Cut::Need { .. } | Cut::Frame { .. } | Cut::Bad(_) => None,
        }
    }

    /// Memory held for the frame that is incomplete, in bytes.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.partial.capacity()
    }

    /// Whether the stream stands between two frames, so that its end here loses nothing.
    #[inline]
    pub fn at_boundary(&self) -> bool {
        self.partial.is_empty() && self.skip_bytes == 0
    }

    /// `input` begins where a frame begins.
    #[inline]
    fn next_from_start<'input>(
        &mut self,
        limits: &Limits,
        input: &mut &'input [u8],
    ) -> Result<Option<Arrival<'input>>, BadFrame> {
        match cut(input, limits) {
            Cut::Frame { head, total, .. } => {
                let (bytes, rest) = input.split_at(total);
                *input = rest;
                Ok(Some(Arrival::Frame(Frame { bytes: Cow::Borrowed(bytes), head_end: head.end })))
            }
            Cut::Need { total } => {
                self.append(input, total);
                *input = &[];
                Ok(None)
            }
            Cut::BodyTooLarge { head, total } => {
                let head_end = head.end;
                let body_bytes = total - 1 - head_end;
                let head = Cow::Borrowed(&input[head]);
                *input = &input[head_end..];
                self.skip_bytes = total - head_end;
                Ok(Some(Arrival::Refused { head, body_bytes }))
            }
            Cut::Bad(bad) => Err(bad),
        }
    }

    /// `input` continues a frame: one that is kept, or one that is thrown away.
    fn next_continued<'input>(
        &mut self,
        limits: &Limits,
        input: &mut &'input [u8],
    ) -> Result<Option<Arrival<'input>>, BadFrame> {
        if self.skip_bytes != 0 {
            if !self.skip(input)? {
                return Ok(None);
            }
            return self.next_from_start(limits, input);
        }
        loop {
            match cut(&self.partial, limits) {
                Cut::Need { total } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let missing = total - self.partial.len();
                    let (piece, rest) = input.split_at(missing.min(input.len()));
                    self.append(piece, total);
                    *input = rest;
                }
                Cut::Frame { head, .. } => {
                    let bytes = Cow::Owned(core::mem::take(&mut self.partial));
                    return Ok(Some(Arrival::Frame(Frame { bytes, head_end: head.end })));
                }
                Cut::BodyTooLarge { head, total } => return Ok(Some(self.refuse(head, total))),
                Cut::Bad(bad) => return Err(bad),
            }
        }
    }

    /// Throws input away; true once all that had to go is gone.
    fn skip(&mut self, input: &mut &[u8]) -> Result<bool, BadFrame> {
        let gone = self.skip_bytes.min(input.len());
        if gone == self.skip_bytes && input[gone - 1] != END {
            return Err(BadFrame::End(input[gone - 1]));
        }
        self.skip_bytes -= gone;
        *input = &input[gone..];
        Ok(self.skip_bytes == 0)
    }

    /// Hands out the head of the frame in `partial` and throws the rest of it away.
    fn refuse(&mut self, head: Range<usize>, total: usize) -> Arrival<'static> {
        let partial = core::mem::take(&mut self.partial);
        self.skip_bytes = total - partial.len();
        let body_bytes = total - 1 - head.end;
        Arrival::Refused { head: Cow::Owned(partial[head].to_vec()), body_bytes }
    }

    /// Keeps `piece` of a frame that will be `total` bytes long, if the peer keeps its promise.
    fn append(&mut self, piece: &[u8], total: usize) {
        let bytes = self.partial.len() + piece.len();
        // Memory many times as large as the frame would be kept with it.
        let fits = total >= LENT_BYTES_MIN && total >= self.lent.capacity() / 4;
        if fits && self.partial.capacity() == 0 {
            self.partial = core::mem::take(&mut self.lent);
        }
        if bytes > self.partial.capacity() {
            let room = bytes.saturating_mul(ASSEMBLY_GROWTH_FACTOR).max(ASSEMBLY_BYTES_MIN);
            let room = room.min(total).max(bytes);
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(piece);
    }
}

/// A message that would be over a limit of the wire; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// The head, with its length in bytes.
    Head(usize),
    /// The body, with its length in bytes.
    Body(usize),
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooLarge::Head(bytes) => write!(f, "head of {bytes} bytes is over the limit"),
            TooLarge::Body(bytes) => write!(f, "body of {bytes} bytes is over the limit"),
        }
    }
}

impl core::error::Error for TooLarge {}

/// How many bytes of a body were not appended to the frame but are kept elsewhere. `()` says none.
pub trait Elsewhere {
    /// The count.
    fn bytes(self) -> usize;
}

impl Elsewhere for () {
    #[inline(always)]
    fn bytes(self) -> usize {
        0
    }
}

impl Elsewhere for usize {
    #[inline(always)]
    fn bytes(self) -> usize {
        self
    }
}

/// Appends one frame to `out`, whose head and body are appended by the two functions.
///
/// Lengths are patched in afterwards, so neither has to be known before. If one is over its limit
/// `out` is as before. The functions must only append; what of the body is kept elsewhere, to be
/// sent in its place, the second one says by what it returns.
#[inline(always)]
pub fn write<E: Elsewhere>(
    limits: &Limits,
    out: &mut Vec<u8>,
    write_head: impl FnOnce(&mut Vec<u8>),
    write_body: impl FnOnce(&mut Vec<u8>) -> E,
) -> Result<(), TooLarge> {
    let start = out.len();
    out.extend_from_slice(&[START, 0, 0, 0, 0, 0, 0, 0, 0]);
    write_head(out);
    let head_end = out.len();
    let head_bytes = head_end - start - PREFIX_BYTES;
    if head_bytes > limits.head_bytes_max {
        out.truncate(start);
        return Err(TooLarge::Head(head_bytes));
    }
    let elsewhere = write_body(out).bytes();
    let body_bytes = out.len() - head_end + elsewhere;
    if body_bytes > limits.body_bytes_max {
        out.truncate(start);
        return Err(TooLarge::Body(body_bytes));
    }
    out.push(END);
    // Both fit: the limits are below 2³¹.
    let lengths = (head_bytes as u64) << 32 | body_bytes as u64;
    out[start + 1..start + PREFIX_BYTES].copy_from_slice(&lengths.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{self, RequestHead};
    use std::string::ToString;
    use std::vec;

    /// The worked example of the original: sequence 1, `echo.EchoService.Echo`, message "hi".
    const EXAMPLE: &[u8] =
        b"\x28\0\0\0\x1a\0\0\0\x04\x50\x01\x9a\x03\x15echo.EchoService.Echo\x0a\x02hi\x29";

    fn framed(head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(
            &Limits::DEFAULT,
            &mut out,
            |out| out.extend_from_slice(head),
            |out| out.extend_from_slice(body),
        )
        .unwrap();
        out
    }

    fn prefix(head_bytes: u32, body_bytes: u32) -> Vec<u8> {
        let mut out = vec![START];
        out.extend_from_slice(&head_bytes.to_be_bytes());
        out.extend_from_slice(&body_bytes.to_be_bytes());
        out
    }

    #[track_caller]
    fn check(input: &[u8], expect: Cut) {
        assert_eq!(cut(input, &Limits::DEFAULT), expect);
    }

    /// Everything that comes out of a stream given in these pieces, with owned bytes.
    fn cut_all(limits: &Limits, pieces: &[&[u8]]) -> Result<Vec<Arrival<'static>>, BadFrame> {
        let mut cutter = Cutter::new();
        let mut found = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(arrival) = cutter.next(limits, &mut input)? {
                found.push(owned(arrival));
            }
            assert!(input.is_empty());
        }
        assert!(cutter.at_boundary());
        assert_eq!(cutter.buffered(), 0, "memory is kept between frames");
        Ok(found)
    }

    fn owned(arrival: Arrival<'_>) -> Arrival<'static> {
        match arrival {
            Arrival::Frame(frame) => Arrival::Frame(Frame {
                head_end: frame.head_end,
                bytes: Cow::Owned(frame.into_bytes().into_owned()),
            }),
            Arrival::Refused { head, body_bytes } => {
                Arrival::Refused { head: Cow::Owned(head.into_owned()), body_bytes }
            }
        }
    }

    #[test]
    fn a_large_frame_comes_into_lent_memory_and_a_small_one_does_not() {
        let limits = Limits::default();
        for (body_bytes, is_taken) in [(100, false), (LENT_BYTES_MIN, true)] {
            let frame = framed(b"head", &vec![7; body_bytes]);
            let mut cutter = Cutter::new();
            cutter.lend(Vec::with_capacity(2 * LENT_BYTES_MIN));
            let mut input = &frame[..50];
            assert!(matches!(cutter.next(&limits, &mut input), Ok(None)));
            assert_eq!(cutter.take_lent().is_none(), is_taken);
            assert_eq!(cutter.buffered() == 2 * LENT_BYTES_MIN, is_taken);
            let mut input = &frame[50..];
            assert!(matches!(cutter.next(&limits, &mut input), Ok(Some(Arrival::Frame(_)))));
        }
        // Memory that is too large for it would be kept with it.
        let mut cutter = Cutter::new();
        cutter.lend(Vec::with_capacity(8 * LENT_BYTES_MIN));
        let frame = framed(b"head", &vec![7; LENT_BYTES_MIN]);
        let mut input = &frame[..50];
        assert!(matches!(cutter.next(&limits, &mut input), Ok(None)));
        assert!(cutter.take_lent().is_some());
    }

    #[test]
    fn the_worked_example_is_cut_and_written_byte_by_byte() {
        assert_eq!(EXAMPLE.len(), 40);
        check(EXAMPLE, Cut::Frame { head: 9..35, body: 35..39, total: 40 });
        let request = RequestHead {
            sequence: 1,
            method_name: b"echo.EchoService.Echo",
            ..RequestHead::default()
        };
        let mut out = Vec::new();
        head::encode_request(&request, &Limits::DEFAULT, &mut out, |out| {
            out.extend_from_slice(b"\x0a\x02hi");
        })
        .unwrap();
        assert_eq!(out, EXAMPLE);
        let decoded = head::decode_request(&EXAMPLE[9..35]).unwrap();
        assert_eq!(decoded.sequence, 1);
        assert_eq!(decoded.method_name.of(&EXAMPLE[9..35]), b"echo.EchoService.Echo");
    }

    #[test]
    fn incomplete_frames_say_how_much_they_need() {
        check(b"", Cut::Need { total: 9 });
        for end in 1..9 {
            check(&EXAMPLE[..end], Cut::Need { total: 9 });
        }
        for end in 9..40 {
            check(&EXAMPLE[..end], Cut::Need { total: 40 });
        }
    }

    #[test]
    fn bytes_after_a_frame_are_left_alone() {
        let mut input = EXAMPLE.to_vec();
        input.extend_from_slice(b"anything");
        check(&input, Cut::Frame { head: 9..35, body: 35..39, total: 40 });
    }

    #[test]
    fn an_empty_body_is_legal() {
        check(b"(\0\0\0\x01\0\0\0\0h)", Cut::Frame { head: 9..10, body: 10..10, total: 11 });
    }

    #[test]
    fn a_wrong_first_byte_is_bad_at_once() {
        check(b"G", Cut::Bad(BadFrame::Start(b'G')));
        check(b"GET / HTTP/1.1", Cut::Bad(BadFrame::Start(b'G')));
    }

    #[test]
    fn a_missing_end_is_bad() {
        let mut input = EXAMPLE.to_vec();
        input[39] = b'(';
        check(&input, Cut::Bad(BadFrame::End(b'(')));
    }

    #[test]
    fn an_empty_head_is_bad() {
        check(&prefix(0, 0), Cut::Bad(BadFrame::EmptyHead));
        check(&prefix(0, 5), Cut::Bad(BadFrame::EmptyHead));
    }

    #[test]
    fn negative_lengths_are_bad() {
        for negative in [0x8000_0000, 0xffff_ffff] {
            check(&prefix(negative, 0), Cut::Bad(BadFrame::NegativeLength));
            check(&prefix(1, negative), Cut::Bad(BadFrame::NegativeLength));
            check(&prefix(negative, negative), Cut::Bad(BadFrame::NegativeLength));
        }
    }

    #[test]
    fn the_longest_head_passes_and_one_byte_more_is_bad() {
        let limits = Limits { head_bytes_max: 5, body_bytes_max: 5, ..Limits::DEFAULT };
        assert_eq!(cut(&prefix(5, 5), &limits), Cut::Need { total: 20 });
        let bad = BadFrame::HeadTooLarge { head_bytes: 6 };
        assert_eq!(cut(&prefix(6, 0), &limits), Cut::Bad(bad));
        assert_eq!(bad.code(), Code::TOO_LARGE);
        assert_eq!(bad.to_string(), "head of 6 bytes is over the limit");
    }

    #[test]
    fn the_head_of_an_oversize_body_is_waited_for_and_handed_out() {
        let limits = Limits { body_bytes_max: 5, ..Limits::DEFAULT };
        let mut input = prefix(2, 6);
        assert_eq!(cut(&input, &limits), Cut::Need { total: 11 });
        input.push(b'h');
        assert_eq!(cut(&input, &limits), Cut::Need { total: 11 });
        input.push(b'h');
        assert_eq!(cut(&input, &limits), Cut::BodyTooLarge { head: 9..11, total: 18 });
        input.extend_from_slice(b"bbbbbb)");
        assert_eq!(cut(&input, &limits), Cut::BodyTooLarge { head: 9..11, total: 18 });
    }

    #[test]
    fn the_greatest_lengths_do_not_overflow() {
        let max = i32::MAX as u32;
        check(&prefix(max, max), Cut::Bad(BadFrame::HeadTooLarge { head_bytes: max as usize }));
        check(&prefix(1, max), Cut::Need { total: 10 });
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_split() {
        let limits = Limits { body_bytes_max: 8, ..Limits::DEFAULT };
        let mut stream = Vec::new();
        stream.extend(framed(b"one", b"12345678"));
        stream.extend(framed(b"two", b""));
        stream.extend(framed(b"too large", b"123456789"));
        stream.extend(framed(b"f", b"4"));
        let whole = cut_all(&limits, &[&stream]).unwrap();
        let heads: Vec<&[u8]> = whole
            .iter()
            .map(|arrival| match arrival {
                Arrival::Frame(frame) => frame.head(),
                Arrival::Refused { head, body_bytes } => {
                    assert_eq!(*body_bytes, 9);
                    head
                }
            })
            .collect();
        assert_eq!(heads, [&b"one"[..], b"two", b"too large", b"f"]);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(cut_all(&limits, &pieces).unwrap(), whole, "{first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(cut_all(&limits, &bytes).unwrap(), whole);
    }

    #[test]
    fn a_frame_within_one_input_is_borrowed_from_it() {
        let stream = [EXAMPLE, EXAMPLE].concat();
        let mut input = &stream[..];
        let mut cutter = Cutter::new();
        for start in [0, EXAMPLE.len()] {
            let arrival = cutter.next(&Limits::DEFAULT, &mut input).unwrap();
            let Some(Arrival::Frame(frame)) = arrival else { panic!("no frame") };
            assert!(core::ptr::eq(frame.bytes().as_ptr(), &stream[start]));
            assert!(matches!(frame.into_bytes(), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn an_assembled_frame_is_moved_out_and_its_memory_is_its_size() {
        let stream = framed(b"head", &[7; 1000]);
        let mut cutter = Cutter::new();
        let mut rest = &stream[..500];
        assert_eq!(cutter.next(&Limits::DEFAULT, &mut rest), Ok(None));
        let mut rest = &stream[500..];
        let arrival = cutter.next(&Limits::DEFAULT, &mut rest).unwrap();
        let Some(Arrival::Frame(frame)) = arrival else { panic!("no frame") };
        assert_eq!(frame.head(), b"head");
        assert_eq!(frame.body(), [7; 1000]);
        let Cow::Owned(bytes) = frame.into_bytes() else { panic!("not owned") };
        assert_eq!(bytes.capacity(), stream.len());
    }

    #[test]
    fn memory_grows_with_what_arrived_and_not_with_what_was_promised() {
        let mut cutter = Cutter::new();
        let mut arrived = prefix(100, Limits::DEFAULT.body_bytes_max as u32);
        arrived.resize(1 << 20, 0);
        let mut fed_bytes = 0;
        for piece in arrived.chunks(777) {
            assert_eq!(cutter.next(&Limits::DEFAULT, &mut &piece[..]), Ok(None));
            fed_bytes += piece.len();
            let most = (ASSEMBLY_GROWTH_FACTOR * fed_bytes).max(ASSEMBLY_BYTES_MIN);
            assert!(cutter.buffered() <= most);
        }
    }

    #[test]
    fn an_oversize_body_holds_no_memory_while_it_is_skipped() {
        let limits = Limits { body_bytes_max: 100, ..Limits::DEFAULT };
        let mut cutter = Cutter::new();
        let mut input = &[&prefix(4, 1_000_000)[..], b"head"].concat()[..];
        let arrival = cutter.next(&limits, &mut input).unwrap();
        assert_eq!(
            arrival,
            Some(Arrival::Refused { head: b"head"[..].into(), body_bytes: 1_000_000 })
        );
        for _ in 0..1000 {
            assert_eq!(cutter.next(&limits, &mut &[0; 1000][..]), Ok(None));
            assert_eq!(cutter.buffered(), 0);
            assert!(!cutter.at_boundary());
        }
        let mut input = &[b")", EXAMPLE].concat()[..];
        let arrival = cutter.next(&limits, &mut input).unwrap();
        assert!(matches!(arrival, Some(Arrival::Frame(frame)) if frame.bytes() == EXAMPLE));
    }

    #[test]
    fn a_skipped_body_without_end_loses_the_place() {
        let limits = Limits { body_bytes_max: 0, ..Limits::DEFAULT };
        let mut cutter = Cutter::new();
        let mut input = &b"(\0\0\0\x01\0\0\0\x01hb!"[..];
        assert!(matches!(cutter.next(&limits, &mut input), Ok(Some(Arrival::Refused { .. }))));
        assert_eq!(cutter.next(&limits, &mut input), Err(BadFrame::End(b'!')));
        assert_eq!(cutter.next(&limits, &mut input), Err(BadFrame::End(b'!')));
    }

    #[test]
    fn a_bad_frame_that_came_in_pieces_stays_bad() {
        let mut cutter = Cutter::new();
        let mut stream = EXAMPLE.to_vec();
        stream[39] = 0;
        assert_eq!(cutter.next(&Limits::DEFAULT, &mut &stream[..20]), Ok(None));
        let mut input = &stream[20..];
        assert_eq!(cutter.next(&Limits::DEFAULT, &mut input), Err(BadFrame::End(0)));
        assert_eq!(cutter.next(&Limits::DEFAULT, &mut &EXAMPLE[..]), Err(BadFrame::End(0)));
    }

    #[test]
    fn an_abandoned_frame_is_refused_and_the_next_is_read() {
        let stream = [&framed(b"head", &[7; 1000])[..], EXAMPLE].concat();
        for split in 0..=1013 {
            let mut cutter = Cutter::new();
            let (mut input, mut rest) = stream.split_at(split);
            assert_eq!(cutter.next(&Limits::DEFAULT, &mut input), Ok(None));
            let abandoned = cutter.abandon();
            if split < PREFIX_BYTES + 4 {
                assert_eq!(abandoned, None);
                continue;
            }
            let head = b"head"[..].into();
            assert_eq!(abandoned, Some(Arrival::Refused { head, body_bytes: 1000 }));
            assert_eq!(cutter.buffered(), 0);
            assert_eq!(cutter.abandon(), None);
            let arrival = cutter.next(&Limits::DEFAULT, &mut rest).unwrap();
            assert!(matches!(arrival, Some(Arrival::Frame(frame)) if frame.bytes() == EXAMPLE));
        }
    }

    #[test]
    fn a_frame_whose_limit_sinks_while_it_arrives_is_refused() {
        let stream = framed(b"head", &[7; 1000]);
        let mut cutter = Cutter::new();
        assert_eq!(cutter.next(&Limits::DEFAULT, &mut &stream[..500]), Ok(None));
        let tight = Limits { body_bytes_max: 10, ..Limits::DEFAULT };
        let mut input = &stream[500..];
        let arrival = cutter.next(&tight, &mut input).unwrap();
        assert_eq!(arrival, Some(Arrival::Refused { head: b"head"[..].into(), body_bytes: 1000 }));
        assert_eq!(cutter.next(&tight, &mut input), Ok(None));
        assert!(cutter.at_boundary());
    }

    #[test]
    fn a_datagram_is_exactly_one_frame() {
        assert_eq!(datagram(EXAMPLE).unwrap().body(), b"\x0a\x02hi");
        let longer = [EXAMPLE, b" "].concat();
        for wrong in [&EXAMPLE[..39], b"", &longer, &prefix(1, 1 << 30)] {
            assert_eq!(datagram(wrong), Err(BadFrame::DatagramLength));
        }
        assert_eq!(datagram(b"GET"), Err(BadFrame::Start(b'G')));
    }

    #[test]
    fn what_is_over_a_limit_is_not_written_and_leaves_no_trace() {
        let limits = Limits { head_bytes_max: 3, body_bytes_max: 3, ..Limits::DEFAULT };
        let mut out = b"before".to_vec();
        let four = |out: &mut Vec<u8>| out.extend_from_slice(b"four");
        let two = |out: &mut Vec<u8>| out.extend_from_slice(b"tw");
        assert_eq!(write(&limits, &mut out, four, two), Err(TooLarge::Head(4)));
        assert_eq!(write(&limits, &mut out, two, four), Err(TooLarge::Body(4)));
        assert_eq!(out, b"before");
        assert_eq!(write(&limits, &mut out, two, two), Ok(()));
        assert_eq!(out, b"before(\0\0\0\x02\0\0\0\x02twtw)");
    }
}
