//! Giving a connection to another process, at a moment when nothing of it is under way (see
//! `handed.rs`).
//!
//! In this order: all that has come is complete; it is read no more; what came meanwhile is held;
//! what is in flight is answered, and the answers are sent. Then the socket goes, with what was
//! held.

use std::os::fd::AsFd;
use std::rc::Rc;

use msec_sys::process::PASSED_BYTES_MAX;

use super::{Connection, Phase, Role};
use crate::accepted::ServerSide;
use crate::closed::Closed;
use crate::handed::Handed;
use crate::shard::Shard;

impl Connection {
    /// Hands the connection to the server's heir once nothing of it is under way; where that cannot
    /// be, asks the peer to leave.
    pub(crate) fn hand_over(self: &Rc<Self>, shard: &Rc<Shard>) {
        let Role::Server(side) = &self.role else { return };
        let can_go = self.tls.is_none() && self.phase.get() == Phase::Open;
        if !can_go || side.http().is_some() || side.is_admin() {
            return side.say_leaving(shard, self);
        }
        self.handing.set(true);
        self.hand_on(shard, side);
    }

    /// Whether it is about to go.
    pub(crate) fn is_handing(&self) -> bool {
        self.handing.get()
    }

    /// Looks whether the time has come: called whenever something of it has ended.
    pub(super) fn hand_on_if_meant(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.handing.get()
            && let Role::Server(side) = &self.role
        {
            self.hand_on(shard, side);
        }
    }

    /// Takes what another process had received and not looked at.
    pub(crate) fn take_first(self: &Rc<Self>, shard: &Rc<Shard>, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.take_input(shard, bytes);
        }
    }

    fn hand_on(self: &Rc<Self>, shard: &Rc<Shard>, side: &ServerSide) {
        if side.http().is_some() {
            // It has begun to speak it just now.
            return self.keep(shard, side);
        }
        let is_busy = !side.is_idle() || self.unsent_bytes() > 0 || self.resuming.get();
        if !self.stops_at_boundary(shard) || is_busy {
            return;
        }
        let socket = self.socket.as_fd().try_clone_to_owned();
        let bytes = std::mem::take(&mut self.input.borrow_mut().held);
        match (side.server().heir(), socket) {
            (Some(heir), Ok(socket)) if bytes.len() <= PASSED_BYTES_MAX => {
                self.part(shard, &Closed::HandedOver);
                heir(Handed { socket, bytes });
            }
            (Some(_) | None, Ok(_) | Err(_)) => {
                self.input.borrow_mut().held = bytes;
                self.keep(shard, side);
            }
        }
    }

    /// Stops reading once all that has come is complete; whether nothing is read any more.
    fn stops_at_boundary(self: &Rc<Self>, shard: &Rc<Shard>) -> bool {
        if self.phase.get() != Phase::Open || self.cutting.get() {
            return false;
        }
        if !self.full.get() {
            if !self.at_boundary() {
                return false;
            }
            self.pause(shard);
        }
        self.recv.get().is_none()
    }

    /// It stays here after all, until its peer leaves.
    fn keep(self: &Rc<Self>, shard: &Rc<Shard>, side: &ServerSide) {
        self.handing.set(false);
        self.resume(shard);
        side.say_leaving(shard, self);
    }
}
