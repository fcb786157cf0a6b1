//! The decisions of msec without any I/O.
//!
//! This crate knows what travels on the wire and what is to be done about it, and nothing of how
//! bytes get there: it reads no clock, socket, file, thread, environment or random source. They
//! arrive as arguments (`input: &[u8]`, `now_ns: u64`), decisions leave as values. That is why it
//! is `no_std`: the compiler proves the claim, and every rule can be tested with a byte string.
//!
//! Read it in the order in which a call meets it:
//!
//! ```text
//!   bytes ──► frame ──► head ──► serve ──► (the method runs) ──► head ──► frame ──► bytes
//!             cut       decode   admit or                        encode   write
//!                                refuse with a code
//!
//!   route: which instance?   call: whose answer is this?   report: how did it go?
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`frame`] | where one message ends and the next begins |
//! | [`head`] | sequence, method, deadline, trace of a message |
//! | [`http`] | the same for HTTP/1.1: requests out of a stream, answers into one |
//! | [`metadata`] | the user headers of a message |
//! | [`call`] | whose answer is this: the client side of a connection |
//! | [`serve`] | is this request run or refused: the server side of a connection |
//! | [`route`] | which instances make up a service, and which is next |
//! | [`report`] | counters, histograms and attributes that merge exactly |
//! | [`trace`] | spans: which of them are kept, and how they travel |
//! | [`dye`] | which requests keep every line and span |
//! | [`log`] | records of the log, and when its files rotate |
//! | [`status`] | the one list of result codes |
//! | [`limits`] | every bound, with its unit and its reason |
//!
//! Two rules hold everywhere. No bytes from a peer make this crate panic, and nothing is
//! allocated by a length that a peer chose before that length has met its limit.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod call;
pub mod dye;
pub mod frame;
pub mod head;
pub mod http;
pub mod limits;
pub mod log;
pub mod metadata;
pub mod report;
pub mod route;
mod sequences;
pub mod serve;
pub mod status;
pub mod trace;
mod varint;
mod wire;

pub use call::Calls;
pub use frame::{Arrival, BadFrame, Cut, Cutter, Frame, TooLarge, cut};
pub use head::{AnswerHead, BadHead, Head, RequestHead, Span};
pub use limits::Limits;
pub use metadata::Metadata;
pub use report::{Counters, Histogram, Outcome};
pub use route::{Address, Target, Wrr};
pub use serve::{Admission, Priority};
pub use status::{Code, CodeInfo, Side};
