//! The poller: the one way by which requests and results come to Java.
//!
//! ```text
//!   cores ─► requests: mailbox ─┐                    ┌─► records in Java's buffer
//!        └─► results:  mailbox ─┴─► poll: one thread ┤
//!                                                    └─◄ answers in Java's other buffer
//! ```
//!
//! A round begins with the answers of the round before, and ends with as many records as there are
//! and fit. Where there are none, the thread parks; the first thing that comes then rings for it,
//! at the end of that core's turn, so that it wakes once for all that the turn has brought.
//!
//! Both mailboxes are bounded. A request that finds its full is answered with -101. Of results
//! there are no more than calls, but a call that was given up may have left one behind; so a result
//! that finds no room leaves a note, and the poller then looks at every call.

use std::mem::offset_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use msec::mailbox::{Receiver, Refused, Sender, mailbox};
use msec::{Answers, Code, Deferred, Error, Priority, Reply};

use crate::batch::{
    Answered, FLAG_DYED, FLAG_METADATA_KEPT, FLAG_ONE_WAY, INLINE_BYTES_MAX, KIND_REQUEST,
    KIND_RESULT, RECORD_BYTES_MAX, Record, padded,
};
use crate::buffers::{Buffers, bytes_of};
use crate::call::Call;
use crate::fields;
use crate::guard::{Result, invalid};
use crate::slots::Slots;

/// Requests that wait for the poller at most; at a hundred thousand a second it is a tenth of one.
const REQUESTS_COUNT_MAX: usize = 16 * 1024;
/// Requests that Java serves at a time at most.
const HELD_COUNT_MAX: usize = 64 * 1024;
/// Calls of Java's under way at most.
const CALLS_COUNT_MAX: usize = 64 * 1024;
/// Longest name of a caller that Java is told, in bytes.
const CALLER_BYTES_MAX: usize = 256;
/// Longest user headers that are in a record, in bytes.
const METADATA_INLINE_BYTES_MAX: usize = 4096;

/// What cores, the poller and all other threads share.
pub(crate) struct Bridge {
    requests: Sender<Given>,
    results: Sender<u64>,
    /// A result had no room.
    overflow: AtomicBool,
    /// Nobody takes anything any more.
    closed: AtomicBool,
    /// Requests that Java serves.
    pub(crate) held: Slots<Deferred>,
    pub(crate) calls: Slots<Call>,
    /// Long bodies of results, until they are fetched.
    pub(crate) replies: Slots<Reply>,
    bell: Arc<Bell>,
}

/// A request, and the number of its method.
struct Given {
    method: u32,
    request: Deferred,
}

/// The poller's side.
pub(crate) struct Poller {
    bridge: Arc<Bridge>,
    requests: Receiver<Given>,
    results: Receiver<u64>,
    buffers: Option<Buffers>,
    answers: Answers,
}

/// Wakes the poller.
#[derive(Default)]
struct Bell(OnceLock<Thread>);

impl Bell {
    fn ring(&self) {
        if let Some(thread) = self.0.get().cloned() {
            msec::after_turn(move || thread.unpark());
        }
    }
}

impl Bridge {
    /// The two sides.
    pub(crate) fn open() -> (Arc<Bridge>, Poller) {
        let bell = Arc::new(Bell::default());
        let (rings, tells) = (bell.clone(), bell.clone());
        let (requests, given) = mailbox(REQUESTS_COUNT_MAX, move || rings.ring());
        let (results, ended) = mailbox(2 * CALLS_COUNT_MAX, move || tells.ring());
        let bridge = Arc::new(Bridge {
            requests,
            results,
            overflow: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            held: Slots::new(HELD_COUNT_MAX),
            calls: Slots::new(CALLS_COUNT_MAX),
            replies: Slots::new(CALLS_COUNT_MAX),
            bell,
        });
        let poller = Poller {
            bridge: bridge.clone(),
            requests: given,
            results: ended,
            buffers: None,
            answers: Answers::default(),
        };
        (bridge, poller)
    }

    /// Gives a request to the poller, from a core.
    pub(crate) fn give(&self, method: u32, request: Deferred) {
        let refusal = match self.requests.try_send(Given { method, request }) {
            Ok(()) => return,
            Err(refusal) => refusal,
        };
        let (Given { request, .. }, code, text) = match refusal {
            Refused::Full(given) => (given, Code::OVERLOADED, "Java does not keep up with it"),
            Refused::Closed(given) => (given, Code::DRAINING, "the engine in Java is closed"),
        };
        request.answer(Err(Error::new(code, text)));
    }

    /// Tells the poller that a call has ended.
    pub(crate) fn tell(&self, call: u64) {
        if let Err(Refused::Full(_)) = self.results.try_send(call) {
            self.overflow.store(true, Ordering::Release);
            // It may have taken what was there, and sleep by now.
            self.bell.ring();
        }
    }

    /// Wakes the poller for nothing.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// The number of a call that was given a place. One that comes while everything is let go of
    /// is taken back: it would hold on to the engine, which holds on to it.
    pub(crate) fn begun(&self, call: u64) -> msec::Result<u64> {
        if self.closed.load(Ordering::Acquire) {
            drop(self.calls.take(call));
            return Err(Error::new(Code::SYSTEM_ERROR, "the engine is closed"));
        }
        Ok(call)
    }

    /// Lets go of everything that Java holds; requests are answered for it.
    pub(crate) fn clear(&self) {
        // Who is given a place behind this look at it sees that.
        self.closed.store(true, Ordering::Release);
        self.held.clear();
        self.calls.clear();
        self.replies.clear();
    }
}

impl Poller {
    /// Takes the buffers of the thread that this is, which will be the poller.
    pub(crate) fn attach(&mut self, buffers: Buffers) -> Result<()> {
        if self.bridge.bell.0.set(std::thread::current()).is_err() {
            return Err(invalid("the engine has a poller already"));
        }
        self.buffers = Some(buffers);
        Ok(())
    }

    /// A round: takes so many bytes of answers, and writes what there is. Waits at most so long
    /// if there is nothing; how many bytes are written.
    pub(crate) fn poll(&mut self, answers_bytes: usize, patience: Duration) -> Result<usize> {
        self.submit(answers_bytes)?;
        let written = self.fill()?;
        if written > 0 || patience.is_zero() {
            return Ok(written);
        }
        if self.results.prepare_park() && self.requests.prepare_park() {
            std::thread::park_timeout(patience);
        }
        self.results.unpark();
        self.requests.unpark();
        self.fill()
    }

    /// Takes answers.
    pub(crate) fn submit(&mut self, answers_bytes: usize) -> Result<()> {
        let Some(buffers) = &mut self.buffers else { return Err(invalid("no buffers are there")) };
        let bytes = buffers.answers().get(..answers_bytes);
        let mut rest = bytes.ok_or_else(|| invalid("more answers than the buffer has"))?;
        while !rest.is_empty() {
            let (head, body, behind) = cut(rest)?;
            rest = behind;
            // Cancelled, or answered by another thread before.
            let Some(request) = self.bridge.held.take(head.id) else { continue };
            request.set_result(head.result);
            self.answers.add(request, outcome(head.code, body));
        }
        self.answers.send();
        Ok(())
    }

    fn fill(&mut self) -> Result<usize> {
        let Self { bridge, requests, results, buffers, .. } = self;
        let Some(buffers) = buffers else { return Err(invalid("no buffers are there")) };
        let mut out = Writing { bytes: buffers.records(), written: 0 };
        if bridge.overflow.swap(false, Ordering::Acquire) {
            bridge.calls.each(|call| {
                if bridge.calls.with(call, Call::look).unwrap_or(false) {
                    bridge.tell(call);
                }
            });
        }
        while out.has_room() && results.drain(1, |call| out.result(bridge, call)) == 1 {}
        while out.has_room() && requests.drain(1, |given| out.request(bridge, given)) == 1 {}
        Ok(out.written)
    }
}

/// What an answer of Java's means.
pub(crate) fn outcome(code: i32, body: &[u8]) -> msec::Result<Vec<u8>> {
    match code {
        0 => Ok(body.to_vec()),
        code => Err(Error::new(Code(code), String::from_utf8_lossy(body).into_owned())),
    }
}

/// The first answer of some, its body, and those behind it.
fn cut(bytes: &[u8]) -> Result<(Answered, &[u8], &[u8])> {
    let broken = || invalid("an answer in the buffer is broken");
    let word = |at: usize| {
        let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        word.map(|word| u32::from_le_bytes(*word)).ok_or_else(broken)
    };
    let id_at = offset_of!(Answered, id);
    let head = Answered {
        size: word(offset_of!(Answered, size))?,
        code: word(offset_of!(Answered, code))?.cast_signed(),
        id: u64::from(word(id_at)?) | u64::from(word(id_at + 4)?) << 32,
        result: word(offset_of!(Answered, result))?.cast_signed(),
        body_bytes: word(offset_of!(Answered, body_bytes))?,
    };
    let (one, behind) = bytes.split_at_checked(head.size as usize).ok_or_else(broken)?;
    let body = one.get(size_of::<Answered>()..).ok_or_else(broken)?;
    let body = body.get(..head.body_bytes as usize).ok_or_else(broken)?;
    Ok((head, body, behind))
}

/// Records that are being written.
struct Writing<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl Writing<'_> {
    fn has_room(&self) -> bool {
        self.bytes.len() - self.written >= RECORD_BYTES_MAX as usize
    }

    fn put(&mut self, mut record: Record, parts: [&[u8]; 3]) {
        let mut at = self.written + size_of::<Record>();
        for part in parts {
            self.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let end = padded(at);
        record.size = (end - self.written) as u32;
        let head = bytes_of(&record);
        self.bytes[self.written..self.written + head.len()].copy_from_slice(head);
        self.written = end;
    }

    fn request(&mut self, bridge: &Bridge, Given { method, request }: Given) {
        if let Some(error) = in_vain(&request) {
            return request.answer(Err(error));
        }
        let mut flags = 0;
        if request.is_dyed() {
            flags |= FLAG_DYED;
        }
        if request.is_one_way() {
            flags |= FLAG_ONE_WAY;
        }
        let mut record = Record {
            kind: KIND_REQUEST,
            deadline_ns: request.deadline_ns().unwrap_or(0),
            flow_id: request.flow_id(),
            method,
            attempt: request.attempt(),
            priority: match request.priority() {
                Priority::Critical => 1,
                Priority::Default => 2,
                Priority::Sheddable => 3,
            },
            ..Record::default()
        };
        let mut metadata = metadata(&request);
        if metadata.len() > METADATA_INLINE_BYTES_MAX {
            metadata.clear();
            flags |= FLAG_METADATA_KEPT;
        }
        record.flags = flags;
        // The request's texts are copied while it is still here alone, and count only once it has a
        // place, whose number is written over.
        let begin = self.written;
        let caller = cut_text(request.caller(), CALLER_BYTES_MAX).as_bytes();
        let mut body = request.body();
        let is_kept = caller.len() + metadata.len() + body.len() > INLINE_BYTES_MAX as usize;
        if is_kept {
            body = &[];
        }
        record.caller_bytes = caller.len() as u32;
        record.metadata_bytes = metadata.len() as u32;
        record.body_bytes = body.len() as u32;
        self.put(record, [caller, &metadata, body]);
        match bridge.held.put(request) {
            Ok(id) => {
                self.number(begin + offset_of!(Record, id), id);
                if is_kept {
                    self.number(begin + offset_of!(Record, kept), id);
                }
            }
            Err(request) => {
                self.written = begin;
                let text = "too many requests are served by Java at a time";
                request.answer(Err(Error::new(Code::OVERLOADED, text)));
            }
        }
    }

    /// Writes a number over one that is there.
    fn number(&mut self, at: usize, number: u64) {
        self.bytes[at..at + size_of::<u64>()].copy_from_slice(&number.to_ne_bytes());
    }

    fn result(&mut self, bridge: &Bridge, call: u64) {
        // Given up meanwhile, or told before.
        if !bridge.calls.with(call, Call::look).unwrap_or(false) {
            return;
        }
        let Some(call) = bridge.calls.take(call) else { return };
        let (id, result) = call.end();
        let mut record = Record { kind: KIND_RESULT, id, ..Record::default() };
        let reply = match result {
            Err(error) => return self.failure(record, &error),
            Ok(reply) => reply,
        };
        record.result = reply.result;
        if reply.body.len() <= INLINE_BYTES_MAX as usize {
            record.body_bytes = reply.body.len() as u32;
            return self.put(record, [&reply.body, &[], &[]]);
        }
        match bridge.replies.put(reply) {
            Ok(kept) => {
                record.kept = kept;
                self.put(record, [&[], &[], &[]]);
            }
            Err(_) => {
                let text = "too many long answers wait for Java to fetch them";
                self.failure(record, &Error::new(Code::OVERLOADED, text));
            }
        }
    }

    fn failure(&mut self, mut record: Record, error: &Error) {
        let text = error.to_string();
        let text = cut_text(&text, INLINE_BYTES_MAX as usize).as_bytes();
        (record.code, record.body_bytes) = (error.code().0, text.len() as u32);
        self.put(record, [text, &[], &[]]);
    }
}

/// Why a request need not be served: it has waited until nobody waited for it any more.
fn in_vain(request: &Deferred) -> Option<Error> {
    if !request.is_cancelled() {
        return None;
    }
    Some(match request.remaining_ms() {
        Some(0) => Error::new(Code::DEADLINE_EXCEEDED, "the deadline passed before it started"),
        _ => Error::new(Code::CANCELLED, "cancelled before it started"),
    })
}

/// User headers as fields.
pub(crate) fn metadata(request: &Deferred) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in request.metadata() {
        fields::put(&mut bytes, key.as_bytes());
        fields::put(&mut bytes, value);
    }
    bytes
}

/// At most so many bytes of a text, whole letters.
fn cut_text(text: &str, bytes_max: usize) -> &str {
    let end = text.floor_char_boundary(bytes_max);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as Java writes it.
    fn written(head: Answered, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(head.size.to_le_bytes());
        bytes.extend(head.code.to_le_bytes());
        bytes.extend(head.id.to_le_bytes());
        bytes.extend(head.result.to_le_bytes());
        bytes.extend(head.body_bytes.to_le_bytes());
        bytes.extend(body);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    #[test]
    fn answers_are_cut_apart() {
        let head = Answered { size: 32, code: -7, id: 1 << 40 | 3, result: 9, body_bytes: 5 };
        let bytes = [written(head, b"whole"), vec![1, 2, 3]].concat();
        let (cut, body, behind) = cut(&bytes).ok().expect("an answer");
        assert_eq!((cut.code, cut.id, cut.result), (-7, 1 << 40 | 3, 9));
        assert_eq!((body, behind), (&b"whole"[..], &[1, 2, 3][..]));
    }

    #[test]
    fn broken_answers_are_refused() {
        let whole = Answered { size: 32, body_bytes: 5, ..Answered::default() };
        let bytes = written(whole, b"whole");
        for length in [1, 8, 23, 31] {
            assert!(cut(&bytes[..length]).is_err(), "{length}");
        }
        let wrong = [(0, 0), (16, 0), (32, 9), (40, 5), (u32::MAX, 5), (32, u32::MAX)];
        for (size, body_bytes) in wrong {
            let head = Answered { size, body_bytes, ..Answered::default() };
            assert!(cut(&written(head, b"whole")).is_err(), "{size} {body_bytes}");
        }
    }

    #[test]
    fn a_long_answer_without_a_place_is_refused_in_words() {
        let (bridge, _poller) = Bridge::open();
        let reply = |bytes: usize| Reply { body: vec![1; bytes].into(), result: 0 };
        while bridge.replies.put(reply(0)).is_ok() {}
        let call = bridge.calls.put(Call::running(3)).ok().expect("a place");
        bridge.calls.with(call, |call| call.set(Ok(reply(INLINE_BYTES_MAX as usize + 1))));
        let mut bytes = vec![0; RECORD_BYTES_MAX as usize];
        let mut out = Writing { bytes: &mut bytes, written: 0 };
        out.result(&bridge, call);
        let written = out.written;
        let text = String::from_utf8_lossy(&bytes[size_of::<Record>()..written]).into_owned();
        assert!(text.contains("overloaded") && text.contains("long answers"), "{text}");
    }

    #[test]
    fn a_result_without_room_wakes_the_poller_too() {
        let (bridge, _poller) = Bridge::open();
        let (tell, told) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            std::thread::park();
            tell.send(()).expect("the test waits");
        });
        bridge.bell.0.set(sleeper.thread().clone()).expect("nobody else has");
        for call in 0..2 * CALLS_COUNT_MAX as u64 {
            bridge.tell(call);
        }
        bridge.tell(7);
        told.recv_timeout(Duration::from_secs(20)).expect("it is woken");
        assert!(bridge.overflow.load(Ordering::Acquire));
    }

    #[test]
    fn a_call_that_begins_behind_the_end_is_taken_back() {
        let (bridge, _poller) = Bridge::open();
        let before = bridge.calls.put(Call::running(1)).ok().expect("a place");
        assert_eq!(bridge.begun(before).expect("it is open"), before);
        bridge.clear();
        let behind = bridge.calls.put(Call::running(2)).ok().expect("a place");
        assert_eq!(bridge.begun(behind).expect_err("closed").code(), Code::SYSTEM_ERROR);
        assert!(bridge.calls.take(before).is_none() && bridge.calls.take(behind).is_none());
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        assert_eq!(cut_text("aä", 2), "a");
        assert_eq!(cut_text("aä", 3), "aä");
    }
}
