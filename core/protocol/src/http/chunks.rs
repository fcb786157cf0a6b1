//! Chunked bodies (RFC 9112 §7.1), decoded as they come, byte by byte where there are lines.
//!
//! ```text
//!   4;ext=1 CR LF  data CR LF   0 CR LF  Trailer: x CR LF  CR LF
//!   └ Size  Extension └ Data    └ the last one └ Trailer   └ the end
//! ```

use super::BadRequest;
use crate::limits::{HTTP_CHUNK_LINE_BYTES_MAX, HTTP_TRAILER_BYTES_MAX};
use alloc::vec::Vec;

/// Digits of a size at most: a 64-bit number. Leading zeros count, or they would be a way to send
/// much and say nothing.
const SIZE_DIGITS_MAX: u8 = 16;

/// Where in a chunked body the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a size.
    Size { digits: u8, size: u64 },
    /// In what follows a size, to be thrown away.
    Extension { bytes: usize, size: u64 },
    /// After the CR of a size.
    SizeEnd { size: u64 },
    /// In the data of a chunk, or right behind it.
    Data { left: u64 },
    /// After the CR behind the data.
    DataEnd,
    /// Where a line of the trailers begins.
    Trailers { bytes: usize },
    /// In a line of the trailers.
    Trailer { bytes: usize },
    /// After the CR of a line of the trailers.
    TrailerEnd { bytes: usize },
    /// After the CR of the last line, which is empty.
    LastEnd,
}

impl Chunks {
    pub(super) const START: Chunks = Chunks::Size { digits: 0, size: 0 };

    /// Takes input and appends the data to `body`, whose bytes from `body_start` on may be
    /// `body_bytes_max` at most. True when the body is whole; the rest of the input is left.
    pub(super) fn take(
        &mut self,
        input: &mut &[u8],
        body: &mut Vec<u8>,
        body_start: usize,
        body_bytes_max: usize,
    ) -> Result<bool, BadRequest> {
        while let Some((&byte, rest)) = input.split_first() {
            if let Chunks::Data { left } = *self
                && left > 0
            {
                // As much as is there: the limit was looked at when the size was known.
                let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(count);
                body.extend_from_slice(data);
                *input = rest;
                *self = Chunks::Data { left: left - count as u64 };
                continue;
            }
            *input = rest;
            if *self == Chunks::LastEnd {
                return if byte == b'\n' { Ok(true) } else { Err(BadRequest::Trailer) };
            }
            *self = self.after(byte)?;
            if let Chunks::Data { left } = *self
                && left > (body_bytes_max - (body.len() - body_start)) as u64
            {
                return Err(BadRequest::BodyTooLarge);
            }
        }
        Ok(false)
    }

    /// The state after a byte that is no data.
    fn after(self, byte: u8) -> Result<Chunks, BadRequest> {
        match (self, byte) {
            (Chunks::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(BadRequest::Chunk);
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Ok(Chunks::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (Chunks::Size { digits: 0, .. }, _) => Err(BadRequest::Chunk),
            (Chunks::Size { size, .. } | Chunks::Extension { size, .. }, b'\r') => {
                Ok(Chunks::SizeEnd { size })
            }
            (Chunks::Size { size, .. }, b';') => Ok(Chunks::Extension { bytes: 0, size }),
            (Chunks::Extension { bytes, size }, _)
                if is_text(byte) && bytes < HTTP_CHUNK_LINE_BYTES_MAX =>
            {
                Ok(Chunks::Extension { bytes: bytes + 1, size })
            }
            (Chunks::SizeEnd { size: 0 }, b'\n') => Ok(Chunks::Trailers { bytes: 0 }),
            (Chunks::SizeEnd { size }, b'\n') => Ok(Chunks::Data { left: size }),
            (Chunks::Data { left: 0 }, b'\r') => Ok(Chunks::DataEnd),
            (Chunks::DataEnd, b'\n') => Ok(Chunks::START),
            (Chunks::Trailers { .. }, b'\r') => Ok(Chunks::LastEnd),
            // A line that begins with a blank would continue the one before.
            (Chunks::Trailers { .. }, b' ' | b'\t') => Err(BadRequest::Trailer),
            (Chunks::Trailer { bytes }, b'\r') => Ok(Chunks::TrailerEnd { bytes }),
            (Chunks::Trailers { bytes } | Chunks::Trailer { bytes }, _)
                if is_text(byte) && bytes < HTTP_TRAILER_BYTES_MAX =>
            {
                Ok(Chunks::Trailer { bytes: bytes + 1 })
            }
            (Chunks::TrailerEnd { bytes }, b'\n') => Ok(Chunks::Trailers { bytes: bytes + 2 }),
            (Chunks::Trailers { .. } | Chunks::Trailer { .. } | Chunks::TrailerEnd { .. }, _) => {
                Err(BadRequest::Trailer)
            }
            (
                Chunks::Size { .. }
                | Chunks::Extension { .. }
                | Chunks::SizeEnd { .. }
                | Chunks::Data { .. }
                | Chunks::DataEnd
                | Chunks::LastEnd,
                _,
            ) => Err(BadRequest::Chunk),
        }
    }
}

/// What may stand in an extension or a trailer: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// What a body of at most ten bytes is, given in pieces of every length.
    #[track_caller]
    fn check(input: &[u8], expect: Result<(&[u8], &[u8]), BadRequest>) {
        for piece_bytes in 1..=input.len() {
            let (mut chunks, mut body) = (Chunks::START, vec![b'h']);
            let mut found = Ok(None);
            let mut left = input;
            for piece in input.chunks(piece_bytes) {
                let mut rest = piece;
                left = &left[piece.len()..];
                match chunks.take(&mut rest, &mut body, 1, 10) {
                    Ok(false) => assert!(rest.is_empty()),
                    Ok(true) => {
                        found = Ok(Some(rest.len() + left.len()));
                        break;
                    }
                    Err(bad) => {
                        found = Err(bad);
                        break;
                    }
                }
            }
            let found = found.map(|rest| {
                (&body[1..], &input[input.len() - rest.expect("the body is not whole")..])
            });
            assert_eq!(found, expect, "{} by {piece_bytes}", input.escape_ascii());
        }
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        check(b"0\r\n\r\n", Ok((b"", b"")));
        check(b"3\r\nabc\r\n0\r\n\r\nPOST", Ok((b"abc", b"POST")));
        check(b"3;name=value\r\nabc\r\nA0\r\n", Err(BadRequest::BodyTooLarge));
        check(
            b"003\r\nabc\r\n7;x=\"y\"\r\ndefghij\r\n0\r\nT: x\r\nU: y\r\n\r\n/",
            Ok((b"abcdefghij", b"/")),
        );
        check(b"5\r\n\r\n\r\n\n\r\n0\r\n\r\n", Ok((b"\r\n\r\n\n", b"")));
    }

    #[test]
    fn shapes_that_two_readers_may_read_differently_are_refused() {
        for input in [
            &b"\r\n"[..],
            b" 3\r\nabc",
            b"3 \r\nabc",
            b"3\nabc",
            b"0x3\r\nabc",
            b"+3\r\nabc",
            b"-3\r\nabc",
            b"3\r\rabc",
            b"3;a\nb\r\nabc",
            b"3;\x00\r\nabc",
            b"3\r\nabcd",
            b"3\r\nabc\n",
            b"3\r\nabc0\r\n\r\n",
            b"00000000000000003\r\nabc",
        ] {
            check(input, Err(BadRequest::Chunk));
        }
        for input in
            [&b"0\r\n x: y\r\n\r\n"[..], b"0\r\nx: y\n\r\n", b"0\r\n\rx", b"0\r\nx\x01\r\n"]
        {
            check(input, Err(BadRequest::Trailer));
        }
    }

    #[test]
    fn what_is_thrown_away_is_bounded_too() {
        let mut long = b"3;".to_vec();
        long.resize(HTTP_CHUNK_LINE_BYTES_MAX + 2, b'x');
        long.extend_from_slice(b"\r\nabc\r\n0\r\n\r\n");
        let take = |input: &[u8]| Chunks::START.clone().take(&mut &*input, &mut Vec::new(), 0, 10);
        assert_eq!(take(&long), Ok(true));
        long.insert(2, b'x');
        assert_eq!(take(&long), Err(BadRequest::Chunk));
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(std::iter::repeat_n(*b"x: y\r\n", HTTP_TRAILER_BYTES_MAX).flatten());
        assert_eq!(take(&trailers), Err(BadRequest::Trailer));
    }

    #[test]
    fn a_body_may_be_as_long_as_its_limit_and_no_longer() {
        check(b"a\r\n0123456789\r\n0\r\n\r\n", Ok((b"0123456789", b"")));
        check(b"b\r\n0123456789", Err(BadRequest::BodyTooLarge));
        check(b"9\r\n012345678\r\n2\r\n", Err(BadRequest::BodyTooLarge));
        check(b"ffffffffffffffff\r\n", Err(BadRequest::BodyTooLarge));
    }
}
