//! One suite for both back ends, and for io_uring with each feature switched off.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]
#![allow(clippy::disallowed_methods, reason = "a test bounds its waits by wall time")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use msec_sys::output::{Output, Writer};
use msec_sys::ring::{Choice, Event, Features, Interest, Ring};
use msec_sys::socket::{self, Address, Socket};

/// Runs a story on every kind of ring.
fn on_each(story: impl Fn(&mut Ring)) {
    let mut kinds = vec![(Choice::Epoll, Features::ALL), (Choice::Uring, Features::ALL)];
    for name in Features::NAMES {
        let mut features = Features::ALL;
        assert!(features.without(name));
        kinds.push((Choice::Uring, features));
    }
    let mut bare = Features::ALL;
    Features::NAMES.iter().for_each(|name| assert!(bare.without(name)));
    kinds.push((Choice::Uring, bare));
    for (choice, features) in kinds {
        eprintln!("-- {choice:?} with {features}");
        let (mut ring, refused) = Ring::open(choice, features).unwrap();
        assert!(refused.is_none());
        story(&mut ring);
    }
}

/// Waits, five seconds at most, until `done` says so of the next event.
fn until(ring: &mut Ring, mut done: impl FnMut(Event) -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        while let Some(event) = ring.next_event() {
            if done(event) {
                return;
            }
        }
        assert!(Instant::now() < end, "no such event within five seconds");
        ring.wait(Some(100_000_000)).unwrap();
    }
}

fn listener() -> (Rc<Socket>, std::net::SocketAddr) {
    let any = Address::Ip("127.0.0.1:0".parse().unwrap());
    let socket = Socket::new(socket::listen(&any).unwrap());
    let Address::Ip(address) = socket.local_address().unwrap() else { panic!("an IP address") };
    (socket, address)
}

fn pair() -> (Rc<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Socket::new(OwnedFd::from(ours)), theirs)
}

#[test]
fn several_connections_are_accepted_by_one_operation_and_a_cancel_ends_it_once() {
    on_each(|ring| {
        let (socket, address) = listener();
        let op = ring.accept(&socket, 7);
        let mut clients = Vec::new();
        let mut accepted = 0;
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).unwrap());
            until(ring, |event| match event {
                Event::Accepted { token: 7, .. } => {
                    accepted += 1;
                    true
                }
                _ => panic!("only accepts are under way"),
            });
        }
        assert_eq!(accepted, 3);
        ring.cancel(op);
        until(ring, |event| {
            matches!(event, Event::AcceptEnded { token: 7, errno: libc::ECANCELED })
        });
        ring.cancel(op);
        ring.wait(Some(0)).unwrap();
        assert!(ring.next_event().is_none());
        assert_eq!(ring.operations_count(), 0);
    });
}

#[test]
fn bytes_arrive_in_order_and_the_end_comes_last() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        ring.recv(&socket, 1);
        let sender = std::thread::spawn(move || {
            for round in 0..200u32 {
                peer.write_all(&vec![round as u8; 4096]).unwrap();
            }
            peer.shutdown(Shutdown::Write).unwrap();
            peer
        });
        let mut received = Vec::new();
        until(ring, |event| match event {
            Event::Received { token: 1, buffer } => {
                received.extend_from_slice(&buffer);
                false
            }
            Event::RecvEnded { token: 1, errno } => {
                assert_eq!(errno, 0);
                true
            }
            _ => panic!("only a receive is under way"),
        });
        assert_eq!(received.len(), 200 * 4096);
        assert!(received.chunks(4096).enumerate().all(|(n, c)| c.iter().all(|b| *b == n as u8)));
        drop(sender.join().unwrap());
        assert_eq!((ring.operations_count(), ring.buffers_held_count()), (0, 0));
    });
}

#[test]
fn held_buffers_stop_the_receive_and_giving_them_back_resumes_it() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        ring.recv(&socket, 1);
        let bytes = 64 << 20;
        let sender = std::thread::spawn(move || {
            peer.write_all(&vec![5; bytes]).unwrap();
            peer
        });
        let mut held = Vec::new();
        let mut total = 0;
        until(ring, |event| {
            if let Event::Received { buffer, .. } = event {
                total += buffer.len();
                held.push(buffer);
            }
            held.len() == usize::from(msec_sys::buffer::BUFFERS_COUNT)
        });
        // Nothing can arrive now; the ring must neither fail nor lose the operation.
        for _ in 0..3 {
            ring.wait(Some(1_000_000)).unwrap();
            while let Some(event) = ring.next_event() {
                assert!(!matches!(event, Event::Received { .. } | Event::RecvEnded { .. }));
            }
        }
        held.clear();
        until(ring, |event| {
            if let Event::Received { buffer, .. } = event {
                total += buffer.len();
            }
            total == bytes
        });
        drop(sender.join().unwrap());
    });
}

#[test]
fn a_send_into_a_full_pipe_waits_and_loses_nothing() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        let bytes: Vec<u8> = (0..6_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = bytes.clone();
        ring.send(&socket, 9, bytes.into(), 0);
        ring.wait(Some(0)).unwrap();
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; 6_000_000];
            peer.read_exact(&mut received).unwrap();
            (received, peer)
        });
        let mut again = None;
        loop {
            until(ring, |event| match event {
                Event::Sent { token: 9, output, result } => {
                    again = Some((output, result.unwrap()));
                    true
                }
                _ => panic!("only a send is under way"),
            });
            let (output, sent) = again.take().unwrap();
            let from = expected.len() - output.len() + sent;
            if from == expected.len() {
                break;
            }
            // A short send: the rest goes as a new operation.
            ring.send(&socket, 9, expected[from..].to_vec().into(), 0);
        }
        let (received, _peer) = reader.join().unwrap();
        assert!(received == expected);
    });
}

#[test]
fn a_send_in_pieces_into_a_full_pipe_loses_nothing() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        let mut output = Output::default();
        let mut expected = Vec::new();
        output.append(|bytes, pieces| {
            // More pieces than one send takes.
            for number in 0..100u8 {
                let piece = Bytes::from(vec![number; 16 * 1024 + usize::from(number)]);
                expected.extend_from_slice(&[number, 1, 2]);
                expected.extend_from_slice(&piece);
                let mut writer = Writer::new(bytes, pieces);
                writer.put_slice(&[number, 1, 2]);
                writer.put(piece);
            }
        });
        assert_eq!(output.len(), expected.len());
        let bytes_count = expected.len();
        ring.send(&socket, 9, output, 0);
        ring.wait(Some(0)).unwrap();
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; bytes_count];
            peer.read_exact(&mut received).unwrap();
            (received, peer)
        });
        let mut from = 0;
        while from < bytes_count {
            let mut again = None;
            until(ring, |event| match event {
                Event::Sent { token: 9, output, result } => {
                    again = Some((output, result.unwrap()));
                    true
                }
                _ => panic!("only a send is under way"),
            });
            let (output, sent) = again.unwrap();
            from += sent;
            if from < bytes_count {
                ring.send(&socket, 9, output, from);
            }
        }
        let (received, _peer) = reader.join().unwrap();
        assert!(received == expected);
    });
}

#[test]
fn a_send_to_a_reset_connection_fails_with_its_bytes_returned() {
    on_each(|ring| {
        let (socket, peer) = pair();
        let theirs = Socket::new(OwnedFd::from(peer));
        theirs.reset_on_close();
        drop(theirs);
        ring.recv(&socket, 1);
        until(ring, |event| matches!(event, Event::RecvEnded { errno: libc::ECONNRESET, .. }));
        ring.send(&socket, 2, vec![1, 2, 3].into(), 0);
        until(ring, |event| match event {
            Event::Sent { output, result, .. } => {
                assert_eq!((output.len(), result), (3, Err(libc::EPIPE)));
                true
            }
            _ => panic!("only a send is under way"),
        });
    });
}

#[test]
fn a_cancelled_receive_can_be_started_again_without_losing_a_byte() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        let mut received = Vec::new();
        let mut sent = Vec::new();
        for round in 0..50u8 {
            let op = ring.recv(&socket, 1);
            peer.write_all(&[round; 100]).unwrap();
            sent.extend([round; 100]);
            if round % 2 == 0 {
                ring.wait(Some(0)).unwrap();
            }
            ring.cancel(op);
            until(ring, |event| match event {
                Event::Received { buffer, .. } => {
                    received.extend_from_slice(&buffer);
                    false
                }
                Event::RecvEnded { errno, .. } => {
                    assert_eq!(errno, libc::ECANCELED);
                    true
                }
                _ => panic!("only a receive is under way"),
            });
        }
        drop(peer);
        ring.recv(&socket, 1);
        until(ring, |event| match event {
            Event::Received { buffer, .. } => {
                received.extend_from_slice(&buffer);
                false
            }
            Event::RecvEnded { errno: 0, .. } => true,
            _ => panic!("only a receive is under way"),
        });
        assert!(received == sent);
    });
}

#[test]
fn a_shutdown_ends_the_receive_of_our_own_side() {
    on_each(|ring| {
        let (socket, _peer) = pair();
        ring.recv(&socket, 1);
        ring.wait(Some(0)).unwrap();
        socket.shutdown();
        until(ring, |event| matches!(event, Event::RecvEnded { .. }));
        assert_eq!(ring.operations_count(), 0);
    });
}

#[test]
fn a_connect_is_told_by_writability() {
    on_each(|ring| {
        let (_listener, address) = listener();
        let good = Socket::new(socket::connect(&Address::Ip(address)).unwrap());
        ring.poll(&good, Interest::Writable, 3);
        until(ring, |event| matches!(event, Event::Ready { token: 3, errno: 0 }));
        assert!(good.take_error().unwrap().is_none());

        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Refused at once or when it turns writable, as the kernel likes.
        if let Ok(fd) = socket::connect(&Address::Ip(closed)) {
            let bad = Socket::new(fd);
            ring.poll(&bad, Interest::Writable, 4);
            until(ring, |event| matches!(event, Event::Ready { token: 4, .. }));
            let error = bad.take_error().unwrap().unwrap();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn a_watch_tells_every_datagram_and_ends_when_cancelled() {
    on_each(|ring| {
        let any = Address::Ip("127.0.0.1:0".parse().unwrap());
        let server = Socket::new(socket::bind_datagram(&any).unwrap());
        let client = socket::connect_datagram(&server.local_address().unwrap()).unwrap();
        let client = Socket::new(client);
        let op = ring.watch(&server, 11);
        let mut bytes = [0; 2048];
        for round in 0..20u8 {
            client.send_now(&[round; 8]).unwrap();
            let mut found = false;
            until(ring, |event| {
                assert!(matches!(event, Event::Ready { token: 11, errno: 0 }));
                while let Ok((length, from)) = server.recv_from_now(&mut bytes) {
                    assert_eq!(bytes[..length], [round; 8]);
                    server.send_to_now(&bytes[..length], &from).unwrap();
                    found = true;
                }
                found
            });
            assert_eq!(client.recv_now(&mut bytes).unwrap(), 8);
        }
        ring.cancel(op);
        until(ring, |event| matches!(event, Event::Ready { errno: libc::ECANCELED, .. }));
        assert_eq!(ring.operations_count(), 0);
    });
}

#[test]
fn a_wake_from_another_thread_ends_the_wait() {
    on_each(|ring| {
        for _ in 0..5 {
            let waker = ring.waker();
            let thread = std::thread::spawn(move || waker.wake());
            let begin = Instant::now();
            ring.wait(Some(5_000_000_000)).unwrap();
            while ring.next_event().is_some() {}
            assert!(begin.elapsed() < Duration::from_secs(4));
            thread.join().unwrap();
        }
        // Not a stuck bell: with nobody ringing, the wait lasts.
        ring.wait(Some(0)).unwrap();
        while ring.next_event().is_some() {}
        let begin = Instant::now();
        ring.wait(Some(20_000_000)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(19));
    });
}

#[test]
fn dropping_a_busy_ring_ends_what_is_under_way() {
    on_each(|ring| {
        let name = ring.name();
        let choice = if name == "uring" { Choice::Uring } else { Choice::Epoll };
        let (mut busy, _) = Ring::open(choice, ring.features().unwrap_or(Features::ALL)).unwrap();
        let (socket, mut peer) = pair();
        let (listening, _) = listener();
        busy.recv(&socket, 1);
        busy.accept(&listening, 2);
        busy.send(&socket, 3, vec![7; 16 << 20].into(), 0);
        busy.wait(Some(0)).unwrap();
        drop(busy);
        drop(socket);
        // The descriptor is closed: the peer sees the end after what was sent.
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = vec![0; 1 << 20];
        while peer.read(&mut bytes).is_ok_and(|length| length > 0) {}
    });
}

/// Another ring of the same kind.
fn like(ring: &Ring) -> Ring {
    let choice = if ring.name() == "uring" { Choice::Uring } else { Choice::Epoll };
    Ring::open(choice, ring.features().unwrap_or(Features::ALL)).unwrap().0
}

#[test]
fn a_ring_dropped_between_two_events_lets_go_of_its_operations() {
    on_each(|ring| {
        let mut busy = like(ring);
        let (socket, mut peer) = pair();
        let (listening, address) = listener();
        busy.recv(&socket, 1);
        busy.accept(&listening, 2);
        peer.write_all(b"x").unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (mut received, mut accepted) = (false, false);
        until(&mut busy, |event| {
            received |= matches!(event, Event::Received { .. });
            accepted |= matches!(event, Event::Accepted { .. });
            received && accepted
        });
        // One-shot operations wait to be started again now; multishot ones are under way.
        drop(busy);
        assert_eq!((Rc::strong_count(&socket), Rc::strong_count(&listening)), (1, 1));
    });
}

#[test]
fn a_dropped_ring_leaves_the_connections_that_it_watched_alone() {
    on_each(|ring| {
        let mut busy = like(ring);
        let (socket, mut peer) = pair();
        let theirs = socket.as_fd().try_clone_to_owned().unwrap();
        busy.poll(&socket, Interest::Readable, 1);
        busy.wait(Some(0)).unwrap();
        drop(busy);
        drop(socket);
        let mut theirs = TcpStream::from(theirs);
        theirs.write_all(b"still here").unwrap();
        let mut bytes = [0; 10];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"still here");
    });
}

#[test]
fn a_socket_may_outlive_its_ring_and_be_used_in_another() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        for round in 0..2u8 {
            let mut first = like(ring);
            // Not the first place in the ring's table.
            let (other, _other_peer) = pair();
            first.recv(&other, 1);
            first.recv(&socket, 2);
            peer.write_all(&[round]).unwrap();
            until(&mut first, |event| matches!(event, Event::Received { token: 2, .. }));
        }
        ring.recv(&socket, 3);
        peer.write_all(b"x").unwrap();
        until(ring, |event| matches!(event, Event::Received { token: 3, .. }));
    });
}

#[test]
fn a_receive_started_again_while_a_send_waits_finds_what_arrived_before() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        let first = ring.recv(&socket, 1);
        let mut sends = true;
        while sends {
            ring.send(&socket, 2, vec![7; 16 << 20].into(), 0);
            ring.wait(Some(10_000_000)).unwrap();
            // A short send has room again at once; one that waits has found the pipe full.
            sends = std::iter::from_fn(|| ring.next_event()).count() > 0;
        }
        ring.cancel(first);
        until(ring, |event| matches!(event, Event::RecvEnded { token: 1, .. }));
        peer.write_all(b"x").unwrap();
        // The news of that byte comes while nobody reads.
        ring.wait(Some(1_000_000)).unwrap();
        let second = ring.recv(&socket, 3);
        ring.cancel(second);
        ring.recv(&socket, 4);
        let (mut cancelled, mut found) = (false, false);
        until(ring, |event| {
            cancelled |= matches!(event, Event::RecvEnded { token: 3, errno: libc::ECANCELED });
            // Either may have been quick enough to take it.
            found |= matches!(event, Event::Received { token: 3 | 4, .. });
            cancelled && found
        });
        // Nobody reads the send: it would hold up the end of this ring otherwise.
        socket.shutdown();
    });
}

#[test]
fn a_full_completion_queue_loses_no_event_and_no_end() {
    on_each(|ring| {
        if ring.name() == "epoll" {
            return;
        }
        let any = Address::Ip("127.0.0.1:0".parse().unwrap());
        let server = Socket::new(socket::bind_datagram(&any).unwrap());
        let client = socket::connect_datagram(&server.local_address().unwrap()).unwrap();
        let client = Socket::new(client);
        let watch = ring.watch(&server, 1);
        ring.wait(Some(0)).unwrap();
        // More than the queue of 8,192 holds, each ready at once.
        let polls = 10_000;
        for _ in 0..polls {
            ring.poll(&client, Interest::Writable, 2);
        }
        ring.wait(Some(0)).unwrap();
        client.send_now(b"x").unwrap();
        ring.wait(Some(1_000_000)).unwrap();
        ring.cancel(watch);
        let (mut ready, mut told, mut ended) = (0, 0, 0);
        until(ring, |event| {
            match event {
                Event::Ready { token: 2, errno: 0 } => ready += 1,
                Event::Ready { token: 1, errno: 0 } => told += 1,
                Event::Ready { token: 1, errno: libc::ECANCELED } => ended += 1,
                _ => panic!("only polls are under way"),
            }
            ready == polls && ended == 1
        });
        assert!(told >= 1);
        ring.wait(Some(1_000_000)).unwrap();
        assert!(ring.next_event().is_none());
        assert_eq!(ring.operations_count(), 0);
    });
}

#[test]
fn a_wait_for_buffers_does_not_spin() {
    on_each(|ring| {
        let (socket, mut peer) = pair();
        ring.recv(&socket, 1);
        let mut held = Vec::new();
        for count in 1..=usize::from(msec_sys::buffer::BUFFERS_COUNT) {
            peer.write_all(b"x").unwrap();
            until(ring, |event| {
                if let Event::Received { buffer, .. } = event {
                    held.push(buffer);
                }
                held.len() == count
            });
        }
        peer.write_all(b"y").unwrap();
        let lasted = (0..10).any(|_| {
            let begin = Instant::now();
            ring.wait(Some(20_000_000)).unwrap();
            assert!(ring.next_event().is_none());
            begin.elapsed() >= Duration::from_millis(19)
        });
        assert!(lasted);
        held.clear();
        until(ring, |event| matches!(event, Event::Received { buffer, .. } if buffer[..] == *b"y"));
    });
}

#[test]
fn a_dropped_ring_gives_its_registration_back() {
    // A thread has 16 places for registered rings (IO_RINGFD_REG_MAX).
    for _ in 0..20 {
        let (ring, _) = Ring::open(Choice::Uring, Features::ALL).unwrap();
        assert!(ring.features().unwrap().registered);
    }
}
