//! The process as the kernel sees it: its limits, what it uses, and how it ends.
//!
//! Three things live here. Numbers about this process and the machine, read from /proc and the
//! cgroup files when asked and never kept. The two signals that ask a process to end, turned into
//! a blocking wait ([`TerminationSignals`]). And crash messages that name the method that was
//! running ([`name_crashes`], in `process/crash.rs`), with the stacks of threads that stall
//! (`process/stall.rs`) and the requests that came last (`process/recent.rs`). And what a
//! supervisor needs of its children (`process/child.rs`, `process/pass.rs`).
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

mod child;
mod crash;
mod pass;
mod recent;
mod stall;

pub use child::{Target, hand_over, in_own_session, inherited, set_variable};
pub use crash::{CrashNote, name_crashes, name_crashes_thread};
pub(crate) use pass::Control;
pub use pass::{PASSED_BYTES_MAX, pass, passage, receive};
pub use recent::{Recent, RecentMemory, keep_recent, keep_recent_of_core, note_request};
pub use stall::{StalledNote, thread_id, waits_for_lock, write_stack_of};

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

/// A signal that asks the process for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a supervisor or `kill` asks it to end.
    Terminate,
    /// SIGINT: a user pressed Ctrl-C.
    Interrupt,
    /// SIGHUP: by custom, to read its configuration again; or its terminal is gone.
    HangUp,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
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
    held: libc::sigset_t,
    not_send: PhantomData<*mut ()>,
}

impl TerminationSignals {
    /// Blocks SIGTERM and SIGINT on the calling thread and the threads it starts from now on.
    pub fn block() -> io::Result<TerminationSignals> {
        Self::hold(set_of(&[libc::SIGTERM, libc::SIGINT]))
    }

    /// As [`block`](TerminationSignals::block), for SIGHUP, SIGUSR1 and SIGUSR2, too.
    pub fn block_all() -> io::Result<TerminationSignals> {
        let all = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];
        Self::hold(set_of(&all))
    }

    fn hold(held: libc::sigset_t) -> io::Result<TerminationSignals> {
        // SAFETY: a sigset_t is a plain bit array, filled in by the call below.
        let mut previous: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: both sets are valid for the call.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut previous) };
        match error {
            0 => Ok(TerminationSignals { previous, held, not_send: PhantomData }),
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
        match unsafe { libc::sigtimedwait(&self.held, ptr::null_mut(), &time) } {
            libc::SIGTERM => Some(Signal::Terminate),
            libc::SIGINT => Some(Signal::Interrupt),
            libc::SIGHUP => Some(Signal::HangUp),
            libc::SIGUSR1 => Some(Signal::User1),
            libc::SIGUSR2 => Some(Signal::User2),
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

/// The set of these signals, whose numbers are valid.
fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a sigset_t is a plain bit array; sigemptyset makes any bits a valid set.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigemptyset(&mut set) };
    for signal in signals {
        // SAFETY: as above; a number that is no signal's is refused.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    set
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
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
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

/// Bytes of memory that the program has from the C library's heap and not given back. What the heap
/// holds beyond that are holes between them. 0 where the C library does not tell.
pub fn heap_bytes() -> usize {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes nothing, and counts under the heap's own locks.
        let info = unsafe { libc::mallinfo2() };
        info.uordblks + info.hblkhd
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

/// Gives the holes of the heap back to the kernel, as far as they are whole pages: what is resident
/// then is what is in use. Takes milliseconds, under the heap's locks.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of control groups in a directory of its own, gone with the value.
    struct Groups {
        root: std::path::PathBuf,
    }

    impl Groups {
        fn new(name: &str, files: &[(&str, &str)]) -> Groups {
            let directory = format!("msec-groups-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(directory);
            for (path, text) in files {
                let path = root.join(path);
                let parent = path.parent().expect("joined to a root above");
                fs::create_dir_all(parent).expect("the directory for temporary files is writable");
                fs::write(path, text).expect("as above");
            }
            Groups { root }
        }
    }

    impl Drop for Groups {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn the_tightest_group_on_the_way_up_limits_memory() {
        let groups = Groups::new(
            "v2",
            &[
                ("pods/memory.max", "1000000\n"),
                ("pods/one/memory.max", "max\n"),
                ("pods/one/worker/memory.max", "3000000\n"),
                ("other/memory.max", "5\n"),
            ],
        );
        let check = |text, expect| assert_eq!(cgroup_memory_bytes(&groups.root, text), expect);
        check("0::/pods/one/worker\n", Some(1_000_000));
        check("0::/pods/one\n", Some(1_000_000));
        check("0::/\n", None);
        check("", None);
        check("nonsense\n0::/pods\nmore: nonsense", Some(1_000_000));
    }

    #[test]
    fn a_group_of_the_host_that_is_not_visible_leaves_the_containers_own() {
        let groups = Groups::new("hidden", &[("memory.max", "4096000\n")]);
        let limit = cgroup_memory_bytes(&groups.root, "0::/docker/0123abcd\n");
        assert_eq!(limit, Some(4_096_000));
    }

    #[test]
    fn version_one_groups_count_by_their_memory_controller() {
        let groups = Groups::new(
            "v1",
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/app/memory.limit_in_bytes", "2000000\n"),
                ("cpu/app/memory.limit_in_bytes", "1\n"),
            ],
        );
        let text = "12:cpu,cpuacct:/app\n5:memory:/app\n1:name=systemd:/app\n0::/app\n";
        assert_eq!(cgroup_memory_bytes(&groups.root, text), Some(2_000_000));
    }

    #[test]
    fn the_process_knows_its_own_size() {
        let rss = rss_bytes().expect("/proc is mounted");
        let limit = memory_limit_bytes().expect("/proc is mounted");
        assert!((100 << 10..limit).contains(&rss), "{rss} of {limit}");
        assert!(map_count_max().expect("/proc is mounted") > map_count().expect("as above"));
        let release = kernel_release().expect("/proc is mounted");
        assert!(release.starts_with(|digit: char| digit.is_ascii_digit()), "{release}");
    }

    #[test]
    fn threads_and_descriptors_are_counted() {
        // Other tests start and end threads and open files meanwhile, so many at once are counted.
        let fds = fds_count().expect("/proc is mounted");
        let files: Vec<_> =
            (0..200).map(|_| fs::File::open("/dev/null").expect("it always opens")).collect();
        assert!(fds_count().expect("/proc is mounted") >= fds + 150);
        drop(files);
        let threads = threads_count().expect("/proc is mounted");
        let counted = std::sync::Barrier::new(51);
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| counted.wait());
            }
            let more = threads_count();
            counted.wait();
            assert!(more.expect("/proc is mounted") >= threads + 30);
        });
    }

    #[test]
    fn the_limit_on_files_is_raised_to_the_hard_one() {
        let before = nofile_limit().expect("getrlimit is always allowed");
        let after = raise_nofile().expect("the soft limit may rise to the hard one");
        assert_eq!((after.soft, after.hard), (before.hard, before.hard));
        assert_eq!(nofile_limit().expect("as above"), after);
    }

    #[test]
    fn a_blocked_signal_waits_until_it_is_asked_for() {
        let signals = TerminationSignals::block().expect("blocking a signal needs no right");
        assert_eq!(signals.wait_at_most(Duration::from_millis(1)), None);
        for (number, signal) in
            [(libc::SIGTERM, Signal::Terminate), (libc::SIGINT, Signal::Interrupt)]
        {
            // SAFETY: sends a signal to this thread, where it is blocked.
            assert_eq!(unsafe { libc::raise(number) }, 0);
            assert_eq!(signals.wait(), signal);
        }
        assert_eq!(signals.wait_at_most(Duration::ZERO), None);
    }

    #[test]
    fn signals_pass_again_once_nobody_waits() {
        let blocked = || {
            // SAFETY: a query into a set that is writable; sigismember reads it.
            unsafe {
                let mut set: libc::sigset_t = mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut set);
                libc::sigismember(&set, libc::SIGTERM) == 1
            }
        };
        assert!(!blocked());
        let signals = TerminationSignals::block().expect("blocking a signal needs no right");
        assert!(blocked());
        drop(signals);
        assert!(!blocked());
    }
}
