//! Row `original`: the four cases that the original's documents publish numbers of, served by the
//! C++ plugin, and those numbers beside.
//!
//! ```text
//!   echo, 100ms          generator ──► plugin
//!   relay, relay-100ms   generator ──► plugin ──► another one, on the generator's processor
//! ```
//!
//! An echo answers at once, `100ms` after as long; a relay asks another service for it. Each over
//! connections that stay and over one a call. The load is a closed loop, so where an answer takes
//! 100 ms what is in flight bounds the rate: 8,192 at 81,920 a second, which is beyond what is
//! published, and 4,096 connections at 40,960. Beyond what the service can do they queue up, which
//! its latency shows; overload control, which would refuse some, is off.
//!
//! Neither machine, load nor client are the same, and the original's client is not published: the
//! table names what is known of either side and makes no ratio.

use super::launch::{Hosting, Server, Site};
use super::measure::{self, Pace};
use super::results::{Outcome, Sample};
use super::rows::{Cell, Contestant, PLUGIN};
use super::table::align;
use crate::process;

/// The row's name.
pub const NAME: &str = "original";

/// The machine of the published numbers.
const PUBLISHED_ON: &str = "4 × Intel Xeon X3320 2.50 GHz, 8 GB; the client on another machine, \
                            1 Gbit/s Ethernet, ping 0.854 ms; C++, requests below 100 bytes";

/// Whoever is in flight waits for his answer here and asks for nothing meanwhile: a queue is no
/// overload then, and nobody is refused for it.
const SETTINGS: &str = "overload = off";

/// A case, and what is published of it.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// The contestant's name.
    server: &'static str,
    /// It asks another service.
    relays: bool,
    /// Requests in flight here.
    in_flight: u32,
    /// Published: requests a second.
    qps: u32,
    /// Published: processor time, in percent.
    cpu_percent: u32,
    /// Published: how many requests took less than so many milliseconds.
    soon: (f64, u32),
}

const fn case(server: &'static str, in_flight: u32, qps: u32, cpu_percent: u32) -> Case {
    Case { server, relays: false, in_flight, qps, cpu_percent, soon: (0.0, 0) }
}

const CASES: &[Case] = &[
    Case { soon: (99.25, 5), ..case("msec-echo", 256, 85_000, 98) },
    Case { soon: (94.50, 5), ..case("msec-echo-short", 64, 30_000, 70) },
    Case { soon: (94.71, 120), ..case("msec-100ms", 8192, 55_000, 89) },
    Case { soon: (93.12, 120), ..case("msec-100ms-short", 4096, 25_000, 70) },
    Case { soon: (26.67, 5), relays: true, ..case("msec-relay", 256, 45_000, 88) },
    Case { soon: (52.33, 5), relays: true, ..case("msec-relay-short", 64, 30_000, 70) },
    Case { soon: (48.77, 120), relays: true, ..case("msec-relay-100ms", 8192, 45_000, 92) },
    Case { soon: (95.40, 120), relays: true, ..case("msec-relay-100ms-short", 4096, 25_000, 78) },
];

/// Who takes part, each with the load that its case is given.
pub const CONTESTANTS: &[Contestant] = &[
    loaded("msec-echo", &["--connections", "64", "--depth", "4"]),
    loaded("msec-echo-short", &["--short", "--connections", "64", "--depth", "1"]),
    loaded(
        "msec-100ms",
        &["--method", "bench.Original.Echo100ms", "--connections", "64", "--depth", "128"],
    ),
    loaded(
        "msec-100ms-short",
        &[
            "--method",
            "bench.Original.Echo100ms",
            "--short",
            "--connections",
            "4096",
            "--depth",
            "1",
        ],
    ),
    loaded(
        "msec-relay",
        &["--method", "bench.Original.Relay", "--connections", "64", "--depth", "4"],
    ),
    loaded(
        "msec-relay-short",
        &["--method", "bench.Original.Relay", "--short", "--connections", "64", "--depth", "1"],
    ),
    loaded(
        "msec-relay-100ms",
        &["--method", "bench.Original.Relay100ms", "--connections", "64", "--depth", "128"],
    ),
    loaded(
        "msec-relay-100ms-short",
        &[
            "--method",
            "bench.Original.Relay100ms",
            "--short",
            "--connections",
            "4096",
            "--depth",
            "1",
        ],
    ),
];

const fn loaded(name: &'static str, generator: &'static [&'static str]) -> Contestant {
    Contestant { name, generator, quick: false, ..PLUGIN }
}

fn find(contestant: &Contestant) -> Option<&'static Case> {
    CASES.iter().find(|case| case.server == contestant.name)
}

/// Measures a case.
pub fn run(site: &Site, contestant: &Contestant, cell: Cell, pace: Pace) -> Result<Sample, String> {
    let case = find(contestant).ok_or("no case has that name")?;
    let mut far_end = None;
    if case.relays {
        let hosting = Hosting {
            name: "far-end",
            cpus: &[site.generator_cpu],
            settings: SETTINGS,
            ..Hosting::PLUGIN
        };
        far_end = Some(Server::host(site, &hosting)?);
    }
    let next = far_end.as_ref().map(|server| server.address);
    let cpus = site.cpus(contestant.cpus);
    let hosting =
        Hosting { name: contestant.name, cpus: &cpus, next, settings: SETTINGS, ..Hosting::PLUGIN };
    let mut server = Server::host(site, &hosting)?;
    let far_end = far_end.as_ref().map(Server::pid);
    let used = || far_end.map_or(Ok(0), process::cpu_ns).map_err(|error| error.to_string());
    let (begun_ns, before_ns) = (process::now_ns(), used()?);
    let report = measure::load(site, &mut server, contestant, cell, pace, &[])?;
    let far_load = (used()? - before_ns) as f64 / (process::now_ns() - begun_ns) as f64;
    let sample = Sample::of(&measure::clean(report)?);
    // It shares the generator's processor, whose end would be the row's end.
    Ok(Sample { generator_load: sample.generator_load + far_load, ..sample })
}

/// The table of ours beside theirs; empty if the row was not run. `machine` is ours.
pub fn to_text(outcomes: &[Outcome], machine: &str) -> String {
    let ours = outcomes.iter().filter(|one| one.row.name == NAME && !one.samples.is_empty());
    let lines: Vec<_> = ours.filter_map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let columns = [
        ("case", false),
        ("in flight", true),
        ("req/s", true),
        ("cpu %", true),
        ("p50 ms", true),
        ("p99 ms", true),
        ("p99.9 ms", true),
        ("published req/s", true),
        ("cpu %", true),
        ("latency", true),
        ("", false),
    ];
    let heading = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let cells: Vec<_> = [heading].into_iter().chain(lines).collect();
    format!(
        "\n{NAME}: beside what the original's documents publish\n\n{}\n  here: {machine}; one core \
         for the service, the client (and who is asked by a relay) on another, by loopback\n  \
         published: {PUBLISHED_ON}\n",
        align(&columns, &cells)
    )
}

fn line(outcome: &Outcome) -> Option<Vec<String>> {
    let case = find(outcome.contestant)?;
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let percentile =
        |pick: fn(&Sample) -> f64| number(outcome.median(|sample| Some(pick(sample) / 1000.0)), 2);
    let (percent, limit_ms) = case.soon;
    Some(vec![
        case.server.strip_prefix("msec-").unwrap_or(case.server).to_owned(),
        case.in_flight.to_string(),
        number(outcome.median(|sample| sample.qps), 0),
        number(outcome.median(|sample| Some(sample.server_load * 100.0)), 0),
        percentile(|sample| sample.latency.p50_us),
        percentile(|sample| sample.latency.p99_us),
        percentile(|sample| sample.latency.p999_us),
        case.qps.to_string(),
        case.cpu_percent.to_string(),
        format!("{percent:.2} % < {limit_ms} ms"),
        if outcome.is_generator_bound() { "generator-bound" } else { "" }.to_owned(),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::outcome;
    use super::super::rows::ROWS;
    use super::*;
    use crate::generator::options::{Mode, Options};

    #[test]
    fn every_case_is_a_contestant_and_is_loaded_as_it_says() {
        let row = ROWS.iter().find(|row| row.name == NAME).unwrap();
        let names: Vec<_> = row.contestants.iter().map(|one| one.name).collect();
        assert_eq!(names, CASES.iter().map(|case| case.server).collect::<Vec<_>>());
        for (contestant, case) in row.contestants.iter().zip(CASES) {
            let words = ["--to", "127.0.0.1:1"].iter().chain(contestant.generator);
            let options = Options::parse(lexopt::Parser::from_args(words)).unwrap();
            let in_flight = options.connections * options.depth;
            assert_eq!(in_flight, case.in_flight as usize, "{}", case.server);
            let is_short = case.server.ends_with("-short");
            assert_eq!(matches!(options.mode, Mode::Short), is_short, "{}", case.server);
            assert_eq!(options.method.contains("Relay"), case.relays, "{}", case.server);
            assert_eq!(options.method.ends_with("100ms"), case.server.contains("100ms"));
            if case.server.contains("100ms") {
                assert!(case.in_flight > case.qps / 10, "it could not reach what is published");
            }
        }
    }

    #[test]
    fn the_table_has_ours_beside_theirs_and_both_machines() {
        let mut echo = outcome(NAME, 0, "msec-echo", &[5000.0]);
        echo.samples[0].generator_load = 0.99;
        let text = to_text(&[echo, outcome(NAME, 0, "msec-relay", &[])], "a machine");
        let line = text.lines().find(|line| line.contains(" echo ")).unwrap();
        for part in ["200000", "85000", "99.25 % < 5 ms", "256", "generator-bound"] {
            assert!(line.contains(part), "{part}: {text}");
        }
        assert!(text.contains("here: a machine;") && text.contains("X3320"), "{text}");
        assert!(!text.contains("relay  "), "it did not run: {text}");
        assert_eq!(to_text(&[outcome("echo", 0, "msec", &[1.0])], "a machine"), "");
    }
}
