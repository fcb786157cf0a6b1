//! A connection that a server accepted: requests come in, answers go out.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use msec_protocol::{AnswerHead, BadHead, Code, Frame, Head, head};
use msec_sys::output::Writer;

use crate::append;
use crate::closed::Closed;
use crate::connection::{Connection, Taken};
use crate::context::{Context, Origin};
use crate::flight;
use crate::http::HttpSide;
use crate::serve::ServerShard;
use crate::shard::Shard;

/// A connection that was accepted.
pub(crate) struct ServerSide {
    server: Rc<ServerShard>,
    /// The first of its requests in the core's table of flights.
    flights: Cell<u32>,
    in_flight: Cell<u32>,
    /// The method asked for last.
    pub(crate) last_method: Cell<u32>,
    /// The number of the caller that asked last.
    pub(crate) last_caller: Cell<u32>,
    /// An answer has told what this server understands.
    told_features: Cell<bool>,
    /// The peer has sent fields that only new peers send.
    new_peer: Cell<bool>,
    /// It speaks HTTP.
    http: OnceCell<Box<HttpSide>>,
    /// It was accepted where only pages are.
    is_admin: bool,
}

impl ServerSide {
    pub(crate) fn new(server: Rc<ServerShard>, is_admin: bool) -> Self {
        Self {
            server,
            http: OnceCell::new(),
            is_admin,
            flights: Cell::new(flight::NONE),
            in_flight: Cell::new(0),
            last_method: Cell::new(0),
            last_caller: Cell::new(0),
            told_features: Cell::new(false),
            new_peer: Cell::new(false),
        }
    }

    /// The server that accepted it.
    pub(crate) fn server(&self) -> &Rc<ServerShard> {
        &self.server
    }

    /// Whether it was accepted where only pages are.
    pub(crate) fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// What it has beyond others if it speaks HTTP.
    #[inline]
    pub(crate) fn http(&self) -> Option<&HttpSide> {
        self.http.get().map(|http| &**http)
    }

    /// The first byte that came begins a request of HTTP: from now on it speaks that. `None` if it
    /// is not the first.
    pub(crate) fn begin_http(
        &self,
        shard: &Shard,
        connection: &Rc<Connection>,
    ) -> Option<&HttpSide> {
        if self.told_features.get() || self.in_flight.get() > 0 {
            return None;
        }
        Some(self.http.get_or_init(|| Box::new(HttpSide::begin(shard, connection))))
    }

    /// Whether it belongs to the server with that number.
    pub(crate) fn serves(&self, number: u32) -> bool {
        self.server.plan.number == number
    }

    /// Puts an admitted request into the table of flights; returns its place.
    #[inline]
    pub(crate) fn begin_flight(&self, shard: &Shard, context: &Context) -> u32 {
        let (sequence, cancel) = (context.head().sequence, &context.cancel);
        let place = shard.flights.borrow_mut().insert(self.flights.get(), sequence, cancel);
        self.flights.set(place);
        self.in_flight.set(self.in_flight.get() + 1);
        place
    }

    /// An admitted request is over; whether its place has kept its flag. A connection that died has
    /// no flights left: their places may be other requests' by now.
    #[inline]
    pub(crate) fn end_flight(&self, shard: &Shard, place: u32, context: &Context) -> bool {
        if self.in_flight.get() == 0 {
            return false;
        }
        let mut flights = shard.flights.borrow_mut();
        self.flights.set(flights.remove(self.flights.get(), place));
        self.in_flight.set(self.in_flight.get() - 1);
        flights.has_kept(place, &context.cancel)
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get() as usize
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0 && self.http().is_none_or(HttpSide::is_idle)
    }

    /// Whether it may read on: a quarter below its limit, so that it does not stop and go.
    pub(crate) fn has_room(&self, shard: &Shard) -> bool {
        let most = shard.shared.config.limits.requests_per_connection_max;
        if self.http().is_some_and(|http| !http.has_room()) {
            return false;
        }
        self.in_flight.get() <= most - most / 4 - u32::from(most < 4).min(most)
    }

    /// A request came.
    #[inline]
    pub(crate) fn frame(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        frame: Frame<'_>,
    ) -> Result<Taken, BadHead> {
        let mut context = shard.spares.context();
        if let Err(bad) = context.fill(frame) {
            shard.spares.give_context(context);
            return Err(bad);
        }
        if context.head().deadline_ms != 0 {
            self.new_peer.set(true);
        }
        if context.head().cancel {
            self.cancel(shard, context.head());
            shard.spares.give_context(context);
            return Ok(Taken::Yes);
        }
        context.origin = self.origin(shard, connection);
        self.server.admit(shard, context, Some((self, connection)));
        let most = shard.shared.config.limits.requests_per_connection_max;
        // A few small requests may have large answers: what came in one piece is not all answered
        // before the peer takes some.
        let is_full = self.in_flight.get() >= most || connection.has_much_unsent();
        Ok(if is_full { Taken::LastForNow } else { Taken::Yes })
    }

    /// Where a request came from that has no flight: not yet, or it is refused.
    #[inline]
    fn origin(&self, shard: &Shard, connection: &Connection) -> Origin {
        let core = shard.index as u16;
        Origin::Stream { core, connection: connection.id(), flight: flight::NONE }
    }

    /// A request came whose body is thrown away: it is answered and counted like any refusal.
    pub(crate) fn refused(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        head_bytes: &[u8],
        code: Code,
    ) -> Result<Taken, BadHead> {
        let mut context = shard.spares.context();
        let filled = context.fill_head(head_bytes);
        if filled.is_err() || context.head().cancel {
            shard.spares.give_context(context);
            return filled.map(|()| Taken::Yes);
        }
        let text = match code {
            Code::TOO_LARGE => "the request's body is over the limit",
            _ => "too many bytes of requests are held in this process",
        };
        if code == Code::OVERLOADED {
            let from = &connection.peer;
            crate::log::warn("memory", format_args!("a request from {from} was refused: {text}"));
        }
        context.origin = self.origin(shard, connection);
        self.server.refuse_unread(shard, context, self, (code, text));
        Ok(Taken::Yes)
    }

    fn cancel(&self, shard: &Shard, head: &Head) {
        let cancels = shard.flights.borrow().with_sequence(self.flights.get(), head.sequence);
        for cancel in cancels {
            cancel.cancel(&shard.shared.cores);
        }
    }

    /// Writes an answer, to that request if it became one, with what else the peer should know;
    /// returns the length of its frame.
    #[inline]
    pub(crate) fn append(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        (answer, context): (&AnswerHead<'_>, Option<&Context>),
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> usize {
        if let Some(http) = self.http() {
            let body = append::written(write_body);
            let trace = context.and_then(Context::traceparent);
            return http.answer(shard, connection, self, (answer, trace), body);
        }
        let mut answer = *answer;
        if !self.told_features.replace(true) || answer.compress != 0 {
            answer.features = head::FEATURES;
        }
        answer.leaving = self.server.is_draining() && !connection.is_handing();
        let limits = &shard.shared.config.limits;
        let (written, bytes) = connection.append(shard, |out| {
            let before = out.len();
            (append::answer(out, &answer, limits, write_body), out.len() - before)
        });
        if let Err(too_large) = written {
            let text = format!("the answer does not fit: {too_large}");
            let refusal = AnswerHead {
                err: Code::TOO_LARGE,
                err_msg: text.as_bytes(),
                caller: &[],
                unknown_of: &[],
                compress: 0,
                ..answer
            };
            let again =
                connection.append(shard, |out| append::answer(out, &refusal, limits, |_| ()));
            // Cannot be: the head is the request's, which was within its limit, less what is long.
            debug_assert!(again.is_ok());
        }
        bytes
    }

    /// Tells an idle peer that this server leaves; one that is not idle learns it by its answer.
    pub(crate) fn say_leaving(&self, shard: &Rc<Shard>, connection: &Rc<Connection>) {
        if let Some(http) = self.http() {
            if self.server.is_draining() {
                http.say_leaving(shard, connection);
            }
            return;
        }
        if self.server.is_draining() && self.is_idle() && self.new_peer.get() {
            // No call has sequence 0, so a peer takes only the news from this answer.
            self.append(shard, connection, (&AnswerHead::default(), None), |_| ());
        }
    }

    /// The connection is dead: nobody waits for its requests any more.
    pub(crate) fn closed(&self, shard: &Rc<Shard>, connection: &Rc<Connection>, why: &Closed) {
        let from = &connection.peer;
        if why.is_a_breach() {
            crate::log::warn("connection", format_args!("connection from {from} closed: {why}"));
        } else if let Closed::Failed(_) = why {
            crate::log::debug("connection", format_args!("connection from {from} is dead: {why}"));
        }
        shard.leases.connections.give(1);
        if !self.is_admin {
            self.server.connections_count.set(self.server.connections_count.get() - 1);
        }
        let cancels = shard.flights.borrow_mut().remove_all(self.flights.replace(flight::NONE));
        self.in_flight.set(0);
        for cancel in cancels {
            cancel.cancel(&shard.shared.cores);
        }
    }
}
