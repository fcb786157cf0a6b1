//! Output: bytes on their way out, with large pieces that are shared instead of copied.
//!
//! ```text
//!   bytes   head│body…        head│body…)        one vector, to which everything is appended
//!                     ▲             ▲
//!   shared         Bytes 64 KiB   Bytes 1 MiB    pieces that belong at these places
//! ```
//!
//! Small pieces are copied: a piece of the kernel's list costs more than a few hundred bytes. A
//! field of a message that is [`Bytes`] and large is kept by reference, so that an answer that
//! hands a body on does not touch it.

use std::io::IoSlice;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes};

/// Pieces from this size on are shared (measured: below it the copy is the cheaper way).
pub const SHARED_BYTES_MIN: usize = 16 * 1024;

/// A piece that is not in the vector.
#[derive(Clone, Debug)]
struct Shared {
    /// In front of which byte of the vector it belongs.
    at: usize,
    bytes: Bytes,
}

/// Bytes to be sent.
#[derive(Clone, Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// In the order of their places.
    shared: Vec<Shared>,
    shared_bytes: usize,
}

/// How much of an output there was at some time.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    shared: usize,
}

impl From<Vec<u8>> for Output {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl Output {
    /// How many bytes there are to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_bytes
    }

    /// Whether there is nothing to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds for itself.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Throws everything away but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        self.shared_bytes = 0;
    }

    /// The end, to come back to with [`Output::undo`].
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), shared: self.shared.len() }
    }

    /// Takes away what was appended since the mark.
    pub fn undo(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        let gone = self.shared.drain(mark.shared.min(self.shared.len())..);
        self.shared_bytes -= gone.map(|piece| piece.bytes.len()).sum::<usize>();
    }

    /// Appends by a function that is given the vector and [`Pieces`] for a [`Writer`] to it.
    #[inline]
    pub fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>, &mut Pieces<'_>) -> R) -> R {
        let list = Some((&mut self.shared, &mut self.shared_bytes));
        write(&mut self.bytes, &mut Pieces { list, bytes: 0 })
    }

    /// The bytes, if none are shared.
    #[inline]
    pub fn plain(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&self.bytes)
    }

    /// What is to be sent from offset `from` on, in pieces: at most `slices.len()` of them, and at
    /// most `bytes_max` bytes. Returns how many pieces there are.
    pub fn slices<'a>(
        &'a self,
        from: usize,
        bytes_max: usize,
        slices: &mut [IoSlice<'a>],
    ) -> usize {
        let (mut count, mut skip, mut room, mut at) = (0, from, bytes_max, 0);
        let mut put = |piece: &'a [u8]| {
            let rest = &piece[skip.min(piece.len())..];
            skip -= piece.len() - rest.len();
            let rest = &rest[..room.min(rest.len())];
            if !rest.is_empty() && count < slices.len() {
                room -= rest.len();
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        };
        for piece in &self.shared {
            put(&self.bytes[at..piece.at]);
            put(&piece.bytes);
            at = piece.at;
        }
        put(&self.bytes[at..]);
        count
    }
}

/// Where a [`Writer`] puts what it shares.
#[derive(Debug, Default)]
pub struct Pieces<'a> {
    /// Of the output, with their bytes, which count at once: a writer may panic behind them.
    list: Option<(&'a mut Vec<Shared>, &'a mut usize)>,
    bytes: usize,
}

impl Pieces<'_> {
    /// How many bytes are shared in them.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Appends a message, which may share its large fields.
#[derive(Debug)]
pub struct Writer<'a, 'list> {
    bytes: &'a mut Vec<u8>,
    pieces: &'a mut Pieces<'list>,
}

impl<'a, 'list> Writer<'a, 'list> {
    /// To a vector, and to the pieces that belong into it. `Pieces::default()` takes none:
    /// everything is copied then.
    #[inline]
    pub fn new(bytes: &'a mut Vec<u8>, pieces: &'a mut Pieces<'list>) -> Self {
        Self { bytes, pieces }
    }
}

// SAFETY: all is the vector's own implementation, but for pieces that are not written to memory.
unsafe impl BufMut for Writer<'_, '_> {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.bytes.remaining_mut()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: the caller's promise is the vector's.
        unsafe { self.bytes.advance_mut(count) };
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.bytes.chunk_mut()
    }

    #[inline]
    fn put_slice(&mut self, source: &[u8]) {
        self.bytes.extend_from_slice(source);
    }

    #[inline]
    fn put_u8(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    #[inline]
    fn put<Source: Buf>(&mut self, mut source: Source) {
        // What is as large as a `Bytes` may be one, and gives its bytes away without a copy. A
        // slice is not.
        let may_share = size_of::<Source>() >= size_of::<Bytes>();
        if may_share
            && source.remaining() >= SHARED_BYTES_MIN
            && let Some((list, total)) = &mut self.pieces.list
        {
            let bytes = source.copy_to_bytes(source.remaining());
            self.pieces.bytes += bytes.len();
            **total += bytes.len();
            list.push(Shared { at: self.bytes.len(), bytes });
        } else {
            self.bytes.put(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(output: &Output, from: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = output.slices(from, usize::MAX, &mut slices);
        let joined = |pieces: &[IoSlice<'_>]| -> Vec<u8> {
            pieces.iter().flat_map(|piece| piece.iter().copied()).collect()
        };
        let all = joined(&slices[..count]);
        let count = output.slices(from, all.len() / 2, &mut slices);
        assert_eq!(joined(&slices[..count]), all[..all.len() / 2], "half of it");
        all
    }

    fn append(output: &mut Output, write: impl FnOnce(&mut Writer<'_, '_>)) {
        output.append(|bytes, pieces| write(&mut Writer::new(bytes, pieces)));
    }

    #[test]
    fn large_bytes_are_shared_and_come_out_in_their_place() {
        let large = Bytes::from(vec![7; SHARED_BYTES_MIN]);
        let mut output = Output::default();
        append(&mut output, |out| {
            out.put_slice(b"head");
            out.put(large.clone());
            out.put(large.clone());
            out.put_u8(b')');
        });
        let expected = [&b"head"[..], &large, &large, b")"].concat();
        assert_eq!(output.len(), expected.len());
        assert!(output.plain().is_none());
        assert!(output.capacity() < SHARED_BYTES_MIN, "they were copied");
        for from in [0, 3, 4, 5, SHARED_BYTES_MIN + 4, SHARED_BYTES_MIN + 9, expected.len() - 1] {
            assert_eq!(written(&output, from), expected[from..], "from {from}");
        }
        assert_eq!(written(&output, expected.len()), []);
    }

    #[test]
    fn slices_and_small_bytes_are_copied() {
        let mut output = Output::default();
        append(&mut output, |out| {
            out.put(Bytes::from_static(b"small"));
            out.put(&vec![7; SHARED_BYTES_MIN][..]);
        });
        assert_eq!(output.plain().unwrap().len(), SHARED_BYTES_MIN + 5);
    }

    #[test]
    fn what_is_undone_is_gone() {
        let large = Bytes::from(vec![7; SHARED_BYTES_MIN]);
        let mut output = Output::from(b"before".to_vec());
        append(&mut output, |out| out.put(large.clone()));
        let mark = output.mark();
        append(&mut output, |out| {
            out.put_u8(1);
            out.put(large.clone());
        });
        output.undo(mark);
        assert_eq!(output.len(), SHARED_BYTES_MIN + 6);
        assert_eq!(written(&output, 0)[..6], *b"before");
        output.clear();
        assert!(output.is_empty());
    }

    #[test]
    fn a_writer_without_pieces_copies() {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, &mut Pieces::default()).put(Bytes::from(vec![7; SHARED_BYTES_MIN]));
        assert_eq!(bytes.len(), SHARED_BYTES_MIN);
    }
}
