//! Where a thread stands that does not get on.
//!
//! A core that stalls is found by another thread, the watchdog, which can look at it from outside
//! only. Two things can be seen there:
//!
//! * **The system call it is in** ([`waits_for_lock`]): `/proc/self/task/<id>/syscall`. A futex
//!   means a lock or another wait between threads, on which no core thread ever waits by itself.
//! * **Its stack** ([`write_stack_of`]), where the program has opted in (`name_crashes`): the
//!   thread is sent a signal, whose handler writes the return addresses to standard error.
//!
//! ```text
//! msec: stack of core 0 in method pkg.Svc.Method:
//! /usr/bin/service(+0x5e3a1)[0x55d0c1a5e3a1]
//! ```
//!
//! A supervisor that gives up on the process sends it SIGABRT, so that it says where it is. The
//! kernel gives that to any thread, mostly the first one, which has nothing to say. So the watchdog
//! notes the thread that stalls ([`StalledNote`]), and whoever gets the signal passes it on to it:
//! the crash message names the method of that thread, the stack below is its stack, and it is the
//! thread that a core dump shows first.
//!
//! Names of functions are there for exported ones only; `addr2line -Cfe /usr/bin/service 0x5e3a1`
//! tells the others. The handler runs in the middle of anything, memory allocation and its lock
//! included, so it must do without: unwinding needs no memory once its library is loaded, which
//! [`prepare`] sees to. It runs on the stack for signal handlers, since the coroutine's may be
//! nearly full. System calls that the signal interrupts go on by themselves (`SA_RESTART`), but for
//! those that never do (signal(7)).

use std::fs;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// How long who has passed on a signal waits to be ended by it. A thread that gets on in no way
/// takes no signal either; whoever asks for the end shall not wait for ever.
const PASSED_ON_S_MAX: libc::time_t = 1;

/// The thread that a watchdog has found to stall; 0: none. Threads of several engines would
/// overwrite each other: then one of them is named, which is as good.
static STALLED: AtomicI32 = AtomicI32::new(0);

/// What a watchdog says of the threads that it watches: whether one stalls now, and which.
#[derive(Default)]
pub struct StalledNote {
    thread: i32,
}

impl StalledNote {
    /// This thread of the process stalls; or none does any more.
    pub fn set(&mut self, thread: Option<i32>) {
        match thread {
            Some(thread) => STALLED.store(thread, Ordering::Relaxed),
            // Another watchdog's is left alone. A failure means that it has said something.
            None => {
                _ = STALLED.compare_exchange(self.thread, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        self.thread = thread.unwrap_or(0);
    }
}

impl Drop for StalledNote {
    fn drop(&mut self) {
        self.set(None);
    }
}

/// Passes on a signal that was sent to the process to the thread that stalls, if that is another
/// one than the calling thread; comes back if that did not end the process. Async-signal-safe.
pub(super) fn pass_on(signal: libc::c_int) {
    let stalled = STALLED.load(Ordering::Relaxed);
    if stalled == 0 || stalled == thread_id() {
        return;
    }
    // SAFETY: take no pointer but an empty list of descriptors. To a thread that has gone the
    // signal is not sent.
    unsafe {
        if libc::syscall(libc::SYS_tgkill, libc::getpid(), stalled, signal) == 0 {
            let time = libc::timespec { tv_sec: PASSED_ON_S_MAX, tv_nsec: 0 };
            // Not by `poll`, which a library may have replaced by one that suspends coroutines.
            let (nobody, no_mask) =
                (ptr::null_mut::<libc::pollfd>(), ptr::null::<libc::sigset_t>());
            libc::syscall(libc::SYS_ppoll, nobody, 0, &raw const time, no_mask, 0);
        }
    }
}

/// The calling thread, as the kernel numbers it.
pub fn thread_id() -> i32 {
    // SAFETY: takes no pointer and always succeeds.
    unsafe { libc::gettid() }
}

/// Whether a thread of this process waits in futex(2), as for a mutex. False as well where the
/// kernel does not tell.
pub fn waits_for_lock(thread: i32) -> bool {
    let path = format!("/proc/self/task/{thread}/syscall");
    let Ok(text) = fs::read_to_string(path) else { return false };
    let number = text.split(' ').next().and_then(|number| number.trim().parse().ok());
    number == Some(libc::SYS_futex)
}

/// Has a thread of this process write its stack to standard error, soon; whether it will. It will
/// not unless `name_crashes` was called before.
///
/// # Errors
/// ESRCH when there is no such thread.
pub fn write_stack_of(thread: i32) -> io::Result<bool> {
    imp::write_stack_of(thread)
}

/// Writes the stack of the calling thread to standard error; async-signal-safe after [`prepare`].
pub(super) fn write_own_stack() {
    imp::write_own_stack();
}

/// Installs the handler.
pub(super) fn prepare() -> io::Result<()> {
    imp::prepare()
}

#[cfg(target_env = "gnu")]
mod imp {
    use std::io;
    use std::mem;
    use std::ptr;
    use std::sync::atomic::Ordering;

    use super::super::crash::{Message, NAMED, with_note};

    /// Return addresses that are written: a handler under some frameworks is a few dozen deep.
    const FRAMES_COUNT_MAX: usize = 64;

    /// One of the signals that are free for programs; the first ones are often taken.
    fn signal() -> libc::c_int {
        libc::SIGRTMIN() + 5
    }

    pub(super) fn prepare() -> io::Result<()> {
        let mut frames = [ptr::null_mut(); 1];
        // The first call loads the unwinder's library and allocates for it: not in a handler.
        // SAFETY: `frames` has room for one.
        unsafe { libc::backtrace(frames.as_mut_ptr(), 1) };
        // SAFETY: all zeroes is a valid sigaction; the fields that matter are set below.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: `action` is valid for the call, and its handler is async-signal-safe.
        if unsafe { libc::sigaction(signal(), &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    pub(super) fn write_stack_of(thread: i32) -> io::Result<bool> {
        if !NAMED.load(Ordering::Acquire) {
            return Ok(false);
        }
        // SAFETY: takes no pointer; the signal has a handler, since NAMED was set after that.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal()) };
        if sent == 0 { Ok(true) } else { Err(io::Error::last_os_error()) }
    }

    extern "C" fn on_signal(_signal: libc::c_int) {
        let mut message = Message::new();
        message.push(b"msec: stack of ");
        with_note(|note| note.describe(&mut message));
        message.push(b":");
        message.end();
        // SAFETY: the address of this thread's errno, which the interrupted code may be about to
        // read; the buffer is valid for its length.
        unsafe {
            let errno = libc::__errno_location();
            let before = errno.read();
            libc::write(
                libc::STDERR_FILENO,
                message.bytes().as_ptr().cast(),
                message.bytes().len(),
            );
            write_own_stack();
            errno.write(before);
        }
    }

    pub(in crate::process) fn write_own_stack() {
        let mut frames = [ptr::null_mut(); FRAMES_COUNT_MAX];
        // SAFETY: the buffer is valid for its length. backtrace(3) neither allocates nor locks once
        // it was called, and backtrace_symbols_fd(3) never does.
        unsafe {
            let count = libc::backtrace(frames.as_mut_ptr(), FRAMES_COUNT_MAX as libc::c_int);
            libc::backtrace_symbols_fd(frames.as_ptr(), count, libc::STDERR_FILENO);
        }
    }
}

/// Other C libraries have no backtrace(3).
#[cfg(not(target_env = "gnu"))]
mod imp {
    use std::io;

    pub(super) fn prepare() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn write_stack_of(_: i32) -> io::Result<bool> {
        Ok(false)
    }

    pub(in crate::process) fn write_own_stack() {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    #[test]
    fn who_waits_for_a_lock_is_told_from_who_does_not() {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().expect("nobody panics with it");
        let (theirs, (tell, told)) = (lock.clone(), mpsc::channel());
        let waiter = std::thread::spawn(move || {
            tell.send(thread_id()).expect("somebody listens");
            drop(theirs.lock());
        });
        let thread = told.recv().expect("it tells");
        // It is on its way to the lock.
        while !waits_for_lock(thread) {
            std::thread::yield_now();
        }
        assert!(!waits_for_lock(thread_id()), "who asks does not wait");
        drop(held);
        waiter.join().expect("it got the lock");
        assert!(!waits_for_lock(thread), "who is gone does not wait");
    }
}
