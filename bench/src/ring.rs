//! One io_uring with a ring of provided receive buffers: the ground under the floor server and the
//! load generator.
//!
//! Both use it in the same way: push entries, [`Ring::wait`] once, take the completions, and give
//! each receive buffer back when its bytes are no longer needed. The set-up flags are the ones that
//! make a ring cheap when one thread owns it: without DEFER_TASKRUN a request costs 40-80 % more
//! processor time.
//!
//! ```text
//!   provided buffer ring (kernel takes from head)     memory
//!   ┌──────┬──────┬──────┬───┐   id ──────────────►  ┌─────────┬─────────┬───
//!   │ id 0 │ id 1 │ id 2 │ … │                       │ bytes 0 │ bytes 1 │ …
//!   └──────┴──────┴──────┴───┘◄── give_back(id)      └─────────┴─────────┴───
//! ```
//!
//! Few buffers are offered at first and more when they run out ([`Ring::offer_more`]): the kernel
//! takes them in turn, so a ring that offers more than the load needs drags every byte through cold
//! memory. With 64 KiB bodies that was a quarter of the processor time.
//!
//! It never knows a protocol, and it retries nothing: the callers see every result.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const SUBMISSIONS: u32 = 4096;
/// Four completions for each submission: multishot operations complete often.
const COMPLETIONS: u32 = SUBMISSIONS * 4;
const GROUP: u16 = 0;
const BUFFERS_MAX: u16 = 4096;
const BUFFERS_FIRST: u16 = 64;
/// A line more than a buffer holds: neighbours a multiple of 4 KiB apart would fall into the same
/// sets of the first cache.
const BUFFER_STRIDE_EXTRA: usize = 64;

/// Bytes that one provided buffer holds: a body of 64 KiB with its frame, so that one receive takes
/// it whole.
pub const BUFFER_BYTES: usize = 68 * 1024;

/// What came out of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// The token that was given with the operation.
    pub token: u64,
    /// The result: a count, a file descriptor, or a negative errno.
    pub result: i32,
    /// The provided buffer that holds the received bytes; it stays with the taker until
    /// [`Ring::give_back`].
    pub buffer: Option<u16>,
    /// Whether a multishot operation goes on.
    pub more: bool,
}

/// The ring and its receive buffers; belongs to one thread.
pub struct Ring {
    uring: IoUring,
    buffers: Buffers,
    completions: Vec<Completion>,
    /// Since the last wait.
    offered_more: bool,
}

impl Ring {
    /// A ring that offers a few buffers.
    pub fn new() -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new()?;
        // SAFETY: the mapping holds BUFFERS_MAX entries and lives as long as the ring: both fields
        // drop together, the ring first.
        unsafe {
            let entries = buffers.entries.start as u64;
            uring.submitter().register_buf_ring_with_flags(entries, BUFFERS_MAX, GROUP, 0)?;
        }
        let mut ring = Ring { uring, buffers, completions: Vec::new(), offered_more: false };
        ring.completions.reserve(COMPLETIONS as usize);
        ring.offer_more();
        Ok(ring)
    }

    /// Doubles the buffers that the kernel may fill, for a receive that ended with ENOBUFS: once a
    /// turn, however many receives ended in it. False when all are out already.
    pub fn offer_more(&mut self) -> bool {
        let offered = self.buffers.offered;
        if std::mem::replace(&mut self.offered_more, true) {
            return true;
        }
        let wanted = (offered * 2).clamp(BUFFERS_FIRST, BUFFERS_MAX);
        self.buffers.offered = wanted;
        (offered..wanted).for_each(|id| self.buffers.give_back(id));
        wanted > offered
    }

    /// Accepts connections until cancelled: one completion each. The sockets block: the ring waits
    /// for them anyway, and where it does so on a worker thread of the kernel, a send on a socket
    /// that does not block would come back with EAGAIN.
    pub fn accept(&mut self, listener: RawFd, token: u64) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener)).build();
        // SAFETY: the entry points at no memory.
        unsafe { self.push(&entry.user_data(token)) };
    }

    /// Receives into provided buffers until the peer closes, an error, or no buffer is left
    /// (ENOBUFS).
    pub fn receive(&mut self, socket: RawFd, token: u64) {
        let entry = opcode::RecvMulti::new(types::Fd(socket), GROUP).build().user_data(token);
        // SAFETY: the entry points at no memory but the provided buffers, which live as long as the
        // ring.
        unsafe { self.push(&entry) };
    }

    /// Receives once into a provided buffer.
    pub fn receive_once(&mut self, socket: RawFd, token: u64) {
        let entry = opcode::Recv::new(types::Fd(socket), std::ptr::null_mut(), BUFFER_BYTES as u32)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        // SAFETY: as in `receive`.
        unsafe { self.push(&entry.user_data(token)) };
    }

    /// Sends `bytes`. The kernel goes on after a short send by itself (MSG_WAITALL) in nearly all
    /// cases; the completion says how much has left.
    ///
    /// # Safety
    /// `bytes` must stay where it is, unchanged, until the completion of `token` was taken.
    pub unsafe fn send(&mut self, socket: RawFd, bytes: *const [u8], token: u64) {
        let length = u32::try_from(bytes.len()).expect("the bench sends less than 4 GiB at once");
        let entry = opcode::Send::new(types::Fd(socket), bytes.cast(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        // SAFETY: the caller keeps the bytes in place.
        unsafe { self.push(&entry.user_data(token)) };
    }

    /// Sends the pieces of `message`, like [`Ring::send`].
    ///
    /// # Safety
    /// The header, its vector and the bytes they name must stay in place until the completion of
    /// `token` was taken.
    pub unsafe fn send_pieces(&mut self, socket: RawFd, message: *const libc::msghdr, token: u64) {
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
        let entry = opcode::SendMsg::new(types::Fd(socket), message).flags(flags).build();
        // SAFETY: the caller keeps header, vector and bytes in place.
        unsafe { self.push(&entry.user_data(token)) };
    }

    /// # Safety
    /// What the entry points at must live until its completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: passed on to the caller.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.uring.submit().expect("a full submission queue can be handed to the kernel");
        }
    }

    /// Submits what was pushed and waits for one completion, or until `timeout`; then takes all
    /// that are there.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Completion>> {
        self.offered_more = false;
        let outcome = match timeout {
            None => self.uring.submit_and_wait(1),
            Some(timeout) => {
                let time = types::Timespec::from(timeout);
                let arguments = types::SubmitArgs::new().timespec(&time);
                self.uring.submitter().submit_with_args(1, &arguments)
            }
        };
        match outcome {
            Ok(_) => {}
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        completions.extend(self.uring.completion().map(|entry| Completion {
            token: entry.user_data(),
            result: entry.result(),
            buffer: cqueue::buffer_select(entry.flags()),
            more: cqueue::more(entry.flags()),
        }));
        Ok(completions)
    }

    /// Hands the vector of [`Ring::wait`] back, so that the next one needs no memory.
    pub fn recycle(&mut self, completions: Vec<Completion>) {
        self.completions = completions;
    }

    /// The first `length` bytes of a provided buffer that a completion named.
    pub fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(length <= BUFFER_BYTES && buffer < self.buffers.offered);
        // SAFETY: the range lies in the mapping, and the kernel writes to a buffer only between
        // give_back and the completion that names it; the taker of that completion gives it back
        // only with `&mut self`.
        unsafe { std::slice::from_raw_parts(self.buffers.address(buffer), length) }
    }

    /// Lets the kernel fill this buffer again.
    pub fn give_back(&mut self, buffer: u16) {
        self.buffers.give_back(buffer);
    }
}

/// Whether a wait ended without a completion for a reason that is no failure.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

struct Buffers {
    entries: Mapping,
    memory: Mapping,
    /// Buffers below this id exist for the kernel.
    offered: u16,
    /// Free-running; the kernel masks it.
    tail: u16,
}

impl Buffers {
    fn new() -> io::Result<Self> {
        const { assert!(BUFFERS_MAX.is_power_of_two()) };
        let count = usize::from(BUFFERS_MAX);
        let entries = Mapping::new(count * size_of::<types::BufRingEntry>())?;
        let memory = Mapping::new(count * (BUFFER_BYTES + BUFFER_STRIDE_EXTRA))?;
        Ok(Buffers { entries, memory, offered: 0, tail: 0 })
    }

    fn address(&self, id: u16) -> *mut u8 {
        // SAFETY: callers pass ids below BUFFERS_MAX, so the offset lies in the mapping.
        unsafe { self.memory.start.add(usize::from(id) * (BUFFER_BYTES + BUFFER_STRIDE_EXTRA)) }
    }

    fn give_back(&mut self, id: u16) {
        assert!(id < self.offered);
        let base = self.entries.start.cast::<types::BufRingEntry>();
        let address = self.address(id) as u64;
        // SAFETY: the slot lies in the mapping of BUFFERS_MAX entries; the kernel reads a slot only
        // after the tail has passed it, which the release store below does last.
        unsafe {
            let entry = &mut *base.add(usize::from(self.tail & (BUFFERS_MAX - 1)));
            entry.set_addr(address);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail =
                types::BufRingEntry::tail(base).cast_mut().cast::<std::sync::atomic::AtomicU16>();
            (*tail).store(self.tail, std::sync::atomic::Ordering::Release);
        }
    }
}

/// Anonymous memory of its own pages: the buffer ring must be page-aligned, and untouched buffers
/// must cost nothing.
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping overlaps nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start: start.cast(), length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody holds a reference into it beyond `&Ring`.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}
