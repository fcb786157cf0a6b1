//! Memory: what peers promise, or do not take, is bounded, whatever they do.
//!
//! These tests measure the memory of the process, so that each has one of its own.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use msec_protocol::Code;
use msec_tests::child::rss_bytes;
use msec_tests::peer::{framed, promised, request};
use msec_tests::{Child, ECHO, Level, Peer, Stage, config, lines, on_both, wait_until};

const MIB: usize = 1 << 20;

on_both! {
    fn who_does_not_read_is_not_read_and_loses_nothing(io: msec::Io) {
        Child::alone(module_path!(), io, || deaf_peer(io));
    }

    fn large_answers_to_a_deaf_peer_are_bounded_too(io: msec::Io) {
        Child::alone(module_path!(), io, || deaf_peer_with_small_requests(io));
    }

    fn promised_bodies_beyond_the_memory_are_refused_and_the_engine_works_on(io: msec::Io) {
        Child::alone(module_path!(), io, || promised_bodies(io));
    }
}

fn deaf_peer(io: msec::Io) {
    let stage = Stage::echo(io);
    let mut bystander = stage.bystander();
    let mut peer = stage.peer();
    let body = vec![3; 64 * 1024];
    let before = rss_bytes(None);
    let mut unsent: Vec<u8> = Vec::new();
    let mut sequence = 0;
    // Send until nothing moves any more: four looks in a row without room, each after others
    // were served by the same cores.
    let mut stuck_count = 0;
    while stuck_count < 4 {
        if unsent.is_empty() {
            sequence += 1;
            unsent = framed(&request(sequence, ECHO), &body);
        }
        let sent = peer.send_now(&unsent);
        unsent.drain(..sent);
        if unsent.is_empty() {
            stuck_count = 0;
        } else {
            bystander.is_served();
            stuck_count += usize::from(sent == 0);
        }
        assert!(sequence < 4000, "250 MB were read from a peer that takes no answers");
    }
    let grown = rss_bytes(None).saturating_sub(before);
    assert!(grown < 100 * MIB, "{} MiB are held for one connection", grown / MIB);
    // The rest is sent while the answers are read, and nothing is missing.
    let mut answered = BTreeSet::new();
    while answered.len() < sequence as usize {
        let sent = peer.send_now(&unsent);
        unsent.drain(..sent);
        let answer = peer.answer();
        assert_eq!((answer.code(), answer.body.len()), (Code::OK, body.len()));
        assert!(answered.insert(answer.head.sequence));
    }
    assert!(unsent.is_empty());
    stage.wait_for_requests(0);
    bystander.is_served();
    // It was slow, and broke nothing.
    assert!(lines("connection", "").is_empty());
}

fn deaf_peer_with_small_requests(io: msec::Io) {
    let stage =
        Stage::with(config(io), |builder| builder.raw("test.Size.Big", |_| Ok(vec![0; 100_000])));
    let mut peer = stage.peer();
    // Requests are tiny and their answers large: only the output can bound this.
    let count = 5000;
    let requests: Vec<u8> =
        (1..=count).flat_map(|n| framed(&request(n, "test.Size.Big"), b"")).collect();
    let before = rss_bytes(None);
    peer.send_bytes(&requests);
    let mut bystander = stage.bystander();
    // What is written for it stops growing: the requests in flight are done or not begun.
    wait_until("no request in flight", || {
        bystander.is_served();
        stage.server.load().requests_count == 0
    });
    let grown = rss_bytes(None).saturating_sub(before);
    assert!(grown < 150 * MIB, "{} MiB of answers are held for a deaf peer", grown / MIB);
    let sequences: BTreeSet<u64> = (0..count).map(|_| peer.answer().head.sequence).collect();
    assert!(sequences.into_iter().eq(1..=count));
    bystander.is_served();
    assert!(lines("connection", "").is_empty());
}

fn promised_bodies(io: msec::Io) {
    let bound = 32 * MIB;
    let config = config(io).buffered_bytes_max(bound as u64);
    let stage = Stage::with(config, |builder| builder);
    let mut bystander = stage.bystander();
    let before = rss_bytes(None);
    let body_bytes = 16 * MIB;
    let (count, piece) = (2000, vec![0; MIB]);
    let mut peers: Vec<Peer> = (0..count).map(|_| stage.peer()).collect();
    let mut most = 0;
    for peer in &mut peers {
        peer.send_bytes(&promised(&request(1, ECHO), body_bytes));
    }
    // All of each body but its last byte.
    for round in 0..16 {
        for peer in &mut peers {
            peer.send_bytes(if round < 15 { &piece } else { &piece[1..] });
        }
        most = most.max(rss_bytes(None).saturating_sub(before));
        bystander.is_served();
    }
    // Beyond the bound there are the receive buffers of two cores, 17 MiB each, and a body or two
    // that are refused only when they have grown over it. 31 GiB were sent.
    // What a connection keeps below 16 KiB is not leased.
    let allowed = bound + 2 * 17 * MIB + 2 * body_bytes + count * 16 * 1024;
    assert!(most < allowed, "{} MiB for a bound of {} MiB", most / MIB, bound / MIB);
    let mut refused = 0;
    for peer in &mut peers {
        peer.send_bytes(b"\0)");
        let answer = peer.answer();
        match answer.code() {
            Code::OVERLOADED => {
                refused += 1;
                assert!(answer.err_msg.contains("too many bytes"), "{}", answer.err_msg);
            }
            code => assert_eq!((code, answer.body.len()), (Code::OK, body_bytes)),
        }
    }
    assert!(refused >= count - 2 && refused < count + 1, "{refused} of {count} refused");
    // Each is counted, and told to the operator (whose own log is rationed).
    let report = stage.server.report();
    let counters = &report.iter().find(|method| method.name == ECHO).unwrap().counters;
    assert_eq!(counters.ended_with(Code::OVERLOADED), refused as u64);
    let told = lines("memory", "was refused: too many bytes");
    assert_eq!((told.len(), told[0].level), (refused, Level::Warn));
    // Each connection is still in step.
    for peer in &mut peers {
        peer.echo(b"after");
    }
    bystander.is_served();
}
