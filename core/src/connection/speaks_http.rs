//! A connection that speaks HTTP: its bytes go to the other cutter.

use std::rc::Rc;

use msec_protocol::Code;

use super::{Connection, Phase};
use crate::accepted::ServerSide;
use crate::http::HttpSide;
use crate::shard::Shard;

impl Connection {
    /// Takes input of HTTP.
    pub(super) fn take_http(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        server: &ServerSide,
        http: &HttpSide,
        bytes: &[u8],
    ) {
        if let Some(held) = http.received(shard, self, server, bytes) {
            self.input.borrow_mut().held = held;
            return self.pause(shard);
        }
        let partial_bytes = http.buffered_bytes();
        if self.is_dead() || (partial_bytes == 0 && self.leased_bytes.get() == 0) {
            return;
        }
        self.watch_progress(shard);
        if !self.lease(shard, partial_bytes + self.unsent_bytes()) {
            let text = "too many bytes of requests are held in this process";
            http.give_up(shard, self, server, 503, (Code::OVERLOADED, text));
            self.lease(shard, self.unsent_bytes());
        }
    }

    /// Whether it is closed, and only waits for the ring to let go.
    pub(crate) fn is_dead(&self) -> bool {
        self.phase.get() == Phase::Dead
    }

    /// Whether it is not read for now.
    pub(crate) fn is_paused(&self) -> bool {
        self.full.get()
    }
}
