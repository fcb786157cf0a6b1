//! The built-in pages: who may see them, where they are, and what they say while a server leaves.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use msec::Pages;
use msec_protocol::Code;
use msec_tests::http::{mirror, post, target};
use msec_tests::{ECHO, HttpPeer, MIRROR, Stage, config, curl, on_both};

fn get(page: &str, headers: &str) -> String {
    format!("GET {page} HTTP/1.1\r\n{headers}\r\n")
}

/// The digest of a text as policies write it, by somebody else's code.
fn sha256(text: &str) -> String {
    let program = "print Digest::SHA::sha256_base64(join '', <STDIN>), '='";
    let mut perl = Command::new("perl")
        .args(["-MDigest::SHA", "-e", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("perl is missing: make deps-test installs it");
    perl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(perl.wait_with_output().unwrap().stdout).unwrap()
}

/// The status of a page for a request with these headers.
fn status(stage: &Stage, page: &str, headers: &str) -> u16 {
    let mut peer = HttpPeer::connect(stage.address());
    peer.send(get(page, headers));
    peer.answer().status
}

on_both! {
    fn probes_are_answered_to_curl_in_both_forms(io: msec::Io) {
        let stage = Stage::echo(io);
        let url = |page: &str| format!("http://{}{page}", stage.address());
        assert_eq!(curl(&[&url("/health")], ""), "ok\n");
        assert_eq!(curl(&[&url("/ready")], ""), "ready\n");
        let json = curl(&[&url("/ready?format=json")], "");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["status"], "ready");
        let version = curl(&[&url("/version?format=json")], "");
        let version: serde_json::Value = serde_json::from_str(&version).unwrap();
        assert_eq!((&version["io"], &version["cores"]),
            (&stage.engine.io_backend().into(), &2.into()));
        let html = curl(&[&url("/version")], "");
        assert!(html.starts_with("<!doctype html>") && html.contains("href=\"/health\""));
        let head = curl(&["--head", &url("/health")], "");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"));
        assert!(head.contains("content-length: 3\r\n"), "{head}");
    }

    fn every_page_is_there_in_both_forms(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = HttpPeer::connect(stage.address());
        peer.call(ECHO, "{}");
        let list = peer.get("/version").body;
        let pages: Vec<_> = list.split("<a href=\"").skip(1).map(|rest| {
            rest.split_once('"').unwrap().0.to_owned()
        }).collect();
        for page in ["/health", "/metrics", "/status", "/traces", "/config"] {
            assert!(pages.iter().any(|known| known == page), "{page} in {pages:?}");
        }
        for page in &pages {
            let people = peer.get(page);
            assert_eq!(people.status, 200, "{page}");
            let kind = people.header("content-type").unwrap();
            assert!(kind.starts_with("text/") && !people.body.is_empty(), "{page}: {kind}");
            let program = peer.get(&format!("{page}?format=json"));
            assert_eq!(program.status, 200, "{page}");
            assert_eq!(program.header("content-type"), Some("application/json"), "{page}");
            let json: serde_json::Value = serde_json::from_str(&program.body).unwrap();
            assert!(json.is_object() || json.is_array(), "{page}: {json}");
        }
    }

    fn no_script_runs_on_a_page_but_the_one_that_keeps_it_fresh(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = HttpPeer::connect(stage.address());
        for (page, is_live) in [
            ("/status", true),
            ("/routes", true),
            ("/connections", true),
            ("/coroutines", false),
            ("/config", false),
        ] {
            let answer = peer.get(page);
            let policy = answer.header("content-security-policy").unwrap();
            assert!(!policy.contains("unsafe"), "{policy}");
            for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
                let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
                let parts: Vec<_> = answer.body.split(&begin).skip(1).collect();
                assert_eq!(parts.len(), usize::from(tag == "style" || is_live), "{page}");
                for part in parts {
                    let digest = sha256(part.split_once(&end).unwrap().0);
                    let allowed = format!("{directive} 'sha256-{digest}';");
                    assert!(policy.contains(&allowed), "{page}: {allowed} in {policy}");
                }
            }
            // Nothing inline beside these, which the policy would not let be.
            assert!(!answer.body.contains(" style=") && !answer.body.contains(" on"), "{page}");
        }
    }

    fn what_is_no_page_or_no_get_says_what_is(io: msec::Io) {
        let stage = Stage::echo(io);
        let mut peer = HttpPeer::connect(stage.address());
        let missing = peer.get("/secret");
        assert_eq!((missing.status, missing.code()), (404, Code::INVALID_METHOD));
        for request in [
            get("/echo.EchoService/Echo", "Host: h\r\n"),
            get("/?methodName=echo.EchoService.Echo", "Host: h\r\n"),
            "DELETE /health HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        ] {
            peer.send(request);
            let refused = peer.answer();
            assert_eq!(refused.status, 405);
            assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
        }
        peer.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(peer.answer().status, 204);
        peer.send(post("/health", "", ""));
        assert_eq!(peer.answer().status, 404);
    }

    fn inner_pages_are_for_this_machine_and_for_hosts_that_can_only_be_us(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| builder.host("own.example"));
        for (headers, expect) in [
            ("Host: 127.0.0.1:80\r\n", 200),
            ("Host: localhost\r\n", 200),
            ("Host: [::1]:80\r\n", 200),
            ("Host: OWN.example:7963\r\n", 200),
            // A page of this name may run in the operator's browser.
            ("Host: evil.example:80\r\n", 403),
            ("Host: 127.0.0.1.evil.example\r\n", 403),
            // A proxy on this machine hands on what comes from elsewhere.
            ("Host: 127.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\n", 403),
            ("Host: 127.0.0.1\r\nForwarded: for=10.0.0.1\r\n", 403),
        ] {
            assert_eq!(status(&stage, "/version", headers), expect, "{headers}");
            assert_eq!(status(&stage, "/health", headers), 200, "{headers}");
        }
    }

    fn pages_are_opened_or_closed_where_that_is_configured(io: msec::Io) {
        let open = Stage::with(config(io), |builder| builder.pages(Pages::Everybody));
        let forwarded = "X-Forwarded-For: 10.0.0.1\r\n";
        let own = format!("Host: 127.0.0.1\r\n{forwarded}");
        assert_eq!(status(&open, "/version", &own), 200);
        assert_eq!(status(&open, "/version", &format!("Host: evil.example\r\n{forwarded}")), 403);
        let closed = Stage::with(config(io), |builder| builder.pages(Pages::Nobody));
        for page in ["/version", "/health", "/ready"] {
            assert_eq!(status(&closed, page, "Host: 127.0.0.1\r\n"), 404);
        }
    }

    fn an_admin_address_has_the_pages_and_nothing_else(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder
                .descriptors(mirror())
                .raw(MIRROR, |context| Ok(context.body_bytes()))
                .admin("127.0.0.1:0")
        });
        let mut admin = HttpPeer::connect(&stage.server.admin_addresses()[0]);
        assert_eq!(admin.get("/version").status, 200);
        assert_eq!(admin.get("/health").body, "ok\n");
        admin.send(post(&target(MIRROR), "", "{}"));
        assert_eq!(admin.answer().status, 404);
        assert_eq!(status(&stage, "/health", "Host: 127.0.0.1\r\n"), 404);
        assert_eq!(HttpPeer::connect(stage.address()).call(MIRROR, "{}").status, 200);
        // SRPC is not spoken there.
        let mut srpc = HttpPeer::connect(&stage.server.admin_addresses()[0]);
        srpc.send(b"(\0\0\0\x01\0\0\0\0x)\r\n\r\n");
        assert_eq!(srpc.answer().status, 400);
        srpc.wait_for_end();
    }

    fn a_server_that_leaves_says_so_at_its_admin_address_until_it_has_left(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| builder.admin("127.0.0.1:0"));
        let address = stage.server.admin_addresses()[0].clone();
        assert_eq!(HttpPeer::connect(&address).get("/ready").status, 200);
        stage.server.drain();
        // A new connection, for probes come anew each time.
        let mut probe = HttpPeer::connect(&address);
        let ready = probe.get("/ready");
        assert_eq!((ready.status, &ready.body[..], ready.keeps()), (503, "draining\n", false));
        assert_eq!(HttpPeer::connect(&address).get("/health").status, 200);
        // Probes are no reason to wait.
        let _idle = HttpPeer::connect(&address);
        let began = msec_tests::now();
        stage.stop(msec_tests::PATIENCE);
        assert!(began.elapsed() < msec_tests::PATIENCE / 2);
        assert!(std::net::TcpStream::connect(&address).is_err());
    }
}
