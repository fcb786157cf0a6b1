//! What the loop needs to know of a protocol, and no more: requests to bytes, bytes to checked
//! answers.

use std::io::{self, Read, Write};

/// Requests in flight on one connection at most; slots are numbered below it.
pub const SLOTS_MAX: usize = 4096;

/// Which of the two request kinds of a run: `--mix` sends a share of a second method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The method that is measured.
    #[default]
    First,
    /// The method of `--mix`.
    Second,
}

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No error, and the body that was sent.
    Right,
    /// The server said that it could not, with a code for just that.
    Refused,
    /// An error code, or another body.
    Wrong,
}

/// An answer to the request in `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Free again.
    pub slot: u16,
    /// What it turned out to be.
    pub verdict: Verdict,
}

/// What a stretch of bytes held.
#[derive(Debug, Default)]
pub struct Found {
    /// Answers to requests in flight.
    pub answers: Vec<Answer>,
    /// Answers to nothing that is in flight: late, doubled or made up.
    pub strays: u64,
}

/// What a dialect says hello on: a socket that blocks, or TLS over it.
pub trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// A protocol, as the client of one method sees it.
pub trait Dialect {
    /// The state of one connection.
    type Session;

    /// Says hello on a fresh, blocking connection, for at most `depth` requests at once.
    fn open(&self, wire: &mut dyn Wire, depth: usize) -> io::Result<Self::Session>;

    /// Appends a request that occupies `slot` until its answer.
    fn request(&self, session: &mut Self::Session, slot: u16, kind: Kind, output: &mut Vec<u8>);

    /// Reads received bytes; appends to `output` what the protocol owes the peer. An error ends the
    /// connection.
    fn answers(
        &self,
        session: &mut Self::Session,
        input: &[u8],
        output: &mut Vec<u8>,
        found: &mut Found,
    ) -> Result<(), Broken>;
}

/// Bytes that are not of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// Appends `value` as a protobuf varint.
pub fn put_varint(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

/// `EchoRequest { bytes message = 1; }` with a payload of `length` bytes that differ from their
/// neighbours.
pub fn echo_message(length: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(length + 6);
    if length > 0 {
        message.push(0x0A);
        put_varint(length as u64, &mut message);
        message.extend((0..length).map(|index| (index * 7 + index / 256) as u8));
    }
    message
}
