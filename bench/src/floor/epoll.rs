//! The epoll floor: level-triggered, one read and one write for what is ready.
//!
//! One buffer serves all connections, because what was read is written before the next read. Only
//! when a peer does not take it all does a connection keep a rest of its own, and then it is not
//! read until that rest has left.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

const EVENTS_MAX: usize = 1024;
/// As much as 64 KiB bodies with their frame need in one read.
const BUFFER_BYTES: usize = 128 * 1024;
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    /// What the peer has not taken yet; while it is not empty the connection waits for writing
    /// only.
    rest: Vec<u8>,
}

struct Server {
    epoll: RawFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// Serves until the process is killed.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // SAFETY: takes flags and returns a descriptor.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    let buffer = vec![0; BUFFER_BYTES];
    let mut server = Server { epoll, connections: Vec::new(), free: Vec::new(), buffer };
    server.watch(libc::EPOLL_CTL_ADD, listener.as_raw_fd(), libc::EPOLLIN, LISTENER)?;
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
    loop {
        // SAFETY: the vector holds EVENTS_MAX events and outlives the call.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS_MAX as i32, -1) };
        let count = usize::try_from(count).unwrap_or(0);
        for event in &events[..count] {
            let (token, ready) = (event.u64, event.events as i32);
            if token == LISTENER {
                server.accept(&listener);
            } else {
                server.turn(token as usize, ready);
            }
        }
    }
}

impl Server {
    fn watch(&self, operation: i32, socket: RawFd, interest: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: token };
        // SAFETY: `event` outlives the call.
        if unsafe { libc::epoll_ctl(self.epoll, operation, socket, &mut event) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let watched = stream.set_nonblocking(true).and_then(|()| {
                self.watch(libc::EPOLL_CTL_ADD, stream.as_raw_fd(), libc::EPOLLIN, index as u64)
            });
            match watched {
                Ok(()) => self.connections[index] = Some(Connection { stream, rest: Vec::new() }),
                Err(_) => self.free.push(index),
            }
        }
    }

    fn turn(&mut self, index: usize, ready: i32) {
        let outcome =
            if ready & libc::EPOLLOUT != 0 { self.write(index) } else { self.echo(index) };
        if outcome.is_err() {
            // Dropping the stream closes it, and a closed socket leaves the epoll set by itself.
            self.connections[index] = None;
            self.free.push(index);
        }
    }

    fn echo(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let written = match connection.stream.write(&self.buffer[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if written == count {
            return Ok(());
        }
        connection.rest.extend_from_slice(&self.buffer[written..count]);
        let socket = connection.stream.as_raw_fd();
        self.watch(libc::EPOLL_CTL_MOD, socket, libc::EPOLLOUT, index as u64)
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        match connection.stream.write(&connection.rest) {
            Ok(written) => connection.rest.drain(..written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if !connection.rest.is_empty() {
            return Ok(());
        }
        let socket = connection.stream.as_raw_fd();
        self.watch(libc::EPOLL_CTL_MOD, socket, libc::EPOLLIN, index as u64)
    }
}
