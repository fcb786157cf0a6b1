//! The examples, the demo and the tour of README.md, run as a user would run them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};

use msec::{Client, Config, Engine, Server};
use msec_tests::programs::{command, example, repository};
use msec_tests::{Child, ECHO, HttpPeer, Peer, alone, curl, free_address, wait_until};

#[allow(missing_docs, unreachable_pub, unused_qualifications)]
mod echo {
    include!("../../core/examples/generated/echo.rs");
}
#[allow(missing_docs, unreachable_pub, unused_qualifications)]
mod fanout {
    include!("../../core/examples/generated/fanout.rs");
}
use echo::{EchoRequest, EchoServiceClient};
use fanout::{AskRequest, AskResponse, FanoutServiceClient};

/// A running example that listens.
struct Service {
    child: Child,
    addresses: Vec<String>,
}

impl Service {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let child = Child::of_program(&example(name), arguments);
        let line = child.line();
        let after = line.split_once(" listens on ").expect("where it listens").1;
        let words = after.split(' ').filter(|word| word.contains(':'));
        Self { addresses: words.map(str::to_owned).collect(), child }
    }

    fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// Sends SIGTERM; the lines about what it has served, in its own words.
    fn stop(self, methods: usize) -> Vec<String> {
        self.child.signal("TERM");
        let lines = (0..methods).map(|_| self.child.line()).collect();
        let (status, stderr) = self.child.wait();
        assert!(status.success(), "{status}: {stderr}");
        assert!(stderr.contains("draining"), "{stderr}");
        lines
    }
}

fn engine() -> Engine {
    Engine::with(Config::from_env().unwrap().cores(1)).unwrap()
}

fn call_echo(engine: &Engine, address: &str, text: &'static str) -> Result<(), msec::Error> {
    let client = EchoServiceClient::new(Client::new(engine, address)?);
    let response = client.echo(&EchoRequest { message: text.into() })?;
    assert_eq!(response.message, text);
    Ok(())
}

#[test]
fn echo_answers_on_tcp_and_udp_and_counts_what_it_served() {
    let service = Service::start("echo", &["--listen", "127.0.0.1:0", "--cores", "1"]);
    let [tcp, udp] = &service.addresses[..] else { panic!("{:?}", service.addresses) };
    assert!(udp.ends_with("@udp"));
    let engine = engine();
    call_echo(&engine, tcp, "by TCP").unwrap();
    call_echo(&engine, udp, "by UDP").unwrap();
    // Whoever stays connected is waited for.
    drop(engine);
    let lines = service.stop(1);
    assert!(lines[0].starts_with(&format!("served {ECHO} calls=2 failed=0 ")), "{lines:?}");
}

#[test]
fn a_generated_service_is_called_with_json_by_curl() {
    let service = Service::start("echo", &["--listen", "127.0.0.1:0", "--cores", "1"]);
    let url = |rest: &str| format!("http://{}{rest}", service.address());
    let say = ["-d", r#"{"message":"aGVsbG8="}"#];
    let modern = url("/echo.EchoService/Echo");
    assert_eq!(curl(&[&[&modern[..]], &say[..]].concat(), ""), r#"{"message":"aGVsbG8="}"#);
    let original = url("/?methodName=echo.EchoService.Echo");
    let expect = r#"{"ret":0,"errmsg":"","resultObj":{"message":"aGVsbG8="}}"#;
    assert_eq!(curl(&[&[&original[..]], &say[..]].concat(), ""), expect);
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    let wrong = [&[&modern[..], "-d", r#"{"massage":1}"#], &status[..]].concat();
    assert_eq!(curl(&wrong, ""), "400");
    let lines = service.stop(1);
    assert!(lines[0].starts_with(&format!("served {ECHO} ")), "{lines:?}");
}

#[test]
fn echo_listens_on_a_unix_socket_and_removes_it_in_the_end() {
    let path = std::env::temp_dir().join(format!("msec-example-{}.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    let service = Service::start("echo", &["--listen", &address]);
    assert_eq!(service.addresses, [&address[..]]);
    let engine = engine();
    call_echo(&engine, &address, "by a path").unwrap();
    drop(engine);
    service.stop(1);
    assert!(!path.exists());
}

#[test]
fn sigterm_ends_the_listening_but_not_the_serving_of_who_is_connected() {
    let service = Service::start("echo", &["--listen", "127.0.0.1:0"]);
    let mut peer = Peer::connect(service.address());
    peer.echo(b"\x0a\x06before");
    service.child.signal("TERM");
    wait_until("nobody listens any more", || Peer::try_connect(service.address()).is_err());
    let answer = peer.call(ECHO, b"\x0a\x05after");
    assert_eq!(&answer.body[..], b"\x0a\x05after");
    assert!(answer.head.leaving, "it is told to go elsewhere");
    drop(peer);
    assert!(service.child.line().contains("calls=2 failed=0"));
    let (status, _) = service.child.wait();
    assert!(status.success());
}

#[test]
fn relay_passes_on_answers_and_errors() {
    let echo = Service::start("echo", &["--listen", "127.0.0.1:0"]);
    let to = echo.address().to_owned();
    let relay = Service::start("relay", &["--listen", "127.0.0.1:0", "--to", &to]);
    let engine = engine();
    call_echo(&engine, relay.address(), "through two").unwrap();
    // The relay is still connected, so ending in order would take the grace of five seconds.
    echo.child.signal("KILL");
    let (status, _) = echo.child.wait();
    assert!(!status.success());
    let error = call_echo(&engine, relay.address(), "through one").unwrap_err();
    assert_eq!(error.code(), msec::Code::NETWORK, "{error}");
    drop(engine);
    let lines = relay.stop(1);
    assert!(lines[0].contains("calls=2 failed=1"), "{lines:?}");
}

/// Echo services each of which answers only when all of them have been asked.
fn services_that_wait_for_each_other(engine: &Engine, count: usize) -> Vec<Server> {
    let all_asked = Arc::new(Barrier::new(count));
    let start = |_| {
        let all_asked = all_asked.clone();
        let answer = move |context: &msec::Context| {
            all_asked.wait();
            Ok(context.body_bytes())
        };
        // On a thread of its own, where it may wait by the means of std.
        let server = Server::builder().raw(ECHO, answer).method(ECHO, |options| {
            options.heavy();
        });
        server.listen("127.0.0.1:0").start(engine).unwrap()
    };
    (0..count).map(start).collect()
}

#[test]
fn fanout_asks_all_at_a_time_in_both_ways_and_names_who_failed() {
    let their_engine = engine();
    let servers = services_that_wait_for_each_other(&their_engine, 3);
    let mut to: Vec<_> = servers.iter().map(|server| server.addresses()[0].clone()).collect();
    to.push(free_address());
    let mut arguments = vec!["--listen", "127.0.0.1:0"];
    arguments.extend(to.iter().flat_map(|address| ["--to", address]));
    let service = Service::start("fanout", &arguments);
    let engine = engine();
    let client = FanoutServiceClient::new(Client::new(&engine, service.address()).unwrap());
    let request = AskRequest { message: "who is there?".into() };
    let check = |response: AskResponse| {
        let from: Vec<_> = response.answers.iter().map(|answer| &answer.from).collect();
        assert_eq!(from, to.iter().collect::<Vec<_>>());
        for answer in &response.answers[..3] {
            assert_eq!((&answer.message[..], &answer.error[..]), (&request.message[..], ""));
        }
        assert!(response.answers[3].error.starts_with("-11 "), "{:?}", response.answers[3]);
    };
    check(client.ask_all(&request).unwrap());
    check(client.ask_all_in_scope(&request).unwrap());
    // Everybody leaves before the one that he calls ends, so that none is waited for.
    drop((client, engine));
    let lines = service.stop(2);
    assert!(lines.iter().all(|line| line.contains("calls=1 failed=0")), "{lines:?}");
}

#[test]
fn fanout_without_anybody_to_ask_says_what_is_missing() {
    let output = Command::new(example("fanout")).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--to ADDRESS"), "{said}");
}

/// A server that knows one command and its answer, which it sends byte by byte.
fn foreign_server(command: &'static [u8], answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut asked = vec![0; command.len()];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, command);
        for byte in answer {
            stream.write_all(&[*byte]).unwrap();
        }
        // Open until the client leaves: the end of the answer is not the end of the stream.
        let _ = stream.read(&mut [0]);
    });
    address
}

fn ask_foreign(
    command: &'static [u8],
    words: &[&str],
    answer: &'static [u8],
) -> (bool, String, String) {
    let address = foreign_server(command, answer);
    let output = Command::new(example("raw_protocol"))
        .args(["--to", &address])
        .args(words)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn raw_protocol_finds_the_end_of_every_kind_of_answer() {
    let check = |answer: &'static [u8], expect: &str| {
        let (success, out, err) = ask_foreign(b"*1\r\n$4\r\nPING\r\n", &["PING"], answer);
        assert_eq!((success, &out[..]), (true, expect), "{err}");
    };
    check(b"+PONG\r\n", "PONG\n");
    check(b":1000\r\n", "1000\n");
    check(b"$-1\r\n", "(nil)\n");
    check(b"$7\r\nbl\r\nue$\r\n", "bl\r\nue$\n");
    check(b"*3\r\n$3\r\none\r\n:2\r\n*1\r\n+three\r\n", "one\n2\nthree\n");
}

#[test]
fn raw_protocol_tells_a_refusal_from_what_is_not_the_protocol() {
    let command = b"*2\r\n$3\r\nGET\r\n$5\r\ncolor\r\n";
    let (success, out, err) = ask_foreign(command, &["GET", "color"], b"-ERR no color\r\n");
    assert!(!success && err.contains("refused"), "{err}");
    assert_eq!(out, "(error) ERR no color\n");
    let (success, out, err) = ask_foreign(command, &["GET", "color"], b"HTTP/1.1 400 Bad\r\n");
    assert!(!success && out.is_empty());
    assert!(err.contains("-3 ") && err.contains("not the expected protocol"), "{err}");
}

fn demo(seconds: &str) -> Command {
    let mut command = Command::new(example("demo"));
    command.env("DEMO_SECONDS", seconds);
    command
}

#[test]
fn demo_shows_every_second_and_a_table_and_that_no_call_was_lost() {
    let _alone = alone();
    let output = demo("3").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}{err}");
    assert!(!out.contains('\x1b') && !out.contains('\r'), "no codes of terminals in a pipe");
    let seconds = out.lines().filter(|line| line.trim_start().get(1..4) == Some(" s "));
    assert_eq!(seconds.count(), 3, "{out}");
    let calls = |service: &str| {
        let row = out.lines().find(|line| line.starts_with(&format!("  {service} "))).unwrap();
        row.split_whitespace().nth(1).unwrap().replace(',', "").parse::<u64>().unwrap()
    };
    assert!(calls("callers") >= 3_000, "{out}");
    assert_eq!(calls("relay"), calls("callers"));
    assert!(!out.contains("MISSED") && out.matches("  ok  ").count() == 5, "{out}");
    assert!(out.contains("what to type next") && out.contains("core/examples/echo.rs"));
}

/// A demo that has begun, and the process of its relay.
fn demo_under_way(seconds: &str) -> (Child, String) {
    let program = example("demo");
    let seconds = format!("DEMO_SECONDS={seconds}");
    // `env` becomes the demo, so that the child is the demo itself.
    let child = Child::of_program(Path::new("env"), &[&seconds, program.to_str().unwrap()]);
    while !child.line().contains(" ──► instances ") {}
    // The services are its only children; the relay was started last.
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let relay = children.split_whitespace().last().expect("a relay").to_owned();
    (child, relay)
}

fn signal(process: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().unwrap().success());
}

#[test]
fn demo_spares_a_slow_instance_and_calls_one_again_that_came_back() {
    let _alone = alone();
    let output = demo("10").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("b takes 50 ms longer") && out.contains("c was killed"), "{out}");
    assert!(!out.contains("MISSED") && out.matches("  ok  ").count() == 9, "{out}");
}

#[test]
fn the_pages_of_the_demo_show_what_goes_on_while_it_does() {
    let _alone = alone();
    let program = example("demo");
    let program = program.to_str().unwrap();
    let demo = Child::of_program(Path::new("env"), &["DEMO_SECONDS=10", program]);
    let page = "http://";
    let address = loop {
        let line = demo.line();
        let rest = line.trim_start().strip_prefix(page);
        if let Some((address, _)) = rest.and_then(|rest| rest.split_once("/routes ")) {
            break address.to_owned();
        }
    };
    let get = |target: &str| {
        let answer = HttpPeer::connect(&address).get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        answer
    };
    wait_until("the relay to serve", || {
        let status = get("/status?format=json&wait_ms=50").json();
        let served = status["served"].as_array().unwrap();
        served.iter().any(|row| row["method"] == ECHO && row["per_s"].as_f64() > Some(0.0))
    });
    // Whatever happens to an instance is seen there: that it is slow, or that it is gone.
    let worst = |of: &str| {
        let routes = get("/routes?format=json&service=Demo.echo").json();
        let instances = routes[0]["instances"].as_array().unwrap().clone();
        assert_eq!(instances.len(), 3, "{routes}");
        instances.iter().map(|instance| instance[of].as_f64().unwrap()).fold(1.0, f64::min)
    };
    wait_until("a slow instance to be seen", || worst("speed") < 0.5);
    wait_until("a dead instance to be seen", || {
        let html = get("/routes").body;
        html.contains("ejected") || html.contains("halfopen")
    });
    let html = get("/status?wait_ms=50").body;
    assert!(html.contains(ECHO) && html.contains("Demo.echo"), "{html}");
    while !demo.line().contains("all services drained") {}
}

#[test]
fn demo_fails_and_says_why_when_a_service_dies() {
    let _alone = alone();
    let (demo, relay) = demo_under_way("2");
    signal(&relay, "KILL");
    let (status, stderr) = demo.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the service `relay` ended with signal: 9"), "{stderr}");
}

#[test]
fn demo_fails_and_says_which_figure_was_missed_when_calls_fail() {
    let _alone = alone();
    let (demo, relay) = demo_under_way("9");
    // Longer than a call waits.
    signal(&relay, "STOP");
    let failed = |line: &str| {
        let count = line.split_whitespace().nth(7)?.parse::<u64>().ok()?;
        (line.contains(" s ") && count > 0).then_some(count)
    };
    while failed(&demo.line()).is_none() {}
    signal(&relay, "CONT");
    while !demo.line().contains("MISSED  no call failed: ") {}
    while !demo.line().contains("the first failure: -10 ") {}
    let (status, stderr) = demo.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
}

#[test]
fn demo_refuses_a_time_that_is_none() {
    let output = demo("soon").output().unwrap();
    assert!(!output.status.success());
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("DEMO_SECONDS=`soon`: allowed is a number"), "{err}");
}

#[test]
fn the_tour_sells_lamps() {
    let output = Command::new(command("tour")).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = out.lines().filter(|line| line.ends_with("lamps left")).collect();
    assert_eq!(left, ["3 lamps left", "4 lamps left", "2 lamps left", "1 lamps left"]);
    assert!(out.contains("-18 service implement failed: only 5 left (calling shop.Shop.Order)"));
    // The second call waits 50 ms at most, and the shop knows.
    let shop_has =
        |line: &str| line.strip_prefix("the shop has Some(")?.split(')').next()?.parse().ok();
    let known: Vec<u64> = out.lines().filter_map(shop_has).collect();
    assert!(known[0] > 50 && known[0] <= 1000 && known[1] <= 50, "{known:?}");
}

#[test]
fn the_readme_shows_code_as_it_is_compiled() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let tour = repository().join("docs/tour");
    let sources = ["build.rs", "proto/shop.proto", "src/main.rs"];
    let sources = sources.map(|path| fs::read_to_string(tour.join(path)).unwrap());
    let folder = repository().join("cpp-examples");
    let examples = ["relay/main.cpp", "client/main.cpp"];
    let examples = examples.map(|path| fs::read_to_string(folder.join(path)).unwrap());
    let mut blocks = 0;
    let mut rest = &readme[..];
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').unwrap();
        let (block, after) = after.split_once("\n```").expect("a block that ends");
        rest = after;
        let known = match language {
            "rust" | "proto" => &sources[..],
            "cpp" => &examples,
            _ => continue,
        };
        blocks += 1;
        assert!(known.iter().any(|text| text.contains(block)), "nowhere compiled:\n{block}");
    }
    assert!(blocks >= 7, "{blocks} blocks");
}
