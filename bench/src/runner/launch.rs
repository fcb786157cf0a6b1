//! Starting what is measured: a process on its processors, an address of its own, and the wait
//! until it accepts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::certificate::Certificate;
use super::hosted::{Business, Hosted};
use super::jvm::{self, Jvms};
use super::rows::{Contestant, Cpus, Program};
use crate::process;

/// A JVM on a busy machine takes several seconds.
const START_MAX: Duration = Duration::from_secs(20);
const START_POLL: Duration = Duration::from_millis(5);

/// Where the programs are and which processors the bench may use.
#[derive(Clone, Debug)]
pub struct Site {
    /// Binaries of the bench workspace.
    pub bench: PathBuf,
    /// Examples of the main workspace.
    pub examples: PathBuf,
    /// The command `msec`, built there too.
    pub msec: PathBuf,
    /// The C++ peer.
    pub grpc_cpp: PathBuf,
    /// The folder of what is built of `bench/cpp`.
    pub cpp: PathBuf,
    /// JVMs, and what runs on them.
    pub java: Jvms,
    /// Standard error of the servers.
    pub logs: PathBuf,
    /// What servers with TLS show.
    pub certificate: Certificate,
    /// The server's processor.
    pub server_cpu: usize,
    /// The generator's, and that of the far ends of chains.
    pub generator_cpu: usize,
}

impl Site {
    /// The file of a program.
    pub fn path(&self, program: Program) -> PathBuf {
        match program {
            Program::Bench(name) | Program::Mode(name) => self.bench.join(name),
            Program::Example(name) => self.examples.join(name),
            Program::GrpcCpp => self.grpc_cpp.clone(),
            Program::Cpp(name) => self.cpp.join(name),
            Program::Plugin => self.cpp.join("msec.so"),
            Program::Java(_) => self.java.msec.clone(),
            Program::GrpcJava(_) => self.java.grpc.clone(),
        }
    }

    /// What starts it.
    fn command(&self, program: Program) -> Command {
        let path = self.path(program);
        let main = match program {
            Program::Java(_) => jvm::MAIN,
            Program::GrpcJava(_) => "org.msec.bench.peer.EchoServer",
            Program::Bench(_) | Program::Mode(_) | Program::Example(_) => "",
            Program::GrpcCpp | Program::Cpp(_) | Program::Plugin => "",
        };
        match program.jdk() {
            Some(jdk) => self.java.command(jdk, &path, main),
            None => Command::new(path),
        }
    }

    /// The processors of a server.
    pub fn cpus(&self, cpus: Cpus) -> Vec<usize> {
        match cpus {
            Cpus::One => vec![self.server_cpu],
            Cpus::Both => vec![self.server_cpu, self.generator_cpu],
        }
    }
}

/// A server that accepts; killed when dropped.
pub struct Server {
    /// Ends before what it is the host of.
    hosted: Option<Hosted>,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
}

/// How a plugin, or a jar, is run under `msec host`.
pub struct Hosting<'a> {
    /// For the log.
    pub name: &'a str,
    /// Which of them.
    pub business: Business,
    /// Where it may run; as many cores.
    pub cpus: &'a [usize],
    /// Whom its relays ask.
    pub next: Option<SocketAddr>,
    /// Settings of the engine beyond what all rows have, as lines of config.ini.
    pub settings: &'a str,
}

impl Hosting<'_> {
    /// The plugin, in nobody's way.
    pub const PLUGIN: Hosting<'static> =
        Hosting { name: "plugin", business: Business::Plugin, cpus: &[], next: None, settings: "" };
}

/// A line-by-line dialogue with a child: `floor hold`, the generator at its gate.
pub struct Dialogue {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Of a child whose standard input and output are pipes.
    pub fn with(child: &mut Child) -> Self {
        let input = child.stdin.take().expect("the child was started with a pipe to its input");
        let output =
            child.stdout.take().expect("the child was started with a pipe from its output");
        Dialogue { input, output: BufReader::new(output) }
    }

    /// Sends one line.
    pub fn say(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.input, "{line}").map_err(|error| format!("a child does not listen: {error}"))
    }

    /// Sends a word, and reads the number that follows it in the answer.
    pub fn ask(&mut self, word: &str) -> Result<u64, String> {
        self.say(word)?;
        let line = self.hear()?;
        let number = line.strip_prefix(word).and_then(|number| number.trim().parse().ok());
        number.ok_or_else(|| format!("a child answers {word} with {line}"))
    }

    /// Reads one line; an error at the end of the child's output.
    pub fn hear(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err("a child ended before it said what was expected".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(format!("a child's output: {error}")),
        }
    }
}

impl Server {
    /// Starts a contestant; `to` is the next hop of a chain.
    pub fn start(
        site: &Site,
        contestant: &Contestant,
        to: Option<SocketAddr>,
    ) -> Result<Self, String> {
        if contestant.program == Program::Plugin {
            return Self::start_plugin(site, contestant);
        }
        let mut command = site.command(contestant.program);
        command.args(contestant.arguments);
        command.envs(contestant.environment.iter().copied());
        if contestant.tls {
            command.args(site.certificate.flags());
        }
        if let Some(to) = to {
            command.args(["--to", &to.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if contestant.program.jdk().is_some() {
            // It is asked what nobody can see from outside.
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        Self::launch(site, command, contestant.name, &site.cpus(contestant.cpus), None)
    }

    /// Starts a contestant beside the generator, as the far end of a chain.
    pub fn start_beside(site: &Site, contestant: &Contestant) -> Result<Self, String> {
        let mut command = site.command(contestant.program);
        command.args(contestant.arguments).envs(contestant.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::launch(site, command, contestant.name, &[site.generator_cpu], None)
    }

    /// Starts one of several servers that are alike, with a name of its own for its log; at an
    /// address that another one had, or at a free one.
    pub fn start_as(
        site: &Site,
        contestant: &Contestant,
        name: &str,
        address: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let mut command = Command::new(site.path(contestant.program));
        command.args(contestant.arguments).envs(contestant.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::launch(site, command, name, &site.cpus(contestant.cpus), address)
    }

    /// Starts the plugin under `msec host`.
    pub fn start_plugin(site: &Site, contestant: &Contestant) -> Result<Self, String> {
        let cpus = site.cpus(contestant.cpus);
        let name = contestant.name;
        Self::host(site, &Hosting { name, cpus: &cpus, ..Hosting::PLUGIN })
    }

    /// Starts it in a way of its own.
    pub fn host(site: &Site, hosting: &Hosting<'_>) -> Result<Self, String> {
        let address = free_address()?;
        let hosted = Hosted::prepare(site, address, hosting)?;
        let command = hosted.command();
        let mut server = Self::spawn(site, command, hosting.name, hosting.cpus, address)?;
        server.hosted = Some(hosted);
        server.wait_until_served(hosting.name)?;
        Ok(server)
    }

    /// The supervisor's sockets accept before there is a worker, whose process is what is measured.
    fn wait_until_served(&self, name: &str) -> Result<(), String> {
        let begun = process::now_ns();
        while Hosted::worker(self.child.id()).is_none() || !self.answers() {
            if process::now_ns() - begun > START_MAX.as_nanos() as u64 {
                return Err(format!("{name} does not serve: {}", self.last_words()));
            }
            std::thread::sleep(START_POLL);
        }
        Ok(())
    }

    /// Whether it says anything to a request.
    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(START_MAX))?;
            stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            stream.read_exact(&mut [0])
        };
        ask().is_ok()
    }

    /// The host of a plugin.
    pub fn hosted(&self) -> Option<&Hosted> {
        self.hosted.as_ref()
    }

    /// Starts a floor beside the generator, as the far end of a chain.
    pub fn start_far_end(site: &Site, kind: &str) -> Result<Self, String> {
        let mut command = Command::new(site.path(Program::Bench("floor")));
        command.arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::launch(site, command, &format!("floor-{kind}"), &[site.generator_cpu], None)
    }

    fn launch(
        site: &Site,
        mut command: Command,
        name: &str,
        cpus: &[usize],
        address: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let address = address.map_or_else(free_address, Ok)?;
        command.args(["--listen", &address.to_string()]);
        Self::spawn(site, command, name, cpus, address)
    }

    fn spawn(
        site: &Site,
        mut command: Command,
        name: &str,
        cpus: &[usize],
        address: SocketAddr,
    ) -> Result<Self, String> {
        let log = site.logs.join(format!("{name}.err"));
        let sink = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stderr(sink);
        process::pin(&mut command, cpus);
        let child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        let mut server = Server { hosted: None, child, address, log };
        server.wait_until_accepting(name)?;
        Ok(server)
    }

    fn wait_until_accepting(&mut self, name: &str) -> Result<(), String> {
        let begun = process::now_ns();
        while TcpStream::connect(self.address).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{name} ended at its start ({status}): {}", self.last_words()));
            }
            if process::now_ns() - begun > START_MAX.as_nanos() as u64 {
                return Err(format!("{name} does not accept: {}", self.last_words()));
            }
            std::thread::sleep(START_POLL);
        }
        Ok(())
    }

    /// Its process; of a plugin, that of the worker.
    pub fn pid(&self) -> u32 {
        let worker = self.hosted.as_ref().and_then(|_| Hosted::worker(self.child.id()));
        worker.unwrap_or(self.child.id())
    }

    /// Talks with it, where it was started with pipes.
    pub fn dialogue(&mut self) -> Dialogue {
        Dialogue::with(&mut self.child)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last line of its standard error.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing")
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Kills the workers, too.
        self.hosted = None;
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// A generator on its processor, with pipes both ways.
pub fn start_generator(site: &Site, arguments: &[String]) -> Result<Child, String> {
    start_generator_on(site, arguments, &[site.generator_cpu])
}

/// A generator where it may run on these processors.
pub fn start_generator_on(
    site: &Site,
    arguments: &[String],
    cpus: &[usize],
) -> Result<Child, String> {
    let mut command = Command::new(site.path(Program::Bench("generator")));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::pin(&mut command, cpus);
    command.spawn().map_err(|error| format!("the generator does not start: {error}"))
}

/// Whether a file is there to be started.
pub fn is_built(path: &Path) -> bool {
    path.is_file()
}
