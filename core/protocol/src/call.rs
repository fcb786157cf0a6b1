//! Calls: whose answer is this?
//!
//! The client side of one connection. Many calls share it, and answers come in any order; what
//! joins an answer to its call is the sequence.
//!
//! ```text
//!             begin ──► sequence ──► request frame
//!               │
//!           in flight ───────┬───────────────┬──────────────────┐
//!               │            │               │                  │
//!        handle_answer  handle_timeout  cancel (by us)   handle_death (all)
//!               ▼            ▼               ▼                  ▼
//!            its code    -10, -16          -103                -11
//! ```
//!
//! Each call leaves the table exactly once, whichever comes first; after that its sequence belongs
//! to nobody. An answer that comes late, or a second time, finds nobody and is dropped. For that,
//! a sequence must not be given away again while an old answer may still be under way: sequences
//! are counted up through all of 2³¹, and only then, past those still in flight, from 1 again. A
//! table index with a small generation would come around within milliseconds on a busy connection.
//!
//! The first sequence is an argument. Over UDP it should be random: whoever can guess the sequence
//! can forge an answer.
use crate::limits::{
    CALLS_PER_CONNECTION_MAX, DEADLINE_MS_MAX, SEQUENCE_MAX, TIMEOUTS_IN_SILENCE_MAX,
};
use crate::sequences::Sequences;
use crate::status::Code;

/// The calls in flight of one connection. `T` is whatever wakes the caller.
#[derive(Debug)]
pub struct Calls<T> {
    in_flight: Sequences<T>,
    /// The sequence to try next. Invariant: 1 to [`SEQUENCE_MAX`].
    next: u64,
    /// The last answer was none to any call that was ever begun here.
    out_of_step: bool,
    /// The first sequence of all.
    first: u64,
    /// How many calls were begun; stops at [`SEQUENCE_MAX`], when all sequences were used.
    begun: u64,
    /// Calls that timed out since the last byte was received.
    timeouts_in_silence: u32,
}

/// The connection has as many calls in flight as it may; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Calls<T> {
    /// None in flight. `first` is the first sequence, taken modulo what is possible.
    pub const fn new(first: u32) -> Calls<T> {
        let next = first as u64 % SEQUENCE_MAX + 1;
        let in_flight = Sequences::new();
        let (first, begun) = (next, 0);
        Calls { in_flight, next, out_of_step: false, first, begun, timeouts_in_silence: 0 }
    }

    /// Begins a call and says the sequence to send: 1 to 2³¹-1, of no other call in flight.
    #[inline]
    pub fn begin(&mut self, call: T) -> Result<u64, Full<T>> {
        if self.in_flight.len() >= CALLS_PER_CONNECTION_MAX as usize {
            return Err(Full(call));
        }
        let mut call = call;
        // Ends, since far fewer calls may be in flight than there are sequences.
        loop {
            let sequence = self.next;
            self.next = if sequence == SEQUENCE_MAX { 1 } else { sequence + 1 };
            self.begun = (self.begun + 1).min(SEQUENCE_MAX);
            match self.in_flight.insert(sequence, call) {
                Ok(()) => return Ok(sequence),
                Err(returned) => call = returned,
            }
        }
    }

    /// An answer with this sequence has arrived: ends its call. `None`: it is nobody's, being
    /// late, a duplicate, or made up; drop it.
    #[inline]
    pub fn handle_answer(&mut self, sequence: u64) -> Option<T> {
        let call = self.in_flight.remove(sequence);
        self.out_of_step = call.is_none() && !self.has_begun(sequence);
        call
    }

    /// What a call ends with whose deadline passes now: -10, or -16 if the peer does answer, but
    /// what it was never asked. A made-up answer thus ends no call before its time.
    pub fn unanswered(&self) -> Code {
        if self.out_of_step { Code::INVALID_SEQUENCE } else { Code::TIMEOUT }
    }

    /// Whether a call was ever begun with this sequence.
    fn has_begun(&self, sequence: u64) -> bool {
        let after_first = |sequence: u64| (sequence + SEQUENCE_MAX - self.first) % SEQUENCE_MAX;
        (1..=SEQUENCE_MAX).contains(&sequence) && after_first(sequence) < self.begun
    }

    /// Bytes, of whatever, were received: the peer is alive.
    #[inline]
    pub fn handle_bytes(&mut self) {
        self.timeouts_in_silence = 0;
    }

    /// The deadline of this call has passed: ends it.
    pub fn handle_timeout(&mut self, sequence: u64) -> Option<T> {
        let call = self.in_flight.remove(sequence)?;
        self.timeouts_in_silence = self.timeouts_in_silence.saturating_add(1);
        Some(call)
    }

    /// The caller has given up: ends its call. A cancel frame may be sent.
    pub fn cancel(&mut self, sequence: u64) -> Option<T> {
        self.in_flight.remove(sequence)
    }

    /// The connection is dead: ends all calls, in no particular order.
    pub fn handle_death(&mut self) -> impl Iterator<Item = (u64, T)> + use<T> {
        self.in_flight.drain()
    }

    /// The call in flight with this sequence.
    pub fn get(&self, sequence: u64) -> Option<&T> {
        self.in_flight.get(sequence)
    }

    /// The call in flight with this sequence, to be changed.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        self.in_flight.get_mut(sequence)
    }

    /// The calls in flight, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.in_flight.iter()
    }

    /// How many calls are in flight.
    #[inline]
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether no call is in flight.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.in_flight.len() == 0
    }

    /// Whether so many calls have timed out without a single byte received
    /// ([`TIMEOUTS_IN_SILENCE_MAX`]) that the peer is taken to have vanished: the connection is
    /// to be replaced.
    pub fn is_silent(&self) -> bool {
        self.timeouts_in_silence >= TIMEOUTS_IN_SILENCE_MAX
    }
}

impl<T> Default for Calls<T> {
    fn default() -> Calls<T> {
        Calls::new(0)
    }
}

/// The time until `deadline_ns` as field `deadline_ms` carries it; `None` if it has passed.
///
/// Rounded up, since zero would mean the server's default. Both times are on one monotonic clock.
#[inline]
pub fn remaining_ms(deadline_ns: u64, now_ns: u64) -> Option<u32> {
    let remaining_ns = deadline_ns.checked_sub(now_ns).filter(|remaining| *remaining > 0)?;
    let remaining_ms = remaining_ns.div_ceil(1_000_000);
    Some(remaining_ms.min(u64::from(DEADLINE_MS_MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn an_answer_ends_its_call_and_a_second_one_finds_nobody() {
        let mut calls = Calls::new(0);
        let first = calls.begin("first").unwrap();
        let second = calls.begin("second").unwrap();
        assert_ne!(first, second);
        assert_eq!(calls.handle_answer(second), Some("second"));
        assert_eq!(calls.handle_answer(second), None);
        assert_eq!(calls.get(first), Some(&"first"));
        assert_eq!(calls.handle_answer(first), Some("first"));
        assert!(calls.is_empty());
    }

    #[test]
    fn an_answer_after_timeout_or_cancel_finds_nobody() {
        let mut calls = Calls::new(0);
        let timed_out = calls.begin(1).unwrap();
        let cancelled = calls.begin(2).unwrap();
        assert_eq!(calls.handle_timeout(timed_out), Some(1));
        assert_eq!(calls.cancel(cancelled), Some(2));
        for sequence in [timed_out, cancelled, 0, 99, u64::MAX] {
            assert_eq!(calls.handle_answer(sequence), None);
        }
        assert_eq!(calls.handle_timeout(timed_out), None);
        assert_eq!(calls.cancel(cancelled), None);
    }

    #[test]
    fn an_answer_to_nothing_is_told_from_a_late_one() {
        for first in [0, 7, i32::MAX as u32 - 1] {
            let mut calls = Calls::new(first);
            let next = calls.next;
            assert!(!calls.has_begun(next));
            let [one, two, three] = [(); 3].map(|()| calls.begin(()).unwrap());
            calls.handle_answer(two).unwrap();
            assert!([one, two, three].iter().all(|sequence| calls.has_begun(*sequence)));
            let next = calls.next;
            for sequence in [next, 0, SEQUENCE_MAX + 1, u64::MAX] {
                assert!(!calls.has_begun(sequence), "{sequence}");
                assert_eq!(calls.handle_answer(sequence), None);
                assert_eq!(calls.unanswered(), Code::INVALID_SEQUENCE);
                assert_eq!(calls.handle_answer(two), None);
                assert_eq!(calls.unanswered(), Code::TIMEOUT);
            }
        }
    }

    #[test]
    fn a_sequence_is_not_given_away_again_soon() {
        let mut calls = Calls::new(0);
        for expect in 1..=10_000 {
            let sequence = calls.begin(()).unwrap();
            assert_eq!(sequence, expect);
            calls.handle_answer(sequence).unwrap();
        }
    }

    #[test]
    fn sequences_stay_within_31_bits_and_go_around_past_those_in_flight() {
        // `first` is taken modulo 2³¹-1, so this begins at the greatest.
        let mut calls = Calls::new(i32::MAX as u32 - 1);
        let greatest = calls.begin("a").unwrap();
        assert_eq!(greatest, SEQUENCE_MAX);
        assert_eq!(calls.begin("b"), Ok(1));
        assert_eq!(calls.begin("c"), Ok(2));
        calls.next = SEQUENCE_MAX;
        assert_eq!(calls.begin("d"), Ok(3), "greatest, 1 and 2 are in flight");
        assert_eq!(calls.len(), 4);
    }

    #[test]
    fn every_first_sequence_is_legal() {
        for first in [0, 1, i32::MAX as u32 - 1, i32::MAX as u32, 1 << 31, u32::MAX] {
            let sequence = Calls::new(first).begin(()).unwrap();
            assert!((1..=SEQUENCE_MAX).contains(&sequence), "{first}");
        }
    }

    #[test]
    fn a_full_connection_gives_the_call_back() {
        let mut calls = Calls::new(7);
        for call in 0..CALLS_PER_CONNECTION_MAX {
            calls.begin(call).unwrap();
        }
        assert_eq!(calls.begin(5), Err(Full(5)));
        assert_eq!(calls.handle_answer(8), Some(0));
        assert!(calls.begin(5).is_ok());
    }

    #[test]
    fn death_ends_every_call_once() {
        let mut calls = Calls::new(0);
        let mut begun: Vec<(u64, u32)> =
            (0..100).map(|call| (calls.begin(call).unwrap(), call)).collect();
        calls.handle_answer(begun.remove(50).0).unwrap();
        let mut ended: Vec<(u64, u32)> = calls.handle_death().collect();
        ended.sort_unstable();
        assert_eq!(ended, begun);
        assert_eq!(calls.handle_death().count(), 0);
        assert_eq!(calls.handle_answer(begun[0].0), None);
    }

    #[test]
    fn timeouts_without_a_byte_make_a_connection_silent_and_any_byte_unmakes_it() {
        let mut calls = Calls::new(0);
        for _ in 0..TIMEOUTS_IN_SILENCE_MAX {
            assert!(!calls.is_silent());
            let sequence = calls.begin(()).unwrap();
            calls.handle_timeout(sequence).unwrap();
            assert_eq!(calls.handle_timeout(sequence), None, "counted once");
        }
        assert!(calls.is_silent());
        calls.handle_bytes();
        assert!(!calls.is_silent());
    }

    #[test]
    fn the_remaining_time_is_rounded_up_and_never_zero() {
        assert_eq!(remaining_ms(5_000_000, 5_000_000), None);
        assert_eq!(remaining_ms(5_000_000, 6_000_000), None);
        assert_eq!(remaining_ms(5_000_001, 5_000_000), Some(1));
        assert_eq!(remaining_ms(7_000_000, 5_000_000), Some(2));
        assert_eq!(remaining_ms(7_000_001, 5_000_000), Some(3));
        assert_eq!(remaining_ms(u64::MAX, 0), Some(DEADLINE_MS_MAX));
    }
}
