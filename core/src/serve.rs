//! The life of a request on the server's side, on one core.
//!
//! ```text
//!   frame ─► admit ─► ready queue ─► start ─► coroutine / offload thread / loop ─► reply ─► finish
//!              │           │            │
//!              │           │            └── deadline passed, cancelled: refused before it runs
//!              │           └── another core sleeps and this has waited: handed over, unstarted
//!              └── unknown method, over a limit: refused
//! ```
//!
//! Each request that was admitted is finished exactly once, on the core of its connection: there
//! its answer is written, its place in the table of flights freed, what it leased given back. A
//! refusal is an answer with a code. Nothing is answered with silence but a one-way request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use msec_protocol::serve::{Admission, State, admit};
use msec_protocol::{
    AnswerHead, BadHead, Code, Counters, Frame, Head, frame, head, limits, report,
};
use msec_sys::process::CrashNote;
use msec_sys::ring::Op;
use msec_sys::socket::Socket;

use crate::connection::{Closed, Connection, Role, Taken};
use crate::context::{Context, Origin};
use crate::engine::Lease;
use crate::error::Result;
use crate::flight;
use crate::method::{Kind, MethodTable, Name};
use crate::shard::{self, Message, Shard, Subject, Timer};
use crate::task::{Job, Ready, Task};

/// What all cores of a server share: decided when it starts, never changed.
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) methods: MethodTable,
    pub(crate) method_budgets: Vec<Option<Arc<crate::budget::Budget>>>,
}

/// A stream listener of one core.
struct Listener {
    socket: Rc<Socket>,
    accept: Cell<Option<Op>>,
}

/// A server, on one core.
pub(crate) struct ServerShard {
    pub(crate) plan: Arc<Plan>,
    /// What is counted of each method on this core; added up when somebody asks.
    counters: RefCell<Vec<Counters>>,
    method_leases: Vec<Option<Lease>>,
    listeners: RefCell<Vec<Listener>>,
    /// Connections that were accepted over the limit, before accepting had paused: not served yet.
    over_limit: RefCell<VecDeque<OwnedFd>>,
    datagrams: RefCell<Vec<(Rc<Socket>, Op)>>,
    pub(crate) connections_count: Cell<usize>,
    pub(crate) in_flight: Cell<usize>,
    /// Answers say that this server leaves.
    draining: Cell<bool>,
    /// Requests are not taken any more, only those in flight answered.
    finishing: Cell<bool>,
    self_rc: std::rc::Weak<ServerShard>,
}

/// How long accepting rests after an error such as EMFILE.
const ACCEPT_REST_NS: u64 = 50_000_000;
/// Datagrams read from a socket in one go.
const DATAGRAMS_COUNT_MAX: usize = 128;
/// A ready request that has waited so long may be handed to an idle core (measured: a hand-over
/// costs two to five microseconds, mostly to wake the other core).
const HAND_OVER_NS: u64 = 200_000;
/// Requests handed over at once.
const HAND_OVER_COUNT_MAX: usize = 4;

impl ServerShard {
    /// Puts the server on this core, listening on `streams` and `datagrams`.
    pub(crate) fn start(
        shard: &Rc<Shard>,
        plan: Arc<Plan>,
        streams: Vec<OwnedFd>,
        datagrams: Vec<OwnedFd>,
    ) {
        let number = plan.number;
        let leases = plan.method_budgets.iter().map(|budget| budget.as_ref().map(Lease::new));
        let leases = leases.collect();
        let server = Rc::new_cyclic(|self_rc| Self {
            counters: RefCell::new(vec![Counters::new(); plan.methods.list.len()]),
            method_leases: leases,
            listeners: RefCell::default(),
            over_limit: RefCell::default(),
            datagrams: RefCell::default(),
            connections_count: Cell::new(0),
            in_flight: Cell::new(0),
            draining: Cell::new(false),
            finishing: Cell::new(false),
            self_rc: self_rc.clone(),
            plan,
        });
        let mut servers = shard.servers.borrow_mut();
        if servers.len() <= number as usize {
            servers.resize(number as usize + 1, None);
        }
        servers[number as usize] = Some(server.clone());
        drop(servers);
        for fd in streams {
            let listener = Listener { socket: Socket::new(fd), accept: Cell::new(None) };
            server.listeners.borrow_mut().push(listener);
        }
        for index in 0..server.listeners.borrow().len() {
            server.accept(shard, index as u32);
        }
        for (index, fd) in datagrams.into_iter().enumerate() {
            let socket = Socket::new(fd);
            let token = Subject::Datagram(number, index as u32).token();
            let op = shard.ring.borrow_mut().watch(&socket, token);
            server.datagrams.borrow_mut().push((socket, op));
        }
    }

    /// Starts to accept, again; at the limit of connections only after another rest.
    pub(crate) fn accept(&self, shard: &Rc<Shard>, index: u32) {
        if !self.serve_over_limit(shard) {
            return self.accept_later(shard, index);
        }
        if self.draining.get() {
            return;
        }
        let listeners = self.listeners.borrow();
        let Some(listener) = listeners.get(index as usize) else { return };
        let token = Subject::Listener(self.plan.number, index).token();
        listener.accept.set(Some(shard.ring.borrow_mut().accept(&listener.socket, token)));
    }

    fn accept_later(&self, shard: &Shard, index: u32) {
        let again = Timer::Accept { server: self.plan.number, listener: index };
        shard.timers.borrow_mut().insert(shard.now_ns() + ACCEPT_REST_NS, again);
    }

    /// Serves those who were accepted over the limit, as far as there is room now; whether all are.
    fn serve_over_limit(&self, shard: &Rc<Shard>) -> bool {
        while !self.over_limit.borrow().is_empty() {
            if !shard.leases.connections.take(1) {
                return false;
            }
            let fd = self.over_limit.borrow_mut().pop_front();
            fd.map(|fd| self.serve(shard, fd));
        }
        true
    }

    /// A connection was accepted, maybe while we drain: it is served all the same. Over the limit
    /// it is neither served nor refused until there is room.
    pub(crate) fn accepted(&self, shard: &Rc<Shard>, fd: OwnedFd) {
        let first = self.over_limit.borrow().is_empty();
        if first && shard.leases.connections.take(1) {
            return self.serve(shard, fd);
        }
        self.over_limit.borrow_mut().push_back(fd);
        if first {
            self.pause_accepting(shard, "the limit of connections is reached");
        }
    }

    /// Serves a connection, which is leased.
    fn serve(&self, shard: &Rc<Shard>, fd: OwnedFd) {
        let socket = Socket::new(fd);
        let (Ok(peer), Some(server)) = (socket.peer_address(), self.self_rc.upgrade()) else {
            // It is dead already.
            return shard.leases.connections.give(1);
        };
        self.connections_count.set(self.connections_count.get() + 1);
        Connection::open(shard, socket, peer, Role::Server(ServerSide::new(server)), false);
    }

    fn pause_accepting(&self, shard: &Shard, why: &str) {
        crate::log::warn("accept", format_args!("accepting pauses: {why}"));
        for listener in self.listeners.borrow().iter() {
            if let Some(op) = listener.accept.get() {
                shard.ring.borrow_mut().cancel(op);
            }
        }
    }

    /// Accepting ended: by us, or because something ran out, which a little rest may mend.
    pub(crate) fn accept_ended(&self, shard: &Shard, index: u32, errno: i32) {
        if let Some(listener) = self.listeners.borrow().get(index as usize) {
            listener.accept.set(None);
        }
        if self.draining.get() && self.over_limit.borrow().is_empty() {
            return;
        }
        if errno != libc::ECANCELED {
            let error = std::io::Error::from_raw_os_error(errno);
            crate::log::warn("accept", format_args!("accepting pauses: {error}"));
        }
        self.accept_later(shard, index);
    }

    /// Stops accepting; answers say from now on that this server leaves.
    pub(crate) fn drain(&self, shard: &Rc<Shard>) {
        if self.draining.replace(true) {
            return;
        }
        let listeners = self.listeners.take();
        for listener in &listeners {
            if let Some(op) = listener.accept.get() {
                shard.ring.borrow_mut().cancel(op);
            }
            // Connections that wait in the kernel's queue would be reset with the listener.
            while let Ok(fd) = listener.socket.accept_now() {
                self.accepted(shard, fd);
            }
        }
        for connection in shard.connections.all() {
            if let Role::Server(side) = &connection.role {
                side.say_leaving(shard, &connection);
            }
        }
    }

    /// Ends what is left, politely: no more requests are read, those in flight are answered.
    pub(crate) fn finish(&self, shard: &Rc<Shard>) {
        self.finishing.set(true);
        self.over_limit.take();
        for (_, op) in self.datagrams.take() {
            shard.ring.borrow_mut().cancel(op);
        }
        for connection in shard.connections.all() {
            if self.owns(&connection) {
                connection.finish(shard);
            }
        }
    }

    /// Takes the server off this core; what is still in flight is cancelled.
    pub(crate) fn end(&self, shard: &Rc<Shard>) {
        for connection in shard.connections.all() {
            if self.owns(&connection) {
                connection.close(shard, &Closed::Stopped);
            }
        }
        shard.servers.borrow_mut()[self.plan.number as usize] = None;
    }

    fn owns(&self, connection: &Connection) -> bool {
        matches!(&connection.role, Role::Server(side) if side.server.plan.number == self.plan.number)
    }

    /// Reads the datagrams of a socket: each is one request.
    pub(crate) fn datagrams(&self, shard: &Rc<Shard>, index: u32, errno: i32) {
        if errno != 0 {
            return;
        }
        let Some((socket, _)) = self.datagrams.borrow().get(index as usize).cloned() else {
            return;
        };
        let mut memory = vec![0; limits::DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_COUNT_MAX {
            // An ICMP error of an earlier answer shows up here; the socket works on.
            let Ok((length, sender)) = socket.recv_from_now(&mut memory) else { return };
            self.datagram(shard, index, &memory[..length], sender);
        }
        // There may be more, and no edge will tell: look again after the others had their turn.
        let number = self.plan.number;
        let again = move |shard: &Rc<Shard>| {
            if let Some(server) = shard.server(number) {
                server.datagrams(shard, index, 0);
            }
        };
        shard.timers.borrow_mut().insert(shard.now_ns(), Timer::Run(Box::new(again)));
    }

    fn datagram(
        &self,
        shard: &Rc<Shard>,
        index: u32,
        bytes: &[u8],
        sender: msec_sys::socket::RawAddress,
    ) {
        // What cannot be read cannot be answered, and a datagram has no connection to close.
        let Ok(frame) = frame::datagram(bytes) else { return };
        let Ok(head) = head::decode_request(frame.head()) else { return };
        if head.cancel {
            return;
        }
        let mut context = shard.context();
        context.fill(head, frame);
        context.origin =
            Origin::Datagram { core: shard.index as u16, socket: index, sender: Box::new(sender) };
        self.admit(shard, context, None);
    }

    /// Decides about a request that was read: it is queued, run at once, or refused.
    #[inline]
    fn admit(
        &self,
        shard: &Rc<Shard>,
        mut context: Box<Context>,
        connection: Option<(&ServerSide, &Rc<Connection>)>,
    ) {
        context.server = self.plan.number;
        context.received_ns = shard.now_ns();
        if context.head().flow_id == 0 {
            let flow_id = shard.random().max(1);
            context.set_flow_id(flow_id);
        }
        let name = context.head().method_name.of(context.head_bytes());
        let Some(method) = self.find_method(name, connection.map(|(side, _)| side)) else {
            let text = format!("there is no method `{}` here", String::from_utf8_lossy(name));
            return self.refuse(shard, context, Code::INVALID_METHOD, &text);
        };
        context.method = method;
        // Limits of number are leased below; a full connection is not read.
        let state = State {
            draining: self.finishing.get(),
            arrived_ns: shard.now_ns(),
            now_ns: shard.now_ns(),
            ..State::default()
        };
        context.deadline_ns = match admit(context.head(), &state, &shard.shared.config.limits) {
            Admission::Run { deadline_ns } => deadline_ns,
            Admission::Refuse(code) => return self.refuse(shard, context, code, ""),
            // Told apart before: a cancel is no request.
            Admission::Cancel => return shard.give_context(context),
        };
        if !shard.leases.requests.take(1) {
            let text = "too many requests in flight in this process";
            return self.refuse(shard, context, Code::OVERLOADED, text);
        }
        if let Some(lease) = &self.method_leases[method as usize]
            && !lease.take(1)
        {
            shard.leases.requests.give(1);
            let text = "too many requests of this method in flight";
            return self.refuse(shard, context, Code::OVERLOADED, text);
        }
        if let Some((side, connection)) = connection {
            let sequence = context.head().sequence;
            let mut flights = shard.flights.borrow_mut();
            let place = flights.insert(side.flights.get(), sequence, context.cancel.clone());
            side.flights.set(place);
            side.in_flight.set(side.in_flight.get() + 1);
            let core = shard.index as u16;
            context.origin = Origin::Stream { core, connection: connection.id(), flight: place };
        }
        self.counters.borrow_mut()[method as usize].begin();
        self.in_flight.set(self.in_flight.get() + 1);
        if self.plan.methods.list[method as usize].kind == Kind::Callback {
            return run_here(shard, self, context);
        }
        if shard.may_start_now() {
            // While its bytes are in the cache: queues of whole batches fall out of it.
            start(shard, context);
            shard.started_now();
        } else {
            shard.tasks.ready.borrow_mut().push_back(Ready::Start(context));
        }
    }

    #[inline]
    fn find_method(&self, name: &[u8], side: Option<&ServerSide>) -> Option<u32> {
        let Some(side) = side else { return self.plan.methods.find(name) };
        // A connection mostly asks for the same method again.
        let last = side.last_method.get();
        if self
            .plan
            .methods
            .list
            .get(last as usize)
            .is_some_and(|m| m.name.text().as_bytes() == name)
        {
            return Some(last);
        }
        let found = self.plan.methods.find(name)?;
        side.last_method.set(found);
        Some(found)
    }

    /// Answers a request that is not in flight.
    fn refuse(&self, shard: &Rc<Shard>, context: Box<Context>, code: Code, text: &str) {
        write_refusal(shard, self, &context, code, text);
        shard.give_context(context);
    }
}

/// A connection that was accepted.
pub(crate) struct ServerSide {
    server: Rc<ServerShard>,
    /// The first of its requests in the core's table of flights.
    flights: Cell<u32>,
    in_flight: Cell<u32>,
    last_method: Cell<u32>,
    /// An answer has told what this server understands.
    told_features: Cell<bool>,
    /// The peer has sent fields that only new peers send.
    new_peer: Cell<bool>,
}

impl ServerSide {
    fn new(server: Rc<ServerShard>) -> Self {
        Self {
            server,
            flights: Cell::new(flight::NONE),
            in_flight: Cell::new(0),
            last_method: Cell::new(0),
            told_features: Cell::new(false),
            new_peer: Cell::new(false),
        }
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// Whether it may read on: a quarter below its limit, so that it does not stop and go.
    pub(crate) fn has_room(&self, shard: &Shard) -> bool {
        let most = shard.shared.config.limits.requests_per_connection_max;
        self.in_flight.get() <= most - most / 4 - u32::from(most < 4).min(most)
    }

    /// A request came.
    #[inline]
    pub(crate) fn frame(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        frame: Frame<'_>,
    ) -> std::result::Result<Taken, BadHead> {
        let head = head::decode_request(frame.head())?;
        if head.deadline_ms != 0 {
            self.new_peer.set(true);
        }
        if head.cancel {
            self.cancel(shard, &head);
            return Ok(Taken::Yes);
        }
        let mut context = shard.context();
        context.fill(head, frame);
        // Kept for the refusals, which are written before there is a flight.
        let core = shard.index as u16;
        context.origin = Origin::Stream { core, connection: connection.id(), flight: flight::NONE };
        self.server.admit(shard, context, Some((self, connection)));
        let most = shard.shared.config.limits.requests_per_connection_max;
        Ok(if self.in_flight.get() >= most { Taken::LastForNow } else { Taken::Yes })
    }

    /// A request came whose body is thrown away.
    pub(crate) fn refused(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        head_bytes: &[u8],
        code: Code,
    ) -> std::result::Result<Taken, BadHead> {
        let head = head::decode_request(head_bytes)?;
        if !head.one_way && !head.cancel {
            let text = match code {
                Code::TOO_LARGE => "the request's body is over the limit",
                _ => "too many bytes of requests are held in this process",
            };
            let answer = AnswerHead {
                err: code,
                err_msg: text.as_bytes(),
                ..AnswerHead::to(&head, head_bytes)
            };
            self.append(shard, connection, &answer, |_| ());
        }
        Ok(Taken::Yes)
    }

    fn cancel(&self, shard: &Shard, head: &Head) {
        let cancels = shard.flights.borrow().with_sequence(self.flights.get(), head.sequence);
        for cancel in cancels {
            cancel.cancel(&shard.shared.cores);
        }
    }

    /// Writes an answer, with what else the peer should know.
    #[inline]
    fn append(
        &self,
        shard: &Shard,
        connection: &Rc<Connection>,
        answer: &AnswerHead<'_>,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut answer = *answer;
        if !self.told_features.replace(true) {
            answer.features = head::FEATURES;
        }
        answer.leaving = self.server.draining.get();
        let limits = &shard.shared.config.limits;
        let written =
            connection.append(shard, |out| head::encode_answer(&answer, limits, out, write_body));
        if let Err(too_large) = written {
            let text = format!("the answer does not fit: {too_large}");
            let refusal = AnswerHead {
                err: Code::TOO_LARGE,
                err_msg: text.as_bytes(),
                caller: &[],
                ..answer
            };
            let again =
                connection.append(shard, |out| head::encode_answer(&refusal, limits, out, |_| ()));
            // Cannot be: the head is the request's, which was within its limit, less the caller.
            debug_assert!(again.is_ok());
        }
    }

    /// Tells an idle peer that this server leaves; one that is not idle learns it by its answer.
    fn say_leaving(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        if self.server.draining.get() && self.is_idle() && self.new_peer.get() {
            // No call has sequence 0, so a peer takes only the news from this answer.
            self.append(shard, connection, &AnswerHead::default(), |_| ());
        }
    }

    /// The connection is dead: nobody waits for its requests any more.
    pub(crate) fn closed(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, why: &Closed) {
        match why {
            Closed::Ended | Closed::Stopped => {}
            Closed::Failed(_) => crate::log::debug(
                "connection",
                format_args!("connection from {} is dead: {why}", connection.peer),
            ),
            Closed::Bad(_)
            | Closed::BadHead(_)
            | Closed::Stalled
            | Closed::Silent
            | Closed::TooMuch => {
                crate::log::warn(
                    "connection",
                    format_args!("connection from {} closed: {why}", connection.peer),
                );
            }
        }
        shard.leases.connections.give(1);
        self.server.connections_count.set(self.server.connections_count.get() - 1);
        let cancels = shard.flights.borrow_mut().remove_all(self.flights.replace(flight::NONE));
        for cancel in cancels {
            cancel.cancel(&shard.shared.cores);
        }
    }
}

/// Where a handler's answer goes.
pub(crate) struct Reply<'a> {
    context: &'a Context,
    /// The core that the handler runs on, if its answer can be written directly.
    shard: Option<&'a Rc<Shard>>,
    server: Option<&'a ServerShard>,
    /// The body, when it is written elsewhere.
    body: Option<Vec<u8>>,
    written: bool,
}

impl Reply<'_> {
    /// Writes the body of the answer, once.
    #[inline]
    pub(crate) fn body(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.written = true;
        if self.context.is_one_way() {
            return Ok(());
        }
        if let (Some(shard), Some(server)) = (self.shard, self.server) {
            write_answer(shard, server, self.context, &Outcome::OK, write);
        } else {
            let mut body = Vec::new();
            write(&mut body);
            self.body = Some(body);
        }
        Ok(())
    }
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    code: Code,
    text: String,
}

impl Outcome {
    const OK: Self = Self { code: Code::OK, text: String::new() };
}

/// Writes an answer to where the request came from; this must be the core it came to.
#[inline]
fn write_answer(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: &Context,
    outcome: &Outcome,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    let answer = AnswerHead {
        err: outcome.code,
        err_msg: outcome.text.as_bytes(),
        result: context.result_value(),
        ..AnswerHead::to(context.head(), context.head_bytes())
    };
    match &context.origin {
        Origin::Stream { connection, .. } => {
            if let Some(connection) = shard.connections.find(*connection)
                && let Role::Server(side) = &connection.role
            {
                side.append(shard, &connection, &answer, write_body);
            }
        }
        Origin::Datagram { socket, sender, .. } => {
            let Some((socket, _)) = server.datagrams.borrow().get(*socket as usize).cloned() else {
                return;
            };
            answer_datagram(shard, server, &socket, sender, answer, write_body);
        }
    }
}

fn answer_datagram(
    shard: &Shard,
    server: &ServerShard,
    socket: &Socket,
    sender: &msec_sys::socket::RawAddress,
    mut answer: AnswerHead<'_>,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    answer.leaving = server.draining.get();
    answer.features = head::FEATURES;
    let mut bytes = shard.output();
    let limits = &shard.shared.config.limits;
    let written = head::encode_answer(&answer, limits, &mut bytes, write_body);
    if written.is_err() || bytes.len() > limits::DATAGRAM_BYTES_MAX {
        bytes.clear();
        answer.err = Code::TOO_LARGE;
        answer.err_msg = b"the answer does not fit into a datagram";
        // A head that came in a datagram fits into one.
        let _ = head::encode_answer(&answer, limits, &mut bytes, |_| ());
    }
    // A full socket buffer loses the answer, as the network may at any time.
    let _ = socket.send_to_now(&bytes, sender);
    shard.give_output(bytes);
}

fn write_refusal(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: &Context,
    code: Code,
    text: &str,
) {
    if !context.is_one_way() {
        let outcome = Outcome { code, text: text.into() };
        write_answer(shard, server, context, &outcome, |_| ());
    }
}

/// Starts a request that was queued.
pub(crate) fn start(shard: &Rc<Shard>, mut context: Box<Context>) {
    context.started_ns = shard.start_ns();
    let Some(server) = shard.server(context.server) else {
        return shard.give_context(context);
    };
    if context.cancel.is_set() {
        return give_up(shard, &server, context, Code::CANCELLED, "cancelled before it started");
    }
    if context.deadline_ns != 0 && context.started_ns >= context.deadline_ns {
        let text = "the deadline passed before it started";
        return give_up(shard, &server, context, Code::DEADLINE_EXCEEDED, text);
    }
    if server.plan.methods.list[context.method as usize].kind == Kind::Heavy {
        return offload(shard, &server, context);
    }
    let inherited = context.inherited();
    let task = shard.tasks.take(Job::Request(context), inherited);
    if let Err((exhausted, Job::Request(context))) = shard.tasks.run(task) {
        crate::log::warn("stacks", format_args!("a request was refused: {exhausted}"));
        give_up(shard, &server, context, Code::OVERLOADED, "no stack is left for a coroutine");
    }
}

/// Ends a request that does not run.
fn give_up(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>, code: Code, text: &str) {
    finish(shard, server, context, Outcome { code, text: text.into() }, None);
}

/// Serves a request on the running task.
pub(crate) fn serve(shard: &Rc<Shard>, task: &Task, context: Box<Context>) {
    let Some(server) = shard.server(context.server) else { return };
    let name = server.plan.methods.list[context.method as usize].name;
    task.set_name(name);
    context.cancel.serve_on(task.id(shard.index));
    run_here(shard, &server, context);
}

/// Runs a handler on this thread, which is a core's.
#[inline]
fn run_here(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>) {
    let local = context.origin.core() == shard.index;
    let name = server.method_name(&context);
    shard.shared.cores.beat(shard.index).runs(name);
    CrashNote::set(name.text());
    let (outcome, body) = run(&server.plan, &context, local.then_some((shard, server)));
    finish(shard, server, context, outcome, body);
}

/// Runs a handler, with a barrier for panics.
fn run(
    plan: &Plan,
    context: &Context,
    place: Option<(&Rc<Shard>, &ServerShard)>,
) -> (Outcome, Option<Vec<u8>>) {
    let method = &plan.methods.list[context.method as usize];
    let mut reply = Reply {
        context,
        shard: place.map(|(shard, _)| shard),
        server: place.map(|(_, server)| server),
        body: None,
        written: false,
    };
    let result = catch_unwind(AssertUnwindSafe(|| (method.handler)(context, &mut reply)));
    let outcome = match result {
        Ok(Ok(())) => Outcome::OK,
        Ok(Err(error)) => Outcome { code: error.code(), text: error.message().into() },
        Err(payload) => {
            let text = panic_text(payload.as_ref());
            crate::log::error(
                "panic",
                format_args!("method {} panicked: {text}", method.name.text()),
            );
            Outcome { code: Code::SERVICE_FAILED, text: format!("the handler panicked: {text}") }
        }
    };
    (outcome, reply.body)
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// A request that ended away from its core, on its way back.
pub(crate) struct Answered {
    context: Box<Context>,
    outcome: Outcome,
    body: Option<Vec<u8>>,
}

/// Ends a request that ran or was given up: on the core it came to, at once, else by a message.
fn finish(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: Box<Context>,
    outcome: Outcome,
    body: Option<Vec<u8>>,
) {
    let core = context.origin.core();
    if core != shard.index {
        let answered = Box::new(Answered { context, outcome, body });
        return shard.post(core, Message::Answered(answered));
    }
    settle(shard, server, context, &outcome, body);
}

/// A request came back from another thread.
pub(crate) fn answered(shard: &Rc<Shard>, answered: Answered) {
    let Answered { context, outcome, body } = answered;
    match shard.server(context.server) {
        Some(server) => settle(shard, &server, context, &outcome, body),
        None => {
            // Its server was stopped over it, and with that its place in all tables is gone.
            shard.leases.requests.give(1);
            shard.give_context(context);
        }
    }
}

/// Writes what is not written yet, frees what the request held, and counts it.
fn settle(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: Box<Context>,
    outcome: &Outcome,
    body: Option<Vec<u8>>,
) {
    if !context.is_one_way() {
        if let Some(body) = body {
            write_answer(shard, server, &context, outcome, |out| out.extend_from_slice(&body));
        } else if outcome.code != Code::OK {
            write_answer(shard, server, &context, outcome, |_| ());
        }
    }
    let ended = report::Outcome {
        code: outcome.code,
        latency_ns: shard.now_ns().saturating_sub(context.received_ns),
        queue_ns: context.started_ns.saturating_sub(context.received_ns),
        request_bytes: context.frame_bytes() as u64,
        answer_bytes: 0,
    };
    server.counters.borrow_mut()[context.method as usize].end(&ended);
    server.in_flight.set(server.in_flight.get() - 1);
    shard.leases.requests.give(1);
    if let Some(lease) = &server.method_leases[context.method as usize] {
        lease.give(1);
    }
    if let Origin::Stream { connection, flight, .. } = &context.origin
        && let Some(connection) = shard.connections.find(*connection)
        && let Role::Server(side) = &connection.role
    {
        let first = shard.flights.borrow_mut().remove(side.flights.get(), *flight);
        side.flights.set(first);
        side.in_flight.set(side.in_flight.get() - 1);
        if side.has_room(shard) {
            connection.resume(shard);
        }
        if side.is_idle() {
            connection.close_if_done(shard);
        }
    }
    shard.give_context(context);
}

/// Runs a request on an offload thread.
fn offload(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>) {
    let plan = server.plan.clone();
    let shared = shard.shared.clone();
    context.set_peer(peer_of(&context.origin));
    // Between the two the context lies here, so that a refused job gives it back.
    let slot = Arc::new(Mutex::new(Some(context)));
    let theirs = slot.clone();
    let job = Box::new(move || {
        let context = theirs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some(context) = context else { return };
        let core = context.origin.core();
        let inherited = context.inherited();
        let (outcome, body) = crate::offload::inheriting(inherited, || run(&plan, &context, None));
        let answered = Box::new(Answered { context, outcome, body });
        shared.cores.post_patiently(core, Message::Answered(answered));
    });
    if !shard.shared.offload.submit(job) {
        let context = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(context) = context {
            let text = "too many requests wait for an offload thread";
            give_up(shard, server, context, Code::OVERLOADED, text);
        }
    }
}

impl ServerShard {
    /// What was counted of each method on this core.
    pub(crate) fn counters(&self) -> Vec<Counters> {
        self.counters.borrow().clone()
    }

    /// Connections and requests in flight on this core.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.connections_count.get() + self.over_limit.borrow().len(), self.in_flight.get())
    }

    fn method_name(&self, context: &Context) -> Name {
        self.plan.methods.list[context.method as usize].name
    }
}

/// Hands requests that have waited, and not started, to a core that sleeps.
pub(crate) fn hand_over(shard: &Shard, now_ns: u64) {
    let Some(idle) = shard.shared.cores.sleeping(shard.index) else { return };
    let mut ready = shard.tasks.ready.borrow_mut();
    let starts = ready.iter().filter(|ready| matches!(ready, Ready::Start(_))).count();
    let mut left = starts.div_ceil(2).min(HAND_OVER_COUNT_MAX);
    let mut index = 0;
    while left > 0 && index < ready.len() {
        let waited = matches!(&ready[index],
            Ready::Start(context) if now_ns.saturating_sub(context.received_ns) > HAND_OVER_NS
                && context.origin.core() == shard.index);
        if !waited {
            index += 1;
            continue;
        }
        left -= 1;
        if let Some(Ready::Start(context)) = ready.remove(index) {
            context.set_peer(peer_of(&context.origin));
            shard.post(idle, Message::Request(context));
        }
    }
}

/// Where a request came from, for people; only its own core knows.
pub(crate) fn peer_of(origin: &Origin) -> String {
    match origin {
        Origin::Stream { connection, .. } => shard::current()
            .filter(|shard| shard.index == origin.core())
            .and_then(|shard| shard.connections.find(*connection))
            .map(|connection| connection.peer.to_string())
            .unwrap_or_default(),
        Origin::Datagram { sender, .. } => {
            sender.as_socket().map(|address| address.to_string()).unwrap_or_default()
        }
    }
}
