//! The variables of the environment: what each is called, what its value looks like, and what it
//! sets.

use msec_protocol::limits;
use msec_sys::ring::Features;

use super::{
    BUFFERED_BYTES_MAX, BUSY_POLL_US_MAX, CONNECTIONS_PER_PEER_MAX, CORES_MAX, CPU_MAX, Config,
    FEATURE_GUARD, Io, OFFLOAD_THREADS_MAX, Pin, STACK_KB_MAX, STACK_KB_MIN, STACK_STEP_KB,
    STALL_MS_MAX, STALL_MS_MIN,
};
use crate::log::Level;
use crate::report::settings::{self, Settings};

/// What the value of a variable looks like, and what it sets.
pub(super) enum Form {
    Number(usize, usize, fn(&mut Config, usize)),
    Io,
    Features,
    Pin,
    Level,
    Text(fn(&mut Config, &str)),
    Switch(fn(&mut Config, bool)),
    Dye,
}

/// Each variable of the environment: name, value, and what it sets. The table in the documentation
/// of [`Config::from_env`] says the same, as a test sees to.
pub(super) const VARIABLES: &[(&str, &str, Form)] = &[
    (
        "MSEC_CORES",
        "core threads: 1 to 255",
        Form::Number(1, CORES_MAX, |config, count| config.cores = count),
    ),
    ("MSEC_IO", "back end: `auto`, `uring` or `epoll`", Form::Io),
    (
        "MSEC_IO_WITHOUT",
        "kernel features not to be used, for tests: a list with commas",
        Form::Features,
    ),
    ("MSEC_PIN", "`off`, `auto`, or CPU numbers: `0,2,4-7`", Form::Pin),
    (
        "MSEC_STACK_KB",
        "KiB of address space a coroutine's stack: 64 to 65536",
        Form::Number(STACK_KB_MIN, STACK_KB_MAX, |config, kib| {
            config.stack_kb = kib.next_multiple_of(STACK_STEP_KB);
        }),
    ),
    (
        "MSEC_STALL_MS",
        "when the watchdog reports a core that does not loop: 10 or more",
        Form::Number(STALL_MS_MIN, STALL_MS_MAX, |config, ms| config.stall_ms = ms as u64),
    ),
    (
        "MSEC_BUSY_POLL_US",
        "how long an idle core polls before it sleeps; 0: not at all",
        Form::Number(0, BUSY_POLL_US_MAX, |config, us| config.busy_poll_us = us as u64),
    ),
    (
        "MSEC_OFFLOAD_THREADS",
        "threads for heavy methods and `offload`: 1 to 1024",
        Form::Number(1, OFFLOAD_THREADS_MAX, |config, count| config.offload_threads = count),
    ),
    (
        "MSEC_CONNECTIONS_MAX",
        "connections that servers accept",
        Form::Number(1, limits::CONNECTIONS_MAX, |config, count| config.connections_max = count),
    ),
    (
        "MSEC_CONNECTIONS_PER_PEER",
        "connections of a core to one peer: 1 to 64",
        Form::Number(1, CONNECTIONS_PER_PEER_MAX, |config, count| {
            config.connections_per_peer = count;
        }),
    ),
    (
        "MSEC_DEADLINE_MS",
        "deadline of requests that name none, in ms: 1 to 86400000",
        Form::Number(1, limits::DEADLINE_MS_MAX as usize, |config, ms| {
            config.limits.deadline_ms_default = ms as u32;
        }),
    ),
    (
        "MSEC_REQUESTS_MAX",
        "requests in flight in the process",
        Form::Number(1, u32::MAX as usize, |config, count| {
            config.limits.requests_per_process_max = count as u32;
        }),
    ),
    (
        "MSEC_BODY_BYTES_MAX",
        "longest body of a request or answer",
        Form::Number(0, limits::BODY_BYTES_CEILING, |config, bytes| {
            config.limits.body_bytes_max = bytes;
        }),
    ),
    (
        "MSEC_BUFFERED_BYTES_MAX",
        "bytes of incomplete frames and unsent answers",
        Form::Number(1, BUFFERED_BYTES_MAX, |config, bytes| {
            config.buffered_bytes_max = bytes as u64;
        }),
    ),
    (
        "MSEC_OVERLOAD",
        "overload control: `on` or `off`",
        Form::Switch(|config, on| config.overload_control = on),
    ),
    (
        "MSEC_SERVICE",
        "the service that this process belongs to: `First.second`",
        Form::Text(|config, name| config.report.service = name.into()),
    ),
    (
        "MSEC_REPORT",
        "`on` or `off`: spans, and metrics by caller and callee",
        Form::Switch(|config, on| config.report.reporting = on),
    ),
    (
        "MSEC_SLOW_MS",
        "what takes longer is slow; 0: learnt for each method",
        Form::Number(0, settings::SLOW_MS_MAX, |config, ms| {
            config.report.slow_ns = ms as u64 * 1_000_000;
        }),
    ),
    (
        "MSEC_SAMPLED",
        "traces kept although all went well, in parts of a million",
        Form::Number(0, 1_000_000, |config, parts| config.report.sampled_parts = parts as u32),
    ),
    (
        "MSEC_DYE",
        "dye rules, with semicolons between: `uin=1122; method=a.B.C percent=1`",
        Form::Dye,
    ),
    (
        "MSEC_ZONE",
        "the zone that this process is in, for the policy `zone-first`",
        Form::Text(|config, zone| config.zone = zone.into()),
    ),
    (
        "MSEC_ROUTES",
        "a file of routes, followed while it changes; see [`crate::naming`]",
        Form::Text(|config, path| config.routes = Some(path.into())),
    ),
    (
        "MSEC_LOG",
        "least level of the log: `trace`, `debug`, `info`, `warn`, `error`, `fatal`",
        Form::Level,
    ),
    (
        "MSEC_LOG_FOLDER",
        "where the files of the log are; without: standard error",
        Form::Text(|config, folder| config.report.log_folder = Some(folder.into())),
    ),
    (
        "MSEC_LOG_FILES",
        "how many files the log has: 1 to 1000",
        Form::Number(1, settings::LOG_FILES_MAX, |config, count| config.report.log_files = count),
    ),
    (
        "MSEC_LOG_FILE_BYTES",
        "how long a file of the log becomes: 4096 or more",
        Form::Number(
            settings::LOG_FILE_BYTES_MIN,
            settings::LOG_FILE_BYTES_MAX,
            |config, bytes| config.report.log_file_bytes = bytes as u64,
        ),
    ),
    (
        "MSEC_TLS_CA",
        "file of the CAs that servers at `@tls` are trusted by",
        Form::Text(|config, path| config.tls_mut().ca = Some(path.into())),
    ),
    (
        "MSEC_TLS_CERTIFICATE",
        "file of the certificate that is shown to such servers",
        Form::Text(|config, path| config.tls_mut().chain = Some(path.into())),
    ),
    (
        "MSEC_TLS_KEY",
        "file of its private key",
        Form::Text(|config, path| config.tls_mut().key = Some(path.into())),
    ),
    (
        "MSEC_TLS_SERVER_NAME",
        "name that such servers' certificates must be for",
        Form::Text(|config, name| config.tls_mut().server_name = Some(name.into())),
    ),
];

impl Form {
    /// Sets what the text says; `None` if it is not allowed.
    pub(super) fn set(&self, config: &mut Config, text: &str) -> Option<()> {
        match self {
            Form::Number(least, most, set) => set(config, number(text, *least, *most)?),
            Form::Io => config.io = named(&IO_NAMES, text)?,
            Form::Features => config.without = features(text)?,
            Form::Pin => config.pin = pin(text)?,
            Form::Level => config.log_level = named(&Level::ALL, text)?,
            Form::Text(set) => set(config, text),
            Form::Switch(set) => set(config, named(&SWITCH, text)?),
            Form::Dye => config.report.dye = Settings::rules(text)?,
        }
        Some(())
    }

    pub(super) fn allowed(&self) -> String {
        match self {
            Form::Number(least, most, _) => format!("a number from {least} to {most}"),
            Form::Io => names(&IO_NAMES),
            Form::Features => {
                format!("a list, with commas, of {}, {FEATURE_GUARD}", Features::NAMES.join(", "))
            }
            Form::Pin => format!("off, auto, or CPU numbers up to {CPU_MAX} such as 0,2,4-7"),
            Form::Level => names(&Level::ALL),
            Form::Text(_) => "any text".into(),
            Form::Switch(_) => names(&SWITCH),
            Form::Dye => {
                "rules such as method=a.B.* uin=7 percent=0.5 for=10m, with semicolons between"
                    .into()
            }
        }
    }
}

const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];
const IO_NAMES: [(&str, Io); 3] = [("auto", Io::Auto), ("uring", Io::Uring), ("epoll", Io::Epoll)];

fn named<T: Copy>(choices: &[(&str, T)], text: &str) -> Option<T> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn names<T>(choices: &[(&str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn number(text: &str, least: usize, most: usize) -> Option<usize> {
    text.parse().ok().filter(|value| (least..=most).contains(value))
}

fn features(text: &str) -> Option<Vec<String>> {
    let known = |name: &&str| *name == FEATURE_GUARD || Features::NAMES.contains(name);
    text.split(',').map(|name| Some(name.trim()).filter(known).map(str::to_owned)).collect()
}

/// `0,2,4-7`, in the order that is written: the first core gets the first one.
fn pin(text: &str) -> Option<Pin> {
    match text {
        "off" => return Some(Pin::Off),
        "auto" => return Some(Pin::Auto),
        _ => {}
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = number(first.trim(), 0, CPU_MAX)?;
        cpus.extend(first..=number(last.trim(), first, CPU_MAX)?);
    }
    Some(Pin::Cpus(cpus))
}
