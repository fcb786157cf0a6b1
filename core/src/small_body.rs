//! A small body as prost reads it: its `bytes` fields are copied out, since a message outlives the
//! frame that it came in.
//!
//! A [`Bytes`] of a copied slice is one allocation, and a second one when it is first cloned, which
//! prost does to each `bytes` field that it writes. A short field is put into one allocation
//! together with its count of owners instead: cloning it then only counts.

use bytes::{Buf, Bytes};

/// Longest field that lies beside its count. With that it is three cache lines.
const SHORT_BYTES_MAX: usize = 159;

/// What is left to read of a small body.
pub(crate) struct SmallBody<'a>(pub(crate) &'a [u8]);

/// The content of a short field.
struct Short {
    len: u8,
    bytes: [u8; SHORT_BYTES_MAX],
}

impl AsRef<[u8]> for Short {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Buf for SmallBody<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.0
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    #[inline]
    fn copy_to_slice(&mut self, target: &mut [u8]) {
        self.0.copy_to_slice(target);
    }

    #[inline]
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        if !(1..=SHORT_BYTES_MAX).contains(&len) {
            return self.0.copy_to_bytes(len);
        }
        let mut short = Short { len: len as u8, bytes: [0; SHORT_BYTES_MAX] };
        self.0.copy_to_slice(&mut short.bytes[..len]);
        Bytes::from_owner(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_all_lengths_are_what_was_there() {
        let content: Vec<u8> = (0..400).map(|nth| nth as u8).collect();
        for len in [0, 1, 2, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 300] {
            let mut body = SmallBody(&content);
            let field = body.copy_to_bytes(len);
            let (clone, rest) = (field.clone(), body.copy_to_bytes(400 - len));
            drop(field);
            assert_eq!((&clone[..], &rest[..]), content.split_at(len), "{len}");
            assert!(!body.has_remaining());
        }
    }
}
