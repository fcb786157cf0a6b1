//! A stream connection: bytes in, frames out to its role; frames in, bytes out to the ring.
//!
//! ```text
//!   ring ─ Received ─► input (cutter) ─ frames ─► server: requests   client: answers   raw: bytes
//!   ring ◄──── send ── output ◄───────── append ── answers           requests          bytes
//! ```
//!
//! Input is cut where it lies; only what cannot be taken now (too many requests in flight) is held,
//! and then the connection is not read until there is room. Output collects while a turn of the
//! loop runs and leaves with one send; while that send is under way further output collects.
//!
//! The ways to end, in order of politeness:
//! * The peer ends its side (FIN): no more requests; those read are answered, then we close.
//! * `finish`: we send what is written, then end our side, and close when the peer has seen it.
//! * `close`: at once. Requests in flight are cancelled, calls in flight fail.
//!
//! A connection that makes no progress for long (`Limits::stall_ms_max`) while it should (a frame
//! half received, output that is not taken, input that is not read for want of answers) is closed.
//! Bytes that are kept for it are leased from the process-wide budget; what does not fit is
//! answered with a code.
//!
//! Memory of an idle connection: this object, its entry in the table and one in the ring.

mod handing;
mod progress;
mod secure;
mod speaks_http;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use msec_protocol::{Arrival, BadFrame, Cutter, http};
use msec_sys::buffer::Buffer;
use msec_sys::output::Output;
use msec_sys::ring::Op;
use msec_sys::socket::{Address, Socket};

use crate::accepted::ServerSide;
use crate::append;
use crate::client::ClientSide;
use crate::closed::Closed;
use crate::connections::ConnectionId;
use crate::frame_memory;
use crate::raw::RawSide;
use crate::shard::Shard;
use crate::subject::Subject;
use crate::timer::TimerId;
use crate::tls::Tls;

/// What a connection is for.
pub(crate) enum Role {
    /// It was accepted: requests come in.
    Server(ServerSide),
    /// We opened it: answers come in.
    Client(ClientSide),
    /// We opened it towards a peer that speaks something else.
    Raw(RawSide),
}

/// How far a connection's life has gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Phase {
    /// The connect is under way: nothing can be sent yet.
    Connecting,
    /// The two sides agree on keys: nothing but that is sent.
    Handshake,
    /// Both directions work.
    Open,
    /// No more requests; closes when output is sent and nothing is in flight.
    Ending,
    /// Waits for the ring to let go.
    Dead,
}

/// How a connection comes about, and its TLS, if it has one.
pub(crate) enum Way {
    /// A connect is under way.
    Connecting(Option<Tls>),
    /// It was accepted.
    Accepted(Option<Tls>),
}

/// What a role says to a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken; the next one may follow.
    Yes,
    /// It was taken, and there is no room for another now.
    LastForNow,
}

#[derive(Default)]
struct Input {
    cutter: Cutter,
    /// Input that was received but not cut, because the role takes no more for now.
    held: Vec<u8>,
}

/// A stream connection.
pub(crate) struct Connection {
    id: Cell<ConnectionId>,
    pub(crate) role: Role,
    pub(crate) peer: Address,
    /// The same for people, once somebody has asked.
    peer_text: OnceCell<Arc<str>>,
    socket: Rc<Socket>,
    tls: Option<Box<Tls>>,
    phase: Cell<Phase>,
    input: RefCell<Input>,
    /// The receive, or the connect, under way; `None` while the connection is not read.
    recv: Cell<Option<Op>>,
    /// The role took its last frame for now.
    full: Cell<bool>,
    /// What was held is about to be taken: nothing is done before that.
    resuming: Cell<bool>,
    /// It goes to another process as soon as it can (`handed.rs`); not read on meanwhile.
    handing: Cell<bool>,
    /// Input is being cut: how far, only who cuts it knows.
    cutting: Cell<bool>,
    /// The peer sends no more.
    peer_ended: Cell<bool>,
    /// The peer was told that we send no more.
    said_end: Cell<bool>,
    output: RefCell<Output>,
    sending_bytes: Cell<usize>,
    dirty: Cell<bool>,
    /// Bytes leased from the budget.
    leased_bytes: Cell<usize>,
    progress_ns: Cell<u64>,
    /// Set while somebody has to look whether there is progress.
    stall_timer: Cell<Option<TimerId>>,
    /// It was connected once.
    connected: Cell<bool>,
}

/// Output beyond this stops the reading of further requests.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// Below this many bytes nothing is leased: it is less than the connection's fixed cost.
const LEASE_BYTES_MIN: usize = 16 * 1024;

impl Connection {
    /// Puts a new connection into the table.
    pub(crate) fn open(
        shard: &Rc<Shard>,
        socket: Rc<Socket>,
        peer: Address,
        role: Role,
        way: Way,
    ) -> Rc<Self> {
        let (connecting, tls) = match way {
            Way::Connecting(tls) => (true, tls),
            Way::Accepted(tls) => (false, tls),
        };
        let phase = if connecting { Phase::Connecting } else { Phase::Open };
        let connection = Rc::new(Self {
            id: Cell::default(),
            role,
            peer,
            peer_text: OnceCell::new(),
            socket,
            tls: tls.map(Box::new),
            phase: Cell::new(phase),
            input: RefCell::default(),
            recv: Cell::new(None),
            full: Cell::new(false),
            resuming: Cell::new(false),
            handing: Cell::new(false),
            cutting: Cell::new(false),
            peer_ended: Cell::new(false),
            said_end: Cell::new(false),
            output: RefCell::default(),
            sending_bytes: Cell::new(0),
            dirty: Cell::new(false),
            leased_bytes: Cell::new(0),
            progress_ns: Cell::new(shard.now_ns()),
            stall_timer: Cell::new(None),
            connected: Cell::new(!connecting),
        });
        let id = shard.connections.insert(&connection);
        connection.id.set(id);
        if connecting {
            let token = Subject::Connecting(id).token();
            let interest = msec_sys::ring::Interest::Writable;
            let op = shard.ring.borrow_mut().poll(&connection.socket, interest, token);
            connection.recv.set(Some(op));
        } else if let Some(tls) = connection.secure() {
            connection.begin_handshake(shard, tls);
        } else {
            connection.read(shard);
        }
        connection
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id.get()
    }

    /// Whether requests may be written to it.
    pub(crate) fn is_usable(&self) -> bool {
        self.phase.get() <= Phase::Open
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.phase.get() < Phase::Open
    }

    /// Whether the peer has ended its side, be it known to this core already or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket.has_ended()
    }

    /// Whether the connect, if there was one, succeeded.
    pub(crate) fn was_connected(&self) -> bool {
        self.connected.get()
    }

    /// Bytes written but not yet taken by the kernel.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.waiting_bytes() + self.sending_bytes.get()
    }

    /// Whether so much is unsent that no further requests are to be taken.
    #[inline]
    pub(crate) fn has_much_unsent(&self) -> bool {
        self.unsent_bytes() > OUTPUT_BYTES_MAX
    }

    /// The connect came to an end.
    pub(crate) fn connected(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.recv.set(None);
        if self.phase.get() != Phase::Connecting {
            return self.release(shard);
        }
        let outcome = self.socket.take_error().and_then(|error| error.map_or(Ok(()), Err));
        if let Err(error) = outcome {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            self.phase.set(Phase::Dead);
            self.dead(shard, &Closed::Failed(errno));
            return;
        }
        match self.secure() {
            Some(tls) => self.begin_handshake(shard, tls),
            None => self.opened(shard),
        }
    }

    fn read(&self, shard: &Shard) {
        let readable = match self.phase.get() {
            Phase::Handshake | Phase::Open => true,
            Phase::Ending => !self.peer_ended.get(),
            Phase::Connecting | Phase::Dead => false,
        };
        if self.recv.get().is_none() && readable {
            let token = Subject::Connection(self.id.get()).token();
            self.recv.set(Some(shard.ring.borrow_mut().recv(&self.socket, token)));
        }
    }

    /// Bytes came.
    #[inline]
    pub(crate) fn received(self: &Rc<Self>, shard: &Rc<Shard>, buffer: &Buffer) {
        self.progress_ns.set(shard.now_ns());
        if self.phase.get() > Phase::Open
            && (self.said_end.get() || self.phase.get() == Phase::Dead)
        {
            // What comes now cannot be answered any more.
            return;
        }
        match self.secure() {
            None => self.received_plain(shard, buffer),
            Some(tls) => self.received_sealed(shard, tls, buffer),
        }
    }

    #[inline]
    fn received_plain(self: &Rc<Self>, shard: &Rc<Shard>, bytes: &[u8]) {
        if self.full.get() {
            // A receive that was cancelled may deliver once more.
            self.input.borrow_mut().held.extend_from_slice(bytes);
            return;
        }
        self.take_input(shard, bytes);
    }

    /// Cuts input into frames and hands them to the role.
    fn take_input(self: &Rc<Self>, shard: &Rc<Shard>, bytes: &[u8]) {
        if let Role::Raw(raw) = &self.role {
            return raw.received(shard, self, bytes);
        }
        if let Role::Client(client) = &self.role {
            client.received(shard.now_ns());
        }
        if let Role::Server(server) = &self.role
            && let Some(http) = server.http()
        {
            return self.take_http(shard, server, http, bytes);
        }
        let mut rest = bytes;
        // Taken out while roles run: a callback may well close this very connection.
        let mut cutter = std::mem::take(&mut self.input.borrow_mut().cutter);
        self.cutting.set(true);
        frame_memory::lend(shard, &mut cutter, bytes.len());
        loop {
            let arrival = match cutter.next(&shard.shared.config.limits, &mut rest) {
                Ok(Some(arrival)) => arrival,
                Ok(None) => break,
                Err(BadFrame::Start(first)) if http::begins(first) && cutter.at_boundary() => {
                    if let Role::Server(server) = &self.role
                        && let Some(http) = server.begin_http(shard, self)
                    {
                        return self.take_http(shard, server, http, rest);
                    }
                    return self.close(shard, &Closed::Bad(BadFrame::Start(first)));
                }
                Err(bad) => return self.close(shard, &Closed::Bad(bad)),
            };
            let taken = match (&self.role, arrival) {
                (Role::Server(server), Arrival::Frame(frame)) => server.frame(shard, self, frame),
                (Role::Client(client), Arrival::Frame(frame)) => client.frame(shard, self, frame),
                (Role::Server(server), Arrival::Refused { head, .. }) => {
                    server.refused(shard, self, &head, msec_protocol::Code::TOO_LARGE)
                }
                (Role::Client(client), Arrival::Refused { head, .. }) => {
                    client.refused(shard, self, &head)
                }
                (Role::Raw(_), _) => Ok(Taken::Yes),
            };
            match taken {
                Ok(Taken::Yes) => {}
                Ok(Taken::LastForNow) => {
                    *self.input.borrow_mut() = Input { cutter, held: rest.to_vec() };
                    self.cutting.set(false);
                    self.pause(shard);
                    return self.hand_on_if_meant(shard);
                }
                Err(bad) => return self.close(shard, &Closed::BadHead(bad)),
            }
            if self.phase.get() == Phase::Dead {
                return;
            }
        }
        frame_memory::take_back(shard, &mut cutter);
        let partial_bytes = cutter.buffered();
        if partial_bytes > 0 || self.leased_bytes.get() > 0 {
            self.lease_input(shard, &mut cutter, partial_bytes);
        }
        self.input.borrow_mut().cutter = cutter;
        self.cutting.set(false);
        self.hand_on_if_meant(shard);
    }

    /// The receive is over.
    pub(crate) fn recv_ended(self: &Rc<Self>, shard: &Rc<Shard>, errno: i32) {
        self.recv.set(None);
        if self.phase.get() == Phase::Dead {
            self.release(shard);
        } else if errno == libc::ECANCELED {
            // Paused; or resumed again before the cancel took effect.
            if !self.full.get() {
                self.read(shard);
            }
            self.hand_on_if_meant(shard);
        } else if errno == 0 {
            self.ended(shard);
        } else {
            self.close(shard, &Closed::Failed(errno));
        }
    }

    /// The peer will send no more.
    fn ended(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.peer_ended.set(true);
        if self.handing.replace(false) {
            // What is held is answered here.
            self.resume(shard);
        }
        match &self.role {
            // What was read is still answered, also what is held.
            Role::Server(_) => {
                self.note_if_cut();
                self.phase.set(Phase::Ending);
                self.close_if_done(shard);
            }
            Role::Client(_) | Role::Raw(_) => self.close(shard, &self.why_ended()),
        }
    }

    /// Answers what is in flight, sends what is written, then closes. A server's connection is read
    /// until its peer has seen our end; requests that come meanwhile are refused.
    pub(crate) fn finish(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.handing.replace(false) {
            self.resume(shard);
        }
        if self.phase.get() <= Phase::Open {
            self.phase.set(Phase::Ending);
            self.close_if_done(shard);
        }
    }

    /// Closes a connection whose end was announced, if nothing is left to do.
    pub(crate) fn close_if_done(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.hand_on_if_meant(shard);
        if self.phase.get() != Phase::Ending || self.unsent_bytes() > 0 || self.resuming.get() {
            return;
        }
        let idle = match &self.role {
            Role::Server(server) => server.is_idle() && self.input.borrow().held.is_empty(),
            Role::Client(_) | Role::Raw(_) => true,
        };
        match &self.role {
            _ if !idle || self.says_close(shard) => {}
            // To close with input that is not read would reset the connection, and with it throw
            // away answers that the peer has not read (RFC 9293 §3.10.4, Linux tcp_close).
            Role::Server(_) if !self.peer_ended.get() => {
                if !self.said_end.replace(true) {
                    self.socket.end_sending();
                }
            }
            Role::Server(_) | Role::Client(_) | Role::Raw(_) => self.close(shard, &Closed::Ended),
        }
    }

    /// Appends output by `write`, to be sent at the end of this turn.
    ///
    /// What `write` returns is handed on. Output to a dead connection is thrown away.
    #[inline]
    pub(crate) fn append<R>(
        self: &Rc<Self>,
        shard: &Shard,
        write: impl FnOnce(&mut Output) -> R,
    ) -> R {
        let mut output = self.output.borrow_mut();
        if output.capacity() == 0 {
            *output = shard.spares.output();
        }
        let result = append::whole(&mut output, write);
        drop(output);
        if self.phase.get() == Phase::Dead {
            self.output.borrow_mut().clear();
        } else {
            self.mark_dirty(shard);
        }
        result
    }

    #[inline]
    fn mark_dirty(self: &Rc<Self>, shard: &Shard) {
        if !self.dirty.replace(true) {
            shard.make_dirty(self);
        }
    }

    /// Hands the output to the ring, unless a send is under way; either way looks how much waits.
    pub(crate) fn flush(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.dirty.set(false);
        if !self.may_send() {
            return;
        }
        if self.sending_bytes.get() == 0 {
            let output = self.take_output(shard);
            if output.is_empty() {
                return shard.spares.give_output(output);
            }
            self.send(shard, output, 0);
            self.watch_progress(shard);
        }
        // The peer asks faster than it takes answers. Only a server stops reading: if both sides
        // did, waiting for each other, neither would ever go on.
        let serves = matches!(self.role, Role::Server(_));
        if serves && self.has_much_unsent() && !self.full.get() {
            self.pause(shard);
        }
    }

    fn send(&self, shard: &Shard, output: Output, from: usize) {
        self.sending_bytes.set(output.len() - from);
        let token = Subject::Connection(self.id.get()).token();
        shard.ring.borrow_mut().send(&self.socket, token, output, from);
    }

    /// A send is over.
    pub(crate) fn sent(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        output: Output,
        result: Result<usize, i32>,
    ) {
        let from = output.len() - self.sending_bytes.get();
        self.sending_bytes.set(0);
        if self.phase.get() == Phase::Dead {
            return self.release(shard);
        }
        let sent = match result {
            Ok(sent) => sent,
            Err(errno) => return self.close(shard, &Closed::Failed(errno)),
        };
        self.progress_ns.set(shard.now_ns());
        if from + sent < output.len() {
            self.watch_progress(shard);
            return self.send(shard, output, from + sent);
        }
        shard.spares.give_output(output);
        if self.waiting_bytes() > 0 {
            self.mark_dirty(shard);
            self.watch_progress(shard);
            let kept = self.partial_bytes() + self.unsent_bytes();
            // Answers are written whatever the budget says; it only tells how much there is.
            self.lease(shard, kept);
            return;
        }
        if self.leased_bytes.get() > 0 {
            self.lease(shard, self.partial_bytes());
        }
        self.close_if_done(shard);
        if self.full.get() {
            self.role_may_resume(shard);
        }
    }

    fn role_may_resume(self: &Rc<Self>, shard: &Rc<Shard>) {
        let room = match &self.role {
            Role::Server(server) => server.has_room(shard),
            Role::Client(_) | Role::Raw(_) => true,
        };
        if room {
            self.resume(shard);
        }
    }

    /// Closes at once: whoever waits for this connection learns of it now.
    pub(crate) fn close(self: &Rc<Self>, shard: &Rc<Shard>, why: &Closed) {
        if self.phase.get() == Phase::Dead {
            return;
        }
        self.say_last_words();
        self.socket.shutdown();
        self.part(shard, why);
    }

    /// As [`Connection::close`], with the socket as it is: somebody else may have it.
    pub(crate) fn part(self: &Rc<Self>, shard: &Rc<Shard>, why: &Closed) {
        self.phase.set(Phase::Dead);
        if let Some(op) = self.recv.get() {
            shard.ring.borrow_mut().cancel(op);
        }
        self.dead(shard, why);
    }

    fn dead(self: &Rc<Self>, shard: &Rc<Shard>, why: &Closed) {
        match &self.role {
            Role::Server(server) => server.closed(shard, self, why),
            Role::Client(client) => client.closed(shard, self, why),
            Role::Raw(raw) => raw.closed(shard, why),
        }
        if let Some(timer) = self.stall_timer.take() {
            shard.timers.borrow_mut().cancel(timer);
        }
        if let Some(tls) = &self.tls {
            tls.end(shard);
        }
        shard.spares.give_output(self.output.take());
        self.input.take();
        self.lease(shard, 0);
        self.release(shard);
    }

    /// Who the peer is, for people.
    pub(crate) fn peer_text(&self) -> Arc<str> {
        self.peer_text.get_or_init(|| self.peer.to_string().into()).clone()
    }

    /// Leaves the table once the ring has let go of it.
    fn release(&self, shard: &Shard) {
        let held = self.recv.get().is_some() || self.sending_bytes.get() > 0;
        if !held && self.phase.get() == Phase::Dead {
            shard.connections.remove(self.id.get());
        }
    }
}
