//! A listener on plain threads: one accepts, and each connection has one of its own.
//!
//! What is said on a connection is the matter of a function, which is given the stream and the
//! connection's number. Dropped, an acceptor is gone as if its process had died: its port is
//! closed, its connections are ended, and its threads are joined.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    accepted_count: AtomicUsize,
    streams: Mutex<HashMap<usize, TcpStream>>,
    talkers: Mutex<Vec<JoinHandle<()>>>,
}

/// A port, and who talks on its connections.
pub struct Acceptor {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Listens at an address. `talk` is given each connection with its number, from 1; when it
    /// returns, or the connection is ended, that connection is over.
    pub fn at(address: &str, talk: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (theirs, talk) = (state.clone(), Arc::new(talk));
        let accept = move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if theirs.stopped.load(Ordering::Acquire) {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                let connection = theirs.accepted_count.fetch_add(1, Ordering::AcqRel) + 1;
                theirs.streams.lock().unwrap().insert(connection, stream.try_clone().unwrap());
                let (state, talk) = (theirs.clone(), talk.clone());
                let talker = std::thread::spawn(move || {
                    talk(stream, connection);
                    state.streams.lock().unwrap().remove(&connection);
                });
                theirs.talkers.lock().unwrap().push(talker);
            }
        };
        Self { address, state, thread: Some(std::thread::spawn(accept)) }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Connections accepted so far.
    pub fn accepted_count(&self) -> usize {
        self.state.accepted_count.load(Ordering::Acquire)
    }

    /// Resets every connection.
    pub fn reset_all(&self) {
        self.state.streams.lock().unwrap().drain().for_each(|(_, stream)| reset(&stream));
    }

    /// Ends every connection in order.
    pub fn end_all(&self) {
        for (_, stream) in self.state.streams.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        // Wakes the acceptor, which then closes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.end_all();
        for talker in self.state.talkers.lock().unwrap().drain(..) {
            let _ = talker.join();
        }
    }
}

/// Makes the close that follows a reset, and the reader close.
pub(crate) fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}
