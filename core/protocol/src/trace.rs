//! Traces: the way of one request through all services, as spans.
//!
//! Each attempt of a call has two spans: one of the client that makes it, and one of the server
//! that serves it, whose parent is the client's. A call made for a request has the request's server
//! span as its parent. So the spans of a trace are a tree, without a log line:
//!
//! ```text
//!   client of Demo.shop ─► server Demo.shop ─┬─ client of Demo.stock ─► server Demo.stock
//!                                            └─ client of Demo.bank, attempt 0: failed
//!                                            └─ client of Demo.bank, attempt 1 ─► server Demo.bank
//! ```
//!
//! A trace is named by 16 bytes, as the W3C has it. Its low half is the flow id, by which requests
//! are looked up, and its high half follows from that unless somebody else began the trace: so old
//! peers, which know flow ids only, do not break a trace, and heads need not carry both.
//!
//! Every span is recorded, in a ring of fixed size, for a few stores. Which are worth keeping is
//! decided at their end, when it is known what became of them: see [`Recorder`].

mod encoding;
mod recorder;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use encoding::{decode_spans, encode_spans};
pub use recorder::{Kept, Reason, Record, Recorder, Slow, flags};

use crate::report::Role;
use crate::route::Why;
use crate::status::Code;

/// Names a trace in all services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId {
    /// The first eight bytes.
    pub high: u64,
    /// The last eight bytes: the flow id.
    pub low: u64,
}

impl TraceId {
    /// The trace of a flow that no one else has named.
    #[inline]
    pub fn of_flow(flow_id: u64) -> TraceId {
        // Any function that spreads will do, as long as all services have the same one; Stafford's
        // mix 13 of SplitMix64.
        let mixed = (flow_id ^ flow_id >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        TraceId { high: mixed ^ mixed >> 31, low: flow_id }
    }

    /// The trace of a request: as its head names it, or else of its flow.
    #[inline]
    pub fn of_head(trace_id: &[u8; 16], flow_id: u64) -> TraceId {
        let named = TraceId::from_bytes(trace_id);
        if named.is_none() { TraceId::of_flow(flow_id) } else { named }
    }

    /// From the bytes of a head, or of a `traceparent`.
    #[inline]
    pub fn from_bytes(bytes: &[u8; 16]) -> TraceId {
        let word = u128::from_be_bytes(*bytes);
        TraceId { high: (word >> 64) as u64, low: word as u64 }
    }

    /// The bytes, as heads have them.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    /// Whether it names no trace.
    #[inline]
    pub fn is_none(self) -> bool {
        self.high | self.low == 0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}{:016x}", self.high, self.low)
    }
}

/// What a `traceparent` header says (W3C Trace Context, version 00).
///
/// ```text
/// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
/// │  │ trace id                       │ span id         └ flags: 1 sampled
/// └ version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never none.
    pub trace_id: TraceId,
    /// The caller's span; never 0.
    pub span_id: u64,
    /// The caller keeps its spans.
    pub sampled: bool,
}

/// Length of a `traceparent` of version 00.
const TRACE_PARENT_BYTES: usize = 55;

impl TraceParent {
    /// Reads the value of a header. `None` if it is not valid: then it is to be ignored.
    pub fn parse(text: &[u8]) -> Option<TraceParent> {
        let (known, more) = text.split_at_checked(TRACE_PARENT_BYTES)?;
        let version = hex(&known[..2])?;
        // Later versions may append something, behind a dash; ff is never one.
        let is_known = version == 0 && more.is_empty();
        let is_later = version != 0 && version != 0xff && more.first().is_none_or(|b| *b == b'-');
        let dashes = [2, 35, 52].iter().all(|place| known[*place] == b'-');
        if !dashes || !(is_known || is_later) {
            return None;
        }
        let trace_id = TraceId { high: hex(&known[3..19])?, low: hex(&known[19..35])? };
        let span_id = hex(&known[36..52])?;
        let sampled = hex(&known[53..55])? & 1 == 1;
        let is_valid = !trace_id.is_none() && span_id != 0;
        is_valid.then_some(TraceParent { trace_id, span_id, sampled })
    }

    /// The value of a header, of version 00.
    pub fn to_bytes(&self) -> [u8; TRACE_PARENT_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[3..19], self.trace_id.high);
        put_hex(&mut text[19..35], self.trace_id.low);
        put_hex(&mut text[36..52], self.span_id);
        text[54] = b'0' + u8::from(self.sampled);
        text
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| fmt::Write::write_char(out, char::from(*byte)))
    }
}

/// Sixteen digits.
fn put_hex(digits: &mut [u8], mut word: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(word & 15) as usize];
        word >>= 4;
    }
}

/// Lower-case hexadecimal digits, up to 16 of them.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |word: u64, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(word << 4 | u64::from(value))
    })
}

/// One end of one attempt of a call, for people and for other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: u64,
    /// The span for which the call was made; 0: none.
    pub parent_id: u64,
    /// Which end.
    pub role: Role,
    /// The service that recorded it.
    pub service: String,
    /// The instance that recorded it.
    pub instance: String,
    /// The full name of the method.
    pub method: String,
    /// The caller for a server, the callee for a client.
    pub peer: String,
    /// Where the callee was called; of clients, and empty if it got nowhere.
    pub address: String,
    /// Why that instance was picked, for the last attempt; `None` where nothing was chosen.
    pub why: Option<Why>,
    /// What it ended with.
    pub code: Code,
    /// When it began, in ns since 1970.
    pub start_wall_ns: u64,
    /// How long it took, in ns.
    pub duration_ns: u64,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// See [`flags`].
    pub flags: u8,
    /// Why it was kept; `None` for one that is only remembered.
    pub reason: Option<Reason>,
    /// What was noted in it: after how many ns, and what.
    pub annotations: Vec<(u64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::string::ToString;

    #[test]
    fn a_trace_is_named_by_its_flow_unless_somebody_else_named_it() {
        let flow = TraceId::of_flow(77);
        assert_eq!(flow.low, 77);
        assert_eq!(TraceId::of_head(&[0; 16], 77), flow);
        let named = TraceId { high: 1, low: 2 };
        assert_eq!(TraceId::of_head(&named.to_bytes(), 77), named);
        assert_eq!(TraceId::from_bytes(&named.to_bytes()), named);
        let highs: HashSet<u64> = (0..10_000).map(|flow| TraceId::of_flow(flow).high).collect();
        assert_eq!(highs.len(), 10_000);
    }

    #[test]
    fn a_trace_parent_is_read_and_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = TraceParent::parse(text.as_bytes()).unwrap();
        assert_eq!((parent.span_id, parent.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(parent.trace_id.high, 0x0af7_6519_16cd_43dd);
        assert_eq!(parent.to_string(), text);
        let unsampled = TraceParent { sampled: false, ..parent };
        assert_eq!(TraceParent::parse(&unsampled.to_bytes()), Some(unsampled));
        let later = std::format!("01{}-more", &text[2..]);
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(parent));
    }

    #[test]
    fn a_trace_parent_that_is_not_valid_is_ignored() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let check = |text: &str| assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        for cut in 0..good.len() {
            check(&good[..cut]);
        }
        check(&std::format!("{good}-more"));
        check(&good.to_uppercase());
        check(&good.replace("00-0a", "ff-0a"));
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01");
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01");
        for place in [2, 35, 52] {
            let mut bytes = good.as_bytes().to_vec();
            bytes[place] = b'_';
            assert_eq!(TraceParent::parse(&bytes), None, "{place}");
        }
    }
}
