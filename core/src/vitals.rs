//! What an engine holds at this moment: for tests that look for leaks.

use crate::connection::Role;
use crate::engine::Engine;
use crate::shard::Shard;

/// Everything that a core holds for connections, requests and calls, added up over the cores.
///
/// On an engine that has been at rest for a while, all but what belongs to listeners is 0.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vitals {
    /// Tasks that have a job.
    pub tasks: usize,
    /// Jobs that are ready and have not been run.
    pub ready: usize,
    /// Connections of all kinds, also those that the kernel has not let go of.
    pub connections: usize,
    /// Requests in flight that came by connections.
    pub flights: usize,
    /// Calls in flight.
    pub calls: usize,
    /// Timers that have neither fired nor been cancelled.
    pub timers: usize,
    /// Operations of the ring, those of listeners included.
    pub operations: usize,
    /// Receive buffers that are not given back.
    pub buffers: usize,
    /// Stacks that are lost because their coroutine never ended.
    pub stacks_leaked: usize,
    /// Connections opened since the start.
    pub dials: u64,
}

/// Bytes that this process has from its heap and not given back.
#[doc(hidden)]
pub fn heap_bytes() -> usize {
    msec_sys::process::heap_bytes()
}

/// Gives what lies between them back to the kernel.
#[doc(hidden)]
pub fn trim_heap() {
    msec_sys::process::trim_heap();
}

impl Engine {
    /// What the engine holds.
    ///
    /// # Panics
    /// When called on a core thread.
    #[doc(hidden)]
    pub fn vitals(&self) -> Vitals {
        let cores = self.ask_all(|shard| {
            let ring = shard.ring.borrow();
            Vitals {
                tasks: shard.tasks.live_count(),
                ready: shard.tasks.ready.borrow().len(),
                connections: shard.connections.count(),
                flights: shard.flights.borrow().count(),
                calls: calls_in_flight(shard),
                timers: shard.timers.borrow().len(),
                operations: ring.operations_count(),
                buffers: ring.buffers_held_count(),
                stacks_leaked: shard.tasks.pool().leaked(),
                dials: shard.peers.dials_count(),
            }
        });
        cores.into_iter().fold(Vitals::default(), |sum, core| Vitals {
            tasks: sum.tasks + core.tasks,
            ready: sum.ready + core.ready,
            connections: sum.connections + core.connections,
            flights: sum.flights + core.flights,
            calls: sum.calls + core.calls,
            timers: sum.timers + core.timers,
            operations: sum.operations + core.operations,
            buffers: sum.buffers + core.buffers,
            stacks_leaked: sum.stacks_leaked + core.stacks_leaked,
            dials: sum.dials + core.dials,
        })
    }
}

/// Calls in flight from a core, to all peers.
fn calls_in_flight(shard: &Shard) -> usize {
    let streams = shard.connections.all();
    let streams = streams.iter().map(|connection| match &connection.role {
        Role::Client(side) => side.in_flight(),
        Role::Server(_) | Role::Raw(_) => 0,
    });
    let datagrams = shard.peers.datagrams.borrow();
    streams.sum::<usize>() + datagrams.iter().map(|(_, peer)| peer.in_flight()).sum::<usize>()
}
