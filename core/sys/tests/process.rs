//! Crashes as they look from outside: what a dying process says, and what it dies of.
//!
//! Each test runs this test binary again with `MSEC_TEST_CRASH` naming a way to die, restricted to
//! the one test [`the_process_that_dies`], which does nothing when the variable is absent.

use std::hint::black_box;
use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::ptr;
use std::sync::mpsc;

use msec_sys::coroutine::{Outcome, Pool, StackConfig, suspend};
use msec_sys::process::{CrashNote, StalledNote, name_crashes, name_crashes_thread, thread_id};

const CRASH: &str = "MSEC_TEST_CRASH";

/// Runs this binary to its death by the way `crash`.
fn die_of(crash: &str) -> Output {
    let binary = std::env::current_exe().expect("a running test has a binary");
    Command::new(binary)
        .args(["--exact", "the_process_that_dies", "--nocapture", "--test-threads=1"])
        .env(CRASH, crash)
        .output()
        .expect("a test binary can run itself")
}

/// The process dies by `signal`, having said exactly `line` among the lines that start `msec:`.
fn check(crash: &str, signal: i32, line: &str) {
    let output = die_of(crash);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(signal), "{crash}: {text}");
    // The test harness may have left a line of its own unfinished.
    let said: Vec<&str> =
        text.lines().filter_map(|line| Some(&line[line.find("msec: ")?..])).collect();
    assert_eq!(said, [line], "{crash}: {text}");
}

#[test]
fn a_stack_overflow_names_method_core_and_stack_size() {
    check(
        "overflow",
        libc::SIGSEGV,
        "msec: stack overflow in method pkg.Svc.Deep (core 0, coroutine stack 256 KiB); raise \
         stack_kb",
    );
}

#[test]
fn a_stack_overflow_by_one_large_frame_is_one_too() {
    check(
        "overflow-frame",
        libc::SIGSEGV,
        "msec: stack overflow in method pkg.Svc.Frame (core 7, coroutine stack 64 KiB); raise \
         stack_kb",
    );
}

#[test]
fn a_stack_overflow_with_a_guard_by_mprotect_is_one_too() {
    check(
        "overflow-mprotect",
        libc::SIGSEGV,
        "msec: stack overflow in method pkg.Svc.Deep (core 0, coroutine stack 128 KiB); raise \
         stack_kb",
    );
}

#[test]
fn a_stack_overflow_on_a_thread_that_came_later_is_named() {
    check(
        "overflow-thread",
        libc::SIGSEGV,
        "msec: stack overflow in method pkg.Svc.Deep (core 1, coroutine stack 256 KiB); raise \
         stack_kb",
    );
}

#[test]
fn a_wild_pointer_on_a_coroutine_names_address_and_method() {
    check("wild", libc::SIGSEGV, "msec: SIGSEGV at 0x10 in method pkg.Svc.Wild (core 2)");
}

#[test]
fn a_wild_pointer_outside_of_methods_says_so() {
    check("wild-outside", libc::SIGSEGV, "msec: SIGSEGV at 0x10 outside of any method (no core)");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_pointer_that_is_no_address_at_all_is_named_without_one() {
    check("noncanonical", libc::SIGSEGV, "msec: SIGSEGV in method pkg.Svc.Wild (no core)");
}

#[test]
fn an_abort_is_named_and_stays_an_abort() {
    check("abort", libc::SIGABRT, "msec: SIGABRT in method pkg.Svc.Abort (no core)");
}

/// A supervisor's abort goes to the process, whose first thread has nothing to say.
#[test]
fn an_abort_that_is_sent_names_what_stalls() {
    check("hung", libc::SIGABRT, "msec: SIGABRT in method pkg.Svc.Hung (core 5)");
}

#[test]
fn an_abort_that_is_sent_after_the_stall_is_the_first_threads() {
    check("hung-before", libc::SIGABRT, "msec: SIGABRT outside of any method (no core)");
}

#[test]
fn an_abort_that_the_stalled_thread_does_not_take_ends_the_process_all_the_same() {
    check("hung-deaf", libc::SIGABRT, "msec: SIGABRT outside of any method (no core)");
}

#[test]
fn a_fault_signal_that_somebody_sent_ends_the_process_too() {
    check("sent", libc::SIGSEGV, "msec: SIGSEGV in method pkg.Svc.Sent (no core)");
}

#[test]
fn an_illegal_instruction_is_named() {
    let output = die_of("illegal");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGILL), "{text}");
    assert!(text.contains("msec: SIGILL at 0x") && text.contains("pkg.Svc.Illegal"), "{text}");
}

#[test]
fn without_asking_for_it_nothing_is_said_and_an_overflow_still_kills() {
    let output = die_of("overflow-unnamed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{text}");
    assert!(!text.contains("msec: "), "{text}");
}

/// Not a test of its own: the body of the processes that the tests above run.
#[test]
fn the_process_that_dies() {
    let Ok(crash) = std::env::var(CRASH) else { return };
    let no_core_dump = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is readable for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &no_core_dump) }, 0);
    if crash == "overflow-unnamed" {
        return on_a_coroutine(256, recurse);
    }
    name_crashes().expect("signal handlers are allowed");
    name_crashes().expect("twice, too");
    die(&crash);
    panic!("{crash} did not end the process");
}

fn die(crash: &str) {
    match crash {
        "overflow" => {
            CrashNote::set_core(0);
            CrashNote::set("pkg.Svc.Deep");
            on_a_coroutine(256, recurse);
        }
        "overflow-frame" => {
            CrashNote::set_core(7);
            CrashNote::set("pkg.Svc.Frame");
            on_a_coroutine(64, |_| large_frame());
        }
        "overflow-mprotect" => {
            CrashNote::set_core(0);
            CrashNote::set("pkg.Svc.Deep");
            let guard = msec_sys::coroutine::Guard::Mprotect;
            run_on(Pool::new(StackConfig { stack_bytes: 128 << 10, guard }), recurse);
        }
        "overflow-thread" => {
            let thread = std::thread::spawn(|| {
                name_crashes_thread().expect("a stack for the handler can be mapped");
                CrashNote::set_core(1);
                CrashNote::set("pkg.Svc.Deep");
                on_a_coroutine(256, recurse);
            });
            _ = thread.join();
        }
        "wild" => {
            CrashNote::set_core(2);
            CrashNote::set("pkg.Svc.Wild");
            on_a_coroutine(256, |_| wild_read(0x10));
        }
        "wild-outside" => {
            CrashNote::set("pkg.Svc.Wild");
            CrashNote::clear();
            wild_read(0x10);
        }
        "noncanonical" => {
            CrashNote::set("pkg.Svc.Wild");
            wild_read(0xdead_beef_dead_bee8);
        }
        "abort" => {
            CrashNote::set("pkg.Svc.Abort");
            std::process::abort();
        }
        "hung" => hang(|_| {}),
        "hung-before" => hang(|note| note.set(None)),
        "hung-deaf" => hang(|note| note.set(Some(deaf_thread()))),
        "sent" => {
            CrashNote::set("pkg.Svc.Sent");
            // SAFETY: sends a signal to this thread.
            _ = unsafe { libc::raise(libc::SIGSEGV) };
        }
        "illegal" => {
            CrashNote::set("pkg.Svc.Illegal");
            illegal_instruction();
        }
        _ => panic!("no such way to die: {crash}"),
    }
}

/// Has another process abort this one while a thread is noted to stall, unless `change` says
/// otherwise.
fn hang(change: impl FnOnce(&mut StalledNote)) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        name_crashes_thread().expect("a stack for the handler can be mapped");
        CrashNote::set_core(5);
        CrashNote::set("pkg.Svc.Hung");
        tell.send(thread_id()).expect("somebody listens");
        loop {
            std::hint::spin_loop();
        }
    });
    let mut note = StalledNote::default();
    note.set(Some(told.recv().expect("it tells")));
    change(&mut note);
    let text = format!("kill -ABRT {}", std::process::id());
    let sent = Command::new("sh").args(["-c", &text]).status().expect("there is a shell");
    assert!(sent.success());
    // It ends the process meanwhile.
    loop {
        std::thread::park();
    }
}

/// A thread that takes no SIGABRT.
fn deaf_thread() -> i32 {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut aborts = mem::MaybeUninit::uninit();
        // SAFETY: the set is initialised before it is used, and holds for this thread.
        unsafe {
            libc::sigemptyset(aborts.as_mut_ptr());
            libc::sigaddset(aborts.as_mut_ptr(), libc::SIGABRT);
            libc::pthread_sigmask(libc::SIG_BLOCK, aborts.as_ptr(), ptr::null_mut());
        }
        tell.send(thread_id()).expect("somebody listens");
        std::thread::park();
    });
    told.recv().expect("it tells")
}

fn on_a_coroutine(stack_kb: usize, job: fn(usize)) {
    let stack_bytes = stack_kb << 10;
    run_on(Pool::new(StackConfig { stack_bytes, ..StackConfig::default() }), job);
}

fn run_on(pool: Pool, job: fn(usize)) {
    // The neighbour below, where an overflow that is not caught would land.
    let mut neighbour = pool.take().expect("address space");
    assert!(matches!(neighbour.start(|_| suspend(), 0), Outcome::Suspended));
    let mut coroutine = pool.take().expect("address space");
    _ = coroutine.start(job, 0);
}

fn recurse(depth: usize) {
    let mut frame = [depth; 100];
    black_box(&mut frame);
    if black_box(true) {
        recurse(depth + 1);
    }
    black_box(&frame);
}

#[inline(never)]
fn large_frame() {
    let mut frame = [1u8; 128 << 10];
    black_box(&mut frame);
}

fn wild_read(address: usize) {
    let wild = ptr::without_provenance::<u64>(black_box(address));
    // SAFETY: none: nothing is ever mapped there, and the read ends this process, as it should.
    unsafe { wild.read_volatile() };
}

#[cfg(target_arch = "x86_64")]
fn illegal_instruction() {
    // SAFETY: ud2 raises SIGILL and does nothing else.
    unsafe { std::arch::asm!("ud2") };
}

#[cfg(target_arch = "aarch64")]
fn illegal_instruction() {
    // SAFETY: udf raises SIGILL and does nothing else.
    unsafe { std::arch::asm!("udf #0") };
}
