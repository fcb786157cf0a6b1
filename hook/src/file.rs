//! Descriptors that are no sockets: pipes, terminals, and those that count or tell time. There is
//! no operation of theirs that tries, so they are asked first whether they are ready. Whoever
//! shares the other end of a pipe with other processes may find that one of them was faster.

use std::ffi::{c_int, c_void};
use std::mem::zeroed;

use crate::engine::Coroutine;
use crate::pieces::Pieces;
use crate::wait::{self, Interest};
use crate::{errno, real};

/// A pipe that is writable has room for as much (pipe(7)), and up to this a write is not torn.
const WRITE_BYTES_MAX: usize = libc::PIPE_BUF;

/// Whether calls are never to park: standard input, output and error. Whoever writes there holds
/// locks of his language's library while he does.
pub(crate) fn is_standard(fd: c_int) -> bool {
    (libc::STDIN_FILENO..=libc::STDERR_FILENO).contains(&fd)
}

/// Whether it may block for others to do something. Files, folders and disks do not.
fn waits_for_others(fd: c_int) -> bool {
    // SAFETY: numbers, which may be zero.
    let mut told: libc::stat = unsafe { zeroed() };
    // SAFETY: a live place.
    if unsafe { libc::fstat(fd, &mut told) } != 0 {
        return false;
    }
    !matches!(told.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK)
        && !wait::is_nonblocking(fd)
}

/// Reads when there is something. `None`: the C library is to do it.
pub(crate) fn read(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    mut once: impl FnMut() -> isize,
) -> Option<isize> {
    if !waits_for_others(fd) {
        return None;
    }
    when_ready(coroutine, call, (fd, Interest::Readable), &mut once)
}

/// Writes all of it. `None`: the C library is to do it.
pub(crate) fn write(
    coroutine: Coroutine,
    call: &'static str,
    fd: c_int,
    mut pieces: Pieces,
) -> Option<isize> {
    if !waits_for_others(fd) {
        return None;
    }
    let mut written: isize = 0;
    while let Some(piece) = pieces.first() {
        let size = piece.iov_len.min(WRITE_BYTES_MAX);
        // SAFETY: bytes of the caller's.
        let mut once = || unsafe { real::write(fd, piece.iov_base, size) };
        match when_ready(coroutine, call, (fd, Interest::Writable), &mut once) {
            None if written == 0 => return None,
            Some(count) if count > 0 => {
                written += count;
                pieces.advance(count as usize);
            }
            None | Some(_) => return Some(if written > 0 { written } else { -1 }),
        }
    }
    Some(written)
}

/// Does it once the descriptor is ready.
fn when_ready(
    coroutine: Coroutine,
    call: &'static str,
    (fd, interest): (c_int, Interest),
    once: &mut dyn FnMut() -> isize,
) -> Option<isize> {
    wait::attempt(coroutine, call, (fd, interest), || match wait::is_ready(fd, interest) {
        true => once(),
        false => errno::fail(libc::EAGAIN),
    })
}

/// One piece.
pub(crate) fn piece(data: *const c_void, size: usize) -> libc::iovec {
    libc::iovec { iov_base: data.cast_mut(), iov_len: size }
}
