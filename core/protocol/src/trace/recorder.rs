//! The recorder: every span of a core for a moment, and those worth it for longer.
//!
//! ```text
//!   record ─► ring of the last 4096 ──── overwritten ───► gone
//!               │ failed, slow, dyed, sampled, or of a trace that was kept
//!               ▼
//!             ration: so many a second for each reason ─► kept: the last 4096
//! ```
//!
//! A span that ends is 64 bytes written to the ring: one line of the cache. That is all for a call
//! that went well. Where one did not, it is kept, and with it what there is of its trace: spans
//! that ended before it are looked for in the ring, back to where it began, and those that end
//! after it find the trace in a small table of traces that were kept. So of a request that fails,
//! the calls it made are kept, and of a call that fails, the request.
//!
//! What is slow is not said by anybody but learnt: [`Slow`] follows the slowest hundredth.
//!
//! Keeping is rationed by reason, so that a service that fails altogether does not spend its time
//! with it, and its memory is bounded; what was not kept for that is counted.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use core::fmt;

use super::TraceId;
use crate::limits::{
    ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX, SPANS_KEPT_MAX, SPANS_KEPT_PER_SECOND_MAX,
    SPANS_RECENT_MAX,
};
use crate::route::Why;
use crate::status::Code;

/// What a span is besides.
pub mod flags {
    /// Its request is dyed.
    pub const DYED: u8 = 1;
    /// Its trace is sampled.
    pub const SAMPLED: u8 = 2;
    /// It was sent beside an attempt that was slow.
    pub const HEDGE: u8 = 4;
    /// Somebody else has named its trace; else the high half of the id follows from the low one,
    /// and is filled in when it is read.
    pub const NAMED: u8 = 8;
    /// What makes a span worth keeping, whatever became of it.
    pub(super) const WANTED: u8 = DYED | SAMPLED;
    /// It is among those kept. Set by the recorder alone.
    pub(super) const KEPT: u8 = 128;
}

/// A span as it is recorded. Names are numbers that its owner can resolve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub struct Record {
    /// The trace; its high half counts only where [`flags::NAMED`] is set.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: u64,
    /// The span for which the call was made; 0: none.
    pub parent_id: u64,
    /// When it began, in ns of the monotonic clock.
    pub start_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Which end of a call of which method with whom.
    pub kind: u32,
    /// Where the callee was called; 0: not known.
    pub address: u32,
    /// What it ended with.
    pub code: Code,
    /// 0 for the first attempt.
    pub attempt: u16,
    /// See [`flags`].
    pub flags: u8,
    /// Why that instance of the callee was picked; of clients, where there was a choice.
    pub why: Option<Why>,
}

const _: () = assert!(size_of::<Record>() == 64, "a span is one line of the cache");

impl Record {
    /// The trace that it belongs to, as a head and its flow id say; and the flag that goes with it.
    #[inline]
    pub fn trace(trace_id: &[u8; 16], flow_id: u64) -> (TraceId, u8) {
        let named = TraceId::from_bytes(trace_id);
        match named.is_none() {
            true => (TraceId { high: 0, low: flow_id }, 0),
            false => (named, flags::NAMED),
        }
    }
}

/// Why a span is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It did not end with success.
    Failed,
    /// It was among the slowest.
    Slow,
    /// Its request is dyed.
    Dyed,
    /// Its trace is sampled.
    Sampled,
    /// Another span of its trace was kept.
    Related,
}

impl Reason {
    /// Each of them, with its name.
    pub const ALL: [(Reason, &'static str); 5] = [
        (Reason::Failed, "failed"),
        (Reason::Slow, "slow"),
        (Reason::Dyed, "dyed"),
        (Reason::Sampled, "sampled"),
        (Reason::Related, "related"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Learns which latencies are slow: those of the slowest hundredth, as it is of late.
///
/// The threshold rises by about a tenth with a latency above it and falls by a 1024th with one
/// below: the two balance where one of a hundred is above (a multiplicative Robbins-Monro
/// iteration). It takes a few instructions a call and no memory, and follows a change within some
/// hundred calls. It begins at twice the first latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    threshold_ns: u64,
}

/// Nothing below this is slow: keeping it would tell of the noise of a machine.
const SLOW_NS_MIN: u64 = 100_000;
const FALL_SHIFT: u32 = 10;
/// Of 1024ths: 99 times the fall.
const RISE: u64 = 99;

impl Slow {
    /// Knows nothing.
    pub const fn new() -> Slow {
        Slow { threshold_ns: 0 }
    }

    /// Whether the latency is slow, given those before it.
    #[inline]
    pub fn is(&mut self, latency_ns: u64) -> bool {
        if latency_ns > self.threshold_ns {
            return self.rise(latency_ns);
        }
        let fallen_ns = self.threshold_ns - (self.threshold_ns >> FALL_SHIFT);
        self.threshold_ns = fallen_ns.max(SLOW_NS_MIN);
        false
    }

    #[cold]
    fn rise(&mut self, latency_ns: u64) -> bool {
        if self.threshold_ns == 0 {
            self.threshold_ns = latency_ns.saturating_mul(2).max(SLOW_NS_MIN);
            return false;
        }
        let step_ns = (self.threshold_ns >> FALL_SHIFT) * RISE;
        self.threshold_ns = self.threshold_ns.saturating_add(step_ns);
        true
    }

    /// What is above this is slow.
    pub fn threshold_ns(&self) -> u64 {
        self.threshold_ns
    }
}

impl Default for Slow {
    fn default() -> Slow {
        Slow::new()
    }
}

/// A span that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Greater for each; with the recorder it names the span once and for all.
    pub number: u64,
    /// Why it is kept.
    pub reason: Reason,
    /// The span.
    pub record: Record,
}

/// Places in the table of traces that were kept of late.
const TRACES_COUNT: usize = 256;

/// What has been kept for one reason.
#[derive(Clone, Copy, Default)]
struct Ration {
    second: u64,
    used: u32,
    kept: u64,
    dropped: u64,
}

/// The spans of one core.
pub struct Recorder {
    ring: Box<[Record; SPANS_RECENT_MAX]>,
    /// How many have been recorded.
    count: u64,
    /// Low halves of the ids of traces that were kept, each at the place that it names itself.
    traces: Box<[u64; TRACES_COUNT]>,
    rations: [Ration; Reason::ALL.len()],
    kept: VecDeque<Kept>,
    kept_count: u64,
    /// Span, time, text; oldest first.
    annotations: VecDeque<(u64, u64, Box<str>)>,
    annotations_lost: u64,
}

fn filled<T: Clone + Default, const N: usize>() -> Box<[T; N]> {
    let slice = vec![T::default(); N].into_boxed_slice();
    slice.try_into().unwrap_or_else(|_| unreachable!("the slice is as long as the array"))
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Recorder {
    /// Without spans; takes a quarter of a megabyte.
    pub fn new() -> Recorder {
        Recorder {
            ring: filled(),
            count: 0,
            traces: filled(),
            rations: [Ration::default(); Reason::ALL.len()],
            kept: VecDeque::new(),
            kept_count: 0,
            annotations: VecDeque::new(),
            annotations_lost: 0,
        }
    }

    /// Records a span that has ended, and keeps it if it is worth it. `is_slow` is its owner's
    /// judgement; see [`Slow`].
    #[inline]
    pub fn record(&mut self, record: &Record, is_slow: bool) {
        let place = self.count as usize % SPANS_RECENT_MAX;
        self.ring[place] = *record;
        self.count += 1;
        let low = record.trace_id.low;
        let is_known = self.traces[low as usize % TRACES_COUNT] == low;
        let is_marked = record.code != Code::OK || record.flags & flags::WANTED != 0;
        if is_slow | is_known | is_marked {
            self.consider(place, is_slow);
        }
    }

    #[cold]
    fn consider(&mut self, place: usize, is_slow: bool) {
        let record = self.ring[place];
        let reason = if record.code != Code::OK {
            Reason::Failed
        } else if record.flags & flags::DYED != 0 {
            Reason::Dyed
        } else if record.flags & flags::SAMPLED != 0 {
            Reason::Sampled
        } else if is_slow {
            Reason::Slow
        } else if self.is_trace_kept(record.trace_id) {
            Reason::Related
        } else {
            return;
        };
        if !self.keep(place, reason) || reason == Reason::Related {
            return;
        }
        let low = record.trace_id.low;
        if !self.is_trace_kept(record.trace_id) {
            self.traces[low as usize % TRACES_COUNT] = low;
        }
        self.keep_related(place, &record);
    }

    fn is_trace_kept(&self, trace_id: TraceId) -> bool {
        self.traces[trace_id.low as usize % TRACES_COUNT] == trace_id.low
    }

    /// Keeps spans of its trace that ended while it ran.
    fn keep_related(&mut self, place: usize, record: &Record) {
        let recorded = (self.count - 1).min(SPANS_RECENT_MAX as u64 - 1) as usize;
        for back in 1..=recorded {
            let earlier = (place + SPANS_RECENT_MAX - back) % SPANS_RECENT_MAX;
            let span = &self.ring[earlier];
            if span.start_ns + span.duration_ns < record.start_ns {
                return;
            }
            let is_same = span.trace_id.low == record.trace_id.low;
            if is_same && span.flags & flags::KEPT == 0 {
                self.keep(earlier, Reason::Related);
            }
        }
    }

    /// Keeps the span at a place of the ring, if the ration allows it.
    fn keep(&mut self, place: usize, reason: Reason) -> bool {
        let record = &mut self.ring[place];
        let second = (record.start_ns + record.duration_ns) / 1_000_000_000;
        let ration = &mut self.rations[reason as usize];
        if ration.second != second {
            (ration.second, ration.used) = (second, 0);
        }
        if ration.used == SPANS_KEPT_PER_SECOND_MAX {
            ration.dropped += 1;
            return false;
        }
        ration.used += 1;
        ration.kept += 1;
        record.flags |= flags::KEPT;
        if self.kept.len() == SPANS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept_count += 1;
        let (number, record) = (self.kept_count, whole(record));
        self.kept.push_back(Kept { number, reason, record });
        true
    }

    /// Notes something in a span that runs. Found with the span when that is kept.
    pub fn annotate(&mut self, span_id: u64, now_ns: u64, text: &str) {
        if self.annotations.len() == ANNOTATIONS_MAX {
            self.annotations.pop_front();
            self.annotations_lost += 1;
        }
        let text = &text[..text.floor_char_boundary(ANNOTATION_BYTES_MAX)];
        self.annotations.push_back((span_id, now_ns, text.into()));
    }

    /// What was noted in a span: when, and what.
    pub fn annotations(&self, span_id: u64) -> impl Iterator<Item = (u64, String)> {
        let own = self.annotations.iter().filter(move |(of, ..)| *of == span_id);
        own.map(|(_, at_ns, text)| (*at_ns, String::from(&**text)))
    }

    /// The spans that were kept after the one with that number, oldest first; those that were
    /// replaced by newer ones are missing.
    pub fn kept_after(&self, number: u64) -> impl Iterator<Item = &Kept> {
        self.kept.iter().filter(move |kept| kept.number > number)
    }

    /// All spans of the trace with that flow id that are still there, oldest first.
    pub fn of_flow(&self, flow_id: u64) -> impl Iterator<Item = (Option<Reason>, Record)> {
        let is_wanted = move |record: &Record| record.trace_id.low == flow_id;
        let kept = self.kept.iter().filter(move |kept| is_wanted(&kept.record));
        let kept = kept.map(|kept| (Some(kept.reason), kept.record));
        let start = self.count.saturating_sub(SPANS_RECENT_MAX as u64);
        let recent = (start..self.count).map(|number| number as usize % SPANS_RECENT_MAX);
        let recent = recent.map(|place| self.ring[place]);
        let recent = recent.filter(move |record| is_wanted(record));
        let recent = recent.filter(|record| record.flags & flags::KEPT == 0);
        kept.chain(recent.map(|record| (None, whole(&record))))
    }

    /// How many spans were recorded.
    pub fn recorded(&self) -> u64 {
        self.count
    }

    /// How many spans were kept for a reason, and how many were not because of its ration.
    pub fn tally(&self, reason: Reason) -> (u64, u64) {
        let ration = &self.rations[reason as usize];
        (ration.kept, ration.dropped)
    }

    /// Annotations that had no room.
    pub fn annotations_lost(&self) -> u64 {
        self.annotations_lost
    }
}

/// A record as others see it.
fn whole(record: &Record) -> Record {
    let trace_id = match record.flags & flags::NAMED {
        0 => TraceId::of_flow(record.trace_id.low),
        _ => record.trace_id,
    };
    Record { trace_id, flags: record.flags & !(flags::KEPT | flags::NAMED), ..*record }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A span of a trace that began and ended at those milliseconds.
    fn span(flow_id: u64, span_id: u64, parent_id: u64, ms: core::ops::Range<u64>) -> Record {
        Record {
            trace_id: TraceId::of_flow(flow_id),
            span_id,
            parent_id,
            start_ns: ms.start * 1_000_000,
            duration_ns: (ms.end - ms.start) * 1_000_000,
            ..Record::default()
        }
    }

    fn failed(record: Record) -> Record {
        Record { code: Code::SERVICE_FAILED, ..record }
    }

    fn kept(recorder: &Recorder) -> Vec<(u64, Reason)> {
        recorder.kept_after(0).map(|kept| (kept.record.span_id, kept.reason)).collect()
    }

    #[test]
    fn what_went_well_is_remembered_and_not_kept() {
        let mut recorder = Recorder::new();
        recorder.record(&span(7, 1, 0, 0..5), false);
        assert_eq!(kept(&recorder), []);
        assert_eq!(recorder.of_flow(7).count(), 1);
        assert_eq!(recorder.of_flow(8).count(), 0);
        for other in 0..SPANS_RECENT_MAX as u64 {
            recorder.record(&span(100, other, 0, 6..7), false);
        }
        assert_eq!(recorder.of_flow(7).count(), 0, "overwritten");
        assert_eq!(recorder.recorded(), SPANS_RECENT_MAX as u64 + 1);
    }

    #[test]
    fn failed_slow_dyed_and_sampled_spans_are_kept() {
        let mut recorder = Recorder::new();
        recorder.record(&failed(span(1, 1, 0, 0..1)), true);
        recorder.record(&span(2, 2, 0, 0..1), true);
        recorder.record(&Record { flags: flags::DYED, ..span(3, 3, 0, 0..1) }, false);
        recorder.record(&Record { flags: flags::SAMPLED, ..span(4, 4, 0, 0..1) }, false);
        recorder.record(&Record { flags: flags::HEDGE, ..span(5, 5, 0, 0..1) }, false);
        let expect =
            [(1, Reason::Failed), (2, Reason::Slow), (3, Reason::Dyed), (4, Reason::Sampled)];
        assert_eq!(kept(&recorder), expect);
        assert_eq!(recorder.kept_after(3).count(), 1);
    }

    #[test]
    fn with_a_span_what_ended_within_it_and_what_ends_around_it_is_kept() {
        let mut recorder = Recorder::new();
        // A request from 10 to 20 makes calls, of which the second fails; others run meanwhile.
        recorder.record(&span(7, 90, 0, 0..9), false);
        recorder.record(&span(7, 2, 1, 11..12), false);
        recorder.record(&span(8, 3, 0, 11..13), false);
        recorder.record(&failed(span(7, 4, 1, 13..14)), false);
        assert_eq!(kept(&recorder), [(4, Reason::Failed)], "it began after the first call");
        recorder.record(&span(7, 5, 1, 15..16), false);
        recorder.record(&failed(span(7, 1, 0, 10..20)), false);
        let expect =
            [(4, Reason::Failed), (5, Reason::Related), (1, Reason::Failed), (2, Reason::Related)];
        assert_eq!(kept(&recorder), expect);
        let of_flow: Vec<_> = recorder.of_flow(7).map(|(_, record)| record.span_id).collect();
        assert_eq!(of_flow, [4, 5, 1, 2, 90], "each once, and what is only remembered last");
    }

    #[test]
    fn a_trace_has_the_name_that_somebody_gave_it_or_follows_from_its_flow() {
        let mut recorder = Recorder::new();
        let (ours, no_flag) = Record::trace(&[0; 16], 7);
        let named = TraceId { high: 0, low: 8 };
        let (theirs, flag) = Record::trace(&named.to_bytes(), 9);
        assert_eq!((no_flag, flag), (0, flags::NAMED));
        recorder.record(&Record { trace_id: ours, ..failed(span(7, 1, 0, 0..1)) }, false);
        recorder.record(&Record { trace_id: theirs, flags: flag, ..span(8, 2, 0, 0..1) }, true);
        recorder.record(&Record { trace_id: ours, ..span(7, 3, 0, 2..3) }, false);
        let ids: Vec<_> = recorder.kept_after(0).map(|kept| kept.record.trace_id).collect();
        assert_eq!(ids, [TraceId::of_flow(7), named, TraceId::of_flow(7)]);
        assert!(recorder.kept_after(0).all(|kept| kept.record.flags == 0));
    }

    #[test]
    fn keeping_is_rationed_by_reason_and_second_and_bounded() {
        let mut recorder = Recorder::new();
        let most = u64::from(SPANS_KEPT_PER_SECOND_MAX);
        for call in 0..most + 50 {
            recorder.record(&failed(span(1000 + call, call, 0, 1..2)), false);
        }
        assert_eq!(recorder.tally(Reason::Failed), (most, 50));
        recorder.record(&span(5, 5, 0, 1..2), true);
        assert_eq!(recorder.tally(Reason::Slow), (1, 0), "another reason has its own");
        for second in 1..100 {
            for call in 0..most {
                let start = second * 1000;
                recorder.record(&failed(span(call * 7919, call, 0, start..start + 1)), false);
            }
        }
        assert_eq!(recorder.tally(Reason::Failed), (100 * most, 50));
        assert_eq!(recorder.kept_after(0).count(), SPANS_KEPT_MAX);
    }

    #[test]
    fn annotations_are_found_by_their_span_and_bounded() {
        let mut recorder = Recorder::new();
        recorder.annotate(1, 5, "cache miss");
        recorder.annotate(2, 6, "é".repeat(1000).as_str());
        let first: Vec<_> = recorder.annotations(1).collect();
        assert_eq!(first, [(5, String::from("cache miss"))]);
        let second = recorder.annotations(2).next().unwrap();
        assert_eq!(second.1.len(), ANNOTATION_BYTES_MAX);
        for number in 0..ANNOTATIONS_MAX as u64 {
            recorder.annotate(100 + number, 7, "");
        }
        assert_eq!((recorder.annotations(1).count(), recorder.annotations_lost()), (0, 2));
    }

    /// Latencies between `scale` and twice that, and one in fifty ten times as long.
    fn latencies(scale: u64, count: u64) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        (0..count).map(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let base = scale + state % scale;
            if (state >> 32).is_multiple_of(50) { base * 10 } else { base }
        })
    }

    #[test]
    fn the_slowest_hundredth_is_slow_and_a_change_is_followed() {
        let mut slow = Slow::new();
        for scale in [1_000_000, 50_000_000, 300_000] {
            latencies(scale, 3000).for_each(|latency_ns| {
                slow.is(latency_ns);
            });
            let count = latencies(scale, 20_000).filter(|latency| slow.is(*latency)).count();
            assert!((150..=300).contains(&count), "{count} of 20,000 at {scale}");
            // Between the bulk and the end of the long ones.
            let threshold_ns = slow.threshold_ns();
            assert!((2 * scale..20 * scale).contains(&threshold_ns), "{threshold_ns} at {scale}");
        }
    }

    #[test]
    fn the_noise_of_quick_calls_is_not_slow() {
        let mut slow = Slow::new();
        assert_eq!(latencies(5000, 10_000).filter(|latency| slow.is(*latency)).count(), 0);
        // Nor is the first of a method that takes long by nature.
        assert_eq!(latencies(70_000_000, 3).filter(|ns| Slow::new().is(*ns)).count(), 0);
    }
}
