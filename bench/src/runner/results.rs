//! Numbers: one sample a run, medians and spread a cell, and the list that goes to `latest.json`.

use serde::Serialize;

use super::rows::{Cell, Contestant, Measure, Row};
use crate::generator::report::{Latency, Report};

/// Above this share of its processor the generator is at its end.
const GENERATOR_FULL: f64 = 0.95;
/// Below this share of its processor the server was not.
const SERVER_FREE: f64 = 0.90;

/// What one run said. A number that the row does not have is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// The server's processor time a request.
    pub cpu_ns: Option<f64>,
    /// Requests a second.
    pub qps: Option<f64>,
    /// Of the measured method.
    pub latency: Latency,
    /// Resident memory of the server in the end.
    pub resident_kb: u64,
    /// Shares of their processors.
    pub server_load: f64,
    /// See `server_load`.
    pub generator_load: f64,
    /// Rows about memory: the server's own bytes for one connection or call.
    pub bytes_each: Option<f64>,
    /// Open loop: requests that were never answered.
    pub lost: u64,
    /// Rows about overload: requests that were refused with a code.
    pub refused: u64,
    /// Virtual threads that have pinned their carriers.
    pub pinned: Option<u64>,
    /// Rows about trouble: what came of it.
    pub aftermath: Aftermath,
}

/// What came of an instance's trouble, or of an overload. What the row does not have is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Aftermath {
    /// The p99 before, with all well, in microseconds.
    pub p99_before_us: Option<f64>,
    /// Calls that failed.
    pub failed: Option<u64>,
    /// Of those, in flight on the instance when it died.
    pub in_flight: Option<u64>,
    /// From the instance's return until it had its part of the calls, in milliseconds.
    pub back_ms: Option<f64>,
    /// The instance's part of the calls before, with all well.
    pub share_before: Option<f64>,
    /// Its part in trouble.
    pub share: Option<f64>,
    /// From the end of an overload until all was well again, in milliseconds.
    pub recovery_ms: Option<f64>,
}

impl Aftermath {
    /// With the p99 before.
    pub fn after(self, p99_us: f64) -> Self {
        Aftermath { p99_before_us: Some(p99_us), ..self }
    }

    /// Over the rounds.
    pub fn median(outcome: &Outcome) -> Self {
        let median = |number: fn(&Aftermath) -> Option<f64>| {
            outcome.median(|sample| number(&sample.aftermath))
        };
        // The worst round counts where none may be bad.
        let most = |number: fn(&Aftermath) -> Option<u64>| {
            outcome.samples.iter().filter_map(|sample| number(&sample.aftermath)).max()
        };
        Aftermath {
            p99_before_us: median(|one| one.p99_before_us),
            failed: most(|one| one.failed),
            in_flight: most(|one| one.in_flight),
            back_ms: median(|one| one.back_ms),
            share_before: median(|one| one.share_before),
            share: median(|one| one.share),
            recovery_ms: median(|one| one.recovery_ms),
        }
    }
}

impl Sample {
    /// Of a run under load.
    pub fn of(report: &Report) -> Self {
        let elapsed = report.elapsed_ns.max(1) as f64;
        Sample {
            cpu_ns: (report.requests > 0).then(|| report.cpu_ns_per_request()),
            qps: Some(report.qps()),
            latency: report.latency,
            resident_kb: report.resident_kb,
            server_load: report.server_cpu_ns as f64 / elapsed,
            generator_load: report.generator_cpu_ns as f64 / elapsed,
            bytes_each: None,
            lost: report.lost,
            refused: report.refused,
            pinned: None,
            aftermath: Aftermath::default(),
        }
    }
}

/// What is known of one contestant at one cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row.
    pub row: &'static Row,
    /// The size of load.
    pub cell: Cell,
    /// The server.
    pub contestant: &'static Contestant,
    /// One for each round that succeeded.
    pub samples: Vec<Sample>,
    /// From a run of its own.
    pub syscalls_per_request: Option<f64>,
    /// Why there are fewer samples than rounds, or none.
    pub troubles: Vec<String>,
}

impl Outcome {
    /// Whether the generator and not the server set the pace in most rounds.
    pub fn is_generator_bound(&self) -> bool {
        let bound = |sample: &&Sample| {
            sample.generator_load > GENERATOR_FULL && sample.server_load < SERVER_FREE
        };
        self.samples.iter().filter(bound).count() * 2 > self.samples.len()
    }

    /// Virtual threads that have pinned their carriers, in all rounds.
    pub fn pinned(&self) -> Option<u64> {
        self.samples.iter().map(|sample| sample.pinned).sum()
    }

    /// The median of a number over the rounds.
    pub fn median(&self, number: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.sorted(number)).map(rounded)
    }

    /// The least and the greatest of a number over the rounds.
    pub fn spread(&self, number: impl Fn(&Sample) -> Option<f64>) -> Option<[f64; 2]> {
        let sorted = self.sorted(number);
        Some([*sorted.first()?, *sorted.last()?])
    }

    fn sorted(&self, number: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let mut numbers: Vec<f64> = self.samples.iter().filter_map(number).collect();
        numbers.sort_by(f64::total_cmp);
        numbers
    }
}

fn median(sorted: Vec<f64>) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// One element of `latest.json`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    row: String,
    server: &'a str,
    payload: usize,
    connections: usize,
    depth: usize,
    /// Beyond the common list: rows about overload.
    load_percent: Option<u32>,
    cpu_ns_per_req: Option<f64>,
    qps: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    syscalls_per_req: Option<f64>,
    rss_kb: Option<f64>,
    /// Beyond the common list: rows about memory.
    bytes_each: Option<f64>,
    rounds: usize,
    /// [least, greatest] over the rounds.
    spread: Spread,
    server_load: Option<f64>,
    generator_load: Option<f64>,
    generator_bound: bool,
    lost: u64,
    refused: u64,
    /// Beyond the common list: rows about virtual threads; of all rounds together.
    pinned: Option<u64>,
    /// Beyond the common list: rows about trouble.
    aftermath: Option<Aftermath>,
}

#[derive(Debug, Serialize)]
struct Spread {
    cpu_ns_per_req: Option<[f64; 2]>,
    qps: Option<[f64; 2]>,
    p50_us: Option<[f64; 2]>,
    p99_us: Option<[f64; 2]>,
    p999_us: Option<[f64; 2]>,
}

/// The list of `latest.json`; contestants without any number are left out.
pub fn to_json(outcomes: &[Outcome]) -> String {
    let entries: Vec<Entry<'_>> =
        outcomes.iter().filter(|outcome| !outcome.samples.is_empty()).map(entry).collect();
    serde_json::to_string_pretty(&entries).expect("the entries are plain numbers")
}

fn entry(outcome: &Outcome) -> Entry<'_> {
    let percentile = |pick: fn(&Latency) -> f64| {
        move |sample: &Sample| (sample.latency.count > 0).then(|| rounded(pick(&sample.latency)))
    };
    let p50 = percentile(|latency| latency.p50_us);
    let p99 = percentile(|latency| latency.p99_us);
    let p999 = percentile(|latency| latency.p999_us);
    let cpu = |sample: &Sample| sample.cpu_ns.map(rounded);
    let qps = |sample: &Sample| sample.qps.map(rounded);
    // The parts of a request are rows of their own there; in the text they share a table.
    let (row, name) = (outcome.row.name, outcome.contestant.name);
    let (row, server) = if outcome.row.measure == Measure::Micro {
        (format!("{row}-{name}"), "msec")
    } else {
        (row.to_owned(), name)
    };
    Entry {
        row,
        server,
        payload: outcome.cell.payload,
        connections: outcome.cell.connections,
        depth: outcome.cell.depth,
        load_percent: (outcome.cell.load_percent > 0).then_some(outcome.cell.load_percent),
        cpu_ns_per_req: outcome.median(cpu),
        qps: outcome.median(qps),
        p50_us: outcome.median(p50),
        p99_us: outcome.median(p99),
        p999_us: outcome.median(p999),
        syscalls_per_req: outcome.syscalls_per_request,
        rss_kb: outcome
            .median(|sample| (sample.resident_kb > 0).then_some(sample.resident_kb as f64)),
        bytes_each: outcome.median(|sample| sample.bytes_each.map(rounded)),
        rounds: outcome.samples.len(),
        spread: Spread {
            cpu_ns_per_req: outcome.spread(cpu),
            qps: outcome.spread(qps),
            p50_us: outcome.spread(p50),
            p99_us: outcome.spread(p99),
            p999_us: outcome.spread(p999),
        },
        server_load: outcome.median(|sample| Some(rounded(sample.server_load))),
        generator_load: outcome.median(|sample| Some(rounded(sample.generator_load))),
        generator_bound: outcome.is_generator_bound(),
        lost: outcome.samples.iter().map(|sample| sample.lost).sum(),
        refused: outcome.samples.iter().map(|sample| sample.refused).sum(),
        pinned: outcome.pinned(),
        aftermath: Some(Aftermath::median(outcome)).filter(|one| *one != Aftermath::default()),
    }
}

/// To three digits after the point: more would be noise in the file's history.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::runner::rows::ROWS;

    /// An outcome of row `row` for `name` at its `cell`th cell, with one sample for each processor
    /// time.
    pub(crate) fn outcome(row: &str, cell: usize, name: &str, cpu_ns: &[f64]) -> Outcome {
        let row = ROWS.iter().find(|candidate| candidate.name == row).unwrap();
        Outcome {
            row,
            cell: row.cells[cell],
            contestant: row.contestants.iter().find(|one| one.name == name).unwrap(),
            samples: cpu_ns
                .iter()
                .map(|&cpu| Sample { cpu_ns: Some(cpu), qps: Some(1e9 / cpu), ..Sample::default() })
                .collect(),
            syscalls_per_request: None,
            troubles: Vec::new(),
        }
    }

    #[test]
    fn the_median_of_rounds_keeps_their_spread() {
        let odd = outcome("echo", 0, "msec", &[3.0, 1.0, 2.0]);
        assert_eq!(odd.median(|sample| sample.cpu_ns), Some(2.0));
        assert_eq!(odd.spread(|sample| sample.cpu_ns), Some([1.0, 3.0]));
        let even = outcome("echo", 0, "msec", &[4.0, 1.0, 2.0, 3.0]);
        assert_eq!(even.median(|sample| sample.cpu_ns), Some(2.5));
        assert_eq!(outcome("echo", 0, "msec", &[]).median(|sample| sample.cpu_ns), None);
    }

    #[test]
    fn the_json_is_a_list_with_the_agreed_names_and_without_servers_that_did_not_run() {
        let outcomes = [outcome("echo", 1, "msec", &[500.0]), outcome("echo", 1, "tokio", &[])];
        let parsed: serde_json::Value = serde_json::from_str(&to_json(&outcomes)).unwrap();
        let list = parsed.as_array().unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0]["server"], "msec");
        assert_eq!(list[0]["depth"], 32);
        assert_eq!(list[0]["cpu_ns_per_req"], 500.0);
        for name in ["row", "payload", "connections", "qps", "p50_us", "p99_us", "p999_us"] {
            assert!(list[0].get(name).is_some(), "{name}");
        }
        for name in ["syscalls_per_req", "rss_kb", "spread"] {
            assert!(list[0].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_full_generator_before_a_free_server_is_marked() {
        let mut bound = outcome("echo", 0, "msec", &[1.0]);
        bound.samples[0].generator_load = 0.99;
        bound.samples[0].server_load = 0.5;
        assert!(bound.is_generator_bound());
        bound.samples[0].server_load = 0.95;
        assert!(!bound.is_generator_bound());
    }
}
