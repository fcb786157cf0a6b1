//! The parts of a request, one by one.
//!
//! Each part is a function that does its work a given number of times, so that neither a call
//! through a pointer nor the preparation is counted to the work. Three things run them: the binary
//! `micro` (the runner's rows: nanoseconds, one JSON line), `cargo bench` (criterion, for people),
//! and a test that counts instructions under callgrind, where a part that has become dearer shows
//! on any machine.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use msec::coroutine::{Outcome, Pool, StackConfig, suspend};
use msec::mailbox::mailbox;
use msec::timer::Wheel;
use msec::{Config, Engine, Io};
use msec_protocol::head::{decode_request, encode_answer, encode_request};
use msec_protocol::report::{self, Counters};
use msec_protocol::route::{Ask, Balancer, End, Instance, Service};
use msec_protocol::trace::{Record, Recorder, Slow};
use msec_protocol::{AnswerHead, Arrival, Cutter, Histogram, Limits, RequestHead};

/// A part of a request.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name in the results, behind `micro-`.
    pub name: &'static str,
    /// Does it so many times.
    pub run: fn(u64),
}

/// All parts.
pub const PARTS: &[Part] = &[
    Part { name: "switch", run: switch },
    Part { name: "spawn", run: spawn },
    Part { name: "decode", run: decode },
    Part { name: "encode", run: encode },
    Part { name: "timer", run: timer },
    Part { name: "mailbox-hop", run: mailbox_hop },
    Part { name: "histogram", run: histogram },
    Part { name: "report-call", run: report_call },
    Part { name: "report-span", run: report_span },
    Part { name: "attribute-add", run: attribute_add },
    Part { name: "attribute-add-label", run: attribute_add_label },
    Part { name: "log-filtered", run: log_filtered },
    Part { name: "pick", run: pick },
    Part { name: "pick-finished", run: pick_finished },
];

/// The part of that name.
pub fn part(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.name == name)
}

/// Into a coroutine and out of it again.
fn switch(times: u64) {
    fn forever(_: usize) {
        loop {
            suspend();
        }
    }
    let pool = Pool::new(StackConfig::default());
    let mut coroutine = pool.take().expect("an empty pool has a stack to give");
    for _ in 0..=times {
        let outcome =
            if coroutine.is_suspended() { coroutine.resume() } else { coroutine.start(forever, 0) };
        assert!(matches!(outcome, Outcome::Suspended));
    }
    // Dropped while suspended, the coroutine leaks its stack, as it must; the process is about to
    // end.
}

/// A job on a pooled coroutine from its start to its end.
fn spawn(times: u64) {
    fn job(argument: usize) {
        black_box(argument);
    }
    let pool = Pool::new(StackConfig::default());
    for argument in 0..times {
        let mut coroutine = pool.take().expect("one coroutine at a time always fits");
        assert!(matches!(coroutine.start(job, argument as usize), Outcome::Finished));
        pool.give_back(coroutine);
    }
}

/// Cuts a frame out of a stream and reads its head.
fn decode(times: u64) {
    let limits = Limits::default();
    let mut stream = Vec::new();
    put_request(7, &mut stream);
    let mut cutter = Cutter::new();
    for _ in 0..times {
        let mut input = black_box(&stream[..]);
        match cutter.next(&limits, &mut input) {
            Ok(Some(Arrival::Frame(frame))) => {
                black_box(decode_request(frame.head()).expect("the head was just written"));
            }
            _ => unreachable!("the stream is one whole frame"),
        }
    }
}

/// Writes the frame that answers a typical request.
fn encode(times: u64) {
    let limits = Limits::default();
    let mut stream = Vec::new();
    put_request(7, &mut stream);
    let mut input = &stream[..];
    let Ok(Some(Arrival::Frame(frame))) = Cutter::new().next(&limits, &mut input) else {
        unreachable!("the stream is one whole frame")
    };
    let request = decode_request(frame.head()).expect("the head was just written");
    let mut out = Vec::with_capacity(4096);
    for _ in 0..times {
        out.clear();
        let head = AnswerHead::to(black_box(&request), frame.head());
        encode_answer(&head, &limits, &mut out, |out| out.extend_from_slice(frame.body()))
            .expect("the answer is as small as the request");
        black_box(&out);
    }
}

/// A request as a service of ours sends it: flow, caller, deadline, 64 bytes of payload.
fn put_request(sequence: u64, out: &mut Vec<u8>) {
    let head = RequestHead {
        sequence: (1 << 28) + sequence,
        flow_id: 0x1234_5678_9ABC_DEF0,
        caller: b"Demo.relay",
        method_name: b"echo.EchoService.Echo",
        deadline_ms: 5000,
        ..RequestHead::default()
    };
    encode_request(&head, &Limits::default(), out, |out| out.extend_from_slice(&[0x5A; 66]))
        .expect("the request is far below all limits");
}

/// Inserts a deadline and cancels it among a thousand others, as a call does.
fn timer(times: u64) {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut wheel = Wheel::new(0);
    for nth in 0..1000 {
        wheel.insert(SECOND_NS + nth * 1_000_000, nth);
    }
    for nth in 0..times {
        let id = wheel.insert(black_box(SECOND_NS * 5 + nth % SECOND_NS), nth);
        black_box(wheel.cancel(id));
    }
}

/// Puts a message into a mailbox whose owner is awake, and takes it out.
fn mailbox_hop(times: u64) {
    let (sender, mut receiver) = mailbox::<u64>(1024, || {});
    for nth in 0..times {
        assert!(sender.try_send(nth).is_ok());
        receiver.drain(1, |message| {
            black_box(message);
        });
    }
}

/// Adds one latency to a histogram.
fn histogram(times: u64) {
    let mut histogram = Histogram::default();
    for nth in 0..times {
        histogram.record(black_box(nth.wrapping_mul(0x9E37_79B9) & 0xFF_FFFF));
    }
    black_box(histogram.count());
}

/// Counts a call: its begin, its end by code, bytes, latency and time in the queue.
fn report_call(times: u64) {
    let mut counters = Counters::new();
    for nth in 0..times {
        counters.begin();
        counters.end(&report::Outcome {
            latency_ns: black_box(nth.wrapping_mul(0x9E37_79B9) & 0xFF_FFFF),
            queue_ns: black_box(0),
            request_bytes: black_box(100),
            answer_bytes: black_box(200),
            ..report::Outcome::default()
        });
    }
    black_box(counters.ended());
}

/// Records the span of a call that went well, and finds that it is not slow.
fn report_span(times: u64) {
    let (mut recorder, mut slow) = (Recorder::new(), Slow::new());
    let head = [0; 16];
    for nth in 0..times {
        let duration_ns = black_box(1000);
        let (trace_id, flags) = Record::trace(black_box(&head), nth + 1);
        let record = Record {
            trace_id,
            flags,
            span_id: nth,
            parent_id: black_box(7),
            start_ns: nth,
            duration_ns,
            ..Record::default()
        };
        recorder.record(&record, slow.is(duration_ns));
    }
    black_box(recorder.recorded());
}

/// Runs on a core, of an engine that does nothing else; it is started once, for that takes longer
/// than what is measured.
fn on_core(run: impl FnOnce() + Send + 'static) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let config = Config::new().cores(1).io(Io::Epoll).stall_ms(3_600_000);
        Engine::with(config).expect("a core can be had")
    });
    engine.run(run).expect("it does not panic");
}

/// Adds to an attribute, on a core.
fn attribute_add(times: u64) {
    on_core(move || {
        for _ in 0..times {
            msec::metric!("orders", black_box(1));
        }
    });
}

/// Adds to an attribute by a label, on a core.
fn attribute_add_label(times: u64) {
    on_core(move || {
        for _ in 0..times {
            msec::metric!("orders", 1; city = black_box("Köln"));
        }
    });
}

/// Meets a line of the log whose level is not kept.
fn log_filtered(times: u64) {
    for nth in 0..times {
        msec::debug!("order {nth} placed"; pieces = black_box(nth));
    }
}

/// A balancer of a hundred instances that are all well, by the policy `adaptive`.
fn balancer() -> Balancer {
    let instance = |port: u16| {
        let address = format!("10.0.0.1:{port}");
        Instance::new(address.parse().expect("an address is written above"))
    };
    let service = Service::new("Demo.echo", (1..=100).map(instance).collect());
    Balancer::new(Arc::new(service), "", 0)
}

fn ask(now_ns: u64, nth: u64) -> Ask<'static> {
    Ask { now_ns, random: nth.wrapping_mul(0x9E37_79B9_7F4A_7C15), key: None, tried: &[] }
}

/// Picks an instance. The balancer is in a crate without std, so it has neither locks nor system
/// calls to make.
fn pick(times: u64) {
    let mut balancer = balancer();
    for nth in 0..times {
        let picked = balancer.pick(&ask(black_box(1), nth));
        black_box(picked.expect("a hundred instances are well"));
    }
}

/// Picks an instance and learns from the end of the call, at 100,000 calls a second: the walk over
/// all instances every 50 ms is in it.
fn pick_finished(times: u64) {
    const DISTANCE_NS: u64 = 10_000;
    const LATENCY_NS: u64 = 200_000;
    let mut balancer = balancer();
    for nth in 0..times {
        let now_ns = black_box(nth * DISTANCE_NS);
        let picked = balancer.pick(&ask(now_ns, nth)).expect("a hundred instances are well");
        let ticket = picked.ticket;
        balancer.finished(ticket, End::Answered, black_box(LATENCY_NS), now_ns + LATENCY_NS);
    }
    black_box(balancer.has_dials());
}
