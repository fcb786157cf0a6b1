//! The io_uring back end.
//!
//! Set-up flags matter more than anything else: with SINGLE_ISSUER and DEFER_TASKRUN the kernel
//! works completions off when this thread asks for them, and a request costs 40-80 % less CPU than
//! without. Receives are multishot into a shared ring of buffers, accepts are multishot, a send is
//! one entry; entries collect in the submission queue and go to the kernel with the one system call
//! that also waits.
//!
//! Every feature is probed by doing it, not by the kernel's version: back-ports exist that refuse
//! what their version promises. Without `buf_ring` a receive is a readiness watch and a `recv(2)`;
//! without `multishot` the ring starts an operation anew after each completion.
//!
//! Sources: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), and the echo server in
//! liburing's examples, which is its author's advice in code.
//!
//! What ends a multishot operation early: ENOBUFS (no free buffer: it is started again before the
//! next wait, when readers have given theirs back), a full completion queue, and the kernel's
//! wish. `IORING_CQE_F_MORE` in a completion says that the operation goes on.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Submitter, cqueue, opcode, squeue};

use super::slots::{Action, Gather, Op, SEND_BYTES_MAX, Shots, Slots};
use super::{Event, Features, Interest, Token, Waker};
use crate::buffer::{BUFFERS_COUNT, BufferPool};
use crate::output::Output;
use crate::socket::Socket;

/// Entries of the submission queue; a full one is submitted early, so this bounds nothing.
const SUBMISSIONS_COUNT: u32 = 1024;
/// Entries of the completion queue: multishot operations give many completions a submission.
const COMPLETIONS_COUNT: u32 = 8 * SUBMISSIONS_COUNT;
/// The buffer group, of which a core has one.
const GROUP: u16 = 0;
/// `user_data` of entries whose completion nobody waits for.
const WORD_IGNORED: u64 = u64::MAX;
/// `user_data` of the watch on the waker.
const WORD_WAKER: u64 = u64::MAX - 1;

pub(super) struct Uring {
    /// Made by `Box::into_raw`; only ever used by shared reference, and freed by `drop` alone.
    ring: NonNull<IoUring>,
    /// Refers into `ring`. It is kept because it knows the number that the ring is registered by.
    submitter: Submitter<'static>,
    slots: ManuallyDrop<Slots>,
    pool: ManuallyDrop<Rc<BufferPool>>,
    features: Features,
    waker: Waker,
    /// Operations to start again before the next wait: out of buffers, or one-shot ones.
    again: Vec<Op>,
    /// Operations that were cancelled while the kernel knew nothing of them.
    ended: Vec<Op>,
    waker_watched: bool,
}

impl Uring {
    pub(super) fn open(features: Features, waker: &Waker) -> io::Result<Self> {
        let (ring, mut features) = set_up(features)?;
        let mut pool = None;
        if features.buf_ring {
            pool = register_buffers(&ring).ok();
        }
        features.buf_ring = pool.is_some();
        let pool = match pool {
            Some(pool) => pool,
            None => BufferPool::with_list()?,
        };
        let ring = NonNull::from(Box::leak(Box::new(ring)));
        // SAFETY: the box is freed by `drop` only, after which the submitter is not used.
        let mut submitter = unsafe { ring.as_ref() }.submitter();
        if features.registered {
            features.registered = submitter.register_ring_fd().is_ok();
        }
        let mut uring = Self {
            ring,
            submitter,
            slots: ManuallyDrop::new(Slots::new()),
            pool: ManuallyDrop::new(pool),
            features,
            waker: waker.clone(),
            again: Vec::new(),
            ended: Vec::new(),
            waker_watched: false,
        };
        uring.probe()?;
        Ok(uring)
    }

    pub(super) fn features(&self) -> Features {
        self.features
    }

    pub(super) fn operations_count(&self) -> usize {
        self.slots.used_count()
    }

    pub(super) fn buffers_held_count(&self) -> usize {
        usize::from(self.pool.held_count())
    }

    pub(super) fn accept(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        self.start(Action::Accept, socket, token)
    }

    pub(super) fn recv(&mut self, socket: &Rc<Socket>, token: Token) -> Op {
        self.start(Action::Recv, socket, token)
    }

    pub(super) fn send(&mut self, socket: &Rc<Socket>, token: Token, output: Output, from: usize) {
        self.start(Action::Send { output, from, gather: None }, socket, token);
    }

    pub(super) fn poll(
        &mut self,
        socket: &Rc<Socket>,
        interest: Interest,
        token: Token,
        shots: Shots,
    ) -> Op {
        self.start(Action::Poll { interest, shots }, socket, token)
    }

    pub(super) fn cancel(&mut self, op: Op) {
        let Some(slot) = self.slots.find(op) else { return };
        if slot.cancelled || matches!(slot.action, Action::Send { .. }) {
            return;
        }
        slot.cancelled = true;
        let entry = opcode::AsyncCancel::new(op.to_word()).build().user_data(WORD_IGNORED);
        // SAFETY: a cancel refers to no memory.
        unsafe { self.push(&entry) };
    }

    pub(super) fn wait(&mut self, timeout_ns: Option<u64>) -> io::Result<()> {
        self.start_again();
        if !self.waker_watched {
            self.watch_waker();
        }
        let outcome = match timeout_ns {
            _ if !self.ended.is_empty() => self.submitter.submit(),
            Some(0) => self.submitter.submit(),
            None => self.submitter.submit_and_wait(1),
            Some(ns) => {
                let limit =
                    Timespec::new().sec(ns / 1_000_000_000).nsec((ns % 1_000_000_000) as u32);
                self.submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            // ETIME: the limit passed. EINTR: a signal. EBUSY and EAGAIN: completions must be
            // worked off first, which is what the caller does next.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    #[inline]
    pub(super) fn next_event(&mut self) -> Option<Event> {
        if !self.ended.is_empty() {
            return self.next_ended();
        }
        loop {
            // SAFETY: the ring lives as long as this; its queue is borrowed for this statement, and
            // nowhere else at the same time.
            let entry = unsafe { self.ring.as_ref().completion_shared() }.next()?;
            if let Some(event) = self.complete(&entry) {
                return Some(event);
            }
        }
    }

    fn start(&mut self, action: Action, socket: &Rc<Socket>, token: Token) -> Op {
        let op = self.slots.insert(action, token, socket);
        self.submit(op);
        op
    }

    /// Queues the entry of an operation.
    fn submit(&mut self, op: Op) {
        let features = self.features;
        let Some(slot) = self.slots.find(op) else { return };
        let fd = Fd(slot.socket.as_raw_fd());
        let nonblocking = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let entry = match &mut slot.action {
            Action::Accept if features.multishot => {
                opcode::AcceptMulti::new(fd).flags(nonblocking).build()
            }
            Action::Accept => {
                let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(fd, address, length).flags(nonblocking).build()
            }
            Action::Recv if !features.buf_ring => readiness(fd, Interest::Readable, Shots::One),
            Action::Recv if features.multishot => opcode::RecvMulti::new(fd, GROUP).build(),
            Action::Recv => opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
            Action::Send { output, from, gather } => {
                let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
                if let Some(bytes) = output.plain() {
                    let rest = &bytes[*from..];
                    let length = rest.len().min(SEND_BYTES_MAX) as u32;
                    opcode::Send::new(fd, rest.as_ptr(), length).flags(flags).build()
                } else {
                    let gather = gather.insert(Gather::of(output, *from));
                    opcode::SendMsg::new(fd, &raw const gather.header).flags(flags as u32).build()
                }
            }
            Action::Poll { interest, shots } => readiness(fd, *interest, *shots),
        };
        // SAFETY: the descriptor is held by the slot; receives write into pool buffers, which the
        // pool keeps mapped for as long as the ring; a send reads the output, and the header in its
        // box, whose heap memory stays put until the slot is removed, which happens at its
        // completion only (see also `drop`).
        unsafe { self.push(&entry.user_data(op.to_word())) };
    }

    /// # Safety
    /// What the entry refers to must stay valid until its completion.
    #[inline]
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the validity of the entry is passed on to the caller; the ring lives as long as
        // this, and its queue is borrowed for this condition only.
        while unsafe { self.ring.as_ref().submission_shared().push(entry) }.is_err() {
            // The queue is full: hand it to the kernel without waiting. A failure here (EBUSY)
            // means that completions must be reaped; `submit` then still frees entries on the next
            // turn because the kernel flushes overflowed completions as we read them.
            if self.submitter.submit().is_err() {
                std::thread::yield_now();
            }
        }
    }

    fn start_again(&mut self) {
        let starved = self.pool.is_exhausted();
        let waiting = self.again.len();
        for index in 0..waiting {
            let op = self.again[index];
            match self.slots.find(op) {
                Some(slot) if slot.cancelled => self.ended.push(op),
                // It could only fail at once: readers hold every buffer, and none of them can give
                // one back during the wait.
                Some(slot) if starved && matches!(slot.action, Action::Recv) => self.again.push(op),
                Some(_) => self.submit(op),
                None => {}
            }
        }
        self.again.drain(..waiting);
    }

    fn next_ended(&mut self) -> Option<Event> {
        let slot = self.slots.remove(self.ended.pop()?)?;
        let (token, errno) = (slot.token, libc::ECANCELED);
        match slot.action {
            Action::Accept => Some(Event::AcceptEnded { token, errno }),
            Action::Recv => Some(Event::RecvEnded { token, errno }),
            Action::Poll { .. } => Some(Event::Ready { token, errno }),
            Action::Send { .. } => unreachable!("a send is not started again"),
        }
    }

    fn watch_waker(&mut self) {
        let fd = Fd(self.waker.eventfd.as_raw_fd());
        let entry = readiness(fd, Interest::Readable, Shots::Many);
        // SAFETY: a readiness watch refers to no memory; the waker's descriptor lives as long as
        // this ring.
        unsafe { self.push(&entry.user_data(WORD_WAKER)) };
        self.waker_watched = true;
    }

    /// Turns a completion into an event, unless it is an inner affair.
    #[inline]
    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Event> {
        let (result, flags) = (entry.result(), entry.flags());
        let more = cqueue::more(flags);
        match entry.user_data() {
            WORD_IGNORED => return None,
            WORD_WAKER => {
                self.waker.clear();
                self.waker_watched = more;
                return None;
            }
            _ => {}
        }
        let op = Op::from_word(entry.user_data());
        let slot = self.slots.find(op)?;
        let token = slot.token;
        match slot.action {
            Action::Send { .. } if is_passing(result) => {
                self.again.push(op);
                None
            }
            Action::Send { .. } => {
                let slot = self.slots.remove(op)?;
                let Action::Send { output, .. } = slot.action else { return None };
                let result = if result < 0 { Err(-result) } else { Ok(result as usize) };
                Some(Event::Sent { token, output, result })
            }
            Action::Recv if self.features.buf_ring => self.received(op, token, result, flags),
            Action::Recv => self.readable(op, token, result),
            Action::Accept => self.accepted(op, token, result, more),
            Action::Poll { shots, .. } => {
                if !more && shots == Shots::Many && result >= 0 {
                    // A full completion queue ends a watch: its user has not, or else is still to
                    // be told so.
                    self.again.push(op);
                } else if !more {
                    self.slots.remove(op);
                }
                let ended = result.min(0).saturating_neg();
                Some(Event::Ready { token, errno: ended })
            }
        }
    }

    #[inline]
    fn received(&mut self, op: Op, token: Token, result: i32, flags: u32) -> Option<Event> {
        let buffer = cqueue::buffer_select(flags)
            .map(|id| self.pool.filled(id, result.max(0) as usize))
            .filter(|buffer| !buffer.is_empty());
        if let Some(buffer) = buffer {
            if !cqueue::more(flags) {
                // More may come: a full completion queue or one-shot receives end it here.
                self.again.push(op);
            }
            return Some(Event::Received { token, buffer });
        }
        let cancelled = self.slots.find(op)?.cancelled;
        if result == -libc::ENOBUFS {
            self.pool.offer_more();
        }
        if (result == -libc::ENOBUFS || is_passing(result)) && !cancelled {
            self.again.push(op);
            return None;
        }
        self.slots.remove(op);
        // Zero is the end of the peer's side.
        let errno = if cancelled { libc::ECANCELED } else { result.min(0).saturating_neg() };
        Some(Event::RecvEnded { token, errno })
    }

    /// The way without provided buffers: the socket is readable, read it ourselves.
    fn readable(&mut self, op: Op, token: Token, result: i32) -> Option<Event> {
        let slot = self.slots.find(op)?;
        let (socket, cancelled) = (slot.socket.clone(), slot.cancelled);
        if cancelled || result < 0 {
            self.slots.remove(op);
            let errno = if cancelled { libc::ECANCELED } else { -result };
            return Some(Event::RecvEnded { token, errno });
        }
        self.again.push(op);
        let mut buffer = self.pool.take()?;
        match socket.recv_now(buffer.writable()) {
            Ok(0) => self.end_recv(op, token, 0),
            Ok(length) => {
                buffer.truncate(length);
                Some(Event::Received { token, buffer })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => self.end_recv(op, token, error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    fn end_recv(&mut self, op: Op, token: Token, errno: i32) -> Option<Event> {
        self.slots.remove(op);
        Some(Event::RecvEnded { token, errno })
    }

    fn accepted(&mut self, op: Op, token: Token, result: i32, more: bool) -> Option<Event> {
        if result >= 0 {
            if !more {
                self.again.push(op);
            }
            // SAFETY: the kernel made this descriptor for the accept; nobody else knows it.
            let fd = unsafe { OwnedFd::from_raw_fd(result) };
            return Some(Event::Accepted { token, fd });
        }
        let slot = self.slots.find(op)?;
        // A connection that died in the queue is no reason to stop.
        let passing = result == -libc::ECONNABORTED || is_passing(result);
        if passing && !slot.cancelled {
            self.again.push(op);
            return None;
        }
        let errno = if slot.cancelled { libc::ECANCELED } else { -result };
        self.slots.remove(op);
        Some(Event::AcceptEnded { token, errno })
    }

    /// Does each thing once that set-up alone cannot vouch for.
    fn probe(&mut self) -> io::Result<()> {
        self.wait(Some(0))?;
        if !self.features.multishot || !self.features.buf_ring {
            return Ok(());
        }
        // A socket pair with one byte in it: a multishot receive must hand it over in a buffer.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = Socket::new(ours.into());
        Socket::new(theirs.into()).send_now(b"?")?;
        self.recv(&socket, 0);
        let mut worked = false;
        for _ in 0..4 {
            self.wait(Some(50_000_000))?;
            while let Some(event) = self.next_event() {
                match event {
                    Event::Received { .. } => worked = true,
                    // EINVAL: the kernel knows no multishot receive.
                    Event::RecvEnded { errno, .. } if errno == 0 || worked => return Ok(()),
                    Event::RecvEnded { .. } => {
                        self.features.multishot = false;
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "io_uring does not complete a receive"))
    }
}

impl Drop for Uring {
    /// Ends what is under way before its memory goes: closing the ring's descriptor alone would
    /// let the kernel finish operations later, on freed memory.
    fn drop(&mut self) {
        let under_way: Vec<Op> = self.slots.all().collect();
        for op in under_way {
            match self.slots.find(op) {
                // A send is not cancelled. Others are not shut down: their socket may be shared
                // with somebody who goes on using it.
                Some(slot) if matches!(slot.action, Action::Send { .. }) => slot.socket.shutdown(),
                _ => self.cancel(op),
            }
        }
        for _ in 0..200 {
            if self.slots.used_count() == 0 {
                break;
            }
            if self.wait(Some(5_000_000)).is_err() {
                break;
            }
            while self.next_event().is_some() {}
        }
        if self.slots.used_count() > 0 {
            // The kernel may still use this memory: leak it rather than free it under its hands.
            return;
        }
        if self.features.registered {
            // The registration holds the kernel's ring open for as long as this thread lives. Were
            // it refused, that would be all.
            let _ = self.submitter.unregister_ring_fd();
        }
        // SAFETY: each is dropped once, here, and not used afterwards; the ring came out of a box.
        // It goes first, so that no operation outlives the buffers.
        unsafe {
            drop(Box::from_raw(self.ring.as_ptr()));
            ManuallyDrop::drop(&mut self.slots);
            ManuallyDrop::drop(&mut self.pool);
        }
    }
}

/// Whether a result says nothing of the socket, so that the operation is started again.
///
/// An operation that was woken for nothing 128 times (APOLL_MAX_RETRY in the kernel's
/// io_uring/poll.c) is handed to a worker thread, where one on a non-blocking socket fails with
/// EAGAIN, and a multishot one with ECANCELED though nobody cancelled it.
fn is_passing(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::ECANCELED | libc::EINTR)
}

fn readiness(fd: Fd, interest: Interest, shots: Shots) -> squeue::Entry {
    let mask = match interest {
        Interest::Readable => libc::POLLIN | libc::POLLRDHUP,
        Interest::Writable => libc::POLLOUT,
    };
    opcode::PollAdd::new(fd, mask as u32).multi(shots == Shots::Many).build()
}

/// Opens the kernel's ring, giving up set-up flags one after the other when it refuses them.
fn set_up(wanted: Features) -> io::Result<(IoUring, Features)> {
    let mut features = wanted;
    loop {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_clamp().setup_cqsize(COMPLETIONS_COUNT).setup_submit_all();
        if features.defer {
            builder.setup_single_issuer().setup_defer_taskrun();
        }
        if features.coop {
            builder.setup_coop_taskrun();
        }
        if features.defer || features.coop {
            // Tells in shared memory that task work waits, so that a poll without it costs nothing.
            builder.setup_taskrun_flag();
        }
        if features.no_sqarray {
            builder.setup_no_sqarray();
        }
        let error = match builder.build(SUBMISSIONS_COUNT) {
            Ok(ring) => return Ok((ring, features)),
            Err(error) => error,
        };
        // EINVAL: this kernel does not know a flag. Anything else (EPERM: forbidden, ENOSYS: built
        // without, ENOMEM: locked memory) no flag will cure.
        let next = match error.raw_os_error() {
            Some(libc::EINVAL) if features.no_sqarray => &mut features.no_sqarray,
            Some(libc::EINVAL) if features.defer => &mut features.defer,
            Some(libc::EINVAL) if features.coop => &mut features.coop,
            _ => return Err(error),
        };
        *next = false;
    }
}

fn register_buffers(ring: &IoUring) -> io::Result<Rc<BufferPool>> {
    let pool = BufferPool::with_shared_ring()?;
    // SAFETY: the shared ring is a live mapping of BUFFERS_COUNT entries, and `Uring` keeps the
    // pool until the kernel's ring is closed.
    unsafe {
        ring.submitter().register_buf_ring_with_flags(
            pool.shared_address(),
            BUFFERS_COUNT,
            GROUP,
            0,
        )?;
    }
    Ok(pool)
}
