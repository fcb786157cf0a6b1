//! Spans, live: what a core records of its requests, and how somebody gets to see it.
//!
//! A request's span has the calls made for it as children, here and in the services that they go
//! to. What is worth keeping is decided as a span ends (`protocol/src/trace/recorder.rs`); here
//! are the ways to look at it: all that was kept ([`Engine::spans`]), and everything that is still
//! known of one request ([`Engine::trace`]).

use std::rc::Rc;

use msec_protocol::report::Outcome;
pub use msec_protocol::trace::{
    Reason, Span, TraceId, TraceParent, decode_spans, encode_spans, flags,
};
use msec_protocol::trace::{Record, Recorder};
use msec_sys::clock;

use crate::context::Context;
use crate::engine::Engine;
use crate::report::Reporter;
use crate::report::served::Judged;
use crate::shard::{self, Shard};

/// Records the span of a request that has ended.
#[inline]
pub(crate) fn served(shard: &Shard, context: &Context, ended: &Outcome, judged: &Judged) {
    let Some(recorder) = &shard.reporter.recorder else { return };
    let head = context.head();
    let dyed = if context.is_dyed() { flags::DYED } else { 0 };
    let sampled = if head.sampled { flags::SAMPLED } else { 0 };
    let (trace_id, named) = Record::trace(&head.trace_id, head.flow_id);
    let record = Record {
        trace_id,
        span_id: context.span_id,
        parent_id: head.span_id,
        start_ns: context.received_ns,
        duration_ns: ended.latency_ns,
        kind: judged.kind,
        address: 0,
        code: ended.code,
        attempt: head.attempt as u16,
        flags: dyed | sampled | named,
        why: None,
    };
    recorder.borrow_mut().record(&record, judged.is_slow);
}

/// Notes something in the span of the request that this code works for: shown with the span, if
/// that is kept.
///
/// Up to 256 bytes are kept. From a handler, or a task that it has spawned; elsewhere nothing
/// happens. Never suspends.
pub fn annotate(text: &str) {
    let Some(shard) = shard::current() else { return };
    let span_id = crate::inherited().span_id;
    if let Some(recorder) = &shard.reporter.recorder
        && span_id != 0
    {
        recorder.borrow_mut().annotate(span_id, clock::now_ns(), text);
    }
}

/// How far somebody has read what is kept; at first, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last number seen, by core.
    numbers: Vec<u64>,
}

/// What a core has kept.
pub(crate) struct CoreSpans {
    spans: Vec<Span>,
    number: u64,
}

impl CoreSpans {
    pub(crate) fn into_spans(self) -> Vec<Span> {
        self.spans
    }
}

/// What this core has kept after the span with that number.
pub(crate) fn kept_of_core(shard: &Rc<Shard>, number: u64, clocks: Clocks) -> CoreSpans {
    let Some(recorder) = &shard.reporter.recorder else {
        return CoreSpans { spans: Vec::new(), number };
    };
    let recorder = recorder.borrow();
    let mut spans = Vec::new();
    let mut last = number;
    for kept in recorder.kept_after(number) {
        let reason = Some(kept.reason);
        spans.push(span(&shard.reporter, &recorder, &kept.record, reason, &clocks));
        last = kept.number;
    }
    CoreSpans { spans, number: last }
}

/// Everything that this core still knows of a request.
pub(crate) fn flow_of_core(shard: &Rc<Shard>, flow_id: u64, clocks: Clocks) -> Vec<Span> {
    let Some(recorder) = &shard.reporter.recorder else { return Vec::new() };
    let recorder = recorder.borrow();
    let spans = recorder.of_flow(flow_id);
    spans
        .map(|(reason, record)| span(&shard.reporter, &recorder, &record, reason, &clocks))
        .collect()
}

/// What time it is, by both clocks: spans are measured by the one and shown by the other. Read once
/// by whoever asks the cores: the time of day may jump between one core and the next.
#[derive(Clone, Copy)]
pub(crate) struct Clocks {
    now_ns: u64,
    wall_ns: u64,
}

impl Clocks {
    pub(crate) fn read() -> Clocks {
        Clocks { now_ns: clock::now_ns(), wall_ns: clock::wall_ns() }
    }

    /// What the time of day was, or will be, at that time.
    fn wall_ns(&self, ns: u64) -> u64 {
        let since_ns = ns.wrapping_sub(self.now_ns).cast_signed();
        self.wall_ns.saturating_add_signed(since_ns)
    }
}

fn span(
    reporter: &Reporter,
    recorder: &Recorder,
    record: &Record,
    reason: Option<Reason>,
    clocks: &Clocks,
) -> Span {
    let kinds = reporter.kinds.borrow();
    let kind = &kinds[record.kind as usize];
    let address = reporter.addresses.borrow().get(record.address as usize).cloned();
    let annotations = recorder.annotations(record.span_id);
    let after_ns = |at_ns: u64| at_ns.saturating_sub(record.start_ns);
    Span {
        trace_id: record.trace_id,
        span_id: record.span_id,
        parent_id: record.parent_id,
        role: kind.role,
        service: String::new(),
        instance: String::new(),
        method: String::from(&*kind.method),
        peer: String::from(&*kind.peer),
        address: address.map(|text| String::from(&*text)).unwrap_or_default(),
        why: record.why,
        code: record.code,
        start_wall_ns: clocks.wall_ns(record.start_ns),
        duration_ns: record.duration_ns,
        attempt: u32::from(record.attempt),
        flags: record.flags,
        reason,
        annotations: annotations.map(|(at_ns, text)| (after_ns(at_ns), text)).collect(),
    }
}

impl Engine {
    /// The spans that were kept since somebody last looked, oldest first, and how far that is.
    /// Those that were replaced by newer ones meanwhile are missing; the metrics tell how many
    /// were kept.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn spans(&self, after: &Cursor) -> (Vec<Span>, Cursor) {
        let (numbers, clocks) = (after.numbers.clone(), Clocks::read());
        let cores = self.ask_all(move |shard| {
            let number = numbers.get(shard.index).copied().unwrap_or(0);
            kept_of_core(shard, number, clocks)
        });
        let cursor = Cursor { numbers: cores.iter().map(|core| core.number).collect() };
        (self.named(cores.into_iter().flat_map(|core| core.spans).collect()), cursor)
    }

    /// Everything that this process still knows of the request with that flow id, oldest first:
    /// what was kept, and what was recorded of late.
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn trace(&self, flow_id: u64) -> Vec<Span> {
        let clocks = Clocks::read();
        let cores = self.ask_all(move |shard| flow_of_core(shard, flow_id, clocks));
        self.named(cores.into_iter().flatten().collect())
    }

    fn named(&self, mut spans: Vec<Span>) -> Vec<Span> {
        let (service, instance) = self.shared().identity();
        for span in &mut spans {
            (span.service, span.instance) = (service.into(), instance.into());
        }
        spans.sort_by_key(|span| span.start_wall_ns);
        spans
    }
}
