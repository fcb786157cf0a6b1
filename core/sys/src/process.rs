//! The process as the kernel sees it: its limits, what it uses, and how it ends.
//!
//! Three things live here. Numbers about this process and the machine, read from /proc and the
//! cgroup files when asked and never kept. The two signals that ask a process to end, turned into
//! a blocking wait ([`TerminationSignals`]). And crash messages that name the method that was
//! running ([`name_crashes`], in `process/crash.rs`).
//!
//! Nothing here happens by itself. The library lives in other people's processes, a Java virtual
//! machine among them, which own their signal handlers and masks; so a handler or a mask is set
//! only when the program calls for it, and the engine never does.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use crate::stack::page_bytes;

mod crash;

pub use crash::{CrashNote, name_crashes, name_crashes_thread};

/// Where the kernel shows control groups.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// A limit on open files: what holds now, and how far the process may raise it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesLimit {
    /// Descriptors that may be open at once.
    pub soft: u64,
    /// The ceiling for `soft`.
    pub hard: u64,
}

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a supervisor or `kill` asks.
    Terminate,
    /// SIGINT: a user pressed Ctrl-C.
    Interrupt,
}

/// Holds SIGTERM and SIGINT back, so that a thread can wait for them.
///
/// [`block`](TerminationSignals::block) before any other thread is started: threads inherit what
/// is blocked, and a thread that does not block a signal dies of it with the whole process.
/// Dropped, it lets the signals through again on its thread, so that a second Ctrl-C ends a
/// process that takes long to drain. Not `Send`: a signal mask is its thread's.
#[derive(Debug)]
pub struct TerminationSignals {
    previous: libc::sigset_t,
    not_send: PhantomData<*mut ()>,
}

impl TerminationSignals {
    /// Blocks SIGTERM and SIGINT on the calling thread and the threads it starts from now on.
    pub fn block() -> io::Result<TerminationSignals> {
        // SAFETY: a sigset_t is a plain bit array, filled in by the call below.
        let mut previous: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: both sets are valid for the call.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &termination_set(), &mut previous) };
        match error {
            0 => Ok(TerminationSignals { previous, not_send: PhantomData }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Blocks the calling thread until one of the two signals arrives, and takes it.
    ///
    /// For a plain thread, not a core thread or a coroutine: it blocks the thread itself.
    pub fn wait(&self) -> Signal {
        loop {
            if let Some(signal) = self.wait_at_most(Duration::from_secs(3600)) {
                return signal;
            }
        }
    }

    /// As [`wait`](TerminationSignals::wait), but gives up after `time`. May return early with
    /// `None` when another signal's handler ran.
    pub fn wait_at_most(&self, time: Duration) -> Option<Signal> {
        let time = libc::timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: set and time are valid for the call; the place for details may be null.
        match unsafe { libc::sigtimedwait(&termination_set(), ptr::null_mut(), &time) } {
            libc::SIGTERM => Some(Signal::Terminate),
            libc::SIGINT => Some(Signal::Interrupt),
            // EAGAIN: the time is over. EINTR: some other signal was handled.
            _ => None,
        }
    }
}

impl Drop for TerminationSignals {
    fn drop(&mut self) {
        // SAFETY: the set is the one this thread had before; the place for the old one may be null.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.previous, ptr::null_mut()) };
        debug_assert_eq!(error, 0, "pthread_sigmask fails for a bad `how` only");
    }
}

/// The set of the two signals.
fn termination_set() -> libc::sigset_t {
    // SAFETY: a sigset_t is a plain bit array; sigemptyset makes any bits a valid set, and both
    // numbers are valid signals.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        set
    }
}

/// Resident memory of this process in bytes.
pub fn rss_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    Ok(pages.ok_or_else(|| unreadable("/proc/self/statm"))? * page_bytes() as u64)
}

/// Threads of this process.
pub fn threads_count() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let count = line_value(&status, "Threads:").ok_or_else(|| unreadable("/proc/self/status"))?;
    Ok(count as usize)
}

/// Open descriptors of this process.
pub fn fds_count() -> io::Result<usize> {
    // One entry is the directory that is being read.
    Ok(fs::read_dir("/proc/self/fd")?.count().saturating_sub(1))
}

/// The limit on open descriptors.
pub fn nofile_limit() -> io::Result<FilesLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable for the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(FilesLimit { soft: limit.rlim_cur, hard: limit.rlim_max }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises the limit on open descriptors as far as the process may, and returns what holds then.
pub fn raise_nofile() -> io::Result<FilesLimit> {
    let FilesLimit { soft, hard } = nofile_limit()?;
    if soft < hard {
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: `limit` is readable for the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    nofile_limit()
}

/// Memory that this process may use, in bytes: the tightest limit of its control groups (version 1
/// or 2), or all of the machine's.
pub fn memory_limit_bytes() -> io::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let total_kb = line_value(&meminfo, "MemTotal:").ok_or_else(|| unreadable("/proc/meminfo"))?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group_limit_bytes = cgroup_memory_bytes(Path::new(CGROUP_ROOT), &groups);
    Ok((total_kb * 1024).min(group_limit_bytes.unwrap_or(u64::MAX)))
}

/// Mappings that a process may have (`vm.max_map_count`).
pub fn map_count_max() -> io::Result<usize> {
    let path = "/proc/sys/vm/max_map_count";
    fs::read_to_string(path)?.trim().parse().map_err(|_| unreadable(path))
}

/// Mappings that this process has.
pub fn map_count() -> io::Result<usize> {
    let maps = fs::read("/proc/self/maps")?;
    Ok(maps.iter().filter(|&&byte| byte == b'\n').count())
}

/// The running kernel's release, such as `6.18.44`.
pub fn kernel_release() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

/// The tightest memory limit on the way from the process's control group up to the root of the
/// tree at `root`; `groups` is the text of /proc/self/cgroup. None if there is no limit.
fn cgroup_memory_bytes(root: &Path, groups: &str) -> Option<u64> {
    let mut tightest: Option<u64> = None;
    for line in groups.lines() {
        // `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers.
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next()?, fields.next()?);
        let (base, file) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the path may be the host's and not exist here; the limit then stands at
        // the root, which the walk upwards ends with.
        let path = base.join(path.trim_start_matches('/'));
        for group in path.ancestors().take_while(|group| group.starts_with(&base)) {
            let limit = fs::read_to_string(group.join(file)).ok();
            // Version 2 writes `max` for no limit, version 1 a number near 2^63.
            if let Some(bytes) = limit.and_then(|text| text.trim().parse::<u64>().ok()) {
                tightest = Some(tightest.map_or(bytes, |least| least.min(bytes)));
            }
        }
    }
    tightest
}

/// The number behind `key` in a file of `key: number` lines.
fn line_value(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A file of the kernel that does not look as documented in proc(5).
fn unreadable(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} does not look as expected"))
}
