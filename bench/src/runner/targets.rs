//! What the table must show, as data, and whether it does.
//!
//! Every target is a number of one contestant against a bound: absolute, or relative to another
//! number of the same run. A target whose numbers are missing is reported as such; it is neither
//! met nor missed.

mod java;

use super::results::{Outcome, Sample};
use super::rows::RPC_PEERS;

/// Which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The server's processor time a request, in nanoseconds.
    Cpu,
    /// What a part of a request takes, in nanoseconds.
    Part,
    /// Requests a second.
    Qps,
    /// In microseconds.
    P99,
    /// In microseconds.
    P999,
    /// System calls a request.
    Syscalls,
    /// The server's own memory for one connection or call.
    BytesEach,
    /// Requests without an answer.
    Lost,
    /// Calls that failed and were not in flight on the instance that died; of all rounds the most.
    FailedBeyond,
    /// The p99 beside that before the trouble.
    P99Growth,
    /// Until an instance has its part again, in milliseconds.
    Back,
    /// An instance's part of the calls.
    Share,
    /// Until all is well after an overload, in milliseconds.
    Recovery,
    /// Virtual threads that pinned their carriers, in all rounds.
    Pinned,
}

/// Which number of the run: a contestant at a cell of a row.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The row's name.
    pub row: &'static str,
    /// payload, connections, depth; none: the row's first cell.
    pub cell: Option<(usize, usize, usize)>,
    /// Rows about overload: the cell's load; else 0.
    pub load_percent: u32,
    /// The contestant's name.
    pub server: &'static str,
}

/// What the number must be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// In this range.
    Within(f64, f64),
    /// At most so many times another number.
    TimesAtMost(f64, At),
    /// At least so many times another number.
    TimesAtLeast(f64, At),
    /// At most so much above another number.
    AboveAtMost(f64, At),
    /// At most the best of the RPC peers in the same row and cell.
    BestPeer,
}

/// One line of the table of targets.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Whose number.
    pub at: At,
    /// Which number.
    pub metric: Metric,
    /// What it must be.
    pub bound: Bound,
}

const PING: Option<(usize, usize, usize)> = Some((64, 64, 1));
const PIPE: Option<(usize, usize, usize)> = Some((64, 16, 32));
const LARGE: Option<(usize, usize, usize)> = Some((65_536, 16, 1));

const fn at(row: &'static str, cell: Option<(usize, usize, usize)>, server: &'static str) -> At {
    At { row, cell, load_percent: 0, server }
}

const fn overload(load_percent: u32, server: &'static str) -> At {
    At { load_percent, ..at("goodput", None, server) }
}

const fn echo_cpu(
    cell: Option<(usize, usize, usize)>,
    times: f64,
    yardstick: &'static str,
) -> Target {
    Target {
        at: at("echo", cell, "msec"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(times, at("echo", cell, yardstick)),
    }
}

const fn whole(cell: Option<(usize, usize, usize)>, times: f64) -> Target {
    Target {
        at: at("whole", cell, "msec-whole"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(times, at("whole", cell, "msec")),
    }
}

const fn http_cpu(cell: Option<(usize, usize, usize)>) -> Target {
    Target {
        at: at("http", cell, "msec"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(1.3, at("http", cell, "axum")),
    }
}

const fn plugin_and_grpc(cell: Option<(usize, usize, usize)>, times: f64) -> Target {
    Target {
        at: at("plugin", cell, "msec-plugin"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(times, at("plugin", cell, "grpc-cpp")),
    }
}

const fn four_hosts(cell: Option<(usize, usize, usize)>) -> Target {
    Target {
        at: at("hosts", cell, "msec-four-hosts"),
        metric: Metric::Qps,
        bound: Bound::TimesAtLeast(0.9, at("hosts", cell, "msec-one-host")),
    }
}

const fn from_threads(server: &'static str, other: &'static str) -> Target {
    Target {
        at: at("threads", None, server),
        metric: Metric::Part,
        bound: Bound::TimesAtMost(1.3, at("threads", None, other)),
    }
}

const fn trouble(row: &'static str, metric: Metric, most: f64) -> Target {
    Target { at: at(row, None, "msec"), metric, bound: Bound::AtMost(most) }
}

const fn part(server: &'static str, ns_max: f64) -> Target {
    Target { at: at("micro", None, server), metric: Metric::Part, bound: Bound::AtMost(ns_max) }
}

/// One second of standing still, at the percentile that only it can reach.
const fn stop(server: &'static str) -> Target {
    let bound = Bound::Within(900_000.0, 1_100_000.0);
    Target { at: at("stop", None, server), metric: Metric::P999, bound }
}

/// The targets.
pub const TARGETS: &[Target] = &[
    echo_cpu(PING, 1.15, "floor-uring"),
    echo_cpu(PIPE, 2.5, "floor-uring"),
    echo_cpu(LARGE, 1.3, "floor-uring"),
    echo_cpu(PING, 0.27, "grpc-cpp"),
    echo_cpu(PIPE, 0.04, "grpc-cpp"),
    echo_cpu(PING, 0.5, "tonic"),
    echo_cpu(PIPE, 0.1, "tonic"),
    http_cpu(PING),
    http_cpu(PIPE),
    Target {
        at: at("echo", PING, "msec-epoll"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(1.25, at("echo", PING, "msec")),
    },
    Target {
        at: at("tls", PING, "msec"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(1.0, at("tls", PING, "tonic")),
    },
    whole(PING, 1.1),
    whole(PIPE, 1.3),
    Target {
        at: at("relay", PING, "msec"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(2.4, at("echo", PING, "msec")),
    },
    Target {
        at: at("short", None, "msec"),
        metric: Metric::Qps,
        bound: Bound::TimesAtLeast(0.8, at("short", None, "floor-uring")),
    },
    Target {
        at: at("callback", PIPE, "msec"),
        metric: Metric::Cpu,
        bound: Bound::AboveAtMost(60.0, at("callback", PIPE, "msec-callback")),
    },
    Target {
        at: at("handover", None, "msec"),
        metric: Metric::Qps,
        bound: Bound::TimesAtLeast(1.7, at("handover", None, "msec-one-core")),
    },
    Target {
        at: at("longtail", None, "msec"),
        metric: Metric::P99,
        bound: Bound::TimesAtMost(3.0, at("longtail", None, "msec-calm")),
    },
    Target {
        at: at("idle", None, "msec"),
        metric: Metric::BytesEach,
        bound: Bound::AtMost(1024.0),
    },
    Target {
        at: at("parked", None, "msec"),
        metric: Metric::BytesEach,
        bound: Bound::AtMost(9.0 * 1024.0),
    },
    Target { at: at("parked", None, "msec"), metric: Metric::Lost, bound: Bound::AtMost(0.0) },
    Target { at: at("echo", PIPE, "msec"), metric: Metric::Syscalls, bound: Bound::AtMost(0.05) },
    Target { at: at("open50", None, "msec"), metric: Metric::P99, bound: Bound::BestPeer },
    Target { at: at("open80", None, "msec"), metric: Metric::P99, bound: Bound::BestPeer },
    Target {
        at: overload(300, "msec"),
        metric: Metric::Qps,
        bound: Bound::TimesAtLeast(0.9, overload(100, "msec")),
    },
    Target { at: overload(300, "msec"), metric: Metric::Recovery, bound: Bound::AtMost(1000.0) },
    // Who is not served is told so, by a code.
    Target { at: overload(300, "msec"), metric: Metric::Lost, bound: Bound::AtMost(0.0) },
    stop("floor-uring"),
    stop("msec"),
    trouble("killed", Metric::FailedBeyond, 5.0),
    trouble("killed", Metric::P99Growth, 2.0),
    // An instance that was ejected is given its part back slowly.
    trouble("killed", Metric::Back, 10_000.0),
    trouble("slowed", Metric::Share, 0.05),
    Target {
        at: at("plugin", PING, "msec-plugin"),
        metric: Metric::Cpu,
        bound: Bound::TimesAtMost(1.25, at("plugin", PING, "msec")),
    },
    plugin_and_grpc(PING, 0.33),
    plugin_and_grpc(PIPE, 0.06),
    four_hosts(PING),
    four_hosts(PIPE),
    trouble("reloaded", Metric::Lost, 0.0),
    trouble("crashed", Metric::FailedBeyond, 0.0),
    trouble("crashed", Metric::Back, 100.0),
    from_threads("cpp-1", "rust-1"),
    from_threads("cpp-64", "rust-64"),
    part("pick", 50.0),
    part("histogram", 20.0),
    part("report-call", 20.0),
    part("attribute-add", 20.0),
    part("log-filtered", 5.0),
];

/// How a target came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it is about: row, cell, contestant, number.
    pub subject: String,
    /// What it must be.
    pub demand: String,
    /// What it is.
    pub found: String,
    /// None where a number is missing.
    pub met: Option<bool>,
}

/// Judges all targets of the rows that were run.
pub fn judge(outcomes: &[Outcome]) -> Vec<Verdict> {
    let ran = |target: &&Target| outcomes.iter().any(|one| one.row.name == target.at.row);
    TARGETS
        .iter()
        .chain(java::TARGETS)
        .filter(ran)
        .map(|target| judge_one(target, outcomes))
        .collect()
}

fn judge_one(target: &Target, outcomes: &[Outcome]) -> Verdict {
    let value = number(&target.at, target.metric, outcomes);
    let text = |value: f64| show(target.metric, value);
    let other = |at: &At| number(at, target.metric, outcomes);
    let (demand, other, found, met) = match &target.bound {
        Bound::AtMost(bound) => {
            (format!("≤ {}", text(*bound)), Some(0.0), value.map(text), value.map(|v| v <= *bound))
        }
        Bound::Within(low, high) => (
            format!("{} to {}", text(*low), text(*high)),
            Some(0.0),
            value.map(text),
            value.map(|v| (*low..=*high).contains(&v)),
        ),
        Bound::TimesAtMost(times, at) => {
            let ratio = ratio(value, other(at));
            let demand = format!("≤ {times}× {}", name_other(&target.at, at));
            (demand, other(at), ratio.map(show_ratio), ratio.map(|ratio| ratio <= *times))
        }
        Bound::TimesAtLeast(times, at) => {
            let ratio = ratio(value, other(at));
            let demand = format!("≥ {times}× {}", name_other(&target.at, at));
            (demand, other(at), ratio.map(show_ratio), ratio.map(|ratio| ratio >= *times))
        }
        Bound::AboveAtMost(above, at) => {
            let difference = value.zip(other(at)).map(|(value, other)| value - other);
            let demand = format!("≤ +{} above {}", text(*above), name_other(&target.at, at));
            let found = difference.map(|difference| format!("{difference:+.0} ns"));
            (demand, other(at), found, difference.map(|difference| difference <= *above))
        }
        Bound::BestPeer => {
            let best = best_peer(&target.at, target.metric, outcomes);
            let demand = best.map_or_else(
                || "≤ the best RPC peer's".to_owned(),
                |(name, best)| format!("≤ {name}'s {}", text(best)),
            );
            let met = value.zip(best).map(|(value, (_, best))| value <= best);
            (demand, best.map(|(_, best)| best), value.map(text), met)
        }
    };
    let missing = match (value, other) {
        (None, _) => format!("no number of {}", target.at.server),
        (Some(_), None) => "nothing to compare with".to_owned(),
        (Some(_), Some(_)) => String::new(),
    };
    Verdict { subject: subject(target), demand, found: found.unwrap_or(missing), met }
}

fn ratio(value: Option<f64>, other: Option<f64>) -> Option<f64> {
    value.zip(other).map(|(value, other)| value / other)
}

fn best_peer(at: &At, metric: Metric, outcomes: &[Outcome]) -> Option<(&'static str, f64)> {
    let peers = RPC_PEERS.servers.iter().filter_map(|&server| {
        let peer = At { server, ..*at };
        number(&peer, metric, outcomes).map(|value| (server, value))
    });
    peers.min_by(|one, other| one.1.total_cmp(&other.1))
}

fn find<'a>(at: &At, outcomes: &'a [Outcome]) -> Option<&'a Outcome> {
    outcomes.iter().find(|one| {
        let cell = (one.cell.payload, one.cell.connections, one.cell.depth);
        one.row.name == at.row
            && one.contestant.name == at.server
            && at.cell.is_none_or(|wanted| wanted == cell)
            && at.load_percent == one.cell.load_percent
            && !one.samples.is_empty()
    })
}

fn number(at: &At, metric: Metric, outcomes: &[Outcome]) -> Option<f64> {
    let outcome = find(at, outcomes)?;
    match metric {
        Metric::Cpu | Metric::Part => outcome.median(|sample| sample.cpu_ns),
        Metric::Qps => outcome.median(|sample| sample.qps),
        Metric::P99 => outcome.median(|sample| Some(sample.latency.p99_us)),
        Metric::P999 => outcome.median(|sample| Some(sample.latency.p999_us)),
        Metric::Syscalls => outcome.syscalls_per_request,
        Metric::BytesEach => outcome.median(|sample| sample.bytes_each),
        Metric::Lost => Some(outcome.samples.iter().map(|sample| sample.lost).sum::<u64>() as f64),
        Metric::FailedBeyond => {
            let beyond = |sample: &Sample| {
                let found = &sample.aftermath;
                found.failed.zip(found.in_flight).map(|(failed, flying)| (failed - flying) as f64)
            };
            outcome.spread(beyond).map(|[_, most]| most)
        }
        Metric::P99Growth => outcome.median(|sample| {
            sample.aftermath.p99_before_us.map(|before| sample.latency.p99_us / before)
        }),
        Metric::Back => outcome.median(|sample| sample.aftermath.back_ms),
        Metric::Share => outcome.median(|sample| sample.aftermath.share),
        Metric::Recovery => outcome.median(|sample| sample.aftermath.recovery_ms),
        Metric::Pinned => outcome.pinned().map(|count| count as f64),
    }
}

fn subject(target: &Target) -> String {
    let mut cell = target.at.cell.map_or_else(String::new, |(payload, connections, depth)| {
        format!(" {} c={connections} d={depth}", show_bytes(payload))
    });
    cell.push_str(&load_text(&target.at));
    let metric = match target.metric {
        Metric::Cpu => "CPU a request",
        Metric::Part => "each",
        Metric::Qps => "requests a second",
        Metric::P99 => "p99",
        Metric::P999 => "p99.9",
        Metric::Syscalls => "system calls a request",
        Metric::BytesEach => "memory each",
        Metric::Lost => "lost calls",
        Metric::FailedBeyond => "failed beyond those in flight",
        Metric::P99Growth => "p99 beside that before",
        Metric::Back => "has its part again after",
        Metric::Share => "share of the slow one",
        Metric::Recovery => "well again after",
        Metric::Pinned => "pinned carriers",
    };
    format!("{}{cell}: {} {metric}", target.at.row, target.at.server)
}

fn name_other(own: &At, other: &At) -> String {
    let load = load_text(other);
    if own.row == other.row {
        format!("{}{load}", other.server)
    } else {
        format!("{} {}{load}", other.row, other.server)
    }
}

fn load_text(at: &At) -> String {
    match at.load_percent {
        0 => String::new(),
        percent => format!(" at {:.1}×", f64::from(percent) / 100.0),
    }
}

fn show(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Cpu => format!("{value:.0} ns"),
        Metric::Part => format!("{value:.1} ns"),
        Metric::Qps => format!("{value:.0}/s"),
        Metric::P99 | Metric::P999 => format!("{value:.0} µs"),
        Metric::Syscalls => format!("{value:.3}"),
        Metric::BytesEach => format!("{value:.0} B"),
        Metric::Lost | Metric::FailedBeyond | Metric::Pinned => format!("{value:.0}"),
        Metric::P99Growth => format!("{value:.2}×"),
        Metric::Back | Metric::Recovery => format!("{value:.0} ms"),
        Metric::Share => format!("{:.1} %", value * 100.0),
    }
}

fn show_ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.3}×") } else { format!("{ratio:.2}×") }
}

/// `64 B`, `64 KiB`.
pub fn show_bytes(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::outcome;
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn every_target_names_a_row_a_cell_and_a_contestant_that_exist() {
        let check = |at: &At| {
            let row = ROWS.iter().find(|row| row.name == at.row).expect(at.row);
            assert!(row.contestants.iter().any(|one| one.name == at.server), "{at:?}");
            let known = |cell| {
                row.cells.iter().any(|one| (one.payload, one.connections, one.depth) == cell)
            };
            assert!(at.cell.is_none_or(known), "{at:?}");
            assert!(row.cells.iter().any(|one| one.load_percent == at.load_percent), "{at:?}");
        };
        for target in TARGETS.iter().chain(java::TARGETS) {
            check(&target.at);
            match &target.bound {
                Bound::TimesAtMost(_, at) | Bound::TimesAtLeast(_, at) => check(at),
                Bound::AboveAtMost(_, at) => check(at),
                Bound::AtMost(_) | Bound::Within(..) | Bound::BestPeer => {}
            }
        }
    }

    #[test]
    fn a_ratio_is_met_at_its_bound_and_missed_beyond_it() {
        for (cpu_ns, met) in [(1150.0, true), (1151.0, false)] {
            let outcomes = [
                outcome("echo", 0, "msec", &[cpu_ns]),
                outcome("echo", 0, "floor-uring", &[1000.0]),
            ];
            assert_eq!(judge(&outcomes)[0].met, Some(met), "{cpu_ns}");
        }
    }

    #[test]
    fn a_part_is_judged_by_its_nanoseconds() {
        for (ns, met) in [(50.0, true), (50.1, false)] {
            let outcomes = [outcome("micro", 0, "pick", &[ns])];
            let verdict = judge(&outcomes).into_iter().find(|one| one.subject.contains("pick"));
            let verdict = verdict.unwrap();
            assert_eq!((verdict.met, verdict.demand.as_str()), (Some(met), "≤ 50.0 ns"), "{ns}");
        }
    }

    #[test]
    fn a_target_without_its_numbers_is_neither_met_nor_missed() {
        let verdict = &judge(&[outcome("echo", 0, "floor-uring", &[1000.0])])[0];
        assert_eq!(verdict.met, None);
        assert_eq!(verdict.found, "no number of msec");
    }

    #[test]
    fn the_best_peer_is_the_one_with_the_least_number() {
        let mut outcomes = vec![
            outcome("open50", 0, "msec", &[1.0]),
            outcome("open50", 0, "tonic", &[1.0]),
            outcome("open50", 0, "grpc-cpp", &[1.0]),
        ];
        for (one, p99_us) in outcomes.iter_mut().zip([300.0, 200.0, 400.0]) {
            one.samples[0].latency.p99_us = p99_us;
        }
        let verdict = &judge(&outcomes)[0];
        assert_eq!((verdict.demand.as_str(), verdict.met), ("≤ tonic's 200 µs", Some(false)));
    }
}
