//! The part of the demo that is C++: cpp-examples/plugin, run by `msec host`, which asks the relay
//! for each echo; and those who call it: this program all the time, and at the end a C++ program,
//! `msec call` and curl. On the way it is reloaded, which nobody may notice.
//!
//! `DEMO_CPP` names the folder with what was built of cpp-examples. Without it this part is left
//! out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};

use crate::service;

const SERVICE: &str = "Demo.plugin";
const METHOD: &str = "echo.EchoService.Echo";
/// An echo of "hello", as JSON has it.
const HELLO: &str = r#"{"message":"aGVsbG8="}"#;
/// Of those at the end: four by the C++ program, whose fifth is of a method that is not there, and
/// one each by the others.
const CALLS_BY_OTHERS: u64 = 6;
/// The pause between two of our calls.
const REST: Duration = Duration::from_millis(2);
/// How long a call may take that is not lost. On two CPUs with twenty threads that compute, a
/// worker that has little to do was seen to wait a second until it was given one.
const PATIENCE: Duration = Duration::from_secs(20);

/// An expectation: whether it was met, what, and the figures.
pub(crate) type Expectation = (bool, String, String);

/// The plugin under its host. Dropped, it is killed.
pub(crate) struct Plugin {
    root: PathBuf,
    built: PathBuf,
    host: Child,
    address: String,
    reloads: u64,
    caller: Option<Caller>,
}

/// A thread that calls it all the time.
struct Caller {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    /// Ends with why the first one failed.
    thread: JoinHandle<Option<msec::Error>>,
}

impl Plugin {
    /// Starts it, if it was built; it calls `next`.
    pub(crate) fn start(next: &str) -> Result<Option<Plugin>, String> {
        let Some(built) = std::env::var_os("DEMO_CPP").map(PathBuf::from) else { return Ok(None) };
        let root = std::env::temp_dir().join(format!("msec-demo-{}", std::process::id()));
        let folder = root.join(SERVICE.replace('.', "/"));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("bin")).map_err(failed)?;
        fs::create_dir_all(folder.join("etc")).map_err(failed)?;
        fs::create_dir_all(folder.join("log")).map_err(failed)?;
        let module = built.join("msec.so");
        fs::copy(&module, folder.join("bin/msec.so"))
            .map_err(|error| format!("{}: {error}", module.display()))?;
        let config =
            format!("[SRPC]\nlisten = 127.0.0.1:0/tcp\ncores = 1\n[ECHO]\nnext = {next}\n");
        fs::write(folder.join("etc/config.ini"), config).map_err(failed)?;
        let log = fs::File::create(folder.join("log/host.log")).map_err(failed)?;
        let mut command = service::command(&msec());
        command.args(["host", "start", SERVICE, "--foreground", "--root"]).arg(&root);
        let mut host = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", msec().display()))?;
        let mut line = String::new();
        if let Some(out) = host.stdout.take() {
            // An error is an end, which is looked at below.
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let mut plugin =
            Plugin { root, built, host, address: String::new(), reloads: 0, caller: None };
        if line.is_empty() {
            let log = fs::read_to_string(folder.join("log/host.log")).unwrap_or_default();
            return Err(format!("the plugin does not start: {log}"));
        }
        let shown = plugin.host("show")?;
        let listens = shown.lines().find_map(|line| line.strip_prefix("listens "));
        plugin.address = listens.unwrap_or_default().trim().to_owned();
        plugin.caller = Some(Caller::start(&plugin.address)?);
        Ok(Some(plugin))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Has it loaded anew, under load.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        self.host("reload")?;
        self.reloads += 1;
        Ok(())
    }

    /// Has it called by everybody, and ends it; how often it was called, and what was seen.
    pub(crate) fn end(mut self) -> Result<(u64, Vec<Expectation>), String> {
        let (mut calls, mut seen) = (CALLS_BY_OTHERS, Vec::new());
        let mut client = Command::new(self.built.join("client"));
        seen.push(called("a C++ program calls the C++ plugin", client.arg(&self.address), "hello"));
        let mut call = Command::new(msec());
        call.args(["call", &self.address, METHOD, "0a0568656c6c6f", "--hex"]);
        seen.push(called("`msec call` calls it", &mut call, "0a0568656c6c6f"));
        let mut curl = Command::new("curl");
        let url = format!("http://{}/echo.EchoService/Echo", self.address);
        curl.args(["-s", "--max-time", "5", "-H", "content-type: application/json"]);
        seen.push(called("curl calls it", curl.args(["-d", HELLO, &url]), "aGVsbG8="));
        if let Some(caller) = self.caller.take() {
            let (answered, failed, why) = caller.end();
            calls += answered + failed;
            let text = format!("{answered} calls, {failed} failed, reloads: {}{why}", self.reloads);
            // A short run has none.
            let reloaded = if self.reloads > 0 { ", also while it is reloaded" } else { "" };
            let what = format!("the C++ plugin answers{reloaded}");
            seen.push((answered > 0 && failed == 0, what, text));
        }
        self.host("stop")?;
        Ok((calls, seen))
    }

    /// Runs `msec host`; what it says.
    fn host(&self, verb: &str) -> Result<String, String> {
        let mut command = Command::new(msec());
        let output = command.args(["host", verb, SERVICE, "--root"]).arg(&self.root).output();
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Most often it has ended.
        let _ = self.host("kill");
        let _ = self.host.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Caller {
    fn start(address: &str) -> Result<Caller, String> {
        let config = Config::from_env().map_err(|error| error.to_string())?;
        let engine = Engine::with(config.cores(1)).map_err(|error| error.to_string())?;
        let client = Client::new(&engine, address).map_err(|error| error.to_string())?;
        let stop = Arc::<AtomicBool>::default();
        let (answered, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stops, answers, fails) = (stop.clone(), answered.clone(), failed.clone());
        let thread = std::thread::spawn(move || {
            let _engine = engine;
            // A channel that nobody sends on is a sleep that needs no clock of its own.
            let (_tell, told) = mpsc::channel::<()>();
            let options = CallOptions::new().timeout(PATIENCE);
            let mut first = None;
            while !stops.load(Ordering::Acquire) {
                let outcome = client.call_raw(METHOD, b"\x0a\x05hello", &options);
                let counted = if outcome.is_ok() { &answers } else { &fails };
                counted.fetch_add(1, Ordering::Release);
                first = first.or(outcome.err());
                let _ = told.recv_timeout(REST);
            }
            first
        });
        Ok(Caller { stop, answered, failed, thread })
    }

    /// Calls answered and failed, and why the first one failed.
    fn end(self) -> (u64, u64, String) {
        self.stop.store(true, Ordering::Release);
        // It does not panic.
        let first = self.thread.join().ok().flatten();
        let why = first.map_or_else(String::new, |error| format!("; {error}"));
        (self.answered.load(Ordering::Acquire), self.failed.load(Ordering::Acquire), why)
    }
}

/// The command beside the examples.
fn msec() -> PathBuf {
    let demo = std::env::current_exe().unwrap_or_default();
    demo.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("msec")
}

/// Runs a command that is to say something.
fn called(what: &str, command: &mut Command, expect: &str) -> Expectation {
    let what = what.to_owned();
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = said.lines().next().unwrap_or_default().to_owned();
            (output.status.success() && line.contains(expect), what, line)
        }
        Err(error) => (false, what, format!("{}: {error}", command.get_program().display())),
    }
}
