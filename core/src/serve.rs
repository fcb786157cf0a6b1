//! A server on one core: its listeners, and the admission of what they bring.
//!
//! ```text
//!   listener ─► accepted connection ─► frame ─┐
//!   datagram socket ─► datagram ──────────────┴► admit ─► start now, or queue
//!                                                  └── unknown method, over a limit: refused
//! ```
//!
//! Connections come by `serve/accepting.rs`. A drain closes the listeners and lets every answer say
//! that this server leaves.

mod accepting;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use msec_protocol::serve::concurrency::{Concurrency, Ended};
use msec_protocol::serve::{Admission, State, admit};
use msec_protocol::{Code, Counters, frame, limits, report};
use msec_sys::process::note_request;
use msec_sys::ring::Op;
use msec_sys::socket::Socket;

use accepting::{Accepted, Listener};

use crate::accepted::ServerSide;
use crate::budget::Budget;
use crate::closed::Closed;
use crate::connection::{Connection, Role};
use crate::context::{Context, Origin};
use crate::engine::Lease;
use crate::handed::Heir;
use crate::listen::Bound;
use crate::method::{Handler, Kind, MethodTable, Name};
use crate::overload;
use crate::pages::Pages;
use crate::quota::{CallerQuotas, Quotas};
use crate::report::served::Served;
use crate::request::{give, run_here, start, write_refusal};
use crate::shard::{Shard, Timer};
use crate::subject::Subject;
use crate::tls::Accepts;
use crate::{dye, trace};

/// What all cores of a server share: decided when it starts, never changed.
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) methods: MethodTable,
    pub(crate) method_budgets: Vec<Option<Arc<Budget>>>,
    pub(crate) quotas: Quotas,
    /// Longest body, also of one that was decompressed, in bytes.
    pub(crate) body_bytes_max: usize,
    /// What bodies that were decompressed count against.
    pub(crate) bytes: Arc<Budget>,
    /// Pages of these origins may call; `*` for all.
    pub(crate) cors: Vec<String>,
    /// Names that mean this server, beyond its addresses.
    pub(crate) hosts: Vec<String>,
    pub(crate) pages: Pages,
    /// It has addresses for pages, so they are nowhere else.
    pub(crate) has_admin: bool,
    /// How streams are secured that are accepted, by the number of the listener.
    pub(crate) tls: Vec<Option<Arc<Accepts>>>,
}

impl Plan {
    /// The place of an origin among those whose pages may call.
    pub(crate) fn allows_origin(&self, origin: &[u8]) -> Option<usize> {
        self.cors.iter().position(|known| known == "*" || known.as_bytes() == origin)
    }
}

/// A server, on one core.
pub(crate) struct ServerShard {
    pub(crate) plan: Arc<Plan>,
    /// What is counted on this core; added up when somebody asks.
    pub(crate) calls: Served,
    method_leases: Vec<Option<Lease>>,
    /// The adaptive limit of each method, for this core's requests.
    concurrencies: RefCell<Vec<Concurrency>>,
    quotas: CallerQuotas,
    listeners: RefCell<Vec<Listener>>,
    /// Connections that were accepted over the limit, before accepting had paused: not served yet.
    over_limit: RefCell<VecDeque<Accepted>>,
    datagrams: RefCell<Vec<(Rc<Socket>, Op)>>,
    pub(crate) connections_count: Cell<usize>,
    pub(crate) in_flight: Cell<usize>,
    /// Answers say that this server leaves.
    draining: Cell<bool>,
    /// Who gets its connections.
    heir: RefCell<Option<Heir>>,
    /// Requests are not taken any more, only those in flight answered.
    finishing: Cell<bool>,
    self_rc: std::rc::Weak<ServerShard>,
}

/// Datagrams read from a socket in one go.
const DATAGRAMS_COUNT_MAX: usize = 128;

impl ServerShard {
    /// Puts the server on this core, listening on `streams` and `datagrams`.
    pub(crate) fn start(
        shard: &Rc<Shard>,
        plan: Arc<Plan>,
        streams: Vec<Bound>,
        admins: Vec<Bound>,
        datagrams: Vec<Bound>,
    ) {
        let number = plan.number;
        let leases = plan.method_budgets.iter().map(|budget| budget.as_ref().map(Lease::new));
        let leases = leases.collect();
        let server = Rc::new_cyclic(|self_rc| Self {
            calls: Served::new(plan.methods.list.len()),
            method_leases: leases,
            concurrencies: RefCell::new(vec![Concurrency::new(); plan.methods.list.len()]),
            quotas: CallerQuotas::new(&plan.quotas),
            listeners: RefCell::default(),
            over_limit: RefCell::default(),
            datagrams: RefCell::default(),
            connections_count: Cell::new(0),
            in_flight: Cell::new(0),
            draining: Cell::new(false),
            heir: RefCell::default(),
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
        // In this order, as in the plan's list of how they are secured.
        let admins = admins.into_iter().map(|bound| (bound, true));
        for (bound, is_admin) in admins.chain(streams.into_iter().map(|bound| (bound, false))) {
            let socket = Some(bound.into_socket());
            let mut listeners = server.listeners.borrow_mut();
            let tls = server.plan.tls.get(listeners.len()).cloned().flatten();
            let (accept, closing) = (Cell::new(None), RefCell::default());
            listeners.push(Listener { socket, closing, accept, is_admin, tls });
        }
        for index in 0..server.listeners.borrow().len() {
            server.accept(shard, index as u32);
        }
        for (index, bound) in datagrams.into_iter().enumerate() {
            let socket = bound.into_socket();
            let token = Subject::Datagram(number, index as u32).token();
            let op = shard.ring.borrow_mut().watch(&socket, token);
            server.datagrams.borrow_mut().push((socket, op));
        }
    }

    /// Stops accepting; answers say from now on that this server leaves.
    pub(crate) fn drain(&self, shard: &Rc<Shard>) {
        if self.draining.replace(true) {
            return;
        }
        // Whoever asks whether this server is ready is still to be told.
        self.close_listeners(shard, |listener| !listener.is_admin);
        for connection in shard.connections.all() {
            if let Role::Server(side) = &connection.role {
                side.say_leaving(shard, &connection);
            }
        }
    }

    /// Accepts no more and reads no more datagrams; connections go to `heir`, where they can.
    pub(crate) fn hand_over(&self, shard: &Rc<Shard>, heir: Heir) {
        if self.draining.replace(true) {
            return;
        }
        *self.heir.borrow_mut() = Some(heir);
        // The heir has pages of its own; whoever asks is to hear of the one that goes on.
        self.close_listeners(shard, |_| true);
        self.stop_reading_datagrams(shard);
        for connection in shard.connections.all() {
            if self.owns(&connection) {
                connection.hand_over(shard);
            }
        }
    }

    pub(crate) fn heir(&self) -> Option<Heir> {
        self.heir.borrow().clone()
    }

    /// Ends what is left, politely: no more requests are read, those in flight are answered.
    pub(crate) fn finish(&self, shard: &Rc<Shard>) {
        self.finishing.set(true);
        self.over_limit.take();
        self.stop_reading_datagrams(shard);
        for connection in shard.connections.all() {
            if self.owns(&connection) {
                connection.finish(shard);
            }
        }
    }

    /// The sockets stay, for the answers to those in flight.
    fn stop_reading_datagrams(&self, shard: &Shard) {
        for (_, op) in self.datagrams.borrow().iter() {
            shard.ring.borrow_mut().cancel(*op);
        }
    }

    /// Takes the server off this core; what is still in flight is cancelled.
    pub(crate) fn end(&self, shard: &Rc<Shard>) {
        self.finishing.set(true);
        self.stop_reading_datagrams(shard);
        self.datagrams.take();
        for listener in self.listeners.take() {
            if let Some(op) = listener.accept.get() {
                shard.ring.borrow_mut().cancel(op);
            }
            if let Some(socket) = listener.socket.filter(|socket| !socket.is_shared()) {
                socket.shutdown();
            }
        }
        for connection in shard.connections.all() {
            if self.owns(&connection) {
                connection.close(shard, &Closed::Stopped);
            }
        }
        let service = &shard.shared.config.report.service;
        let rows = self.calls.rows(&self.plan, service, shard.reporter.is_on);
        shard.reporter.remember(rows.into_iter());
        shard.servers.borrow_mut()[self.plan.number as usize] = None;
    }

    fn owns(&self, connection: &Connection) -> bool {
        matches!(&connection.role, Role::Server(side) if side.serves(self.plan.number))
    }

    /// Reads the datagrams of a socket: each is one request.
    pub(crate) fn datagrams(&self, shard: &Rc<Shard>, index: u32, errno: i32) {
        if errno != 0 || self.finishing.get() {
            return;
        }
        let Some((socket, _)) = self.datagrams.borrow().get(index as usize).cloned() else {
            return;
        };
        let mut memory = vec![0; limits::DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_COUNT_MAX {
            match socket.recv_from_now(&mut memory) {
                Ok((length, from)) => self.datagram(shard, index, &memory[..length], from),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier answer: what waits behind it is read, for no edge
                // will tell of it again.
                Err(_) => {}
            }
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
        envelope: msec_sys::datagram::Envelope,
    ) {
        // What cannot be read cannot be answered, and a datagram has no connection to close.
        let Ok(frame) = frame::datagram(bytes) else { return };
        let mut context = shard.spares.context();
        if context.fill(frame).is_err() || context.head().cancel {
            return shard.spares.give_context(context);
        }
        let (core, envelope) = (shard.index as u16, Box::new(envelope));
        context.origin = Origin::Datagram { core, socket: index, envelope };
        self.admit(shard, context, None);
    }

    /// Decides about a request that was read: it is queued, run at once, or refused.
    #[inline]
    pub(crate) fn admit(
        &self,
        shard: &Rc<Shard>,
        mut context: Box<Context>,
        connection: Option<(&ServerSide, &Rc<Connection>)>,
    ) {
        context.server = self.plan.number;
        context.received_ns = shard.now_ns();
        let Some(method) = self.recognize(shard, &mut context, connection.map(|of| of.0)) else {
            let name = context.head().method_name.of(context.head_bytes());
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
            Admission::Cancel => return shard.spares.give_context(context),
        };
        if let Err(per_second) = self.quotas.take(&context, shard.now_ns()) {
            let caller = context.caller();
            let text = format!("caller `{caller}` is over its quota of {per_second} a second");
            return self.refuse(shard, context, Code::RATE_LIMITED, &text);
        }
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
        if !self.concurrencies.borrow_mut()[method as usize].admit() {
            self.give_leases(shard, method);
            let text = "requests of this method queue up inside it, and more would be too late";
            return self.refuse(shard, context, Code::OVERLOADED, text);
        }
        if let Some((side, connection)) = connection {
            let flight = side.begin_flight(shard, &context);
            let core = shard.index as u16;
            context.origin = Origin::Stream { core, connection: connection.id(), flight };
        }
        self.calls.begin(context.row);
        self.in_flight.set(self.in_flight.get() + 1);
        note_recent(&context);
        self.begin(shard, context);
    }

    /// Starts a request that is admitted, or queues it.
    #[inline]
    fn begin(&self, shard: &Rc<Shard>, context: Box<Context>) {
        let method = &self.plan.methods.list[context.method as usize];
        if let Handler::Take(take) = &method.handler {
            return give(shard, self, context, take);
        }
        if method.kind == Kind::Callback {
            return run_here(shard, self, context);
        }
        if shard.may_start_now() {
            // While its bytes are in the cache: queues of whole batches fall out of it.
            start(shard, context);
            shard.started_now();
        } else {
            overload::enqueue(shard, context);
        }
    }

    /// Refuses a request whose body was thrown away as it came.
    pub(crate) fn refuse_unread(
        &self,
        shard: &Rc<Shard>,
        mut context: Box<Context>,
        side: &ServerSide,
        (code, text): (Code, &str),
    ) {
        context.server = self.plan.number;
        context.received_ns = shard.now_ns();
        // What does not exist is counted with all that does not.
        let method = self.recognize(shard, &mut context, Some(side));
        context.method = method.unwrap_or_default();
        self.refuse(shard, context, code, text);
    }

    /// Finds out what is asked for and by whom, and so how the request is reported.
    #[inline]
    fn recognize(
        &self,
        shard: &Rc<Shard>,
        context: &mut Context,
        side: Option<&ServerSide>,
    ) -> Option<u32> {
        if context.head().flow_id == 0 {
            let flow_id = shard.random().max(1);
            context.set_flow_id(flow_id);
        }
        dye::admit(shard, context);
        let (head, reporter, forgotten) = (context.head(), &shard.reporter, Cell::new(0));
        let method = self.find_method(head.method_name.of(context.head_bytes()), side);
        let last = side.map_or(&forgotten, |side| &side.last_caller);
        let caller = head.caller.of(context.head_bytes());
        let row = self.calls.row(reporter, &self.plan, method, caller, last);
        let own_id = if reporter.is_on { reporter.next_span_id() } else { head.span_id };
        (context.row, context.span_id) = (row, own_id);
        method
    }

    #[inline]
    fn find_method(&self, name: &[u8], side: Option<&ServerSide>) -> Option<u32> {
        let Some(side) = side else { return self.plan.methods.find(name) };
        // A connection mostly asks for the same method again.
        let last = side.last_method.get();
        let method = self.plan.methods.list.get(last as usize);
        if method.is_some_and(|method| method.name.text().as_bytes() == name) {
            return Some(last);
        }
        let found = self.plan.methods.find(name)?;
        side.last_method.set(found);
        Some(found)
    }

    /// Whether answers say that this server leaves.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The datagram socket with that index, until the server ends.
    pub(crate) fn datagram_socket(&self, index: u32) -> Option<Rc<Socket>> {
        self.datagrams.borrow().get(index as usize).map(|(socket, _)| socket.clone())
    }

    /// A request that was admitted is over: counts it and gives back what it held.
    #[inline]
    pub(crate) fn ended(&self, shard: &Shard, context: &Context, outcome: &report::Outcome) {
        let method = context.method as usize;
        let started_ns = context.started_ns;
        let now_ns = context.received_ns + outcome.latency_ns;
        let concurrency = &mut self.concurrencies.borrow_mut()[method];
        let judged = if started_ns == 0 {
            concurrency.leave();
            self.calls.give_up(context.row, outcome.code)
        } else {
            let wasted = now_ns >= context.deadline_ns || context.cancel.is_set();
            if self.is_adaptive(shard, method) {
                concurrency.end(&Ended { started_ns, now_ns, wasted });
            } else {
                concurrency.leave();
            }
            self.calls.end(&shard.reporter, context.row, outcome)
        };
        trace::served(shard, context, outcome, &judged);
        self.in_flight.set(self.in_flight.get() - 1);
        self.give_leases(shard, context.method);
    }

    fn is_adaptive(&self, shard: &Shard, method: usize) -> bool {
        shard.shared.config.overload_control && self.plan.methods.list[method].adaptive
    }

    fn give_leases(&self, shard: &Shard, method: u32) {
        shard.leases.requests.give(1);
        if let Some(lease) = &self.method_leases[method as usize] {
            lease.give(1);
        }
    }

    /// Answers a request that is not in flight; its method is known, unless that is what is wrong.
    fn refuse(&self, shard: &Rc<Shard>, context: Box<Context>, code: Code, text: &str) {
        let judged = self.calls.refuse(context.row, code);
        let ended = report::Outcome { code, ..report::Outcome::default() };
        trace::served(shard, &context, &ended, &judged);
        write_refusal(shard, self, &context, code, text);
        shard.spares.give_context(context);
    }
}

/// Notes a request for whoever will ask what this process did last.
#[inline]
fn note_recent(context: &Context) {
    let (head, bytes) = (context.head(), context.head_bytes());
    let numbers = || (context.received_ns, head.flow_id, context.body().len());
    note_request(numbers, head.method_name.of(bytes), head.caller.of(bytes));
}

impl ServerShard {
    /// What was counted of each method on this core.
    pub(crate) fn counters(&self) -> Vec<Counters> {
        self.calls.by_method()
    }

    /// Connections and requests in flight on this core.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.connections_count.get() + self.over_limit.borrow().len(), self.in_flight.get())
    }

    /// Whether nobody is connected, nothing is in flight, and nobody can come any more: what was
    /// accepted before accepting has ended is still to be served.
    pub(crate) fn is_empty(&self) -> bool {
        let comes = |listener: &Listener| listener.closing.borrow().is_some();
        self.load() == (0, 0) && !self.listeners.borrow().iter().any(comes)
    }

    pub(crate) fn method_name(&self, context: &Context) -> Name {
        self.plan.methods.list[context.method as usize].name
    }
}
