//! The life of a request after it was admitted, on the core that runs it.
//!
//! ```text
//!   ready queue ─► start ─► coroutine / offload thread / loop ─► reply ─► finish ─► settle
//!        │            │
//!        │            └── deadline passed, cancelled: refused before it runs
//!        └── another core sleeps and this has waited: handed over, unstarted
//! ```
//!
//! Each request that was admitted is settled exactly once, on the core of its connection: there
//! its answer is written, its place in the table of flights freed, what it leased given back. A
//! refusal is an answer with a code. Nothing is answered with silence but a one-way request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::BufMut;
use msec_protocol::{AnswerHead, Code, head, limits, report};
use msec_sys::clock;
use msec_sys::output::Writer;
use msec_sys::process::CrashNote;
use msec_sys::socket::Socket;

use crate::append;
use crate::coding::{self, Coding};
use crate::connection::Role;
use crate::context::{Context, Origin, Peer};
use crate::deadline;
use crate::deferred::{Deferred, Take};
use crate::error::Result;
use crate::log::request::Known;
use crate::method::{Handler, Kind};
use crate::offload::{Chosen, OVERLOADED_TEXT};
use crate::overload;
use crate::serve::{Plan, ServerShard};
use crate::shard::{self, Message, Shard};
use crate::task::{Ran, Ready, Task};

/// A ready request that has waited so long may be handed to an idle core (measured: a hand-over
/// costs two to five microseconds, mostly to wake the other core).
const HAND_OVER_NS: u64 = 200_000;
/// Requests handed over at once: enough that the other core seldom runs dry before the next look.
const HAND_OVER_COUNT_MAX: usize = 8;

/// What the caller of a request is told that did not start.
const CANCELLED_TEXT: &str = "cancelled before it started";
/// See [`CANCELLED_TEXT`].
pub(crate) const LATE_TEXT: &str = "the deadline passed before it started";

/// Where a handler's answer goes.
pub(crate) struct Reply<'a> {
    context: &'a Context,
    plan: &'a Plan,
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
    pub(crate) fn body(&mut self, write: impl FnOnce(&mut Writer<'_, '_>)) -> Result<()> {
        if self.context.is_one_way() {
            // Nobody waits for it.
        } else if self.context.coding() != Coding::Plain {
            return self.coded_body(write);
        } else if let (Some(shard), Some(server)) = (self.shard, self.server) {
            write_answer(shard, server, self.context, (Code::OK, ""), write);
        } else {
            self.body = Some(append::written(write));
        }
        self.written = true;
        Ok(())
    }

    /// As [`Reply::body`], for a body that does not travel as it is.
    fn coded_body(&mut self, write: impl FnOnce(&mut Writer<'_, '_>)) -> Result<()> {
        let body = coding::close(self.plan, self.context, append::written(write))?;
        if let (Some(shard), Some(server)) = (self.shard, self.server) {
            let write = |out: &mut Writer<'_, '_>| out.put_slice(&body);
            write_answer(shard, server, self.context, (Code::OK, ""), write);
        } else {
            self.body = Some(body);
        }
        self.written = true;
        Ok(())
    }
}

/// What is not written yet of an answer when its handler is through. Most often that is nothing,
/// which then is said by one word.
type Left = Option<Box<Unwritten>>;

/// An answer, or the rest of one.
struct Unwritten {
    code: Code,
    text: String,
    body: Vec<u8>,
}

impl Unwritten {
    fn failure(code: Code, text: impl Into<String>) -> Left {
        Some(Box::new(Self { code, text: text.into(), body: Vec::new() }))
    }
}

/// Writes an answer to where the request came from; this must be the core it came to.
#[inline]
fn write_answer(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: &Context,
    (code, text): (Code, &str),
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) {
    let answer = AnswerHead {
        err: code,
        err_msg: text.as_bytes(),
        result: context.result_value(),
        compress: context.answer_compress().number(),
        ..AnswerHead::to(context.head(), context.head_bytes())
    };
    match &context.origin {
        Origin::Stream { connection, .. } => {
            if let Some(connection) = shard.connections.find(*connection)
                && let Role::Server(side) = &connection.role
            {
                let bytes = side.append(shard, &connection, (&answer, Some(context)), write_body);
                context.answer_bytes.set(bytes as u32);
            }
        }
        Origin::Datagram { socket, envelope, .. } => {
            let Some(socket) = server.datagram_socket(*socket) else { return };
            answer_datagram(shard, server, &socket, envelope, answer, write_body);
        }
    }
}

fn answer_datagram(
    shard: &Shard,
    server: &ServerShard,
    socket: &Socket,
    envelope: &msec_sys::datagram::Envelope,
    mut answer: AnswerHead<'_>,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) {
    answer.leaving = server.is_draining();
    answer.features = head::FEATURES;
    let mut output = shard.spares.output();
    let limits = &shard.shared.config.limits;
    let written = append::answer_whole(&mut output, &answer, limits, write_body);
    if written.is_err() || output.len() > limits::DATAGRAM_BYTES_MAX {
        output.clear();
        answer.err = Code::TOO_LARGE;
        answer.err_msg = b"the answer does not fit into a datagram";
        answer.unknown_of = &[];
        // A head that came in a datagram fits into one.
        let _ = append::answer_whole(&mut output, &answer, limits, |_| ());
    }
    // A full socket buffer loses the answer, as the network may at any time.
    let _ = output.plain().map(|bytes| socket.send_to_now(bytes, envelope));
    shard.spares.give_output(output);
}

pub(crate) fn write_refusal(
    shard: &Rc<Shard>,
    server: &ServerShard,
    context: &Context,
    code: Code,
    text: &str,
) {
    if !context.is_one_way() {
        write_answer(shard, server, context, (code, text), |_| ());
    }
}

/// Starts a request that was queued.
pub(crate) fn start(shard: &Rc<Shard>, mut context: Box<Context>) {
    context.started_ns = shard.start_ns();
    overload::look(shard, &context);
    let Some(server) = shard.server(context.server) else {
        return come_back(shard, context);
    };
    if context.cancel.is_set() {
        return give_up(shard, &server, context, Code::CANCELLED, CANCELLED_TEXT);
    }
    if context.deadline_ns != 0 && context.started_ns >= context.deadline_ns {
        return give_up(shard, &server, context, Code::DEADLINE_EXCEEDED, LATE_TEXT);
    }
    if server.plan.methods.list[context.method as usize].kind == Kind::Heavy {
        return offload(shard, &server, context);
    }
    if let Err(error) = coding::open_unless_plain(&server.plan, &mut context) {
        return give_up(shard, &server, context, error.code(), error.message());
    }
    let task = shard.tasks.take();
    task.set_request(context);
    match shard.tasks.run(task) {
        Ok(Ran::Ended) => {}
        // It may have computed for long before it parked.
        Ok(Ran::Parked) => _ = shard.fresh_ns(),
        Err((exhausted, task)) => {
            crate::log::warn("stacks", format_args!("a request was refused: {exhausted}"));
            let context = task.take_request();
            shard.tasks.retire(task);
            let Some(context) = context else { return };
            give_up(shard, &server, context, Code::OVERLOADED, "no stack is left for a coroutine");
        }
    }
}

/// A request whose server is not on this core: not yet, then the core that it came to has it; or
/// no more, and with the server its place in all tables is gone.
fn come_back(shard: &Rc<Shard>, context: Box<Context>) {
    let core = context.origin.core();
    if core != shard.index {
        return shard.post(core, Message::Request(context));
    }
    shard.leases.requests.give(1);
    shard.spares.give_context(context);
}

/// Refuses a request that waits to be started.
pub(crate) fn refuse_waiting(shard: &Rc<Shard>, context: Box<Context>, code: Code, text: &str) {
    match shard.server(context.server) {
        Some(server) => give_up(shard, &server, context, code, text),
        None => come_back(shard, context),
    }
}

/// Ends a request that does not run.
fn give_up(
    shard: &Rc<Shard>,
    server: &ServerShard,
    mut context: Box<Context>,
    code: Code,
    text: &str,
) {
    context.started_ns = 0;
    finish(shard, server, context, Unwritten::failure(code, text));
}

/// Serves a request on the running task.
pub(crate) fn serve(shard: &Rc<Shard>, task: &Task) {
    let Some(request) = task.request() else { return };
    let Some(server) = shard.server(request.server) else { return };
    task.set_name(server.method_name(&request));
    let id = task.id(shard.index);
    match request.origin.core() == shard.index {
        true => request.cancel.serve_here(id),
        false => request.cancel.serve_on(id),
    }
    let left = run_on(shard, &server, &request);
    drop(request);
    deadline::forget(shard, task);
    if let Some(context) = task.take_request() {
        finish(shard, &server, context, left);
    }
}

/// Runs a callback method on this thread, which is a core's.
#[inline]
pub(crate) fn run_here(shard: &Rc<Shard>, server: &ServerShard, mut context: Box<Context>) {
    if let Err(error) = coding::open_unless_plain(&server.plan, &mut context) {
        return give_up(shard, server, context, error.code(), error.message());
    }
    // What is not started counts as refused, without a latency.
    context.started_ns = shard.start_ns();
    // It lies where the log and nested calls find it, and comes back.
    shard.on_loop.replace(Some(context));
    let left = match &*shard.on_loop.borrow() {
        Some(context) => run_on(shard, server, context),
        None => None,
    };
    if let Some(context) = shard.on_loop.take() {
        finish(shard, server, context, left);
    }
}

/// Gives a request to its handler, which answers it later.
pub(crate) fn give(
    shard: &Rc<Shard>,
    server: &ServerShard,
    mut context: Box<Context>,
    take: &Take,
) {
    if let Err(error) = coding::open_unless_plain(&server.plan, &mut context) {
        return give_up(shard, server, context, error.code(), error.message());
    }
    context.started_ns = shard.start_ns();
    // Whoever has it cannot ask its core.
    context.set_peer(peer_of(&context.origin));
    let name = server.method_name(&context);
    shard.shared.cores.beat(shard.index).runs(name);
    CrashNote::set(name.text());
    let deferred = Deferred::new(context, &server.plan, &shard.shared);
    // Dropped by the panic, it is answered.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| take(deferred))) {
        let (name, text) = (name.text(), panic_text(payload.as_ref()));
        crate::log::error("panic", format_args!("method {name} panicked: {text}"));
    }
}

/// The answer to a request that was given away, on its way to the request's core.
pub(crate) fn answer_deferred(
    plan: &Plan,
    context: Box<Context>,
    result: Result<Vec<u8>>,
) -> Answered {
    let coded = |body| match context.coding() {
        Coding::Plain => Ok(body),
        Coding::Compressed(_) | Coding::Json(_) => coding::close(plan, &context, body),
    };
    let left = match result {
        // Nobody waits for it.
        Ok(_) if context.is_one_way() => None,
        Ok(body) => Some(coded(body)),
        Err(error) => Some(Err(error)),
    };
    let left = left.and_then(|result| match result {
        Ok(body) => Some(Box::new(Unwritten { code: Code::OK, text: String::new(), body })),
        Err(error) => Unwritten::failure(error.code(), error.message()),
    });
    Answered { context, left }
}

#[inline]
fn run_on(shard: &Rc<Shard>, server: &ServerShard, context: &Context) -> Left {
    let local = context.origin.core() == shard.index;
    let name = server.method_name(context);
    shard.shared.cores.beat(shard.index).runs(name);
    CrashNote::set(name.text());
    run(&server.plan, context, local.then_some((shard, server)))
}

/// Runs a handler, with a barrier for panics.
fn run(plan: &Plan, context: &Context, place: Option<(&Rc<Shard>, &ServerShard)>) -> Left {
    let method = &plan.methods.list[context.method as usize];
    let mut reply = Reply {
        context,
        plan,
        shard: place.map(|(shard, _)| shard),
        server: place.map(|(_, server)| server),
        body: None,
        written: false,
    };
    // Those of the other kind do not come here.
    let Handler::Serve(serve) = &method.handler else { return None };
    let result = catch_unwind(AssertUnwindSafe(|| serve(context, &mut reply)));
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((error.code(), error.message().to_owned())),
        Err(payload) => {
            let text = panic_text(payload.as_ref());
            let name = method.name.text();
            crate::log::error("panic", format_args!("method {name} panicked: {text}"));
            // A destructor that panics behind the answer does not make a second one.
            let text = || format!("the handler panicked: {text}");
            (!reply.written).then(|| (Code::SERVICE_FAILED, text()))
        }
    };
    match failure {
        Some((code, text)) => Unwritten::failure(code, text),
        None => {
            let body = reply.body?;
            Some(Box::new(Unwritten { code: Code::OK, text: String::new(), body }))
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

/// A request that ended away from its core, on its way back.
pub(crate) struct Answered {
    context: Box<Context>,
    left: Left,
}

impl Answered {
    /// Where it has to go.
    pub(crate) fn core(&self) -> usize {
        self.context.origin.core()
    }
}

/// Ends a request that ran or was given up: on the core it came to, at once, else by a message.
fn finish(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>, left: Left) {
    let core = context.origin.core();
    if core != shard.index {
        return shard.post(core, Message::Answered(Box::new(Answered { context, left })));
    }
    settle(shard, server, context, left);
}

/// Several requests came back from another thread.
pub(crate) fn all_answered(shard: &Rc<Shard>, all: Vec<Answered>) {
    all.into_iter().for_each(|one| answered(shard, one));
}

/// A request came back from another thread.
pub(crate) fn answered(shard: &Rc<Shard>, answered: Answered) {
    let Answered { context, left } = answered;
    match shard.server(context.server) {
        Some(server) => settle(shard, &server, context, left),
        None => come_back(shard, context),
    }
}

/// Writes what is not written yet, frees what the request held, and counts it.
fn settle(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>, left: Left) {
    let code = left.as_ref().map_or(Code::OK, |left| left.code);
    if let Some(left) = left
        && !context.is_one_way()
    {
        write_answer(shard, server, &context, (code, &left.text), |out| out.put_slice(&left.body));
    }
    let ended = report::Outcome {
        code,
        latency_ns: shard.ended_ns().saturating_sub(context.received_ns),
        queue_ns: context.started_ns.saturating_sub(context.received_ns),
        request_bytes: context.frame_bytes() as u64,
        answer_bytes: u64::from(context.answer_bytes.get()),
    };
    server.ended(shard, &context, &ended);
    let mut kept = false;
    if let Origin::Stream { connection, flight, .. } = &context.origin
        && let Some(connection) = shard.connections.find(*connection)
        && let Role::Server(side) = &connection.role
    {
        kept = side.end_flight(shard, *flight, &context);
        if side.has_room(shard) {
            connection.resume(shard);
        }
        if side.is_idle() {
            connection.close_if_done(shard);
        }
    }
    shard.spares.give_settled(context, kept);
}

/// Runs a request on an offload thread.
fn offload(shard: &Rc<Shard>, server: &ServerShard, context: Box<Context>) {
    let plan = server.plan.clone();
    let shared = shard.shared.clone();
    context.set_peer(peer_of(&context.origin));
    let inherited = context.inherited();
    let known = Known::of(&shard.shared, &context);
    // Between the two the context lies here, so that a refused job gives it back.
    let slot = Arc::new(Mutex::new(Some(context)));
    let theirs = slot.clone();
    let job = Box::new(move |chosen| {
        let context = theirs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some(mut context) = context else { return };
        let core = context.origin.core();
        let inherited = context.inherited();
        let left = match begin_offloaded(&mut context, chosen) {
            Ok(()) => crate::offload::inheriting(inherited, known, || {
                match coding::open_unless_plain(&plan, &mut context) {
                    Ok(()) => run(&plan, &context, None),
                    Err(error) => Unwritten::failure(error.code(), error.message()),
                }
            }),
            Err((code, text)) => Unwritten::failure(code, text),
        };
        let answered = Box::new(Answered { context, left });
        shared.cores.post_patiently(core, Message::Answered(answered));
    });
    if !shard.shared.offload.submit(job, &inherited) {
        let context = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(context) = context {
            let text = "too many requests wait for an offload thread";
            give_up(shard, server, context, Code::OVERLOADED, text);
        }
    }
}

/// A request is through the queue of the offload threads: it starts, or why it does not.
fn begin_offloaded(
    context: &mut Context,
    chosen: Chosen,
) -> std::result::Result<(), (Code, &'static str)> {
    context.started_ns = clock::now_ns();
    let is_late = context.deadline_ns != 0 && context.started_ns >= context.deadline_ns;
    let (code, text) = match chosen {
        _ if context.cancel.is_set() => (Code::CANCELLED, CANCELLED_TEXT),
        _ if is_late => (Code::DEADLINE_EXCEEDED, LATE_TEXT),
        Chosen::Refused => (Code::OVERLOADED, OVERLOADED_TEXT),
        Chosen::Run => return Ok(()),
    };
    context.started_ns = 0;
    Err((code, text))
}

/// Hands requests that have waited, and not started, to a core that sleeps.
pub(crate) fn hand_over(shard: &Shard, now_ns: u64) {
    let Some(idle) = shard.shared.cores.sleeping(shard.index) else { return };
    if shard.overload.is_on() {
        // The queue is of no order of arrival then: the best go, which wait the shortest.
        for _ in 0..HAND_OVER_COUNT_MAX {
            let Some(context) = shard.overload.pop(now_ns) else { break };
            if context.origin.core() == shard.index {
                context.set_peer(peer_of(&context.origin));
            }
            shard.post(idle, Message::Request(context));
        }
        return;
    }
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
pub(crate) fn peer_of(origin: &Origin) -> Peer {
    match origin {
        Origin::Stream { connection, .. } => shard::current()
            .filter(|shard| shard.index == origin.core())
            .and_then(|shard| shard.connections.find(*connection))
            .map(|connection| Peer {
                address: connection.peer_text(),
                identity: connection.identity(),
            })
            .unwrap_or_default(),
        Origin::Datagram { envelope, .. } => {
            let address = envelope.sender().map(|address| address.to_string());
            Peer { address: address.unwrap_or_default().into(), identity: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use msec_sys::clock;

    use super::*;
    use crate::{Config, Engine, Limits, flight};

    #[test]
    fn a_request_whose_server_is_not_there_gives_back_its_lease_where_it_came_from() {
        const COUNT: usize = 4;
        let limits = Limits { requests_per_process_max: COUNT as u32, ..Limits::DEFAULT };
        let engine = Engine::with(Config::new().cores(2).limits(limits)).unwrap();
        let take_all = |shard: &Rc<Shard>| shard.index == 0 && shard.leases.requests.take(COUNT);
        assert_eq!(engine.ask_all(take_all), [true, false]);
        engine.ask_all(|shard| {
            // Half of them on the core they came to, half handed over.
            for _ in 0..COUNT / 2 {
                let mut context = shard.spares.context();
                context.server = 9;
                let (connection, flight) = (Default::default(), flight::NONE);
                context.origin = Origin::Stream { core: 0, connection, flight };
                start(shard, context);
            }
        });
        let end_ns = clock::now_ns() + 20_000_000_000;
        while engine.ask_all(take_all) != [true, false] {
            assert!(clock::now_ns() < end_ns, "a lease is lost");
        }
    }
}
