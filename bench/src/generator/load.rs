//! The loop behind the closed, open and once modes.
//!
//! ```text
//!      ┌──────────► phase: warm → measuring → draining; clocks are read where they change
//!      │            open loop: what is due by now → backlog → free slots, round robin
//!      │            one send for each connection that has something to say and no send under way
//!      │            wait: a completion, the next due time or the next phase
//!      └─────────── completions: bytes → answers → histogram; closed loop: the next request
//! ```
//!
//! A request's time starts when it is due (open loop) or when the answer before it was read (closed
//! loop); it ends when the loop has read the bytes of the answer. Both readings are one clock call
//! for all completions of a turn.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::arrivals::{Arrivals, Random};
use super::dialect::{Answer, Dialect, Found, Kind, Verdict};
use super::options::{Mode, Options};
use super::report::{Latency, Report, histogram, record};
use super::secure::{Secure, Trust};
use super::window::{Reading, read_memory};
use super::{connect, wait_at_gate};
use crate::process::now_ns;
use crate::ring::{Completion, Ring};

/// How long answers may take after the window before their requests count as lost; longer than the
/// one second for which the stop check stands the server still.
const DRAIN_MAX: Duration = Duration::from_millis(2500);
/// A closed loop without any answer for so long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const SEED: u64 = 0x6D73_6563;

const RECEIVE: u64 = 0;
const SEND: u64 = 1 << 32;

struct Slot {
    due_ns: u64,
    kind: Kind,
    in_flight: bool,
}

struct Connection<S> {
    stream: TcpStream,
    secure: Option<Secure>,
    session: S,
    /// To be sent.
    output: Vec<u8>,
    /// Under way: the kernel reads it, so it stays untouched until the completion.
    sending: Vec<u8>,
    sending_now: bool,
    dirty: bool,
    slots: Vec<Slot>,
    free: Vec<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warm,
    Measuring,
    Draining,
}

struct Tally {
    report: Report,
    first: Histogram<u64>,
    second: Histogram<u64>,
    dispatch_late: Histogram<u64>,
}

struct Open {
    arrivals: Arrivals,
    backlog: VecDeque<(u64, Kind)>,
    next_connection: usize,
}

struct Load<'a, D: Dialect> {
    dialect: &'a D,
    options: &'a Options,
    ring: Ring,
    connections: Vec<Connection<D::Session>>,
    dirty: Vec<usize>,
    open: Option<Open>,
    random: Random,
    phase: Phase,
    /// When the last request is due: the end of the window, or of the relief behind it.
    ends_ns: u64,
    /// The window, in nanoseconds of the monotonic clock.
    window: std::ops::Range<u64>,
    start: Option<Reading>,
    in_flight: u64,
    last_answer_ns: u64,
    tally: Tally,
    found: Found,
    /// What received bytes hold, where they are sealed.
    plain: Vec<u8>,
}

/// Connects, loads, measures.
pub fn run<D: Dialect>(dialect: &D, options: &Options) -> io::Result<Report> {
    let trust = options.tls.as_deref().map(|path| Trust::file(path, options.protocol()));
    let trust = trust.transpose()?;
    let mut connections = Vec::with_capacity(options.connections);
    for nth in 0..options.connections {
        connections.push(Connection::open(dialect, options, trust.as_ref(), nth)?);
    }
    wait_at_gate(options)?;
    let start_ns = now_ns();
    let opens_ns = start_ns + options.warm.as_nanos() as u64;
    let open = match options.mode {
        Mode::Open { rate, spacing } => Some(Open {
            arrivals: Arrivals::new(start_ns, rate, spacing, SEED),
            backlog: VecDeque::new(),
            next_connection: 0,
        }),
        Mode::Closed | Mode::Once | Mode::Short | Mode::Idle => None,
    };
    let window = opens_ns..opens_ns + options.measure.as_nanos() as u64;
    let relief_ns = options.relief.map_or(0, |relief| relief.time.as_nanos() as u64);
    let mut load = Load {
        dialect,
        options,
        ring: Ring::new()?,
        connections,
        dirty: Vec::new(),
        open,
        random: Random(!SEED),
        phase: Phase::Warm,
        ends_ns: window.end + relief_ns,
        window,
        start: None,
        in_flight: 0,
        last_answer_ns: start_ns,
        tally: Tally {
            report: Report { recovery_ns: options.relief.map(|_| 0), ..Report::default() },
            first: histogram(),
            second: histogram(),
            dispatch_late: histogram(),
        },
        found: Found::default(),
        plain: Vec::new(),
    };
    let driven = load.drive();
    let report = load.finish();
    driven.map(|()| report)
}

impl<S> Connection<S> {
    fn open<D: Dialect<Session = S>>(
        dialect: &D,
        options: &Options,
        trust: Option<&Trust>,
        nth: usize,
    ) -> io::Result<Self> {
        let mut stream = connect(options.to, nth)?;
        let (secure, session) = match trust {
            None => (None, dialect.open(&mut stream, options.depth)?),
            Some(trust) => {
                let (secure, session) =
                    trust.open(dialect, options.to, &mut stream, options.depth)?;
                (Some(secure), session)
            }
        };
        let slots = (0..options.depth)
            .map(|_| Slot { due_ns: 0, kind: Kind::First, in_flight: false })
            .collect();
        Ok(Connection {
            stream,
            secure,
            session,
            output: Vec::new(),
            sending: Vec::new(),
            sending_now: false,
            dirty: false,
            slots,
            // The first slot is taken first.
            free: (0..options.depth as u16).rev().collect(),
        })
    }

    fn wants_write(&self) -> bool {
        !self.output.is_empty() || self.secure.as_ref().is_some_and(Secure::wants_write)
    }
}

impl<D: Dialect> Load<'_, D> {
    fn drive(&mut self) -> io::Result<()> {
        for index in 0..self.connections.len() {
            let socket = self.connections[index].stream.as_raw_fd();
            self.ring.receive(socket, RECEIVE | index as u64);
        }
        if self.open.is_none() {
            self.fill()?;
        }
        loop {
            let now = now_ns();
            // First what is due: a run must not end before its last request was sent.
            self.dispatch_due(now);
            if self.advance(now)? {
                return Ok(());
            }
            self.flush()?;
            let completions = self.ring.wait(Some(self.patience(now)))?;
            let now = now_ns();
            for completion in &completions {
                self.handle(completion, now)?;
            }
            self.ring.recycle(completions);
        }
    }

    /// Closed loop and once: a request in every slot.
    fn fill(&mut self) -> io::Result<()> {
        let now = now_ns();
        for index in 0..self.connections.len() {
            for _ in 0..self.options.depth {
                let kind = self.draw();
                self.request(index, now, kind);
            }
        }
        if self.options.mode == Mode::Once {
            self.flush()?;
        }
        Ok(())
    }

    /// Moves to the phase that the clock says; true when the run is over.
    fn advance(&mut self, now: u64) -> io::Result<bool> {
        let once = self.options.mode == Mode::Once;
        if self.phase == Phase::Warm && (now >= self.window.start || once) {
            self.phase = Phase::Measuring;
            self.start = Some(Reading::take(self.options.server_pid)?);
            if once {
                println!("sent {}", self.in_flight);
                io::stdout().flush()?;
            }
        }
        let over = now >= self.window.end || (once && self.in_flight == 0);
        if self.phase == Phase::Measuring && over {
            self.phase = Phase::Draining;
            let end = Reading::take(self.options.server_pid)?;
            let start = self.start.expect("measuring began with a reading");
            start.until(&end, &mut self.tally.report);
            read_memory(self.options.server_pid, &mut self.tally.report)?;
        }
        let silent = now.saturating_sub(self.last_answer_ns) > SILENCE_MAX.as_nanos() as u64;
        if silent && self.in_flight > 0 && self.open.is_none() && !once {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer for 10 s"));
        }
        let waiting = self.open.as_ref().map_or(0, |open| open.backlog.len() as u64);
        let drained = self.in_flight + waiting == 0;
        let drain_ends = self.ends_ns + DRAIN_MAX.as_nanos() as u64;
        let all_sent = now >= self.ends_ns || once;
        let is_draining = self.phase == Phase::Draining && all_sent;
        Ok(is_draining && (drained || once || now >= drain_ends))
    }

    /// How long to wait for completions: until something is due.
    fn patience(&self, now: u64) -> Duration {
        let mut until = match self.phase {
            Phase::Warm => self.window.start,
            Phase::Measuring => self.window.end,
            Phase::Draining if now < self.ends_ns => self.ends_ns,
            Phase::Draining => self.ends_ns + DRAIN_MAX.as_nanos() as u64,
        };
        if let (Some(open), true) = (&self.open, now < self.ends_ns) {
            until = until.min(open.arrivals.next_due_ns());
        }
        Duration::from_nanos(until.saturating_sub(now).max(1))
    }

    fn draw(&mut self) -> Kind {
        match &self.options.mix {
            Some(mix) if self.random.fraction() < mix.share => Kind::Second,
            Some(_) | None => Kind::First,
        }
    }

    /// Open loop: what is due goes to the backlog, and from there to free slots.
    fn dispatch_due(&mut self, now: u64) {
        let Some(mut open) = self.open.take() else { return };
        while open.arrivals.next_due_ns() <= now && open.arrivals.next_due_ns() < self.ends_ns {
            let due = open.arrivals.next_due_ns();
            if let (Some(relief), true) = (self.options.relief, due >= self.window.end) {
                open.arrivals.change(relief.rate);
            }
            open.arrivals.advance();
            let kind = self.draw();
            open.backlog.push_back((due, kind));
        }
        let count = self.connections.len();
        while let Some(&(due, kind)) = open.backlog.front() {
            let order = (0..count).map(|step| (open.next_connection + step) % count);
            let Some(index) = order.into_iter().find(|&at| !self.connections[at].free.is_empty())
            else {
                break;
            };
            open.next_connection = (index + 1) % count;
            open.backlog.pop_front();
            if self.window.contains(&due) {
                record(&mut self.tally.dispatch_late, now - due);
            }
            self.request(index, due, kind);
        }
        self.open = Some(open);
    }

    fn request(&mut self, index: usize, due_ns: u64, kind: Kind) {
        let connection = &mut self.connections[index];
        let slot = connection.free.pop().expect("the caller saw a free slot");
        connection.slots[usize::from(slot)] = Slot { due_ns, kind, in_flight: true };
        self.dialect.request(&mut connection.session, slot, kind, &mut connection.output);
        self.in_flight += 1;
        self.mark_dirty(index);
    }

    fn mark_dirty(&mut self, index: usize) {
        if !std::mem::replace(&mut self.connections[index].dirty, true) {
            self.dirty.push(index);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let connection = &mut self.connections[index];
            connection.dirty = false;
            if connection.sending_now || !connection.wants_write() {
                continue;
            }
            connection.sending.clear();
            match &mut connection.secure {
                None => std::mem::swap(&mut connection.sending, &mut connection.output),
                Some(secure) => secure.seal(&mut connection.output, &mut connection.sending)?,
            }
            self.send(index);
        }
        self.dirty = dirty;
        Ok(())
    }

    fn send(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.sending_now = true;
        let (socket, bytes) = (connection.stream.as_raw_fd(), &raw const connection.sending[..]);
        // SAFETY: `sending` changes only when `sending_now` is false again, which the completion
        // does.
        unsafe { self.ring.send(socket, bytes, SEND | index as u64) };
    }

    fn handle(&mut self, completion: &Completion, now: u64) -> io::Result<()> {
        let index = (completion.token & u64::from(u32::MAX)) as usize;
        if completion.token & SEND != 0 {
            return self.handle_sent(index, completion.result);
        }
        let starved = completion.result == -libc::ENOBUFS;
        if starved {
            // Where all are out already, this turn's completions give theirs back before the next
            // wait.
            self.ring.offer_more();
        }
        if !completion.more && (completion.result > 0 || starved) {
            let socket = self.connections[index].stream.as_raw_fd();
            self.ring.receive(socket, RECEIVE | index as u64);
        }
        match (completion.buffer, completion.result) {
            (Some(buffer), 1..) => {
                self.handle_bytes(index, buffer, completion.result as usize, now)
            }
            (..) if starved => Ok(()),
            (_, 0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed")),
            (_, result) => Err(io::Error::from_raw_os_error(-result)),
        }
    }

    fn handle_sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.sending_now = false;
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        if (result as usize) < connection.sending.len() {
            // MSG_WAITALL or not, a send may end early: the rest goes first.
            connection.sending.drain(..result as usize);
            self.send(index);
        } else if connection.wants_write() {
            self.mark_dirty(index);
        }
        Ok(())
    }

    fn handle_bytes(
        &mut self,
        index: usize,
        buffer: u16,
        count: usize,
        now: u64,
    ) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let mut found = std::mem::take(&mut self.found);
        let mut bytes = self.ring.bytes(buffer, count);
        if let Some(secure) = &mut connection.secure {
            self.plain.clear();
            secure.open(bytes, &mut self.plain)?;
            bytes = &self.plain;
        }
        let read = self.dialect.answers(
            &mut connection.session,
            bytes,
            &mut connection.output,
            &mut found,
        );
        self.ring.give_back(buffer);
        read.map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken.0))?;
        if connection.wants_write() {
            self.mark_dirty(index);
        }
        self.tally.report.strays += std::mem::take(&mut found.strays);
        for answer in found.answers.drain(..) {
            self.handle_answer(index, answer, now);
        }
        self.found = found;
        Ok(())
    }

    fn handle_answer(&mut self, index: usize, answer: Answer, now: u64) {
        let connection = &mut self.connections[index];
        let slot = &mut connection.slots[usize::from(answer.slot)];
        let (due_ns, kind) = (slot.due_ns, slot.kind);
        slot.in_flight = false;
        connection.free.push(answer.slot);
        self.in_flight -= 1;
        self.last_answer_ns = now;
        let report = &mut self.tally.report;
        report.requests_total += 1;
        report.wrong += u64::from(answer.verdict == Verdict::Wrong);
        report.refused += u64::from(answer.verdict == Verdict::Refused);
        report.requests += u64::from(self.phase == Phase::Measuring);
        let measured = match self.open {
            Some(_) => self.window.contains(&due_ns),
            None => self.phase == Phase::Measuring,
        };
        let deadline_ns = self.options.deadline.map_or(u64::MAX, |time| time.as_nanos() as u64);
        let good = answer.verdict == Verdict::Right && now - due_ns <= deadline_ns;
        report.good += u64::from(measured && good);
        if !good {
            self.tally.report.missed(due_ns, self.window.end);
        }
        if measured && (good || self.options.deadline.is_none()) {
            record(self.tally.of(kind), now - due_ns);
        }
        if self.options.mode == Mode::Closed && self.phase != Phase::Draining {
            let kind = self.draw();
            self.request(index, now, kind);
        }
    }

    /// Counts what was never answered, with the age it had, and closes the books.
    fn finish(mut self) -> Report {
        let now = now_ns();
        for slot in self.connections.iter().flat_map(|connection| &connection.slots) {
            if slot.in_flight {
                self.tally.report.lost += 1;
                self.tally.report.missed(slot.due_ns, self.window.end);
                if self.options.deadline.is_none() {
                    record(self.tally.of(slot.kind), now - slot.due_ns);
                }
            }
        }
        for &(due, kind) in self.open.iter().flat_map(|open| &open.backlog) {
            self.tally.report.lost += 1;
            self.tally.report.missed(due, self.window.end);
            if self.options.deadline.is_none() {
                record(self.tally.of(kind), now - due);
            }
        }
        let mut report = self.tally.report;
        report.latency = Latency::of(&self.tally.first);
        report.second = self.options.mix.is_some().then(|| Latency::of(&self.tally.second));
        report.dispatch_late = self.open.is_some().then(|| Latency::of(&self.tally.dispatch_late));
        // The kernel may still read from a send that is under way, so those bytes are never freed;
        // the process ends soon.
        std::mem::forget(self.connections);
        report
    }
}

impl Tally {
    fn of(&mut self, kind: Kind) -> &mut Histogram<u64> {
        match kind {
            Kind::First => &mut self.first,
            Kind::Second => &mut self.second,
        }
    }
}
