//! How connections come to a server: from its listeners, or handed over by another process.
//!
//! Accepting pauses where connections or descriptors run out, and goes on after a rest. Who was
//! accepted over the limit, before accepting had paused, is served as soon as there is room.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use msec_sys::ring::Op;
use msec_sys::socket::Socket;

use super::ServerShard;
use crate::accepted::ServerSide;
use crate::connection::{Connection, Role, Way};
use crate::handed::Handed;
use crate::shard::{Shard, Timer};
use crate::subject::Subject;
use crate::tls::{Accepts, Tls};

/// A stream listener of one core.
pub(super) struct Listener {
    /// `None` once it is closed; what it had accepted by then may still come.
    pub(super) socket: Option<Rc<Socket>>,
    /// The same, while the end of accepting is waited for.
    pub(super) closing: RefCell<Option<Rc<Socket>>>,
    pub(super) accept: Cell<Option<Op>>,
    pub(super) is_admin: bool,
    pub(super) tls: Option<Arc<Accepts>>,
}

/// A connection that was accepted, here or by another process.
pub(super) struct Accepted {
    pub(super) fd: OwnedFd,
    /// What the other process had received and not looked at.
    pub(super) bytes: Vec<u8>,
    pub(super) is_admin: bool,
    pub(super) tls: Option<Arc<Accepts>>,
}

/// How long accepting rests after an error such as EMFILE.
const ACCEPT_REST_NS: u64 = 50_000_000;
impl ServerShard {
    /// Starts to accept, again; at the limit of connections only after another rest.
    pub(crate) fn accept(&self, shard: &Rc<Shard>, index: u32) {
        if !self.serve_over_limit(shard) {
            return self.accept_later(shard, index);
        }
        let listeners = self.listeners.borrow();
        let Some(listener) = listeners.get(index as usize) else { return };
        let Some(socket) = &listener.socket else { return };
        let token = Subject::Listener(self.plan.number, index).token();
        listener.accept.set(Some(shard.ring.borrow_mut().accept(socket, token)));
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
            let accepted = self.over_limit.borrow_mut().pop_front();
            if let Some(accepted) = accepted {
                self.serve(shard, accepted);
            }
        }
        true
    }

    /// A connection was accepted, maybe while we drain: it is served all the same. Over the limit
    /// it is neither served nor refused until there is room.
    pub(crate) fn accepted(&self, shard: &Rc<Shard>, index: u32, fd: OwnedFd) {
        let listeners = self.listeners.borrow();
        let Some(listener) = listeners.get(index as usize) else { return };
        let (is_admin, tls) = (listener.is_admin, listener.tls.clone());
        drop(listeners);
        self.take_accepted(shard, Accepted { fd, bytes: Vec::new(), is_admin, tls });
    }

    fn take_accepted(&self, shard: &Rc<Shard>, accepted: Accepted) {
        let first = self.over_limit.borrow().is_empty();
        if first && shard.leases.connections.take(1) {
            return self.serve(shard, accepted);
        }
        self.over_limit.borrow_mut().push_back(accepted);
        if first {
            self.pause_accepting(shard, "the limit of connections is reached");
        }
    }

    /// Serves a connection, which is leased.
    fn serve(&self, shard: &Rc<Shard>, accepted: Accepted) {
        let Accepted { fd, bytes, is_admin, tls } = accepted;
        let socket = Socket::new(fd);
        let (Ok(peer), Some(server)) = (socket.peer_address(), self.self_rc.upgrade()) else {
            // It is dead already.
            return shard.leases.connections.give(1);
        };
        if !is_admin {
            self.connections_count.set(self.connections_count.get() + 1);
        }
        let side = ServerSide::new(server, is_admin);
        let way = Way::Accepted(tls.map(Tls::accept));
        let connection = Connection::open(shard, socket, peer, Role::Server(side), way);
        if let Role::Server(side) = &connection.role
            && is_admin
        {
            // Nothing else is spoken there, whatever comes first.
            side.begin_http(shard, &connection);
        }
        connection.take_first(shard, &bytes);
        if self.heir.borrow().is_some() {
            connection.hand_over(shard);
        }
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
    pub(crate) fn accept_ended(&self, shard: &Rc<Shard>, index: u32, errno: i32) {
        let listeners = self.listeners.borrow();
        let listener = listeners.get(index as usize);
        if let Some(listener) = listener {
            listener.accept.set(None);
            if let Some(socket) = listener.closing.take() {
                let (is_admin, tls) = (listener.is_admin, listener.tls.clone());
                drop(listeners);
                self.take_rest(shard, &socket, is_admin, tls.as_ref());
                // Nobody else looks again at those that came over the limit.
                if !self.over_limit.borrow().is_empty() {
                    self.accept_later(shard, index);
                }
                return;
            }
        }
        let is_open = listener.is_some_and(|listener| listener.socket.is_some());
        if !is_open && self.over_limit.borrow().is_empty() {
            return;
        }
        if errno != libc::ECANCELED {
            let error = std::io::Error::from_raw_os_error(errno);
            crate::log::warn("accept", format_args!("accepting pauses: {error}"));
        }
        self.accept_later(shard, index);
    }

    /// Accepts no more at those listeners, but takes those who wait already.
    pub(super) fn close_listeners(&self, shard: &Rc<Shard>, which: fn(&Listener) -> bool) {
        let mut listeners = self.listeners.borrow_mut();
        let closing = listeners.iter_mut().filter(|listener| which(listener));
        let close = |listener: &mut Listener| {
            let socket = listener.socket.take()?;
            if let Some(op) = listener.accept.get() {
                shard.ring.borrow_mut().cancel(op);
                *listener.closing.borrow_mut() = Some(socket.clone());
            }
            Some((socket, listener.is_admin, listener.tls.clone()))
        };
        let closed: Vec<_> = closing.filter_map(close).collect();
        drop(listeners);
        for (socket, is_admin, tls) in closed {
            // Connections that wait in the kernel's queue would be reset with the listener.
            self.take_rest(shard, &socket, is_admin, tls.as_ref());
            // The ring may hold the socket for another turn: those who come then must not queue up
            // to be reset. A shared one goes on in other processes.
            if !socket.is_shared() {
                socket.shutdown();
            }
        }
    }

    /// Takes all connections that wait in a listener's queue.
    ///
    /// Where several processes accept from one socket the kernel wakes one of them for each
    /// connection (io_uring(7) polls exclusively to accept). If that was us, and we were about to
    /// stop, nobody else is told of it: so this is done once more when accepting has ended.
    fn take_rest(
        &self,
        shard: &Rc<Shard>,
        socket: &Socket,
        is_admin: bool,
        tls: Option<&Arc<Accepts>>,
    ) {
        while let Ok(fd) = socket.accept_now() {
            let (bytes, tls) = (Vec::new(), tls.cloned());
            self.take_accepted(shard, Accepted { fd, bytes, is_admin, tls });
        }
    }

    /// Goes on with a connection that another process has served.
    pub(crate) fn take_handed(&self, shard: &Rc<Shard>, handed: Handed) {
        let Handed { socket: fd, bytes } = handed;
        self.take_accepted(shard, Accepted { fd, bytes, is_admin: false, tls: None });
    }
}
