//! Waiting for descriptors that the engine does not know.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use msec::{Code, Error};

/// Until there is something to read, or the other side has ended.
pub const MSEC_READABLE: u32 = 1;
/// Until there is room to write.
pub const MSEC_WRITABLE: u32 = 4;

/// Suspends the coroutine until a descriptor is ready: `what` is `MSEC_READABLE` or
/// `MSEC_WRITABLE`. The descriptor stays open meanwhile. `timeout_ms` 0 waits as long as it takes.
///
/// Errors: -10 the time is over; -103 the caller was cancelled; -1 `fd` or `what` is none; -2 not
/// on a coroutine, or the kernel refuses the descriptor.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_wait_fd(fd: i32, what: u32, timeout_ms: u32) -> i32 {
    guard!([] {
        if fd < 0 {
            return Err(Error::new(Code::INVALID_PARAMETER, format!("{fd} is no descriptor")));
        }
        // SAFETY: the caller keeps it open while this waits.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let timeout = Duration::from_millis(timeout_ms.into());
        match (what, timeout_ms) {
            (MSEC_READABLE, 0) => msec::readable(fd),
            (MSEC_READABLE, _) => msec::readable_timeout(fd, timeout),
            (MSEC_WRITABLE, 0) => msec::writable(fd),
            (MSEC_WRITABLE, _) => msec::writable_timeout(fd, timeout),
            (other, _) => {
                let text = format!("{other} is nothing to wait for");
                Err(Error::new(Code::INVALID_PARAMETER, text))
            }
        }
    })
}
