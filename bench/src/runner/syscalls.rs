//! System calls a request, counted by `perf` in a run of their own: counting costs time, so it
//! never touches the others.
//!
//! The generator waits at its gate until perf is attached, so the count holds the whole load and
//! nothing of the start.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::launch::{Dialogue, Server, Site, start_generator};
use super::measure::{Pace, flags, pace_flags};
use super::rows::{Cell, Contestant, Measure, Row};
use crate::generator::report::Report;
use crate::process;

const EVENT: &str = "raw_syscalls:sys_enter";
const ATTACH_MAX: Duration = Duration::from_secs(5);
const ATTACH_POLL: Duration = Duration::from_millis(5);
/// What to do where perf is missing.
pub const INSTALL: &str =
    "apt-get install linux-perf, and run as root (or kernel.perf_event_paranoid=-1)";

/// Whether perf counts here; what is wrong otherwise.
pub fn check() -> Result<(), String> {
    let output = Command::new("perf").args(["stat", "-x,", "-e", EVENT, "true"]).output();
    match output {
        Err(error) => Err(format!("perf: {error}; {INSTALL}")),
        Ok(output) if count_in(&String::from_utf8_lossy(&output.stderr)).is_none() => {
            Err(format!("perf counts no {EVENT} here; {INSTALL}"))
        }
        Ok(_) => Ok(()),
    }
}

/// Counts one contestant at one cell.
pub fn count(
    site: &Site,
    row: &Row,
    cell: Cell,
    contestant: &Contestant,
    pace: Pace,
) -> Result<f64, String> {
    let far_end = (row.measure == Measure::Relay)
        .then(|| Server::start_far_end(site, "uring"))
        .transpose()?;
    let to = far_end.as_ref().map(|far_end| far_end.address);
    let server = Server::start(site, contestant, to)?;
    let mut arguments = flags(site, contestant, cell, server.address, server.pid());
    arguments.extend(pace_flags(pace));
    arguments.push("--gate".to_owned());
    if row.measure == Measure::Short {
        arguments.push("--short".to_owned());
    }
    let mut generator = start_generator(site, &arguments)?;
    let mut dialogue = Dialogue::with(&mut generator);
    let counted = (|| {
        dialogue.hear()?;
        let perf = Perf::attach(site, server.pid())?;
        dialogue.say("go")?;
        let line = dialogue.hear()?;
        let report: Report = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        Ok((perf.stop()?, report.requests_total))
    })();
    if counted.is_err() {
        // It is ours and may still wait at its gate.
        let _ = generator.kill();
    }
    let _ = generator.wait();
    counted.map(|(calls, requests)| calls as f64 / requests.max(1) as f64)
}

struct Perf {
    child: Child,
    output: PathBuf,
}

impl Perf {
    fn attach(site: &Site, pid: u32) -> Result<Self, String> {
        let output = site.logs.join("perf.csv");
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", EVENT, "-p", &pid.to_string(), "-o"]).arg(&output);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        process::pin(&mut command, &[site.generator_cpu]);
        let child = command.spawn().map_err(|error| format!("perf: {error}; {INSTALL}"))?;
        let perf = Perf { child, output };
        let begun = process::now_ns();
        // Waiting in its sleep, with its events opened: it counts.
        while !perf.is_counting() {
            if process::now_ns() - begun > ATTACH_MAX.as_nanos() as u64 {
                return Err(format!("perf does not attach; {INSTALL}"));
            }
            std::thread::sleep(ATTACH_POLL);
        }
        Ok(perf)
    }

    fn is_counting(&self) -> bool {
        let folder = format!("/proc/{}", self.child.id());
        let Ok(descriptors) = std::fs::read_dir(format!("{folder}/fd")) else { return false };
        let opened = descriptors.flatten().any(|entry| {
            std::fs::read_link(entry.path())
                .is_ok_and(|target| target.to_string_lossy().contains("perf_event"))
        });
        let asleep = std::fs::read_to_string(format!("{folder}/wchan"))
            .is_ok_and(|place| place.contains("nanosleep") || place.contains("poll"));
        opened && asleep
    }

    fn stop(mut self) -> Result<u64, String> {
        process::signal(self.child.id(), libc::SIGINT).map_err(|error| format!("perf: {error}"))?;
        self.child.wait().map_err(|error| format!("perf: {error}"))?;
        let text = std::fs::read_to_string(&self.output).map_err(|error| error.to_string())?;
        count_in(&text).ok_or_else(|| format!("perf counted nothing: {}", text.trim()))
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        // It ended when it was stopped; this is for the ways out before that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count_in(csv: &str) -> Option<u64> {
    csv.lines().find(|line| line.contains(EVENT))?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_first_field_of_the_events_line() {
        let csv = "# started on …\n\n5678,,raw_syscalls:sys_enter,1001,100.00,,\n";
        assert_eq!(count_in(csv), Some(5678));
        assert_eq!(count_in("<not supported>,,raw_syscalls:sys_enter,0,100.00,,"), None);
    }
}
