//! A peer on a raw socket: it writes frames, or parts of them, and reads answers.
//!
//! Reads and writes are bounded by [`PATIENCE`] and panic beyond it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use msec_protocol::{Code, Cut, Head, Limits, RequestHead, Span, cut, frame, head};

use crate::PATIENCE;
use crate::stage::ECHO;

/// What the peer allows answers to be; wide, so that it never is what refuses.
const LIMITS: Limits = Limits { body_bytes_max: 64 << 20, ..Limits::DEFAULT };

/// The stream under a [`Peer`].
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An answer, with the texts of its head copied out.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The decoded head.
    pub head: Head,
    /// Text for people.
    pub err_msg: String,
    /// The method that was called.
    pub method_name: String,
    /// Who called.
    pub caller: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The outcome.
    pub fn code(&self) -> Code {
        self.head.err
    }

    fn decode(bytes: &[u8], head: std::ops::Range<usize>, body: std::ops::Range<usize>) -> Self {
        let head_bytes = &bytes[head];
        let head = head::decode_answer(head_bytes).unwrap();
        let text = |span: Span| String::from_utf8_lossy(span.of(head_bytes)).into_owned();
        Self {
            head,
            err_msg: text(head.err_msg),
            method_name: text(head.method_name),
            caller: text(head.caller),
            body: bytes[body].to_vec(),
        }
    }
}

/// How the other side ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// In order.
    Fin,
    /// By a reset.
    Reset,
}

/// The head of a request: sequence, method, nothing else.
pub fn request(sequence: u64, method_name: &str) -> RequestHead<'_> {
    RequestHead { sequence, method_name: method_name.as_bytes(), ..RequestHead::default() }
}

/// A whole frame of a request.
pub fn framed(head: &RequestHead<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    head::encode_request(head, &LIMITS, &mut out, |out| out.extend_from_slice(body)).unwrap();
    out
}

/// A frame around any bytes, be they a head or not.
pub fn framed_raw(head: &[u8], body: &[u8]) -> Vec<u8> {
    let limits = Limits { head_bytes_max: usize::MAX, ..LIMITS };
    let mut out = Vec::new();
    let (head, body) = (head.to_vec(), body.to_vec());
    frame::write(&limits, &mut out, |out| out.extend(head), |out| out.extend(body)).unwrap();
    out
}

/// The beginning of a frame whose body will have so many bytes: all but the body and the end.
pub fn promised(head: &RequestHead<'_>, body_bytes: usize) -> Vec<u8> {
    let mut out = framed(head, b"");
    out.pop();
    out[5..9].copy_from_slice(&u32::try_from(body_bytes).unwrap().to_be_bytes());
    out
}

/// A stream to a server.
#[derive(Debug)]
pub struct Peer {
    stream: Stream,
    address: String,
    input: Vec<u8>,
    sequence: u64,
    /// Lines of the log that were there before it.
    lines_before: usize,
}

impl Peer {
    /// Connects to `ip:port` or `unix:/path`.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// As [`Peer::connect`], for servers that may refuse.
    pub fn try_connect(address: &str) -> io::Result<Self> {
        let stream = match address.strip_prefix("unix:") {
            Some(path) => Stream::Unix(UnixStream::connect(path)?),
            None => {
                let address: SocketAddr = address.parse().unwrap();
                Stream::Tcp(TcpStream::connect_timeout(&address, PATIENCE)?)
            }
        };
        Self::over(stream, address)
    }

    fn over(stream: Stream, address: &str) -> io::Result<Self> {
        let peer = Self {
            stream,
            address: address.into(),
            input: Vec::new(),
            sequence: 0,
            lines_before: crate::lines_count(),
        };
        peer.set_patience(PATIENCE);
        if let Stream::Tcp(stream) = &peer.stream {
            stream.set_nodelay(true)?;
        }
        Ok(peer)
    }

    /// Another connection to the same server.
    #[track_caller]
    pub fn again(&self) -> Self {
        Self::connect(&self.address)
    }

    /// Takes a stream that was opened elsewhere.
    pub fn from_tcp(stream: TcpStream) -> Self {
        let address = stream.peer_addr().unwrap().to_string();
        Self::over(Stream::Tcp(stream), &address).unwrap()
    }

    /// How long a read or a write may take.
    pub fn set_patience(&self, patience: Duration) {
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(patience)).unwrap();
                stream.set_write_timeout(Some(patience)).unwrap();
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(patience)).unwrap();
                stream.set_write_timeout(Some(patience)).unwrap();
            }
        }
    }

    /// What the log says of this connection. An earlier one may have had the same port.
    pub fn lines(&self) -> Vec<crate::Line> {
        crate::lines_after(self.lines_before, "connection", &self.local_address())
    }

    /// Waits for what the log says of this connection first, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self) -> crate::Line {
        crate::wait_for_line_after(self.lines_before, "connection", &self.local_address())
    }

    /// Our end, as the server's log names it: `ip:port`.
    pub fn local_address(&self) -> String {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().unwrap().to_string(),
            Stream::Unix(_) => String::new(),
        }
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).unwrap();
    }

    /// Sends any bytes, to a server that may have closed or may not read.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Sends as much as fits into the pipe without waiting; how much that was.
    pub fn send_now(&mut self, bytes: &[u8]) -> usize {
        self.set_nonblocking(true);
        let mut sent = 0;
        while sent < bytes.len() {
            let result = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(&bytes[sent..]),
                Stream::Unix(stream) => stream.write(&bytes[sent..]),
            };
            match result {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("cannot send: {error}"),
            }
        }
        self.set_nonblocking(false);
        sent
    }

    /// The next answer, if it is there already.
    #[track_caller]
    pub fn answer_now(&mut self) -> Option<Answer> {
        self.set_nonblocking(true);
        let mut memory = [0; 64 * 1024];
        let arrived = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut memory),
            Stream::Unix(stream) => stream.read(&mut memory),
        };
        self.set_nonblocking(false);
        match arrived {
            Ok(0) => panic!("the connection was to answer, not to end"),
            Ok(count) => self.input.extend_from_slice(&memory[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the connection was to answer: {error}"),
        }
        match cut(&self.input, &LIMITS) {
            Cut::Need { .. } => None,
            Cut::Frame { .. } | Cut::BodyTooLarge { .. } | Cut::Bad(_) => Some(self.answer()),
        }
    }

    fn set_nonblocking(&self, on: bool) {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(on).unwrap(),
            Stream::Unix(stream) => stream.set_nonblocking(on).unwrap(),
        }
    }

    /// Sends a request.
    #[track_caller]
    pub fn send(&mut self, head: &RequestHead<'_>, body: &[u8]) {
        self.send_bytes(&framed(head, body));
    }

    /// Ends our side; the server's stays open.
    pub fn end(&mut self) {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Closes with a reset (RFC 9293 §3.10.5) instead of an end.
    pub fn reset(self) {
        if let Stream::Tcp(stream) = &self.stream {
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// The next answer, or how the connection ended before one was whole.
    #[track_caller]
    pub fn try_answer(&mut self) -> Result<Answer, End> {
        loop {
            match cut(&self.input, &LIMITS) {
                Cut::Frame { head, body, total } => {
                    let answer = Answer::decode(&self.input, head, body);
                    self.input.drain(..total);
                    return Ok(answer);
                }
                Cut::Need { .. } => self.receive()?,
                other @ (Cut::BodyTooLarge { .. } | Cut::Bad(_)) => panic!("answered {other:?}"),
            }
        }
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("the connection was to answer, not to end")
    }

    /// Waits for the end; panics if an answer comes instead.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> End {
        match self.try_answer() {
            Err(end) => end,
            Ok(answer) => panic!("the connection was to end, but answered {answer:?}"),
        }
    }

    #[track_caller]
    fn receive(&mut self) -> Result<(), End> {
        let mut memory = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut memory),
            Stream::Unix(stream) => stream.read(&mut memory),
        };
        match read {
            Ok(0) => Err(End::Fin),
            Ok(count) => {
                self.input.extend_from_slice(&memory[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("waited in vain for an answer or the end: {error}"),
        }
    }

    /// A sequence that this peer has not used yet.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Calls a method and waits for its answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, body: &[u8]) -> Answer {
        let sequence = self.next_sequence();
        self.send(&request(sequence, method), body);
        let answer = self.answer();
        assert_eq!(answer.head.sequence, sequence);
        answer
    }

    /// Calls [`ECHO`] and compares.
    #[track_caller]
    pub fn echo(&mut self, body: &[u8]) {
        let answer = self.call(ECHO, body);
        assert_eq!((answer.code(), &answer.body[..]), (Code::OK, body));
    }
}

/// A datagram socket that is connected to a server.
#[derive(Debug)]
pub struct UdpPeer {
    socket: UdpSocket,
}

impl UdpPeer {
    /// Connects to `ip:port@udp`.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let address: SocketAddr = address.trim_end_matches("@udp").parse().unwrap();
        let own = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Our end: `ip:port`.
    pub fn local_address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    /// Sends one datagram of any bytes.
    #[track_caller]
    pub fn send_bytes(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }

    /// Sends a request.
    #[track_caller]
    pub fn send(&self, head: &RequestHead<'_>, body: &[u8]) {
        self.send_bytes(&framed(head, body));
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        let mut memory = vec![0; 65_536];
        let length = self.socket.recv(&mut memory).expect("a datagram was to come");
        match cut(&memory[..length], &LIMITS) {
            Cut::Frame { head, body, total } if total == length => {
                Answer::decode(&memory, head, body)
            }
            other @ (Cut::Frame { .. }
            | Cut::Need { .. }
            | Cut::BodyTooLarge { .. }
            | Cut::Bad(_)) => {
                panic!("a datagram that is no answer: {other:?}")
            }
        }
    }
}
