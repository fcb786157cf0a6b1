//! A caller of one service with several instances: `msec-caller --to A,B,C --rate 20000`.
//!
//! An open loop by Poisson on one core: each call is due when it is due, whatever became of those
//! before it, and is never made again by this program; what the engine does about a failure is what
//! is looked at. It takes lines:
//!
//! | line | answer |
//! |---|---|
//! | `mark` | a [`Mark`] as a line of JSON: what ended since the mark before |
//! | `slow INDEX MS` | `slow`, once that instance takes so much longer |
//! | `end` | no more calls; when all have ended, the last mark |
//!
//! After its start, when every instance has answered, it says `ready`.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use msec::naming::{Instance, Service, Table};
use msec::{CallOptions, Client, Config, Engine};
use msec_bench::generator::arrivals::{Arrivals, Spacing};
use msec_bench::generator::report::{Latency, histogram, record};
use msec_bench::mark::Mark;
use msec_bench::process::{drop_timer_slack, now_ns, shorten_slice};
use msec_bench_servers::echo::{EchoRequest, EchoResponse};

const METHOD: &str = "echo.EchoService.Echo";
const SERVICE: &str = "Bench.echo";
const PAYLOAD_BYTES: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(1);
const SEED: u64 = 0x6D73_6563;
/// Between two looks at whether all calls have ended.
const POLL: Duration = Duration::from_millis(5);

/// What became of calls.
struct Tally {
    mark: Mark,
    latencies: Histogram<u64>,
    /// When a call was first seen to fail.
    first_failure_ns: Option<u64>,
}

impl Tally {
    fn end(&mut self, begun_ns: u64, due_ns: u64, result: msec::Result<EchoResponse>) {
        let now_ns = now_ns();
        self.mark.calls += 1;
        let trouble = match result {
            Ok(answer) if answer.message.len() == PAYLOAD_BYTES => {
                return record(&mut self.latencies, now_ns - due_ns);
            }
            Ok(_) => "an answer with another body".to_owned(),
            Err(error) => error.to_string(),
        };
        let first_ns = *self.first_failure_ns.get_or_insert(now_ns);
        self.mark.failed += 1;
        self.mark.in_flight += u64::from(begun_ns <= first_ns);
        self.mark.reason.get_or_insert(trouble);
    }
}

struct Caller {
    client: Client,
    /// Each of them alone, by an engine of its own: the one that is looked at learns nothing by it.
    instances: Vec<Client>,
    tally: Arc<Mutex<Tally>>,
    in_flight: Arc<AtomicU64>,
    ends: AtomicBool,
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().expect("nobody panics with it")
}

impl Caller {
    fn new(
        engine: &Engine,
        asking: &Engine,
        addresses: &[&str],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut instances = Vec::new();
        let mut clients = Vec::new();
        for address in addresses {
            instances.push(Instance::new(address.parse()?));
            clients.push(Client::new(asking, address)?);
        }
        let mut table = Table::new();
        table.add(Service::new(SERVICE, instances))?;
        engine.set_routes(table);
        let mark = Mark::default();
        let tally = Tally { mark, latencies: histogram(), first_failure_ns: None };
        Ok(Caller {
            client: Client::new(engine, SERVICE)?,
            instances: clients,
            tally: Arc::new(Mutex::new(tally)),
            in_flight: Arc::default(),
            ends: AtomicBool::new(false),
        })
    }

    /// Makes calls when they are due, until the end.
    fn drive(&self, rate: f64) {
        drop_timer_slack();
        shorten_slice();
        let mut arrivals = Arrivals::new(now_ns(), rate, Spacing::Poisson, SEED);
        let request = EchoRequest { message: vec![0x5A; PAYLOAD_BYTES].into() };
        let options = CallOptions::new().timeout(TIMEOUT);
        while !self.ends.load(Ordering::Acquire) {
            while arrivals.next_due_ns() <= now_ns() {
                self.call(arrivals.next_due_ns(), &request, &options);
                arrivals.advance();
            }
            let wait_ns = arrivals.next_due_ns().saturating_sub(now_ns());
            std::thread::sleep(Duration::from_nanos(wait_ns));
        }
    }

    fn call(&self, due_ns: u64, request: &EchoRequest, options: &CallOptions) {
        let (tally, in_flight, begun_ns) = (self.tally.clone(), self.in_flight.clone(), now_ns());
        in_flight.fetch_add(1, Ordering::AcqRel);
        self.client.call_back(METHOD, request, options, move |result| {
            lock(&tally).end(begun_ns, due_ns, result);
            in_flight.fetch_sub(1, Ordering::AcqRel);
        });
    }

    fn mark(&self) -> Mark {
        let served = self.instances.iter().map(served).collect();
        let mut tally = lock(&self.tally);
        let latency = Latency::of(&tally.latencies);
        tally.latencies.reset();
        Mark { latency, served, ..std::mem::take(&mut tally.mark) }
    }

    fn end(&self) -> Mark {
        self.ends.store(true, Ordering::Release);
        // Each ends by its timeout.
        while self.in_flight.load(Ordering::Acquire) > 0 {
            std::thread::sleep(POLL);
        }
        self.mark()
    }

    fn slow(&self, words: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
        let [index, milliseconds] = words else { return Err("slow INDEX MS".into()) };
        let instance = self.instances.get(index.parse::<usize>()?).ok_or("no such instance")?;
        let options = CallOptions::new().timeout(TIMEOUT);
        instance.call_raw("demo.Instance.Slow", milliseconds.as_bytes(), &options)?;
        Ok(())
    }
}

/// Whether it is there.
fn answers(instance: &Client) -> bool {
    let options = CallOptions::new().timeout(TIMEOUT);
    instance.call_with::<_, EchoResponse>(METHOD, &EchoRequest::default(), &options).is_ok()
}

/// How many calls an instance has answered, by its own count; a plugin does not count.
fn served(instance: &Client) -> Option<u64> {
    let options = CallOptions::new().timeout(TIMEOUT);
    let reply = instance.call_raw("demo.Instance.Served", b"", &options).ok()?;
    std::str::from_utf8(&reply.body).ok()?.parse().ok()
}

struct Flags {
    to: String,
    rate: f64,
}

fn flags() -> Result<Flags, lexopt::Error> {
    use lexopt::prelude::*;
    let mut flags = Flags { to: String::new(), rate: 20_000.0 };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("to") => flags.to = parser.value()?.string()?,
            Long("rate") => flags.rate = parser.value()?.parse()?,
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    if flags.to.is_empty() || flags.rate.is_nan() || flags.rate <= 0.0 {
        return Err("usage: msec-caller --to A,B,C [--rate CALLS_A_SECOND]".into());
    }
    Ok(flags)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = flags()?;
    let engine = Engine::with(Config::from_env()?.cores(1))?;
    let asking = Engine::with(Config::from_env()?.cores(1))?;
    let caller = Caller::new(&engine, &asking, &flags.to.split(',').collect::<Vec<_>>())?;
    if !caller.instances.iter().all(answers) {
        return Err(format!("not all of {} answer", flags.to).into());
    }
    std::thread::scope(|scope| {
        scope.spawn(|| caller.drive(flags.rate));
        let obeyed = obey(&caller);
        caller.ends.store(true, Ordering::Release);
        obeyed
    })
}

fn obey(caller: &Caller) -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout();
    writeln!(output, "ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["mark"] => writeln!(output, "{}", serde_json::to_string(&caller.mark())?)?,
            ["slow", of @ ..] => {
                caller.slow(of)?;
                writeln!(output, "slow")?;
            }
            ["end"] => {
                writeln!(output, "{}", serde_json::to_string(&caller.end())?)?;
                break;
            }
            _ => return Err(format!("unknown line: {line}").into()),
        }
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use msec::{Code, Error};

    fn tally() -> Tally {
        Tally { mark: Mark::default(), latencies: histogram(), first_failure_ns: None }
    }

    fn failure() -> msec::Result<EchoResponse> {
        Err(Error::new(Code::NETWORK, "it is gone"))
    }

    #[test]
    fn calls_that_began_before_the_first_was_seen_to_fail_were_in_flight() {
        let mut tally = tally();
        let begun_ns = now_ns();
        tally.end(begun_ns, begun_ns, failure());
        tally.end(begun_ns, begun_ns, failure());
        tally.end(now_ns() + 1, begun_ns, failure());
        assert_eq!((tally.mark.calls, tally.mark.failed, tally.mark.in_flight), (3, 3, 2));
        assert!(tally.mark.reason.unwrap().contains("it is gone"));
    }

    #[test]
    fn an_answer_with_another_body_is_a_failure_and_has_no_latency() {
        let mut tally = tally();
        let (right, wrong) = (vec![0; PAYLOAD_BYTES], vec![0; 3]);
        for message in [right, wrong] {
            tally.end(now_ns(), now_ns(), Ok(EchoResponse { message: message.into() }));
        }
        assert_eq!((tally.mark.calls, tally.mark.failed, tally.latencies.len()), (2, 1, 1));
    }
}
