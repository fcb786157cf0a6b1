//! The measured window: what the clocks said at its two ends.

use std::io;

use super::report::Report;
use crate::process;

/// One reading of all clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at_ns: u64,
    server_cpu_ns: u64,
    generator_cpu_ns: u64,
}

impl Reading {
    /// Reads them; the server's first and last, so that the readings enclose one another as little
    /// as can be.
    pub(super) fn take(server_pid: Option<u32>) -> io::Result<Self> {
        let server_cpu_ns = server_pid.map_or(Ok(0), process::cpu_ns)?;
        Ok(Reading {
            at_ns: process::now_ns(),
            server_cpu_ns,
            generator_cpu_ns: process::own_cpu_ns(),
        })
    }

    /// Writes the differences to a later reading.
    pub(super) fn until(&self, end: &Reading, report: &mut Report) {
        report.elapsed_ns = end.at_ns - self.at_ns;
        report.server_cpu_ns = end.server_cpu_ns - self.server_cpu_ns;
        report.generator_cpu_ns = end.generator_cpu_ns - self.generator_cpu_ns;
    }
}

/// Writes the server's memory as it is now.
pub(super) fn read_memory(server_pid: Option<u32>, report: &mut Report) -> io::Result<()> {
    if let Some(pid) = server_pid {
        let memory = process::memory(pid)?;
        report.resident_kb = memory.resident_kb;
        report.anonymous_kb = memory.anonymous_kb;
    }
    Ok(())
}
