//! What the msec servers of the bench share: the messages of the echo service, flags, and serving
//! until a signal.
//!
//! Each binary is the least code that puts the engine into one mode; what is measured is the
//! engine.

use std::time::Duration;

use msec::{Config, Engine, Server, process};

/// The echo service, from the code that the examples of the crate are made of.
#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
pub mod echo {
    include!("../../../core/examples/generated/echo.rs");
}

/// The flags of all servers; each uses its own.
#[derive(Debug, Default)]
pub struct Flags {
    /// `--listen`: where to serve.
    pub listen: String,
    /// `--to`: the next hop.
    pub to: String,
    /// `--cores`: core threads.
    pub cores: Option<usize>,
    /// `--burn-us`: processor time of a call that burns, in microseconds.
    pub burn_us: u64,
    /// `--sleep-ms`: how long a call takes without using the processor, in milliseconds.
    pub sleep_ms: u64,
    /// `--heavy`: mark the burning method as heavy.
    pub heavy: bool,
    /// `--certificate`: file of the server's certificate.
    pub certificate: String,
    /// `--key`: file of its private key.
    pub key: String,
}

impl Flags {
    /// From the command line; a mistake ends the process with a message.
    pub fn parse() -> Self {
        match Self::try_parse() {
            Ok(flags) => flags,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(2);
            }
        }
    }

    fn try_parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut parser = lexopt::Parser::from_env();
        let mut flags = Flags::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => flags.listen = parser.value()?.string()?,
                Long("to") => flags.to = parser.value()?.string()?,
                Long("cores") => flags.cores = Some(parser.value()?.parse()?),
                Long("burn-us") => flags.burn_us = parser.value()?.parse()?,
                Long("sleep-ms") => flags.sleep_ms = parser.value()?.parse()?,
                Long("heavy") => flags.heavy = true,
                Long("certificate") => flags.certificate = parser.value()?.string()?,
                Long("key") => flags.key = parser.value()?.string()?,
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        if flags.listen.is_empty() {
            return Err("--listen is missing".into());
        }
        Ok(flags)
    }

    /// The environment's configuration with `--cores`.
    pub fn config(&self) -> msec::Result<Config> {
        let config = Config::from_env()?;
        Ok(match self.cores {
            Some(cores) => config.cores(cores),
            None => config,
        })
    }
}

/// Serves what `build` makes until a signal.
pub fn serve(
    config: Config,
    build: impl FnOnce(&Engine) -> msec::Result<Server>,
) -> msec::Result<()> {
    let signals = process::block_signals()?;
    let engine = Engine::with(config)?;
    let server = build(&engine)?;
    process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    Ok(())
}

/// Uses the processor for so many microseconds of this thread's own time, however often it is
/// interrupted.
pub fn burn(microseconds: u64) {
    let end = thread_cpu_ns() + microseconds * 1000;
    while thread_cpu_ns() < end {
        std::hint::spin_loop();
    }
}

fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
