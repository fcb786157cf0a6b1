//! The check of the load tools: a server that stands still for a second must show as a second.
//!
//! In a run of four seconds at a fixed rate the server is stopped for one. A quarter of all
//! requests fall due in that second, so the longest percentiles are about a second and the median
//! is as if nothing had happened. A tool that waits for answers before it sends would have sent a
//! handful of requests in that second and shown nothing.
//!
//! The bench's generator is checked, and `msec press`, which people will rely on.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::launch::{Server, Site, start_generator};
use super::measure::{Pace, clean, flags, pace_flags, read_report};
use super::results::Sample;
use super::rows::{Cell, Contestant, Tool};
use crate::generator::report::{Latency, Report};
use crate::process;

/// How long the server stands still.
const STOP: Duration = Duration::from_secs(1);
/// Of a window of so many times that.
const WINDOW: u32 = 4;

/// Runs the check at `rate` requests a second.
pub fn run(
    site: &Site,
    server: &Server,
    contestant: &Contestant,
    cell: Cell,
    pace: Pace,
    rate: f64,
) -> Result<Sample, String> {
    let pace = Pace { measure: STOP * WINDOW, ..pace };
    let rate = format!("{rate:.0}");
    let tool = if contestant.tool == Tool::Press {
        start_press(site, server, cell, pace, &rate)?
    } else {
        let mut arguments = flags(site, contestant, cell, server.address, server.pid());
        arguments.extend(pace_flags(pace));
        arguments.extend(["--open".to_owned(), rate]);
        start_generator(site, &arguments)?
    };
    // The pause is the experiment, so its times are slept through.
    std::thread::sleep(pace.warm + pace.measure / WINDOW);
    let stop = process::signal(server.pid(), libc::SIGSTOP);
    std::thread::sleep(STOP);
    let resume = process::signal(server.pid(), libc::SIGCONT);
    stop.and(resume).map_err(|error| format!("the server cannot be stopped: {error}"))?;
    if contestant.tool == Tool::Press {
        return read_press(tool);
    }
    clean(read_report(tool)?).map(|report| Sample::of(&report))
}

fn start_press(
    site: &Site,
    server: &Server,
    cell: Cell,
    pace: Pace,
    rate: &str,
) -> Result<Child, String> {
    let mut command = Command::new(&site.msec);
    command.args(["press", &server.address.to_string(), "--rate", rate, "--json", "-"]);
    for (flag, value) in [
        ("--connections", cell.connections.to_string()),
        ("--depth", cell.depth.to_string()),
        ("--payload", cell.payload.to_string()),
        ("--warmup", format!("{}ms", pace.warm.as_millis())),
        ("--duration", format!("{}ms", pace.measure.as_millis())),
    ] {
        command.args([flag, &value]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::pin(&mut command, &[site.generator_cpu]);
    command.spawn().map_err(|error| format!("msec press does not start: {error}"))
}

/// What `msec press --json -` says, as far as it matters here.
#[derive(Deserialize)]
struct Press {
    answered: u64,
    failed: u64,
    unsent: u64,
    duration_s: f64,
    latency_us: Option<PressLatency>,
}

#[derive(Deserialize)]
struct PressLatency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

fn read_press(tool: Child) -> Result<Sample, String> {
    let output = tool.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    press_sample(&String::from_utf8_lossy(&output.stdout))
}

fn press_sample(text: &str) -> Result<Sample, String> {
    let press: Press =
        serde_json::from_str(text).map_err(|error| format!("the report of press: {error}"))?;
    let latency = press.latency_us.ok_or("press had no answer")?;
    let report = Report {
        requests: press.answered,
        elapsed_ns: (press.duration_s * 1e9) as u64,
        lost: press.failed + press.unsent,
        latency: Latency {
            count: press.answered,
            p50_us: latency.p50,
            p90_us: latency.p90,
            p99_us: latency.p99,
            p999_us: latency.p999,
            max_us: latency.max,
        },
        ..Report::default()
    };
    // Press does not read the server's clock.
    clean(report).map(|report| Sample { cpu_ns: None, ..Sample::of(&report) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"answered": 20000, "failed": 0, "unsent": 0, "duration_s": 4.0,
        "latency_us": {"p50": 80.0, "p90": 600000.0, "p99": 960000.0, "p999": 996000.0,
        "max": 1000000.0, "mean": 1.0}, "other": [1]}"#;

    #[test]
    fn the_report_of_press_becomes_a_sample_without_processor_time() {
        let sample = press_sample(REPORT).unwrap();
        assert_eq!((sample.latency.p999_us, sample.qps), (996_000.0, Some(5000.0)));
        assert!(sample.cpu_ns.is_none());
    }

    #[test]
    fn calls_that_press_failed_or_never_sent_fail_the_run() {
        for field in ["\"failed\": 0", "\"unsent\": 0"] {
            let text = REPORT.replace(field, &field.replace('0', "3"));
            assert!(press_sample(&text).is_err(), "{field}");
        }
    }
}
