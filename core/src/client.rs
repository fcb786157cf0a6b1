//! Clients: calls to a service or an address, in the four ways one may want to wait.
//!
//! | | waits | from |
//! |---|---|---|
//! | [`Client::call`] | the coroutine parks, or the thread blocks | anywhere but a core's loop |
//! | [`Client::start`] | later, in [`Pending::wait`]; several at a time | anywhere |
//! | the same, as a `Future` | `.await`, or [`block_on`](crate::block_on) | anywhere |
//! | [`Client::call_back`] | nobody: a function is called on a core | anywhere |
//!
//! A call made in a handler inherits the request's deadline, less the time spent, its cancellation,
//! its flow id and its dye. A call made elsewhere begins a flow of its own.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::append;
use bytes::BufMut;
use msec_protocol::{
    Address, BadHead, Calls, Code, Frame, RequestHead, Target, TooLarge, head, limits,
};
use msec_sys::output::Writer;

use crate::answer::{Answer, Reply};
use crate::call::{self, Ask, Done};
use crate::closed::Closed;
use crate::compress::{self, Compress};
use crate::connection::{Connection, Taken};
use crate::connections::ConnectionId;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::method;
use crate::pending::{Pending, Posted, Tell};
use crate::shard::{self, Shard, Timer};
use crate::timer::TimerId;

pub use crate::options::{CallOptions, TIMEOUT_DEFAULT};

/// Calls one service. Cheap to clone; usable from every thread.
#[derive(Clone)]
pub struct Client {
    engine: Engine,
    target: Arc<Target>,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Client({})", self.target)
    }
}

impl Client {
    /// A client of a service (`L1.L2`, found in the engine's routes) or of one address (`ip:port`,
    /// `ip:port@udp`, `unix:/path`). Connects when it is first used.
    ///
    /// # Errors
    /// -14 when the text is neither.
    pub fn new(engine: &Engine, target: &str) -> Result<Self> {
        let target = target.parse::<Target>().map_err(|bad| {
            Error::new(Code::INVALID_ENDPOINT, format!("cannot call `{target}`: {bad}"))
        })?;
        Ok(Self { engine: engine.clone(), target: Arc::new(target) })
    }

    /// Calls a method and waits for its answer.
    ///
    /// Suspends the coroutine, or blocks the thread if it is not a core's.
    ///
    /// # Errors
    /// -10 no answer in time; -11 the connection failed or died; -103 the request that this call
    /// is made for was cancelled; -105 too large; -15 no instance of the service is known; -101
    /// the peer does not take what is sent to it; and whatever code the callee answered with.
    pub fn call<Request, Response>(&self, method: &str, request: &Request) -> Result<Response>
    where
        Request: prost::Message,
        Response: prost::Message + Default,
    {
        self.call_with(method, request, &CallOptions::default())
    }

    /// As [`Client::call`], with options.
    pub fn call_with<Request, Response>(
        &self,
        method: &str,
        request: &Request,
        options: &CallOptions,
    ) -> Result<Response>
    where
        Request: prost::Message,
        Response: prost::Message + Default,
    {
        if options.one_way {
            self.call_written(method, options, |out| encode(request, out))?;
            return Ok(Response::default());
        }
        self.call_written(method, options, |out| encode(request, out))?.decode()
    }

    /// Calls with a body of bytes.
    pub fn call_raw(&self, method: &str, body: &[u8], options: &CallOptions) -> Result<Reply> {
        self.call_written(method, options, |out| out.put_slice(body))
    }

    fn call_written(
        &self,
        method: &str,
        options: &CallOptions,
        write_body: impl Fn(&mut Writer<'_, '_>),
    ) -> Result<Reply> {
        let home = |shard: &Rc<Shard>| Arc::ptr_eq(&shard.shared, self.engine.shared());
        let Some(shard) = shard::current().filter(home) else {
            let body = append::written(write_body);
            return self.start_body::<()>(method, body, options).wait_raw();
        };
        call::blocking(&shard, &self.target, method, options, &write_body)
    }

    /// Starts a call; the answer is waited for later, so that several run at a time.
    ///
    /// ```no_run
    /// # use msec::{CallOptions, Client, Engine};
    /// # let engine = Engine::start()?;
    /// # let users = Client::new(&engine, "Demo.users")?;
    /// # let orders = Client::new(&engine, "Demo.orders")?;
    /// # let ann = "ann".to_string();
    /// let options = CallOptions::new();
    /// let user = users.start::<String, String>("demo.Users.Find", &ann, &options);
    /// let order = orders.start::<String, String>("demo.Orders.Last", &ann, &options);
    /// println!("{} ordered {}", user.wait()?, order.wait()?);
    /// # Ok::<(), msec::Error>(())
    /// ```
    pub fn start<Request, Response>(
        &self,
        method: &str,
        request: &Request,
        options: &CallOptions,
    ) -> Pending<Response>
    where
        Request: prost::Message,
        Response: prost::Message + Default,
    {
        self.start_body(method, request.encode_to_vec(), options)
    }

    /// As [`Client::start`], with a body of bytes; the answer is a [`Reply`] from
    /// [`Pending::wait_raw`].
    pub fn start_body<Response>(
        &self,
        method: &str,
        body: Vec<u8>,
        options: &CallOptions,
    ) -> Pending<Response> {
        let waiting = Arc::default();
        let tell = |deadline_ns| Tell::waiting(Arc::clone(&waiting), deadline_ns);
        let deadline_ns = self.post(method, body, options, tell);
        Pending::new(waiting, deadline_ns, self.engine.clone())
    }

    /// Calls and has a function called with the answer: exactly once, also when the call fails
    /// before it leaves, and never before this returns.
    ///
    /// The function runs on a core's loop, where it must not block; as an engine stops, it may run
    /// on another thread. A panic in it is logged. The call inherits what any does, but a cancel
    /// that comes after it has begun does not end it: nobody waits for it.
    pub fn call_back<Request, Response>(
        &self,
        method: &str,
        request: &Request,
        options: &CallOptions,
        done: impl FnOnce(Result<Response>) + Send + 'static,
    ) where
        Request: prost::Message,
        Response: prost::Message + Default,
    {
        let done = move |result: Result<Reply>| done(result.and_then(Reply::decode));
        self.call_back_raw(method, request.encode_to_vec(), options, done);
    }

    /// As [`Client::call_back`], with bodies of bytes.
    pub fn call_back_raw(
        &self,
        method: &str,
        body: Vec<u8>,
        options: &CallOptions,
        done: impl FnOnce(Result<Reply>) + Send + 'static,
    ) {
        let tell = |deadline_ns| Tell::callback(done, deadline_ns);
        self.post(method, body, options, tell);
    }

    /// Begins a call on this core, or on one of the engine's; returns its deadline.
    fn post(
        &self,
        method: &str,
        body: Vec<u8>,
        options: &CallOptions,
        tell: impl FnOnce(u64) -> Tell,
    ) -> u64 {
        let inherited = crate::inherited();
        let deadline_ns = call::deadline_ns(options, &inherited, msec_sys::clock::now_ns());
        let request = Posted {
            target: self.target.clone(),
            method: method.into(),
            body,
            options: options.clone(),
            inherited,
            deadline_ns,
            tell: tell(deadline_ns),
        };
        request.post(self.engine.shared());
        deadline_ns
    }
}

fn encode<M: prost::Message>(message: &M, out: &mut Writer<'_, '_>) {
    message.encode(out).expect("an output has room for whatever memory holds");
}

/// On a connection that is silent for so long a call looks for its end before it is sent: one
/// system call, which is nothing beside that silence. Peers that end what is idle wait longer.
const IDLE_NS_MIN: u64 = 10_000_000;

/// A call in flight on a connection.
struct Flying {
    done: Done,
    /// Set as soon as the call has its sequence.
    timer: Option<TimerId>,
    method: method::Name,
}

impl Flying {
    #[inline]
    fn stop_timer(&self, shard: &Shard) {
        if let Some(timer) = self.timer {
            shard.timers.borrow_mut().cancel(timer);
        }
    }
}

/// A connection that we opened to call on.
pub(crate) struct ClientSide {
    address: Address,
    /// Of its address in spans, once it was needed.
    number: Cell<u32>,
    calls: RefCell<Calls<Flying>>,
    /// What the server said it understands.
    features: Cell<u64>,
    /// No further calls: the server leaves, or is silent.
    leaving: Cell<bool>,
    /// It has answered something, so whoever listens there speaks the protocol.
    heard: Cell<bool>,
    connect_timer: Cell<Option<TimerId>>,
    /// When bytes came last.
    received_ns: Cell<u64>,
}

impl ClientSide {
    pub(crate) fn new(address: Address, first_sequence: u32) -> Self {
        Self {
            address,
            number: Cell::new(0),
            calls: RefCell::new(Calls::new(first_sequence)),
            features: Cell::new(0),
            leaving: Cell::new(false),
            heard: Cell::new(false),
            connect_timer: Cell::new(None),
            received_ns: Cell::new(0),
        }
    }

    pub(crate) fn set_connect_timer(&self, timer: TimerId) {
        self.connect_timer.set(Some(timer));
    }

    /// Whether further calls may use it.
    pub(crate) fn is_open_for_calls(&self) -> bool {
        !self.leaving.get() && self.calls.borrow().len() < limits::CALLS_PER_CONNECTION_MAX as usize
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Writes a request and notes whom its answer is for.
    #[inline]
    pub(crate) fn begin(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        ask: &Ask<'_>,
        done: Done,
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<u64> {
        let kind = ask.options.compress;
        if kind == Compress::None || self.features.get() & head::FEATURE_COMPRESS == 0 {
            return self.begin_as(shard, connection, ask, (done, Compress::None), write_body);
        }
        self.begin_compressed(shard, connection, ask, done, write_body)
    }

    /// Not part of [`ClientSide::begin`], nor is [`ClientSide::begin_one_way`]: each would take its
    /// place on the stack of every coroutine that calls.
    #[inline(never)]
    fn begin_compressed(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        ask: &Ask<'_>,
        done: Done,
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<u64> {
        let kind = ask.options.compress;
        let body = append::written(write_body);
        if body.len() > shard.shared.config.limits.body_bytes_max {
            return Err(call::too_large(ask.method, TooLarge::Body(body.len())));
        }
        let body = compress::compress(kind, &body).map_err(|e| e.while_calling(ask.method))?;
        self.begin_as(shard, connection, ask, (done, kind), |out| out.put_slice(&body))
    }

    /// As [`ClientSide::begin`], with a body that is compressed like that already.
    #[inline]
    fn begin_as(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        ask: &Ask<'_>,
        (done, kind): (Done, Compress),
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<u64> {
        let limits = &shard.shared.config.limits;
        ask.calling.goes_to(self.number(shard));
        if connection.unsent_bytes() > limits::CLIENT_UNSENT_BYTES_MAX {
            let text = format!("{} does not take what is sent to it", ask.address);
            return Err(Error::new(Code::OVERLOADED, text).while_calling(ask.method));
        }
        if ask.options.one_way {
            return self.begin_one_way(shard, connection, ask, (done, kind), write_body);
        }
        let id = connection.id();
        let flying = Flying { done, timer: None, method: method::intern(ask.method) };
        let begun = self.calls.borrow_mut().begin(flying);
        // What a refused call is dropped with may call again: not with the table borrowed.
        let sequence = begun.map_err(|_| {
            let text = format!("too many calls in flight to {}", ask.address);
            Error::new(Code::OVERLOADED, text).while_calling(ask.method)
        })?;
        let timer = Timer::Call { connection: id, sequence };
        let timer = shard.timers.borrow_mut().insert(ask.deadline_ns, timer);
        if let Some(flying) = self.calls.borrow_mut().get_mut(sequence) {
            flying.timer = Some(timer);
        }
        let head = RequestHead { compress: kind.number(), ..ask.head(shard, sequence) };
        let written = connection.append(shard, |out| ask.append(out, &head, limits, write_body));
        if let Err(large) = written {
            self.take(shard, sequence);
            return Err(call::too_large(ask.method, large));
        }
        Ok(sequence)
    }

    #[inline(never)]
    fn begin_one_way(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        ask: &Ask<'_>,
        (done, kind): (Done, Compress),
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<u64> {
        let limits = &shard.shared.config.limits;
        let head = RequestHead { compress: kind.number(), ..ask.head(shard, 0) };
        connection
            .append(shard, |out| ask.append(out, &head, limits, write_body))
            .map_err(|large| call::too_large(ask.method, large))?;
        done.tell(shard, Ok(Answer::nothing()));
        Ok(0)
    }

    fn take(&self, shard: &Shard, sequence: u64) -> Option<Flying> {
        let flying = self.calls.borrow_mut().cancel(sequence)?;
        flying.stop_timer(shard);
        Some(flying)
    }

    /// The number of its address, in spans.
    fn number(&self, shard: &Shard) -> u32 {
        if shard.reporter.is_on && self.number.get() == 0 {
            self.number.set(shard.reporter.address(&self.address.to_string()));
        }
        self.number.get()
    }

    /// The connect succeeded.
    pub(crate) fn connected(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        if let Some(timer) = self.connect_timer.take() {
            shard.timers.borrow_mut().cancel(timer);
        }
        shard.peers.connected(shard, &self.address);
        self.close_if_left(shard, connection);
    }

    /// Bytes came: the peer is alive.
    #[inline]
    pub(crate) fn received(&self, now_ns: u64) {
        self.received_ns.set(now_ns);
        self.calls.borrow_mut().handle_bytes();
    }

    /// Whether the peer may have ended the connection because nobody used it.
    #[inline]
    pub(crate) fn is_idle(&self, now_ns: u64) -> bool {
        now_ns > self.received_ns.get() + IDLE_NS_MIN && self.calls.borrow().is_empty()
    }

    /// An answer came.
    #[inline]
    pub(crate) fn frame(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        frame: Frame<'_>,
    ) -> std::result::Result<Taken, BadHead> {
        let head = head::decode_answer(frame.head())?;
        if head.features != 0 {
            self.features.set(head.features);
        }
        if !self.heard.replace(true) {
            shard.peers.heard(&self.address);
        }
        let flying = match head.sequence {
            // It answers nothing, but tells what follows.
            0 if head.leaving => None,
            // Late, twice, or nobody's: it finds no call and is dropped.
            sequence => self.calls.borrow_mut().handle_answer(sequence),
        };
        if head.leaving && !self.leaving.replace(true) {
            shard.peers.left(shard, &self.address, connection.id());
        }
        if let Some(flying) = flying {
            flying.stop_timer(shard);
            flying.done.tell(shard, Ok(Answer::keep(head, frame, &shard.shared.config.limits)));
        }
        self.close_if_left(shard, connection);
        Ok(Taken::Yes)
    }

    /// A connection that is left is closed when its last call is over.
    fn close_if_left(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        if !self.leaving.get() || !self.calls.borrow().is_empty() {
            return;
        }
        if self.calls.borrow().is_silent() {
            connection.close(shard, &Closed::Silent);
        } else {
            connection.finish(shard);
        }
    }

    /// An answer came whose body is thrown away.
    pub(crate) fn refused(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        head_bytes: &[u8],
    ) -> std::result::Result<Taken, BadHead> {
        let head = head::decode_answer(head_bytes)?;
        if let Some(flying) = self.take(shard, head.sequence) {
            let text = format!("the answer of {} is over the limit of bytes", self.address);
            let error = Error::new(Code::TOO_LARGE, text).while_calling(flying.method.text());
            flying.done.tell(shard, Err(error));
        }
        self.close_if_left(shard, connection);
        Ok(Taken::Yes)
    }

    /// The deadline of a call has come.
    pub(crate) fn timed_out(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, sequence: u64) {
        let flying = self.calls.borrow_mut().handle_timeout(sequence);
        let Some(flying) = flying else { return };
        let code = self.calls.borrow().unanswered();
        let error = call::timed_out(&self.address, code, flying.method.text());
        flying.done.tell(shard, Err(error));
        self.send_cancel(shard, connection, sequence);
        // The peer may have vanished, or only be slow: further calls take a new connection, and
        // those in flight keep this one until their answers or deadlines.
        if self.calls.borrow().is_silent() && !self.leaving.replace(true) {
            shard.peers.forget(&self.address, connection.id());
            let (address, why) = (&self.address, Closed::Silent);
            let text = format_args!("connection to {address} is given up: {why}");
            crate::log::warn("peer", text);
        }
        self.close_if_left(shard, connection);
    }

    /// Nobody waits for that call any more.
    ///
    /// False if it is over.
    pub(crate) fn cancel(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        sequence: u64,
    ) -> bool {
        let taken = self.take(shard, sequence).is_some();
        if taken {
            self.send_cancel(shard, connection, sequence);
            self.close_if_left(shard, connection);
        }
        taken
    }

    /// No further calls: it is closed when those in flight are over.
    pub(crate) fn leave(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        self.leaving.set(true);
        self.close_if_left(shard, connection);
    }

    fn send_cancel(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, sequence: u64) {
        if self.features.get() & head::FEATURE_CANCEL == 0 {
            return;
        }
        let limits = &shard.shared.config.limits;
        let cancel = RequestHead::cancel(sequence);
        // A few bytes are within every limit.
        let _ = connection.append(shard, |out| append::request(out, &cancel, limits, |_| ()));
    }

    /// The connection is dead: its calls fail now, not at their deadlines.
    pub(crate) fn closed(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, why: &Closed) {
        if let Some(timer) = self.connect_timer.take() {
            shard.timers.borrow_mut().cancel(timer);
        }
        let connected = connection.was_connected();
        if why.is_a_breach() {
            crate::log::warn("peer", format_args!("connection to {} closed: {why}", self.address));
        }
        // A peer that accepts and hangs up at once is no better than one that refuses.
        let theirs = why.is_the_peers();
        let in_vain = !connected || (theirs && !self.heard.get());
        let failed = in_vain.then_some(why);
        shard.peers.closed(shard, &self.address, connection.id(), failed);
        let calls: Vec<_> = self.calls.borrow_mut().handle_death().collect();
        for (_, flying) in calls {
            flying.stop_timer(shard);
            let error = dead(&self.address, why, connected, flying.method.text());
            flying.done.tell(shard, Err(error));
        }
    }
}

/// What calls are told whose connection died.
pub(crate) fn dead(address: &Address, why: &Closed, connected: bool, method: &str) -> Error {
    let what = if connected { "connection to" } else { "cannot connect to" };
    let error = Error::new(Code::NETWORK, format!("{what} {address}: {why}")).while_calling(method);
    // What waited for the connect has not left.
    if connected { error } else { error.unsent() }
}

/// The connection with that identity, if it is ours to call on.
pub(crate) fn with_side(
    shard: &Rc<Shard>,
    id: ConnectionId,
    run: impl FnOnce(&ClientSide, &Rc<Connection>),
) {
    if let Some(connection) = shard.connections.find(id)
        && let crate::connection::Role::Client(side) = &connection.role
    {
        run(side, &connection);
    }
}
