//! Cuts requests out of a stream that arrives in pieces.
//!
//! ```text
//!   input 1                  input 2             input 3
//!   ├─request─┼─request─┼─head, bo│dy──┼─request─┼─he│ad─┼─chunk─┼─chunk─┼─…
//!    borrowed  borrowed     └──┬──┘     borrowed   └──┬───────────────┘
//!                            kept                    kept, the chunks joined
//! ```
//!
//! A request that lies within one input is borrowed from it. One that crosses a boundary, or whose
//! body is chunked, is put together in memory of its own, which grows with what has arrived.

use super::chunks::Chunks;
use super::head::{self, Head, Length};
use super::{BadRequest, Method};
use crate::head::Span;
use crate::limits::{ASSEMBLY_BYTES_MIN, ASSEMBLY_GROWTH_FACTOR, HTTP_HEAD_BYTES_MAX, Limits};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'input> {
    /// What it says before its body.
    pub head: Head,
    /// Head and body; a chunked body is joined already.
    bytes: Cow<'input, [u8]>,
}

impl Request<'_> {
    /// The bytes at a place that [`Request::head`] tells.
    #[inline]
    pub fn of(&self, place: Span) -> &[u8] {
        place.of(&self.bytes)
    }

    /// The body, maybe empty.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head.bytes..]
    }
}

/// What [`Cutter::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival<'input> {
    /// A whole request.
    Request(Request<'input>),
    /// The client waits for [`CONTINUE`](super::CONTINUE) before it sends the body.
    Continue,
}

/// Where in a request the stream stands.
#[derive(Debug, Default)]
enum Stage {
    /// In the head, or before it. `kept` has been searched for its end.
    #[default]
    Head,
    /// In a body that ends when `kept` is so many bytes long.
    Body { head: Head, total: usize },
    /// In a chunked body.
    Chunked { head: Head, chunks: Chunks },
}

/// Cuts the requests out of a stream. Holds no memory while no request is incomplete.
#[derive(Debug, Default)]
pub struct Cutter {
    /// What has arrived of the request that is incomplete.
    kept: Vec<u8>,
    stage: Stage,
}

impl Cutter {
    /// At the beginning of a stream.
    pub const fn new() -> Cutter {
        Cutter { kept: Vec::new(), stage: Stage::Head }
    }

    /// Takes the next request off the front of `input`.
    ///
    /// Call it until it says `None`: then `input` is empty, and what was left of it is kept. After
    /// an error the stream has lost its place, and the cutter must not be used any more.
    #[inline]
    pub fn next<'input>(
        &mut self,
        limits: &Limits,
        input: &mut &'input [u8],
    ) -> Result<Option<Arrival<'input>>, BadRequest> {
        if let Stage::Head = self.stage {
            self.skip_empty_lines(input);
            let head = if self.kept.is_empty() {
                match head::parse(input)? {
                    Some(head) => match borrowed(head, limits, input)? {
                        Ok(request) => return Ok(Some(Arrival::Request(request))),
                        Err(head) => head,
                    },
                    None => {
                        self.keep_head(input)?;
                        return Ok(None);
                    }
                }
            } else {
                match self.next_kept_head(input)? {
                    Some(head) => head,
                    None => return Ok(None),
                }
            };
            if self.begin_body(head, limits, input)? && input.is_empty() {
                return Ok(Some(Arrival::Continue));
            }
        }
        self.next_body(limits, input)
    }

    /// Bytes of memory held for the request that is incomplete.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.kept.capacity()
    }

    /// Whether the stream stands between two requests, so that its end here loses nothing.
    #[inline]
    pub fn at_boundary(&self) -> bool {
        // Whoever is in a body has kept its head.
        self.kept.is_empty()
    }

    /// Bytes that have arrived of the request that is incomplete, without what chunks add.
    #[inline]
    pub fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Whether a head is incomplete.
    #[inline]
    pub fn is_in_head(&self) -> bool {
        matches!(self.stage, Stage::Head) && !self.kept.is_empty()
    }

    /// Old browsers send an empty line after a body (RFC 9112 §2.2).
    fn skip_empty_lines(&mut self, input: &mut &[u8]) {
        if self.kept == b"\r"
            && let Some(rest) = input.strip_prefix(b"\n")
        {
            self.kept = Vec::new();
            *input = rest;
        }
        if self.kept.is_empty() {
            while let Some(rest) = input.strip_prefix(b"\r\n") {
                *input = rest;
            }
        }
    }

    /// Keeps the beginning of a head, of which there was nothing before.
    fn keep_head(&mut self, input: &mut &[u8]) -> Result<(), BadRequest> {
        if input.len() > HTTP_HEAD_BYTES_MAX {
            return Err(BadRequest::HeadTooLarge);
        }
        if head::has_bare_line_feed(input) {
            return Err(BadRequest::BareLineFeed);
        }
        self.kept.extend_from_slice(input);
        *input = &[];
        Ok(())
    }

    /// Looks for the end of a head whose beginning is kept, and leaves in `input` what follows it.
    fn next_kept_head(&mut self, input: &mut &[u8]) -> Result<Option<Head>, BadRequest> {
        let searched = self.kept.len();
        let room = HTTP_HEAD_BYTES_MAX + 1 - searched;
        self.kept.extend_from_slice(&input[..input.len().min(room)]);
        let mut at = searched;
        while let Some(next) = self.kept[at..].iter().position(|byte| *byte == b'\n') {
            at += next;
            if at == 0 || self.kept[at - 1] != b'\r' {
                return Err(BadRequest::BareLineFeed);
            }
            at += 1;
            if self.kept[..at].ends_with(b"\r\n\r\n") {
                if at > HTTP_HEAD_BYTES_MAX {
                    return Err(BadRequest::HeadTooLarge);
                }
                *input = &input[at - searched..];
                self.kept.truncate(at);
                // Lines that end with an empty one are a head, or nothing.
                return head::parse(&self.kept)?.ok_or(BadRequest::Malformed).map(Some);
            }
        }
        if self.kept.len() > HTTP_HEAD_BYTES_MAX {
            return Err(BadRequest::HeadTooLarge);
        }
        *input = &[];
        Ok(None)
    }

    /// A head is whole, and its body is not: `input` begins with it, unless it is kept. Leaves the
    /// body in `input`; whether the client waits for a word to send it.
    fn begin_body(
        &mut self,
        head: Head,
        limits: &Limits,
        input: &mut &[u8],
    ) -> Result<bool, BadRequest> {
        if self.kept.is_empty() {
            let (bytes, rest) = input.split_at(head.bytes);
            self.kept.extend_from_slice(bytes);
            *input = rest;
        }
        let expects = head.expects_continue;
        self.stage = match head.length {
            Length::Chunked => Stage::Chunked { head, chunks: Chunks::START },
            Length::Bytes(_) | Length::Unsaid => {
                let total = head.bytes + body_bytes(&head, limits)?;
                Stage::Body { head, total }
            }
        };
        Ok(expects
            && !matches!(&self.stage, Stage::Body { total, .. } if *total == self.kept.len()))
    }

    /// Takes what there is of a body.
    fn next_body<'input>(
        &mut self,
        limits: &Limits,
        input: &mut &'input [u8],
    ) -> Result<Option<Arrival<'input>>, BadRequest> {
        let whole = match &mut self.stage {
            Stage::Head => false,
            Stage::Body { total, .. } => {
                let missing = *total - self.kept.len();
                let (piece, rest) = input.split_at(missing.min(input.len()));
                append(&mut self.kept, piece, *total);
                *input = rest;
                piece.len() == missing
            }
            Stage::Chunked { head, chunks } => {
                chunks.take(input, &mut self.kept, head.bytes, limits.body_bytes_max)?
            }
        };
        if !whole {
            return Ok(None);
        }
        let bytes = Cow::Owned(core::mem::take(&mut self.kept));
        match core::mem::take(&mut self.stage) {
            Stage::Body { head, .. } | Stage::Chunked { head, .. } => {
                Ok(Some(Arrival::Request(Request { head, bytes })))
            }
            Stage::Head => Ok(None),
        }
    }
}

/// The request as a part of `input`, if it lies within it; its head again if not.
fn borrowed<'input>(
    head: Head,
    limits: &Limits,
    input: &mut &'input [u8],
) -> Result<Result<Request<'input>, Head>, BadRequest> {
    if head.bytes > HTTP_HEAD_BYTES_MAX {
        return Err(BadRequest::HeadTooLarge);
    }
    if head.length == Length::Chunked {
        return Ok(Err(head));
    }
    let total = head.bytes + body_bytes(&head, limits)?;
    let Some((bytes, rest)) = input.split_at_checked(total) else { return Ok(Err(head)) };
    *input = rest;
    Ok(Ok(Request { head, bytes: Cow::Borrowed(bytes) }))
}

/// The length of a body that is not chunked.
fn body_bytes(head: &Head, limits: &Limits) -> Result<usize, BadRequest> {
    let bytes = match head.length {
        Length::Bytes(bytes) => bytes,
        Length::Unsaid | Length::Chunked => 0,
    };
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= limits.body_bytes_max => Ok(bytes),
        Ok(_) | Err(_) => Err(BadRequest::BodyTooLarge),
    }
}

/// Appends to a request that will be `total` bytes long, if the client keeps its promise.
fn append(kept: &mut Vec<u8>, piece: &[u8], total: usize) {
    let bytes = kept.len() + piece.len();
    if bytes > kept.capacity() {
        let room = bytes.saturating_mul(ASSEMBLY_GROWTH_FACTOR).max(ASSEMBLY_BYTES_MIN);
        kept.reserve_exact(room.min(total).max(bytes) - kept.len());
    }
    kept.extend_from_slice(piece);
}

impl Head {
    /// Whether a body may come with it that means anything.
    pub fn may_have_body(&self) -> bool {
        matches!(self.method, Method::Post | Method::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec;

    const LIMITS: Limits = Limits { body_bytes_max: 1000, ..Limits::DEFAULT };

    /// Everything that comes out of a stream: target and body, or a word to go on; and its end.
    type Found = (Vec<(String, String)>, Option<BadRequest>);

    fn cut_all(pieces: &mut dyn Iterator<Item = &[u8]>) -> Found {
        let (mut cutter, mut found) = (Cutter::new(), Vec::new());
        for piece in pieces {
            let mut input = piece;
            loop {
                match cutter.next(&LIMITS, &mut input) {
                    Ok(Some(Arrival::Request(request))) => {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        found.push((text(request.of(request.head.target)), text(request.body())));
                    }
                    Ok(Some(Arrival::Continue)) => found.push((String::new(), "continue".into())),
                    Ok(None) => break,
                    Err(bad) => return (found, Some(bad)),
                }
            }
            assert!(input.is_empty());
        }
        if cutter.at_boundary() {
            assert_eq!(cutter.buffered(), 0, "memory is kept between requests");
        }
        (found, None)
    }

    /// Whatever the pieces, the same comes out.
    #[track_caller]
    fn check(stream: &[u8], expect: &[(&str, &str)], end: Option<BadRequest>) {
        for bytes in 1..=stream.len() {
            let found = cut_all(&mut stream.chunks(bytes));
            let pairs: Vec<_> = found.0.iter().map(|(a, b)| (&a[..], &b[..])).collect();
            assert_eq!((&pairs[..], found.1), (expect, end), "in pieces of {bytes}");
        }
    }

    #[test]
    fn pipelined_requests_come_out_in_order_whatever_the_pieces() {
        let stream = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst\
                       GET /b HTTP/1.1\r\nHost: h\r\n\r\n\
                       \r\n\r\nPOST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nthi\r\n2\r\nrd\r\n0\r\n\r\n\
                       POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        check(stream, &[("/a", "first"), ("/b", ""), ("/c", "third"), ("/d", "")], None);
    }

    #[test]
    fn a_bad_request_ends_the_stream_and_those_before_it_are_served() {
        let good = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        let bad =
            |rest: &str, end| check(format!("{good}{rest}").as_bytes(), &[("/a", "")], Some(end));
        bad("GET / HTTP/1.1\r\nHost: h\r\nX: y\n\r\n\r\n", BadRequest::BareLineFeed);
        bad("GET / HTTP/1.1\r\nHost : h\r\n\r\n", BadRequest::Malformed);
        bad("GET / HTTP/1.1\r\n\r\n", BadRequest::Host);
        bad("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", BadRequest::BodyTooLarge);
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        bad(&format!("{chunked}zz\r\n"), BadRequest::Chunk);
        bad(&format!("{chunked}3e9\r\n"), BadRequest::BodyTooLarge);
    }

    #[test]
    fn a_client_that_waits_is_told_to_go_on_once_and_only_if_it_waits() {
        let head =
            b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let waits = cut_all(&mut [&head[..], b"bo", b"dy"].into_iter());
        assert_eq!(waits.0.len(), 2);
        assert_eq!(waits.0[0].1, "continue");
        assert_eq!(waits.0[1], ("/a".into(), "body".into()));
        let at_once = [&head[..], b"bo"].concat();
        assert_eq!(cut_all(&mut [&at_once[..], b"dy"].into_iter()).0.len(), 1);
        let empty =
            b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(cut_all(&mut [&empty[..]].into_iter()).0, [("/a".into(), "".into())]);
        let chunked = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
        let pieces = [&chunked[..60], &chunked[60..], b"1\r\nx\r\n0\r\n\r\n"];
        assert_eq!(cut_all(&mut pieces.into_iter()).0.len(), 2);
    }

    #[test]
    fn a_head_over_its_limit_is_refused_in_one_piece_and_in_many() {
        let mut stream = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
        stream.resize(HTTP_HEAD_BYTES_MAX - 4, b'x');
        let fits = [&stream[..], b"\r\n\r\n"].concat();
        let over = [&stream[..], b"x\r\n\r\n"].concat();
        let endless = [&stream[..], &vec![b'x'; 100_000]].concat();
        for bytes in [100_000, 10_000, 16_384, 16_385, 1000, 7] {
            assert_eq!(cut_all(&mut fits.chunks(bytes)).1, None, "{bytes}");
            assert_eq!(
                cut_all(&mut over.chunks(bytes)).1,
                Some(BadRequest::HeadTooLarge),
                "{bytes}"
            );
            let found = cut_all(&mut endless.chunks(bytes)).1;
            assert_eq!(found, Some(BadRequest::HeadTooLarge), "{bytes}");
        }
    }

    #[test]
    fn memory_grows_with_what_has_arrived() {
        let limits = Limits::DEFAULT;
        let mut cutter = Cutter::new();
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 16000000\r\n\r\n";
        assert_eq!(cutter.next(&limits, &mut &head[..]), Ok(None));
        assert!(cutter.buffered() <= ASSEMBLY_BYTES_MIN);
        assert_eq!(cutter.next(&limits, &mut &[0; 200_000][..]), Ok(None));
        assert!(cutter.buffered() <= 4 * 200_100);
        assert!(!cutter.is_in_head() && !cutter.at_boundary());
    }

    #[test]
    fn a_request_within_one_input_is_not_copied() {
        let stream = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
        let mut input = &stream[..];
        let Ok(Some(Arrival::Request(request))) = Cutter::new().next(&LIMITS, &mut input) else {
            panic!("it is a request");
        };
        assert!(matches!(request.bytes, Cow::Borrowed(_)));
    }
}
