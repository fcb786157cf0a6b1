//! Subjects: what an event of the ring is about, packed into the word that the ring hands back.

use msec_sys::ring::Token;

use crate::connections::ConnectionId;

/// What an event of the ring is about; packed into its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// A receive or send of a connection.
    Connection(ConnectionId),
    /// A connect under way.
    Connecting(ConnectionId),
    /// A listener, by server and index.
    Listener(u32, u32),
    /// A datagram socket, by server and index.
    Datagram(u32, u32),
    /// A peer that is called by datagrams, by its place in the core's table.
    DatagramPeer(u32),
    /// A task that waits for a descriptor, by its place in `polls`.
    Poll(u32),
}

impl Subject {
    /// Eight bits of kind and 56 of what it is.
    pub(crate) fn token(self) -> Token {
        let (kind, word) = match self {
            Self::Connection(id) => (0, id.word()),
            Self::Connecting(id) => (1, id.word()),
            Self::Listener(server, index) => (2, u64::from(server) << 24 | u64::from(index)),
            Self::Datagram(server, index) => (3, u64::from(server) << 24 | u64::from(index)),
            Self::DatagramPeer(index) => (4, u64::from(index)),
            Self::Poll(index) => (5, u64::from(index)),
        };
        kind << 56 | word
    }

    #[inline]
    pub(crate) fn from_token(token: Token) -> Self {
        let word = token & ((1 << 56) - 1);
        let pair = ((word >> 24) as u32, word as u32 & 0x00ff_ffff);
        match token >> 56 {
            0 => Self::Connection(ConnectionId::from_word(word)),
            1 => Self::Connecting(ConnectionId::from_word(word)),
            2 => Self::Listener(pair.0, pair.1),
            3 => Self::Datagram(pair.0, pair.1),
            4 => Self::DatagramPeer(word as u32),
            _ => Self::Poll(word as u32),
        }
    }
}
