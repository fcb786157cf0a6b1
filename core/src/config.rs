//! The configuration of an engine: what an operator or a program may set, with its default.
//!
//! A program sets values with the methods of [`Config`]; an operator sets the same ones from
//! outside, by variables of the environment ([`Config::from_env`]). The two differ in what they do
//! with nonsense. A program's number outside of its range counts as the nearest one inside, as the
//! method's documentation says. A variable that is not understood is an error which names it and
//! what is allowed: an operator who mistyped `epol` must not find out from a graph.
//!
//! This is the only file of the engine that reads the environment, and the table in
//! `config/variables.rs` is the only place that knows the names of the variables.

mod facts;
mod variables;

use std::env;
use std::path::PathBuf;

use msec_protocol::{Code, Limits, limits};
use msec_sys::coroutine::{Guard, STACK_BYTES_MAX, STACK_BYTES_MIN, StackConfig};
use msec_sys::ring::{Choice, Features};
use msec_sys::{cpu, process};

use variables::{Form, VARIABLES};

use crate::error::{Error, Result};
use crate::log::Level;
use crate::report::settings::Settings;
use crate::tls::ClientTls;

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

/// Which CPUs the core threads run on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pin {
    /// Where the kernel puts them: right where services share a machine.
    Off,
    /// Each on a CPU of its own, if this process is in a cpuset that it shares with nobody; else
    /// as [`Off`](Pin::Off).
    Auto,
    /// Core n on the n-th of these CPUs, in turn. Empty: as [`Off`](Pin::Off).
    Cpus(Vec<usize>),
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
    io: Io,
    /// Kernel features that are not to be used: names out of [`Features::NAMES`], or
    /// [`FEATURE_GUARD`].
    without: Vec<String>,
    stack_kb: usize,
    pub(crate) stall_ms: u64,
    pub(crate) busy_poll_us: u64,
    pin: Pin,
    offload_threads: usize,
    connections_max: usize,
    pub(crate) connections_per_peer: usize,
    buffered_bytes_max: u64,
    pub(crate) log_level: Level,
    pub(crate) overload_control: bool,
    pub(crate) report: Settings,
    pub(crate) zone: String,
    pub(crate) routes: Option<PathBuf>,
    pub(crate) tls: Option<ClientTls>,
}

/// Cores of one engine at most; identities of tasks have eight bits for it.
const CORES_MAX: usize = 255;
/// A stack is a multiple of this, in KiB: the largest page that Linux has on any machine.
const STACK_STEP_KB: usize = 64;
const STACK_KB_MIN: usize = STACK_BYTES_MIN / 1024;
const STACK_KB_MAX: usize = STACK_BYTES_MAX / 1024;
/// The watchdog looks four times as often as this, and must not become a load itself.
const STALL_MS_MIN: usize = 10;
const STALL_MS_MAX: usize = 3_600_000;
/// A second: whoever wants to poll longer wants to poll always.
const BUSY_POLL_US_MAX: usize = 1_000_000;
/// By default: enough for blocking libraries, few enough to be paid.
const OFFLOAD_THREADS: usize = 16;
const OFFLOAD_THREADS_MAX: usize = 1024;
/// More connections than that to one peer do not help any core.
const CONNECTIONS_PER_PEER_MAX: usize = 64;
/// CPU numbers end here (`CPU_SETSIZE`).
const CPU_MAX: usize = 1023;
/// A petabyte.
const BUFFERED_BYTES_MAX: usize = 1 << 50;
/// What a machine that does not tell its memory is taken for: a small one.
const MEMORY_BYTES_UNKNOWN: u64 = 1 << 30;
/// A feature outside the ring that can be switched off: guards by `MADV_GUARD_INSTALL`.
const FEATURE_GUARD: &str = "guard";

const _: () = assert!(STACK_KB_MIN.is_multiple_of(STACK_STEP_KB));
const _: () = assert!(STACK_KB_MAX.is_multiple_of(STACK_STEP_KB));

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults, some of which this machine decides.
    pub fn new() -> Self {
        let memory_bytes = process::memory_limit_bytes().unwrap_or(MEMORY_BYTES_UNKNOWN);
        let files = process::nofile_limit().map_or(1024, |limit| limit.soft as usize);
        Self {
            limits: Limits::DEFAULT,
            cores: cpu::online().clamp(1, CORES_MAX),
            io: Io::Auto,
            without: Vec::new(),
            stack_kb: 256,
            stall_ms: 200,
            busy_poll_us: 0,
            pin: Pin::Off,
            offload_threads: OFFLOAD_THREADS,
            connections_max: files
                .saturating_sub(limits::FILES_RESERVED)
                .clamp(1, limits::CONNECTIONS_MAX),
            connections_per_peer: 1,
            buffered_bytes_max: memory_bytes / limits::BUFFERED_BYTES_DIVISOR,
            log_level: Level::Info,
            overload_control: true,
            report: Settings::new(),
            zone: String::new(),
            routes: None,
            tls: None,
        }
    }

    /// The defaults, with what these variables of the environment say. An empty one counts as not
    /// set.
    ///
    /// | variable | value |
    /// |---|---|
    /// | `MSEC_CORES` | core threads: 1 to 255 |
    /// | `MSEC_IO` | back end: `auto`, `uring` or `epoll` |
    /// | `MSEC_IO_WITHOUT` | kernel features not to be used, for tests: a list with commas |
    /// | `MSEC_PIN` | `off`, `auto`, or CPU numbers: `0,2,4-7` |
    /// | `MSEC_STACK_KB` | KiB of address space a coroutine's stack: 64 to 65536 |
    /// | `MSEC_STALL_MS` | when the watchdog reports a core that does not loop: 10 or more |
    /// | `MSEC_BUSY_POLL_US` | how long an idle core polls before it sleeps; 0: not at all |
    /// | `MSEC_OFFLOAD_THREADS` | threads for heavy methods and `offload`: 1 to 1024 |
    /// | `MSEC_CONNECTIONS_MAX` | connections that servers accept |
    /// | `MSEC_CONNECTIONS_PER_PEER` | connections of a core to one peer: 1 to 64 |
    /// | `MSEC_DEADLINE_MS` | deadline of requests that name none, in ms: 1 to 86400000 |
    /// | `MSEC_REQUESTS_MAX` | requests in flight in the process |
    /// | `MSEC_BODY_BYTES_MAX` | longest body of a request or answer |
    /// | `MSEC_BUFFERED_BYTES_MAX` | bytes of incomplete frames and unsent answers |
    /// | `MSEC_OVERLOAD` | overload control: `on` or `off` |
    /// | `MSEC_SERVICE` | the service that this process belongs to: `First.second` |
    /// | `MSEC_REPORT` | `on` or `off`: spans, and metrics by caller and callee |
    /// | `MSEC_SLOW_MS` | what takes longer is slow; 0: learnt for each method |
    /// | `MSEC_SAMPLED` | traces kept although all went well, in parts of a million |
    /// | `MSEC_DYE` | dye rules, with semicolons between: `uin=1122; method=a.B.C percent=1` |
    /// | `MSEC_ZONE` | the zone that this process is in, for the policy `zone-first` |
    /// | `MSEC_ROUTES` | a file of routes, followed while it changes; see [`crate::naming`] |
    /// | `MSEC_LOG` | least level of the log: `trace`, `debug`, `info`, `warn`, `error`, `fatal` |
    /// | `MSEC_LOG_FOLDER` | where the files of the log are; without: standard error |
    /// | `MSEC_LOG_FILES` | how many files the log has: 1 to 1000 |
    /// | `MSEC_LOG_FILE_BYTES` | how long a file of the log becomes: 4096 or more |
    /// | `MSEC_TLS_CA` | file of the CAs that servers at `@tls` are trusted by |
    /// | `MSEC_TLS_CERTIFICATE` | file of the certificate that is shown to such servers |
    /// | `MSEC_TLS_KEY` | file of its private key |
    /// | `MSEC_TLS_SERVER_NAME` | name that such servers' certificates must be for |
    ///
    /// # Errors
    /// -1, naming the variable, its value and what is allowed.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var_os(name).map(|value| value.to_string_lossy().into()))
    }

    /// The variables of the environment: name and value, as [`Config::from_env`] tells them.
    pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
        VARIABLES.iter().map(|(name, meaning, _)| (*name, *meaning))
    }

    /// Sets what a variable of [`Config::from_env`] sets, as if the environment had it.
    ///
    /// For programs that have their settings as texts, from a file or from another language.
    ///
    /// ```
    /// let config = msec::Config::new().variable("MSEC_STALL_MS", "500")?;
    /// let error = config.variable("MSEC_CORES", "many").unwrap_err();
    /// assert_eq!(error.message(), "MSEC_CORES is `many`; allowed is a number from 1 to 255");
    /// # Ok::<(), msec::Error>(())
    /// ```
    ///
    /// # Errors
    /// -1: there is no such variable; or naming it, its value and what is allowed.
    pub fn variable(mut self, name: &str, value: &str) -> Result<Self> {
        let Some((name, _, form)) = VARIABLES.iter().find(|(known, ..)| *known == name) else {
            let text = format!("there is no variable {name}");
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        };
        self.set(name, form, value)?;
        Ok(self)
    }

    fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = Self::new();
        for (name, _, form) in VARIABLES {
            let value = read(name).unwrap_or_default();
            config
                .set(name, form, &value)
                .map_err(|error| error.during("reading the environment"))?;
        }
        Ok(config)
    }

    /// An empty value sets nothing.
    fn set(&mut self, name: &str, form: &Form, value: &str) -> Result<()> {
        let value = value.trim();
        if !value.is_empty() && form.set(self, value).is_none() {
            let text = format!("{name} is `{value}`; allowed is {}", form.allowed());
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        }
        Ok(())
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

    /// Does without a kernel feature, as `MSEC_IO_WITHOUT` does; for tests of the other ways.
    /// A name that is none has no effect.
    pub fn without(mut self, feature: &str) -> Self {
        self.without.push(feature.into());
        self
    }

    /// Bounds of frames and of requests in flight; what is over a ceiling is lowered to it.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits.clamped();
        self
    }

    /// Address space of a coroutine's stack in KiB; 64 to 65536 in steps of 64, default 256.
    /// Memory is used as it is touched.
    pub fn stack_kb(mut self, kib: usize) -> Self {
        self.stack_kb = kib.clamp(STACK_KB_MIN, STACK_KB_MAX).next_multiple_of(STACK_STEP_KB);
        self
    }

    /// When a core that does not loop is reported, in milliseconds; 10 to an hour, default 200.
    pub fn stall_ms(mut self, ms: u64) -> Self {
        self.stall_ms = ms.clamp(STALL_MS_MIN as u64, STALL_MS_MAX as u64);
        self
    }

    /// How long a core with nothing to do polls before it sleeps, in microseconds; up to a second,
    /// default 0. It trades CPU time for latency at low load.
    pub fn busy_poll_us(mut self, us: u64) -> Self {
        self.busy_poll_us = us.min(BUSY_POLL_US_MAX as u64);
        self
    }

    /// Which CPUs the cores run on; default [`Pin::Off`].
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = pin;
        self
    }

    /// Threads of the offload pool at most; 1 to 1024, default 16. They are started when needed.
    pub fn offload_threads(mut self, count: usize) -> Self {
        self.offload_threads = count.clamp(1, OFFLOAD_THREADS_MAX);
        self
    }

    /// Connections that servers accept at most, 1 to 100,000; default that or the file limit less
    /// 256, whichever is lower. At the limit accepting pauses.
    pub fn connections_max(mut self, count: usize) -> Self {
        self.connections_max = count.clamp(1, limits::CONNECTIONS_MAX);
        self
    }

    /// Multiplexed connections of a core to one peer at most; 1 to 64, default 1.
    pub fn connections_per_peer(mut self, count: usize) -> Self {
        self.connections_per_peer = count.clamp(1, CONNECTIONS_PER_PEER_MAX);
        self
    }

    /// Bytes of incomplete frames and unsent answers in the whole process; default a quarter of
    /// the memory that this process may use. Beyond it, requests are answered with -101.
    pub fn buffered_bytes_max(mut self, bytes: u64) -> Self {
        self.buffered_bytes_max = bytes.clamp(1, BUFFERED_BYTES_MAX as u64);
        self
    }

    /// Least level of the log, the engine's own lines included; default [`Level::Info`]. The log is
    /// the process's: the engine that is started last decides.
    pub fn log_level(mut self, least: Level) -> Self {
        self.log_level = least;
        self
    }

    /// Whether servers refuse requests when they cannot keep up; default yes. Without it requests
    /// wait in the order of arrival until their deadlines. Limits of number and quotas hold anyway.
    pub fn overload_control(mut self, on: bool) -> Self {
        self.overload_control = on;
        self
    }

    /// The zone that this process is in, as instances name theirs; default none. Services with the
    /// policy `zone-first` are called in it.
    pub fn zone(mut self, name: &str) -> Self {
        self.zone = name.into();
        self
    }

    /// A file of routes ([`crate::naming`]), read at the start and again whenever it changes, at
    /// most a second later. A mistake in it is an error at the start; later it is logged, told by
    /// [`Engine::routes_status`](crate::Engine::routes_status), and changes nothing.
    pub fn routes(mut self, path: impl Into<PathBuf>) -> Self {
        self.routes = Some(path.into());
        self
    }

    /// How calls to addresses with `@tls` are secured; without it there are none.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    fn tls_mut(&mut self) -> &mut ClientTls {
        self.tls.get_or_insert_default()
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
        let turn = |cpus: &[usize]| cpus.get(core % cpus.len().max(1)).copied();
        match &self.pin {
            Pin::Off => None,
            Pin::Auto => cpu::exclusive().and_then(|cpus| turn(&cpus)),
            Pin::Cpus(cpus) => turn(cpus),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Config> {
        assert!(VARIABLES.iter().any(|(known, ..)| *known == name), "no such variable: {name}");
        Config::from_variables(|asked| (asked == name).then(|| value.to_owned()))
    }

    fn set(name: &str, value: &str) -> Config {
        with(name, value).expect("the value is allowed")
    }

    #[test]
    fn variables_set_their_values() {
        assert_eq!(set("MSEC_CORES", " 3 ").cores, 3);
        assert_eq!(set("MSEC_IO", "epoll").io_choice(), Choice::Epoll);
        assert_eq!(set("MSEC_STACK_KB", "100").stacks().stack_bytes, 128 * 1024);
        assert_eq!(set("MSEC_STALL_MS", "50").stall_ms, 50);
        assert_eq!(set("MSEC_BUSY_POLL_US", "7").busy_poll_us, 7);
        assert_eq!(set("MSEC_OFFLOAD_THREADS", "4").offload_threads_max(), 4);
        assert_eq!(set("MSEC_CONNECTIONS_MAX", "10").connections_count_max(), 10);
        assert_eq!(set("MSEC_CONNECTIONS_PER_PEER", "2").connections_per_peer, 2);
        assert_eq!(set("MSEC_REQUESTS_MAX", "9").limits.requests_per_process_max, 9);
        assert_eq!(set("MSEC_BODY_BYTES_MAX", "8").limits.body_bytes_max, 8);
        assert_eq!(set("MSEC_BUFFERED_BYTES_MAX", "12345").bytes_max(), 12_345);
        assert_eq!(set("MSEC_LOG", "debug").log_level, Level::Debug);
        assert_eq!(set("MSEC_SERVICE", "Demo.shop").report.service, "Demo.shop");
        assert!(!set("MSEC_REPORT", "off").report.reporting);
        assert_eq!(set("MSEC_SLOW_MS", "5").report.slow_ns, 5_000_000);
        assert_eq!(set("MSEC_SAMPLED", "1000").report.sampled_parts, 1000);
        assert_eq!(set("MSEC_DYE", "uin=1; method=a.B.C percent=1;").report.dye.len(), 2);
        assert_eq!(set("MSEC_LOG_FILES", "3").report.log_files, 3);
        assert_eq!(set("MSEC_LOG_FILE_BYTES", "5000").report.log_file_bytes, 5000);
        let place = set("MSEC_LOG_FOLDER", "log").service("a/b").report.log_place().unwrap();
        assert_eq!((place.name.as_str(), place.folder.to_str()), ("a_b", Some("log")));
        assert_eq!(set("MSEC_ZONE", "north").zone, "north");
        assert_eq!(set("MSEC_ROUTES", "/etc/r.toml").routes, Some("/etc/r.toml".into()));
    }

    #[test]
    fn features_are_switched_off_by_name() {
        let config = set("MSEC_IO_WITHOUT", "multishot, guard");
        let expect = Features { multishot: false, ..Features::ALL };
        assert!(config.io_features() == expect);
        assert_eq!(config.stacks().guard, Guard::Mprotect);
        assert!(Config::new().io_features() == Features::ALL);
        assert_eq!(Config::new().stacks(), StackConfig::default());
    }

    #[test]
    fn cores_are_pinned_in_turn() {
        let check = |value, expect: [Option<usize>; 5]| {
            let config = set("MSEC_PIN", value);
            assert_eq!([0, 1, 2, 3, 4].map(|core| config.pin_to(core)), expect, "{value}");
        };
        check("off", [None; 5]);
        check("6", [Some(6); 5]);
        check("5,0-2", [Some(5), Some(0), Some(1), Some(2), Some(5)]);
        let none = Config::new().pin(Pin::Cpus(Vec::new()));
        assert_eq!(none.pin_to(0), None);
        let auto = set("MSEC_PIN", "auto").pin_to(0);
        assert_eq!(auto, cpu::exclusive().map(|cpus| cpus[0]));
    }

    #[test]
    fn a_refused_value_is_named_with_what_is_allowed() {
        let check = |name, value, allowed: &str| {
            let error = with(name, value).expect_err("the value is not allowed");
            assert_eq!(error.code(), Code::INVALID_PARAMETER);
            assert_eq!(error.message(), format!("{name} is `{value}`; allowed is {allowed}"));
        };
        check("MSEC_IO", "epol", "auto, uring, epoll");
        check("MSEC_LOG", "loud", "trace, debug, info, warn, error, fatal");
        check("MSEC_REPORT", "yes", "on, off");
        let rules = "rules such as method=a.B.* uin=7 percent=0.5 for=10m, with semicolons between";
        check("MSEC_DYE", "method=m; 5", rules);
        check("MSEC_CORES", "0", "a number from 1 to 255");
        check("MSEC_CORES", "many", "a number from 1 to 255");
        check("MSEC_STALL_MS", "5", "a number from 10 to 3600000");
        let pin = "off, auto, or CPU numbers up to 1023 such as 0,2,4-7";
        for value in ["on", "1,", "3-1", "1024", "-1"] {
            check("MSEC_PIN", value, pin);
        }
        let features = "a list, with commas, of defer, coop, no_sqarray, registered, multishot, \
                        buf_ring, guard";
        check("MSEC_IO_WITHOUT", "multishots", features);
    }

    #[test]
    fn an_empty_variable_is_as_none() {
        let config = Config::from_variables(|_| Some(String::new())).expect("not set");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::new()));
    }

    #[test]
    fn a_programs_value_outside_of_its_range_counts_as_the_nearest_inside() {
        let low = Config::new().cores(0).stack_kb(0).stall_ms(0).offload_threads(0);
        assert_eq!((low.cores, low.stack_kb, low.stall_ms, low.offload_threads), (1, 64, 10, 1));
        let high = Config::new().cores(1000).stack_kb(usize::MAX).connections_max(usize::MAX);
        assert_eq!((high.cores, high.stack_kb), (255, 65_536));
        assert_eq!(high.connections_count_max(), limits::CONNECTIONS_MAX);
    }

    #[test]
    fn every_variable_is_in_the_documentation() {
        let text = include_str!("config.rs");
        let rows = text.lines().filter_map(|line| line.trim().strip_prefix("/// | `"));
        let known = VARIABLES.iter().map(|(name, meaning, _)| format!("{name}` | {meaning} |"));
        assert_eq!(rows.collect::<Vec<_>>(), known.collect::<Vec<_>>());
    }
}
