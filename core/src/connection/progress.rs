//! What a connection holds, when it is not read on, and whether it gets on.

use std::rc::Rc;

use msec_protocol::{Arrival, Cutter};

use super::{Connection, LEASE_BYTES_MIN, Phase, Role, Taken};
use crate::closed::Closed;
use crate::http::HttpSide;
use crate::shard::{Shard, Timer};
use crate::task::Ready;

/// How often progress is looked at within the time that it may take.
const LOOKS_COUNT: u64 = 4;

impl Connection {
    /// Stops reading until [`Connection::resume`].
    pub(super) fn pause(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.full.set(true);
        self.watch_progress(shard);
        if let Some(op) = self.recv.get() {
            shard.ring.borrow_mut().cancel(op);
        }
    }

    /// The role has room again: what was held is taken soon, on the loop's stack. Here may be that
    /// of the coroutine whose answer made room, which can start no other one.
    pub(crate) fn resume(self: &Rc<Self>, shard: &Shard) {
        if !self.full.get() || self.handing.get() || self.has_much_unsent() {
            return;
        }
        if !self.resuming.replace(true) {
            shard.tasks.ready.borrow_mut().push_back(Ready::Read(self.clone()));
        }
    }

    /// Takes what was held, then reads on.
    pub(crate) fn resumed(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.phase.get() == Phase::Dead {
            return;
        }
        self.full.set(false);
        let held = std::mem::take(&mut self.input.borrow_mut().held);
        if !held.is_empty() {
            self.take_input(shard, &held);
        }
        self.resuming.set(false);
        self.hand_on_if_meant(shard);
        if self.full.get() {
            // What filled it up may be answered already.
            self.role_may_resume(shard);
        } else {
            self.read(shard);
            self.close_if_done(shard);
        }
    }

    /// Memory of what has come and is incomplete.
    pub(super) fn partial_bytes(&self) -> usize {
        match &self.role {
            Role::Server(server) => server.http().map(HttpSide::buffered_bytes),
            Role::Client(_) | Role::Raw(_) => None,
        }
        .unwrap_or_else(|| self.input.borrow().cutter.buffered())
    }

    /// Whether all that has come is complete.
    pub(super) fn at_boundary(&self) -> bool {
        match &self.role {
            Role::Server(server) => server.http().map(HttpSide::at_boundary),
            Role::Client(_) | Role::Raw(_) => None,
        }
        .unwrap_or_else(|| self.input.borrow().cutter.at_boundary())
    }

    /// Accounts for a frame that is incomplete; without budget its body is thrown away.
    pub(super) fn lease_input(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        cutter: &mut Cutter,
        partial_bytes: usize,
    ) {
        self.watch_progress(shard);
        if self.lease(shard, partial_bytes + self.unsent_bytes()) {
            return;
        }
        if let Some(Arrival::Refused { head, .. }) = cutter.abandon() {
            // A bad head shows again at the next frame; here it only cannot be answered.
            let _ = match &self.role {
                Role::Server(server) => {
                    server.refused(shard, self, &head, msec_protocol::Code::OVERLOADED)
                }
                Role::Client(client) => client.refused(shard, self, &head),
                Role::Raw(_) => Ok(Taken::Yes),
            };
        }
        self.lease(shard, self.unsent_bytes());
    }

    /// Leases as many bytes as are kept now; false if the budget has not that much.
    pub(super) fn lease(&self, shard: &Shard, bytes: usize) -> bool {
        let wanted = if bytes < LEASE_BYTES_MIN { 0 } else { bytes };
        let leased = self.leased_bytes.get();
        if wanted > leased && !shard.leases.bytes.take(wanted - leased) {
            return false;
        }
        if wanted < leased {
            shard.leases.bytes.give(leased - wanted);
        }
        self.leased_bytes.set(wanted);
        true
    }

    /// Looks after the connection until it makes progress or is closed for want of it.
    pub(super) fn watch_progress(&self, shard: &Shard) {
        if self.stall_timer.get().is_none() {
            let at_ns = shard.now_ns() + stall_ns_max(shard) / LOOKS_COUNT;
            let timer = shard.timers.borrow_mut().insert(at_ns, Timer::Stall(self.id.get()));
            self.stall_timer.set(Some(timer));
        }
    }

    /// The time to look has come.
    pub(crate) fn check_stall(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.stall_timer.set(None);
        let paused = self.full.get() && !self.handing.get();
        let waits = paused || self.unsent_bytes() > 0 || !self.at_boundary();
        if !waits || self.phase.get() == Phase::Dead {
            return;
        }
        let quiet_ns = shard.now_ns().saturating_sub(self.progress_ns.get());
        if quiet_ns >= stall_ns_max(shard) {
            return self.close(shard, &Closed::Stalled);
        }
        self.watch_progress(shard);
    }
}

fn stall_ns_max(shard: &Shard) -> u64 {
    u64::from(shard.shared.config.limits.stall_ms_max) * 1_000_000
}
