//! Protobuf's variable-length integers, a word at a time.
//!
//! A varint is seven bits a byte, lowest first, the top bit of each byte saying "more follows".
//! Nearly all in a call head are one byte long, so that case is tested first and inlined. The
//! others are typically a flow id (nine or ten bytes): a byte-at-a-time loop would cost as much
//! as the rest of the head together, so eight bytes are loaded at once, the end is found with a
//! count of trailing zeros, and the groups of seven bits are moved together in three steps:
//!
//! ```text
//!   0ggggggg 0fffffff 0eeeeeee 0ddddddd …      8 groups of  7 bits in  8-bit lanes
//!   00ggggggg fffffff 00eeeeeee ddddddd …      4 groups of 14 bits in 16-bit lanes
//!   …                                          2 groups of 28 bits in 32-bit lanes
//!   …                                          1 group  of 56 bits
//! ```
//!
//! Writing is the same backwards.

/// The top bit of each byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Reads the varint that begins at `at`: its value and the index after it. `None` if the bytes
/// end within it, or if it is longer than ten bytes or than 64 bits.
#[inline(always)]
pub(crate) fn read(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    read_long(bytes, at)
}

/// The same for keys and lengths, of which few are longer than a byte: smaller where it is used.
#[inline(always)]
pub(crate) fn read_short(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    read_long_outlined(bytes, at)
}

#[inline(never)]
fn read_long_outlined(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    read_long(bytes, at)
}

/// Two bytes or more.
#[inline(always)]
fn read_long(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = bytes.get(at..)?;
    let word = match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => word_at_end(bytes, rest),
    };
    let stops = !word & TOPS;
    if stops == 0 {
        return read_nine_or_ten(rest, at, together(word & !TOPS));
    }
    // The bits up to the first stop, inclusive.
    let kept = stops ^ (stops - 1);
    let count = (stops.trailing_zeros() as usize + 1) / 8;
    // At the end, a stop may be found in the zeros after it.
    (count <= rest.len()).then_some((together(word & kept & !TOPS), at + count))
}

/// The last bytes, fewer than eight, followed by zeros.
#[inline(always)]
fn word_at_end(bytes: &[u8], rest: &[u8]) -> u64 {
    // The last field of a head is often here, so no loop: the last eight bytes, shifted.
    match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The first eight bytes all say "more"; `low` is what they hold.
#[inline]
fn read_nine_or_ten(rest: &[u8], at: usize, low: u64) -> Option<(u64, usize)> {
    let ninth = *rest.get(8)?;
    if ninth < 0x80 {
        return Some((low | u64::from(ninth) << 56, at + 9));
    }
    let tenth = *rest.get(9)?;
    if tenth > 1 {
        return None;
    }
    Some((low | u64::from(ninth & 0x7f) << 56 | u64::from(tenth) << 63, at + 10))
}

/// How many bytes `value` takes as a varint, 1 to 10.
#[inline]
pub(crate) fn bytes_count(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    // The same as bits.div_ceil(7) up to 64 bits, without a division.
    (bits * 9 + 64) / 64
}

/// `value` as a varint in the low bytes of a word, and how many they are.
#[inline(always)]
pub(crate) fn encoded(value: u64) -> (u128, usize) {
    if value < 0x80 {
        return (u128::from(value), 1);
    }
    let count = bytes_count(value);
    let low = apart(value & ((1 << 56) - 1));
    if count <= 8 {
        let more = TOPS & ((1 << (8 * (count - 1))) - 1);
        return (u128::from(low | more), count);
    }
    let ninth = (value >> 56) & 0x7f;
    let tenth = value >> 63;
    let high = ninth | tenth << 7 | tenth << 8;
    (u128::from(low | TOPS) | u128::from(high) << 64, count)
}

/// Moves eight groups of seven bits together.
#[inline(always)]
fn together(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// Moves 56 bits apart into eight groups of seven.
#[inline(always)]
fn apart(value: u64) -> u64 {
    let word = (value & 0x0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x0fff_c000_0fff_c000) << 2;
    (word & 0x007f_007f_007f_007f) | (word & 0x3f80_3f80_3f80_3f80) << 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The definition, a byte at a time.
    fn simple(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn check(value: u64) {
        let expect = simple(value);
        let (word, count) = encoded(value);
        assert_eq!(&word.to_le_bytes()[..count], expect, "{value:#x}");
        assert_eq!(bytes_count(value), expect.len());
        for padding in [0, 1, 7, 20] {
            let mut bytes = expect.clone();
            bytes.resize(expect.len() + padding, 0xff);
            assert_eq!(read(&bytes, 0), Some((value, expect.len())), "{value:#x} +{padding}");
        }
        for before in [1, 3, 8] {
            let bytes = [&[0xff; 8][..before], &expect].concat();
            let end = bytes.len();
            assert_eq!(read(&bytes, before), Some((value, end)), "{value:#x} after {before}");
            assert_eq!(read(&bytes[..end - 1], before), None, "{value:#x} after {before}");
        }
        for cut in 0..expect.len() {
            assert_eq!(read(&expect[..cut], 0), None, "{value:#x} cut at {cut}");
        }
    }

    #[test]
    fn both_directions_agree_with_the_definition_around_every_bit() {
        for bit in 0..64 {
            let power = 1u64 << bit;
            for value in [power - 1, power, power + 1, power | 0x5a5a, !power] {
                check(value);
            }
        }
        check(u64::MAX);
    }

    #[test]
    fn both_directions_agree_with_the_definition_for_random_values() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for round in 0..20_000u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            check(state >> (round % 64));
        }
    }

    #[test]
    fn eleven_bytes_or_sixty_five_bits_are_refused() {
        let mut bytes = [0xffu8; 12];
        assert_eq!(read(&bytes, 0), None);
        bytes[9] = 2;
        assert_eq!(read(&bytes, 0), None);
        bytes[9] = 1;
        assert_eq!(read(&bytes, 0), Some((u64::MAX, 10)));
    }

    #[test]
    fn padded_encodings_are_read_as_protobuf_reads_them() {
        assert_eq!(read(&[0x81, 0x80, 0x00], 0), Some((1, 3)));
        assert_eq!(read(&[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 0), {
            Some((1, 10))
        });
    }

    #[test]
    fn an_index_past_the_end_reads_nothing() {
        assert_eq!(read(&[], 0), None);
        assert_eq!(read(&[1], 9), None);
    }
}
