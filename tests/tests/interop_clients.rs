//! Old clients at our server: what the checklist of interoperation demands of servers, each line a
//! test named for it, with bytes that owe nothing to the engine (`msec_tests::original`).
//!
//! Lines that others hold already, with bytes by `msec-protocol`:
//!
//! | line | test |
//! |---|---|
//! | bytes that are no head or no frame, of many kinds and at random | `server_malformed` |
//! | lengths below zero, bodies that are promised | `server_malformed`, `server_memory` |
//! | a datagram is one frame, and anything else is dropped | `server_places` |
//! | an answer over 64 KiB does not leave as a datagram | `server_places` |
//! | what is half sent, ended or reset in the middle | `server_flow`, `host_peers` |
//! | fields of ours that an old server hands on give no order | `server_malformed` |
//! | an answer carries the method's return value and the dye | `server_malformed` |
//! | overload and drain are answers with a code | `overload_*`, `server_leave` |
//! | chunked bodies, pipelining, keep-alive | `http_calls`, `http_wire` |
//! | the dye and the flow of a request reach the services behind | `client_relay` |

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::UdpSocket;

use msec::report::Role;
use msec::{CallOptions, Client, Engine, Error, Io, Server};
use msec_tests::original::{
    self, CALLER, CALLER_STACK, COLOR_ID, COLORING, Caller, Content, ERR, ERR_MSG, FLOW_ID, Fields,
    METHOD_NAME, Package, SEQUENCE, cpp_hash, cpp_request, java_hash, java_request, php_request,
};
use msec_tests::{ECHO, Gate, PATIENCE, Stage, config, on_both, quiet_panics};

const TELL: &str = "test.Head.Tell";
const TITLES: &str = "MainLogic.MainLogicService.GetTitles";

/// A stage with a method that tells what it knows of its request.
fn telling(io: Io) -> Stage {
    Stage::with(config(io), |builder| {
        builder.raw(TELL, |context| {
            Ok(format!("{} {} {}", context.caller(), context.flow_id(), context.is_dyed()))
        })
    })
}

fn text(package: &Package) -> &str {
    std::str::from_utf8(&package.body).unwrap()
}

#[test]
fn hashes_of_method_names_are_those_of_the_description() {
    assert_eq!((cpp_hash(ECHO), java_hash(ECHO)), (1_154_275_343, 213_358));
    assert_eq!((cpp_hash(TITLES), java_hash(TITLES)), (3_064_020_909, 374_072));
}

on_both! {
    fn the_worked_example_of_forty_bytes_is_served(io: Io) {
        let engine = Engine::with(config(io)).unwrap();
        let builder = Server::builder().listen("127.0.0.1:0");
        let server = builder.service(Echo).start(&engine).unwrap();
        let example = b"\x28\x00\x00\x00\x1a\x00\x00\x00\x04\x50\x01\x9a\x03\x15\
                        echo.EchoService.Echo\x0a\x02hi\x29";
        assert_eq!(example.len(), 40);
        let mut caller = Caller::connect(&server.addresses()[0]);
        caller.send_bytes(example);
        let answer = caller.receive();
        assert_eq!((answer.sequence(), answer.err(), answer.method_name()), (1, 0, ECHO));
        assert_eq!(answer.body, b"\x0a\x02hi");
        // Byte by byte, as a slow network may bring it.
        for byte in example {
            caller.send_bytes(&[*byte]);
        }
        assert_eq!(caller.receive().body, b"\x0a\x02hi");
        // And a body that is not the message.
        let asked = cpp_request(7, ECHO, b"\x0a\xff");
        let answer = caller.call(&asked);
        assert_eq!((answer.err(), answer.body.len()), (-5, 0));
    }

    fn a_client_of_cpp_keeps_its_connection_for_one_call_after_the_other(io: Io) {
        let stage = telling(io);
        let mut caller = Caller::connect(stage.address());
        for sequence in 1..=100 {
            let answer = caller.call(&cpp_request(sequence, TELL, b""));
            assert_eq!(text(&answer), format!("Demo.cpp {sequence} false"));
            assert_eq!(answer.err(), 0);
        }
        stage.wait_for_connections(1);
    }

    fn a_client_of_php_connects_for_each_call_and_loses_its_nul(io: Io) {
        let stage = telling(io);
        for sequence in [1, 2, u32::MAX] {
            let mut caller = Caller::connect(stage.address());
            let asked = php_request(sequence, TELL, b"x");
            assert_eq!(asked.head.text_of(CALLER), Some("Demo.php\0"));
            let answer = caller.call(&asked);
            let flow_id = cpp_hash(TELL) ^ u64::from(sequence);
            assert_eq!(text(&answer), format!("Demo.php {flow_id} false"));
            assert_eq!(answer.head.text_of(CALLER), Some("Demo.php"));
        }
        stage.wait_for_connections(0);
        // It is the same caller as one without it.
        let mut caller = Caller::connect(stage.address());
        let plain = php_request(9, TELL, b"").head.without(CALLER).bytes(CALLER, "Demo.php");
        caller.call(&Package { head: plain, body: Vec::new() });
        let three = php_request(10, TELL, b"").head.without(CALLER).bytes(CALLER, "Demo.php\0\0\0");
        caller.call(&Package { head: three, body: Vec::new() });
        let calls = stage.engine.snapshot().calls;
        let served = calls.keys().filter(|key| key.role == Role::Server);
        let callers: BTreeSet<_> = served.map(|key| key.caller.as_str()).collect();
        assert_eq!(callers, ["Demo.php"].into());
    }

    fn a_client_of_java_has_many_calls_in_flight_and_tells_answers_by_their_sequence(io: Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::with(config(io), move |builder| {
            builder.raw("test.Gate.Pass", move |context| {
                held.pass()?;
                Ok(context.body_bytes())
            })
        });
        let mut caller = Caller::connect(stage.address());
        let held = java_request(1, "test.Gate.Pass", b"first");
        let quick = (2..=100).map(|n| java_request(n, ECHO, n.to_string().as_bytes()));
        let all = std::iter::once(held).chain(quick);
        let all: Vec<u8> = all.flat_map(|one| one.encode()).collect();
        caller.send_bytes(&all);
        let mut told = BTreeSet::new();
        for _ in 2..=100 {
            let answer = caller.receive();
            assert_eq!(text(&answer), answer.sequence().to_string());
            assert!(told.insert(answer.sequence()));
        }
        gate.open();
        let last = caller.receive();
        assert_eq!((last.sequence(), text(&last)), (1, "first"));
    }

    fn a_sequence_of_any_length_comes_back_whole(io: Io) {
        let stage = Stage::echo(io);
        let mut caller = Caller::connect(stage.address());
        for sequence in [0, 127, 128, 1 << 31, u64::from(u32::MAX) + 1, u64::MAX] {
            let head = Fields::default().number(SEQUENCE, sequence).bytes(METHOD_NAME, ECHO);
            let answer = caller.call(&Package { head, body: b"x".to_vec() });
            assert_eq!((answer.err(), &answer.body[..]), (0, &b"x"[..]));
        }
    }

    fn a_body_of_no_length_passes_in_both_directions(io: Io) {
        let stage = Stage::echo(io);
        let mut caller = Caller::connect(stage.address());
        for sequence in 1..=10 {
            let answer = caller.call(&cpp_request(sequence, ECHO, b""));
            assert_eq!((answer.err(), answer.body.len()), (0, 0));
        }
    }

    fn a_flow_id_that_is_missing_or_zero_is_made_up_and_a_given_one_is_kept(io: Io) {
        let stage = telling(io);
        let mut caller = Caller::connect(stage.address());
        let mut flows = BTreeSet::new();
        let without = cpp_request(1, TELL, b"").head.without(FLOW_ID);
        let zero = without.clone().number(FLOW_ID, 0);
        for head in vec![[without.clone(), zero]; 5].concat() {
            let answer = caller.call(&Package { head, body: Vec::new() });
            let flow_id = answer.head.number_of(FLOW_ID).unwrap();
            assert_eq!(text(&answer), format!("Demo.cpp {flow_id} false"));
            assert!(flow_id != 0 && flows.insert(flow_id), "{flow_id} of {flows:?}");
        }
        let head = without.number(FLOW_ID, u64::MAX);
        let answer = caller.call(&Package { head, body: Vec::new() });
        assert_eq!(text(&answer), format!("Demo.cpp {} false", u64::MAX));
        assert_eq!(answer.head.number_of(FLOW_ID), Some(u64::MAX));
    }

    fn either_hash_of_a_method_name_and_any_other_will_do(io: Io) {
        let stage = Stage::echo(io);
        let mut caller = Caller::connect(stage.address());
        for color_id in [cpp_hash(ECHO), java_hash(ECHO), 0, u64::MAX] {
            let head = cpp_request(3, ECHO, b"").head.without(COLOR_ID).number(COLOR_ID, color_id);
            assert_eq!(caller.call(&Package { head, body: Vec::new() }).err(), 0);
        }
    }

    fn an_error_has_its_code_no_body_and_the_head_of_its_request(io: Io) {
        quiet_panics("meant to be");
        let stage = Stage::with(config(io), |builder| {
            builder
                .raw("test.Fail.Says", |_| Err::<&str, _>(Error::failed("sold out")))
                .raw("test.Fail.Panics", |_| -> msec::Result<&str> { panic!("meant to be") })
        });
        let mut caller = Caller::connect(stage.address());
        for (method, err, err_msg) in [
            ("test.Fail.Missing", -6, "there is no method `test.Fail.Missing` here"),
            ("test.Fail.Says", -18, "sold out"),
            ("test.Fail.Panics", -18, "meant to be"),
        ] {
            let mut asked = php_request(77, method, b"some");
            asked.head = asked.head.number(COLORING, 1);
            let answer = caller.call(&asked);
            assert_eq!((answer.err(), answer.body.len()), (err, 0), "{method}");
            // As protobuf of the time reads a negative number: ten bytes of it.
            assert_eq!(answer.head.number_of(ERR), Some(i64::from(err) as u64));
            assert!(answer.head.text_of(ERR_MSG).unwrap().contains(err_msg), "{answer:?}");
            assert_eq!(answer.method_name(), method);
            assert_eq!(answer.head.text_of(CALLER), Some("Demo.php"));
            for tag in [COLORING, FLOW_ID] {
                assert_eq!(answer.head.number_of(tag), asked.head.number_of(tag), "{tag}");
            }
        }
        assert_eq!(caller.call(&cpp_request(78, ECHO, b"")).err(), 0);
    }

    fn fields_that_nobody_knows_come_back_as_they_came(io: Io) {
        let stage = Stage::echo(io);
        let mut caller = Caller::connect(stage.address());
        let theirs = [
            (CALLER_STACK, Content::Bytes(b"Demo.web".to_vec())),
            (CALLER_STACK, Content::Bytes(b"Demo.shop".to_vec())),
            (100, Content::Number(1 << 40)),
            (1000, Content::Eight([8; 8])),
            (1001, Content::Four([4; 4])),
            ((1 << 29) - 1, Content::Bytes(vec![0xff; 300])),
        ];
        for method in [ECHO, "test.Head.Missing"] {
            let mut asked = cpp_request(5, method, b"x");
            asked.head.0.extend(theirs.clone());
            let answer = caller.call(&asked);
            let is_theirs = |tag: u64| theirs.iter().any(|(known, _)| *known == tag);
            let back = answer.head.0.into_iter().filter(|(tag, _)| is_theirs(*tag));
            let back: Vec<_> = back.collect();
            assert_eq!(back, theirs, "{method}");
        }
        // Nothing of it sticks to the next one.
        let answer = caller.call(&cpp_request(6, ECHO, b"x"));
        assert!(answer.head.0.iter().all(|(tag, _)| *tag < 100 && *tag != CALLER_STACK));
    }

    fn an_exact_name_goes_first_and_then_the_spelling_of_java_in_both_directions(io: Io) {
        let stage = Stage::with(config(io), |builder| {
            builder
                .raw(TITLES, |_| Ok("as in the .proto file"))
                .raw("a.Java.getTitles", |_| Ok("as in Java"))
                .raw("a.Both.Get", |_| Ok("upper"))
                .raw("a.Both.get", |_| Ok("lower"))
        });
        let mut caller = Caller::connect(stage.address());
        for (method, said) in [
            (TITLES, "as in the .proto file"),
            ("MainLogic.MainLogicService.getTitles", "as in the .proto file"),
            ("a.Java.getTitles", "as in Java"),
            ("a.Java.GetTitles", "as in Java"),
            ("a.Java.get_titles", "as in Java"),
            ("a.Both.Get", "upper"),
            ("a.Both.get", "lower"),
        ] {
            let answer = caller.call(&java_request(4, method, b""));
            assert_eq!((answer.err(), text(&answer), answer.method_name()), (0, said, method));
        }
        for method in ["a.Java.gettitles", "a.java.getTitles", "getTitles", ""] {
            assert_eq!(caller.call(&java_request(4, method, b"")).err(), -6, "{method}");
        }
        // It is one method, whatever it is called: one row of the report.
        let calls = stage.engine.snapshot().calls;
        assert!(calls.keys().any(|key| key.method == TITLES && key.caller == "Demo.java"));
        assert!(calls.keys().all(|key| !key.method.ends_with("Service.getTitles")));
    }

    fn a_request_goes_on_to_an_old_server_with_its_dye_its_flow_and_our_name(io: Io) {
        let old = original::server(|asked| {
            let head = &asked.head;
            let told = format!(
                "{:?} {:?} {:?}",
                head.number_of(COLORING), head.number_of(FLOW_ID), head.text_of(CALLER)
            );
            vec![original::cpp(asked, 0, told.as_bytes())]
        });
        let engine = Engine::with(config(io).service("Demo.relay")).unwrap();
        let client = Client::new(&engine, &old.address()).unwrap();
        let relay = move |_: &msec::Context| {
            Ok(client.call_raw(TELL, b"", &CallOptions::new().timeout(PATIENCE))?.body)
        };
        let builder = Server::builder().listen("127.0.0.1:0").raw("test.Relay.On", relay);
        let server = builder.start(&engine).unwrap();
        let mut caller = Caller::connect(&server.addresses()[0]);
        for (coloring, said) in [(1, "Some(1)"), (0, "None")] {
            let mut asked = cpp_request(4711, "test.Relay.On", b"");
            asked.head = asked.head.number(COLORING, coloring);
            let answer = caller.call(&asked);
            assert_eq!(text(&answer), format!("{said} Some(4711) Some(\"Demo.relay\")"));
        }
    }

    fn a_datagram_is_answered_by_the_address_that_it_was_sent_to(io: Io) {
        let stage = Stage::at(config(io), |builder| builder.listen("0.0.0.0:0@udp"));
        let port = stage.address().trim_end_matches("@udp").rsplit(':').next().unwrap().to_owned();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut memory = [0; 65_536];
        for (sequence, ip) in [(1, "127.0.0.1"), (2, "127.0.0.2")] {
            let server = format!("{ip}:{port}");
            let asked = cpp_request(sequence, ECHO, &[7; 1000]);
            socket.send_to(&asked.encode(), &server).unwrap();
            let (length, from) = socket.recv_from(&mut memory).unwrap();
            let answer = Package::decode(&memory[..length]);
            assert_eq!((answer.sequence(), &answer.body[..]), (sequence.into(), &[7; 1000][..]));
            // A client that checks where answers come from would drop any other.
            assert_eq!(from.to_string(), server);
        }
    }

    fn what_is_not_the_protocol_ends_the_connection_without_an_answer(io: Io) {
        let stage = Stage::echo(io);
        let mut bystander = stage.bystander();
        let nameless = Package { head: Fields::default().number(SEQUENCE, 1), body: Vec::new() };
        let without_sequence = cpp_request(1, ECHO, b"").head.without(SEQUENCE);
        let mut unended = cpp_request(1, ECHO, b"x").encode();
        *unended.last_mut().unwrap() = b'(';
        for bytes in [
            nameless.encode(),
            Package { head: without_sequence, body: Vec::new() }.encode(),
            unended,
            b"\x28\0\0\0\0\0\0\0\0\x29".to_vec(),
            b"\x28\xff\xff\xff\xff\0\0\0\0\x50\x01".to_vec(),
        ] {
            let mut caller = Caller::connect(stage.address());
            caller.send_bytes(&bytes);
            assert!(caller.ends(), "{bytes:x?}");
        }
        bystander.is_served();
    }
}

/// The service of the worked example.
struct Echo;

impl msec::Service for Echo {
    const NAME: &'static str = "echo.EchoService";

    fn methods(self, methods: &mut msec::Methods) {
        // A text is, to prost, the message whose field 1 it is.
        methods.typed(ECHO, |_, message: String| Ok(message));
    }
}
