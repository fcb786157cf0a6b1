//! Old clients of HTTP at our server: the forms in which the original's servers in C++ and Java are
//! called, written out as `wget`, PHP and the pages of the time send them.
//!
//! What is refused is refused on purpose: GET calls nothing, since a page of any site can make a
//! browser GET what it likes, and the browser does not say that it is a page that asks.
//!
//! Lines of the checklist that others hold already: JSON as the original maps it, `core/src/json`
//! (a table of both mappings); chunks, pipelining and what is no HTTP, `http_wire`; pages of other
//! origins, `http_calls`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use msec::Io;
use msec_tests::http::{HttpAnswer, mirror};
use msec_tests::{HttpPeer, MIRROR, Stage, config, on_both};
use serde_json::json;

const TELL: &str = "test.Head.Tell";

/// A stage with [`MIRROR`], and with a method that counts and tells who calls.
fn stage(io: Io) -> (Stage, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let stage = Stage::with(config(io), |builder| {
        builder.descriptors(mirror()).raw(MIRROR, |context| Ok(context.body_bytes())).raw(
            TELL,
            move |context| {
                count.fetch_add(1, Ordering::AcqRel);
                Ok(context.caller().to_owned())
            },
        )
    });
    (stage, runs)
}

/// Sends a request, whose lines end as HTTP wants it, and returns the answer.
#[track_caller]
fn ask(peer: &mut HttpPeer, lines: &[&str], body: &str) -> HttpAnswer {
    let length = format!("Content-Length: {}", body.len());
    let mut request = [lines, &[&length, "", ""]].concat().join("\r\n");
    request.push_str(body);
    peer.send(request);
    peer.answer()
}

/// Checks that it is an answer of the original's, and that the connection goes on.
#[track_caller]
fn says(answer: &HttpAnswer, body: &str) {
    assert_eq!((answer.status, &answer.body[..]), (200, body));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()));
    assert!(answer.keeps());
}

/// Checks that it is a refusal of the original's: no result.
#[track_caller]
fn refuses(answer: &HttpAnswer, ret: i32, errmsg: &str) {
    let json = answer.json();
    says(answer, &answer.body.clone());
    assert_eq!((&json["ret"], json.get("resultObj")), (&json!(ret), None), "{json}");
    assert!(json["errmsg"].as_str().unwrap().contains(errmsg), "{json}");
}

on_both! {
    fn a_post_to_any_path_calls_what_its_query_names_whatever_its_type(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        let query = format!("methodName={MIRROR}");
        for target in [
            format!("/?{query}"),
            format!("/127.0.0.1:7963?{query}"),
            format!("/any/path.php?x=1&{query}&y=2"),
            format!("/invoke?{query}&seq=7"),
            format!("/INVOKE?{query}"),
        ] {
            for kind in [
                "Content-Type: application/json",
                "Content-Type: aplication/json",
                "Content-Type: application/json; charset=UTF-8",
                "Content-type: application/x-www-form-urlencoded",
                "content-type: text/plain",
                "Accept: */*",
            ] {
                let line = format!("POST {target} HTTP/1.1");
                let body = r#"{ "big_number": 9007199254740993, "colour": "RED", "raw": "aGk=" }"#;
                let answer = ask(&mut peer, &[&line, "Host: 127.0.0.1:7963", kind], body);
                says(&answer, concat!(
                    r#"{"ret":0,"errmsg":"","resultObj":"#,
                    r#"{"big_number":9007199254740993,"colour":1,"raw":"aGk="}}"#
                ));
            }
        }
    }

    fn a_client_of_http_1_0_is_answered_and_its_connection_ended(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        let line = format!("POST /?methodName={MIRROR} HTTP/1.0");
        let answer = ask(&mut peer, &[&line, "User-Agent: Wget/1.12 (linux-gnu)"], "{}");
        assert_eq!((answer.status, answer.json()["ret"].clone()), (200, json!(0)));
        peer.wait_for_end();
    }

    fn early_errors_have_a_text_and_no_result_and_keep_the_connection(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        let mut ask = |method: &str, body: &str| {
            let line = format!("POST /?methodName={method} HTTP/1.1");
            ask(&mut peer, &[&line, "Host: h"], body)
        };
        for (method, body, ret, errmsg) in [
            ("", "{}", -6, "no method"),
            ("a.B", "{}", -6, "`a.B`"),
            ("test.Mirror.Other", "{}", -6, "`test.Mirror.Other`"),
            (MIRROR, "{", -5, "JSON"),
            (MIRROR, "[]", -5, "JSON"),
            (MIRROR, r#"{"nobody":1}"#, -5, "`nobody`"),
            (MIRROR, "{\"text\":\"\n\"}", -5, "JSON"),
        ] {
            refuses(&ask(method, body), ret, errmsg);
        }
        // A message without fields is one, and so is no text at all.
        for body in ["{}", ""] {
            says(&ask(MIRROR, body), r#"{"ret":0,"errmsg":"","resultObj":{}}"#);
        }
    }

    fn the_header_caller_says_who_calls_in_any_case(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        let line = format!("POST /{} HTTP/1.1", TELL.replacen(".Tell", "/Tell", 1));
        let kind = "Content-Type: application/octet-stream";
        for (header, caller) in [
            ("caller: Demo.web", "Demo.web"),
            ("Caller:Demo.web", "Demo.web"),
            ("CALLER:  Demo.web ", "Demo.web"),
            ("Callers: Demo.web", "http.json"),
        ] {
            let answer = ask(&mut peer, &[&line, "Host: h", kind, header], "");
            assert_eq!((answer.status, &answer.body[..]), (200, caller), "{header}");
        }
    }

    fn the_spelling_of_java_is_the_same_method(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        for target in ["/?methodName=test.Mirror.same", "/test.Mirror/same"] {
            let line = format!("POST {target} HTTP/1.1");
            let answer = ask(&mut peer, &[&line, "Host: h"], r#"{"text":"x"}"#);
            assert_eq!(answer.status, 200);
            assert!(answer.body.contains(r#"{"text":"x"}"#), "{}", answer.body);
        }
    }

    fn invoke_takes_the_message_from_its_query_or_from_an_encoded_body(io: Io) {
        let (stage, _) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        let mut ask = |path: &str, param: &str, body: &str| {
            let line = format!("POST {path}?methodName={MIRROR}&seq=1{param} HTTP/1.1");
            ask(&mut peer, &[&line, "Host: h"], body)
        };
        let result = r#"{"ret":0,"errmsg":"","resultObj":{"text":"a+b 100% é"}}"#;
        let encoded = "%7B%22text%22:%22a%2Bb+100%25%20%c3%A9%22%7D";
        let param = format!("&param={encoded}");
        says(&ask("/invoke", &param, ""), result);
        says(&ask("/Invoke", "", encoded), result);
        // What is not encoded is taken as it is: `+` and `%` are what they are.
        let plain = r#"{"text":"a+b 100% é"}"#;
        says(&ask("/invoke", "", plain), result);
        says(&ask("/invoke", "&param=%7B%22text%22:%22no%22%7D", plain), result);
        // Elsewhere nothing is decoded, and `param` is none of ours.
        refuses(&ask("/other", "", encoded), -5, "JSON");
        says(&ask("/other", &param, ""), r#"{"ret":0,"errmsg":"","resultObj":{}}"#);
        for wrong in ["%7", "%7B%2", "%zz"] {
            refuses(&ask("/invoke", &format!("&param={wrong}"), ""), -5, "percent sign");
        }
        says(&ask("/invoke", &param, ""), result);
    }

    fn get_calls_nothing(io: Io) {
        let (stage, runs) = stage(io);
        let mut peer = HttpPeer::connect(stage.address());
        for target in [
            format!("/invoke?methodName={TELL}&param=%7B%7D"),
            format!("/?methodName={TELL}"),
            "/test.Head/Tell".to_owned(),
        ] {
            let answer = peer.get(&target);
            assert_eq!((answer.status, answer.code().0), (405, -6), "{target}");
            assert!(answer.body.contains("POST"), "{}", answer.body);
        }
        assert_eq!(runs.load(Ordering::Acquire), 0);
    }
}
