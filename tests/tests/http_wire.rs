//! HTTP as bytes: what is pipelined, in pieces, too slow, too much, or not HTTP at all. Each test
//! states what the sinner is answered, and that others do not notice.

#![allow(clippy::unwrap_used)]

use msec_protocol::{Code, Limits, limits};
use msec_tests::http::{mirror, post, target};
use msec_tests::{
    End, Gate, HttpPeer, Level, MIRROR, Stage, config, lines, on_both, wait_for_line, wait_until,
};

/// A stage with [`MIRROR`], and `test.Gate.Pass`, which waits at the gate.
fn stage(config: msec::Config, gate: &Gate) -> Stage {
    let held = gate.clone();
    Stage::with(config, |builder| {
        builder
            .descriptors(mirror())
            .raw(MIRROR, |context| Ok(context.body_bytes()))
            .raw("test.Gate.Pass", move |_| held.pass().map(|()| "passed"))
    })
}

fn small(number: usize) -> String {
    format!("{{\"small\":{number}}}")
}

/// A call of the gate, which takes bytes.
fn at_gate() -> String {
    post("/test.Gate/Pass", "Content-Type: application/octet-stream\r\n", "")
}

/// Sends bytes behind a good request: that one is answered, then these with a status, the
/// connection ends, and the log says whose it was and why.
fn is_refused(stage: &Stage, bytes: &str, status: u16) {
    let mut bystander = stage.bystander();
    let mut peer = HttpPeer::connect(stage.address());
    peer.send(format!("{}{bytes}", post(&target(MIRROR), "", &small(1))));
    assert_eq!(peer.answer().body, small(1), "{bytes:?}");
    let refused = peer.answer();
    assert_eq!(refused.status, status, "{bytes:?}: {refused:?}");
    assert!(!refused.keeps() && refused.json()["message"].is_string());
    peer.wait_for_end();
    is_logged(&peer, refused.json()["message"].as_str().unwrap());
    bystander.is_served();
}

/// The log says that the connection was closed, and why, as the peer was told.
#[track_caller]
fn is_logged(peer: &HttpPeer, why: &str) {
    let line = peer.wait_for_line();
    assert_eq!(line.level, Level::Warn);
    assert!(line.text.contains("closed: ") && line.text.contains(why), "`{}`: {why}", line.text);
}

on_both! {
    fn pipelined_requests_are_answered_in_their_order_whatever_ends_first(io: msec::Io) {
        let gate = Gate::new();
        let stage = stage(config(io), &gate);
        let mut peer = HttpPeer::connect(stage.address());
        let refused = post("/test.Missing/Method", "", "{}");
        let head = "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n";
        let quick = post(&target(MIRROR), "", &small(2));
        peer.send(at_gate() + &refused + head + &quick + &quick);
        gate.wait_for_arrivals(1);
        // All the others are over, and wait for their turn.
        stage.wait_for_requests(1);
        gate.open();
        assert_eq!(peer.answer().body, "passed");
        assert_eq!(peer.answer().code(), Code::INVALID_METHOD);
        assert_eq!(peer.answer_without_body().header("content-length"), Some("3"));
        assert_eq!(peer.answer().body, small(2));
        assert_eq!(peer.answer().body, small(2));
    }

    fn as_many_as_one_likes_may_be_pipelined(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut peer = HttpPeer::connect(stage.address());
        const COUNT: usize = 5000;
        let all: String =
            (1..=COUNT).map(|number| post(&target(MIRROR), "", &small(number))).collect();
        peer.send(all);
        for number in 1..=COUNT {
            assert_eq!(peer.answer().body, small(number));
        }
    }

    fn a_request_may_come_byte_by_byte(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut peer = HttpPeer::connect(stage.address());
        let chunked = format!(
            "POST {} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;x=y\r\n{{\"s\r\n9\r\nmall\":12}}\r\n0\r\nTrailer: x\r\n\r\n",
            target(MIRROR)
        );
        for byte in (post(&target(MIRROR), "", &small(11)) + &chunked).bytes() {
            peer.send([byte]);
        }
        assert_eq!(peer.answer().body, small(11));
        assert_eq!(peer.answer().body, small(12));
    }

    fn whoever_waits_for_a_word_gets_it_in_its_turn(io: msec::Io) {
        let gate = Gate::new();
        let stage = stage(config(io), &gate);
        let mut peer = HttpPeer::connect(stage.address());
        let body = small(3);
        let request = post(&target(MIRROR), "Expect: 100-continue\r\n", &body);
        let head = request.strip_suffix(&body).unwrap();
        peer.send(head);
        assert_eq!(peer.answer().status, 100);
        peer.send(&body);
        assert_eq!(peer.answer().body, body);
        // Behind a request that is not answered yet, the word would be taken for its answer.
        peer.send(at_gate() + head);
        gate.wait_for_arrivals(1);
        gate.open();
        assert_eq!(peer.answer().body, "passed");
        assert_eq!(peer.answer().status, 100);
        peer.send(&body);
        assert_eq!(peer.answer().body, body);
        peer.send(post(&target(MIRROR), "Expect: miracles\r\n", &body));
        assert_eq!(peer.answer().status, 417);
        peer.wait_for_end();
    }

    fn shapes_of_request_smuggling_are_refused_and_end_the_connection(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let with = |headers: &str, body: &str| {
            format!("POST /test.Mirror/Same HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}")
        };
        let hidden = "0\r\n\r\nPOST /test.Mirror/Same HTTP/1.1\r\nHost: h\r\n\r\n";
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        is_refused(&stage, &with(both, hidden), 400);
        let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
        is_refused(&stage, &with(both, hidden), 400);
        is_refused(&stage, &with("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), 400);
        is_refused(&stage, &with("Content-Length: 2\r\nContent-Length: 40\r\n", "{}"), 400);
        is_refused(&stage, &with("Content-Length: 2, 2\r\n", "{}"), 400);
        is_refused(&stage, &with("Content-Length: +2\r\n", "{}"), 400);
        is_refused(&stage, &with("Content-Length : 2\r\n", "{}"), 400);
        is_refused(&stage, &with("Content-Length:\r\n 2\r\n", "{}"), 400);
        is_refused(&stage, &with("X: y\nContent-Length: 2\r\n", "{}"), 400);
        is_refused(&stage, &with("X: y\rContent-Length: 2\r\n", "{}"), 400);
        is_refused(&stage, &with("Transfer-Encoding: gzip, chunked\r\n", hidden), 501);
        is_refused(&stage, &with("Transfer-Encoding: chunked\r\n", "2\n{}\n0\n\n"), 400);
        is_refused(&stage, &with("Transfer-Encoding: chunked\r\n", "2\r\n{}XX0\r\n\r\n"), 400);
        is_refused(&stage, &with("Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n"), 400);
        is_refused(&stage, &with("Host: other\r\n", ""), 400);
        is_refused(&stage, "POST /x HTTP/1.1\r\n\r\n", 400);
        is_refused(&stage, "POST /x HTTP/2.0\r\nHost: h\r\n\r\n", 505);
        stage.wait_for_requests(0);
    }

    fn a_refusal_is_logged_with_its_peer_and_reason(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        is_refused(&stage, "BREW /coffee\r\n\r\n", 400);
        let line = wait_for_line("connection", "request line or a header is malformed");
        assert!(line.text.contains("connection from 127.0.0.1:"), "{}", line.text);
    }

    fn giant_heads_and_bodies_are_refused_before_they_are_read(io: msec::Io) {
        let small_limits = Limits { body_bytes_max: 10_000, ..Limits::DEFAULT };
        let stage = stage(config(io).limits(small_limits), &Gate::new());
        let mut bystander = stage.bystander();
        let head = |header: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{header}");
        let chunked = "Transfer-Encoding: chunked\r\n\r\n";
        let endless = "x".repeat(limits::HTTP_HEAD_BYTES_MAX);
        let many = "X: y\r\n".repeat(limits::HTTP_HEADERS_MAX);
        for (bytes, status) in [
            (head(&format!("X: {endless}")), 431),
            (head(&format!("{many}\r\n")), 431),
            (head("Content-Length: 10001\r\n\r\n"), 413),
            (head("Content-Length: 18446744073709551615\r\n\r\n"), 413),
            (head("Content-Length: 18446744073709551616\r\n\r\n"), 400),
            (head(&format!("{chunked}2711\r\n")), 413),
            (head(&format!("{chunked}{}", "1\r\nx\r\n".repeat(10_001))), 413),
        ] {
            let mut peer = HttpPeer::connect(stage.address());
            peer.send_until_refused(bytes);
            let refused = peer.answer();
            assert_eq!((refused.status, refused.keeps()), (status, false));
            peer.wait_for_end();
            is_logged(&peer, refused.json()["message"].as_str().unwrap());
        }
        bystander.is_served();
    }

    fn slow_heads_are_ended_and_idle_connections_closed(io: msec::Io) {
        let hasty = Limits { http_head_ms_max: 100, http_idle_ms_max: 400, ..Limits::DEFAULT };
        let stage = stage(config(io).limits(hasty), &Gate::new());
        let mut bystander = stage.bystander();
        let mut slow = HttpPeer::connect(stage.address());
        slow.send("POST / HTTP/1.1\r\nHost: h\r\n");
        let refused = slow.answer();
        assert_eq!((refused.status, refused.code()), (408, Code::TIMEOUT));
        assert_eq!(slow.wait_for_end(), End::Fin);
        is_logged(&slow, "its request comes too slowly");
        let mut idle = HttpPeer::connect(stage.address());
        assert_eq!(idle.call(MIRROR, "{}").status, 200);
        assert_eq!(idle.wait_for_end(), End::Fin);
        // Who waits for an answer is not idle.
        drop((slow, idle));
        stage.wait_for_connections(1);
        bystander.is_served();
    }

    fn slow_bodies_are_ended_but_may_take_longer_than_heads(io: msec::Io) {
        let hasty = Limits { http_head_ms_max: 100, http_body_ms_max: 200, ..Limits::DEFAULT };
        let stage = stage(config(io).limits(hasty), &Gate::new());
        let mut bystander = stage.bystander();
        let body = small(1);
        let request = post(&target(MIRROR), "", &body);
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx";
        for begun in [&request[..request.len() - 1], chunked] {
            let mut slow = HttpPeer::connect(stage.address());
            slow.send(begun);
            let refused = slow.answer();
            assert_eq!((refused.status, refused.code()), (408, Code::TIMEOUT));
            assert_eq!(slow.wait_for_end(), End::Fin);
            is_logged(&slow, "its request comes too slowly");
        }
        bystander.is_served();
        drop(stage);
        // With time for bodies, one that has begun is waited for while heads are given up.
        let patient = Limits { http_head_ms_max: 100, ..Limits::DEFAULT };
        let stage = self::stage(config(io).limits(patient), &Gate::new());
        let (mut head, mut with_body) =
            (HttpPeer::connect(stage.address()), HttpPeer::connect(stage.address()));
        with_body.send(&request[..request.len() - 1]);
        head.send(&request[..10]);
        assert_eq!(head.answer().status, 408);
        with_body.send(&request[request.len() - 1..]);
        assert_eq!(with_body.answer().body, body);
    }

    fn a_long_call_is_not_taken_for_an_idle_connection(io: msec::Io) {
        let hasty = Limits { http_head_ms_max: 10, http_idle_ms_max: 20, ..Limits::DEFAULT };
        let gate = Gate::new();
        let stage = stage(config(io).limits(hasty), &gate);
        let mut peer = HttpPeer::connect(stage.address());
        peer.send(at_gate());
        gate.wait_for_arrivals(1);
        // Another connection is closed for idleness several times meanwhile.
        for _ in 0..3 {
            let mut idle = HttpPeer::connect(stage.address());
            idle.call(MIRROR, "{}");
            idle.wait_for_end();
        }
        gate.open();
        assert_eq!(peer.answer().body, "passed");
    }

    fn a_reset_cancels_what_runs_and_frees_what_waits(io: msec::Io) {
        let gate = Gate::new();
        let stage = stage(config(io), &gate);
        let mut bystander = stage.bystander();
        let mut peer = HttpPeer::connect(stage.address());
        peer.send(at_gate() + &at_gate() + &post(&target(MIRROR), "", "{}"));
        gate.wait_for_arrivals(2);
        peer.reset();
        wait_until("both to be cancelled", || {
            gate.failed() == [Code::CANCELLED, Code::CANCELLED]
        });
        stage.wait_for_requests(0);
        stage.wait_for_connections(1);
        bystander.is_served();
    }

    fn whoever_ends_its_side_is_still_answered(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut peer = HttpPeer::connect(stage.address());
        peer.send(post(&target(MIRROR), "", &small(5)));
        peer.end();
        assert_eq!(peer.answer().body, small(5));
        assert_eq!(peer.wait_for_end(), End::Fin);
    }

    fn the_client_or_the_version_decides_who_keeps_the_connection(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut peer = HttpPeer::connect(stage.address());
        // What comes behind the last request is not read.
        peer.send(post(&target(MIRROR), "Connection: close\r\n", "{}") + "garbage");
        assert!(!peer.answer().keeps());
        assert_eq!(peer.wait_for_end(), End::Fin);
        let mut old = HttpPeer::connect(stage.address());
        let request = "POST /test.Mirror/Same HTTP/1.0\r\n";
        old.send(format!("{request}Connection: keep-alive\r\n\r\n"));
        assert_eq!(old.answer().header("connection"), Some("keep-alive"));
        old.send(format!("{request}\r\n"));
        assert!(!old.answer().keeps());
        old.wait_for_end();
    }

    fn a_drain_answers_what_runs_and_ends_connections(io: msec::Io) {
        let gate = Gate::new();
        let stage = stage(config(io), &gate);
        let (mut idle, mut busy) =
            (HttpPeer::connect(stage.address()), HttpPeer::connect(stage.address()));
        assert_eq!(idle.call(MIRROR, "{}").status, 200);
        busy.send(at_gate());
        gate.wait_for_arrivals(1);
        stage.server.drain();
        assert_eq!(idle.wait_for_end(), End::Fin);
        gate.open();
        let last = busy.answer();
        assert_eq!((&last.body[..], last.keeps()), ("passed", false));
        assert_eq!(busy.wait_for_end(), End::Fin);
        drop((idle, busy));
        stage.wait_for_connections(0);
    }

    fn the_first_byte_decides_for_good(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut srpc = stage.peer();
        srpc.echo(b"first");
        srpc.send_bytes(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
        srpc.wait_for_end();
        let mut http = HttpPeer::connect(stage.address());
        assert_eq!(http.get("/health").status, 200);
        http.send(b"(\0\0\0\x01\0\0\0\0x)\r\n\r\n");
        assert_eq!(http.answer().status, 400);
        http.wait_for_end();
        assert!(lines("panic", "").is_empty());
    }

    fn answers_that_nobody_takes_stop_the_reading_and_lose_nothing(io: msec::Io) {
        let stage = stage(config(io), &Gate::new());
        let mut peer = HttpPeer::connect(stage.address());
        let body = format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20));
        // 32 MiB of answers, which wait on both sides before the first is read.
        let request = post(&target(MIRROR), "", &body);
        std::thread::scope(|scope| {
            let mut writer = peer.again();
            scope.spawn(move || (0..32).for_each(|_| writer.send(&request)));
            for _ in 0..32 {
                assert_eq!(peer.answer().body.len(), body.len());
            }
        });
    }
}
