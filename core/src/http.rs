//! A connection that speaks HTTP/1.1: requests become those of SRPC, answers become HTTP.
//!
//! ```text
//!   bytes ─► protocol/http ─► Exchange, queued ─► a frame as SRPC would have it ─► serve::admit
//!               │                   │   ▲                                              │
//!               │                   │   └────────── its answer ◄── request::write_answer ◄┘
//!               └─► pages           ▼
//!                             output, in the order of the requests
//! ```
//!
//! A call by HTTP takes the same way as any other: the same admission, coroutine, deadline,
//! cancellation and counters. What makes it HTTP is on both ends of that way: here, where a request
//! gets a number (its sequence) and a place in a queue, and in `coding.rs`, where JSON becomes a
//! message right before the method runs.
//!
//! HTTP answers in the order of the requests, methods end in any order. An answer whose turn has
//! not come waits in the queue; those bytes count as unsent, and so bound what is read.
//!
//! | header of the request | is |
//! |---|---|
//! | `content-type: application/protobuf`, `…/octet-stream` | bodies are messages as they are |
//! | `msec-timeout-ms: 250` | how long the caller waits: the deadline |
//! | `msec-meta-<key>: value` | a user header; its key in lower case |
//! | `msec-meta-msec-priority: critical` | who goes first under overload; also `sheddable` |
//! | `traceparent` | the trace, and the caller's span in it |
//! | `authorization: Bearer <token>` | the service token |
//! | `caller: L1.L2` | who calls; `http.json` if absent |
//! | `msec-dyed: 1` | the request is dyed |
//!
//! The answer to a call has a `traceparent` of its own: the trace, also where nobody else has named
//! it, and the span of the request here.
//!
//! A request with `Origin` comes from a page in a browser. It is refused unless that page comes
//! from here or from where [`cors`](crate::ServerBuilder::cors) allows, so that no site can make
//! its visitors' browsers call what only they can reach.

mod asked;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use msec_protocol::http::{self, Arrival, BadRequest, Cutter, Method, Request, Target};
use msec_protocol::trace::TraceParent;
use msec_protocol::{AnswerHead, Code, Limits, TooLarge, head, limits, status};
use msec_sys::clock;

use crate::accepted::ServerSide;
use crate::connection::Connection;
use crate::context::Origin;
use crate::flight;
use crate::pages;
use crate::serve::Plan;
use crate::shard::Shard;

pub(crate) use asked::is_own_host;
use asked::{Asked, Exchange, Form};

/// Bytes of answers that wait for their turn beyond which no further request is taken.
const HELD_BYTES_MAX: usize = 8 << 20;
/// What a frame has beyond its body, mostly.
const FRAME_BYTES: usize = 256;
/// How old the time in an answer may be.
const DATE_NS: u64 = 250_000_000;
const JSON: &str = "application/json";
/// As the original says it.
const JSON_ORIGINAL: &str = "application/json; charset=UTF-8";
/// What is offered, for `OPTIONS` and for what is not.
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS, POST";

thread_local! {
    static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
}

/// What a connection that speaks HTTP has beyond any other.
pub(crate) struct HttpSide {
    cutter: RefCell<Cutter>,
    /// Requests that are not answered, or whose turn has not come.
    queue: RefCell<VecDeque<Exchange>>,
    /// The sequence of the first of them.
    first: Cell<u64>,
    held_bytes: Cell<usize>,
    /// A client waits for a word to go on, and answers are due before it.
    owes_continue: Cell<bool>,
    /// No further request is read.
    no_more: Cell<bool>,
    times: watch::Times,
}

/// An answer on its way into the queue.
pub(crate) struct Told<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    pub(crate) body: &'a [u8],
}

impl HttpSide {
    /// The connection turned out to speak HTTP.
    pub(crate) fn begin(shard: &Shard, connection: &Rc<Connection>) -> Self {
        let side = Self {
            cutter: RefCell::default(),
            queue: RefCell::default(),
            first: Cell::new(1),
            held_bytes: Cell::new(0),
            owes_continue: Cell::new(false),
            no_more: Cell::new(false),
            times: watch::Times::new(shard.now_ns()),
        };
        watch::look_later(shard, connection.id());
        side
    }

    /// Whether every request is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Whether further requests may be taken: a quarter below the limits, so that it does not stop
    /// and go.
    pub(crate) fn has_room(&self) -> bool {
        let most = limits::HTTP_REQUESTS_PER_CONNECTION_MAX as usize;
        self.queue.borrow().len() <= most * 3 / 4 && self.held_bytes.get() < HELD_BYTES_MAX
    }

    fn is_full(&self, connection: &Connection) -> bool {
        self.queue.borrow().len() >= limits::HTTP_REQUESTS_PER_CONNECTION_MAX as usize
            || self.held_bytes.get() >= HELD_BYTES_MAX
            || connection.has_much_unsent()
    }

    /// Bytes of a request that is incomplete.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.cutter.borrow().buffered()
    }

    /// Whether no request is incomplete.
    pub(crate) fn at_boundary(&self) -> bool {
        self.cutter.borrow().at_boundary()
    }

    /// Takes what came; returns what is held because no more may be taken now.
    pub(crate) fn received(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        if self.no_more.get() {
            return None;
        }
        let limits = &shard.shared.config.limits;
        let mut rest = bytes;
        // Taken out while requests run: one may well end this very connection.
        let mut cutter = self.cutter.take();
        let mut begins = cutter.at_boundary();
        let held = loop {
            match cutter.next(limits, &mut rest) {
                Ok(Some(Arrival::Request(request))) => {
                    begins = true;
                    self.request(shard, connection, side, &request);
                    if self.no_more.get() || connection.is_dead() {
                        return None;
                    }
                    if self.is_full(connection) {
                        break Some(rest.to_vec());
                    }
                }
                Ok(Some(Arrival::Continue)) => self.say_continue(shard, connection),
                Ok(None) => break None,
                Err(bad) => {
                    self.bad(shard, connection, side, bad);
                    return None;
                }
            }
        };
        if begins && !cutter.at_boundary() {
            self.times.request_began(shard.now_ns());
        }
        *self.cutter.borrow_mut() = cutter;
        held
    }

    fn say_continue(&self, shard: &Shard, connection: &Rc<Connection>) {
        if !self.is_idle() {
            return self.owes_continue.set(true);
        }
        self.owes_continue.set(false);
        append(shard, connection, |out| out.extend_from_slice(http::CONTINUE));
    }

    /// What came is no request: it is answered in its turn, and nothing is read any more.
    fn bad(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        bad: BadRequest,
    ) {
        let peer = &connection.peer;
        crate::log::warn(
            "connection",
            format_args!("connection from {peer} closed: not the protocol: {bad}"),
        );
        let code = if bad.status() == 413 { Code::TOO_LARGE } else { Code::INVALID_PACKAGE };
        self.give_up(shard, connection, side, bad.status(), (code, &bad.to_string()));
    }

    /// Answers what was read of a request with an error, in its turn, and reads no more.
    pub(crate) fn give_up(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        status: u16,
        (code, text): (Code, &str),
    ) {
        if self.no_more.replace(true) {
            return;
        }
        self.cutter.take();
        let sequence = self.push(Exchange::last());
        let mut body = Vec::new();
        error_json(code, text, &mut body);
        let told = Told { status, content_type: JSON, headers: &[], body: &body };
        self.tell(shard, connection, side, sequence, &told);
    }

    /// Puts a request behind the others; returns its sequence.
    fn push(&self, exchange: Exchange) -> u64 {
        let mut queue = self.queue.borrow_mut();
        queue.push_back(exchange);
        self.first.get() + queue.len() as u64 - 1
    }

    fn request(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        request: &Request<'_>,
    ) {
        let plan = &side.server().plan;
        let target = Target::split(request.of(request.head.target));
        let exchange = Exchange::of(request, &target, plan);
        let (form, is_refused_page) = (exchange.form, exchange.is_refused_page);
        self.no_more.set(!exchange.keep_alive);
        let sequence = self.push(exchange);
        match request.head.method {
            Method::Post if is_refused_page => {
                let text = "pages of this origin may not call here";
                self.refuse(shard, connection, side, sequence, (Code::FORBIDDEN, text));
            }
            Method::Post => self.call(shard, connection, side, sequence, request, (form, &target)),
            Method::Get | Method::Head => {
                pages::get(shard, connection, side, sequence, request, &target);
            }
            Method::Options => self.options(shard, connection, side, sequence, request),
            Method::Other => self.not_allowed(shard, connection, side, sequence),
        }
    }

    /// Turns a request into one of SRPC, and lets it go that way.
    fn call(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        sequence: u64,
        request: &Request<'_>,
        (form, target): (Form, &Target<'_>),
    ) {
        if side.is_admin() {
            let text = "methods are not called at this address";
            return self.refuse(shard, connection, side, sequence, (Code::INVALID_METHOD, text));
        }
        let asked = match Asked::of(request, form, target) {
            Ok(asked) => asked,
            Err((code, text)) => {
                return self.refuse(shard, connection, side, sequence, (code, &text));
            }
        };
        let limits = &shard.shared.config.limits;
        let mut bytes = Vec::with_capacity(asked.body.len() + FRAME_BYTES);
        let head = asked.head(sequence);
        let written = head::encode_request(&head, limits, &mut bytes, |out| {
            out.extend_from_slice(&asked.body);
        });
        let admitted = match written {
            Ok(()) => self.admit(shard, connection, side, form, &bytes),
            Err(TooLarge::Head(_) | TooLarge::Body(_)) => None,
        };
        if admitted.is_none() {
            let text = "headers or body are over the limit";
            self.refuse(shard, connection, side, sequence, (Code::TOO_LARGE, text));
        }
    }

    /// Serves a request that is a frame now; `None` if the frame is none.
    fn admit(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        form: Form,
        bytes: &[u8],
    ) -> Option<()> {
        let limits = &shard.shared.config.limits;
        let mut input = bytes;
        let mut cutter = msec_protocol::Cutter::new();
        let Ok(Some(msec_protocol::Arrival::Frame(frame))) = cutter.next(limits, &mut input) else {
            return None;
        };
        let mut context = shard.spares.context();
        if context.fill(frame).is_err() {
            shard.spares.give_context(context);
            return None;
        }
        context.set_coding(form.coding());
        let core = shard.index as u16;
        context.origin = Origin::Stream { core, connection: connection.id(), flight: flight::NONE };
        side.server().admit(shard, context, Some((side, connection)));
        Some(())
    }

    /// Answers a preflight of a browser, or whoever asks what is offered.
    fn options(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        sequence: u64,
        request: &Request<'_>,
    ) {
        let allowed = self.queue.borrow().back().is_some_and(|exchange| exchange.cors.is_some());
        let wanted = request.of(request.head.cors_headers);
        let preflight = [
            ("allow", ALLOW),
            ("access-control-allow-methods", &b"POST, GET"[..]),
            ("access-control-max-age", b"600"),
            ("access-control-allow-headers", wanted),
        ];
        let count = match (allowed, wanted.is_empty()) {
            (false, _) => 1,
            (true, true) => 3,
            (true, false) => 4,
        };
        let headers = &preflight[..count];
        let told = Told { status: 204, content_type: "", headers, body: b"" };
        self.tell(shard, connection, side, sequence, &told);
    }

    /// Answers a request whose HTTP method is not offered there.
    pub(crate) fn not_allowed(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        sequence: u64,
    ) {
        let mut body = Vec::new();
        let text = "methods are called by POST, and pages are read by GET";
        error_json(Code::INVALID_METHOD, text, &mut body);
        let headers = &[("allow", ALLOW)];
        let told = Told { status: 405, content_type: JSON, headers, body: &body };
        self.tell(shard, connection, side, sequence, &told);
    }

    /// Answers a request that does not become a call.
    pub(crate) fn refuse(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        sequence: u64,
        (err, text): (Code, &str),
    ) {
        let err_msg = text.as_bytes();
        let answer = AnswerHead { sequence, err, err_msg, ..AnswerHead::default() };
        self.answer(shard, connection, side, (&answer, None), Vec::new());
    }

    /// Writes the answer to a call, with where it is in its trace; how long its body is.
    pub(crate) fn answer(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        (answer, trace): (&AnswerHead<'_>, Option<TraceParent>),
        body: Vec<u8>,
    ) -> usize {
        let Some(form) = self.form(answer.sequence) else { return 0 };
        let limits: &Limits = &shard.shared.config.limits;
        let (mut code, mut text) = (answer.err, String::from_utf8_lossy(answer.err_msg));
        if body.len() > limits.body_bytes_max {
            code = Code::TOO_LARGE;
            text = format!("the answer does not fit: body of {} bytes", body.len()).into();
        }
        let mut number = itoa(answer.result);
        let mut headers: Vec<(&str, &[u8])> = Vec::new();
        let trace = trace.map(|trace| trace.to_bytes());
        headers.extend(trace.as_ref().map(|trace| ("traceparent", &trace[..])));
        if answer.result != 0 {
            headers.push(("msec-result", number.make()));
        }
        if code == Code::UNAUTHENTICATED {
            headers.push(("www-authenticate", &b"Bearer"[..]));
        }
        let mut wrapped = Vec::new();
        let (status, content_type) = match form {
            Form::Original => {
                envelope_json(code, &text, &body, &mut wrapped);
                (200, JSON_ORIGINAL)
            }
            Form::Modern | Form::Bytes(_) if code != Code::OK => {
                error_json(code, &text, &mut wrapped);
                (status::info(code).http_status, JSON)
            }
            Form::Modern => (200, JSON),
            Form::Bytes(kind) => (200, kind),
        };
        let is_wrapped = code != Code::OK || form == Form::Original;
        let body = if is_wrapped { &wrapped } else { &body };
        let told = Told { status, content_type, headers: &headers, body };
        self.tell(shard, connection, side, answer.sequence, &told);
        body.len()
    }

    fn form(&self, sequence: u64) -> Option<Form> {
        let at = usize::try_from(sequence.checked_sub(self.first.get())?).ok()?;
        self.queue.borrow().get(at).map(|exchange| exchange.form)
    }

    /// Writes an answer, now or when its turn comes.
    pub(crate) fn tell(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &ServerSide,
        sequence: u64,
        told: &Told<'_>,
    ) {
        let Some(at) = sequence.checked_sub(self.first.get()) else { return };
        let mut queue = self.queue.borrow_mut();
        let is_last = at + 1 == queue.len() as u64;
        let Some(exchange) = queue.get_mut(at as usize) else { return };
        if is_last && side.server().is_draining() {
            // Those behind it, if there are any, are still to be answered.
            exchange.keep_alive = false;
            self.no_more.set(true);
        }
        let date = date(shard);
        if at > 0 {
            let mut bytes = Vec::new();
            exchange.encode(told, &date, &side.server().plan, &mut bytes);
            self.held_bytes.set(self.held_bytes.get() + bytes.len());
            exchange.answer = Some(bytes);
            return;
        }
        append(shard, connection, |out| {
            exchange.encode(told, &date, &side.server().plan, out);
        });
        let mut keep_alive = exchange.keep_alive;
        queue.pop_front();
        self.first.set(self.first.get() + 1);
        while let Some(bytes) = queue.front_mut().and_then(|next| next.answer.take()) {
            append(shard, connection, |out| out.extend_from_slice(&bytes));
            self.held_bytes.set(self.held_bytes.get() - bytes.len());
            keep_alive = queue.pop_front().is_some_and(|exchange| exchange.keep_alive);
            self.first.set(self.first.get() + 1);
        }
        drop(queue);
        self.told(shard, connection, keep_alive);
    }

    /// Answers were written: what can go on now, does.
    fn told(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, keep_alive: bool) {
        if self.is_idle() {
            self.times.is_idle(shard.now_ns());
            if self.owes_continue.get() {
                self.say_continue(shard, connection);
            }
        }
        if !keep_alive {
            self.times.ends(shard.now_ns());
            connection.finish(shard);
        } else if self.has_room() {
            connection.resume(shard);
        }
        // Of those that are no calls nobody else does.
        connection.close_if_done(shard);
    }

    /// This server leaves: a connection that waits for the next request is closed now, others with
    /// their last answer. Who has not asked yet is to be answered.
    pub(crate) fn say_leaving(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        let has_asked = self.first.get() > 1;
        if has_asked && self.is_idle() && self.at_boundary() && !self.no_more.replace(true) {
            self.times.ends(shard.now_ns());
            connection.finish(shard);
        }
    }
}

fn append(shard: &Shard, connection: &Rc<Connection>, write: impl FnOnce(&mut Vec<u8>)) {
    connection.append(shard, |out| out.append(|bytes, _| write(bytes)));
}

fn date(shard: &Shard) -> [u8; 29] {
    let (at_ns, text) = DATE.get();
    let now_ns = shard.now_ns();
    if at_ns != 0 && now_ns.saturating_sub(at_ns) < DATE_NS {
        return text;
    }
    let text = http::imf_fixdate(clock::wall_ns() / 1_000_000_000);
    DATE.set((now_ns, text));
    text
}

/// Why a call failed, in the modern form.
fn error_json(code: Code, text: &str, out: &mut Vec<u8>) {
    let text = if text.is_empty() { code.text() } else { text };
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(itoa(code.0).make());
    out.extend_from_slice(b",\"message\":");
    put_string(text, out);
    out.push(b'}');
}

/// What came of a call, in the original's form.
fn envelope_json(code: Code, text: &str, body: &[u8], out: &mut Vec<u8>) {
    let text = if text.is_empty() && code != Code::OK { code.text() } else { text };
    out.extend_from_slice(b"{\"ret\":");
    out.extend_from_slice(itoa(code.0).make());
    out.extend_from_slice(b",\"errmsg\":");
    put_string(text, out);
    if code == Code::OK {
        out.extend_from_slice(b",\"resultObj\":");
        out.extend_from_slice(body);
    }
    out.push(b'}');
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every text");
}

/// A number and its digits.
struct Digits {
    number: i32,
    bytes: [u8; 11],
}

fn itoa(number: i32) -> Digits {
    Digits { number, bytes: [0; 11] }
}

impl Digits {
    fn make(&mut self) -> &[u8] {
        let mut left = self.number.unsigned_abs();
        let mut at = self.bytes.len();
        loop {
            at -= 1;
            self.bytes[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if self.number < 0 {
            at -= 1;
            self.bytes[at] = b'-';
        }
        &self.bytes[at..]
    }
}

/// Whether a page of that origin may call here: it is this server's own, or was allowed.
fn may_call(plan: &Plan, origin: &[u8], host: &[u8]) -> bool {
    plan.allows_origin(origin).is_some() || asked::is_own_origin(plan, origin, host)
}
