//! Old servers under our client: what the checklist of interoperation demands of clients, each line
//! a test named for it, with bytes that owe nothing to the engine (`msec_tests::original`).
//!
//! Lines that others hold already, with bytes by `msec-protocol`:
//!
//! | line | test |
//! |---|---|
//! | nobody there, no answer, a reset: -11, -10, -11, and at once | `client_faults` |
//! | a server that echoes our fields gives no order and gets no cancel | `client_faults` |
//! | what is not the protocol, or breaks off, costs its connection | `client_faults` |
//! | lost and doubled datagrams, and those that are refused | `client_faults` |
//! | an answer over the limit costs its call alone | `client_faults` |
//! | third parties: refusing, silent, resetting; answers too long or malformed | `client_raw` |
//! | an old server between two of ours | `client_relay`, `report_traces` |
//! | an instance that does not answer is left alone | `route_faults` |

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use msec::naming::{Instance, Service, Standing, Table};
use msec::{CallOptions, Client, Code, Engine, Io, Pending, Result};
use msec_tests::original::{
    CALLER, COLOR_ID, COLORING, ERR, FLOW_ID, Fields, METHOD_NAME, Package, RESULT, SEQUENCE, cpp,
    java, server,
};
use msec_tests::{Acceptor, ECHO, PATIENCE, config, now, on_both, wait_until};

/// A client's engine of one core, so that it has one connection to each peer.
fn engine(io: Io) -> Engine {
    Engine::with(config(io).cores(1).service("Demo.new")).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn call(client: &Client, body: &[u8]) -> Result<Vec<u8>> {
    client.call_raw(ECHO, body, &patient()).map(|reply| reply.body.to_vec())
}

fn begin(client: &Client, body: &[u8]) -> Pending<()> {
    client.start_body(ECHO, body.to_vec(), &patient())
}

/// A server that answers well, in C++.
fn echo() -> Acceptor {
    server(|asked| vec![cpp(asked, 0, &asked.body)])
}

/// The head of an answer that says as little as the checklist lets it.
fn barest(asked: &Package, err: i32) -> Fields {
    let head = Fields::default().number(SEQUENCE, asked.sequence());
    if err == 0 { head } else { head.number(ERR, i64::from(err) as u64) }
}

on_both! {
    fn a_request_has_what_old_parsers_require_and_a_sequence_that_fits_them(io: Io) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let server = server(move |asked| {
            noted.lock().unwrap().push(asked.clone());
            vec![cpp(asked, 0, &asked.body)]
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for number in 0..200_u32 {
            assert_eq!(call(&client, &number.to_be_bytes()).unwrap(), number.to_be_bytes());
        }
        let seen = seen.lock().unwrap();
        let sequences: BTreeSet<_> = seen.iter().map(Package::sequence).collect();
        assert_eq!(sequences.len(), 200, "no sequence is used twice");
        for asked in seen.iter() {
            // PHP and Python keep it in a signed number of 32 bits.
            assert!((1..=i32::MAX as u64).contains(&asked.sequence()), "{asked:?}");
            assert_eq!((asked.method_name(), asked.head.text_of(CALLER)), (ECHO, Some("Demo.new")));
            assert_ne!(asked.head.number_of(FLOW_ID).unwrap_or(0), 0);
            // What is for answers is not sent, and nothing comes twice.
            let tags: BTreeSet<_> = asked.head.0.iter().map(|(tag, _)| *tag).collect();
            assert_eq!(tags.len(), asked.head.0.len(), "{asked:?}");
            let of_answers = [ERR, RESULT, COLORING, COLOR_ID, 82, 83];
            assert!(of_answers.iter().all(|tag| !tags.contains(tag)), "{asked:?}");
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn an_answer_need_have_no_more_than_its_sequence(io: Io) {
        let server = server(|asked| {
            let err = if asked.body == b"fail" { -18 } else { 0 };
            let body = if err == 0 { asked.body.clone() } else { Vec::new() };
            vec![Package { head: barest(asked, err), body }]
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for _ in 0..3 {
            assert_eq!(call(&client, b"fine").unwrap(), b"fine");
            let error = call(&client, b"fail").unwrap_err();
            assert_eq!((error.code(), error.message()), (Code::SERVICE_FAILED, ""));
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn a_server_of_java_answers_with_bare_heads_and_codes_of_its_own(io: Io) {
        let server = server(|asked| {
            let (outcome, body) = match &asked.body[..] {
                b"unknown" => ((-1, "Invalid method name"), &b""[..]),
                b"throws" => ((-1000, "Unknown exception!"), &b""[..]),
                b"silent" => ((-1000, ""), &b""[..]),
                body => ((0, ""), body),
            };
            vec![java(asked, outcome, body)]
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for (body, code, message) in [
            ("unknown", -1, "Invalid method name"),
            ("throws", -1000, "Unknown exception!"),
            ("silent", -1000, ""),
        ] {
            let error = call(&client, body.as_bytes()).unwrap_err();
            assert_eq!((error.code().0, error.message()), (code, message));
        }
        assert_eq!(call(&client, b"fine").unwrap(), b"fine");
        assert_eq!(server.accepted_count(), 1);
    }

    fn every_code_of_the_original_arrives_with_an_empty_body_and_its_text(io: Io) {
        let server = server(|asked| {
            let err: i32 = std::str::from_utf8(&asked.body).unwrap().parse().unwrap();
            vec![cpp(asked, err, b"")]
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for (code, text) in [
            (-1, "invalid parameter"),
            (-2, "system error"),
            (-3, "invalid package"),
            (-4, "invalid package header"),
            (-5, "invalid package body"),
            (-6, "invalid method name"),
            (-7, "package header uninitialized"),
            (-8, "package body uninitialized"),
            (-9, "no memory"),
            (-10, "timeout"),
            (-11, "network error"),
            (-12, "recevice timeout"),
            (-13, "network sendrecv failed"),
            (-14, "invalid endpoint"),
            (-15, "get route failed"),
            (-16, "invalid sequence"),
            (-17, "no package body"),
            (-18, "service implement failed"),
            (-19, "backend process failed, use GetErrText get more information"),
            (-20, "php error"),
            (-21, "python error"),
            // Of methods that set what they like.
            (-77, "unkown error"),
            (7, "unkown error"),
            (i32::MIN, "unkown error"),
        ] {
            let error = call(&client, code.to_string().as_bytes()).unwrap_err();
            assert_eq!((error.code().0, error.code().text()), (code, text));
            assert!(error.to_string().starts_with(&format!("{code} {text} (")), "{error}");
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn a_body_of_no_length_passes_in_both_directions(io: Io) {
        let server = echo();
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for _ in 0..10 {
            assert_eq!(call(&client, b"").unwrap(), b"");
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn the_return_value_of_a_method_arrives(io: Io) {
        let server = server(|asked| {
            let mut answer = cpp(asked, 0, b"x");
            answer.head = answer.head.number(RESULT, (-77_i64) as u64);
            vec![answer]
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        assert_eq!(client.call_raw(ECHO, b"", &patient()).unwrap().result, -77);
    }

    fn answers_in_another_order_find_their_calls(io: Io) {
        let held = Mutex::new(Vec::new());
        let server = server(move |asked| {
            let mut held = held.lock().unwrap();
            held.push(cpp(asked, 0, &asked.body));
            if held.len() == 20 { held.drain(..).rev().collect() } else { Vec::new() }
        });
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        let calls: Vec<_> = (0..20).map(|number| begin(&client, &[number; 3])).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.wait_raw().unwrap().body, [number as u8; 3][..]);
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn a_connection_that_its_peer_has_ended_while_idle_costs_no_call(io: Io) {
        // An old server ends what has been idle for a minute; a hundredth of a second will do here.
        let server = echo();
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for number in 0..50_u32 {
            let body = number.to_be_bytes();
            assert_eq!(call(&client, &body).unwrap(), body);
            let answered = now();
            wait_until("it is idle", || answered.elapsed() > Duration::from_millis(11));
            // The end has arrived when this returns, and the core may not have read it yet: the
            // call right after it must not be written into a closed connection.
            server.end_all();
        }
        assert_eq!(server.accepted_count(), 50);
    }

    fn a_request_that_is_dropped_silently_times_out_and_counts_against_its_instance(io: Io) {
        // As an overloaded server drops it: others on the same connection are answered.
        let server = server(|asked| match &asked.body[..] {
            b"drop" => Vec::new(),
            body => vec![cpp(asked, 0, body)],
        });
        let engine = engine(io);
        let mut table = Table::new();
        let instance = Instance::new(server.address().parse().unwrap());
        table.add(Service::new("Demo.old", vec![instance])).unwrap();
        engine.set_routes(table);
        let client = Client::new(&engine, "Demo.old").unwrap();
        let failures = || engine.explain_routes()[0].instances[0].failures_run;
        assert_eq!(call(&client, b"fine").unwrap(), b"fine");
        assert_eq!(failures(), 0);
        let short = CallOptions::new().timeout(Duration::from_millis(30));
        for count in 1..=2 {
            let error = client.call_raw(ECHO, b"drop", &short).unwrap_err();
            assert_eq!(error.code(), Code::TIMEOUT);
            wait_until("the failure is counted", || failures() >= count);
        }
        assert_eq!(call(&client, b"fine").unwrap(), b"fine");
        wait_until("the failures are forgiven", || failures() == 0);
        let standing = engine.explain_routes()[0].instances[0].standing;
        assert!(!matches!(standing, Standing::Ejected(_)), "{standing:?}");
        assert_eq!(server.accepted_count(), 1, "a time-out does not cost the connection");
    }

    fn of_datagrams_those_count_that_are_one_frame_and_come_from_whom_was_asked(io: Io) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = format!("{}@udp", socket.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut memory = [0; 65_536];
            for _ in 0..20 {
                let (length, from) = socket.recv_from(&mut memory).unwrap();
                let asked = Package::decode(&memory[..length]);
                let forged = cpp(&asked, 0, b"forged").encode();
                stranger.send_to(&forged, from).unwrap();
                socket.send_to(&[&forged[..], &forged].concat(), from).unwrap();
                socket.send_to(&forged[..forged.len() - 1], from).unwrap();
                socket.send_to(b"", from).unwrap();
                let bare = Package { head: barest(&asked, 0), body: asked.body.clone() };
                socket.send_to(&bare.encode(), from).unwrap();
            }
        });
        let engine = engine(io);
        let client = Client::new(&engine, &address).unwrap();
        for number in 0..20_u8 {
            assert_eq!(call(&client, &[number; 100]).unwrap(), [number; 100]);
        }
        server.join().unwrap();
    }

    fn a_name_that_is_spelled_as_in_java_is_sent_as_it_is(io: Io) {
        let server = server(|asked| vec![cpp(asked, 0, asked.method_name().as_bytes())]);
        let engine = engine(io);
        let client = Client::new(&engine, &server.address()).unwrap();
        for method in ["a.Java.getTitles", "a.Java.GetTitles"] {
            let reply = client.call_raw(method, b"", &patient()).unwrap();
            assert_eq!(reply.body, method.as_bytes());
        }
    }
}

#[test]
fn a_bare_head_is_as_bare_as_it_may_be() {
    let head = Fields::default().number(SEQUENCE, 1).bytes(METHOD_NAME, ECHO);
    let asked = Package { head, body: Vec::new() };
    assert_eq!(barest(&asked, 0).encode(), b"\x50\x01");
    assert_eq!(
        barest(&asked, -1).encode(),
        b"\x50\x01\xc0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    );
}
