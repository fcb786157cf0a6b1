//! Leaving: drain, stop and SIGTERM. What was read is answered, what comes too late is told so by
//! a code, and callers that understand it go elsewhere in time.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use msec::{CallOptions, Client, Engine};
use msec_protocol::{Code, RequestHead};
use msec_tests::peer::request;
use msec_tests::programs::example;
use msec_tests::{Child, ECHO, End, Gate, Peer, Stage, config, now, on_both, wait_until};

const PATIENT: Duration = Duration::from_secs(10);

fn gated(config: msec::Config, gate: &Gate) -> Stage {
    let held = gate.clone();
    Stage::with(config, |builder| {
        builder.raw("test.Gate.Pass", move |_| held.pass().map(|()| "passed"))
    })
}

on_both! {
    fn a_draining_server_says_so_and_serves_who_is_there(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let (mut busy, mut idle, mut old) = (stage.peer(), stage.peer(), stage.peer());
        // Who sends a deadline is of our kind, and hears of it without having asked.
        idle.send(&RequestHead { deadline_ms: 9000, ..request(1, ECHO) }, b"");
        assert!(!idle.answer().head.leaving);
        old.echo(b"an old peer");
        busy.send(&request(1, "test.Gate.Pass"), b"");
        gate.wait_for_arrivals(1);
        stage.server.drain();
        let news = idle.answer();
        assert_eq!((news.head.sequence, news.head.leaving), (0, true));
        // Nobody comes in any more.
        assert!(Peer::try_connect(stage.address()).is_err());
        // Those who are in are served, and told with each answer.
        gate.open();
        let answer = busy.answer();
        assert_eq!((answer.code(), answer.head.leaving), (Code::OK, true));
        for peer in [&mut busy, &mut idle, &mut old] {
            let answer = peer.call(ECHO, b"still");
            assert_eq!((answer.code(), answer.head.leaving), (Code::OK, true));
        }
    }

    fn a_stop_ends_as_soon_as_all_have_left(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = stage.peer();
        peer.echo(b"here");
        let begin = now();
        std::thread::scope(|scope| {
            scope.spawn(|| stage.stop(PATIENT));
            wait_until("the listener to close", || Peer::try_connect(stage.address()).is_err());
            peer.echo(b"still here");
            drop(peer);
        });
        assert!(begin.elapsed() < PATIENT / 2);
    }

    fn a_stop_answers_what_is_in_flight_and_refuses_what_comes_late(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut peer = stage.peer();
        let count = 100;
        for sequence in 1..=count {
            peer.send(&request(sequence, "test.Gate.Pass"), b"");
        }
        gate.wait_for_arrivals(count as usize);
        std::thread::scope(|scope| {
            scope.spawn(|| stage.stop(Duration::ZERO));
            // From some moment on requests are refused, by a code and not by silence.
            let mut sequence = count;
            let mut refused_count = 0;
            while refused_count < 10 {
                sequence += 1;
                peer.send(&request(sequence, ECHO), b"late");
                let answer = peer.answer();
                assert_eq!(answer.head.sequence, sequence);
                match answer.code() {
                    Code::DRAINING => refused_count += 1,
                    code => assert_eq!((code, refused_count), (Code::OK, 0)),
                }
                assert!(answer.code() == Code::OK || answer.head.leaving);
            }
            gate.open();
            for _ in 0..count {
                assert_eq!(peer.answer().code(), Code::OK);
            }
            // The end is in order, so that it cannot overtake the answers.
            assert_eq!(peer.wait_for_end(), End::Fin);
        });
        assert_eq!(gate.passed_count(), count as usize);
        stage.wait_for_requests(0);
    }

    fn a_stop_under_load_loses_no_answer(io: msec::Io) {
        let stage = Stage::echo(io);
        let started = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        // An old peer: it does not know of leaving, and keeps on sending.
                        let mut peer = stage.peer();
                        let (mut sent, mut answered, mut refused) = (0, 0, 0);
                        loop {
                            let mut frames = Vec::new();
                            for _ in 0..16 {
                                sent += 1;
                                let head = request(sent, ECHO);
                                frames.extend(msec_tests::peer::framed(&head, b"work"));
                            }
                            started.fetch_add(1, Ordering::AcqRel);
                            if peer.try_send_bytes(&frames).is_err() {
                                break;
                            }
                            for _ in 0..16 {
                                match peer.try_answer() {
                                    Ok(answer) if answer.code() == Code::OK => answered += 1,
                                    Ok(answer) => {
                                        assert_eq!(answer.code(), Code::DRAINING);
                                        refused += 1;
                                    }
                                    Err(end) => return (end, sent, answered, refused),
                                }
                            }
                        }
                        (End::Reset, sent, answered, refused)
                    })
                })
                .collect();
            wait_until("the callers to be at work", || started.load(Ordering::Acquire) > 500);
            stage.stop(Duration::from_millis(50));
            for caller in callers {
                let (end, sent, answered, refused) = caller.join().unwrap();
                assert_eq!(end, End::Fin, "{sent} sent, {answered} answered, {refused} refused");
                // Only what was on its way when the server ended its side may be without answer.
                assert!(sent - answered - refused <= 16);
            }
        });
    }

    fn a_stop_cancels_what_never_ends(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut peer = stage.peer();
        peer.send(&request(1, "test.Gate.Pass"), b"");
        gate.wait_for_arrivals(1);
        stage.stop(Duration::from_millis(1));
        assert_eq!(gate.wait_for_failures(1), [Code::CANCELLED]);
        peer.wait_for_end();
        // The engine works on: another server can be started.
        let next = msec::Server::builder()
            .raw(ECHO, |context| Ok(context.body_bytes()))
            .listen("127.0.0.1:0")
            .start(&stage.engine)
            .unwrap();
        Peer::connect(&next.addresses()[0]).echo(b"next");
    }

    fn sigterm_under_load_loses_no_call(io: msec::Io) {
        let first = echo_example(io, "127.0.0.1:0");
        let engine = Engine::with(config(io)).unwrap();
        let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        let wait_for_calls = |more: usize| {
            let until = calls.load(Ordering::Acquire) + more;
            wait_until("calls to be made", || calls.load(Ordering::Acquire) >= until);
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let client = Client::new(&engine, &first.address).unwrap();
                    let options = CallOptions::new().timeout(PATIENT);
                    while !over.load(Ordering::Acquire) {
                        let reply = client.call_raw(ECHO, b"\x0a\x04work", &options).unwrap();
                        assert_eq!(&reply.body[..], b"\x0a\x04work");
                        calls.fetch_add(1, Ordering::AcqRel);
                    }
                });
            }
            // However the story ends, the callers do.
            let over_at_the_end = Over(&over);
            wait_for_calls(500);
            // The next process listens at the same address before the first one leaves.
            let second = echo_example(io, &first.address);
            first.child.signal("TERM");
            let (status, stderr) = first.child.wait();
            assert!(status.success(), "{status}: {stderr}");
            assert!(stderr.contains("draining"), "{stderr}");
            wait_for_calls(500);
            drop(over_at_the_end);
            second.child.signal("TERM");
            assert!(second.child.wait().0.success());
        });
    }
}

/// Tells the callers to end when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The echo example in a process of its own.
struct Example {
    child: Child,
    address: String,
}

fn echo_example(io: msec::Io, listen: &str) -> Example {
    let io = if io == msec::Io::Uring { "uring" } else { "epoll" };
    let (variable, program) = (format!("MSEC_IO={io}"), example("echo"));
    let arguments = [&*variable, program.to_str().unwrap(), "--listen", listen, "--cores", "1"];
    let child = Child::of_program(Path::new("env"), &arguments);
    let line = child.line();
    assert!(line.contains(io), "{line}");
    let address = line.split_whitespace().find(|word| word.starts_with("127.")).unwrap().to_owned();
    Example { child, address }
}
