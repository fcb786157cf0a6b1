//! HTTP/1.1: requests out of a stream of bytes, answers into one.
//!
//! The same port speaks SRPC and HTTP, and the first byte decides: a frame begins with `(`, a
//! request of HTTP with the first letter of its method ([`begins`]). From then on a connection is
//! HTTP for good. There is no TLS, no HTTP/2 and no upgrade here.
//!
//! ```text
//!   bytes ──► Cutter ──► Request: Head (places of what counts), body ──► Target: what is asked?
//!                 └────► BadRequest: an answer with its status, then the end of the connection
//!
//!   Answer ──► encode ──► bytes
//! ```
//!
//! # Strict
//!
//! A proxy in front of us and we must agree on where each request ends, or one client's body
//! becomes another's request (request smuggling). All such quarrels live on leniency, so there is
//! none (RFC 9112 says in each case that a server may refuse):
//!
//! | what | answer |
//! |---|---|
//! | two lengths, equal or not; a length that is not digits only | 400 |
//! | a length and a transfer coding; a coding in HTTP/1.0; two of them | 400 |
//! | a coding other than `chunked` | 501 |
//! | a line that ends with LF alone; a folded header; a blank before the colon | 400 |
//! | no `Host` in HTTP/1.1, or two | 400 |
//! | a chunk size that is not hexadecimal digits; data that its size does not end | 400 |
//! | head, headers, chunk line, trailers or body over the limit | 431, 400, 413 |
//!
//! After any of them the place in the stream is not to be trusted: the answer is sent, in its turn,
//! and the connection closed.
//!
//! Known headers are found once, by name, and kept as places ([`Span`](crate::Span)) in the head's
//! bytes; what is unknown is skipped. Nothing is allocated but the memory of a request that arrives
//! in pieces, which grows with what has arrived, and the list of user headers, if there are any.

mod answer;
mod bad;
mod chunks;
mod cutter;
mod date;
mod head;
mod target;

pub use answer::{Answer, CONTINUE, encode, reason};
pub use bad::BadRequest;
pub use cutter::{Arrival, Cutter, Request};
pub use date::imf_fixdate;
pub use head::{Head, Method, USER_HEADER_PREFIX};
pub use target::{Target, url_decoded};

/// Whether a connection whose first byte this is speaks HTTP: all its methods are upper-case
/// letters, and a frame of SRPC begins with a parenthesis.
#[inline]
pub fn begins(first: u8) -> bool {
    first.is_ascii_uppercase()
}
