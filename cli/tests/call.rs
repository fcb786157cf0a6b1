//! `msec call` as a user meets it: the real binary, a real server, status and both outputs.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::{ECHO, Ran, Served, echo, failing, msec, msec_reading, proto, serve, temporary};
use msec::prost::Message as _;

const HELLO: &str = r#"{"message":"aGVsbG8="}"#;
const HELLO_PRETTY: &str = "{\n  \"message\": \"aGVsbG8=\"\n}\n";

fn tcp() -> Served {
    serve(failing(echo()), "127.0.0.1:0")
}

/// It worked, and printed that and no more.
fn check(ran: &Ran, stdout: &str) {
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (0, stdout, ""), "{ran:?}");
}

/// It ended with that status, printed nothing, and said each of the parts.
fn check_refused(ran: &Ran, status: i32, parts: &[&str]) {
    assert_eq!((ran.status, &*ran.stdout), (status, ""), "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is missing in: {}", ran.stderr);
    }
}

#[test]
fn json_goes_there_and_back_over_tcp_udp_and_unix() {
    let path = temporary("call.sock");
    for listen in ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0@udp", &format!("unix:{}", path.display())]
    {
        let served = serve(echo(), listen);
        check(&msec(&["call", &served.address(), ECHO, HELLO, "--proto", &proto()]), HELLO_PRETTY);
    }
}

#[test]
fn a_message_comes_from_an_argument_a_file_or_standard_input_or_is_empty() {
    let served = tcp();
    let address = served.address();
    let file = temporary("hello.json");
    std::fs::write(&file, HELLO).expect("the folder can be written");
    let at_file = format!("@{}", file.display());
    check(&msec(&["call", &address, ECHO, &at_file, "--proto", &proto()]), HELLO_PRETTY);
    let piped = msec_reading(&["call", &address, ECHO, "-", "--proto", &proto()], HELLO.as_bytes());
    check(&piped, HELLO_PRETTY);
    check(&msec(&["call", &address, ECHO, "--proto", &proto()]), "{}\n");
}

#[test]
fn a_descriptor_set_does_what_the_proto_file_does() {
    let served = tcp();
    let set = msec_codegen::Build::new().proto(proto()).descriptors().expect("it compiles");
    let file = temporary("echo.bin");
    std::fs::write(&file, set.encode_to_vec()).expect("the folder can be written");
    let name = file.display().to_string();
    let ran = msec(&["call", &served.address(), ECHO, HELLO, "--descriptors", &name]);
    check(&ran, HELLO_PRETTY);
    let ran = msec(&["call", &served.address(), ECHO, HELLO, "--descriptors", &proto()]);
    check_refused(&ran, 2, &["not a FileDescriptorSet"]);
}

#[test]
fn without_a_schema_bytes_are_hex_or_raw() {
    let served = tcp();
    check(&msec(&["call", &served.address(), ECHO, "0a 05FF", "--hex"]), "0a05ff\n");
    check(&msec(&["call", &served.address(), ECHO, "any thing", "--raw"]), "any thing");
    let ran = msec(&["call", &served.address(), ECHO, "0a0", "--hex"]);
    check_refused(&ran, 2, &["MESSAGE is not hex", "half a byte"]);
    check_refused(&msec(&["call", &served.address(), ECHO, "{}"]), 2, &["needs a schema", "--hex"]);
}

#[test]
fn verbose_tells_code_latency_and_sizes_apart_from_the_answer() {
    let served = tcp();
    let ran = msec(&["call", &served.address(), ECHO, "abc", "--raw", "-v"]);
    assert_eq!((ran.status, &*ran.stdout), (0, "abc"));
    assert!(ran.stderr.starts_with("code 0 success, "), "{ran:?}");
    assert!(ran.stderr.ends_with("s, 3 bytes out, 3 bytes in\n"), "{ran:?}");
}

#[test]
fn headers_dye_deadline_and_caller_travel() {
    let builder = echo().raw("test.Service.Tell", |context| {
        let header = |key| String::from_utf8_lossy(context.metadata_value(key).unwrap_or(b"none"));
        let remaining_ms = context.remaining_ms().unwrap_or(0);
        context.set_result(7);
        Ok(format!(
            "{} {} {} {} {}",
            header("tenant"),
            header("empty"),
            context.is_dyed(),
            context.caller(),
            (30_000..=40_000).contains(&remaining_ms),
        ))
    });
    let served = serve(builder, "127.0.0.1:0");
    let ran = msec(&[
        "call",
        &served.address(),
        "test.Service.Tell",
        "",
        "--raw",
        "--dye",
        "--timeout",
        "40s",
        "--header",
        "tenant=a=b",
        "--header",
        "empty=",
    ]);
    assert_eq!((ran.status, &*ran.stdout), (0, "a=b  true msec true"), "{ran:?}");
    assert_eq!(ran.stderr, "result: 7\n");
    let ran = msec(&["call", &served.address(), ECHO, "", "--raw", "--header", "tenant"]);
    check_refused(&ran, 2, &["--header `tenant`: write KEY=VALUE"]);
}

#[test]
fn a_one_way_call_returns_when_the_server_has_it() {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let builder = echo().raw("test.Service.Note", move |context| {
        let note = (context.is_one_way(), context.body().to_vec());
        let _ = tell.lock().expect("no panic").send(note);
        Ok("")
    });
    let served = serve(builder, "127.0.0.1:0");
    let ran = msec(&["call", &served.address(), "test.Service.Note", "hi", "--raw", "--one-way"]);
    check(&ran, "");
    let note = told.recv_timeout(Duration::from_secs(5)).expect("it was read before the end");
    assert_eq!(note, (true, b"hi".to_vec()));
    let ran = msec(&["call", "127.0.0.1:1", "test.Service.Note", "hi", "--raw", "--one-way"]);
    check_refused(&ran, 1, &["-11 network error", "127.0.0.1:1"]);
}

#[test]
fn service_names_are_found_in_the_routes() {
    let served = tcp();
    let file = temporary("routes.toml");
    let service = "[[service]]\nname = \"Demo.echo\"\n[[service.instance]]\n";
    let text = format!("{service}address = \"{}\"\n", served.address());
    std::fs::write(&file, text).expect("the folder can be written");
    let routes = file.display().to_string();
    check(&msec(&["call", "Demo.echo", ECHO, "x", "--raw", "--routes", &routes]), "x");
    let ran = msec(&["call", "Demo.other", ECHO, "x", "--raw", "--routes", &routes]);
    check_refused(&ran, 1, &["-15 get route failed", "Demo.other", "--routes FILE"]);
    let ran = msec(&["call", "Demo.echo", ECHO, "x", "--raw", "--routes", "/nowhere.toml"]);
    check_refused(&ran, 2, &["--routes /nowhere.toml: no such file"]);
}

#[test]
fn a_failed_call_ends_with_1_and_says_code_text_and_likely_cause() {
    let builder = failing(echo()).raw("test.Service.Never", |_| {
        msec::sleep(Duration::from_secs(60))?;
        Ok("")
    });
    let served = serve(builder, "127.0.0.1:0");
    let call = |address: &str, method: &str, body: &str| {
        msec(&["call", address, method, body, "--raw", "--timeout", "100ms"])
    };
    let ran = call("127.0.0.1:1", ECHO, "");
    check_refused(&ran, 1, &["-11 network error", "refused", "likely cause: no server listens"]);
    let ran = call(&served.address(), "test.Service.Unknown", "");
    check_refused(
        &ran,
        1,
        &["-6 ", "test.Service.Unknown", "likely cause: the server has no such"],
    );
    let ran = call(&served.address(), "test.Service.Never", "");
    check_refused(&ran, 1, &["-10 timeout", "within the deadline", "--timeout waits longer"]);
    let ran = call(&served.address(), "test.Service.Fail", "fail");
    check_refused(&ran, 1, &["-18 ", "as it was told to", "likely cause: the method itself"]);
    let ran = msec(&["call", &served.address(), ECHO, "\u{7}", "--raw", "-v", "--proto", &proto()]);
    check_refused(&ran, 2, &["one of them is enough"]);
}

#[test]
fn an_answer_that_is_not_the_message_is_said_to_be_none() {
    let builder = msec::Server::builder().raw(ECHO, |_| Ok([0x0a, 0x05, 0x00]));
    let served = serve(builder, "127.0.0.1:0");
    let ran = msec(&["call", &served.address(), ECHO, "--proto", &proto()]);
    check_refused(&ran, 1, &["the answer is no echo.EchoResponse", "--raw shows the bytes"]);
}

#[test]
fn an_unknown_method_lists_the_known_ones_nearest_first() {
    let file = temporary("many.proto");
    let methods = ["Alpha", "Echoes", "Beta"].map(|name| format!("rpc {name}(M) returns (M);"));
    let text = format!(
        "syntax = \"proto3\"; package p; message M {{}} service S {{ {} \
         rpc Watch(M) returns (stream M); }}",
        methods.concat()
    );
    std::fs::write(&file, text).expect("the folder can be written");
    let file = file.display().to_string();
    let ran = msec(&["call", "127.0.0.1:1", "p.S.Echo", "--proto", &file]);
    check_refused(&ran, 2, &["has no method `p.S.Echo`; it has\n  p.S.Echoes\n", "p.S.Alpha"]);
    let ran = msec(&["call", "127.0.0.1:1", "p.S.Watch", "--proto", &file]);
    check_refused(&ran, 2, &["p.S.Watch streams"]);
}

#[test]
fn bad_json_is_said_where() {
    let call = |json: &str| msec(&["call", "127.0.0.1:1", ECHO, json, "--proto", &proto()]);
    let name = "MESSAGE is not a echo.EchoRequest in JSON";
    check_refused(&call("{\n  \"message\": }"), 2, &[name, "line 2 column 14"]);
    check_refused(&call("{\"massage\": \"\"}"), 2, &["massage", "line 1 column"]);
    check_refused(&call("{\"message\": 5}"), 2, &["line 1 column 13"]);
    check_refused(&call("{} {}"), 2, &["trailing characters at line 1 column 4"]);
}

#[test]
fn what_cannot_be_found_or_understood_ends_with_2() {
    let call = |arguments: &[&str]| msec(&[&["call"], arguments].concat());
    let ran = call(&["127.0.0.1:1", ECHO, "--proto", "/nowhere.proto"]);
    check_refused(&ran, 2, &["--proto /nowhere.proto: there is no such file"]);
    let ran = call(&["127.0.0.1:1", ECHO, "--descriptors", "/nowhere.bin"]);
    check_refused(&ran, 2, &["--descriptors /nowhere.bin: No such file"]);
    let ran = call(&["127.0.0.1:1", ECHO, "@/nowhere.json", "--proto", &proto()]);
    check_refused(&ran, 2, &["cannot read /nowhere.json"]);
    let ran = call(&["local host", ECHO, "--proto", &proto()]);
    check_refused(&ran, 2, &["cannot call `local host`", "an address is ip:port"]);
    check_refused(&call(&["127.0.0.1:1", "Echo", "--raw"]), 2, &["write package.Service.Method"]);
    check_refused(&call(&["127.0.0.1:1", ECHO, "--rawe"]), 2, &["did you mean --raw?"]);
    check_refused(&call(&["127.0.0.1:1"]), 2, &["METHOD is missing", "`msec help call`"]);
    let broken = temporary("broken.proto");
    std::fs::write(&broken, "syntax = \"proto3\";\nmessage {").expect("the folder can be written");
    let ran = call(&["127.0.0.1:1", ECHO, "--proto", &broken.display().to_string()]);
    check_refused(&ran, 2, &["broken.proto:2: "]);
}
