//! One worker as a process: started with its sockets, heard, and waited for.
//!
//! One thread belongs to it, which ends with it: it hears what the worker tells and prints, and of
//! its end (`hearing.rs`), sends events to the supervisor, and keeps the last lines for a report.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use msec::{Error, Result};
use msec_sys::process::{Recent, RecentMemory, Target, hand_over, in_own_session};

use crate::crash::LastLines;
use crate::hearing::{Hearing, News};
use crate::hook;
use crate::line::{self, FromWorker, ToWorker};
use crate::notice;
use crate::runner::Runner;

/// Which worker: of which generation, with which index, and which process in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerId {
    pub(crate) generation: u32,
    pub(crate) index: usize,
    pub(crate) pid: u32,
}

/// What a worker did.
#[derive(Debug)]
pub(crate) enum Event {
    Said(FromWorker),
    Ended(ExitStatus),
}

/// What a worker is started with.
pub(crate) struct Order {
    pub(crate) runner: Arc<Runner>,
    /// The copy that it runs.
    pub(crate) plugin: PathBuf,
    pub(crate) folder: PathBuf,
    /// What it is told, but for the numbers of descriptors of its own.
    pub(crate) told: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) sockets: Vec<OwnedFd>,
}

/// A worker that runs.
pub(crate) struct Process {
    pub(crate) pid: u32,
    runner: Arc<Runner>,
    target: Target,
    socket: UnixStream,
    recent: RecentMemory,
    lines: Arc<Mutex<LastLines>>,
    /// Why it was ended, if it was by us.
    pub(crate) cause: Option<String>,
    /// Why it could not start, as it said itself.
    pub(crate) failure: Option<String>,
    /// It has taken calls.
    pub(crate) was_ready: bool,
}

impl Process {
    /// Starts a worker; its events go to `tell`.
    pub(crate) fn start(
        order: Order,
        (generation, index): (u32, usize),
        tell: impl Fn(WorkerId, Event) + Clone + Send + 'static,
    ) -> Result<Process> {
        let Order { runner, plugin, folder, mut told, variables, sockets } = order;
        let start = format!("start {}", runner.program().display());
        let at = |error| Error::from_io(&start, &error);
        let (socket, theirs) = UnixStream::pair().map_err(at)?;
        let recent = RecentMemory::new().map_err(at)?;
        let memory = recent.file().try_clone_to_owned().map_err(at)?;
        told.push(format!("--control={}", theirs.as_raw_fd()));
        told.push(format!("--recent={}", memory.as_raw_fd()));
        let mut command = Command::new(runner.program());
        command
            .args(runner.arguments(&plugin, told))
            .envs(variables)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(preload) = runner.preload() {
            command.env(hook::VARIABLE, preload);
        }
        let mut handed = sockets;
        handed.extend([theirs.into(), memory]);
        hand_over(&mut command, handed);
        in_own_session(&mut command);
        let child = command.spawn().map_err(at)?;
        // Closes our copies of what it inherits.
        drop(command);
        let pid = child.id();
        let id = WorkerId { generation, index, pid };
        let target = Target::of(pid).map_err(at)?;
        let lines = Arc::<Mutex<LastLines>>::default();
        let heard = socket.try_clone().map_err(at)?;
        let hearing = Hearing::of(child, target.try_clone().map_err(at)?, heard);
        let kept = lines.clone();
        let hear = move || {
            hearing.run(|news| match news {
                News::Printed(line) => {
                    kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(line);
                    notice::pass_on(index, line);
                }
                News::Told(line) => {
                    if let Some(said) = FromWorker::parse(line) {
                        tell(id, Event::Said(said));
                    }
                }
                News::Ended(status) => tell(id, Event::Ended(status)),
            });
        };
        thread::Builder::new().name("msec-hears".into()).spawn(hear).map_err(at)?;
        let (cause, failure, was_ready) = (None, None, false);
        Ok(Process { pid, runner, target, socket, recent, lines, cause, failure, was_ready })
    }

    /// Tells it something; if it has gone, its end tells so.
    pub(crate) fn say(&self, to: ToWorker) {
        let _ = line::say(&self.socket, &to.line());
    }

    /// Has it say where it is, and end.
    pub(crate) fn abort(&mut self, why: String) {
        self.cause.get_or_insert(why);
        self.runner.ask_where(&self.target);
    }

    /// Ends it.
    pub(crate) fn kill(&mut self, why: &str) {
        self.cause.get_or_insert_with(|| why.to_owned());
        self.target.kill();
    }

    /// What it wrote last.
    pub(crate) fn lines(&self) -> LastLines {
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// How it ended, for people: by what was done to it, what it wrote last, or how it exited.
    pub(crate) fn why(&self, lines: &LastLines, status: ExitStatus) -> String {
        match (&self.cause, lines.crash()) {
            (Some(cause), Some(crash)) => format!("{cause}; {crash}"),
            (Some(cause), None) => cause.clone(),
            (None, Some(crash)) => crash.to_owned(),
            (None, None) if self.runner.is_jvm() && !self.was_ready => {
                match (lines.java_failure(), status.success()) {
                    (Some(failure), _) => failure,
                    (None, true) => {
                        "its method main returned before it had started a server".into()
                    }
                    (None, false) => ending(status),
                }
            }
            (None, None) => ending(status),
        }
    }

    /// What it was asked last.
    pub(crate) fn requests(&self) -> Vec<Recent> {
        // A report without them is still one.
        self.recent.read().unwrap_or_default()
    }
}

/// How a process ended, for people.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it exited by itself (status 0)".into(),
        (Some(code), _) => format!("it exited (status {code})"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A worker that is a script, which has the number of the socket in `$out`.
    fn start(index: usize, script: &str) -> (Process, mpsc::Receiver<(WorkerId, Event)>) {
        let script = format!("out=${{1#--control=}}; {script}");
        let order = Order {
            runner: Arc::new(Runner::Plugin("/bin/bash".into(), None)),
            plugin: PathBuf::new(),
            folder: "/".into(),
            told: vec!["-c".into(), script, "script".into()],
            variables: Vec::new(),
            sockets: Vec::new(),
        };
        let (tell, told) = mpsc::channel();
        let process = Process::start(order, (1, index), move |id, event| {
            // The test may have heard enough.
            let _ = tell.send((id, event));
        });
        (process.expect("there is a bash"), told)
    }

    /// Each on a thread of its own, the end came first now and then, and nobody was told why.
    #[test]
    fn what_a_worker_says_at_its_end_is_heard_before_that() {
        let line = FromWorker::Failed("no database".into()).line();
        // A child of it holds its end of the socket open, and prints nothing.
        let script = format!("sleep 1 >/dev/null 2>&1 & echo '{line}' >&$out; exit 1");
        for index in 0..50 {
            let (process, told) = start(index, &script);
            let (id, first) = told.recv().expect("an event");
            assert_eq!(id, WorkerId { generation: 1, index, pid: process.pid });
            let Event::Said(FromWorker::Failed(why)) = first else { panic!("{first:?} first") };
            assert_eq!(why, "no database");
            let (_, last) = told.recv().expect("another event");
            assert!(matches!(last, Event::Ended(status) if status.code() == Some(1)), "{last:?}");
        }
    }

    /// So that the log of a host reads in the order of what happened.
    #[test]
    fn what_a_worker_prints_is_heard_before_what_it_tells_after_it() {
        for index in 0..50 {
            let (process, told) = start(index, "echo one; echo two >&2; echo ready >&$out");
            let (_, first) = told.recv().expect("an event");
            assert!(matches!(first, Event::Said(FromWorker::Ready)), "{first:?} first");
            assert_eq!(process.lines().iter().collect::<Vec<_>>(), ["one", "two"]);
        }
    }
}
