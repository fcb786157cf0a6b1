//! Patience with a connection of HTTP: for the head of a request, for its body, and for the next
//! one. Whoever drips bytes makes progress all the time, so progress is not the measure here.
//!
//! One timer a connection looks now and then; requests only note times. It looks as often as a head
//! may take, so that nothing is late by more than that.

use std::cell::Cell;
use std::rc::Rc;

use msec_protocol::Code;
use msec_protocol::limits::HTTP_BODY_BYTES_PER_S_MIN;

use crate::closed::Closed;
use crate::connection::{Connection, Role};
use crate::connections::ConnectionId;
use crate::http::HttpSide;
use crate::shard::{Shard, Timer};

/// How long a client may take to end its side after we have ended ours.
const LINGER_NS: u64 = 5_000_000_000;

/// What the patience is measured from.
pub(super) struct Times {
    /// The request that is incomplete began.
    began_ns: Cell<u64>,
    /// The last answer was written.
    idle_ns: Cell<u64>,
    /// The connection began to end; 0: it has not.
    ends_ns: Cell<u64>,
}

impl Times {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { began_ns: Cell::new(now_ns), idle_ns: Cell::new(now_ns), ends_ns: Cell::new(0) }
    }

    pub(super) fn request_began(&self, now_ns: u64) {
        self.began_ns.set(now_ns);
    }

    pub(super) fn is_idle(&self, now_ns: u64) {
        self.idle_ns.set(now_ns);
    }

    pub(super) fn ends(&self, now_ns: u64) {
        self.ends_ns.set(now_ns);
    }
}

/// What patience is over for.
enum Over {
    Nothing,
    Request,
    Idle,
    Linger,
}

/// Looks after a connection once more, later.
pub(super) fn look_later(shard: &Shard, id: ConnectionId) {
    let rest_ns = u64::from(shard.shared.config.limits.http_head_ms_max) * 1_000_000;
    let look = move |shard: &Rc<Shard>| {
        if let Some(connection) = shard.connections.find(id)
            && let Role::Server(side) = &connection.role
            && let Some(http) = side.http()
            && !connection.is_dead()
        {
            http.look(shard, &connection, side);
            look_later(shard, id);
        }
    };
    shard.timers.borrow_mut().insert(shard.now_ns() + rest_ns, Timer::Run(Box::new(look)));
}

impl HttpSide {
    fn look(
        &self,
        shard: &Rc<Shard>,
        connection: &Rc<Connection>,
        side: &crate::accepted::ServerSide,
    ) {
        match self.over(shard, connection) {
            Over::Nothing => {}
            Over::Request => {
                let peer = &connection.peer;
                crate::log::warn(
                    "connection",
                    format_args!("connection from {peer} closed: its request comes too slowly"),
                );
                let text = "the request came too slowly";
                self.give_up(shard, connection, side, 408, (Code::TIMEOUT, text));
            }
            Over::Idle => {
                self.no_more.set(true);
                self.times.ends(shard.now_ns());
                connection.finish(shard);
            }
            Over::Linger => connection.close(shard, &Closed::Ended),
        }
    }

    fn over(&self, shard: &Shard, connection: &Connection) -> Over {
        let limits = &shard.shared.config.limits;
        let past =
            |since_ns: u64, ms: u64| shard.now_ns().saturating_sub(since_ns) >= ms * 1_000_000;
        let cutter = self.cutter.borrow();
        let ends_ns = self.times.ends_ns.get();
        if ends_ns != 0 {
            let over = past(ends_ns, LINGER_NS / 1_000_000) && self.is_idle();
            return if over { Over::Linger } else { Over::Nothing };
        }
        if connection.is_paused() {
            // We do not read, so it cannot come.
            return Over::Nothing;
        }
        let began_ns = self.times.began_ns.get();
        let head_ms = u64::from(limits.http_head_ms_max);
        if cutter.is_in_head() {
            return if past(began_ns, head_ms) { Over::Request } else { Over::Nothing };
        }
        if !cutter.at_boundary() {
            let bytes = cutter.kept_bytes() as u64;
            let body_ms = bytes * 1000 / HTTP_BODY_BYTES_PER_S_MIN;
            let ms = head_ms + u64::from(limits.http_body_ms_max) + body_ms;
            return if past(began_ns, ms) { Over::Request } else { Over::Nothing };
        }
        let idle_ms = u64::from(limits.http_idle_ms_max);
        if self.is_idle() && past(self.times.idle_ns.get(), idle_ms) {
            return Over::Idle;
        }
        Over::Nothing
    }
}
