//! Peers that fail: what the callers get, when, and that calls to others do not notice.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::{TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine, Io, Pending};
use msec_protocol::{AnswerHead, Limits};
use msec_tests::emulated::{old_cpp, old_java, resetting, silent};
use msec_tests::peer::framed_raw;
use msec_tests::{
    ECHO, Emulated, Level, PATIENCE, Seen, Stage, Wire, config, free_address, lines, now, on_both,
    wait_for_line, wait_until,
};

/// A client's engine of one core, so that it has one connection to each peer, and a healthy server.
struct Caller {
    engine: Engine,
    healthy: Stage,
}

impl Caller {
    fn new(io: Io) -> Self {
        Self::with(config(io), io)
    }

    fn with(config: Config, io: Io) -> Self {
        let healthy = Stage::echo(io);
        Self { engine: Engine::with(config.cores(1)).unwrap(), healthy }
    }

    fn to(&self, address: &str) -> Client {
        Client::new(&self.engine, address).unwrap()
    }

    /// Calls to another peer are served.
    #[track_caller]
    fn others_are_served(&self) {
        let reply = self.to(self.healthy.address()).call_raw(ECHO, b"well", &patient());
        assert_eq!(reply.unwrap().body, &b"well"[..]);
    }

    /// The operator is told why a connection to the peer was closed.
    #[track_caller]
    fn tells_of_breach(&self, address: &str, why: &str) {
        let line = wait_for_line("peer", &format!("connection to {address} closed: {why}"));
        assert_eq!(line.level, Level::Warn);
    }

    /// The operator is told that the peer cannot be reached, once it has failed for a while.
    #[track_caller]
    fn tells_of_failures(&self, address: &str, why: &str) {
        let client = self.to(address);
        let part = format!("cannot reach {address}, 4 times in a row: ");
        wait_until("a line about a peer that keeps failing", || {
            let _ = code(&client, b"again", &patient());
            !lines("peer", &part).is_empty()
        });
        let line = wait_for_line("peer", &part);
        assert!(line.text.contains(why), "`{}` does not say `{why}`", line.text);
        assert_eq!(line.level, Level::Warn);
    }

    /// What the callers are told by a code is no news for the operator.
    #[track_caller]
    fn says_nothing_of(&self, address: &str) {
        let found = lines("peer", address);
        assert!(found.is_empty(), "{found:?}");
    }

    /// Nothing is left of the calls made.
    #[track_caller]
    fn is_at_rest(&self) {
        wait_until("no call in flight", || self.engine.vitals().calls == 0);
    }
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn within(ms: u64) -> CallOptions {
    CallOptions::new().timeout(Duration::from_millis(ms))
}

/// Soon over, but not before the call has reached its peer, on a machine that is busy as well.
fn soon() -> CallOptions {
    within(250)
}

fn code(client: &Client, body: &[u8], options: &CallOptions) -> Code {
    client.call_raw(ECHO, body, options).map_or_else(|error| error.code(), |_| Code::OK)
}

fn begin(client: &Client, body: &[u8]) -> Pending<()> {
    client.start_body(ECHO, body.to_vec(), &patient())
}

/// Every call fails with -11 long before its deadline.
#[track_caller]
fn all_die_at_once(calls: Vec<Pending<()>>) {
    let begin = now();
    for call in calls {
        assert_eq!(call.wait_raw().unwrap_err().code(), Code::NETWORK);
    }
    assert!(begin.elapsed() < PATIENCE / 3, "they waited for their deadlines");
}

/// A listener that accepts nobody, with a full queue: whoever connects gets no answer at all.
struct BlackHole {
    listener: socket2::Socket,
    _queue: Vec<socket2::Socket>,
}

impl BlackHole {
    fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // The kernel queues one more than it is told to, and drops what comes beyond.
        let knock = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        Self { listener, _queue: (0..4).map(knock).collect() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().as_socket().unwrap().to_string()
    }
}

on_both! {
    fn a_refused_connect_fails_at_once_and_rests_before_the_next(io: Io) {
        let caller = Caller::new(io);
        let address = free_address();
        let client = caller.to(&address);
        let begin = now();
        let error = client.call_raw(ECHO, b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::NETWORK);
        assert!(error.message().contains(&address), "{error}");
        // While it rests, calls fail with the reason and without a dial.
        for _ in 0..1000 {
            assert_eq!(code(&client, b"", &patient()), Code::NETWORK);
        }
        let (took_ms, dials) = (begin.elapsed().as_millis() as u64, caller.engine.vitals().dials);
        assert!(dials <= 3 + took_ms / 5, "{dials} dials in {took_ms} ms");
        caller.others_are_served();
        caller.tells_of_failures(&address, "refused");
        // Somebody listens again.
        let _server = Emulated::at(&address, old_cpp);
        wait_until("calls succeed again", || code(&client, b"", &patient()) == Code::OK);
        caller.is_at_rest();
    }

    fn a_black_hole_is_given_up_at_the_deadline_or_when_connecting_takes_too_long(io: Io) {
        let caller = Caller::new(io);
        let hole = BlackHole::new();
        let client = caller.to(&hole.address());
        let start = now();
        let long = begin(&client, b"long");
        assert_eq!(code(&client, b"short", &within(50)), Code::TIMEOUT);
        let soon = start.elapsed() < Duration::from_millis(900);
        assert!(soon, "the short one waited for the connect");
        caller.others_are_served();
        let error = long.wait_raw().unwrap_err();
        assert_eq!(error.code(), Code::NETWORK);
        assert!(error.message().contains("cannot connect"), "{error}");
        assert!(start.elapsed() < PATIENCE / 3);
        // Once is no news.
        caller.says_nothing_of(&hole.address());
        caller.is_at_rest();
    }

    fn a_reset_fails_all_calls_of_the_connection_at_once(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(silent);
        let client = caller.to(&server.address());
        let calls: Vec<_> = (0..50).map(|_| begin(&client, b"x")).collect();
        server.wait_for(50);
        let told = begin(&client, b"told");
        server.wait_for(51);
        server.reset_all();
        let error = told.wait_raw().unwrap_err();
        assert!(error.message().contains("reset by peer"), "{error}");
        all_die_at_once(calls);
        assert_eq!(server.accepted_count(), 1);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
        caller.is_at_rest();
    }

    fn an_end_of_the_servers_side_fails_all_calls_at_once(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(silent);
        let client = caller.to(&server.address());
        let calls: Vec<_> = (0..50).map(|_| begin(&client, b"x")).collect();
        server.wait_for(50);
        server.end_all();
        all_die_at_once(calls);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
        caller.is_at_rest();
    }

    fn a_peer_that_restarts_fails_what_is_in_flight_and_serves_what_comes_later(io: Io) {
        let caller = Caller::new(io);
        let held = |seen: &Seen, wire: &mut Wire| match seen.body.as_slice() {
            b"hold" => {}
            _ => wire.echo(seen),
        };
        let address = free_address();
        let server = Emulated::at(&address, held);
        let client = caller.to(&address);
        assert_eq!(code(&client, b"before", &patient()), Code::OK);
        let calls: Vec<_> = (0..20).map(|_| begin(&client, b"hold")).collect();
        server.wait_for(21);
        drop(server);
        all_die_at_once(calls);
        assert_eq!(code(&client, b"while it is away", &patient()), Code::NETWORK);
        caller.others_are_served();
        let _again = Emulated::at(&address, held);
        wait_until("calls succeed again", || code(&client, b"after", &patient()) == Code::OK);
        // And from then on each of them.
        (0..100).for_each(|_| assert_eq!(code(&client, b"after", &patient()), Code::OK));
        // Had it stayed away for longer, that would be told; that it went is not.
        assert!(lines("peer", &format!("{address} closed")).is_empty());
        caller.is_at_rest();
    }

    fn a_peer_that_hangs_up_at_each_request_is_not_dialled_for_each_call(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(resetting);
        let client = caller.to(&server.address());
        let begin = now();
        for _ in 0..1000 {
            assert_eq!(code(&client, b"", &patient()), Code::NETWORK);
        }
        let (took_ms, dials) = (begin.elapsed().as_millis() as u64, caller.engine.vitals().dials);
        assert!(dials <= 3 + took_ms / 5, "{dials} dials in {took_ms} ms");
        caller.others_are_served();
        caller.tells_of_failures(&server.address(), "");
        caller.is_at_rest();
    }

    fn late_double_and_made_up_answers_reach_nobody(io: Io) {
        let caller = Caller::new(io);
        let late: Mutex<Vec<Seen>> = Mutex::default();
        let server = Emulated::start(move |seen, wire| {
            if seen.body == b"late" {
                return late.lock().unwrap().push(seen.clone());
            }
            late.lock().unwrap().drain(..).for_each(|late| wire.echo(&late));
            let is_answered = seen.body != b"astray";
            for sequence in [0, seen.head.sequence + 1, seen.head.sequence + 1000, u64::MAX] {
                let features = msec_protocol::head::FEATURES;
                let answer = AnswerHead { sequence, features, ..AnswerHead::default() };
                wire.answer(&answer, b"nobody's");
            }
            (0..2).filter(|_| is_answered).for_each(|_| wire.echo(seen));
        });
        let client = caller.to(&server.address());
        assert_eq!(code(&client, b"late", &soon()), Code::TIMEOUT);
        assert_eq!(code(&client, b"astray", &soon()), Code::INVALID_SEQUENCE);
        for number in 0..200u32 {
            let reply = client.call_raw(ECHO, &number.to_be_bytes(), &patient()).unwrap();
            assert_eq!(reply.body, number.to_be_bytes()[..]);
        }
        assert_eq!(server.accepted_count(), 1);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
        caller.is_at_rest();
    }

    /// The news has the sequence of no call, and is no sign of a peer that makes answers up.
    fn a_call_that_a_leaving_peer_does_not_answer_times_out(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(|seen, wire| {
            if seen.body == b"lost" {
                let features = msec_protocol::head::FEATURES;
                wire.answer(&AnswerHead { leaving: true, features, ..AnswerHead::default() }, b"");
            } else {
                wire.echo(seen);
            }
        });
        let client = caller.to(&server.address());
        assert_eq!(code(&client, b"lost", &soon()), Code::TIMEOUT);
        assert_eq!(code(&client, b"goes elsewhere", &patient()), Code::OK);
        assert_eq!(server.accepted_count(), 2);
        caller.is_at_rest();
    }

    fn answers_in_any_order_find_their_calls(io: Io) {
        let caller = Caller::new(io);
        let kept: Mutex<Vec<Seen>> = Mutex::default();
        let server = Emulated::start(move |seen, wire| {
            let mut kept = kept.lock().unwrap();
            kept.push(seen.clone());
            if kept.len() == 100 {
                kept.drain(..).rev().for_each(|seen| wire.echo(&seen));
            }
        });
        let client = caller.to(&server.address());
        let calls: Vec<_> = (0..100).map(|n| begin(&client, &[n; 20])).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait_raw().unwrap().body, vec![number as u8; 20]);
        }
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
    }

    fn a_silent_peer_gets_a_new_connection_and_slow_calls_keep_theirs(io: Io) {
        let caller = Caller::new(io);
        let slow: Mutex<Option<Seen>> = Mutex::default();
        // Answers nothing on the first connection until a request comes on the second.
        let wires: Mutex<Vec<Wire>> = Mutex::default();
        let server = Emulated::start(move |seen, wire| {
            if seen.body == b"slow" {
                *slow.lock().unwrap() = Some(seen.clone());
                wires.lock().unwrap().push(wire.clone());
            } else if seen.connection > 1 {
                wire.echo(seen);
                if let Some(slow) = slow.lock().unwrap().take() {
                    wires.lock().unwrap()[0].echo(&slow);
                }
            }
        });
        let client = caller.to(&server.address());
        let slow = begin(&client, b"slow");
        server.wait_for(1);
        for _ in 0..3 {
            assert_eq!(code(&client, b"lost", &soon()), Code::TIMEOUT);
        }
        assert_eq!(server.accepted_count(), 1);
        assert_eq!(code(&client, b"anew", &patient()), Code::OK);
        assert_eq!(server.accepted_count(), 2);
        assert_eq!(slow.wait_raw().unwrap().body, &b"slow"[..]);
        caller.others_are_served();
        wait_until("the old one is closed", || caller.engine.vitals().connections == 2);
        let address = server.address();
        let line = wait_for_line("peer", &format!("connection to {address} is given up: "));
        assert!(line.text.contains("calls time out and no byte comes back"), "{}", line.text);
    }

    fn garbage_closes_the_connection_and_fails_its_calls(io: Io) {
        let caller = Caller::new(io);
        let garbage: [&[u8]; 5] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"(\xff\xff\xff\xff\0\0\0\0",
            b"(\0\0\0\x02\0\0\0\0\xff\xff)",
            b"(\0\0\0\x02\0\0\0\0\x50\x01]",
            b"\0",
        ];
        for bytes in garbage {
            let server = Emulated::start(move |seen, wire| {
                if seen.body == b"garbage" {
                    wire.bytes(bytes);
                }
            });
            let client = caller.to(&server.address());
            let bodies = [&b"x"[..], b"x", b"garbage"];
            let calls: Vec<_> = bodies.iter().map(|body| begin(&client, body)).collect();
            all_die_at_once(calls);
            caller.others_are_served();
            caller.tells_of_breach(&server.address(), "not the protocol");
        }
        caller.is_at_rest();
    }

    fn a_promise_of_too_much_costs_its_call_alone(io: Io) {
        let limits = Limits { body_bytes_max: 1000, ..Limits::DEFAULT };
        let caller = Caller::with(config(io).limits(limits), io);
        let server = Emulated::start(|seen, wire| match seen.body.as_slice() {
            b"big" => wire.bytes(&framed_raw(&seen.head_bytes, &[0; 2000])),
            _ => wire.echo(seen),
        });
        let client = caller.to(&server.address());
        assert_eq!(code(&client, b"big", &patient()), Code::TOO_LARGE);
        assert_eq!(code(&client, b"small", &patient()), Code::OK);
        assert_eq!(server.accepted_count(), 1);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
    }

    fn an_old_server_that_echoes_heads_works_and_gets_no_cancel(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(|seen, wire| match seen.body.as_slice() {
            b"hold" => {}
            _ => old_cpp(seen, wire),
        });
        let client = caller.to(&server.address());
        let options = patient().header("tenant", b"blue").unwrap().dyed(true);
        for number in 0..50u32 {
            let reply = client.call_raw(ECHO, &number.to_be_bytes(), &options).unwrap();
            assert_eq!(reply.body, number.to_be_bytes()[..]);
        }
        // A timeout and a dropped call: with a new server both would send a cancel.
        assert_eq!(code(&client, b"hold", &soon()), Code::TIMEOUT);
        let dropped = begin(&client, b"hold");
        server.wait_for(52);
        drop(dropped);
        assert_eq!(code(&client, b"after", &patient()), Code::OK);
        assert!(server.seen().iter().all(|seen| !seen.head.cancel));
        assert_eq!(server.seen().len(), 53);
        assert_eq!(server.accepted_count(), 1);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
    }

    fn a_server_that_has_said_so_gets_cancels(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(|seen, wire| match seen.body.as_slice() {
            b"hold" => {}
            _ => wire.echo(seen),
        });
        let client = caller.to(&server.address());
        // Before the first answer nobody knows.
        assert_eq!(code(&client, b"hold", &soon()), Code::TIMEOUT);
        assert_eq!(code(&client, b"first", &patient()), Code::OK);
        assert!(server.seen().iter().all(|seen| !seen.head.cancel));
        assert_eq!(code(&client, b"hold", &soon()), Code::TIMEOUT);
        let seen = server.wait_for(4);
        let (held, cancel) = (&seen[2], &seen[3]);
        assert!(cancel.head.cancel && cancel.method_name == "msec.cancel");
        assert_eq!(cancel.head.sequence, held.head.sequence);
        let dropped = begin(&client, b"hold");
        server.wait_for(5);
        drop(dropped);
        let seen = server.wait_for(6);
        assert!(seen[5].head.cancel && seen[5].head.sequence == seen[4].head.sequence);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
    }

    fn an_old_java_server_answers_with_bare_heads_and_its_own_codes(io: Io) {
        let caller = Caller::new(io);
        let server = Emulated::start(old_java);
        let client = caller.to(&server.address());
        assert_eq!(client.call_raw(ECHO, b"fine", &patient()).unwrap().body, &b"fine"[..]);
        let error = client.call_raw(ECHO, b"throw", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::JAVA_FAILED);
        assert_eq!(error.message(), "java.lang.NullPointerException");
        assert_eq!(code(&client, b"fail", &patient()), Code::INVALID_PARAMETER);
        assert_eq!(code(&client, b"fine", &patient()), Code::OK);
        caller.others_are_served();
        caller.says_nothing_of(&server.address());
    }

    fn lost_and_doubled_datagrams_cost_their_calls_alone(io: Io) {
        let caller = Caller::new(io);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = format!("{}@udp", socket.local_addr().unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let server = std::thread::spawn(move || {
            let mut memory = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut memory).unwrap();
                let datagram = &memory[..length];
                let has = |part: &[u8]| datagram.windows(part.len()).any(|window| window == part);
                if has(b"stop") {
                    return socket.send_to(datagram, from).unwrap();
                }
                if !has(b"lose") {
                    socket.send_to(datagram, from).unwrap();
                    socket.send_to(datagram, from).unwrap();
                    socket.send_to(b"(garbage", from).unwrap();
                }
            }
        });
        let client = caller.to(&address);
        let start = now();
        let lost = client.start_body::<()>(ECHO, b"lose".to_vec(), &within(200));
        for number in 0..100u32 {
            let reply = client.call_raw(ECHO, &number.to_be_bytes(), &patient()).unwrap();
            assert_eq!(reply.body, number.to_be_bytes()[..]);
        }
        assert_eq!(lost.wait_raw().unwrap_err().code(), Code::TIMEOUT);
        assert!(start.elapsed() >= Duration::from_millis(200));
        let error = client.call_raw(ECHO, &[0; 70_000], &patient()).unwrap_err();
        assert_eq!(error.code(), Code::TOO_LARGE);
        assert_eq!(code(&client, b"stop", &patient()), Code::OK);
        server.join().unwrap();
        caller.others_are_served();
        // Networks lose datagrams, and anybody may send some.
        caller.says_nothing_of(&address);
        caller.is_at_rest();
    }

    fn a_datagram_that_is_refused_fails_its_call_at_once(io: Io) {
        let caller = Caller::new(io);
        let address = format!("{}@udp", free_address());
        let client = caller.to(&address);
        let start = now();
        for _ in 0..10 {
            let error = client.call_raw(ECHO, b"x", &patient()).unwrap_err();
            assert_eq!(error.code(), Code::NETWORK, "{error}");
        }
        assert!(start.elapsed() < PATIENCE / 3);
        caller.others_are_served();
        caller.says_nothing_of(&address);
        caller.is_at_rest();
    }

    fn datagrams_reach_a_server_of_ours(io: Io) {
        let stage = Stage::at(config(io), |builder| builder.listen("127.0.0.1:0@udp"));
        let caller = Caller::new(io);
        let client = caller.to(stage.address());
        let calls: Vec<_> = (0..100).map(|n| begin(&client, &[n; 50])).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait_raw().unwrap().body, vec![number as u8; 50]);
        }
        let error = client.call_raw("echo.EchoService.Absent", b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_METHOD);
        caller.others_are_served();
    }

    fn a_connection_that_never_was_used_may_go_and_come_back(io: Io) {
        let caller = Caller::new(io);
        let port = free_address();
        let stage = Stage::at(config(io), |builder| builder.listen(port.as_str()));
        let client = caller.to(&port);
        assert_eq!(code(&client, b"once", &patient()), Code::OK);
        // The other side goes while no call is in flight: the next call simply dials again.
        drop(stage);
        wait_until("the connection is gone", || caller.engine.vitals().connections == 0);
        let _again = Stage::at(config(io), |builder| builder.listen(port.as_str()));
        assert!(TcpStream::connect(&port).is_ok());
        assert_eq!(code(&client, b"again", &patient()), Code::OK);
        caller.others_are_served();
        caller.says_nothing_of(&port);
    }

    fn half_an_answer_and_then_nothing_costs_the_connection(io: Io) {
        let limits = Limits { stall_ms_max: 100, ..Limits::DEFAULT };
        let caller = Caller::with(config(io).limits(limits), io);
        let server = Emulated::start(|seen, wire| match seen.body.as_slice() {
            b"half" => wire.bytes(&framed_raw(&seen.head_bytes, &[0; 2000])[..1000]),
            _ => wire.echo(seen),
        });
        let client = caller.to(&server.address());
        // An idle connection may be quiet for as long as it likes.
        assert_eq!(code(&client, b"well", &patient()), Code::OK);
        let start = now();
        wait_until("thrice the time", || start.elapsed() > Duration::from_millis(300));
        assert_eq!(code(&client, b"well", &patient()), Code::OK);
        assert_eq!(server.accepted_count(), 1);
        all_die_at_once(vec![begin(&client, b"half")]);
        caller.tells_of_breach(&server.address(), "no progress for too long");
        assert_eq!(code(&client, b"anew", &patient()), Code::OK);
        caller.others_are_served();
        caller.is_at_rest();
    }

    fn as_many_connections_as_asked_for_share_the_calls(io: Io) {
        let count = 3;
        let caller = Caller::with(config(io).connections_per_peer(count), io);
        let server = Emulated::start(|seen, wire| wire.echo(seen));
        let client = caller.to(&server.address());
        let used = || server.seen().iter().map(|seen| seen.connection).collect::<BTreeSet<_>>();
        // One more is opened by a call while the others are there.
        wait_until("calls on each connection", || {
            assert_eq!(code(&client, b"x", &patient()), Code::OK);
            used().len() == count
        });
        for _ in 0..100 {
            assert_eq!(code(&client, b"x", &patient()), Code::OK);
        }
        assert_eq!(server.accepted_count(), count);
        let seen = server.seen();
        for connection in 1..=count {
            let of = seen.iter().filter(|seen| seen.connection == connection).count();
            assert!(of >= 30, "{of} calls on connection {connection}");
        }
        caller.others_are_served();
        caller.is_at_rest();
    }
}
