//! `msec host`: starts and ends the workers of a plugin, and asks how they are.
//!
//! What it prints is what scripts around the original read: `Server(L1.L2) start ok.` and so on.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use msec::Code;
use msec_host::control::Request;
use msec_host::{Place, Programs, ROOT, Start};

use crate::failure::Failure;
use crate::flags::Arguments;
use crate::print;

/// The first descriptor that systemd hands over (sd_listen_fds(3)).
const LISTEN_FDS_START: i32 = 3;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = place(arguments)?;
    let service = place.service().to_owned();
    match arguments.operand_text(0)? {
        "start" => start(arguments, place),
        "restart" => {
            stop(&place)?;
            start(arguments, place)
        }
        "stop" => print(&stop(&place)?),
        "kill" => print(&told(Start::ask(&place, Request::Kill), &service)?),
        "reload" => print(&told(Start::ask(&place, Request::Reload), &service)?),
        "show" => print(&told(Start::ask(&place, Request::Show), &service)?),
        other => Err(arguments
            .usage(&format!("`{other}` is none of start, stop, restart, reload, show, kill"))),
    }
}

/// The service that is named; or else the one in whose folder we are.
fn place(arguments: &Arguments) -> Result<Place, Failure> {
    let root = arguments.value("root").map(PathBuf::from);
    let (root, service) = match arguments.operand_text(1)? {
        "" => {
            let here = std::env::current_dir().unwrap_or_default();
            let around = Place::around(&here).ok_or_else(|| {
                arguments.usage(&"SERVICE is missing, and this folder is in none's (bin/ and etc/)")
            })?;
            (root.unwrap_or(around.0), around.1)
        }
        service => (root.unwrap_or_else(|| ROOT.into()), service.to_owned()),
    };
    Place::of(&root, &service).map_err(|error| Failure::usage(error.message().to_owned()))
}

/// What a supervisor answered, or that there is none.
fn told(answer: msec::Result<String>, service: &str) -> Result<String, Failure> {
    match answer {
        Ok(text) => Ok(format!("{text}\n")),
        Err(error) if error.code() == Code::NO_ROUTE => {
            Err(Failure::failed(format!("Server({service}) not started.")))
        }
        Err(error) => Err(failure(error)),
    }
}

/// An error of a supervisor is a sentence for the operator; its code says nothing to him.
fn failure(error: msec::Error) -> Failure {
    match error.operation() {
        "" => Failure::failed(error.message().to_owned()),
        operation => Failure::failed(format!("cannot {operation}: {}", error.message())),
    }
}

/// Ends what runs; that nothing does is as good.
fn stop(place: &Place) -> Result<String, Failure> {
    match Start::ask(place, Request::Stop) {
        Err(error) if error.code() == Code::NO_ROUTE => {
            Ok(format!("Server({}) not started.\n", place.service()))
        }
        answer => told(answer, place.service()),
    }
}

fn start(arguments: &Arguments, place: Place) -> Result<(), Failure> {
    let ok = format!("Server({}) start ok.\n", place.service());
    let program = std::env::current_exe().unwrap_or_else(|_| "msec".into());
    if !arguments.has("foreground") {
        let root = place.folder().ancestors().nth(2).unwrap_or(Path::new(ROOT));
        let words = ["host", "start", "--foreground", "--root"].map(str::to_owned);
        let mut words = words.to_vec();
        words.extend([root.to_string_lossy().into_owned(), place.service().to_owned()]);
        Start::background(&place, &program, &words).map_err(failure)?;
        return print(&ok);
    }
    let programs = Programs {
        worker: program.with_file_name("msec-worker"),
        java_home: std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
        path: std::env::var_os("PATH").unwrap_or_default(),
        preload: std::env::var_os(msec_host::hook::VARIABLE).unwrap_or_default(),
    };
    let start = Start { place, programs, given: given_sockets() };
    let on_ready = || {
        // Whoever started us may not listen.
        let _ = print(&ok);
        notify_systemd();
    };
    start.foreground(on_ready).map_err(failure)
}

/// The sockets that systemd opened for this process.
fn given_sockets() -> Vec<OwnedFd> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    let own = number("LISTEN_PID").is_some_and(|pid| pid as u32 == std::process::id());
    let count = number("LISTEN_FDS").filter(|_| own).unwrap_or(0);
    let numbers = LISTEN_FDS_START..LISTEN_FDS_START + count;
    numbers.filter_map(|number| Start::inherited(number).ok()).collect()
}

/// Tells systemd that the service is up (sd_notify(3)), if it wants to know.
fn notify_systemd() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(OsStr::new(&path)),
    };
    // It waits for it, and says so if nothing comes.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
