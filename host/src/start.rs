//! `msec host start`: from a command to a supervisor that runs.
//!
//! In the foreground this process is the supervisor. In the background it starts itself once more,
//! in the foreground of nobody: a session of its own, standard error to `log/host.log`; and waits
//! until that one says on its standard output that the service is ready, or ends.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use msec::{Code, Error, Result};
use msec_sys::process::{Signal, in_own_session};

use crate::control::{self, Request};
use crate::notice;
use crate::place::Place;
use crate::settings::Settings;
use crate::sockets::Sockets;
use crate::supervisor::{Heard, Supervisor, hold_signals};

/// Where the programs are that workers may be.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The one that runs a plugin.
    pub worker: PathBuf,
    /// JAVA_HOME, if it is set.
    pub java_home: Option<PathBuf>,
    /// PATH, for a JVM.
    pub path: OsString,
    /// LD_PRELOAD, which a hook is put before.
    pub preload: OsString,
}

/// What to start.
pub struct Start {
    /// Where the service is.
    pub place: Place,
    /// What runs a worker.
    pub programs: Programs,
    /// Sockets that were opened for us, as by systemd.
    pub given: Vec<OwnedFd>,
}

impl Start {
    /// Runs the supervisor in this process until it is told to end. `on_ready` is called once the
    /// service takes calls.
    ///
    /// # Errors
    /// -101 when it runs already; else what kept it from starting.
    pub fn foreground(self, on_ready: impl FnOnce()) -> Result<()> {
        let Start { place, programs, given } = self;
        let signals = hold_signals()?;
        make_folders(&place)?;
        let lock = lock(&place)?;
        let settings = Settings::of_service(&place, msec::cpu::online())?;
        settings.warnings.iter().for_each(|text| notice::say(text));
        let slots_count = settings.procnum * settings.cores;
        let sockets = Sockets::open(&settings.listen, slots_count, given)?;
        let (tell, heard) = mpsc::channel();
        let asked = tell.clone();
        control::listen(&place.control(), move |request, asker| {
            asked.send(Heard::Asked(request, asker)).is_ok()
        })?;
        let signaled = tell.clone();
        let watch = move || {
            // The mask is inherited from the thread that held them.
            let Ok(held) = hold_signals() else { return };
            loop {
                let signal: Signal = held.wait();
                if signaled.send(Heard::Signal(signal)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("msec-signals".into())
            .spawn(watch)
            .map_err(|error| Error::from_io("start the thread for signals", &error))?;
        let (control, stopped) = (place.control(), format!("Server({}) stopped.", place.service()));
        let supervisor = Supervisor::start(place, settings, sockets, programs, tell)?;
        let (ended, askers) = supervisor.run(&heard, on_ready);
        // Nobody answers there any more.
        let _ = fs::remove_file(control);
        drop((signals, lock));
        // Whoever hears of it may start the next one.
        askers.into_iter().for_each(|asker| asker.succeed(&stopped));
        ended
    }

    /// Starts the supervisor as a process of its own, and waits until the service takes calls.
    /// `program` with `arguments` is what calls [`Start::foreground`], and writes a line to
    /// standard output when it is ready.
    ///
    /// # Errors
    /// -101 when it runs already; -18 with what kept it from starting.
    pub fn background(place: &Place, program: &Path, arguments: &[String]) -> Result<()> {
        make_folders(place)?;
        drop(lock(place)?);
        let path = place.log().join("host.log");
        let at = |error| Error::from_io(&format!("open {}", path.display()), &error);
        let log = File::options().append(true).create(true).open(&path).map_err(at)?;
        let before = log.metadata().map_err(at)?.len();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        in_own_session(&mut command);
        let mut child = command
            .current_dir(place.bin())
            .spawn()
            .map_err(|error| Error::from_io(&format!("start {}", program.display()), &error))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            // An error is an end.
            let _ = BufReader::new(out).read_line(&mut line);
        }
        if !line.is_empty() {
            return Ok(());
        }
        // It closes its output by ending.
        let _ = child.wait();
        let all = fs::read(&path).map_err(at)?;
        let said = all.get(before as usize..).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        // The last line is why; those before are in the log.
        let last = said.trim_end().lines().last().unwrap_or("it does not say why");
        let why = last.strip_prefix("msec host: ").unwrap_or(last);
        Err(Error::new(Code::SERVICE_FAILED, format!("{why}; see {}", path.display())))
    }

    /// A socket that this process was started with, by its number; for [`Start::given`].
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn inherited(number: i32) -> std::io::Result<OwnedFd> {
        msec_sys::process::inherited(number)
    }

    /// Asks the supervisor of a service.
    ///
    /// # Errors
    /// As [`control::ask`].
    pub fn ask(place: &Place, request: Request) -> Result<String> {
        control::ask(&place.control(), request)
    }
}

fn make_folders(place: &Place) -> Result<()> {
    if !place.bin().is_dir() {
        let text = format!("{} is not there: is --root right?", place.bin().display());
        return Err(Error::new(Code::SYSTEM_ERROR, text));
    }
    // A JVM writes its report there, if it is there.
    for folder in [place.log().join("crash"), place.run()] {
        fs::create_dir_all(&folder)
            .map_err(|error| Error::from_io(&format!("make {}", folder.display()), &error))?;
    }
    Ok(())
}

/// There is one supervisor a service.
fn lock(place: &Place) -> Result<File> {
    let path = place.run().join("host.lock");
    let at = |error| Error::from_io(&format!("lock {}", path.display()), &error);
    let file = File::options().append(true).create(true).open(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let text = format!("Server({}) already started.", place.service());
            Err(Error::new(Code::OVERLOADED, text))
        }
        Err(fs::TryLockError::Error(error)) => Err(at(error)),
    }
}
