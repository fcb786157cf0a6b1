//! Accepting: a crowd at once, no descriptors left, more connections than allowed.

#![allow(clippy::unwrap_used)]

use msec_tests::child::{cpu_ms, test_name};
use msec_tests::peer::request;
use msec_tests::{
    Child, ECHO, Peer, Stage, config, lines, now, on_both, wait_for_line, wait_until,
};

const NO_FILES: &str = "Too many open files";

on_both! {
    fn five_thousand_connects_at_once_are_all_served(io: msec::Io) {
        // Both ends of each connection are descriptors of one process: it has to be its own.
        Child::alone(module_path!(), io, || five_thousand(io));
    }

    fn without_descriptors_accepting_pauses_and_goes_on(io: msec::Io) {
        if Child::is_running("files") {
            return out_of_files(io);
        }
        let child = Child::with_files_max(64, &test_name(module_path!(), io), "files", &[]);
        let address = child.said();
        let mut first = Peer::connect(&address);
        first.echo(b"first");
        // The kernel completes these; most of them stay in its queue.
        let mut crowd: Vec<Peer> = (0..100).map(|_| first.again()).collect();
        for peer in &mut crowd {
            peer.send(&request(1, ECHO), b"at last");
        }
        assert_eq!(child.said(), "pauses");
        let (begin, begin_ms) = (now(), cpu_ms(child.id()));
        first.echo(b"those who are in are served");
        let tried_ms: u64 = child.said().parse().unwrap();
        assert!(tried_ms > 100, "it tried ten times within {tried_ms} ms");
        // We may look late, at the begin as well as at the end.
        let wall_ms = tried_ms.max(begin.elapsed().as_millis() as u64);
        let used_ms = cpu_ms(child.id()) - begin_ms;
        assert!(used_ms * 3 < wall_ms, "{used_ms} ms of CPU in {wall_ms} ms of waiting");
        // Each that is answered leaves its place to another one.
        wait_until("each of the crowd to be answered", || {
            crowd.retain_mut(|peer| peer.answer_now().is_none());
            crowd.is_empty()
        });
        first.echo(b"last");
        let (status, stderr) = child.wait();
        assert!(status.success(), "{stderr}");
    }

    fn at_the_limit_of_connections_accepting_pauses_and_goes_on(io: msec::Io) {
        let limit = 10;
        let stage = Stage::with(config(io).connections_max(limit), |builder| builder);
        let mut served: Vec<Peer> = (0..limit).map(|_| stage.peer()).collect();
        for peer in &mut served {
            peer.echo(b"within the limit");
        }
        // More than the limit: the kernel takes them, the server neither serves nor refuses them.
        let mut late: Vec<Peer> = (0..25).map(|_| stage.peer()).collect();
        for peer in &mut late {
            peer.send(&request(1, ECHO), b"late");
        }
        let line = wait_for_line("accept", "limit of connections");
        assert_eq!(line.level, msec_tests::Level::Warn);
        for peer in &mut served {
            peer.echo(b"undisturbed");
            assert!(late.iter_mut().all(|late| late.answer_now().is_none()));
        }
        // Each place that is left is taken by one who waits, until none waits.
        drop(served);
        wait_until("each who is late to be answered", || {
            late.retain_mut(|peer| peer.answer_now().is_none());
            late.is_empty()
        });
        stage.wait_for_connections(0);
        stage.peer().echo(b"and anybody else");
    }
}

fn five_thousand(io: msec::Io) {
    let stage = Stage::echo(io);
    let mut bystander = stage.bystander();
    let count = 5000;
    // Opened by two threads without a pause; nobody asks for anything before all are open.
    let mut peers: Vec<Peer> = std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..count / 2).map(|_| stage.peer()).collect::<Vec<_>>()))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    bystander.is_served();
    stage.wait_for_connections(count + 1);
    for peer in &mut peers {
        peer.echo(b"one of many");
    }
    drop(peers);
    stage.wait_for_connections(1);
    bystander.is_served();
    // A crowd within the limits is no news.
    assert!(lines("accept", "").is_empty());
    assert!(lines("connection", "closed: ").is_empty());
}

/// The child: serves until its parent has seen enough.
fn out_of_files(io: msec::Io) {
    let stage = Stage::with(config(io).connections_max(10_000), |builder| builder);
    Child::say(stage.address());
    wait_for_line("accept", NO_FILES);
    Child::say("pauses");
    let begin = now();
    let count = lines("accept", NO_FILES).len();
    wait_until("ten more attempts", || lines("accept", NO_FILES).len() >= count + 10);
    Child::say(&begin.elapsed().as_millis().to_string());
    Child::wait_for_parent();
}
