//! One worker as a process: started with its sockets, heard, and waited for.
//!
//! Three threads belong to it, which end with it: one waits for its end, one hears what it tells,
//! one reads what it and its plugin print. All they do is send events to the supervisor, and keep
//! the last lines for a report.

use std::io::{BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use msec::{Error, Result};
use msec_sys::process::{Recent, RecentMemory, Target, hand_over, in_own_session};

use crate::crash::LastLines;
use crate::hook;
use crate::line::{self, FromWorker, ToWorker};
use crate::notice;
use crate::runner::Runner;

/// Longest line that a worker prints; what is longer counts as several.
const LINE_BYTES_MAX: u64 = 8 << 10;

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
        let mut child = command.spawn().map_err(at)?;
        // Closes our copies of what it inherits.
        drop(command);
        let pid = child.id();
        let id = WorkerId { generation, index, pid };
        let target = Target::of(pid).map_err(at)?;
        let lines = Arc::<Mutex<LastLines>>::default();
        let printed = [
            child.stdout.take().map(|out| read_lines(out, index, lines.clone())),
            child.stderr.take().map(|out| read_lines(out, index, lines.clone())),
        ];
        let (heard, told) = (socket.try_clone().map_err(at)?, tell.clone());
        let from = heard.try_clone().map_err(at)?;
        let hear = move || {
            line::hear(from, |line| {
                if let Some(said) = FromWorker::parse(line) {
                    told(id, Event::Said(said));
                }
            });
        };
        let hears = spawn("msec-hears", hear).map_err(at)?;
        let wait = move || {
            let status = wait(child, printed);
            // What it said before its end is to be heard before that: why it failed. All of it is
            // in the socket by now, and the end comes behind it, also if somebody whom the worker
            // forked holds the other side open.
            let _ = heard.shutdown(Shutdown::Read);
            let _ = hears.join();
            tell(id, Event::Ended(status));
        };
        spawn("msec-waits", wait).map_err(at)?;
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

fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

type Printed = Option<mpsc::Receiver<()>>;

/// Waits for the end, and then a little for what was printed before it.
fn wait(mut child: Child, printed: [Printed; 2]) -> ExitStatus {
    let status = child.wait();
    for end in printed.into_iter().flatten() {
        // Whom the worker forked may hold the pipe open for ever.
        let _ = end.recv_timeout(std::time::Duration::from_millis(200));
    }
    // It cannot be waited for only if somebody else did.
    status.unwrap_or_default()
}

/// Passes on what is printed, and keeps the last of it; the receiver hears of its end.
fn read_lines(
    out: impl Read + Send + 'static,
    index: usize,
    lines: Arc<Mutex<LastLines>>,
) -> mpsc::Receiver<()> {
    let (ended, end) = mpsc::channel();
    let read = move || {
        let mut reader = BufReader::new(out);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) => break,
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches('\n');
            lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text);
            notice::pass_on(index, text);
        }
        drop(ended);
    };
    // Without the thread nothing is read, and the end is told at once.
    let _ = spawn("msec-reads", read);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each on a thread of its own, the end came first now and then, and nobody was told why.
    #[test]
    fn what_a_worker_says_at_its_end_is_heard_before_that() {
        let line = FromWorker::Failed("no database".into()).line();
        // A child of it holds its end of the socket open, and prints nothing.
        let script = "sleep 1 >/dev/null 2>&1 & printf '%s\\n' \"$0\" >&${1#--control=}; exit 1";
        for index in 0..50 {
            let order = Order {
                runner: Arc::new(Runner::Plugin("/bin/bash".into(), None)),
                plugin: PathBuf::new(),
                folder: "/".into(),
                told: vec!["-c".into(), script.into(), line.trim_end().into()],
                variables: Vec::new(),
                sockets: Vec::new(),
            };
            let (tell, told) = mpsc::channel();
            let process = Process::start(order, (1, index), move |id, event| {
                tell.send((id, event)).expect("the test listens");
            });
            let process = process.expect("there is a bash");
            let (id, first) = told.recv().expect("an event");
            assert_eq!(id, WorkerId { generation: 1, index, pid: process.pid });
            let Event::Said(FromWorker::Failed(why)) = first else { panic!("{first:?} first") };
            assert_eq!(why, "no database");
            let (_, last) = told.recv().expect("another event");
            assert!(matches!(last, Event::Ended(status) if status.code() == Some(1)), "{last:?}");
        }
    }
}
