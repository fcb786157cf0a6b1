//! Connections that go from one process to another, with all that was read of them.
//!
//! ```text
//!   old process: stop reading ─► answer what is under way ─► socket + bytes not looked at ─► heir
//!   new process:                               take_handed ─► those bytes first ─► read on
//! ```
//!
//! The peer notices nothing: not a byte is lost, nothing is asked of it, and it need not connect
//! again. A connection can go when it is between two requests. One that speaks TLS cannot, since
//! its keys are this process's, nor one that speaks HTTP; these are asked to leave.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use msec_sys::process::PASSED_BYTES_MAX;

use crate::accepted::ServerSide;
use crate::closed::Closed;
use crate::connection::{Connection, Role};
use crate::shard::Shard;

/// A connection on its way from one process to another.
#[derive(Debug)]
pub struct Handed {
    /// Its socket.
    pub socket: OwnedFd,
    /// What was received and not looked at: the beginning of requests.
    pub bytes: Vec<u8>,
}

/// Who gets connections that are handed over. Called on core threads; must not block.
pub(crate) type Heir = Arc<dyn Fn(Handed) + Send + Sync>;

impl Connection {
    /// Hands the connection to the server's heir once nothing of it is under way; where that cannot
    /// be, asks the peer to leave.
    pub(crate) fn hand_over(self: &Rc<Self>, shard: &Rc<Shard>) {
        let Role::Server(side) = &self.role else { return };
        if !self.can_be_handed() || side.http().is_some() || side.is_admin() {
            return side.say_leaving(shard, self);
        }
        self.handing.set(true);
        self.hand_on(shard, side);
    }

    /// Looks whether the time has come: called whenever something of it has ended.
    pub(crate) fn hand_on_if_meant(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.handing.get()
            && let Role::Server(side) = &self.role
        {
            self.hand_on(shard, side);
        }
    }

    fn hand_on(self: &Rc<Self>, shard: &Rc<Shard>, side: &ServerSide) {
        if side.http().is_some() {
            // It has begun to speak it just now.
            self.keep(shard, side);
            return;
        }
        if !self.stops_at_boundary(shard) || !side.is_idle() || self.is_busy() {
            return;
        }
        let heir = side.server().heir();
        let socket = self.socket().as_fd().try_clone_to_owned();
        let bytes = self.take_held();
        match (heir, socket) {
            (Some(heir), Ok(socket)) if bytes.len() <= PASSED_BYTES_MAX => {
                self.part(shard, &Closed::HandedOver);
                heir(Handed { socket, bytes });
            }
            _ => {
                self.give_held_back(bytes);
                self.keep(shard, side);
            }
        }
    }

    /// It stays here after all, until its peer leaves.
    fn keep(self: &Rc<Self>, shard: &Rc<Shard>, side: &ServerSide) {
        self.handing.set(false);
        self.resume(shard);
        side.say_leaving(shard, self);
    }
}
