//! Processors: how many there are, where a thread may run, and what it has burnt.
//!
//! Affinity is off by default in the engine, because services share machines; only an exclusive
//! cpuset or a bench asks for [`pin_current`]. CPU time feeds the watchdog, the learning of heavy
//! methods and the benches. A reading of CPU time is a system call (about 150 ns), unlike the
//! clocks in `clock.rs`: it does not belong on the path of every call.

use std::fs;
use std::io;
use std::mem;
use std::path::Path;

use crate::clock;

/// How many CPUs this process may keep busy at once, at least one.
///
/// Counts the affinity mask and the cgroup's CPU quota, so that a container with two CPUs on a
/// machine of sixty-four gets two core threads.
pub fn online() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The numbers of the CPUs that the calling thread may run on, in rising order.
///
/// Fails as sched_getaffinity(2) does, which includes EINVAL on a machine of more than 1,024 CPUs.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is a plain bit array; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is writable and its true size is passed; pid 0 means the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let numbers = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: every number asked for is below CPU_SETSIZE, the number of bits in the set.
    Ok(numbers.filter(|&number| unsafe { libc::CPU_ISSET(number, &set) }).collect())
}

/// The CPUs that the calling thread may run on, if its control group shares them with no other;
/// `None` where that is not known.
///
/// Known means a cpuset partition of control groups version 2 (`cpuset.cpus.partition` is `root` or
/// `isolated`, see the kernel's cgroup-v2.rst). A narrow affinity mask alone says nothing: the next
/// container may have the same.
pub fn exclusive() -> Option<Vec<usize>> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let file = Path::new("/sys/fs/cgroup").join(path).join("cpuset.cpus.partition");
    let partition = fs::read_to_string(file).ok()?;
    is_partition(&partition).then(allowed)?.ok()
}

/// Whether the text of `cpuset.cpus.partition` is that of a valid partition. An invalid one reads
/// `root invalid (reason)`.
fn is_partition(text: &str) -> bool {
    matches!(text.trim(), "root" | "isolated")
}

/// Binds the calling thread to one CPU, by the number that [`allowed`] gives.
///
/// Errors: EINVAL for a CPU that does not exist or lies outside the process's cpuset.
pub fn pin_current(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is a plain bit array; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE, checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable and its true size is passed; pid 0 means the calling thread.
    match unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the calling thread less weight than the others of this machine, and slices as long as
/// anybody's, so that whoever is woken runs at once. Cannot be taken back without privilege.
pub fn step_back() {
    const NICE: libc::c_int = 10;
    reschedule(0);
    // SAFETY: takes numbers; 0 names the calling thread. More niceness is allowed to everybody, and
    // where it is not, the thread works on as it did.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Asks for short time slices for the calling thread: it keeps its share of the processor, but
/// when it is woken it runs at once, and not after the slice of whoever computes there. Threads
/// that it starts are as others are.
///
/// By a custom slice of the EEVDF scheduler (Linux 6.12, `PREEMPT_SHORT` in kernel/sched/fair.c).
/// Older kernels ignore it; the thread then works on as it did, as it does under a policy other
/// than SCHED_OTHER. Needs no privilege.
pub fn step_forward() {
    /// The shortest slice that the kernel gives.
    const SLICE_NS: u64 = 100_000;
    reschedule(SLICE_NS);
}

/// Sets the time slice of the calling thread, if it is an ordinary one; 0 means the default.
fn reschedule(slice_ns: u64) {
    // SAFETY: all of its fields are numbers, which may be zero.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let bytes = mem::size_of_val(&attributes) as libc::c_uint;
    // SAFETY: writes at most `bytes` into the live variable; 0 names the calling thread.
    let known = unsafe {
        let attributes = &raw mut attributes;
        libc::syscall(libc::SYS_sched_getattr, 0, attributes, bytes, 0)
    };
    if known == 0 && attributes.sched_policy == libc::SCHED_OTHER as u32 {
        attributes.sched_runtime = slice_ns;
        if slice_ns != 0 {
            attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
        }
        // SAFETY: reads the live variable, whose size it carries.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

/// CPU time the calling thread has used, user and system, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    clock::read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time all threads of this process have used, user and system, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    clock::read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_cpu_alone() {
        std::thread::spawn(|| {
            let before = allowed().expect("reading one's own affinity needs no right");
            assert!(!before.is_empty() && online() >= 1 && online() <= before.len());
            let last = *before.last().expect("not empty, asserted above");
            pin_current(last).expect("the cpu is in the mask");
            assert_eq!(allowed().expect("as above"), [last]);
        })
        .join()
        .expect("the asserts above hold");
    }

    #[test]
    fn only_a_valid_partition_is_exclusive() {
        for (text, expect) in [
            ("root\n", true),
            ("isolated\n", true),
            ("member\n", false),
            ("root invalid (Cpu list in cpuset.cpus not exclusive)\n", false),
            ("", false),
        ] {
            assert_eq!(is_partition(text), expect, "{text}");
        }
        assert!(exclusive().is_none_or(|cpus| Ok(cpus) == allowed().map_err(drop)));
    }

    #[test]
    fn pinning_to_a_cpu_that_does_not_exist_is_einval() {
        for cpu in [libc::CPU_SETSIZE as usize - 1, libc::CPU_SETSIZE as usize, usize::MAX] {
            let error = pin_current(cpu).expect_err("no test machine has that many CPUs");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "cpu {cpu}");
        }
    }

    #[test]
    fn cpu_time_counts_work_and_the_process_counts_its_threads() {
        let process = process_cpu_ns();
        let burnt = std::thread::spawn(|| {
            let start = thread_cpu_ns();
            while thread_cpu_ns() - start < 2_000_000 {}
            thread_cpu_ns() - start
        });
        let burnt = burnt.join().expect("the loop ends when the CPU time has advanced");
        assert!(process_cpu_ns() - process >= burnt);
    }
}
