//! Standard error, for a thread that must not block.
//!
//! A core thread that writes to a pipe nobody reads stops, and with it every request it has. The
//! standard library's handle blocks so, and also waits for its lock, which another thread may hold
//! while it blocks. So the engine's own lines go this way: ask whether there is room, write once,
//! and give the line up if there is not.
//!
//! Room means room for a whole line: the kernel reports a pipe as writable while it has a free
//! page, and [`LINE_BYTES_MAX`] is no more than that (pipe(7); such a write is atomic too, so lines
//! of several processes do not mix). Between question and write another process may take the last
//! page; the write then blocks until the reader has read a page. A file is always writable.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Longest line that is written whole, in bytes: `PIPE_BUF` of Linux.
pub const LINE_BYTES_MAX: usize = 4096;

/// Writes a line to standard error, unless that would block. Whether all of it was written; if it
/// was not there is nothing that the caller could do but count.
///
/// What is over [`LINE_BYTES_MAX`] is cut off. Any thread.
pub fn write_line(line: &[u8]) -> bool {
    // SAFETY: the descriptor is only lent to poll and write; both answer EBADF if it was closed.
    write_if_ready(unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }, line)
}

fn write_if_ready(fd: BorrowedFd<'_>, line: &[u8]) -> bool {
    let line = &line[..line.len().min(LINE_BYTES_MAX)];
    let mut ready = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live pollfd, and a timeout of zero: it does not block.
    let count = unsafe { libc::poll(&mut ready, 1, 0) };
    // A pipe without a reader is "writable" too, and would raise SIGPIPE: it also has POLLERR.
    if count != 1 || ready.revents != libc::POLLOUT {
        return false;
    }
    // SAFETY: reads `line.len()` bytes from a live slice.
    let written = unsafe { libc::write(fd.as_raw_fd(), line.as_ptr().cast(), line.len()) };
    usize::try_from(written) == Ok(line.len())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_line_is_written_whole_while_there_is_room_and_never_blocks() {
        let (mut reader, writer) = pipe().expect("descriptors are free");
        let line = [b'x'; LINE_BYTES_MAX + 10];
        let mut lines_count = 0;
        while write_if_ready(writer.as_fd(), &line) {
            lines_count += 1;
            assert!(lines_count < 1_000_000, "a pipe has an end");
        }
        assert!(lines_count > 0);
        let mut read = vec![0; LINE_BYTES_MAX];
        reader.read_exact(&mut read).expect("it was written");
        assert!(write_if_ready(writer.as_fd(), b"after the jam\n"));
        drop(writer);
        read.clear();
        reader.read_to_end(&mut read).expect("it was written");
        let expect_bytes = (lines_count - 1) * LINE_BYTES_MAX + b"after the jam\n".len();
        assert_eq!(read.len(), expect_bytes, "nothing is written in part");
        assert!(read.ends_with(b"xafter the jam\n"));
    }

    #[test]
    fn a_pipe_that_nobody_reads_takes_no_line_and_kills_nobody() {
        let (reader, writer) = pipe().expect("descriptors are free");
        drop(reader);
        assert!(!write_if_ready(writer.as_fd(), b"hello\n"));
    }
}
