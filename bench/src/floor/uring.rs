//! The io_uring floor: multishot accept, multishot receive into provided buffers, one send a
//! connection a loop.
//!
//! The bytes are never copied in user space: a buffer that the kernel filled is what is sent, and
//! it returns to the ring when the send has completed. What arrived for one connection in one loop
//! leaves in one send.
//!
//! ```text
//!   wait ─► completions ─┬─ accept  : new connection, arm its receive
//!     ▲                  ├─ receive : queue the buffer, mark the connection dirty
//!     │                  └─ send    : give the buffers back, mark dirty if more is queued
//!     └── each dirty connection without a send under way: one send
//! ```
//!
//! A reader that never reads holds its buffers for ever; a real server must bound that, a floor
//! need not.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::ring::{Completion, Ring};

/// The kernel's own limit of pieces a message (UIO_MAXIOV).
const PIECES_MAX: usize = 1024;

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;

#[derive(Clone, Copy)]
struct Piece {
    buffer: u16,
    /// Where what is to be sent starts, and its length.
    start: u32,
    length: u32,
}

struct Connection {
    socket: OwnedFd,
    /// Received and not sent; buffers stay out of the ring as long as they are here.
    queued: VecDeque<Piece>,
    /// So many of the first are under way. Not 0: the kernel reads `pieces` and `message`, so
    /// neither may change until the completion.
    sending_count: usize,
    pieces: Vec<libc::iovec>,
    message: libc::msghdr,
    receiving: bool,
    dirty: bool,
    broken: bool,
}

struct Server {
    ring: Ring,
    listener: TcpListener,
    accepting: bool,
    /// Boxed: the kernel holds pointers to `message` while a send is under way.
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    dirty: Vec<usize>,
    /// Receives that ended because no buffer was left; armed again when there are some.
    starved: Vec<usize>,
    /// Buffers were added or came back since the last flush.
    returned: bool,
}

/// Serves until the process is killed.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let mut server = Server {
        ring: Ring::new()?,
        listener,
        accepting: false,
        connections: Vec::new(),
        free: Vec::new(),
        dirty: Vec::new(),
        starved: Vec::new(),
        returned: false,
    };
    server.accept();
    loop {
        let completions = server.ring.wait(None)?;
        for completion in &completions {
            server.handle(completion);
        }
        server.ring.recycle(completions);
        server.flush();
    }
}

impl Server {
    fn accept(&mut self) {
        self.accepting = true;
        self.ring.accept(self.listener.as_raw_fd(), ACCEPT);
    }

    fn handle(&mut self, completion: &Completion) {
        let index = (completion.token & u64::from(u32::MAX)) as usize;
        match completion.token >> 32 << 32 {
            ACCEPT => self.handle_accept(completion),
            RECEIVE => self.handle_receive(index, completion),
            _ => self.handle_send(index, completion),
        }
    }

    fn handle_accept(&mut self, completion: &Completion) {
        self.accepting = completion.more;
        if completion.result < 0 {
            // Out of file descriptors, most likely: accepting goes on when a connection closes.
            return;
        }
        if !self.accepting {
            self.accept();
        }
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(completion.result) };
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.ring.receive(socket.as_raw_fd(), RECEIVE | index as u64);
        self.connections[index] = Some(Box::new(Connection {
            socket,
            queued: VecDeque::new(),
            sending_count: 0,
            pieces: Vec::new(),
            // SAFETY: all zeroes is the empty message.
            message: unsafe { std::mem::zeroed() },
            receiving: true,
            dirty: false,
            broken: false,
        }));
    }

    fn handle_receive(&mut self, index: usize, completion: &Completion) {
        let connection = self.connections[index].as_mut().expect("a receiving connection is kept");
        connection.receiving = completion.more;
        if let (Some(buffer), 1..) = (completion.buffer, completion.result) {
            let length = completion.result as u32;
            connection.queued.push_back(Piece { buffer, start: 0, length });
            if !std::mem::replace(&mut connection.dirty, true) {
                self.dirty.push(index);
            }
            if !connection.receiving {
                self.arm(index);
            }
            return;
        }
        if let Some(buffer) = completion.buffer {
            self.ring.give_back(buffer);
        }
        if completion.result == -libc::ENOBUFS {
            self.starved.push(index);
            self.returned |= self.ring.offer_more();
        } else {
            self.close_when_done(index);
        }
    }

    fn handle_send(&mut self, index: usize, completion: &Completion) {
        let connection = self.connections[index].as_mut().expect("a sending connection is kept");
        connection.sending_count = 0;
        connection.broken |= completion.result <= 0;
        // A send may end early, MSG_WAITALL or not: seen when the peer had closed its own side.
        let mut sent = u32::try_from(completion.result).unwrap_or(0);
        while let Some(piece) = connection.queued.front_mut() {
            let taken = sent.min(piece.length);
            piece.start += taken;
            piece.length -= taken;
            sent -= taken;
            if piece.length > 0 && !connection.broken {
                break;
            }
            self.ring.give_back(piece.buffer);
            connection.queued.pop_front();
        }
        self.returned = true;
        if !connection.queued.is_empty() && !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(index);
        }
        self.close_when_done(index);
    }

    fn arm(&mut self, index: usize) {
        let connection = self.connections[index].as_mut().expect("only kept connections are armed");
        connection.receiving = true;
        self.ring.receive(connection.socket.as_raw_fd(), RECEIVE | index as u64);
    }

    /// Drops a connection that neither receives nor has anything to send: the kernel holds no
    /// pointer into it then.
    fn close_when_done(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_ref() else { return };
        let idle = connection.queued.is_empty() && connection.sending_count == 0;
        if connection.receiving || !idle || self.starved.contains(&index) {
            return;
        }
        self.connections[index] = None;
        self.free.push(index);
        if !self.accepting {
            self.accept();
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.send(index);
        }
        self.dirty = dirty;
        if std::mem::take(&mut self.returned) {
            for index in std::mem::take(&mut self.starved) {
                self.arm(index);
            }
        }
    }

    fn send(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        connection.dirty = false;
        if connection.queued.is_empty() || connection.sending_count > 0 {
            return;
        }
        connection.sending_count = connection.queued.len().min(PIECES_MAX);
        let socket = connection.socket.as_raw_fd();
        let token = SEND | index as u64;
        connection.pieces.clear();
        for piece in connection.queued.iter().take(connection.sending_count) {
            let bytes = self.ring.bytes(piece.buffer, (piece.start + piece.length) as usize);
            let bytes = &bytes[piece.start as usize..];
            if connection.sending_count == 1 {
                // SAFETY: the buffer goes back to the ring only when this send has completed.
                unsafe { self.ring.send(socket, &raw const *bytes, token) };
                return;
            }
            let base = bytes.as_ptr().cast_mut().cast();
            connection.pieces.push(libc::iovec { iov_base: base, iov_len: bytes.len() });
        }
        connection.message.msg_iov = connection.pieces.as_mut_ptr();
        connection.message.msg_iovlen = connection.pieces.len();
        // SAFETY: the connection is boxed and kept until the completion, and its pieces change only
        // when none is under way; the buffers go back to the ring only then.
        unsafe { self.ring.send_pieces(socket, &connection.message, token) };
    }
}
