//! `msec press` against real servers: the numbers add up, and they are true.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{
    Child, ECHO, Ran, Watched, echo, failing, msec, proto, serve, serve_as_child, signal, temporary,
};
use msec::clock;
use serde_json::Value;

/// Runs a press that succeeds; its JSON.
fn press(arguments: &[&str]) -> Value {
    result(&msec(&[&["press"], arguments, &["--json", "-"]].concat()))
}

fn result(ran: &Ran) -> Value {
    assert_eq!(ran.status, 0, "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).expect("standard output is JSON alone");
    let [sent, answered, failed] = ["sent", "answered", "failed"].map(|name| number(&json, name));
    assert_eq!(sent, answered + failed, "{json:#}");
    let errors = json["errors"].as_array().expect("a list");
    let by_code: u64 = errors.iter().map(|error| number(error, "count")).sum();
    assert_eq!(failed, by_code, "{json:#}");
    json
}

fn number(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {json:#}"))
}

fn latency_us(json: &Value, name: &str) -> f64 {
    json["latency_us"][name].as_f64().expect("a latency")
}

const SHORT: [&str; 4] = ["--duration", "500ms", "--warmup", "100ms"];

fn short(address: &str, more: &[&str]) -> Value {
    press(&[&[address], more, &SHORT[..]].concat())
}

#[test]
fn a_closed_loop_counts_each_call_once_over_tcp_udp_and_unix() {
    let path = temporary("press.sock");
    for listen in ["127.0.0.1:0", "127.0.0.1:0@udp", &format!("unix:{}", path.display())] {
        let served = serve(echo(), listen);
        let json = short(&served.address(), &["--depth", "2", "--cores", "1", "--payload", "9"]);
        assert_eq!(json["mode"], "closed");
        assert!(number(&json, "answered") > 10, "{json:#}");
        assert_eq!((number(&json, "failed"), number(&json, "unsent")), (0, 0), "{json:#}");
        // Field 1 is a key, a length and nine bytes.
        assert_eq!(number(&json, "answer_bytes"), 11 * number(&json, "answered"));
        let order = ["p50", "p90", "p99", "p999", "max"].map(|name| latency_us(&json, name));
        assert!(order[0] > 0.0 && order.is_sorted(), "{json:#}");
        assert!((json["duration_s"].as_f64().expect("a number") - 0.5).abs() < 0.01, "{json:#}");
    }
}

#[test]
fn the_server_sees_every_call_and_exactly_so_many_connections() {
    let peers = Arc::new(Mutex::new(HashSet::new()));
    let calls = Arc::new(AtomicU64::new(0));
    let (seen, counted) = (peers.clone(), calls.clone());
    let builder = msec::Server::builder().raw(ECHO, move |context| {
        seen.lock().expect("no panic").insert(context.peer());
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(context.body().to_vec())
    });
    let served = serve(builder, "127.0.0.1:0");
    let more = ["--connections", "7", "--depth", "3", "--cores", "2", "--warmup", "0s"];
    let json = press(&[&[&*served.address()], &more[..], &["--duration", "300ms"]].concat());
    assert_eq!(peers.lock().expect("no panic").len(), 7);
    // One more to try whether the method is there.
    assert_eq!(calls.load(Ordering::Relaxed), number(&json, "sent") + 1);
    assert_eq!(number(&json, "connections"), 7);
}

#[test]
fn an_open_loop_keeps_its_rate_evenly_and_at_random() {
    let served = serve(echo(), "127.0.0.1:0");
    let json = short(&served.address(), &["--rate", "1000"]);
    assert_eq!((&json["mode"], &json["arrivals"]), (&"open".into(), &"constant".into()));
    // The window may begin between two due times.
    assert!((499..=501).contains(&number(&json, "sent")), "{json:#}");
    assert_eq!(number(&json, "answered") + number(&json, "unsent"), number(&json, "sent"));
    let json = short(&served.address(), &["--rate", "2000", "--arrivals", "poisson"]);
    // Of 1000 expected, five standard deviations of a Poisson count.
    assert!(number(&json, "sent").abs_diff(1000) < 160, "{json:#}");
}

#[test]
fn failures_are_counted_by_code_and_do_not_end_the_run() {
    let calls = AtomicU64::new(0);
    let builder = msec::Server::builder().raw(ECHO, move |_| {
        match calls.fetch_add(1, Ordering::Relaxed) % 4 {
            3 => Err(msec::Error::failed("one of four")),
            1 => Err(msec::Error::new(msec::Code(-77), "")),
            _ => Ok(""),
        }
    });
    let served = serve(builder, "127.0.0.1:0");
    let json = short(&served.address(), &["--rate", "400", "--connections", "1", "--cores", "1"]);
    let errors = json["errors"].as_array().expect("a list");
    assert_eq!(errors.iter().map(|error| &error["code"]).collect::<Vec<_>>(), [-77, -18]);
    assert!(errors[1]["first"].as_str().expect("a text").contains("one of four"), "{json:#}");
    assert!(number(&json, "answered").abs_diff(number(&json, "failed")) <= 4, "{json:#}");
    let text = msec(&[&["press", &served.address(), "--rate", "400"], &SHORT[..]].concat());
    assert!(text.stdout.contains("-18 service implement failed: one of four"), "{text:?}");
}

#[test]
fn a_run_without_an_answer_has_failed_but_is_reported() {
    let builder = msec::Server::builder()
        .raw(ECHO, |_| Err::<&str, _>(msec::Error::failed("as it was told to")));
    let served = serve(builder, "127.0.0.1:0");
    let arguments = ["press", &served.address(), "--rate", "200", "--json", "-"];
    let ran = msec(&[&arguments, &SHORT[..]].concat());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("no call was answered; one of them: -18 "), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).expect("standard output is JSON alone");
    assert_eq!(number(&json, "failed"), number(&json, "sent"));
    assert_eq!(json["latency_us"], Value::Null);
}

#[test]
fn calls_that_find_no_free_place_are_told_apart() {
    let builder = msec::Server::builder().raw(ECHO, |_| {
        msec::sleep(std::time::Duration::from_millis(20))?;
        Ok("")
    });
    let served = serve(builder, "127.0.0.1:0");
    let narrow = [
        "--rate",
        "1000",
        "--connections",
        "1",
        "--depth",
        "1",
        "--timeout",
        "200ms",
        "--warmup",
        "0s",
        "--duration",
        "500ms",
    ];
    let json = press(&[&[&*served.address()], &narrow[..]].concat());
    let due = number(&json, "sent") + number(&json, "unsent");
    assert!((499..=501).contains(&due) && number(&json, "unsent") > 300, "{json:#}");
    // The calls that were made had waited for their place, and that is in their latency.
    assert!(latency_us(&json, "max") > 200_000.0, "{json:#}");
    let ran = msec(&[&["press", &served.address()], &narrow[..]].concat());
    assert!(ran.stdout.contains("due calls never found a free place"), "{ran:?}");
}

#[test]
fn text_and_json_say_the_same() {
    let served = serve(echo(), "127.0.0.1:0");
    let file = temporary("press.json");
    let name = file.display().to_string();
    let ran = msec(&[&["press", &served.address(), "--json", &name], &SHORT[..]].concat());
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{ran:?}");
    let text = std::fs::read_to_string(&file).expect("it was written");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let sent = number(&json, "sent").to_string();
    assert!(ran.stdout.replace(',', "").contains(&format!("{sent}  sent\n")), "{ran:?}");
    let busy = json["generator"]["busy"].as_array().expect("a list").iter();
    let hottest = busy.map(|busy| busy.as_f64().expect("a number")).fold(0.0, f64::max);
    assert_eq!(json["generator"]["bottleneck"], hottest > 0.95, "{json:#}");
    assert_eq!(ran.stdout.contains("generator was the bottleneck"), hottest > 0.95, "{ran:?}");
}

#[test]
fn a_message_of_ones_own_is_sent_as_call_would() {
    let served = serve(echo(), "127.0.0.1:0");
    let hello = r#"{"message":"aGVsbG8="}"#;
    let json = short(&served.address(), &[ECHO, hello, "--proto", &proto(), "--rate", "100"]);
    assert_eq!(number(&json, "body_bytes"), 7);
    assert_eq!(number(&json, "answer_bytes"), 7 * number(&json, "answered"));
}

#[test]
fn what_is_wrong_from_the_first_call_on_is_an_error_at_once() {
    let ran = msec(&["press", "127.0.0.1:1"]);
    assert_eq!((ran.status, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("msec press: -11 network error"), "{ran:?}");
    let served = serve(echo(), "127.0.0.1:0");
    let ran = msec(&["press", &served.address(), "echo.EchoService.Eco"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("-6 ") && ran.stderr.contains("EchoService.Eco"), "{ran:?}");
}

#[test]
fn ctrl_c_ends_a_run_early_with_a_full_report() {
    let served = serve(echo(), "127.0.0.1:0");
    let arguments = [
        "press",
        &served.address(),
        "--rate",
        "500",
        "--warmup",
        "0s",
        "--progress",
        "--json",
        "-",
    ];
    let running = Watched::start(&arguments);
    let line = running.wait_for("   1 s  sent ");
    assert!(line.contains("answered") && line.contains("p99"), "{line}");
    signal(running.id(), "INT");
    let json = result(&running.end());
    assert_eq!(json["interrupted"], true);
    assert!(number(&json, "answered") >= 400 && number(&json, "sent") < 4000, "{json:#}");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let child = Child::start(CHILD);
    let arguments = [
        "press",
        &child.address,
        "--warmup",
        "0s",
        "--duration",
        "60s",
        "--timeout",
        "60s",
        "--progress",
    ];
    let running = Watched::start(&arguments);
    running.wait_for("   1 s  sent ");
    child.stop();
    signal(running.id(), "INT");
    // The calls in flight are never answered, so the first one alone does not end it.
    let killed = running.wait_for_death_by("INT");
    assert_eq!(killed, Some(2));
}

#[test]
fn a_pause_of_the_server_shows_in_full_in_an_open_loop() {
    let child = Child::start(CHILD);
    let arguments = [
        "press",
        &child.address,
        "--rate",
        "1000",
        "--warmup",
        "0s",
        "--duration",
        "4s",
        "--connections",
        "4",
        "--progress",
        "--json",
        "-",
    ];
    let running = Watched::start(&arguments);
    running.wait_for("   1 s  sent ");
    child.signal("STOP");
    let stopped_ns = clock::now_ns();
    running.wait_for("   2 s  sent ");
    let paused_us = (clock::now_ns() - stopped_ns) as f64 / 1e3;
    child.signal("CONT");
    let json = result(&running.end());
    assert_eq!((number(&json, "failed"), number(&json, "unsent")), (0, 0), "{json:#}");
    assert!((3999..=4001).contains(&number(&json, "sent")), "{json:#}");
    // A quarter of all calls fell due in the pause and waited for what was left of it: a second at
    // most, half a second in the middle of them. 256 places were not enough for all of them.
    let max = latency_us(&json, "max");
    let after_us = max - paused_us;
    assert!((-100_000.0..500_000.0).contains(&after_us), "paused {paused_us} us: {json:#}");
    assert!(latency_us(&json, "p999") > 0.9 * max, "{json:#}");
    assert!(latency_us(&json, "p99") > 0.8 * max, "{json:#}");
    let p90 = latency_us(&json, "p90") / max;
    assert!((0.4..0.8).contains(&p90), "{json:#}");
    assert!(latency_us(&json, "p50") < max / 4.0, "{json:#}");
}

#[test]
fn a_server_that_dies_costs_its_calls_and_no_more() {
    let child = Child::start(CHILD);
    let arguments = [
        "press",
        &child.address,
        "--depth",
        "4",
        "--warmup",
        "0s",
        "--duration",
        "2s",
        "--progress",
        "--json",
        "-",
    ];
    let running = Watched::start(&arguments);
    running.wait_for("   1 s  sent ");
    drop(child);
    let json = result(&running.end());
    assert!(number(&json, "answered") > 0 && number(&json, "failed") > 0, "{json:#}");
    // After a refusal a place rests for 10 ms: 64 places, one second.
    assert!(number(&json, "failed") < 64 * 110, "{json:#}");
    let codes = json["errors"].as_array().expect("a list").iter().map(|error| &error["code"]);
    assert_eq!(codes.collect::<Vec<_>>(), [-11], "{json:#}");
}

const CHILD: &str = "an_echo_server_answers";

/// In a child of this test process it serves; else it makes sure that such a child does.
#[test]
fn an_echo_server_answers() {
    if serve_as_child() {
        return;
    }
    let child = Child::start(CHILD);
    let ran = msec(&["call", &child.address, ECHO, "x", "--raw"]);
    assert_eq!((ran.status, &*ran.stdout), (0, "x"), "{ran:?}");
}

#[test]
fn messages_of_data_are_sent_in_turn() {
    let bodies = Arc::new(Mutex::new(std::collections::BTreeMap::<Vec<u8>, u64>::new()));
    let seen = bodies.clone();
    let builder = msec::Server::builder().raw(ECHO, move |context| {
        *seen.lock().expect("no panic").entry(context.body().to_vec()).or_default() += 1;
        Ok(context.body().to_vec())
    });
    let served = serve(builder, "127.0.0.1:0");
    let file = temporary("data.json");
    std::fs::write(&file, "{\"message\":\"YQ==\"}\n{\"message\":\"YmI=\"} {}").expect("writable");
    let data = format!("@{}", file.display());
    let more = ["--data", &data, "--proto", &proto(), "--cores", "1", "--connections", "1"];
    let json = short(&served.address(), &more);
    assert_eq!(number(&json, "messages"), 3);
    let bodies = bodies.lock().expect("no panic");
    let of = |body: &[u8]| *bodies.get(body).expect("it was sent");
    let counts = [of(&[0x0a, 1, b'a']), of(&[0x0a, 2, b'b', b'b']), of(b"")];
    assert_eq!(bodies.len(), 3);
    // In turn: one of them may be a call ahead, and the first one is tried before the run.
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 2), "{counts:?}");
}

#[test]
fn data_that_is_no_message_is_refused_by_its_number() {
    let refused = |arguments: &[&str]| {
        let ran = msec(&[&["press", "127.0.0.1:1"], arguments].concat());
        assert_eq!(ran.status, 2, "{ran:?}");
        ran.stderr
    };
    let proto = proto();
    let text = refused(&[ECHO, "--data", "{} {\"x\":1}", "--proto", &proto]);
    assert!(text.contains("message 2 of --data is not a echo.EchoRequest"), "{text}");
    assert!(refused(&[ECHO, "--data", " ", "--proto", &proto]).contains("has no message in it"));
    assert!(refused(&[ECHO, "--data", "{}"]).contains("needs --proto or --descriptors"));
    let both = [ECHO, "{}", "--data", "{}", "--proto", &proto];
    assert!(refused(&both).contains("one of them is enough"));
}

#[test]
fn the_page_has_its_plots_in_itself_and_names_nothing_elsewhere() {
    let served = serve(failing(echo()), "127.0.0.1:0");
    let file = temporary("page.html");
    let name = file.display().to_string();
    let json = short(&served.address(), &["--rate", "500", "--html", &name]);
    let html = std::fs::read_to_string(&file).expect("it was written");
    assert_eq!(html.matches("<svg ").count(), 3);
    for part in ["Latency by percentile", "Latency over time", "Calls over time", "99 %<", ECHO] {
        assert!(html.contains(part), "{part}");
    }
    for outside in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    let answered = format!("&quot;answered&quot;: {}", number(&json, "answered"));
    assert!(html.contains(&answered), "{answered}");
    // Four steps of 100 ms have ended before the end does.
    let paths: Vec<_> = html.split("<path class=\"p50\" d=\"").skip(1).collect();
    assert_eq!(paths.len(), 3);
    for path in paths {
        let points = path.split('"').next().unwrap_or_default();
        assert!(points.starts_with('M') && points.matches('L').count() >= 3, "{points}");
        assert!(!points.contains("NaN") && !points.contains("inf"), "{points}");
    }

    let refused = msec(&[
        "press",
        &served.address(),
        "test.Service.Fail",
        "fail",
        "--raw",
        "--duration",
        "200ms",
        "--warmup",
        "0s",
        "--html",
        &name,
    ]);
    assert_eq!(refused.status, 1, "{refused:?}");
    let html = std::fs::read_to_string(&file).expect("it was written");
    assert!(html.contains("<h2>Failures</h2>") && html.contains("as it was told to"), "{html}");
    let nowhere = "/nowhere/at/all.html";
    let ran = msec(&[&["press", &served.address(), "--html", nowhere], &SHORT[..]].concat());
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("cannot write /nowhere/at/all.html"), "{ran:?}");
}
