//! Every way of calling, against a server of ours: what the caller gets, and that it gets it once.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use msec::{CallOptions, Client, Code, Engine, Error, Io, Pending, block_on};
use msec_protocol::Limits;
use msec_tests::{ECHO, Gate, PATIENCE, Stage, config, now, on_both, wait_for_line, wait_until};

const HELD: &str = "test.Gate.Pass";

/// A server whose method [`HELD`] waits at a gate.
fn gated(io: Io) -> (Stage, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let stage = Stage::with(config(io), move |builder| {
        builder.raw(HELD, move |context| {
            held.pass()?;
            Ok(context.body_bytes())
        })
    });
    (stage, gate)
}

/// A client on an engine of its own.
fn client(io: Io, address: &str) -> Client {
    Client::new(&Engine::with(config(io)).unwrap(), address).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn text(body: &str) -> String {
    body.to_owned()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future as a foreign executor would: on a plain thread, woken from anywhere.
fn execute<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park_timeout(PATIENCE);
    }
}

/// The echo as prost sees it: a `String` is a message with one text.
fn start(client: &Client, body: &str) -> Pending<String> {
    client.start(ECHO, &text(body), &patient())
}

on_both! {
    fn every_way_of_calling_gets_the_answer(io: Io) {
        let stage = Stage::echo(io);
        let client = client(io, stage.address());
        // A plain thread that blocks.
        assert_eq!(client.call::<_, String>(ECHO, &text("thread")).unwrap(), "thread");
        // A coroutine that parks.
        let (ours, address) = (client.clone(), stage.address().to_owned());
        let engine = Engine::with(config(io)).unwrap();
        let on_core = Client::new(&engine, &address).unwrap();
        let answer = engine.run(move || on_core.call::<_, String>(ECHO, &text("coroutine")));
        assert_eq!(answer.unwrap().unwrap(), "coroutine");
        // A coroutine of one engine with the client of another.
        let answer = engine.run(move || ours.call::<_, String>(ECHO, &text("abroad")));
        assert_eq!(answer.unwrap().unwrap(), "abroad");
        // A future, in another executor, on a thread, and in a coroutine.
        assert_eq!(execute(start(&client, "future")).unwrap(), "future");
        let awaited = block_on(start(&client, "thread's future"));
        assert_eq!(awaited.unwrap().unwrap(), "thread's future");
        // One whose answer is looked for first, and left where it is.
        let looked_for = start(&client, "looked for");
        block_on(looked_for.answered()).unwrap();
        block_on(looked_for.answered()).unwrap();
        assert_eq!(looked_for.wait().unwrap(), "looked for");
        let ours = client.clone();
        let answer = engine.run(move || block_on(start(&ours, "parked future")));
        assert_eq!(answer.unwrap().unwrap().unwrap(), "parked future");
        // A callback.
        let (tell, told) = mpsc::channel();
        client.call_back(ECHO, &text("callback"), &patient(), move |answer| {
            tell.send(answer).unwrap();
        });
        let answer: Result<String, Error> = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(answer.unwrap(), "callback");
        assert!(told.recv_timeout(PATIENCE).is_err(), "told once, and then dropped");
    }

    fn many_threads_at_once_each_get_their_own_answers(io: Io) {
        let stage = Stage::echo(io);
        let client = client(io, stage.address());
        let call = |thread: usize| {
            let client = client.clone();
            move || {
                for number in 0..100 {
                    let body = format!("{thread}: {number}").repeat(1 + number % 50);
                    let reply = client.call_raw(ECHO, body.as_bytes(), &patient()).unwrap();
                    assert_eq!(reply.body, body.as_bytes());
                }
            }
        };
        let threads: Vec<_> = (0..32).map(|n| std::thread::spawn(call(n))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        wait_until("all calls settled", || stage.server.load().requests_count == 0);
    }

    fn calls_that_are_started_run_in_parallel(io: Io) {
        let (stage, gate) = gated(io);
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let answers = std::thread::spawn(move || {
            engine.run(move || {
                let begin = |n: u32| client.start_body::<()>(HELD, vec![n as u8; 9], &patient());
                let started: Vec<_> = (0..50).map(begin).collect();
                started.into_iter().map(|call| call.wait_raw().unwrap().body[0]).collect::<Vec<_>>()
            })
        });
        gate.wait_for_arrivals(50);
        gate.open();
        assert!(answers.join().unwrap().unwrap().into_iter().eq(0..50));
    }

    fn a_call_without_answer_ends_by_its_deadline_and_its_late_answer_is_dropped(io: Io) {
        let (stage, gate) = gated(io);
        let client = client(io, stage.address());
        let begin = now();
        let options = CallOptions::new().timeout(Duration::from_millis(80));
        let error = client.call_raw(HELD, b"late", &options).unwrap_err();
        let took = begin.elapsed();
        assert_eq!(error.code(), Code::TIMEOUT);
        assert!(error.message().contains(stage.address()), "{error}");
        assert!(took >= Duration::from_millis(80) && took < PATIENCE / 3, "{took:?}");
        gate.open();
        for number in 0..100u32 {
            let reply = client.call_raw(ECHO, &number.to_be_bytes(), &patient()).unwrap();
            assert_eq!(reply.body, number.to_be_bytes()[..]);
        }
        assert_eq!(stage.server.load().connections_count, 1);
    }

    fn a_call_whose_time_is_over_before_it_begins_is_not_sent(io: Io) {
        let (stage, gate) = gated(io);
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let none = CallOptions::new().timeout(Duration::ZERO);
        assert_eq!(client.call_raw(HELD, b"", &none).unwrap_err().code(), Code::TIMEOUT);
        let ours = client.clone();
        let code = engine.run(move || ours.call_raw(HELD, b"", &none).unwrap_err().code());
        assert_eq!(code.unwrap(), Code::TIMEOUT);
        // The longest that can be said is no overflow.
        let ever = CallOptions::new().timeout(Duration::MAX);
        client.call_raw(ECHO, b"", &ever).unwrap();
        assert_eq!(gate.arrived_count(), 0);
    }

    fn a_dropped_call_is_cancelled_at_the_server(io: Io) {
        let (stage, gate) = gated(io);
        let client = client(io, stage.address());
        // The answer to a first call tells that the server understands cancels.
        client.call_raw(ECHO, b"", &patient()).unwrap();
        let dropped = client.start_body::<()>(HELD, Vec::new(), &patient());
        let kept = client.start_body::<()>(HELD, b"kept".to_vec(), &patient());
        gate.wait_for_arrivals(2);
        drop(dropped);
        assert_eq!(gate.wait_for_failures(1), [Code::CANCELLED]);
        gate.open();
        assert_eq!(kept.wait_raw().unwrap().body, &b"kept"[..]);
    }

    fn calls_that_are_dropped_at_once_leave_nothing_behind(io: Io) {
        let stage = Stage::echo(io);
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        for _ in 0..1000 {
            drop(client.start_body::<()>(ECHO, vec![1; 100], &patient()));
        }
        wait_until("no call in flight", || engine.vitals().calls == 0);
        assert_eq!(client.call_raw(ECHO, b"after", &patient()).unwrap().body, &b"after"[..]);
    }

    fn a_callback_may_call_again_on_the_same_connection(io: Io) {
        fn again(client: Client, left: u32, tell: mpsc::Sender<Code>) {
            let next = client.clone();
            let answered = move |answer: msec::Result<u32>| match answer {
                Ok(left) if left > 0 => again(next, left - 1, tell),
                Ok(_) => tell.send(Code::OK).unwrap(),
                Err(error) => tell.send(error.code()).unwrap(),
            };
            client.call_back(ECHO, &left, &patient(), answered);
        }
        let stage = Stage::echo(io);
        let (tell, told) = mpsc::channel();
        again(client(io, stage.address()), 500, tell);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Code::OK);
    }

    fn a_callback_that_panics_is_logged_and_harms_nobody(io: Io) {
        let stage = Stage::echo(io);
        let client = client(io, stage.address());
        let mark = format!("on purpose, with {io:?}");
        let panic = mark.clone();
        client.call_back(ECHO, &1u32, &patient(), move |_: msec::Result<u32>| panic!("{panic}"));
        let line = wait_for_line("panic", &mark);
        assert!(line.text.contains("callback of a call"), "{}", line.text);
        assert_eq!(client.call_raw(ECHO, b"after", &patient()).unwrap().body, &b"after"[..]);
    }

    fn a_callback_is_told_once_when_its_engine_stops(io: Io) {
        let (stage, gate) = gated(io);
        let (tell, told) = mpsc::channel();
        let count = 40;
        let client = client(io, stage.address());
        for number in 0..count {
            let tell = tell.clone();
            client.call_back(HELD, &number, &patient(), move |answer: msec::Result<u32>| {
                tell.send(answer.unwrap_err().code()).unwrap();
            });
        }
        gate.wait_for_arrivals(count as usize);
        drop((client, tell));
        let codes: Vec<Code> = told.iter().collect();
        assert_eq!(codes, vec![Code::NETWORK; count as usize]);
        // To the server this is the end of further requests: what it has read, it serves, until
        // its first answers are refused by a reset.
        assert_eq!(gate.failed(), []);
        gate.open();
        wait_until("all were served or cancelled", || {
            gate.passed_count() + gate.failed().len() == count as usize
        });
        assert!(gate.failed().iter().all(|code| *code == Code::CANCELLED));
        stage.wait_for_requests(0);
    }

    fn a_handler_that_never_yields_does_not_keep_a_caller_beyond_its_deadline(io: Io) {
        let stage = Stage::echo(io);
        let engine = Engine::with(config(io).cores(1).stall_ms(60_000)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let burner = engine.clone();
        let burner = std::thread::spawn(move || {
            burner.run(move || {
                tell.send(()).unwrap();
                // Stops the whole core, as it must not.
                let _ = held.recv_timeout(PATIENCE);
            })
        });
        told.recv_timeout(PATIENCE).unwrap();
        let options = CallOptions::new().timeout(Duration::from_millis(50));
        let begin = now();
        let error = client.call_raw(ECHO, b"", &options).unwrap_err();
        assert_eq!(error.code(), Code::TIMEOUT);
        assert!(begin.elapsed() < PATIENCE / 3, "{error}");
        hold.send(()).unwrap();
        burner.join().unwrap().unwrap();
        assert_eq!(client.call_raw(ECHO, b"on", &patient()).unwrap().body, &b"on"[..]);
    }

    fn a_request_over_the_limit_is_not_sent_and_an_answer_over_it_is_thrown_away(io: Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Size.Big", |_| Ok(vec![7; 1_000_001]))
        });
        let limits = Limits { body_bytes_max: 1_000_000, ..Limits::DEFAULT };
        let engine = Engine::with(config(io).limits(limits)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let other = client.start_body::<()>(ECHO, vec![9; 1_000_000], &patient());
        let error = client.call_raw("test.Size.Big", b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::TOO_LARGE);
        assert!(error.message().contains("answer"), "{error}");
        let error = client.call_raw(ECHO, &vec![0; 1_000_001], &patient()).unwrap_err();
        assert_eq!(error.code(), Code::TOO_LARGE);
        assert!(error.message().contains("not sent"), "{error}");
        assert_eq!(other.wait_raw().unwrap().body.len(), 1_000_000);
        assert_eq!(client.call_raw(ECHO, b"after", &patient()).unwrap().body, &b"after"[..]);
        wait_until("no timer of a call is left", || engine.vitals().calls == 0);
    }

    fn much_in_both_directions_at_once_does_not_lock_up(io: Io) {
        let stage = Stage::echo(io);
        let engine = Engine::with(config(io).cores(1)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let body = vec![3; 12 << 20];
        let begin = |_| client.start_body::<()>(ECHO, body.clone(), &patient());
        let started: Vec<_> = (0..5).map(begin).collect();
        for call in started {
            assert!(call.wait_raw().unwrap().body == body);
        }
    }

    fn one_way_calls_arrive_and_do_not_wait(io: Io) {
        let arrived = Arc::new(AtomicUsize::new(0));
        let count = arrived.clone();
        let stage = Stage::with(config(io), move |builder| {
            builder.raw("test.Count.Up", move |context| {
                assert!(context.is_one_way());
                count.fetch_add(1, Ordering::AcqRel);
                Ok(vec![0; 10])
            })
        });
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let options = patient().one_way(true);
        for _ in 0..10 {
            client.call_raw("test.Count.Up", b"x", &options).unwrap();
        }
        let ours = client.clone();
        engine.run(move || ours.call_raw("test.Count.Up", b"", &options).unwrap()).unwrap();
        wait_until("all have arrived", || arrived.load(Ordering::Acquire) == 11);
        assert_eq!(client.call_raw(ECHO, b"after", &patient()).unwrap().body, &b"after"[..]);
    }

    fn unix_sockets_and_ipv6_carry_calls(io: Io) {
        let name = format!("/tmp/msec-client-{io:?}-{}", std::process::id());
        let addresses = [format!("unix:{name}"), format!("unix:@{name}"), "[::1]:0".into()];
        let stage = Stage::at(config(io), |builder| {
            addresses.iter().fold(builder, |builder, address| builder.listen(address))
        });
        for address in stage.server.addresses() {
            let client = client(io, address);
            let body = vec![5; 300_000];
            let reply = client.call_raw(ECHO, &body, &patient());
            assert!(reply.unwrap_or_else(|error| panic!("{address}: {error}")).body == body);
        }
    }

    fn a_callees_error_comes_with_its_code_and_text(io: Io) {
        let stage = Stage::with(config(io), |builder| {
            builder
                .raw("test.Fail.Own", |_| Err::<Vec<u8>, _>(Error::new(Code(-77), "out of cake")))
                .raw("test.Fail.Panic", |_| -> msec::Result<Vec<u8>> { panic!("no cake at all") })
        });
        let client = client(io, stage.address());
        let error = client.call_raw("test.Fail.Own", b"", &patient()).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code(-77), "out of cake"));
        assert_eq!(error.operation(), "calling test.Fail.Own");
        let error = client.call_raw("test.Fail.Panic", b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::SERVICE_FAILED);
        assert!(error.message().contains("no cake at all"), "{error}");
        let error = client.call_raw("test.Fail.Absent", b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_METHOD);
        let error = client.call::<_, u32>(ECHO, &text("no number")).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_BODY);
        let nonsense = Client::new(&stage.engine, "nonsense");
        assert_eq!(nonsense.unwrap_err().code(), Code::INVALID_ENDPOINT);
    }
}
