//! Idle mode: what many connections cost that each made one call and then say nothing.
//!
//! The call before the rest matters: a server may put off giving a connection its buffers until its
//! first byte. The call after it proves that every connection was still alive when the memory was
//! read.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::dialect::{Dialect, Found, Kind, Verdict};
use super::options::Options;
use super::report::{IdleCost, Latency, Report, histogram, record};
use super::srpc::{Session, Srpc};
use super::window::{Reading, read_memory};
use super::{connect, wait_at_gate};
use crate::process::{self, now_ns};

/// A server that answers no single call for so long is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the mode; the time of being idle is `measure`.
pub fn run(options: &Options) -> io::Result<Report> {
    let dialect = Srpc::new(&options.method, None, options.payload);
    let anonymous_kb = || -> io::Result<u64> {
        Ok(options.server_pid.map(process::memory).transpose()?.unwrap_or_default().anonymous_kb)
    };
    wait_at_gate(options)?;
    let mut report = Report::default();
    let mut idle = IdleCost { before_kb: anonymous_kb()?, ..IdleCost::default() };
    let mut latencies = histogram();
    let mut connections = Vec::with_capacity(options.connections);
    for nth in 0..options.connections {
        let stream = connect(options.to, nth)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        connections.push((stream, dialect.session(1)));
        let (stream, session) = &mut connections[nth];
        call(&dialect, stream, session, &mut report)?;
    }
    // The idle time is what is measured here, so it is slept through.
    let start = Reading::take(options.server_pid)?;
    std::thread::sleep(options.measure);
    let end = Reading::take(options.server_pid)?;
    start.until(&end, &mut report);
    read_memory(options.server_pid, &mut report)?;
    idle.idle_kb = report.anonymous_kb;
    idle.idle_cpu_ns = report.server_cpu_ns;
    let begun = Instant::now();
    for (stream, session) in &mut connections {
        let before = now_ns();
        call(&dialect, stream, session, &mut report)?;
        record(&mut latencies, now_ns() - before);
    }
    // Of the second calls; the window above held none.
    report.elapsed_ns = begun.elapsed().as_nanos() as u64;
    report.requests = connections.len() as u64;
    report.server_cpu_ns = 0;
    report.latency = Latency::of(&latencies);
    report.idle = Some(idle);
    Ok(report)
}

fn call(
    dialect: &Srpc,
    stream: &mut TcpStream,
    session: &mut Session,
    report: &mut Report,
) -> io::Result<()> {
    let mut request = Vec::new();
    dialect.request(session, 0, Kind::First, &mut request);
    stream.write_all(&request)?;
    let mut buffer = [0; 4096];
    let mut found = Found::default();
    while found.answers.is_empty() {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed"));
        }
        dialect
            .answers(session, &buffer[..count], &mut Vec::new(), &mut found)
            .map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken.0))?;
    }
    report.requests_total += 1;
    report.strays += found.strays;
    report.wrong +=
        found.answers.iter().filter(|answer| answer.verdict == Verdict::Wrong).count() as u64;
    Ok(())
}
