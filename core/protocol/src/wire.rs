//! Protobuf messages written and read by hand, for what is not on the path of a call.
//!
//! Heads have their own code (`head.rs`), where each nanosecond counts. Reports, spans and log
//! records do not need that: a [`Writer`] that appends fields, and [`fields`] which walks over
//! them. As in protobuf, unknown fields are skipped, a field with another wire type is unknown, and
//! zeros are not written where they are the default.

use alloc::vec::Vec;

use crate::varint;

/// The value of a field as its wire type has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// A varint.
    Number(u64),
    /// Eight bytes.
    Fixed(u64),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadMessage;

/// Walks over the fields of a message: their tags and values.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), BadMessage>> {
    let mut at = 0;
    let mut failed = false;
    core::iter::from_fn(move || {
        loop {
            if failed || at >= bytes.len() {
                return None;
            }
            match field(bytes, &mut at) {
                Some((tag, Some(field))) => return Some(Ok((tag, field))),
                Some((_, None)) => {}
                None => {
                    failed = true;
                    return Some(Err(BadMessage));
                }
            }
        }
    })
}

/// The field at a place, which moves behind it. A value of 32 bits is skipped: we write none.
fn field<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(u64, Option<Field<'a>>)> {
    let (key, next) = varint::read(bytes, *at)?;
    let (value, end) = match key & 7 {
        0 => varint::read(bytes, next).map(|(value, end)| (Some(Field::Number(value)), end))?,
        1 => {
            let eight = bytes.get(next..)?.first_chunk::<8>()?;
            (Some(Field::Fixed(u64::from_le_bytes(*eight))), next + 8)
        }
        2 => {
            let (length, start) = varint::read(bytes, next)?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            (Some(Field::Bytes(bytes.get(start..end)?)), end)
        }
        5 => (None, bytes.get(next..next + 4).map(|_| next + 4)?),
        _ => return None,
    };
    *at = end;
    Some((key >> 3, value))
}

/// Packed numbers.
pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = Result<u64, BadMessage>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let Some((value, next)) = varint::read(bytes, at) else {
            at = bytes.len();
            return Some(Err(BadMessage));
        };
        at = next;
        Some(Ok(value))
    })
}

/// A signed number as `sint64` has it.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// And back.
pub(crate) fn unzigzag(word: u64) -> i64 {
    (word >> 1) as i64 ^ -((word & 1) as i64)
}

/// Appends the fields of a message.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    fn varint(&mut self, value: u64) {
        let (word, count) = varint::encoded(value);
        self.out.extend_from_slice(&word.to_le_bytes()[..count]);
    }

    /// A number, also if it is zero.
    pub(crate) fn number_always(&mut self, tag: u64, value: u64) {
        self.varint(tag << 3);
        self.varint(value);
    }

    /// A number, unless it is zero.
    pub(crate) fn number(&mut self, tag: u64, value: u64) {
        if value != 0 {
            self.number_always(tag, value);
        }
    }

    /// Eight bytes, unless they are zero.
    pub(crate) fn fixed(&mut self, tag: u64, value: u64) {
        if value != 0 {
            self.varint(tag << 3 | 1);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Bytes or text, unless there are none.
    pub(crate) fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes_always(tag, bytes);
        }
    }

    fn bytes_always(&mut self, tag: u64, bytes: &[u8]) {
        self.varint(tag << 3 | 2);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A message, also if it is empty.
    pub(crate) fn message(&mut self, tag: u64, write: impl FnOnce(&mut Writer<'_>)) {
        let mut inner = Vec::new();
        write(&mut Writer::new(&mut inner));
        self.bytes_always(tag, &inner);
    }

    /// Packed numbers, unless there are none.
    pub(crate) fn packed(&mut self, tag: u64, numbers: impl Iterator<Item = u64>) {
        let mut inner = Vec::new();
        let mut packed = Writer::new(&mut inner);
        numbers.for_each(|number| packed.varint(number));
        self.bytes(tag, &inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.number(1, 300);
        writer.number(2, 0);
        writer.fixed(3, u64::MAX);
        writer.bytes(4, b"text");
        writer.message(5, |inner| inner.packed(1, [0, 1, 1000].into_iter()));
        let read: Vec<_> = fields(&out).map(Result::unwrap).collect();
        assert_eq!(read[..2], [(1, Field::Number(300)), (3, Field::Fixed(u64::MAX))]);
        assert_eq!(read[2], (4, Field::Bytes(b"text")));
        let (5, Field::Bytes(inner)) = read[3] else { panic!("{read:?}") };
        let Some(Ok((1, Field::Bytes(packed)))) = fields(inner).next() else { panic!() };
        let unpacked: Vec<u64> = numbers(packed).map(Result::unwrap).collect();
        assert_eq!(unpacked, [0, 1, 1000]);
    }

    #[test]
    fn what_ends_too_early_or_is_a_group_is_bad() {
        let mut out = Vec::new();
        Writer::new(&mut out).bytes(4, b"text");
        for cut in 1..out.len() {
            assert_eq!(fields(&out[..cut]).last(), Some(Err(BadMessage)), "{cut}");
        }
        assert_eq!(fields(&[0x0b]).last(), Some(Err(BadMessage)));
        assert_eq!(numbers(&[1, 0x80]).last(), Some(Err(BadMessage)));
        // Four bytes, and then a number.
        let skipped: Vec<_> = fields(&[0x0d, 1, 2, 3, 4, 0x08, 7]).collect();
        assert_eq!(skipped, [Ok((1, Field::Number(7)))]);
        assert_eq!(fields(&[0x0d, 1, 2]).last(), Some(Err(BadMessage)));
    }

    #[test]
    fn signed_numbers_zigzag() {
        for value in [0, 1, -1, 77, -78, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!((zigzag(-1), zigzag(1)), (1, 2));
    }
}
