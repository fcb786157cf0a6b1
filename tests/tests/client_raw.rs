//! Protocols of third parties: bytes out, an answer whose length a function knows, one request at
//! a time on a connection that is kept.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use msec::naming::{Cause, Instance, InstanceExplained, Service, Standing, Table};
use msec::raw::{self, Length};
use msec::{Code, Engine, Io, Result, spawn};
use msec_protocol::Limits;
use msec_tests::{PATIENCE, Redis, config, free_address, now, on_both, wait_until};

/// A line.
fn line(bytes: &[u8]) -> Length {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(index) => Length::Whole(index + 1),
        None if bytes.starts_with(b"?") => Length::Bad,
        None => Length::More,
    }
}

/// A server of lines, on plain threads: `serve` gets a line, its number on the connection, and the
/// connection; it goes on while that returns true.
struct Lines {
    address: String,
    accepted: Arc<AtomicUsize>,
}

impl Lines {
    fn start(serve: impl Fn(&str, usize, &mut TcpStream) -> bool + Clone + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    fn at(
        address: &str,
        serve: impl Fn(&str, usize, &mut TcpStream) -> bool + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        // Both end with the process: nothing here outlives a test that matters.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::AcqRel);
                let (mut stream, serve) = (stream.unwrap(), serve.clone());
                std::thread::spawn(move || {
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    for (number, line) in lines.map_while(std::io::Result::ok).enumerate() {
                        if !serve(&line, number, &mut stream) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, accepted }
    }

    fn echo() -> Self {
        Self::start(|line, _, stream| stream.write_all(format!("{line}\n").as_bytes()).is_ok())
    }

    fn accepted_count(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }
}

fn engine(io: Io) -> Engine {
    Engine::with(config(io).cores(1)).unwrap()
}

/// Calls from a coroutine.
fn call(engine: &Engine, address: &str, request: &str, timeout: Duration) -> Result<Vec<u8>> {
    let (address, request) = (address.to_owned(), request.to_owned());
    engine.run(move || raw::call(&address, request.as_bytes(), line, timeout)).unwrap()
}

fn code(engine: &Engine, address: &str, request: &str) -> Code {
    call(engine, address, request, PATIENCE).map_or_else(|error| error.code(), |_| Code::OK)
}

/// A table with one service of lines at these addresses.
fn routes(engine: &Engine, addresses: &[&str]) {
    let instance = |address: &&str| Instance::new(address.parse().unwrap());
    let service = Service::new("Demo.lines", addresses.iter().map(instance).collect());
    let mut table = Table::new();
    table.add(service).unwrap();
    engine.set_routes(table);
}

fn instance(engine: &Engine, address: &str) -> InstanceExplained {
    let mut instances = engine.explain_routes().remove(0).instances;
    instances.retain(|instance| instance.address.to_string() == address);
    instances.remove(0)
}

on_both! {
    fn a_service_is_called_by_name_and_its_dead_instance_is_passed_over(io: Io) {
        let (live, engine) = (Lines::echo(), engine(io));
        let dead = free_address();
        routes(&engine, &[&live.address, &dead]);
        for _ in 0..50 {
            let answer = call(&engine, "Demo.lines", "hello\n", PATIENCE).unwrap();
            assert_eq!(answer, b"hello\n", "what did not get there went elsewhere");
        }
        let (good, bad) = (instance(&engine, &live.address), instance(&engine, &dead));
        assert!(matches!(bad.standing, Standing::Ejected(Cause::Unreachable)), "{bad:?}");
        assert_eq!((good.standing, good.in_flight_count), (Standing::Live, 0));
        assert!(good.peak_ns > 0 && good.recent_count > 1.0, "its latency counts: {good:?}");
        // Somebody listens there.
        let _back = Lines::at(&dead, |line, _, stream| {
            stream.write_all(format!("{line} again\n").as_bytes()).is_ok()
        });
        wait_until("it is called again", || {
            call(&engine, "Demo.lines", "hello\n", PATIENCE).unwrap() == b"hello again\n"
        });
        let none = call(&engine, "Demo.other", "hello\n", PATIENCE).unwrap_err();
        assert_eq!(none.code(), Code::NO_ROUTE);
    }

    fn an_instance_that_does_not_answer_or_answers_nonsense_is_ejected(io: Io) {
        let (live, engine) = (Lines::echo(), engine(io));
        let mute = Lines::start(|_, _, _| true);
        let other = Lines::start(|_, _, stream| stream.write_all(b"?").is_ok());
        for (bad, code) in [(mute, Code::TIMEOUT), (other, Code::INVALID_PACKAGE)] {
            routes(&engine, &[&live.address, &bad.address]);
            let timeout = Duration::from_millis(50);
            let mut codes = Vec::new();
            wait_until("it is ejected", || {
                let outcome = call(&engine, "Demo.lines", "hello\n", timeout);
                codes.extend(outcome.err().map(|error| error.code()));
                matches!(instance(&engine, &bad.address).standing, Standing::Ejected(_))
            });
            // A request that has left is not sent to anybody else.
            assert!(codes.contains(&code), "{codes:?}");
            assert_eq!(instance(&engine, &bad.address).in_flight_count, 0);
        }
    }

    fn a_connection_is_kept_for_the_next_request(io: Io) {
        let (engine, server) = (engine(io), Lines::echo());
        for number in 0..100 {
            let request = format!("request {number}\n");
            let answer = call(&engine, &server.address, &request, PATIENCE).unwrap();
            assert_eq!(answer, request.as_bytes());
        }
        assert_eq!(server.accepted_count(), 1);
    }

    fn requests_at_the_same_time_have_a_connection_each(io: Io) {
        let (engine, server) = (engine(io), Lines::echo());
        let address = server.address.clone();
        engine
            .run(move || {
                let call = |number: usize, address: String| {
                    let request = format!("{number}\n");
                    let answer = raw::call(&address, request.as_bytes(), line, PATIENCE);
                    assert_eq!(answer.unwrap(), request.as_bytes());
                };
                let begin = |number| {
                    let address = address.clone();
                    spawn(move || call(number, address))
                };
                let tasks: Vec<_> = (0..20).map(begin).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
        assert!(server.accepted_count() <= 20);
        assert_eq!(code(&engine, &server.address, "one more\n"), Code::OK);
        assert!(server.accepted_count() <= 20, "the kept ones are used");
    }

    fn a_kept_connection_that_the_server_closed_is_replaced_unnoticed(io: Io) {
        let engine = engine(io);
        // Answers one request, and hangs up as the second comes.
        let server = Lines::start(|line, number, stream| {
            number == 0 && stream.write_all(format!("{line}\n").as_bytes()).is_ok()
        });
        for number in 0..20 {
            let request = format!("{number}\n");
            let answer = call(&engine, &server.address, &request, PATIENCE).unwrap();
            assert_eq!(answer, request.as_bytes());
        }
        assert_eq!(server.accepted_count(), 20);
    }

    fn a_new_connection_that_dies_unanswered_is_an_error(io: Io) {
        let engine = engine(io);
        let server = Lines::start(|_, _, _| false);
        assert_eq!(code(&engine, &server.address, "x\n"), Code::NETWORK);
        assert_eq!(server.accepted_count(), 1);
    }

    fn an_answer_that_breaks_off_is_an_error_and_never_sent_twice(io: Io) {
        let engine = engine(io);
        let server = Lines::start(|line, number, stream| {
            let answer = if number == 0 { format!("{line}\n") } else { "half".into() };
            stream.write_all(answer.as_bytes()).unwrap();
            number == 0
        });
        assert_eq!(code(&engine, &server.address, "whole\n"), Code::OK);
        assert_eq!(code(&engine, &server.address, "half\n"), Code::NETWORK);
        assert_eq!(server.accepted_count(), 1);
    }

    fn what_is_not_the_protocol_ends_the_call_and_its_connection(io: Io) {
        let engine = engine(io);
        let server = Lines::start(|line, _, stream| match line {
            "garbage" => stream.write_all(b"?????").is_ok(),
            "too much" => stream.write_all(b"one\ntwo\n").is_ok(),
            line => stream.write_all(format!("{line}\n").as_bytes()).is_ok(),
        });
        assert_eq!(code(&engine, &server.address, "garbage\n"), Code::INVALID_PACKAGE);
        assert_eq!(code(&engine, &server.address, "fine\n"), Code::OK);
        assert_eq!(server.accepted_count(), 2);
        // The second line was not asked for: it must not be taken for the next answer.
        let answer = call(&engine, &server.address, "too much\n", PATIENCE).unwrap();
        assert_eq!(answer, b"one\n");
        let answer = call(&engine, &server.address, "fine\n", PATIENCE).unwrap();
        assert_eq!(answer, b"fine\n");
    }

    fn an_answer_over_the_limit_is_cut_off(io: Io) {
        let limits = Limits { body_bytes_max: 10_000, ..Limits::DEFAULT };
        let engine = Engine::with(config(io).cores(1).limits(limits)).unwrap();
        let server = Lines::start(|_, _, stream| {
            while stream.write_all(&[b'x'; 1000]).is_ok() {}
            false
        });
        assert_eq!(code(&engine, &server.address, "x\n"), Code::TOO_LARGE);
        wait_until("it is closed", || engine.vitals().connections == 0);
    }

    fn a_late_answer_ends_its_connection_and_confuses_nobody(io: Io) {
        let engine = engine(io);
        let server = Lines::start(|line, _, stream| {
            line == "never" || stream.write_all(format!("{line}\n").as_bytes()).is_ok()
        });
        let begin = now();
        let error = call(&engine, &server.address, "never\n", Duration::from_millis(50));
        assert_eq!(error.unwrap_err().code(), Code::TIMEOUT);
        assert!(begin.elapsed() < PATIENCE / 3);
        let answer = call(&engine, &server.address, "next\n", PATIENCE).unwrap();
        assert_eq!(answer, b"next\n");
        assert_eq!(server.accepted_count(), 2);
        wait_until("the late one is closed", || engine.vitals().connections == 1);
    }

    fn nobody_there_is_told_at_once_and_plain_threads_are_told_where_they_belong(io: Io) {
        let engine = engine(io);
        let address = free_address();
        assert_eq!(code(&engine, &address, "x\n"), Code::NETWORK);
        assert_eq!(code(&engine, "127.0.0.1:1@udp", "x\n"), Code::INVALID_ENDPOINT);
        assert_eq!(code(&engine, "redis", "x\n"), Code::INVALID_ENDPOINT);
        assert_eq!(code(&engine, "Demo.redis", "x\n"), Code::NO_ROUTE);
        let error = raw::call(&address, b"x\n", line, PATIENCE).unwrap_err();
        assert_eq!(error.code(), Code::SYSTEM_ERROR);
    }

    fn redis_is_called_by_its_own_protocol(io: Io) {
        let redis = Redis::start();
        let engine = engine(io);
        let address = redis.address.clone();
        engine
            .run(move || {
                let ask = |words: &[&[u8]]| raw::call(&address, &command(words), reply, PATIENCE);
                assert_eq!(ask(&[b"PING"]).unwrap(), b"+PONG\r\n");
                let value = vec![b'v'; 300_000];
                assert_eq!(ask(&[b"SET", b"key", &value]).unwrap(), b"+OK\r\n");
                let got = ask(&[b"GET", b"key"]).unwrap();
                assert!(got.starts_with(b"$300000\r\n") && got.ends_with(b"vv\r\n"));
                assert_eq!(ask(&[b"GET", b"absent"]).unwrap(), b"$-1\r\n");
                assert_eq!(ask(&[b"RPUSH", b"list", b"a", b"b"]).unwrap(), b":2\r\n");
                let list = ask(&[b"LRANGE", b"list", b"0", b"-1"]).unwrap();
                assert_eq!(list, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n");
                assert!(ask(&[b"NONSENSE"]).unwrap().starts_with(b"-ERR"));
                // Redis hangs up, and the next request finds that out.
                let killed = ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"no"]);
                assert_eq!(killed.unwrap(), b":1\r\n");
                assert_eq!(ask(&[b"PING"]).unwrap(), b"+PONG\r\n");
            })
            .unwrap();
    }
}

/// A command of Redis (RESP, redis.io/docs/reference/protocol-spec).
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// How long a reply of Redis is.
fn reply(bytes: &[u8]) -> Length {
    match value(bytes) {
        Ok(Some(length)) => Length::Whole(length),
        Ok(None) => Length::More,
        Err(()) => Length::Bad,
    }
}

/// The length of the first value, `None` while it is not whole.
fn value(bytes: &[u8]) -> std::result::Result<Option<usize>, ()> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let number = || std::str::from_utf8(&bytes[1..end]).ok()?.parse::<i64>().ok();
    let mut length = end + 2;
    match bytes[0] {
        b'+' | b'-' | b':' => {}
        b'$' => {
            if let Ok(body) = usize::try_from(number().ok_or(())?) {
                length += body + 2;
            }
        }
        b'*' => {
            for _ in 0..number().ok_or(())? {
                let Some(inner) = value(&bytes[length.min(bytes.len())..])? else {
                    return Ok(None);
                };
                length += inner;
            }
        }
        _ => return Err(()),
    }
    Ok((length <= bytes.len()).then_some(length))
}
