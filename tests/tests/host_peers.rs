//! Peers of a plugin that send nonsense, are slow, or die in the middle of a frame: who else calls
//! the same worker, on its only core, does not notice.

#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};
use msec_tests::hosted::{Hosted, plugin};
use msec_tests::peer::{framed, promised, request};
use msec_tests::{ECHO, Fleet, PATIENCE, Peer};

/// How often each misdeed is done.
const ROUNDS: u64 = 50;

/// Bytes that are random enough, and the same for the same seed (xorshift64*, Vigna 2016).
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Says that, and listens until the server has hung up; what it answers may be HTTP's, too.
fn says(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be closed by then, which is a reset.
    let heard = stream.write_all(bytes).and_then(|()| {
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())
    });
    let hung_up = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::NotConnected];
    assert!(heard.as_ref().map_or_else(|end| hung_up.contains(&end.kind()), |_| true), "{heard:?}");
}

/// Noise, alone and within a frame.
fn talks_nonsense(address: &str, round: u64) {
    let bytes = noise(round, 1 + round as usize * 37);
    says(address, &bytes);
    let mut framed = framed(&request(1, ECHO), &bytes);
    let middle = 9 + round as usize % 20;
    framed[middle..middle + 4].copy_from_slice(&noise(round + 1, 4));
    says(address, &framed);
}

/// Dies: in the middle of a frame, and with an answer on its way.
fn dies(address: &str) {
    let mut peer = Peer::connect(address);
    peer.send_bytes(&promised(&request(1, ECHO), 1 << 20));
    peer.send_bytes(&[7; 1000]);
    peer.reset();
    let mut peer = Peer::connect(address);
    peer.send(&request(1, "test.Plugin.Slow"), b"");
    peer.reset();
    let mut peer = Peer::connect(address);
    // An answer that does not fit into what the kernel keeps for it.
    peer.send(&request(1, ECHO), &vec![7; 4 << 20]);
    peer.reset();
}

#[test]
fn peers_that_misbehave_hurt_nobody_else() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let address = hosted.address();
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let client = Client::new(&engine, &address).unwrap();
    let options = CallOptions::new().timeout(Duration::from_secs(30));
    let fleet = Fleet::with(&engine, &client, ECHO, 4, options);
    fleet.wait_for_more(100);

    // A byte now and then, each on a connection of its own; and some that never read an answer.
    let slow_frame = framed(&request(5, ECHO), b"slow");
    let mut slow: Vec<_> = (0..8).map(|_| Peer::connect(&address)).collect();
    let mut deaf: Vec<_> = (0..8).map(|_| (Peer::connect(&address), 0)).collect();
    let questions = framed(&request(6, ECHO), &[7; 100_000]).repeat(ROUNDS as usize);
    for round in 0..ROUNDS {
        if let Some(byte) = slow_frame.get(round as usize) {
            slow.iter_mut().for_each(|peer| peer.send_bytes(&[*byte]));
        }
        for (peer, sent) in &mut deaf {
            *sent += peer.send_now(&questions[*sent..]);
        }
        talks_nonsense(&address, round);
        dies(&address);
        fleet.wait_for_more(20);
    }
    for peer in &mut slow {
        peer.send_bytes(slow_frame.get(ROUNDS as usize..).unwrap_or_default());
        let answer = peer.answer();
        assert_eq!((answer.head.sequence, &answer.body[..]), (5, &b"slow"[..]));
    }
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    assert_eq!(hosted.workers()[0][4], "0", "no worker was replaced");
    assert!(hosted.log().contains("closed: not the protocol"), "the operator is told");
}
