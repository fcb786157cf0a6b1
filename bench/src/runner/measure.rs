//! One run: start the server, load it, read the numbers, kill it.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

use super::launch::{Dialogue, Server, Site, start_generator};
use super::results::{Aftermath, Sample};
use super::rows::{Cell, Contestant, Measure, Row, SLOW, Tool};
use super::{faults, hosts, jvm, original, stop};
use crate::generator::report::Report;
use crate::process;

/// How long calls may take to be parked, and then to be answered.
const PARK_MAX: Duration = Duration::from_secs(120);
/// How long an overload lasts before it is measured, at least.
const GOODPUT_WARM: Duration = Duration::from_millis(600);
/// After an overload of so much, in percent, the load falls, to see how long the server minds.
const RELIEF_AFTER_PERCENT: u32 = 300;
/// To this share of what the server can do.
const RELIEF_SHARE: f64 = 0.5;
/// For so long.
const RELIEF: Duration = Duration::from_secs(2);
const PARK_POLL: Duration = Duration::from_millis(20);

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before the measured window.
    pub warm: Duration,
    /// The measured window.
    pub measure: Duration,
}

/// Measures one contestant at one cell. `peak` is the rate that `OpenShare` rows take their share
/// of.
pub fn run(
    site: &Site,
    row: &Row,
    cell: Cell,
    contestant: &Contestant,
    pace: Pace,
    peak: Option<f64>,
) -> Result<Sample, String> {
    let program = contestant.program;
    let pace = program.jdk().map_or(pace, |_| jvm::warmed(pace, program));
    let load =
        |server: &mut Server, flags: &[String]| load(site, server, contestant, cell, pace, flags);
    match row.measure {
        Measure::Closed => {
            let mut server = Server::start(site, contestant, None)?;
            clean(load(&mut server, &[])?).map(|report| Sample::of(&report))
        }
        Measure::Relay => {
            let far_end = Server::start_far_end(site, "uring")?;
            let mut server = Server::start(site, contestant, Some(far_end.address))?;
            clean(load(&mut server, &[])?).map(|report| Sample::of(&report))
        }
        Measure::Short => {
            let mut server = Server::start(site, contestant, None)?;
            let report = load(&mut server, &["--short".to_owned()])?;
            clean(report).map(|report| Sample::of(&report))
        }
        Measure::Idle => {
            let mut server = Server::start(site, contestant, None)?;
            let report = clean(load(&mut server, &["--idle".to_owned()])?)?;
            Ok(idle_sample(&report, cell))
        }
        Measure::Parked => parked(site, contestant, cell),
        Measure::OpenShare(_, share) => {
            let peak = peak.ok_or("no peer has a peak in this run")?;
            let mut server = Server::start(site, contestant, None)?;
            open(load(&mut server, &open_flags(peak * share))?)
        }
        Measure::OpenRate(rate) => {
            let mut server = Server::start(site, contestant, None)?;
            open(load(&mut server, &open_flags(rate))?)
        }
        Measure::Goodput { deadline_ms } => {
            let mut server = Server::start(site, contestant, None)?;
            goodput(site, &mut server, contestant, cell, pace, deadline_ms)
        }
        Measure::Stop(rate) => {
            let server = Server::start(site, contestant, None)?;
            stop::run(site, &server, contestant, cell, pace, rate)
        }
        Measure::Fault(fault, rate) => faults::run(site, contestant, pace, fault, rate),
        Measure::Hosted(business, fault, rate) => {
            faults::run_hosted(site, contestant, pace, (business, fault), rate)
        }
        Measure::Hosts => hosts::run(site, contestant, cell, pace),
        Measure::Original => original::run(site, contestant, cell, pace),
        Measure::Nested => nested(site, contestant, cell, pace),
        Measure::Allocation => allocation(site, contestant, cell, pace),
        Measure::Micro => micro(site, contestant),
    }
}

/// generator → contestant → [`SLOW`].
fn nested(site: &Site, contestant: &Contestant, cell: Cell, pace: Pace) -> Result<Sample, String> {
    let far_end = Server::start_beside(site, &SLOW)?;
    let mut server = Server::start(site, contestant, Some(far_end.address))?;
    let mut dialogue = server.dialogue();
    dialogue.ask("record")?;
    let report = clean(load(site, &mut server, contestant, cell, pace, &[])?)?;
    let pinned = dialogue.ask("pinned")?;
    Ok(Sample { pinned: Some(pinned), ..Sample::of(&report) })
}

/// What the server has allocated meanwhile, by its own word, less protobuf's part of it.
fn allocation(
    site: &Site,
    contestant: &Contestant,
    cell: Cell,
    pace: Pace,
) -> Result<Sample, String> {
    let mut server = Server::start(site, contestant, None)?;
    let mut dialogue = server.dialogue();
    // The compilers of the JVM are to be done with it.
    clean(load(site, &mut server, contestant, cell, pace, &[])?)?;
    let before = dialogue.ask("allocated")?;
    let measured = Pace { warm: Duration::ZERO, ..pace };
    let report = clean(load(site, &mut server, contestant, cell, measured, &[])?)?;
    let allocated = dialogue.ask("allocated")? - before;
    let each = allocated as f64 / report.requests_total as f64;
    let protobuf = dialogue.ask("protobuf")? as f64;
    Ok(Sample { bytes_each: Some(each - protobuf), cpu_ns: None, qps: None, ..Sample::of(&report) })
}

/// A closed loop says what the server can do; then it is given the cell's share of that.
fn goodput(
    site: &Site,
    server: &mut Server,
    contestant: &Contestant,
    cell: Cell,
    pace: Pace,
    deadline_ms: u64,
) -> Result<Sample, String> {
    let unhurried = Cell { depth: 1, ..cell };
    let capacity = clean(load(site, server, contestant, unhurried, pace, &[])?)?.qps();
    // The onset is not what is measured: it takes a few tenths of a second.
    let pace = Pace { warm: pace.warm.max(GOODPUT_WARM), ..pace };
    let mut flags = open_flags(capacity * f64::from(cell.load_percent) / 100.0);
    flags.extend(["--deadline-ms".to_owned(), deadline_ms.to_string()]);
    if cell.load_percent == RELIEF_AFTER_PERCENT {
        let relief = format!("{:.0},{}", capacity * RELIEF_SHARE, RELIEF.as_millis());
        flags.extend(["--relief".to_owned(), relief]);
    }
    let report = load(site, server, contestant, cell, pace, &flags)?;
    let sample = open(report.clone())?;
    let seconds = pace.measure.as_secs_f64();
    Ok(Sample {
        // All of its time, for what it was good for: what refusals cost is in it.
        cpu_ns: (report.good > 0).then(|| report.server_cpu_ns as f64 / report.good as f64),
        qps: Some(report.good as f64 / seconds),
        refused: report.refused,
        aftermath: Aftermath {
            recovery_ms: report.recovery_ns.map(|ns| ns as f64 / 1e6),
            ..Aftermath::default()
        },
        ..sample
    })
}

fn open_flags(rate: f64) -> Vec<String> {
    vec!["--open".to_owned(), format!("{rate:.0}"), "--poisson".to_owned()]
}

/// A report whose every answer was right; anything else is a failed run.
pub fn clean(report: Report) -> Result<Report, String> {
    if report.is_clean() {
        return Ok(report);
    }
    Err(format!("{} wrong, {} stray, {} lost", report.wrong, report.strays, report.lost))
}

/// In an open loop a server may be overloaded, so lost requests are a number and not a failure.
fn open(report: Report) -> Result<Sample, String> {
    if report.wrong + report.strays > 0 {
        return Err(format!("{} wrong, {} stray", report.wrong, report.strays));
    }
    Ok(Sample::of(&report))
}

/// The generator's command line.
pub fn flags(
    site: &Site,
    contestant: &Contestant,
    cell: Cell,
    address: SocketAddr,
    pid: u32,
) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    for (name, value) in [
        ("--to", address.to_string()),
        ("--server-pid", pid.to_string()),
        ("--payload", cell.payload.to_string()),
        ("--connections", cell.connections.to_string()),
        ("--depth", cell.depth.to_string()),
    ] {
        flags.extend([name.to_owned(), value]);
    }
    if contestant.tool == Tool::Grpc {
        flags.push("--grpc".to_owned());
    }
    if contestant.tool == Tool::Http {
        flags.push("--http".to_owned());
    }
    if contestant.tls {
        flags.extend(["--tls".to_owned(), site.certificate.chain.display().to_string()]);
    }
    flags.extend(contestant.generator.iter().map(|&flag| flag.to_owned()));
    flags
}

/// The flags that say how long a run takes.
pub fn pace_flags(pace: Pace) -> [String; 4] {
    [
        "--warm-ms".to_owned(),
        pace.warm.as_millis().to_string(),
        "--measure-ms".to_owned(),
        pace.measure.as_millis().to_string(),
    ]
}

/// Loads a server, and reads what came of it.
pub fn load(
    site: &Site,
    server: &mut Server,
    contestant: &Contestant,
    cell: Cell,
    pace: Pace,
    more: &[String],
) -> Result<Report, String> {
    let mut arguments = flags(site, contestant, cell, server.address, server.pid());
    arguments.extend(pace_flags(pace));
    arguments.extend_from_slice(more);
    let generator = start_generator(site, &arguments)?;
    let report = read_report(generator);
    if !server.is_alive() {
        return Err(format!("the server died: {}", server.last_words()));
    }
    report
}

/// Waits for the generator's end and takes its last line.
pub fn read_report(generator: Child) -> Result<Report, String> {
    let output = generator.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(message.trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    parse_report(text.lines().last().unwrap_or_default())
}

/// The generator's last line.
pub fn parse_report(line: &str) -> Result<Report, String> {
    serde_json::from_str(line).map_err(|error| format!("the generator's report: {error}"))
}

fn idle_sample(report: &Report, cell: Cell) -> Sample {
    let idle = report.idle.unwrap_or_default();
    let grown_kb = idle.idle_kb.saturating_sub(idle.before_kb) as f64;
    Sample {
        // Neither is a rate of this row: the calls were made one after the other.
        cpu_ns: None,
        qps: None,
        bytes_each: Some(grown_kb * 1024.0 / cell.connections as f64),
        ..Sample::of(report)
    }
}

/// generator → contestant → `floor hold`: fills every slot once, reads the contestant's memory when
/// the far end holds all calls, lets them go, and expects every answer.
fn parked(site: &Site, contestant: &Contestant, cell: Cell) -> Result<Sample, String> {
    let mut far_end = Server::start_far_end(site, "hold")?;
    let mut hold = far_end.dialogue();
    let mut server = Server::start(site, contestant, Some(far_end.address))?;
    let before = memory(server.pid())?;
    let calls = (cell.connections * cell.depth) as u64;
    let mut arguments = flags(site, contestant, cell, server.address, server.pid());
    let limit = (PARK_MAX * 2).as_millis().to_string();
    arguments.extend(["--once", "--measure-ms", &limit].map(str::to_owned));
    let mut generator = start_generator(site, &arguments)?;
    let held = wait_until_held(&mut hold, &mut server, calls);
    let parked = memory(server.pid());
    if held.is_err() || parked.is_err() {
        // It is ours and would wait for answers that do not come.
        let _ = generator.kill();
    }
    held?;
    let parked = parked?;
    hold.say("release")?;
    let report = read_report(generator)?;
    if !server.is_alive() {
        return Err(format!("the server died: {}", server.last_words()));
    }
    let report = clean(report)?;
    if report.requests_total != calls {
        return Err(format!("{} of {calls} calls were answered", report.requests_total));
    }
    let grown_kb = parked.anonymous_kb.saturating_sub(before.anonymous_kb) as f64;
    Ok(Sample {
        // The clock ran while the calls were parked.
        cpu_ns: None,
        qps: None,
        bytes_each: Some(grown_kb * 1024.0 / calls as f64),
        resident_kb: parked.resident_kb,
        ..Sample::of(&report)
    })
}

fn wait_until_held(hold: &mut Dialogue, server: &mut Server, calls: u64) -> Result<(), String> {
    let begun = process::now_ns();
    loop {
        hold.say("count")?;
        let line = hold.hear()?;
        let held: u64 =
            line.strip_prefix("held ").and_then(|count| count.parse().ok()).unwrap_or(0);
        if held >= calls {
            return Ok(());
        }
        if !server.is_alive() {
            return Err(format!("the server died: {}", server.last_words()));
        }
        if process::now_ns() - begun > PARK_MAX.as_nanos() as u64 {
            return Err(format!("only {held} of {calls} calls reached the far end"));
        }
        std::thread::sleep(PARK_POLL);
    }
}

fn memory(pid: u32) -> Result<process::Memory, String> {
    process::memory(pid).map_err(|error| format!("the server's memory: {error}"))
}

/// Runs a program that measures itself, on the server's processor.
fn micro(site: &Site, contestant: &Contestant) -> Result<Sample, String> {
    let mut command = Command::new(site.path(contestant.program));
    command.args(contestant.arguments);
    process::pin(&mut command, &[site.server_cpu]);
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    let cpu_ns = value["ns"].as_f64().ok_or("it printed no nanoseconds")?;
    Ok(Sample { cpu_ns: Some(cpu_ns), ..Sample::default() })
}
