//! Ends of calls, counted: of one instance, and of all of a service.
//!
//! What one instance did says little by itself; it is compared with what all the others did in the
//! same seconds. [`Recent`] sums fade with time, so that no window has to be kept, and the sum of
//! the others is the sum of all less one's own.
use crate::status::{self, Code, Side};

/// How a call to an instance ended, as far as that tells of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did its work: success, a business result, or a request that is the caller's mistake.
    Answered,
    /// It answered that it has failed.
    Faulted,
    /// It answered that it will not: a limit is reached.
    Refused,
    /// It answered that it is about to stop.
    Leaving,
    /// No answer: the time was up, or the connection died.
    Lost,
    /// The call never got there: no connection.
    Unsent,
    /// Nobody waited for the end.
    Abandoned,
}

impl End {
    /// What the code of an answer tells. A number that is in no list is business.
    pub fn of_answer(code: Code) -> End {
        if status::row(code) == status::ALL.len() {
            return End::Answered;
        }
        match code {
            Code::DRAINING => End::Leaving,
            Code::OVERLOADED
            | Code::RATE_LIMITED
            | Code::DEADLINE_EXCEEDED
            | Code::NO_ROUTE
            | Code::NO_HEALTHY_INSTANCE => End::Refused,
            _ => match status::info(code).side {
                Side::Nobody | Side::Caller => End::Answered,
                Side::Peer | Side::Local | Side::Platform => End::Faulted,
            },
        }
    }

    pub(super) fn is_failure(self) -> bool {
        matches!(self, End::Faulted | End::Lost | End::Unsent)
    }
}

/// Sums over the last seconds, of one instance or all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    pub(super) ended: f32,
    pub(super) failed: f32,
    pub(super) answered: f32,
    pub(super) latency_ns: f32,
}

impl Recent {
    pub(super) fn forget(&mut self, passed_ns: u64) {
        let keep = RECENT_NS / (RECENT_NS + passed_ns as f32);
        self.ended *= keep;
        self.failed *= keep;
        self.answered *= keep;
        self.latency_ns *= keep;
    }

    pub(super) fn add(&mut self, counts: &Counts) {
        self.ended += counts.ended as f32;
        self.failed += counts.failed as f32;
        self.answered += counts.answered as f32;
        self.latency_ns += counts.latency_ns as f32;
    }

    pub(super) fn without(&self, part: &Recent) -> Recent {
        Recent {
            ended: (self.ended - part.ended).max(0.0),
            failed: (self.failed - part.failed).max(0.0),
            answered: (self.answered - part.answered).max(0.0),
            latency_ns: (self.latency_ns - part.latency_ns).max(0.0),
        }
    }

    /// The part of the calls that failed; 0 if there were hardly any.
    pub(super) fn failure_ratio(&self) -> f32 {
        if self.ended < 1.0 { 0.0 } else { (self.failed / self.ended).min(1.0) }
    }

    /// `None` if there were too few to compare with.
    pub(super) fn mean_ns(&self) -> Option<f32> {
        (self.answered >= 5.0).then(|| self.latency_ns / self.answered)
    }
}

/// Ended calls, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that say something of the instance.
    pub ended: u32,
    /// Failed.
    pub failed: u32,
    /// Refused.
    pub refused: u32,
    /// Answered; those have a latency.
    pub answered: u32,
    /// Sum of the latencies of those that were answered.
    pub latency_ns: u64,
}

impl Counts {
    /// One ended call.
    pub(super) fn of(end: End, latency_ns: u64) -> Counts {
        let answered = end == End::Answered;
        Counts {
            ended: u32::from(end != End::Abandoned && end != End::Leaving),
            failed: u32::from(end.is_failure()),
            refused: u32::from(end == End::Refused),
            answered: u32::from(answered),
            latency_ns: if answered { latency_ns } else { 0 },
        }
    }

    pub(super) fn add(&mut self, more: &Counts) {
        self.ended = self.ended.saturating_add(more.ended);
        self.failed = self.failed.saturating_add(more.failed);
        self.refused = self.refused.saturating_add(more.refused);
        self.answered = self.answered.saturating_add(more.answered);
        self.latency_ns = self.latency_ns.saturating_add(more.latency_ns);
    }
}

/// What is so for all instances of a service at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Climate {
    pub(super) recent: Recent,
    /// The mean latency, for those of which nothing is known; 0 if nothing is known at all.
    pub(super) reference_ns: f32,
    /// Failures in a row that eject.
    pub(super) run_max: u32,
    /// More than half look bad: nobody is lowered any more.
    pub(super) protective: bool,
    /// Nobody is live.
    pub(super) all_dead: bool,
}

impl Climate {
    pub(super) const NEW: Climate = Climate {
        recent: Recent { ended: 0.0, failed: 0.0, answered: 0.0, latency_ns: 0.0 },
        reference_ns: 0.0,
        run_max: RUN_MIN,
        protective: false,
        all_dead: false,
    };

    /// Looks at the sums.
    pub(super) fn look(&mut self) {
        if let Some(mean_ns) = self.recent.mean_ns() {
            self.reference_ns = mean_ns;
        }
        // The least run that luck brings about once in a thousand calls.
        let ratio = self.recent.failure_ratio();
        let (mut run, mut chance) = (0, 1.0);
        while run < RUN_MIN || (chance > 0.001 && run < RUN_MAX) {
            chance *= ratio;
            run += 1;
        }
        self.run_max = run;
    }
}

/// Failures in a row that eject, where others hardly fail.
pub(super) const RUN_MIN: u32 = 3;
const RUN_MAX: u32 = 10;

/// How fast the sums over all instances forget.
const RECENT_NS: f32 = 2_000_000_000.0;
