//! Handlers that misbehave, and limits that hold them off: each costs its own request at most.

#![allow(clippy::unwrap_used)]

use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use msec_protocol::{Code, Limits};
use msec_tests::child::test_name;
use msec_tests::peer::{framed, request};
use msec_tests::{
    Child, ECHO, Gate, Level, Stage, config, lines, now, on_both, wait_for_line, wait_until,
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

    fn a_plain_mutex_held_by_who_parks_is_told_with_both_methods_and_a_stack(io: msec::Io) {
        if Child::is_running("lock") {
            return stopped_by_a_lock(io);
        }
        let child = Child::of_test(&test_name(module_path!(), io), "lock", &[]);
        let address = child.said();
        let mut holder = msec_tests::Peer::connect(&address);
        holder.send(&request(1, "test.Lock.Hold"), b"");
        assert_eq!(child.said(), "held");
        holder.again().send(&request(1, "test.Lock.Take"), b"");
        let line = child.said();
        for part in ["method test.Lock.Take waits for a lock", "meanwhile: test.Lock.Hold;"] {
            assert!(line.contains(part), "`{line}` does not say `{part}`");
        }
        // The program has opted in.
        wait_until("the stack of the core", || {
            let stderr = child.stderr();
            let stack = stderr.split("msec: stack of core 0 in method test.Lock.Take:\n").nth(1);
            stack.is_some_and(|stack| stack.matches("server_handlers").count() >= 3)
        });
        let (status, stderr) = child.wait();
        assert!(status.success(), "{stderr}");
    }

    fn how_much_stack_a_method_uses_is_told(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Deep.Dive", |context| Ok(dive(context.body(), 1).to_le_bytes()))
        });
        let mut peer = stage.peer();
        assert_eq!(peer.call("test.Deep.Dive", &[0; 150]).code(), Code::OK);
        let metrics = msec::report::prometheus(&stage.engine.snapshot());
        let of_method = "method=\"test.Deep.Dive\"} ";
        let line = metrics.lines().find(|line| {
            line.starts_with("msec_stack_used_bytes{core=") && line.contains(of_method)
        });
        let line = line.unwrap_or_else(|| panic!("{metrics}"));
        // 150 frames of more than 512 bytes, on a stack of 256 KiB.
        let used_bytes: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((75 << 10..256 << 10).contains(&used_bytes), "{line}");
    }

    fn an_idle_core_is_no_stall(io: msec::Io) {
        // Cores of other stories do stall.
        Child::alone(module_path!(), io, || {
            let stage = Stage::with(config(io).stall_ms(500), |builder| builder);
            stage.peer().echo(b"then nothing");
            let begin = now();
            wait_until("some idle time", || begin.elapsed() > Duration::from_millis(1200));
            stage.peer().echo(b"awake");
            assert!(lines("stall", "").is_empty(), "{:?}", lines("stall", ""));
        });
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
            let answer = peer.call(ECHO, b"no room");
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

    fn without_a_stack_a_request_is_refused_until_some_are_free(io: msec::Io) {
        if Child::is_running("stacks") {
            return out_of_stacks(io);
        }
        // A slab of stacks of 64 MiB is 64 GiB: there is room for one.
        let test = test_name(module_path!(), io);
        let child = Child::with_memory_max(100 << 20, &test, "stacks", &[]);
        let (status, stderr) = child.wait();
        assert!(status.success(), "{stderr}");
    }

    fn quick_handlers_have_latencies(io: msec::Io) {
        let stage = Stage::with(config(io).cores(1), |builder| {
            builder.raw("test.Quick.Loop", |_| Ok("quick")).method("test.Quick.Loop", |options| {
                options.callback();
            })
        });
        for method in [ECHO, "test.Quick.Loop"] {
            let mut peer = stage.peer();
            // One by one, and many at once, of which most are not clocked.
            for _ in 0..100 {
                assert_eq!(peer.call(method, b"").code(), Code::OK);
            }
            let frames = (1000..2000).flat_map(|n| framed(&request(n, method), b""));
            let start = now();
            peer.send_bytes(&frames.collect::<Vec<_>>());
            for _ in 0..1000 {
                assert_eq!(peer.answer().code(), Code::OK);
            }
            let took_ns = start.elapsed().as_nanos() as u64;
            let report = stage.server.report();
            let counters = &report.iter().find(|report| report.name == method).unwrap().counters;
            let latency_ns = counters.latency_ns();
            assert_eq!(latency_ns.count(), 1100);
            let (least_ns, half_ns) = (latency_ns.quantile(1), latency_ns.quantile(500_000));
            assert!(least_ns > 0 && half_ns > 0, "{method}: {least_ns} {half_ns}");
            // A thousand of them fit into the time that their batch took.
            assert!(half_ns < took_ns, "{method}: {half_ns} of {took_ns}");
        }
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

/// The child: its only core waits for a lock that one of its own coroutines holds.
fn stopped_by_a_lock(io: msec::Io) {
    msec::process::name_crashes().unwrap();
    let lock = Arc::new(Mutex::new(()));
    let taken = lock.clone();
    let stage = Stage::with(config(io).cores(1).stall_ms(50), |builder| {
        builder
            .raw("test.Lock.Hold", move |_| {
                let held = lock.lock().unwrap();
                Child::say("held");
                // What nobody should do.
                msec::sleep(Duration::from_secs(3600))?;
                drop(held);
                Ok("held")
            })
            .raw("test.Lock.Take", move |_| {
                let _taken = taken.lock().unwrap();
                Ok("taken")
            })
    });
    Child::say(stage.address());
    Child::say(&wait_for_line("stall", "test.Lock.Take").text);
    Child::wait_for_parent();
    // Its core will never end.
    std::process::exit(0);
}

/// The child: has address space for 1,024 coroutines of one core.
fn out_of_stacks(io: msec::Io) {
    let gate = Gate::new();
    let stage = gated(config(io).cores(1).stack_kb(65_536), &gate, 0);
    let mut bystander = stage.bystander();
    let (mut peer, mut other) = (stage.peer(), stage.peer());
    for sequence in 1..=700 {
        peer.send(&request(sequence, "test.One.Pass"), b"");
        other.send(&request(sequence, "test.One.Pass"), b"");
    }
    let refused = 2 * 700 - 1024;
    gate.wait_for_arrivals(1024);
    stage.wait_for_requests(1024);
    // What is refused comes last, and later than those that arrive.
    wait_until("all others to be refused", || {
        let report = stage.server.report();
        let method = report.iter().find(|report| report.name == "test.One.Pass").unwrap();
        method.counters.ended_with(Code::OVERLOADED) == refused
    });
    let told = lines("stacks", "a request was refused: no address space");
    assert_eq!((told.len() as u64, told[0].level), (refused, Level::Warn));
    gate.open();
    let mut refused_count = 0;
    for _ in 0..700 {
        for peer in [&mut peer, &mut other] {
            let answer = peer.answer();
            if answer.code() == Code::OVERLOADED {
                refused_count += 1;
                assert!(answer.err_msg.contains("no stack is left"), "{}", answer.err_msg);
            } else {
                assert_eq!(answer.code(), Code::OK);
            }
        }
    }
    assert_eq!(refused_count, refused);
    bystander.is_served();
    stage.wait_for_requests(0);
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
