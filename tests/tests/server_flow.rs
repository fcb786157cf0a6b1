//! Peers that are slow, greedy, or gone half-way: memory stays bounded, nothing that was read is
//! lost, others do not notice.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use msec_protocol::{Code, Limits, RequestHead};
use msec_tests::peer::{framed, promised, request};
use msec_tests::{ECHO, End, Gate, Level, Peer, Stage, config, lines, on_both};

const MIB: usize = 1 << 20;

/// A stage with a method `test.Gate.Pass` that is held at the gate and then echoes.
fn gated(config: msec::Config, gate: &Gate) -> Stage {
    let held = gate.clone();
    Stage::with(config, move |builder| {
        builder.raw("test.Gate.Pass", move |context| {
            held.pass()?;
            Ok(context.body_bytes())
        })
    })
}

/// Nothing of what that peer does is news for the operator.
#[track_caller]
fn is_no_news(peer: &Peer) {
    let found = peer.lines();
    assert!(found.is_empty(), "{found:?}");
}

/// The peer is closed for want of progress, and the operator told.
#[track_caller]
fn is_closed_for_no_progress(peer: &Peer) {
    let line = peer.wait_for_line();
    assert!(line.text.contains("closed: no progress"), "{}", line.text);
    assert_eq!(line.level, Level::Warn);
}

/// A connection of that server makes no progress for 100 ms at most.
fn hasty(config: msec::Config) -> msec::Config {
    config.limits(Limits { stall_ms_max: 100, ..Limits::DEFAULT })
}

/// Reads so many answers, which are all OK; their sequences.
fn sequences(peer: &mut Peer, count: usize) -> BTreeSet<u64> {
    let answers = (0..count).map(|_| {
        let answer = peer.answer();
        assert_eq!(answer.code(), Code::OK, "{}", answer.err_msg);
        answer.head.sequence
    });
    answers.collect()
}

on_both! {
    fn a_sender_byte_by_byte_is_served(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let mut frames = framed(&request(1, ECHO), b"slowly");
        frames.extend(framed(&request(2, ECHO), b""));
        let last = frames.len() - 1;
        for byte in &frames[..last] {
            peer.send_bytes(&[*byte]);
        }
        assert_eq!(peer.answer().body, b"slowly");
        bystander.is_served();
        peer.send_bytes(&frames[last..]);
        assert_eq!(peer.answer().head.sequence, 2);
        bystander.is_served();
        is_no_news(&peer);
    }

    fn large_bodies_in_pieces_come_back_whole(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = stage.peer();
        let body: Vec<u8> = (0..5 * MIB).map(|index| ((index * 31) >> 3) as u8).collect();
        for _ in 0..3 {
            peer.echo(&body);
        }
        let exactly = vec![1; Limits::DEFAULT.body_bytes_max];
        peer.echo(&exactly);
    }

    fn a_half_closed_connection_is_answered_then_closed(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        for sequence in 1..=20 {
            peer.send(&request(sequence, "test.Gate.Pass"), &[sequence as u8; 1000]);
        }
        peer.end();
        gate.wait_for_arrivals(20);
        bystander.is_served();
        gate.open();
        assert_eq!(sequences(&mut peer, 20).len(), 20);
        assert_eq!(peer.wait_for_end(), End::Fin);
        assert_eq!(gate.passed_count(), 20, "an end of the requests cancels none of them");
        bystander.is_served();
        is_no_news(&peer);
    }

    fn half_closed_in_mid_frame_the_whole_frames_are_answered(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let mut bytes = framed(&request(1, ECHO), b"whole");
        bytes.extend(&framed(&request(2, ECHO), b"cut off")[..20]);
        peer.send_bytes(&bytes);
        peer.end();
        assert_eq!(peer.answer().body, b"whole");
        assert_eq!(peer.wait_for_end(), End::Fin);
        bystander.is_served();
        stage.wait_for_connections(1);
        is_no_news(&peer);
    }

    fn a_reset_in_mid_frame_frees_everything(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        for count in 1..=20 {
            let mut peer = stage.peer();
            peer.send(&request(1, "test.Gate.Pass"), b"runs when the reset comes");
            // The kernel throws away what it has not handed over when a reset comes.
            gate.wait_for_arrivals(count);
            peer.send_bytes(&promised(&request(2, ECHO), MIB));
            peer.send_bytes(&vec![0; MIB / 2]);
            peer.reset();
        }
        // Death cancels what runs.
        assert!(gate.wait_for_failures(20).iter().all(|code| *code == Code::CANCELLED));
        stage.wait_for_connections(1);
        stage.wait_for_requests(0);
        bystander.is_served();
        // A peer's bad luck is no news for the operator.
        let mut closed = lines("connection", "closed: ");
        // Of other stories, which are told at the same time.
        closed.retain(|line| !line.text.contains("no progress"));
        assert!(closed.is_empty(), "{closed:?}");
    }

    fn more_than_the_limit_in_flight_is_not_read_and_answered_later(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let (limit, count) = (1024, 3000);
        let frames: Vec<u8> =
            (1..=count).flat_map(|n| framed(&request(n, "test.Gate.Pass"), b"x")).collect();
        peer.send_bytes(&frames);
        gate.wait_for_arrivals(limit);
        bystander.is_served();
        assert_eq!((gate.arrived_count(), stage.server.load().requests_count), (limit, limit));
        gate.open();
        assert_eq!(sequences(&mut peer, count as usize).len(), count as usize);
        stage.wait_for_requests(0);
        bystander.is_served();
        is_no_news(&peer);
    }

    fn more_than_the_limit_in_flight_then_half_closed_is_answered(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(config(io), &gate);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let frames: Vec<u8> =
            (1..=3000).flat_map(|n| framed(&request(n, "test.Gate.Pass"), b"x")).collect();
        peer.send_bytes(&frames);
        peer.end();
        gate.wait_for_arrivals(1024);
        bystander.is_served();
        gate.open();
        assert_eq!(sequences(&mut peer, 3000).len(), 3000);
        assert_eq!(peer.wait_for_end(), End::Fin);
        bystander.is_served();
        is_no_news(&peer);
    }

    fn more_bytes_than_receive_buffers_at_once_all_arrive(io: msec::Io) {
        let gate = Gate::new();
        // One core, and so one pool of buffers: while the core is kept, 64 MiB pile up in front
        // of it, which is several times the pool.
        let stage = kept(config(io).cores(1), &gate);
        let mut bystander = stage.bystander();
        let mut blocker = stage.peer();
        blocker.send(&request(1, "test.Core.Keep"), b"");
        gate.wait_for_arrivals(1);
        let body = vec![9; MIB];
        let frame = framed(&request(1, ECHO), &body);
        let mut peers: Vec<(Peer, usize)> = (0..64).map(|_| (stage.peer(), 0)).collect();
        for (peer, sent) in &mut peers {
            *sent = peer.send_now(&frame);
        }
        let piled_bytes: usize = peers.iter().map(|(_, sent)| *sent).sum();
        assert!(piled_bytes > 32 * MIB, "{} MiB are no trouble", piled_bytes / MIB);
        gate.open();
        assert_eq!(blocker.answer().code(), Code::OK);
        for (peer, sent) in &mut peers {
            peer.send_bytes(&frame[*sent..]);
            let answer = peer.answer();
            assert_eq!((answer.code(), answer.body == body), (Code::OK, true));
        }
        // The kernel ran out of our buffers, and got them back: all in a day's work.
        is_no_news(&peers[0].0);
        stage.wait_for_requests(0);
        bystander.is_served();
    }

    fn half_a_request_and_then_nothing_is_closed(io: msec::Io) {
        let stage = Stage::with(hasty(config(io)), |builder| builder);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        peer.echo(b"well");
        peer.send_bytes(&framed(&request(2, ECHO), &[0; 1000])[..500]);
        peer.wait_for_end();
        is_closed_for_no_progress(&peer);
        // The bystander has been quiet as well, but owes nothing.
        bystander.is_served();
        stage.wait_for_connections(1);
    }

    fn who_takes_no_answers_is_closed(io: msec::Io) {
        let stage = Stage::with(hasty(config(io)), |builder| {
            builder.raw("test.Size.Big", |_| Ok(vec![0; 8 * MIB]))
        });
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        for sequence in 1..=4 {
            peer.send(&request(sequence, "test.Size.Big"), b"");
        }
        is_closed_for_no_progress(&peer);
        bystander.is_served();
        stage.wait_for_connections(1);
        stage.wait_for_requests(0);
    }

    fn who_is_over_the_limit_for_too_long_is_closed_and_its_requests_cancelled(io: msec::Io) {
        let gate = Gate::new();
        let stage = gated(hasty(config(io)), &gate);
        let mut bystander = stage.bystander();
        let mut peer = stage.peer();
        let frames: Vec<u8> =
            (1..=1100).flat_map(|n| framed(&request(n, "test.Gate.Pass"), b"x")).collect();
        peer.send_bytes(&frames);
        is_closed_for_no_progress(&peer);
        let failed = gate.wait_for_failures(1024);
        assert!(failed.iter().all(|code| *code == Code::CANCELLED));
        bystander.is_served();
        stage.wait_for_requests(0);
    }

    fn what_is_held_back_when_the_end_comes_is_served(io: msec::Io) {
        let (gate, core) = (Gate::new(), Gate::new());
        let limits = Limits { requests_per_connection_max: 1, ..Limits::DEFAULT };
        let config = config(io).cores(1).limits(limits);
        let (held, kept) = (gate.clone(), core.clone());
        let stage = Stage::with(config.stall_ms(3_600_000), move |builder| {
            builder
                .raw("test.Core.Keep", move |_| Ok(keep_core(&kept)))
                .raw("test.Gate.Pass", move |_| held.pass().map(|()| "passed"))
        });
        let (mut blocker, mut peer) = (stage.peer(), stage.peer());
        peer.echo(b"connected");
        blocker.send(&request(1, "test.Core.Keep"), b"");
        core.wait_for_arrivals(1);
        // The requests and the end are there at once when the core comes to look. They are one-way,
        // so that no answer to be sent keeps the connection open.
        let frames = (1..=10).flat_map(|n| {
            framed(&RequestHead { one_way: true, ..request(n, "test.Gate.Pass") }, b"")
        });
        peer.send_bytes(&frames.collect::<Vec<_>>());
        peer.end();
        core.open();
        assert_eq!(blocker.answer().code(), Code::OK);
        gate.wait_for_arrivals(1);
        gate.open();
        assert_eq!(peer.wait_for_end(), End::Fin);
        assert_eq!(gate.passed_count(), 10);
    }
}

/// Keeps the thread, and with it its core, until the gate opens.
fn keep_core(gate: &Gate) -> &'static str {
    gate.arrive();
    while !gate.is_open() {
        std::hint::spin_loop();
    }
    "kept"
}

/// A stage with `test.Core.Keep`, which keeps the core until the gate opens.
fn kept(config: msec::Config, gate: &Gate) -> Stage {
    let held = gate.clone();
    Stage::with(config.stall_ms(3_600_000), move |builder| {
        builder.raw("test.Core.Keep", move |_| Ok(keep_core(&held)))
    })
}
