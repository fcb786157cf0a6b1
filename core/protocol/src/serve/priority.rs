//! Priority: which request goes first when not all can be served.
//!
//! A caller says it in a user header, [`PRIORITY_KEY`], and every call that is made for the request
//! inherits it: what began as a payment is one at every hop, what began as a report is one too.
//! While there is room for all, priority means nothing.
//!
//! Among requests of one priority somebody must go first as well. If chance decided at each service
//! anew, a request that needs four calls of overloaded services, each of which serves half, would
//! succeed one time in sixteen, and three quarters of all work would be for nothing ("subsequent
//! overload": Zhou et al., Overload Control for Scaling WeChat Microservices, SoCC 2018). So the
//! flow id decides: its [`fate`](Rank::of) is the same at every service and at every try, and a
//! flow that passes the first passes the others.
use core::fmt;

/// The user header that says a request's priority.
pub const PRIORITY_KEY: &str = "msec-priority";

/// Which request goes first when not all can be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// The first to go without: batches, prefetches, reports.
    Sheddable,
    /// What is not marked.
    #[default]
    Default,
    /// The last to go without: what users pay for.
    Critical,
}

impl Priority {
    /// All of them, the last to be served first.
    pub const ALL: [Priority; 3] = [Priority::Sheddable, Priority::Default, Priority::Critical];

    /// As it stands in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Sheddable => "sheddable",
            Priority::Default => "default",
            Priority::Critical => "critical",
        }
    }

    /// The header as it travels: a field of the head.
    pub(crate) const fn header(self) -> &'static [u8] {
        match self {
            Priority::Sheddable => b"\xea\x04\x1a\x0a\x0dmsec-priority\x12\x09sheddable",
            Priority::Default => b"\xea\x04\x18\x0a\x0dmsec-priority\x12\x07default",
            Priority::Critical => b"\xea\x04\x19\x0a\x0dmsec-priority\x12\x08critical",
        }
    }

    /// Of a header's value; a value that none has means nothing.
    pub fn from_value(value: &[u8]) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| priority.name().as_bytes() == value)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Fates that flows are divided into: how finely what fits can be told from what does not.
const FATE_BITS: u32 = 4;

/// How many ranks there are.
pub(super) const RANKS_COUNT: usize = Priority::ALL.len() << FATE_BITS;

/// A request's place in the order in which an overloaded server serves: a greater one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u8);

impl Rank {
    /// First by priority, then by what the flow id's bits say: the same at every service, evenly
    /// spread also over ids that count up (Fibonacci hashing, Knuth vol. 3 §6.4).
    #[inline]
    pub fn of(priority: Priority, flow_id: u64) -> Rank {
        let fate = flow_id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - FATE_BITS);
        Rank((priority as u8) << FATE_BITS | fate as u8)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::METADATA_PAIRS_MAX;
    use crate::{Limits, Metadata, RequestHead, head};
    use std::vec::Vec;

    #[test]
    fn a_priority_is_read_as_it_is_written() {
        for priority in Priority::ALL {
            assert_eq!(Priority::from_value(priority.name().as_bytes()), Some(priority));
        }
        assert_eq!(Priority::from_value(b"urgent"), None);
        assert_eq!(Priority::from_value(b""), None);
    }

    #[test]
    fn the_header_is_a_user_header_like_any() {
        for priority in Priority::ALL {
            let mut metadata = Metadata::new();
            metadata.add(PRIORITY_KEY, priority.name().as_bytes()).unwrap();
            assert_eq!(metadata.encoded(), priority.header());
        }
    }

    #[test]
    fn a_request_tells_its_priority_beside_as_many_headers_as_it_may_have() {
        let mut metadata = Metadata::new();
        (0..METADATA_PAIRS_MAX).for_each(|_| metadata.add("key", b"value").unwrap());
        for priority in Priority::ALL {
            let mut frame = Vec::new();
            let request = RequestHead {
                sequence: 7,
                method_name: b"a.B.C",
                metadata: metadata.encoded(),
                priority,
                ..RequestHead::default()
            };
            head::encode_request(&request, &Limits::default(), &mut frame, |_| ()).unwrap();
            let cut = crate::frame::datagram(&frame).unwrap();
            let head = head::decode_request(cut.head()).unwrap();
            assert_eq!((head.priority, head.metadata_excess), (priority, false));
        }
    }

    #[test]
    fn a_priority_that_is_none_is_the_default() {
        let mut metadata = Metadata::new();
        metadata.add(PRIORITY_KEY, b"urgent").unwrap();
        let survey = crate::metadata::survey(metadata.encoded(), 1).unwrap();
        assert_eq!(survey.priority, Priority::Default);
    }

    #[test]
    fn priority_goes_before_fate() {
        for flow in 0..1000u64 {
            let (low, high) = (flow, flow.wrapping_mul(77_777));
            assert!(Rank::of(Priority::Critical, low) > Rank::of(Priority::Default, high));
            assert!(Rank::of(Priority::Default, low) > Rank::of(Priority::Sheddable, high));
        }
    }

    #[test]
    fn ids_that_count_up_have_evenly_spread_fates() {
        let mut counts = [0; RANKS_COUNT];
        for flow in 1..=16_000 {
            counts[Rank::of(Priority::Default, flow).index()] += 1;
        }
        let used: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(used.len(), 16);
        assert!(used.iter().all(|count| (900..1100).contains(count)), "{used:?}");
    }
}
