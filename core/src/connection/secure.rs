//! What TLS makes different in the life of a connection.
//!
//! The layer itself (`tls.rs`) does no I/O: here its input and output meet those of the connection.
//! A connection without it pays for it with one look at a pointer where bytes come and where they
//! leave.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use msec_sys::output::Output;

use super::{Connection, Phase, Role};
use crate::closed::Closed;
use crate::shard::{Shard, Timer};
use crate::tls::{Identity, Tls};

/// Plaintext of one receive; grown beyond this it is not kept for the next.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    /// Memory for the plaintext of what just came.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Connection {
    /// Its TLS, unless it turned out that there is none.
    #[inline]
    pub(super) fn secure(&self) -> Option<&Tls> {
        self.tls.as_deref().filter(|tls| !tls.is_plain())
    }

    /// Who the peer is, if it has shown a certificate that was checked.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.secure().and_then(Tls::identity)
    }

    /// The stream is there, and its handshake begins.
    pub(super) fn begin_handshake(self: &Rc<Self>, shard: &Rc<Shard>, tls: &Tls) {
        self.phase.set(Phase::Handshake);
        let id = self.id();
        let give_up = Timer::Run(Box::new(move |shard: &Rc<Shard>| {
            if let Some(connection) = shard.connections.find(id) {
                let text = "its handshake is not over in time";
                connection.close(shard, &Closed::Tls(text.into()));
            }
        }));
        let ms = shard.shared.config.limits.tls_handshake_ms_max;
        let at_ns = shard.now_ns() + u64::from(ms) * 1_000_000;
        tls.set_timer(shard.timers.borrow_mut().insert(at_ns, give_up));
        self.read(shard);
        self.mark_dirty(shard);
    }

    /// Bytes came that are sealed.
    pub(super) fn received_sealed(self: &Rc<Self>, shard: &Rc<Shard>, tls: &Tls, sealed: &[u8]) {
        let mut plain = SCRATCH.take();
        plain.clear();
        self.take_sealed(shard, tls, sealed, &mut plain);
        if plain.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set(plain);
        }
    }

    fn take_sealed(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        tls: &Tls,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) {
        let news = match tls.received(sealed, plain, &shard.shared.config.limits) {
            Ok(news) => news,
            Err(why) => return self.close(shard, &why),
        };
        if news.answers {
            self.mark_dirty(shard);
        }
        if news.opened {
            tls.stop_timer(shard);
            self.opened(shard);
        }
        // What comes when we have said our last cannot be answered any more.
        if !plain.is_empty() && self.phase.get() != Phase::Dead && !tls.has_said_close() {
            self.received_plain(shard, plain);
        }
        if news.ended && self.phase.get() != Phase::Dead {
            self.ended(shard);
        }
    }

    /// What is to be sent now.
    pub(super) fn take_output(&self, shard: &Shard) -> Output {
        match self.secure() {
            Some(tls) => tls.seal(&shard.spares, &self.output),
            None => self.output.take(),
        }
    }

    /// Bytes written that were not handed to the ring.
    #[inline]
    pub(super) fn waiting_bytes(&self) -> usize {
        let unsealed_bytes = self.tls.as_deref().map_or(0, Tls::unsealed_bytes);
        self.output.borrow().len() + unsealed_bytes
    }

    /// Everything is sent and this side ends: tells the peer, if that is still to be done.
    pub(super) fn says_close(self: &Rc<Self>, shard: &Shard) -> bool {
        let says = self.secure().is_some_and(Tls::say_close);
        if says {
            self.mark_dirty(shard);
        }
        says
    }

    /// Why the connection is over, now that the stream has ended.
    pub(super) fn why_ended(&self) -> Closed {
        match self.secure() {
            Some(tls) if !tls.is_open() => {
                let text = "it hung up during the handshake; maybe it does not speak TLS";
                Closed::Tls(text.into())
            }
            Some(tls) if !tls.peer_has_closed() => Closed::Cut,
            Some(_) | None => Closed::Ended,
        }
    }

    /// Whether the peer has ended a stream that TLS says goes on.
    pub(super) fn was_cut(&self) -> bool {
        let is_cut = |tls: &Tls| tls.is_open() && !tls.peer_has_closed();
        self.peer_ended.get() && self.secure().is_some_and(is_cut)
    }

    /// Says what is to be said before the connection is closed at once, if the kernel takes it.
    pub(super) fn say_last_words(&self) {
        // Behind half a record nothing could be read.
        if let Some(tls) = self.secure()
            && self.sending_bytes.get() == 0
            && self.phase.get() != Phase::Connecting
        {
            let words = tls.last_words();
            if !words.is_empty() {
                // The peer finds out either way.
                let _ = self.socket.send_now(&words);
            }
        }
    }

    /// Whether requests or answers may be sent to the ring.
    pub(super) fn may_send(&self) -> bool {
        match self.phase.get() {
            Phase::Handshake | Phase::Open | Phase::Ending => true,
            Phase::Connecting | Phase::Dead => false,
        }
    }

    /// Both sides are ready: what was written may leave.
    pub(super) fn opened(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.phase.get() < Phase::Open {
            self.phase.set(Phase::Open);
        }
        self.connected.set(true);
        self.progress_ns.set(shard.now_ns());
        self.read(shard);
        match &self.role {
            Role::Client(client) => client.connected(shard, self),
            Role::Raw(raw) => raw.connected(shard),
            Role::Server(_) => {}
        }
        if !self.output.borrow().is_empty() {
            self.mark_dirty(shard);
        }
    }
}
