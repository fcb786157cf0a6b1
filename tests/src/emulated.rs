//! Servers that are not ours: they speak the protocol, or do not, byte by byte on plain threads.
//!
//! An [`Emulated`] server reads whole requests and lets a function answer each of them through a
//! [`Wire`], one at a time a connection, as the original's servers do. Some of those functions are
//! here: [`old_cpp`], [`old_java`], [`silent`], [`resetting`].

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use msec_protocol::{AnswerHead, Code, Cut, Head, Limits, cut, head};

use crate::acceptor::{Acceptor, reset};
use crate::peer::framed_raw;
use crate::wait_until;

/// What an emulated server reads; wide, so that it never is what refuses.
const LIMITS: Limits = Limits { body_bytes_max: 64 << 20, ..Limits::DEFAULT };

/// A request that came, or a cancel.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The decoded head.
    pub head: Head,
    /// The head as it came.
    pub head_bytes: Vec<u8>,
    /// The method that is called.
    pub method_name: String,
    /// The body.
    pub body: Vec<u8>,
    /// On which connection, counted from 1.
    pub connection: usize,
}

/// The way back to the client.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
}

impl Clone for Wire {
    fn clone(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }
}

impl Wire {
    /// Sends any bytes; a client that is gone does not matter.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends an answer.
    pub fn answer(&mut self, answer: &AnswerHead<'_>, body: &[u8]) {
        let mut out = Vec::new();
        let write = |out: &mut Vec<u8>| out.extend_from_slice(body);
        head::encode_answer(answer, &LIMITS, &mut out, write).unwrap();
        self.bytes(&out);
    }

    /// Answers a request with its own body, as a server of today does.
    pub fn echo(&mut self, seen: &Seen) {
        let features = head::FEATURES;
        let answer = AnswerHead { features, ..AnswerHead::to(&seen.head, &seen.head_bytes) };
        self.answer(&answer, &seen.body);
    }

    /// Resets the connection.
    pub fn reset(&mut self) {
        reset(&self.stream);
    }

    /// Ends the connection.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// As the original's C++ server: the head comes back as it was, with fields that it does not know.
pub fn old_cpp(seen: &Seen, wire: &mut Wire) {
    wire.bytes(&framed_raw(&seen.head_bytes, &seen.body));
}

/// As the original's Java server: a bare head, with -1000 for an exception and -1 for the rest.
pub fn old_java(seen: &Seen, wire: &mut Wire) {
    let (err, err_msg) = match seen.body.as_slice() {
        b"throw" => (Code::JAVA_FAILED, &b"java.lang.NullPointerException"[..]),
        b"fail" => (Code::INVALID_PARAMETER, &b""[..]),
        _ => (Code::OK, &b""[..]),
    };
    let sequence = seen.head.sequence;
    let answer = AnswerHead { sequence, err, err_msg, ..AnswerHead::default() };
    wire.answer(&answer, if err == Code::OK { &seen.body } else { b"" });
}

/// Reads, and never answers.
pub fn silent(_: &Seen, _: &mut Wire) {}

/// Resets the connection at the first request.
pub fn resetting(_: &Seen, wire: &mut Wire) {
    wire.reset();
}

/// A server of another make. Dropped, it is gone as if its process had died.
pub struct Emulated {
    acceptor: Acceptor,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Emulated {
    /// Listens at a free port.
    pub fn start(serve: impl Fn(&Seen, &mut Wire) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    /// Listens at an address, of one that was there before for instance.
    pub fn at(address: &str, serve: impl Fn(&Seen, &mut Wire) + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = seen.clone();
        let acceptor = Acceptor::at(address, move |stream, connection| {
            read(stream, connection, &noted, &serve);
        });
        Self { acceptor, seen }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.acceptor.address()
    }

    /// Connections accepted so far.
    pub fn accepted_count(&self) -> usize {
        self.acceptor.accepted_count()
    }

    /// What came so far, cancels included.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests and cancels have come, and returns them.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        wait_until(&format!("{count} requests at the emulated server"), || {
            self.seen.lock().unwrap().len() >= count
        });
        self.seen()
    }

    /// Resets every connection.
    pub fn reset_all(&self) {
        self.acceptor.reset_all();
    }

    /// Ends every connection in order.
    pub fn end_all(&self) {
        self.acceptor.end_all();
    }
}

fn read(
    stream: TcpStream,
    connection: usize,
    noted: &Mutex<Vec<Seen>>,
    serve: &dyn Fn(&Seen, &mut Wire),
) {
    let mut wire = Wire { stream: stream.try_clone().unwrap() };
    let mut stream = stream;
    let mut input = Vec::new();
    let mut memory = vec![0; 64 * 1024];
    loop {
        let count = match stream.read(&mut memory) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        input.extend_from_slice(&memory[..count]);
        while let Cut::Frame { head, body, total } = cut(&input, &LIMITS) {
            let seen = see(&input, head, body, connection);
            input.drain(..total);
            noted.lock().unwrap().push(seen.clone());
            if !seen.head.cancel {
                serve(&seen, &mut wire);
            }
        }
    }
}

fn see(
    input: &[u8],
    head: std::ops::Range<usize>,
    body: std::ops::Range<usize>,
    connection: usize,
) -> Seen {
    let head_bytes = input[head].to_vec();
    let decoded = head::decode_request(&head_bytes).unwrap();
    let method_name = String::from_utf8(decoded.method_name.of(&head_bytes).to_vec()).unwrap();
    Seen { head: decoded, head_bytes, method_name, body: input[body].to_vec(), connection }
}
