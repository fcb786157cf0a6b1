//! Certificates and CAs that change while the server runs.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use msec::{CallOptions, Client, ClientTls, Code, Engine, Io, ServerTls};
use msec_tests::{
    Authority, ECHO, PATIENCE, Stage, Wanted, config, on_both, wait_for_line, wait_until,
};

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

/// Whether a fresh client that trusts this authority is served.
fn is_served(io: Io, authority: &Authority, address: &str) -> bool {
    let tls = ClientTls::new(authority.file());
    let engine = Engine::with(config(io).cores(1).tls(tls)).unwrap();
    let client = Client::new(&engine, address).unwrap();
    match client.call_raw(ECHO, b"who", &patient()) {
        Ok(reply) => reply.body[..] == b"who"[..],
        Err(error) => {
            assert_eq!(error.code(), Code::NETWORK, "{error}");
            false
        }
    }
}

on_both! {
    fn a_certificate_is_changed_under_load_without_a_lost_call(io: Io) {
        let (old, new) = (Authority::new(), Authority::new());
        let issued = old.server();
        let tls = ServerTls::new(&issued.chain, &issued.key);
        let stage = Stage::at(config(io), |builder| builder.tls(tls).listen("127.0.0.1:0@tls"));
        let both = old.path("both.pem");
        let pem = |authority: &Authority| std::fs::read_to_string(authority.file()).unwrap();
        std::fs::write(&both, pem(&old) + &pem(&new)).unwrap();
        let engine = Engine::with(config(io).tls(ClientTls::new(&both))).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let load = |lane: u16| {
            let (client, stop, calls) = (client.clone(), stop.clone(), calls.clone());
            std::thread::spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Each call on a connection of its own for a while: handshakes all the time.
                    round = (round + 1) % 8;
                    let options = patient().lane(lane * 8 + round);
                    client.call_raw(ECHO, &[7; 5000], &options).unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads: Vec<_> = (0..4).map(load).collect();
        wait_until("calls go", || calls.load(Ordering::Relaxed) > 50);
        assert!(is_served(io, &old, stage.address()));
        assert!(!is_served(io, &new, stage.address()));
        let fresh = new.server();
        std::fs::copy(&fresh.chain, &issued.chain).unwrap();
        std::fs::copy(&fresh.key, &issued.key).unwrap();
        // By itself, in a while.
        wait_until("the new certificate is shown", || is_served(io, &new, stage.address()));
        assert!(!is_served(io, &old, stage.address()));
        let before = calls.load(Ordering::Relaxed);
        wait_until("calls go on", || calls.load(Ordering::Relaxed) > before + 50);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no call was lost");
        }
    }

    fn a_broken_file_changes_nothing_and_is_told(io: Io) {
        let authority = Authority::new();
        let issued = authority.server();
        let tls = ServerTls::new(&issued.chain, &issued.key);
        let stage = Stage::at(config(io), |builder| builder.tls(tls).listen("127.0.0.1:0@tls"));
        let good = std::fs::read(&issued.chain).unwrap();
        std::fs::write(&issued.chain, "nothing of use").unwrap();
        let error = stage.engine.reload_tls().unwrap_err();
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
        let path = issued.chain.display().to_string();
        assert!(error.message().contains(&path), "{error}");
        assert!(error.message().contains("no certificate"), "{error}");
        assert!(is_served(io, &authority, stage.address()));
        // By itself, and in the log.
        std::fs::remove_file(&issued.chain).unwrap();
        let line = wait_for_line("tls", &format!("read {path}"));
        assert!(line.text.contains("stays"), "{}", line.text);
        assert!(is_served(io, &authority, stage.address()));
        std::fs::write(&issued.chain, good).unwrap();
        stage.engine.reload_tls().unwrap();
        assert!(is_served(io, &authority, stage.address()));
    }

    fn a_new_ca_shuts_out_those_of_the_old_one(io: Io) {
        let (servers, old, new) = (Authority::new(), Authority::new(), Authority::new());
        let issued = servers.server();
        let ca = servers.path("clients.pem");
        std::fs::copy(old.file(), &ca).unwrap();
        let tls = ServerTls::new(&issued.chain, &issued.key).client_ca(&ca);
        let stage = Stage::at(config(io), |builder| builder.tls(tls).listen("127.0.0.1:0@tls"));
        let ann = old.issue("ann", &Wanted::client("ann"));
        let tls = ClientTls::new(servers.file()).certificate(&ann.chain, &ann.key);
        let engine = Engine::with(config(io).cores(1).tls(tls)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        let call = |lane: u16| client.call_raw(ECHO, b"", &patient().lane(lane));
        call(0).unwrap();
        std::fs::copy(new.file(), &ca).unwrap();
        stage.engine.reload_tls().unwrap();
        // Who is in stays in; who comes again does not get in by what it was given before.
        call(0).unwrap();
        assert_eq!(call(1).unwrap_err().code(), Code::NETWORK);
        // The client's own certificate is read again, too.
        let ben = new.issue("ben", &Wanted::client("ben"));
        std::fs::copy(&ben.chain, &ann.chain).unwrap();
        std::fs::copy(&ben.key, &ann.key).unwrap();
        engine.reload_tls().unwrap();
        wait_until("the peer is tried again", || call(2).is_ok());
    }
}
