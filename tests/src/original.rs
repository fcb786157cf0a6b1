//! The original's protocol, written down once more from its description, byte by byte.
//!
//! ```text
//!   `(`  head length, u32be  body length, u32be  head: fields of protobuf  body  `)`
//! ```
//!
//! Other tests make and read their bytes with `msec-protocol`, as the engine does, so an error in
//! there would go unnoticed as long as both sides made it. Nothing here comes from there: not the
//! frame, not the fields, not the numbers of tags and codes.
//!
//! [`cpp`] and [`java`] answer as servers of those languages do, [`cpp_request`], [`php_request`]
//! and [`java_request`] ask as their clients do; a [`Caller`] is the connection of such a client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::PATIENCE;
use crate::acceptor::Acceptor;

/// Which call.
pub const SEQUENCE: u64 = 10;
/// 1: dyed.
pub const COLORING: u64 = 20;
/// A hash of the method's name.
pub const COLOR_ID: u64 = 21;
/// One for a request's whole way.
pub const FLOW_ID: u64 = 30;
/// The outcome.
pub const ERR: u64 = 40;
/// The business return value.
pub const RESULT: u64 = 41;
/// Text for people.
pub const ERR_MSG: u64 = 42;
/// Who calls.
pub const CALLER: u64 = 50;
/// What is called.
pub const METHOD_NAME: u64 = 51;
/// Never used for anything.
pub const CALLER_STACK: u64 = 60;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Of wire type 0.
    Number(u64),
    /// Of wire type 1.
    Eight([u8; 8]),
    /// Of wire type 2.
    Bytes(Vec<u8>),
    /// Of wire type 5.
    Four([u8; 4]),
}

/// The fields of a head, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(u64, Content)>);

impl Fields {
    /// With a number behind the others; zero is written, too.
    pub fn number(mut self, tag: u64, value: u64) -> Self {
        self.0.push((tag, Content::Number(value)));
        self
    }

    /// With a text or bytes behind the others.
    pub fn bytes(mut self, tag: u64, content: impl AsRef<[u8]>) -> Self {
        self.0.push((tag, Content::Bytes(content.as_ref().to_vec())));
        self
    }

    /// Without the fields of that tag.
    pub fn without(mut self, tag: u64) -> Self {
        self.0.retain(|(known, _)| *known != tag);
        self
    }

    /// The number of that tag; the last, as protobuf has it.
    pub fn number_of(&self, tag: u64) -> Option<u64> {
        let content = self.last(tag)?;
        let Content::Number(value) = content else { panic!("{content:?} is no number") };
        Some(*value)
    }

    /// The bytes of that tag, as text; the last.
    pub fn text_of(&self, tag: u64) -> Option<&str> {
        let content = self.last(tag)?;
        let Content::Bytes(bytes) = content else { panic!("{content:?} is no text") };
        Some(std::str::from_utf8(bytes).unwrap())
    }

    fn last(&self, tag: u64) -> Option<&Content> {
        self.0.iter().rev().find(|(known, _)| *known == tag).map(|(_, content)| content)
    }

    /// As they are on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, content) in &self.0 {
            match content {
                Content::Number(value) => {
                    put_varint(tag * 8, &mut out);
                    put_varint(*value, &mut out);
                }
                Content::Eight(bytes) => {
                    put_varint(tag * 8 + 1, &mut out);
                    out.extend(bytes);
                }
                Content::Bytes(bytes) => {
                    put_varint(tag * 8 + 2, &mut out);
                    put_varint(bytes.len() as u64, &mut out);
                    out.extend(bytes);
                }
                Content::Four(bytes) => {
                    put_varint(tag * 8 + 5, &mut out);
                    out.extend(bytes);
                }
            }
        }
        out
    }

    /// Reads what is on the wire; panics where it is not protobuf.
    #[track_caller]
    pub fn decode(bytes: &[u8]) -> Self {
        let (mut fields, mut left) = (Vec::new(), bytes);
        while !left.is_empty() {
            let key = take_varint(&mut left);
            let content = match key % 8 {
                0 => Content::Number(take_varint(&mut left)),
                1 => Content::Eight(take(&mut left, 8).try_into().unwrap()),
                2 => {
                    let length = take_varint(&mut left) as usize;
                    Content::Bytes(take(&mut left, length).to_vec())
                }
                5 => Content::Four(take(&mut left, 4).try_into().unwrap()),
                other => panic!("wire type {other} in {bytes:x?}"),
            };
            fields.push((key / 8, content));
        }
        Self(fields)
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push((value % 128) as u8 + 128);
        value /= 128;
    }
    out.push(value as u8);
}

#[track_caller]
fn take_varint(left: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(left, 1)[0];
        value |= u64::from(byte % 128) << (7 * place);
        if byte < 128 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

#[track_caller]
fn take<'a>(left: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (first, rest) = left.split_at(count);
    *left = rest;
    first
}

/// What travels in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// About it.
    pub head: Fields,
    /// The message.
    pub body: Vec<u8>,
}

impl Package {
    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        let head = self.head.encode();
        let lengths = [head.len(), self.body.len()].map(|length| (length as u32).to_be_bytes());
        [b"(", &lengths.concat()[..], &head, &self.body, b")"].concat()
    }

    /// What a datagram holds: one frame and nothing else, or this panics.
    #[track_caller]
    pub fn decode(datagram: &[u8]) -> Self {
        let mut left = datagram;
        let package = Self::read(&mut left).unwrap().expect("a datagram is not empty");
        assert!(left.is_empty(), "{left:x?} follow the frame");
        package
    }

    /// The next one of a stream; `None` where the stream ends before it.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut begin = [0; 9];
        match stream.read_exact(&mut begin) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        assert_eq!(begin[0], b'(', "{begin:x?}");
        let length = |at: usize| u32::from_be_bytes(begin[at..at + 4].try_into().unwrap()) as usize;
        let (mut head, mut rest) = (vec![0; length(1)], vec![0; length(5) + 1]);
        assert!(!head.is_empty(), "a frame has a head");
        stream.read_exact(&mut head)?;
        stream.read_exact(&mut rest)?;
        assert_eq!(rest.pop(), Some(b')'));
        Ok(Some(Self { head: Fields::decode(&head), body: rest }))
    }

    /// Which call it is, or answers.
    #[track_caller]
    pub fn sequence(&self) -> u64 {
        self.head.number_of(SEQUENCE).expect("sequence is required")
    }

    /// What is called.
    #[track_caller]
    pub fn method_name(&self) -> &str {
        self.head.text_of(METHOD_NAME).expect("method_name is required")
    }

    /// The outcome.
    pub fn err(&self) -> i32 {
        self.head.number_of(ERR).unwrap_or(0) as i32
    }
}

/// The answer of a server in C++, PHP or Python: the request's head, with what came of it.
pub fn cpp(asked: &Package, err: i32, body: &[u8]) -> Package {
    let head = asked.head.clone().without(ERR);
    let head = if err == 0 { head } else { head.number(ERR, i64::from(err) as u64) };
    Package { head, body: if err == 0 { body.to_vec() } else { Vec::new() } }
}

/// The answer of a server in Java: all fields, and little in them.
pub fn java(asked: &Package, (err, err_msg): (i32, &str), body: &[u8]) -> Package {
    let head = Fields::default()
        .number(SEQUENCE, asked.sequence())
        .number(COLORING, 0)
        .number(COLOR_ID, 0)
        .number(FLOW_ID, 0)
        .number(ERR, i64::from(err) as u64)
        .number(RESULT, 0)
        .bytes(ERR_MSG, err_msg)
        .bytes(CALLER, "Demo.java")
        .bytes(METHOD_NAME, "")
        .bytes(CALLER_STACK, "");
    Package { head, body: body.to_vec() }
}

/// A server that reads a request, answers it with what `serve` makes of it, and reads the next.
pub fn server(serve: impl Fn(&Package) -> Vec<Package> + Send + Sync + 'static) -> Acceptor {
    Acceptor::at("127.0.0.1:0", move |mut stream, _| {
        while let Ok(Some(asked)) = Package::read(&mut stream) {
            let answers: Vec<u8> = serve(&asked).iter().flat_map(Package::encode).collect();
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
    })
}

/// The hash of a method's name in C++, PHP and Python.
pub fn cpp_hash(name: &str) -> u64 {
    let add = |hash: u32, byte: u8| hash.wrapping_mul(33).wrapping_add(byte.into());
    name.bytes().fold(5381, add).into()
}

/// The hash of a method's name in Java.
pub fn java_hash(name: &str) -> u64 {
    name.bytes().map(u64::from).sum::<u64>() * 107
}

/// As a service in C++ calls another.
pub fn cpp_request(sequence: u32, method: &str, body: &[u8]) -> Package {
    let head = Fields::default()
        .number(SEQUENCE, sequence.into())
        .number(COLOR_ID, cpp_hash(method))
        .number(FLOW_ID, sequence.into())
        .bytes(CALLER, "Demo.cpp")
        .bytes(METHOD_NAME, method);
    Package { head, body: body.to_vec() }
}

/// As a service in PHP calls another, with the NUL behind its name.
pub fn php_request(sequence: u32, method: &str, body: &[u8]) -> Package {
    let color_id = cpp_hash(method);
    let head = Fields::default()
        .number(SEQUENCE, sequence.into())
        .number(COLOR_ID, color_id)
        .number(FLOW_ID, color_id ^ u64::from(sequence))
        .bytes(CALLER, "Demo.php\0")
        .bytes(METHOD_NAME, method);
    Package { head, body: body.to_vec() }
}

/// As a service in Java calls another: every field is there.
pub fn java_request(sequence: u32, method: &str, body: &[u8]) -> Package {
    let color_id = java_hash(method);
    let head = Fields::default()
        .number(SEQUENCE, sequence.into())
        .number(COLORING, 0)
        .number(COLOR_ID, color_id)
        .number(FLOW_ID, color_id ^ u64::from(sequence))
        .number(ERR, 0)
        .number(RESULT, 0)
        .bytes(ERR_MSG, "")
        .bytes(CALLER, "Demo.java")
        .bytes(METHOD_NAME, method)
        .bytes(CALLER_STACK, "");
    Package { head, body: body.to_vec() }
}

/// The connection of a client.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
}

impl Caller {
    /// Connects to `ip:port`.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a request.
    #[track_caller]
    pub fn send(&mut self, package: &Package) {
        self.send_bytes(&package.encode());
    }

    /// The next answer.
    #[track_caller]
    pub fn receive(&mut self) -> Package {
        self.next().expect("the connection was to answer, not to end")
    }

    /// Whether the connection ends before another answer.
    #[track_caller]
    pub fn ends(&mut self) -> bool {
        self.next().is_none()
    }

    #[track_caller]
    fn next(&mut self) -> Option<Package> {
        Package::read(&mut self.stream).expect("an answer or the end was to come in time")
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub fn call(&mut self, package: &Package) -> Package {
        self.send(package);
        let answer = self.receive();
        assert_eq!(answer.sequence(), package.sequence());
        answer
    }
}
