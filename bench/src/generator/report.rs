//! What a run of the generator says, as one line of JSON; the runner reads it back by the same
//! type.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Nanoseconds that a histogram tells apart at most: 1,000 s.
const LATENCY_MAX_NS: u64 = 1_000_000_000_000;

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many latencies.
    pub count: u64,
    /// Half of them are at most this.
    pub p50_us: f64,
    /// 90 % of them.
    pub p90_us: f64,
    /// 99 % of them.
    pub p99_us: f64,
    /// 99.9 % of them.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Latency {
    /// Percentiles of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Latency {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1000.0,
        }
    }
}

/// A histogram of nanoseconds with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constants in order")
}

/// Adds a latency; one beyond the range counts as the longest that is told apart.
pub fn record(histogram: &mut Histogram<u64>, latency_ns: u64) {
    histogram.saturating_record(latency_ns);
}

/// What idle connections cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdleCost {
    /// The server's own (anonymous) memory before the first connection.
    pub before_kb: u64,
    /// And while all of them were idle.
    pub idle_kb: u64,
    /// Processor time of the server while it was idle.
    pub idle_cpu_ns: u64,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests answered in the measured window.
    pub requests: u64,
    /// Requests answered in the whole run, warm-up included.
    pub requests_total: u64,
    /// The measured window.
    pub elapsed_ns: u64,
    /// Processor time of the server in it; 0 without `--server-pid`.
    pub server_cpu_ns: u64,
    /// Processor time of the generator in it.
    pub generator_cpu_ns: u64,
    /// Answers with an error or another body.
    pub wrong: u64,
    /// With deadlines: requests due in the window that were answered rightly and in time. Latencies
    /// are theirs alone.
    pub good: u64,
    /// With relief: from the end of the window until the last request was due that was not answered
    /// rightly and in time; 0 where all were.
    pub recovery_ns: Option<u64>,
    /// With deadlines: refusals with a code that says so. Elsewhere they are wrong.
    pub refused: u64,
    /// Answers to nothing that was in flight.
    pub strays: u64,
    /// Requests without an answer.
    pub lost: u64,
    /// Of the measured method.
    pub latency: Latency,
    /// Of the method of `--mix`.
    pub second: Option<Latency>,
    /// Open loop: how late requests were handed to the ring, which is the generator's own share of
    /// the latencies.
    pub dispatch_late: Option<Latency>,
    /// Resident memory of the server at the end of the window, in KiB.
    pub resident_kb: u64,
    /// Its own (anonymous) memory then, in KiB.
    pub anonymous_kb: u64,
    /// Idle mode.
    pub idle: Option<IdleCost>,
}

impl Report {
    /// Requests a second in the measured window.
    pub fn qps(&self) -> f64 {
        self.requests as f64 * 1e9 / self.elapsed_ns.max(1) as f64
    }

    /// The server's processor time a request, in nanoseconds.
    pub fn cpu_ns_per_request(&self) -> f64 {
        self.server_cpu_ns as f64 / self.requests.max(1) as f64
    }

    /// Notes a request that was not answered rightly and in time, in nanoseconds.
    pub fn missed(&mut self, due_ns: u64, window_end_ns: u64) {
        if let Some(recovery_ns) = &mut self.recovery_ns {
            *recovery_ns = (*recovery_ns).max(due_ns.saturating_sub(window_end_ns));
        }
    }

    /// Whether every request was answered once and rightly.
    pub fn is_clean(&self) -> bool {
        self.wrong == 0 && self.strays == 0 && self.lost == 0
    }
}
