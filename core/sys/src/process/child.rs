//! Child processes: what they inherit, and signals that reach nobody else.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the program that `command` starts inherit descriptors, under the numbers that they have
/// here. The command keeps them open until it is dropped.
pub fn hand_over(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let keep = move || {
        for descriptor in &descriptors {
            // SAFETY: takes numbers; the descriptor is open, for the closure owns it.
            if unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock, but for the error's number.
    unsafe { command.pre_exec(keep) };
}

/// Has the program that `command` starts lead a session of its own: no terminal's Ctrl-C or end
/// reaches it.
pub fn in_own_session(command: &mut Command) {
    let lead = || {
        // SAFETY: takes nothing, touches nothing of ours.
        if unsafe { libc::setsid() } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(lead) };
}

/// Takes over a descriptor that this process was started with.
///
/// The program that started us says its number. An error if there is none of that number, or if it
/// is one of the three standard ones.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Programs that we start in turn do not inherit it.
    // SAFETY: takes numbers; fails on one that is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started us has named it so that it is taken over here; each
    // number is told once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sets a variable of the environment, or removes it, for the programs that this one starts. For
/// the beginning of a program: an error where other threads run, which might be reading it.
pub fn set_variable(name: &str, value: Option<&OsStr>) -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("other threads run, which may read the environment"));
    }
    match value {
        // SAFETY: there is no other thread, and this one does not start one meanwhile.
        Some(value) => unsafe { env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { env::remove_var(name) },
    }
    Ok(())
}

/// A process that signals can be sent to: they reach it or nobody, even when its number is given
/// to another process.
pub struct Target {
    descriptor: OwnedFd,
}

impl Target {
    /// The child with that number, which must not have been waited for yet.
    pub fn of(pid: u32) -> io::Result<Target> {
        // SAFETY: takes numbers, and returns a new descriptor or an error.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
        Ok(Target { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) } })
    }

    /// Another one of the same process.
    pub fn try_clone(&self) -> io::Result<Target> {
        Ok(Target { descriptor: self.descriptor.try_clone()? })
    }

    /// Ends it at once, whatever it does.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Has it say where it is, if it can, and end.
    pub fn abort(&self) {
        self.signal(libc::SIGABRT);
    }

    /// Has a JVM write the stacks of all its threads; it goes on. Others end.
    pub fn quit(&self) {
        self.signal(libc::SIGQUIT);
    }

    fn signal(&self, signal: libc::c_int) {
        let (descriptor, none) = (self.descriptor.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // It may have ended already, which is what is wanted.
        // SAFETY: takes numbers, and no details about the signal.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor, signal, none, 0) };
    }
}

/// Can be read once the process has ended.
impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    #[test]
    fn a_child_inherits_what_it_was_handed_and_nothing_else() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let (other, _pair) = UnixStream::pair().expect("a pair of sockets");
        let text = format!(
            "echo hello >&{}; echo to nobody >&{} || echo closed >&{0}",
            theirs.as_raw_fd(),
            other.as_raw_fd()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &text]).stderr(Stdio::null());
        hand_over(&mut command, vec![theirs.into()]);
        let mut child = command.spawn().expect("there is a shell");
        drop(command);
        let mut told = String::new();
        ours.read_to_string(&mut told).expect("until the child ends");
        assert_eq!(told, "hello\nclosed\n");
        child.wait().expect("it is ours");
    }

    #[test]
    fn the_environment_is_left_alone_where_others_may_read_it() {
        let runs = std::thread::spawn(std::thread::park);
        let error = set_variable("MSEC_NO_SUCH", None).expect_err("the test's own threads run");
        assert!(error.to_string().contains("other threads run"), "{error}");
        runs.thread().unpark();
        runs.join().expect("it only waits");
    }

    #[test]
    fn a_target_is_ended_and_may_be_gone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("there is cat");
        let target = Target::of(child.id()).expect("it lives");
        target.kill();
        assert!(!child.wait().expect("it is ours").success());
        target.abort();
    }

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        assert!(inherited(19_999).is_err() && inherited(1).is_err());
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let number = std::os::fd::IntoRawFd::into_raw_fd(ours);
        let mut ours = UnixStream::from(inherited(number).expect("it is open"));
        theirs.write_all(b"x").expect("there is room");
        let mut byte = [0];
        ours.read_exact(&mut byte).expect("a byte");
        assert_eq!(&byte, b"x");
    }
}
