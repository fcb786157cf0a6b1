//! The configuration of an engine: what an operator or a program may set, with its default.
//!
//! A program sets values with the methods here; the environment sets them from outside
//! ([`Config::from_env`]). A value that makes no sense is an error that names the variable and what
//! is allowed; nothing is silently corrected.

use std::env;

use msec_protocol::{Code, Limits, limits};
use msec_sys::coroutine::{Guard, STACK_BYTES_MAX, STACK_BYTES_MIN, StackConfig};
use msec_sys::ring::{Choice, Features};
use msec_sys::{cpu, process};

use crate::error::{Error, Result};

/// Which back end does the I/O.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Io {
    /// io_uring, or epoll where it is refused.
    Auto,
    /// io_uring, or the engine does not start.
    Uring,
    /// epoll.
    Epoll,
}

/// What an engine is started with. Every value has a default.
///
/// ```
/// let config = msec::Config::new().cores(1).stall_ms(500);
/// let engine = msec::Engine::with(config)?;
/// assert_eq!(engine.cores_count(), 1);
/// # Ok::<(), msec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) limits: Limits,
    pub(crate) cores: usize,
    pub(crate) io: Io,
    without: Vec<String>,
    stack_kb: usize,
    pub(crate) stall_ms: u64,
    pub(crate) busy_poll_us: u64,
    pin: Vec<usize>,
    offload_threads: usize,
    connections_max: usize,
    pub(crate) connections_per_peer: usize,
    buffered_bytes_max: u64,
}

/// Threads of the offload pool, by default: enough for blocking libraries, few enough to be paid.
const OFFLOAD_THREADS: usize = 16;
/// Cores of one engine at most; identities of tasks have eight bits for it.
const CORES_MAX: usize = 255;
/// A feature outside the ring that can be switched off: guards by `MADV_GUARD_INSTALL`.
const FEATURE_GUARD: &str = "guard";

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        // A machine that does not tell its memory is taken for a small one.
        let memory = process::memory_limit_bytes().unwrap_or(1 << 30);
        let files = process::nofile_limit().map_or(1024, |limit| limit.soft as usize);
        Self {
            limits: Limits::DEFAULT,
            cores: cpu::online().clamp(1, CORES_MAX),
            io: Io::Auto,
            without: Vec::new(),
            stack_kb: 256,
            stall_ms: 200,
            busy_poll_us: 0,
            pin: Vec::new(),
            offload_threads: OFFLOAD_THREADS,
            connections_max: files
                .saturating_sub(limits::FILES_RESERVED)
                .clamp(1, limits::CONNECTIONS_MAX),
            connections_per_peer: 1,
            buffered_bytes_max: memory / limits::BUFFERED_BYTES_DIVISOR,
        }
    }

    /// The defaults, with what these variables of the environment say:
    ///
    /// | variable | value |
    /// |---|---|
    /// | `MSEC_CORES` | core threads, 1 to 255 |
    /// | `MSEC_IO` | `auto`, `uring` or `epoll` |
    /// | `MSEC_IO_WITHOUT` | kernel features not to be used, for tests, separated by commas |
    /// | `MSEC_STACK_KB` | KiB of address space a coroutine stack, 64 to 65536 |
    /// | `MSEC_STALL_MS` | when the watchdog reports a core that does not loop, from 10 |
    /// | `MSEC_BUSY_POLL_US` | how long an idle core polls before it sleeps; 0: not at all |
    /// | `MSEC_PIN` | CPU numbers that the cores are pinned to in turn, separated by commas |
    /// | `MSEC_CONNECTIONS_MAX` | open connections of servers |
    ///
    /// # Errors
    /// -1, naming the variable and what is allowed.
    pub fn from_env() -> Result<Self> {
        let mut config = Self::new();
        for (name, set) in VARIABLES {
            match env::var(name) {
                Ok(value) => set(&mut config, value.trim()).map_err(|allowed| {
                    let text = format!("{name}=`{value}`: allowed is {allowed}");
                    Error::new(Code::INVALID_PARAMETER, text)
                })?,
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(_)) => {
                    let text = format!("{name} is not UTF-8");
                    return Err(Error::new(Code::INVALID_PARAMETER, text));
                }
            }
        }
        Ok(config)
    }

    /// How many core threads; 1 to 255, default the CPUs that this process may use.
    pub fn cores(mut self, count: usize) -> Self {
        self.cores = count.clamp(1, CORES_MAX);
        self
    }

    /// Which back end does the I/O; default [`Io::Auto`].
    pub fn io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    /// Bounds of frames and of requests in flight.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits.clamped();
        self
    }

    /// Address space of a coroutine's stack in KiB; 64 to 65536, default 256. Memory is used as
    /// it is touched.
    pub fn stack_kb(mut self, kib: usize) -> Self {
        self.stack_kb = kib.clamp(STACK_BYTES_MIN / 1024, STACK_BYTES_MAX / 1024).next_multiple_of(4);
        self
    }

    /// When a core that does not loop is reported, in milliseconds; from 10, default 200.
    pub fn stall_ms(mut self, ms: u64) -> Self {
        self.stall_ms = ms.max(10);
        self
    }

    /// Pins core n to the n-th of these CPUs, in turn; empty (the default) pins nothing.
    pub fn pin(mut self, cpus: impl Into<Vec<usize>>) -> Self {
        self.pin = cpus.into();
        self
    }

    /// Threads of the offload pool at most; default 16.
    pub fn offload_threads(mut self, count: usize) -> Self {
        self.offload_threads = count.max(1);
        self
    }

    /// Connections that servers accept at most; default the file limit less 256, at most 100,000.
    pub fn connections_max(mut self, count: usize) -> Self {
        self.connections_max = count.max(1);
        self
    }

    /// Multiplexed connections of a core to one peer; default 1.
    pub fn connections_per_peer(mut self, count: usize) -> Self {
        self.connections_per_peer = count.max(1);
        self
    }

    /// Bytes of incomplete frames and unsent answers in the whole process; default a quarter of
    /// the memory that this process may use. Beyond it, requests are answered with -101.
    pub fn buffered_bytes_max(mut self, bytes: u64) -> Self {
        self.buffered_bytes_max = bytes.max(1);
        self
    }

    pub(crate) fn connections_count_max(&self) -> usize {
        self.connections_max
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.buffered_bytes_max
    }

    pub(crate) fn offload_threads_max(&self) -> usize {
        self.offload_threads
    }

    /// The CPU that a core is pinned to.
    pub(crate) fn pin_to(&self, core: usize) -> Option<usize> {
        (!self.pin.is_empty()).then(|| self.pin[core % self.pin.len()])
    }

    pub(crate) fn io_choice(&self) -> Choice {
        match self.io {
            Io::Auto => Choice::Auto,
            Io::Uring => Choice::Uring,
            Io::Epoll => Choice::Epoll,
        }
    }

    pub(crate) fn io_features(&self) -> Features {
        let mut features = Features::ALL;
        for name in &self.without {
            // Names were checked when they were set; `guard` is none of the ring's.
            features.without(name);
        }
        features
    }

    pub(crate) fn stacks(&self) -> StackConfig {
        let forced = self.without.iter().any(|name| name == FEATURE_GUARD);
        let guard = if forced { Guard::Mprotect } else { Guard::Auto };
        StackConfig { stack_bytes: self.stack_kb * 1024, guard }
    }
}

/// Sets a value from its text, or says what is allowed.
type Set = fn(&mut Config, &str) -> std::result::Result<(), String>;

const VARIABLES: &[(&str, Set)] = &[
    ("MSEC_CORES", |config, text| number(text, 1, CORES_MAX).map(|n| config.cores = n)),
    ("MSEC_IO", |config, text| {
        config.io = match text {
            "auto" => Io::Auto,
            "uring" => Io::Uring,
            "epoll" => Io::Epoll,
            _ => return Err("auto, uring or epoll".into()),
        };
        Ok(())
    }),
    ("MSEC_IO_WITHOUT", |config, text| {
        config.without = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let known = |name: &String| name == FEATURE_GUARD || Features::NAMES.contains(&&**name);
        match config.without.iter().all(known) {
            true => Ok(()),
            false => Err(format!("a list of {} and {FEATURE_GUARD}", Features::NAMES.join(", "))),
        }
    }),
    ("MSEC_STACK_KB", |config, text| {
        let (least, most) = (STACK_BYTES_MIN / 1024, STACK_BYTES_MAX / 1024);
        number(text, least, most).map(|kib| config.stack_kb = kib.next_multiple_of(4))
    }),
    ("MSEC_STALL_MS", |config, text| {
        number(text, 10, 3_600_000).map(|ms| config.stall_ms = ms as u64)
    }),
    ("MSEC_BUSY_POLL_US", |config, text| {
        number(text, 0, 1_000_000).map(|us| config.busy_poll_us = us as u64)
    }),
    ("MSEC_PIN", |config, text| {
        let cpus = text.split(',').map(|cpu| number(cpu, 0, 4095));
        config.pin = cpus.collect::<std::result::Result<_, _>>()?;
        Ok(())
    }),
    ("MSEC_CONNECTIONS_MAX", |config, text| {
        number(text, 1, limits::CONNECTIONS_MAX).map(|count| config.connections_max = count)
    }),
];

fn number(text: &str, least: usize, most: usize) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expect: std::result::Result<(), &str>) -> Config {
        let mut config = Config::new();
        let (_, set) = VARIABLES.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(set(&mut config, value).map_err(|_| ()), expect.map_err(|_| ()), "{value}");
        config
    }

    #[test]
    fn variables_are_read_and_nonsense_is_refused() {
        assert_eq!(check("MSEC_CORES", "3", Ok(())).cores, 3);
        check("MSEC_CORES", "0", Err(""));
        check("MSEC_CORES", "many", Err(""));
        assert_eq!(check("MSEC_IO", "epoll", Ok(())).io, Io::Epoll);
        check("MSEC_IO", "iouring", Err(""));
        let config = check("MSEC_IO_WITHOUT", "multishot,guard", Ok(()));
        assert!(!config.io_features().multishot && config.io_features().buf_ring);
        assert_eq!(config.stacks().guard, Guard::Mprotect);
        check("MSEC_IO_WITHOUT", "multishots", Err(""));
        check("MSEC_STACK_KB", "1", Err(""));
        assert_eq!(check("MSEC_PIN", "1,0", Ok(())).pin_to(3), Some(0));
        assert_eq!(Config::new().pin_to(0), None);
    }

    #[test]
    fn a_refused_value_says_what_is_allowed() {
        let mut config = Config::new();
        let (_, set) = VARIABLES.iter().find(|(name, _)| *name == "MSEC_STALL_MS").unwrap();
        assert_eq!(set(&mut config, "5").unwrap_err(), "a number from 10 to 3600000");
    }
}
