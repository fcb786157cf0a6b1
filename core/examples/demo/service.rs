//! A service of the demo: a process of its own, an example that anybody can start by hand.
//!
//! The process says on standard output where it listens, and at its end what it has served (see
//! `served`). What it says on standard error is kept and shown if something goes wrong.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a service may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running service. Dropped, it is killed.
pub(crate) struct Service {
    name: &'static str,
    process: Child,
    said: mpsc::Receiver<String>,
    complaints: Option<JoinHandle<String>>,
    address: String,
}

/// What a service did in its life, by its own account.
pub(crate) struct Served {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

impl Service {
    /// Starts the example of that name beside this program; it listens when this returns.
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> Result<Self, String> {
        let demo = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
        let program = demo.with_file_name(name);
        let mut process = command(&program)
            .args(arguments)
            // Ctrl-C is for the demo, which then ends its services one after another.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let said = lines(process.stdout.take());
        let stderr = process.stderr.take();
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                // What cannot be read is only missing from a message.
                let _ = stderr.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let complaints = Some(complaints);
        let mut service = Self { name, process, said, complaints, address: String::new() };
        let Ok(line) = service.said.recv_timeout(PATIENCE) else {
            return Err(service.failed("does not start"));
        };
        let after = line.split(" listens on ").nth(1).and_then(|rest| rest.split(' ').next());
        service.address = after.unwrap_or_default().to_owned();
        Ok(service)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// CPU time that the service has used so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        cpu_ns(&self.process.id().to_string())
    }

    /// Asks it to end with SIGTERM, waits until it has drained, and returns its account.
    pub(crate) fn stop(mut self) -> Result<Served, String> {
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-s", "TERM", &id]).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(self.failed("cannot be sent SIGTERM"));
        }
        let mut served = None;
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => served = served.or_else(|| Served::parse(&line)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(self.failed("does not end")),
            }
        }
        // Its output has ended, so it is about to.
        let status = self.process.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(self.failed(&format!("ended with {status}")));
        }
        served.ok_or_else(|| self.failed("did not say what it had served"))
    }

    fn failed(&mut self, what: &str) -> String {
        // It may be dead already.
        let _ = self.process.kill();
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok());
        let complaints = complaints.unwrap_or_default();
        format!("the service `{}` {what}\n{complaints}", self.name).trim_end().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Most have ended by themselves.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Served {
    fn parse(line: &str) -> Option<Self> {
        let words = line.strip_prefix("served ")?;
        let value = |name: &str| {
            let mut values = words.split(' ').filter_map(|word| word.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let number = |name| value(name)?.parse::<u64>().ok();
        let ns = |name| value(name)?.parse::<f64>().ok().map(|us| (us * 1000.0) as u64);
        Some(Self {
            calls: number("calls")?,
            failed: number("failed")?,
            p50_ns: ns("p50_us")?,
            p99_ns: ns("p99_us")?,
            max_ns: ns("max_us")?,
        })
    }
}

/// A command that is sent SIGTERM should this process die without ending it; where the tool for
/// that is missing, a plain one.
pub(crate) fn command(program: &Path) -> Command {
    const WITH_US: [&str; 3] = ["--pdeathsig", "TERM", "--"];
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !quiet(Command::new("setpriv").args(WITH_US).arg("true")) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(WITH_US).arg(program);
    command
}

fn lines(stdout: Option<ChildStdout>) -> mpsc::Receiver<String> {
    let (tell, said) = mpsc::channel();
    let read = move || {
        let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
        for line in lines.map_while(Result::ok) {
            // Whoever has heard enough does not listen any more.
            let _ = tell.send(line);
        }
    };
    std::thread::spawn(read);
    said
}

/// CPU time that a process has used so far, in nanoseconds; 0 where it cannot be told.
pub(crate) fn cpu_ns(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // proc_pid_stat(5): the second field is a name in parentheses, in which anything may stand;
    // utime is field 14 and stime 15, in ticks of 10 ms.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.map_while(|text| text.parse::<u64>().ok()).sum::<u64>() * 10_000_000
}
