//! Calls by HTTP: both forms, the mapping of JSON, and what headers say, with `curl` and with a raw
//! socket.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use msec_protocol::Code;
use msec_protocol::trace::TraceParent;
use msec_tests::http::{HttpAnswer, mirror, post, target};
use msec_tests::{ECHO, Gate, HttpPeer, MIRROR, Stage, config, curl, on_both};
use serde_json::json;

/// A stage with [`MIRROR`], which answers with its request, and with methods that fail.
fn stage(config: msec::Config) -> Stage {
    Stage::with(config, |builder| {
        builder
            .descriptors(mirror())
            .raw(MIRROR, |context| Ok(context.body_bytes()))
            .raw("test.Fail.Always", |_| -> msec::Result<&[u8]> {
                Err(msec::Error::new(Code::OVERLOADED, "no \"room\""))
            })
            .raw("test.Fail.Panics", |_| -> msec::Result<&[u8]> { panic!("meant to be") })
    })
}

on_both! {
    fn both_forms_are_served_to_curl_on_the_port_of_srpc(io: msec::Io) {
        let stage = stage(config(io));
        let mut bystander = stage.bystander();
        let url = format!("http://{}/test.Mirror/Same", stage.address());
        let modern = curl(&[&url, "-d", r#"{"bigNumber":7,"colour":"RED"}"#], "");
        assert_eq!(modern, r#"{"bigNumber":"7","colour":"RED"}"#);
        let url = format!("http://{}/any/path?methodName={MIRROR}&x=1", stage.address());
        for kind in ["application/json", "aplication/json", "text/plain"] {
            let kind = format!("Content-Type: {kind}");
            let body = r#"{"big_number":7,"colour":"RED"}"#;
            let original = curl(&[&url, "-H", &kind, "-d", body], "");
            let expect = r#"{"ret":0,"errmsg":"","resultObj":{"big_number":7,"colour":1}}"#;
            assert_eq!(original, expect);
        }
        bystander.is_served();
    }

    fn a_connection_is_kept_and_curl_uses_it_again(io: msec::Io) {
        let stage = stage(config(io));
        let url = format!("http://{}/test.Mirror/Same", stage.address());
        let format = "%{num_connects} %{http_code}\n";
        let out = ["-o", "/dev/null", "-w", format, "-d", "{}"];
        let arguments = [&[&url[..], &url, &url][..], &out, &out[..2], &out[..2]].concat();
        assert_eq!(curl(&arguments, ""), "1 200\n0 200\n0 200\n");
    }

    fn long_bodies_travel_by_length_and_by_chunks_after_a_word_to_go_on(io: msec::Io) {
        let stage = stage(config(io));
        let url = format!("http://{}/test.Mirror/Same", stage.address());
        let body = json!({ "text": "x".repeat(3_000_000) }).to_string();
        let chunked = ["-H", "Transfer-Encoding: chunked"];
        let expect = ["-H", "Expect: 100-continue"];
        for headers in [&[][..], &chunked, &expect, &[chunked, expect].concat()] {
            let arguments = [&[&url[..], "--data-binary", "@-"][..], headers].concat();
            assert_eq!(curl(&arguments, &body).len(), body.len(), "{headers:?}");
        }
    }

    fn failures_are_a_status_in_one_form_and_an_envelope_in_the_other(io: msec::Io) {
        msec_tests::quiet_panics("meant to be");
        let stage = stage(config(io));
        let mut peer = HttpPeer::connect(stage.address());
        for (method, body, status, code) in [
            ("test.Fail.Always", "{}", 503, Code::OVERLOADED),
            ("test.Fail.Missing", "{}", 404, Code::INVALID_METHOD),
            (MIRROR, "{", 400, Code::INVALID_BODY),
            (MIRROR, r#"{"nobody":1}"#, 400, Code::INVALID_BODY),
        ] {
            // What has no schema takes bytes.
            let kind = if body == "{}" { "Content-Type: application/octet-stream\r\n" } else { "" };
            peer.send(post(&target(method), kind, body));
            let modern = peer.answer();
            assert_eq!((modern.status, modern.code()), (status, code), "{method}");
            assert_eq!(modern.header("content-type"), Some("application/json"));
            assert!(modern.keeps() && modern.json()["message"].is_string());
        }
        peer.send(post(&format!("/?methodName={MIRROR}"), "", "{"));
        let original = peer.answer();
        assert_eq!((original.status, original.code()), (200, Code::INVALID_BODY));
        assert_eq!(original.json().get("resultObj"), None);
        peer.send(post("/test.Fail/Panics", "Content-Type: application/protobuf\r\n", ""));
        assert_eq!(peer.answer().code(), Code::SERVICE_FAILED);
        assert_eq!(peer.call(MIRROR, "{}").body, "{}");
    }

    fn a_message_travels_as_it_is_where_its_type_says_so(io: msec::Io) {
        let stage = stage(config(io));
        let mut peer = HttpPeer::connect(stage.address());
        for kind in ["application/octet-stream", "application/protobuf; x=y"] {
            let header = format!("Content-Type: {kind}\r\n");
            peer.send(post(&target(ECHO), &header, "any {bytes"));
            let answer = peer.answer();
            assert_eq!((answer.status, &answer.body[..]), (200, "any {bytes"));
            assert_eq!(answer.header("content-type"), kind.split(';').next());
        }
        // As JSON such a method is not to be had.
        let refused = peer.call(ECHO, "{}");
        assert_eq!((refused.status, refused.code()), (400, Code::INVALID_BODY));
        assert!(refused.body.contains("octet-stream"), "{}", refused.body);
    }

    fn headers_become_what_a_head_says(io: msec::Io) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let parents = Arc::new(Mutex::new(Vec::new()));
        let noted = parents.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Seen.It", move |context| {
                let metadata: Vec<_> = context
                    .metadata()
                    .map(|(key, value)| (key.to_string(), String::from_utf8_lossy(value).into()))
                    .collect();
                let said: (String, bool, u64, Vec<(String, String)>) = (
                    context.caller().into(),
                    context.is_dyed(),
                    context.flow_id(),
                    metadata,
                );
                let remaining_ms = context.remaining_ms();
                noted.lock().unwrap().push(context.traceparent());
                sink.lock().unwrap().push((said, remaining_ms));
                context.set_result(-7);
                Ok("")
            })
        });
        let mut peer = HttpPeer::connect(stage.address());
        let kind = "Content-Type: application/octet-stream\r\n";
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let headers = format!(
            "{kind}CALLER: Shop.web\r\nmsec-dyed: 1\r\nMsec-Meta-Tenant: blue\r\n\
             msec-timeout-ms: 9000\r\ntraceparent: {trace}\r\n"
        );
        peer.send(post("/test.Seen/It", &headers, ""));
        let answer = peer.answer();
        assert_eq!(answer.status, 200);
        let parent = |text: &str| TraceParent::parse(text.as_bytes()).unwrap();
        let of = |answer: &HttpAnswer| parent(answer.header("traceparent").unwrap());
        // The trace of the caller, and in it the span of the request here.
        let (theirs, ours) = (parent(trace), of(&answer));
        let span = &stage.engine.trace(theirs.trace_id.low)[0];
        assert_eq!((span.trace_id, span.parent_id), (theirs.trace_id, theirs.span_id));
        assert_eq!((ours.trace_id, ours.span_id), (theirs.trace_id, span.span_id));
        assert!(ours.sampled);
        assert_eq!(answer.header("msec-result"), Some("-7"));
        peer.send(post("/test.Seen/It", kind, ""));
        // Nobody has named the trace: it is found by what the answer says.
        let named = of(&peer.answer());
        let span = &stage.engine.trace(named.trace_id.low)[0];
        assert_eq!((span.trace_id, span.span_id), (named.trace_id, named.span_id));
        assert_eq!((span.parent_id, named.sampled), (0, false));
        // What the handler would pass on is the same.
        assert_eq!(parents.lock().unwrap()[..], [Some(ours), Some(named)]);
        let seen = seen.lock().unwrap();
        let (said, remaining_ms) = &seen[0];
        let metadata = vec![("tenant".to_string(), "blue".to_string())];
        assert_eq!(*said, ("Shop.web".into(), true, 0xa3ce_929d_0e0e_4736, metadata));
        assert!(remaining_ms.unwrap() <= 9000);
        assert_eq!((&seen[1].0.0[..], seen[1].0.1), ("http.json", false));
        assert!(seen[1].1.unwrap() > 10_000);
    }

    fn the_deadline_of_a_header_ends_the_wait_and_nonsense_is_refused(io: msec::Io) {
        let gate = Gate::new();
        let held = gate.clone();
        let stage = Stage::with(config(io), |builder| {
            builder.raw("test.Sleep.Long", move |context| -> msec::Result<&[u8]> {
                held.arrive();
                while !context.is_cancelled() {
                    msec::sleep(std::time::Duration::from_millis(1))?;
                }
                Err(msec::Error::new(Code::DEADLINE_EXCEEDED, "nobody waits any more"))
            })
        });
        let mut peer = HttpPeer::connect(stage.address());
        let kind = "Content-Type: application/octet-stream\r\n";
        let call = |header: &str| post("/test.Sleep/Long", &format!("{kind}{header}"), "");
        peer.send(call("msec-timeout-ms: 300\r\n"));
        let answer = peer.answer();
        assert_eq!((answer.status, answer.code()), (504, Code::DEADLINE_EXCEEDED));
        gate.wait_for_arrivals(1);
        for nonsense in ["0", "-1", "1s", "1.5"] {
            peer.send(call(&format!("msec-timeout-ms: {nonsense}\r\n")));
            let answer = peer.answer();
            assert_eq!((answer.status, answer.code()), (400, Code::INVALID_PARAMETER));
        }
    }

    fn pages_of_other_origins_may_call_only_where_that_is_configured(io: msec::Io) {
        let closed = stage(config(io));
        let open = Stage::with(config(io), |builder| {
            builder.descriptors(mirror()).raw(MIRROR, |context| Ok(context.body_bytes()))
                .cors("https://shop.example")
        });
        let call = |origin: &str| {
            post(&target(MIRROR), &format!("Origin: {origin}\r\n"), "{}")
        };
        let mut peer = HttpPeer::connect(closed.address());
        peer.send(call("https://shop.example"));
        let refused = peer.answer();
        assert_eq!((refused.status, refused.code()), (403, Code::FORBIDDEN));
        assert_eq!(refused.header("access-control-allow-origin"), None);
        // Its own pages, if the host is an address.
        let own = |host: &str| format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n", target(MIRROR)
        );
        peer.send(own("127.0.0.1:80"));
        assert_eq!(peer.answer().status, 200);
        peer.send(own("evil.example:80"));
        assert_eq!(peer.answer().status, 403);

        let mut peer = HttpPeer::connect(open.address());
        peer.send(call("https://shop.example"));
        let answer = peer.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(answer.header("vary"), Some("origin"));
        peer.send(call("https://evil.example"));
        assert_eq!(peer.answer().status, 403);
        let preflight = |origin: &str| format!(
            "OPTIONS /test.Mirror/Same HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n\r\n"
        );
        peer.send(preflight("https://shop.example"));
        let may = peer.answer();
        assert_eq!((may.status, &may.body[..]), (204, ""));
        assert_eq!(may.header("access-control-allow-headers"), Some("x-a"));
        peer.send(preflight("https://evil.example"));
        let may_not = peer.answer();
        assert_eq!(may_not.header("access-control-allow-origin"), None);
        assert_eq!(may_not.header("access-control-allow-headers"), None);
        assert!(may_not.header("allow").is_some());
    }

    fn methods_that_run_elsewhere_are_called_by_http_as_well(io: msec::Io) {
        let stage = Stage::with(config(io), |builder| {
            builder
                .descriptors(mirror())
                .raw(MIRROR, |context| Ok(context.body_bytes()))
                .method(MIRROR, |options| { options.heavy(); })
        });
        let mut peer = HttpPeer::connect(stage.address());
        let pipelined: String = (0..20)
            .map(|n| post(&target(MIRROR), "", &format!(r#"{{"small":{}}}"#, n + 1)))
            .collect();
        peer.send(pipelined);
        for n in 1..=20 {
            assert_eq!(peer.answer().body, format!(r#"{{"small":{n}}}"#));
        }
    }

    fn deep_json_fits_onto_the_smallest_stack(io: msec::Io) {
        let stage = stage(config(io).stack_kb(64));
        let mut peer = HttpPeer::connect(stage.address());
        let nested = |depth: usize| {
            format!("{}{{}}{}", "{\"nested\":".repeat(depth - 1), "}".repeat(depth - 1))
        };
        assert_eq!(peer.call(MIRROR, &nested(32)).body, nested(32));
        let children = format!("{}{}", "{\"children\":[".repeat(16), "]}".repeat(16));
        assert_eq!(peer.call(MIRROR, &children).status, 200);
        let refused = peer.call(MIRROR, &"[".repeat(1_000_000));
        assert_eq!((refused.status, refused.code()), (400, Code::INVALID_BODY));
    }
}
