//! Short mode: connect, call, close, with a fixed number under way.
//!
//! ```text
//!   attempt:  socket · connect (returns at once) · send + receive ── answer ──► close, next
//! ```
//!
//! The send may be pushed before the connect is through: the kernel waits for it. A latency runs
//! from the socket's birth to the answer. The client closes first, so the TIME_WAIT stays on this
//! side, as it would in life.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::dialect::{Dialect, Found, Kind, Verdict};
use super::options::Options;
use super::report::{Latency, Report, histogram, record};
use super::srpc::{Session, Srpc};
use super::window::{Reading, read_memory};
use super::{socket, source_address, wait_at_gate};
use crate::process::now_ns;
use crate::ring::{Completion, Ring};

const SILENCE_MAX: Duration = Duration::from_secs(10);
const RECEIVE: u64 = 0;
const SEND: u64 = 1 << 32;

struct Attempt {
    socket: OwnedFd,
    session: Session,
    request: Vec<u8>,
    born_ns: u64,
    sent: bool,
    answered: bool,
}

struct Short<'a> {
    dialect: &'a Srpc,
    options: &'a Options,
    ring: Ring,
    attempts: Vec<Option<Attempt>>,
    count: usize,
    measuring: bool,
    report: Report,
    latencies: hdrhistogram::Histogram<u64>,
}

/// Runs the mode; `connections` is how many attempts are under way at once.
pub fn run(options: &Options) -> io::Result<Report> {
    let dialect = Srpc::new(&options.method, None, options.payload);
    let mut short = Short {
        dialect: &dialect,
        options,
        ring: Ring::new()?,
        attempts: (0..options.connections).map(|_| None).collect(),
        count: 0,
        measuring: false,
        report: Report::default(),
        latencies: histogram(),
    };
    wait_at_gate(options)?;
    short.drive()?;
    let mut report = short.report;
    report.latency = Latency::of(&short.latencies);
    Ok(report)
}

impl Short<'_> {
    fn drive(&mut self) -> io::Result<()> {
        let opens_ns = now_ns() + self.options.warm.as_nanos() as u64;
        let closes_ns = opens_ns + self.options.measure.as_nanos() as u64;
        for index in 0..self.attempts.len() {
            self.begin(index)?;
        }
        let mut start = None;
        loop {
            let now = now_ns();
            if start.is_none() && now >= opens_ns {
                start = Some(Reading::take(self.options.server_pid)?);
                self.measuring = true;
            }
            if let (Some(start), true) = (&start, now >= closes_ns) {
                let end = Reading::take(self.options.server_pid)?;
                start.until(&end, &mut self.report);
                return read_memory(self.options.server_pid, &mut self.report);
            }
            let completions = self.ring.wait(Some(SILENCE_MAX))?;
            if completions.is_empty() && now_ns() - now >= SILENCE_MAX.as_nanos() as u64 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer for 10 s"));
            }
            for completion in &completions {
                self.handle(completion)?;
            }
            self.ring.recycle(completions);
        }
    }

    fn begin(&mut self, index: usize) -> io::Result<()> {
        let SocketAddr::V4(target) = self.options.to else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "short mode connects over IPv4",
            ));
        };
        let born_ns = now_ns();
        self.count += 1;
        let socket = socket::connecting_from(source_address(self.count), target)?;
        let mut session = self.dialect.session(1);
        let mut request = Vec::new();
        self.dialect.request(&mut session, 0, Kind::First, &mut request);
        // SAFETY: the request lives in the attempt, which is dropped only when this send has
        // completed; moving the attempt does not move the vector's bytes.
        unsafe { self.ring.send(socket.as_raw_fd(), &raw const request[..], SEND | index as u64) };
        self.ring.receive_once(socket.as_raw_fd(), RECEIVE | index as u64);
        self.attempts[index] =
            Some(Attempt { socket, session, request, born_ns, sent: false, answered: false });
        Ok(())
    }

    fn handle(&mut self, completion: &Completion) -> io::Result<()> {
        let index = (completion.token & u64::from(u32::MAX)) as usize;
        let attempt = self.attempts[index].as_mut().expect("an operation's attempt is kept");
        if completion.result == -libc::ENOBUFS {
            self.ring.offer_more();
            self.ring.receive_once(attempt.socket.as_raw_fd(), RECEIVE | index as u64);
            return Ok(());
        }
        if completion.result < 0 {
            return Err(io::Error::from_raw_os_error(-completion.result));
        }
        if completion.token & SEND != 0 {
            attempt.sent = completion.result as usize == attempt.request.len();
            if !attempt.sent {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "a send ended early"));
            }
        } else {
            let buffer = completion.buffer.ok_or_else(|| {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed before its answer")
            })?;
            let mut found = Found::default();
            let bytes = self.ring.bytes(buffer, completion.result as usize);
            let read =
                self.dialect.answers(&mut attempt.session, bytes, &mut Vec::new(), &mut found);
            self.ring.give_back(buffer);
            read.map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken.0))?;
            self.report.strays += found.strays;
            for answer in &found.answers {
                attempt.answered = true;
                self.report.wrong += u64::from(answer.verdict == Verdict::Wrong);
            }
            if found.answers.is_empty() {
                self.ring.receive_once(attempt.socket.as_raw_fd(), RECEIVE | index as u64);
            }
        }
        if attempt.sent && attempt.answered {
            let latency_ns = now_ns() - attempt.born_ns;
            self.report.requests_total += 1;
            if self.measuring {
                self.report.requests += 1;
                record(&mut self.latencies, latency_ns);
            }
            // Dropping the attempt closes its socket; neither of its operations is under way any
            // more.
            self.attempts[index] = None;
            self.begin(index)?;
        }
        Ok(())
    }
}
