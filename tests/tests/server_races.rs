//! What happens on a server when two things meet: a dead connection and a late answer, a handler's
//! end and input that waits, a stop and datagrams. Each of these has corrupted a neighbour, or
//! nearly so, in a server somewhere.

#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use msec::{Limits, Server};
use msec_protocol::{Code, RequestHead};
use msec_tests::peer::{framed, request};
use msec_tests::{ECHO, End, Gate, PATIENCE, Stage, UdpPeer, config, on_both, wait_until};

const PASS: &str = "test.Gate.Pass";

fn cancel(sequence: u64) -> RequestHead<'static> {
    RequestHead { cancel: true, ..request(sequence, PASS) }
}

on_both! {
    /// Its requests' places in the table of flights are free for others at once, and their answers
    /// come later.
    fn a_late_answer_of_a_dead_connection_frees_nobody_elses_request(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let (arrive, arrived) = mpsc::channel();
        let stage = Stage::with(config(io).cores(1), |builder| {
            let builder = builder.raw(PASS, move |_| held.pass().map(|()| "passed"));
            // Holds up the core itself, so that everything sent meanwhile is read in one turn.
            builder.raw("test.Core.Hold", move |_| {
                arrive.send(()).unwrap();
                released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                Ok("released")
            })
        });
        let (mut holder, mut bad, mut good) = (stage.peer(), stage.peer(), stage.peer());
        good.echo(b"connected");
        bad.send(&request(1, PASS), b"");
        gate.wait_for_arrivals(1);
        holder.send(&request(1, "test.Core.Hold"), b"");
        arrived.recv_timeout(PATIENCE).unwrap();
        bad.send_bytes(&[0xff; 64]);
        good.send(&request(7, PASS), b"");
        release.send(()).unwrap();
        assert_eq!(holder.answer().body, b"released");
        gate.wait_for_arrivals(2);
        // The one request is known still, and so is the next.
        good.send(&request(8, PASS), b"");
        gate.wait_for_arrivals(3);
        good.send(&cancel(7), b"");
        assert_eq!((good.answer().head.sequence, stage.server.load().requests_count), (7, 1));
        good.send(&cancel(8), b"");
        let answer = good.answer();
        assert_eq!((answer.head.sequence, answer.code()), (8, Code::CANCELLED));
        good.echo(b"still served");
    }

    /// Input that waited for room is taken when a handler ends, but on the loop's stack: a callback
    /// method must not be able to wait just because it came this way.
    fn what_waited_for_room_starts_on_the_loop(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let limits = Limits { requests_per_connection_max: 1, ..Limits::DEFAULT };
        let stage = Stage::with(config(io).cores(1).limits(limits), |builder| {
            builder
                .raw(PASS, move |_| held.pass().map(|()| "passed"))
                .raw("test.Loop.Wait", |_| msec::sleep(Duration::from_millis(1)).map(|()| "slept"))
                .method("test.Loop.Wait", |options| {
                    options.callback();
                })
        });
        let mut peer = stage.peer();
        let mut bytes = framed(&request(1, PASS), b"");
        bytes.extend(framed(&request(2, "test.Loop.Wait"), b""));
        bytes.extend(framed(&request(3, ECHO), b"behind it"));
        peer.send_bytes(&bytes);
        gate.wait_for_arrivals(1);
        gate.open();
        assert_eq!(peer.answer().body, b"passed");
        let answer = peer.answer();
        assert_eq!((answer.head.sequence, answer.code()), (2, Code::SYSTEM_ERROR));
        assert_eq!(peer.answer().body, b"behind it");
    }

    /// A few kilobytes of requests may ask for any number of bytes.
    fn small_requests_with_large_answers_are_run_as_the_answers_are_taken(io: msec::Io) {
        const COUNT: u64 = 200;
        const ANSWER_BYTES: usize = 1 << 20;
        let run_count = Arc::new(AtomicUsize::new(0));
        let runs_count = run_count.clone();
        // Whoever is in flight will have an answer, so this bounds them, too.
        let limits = Limits { requests_per_connection_max: 4, ..Limits::DEFAULT };
        let stage = Stage::with(config(io).cores(1).limits(limits), |builder| {
            builder.raw("test.Large.Get", move |_| {
                runs_count.fetch_add(1, Ordering::Relaxed);
                Ok(vec![7; ANSWER_BYTES])
            })
        });
        let (mut peer, mut bystander) = (stage.peer(), stage.bystander());
        let large = |sequence| framed(&request(sequence, "test.Large.Get"), b"");
        let requests = (1..=COUNT).flat_map(large);
        peer.send_bytes(&requests.collect::<Vec<_>>());
        wait_until("the first to run", || run_count.load(Ordering::Relaxed) > 0);
        bystander.is_served();
        assert!(run_count.load(Ordering::Relaxed) < 50, "all were run at once");
        for sequence in 1..=COUNT {
            let answer = peer.answer();
            assert_eq!((answer.head.sequence, answer.body.len()), (sequence, ANSWER_BYTES));
        }
    }

    fn a_destructor_that_panics_behind_the_answer_makes_no_second_one(io: msec::Io) {
        struct Body;

        impl AsRef<[u8]> for Body {
            fn as_ref(&self) -> &[u8] {
                b"an answer"
            }
        }

        impl Drop for Body {
            fn drop(&mut self) {
                panic!("on purpose, in a destructor");
            }
        }

        for is_heavy in [false, true] {
            let stage = Stage::with(config(io), |builder| {
                builder.raw("test.Body.Get", |_| Ok(Body)).method("test.Body.Get", move |options| {
                    if is_heavy {
                        options.heavy();
                    }
                })
            });
            let mut peer = stage.peer();
            let answer = peer.call("test.Body.Get", b"");
            assert_eq!((answer.code(), &answer.body[..]), (Code::OK, &b"an answer"[..]));
            // The next answer is that of the next request.
            peer.echo(b"and no other");
        }
    }

    fn a_stop_answers_datagrams_in_flight_and_lets_go_of_the_port(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::at(config(io), |builder| {
            builder
                .raw(PASS, move |_| held.pass().map(|()| "passed"))
                .listen("127.0.0.1:0")
                .listen("127.0.0.1:0@udp")
        });
        let address = stage.server.addresses()[1].clone();
        let (mut witness, peer) = (stage.peer(), UdpPeer::connect(&address));
        witness.echo(b"connected");
        peer.send(&request(1, PASS), b"");
        gate.wait_for_arrivals(1);
        std::thread::scope(|scope| {
            scope.spawn(|| stage.stop(Duration::ZERO));
            // The server ends its connections when it takes no more requests.
            assert_eq!(witness.wait_for_end(), End::Fin);
            gate.open();
            assert_eq!(peer.answer().body, b"passed");
            drop(witness);
        });
        let bare = address.strip_suffix("@udp").unwrap();
        wait_until("the port to be free", || UdpSocket::bind(bare).is_ok());
    }

    fn a_stop_without_anybody_lets_go_of_the_datagram_port(io: msec::Io) {
        let stage = Stage::at(config(io), |builder| builder.listen("127.0.0.1:0@udp"));
        let address = stage.address().to_owned();
        stage.stop(PATIENCE);
        let bare = address.strip_suffix("@udp").unwrap();
        wait_until("the port to be free", || UdpSocket::bind(bare).is_ok());
    }

    fn a_server_is_not_started_on_a_core(io: msec::Io) {
        let stage = Stage::echo(io);
        let engine = stage.engine.clone();
        let started = stage.engine.run(move || Server::builder().start(&engine).map(drop));
        assert_eq!(started.unwrap_err().code(), Code::SERVICE_FAILED);
        stage.peer().echo(b"and nobody waits for it");
    }
}
