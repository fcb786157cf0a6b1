//! The real binary, and servers for it to call: in this process, or in a child of this process.
//!
//! A child is this test binary once more, restricted to the test that [`Child`] names, with
//! `MSEC_TEST_LISTEN` set: the test then serves until its standard input ends, which it does at the
//! latest when the test process dies.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use msec::{Config, Engine, Error, Server, ServerBuilder};

pub(crate) const ECHO: &str = "echo.EchoService.Echo";
const LISTEN: &str = "MSEC_TEST_LISTEN";

/// The binary, ready to be given arguments.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_msec"))
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("no signal kills it"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn msec(arguments: &[&str]) -> Ran {
    command().args(arguments).output().expect("the binary runs").into()
}

/// With something on its standard input.
pub(crate) fn msec_reading(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(input).expect("it reads all of it");
    child.wait_with_output().expect("the binary ends").into()
}

/// The .proto of the echo service.
pub(crate) fn proto() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../core/examples/echo.proto").to_owned()
}

/// A name in the folder for temporary files of tests.
pub(crate) fn temporary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// A server in this process, with its engine.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) engine: Engine,
}

impl Served {
    pub(crate) fn address(&self) -> String {
        self.server.addresses()[0].clone()
    }
}

/// The builder of a server that echoes bodies; an `EchoResponse` looks as its `EchoRequest` does.
pub(crate) fn echo() -> ServerBuilder {
    Server::builder().raw(ECHO, |context| Ok(context.body().to_vec()))
}

pub(crate) fn serve(builder: ServerBuilder, address: &str) -> Served {
    let config = Config::from_env().expect("the environment makes sense");
    let engine = Engine::with(config.cores(1)).expect("an engine starts");
    let server = builder.listen(address).start(&engine).expect("a server starts");
    Served { server, engine }
}

/// A method that fails when the body says so.
pub(crate) fn failing(builder: ServerBuilder) -> ServerBuilder {
    builder.raw("test.Service.Fail", |context| match context.body() {
        b"fail" => Err(Error::failed("as it was told to")),
        other => Ok(other.to_vec()),
    })
}

/// An echo server in a process of its own, which can be stopped and killed.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: String,
}

impl Child {
    /// `test` is the name of the test that calls [`serve_as_child`].
    pub(crate) fn start(test: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a test has a binary"))
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(LISTEN, "127.0.0.1:0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a test binary can run itself");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut said = lines.map_while(Result::ok);
        // The harness may have left a line of its own unfinished.
        let address = said
            .find_map(|line| line.split_once("listens on ").map(|(_, address)| address.to_owned()))
            .expect("the child says where it listens");
        Self { process, address }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    /// Stops the process, and waits until none of its threads runs: on another CPU one may go on
    /// for a moment.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.process.id());
        let (_tell, told) = std::sync::mpsc::channel::<()>();
        let runs = |task: &std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // After the name, which is in parentheses, comes the state.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('T'))
        };
        for _ in 0..1000 {
            let threads = std::fs::read_dir(&tasks).expect("it lives");
            if !threads.flatten().any(|task| runs(&task)) {
                return;
            }
            let _ = told.recv_timeout(Duration::from_millis(1));
        }
        panic!("the process did not stop");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status()
        .expect("there is a shell");
    assert!(status.success(), "kill -{name} {process}");
}

/// Serves if this process is a child; whether it was.
pub(crate) fn serve_as_child() -> bool {
    let Ok(address) = std::env::var(LISTEN) else { return false };
    let served = serve(echo(), &address);
    println!("listens on {}", served.address());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    true
}

/// A run of the binary whose lines on standard error are read while it runs.
pub(crate) struct Watched {
    process: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watched {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        // A shell that runs the tests in its background has them ignore Ctrl-C, and ignoring is
        // inherited. `env` is replaced by the binary, so the process is the binary's.
        let binary = command();
        let mut process = Command::new("env")
            .arg("--default-signal=INT")
            .arg(binary.get_program())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = BufReader::new(process.stderr.take().expect("piped"));
        let (tell, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self { process, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that contains `part`.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("a line in time");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends that signal again and again until it dies of one; the signal's number.
    pub(crate) fn wait_for_death_by(mut self, name: &str) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let (tell, told) = std::sync::mpsc::channel::<()>();
        for _ in 0..1000 {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status.signal();
            }
            signal(self.id(), name);
            let _ = told.recv_timeout(Duration::from_millis(10));
        }
        drop(tell);
        self.process.kill().expect("it is ours");
        None
    }

    /// Waits for its end; what it printed.
    pub(crate) fn end(self) -> Ran {
        let output = self.process.wait_with_output().expect("the binary ends");
        let mut ran = Ran::from(output);
        ran.stderr = self.lines.iter().collect::<Vec<_>>().join("\n");
        ran
    }
}
