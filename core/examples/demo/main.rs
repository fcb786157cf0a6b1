//! The demo: two services under load on this machine, and the proof that no call was lost.
//!
//! ```text
//!   32 callers ──► relay ──► echo        three processes, one core thread each
//!   (this one)               (examples, started as anybody would start them)
//! ```
//!
//! On a terminal it runs until Ctrl-C, elsewhere for ten seconds; `DEMO_SECONDS` sets a time for
//! both. Then the callers take the answers they still wait for and leave, the services are sent
//! SIGTERM, drain, and say what they have served. Their counts and the callers' must be equal. The
//! exit status says whether everything was as it should be, so that a script can run this, too.

mod load;
mod service;
mod show;

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("../generated/echo.rs");
}

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use msec::clock;
use msec_sys::process::TerminationSignals;

use load::{CALLERS_COUNT, Load, MESSAGE_BYTES, Seen};
use service::{Served, Service};
use show::{Row, Screen, Second, count};

/// What a run takes that nobody watches.
const SECONDS_DEFAULT: u64 = 10;
/// Slower than this, something is wrong with any machine.
const RATE_LEAST: u64 = 1_000;
const SECOND_NS: u64 = 1_000_000_000;
const NOTE: [&str; 2] = [
    "  The callers measure calls; services measure by turns of their loop, so that what",
    "  is answered in the turn in which it was read may count 0.",
];
const CALL: &str = "call 127.0.0.1:7963 echo.EchoService.Echo '{\"message\":\"aGVsbG8=\"}'";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all figures are as expected.
fn run() -> Result<bool, String> {
    let mut screen = Screen::new();
    let seconds = match std::env::var("DEMO_SECONDS") {
        Err(_) => (!screen.is_terminal()).then_some(SECONDS_DEFAULT),
        Ok(text) => match text.parse() {
            Ok(seconds @ 1..=86_400) => Some(seconds),
            _ => return Err(format!("DEMO_SECONDS=`{text}`: allowed is a number from 1 to 86400")),
        },
    };
    // The services are there before the signals are blocked, or they would inherit that.
    let echo = Service::start("echo", &["--listen", "127.0.0.1:0", "--cores", "1"])?;
    let relay_arguments = ["--listen", "127.0.0.1:0", "--to", echo.address(), "--cores", "1"];
    let relay = Service::start("relay", &relay_arguments)?;
    let signals = TerminationSignals::block().map_err(|error| error.to_string())?;
    let load = Load::start(relay.address()).map_err(|error| error.to_string())?;

    introduce(&mut screen, &relay, &echo, &load, seconds);
    let cpu_before_ns = [service::cpu_ns("self"), relay.cpu_ns(), echo.cpu_ns()];
    let time_ns = watch(&mut screen, &load, &signals, seconds);
    let seen = load.end().map_err(|error| error.to_string())?;
    let cpu_after_ns = [service::cpu_ns("self"), relay.cpu_ns(), echo.cpu_ns()];
    // From here on a second Ctrl-C ends this at once, and the services with it.
    drop(signals);

    // The relay first: it still calls the echo.
    let relay = relay.stop()?;
    let echo = echo.stop()?;
    let mut rows = rows(&seen, &relay, &echo, time_ns);
    for (row, (before_ns, after_ns)) in
        rows.iter_mut().zip(cpu_before_ns.into_iter().zip(cpu_after_ns))
    {
        row.cpu_ns = after_ns - before_ns;
    }
    screen.line("");
    screen.table(&rows);
    NOTE.iter().for_each(|line| screen.heading(line));
    screen.line("");
    let as_expected = judge(&mut screen, &seen, &rows);
    say_what_next(&mut screen);
    Ok(as_expected)
}

fn introduce(
    screen: &mut Screen,
    relay: &Service,
    echo: &Service,
    load: &Load,
    seconds: Option<u64>,
) {
    let end = seconds.map_or("Ctrl-C ends it".to_owned(), |seconds| format!("for {seconds} s"));
    screen.line(&format!(
        "\n  {CALLERS_COUNT} callers ──► relay {} ──► echo {}\n",
        relay.address(),
        echo.address()
    ));
    screen.line(&format!(
        "  Three processes with one core thread each, I/O by {}. Each caller sends\n  \
         {MESSAGE_BYTES} bytes and calls again as soon as they are back; {end}.\n",
        load.backend()
    ));
}

/// Shows the load second by second until its time is over or a signal comes; how long that was.
fn watch(
    screen: &mut Screen,
    load: &Load,
    signals: &TerminationSignals,
    seconds: Option<u64>,
) -> u64 {
    screen.live_heading();
    let begun_ns = clock::now_ns();
    let mut looked_ns = begun_ns;
    for second in 1..=seconds.unwrap_or(u64::MAX) {
        let due_ns = begun_ns + second * SECOND_NS;
        let rest = Duration::from_nanos(due_ns.saturating_sub(clock::now_ns()));
        let signal = signals.wait_at_most(rest);
        let now_ns = clock::now_ns();
        let mut seen = load.seen();
        let recent_ns = std::mem::take(&mut seen.recent_ns);
        let (failed, in_flight) = (seen.failed, seen.in_flight());
        drop(seen);
        if signal.is_some() {
            break;
        }
        let rate = per_second(recent_ns.count(), now_ns - looked_ns);
        looked_ns = now_ns;
        screen.live(&Second { second, rate, latency_ns: &recent_ns, failed, in_flight });
    }
    clock::now_ns() - begun_ns
}

/// The closing table: the callers and both services, without their CPU times.
fn rows(seen: &Seen, relay: &Served, echo: &Served, time_ns: u64) -> [Row; 3] {
    let callers = Served {
        calls: seen.answered + seen.failed,
        failed: seen.failed,
        p50_ns: seen.latency_ns.quantile(500_000),
        p99_ns: seen.latency_ns.quantile(990_000),
        max_ns: seen.latency_ns.max(),
    };
    [("callers", &callers), ("relay", relay), ("echo", echo)].map(|(service, served)| Row {
        service,
        calls: served.calls,
        rate: per_second(served.calls, time_ns),
        p50_ns: served.p50_ns,
        p99_ns: served.p99_ns,
        max_ns: served.max_ns,
        failed: served.failed,
        cpu_ns: 0,
    })
}

/// Says of each expectation whether it was met; whether all were.
fn judge(screen: &mut Screen, seen: &Seen, [callers, relay, echo]: &[Row; 3]) -> bool {
    let answers = format!("{} begun, {} answered", count(seen.begun), count(seen.answered));
    let counts = [callers, relay, echo].map(|row| count(row.calls)).join(", ");
    let rate = format!("{} calls/s; at least {}", count(callers.rate), count(RATE_LEAST));
    let failed = callers.failed + relay.failed + echo.failed;
    let expectations = [
        (seen.in_flight() == 0 && seen.begun == seen.answered, "every call was answered", answers),
        (failed == 0, "no call failed", format!("{} failed", count(failed))),
        (
            callers.calls == relay.calls && relay.calls == echo.calls,
            "callers, relay and echo count the same",
            counts,
        ),
        (callers.rate >= RATE_LEAST, "the rate is a decent one", rate),
    ];
    for (met, what, figures) in &expectations {
        let mark = if *met { "ok    " } else { "MISSED" };
        screen.line(&format!("  {mark}  {what}: {figures}"));
    }
    if let Some(error) = &seen.first_failure {
        screen.line(&format!("          the first failure: {error}"));
    }
    screen.line("  ok      both services drained at SIGTERM and ended in order");
    expectations.iter().all(|(met, _, _)| *met)
}

fn say_what_next(screen: &mut Screen) {
    let demo = std::env::current_exe().unwrap_or_default();
    let examples = demo.parent().unwrap_or(Path::new("."));
    let msec = examples.with_file_name("msec");
    let (examples, command) = (short(examples), short(&msec));
    screen.heading("\n  what to type next\n");
    screen.line("  # a service of its own on 127.0.0.1:7963; the source is core/examples/echo.rs");
    screen.line(&format!("  {examples}/echo &\n"));
    if msec.exists() {
        screen.line("  # call it; bytes are base64 in JSON");
        screen.line(&format!("  {command} {CALL} \\"));
        screen.line("      --proto core/examples/echo.proto\n");
        screen.line("  # how much can it do? 64 connections, 16 calls in flight on each");
        screen.line(&format!("  {command} press 127.0.0.1:7963 --connections 64 --depth 16\n"));
    }
    screen.line("  # it drains, and says what it has served");
    screen.line("  kill %1\n");
    screen.line("  README.md goes through a service of your own in five minutes.\n");
}

/// A path as seen from the current folder, where it lies below that.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

fn per_second(count: u64, time_ns: u64) -> u64 {
    (u128::from(count) * u128::from(SECOND_NS) / u128::from(time_ns.max(1))) as u64
}
