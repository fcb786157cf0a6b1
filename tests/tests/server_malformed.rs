//! What is not the protocol, and what is on its edge: the connection of the sinner is closed and
//! the operator told, or the request is refused by a code; others do not notice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use msec_protocol::{Code, Limits, Metadata, RequestHead, head};
use msec_tests::peer::{framed, framed_raw, promised, request};
use msec_tests::{ECHO, End, Gate, Stage, config, on_both, wait_until};

/// Sends bytes that are not the protocol, and expects the end and a line that says `why`.
fn is_closed_for(stage: &Stage, bytes: &[u8], why: &str) {
    let mut bystander = stage.bystander();
    let mut peer = stage.peer();
    peer.echo(b"served until it errs");
    peer.send_bytes(bytes);
    peer.wait_for_end();
    let line = peer.wait_for_line();
    assert!(line.text.contains("closed: not the protocol"), "{}", line.text);
    assert!(line.text.contains(why), "`{}` does not say `{why}`", line.text);
    bystander.is_served();
}

/// The bytes of a head with nothing but these fields.
fn head_of(fields: &[u8]) -> Vec<u8> {
    framed_raw(fields, b"")
}

on_both! {
    fn malformed_frames_close_their_connection_and_no_other(io: msec::Io) {
        let stage = Stage::echo(io);
        is_closed_for(&stage, b"GET / HTTP/1.0\r\n\r\n", "");
        is_closed_for(&stage, b"get / HTTP/1.0\r\n\r\n", "");
        is_closed_for(&stage, b"(\xff\xff\xff\xff\0\0\0\0 head", "");
        is_closed_for(&stage, b"(\0\0\0\0\0\0\0\0)", "");
        let mut unended = framed(&request(1, ECHO), b"body");
        *unended.last_mut().unwrap() = b'(';
        is_closed_for(&stage, &unended, "");
        stage.wait_for_requests(0);
    }

    fn malformed_heads_close_their_connection_and_no_other(io: msec::Io) {
        let stage = Stage::echo(io);
        is_closed_for(&stage, &head_of(b"\xff\xff\xff\xff\xff\xff"), "not protobuf");
        // sequence 1, and no method; then a method, and no sequence.
        is_closed_for(&stage, &head_of(b"\x50\x01"), "no method name");
        is_closed_for(&stage, &head_of(b"\x9a\x03\x01a"), "no sequence");
        // A method name that is longer than the head.
        is_closed_for(&stage, &head_of(b"\x50\x01\x9a\x03\x7fa"), "not protobuf");
        stage.wait_for_requests(0);
    }

    fn an_oversize_head_closes_the_connection_before_it_is_read(io: msec::Io) {
        let stage = Stage::echo(io);
        let length = u32::try_from(Limits::DEFAULT.head_bytes_max + 1).unwrap();
        let mut bytes = b"(".to_vec();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        is_closed_for(&stage, &bytes, "");
    }

    fn an_oversize_body_is_refused_and_the_connection_goes_on(io: msec::Io) {
        let limits = Limits { body_bytes_max: 100_000, ..Limits::DEFAULT };
        let stage = Stage::with(config(io).limits(limits), |builder| builder);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        peer.echo(&vec![7; 100_000]);
        peer.send(&request(70, ECHO), &vec![7; 100_001]);
        // The next frame comes in one go with the end of the refused one.
        peer.send(&request(71, ECHO), b"next");
        let (refused, next) = (peer.answer(), peer.answer());
        assert_eq!((refused.head.sequence, refused.code()), (70, Code::TOO_LARGE));
        assert!(refused.err_msg.contains("over the limit"), "{}", refused.err_msg);
        assert_eq!((next.head.sequence, &next.body[..]), (71, &b"next"[..]));
        bystander.is_served();
        // The caller is told, and counters tell the operator: no line for each.
        assert!(peer.lines().is_empty(), "{:?}", peer.lines());
        let report = stage.server.report();
        let counters = &report.iter().find(|method| method.name == ECHO).unwrap().counters;
        assert_eq!(counters.ended_with(Code::TOO_LARGE), 1);
        assert_eq!(counters.in_flight(), 0);
        let spans = stage.engine.spans(&Default::default()).0;
        let refused: Vec<_> = spans.iter().filter(|span| span.code == Code::TOO_LARGE).collect();
        assert_eq!((refused.len(), &*refused[0].method), (1, ECHO));
    }

    fn an_oversize_body_is_refused_while_it_still_comes(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = stage.peer();
        let body_bytes = Limits::DEFAULT.body_bytes_max + 1;
        peer.send_bytes(&promised(&request(5, ECHO), body_bytes));
        assert_eq!(peer.answer().code(), Code::TOO_LARGE);
        peer.send_bytes(&vec![0; body_bytes]);
        peer.send_bytes(b")");
        peer.echo(b"after");
    }

    fn an_oversize_answer_is_replaced_by_its_code(io: msec::Io) {
        let limits = Limits { body_bytes_max: 1000, ..Limits::DEFAULT };
        let stage = Stage::with(config(io).limits(limits), |builder| {
            builder.raw("test.Size.Big", |_| Ok(vec![0; 1001]))
        });
        let mut peer = stage.peer();
        let answer = peer.call("test.Size.Big", b"");
        assert_eq!((answer.code(), answer.body.len()), (Code::TOO_LARGE, 0));
        peer.echo(b"after");
    }

    fn an_unknown_method_is_answered_and_the_connection_goes_on(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = stage.peer();
        let answer = peer.call("echo.EchoService.Shout", b"hello");
        assert_eq!((answer.code(), &answer.body[..]), (Code::INVALID_METHOD, &b""[..]));
        assert!(answer.err_msg.contains("echo.EchoService.Shout"), "{}", answer.err_msg);
        assert_eq!(answer.method_name, "echo.EchoService.Shout");
        assert_eq!(peer.call("", b"").code(), Code::INVALID_METHOD);
        peer.echo(b"after");
        // The spelling of Java is the same method.
        assert_eq!(peer.call("echo.EchoService.echo", b"x").code(), Code::OK);
    }

    fn empty_bodies_are_served(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = stage.peer();
        peer.echo(b"");
        // Many in one piece.
        let frames: Vec<u8> = (1..=100).flat_map(|n| framed(&request(n, ECHO), b"")).collect();
        peer.send_bytes(&frames);
        let mut sequences: Vec<u64> = (0..100).map(|_| peer.answer().head.sequence).collect();
        sequences.sort_unstable();
        assert!(sequences.into_iter().eq(1..=100));
    }

    fn the_same_sequence_twice_is_answered_twice(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::with(config(io), move |builder| {
            builder.raw("test.Gate.Pass", move |context| {
                held.pass()?;
                Ok(context.body_bytes())
            })
        });
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        peer.send(&request(9, "test.Gate.Pass"), b"first");
        peer.send(&request(9, "test.Gate.Pass"), b"second");
        gate.wait_for_arrivals(2);
        gate.open();
        let mut answers = [peer.answer(), peer.answer()];
        answers.sort_by(|one, other| one.body.cmp(&other.body));
        assert!(answers.iter().all(|answer| answer.head.sequence == 9));
        assert_eq!((&answers[0].body[..], &answers[1].body[..]), (&b"first"[..], &b"second"[..]));
        stage.wait_for_requests(0);
        bystander.is_served();
        // Which of its requests an answer is for is the caller's business.
        assert!(peer.lines().is_empty(), "{:?}", peer.lines());
    }

    fn a_one_way_request_runs_and_is_not_answered(io: msec::Io) {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let stage = Stage::with(config(io), move |builder| {
            builder.raw("test.OneWay.Note", move |context| {
                assert!(context.is_one_way());
                count.fetch_add(1, Ordering::AcqRel);
                match context.body() {
                    b"fail" => Err(msec::Error::failed("nobody hears this")),
                    body => Ok(body.to_vec()),
                }
            })
        });
        let mut peer = stage.peer();
        for (sequence, body) in [(1, &b"note"[..]), (2, b"fail")] {
            let head = RequestHead { one_way: true, ..request(sequence, "test.OneWay.Note") };
            peer.send(&head, body);
        }
        // Nor is a refusal.
        peer.send(&RequestHead { one_way: true, ..request(3, "no.Such.Method") }, b"");
        wait_until("two one-way requests to run", || runs.load(Ordering::Acquire) == 2);
        stage.wait_for_requests(0);
        // Had there been an answer, it would come before this one.
        peer.echo(b"the only answer");
    }

    fn the_head_reaches_the_handler_and_comes_back(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Head.Tell", |context| {
                context.set_result(-77);
                let tenant = context.metadata_value("tenant").unwrap_or(b"nobody").to_vec();
                Ok(format!(
                    "{} {} {} {} {}",
                    context.caller(),
                    String::from_utf8(tenant).unwrap(),
                    context.flow_id(),
                    context.is_dyed(),
                    context.attempt(),
                ))
            })
        });
        let mut metadata = Metadata::new();
        metadata.add("tenant", b"blue").unwrap();
        let head = RequestHead {
            coloring: 1,
            flow_id: 4711,
            caller: b"Demo.caller\0",
            attempt: 2,
            metadata: metadata.encoded(),
            ..request(3, "test.Head.Tell")
        };
        let mut peer = stage.peer();
        peer.send(&head, b"");
        let answer = peer.answer();
        assert_eq!(String::from_utf8(answer.body).unwrap(), "Demo.caller blue 4711 true 2");
        assert_eq!((answer.head.result, answer.head.flow_id, answer.head.coloring), (-77, 4711, 1));
        assert_eq!((&*answer.caller, &*answer.method_name), ("Demo.caller", "test.Head.Tell"));
        assert_eq!(answer.head.features, head::FEATURES);
    }

    fn an_old_server_that_hands_our_head_on_hands_on_no_order(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Old.Tell", |context| {
                let headers = context.metadata().count();
                let patient = context.remaining_ms().unwrap_or(0) > 1000;
                let attempt = context.attempt();
                Ok(format!("{headers} {patient} {attempt} {}", context.is_one_way()))
            })
        });
        let mut metadata = Metadata::new();
        metadata.add("tenant", b"blue").unwrap();
        // What we sent to the old server: sequence 6, and with it `hop` 6.
        let ours = RequestHead {
            deadline_ms: 1,
            attempt: 3,
            one_way: true,
            metadata: metadata.encoded(),
            ..request(6, "test.Old.Tell")
        };
        // What it sends on in a call of its own: our head with another sequence in front of it,
        // which the parser takes last; all else is copied.
        let frame = framed(&ours, b"");
        let mut inherited = frame[9..frame.len() - 1].to_vec();
        inherited.extend_from_slice(b"\x50\x07");
        let mut peer = stage.peer();
        peer.send_bytes(&framed_raw(&inherited, b""));
        let answer = peer.answer();
        assert_eq!((answer.head.sequence, answer.code()), (7, Code::OK));
        assert_eq!(String::from_utf8(answer.body).unwrap(), "0 true 0 false");
        // A cancel that is handed on cancels nothing: it is a request for an unknown method.
        let frame = framed(&RequestHead::cancel(6), b"");
        let mut inherited = frame[9..frame.len() - 1].to_vec();
        inherited.extend_from_slice(b"\x50\x08");
        peer.send_bytes(&framed_raw(&inherited, b""));
        assert_eq!(peer.answer().code(), Code::INVALID_METHOD);
    }

    fn random_bytes_never_harm_another_connection(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut bystander = stage.bystander();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..200 {
            let mut bytes = framed(&request(round, ECHO), &[round as u8; 40]);
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let place = (state >> 8) as usize % bytes.len();
                bytes[place] = state as u8;
            }
            let mut peer = stage.peer();
            peer.send_bytes(&bytes);
            peer.end();
            // It is answered, refused or closed, and over in each case.
            while peer.try_answer().is_ok() {}
        }
        bystander.is_served();
        stage.wait_for_connections(1);
        stage.wait_for_requests(0);
    }
}

#[test]
fn an_orderly_end_is_no_news() {
    let stage = Stage::echo(msec::Io::Epoll);
    let mut peer = stage.peer();
    peer.echo(b"hello");
    peer.end();
    assert_eq!(peer.wait_for_end(), End::Fin);
    assert!(peer.lines().is_empty(), "{:?}", peer.lines());
}
