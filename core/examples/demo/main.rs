//! The demo: a cluster under load on this machine, two instances of which have a bad day, and the
//! proof that callers hardly notice.
//!
//! ```text
//!                                 ┌──► instance a
//!   32 callers ──► relay ─────────┼──► instance b    is made slow for a while
//!   (this process)  routes.toml   └──► instance c    is killed, and started again
//!                     ▲
//!   C++, curl ──► msec.so ──► msec.jar      under `msec host`, reloaded on the way
//! ```
//!
//! Five processes with one core thread each, all of them examples that anybody can start by hand.
//! On a terminal it runs until Ctrl-C, elsewhere for ten seconds; `DEMO_SECONDS` sets a time for
//! both. Then the callers take the answers they still wait for and leave, the services are sent
//! SIGTERM and drain. The exit status says whether every figure was as it should be, so that a
//! script can run this, too.

mod caller;
mod chain;
mod cluster;
mod expectation;
mod hosted;
mod load;
mod routes;
mod service;
mod show;

#[allow(missing_docs, unreachable_pub, unused_qualifications, dead_code)]
mod echo {
    include!("../generated/echo.rs");
}

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use msec::{Histogram, clock};
use msec_sys::process::TerminationSignals;

use chain::{Account, Chain};
use cluster::{Cluster, INSTANCES_COUNT, NAMES, Phase, SLOW_MS};
use load::{CALLERS_COUNT, Load, MESSAGE_BYTES, Seen};
use routes::RoutesFile;
use service::{Served, Service};
use show::{Row, Screen, Second, count};

/// What a run takes that nobody watches.
const SECONDS_DEFAULT: u64 = 10;
/// Slower than this, something is wrong with any machine.
const RATE_LEAST: u64 = 1_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Of a hundred calls, so many may go to an instance that is much slower than the others.
const SLOW_SHARE_MOST: u64 = 5;
/// While an instance is slow or dead, the 99th percentile of the callers may be so many times that
/// of calm times, and so much more.
const P99_FACTOR_MOST: u64 = 5;
/// See [`P99_FACTOR_MOST`]. Less than half of what the slow one takes longer, so that callers who
/// were sent there show; more than a machine adds that is busy with other things (up to 15 ms with
/// ten compilers on two CPUs).
const P99_MORE_NS: u64 = 20_000_000;

const _: () = assert!(P99_MORE_NS < SLOW_MS * 1_000_000 / 2);
/// How many seconds a run goes on beyond its time while that one is not called again yet: a busy
/// machine takes it for a slow one first.
const BACK_SECONDS_MORE: u64 = 15;
/// Of a hundred calls, so many must go to an instance that has come back.
const REVIVED_SHARE_LEAST: u64 = 10;
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
    let mut cluster = Cluster::start()?;
    let routes = RoutesFile::write(&[("Demo.echo", &cluster.addresses())])?;
    let path = routes.0.display().to_string();
    let arguments =
        ["--listen", "127.0.0.1:0", "--routes", &path, "--to", "Demo.echo", "--cores", "1"];
    let relay = Service::start("relay", &arguments)?;
    let mut chain = Chain::start(relay.address())?;
    let signals = TerminationSignals::block().map_err(|error| error.to_string())?;
    let load = Load::start(relay.address()).map_err(|error| error.to_string())?;

    introduce(&mut screen, &relay, &load, seconds);
    introduce_chain(&mut screen, &chain);
    let cpu_before_ns = [service::cpu_ns("self"), relay.cpu_ns()];
    let begun_ns = clock::now_ns();
    let mut stage = Stage { cluster: &mut cluster, chain: &mut chain };
    let days = watch(&mut screen, &load, &mut stage, &signals, seconds)?;
    let time_ns = clock::now_ns() - begun_ns;
    let seen = load.end().map_err(|error| error.to_string())?;
    let cpu_after_ns = [service::cpu_ns("self"), relay.cpu_ns()];
    // From here on a second Ctrl-C ends this at once, and the services with it.
    drop(signals);

    let behind = [&[relay.address()][..], &cluster.addresses()].concat();
    let account = chain.end(&behind)?;
    // Those who call go first.
    let relay = relay.stop()?;
    cluster.stop()?;
    let mut rows = rows(&seen, &relay, time_ns);
    for (row, (before_ns, after_ns)) in
        rows.iter_mut().zip(cpu_before_ns.into_iter().zip(cpu_after_ns))
    {
        row.cpu_ns = after_ns - before_ns;
    }
    screen.line("");
    screen.table(&rows);
    screen.line("");
    if !account.trace.is_empty() {
        screen.line("  one request, from C++ by Java to Rust\n");
        account.trace.lines().for_each(|line| screen.line(&format!("  {line}")));
        screen.line("");
    }
    let as_expected = judge(&mut screen, &seen, &rows, &days, account);
    say_what_next(&mut screen);
    Ok(as_expected)
}

fn introduce(screen: &mut Screen, relay: &Service, load: &Load, seconds: Option<u64>) {
    let end = seconds.map_or("Ctrl-C ends it".to_owned(), |seconds| format!("for {seconds} s"));
    let address = relay.address();
    screen
        .line(&format!("\n  {CALLERS_COUNT} callers ──► relay {address} ──► instances a, b, c\n"));
    screen.line(&format!(
        "  Five processes with one core thread each, I/O by {}. Each caller sends\n  \
         {MESSAGE_BYTES} bytes and calls again as soon as they are back; {end}. Look at\n",
        load.backend()
    ));
    screen.line(&format!("  http://{address}/routes   whom the relay calls, and why"));
    screen.line(&format!("  http://{address}/status   what it serves"));
    screen.line(&format!("  http://{address}/traces   calls that failed or were slow\n"));
}

fn introduce_chain(screen: &mut Screen, chain: &Chain) {
    let [cpp, java] = chain.addresses();
    let parts = [("a plugin in C++", cpp, "DEMO_CPP"), ("a service in Java", java, "DEMO_JAVA")];
    for (what, address, variable) in parts {
        match address {
            Some(address) => screen.line(&format!(
                "  and {what} under `msec host`, which asks the next one:\n\n  \
                 http://{address}/status   what it serves\n  \
                 http://{address}/traces   its calls, with what they called\n"
            )),
            None => {
                let text = format!("  {what} is left out: {variable} is not set; `make demo` does");
                screen.line(&format!("{text}.\n"));
            }
        }
    }
}

/// What was seen in a phase.
#[derive(Default)]
struct Day {
    /// Calls answered by each instance in the last whole second of the phase.
    last: [u64; INSTANCES_COUNT],
    /// How many seconds the phase has lasted.
    seconds: u64,
    /// From the call to its answer, as the callers have seen it.
    latency_ns: Histogram,
}

/// What was seen in the phases, the last time that they came.
#[derive(Default)]
struct Days {
    calm: Day,
    slow: Day,
    dead: Day,
    revived: Day,
}

impl Day {
    /// The hundredths of the calls that went to one in the last second.
    fn share(&self, index: usize) -> u64 {
        self.last[index] * 100 / self.last.iter().sum::<u64>().max(1)
    }

    fn p99_ns(&self) -> u64 {
        self.latency_ns.quantile(990_000)
    }

    fn note(&mut self, served: [u64; INSTANCES_COUNT], latency_ns: &Histogram) {
        self.seconds += 1;
        self.last = served;
        self.latency_ns.merge(latency_ns);
    }
}

impl Days {
    /// Whether the instance that was killed is called again, if it was.
    fn is_back(&self) -> bool {
        self.revived.seconds < 2 || self.revived.share(2) >= REVIVED_SHARE_LEAST
    }

    fn of(&mut self, phase: Phase) -> &mut Day {
        match phase {
            Phase::Calm | Phase::CalmAgain => &mut self.calm,
            Phase::Slow => &mut self.slow,
            Phase::Dead => &mut self.dead,
            Phase::Revived => &mut self.revived,
        }
    }
}

/// Everything that something happens to.
struct Stage<'a> {
    cluster: &'a mut Cluster,
    chain: &'a mut Chain,
}

impl Stage<'_> {
    /// Makes happen what is due.
    fn enter(&mut self, phase: Phase) -> Result<(), String> {
        let begins = self.cluster.enter(phase)?;
        if begins && phase == Phase::CalmAgain { self.chain.reload() } else { Ok(()) }
    }
}

/// Shows the load second by second until its time is over or a signal comes; what was seen in the
/// phases.
fn watch(
    screen: &mut Screen,
    load: &Load,
    stage: &mut Stage<'_>,
    signals: &TerminationSignals,
    seconds: Option<u64>,
) -> Result<Days, String> {
    screen.live_heading();
    let begun_ns = clock::now_ns();
    let mut looked_ns = begun_ns;
    let mut days = Days::default();
    let mut last = Phase::Calm;
    let last_second = seconds.unwrap_or(u64::MAX);
    for second in 1.. {
        if second > last_second && (days.is_back() || second > last_second + BACK_SECONDS_MORE) {
            break;
        }
        let phase = Phase::of(second.min(last_second), seconds);
        stage.enter(phase)?;
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
        let served = stage.cluster.look();
        if phase == Phase::Calm && last != Phase::Calm {
            days = Days::default();
        }
        last = phase;
        days.of(phase).note(served, &recent_ns);
        let rate = per_second(recent_ns.count(), now_ns - looked_ns);
        looked_ns = now_ns;
        let event = phase.text();
        let latency_ns = &recent_ns;
        screen.live(&Second { second, rate, latency_ns, failed, in_flight, served, event: &event });
    }
    Ok(days)
}

/// The closing table, without CPU times.
fn rows(seen: &Seen, relay: &Served, time_ns: u64) -> [Row; 2] {
    let callers = Served {
        calls: seen.answered + seen.failed,
        failed: seen.failed,
        p50_ns: seen.latency_ns.quantile(500_000),
        p99_ns: seen.latency_ns.quantile(990_000),
        max_ns: seen.latency_ns.max(),
    };
    [("callers", &callers), ("relay", relay)].map(|(service, served)| Row {
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
fn judge(
    screen: &mut Screen,
    seen: &Seen,
    [callers, relay]: &[Row; 2],
    days: &Days,
    chain: Account,
) -> bool {
    let answers = format!("{} begun, {} answered", count(seen.begun), count(seen.answered));
    let counts = [callers.calls + chain.calls, relay.calls].map(count).join(", ");
    let rate = format!("{} calls/s; at least {}", count(callers.rate), count(RATE_LEAST));
    let failed = callers.failed + relay.failed;
    let all_answered = seen.in_flight() == 0 && seen.begun == seen.answered;
    let mut expectations = vec![
        (all_answered, "every call was answered".to_owned(), answers),
        (failed == 0, "no call failed".to_owned(), format!("{} failed", count(failed))),
        (
            callers.calls + chain.calls == relay.calls,
            "callers and relay count the same".to_owned(),
            counts,
        ),
        (callers.rate >= RATE_LEAST, "the rate is a decent one".to_owned(), rate),
    ];
    let Days { calm, slow, dead, revived } = days;
    let most_ns = P99_FACTOR_MOST * calm.p99_ns() + P99_MORE_NS;
    for (day, when) in [(slow, "one is slow"), (dead, "one is dead")] {
        if day.seconds > 0 {
            let what = format!("callers hardly notice that {when}");
            let [p99, most] = [day.p99_ns(), most_ns].map(show::duration);
            let text = format!("p99 {p99}; at most {most}");
            expectations.push((day.p99_ns() <= most_ns, what, text));
        }
    }
    // A second of its own is what the callers get to notice it.
    if slow.seconds >= 2 {
        let share = slow.share(1);
        let text = format!("{} got {share} %; at most {SLOW_SHARE_MOST}", NAMES[1]);
        expectations.push((share <= SLOW_SHARE_MOST, "a slow instance is spared".into(), text));
    }
    if revived.seconds >= 2 {
        let share = revived.share(2);
        let text = format!("{} got {share} %; at least {REVIVED_SHARE_LEAST}", NAMES[2]);
        let met = days.is_back();
        expectations.push((met, "one that came back is called again".into(), text));
    }
    expectations.extend(chain.expectations);
    for (met, what, figures) in &expectations {
        let mark = if *met { "ok    " } else { "MISSED" };
        screen.line(&format!("  {mark}  {what}: {figures}"));
    }
    if let Some(error) = &seen.first_failure {
        screen.line(&format!("          the first failure: {error}"));
    }
    screen.line("  ok      all services drained at SIGTERM and ended in order");
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
