//! Row `hosts`: several `msec host`s that share two processors, each as if it were alone there.
//!
//! ```text
//!   one    4 generators ──► host, 2 cores
//!   four   4 generators ──► 4 hosts, 2 cores each: a generator each
//! ```
//!
//! All of them may run on both processors, the generators as well: what counts is how many requests
//! all are answered together in the same window, and the generators are the same in both cases. Who
//! shares processors pays for switching between processes, and for cores that poll or wait longer
//! than they need; that is what the row shows.
//!
//! Latencies are those of the generator that fared worst. Loads are of both processors together.

use std::net::SocketAddr;
use std::process::Child;

use super::launch::{Dialogue, Hosting, Server, Site, start_generator_on};
use super::measure::{self, Pace};
use super::results::Sample;
use super::rows::{Cell, Contestant};
use crate::generator::report::Report;

/// However many hosts there are.
const GENERATORS: usize = 4;

/// Measures as many hosts as the contestant's only argument says.
pub fn run(site: &Site, contestant: &Contestant, cell: Cell, pace: Pace) -> Result<Sample, String> {
    let count = match contestant.arguments {
        [count] => count.parse::<usize>().map_err(|error| error.to_string())?,
        _ => return Err("how many hosts is its only argument".to_owned()),
    };
    let cpus = site.cpus(contestant.cpus);
    let mut hosts = Vec::new();
    for index in 0..count {
        let name = format!("{}-{index}", contestant.name);
        hosts.push(Server::host(site, &Hosting { name: &name, cpus: &cpus, ..Hosting::PLUGIN })?);
    }
    let cell = Cell { connections: cell.connections / GENERATORS, ..cell };
    let mut generators = Vec::new();
    for index in 0..GENERATORS {
        let host = &hosts[index % count];
        let flags = flags(site, contestant, cell, (host.address, host.pid()), pace);
        generators.push(start_generator_on(site, &flags, &cpus)?);
    }
    let reports = at_once(&mut generators);
    for mut generator in generators {
        if reports.is_err() {
            // It is ours and may still wait at its gate.
            let _ = generator.kill();
        }
        let _ = generator.wait();
    }
    for host in &mut hosts {
        if !host.is_alive() {
            return Err(format!("a host died: {}", host.last_words()));
        }
    }
    let reports = reports?.into_iter().map(measure::clean).collect::<Result<Vec<_>, _>>()?;
    Ok(sum(&reports, count, cpus.len()))
}

fn flags(
    site: &Site,
    contestant: &Contestant,
    cell: Cell,
    (address, pid): (SocketAddr, u32),
    pace: Pace,
) -> Vec<String> {
    let mut flags = measure::flags(site, contestant, cell, address, pid);
    flags.extend(measure::pace_flags(pace));
    flags.push("--gate".to_owned());
    flags
}

/// Lets them go when the connections of all stand.
fn at_once(generators: &mut [Child]) -> Result<Vec<Report>, String> {
    let mut gates: Vec<_> = generators.iter_mut().map(Dialogue::with).collect();
    gates.iter_mut().try_for_each(|gate| gate.hear().map(drop))?;
    gates.iter_mut().try_for_each(|gate| gate.say("go"))?;
    gates.iter_mut().map(|gate| measure::parse_report(&gate.hear()?)).collect()
}

/// What all were answered together.
fn sum(reports: &[Report], hosts: usize, cpus: usize) -> Sample {
    let total = |number: fn(&Report) -> u64| reports.iter().map(number).sum::<u64>() as f64;
    let elapsed = reports.iter().map(|report| report.elapsed_ns).max().unwrap_or(1).max(1) as f64;
    // Each has read the clock of its own host: where there is one, all have read the same.
    let server_ns = total(|report| report.server_cpu_ns) * hosts as f64 / reports.len() as f64;
    let worst = reports.iter().max_by(|a, b| a.latency.p99_us.total_cmp(&b.latency.p99_us));
    let resident_kb = total(|report| report.resident_kb) * hosts as f64 / reports.len() as f64;
    Sample {
        cpu_ns: Some(server_ns / total(|report| report.requests).max(1.0)),
        qps: Some(reports.iter().map(Report::qps).sum()),
        latency: worst.map(|report| report.latency).unwrap_or_default(),
        resident_kb: resident_kb as u64,
        server_load: server_ns / elapsed / cpus as f64,
        generator_load: total(|report| report.generator_cpu_ns) / elapsed / cpus as f64,
        ..Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_counted_once_and_requests_are_counted_together() {
        let report = Report {
            requests: 1000,
            elapsed_ns: 1_000_000_000,
            server_cpu_ns: 400_000_000,
            generator_cpu_ns: 200_000_000,
            resident_kb: 8,
            ..Report::default()
        };
        let reports = [(); GENERATORS].map(|()| report.clone());
        let (one, four) = (sum(&reports, 1, 2), sum(&reports, 4, 2));
        assert_eq!((one.qps, four.qps), (Some(4000.0), Some(4000.0)));
        assert_eq!((one.cpu_ns, four.cpu_ns), (Some(100_000.0), Some(400_000.0)));
        assert_eq!((one.server_load, four.server_load), (0.2, 0.8));
        assert_eq!((one.resident_kb, four.resident_kb), (8, 32));
        assert_eq!(one.generator_load, 0.4);
    }
}
