//! Requests that nobody waits for any more: cancelled, out of time, or of a dead connection.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use msec_protocol::{Code, RequestHead};
use msec_tests::peer::{framed, request};
use msec_tests::{Gate, Level, Stage, config, now, on_both, wait_for_line_after, wait_until};

/// Keeps a core busy, without a blocking call, until told to end.
#[derive(Clone, Default)]
struct Busy {
    runs: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Busy {
    fn burn(&self) {
        self.runs.store(true, Ordering::Release);
        while !self.over.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }

    fn wait_until_it_runs(&self) {
        wait_until("the core to be busy", || self.runs.load(Ordering::Acquire));
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}

/// A stage of one core with `test.Busy.Burn`, and `test.Count.Run` that counts its runs.
fn busy_stage(config: msec::Config, busy: &Busy, runs: &Arc<AtomicUsize>) -> Stage {
    let (busy, runs) = (busy.clone(), runs.clone());
    // Hours, lest the watchdog speaks of what is meant to be.
    Stage::with(config.stall_ms(3_600_000), |builder| {
        builder
            .raw("test.Busy.Burn", move |_| {
                busy.burn();
                Ok("burnt")
            })
            .raw("test.Count.Run", move |_| {
                runs.fetch_add(1, Ordering::AcqRel);
                Ok("ran")
            })
    })
}

/// A stage with `test.Gate.Pass`, which tells in its answer whether it saw itself cancelled.
fn gated(config: msec::Config, gate: &Gate) -> Stage {
    let held = gate.clone();
    Stage::with(config, |builder| {
        builder.raw("test.Gate.Pass", move |context| {
            let before = context.is_cancelled();
            let outcome = held.pass();
            assert!(!before && context.is_cancelled() == outcome.is_err());
            outcome.map(|()| "passed")
        })
    })
}

on_both! {
    fn a_cancel_frame_ends_the_wait_of_its_request_alone(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        let (mut peer, mut other) = (stage.peer(), stage.peer());
        for sequence in 1..=3 {
            peer.send(&request(sequence, "test.Gate.Pass"), b"");
        }
        other.send(&request(2, "test.Gate.Pass"), b"the same sequence on another connection");
        gate.wait_for_arrivals(4);
        peer.send(&RequestHead::cancel(2), b"");
        // Again, and one that nobody knows: no effect, no answer.
        peer.send(&RequestHead::cancel(2), b"");
        peer.send(&RequestHead::cancel(77), b"");
        let answer = peer.answer();
        assert_eq!((answer.head.sequence, answer.code()), (2, Code::CANCELLED));
        assert_eq!(gate.failed(), [Code::CANCELLED]);
        bystander.is_served();
        gate.open();
        let mut others = [peer.answer(), peer.answer()];
        others.sort_by_key(|answer| answer.head.sequence);
        assert_eq!((others[0].head.sequence, others[0].code()), (1, Code::OK));
        assert_eq!((others[1].head.sequence, others[1].code()), (3, Code::OK));
        assert_eq!(other.answer().code(), Code::OK);
        peer.echo(b"after");
        stage.wait_for_requests(0);
    }

    fn the_death_of_a_connection_cancels_its_requests_alone(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        let (mut peer, mut other) = (stage.peer(), stage.peer());
        for sequence in 1..=50 {
            peer.send(&request(sequence, "test.Gate.Pass"), b"");
        }
        other.send(&request(1, "test.Gate.Pass"), b"");
        gate.wait_for_arrivals(51);
        peer.reset();
        assert_eq!(gate.wait_for_failures(50), [Code::CANCELLED; 50]);
        stage.wait_for_requests(1);
        bystander.is_served();
        gate.open();
        assert_eq!(other.answer().code(), Code::OK);
        stage.wait_for_requests(0);
    }

    fn a_request_whose_deadline_passed_in_the_queue_is_not_run(io: msec::Io) {
        let (busy, runs) = (Busy::default(), Arc::default());
        let stage = busy_stage(config(io).cores(1), &busy, &runs);
        let mut peer = stage.peer();
        let hurried = RequestHead { deadline_ms: 5, ..request(2, "test.Count.Run") };
        // In one piece, so that all are read before the first one keeps the core.
        let mut frames = framed(&request(1, "test.Busy.Burn"), b"");
        frames.extend(framed(&hurried, b""));
        frames.extend(framed(&request(3, "test.Count.Run"), b""));
        peer.send_bytes(&frames);
        busy.wait_until_it_runs();
        let begin = now();
        wait_until("the deadline to pass", || begin.elapsed() > Duration::from_millis(20));
        busy.end();
        let answers: Vec<_> = (0..3).map(|_| peer.answer()).collect();
        let code = |sequence| {
            answers.iter().find(|answer| answer.head.sequence == sequence).unwrap().code()
        };
        assert_eq!((code(1), code(2), code(3)), (Code::OK, Code::DEADLINE_EXCEEDED, Code::OK));
        assert_eq!(runs.load(Ordering::Acquire), 1, "only the patient one ran");
        stage.wait_for_requests(0);
    }

    fn a_request_cancelled_in_the_queue_is_not_run(io: msec::Io) {
        let (busy, runs) = (Busy::default(), Arc::default());
        let stage = busy_stage(config(io).cores(1), &busy, &runs);
        let mut peer = stage.peer();
        // Requests start as they are read, until one has kept the core for long: those behind it
        // queue up, and the cancel overtakes its request.
        let mut frames = framed(&request(1, "test.Busy.Burn"), b"");
        frames.extend(framed(&request(2, "test.Count.Run"), b""));
        frames.extend(framed(&request(3, "test.Count.Run"), b""));
        frames.extend(framed(&RequestHead::cancel(3), b""));
        peer.send_bytes(&frames);
        busy.wait_until_it_runs();
        let begin = now();
        wait_until("a tick of the clock", || begin.elapsed() > Duration::from_millis(20));
        busy.end();
        let mut answers = [peer.answer(), peer.answer(), peer.answer()];
        answers.sort_by_key(|answer| answer.head.sequence);
        assert_eq!(answers.map(|answer| answer.code()), [Code::OK, Code::OK, Code::CANCELLED]);
        assert_eq!(runs.load(Ordering::Acquire), 1);
    }

    fn a_connection_that_dies_while_its_request_runs_on_another_thread(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let cancelled = Arc::new(AtomicUsize::new(0));
        let seen = cancelled.clone();
        let stage = Stage::with(config(io), |builder| {
            let builder = builder.raw("test.Heavy.Run", move |context| {
                // A thread is not woken by a cancel, but it can look.
                held.pass()?;
                seen.fetch_add(usize::from(context.is_cancelled()), Ordering::AcqRel);
                Ok(vec![1; 100_000])
            });
            builder.method("test.Heavy.Run", |options| {
                options.heavy();
            })
        });
        let mut bystander = stage.bystander();
        for sequence in 1..=8 {
            let mut peer = stage.peer();
            peer.send(&request(sequence, "test.Heavy.Run"), b"");
            gate.wait_for_arrivals(sequence as usize);
            peer.reset();
        }
        stage.wait_for_connections(1);
        bystander.is_served();
        assert_eq!(stage.server.load().requests_count, 8, "they still run");
        gate.open();
        stage.wait_for_requests(0);
        assert_eq!(cancelled.load(Ordering::Acquire), 8);
        bystander.is_served();
    }

    fn a_connection_that_dies_while_its_request_runs_on_the_other_core(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
        let seen = threads.clone();
        let stage = Stage::with(config(io).stall_ms(3_600_000), |builder| {
            builder
                .raw("test.Busy.Spin", |_| {
                    let begin = now();
                    // So long that what waits behind it is handed over.
                    while begin.elapsed() < Duration::from_millis(3) {
                        std::hint::spin_loop();
                    }
                    Ok("spun")
                })
                .raw("test.Gate.Pass", move |_| {
                    seen.lock().unwrap().insert(std::thread::current().id());
                    held.pass().map(|()| "passed")
                })
        });
        let mut bystander = stage.bystander();
        let (mut arrived, mut shared_count) = (0, 0);
        // Whether the other core sleeps at the right moment is not ours to say.
        while shared_count < 3 {
            assert!(arrived < 100 * 20, "no request was handed to the other core");
            // Requests that keep the core, and behind them some that wait.
            let spins = (1..=4).flat_map(|n| framed(&request(n, "test.Busy.Spin"), b""));
            let waits = (5..=24).flat_map(|n| framed(&request(n, "test.Gate.Pass"), b""));
            let mut peer = stage.peer();
            peer.send_bytes(&spins.chain(waits).collect::<Vec<_>>());
            arrived += 20;
            gate.wait_for_arrivals(arrived);
            let (address, before) = (peer.local_address(), msec_tests::lines_count());
            peer.reset();
            // A peer's bad luck: told to who debugs, not to the operator.
            let dead = format!("from {address} is dead");
            let line = wait_for_line_after(before, "connection", &dead);
            assert_eq!(line.level, Level::Debug);
            let failures = gate.wait_for_failures(arrived);
            assert!(failures.iter().all(|code| *code == Code::CANCELLED));
            shared_count += usize::from(threads.lock().unwrap().drain().count() == 2);
        }
        stage.wait_for_connections(1);
        stage.wait_for_requests(0);
        bystander.is_served();
    }
}
