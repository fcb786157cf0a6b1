//! Crash messages that name the method that was running.
//!
//! A service that dies of a wild pointer in one of its hundred methods should say which. Where the
//! program asks for it ([`name_crashes`]), a handler for the fatal signals writes one line to
//! standard error, with the stack below it, and lets the process die of the same signal, with the
//! core dump it would have left anyway:
//!
//! ```text
//! msec: stack overflow in method pkg.Svc.Method (core 0, coroutine stack 256 KiB); raise stack_kb
//! msec: SIGSEGV at 0x10 in method pkg.Svc.Method (core 0)
//! ```
//!
//! The handler runs on a stack of its own, because the stack that overflowed has no room. What it
//! does is async-signal-safe: it reads thread-locals without destructors and memory that is there
//! for certain, formats into a buffer on its stack, and calls write, sigaction and raise.
//!
//! What runs is noted by the engine at each switch ([`CrashNote`]): two words and a length
//! in a thread-local, so that it costs a nanosecond. It never unwinds, never allocates, never
//! continues the program, and never chains to a handler that was there before.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, compiler_fence};

use crate::coroutine::current_stack;
use crate::stack::page_bytes;

/// The signals that mean a crash, with their names.
const CRASHES: [(libc::c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
];

/// The handler's stack: a frame with all vector registers is up to 11 KiB (AMX), the handler itself
/// below 2 KiB; the rest is margin.
const ALTERNATE_BYTES: usize = 64 << 10;

/// The longest message: two lines of a terminal and a long method name.
const MESSAGE_BYTES_MAX: usize = 512;

/// `si_code` of a fault without address, such as a general protection fault on x86-64
/// (include/uapi/asm-generic/siginfo.h).
const SI_KERNEL: libc::c_int = 0x80;

/// `CrashNote::core` when the thread is not a core.
const NO_CORE: usize = usize::MAX;

/// What the calling thread is doing, for the message of a crash.
///
/// One a thread, always there; setting it needs no [`name_crashes`] and costs about a nanosecond.
pub struct CrashNote {
    name: AtomicPtr<u8>,
    /// Zero means no method. Written before and after `name` so that a handler that interrupts
    /// `set` never sees the length of one name with the address of another.
    name_bytes: AtomicUsize,
    core: AtomicUsize,
}

thread_local! {
    // Constant and without destructor: readable in a signal handler at any time in a thread's life.
    static NOTE: CrashNote = const {
        CrashNote {
            name: AtomicPtr::new(ptr::null_mut()),
            name_bytes: AtomicUsize::new(0),
            core: AtomicUsize::new(NO_CORE),
        }
    };
    static ALTERNATE: RefCell<Option<AlternateStack>> = const { RefCell::new(None) };
}

/// Whether `name_crashes` has been called in this process.
pub(super) static NAMED: AtomicBool = AtomicBool::new(false);

impl CrashNote {
    /// From now on the calling thread runs this method.
    ///
    /// The name is what the message shows. `'static`, because a crash may come at any time after.
    #[inline]
    pub fn set(name: &'static str) {
        NOTE.with(|note| {
            note.name_bytes.store(0, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            note.name.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            note.name_bytes.store(name.len(), Ordering::Relaxed);
        });
    }

    /// From now on the calling thread runs no method.
    #[inline]
    pub fn clear() {
        NOTE.with(|note| note.name_bytes.store(0, Ordering::Relaxed));
    }

    /// The calling thread is the core of this index, for as long as it lives.
    pub fn set_core(index: usize) {
        NOTE.with(|note| note.core.store(index, Ordering::Relaxed));
    }

    /// The method of the calling thread; empty if there is none.
    fn name(&self) -> &'static [u8] {
        let bytes = self.name_bytes.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let name = self.name.load(Ordering::Relaxed);
        if bytes == 0 {
            return &[];
        }
        // SAFETY: a length other than zero is stored only after the address of the same 'static
        // name, and only this thread stores; a handler interrupts it between two whole stores.
        unsafe { std::slice::from_raw_parts(name, bytes) }
    }
}

impl CrashNote {
    /// Which thread this is, and what it runs. Async-signal-safe.
    pub(super) fn describe(&self, message: &mut Message) {
        match self.core.load(Ordering::Relaxed) {
            NO_CORE => message.push(b"a thread that is no core"),
            core => {
                message.push(b"core ");
                message.push_number(core, 10);
            }
        }
        if let name @ [_, ..] = self.name() {
            message.push(b" in method ");
            message.push(name);
        }
    }
}

/// Looks at what the calling thread is doing.
pub(super) fn with_note(look: impl FnOnce(&CrashNote)) {
    NOTE.with(look);
}

/// Makes fatal signals of this process write one line that names the running method, and lets
/// [`write_stack_of`](super::write_stack_of) have threads write their stacks.
///
/// Replaces the handlers of SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL and `SIGRTMIN + 5`; so never
/// call it in a process whose runtime lives on them (a Java virtual machine). Prepares the calling
/// thread; other threads call [`name_crashes_thread`] when they start. Calling it again does no
/// harm.
pub fn name_crashes() -> io::Result<()> {
    super::stall::prepare()?;
    // Whoever sees it finds the handlers of stalls in place.
    NAMED.store(true, Ordering::Release);
    name_crashes_thread()?;
    for (signal, _) in CRASHES {
        // SAFETY: all zeroes is a valid sigaction; the fields that matter are set below.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_crash as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is valid for the call, and its handler has the signature that
        // SA_SIGINFO asks for and is async-signal-safe.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives the calling thread a stack for the handler, without which a stack overflow cannot be
/// named. Does nothing unless [`name_crashes`] was called before. Undone when the thread ends.
pub fn name_crashes_thread() -> io::Result<()> {
    if !NAMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Touch what the handler reads: in a shared library the first use of a thread-local allocates.
    NOTE.with(|note| _ = note.name());
    _ = current_stack();
    ALTERNATE.with_borrow_mut(|alternate| {
        if alternate.is_none() {
            *alternate = Some(AlternateStack::install()?);
        }
        Ok(())
    })
}

/// A stack for signal handlers, installed on the thread that holds it.
struct AlternateStack {
    /// A mapping of one guard page and `ALTERNATE_BYTES` above it.
    low: NonNull<u8>,
}

impl AlternateStack {
    fn install() -> io::Result<AlternateStack> {
        let bytes = page_bytes() + ALTERNATE_BYTES;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let low = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if low == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let low = NonNull::new(low.cast()).expect("mmap without MAP_FIXED never maps page zero");
        let alternate = AlternateStack { low };
        let usable = alternate.usable();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is the mapping above but for its first page, and nobody uses it yet.
        if unsafe { libc::mprotect(usable, ALTERNATE_BYTES, protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let stack = libc::stack_t { ss_sp: usable, ss_flags: 0, ss_size: ALTERNATE_BYTES };
        // SAFETY: the memory stays mapped until `drop`, which uninstalls it first.
        if unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(alternate)
    }

    fn usable(&self) -> *mut libc::c_void {
        self.low.as_ptr().wrapping_add(page_bytes()).cast()
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let mut current = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: a query; `current` is writable.
        let queried = unsafe { libc::sigaltstack(ptr::null(), &mut current) };
        if queried == 0 && current.ss_sp == self.usable() {
            let none =
                libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: switches the alternate stack of this thread off; no handler runs on it, since
            // this code runs on the thread's own stack.
            unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
        }
        // SAFETY: the whole mapping made in `install`, which the kernel uses no longer.
        unsafe { libc::munmap(self.low.as_ptr().cast(), page_bytes() + ALTERNATE_BYTES) };
    }
}

/// The handler: one line, then death by the same signal.
extern "C" fn on_crash(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo_t.
    let info = unsafe { &*info };
    // SAFETY: kill(2) and its like fill in who has sent it.
    if info.si_code == libc::SI_USER && unsafe { info.si_pid() } != std::process::id() as i32 {
        super::stall::pass_on(signal);
    }
    // A positive code is a fault that the kernel saw; others are signals that somebody sent, and
    // abort(3) is one of them. SI_KERNEL is a fault whose address the processor does not tell.
    let located = info.si_code > 0 && info.si_code != SI_KERNEL && signal != libc::SIGABRT;
    // SAFETY: the signals that are faults carry an address.
    let address = located.then(|| unsafe { info.si_addr() }.addr());
    let mut message = Message::new();
    NOTE.with(|note| compose(&mut message, signal, address, note));
    // SAFETY: the buffer is readable for its length. A failed or short write leaves nothing to do.
    unsafe { libc::write(libc::STDERR_FILENO, message.bytes.as_ptr().cast(), message.len) };
    // A stack that is no stack any more ends the process here, with the line above written: this
    // signal is blocked.
    super::stall::write_own_stack();
    // The signal is blocked while the handler runs, and ends the process when it returns, before
    // the next instruction: the core dump shows the registers of the fault.
    // SAFETY: both are async-signal-safe and only make this signal fatal again.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Writes the one line about a crash.
fn compose(
    message: &mut Message,
    signal: libc::c_int,
    fault_address: Option<usize>,
    note: &CrashNote,
) {
    let stack = current_stack();
    let overflow_bytes = match (fault_address, stack) {
        (Some(address), Some((guard, bytes))) if guard.contains(&address) => Some(bytes),
        _ => None,
    };
    message.push(b"msec: ");
    if overflow_bytes.is_some() {
        message.push(b"stack overflow");
    } else {
        let named = CRASHES.iter().find(|(number, _)| *number == signal);
        message.push(named.map_or("signal", |(_, name)| name).as_bytes());
        if let Some(address) = fault_address {
            message.push(b" at 0x");
            message.push_number(address, 16);
        }
    }
    match note.name() {
        [] => message.push(b" outside of any method"),
        name => {
            message.push(b" in method ");
            message.push(name);
        }
    }
    let core = note.core.load(Ordering::Relaxed);
    if core != NO_CORE {
        message.push(b" (core ");
        message.push_number(core, 10);
    } else {
        message.push(b" (no core");
    }
    if let Some(bytes) = overflow_bytes {
        message.push(b", coroutine stack ");
        message.push_number(bytes >> 10, 10);
        message.push(b" KiB); raise stack_kb");
    } else {
        message.push(b")");
    }
    message.end();
}

/// A line in a buffer: cut off when full, never allocated.
pub(super) struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    len: usize,
}

impl Message {
    pub(super) fn new() -> Message {
        Message { bytes: [0; MESSAGE_BYTES_MAX], len: 0 }
    }

    /// Appends what fits, keeping room for the end of the line.
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = (MESSAGE_BYTES_MAX - 1).saturating_sub(self.len);
        for &byte in text.iter().take(room) {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    fn push_number(&mut self, number: usize, base: usize) {
        let mut digits = [0u8; usize::BITS as usize];
        let mut rest = number;
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[rest % base];
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }

    pub(super) fn end(&mut self) {
        self.bytes[self.len] = b'\n';
        self.len += 1;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(signal: libc::c_int, fault_address: Option<usize>, core: usize) -> String {
        let mut message = Message::new();
        NOTE.with(|note| {
            note.core.store(core, Ordering::Relaxed);
            compose(&mut message, signal, fault_address, note);
        });
        String::from_utf8(message.bytes[..message.len].to_vec()).expect("all parts are ASCII here")
    }

    #[test]
    fn the_line_names_signal_address_method_and_core() {
        let check = |signal, address, core, expect: &str| {
            assert_eq!(line(signal, address, core), expect);
        };
        let outside = "msec: SIGABRT outside of any method (no core)\n";
        check(libc::SIGABRT, None, NO_CORE, outside);
        CrashNote::set("a.B.C");
        check(libc::SIGABRT, None, NO_CORE, "msec: SIGABRT in method a.B.C (no core)\n");
        check(libc::SIGBUS, Some(0), 0, "msec: SIGBUS at 0x0 in method a.B.C (core 0)\n");
        let fault = "msec: SIGSEGV at 0xdeadbeef in method a.B.C (core 107)\n";
        check(libc::SIGSEGV, Some(0xdead_beef), 107, fault);
        CrashNote::set("x.Longer.Name");
        check(libc::SIGFPE, None, 3, "msec: SIGFPE in method x.Longer.Name (core 3)\n");
        CrashNote::clear();
        check(libc::SIGILL, None, 3, "msec: SIGILL outside of any method (core 3)\n");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_off_and_still_ends() {
        CrashNote::set(Box::leak("m".repeat(2 * MESSAGE_BYTES_MAX).into_boxed_str()));
        let line = line(libc::SIGSEGV, Some(usize::MAX), 1);
        assert_eq!(line.len(), MESSAGE_BYTES_MAX);
        let start = "msec: SIGSEGV at 0xffffffffffffffff in method mmmm";
        assert!(line.starts_with(start) && line.ends_with("m\n"), "{line}");
    }
}
