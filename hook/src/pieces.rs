//! A message in pieces (iovec) of which a part has gone through already.

use std::ffi::c_int;

use libc::{iovec, msghdr};

/// Pieces that the kernel takes (UIO_MAXIOV); more are an error of the caller's, which the kernel
/// is to tell.
const PIECES_MAX: usize = 1024;

/// What is left of the pieces.
pub(crate) struct Pieces {
    left: Vec<iovec>,
    size: usize,
}

impl Pieces {
    /// Those pieces; `None` where they make no sense.
    ///
    /// # Safety
    /// So many are there.
    pub(crate) unsafe fn of(pieces: *const iovec, count: usize) -> Option<Pieces> {
        if pieces.is_null() || count == 0 || count > PIECES_MAX {
            return None;
        }
        // SAFETY: the caller's promise.
        let left = unsafe { std::slice::from_raw_parts(pieces, count) }.to_vec();
        let add = |size: usize, piece: &iovec| size.checked_add(piece.iov_len);
        let size = left.iter().try_fold(0, add).filter(|size| isize::try_from(*size).is_ok())?;
        Some(Pieces { left, size })
    }

    /// How many bytes are left.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// So many bytes more have gone through.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.size -= count;
        let gone = |piece: &iovec, count: &mut usize| {
            let is_gone = piece.iov_len <= *count;
            *count -= if is_gone { piece.iov_len } else { 0 };
            is_gone
        };
        let whole = self.left.iter().take_while(|piece| gone(piece, &mut count)).count();
        self.left.drain(..whole);
        if let Some(first) = self.left.first_mut() {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(count).cast();
            first.iov_len -= count;
        }
    }

    /// The first that is not empty.
    pub(crate) fn first(&self) -> Option<iovec> {
        self.left.iter().find(|piece| piece.iov_len > 0).copied()
    }

    /// Has a message consist of them.
    pub(crate) fn put_into(&mut self, message: &mut msghdr) {
        message.msg_iov = self.left.as_mut_ptr();
        message.msg_iovlen = self.left.len() as _;
    }
}

/// How many bytes so many pieces are; 0 where they make no sense.
///
/// # Safety
/// So many are there.
pub(crate) unsafe fn size(pieces: *const iovec, count: usize) -> usize {
    if pieces.is_null() || count > PIECES_MAX {
        return 0;
    }
    // SAFETY: the caller's promise.
    let pieces = unsafe { std::slice::from_raw_parts(pieces, count) };
    let sizes = pieces.iter().map(|piece| piece.iov_len);
    sizes.fold(0, usize::saturating_add)
}

/// A message that is nothing but pieces.
pub(crate) fn message(pieces: *const iovec, count: c_int) -> msghdr {
    // SAFETY: numbers and pointers, which may be zero.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.cast_mut();
    message.msg_iovlen = usize::try_from(count).unwrap_or(usize::MAX) as _;
    message
}
