//! Handshakes that take too long or say too much, on either side: what the caller is told, what is
//! logged, and that calls on other connections do not notice.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use msec::{CallOptions, Client, ClientTls, Code, Config, Engine, Io, Limits, ServerTls};
use msec_tests::{Authority, ECHO, Fleet, PATIENCE, Peer, Stage, config, on_both, wait_until};

/// The first bytes of a handshake record of 16 KiB with a hello of 64 KiB; never all of it comes.
const HELLO_BEGINS: [u8; 9] = [0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0];

fn limited(io: Io, limits: Limits) -> Config {
    config(io).limits(limits)
}

/// A server of echoes by TLS with such limits, and its address without the protocol.
fn stage(io: Io, limits: Limits, authority: &Authority) -> (Stage, String) {
    let issued = authority.server();
    let stage = Stage::at(limited(io, limits), |builder| {
        builder.tls(ServerTls::new(&issued.chain, &issued.key)).listen("127.0.0.1:0@tls")
    });
    let tcp = stage.address().strip_suffix("@tls").unwrap().to_owned();
    (stage, tcp)
}

/// Callers that keep calling the server from an engine of their own.
fn others(io: Io, authority: &Authority, stage: &Stage) -> Fleet {
    let engine = Engine::with(config(io).tls(ClientTls::new(authority.file()))).unwrap();
    let client = Client::new(&engine, stage.address()).unwrap();
    let fleet = Fleet::start(&engine, &client, ECHO, 2);
    fleet.wait_for_more(20);
    fleet
}

/// They were not disturbed.
fn are_served(fleet: Fleet) {
    fleet.wait_for_more(20);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
}

/// What a call by TLS is told by somebody who does with the connection as `serve` says.
fn told(io: Io, limits: Limits, serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("{}@tls", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let tls = ClientTls::new(authority.file());
    let engine = Engine::with(limited(io, limits).tls(tls)).unwrap();
    let client = Client::new(&engine, &address).unwrap();
    let options = CallOptions::new().timeout(PATIENCE);
    let error = client.call_raw(ECHO, b"", &options).unwrap_err();
    assert_eq!(error.code(), Code::NETWORK, "{error}");
    serving.join().unwrap();
    error.message().to_owned()
}

on_both! {
    fn a_handshake_that_drips_is_ended_when_its_time_is_over(io: Io) {
        let authority = Authority::new();
        let limits = Limits { tls_handshake_ms_max: 1500, ..Limits::DEFAULT };
        let (stage, tcp) = stage(io, limits, &authority);
        let others = others(io, &authority, &stage);
        let (mut silent, mut begun) = (Peer::connect(&tcp), Peer::connect(&tcp));
        begun.send_bytes(&HELLO_BEGINS);
        for peer in [&mut silent, &mut begun] {
            peer.wait_for_end();
            let line = peer.wait_for_line();
            assert!(line.text.contains("handshake is not over in time"), "{}", line.text);
        }
        are_served(others);
    }

    fn a_handshake_that_goes_on_and_on_is_ended_at_its_limit(io: Io) {
        let authority = Authority::new();
        let limits = Limits { tls_handshake_bytes_max: 4000, ..Limits::DEFAULT };
        let (stage, tcp) = stage(io, limits, &authority);
        let others = others(io, &authority, &stage);
        let mut peer = Peer::connect(&tcp);
        peer.send_bytes(&HELLO_BEGINS);
        wait_until("the end of it", || peer.try_send_bytes(&[0; 20]).is_err());
        let line = peer.wait_for_line();
        assert!(line.text.contains("handshake is too long"), "{}", line.text);
        are_served(others);
    }

    fn a_caller_gives_up_on_a_handshake_that_drips(io: Io) {
        let limits = Limits { tls_handshake_ms_max: 300, ..Limits::DEFAULT };
        let text = told(io, limits, |mut stream| {
            // It takes what comes until the caller goes, and says nothing.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        assert!(text.contains("handshake is not over in time"), "{text}");
    }

    fn a_caller_gives_up_on_a_handshake_that_goes_on_and_on(io: Io) {
        let limits = Limits { tls_handshake_bytes_max: 4000, ..Limits::DEFAULT };
        let text = told(io, limits, |mut stream| {
            stream.write_all(&HELLO_BEGINS).unwrap();
            wait_until("the end of it", || stream.write_all(&[0; 20]).is_err());
        });
        assert!(text.contains("handshake is too long"), "{text}");
    }
}
