//! A worker: an engine, the plugin, and a line to the supervisor.
//!
//! This runs inside of libmsec, which `msec-worker` opens, so that the plugin and the worker have
//! one engine. How a plugin is loaded is the business of whoever calls [`run`]; here it is a
//! [`Business`]: things to do in this order.
//!
//! ```text
//!   load ─► engine ─► install (the plugin's init) ─► ready? ─► sockets ─► serve ─► leave ─► fini
//! ```

use std::fs;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use msec::dye::Rule;
use msec::{Code, Config, Engine, Error, Handed, Result, Server, ServerBuilder, ServerTls};
use msec_sys::process;

use crate::ini::Ini;
use crate::line::{self, FromWorker, ToWorker};
use crate::place::Place;
use crate::settings::{Settings, Tls};
use crate::sockets::parse_argument;

/// How often a worker shows a sign of life, and looks whether its configuration has changed.
const ALIVE_REST: Duration = Duration::from_secs(1);
/// How often a plugin is asked whether it is ready.
const READY_REST: Duration = Duration::from_millis(10);
/// How long peers have to leave a worker whose supervisor is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// What a worker is started with: its arguments, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    service: String,
    plugin: PathBuf,
    config: PathBuf,
    conf: String,
    index: usize,
    /// Each with an address and the numbers of its sockets.
    listen: Vec<String>,
    admin: Vec<String>,
    tls: Option<Tls>,
    control: RawFd,
    recent: RawFd,
    /// Where connections go that are given to those who come next, and where they come from.
    heirs: RawFd,
    inherits: RawFd,
}

/// What a plugin is told about where it runs.
pub struct Surroundings {
    /// The engine that it is on.
    pub engine: Engine,
    /// `L1.L2`.
    pub service: String,
    /// `[SRPC] conf`.
    pub conf: String,
    /// The whole of config.ini.
    pub ini: Ini,
    /// Which of the workers this is, from 0.
    pub worker: usize,
}

/// A plugin that was loaded.
pub struct Business {
    /// Starts it and has it add its methods. Failing, it is not used any more.
    pub install: Install,
    /// Whether it can take calls; asked until it can.
    pub ready: Box<dyn Fn() -> bool>,
    /// Ends it; nothing of it runs any more.
    pub fini: Box<dyn FnOnce()>,
}

/// See [`Business::install`].
pub type Install = Box<dyn FnOnce(&Surroundings, ServerBuilder) -> Result<ServerBuilder>>;

/// What a worker waits for.
enum Heard {
    Told(ToWorker),
    /// The supervisor is gone.
    Orphaned,
    /// SIGTERM, from whoever.
    Signal,
}

impl Arguments {
    /// The arguments to start a worker with, but for the numbers of descriptors of its own.
    pub(crate) fn to_start(
        place: &Place,
        settings: &Settings,
        index: usize,
        plugin: &Path,
        sockets: &[String],
    ) -> Vec<String> {
        let mut arguments = vec![
            format!("--service={}", place.service()),
            format!("--plugin={}", plugin.display()),
            format!("--config={}", place.config().display()),
            format!("--conf={}", settings.conf),
            format!("--index={index}"),
        ];
        arguments.extend(sockets.iter().map(|text| format!("--listen={text}")));
        let admin = settings.admin.iter().map(|address| address.counted_up(index));
        arguments.extend(admin.map(|address| format!("--admin={address}")));
        if let Some(Tls { certificate, key, client_ca }) = &settings.tls {
            arguments.push(format!("--certificate={}", certificate.display()));
            arguments.push(format!("--key={}", key.display()));
            arguments.extend(client_ca.iter().map(|ca| format!("--client-ca={}", ca.display())));
        }
        arguments
    }

    /// Takes arguments apart.
    ///
    /// # Errors
    /// -1 for one that is none of ours.
    pub fn parse(texts: &[String]) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let (mut certificate, mut key, mut client_ca) = (None, None, None);
        for text in texts {
            let wrong = || {
                let text = format!("msec-worker: `{text}`; `msec host start` starts it");
                Error::new(Code::INVALID_PARAMETER, text)
            };
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let number = || value.parse::<i32>().map_err(|_| wrong());
            match name {
                "--service" => arguments.service = value.into(),
                "--plugin" => arguments.plugin = value.into(),
                "--config" => arguments.config = value.into(),
                "--conf" => arguments.conf = value.into(),
                "--index" => arguments.index = number()? as usize,
                "--listen" => arguments.listen.push(value.into()),
                "--admin" => arguments.admin.push(value.into()),
                "--certificate" => certificate = Some(PathBuf::from(value)),
                "--key" => key = Some(PathBuf::from(value)),
                "--client-ca" => client_ca = Some(PathBuf::from(value)),
                "--control" => arguments.control = number()?,
                "--recent" => arguments.recent = number()?,
                "--heirs" => arguments.heirs = number()?,
                "--inherits" => arguments.inherits = number()?,
                _ => return Err(wrong()),
            }
        }
        if let (Some(certificate), Some(key)) = (certificate, key) {
            arguments.tls = Some(Tls { certificate, key, client_ca });
        }
        Ok(arguments)
    }
}

/// Runs a worker from start to end; its exit status. `load` loads the plugin at a path.
///
/// On the main thread of a process that is nothing else. It does not return while the plugin runs.
pub fn run(arguments: &[String], load: impl FnOnce(&Path) -> Result<Business>) -> i32 {
    let parsed = Arguments::parse(arguments).and_then(|arguments| {
        let control = inherit(arguments.control, "control")?;
        Ok((arguments, UnixStream::from(control)))
    });
    let (arguments, control) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}");
            return 2;
        }
    };
    match serve(arguments, &control, load) {
        Ok(()) => 0,
        Err(error) => {
            let why = sentence(&error);
            // The supervisor may be gone; then standard error has it.
            eprintln!("msec-worker: {why}");
            let _ = line::say(&control, &FromWorker::Failed(why).line());
            1
        }
    }
}

/// What went wrong, without a code: there is no caller who would have it.
fn sentence(error: &Error) -> String {
    match error.operation() {
        "" => error.message().to_owned(),
        operation => format!("cannot {operation}: {}", error.message()),
    }
}

fn serve(
    arguments: Arguments,
    control: &UnixStream,
    load: impl FnOnce(&Path) -> Result<Business>,
) -> Result<()> {
    let at = |error| Error::from_io("start a worker", &error);
    // Before any thread is started, and for as long as this runs.
    let _signals = process::TerminationSignals::block().map_err(at)?;
    msec::process::name_crashes()?;
    process::keep_recent(&inherit(arguments.recent, "recent")?).map_err(at)?;
    let business = load(&arguments.plugin)?;
    let engine = Engine::with(Config::from_env()?)?;
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
    let text = fs::read_to_string(&arguments.config).unwrap_or_default();
    let surroundings = Surroundings {
        engine: engine.clone(),
        service: arguments.service.clone(),
        conf: arguments.conf.clone(),
        ini: Ini::parse(&text)?,
        worker: arguments.index,
    };
    let builder = (business.install)(&surroundings, builder(&arguments)?)?;
    while !(business.ready)() {
        match heard.recv_timeout(READY_REST) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Code::CANCELLED, "it was told to end before it was ready"));
            }
        }
    }
    let server = Arc::new(adopt(builder, &arguments)?.start(&engine)?);
    let heirs = inherit(arguments.heirs, "heirs")?;
    let inheritance = Inheritance::take(&server, inherit(arguments.inherits, "inherits")?)?;
    line::say(control, &FromWorker::Ready.line()).map_err(at)?;
    show_signs_of_life(&arguments, &engine, &server, control.try_clone().map_err(at)?)?;
    wait_for_signals(tell)?;
    let told = match heard.recv() {
        Ok(Heard::Told(told)) => told,
        Ok(Heard::Orphaned | Heard::Signal) | Err(_) => ToWorker::Leave(ORPHAN_GRACE),
    };
    // What others bequeath now is for those who come next.
    inheritance.end();
    match told {
        ToWorker::Leave(grace) => server.stop(grace),
        ToWorker::Bequeath(grace) => {
            let bequest = Bequest::to(heirs)?;
            let gives = bequest.gives.clone();
            server.hand_over(move |handed| {
                // The thread at the other end lives until the server has stopped.
                let _ = gives.send(Some(handed));
            });
            server.stop(grace);
            bequest.end();
        }
    }
    (business.fini)();
    msec::log::flush(Duration::from_secs(1));
    Ok(())
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

/// A server with what is not the plugin's.
fn builder(arguments: &Arguments) -> Result<ServerBuilder> {
    let mut builder = Server::builder();
    for address in &arguments.admin {
        builder = builder.admin(address.as_str());
    }
    if let Some(Tls { certificate, key, client_ca }) = &arguments.tls {
        let tls = ServerTls::new(certificate, key);
        builder = builder.tls(match client_ca {
            Some(ca) => tls.client_ca(ca),
            None => tls,
        });
    }
    Ok(builder)
}

/// Has the server listen with the sockets of the supervisor.
fn adopt(mut builder: ServerBuilder, arguments: &Arguments) -> Result<ServerBuilder> {
    for text in &arguments.listen {
        let wrong = || Error::new(Code::INVALID_PARAMETER, format!("--listen={text}"));
        let (address, numbers) = parse_argument(text).ok_or_else(wrong)?;
        let sockets = numbers.into_iter().map(|number| inherit(number, address));
        builder = builder.adopt(address, sockets.collect::<Result<_>>()?);
    }
    Ok(builder)
}

fn inherit(number: RawFd, what: &str) -> Result<OwnedFd> {
    let inherited = process::inherited(number);
    inherited
        .map_err(|error| Error::from_io(&format!("take over descriptor {number} ({what})"), &error))
}

/// Tells the supervisor each second that all cores have looked, and follows config.ini meanwhile.
fn show_signs_of_life(
    arguments: &Arguments,
    engine: &Engine,
    server: &Arc<Server>,
    control: UnixStream,
) -> Result<()> {
    let (engine, server) = (engine.clone(), Arc::downgrade(server));
    let mut followed = Followed::new(arguments.config.clone());
    spawn("msec-alive", move || {
        // A channel that nobody sends on is a sleep that needs no clock of its own.
        let (_tell, told) = mpsc::channel::<()>();
        while let Some(server) = server.upgrade() {
            // Comes back when each core has looked.
            server.load();
            drop(server);
            if line::say(&control, &FromWorker::Alive.line()).is_err() {
                return;
            }
            followed.look(&engine);
            let _ = told.recv_timeout(ALIVE_REST);
        }
    })
}

/// Waits for SIGTERM on this thread's behalf. Signals are held on all threads by now.
fn wait_for_signals(tell: mpsc::Sender<Heard>) -> Result<()> {
    spawn("msec-signals", move || {
        // Held here, too: threads inherit it.
        if let Ok(held) = process::TerminationSignals::block() {
            held.wait();
            let _ = tell.send(Heard::Signal);
        }
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map(drop).map_err(|error| Error::from_io("start a thread", &error))
}

/// What of config.ini holds as soon as it changes.
struct Followed {
    path: PathBuf,
    changed: Option<SystemTime>,
}

impl Followed {
    fn new(path: PathBuf) -> Self {
        let changed = Self::time(&path);
        Self { path, changed }
    }

    fn time(path: &Path) -> Option<SystemTime> {
        fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
    }

    fn look(&mut self, engine: &Engine) {
        let changed = Self::time(&self.path);
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        let settings = match Settings::load(&self.path, 1) {
            Ok(settings) => settings,
            Err(error) => {
                let why = sentence(&error);
                eprintln!("msec-worker: config.ini changed, but says nonsense: {why}");
                return;
            }
        };
        let value = |name: &str| {
            let found = settings.variables.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        if let Some((_, level)) =
            msec::log::Level::ALL.iter().find(|(name, _)| *name == value("MSEC_LOG"))
        {
            msec::log::set_level(*level);
        }
        let rules = value("MSEC_DYE").split(';').map(str::trim).filter(|rule| !rule.is_empty());
        let rules: std::result::Result<Vec<Rule>, _> = rules.map(str::parse).collect();
        if let Ok(rules) = rules {
            engine.set_dye_rules(rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_is_started_with_is_what_it_reads() {
        let place = Place::of(Path::new("/msec"), "Demo.echo").unwrap();
        let text = "[SRPC]\nconf=../etc/a=b\nadmin=127.0.0.1:9000/tcp\n[TLS]\ncertificate=c\nkey=k";
        let settings = Settings::of(&Ini::parse(text).unwrap(), 1).unwrap();
        let sockets = ["0.0.0.0:7963=5,6".to_owned()];
        let mut texts = Arguments::to_start(&place, &settings, 2, Path::new("/p.so"), &sockets);
        texts.extend(["--control=9", "--recent=8", "--heirs=7", "--inherits=6"].map(str::to_owned));
        let arguments = Arguments::parse(&texts).unwrap();
        assert_eq!(
            (arguments.service.as_str(), arguments.conf.as_str()),
            ("Demo.echo", "../etc/a=b")
        );
        assert_eq!(arguments.index, 2);
        assert_eq!((arguments.control, arguments.recent), (9, 8));
        assert_eq!((arguments.heirs, arguments.inherits), (7, 6));
        assert_eq!(arguments.listen, sockets);
        assert_eq!(arguments.admin, ["127.0.0.1:9002"]);
        assert_eq!(arguments.tls.unwrap().key, Path::new("k"));
        let error = Arguments::parse(&["--help".to_owned()]).unwrap_err();
        assert!(error.message().contains("`msec host start` starts it"));
    }
}
