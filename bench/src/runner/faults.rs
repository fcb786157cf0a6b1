//! Rows about instances in trouble: three of one service, and a caller at a fixed rate whose engine
//! decides which of them each call goes to.
//!
//! ```text
//!   killed   all well, a window │ one is killed, a window │ it is started again ── until it has
//!                               │                         │ its part of the calls
//!   slowed   all well, a window │ one takes 50 ms more, a second │ a window: its part of the calls
//! ```
//!
//! Every process has one core; the instances share the server's processor, the caller has the
//! generator's. Numbers are the caller's: what it felt, from when calls were due. How many calls an
//! instance had is what the instance itself counted.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::hosted::Business;
use super::launch::{Dialogue, Hosting, Server, Site};
use super::measure::Pace;
use super::results::{Aftermath, Sample};
use super::rows::{Contestant, INSTANCE};
use crate::mark::Mark;
use crate::process;

const INSTANCES: usize = 3;
/// The one in trouble.
const VICTIM: usize = 2;
/// Of a third: what counts as its part. Calls are drawn, so an interval's part is a little off.
const PART: f64 = 0.25;
/// How long it may take until it has its part again.
const BACK_MAX: Duration = Duration::from_secs(20);
/// Between two looks at its part.
const BACK_POLL: Duration = Duration::from_millis(100);
/// How much longer a slow one takes.
const SLOW_MS: u32 = 50;
/// How long the caller has to notice that.
const SLOW_GRACE: Duration = Duration::from_secs(1);

/// What is done to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is killed, and started again after a while.
    Killed,
    /// It takes longer.
    Slowed,
}

/// What is done to a plugin, or a jar, under `msec host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// It is replaced and loaded anew, ten times.
    Reloaded,
    /// Its worker is killed.
    Killed,
}

/// How often it is loaded anew.
const RELOADS: usize = 10;

/// Runs a row about the host with so many calls a second.
pub fn run_hosted(
    site: &Site,
    contestant: &Contestant,
    pace: Pace,
    (business, fault): (Business, HostFault),
    rate: f64,
) -> Result<Sample, String> {
    let cpus = site.cpus(INSTANCE.cpus);
    let name = business.file();
    let server = Server::host(site, &Hosting { name, business, cpus: &cpus, ..Hosting::PLUGIN })?;
    let hosted = server.hosted().ok_or("a plugin has a host")?;
    let mut caller = Caller::start(site, contestant, &[server.address], rate)?;
    std::thread::sleep(pace.warm);
    caller.mark()?;
    let (mut failed, mut in_flight, mut back_ms) = (0, 0, None);
    match fault {
        HostFault::Reloaded => {
            for _ in 0..RELOADS {
                // The generation before leaves meanwhile.
                std::thread::sleep(RELOAD_REST);
                hosted.reload()?;
            }
            std::thread::sleep(pace.measure);
        }
        HostFault::Killed => {
            let worker = server.pid();
            process::signal(worker, libc::SIGKILL).map_err(|error| error.to_string())?;
            let begun_ns = process::now_ns();
            let mut is_replaced = false;
            loop {
                let mark = caller.mark()?;
                let waited_ns = process::now_ns() - begun_ns;
                (failed, in_flight) = (failed + mark.failed, in_flight + mark.in_flight);
                // Until its end is seen, calls may still be answered that it had answered before.
                if is_replaced && mark.calls > mark.failed {
                    back_ms = Some(waited_ns as f64 / 1e6);
                    break;
                }
                // What the next mark counts has ended after this look.
                is_replaced = server.pid() != worker;
                if waited_ns > BACK_MAX.as_nanos() as u64 {
                    return Err(format!("killed, it did not come back in {BACK_MAX:?}"));
                }
                std::thread::sleep(WORKER_POLL);
            }
        }
    }
    let end = caller.end()?;
    (failed, in_flight) = (failed + end.failed, in_flight + end.in_flight);
    let aftermath = Aftermath {
        failed: Some(failed),
        in_flight: Some(in_flight),
        back_ms,
        ..Aftermath::default()
    };
    Ok(Sample { lost: failed, ..sample(&end, pace, aftermath) })
}

/// Between two reloads.
const RELOAD_REST: Duration = Duration::from_millis(300);
/// Between two looks at a worker.
const WORKER_POLL: Duration = Duration::from_millis(2);

/// Runs the row with so many calls a second.
pub fn run(
    site: &Site,
    contestant: &Contestant,
    pace: Pace,
    fault: Fault,
    rate: f64,
) -> Result<Sample, String> {
    let mut instances = Vec::new();
    for index in 0..INSTANCES {
        instances.push(Server::start_as(site, &INSTANCE, &format!("instance-{index}"), None)?);
    }
    let addresses: Vec<SocketAddr> = instances.iter().map(|one| one.address).collect();
    let mut caller = Caller::start(site, contestant, &addresses, rate)?;
    std::thread::sleep(pace.warm);
    caller.mark()?;
    std::thread::sleep(pace.measure);
    let calm = caller.mark()?;
    if calm.failed > 0 {
        return Err(format!("{} calls failed with all well: {}", calm.failed, calm.why()));
    }
    let sample = match fault {
        Fault::Killed => killed(site, &mut caller, instances, pace),
        Fault::Slowed => slowed(&mut caller, &calm, pace),
    }?;
    Ok(Sample { aftermath: sample.aftermath.after(calm.latency.p99_us), ..sample })
}

fn killed(
    site: &Site,
    caller: &mut Caller,
    mut instances: Vec<Server>,
    pace: Pace,
) -> Result<Sample, String> {
    let address = instances[VICTIM].address;
    // To drop it is to kill it.
    drop(instances.remove(VICTIM));
    std::thread::sleep(pace.measure);
    let after = caller.mark()?;
    instances.push(Server::start_as(site, &INSTANCE, "instance-again", Some(address))?);
    let begun_ns = process::now_ns();
    let (mut failed, mut in_flight) = (after.failed, after.in_flight);
    let mut last = after.clone();
    let back_ns = loop {
        std::thread::sleep(BACK_POLL);
        let mark = caller.mark()?;
        let waited_ns = process::now_ns() - begun_ns;
        (failed, in_flight) = (failed + mark.failed, in_flight + mark.in_flight);
        if mark.share_since(&last, VICTIM) >= PART {
            break waited_ns;
        }
        if waited_ns > BACK_MAX.as_nanos() as u64 {
            return Err(format!("revived, it did not get its part in {BACK_MAX:?}"));
        }
        last = mark;
    };
    let end = caller.end()?;
    let aftermath = Aftermath {
        failed: Some(failed + end.failed),
        in_flight: Some(in_flight + end.in_flight),
        back_ms: Some(back_ns as f64 / 1e6),
        ..Aftermath::default()
    };
    Ok(sample(&after, pace, aftermath))
}

fn slowed(caller: &mut Caller, calm: &Mark, pace: Pace) -> Result<Sample, String> {
    caller.dialogue.say(&format!("slow {VICTIM} {SLOW_MS}"))?;
    caller.dialogue.hear()?;
    std::thread::sleep(SLOW_GRACE);
    let before = caller.mark()?;
    std::thread::sleep(pace.measure);
    let after = caller.mark()?;
    let end = caller.end()?;
    let failed = before.failed + after.failed + end.failed;
    if failed > 0 {
        return Err(format!("{failed} calls failed: {}", end.why()));
    }
    let aftermath = Aftermath {
        share_before: Some(calm.share_since(&Mark::default(), VICTIM)),
        share: Some(after.share_since(&before, VICTIM)),
        ..Aftermath::default()
    };
    Ok(sample(&after, pace, aftermath))
}

/// What was felt in a window.
fn sample(mark: &Mark, pace: Pace, aftermath: Aftermath) -> Sample {
    let qps = Some((mark.calls - mark.failed) as f64 / pace.measure.as_secs_f64());
    Sample { qps, latency: mark.latency, aftermath, ..Sample::default() }
}

impl Mark {
    fn why(&self) -> &str {
        self.reason.as_deref().unwrap_or("no reason was given")
    }
}

/// The caller; ended when dropped.
struct Caller {
    child: Child,
    dialogue: Dialogue,
}

impl Caller {
    fn start(
        site: &Site,
        contestant: &Contestant,
        addresses: &[SocketAddr],
        rate: f64,
    ) -> Result<Self, String> {
        let to: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let log = site.logs.join("caller.err");
        let sink =
            std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(site.path(contestant.program));
        command.args(contestant.arguments);
        command.args(["--to", &to.join(","), "--rate", &rate.to_string()]);
        command.envs(contestant.environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(sink);
        process::pin(&mut command, &[site.generator_cpu]);
        let mut child =
            command.spawn().map_err(|error| format!("the caller does not start: {error}"))?;
        let dialogue = Dialogue::with(&mut child);
        let mut caller = Caller { child, dialogue };
        caller.dialogue.hear()?;
        Ok(caller)
    }

    fn mark(&mut self) -> Result<Mark, String> {
        self.ask("mark")
    }

    fn end(&mut self) -> Result<Mark, String> {
        self.ask("end")
    }

    fn ask(&mut self, line: &str) -> Result<Mark, String> {
        self.dialogue.say(line)?;
        let line = self.dialogue.hear()?;
        serde_json::from_str(&line).map_err(|error| format!("the caller's mark: {error}"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
