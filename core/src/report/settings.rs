//! What of reporting may be set.

use std::path::{Path, PathBuf};

use msec_protocol::dye::Rule;

use crate::config::Config;
use crate::log::files::Place;

/// Parts that are all.
const MILLION: u32 = 1_000_000;

/// What of reporting may be set, with its defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) service: String,
    pub(crate) reporting: bool,
    pub(crate) slow_ns: u64,
    pub(crate) sampled_parts: u32,
    pub(crate) dye: Vec<Rule>,
    pub(crate) log_folder: Option<PathBuf>,
    pub(crate) log_files: usize,
    pub(crate) log_file_bytes: u64,
}

/// As in the original.
const LOG_FILES: usize = 10;
/// As in the original.
const LOG_FILE_BYTES: u64 = 10_240_000;
pub(crate) const LOG_FILES_MAX: usize = 1000;
pub(crate) const LOG_FILE_BYTES_MIN: usize = 4096;
pub(crate) const LOG_FILE_BYTES_MAX: usize = 1 << 40;
/// An hour: what takes longer is slow by any measure.
pub(crate) const SLOW_MS_MAX: usize = 3_600_000;

impl Settings {
    pub(crate) fn new() -> Settings {
        Settings {
            service: String::new(),
            reporting: true,
            slow_ns: 0,
            sampled_parts: 0,
            dye: Vec::new(),
            log_folder: None,
            log_files: LOG_FILES,
            log_file_bytes: LOG_FILE_BYTES,
        }
    }

    /// Where the log is kept; `None`: it goes to standard error.
    pub(crate) fn log_place(&self) -> Option<Place> {
        // It becomes the name of a file.
        let letter = |letter: char| if letter == '/' || letter == '\0' { '_' } else { letter };
        let name = if self.service.is_empty() { "msec" } else { &self.service };
        Some(Place {
            folder: self.log_folder.clone()?,
            name: name.chars().map(letter).collect(),
            files_max: self.log_files,
            bytes_max: self.log_file_bytes,
        })
    }

    /// Dye rules, with semicolons between them; `None` if one of them is none.
    pub(crate) fn rules(text: &str) -> Option<Vec<Rule>> {
        let rules = text.split(';').map(str::trim).filter(|text| !text.is_empty());
        rules.map(|text| text.parse().ok()).collect()
    }
}

impl Config {
    /// The service that this process belongs to, as callees, metrics, spans and the log name it:
    /// `First.second`. Default: none.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.report.service = name.into();
        self
    }

    /// Whether spans are recorded and metrics tell callers and callees apart; default true. Without
    /// it methods are still counted, and attributes and the log go on.
    pub fn reporting(mut self, on: bool) -> Self {
        self.report.reporting = on;
        self
    }

    /// What takes longer than this is slow, and its spans are kept; in milliseconds, up to an hour.
    /// Default 0: the slowest hundredth of each method is, as it is of late, from 100 µs on.
    pub fn slow_ms(mut self, ms: u64) -> Self {
        self.report.slow_ns = ms.min(SLOW_MS_MAX as u64) * 1_000_000;
        self
    }

    /// The share of requests whose traces are kept although all went well, in parts of a million;
    /// default 0. Drawn where a request begins; everything that is called for it goes along.
    pub fn sampled_parts_per_million(mut self, parts: u32) -> Self {
        self.report.sampled_parts = parts.min(MILLION);
        self
    }

    /// The dye rules that are in force from the start; see
    /// [`Engine::set_dye_rules`](crate::Engine::set_dye_rules). Default: none.
    pub fn dye_rules(mut self, rules: Vec<Rule>) -> Self {
        self.report.dye = rules;
        self
    }

    /// The folder that the log is kept in, in files named after the service; it is made if it is
    /// not there. Default: the log goes to standard error. The log is the process's: the engine
    /// that is started last decides.
    pub fn log_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.report.log_folder = Some(folder.as_ref().into());
        self
    }

    /// How many files of the log there are, the one that is written included; 1 to 1000,
    /// default 10.
    pub fn log_files(mut self, count: usize) -> Self {
        self.report.log_files = count.clamp(1, LOG_FILES_MAX);
        self
    }

    /// How long a file of the log becomes, in bytes; 4096 to 2⁴⁰, default 10,240,000.
    pub fn log_file_bytes(mut self, bytes: u64) -> Self {
        let (least, most) = (LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64);
        self.report.log_file_bytes = bytes.clamp(least, most);
        self
    }
}
