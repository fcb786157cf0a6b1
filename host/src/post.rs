//! A worker's post: what it has of its supervisor, and what it does for it. The same in a worker
//! that runs a plugin and in a JVM.
//!
//! ```text
//!   take ─► (an engine, methods) ─► adopt the sockets ─► serve ─► told to end ─► leave
//!    │                                                    │                        │
//!    └ descriptors, the line,                             └ `ready`, then `alive`  └ connections
//!      the memory of recent requests                        each second              to the heirs
//! ```
//!
//! Descriptors are taken over once, at the beginning, so that nothing that this process starts
//! inherits them.

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use msec::{Code, Engine, Error, Handed, Result, Server, ServerBuilder, ServerTls};
use msec_sys::process;

use crate::arguments::Arguments;
use crate::followed::Followed;
use crate::ini::Ini;
use crate::line::{self, FromWorker, ToWorker};
use crate::settings::Tls;
use crate::sockets::parse_argument;

/// How often a worker shows a sign of life, and looks whether its configuration has changed.
const ALIVE_REST: Duration = Duration::from_secs(1);
/// How long peers have to leave a worker whose supervisor is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// What a worker has of its supervisor.
pub struct Post {
    arguments: Arguments,
    control: UnixStream,
    heirs: OwnedFd,
    inherits: OwnedFd,
    sockets: Vec<(String, Vec<OwnedFd>)>,
    ini: Ini,
    tell: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
}

/// What a worker waits for.
enum Heard {
    Told(ToWorker),
    /// The supervisor is gone.
    Orphaned,
    /// SIGTERM, from whoever.
    Signal,
}

impl Post {
    /// Takes over what the arguments name. Once a process, before an engine is started.
    ///
    /// # Errors
    /// -1 for an argument that is none; -2 for a descriptor that is not there.
    pub fn take(arguments: &[String]) -> Result<Post> {
        let at = |error| Error::from_io("start a worker", &error);
        let arguments = Arguments::parse(arguments)?;
        let control = UnixStream::from(inherit(arguments.control, "control")?);
        let recent = inherit(arguments.recent, "recent")?;
        process::keep_recent(&recent).map_err(at)?;
        let heirs = inherit(arguments.heirs, "heirs")?;
        let inherits = inherit(arguments.inherits, "inherits")?;
        let mut sockets = Vec::new();
        for text in &arguments.listen {
            let wrong = || Error::new(Code::INVALID_PARAMETER, format!("--listen={text}"));
            let (address, numbers) = parse_argument(text).ok_or_else(wrong)?;
            let taken = numbers.into_iter().map(|number| inherit(number, address));
            sockets.push((address.to_owned(), taken.collect::<Result<_>>()?));
        }
        let ini = Ini::parse(std::fs::read(&arguments.config).unwrap_or_default())?;
        let (tell, heard) = mpsc::channel();
        let hears = control.try_clone().map_err(at)?;
        let told = tell.clone();
        spawn("msec-hears", move || {
            line::hear(hears, |line| {
                if let Some(to) = ToWorker::parse(line) {
                    let _ = told.send(Heard::Told(to));
                }
            });
            let _ = told.send(Heard::Orphaned);
        })?;
        Ok(Post { arguments, control, heirs, inherits, sockets, ini, tell, heard })
    }

    /// What it was started with.
    pub(crate) fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// `L1.L2`.
    pub fn service(&self) -> &str {
        &self.arguments.service
    }

    /// `[SRPC] conf`.
    pub fn conf(&self) -> &str {
        &self.arguments.conf
    }

    /// The whole of config.ini.
    pub fn ini(&self) -> &Ini {
        &self.ini
    }

    /// Which of the workers this is, from 0.
    pub fn worker(&self) -> usize {
        self.arguments.index
    }

    /// Another way to the same supervisor, for what is to be said when this is gone.
    pub(crate) fn line(&self) -> Result<UnixStream> {
        self.control.try_clone().map_err(|error| Error::from_io("start a worker", &error))
    }

    /// Waits for SIGTERM on behalf of whoever serves. The signals are held on all threads by now.
    pub(crate) fn wait_for_signals(&self) -> Result<()> {
        let tell = self.tell.clone();
        spawn("msec-signals", move || {
            // Held here, too: threads inherit it.
            if let Ok(held) = process::TerminationSignals::block() {
                held.wait();
                let _ = tell.send(Heard::Signal);
            }
        })
    }

    /// Lets some time pass in which it is not ready yet.
    ///
    /// # Errors
    /// -103 it is to end.
    pub(crate) fn rest(&self, time: Duration) -> Result<()> {
        match self.heard.recv_timeout(time) {
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
            Ok(_) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(Error::new(Code::CANCELLED, "it was told to end before it was ready"))
            }
        }
    }

    /// A server with the pages and the certificate of the configuration.
    pub fn builder(&self) -> ServerBuilder {
        let mut builder = Server::builder();
        for address in &self.arguments.admin {
            builder = builder.admin(address.as_str());
        }
        if let Some(Tls { certificate, key, client_ca }) = &self.arguments.tls {
            let tls = ServerTls::new(certificate, key);
            builder = builder.tls(match client_ca {
                Some(ca) => tls.client_ca(ca),
                None => tls,
            });
        }
        builder
    }

    /// Has a server listen with the sockets of the supervisor, and starts it. `alive` is asked each
    /// second whether all is well beside the cores of the engine; without a yes for `[SRPC]
    /// heartbeat` seconds the worker is replaced.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`]; -2 for a supervisor that is gone.
    pub fn serve(
        mut self,
        mut builder: ServerBuilder,
        engine: &Engine,
        alive: impl FnMut() -> bool + Send + 'static,
    ) -> Result<Serving> {
        for (address, sockets) in self.sockets.drain(..) {
            builder = builder.adopt(address, sockets);
        }
        let server = Arc::new(builder.start(engine)?);
        let inheritance = Inheritance::take(&server, self.inherits)?;
        let at = |error| Error::from_io("start a worker", &error);
        line::say(&self.control, &FromWorker::Ready.line()).map_err(at)?;
        let followed = Followed::new(self.arguments.config);
        let life = Life { engine: engine.clone(), followed, control: self.control };
        life.show(&server, alive)?;
        Ok(Serving { server, heirs: self.heirs, inheritance, heard: self.heard, told: None })
    }
}

/// A worker that takes calls.
pub struct Serving {
    server: Arc<Server>,
    heirs: OwnedFd,
    inheritance: Inheritance,
    heard: mpsc::Receiver<Heard>,
    told: Option<ToWorker>,
}

impl Serving {
    /// The server itself.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Blocks until it is to end.
    pub fn wait(&mut self) {
        self.told = Some(match self.heard.recv() {
            Ok(Heard::Told(told)) => told,
            Ok(Heard::Orphaned | Heard::Signal) | Err(_) => ToWorker::Leave(ORPHAN_GRACE),
        });
    }

    /// Ends it as it was told: gives its connections away or lets its peers leave, and answers what
    /// is under way. No call is lost.
    ///
    /// # Errors
    /// -2 a thread cannot be started.
    pub fn leave(self) -> Result<()> {
        // What others bequeath now is for those who come next.
        self.inheritance.end();
        let server = self.server;
        match self.told.unwrap_or(ToWorker::Leave(ORPHAN_GRACE)) {
            ToWorker::Leave(grace) => server.stop(grace),
            ToWorker::Bequeath(grace) => {
                let bequest = Bequest::to(self.heirs)?;
                let gives = bequest.gives.clone();
                server.hand_over(move |handed| {
                    // The thread at the other end lives until the server has stopped.
                    let _ = gives.send(Some(handed));
                });
                server.stop(grace);
                bequest.end();
            }
        }
        msec::log::flush(Duration::from_secs(1));
        Ok(())
    }
}

/// What shows that a worker lives.
struct Life {
    engine: Engine,
    followed: Followed,
    control: UnixStream,
}

impl Life {
    /// Tells the supervisor each second that all cores have looked, and follows config.ini
    /// meanwhile, on a thread of its own.
    fn show(
        mut self,
        server: &Arc<Server>,
        mut alive: impl FnMut() -> bool + Send + 'static,
    ) -> Result<()> {
        let server = Arc::downgrade(server);
        spawn("msec-alive", move || {
            // A channel that nobody sends on is a sleep that needs no clock of its own.
            let (_tell, told) = mpsc::channel::<()>();
            while let Some(server) = server.upgrade() {
                // Comes back when each core has looked.
                server.load();
                drop(server);
                let line = FromWorker::Alive.line();
                if alive() && line::say(&self.control, &line).is_err() {
                    return;
                }
                self.followed.look(&self.engine);
                let _ = told.recv_timeout(ALIVE_REST);
            }
        })
    }
}

/// A thread that takes over the connections of workers which end.
struct Inheritance {
    bell: UnixStream,
    thread: JoinHandle<()>,
}

impl Inheritance {
    fn take(server: &Arc<Server>, from: OwnedFd) -> Result<Inheritance> {
        let at = |error| Error::from_io("take over connections", &error);
        let (bell, listens) = UnixStream::pair().map_err(at)?;
        let (server, listens) = (Arc::downgrade(server), OwnedFd::from(listens));
        let take = move || {
            while let Ok(Some((socket, bytes))) = process::receive(&from, &listens) {
                let Some(server) = server.upgrade() else { return };
                server.take(Handed { socket, bytes });
            }
        };
        let thread = std::thread::Builder::new().name("msec-inherits".into()).spawn(take);
        Ok(Inheritance { bell, thread: thread.map_err(at)? })
    }

    /// Takes no more; what it has taken is the server's.
    fn end(self) {
        // Its end rings it.
        drop(self.bell);
        let _ = self.thread.join();
    }
}

/// A thread that gives connections to those who come next: to send them may block.
struct Bequest {
    /// `None` is the end.
    gives: mpsc::Sender<Option<Handed>>,
    thread: JoinHandle<()>,
}

impl Bequest {
    fn to(heirs: OwnedFd) -> Result<Bequest> {
        let (gives, given) = mpsc::channel::<Option<Handed>>();
        let give = move || {
            while let Ok(Some(Handed { socket, bytes })) = given.recv() {
                if let Err(error) = process::pass(&heirs, &socket, &bytes) {
                    // Its peer sees the end of the connection, and calls again.
                    eprintln!("msec-worker: a connection is not handed over: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("msec-bequeaths".into()).spawn(give);
        let thread = thread.map_err(|error| Error::from_io("start a thread", &error))?;
        Ok(Bequest { gives, thread })
    }

    /// Waits until all are given that were there before.
    fn end(self) {
        let _ = self.gives.send(None);
        let _ = self.thread.join();
    }
}

fn inherit(number: RawFd, what: &str) -> Result<OwnedFd> {
    let inherited = process::inherited(number);
    inherited
        .map_err(|error| Error::from_io(&format!("take over descriptor {number} ({what})"), &error))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map(drop).map_err(|error| Error::from_io("start a thread", &error))
}
