//! A core thread: one ring, one run queue, one timer wheel, its connections and its tasks.
//!
//! ```text
//!      ┌──────────────────────── wait (submits, and blocks if there is nothing to run) ◄────────┐
//!      ▼                                                                                        │
//!   messages of other threads ─► timers ─► events of the ring ─► ready tasks ─► flush dirty output
//! ```
//!
//! A turn of the loop takes what the kernel has, runs what became ready, and sends what they
//! wrote: one send a connection and turn, however many answers it carries. The run is bounded in
//! number and in time, so that I/O is looked at even under endless runnable load.
//!
//! Everything here belongs to one thread and is reached through a thread-local. No borrow of a
//! `RefCell` is ever held while business code runs or a task parks.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use msec_sys::clock;
use msec_sys::process::CrashNote;
use msec_sys::ring::{Event, Interest, Op, Ring};
use msec_sys::socket::Socket;

use crate::after_turn::AfterTurn;
use crate::cancel::TaskId;
use crate::client::with_side;
use crate::connection::Connection;
use crate::connections::{ConnectionId, Connections};
use crate::context::Context;
use crate::engine::Shared;
use crate::flight::Flights;
use crate::mailbox;
use crate::overload::{self, Overload};
use crate::polled::Polled;
use crate::pool::Peers;
use crate::raw::RawIdle;
use crate::report::Reporter;
use crate::request::{self, Answered};
use crate::route::Routes;
use crate::serve::ServerShard;
use crate::spares::Spares;
use crate::subject::Subject;
use crate::task::{Ready, Task, Tasks, Waiter};
use crate::timer::Wheel;

/// Ready tasks run in one turn before I/O is looked at again.
const RUN_COUNT_MAX: usize = 256;
/// Requests started in one turn as they are read.
const STARTED_COUNT_MAX: usize = 1024;
/// One request in so many that end in a turn is clocked.
const ENDED_COUNT_CLOCKED: u32 = 8;
/// Time after which a turn looks at I/O again and sends what is written.
const RUN_NS_MAX: u64 = 200_000;
/// Messages taken from the mailbox in one turn.
const MESSAGES_COUNT_MAX: usize = 1024;

/// A function to be run on a core's loop, sent by another thread.
pub(crate) type Errand = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// A function to be run on this core's loop, later.
pub(crate) type Later = Box<dyn FnOnce(&Rc<Shard>)>;

/// What a core is told by other threads.
pub(crate) enum Message {
    /// Run this on the core, on the loop's stack.
    Run(Errand),
    /// Make a task ready.
    Wake(TaskId),
    /// Serve a request that another core has read.
    Request(Box<Context>),
    /// The answer to a request of one of our connections.
    Answered(Box<Answered>),
    /// Several of them.
    AllAnswered(Vec<Answered>),
}

/// What a timer does.
pub(crate) enum Timer {
    /// Wake a task.
    Wake(Waiter),
    /// The deadline of the request that a task serves.
    Deadline(Waiter),
    /// See whether a connection makes progress.
    Stall(ConnectionId),
    /// Accept again.
    Accept { server: u32, listener: u32 },
    /// The deadline of a call.
    Call { connection: ConnectionId, sequence: u64 },
    /// The deadline of a call by datagram.
    DatagramCall { peer: usize, sequence: u64 },
    /// Anything rare.
    Run(Later),
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

/// The core whose thread this is; `None` on other threads.
pub(crate) fn current() -> Option<Rc<Shard>> {
    // At the end of a thread, destructors may still ask when the answer is gone already.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Looks at the core whose thread this is, without holding on to it; `None` on other threads.
#[inline]
pub(crate) fn with_current<R>(look: impl FnOnce(&Rc<Shard>) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(look)).ok().flatten()
}

/// A core, seen from its own thread.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    now_ns: Cell<u64>,
    /// When a run last ended, as far as is known.
    fresh_ns: Cell<u64>,
    /// When a request last ended, and how many have in this turn.
    ended_ns: Cell<u64>,
    ended_count: Cell<u32>,
    pub(crate) ring: RefCell<Ring>,
    pub(crate) timers: RefCell<Wheel<Timer>>,
    pub(crate) tasks: Tasks,
    /// The request that is served on the loop's own stack: a callback method's.
    pub(crate) on_loop: RefCell<Option<Box<Context>>>,
    pub(crate) overload: Overload,
    pub(crate) connections: Connections,
    pub(crate) flights: RefCell<Flights>,
    pub(crate) servers: RefCell<Vec<Option<Rc<ServerShard>>>>,
    pub(crate) peers: Peers,
    pub(crate) routes: Routes,
    pub(crate) raw_idle: RawIdle,
    pub(crate) leases: crate::engine::Leases,
    pub(crate) reporter: Reporter,
    inbox: RefCell<mailbox::Receiver<Message>>,
    /// Connections with output that was not handed to the ring.
    dirty: RefCell<Vec<Rc<Connection>>>,
    polls: RefCell<slab::Slab<Rc<Polled>>>,
    pub(crate) spares: Spares,
    /// Messages that did not fit into another core's mailbox, oldest first.
    outbox: RefCell<std::collections::VecDeque<(usize, Message)>>,
    /// Average time of the last runs is so long that the clock is read after each, and that
    /// requests are queued, where an idle core can get at them.
    slow: Cell<bool>,
    /// Requests started in this turn as they were read.
    started_count: Cell<usize>,
    stopping: Cell<bool>,
    /// What is to be done when everything of this turn is.
    pub(crate) after_turn: AfterTurn,
    /// When the ring last had an event.
    worked_ns: Cell<u64>,
    random: Cell<u64>,
}

impl Shard {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        ring: Ring,
        inbox: mailbox::Receiver<Message>,
    ) -> Rc<Self> {
        let now_ns = clock::now_ns();
        let stacks = shared.config.stacks();
        let leases = crate::engine::Leases::new(&shared.budgets);
        let reporter = Reporter::new(&shared.config.report, now_ns);
        Rc::new(Self {
            index,
            now_ns: Cell::new(now_ns),
            fresh_ns: Cell::new(now_ns),
            ended_ns: Cell::new(now_ns),
            ended_count: Cell::new(0),
            ring: RefCell::new(ring),
            timers: RefCell::new(Wheel::new(now_ns)),
            tasks: Tasks::new(stacks),
            on_loop: RefCell::default(),
            overload: Overload::new(shared.config.overload_control),
            connections: Connections::default(),
            flights: RefCell::default(),
            servers: RefCell::default(),
            peers: Peers::default(),
            routes: Routes::default(),
            raw_idle: RawIdle::default(),
            leases,
            reporter,
            inbox: RefCell::new(inbox),
            dirty: RefCell::default(),
            polls: RefCell::default(),
            spares: Spares::default(),
            outbox: RefCell::default(),
            slow: Cell::new(false),
            started_count: Cell::new(0),
            stopping: Cell::new(false),
            after_turn: AfterTurn::default(),
            worked_ns: Cell::new(0),
            random: Cell::new(clock::wall_ns() ^ (index as u64) << 32 | 1),
            shared,
        })
    }

    /// The time of this turn of the loop, in nanoseconds of the monotonic clock.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// The time now, a few milliseconds old at most, also when a task has computed for long; at a
    /// quarter of the price of a clock.
    #[inline]
    pub(crate) fn fresh_ns(&self) -> u64 {
        let fresh_ns = self.now_ns().max(clock::coarse_ns());
        self.fresh_ns.set(fresh_ns);
        fresh_ns
    }

    /// The time when a request ends, for its latency.
    ///
    /// A clock costs a fifth of a quick request. So it is read for the first that ends in a turn
    /// and every eighth after it; those between count as ended with the last that was clocked,
    /// unless the kernel's tick says that it was longer. Where runs are slow, each is clocked.
    #[inline]
    pub(crate) fn ended_ns(&self) -> u64 {
        let count = self.ended_count.get();
        self.ended_count.set(count.wrapping_add(1));
        let fresh_ns = self.fresh_ns();
        let ended_ns = if count.is_multiple_of(ENDED_COUNT_CLOCKED) || self.slow.get() {
            clock::now_ns()
        } else {
            fresh_ns.max(self.ended_ns.get())
        };
        self.ended_ns.set(ended_ns);
        ended_ns
    }

    /// The time when something starts: when what ran before it ended. Where the turn has become
    /// old, no more requests start as they are read, and the clock is read after each run.
    #[inline]
    pub(crate) fn start_ns(&self) -> u64 {
        let fresh_ns = self.fresh_ns.get();
        if fresh_ns > self.now_ns() {
            self.slow.set(true);
        }
        fresh_ns.max(self.now_ns())
    }

    /// A number that is different each time; not for secrets (xorshift64*, Vigna 2016).
    pub(crate) fn random(&self) -> u64 {
        let mut word = self.random.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.random.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The server with that number, while it runs.
    pub(crate) fn server(&self, number: u32) -> Option<Rc<ServerShard>> {
        self.servers.borrow().get(number as usize)?.clone()
    }

    /// Runs the loop until the engine stops.
    pub(crate) fn run(self: &Rc<Self>) {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        while !self.stopping.get() {
            if let Err(error) = self.turn() {
                // The ring itself fails: nothing on this core can go on.
                crate::log::error("ring", format_args!("core {}: {error}", self.index));
                break;
            }
        }
        self.end();
        CURRENT.with(|current| current.borrow_mut().take());
    }

    fn turn(self: &Rc<Self>) -> io::Result<()> {
        let timeout_ns = self.idle_ns();
        self.ring.borrow_mut().wait(timeout_ns)?;
        self.inbox.borrow_mut().unpark();
        self.now_ns.set(clock::now_ns());
        self.started_count.set(0);
        self.ended_count.set(0);
        self.beat();
        self.take_messages();
        self.fire_timers();
        self.take_events();
        self.run_ready();
        self.flush();
        self.after_turn.run();
        Ok(())
    }

    /// How long the ring may wait.
    fn idle_ns(&self) -> Option<u64> {
        let busy = !self.tasks.ready.borrow().is_empty()
            || !self.outbox.borrow().is_empty()
            || !self.dirty.borrow().is_empty()
            || self.after_turn.has_some()
            || self.overload.has_waiting();
        // With busy polling, a core that had work a moment ago looks again instead of sleeping.
        let spins = self.now_ns() < self.worked_ns.get() + self.shared.config.busy_poll_us * 1000;
        if busy || spins || !self.inbox.borrow_mut().prepare_park() {
            return Some(0);
        }
        self.shared.cores.beat(self.index).asleep();
        let deadline_ns = self.timers.borrow().next_deadline_ns()?;
        // The turn's time is a little old; too long a wait by that little is nothing to a wheel of
        // one-millisecond ticks.
        Some(deadline_ns.saturating_sub(self.now_ns()).max(1))
    }

    fn beat(&self) {
        self.shared.cores.beat(self.index).awake(self.now_ns());
    }

    fn take_messages(self: &Rc<Self>) {
        loop {
            let kept = self.outbox.borrow_mut().pop_front();
            let Some((core, message)) = kept else { break };
            if let Err(message) = self.shared.cores.try_post(core, message) {
                self.outbox.borrow_mut().push_front((core, message));
                break;
            }
        }
        if self.inbox.borrow().is_empty() {
            return;
        }
        let mut messages = Vec::new();
        self.inbox.borrow_mut().drain(MESSAGES_COUNT_MAX, |message| messages.push(message));
        for message in messages {
            match message {
                Message::Run(function) => function(self),
                Message::Wake(task) => self.tasks.wake_id(task),
                Message::Request(context) => overload::enqueue(self, context),
                Message::Answered(answered) => request::answered(self, *answered),
                Message::AllAnswered(all) => request::all_answered(self, all),
            }
        }
    }

    /// Sends a message to another core, now or as soon as its mailbox has room.
    pub(crate) fn post(&self, core: usize, message: Message) {
        if let Err(message) = self.shared.cores.try_post(core, message) {
            self.outbox.borrow_mut().push_back((core, message));
        }
    }

    fn fire_timers(self: &Rc<Self>) {
        let mut fired = Vec::new();
        self.timers.borrow_mut().advance(self.now_ns(), |timer| fired.push(timer));
        for timer in fired {
            match timer {
                Timer::Wake(waiter) => waiter.wake(self),
                Timer::Deadline(waiter) => crate::deadline::passed(self, &waiter),
                Timer::Stall(id) => {
                    let connection = self.connections.find(id);
                    connection.into_iter().for_each(|connection| connection.check_stall(self));
                }
                Timer::Accept { server, listener } => {
                    if let Some(server) = self.server(server) {
                        server.accept(self, listener);
                    }
                }
                Timer::Call { connection, sequence } => {
                    with_side(self, connection, |side, connection| {
                        side.timed_out(self, connection, sequence);
                    });
                }
                Timer::DatagramCall { peer, sequence } => {
                    let peer = self.peers.datagrams.borrow().get(peer).cloned();
                    peer.into_iter().for_each(|peer| peer.timed_out(self, sequence));
                }
                Timer::Run(function) => function(self),
            }
        }
    }

    fn take_events(self: &Rc<Self>) {
        loop {
            let event = self.ring.borrow_mut().next_event();
            let Some(event) = event else { break };
            self.worked_ns.set(self.now_ns());
            self.take_event(event);
        }
    }

    #[inline]
    fn take_event(self: &Rc<Self>, event: Event) {
        match event {
            Event::Received { token, buffer } => {
                if let Subject::Connection(id) = Subject::from_token(token)
                    && let Some(connection) = self.connections.find(id)
                {
                    connection.received(self, &buffer);
                }
            }
            Event::Sent { token, output, result } => {
                if let Subject::Connection(id) = Subject::from_token(token)
                    && let Some(connection) = self.connections.find(id)
                {
                    connection.sent(self, output, result);
                }
            }
            Event::RecvEnded { token, errno } => {
                if let Subject::Connection(id) = Subject::from_token(token)
                    && let Some(connection) = self.connections.find(id)
                {
                    connection.recv_ended(self, errno);
                }
            }
            Event::Accepted { token, fd } => {
                if let Subject::Listener(server, listener) = Subject::from_token(token)
                    && let Some(server) = self.server(server)
                {
                    server.accepted(self, listener, fd);
                }
            }
            Event::AcceptEnded { token, errno } => {
                if let Subject::Listener(server, listener) = Subject::from_token(token)
                    && let Some(server) = self.server(server)
                {
                    server.accept_ended(self, listener, errno);
                }
            }
            Event::Ready { token, errno } => self.take_ready(Subject::from_token(token), errno),
        }
    }

    fn take_ready(self: &Rc<Self>, subject: Subject, errno: i32) {
        match subject {
            Subject::Datagram(server, index) => {
                if let Some(server) = self.server(server) {
                    server.datagrams(self, index, errno);
                }
            }
            Subject::DatagramPeer(index) => {
                let peer = self.peers.datagrams.borrow().get(index as usize).cloned();
                if let Some(peer) = peer {
                    peer.ready(self);
                }
            }
            Subject::Connecting(id) => {
                if let Some(connection) = self.connections.find(id) {
                    connection.connected(self);
                }
            }
            Subject::Poll(index) => {
                if let Some(polled) = self.polls.borrow_mut().try_remove(index as usize) {
                    polled.is(errno, self);
                }
            }
            Subject::Connection(_) | Subject::Listener(..) => {}
        }
    }

    /// Starts to wait for a descriptor, and wakes the waiter when the outcome is known.
    pub(crate) fn poll(
        &self,
        socket: &Rc<Socket>,
        interest: Interest,
        waiter: &Waiter,
    ) -> (Op, Rc<Polled>) {
        let waiter = RefCell::new(waiter.clone());
        let polled = Rc::new(Polled::new(waiter));
        let index = self.polls.borrow_mut().insert(polled.clone()) as u32;
        let op = self.ring.borrow_mut().poll(socket, interest, Subject::Poll(index).token());
        (op, polled)
    }

    /// Whether a request may start as it is read, instead of queueing up: handlers are quick, the
    /// turn is young, and nobody waits in front of it.
    #[inline]
    pub(crate) fn may_start_now(&self) -> bool {
        !self.slow.get()
            && self.started_count.get() < STARTED_COUNT_MAX
            && self.tasks.ready.borrow().is_empty()
            && !self.overload.is_on()
    }

    /// A request was started as it was read.
    #[inline]
    pub(crate) fn started_now(&self) {
        let count = self.started_count.get() + 1;
        self.started_count.set(count);
        if count.is_multiple_of(16) {
            let spent_ns = clock::now_ns() - self.now_ns();
            self.slow.set(spent_ns > count as u64 * RUN_NS_MAX / 16);
        }
    }

    /// Runs what is ready, bounded in number and in time.
    fn run_ready(self: &Rc<Self>) {
        let count = self.tasks.ready.borrow().len().min(RUN_COUNT_MAX);
        let begin_ns = self.now_ns();
        for run in 0..count {
            let Some(ready) = self.tasks.ready.borrow_mut().pop_front() else { break };
            match ready {
                Ready::Start(context) => request::start(self, context),
                Ready::Resume(task) => self.resume(task),
                Ready::Read(connection) => connection.resumed(self),
            }
            // The clock costs as much as a switch: read it seldom while runs are short.
            if self.slow.get() || run % 16 == 15 {
                let spent_ns = clock::now_ns() - begin_ns;
                self.slow.set(spent_ns > (run as u64 + 1) * RUN_NS_MAX / 16);
                self.hand_over(begin_ns + spent_ns);
                if spent_ns > RUN_NS_MAX {
                    self.now_ns.set(begin_ns + spent_ns);
                    break;
                }
            }
        }
        overload::run(self, begin_ns, RUN_NS_MAX);
    }

    fn resume(self: &Rc<Self>, task: Rc<Task>) {
        if let Some(name) = task.name() {
            // Since it parked others have run.
            self.shared.cores.beat(self.index).runs(name);
            CrashNote::set(name.text());
        }
        let ran = self.tasks.run(task);
        self.fresh_ns();
        if let Err((exhausted, task)) = ran {
            // Only a first run can want a stack; a request is answered in `request::start`, so this
            // is a spawned function, whose joiner learns of it by the drop of the job.
            crate::log::error("stacks", format_args!("a task was dropped: {exhausted}"));
            let function = task.take_function();
            self.tasks.retire(task);
            // What it holds has destructors, whose panics must not end the core.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(function)));
        }
    }

    /// Gives requests that have waited to a core that sleeps.
    fn hand_over(&self, now_ns: u64) {
        if self.shared.cores.count() > 1 {
            request::hand_over(self, now_ns);
        }
    }

    /// Puts a connection on the list of those with output.
    #[inline]
    pub(crate) fn make_dirty(&self, connection: &Rc<Connection>) {
        self.dirty.borrow_mut().push(connection.clone());
    }

    fn flush(self: &Rc<Self>) {
        // Flushing may fail a connection, which makes no other one dirty.
        let mut dirty = self.dirty.take();
        for connection in dirty.drain(..) {
            connection.flush(self);
        }
        let mut list = self.dirty.borrow_mut();
        if list.is_empty() {
            *list = dirty;
        }
    }

    /// Whether the loop is about to end, or has.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ends the loop after this turn.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Lets go of everything that refers back to this core. Calls in flight fail.
    ///
    /// What is dropped here runs code of its own, which may come back: nothing is dropped while
    /// it is borrowed.
    fn end(self: &Rc<Self>) {
        self.stopping.set(true);
        self.shared.cores.beat(self.index).asleep();
        self.shared.cores.beat(self.index).stopped.store(true, Ordering::Release);
        let servers = self.servers.take();
        self.connections.close_all(self);
        self.peers.end(self);
        let ready = (self.tasks.ready.take(), self.overload.take());
        drop(ready);
        drop(servers);
        let dirty = self.dirty.take();
        drop(dirty);
        let polls = self.polls.take();
        drop(polls);
        let timers = std::mem::replace(&mut *self.timers.borrow_mut(), Wheel::new(0));
        drop(timers);
        // A parked task keeps this object for ever. Whoever posts from now on must learn that
        // nobody listens, and whoever waits for a message that is still here, too.
        let (_, nobody) = mailbox::mailbox(1, || ());
        let inbox = self.inbox.replace(nobody);
        drop(inbox);
        let outbox = self.outbox.take();
        drop(outbox);
        self.after_turn.run();
    }
}
