//! Waiting for several descriptors at once, on a thread that may block.
//!
//! Core threads have their ring for that; this is for the few threads beside them that listen to
//! more than one thing.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How long to wait for the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as it takes.
    Forever,
    /// Not at all: what can be read now.
    Never,
}

/// Which of `descriptors` can be read, in their order. One whose other side is gone counts: a read
/// tells so at once.
///
/// Blocks the thread as `wait` says; signals do not end it. An error is the kernel's, for a
/// descriptor that it cannot look at.
pub fn readable(descriptors: &[BorrowedFd<'_>], wait: Wait) -> io::Result<Vec<bool>> {
    let look =
        |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut looks: Vec<_> = descriptors.iter().map(look).collect();
    let time_ms = match wait {
        Wait::Forever => -1,
        Wait::Never => 0,
    };
    loop {
        // SAFETY: as many live entries as their count says.
        let count = unsafe { libc::poll(looks.as_mut_ptr(), looks.len() as libc::nfds_t, time_ms) };
        if count >= 0 {
            return Ok(looks.iter().map(|look| look.revents != 0).collect());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_has_bytes_and_what_has_ended_can_be_read() {
        let (first, mut writer) = pipe().expect("descriptors are free");
        let (second, ended) = pipe().expect("descriptors are free");
        let both = [first.as_fd(), second.as_fd()];
        assert_eq!(readable(&both, Wait::Never).expect("they are open"), [false, false]);
        writer.write_all(b"x").expect("there is room");
        assert_eq!(readable(&both, Wait::Forever).expect("they are open"), [true, false]);
        drop(ended);
        assert_eq!(readable(&both, Wait::Forever).expect("they are open"), [true, true]);
    }
}
