//! Pools: the connections that a core has to its peers, and the patience it has with them.
//!
//! One multiplexed connection a core and peer carries all calls; `connections_per_peer` in the
//! configuration asks for more, and calls then take turns. A connection is opened by the first
//! call that needs it; calls are written while it connects and leave when it is there. A call that
//! names a lane ([`CallOptions::lane`](crate::CallOptions::lane)) uses that lane's connection and
//! no other.
//!
//! A peer that cannot be reached is not dialled for every call: after a failure it is left alone
//! for a while that doubles from 10 ms to 1 s (with a random half, so that callers spread), and
//! calls fail at once in the meantime, with the reason of the last failure. A call thus waits
//! neither for its deadline nor in a queue that grows. A peer that hangs up before it has ever
//! answered counts as one that cannot be reached. Which of a service's instances are called
//! meanwhile is decided in `route.rs`, which is told who was reached and who was not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use msec_protocol::{Address, Code};
use msec_sys::output::Writer;
use msec_sys::socket::{self, Socket};

use crate::call::{Ask, Done};
use crate::client::{ClientSide, with_side};
use crate::closed::Closed;
use crate::connection::{Connection, Role, Way};
use crate::connections::ConnectionId;
use crate::datagram::{DatagramId, DatagramPeer};
use crate::error::{Error, Result};
use crate::shard::{Shard, Timer};

/// The first rest after a failed connect, doubled by each further failure.
const REST_MS_MIN: u64 = 10;
/// The longest rest.
const REST_MS_MAX: u64 = 1000;
/// So many failures of a peer in a row are told to the operator, and again when they have doubled.
const FAILURES_COUNT_NEWS: u32 = 4;
/// How long a connect may take.
const CONNECT_NS_MAX: u64 = 1_000_000_000;
/// With so many peers known, those that are nothing but known are forgotten before another comes.
const PEERS_COUNT_MANY: usize = 1024;

/// What a core knows of one peer.
#[derive(Default)]
struct Peer {
    connections: Vec<ConnectionId>,
    turn: usize,
    /// By lane; `None` where none is open.
    lanes: Vec<Option<ConnectionId>>,
    failures: u32,
    /// Not dialled before this; 0: at once.
    rest_until_ns: u64,
    /// Why the last connect failed.
    reason: String,
    datagram: Option<Rc<DatagramPeer>>,
}

/// The peers of a core.
#[derive(Default)]
pub(crate) struct Peers {
    peers: RefCell<HashMap<Address, Peer>>,
    pub(crate) datagrams: RefCell<slab::Slab<Rc<DatagramPeer>>>,
    dials_count: Cell<u64>,
}

/// A way to a peer that a call took; names it also when it is gone.
#[derive(Clone, Copy)]
pub(crate) enum Line {
    Stream(ConnectionId),
    Datagram(DatagramId),
}

impl Line {
    /// Gives a call up. False if it is over.
    pub(crate) fn cancel(self, shard: &Rc<Shard>, sequence: u64) -> bool {
        let mut cancelled = false;
        match self {
            Self::Stream(id) => with_side(shard, id, |side, connection| {
                cancelled = side.cancel(shard, connection, sequence);
            }),
            Self::Datagram(id) => {
                let peer = shard.peers.datagrams.borrow().get(id).cloned();
                cancelled = peer.is_some_and(|peer| peer.cancel(shard, sequence));
            }
        }
        cancelled
    }
}

/// Begins a call on a line to its address.
#[inline]
pub(crate) fn begin(
    shard: &Rc<Shard>,
    ask: &Ask<'_>,
    done: Done,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(Line, u64)> {
    if let Address::Udp(_) = ask.address {
        return begin_datagram(shard, ask, done, write_body);
    }
    let lane = ask.options.lane.map(usize::from);
    let connection =
        connection(shard, ask.address, lane).map_err(|e| e.while_calling(ask.method))?;
    let Role::Client(side) = &connection.role else {
        return Err(Error::internal("a pooled connection is a client's"));
    };
    let sequence = side.begin(shard, &connection, ask, done, write_body)?;
    Ok((Line::Stream(connection.id()), sequence))
}

/// Not part of [`begin`], where it would take its place on the stack of every coroutine that calls.
#[inline(never)]
fn begin_datagram(
    shard: &Rc<Shard>,
    ask: &Ask<'_>,
    done: Done,
    write_body: impl FnOnce(&mut Writer<'_, '_>),
) -> Result<(Line, u64)> {
    let peer = datagram_peer(shard, ask.address).map_err(|e| e.while_calling(ask.method))?;
    let sequence = peer.begin(shard, ask, done, write_body)?;
    Ok((Line::Datagram(peer.id()), sequence))
}

/// A connection to the peer: one that is there, or a new one.
fn connection(shard: &Rc<Shard>, address: &Address, lane: Option<usize>) -> Result<Rc<Connection>> {
    let most = shard.shared.config.connections_per_peer;
    let mut peers = shard.peers.peers.borrow_mut();
    let peer = peer_of(&mut peers, address, shard.now_ns());
    let rests = shard.now_ns() < peer.rest_until_ns;
    if let Some(lane) = lane {
        let id = peer.lanes.get(lane).copied().flatten();
        if let Some(found) = id.and_then(|id| usable(shard, id)) {
            return Ok(found);
        }
    } else if let Some(found) = peer.take_turn(shard) {
        // One more is dialled if it may be; until it is there, and if it never is, this one does.
        if peer.connections.len() < most && !found.is_connecting() && !rests {
            drop(peers);
            let _ = dial(shard, address, None);
        }
        return Ok(found);
    }
    if rests {
        let rest_ms = (peer.rest_until_ns - shard.now_ns()) / 1_000_000 + 1;
        let text = format!(
            "cannot connect to {address}: {}; it is tried again in {rest_ms} ms",
            peer.reason
        );
        return Err(Error::new(Code::NETWORK, text).unsent());
    }
    drop(peers);
    dial(shard, address, lane)
}

/// Sees whether a peer is there: tells it at once if that is known, else dials, and what comes of
/// that is told to the routes.
pub(crate) fn look_for(shard: &Rc<Shard>, address: &Address) -> Option<bool> {
    if let Address::Udp(_) = address {
        // Only a call can tell.
        return Some(true);
    }
    let mut peers = shard.peers.peers.borrow_mut();
    let peer = peer_of(&mut peers, address, shard.now_ns());
    if let Some(found) = peer.take_turn(shard) {
        return (!found.is_connecting()).then_some(true);
    }
    if shard.now_ns() < peer.rest_until_ns {
        return Some(false);
    }
    drop(peers);
    // A failure is told by `failed`, as any is.
    let _ = dial(shard, address, None);
    None
}

/// Uses the connections to a peer no more: those in flight may still be answered there.
pub(crate) fn leave(shard: &Rc<Shard>, address: &Address) {
    let mut peers = shard.peers.peers.borrow_mut();
    let Some(peer) = peers.get_mut(address) else { return };
    let mut ids = std::mem::take(&mut peer.connections);
    ids.extend(peer.lanes.drain(..).flatten());
    drop(peers);
    for id in ids {
        with_side(shard, id, |side, connection| side.leave(shard, connection));
    }
}

/// What is known of the peer, maybe nothing yet.
fn peer_of<'a>(
    peers: &'a mut HashMap<Address, Peer>,
    address: &Address,
    now_ns: u64,
) -> &'a mut Peer {
    if !peers.contains_key(address) {
        if peers.len() >= PEERS_COUNT_MANY {
            peers.retain(|_, peer| peer.is_worth_keeping(now_ns));
        }
        peers.insert(address.clone(), Peer::default());
    }
    peers.get_mut(address).expect("it was inserted above")
}

/// The connection, if calls may use it.
fn usable(shard: &Shard, id: ConnectionId) -> Option<Rc<Connection>> {
    let found = shard.connections.find(id).filter(|found| found.is_usable())?;
    let Role::Client(side) = &found.role else { return None };
    // Servers end what is idle, the original's after a minute. This core may not have read of it
    // yet, and what is sent after the end is lost without anybody knowing whether it was served.
    let has_ended = || side.is_idle(shard.now_ns()) && found.has_ended();
    (side.is_open_for_calls() && (found.is_connecting() || !has_ended())).then_some(found)
}

fn dial(shard: &Rc<Shard>, address: &Address, lane: Option<usize>) -> Result<Rc<Connection>> {
    if shard.is_stopping() {
        return Err(Error::new(Code::NETWORK, "the engine stops"));
    }
    let tls = shard.shared.tls.connect(address)?;
    let socket_address = socket_address(address);
    let fd = match socket::connect(&socket_address) {
        Ok(fd) => fd,
        Err(error) => {
            shard.peers.failed(shard, address, error.to_string());
            let text = format!("cannot connect to {address}: {error}");
            return Err(Error::new(Code::NETWORK, text).unsent());
        }
    };
    let first = shard.random() as u32;
    let role = Role::Client(ClientSide::new(address.clone(), first));
    let way = Way::Connecting(tls);
    let connection = Connection::open(shard, Socket::new(fd), socket_address, role, way);
    let id = connection.id();
    if let Some(peer) = shard.peers.peers.borrow_mut().get_mut(address) {
        peer.keep(id, lane);
    }
    shard.peers.dials_count.set(shard.peers.dials_count.get() + 1);
    let give_up = Timer::Run(Box::new(move |shard: &Rc<Shard>| {
        if let Some(connection) = shard.connections.find(id) {
            connection.close(shard, &Closed::Failed(libc::ETIMEDOUT));
        }
    }));
    let timer = shard.timers.borrow_mut().insert(shard.now_ns() + CONNECT_NS_MAX, give_up);
    if let Role::Client(side) = &connection.role {
        side.set_connect_timer(timer);
    }
    Ok(connection)
}

fn datagram_peer(shard: &Rc<Shard>, address: &Address) -> Result<Rc<DatagramPeer>> {
    let mut peers = shard.peers.peers.borrow_mut();
    let peer = peer_of(&mut peers, address, shard.now_ns());
    if let Some(datagram) = &peer.datagram {
        return Ok(datagram.clone());
    }
    let opened = DatagramPeer::open(shard, address)?;
    peer.datagram = Some(opened.clone());
    Ok(opened)
}

impl Peer {
    /// Whether there is something to remember.
    fn is_worth_keeping(&self, now_ns: u64) -> bool {
        !self.connections.is_empty()
            || self.lanes.iter().any(Option::is_some)
            || self.datagram.is_some()
            || now_ns < self.rest_until_ns
    }

    /// The next of the shared connections that may be used.
    fn take_turn(&mut self, shard: &Shard) -> Option<Rc<Connection>> {
        for _ in 0..self.connections.len() {
            self.turn = (self.turn + 1) % self.connections.len();
            if let Some(found) = usable(shard, self.connections[self.turn]) {
                return Some(found);
            }
        }
        None
    }

    fn keep(&mut self, id: ConnectionId, lane: Option<usize>) {
        let Some(lane) = lane else { return self.connections.push(id) };
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, None);
        }
        self.lanes[lane] = Some(id);
    }

    fn forget(&mut self, id: ConnectionId) {
        self.connections.retain(|known| *known != id);
        if let Some(lane) = self.lanes.iter_mut().find(|lane| **lane == Some(id)) {
            *lane = None;
        }
    }
}

impl Peers {
    /// A connect succeeded.
    pub(crate) fn connected(&self, shard: &Shard, address: &Address) {
        if let Some(peer) = self.peers.borrow_mut().get_mut(address) {
            peer.rest_until_ns = 0;
        }
        shard.routes.reached(shard, address, true);
    }

    /// The peer has answered: it is forgiven.
    pub(crate) fn heard(&self, address: &Address) {
        if let Some(peer) = self.peers.borrow_mut().get_mut(address) {
            peer.failures = 0;
        }
    }

    /// The peer has said on that connection that it leaves.
    pub(crate) fn left(&self, shard: &Rc<Shard>, address: &Address, id: ConnectionId) {
        self.forget(address, id);
        shard.routes.left(shard, address);
    }

    /// A connection is not to be used for further calls.
    pub(crate) fn forget(&self, address: &Address, id: ConnectionId) {
        if let Some(peer) = self.peers.borrow_mut().get_mut(address) {
            peer.forget(id);
        }
    }

    /// A connection is dead; one that never was connected counts against the peer.
    pub(crate) fn closed(
        &self,
        shard: &Shard,
        address: &Address,
        id: ConnectionId,
        failed: Option<&Closed>,
    ) {
        self.forget(address, id);
        if let Some(why) = failed {
            self.failed(shard, address, why.to_string());
        }
    }

    fn failed(&self, shard: &Shard, address: &Address, reason: String) {
        let mut peers = self.peers.borrow_mut();
        let Some(peer) = peers.get_mut(address) else { return };
        let rest_ms = (REST_MS_MIN << peer.failures.min(10)).min(REST_MS_MAX);
        let random_ms = shard.random() % (rest_ms / 2 + 1);
        peer.failures = peer.failures.saturating_add(1);
        peer.rest_until_ns = shard.now_ns() + (rest_ms / 2 + random_ms) * 1_000_000;
        peer.reason = reason;
        // Peers restart, and then fail a few times; who fails for longer is news, but no storm.
        let count = peer.failures;
        let is_news = count >= FAILURES_COUNT_NEWS && count.is_power_of_two();
        let reason = if is_news { peer.reason.clone() } else { String::new() };
        drop(peers);
        if is_news {
            let text = format_args!("cannot reach {address}, {count} times in a row: {reason}");
            crate::log::warn("peer", text);
        }
        shard.routes.reached(shard, address, false);
    }

    /// How often a connection was opened.
    pub(crate) fn dials_count(&self) -> u64 {
        self.dials_count.get()
    }

    /// Ends all calls by datagram and lets go of everything.
    pub(crate) fn end(&self, shard: &Rc<Shard>) {
        let datagrams = self.datagrams.take();
        for (_, peer) in &datagrams {
            peer.fail_all(shard, &Closed::Stopped);
        }
        let peers = self.peers.take();
        drop((datagrams, peers));
    }
}

/// The address as the machine knows it.
pub(crate) fn socket_address(address: &Address) -> socket::Address {
    match address {
        Address::Tcp(ip) | Address::Tls(ip, _) | Address::Udp(ip) => socket::Address::Ip(*ip),
        Address::Unix(path) => socket::Address::Unix(path.into()),
    }
}
