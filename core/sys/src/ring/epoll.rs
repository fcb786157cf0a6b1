//! The epoll back end: for containers that forbid io_uring, and as a second opinion on the first.
//!
//! It turns readiness into the same completions. A descriptor is registered once, edge-triggered,
//! for reading and writing; after that a request costs one `recv`, one `send` and its share of an
//! `epoll_wait`. A send is tried at once and waits for the edge only if the pipe is full.
//!
//! Edge-triggered means that an edge is told once: a reader that stops early (no buffer, its share
//! used up) must remember that bytes may be left. Those operations are in `eager` and are tried
//! again at the next wait, which then does not block. A short read has emptied the socket
//! (epoll(7), question 9), which saves the read that would only return EAGAIN; a peer's end shows
//! as EPOLLRDHUP and is read to its zero.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use super::slots::{Action, Gather, Op, Shots, Slots};
use super::{Event, Interest, Token, Waker};
use crate::buffer::{BUFFER_BYTES, BufferPool};
use crate::output::Output;
use crate::socket::{Socket, UNREGISTERED};

/// Events taken from the kernel with one call.
const EVENTS_COUNT: usize = 512;
/// Reads of one connection a turn, so that a fast sender cannot keep the others waiting.
const READS_MAX: usize = 4;
/// Accepts of one listener a turn.
const ACCEPTS_MAX: usize = 64;
/// The word of the waker's registration.
const WORD_WAKER: u64 = u64::MAX;

/// What is known about a registered descriptor.
#[derive(Default)]
struct Registration {
    /// Tells a late event of a former owner of this place from one of ours.
    generation: u32,
    /// The operations that wait for the descriptor; all `None` in a free place.
    reader: Option<Op>,
    writer: Option<Op>,
    /// The peer has ended its side: read on until zero even after a short read.
    ended: bool,
    /// Its reader is in the queue of eager ones: once is enough.
    eager: bool,
}

pub(super) struct Epoll {
    fd: OwnedFd,
    slots: Slots,
    pool: Rc<BufferPool>,
    waker: Waker,
    registrations: Vec<Registration>,
    free: Vec<u32>,
    /// Readers that must be tried although no edge will come.
    eager: VecDeque<Op>,
    /// Events not yet fetched by the caller.
    events: VecDeque<Event>,
    raw: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(super) fn open(waker: &Waker) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let epoll = Self {
            // SAFETY: the descriptor is new and ours alone.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            slots: Slots::new(),
            pool: BufferPool::with_list()?,
            waker: waker.clone(),
            registrations: Vec::new(),
            free: Vec::new(),
            eager: VecDeque::new(),
            events: VecDeque::new(),
            raw: Vec::with_capacity(EVENTS_COUNT),
        };
        epoll.add(waker.eventfd.as_raw_fd(), libc::EPOLLIN as u32, WORD_WAKER)?;
        Ok(epoll)
    }

    pub(super) fn operations_count(&self) -> usize {
        self.slots.used_count()
    }

    pub(super) fn buffers_held_count(&self) -> usize {
        usize::from(self.pool.held_count())
    }

    pub(super) fn accept(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        self.start_reader(Action::Accept, socket, token)
    }

    pub(super) fn recv(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        self.start_reader(Action::Recv, socket, token)
    }

    pub(super) fn send(&mut self, socket: &Rc<Socket>, token: Token, output: Output, from: usize) {
        let result = match send_some(socket, &output, from) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let action = Action::Send { output, from, gather: None };
                let op = self.slots.insert(action, token, socket);
                return self.await_writable(op);
            }
            Err(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
            Ok(length) => Ok(length),
        };
        self.events.push_back(Event::Sent { token, output, result });
    }

    pub(super) fn poll(
        &mut self,
        socket: &Rc<Socket>,
        interest: Interest,
        token: Token,
        shots: Shots,
    ) -> Op {
        let op = self.slots.insert(Action::Poll { interest, shots }, token, socket);
        match interest {
            Interest::Writable => self.await_writable(op),
            Interest::Readable => self.await_readable(op),
        }
        op
    }

    pub(super) fn cancel(&mut self, op: Op) {
        let Some(slot) = self.slots.find(op) else { return };
        if matches!(slot.action, Action::Send { .. }) {
            return;
        }
        self.end(op, libc::ECANCELED);
    }

    pub(super) fn wait(&mut self, timeout_ns: Option<u64>) -> io::Result<()> {
        let mut starved_count = 0;
        for _ in 0..self.eager.len() {
            let Some(op) = self.eager.pop_front() else { break };
            if let Some(slot) = self.slots.find(op) {
                if self.pool.is_exhausted() && matches!(slot.action, Action::Recv) {
                    // Readers hold every buffer, and none of them can give one back during the
                    // wait: trying again before it ends would only spin.
                    self.eager.push_back(op);
                    starved_count += 1;
                    continue;
                }
                let index = slot.socket.registration.get() as usize;
                if let Some(place) = self.registrations.get_mut(index) {
                    place.eager = false;
                }
                self.read(op);
            }
        }
        let milliseconds = match timeout_ns {
            _ if !self.events.is_empty() || self.eager.len() > starved_count => 0,
            None => -1,
            // Rounded up: waking too early would only spin until the time has come.
            Some(ns) => i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX),
        };
        // SAFETY: the vector has room for EVENTS_COUNT events, and the kernel writes at most that
        // many; the returned count says how many it initialised.
        let count = unsafe {
            let room = self.raw.as_mut_ptr();
            libc::epoll_wait(self.fd.as_raw_fd(), room, EVENTS_COUNT as i32, milliseconds)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: see above.
        unsafe { self.raw.set_len(count as usize) };
        for index in 0..self.raw.len() {
            let (word, mask) = (self.raw[index].u64, self.raw[index].events);
            self.edge(word, mask as i32);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn start_reader(&mut self, action: Action, socket: &Rc<Socket>, token: Token) -> Op {
        let op = self.slots.insert(action, token, socket);
        self.await_readable(op);
        op
    }

    /// Registers the operation's socket if it is not, and hands back its place; an operation whose
    /// socket cannot be registered has failed.
    fn register(&mut self, op: Op) -> Option<usize> {
        let socket = self.slots.find(op)?.socket.clone();
        let known = socket.registration.get();
        if known != UNREGISTERED {
            return Some(known as usize);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.registrations.push(Registration::default());
            (self.registrations.len() - 1) as u32
        });
        let generation = self.registrations[index as usize].generation;
        let word = Op { index, generation }.to_word();
        let mask = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        if let Err(error) = self.add(socket.as_raw_fd(), mask as u32, word) {
            self.free.push(index);
            self.end(op, error.raw_os_error().unwrap_or(libc::EIO));
            return None;
        }
        socket.registration.set(index);
        Some(index as usize)
    }

    fn add(&self, fd: i32, events: u32, word: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: word };
        // SAFETY: reads one event from a live variable.
        let outcome = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        };
        if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn await_readable(&mut self, op: Op) {
        let registered =
            self.slots.find(op).is_some_and(|slot| slot.socket.registration.get() != UNREGISTERED);
        let Some(index) = self.register(op) else { return };
        self.registrations[index].reader = Some(op);
        if registered {
            // The edge may have come while nobody was reading.
            self.make_eager(op, index);
        }
    }

    fn await_writable(&mut self, op: Op) {
        let registered =
            self.slots.find(op).is_some_and(|slot| slot.socket.registration.get() != UNREGISTERED);
        let Some(index) = self.register(op) else { return };
        self.registrations[index].writer = Some(op);
        if registered {
            // Likewise for room to write.
            self.write(op);
        }
    }

    fn edge(&mut self, word: u64, mask: i32) {
        if word == WORD_WAKER {
            self.waker.clear();
            return;
        }
        let Op { index, generation } = Op::from_word(word);
        let Some(registration) = self.registrations.get_mut(index as usize) else { return };
        if registration.generation != generation {
            return;
        }
        let broken = mask & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
        if broken || mask & libc::EPOLLRDHUP != 0 {
            registration.ended = true;
        }
        let (reader, writer) = (registration.reader, registration.writer);
        if let Some(op) = writer.filter(|_| broken || mask & libc::EPOLLOUT != 0) {
            self.write(op);
        }
        let readable = libc::EPOLLIN | libc::EPOLLRDHUP;
        if let Some(op) = reader.filter(|_| broken || mask & readable != 0) {
            self.read(op);
        }
    }

    /// Does the work of a reader whose socket may be readable.
    fn read(&mut self, op: Op) {
        let Some(slot) = self.slots.find(op) else { return };
        let (socket, token) = (slot.socket.clone(), slot.token);
        match slot.action {
            Action::Recv => self.recv_some(op, token, &socket),
            Action::Accept => self.accept_some(op, token, &socket),
            Action::Poll { interest, shots } => {
                if is_ready(&socket, interest) {
                    self.tell_ready(op, token, shots);
                }
            }
            Action::Send { .. } => {}
        }
    }

    fn recv_some(&mut self, op: Op, token: Token, socket: &Rc<Socket>) {
        for _ in 0..READS_MAX {
            let Some(mut buffer) = self.pool.take() else { break };
            match socket.recv_now(buffer.writable()) {
                Ok(0) => return self.end(op, 0),
                Ok(length) => {
                    buffer.truncate(length);
                    self.events.push_back(Event::Received { token, buffer });
                    let index = socket.registration.get() as usize;
                    let ended = self.registrations.get(index).is_some_and(|place| place.ended);
                    if length < BUFFER_BYTES && !ended {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.end(op, error.raw_os_error().unwrap_or(libc::EIO)),
            }
        }
        self.make_eager(op, socket.registration.get() as usize);
    }

    fn make_eager(&mut self, op: Op, index: usize) {
        let Some(place) = self.registrations.get_mut(index) else { return };
        if !std::mem::replace(&mut place.eager, true) {
            self.eager.push_back(op);
        }
    }

    fn accept_some(&mut self, op: Op, token: Token, socket: &Rc<Socket>) {
        for _ in 0..ACCEPTS_MAX {
            match socket.accept_now() {
                Ok(fd) => self.events.push_back(Event::Accepted { token, fd }),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return,
                    Some(libc::ECONNABORTED | libc::EINTR) => {}
                    errno => return self.end(op, errno.unwrap_or(libc::EIO)),
                },
            }
        }
        self.make_eager(op, socket.registration.get() as usize);
    }

    /// Does the work of a writer whose socket may have room.
    fn write(&mut self, op: Op) {
        let Some(slot) = self.slots.find(op) else { return };
        let (socket, token) = (slot.socket.clone(), slot.token);
        match &slot.action {
            Action::Send { output, from, .. } => match send_some(&socket, output, *from) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.end_send(op, Err(error.raw_os_error().unwrap_or(libc::EIO))),
                Ok(length) => self.end_send(op, Ok(length)),
            },
            Action::Poll { interest, shots } => {
                let (interest, shots) = (*interest, *shots);
                if is_ready(&socket, interest) {
                    self.tell_ready(op, token, shots);
                }
            }
            Action::Accept | Action::Recv => {}
        }
    }

    fn tell_ready(&mut self, op: Op, token: Token, shots: Shots) {
        match shots {
            Shots::One => self.end(op, 0),
            Shots::Many => self.events.push_back(Event::Ready { token, errno: 0 }),
        }
    }

    fn end_send(&mut self, op: Op, result: Result<usize, i32>) {
        let Some(slot) = self.remove(op) else { return };
        if let Action::Send { output, .. } = slot.action {
            self.events.push_back(Event::Sent { token: slot.token, output, result });
        }
    }

    /// Ends an operation and says so.
    fn end(&mut self, op: Op, errno: i32) {
        let Some(slot) = self.remove(op) else { return };
        let token = slot.token;
        self.events.push_back(match slot.action {
            Action::Accept => Event::AcceptEnded { token, errno },
            Action::Recv => Event::RecvEnded { token, errno },
            Action::Poll { .. } => Event::Ready { token, errno },
            Action::Send { output, .. } => Event::Sent { token, output, result: Err(errno) },
        });
    }

    fn remove(&mut self, op: Op) -> Option<super::slots::Slot> {
        let slot = self.slots.remove(op)?;
        let index = slot.socket.registration.get();
        let Some(place) = self.registrations.get_mut(index as usize) else { return Some(slot) };
        if place.reader == Some(op) {
            place.reader = None;
            // What is left in the queue is this reader's: the next one must be able to get into it.
            place.eager = false;
        }
        if place.writer == Some(op) {
            place.writer = None;
        }
        // The last reader going means the connection goes (or pauses): give the place back. A send
        // alone does not hold a place for long, and registers again if it must wait.
        if place.reader.is_none() && place.writer.is_none() {
            place.generation = (place.generation + 1) & 0x7fff_ffff;
            place.ended = false;
            self.free.push(index);
            slot.socket.registration.set(UNREGISTERED);
            // Closing removes the descriptor as well; a socket that others hold stays open.
            if Rc::strong_count(&slot.socket) > 1 || slot.socket.is_shared() {
                // SAFETY: EPOLL_CTL_DEL ignores the event pointer (Linux 2.6.9 and later).
                unsafe {
                    let (epoll, fd) = (self.fd.as_raw_fd(), slot.socket.as_raw_fd());
                    libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut());
                }
            }
        }
        Some(slot)
    }
}

impl Drop for Epoll {
    /// Sockets that live on must not keep a place in a table that is gone.
    fn drop(&mut self) {
        let under_way: Vec<Op> = self.slots.all().collect();
        for op in under_way {
            self.remove(op);
        }
    }
}

/// Sends as much as the socket takes now.
#[inline]
fn send_some(socket: &Socket, output: &Output, from: usize) -> io::Result<usize> {
    match output.plain() {
        Some(bytes) => socket.send_now(&bytes[from..]),
        None => socket.send_gather_now(&Gather::of(output, from).header),
    }
}

/// Whether the socket is ready right now: an edge may have been for the other direction.
fn is_ready(socket: &Socket, interest: Interest) -> bool {
    let events = match interest {
        Interest::Readable => libc::POLLIN | libc::POLLRDHUP,
        Interest::Writable => libc::POLLOUT,
    };
    let mut wanted = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // SAFETY: one live pollfd.
    unsafe { libc::poll(&raw mut wanted, 1, 0) > 0 }
}
