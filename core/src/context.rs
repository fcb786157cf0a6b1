//! The context of a request: what a handler can know and say about the call it serves.
//!
//! One object carries a request from the moment its frame is whole until its answer is written:
//! the frame's bytes, the decoded head, where the answer goes. It is what waits in the run queue,
//! what is handed to another core or to an offload thread, and what the handler is given. So it
//! owns everything it needs and refers to its connection by identity only.
//!
//! Contexts are pooled by each core, with the memory of small frames; a large frame moves in
//! without a copy and becomes [`Bytes`], so that a typed handler shares it instead of copying.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use msec_protocol::trace::{TraceId, TraceParent};
use msec_protocol::{BadHead, Code, Frame, Head, Priority, frame};

use crate::budget::Charge;
use crate::cancel::Cancel;
use crate::coding::Coding;
use crate::compress::Compress;
use crate::connections::ConnectionId;
use crate::error::Error;
use crate::frame_memory;
use crate::small_body::SmallBody;
use crate::task::Inherited;
use crate::tls::Identity;

/// Frames up to this many bytes are copied into the context's own memory; larger ones are shared.
const SMALL_FRAME_BYTES: usize = 4096;

/// The bytes of a request's frame.
enum FrameBytes {
    Small(Vec<u8>),
    Large(Bytes),
}

impl std::ops::Deref for FrameBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }
}

/// Where a request came from and its answer goes.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A stream of core `core`; `flight` is the request's place in that core's table.
    Stream { core: u16, connection: ConnectionId, flight: u32 },
    /// A datagram socket of core `core`.
    Datagram { core: u16, socket: u32, envelope: Box<msec_sys::datagram::Envelope> },
}

impl Origin {
    pub(crate) fn core(&self) -> usize {
        match self {
            Self::Stream { core, .. } | Self::Datagram { core, .. } => usize::from(*core),
        }
    }
}

/// Whom a request came from.
#[derive(Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Arc<str>,
    pub(crate) identity: Option<Arc<Identity>>,
}

/// What is known about the request that a handler serves.
///
/// Handed to each handler by reference; valid until the handler returns. Belongs to the thread
/// that runs the handler.
pub struct Context {
    head: Head,
    frame: FrameBytes,
    head_start: u32,
    head_end: u32,
    /// Index of the server in every core's list, and of the method in that server.
    pub(crate) server: u32,
    pub(crate) method: u32,
    /// The row of counters that it is counted in.
    pub(crate) row: u32,
    /// Of its own span, or of its caller's where spans are off.
    pub(crate) span_id: u64,
    /// A rule says so; the head says what the caller does.
    dyed: Cell<bool>,
    /// Of the answer's frame.
    pub(crate) answer_bytes: Cell<u32>,
    pub(crate) origin: Origin,
    pub(crate) received_ns: u64,
    pub(crate) started_ns: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) cancel: Arc<Cancel>,
    /// Whom the request came from; filled in for handlers that ask, see [`Context::peer`].
    peer: RefCell<Option<Peer>>,
    result: Cell<i32>,
    coding: Coding,
    /// How the answer is compressed.
    answer_compress: Cell<Compress>,
    /// The memory of a body that was decompressed.
    charge: Option<Charge>,
}

impl Context {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            head: Head::default(),
            frame: FrameBytes::Small(Vec::new()),
            head_start: 0,
            head_end: 0,
            server: 0,
            method: 0,
            row: 0,
            span_id: 0,
            dyed: Cell::new(false),
            answer_bytes: Cell::new(0),
            origin: Origin::Stream { core: 0, connection: ConnectionId::default(), flight: 0 },
            received_ns: 0,
            started_ns: 0,
            deadline_ns: 0,
            cancel: Arc::default(),
            peer: RefCell::default(),
            result: Cell::new(0),
            coding: Coding::Plain,
            answer_compress: Cell::default(),
            charge: None,
        })
    }

    /// Takes a frame in. A bad head leaves nothing to be answered.
    #[inline]
    pub(crate) fn fill(&mut self, frame: Frame<'_>) -> Result<(), BadHead> {
        self.head.decode_request(frame.head())?;
        let range = frame.head_range();
        (self.head_start, self.head_end) = (range.start as u32, range.end as u32);
        let bytes = frame.into_bytes();
        if bytes.len() <= SMALL_FRAME_BYTES {
            if let FrameBytes::Small(memory) = &mut self.frame {
                memory.clear();
                memory.extend_from_slice(&bytes);
            } else {
                self.frame = FrameBytes::Small(bytes.into_owned());
            }
        } else {
            self.frame = FrameBytes::Large(frame_memory::share(bytes));
        }
        self.begin();
        self.coding = match self.head.compress {
            0 => Coding::Plain,
            // What is no kind was refused by admission.
            number => Compress::of(number).map_or(Coding::Plain, Coding::Compressed),
        };
        Ok(())
    }

    /// Nothing has happened to the request yet.
    #[inline]
    fn begin(&mut self) {
        self.result.set(0);
        self.dyed.set(false);
        self.answer_bytes.set(0);
        (self.received_ns, self.started_ns) = (0, 0);
    }

    /// Takes in the head of a request whose body was thrown away: as if it had none.
    pub(crate) fn fill_head(&mut self, head_bytes: &[u8]) -> Result<(), BadHead> {
        self.head.decode_request(head_bytes)?;
        let mut frame = head_bytes.to_vec();
        (self.head_start, self.head_end) = (0, frame.len() as u32);
        frame.push(frame::END);
        self.frame = FrameBytes::Small(frame);
        self.begin();
        // There is nothing to be decompressed.
        self.coding = Coding::Plain;
        Ok(())
    }

    /// Makes it ready for another request, keeping what is worth keeping. `kept`: the table of
    /// flights has a share of its flag, too, and does nothing with it.
    #[inline]
    pub(crate) fn recycle(&mut self, kept: bool) {
        if let FrameBytes::Large(_) = self.frame {
            self.frame = FrameBytes::Small(Vec::new());
        }
        *self.peer.get_mut() = None;
        if self.coding != Coding::Plain {
            self.answer_compress.set(Compress::None);
            self.charge = None;
        }
        if Arc::strong_count(&self.cancel) == 1 + usize::from(kept) {
            // As in `Arc::get_mut`: what those did who had a share comes before what we do.
            std::sync::atomic::fence(Ordering::Acquire);
            self.cancel.reset();
        } else {
            // A task that outlives the request still looks at it.
            self.cancel = Arc::default();
        }
    }

    /// The decoded head.
    #[inline]
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Sets the flow id that the request came without.
    pub(crate) fn set_flow_id(&mut self, flow_id: u64) {
        self.head.flow_id = flow_id;
    }

    /// The bytes that the head was decoded from.
    #[inline]
    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.frame[self.head_start as usize..self.head_end as usize]
    }

    /// What calls and tasks made for this request inherit.
    pub(crate) fn inherited(&self) -> Inherited {
        Inherited {
            deadline_ns: self.deadline_ns,
            flow_id: self.head.flow_id,
            coloring: self.head.coloring | u32::from(self.dyed.get()),
            sampled: self.head.sampled,
            trace_id: self.head.trace_id,
            span_id: self.span_id,
            cancel: Some(self.cancel.clone()),
            priority: self.head.priority,
        }
    }

    /// How the body travels, and that of the answer.
    #[inline]
    pub(crate) fn coding(&self) -> Coding {
        self.coding
    }

    /// The body travels as that, whatever the head says.
    pub(crate) fn set_coding(&mut self, coding: Coding) {
        self.coding = coding;
    }

    /// How the answer is compressed.
    #[inline]
    pub(crate) fn answer_compress(&self) -> Compress {
        self.answer_compress.get()
    }

    pub(crate) fn set_answer_compress(&self, compress: Compress) {
        self.answer_compress.set(compress);
    }

    /// The frame up to its body, with room for a body of so many bytes.
    pub(crate) fn frame_for_body(&self, body_bytes: usize) -> Vec<u8> {
        let begin = &self.frame[..self.head_end as usize];
        let mut frame = Vec::with_capacity(begin.len() + body_bytes + 1);
        frame.extend_from_slice(begin);
        frame
    }

    /// Puts a frame with another body, which has no end yet, in the place of the one that came.
    pub(crate) fn set_frame(&mut self, mut frame: Vec<u8>, charge: Option<Charge>) {
        frame.push(frame::END);
        self.frame = match frame.len() {
            0..=SMALL_FRAME_BYTES => FrameBytes::Small(frame),
            _ => FrameBytes::Large(Bytes::from(frame)),
        };
        self.charge = charge;
    }

    pub(crate) fn set_peer(&self, peer: Peer) {
        *self.peer.borrow_mut() = Some(peer);
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    pub(crate) fn result_value(&self) -> i32 {
        self.result.get()
    }

    /// The request's body as it came: a serialized message, or whatever the caller sent.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.frame[self.head_end as usize..self.frame.len() - 1]
    }

    /// As [`Context::body`], shared instead of borrowed. Costs a copy for small bodies only.
    pub fn body_bytes(&self) -> Bytes {
        match &self.frame {
            FrameBytes::Small(_) => Bytes::copy_from_slice(self.body()),
            FrameBytes::Large(bytes) => bytes.slice(self.head_end as usize..bytes.len() - 1),
        }
    }

    /// Decodes the body; a large one is shared with the message's `Bytes` fields.
    pub(crate) fn decode<M: prost::Message + Default>(&self) -> Result<M, Error> {
        let decoded = match &self.frame {
            FrameBytes::Small(_) => M::decode(SmallBody(self.body())),
            FrameBytes::Large(_) => M::decode(self.body_bytes()),
        };
        decoded.map_err(|error| {
            Error::new(Code::INVALID_BODY, format!("request body is not the message: {error}"))
        })
    }

    /// The full method name that the caller used.
    pub fn method_name(&self) -> &str {
        std::str::from_utf8(self.head.method_name.of(self.head_bytes())).unwrap_or("")
    }

    /// The calling service as it names itself; not authenticated, may be empty.
    pub fn caller(&self) -> &str {
        std::str::from_utf8(self.head.caller.of(self.head_bytes())).unwrap_or("")
    }

    pub(crate) fn caller_bytes(&self) -> &[u8] {
        self.head.caller.of(self.head_bytes())
    }

    /// Where the request came from: `ip:port`, or `unix:` for a unix socket.
    pub fn peer(&self) -> String {
        self.known_peer().address.to_string()
    }

    /// Who the peer is by its certificate; `None` unless the request came by TLS from a peer that
    /// has shown one. A CA that this server trusts has signed it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.known_peer().identity
    }

    fn known_peer(&self) -> Peer {
        let known = self.peer.borrow().clone();
        known.unwrap_or_else(|| crate::request::peer_of(&self.origin))
    }

    /// Milliseconds that the caller still waits; `None` when it set no limit and the server none.
    pub fn remaining_ms(&self) -> Option<u64> {
        if self.deadline_ns == 0 {
            return None;
        }
        Some(self.deadline_ns.saturating_sub(msec_sys::clock::now_ns()) / 1_000_000)
    }

    /// When the caller stops waiting, in nanoseconds of the monotonic clock; `None` for never.
    pub fn deadline_ns(&self) -> Option<u64> {
        (self.deadline_ns != 0).then_some(self.deadline_ns)
    }

    /// Whether nobody waits for the answer any more: the caller has cancelled, its connection has
    /// died, or its deadline has passed. Long work without blocking calls should look at it.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_set()
            || (self.deadline_ns != 0 && msec_sys::clock::now_ns() >= self.deadline_ns)
    }

    /// The id that this request has in all services; never 0.
    pub fn flow_id(&self) -> u64 {
        self.head.flow_id
    }

    /// Where this request is in its trace: what an HTTP request of the handler's own is to carry as
    /// the header `traceparent`, and what answers by HTTP carry. `None` where spans are off and the
    /// caller has sent none. Calls by a [`Client`](crate::Client) carry it by themselves.
    ///
    /// ```
    /// # use msec::Context;
    /// fn headers(context: &Context) -> Vec<String> {
    ///     let parent = context.traceparent();
    ///     parent.map(|parent| format!("traceparent: {parent}")).into_iter().collect()
    /// }
    /// ```
    pub fn traceparent(&self) -> Option<TraceParent> {
        let trace_id = TraceId::of_head(&self.head.trace_id, self.head.flow_id);
        let (span_id, sampled) = (self.span_id, self.head.sampled || self.is_dyed());
        (span_id != 0).then_some(TraceParent { trace_id, span_id, sampled })
    }

    /// Whether the request is dyed: every log line of it is kept, at every hop.
    pub fn is_dyed(&self) -> bool {
        self.head.coloring != 0 || self.dyed.get()
    }

    /// A rule wants it dyed.
    pub(crate) fn dye(&self) {
        self.dyed.set(true);
    }

    /// Which try of the caller this is: 0 for the first, 1, 2, … for retries.
    pub fn attempt(&self) -> u32 {
        self.head.attempt
    }

    /// Whether the caller waits for no answer.
    pub fn is_one_way(&self) -> bool {
        self.head.one_way
    }

    /// Which request goes first when not all can be served; calls made for this one inherit it.
    pub fn priority(&self) -> Priority {
        self.head.priority
    }

    /// The user headers, as pairs of key and value.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.metadata(self.head_bytes())
    }

    /// The value of a user header; of several the last.
    pub fn metadata_value(&self, key: &str) -> Option<&[u8]> {
        self.metadata().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
    }

    /// Sets the business return value that travels in the answer's head; 0 unless set.
    pub fn set_result(&self, result: i32) {
        self.result.set(result);
    }
}
