//! `traceparent`: the trace context of W3C (Trace Context, level 1, §3.2).
//!
//! ```text
//!   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!   │  │ trace id                       │ parent id       └ flags: 1 sampled
//!   └ version
//! ```

/// The value of a `traceparent` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; never all zero.
    pub trace_id: [u8; 16],
    /// The span of whoever sent it; never 0.
    pub span_id: u64,
    /// The trace is recorded.
    pub sampled: bool,
}

/// Bytes of version 00.
const BYTES: usize = 55;

impl Traceparent {
    /// Reads a value; `None` if it is none: then the header counts as absent.
    ///
    /// Later versions are read as far as version 00 goes, as the standard asks.
    pub fn parse(text: &[u8]) -> Option<Traceparent> {
        let (known, rest) = text.split_at_checked(BYTES)?;
        let version = hex(&known[..2])?;
        let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        let length_fits =
            if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
        if version == 0xff || !dashes || !length_fits {
            return None;
        }
        let (high, low) = (hex(&known[3..19])?, hex(&known[19..35])?);
        let trace_id = u128::from(high) << 64 | u128::from(low);
        let span_id = hex(&known[36..52])?;
        let flags = hex(&known[53..55])?;
        if trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Traceparent { trace_id: trace_id.to_be_bytes(), span_id, sampled: flags & 1 != 0 })
    }

    /// Writes a value of version 00.
    pub fn format(&self) -> [u8; BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (index, byte) in self.trace_id.iter().enumerate() {
            put(&mut text, 3 + 2 * index, *byte);
        }
        for (index, byte) in self.span_id.to_be_bytes().iter().enumerate() {
            put(&mut text, 36 + 2 * index, *byte);
        }
        text[54] = b'0' + u8::from(self.sampled);
        text
    }
}

/// Lower-case hexadecimal digits, at most sixteen; upper case is not allowed.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

fn put(text: &mut [u8; BYTES], at: usize, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text[at] = DIGITS[usize::from(byte >> 4)];
    text[at + 1] = DIGITS[usize::from(byte & 15)];
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let parsed = Traceparent::parse(EXAMPLE).unwrap();
        assert_eq!(parsed.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(parsed.span_id, 0x00f0_67aa_0ba9_02b7);
        assert!(parsed.sampled);
        assert_eq!(parsed.format(), EXAMPLE);
        let unsampled = Traceparent { sampled: false, ..parsed };
        assert_eq!(Traceparent::parse(&unsampled.format()), Some(unsampled));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let mut later = EXAMPLE.to_vec();
        later[1] = b'1';
        assert!(Traceparent::parse(&later).is_some());
        later.extend_from_slice(b"-more");
        assert!(Traceparent::parse(&later).is_some());
        later[55] = b'x';
        assert!(Traceparent::parse(&later).is_none());
    }

    #[test]
    fn what_is_no_traceparent_counts_as_absent() {
        let changed = |at: usize, byte: u8| {
            let mut text = EXAMPLE.to_vec();
            text[at] = byte;
            text
        };
        for text in [
            b"".to_vec(),
            EXAMPLE[..54].to_vec(),
            [EXAMPLE, b"0"].concat(),
            [EXAMPLE, b"-x"].concat(),
            changed(3, b'B'),
            changed(2, b'_'),
            changed(54, b' '),
            [b"ff", &EXAMPLE[2..]].concat(),
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_vec(),
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_vec(),
        ] {
            assert_eq!(Traceparent::parse(&text), None, "{}", text.escape_ascii());
        }
    }
}
