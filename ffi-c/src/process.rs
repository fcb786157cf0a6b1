//! Manners of a whole process, which a library has no business with unless it is asked.

/// Has a crash (a stack overflow, a bad access, an abort, a C++ exception that left a handler)
/// write one line to standard error that names the signal and the method, before the process dies
/// of it as usual; and a core that stalls, its stack. Once a process, before an engine is started.
///
/// It takes the signals of crashes and `SIGRTMIN + 5`, which interrupts what a stalled handler is
/// blocked in, as any signal does.
///
/// Errors: -2.
#[unsafe(no_mangle)]
pub extern "C" fn msec_process_name_crashes() -> i32 {
    guard!([] { msec::process::name_crashes() })
}
