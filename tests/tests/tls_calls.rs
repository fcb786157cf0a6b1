//! Calls over TLS: they arrive, they are many, they are large, and everybody else is untouched.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use msec::{CallOptions, Client, ClientTls, Code, Config, Engine, Io, ServerTls};
use msec_tests::certificates::Issued;
use msec_tests::{
    Authority, ECHO, Fleet, Gate, PATIENCE, Peer, Proxy, Stage, Wanted, config, lines_count,
    on_both, wait_for_line_after, wait_until,
};

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn server_tls(issued: &Issued) -> ServerTls {
    ServerTls::new(&issued.chain, &issued.key)
}

/// A server of echoes with TLS, and with TLS alone.
fn stage(io: Io, tls: ServerTls) -> Stage {
    Stage::at(config(io), |builder| builder.tls(tls).listen("127.0.0.1:0@tls"))
}

fn engine(io: Io, tls: ClientTls) -> Engine {
    Engine::with(config(io).tls(tls)).unwrap()
}

fn echo(client: &Client, body: &[u8]) {
    let reply = client.call_raw(ECHO, body, &patient()).unwrap();
    assert!(&reply.body[..] == body, "the echo is another");
}

fn tcp(stage: &Stage) -> &str {
    stage.address().strip_suffix("@tls").unwrap()
}

fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index * 7 + index / 251) as u8).collect()
}

on_both! {
    fn small_and_large_bodies_arrive_as_they_were(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let engine = engine(io, ClientTls::new(authority.file()));
        let client = Client::new(&engine, stage.address()).unwrap();
        for bytes in [0, 1, 64, 16_383, 16_384, 16_385, 100_000, 1 << 20, 9 << 20] {
            echo(&client, &body(bytes));
        }
        assert!(stage.address().ends_with("@tls"), "{}", stage.address());
    }

    fn many_calls_at_a_time_share_a_connection(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let tls = ClientTls::new(authority.file());
        let engine = Engine::with(config(io).cores(1).tls(tls)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        for round in 0..5 {
            let bodies: Vec<_> = (0..300).map(|call| body(round * 977 + call * 31)).collect();
            let start =
                |body: &Vec<u8>| client.start_body::<()>(ECHO, body.clone(), &patient());
            let pending: Vec<_> = bodies.iter().map(start).collect();
            for (pending, body) in pending.into_iter().zip(&bodies) {
                assert!(pending.wait_raw().unwrap().body[..] == body[..], "another's answer");
            }
        }
        assert_eq!(stage.server.load().connections_count, 1);
    }

    fn curl_speaks_https_with_pages_and_methods(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let url = format!("https://{}", tcp(&stage));
        let curl = |arguments: &[&str]| {
            let mut command = Command::new("curl");
            command.args(["-sS", "--max-time", "15", "--cacert"]).arg(authority.file());
            let output = command.args(arguments).output().expect("curl is installed");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            output.stdout
        };
        let health = curl(&[&format!("{url}/health"), "-w", "%{http_code}"]);
        assert!(health.ends_with(b"200"), "{}", String::from_utf8_lossy(&health));
        let large = body(3 << 20);
        let file = authority.path("large");
        std::fs::write(&file, &large).unwrap();
        let method = format!("{url}/echo.EchoService/Echo");
        let data = format!("@{}", file.display());
        let kind = "content-type: application/octet-stream";
        let echoed = curl(&["-H", kind, "--data-binary", &data, &method, &method]);
        assert!(echoed == [&large[..], &large[..]].concat(), "two requests, two echoes");
        // The older version is spoken, too.
        let old = curl(&["--tls-max", "1.2", "-H", kind, "--data-binary", "old", &method]);
        assert_eq!(old, b"old");
    }

    fn plain_bytes_on_a_tls_port_are_told_and_disturb_nobody(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let engine = engine(io, ClientTls::new(authority.file()));
        let client = Client::new(&engine, stage.address()).unwrap();
        echo(&client, b"before");
        for plain in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"(\0\0\0\0\0\0\0\0)", &[0]] {
            let mut peer = Peer::connect(tcp(&stage));
            peer.send_bytes(plain);
            peer.wait_for_end();
            let line = peer.wait_for_line();
            assert!(line.text.contains("plain"), "{}", line.text);
        }
        // As little is what only looks like TLS.
        let mut peer = Peer::connect(tcp(&stage));
        peer.send_bytes(&[&[0x16, 3, 1, 0, 200][..], &[0xff; 200]].concat());
        peer.wait_for_end();
        let line = peer.wait_for_line();
        assert!(line.text.contains("TLS"), "{}", line.text);
        echo(&client, b"after");
        echo(&Client::new(&engine, stage.address()).unwrap(), b"another");
    }

    fn plain_and_tls_share_a_port_where_that_is_allowed(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()).accept_plain());
        let engine = engine(io, ClientTls::new(authority.file()));
        let secure = Client::new(&engine, stage.address()).unwrap();
        let plain = Client::new(&engine, tcp(&stage)).unwrap();
        let mut peer = Peer::connect(tcp(&stage));
        for round in 0..3 {
            echo(&secure, &body(round * 50_000));
            echo(&plain, &body(round * 50_000));
            peer.echo(&body(round * 50_000));
        }
    }

    fn a_stream_that_is_cut_is_an_error_that_says_so(io: Io) {
        let authority = Authority::new();
        let gate = Gate::new();
        let inner = gate.clone();
        let tls = server_tls(&authority.server());
        let stage = Stage::at(config(io), |builder| {
            builder
                .raw("test.Gate.Wait", move |_| {
                    inner.pass()?;
                    Ok("")
                })
                .tls(tls)
                .listen("127.0.0.1:0@tls")
        });
        let proxy = Proxy::before(tcp(&stage));
        let others = engine(io, ClientTls::new(authority.file()));
        let engine = engine(io, ClientTls::new(authority.file()));
        let client = Client::new(&engine, &format!("{}@tls", proxy.address())).unwrap();
        let pending = client.start_body::<()>("test.Gate.Wait", Vec::new(), &patient());
        stage.wait_for_requests(1);
        let others_client = Client::new(&others, stage.address()).unwrap();
        let fleet = Fleet::with(&others, &others_client, ECHO, 2, patient());
        fleet.wait_for_more(20);
        let before = lines_count();
        let far_address = proxy.cut();
        let error = pending.wait_raw().unwrap_err();
        assert_eq!(error.code(), Code::NETWORK);
        assert!(error.message().contains("cut"), "{error}");
        // The server was told between two requests, while it served one.
        let line = wait_for_line_after(before, "connection", &far_address);
        let text = "ends between requests: TLS: the stream was cut";
        assert!(line.text.contains(text), "{}", line.text);
        gate.open();
        drop((client, engine));
        fleet.wait_for_more(20);
        assert_eq!(fleet.failures(), [""; 0]);
        fleet.stop();
        drop((others_client, others));
        stage.wait_for_requests(0);
        stage.wait_for_connections(0);
    }

    fn a_request_that_a_cut_has_shortened_is_told_and_never_served(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let engine = engine(io, ClientTls::new(authority.file()));
        let bystander = Client::new(&engine, stage.address()).unwrap();
        echo(&bystander, b"before");
        let served = stage.server.report()[0].counters.ended();
        let before = lines_count();
        // By SRPC: the first part of a frame.
        let proxy = Proxy::cutting_after(tcp(&stage), 200_000);
        let client = Client::new(&engine, &format!("{}@tls", proxy.address())).unwrap();
        let error = client.call_raw(ECHO, &body(1_000_000), &patient()).unwrap_err();
        assert_eq!(error.code(), Code::NETWORK, "{error}");
        let line = wait_for_line_after(before, "connection", &proxy.far_address());
        assert!(line.text.contains("inside a request: TLS: the stream was cut"), "{}", line.text);
        // By HTTP: the head and the first part of a body.
        let proxy = Proxy::cutting_after(tcp(&stage), 200_000);
        let url = format!("https://{}/echo.EchoService/Echo", proxy.address());
        let file = authority.path("large");
        std::fs::write(&file, body(1_000_000)).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sk", "--max-time", "15", "-H", "content-type: application/octet-stream"]);
        curl.args(["-H", "Expect:", "--data-binary", &format!("@{}", file.display()), &url]);
        let output = curl.output().expect("curl is installed");
        assert!(!output.status.success() && output.stdout.is_empty(), "no answer to half of it");
        let line = wait_for_line_after(before, "connection", &proxy.far_address());
        assert!(line.text.contains("inside a request: TLS: the stream was cut"), "{}", line.text);
        assert_eq!(stage.server.report()[0].counters.ended(), served, "neither was served");
        echo(&bystander, b"after");
    }

    fn a_peer_that_does_not_speak_tls_is_told_apart(io: Io) {
        let authority = Authority::new();
        let plain = Stage::echo(io);
        let engine = engine(io, ClientTls::new(authority.file()));
        let client = Client::new(&engine, &format!("{}@tls", plain.address())).unwrap();
        let error = client.call_raw(ECHO, b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::NETWORK);
        assert!(error.message().contains("TLS"), "{error}");
        // The other way round.
        let secure = stage(io, server_tls(&authority.server()));
        let client = Client::new(&engine, tcp(&secure)).unwrap();
        let error = client.call_raw(ECHO, b"", &patient()).unwrap_err();
        assert_eq!(error.code(), Code::NETWORK);
    }

    fn a_stopped_server_says_so_and_loses_no_call(io: Io) {
        let authority = Authority::new();
        let stage = stage(io, server_tls(&authority.server()));
        let tls = ClientTls::new(authority.file());
        let engine = Engine::with(config(io).cores(1).tls(tls)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        echo(&client, b"before");
        let pending: Vec<_> =
            (0..64).map(|_| client.start_body::<()>(ECHO, body(200_000), &patient())).collect();
        wait_until("one is answered", || stage.server.report()[0].counters.ended() > 1);
        stage.stop(PATIENCE);
        for pending in pending {
            match pending.wait_raw() {
                Ok(reply) => assert!(reply.body[..] == body(200_000)[..]),
                // Not sent before the server left.
                Err(error) => assert_eq!(error.code(), Code::NETWORK, "{error}"),
            }
        }
    }
}

#[test]
fn an_address_with_tls_needs_what_it_takes() {
    let authority = Authority::new();
    let engine = Engine::with(config(Io::Epoll)).unwrap();
    let client = Client::new(&engine, "127.0.0.1:1@tls").unwrap();
    let error = client.call_raw(ECHO, b"", &patient()).unwrap_err();
    assert_eq!(error.code(), Code::INVALID_PARAMETER);
    assert!(error.message().contains("MSEC_TLS_CA"), "{error}");
    let start = |tls: Option<ServerTls>| {
        let builder = msec::Server::builder().listen("127.0.0.1:0@tls");
        let builder = match tls {
            Some(tls) => builder.tls(tls),
            None => builder,
        };
        builder.start(&engine).err().expect("it does not start")
    };
    let error = start(None);
    assert!(error.message().contains("no certificate"), "{error}");
    let good = authority.server();
    let error = start(Some(ServerTls::new("/nowhere/server.pem", &good.key)));
    assert!(error.to_string().contains("/nowhere/server.pem"), "{error}");
    // A key of another certificate, a key for a certificate, garbage.
    let other = authority.issue("other", &Wanted::names(&["other"]));
    let error = start(Some(ServerTls::new(&good.chain, &other.key)));
    assert!(error.message().contains("does not belong"), "{error}");
    let error = start(Some(ServerTls::new(&good.key, &good.key)));
    assert!(error.message().contains("no certificate"), "{error}");
    let error = start(Some(ServerTls::new(&good.chain, &good.chain)));
    assert!(error.message().contains("no private key"), "{error}");
    let garbage = authority.path("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let error = start(Some(ServerTls::new(&garbage, &good.key)));
    assert!(error.message().contains("garbage.pem"), "{error}");
    let without_key = Config::new().cores(1).tls(ClientTls::new("/nowhere/ca.pem"));
    let error = Engine::with(without_key).err().expect("it does not start");
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
