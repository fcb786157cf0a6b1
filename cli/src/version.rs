//! `msec version`: what this binary is, and what it can do here.

use msec::{Config, Engine, Io};

use crate::failure::Failure;
use crate::print;

pub(crate) fn run() -> Result<(), Failure> {
    let commit = match env!("MSEC_COMMIT") {
        "" => String::new(),
        commit => format!(" (commit {commit})"),
    };
    print(&format!(
        "msec {}{commit}\ntarget: {}\nio_uring: {}\nepoll: {}\nan engine takes: {}\n",
        env!("CARGO_PKG_VERSION"),
        env!("MSEC_TARGET"),
        works(Io::Uring),
        works(Io::Epoll),
        match Config::from_env().and_then(|config| Engine::with(config.cores(1))) {
            Ok(engine) => engine.io_backend().to_owned(),
            Err(error) => error.to_string(),
        },
    ))
}

/// Whether an engine starts with it; tried, because a kernel's version says little.
fn works(io: Io) -> String {
    match Engine::with(Config::new().cores(1).io(io)) {
        Ok(_) => "works".to_owned(),
        Err(error) => format!("does not work: {error}"),
    }
}
