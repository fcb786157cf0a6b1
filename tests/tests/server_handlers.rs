//! Handlers that misbehave, and limits that hold them off: each costs its own request at most.

#![allow(clippy::unwrap_used)]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use msec_protocol::{Code, Limits};
use msec_tests::child::test_name;
use msec_tests::peer::{framed, request};
use msec_tests::{
    Child, Gate, Level, Stage, config, lines, now, on_both, wait_for_line, wait_until,
};

/// A stage whose methods `test.One.Pass` and `test.Other.Pass` are held at the gate.
fn gated(config: msec::Config, gate: &Gate, one_max: u32) -> Stage {
    let (one, other) = (gate.clone(), gate.clone());
    Stage::with(config, |builder| {
        builder
            .raw("test.One.Pass", move |_| one.pass().map(|()| "one"))
            .raw("test.Other.Pass", move |_| other.pass().map(|()| "other"))
            .method("test.One.Pass", move |options| {
                options.requests_max(one_max);
            })
    })
}

on_both! {
    fn a_panic_is_an_answer_and_a_line(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Panic.Now", |context| -> msec::Result<Vec<u8>> {
                let peer = String::from_utf8_lossy(context.body()).into_owned();
                panic!("asked for by {peer}");
            })
        });
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let name = peer.local_address();
        for _ in 0..100 {
            let answer = peer.call("test.Panic.Now", name.as_bytes());
            assert_eq!((answer.code(), answer.body.len()), (Code::SERVICE_FAILED, 0));
            assert!(answer.err_msg.contains(&format!("asked for by {name}")), "{}", answer.err_msg);
        }
        let line = wait_for_line("panic", &name);
        assert_eq!(line.level, Level::Error);
        assert!(line.text.contains("test.Panic.Now"), "{}", line.text);
        bystander.is_served();
        peer.echo(b"the same connection");
        stage.wait_for_requests(0);
    }

    fn a_panic_beside_parked_requests_leaves_them_alone(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Gate.Panic", move |context| {
                held.pass()?;
                assert!(context.body() != b"panic", "as told");
                Ok("passed")
            })
        });
        let mut peer = stage.peer();
        for sequence in 0..20 {
            let body: &[u8] = if sequence % 2 == 0 { b"panic" } else { b"pass" };
            peer.send(&request(sequence, "test.Gate.Panic"), body);
        }
        gate.wait_for_arrivals(20);
        gate.open();
        for _ in 0..20 {
            let answer = peer.answer();
            let expect =
                if answer.head.sequence & 1 == 0 { Code::SERVICE_FAILED } else { Code::OK };
            assert_eq!(answer.code(), expect);
        }
        peer.echo(b"after");
    }

    fn an_error_of_the_business_reaches_the_caller(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Error.Give", |_| {
                Err::<Vec<u8>, _>(msec::Error::new(Code(-4321), "no such title"))
            })
        });
        let answer = stage.peer().call("test.Error.Give", b"");
        assert_eq!((answer.code(), &*answer.err_msg), (Code(-4321), "no such title"));
    }

    fn a_handler_that_never_yields_is_named_by_the_watchdog(io: msec::Io) {
        let (one, two) = ("test.Stall.ByUring", "test.Stall.ByEpoll");
        let method = if io == msec::Io::Uring { one } else { two };
        let stage = Stage::with(config(io).cores(1).stall_ms(50), |builder| {
            builder.raw(method, move |_| {
                let begin = now();
                // Until the watchdog has seen it; the bound is for the failing test only.
                while lines("stall", method).is_empty() && begin.elapsed() < msec_tests::PATIENCE {
                    std::hint::spin_loop();
                }
                Ok("at last")
            })
        });
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        assert_eq!(peer.call(method, b"").code(), Code::OK);
        let found = lines("stall", method);
        assert_eq!((found.len(), found[0].level), (1, Level::Error), "{found:?}");
        bystander.is_served();
    }

    fn an_idle_core_is_no_stall(io: msec::Io) {
        let stage = Stage::with(config(io).stall_ms(10), |builder| builder);
        stage.peer().echo(b"then nothing");
        let begin = now();
        wait_until("some idle time", || begin.elapsed() > Duration::from_millis(100));
        stage.peer().echo(b"awake");
        assert!(lines("stall", "(none)").is_empty());
        assert!(lines("stall", msec_tests::ECHO).is_empty());
    }

    fn over_the_limit_of_a_method_requests_are_refused_and_others_run(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate, 5);
        // On two connections and so maybe on two cores: the limit is the process's.
        let (mut peer, mut second) = (stage.peer(), stage.peer());
        for sequence in 1..=3 {
            peer.send(&request(sequence, "test.One.Pass"), b"");
        }
        gate.wait_for_arrivals(3);
        for sequence in 1..=2 {
            second.send(&request(sequence, "test.One.Pass"), b"");
        }
        gate.wait_for_arrivals(5);
        for refused in [&mut peer, &mut second] {
            let answer = refused.call("test.One.Pass", b"");
            assert_eq!(answer.code(), Code::OVERLOADED);
            assert!(answer.err_msg.contains("of this method"), "{}", answer.err_msg);
        }
        peer.send(&request(9, "test.Other.Pass"), b"");
        gate.wait_for_arrivals(6);
        gate.open();
        for _ in 0..4 {
            assert_eq!(peer.answer().code(), Code::OK);
        }
        for _ in 0..2 {
            assert_eq!(second.answer().code(), Code::OK);
        }
        assert_eq!(peer.call("test.One.Pass", b"").code(), Code::OK);
    }

    fn over_the_limit_of_the_process_requests_are_refused_until_some_end(io: msec::Io) {
        let gate = Gate::new();
        let limits = Limits { requests_per_process_max: 10, ..Limits::DEFAULT };
        let stage = gated(config(io).limits(limits), &gate, 0);
        let mut peers = [stage.peer(), stage.peer()];
        for sequence in 1..=10 {
            peers[sequence % 2].send(&request(sequence as u64, "test.One.Pass"), b"");
        }
        gate.wait_for_arrivals(10);
        for peer in &mut peers {
            let answer = peer.call(msec_tests::ECHO, b"no room");
            assert_eq!(answer.code(), Code::OVERLOADED);
            assert!(answer.err_msg.contains("in this process"), "{}", answer.err_msg);
        }
        gate.open();
        for peer in &mut peers {
            for _ in 0..5 {
                assert_eq!(peer.answer().code(), Code::OK);
            }
            peer.echo(b"room again");
        }
        stage.wait_for_requests(0);
    }

    fn a_stack_overflow_names_the_method_and_kills_the_process(io: msec::Io) {
        if Child::is_running("overflow") {
            return overflow(io);
        }
        let child = Child::of_test(&test_name(module_path!(), io), "overflow", &[]);
        let address = child.said();
        let mut peer = msec_tests::Peer::connect(&address);
        peer.echo(b"alive");
        peer.send_bytes(&framed(&request(1, "test.Deep.Dive"), b""));
        // The process is gone, and with it the connection.
        peer.wait_for_end();
        let (status, stderr) = child.wait();
        let signal = status.signal().unwrap_or_else(|| panic!("{status}: {stderr}"));
        assert!(matches!(signal, 11 | 7 | 6), "died by signal {signal}");
        assert!(stderr.contains("stack overflow"), "{stderr}");
        assert!(stderr.contains("test.Deep.Dive"), "{stderr}");
    }
}

/// The child: serves until its parent asks for too much.
fn overflow(io: msec::Io) {
    msec::process::name_crashes().unwrap();
    let stage = Stage::with(config(io), |builder| {
        builder.raw("test.Deep.Dive", |context| Ok(dive(context.body(), 1).to_le_bytes()))
    });
    Child::say(stage.address());
    Child::wait_for_parent();
}

/// Recursion without an end that the compiler could see.
fn dive(body: &[u8], depth: u64) -> u64 {
    let room = std::hint::black_box([depth as u8; 512]);
    if body.len() as u64 == depth {
        return depth;
    }
    dive(body, depth + 1) + u64::from(std::hint::black_box(&room)[depth as usize % 512])
}
