//! Child processes: the test program once more, for one test, in other circumstances.
//!
//! What changes a process for good (limits of files, forbidden system calls, a crash) happens in a
//! child. A test that needs one begins like this:
//!
//! ```no_run
//! # fn story() {}
//! use msec_tests::Child;
//! if Child::is_running("files") {
//!     return story();
//! }
//! let child = Child::of_test("the_name_of_this_test", "files", &[("MSEC_IO", "epoll")]);
//! ```
//!
//! The child says what its parent is to know on standard output, in lines that begin with
//! `MARK`; the test harness writes there, too.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use crate::{PATIENCE, wait_at_most};

/// The variable that tells a child what it is.
const ROLE: &str = "MSEC_TESTS_CHILD";
/// What lines for the parent begin with.
const MARK: &str = "child: ";

/// A child process. Dropped, it is killed.
pub struct Child {
    process: process::Child,
    said: mpsc::Receiver<String>,
    stderr: Option<JoinHandle<()>>,
    wrote: Arc<Mutex<Vec<u8>>>,
}

impl Child {
    /// Whether this process is a child in that role.
    pub fn is_running(role: &str) -> bool {
        std::env::var(ROLE).is_ok_and(|value| value == role)
    }

    /// Tells the parent something, in one line.
    pub fn say(text: &str) {
        // Past the harness, which holds back what a test prints.
        let mut out = std::io::stdout().lock();
        // The harness writes the name of the test without ending the line.
        writeln!(out, "\n{MARK}{text}").and_then(|()| out.flush()).unwrap();
    }

    /// Waits until the parent closes our standard input, which it does when it ends, too.
    pub fn wait_for_parent() {
        let _ = std::io::stdin().read(&mut [0]);
    }

    /// Starts one test of this program in a role, with more variables in its environment.
    pub fn of_test(test: &str, role: &str, variables: &[(&str, &str)]) -> Self {
        Self::start(Self::command(test), role, variables)
    }

    /// As [`Child::of_test`], in a network of its own.
    pub fn within(
        namespace: &crate::Namespace,
        test: &str,
        role: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = namespace.command(&std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        Self::start(command, role, variables)
    }

    /// Runs a story of [`on_both`](crate::on_both) in a process of its own, where nothing else
    /// uses memory or fails on purpose, with all the files open that a story needs: shells allow
    /// 1024 unless they are asked. `module` is the story's `module_path!()`.
    #[track_caller]
    pub fn alone(module: &str, io: msec::Io, story: impl FnOnce()) {
        if Self::is_running("alone") {
            return story();
        }
        let mut command = Command::new("sh");
        let most = "ulimit -Sn 20000 || ulimit -Sn \"$(ulimit -Hn)\"; exec \"$@\"";
        command.args(["-c", most, "sh"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", &test_name(module, io), "--nocapture", "--test-threads=1"]);
        let child = Self::start(command, "alone", &[]);
        let (status, stderr) = child.wait();
        eprintln!("{stderr}");
        assert!(status.success(), "{stderr}");
    }

    /// Runs a story of [`on_both`](crate::on_both) as root. For a user who is not, that is a
    /// process in a user namespace, which everybody may make, with a network of its own.
    #[track_caller]
    pub fn as_root(module: &str, io: msec::Io, story: impl FnOnce()) {
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            return story();
        }
        // `ip` keeps its namespaces in /run, and a new network has its loopback down.
        let ready = "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount", "sh", "-c", ready, "sh"]);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", &test_name(module, io), "--nocapture", "--test-threads=1"]);
        let (status, stderr) = Self::start(command, "root", &[]).wait();
        eprintln!("{stderr}");
        assert!(status.success(), "as root of a namespace: {status}; {stderr}");
    }

    /// As [`Child::of_test`], with at most so many files open.
    pub fn with_files_max(
        files: usize,
        test: &str,
        role: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::with_limit("-n", files, test, role, variables)
    }

    /// As [`Child::of_test`], with at most so many KiB of address space.
    pub fn with_memory_max(kib: usize, test: &str, role: &str, variables: &[(&str, &str)]) -> Self {
        Self::with_limit("-v", kib, test, role, variables)
    }

    fn with_limit(
        option: &str,
        value: usize,
        test: &str,
        role: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        let limited = "ulimit \"$1\" \"$2\"; shift 2; exec \"$@\"";
        command.args(["-c", limited, "sh", option, &value.to_string()]);
        command.arg(program).args(["--exact", test, "--nocapture", "--test-threads=1"]);
        Self::start(command, role, variables)
    }

    /// Starts any program.
    pub fn of_program(program: &std::path::Path, arguments: &[&str]) -> Self {
        Self::of_program_given(program, arguments, Stdio::piped())
    }

    /// As [`Child::of_program`], with that as its standard input. No other child gets it.
    pub fn of_program_given(
        program: &std::path::Path,
        arguments: &[&str],
        given: impl Into<Stdio>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env(ROLE, "");
        Self::spawn(command.stdin(given))
    }

    fn command(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command
    }

    fn start(mut command: Command, role: &str, variables: &[(&str, &str)]) -> Self {
        command.env(ROLE, role).envs(variables.iter().copied());
        Self::spawn(command.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = mpsc::channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The parent may have lost its interest.
                let _ = tell.send(line);
            }
        });
        let mut stderr = process.stderr.take().unwrap();
        let wrote: Arc<Mutex<Vec<u8>>> = Arc::default();
        let ours = wrote.clone();
        let stderr = std::thread::spawn(move || {
            let mut memory = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut memory) {
                ours.lock().unwrap().extend_from_slice(&memory[..count]);
            }
        });
        Self { process, said, stderr: Some(stderr), wrote }
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.wrote.lock().unwrap()).into_owned()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it says to us.
    #[track_caller]
    pub fn said(&self) -> String {
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix(MARK) {
                return text.into();
            }
        }
    }

    /// The next line of its standard output, whatever it is.
    #[track_caller]
    pub fn line(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("the child was to say something")
    }

    /// Sends it a signal by name, as `kill` spells it.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Tells it to end.
    pub fn release(&mut self) {
        self.process.stdin.take();
    }

    /// Waits for its end; its status, and what it wrote to standard error.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.release();
        let mut status = None;
        // A child is a test of its own, with the waits of one.
        wait_at_most(4 * PATIENCE, "the end of a child process", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        self.stderr.take().unwrap().join().unwrap();
        (status.unwrap(), self.stderr())
    }
}

/// The name of a test that [`on_both`](crate::on_both) made, from its `module_path!()`.
pub fn test_name(module: &str, io: msec::Io) -> String {
    let story = module.split_once("::").map_or(module, |(_program, story)| story);
    let io = match io {
        msec::Io::Uring => "uring",
        msec::Io::Epoll => "epoll",
        msec::Io::Auto => unreachable!("a story runs on a back end"),
    };
    format!("{story}::{io}")
}

impl Drop for Child {
    fn drop(&mut self) {
        // Most are dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory of a process in bytes; of this one without an id.
pub fn rss_bytes(id: Option<u32>) -> usize {
    let id = id.map_or("self".to_owned(), |id| id.to_string());
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    // Every machine that we run on has pages of 4 KiB.
    pages * 4096
}

/// CPU time that all threads of a process have used so far, in milliseconds.
pub fn cpu_ms(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = |index: usize| after_name.split_whitespace().nth(index).unwrap().parse::<u64>();
    // proc_pid_stat(5): utime is field 14 and stime 15, in ticks of 10 ms; the name is field 2.
    (ticks(11).unwrap() + ticks(12).unwrap()) * 10
}
