//! Places to be called at: TCP on IPv4 and IPv6, unix sockets, datagrams; and the echo story with
//! each feature of the kernel switched off.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use msec_protocol::{Code, RequestHead, head, limits};
use msec_tests::peer::{framed, framed_raw, request};
use msec_tests::{
    ECHO, End, Stage, UdpPeer, config, lines, lines_after, lines_count, on_both, wait_until,
};

/// A path that no other test uses.
fn socket_path(name: &str, io: msec::Io) -> PathBuf {
    std::env::temp_dir().join(format!("msec-{}-{name}-{io:?}.sock", std::process::id()))
}

/// What every way to receive, accept and send must be able to do.
fn echo_story(stage: &Stage) {
    let mut bystander = stage.bystander();
    let mut peers: Vec<_> = (0..20).map(|_| stage.peer()).collect();
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.echo(b"");
        peer.echo(&[index as u8; 100]);
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| (index >> 5) as u8).collect();
    peers[0].echo(&large);
    // Many in one piece, answered in any order.
    let frames: Vec<u8> = (1..=500).flat_map(|n| framed(&request(n, ECHO), &[7; 300])).collect();
    peers[1].send_bytes(&frames);
    let mut sequences: Vec<u64> = (0..500).map(|_| peers[1].answer().head.sequence).collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=500));
    // Slowly, and half-closed.
    for byte in framed(&request(1, ECHO), b"slow") {
        peers[2].send_bytes(&[byte]);
    }
    peers[2].end();
    assert_eq!(peers[2].answer().body, b"slow");
    assert_eq!(peers[2].wait_for_end(), End::Fin);
    peers[3].send_bytes(b"not the protocol");
    peers[3].wait_for_end();
    peers.pop().unwrap().reset();
    bystander.is_served();
    let datagrams = UdpPeer::connect(&stage.server.addresses()[1]);
    datagrams.send(&request(5, ECHO), b"datagram");
    assert_eq!(datagrams.answer().body, b"datagram");
    drop(peers);
    stage.wait_for_connections(1);
    stage.wait_for_requests(0);
}

fn with_datagrams(config: msec::Config) -> Stage {
    Stage::with(config, |builder| builder.listen("127.0.0.1:0@udp"))
}

#[test]
fn the_echo_story_holds_without_each_feature() {
    let all = ["multishot", "buf_ring", "defer", "coop", "no_sqarray", "registered", "guard"];
    for feature in all {
        eprintln!("-- without {feature}");
        let stage = with_datagrams(config(msec::Io::Uring).without(feature));
        assert_eq!(stage.engine.io_backend(), "uring");
        echo_story(&stage);
    }
    eprintln!("-- without any");
    let bare = all.iter().fold(config(msec::Io::Uring), |config, feature| config.without(feature));
    echo_story(&with_datagrams(bare));
    eprintln!("-- by epoll without guards");
    echo_story(&with_datagrams(config(msec::Io::Epoll).without("guard")));
}

on_both! {
    fn the_back_end_is_the_one_that_was_asked_for(io: msec::Io) {
        let stage = with_datagrams(config(io));
        let expect = if io == msec::Io::Uring { "uring" } else { "epoll" };
        assert_eq!(stage.engine.io_backend(), expect);
        echo_story(&stage);
    }

    fn one_core_tells_the_same_story(io: msec::Io) {
        echo_story(&with_datagrams(config(io).cores(1)));
    }

    fn ipv6_is_served(io: msec::Io) {
        let places = |builder: msec::ServerBuilder| builder.listen("[::1]:0").listen("[::1]:0@udp");
        let stage = Stage::at(config(io), places);
        assert!(stage.address().starts_with("[::1]:"), "{}", stage.address());
        stage.peer().echo(b"six");
        let datagrams = UdpPeer::connect(&stage.server.addresses()[1]);
        datagrams.send(&request(1, ECHO), b"six");
        assert_eq!(datagrams.answer().body, b"six");
    }

    fn the_unspecified_ipv6_address_takes_ipv4_as_well(io: msec::Io) {
        let stage = Stage::at(config(io), |builder| builder.listen("[::]:0"));
        let port = stage.address().rsplit(':').next().unwrap();
        msec_tests::Peer::connect(&format!("127.0.0.1:{port}")).echo(b"four");
        msec_tests::Peer::connect(&format!("[::1]:{port}")).echo(b"six");
    }

    fn unix_sockets_are_served_and_their_path_is_removed_at_the_end(io: msec::Io) {
        let path = socket_path("served", io);
        let address = format!("unix:{}", path.display());
        let stage = Stage::at(config(io), |builder| builder.listen(&address));
        let mut peers: Vec<_> = (0..10).map(|_| stage.peer()).collect();
        for peer in &mut peers {
            peer.echo(b"local");
            peer.echo(&vec![5; 1_000_000]);
        }
        let mut half = peers.pop().unwrap();
        half.send(&request(1, ECHO), b"last");
        half.end();
        assert_eq!(half.answer().body, b"last");
        assert_eq!(half.wait_for_end(), End::Fin);
        drop(peers);
        stage.wait_for_connections(0);
        stage.stop(Duration::from_secs(1));
        assert!(!path.exists());
    }

    fn a_unix_path_of_a_dead_server_is_taken_over_and_of_a_live_one_not(io: msec::Io) {
        let path = socket_path("taken", io);
        let address = format!("unix:{}", path.display());
        // A listener that is gone without removing its path.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let stage = Stage::at(config(io), |builder| builder.listen(&address));
        stage.peer().echo(b"taken over");
        let second = msec::Server::builder().listen(&address).start(&stage.engine);
        let error = second.err().expect("two servers on one path");
        assert!(error.message().contains("is not a dead socket"), "{error}");
        stage.peer().echo(b"undisturbed");
    }

    fn datagrams_are_answered_one_by_one(io: msec::Io) {
        let stage = with_datagrams(config(io));
        let peer = UdpPeer::connect(&stage.server.addresses()[1]);
        peer.send(&request(1, ECHO), b"");
        let answer = peer.answer();
        assert_eq!((answer.code(), answer.body.len()), (Code::OK, 0));
        assert_eq!(answer.head.features, head::FEATURES);
        peer.send(&request(2, "no.Such.Method"), b"");
        assert_eq!(peer.answer().code(), Code::INVALID_METHOD);
        peer.send(&request(3, ECHO), &vec![6; 60_000]);
        assert_eq!(peer.answer().body, vec![6; 60_000]);
    }

    fn a_datagram_twice_is_two_requests(io: msec::Io) {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.listen("127.0.0.1:0@udp").raw("test.Count.Run", move |_| {
                count.fetch_add(1, Ordering::AcqRel);
                Ok("ran")
            })
        });
        let peer = UdpPeer::connect(&stage.server.addresses()[1]);
        let frame = framed(&request(8, "test.Count.Run"), b"");
        peer.send_bytes(&frame);
        peer.send_bytes(&frame);
        assert_eq!([peer.answer().head.sequence, peer.answer().head.sequence], [8, 8]);
        // A one-way request runs without an answer; the next answer is another's.
        peer.send(&RequestHead { one_way: true, ..request(9, "test.Count.Run") }, b"");
        wait_until("three runs", || runs.load(Ordering::Acquire) == 3);
        peer.send(&request(10, ECHO), b"");
        assert_eq!(peer.answer().head.sequence, 10);
    }

    fn a_datagram_that_is_garbage_is_dropped(io: msec::Io) {
        let stage = with_datagrams(config(io));
        let mut bystander = stage.bystander();
        let before = lines_count();
        let peer = UdpPeer::connect(&stage.server.addresses()[1]);
        let whole = framed(&request(1, ECHO), b"whole");
        peer.send_bytes(b"");
        peer.send_bytes(b"garbage");
        peer.send_bytes(&whole[..whole.len() - 1]);
        peer.send_bytes(&[&whole[..], b")"].concat());
        peer.send_bytes(&[&whole[..], &whole[..]].concat());
        peer.send_bytes(&framed_raw(b"\xff\xff\xff", b""));
        peer.send(&RequestHead::cancel(1), b"");
        peer.send(&request(2, ECHO), b"the only one that is answered");
        assert_eq!(peer.answer().head.sequence, 2);
        stage.wait_for_requests(0);
        bystander.is_served();
        // Anybody can send datagrams from any address: a line for each would be theirs to write.
        let told = lines_after(before, "connection", &peer.local_address());
        assert!(told.is_empty() && lines("datagram", "").is_empty(), "{told:?}");
    }

    fn an_answer_that_fits_no_datagram_is_replaced_by_its_code(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder
                .listen("127.0.0.1:0@udp")
                .raw("test.Size.Big", |_| Ok(vec![0; limits::DATAGRAM_BYTES_MAX]))
        });
        let peer = UdpPeer::connect(&stage.server.addresses()[1]);
        peer.send(&request(1, "test.Size.Big"), b"");
        let answer = peer.answer();
        assert_eq!((answer.code(), answer.body.len()), (Code::TOO_LARGE, 0));
        assert!(answer.err_msg.contains("datagram"), "{}", answer.err_msg);
        // By a stream it fits.
        assert_eq!(stage.peer().call("test.Size.Big", b"").code(), Code::OK);
    }

    fn a_caller_of_datagrams_that_is_gone_harms_nobody(io: msec::Io) {
        let stage = with_datagrams(config(io).cores(1));
        let mut bystander = stage.bystander();
        // Its answers come back as ICMP errors on the server's socket.
        for round in 0..50 {
            UdpPeer::connect(&stage.server.addresses()[1]).send(&request(round, ECHO), b"gone");
        }
        let peer = UdpPeer::connect(&stage.server.addresses()[1]);
        peer.send(&request(1, ECHO), b"still here");
        assert_eq!(peer.answer().body, b"still here");
        bystander.is_served();
    }
}
