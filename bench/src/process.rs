//! What the bench asks the kernel about processes: pin one, read another's processor clock, its
//! memory, its limits.
//!
//! Processor time comes from the process's own CPU clock (`clock_getcpuclockid(3)`), which counts
//! nanoseconds over all its threads, ended ones included. `/proc/PID/stat` would round to 10 ms
//! ticks, `/proc/PID/schedstat` knows only the first thread.

use std::io;
use std::process::Command;

use std::os::unix::process::CommandExt;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC).expect("the monotonic clock is always there")
}

/// Nanoseconds of processor time that all threads of this process have used.
pub fn own_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID).expect("a process can always read its own clock")
}

/// Nanoseconds of processor time that all threads of process `pid` have used. Fails where there is
/// no such process.
pub fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` outlives the call, which writes one clock id and nothing else.
    let code = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    clock_ns(clock)
}

fn clock_ns(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes one timespec.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Asks for the shortest time slice (Linux 6.12): a thread that is woken then runs at once and not
/// after the slice of whoever computes there, so that no latency is the generator's own.
pub fn shorten_slice() {
    const SLICE_NS: u64 = 100_000;
    // SAFETY: all of its fields are numbers, which may be zero.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of_val(&attributes) as u32;
    attributes.sched_runtime = SLICE_NS;
    // SAFETY: reads the live variable; 0 names the calling thread. A kernel that does not know
    // custom slices ignores it.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// The resident memory of a process, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All resident pages, program text included.
    pub resident_kb: u64,
    /// Anonymous pages alone: what the program itself allocated.
    pub anonymous_kb: u64,
}

/// Reads `/proc/PID/status`.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    };
    Ok(Memory { resident_kb: field("VmRSS:"), anonymous_kb: field("RssAnon:") })
}

/// Makes `command` start pinned to `cpus` (all its threads inherit that) with the file limit raised
/// to the hard one.
pub fn pin(command: &mut Command, cpus: &[usize]) {
    // SAFETY: a zeroed cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        assert!(cpu < libc::CPU_SETSIZE as usize, "cpu {cpu} is beyond what a cpu_set_t holds");
        // SAFETY: the index was checked against the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    let prepare = move || {
        // SAFETY: both calls are plain system calls, allowed between fork and exec; `set` was
        // copied into the closure.
        if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } != 0 {
            return Err(io::Error::last_os_error());
        }
        raise_file_limit()
    };
    // SAFETY: `prepare` allocates nothing and takes no lock: it makes three system calls.
    unsafe { command.pre_exec(prepare) };
}

/// Raises the limit of open files to the hard limit.
pub fn raise_file_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    let failed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 || {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0
        }
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets timed waits of this thread end when they are due: the default slack of 50 µs would show in
/// open-loop latencies.
pub fn drop_timer_slack() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory. A refusal leaves the
    // default, which is no error.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1u64, 0u64, 0u64, 0u64) };
}

/// Sends a signal to a process that the bench started.
pub fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: kill touches no memory of ours.
    if unsafe { libc::kill(pid as libc::pid_t, signal) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_another_process_is_the_one_it_reads_itself() {
        let before = own_cpu_ns();
        let from_outside = cpu_ns(std::process::id()).unwrap();
        assert!(from_outside >= before && from_outside <= own_cpu_ns());
    }

    #[test]
    fn a_process_that_is_not_there_has_no_clock() {
        /// The kernel gives no larger ids (PID_MAX_LIMIT).
        const PID_MAX: u32 = 1 << 22;
        assert!(cpu_ns(PID_MAX + 1).is_err());
    }

    #[test]
    fn a_pinned_command_sees_one_processor() {
        let mut command = Command::new("nproc");
        pin(&mut command, &[0]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "1");
    }

    #[test]
    fn memory_of_this_process_is_not_nothing() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.anonymous_kb > 0 && memory.resident_kb >= memory.anonymous_kb);
    }
}
